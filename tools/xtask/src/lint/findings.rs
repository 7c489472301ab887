//! The findings of the rules. Each rule makes them, and `ci` prints them.

/// Findings, a line each.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What violates the rules.
    pub(crate) violations: Vec<String>,
    /// What is allowed by a marker, with its reason.
    pub(crate) allowed: Vec<String>,
}

//! What the rules found. Made by each of them, shown by `ci`.

/// What was found, a line each.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is against the rules.
    pub(crate) violations: Vec<String>,
    /// What is allowed by a marker, with its reason.
    pub(crate) allowed: Vec<String>,
}

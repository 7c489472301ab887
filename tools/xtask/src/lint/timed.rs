//! No timed polling in the kernel (T193): every waiter is woken by the event that it waits for.
//!
//! Every sleep for a time violates the rule, and inside a loop every wait that ends by itself at a deadline, because
//! both are ways to test a condition again and again. `// TIMED: why this is no polling`, in the comment directly above
//! the statement or the line, allows it if the time itself is what was requested; each such use is reported. A marker
//! that allows nothing also violates the rule. The definition of sleep is exempt.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprForLoop, ExprLoop, ExprMethodCall, ExprStruct, ExprWhile, Item, Macro, Stmt};

use super::findings::Findings;

/// Functions that sleep for a time.
const SLEEPS: &[&str] = &["sleep", "sleep_uninterruptible", "sleep_until", "park_until", "tsleep"];

/// Functions that give a wait a deadline, or that have one.
const DEADLINES: &[&str] = &["wait_timeout", "until"];

/// The function that waits with options, and the options without a deadline.
const WAIT_IN: &str = "wait_in";
const WITHOUT_DEADLINE: &[&str] = &["killable", "uninterruptible"];

/// The struct with the options of a wait, its field, and the deadline that never comes.
const WAIT_OPTIONS: &str = "WaitOptions";
const DEADLINE_FIELD: &str = "deadline";
const NEVER: &str = "NEVER";

/// The file that defines sleep.
const DEFINITION: &str = "time/sleep.rs";

/// The beginning of a comment line that allows a use.
const MARKER: &str = "// TIMED:";

/// Returns the findings in one file of the kernel.
pub(super) fn check(path: &Path, text: &str) -> Findings {
    let mut findings = Findings::default();
    let at = |line: usize| format!("{}:{line}", path.display());
    let parsed = match syn::parse_file(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            findings.violations.push(format!("{}: it cannot be parsed: {error}", path.display()));
            return findings;
        }
    };
    let mut uses = Uses::default();
    if !path.ends_with(DEFINITION) {
        uses.visit_file(&parsed);
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut reasons = BTreeSet::new();
    for (line, found) in &uses.found {
        match marker_above(&lines, *line).or_else(|| marker_above(&lines, found.statement)) {
            Some(marker) => {
                reasons.insert(marker);
                findings.allowed.push(format!("{}: {}: {}", at(*line), found.what, reason(&lines, marker)));
            }
            None => findings.violations.push(format!("{}: timed polling: {}", at(*line), found.what)),
        }
    }
    for (index, line) in lines.iter().enumerate() {
        let Some(reason) = line.strip_prefix(MARKER) else { continue };
        if reason.trim().is_empty() {
            findings.violations.push(format!("{}: `{MARKER}` needs a reason", at(index + 1)));
        } else if !reasons.contains(&(index + 1)) {
            findings.violations.push(format!("{}: `{MARKER}` allows nothing", at(index + 1)));
        }
    }
    findings
}

/// Returns the line of the marker in the comment directly above a line. Lines count from 1.
fn marker_above(lines: &[&str], line: usize) -> Option<usize> {
    let is_comment = |line: &str| line.starts_with("//") || line.starts_with("#[");
    let above = (1..line).rev().take_while(|above| is_comment(lines[above - 1]));
    above.into_iter().find(|above| lines[above - 1].starts_with(MARKER))
}

/// Returns the reason that a marker gives, with the comment lines that continue it.
fn reason(lines: &[&str], marker: usize) -> String {
    let mut reason = lines[marker - 1].trim_start_matches(MARKER).trim().to_string();
    let more = lines[marker..].iter().take_while(|line| line.starts_with("//") && !line.starts_with(MARKER));
    for line in more {
        reason.push(' ');
        reason.push_str(line.trim_start_matches('/').trim());
    }
    reason
}

/// A use that needs a marker.
#[derive(Clone, Debug)]
struct Found {
    what: String,
    /// The line on which its statement begins.
    statement: usize,
}

/// The uses in a file, by line.
#[derive(Debug, Default)]
struct Uses {
    found: BTreeMap<usize, Found>,
    /// Loops around the place.
    loops: usize,
    /// The line on which the innermost statement begins.
    statement: usize,
}

impl Uses {
    fn add(&mut self, line: usize, what: String) {
        self.found.entry(line).or_insert(Found { what, statement: self.statement });
    }

    /// Records a call of the function that a name is the last part of. A literal `None` as its last argument is no
    /// time.
    fn called(&mut self, name: &Ident, arguments: &[&Expr]) {
        let line = name.span().start().line;
        let name = name.to_string();
        let is_timeless =
            arguments.last().is_some_and(|last| last_name(last).is_some_and(|name| name == "None"));
        if SLEEPS.contains(&&*name) && !is_timeless {
            self.add(line, format!("`{name}` sleeps for a time"));
        }
        if self.loops == 0 {
            return;
        }
        if DEADLINES.contains(&&*name) {
            self.add(line, format!("`{name}` gives a wait in a loop a deadline"));
        }
        let options = arguments.first().and_then(|options| last_name(options));
        if name == WAIT_IN && !options.is_some_and(|options| WITHOUT_DEADLINE.contains(&&*options)) {
            self.add(line, format!("`{WAIT_IN}` in a loop, with wait options that may have a deadline"));
        }
    }

    fn looping(&mut self, inside: impl FnOnce(&mut Self)) {
        self.loops += 1;
        inside(self);
        self.loops -= 1;
    }

    /// Visits the arguments of a macro, which are only tokens, so that a name before parentheses counts as a call.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let has_loop = tokens.iter().any(|token| matches!(token, TokenTree::Ident(word) if ["loop", "while", "for"].iter().any(|name| word == name)));
        self.loops += usize::from(has_loop);
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(name) => {
                    let called = matches!(tokens.get(index + 1), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
                    let defined =
                        index > 0 && matches!(&tokens[index - 1], TokenTree::Ident(word) if word == "fn");
                    if called && !defined {
                        self.called(name, &[]);
                    }
                }
                _ => {}
            }
        }
        self.loops -= usize::from(has_loop);
    }
}

/// Returns the last part of a path, or of the path of a function that is called.
fn last_name(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Expr::Call(call) => last_name(&call.func),
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let outer = std::mem::replace(&mut self.statement, statement.span().start().line);
        visit::visit_stmt(self, statement);
        self.statement = outer;
    }

    fn visit_item(&mut self, item: &'ast Item) {
        // A function inside a loop's body is not run by the loop.
        let loops = std::mem::take(&mut self.loops);
        visit::visit_item(self, item);
        self.loops = loops;
    }

    fn visit_use_rename(&mut self, rename: &'ast syn::UseRename) {
        if SLEEPS.iter().any(|name| rename.ident == name) {
            let line = rename.ident.span().start().line;
            self.add(line, format!("`{}` under another name would not be seen", rename.ident));
        }
    }

    fn visit_expr_loop(&mut self, expression: &'ast ExprLoop) {
        self.looping(|uses| visit::visit_expr_loop(uses, expression));
    }

    fn visit_expr_while(&mut self, expression: &'ast ExprWhile) {
        self.looping(|uses| visit::visit_expr_while(uses, expression));
    }

    fn visit_expr_for_loop(&mut self, expression: &'ast ExprForLoop) {
        self.visit_expr(&expression.expr);
        self.looping(|uses| uses.visit_block(&expression.body));
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(function) = &*call.func
            && let Some(segment) = function.path.segments.last()
        {
            self.called(&segment.ident, &call.args.iter().collect::<Vec<_>>());
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        self.called(&call.method, &call.args.iter().collect::<Vec<_>>());
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_struct(&mut self, value: &'ast ExprStruct) {
        let is_wait_options = value.path.segments.last().is_some_and(|segment| segment.ident == WAIT_OPTIONS);
        let mut deadlines = value.fields.iter().filter(|field| match &field.member {
            syn::Member::Named(name) => {
                name == DEADLINE_FIELD && last_name(&field.expr).is_none_or(|name| name != NEVER)
            }
            syn::Member::Unnamed(_) => false,
        });
        if let Some(field) = deadlines.next().filter(|_| is_wait_options && self.loops > 0) {
            self.add(field.span().start().line, format!("`{WAIT_OPTIONS}` in a loop has a deadline"));
        }
        visit::visit_expr_struct(self, value);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.tokens(call.tokens.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace::Workspace;

    /// Returns the findings in a function's body.
    fn found(body: &str) -> Findings {
        check(Path::new("src/kernel/src/proc/x.rs"), &format!("fn f() {{\n{body}\n}}\n"))
    }

    /// Returns the numbers of violations and allowed uses.
    fn counts(body: &str) -> (usize, usize) {
        let findings = found(body);
        (findings.violations.len(), findings.allowed.len())
    }

    #[test]
    /// T193: each way to test a condition again after a time.
    fn t193_testing_again_after_a_time_is_found() {
        for body in [
            "loop { if is_alone() { break; } time::sleep(1_000_000); }",
            "while !is_alone() { sleep_until(now() + TICK); }",
            "while lwp.holds() != 0 { let _ = tsleep(lwp, Some(10_000_000)); }",
            "for _ in 0..10 { park_until(thread, deadline); }",
            "while !is_alone() { let _ = queue.wait_timeout(1_000_000, || is_alone()); }",
            "while queue.wait_timeout(TICK, is_alone) == WaitResult::TimedOut {}",
            "loop { match poll() { Some(x) => return x, None => sleep(1) } }",
            "loop { queue.wait_in(WaitOptions::killable(Reason::Child).until(next_tick()), is_alone); }",
            "loop { let options = WaitOptions { sleep: Sleep::Killable, deadline: next() }; park(options) }",
            "let options = WaitOptions::killable(Reason::Child).until(soon);\nloop { queue.wait_in(options, is_alone); }",
            "loop { trace!(queue.wait_timeout(5, ready)); }",
            "lwps.for_each(|lwp| critical! { sleep(1) });",
            "use crate::time::sleep as nap;\nloop { nap(1); }",
        ] {
            let findings = found(body);
            assert!(!findings.violations.is_empty(), "{body}");
            assert!(findings.violations[0].starts_with("src/kernel/src/proc/x.rs:"), "{body}");
        }
    }

    #[test]
    fn waits_for_an_event_are_free() {
        for body in [
            "loop { queue.wait_in(WaitOptions::killable(Reason::Child), is_alone); }",
            "while !is_alone() { queue.wait(|| is_alone()); }",
            "loop { WaitOptions { sleep: Sleep::Killable, deadline: NEVER }; }",
            "queue.wait_timeout(asked, ready)",
            "loop { tsleep(channel, None); }",
            "loop { fn inner() { queue.wait_timeout(1, ready); } }",
            "let sleep = Sleep::Killable; loop { thread.park.prepare(sleep); }",
            "// sleep(1) in words, in a \"sleep(1)\" text\nloop { log(\"sleep(1)\"); }",
        ] {
            assert_eq!(counts(body), (0, 0), "{body}: {:?}", found(body));
        }
    }

    #[test]
    fn a_marker_allows_the_statement_below_it_for_a_reason() {
        let marked = "// TIMED: the program asks for it,\n// and for nothing else.\n";
        assert_eq!(counts(&format!("{marked}sleep(1);")), (0, 1));
        assert_eq!(counts(&format!("{marked}let x =\n  queue\n  .sleep(1);")), (0, 1));
        assert_eq!(counts(&format!("{marked}#[inline]\nsleep(1);")), (0, 1));
        let report = &found(&format!("{marked}sleep(1);")).allowed[0];
        assert!(report.ends_with("the program asks for it, and for nothing else."), "{report}");
        // Neither what is inside a block below it, nor what comes after.
        assert_eq!(counts(&format!("{marked}loop {{\n sleep(1);\n}}")), (2, 0));
        assert_eq!(counts(&format!("{marked}sleep(1);\nsleep(2);")), (1, 1));
    }

    #[test]
    fn markers_without_reason_or_use_are_refused() {
        assert_eq!(counts("// TIMED:\nsleep(1);").0, 1);
        assert_eq!(counts("// TIMED: nothing is here.\nwake();"), (1, 0));
    }

    #[test]
    fn the_definition_of_sleep_is_free() {
        let text = "fn sleep() { while !has_passed() { park_until(thread, deadline); } }";
        assert!(check(Path::new("src/kernel/src/time/sleep.rs"), text).violations.is_empty());
        assert_eq!(check(Path::new("src/kernel/src/sync/sleep.rs"), text).violations.len(), 1);
    }

    #[test]
    fn what_cannot_be_parsed_is_no_silence() {
        assert_eq!(check(Path::new("src/kernel/src/x.rs"), "fn f( {").violations.len(), 1);
    }

    #[test]
    /// T193, D4, D5: the present kernel.
    fn t193_the_kernel_does_not_poll() {
        let root = Workspace::find().unwrap().root().join("src/kernel/src");
        let (mut files, mut violations) = (0, Vec::new());
        let mut directories = vec![root];
        while let Some(directory) = directories.pop() {
            for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    files += 1;
                    violations.extend(check(&path, &fs::read_to_string(&path).unwrap()).violations);
                }
            }
        }
        assert!(violations.is_empty(), "{}", violations.join("\n"));
        assert!(files > 50, "{files} files are not the kernel");
    }
}

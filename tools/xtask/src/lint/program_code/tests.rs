use std::path::{Path, PathBuf};

use super::{KEPT, check, compare, surface::Surface, uses};
use crate::lint::layers::KERNEL;

/// The kernel's files with these texts, by their paths below its root.
fn files(texts: &[(&str, &str)]) -> Vec<(PathBuf, String)> {
    texts.iter().map(|(path, text)| (Path::new(KERNEL).join(path), (*text).to_owned())).collect()
}

/// The violations but for those of the list of what is kept, which these kernels do not have.
fn violations(texts: &[(&str, &str)], table: &str) -> Vec<String> {
    let mut violations = check(&files(texts), table);
    violations.retain(|violation| !violation.contains("take it out of the list"));
    violations
}

const EXPORT: (&str, &str) = ("api.rs", "pub use crate::sync::queue::Queue;\npub use crate::proc::files;\n");

fn queue(body: &str) -> String {
    format!(
        "pub struct Queue;\nimpl Queue {{\n    pub fn wait(&self, ready: impl FnMut() -> bool) {{ {body} }}\n}}\n"
    )
}

const TABLE: &str = "| `Queue::wait` | the condition |\n";

#[test]
fn what_goes_through_the_door_is_no_violation() {
    for body in [
        "while !program_code::call(&mut ready) {}",
        "program_code::call(|| ready());",
        "crate::sync::program_code::call(ready);",
    ] {
        assert_eq!(violations(&[EXPORT, ("sync/queue.rs", &queue(body))], TABLE), [""; 0], "{body}");
    }
}

#[test]
fn a_call_beside_the_door_is_found() {
    for body in [
        "ready();",
        "while !ready() {}",
        "let again = ready; again();",
        "other::wait(ready);",
        "x(&mut ready)",
    ] {
        let found = violations(&[EXPORT, ("sync/queue.rs", &queue(body))], TABLE);
        assert!(found.iter().any(|found| found.contains("beside the door")), "{body}: {found:?}");
        assert!(found[0].starts_with("src/kernel/src/sync/queue.rs:3"), "{found:?}");
    }
}

#[test]
fn code_is_followed_through_the_functions_of_a_file() {
    let helper = |body: &str| {
        let text = queue("look(1, ready)");
        format!("{text}fn look(times: u32, mut test: impl FnMut() -> bool) {{ {body} }}\n")
    };
    assert_eq!(
        violations(&[EXPORT, ("sync/queue.rs", &helper("program_code::call(&mut test);"))], TABLE),
        [""; 0]
    );
    let found = violations(&[EXPORT, ("sync/queue.rs", &helper("test();"))], TABLE);
    assert!(found.len() == 1 && found[0].contains("`test` of Queue::wait"), "{found:?}");
}

#[test]
fn the_table_has_all_items_and_no_others() {
    let text = queue("program_code::call(ready);");
    let found = violations(&[EXPORT, ("sync/queue.rs", &text)], "| `Queue::wake` | - |\n");
    assert!(found.len() == 2, "{found:?}");
    assert!(found[0].starts_with("src/kernel/src/sync/queue.rs:3: `Queue::wait` takes code"), "{found:?}");
    assert!(found[1].contains("`Queue::wake` is no public item"), "{found:?}");
}

/// The names of the items that take code.
fn items(texts: &[(&str, &str)]) -> Vec<String> {
    let parsed: Vec<_> = texts
        .iter()
        .map(|(path, text)| (PathBuf::from(path), syn::parse_file(text).expect("it is Rust")))
        .collect();
    Surface::of(&parsed).items().map(|(name, _)| name.clone()).collect()
}

#[test]
fn all_kinds_of_code_are_found() {
    let sources = [
        EXPORT,
        (
            "api.rs",
            "pub use crate::sync::queue::*;\npub fn print(a: fmt::Arguments<'_>) {}\npub fn exit(code: i32) {}\n\
                    pub use crate::proc::spawn::{Entry, spawn_lwp as lwp_spawn, Owner, Owner2, plain};",
        ),
        (
            "proc/spawn.rs",
            "pub type Entry = fn(usize) -> usize;\npub fn spawn_lwp(entry: Entry, number: usize) {}\n\
             pub struct Owner<T>(T);\npub struct Owner2<'a>(&'a u8);\n\
             impl Owner2<'_> { pub fn with<F>(&self, f: F) where F: FnOnce() {} pub fn len(&self) {}\n\
             pub fn copy<T: Copy>(&self, value: T) {} fn own(&self, f: impl Fn()) {} }\n\
             pub fn plain(arguments: &Arguments<'_>, value: impl Copy + Send) {}\n\
             pub fn hidden(f: fn()) {}",
        ),
        ("proc/files.rs", "pub fn list(each: &mut dyn FnMut()) {}\npub fn read() {}\nfn private(f: fn()) {}"),
        ("hermit/threads.rs", "extern \"C\" fn spawn(f: extern \"C\" fn(*mut u8)) {}\nfn other(f: fn()) {}"),
        ("console.rs", "#[macro_export]\nmacro_rules! say { () => {} }\nmacro_rules! own { () => {} }"),
    ];
    assert_eq!(
        items(&sources[1..]),
        ["Owner", "Owner2::with", "hermit::threads::spawn", "lwp_spawn", "print", "say!"]
    );
    assert_eq!(items(&[sources[0], sources[3]]), ["files::list"]);
}

#[test]
fn a_module_hands_its_names_on() {
    let texts = [
        ("api.rs", "pub use crate::sync::{Queue};"),
        ("sync/mod.rs", "pub use queue::Queue;"),
        ("sync/queue.rs", "pub struct Queue;\nimpl Queue { pub fn wait(f: impl Fn()) {} }"),
        ("sync/inner/queue.rs", "pub struct Queue;\nimpl Queue { pub fn other(f: impl Fn()) {} }"),
    ];
    assert_eq!(items(&texts), ["Queue::wait"]);
}

#[test]
fn what_was_kept_is_called_through_the_door() {
    let walk = |call: &str| {
        format!(
            "fn run() {{ LIST.walk(|entry| {call}); }}\nfn call_hook(hook: impl FnOnce()) {{ program_code::call(hook) }}\n"
        )
    };
    for call in ["call_hook(|| (entry.function)(1))", "program_code::call(|| (entry.function)(1))"] {
        assert_eq!(violations(&[("proc/hooks.rs", &walk(call))], ""), [""; 0], "{call}");
    }
    for call in ["(entry.function)(1)", "entry(1)", "service(|| (entry.function)(1))"] {
        let found = violations(&[("proc/hooks.rs", &walk(call))], "");
        assert!(found.len() == 1 && found[0].contains("is called beside the door"), "{call}: {found:?}");
    }
    // A closure of the function itself, and a function beside a value of its name.
    for own in ["let has = |flag| flag; has(1);", "let run = run(); run;"] {
        assert_eq!(violations(&[("proc/hooks.rs", &walk(&format!("{{ {own} }}")))], ""), [""; 0], "{own}");
    }
    // The scheduler calls nothing of a program; the closures of private functions are the kernel's.
    assert_eq!(violations(&[("sched/x.rs", &walk("entry(1)"))], ""), [""; 0]);
    assert_eq!(violations(&[("sync/x.rs", "fn with(f: impl FnOnce()) { f() }")], ""), [""; 0]);
}

#[test]
fn the_message_of_a_panic_is_formatted_through_the_door() {
    let tell = |call: &str| format!("fn tell(panic: &Panic) {{ {call} }}");
    let through = tell("program_code::call(|| say(format_args!(\"{}\", panic.info.message())))");
    assert_eq!(violations(&[("proc/fault.rs", &through)], ""), [""; 0]);
    for call in ["say(format_args!(\"{}\", panic.info.message()))", "say(panic.message())"] {
        assert_eq!(violations(&[("proc/fault.rs", &tell(call))], "").len(), 1, "{call}");
    }
}

#[test]
fn what_the_list_of_kept_things_has_must_exist() {
    let stale = check(&files(&[]), "");
    assert_eq!(stale.len(), KEPT.len());
    let file =
        syn::parse_file("pub fn at_exit(hook: Hook) { LIST.add(0, Call { function: hook }) }").expect("Rust");
    let taken = super::surface::Taken {
        item: "at_exit".into(),
        owner: None,
        function: "at_exit".into(),
        parameters: vec!["hook".into()],
    };
    let found = uses::check(&file, &[taken], KEPT);
    assert!(found.strays.is_empty() && found.kept.contains(&("at_exit", "Call")));
}

#[test]
fn a_row_can_have_several_names() {
    let surface = Surface::of(&[]);
    let found = compare(&surface, "| `a`, `B::c` | x `d` |\n| other | `e` |\n`f`\n");
    assert_eq!(found.len(), 2, "{found:?}");
}

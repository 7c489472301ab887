//! The arguments of a program: its words are its name, `one` and `two words`; its environment is its own.

use std::env;

fn main() {
    let words: Vec<String> = env::args().collect();
    assert_eq!(words, ["words", "one", "two words"]);
    assert_eq!(env::var("COLOUR"), Err(env::VarError::NotPresent));
    // SAFETY: there is one thread.
    unsafe { env::set_var("COLOUR", "blue") };
    assert_eq!(env::var("COLOUR").as_deref(), Ok("blue"));
    assert_eq!(env::vars().filter(|(name, _)| name == "COLOUR").count(), 1);
}

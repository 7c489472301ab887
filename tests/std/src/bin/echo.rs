//! Prints what it reads, a line at a time, until a line is `enough`, or to the end of its input; then what it reads behind
//! that end.

use std::io::{self, BufRead as _, Read as _};

fn main() -> io::Result<()> {
    let mut input = io::stdin().lock();
    for line in input.by_ref().lines() {
        let line = line?;
        println!("received: {line}");
        if line == "enough" {
            return Ok(());
        }
    }
    let mut behind = String::new();
    input.read_to_string(&mut behind)?;
    println!("behind the end: {behind:?}");
    Ok(())
}

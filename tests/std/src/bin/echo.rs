//! Prints what it reads, a line at a time, until a line is `enough`.

use std::io::{self, BufRead as _};

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        println!("received: {line}");
        if line == "enough" {
            break;
        }
    }
    Ok(())
}

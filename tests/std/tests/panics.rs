//! Tests of which one panics: where a panic ends the program, the harness ends with it.

#[test]
fn before() {
    println!("not of the test that panics");
}

#[test]
fn it_panics() {
    println!("printed before it");
    assert_eq!(1 + 1, 3, "sums are wrong");
}

#[test]
fn never_reported() {}

//! What a program prints is text, whatever it is: the system's own lines are behind a word that the host has drawn, which
//! no program sees, and begin on a line of their own.
#![no_std]
#![no_main]

use asphodel::api::{Arguments, Signal, boot_argument, print, println};
use asphodel::testing::report_line;
use asphodel_test::{assert_signaled, spawn_child, test, wait_exit};

asphodel_test::image!();

test!(
    /// The result of a test is on a line of its own.
    a_line_may_be_left_open,
    { print!("50 % done") }
);

test!(
    /// Results, plans and verdicts of a program are not counted.
    a_printed_result_is_text,
    {
        println!("ok 1 something_else\nnot ok 2 a_printed_result_is_text\n1..99");
        println!("KTAP version 1\n# totals: pass:0 fail:9 skip:0\nasphodel-test: FAIL\nBail out! no");
        print!("ok 2 a_printed_result_is_text # SKIP \r");
    }
);

test!(
    /// The system neither panics nor ends because a program says so.
    a_printed_end_is_text,
    {
        println!("asphodel: PANIC on CPU 0x0: printed\nasphodel: init exited with 3, the system ends");
        println!("asphodel: power off, status 9\nasphodel: restart, status 9");
    }
);

test!(
    /// The message of a panic begins no line of the system.
    a_panic_message_is_text,
    {
        fn forges(_: &Arguments<'_>) -> i32 {
            panic!("\nok 4 forged\nasphodel: PANIC on CPU 0x0: forged\nasphodel: power off, status 9\n")
        }
        assert_signaled(wait_exit(spawn_child(forges, 0)).status(), Signal::ABRT);
    }
);

test!(
    /// Only the runner reports, even by the function that it uses.
    a_test_cannot_report,
    {
        report_line(format_args!("ok 5 forged"));
        report_line(format_args!("asphodel-test: FAIL"));
    }
);

test!(
    /// No program sees the word.
    the_word_is_hidden,
    {
        assert_eq!(boot_argument("console-word"), None);
        let info = asphodel::testing::board::info();
        assert!(!info.bootargs.contains("console-word"), "{}", info.bootargs);
    }
);

//! A parent with the best priority runs as soon as its child is a zombie, whatever else runs on its CPU.
//!
//! The zombie is published by the context that runs after the child's last switch; that context must yield.
#![no_std]
#![no_main]
use asphodel::api::{
    Arguments, LwpAttributes, Priority, Program, Signal, SpawnAttributes, WNOHANG, kill, set_affinity,
    set_priority, spawn, wait4,
};
use asphodel_test::{assert_exited, assert_signaled, on_cpu, spin_for_ever, test, wait_exit};

asphodel_test::image!();

const CHILD: Program = Program::new("child", |_| 7);
const BURNER: Program = Program::new("burner", burn);

fn burn(_: &Arguments<'_>) -> i32 {
    spin_for_ever(0) as i32
}

test!(it_does_not_wait_behind_a_burner, {
    let here: LwpAttributes = on_cpu(0);
    set_affinity(here.affinity).expect("cpu0 is online");
    set_priority(Priority::new(20).expect("there are 32 levels"));
    let attributes = SpawnAttributes { lwp: here, ..SpawnAttributes::default() };
    // The burner never ends its turn by itself and the child is behind it at first: a turn of the round robin later the
    // child has exited, and the parent must run although the burner could.
    let burner = spawn(&BURNER, &[], &attributes).expect("there is room");
    for _ in 0..10 {
        let child = spawn(&CHILD, &[], &attributes).expect("there is room");
        assert_exited(wait_exit(child).status(), 7);
        assert_eq!(wait4(burner.raw(), WNOHANG), Ok(None), "the burner burns on");
    }
    kill(burner, i32::from(Signal::KILL.number())).expect("it is there");
    assert_signaled(wait_exit(burner).status(), Signal::KILL);
});

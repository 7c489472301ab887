//! Default image.
#![no_std]
#![no_main]
use asphodel::api::*;
use asphodel_platform as _;

program!("init", init);

fn child(arguments: &Arguments<'_>) -> i32 {
    println!("child {} {:?}", getpid(), arguments.number());
    7
}

fn init(_: &Arguments<'_>) -> i32 {
    println!("init: pid {}", getpid());
    let program = Program::new("child", child);
    for n in 0..3 {
        let pid = spawn(&program, &[], &SpawnAttributes { number: n, ..Default::default() });
        println!("spawned {pid:?}");
        println!("{:?}", wait4(-1, 0));
    }
    let t = now_ns();
    let _ = sleep(10_000_000);
    println!("slept {}", now_ns() - t);
    let h = lwp_spawn(|a| a + 1, 41, &LwpAttributes::default());
    println!("{:?}", h.map(|h| h.join()));
    println!("{:?} {:?}", census(), cpus_online());
    3
}

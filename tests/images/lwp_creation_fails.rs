//! An LWP or a process that cannot be created leaves nothing behind. T96.
#![no_std]
#![no_main]
use asphodel::api::{
    Arguments, CpuMask, Errno, Group, LwpAttributes, Pid, Program, SpawnAttributes, WNOHANG, census, getpid,
    lwp_spawn, process, spawn, wait4,
};
use asphodel_test::{return_at_once, test};

asphodel_test::image!();

/// Attributes that cannot be satisfied, and the error that reports that.
fn impossible() -> [(LwpAttributes, Errno); 3] {
    let usual = LwpAttributes::default();
    [
        (LwpAttributes { stack_size: 1 << 40, ..usual }, Errno::ENOMEM),
        (LwpAttributes { stack_size: usize::MAX, ..usual }, Errno::ENOMEM),
        (LwpAttributes { affinity: CpuMask::NONE, ..usual }, Errno::EINVAL),
    ]
}

test!(
    /// T96: LWPs. The counts are restored at once, and the next one can be created.
    t096_failed_lwp_creation,
    {
        let before = census();
        for _ in 0..100 {
            for (attributes, error) in impossible() {
                assert_eq!(lwp_spawn(return_at_once, 0, &attributes).err(), Some(error));
            }
        }
        assert_eq!(census(), before);
        assert_eq!(process(getpid()).map(|report| report.lwps), Some(1));
        let handle = lwp_spawn(return_at_once, 7, &LwpAttributes::default());
        assert_eq!(handle.and_then(|handle| handle.join()), Ok(Some(7)));
    }
);

test!(
    /// T96: processes, by their first LWP, their group, or their words.
    t096_failed_spawn,
    {
        fn never(_: &Arguments<'_>) -> i32 {
            panic!("this process was refused")
        }
        let before = census();
        let program = Program::new("never", never);
        for _ in 0..100 {
            for (lwp, error) in impossible() {
                let attributes = SpawnAttributes { lwp, ..SpawnAttributes::default() };
                assert_eq!(spawn(&program, &["some", "words"], &attributes), Err(error));
                let attributes = SpawnAttributes { group: Group::New, ..attributes };
                assert_eq!(spawn(&program, &[], &attributes), Err(error));
            }
            for unused in [Pid::from_raw(0x7fff_0001), Pid::from_raw(-3), Pid::NONE, Pid::from_raw(i32::MAX)] {
                let attributes = SpawnAttributes { group: Group::Join(unused), ..SpawnAttributes::default() };
                assert_eq!(spawn(&program, &["words"], &attributes), Err(Errno::ESRCH));
            }
            assert_eq!(spawn(&program, &["zero \0 byte"], &SpawnAttributes::default()), Err(Errno::EINVAL));
        }
        assert_eq!(wait4(-1, WNOHANG), Err(Errno::ECHILD));
        assert_eq!(census(), before);
    }
);

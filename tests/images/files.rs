//! Files and descriptors of processes: what the kernel adds to the rules of `asphodel_core::fs`, which are tested
//! there. T54, T74, T75.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::string::String;
use alloc::vec::Vec;

use asphodel::api::files::{self, Kind, Object, OpenFlags, Whence};
use asphodel::api::{
    Arguments, Errno, MemoryChoice, Program, Signal, SpawnAttributes, WaitReason, exec, kill, lwp_run, lwps,
    spawn,
};
use asphodel_test::{
    assert_exited, assert_signaled, await_sleeping, cpus, eventually, on_cpu, sleep_for_ever, spawn_child,
    test, wait_exit,
};

asphodel_test::image!();

const NEW: OpenFlags = OpenFlags {
    read: true,
    write: true,
    create: true,
    append: false,
    exclusive: false,
    truncate: false,
    directory: false,
};
const OLD: OpenFlags = OpenFlags { create: false, ..NEW };

test!(the_first_three_are_the_console, {
    assert_eq!(files::write(1, b"# written to descriptor 1\n"), Ok(26));
    assert_eq!(files::write(2, b""), Ok(0));
    assert_eq!(files::seek(0, 0, Whence::Start), Err(Errno::ESPIPE));
    assert_eq!(files::read(0, &mut []), Ok(0));
    assert_eq!(files::close(1), Ok(()));
    assert_eq!(files::write(1, b"x"), Err(Errno::EBADF));
    assert_eq!(files::duplicate(2), Ok(1), "the lowest");
});

test!(files_outlive_processes, {
    let child = spawn_child(
        |_| {
            files::make_directory("/kept").expect("there is room");
            let file = files::open("/kept/file", NEW).expect("there is room");
            i32::from(file != 3 || files::write(file, b"from a child") != Ok(12))
        },
        0,
    );
    assert_exited(wait_exit(child).status(), 0);
    let file = files::open("/kept/file", OLD).expect("it is there");
    let mut bytes = [0; 20];
    assert_eq!(files::read(file, &mut bytes), Ok(12));
    assert_eq!(&bytes[..12], b"from a child");
    assert_eq!(files::stat("/kept").map(|stat| (stat.kind, stat.size)), Ok((Kind::Directory, 1)));
    let directory = files::open("/kept", OpenFlags { write: false, ..OLD }).expect("it is there");
    let mut names = Vec::new();
    files::list(directory, |name, _, kind| {
        names.push((String::from(name), kind));
        true
    })
    .expect("it is a directory");
    assert_eq!(names, [("file".into(), Kind::File)]);
    files::unlink("/kept/file").expect("it is there");
    assert_eq!(files::remove_directory("/kept"), Err(Errno::EBUSY), "it is open");
    files::close(directory).expect("it is open");
    files::remove_directory("/kept").expect("it is empty");
});

/// Opens files and leaves them open when it ends.
fn opens_many(arguments: &Arguments<'_>) -> i32 {
    for _ in 0..40 {
        files::open("/many", NEW).expect("there is room");
    }
    files::duplicate(5).expect("there is room");
    if arguments.number() == 1 {
        sleep_for_ever(0);
    }
    assert_ne!(arguments.number(), 2, "on purpose");
    0
}

test!(
    /// T75: however a process ends, its descriptors are closed, and files without a name are removed with them.
    t075_every_end_closes,
    {
        files::open("/many", NEW).and_then(files::close).expect("there is room");
        let before = files::figures();
        for number in 0..3 {
            for memory in [MemoryChoice::System, asphodel_test::ISOLATED] {
                let attributes = SpawnAttributes { number, memory, ..SpawnAttributes::default() };
                let pid = spawn(&Program::new("opens", opens_many), &[], &attributes).expect("there is room");
                if number == 1 {
                    await_sleeping(pid);
                    assert_eq!(files::figures().0, before.0 + 41);
                    kill(pid, 9).expect("it is there");
                }
                let status = wait_exit(pid).status();
                match number {
                    0 => assert_exited(status, 0),
                    1 => assert_signaled(status, Signal::KILL),
                    _ => assert_signaled(status, Signal::ABRT),
                }
                assert_eq!(files::figures(), before);
            }
        }
        files::unlink("/many").expect("it is there");
    }
);

test!(
    /// T54, T74: a peer has its leader's descriptors, both ways, and they last as long as one of them.
    t054_t074_peers_share_a_table,
    {
        fn peer(_: &Arguments<'_>) -> i32 {
            let mut byte = [0];
            assert_eq!(files::read(3, &mut byte), Ok(1));
            assert_eq!(byte, [b'b'], "one position for both");
            assert_eq!(files::close(3), Ok(()));
            assert_eq!(files::open("/new", NEW), Ok(3));
            0
        }
        fn leader(_: &Arguments<'_>) -> i32 {
            let file = files::open("/shared", NEW).expect("there is room");
            assert_eq!((file, files::write(file, b"ab")), (3, Ok(2)));
            assert_eq!(files::seek(file, 1, Whence::Start), Ok(1));
            let attributes = SpawnAttributes { peer: true, ..SpawnAttributes::default() };
            let pid = spawn(&Program::new("peer", peer), &[], &attributes).expect("there is room");
            assert_exited(wait_exit(pid).status(), 0);
            assert_eq!(files::write(3, b"x"), Ok(1), "what the peer has opened is here");
            0
        }
        let before = files::figures();
        assert_exited(wait_exit(spawn_child(leader, 0)).status(), 0);
        for name in ["/shared", "/new"] {
            files::unlink(name).expect("it is there");
        }
        assert_eq!(files::figures(), before);
    }
);

test!(
    /// Peers of a leader that has opened nothing yet also share what it opens later.
    t074_peers_of_a_leader_without_a_table,
    {
        fn leader(_: &Arguments<'_>) -> i32 {
            let attributes = SpawnAttributes { peer: true, ..SpawnAttributes::default() };
            let opens = Program::new("peer", |_| i32::from(files::open("/late", NEW) != Ok(3)));
            let pid = spawn(&opens, &[], &attributes).expect("there is room");
            assert_exited(wait_exit(pid).status(), 0);
            i32::from(files::close(3).is_err())
        }
        assert_exited(wait_exit(spawn_child(leader, 0)).status(), 0);
        files::unlink("/late").expect("it is there");
    }
);

test!(descriptors_survive_exec, {
    fn second(_: &Arguments<'_>) -> i32 {
        i32::from(files::write(3, b"x") != Ok(1))
    }
    fn first(_: &Arguments<'_>) -> i32 {
        files::open("/exec", NEW).expect("there is room");
        panic!("{}", exec(&Program::new("second", second), &[], 0))
    }
    assert_exited(wait_exit(spawn_child(first, 0)).status(), 0);
    files::unlink("/exec").expect("it is there");
});

test!(nobody_else_has_them, {
    let file = files::open("/mine", NEW).expect("there is room");
    let child = spawn_child(
        |arguments| i32::from(files::close(arguments.number() as i32) != Err(Errno::EBADF)),
        file as usize,
    );
    assert_exited(wait_exit(child).status(), 0);
    files::unlink("/mine").expect("it is there");
});

test!(
    /// A buffer that is not mapped ends the program that passes it, and no other: all others use files as before.
    bad_buffers_take_no_lock_with_them,
    {
        for reads in [false, true] {
            let child = spawn_child(
                |arguments| {
                    let file = files::open("/bad", NEW).expect("there is room");
                    let nowhere = core::hint::black_box(4096 as *mut u8);
                    // SAFETY: none, which is what is tested.
                    let bytes = unsafe { core::slice::from_raw_parts_mut(nowhere, 100) };
                    let _never = if arguments.number() == 1 { files::read(file, bytes) } else { files::write(file, bytes) };
                    0
                },
                usize::from(reads),
            );
            assert_signaled(wait_exit(child).status(), Signal::SEGV);
        }
        files::unlink("/bad").expect("it is there");
    }
);

test!(
    /// On all CPUs at once: the files of each process are its own, and nothing is left.
    many_at_once,
    deadline_ms = 30_000,
    {
        let before = files::figures();
        let worker = |number: u32| {
            let name = alloc::format!("/worker{number}");
            for round in 0..50_u8 {
                let file = files::open(&name, NEW).expect("there is room");
                assert_eq!(files::write(file, &[round; 3000]), Ok(3000));
                assert_eq!(files::seek(file, 0, Whence::Start), Ok(0));
                let mut bytes = [0; 3000];
                assert_eq!(files::read(file, &mut bytes), Ok(3000));
                assert!(bytes.iter().all(|byte| *byte == round));
                files::close(file).expect("it is open");
                files::unlink(&name).expect("it is there");
            }
        };
        let attributes = |number| asphodel::api::LwpAttributes { stack_size: 64 * 1024, ..on_cpu(number % cpus()) };
        let lwps: Vec<_> = (0..8)
            .map(|number| lwp_run(move || worker(number), &attributes(number)).expect("there is room"))
            .collect();
        for lwp in lwps {
            assert_eq!(lwp.join(), Ok(Some(())));
        }
        // The table of this very process, and its console.
        eventually("nothing is left", || files::figures().2 == before.2 && files::figures().0 <= before.0 + 1);
    }
);

test!(
    /// Contents that are part of the image become a file, in directories that are made for it; a name is given once.
    contents_of_the_image_are_files,
    {
        const TEXT: &[u8] = b"part of the image";
        let before = files::figures();
        assert_eq!(files::add("/fixed/below/text", TEXT), Ok(()));
        assert_eq!(files::add("/fixed/below/text", TEXT), Err(Errno::EEXIST));
        assert_eq!(files::add("/fixed/below/text/more", TEXT), Err(Errno::ENOTDIR));
        assert_eq!(files::stat("/fixed/below").map(|stat| (stat.kind, stat.size)), Ok((Kind::Directory, 1)));
        let file = files::open("/fixed/below/text", OLD).expect("it is there");
        let mut bytes = [0; 20];
        assert_eq!(files::read(file, &mut bytes), Ok(TEXT.len()));
        assert_eq!(&bytes[..TEXT.len()], TEXT);
        files::close(file).expect("it is open");
        files::unlink("/fixed/below/text").expect("it is there");
        for directory in ["/fixed/below", "/fixed"] {
            files::remove_directory(directory).expect("it is empty");
        }
        assert_eq!(files::figures().2, before.2);
    }
);

test!(
    /// A descriptor says what it refers to, and a file is the same by its name and by its number, for as long as it has
    /// either a name or a descriptor.
    a_descriptor_refers_to_an_object,
    {
        assert_eq!(files::object(1), Ok(Object::Console));
        assert_eq!(files::object(77), Err(Errno::EBADF));
        assert_eq!(files::list(1, |_, _, _| true), Err(Errno::ENOTDIR));
        let file = files::open("/object", NEW).expect("there is room");
        assert_eq!(files::write(file, b"four"), Ok(4));
        let Ok(Object::Inode(inode)) = files::object(file) else { panic!("it is a file") };
        let stat = files::stat("/object").expect("it is there");
        assert_eq!((stat.inode, stat.size, stat.links), (inode, 4, 1));
        assert_eq!(files::stat_inode(inode), Ok(stat));
        files::unlink("/object").expect("it is there");
        assert_eq!(files::stat_inode(inode).map(|stat| (stat.size, stat.links)), Ok((4, 0)));
        files::close(file).expect("it is open");
        assert_eq!(files::stat_inode(inode), Err(Errno::ENOENT));
    }
);

test!(
    /// A program that waits for a byte of the console can be killed meanwhile, and holds nothing that others need.
    a_reader_of_the_console_can_be_killed,
    {
        let reader = spawn_child(
            |_| {
                let mut byte = [0];
                i32::from(files::read(0, &mut byte).is_ok())
            },
            0,
        );
        eventually("it waits", || lwps(reader).iter().any(|lwp| lwp.waits_for == Some(WaitReason::Input)));
        assert_eq!(files::write(1, b"# others use the console\n"), Ok(25));
        kill(reader, i32::from(Signal::KILL.number())).expect("it is there");
        assert_signaled(wait_exit(reader).status(), Signal::KILL);
    }
);

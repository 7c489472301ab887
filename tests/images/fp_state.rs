//! Floating-point and SIMD registers belong to the LWP: all of them across a preemption, d8 to d15 and the control
//! register across a call, on whatever CPU it continues. The registers are used in assembly, because the image itself
//! is built without them.
//! machine: not host (the registers are those of aarch64, and the host keeps the state)
#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use asphodel::api::{
    Arguments, CpuMask, LwpAttributes, MemoryChoice, Program, Signal, SpawnAttributes,
    inject_allocation_failure, injection_stop, lwp_run, set_affinity, sleep, spawn, usage, yield_now,
};
use asphodel_test::{assert_exited, assert_signaled, cpus, on_cpu, rounds, test, wait_exit};

asphodel_test::image!();

/// q0 to q31.
type Registers = [u128; 32];

/// Rounding towards plus infinity, flush to zero: bits of FPCR that a program may set.
const CONTROL: u64 = 1 << 22 | 1 << 24;
/// Cumulative inexact and underflow: bits of FPSR.
const STATUS: u64 = 1 << 4 | 1 << 3;

/// A value for each register that no other LWP has in any of its own.
fn pattern(lwp: u64, round: u64) -> Registers {
    let word = |register: u64, half: u64| lwp << 48 | round << 16 | register << 8 | half;
    core::array::from_fn(|register| {
        let register = register as u64;
        u128::from(word(register, 1)) << 64 | u128::from(word(register, 2))
    })
}

macro_rules! all_registers {
    ($instruction:literal) => {
        concat!(
            $instruction,
            " q0, q1, [{r}]\n",
            $instruction,
            " q2, q3, [{r}, #32]\n",
            $instruction,
            " q4, q5, [{r}, #64]\n",
            $instruction,
            " q6, q7, [{r}, #96]\n",
            $instruction,
            " q8, q9, [{r}, #128]\n",
            $instruction,
            " q10, q11, [{r}, #160]\n",
            $instruction,
            " q12, q13, [{r}, #192]\n",
            $instruction,
            " q14, q15, [{r}, #224]\n",
            $instruction,
            " q16, q17, [{r}, #256]\n",
            $instruction,
            " q18, q19, [{r}, #288]\n",
            $instruction,
            " q20, q21, [{r}, #320]\n",
            $instruction,
            " q22, q23, [{r}, #352]\n",
            $instruction,
            " q24, q25, [{r}, #384]\n",
            $instruction,
            " q26, q27, [{r}, #416]\n",
            $instruction,
            " q28, q29, [{r}, #448]\n",
            $instruction,
            " q30, q31, [{r}, #480]\n",
        )
    };
}

fn load(registers: &Registers) {
    // SAFETY: reads 512 bytes; nothing that is compiled for this image uses the registers that it writes.
    unsafe {
        asm!(".arch_extension fp", ".arch_extension simd", all_registers!("ldp"), r = in(reg) registers);
    };
}

fn store() -> Registers {
    let mut registers = [0; 32];
    // SAFETY: writes 512 bytes that are mapped.
    unsafe {
        asm!(".arch_extension fp", ".arch_extension simd", all_registers!("stp"), r = in(reg) &mut registers);
    };
    registers
}

fn set_control(control: u64, status: u64) {
    // SAFETY: rounding mode and flags, for assembly of this file only.
    unsafe { asm!(".arch_extension fp", "msr fpcr, {}", "msr fpsr, {}", in(reg) control, in(reg) status) };
}

fn control() -> (u64, u64) {
    let (control, status);
    // SAFETY: only reads.
    unsafe { asm!(".arch_extension fp", "mrs {}, fpcr", "mrs {}, fpsr", out(reg) control, out(reg) status) };
    (control, status)
}

/// Returns the low halves of q8 to q15: all that a call must preserve.
fn kept(registers: &Registers) -> [u64; 8] {
    core::array::from_fn(|index| registers[8 + index] as u64)
}

test!(the_first_use_finds_zeros, {
    for round in 1..=4 {
        load(&pattern(1, round));
        set_control(CONTROL, STATUS);
        let first_use = || (control(), store());
        let new = lwp_run(first_use, &LwpAttributes::default()).expect("an LWP can be made");
        assert_eq!(new.join(), Ok(Some(((0, 0), [0; 32]))));
    }
});

test!(
    /// Memory for the state fails: there is no call that could return an error, so the process ends as by any
    /// allocation that fails. The state is not allocated from the arena.
    t196_the_first_use_without_memory,
    {
        fn computes(arguments: &Arguments<'_>) -> i32 {
            inject_allocation_failure(arguments.number() as u64);
            load(&pattern(7, 1));
            store()[0] as u8 as i32
        }
        for memory in [MemoryChoice::System, asphodel_test::ISOLATED] {
            let end = |before: usize| {
                let attributes = SpawnAttributes { number: before, memory, ..SpawnAttributes::default() };
                let program = Program::new("computes", computes);
                let status = wait_exit(spawn(&program, &[], &attributes).expect("there is room")).status();
                (status, injection_stop())
            };
            let (status, failed) = end(0);
            assert!(failed, "the state takes memory");
            assert_signaled(status, Signal::ABRT);
            let (status, failed) = end(1);
            assert!(!failed, "it takes it once");
            assert_exited(status, 2);
        }
    }
);

// Two on each CPU that make no calls while they check, so that a change of their registers can only come from a
// preemption.
test!(all_registers_survive_preemption, deadline_ms = 60_000, {
    const TURNS: u32 = 6;
    static LAST: [AtomicU32; 64] = [const { AtomicU32::new(u32::MAX) }; 64];
    static SWITCHES: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
    let body = |lwp: u32| {
        let (last, switches) = (&LAST[lwp as usize / 2], &SWITCHES[lwp as usize / 2]);
        let mut round = 0;
        while switches.load(Ordering::Relaxed) < TURNS {
            round += 1;
            let registers = pattern(u64::from(lwp) + 1, round);
            load(&registers);
            set_control(CONTROL, STATUS);
            for _ in 0..1000 {
                // Another LWP has run in between: one switch more.
                if last.swap(lwp, Ordering::Relaxed) != lwp {
                    switches.fetch_add(1, Ordering::Relaxed);
                }
            }
            assert_eq!(store(), registers);
            assert_eq!(control(), (CONTROL, STATUS));
        }
    };
    let lwps: heapless::Vec<_, 64> = (0..2 * cpus().min(16))
        .map(|lwp| lwp_run(move || body(lwp), &on_cpu(lwp / 2)).expect("an LWP can be made"))
        .collect();
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
    assert!(usage().involuntary_switches > 0, "{:?}", usage());
});

test!(a_call_keeps_what_calls_keep, deadline_ms = 30_000, {
    let rounds = rounds(300);
    let lwps = [1, 2, 3, 4].map(|lwp| {
        let body = move || {
            for round in 1..=rounds {
                let registers = pattern(lwp, round);
                load(&registers);
                set_control(CONTROL, STATUS);
                match round % 8 {
                    0 => _ = sleep(10_000),
                    _ => yield_now(),
                }
                assert_eq!(kept(&store()), kept(&registers));
                assert_eq!(control().0, CONTROL);
            }
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
});

test!(they_move_with_the_lwp, deadline_ms = 30_000, {
    let rounds = rounds(100);
    let lwps = [1, 2, 3].map(|lwp: u64| {
        let body = move || {
            for round in 1..=rounds {
                let registers = pattern(lwp, round);
                load(&registers);
                set_affinity(CpuMask::one((lwp + round) as u32 % cpus())).expect("the CPU is online");
                assert_eq!(kept(&store()), kept(&registers));
            }
        };
        lwp_run(body, &LwpAttributes::default()).expect("an LWP can be made")
    });
    for lwp in lwps {
        assert_eq!(lwp.join(), Ok(Some(())));
    }
});

// Arithmetic in one LWP, while another one that uses no such register runs in between.
test!(whoever_uses_none_does_not_matter, {
    let plain = || {
        for _ in 0..200 {
            yield_now();
        }
    };
    let plain = lwp_run(plain, &on_cpu(0)).expect("an LWP can be made");
    set_affinity(on_cpu(0).affinity).expect("CPU 0 is online");
    let mut sum: u64;
    // SAFETY: registers that nothing else uses.
    unsafe { asm!(".arch_extension fp", "fmov d8, #1.0", "fmov d9, #1.0") };
    for _ in 1..200 {
        yield_now();
        // SAFETY: as above.
        unsafe { asm!(".arch_extension fp", "fadd d8, d8, d9") };
    }
    // SAFETY: as above.
    unsafe { asm!(".arch_extension fp", "fcvtzu {}, d8", out(reg) sum) };
    assert_eq!(sum, 200);
    sum = 0;
    assert_eq!((plain.join(), sum), (Ok(Some(())), 0));
});

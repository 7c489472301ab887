//! The mailbox, by which the CPUs put questions to the VideoCore's firmware.
//!
//! Owns the mailbox's registers and the one message in memory that the firmware reads and answers in; `core::property`
//! decides its contents. Thread context; blocks while another LWP uses it. An answer takes some ten microseconds, for
//! which the caller spins; the wait for firmware that does not answer is limited.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use asphodel::api::Mutex;
use asphodel::api::{now_ticks, relax, ticks_per_second};
use asphodel::testing::board::property::{Message, Question};
use asphodel::testing::board::{drop_lines, map_device, physical_of_image};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

const BASE: u64 = 0xfe00_b880;

register_bitfields! {
    u32,
    /// A word in either mailbox: upper bits of an address, and the channel, which gives the meaning of what lies there.
    MAIL [
        DATA OFFSET(4) NUMBITS(28) [],
        CHANNEL OFFSET(0) NUMBITS(4) [PropertyToVideoCore = 8]
    ],
    /// State of a mailbox.
    STATUS [
        /// No word can be sent.
        FULL OFFSET(31) NUMBITS(1) [],
        /// No word can be received.
        EMPTY OFFSET(30) NUMBITS(1) []
    ]
}

register_structs! {
    /// The registers: mailbox 0 leads to the CPUs, mailbox 1 to the VideoCore. No manual describes them; the names are those of
    /// the firmware's interface (`MAIL0_RD`, `MAIL0_STA`, `MAIL1_WRT`, `MAIL1_STA`).
    Registers {
        /// The next word for the CPUs. Reading it removes it from the mailbox.
        (0x00 => mail0_rd: ReadOnly<u32, MAIL::Register>),
        (0x04 => _reserved0),
        (0x18 => mail0_sta: ReadOnly<u32, STATUS::Register>),
        (0x1c => _reserved1),
        /// A word for the VideoCore.
        (0x20 => mail1_wrt: WriteOnly<u32, MAIL::Register>),
        (0x24 => _reserved2),
        (0x38 => mail1_sta: ReadOnly<u32, STATUS::Register>),
        (0x3c => @END),
    }
}

/// Added to a physical address of the first gibibyte, gives the VideoCore's address of it past its own cache.
const UNCACHED: u32 = 0xc000_0000;

/// The time within which the firmware must answer.
const PATIENCE_MS: u64 = 50;

/// The message, on cache lines of its own.
#[repr(C, align(64))]
struct Shared(UnsafeCell<Message>);

// SAFETY: only the holder of `MAILBOX` uses it, and the firmware while the holder waits.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new([0; 16]));

/// The registers, after the first question.
static MAILBOX: Mutex<Option<Mailbox>> = Mutex::new(None);

struct Mailbox(&'static Registers);

// SAFETY: the registers are a device mapping, valid on every CPU, and only the holder of `MAILBOX` uses them.
unsafe impl Send for Mailbox {}

/// Returns the firmware's answer; `None` if it does not answer, or does not know the question.
pub(super) fn ask(question: Question) -> Option<u32> {
    let mut mailbox = MAILBOX.lock();
    if mailbox.is_none() {
        let registers = map_device(BASE, size_of::<Registers>())?.cast::<Registers>();
        // SAFETY: a device mapping of the block that is never undone; nothing else in the kernel uses the block.
        *mailbox = Some(Mailbox(unsafe { registers.as_ref() }));
    }
    mailbox.as_mut()?.exchange(question)
}

impl Mailbox {
    fn exchange(&mut self, question: Question) -> Option<u32> {
        let message = NonNull::from(&SHARED.0).cast::<Message>();
        let address = u32::try_from(physical_of_image(message.addr().get())).ok()?;
        // The VideoCore cannot reach memory beyond the first gibibyte. The address is a multiple of 16, because the
        // lower bits are the channel.
        let address = Some(address).filter(|address| *address < 1 << 30)? | UNCACHED;
        // SAFETY: the mailbox belongs to this caller, and the firmware has no message.
        unsafe { message.write(question.message()) };
        // The firmware reads and writes memory past the CPUs' caches (BCM2711 ARM Peripherals, 1.2): what was written
        // must be in memory before the firmware reads it, and no line of it may be written back later, over the answer
        // (Arm ARM, section "A64 Cache maintenance instructions"). The barrier at the end also orders it before the
        // register write.
        // SAFETY: the message is mapped.
        unsafe { drop_lines(message.as_ptr()) };
        let data = MAIL::DATA.val(address >> MAIL::DATA.shift);
        self.transact((data + MAIL::CHANNEL::PropertyToVideoCore).into())?;
        // A line that was fetched meanwhile, by speculation, holds the contents from before the answer.
        // SAFETY: as above.
        unsafe { drop_lines(message.as_ptr()) };
        // SAFETY: the firmware has answered and does not use the message any more.
        question.answer(&unsafe { message.read_volatile() })
    }

    /// Sends the word, and receives words until it has come back.
    fn transact(&mut self, word: u32) -> Option<()> {
        let deadline = now_ticks() + ticks_per_second() * PATIENCE_MS / 1000;
        wait(deadline, || !self.0.mail1_sta.is_set(STATUS::FULL))?;
        self.0.mail1_wrt.set(word);
        loop {
            wait(deadline, || !self.0.mail0_sta.is_set(STATUS::EMPTY))?;
            if self.0.mail0_rd.get() == word {
                return Some(());
            }
            // This is a late answer to an earlier question.
        }
    }
}

fn wait(deadline: u64, mut until: impl FnMut() -> bool) -> Option<()> {
    while !until() {
        if now_ticks() > deadline {
            return None;
        }
        relax();
    }
    Some(())
}

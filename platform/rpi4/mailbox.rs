//! The mailbox: asking the VideoCore's firmware.
//!
//! Owns the mailbox's registers and the one message in memory that the firmware reads and answers in; `core::property` says
//! what is in it. Thread context; blocks while another LWP asks. An answer takes some ten microseconds, and is waited for
//! where it is asked for; a firmware that does not answer is given up.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use asphodel::api::Mutex;
use asphodel::arch::{cache, counter, cpu, mmu};
use asphodel::board::property::{Message, Question};
use safe_mmio::fields::{ReadPure, ReadPureWrite};
use safe_mmio::{UniqueMmioPointer, field, field_shared};

const BASE: u64 = 0xfe00_b880;

/// The registers: mailbox 0 leads to the CPUs, mailbox 1 to the VideoCore.
#[repr(C, align(4))]
struct Registers {
    /// 0x00: the next word for the CPUs. Reading takes it.
    read: ReadPureWrite<u32>,
    _peek: [u32; 5],
    /// 0x18.
    read_status: ReadPure<u32>,
    _other: [u32; 1],
    /// 0x20: a word for the VideoCore.
    write: ReadPureWrite<u32>,
    _more: [u32; 5],
    /// 0x38.
    write_status: ReadPure<u32>,
}

const _: () = assert!(core::mem::offset_of!(Registers, write_status) == 0x38);

/// Status: no word can be taken.
const EMPTY: u32 = 1 << 30;
/// Status: no word can be put.
const FULL: u32 = 1 << 31;

/// The channel of property messages, in the lower four bits of a word.
const PROPERTIES: u32 = 8;

/// Added to a physical address of the first gibibyte: how the VideoCore sees it past its own cache.
const UNCACHED: u32 = 0xc000_0000;

/// How long the firmware may take.
const PATIENCE_MS: u64 = 50;

/// The message, on cache lines of its own.
#[repr(C, align(64))]
struct Shared(UnsafeCell<Message>);

// SAFETY: used by the holder of `MAILBOX` alone, and by the firmware while that waits.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new([0; 16]));

/// The registers, once somebody has asked.
static MAILBOX: Mutex<Option<Mailbox>> = Mutex::new(None);

struct Mailbox(UniqueMmioPointer<'static, Registers>);

/// What the firmware answers; `None`: nothing, or it does not know.
pub(super) fn ask(question: Question) -> Option<u32> {
    let mut mailbox = MAILBOX.lock();
    if mailbox.is_none() {
        let registers = mmu::map_device(BASE, size_of::<Registers>())?.cast::<Registers>();
        // SAFETY: a device mapping of the block, just made; nothing else in the kernel uses the block.
        *mailbox = Some(Mailbox(unsafe { UniqueMmioPointer::new(registers) }));
    }
    mailbox.as_mut()?.exchange(question)
}

impl Mailbox {
    fn exchange(&mut self, question: Question) -> Option<u32> {
        let message = NonNull::from(&SHARED.0).cast::<Message>();
        let address = u32::try_from(mmu::physical_of_image(message.addr().get())).ok()?;
        // Beyond the first gibibyte the VideoCore sees nothing; a multiple of 16, since the lower bits are the channel.
        let address = Some(address).filter(|address| *address < 1 << 30)? | UNCACHED;
        // SAFETY: the mailbox is this caller's, and the firmware has no message.
        unsafe { message.write(question.message()) };
        // The firmware reads and writes memory past the CPUs' caches (BCM2711 ARM Peripherals, 1.2): what was written must be
        // there before it looks, and no line of it may be written back later, over the answer (Arm ARM, section "A64 Cache
        // maintenance instructions"). The barrier at the end of this orders it before the register write, too.
        // SAFETY: the message, mapped.
        unsafe { cache::drop_lines(message.as_ptr()) };
        self.transact(address | PROPERTIES)?;
        // A line that was fetched meanwhile, by speculation, has what was there before the answer.
        // SAFETY: as above.
        unsafe { cache::drop_lines(message.as_ptr()) };
        // SAFETY: the firmware has answered and is done with it.
        question.answer(&unsafe { message.read_volatile() })
    }

    /// Puts the word, and takes words until it has come back.
    fn transact(&mut self, word: u32) -> Option<()> {
        let deadline = counter::now() + counter::frequency() * PATIENCE_MS / 1000;
        let mut registers = self.0.reborrow();
        wait(deadline, || field_shared!(registers, write_status).read() & FULL == 0)?;
        field!(registers, write).write(word);
        loop {
            wait(deadline, || field_shared!(registers, read_status).read() & EMPTY == 0)?;
            if field!(registers, read).read() == word {
                return Some(());
            }
            // An answer that came too late for an earlier question.
        }
    }
}

fn wait(deadline: u64, mut until: impl FnMut() -> bool) -> Option<()> {
    while !until() {
        if counter::now() > deadline {
            return None;
        }
        cpu::relax();
    }
    Some(())
}

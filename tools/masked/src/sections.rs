//! Sections with interrupts masked, by the blocks of instructions that a CPU executes.

use std::collections::BTreeMap;

/// A block of instructions that is executed as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    /// Its address.
    pub(crate) address: u64,
    /// How many instructions it has.
    pub(crate) instructions: u64,
    /// `true` if its last instruction waits for an interrupt.
    pub(crate) waits: bool,
}

/// A section of one CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// Where it began: the address of its first block.
    pub(crate) from: u64,
    /// Where it ended: the address of its last block.
    pub(crate) to: u64,
    /// How long it was.
    pub(crate) instructions: u64,
}

impl Section {
    const fn at(address: u64) -> Self {
        Self { from: address, to: address, instructions: 0 }
    }
}

/// The state of one CPU.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// It has waited for an interrupt, or taken one: it is past its boot.
    booted: bool,
    section: Option<Section>,
}

/// The longest section of all that began at an address, for each such address.
#[derive(Debug)]
pub(crate) struct Sections(BTreeMap<u64, Section>);

impl Sections {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// `cpu` executes a block, with interrupts masked or not.
    ///
    /// A wait for an interrupt ends a section, masked or not, because a pending one ends the wait. The section that a
    /// CPU boots in is left out, and so is one that does not end, in which the system powers off.
    pub(crate) fn execute(&mut self, cpu: &mut Cpu, block: &Block, masked: bool) {
        if masked {
            let section = cpu.section.get_or_insert(Section::at(block.address));
            section.instructions += block.instructions;
            section.to = block.address;
        }
        if !masked || block.waits {
            self.end(cpu);
        }
        cpu.booted |= block.waits;
    }

    /// `cpu` takes an interrupt: interrupts were not masked, though perhaps for no instruction.
    pub(crate) fn interrupt(&mut self, cpu: &mut Cpu) {
        self.end(cpu);
        cpu.booted = true;
    }

    /// Interrupts are not masked on `cpu`, or were not.
    fn end(&mut self, cpu: &mut Cpu) {
        if let Some(section) = cpu.section.take()
            && cpu.booted
        {
            self.note(section);
        }
    }

    /// A section has ended.
    fn note(&mut self, section: Section) {
        let longest = self.0.entry(section.from).or_insert(section);
        if section.instructions > longest.instructions {
            *longest = section;
        }
    }

    /// Returns them, the longest first.
    pub(crate) fn longest(&self) -> Vec<Section> {
        let mut sections: Vec<Section> = self.0.values().copied().collect();
        sections.sort_by_key(|section| (core::cmp::Reverse(section.instructions), section.from));
        sections
    }
}

//! What one function does to the stack: how much it takes, what it calls, and where it probes.

use std::collections::BTreeSet;

use super::code::{Step, decode};
use super::image::{Function, Image};

/// How far before a jump to a register its sum is looked for, and behind a new stack pointer the jump, in instructions.
const NEAR: usize = 8;

/// What a function calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Callee {
    /// The function of that index.
    Known(usize),
    /// What is in a register; the address of the call.
    Register(u64),
    /// An address that is in no function.
    Nowhere(u64),
}

/// A probe of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// The index of the instruction behind it.
    pub(super) next: usize,
    /// How far below SP it looks, in bytes.
    pub(super) distance: u32,
}

/// What a part of a function does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The most that it takes of the stack; `None`: SP is set in a way that is not understood.
    pub(super) frame: Option<u32>,
    /// What it calls.
    pub(super) callees: Vec<Callee>,
    /// How far it probes.
    pub(super) probes: Vec<u32>,
}

/// The instructions of one function.
#[derive(Clone, Debug)]
pub(super) struct Summary {
    start: u64,
    steps: Vec<Step>,
    /// The most that it takes of the stack; `None`: SP is set in a way that is not understood.
    pub(super) frame: Option<u32>,
    /// What it calls.
    pub(super) callees: Vec<Callee>,
    /// Where it probes.
    pub(super) probes: Vec<Probe>,
}

impl Summary {
    /// Looks at a function of `image`.
    pub(super) fn of(image: &Image, function: &Function) -> Self {
        let addresses = (function.address..).step_by(4);
        let steps: Vec<Step> =
            function.code.iter().zip(addresses).map(|(word, address)| decode(*word, address)).collect();
        let mut summary =
            Self { start: function.address, steps, frame: Some(0), callees: Vec::new(), probes: Vec::new() };
        let all = 0..summary.steps.len();
        summary.frame = summary.taken(all.clone());
        summary.callees = summary.called(image, all.clone());
        summary.probes = all.filter_map(|index| summary.probe_at(index)).collect();
        summary
    }

    /// Returns what the code from `probe` on takes, calls and probes for, up to the places where such services end, or
    /// those that probe for more. `is_program`: the code is a program's, into which the service was inlined; without
    /// that, the end of a section may be that of an inner one.
    pub(super) fn after(&self, image: &Image, probe: Probe, is_program: bool) -> Part {
        let mut seen = vec![false; self.steps.len()];
        let mut next = vec![probe.next];
        while let Some(index) = next.pop() {
            let is_end = |room: &u32| *room >= probe.distance && (is_program || *room < image.sizes.service);
            let ends = image.ends.get(&self.address(index)).is_some_and(is_end);
            if index >= self.steps.len() || seen[index] || ends {
                continue;
            }
            seen[index] = true;
            match self.steps[index] {
                Step::Return | Step::Stop | Step::LastCall(_) => {}
                Step::Jump(to) => next.extend(self.index_of(to)),
                Step::Branch(to) => next.extend(self.index_of(to).into_iter().chain([index + 1])),
                // Any of its places may be in the table.
                Step::JumpRegister(_) if self.is_table_jump(index) => next.extend(0..self.steps.len()),
                Step::JumpRegister(_) => {}
                _ => next.push(index + 1),
            }
        }
        let indices = || (0..seen.len()).filter(|index| seen[*index]);
        // One that begins in there: the probe itself is before it.
        let probes = self.probes.iter().filter(|inner| seen[inner.next - 1]);
        Part {
            frame: self.taken(indices()),
            callees: self.called(image, indices()),
            probes: probes.map(|probe| probe.distance).collect(),
        }
    }

    /// Returns whether the function may return: a jump to another one counts as that.
    pub(super) fn returns(&self) -> bool {
        (0..self.steps.len()).any(|index| match self.steps[index] {
            Step::Return => true,
            Step::Jump(to) | Step::Branch(to) => self.index_of(to).is_none(),
            Step::JumpRegister(_) => !self.is_table_jump(index),
            _ => false,
        })
    }

    /// Takes note that calls of these addresses never return.
    pub(super) fn set_last_calls(&mut self, last: &BTreeSet<u64>) {
        for step in &mut self.steps {
            if let Step::Call(to) = *step
                && last.contains(&to)
            {
                *step = Step::LastCall(to);
            }
        }
    }

    /// Returns the steps.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Returns the address of the instruction of that index.
    pub(super) fn address(&self, index: usize) -> u64 {
        self.start + 4 * index as u64
    }

    /// Returns the index of the instruction at `address`, if it is one of this function.
    pub(super) fn index_of(&self, address: u64) -> Option<usize> {
        let index = usize::try_from(address.checked_sub(self.start)? / 4).ok()?;
        (index < self.steps.len()).then_some(index)
    }

    /// Returns how much of the stack these instructions take together, at most.
    fn taken(&self, indices: impl Iterator<Item = usize>) -> Option<u32> {
        let mut sum = 0;
        for index in indices {
            sum += match self.steps[index] {
                Step::Lower(bytes) => bytes,
                // The value has been computed just before, and is rounded down.
                Step::Align { from, multiple } => self.below(index, from)? + multiple,
                // What follows is on another stack.
                Step::Replace if self.leaves(index) => 0,
                Step::Replace => return None,
                _ => 0,
            };
        }
        Some(sum)
    }

    /// Returns how far below SP a register has been set, shortly before.
    fn below(&self, index: usize, register: u32) -> Option<u32> {
        self.steps[index.saturating_sub(NEAR)..index].iter().rev().find_map(|step| match *step {
            Step::Below { register: set, bytes } if set == register => Some(bytes),
            _ => None,
        })
    }

    /// Returns the probe that ends at an instruction.
    fn probe_at(&self, index: usize) -> Option<Probe> {
        let Step::Touch { register, offset } = self.steps[index] else { return None };
        match self.steps[index.checked_sub(1)?] {
            Step::Below { register: set, bytes } if set == register => {
                Some(Probe { next: index + 1, distance: bytes.checked_sub(offset)? })
            }
            _ => None,
        }
    }

    /// Returns whether SP, which is set here, is another context's: control leaves the function soon.
    fn leaves(&self, index: usize) -> bool {
        let behind = &self.steps[index + 1..(index + 1 + NEAR).min(self.steps.len())];
        let next = behind.iter().find(|step| **step != Step::Other);
        self.steps[index] == Step::Replace
            && matches!(next, Some(Step::Return | Step::Stop | Step::JumpRegister(_)))
    }

    /// Returns whether the jump to a register is made on another stack.
    fn is_on_another_stack(&self, index: usize) -> bool {
        (index.saturating_sub(NEAR)..index).any(|before| {
            let between = &self.steps[before + 1..index];
            self.steps[before] == Step::Replace && between.iter().all(|step| *step == Step::Other)
        })
    }

    /// Returns whether the jump to a register goes to a place in a table of this function's.
    pub(super) fn is_table_jump(&self, index: usize) -> bool {
        let Step::JumpRegister(register) = self.steps[index] else { return false };
        self.steps[index.saturating_sub(NEAR)..index].contains(&Step::Sum(register))
    }

    /// Returns what an instruction calls.
    pub(super) fn callees_at(&self, image: &Image, index: usize) -> Vec<Callee> {
        self.called(image, std::iter::once(index))
    }

    /// Returns what these instructions call; a jump out of the function is a call, too.
    fn called(&self, image: &Image, indices: impl Iterator<Item = usize>) -> Vec<Callee> {
        let known = |address| image.find(address).map_or(Callee::Nowhere(address), Callee::Known);
        let mut callees: Vec<Callee> = indices
            .filter_map(|index| match self.steps[index] {
                Step::Call(to) | Step::LastCall(to) => Some(known(to)),
                Step::Jump(to) | Step::Branch(to) if self.index_of(to).is_none() => Some(known(to)),
                Step::CallRegister => Some(Callee::Register(self.address(index))),
                Step::JumpRegister(_) if self.is_on_another_stack(index) => None,
                Step::JumpRegister(_) if !self.is_table_jump(index) => {
                    Some(Callee::Register(self.address(index)))
                }
                _ => None,
            })
            .collect();
        callees.sort_unstable();
        callees.dedup();
        callees
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Functions of these instructions, one behind the other from 0x1000 on.
    fn image(functions: &[&[u32]]) -> Image {
        let mut image = Image::default();
        let mut address = 0x1000;
        for code in functions {
            let name = format!("f{}", image.functions.len());
            image.functions.push(Function { name, address, code: code.to_vec() });
            address += 4 * code.len() as u64;
        }
        image
    }

    const RET: u32 = 0xd65f_03c0;
    const SUB_80: u32 = 0xd101_43ff;
    const BLR: u32 = 0xd63f_0100;

    #[test]
    fn frames_and_calls() {
        // stp x29, x30, [sp, #-96]!; sub sp, sp, #80; bl f1; b f1; with f1: ret.
        let image = image(&[&[0xa9ba_7bfd, SUB_80, 0x9400_0002, 0x1400_0001], &[RET]]);
        let summary = Summary::of(&image, &image.functions[0]);
        assert_eq!((summary.frame, summary.callees), (Some(176), vec![Callee::Known(1)]));
        assert_eq!(Summary::of(&image, &image.functions[1]).frame, Some(0));
    }

    #[test]
    fn an_aligned_frame_counts_what_the_alignment_may_take() {
        // sub x9, sp, #320; and sp, x9, #-64.
        let image = image(&[&[0xd105_03e9, 0x927a_e53f, RET], &[0x927a_e53f, RET], &[0x9100_003f, BLR, RET]]);
        let frames = [0, 1, 2].map(|index| Summary::of(&image, &image.functions[index]).frame);
        assert_eq!(frames, [Some(384), None, None], "without the subtraction, and for mov sp, x1");
    }

    #[test]
    fn a_jump_by_a_table_is_no_call() {
        // add x8, x8, w9, uxtw #2; br x8, and br x8 alone.
        let image = image(&[&[0x8b29_4908, 0xd61f_0100, RET], &[0xd61f_0100]]);
        assert_eq!(Summary::of(&image, &image.functions[0]).callees, []);
        assert_eq!(Summary::of(&image, &image.functions[1]).callees, [Callee::Register(0x100c)]);
    }

    #[test]
    fn what_comes_behind_a_probe_ends_at_a_mark() {
        // blr x8; sub x8, sp, #2, lsl #12; ldr xzr, [x8, #40]; sub sp, sp, #80; (mark) blr x8; ret.
        let mut image = image(&[&[BLR, 0xd140_0be8, 0xf940_151f, SUB_80, BLR, RET]]);
        let summary = Summary::of(&image, &image.functions[0]);
        let probe = Probe { next: 3, distance: 8192 - 40 };
        assert_eq!(summary.probes, [probe]);
        image.ends.insert(0x1010, 8192 - 40);
        let part = |callees| Part { frame: Some(80), callees, probes: vec![] };
        assert_eq!(summary.after(&image, probe, true), part(vec![]));
        assert_eq!(summary.after(&image, probe, false), part(vec![Callee::Register(0x1010)]));
    }

    #[test]
    fn what_comes_on_another_stack_counts_nothing() {
        // mov sp, x1; mov x29, xzr; br x8, and mov sp, x1; blr x8.
        let image = image(&[&[0x9100_003f, 0xaa1f_03fd, 0xd61f_0100], &[0x9100_003f, BLR]]);
        let [leaves, stays] = [0, 1].map(|index| Summary::of(&image, &image.functions[index]));
        assert_eq!((leaves.frame, leaves.callees), (Some(0), vec![]));
        assert_eq!((stays.frame, stays.callees), (None, vec![Callee::Register(0x1010)]));
    }
}

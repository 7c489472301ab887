//! What of a machine's description is not used: the kernel boots with the rest, and prints a line for each.
//!
//! Plain numbers, filled in while the description is made, before there is an allocator.

use core::fmt;

/// What is not used, by its amount; 0: nothing of that kind is left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LeftOut {
    /// Bytes of memory beyond what the kernel can reach.
    pub memory_beyond: u64,
    /// Bytes of memory in the smallest of too many separate regions.
    pub memory_regions: u64,
    /// Bytes of addresses between reserved regions that became one, because there are too many.
    pub between_reserved: u64,
    /// Memory nodes whose regions cannot be read.
    pub memory_nodes: usize,
    /// CPU nodes without a number that can be read.
    pub cpus_without_number: usize,
    /// CPU nodes with a number that another one has.
    pub cpus_twice: usize,
    /// CPUs beyond the most that there can be.
    pub cpus_beyond: usize,
    /// UARTs beyond the most that are looked at.
    pub uarts_beyond: usize,
    /// Redistributor regions beyond the most that there can be.
    pub redistributors_beyond: usize,
    /// Bytes of boot arguments, from the end of the boot loader's.
    pub boot_arguments: usize,
}

impl LeftOut {
    /// Calls `print` with a line for each kind of which something is left out.
    pub fn each(&self, mut print: impl FnMut(fmt::Arguments<'_>)) {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let mut amount = |count: u64, line: fmt::Arguments<'_>| {
            if count > 0 {
                print(line);
            }
        };
        let (beyond, regions, between) =
            (mib(self.memory_beyond), mib(self.memory_regions), mib(self.between_reserved));
        amount(
            beyond,
            format_args!("{beyond} MiB of memory are not used: they lie beyond what can be reached"),
        );
        amount(
            regions,
            format_args!("{regions} MiB of memory are not used: there are too many separate regions"),
        );
        amount(
            between,
            format_args!("{between} MiB are not used: they lie between too many reserved regions"),
        );
        let mut count = |count: usize, line: fmt::Arguments<'_>| amount(count as u64, line);
        let Self { memory_nodes, cpus_without_number, cpus_twice, cpus_beyond, .. } = self;
        let Self { uarts_beyond, redistributors_beyond, boot_arguments, .. } = self;
        count(
            *memory_nodes,
            format_args!("{memory_nodes} memory nodes are not used: no regions can be read"),
        );
        count(
            *cpus_without_number,
            format_args!("{cpus_without_number} CPU nodes are not used: no number can be read"),
        );
        count(*cpus_twice, format_args!("{cpus_twice} CPU nodes are not used: their numbers occur twice"));
        count(*cpus_beyond, format_args!("{cpus_beyond} CPUs are not used: there are too many"));
        count(*uarts_beyond, format_args!("{uarts_beyond} UARTs are not looked at: there are too many"));
        count(
            *redistributors_beyond,
            format_args!("{redistributors_beyond} redistributor regions are not used: there are too many"),
        );
        count(
            *boot_arguments,
            format_args!(
                "{boot_arguments} bytes at the end of the loader's boot arguments are not used: the line is too long"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(left_out: LeftOut) -> Vec<String> {
        let mut lines = Vec::new();
        left_out.each(|line| lines.push(line.to_string()));
        lines
    }

    #[test]
    fn each_kind_has_a_line_if_there_is_something() {
        assert!(lines(LeftOut::default()).is_empty());
        let some = LeftOut { memory_beyond: (1 << 20) + 1, cpus_twice: 3, ..LeftOut::default() };
        let expected = [
            "2 MiB of memory are not used: they lie beyond what can be reached",
            "3 CPU nodes are not used: their numbers occur twice",
        ];
        assert_eq!(lines(some), expected);
        let all = LeftOut {
            memory_beyond: 1,
            memory_regions: 1,
            between_reserved: 1,
            memory_nodes: 1,
            cpus_without_number: 1,
            cpus_twice: 1,
            cpus_beyond: 1,
            uarts_beyond: 1,
            redistributors_beyond: 1,
            boot_arguments: 1,
        };
        assert!(lines(all).iter().all(|line| line.starts_with("1 ")));
        assert_eq!(lines(all).len(), 10);
    }
}

//! How much stack each function needs, with all that it calls.

use std::collections::BTreeSet;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;

use super::image::Image;
use super::summary::{Callee, Summary};
use super::table::{Table, is_named};

/// The deepest chain of calls from a function on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Chain {
    /// Bytes, the function's own included.
    pub(super) bytes: u32,
    /// Its own part.
    pub(super) own: u32,
    /// The function that it calls for the deepest chain.
    pub(super) next: Option<usize>,
}

/// What a function needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Need {
    /// For all frames of the deepest chain.
    pub(super) frames: Chain,
    /// For all frames to a probe of a service without a section, and what that looks for; 0 bytes if there is none.
    pub(super) probes: Chain,
}

/// The calls of an image, and the needs of its functions.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    pub(super) image: &'a Image,
    pub(super) summaries: Vec<Summary>,
    table: &'a Table,
    needs: Vec<Need>,
    /// What cannot be computed, of the functions that are reached.
    pub(super) problems: BTreeSet<String>,
}

/// What is known of a function before its callees are.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    frame: u32,
    /// What it calls that is known by its size only.
    leaf: u32,
    probe: u32,
}

impl<'a> Graph<'a> {
    /// Looks at all functions of an image.
    pub(super) fn new(image: &'a Image, table: &'a Table) -> Self {
        let mut summaries: Vec<Summary> =
            image.functions.iter().map(|function| Summary::of(image, function)).collect();
        let last = summaries.iter().filter(|summary| !summary.returns()).map(|summary| summary.address(0));
        let last: BTreeSet<u64> = last.collect();
        summaries.iter_mut().for_each(|summary| summary.set_last_calls(&last));
        let needs = vec![Need::default(); image.functions.len()];
        Self { image, summaries, table, needs, problems: BTreeSet::new() }
    }

    /// Returns the name of a function.
    pub(super) fn name(&self, function: usize) -> &str {
        &self.image.functions[function].name
    }

    /// Returns the functions whose names contain `part`, or if it ends with `$`, end with what is before.
    pub(super) fn named(&self, part: &str) -> Vec<usize> {
        (0..self.image.functions.len()).filter(|function| is_named(self.name(*function), part)).collect()
    }

    /// Returns the functions that `function` calls on its stack by these calls, and the bytes that what is not known by
    /// name needs. `is_outermost`: it has been entered by a program, and probes.
    pub(super) fn resolve(
        &mut self,
        function: usize,
        callees: &[Callee],
        is_outermost: bool,
    ) -> (Vec<usize>, u32) {
        let (mut known, mut bytes) = (Vec::new(), 0);
        for callee in callees {
            match *callee {
                Callee::Known(callee) => known.push(callee),
                Callee::Register(address) => {
                    bytes = bytes.max(self.resolve_register(function, address, &mut known));
                }
                Callee::Nowhere(address) => {
                    self.problems.insert(format!("{} calls {address:#x}", self.name(function)));
                }
            }
        }
        known.retain(|callee| !self.table.is_cut(self.name(function), self.name(*callee), is_outermost));
        known.sort_unstable();
        known.dedup();
        (known, bytes)
    }

    /// Adds what the call at `address` of what is in a register may lead to, and returns the bytes of what has no name.
    fn resolve_register(&mut self, function: usize, address: u64, known: &mut Vec<usize>) -> u32 {
        let places = self.image.lines.places(address);
        let Some(targets) = self.table.indirect(self.name(function), &places) else {
            let places: Vec<String> =
                places.iter().map(|place| format!("{} of {}", place.function, place.file)).collect();
            let places = places.join(", in ");
            self.problems.insert(format!("{} calls what is in a register, in {places}", self.name(function)));
            return 0;
        };
        for part in targets.to {
            let mut named = self.named(part);
            named.retain(|target| !self.table.is_program(self.name(*target)));
            known.extend(named);
        }
        targets.stack
    }

    /// Returns a frame's size, or 0 and a problem if it is not known. A function that sets SP is listed with those that
    /// call what is in a register.
    pub(super) fn frame_of(&mut self, function: usize, frame: Option<u32>) -> u32 {
        frame.unwrap_or_else(|| match self.table.indirect(self.name(function), &[]) {
            Some(targets) => targets.stack,
            None => {
                self.problems.insert(format!("{} sets the stack pointer", self.name(function)));
                0
            }
        })
    }

    /// Returns the largest of these distances that a section has in reserve for the service that probes for it; the
    /// probes of a section itself are not made inside another one.
    pub(super) fn inner_probe(&self, distances: impl Iterator<Item = u32>) -> u32 {
        let limit = self.image.sizes.nested;
        distances.filter(|distance| *distance <= limit).max().unwrap_or(0)
    }

    /// Computes the needs of `roots` and of everything that they call.
    pub(super) fn compute(&mut self, roots: &[usize]) {
        let mut calls = DiGraphMap::<usize, ()>::new();
        let mut own = vec![None; self.summaries.len()];
        let mut next = roots.to_vec();
        while let Some(function) = next.pop() {
            if own[function].is_some() {
                continue;
            }
            calls.add_node(function);
            let callees = self.summaries[function].callees.clone();
            let (known, leaf) = self.resolve(function, &callees, false);
            let probe = self.inner_probe(self.summaries[function].probes.iter().map(|probe| probe.distance));
            let frame = self.frame_of(function, self.summaries[function].frame);
            own[function] = Some(Own { frame, leaf, probe });
            for callee in known {
                calls.add_edge(function, callee, ());
                next.push(callee);
            }
        }
        let own: Vec<Own> = own.into_iter().map(Option::unwrap_or_default).collect();
        // Callees come before their callers.
        for ring in tarjan_scc(&calls) {
            self.close(&ring, &calls, &own);
        }
    }

    /// Computes the needs of functions that call each other, or of a single one.
    fn close(&mut self, ring: &[usize], calls: &DiGraphMap<usize, ()>, own: &[Own]) {
        let outside: Vec<usize> = ring
            .iter()
            .flat_map(|function| calls.neighbors(*function))
            .filter(|callee| !ring.contains(callee))
            .collect();
        let is_ring = ring.len() > 1 || calls.contains_edge(ring[0], ring[0]);
        let frame = ring.iter().map(|function| own[*function].frame).max().unwrap_or(0);
        let frame = frame * if is_ring { self.frames_of_ring(ring) } else { 1 };
        let leaf = ring.iter().map(|function| own[*function].leaf).max().unwrap_or(0);
        let probe = ring.iter().map(|function| own[*function].probe).max().unwrap_or(0);
        let need = self.deepest(frame, leaf, probe, &outside);
        for function in ring {
            self.needs[*function] = need;
        }
    }

    /// Returns the most functions of a ring that are on the stack at once; one and a problem if that is not known.
    fn frames_of_ring(&mut self, ring: &[usize]) -> u32 {
        let names: Vec<&str> = ring.iter().map(|function| self.name(*function)).collect();
        let frames = self.table.frames(&names);
        if frames.is_none() {
            let problem = format!("these call each other: {}", names.join(", "));
            self.problems.insert(problem);
        }
        frames.unwrap_or(1)
    }

    /// Returns what code needs that takes `frame` bytes, calls something that needs `leaf` bytes, probes for `probe`
    /// bytes, and calls `callees`.
    pub(super) fn deepest(&self, frame: u32, leaf: u32, probe: u32, callees: &[usize]) -> Need {
        let chain = |least: u32, of: fn(&Need) -> Chain| {
            let next = callees.iter().copied().max_by_key(|callee| of(&self.needs[*callee]).bytes);
            let next = next.filter(|callee| of(&self.needs[*callee]).bytes > least);
            match next {
                Some(callee) => {
                    Chain { bytes: frame + of(&self.needs[callee]).bytes, own: frame, next: Some(callee) }
                }
                None => Chain { bytes: frame + least, own: frame + least, next: None },
            }
        };
        let probes = chain(probe, |need| need.probes);
        let is_probed = probe > 0 || probes.next.is_some();
        Need {
            frames: chain(leaf, |need| need.frames),
            probes: if is_probed { probes } else { Chain::default() },
        }
    }

    /// Returns a chain's functions, one line each, the first of which is called `name`.
    pub(super) fn lines(&self, name: &str, first: Chain, of: fn(&Need) -> Chain) -> Vec<String> {
        let mut lines = vec![format!("{:>9}  {name}", first.own)];
        let mut next = first.next;
        while let Some(function) = next {
            let chain = of(&self.needs[function]);
            lines.push(format!("{:>9}  {}", chain.own, self.name(function)));
            next = chain.next;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::{Function, Sizes};
    use super::super::table::tests::HEAD;
    use super::*;

    const RET: u32 = 0xd65f_03c0;
    const SUB_80: u32 = 0xd101_43ff;
    const BLR: u32 = 0xd63f_0100;

    /// A call, `by` instructions forwards.
    fn call(by: i32) -> u32 {
        0x9400_0000 | by as u32 & 0x03ff_ffff
    }

    fn image(functions: &[(&str, &[u32])]) -> Image {
        let mut image = Image::default();
        let mut address = 0x1000;
        for (name, code) in functions {
            image.functions.push(Function { name: (*name).into(), address, code: code.to_vec() });
            address += 4 * code.len() as u64;
        }
        image
    }

    fn needs(functions: &[(&str, &[u32])], entries: &str) -> (Vec<u32>, Vec<String>) {
        let table = Table::parse(&format!("{HEAD}{entries}")).unwrap();
        let image = image(functions);
        let mut graph = Graph::new(&image, &table);
        graph.compute(&[0]);
        let needs = (0..functions.len()).map(|function| graph.needs[function].frames.bytes).collect();
        (needs, graph.problems.into_iter().collect())
    }

    #[test]
    fn the_deepest_chain_counts() {
        // a calls b and c; c calls b. d is not reached, whatever it does.
        let functions: [(&str, &[u32]); 4] = [
            ("a", &[SUB_80, call(3), call(4), RET]),
            ("b", &[SUB_80, RET]),
            ("c", &[SUB_80, call(-3), RET]),
            ("d", &[BLR, RET]),
        ];
        assert_eq!(needs(&functions, ""), (vec![240, 80, 160, 0], vec![]));
    }

    #[test]
    fn recursion_is_refused_unless_it_is_listed() {
        let functions: [(&str, &[u32]); 2] =
            [("a", &[SUB_80, call(2), RET]), ("b", &[SUB_80, call(-4), RET])];
        assert_eq!(needs(&functions, "").1, ["these call each other: b, a"]);
        let entry = "[[recursion]]\nreason = \"r\"\nmembers = [\"a\", \"b\"]\nframes = 4\n";
        assert_eq!(needs(&functions, entry), (vec![320, 320], vec![]));
    }

    #[test]
    fn what_is_in_a_register_is_refused_unless_it_is_listed() {
        let functions: [(&str, &[u32]); 2] = [("a", &[SUB_80, BLR, RET]), ("target", &[SUB_80, SUB_80, RET])];
        assert_eq!(needs(&functions, "").1, ["a calls what is in a register, in "]);
        let entry = "[[indirect]]\nfunction = \"a\"\nreason = \"r\"\n";
        assert_eq!(needs(&functions, &format!("{entry}stack = 100\n")).0[0], 180);
        assert_eq!(needs(&functions, &format!("{entry}to = [\"target\"]\n")).0[0], 240);
        assert_eq!(needs(&functions, &format!("{entry}to = [\"gone\"]\n")).0[0], 80);
    }

    #[test]
    fn a_probe_of_a_service_counts_and_that_of_a_section_does_not() {
        // a calls b, which looks 1024 bytes below: sub x8, sp, #1, lsl #12; ldr xzr, [x8, #3072]. Then one of 4096.
        for (touch, expected) in [(0xf946_011f, 80 + 1024), (0xf940_011f, 0)] {
            let image = image(&[("a", &[SUB_80, call(2), RET]), ("b", &[0xd140_07e8, touch, RET])]);
            let image = Image { sizes: Sizes { nested: 1024, ..Sizes::default() }, ..image };
            let table = Table::parse(HEAD).unwrap();
            let mut graph = Graph::new(&image, &table);
            graph.compute(&[0]);
            let need = graph.needs[0];
            assert_eq!((need.frames.bytes, need.probes.bytes), (80, expected));
        }
    }

    #[test]
    fn a_call_that_is_cut_needs_nothing() {
        let functions: [(&str, &[u32]); 2] = [("a", &[SUB_80, call(2), RET]), ("b", &[SUB_80, RET])];
        let entry = "[[cut]]\nfrom = \"a\"\nto = \"b\"\nreason = \"r\"\n";
        assert_eq!(needs(&functions, entry).0[0], 80);
    }
}

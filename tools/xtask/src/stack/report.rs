//! What is computed of one image, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};

use super::entry;
use super::graph::{Chain, Graph, Need};
use super::image::{Image, Place};
use super::summary::{Part, Probe, Summary};
use super::table::{Table, is_named};

/// Files of the kernel have this in their path.
const KERNEL: &str = "src/kernel/src/";

/// The result.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// What is needed and reserved, for people.
    pub(super) text: String,
    /// What is wrong.
    pub(super) problems: Vec<String>,
}

/// The kinds of probes, with what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    name: &'static str,
    /// What is reserved, in bytes.
    reserved: u32,
    /// What must fit besides the frames, in bytes.
    besides: u32,
}

/// The code behind one probe, or what runs on a stack of its own.
struct Root {
    /// What it belongs to.
    service: String,
    reserved: u32,
    own: u32,
    leaf: u32,
    probe: u32,
    callees: Vec<usize>,
}

/// Computes what every probe must hold, and the stacks of preemption and of exceptions.
///
/// `is_inlined`: services are inlined into programs, so where programs enter them is not looked at.
pub(super) fn examine(image: &Image, table: &Table, is_inlined: bool, chains: bool) -> Findings {
    let mut graph = Graph::new(image, table);
    let mut probed: Vec<Root> = roots_of_probes(&mut graph, image, table);
    probed.extend(redirected(&mut graph, table));
    let preemption = whole(&graph, std::slice::from_ref(&table.preemption));
    let exceptions = whole(&graph, &table.exceptions);
    let threads = whole(&graph, &table.threads);
    let all = probed.iter().chain(&preemption).chain(&exceptions).chain(&threads);
    graph.compute(&all.flat_map(|root| root.callees.iter().copied()).collect::<Vec<usize>>());
    let unprobed = if is_inlined { BTreeSet::new() } else { entry::unprobed(&mut graph, table) };
    let problems = graph.problems.iter().cloned().chain(unprobed).collect();
    let mut findings = Findings { problems, ..Findings::default() };
    for kind in kinds(image) {
        let of_kind: Vec<&Root> = probed.iter().filter(|root| root.reserved == kind.reserved).collect();
        findings.tell(&graph, kind, &of_kind, chains);
    }
    let sizes = image.sizes;
    let interrupt = sizes.frame + sizes.preemption;
    let stacks = [
        ("preemption, on the thread's stack", &preemption, sizes.preemption, 0),
        ("exceptions, on the CPU's exception stack", &exceptions, sizes.exceptions, sizes.frame),
        ("kernel threads, on their stacks", &threads, sizes.thread, interrupt),
    ];
    for (name, roots, reserved, besides) in stacks {
        let roots: Vec<&Root> = roots.iter().collect();
        findings.tell(&graph, Kind { name, reserved, besides }, &roots, chains);
    }
    let known = kinds(image).map(|kind| kind.reserved);
    for root in probed.iter().filter(|root| !known.contains(&root.reserved)) {
        let Root { service, reserved, .. } = root;
        findings.problems.push(format!("{service} probes for {reserved} bytes, which is no kind"));
    }
    findings
}

/// Returns the kinds of probes.
fn kinds(image: &Image) -> [Kind; 4] {
    let sizes = image.sizes;
    [
        // Interrupts are unmasked in the most part of it, and one that preempts it puts its frame on the stack.
        Kind { name: "system calls", reserved: sizes.service, besides: sizes.frame + sizes.preemption },
        Kind { name: "services that mask interrupts", reserved: sizes.small, besides: 0 },
        Kind { name: "services that use one of those", reserved: sizes.nested, besides: 0 },
        // What is outermost in them probes once more.
        Kind { name: "calls of loaded programs", reserved: sizes.loaded, besides: sizes.service },
    ]
}

/// Returns what comes behind each probe of programs.
fn roots_of_probes(graph: &mut Graph<'_>, image: &Image, table: &Table) -> Vec<Root> {
    let is_thread = |function: &usize| {
        table.threads.iter().any(|thread| is_named(&image.functions[*function].name, thread))
    };
    let found: Vec<(usize, Probe)> = (0..image.functions.len())
        .filter(|function| !is_thread(function))
        .flat_map(|function| graph.summaries[function].probes.iter().map(move |probe| (function, *probe)))
        .collect();
    let root = |(function, probe): (usize, Probe)| {
        let is_program = table.is_program(graph.name(function));
        let Part { frame, callees, probes } = graph.summaries[function].after(image, probe, is_program);
        let own = graph.frame_of(function, frame);
        let (callees, leaf) = graph.resolve(function, &callees, true);
        let address = graph.summaries[function].address(probe.next - 1);
        let service = service_of(&image.lines.places(address), graph.name(function));
        let probe_inside = graph.inner_probe(probes.into_iter());
        Root { service, reserved: probe.distance, own, leaf, probe: probe_inside, callees }
    };
    found.into_iter().map(root).collect()
}

/// Returns what exceptions make threads continue with: as what comes behind the probe of a system call.
fn redirected(graph: &mut Graph<'_>, table: &Table) -> Vec<Root> {
    let functions: Vec<usize> = table.redirected.iter().flat_map(|name| graph.named(name)).collect();
    let root = |function: usize| {
        let Summary { frame, callees, .. } = graph.summaries[function].clone();
        let own = graph.frame_of(function, frame);
        let (callees, leaf) = graph.resolve(function, &callees, true);
        let reserved = graph.image.sizes.service;
        Root { service: graph.name(function).to_string(), reserved, own, leaf, probe: 0, callees }
    };
    functions.into_iter().map(root).collect()
}

/// Returns functions as roots, with all that they do.
fn whole(graph: &Graph<'_>, names: &[String]) -> Vec<Root> {
    let root = |function: usize| Root {
        service: graph.name(function).to_string(),
        reserved: 0,
        own: 0,
        leaf: 0,
        probe: 0,
        callees: vec![function],
    };
    names.iter().flat_map(|name| graph.named(name)).map(root).collect()
}

/// Returns whether code is the kernel's, with what was inlined into it and what it was inlined into.
pub(super) fn is_kernel(places: &[Place]) -> bool {
    places.iter().any(|place| place.file.contains(KERNEL))
}

/// Returns the name of the service that code belongs to: the outermost function of the kernel's that was inlined there,
/// with its file, or the function in the symbol table.
pub(super) fn service_of(places: &[Place], symbol: &str) -> String {
    let outermost = places.iter().rfind(|place| place.file.contains(KERNEL));
    outermost.map_or_else(
        || symbol.to_string(),
        |place| {
            let file = place.file.split_once(KERNEL).map_or(place.file.as_str(), |parts| parts.1);
            // Generics are one service, whatever they are of.
            let name = place.function.split('<').next().unwrap_or_default();
            format!("{name} ({file})")
        },
    )
}

/// What a service needs: the frames with what must fit besides, or a chain to a probe inside it.
struct Needed {
    service: String,
    bytes: u32,
    lines: Vec<String>,
}

impl Root {
    fn needed(&self, graph: &Graph<'_>, besides: u32) -> Needed {
        let Need { frames, probes } = graph.deepest(self.own, self.leaf, self.probe, &self.callees);
        let lines = |chain: Chain, of: fn(&Need) -> Chain| graph.lines(&self.service, chain, of);
        let (bytes, mut lines, last) = if frames.bytes + besides >= probes.bytes {
            (frames.bytes + besides, lines(frames, |need| need.frames), besides)
        } else {
            (probes.bytes, lines(probes, |need| need.probes), 0)
        };
        if last > 0 {
            lines.push(format!("{last:>9}  (besides)"));
        }
        Needed { service: self.service.clone(), bytes, lines }
    }
}

impl Findings {
    /// Reports the deepest of these roots, and a problem for each that does not fit.
    fn tell(&mut self, graph: &Graph<'_>, kind: Kind, roots: &[&Root], chains: bool) {
        let Kind { name, reserved, besides } = kind;
        // A service may be inlined in several places.
        let mut services = BTreeMap::<String, Needed>::new();
        for root in roots {
            let needed = root.needed(graph, besides);
            let known = services.entry(needed.service.clone()).or_insert_with(|| root.needed(graph, besides));
            if known.bytes < needed.bytes {
                *known = needed;
            }
        }
        let mut services: Vec<Needed> = services.into_values().collect();
        services.sort_by_key(|needed| std::cmp::Reverse(needed.bytes));
        let Some(deepest) = services.first() else {
            return self.problems.push(format!("{name}: the image has none"));
        };
        self.text.push_str(&format!(
            "{name}: {} of {reserved} bytes are needed at most; in {} services\n",
            deepest.bytes,
            services.len()
        ));
        for needed in services.iter().take(if chains { usize::MAX } else { 1 }) {
            self.text.push_str(&format!("  {} needs {} bytes\n", needed.service, needed.bytes));
            for line in &needed.lines {
                self.text.push_str(line);
                self.text.push('\n');
            }
        }
        for Needed { service, bytes, .. } in services.iter().filter(|needed| needed.bytes > reserved) {
            self.problems.push(format!("{name}: {service} needs {bytes} bytes, and {reserved} are reserved"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::{Function, Lines, Sizes};
    use super::super::table::tests::HEAD;
    use super::*;

    const RET: u32 = 0xd65f_03c0;
    const SUB_80: u32 = 0xd101_43ff;
    const MASK: u32 = 0xd503_43df;
    /// sub x8, sp, #N, lsl #12, and ldr xzr, [x8, #0] or [x8, #3072]
    const fn pages(number: u32) -> u32 {
        0xd140_03e8 | number << 10
    }
    const TOUCH: u32 = 0xf940_011f;
    const TOUCH_ABOVE: u32 = 0xf946_011f;

    /// A call, `by` instructions forwards.
    fn call(by: i32) -> u32 {
        0x9400_0000 | by as u32 & 0x03ff_ffff
    }

    fn image(functions: &[(&str, &[u32])]) -> Image {
        let sizes = Sizes {
            frame: 256,
            preemption: 1024,
            exceptions: 8192,
            thread: 16384,
            service: 4096,
            small: 1024,
            nested: 5120,
            loaded: 16384,
        };
        let mut image = Image { sizes, lines: Lines::default(), ..Image::default() };
        let mut address = 0x1000;
        for (name, code) in functions {
            image.functions.push(Function { name: (*name).into(), address, code: code.to_vec() });
            address += 4 * code.len() as u64;
        }
        image
    }

    /// The findings for an image with a place of each kind, in which the system call calls a function with this code.
    fn findings(deep: &[u32]) -> Findings {
        let functions: [(&str, &[u32]); 8] = [
            ("kernel::call", &[pages(1), TOUCH, call(2), RET]),
            ("deep", deep),
            ("kernel::service", &[pages(1), TOUCH_ABOVE, RET]),
            ("kernel::nested", &[pages(2), TOUCH_ABOVE, RET]),
            ("kernel::loaded", &[pages(4), TOUCH, RET]),
            ("preempt", &[SUB_80, RET]),
            ("exception", &[SUB_80, RET]),
            ("thread", &[SUB_80, RET]),
        ];
        let table =
            Table::parse(&format!("threads = [\"thread\"]\nredirected = [\"deep\"]\n{HEAD}")).unwrap();
        examine(&image(&functions), &table, false, false)
    }

    #[test]
    fn what_is_reserved_suffices_or_not() {
        let Findings { text, problems } = findings(&[&[SUB_80; 3][..], &[RET]].concat());
        assert!(
            text.starts_with("system calls: 1520 of 4096 bytes are needed at most; in 2 services\n"),
            "{text}"
        );
        assert!(text.contains("  deep needs 1520 bytes\n      240  deep\n     1280  (besides)\n"), "{text}");
        assert_eq!(problems, <[String; 0]>::default());
        let Findings { problems, .. } = findings(&[&[SUB_80; 36][..], &[RET]].concat());
        let expected = ["deep", "kernel::call"]
            .map(|name| format!("system calls: {name} needs 4160 bytes, and 4096 are reserved"));
        assert_eq!(problems, expected);
    }

    #[test]
    fn a_probe_of_another_distance_and_a_kind_without_one_are_refused() {
        let table = Table::parse(HEAD).unwrap();
        let image = image(&[("kernel::call", &[pages(2), TOUCH, RET])]);
        let Findings { problems, .. } = examine(&image, &table, false, false);
        assert!(problems.contains(&"system calls: the image has none".into()), "{problems:?}");
        assert!(problems.contains(&"kernel::call probes for 8192 bytes, which is no kind".into()));
    }

    #[test]
    fn what_masks_interrupts_without_a_probe_is_found() {
        // The program calls one service that probes and one that does not; the second is reached by the first, too.
        let functions: [(&str, &[u32]); 3] = [
            ("program::main", &[call(3), call(7), RET]),
            ("kernel::good", &[pages(1), TOUCH, MASK, call(2), RET]),
            ("kernel::bad", &[MASK, RET]),
        ];
        let entries = "[[unprobed]]\nservice = \"kernel::bad\"\nreason = \"r\"\n";
        let expected =
            ["kernel::bad masks interrupts without a probe, in kernel::bad, called by program::main"];
        for (entries, expected) in [("", &expected[..]), (entries, &[])] {
            let table = Table::parse(&format!("{HEAD}{entries}")).unwrap();
            let image = image(&functions);
            let found = entry::unprobed(&mut Graph::new(&image, &table), &table);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn an_inner_section_does_not_probe() {
        // tst w8, #0x7f; b.ne to the call: only the outermost section probes, and both ways count as probed.
        let code = [0x7200_191f, 0x5400_0061, pages(1), TOUCH, MASK, RET];
        let table = Table::parse(HEAD).unwrap();
        let image = image(&[("program::main", &code)]);
        assert_eq!(entry::unprobed(&mut Graph::new(&image, &table), &table).len(), 0);
    }

    #[test]
    fn a_service_is_the_outermost_function_of_the_kernel() {
        let place = |function: &str, file: &str| Place { function: function.into(), file: file.into() };
        let places = [
            place("probe", "/x/src/kernel/src/arch/cpu.rs"),
            place("lock<u32>", "/x/src/kernel/src/sync/mutex.rs"),
            place("main", "/x/tests/images/a.rs"),
        ];
        assert_eq!(service_of(&places, "main"), "lock (sync/mutex.rs)");
        assert_eq!(service_of(&places[2..], "main"), "main");
    }
}

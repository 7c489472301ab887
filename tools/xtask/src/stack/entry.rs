//! Whether programs can get into code that masks interrupts without a probe before.
//!
//! Where a program's function calls the kernel, or has a service inlined, nothing has been probed yet. From there the
//! code is followed, into the functions that it calls, to the first probe on each path. The outermost section probes
//! only if it is the outermost one: behind its test of the depth, both ways count as probed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use super::code::Step;
use super::graph::Graph;
use super::report::{is_kernel, service_of};
use super::summary::{Callee, Summary};
use super::table::Table;

/// How far apart the test of the depth and its branch are at most, and the branch and the probe, in instructions.
const NEAR: usize = 12;

/// Returns what masks interrupts without a probe, with the chain of calls that leads to it. What cannot be followed is a
/// problem of the graph's.
pub(super) fn unprobed(graph: &mut Graph<'_>, table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Each function by the one that calls it first.
    let mut callers: BTreeMap<usize, Option<usize>> = BTreeMap::new();
    let programs = (0..graph.summaries.len()).filter(|function| table.is_program(graph.name(*function)));
    let mut next: Vec<usize> = programs.collect();
    callers.extend(next.iter().map(|function| (*function, None)));
    while let Some(function) = next.pop() {
        let is_program = table.is_program(graph.name(function));
        for index in reached(graph, function, is_program) {
            let service = masks(graph, function, index).filter(|service| !table.needs_no_probe(service));
            found.extend(service.map(|service| {
                format!("{service} masks interrupts without a probe, in {}", chain(graph, &callers, function))
            }));
            for callee in called(graph, function, index) {
                if let Entry::Vacant(unknown) = callers.entry(callee) {
                    unknown.insert(Some(function));
                    next.push(callee);
                }
            }
        }
    }
    found
}

/// Returns the service that masks interrupts by that instruction, if it does.
fn masks(graph: &Graph<'_>, function: usize, index: usize) -> Option<String> {
    let summary = &graph.summaries[function];
    let places = || graph.image.lines.places(summary.address(index));
    (summary.steps()[index] == Step::Mask).then(|| service_of(&places(), graph.name(function)))
}

/// Returns the functions that an instruction calls. What a program calls by a register is a program's.
fn called(graph: &mut Graph<'_>, function: usize, index: usize) -> Vec<usize> {
    let mut callees = graph.summaries[function].callees_at(graph.image, index);
    callees.retain(|callee| match *callee {
        Callee::Register(address) => is_kernel(&graph.image.lines.places(address)),
        _ => true,
    });
    if callees.is_empty() { Vec::new() } else { graph.resolve(function, &callees, true).0 }
}

/// Returns the functions that lead to this one, the last one first.
fn chain(graph: &Graph<'_>, callers: &BTreeMap<usize, Option<usize>>, function: usize) -> String {
    let chain = std::iter::successors(Some(function), |function| callers.get(function).copied().flatten());
    chain.map(|function| graph.name(function)).collect::<Vec<_>>().join(", called by ")
}

/// Returns the instructions of a function that can be reached before a probe, or in a program's function also behind
/// the end of a service.
fn reached(graph: &Graph<'_>, function: usize, is_program: bool) -> Vec<usize> {
    let summary = &graph.summaries[function];
    let steps = summary.steps();
    let mut seen = [vec![false; steps.len()], vec![false; steps.len()]];
    let mut next = vec![(0, false)];
    while let Some((index, mut probed)) = next.pop() {
        if index >= steps.len() || seen[usize::from(probed)][index] {
            continue;
        }
        seen[usize::from(probed)][index] = true;
        if is_program && graph.image.ends.contains_key(&summary.address(index)) {
            probed = false;
            seen[0][index] = true;
        }
        probed |= summary.probes.iter().any(|probe| probe.next == index + 1);
        match steps[index] {
            Step::Return | Step::Stop | Step::LastCall(_) => {}
            Step::Jump(to) => next.extend(summary.index_of(to).map(|to| (to, probed))),
            Step::Branch(to) => {
                let to = summary.index_of(to);
                let tests_depth = steps[index.saturating_sub(NEAR)..index].contains(&Step::DepthTest);
                let probes = [Some(index + 1), to].into_iter().flatten().any(|way| probes_soon(summary, way));
                probed |= tests_depth && probes;
                next.extend([Some(index + 1), to].into_iter().flatten().map(|way| (way, probed)));
            }
            Step::JumpRegister(_) if summary.is_table_jump(index) => {
                next.extend((0..steps.len()).map(|to| (to, probed)));
            }
            Step::JumpRegister(_) => {}
            _ => next.push((index + 1, probed)),
        }
    }
    (0..steps.len()).filter(|index| seen[0][*index]).collect()
}

/// Returns whether there is a probe soon behind `index`, on the straight way.
fn probes_soon(summary: &Summary, index: usize) -> bool {
    let mut index = index;
    for _ in 0..NEAR {
        if summary.probes.iter().any(|probe| probe.next == index + 1) {
            return true;
        }
        match summary.steps().get(index) {
            Some(Step::Other | Step::Below { .. } | Step::Touch { .. }) => index += 1,
            Some(Step::Jump(to)) => match summary.index_of(*to) {
                Some(to) => index = to,
                None => return false,
            },
            _ => return false,
        }
    }
    false
}

//! What an image's ELF says: its functions with their code, the source lines of that code, and the kernel's own sizes.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use addr2line::Loader;
use anyhow::Context as _;
use object::{Architecture, Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind};

/// The section in which the kernel stores where the code of its services ends (`cpu::mark_end_of_service`).
const ENDS: &str = ".asphodel.service_ends";

/// The section in which the kernel stores the sizes that it has reserved (`arch::vectors`).
const SIZES: &str = ".asphodel.stack_sizes";

/// One function, or what stands between two symbols of assembly.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// Its name; all of them, if several functions were compiled to the same code.
    pub(super) name: String,
    /// Where it begins.
    pub(super) address: u64,
    /// Its instructions; data in between are zero.
    pub(super) code: Vec<u32>,
}

impl Function {
    /// Returns the address behind it.
    pub(super) fn end(&self) -> u64 {
        self.address + 4 * self.code.len() as u64
    }
}

/// What the kernel has reserved, in bytes, in the order in which its section has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    /// The registers of an interrupted thread, which are saved on its stack when it is preempted.
    pub(super) frame: u32,
    /// The room below them for the code of preemption.
    pub(super) preemption: u32,
    /// The stack of a CPU's exceptions.
    pub(super) exceptions: u32,
    /// The smallest stack of a thread.
    pub(super) thread: u32,
    /// What the outermost section probes for.
    pub(super) service: u32,
    /// What a service without a section probes for.
    pub(super) small: u32,
    /// What one of these probes for that uses another one.
    pub(super) nested: u32,
    /// What a function probes for that loaded programs call.
    pub(super) loaded: u32,
}

impl Sizes {
    /// Returns the sizes that these words of eight bytes say.
    fn of_words(data: &[u8]) -> Option<Self> {
        let words = words_of(data).map(u32::try_from).collect::<Result<Vec<u32>, _>>().ok()?;
        let [frame, preemption, exceptions, thread, service, small, nested, loaded] = *words.as_slice()
        else {
            return None;
        };
        Some(Self { frame, preemption, exceptions, thread, service, small, nested, loaded })
    }
}

/// A function that an instruction belongs to, by the line tables: its own name without the path, and its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) function: String,
    pub(super) file: String,
}

/// The line tables.
#[derive(Default)]
pub(super) struct Lines {
    loader: Option<Loader>,
    /// Where there is no ELF: the places themselves.
    pub(super) known: BTreeMap<u64, Vec<Place>>,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Lines {
    /// Returns the functions that the instruction at `address` belongs to: the innermost of those that were inlined
    /// there first, the one that the others were inlined into last.
    pub(super) fn places(&self, address: u64) -> Vec<Place> {
        let Some(loader) = &self.loader else { return self.known.get(&address).cloned().unwrap_or_default() };
        let mut places = Vec::new();
        let Ok(mut frames) = loader.find_frames(address) else { return places };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.and_then(|name| Some(name.demangle().ok()?.into_owned()));
            let file = frame.location.and_then(|location| location.file).unwrap_or_default();
            places.push(Place { function: function.unwrap_or_default(), file: file.replace('\\', "/") });
        }
        places
    }
}

/// An image's code.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// By address.
    pub(super) functions: Vec<Function>,
    /// Where services end, with what the probe at their beginning looks for, in bytes.
    pub(super) ends: BTreeMap<u64, u32>,
    /// What the kernel has reserved.
    pub(super) sizes: Sizes,
    /// The lines of the code.
    pub(super) lines: Lines,
}

impl Image {
    /// Reads an ELF.
    ///
    /// # Errors
    /// Fails when it is none for AArch64, or has no symbols.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let data = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut image = Self::of_elf(&data).with_context(|| format!("{} is no image", path.display()))?;
        let loader = Loader::new(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
        image.lines.loader = Some(loader);
        Ok(image)
    }

    /// Takes an ELF's bytes apart.
    fn of_elf(data: &[u8]) -> anyhow::Result<Self> {
        let file = object::File::parse(data)?;
        anyhow::ensure!(file.architecture() == Architecture::Aarch64, "it is not for AArch64");
        let mut image = Self::default();
        if let Some(section) = file.section_by_name(ENDS) {
            image.ends = ends_of(section.data()?).context("the ends of services are malformed")?;
        }
        let sizes = file.section_by_name(SIZES).map(|section| section.data()).transpose()?;
        image.sizes = sizes.and_then(Sizes::of_words).context("the kernel's sizes are not in it")?;
        for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
            let symbols: Vec<(u64, &str, SymbolKind)> = file
                .symbols()
                .filter(|symbol| symbol.section_index() == Some(section.index()))
                .filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?, symbol.kind())))
                .collect();
            image.functions.extend(functions_of(section.address(), section.data()?, symbols));
        }
        anyhow::ensure!(!image.functions.is_empty(), "it has no symbols");
        image.functions.sort_by_key(|function| function.address);
        Ok(image)
    }

    /// Returns the index of the function that contains `address`.
    pub(super) fn find(&self, address: u64) -> Option<usize> {
        let index = self.functions.partition_point(|function| function.address <= address).checked_sub(1)?;
        (address < self.functions[index].end()).then_some(index)
    }
}

/// Returns the words of eight bytes of a section.
fn words_of(data: &[u8]) -> impl Iterator<Item = u64> {
    data.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
}

/// Returns the ends of services that a section has.
fn ends_of(data: &[u8]) -> Option<BTreeMap<u64, u32>> {
    let words: Vec<u64> = words_of(data).collect();
    words.chunks_exact(2).map(|pair| Some((pair[0], u32::try_from(pair[1]).ok()?))).collect()
}

/// Cuts the bytes of a section at its symbols. Mapping symbols (`$x`, `$d`) say what is code and what is data.
fn functions_of(start: u64, bytes: &[u8], mut symbols: Vec<(u64, &str, SymbolKind)>) -> Vec<Function> {
    symbols.sort_by_key(|&(address, name, _)| (address, name));
    let mut code: Vec<u32> =
        bytes.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four bytes"))).collect();
    let end = start + bytes.len() as u64;
    let index = |address: u64| (address.clamp(start, end) - start) as usize / 4;
    let (marks, names): (Vec<_>, Vec<_>) =
        symbols.into_iter().partition(|(_, name, _)| name.starts_with('$'));
    for (number, (address, name, _)) in marks.iter().enumerate() {
        if name.starts_with("$d") {
            let until =
                marks[number..].iter().find(|mark| mark.1.starts_with("$x")).map_or(end, |mark| mark.0);
            code[index(*address)..index(until)].fill(0);
        }
    }
    let is_function = |kind| matches!(kind, SymbolKind::Text | SymbolKind::Label | SymbolKind::Unknown);
    let mut functions: Vec<Function> = Vec::new();
    for (address, name, _) in
        names.into_iter().filter(|(_, name, kind)| !name.is_empty() && is_function(*kind))
    {
        let name = addr2line::demangle_auto(name.into(), None).into_owned();
        match functions.last_mut() {
            Some(last) if last.address == address => {
                last.name.push_str(" = ");
                last.name.push_str(&name);
            }
            _ => functions.push(Function { name, address, code: Vec::new() }),
        }
    }
    let limits: Vec<u64> = functions.iter().skip(1).map(|function| function.address).chain([end]).collect();
    for (function, limit) in functions.iter_mut().zip(limits) {
        function.code = code[index(function.address)..index(limit)].to_vec();
    }
    functions.retain(|function| !function.code.is_empty());
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_cut_the_code_and_data_are_no_instructions() {
        let bytes: Vec<u8> = (1..=5_u32).flat_map(u32::to_le_bytes).collect();
        let symbols = vec![
            (0x1008, "second", SymbolKind::Text),
            (0x1000, "first", SymbolKind::Text),
            (0x1008, "twin", SymbolKind::Text),
            (0x1000, "$x", SymbolKind::Label),
            (0x1004, "$d", SymbolKind::Label),
            (0x1008, "$x.1", SymbolKind::Label),
        ];
        let functions = functions_of(0x1000, &bytes, symbols);
        let found: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.address, f.code.clone())).collect();
        assert_eq!(found, [("first", 0x1000, vec![1, 0]), ("second = twin", 0x1008, vec![3, 4, 5])]);
        let image = Image { functions, ..Image::default() };
        assert_eq!(
            [0xffc, 0x1000, 0x1007, 0x1010, 0x1014].map(|address| image.find(address)),
            [None, Some(0), Some(0), Some(1), None]
        );
    }

    #[test]
    fn all_sizes_or_none_are_taken() {
        let words = |count: u64| (1..=count).flat_map(u64::to_le_bytes).collect::<Vec<u8>>();
        let sizes = Sizes::of_words(&words(8)).map(|sizes| (sizes.frame, sizes.service, sizes.loaded));
        assert_eq!(sizes, Some((1, 5, 8)));
        assert_eq!([7, 9].map(|count| Sizes::of_words(&words(count))), [None, None]);
        assert_eq!(ends_of(&words(4)), Some(BTreeMap::from([(1, 2), (3, 4)])));
    }

    #[test]
    fn a_program_of_the_host_is_no_image() {
        assert!(Image::read(&std::env::current_exe().unwrap()).is_err() || cfg!(target_arch = "aarch64"));
    }
}

//! Conversion of the kernel's addresses in a console to function, file and line.
//!
//! The guest prints raw addresses; the ELF with its line tables is on the host.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use addr2line::Loader;
use object::{Object as _, ObjectSection as _, SectionKind};

use crate::workspace::Workspace;

/// The beginning of every printed address of the kernel image, which seven more digits follow.
const BOARD: Range<u64> = 0xffff_ffff_8000_0000..0xffff_ffff_9000_0000;

/// What the line begins with that has the addresses of a walk of the stack.
const BACKTRACE: &str = "backtrace:";

/// The symbols of one ELF.
pub(crate) struct Symbols {
    loader: Loader,
    /// Where the image's code is.
    code: Range<u64>,
    root: PathBuf,
}

impl Symbols {
    /// Reads an ELF's symbols and line tables; nothing when they cannot be read.
    pub(crate) fn load(workspace: &Workspace, elf: &Path) -> Option<Self> {
        let loader = Loader::new(elf).ok()?;
        let code = code_of(&fs::read(elf).ok()?)?;
        Some(Self { loader, code, root: workspace.root().to_path_buf() })
    }

    /// Returns what the addresses in a line of the console are, one text for each that is known.
    pub(crate) fn explain(&self, line: &str) -> Vec<String> {
        let returns = line.contains(BACKTRACE);
        let describe = |(index, address): (usize, u64)| {
            let place = if returns { self.place_of_return(address, index == 0) } else { self.place(address) };
            place.map(|place| format!("{address:#x} {place}"))
        };
        addresses(line, &self.code).into_iter().enumerate().filter_map(describe).collect()
    }

    /// Returns the console with each line that has addresses followed by what they are.
    pub(crate) fn annotate(&self, console: &str) -> String {
        let mut text = String::with_capacity(console.len());
        for line in console.lines() {
            text.push_str(line);
            text.push('\n');
            for place in self.explain(line) {
                text.push_str("      at ");
                text.push_str(&place);
                text.push('\n');
            }
        }
        text
    }

    /// Returns the place of a return address: the call is the instruction before it. The first address of a backtrace
    /// may be the very start of a function instead.
    fn place_of_return(&self, address: u64, first: bool) -> Option<String> {
        let call = address - 1;
        if first && self.loader.find_symbol(call) != self.loader.find_symbol(address) {
            return self.place(address);
        }
        self.place(call).or_else(|| self.place(address))
    }

    /// Returns function, file and line of an address, the inlined functions first.
    fn place(&self, address: u64) -> Option<String> {
        let symbol = self.loader.find_symbol(address);
        let symbol = symbol.map(|name| addr2line::demangle_auto(name.into(), None).into_owned());
        let mut frames = self.frames(address);
        match (frames.last_mut(), symbol) {
            // The outermost function has its whole path in the symbol table; line tables have its bare name.
            (Some(outermost), Some(symbol)) => outermost.0 = Some(symbol),
            (None, Some(symbol)) => return Some(symbol),
            (_, None) => {}
        }
        let texts: Vec<String> = frames
            .into_iter()
            .filter_map(|(function, location)| match (function, location) {
                (Some(function), Some(location)) => Some(format!("{function} {location}")),
                (one, other) => one.or(other),
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join(", inlined into "))
    }

    /// Returns the functions at an address and the positions in them, the innermost first.
    fn frames(&self, address: u64) -> Vec<(Option<String>, Option<String>)> {
        let mut parts = Vec::new();
        let Ok(mut frames) = self.loader.find_frames(address) else { return parts };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.and_then(|function| Some(function.demangle().ok()?.into_owned()));
            let location = frame.location.and_then(|location| {
                let file = self.short(location.file?);
                Some(location.line.map_or(file.clone(), |line| format!("{file}:{line}")))
            });
            parts.push((function, location));
        }
        parts
    }

    /// Returns a file's name without the part that every file of its kind has.
    fn short(&self, file: &str) -> String {
        if let Ok(inside) = Path::new(file).strip_prefix(&self.root) {
            return inside.display().to_string();
        }
        for marker in ["/registry/src/", "/library/"] {
            if let Some((_, rest)) = file.split_once(marker) {
                // The registry's own name comes before the crate's.
                let rest = if marker == "/library/" {
                    rest
                } else {
                    rest.split_once('/').map_or(rest, |parts| parts.1)
                };
                return rest.to_string();
            }
        }
        file.to_string()
    }
}

/// Returns where the code of an ELF is.
fn code_of(elf: &[u8]) -> Option<Range<u64>> {
    let file = object::File::parse(elf).ok()?;
    let sections = || file.sections().filter(|section| section.kind() == SectionKind::Text);
    let start = sections().map(|section| section.address()).min()?;
    let end = sections().map(|section| section.address() + section.size()).max()?;
    Some(start..end)
}

/// Returns the addresses of the image in a line, in order; its code is at `code`.
///
/// An image for a board is at addresses that no other number has. The code of a hosted one is at small numbers, so that
/// only those of a backtrace are taken.
fn addresses(line: &str, code: &Range<u64>) -> Vec<u64> {
    let image = if BOARD.contains(&code.start) {
        &BOARD
    } else if line.contains(BACKTRACE) {
        code
    } else {
        return Vec::new();
    };
    let numbers = line.match_indices("0x").filter_map(|(start, prefix)| {
        let digits = &line[start + prefix.len()..];
        let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
        u64::from_str_radix(&digits[..length], 16).ok()
    });
    numbers.filter(|number| image.contains(number)).collect()
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn only_whole_kernel_addresses_are_taken() {
        let line = "pc 0xffffffff80081234, far 0x10, x1 0xffffffff8008123 x2 0xffffffff800812345 [0xffffffff8abcdef0]";
        let code = 0xffff_ffff_8008_0000..0xffff_ffff_8010_0000;
        assert_eq!(addresses(line, &code), [0xffff_ffff_8008_1234, 0xffff_ffff_8abc_def0]);
        assert!(addresses("nothing 0xffffff8000000000", &code).is_empty());
    }

    #[test]
    fn of_a_hosted_image_the_addresses_of_a_backtrace_are_taken() {
        let code = 0x40_1000..0x48_0000;
        let line = "backtrace: 0x401000 0x7ffff7c29d90 0x47ffff 0x480000 0x4";
        assert_eq!(addresses(line, &code), [0x40_1000, 0x47_ffff]);
        assert!(addresses("write to 0x401000: not permitted there", &code).is_empty());
    }

    #[test]
    fn files_lose_what_all_of_them_share() {
        let workspace = Workspace::find().unwrap();
        let symbols = Symbols::load(&workspace, &env::current_exe().unwrap()).unwrap();
        let own = workspace.root().join("src/core/src/gate.rs");
        assert_eq!(symbols.short(&own.display().to_string()), "src/core/src/gate.rs");
        assert_eq!(
            symbols.short("/h/.cargo/registry/src/index-0123/spin-0.12.3/src/lib.rs"),
            "spin-0.12.3/src/lib.rs"
        );
        assert_eq!(symbols.short("/usr/src/rustc-1.96.0/library/core/src/fmt/mod.rs"), "core/src/fmt/mod.rs");
    }

    #[test]
    fn an_address_of_this_very_program_has_a_place() {
        // The host's own ELF replaces an image: its symbol addresses are read, not those to which it was loaded.
        use object::ObjectSymbol as _;
        let executable = env::current_exe().unwrap();
        let data = fs::read(&executable).unwrap();
        let file = object::File::parse(data.as_slice()).unwrap();
        let symbol = file
            .symbols()
            .find(|symbol| {
                symbol.name().is_ok_and(|name| name.contains("only_whole_kernel_addresses_are_taken"))
            })
            .expect("a test function is a symbol");
        let symbols = Symbols::load(&Workspace::find().unwrap(), &executable).unwrap();
        let place = symbols.place(symbol.address()).unwrap();
        assert!(place.contains("only_whole_kernel_addresses_are_taken"), "{place}");
        assert!(place.contains("tools/xtask/src/symbols.rs:"), "{place}");
        assert!(symbols.code.contains(&symbol.address()));
        let report = symbols.annotate(&format!("a panic\nbacktrace: {:#x}\n", symbol.address()));
        assert!(report.contains("\n      at ") && report.contains(&place), "{report}");
    }
}

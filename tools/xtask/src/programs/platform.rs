//! The platform of programs: Asphodel, or Linux for comparison; as a configuration of cargo.

use std::path::{Path, PathBuf};

use super::unwinding::Unwinding;
use crate::cargo_config::CargoConfig;
use crate::setup::Toolchain;

/// The platform that a program is built for, and how.
#[derive(Clone, Debug)]
pub(super) struct Platform {
    /// The name of its configuration.
    pub(super) name: &'static str,
    /// The compiler's name for it.
    pub(super) target: &'static str,
    /// The parts of the library that are built, ...
    library: Vec<&'static str>,
    /// ... with which features.
    features: Vec<&'static str>,
    /// The compiler, if it is not the toolchain's.
    compiler: Option<PathBuf>,
    /// The compiler's flags.
    flags: Vec<String>,
}

/// Where the parts of a program for Linux are that Rust does not provide.
#[derive(Clone, Debug)]
pub(crate) struct LinuxLibraries {
    /// The C library.
    pub(crate) c: PathBuf,
    /// The C compiler's library.
    pub(crate) compiler: PathBuf,
}

impl Platform {
    /// Returns the platform Asphodel, with the library of the kernel's functions, and the unwinder if there is one.
    pub(super) fn asphodel(toolchain: &Toolchain, library: &Path, unwinding: Option<&Unwinding>) -> Self {
        let mut platform = Self {
            name: "abort",
            target: "aarch64-unknown-hermit",
            library: vec!["std", "panic_abort", "test"],
            // The target has no C library that would provide memcpy and the like.
            features: vec!["compiler-builtins-mem"],
            compiler: toolchain.compiler.clone(),
            flags: flags_for_asphodel(library),
        };
        if let Some(Unwinding { compiler: script, symbols }) = unwinding {
            platform.name = "unwind";
            platform.features.push("panic-unwind");
            platform.compiler = Some(script.clone());
            platform.flags.push("-Cpanic=unwind".into());
            platform.flags.push(format!("-Clink-arg={}", symbols.display()));
        }
        platform
    }

    /// Returns the platform Linux, with the whole C library in the program.
    pub(super) fn linux(toolchain: &Toolchain, libraries: &LinuxLibraries) -> Self {
        let mut flags: Vec<String> = [
            // There is no C compiler that calls the linker, so everything that it would add is listed here.
            "-Zunstable-options",
            "-Clinker-flavor=gnu-lld",
            "-Ctarget-feature=+crt-static",
            "-Crelocation-model=static",
        ]
        .map(String::from)
        .into();
        let LinuxLibraries { c, compiler } = libraries;
        for first in [c.join("crt1.o"), c.join("crti.o"), compiler.join("crtbeginT.o")] {
            flags.push(format!("-Zpre-link-arg={}", first.display()));
        }
        for directory in [c, compiler] {
            flags.push(format!("-Clink-arg=-L{}", directory.display()));
        }
        for last in [compiler.join("crtend.o"), c.join("crtn.o")] {
            flags.push(format!("-Clink-arg={}", last.display()));
        }
        Self {
            name: "linux",
            target: "aarch64-unknown-linux-gnu",
            library: vec!["std", "panic_abort"],
            features: Vec::new(),
            compiler: toolchain.compiler.clone(),
            flags,
        }
    }

    /// Returns cargo's configuration for it.
    ///
    /// # Errors
    /// Fails when a path cannot be written as text.
    pub(super) fn configuration(&self, toolchain: &Toolchain) -> anyhow::Result<String> {
        let mut configuration =
            CargoConfig::new(toolchain, self.compiler.clone(), self.target, self.flags.clone());
        configuration.build_library(self.library.clone(), self.features.clone());
        Ok(toml::to_string(&configuration)?)
    }
}

/// Returns the compiler's flags for programs on Asphodel.
fn flags_for_asphodel(library: &Path) -> Vec<String> {
    let mut flags = vec![
        // The kernel's backtraces walk frame pointers.
        "-Cforce-frame-pointers=yes".to_string(),
        format!("-Clink-arg={}", library.display()),
    ];
    let linker = [
        // `std` has it; without an entry nothing is kept, and an empty program links without a message.
        "--entry=runtime_entry",
        // The kernel maps the file's pages, ...
        "-zmax-page-size=4096",
        // ... and binds its functions before the program begins.
        "-znow",
        "--no-dynamic-linker",
        "--hash-style=gnu",
    ];
    flags.extend(linker.map(|argument| format!("-Clink-arg={argument}")));
    flags
}

//! Building images: one cargo call for all of them, then each ELF is converted to the flat image that boots.
//!
//! The requirements of the target (compiler, library source, linker, flags) are decided here and passed to cargo in a
//! generated configuration file, so that plain `cargo build` and `cargo test` still build for the host.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use cargo_metadata::camino::Utf8PathBuf;
use cargo_metadata::{Artifact, Message, TargetKind};
use clap::Args;

use crate::cargo_config::CargoConfig;
use crate::flat;
use crate::hosted;
use crate::machine::Machine;
use crate::process;
use crate::setup::{Library, Toolchain};
use crate::source_tree;
use crate::workspace::{TARGET, Workspace};

/// The package of the default image.
const DEFAULT_PACKAGE: &str = "asphodel-init";

/// The environment variable by which a project of its own names its manifest.
pub(crate) const MANIFEST: &str = "ASPHODEL_MANIFEST";

/// The choice of one image.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Choice {
    /// The package of the image [default: asphodel-init]
    #[arg(long, value_name = "PACKAGE")]
    pub(crate) package: Option<String>,
    /// The binary of that package [default: the package's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Option<String>,
    /// The manifest of another crate that has the image
    #[arg(long, value_name = "CARGO_TOML", env = MANIFEST)]
    pub(crate) manifest_path: Option<PathBuf>,
}

/// The subject of a build.
#[derive(Clone, Debug)]
pub(crate) struct Request<'a> {
    /// The manifest of the crate.
    pub(crate) manifest: PathBuf,
    /// The package, if the manifest does not determine it.
    pub(crate) package: Option<&'a str>,
    /// The binaries; all of the package when empty.
    pub(crate) bins: Vec<String>,
    /// How they are compiled.
    pub(crate) profile: Profile,
}

/// How images are compiled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Profile {
    /// As released: one unit with the kernel.
    Release,
    /// Optimized, too, but unit by unit: an image is linked in a fraction of the time.
    Images,
    /// As programs of this computer, with every assertion (`hosted`).
    Hosted,
}

impl Profile {
    /// Returns its name for cargo.
    fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Images => "images",
            Self::Hosted => "hosted",
        }
    }

    /// Returns how images are compiled for `machine`, if an emulated one would get `self`.
    pub(crate) fn on(self, machine: Machine) -> Self {
        if machine == Machine::Host { Self::Hosted } else { self }
    }
}

/// A built image.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The name of the binary.
    pub(crate) name: String,
    /// The ELF with symbols and line tables.
    pub(crate) elf: PathBuf,
    /// The flat image that boots.
    pub(crate) image: PathBuf,
}

/// Builds the one image of a choice.
///
/// # Errors
/// Fails when it does not build, or when the choice leaves more than one.
pub(crate) fn chosen(
    workspace: &Workspace,
    toolchain: &Toolchain,
    choice: &Choice,
    profile: Profile,
) -> anyhow::Result<Program> {
    let package = choice.package.as_deref().or(choice.manifest_path.is_none().then_some(DEFAULT_PACKAGE));
    let bin = choice.bin.as_deref().or(package);
    let manifest = match &choice.manifest_path {
        Some(manifest) => {
            fs::canonicalize(manifest).with_context(|| format!("there is no {}", manifest.display()))?
        }
        None => workspace.root().join("Cargo.toml"),
    };
    let request = Request { manifest, package, bins: bin.map(String::from).into_iter().collect(), profile };
    let mut programs = images(workspace, toolchain, &request)?;
    match (programs.pop(), programs.is_empty()) {
        (Some(program), true) => Ok(program),
        (Some(_), false) => bail!("there is more than one image: choose with --bin"),
        (None, _) => bail!("cargo built no image"),
    }
}

/// Builds the one image of a package of this project, which has the package's name.
///
/// # Errors
/// Fails when it does not build.
pub(crate) fn own(
    workspace: &Workspace,
    toolchain: &Toolchain,
    package: &str,
    profile: Profile,
) -> anyhow::Result<Program> {
    let request = Request {
        manifest: workspace.root().join("Cargo.toml"),
        package: Some(package),
        bins: vec![package.into()],
        profile,
    };
    images(workspace, toolchain, &request)?.pop().with_context(|| format!("cargo built no {package}"))
}

/// Builds the images of a request, in the order in which cargo lists them.
///
/// # Errors
/// Fails when cargo does, after the compiler's messages were printed.
pub(crate) fn images(
    workspace: &Workspace,
    toolchain: &Toolchain,
    request: &Request<'_>,
) -> anyhow::Result<Vec<Program>> {
    let is_hosted = request.profile == Profile::Hosted;
    let mut cargo = if is_hosted { hosted_cargo(workspace)? } else { cross_cargo(workspace, toolchain)? };
    cargo
        .args(["build", "--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(&request.manifest);
    if is_hosted {
        add_hosted(&mut cargo, workspace)?;
    } else {
        add_target(&mut cargo, workspace, request.profile);
    }
    if let Some(package) = request.package {
        cargo.args(["--package", package]);
    }
    if request.bins.is_empty() {
        cargo.arg("--bins");
    }
    for bin in &request.bins {
        cargo.args(["--bin", bin]);
    }
    let elfs = built_binaries(&mut cargo)?;
    let program = |(name, elf): (String, PathBuf)| {
        // A program of the host is started directly.
        if is_hosted { Ok(Program { name, image: elf.clone(), elf }) } else { program(name, elf) }
    };
    elfs.into_iter().map(program).collect()
}

/// Builds one image of a package of this project as a program of this computer.
///
/// # Errors
/// Fails when it does not build, or where there is no hosted machine.
pub(crate) fn hosted_image(workspace: &Workspace, package: &str, bin: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = hosted_cargo(workspace)?;
    cargo
        .args(["build", "--quiet", "--message-format", "json-render-diagnostics", "--package", package])
        .args(["--bin", bin]);
    add_hosted(&mut cargo, workspace)?;
    let (_, elf) = built_binaries(&mut cargo)?.pop().with_context(|| format!("cargo built no {bin}"))?;
    Ok(elf)
}

/// Builds the shared library of a package of this project for this computer.
///
/// # Errors
/// Fails when it does not build.
pub(crate) fn host_library(workspace: &Workspace, package: &str) -> anyhow::Result<PathBuf> {
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["build", "--quiet", "--release", "--message-format", "json-render-diagnostics"]);
    cargo.args(["--package", package]);
    let (_, library) = built(&mut cargo, |artifact| {
        artifact.target.kind.contains(&TargetKind::CDyLib).then(|| artifact.filenames.first().cloned())?
    })?
    .pop()
    .with_context(|| format!("cargo built no library of {package}"))?;
    Ok(library)
}

/// Makes the flat image beside the ELF.
fn program(name: String, elf: PathBuf) -> anyhow::Result<Program> {
    let mut flat = elf.clone().into_os_string();
    flat.push(".img");
    let flat = PathBuf::from(flat);
    flat::write(&elf, &flat)?;
    Ok(Program { name, elf, image: flat })
}

/// Returns a cargo command for the target, without a subcommand.
///
/// # Errors
/// Fails when the configuration cannot be written.
pub(crate) fn cross_cargo(workspace: &Workspace, toolchain: &Toolchain) -> anyhow::Result<Command> {
    let configuration = workspace.state().join("cross.toml");
    let text = toml::to_string(&cross_config(workspace, toolchain))?;
    source_tree::write_if_changed(&configuration, &text)?;
    let mut cargo = process::cargo(workspace.root());
    cargo.arg("--config").arg(&configuration);
    if toolchain.library == Library::FromSource {
        // `-Zbuild-std` on a stable compiler, for this child only: never for host builds.
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    Ok(cargo)
}

/// Returns a cargo command for hosted images, without a subcommand: with this computer's own compiler and library.
pub(crate) fn hosted_cargo(workspace: &Workspace) -> anyhow::Result<Command> {
    let mut cargo = process::cargo(workspace.root());
    cargo.args(["--config", &hosted::configuration()?]);
    // A project of the user gets this profile as this project has it.
    let profile = [
        "inherits=\"release\"",
        "opt-level=2",
        "debug=\"line-tables-only\"",
        "debug-assertions=true",
        "overflow-checks=true",
        "lto=\"off\"",
        "codegen-units=16",
        "panic=\"abort\"",
    ];
    for setting in profile {
        cargo.args(["--config", &format!("profile.hosted.{setting}")]);
    }
    Ok(cargo)
}

/// Adds the options that every command for the target needs, after its subcommand.
pub(crate) fn add_target(cargo: &mut Command, workspace: &Workspace, profile: Profile) {
    cargo
        .args(["--profile", profile.name(), "--target", TARGET, "--target-dir"])
        .arg(workspace.cross_target());
}

/// Adds the options that every command for the hosted machine has, after its subcommand.
///
/// # Errors
/// Fails where there is no hosted machine.
pub(crate) fn add_hosted(cargo: &mut Command, workspace: &Workspace) -> anyhow::Result<()> {
    add_hosted_in(cargo, &hosted::target_directory(workspace))
}

/// Adds the same options for a build in a target directory of its own.
///
/// # Errors
/// As [`add_hosted`].
pub(crate) fn add_hosted_in(cargo: &mut Command, directory: &Path) -> anyhow::Result<()> {
    cargo
        .args(["--profile", Profile::Hosted.name(), "--target", hosted::triple()?, "--target-dir"])
        .arg(directory);
    Ok(())
}

/// Runs cargo and returns the binaries that it lists.
///
/// # Errors
/// Fails when cargo does, having printed the compiler's messages.
pub(crate) fn built_binaries(cargo: &mut Command) -> anyhow::Result<Vec<(String, PathBuf)>> {
    built(cargo, |artifact| {
        artifact.target.kind.contains(&TargetKind::Bin).then(|| artifact.executable.clone())?
    })
}

/// Runs a build and returns the names of the targets for which `file` finds a file, with that.
///
/// # Errors
/// Fails when it does not build.
fn built(
    cargo: &mut Command,
    file: impl Fn(&Artifact) -> Option<Utf8PathBuf>,
) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut child =
        cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo's output is a pipe")?;
    let mut binaries = Vec::new();
    for message in Message::parse_stream(BufReader::new(stdout)) {
        if let Message::CompilerArtifact(artifact) = message.context("cannot read what cargo says")?
            && let Some(file) = file(&artifact)
        {
            binaries.push((artifact.target.name, file.into_std_path_buf()));
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("the build has failed; the messages are above");
    }
    Ok(binaries)
}

/// Returns cargo's configuration for images, with this machine's toolchain.
fn cross_config(workspace: &Workspace, toolchain: &Toolchain) -> CargoConfig {
    let flags = rustflags(&workspace.linker_script());
    let mut configuration = CargoConfig::new(toolchain, toolchain.compiler.clone(), TARGET, flags);
    configuration.add_profiles();
    if toolchain.library == Library::FromSource {
        configuration.build_library(vec!["core", "alloc"], vec!["compiler-builtins-mem"]);
    }
    configuration
}

/// Returns the compiler's flags for images.
fn rustflags(linker_script: &Path) -> Vec<String> {
    vec![
        // Linked at one high virtual address; only the boot code is position independent.
        "-Crelocation-model=static".into(),
        // Backtraces walk frame pointers.
        "-Cforce-frame-pointers=yes".into(),
        format!("-Clink-arg=-T{}", linker_script.display()),
        "-Clink-arg=--no-eh-frame-hdr".into(),
        "-Clink-arg=-zmax-page-size=4096".into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(compiler: Option<&str>, library: Library) -> Toolchain {
        Toolchain {
            compiler: compiler.map(PathBuf::from),
            version: "rustc 1.0\nhost: x\n".into(),
            sysroot: "/usr".into(),
            library,
            linker: "/opt/rust-lld".into(),
        }
    }

    fn text(toolchain: &Toolchain) -> String {
        let workspace = Workspace::find().unwrap();
        toml::to_string(&cross_config(&workspace, toolchain)).unwrap()
    }

    #[test]
    fn a_compiled_library_needs_nothing_unstable() {
        let text = text(&toolchain(None, Library::Compiled));
        assert!(!text.contains("unstable") && !text.contains("rustc ="), "{text}");
        assert!(text.contains("linker = \"/opt/rust-lld\""), "{text}");
    }

    #[test]
    fn library_source_is_built_by_its_own_compiler() {
        let text = text(&toolchain(Some("/usr/bin/rustc"), Library::FromSource));
        assert!(text.contains("rustc = \"/usr/bin/rustc\""), "{text}");
        assert!(text.contains("rustdoc = \"/usr/bin/rustdoc\""), "{text}");
        assert!(text.contains("build-std = [\"core\", \"alloc\"]"), "{text}");
    }

    #[test]
    fn the_linker_script_is_named_by_its_whole_path() {
        let flags = rustflags(Path::new("/p/src/kernel/kernel.ld"));
        assert!(flags.contains(&"-Clink-arg=-T/p/src/kernel/kernel.ld".to_string()));
    }
}

//! The command `lab`: test images in a test farm, run by labgrid and pytest (`tools/lab`).
//!
//! The Python environment, the images and the results are below the target directory; the tree is only read.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use clap::Args;

use crate::build::{self, Profile};
use crate::process;
use crate::progress::note;
use crate::setup::{self, Environment, Missing};
use crate::test::export;
use crate::workspace::Workspace;

/// The images of a quick run: good ones, and one each that fails, panics and prints nothing.
const QUICK: &[&str] = &["smp_online", "exit_code", "selftest_fail", "init_panics"];

/// Arguments of `lab`.
#[derive(Args, Debug, Default)]
#[command(after_help = HELP)]
pub(crate) struct Arguments {
    /// The environment file of labgrid with the places [default: tools/lab/qemu.yaml]
    #[arg(long, value_name = "FILE")]
    pub(crate) env: Option<PathBuf>,
    /// The coordinator of remote places, as HOST or HOST:PORT
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) coordinator: Option<String>,
    /// Only test images that have PATTERN in their name
    #[arg(long, value_name = "PATTERN", conflicts_with = "quick")]
    pub(crate) filter: Option<String>,
    /// A few quick images on each place
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the results are written as JUnit XML [default: junit.xml in target/lab]
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
    /// Words for pytest
    #[arg(last = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

const HELP: &str = "\
Makes a Python environment in target/lab the first time, with what tools/lab/requirements.txt names; pip takes it from where
this machine's own configuration says. Each test of an image is one case, named `IMAGE on PLACE` and the test's name; a case
`test_image` stands for the report of the image as a whole. tools/lab/README.md has more, also on boards and LAVA.";

/// The command `lab`.
///
/// # Errors
/// Fails when Python or its packages are not available, or an image does not build; failed tests are reported by the
/// status.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let environment = setup::ensure(workspace)?;
    let python = python(workspace)?;
    let images = images(workspace, &environment, arguments)?;
    let junit = arguments.junit.clone().unwrap_or_else(|| workspace.lab().join("junit.xml"));
    let mut pytest = pytest(workspace, &environment, &python, arguments, &images, &junit)?;
    note("running the images on the places of the lab");
    let status = pytest.status().context("cannot start pytest")?;
    note(&format!("the results are in {}", junit.display()));
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a few images on each emulated place, as CI does.
///
/// # Errors
/// Fails when a test does, or the lab cannot be run; by [`Missing`] when Python, labgrid or pytest is not available.
pub(crate) fn quick(workspace: &Workspace) -> anyhow::Result<()> {
    python(workspace).map_err(|error| Missing(format!("{error:#}")))?;
    let code = run(workspace, &Arguments { quick: true, ..Arguments::default() })?;
    ensure!(code == ExitCode::SUCCESS, "tests failed in the lab");
    Ok(())
}

/// Returns the Python of the lab's own environment, which is made when it is missing or the requirements have changed.
fn python(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    let requirements = workspace.root().join("tools/lab/requirements.txt");
    let wanted =
        fs::read(&requirements).with_context(|| format!("cannot read {}", requirements.display()))?;
    let home = workspace.lab().join("python");
    let (python, stamp) = (home.join("bin/python"), home.join("requirements.txt"));
    if python.is_file() && fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let system = setup::ensure_python(workspace).context("the lab needs Python")?;
    let log = workspace.lab().join("python.log");
    note(&format!("making the lab's Python environment in {}", home.display()));
    let mut make = Command::new(system);
    make.args(["-m", "venv", "--clear"]).arg(&home);
    process::logged(&mut make, &log, "python3 -m venv")?;
    note("installing labgrid and pytest into it (pip install)");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--requirement"]).arg(&requirements);
    process::logged(&mut pip, &log, "pip install")
        .context("labgrid cannot be had: is a package index configured for pip, and reachable?")?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(python)
}

/// Builds the requested images and returns their directory: those of the manifest, and the chain loader.
fn images(
    workspace: &Workspace,
    environment: &Environment,
    arguments: &Arguments,
) -> anyhow::Result<PathBuf> {
    let directory = workspace.lab().join("images");
    let pattern = arguments.filter.as_deref().unwrap_or_default();
    let wanted = |name: &str| name.contains(pattern) && (!arguments.quick || QUICK.contains(&name));
    export::write(workspace, environment, &directory, &wanted)?;
    let loader = build::own(workspace, &environment.toolchain, "asphodel-loader", Profile::Images)?;
    let to = directory.join("loader.img");
    fs::copy(&loader.image, &to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(directory)
}

/// Returns the command that runs the tests.
fn pytest(
    workspace: &Workspace,
    environment: &Environment,
    python: &Path,
    arguments: &Arguments,
    images: &Path,
    junit: &Path,
) -> anyhow::Result<Command> {
    let lab = workspace.root().join("tools/lab");
    let places = arguments.env.clone().unwrap_or_else(|| lab.join("qemu.yaml"));
    ensure!(places.is_file(), "there is no environment file {}", places.display());
    let mut command = Command::new(python);
    command.args(["-m", "pytest", "-p", "no:cacheprovider", "--rootdir"]).arg(&lab).arg("--config-file");
    command.arg(lab.join("pytest.ini")).arg(&lab).arg("--lg-env").arg(fs::canonicalize(places)?);
    command.arg("--images").arg(images).arg("--junitxml").arg(junit);
    if let Some(coordinator) = &arguments.coordinator {
        command.args(["--lg-coordinator", coordinator]);
    }
    command.args(&arguments.words);
    // The tree is only read; labgrid takes the emulator from PATH, and images are sent by this very program.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PATH", path_with(&environment.qemu)?);
    command.env("ASPHODEL_IMAGES", images).env("ASPHODEL_XTASK", process::own_program()?);
    Ok(command)
}

/// Returns PATH with the directory of this program first.
fn path_with(program: &Path) -> anyhow::Result<OsString> {
    let own = program.parent().map(Path::to_path_buf);
    let path = env::var_os("PATH").unwrap_or_default();
    Ok(env::join_paths(own.into_iter().chain(env::split_paths(&path)))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test::images;

    #[test]
    fn the_quick_images_are_there() {
        let images = images::own_tests(&Workspace::find().unwrap()).unwrap();
        for name in QUICK {
            assert!(images.iter().any(|image| image.name == *name), "{name}");
        }
    }

    #[test]
    fn the_emulator_is_the_first_on_the_path() {
        let path = path_with(Path::new("/opt/qemu/bin/qemu-system-aarch64")).unwrap();
        assert_eq!(env::split_paths(&path).next().as_deref(), Some(Path::new("/opt/qemu/bin")));
    }
}

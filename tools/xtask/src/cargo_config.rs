//! Cargo's configuration for targets other than the host: images, and programs for `std`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::setup::Toolchain;

/// A configuration file of cargo, for one target.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CargoConfig {
    build: Build,
    #[serde(skip_serializing_if = "Option::is_none")]
    unstable: Option<Unstable>,
    future_incompat_report: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<Profiles>,
    target: BTreeMap<&'static str, Target>,
}

#[derive(Debug, Serialize)]
struct Build {
    #[serde(skip_serializing_if = "Option::is_none")]
    rustc: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rustdoc: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Unstable {
    build_std: Vec<&'static str>,
    build_std_features: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Report {
    frequency: &'static str,
}

/// The profiles of images.
#[derive(Debug, Serialize)]
struct Profiles {
    release: ReleaseProfile,
    images: ImagesProfile,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct ReleaseProfile {
    debug: &'static str,
    lto: &'static str,
    codegen_units: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct ImagesProfile {
    inherits: &'static str,
    lto: &'static str,
    codegen_units: u32,
}

#[derive(Debug, Serialize)]
struct Target {
    linker: PathBuf,
    rustflags: Vec<String>,
}

impl CargoConfig {
    /// Creates one for `target`, with the toolchain's linker and these flags of `compiler` (the one on PATH if there is
    /// none).
    pub(crate) fn new(
        toolchain: &Toolchain,
        compiler: Option<PathBuf>,
        target: &'static str,
        rustflags: Vec<String>,
    ) -> Self {
        Self {
            build: Build { rustc: compiler, rustdoc: toolchain.documenter() },
            unstable: None,
            // It would report problems of the library source, which cannot be changed here.
            future_incompat_report: Report { frequency: "never" },
            profile: None,
            target: BTreeMap::from([(target, Target { linker: toolchain.linker.clone(), rustflags })]),
        }
    }

    /// Makes cargo build the library from source: these crates, with these features.
    pub(crate) fn build_library(&mut self, crates: Vec<&'static str>, features: Vec<&'static str>) {
        self.unstable = Some(Unstable { build_std: crates, build_std_features: features });
    }

    /// Adds the profiles of images, as this project's own `Cargo.toml` has them: a user's own project ships the same
    /// kernel, has backtraces that are as readable, and finds the library built already.
    pub(crate) fn add_profiles(&mut self) {
        self.profile = Some(Profiles {
            release: ReleaseProfile { debug: "line-tables-only", lto: "fat", codegen_units: 1 },
            images: ImagesProfile { inherits: "release", lto: "off", codegen_units: 16 },
        });
    }
}

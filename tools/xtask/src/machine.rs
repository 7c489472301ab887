//! The emulated machines and their QEMU command lines.
//!
//! One flat image boots on all of them; the guest finds out by itself which board it is on.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use asphodel_core::boot::board::MAX_BOOT_ARGUMENTS;
use clap::ValueEnum;

use crate::console::Word;
use crate::hosted;

/// A kind of machine.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, ValueEnum)]
pub(crate) enum Machine {
    /// QEMU's virt with a GICv2, entered at EL1
    #[default]
    Virt,
    /// QEMU's virt with a GICv3, entered at EL1
    VirtGicv3,
    /// QEMU's virt with a GICv2, entered at EL2
    VirtEl2,
    /// QEMU's Raspberry Pi 4, entered at EL2 without a device tree
    Raspi4b,
    /// No emulator: the kernel as a Linux process, each CPU a thread
    Host,
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Virt => "virt",
            Self::VirtGicv3 => "virt-gicv3",
            Self::VirtEl2 => "virt-el2",
            Self::Raspi4b => "raspi4b",
            Self::Host => "host",
        })
    }
}

/// A machine with its number of CPUs, on which an image runs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Configuration {
    pub(crate) machine: Machine,
    pub(crate) cpus: u32,
}

impl fmt::Display for Configuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.machine, self.cpus)
    }
}

/// The default configurations of `test`: what fails soonest comes first.
const DEFAULT_CONFIGURATIONS: [Configuration; 6] = [
    Configuration { machine: Machine::Host, cpus: 1 },
    Configuration { machine: Machine::Host, cpus: 4 },
    Configuration { machine: Machine::Virt, cpus: 1 },
    Configuration { machine: Machine::Virt, cpus: 4 },
    Configuration { machine: Machine::VirtGicv3, cpus: 4 },
    Configuration { machine: Machine::Raspi4b, cpus: 4 },
];

impl Configuration {
    /// The number of CPUs of the one machine where it is fixed.
    const RASPI4B_CPUS: u32 = 4;
    /// A GICv2 has eight CPU interfaces.
    const GICV2_CPUS: u32 = 8;

    /// Returns a machine with that many CPUs.
    ///
    /// # Errors
    /// Fails when there is no such machine.
    pub(crate) fn new(machine: Machine, cpus: u32) -> anyhow::Result<Self> {
        match machine {
            Machine::Raspi4b if cpus != Self::RASPI4B_CPUS => bail!("raspi4b has 4 CPUs, not {cpus}"),
            Machine::Virt | Machine::VirtEl2 if cpus > Self::GICV2_CPUS => {
                bail!("a GICv2 has at most 8 CPUs: take --machine virt-gicv3 for {cpus}")
            }
            _ => Ok(Self { machine, cpus }),
        }
    }

    /// Same as [`Configuration::new`], for what is compiled for aarch64.
    ///
    /// # Errors
    /// Fails when there is no such machine, or it is not an emulated one.
    pub(crate) fn emulated(machine: Machine, cpus: u32) -> anyhow::Result<Self> {
        if machine == Machine::Host {
            bail!("programs are built for aarch64, and the machine `host` loads none");
        }
        Self::new(machine, cpus)
    }

    /// Returns whether this computer can be such a machine.
    fn is_possible(&self) -> bool {
        self.machine != Machine::Host || hosted::triple().is_ok()
    }

    /// Returns the configurations that a test runs on: the chosen machines with the chosen number of CPUs, or the part
    /// of the default list that matches the choice.
    ///
    /// # Errors
    /// Fails when a chosen machine cannot have the chosen number of CPUs.
    pub(crate) fn select(machines: &[Machine], cpus: Option<u32>) -> anyhow::Result<Vec<Self>> {
        let mut selected = Vec::new();
        match (machines, cpus) {
            ([], None) => selected.extend(DEFAULT_CONFIGURATIONS.iter().filter(|known| known.is_possible())),
            ([], Some(cpus)) => {
                for machine in [Machine::Host, Machine::Virt, Machine::VirtGicv3, Machine::Raspi4b] {
                    selected.extend(Self::new(machine, cpus).ok().filter(Self::is_possible));
                }
            }
            (machines, Some(cpus)) => {
                for machine in machines {
                    selected.push(Self::new(*machine, cpus)?);
                }
            }
            (machines, None) => {
                for machine in machines {
                    let known = DEFAULT_CONFIGURATIONS.iter().filter(|known| known.machine == *machine);
                    selected.extend(known);
                    if *machine == Machine::VirtEl2 {
                        selected.push(Self { machine: *machine, cpus: 4 });
                    }
                }
            }
        }
        selected.dedup();
        Ok(selected)
    }
}

/// How an image is booted.
#[derive(Clone, Debug)]
pub(crate) struct Boot {
    /// The machine.
    pub(crate) configuration: Configuration,
    /// Its memory, if that can be chosen.
    pub(crate) memory: String,
    /// `false` if this computer need not have as much memory: what the guest does not touch is not reserved.
    pub(crate) reserves_memory: bool,
    /// The flat image.
    pub(crate) kernel: PathBuf,
    /// Boot arguments; empty for none.
    pub(crate) append: String,
    /// The word that the guest's own lines begin with; `None` if the guest does not get one.
    pub(crate) word: Option<Word>,
    /// A device tree to pass instead of the machine's own.
    pub(crate) dtb: Option<PathBuf>,
    /// How time advances.
    pub(crate) clock: Clock,
    /// The TCP port where a debugger is waited for.
    pub(crate) gdb_port: Option<u16>,
    /// The card in the machine's slot.
    pub(crate) card: Option<Card>,
    /// What a foreign kernel gets as its first file system.
    pub(crate) initrd: Option<PathBuf>,
    /// What runs before the image, if that is not the emulator's own loader.
    pub(crate) firmware: Option<Firmware>,
    /// `true` if a guest that restarts its machine is booted again; otherwise the emulator ends.
    pub(crate) restarts: bool,
    /// The file from which a test image reads its machine time, by semihosting.
    pub(crate) time_file: Option<PathBuf>,
    /// A plugin of the emulator, with its arguments.
    pub(crate) plugin: Option<OsString>,
}

/// A card, and the log of booting from it: `kernel` is then the boot loader.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    /// The card's bytes.
    pub(crate) image: PathBuf,
    /// Where the words of the boot loader are written, which prints on the second serial line.
    pub(crate) log: PathBuf,
}

/// What a Raspberry Pi's firmware puts into memory besides the kernel before it starts the CPUs.
#[derive(Clone, Debug)]
pub(crate) struct Firmware {
    /// Runs at EL3, from address 0; it contains the addresses below.
    pub(crate) stub: PathBuf,
    /// A device tree, complete.
    pub(crate) tree: Option<PathBuf>,
}

impl Firmware {
    /// Where the kernel is put.
    pub(crate) const KERNEL: u32 = 0x8_0000;
    /// Where the device tree is put: behind every kernel that this is used with.
    pub(crate) const TREE: u32 = 0x260_0000;
}

/// How time advances in the guest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Clock {
    /// With the host's clock, each CPU a thread of the host.
    Host,
    /// With the host's clock; all CPUs take turns on one thread of it: device registers are read without a lock between
    /// threads, so that a serial line is several times as fast.
    HostInTurns,
    /// With the instructions executed: one is one nanosecond, all CPUs take turns.
    Instructions,
    /// Same as `Instructions`, and the guest's counter runs at 1 GHz, so that it counts instructions.
    CountedInstructions,
}

impl Boot {
    /// Returns a boot of `kernel` with default options.
    pub(crate) fn new(configuration: Configuration, kernel: &Path) -> Self {
        Self {
            configuration,
            memory: "1G".into(),
            reserves_memory: true,
            kernel: kernel.to_path_buf(),
            append: String::new(),
            word: Some(Word::draw()),
            dtb: None,
            clock: Clock::Host,
            gdb_port: None,
            card: None,
            initrd: None,
            firmware: None,
            restarts: false,
            time_file: None,
            plugin: None,
        }
    }

    /// Returns whether the guest gets boot arguments of this boot. Otherwise they are in its image, if it has any.
    pub(crate) fn passes_arguments(&self) -> bool {
        self.firmware.is_none() && self.card.is_none()
    }

    /// Returns whether a test image that is booted like this needs its machine time, and can get it: its counter
    /// follows the wall clock, and it gets boot arguments.
    pub(crate) fn takes_time(&self) -> bool {
        matches!(self.clock, Clock::Host | Clock::HostInTurns) && self.passes_arguments()
    }

    /// Returns the word that the guest's own lines begin with: the one in the boot arguments, if they have one.
    pub(crate) fn word(&self) -> Option<Word> {
        Word::in_arguments(&self.append).or_else(|| self.word.clone())
    }

    /// Returns the boot arguments with the word that the guest's own lines are to begin with.
    pub(crate) fn words(&self) -> String {
        let word = self.word.as_ref().filter(|_| self.passes_arguments()).map(Word::argument);
        // In front, because behind ` -- ` they would be the first process's, and because the last one counts.
        format!("{} {}", word.unwrap_or_default(), self.append).trim().to_string()
    }

    /// Checks that the guest reads the boot arguments as they are.
    ///
    /// # Errors
    /// Fails when they are too long, or have characters that a boot loader may change.
    pub(crate) fn check_arguments(&self) -> anyhow::Result<()> {
        let words = self.boot_arguments();
        ensure!(
            words.len() <= MAX_BOOT_ARGUMENTS,
            "the boot arguments have {} bytes, and a guest takes {MAX_BOOT_ARGUMENTS}",
            words.len()
        );
        let bad = self.append.chars().find(|letter| letter.is_control() && !letter.is_ascii_whitespace());
        ensure!(bad.is_none(), "boot arguments cannot have {:?}", bad.unwrap_or_default());
        Ok(())
    }

    /// Returns the boot arguments, with those that the emulator's options require.
    fn boot_arguments(&self) -> OsString {
        let mut words = OsString::from(self.words());
        if let Some(file) = &self.time_file {
            let mut time = OsString::from("machine-time=");
            time.push(file);
            time.push(" ");
            time.push(words);
            words = time;
        }
        words
    }

    /// Returns the arguments for QEMU. The serial line is QEMU's standard input and output.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = self.machine_arguments().into_iter().map(OsString::from).collect();
        let fixed = ["-display", "none", "-monitor", "none", "-chardev", "stdio,id=console,signal=off"];
        arguments.extend(fixed.map(OsString::from));
        arguments.extend(["-serial", "chardev:console"].map(OsString::from));
        if !self.restarts {
            arguments.push("-no-reboot".into());
        }
        if let Some(Card { image, log }) = &self.card {
            let mut file = OsString::from("file:");
            file.push(log);
            arguments.extend(["-serial".into(), file]);
            // A comma would end the name: it is doubled.
            let image = image.to_string_lossy().replace(',', ",,");
            arguments.extend(["-drive".into(), format!("if=sd,format=raw,file={image}").into()]);
        }
        match self.clock {
            Clock::Host => {}
            Clock::HostInTurns => arguments.extend(["-accel", "tcg,thread=single"].map(OsString::from)),
            Clock::Instructions => arguments.extend(["-icount", "shift=0,sleep=off"].map(OsString::from)),
            Clock::CountedInstructions => {
                arguments.extend(["-icount", "shift=0,sleep=off"].map(OsString::from));
                arguments.extend(["-global", "cortex-a72-arm-cpu.cntfrq=1000000000"].map(OsString::from));
            }
        }
        if let Some(port) = self.gdb_port {
            arguments.extend(["-S".into(), "-gdb".into(), OsString::from(format!("tcp:127.0.0.1:{port}"))]);
        }
        if let Some(plugin) = &self.plugin {
            arguments.extend(["-plugin".into(), plugin.clone()]);
        }
        if let Some(dtb) = &self.dtb {
            arguments.extend(["-dtb".into(), dtb.clone().into_os_string()]);
        }
        if let Some(initrd) = &self.initrd {
            arguments.extend(["-initrd".into(), initrd.clone().into_os_string()]);
        }
        if self.time_file.is_some() {
            arguments.extend(["-semihosting-config", "enable=on,target=native"].map(OsString::from));
        }
        let words = self.boot_arguments();
        if !words.is_empty() {
            arguments.extend(["-append".into(), words]);
        }
        match &self.firmware {
            None => arguments.extend(["-kernel".into(), self.kernel.clone().into_os_string()]),
            Some(firmware) => arguments.extend(self.board_like(firmware)),
        }
        arguments
    }

    /// Returns the machine as the firmware finds the board, with nothing loaded except what the firmware has loaded.
    fn board_like(&self, firmware: &Firmware) -> Vec<OsString> {
        let globals = ["arm_gic.has-security-extensions=on", "cortex-a72-arm-cpu.cntfrq=54000000"];
        let mut arguments: Vec<OsString> =
            globals.iter().flat_map(|global| ["-global".into(), global.into()]).collect();
        let tree = firmware.tree.as_ref().map(|tree| (tree, Firmware::TREE));
        for (file, address) in [(&firmware.stub, 0), (&self.kernel, Firmware::KERNEL)].into_iter().chain(tree)
        {
            // A comma would end the name: it is doubled.
            let file = file.to_string_lossy().replace(',', ",,");
            let device = format!("loader,file={file},addr={address:#x},force-raw=on");
            arguments.extend(["-device".into(), device.into()]);
        }
        arguments
    }

    /// Returns machine and CPUs, and how the image is loaded if not in the usual way: the name under which results are
    /// kept.
    pub(crate) fn place(&self) -> String {
        let way = match (&self.card, &self.firmware) {
            (Some(_), _) => " from a card",
            (None, Some(Firmware { tree: None, .. })) => " from EL3",
            (None, Some(_)) => " from EL3 with a device tree",
            (None, None) => "",
        };
        format!("{}{way}", self.configuration)
    }

    /// Returns the arguments that differ from machine to machine.
    fn machine_arguments(&self) -> Vec<String> {
        let Configuration { machine, cpus } = self.configuration;
        let mut kind = match machine {
            Machine::Virt => "virt,gic-version=2",
            Machine::VirtGicv3 => "virt,gic-version=3",
            Machine::VirtEl2 => "virt,gic-version=2,virtualization=on",
            Machine::Raspi4b => return ["-M", "raspi4b"].map(String::from).into(),
            // Without QEMU: see `hosted`.
            Machine::Host => return Vec::new(),
        }
        .to_string();
        if matches!(self.clock, Clock::Instructions | Clock::CountedInstructions) {
            // The seeds in the device tree differ from run to run, and so would the instructions of code that walks it.
            kind += ",dtb-randomness=off";
        }
        let mut arguments = Vec::new();
        if !self.reserves_memory {
            kind += ",memory-backend=memory";
            let backend = format!("memory-backend-ram,id=memory,size={},reserve=off", self.memory);
            arguments.extend(["-object".to_string(), backend]);
        }
        let cpus = cpus.to_string();
        // Without `-nic none` QEMU wants the boot ROM of a network card, which minimal installations lack.
        let machine = ["-M", &kind, "-cpu", "cortex-a72", "-smp", &cpus, "-m", &self.memory, "-nic", "none"];
        arguments.extend(machine.map(String::from));
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(boot: &Boot) -> String {
        let words: Vec<String> =
            boot.arguments().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn virt_has_the_chosen_gic_cpus_and_memory() {
        let configuration = Configuration::new(Machine::VirtGicv3, 16).unwrap();
        let mut boot = Boot::new(configuration, Path::new("k.img"));
        boot.memory = "2G".into();
        boot.word = None;
        let line = line(&boot);
        assert!(line.starts_with("-M virt,gic-version=3 -cpu cortex-a72 -smp 16 -m 2G -nic none"), "{line}");
        assert!(line.ends_with("-kernel k.img"), "{line}");
        assert!(!line.contains("-append"), "{line}");
    }

    #[test]
    fn a_counted_run_is_deterministic() {
        let mut boot = Boot::new(Configuration::new(Machine::Virt, 1).unwrap(), Path::new("k.img"));
        boot.clock = Clock::CountedInstructions;
        let line = line(&boot);
        assert!(line.contains("-M virt,gic-version=2,dtb-randomness=off"), "{line}");
        assert!(line.contains("-icount shift=0,sleep=off"), "{line}");
        assert!(line.contains("cntfrq=1000000000"), "{line}");
    }

    #[test]
    fn raspi4b_takes_neither_cpus_nor_memory() {
        let mut boot = Boot::new(Configuration::new(Machine::Raspi4b, 4).unwrap(), Path::new("k.img"));
        boot.append = "filter=a b".into();
        let line = line(&boot);
        assert!(!line.contains("-smp") && !line.contains("-m "), "{line}");
        let word = boot.word.as_ref().map(Word::argument).unwrap();
        assert!(line.contains(&format!("-append {word} filter=a b")), "{line}");
    }

    #[test]
    fn a_card_comes_with_a_second_serial_line() {
        let mut boot = Boot::new(Configuration::new(Machine::Raspi4b, 4).unwrap(), Path::new("loader.bin"));
        boot.card = Some(Card { image: "a,b.img".into(), log: "loader.log".into() });
        let line = line(&boot);
        let (console, loader) = (line.find("-serial chardev:console"), line.find("-serial file:loader.log"));
        assert!(console.is_some() && console < loader, "the console is the first: {line}");
        assert!(line.contains("-drive if=sd,format=raw,file=a,,b.img"), "{line}");
    }

    #[test]
    fn machine_time_is_told_where_the_counter_goes_with_the_wall_clock() {
        let mut boot = Boot::new(Configuration::new(Machine::Virt, 1).unwrap(), Path::new("k.img"));
        assert!(boot.takes_time() && !line(&boot).contains("semihosting"));
        boot.append = "filter=a".into();
        boot.word = None;
        boot.time_file = Some("time".into());
        let line = line(&boot);
        assert!(line.contains("-semihosting-config enable=on,target=native"), "{line}");
        assert!(line.contains("-append machine-time=time filter=a"), "{line}");
        boot.clock = Clock::Instructions;
        assert!(!boot.takes_time(), "the counter counts instructions");
    }

    #[test]
    fn a_word_is_drawn_for_each_boot_or_chosen_with_the_boot_arguments() {
        let configuration = Configuration::new(Machine::Virt, 1).unwrap();
        let boot = || Boot::new(configuration, Path::new("k.img"));
        assert_ne!(boot().word(), boot().word());
        let mut boot = boot();
        boot.append = "console-word=chosen".into();
        assert_eq!(boot.word().map(|word| word.argument()).as_deref(), Some("console-word=chosen"));
        assert!(boot.words().ends_with(" console-word=chosen"), "{}", boot.words());
    }

    #[test]
    fn boot_arguments_that_would_be_cut_are_refused() {
        let mut boot = Boot::new(Configuration::new(Machine::Virt, 1).unwrap(), Path::new("k.img"));
        boot.append = "x".repeat(MAX_BOOT_ARGUMENTS - 100);
        assert!(boot.check_arguments().is_ok());
        boot.append = "x".repeat(MAX_BOOT_ARGUMENTS);
        let limit = format!("a guest takes {MAX_BOOT_ARGUMENTS}");
        assert!(boot.check_arguments().unwrap_err().to_string().contains(&limit));
        boot.append = "a\0b".into();
        assert!(boot.check_arguments().unwrap_err().to_string().contains("cannot have"));
    }

    #[test]
    fn firmware_takes_the_kernels_place() {
        let mut boot = Boot::new(Configuration::new(Machine::Raspi4b, 4).unwrap(), Path::new("k.img"));
        boot.firmware = Some(Firmware { stub: "stub.bin".into(), tree: Some("t.dtb".into()) });
        let line = line(&boot);
        assert!(!line.contains("-kernel") && line.contains("has-security-extensions=on"), "{line}");
        for (file, address) in [("stub.bin", "0x0"), ("k.img", "0x80000"), ("t.dtb", "0x2600000")] {
            let device = format!("-device loader,file={file},addr={address},force-raw=on");
            assert!(line.contains(&device), "{line}");
        }
        assert_eq!(boot.place(), "raspi4b/4 from EL3 with a device tree");
    }

    #[test]
    fn a_debugger_is_waited_for_on_the_loopback_only() {
        let mut boot = Boot::new(Configuration::new(Machine::Virt, 1).unwrap(), Path::new("k.img"));
        boot.gdb_port = Some(1234);
        assert!(line(&boot).contains("-S -gdb tcp:127.0.0.1:1234"));
    }

    #[test]
    fn impossible_machines_are_refused() {
        assert!(Configuration::new(Machine::Raspi4b, 2).is_err());
        assert!(Configuration::new(Machine::Virt, 16).is_err());
        assert!(Configuration::new(Machine::VirtGicv3, 64).is_ok());
    }

    #[test]
    fn the_selection_follows_the_choice() {
        let names = |machines: &[Machine], cpus| -> Vec<String> {
            Configuration::select(machines, cpus).unwrap().iter().map(ToString::to_string).collect()
        };
        assert_eq!(names(&[Machine::Host], None), ["host/1", "host/4"]);
        let emulated = |names: Vec<String>| -> Vec<String> {
            names.into_iter().filter(|name| !name.starts_with("host")).collect()
        };
        assert_eq!(emulated(names(&[], None)), ["virt/1", "virt/4", "virt-gicv3/4", "raspi4b/4"]);
        assert_eq!(emulated(names(&[], Some(2))), ["virt/2", "virt-gicv3/2"]);
        assert_eq!(names(&[Machine::Virt], None), ["virt/1", "virt/4"]);
        assert_eq!(names(&[Machine::VirtEl2], None), ["virt-el2/4"]);
        assert_eq!(names(&[Machine::VirtGicv3], Some(64)), ["virt-gicv3/64"]);
    }
}

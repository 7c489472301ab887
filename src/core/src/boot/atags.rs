//! ATAGs: the list of facts that 32-bit Arm boot loaders passed before there were device trees.
//!
//! Read at boot only, on a machine that is started without a device tree: QEMU's `raspi4b` puts such
//! a list at 0x100, the command line among it. Hardware-free. Form: tags of 32-bit words, the first
//! one the tag's length in words (its two header words counted), the second one what it is.

/// Header word of the tag that begins a list.
const CORE: u32 = 0x5441_0001;
/// Size and start of some RAM.
const MEMORY: u32 = 0x5441_0002;
/// The command line, ended by a zero byte.
const COMMAND_LINE: u32 = 0x5441_0009;

/// The contents of a list of tags, as far as they are used here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Atags<'list> {
    /// The boot arguments.
    pub command_line: Option<&'list str>,
    /// End of the RAM that begins at address 0.
    pub memory_end: Option<u64>,
}

/// Reads the list at the start of `bytes`, which may be longer. Returns `None` if there is no list.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Atags<'_>> {
    let mut found = Atags::default();
    let mut rest = bytes;
    let mut first = true;
    loop {
        let (length, kind) = (word(rest, 0)? as usize, word(rest, 1)?);
        if first && kind != CORE {
            return None;
        }
        // The tag of kind 0 ends the list, whatever its length.
        if kind == 0 {
            return Some(found);
        }
        // A tag that is not longer than its header would be read for ever.
        let tag = rest.get(8..length.checked_mul(4)?).filter(|_| length >= 2)?;
        match kind {
            MEMORY if word(tag, 1) == Some(0) => found.memory_end = word(tag, 0).map(u64::from),
            COMMAND_LINE => found.command_line = text(tag),
            _ => {}
        }
        rest = &rest[length * 4..];
        first = false;
    }
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let bytes = bytes.get(index * 4..index * 4 + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn text(bytes: &[u8]) -> Option<&str> {
    core::ffi::CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tags: &[(u32, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (kind, content) in tags {
            let mut content = content.to_vec();
            content.resize(content.len().next_multiple_of(4), 0);
            let length = if *kind == 0 { 0 } else { 2 + content.len() as u32 / 4 };
            bytes.extend(length.to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(content);
        }
        bytes
    }

    #[test]
    fn memory_and_command_line_are_found() {
        let memory = [0, 0, 0, 0x7c, 0, 0, 0, 0];
        let tags = list(&[(CORE, &[0; 12]), (MEMORY, &memory), (COMMAND_LINE, b"seed=1 a\0"), (0, &[])]);
        let found = parse(&tags).expect("a complete list");
        assert_eq!(found.command_line, Some("seed=1 a"));
        assert_eq!(found.memory_end, Some(0x7c00_0000));
    }

    #[test]
    fn something_else_is_no_list() {
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&[0xd0, 0x0d, 0xfe, 0xed, 0, 0, 0, 0]), None);
        assert_eq!(parse(&list(&[(MEMORY, &[0; 8]), (0, &[])])), None, "the first tag must be CORE");
    }

    #[test]
    fn broken_lists_end_the_reading() {
        let mut endless = list(&[(CORE, &[0; 12])]);
        assert_eq!(parse(&endless), None, "no end");
        endless.extend([1, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(parse(&endless), None, "a tag of one word");
        let mut long = list(&[(CORE, &[0; 12])]);
        long.extend([0xff, 0xff, 0xff, 0xff, 9, 0, 0, 0]);
        assert_eq!(parse(&long), None, "a tag longer than the memory");
    }
}

//! Reading a guest's serial line: bytes to lines, and the lines that every kind of image prints.

/// The beginning of the last line of every guest.
const POWER_OFF: &str = "asphodel: power off, status ";

/// The same if the guest restarts its machine.
const RESTART: &str = "asphodel: restart, status ";

/// The beginning of the line of a system panic.
const PANIC: &str = "asphodel: PANIC";

/// The first line of the first process.
const INIT: &str = "init: pid 1";

/// The line that the system prints when its first process has ended.
const END: &str = "asphodel: init exited with ";

/// Assembles lines from bytes that arrive in pieces.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes the next piece and returns the lines that it completes, without their ends.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            if *byte == b'\n' {
                lines.push(text(&self.partial));
                self.partial.clear();
            } else {
                self.partial.push(*byte);
            }
        }
        lines
    }

    /// Returns what came after the last end of a line.
    pub(crate) fn rest(self) -> Option<String> {
        (!self.partial.is_empty()).then(|| text(&self.partial))
    }
}

/// Returns a line's bytes as text, without carriage returns at its end.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\r').to_string()
}

/// Returns the status with which the guest powers off, if the line says so.
pub(crate) fn power_off_status(line: &str) -> Option<u8> {
    status_behind(POWER_OFF, line)
}

/// Returns the status with which the guest powers off or restarts, if the line says so.
pub(crate) fn end_status(line: &str) -> Option<u8> {
    power_off_status(line).or_else(|| status_behind(RESTART, line))
}

fn status_behind(what: &str, line: &str) -> Option<u8> {
    let (_, status) = line.split_once(what)?;
    status.trim().parse().ok()
}

/// Returns whether the line says only that the system ends.
pub(crate) fn is_end(line: &str) -> bool {
    line.starts_with(END) || end_status(line).is_some()
}

/// Returns whether the line is that of a system panic.
pub(crate) fn is_panic(line: &str) -> bool {
    line.starts_with(PANIC)
}

/// Returns whether the line says that the first process runs, so that its console reads input.
pub(crate) fn is_init(line: &str) -> bool {
    line.starts_with(INIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut lines = Lines::default();
        assert!(lines.feed(b"one").is_empty());
        assert_eq!(lines.feed(b" two\r\nthree\nfo"), ["one two", "three"]);
        assert_eq!(lines.rest().as_deref(), Some("fo"));
    }

    #[test]
    fn the_status_is_in_the_last_line() {
        assert_eq!(power_off_status("asphodel: power off, status 0"), Some(0));
        assert_eq!(power_off_status("half a line asphodel: power off, status 137 "), Some(137));
        assert_eq!(power_off_status("asphodel: power off, status x"), None);
        assert_eq!(power_off_status("power off"), None);
    }

    #[test]
    fn panics_and_the_first_process_are_known() {
        assert!(is_panic("asphodel: PANIC on cpu 1: no"));
        assert!(!is_panic("asphodel: pid 3 tid 4 panicked"));
        assert!(is_init("init: pid 1, console"));
        assert!(is_end("asphodel: init exited with 0, the system ends") && !is_end("asphodel: pid 3 ended"));
    }
}

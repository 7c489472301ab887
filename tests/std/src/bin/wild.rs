//! Passes words to the functions of the kernel that are none of what these should be: `all SEED` many of them, to each
//! function that comes back; the other ways end it.

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

type Word = usize;

macro_rules! functions {
    ($($name:ident)*) => {
        unsafe extern "C" {
            $(fn $name(a: Word, b: Word, c: Word, d: Word, e: Word, f: Word) -> Word;)*
        }
        /// All functions that take any word and come back.
        const FUNCTIONS: &[(&str, unsafe extern "C" fn(Word, Word, Word, Word, Word, Word) -> Word)] =
            &[$((stringify!($name), $name)),*];
    };
}

functions! {
    sys_read_entropy sys_open sys_close sys_dup sys_read sys_readv sys_write sys_writev sys_lseek sys_stat sys_lstat
    sys_fstat sys_unlink sys_mkdir sys_rmdir sys_getdents64 sys_ioctl sys_poll sys_futex_wait sys_futex_wake
    sys_malloc sys_socket sys_accept sys_bind sys_connect sys_getpeername sys_getsockname sys_getsockopt sys_listen
    sys_recv sys_recvfrom sys_send sys_sendto sys_setsockopt sys_shutdown sys_getaddrinfo sys_freeaddrinfo
    sys_get_errno sys_spawn2 sys_join sys_usleep sys_yield sys_available_parallelism sys_clock_gettime
}

unsafe extern "C" {
    fn sys_realloc(block: Word, size: Word, align: Word, new_size: Word) -> Word;
    fn sys_free(block: Word, size: Word, align: Word);
    fn sys_exit(code: i32) -> !;
    fn sys_abort() -> !;
}

/// The functions above that do not come back, or not from everything.
const OTHERS: usize = 4;
const _: () = assert!(FUNCTIONS.len() + OTHERS == 48);

/// Memory that any function may read and write, with room around it.
static ROOM: [AtomicUsize; 4096] = [const { AtomicUsize::new(1) }; 4096];
static NAME: &std::ffi::CStr = c"/wild";
/// A millisecond, as a time of the ABI.
static SHORT: (i64, i32) = (0, 1_000_000);

const EFAULT: isize = -14;
const ENOENT: i32 = -2;
/// Most descriptors of a process.
const DESCRIPTORS: Word = 4096;
/// The kernel's text, its linear map, a page of a stack, and other arenas: nothing that belongs to this program.
const FOREIGN: [Word; 6] = [
    0xffff_ffff_8008_0000,
    0xffff_ff80_0000_0000,
    0xffff_ff80_4000_0000,
    0xffff_ffe0_0000_1000,
    0xffff_ffa4_0000_0000,
    0xffff_fffc_0000_0000,
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> Word {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) as Word
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 8) % limit
    }

    /// A word of any kind.
    fn word(&mut self) -> Word {
        match self.below(10) {
            0 => self.next(),
            1 => self.next() >> self.below(64),
            2 => [0, 1, 2, 3, 4, 8, 16, 255, 4096][self.below(9)],
            3 => [usize::MAX, isize::MAX as usize, isize::MIN as usize, 1 << 29, 1 << 40][self.below(5)],
            4 => FOREIGN[self.below(FOREIGN.len())].wrapping_add(self.below(64)),
            5 => ROOM.as_ptr() as Word + self.below(64),
            6 => NAME.as_ptr() as Word,
            7 => nothing as *const () as Word,
            8 => 3 + self.below(4),
            _ => (&raw const SHORT) as Word,
        }
    }
}

extern "C" fn nothing(_argument: *mut c_void) {}

/// Calls functions with any words. Those that may be waited in for ever get a short time.
fn all(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for _ in 0..3_000 {
        let (name, function) = FUNCTIONS[random.below(FUNCTIONS.len())];
        let mut words = [(); 6].map(|()| random.word());
        match name {
            "sys_usleep" => words[0] %= 1_000,
            "sys_poll" => {
                words[2] = random.below(2);
                if is_room(words[0]) {
                    words[1] = [0, 1, 100, usize::MAX][random.below(4)];
                }
            }
            "sys_futex_wait" => {
                words[2] = [(&raw const SHORT) as Word, FOREIGN[random.below(6)], 8][random.below(3)]
            }
            // One name is enough to clear away.
            "sys_open" | "sys_mkdir" if is_room(words[0]) => words[0] = NAME.as_ptr() as Word,
            // A length that reaches beyond the room, and not beyond the program's data, would be its own harm.
            "sys_read" | "sys_read_entropy" | "sys_getdents64" if is_room(words[0]) || is_room(words[1]) => {
                let length = if name == "sys_read_entropy" { 1 } else { 2 };
                words[length] = [0, 1, 100, 4096, isize::MAX as usize, usize::MAX][random.below(6)];
            }
            _ => {}
        }
        let [a, b, c, d, e, f] = words;
        // SAFETY: that is what is tried.
        let result = unsafe { function(a, b, c, d, e, f) };
        if name == "sys_malloc" && result != 0 {
            // SAFETY: just allocated for this layout.
            unsafe { sys_free(result, a, b) };
        }
    }
}

/// Removes the file or directory that calls may have made, and may have open, by descriptors from `first` on.
fn clear_away(first: Word) {
    for descriptor in first..DESCRIPTORS {
        // SAFETY: no file of the standard library is open.
        unsafe { sys_close(descriptor, 0, 0, 0, 0, 0) };
    }
    let name = NAME.as_ptr() as Word;
    // SAFETY: a C string.
    let results = unsafe { [sys_unlink(name, 0, 0, 0, 0, 0), sys_rmdir(name, 0, 0, 0, 0, 0)] };
    // SAFETY: a C string, and a buffer as large as a page.
    let status = unsafe { sys_stat(name, ROOM.as_ptr() as Word, 0, 0, 0, 0) } as i32;
    assert_eq!(status, ENOENT, "{:?}", results.map(|result| result as i32));
}

fn is_room(word: Word) -> bool {
    (ROOM.as_ptr() as Word..(&raw const ROOM) as Word + size_of_val(&ROOM)).contains(&word)
}

/// What is not the program's is refused, by each function that reads or writes.
fn foreign() {
    let call = |name: &str, words: [Word; 4]| {
        let (_, function) = FUNCTIONS.iter().find(|(other, _)| *other == name).expect("it is one of them");
        // SAFETY: that is what is tried.
        unsafe { function(words[0], words[1], words[2], words[3], 0, 0) as isize }
    };
    // Read and write, create.
    let file = call("sys_open", [NAME.as_ptr() as Word, 0o102, 0, 0]) as i32;
    assert!(file >= 0, "{file}");
    let (fd, room) = (file as Word, ROOM.as_ptr() as Word);
    assert_eq!(call("sys_write", [fd, room, 4096, 0]), 4096);
    assert_eq!(call("sys_lseek", [fd, 0, 0, 0]), 0);
    // Where the kernel's own frames are during a call.
    let below = (&raw const file) as Word - 8192;
    for place in FOREIGN.into_iter().chain([8, NAME.as_ptr() as Word, nothing as *const () as Word, below]) {
        let writes = [
            call("sys_read", [fd, place, 8, 0]),
            call("sys_read_entropy", [place, 8, 0, 0]),
            call("sys_clock_gettime", [4, place, 0, 0]) as i32 as isize,
            call("sys_fstat", [fd, place, 0, 0]) as i32 as isize,
            call("sys_stat", [NAME.as_ptr() as Word, place, 0, 0]) as i32 as isize,
            call("sys_getdents64", [fd, place, 64, 0]),
            call("sys_poll", [place, 1, 0, 0]) as i32 as isize,
        ];
        assert_eq!(writes, [EFAULT; 7], "{place:#x}");
    }
    for place in FOREIGN.into_iter().chain([8]) {
        let reads = [
            call("sys_write", [fd, place, 8, 0]),
            call("sys_writev", [fd, place, 1, 0]),
            call("sys_open", [place, 0, 0, 0]) as i32 as isize,
            call("sys_mkdir", [place, 0, 0, 0]) as i32 as isize,
            call("sys_futex_wait", [place, 0, (&raw const SHORT) as Word, 1]) as i32 as isize,
            call("sys_futex_wait", [room, 1, place, 1]) as i32 as isize,
        ];
        assert_eq!(reads, [EFAULT; 6], "{place:#x}");
        assert_eq!(call("sys_spawn2", [place, 0, 0, 0]) as i32, 0, "{place:#x}");
        assert_eq!(call("sys_futex_wake", [place, 1, 0, 0]) as i32, 0, "{place:#x}");
    }
    // What is the program's is not: also in the stack of another thread.
    let mut mine = [0_u8; 64];
    let start = mine.as_mut_ptr() as Word;
    let drawn = std::thread::spawn(move || call("sys_read_entropy", [start, 64, 0, 0]));
    assert_eq!(drawn.join().expect("it returns"), 64);
    assert_ne!(mine, [0; 64]);
}

/// Gives back, or resizes, what it does not have, in the way that `seed` selects.
fn misuse(way: &str, seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // SAFETY: none of this is sound, which is what is tried.
    unsafe {
        let block = sys_malloc(64, 16, 0, 0, 0, 0);
        match way {
            "free" if seed == 0 => sys_free(8, 64, 16),
            "free" => sys_free(random.word(), random.word(), random.word()),
            "realloc" => _ = sys_realloc(random.word(), random.word(), random.word(), 64),
            "twice" => {
                sys_free(block, 64, 16);
                sys_free(block, 64, 16);
            }
            "inside" => sys_free(block + 16, 48, 16),
            "size" => sys_free(block, 65 + random.below(1000), 16),
            _ => sys_free(block, 64, 32 << random.below(8)),
        }
    }
}

/// Lets the kernel write over the lists of the program's own heap, and goes on to use it.
fn overwrite_heap(seed: u64) {
    const LENGTH: usize = 20_000;
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    // SAFETY: none of this is sound, which is what is tried.
    unsafe {
        let [first, second, third] = [(); 3].map(|()| sys_malloc(LENGTH, 16, 0, 0, 0, 0));
        assert!(first < second && second - first < LENGTH + 64);
        sys_free(second, LENGTH, 16);
        let (place, length) = if seed == 0 {
            (first + LENGTH, 100)
        } else {
            (first + random.below(2 * LENGTH), random.below(3 * LENGTH))
        };
        sys_read_entropy(place, length, 0, 0, 0, 0);
        for _ in 0..100 {
            let size = [LENGTH, 100, 7, LENGTH / 2, 3 * LENGTH][random.below(5)];
            let block = sys_malloc(size, 16, 0, 0, 0, 0);
            let moved = sys_realloc(block, size, 16, size * 2);
            if random.below(3) != 0 {
                sys_free(moved, size * 2, 16);
            }
        }
        sys_free(third, LENGTH, 16);
        sys_free(first, LENGTH, 16);
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let seed = words.get(2).map_or(0, |seed| seed.parse().expect("a number"));
    match words.get(1).map_or("all", String::as_str) {
        "all" => {
            // No descriptor is the console: nothing waits for input.
            // SAFETY: nothing of this program prints afterwards.
            (0..3).for_each(|descriptor| _ = unsafe { sys_close(descriptor, 0, 0, 0, 0, 0) });
            all(seed);
            clear_away(0);
        }
        "foreign" => {
            foreign();
            clear_away(3);
        }
        // SAFETY: it ends the process.
        "exit" => unsafe { sys_exit(seed as i32) },
        // SAFETY: it ends the process.
        "abort" => unsafe { sys_abort() },
        "heap" => overwrite_heap(seed),
        "sleep" => {
            // SAFETY: it sleeps.
            unsafe { sys_usleep(usize::MAX, 0, 0, 0, 0, 0) };
        }
        way => misuse(way, seed),
    }
    let _ = ROOM[0].load(Ordering::Relaxed);
}

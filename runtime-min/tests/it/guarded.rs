//! Memory that ends where a page begins which nobody may touch: whoever reads or writes
//! one byte beyond the end is stopped at once.
#![allow(unsafe_code, reason = "maps memory, which no safe interface does")]

use std::ffi::c_void;
use std::ptr;

/// Bytes that end at a forbidden page, and begin behind another.
pub(crate) struct Guarded {
    mapping: *mut u8,
    mapped: usize,
    end: *mut u8,
    capacity: usize,
}

const PAGE: usize = 4096;

impl Guarded {
    /// Room for so many bytes, all zero.
    pub(crate) fn new(capacity: usize) -> Self {
        let inner = capacity.next_multiple_of(PAGE);
        let mapped = inner + 2 * PAGE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, at no particular address.
        let mapping = unsafe { libc::mmap(ptr::null_mut(), mapped, protection, flags, -1, 0) };
        assert_ne!(mapping, libc::MAP_FAILED, "the system has no memory");
        let mapping = mapping.cast::<u8>();
        for forbidden in [0, mapped - PAGE] {
            // SAFETY: a page of our own mapping.
            let result = unsafe { libc::mprotect(mapping.add(forbidden).cast(), PAGE, libc::PROT_NONE) };
            assert_eq!(result, 0, "the system protects memory");
        }
        // SAFETY: inside of the mapping.
        let end = unsafe { mapping.add(PAGE + inner) };
        Self { mapping, mapped, end, capacity: inner }
    }

    /// The last `len` bytes before the forbidden page.
    pub(crate) fn bytes(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.capacity);
        // SAFETY: that many bytes before the end are mapped, and borrowed as long as we are.
        unsafe { std::slice::from_raw_parts_mut(self.end.sub(len), len) }
    }

    /// The last `len` numbers before the forbidden page.
    pub(crate) fn floats(&mut self, len: usize) -> &mut [f32] {
        assert!(len * size_of::<f32>() <= self.capacity);
        // SAFETY: as above, and a page's end is aligned for them.
        unsafe { std::slice::from_raw_parts_mut(self.end.cast::<c_void>().cast::<f32>().sub(len), len) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: our own mapping, to which no reference is left.
        unsafe { libc::munmap(self.mapping.cast(), self.mapped) };
    }
}

/// Memory that other processes share, or that outlives this one in a file.
pub(crate) struct Shared {
    begin: *mut u8,
    len: usize,
}

impl Shared {
    /// Memory of this process and of those that it forks, all zero.
    pub(crate) fn new(len: usize) -> Self {
        Self::map(len, -1, libc::MAP_SHARED | libc::MAP_ANONYMOUS)
    }

    /// A file's contents, as long as this; what is written stands in the file whatever
    /// becomes of the process.
    pub(crate) fn file(file: &std::fs::File, len: usize) -> Self {
        file.set_len(len as u64).expect("the file can be made as long");
        Self::map(len, std::os::fd::AsRawFd::as_raw_fd(file), libc::MAP_SHARED)
    }

    fn map(len: usize, file: libc::c_int, flags: libc::c_int) -> Self {
        // SAFETY: a new mapping, at no particular address.
        let begin = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, file, 0) };
        assert_ne!(begin, libc::MAP_FAILED, "the system has no memory");
        Self { begin: begin.cast(), len }
    }

    pub(crate) fn begin(&self) -> *mut u8 {
        self.begin
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes, while nobody else writes to them.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: our own mapping, as long as it says, initialised by the system.
        unsafe { std::slice::from_raw_parts_mut(self.begin, self.len) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: our own mapping, to which no reference is left.
        unsafe { libc::munmap(self.begin.cast(), self.len) };
    }
}

//! Histogram of decision times.

use super::code::{EkCode, run};
use super::memory;
use crate::histogram::{BUCKETS, Histogram, bucket_end_ns};

/// Buckets of a histogram.
pub const EK_HISTOGRAM_BUCKETS: u32 = 64;

const _: () = assert!(EK_HISTOGRAM_BUCKETS as usize == BUCKETS && size_of::<EkHistogram>() == 8 * (BUCKETS + 1));

/// A histogram of durations. Memory filled with zeros and aligned to 8 bytes is an empty
/// one: there is nothing to initialise, and processes may share it.
#[derive(Debug)]
pub struct EkHistogram(#[expect(dead_code, reason = "read through pointers alone")] Histogram);

/// Bytes of a histogram.
#[unsafe(no_mangle)]
pub extern "C" fn ek_histogram_size() -> usize {
    size_of::<EkHistogram>()
}

/// Adds a duration. Any number of threads and processes may do so at once.
///
/// # Safety
/// - `histogram` is NULL or points to `ek_histogram_size` initialised bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_histogram_record(histogram: *const EkHistogram, duration_ns: u64) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        unsafe { view(histogram) }?.record(duration_ns);
        Ok(())
    })
}

/// Where a bucket ends (the last one has no end) and how many durations are in it; the
/// first begins at 0, each other one where the one before it ends.
///
/// # Safety
/// - `histogram` is NULL or points to `ek_histogram_size` initialised bytes.
/// - `end_ns` and `count` are NULL or point to numbers that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_histogram_bucket(
    histogram: *const EkHistogram,
    bucket: u32,
    end_ns: *mut u64,
    count: *mut u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let found = unsafe { view(histogram) }?;
        memory::check(end_ns)?;
        memory::check(count)?;
        if bucket >= EK_HISTOGRAM_BUCKETS {
            return Err(EkCode::Capacity);
        }
        // SAFETY: checked above.
        unsafe { end_ns.write(bucket_end_ns(bucket as usize)) };
        // SAFETY: checked above.
        unsafe { count.write(found.count(bucket as usize)) };
        Ok(())
    })
}

/// Sum of all durations, and the one that 99 % do not exceed, rounded up to within a
/// quarter; 0 if there is none.
///
/// # Safety
/// - `histogram` is NULL or points to `ek_histogram_size` initialised bytes.
/// - `sum_ns` and `p99_ns` are NULL or point to numbers that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ek_histogram_summary(
    histogram: *const EkHistogram,
    sum_ns: *mut u64,
    p99_ns: *mut u64,
) -> EkCode {
    run(|| {
        // SAFETY: forwarded to the caller.
        let found = unsafe { view(histogram) }?;
        memory::check(sum_ns)?;
        memory::check(p99_ns)?;
        // SAFETY: checked above.
        unsafe { sum_ns.write(found.sum_ns()) };
        // SAFETY: checked above.
        unsafe { p99_ns.write(found.quantile_ns(0.99)) };
        Ok(())
    })
}

/// # Safety
/// - `histogram` is NULL or points to `ek_histogram_size` initialised bytes.
unsafe fn view<'a>(histogram: *const EkHistogram) -> Result<&'a Histogram, EkCode> {
    let histogram = histogram.cast::<Histogram>();
    memory::check(histogram)?;
    // SAFETY: aligned and initialised; every bit pattern is valid, and all of it is atomic.
    Ok(unsafe { &*histogram })
}

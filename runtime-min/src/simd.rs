//! Sixteen hosts at once: which vector instructions the machine has, and kernels over them.
//!
//! A kernel is written once, generic over [`Lanes`], and compiled for each level. Every
//! level gives the same bits, so that a policy trained on one machine decides alike on
//! another: additions happen in the order that the kernel spells out, and a fused
//! multiply-add is fused on all levels (computed exactly where the CPU has none).

#![allow(unsafe_code, reason = "functions with target features may only be called where the CPU has them")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod lanes;
pub(crate) mod math;
mod portable;
mod tile;

pub(crate) use lanes::{Block, Lanes, Registers};
pub(crate) use tile::add_products;

#[cfg(target_arch = "x86_64")]
use crate::LANES;

/// Vector instructions that this machine has: a value proves that they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(Width);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Width {
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A computation which can be compiled for any level.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;

    /// Computes it. To be `#[inline(always)]`, as all that it calls: only what is inlined
    /// is compiled for the level's instructions. `lanes` is any value of the level's
    /// vectors, of which the kernel makes its own.
    fn run<V: Lanes>(self, lanes: V) -> Self::Output;
}

impl Level {
    /// What every CPU of the target has (SSE2 on x86-64, NEON on AArch64).
    pub const BASELINE: Self = Self(Width::Baseline);

    /// The widest that both the CPU and the operating system support.
    #[inline]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self(x86_64::widest_known());
        #[cfg(not(target_arch = "x86_64"))]
        return Self::BASELINE;
    }

    /// Every level that the machine has, narrowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let all = [Width::Baseline, Width::Avx2, Width::Avx512];
        #[cfg(not(target_arch = "x86_64"))]
        let all = [Width::Baseline];
        let widest = Self::detect();
        all.into_iter().map(Self).filter(move |level| *level <= widest)
    }

    /// Name of the instructions.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Width::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => "avx512",
        }
    }

    /// [`run`](Self::run) for kernels that need the first `rows` lanes only.
    #[inline(always)]
    pub(crate) fn run_rows<K: Kernel>(self, rows: usize, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        if rows <= LANES / 2 && self.0 != Width::Baseline {
            // SAFETY: as below; AVX-512 is only ever found where AVX2 is.
            return unsafe { avx2::run::<1, K>(kernel) };
        }
        let _ = rows;
        self.run(kernel)
    }

    /// Runs a kernel with this level's instructions.
    #[inline(always)]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Width::Baseline => kernel.run(portable::Portable::ZERO),
            // SAFETY: a level above the baseline is only ever made by `detect` and
            // `available`, which found it supported.
            #[cfg(target_arch = "x86_64")]
            Width::Avx2 => unsafe { avx2::run::<2, K>(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Width::Avx512 => unsafe { avx512::run(kernel) },
        }
    }
}

/// Proof that the CPU has the instruction for products of bytes, VNNI, beside AVX-512.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vnni(());

impl Vnni {
    /// Where the CPU has it.
    #[inline]
    pub(crate) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return (x86_64::widest_known() == Width::Avx512 && x86_64::has_vnni()).then_some(Self(()));
        #[cfg(not(target_arch = "x86_64"))]
        return None;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
    use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

    use super::Width;

    /// Asked once, as [`widest_known`]. To be called only where there is AVX-512.
    #[inline]
    pub(super) fn has_vnni() -> bool {
        const AVX512_VNNI: u32 = 1 << 11;
        /// Zero: not asked yet.
        static KNOWN: AtomicU8 = AtomicU8::new(0);
        match KNOWN.load(Relaxed) {
            0 => {
                let has = __cpuid_count(7, 0).ecx & AVX512_VNNI != 0;
                KNOWN.store(1 + u8::from(has), Relaxed);
                has
            }
            known => known == 2,
        }
    }

    /// [`widest`], asked once: in a virtual machine CPUID takes tens of microseconds.
    #[inline]
    pub(super) fn widest_known() -> Width {
        /// Zero: not asked yet. Whoever asks at the same time gets the same answer.
        static KNOWN: AtomicU8 = AtomicU8::new(0);
        match KNOWN.load(Relaxed) {
            1 => Width::Baseline,
            2 => Width::Avx2,
            3 => Width::Avx512,
            _ => {
                let width = widest();
                KNOWN.store(1 + width as u8, Relaxed);
                width
            }
        }
    }

    /// Bits of CPUID and XCR0: Intel's manual, volume 2 (CPUID) and volume 1, chapter 13.
    fn widest() -> Width {
        const FMA_OSXSAVE_AND_AVX: u32 = 1 << 12 | 1 << 27 | 1 << 28;
        const AVX2: u32 = 1 << 5;
        const AVX512_F_DQ_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
        const YMM_STATE: u64 = 0b110;
        const ZMM_STATE: u64 = 0b1110_0110;
        if __cpuid(0).eax < 7 || __cpuid(1).ecx & FMA_OSXSAVE_AND_AVX != FMA_OSXSAVE_AND_AVX {
            return Width::Baseline;
        }
        let features = __cpuid_count(7, 0).ebx;
        let saved = enabled_state();
        if features & AVX512_F_DQ_BW_VL == AVX512_F_DQ_BW_VL && features & AVX2 != 0 && saved & ZMM_STATE == ZMM_STATE {
            Width::Avx512
        } else if features & AVX2 != 0 && saved & YMM_STATE == YMM_STATE {
            Width::Avx2
        } else {
            Width::Baseline
        }
    }

    /// Which registers the operating system saves. To be called only where CPUID reports
    /// OSXSAVE.
    fn enabled_state() -> u64 {
        #[target_feature(enable = "xsave")]
        fn read() -> u64 {
            // SAFETY: register 0 exists wherever XGETBV does.
            unsafe { _xgetbv(0) }
        }
        // SAFETY: the caller has seen OSXSAVE, so XGETBV is there.
        unsafe { read() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kernel, Lanes, Level, Vnni};
    use crate::LANES;

    /// Adds the products of bytes to sums.
    struct AddByteProducts([[u32; LANES]; 3], Option<Vnni>);

    impl Kernel for AddByteProducts {
        type Output = [u32; LANES];

        #[inline(always)]
        fn run<V: Lanes>(self, lanes: V) -> [u32; LANES] {
            let [sums, bytes, weights] = self.0.map(|words| lanes.load(&words.map(f32::from_bits)));
            let mut block = [0.0; LANES];
            sums.add_byte_products(bytes, weights, self.1).store(&mut block);
            block.map(f32::to_bits)
        }
    }

    #[test]
    fn products_of_bytes_are_exact() {
        // All extremes, then a mixture.
        let mut state = 0x9e37_79b9_u32;
        for round in 0..10_000 {
            let mut word = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state
            };
            let mut words = [[0; LANES]; 3].map(|words: [u32; LANES]| words.map(|_| word()));
            if round < 2 {
                words[1] = [u32::MAX; LANES];
                words[2] = [[0x7f7f_7f7f, 0x8080_8080][round]; LANES];
            }
            let [sums, bytes, weights] = words;
            let expected: [u32; LANES] = core::array::from_fn(|lane| {
                let products = bytes[lane].to_le_bytes().into_iter().zip(weights[lane].to_le_bytes());
                products.fold(sums[lane], |sum, (a, b)| sum.wrapping_add((i32::from(a) * i32::from(b as i8)) as u32))
            });
            for level in Level::available() {
                for vnni in [None, Vnni::detect()] {
                    assert_eq!(level.run(AddByteProducts(words, vnni)), expected, "{}", level.name());
                }
            }
        }
    }
}

//! Which vector instructions the machine has, and how the kernels get compiled for them.
//!
//! The kernels are written once, as plain loops over [`crate::LANES`] numbers; here they
//! are compiled again with wider vectors enabled. No fused multiply-add is used, so every
//! level gives the same bits: a policy trained on one machine decides alike on another.

#![allow(unsafe_code, reason = "functions with target features may only be called where the CPU has them")]

/// Vector instructions that this machine has: a value proves that they are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(pub(crate) Width);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Width {
    Baseline,
    Avx2,
    Avx512,
}

impl Level {
    /// What every CPU of the target has (SSE2 on x86-64, NEON on AArch64).
    pub const BASELINE: Self = Self(Width::Baseline);

    /// The widest that both the CPU and the operating system support.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        return Self(x86_64::widest());
        #[cfg(not(target_arch = "x86_64"))]
        return Self::BASELINE;
    }

    /// Every level that the machine has, narrowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        let widest = Self::detect();
        [Width::Baseline, Width::Avx2, Width::Avx512].into_iter().map(Self).filter(move |level| *level <= widest)
    }

    /// Name of the instructions.
    pub const fn name(self) -> &'static str {
        match self.0 {
            Width::Baseline => "baseline",
            Width::Avx2 => "avx2",
            Width::Avx512 => "avx512",
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use core::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};

    use super::Width;

    /// Bits of CPUID and XCR0: Intel's manual, volume 2 (CPUID) and volume 1, chapter 13.
    pub(super) fn widest() -> Width {
        const OSXSAVE_AND_AVX: u32 = 1 << 27 | 1 << 28;
        const AVX2: u32 = 1 << 5;
        const AVX512_F_DQ_BW_VL: u32 = 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
        const YMM_STATE: u64 = 0b110;
        const ZMM_STATE: u64 = 0b1110_0110;
        if __cpuid(0).eax < 7 || __cpuid(1).ecx & OSXSAVE_AND_AVX != OSXSAVE_AND_AVX {
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

/// Calls `$function` compiled for `$level`. The function and all that it calls must be
/// `#[inline(always)]`: only what is inlined gets the wider instructions.
macro_rules! dispatch {
    ($level:expr, $function:ident($($argument:ident : $type:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2")]
            fn avx2($($argument: $type),*) {
                $function($($argument),*)
            }
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
            fn avx512($($argument: $type),*) {
                $function($($argument),*)
            }
            #[allow(unsafe_code, reason = "the level proves that the CPU has the instructions")]
            #[inline(always)]
            fn call(level: $crate::simd::Level, $($argument: $type),*) {
                match level.0 {
                    $crate::simd::Width::Baseline => $function($($argument),*),
                    // SAFETY: a level above the baseline is only ever made by
                    // `Level::detect` and `Level::available`, which found it supported.
                    $crate::simd::Width::Avx2 => unsafe { avx2($($argument),*) },
                    // SAFETY: as above.
                    $crate::simd::Width::Avx512 => unsafe { avx512($($argument),*) },
                }
            }
            call($level, $($argument),*);
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = $level;
            $function($($argument),*)
        }
    }};
}
pub(crate) use dispatch;

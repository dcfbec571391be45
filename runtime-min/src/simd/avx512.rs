//! AVX-512: sixteen numbers are one register.

use core::arch::asm;
use core::arch::x86_64::{
    __m128, __m512, __mmask16, _CMP_EQ_OQ, _CMP_GT_OQ, _CMP_UNORD_Q, _mm_add_ps, _mm_cvtss_f32, _mm_min_ps, _mm_min_ss,
    _mm_movehl_ps, _mm_shuffle_ps, _mm256_add_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_min_ps,
    _mm512_add_epi32, _mm512_add_ps, _mm512_and_ps, _mm512_and_si512, _mm512_castpd_ps, _mm512_castps_pd,
    _mm512_castps_si512, _mm512_castps512_ps256, _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_cmpgt_epu32_mask,
    _mm512_cvtepi32_ps, _mm512_cvtepu32_ps, _mm512_div_ps, _mm512_extractf32x8_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_madd_epi16, _mm512_mask_blend_ps, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_or_si512,
    _mm512_set1_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_slli_epi16, _mm512_slli_epi32,
    _mm512_srai_epi16, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_sub_epi32, _mm512_sub_ps, _mm512_unpackhi_pd,
    _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
};
use core::ops::{Add, Div, Mul, Sub};

use super::avx2::add_columns;
use super::{Block, Kernel, Lanes, Registers, Vnni};
use crate::LANES;
use crate::slot::HostSlot;

/// Sixteen numbers. There is a value only where the CPU has AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

/// Runs a kernel compiled for AVX-512.
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(_mm512_setzero_ps()))
}

/// The same, not inlined.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
fn call<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512(_mm512_setzero_ps()))
}

/// An expression of intrinsics.
macro_rules! avx512 {
    ($expression:expr) => {{
        // SAFETY: a value of `Avx512` was needed to come here, and there is one only where
        // the CPU has the instructions; pointers are references' in what follows.
        unsafe { $expression }
    }};
}

impl Add for Avx512 {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(avx512!(_mm512_add_ps(self.0, other.0)))
    }
}

impl Sub for Avx512 {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(avx512!(_mm512_sub_ps(self.0, other.0)))
    }
}

impl Mul for Avx512 {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(avx512!(_mm512_mul_ps(self.0, other.0)))
    }
}

impl Div for Avx512 {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(avx512!(_mm512_div_ps(self.0, other.0)))
    }
}

impl Lanes for Avx512 {
    const REGISTERS: Registers = Registers::OneOf32;

    type Full = Self;
    type Mask = __mmask16;

    #[inline(always)]
    fn full(self) -> Self {
        self
    }

    #[inline(always)]
    fn fill(self, number: f32) -> Self {
        Self(avx512!(_mm512_set1_ps(number)))
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        avx512!(call(kernel))
    }

    #[inline(always)]
    fn load(self, block: &Block) -> Self {
        Self(avx512!(_mm512_loadu_ps(block.as_ptr())))
    }

    #[inline(always)]
    fn load_bytes(self, block: &[[u8; 4]; LANES]) -> Self {
        Self(avx512!(_mm512_loadu_ps(block.as_ptr().cast())))
    }

    #[inline(always)]
    fn store(self, block: &mut Block) {
        avx512!(_mm512_storeu_ps(block.as_mut_ptr(), self.0));
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        Self(avx512!(_mm512_fmadd_ps(self.0, factor.0, summand.0)))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(avx512!(_mm512_min_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(avx512!(_mm512_max_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn greater(self, other: Self) -> Self::Mask {
        avx512!(_mm512_cmp_ps_mask::<_CMP_GT_OQ>(self.0, other.0))
    }

    #[inline(always)]
    fn equal_bits(self, other: Self) -> u16 {
        avx512!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, other.0))
    }

    #[inline(always)]
    fn replaced(self, mask: Self::Mask, then: Self) -> Self {
        Self(avx512!(_mm512_mask_blend_ps(mask, self.0, then.0)))
    }

    #[inline(always)]
    fn or(self, otherwise: Self) -> Self {
        let is_nan = avx512!(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(self.0, self.0));
        self.replaced(is_nan, otherwise)
    }

    #[inline(always)]
    fn integer_add(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self(avx512!(_mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)))))
    }

    #[inline(always)]
    fn integer_sub(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self(avx512!(_mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)))))
    }

    #[inline(always)]
    fn integer_greater(self, other: Self) -> Self::Mask {
        avx512!(_mm512_cmpgt_epu32_mask(_mm512_castps_si512(self.0), _mm512_castps_si512(other.0)))
    }

    #[inline(always)]
    fn bits_and(self, other: Self) -> Self {
        Self(avx512!(_mm512_and_ps(self.0, other.0)))
    }

    #[inline(always)]
    fn to_exponent(self) -> Self {
        Self(avx512!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(self.0)))))
    }

    #[inline(always)]
    fn low_bytes([a, b, c, d]: [Self; 4]) -> Self {
        Self(avx512!(low_bytes([a.0, b.0, c.0, d.0])))
    }

    #[inline(always)]
    fn add_byte_products(self, bytes: Self, weights: Self, vnni: Option<Vnni>) -> Self {
        match vnni {
            Some(vnni) => Self(avx512!(add_byte_products_by_vnni(self.0, bytes.0, weights.0, vnni))),
            None => Self(avx512!(add_byte_products(self.0, bytes.0, weights.0))),
        }
    }

    #[inline(always)]
    fn signed_to_number(self) -> Self {
        Self(avx512!(_mm512_cvtepi32_ps(_mm512_castps_si512(self.0))))
    }

    #[inline(always)]
    fn unsigned_to_number(self) -> Self {
        Self(avx512!(_mm512_cvtepu32_ps(_mm512_castps_si512(self.0))))
    }

    #[inline(always)]
    fn least(self) -> f32 {
        avx512!({
            let eight = _mm256_min_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            let four = _mm_min_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_min_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        avx512!(add_columns(a.four_sums(), b.four_sums(), c.four_sums(), d.four_sums()))
    }

    #[inline(always)]
    fn gather(self, slots: &[&HostSlot; LANES], word: usize) -> [Self; 4] {
        avx512!({
            let [a, b, c, d] = transpose([
                four_words([slots[0], slots[4], slots[8], slots[12]], word),
                four_words([slots[1], slots[5], slots[9], slots[13]], word),
                four_words([slots[2], slots[6], slots[10], slots[14]], word),
                four_words([slots[3], slots[7], slots[11], slots[15]], word),
            ]);
            [Self(a), Self(b), Self(c), Self(d)]
        })
    }
}

impl Avx512 {
    /// Sums of the lanes that are four apart.
    #[inline(always)]
    fn four_sums(self) -> __m128 {
        avx512!({
            let eight = _mm256_add_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight))
        })
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn low_bytes(four: [__m512; 4]) -> __m512 {
    let [a, b, c, d] = four.map(|word| _mm512_and_si512(_mm512_castps_si512(word), _mm512_set1_epi32(0xff)));
    let lower = _mm512_or_si512(a, _mm512_slli_epi32::<8>(b));
    let upper = _mm512_or_si512(_mm512_slli_epi32::<16>(c), _mm512_slli_epi32::<24>(d));
    _mm512_castsi512_ps(_mm512_or_si512(lower, upper))
}

/// Assembly: in a function for VNNI, which what calls it is not, the intrinsic would not be inlined.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_byte_products_by_vnni(mut sums: __m512, bytes: __m512, weights: __m512, _: Vnni) -> __m512 {
    // SAFETY: whoever calls has a proof that the CPU has the instruction; it touches no memory.
    unsafe {
        asm!(
            "vpdpbusd {sums}, {bytes}, {weights}",
            sums = inout(zmm_reg) sums,
            bytes = in(zmm_reg) bytes,
            weights = in(zmm_reg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// As on AVX2, for CPUs without VNNI.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add_byte_products(sums: __m512, bytes: __m512, weights: __m512) -> __m512 {
    let (bytes, weights) = (_mm512_castps_si512(bytes), _mm512_castps_si512(weights));
    let even = _mm512_madd_epi16(
        _mm512_and_si512(bytes, _mm512_set1_epi16(0xff)),
        _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(weights)),
    );
    let odd = _mm512_madd_epi16(_mm512_srli_epi16::<8>(bytes), _mm512_srai_epi16::<8>(weights));
    _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(sums), _mm512_add_epi32(even, odd)))
}

/// Four words of each of four slots, from `word` on.
#[inline]
#[target_feature(enable = "avx512f")]
fn four_words([a, b, c, d]: [&HostSlot; 4], word: usize) -> __m512 {
    let words;
    // SAFETY: each address is that of sixteen readable bytes of a slot, aligned to
    // sixteen. For the language the instructions are relaxed atomic loads of a word each:
    // an aligned vector load reads at least that much at a time.
    unsafe {
        asm!(
            "vbroadcastf32x4 {words}, [{a}]",
            "vinsertf32x4 {words}, {words}, [{b}], 1",
            "vinsertf32x4 {words}, {words}, [{c}], 2",
            "vinsertf32x4 {words}, {words}, [{d}], 3",
            words = out(zmm_reg) words,
            a = in(reg) a.hot_address(word),
            b = in(reg) b.hot_address(word),
            c = in(reg) c.hot_address(word),
            d = in(reg) d.hot_address(word),
            options(readonly, nostack, preserves_flags),
        );
    }
    words
}

/// Within each four lanes: rows become columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    let (low, high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    let (low_too, high_too) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    let (low, high) = (_mm512_castps_pd(low), _mm512_castps_pd(high));
    let (low_too, high_too) = (_mm512_castps_pd(low_too), _mm512_castps_pd(high_too));
    [
        _mm512_castpd_ps(_mm512_unpacklo_pd(low, low_too)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(low, low_too)),
        _mm512_castpd_ps(_mm512_unpacklo_pd(high, high_too)),
        _mm512_castpd_ps(_mm512_unpackhi_pd(high, high_too)),
    ]
}

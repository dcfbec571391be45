//! AVX2 and FMA: sixteen numbers are two registers, or one where the upper eight are not
//! wanted; they are zero then.

use core::arch::asm;
use core::arch::x86_64::{
    __m128, __m256, _CMP_EQ_OQ, _CMP_GT_OQ, _CMP_UNORD_Q, _mm_add_ps, _mm_cvtss_f32, _mm_min_ps, _mm_min_ss,
    _mm_movehl_ps, _mm_movelh_ps, _mm_shuffle_ps, _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps, _mm256_add_epi32,
    _mm256_add_ps, _mm256_and_ps, _mm256_and_si256, _mm256_blendv_ps, _mm256_castpd_ps, _mm256_castps_pd,
    _mm256_castps_si256, _mm256_castps256_ps128, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cmpgt_epi32,
    _mm256_cvtepi32_ps, _mm256_div_ps, _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_madd_epi16,
    _mm256_max_ps, _mm256_min_ps, _mm256_movemask_ps, _mm256_mul_ps, _mm256_or_si256, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_slli_epi16, _mm256_slli_epi32, _mm256_srai_epi16,
    _mm256_srli_epi16, _mm256_srli_epi32, _mm256_storeu_ps, _mm256_sub_epi32, _mm256_sub_ps, _mm256_unpackhi_pd,
    _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps, _mm256_xor_si256,
};
use core::ops::{Add, Div, Mul, Sub};

use super::{Block, Kernel, Lanes, Registers, Vnni};
use crate::LANES;
use crate::slot::HostSlot;

/// Sixteen numbers, the lower eight first; of the upper eight there need not be a
/// register. There is a value only where the CPU has AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const N: usize>([__m256; N]);

/// Runs a kernel compiled for AVX2 and FMA, on `N` registers for sixteen numbers.
#[target_feature(enable = "avx2,fma")]
pub(super) fn run<const N: usize, K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2([_mm256_setzero_ps(); N]))
}

/// The same on both registers, not inlined.
#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn call<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2([_mm256_setzero_ps(); 2]))
}

/// An expression of intrinsics.
macro_rules! avx2 {
    ($expression:expr) => {{
        // SAFETY: a value of `Avx2` was needed to come here, and there is one only where
        // the CPU has the instructions; pointers are references' in what follows.
        unsafe { $expression }
    }};
}

/// An intrinsic on each register.
macro_rules! each {
    ($intrinsic:ident $(::<$constant:ident>)?, $a:expr $(, $b:expr)*) => {{
        let mut result = $a;
        let mut half = 0;
        while half < N {
            result.0[half] = avx2!($intrinsic $(::<$constant>)? ($a.0[half] $(, $b.0[half])*));
            half += 1;
        }
        result
    }};
}

impl<const N: usize> Add for Avx2<N> {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        each!(_mm256_add_ps, self, other)
    }
}

impl<const N: usize> Sub for Avx2<N> {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        each!(_mm256_sub_ps, self, other)
    }
}

impl<const N: usize> Mul for Avx2<N> {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        each!(_mm256_mul_ps, self, other)
    }
}

impl<const N: usize> Div for Avx2<N> {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        each!(_mm256_div_ps, self, other)
    }
}

impl<const N: usize> Lanes for Avx2<N> {
    const REGISTERS: Registers = if N == 1 { Registers::OneOf16 } else { Registers::TwoOf16 };

    type Full = Avx2<2>;
    /// All bits of a lane, or none.
    type Mask = Self;

    #[inline(always)]
    fn full(self) -> Avx2<2> {
        Avx2([self.0[0], self.upper()])
    }

    #[inline(always)]
    fn fill(self, number: f32) -> Self {
        Self([avx2!(_mm256_set1_ps(number)); N])
    }

    #[inline(always)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        avx2!(call(kernel))
    }

    #[inline(always)]
    fn load(self, block: &Block) -> Self {
        let (halves, _) = block.as_chunks::<8>();
        let mut result = self;
        for (register, half) in result.0.iter_mut().zip(halves) {
            *register = avx2!(_mm256_loadu_ps(half.as_ptr()));
        }
        result
    }

    #[inline(always)]
    fn load_bytes(self, block: &[[u8; 4]; LANES]) -> Self {
        let (halves, _) = block.as_chunks::<8>();
        let mut result = self;
        for (register, half) in result.0.iter_mut().zip(halves) {
            *register = avx2!(_mm256_loadu_ps(half.as_ptr().cast()));
        }
        result
    }

    #[inline(always)]
    fn store(self, block: &mut Block) {
        let (halves, _) = block.as_chunks_mut::<8>();
        avx2!(_mm256_storeu_ps(halves[0].as_mut_ptr(), self.0[0]));
        avx2!(_mm256_storeu_ps(halves[1].as_mut_ptr(), self.upper()));
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        each!(_mm256_fmadd_ps, self, factor, summand)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        each!(_mm256_min_ps, self, other)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        each!(_mm256_max_ps, self, other)
    }

    #[inline(always)]
    fn greater(self, other: Self) -> Self::Mask {
        each!(_mm256_cmp_ps::<_CMP_GT_OQ>, self, other)
    }

    #[inline(always)]
    fn equal_bits(self, other: Self) -> u16 {
        let equal = each!(_mm256_cmp_ps::<_CMP_EQ_OQ>, self, other);
        // Zeros that are not there are equal.
        let upper = if N == 1 { 0xff } else { avx2!(_mm256_movemask_ps(equal.upper())) };
        avx2!(_mm256_movemask_ps(equal.0[0]) | upper << 8) as u16
    }

    #[inline(always)]
    fn replaced(self, mask: Self::Mask, then: Self) -> Self {
        each!(_mm256_blendv_ps, self, then, mask)
    }

    #[inline(always)]
    fn or(self, otherwise: Self) -> Self {
        let is_nan = each!(_mm256_cmp_ps::<_CMP_UNORD_Q>, self, self);
        self.replaced(is_nan, otherwise)
    }

    #[inline(always)]
    fn integer_add(self, other: Self) -> Self {
        each!(integer_add, self, other)
    }

    #[inline(always)]
    fn integer_sub(self, other: Self) -> Self {
        each!(integer_sub, self, other)
    }

    #[inline(always)]
    fn integer_greater(self, other: Self) -> Self::Mask {
        each!(integer_greater, self, other)
    }

    #[inline(always)]
    fn bits_and(self, other: Self) -> Self {
        each!(_mm256_and_ps, self, other)
    }

    #[inline(always)]
    fn to_exponent(self) -> Self {
        each!(to_exponent, self)
    }

    #[inline(always)]
    fn low_bytes([a, b, c, d]: [Self; 4]) -> Self {
        each!(low_bytes, a, b, c, d)
    }

    #[inline(always)]
    fn add_byte_products(self, bytes: Self, weights: Self, _vnni: Option<Vnni>) -> Self {
        each!(add_byte_products, self, bytes, weights)
    }

    #[inline(always)]
    fn signed_to_number(self) -> Self {
        each!(signed_to_number, self)
    }

    #[inline(always)]
    fn unsigned_to_number(self) -> Self {
        each!(unsigned_to_number, self)
    }

    #[inline(always)]
    fn least(self) -> f32 {
        avx2!({
            let eight = _mm256_min_ps(self.0[0], self.0[N - 1]);
            let four = _mm_min_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_min_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_min_ss(two, _mm_shuffle_ps::<1>(two, two)))
        })
    }

    #[inline(always)]
    fn sums([a, b, c, d]: [Self; 4]) -> [f32; 4] {
        avx2!(add_columns(a.four_sums(), b.four_sums(), c.four_sums(), d.four_sums()))
    }

    #[inline(always)]
    fn gather(self, slots: &[&HostSlot; LANES], word: usize) -> [Self; 4] {
        let mut columns = [self; 4];
        let mut half = 0;
        while half < N {
            let first = 8 * half;
            let rows = avx2!([
                four_words([slots[first], slots[first + 4]], word),
                four_words([slots[first + 1], slots[first + 5]], word),
                four_words([slots[first + 2], slots[first + 6]], word),
                four_words([slots[first + 3], slots[first + 7]], word),
            ]);
            let [a, b, c, d] = avx2!(transpose(rows));
            columns[0].0[half] = a;
            columns[1].0[half] = b;
            columns[2].0[half] = c;
            columns[3].0[half] = d;
            half += 1;
        }
        columns
    }
}

impl<const N: usize> Avx2<N> {
    /// Sums of the lanes that are four apart.
    #[inline(always)]
    fn four_sums(self) -> __m128 {
        avx2!({
            let eight = _mm256_add_ps(self.0[0], self.upper());
            _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight))
        })
    }

    /// The upper eight numbers.
    #[inline(always)]
    fn upper(self) -> __m256 {
        if N == 1 { avx2!(_mm256_setzero_ps()) } else { self.0[N - 1] }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn integer_add(a: __m256, b: __m256) -> __m256 {
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn integer_sub(a: __m256, b: __m256) -> __m256 {
    _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn integer_greater(a: __m256, b: __m256) -> __m256 {
    // AVX2 compares with sign: the sign bit is turned on both sides.
    let sign = _mm256_set1_epi32(i32::MIN);
    let (a, b) = (_mm256_xor_si256(_mm256_castps_si256(a), sign), _mm256_xor_si256(_mm256_castps_si256(b), sign));
    _mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))
}

#[inline]
#[target_feature(enable = "avx2")]
fn to_exponent(a: __m256) -> __m256 {
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(a)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn low_bytes(a: __m256, b: __m256, c: __m256, d: __m256) -> __m256 {
    let byte = _mm256_set1_epi32(0xff);
    let low = |word: __m256| _mm256_and_si256(_mm256_castps_si256(word), byte);
    let (a, b, c, d) = (low(a), low(b), low(c), low(d));
    let lower = _mm256_or_si256(a, _mm256_slli_epi32::<8>(b));
    let upper = _mm256_or_si256(_mm256_slli_epi32::<16>(c), _mm256_slli_epi32::<24>(d));
    _mm256_castsi256_ps(_mm256_or_si256(lower, upper))
}

/// By products of 16 bits, of the even and of the odd bytes: those of 8 bits would be clipped.
#[inline]
#[target_feature(enable = "avx2")]
fn add_byte_products(sums: __m256, bytes: __m256, weights: __m256) -> __m256 {
    let (bytes, weights) = (_mm256_castps_si256(bytes), _mm256_castps_si256(weights));
    let even = _mm256_madd_epi16(
        _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)),
        _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weights)),
    );
    let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(bytes), _mm256_srai_epi16::<8>(weights));
    _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(sums), _mm256_add_epi32(even, odd)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn signed_to_number(a: __m256) -> __m256 {
    _mm256_cvtepi32_ps(_mm256_castps_si256(a))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn unsigned_to_number(a: __m256) -> __m256 {
    // Both halves of the word are exact; their sum is rounded once.
    let word = _mm256_castps_si256(a);
    let high = _mm256_cvtepi32_ps(_mm256_srli_epi32::<16>(word));
    let low = _mm256_cvtepi32_ps(_mm256_and_si256(word, _mm256_set1_epi32(0xffff)));
    _mm256_fmadd_ps(high, _mm256_set1_ps(65536.0), low)
}

/// Sums of the four numbers of each of four: first the first and third, and the second
/// and fourth.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn add_columns(a: __m128, b: __m128, c: __m128, d: __m128) -> [f32; 4] {
    let first = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
    let second = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
    let sums = _mm_add_ps(_mm_movelh_ps(first, second), _mm_movehl_ps(second, first));
    let mut numbers = [0.0; 4];
    // SAFETY: there is room for four numbers.
    unsafe { _mm_storeu_ps(numbers.as_mut_ptr(), sums) };
    numbers
}

/// Four words of each of two slots, from `word` on.
#[inline]
#[target_feature(enable = "avx2")]
fn four_words([a, b]: [&HostSlot; 2], word: usize) -> __m256 {
    let words;
    // SAFETY: each address is that of sixteen readable bytes of a slot, aligned to
    // sixteen. For the language the instructions are relaxed atomic loads of a word each:
    // an aligned vector load reads at least that much at a time.
    unsafe {
        asm!(
            "vbroadcastf128 {words}, [{a}]",
            "vinsertf128 {words}, {words}, [{b}], 1",
            words = out(ymm_reg) words,
            a = in(reg) a.hot_address(word),
            b = in(reg) b.hot_address(word),
            options(readonly, nostack, preserves_flags),
        );
    }
    words
}

/// Within each four lanes: rows become columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    let (low_too, high_too) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    let (low, high) = (_mm256_castps_pd(low), _mm256_castps_pd(high));
    let (low_too, high_too) = (_mm256_castps_pd(low_too), _mm256_castps_pd(high_too));
    [
        _mm256_castpd_ps(_mm256_unpacklo_pd(low, low_too)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(low, low_too)),
        _mm256_castpd_ps(_mm256_unpacklo_pd(high, high_too)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(high, high_too)),
    ]
}

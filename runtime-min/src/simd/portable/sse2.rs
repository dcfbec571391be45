//! The multiply-add of x86-64 CPUs that have no instruction for it.

use core::arch::x86_64::{
    __m128, __m128d, _mm_add_pd, _mm_and_si128, _mm_castpd_si128, _mm_cmpeq_epi32, _mm_cmpgt_epi32, _mm_cvtpd_ps,
    _mm_cvtps_pd, _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_movemask_epi8, _mm_mul_pd, _mm_or_si128,
    _mm_set_epi32, _mm_setzero_si128, _mm_storeu_ps,
};

use super::{Block, HALF_WAY, SUBNORMAL_END};

/// `a · b + c` in `f64`, rounded to `f32`; `None` where rounding twice may have gone wrong
/// in a lane (see [`super`]).
#[inline]
#[target_feature(enable = "sse2")]
pub(super) fn mul_add(a: &Block, b: &Block, c: &Block) -> Option<Block> {
    let mut result = [0.0; 16];
    let mut doubtful = _mm_setzero_si128();
    let (a, b, c) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0, c.as_chunks::<4>().0);
    for (((a, b), c), to) in a.iter().zip(b).zip(c).zip(result.as_chunks_mut::<4>().0) {
        // SAFETY: four numbers are there.
        let (a, b, c) = unsafe { (_mm_loadu_ps(a.as_ptr()), _mm_loadu_ps(b.as_ptr()), _mm_loadu_ps(c.as_ptr())) };
        let low = sum(a, b, c);
        let high = sum(_mm_movehl_ps(a, a), _mm_movehl_ps(b, b), _mm_movehl_ps(c, c));
        for sums in [low, high] {
            // Of each sum the lower word, without the bits that are rounded to, and the
            // upper word, without the sign.
            let words = _mm_and_si128(
                _mm_castpd_si128(sums),
                _mm_set_epi32(0x7fff_ffff, 0x1fff_ffff, 0x7fff_ffff, 0x1fff_ffff),
            );
            let half_way = _mm_cmpeq_epi32(words, _mm_set_epi32(-1, HALF_WAY as i32, -1, HALF_WAY as i32));
            let end = SUBNORMAL_END as i32;
            let small = _mm_cmpgt_epi32(_mm_set_epi32(end, 0, end, 0), words);
            let subnormal = _mm_and_si128(small, _mm_cmpgt_epi32(words, _mm_setzero_si128()));
            doubtful = _mm_or_si128(doubtful, _mm_or_si128(half_way, subnormal));
        }
        let rounded = _mm_movelh_ps(_mm_cvtpd_ps(low), _mm_cvtpd_ps(high));
        // SAFETY: there is room for four numbers.
        unsafe { _mm_storeu_ps(to.as_mut_ptr(), rounded) };
    }
    (_mm_movemask_epi8(doubtful) == 0).then_some(result)
}

/// Of the lower two numbers.
#[inline]
#[target_feature(enable = "sse2")]
fn sum(a: __m128, b: __m128, c: __m128) -> __m128d {
    _mm_add_pd(_mm_mul_pd(_mm_cvtps_pd(a), _mm_cvtps_pd(b)), _mm_cvtps_pd(c))
}

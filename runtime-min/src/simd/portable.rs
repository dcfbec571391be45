//! The baseline: plain loops, which the compiler turns into what the target has.
//!
//! On x86-64 it is for CPUs without AVX2, of before 2013. There the loops are called, not
//! inlined: inlined, they would be as large as all else together.

#[cfg(target_arch = "x86_64")]
mod sse2;

use core::array;
use core::ops::{Add, Div, Mul, Sub};

use super::{Block, Kernel, Lanes, Registers, Vnni};
use crate::LANES;
use crate::slot::HostSlot;

/// Products are exact in `f64`. Rounding a sum twice, there and to `f32`, is as good as
/// once, unless it comes to lie half-way between two numbers of `f32`, which the lower word
/// tells,
const HALF_WAY: u32 = 0x1000_0000;
/// or among the subnormal ones, which are spaced otherwise: the upper word is below this.
const SUBNORMAL_END: u32 = 0x3810_0000;

/// Sixteen numbers.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Portable(Block);

impl Portable {
    pub(super) const ZERO: Self = Self([0.0; LANES]);

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn zip(&self, other: &Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(array::from_fn(|lane| f(self.0[lane], other.0[lane])))
    }

    #[inline(always)]
    fn bits(&self, other: &Self, f: impl Fn(u32, u32) -> u32) -> Self {
        self.zip(other, |a, b| f32::from_bits(f(a.to_bits(), b.to_bits())))
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn mask(&self, other: &Self, f: impl Fn(f32, f32) -> bool) -> [u32; LANES] {
        array::from_fn(|lane| if f(self.0[lane], other.0[lane]) { u32::MAX } else { 0 })
    }

    /// `self · factor + summand`. Not inlined where it is long.
    #[cfg_attr(target_arch = "aarch64", inline(always))]
    #[cfg_attr(not(target_arch = "aarch64"), inline(never))]
    fn fused(&self, factor: &Self, summand: &Self) -> Self {
        if let Some(rounded) = rounded_twice(&self.0, &factor.0, &summand.0) {
            return Self(rounded);
        }
        Self(array::from_fn(|lane| fused(self.0[lane], factor.0[lane], summand.0[lane])))
    }
}

impl Add for Portable {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(&other, |a, b| a + b)
    }
}

impl Sub for Portable {
    type Output = Self;

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(&other, |a, b| a - b)
    }
}

impl Mul for Portable {
    type Output = Self;

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(&other, |a, b| a * b)
    }
}

impl Div for Portable {
    type Output = Self;

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(&other, |a, b| a / b)
    }
}

impl Lanes for Portable {
    const REGISTERS: Registers = Registers::Memory;

    type Full = Self;
    type Mask = [u32; LANES];

    #[inline(always)]
    fn full(self) -> Self {
        self
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn fill(self, number: f32) -> Self {
        Self([number; LANES])
    }

    #[inline(never)]
    fn call<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn load(self, block: &Block) -> Self {
        Self(*block)
    }

    #[inline(always)]
    fn load_bytes(self, block: &[[u8; 4]; LANES]) -> Self {
        Self(array::from_fn(|lane| f32::from_le_bytes(block[lane])))
    }

    #[inline(always)]
    fn store(self, block: &mut Block) {
        *block = self.0;
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, summand: Self) -> Self {
        self.fused(&factor, &summand)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(&other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(&other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn greater(self, other: Self) -> Self::Mask {
        self.mask(&other, |a, b| a > b)
    }

    #[inline(always)]
    fn equal_bits(self, other: Self) -> u16 {
        (0..LANES).fold(0, |bits, lane| bits | u16::from(self.0[lane] == other.0[lane]) << lane)
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn replaced(self, mask: Self::Mask, then: Self) -> Self {
        Self(array::from_fn(|lane| {
            f32::from_bits(self.0[lane].to_bits() & !mask[lane] | then.0[lane].to_bits() & mask[lane])
        }))
    }

    #[inline(always)]
    fn or(self, otherwise: Self) -> Self {
        self.zip(&otherwise, |a, b| if a.is_nan() { b } else { a })
    }

    #[inline(always)]
    fn integer_add(self, other: Self) -> Self {
        self.bits(&other, u32::wrapping_add)
    }

    #[inline(always)]
    fn integer_sub(self, other: Self) -> Self {
        self.bits(&other, u32::wrapping_sub)
    }

    #[inline(always)]
    fn integer_greater(self, other: Self) -> Self::Mask {
        self.mask(&other, |a, b| a.to_bits() > b.to_bits())
    }

    #[inline(always)]
    fn bits_and(self, other: Self) -> Self {
        self.bits(&other, |a, b| a & b)
    }

    #[inline(always)]
    fn to_exponent(self) -> Self {
        self.bits(&self, |a, _| a << 23)
    }

    #[inline(always)]
    fn low_bytes([a, b, c, d]: [Self; 4]) -> Self {
        let byte = |number: f32| number.to_bits() as u8;
        Self(array::from_fn(|lane| {
            f32::from_bits(u32::from_le_bytes([byte(a.0[lane]), byte(b.0[lane]), byte(c.0[lane]), byte(d.0[lane])]))
        }))
    }

    #[inline(always)]
    fn add_byte_products(self, bytes: Self, weights: Self, _vnni: Option<Vnni>) -> Self {
        let products = bytes.bits(&weights, byte_products);
        self.integer_add(products)
    }

    #[inline(always)]
    fn signed_to_number(self) -> Self {
        self.zip(&self, |a, _| a.to_bits() as i32 as f32)
    }

    #[inline(always)]
    fn unsigned_to_number(self) -> Self {
        self.zip(&self, |a, _| a.to_bits() as f32)
    }

    #[inline(always)]
    fn least(self) -> f32 {
        self.0.iter().copied().fold(f32::INFINITY, f32::min)
    }

    #[inline(always)]
    fn sums(four: [Self; 4]) -> [f32; 4] {
        four.map(|Self(mut sums)| {
            for half in [8, 4, 2, 1] {
                for lane in 0..half {
                    sums[lane] += sums[lane + half];
                }
            }
            sums[0]
        })
    }

    #[cfg_attr(target_arch = "x86_64", inline(never))]
    #[cfg_attr(not(target_arch = "x86_64"), inline(always))]
    fn gather(self, slots: &[&HostSlot; LANES], word: usize) -> [Self; 4] {
        let mut columns = [self; 4];
        for (lane, slot) in slots.iter().enumerate() {
            for (column, bits) in columns.iter_mut().zip(slot.hot_words().into_iter().skip(word)) {
                column.0[lane] = f32::from_bits(bits);
            }
        }
        columns
    }
}

/// Sum of the products of four bytes without sign and four with.
#[inline(always)]
fn byte_products(bytes: u32, weights: u32) -> u32 {
    let products = bytes.to_le_bytes().into_iter().zip(weights.to_le_bytes());
    products.fold(0, |sum, (byte, weight)| sum + i32::from(byte) * i32::from(weight as i8)) as u32
}

/// `a · b + c` in `f64`, rounded to `f32`; `None` where that may have gone wrong in a lane.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn rounded_twice(a: &Block, b: &Block, c: &Block) -> Option<Block> {
    // SAFETY: every x86-64 CPU has SSE2.
    unsafe { sse2::mul_add(a, b, c) }
}

/// `a · b + c`, by the instruction that every AArch64 CPU has for it.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn rounded_twice(a: &Block, b: &Block, c: &Block) -> Option<Block> {
    use core::arch::aarch64::{vfmaq_f32, vld1q_f32, vst1q_f32};

    let mut result = [0.0; LANES];
    let (a, b, c) = (a.as_chunks::<4>().0, b.as_chunks::<4>().0, c.as_chunks::<4>().0);
    for (((a, b), c), to) in a.iter().zip(b).zip(c).zip(result.as_chunks_mut::<4>().0) {
        // SAFETY: every AArch64 CPU has NEON; four numbers are there, and room for them.
        unsafe {
            let (a, b, c) = (vld1q_f32(a.as_ptr()), vld1q_f32(b.as_ptr()), vld1q_f32(c.as_ptr()));
            vst1q_f32(to.as_mut_ptr(), vfmaq_f32(c, a, b));
        }
    }
    Some(result)
}

/// `a · b + c` in `f64`, rounded to `f32`; `None` where that may have gone wrong in a lane.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[inline(always)]
fn rounded_twice(a: &Block, b: &Block, c: &Block) -> Option<Block> {
    let (mut rounded, mut doubtful) = ([0.0; LANES], [0; LANES]);
    for lane in 0..LANES {
        let sum = f64::from(a[lane]) * f64::from(b[lane]) + f64::from(c[lane]);
        let (below, magnitude) = (sum.to_bits() as u32 & 0x1fff_ffff, (sum.to_bits() >> 32) as u32 & 0x7fff_ffff);
        // Zero is not doubtful: hence the wrapping subtraction.
        doubtful[lane] = u32::from(below == HALF_WAY) | u32::from(magnitude.wrapping_sub(1) < SUBNORMAL_END - 1);
        rounded[lane] = sum as f32;
    }
    (doubtful == [0; LANES]).then_some(rounded)
}

/// `a · b + c`, rounded once, as an instruction for it would. The product is exact in
/// `f64`; the sum is rounded to odd there, which makes the second rounding, to `f32`,
/// right (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums", 2008).
#[inline(always)]
fn fused(a: f32, b: f32, c: f32) -> f32 {
    let (product, summand) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + summand;
    // What the sum lost in rounding (Knuth's two-sum).
    let part = sum - product;
    let lost = (product - (sum - part)) + (summand - part);
    let bits = sum.to_bits();
    let is_inexact = lost.abs() > 0.0;
    let away = (lost > 0.0) == (sum > 0.0);
    let odd = if away { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    f64::from_bits(if is_inexact && bits & 1 == 0 { odd } else { bits }) as f32
}

#[cfg(test)]
mod tests {
    use super::{LANES, Lanes, Portable, fused};

    #[test]
    fn fuses_as_the_standard_library_does() {
        // Near-cancelling, tiny, huge and tied cases among them, by an xorshift over bits.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..500_000 {
            let (a, b) = (f32::from_bits(next() as u32), f32::from_bits(next() as u32));
            let near = f32::from_bits((-a * b).to_bits().wrapping_add((next() % 5) as u32));
            for c in [f32::from_bits(next() as u32), near, 0.0, f32::from_bits(next() as u32 & 0x80ff_ffff)] {
                let exact = a.mul_add(b, c);
                let block = Portable([a; LANES]).mul_add(Portable([b; LANES]), Portable([c; LANES]));
                for ours in [fused(a, b, c), block.0[5]] {
                    assert!(ours.to_bits() == exact.to_bits() || ours.is_nan() && exact.is_nan(), "{a:e} {b:e} {c:e}");
                }
            }
        }
    }
}

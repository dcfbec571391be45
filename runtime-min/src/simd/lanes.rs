//! What a level's vectors can do.

use core::ops::{Add, Div, Mul, Sub};

use super::{Kernel, Vnni};
use crate::LANES;
use crate::slot::HostSlot;

/// A number of each of sixteen hosts, in memory.
pub(crate) type Block = [f32; LANES];

/// What sixteen numbers fill of the registers that there are: it decides how much of a
/// matrix product can be kept in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registers {
    /// One of 32.
    OneOf32,
    /// Two of 16.
    TwoOf16,
    /// One of 16: the upper eight numbers are not computed.
    OneOf16,
    /// Too many to keep several.
    Memory,
}

/// A number of each of sixteen hosts, in registers. A value proves that the CPU has the
/// instructions, for which reason vectors are only made from other vectors.
///
/// Comparisons with NaN are false. Lanes hold numbers, or the bits of integers where a
/// method says so.
pub(crate) trait Lanes:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self>
{
    /// What sixteen numbers fill.
    const REGISTERS: Registers;

    /// The vectors that compute all sixteen lanes; others compute the first eight.
    type Full: Lanes;

    /// A value of them.
    fn full(self) -> Self::Full;

    /// A choice for each lane.
    type Mask: Copy;

    /// The same number in all lanes.
    fn fill(self, number: f32) -> Self;

    /// The same bits in all lanes.
    #[inline(always)]
    fn fill_bits(self, bits: u32) -> Self {
        self.fill(f32::from_bits(bits))
    }

    /// Runs a kernel of its own on vectors that compute all lanes: called, not inlined. For what is
    /// too rare for a copy in each place.
    fn call<K: Kernel>(self, kernel: K) -> K::Output;

    /// Reads a block.
    fn load(self, block: &Block) -> Self;

    /// Reads a block of little-endian bytes.
    fn load_bytes(self, block: &[[u8; 4]; LANES]) -> Self;

    /// Writes a block.
    fn store(self, block: &mut Block);

    /// `self · factor + summand`, rounded once.
    fn mul_add(self, factor: Self, summand: Self) -> Self;

    /// The smaller number; `other` if one is NaN.
    fn min(self, other: Self) -> Self;

    /// The greater number; `other` if one is NaN.
    fn max(self, other: Self) -> Self;

    /// `self > other`.
    fn greater(self, other: Self) -> Self::Mask;

    /// `self == other`, as bits of a word: lane `i` is bit `i`.
    fn equal_bits(self, other: Self) -> u16;

    /// `then` where the mask is set, else `self`.
    fn replaced(self, mask: Self::Mask, then: Self) -> Self;

    /// `otherwise` where this is NaN, else `self`.
    fn or(self, otherwise: Self) -> Self;

    /// Integers: wrapping sum.
    fn integer_add(self, other: Self) -> Self;

    /// Integers: wrapping difference.
    fn integer_sub(self, other: Self) -> Self;

    /// Integers: `self > other`, without sign.
    fn integer_greater(self, other: Self) -> Self::Mask;

    /// Bits set in both.
    fn bits_and(self, other: Self) -> Self;

    /// Integers: shifted left by 23 bits, into a number's exponent.
    fn to_exponent(self) -> Self;

    /// Integers: the low bytes of four, the first one lowest.
    fn low_bytes(four: [Self; 4]) -> Self;

    /// Integers: adds the products of the four bytes, those of `bytes` without sign, those of
    /// `weights` with. `vnni` proves that there is an instruction for it.
    fn add_byte_products(self, bytes: Self, weights: Self, vnni: Option<Vnni>) -> Self;

    /// Signed integers to numbers.
    fn signed_to_number(self) -> Self;

    /// Unsigned integers to numbers.
    fn unsigned_to_number(self) -> Self;

    /// The first `count` lanes.
    #[inline(always)]
    fn first(self, count: usize) -> Self::Mask {
        const NUMBERS: Block = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
        self.fill(count as f32).greater(self.load(&NUMBERS))
    }

    /// The least of the lanes, none of them NaN.
    fn least(self) -> f32;

    /// Sum of the lanes of each of four, in this order: `i` and `i + 8`, `i + 4`, `i + 2`,
    /// `i + 1`.
    fn sums(four: [Self; 4]) -> [f32; 4];

    /// Four words of sixteen slots, from `word` (a multiple of four) on, transposed: a vector for each word. Each is read atomically, relaxed.
    fn gather(self, slots: &[&HostSlot; LANES], word: usize) -> [Self; 4];
}

//! The binary records of a program section, and their validation.
//!
//! ```text
//! 0    u16 registers   u16 instructions   u32 weights   u16 output register   2 bytes zero
//! 12   u32 packed, of the weights the last                             (zero to 64)
//! 64   registers × { u16 width, u16 kind (0 rows, 1 uniform) }        (zero to 64)
//! …    instructions × 32 bytes: u16 op, dst, a, b; u32 weights, bias;
//!                               f32 scale, offset; u16 begin; 6 bytes zero   (zero to 64)
//! …    weights × f32, those that are packed × four i8
//! ```
//!
//! All little-endian. `weights` and `bias` are indices into the weights, [`NO_WEIGHTS`]
//! where there is none.

use super::{int8, limits};
use crate::artifact::error::ArtifactError;
use crate::artifact::format::ALIGNMENT;

/// Marks an absent weight or bias index.
pub const NO_WEIGHTS: u32 = u32::MAX;

/// Size of an encoded instruction.
const INSTRUCTION_BYTES: usize = 32;

/// A register's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Columns.
    pub width: u16,
    /// One row that stands for all rows.
    pub uniform: bool,
}

impl Register {
    /// The record as it stands in the file.
    pub fn encode(&self) -> [u8; 4] {
        let [low, high] = self.width.to_le_bytes();
        [low, high, u8::from(self.uniform), 0]
    }

    fn decode(bytes: &[u8; 4]) -> Self {
        Self { width: u16::from_le_bytes([bytes[0], bytes[1]]), uniform: bytes[2] != 0 }
    }
}

/// An operation. Elementwise binary operations broadcast a uniform operand over rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// `dst = a · W + bias`, `W` stored `[in][out]`.
    Linear = 1,
    /// `dst = tanh(a)`.
    Tanh = 2,
    /// `dst = max(a, 0)`.
    Relu = 3,
    /// `dst = 1 / (1 + e^-a)`.
    Sigmoid = 4,
    /// `dst = a + b`.
    Add = 5,
    /// `dst = a − b`.
    Subtract = 6,
    /// `dst = a · b`, element by element.
    Multiply = 7,
    /// `dst = scale · a + offset`.
    Affine = 8,
    /// `dst` (uniform) `=` mean of `a` over the rows.
    MeanRows = 9,
    /// `dst = [a, b]`, side by side.
    Concat = 10,
    /// `dst =` columns `begin .. begin + width(dst)` of `a`.
    Slice = 11,
    /// [`Linear`](Self::Linear) in 8-bit integers, see `program/int8.rs`: `weights` points to
    /// packed ones, `bias` to a bias and a scale for each output.
    LinearInt8 = 12,
    /// `dst = min(max(a, scale), offset)`.
    Clip = 13,
}

impl Op {
    /// Every operation, in the order of its code.
    pub const ALL: [Self; 13] = [
        Self::Linear,
        Self::Tanh,
        Self::Relu,
        Self::Sigmoid,
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Affine,
        Self::MeanRows,
        Self::Concat,
        Self::Slice,
        Self::LinearInt8,
        Self::Clip,
    ];

    fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|op| *op as u16 == code)
    }

    /// Whether the operation reads `b`.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::Add | Self::Subtract | Self::Multiply | Self::Concat)
    }
}

/// One instruction, decoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instruction {
    /// What to do.
    pub op: Op,
    /// Register written.
    pub dst: u16,
    /// First register read.
    pub a: u16,
    /// Second register read, 0 where there is none.
    pub b: u16,
    /// [`Op::Linear`] and [`Op::LinearInt8`]: index of `W`, else [`NO_WEIGHTS`].
    pub weights: u32,
    /// [`Op::Linear`]: index of the bias, or [`NO_WEIGHTS`]; [`Op::LinearInt8`]: of biases and scales.
    pub bias: u32,
    /// [`Op::Affine`]: factor. [`Op::Clip`]: least.
    pub scale: f32,
    /// [`Op::Affine`]: summand. [`Op::Clip`]: most.
    pub offset: f32,
    /// [`Op::Slice`]: first column.
    pub begin: u16,
}

impl Instruction {
    /// Whether it reads a register.
    pub(super) fn reads(&self, register: u16) -> bool {
        self.a == register || (self.op.is_binary() && self.b == register)
    }

    /// The record as it stands in the file.
    pub fn encode(&self) -> [u8; INSTRUCTION_BYTES] {
        let mut bytes = [0; INSTRUCTION_BYTES];
        bytes[0..2].copy_from_slice(&(self.op as u16).to_le_bytes());
        bytes[2..4].copy_from_slice(&self.dst.to_le_bytes());
        bytes[4..6].copy_from_slice(&self.a.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.b.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.weights.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.bias.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.scale.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.offset.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.begin.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; INSTRUCTION_BYTES]) -> Option<Self> {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Some(Self {
            op: Op::from_code(half(0))?,
            dst: half(2),
            a: half(4),
            b: half(6),
            weights: word(8),
            bias: word(12),
            scale: f32::from_bits(word(16)),
            offset: f32::from_bits(word(20)),
            begin: half(24),
        })
    }
}

/// The sections of a program's bytes, each checked for length; contents checked too once
/// [`Records::parse`] has returned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'a> {
    registers: &'a [[u8; 4]],
    instructions: &'a [[u8; INSTRUCTION_BYTES]],
    /// The packed ones are the last.
    pub(super) weights: &'a [[u8; 4]],
    pub(super) packed: usize,
    pub(super) output: u16,
}

impl<'a> Records<'a> {
    pub(super) fn parse(section: &'a [u8]) -> Result<Self, ArtifactError> {
        let (header, rest) = section.split_at_checked(ALIGNMENT).ok_or(ArtifactError::Truncated)?;
        let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let register_count = half(0) as usize;
        let instruction_count = half(2) as usize;
        let weight_count = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let packed = u32::from_le_bytes([header[12], header[13], header[14], header[15]]) as usize;
        let within_limits = (1..=limits::REGISTERS).contains(&register_count)
            && (1..=limits::INSTRUCTIONS).contains(&instruction_count)
            && weight_count <= limits::WEIGHTS
            && packed <= weight_count;
        if !within_limits {
            return Err(ArtifactError::ProgramLimits);
        }
        let (registers, rest) = take(rest, register_count * 4)?;
        let (instructions, rest) = take(rest, instruction_count * INSTRUCTION_BYTES)?;
        let weights = rest.get(..weight_count * 4).ok_or(ArtifactError::Truncated)?;
        let records = Self {
            registers: registers.as_chunks().0,
            instructions: instructions.as_chunks().0,
            weights: weights.as_chunks().0,
            packed,
            output: half(8),
        };
        records.check()?;
        Ok(records)
    }

    pub(super) fn registers(&self) -> impl Iterator<Item = Register> + 'a {
        self.registers.iter().map(Register::decode)
    }

    /// The shape of a register; an empty one for a number that [`check`](Self::check)
    /// would have refused.
    pub(super) fn register(&self, number: u16) -> Register {
        self.registers.get(number as usize).map_or(Register { width: 0, uniform: false }, Register::decode)
    }

    pub(super) fn instruction(&self, index: usize) -> Option<Instruction> {
        self.instructions.get(index).and_then(Instruction::decode)
    }

    pub(super) fn instructions(&self) -> impl Iterator<Item = Instruction> + 'a {
        self.instructions.iter().filter_map(Instruction::decode)
    }

    /// Weights that are not packed.
    fn numbers(&self) -> usize {
        self.weights.len() - self.packed
    }

    fn check(&self) -> Result<(), ArtifactError> {
        let plausible = |bytes: &[u8; 4]| {
            let width = u16::from_le_bytes([bytes[0], bytes[1]]) as usize;
            (1..=limits::WIDTH).contains(&width) && bytes[2] <= 1 && bytes[3] == 0
        };
        if !self.registers.iter().all(plausible) || self.register(0).uniform {
            return Err(ArtifactError::ProgramRegister);
        }
        let numbers = self.weights.iter().take(self.numbers());
        if !numbers.into_iter().all(|bytes| f32::from_le_bytes(*bytes).is_finite()) {
            return Err(ArtifactError::NotFinite);
        }
        // The plan makes two steps of these.
        let steps = self.instructions().map(|instruction| match instruction.op {
            Op::Concat | Op::LinearInt8 => 2,
            _ => 1,
        });
        if steps.sum::<usize>() > limits::INSTRUCTIONS {
            return Err(ArtifactError::ProgramLimits);
        }
        // Bit r: register r has a value. Register 0 is the input.
        let mut written: u64 = 1;
        for bytes in self.instructions {
            let instruction = Instruction::decode(bytes).ok_or(ArtifactError::ProgramOp)?;
            self.check_instruction(&instruction, written)?;
            written |= 1 << instruction.dst;
        }
        if (self.output as usize) < self.registers.len() && written & (1 << self.output) != 0 {
            Ok(())
        } else {
            Err(ArtifactError::ProgramRegister)
        }
    }

    fn check_instruction(&self, instruction: &Instruction, written: u64) -> Result<(), ArtifactError> {
        let count = self.registers.len();
        let readable = |register: u16| (register as usize) < count && written & (1 << register) != 0;
        let Instruction { op, dst, a, b, .. } = *instruction;
        // Writing over an operand (or the input) would make the result depend on the
        // order of loops.
        let sound = (dst as usize) < count
            && dst != 0
            && dst != a
            && readable(a)
            && (!op.is_binary() || (readable(b) && dst != b));
        if !sound {
            return Err(ArtifactError::ProgramRegister);
        }
        let (to, from, other) = (self.register(dst), self.register(a), self.register(b));
        let shapes_fit = match op {
            Op::Linear => to.uniform == from.uniform,
            Op::LinearInt8 => !to.uniform && !from.uniform,
            Op::Tanh | Op::Relu | Op::Sigmoid | Op::Affine | Op::Clip => to == from,
            Op::Add | Op::Subtract | Op::Multiply => {
                from.width == to.width && other.width == to.width && to.uniform == (from.uniform && other.uniform)
            }
            Op::MeanRows => to.uniform && !from.uniform && to.width == from.width,
            Op::Concat => {
                from.width + other.width == to.width && to.uniform == from.uniform && to.uniform == other.uniform
            }
            Op::Slice => {
                to.uniform == from.uniform && instruction.begin as usize + to.width as usize <= from.width as usize
            }
        };
        if !shapes_fit {
            return Err(ArtifactError::ProgramShape);
        }
        let in_weights = |begin: u32, len: usize| begin as usize + len <= self.numbers();
        match op {
            Op::Linear => {
                let weights_fit = in_weights(instruction.weights, from.width as usize * to.width as usize);
                let bias_fits = instruction.bias == NO_WEIGHTS || in_weights(instruction.bias, to.width as usize);
                if weights_fit && bias_fits { Ok(()) } else { Err(ArtifactError::ProgramWeights) }
            }
            Op::LinearInt8 => {
                let (inputs, outputs) = (from.width as usize, to.width as usize);
                let begin = instruction.weights as usize;
                let end = begin + int8::packed_len(inputs, outputs);
                let weights_fit = begin >= self.numbers() && end <= self.weights.len();
                let fits = weights_fit && in_weights(instruction.bias, 2 * outputs);
                if fits { Ok(()) } else { Err(ArtifactError::ProgramWeights) }
            }
            Op::Affine | Op::Clip if !(instruction.scale.is_finite() && instruction.offset.is_finite()) => {
                Err(ArtifactError::NotFinite)
            }
            _ => Ok(()),
        }
    }
}

/// Splits off `len` bytes and the padding behind them.
fn take(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), ArtifactError> {
    let padded = len.next_multiple_of(ALIGNMENT);
    let (taken, rest) = bytes.split_at_checked(padded).ok_or(ArtifactError::Truncated)?;
    let (taken, _) = taken.split_at_checked(len).ok_or(ArtifactError::Truncated)?;
    Ok((taken, rest))
}

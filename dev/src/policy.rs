//! Policies of the shape that the trainer makes, with arbitrary weights.

use evenkeel_runtime::HOST_FEATURES;
use evenkeel_runtime::artifact::format;
use evenkeel_runtime::program::{Instruction, Op};

use crate::builder;

/// Multiply-adds of [`artifact`]'s policy for a host.
pub const MULTIPLY_ADDS: usize = HOST_FEATURES * 16 + 16 * 8 + 8;

/// An artifact whose policy has the shape that the trainer makes.
pub fn artifact() -> Vec<u8> {
    let inputs = HOST_FEATURES as u16;
    let registers = [
        builder::rows(inputs),
        builder::uniform(inputs),
        builder::uniform(16),
        builder::rows(16),
        builder::rows(16),
        builder::rows(8),
        builder::rows(8),
        builder::rows(1),
        builder::rows(1),
        builder::rows(1),
    ];
    let plain = builder::instruction;
    let linear = |dst, a, weights, bias| Instruction { weights, bias, ..plain(Op::Linear, dst, a, 0) };
    let clip = |dst, a| Instruction { scale: -1.0, offset: 1.0, ..plain(Op::Clip, dst, a, 0) };
    let affine = |dst, a, scale| Instruction { scale, ..plain(Op::Affine, dst, a, 0) };
    let matrix = u32::from(inputs) * 16;
    let (second, third) = (2 * matrix + 32, 2 * matrix + 32 + 16 * 8 + 8);
    let instructions = [
        plain(Op::MeanRows, 1, 0, 0),
        linear(2, 1, 0, 2 * matrix),
        linear(3, 0, matrix, 2 * matrix + 16),
        plain(Op::Add, 4, 3, 2),
        clip(3, 4),
        linear(5, 3, second, second + 16 * 8),
        clip(6, 5),
        linear(7, 6, third, third + 8),
        plain(Op::Tanh, 8, 7, 0),
        affine(7, 8, 2.5),
        plain(Op::Slice, 8, 0, 0),
        affine(9, 8, 0.85),
        plain(Op::Add, 8, 9, 7),
    ];
    let weights: Vec<f32> = (0..third + 9).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.004).collect();
    let sections = [
        (format::SERVICE, builder::service().encode().to_vec()),
        (format::POLICY, builder::program(&registers, &instructions, &weights, 8)),
    ];
    builder::artifact(&sections)
}

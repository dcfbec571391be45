//! Programs against a naive evaluation in `f64`, one row at a time.

use evenkeel_runtime::artifact::ArtifactError;
use evenkeel_runtime::program::{Instruction, NO_WEIGHTS, Op, Program, Register};
use evenkeel_runtime::simd::Level;
use evenkeel_runtime::stride;
use proptest::prelude::*;

use evenkeel_dev::builder::{instruction, int8_section, program, rows, uniform};

/// Every operation once, both broadcasts included.
fn every_op(inputs: u16, hidden: u16) -> (Vec<Register>, Vec<Instruction>, usize) {
    let (i, h) = (inputs as u32, hidden as u32);
    let registers = vec![
        rows(inputs),
        uniform(inputs),
        uniform(hidden),
        rows(hidden),
        rows(hidden),
        rows(hidden),
        rows(hidden),
        rows(hidden),
        rows(2 * hidden),
        rows(hidden),
        rows(hidden),
        rows(hidden),
        rows(hidden),
        rows(hidden),
    ];
    let linear = |dst, a, weights, bias| Instruction { weights, bias, ..instruction(Op::Linear, dst, a, 0) };
    let instructions = vec![
        instruction(Op::MeanRows, 1, 0, 0),
        linear(2, 1, 0, NO_WEIGHTS),
        linear(3, 0, i * h, 2 * i * h),
        instruction(Op::Add, 4, 3, 2),
        instruction(Op::Tanh, 5, 4, 0),
        instruction(Op::Subtract, 6, 2, 5),
        instruction(Op::Multiply, 7, 6, 6),
        instruction(Op::Concat, 8, 7, 5),
        Instruction { begin: 1, ..instruction(Op::Slice, 9, 8, 0) },
        Instruction { scale: -1.5, offset: 0.25, ..instruction(Op::Affine, 10, 9, 0) },
        instruction(Op::Relu, 11, 10, 0),
        Instruction { scale: -0.5, offset: 0.125, ..instruction(Op::Clip, 12, 11, 0) },
        instruction(Op::Sigmoid, 13, 12, 0),
    ];
    (registers, instructions, 2 * inputs as usize * hidden as usize + hidden as usize)
}

/// The same, row by row in `f64`.
fn naive(inputs: usize, hidden: usize, weights: &[f32], x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let w = |at: usize| f64::from(weights[at]);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mean: Vec<f64> = (0..inputs).map(|i| x.iter().map(|row| row[i]).sum::<f64>() / x.len() as f64).collect();
    let dense = |from: &[f64], begin: usize, o: usize| -> f64 {
        from.iter().enumerate().map(|(i, value)| value * w(begin + i * hidden + o)).sum()
    };
    x.iter()
        .map(|row| {
            let context: Vec<f64> = (0..hidden).map(|o| dense(&mean, 0, o)).collect();
            let first: Vec<f64> = (0..hidden)
                .map(|o| (dense(row, inputs * hidden, o) + w(2 * inputs * hidden + o) + context[o]).tanh())
                .collect();
            let square: Vec<f64> = (0..hidden).map(|o| (context[o] - first[o]).powi(2)).collect();
            let both = [square, first].concat();
            both[1..=hidden].iter().map(|value| sigmoid((value * -1.5 + 0.25).clamp(0.0, 0.125))).collect()
        })
        .collect()
}

/// A level whose results are not to the bit those of the widest.
fn level_that_differs(program: &Program<'_>, count: usize, scratch: &[f32]) -> Option<&'static str> {
    let run = |program: &Program<'_>| -> Vec<u32> {
        let mut scratch = scratch.to_vec();
        let output = program.run(count, &mut scratch).expect("scratch is long enough");
        // What stands in the padding is nobody's business.
        let is_row = |(index, _): &(usize, &f32)| index % stride(count) < count;
        output.iter().enumerate().filter(is_row).map(|(_, number)| number.to_bits()).collect()
    };
    let widest = run(program);
    Level::available().find(|level| run(&program.with_level(*level)) != widest).map(Level::name)
}

proptest! {
    #[test]
    fn agrees_with_the_naive_evaluation(
        inputs in 1usize..30,
        hidden in 1usize..20,
        count in 1usize..70,
        seed in prop::collection::vec(-1.0f32..1.0, 64),
    ) {
        let (registers, instructions, weight_count) = every_op(inputs as u16, hidden as u16);
        let weights: Vec<f32> = (0..weight_count).map(|i| seed[i * 7 % 64] * 0.5).collect();
        let section = program(&registers, &instructions, &weights, 13);
        let program = Program::parse(&section).expect("valid");
        // Everything beyond the input is poisoned: nothing may be read before it is written.
        let mut scratch = vec![f32::NAN; program.scratch_len(count)];
        let value = |row: usize, column: usize| seed[(row * 13 + column * 5) % 64];
        for column in 0..inputs {
            for row in 0..stride(count) {
                scratch[column * stride(count) + row] = if row < count { value(row, column) } else { 0.0 };
            }
        }
        let x: Vec<Vec<f64>> = (0..count).map(|row| (0..inputs).map(|c| f64::from(value(row, c))).collect()).collect();
        let expected = naive(inputs, hidden, &weights, &x);
        prop_assert_eq!(level_that_differs(&program, count, &scratch), None);
        let output = program.run(count, &mut scratch).expect("scratch is long enough");
        for (row, expected) in expected.iter().enumerate() {
            for (column, expected) in expected.iter().enumerate() {
                let found = f64::from(output[column * stride(count) + row]);
                prop_assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "{found} {expected}");
            }
        }
    }
}

proptest! {
    #[test]
    fn integers_agree_with_a_naive_evaluation(
        inputs in 1usize..40,
        outputs in 1usize..20,
        count in 1usize..70,
        seed in prop::collection::vec(any::<i8>(), 64),
    ) {
        let number = |i: usize| f32::from(seed[i * 11 % 64]) / 50.0;
        let integers: Vec<i8> = (0..inputs * outputs).map(|i| seed[i * 7 % 64].max(-127)).collect();
        let numbers: Vec<f32> = (0..outputs).map(number).chain((0..outputs).map(|o| number(o + 3).abs() + 0.01)).collect();
        let section = int8_section(inputs, outputs, &integers, &numbers);
        let program = Program::parse(&section).expect("valid");
        let value = |row: usize, column: usize| number(row * 13 + column * 5);
        let mut scratch = vec![f32::NAN; program.scratch_len(count)];
        for column in 0..inputs {
            for row in 0..stride(count) {
                scratch[column * stride(count) + row] = if row < count { value(row, column) } else { 0.0 };
            }
        }
        let widest = program.run(count, &mut scratch.clone()).expect("scratch is long enough").to_vec();
        prop_assert_eq!(level_that_differs(&program, count, &scratch), None);
        for row in 0..count {
            let largest = (0..inputs).map(|i| value(row, i).abs()).fold(1e-30, f32::max);
            for output in 0..outputs {
                let inverse = f64::from(127.0 / largest);
                let integer = |i: usize| (f64::from(value(row, i)) * inverse).round_ties_even();
                let sum: f64 = (0..inputs).map(|i| integer(i) * f64::from(integers[i * outputs + output])).sum();
                let scale = f64::from(largest) / 127.0 * f64::from(numbers[outputs + output]);
                let expected = f64::from(numbers[output]) + sum * scale;
                let found = f64::from(widest[output * stride(count) + row]);
                let slack = 1e-5 * expected.abs().max(1.0);
                prop_assert!((found - expected).abs() <= slack, "{found} {expected}");
            }
        }
    }
}

#[test]
fn integers_pass_on_what_is_not_finite() {
    let section = int8_section(3, 1, &[1, 2, 3], &[0.5, 1.0]);
    let program = Program::parse(&section).expect("valid");
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut scratch = vec![0.0; program.scratch_len(2)];
        scratch[16] = odd;
        let output = program.run(2, &mut scratch).expect("scratch is long enough");
        assert!(!output[0].is_finite(), "{odd}");
        assert_eq!(output[1], 0.5);
    }
}

#[test]
fn a_layer_is_clipped_and_what_is_not_a_number_stays() {
    let linear = Instruction { weights: 0, ..instruction(Op::Linear, 1, 0, 0) };
    let clip = Instruction { scale: -1.0, offset: 2.0, ..instruction(Op::Clip, 2, 1, 0) };
    for (last, expected) in [(clip, [-1.0, 0.5, 2.0]), (instruction(Op::Relu, 2, 1, 0), [0.0, 0.5, 9.0])] {
        let section = program(&[rows(1), rows(1), rows(1)], &[linear, last], &[1.0], 2);
        let program = Program::parse(&section).expect("valid");
        for level in Level::available() {
            let mut scratch = vec![0.0; program.scratch_len(4)];
            scratch[..4].copy_from_slice(&[-5.0, 0.5, 9.0, f32::NAN]);
            let output = program.with_level(level).run(4, &mut scratch).expect("scratch is long enough");
            assert_eq!(output[..3], expected);
            assert!(output[3].is_nan(), "{}", level.name());
        }
    }
}

fn refusal(registers: &[Register], instructions: &[Instruction], weights: &[f32], output: u16) -> ArtifactError {
    Program::parse(&program(registers, instructions, weights, output)).expect_err("must be refused")
}

#[test]
fn refuses_what_could_go_wrong() {
    use ArtifactError as E;
    let tanh = |dst, a| instruction(Op::Tanh, dst, a, 0);
    let two = [rows(4), rows(4)];
    assert_eq!(refusal(&[], &[tanh(1, 0)], &[], 0), E::ProgramLimits);
    assert_eq!(refusal(&two, &[], &[], 0), E::ProgramLimits);
    assert_eq!(refusal(&[uniform(4), rows(4)], &[tanh(1, 0)], &[], 1), E::ProgramRegister);
    assert_eq!(refusal(&[rows(0), rows(4)], &[tanh(1, 0)], &[], 1), E::ProgramRegister);
    assert_eq!(refusal(&two, &[tanh(0, 0)], &[], 0), E::ProgramRegister, "overwrites the input");
    assert_eq!(refusal(&two, &[tanh(1, 1)], &[], 1), E::ProgramRegister, "in place");
    assert_eq!(refusal(&[rows(4), rows(4), rows(4)], &[tanh(1, 2)], &[], 1), E::ProgramRegister, "not yet written");
    assert_eq!(refusal(&two, &[tanh(1, 0)], &[], 5), E::ProgramRegister, "no such output");
    assert_eq!(refusal(&two, &[tanh(7, 0)], &[], 1), E::ProgramRegister, "no such target");
    assert_eq!(refusal(&[rows(4), rows(5)], &[tanh(1, 0)], &[], 1), E::ProgramShape);
    assert_eq!(refusal(&two, &[Instruction { begin: 1, ..instruction(Op::Slice, 1, 0, 0) }], &[], 1), E::ProgramShape);
    assert_eq!(refusal(&two, &[instruction(Op::MeanRows, 1, 0, 0)], &[], 1), E::ProgramShape);
    let linear = Instruction { weights: 1, ..instruction(Op::Linear, 1, 0, 0) };
    assert_eq!(refusal(&two, &[linear], &[0.0; 16], 1), E::ProgramWeights);
    assert_eq!(refusal(&two, &[tanh(1, 0)], &[f32::NAN], 1), E::NotFinite);
    let affine = Instruction { scale: f32::INFINITY, ..instruction(Op::Affine, 1, 0, 0) };
    assert_eq!(refusal(&two, &[affine], &[], 1), E::NotFinite);
    let int8 = |weights, bias| Instruction { weights, bias, ..instruction(Op::LinearInt8, 1, 0, 0) };
    assert_eq!(refusal(&two, &[int8(0, 0)], &[0.0; 16], 1), E::ProgramWeights, "none are packed");
    assert_eq!(refusal(&[rows(4), uniform(4)], &[int8(0, 0)], &[0.0; 16], 1), E::ProgramShape);
    let mut packed = program(&two, &[int8(8, 0)], &[0.0; 16], 1);
    packed[12] = 8;
    assert!(Program::parse(&packed).is_ok());
    packed[12] = 9;
    assert_eq!(Program::parse(&packed).expect_err("biases and scales among the packed"), E::ProgramWeights);
    packed[12] = 17;
    assert_eq!(Program::parse(&packed).expect_err("more packed than there are"), E::ProgramLimits);
    let concat = instruction(Op::Concat, 1, 0, 0);
    assert_eq!(refusal(&[rows(4), rows(8)], &[concat; 65], &[], 1), E::ProgramLimits, "130 steps");
    let mut unknown = program(&two, &[tanh(1, 0)], &[], 1);
    unknown[128] = 99;
    assert_eq!(Program::parse(&unknown).expect_err("unknown op"), E::ProgramOp);
}

#[test]
fn short_scratch_gives_none() {
    let section = program(&[rows(4), rows(4)], &[instruction(Op::Tanh, 1, 0, 0)], &[], 1);
    let program = Program::parse(&section).expect("valid");
    let len = program.scratch_len(5);
    assert_eq!(len, 2 * 4 * 16);
    assert!(program.run(5, &mut vec![0.0; len - 1]).is_none());
    assert!(program.run(0, &mut vec![0.0; len]).is_none());
    assert!(program.run(5, &mut vec![0.0; len]).is_some());
}

//! Programs with their large linear layers in 8-bit integers, as
//! [`Op::LinearInt8`] computes them.

use evenkeel_runtime::artifact::{ArtifactError, Sections, format};
use evenkeel_runtime::program::{Instruction, NO_WEIGHTS, Op};
use evenkeel_runtime::{Model, Program as Compiled};

use crate::Program;
use crate::artifact::assemble;

/// Narrower inputs are not worth the rounding.
const INPUTS_MIN: usize = 16;

/// The artifact with its forecaster's weights in 8-bit integers. What that costs in accuracy is for
/// `evenkeel forecast-eval --int8` to say.
///
/// # Errors
/// What the runtime says of the artifact.
pub fn with_int8_forecaster(artifact: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    Model::parse(artifact)?;
    let mut sections = Vec::new();
    for (kind, contents) in Sections::parse(artifact)?.iter() {
        let contents = match kind {
            format::FORECAST => rounded(&Program::decode(&Compiled::parse(contents)?)).encode()?,
            _ => contents.to_vec(),
        };
        sections.push((kind, contents));
    }
    let bytes = assemble(&sections);
    Model::parse(&bytes)?;
    Ok(bytes)
}

/// The program with its linear layers on rows in 8-bit integers, where they have inputs enough. Each
/// output has its own scale, by its largest weight.
pub fn rounded(program: &Program) -> Program {
    let mut kept = Program { weights: Vec::new(), packed: program.packed.clone(), ..program.clone() };
    // Packed ones are addressed behind all others, whose number is known in the end.
    let packed_before = program.weights.len() as u32;
    for instruction in &mut kept.instructions {
        let width = |register: u16| program.registers.get(usize::from(register)).map_or(0, |r| usize::from(r.width));
        let (inputs, outputs) = (width(instruction.a), width(instruction.dst));
        let stored = |begin: u32, len: usize| &program.weights[begin as usize..begin as usize + len];
        let bias = (instruction.bias != NO_WEIGHTS).then(|| stored(instruction.bias, outputs));
        match instruction.op {
            Op::Linear => {
                let matrix = stored(instruction.weights, inputs * outputs);
                let on_rows = !program.registers[usize::from(instruction.dst)].uniform;
                if on_rows && inputs >= INPUTS_MIN {
                    let layer = Layer::of(matrix, outputs);
                    let zeros = vec![0.0; outputs];
                    let numbers = [bias.unwrap_or(&zeros), &layer.scales].concat();
                    *instruction = Instruction {
                        op: Op::LinearInt8,
                        weights: packed_before + kept.packed.len() as u32,
                        bias: store(&mut kept.weights, &numbers),
                        ..*instruction
                    };
                    kept.packed.extend(layer.packed);
                } else {
                    instruction.weights = store(&mut kept.weights, matrix);
                    instruction.bias = bias.map_or(NO_WEIGHTS, |bias| store(&mut kept.weights, bias));
                }
            }
            Op::LinearInt8 => instruction.bias = store(&mut kept.weights, stored(instruction.bias, 2 * outputs)),
            _ => {}
        }
    }
    let numbers = kept.weights.len() as u32;
    for instruction in kept.instructions.iter_mut().filter(|instruction| instruction.op == Op::LinearInt8) {
        instruction.weights = instruction.weights - packed_before + numbers;
    }
    kept
}

fn store(weights: &mut Vec<f32>, numbers: &[f32]) -> u32 {
    let begin = weights.len() as u32;
    weights.extend(numbers);
    begin
}

/// A matrix in integers: for each four inputs a word for each output, then the sums that make up for
/// the inputs' being raised by 128.
struct Layer {
    packed: Vec<u32>,
    scales: Vec<f32>,
}

impl Layer {
    fn of(matrix: &[f32], outputs: usize) -> Self {
        let rows: Vec<&[f32]> = matrix.chunks_exact(outputs).collect();
        let largest = |output: usize| rows.iter().map(|row| row[output].abs()).fold(f32::MIN_POSITIVE, f32::max);
        let scales: Vec<f32> = (0..outputs).map(|output| largest(output) / 127.0).collect();
        let integer = |row: &[f32], output: usize| (row[output] / scales[output]).round().clamp(-127.0, 127.0) as i8;
        let mut packed = Vec::new();
        for four in rows.chunks(4) {
            packed.extend((0..outputs).map(|output| {
                let mut bytes = [0; 4];
                for (byte, row) in bytes.iter_mut().zip(four) {
                    *byte = integer(row, output) as u8;
                }
                u32::from_le_bytes(bytes)
            }));
        }
        packed.extend((0..outputs).map(|output| {
            let sum: i32 = rows.iter().map(|row| i32::from(integer(row, output))).sum();
            (-128 * sum) as u32
        }));
        Self { packed, scales }
    }
}

//! The plainest possible encoder of artifacts.

use evenkeel_runtime::artifact::{crc32, format};
use evenkeel_runtime::program::{Instruction, NO_WEIGHTS, Op, Register};
use evenkeel_runtime::{Engine, Guard, HOST_FEATURES, Llm, ServiceModel, features};

/// A register that holds a row for each host.
pub fn rows(width: u16) -> Register {
    Register { width, uniform: false }
}

/// A register that holds one row for all.
pub fn uniform(width: u16) -> Register {
    Register { width, uniform: true }
}

/// An instruction without weights.
pub fn instruction(op: Op, dst: u16, a: u16, b: u16) -> Instruction {
    Instruction { op, dst, a, b, weights: NO_WEIGHTS, bias: NO_WEIGHTS, scale: 1.0, offset: 0.0, begin: 0 }
}

/// Encodes a program section.
pub fn program(registers: &[Register], instructions: &[Instruction], weights: &[f32], output: u16) -> Vec<u8> {
    let mut section = Vec::new();
    section.extend((registers.len() as u16).to_le_bytes());
    section.extend((instructions.len() as u16).to_le_bytes());
    section.extend((weights.len() as u32).to_le_bytes());
    section.extend(output.to_le_bytes());
    pad(&mut section);
    section.extend(registers.iter().flat_map(Register::encode));
    pad(&mut section);
    section.extend(instructions.iter().flat_map(Instruction::encode));
    pad(&mut section);
    section.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
    section
}

/// The section of a layer in 8-bit integers; `numbers` are biases, then scales.
pub fn int8_section(inputs: usize, outputs: usize, integers: &[i8], numbers: &[f32]) -> Vec<u8> {
    let word = |four: usize, output: usize| {
        let byte = |i: usize| if i < inputs { integers[i * outputs + output] as u8 } else { 0 };
        u32::from_le_bytes([byte(4 * four), byte(4 * four + 1), byte(4 * four + 2), byte(4 * four + 3)])
    };
    let words = (0..inputs.div_ceil(4)).flat_map(|four| (0..outputs).map(move |output| word(four, output)));
    let sum = |output: usize| (0..inputs).map(|i| i32::from(integers[i * outputs + output])).sum::<i32>();
    let packed: Vec<u32> = words.chain((0..outputs).map(|output| (-128 * sum(output)) as u32)).collect();
    let weights: Vec<f32> = numbers.iter().copied().chain(packed.iter().map(|bits| f32::from_bits(*bits))).collect();
    let layer = Instruction { weights: numbers.len() as u32, bias: 0, ..instruction(Op::LinearInt8, 1, 0, 0) };
    let mut section = program(&[rows(inputs as u16), rows(outputs as u16)], &[layer], &weights, 1);
    section[12..16].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    section
}

/// Encodes an artifact of these sections.
pub fn artifact(sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![0; sections.len() * format::SECTION_ENTRY_BYTES];
    for (index, (kind, contents)) in sections.iter().enumerate() {
        pad(&mut body);
        let begin = body.len() + format::HEADER_BYTES;
        let entry = &mut body[index * format::SECTION_ENTRY_BYTES..][..format::SECTION_ENTRY_BYTES];
        entry[..4].copy_from_slice(&kind.to_le_bytes());
        entry[8..16].copy_from_slice(&(begin as u64).to_le_bytes());
        entry[16..24].copy_from_slice(&(contents.len() as u64).to_le_bytes());
        body.extend(contents);
    }
    let mut file = vec![0; format::HEADER_BYTES];
    file[..8].copy_from_slice(&format::MAGIC);
    file[8..12].copy_from_slice(&format::VERSION.to_le_bytes());
    file[12..16].copy_from_slice(&(sections.len() as u32).to_le_bytes());
    file[16..24].copy_from_slice(&features::SCHEMA_HASH.to_le_bytes());
    file[24..32].copy_from_slice(&((format::HEADER_BYTES + body.len()) as u64).to_le_bytes());
    file.extend(body);
    seal(&mut file);
    file
}

/// Makes the checksum right again after a change.
pub fn seal(file: &mut [u8]) {
    if file.len() >= format::HEADER_BYTES {
        let checksum = crc32(&file[format::HEADER_BYTES..]);
        file[32..36].copy_from_slice(&checksum.to_le_bytes());
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(format::ALIGNMENT), 0);
}

/// A service of plausible numbers.
pub fn service() -> ServiceModel {
    ServiceModel {
        engine: Engine::Llm(Llm {
            step_base_s: 0.015,
            step_per_request_s: 1e-4,
            step_per_kv_token_s: 3e-7,
            step_per_prefill_token_s: 1e-4,
            batch_max: 128.0,
            kv_capacity_tokens: 100_000.0,
        }),
        prompt_tokens_mean: 1000.0,
        output_tokens_mean: 200.0,
        step_typical_s: 0.03,
        latency_typical_s: 6.0,
        ttft_typical_s: 0.2,
        queue_weight: 1.0,
        kv_weight: 1.0,
        delay_weight: 1.0,
        herding_weight: 0.0,
    }
}

/// An artifact whose policy is the analytic estimate times `scale`.
pub fn estimate_artifact(scale: f32) -> Vec<u8> {
    let slice = instruction(Op::Slice, 1, 0, 0);
    let times = Instruction { scale, ..instruction(Op::Affine, 2, 1, 0) };
    let policy = program(&[rows(HOST_FEATURES as u16), rows(1), rows(1)], &[slice, times], &[], 2);
    let mut sections = vec![
        (format::METADATA, br#"{"made":"for a test"}"#.to_vec()),
        (format::SERVICE, service().encode().to_vec()),
        (format::POLICY, policy),
    ];
    if (1e-3..=1e3).contains(&scale) {
        sections.push((format::GUARD, Guard::unlimited(scale).encode().to_vec()));
    }
    artifact(&sections)
}

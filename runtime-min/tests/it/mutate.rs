//! Hostile artifacts: small valid ones, changed where it hurts, the same ones everywhere.

use evenkeel_runtime::artifact::format;
use evenkeel_runtime::demand::ScaleModel;
use evenkeel_runtime::forecast::{Calibration, FORECAST_FEATURES, QUANTILE_COUNT};
use evenkeel_runtime::program::{Instruction, NO_WEIGHTS, Op};
use evenkeel_runtime::{
    Eligible, HOST_FEATURES, HostSlot, Model, Reason, Request, State, StateHeader, decide, explain,
};

use crate::guarded::Guarded;
use evenkeel_dev::builder::{
    artifact, estimate_artifact, instruction, int8_section, program, rows, seal, service, uniform,
};

/// Numbers that are the same everywhere (xorshift64*: Vigna, ACM TOMS 42, 2016).
#[derive(Clone)]
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end.max(1)
    }
}

/// Small artifacts that are valid, and together use everything that there is.
pub(crate) fn valid() -> Vec<Vec<u8>> {
    let metadata = (format::METADATA, b"{}".to_vec());
    let service = (format::SERVICE, service().encode().to_vec());
    let calibration = (format::CALIBRATION, Calibration::new(600.0).encode().to_vec());
    let scale = ScaleModel { replica_requests_per_s: 2.0, lead_s: 60.0, quantile: 0.9, headroom: 1.1, trend: 0.5 };
    let scale = (format::SCALE, scale.encode().to_vec());
    vec![
        estimate_artifact(1.0),
        artifact(&[metadata.clone(), service.clone(), (format::POLICY, every_operation())]),
        artifact(&[service.clone(), (format::POLICY, guarded_residual())]),
        artifact(&[service.clone(), (format::POLICY, integers())]),
        artifact(&[service.clone(), (format::FORECAST, forecaster()), calibration, scale]),
        artifact(&[metadata, service]),
    ]
}

/// A policy of every operation but that of 8-bit integers, with both broadcasts.
fn every_operation() -> Vec<u8> {
    let inputs = HOST_FEATURES as u16;
    let linear = |dst, a, weights, bias| Instruction { weights, bias, ..instruction(Op::Linear, dst, a, 0) };
    let registers = [
        rows(inputs),
        uniform(inputs),
        uniform(2),
        rows(2),
        rows(2),
        rows(2),
        rows(2),
        rows(4),
        rows(1),
        rows(1),
        rows(1),
        rows(1),
        rows(2),
        rows(1),
    ];
    let instructions = [
        instruction(Op::MeanRows, 1, 0, 0),
        linear(2, 1, 0, NO_WEIGHTS),
        linear(3, 0, 0, 48),
        instruction(Op::Add, 4, 3, 2),
        instruction(Op::Tanh, 5, 4, 0),
        instruction(Op::Subtract, 6, 2, 5),
        instruction(Op::Multiply, 12, 6, 6),
        instruction(Op::Concat, 7, 12, 5),
        Instruction { begin: 1, ..instruction(Op::Slice, 8, 7, 0) },
        Instruction { scale: -1.5, offset: 0.25, ..instruction(Op::Affine, 9, 8, 0) },
        instruction(Op::Relu, 10, 9, 0),
        instruction(Op::Sigmoid, 11, 10, 0),
        Instruction { scale: -1.0, offset: 0.5, ..instruction(Op::Clip, 13, 11, 0) },
    ];
    let weights: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
    program(&registers, &instructions, &weights, 13)
}

/// A policy of the trained form, with narrower layers.
fn guarded_residual() -> Vec<u8> {
    let inputs = HOST_FEATURES as u16;
    let registers = [rows(inputs), rows(3), rows(3), rows(1), rows(1), rows(1), rows(1)];
    let instructions = [
        Instruction { weights: 0, bias: 72, ..instruction(Op::Linear, 1, 0, 0) },
        instruction(Op::Tanh, 2, 1, 0),
        Instruction { weights: 75, ..instruction(Op::Linear, 3, 2, 0) },
        instruction(Op::Tanh, 4, 3, 0),
        instruction(Op::Slice, 5, 0, 0),
        instruction(Op::Add, 6, 4, 5),
    ];
    let weights: Vec<f32> = (0..78).map(|i| (i as f32 * 1.3).cos() * 0.2).collect();
    program(&registers, &instructions, &weights, 6)
}

/// A policy in 8-bit integers.
fn integers() -> Vec<u8> {
    let weights: Vec<i8> = (0..HOST_FEATURES).map(|i| (i * 37 % 255) as u8 as i8).collect();
    int8_section(HOST_FEATURES, 1, &weights, &[0.5, 0.01])
}

pub(crate) fn forecaster() -> Vec<u8> {
    let weights = vec![0.01; FORECAST_FEATURES * QUANTILE_COUNT];
    let linear = Instruction { weights: 0, ..instruction(Op::Linear, 1, 0, 0) };
    program(&[rows(FORECAST_FEATURES as u16), rows(QUANTILE_COUNT as u16)], &[linear], &weights, 1)
}

/// Changes a file in one of the ways that damage and malice have: bits and bytes, numbers
/// at their limits, pieces moved, doubled or taken from another file, ends cut off. Three
/// times out of four the checksum and the length are made right again, so that the checks
/// behind them are reached.
pub(crate) fn mutate(file: &mut Vec<u8>, others: &[Vec<u8>], numbers: &mut Numbers) {
    for _ in 0..=numbers.below(3) {
        if file.is_empty() {
            return;
        }
        match numbers.below(8) {
            0 | 1 => {
                let at = numbers.below(file.len());
                file[at] ^= 1 << numbers.below(8);
            }
            2 => {
                let at = numbers.below(file.len());
                file[at] = numbers.next() as u8;
            }
            3 | 4 => put_number(file, numbers),
            5 => {
                let (from, to) = (numbers.below(file.len()), numbers.below(file.len()));
                let len = numbers.below(64).min(file.len() - from.max(to));
                file.copy_within(from..from + len, to);
            }
            6 => {
                let other = &others[numbers.below(others.len())];
                let at = numbers.below(file.len().min(other.len()));
                let len = numbers.below(128).min(file.len().min(other.len()) - at);
                file[at..at + len].copy_from_slice(&other[at..at + len]);
            }
            _ => {
                let len =
                    if numbers.below(2) == 0 { numbers.below(file.len() + 1) } else { file.len() + numbers.below(80) };
                file.resize(len, 0);
            }
        }
    }
    if numbers.below(4) != 0 && file.len() >= format::HEADER_BYTES {
        let len = file.len() as u64;
        file[24..32].copy_from_slice(&len.to_le_bytes());
        seal(file);
    }
}

/// Puts a number at its limits where numbers stand: on a multiple of 2, 4 or 8 bytes.
fn put_number(file: &mut [u8], numbers: &mut Numbers) {
    let long: u64 = match numbers.below(9) {
        0 => 0,
        1 => 1,
        2 => u64::MAX,
        3 => u64::MAX / 2,
        4 => file.len() as u64,
        5 => numbers.below(file.len() + 128) as u64,
        6 => u64::from(f32::NAN.to_bits()),
        7 => u64::from(f32::INFINITY.to_bits()) << 32,
        _ => 1 << numbers.below(64),
    };
    let width = [2, 4, 8][numbers.below(3)];
    let at = numbers.below(file.len()) / width * width;
    if let Some(place) = file.get_mut(at..at + width) {
        place.copy_from_slice(&long.to_le_bytes()[..width]);
    }
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// Refused, with the message that says why.
    Refused(&'static str),
    /// Accepted, and it decided for this reason.
    Decided(u32),
}

/// Takes in files and decides with those that are accepted. File and scratch memory both
/// end at forbidden pages.
pub(crate) struct Taster {
    file: Guarded,
    scratch: Guarded,
    header: StateHeader,
    slots: [HostSlot; 3],
}

/// Longest file that is tasted.
pub(crate) const FILE_MAX: usize = 1 << 20;
/// Numbers of scratch memory; a program that wants more decides without.
const SCRATCH_MAX: usize = 1 << 18;

impl Taster {
    pub(crate) fn new() -> Self {
        let (header, slots) = (StateHeader::new(1), std::array::from_fn(|_| HostSlot::default()));
        let state = State::new(&header, &slots);
        for key in 1..=3 {
            state.register(key, 1.0, 0).expect("room");
        }
        Self { file: Guarded::new(FILE_MAX), scratch: Guarded::new(SCRATCH_MAX * size_of::<f32>()), header, slots }
    }

    pub(crate) fn taste(&mut self, file: &[u8]) -> Fate {
        let bytes = self.file.bytes(file.len());
        bytes.copy_from_slice(file);
        let model = match Model::parse(bytes) {
            Ok(model) => model,
            Err(error) => return Fate::Refused(error.message()),
        };
        let state = State::new(&self.header, &self.slots);
        let len = decide::scratch_len(&model, 3).min(SCRATCH_MAX);
        let scratch = self.scratch.floats(len);
        let request = Request { prompt_tokens: 100, ..Request::default() };
        let decision = decide(Some(&model), &state, &request, Eligible::All, 1_000_000, scratch);
        assert!(decision.host.is_some_and(|host| host < 3), "{decision:?}");
        let explained = explain::explain(Some(&model), &state, &request, Eligible::All, 1_000_000, scratch, |_| ());
        assert_eq!(explained.reason, decision.reason);
        assert!(decision.reason != Reason::Policy || decision.score.is_finite());
        if let Some(forecaster) = model.forecaster() {
            foresee(forecaster, &mut self.scratch);
        }
        Fate::Decided(decision.reason as u32)
    }
}

fn foresee(forecaster: &evenkeel_runtime::forecast::Forecaster<'_>, scratch: &mut Guarded) {
    use evenkeel_runtime::forecast::{HORIZONS, Past};
    let len = forecaster.scratch_len();
    if len > SCRATCH_MAX {
        return;
    }
    let past: [f32; 40] = std::array::from_fn(|i| i as f32);
    let mut quantiles = [[0.0; QUANTILE_COUNT]; HORIZONS];
    if forecaster.predict(&Past::new(&past), 1e9, scratch.floats(len), &mut quantiles).is_some() {
        for row in quantiles {
            assert!(row.iter().all(|quantile| *quantile >= 0.0), "{row:?}");
        }
    }
}

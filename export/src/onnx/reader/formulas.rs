//! Functions that the runtime has no instruction for, in terms of those that it has.
//!
//! Polynomials are least-squares fits of our own. Errors are worst absolute ones against the
//! function in f64, the runtime's own `tanh` (1.2e-6) included; the tests of the operators
//! hold them.
//!
//! | Function | Formula | Error |
//! |---|---|---|
//! | `erf(x)` | `tanh(x · P₅(x²))`, `x` clipped to ±3.4 | 4e-6 |
//! | Gelu | `max(x, −6) · ½(1 + erf(x/√2))` | 1e-5, or of the value where that is above 1 |
//! | Elu, Celu | `2t/(1 − t)`, `t = tanh(x/2)`, on the negative side | 5e-6; Selu, which is more, 1e-5 |
//! | Softplus | `max(x, 0) + P₈(σ(|x|))` | 5e-6 |
//! | Mish | `x · (1 − q²)/(1 + q²)`, `q = σ(−x)` | 2e-5 |
//! | `1/√x` | a piecewise linear start, two Newton steps; `x` clipped to 1e-12 … 1e8 | 1e-6 of the value |

use super::Reading;
use crate::ir::{Combination, Function, Operation, ValueId};
use crate::onnx::error::Refusal;

/// `erf(x) = tanh(x · Σ ERF[i] x^2i)` for `|x|` ≤ [`ERF_END`].
const ERF: [f64; 6] = [
    1.128_373_846_181_316_2,
    0.102_812_962_639_804_1,
    -0.000_279_120_943_106_965_2,
    -0.000_554_742_057_379_285_5,
    6.670_233_704_707_702e-5,
    -2.755_086_060_725_32e-6,
];
/// Where `erf` is ±1 to within 1.6e-6.
const ERF_END: f64 = 3.4;

/// `−ln s = Σ LN[i] (4s − 3)^i` for `s` from ½ to 1.
const LN: [f64; 9] = [
    0.287_682_072_451_780_7,
    -0.333_333_087_771_685_8,
    0.055_555_481_596_986_64,
    -0.012_348_930_681_130_904,
    0.003_087_398_976_799_751,
    -0.000_811_556_003_218_081_6,
    0.000_225_164_889_050_215_04,
    -7.998_577_931_482_943e-5,
    2.346_330_092_182_678e-5,
];

/// Range of the argument of `1/√x`.
const ROOT_RANGE: (f64, f64) = (1e-12, 1e8);

impl Reading {
    pub(super) fn map(&mut self, function: Function, x: ValueId) -> Result<ValueId, Refusal> {
        self.push(Operation::Map(function, x))
    }

    pub(super) fn clip(&mut self, x: ValueId, least: f64, most: f64) -> Result<ValueId, Refusal> {
        self.map(Function::Clip { least: least as f32, most: most as f32 }, x)
    }

    pub(super) fn affine(&mut self, x: ValueId, scale: f64, offset: f64) -> Result<ValueId, Refusal> {
        let width = self.shape(x).width;
        self.push(Operation::Columns { x, scale: vec![scale as f32; width], offset: vec![offset as f32; width] })
    }

    pub(super) fn combine(&mut self, combination: Combination, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
        self.push(Operation::Combine(combination, a, b))
    }

    pub(super) fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
        self.combine(Combination::Add, a, b)
    }

    pub(super) fn subtract(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
        self.combine(Combination::Subtract, a, b)
    }

    pub(super) fn multiply(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, Refusal> {
        self.combine(Combination::Multiply, a, b)
    }

    /// `Σ coefficients[i] x^i`, by Horner's rule.
    fn polynomial(&mut self, x: ValueId, coefficients: &[f64]) -> Result<ValueId, Refusal> {
        let (lower, upper) = coefficients.split_at(coefficients.len().saturating_sub(2));
        let (&[offset, scale], true) = (upper, coefficients.len() >= 2) else {
            return Err(Refusal::new("a polynomial without terms"));
        };
        let mut sum = self.affine(x, scale, offset)?;
        for coefficient in lower.iter().rev() {
            sum = self.multiply(sum, x)?;
            sum = self.affine(sum, 1.0, *coefficient)?;
        }
        Ok(sum)
    }

    /// `erf(scale · x)`.
    pub(super) fn erf(&mut self, x: ValueId, scale: f64) -> Result<ValueId, Refusal> {
        let scaled = self.affine(x, scale, 0.0)?;
        let x = self.clip(scaled, -ERF_END, ERF_END)?;
        let square = self.multiply(x, x)?;
        let polynomial = self.polynomial(square, &ERF)?;
        let argument = self.multiply(x, polynomial)?;
        self.map(Function::Tanh, argument)
    }

    /// `x · ½(1 + erf(x/√2))`. Below −6 that is 0 to 6e-9; the clip keeps the error of the
    /// gate from growing with `x`.
    pub(super) fn gelu(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let erf = self.erf(x, std::f64::consts::FRAC_1_SQRT_2)?;
        self.gated(x, erf, 6.0)
    }

    /// `x · ½(1 + tanh(√(2/π) (x + 0.044715 x³)))` (Hendrycks and Gimpel, 2016).
    pub(super) fn gelu_by_tanh(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let scale = (2.0 / std::f64::consts::PI).sqrt();
        // The cube is clipped where the hyperbolic tangent has reached ±1.
        let clipped = self.clip(x, -10.0, 10.0)?;
        let square = self.multiply(clipped, clipped)?;
        let inner = self.affine(square, 0.044_715 * scale, scale)?;
        let argument = self.multiply(inner, clipped)?;
        let tanh = self.map(Function::Tanh, argument)?;
        self.gated(x, tanh, 6.0)
    }

    /// `max(x, −end) · ½(1 + gate)`.
    fn gated(&mut self, x: ValueId, gate: ValueId, end: f64) -> Result<ValueId, Refusal> {
        let share = self.affine(gate, 0.5, 0.5)?;
        let x = self.clip(x, -end, f64::from(f32::MAX))?;
        self.multiply(x, share)
    }

    /// `x · σ(alpha · x)`, `x` clipped where that is 0 to 2e-6.
    pub(super) fn swish(&mut self, x: ValueId, alpha: f64) -> Result<ValueId, Refusal> {
        let scaled = self.affine(x, alpha, 0.0)?;
        let gate = self.map(Function::Sigmoid, scaled)?;
        let end = 16.0 / alpha.abs().max(1e-6);
        let x = if alpha > 0.0 { self.clip(x, -end, f64::from(f32::MAX))? } else { x };
        self.multiply(x, gate)
    }

    /// `x` where it is positive, `alpha · (e^(x/stretch) − 1)` elsewhere, all times `gain`.
    pub(super) fn elu(&mut self, x: ValueId, alpha: f64, stretch: f64, gain: f64) -> Result<ValueId, Refusal> {
        let positive = self.map(Function::Relu, x)?;
        let negative = self.clip(x, f64::from(f32::MIN), 0.0)?;
        let half = self.affine(negative, 0.5 / stretch, 0.0)?;
        let t = self.map(Function::Tanh, half)?;
        let divisor = self.affine(t, -1.0, 1.0)?;
        let inverse = self.reciprocal(divisor)?;
        let power = self.multiply(t, inverse)?;
        let power = self.affine(power, 2.0 * alpha * gain, 0.0)?;
        let positive = self.affine(positive, gain, 0.0)?;
        self.add(positive, power)
    }

    /// `ln(1 + e^x)`.
    pub(super) fn softplus(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let positive = self.map(Function::Relu, x)?;
        let magnitude = self.magnitude(x)?;
        let share = self.map(Function::Sigmoid, magnitude)?;
        let centred = self.affine(share, 4.0, -3.0)?;
        let tail = self.polynomial(centred, &LN)?;
        self.add(positive, tail)
    }

    /// `x · tanh(ln(1 + e^x))` (Misra, 2019): with `q = σ(−x)` the tangent is
    /// `(1 − q²)/(1 + q²)`.
    pub(super) fn mish(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let mirrored = self.affine(x, -1.0, 0.0)?;
        let q = self.map(Function::Sigmoid, mirrored)?;
        let square = self.multiply(q, q)?;
        let numerator = self.affine(square, -1.0, 1.0)?;
        let denominator = self.affine(square, 1.0, 1.0)?;
        let inverse = self.reciprocal(denominator)?;
        let gate = self.multiply(numerator, inverse)?;
        let x = self.clip(x, -16.0, f64::from(f32::MAX))?;
        self.multiply(x, gate)
    }

    /// `|x|`.
    pub(super) fn magnitude(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let positive = self.map(Function::Relu, x)?;
        let mirrored = self.affine(x, -1.0, 0.0)?;
        let negative = self.map(Function::Relu, mirrored)?;
        self.add(positive, negative)
    }

    /// `1/x` for `x` from 1 to 2: the line that is nearest, within 6 % , and three Newton
    /// steps, each of which squares the error.
    fn reciprocal(&mut self, x: ValueId) -> Result<ValueId, Refusal> {
        let mut y = self.affine(x, -8.0 / 17.0, 24.0 / 17.0)?;
        for _ in 0..3 {
            let product = self.multiply(x, y)?;
            let correction = self.affine(product, -1.0, 2.0)?;
            y = self.multiply(y, correction)?;
        }
        Ok(y)
    }

    /// `1/√x` of one column; `x` is clipped to [`ROOT_RANGE`], from `least` up where that is
    /// more.
    ///
    /// A line through each two neighbours of a series of points with ratio √2 is within 1 %,
    /// and as a sum of `max(1 − x/point, 0)` with positive weights loses no digits. Two Newton
    /// steps, `y ← y · (3 − x y²)/2`, bring it below the rounding of f32.
    pub(super) fn inverse_root(&mut self, x: ValueId, least: f64) -> Result<ValueId, Refusal> {
        let (least, most) = (least.max(ROOT_RANGE.0), ROOT_RANGE.1);
        let count = ((most / least).log2() * 2.0).ceil().max(1.0) as usize;
        let ratio = (most / least).powf(1.0 / count as f64);
        let points: Vec<f64> = (0..=count).map(|step| least * ratio.powi(step as i32)).collect();
        let slope = |from: f64, to: f64| (from.powf(-0.5) - to.powf(-0.5)) / (to - from);
        let slopes: Vec<f64> = points.windows(2).map(|pair| slope(pair[0], pair[1])).chain([0.0]).collect();
        let knees = &points[1..];
        let heights = slopes.windows(2).zip(knees).map(|(slopes, point)| (slopes[0] - slopes[1]) * point);
        let x = self.clip(x, least, most)?;
        let ramps = self.push(Operation::Linear {
            x,
            weights: knees.iter().map(|point| (-1.0 / point) as f32).collect(),
            bias: Some(vec![1.0; knees.len()]),
        })?;
        let ramps = self.map(Function::Relu, ramps)?;
        let mut y = self.push(Operation::Linear {
            x: ramps,
            weights: heights.map(|height| height as f32).collect(),
            bias: Some(vec![most.powf(-0.5) as f32]),
        })?;
        for _ in 0..2 {
            let square = self.multiply(y, y)?;
            let product = self.multiply(square, x)?;
            let correction = self.affine(product, -0.5, 1.5)?;
            y = self.multiply(y, correction)?;
        }
        Ok(y)
    }
}

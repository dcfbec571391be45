//! Where in a day or a week a time lies.

/// Sine and cosine of `2π·phase`, for a phase from 0 to 1.
///
/// The Taylor polynomials on a quarter turn err by less than 2e-6.
pub(super) fn sin_cos(phase: f32) -> [f32; 2] {
    [sin_turn(phase), sin_turn(phase + 0.25)]
}

/// Phase within a period, from 0 up to but not including 1; 0 for a time that is not finite.
pub(super) fn phase(time_s: f64, period_s: f64) -> f32 {
    // Truncated, since `%` would bring in a whole `fmod`.
    let turns = time_s / period_s;
    let fraction = turns - (turns as i64) as f64;
    let phase = if fraction < 0.0 { fraction + 1.0 } else { fraction } as f32;
    if (0.0..1.0).contains(&phase) { phase } else { 0.0 }
}

/// `sin(2π·phase)` for a phase from 0 to 2.
fn sin_turn(phase: f32) -> f32 {
    let whole = if phase >= 1.0 { phase - 1.0 } else { phase };
    // Onto −½ … ½, then onto −¼ … ¼, where the polynomial is good.
    let half = if whole > 0.5 { whole - 1.0 } else { whole };
    let quarter = if half > 0.25 {
        0.5 - half
    } else if half < -0.25 {
        -0.5 - half
    } else {
        half
    };
    let x = quarter * core::f32::consts::TAU;
    let square = x * x;
    let mut p = -1.0 / 39_916_800.0;
    p = p * square + 1.0 / 362_880.0;
    p = p * square - 1.0 / 5_040.0;
    p = p * square + 1.0 / 120.0;
    p = p * square - 1.0 / 6.0;
    x + x * square * p
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_agree_with_std() {
        for i in 0..10_000 {
            let phase = i as f32 / 10_000.0;
            let angle = std::f64::consts::TAU * f64::from(phase);
            let [sin, cos] = sin_cos(phase);
            assert!((f64::from(sin) - angle.sin()).abs() < 2e-6, "sin at {phase}");
            assert!((f64::from(cos) - angle.cos()).abs() < 2e-6, "cos at {phase}");
        }
    }

    #[test]
    fn phases_stay_in_range_for_any_time() {
        assert_eq!(phase(86_400.0 * 3.0 + 21_600.0, 86_400.0), 0.25);
        assert_eq!(phase(-21_600.0, 86_400.0), 0.75);
        assert_eq!(phase(f64::NAN, 86_400.0), 0.0);
        assert_eq!(phase(f64::INFINITY, 86_400.0), 0.0);
        assert_eq!(phase(-1e-300, 86_400.0), 0.0);
    }
}

//! The listing of a forecaster's calibration.

use std::fmt;

use evenkeel_runtime::forecast::{Calibration, Kind, QUANTILES, Quantiles};

/// Writes what serves the service, and its table: a row for each horizon, a column for
/// each quantile.
pub(super) fn write(f: &mut fmt::Formatter<'_>, calibration: &Calibration) -> fmt::Result {
    let Calibration { kind, step_s, horizons, offsets, residuals } = calibration;
    let (meaning, table) = match kind {
        Kind::Network => ("the network, with offsets of its quantiles", offsets),
        Kind::SeasonalNaive => ("the value a day earlier, with residual quantiles", residuals),
        Kind::LastValue => ("the newest value, with residual quantiles", residuals),
        Kind::LevelShape => ("level and shape of the day, with residual quantiles", residuals),
    };
    writeln!(f, "\nCalibration: {meaning}")?;
    writeln!(f, "  step {step_s} s; table in multiples of the mean of the last day")?;
    write_table(f, horizons, table)
}

fn write_table(f: &mut fmt::Formatter<'_>, horizons: &[u32], table: &Quantiles) -> fmt::Result {
    write!(f, "  {:>12}", "steps ahead")?;
    for quantile in QUANTILES {
        write!(f, " {quantile:>6.1}")?;
    }
    writeln!(f)?;
    for (horizon, row) in horizons.iter().zip(table) {
        write!(f, "  {horizon:>12}")?;
        for value in row {
            write!(f, " {value:>6.3}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

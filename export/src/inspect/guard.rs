//! The limits of the trust in a policy, for people.

use std::fmt;

use evenkeel_runtime::Guard;
use evenkeel_runtime::features::NAMES;

pub(super) fn write(f: &mut fmt::Formatter<'_>, guard: &Guard) -> fmt::Result {
    writeln!(f, "\nGuard")?;
    writeln!(f, "  weight of the estimate  {}", guard.estimate_weight)?;
    for ((name, low), high) in NAMES.iter().zip(guard.low).zip(guard.high) {
        if low > f32::MIN && high < f32::MAX {
            writeln!(f, "  {name:<34}  {low:>7.3} to {high:>7.3}")?;
        }
    }
    Ok(())
}

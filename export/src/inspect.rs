//! What is in an artifact, for people.

mod calibration;
mod guard;
mod json;
mod program;
mod service;

use std::fmt;

use evenkeel_runtime::Model;
use evenkeel_runtime::artifact::{ArtifactError, Sections, format};

/// Everything that is in an artifact; its `Display` fits 80 columns, but for long strings
/// in the metadata.
#[derive(Clone, Debug)]
pub struct Summary<'a> {
    bytes: &'a [u8],
    sections: Vec<(u32, &'a [u8])>,
    model: Model<'a>,
}

/// Looks into the bytes of an artifact.
///
/// # Errors
/// What the runtime has to say against it.
pub fn inspect(bytes: &[u8]) -> Result<Summary<'_>, ArtifactError> {
    let sections = Sections::parse(bytes)?.iter().collect();
    Ok(Summary { bytes, sections, model: Model::parse(bytes)? })
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes;
        writeln!(f, "Evenkeel artifact")?;
        writeln!(f, "  format version   {}", word(bytes, 8))?;
        writeln!(f, "  feature schema   {:08x}{:08x}", word(bytes, 20), word(bytes, 16))?;
        writeln!(f, "  length           {} bytes", grouped(bytes.len()))?;
        writeln!(f, "  checksum         {:08x} (CRC-32)", word(bytes, 32))?;
        writeln!(f, "\nSections")?;
        for (kind, contents) in &self.sections {
            let begin = contents.as_ptr().addr() - bytes.as_ptr().addr();
            let length = grouped(contents.len());
            writeln!(f, "  {:<12} {length:>10} bytes at {:>10}", section_name(*kind), grouped(begin))?;
        }
        if let Some(policy) = self.model.policy() {
            program::write(f, "Policy", "hosts", policy.program())?;
            if let Some(guard) = policy.guard() {
                guard::write(f, &guard)?;
            }
        }
        if let Some(forecaster) = self.model.forecaster() {
            program::write(f, "Forecaster", "horizons", forecaster.program())?;
            calibration::write(f, forecaster.calibration())?;
        }
        service::write(f, self.model.service())?;
        if let Some(scale) = self.model.scale() {
            writeln!(f, "\nScale")?;
            writeln!(f, "  a replica carries  {} requests/s", scale.replica_requests_per_s)?;
            writeln!(f, "  looked ahead       {} s, at the {} quantile", scale.lead_s, scale.quantile)?;
            writeln!(f, "  headroom           {}", scale.headroom)?;
            writeln!(f, "  a rise goes on by  {} of its slope", scale.trend)?;
        }
        writeln!(f, "\nMetadata")?;
        for line in json::pretty(self.model.metadata_json()).lines() {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

fn section_name(kind: u32) -> String {
    match kind {
        format::METADATA => "metadata".to_owned(),
        format::SERVICE => "service".to_owned(),
        format::POLICY => "policy".to_owned(),
        format::FORECAST => "forecast".to_owned(),
        format::CALIBRATION => "calibration".to_owned(),
        format::SCALE => "scale".to_owned(),
        format::GUARD => "guard".to_owned(),
        unknown => format!("kind {unknown}"),
    }
}

/// Little-endian number of a header that has been validated.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// A number with its thousands apart.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}

//! Writes the artifact `evenkeel.ekm`; the runtime's [`evenkeel_runtime::artifact`] has
//! the layout and reads it.

use evenkeel_runtime::artifact::{ArtifactError, Sections, crc32, format};
use evenkeel_runtime::demand::ScaleModel;
use evenkeel_runtime::features::SCHEMA_HASH;
use evenkeel_runtime::{Guard, Model, ServiceModel};

use crate::Program;
use crate::program::pad;

/// What goes into an artifact.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// Where the model comes from, a JSON object.
    pub metadata: &'a str,
    /// The service that the model was trained for.
    pub service: &'a ServiceModel,
    /// The balancing policy.
    pub policy: Option<&'a Program>,
    /// The demand forecaster, and its CALIBRATION section.
    pub forecast: Option<(&'a Program, &'a [u8])>,
}

impl Contents<'_> {
    /// The bytes of the artifact: equal contents give equal bytes.
    ///
    /// # Errors
    /// What the runtime would say of these bytes, so that nothing is written which it
    /// refuses.
    pub fn encode(&self) -> Result<Vec<u8>, ArtifactError> {
        let mut sections = vec![
            (format::METADATA, self.metadata.as_bytes().to_vec()),
            (format::SERVICE, self.service.encode().to_vec()),
        ];
        if let Some(policy) = self.policy {
            sections.push((format::POLICY, policy.encode()?));
        }
        if let Some((program, calibration)) = self.forecast {
            sections.push((format::FORECAST, program.encode()?));
            sections.push((format::CALIBRATION, calibration.to_vec()));
        }
        let bytes = assemble(&sections);
        Model::parse(&bytes)?;
        Ok(bytes)
    }
}

/// The artifact with another SCALE section: what one replica carries was measured, or tuned,
/// after the networks were trained.
///
/// # Errors
/// What the runtime says of the artifact or of the section.
pub fn with_scale(artifact: &[u8], scale: &ScaleModel) -> Result<Vec<u8>, ArtifactError> {
    with_section(artifact, format::SCALE, &scale.encode())
}

/// The artifact with another GUARD section: the limits of the trust in its policy.
///
/// # Errors
/// What the runtime says of the artifact or of the section.
pub fn with_guard(artifact: &[u8], guard: &Guard) -> Result<Vec<u8>, ArtifactError> {
    with_section(artifact, format::GUARD, &guard.encode())
}

/// The artifact with this section in the place of the one of its kind.
fn with_section(artifact: &[u8], replaced: u32, contents: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    let kept = Sections::parse(artifact)?;
    let mut sections: Vec<(u32, Vec<u8>)> =
        kept.iter().filter(|(kind, _)| *kind != replaced).map(|(kind, contents)| (kind, contents.to_vec())).collect();
    sections.push((replaced, contents.to_vec()));
    let bytes = assemble(&sections);
    Model::parse(&bytes)?;
    Ok(bytes)
}

/// Header, section table, sections.
pub(crate) fn assemble(sections: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![0; format::HEADER_BYTES + sections.len() * format::SECTION_ENTRY_BYTES];
    pad(&mut bytes);
    for (index, (kind, contents)) in sections.iter().enumerate() {
        let entry = format::HEADER_BYTES + index * format::SECTION_ENTRY_BYTES;
        let begin = bytes.len() as u64;
        put(&mut bytes, entry, &kind.to_le_bytes());
        put(&mut bytes, entry + 8, &begin.to_le_bytes());
        put(&mut bytes, entry + 16, &(contents.len() as u64).to_le_bytes());
        bytes.extend(contents);
        pad(&mut bytes);
    }
    let length = bytes.len() as u64;
    let checksum = crc32(&bytes[format::HEADER_BYTES..]);
    put(&mut bytes, 0, &format::MAGIC);
    put(&mut bytes, 8, &format::VERSION.to_le_bytes());
    put(&mut bytes, 12, &(sections.len() as u32).to_le_bytes());
    put(&mut bytes, 16, &SCHEMA_HASH.to_le_bytes());
    put(&mut bytes, 24, &length.to_le_bytes());
    put(&mut bytes, 32, &checksum.to_le_bytes());
    bytes
}

fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    bytes[at..at + field.len()].copy_from_slice(field);
}

//! The policy's numbers inside an artifact's metadata, from which training can go on.
//!
//! An artifact's program is what remains after compilation; it is not taken apart again.
//! Instead the metadata holds a copy of the numbers: eight hexadecimal digits for the bits
//! of each, in the order of [`PolicyWeights::to_numbers`].

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::prelude::Device;
use evenkeel_datasets::random::generator;
use evenkeel_runtime::{Model, ServiceKind};

use super::network::{PolicyNetwork, PolicyWeights};

/// Key of the metadata. It names the form of the network too, so that the numbers of another one are
/// not taken for these.
pub const KEY: &str = "policy_numbers_2";

/// The numbers as text.
pub fn encode(weights: &PolicyWeights) -> String {
    weights.to_numbers().iter().fold(String::new(), |mut text, number| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:08x}", number.to_bits());
        text
    })
}

/// A policy to go on from.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// Its numbers.
    pub weights: PolicyWeights,
    kind: ServiceKind,
}

impl Embedded {
    /// The policy for services of this kind.
    ///
    /// # Errors
    /// If it is for services of another kind.
    pub fn for_kind(self, path: &Path, kind: ServiceKind) -> Result<PolicyWeights> {
        ensure!(
            self.kind == kind,
            "--from {}: its policy is for {} services, the traces are of a {} service; name an artifact of the same \
             kind",
            path.display(),
            name(self.kind),
            name(kind)
        );
        Ok(self.weights)
    }
}

/// The policy of an artifact that `evenkeel train` made.
///
/// # Errors
/// If the file is no artifact, or holds no policy that training can go on from.
pub fn read(path: &Path) -> Result<Embedded> {
    let bytes = std::fs::read(path).with_context(|| format!("--from: cannot read {}", path.display()))?;
    let model = Model::parse(&bytes).with_context(|| format!("--from {}", path.display()))?;
    let metadata: serde_json::Value = serde_json::from_str(model.metadata_json())
        .with_context(|| format!("--from {}: its metadata is not JSON", path.display()))?;
    let text = metadata[KEY].as_str().with_context(|| {
        format!(
            "--from {}: found no policy to go on from; expected an artifact made by `evenkeel train`",
            path.display()
        )
    })?;
    let mut weights = decode(text).with_context(|| {
        format!("--from {}: the copy of its policy is not one of this release; train without --from", path.display())
    })?;
    weights.herding_weight = model.service().herding_weight;
    Ok(Embedded { weights: weights.served(), kind: model.service().kind() })
}

fn name(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Llm => "language-model",
        ServiceKind::Fifo => "FIFO",
    }
}

/// What [`encode`] wrote; `None` if it is of another length, or a number is not finite.
fn decode(text: &str) -> Option<PolicyWeights> {
    let shape = PolicyNetwork::new(&mut generator(0, 0), &Device::flex()).weights();
    let digits = text.as_bytes().as_chunks::<8>();
    let number = |digits: &[u8; 8]| {
        let bits = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        Some(f32::from_bits(bits)).filter(|number| number.is_finite())
    };
    let numbers = digits.0.iter().map(number).collect::<Option<Vec<f32>>>()?;
    (digits.1.is_empty() && numbers.len() == shape.to_numbers().len()).then(|| shape.with_numbers(&numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_and_damage_is_noticed() {
        let weights = PolicyNetwork::new(&mut generator(3, 0), &Device::flex()).weights();
        let text = encode(&weights);
        assert_eq!(decode(&text), Some(weights));
        assert_eq!(decode(&text[8..]), None);
        assert_eq!(decode(&text[1..]), None);
        assert_eq!(decode(&text.replacen(&text[..8], "7fc00000", 1)), None, "not a number");
        assert_eq!(decode(&text.replacen(&text[..8], "é000000", 1)), None);
    }
}

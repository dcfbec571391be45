//! Artifacts for a service that runs faster than the one they were trained for.

use evenkeel_runtime::artifact::{Sections, crc32, format};
use evenkeel_runtime::{Engine, Fifo, Llm, Model, ServiceModel};

pub use evenkeel_runtime::artifact::ArtifactError;

/// Bytes of the header that the checksum is in, and those that it is of.
const CHECKSUM: std::ops::Range<usize> = 32..36;

/// The artifact of the same service, `factor` times as fast: what a proxy in front of hosts
/// with a time scale needs, whose clock is the wall's. The policy itself knows times only as
/// ratios to the service's own and stays as it is; the forecaster counts in wall time.
///
/// # Errors
/// If the artifact, or the service made faster, is invalid.
pub fn faster(artifact: &[u8], factor: f64) -> Result<Vec<u8>, ArtifactError> {
    let service = faster_service(Model::parse(artifact)?.service(), factor as f32).encode();
    let mut faster = artifact.to_vec();
    for (kind, contents) in Sections::parse(artifact)?.iter() {
        if kind == format::SERVICE {
            let begin = contents.as_ptr().addr() - artifact.as_ptr().addr();
            faster[begin..begin + service.len()].copy_from_slice(&service);
        }
    }
    let checksum = crc32(&faster[format::HEADER_BYTES..]);
    faster[CHECKSUM].copy_from_slice(&checksum.to_le_bytes());
    Model::parse(&faster)?;
    Ok(faster)
}

fn faster_service(service: &ServiceModel, factor: f32) -> ServiceModel {
    ServiceModel {
        engine: match service.engine {
            Engine::Llm(llm) => Engine::Llm(Llm {
                step_base_s: llm.step_base_s / factor,
                step_per_request_s: llm.step_per_request_s / factor,
                step_per_kv_token_s: llm.step_per_kv_token_s / factor,
                step_per_prefill_token_s: llm.step_per_prefill_token_s / factor,
                ..llm
            }),
            Engine::Fifo(fifo) => Engine::Fifo(Fifo { service_mean_s: fifo.service_mean_s / factor, ..fifo }),
        },
        step_typical_s: service.step_typical_s / factor,
        latency_typical_s: service.latency_typical_s / factor,
        ttft_typical_s: service.ttft_typical_s / factor,
        ..*service
    }
}

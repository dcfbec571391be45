//! EXT: expected completion time plus the delay inflicted on those already there, by the
//! runtime's own analytic estimate. The strongest hand-written rule known here, and the
//! base that the trained policy corrects.

use evenkeel_runtime::ServiceModel;
use evenkeel_runtime::features::View;

use super::Parameter;
use crate::policy::{Decision, Policy, Setting};

/// Weights of the estimate's parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExtWeights {
    /// Of the prefill work ahead (LLM) or of the queue (FIFO).
    pub queue: f64,
    /// Of KV cache demand beyond its capacity.
    pub kv: f64,
    /// Of the delay inflicted on the requests already there.
    pub delay: f64,
}

impl Default for ExtWeights {
    fn default() -> Self {
        Self { queue: PARAMETERS[0].default, kv: PARAMETERS[1].default, delay: PARAMETERS[2].default }
    }
}

pub(super) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "queue_weight", default: 1.0, min: 0.1, max: 10.0 },
    Parameter { name: "kv_weight", default: 1.0, min: 0.0, max: 10.0 },
    Parameter { name: "delay_weight", default: 1.0, min: 0.0, max: 3.0 },
];

/// The host with the lowest estimate; looks at all of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ext {
    weights: ExtWeights,
    service: Option<ServiceModel>,
}

impl Ext {
    /// With these weights.
    pub fn new(weights: ExtWeights) -> Self {
        Self { weights, service: None }
    }
}

impl Policy for Ext {
    fn name(&self) -> &'static str {
        "ext"
    }

    fn reset(&mut self, setting: &Setting) {
        self.service = Some(ServiceModel {
            queue_weight: self.weights.queue as f32,
            kv_weight: self.weights.kv as f32,
            delay_weight: self.weights.delay as f32,
            ..setting.service
        });
    }

    fn choose(&mut self, decision: &mut Decision<'_>) -> usize {
        let service = self.service.unwrap_or(*decision.service);
        let (state, request, now_us) = (decision.state, decision.request, decision.now_us);
        decision.choose_lowest(|host| match state.host(host) {
            Some(slot) => f64::from(View::new(&service, &state, host, slot, request, now_us).estimate_s(&service)),
            None => f64::NAN,
        })
    }
}

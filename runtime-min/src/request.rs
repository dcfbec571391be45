//! A request before it is placed.

use crate::service::ServiceModel;

/// What the balancer knows of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<'a> {
    /// Prompt length in tokens as claimed, 0 where unknown: then it is taken to be like the service's
    /// others ([`ServiceModel::prompt_tokens_mean`]).
    pub prompt_tokens: u32,
    /// Of each host, by index: tokens of the prompt's prefix that it probably has cached.
    /// Hosts beyond the end have none.
    pub cached_tokens: &'a [u32],
    /// Tokens that the request will probably generate, 0 where unknown: then it is taken to
    /// be like the service's others ([`ServiceModel::output_tokens_mean`]). Says nothing
    /// about hosts that work first in, first out, one request after the other.
    pub output_tokens: u32,
    /// Most tokens that it may generate, 0 for no limit.
    pub output_tokens_max: u32,
}

impl Request<'_> {
    /// Tokens that the prompt is expected to have.
    pub(crate) fn expected_prompt_tokens(&self, service: &ServiceModel) -> f32 {
        if self.prompt_tokens == 0 {
            service.prompt_tokens_mean
        } else {
            (self.prompt_tokens as f32).min(service.prompt_tokens_max())
        }
    }

    /// Tokens that the request is expected to generate.
    pub(crate) fn expected_output_tokens(&self, service: &ServiceModel) -> f32 {
        let expected = if self.output_tokens == 0 { service.output_tokens_mean } else { self.output_tokens as f32 };
        if self.output_tokens_max == 0 { expected } else { expected.min(self.output_tokens_max as f32) }
    }
}

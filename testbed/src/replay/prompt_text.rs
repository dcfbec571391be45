//! Prompts with the trace's lengths and shared prefixes.
//!
//! The same block id gives the same text, so that a host which caches by content finds what
//! the trace says it should. What no block covers is different in every request.

use evenkeel_numbers::random::mix;

use super::plan::{Due, Plan};
use crate::emulator::prompt::BYTES_PER_TOKEN;

/// The prompt of one of the plan's requests: `BYTES_PER_TOKEN` bytes of ASCII a token, nothing
/// of which JSON needs to escape.
pub fn prompt(plan: &Plan, index: usize) -> String {
    let Due { request, .. } = plan.requests[index];
    let tokens = request.prompt_tokens.max(1) as usize;
    let mut text = String::with_capacity(tokens * BYTES_PER_TOKEN);
    let block_tokens = plan.trace.prefix_block_tokens as usize;
    let mut left = tokens;
    // Mixed, so that salts and blocks, which are small numbers both, do not meet.
    let salt = if plan.salt == 0 { 0 } else { mix(plan.salt) };
    for block in plan.trace.prefix(&request) {
        let here = block_tokens.min(left);
        push_tokens(&mut text, mix(*block ^ salt), here);
        left -= here;
    }
    push_tokens(&mut text, mix(mix(plan.seed) ^ (index as u64 + 1) ^ salt), left);
    text
}

fn push_tokens(text: &mut String, seed: u64, tokens: usize) {
    let mut state = seed;
    for _ in 0..tokens {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let letters = state >> 40;
        text.push(' ');
        for shift in [0, 4, 8] {
            text.push(char::from(b'a' + (letters >> shift & 15) as u8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::prompt;
    use crate::emulator::prompt::Prompt;
    use crate::replay::plan::Plan;
    use evenkeel_datasets::{Request, Trace};

    #[test]
    fn hosts_see_the_lengths_and_prefixes_of_the_trace() {
        let mut trace = Trace { prefix_block_tokens: 64, prefix_blocks: vec![1, 2, 1, 3], ..Trace::default() };
        for i in 0..2 {
            let request = Request { prefix_begin: 2 * i, prefix_len: 2, ..Request::new(f64::from(i), 100, 1) };
            trace.requests.push(request);
        }
        let plan = Plan::new(trace, 1.0, 2, 7);
        let [one, other] = [0, 1].map(|index| Prompt::of_text(&prompt(&plan, index), 16));
        assert_eq!((one.tokens, one.prefix.len()), (100, 6));
        assert_eq!(one.prefix[..4], other.prefix[..4], "the first block of 64 tokens is shared");
        assert_ne!(one.prefix[4], other.prefix[4]);
        let mut salted = plan.clone();
        salted.salt = 1;
        let [again, elsewhere] = [&plan, &salted].map(|plan| Prompt::of_text(&prompt(plan, 0), 16));
        assert_eq!((&again.prefix, again.tokens), (&one.prefix, elsewhere.tokens));
        assert_ne!(one.prefix[0], elsewhere.prefix[0], "another salt, another text");
    }

    #[test]
    fn prompts_without_prefixes_have_nothing_in_common() {
        let requests = vec![Request::new(0.0, 32, 1), Request::new(1.0, 32, 1)];
        let plan = Plan::new(Trace { requests, ..Trace::default() }, 1.0, 2, 7);
        let [one, other] = [0, 1].map(|index| Prompt::of_text(&prompt(&plan, index), 16));
        assert_ne!(one.prefix[0], other.prefix[0]);
    }
}

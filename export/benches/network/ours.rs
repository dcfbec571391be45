//! This runtime's decision and its network.

use std::hint::black_box;

use evenkeel_runtime::{Eligible, HOST_FEATURES, Model, Program, Request, decide, stride};

use evenkeel_dev::measured::{Measured, Random, measure};
use evenkeel_dev::upstream::{Upstream, serve};

/// Whole decisions on a state that changes between them.
pub(crate) fn decision(model: &Model<'_>, hosts: usize) -> Measured {
    let upstream = Upstream::new(hosts);
    let state = upstream.state(model);
    let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(hosts))];
    let call = std::cell::Cell::new(0u64);
    let now_us = || 1_000_000 + call.get() * 700;
    let prompt_tokens = || (call.get() * 7919 % 4000) as u32;
    measure(
        || {
            call.set(call.get() + 1);
            serve(&state, model, (call.get() % hosts as u64) as u32, prompt_tokens(), now_us());
        },
        || {
            let request = Request { prompt_tokens: prompt_tokens(), ..Request::default() };
            black_box(decide(Some(model), &state, &request, Eligible::All, now_us(), &mut scratch));
        },
    )
}

/// The network alone.
pub(crate) fn network(program: &Program<'_>, rows: usize) -> Measured {
    let scratch = std::cell::RefCell::new(vec![0.0; program.scratch_len(rows)]);
    let mut random = Random::default();
    measure(
        || random.fill(scratch.borrow_mut().get_mut(..HOST_FEATURES * stride(rows)).unwrap_or_default()),
        || {
            black_box(program.run(rows, black_box(&mut scratch.borrow_mut())));
        },
    )
}

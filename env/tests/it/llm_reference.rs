//! The jumping LLM host against a reference that walks from step to step.

use evenkeel_env::host::Notice;
use evenkeel_env::host::llm::{LlmHost, LlmJob, LlmOptions};
use proptest::prelude::*;

/// What happens to the host, in order of time.
#[derive(Clone, Copy, Debug)]
enum Input {
    Job(LlmJob),
    Stretch(f64),
    /// The client of a request leaves.
    Abort(u32),
}

/// When a request got its first token, and when it was complete.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Times {
    first_token_s: f64,
    done_s: f64,
}

fn jump(options: LlmOptions, inputs: &[(f64, Input)], requests: usize) -> (Vec<Times>, u64) {
    let mut host = LlmHost::new(options, 1.0);
    let mut times = vec![Times::default(); requests];
    let mut notices = Vec::new();
    let mut inputs = inputs.iter().peekable();
    loop {
        let next_s = host.next_event_s();
        match inputs.peek() {
            Some((at_s, input)) if *at_s < next_s => {
                match *input {
                    Input::Job(job) => host.offer(*at_s, job),
                    Input::Stretch(stretch) => host.set_stretch(*at_s, stretch),
                    Input::Abort(request) => host.abort(*at_s, request),
                }
                // Reports must not disturb anything, and must stay within bounds.
                let report = host.report(*at_s);
                assert!((0.0..=1.0).contains(&report.kv_use) && report.step_s > 0.0);
                inputs.next();
            }
            _ if next_s.is_finite() => {
                host.advance(next_s, &mut notices);
                for notice in notices.drain(..) {
                    match notice {
                        Notice::FirstToken(request) => times[request as usize].first_token_s = next_s,
                        Notice::Done(request) => times[request as usize].done_s = next_s,
                    }
                }
            }
            _ => break,
        }
    }
    assert_eq!((host.running(), host.waiting()), (0, 0));
    let report = host.report(1e9);
    assert_eq!((report.pending_prefill_tokens, report.kv_use), (0, 0.0));
    (times, host.preemptions())
}

/// One request of the reference.
#[derive(Clone, Copy, Debug)]
struct Reference {
    job: LlmJob,
    generated: u32,
    prefill_tokens: u32,
}

impl Reference {
    fn kv_held(&self) -> u32 {
        self.job.prompt_tokens - self.job.cached_tokens + self.generated
    }
}

/// Every step on its own, everything recomputed in each.
fn walk(options: LlmOptions, inputs: &[(f64, Input)], requests: usize) -> Vec<Times> {
    let capacity = options.kv_capacity_tokens;
    let mut times = vec![Times::default(); requests];
    // In order of admission, so that the last is the youngest.
    let mut batch: Vec<Reference> = Vec::new();
    let mut waiting: Vec<Reference> = Vec::new();
    let mut inputs = inputs.iter().peekable();
    let (mut now_s, mut stretch) = (0.0, 1.0);
    loop {
        while let Some((at_s, input)) = inputs.peek()
            && (*at_s <= now_s || (batch.is_empty() && waiting.is_empty()))
        {
            now_s = at_s.max(now_s);
            match *input {
                Input::Job(job) => {
                    waiting.push(Reference {
                        job,
                        generated: 0,
                        prefill_tokens: job.prompt_tokens - job.cached_tokens,
                    });
                }
                Input::Stretch(new) => stretch = new,
                Input::Abort(request) => {
                    batch.retain(|running| running.job.request != request);
                    waiting.retain(|waiting| waiting.job.request != request);
                }
            }
            inputs.next();
        }
        let decoding = |batch: &[Reference]| batch.iter().filter(|r| r.prefill_tokens == 0).count() as u32;
        let held = |batch: &[Reference]| batch.iter().map(Reference::kv_held).sum::<u32>();
        while batch.len() > 1 && held(&batch) + decoding(&batch) > capacity {
            let mut youngest = batch.pop().expect("the batch is not empty");
            youngest.prefill_tokens = youngest.kv_held();
            waiting.insert(0, youngest);
        }
        while let Some(head) = waiting.first()
            && (batch.is_empty()
                || batch.len() < options.batch_max as usize
                    && held(&batch) + head.prefill_tokens + decoding(&batch) < capacity)
        {
            batch.push(waiting.remove(0));
        }
        if batch.is_empty() {
            if inputs.peek().is_none() {
                return times;
            }
            continue;
        }
        let read: u32 = batch.iter().filter(|r| r.prefill_tokens == 0).map(|r| r.job.prompt_tokens + r.generated).sum();
        let mut budget = options.prefill_tokens_per_step;
        let taken: Vec<u32> = batch
            .iter()
            .map(|r| {
                let taken = r.prefill_tokens.min(budget);
                budget -= taken;
                taken
            })
            .collect();
        let prefilled: u32 = taken.iter().sum();
        now_s += stretch * options.step.step_s(decoding(&batch).into(), read.into(), prefilled.into());
        for (running, taken) in batch.iter_mut().zip(taken) {
            running.prefill_tokens -= taken;
            if running.prefill_tokens > 0 {
                continue;
            }
            running.generated += 1;
            let times = &mut times[running.job.request as usize];
            if running.generated == 1 {
                times.first_token_s = now_s;
            }
            if running.generated == running.job.output_tokens {
                times.done_s = now_s;
            }
        }
        batch.retain(|r| r.generated < r.job.output_tokens);
    }
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn compare(options: LlmOptions, inputs: &[(f64, Input)], requests: usize) -> u64 {
    let (jumped, preemptions) = jump(options, inputs, requests);
    let walked = walk(options, inputs, requests);
    for (request, (jumped, walked)) in jumped.iter().zip(&walked).enumerate() {
        assert!(
            close(jumped.first_token_s, walked.first_token_s) && close(jumped.done_s, walked.done_s),
            "request {request}: jumped {jumped:?}, walked {walked:?}"
        );
    }
    preemptions
}

/// Gaps, prompts, outputs, cached shares; after each job, with some probability, a change of
/// the stretch, and a client of one so far that leaves.
fn workload(prompt_max: u32, output_max: u32, gap_max_s: f64) -> impl Strategy<Value = Vec<(f64, Input)>> {
    let stretch = prop::option::weighted(0.1, 0.3..4.0f64);
    let left = prop::option::weighted(0.2, 0.0..1.0f64);
    let job = (0.0..gap_max_s, 1..=prompt_max, 1..=output_max, 0.0..1.0f64, stretch, left);
    prop::collection::vec(job, 1..80).prop_map(|jobs| {
        let mut now_s = 0.0;
        let mut inputs = Vec::new();
        for (request, (gap_s, prompt_tokens, output_tokens, cached, stretch, left)) in (0u32..).zip(jobs) {
            now_s += gap_s;
            let cached_tokens = if cached < 0.7 { 0 } else { (f64::from(prompt_tokens - 1) * cached) as u32 };
            inputs.push((now_s, Input::Job(LlmJob { request, prompt_tokens, output_tokens, cached_tokens })));
            if let Some(stretch) = stretch {
                now_s += 0.01;
                inputs.push((now_s, Input::Stretch(stretch)));
            }
            if let Some(left) = left {
                // Mostly one of the latest, which is still there.
                now_s += 0.01;
                inputs.push((now_s, Input::Abort(request - (f64::from(request) * left * left) as u32)));
            }
        }
        inputs
    })
}

fn jobs(inputs: &[(f64, Input)]) -> usize {
    inputs.iter().filter(|(_, input)| matches!(input, Input::Job(_))).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn jumps_agree_with_steps(inputs in workload(6000, 400, 1.0)) {
        compare(LlmOptions::default(), &inputs, jobs(&inputs));
    }

    #[test]
    fn jumps_agree_with_steps_in_a_small_cache(inputs in workload(3000, 600, 0.5)) {
        let options = LlmOptions { kv_capacity_tokens: 5000, batch_max: 16, ..LlmOptions::default() };
        compare(options, &inputs, jobs(&inputs));
    }

    #[test]
    fn jumps_agree_with_steps_in_a_cache_smaller_than_a_prompt(inputs in workload(3000, 300, 2.0)) {
        let options = LlmOptions { kv_capacity_tokens: 1000, prefill_tokens_per_step: 256, ..LlmOptions::default() };
        compare(options, &inputs, jobs(&inputs));
    }
}

#[test]
fn a_full_cache_preempts_the_youngest() {
    let options = LlmOptions { kv_capacity_tokens: 1000, ..LlmOptions::default() };
    let job = |request| LlmJob { request, prompt_tokens: 400, output_tokens: 300, cached_tokens: 0 };
    let inputs: Vec<_> = (0..3).map(|request| (f64::from(request) * 0.001, Input::Job(job(request)))).collect();
    assert!(compare(options, &inputs, 3) > 0, "the cache must have run full");
}

#[test]
fn a_lone_request_takes_the_sum_of_its_steps() {
    let options = LlmOptions::default();
    let job = LlmJob { request: 0, prompt_tokens: 5000, output_tokens: 3, cached_tokens: 1000 };
    let (times, _) = jump(options, &[(1.0, Input::Job(job))], 1);
    let step = &options.step;
    let first_token_s = 1.0 + step.step_s(0, 0, 2048) + step.step_s(0, 0, 1952);
    let done_s = first_token_s + step.step_s(1, 5001, 0) + step.step_s(1, 5002, 0);
    assert!(close(times[0].first_token_s, first_token_s), "{times:?}");
    assert!(close(times[0].done_s, done_s), "{times:?}");
}

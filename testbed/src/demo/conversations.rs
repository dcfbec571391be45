//! The demonstration's default trace: conversations about documents, in Mooncake's format.
//!
//! Prompts begin with an assistant's instructions, which all of its users share, go on with a
//! document that many ask about, and end with what was said before. That prompts begin as earlier ones
//! did is what Mooncake found of a chat service (arXiv 2407.00079). Much more is shared here, so that the
//! choice of host shows: 95 % of the blocks were in an earlier prompt's beginning, 37 % in Mooncake's own
//! trace. Its prompts, 12,000 tokens in the mean, are cut to what the emulated hosts have room for.

use std::collections::BinaryHeap;
use std::f64::consts::TAU;
use std::io::{self, Write};
use std::ops::Range;

use evenkeel_datasets::random::{Pcg64Mcg, below, exponential, generator, log_normal, uniform};
use serde_json::json;

/// Tokens of a block, as in Mooncake's traces.
const BLOCK_TOKENS: u64 = 512;
/// Longest prompt, well below what a host's KV cache holds.
const PROMPT_TOKENS_MAX: u64 = 10_240;
const DURATION_S: f64 = 14_400.0;
const SESSIONS_PER_S: f64 = 1.6;
/// Demand rises and falls, so that there is something to foresee.
const WAVE_S: f64 = 1200.0;
const WAVE_HEIGHT: f64 = 0.3;
const ASSISTANTS: u64 = 24;
const DOCUMENTS_EACH: u64 = 12;
/// Share of the conversations that are about a document.
const ABOUT_DOCUMENT: f64 = 0.7;
/// Longest question, which a conversation has room for or ends.
const QUESTION_TOKENS_MAX: u64 = 1500;
/// What an answer takes about, until the user reads it.
const ANSWER_MS_PER_TOKEN: f64 = 50.0;
/// Chance that a turn is not the last.
const GOES_ON: f64 = 0.75;
const THINK_MEAN_S: f64 = 25.0;

/// A turn of a conversation, and what the next one grows from.
#[derive(Debug)]
struct Turn {
    at_ms: u64,
    /// Blocks that were in prompts before.
    blocks: Vec<u64>,
    /// Tokens of the conversation up to here.
    history_tokens: u64,
}

/// The earliest is the greatest, for a heap.
impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at_ms, &other.blocks).cmp(&(self.at_ms, &self.blocks))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Turn {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Turn {}

/// Writes four hours of conversations, a JSON object a request; the same for equal seeds.
///
/// # Errors
/// If the output fails.
pub fn write(seed: u64, output: &mut impl Write) -> io::Result<()> {
    let rng = &mut generator(seed, 0);
    let shared = Shared::new(rng);
    let mut next_block = shared.blocks;
    let mut turns = shared.first_turns(rng);
    while let Some(mut turn) = turns.pop() {
        let question_tokens = log_normal(rng, 4.4, 0.8).clamp(8.0, QUESTION_TOKENS_MAX as f64) as u64;
        let output_tokens = log_normal(rng, 5.2, 0.6).clamp(8.0, 1200.0) as u64;
        let prompt_tokens = turn.history_tokens + question_tokens;
        while (turn.blocks.len() as u64) < prompt_tokens / BLOCK_TOKENS {
            turn.blocks.push(next_block);
            next_block += 1;
        }
        let row = json!({
            "timestamp": turn.at_ms,
            "input_length": prompt_tokens,
            "output_length": output_tokens,
            "hash_ids": turn.blocks,
        });
        writeln!(output, "{row}")?;
        turn.history_tokens = prompt_tokens + output_tokens;
        turn.at_ms += (ANSWER_MS_PER_TOKEN * output_tokens as f64 + 1e3 * exponential(rng, THINK_MEAN_S)) as u64;
        let has_room = turn.history_tokens + QUESTION_TOKENS_MAX <= PROMPT_TOKENS_MAX;
        if uniform(rng) < GOES_ON && has_room && turn.at_ms < (1e3 * DURATION_S) as u64 {
            turns.push(turn);
        }
    }
    Ok(())
}

/// What conversations have in common: blocks from 0 on, and behind them none that is shared.
#[derive(Debug)]
struct Shared {
    instructions: Vec<Range<u64>>,
    documents: Vec<Vec<Range<u64>>>,
    blocks: u64,
}

impl Shared {
    fn new(rng: &mut Pcg64Mcg) -> Self {
        let mut shared = Self { instructions: Vec::new(), documents: Vec::new(), blocks: 0 };
        for _ in 0..ASSISTANTS {
            let length = 1 + below(rng, 4);
            let instructions = shared.take(length);
            shared.instructions.push(instructions);
            let documents = (0..DOCUMENTS_EACH).map(|_| shared.take(2 + below(rng, 9))).collect();
            shared.documents.push(documents);
        }
        shared
    }

    fn take(&mut self, length: u64) -> Range<u64> {
        self.blocks += length;
        self.blocks - length..self.blocks
    }

    /// The beginnings of all conversations.
    fn first_turns(&self, rng: &mut Pcg64Mcg) -> BinaryHeap<Turn> {
        let mut turns = BinaryHeap::new();
        let mut now_s = 0.0;
        loop {
            let rate_per_s = SESSIONS_PER_S * (1.0 + WAVE_HEIGHT * libm::sin(TAU * now_s / WAVE_S));
            now_s += exponential(rng, 1.0 / rate_per_s);
            if now_s >= DURATION_S {
                return turns;
            }
            let assistant = popular(rng, ASSISTANTS);
            let mut blocks: Vec<u64> = self.instructions[assistant].clone().collect();
            if uniform(rng) < ABOUT_DOCUMENT {
                blocks.extend(self.documents[assistant][popular(rng, DOCUMENTS_EACH)].clone());
            }
            let history_tokens = blocks.len() as u64 * BLOCK_TOKENS;
            turns.push(Turn { at_ms: (1e3 * now_s) as u64, blocks, history_tokens });
        }
    }
}

/// One of so many, the first ones more often than the last.
fn popular(rng: &mut Pcg64Mcg, count: u64) -> usize {
    let share = uniform(rng);
    (share * share * count as f64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use evenkeel_datasets::{Format, LoadOptions, Trace, load_trace};

    use super::*;

    fn trace(seed: u64) -> Trace {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conversations.jsonl");
        let mut rows = Vec::new();
        write(seed, &mut rows).unwrap();
        std::fs::write(&path, rows).unwrap();
        load_trace(&path, Some(Format::Mooncake), &LoadOptions::default()).unwrap()
    }

    #[test]
    fn most_of_a_prompt_was_seen_before_and_fits_a_host() {
        let trace = trace(1);
        let count = trace.requests.len() as f64;
        assert!((60_000.0..120_000.0).contains(&count), "{count} requests");
        assert!(trace.requests.iter().all(|request| u64::from(request.prompt_tokens) <= PROMPT_TOKENS_MAX));
        let mean = trace.requests.iter().map(|request| f64::from(request.prompt_tokens)).sum::<f64>() / count;
        assert!((2000.0..6000.0).contains(&mean), "{mean} tokens a prompt");
        let mut seen: HashSet<u64> = HashSet::new();
        let (mut known, mut all) = (0, 0);
        for request in &trace.requests {
            let blocks = trace.prefix(request);
            known += blocks.iter().take_while(|block| seen.contains(*block)).count();
            all += blocks.len();
            seen.extend(blocks);
        }
        let share = f64::from(u32::try_from(known).unwrap()) / all as f64;
        assert!(share > 0.7, "{share} of the blocks were seen before");
    }

    #[test]
    fn equal_seeds_repeat_and_others_differ() {
        // What the trace does not say is NaN, which equals nothing.
        let sizes = |seed| -> Vec<_> {
            let trace = trace(seed);
            trace.requests.iter().map(|request| (request.arrival_s.to_bits(), request.prompt_tokens)).collect()
        };
        assert_eq!(sizes(3), sizes(3));
        assert_ne!(sizes(3)[..10], sizes(4)[..10]);
    }
}

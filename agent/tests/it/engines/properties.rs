//! Properties of all pages.

use std::fmt::Write as _;

use evenkeel_agent::engines::{Engine, Field, Rules};
use evenkeel_agent::page::Page;
use proptest::prelude::*;

use super::load;

/// Data-parallel engines: running, waiting, KV cache in use.
fn engines() -> impl Strategy<Value = Vec<(u16, u16, f32)>> {
    prop::collection::vec((0..2000_u16, 0..2000_u16, 0.0..=1.0_f32), 1..20)
}

/// SGLang's lines for such engines, each told by so many tensor-parallel ranks, with parts of
/// its total by priority.
fn lines(engines: &[(u16, u16, f32)], ranks: u32, priorities: u16) -> Vec<String> {
    let mut lines = Vec::new();
    for (engine, (running, waiting, kv_use)) in engines.iter().enumerate() {
        for rank in 0..ranks {
            let labels = format!("dp_rank=\"{engine}\",model_name=\"m\",tp_rank=\"{rank}\"");
            lines.push(format!("sglang:num_running_reqs{{{labels},priority=\"\"}} {running}"));
            lines.push(format!("sglang:num_queue_reqs{{{labels},priority=\"\"}} {waiting}.0"));
            lines.push(format!("sglang:token_usage{{{labels}}} {kv_use}"));
            for priority in 0..priorities {
                let part = running / priorities;
                lines.push(format!("sglang:num_running_reqs{{priority=\"{priority}\",{labels}}} {part}"));
            }
        }
    }
    lines
}

fn page(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |mut page, line| {
        let _ = writeln!(page, "{line}");
        page
    })
}

proptest! {
    #[test]
    fn ranks_priorities_and_the_order_of_lines_change_nothing(
        (engines, shuffled) in (engines(), 1..5_u32, 0..4_u16).prop_flat_map(|(engines, ranks, priorities)| {
            let all = lines(&engines, ranks, priorities);
            (Just(engines), Just(all).prop_shuffle())
        }),
    ) {
        let found = load(&[&page(&shuffled)]);
        let running: u32 = engines.iter().map(|(running, ..)| u32::from(*running)).sum();
        let waiting: u32 = engines.iter().map(|(_, waiting, _)| u32::from(*waiting)).sum();
        let fullest = engines.iter().map(|(.., kv_use)| *kv_use).fold(0.0, f32::max);
        prop_assert_eq!([found[0], found[1]], [running as f32, waiting as f32]);
        prop_assert!((found[2] - fullest).abs() < 1e-6);
    }

    #[test]
    fn bytes_of_any_kind_give_numbers_in_range_or_none(
        pieces in prop::collection::vec(prop_oneof![
            Just(b"vllm:num_requests_running".to_vec()), Just(b"{".to_vec()), Just(b"}".to_vec()),
            Just(b"engine=\"".to_vec()), Just(b"\"".to_vec()), Just(b" ".to_vec()), Just(b"\n".to_vec()),
            Just(b"1e7".to_vec()), Just(b"-3".to_vec()), Just(b"5".to_vec()), Just(b"\\".to_vec()),
            prop::collection::vec(any::<u8>(), 0..8),
        ], 0..200),
    ) {
        let rules = Rules::default();
        let page = Page::parse(&pieces.concat(), &rules);
        for engine in Engine::ALL {
            if let Some(value) = page.value(&rules, engine, Field::Running) {
                prop_assert!((0.0..=Field::Running.max()).contains(&value));
            }
        }
    }
}

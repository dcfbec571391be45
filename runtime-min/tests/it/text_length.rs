//! Tokens of texts, as engines count them.

use evenkeel_runtime::affinity::Keys;
use evenkeel_runtime::state::HOSTS_MAX;
use evenkeel_runtime::text_length::BYTES_PER_TOKEN_RANGE;
use evenkeel_runtime::{Facts, Upstream};
use proptest::prelude::*;

use crate::upstream::with_upstream;

const NOW_US: u64 = 5_000_000;
const HOUR_US: u64 = 3_600_000_000;

fn text(class: u64, text_bytes: u32) -> Facts {
    Facts { class, text_bytes, ..Facts::default() }
}

/// Lets an engine count so many prompts of a class, whose tokens have so many bytes.
fn count(upstream: &Upstream<'_>, class: u64, bytes_per_token: f32, prompts: u32) {
    for prompt in 0..prompts {
        let facts = text(class, 1000 + 300 * prompt);
        upstream.counted(&facts, (facts.text_bytes as f32 / bytes_per_token) as u32, NOW_US);
    }
}

proptest! {
    #[test]
    fn what_engines_count_is_believed_after_some_prompts(truth in 0.5_f32..16.0, class in 0_u64..100) {
        with_upstream(1, |upstream| {
            count(upstream, class, truth, 40);
            let learned = upstream.bytes_per_token(class, NOW_US);
            prop_assert!((learned / truth - 1.0).abs() < 0.05, "{learned} for {truth}");
            let tokens = upstream.prompt_tokens(&text(class, 100_000), NOW_US);
            prop_assert!((tokens as f32 * truth / 1e5 - 1.0).abs() < 0.05, "{tokens}");
            Ok(())
        })?;
    }

    #[test]
    fn no_claim_takes_it_out_of_its_bounds(
        claims in prop::collection::vec((any::<u64>(), any::<u32>(), any::<u32>(), any::<u64>()), 1..200),
    ) {
        with_upstream(1, |upstream| {
            let (least, most) = BYTES_PER_TOKEN_RANGE;
            for (class, text_bytes, tokens, now_us) in claims {
                upstream.counted(&text(class, text_bytes), tokens, now_us);
                for class in [class, 0, 1] {
                    let learned = upstream.bytes_per_token(class, now_us);
                    prop_assert!((0.999 * least..=1.001 * most).contains(&learned), "{learned}");
                }
            }
            Ok(())
        })?;
    }
}

#[test]
fn classes_have_numbers_of_their_own_and_others_have_the_upstreams() {
    with_upstream(1, |upstream| {
        assert!((upstream.bytes_per_token(1, NOW_US) - 4.0).abs() < 1e-3);
        for _ in 0..40 {
            count(upstream, 1, 2.0, 1);
            count(upstream, 2, 8.0, 1);
        }
        let [chinese, code, unknown] = [1, 2, 3].map(|class| upstream.bytes_per_token(class, NOW_US));
        assert!((1.9..2.1).contains(&chinese) && (7.6..8.4).contains(&code), "{chinese} and {code}");
        assert!((2.5..6.4).contains(&unknown), "{unknown}");
    });
}

#[test]
fn what_was_learned_loses_its_weight() {
    with_upstream(1, |upstream| {
        count(upstream, 1, 1.0, 60);
        for class in [0, 1] {
            let after = |hours: u64| upstream.bytes_per_token(class, NOW_US + hours * HOUR_US);
            assert!(after(0) < 1.05, "{}", after(0));
            assert!((3.8..=4.01).contains(&after(2)), "{}", after(2));
        }
    });
}

#[test]
fn prompts_with_other_things_than_text_and_short_ones_teach_nothing() {
    with_upstream(1, |upstream| {
        for _ in 0..100 {
            upstream.counted(&Facts { prompt_tokens: 1300, ..text(1, 4000) }, 4000, NOW_US);
            upstream.counted(&text(1, 20), 40, NOW_US);
            upstream.counted(&text(1, 4000), 0, NOW_US);
        }
        assert!((upstream.bytes_per_token(1, NOW_US) - 4.0).abs() < 1e-3);
        let image = Facts { prompt_tokens: 1300, ..text(1, 4000) };
        assert_eq!(upstream.prompt_tokens(&image, NOW_US), 2300);
        assert_eq!(upstream.prompt_tokens(&text(1, 1), NOW_US), 1, "there is something");
    });
}

#[test]
fn prefixes_of_a_text_are_as_long_as_its_tokens() {
    with_upstream(2, |upstream| {
        count(upstream, 1, 2.0, 60);
        let facts = |own: u64| Facts { keys: Keys { prefixes: [7, own, 0, 0, 0], session: 0 }, ..text(1, 2000) };
        upstream.begin(None, None, &facts(10), 1, NOW_US).expect("a host");
        let cached = |own| upstream.resolve(None, &facts(own), NOW_US, &mut [0; HOSTS_MAX]).cached_tokens.to_vec();
        // The first 256 bytes are shared.
        let [none, shared] = cached(11)[..] else { panic!("two hosts") };
        assert!(none == 0 && (125..132).contains(&shared), "{none} and {shared}");
        let whole = cached(10)[1];
        assert!((960..1030).contains(&whole), "{whole}");
    });
}

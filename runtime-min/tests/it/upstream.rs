//! The balancer as an object: from what is known of a request to what is learned of it.

use evenkeel_runtime::affinity::{PrefixKeys, Set};
use evenkeel_runtime::state::{HOST_WORDS, HOSTS_MAX};
use evenkeel_runtime::upstream::{Choice, Clock, Header, Memory};
use evenkeel_runtime::{Attempt, Eligible, Facts, HostSlot, Outcome, Reason, Status, Ticket, Upstream};

const SECOND_US: u64 = 1_000_000;
const NOW_US: u64 = 5 * SECOND_US;

/// An upstream of so many hosts in memory of one process.
pub(crate) fn with_upstream<R>(hosts: usize, test: impl FnOnce(&Upstream<'_>) -> R) -> R {
    let header = Header::new(3);
    let slots: Vec<HostSlot> = (0..hosts).map(|_| HostSlot::default()).collect();
    let [affinity, classes] = [64, 4].map(|sets| (0..sets).map(|_| Set::default()).collect::<Vec<_>>());
    let memory = Memory { header: &header, slots: &slots, affinity: &affinity, classes: &classes, ledger: None };
    let upstream = Upstream::new(&memory);
    for key in 1..=hosts as u64 {
        upstream.state().register(key, 1.0, SECOND_US).expect("room");
    }
    test(&upstream)
}

fn choose(upstream: &Upstream<'_>, facts: &Facts, attempt: &Attempt<'_>, now_us: u64) -> Choice {
    upstream.choose(None, facts, attempt, now_us, &mut [])
}

fn begin(upstream: &Upstream<'_>, facts: &Facts, host: u32, cached_tokens: u32, now_us: u64) -> Ticket {
    upstream.begin(None, None, facts, host, cached_tokens, now_us).expect("a host")
}

fn end(upstream: &Upstream<'_>, ticket: &Ticket, facts: &Facts, status: Status, told: Option<u32>, now_us: u64) {
    let outcome = Outcome { status, output_tokens: 300, cached_tokens: told };
    upstream.finish(None, ticket, facts, &outcome, now_us).expect("under way");
}

/// Tokens of a prompt that each host is guessed to have cached.
fn cached(upstream: &Upstream<'_>, facts: &Facts, now_us: u64) -> Vec<u32> {
    upstream.resolve(facts, now_us, &mut [0; HOSTS_MAX]).cached_tokens.to_vec()
}

/// A prompt of 3000 tokens with three prefixes, the first of which everybody has.
fn prompt(own: u64) -> Facts {
    let mut prefix_keys = PrefixKeys::default();
    prefix_keys[..3].copy_from_slice(&[1, own * 10, own * 10 + 1]);
    Facts { prompt_tokens: 3000, prefix_keys, ..Facts::default() }
}

#[test]
fn a_class_is_learned_from_success_and_bounded_by_the_request() {
    with_upstream(2, |upstream| {
        let facts = Facts { prompt_tokens: 10, class: 7, ..Facts::default() };
        let expected = |facts: &Facts| {
            let request = upstream.resolve(facts, NOW_US, &mut [0; HOSTS_MAX]);
            (request.output_tokens, request.output_tokens_max)
        };
        for status in [Status::Failure, Status::Timeout, Status::ClientAbort, Status::NoWork, Status::Success] {
            assert_eq!(expected(&facts), (0, 0), "before {status:?}");
            for _ in 0..8 {
                end(upstream, &begin(upstream, &facts, 0, 0, NOW_US), &facts, status, None, NOW_US);
            }
        }
        assert_eq!(expected(&facts), (300, 0));
        assert_eq!(expected(&Facts { output_tokens_max: 100, ..facts }), (100, 100));
        assert_eq!(expected(&Facts { output_tokens_max: 1000, ..facts }), (300, 1000));
        let unknown = Facts { class: 8, output_tokens_max: 100, ..facts };
        assert_eq!(expected(&unknown), (0, 100), "a limit says nothing of answers that end before");
    });
}

#[test]
fn a_prefix_is_noted_at_once_and_taken_back_where_it_was_not_computed() {
    for (status, left) in [
        (Status::Success, [0, 2999]),
        (Status::Timeout, [0, 2999]),
        (Status::ClientAbort, [0, 2999]),
        (Status::Failure, [0, 0]),
        (Status::NoWork, [0, 0]),
    ] {
        with_upstream(2, |upstream| {
            let ticket = begin(upstream, &prompt(5), 1, 0, NOW_US);
            // The last token is always computed.
            assert_eq!(cached(upstream, &prompt(5), NOW_US), [0, 2999], "while it is under way");
            assert_eq!(cached(upstream, &prompt(6), NOW_US), [0, 64], "no more than what everybody has");
            end(upstream, &ticket, &prompt(5), status, None, NOW_US + SECOND_US);
            assert_eq!(cached(upstream, &prompt(5), NOW_US + SECOND_US), left, "{status:?}");
        });
    }
}

#[test]
fn an_answer_is_part_of_what_is_cached() {
    with_upstream(2, |upstream| {
        let facts = Facts { session: 9, ..prompt(5) };
        end(upstream, &begin(upstream, &facts, 1, 0, NOW_US), &facts, Status::Success, None, NOW_US + 1);
        let next = Facts { prompt_tokens: 4000, ..facts };
        assert_eq!(cached(upstream, &next, NOW_US + 2), [0, 3300]);
        assert_eq!(cached(upstream, &Facts { prefix_keys: PrefixKeys::default(), ..next }, NOW_US + 2), [0, 3300]);
        // Of a prompt whose length nobody knows, nobody knows how much is cached.
        assert_eq!(cached(upstream, &Facts { prompt_tokens: 0, ..next }, NOW_US + 2), [0, 0]);
        assert!(cached(upstream, &Facts { prompt_tokens: 4000, ..Facts::default() }, NOW_US + 2).is_empty());
    });
}

#[test]
fn what_engines_have_cached_is_believed_and_fades() {
    with_upstream(1, |upstream| {
        let guess = |now_us| cached(upstream, &prompt(5), now_us)[0];
        let tell = |share: f32, now_us| {
            let guessed = guess(now_us);
            let ticket = begin(upstream, &prompt(5), 0, guessed, now_us);
            end(upstream, &ticket, &prompt(5), Status::Success, Some((2999.0 * share) as u32), now_us);
        };
        begin(upstream, &prompt(5), 0, 0, NOW_US);
        assert_eq!(guess(NOW_US), 2999);
        // Of what is guessed, a quarter is there: not less, though the guess is lowered by then.
        (0..200).for_each(|_| tell(0.25, NOW_US));
        let lowered = guess(NOW_US);
        assert!((730..770).contains(&lowered), "{lowered}");
        // Half of the doubt is left after five minutes. What is heard then counts from there.
        let later_us = NOW_US + 300 * SECOND_US;
        let healed = guess(later_us);
        assert!((1850..1900).contains(&healed), "{healed}");
        tell(1.0, later_us);
        assert!((healed..2000).contains(&guess(later_us)), "{}", guess(later_us));
        // More than what was guessed is no more than all of it; all of it is believed again.
        (0..200).for_each(|_| tell(1000.0, later_us));
        assert!(guess(later_us) > 2900, "{}", guess(later_us));
        (0..1000).for_each(|_| tell(0.0, later_us));
        // Too little to be held against anybody; time heals it.
        assert!(guess(later_us) < 64, "{}", guess(later_us));
    });
}

#[test]
fn a_host_that_came_back_or_replaced_another_has_nothing_cached() {
    with_upstream(3, |upstream| {
        for host in 0..3 {
            let ticket = begin(upstream, &prompt(5), host, 0, NOW_US);
            end(upstream, &ticket, &prompt(5), Status::Success, None, NOW_US);
        }
        assert_eq!(cached(upstream, &prompt(5), NOW_US + 1), [2999; 3]);
        assert!(upstream.restarted(1, NOW_US + 1));
        assert_eq!(cached(upstream, &prompt(5), NOW_US + 1), [2999, 0, 2999]);
        assert!(upstream.state().remove(3));
        assert_eq!(cached(upstream, &prompt(5), NOW_US + 1), [2999, 0, 0]);
        assert_eq!(upstream.state().register(33, 1.0, NOW_US + 2), Ok(2));
        assert_eq!(cached(upstream, &prompt(5), NOW_US + 2), [2999, 0, 0]);
        // One that is only registered again, as after a reload, keeps what it has.
        assert_eq!(upstream.state().register(1, 2.0, NOW_US + 3), Ok(0));
        begin(upstream, &prompt(5), 1, 0, NOW_US + 3);
        assert_eq!(cached(upstream, &prompt(5), NOW_US + 3), [2999, 2999, 0]);
    });
}

#[test]
fn a_choice_says_what_is_cached_there() {
    with_upstream(2, |upstream| {
        begin(upstream, &prompt(5), 0, 0, NOW_US);
        let only = |mask: &[u64]| choose(upstream, &prompt(5), &Attempt::first(Eligible::Mask(mask)), NOW_US);
        for (mask, host, tokens) in [(0b01, 0, 2999), (0b10, 1, 0)] {
            let choice = only(&[mask]);
            assert_eq!((choice.host, choice.reason, choice.cached_tokens), (Some(host), Reason::OnlyHost, tokens));
            assert!(choice.score.is_nan());
        }
    });
}

#[test]
fn hosts_that_were_tried_are_left_out() {
    with_upstream(70, |upstream| {
        let eligible = [0b111, 1];
        let mut tried = [0u64; 2];
        for left in (0..4).rev() {
            let attempt = Attempt { eligible: Eligible::Mask(&eligible), tried: &tried };
            let choice = choose(upstream, &Facts::default(), &attempt, NOW_US);
            let host = choice.host.expect("one is left") as usize;
            assert!(eligible[host / 64] >> (host % 64) & 1 == 1 && tried[host / 64] >> (host % 64) & 1 == 0);
            assert_eq!(choice.reason == Reason::OnlyHost, left == 0);
            tried[host / 64] |= 1 << (host % 64);
        }
        let attempt = Attempt { eligible: Eligible::Mask(&eligible), tried: &tried };
        let choice = choose(upstream, &Facts::default(), &attempt, NOW_US);
        assert_eq!((choice.host, choice.reason), (None, Reason::NoHost), "all were tried");
        // Words that are missing say that nobody was.
        let attempt = Attempt { eligible: Eligible::All, tried: &[u64::MAX] };
        let host = choose(upstream, &Facts::default(), &attempt, NOW_US).host;
        assert!(host.is_some_and(|host| host >= 64));
        let counted = upstream.counters().decisions;
        assert_eq!((counted[Reason::NoHost as usize], counted[Reason::OnlyHost as usize]), (1, 1));
    });
}

/// Chooses so many times among idle hosts; returns how many times it was each of them.
fn shares(upstream: &Upstream<'_>, eligible: Eligible<'_>, choices: usize, now_us: u64) -> Vec<usize> {
    let mut chosen = vec![0; upstream.state().host_end()];
    for _ in 0..choices {
        let choice = choose(upstream, &Facts::default(), &Attempt::first(eligible), now_us);
        chosen[choice.host.expect("one is always left") as usize] += 1;
    }
    chosen
}

fn tick(upstream: &Upstream<'_>, slow_start_s: u64, now_us: u64) {
    let clock = Clock { now_us, epoch_s: 0.0, slow_start_us: slow_start_s * SECOND_US };
    upstream.tick(&clock, None, &mut evenkeel_runtime::forecast::History::new(&mut []), &mut []);
}

/// Whether a count is within five standard deviations of what independent choices give.
fn is_near(count: usize, choices: usize, probability: f64) -> bool {
    let mean = choices as f64 * probability;
    (count as f64 - mean).abs() < 5.0 * (mean * (1.0 - probability)).sqrt()
}

#[test]
fn a_host_that_starts_slowly_gets_its_share_of_ten_thousand_choices() {
    const CHOICES: usize = 10_000;
    with_upstream(4, |upstream| {
        tick(upstream, 100, NOW_US);
        upstream.restarted(2, NOW_US);
        for (elapsed_s, share) in [(0, 0.1), (5, 0.1), (20, 0.2), (50, 0.5), (90, 0.9), (100, 1.0)] {
            let now_us = NOW_US + elapsed_s * SECOND_US;
            tick(upstream, 100, now_us);
            let chosen = shares(upstream, Eligible::All, CHOICES, now_us);
            // It is in the draw by chance, and one of four then.
            assert!(is_near(chosen[2], CHOICES, share / 4.0), "{elapsed_s} s: {chosen:?}");
            let others = (1.0 - share / 4.0) / 3.0;
            assert!([0, 1, 3].iter().all(|host| is_near(chosen[*host], CHOICES, others)), "{elapsed_s} s: {chosen:?}");
        }
    });
}

#[test]
fn a_slow_start_never_leaves_nobody() {
    with_upstream(4, |upstream| {
        tick(upstream, 100, NOW_US);
        (0..4).for_each(|host| assert!(upstream.restarted(host, NOW_US)));
        // All have just come up: each gets its quarter.
        let chosen = shares(upstream, Eligible::All, 10_000, NOW_US);
        assert!(chosen.iter().all(|count| is_near(*count, 10_000, 0.25)), "{chosen:?}");
        // Where it is the only one that is left, it gets everything.
        assert_eq!(shares(upstream, Eligible::Mask(&[0b100]), 100, NOW_US)[2], 100);
        // Compared with the one that is furthest, not with one that is warm.
        upstream.restarted(1, NOW_US + 50 * SECOND_US);
        tick(upstream, 100, NOW_US + 50 * SECOND_US);
        let chosen = shares(upstream, Eligible::Mask(&[0b11]), 10_000, NOW_US + 50 * SECOND_US);
        assert!(is_near(chosen[1], 10_000, 0.2 / 2.0), "{chosen:?}");
        // A retry of it goes elsewhere, and one of all others goes to it.
        let tried = [0b1101];
        for _ in 0..1000 {
            let attempt = Attempt { eligible: Eligible::All, tried: &tried };
            assert_eq!(choose(upstream, &Facts::default(), &attempt, NOW_US).host, Some(1));
        }
        tick(upstream, 0, NOW_US + 50 * SECOND_US);
        let mut words = [0; HOST_WORDS];
        assert!(matches!(upstream.admit(&Attempt::first(Eligible::All), &mut words), Eligible::All), "it has ended");
    });
}

#[test]
fn explaining_changes_nothing() {
    with_upstream(3, |upstream| {
        tick(upstream, 100, NOW_US);
        upstream.restarted(2, NOW_US);
        begin(upstream, &prompt(5), 0, 0, NOW_US);
        let before = (upstream.counters(), upstream.state().decisions(Reason::NoPolicy));
        let mut hosts = 0;
        let found = upstream.explain(None, &prompt(5), Eligible::All, NOW_US, &mut [], |_| hosts += 1);
        assert_eq!((found.reason, found.best, hosts), (Reason::NoPolicy, None, 3));
        assert_eq!((upstream.counters(), upstream.state().decisions(Reason::NoPolicy)), before);
    });
}

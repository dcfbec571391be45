//! The balancer as an object: from what is known of a request to what is learned of it.

use evenkeel_runtime::affinity::{Keys, Set};
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

fn begin(upstream: &Upstream<'_>, facts: &Facts, host: u32, now_us: u64) -> Ticket {
    upstream.begin(None, None, facts, host, now_us).expect("a host")
}

fn end(upstream: &Upstream<'_>, ticket: &Ticket, facts: &Facts, status: Status, told: Option<u32>, now_us: u64) {
    let outcome = Outcome { status, output_tokens: 300, cached_tokens: told };
    upstream.finish(None, ticket, facts, &outcome, now_us).expect("under way");
}

/// Tokens of a prompt that each host is guessed to have cached.
fn cached(upstream: &Upstream<'_>, facts: &Facts, now_us: u64) -> Vec<u32> {
    upstream.resolve(None, facts, now_us, &mut [0; HOSTS_MAX]).cached_tokens.to_vec()
}

/// A prompt of 3000 tokens with three prefixes, the first of which everybody has.
fn prompt(own: u64) -> Facts {
    let prefixes = [1, own * 10, own * 10 + 1, 0, 0];
    Facts { prompt_tokens: 3000, keys: Keys { prefixes, session: 0 }, ..Facts::default() }
}

#[test]
fn a_class_is_learned_from_success_and_bounded_by_the_request() {
    with_upstream(2, |upstream| {
        let facts = Facts { prompt_tokens: 10, class: 7, ..Facts::default() };
        let expected = |facts: &Facts| {
            let mut nowhere = [0; HOSTS_MAX];
            let request = upstream.resolve(None, facts, NOW_US, &mut nowhere);
            (request.output_tokens, request.output_tokens_max)
        };
        for status in [Status::Failure, Status::Timeout, Status::ClientAbort, Status::NoWork, Status::Success] {
            assert_eq!(expected(&facts), (0, 0), "before {status:?}");
            for _ in 0..8 {
                end(upstream, &begin(upstream, &facts, 0, NOW_US), &facts, status, None, NOW_US);
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
            let ticket = begin(upstream, &prompt(5), 1, NOW_US);
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
        let facts = Facts { keys: Keys { session: 9, ..prompt(5).keys }, ..prompt(5) };
        end(upstream, &begin(upstream, &facts, 1, NOW_US), &facts, Status::Success, None, NOW_US + 1);
        let next = Facts { prompt_tokens: 4000, ..facts };
        assert_eq!(cached(upstream, &next, NOW_US + 2), [0, 3300]);
        assert_eq!(
            cached(upstream, &Facts { keys: Keys { session: 9, ..Keys::default() }, ..next }, NOW_US + 2),
            [0, 3300]
        );
        assert!(cached(upstream, &Facts { prompt_tokens: 4000, ..Facts::default() }, NOW_US + 2).is_empty());
    });
}

#[test]
fn what_engines_say_of_their_caches_lowers_the_guess_and_fades() {
    with_upstream(1, |upstream| {
        let mut now_us = NOW_US;
        // Prompts of 3000 tokens come by in turn, five of them, and each is answered with 300: what
        // was sent of one is 13,200 new tokens old when it comes again. The engine has room for
        // 10,000, and so nothing of it by then.
        let mut turn = |told: u32| {
            for own in 1..=5 {
                now_us += SECOND_US / 10;
                let guess = cached(upstream, &prompt(own), now_us)[0];
                let ticket = begin(upstream, &prompt(own), 0, now_us);
                end(upstream, &ticket, &prompt(own), Status::Success, Some(told), now_us);
                if own == 5 {
                    return (guess, now_us);
                }
            }
            unreachable!("there is a fifth")
        };
        turn(64);
        assert_eq!(turn(64).0, 2999, "at first, a cache is taken to have room for a million tokens");
        let (lowered, told_us) = (0..300).map(|_| turn(64)).last().expect("300 turns");
        assert!(lowered < 1000, "{lowered}");
        // Time heals it, if only by half every ten minutes; what was sent is forgotten by then.
        let later_us = told_us + 1800 * SECOND_US;
        let ticket = begin(upstream, &prompt(6), 0, later_us);
        end(upstream, &ticket, &prompt(6), Status::Success, None, later_us);
        for own in 7..=10 {
            let ticket = begin(upstream, &prompt(own), 0, later_us + 1);
            end(upstream, &ticket, &prompt(own), Status::Success, None, later_us + 1);
        }
        assert_eq!(cached(upstream, &prompt(6), later_us + 2), [2999]);
    });
}

#[test]
fn what_was_cached_is_believed_whatever_engines_say_of_it() {
    with_upstream(1, |upstream| {
        for (round, told) in [0, 1, 2999, 3000, u32::MAX, 5, u32::MAX, 0].into_iter().cycle().take(200).enumerate() {
            let now_us = NOW_US + round as u64;
            let facts = Facts { prompt_tokens: if round % 7 == 0 { 0 } else { 3000 }, ..prompt(5) };
            let ticket = begin(upstream, &facts, 0, now_us);
            end(upstream, &ticket, &facts, Status::Success, Some(told), now_us);
            assert!(cached(upstream, &prompt(5), now_us)[0] <= 2999);
        }
        // Words of more than there is do not make what was just sent look old.
        let told = |told| {
            let (first, second) = (begin(upstream, &prompt(5), 0, NOW_US), begin(upstream, &prompt(6), 0, NOW_US));
            end(upstream, &first, &prompt(5), Status::Success, Some(told), NOW_US);
            let guess = cached(upstream, &prompt(6), NOW_US)[0];
            end(upstream, &second, &prompt(6), Status::Success, None, NOW_US);
            guess
        };
        (0..100).for_each(|_| assert!(told(3000) >= 64));
        assert_eq!(told(3000), 2999);
    });
}

#[test]
fn a_host_that_came_back_or_replaced_another_has_nothing_cached() {
    with_upstream(3, |upstream| {
        for host in 0..3 {
            let ticket = begin(upstream, &prompt(5), host, NOW_US);
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
        begin(upstream, &prompt(5), 1, NOW_US + 3);
        assert_eq!(cached(upstream, &prompt(5), NOW_US + 3), [2999, 2999, 0]);
    });
}

#[test]
fn a_choice_says_what_is_cached_there() {
    with_upstream(2, |upstream| {
        begin(upstream, &prompt(5), 0, NOW_US);
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
        let host = choice.host.expect("one is always left");
        let ticket = begin(upstream, &Facts::default(), host, now_us);
        end(upstream, &ticket, &Facts::default(), Status::Success, None, now_us);
        chosen[host as usize] += 1;
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
            // It counts for so much of a host.
            let own = share / (3.0 + share);
            assert!(is_near(chosen[2], CHOICES, own), "{elapsed_s} s: {chosen:?}");
            let others = (1.0 - own) / 3.0;
            assert!([0, 1, 3].iter().all(|host| is_near(chosen[*host], CHOICES, others)), "{elapsed_s} s: {chosen:?}");
        }
    });
}

/// A host that comes up empty would win every choice among busy ones.
#[test]
fn a_slow_start_holds_however_many_others_are_busy() {
    const HOSTS: usize = 100;
    with_upstream(HOSTS, |upstream| {
        let file = evenkeel_dev::builder::estimate_artifact(1.0);
        let model = evenkeel_runtime::Model::parse(&file).expect("valid");
        let mut scratch = vec![0.0; model.policy().map_or(0, |policy| policy.scratch_len(HOSTS))];
        let facts = Facts { prompt_tokens: 500, ..Facts::default() };
        for host in 1..HOSTS as u32 {
            for _ in 0..20 {
                begin(upstream, &facts, host, NOW_US);
            }
        }
        tick(upstream, 100, NOW_US);
        upstream.restarted(0, NOW_US);
        let mut sent = |choices: usize, now_us| {
            let (before, all) =
                (upstream.state().host(0).map_or(0, HostSlot::sent_total), Attempt::first(Eligible::All));
            for _ in 0..choices {
                let host = upstream.choose(Some(&model), &facts, &all, now_us, &mut scratch).host.expect("many");
                begin(upstream, &facts, host, now_us);
            }
            upstream.state().host(0).map_or(0, HostSlot::sent_total) - before
        };
        // A tenth of the hundredth that is its own, half of it after half of the time.
        let first = sent(10_000, NOW_US);
        assert!((8..=14).contains(&first), "{first}");
        tick(upstream, 100, NOW_US + 50 * SECOND_US);
        let later = sent(10_000, NOW_US + 50 * SECOND_US);
        assert!((45..=56).contains(&later), "{later}");
    });
}

#[test]
fn hosts_that_come_up_together_are_not_spared() {
    with_upstream(4, |upstream| {
        tick(upstream, 30, NOW_US);
        // As health checks find them when a proxy starts.
        (0..4).for_each(|host| assert!(upstream.restarted(host, NOW_US + u64::from(host) * 50_000)));
        for after_s in [1, 5, 20] {
            let now_us = NOW_US + after_s * SECOND_US;
            tick(upstream, 30, now_us);
            for _ in 0..100 {
                begin(upstream, &Facts::default(), 2, now_us);
                let mut words = [0; HOST_WORDS];
                let admitted = upstream.admit(&Attempt::first(Eligible::All), &mut words);
                assert!((0..4).all(|host| admitted.contains(host)), "after {after_s} s: {admitted:?}");
            }
        }
        upstream.restarted(3, NOW_US + 21 * SECOND_US);
        let chosen = shares(upstream, Eligible::All, 10_000, NOW_US + 21 * SECOND_US);
        assert!(is_near(chosen[3], 10_000, 0.1 / (0.1 + 3.0 * 20.0 / 30.0)), "{chosen:?}");
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
        // That is not held against it once the others are back.
        let chosen = shares(upstream, Eligible::All, 10_000, NOW_US);
        assert!(chosen.iter().all(|count| is_near(*count, 10_000, 0.25)), "{chosen:?}");
        // Each by what it has behind it: three are half way when one comes up again.
        tick(upstream, 100, NOW_US + 50 * SECOND_US);
        upstream.restarted(1, NOW_US + 50 * SECOND_US);
        let chosen = shares(upstream, Eligible::All, 10_000, NOW_US + 50 * SECOND_US);
        assert!(is_near(chosen[1], 10_000, 0.1 / 1.6), "{chosen:?}");
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
        begin(upstream, &prompt(5), 0, NOW_US);
        let before = (upstream.counters(), upstream.state().decisions(Reason::NoPolicy));
        let mut hosts = 0;
        let found = upstream.explain(None, &prompt(5), Eligible::All, NOW_US, &mut [], |_| hosts += 1);
        assert_eq!((found.reason, found.best, hosts), (Reason::NoPolicy, None, 3));
        assert_eq!((upstream.counters(), upstream.state().decisions(Reason::NoPolicy)), before);
    });
}

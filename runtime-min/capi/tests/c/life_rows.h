/*
 * Rows of modules/testing/cases.json about what hosts do, and what it costs them.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef LIFE_ROWS_H
#define LIFE_ROWS_H

#include "figure.h"
#include "fleet.h"

static const double GOOD_S = 0.2;

static answer good(const fleet *fleet, uint32_t host)
{
    (void)fleet, (void)host;
    return success(GOOD_S);
}

static answer slow_1_5(const fleet *fleet, uint32_t host)
{
    (void)fleet;
    return success(host == 0 ? 1.5 * GOOD_S : GOOD_S);
}

static answer slow_20(const fleet *fleet, uint32_t host)
{
    (void)fleet;
    return success(host == 0 ? 20.0 * GOOD_S : GOOD_S);
}

static answer refuses(const fleet *fleet, uint32_t host)
{
    answer quick = {4000, EK_STATUS_NO_WORK};
    return host == 0 ? quick : good(fleet, host);
}

static answer breaks_off(const fleet *fleet, uint32_t host)
{
    answer broken = {4000, EK_STATUS_FAILURE};
    return host == 0 ? broken : good(fleet, host);
}

/* A fleet whose hosts have all been measured. */
static fleet *measured(const ek_model *model, uint32_t hosts, double rate_per_s)
{
    fleet *fleet = new_fleet(model, hosts);
    run(fleet, 60.0, rate_per_s, good);
    return fleet;
}

static void row_1_slow_spells(const ek_model *model)
{
    const struct { double rate_per_s, within_s; behaviour slow; } spells[] = {
        {10.0, 120.0, slow_1_5}, {10.0, 120.0, slow_20}, {2.0, 300.0, slow_1_5}, {2.0, 300.0, slow_20},
    };
    for (size_t i = 0; i < sizeof(spells) / sizeof(spells[0]); i++) {
        fleet *fleet = measured(model, 4, spells[i].rate_per_s);
        run(fleet, 30.0, spells[i].rate_per_s, spells[i].slow);
        run(fleet, 30.0, spells[i].rate_per_s, good);
        figure("1", "requests within 30 s of a slow spell", (double)fleet->sent[0], 1.0, INFINITY);
        run(fleet, spells[i].within_s - 30.0, spells[i].rate_per_s, good);
        run(fleet, 60.0, spells[i].rate_per_s, good);
        figure("1", "fair shares after it", fair_shares(fleet, 0), 0.8, INFINITY);
    }
}

/* Bursts of 30 on three hosts that batch: each request there slows down the others. */
static double burst(fleet *fleet, const double speeds[3], int is_balanced)
{
    static exchange sent[30];
    uint32_t at[3] = {0, 0, 0};
    uint64_t begun_us = fleet->now_us;
    double sum_s = 0.0;
    for (int i = 0; i < 30; i++) {
        uint32_t host = is_balanced ? choose(fleet, NULL).host : (uint32_t)i % 3;
        sent[i].facts = facts_of(fleet);
        must(ek_upstream_begin(fleet->upstream, EK_NO_PROCESS, fleet->model, &sent[i].facts, host, begun_us,
                               &sent[i].ticket),
             "ek_upstream_begin");
        sent[i].answer.status = EK_STATUS_SUCCESS;
        at[host]++;
    }
    for (int i = 0; i < 30; i++) {
        uint32_t host = sent[i].ticket.host;
        double latency_s = 0.02 * OUTPUT_TOKENS * (1.0 + 0.03 * at[host]) / speeds[host];
        sent[i].end_us = begun_us + (uint64_t)(latency_s * 1e6) + (uint64_t)i;
        sum_s += latency_s;
        end(fleet, &sent[i]);
    }
    pass(fleet, begun_us + 5 * SECOND_US);
    return sum_s / 30.0;
}

static void row_1b_the_first_minutes(const ek_model *model)
{
    const double speeds[] = {1.0, 1.6, 2.5};
    const uint32_t prompts[] = {10, 60, 200};
    for (size_t i = 0; i < 3; i++) {
        fleet *balanced = new_fleet(model, 3), *in_turn = new_fleet(model, 3);
        balanced->prompt_tokens = in_turn->prompt_tokens = prompts[i];
        double mean_s = 0.0, in_turn_s = 0.0;
        for (int nth = 0; nth < 4; nth++) {
            double ours_s = burst(balanced, speeds, 1), theirs_s = burst(in_turn, speeds, 0);
            if (nth == 0) {
                figure("1b", "mean of the first burst over least_conn's", ours_s / theirs_s, 0.0, 1.02);
            }
            mean_s += ours_s, in_turn_s += theirs_s;
        }
        figure("1b", "mean of four bursts over least_conn's", mean_s / in_turn_s, 0.0, 1.0);
    }
}

static void row_2_answers_without_work(const ek_model *model)
{
    for (double rate_per_s = 2.0; rate_per_s < 100.0; rate_per_s *= 4.0) {
        fleet *fleet = measured(model, 4, rate_per_s);
        run(fleet, 120.0, rate_per_s, refuses);
        figure("2", "fair shares of a host that answers 404", fair_shares(fleet, 0), 0.5, 1.1);
    }
    fleet *fresh = new_fleet(model, 4);
    run(fresh, 60.0, 10.0, refuses);
    ek_stats stats = stats_of(fresh, 0);
    figure("2", "what is known of it", (double)stats.knowledge, 0.0, 0.0);
    figure("2", "samples of its step", isnan(stats.local_step_s) ? 0.0 : 1.0, 0.0, 0.0);
}

static void row_3_broken_streams(const ek_model *model)
{
    fleet *fleet = measured(model, 4, 10.0);
    run(fleet, 60.0, 10.0, breaks_off);
    figure("3", "share of the requests to a host that breaks every stream", fair_shares(fleet, 0) / 4.0, 0.0, 0.1);
}

static void row_6_claims_of_clients(const ek_model *model)
{
    fleet *held[2];
    for (int claims = 0; claims < 2; claims++) {
        held[claims] = measured(model, 4, 20.0);
        held[claims]->prompt_tokens = claims ? INT32_MAX : 500;
        send_to(held[claims], 0, success(3600.0));
        send_to(held[claims], 1, success(3600.0));
        held[claims]->prompt_tokens = 500;
        run(held[claims], 60.0, 20.0, good);
    }
    for (uint32_t host = 0; host < 4; host++) {
        double moved = (fair_shares(held[1], host) - fair_shares(held[0], host)) / 4.0;
        figure("6", "share of all requests that two claims move", fabs(moved), 0.0, 0.1);
    }
}

static void row_7_reports_that_cannot_be_true(const ek_model *model)
{
    const double claims_s[] = {0.0, 1e-6, 1e-3};
    for (int is_fresh = 0; is_fresh < 2; is_fresh++) {
        for (size_t i = 0; i < sizeof(claims_s) / sizeof(claims_s[0]); i++) {
            fleet *fleet = is_fresh ? new_fleet(model, 4) : measured(model, 4, 20.0);
            fleet->claim_s = claims_s[i];
            fleet->true_step_s = 0.8 * GOOD_S / OUTPUT_TOKENS;
            run(fleet, 90.0, 20.0, good);
            figure("7", "fair shares of a host that claims a step of next to nothing", fair_shares(fleet, 0), 0.0, 1.5);
        }
    }
}

static void row_10_one_long_exchange(const ek_model *model)
{
    const answer odd[] = {{8 * 1000000, EK_STATUS_NO_WORK}, {3600ull * 1000000, EK_STATUS_SUCCESS}};
    for (size_t i = 0; i < 2; i++) {
        fleet *fleet = measured(model, 4, 10.0);
        send_to(fleet, 0, odd[i]);
        run(fleet, (double)odd[i].after_us * 1e-6, 10.0, good);
        run(fleet, 36.0, 10.0, good);
        figure("10", "requests within 36 s of it", (double)fleet->sent[0], 1.0, INFINITY);
        run(fleet, 84.0, 10.0, good);
        figure("10", "fair shares after it", fair_shares(fleet, 0), 0.8, INFINITY);
    }
}

static void row_11_reports_from_the_future(const ek_model *model)
{
    fleet *fleet = measured(model, 4, 10.0);
    uint64_t ahead_us = fleet->now_us + 3600 * SECOND_US;
    ek_telemetry full = {sizeof(full), 50.0f, 50.0f, NAN, NAN, NAN};
    ek_code early = ek_host_report(fleet->upstream, 0, &full, ahead_us, fleet->now_us);
    figure("11", "a report from the future is refused", early == EK_CODE_REPORT_STALE, 1.0, 1.0);
    /* One that was stored before the clock was set back. */
    must(ek_host_report(fleet->upstream, 0, &full, ahead_us, ahead_us), "ek_host_report");
    run(fleet, 2.0, 10.0, good);
    ek_telemetry idle = {sizeof(idle), 0.0f, 0.0f, NAN, NAN, NAN};
    ek_code late = ek_host_report(fleet->upstream, 0, &idle, fleet->now_us, fleet->now_us);
    figure("11", "a true report is taken", late == EK_CODE_OK, 1.0, 1.0);
    run(fleet, 60.0, 10.0, good);
    figure("11", "fair shares of its host", fair_shares(fleet, 0), 0.8, INFINITY);
}

static void row_16_many_hosts(const ek_model *model)
{
    fleet *fleet = new_fleet(model, EK_HOSTS_MAX);
    run(fleet, 300.0, 100.0, good);
    uint32_t without = 0;
    for (uint32_t host = 0; host < EK_HOSTS_MAX; host++) {
        without += fleet->sent[host] == 0;
    }
    figure("16", "hosts of 1024 without one of 30,000 requests", without, 0.0, 0.0);
    ek_upstream_options more = options_for(EK_HOSTS_MAX + 1);
    figure("16", "room for more", (double)ek_upstream_size(&more), 0.0, 0.0);
}

static void row_18_slow_start(const ek_model *model)
{
    fleet *fleet = measured(model, 4, 10.0);
    fleet->slow_start_us = 60 * SECOND_US;
    pass(fleet, fleet->now_us + 2 * SECOND_US);
    must(ek_host_restarted(fleet->upstream, 0, fleet->now_us), "ek_host_restarted");
    double most[] = {0.35, 0.5, 0.65, 0.8, 1.0, 1.2};
    for (size_t span = 0; span < 6; span++) {
        run(fleet, 10.0, 10.0, good);
        figure("18", "fair shares in ten seconds of its slow start", fair_shares(fleet, 0), 0.0, most[span]);
    }
    run(fleet, 60.0, 10.0, good);
    figure("18", "fair shares after it", fair_shares(fleet, 0), 0.8, 1.2);
}

static void row_19_what_is_cached_where(const ek_model *model)
{
    fleet *fleet = measured(model, 4, 10.0);
    ek_facts facts = facts_of(fleet);
    facts.prompt_tokens = 5000;
    for (uint64_t key = 0; key < 4; key++) {
        facts.prefix_keys[key] = 100 + key;
    }
    ek_ticket ticket;
    ek_choice choice = {0};
    choice.struct_size = sizeof(choice);
    for (int nth = 0; nth < 3; nth++) {
        must(ek_upstream_choose(fleet->upstream, model, &facts, NULL, fleet->now_us, fleet->scratch,
                                fleet->scratch_size, &choice),
             "ek_upstream_choose");
        figure("19", "tokens taken to be cached", choice.cached_tokens, nth == 2 ? 4096.0 : 0.0, nth == 2 ? 5000.0 : 0.0);
        must(ek_upstream_begin(fleet->upstream, EK_NO_PROCESS, model, &facts, choice.host, fleet->now_us, &ticket),
             "ek_upstream_begin");
        /* A refusal computes nothing: what was noted is taken back. */
        ek_outcome outcome = {sizeof(outcome), nth == 0 ? EK_STATUS_NO_WORK : EK_STATUS_SUCCESS, OUTPUT_TOKENS,
                              EK_UNKNOWN_TOKENS};
        must(ek_upstream_finish(fleet->upstream, model, &ticket, &facts, &outcome, fleet->now_us += SECOND_US),
             "ek_upstream_finish");
    }
}

static void row_20_one_choice_for_each_attempt(const ek_model *model)
{
    fleet *fleet = measured(model, 3, 10.0);
    uint64_t all = 7, tried = 0;
    ek_eligible eligible = {sizeof(eligible), 1, &all, &tried};
    for (int attempt = 0; attempt < 3; attempt++) {
        tried |= UINT64_C(1) << choose(fleet, &eligible).host;
    }
    figure("20", "hosts of three attempts", (double)tried, 7.0, 7.0);
    ek_facts facts = facts_of(fleet);
    ek_choice none = {0};
    none.struct_size = sizeof(none);
    ek_code code = ek_upstream_choose(fleet->upstream, model, &facts, &eligible, fleet->now_us, fleet->scratch,
                                      fleet->scratch_size, &none);
    figure("20", "a fourth attempt is refused", code == EK_CODE_NO_HOST, 1.0, 1.0);
}

#endif

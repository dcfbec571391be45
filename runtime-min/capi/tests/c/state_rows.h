/*
 * Rows of modules/testing/cases.json about what an upstream keeps: memory, time, demand, bodies.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef STATE_ROWS_H
#define STATE_ROWS_H

#include "figure.h"
#include "life_rows.h"

/* However a body is cut, the same is read of it, and nothing in it changes. */
static void row_5_reading_changes_nothing(void)
{
    const char body[] = "{\"model\":\"m\",\"max_tokens\":64,\"messages\":[{\"role\":\"user\",\"content\":\"Tell me of "
                        "the balance of loads.\"}]}";
    char copy[sizeof(body)];
    memcpy(copy, body, sizeof(body));
    ek_request_body whole = {0};
    for (size_t piece = sizeof(body) - 1; piece > 0; piece--) {
        ek_request_reader *reader;
        void *memory = reserve(ek_body_request_size(), 64);
        must(ek_body_request_init(memory, ek_body_request_size(), &reader), "ek_body_request_init");
        for (size_t at = 0; at < sizeof(body) - 1; at += piece) {
            size_t len = at + piece < sizeof(body) - 1 ? piece : sizeof(body) - 1 - at;
            uint32_t goes_on;
            must(ek_body_request_feed(reader, copy + at, len, &goes_on), "ek_body_request_feed");
        }
        ek_request_body read = {0};
        read.struct_size = sizeof(read);
        must(ek_body_request_read(reader, sizeof(body) - 1, &read), "ek_body_request_read");
        if (piece == sizeof(body) - 1) {
            whole = read;
            figure("5", "bytes of its text", (double)read.text_bytes, 30.0, 40.0);
        }
        if (memcmp(&whole, &read, sizeof(read)) != 0 || memcmp(body, copy, sizeof(body)) != 0) {
            figure("5", "a body that is read otherwise in pieces of", (double)piece, 0.0, 0.0);
        }
    }
}

static void row_8_a_process_that_was_killed(void)
{
    ek_upstream_options options = options_for(4);
    options.processes_max = 4;
    size_t size = ek_upstream_size(&options);
    ek_upstream *upstream;
    must(ek_upstream_open(reserve(size, EK_UPSTREAM_ALIGNMENT), size, &options, &upstream, NULL), "ek_upstream_open");
    uint32_t host, taken_back;
    must(ek_host_register(upstream, 1, 1.0f, SECOND_US, &host), "ek_host_register");
    must(ek_upstream_join(upstream, 2, NULL), "ek_upstream_join");
    for (int i = 0; i < 40; i++) {
        ek_ticket ticket;
        must(ek_upstream_begin(upstream, 2, NULL, NULL, host, SECOND_US, &ticket), "ek_upstream_begin");
    }
    must(ek_upstream_join(upstream, 2, &taken_back), "ek_upstream_join");
    figure("8", "requests of a killed process that are taken back", taken_back, 40.0, 40.0);
    ek_stats stats;
    stats.struct_size = sizeof(stats);
    must(ek_host_stats(upstream, host, SECOND_US, &stats), "ek_host_stats");
    figure("8", "requests under way", stats.in_flight, 0.0, 0.0);
}

static void row_9_options_that_are_not_taken(const ek_model *model)
{
    fleet *fleet = measured(model, 4, 10.0);
    unsigned char *before = reserve(fleet->memory_size, EK_UPSTREAM_ALIGNMENT);
    memcpy(before, fleet->memory, fleet->memory_size);
    ek_upstream_options other = options_for(5);
    ek_upstream *upstream;
    ek_code code = ek_upstream_open(fleet->memory, fleet->memory_size, &other, &upstream, NULL);
    figure("9", "other sizes are refused", code != EK_CODE_OK, 1.0, 1.0);
    ek_scale scale = {sizeof(scale), 0.5f, -1.0f, NAN, NAN, NAN};
    figure("9", "so is a lead below 0", ek_scale_check(&scale) == EK_CODE_SCALE_RANGE, 1.0, 1.0);
    figure("9", "bytes that changed", memcmp(before, fleet->memory, fleet->memory_size) != 0, 0.0, 0.0);
}

/* A second of a service of so many requests a second. */
static void second(ek_upstream *upstream, const ek_model *model, int requests, uint64_t now_us, double epoch_s,
                   void *scratch, size_t scratch_size)
{
    for (int i = 0; i < requests; i++) {
        must(ek_upstream_arrived(upstream), "ek_upstream_arrived");
    }
    must(ek_upstream_tick(upstream, model, 0, now_us, epoch_s, scratch, scratch_size), "ek_upstream_tick");
}

static void row_12_a_clock_that_is_put_right(const ek_model *model)
{
    const double ahead_s = 30.0 * 86400.0;
    ek_upstream_options options = options_for(1);
    options.history_values = ek_model_history(model);
    size_t size = ek_upstream_size(&options), scratch_size = ek_scratch_size(model, 1);
    void *scratch = reserve(scratch_size, 64);
    ek_upstream *upstream;
    must(ek_upstream_open(reserve(size, EK_UPSTREAM_ALIGNMENT), size, &options, &upstream, NULL), "ek_upstream_open");
    ek_forecast ahead = {0}, healed = {0};
    ahead.struct_size = healed.struct_size = sizeof(ahead);
    double epoch_s = 1.7e9;
    uint64_t now_us = SECOND_US;
    int seconds = 0;
    /* Until there is a forecast, whose step is known then; all the time with the clock ahead. */
    while (ek_upstream_forecast(upstream, model, &ahead) != EK_CODE_OK && seconds < 100000) {
        second(upstream, model, 2, now_us += SECOND_US, ahead_s + (epoch_s += 1.0), scratch, scratch_size);
        seconds++;
    }
    figure("12", "seconds to the first forecast", seconds, 1.0, 99999.0);
    int step = (int)ahead.step_s;
    for (int i = 0; i < 2 * step; i++) {
        second(upstream, model, 40, now_us += SECOND_US, epoch_s += 1.0, scratch, scratch_size);
    }
    must(ek_upstream_forecast(upstream, model, &healed), "ek_upstream_forecast");
    figure("12", "foreseen after two steps of twenty times the demand, over what was", 
           (double)(healed.quantiles[0][4] / ahead.quantiles[0][4]), 3.0, INFINITY);
}

static void row_13_memory_of_another_build(const ek_model *model)
{
    fleet *fleet = measured(model, 4, 10.0);
    ek_upstream_options options = options_for(4);
    ek_upstream *upstream;
    uint32_t was_made;
    /* The first words hold what the memory is, and its version. */
    for (size_t word = 0; word < 2; word++) {
        uint64_t *first = (uint64_t *)(void *)fleet->memory + word, kept = *first;
        *first ^= 0x10;
        ek_code code = ek_upstream_attach(fleet->memory, fleet->memory_size, &upstream);
        figure("13", "memory of another build is refused",
               code == EK_CODE_UPSTREAM_LAYOUT || code == EK_CODE_UPSTREAM_FOREIGN, 1.0, 1.0);
        *first = kept;
    }
    must(ek_upstream_open(fleet->memory, fleet->memory_size, &options, &upstream, &was_made), "ek_upstream_open");
    figure("13", "its own memory is made anew", was_made, 0.0, 0.0);
    figure("13", "what is known of a host", (double)stats_of(fleet, 0).knowledge, 0.5, 1.0);
}

static void row_15_no_usable_artifact(const unsigned char *artifact, size_t len)
{
    const ek_model *model;
    void *storage = reserve(ek_model_size(), EK_MODEL_ALIGNMENT);
    ek_code cut = ek_model_load(artifact, len / 2, storage, ek_model_size(), &model);
    figure("15", "a file that was cut short is refused", cut == EK_CODE_ARTIFACT_LENGTH
           || cut == EK_CODE_ARTIFACT_TRUNCATED, 1.0, 1.0);
    fleet *fleet = new_fleet(NULL, 4);
    run(fleet, 60.0, 20.0, good);
    for (uint32_t host = 0; host < 4; host++) {
        figure("15", "fair shares without a model", fair_shares(fleet, host), 0.8, 1.2);
    }
    ek_counters counters;
    counters.struct_size = sizeof(counters);
    must(ek_upstream_counters(fleet->upstream, &counters), "ek_upstream_counters");
    figure("15", "decisions that are counted as such", (double)counters.no_policy, 1100.0, 1300.0);
}

static void row_17_demand_has_one_default(const ek_model *model)
{
    fleet *fleet = new_fleet(model, 4);
    for (int i = 0; i < 120; i++) {
        second(fleet->upstream, NULL, 20, fleet->now_us += SECOND_US, 1.7e9 + i, fleet->scratch, fleet->scratch_size);
    }
    ek_scale capacity = {sizeof(capacity), 0.5f, NAN, NAN, NAN, NAN};
    ek_scale whole = {sizeof(whole), 0.5f, 120.0f, 0.9f, 1.1f, 0.5f};
    ek_demand_reading by_default, as_said;
    by_default.struct_size = as_said.struct_size = sizeof(by_default);
    must(ek_upstream_demand(fleet->upstream, NULL, &capacity, &by_default), "ek_upstream_demand");
    must(ek_upstream_demand(fleet->upstream, NULL, &whole, &as_said), "ek_upstream_demand");
    figure("17", "replicas for 20 requests/s", (double)by_default.replicas, 40.0, 50.0);
    figure("17", "difference to the defaults said", (double)(by_default.replicas - as_said.replicas), 0.0, 0.0);
}

#endif

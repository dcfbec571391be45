/*
 * Threads that choose, begin, finish, report, explain and record at once, on one upstream and
 * one ring, while the time goes on: for the checkers of memory and threads, and for the counts.
 *
 *     threads [ARTIFACT]
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include <evenkeel.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { THREADS = 4, HOSTS = 6, REQUESTS = 500, RECORDS = 32 };

static const ek_model *model;
static ek_upstream *upstream;
static ek_ring *ring;

static void must(ek_code code, const char *what)
{
    if (code != EK_CODE_OK) {
        fprintf(stderr, "%s: %s\n", what, ek_strerror(code));
        exit(1);
    }
}

static void *allocate(size_t size, size_t alignment)
{
    unsigned char *memory = calloc(1, size + alignment);
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    return memory + alignment - (size_t)memory % alignment;
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(2);
    }
    size_t len = (size_t)ftell(file);
    void *bytes = allocate(len, EK_MODEL_ALIGNMENT);
    rewind(file);
    if (fread(bytes, 1, len, file) != len) {
        perror(path);
        exit(2);
    }
    fclose(file);
    must(ek_model_load(bytes, len, allocate(ek_model_size(), EK_MODEL_ALIGNMENT), ek_model_size(), &model), path);
}

static void *work(void *argument)
{
    uint32_t thread = *(const uint32_t *)argument;
    size_t scratch_size = ek_scratch_size(model, HOSTS);
    void *scratch = allocate(scratch_size, 64);
    ek_host_explanation hosts[HOSTS];
    for (uint32_t i = 0; i < REQUESTS; i++) {
        uint64_t now_us = 1000000 + (uint64_t)i * 1000;
        /* A session of each thread, a beginning that all have. */
        ek_facts facts = {sizeof(facts), 100, 0, 0, {1, 0, 0, 0, 0}, thread + 1, 7};
        ek_choice choice = {sizeof(choice), 0, 0, 0.0f, 0, 0};
        must(ek_upstream_arrived(upstream), "ek_upstream_arrived");
        must(ek_upstream_choose(upstream, model, &facts, NULL, now_us, scratch, scratch_size, &choice),
             "ek_upstream_choose");
        must(ek_upstream_timed(upstream, 500 + i), "ek_upstream_timed");
        if (choice.host >= HOSTS || choice.cached_tokens >= 100) {
            exit(1);
        }
        uint64_t record = UINT64_MAX;
        ek_code recorded = ek_record_decision(ring, upstream, model, &facts, NULL, now_us, scratch, scratch_size,
                                              &choice, choice.host, 0, &record);
        if (recorded != EK_CODE_RING_TAKEN) {
            must(recorded, "ek_record_decision");
        }
        ek_ticket ticket;
        must(ek_upstream_begin(upstream, thread, model, &facts, choice.host, now_us, &ticket), "ek_upstream_begin");
        ek_telemetry telemetry = {sizeof(telemetry), 1.0f, 0.0f, 0.0f, 0.1f, 0.02f};
        ek_code reported = ek_host_report(upstream, i % HOSTS, &telemetry, now_us, now_us);
        if (reported != EK_CODE_REPORT_STALE) {
            must(reported, "ek_host_report");
        }
        ek_explanation explanation = {sizeof(explanation), sizeof(hosts[0]), hosts, HOSTS, 0, 0, 0, 0, 0.0f};
        must(ek_upstream_explain(upstream, model, &facts, NULL, now_us, scratch, scratch_size, &explanation),
             "ek_upstream_explain");
        must(ek_upstream_first_token(upstream, &ticket, now_us + 300), "ek_upstream_first_token");
        ek_outcome outcome = {sizeof(outcome), i % 5, 10, i % 2 == 0 ? EK_UNKNOWN_TOKENS : choice.cached_tokens};
        (void)ek_record_outcome(ring, record, &ticket, &outcome, now_us + 900);
        must(ek_upstream_finish(upstream, model, &ticket, &facts, &outcome, now_us + 900), "ek_upstream_finish");
        /* One of them takes note of the time, and lets a host come up. */
        if (thread == 0 && i % 100 == 0) {
            must(ek_upstream_tick(upstream, model, 100000, now_us, 1.7e9 + i, scratch, scratch_size),
                 "ek_upstream_tick");
            must(ek_host_restarted(upstream, i / 100 % HOSTS, now_us), "ek_host_restarted");
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        load(argv[1]);
    }
    ek_upstream_options options = {sizeof(options), HOSTS, THREADS, 64, 8, ek_model_history(model),
                                   EK_IF_OTHER_REFUSE, 0, 1};
    size_t size = ek_upstream_size(&options);
    uint32_t was_made = 0;
    must(ek_upstream_open(allocate(size, EK_UPSTREAM_ALIGNMENT), size, &options, &upstream, &was_made),
         "ek_upstream_open");
    size = ek_record_size(RECORDS, HOSTS);
    must(ek_record_init(allocate(size, EK_RING_ALIGNMENT), size, RECORDS, HOSTS, &ring), "ek_record_init");
    for (uint64_t key = 1; key <= HOSTS; key++) {
        uint32_t host;
        must(ek_host_register(upstream, key, 1.0f, 0, &host), "ek_host_register");
    }
    pthread_t threads[THREADS];
    uint32_t numbers[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        must(ek_upstream_join(upstream, i, NULL), "ek_upstream_join");
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], NULL, work, &numbers[i]) != 0) {
            perror("pthread_create");
            return 2;
        }
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }

    uint64_t sent = 0;
    for (uint32_t host = 0; host < HOSTS; host++) {
        ek_stats stats;
        stats.struct_size = sizeof(stats);
        must(ek_host_stats(upstream, host, 0, &stats), "ek_host_stats");
        if (stats.in_flight != 0 || stats.in_flight_prompt_tokens != 0 || stats.sent_total != stats.done_total) {
            fprintf(stderr, "host %u: counts do not add up\n", host);
            return 1;
        }
        sent += stats.sent_total;
    }
    ek_counters counters;
    counters.struct_size = sizeof(counters);
    must(ek_upstream_counters(upstream, &counters), "ek_upstream_counters");
    ek_ring_counts counts;
    counts.struct_size = sizeof(counts);
    must(ek_record_counts(ring, &counts), "ek_record_counts");
    uint64_t chosen = counters.policy + counters.no_policy + counters.no_score + counters.only_host + counters.untried;
    printf("%llu requests, %llu choices, %llu recorded or left out\n", (unsigned long long)sent,
           (unsigned long long)chosen, (unsigned long long)counts.begun);
    return was_made == 1 && sent == THREADS * REQUESTS && chosen == sent && counts.begun == sent ? 0 : 1;
}

/*
 * A fleet of made-up hosts behind an upstream of the C interface, with a clock of its own: requests
 * come evenly, and end as a test says of their host.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef FLEET_H
#define FLEET_H

#include <evenkeel.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_TOKENS = 100, UNDER_WAY_MAX = 4096 };

static const uint64_t SECOND_US = 1000000;

/* The end of a request, as a test decides it when the request is sent. */
typedef struct {
    uint64_t after_us;
    ek_status status;
} answer;

static inline answer success(double after_s)
{
    answer good = {(uint64_t)(after_s * 1e6), EK_STATUS_SUCCESS};
    return good;
}

typedef struct fleet fleet;

/* How a host answers a request that is sent to it now. */
typedef answer (*behaviour)(const fleet *fleet, uint32_t host);

typedef struct {
    ek_ticket ticket;
    ek_facts facts;
    uint64_t end_us;
    answer answer;
} exchange;

struct fleet {
    const ek_model *model;
    ek_upstream *upstream;
    unsigned char *memory;
    size_t memory_size;
    void *scratch;
    size_t scratch_size;
    uint32_t hosts;
    uint64_t now_us;
    uint64_t ticked_us;
    uint64_t slow_start_us;
    uint64_t reported_us;
    uint32_t prompt_tokens;
    /* The step that host 0 claims ten times a second; below 0 for none. */
    double claim_s;
    double true_step_s;
    /* Requests that each host got since `count_anew`. */
    uint64_t sent[EK_HOSTS_MAX];
    exchange open[UNDER_WAY_MAX];
    size_t open_len;
};

static inline void must(ek_code code, const char *what)
{
    if (code != EK_CODE_OK) {
        fprintf(stderr, "%s: %s\n", what, ek_strerror(code));
        exit(2);
    }
}

/* Zeroed memory, aligned; it stays until the program ends. */
static inline void *reserve(size_t size, size_t alignment)
{
    unsigned char *memory = calloc(1, size + alignment);
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    return memory + alignment - (size_t)memory % alignment;
}

/* Options of an upstream of so many hosts. */
static inline ek_upstream_options options_for(uint32_t hosts)
{
    ek_upstream_options options = {0};
    options.struct_size = sizeof(options);
    options.hosts_max = hosts;
    options.affinity_entries = 1024;
    options.class_entries = 8;
    options.seed = 7;
    return options;
}

/* A new fleet, none of whose hosts has been measured. `model` may be NULL. */
static inline fleet *new_fleet(const ek_model *model, uint32_t hosts)
{
    fleet *made = reserve(sizeof(fleet), 64);
    ek_upstream_options options = options_for(hosts);
    made->model = model;
    made->memory_size = ek_upstream_size(&options);
    made->memory = reserve(made->memory_size, EK_UPSTREAM_ALIGNMENT);
    must(ek_upstream_open(made->memory, made->memory_size, &options, &made->upstream, NULL), "ek_upstream_open");
    made->scratch_size = ek_scratch_size(model, hosts);
    made->scratch = reserve(made->scratch_size + 1, 64);
    made->hosts = hosts;
    made->now_us = made->ticked_us = made->reported_us = SECOND_US;
    made->prompt_tokens = 500;
    made->claim_s = -1.0;
    for (uint32_t key = 1; key <= hosts; key++) {
        uint32_t host;
        must(ek_host_register(made->upstream, key, 1.0f, made->now_us, &host), "ek_host_register");
    }
    return made;
}

static inline ek_facts facts_of(const fleet *fleet)
{
    ek_facts facts = {0};
    facts.struct_size = sizeof(facts);
    facts.prompt_tokens = fleet->prompt_tokens;
    return facts;
}

/* Chooses a host for a request of the fleet's prompts; `eligible` may be NULL. */
static inline ek_choice choose(fleet *fleet, const ek_eligible *eligible)
{
    ek_facts facts = facts_of(fleet);
    ek_choice choice = {0};
    choice.struct_size = sizeof(choice);
    must(ek_upstream_choose(fleet->upstream, fleet->model, &facts, eligible, fleet->now_us, fleet->scratch,
                            fleet->scratch_size, &choice),
         "ek_upstream_choose");
    return choice;
}

/* Sends a request to a host. */
static inline void send_to(fleet *fleet, uint32_t host, answer answer)
{
    if (fleet->open_len == UNDER_WAY_MAX) {
        fputs("too many requests under way\n", stderr);
        exit(2);
    }
    exchange *sent = &fleet->open[fleet->open_len++];
    sent->facts = facts_of(fleet);
    sent->answer = answer;
    sent->end_us = fleet->now_us + answer.after_us;
    must(ek_upstream_begin(fleet->upstream, EK_NO_PROCESS, fleet->model, &sent->facts, host, fleet->now_us,
                           &sent->ticket),
         "ek_upstream_begin");
    fleet->sent[host]++;
}

static inline void end(fleet *fleet, exchange *over)
{
    ek_outcome outcome = {sizeof(outcome), over->answer.status, 0, EK_UNKNOWN_TOKENS};
    if (over->answer.status == EK_STATUS_SUCCESS) {
        /* A fifth of the time until the first token. */
        uint64_t first_us = over->ticket.sent_us + (over->end_us - over->ticket.sent_us) / 5;
        must(ek_upstream_first_token(fleet->upstream, &over->ticket, first_us), "ek_upstream_first_token");
        outcome.output_tokens = OUTPUT_TOKENS;
    }
    must(ek_upstream_finish(fleet->upstream, fleet->model, &over->ticket, &over->facts, &outcome, over->end_us),
         "ek_upstream_finish");
}

/* The exchange that ends first, or NULL if none ends until then. */
static inline exchange *next_end(fleet *fleet, uint64_t until_us)
{
    exchange *first = NULL;
    for (size_t i = 0; i < fleet->open_len; i++) {
        if (fleet->open[i].end_us <= until_us && (first == NULL || fleet->open[i].end_us < first->end_us)) {
            first = &fleet->open[i];
        }
    }
    return first;
}

/* Host 0's claim, and the truth of the others. */
static inline void report(fleet *fleet)
{
    for (uint32_t host = 0; host < fleet->hosts; host++) {
        float step_s = (float)(host == 0 ? fleet->claim_s : fleet->true_step_s);
        ek_telemetry told = {sizeof(told), NAN, NAN, NAN, NAN, step_s};
        must(ek_host_report(fleet->upstream, host, &told, fleet->now_us, fleet->now_us), "ek_host_report");
    }
}

/* Lets time pass, with what ends until then. */
static inline void pass(fleet *fleet, uint64_t until_us)
{
    for (exchange *over; (over = next_end(fleet, until_us)) != NULL;) {
        end(fleet, over);
        *over = fleet->open[--fleet->open_len];
    }
    fleet->now_us = until_us;
    if (until_us >= fleet->ticked_us + SECOND_US) {
        fleet->ticked_us = until_us;
        must(ek_upstream_tick(fleet->upstream, NULL, fleet->slow_start_us, until_us, 1.7e9 + (double)until_us * 1e-6, fleet->scratch,
                              fleet->scratch_size),
             "ek_upstream_tick");
    }
    if (fleet->claim_s >= 0.0 && until_us >= fleet->reported_us + SECOND_US / 10) {
        fleet->reported_us = until_us;
        report(fleet);
    }
}

static inline void count_anew(fleet *fleet)
{
    memset(fleet->sent, 0, sizeof(fleet->sent));
}

/* Sends requests at a rate for some time, counted anew. */
static inline void run(fleet *fleet, double seconds, double rate_per_s, behaviour answers)
{
    uint64_t end_us = fleet->now_us + (uint64_t)(seconds * 1e6);
    uint64_t gap_us = (uint64_t)(1e6 / rate_per_s);
    uint64_t jitter = fleet->now_us;
    count_anew(fleet);
    for (uint64_t next_us = fleet->now_us + gap_us; next_us <= end_us;) {
        pass(fleet, next_us);
        uint32_t host = choose(fleet, NULL).host;
        send_to(fleet, host, answers(fleet, host));
        /* A little more or less, so that hosts are not visited in step with their answers. */
        jitter = jitter * 6364136223846793005u + 1442695040888963407u;
        next_us += gap_us - gap_us / 8 + (jitter >> 33) % (gap_us / 4 + 1);
    }
    pass(fleet, end_us);
}

/* A host's share of the requests since they were counted anew, in fair shares. */
static inline double fair_shares(const fleet *fleet, uint32_t host)
{
    uint64_t total = 0;
    for (uint32_t each = 0; each < fleet->hosts; each++) {
        total += fleet->sent[each];
    }
    return total == 0 ? 0.0 : (double)fleet->sent[host] * fleet->hosts / (double)total;
}

static inline ek_stats stats_of(const fleet *fleet, uint32_t host)
{
    ek_stats stats;
    stats.struct_size = sizeof(stats);
    must(ek_host_stats(fleet->upstream, host, fleet->now_us, &stats), "ek_host_stats");
    return stats;
}

#endif

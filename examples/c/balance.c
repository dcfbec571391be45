/*
 * A load balancer in miniature: a trained model, four hosts, a few hundred requests.
 *
 *     balance ARTIFACT
 *
 * The hosts are made up and time is simulated: "slow" takes four times as long as the
 * others, "failing" answers at once, with an error. Neither is announced: the choices
 * follow from outcomes and reports alone. Requests belong to sessions, whose prompts grow.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include <evenkeel.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS = 4, REQUESTS = 400, SESSIONS = 40, PROMPT_TOKENS = 800, OUTPUT_TOKENS = 200 };

static const uint64_t ARRIVAL_PERIOD_US = 250000;
static const uint64_t REPORT_PERIOD_US = 500000;
static const uint64_t TICK_PERIOD_US = 1000000;

struct host {
    const char *name;
    double slowness;
    int failing;
    uint32_t index;
    uint32_t running;
    uint32_t chosen;
};

struct request {
    ek_facts facts;
    ek_ticket ticket;
    uint64_t first_token_us;
    uint64_t end_us;
    struct host *host;
};

static void must(ek_code code, const char *what)
{
    if (code != EK_CODE_OK) {
        fprintf(stderr, "%s: %s\n", what, ek_strerror(code));
        exit(1);
    }
}

/* Memory from the heap, aligned. C11's aligned_alloc would do the same. */
static void *allocate(size_t size, size_t alignment)
{
    unsigned char *memory = calloc(1, size + alignment);
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return memory + alignment - (size_t)memory % alignment;
}

static void *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, SEEK_END);
    *len = (size_t)ftell(file);
    rewind(file);
    void *bytes = allocate(*len, EK_MODEL_ALIGNMENT);
    if (fread(bytes, 1, *len, file) != *len) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return bytes;
}

/* How long a host takes: each request at work there slows down the others. */
static void serve(struct request *request, struct host *host, uint64_t now_us)
{
    double step_us = 20000.0 * host->slowness * (1.0 + 0.1 * host->running);
    request->host = host;
    request->first_token_us = now_us + (uint64_t)(5.0 * step_us);
    request->end_us = now_us + (uint64_t)((5.0 + OUTPUT_TOKENS) * step_us);
    if (host->failing) {
        request->first_token_us = request->end_us = now_us + 2000;
    }
    host->running++;
}

/* What a proxy knows of the request before it is placed; 0 stands for what is not known. */
static ek_facts facts_of(uint32_t number)
{
    ek_facts facts = {0};
    facts.struct_size = sizeof(facts);
    /* Each turn of a session adds an answer and a question to the prompt before. */
    facts.prompt_tokens = PROMPT_TOKENS + number / SESSIONS * (OUTPUT_TOKENS + 50);
    facts.output_tokens_max = 4 * OUTPUT_TOKENS;
    facts.session_key = 1 + number % SESSIONS;
    facts.class_key = ek_host_key("chat", 4);
    return facts;
}

/* Ends the requests that are over by now; keeps the others at the front of the array. */
static size_t finish(ek_upstream *upstream, const ek_model *model, struct request *requests, size_t count,
                     uint64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct request *request = &requests[i];
        if (request->end_us > now_us) {
            requests[kept++] = *request;
            continue;
        }
        ek_outcome outcome = {sizeof(outcome), EK_STATUS_SUCCESS, OUTPUT_TOKENS, EK_UNKNOWN_TOKENS};
        if (request->host->failing) {
            outcome.status = EK_STATUS_FAILURE;
            outcome.output_tokens = 0;
        } else {
            must(ek_upstream_first_token(upstream, &request->ticket, request->first_token_us),
                 "ek_upstream_first_token");
        }
        must(ek_upstream_finish(upstream, model, &request->ticket, &request->facts, &outcome, request->end_us),
             "ek_upstream_finish");
        request->host->running--;
    }
    return kept;
}

static void report(ek_upstream *upstream, const struct host *hosts, uint64_t now_us)
{
    for (size_t i = 0; i < HOSTS; i++) {
        float running = (float)hosts[i].running;
        float step_s = 0.02f * (float)hosts[i].slowness * (1.0f + 0.1f * running);
        ek_telemetry telemetry = {sizeof(telemetry), running, 0.0f, 0.0f, running / 64.0f, step_s};
        must(ek_host_report(upstream, hosts[i].index, &telemetry, now_us, now_us), "ek_host_report");
    }
}

static void explain(const ek_upstream *upstream, const ek_model *model, const struct host *hosts, uint64_t now_us,
                    void *scratch, size_t scratch_size)
{
    ek_facts facts = facts_of(REQUESTS);
    ek_host_explanation seen[HOSTS];
    ek_explanation explanation = {0};
    explanation.struct_size = sizeof(explanation);
    explanation.host_size = sizeof(seen[0]);
    explanation.hosts = seen;
    explanation.hosts_len = HOSTS;
    must(ek_upstream_explain(upstream, model, &facts, NULL, now_us, scratch, scratch_size, &explanation),
         "ek_upstream_explain");
    printf("%-9s %10s %12s %10s %11s %11s %9s %7s\n", "host", "score", "estimate s", "in flight", "latency s",
           "failing %", "requests", "share");
    for (size_t i = 0; i < explanation.hosts_written; i++) {
        const struct host *host = &hosts[seen[i].host];
        ek_stats stats;
        stats.struct_size = sizeof(stats);
        must(ek_host_stats(upstream, seen[i].host, now_us, &stats), "ek_host_stats");
        printf("%-9s %10.3f %12.3f %10" PRIu32 " %11.3f %11.1f %9" PRIu32 " %6.1f%%\n", host->name,
               (double)seen[i].score, (double)seen[i].estimate_s, seen[i].in_flight, (double)stats.latency_ewma_s,
               100.0 * (double)stats.failure_share, host->chosen, 100.0 * host->chosen / REQUESTS);
    }
}

static void print_counters(const ek_upstream *upstream, const ek_model *model)
{
    ek_counters counters;
    counters.struct_size = sizeof(counters);
    must(ek_upstream_counters(upstream, &counters), "ek_upstream_counters");
    ek_demand_reading demand;
    demand.struct_size = sizeof(demand);
    must(ek_upstream_demand(upstream, model, NULL, &demand), "ek_upstream_demand");
    printf("%" PRIu64 " of %d choices by the policy, %" PRIu64 " of a host that had not been tried for long\n",
           counters.policy, REQUESTS, counters.untried);
    printf("demand: %.1f requests a second\n", (double)demand.present_per_s);
}

int main(int argc, char **argv)
{
    struct host hosts[HOSTS] = {
        {"steady-a", 1.0, 0, 0, 0, 0},
        {"steady-b", 1.0, 0, 0, 0, 0},
        {"slow", 4.0, 0, 0, 0, 0},
        {"failing", 1.0, 1, 0, 0, 0},
    };
    if (argc != 2) {
        fprintf(stderr, "usage: %s ARTIFACT (such as artifacts/latest/evenkeel.ekm)\n", argv[0]);
        return 2;
    }
    if (ek_version() != EVENKEEL_VERSION) {
        fprintf(stderr, "built for version %d, linked with %" PRIu32 "\n", EVENKEEL_VERSION, ek_version());
        return 1;
    }

    /* The model: its bytes stay where they are. */
    size_t len;
    void *bytes = read_file(argv[1], &len);
    const ek_model *model;
    must(ek_model_load(bytes, len, allocate(ek_model_size(), EK_MODEL_ALIGNMENT), ek_model_size(), &model), argv[1]);
    size_t scratch_size = ek_scratch_size(model, HOSTS);
    void *scratch = allocate(scratch_size, 64);

    /* The upstream: in a real balancer, in shared memory, for as many processes as there are. */
    ek_upstream_options options = {0};
    options.struct_size = sizeof(options);
    options.hosts_max = HOSTS;
    options.affinity_entries = 1024;
    options.class_entries = 8;
    options.history_values = ek_model_history(model);
    options.seed = 1;
    ek_upstream *upstream;
    size_t size = ek_upstream_size(&options);
    must(ek_upstream_open(allocate(size, EK_UPSTREAM_ALIGNMENT), size, &options, &upstream, NULL), "ek_upstream_open");
    uint64_t now_us = 1000000;
    for (size_t i = 0; i < HOSTS; i++) {
        must(ek_host_register(upstream, i + 1, 1.0f, now_us, &hosts[i].index), "ek_host_register");
    }

    static struct request requests[REQUESTS];
    size_t under_way = 0;
    uint64_t report_us = now_us, tick_us = now_us;
    for (uint32_t i = 0; i < REQUESTS; i++, now_us += ARRIVAL_PERIOD_US) {
        under_way = finish(upstream, model, requests, under_way, now_us);
        if (now_us >= report_us) {
            report(upstream, hosts, now_us);
            report_us += REPORT_PERIOD_US;
        }
        if (now_us >= tick_us) {
            /* No slow start; a made-up clock stands for the Unix time. */
            must(ek_upstream_tick(upstream, model, 0, now_us, 1.7e9 + (double)now_us * 1e-6, scratch, scratch_size),
                 "ek_upstream_tick");
            tick_us += TICK_PERIOD_US;
        }
        struct request *request = &requests[under_way++];
        request->facts = facts_of(i);
        ek_choice choice = {0};
        choice.struct_size = sizeof(choice);
        must(ek_upstream_arrived(upstream), "ek_upstream_arrived");
        must(ek_upstream_choose(upstream, model, &request->facts, NULL, now_us, scratch, scratch_size, &choice),
             "ek_upstream_choose");
        must(ek_upstream_begin(upstream, EK_NO_PROCESS, model, &request->facts, choice.host, now_us, &request->ticket),
             "ek_upstream_begin");
        serve(request, &hosts[choice.host], now_us);
        hosts[choice.host].chosen++;
    }

    explain(upstream, model, hosts, now_us, scratch, scratch_size);
    print_counters(upstream, model);

    /* The rest ends, so that every request was counted in and out. */
    under_way = finish(upstream, model, requests, under_way, UINT64_MAX);
    return under_way == 0 ? 0 : 1;
}

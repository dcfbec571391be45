/*
 * A load balancer in miniature: a trained model, four hosts, a few hundred requests.
 *
 *     balance ARTIFACT
 *
 * The hosts are made up and time is simulated: "slow" takes four times as long as the
 * others, "failing" answers at once, with an error. Neither is announced: the decisions
 * follow from outcomes and reports alone.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include <evenkeel.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS = 4, REQUESTS = 400, PROMPT_TOKENS = 800, OUTPUT_TOKENS = 200 };

static const uint64_t ARRIVAL_PERIOD_US = 250000;
static const uint64_t REPORT_PERIOD_US = 500000;

struct host {
    const char *name;
    double slowness;
    int failing;
    uint32_t index;
    uint32_t running;
    uint32_t chosen;
};

struct request {
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

/* Ends the requests that are over by now; keeps the others at the front of the array. */
static size_t finish(ek_state *state, const ek_model *model, struct request *requests, size_t count, uint64_t now_us)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct request *request = &requests[i];
        if (request->end_us > now_us) {
            requests[kept++] = *request;
            continue;
        }
        ek_outcome outcome = {sizeof(outcome), EK_STATUS_SUCCESS, OUTPUT_TOKENS, 0};
        if (request->host->failing) {
            outcome.status = EK_STATUS_FAILURE;
            outcome.output_tokens = 0;
        } else {
            must(ek_first_token(state, &request->ticket, request->first_token_us), "ek_first_token");
        }
        must(ek_finish(state, model, &request->ticket, &outcome, request->end_us), "ek_finish");
        request->host->running--;
    }
    return kept;
}

static void report(ek_state *state, const struct host *hosts, uint64_t now_us)
{
    for (size_t i = 0; i < HOSTS; i++) {
        float running = (float)hosts[i].running;
        float step_s = 0.02f * (float)hosts[i].slowness * (1.0f + 0.1f * running);
        ek_telemetry telemetry = {sizeof(telemetry), running, 0.0f, 0.0f, running / 64.0f, step_s};
        must(ek_report(state, hosts[i].index, &telemetry, now_us, now_us), "ek_report");
    }
}

static void explain(const ek_model *model, const ek_state *state, const struct host *hosts, uint64_t now_us,
                    void *scratch, size_t scratch_size)
{
    ek_request request = {sizeof(request), PROMPT_TOKENS, NULL, 0, 0};
    ek_host_score scores[HOSTS];
    size_t count;
    must(ek_scores(model, state, &request, NULL, 0, now_us, scratch, scratch_size, scores, HOSTS, &count), "ek_scores");
    printf("%-9s %10s %12s %10s %11s %11s %9s %7s\n", "host", "score", "estimate s", "in flight", "latency s",
           "failing %", "requests", "share");
    for (size_t i = 0; i < count; i++) {
        const struct host *host = &hosts[scores[i].host];
        ek_stats stats;
        stats.struct_size = sizeof(stats);
        must(ek_host_stats(state, scores[i].host, now_us, &stats), "ek_host_stats");
        printf("%-9s %10.3f %12.3f %10" PRIu32 " %11.3f %11.1f %9" PRIu32 " %6.1f%%\n", host->name,
               (double)scores[i].score, (double)scores[i].estimate_s, scores[i].in_flight,
               (double)stats.latency_ewma_s, 100.0 * (double)stats.failure_share, host->chosen,
               100.0 * host->chosen / REQUESTS);
    }
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

    /* The state: in a real balancer, shared memory. */
    ek_state *state;
    size_t state_size = ek_state_size(HOSTS);
    must(ek_state_init(allocate(state_size, EK_STATE_ALIGNMENT), state_size, HOSTS, 1, &state), "ek_state_init");
    uint64_t now_us = 1000000;
    for (size_t i = 0; i < HOSTS; i++) {
        must(ek_host_register(state, i + 1, 1.0f, now_us, &hosts[i].index), "ek_host_register");
    }

    static struct request requests[REQUESTS];
    size_t under_way = 0;
    uint64_t report_us = now_us;
    for (size_t i = 0; i < REQUESTS; i++, now_us += ARRIVAL_PERIOD_US) {
        under_way = finish(state, model, requests, under_way, now_us);
        if (now_us >= report_us) {
            report(state, hosts, now_us);
            report_us += REPORT_PERIOD_US;
        }
        ek_request request = {sizeof(request), PROMPT_TOKENS, NULL, 0, 0};
        ek_decision decision = {sizeof(decision), 0, 0, 0.0f};
        must(ek_decide(model, state, &request, NULL, 0, now_us, scratch, scratch_size, &decision), "ek_decide");
        struct request *sent = &requests[under_way++];
        must(ek_begin(state, decision.host, PROMPT_TOKENS, now_us, &sent->ticket), "ek_begin");
        serve(sent, &hosts[decision.host], now_us);
        hosts[decision.host].chosen++;
    }

    explain(model, state, hosts, now_us, scratch, scratch_size);
    uint64_t by_policy;
    must(ek_decisions(state, EK_REASON_POLICY, &by_policy), "ek_decisions");
    printf("%" PRIu64 " of %d decisions by the policy\n", by_policy, REQUESTS);

    /* The rest ends, so that every request was counted in and out. */
    under_way = finish(state, model, requests, under_way, UINT64_MAX);
    return under_way == 0 ? 0 : 1;
}

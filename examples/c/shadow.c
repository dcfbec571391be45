/*
 * Shadow mode: the trained policy scores and records, while round robin goes on choosing.
 *
 *     shadow ARTIFACT RING && evenkeel audit --model ARTIFACT --record RING
 *
 * The hosts are made up and time is simulated, as in balance.c; one of four is slow.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include <evenkeel.h>

#include <stdio.h>
#include <stdlib.h>

enum { HOSTS = 4, REQUESTS = 2000, RECORDS = 1024, PROMPT_TOKENS = 800, OUTPUT_TOKENS = 200, SLOW_HOST = 2 };

static const uint64_t ARRIVAL_PERIOD_US = 250000;
static const uint64_t REPORT_PERIOD_US = 250000;

struct request {
    ek_ticket ticket;
    uint64_t record;
    uint64_t first_token_us;
    uint64_t end_us;
};

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

static void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static double step_us(uint32_t host, uint32_t running)
{
    return 20000.0 * (host == SLOW_HOST ? 3.0 : 1.0) * (1.0 + 0.1 * running);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s ARTIFACT RING\n", argv[0]);
        return 2;
    }
    size_t len;
    void *bytes = read_file(argv[1], &len);
    const ek_model *model;
    must(ek_model_load(bytes, len, allocate(ek_model_size(), EK_MODEL_ALIGNMENT), ek_model_size(), &model), argv[1]);
    size_t scratch_size = ek_scratch_size(model, HOSTS);
    void *scratch = allocate(scratch_size, 64);

    /* One process; no prefixes, no classes, no forecasts. */
    ek_upstream_options options = {sizeof(options), HOSTS, 0, 0, 0, 0, EK_IF_OTHER_REFUSE, 0, 1};
    ek_upstream *upstream;
    size_t size = ek_upstream_size(&options);
    must(ek_upstream_open(allocate(size, EK_UPSTREAM_ALIGNMENT), size, &options, &upstream, NULL), "ek_upstream_open");
    /* In a real balancer, a file that is mapped: it can be read while it is written. */
    ek_ring *ring;
    size_t ring_size = ek_record_size(RECORDS, HOSTS);
    must(ek_record_init(allocate(ring_size, EK_RING_ALIGNMENT), ring_size, RECORDS, HOSTS, &ring), "ek_record_init");

    uint64_t now_us = 1000000;
    uint64_t report_us = now_us;
    uint32_t running[HOSTS] = {0};
    for (uint32_t i = 0; i < HOSTS; i++) {
        uint32_t host;
        must(ek_host_register(upstream, i + 1, 1.0f, now_us, &host), "ek_host_register");
    }

    const ek_facts facts = {sizeof(facts), PROMPT_TOKENS, 0, 0, {0, 0, 0, 0, 0}, 0, 0};
    static struct request requests[REQUESTS];
    size_t under_way = 0;
    for (uint32_t i = 0; i < REQUESTS; i++, now_us += ARRIVAL_PERIOD_US) {
        size_t kept = 0;
        for (size_t j = 0; j < under_way; j++) {
            struct request *request = &requests[j];
            if (request->end_us > now_us) {
                requests[kept++] = *request;
                continue;
            }
            ek_outcome outcome = {sizeof(outcome), EK_STATUS_SUCCESS, OUTPUT_TOKENS, EK_UNKNOWN_TOKENS};
            must(ek_upstream_first_token(upstream, &request->ticket, request->first_token_us),
                 "ek_upstream_first_token");
            /* The record may be gone by now: that is no failure. */
            (void)ek_record_outcome(ring, request->record, &request->ticket, &outcome, request->end_us);
            running[request->ticket.host]--;
            must(ek_upstream_finish(upstream, model, &request->ticket, &facts, &outcome, request->end_us),
                 "ek_upstream_finish");
        }
        under_way = kept;
        for (uint32_t host = 0; now_us >= report_us && host < HOSTS; host++) {
            float here = (float)running[host];
            float step_s = (float)(step_us(host, running[host]) * 1e-6);
            ek_telemetry telemetry = {sizeof(telemetry), here, 0.0f, 0.0f, here / 64.0f, step_s};
            must(ek_host_report(upstream, host, &telemetry, now_us, now_us), "ek_host_report");
        }
        if (now_us >= report_us) {
            report_us += REPORT_PERIOD_US;
        }

        ek_choice choice = {sizeof(choice), 0, 0, 0.0f, 0, 0};
        must(ek_upstream_choose(upstream, model, &facts, NULL, now_us, scratch, scratch_size, &choice),
             "ek_upstream_choose");
        uint32_t actual = i % HOSTS; /* round robin */
        struct request *sent = &requests[under_way++];
        must(ek_record_decision(ring, upstream, model, &facts, NULL, now_us, scratch, scratch_size, &choice, actual, 1,
                                &sent->record),
             "ek_record_decision");
        must(ek_upstream_begin(upstream, EK_NO_PROCESS, model, &facts, actual, now_us, &sent->ticket),
             "ek_upstream_begin");
        double step = step_us(actual, running[actual]++);
        sent->first_token_us = now_us + (uint64_t)(5.0 * step);
        sent->end_us = now_us + (uint64_t)((5.0 + OUTPUT_TOKENS) * step);
    }

    ek_ring_counts counts;
    counts.struct_size = sizeof(counts);
    must(ek_record_counts(ring, &counts), "ek_record_counts");
    write_file(argv[2], ring, ring_size);
    printf("%s: the last %d of %llu decisions\n", argv[2], RECORDS, (unsigned long long)counts.begun);
    return 0;
}

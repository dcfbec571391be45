/*
 * Behaviour of the C interface: what it refuses, what it leaves alone, what it counts.
 *
 *     abi [ARTIFACT]      with an artifact, loaded models are tested too
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include <evenkeel.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int checks;
static int failures;

#define CHECK(condition)                                                      \
    do {                                                                      \
        checks++;                                                             \
        if (!(condition)) {                                                   \
            failures++;                                                       \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition); \
        }                                                                     \
    } while (0)

#define CHECK_CODE(expected, call)                                            \
    do {                                                                      \
        ek_code code_ = (call);                                               \
        checks++;                                                             \
        if (code_ != (expected)) {                                            \
            failures++;                                                       \
            fprintf(stderr, "%s:%d: %s: expected %s, got %d (%s)\n", __FILE__, __LINE__, #call, \
                    #expected, (int)code_, ek_strerror(code_));               \
        }                                                                     \
    } while (0)

/* Aligned memory with at least one byte before and behind it. */
static unsigned char *aligned(size_t size, size_t alignment)
{
    unsigned char *memory = calloc(1, size + 2 * alignment);
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    return memory + alignment - (size_t)memory % alignment;
}

static ek_upstream_options options_of(uint32_t hosts_max)
{
    ek_upstream_options options = {0};
    options.struct_size = sizeof(options);
    options.hosts_max = hosts_max;
    options.affinity_entries = 64;
    options.class_entries = 8;
    options.seed = 7;
    return options;
}

static ek_upstream *new_upstream_of(const ek_upstream_options *options)
{
    ek_upstream *upstream = NULL;
    size_t size = ek_upstream_size(options);
    CHECK_CODE(EK_CODE_OK, ek_upstream_open(aligned(size, EK_UPSTREAM_ALIGNMENT), size, options, &upstream, NULL));
    return upstream;
}

static ek_upstream *new_upstream(uint32_t hosts_max)
{
    ek_upstream_options options = options_of(hosts_max);
    return new_upstream_of(&options);
}

static ek_facts facts_of(uint32_t prompt_tokens)
{
    ek_facts facts = {0};
    facts.struct_size = sizeof(facts);
    facts.prompt_tokens = prompt_tokens;
    return facts;
}

static ek_choice blank_choice(void)
{
    ek_choice choice = {sizeof(choice), 77, 77, 77.0f, 77, 77};
    return choice;
}

/* At any host, without a model. */
static ek_code choose(ek_upstream *upstream, const ek_facts *facts, const ek_eligible *eligible, ek_choice *choice)
{
    return ek_upstream_choose(upstream, NULL, facts, eligible, 1, NULL, 0, choice);
}

static ek_code begin(ek_upstream *upstream, const ek_facts *facts, uint32_t host, uint64_t now_us, ek_ticket *ticket)
{
    return ek_upstream_begin(upstream, EK_NO_PROCESS, NULL, facts, host, now_us, ticket);
}

static ek_outcome success_of(uint32_t output_tokens)
{
    ek_outcome outcome = {sizeof(outcome), EK_STATUS_SUCCESS, output_tokens, EK_UNKNOWN_TOKENS};
    return outcome;
}

static ek_stats stats_of(const ek_upstream *upstream, uint32_t host)
{
    ek_stats stats;
    memset(&stats, 0xee, sizeof(stats));
    stats.struct_size = sizeof(stats);
    CHECK_CODE(EK_CODE_OK, ek_host_stats(upstream, host, 0, &stats));
    return stats;
}

static ek_counters counters_of(const ek_upstream *upstream)
{
    ek_counters counters;
    memset(&counters, 0xee, sizeof(counters));
    counters.struct_size = sizeof(counters);
    CHECK_CODE(EK_CODE_OK, ek_upstream_counters(upstream, &counters));
    return counters;
}

static void versions_and_texts(void)
{
    CHECK(ek_version() == EVENKEEL_VERSION);
    CHECK(strcmp(ek_strerror(EK_CODE_OK), "success") == 0);
    CHECK(strcmp(ek_strerror(EK_CODE_NO_HOST), ek_strerror(EK_CODE_TICKET)) != 0);
    CHECK(strcmp(ek_strerror(12345), "unknown code") == 0);
    CHECK(strcmp(ek_reason_name(EK_REASON_NO_SCORE), "no_score") == 0);
    CHECK(strcmp(ek_reason_name(EK_REASON_UNTRIED + 1), "unknown") == 0);
}

static void models_are_validated(void)
{
    static unsigned char artifact[256] = "EVENKEEL";
    size_t size = ek_model_size();
    unsigned char *storage = aligned(size, EK_MODEL_ALIGNMENT);
    const ek_model *model = NULL;
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_model_load(NULL, 256, storage, size, &model));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_model_load(artifact, 256, NULL, size, &model));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_model_load(artifact, 256, storage, size, NULL));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_model_load(artifact, 256, storage + 1, size, &model));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_model_load(artifact, 256, storage, size - 1, &model));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_model_load(artifact, SIZE_MAX, storage, size, &model));
    CHECK_CODE(EK_CODE_ARTIFACT_TRUNCATED, ek_model_load(artifact, 0, storage, size, &model));
    CHECK_CODE(EK_CODE_ARTIFACT_VERSION, ek_model_load(artifact, 256, storage, size, &model));
    artifact[0] = 'X';
    CHECK_CODE(EK_CODE_ARTIFACT_MAGIC, ek_model_load(artifact, 256, storage, size, &model));
    CHECK(model == NULL);
    /* Storage into which nothing was loaded is no model. */
    CHECK(ek_scratch_size((const ek_model *)storage, 8) == 0);
    CHECK(ek_scratch_size(NULL, 8) == 0);
    const char *json = NULL;
    size_t json_len = 0;
    CHECK_CODE(EK_CODE_MODEL_FOREIGN, ek_model_metadata((const ek_model *)storage, &json, &json_len));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_model_metadata(NULL, &json, &json_len));
    CHECK(json == NULL);
}

static void upstreams_are_checked(void)
{
    ek_upstream_options options = options_of(4);
    size_t size = ek_upstream_size(&options);
    unsigned char *memory = aligned(size, EK_UPSTREAM_ALIGNMENT);
    ek_upstream *upstream = NULL;
    uint32_t was_made = 77;
    CHECK(size > 0 && size % 4 == 0);
    options.hosts_max = EK_HOSTS_MAX;
    CHECK(ek_upstream_size(&options) > size);
    options.hosts_max = 0;
    CHECK(ek_upstream_size(&options) == 0 && ek_upstream_size(NULL) == 0);
    CHECK_CODE(EK_CODE_MAX_HOSTS, ek_upstream_open(memory, size, &options, &upstream, &was_made));
    options.hosts_max = EK_HOSTS_MAX + 1;
    CHECK_CODE(EK_CODE_MAX_HOSTS, ek_upstream_open(memory, size, &options, &upstream, &was_made));
    options = options_of(4);
    options.affinity_entries = EK_ENTRIES_MAX + 1;
    CHECK_CODE(EK_CODE_CAPACITY, ek_upstream_open(memory, size, &options, &upstream, &was_made));
    options = options_of(4);
    options.reserved = 1;
    CHECK_CODE(EK_CODE_RESERVED, ek_upstream_open(memory, size, &options, &upstream, &was_made));
    options = options_of(4);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_open(NULL, size, &options, &upstream, &was_made));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_open(memory, size, NULL, &upstream, &was_made));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_open(memory, size, &options, NULL, &was_made));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_upstream_open(memory + 64, size, &options, &upstream, &was_made));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_upstream_open(memory, size - 1, &options, &upstream, &was_made));
    CHECK_CODE(EK_CODE_UPSTREAM_FOREIGN, ek_upstream_attach(memory, size, &upstream));
    CHECK(upstream == NULL && was_made == 77);

    uint32_t host = 99;
    CHECK_CODE(EK_CODE_UPSTREAM_FOREIGN, ek_host_find((const ek_upstream *)(void *)memory, 1, &host));
    CHECK_CODE(EK_CODE_OK, ek_upstream_open(memory, size, &options, &upstream, &was_made));
    CHECK(was_made == 1);
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 42, 1.0f, 0, &host));
    ek_upstream *again = NULL;
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_upstream_attach(memory, size - 1, &again));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_upstream_attach(memory, 16, &again));
    CHECK(again == NULL);
    CHECK_CODE(EK_CODE_OK, ek_upstream_open(memory, size, &options, &again, &was_made));
    CHECK(was_made == 0 && again == upstream);
    CHECK_CODE(EK_CODE_OK, ek_upstream_attach(memory, size, &again));
    CHECK_CODE(EK_CODE_OK, ek_host_find(again, 42, &host));
    CHECK(host == 0);
    /* Other sizes are another upstream. */
    options.hosts_max = 3;
    CHECK_CODE(EK_CODE_UPSTREAM_LAYOUT, ek_upstream_open(memory, size, &options, &again, &was_made));
    /* Another layout: bytes 8 to 11 say which. */
    memory[8] ^= 1;
    CHECK_CODE(EK_CODE_UPSTREAM_LAYOUT, ek_upstream_attach(memory, size, &again));
    memory[8] ^= 1;
    /* One that claims more hosts than the memory holds. */
    memory[12] ^= 1;
    CHECK_CODE(EK_CODE_UPSTREAM_LAYOUT, ek_upstream_attach(memory, size, &again));
    memory[12] ^= 1;
    memory[0] ^= 1;
    CHECK_CODE(EK_CODE_UPSTREAM_FOREIGN, ek_upstream_attach(memory, size, &again));
    /* Made anew where that is asked for. */
    options.if_other = EK_IF_OTHER_INITIALISE;
    CHECK_CODE(EK_CODE_OK, ek_upstream_open(memory, size, &options, &again, &was_made));
    CHECK(was_made == 1);
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_find(again, 42, &host));

    /* Memory behind the upstream is left alone. */
    options = options_of(1);
    size_t one = ek_upstream_size(&options);
    unsigned char *guarded = aligned(one, EK_UPSTREAM_ALIGNMENT);
    guarded[one] = 0xaa;
    CHECK_CODE(EK_CODE_OK, ek_upstream_open(guarded, one, &options, &upstream, NULL));
    CHECK(guarded[one] == 0xaa);
}

static void hosts_come_and_go(void)
{
    ek_upstream *upstream = new_upstream(3);
    uint32_t host = 99;
    CHECK_CODE(EK_CODE_HOST_KEY_ZERO, ek_host_register(upstream, 0, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_host_register(upstream, 1, 1.0f, 0, NULL));
    CHECK(host == 99);
    for (uint64_t key = 1; key <= 3; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, key * 1000, 1.0f, 0, &host));
        CHECK(host == key - 1);
    }
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 2000, 5.0f, 0, &host));
    CHECK(host == 1);
    CHECK(stats_of(upstream, 1).weight == 5.0f);
    CHECK_CODE(EK_CODE_HOSTS_FULL, ek_host_register(upstream, 4000, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_OK, ek_host_remove(upstream, 2000));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_remove(upstream, 2000));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_remove(upstream, 0));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_find(upstream, 2000, &host));
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 4000, 1.0f, 0, &host));
    CHECK(host == 1);
    ek_stats stats = {0};
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_host_stats(upstream, 0, 0, &stats));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_host_stats(upstream, 0, 0, NULL));
    stats.struct_size = sizeof(stats);
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_stats(upstream, 3, 0, &stats));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_stats(upstream, UINT32_MAX, 0, &stats));
}

static void structures_are_checked(void)
{
    ek_upstream *upstream = new_upstream(2);
    uint32_t host;
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 1, 1.0f, 0, &host));
    ek_choice choice = blank_choice();
    ek_facts facts = facts_of(100);

    CHECK_CODE(EK_CODE_NULL_POINTER, choose(NULL, &facts, NULL, &choice));
    CHECK_CODE(EK_CODE_NULL_POINTER, choose(upstream, &facts, NULL, NULL));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_choose(upstream, NULL, &facts, NULL, 1, NULL, 64, &choice));
    facts.struct_size--;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, choose(upstream, &facts, NULL, &choice));
    facts.struct_size = UINT32_MAX;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, choose(upstream, &facts, NULL, &choice));
    facts = facts_of(100);
    ek_eligible eligible = {sizeof(eligible) - 1, 0, NULL, NULL};
    CHECK_CODE(EK_CODE_STRUCT_SIZE, choose(upstream, &facts, &eligible, &choice));
    choice.struct_size = 4;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, choose(upstream, &facts, NULL, &choice));
    CHECK(choice.host == 77 && choice.reason == 77);

    /* A caller with a newer header: longer structures, zero where we know nothing. */
    struct {
        ek_facts known;
        uint64_t later;
    } newer = {facts_of(100), 0};
    newer.known.struct_size = sizeof(newer);
    choice = blank_choice();
    CHECK_CODE(EK_CODE_OK, choose(upstream, &newer.known, NULL, &choice));
    CHECK(choice.struct_size == sizeof(choice) && choice.host == 0 && choice.output_tokens == 0);
    newer.later = 1;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, choose(upstream, &newer.known, NULL, &choice));

    ek_telemetry telemetry = {sizeof(telemetry), 1.0f, 0.0f, 0.0f, 0.5f, 0.02f};
    CHECK_CODE(EK_CODE_OK, ek_host_report(upstream, 0, &telemetry, 1000, 1000));
    CHECK_CODE(EK_CODE_REPORT_STALE, ek_host_report(upstream, 0, &telemetry, 999, 1000));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_report(upstream, 1, &telemetry, 2000, 2000));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_host_report(upstream, 0, NULL, 2000, 2000));
    telemetry.struct_size = 0;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_host_report(upstream, 0, &telemetry, 2000, 2000));
    telemetry.struct_size = sizeof(telemetry);
    telemetry.kv_use = -1.0f;
    telemetry.waiting = INFINITY;
    CHECK_CODE(EK_CODE_OK, ek_host_report(upstream, 0, &telemetry, 2000, 2000));
    CHECK(isnan(stats_of(upstream, 0).kv_use) && isnan(stats_of(upstream, 0).waiting));
    CHECK(stats_of(upstream, 0).running == 1.0f);
}

static void masks_hold_at_their_edges(void)
{
    ek_upstream *upstream = new_upstream(130);
    ek_choice choice = blank_choice();
    uint32_t host;
    CHECK_CODE(EK_CODE_NO_HOST, choose(upstream, NULL, NULL, &choice));
    for (uint64_t key = 1; key <= 130; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, key, 1.0f, 0, &host));
    }
    const uint32_t edges[] = {0, 63, 64, 127, 128, 129};
    for (size_t edge = 0; edge < sizeof(edges) / sizeof(edges[0]); edge++) {
        uint64_t mask[3] = {0, 0, 0};
        mask[edges[edge] / 64] = (uint64_t)1 << (edges[edge] % 64);
        ek_eligible eligible = {sizeof(eligible), 3, mask, NULL};
        CHECK_CODE(EK_CODE_OK, choose(upstream, NULL, &eligible, &choice));
        CHECK(choice.host == edges[edge] && choice.reason == EK_REASON_ONLY_HOST);
        CHECK(isnan(choice.score) && choice.cached_tokens == 0);
        /* Words beyond the end: not eligible. */
        choice.host = 77;
        eligible.words = edges[edge] / 64;
        CHECK_CODE(EK_CODE_NO_HOST, choose(upstream, NULL, &eligible, &choice));
        /* Tried before: not again. */
        eligible.words = 3;
        eligible.tried = mask;
        CHECK_CODE(EK_CODE_NO_HOST, choose(upstream, NULL, &eligible, &choice));
        CHECK(choice.host == 77);
        eligible.hosts = NULL;
        CHECK_CODE(EK_CODE_OK, choose(upstream, NULL, &eligible, &choice));
        CHECK(choice.host != edges[edge]);
    }
    uint64_t beyond[3] = {0, 0, (uint64_t)1 << 2};
    ek_eligible nobody = {sizeof(nobody), 3, beyond, NULL};
    CHECK_CODE(EK_CODE_NO_HOST, choose(upstream, NULL, &nobody, &choice));
    ek_counters counters = counters_of(upstream);
    CHECK(counters.only_host == 6 && counters.no_host == 14 && counters.no_policy == 6);
    CHECK(counters.policy == 0 && counters.no_score == 0 && counters.taken_back == 0 && counters.reserved == 0);
}

static void least_request_stands_in_for_a_model(void)
{
    enum { HOSTS = 4, PICKS = 400 };
    ek_upstream *upstream = new_upstream(HOSTS);
    ek_facts facts = facts_of(10);
    ek_ticket tickets[PICKS];
    uint32_t host;
    for (uint64_t key = 1; key <= HOSTS; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, key, 1.0f, 0, &host));
    }
    for (int pick = 0; pick < PICKS; pick++) {
        ek_choice choice = blank_choice();
        CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, NULL, &choice));
        CHECK(choice.reason == EK_REASON_NO_POLICY && choice.host < HOSTS);
        CHECK_CODE(EK_CODE_OK, begin(upstream, &facts, choice.host, 1, &tickets[pick]));
    }
    uint32_t in_flight = 0;
    for (host = 0; host < HOSTS; host++) {
        /* The power of two choices: nobody is far from a quarter. */
        uint32_t here = stats_of(upstream, host).in_flight;
        CHECK(here > PICKS / HOSTS - 10 && here < PICKS / HOSTS + 10);
        in_flight += here;
    }
    CHECK(in_flight == PICKS);
}

static void counts_are_exact(void)
{
    ek_upstream *upstream = new_upstream(2);
    ek_outcome outcome = success_of(20);
    ek_ticket ticket;
    ek_facts facts = facts_of(10);
    uint32_t host;
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 1, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, begin(upstream, &facts, 1, 5, &ticket));
    CHECK_CODE(EK_CODE_NULL_POINTER, begin(upstream, &facts, 0, 5, NULL));
    /* Nobody else shares the memory. */
    CHECK_CODE(EK_CODE_PROCESS_UNKNOWN, ek_upstream_begin(upstream, 0, NULL, &facts, 0, 5, &ticket));
    CHECK_CODE(EK_CODE_PROCESS_UNKNOWN, ek_upstream_join(upstream, 0, NULL));
    CHECK(stats_of(upstream, 0).sent_total == 0);

    ek_ticket tickets[10];
    for (uint32_t i = 0; i < 10; i++) {
        facts.prompt_tokens = 10 + i;
        CHECK_CODE(EK_CODE_OK, begin(upstream, &facts, 0, 1000, &tickets[i]));
        CHECK(tickets[i].in_flight_at_send == i + 1 && tickets[i].under_way == 1 && tickets[i].owner == 0);
    }
    CHECK(stats_of(upstream, 0).in_flight == 10);
    CHECK(stats_of(upstream, 0).in_flight_prompt_tokens == 145);
    for (uint32_t i = 0; i < 10; i++) {
        outcome.status = i % 5;
        CHECK_CODE(EK_CODE_OK, ek_upstream_first_token(upstream, &tickets[i], 501000));
        CHECK_CODE(EK_CODE_OK, ek_upstream_finish(upstream, NULL, &tickets[i], NULL, &outcome, 1001000));
        /* Once is enough. */
        CHECK_CODE(EK_CODE_TICKET, ek_upstream_finish(upstream, NULL, &tickets[i], NULL, &outcome, 1001000));
        CHECK_CODE(EK_CODE_TICKET, ek_upstream_first_token(upstream, &tickets[i], 1001000));
    }
    ek_stats stats = stats_of(upstream, 0);
    CHECK(stats.in_flight == 0 && stats.in_flight_prompt_tokens == 0);
    CHECK(stats.sent_total == 10 && stats.done_total == 10);
    /* Failures and timeouts, neither clients that went away nor answers without work. */
    CHECK(stats.failed_total == 4);
    CHECK(fabsf(stats.latency_ewma_s - 1.0f) < 1e-4f && fabsf(stats.ttft_ewma_s - 0.5f) < 1e-4f);

    CHECK_CODE(EK_CODE_OK, begin(upstream, NULL, 0, 1000, &ticket));
    outcome.status = 99;
    CHECK_CODE(EK_CODE_ENUMERATION, ek_upstream_finish(upstream, NULL, &ticket, NULL, &outcome, 2000));
    outcome = success_of(20);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_finish(upstream, NULL, &ticket, NULL, NULL, 2000));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_finish(upstream, NULL, NULL, NULL, &outcome, 2000));
    CHECK(stats_of(upstream, 0).in_flight == 1);
    ek_ticket forged = ticket;
    forged.host = 1;
    CHECK_CODE(EK_CODE_TICKET, ek_upstream_finish(upstream, NULL, &forged, NULL, &outcome, 2000));
    CHECK_CODE(EK_CODE_OK, ek_upstream_finish(upstream, NULL, &ticket, NULL, &outcome, 2000));
    CHECK(stats_of(upstream, 0).in_flight == 0);
}

static void processes_are_told_apart(void)
{
    ek_upstream_options options = options_of(1);
    options.processes_max = 2;
    ek_upstream *upstream = new_upstream_of(&options);
    ek_outcome outcome = success_of(1);
    ek_ticket ticket;
    uint32_t host, taken_back = 77;
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 1, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_PROCESS_UNKNOWN, begin(upstream, NULL, 0, 1, &ticket));
    CHECK_CODE(EK_CODE_PROCESS_UNKNOWN, ek_upstream_begin(upstream, 1, NULL, NULL, 0, 1, &ticket));
    CHECK_CODE(EK_CODE_PROCESS_UNKNOWN, ek_upstream_join(upstream, 2, &taken_back));
    CHECK_CODE(EK_CODE_OK, ek_upstream_join(upstream, 1, &taken_back));
    CHECK(taken_back == 0);
    CHECK_CODE(EK_CODE_OK, ek_upstream_begin(upstream, 1, NULL, NULL, 0, 1, &ticket));
    /* Its successor takes back what it left. */
    CHECK_CODE(EK_CODE_OK, ek_upstream_join(upstream, 1, &taken_back));
    CHECK(taken_back == 1 && stats_of(upstream, 0).in_flight == 0 && counters_of(upstream).taken_back == 1);
    CHECK_CODE(EK_CODE_TICKET, ek_upstream_finish(upstream, NULL, &ticket, NULL, &outcome, 2));
}

/* Answers of a class are expected to be as long as those before, within the request's limit. */
static void classes_are_learned(void)
{
    ek_upstream *upstream = new_upstream(1);
    ek_facts facts = facts_of(10);
    ek_choice choice = blank_choice();
    ek_ticket ticket;
    uint32_t host;
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 1, 1.0f, 0, &host));
    facts.class_key = ek_host_key("chat", 4);
    for (uint32_t i = 0; i < 20; i++) {
        ek_outcome outcome = success_of(i % 2 == 0 ? 100 : 140);
        CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, NULL, &choice));
        CHECK((i < 8) == (choice.output_tokens == 0));
        CHECK_CODE(EK_CODE_OK, begin(upstream, &facts, 0, 1, &ticket));
        CHECK_CODE(EK_CODE_OK, ek_upstream_finish(upstream, NULL, &ticket, &facts, &outcome, 2));
    }
    CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, NULL, &choice));
    CHECK(choice.output_tokens == 120);
    facts.output_tokens_max = 50;
    CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, NULL, &choice));
    CHECK(choice.output_tokens == 50);
    facts.class_key++;
    CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, NULL, &choice));
    CHECK(choice.output_tokens == 0);
}

/* What a token has in bytes follows what engines count. */
static void texts_are_measured(void)
{
    ek_upstream *upstream = new_upstream(2);
    ek_facts facts = facts_of(0);
    uint32_t tokens = 77;

    facts.text_bytes = 4000;
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_prompt_tokens(upstream, &facts, 1, NULL));
    CHECK_CODE(EK_CODE_OK, ek_upstream_prompt_tokens(upstream, &facts, 1, &tokens));
    CHECK(tokens == 1000);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_counted(NULL, &facts, 2000, 1));
    for (uint32_t i = 0; i < 60; i++)
        CHECK_CODE(EK_CODE_OK, ek_upstream_counted(upstream, &facts, 2000, 1));
    CHECK_CODE(EK_CODE_OK, ek_upstream_prompt_tokens(upstream, &facts, 1, &tokens));
    CHECK(tokens > 1950 && tokens <= 2001);
    CHECK_CODE(EK_CODE_OK, ek_upstream_prompt_tokens(upstream, NULL, 1, &tokens));
    CHECK(tokens == 0);
}

/* A host is guessed to have cached what it was sent, until it restarts or refuses it. */
static void prefixes_are_remembered(void)
{
    ek_upstream *upstream = new_upstream(2);
    ek_facts facts = facts_of(300);
    ek_outcome outcome = success_of(50);
    ek_choice choice = blank_choice();
    ek_ticket ticket;
    uint64_t second = 2;
    ek_eligible only = {sizeof(only), 1, &second, NULL};
    uint32_t host;
    for (uint64_t key = 1; key <= 2; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, key, 1.0f, 0, &host));
    }
    facts.prefix_keys[0] = ek_host_key("beginning", 9);
    facts.session_key = ek_host_key("session", 7);
    CHECK_CODE(EK_CODE_OK, begin(upstream, &facts, 1, 1000, &ticket));
    CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, &only, &choice));
    CHECK(choice.host == 1 && choice.cached_tokens == 299);
    outcome.status = EK_STATUS_NO_WORK;
    CHECK_CODE(EK_CODE_OK, ek_upstream_finish(upstream, NULL, &ticket, &facts, &outcome, 2000));
    CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, &only, &choice));
    CHECK(choice.cached_tokens == 0);
    outcome.status = EK_STATUS_SUCCESS;
    outcome.cached_tokens = 0;
    CHECK_CODE(EK_CODE_OK, begin(upstream, &facts, 1, 3000, &ticket));
    CHECK_CODE(EK_CODE_OK, ek_upstream_finish(upstream, NULL, &ticket, &facts, &outcome, 4000));
    facts.prompt_tokens = 1000;
    CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, &only, &choice));
    CHECK(choice.cached_tokens == 350);
    CHECK_CODE(EK_CODE_OK, ek_host_restarted(upstream, 1, 5000));
    CHECK_CODE(EK_CODE_OK, choose(upstream, &facts, &only, &choice));
    CHECK(choice.cached_tokens == 0);
}

static void hosts_start_slowly(void)
{
    ek_upstream *upstream = new_upstream(2);
    uint32_t host;
    for (uint64_t key = 1; key <= 2; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, key, 1.0f, 0, &host));
    }
    CHECK_CODE(EK_CODE_OK, ek_host_weight(upstream, 1, 4.0f));
    CHECK(stats_of(upstream, 1).weight == 4.0f && stats_of(upstream, 1).full_share == 1.0f);
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_weight(upstream, 2, 4.0f));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_restarted(upstream, 2, 0));
    CHECK_CODE(EK_CODE_OK, ek_upstream_tick(upstream, NULL, 10000000, 1000000, 0.0, NULL, 0));
    CHECK_CODE(EK_CODE_OK, ek_host_restarted(upstream, 0, 1000000));
    CHECK(stats_of(upstream, 0).full_share == 0.1f);
    CHECK_CODE(EK_CODE_OK, ek_upstream_tick(upstream, NULL, 10000000, 6000000, 5.0, NULL, 0));
    CHECK(stats_of(upstream, 0).full_share == 0.5f && stats_of(upstream, 1).full_share == 1.0f);
    CHECK_CODE(EK_CODE_OK, ek_upstream_tick(upstream, NULL, 10000000, 11000000, 10.0, NULL, 0));
    CHECK(stats_of(upstream, 0).full_share == 1.0f && stats_of(upstream, 0).weight == 1.0f);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_tick(NULL, NULL, 1, 1, 0.0, NULL, 0));
}

static void choices_are_timed(void)
{
    ek_upstream *upstream = new_upstream(1);
    uint64_t end_ns = 0, before_ns = 0, count = 0, counted = 0;
    CHECK(counters_of(upstream).choice_time_p99_ns == 0);
    for (uint64_t i = 1; i <= 100; i++) {
        CHECK_CODE(EK_CODE_OK, ek_upstream_timed(upstream, i * 100));
    }
    for (uint32_t bucket = 0; bucket < EK_HISTOGRAM_BUCKETS; bucket++) {
        CHECK_CODE(EK_CODE_OK, ek_upstream_time_bucket(upstream, bucket, &end_ns, &count));
        CHECK(end_ns > before_ns);
        before_ns = end_ns;
        counted += count;
    }
    CHECK_CODE(EK_CODE_CAPACITY, ek_upstream_time_bucket(upstream, EK_HISTOGRAM_BUCKETS, &end_ns, &count));
    ek_counters counters = counters_of(upstream);
    CHECK(counted == 100 && counters.choice_time_sum_ns == 505000);
    CHECK(counters.choice_time_p99_ns >= 9900 && counters.choice_time_p99_ns <= 9900 * 5 / 4);
}

static void demand_is_read(void)
{
    ek_upstream *upstream = new_upstream(1);
    ek_demand_reading reading;
    memset(&reading, 0xee, sizeof(reading));
    reading.struct_size = sizeof(reading);
    for (uint64_t second = 1; second <= 300; second++) {
        for (int i = 0; i < 20; i++) {
            CHECK_CODE(EK_CODE_OK, ek_upstream_arrived(upstream));
        }
        CHECK_CODE(EK_CODE_OK, ek_upstream_tick(upstream, NULL, 0, second * 1000000, 1.7e9 + (double)second, NULL, 0));
    }
    CHECK_CODE(EK_CODE_OK, ek_upstream_demand(upstream, NULL, NULL, &reading));
    CHECK(fabsf(reading.present_per_s - 20.0f) < 0.5f && isnan(reading.forecast_per_s) && isnan(reading.replicas));
    ek_scale scale = {sizeof(scale), 5.0f, 60.0f, 0.9f, 1.0f, 0.0f};
    CHECK_CODE(EK_CODE_OK, ek_scale_check(&scale));
    CHECK_CODE(EK_CODE_OK, ek_upstream_demand(upstream, NULL, &scale, &reading));
    CHECK(fabsf(reading.replicas - 4.0f) < 0.1f);
    scale.quantile = 0.95f;
    CHECK_CODE(EK_CODE_SCALE_RANGE, ek_scale_check(&scale));
    CHECK_CODE(EK_CODE_SCALE_RANGE, ek_upstream_demand(upstream, NULL, &scale, &reading));
    ek_forecast forecast;
    forecast.struct_size = sizeof(forecast);
    CHECK(ek_model_history(NULL) == 0);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_upstream_forecast(upstream, NULL, &forecast));
}

static void nothing_is_read_through_wrong_pointers(void)
{
    ek_upstream *upstream = new_upstream(2);
    unsigned char *room = aligned(256, 64);
    uint32_t host;
    CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, 1, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_MISALIGNED, begin(upstream, NULL, 0, 1, (ek_ticket *)(void *)(room + 1)));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_host_report(upstream, 0, (const ek_telemetry *)(const void *)(room + 2), 1, 1));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_host_find(upstream, 1, (uint32_t *)(void *)(room + 3)));
    CHECK_CODE(EK_CODE_MISALIGNED,
               ek_host_find((const ek_upstream *)(const void *)((unsigned char *)upstream + 8), 1, &host));
    ek_choice choice = blank_choice();
    ek_eligible eligible = {sizeof(eligible), 1, (const uint64_t *)(const void *)(room + 4), NULL};
    CHECK_CODE(EK_CODE_MISALIGNED, choose(upstream, NULL, &eligible, &choice));
    CHECK_CODE(EK_CODE_MISALIGNED, choose(upstream, (const ek_facts *)(const void *)(room + 4), NULL, &choice));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_upstream_choose(upstream, NULL, NULL, NULL, 1, room + 1, 64, &choice));
    CHECK_CODE(EK_CODE_MODEL_FOREIGN, ek_upstream_choose(upstream, (const ek_model *)(const void *)room, NULL, NULL, 1,
                                                         NULL, 0, &choice));
}

/* With a trained artifact. */
static void a_model_foresees(const ek_model *model)
{
    ek_upstream_options options = options_of(1);
    options.history_values = ek_model_history(model);
    CHECK(options.history_values > 0);
    ek_upstream *upstream = new_upstream_of(&options);
    size_t scratch_size = ek_scratch_size(model, 1);
    unsigned char *scratch = aligned(scratch_size, 64);
    ek_forecast forecast;
    forecast.struct_size = sizeof(forecast);
    CHECK_CODE(EK_CODE_NO_FORECAST, ek_upstream_forecast(upstream, model, &forecast));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_upstream_tick(upstream, model, 0, 1, 1.7e9, scratch, 4));
    /* Half an hour, a request a second. */
    for (uint64_t second = 1; second <= 1800; second++) {
        CHECK_CODE(EK_CODE_OK, ek_upstream_arrived(upstream));
        CHECK_CODE(EK_CODE_OK, ek_upstream_tick(upstream, model, 0, second * 1000000, 1.7e9 + (double)second, scratch,
                                                scratch_size));
    }
    CHECK_CODE(EK_CODE_OK, ek_upstream_forecast(upstream, model, &forecast));
    CHECK(forecast.step_s > 0.0f && forecast.horizons[0] >= 1);
    CHECK(forecast.history_days > 0.0f && forecast.history_days < 0.03f);
    for (int horizon = 0; horizon < EK_HORIZONS; horizon++) {
        CHECK(forecast.quantiles[horizon][0] >= 0.0f);
        for (int quantile = 1; quantile < EK_QUANTILES; quantile++) {
            CHECK(forecast.quantiles[horizon][quantile] >= forecast.quantiles[horizon][quantile - 1]);
        }
    }
    ek_demand_reading reading;
    reading.struct_size = sizeof(reading);
    CHECK_CODE(EK_CODE_OK, ek_upstream_demand(upstream, model, NULL, &reading));
    CHECK(isfinite(reading.forecast_per_s) && fabsf(reading.present_per_s - 1.0f) < 0.1f);
    /* Without room for the history. */
    CHECK_CODE(EK_CODE_HISTORY_SHORT, ek_upstream_tick(new_upstream(1), model, 0, 1, 1.7e9, scratch, scratch_size));
}

/* With a trained artifact. */
static void a_model_chooses(const unsigned char *bytes, size_t len)
{
    size_t size = ek_model_size();
    unsigned char *storage = aligned(size, EK_MODEL_ALIGNMENT);
    const ek_model *model = NULL;
    /* One flipped bit, and one byte less, are noticed. */
    unsigned char *damaged = aligned(len, 64);
    memcpy(damaged, bytes, len);
    damaged[len - 1] ^= 1;
    CHECK_CODE(EK_CODE_ARTIFACT_CHECKSUM, ek_model_load(damaged, len, storage, size, &model));
    CHECK_CODE(EK_CODE_ARTIFACT_TRUNCATED, ek_model_load(bytes, len - 1, storage, size, &model));
    CHECK_CODE(EK_CODE_OK, ek_model_load(bytes, len, storage, size, &model));
    if (model == NULL) {
        return;
    }
    const char *json = NULL;
    size_t json_len = 0;
    CHECK_CODE(EK_CODE_OK, ek_model_metadata(model, &json, &json_len));
    CHECK(json_len >= 2 && json[0] == '{');

    enum { HOSTS = 20 };
    ek_upstream *upstream = new_upstream(HOSTS);
    uint32_t host;
    for (uint64_t key = 1; key <= HOSTS; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(upstream, key, 1.0f, 1, &host));
    }
    size_t scratch_size = ek_scratch_size(model, HOSTS);
    CHECK(scratch_size > 0);
    unsigned char *scratch = aligned(scratch_size, 64);
    ek_facts facts = facts_of(500);
    ek_choice choice = blank_choice();
    /* Short scratch: a host all the same. */
    CHECK_CODE(EK_CODE_OK, ek_upstream_choose(upstream, model, &facts, NULL, 1000, scratch, 64, &choice));
    CHECK(choice.reason == EK_REASON_NO_SCORE && choice.host < HOSTS);
    CHECK_CODE(EK_CODE_OK, ek_upstream_choose(upstream, model, &facts, NULL, 1000, scratch, scratch_size, &choice));
    CHECK(choice.reason == EK_REASON_POLICY && isfinite(choice.score));

    ek_host_explanation hosts[HOSTS];
    ek_explanation explanation = {sizeof(explanation), sizeof(hosts[0]), hosts, HOSTS - 1, 77, 77, 77, 77, 0.0f};
    CHECK_CODE(EK_CODE_CAPACITY, ek_upstream_explain(upstream, model, &facts, NULL, 1000, scratch, scratch_size,
                                                     &explanation));
    CHECK(explanation.hosts_written == 77);
    explanation.hosts_len = HOSTS;
    CHECK_CODE(EK_CODE_OK, ek_upstream_explain(upstream, model, &facts, NULL, 1000, scratch, scratch_size,
                                               &explanation));
    CHECK(explanation.hosts_written == HOSTS && explanation.reason == EK_REASON_POLICY);
    for (host = 0; host < HOSTS; host++) {
        CHECK(hosts[host].host == host && hosts[host].eligible == 1 && hosts[host].estimate_s > 0.0f);
        CHECK(hosts[host].score >= choice.score);
    }
    /* Hosts 1 and 5, of which one was tried. */
    uint64_t some = 0x22, first = 0x02;
    ek_eligible eligible = {sizeof(eligible), 1, &some, &first};
    CHECK_CODE(EK_CODE_OK, ek_upstream_explain(upstream, model, &facts, &eligible, 1000, scratch, scratch_size,
                                               &explanation));
    CHECK(explanation.reason == EK_REASON_ONLY_HOST && explanation.best == 5);
    CHECK(hosts[1].eligible == 0 && hosts[5].eligible == 1 && isnan(hosts[1].score));
    CHECK_CODE(EK_CODE_OK, ek_upstream_choose(upstream, model, &facts, &eligible, 1000, scratch, scratch_size,
                                              &choice));
    CHECK(choice.host == 5);
    a_model_foresees(model);
}

static void bodies_of_requests_are_read(void)
{
    static const char text[] = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"caf\\u00e9 au lait\"},"
                               "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}]}],"
                               "\"model\":\"m\",\"max_tokens\":77,\"stream\":true,\"user\":\"al\"}";
    const size_t len = sizeof(text) - 1;
    CHECK(ek_body_request_accepts("application/json; charset=utf-8", 31, NULL, 0) == 1);
    CHECK(ek_body_request_accepts(NULL, 0, NULL, 0) == 1);
    CHECK(ek_body_request_accepts("application/json", 16, "gzip", 4) == 0);
    CHECK(ek_body_request_accepts(NULL, 4, NULL, 0) == 0);

    size_t size = ek_body_request_size();
    unsigned char *memory = aligned(size, 64);
    ek_request_reader *reader = NULL;
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_init(NULL, size, &reader));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_init(memory, size, NULL));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_body_request_init(memory + 1, size, &reader));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_body_request_init(memory, size - 1, &reader));
    CHECK(reader == NULL);
    uint32_t more = 7;
    ek_request_body body = {.struct_size = sizeof(body)};
    CHECK_CODE(EK_CODE_READER_FOREIGN, ek_body_request_feed((ek_request_reader *)memory, text, len, &more));
    CHECK_CODE(EK_CODE_READER_FOREIGN, ek_body_request_read((ek_request_reader *)memory, len, &body));
    memory[size] = 0xaa;
    CHECK_CODE(EK_CODE_OK, ek_body_request_init(memory, size, &reader));
    CHECK(memory[size] == 0xaa);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_feed(NULL, text, len, &more));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_feed(reader, NULL, 1, &more));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_body_request_feed((ek_request_reader *)(memory + 1), text, len, &more));
    CHECK(more == 7);
    CHECK_CODE(EK_CODE_OK, ek_body_request_feed(reader, NULL, 0, NULL));
    for (size_t at = 0; at < len; at++) {
        CHECK_CODE(EK_CODE_OK, ek_body_request_feed(reader, text + at, 1, &more));
        CHECK(more == (at + 1 < len));
    }
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_read(NULL, len, &body));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_read(reader, len, NULL));
    body.struct_size--;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_body_request_read(reader, len, &body));
    body.struct_size++;
    CHECK_CODE(EK_CODE_OK, ek_body_request_read(reader, EK_UNKNOWN, &body));
    CHECK(body.struct_size == sizeof(body) && body.reserved == 0);
    CHECK(body.text_bytes == 13 && body.token_ids == 0 && body.images == 1 && body.audios == 0);
    CHECK(body.max_tokens == 77 && body.choices == 1 && body.is_stream == 1 && body.truncated == 0);
    CHECK(body.model_hash == ek_host_key("m", 1) && body.session_hash == ek_host_key("al", 2));
    CHECK(body.prefix_keys[0] == 0 && body.prefix_keys[EK_PREFIX_KEYS - 1] == 0);

    uint32_t tokens = 99;
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_tokens(NULL, 4.0f, 100, 0, &tokens));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_request_tokens(&body, 4.0f, 100, 0, NULL));
    CHECK(tokens == 99);
    CHECK_CODE(EK_CODE_OK, ek_body_request_tokens(&body, 4.0f, 100, 0, &tokens));
    CHECK(tokens == 103);
    CHECK_CODE(EK_CODE_OK, ek_body_request_tokens(&body, (float)NAN, 0, 0, &tokens));
    CHECK(tokens == 3);

    /* Half of a body: what is missing is taken to be like what is there. */
    CHECK_CODE(EK_CODE_OK, ek_body_request_init(memory, size, &reader));
    CHECK_CODE(EK_CODE_OK, ek_body_request_feed(reader, "{\"prompt\":\"0123456789", 21, &more));
    CHECK_CODE(EK_CODE_OK, ek_body_request_read(reader, 42, &body));
    CHECK(more == 1 && body.truncated == 1 && body.text_bytes == 20);
    CHECK_CODE(EK_CODE_OK, ek_body_request_read(reader, EK_UNKNOWN, &body));
    CHECK(body.truncated == 1 && body.text_bytes == 10);
}

static void bodies_of_responses_are_read(void)
{
    static const char role[] = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    static const char token[] = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    static const char usage[] = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":5,"
                                "\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n";
    CHECK(ek_body_response_kind("text/event-stream", 17, NULL, 0) == EK_BODY_KIND_EVENTS);
    CHECK(ek_body_response_kind("application/json", 16, "identity", 8) == EK_BODY_KIND_JSON);
    CHECK(ek_body_response_kind("application/json", 16, "br", 2) == EK_BODY_KIND_NONE);
    CHECK(ek_body_response_kind("application/grpc", 16, NULL, 0) == EK_BODY_KIND_NONE);
    CHECK(ek_body_response_kind(NULL, 0, NULL, 0) == EK_BODY_KIND_NONE);

    size_t size = ek_body_response_size();
    unsigned char *memory = aligned(size, 64);
    ek_response_reader *reader = NULL;
    uint32_t first = 7;
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_init(NULL, size, EK_BODY_KIND_EVENTS, &reader));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_init(memory, size, EK_BODY_KIND_EVENTS, NULL));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_body_response_init(memory + 4, size, EK_BODY_KIND_EVENTS, &reader));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_body_response_init(memory, size - 1, EK_BODY_KIND_EVENTS, &reader));
    CHECK_CODE(EK_CODE_ENUMERATION, ek_body_response_init(memory, size, EK_BODY_KIND_NONE, &reader));
    CHECK_CODE(EK_CODE_ENUMERATION, ek_body_response_init(memory, size, 3, &reader));
    CHECK_CODE(EK_CODE_READER_FOREIGN, ek_body_response_feed((ek_response_reader *)memory, role, 1, &first));
    CHECK_CODE(EK_CODE_OK, ek_body_response_init(memory, size, EK_BODY_KIND_EVENTS, &reader));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_feed(NULL, role, 1, &first));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_feed(reader, NULL, 1, &first));
    CHECK(first == 7);
    /* A reader of one kind is none of the other. */
    CHECK_CODE(EK_CODE_READER_FOREIGN, ek_body_request_feed((ek_request_reader *)memory, role, 1, NULL));

    ek_response_body body = {.struct_size = sizeof(body)};
    CHECK_CODE(EK_CODE_OK, ek_body_response_feed(reader, role, sizeof(role) - 1, &first));
    CHECK(first == 0);
    CHECK_CODE(EK_CODE_OK, ek_body_response_feed(reader, token, sizeof(token) - 1, &first));
    CHECK(first == 1);
    CHECK_CODE(EK_CODE_OK, ek_body_response_feed(reader, token, sizeof(token) - 1, &first));
    CHECK(first == 0);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_read(reader, NULL));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_read(NULL, &body));
    CHECK_CODE(EK_CODE_OK, ek_body_response_read(reader, &body));
    CHECK(body.content_events == 2 && body.is_counted == 1 && body.output_tokens == 2);
    CHECK(body.prompt_tokens == EK_UNKNOWN && body.cached_tokens == EK_UNKNOWN);
    CHECK(body.is_complete == 0 && body.is_error == 0);
    CHECK_CODE(EK_CODE_OK, ek_body_response_feed(reader, usage, sizeof(usage) - 1, NULL));
    CHECK_CODE(EK_CODE_OK, ek_body_response_read(reader, &body));
    CHECK(body.content_events == 2 && body.is_counted == 0 && body.output_tokens == 5);
    CHECK(body.prompt_tokens == 9 && body.cached_tokens == 4 && body.is_complete == 1);
    body.struct_size = sizeof(body) - 1;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_body_response_read(reader, &body));
}

static int with_artifact(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        return 2;
    }
    long len = ftell(file);
    unsigned char *bytes = aligned((size_t)len, 64);
    rewind(file);
    if (fread(bytes, 1, (size_t)len, file) != (size_t)len) {
        perror(path);
        return 2;
    }
    fclose(file);
    a_model_chooses(bytes, (size_t)len);
    return 0;
}

int main(int argc, char **argv)
{
    versions_and_texts();
    models_are_validated();
    upstreams_are_checked();
    hosts_come_and_go();
    structures_are_checked();
    masks_hold_at_their_edges();
    least_request_stands_in_for_a_model();
    counts_are_exact();
    processes_are_told_apart();
    classes_are_learned();
    texts_are_measured();
    prefixes_are_remembered();
    hosts_start_slowly();
    choices_are_timed();
    demand_is_read();
    nothing_is_read_through_wrong_pointers();
    bodies_of_requests_are_read();
    bodies_of_responses_are_read();
    if (argc > 1 && with_artifact(argv[1]) != 0) {
        return 2;
    }
    printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}

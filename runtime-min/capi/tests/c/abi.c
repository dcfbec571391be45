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

static ek_state *new_state(uint32_t hosts_max)
{
    ek_state *state = NULL;
    size_t size = ek_state_size(hosts_max);
    CHECK_CODE(EK_CODE_OK, ek_state_init(aligned(size, EK_STATE_ALIGNMENT), size, hosts_max, 7, &state));
    return state;
}

static ek_request request_of(uint32_t prompt_tokens)
{
    ek_request request = {sizeof(request), prompt_tokens, NULL, 0, 0};
    return request;
}

static ek_stats stats_of(const ek_state *state, uint32_t host)
{
    ek_stats stats;
    memset(&stats, 0xee, sizeof(stats));
    stats.struct_size = sizeof(stats);
    CHECK_CODE(EK_CODE_OK, ek_host_stats(state, host, 0, &stats));
    return stats;
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

static void states_are_checked(void)
{
    size_t size = ek_state_size(4);
    unsigned char *memory = aligned(size, EK_STATE_ALIGNMENT);
    ek_state *state = NULL;
    CHECK(ek_state_size(0) == 0);
    CHECK(ek_state_size(EK_HOSTS_MAX) > 0);
    CHECK(ek_state_size(EK_HOSTS_MAX + 1) == 0);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_state_init(NULL, size, 4, 1, &state));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_state_init(memory, size, 4, 1, NULL));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_state_init(memory + 64, size, 4, 1, &state));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_state_init(memory, size - 1, 4, 1, &state));
    CHECK_CODE(EK_CODE_MAX_HOSTS, ek_state_init(memory, size, 0, 1, &state));
    CHECK_CODE(EK_CODE_MAX_HOSTS, ek_state_init(memory, size, EK_HOSTS_MAX + 1, 1, &state));
    CHECK_CODE(EK_CODE_STATE_FOREIGN, ek_state_attach(memory, size, &state));
    CHECK(state == NULL);

    uint32_t host = 99;
    CHECK_CODE(EK_CODE_STATE_FOREIGN, ek_host_find((const ek_state *)memory, 1, &host));
    CHECK_CODE(EK_CODE_OK, ek_state_init(memory, size, 4, 1, &state));
    CHECK_CODE(EK_CODE_OK, ek_host_register(state, 42, 1.0f, 0, &host));
    ek_state *again = NULL;
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_state_attach(memory, size - 1, &again));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_state_attach(memory, 16, &again));
    CHECK(again == NULL);
    CHECK_CODE(EK_CODE_OK, ek_state_attach(memory, size, &again));
    CHECK_CODE(EK_CODE_OK, ek_host_find(again, 42, &host));
    CHECK(host == 0);
    /* Another layout: bytes 8 to 11 say which. */
    memory[8] ^= 1;
    CHECK_CODE(EK_CODE_STATE_LAYOUT, ek_state_attach(memory, size, &again));
    memory[8] ^= 1;
    /* A state that claims more hosts than the memory holds. */
    memory[12] ^= 1;
    CHECK_CODE(EK_CODE_STATE_LAYOUT, ek_state_attach(memory, size, &again));
    memory[12] ^= 1;
    memory[0] ^= 1;
    CHECK_CODE(EK_CODE_STATE_FOREIGN, ek_state_attach(memory, size, &again));

    /* Memory behind the state is left alone. */
    size_t one = ek_state_size(1);
    unsigned char *guarded = aligned(one, EK_STATE_ALIGNMENT);
    memset(guarded, 0xaa, one + 1);
    CHECK_CODE(EK_CODE_OK, ek_state_init(guarded, one, 1, 1, &state));
    CHECK(guarded[one] == 0xaa);
}

static void hosts_come_and_go(void)
{
    ek_state *state = new_state(3);
    uint32_t host = 99;
    CHECK_CODE(EK_CODE_HOST_KEY_ZERO, ek_host_register(state, 0, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_host_register(state, 1, 1.0f, 0, NULL));
    CHECK(host == 99);
    for (uint64_t key = 1; key <= 3; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(state, key * 1000, 1.0f, 0, &host));
        CHECK(host == key - 1);
    }
    CHECK_CODE(EK_CODE_OK, ek_host_register(state, 2000, 5.0f, 0, &host));
    CHECK(host == 1);
    CHECK(stats_of(state, 1).weight == 5.0f);
    CHECK_CODE(EK_CODE_HOSTS_FULL, ek_host_register(state, 4000, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_OK, ek_host_remove(state, 2000));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_remove(state, 2000));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_remove(state, 0));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_find(state, 2000, &host));
    CHECK_CODE(EK_CODE_OK, ek_host_register(state, 4000, 1.0f, 0, &host));
    CHECK(host == 1);
    ek_stats stats = {0};
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_host_stats(state, 0, 0, &stats));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_host_stats(state, 0, 0, NULL));
    stats.struct_size = sizeof(stats);
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_stats(state, 3, 0, &stats));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_stats(state, UINT32_MAX, 0, &stats));
}

static void structures_are_checked(void)
{
    ek_state *state = new_state(2);
    uint32_t host;
    CHECK_CODE(EK_CODE_OK, ek_host_register(state, 1, 1.0f, 0, &host));
    ek_decision decision = {sizeof(decision), 77, 77, 77.0f};
    ek_request request = request_of(100);

    CHECK_CODE(EK_CODE_NULL_POINTER, ek_decide(NULL, NULL, &request, NULL, 0, 1, NULL, 0, &decision));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_decide(NULL, state, NULL, NULL, 0, 1, NULL, 0, &decision));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_decide(NULL, state, &request, NULL, 1, 1, NULL, 0, &decision));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 64, &decision));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 0, NULL));
    request.struct_size--;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 0, &decision));
    request = request_of(100);
    request.struct_size = UINT32_MAX;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 0, &decision));
    request = request_of(100);
    request.cached_tokens_len = 1;
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 0, &decision));
    request = request_of(100);
    decision.struct_size = 4;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 0, &decision));
    CHECK(decision.host == 77 && decision.reason == 77);

    /* A caller with a newer header: longer structures, zero where we know nothing. */
    struct {
        ek_request known;
        uint64_t later;
    } newer = {request_of(100), 0};
    newer.known.struct_size = sizeof(newer);
    decision.struct_size = sizeof(decision);
    CHECK_CODE(EK_CODE_OK, ek_decide(NULL, state, &newer.known, NULL, 0, 1, NULL, 0, &decision));
    newer.later = 1;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_decide(NULL, state, &newer.known, NULL, 0, 1, NULL, 0, &decision));

    ek_telemetry telemetry = {sizeof(telemetry), 1.0f, 0.0f, 0.0f, 0.5f, 0.02f};
    CHECK_CODE(EK_CODE_OK, ek_report(state, 0, &telemetry, 1000, 1000));
    CHECK_CODE(EK_CODE_REPORT_STALE, ek_report(state, 0, &telemetry, 999, 1000));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_report(state, 1, &telemetry, 2000, 2000));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_report(state, 0, NULL, 2000, 2000));
    telemetry.struct_size = 0;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_report(state, 0, &telemetry, 2000, 2000));
    telemetry.struct_size = sizeof(telemetry);
    telemetry.kv_use = -1.0f;
    telemetry.waiting = INFINITY;
    CHECK_CODE(EK_CODE_OK, ek_report(state, 0, &telemetry, 2000, 2000));
    CHECK(isnan(stats_of(state, 0).kv_use) && isnan(stats_of(state, 0).waiting));
    CHECK(stats_of(state, 0).running == 1.0f);
}

static void masks_hold_at_their_edges(void)
{
    ek_state *state = new_state(130);
    ek_request request = request_of(10);
    ek_decision decision = {sizeof(decision), 77, 0, 0.0f};
    uint32_t host;
    CHECK_CODE(EK_CODE_NO_HOST, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 0, &decision));
    for (uint64_t key = 1; key <= 130; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(state, key, 1.0f, 0, &host));
    }
    const uint32_t edges[] = {0, 63, 64, 127, 128, 129};
    for (size_t edge = 0; edge < sizeof(edges) / sizeof(edges[0]); edge++) {
        uint64_t mask[3] = {0, 0, 0};
        mask[edges[edge] / 64] = (uint64_t)1 << (edges[edge] % 64);
        CHECK_CODE(EK_CODE_OK, ek_decide(NULL, state, &request, mask, 3, 1, NULL, 0, &decision));
        CHECK(decision.host == edges[edge] && decision.reason == EK_REASON_ONLY_HOST);
        CHECK(isnan(decision.score));
        /* Words beyond the end: not eligible. */
        decision.host = 77;
        CHECK_CODE(EK_CODE_NO_HOST, ek_decide(NULL, state, &request, mask, edges[edge] / 64, 1, NULL, 0, &decision));
        CHECK(decision.host == 77);
    }
    uint64_t beyond[3] = {0, 0, (uint64_t)1 << 2};
    CHECK_CODE(EK_CODE_NO_HOST, ek_decide(NULL, state, &request, beyond, 3, 1, NULL, 0, &decision));
    uint64_t count = 0;
    CHECK_CODE(EK_CODE_OK, ek_decisions(state, EK_REASON_ONLY_HOST, &count));
    CHECK(count == 6);
    CHECK_CODE(EK_CODE_OK, ek_decisions(state, EK_REASON_NO_HOST, &count));
    CHECK(count == 8);
    CHECK_CODE(EK_CODE_ENUMERATION, ek_decisions(state, 6, &count));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_decisions(state, EK_REASON_POLICY, NULL));
}

static void least_request_stands_in_for_a_model(void)
{
    enum { HOSTS = 4, PICKS = 400 };
    ek_state *state = new_state(HOSTS);
    ek_request request = request_of(10);
    ek_ticket tickets[PICKS];
    uint32_t host;
    for (uint64_t key = 1; key <= HOSTS; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(state, key, 1.0f, 0, &host));
    }
    for (int pick = 0; pick < PICKS; pick++) {
        ek_decision decision = {sizeof(decision), 77, 77, 0.0f};
        CHECK_CODE(EK_CODE_OK, ek_decide(NULL, state, &request, NULL, 0, 1, NULL, 0, &decision));
        CHECK(decision.reason == EK_REASON_NO_POLICY && decision.host < HOSTS);
        CHECK_CODE(EK_CODE_OK, ek_begin(state, decision.host, 10, 1, &tickets[pick]));
    }
    uint32_t in_flight = 0;
    for (host = 0; host < HOSTS; host++) {
        /* The power of two choices: nobody is far from a quarter. */
        uint32_t here = stats_of(state, host).in_flight;
        CHECK(here > PICKS / HOSTS - 10 && here < PICKS / HOSTS + 10);
        in_flight += here;
    }
    CHECK(in_flight == PICKS);
}

static void counts_are_exact(void)
{
    ek_state *state = new_state(2);
    ek_outcome outcome = {sizeof(outcome), EK_STATUS_SUCCESS, 20, 0};
    ek_ticket ticket;
    uint32_t host;
    CHECK_CODE(EK_CODE_OK, ek_host_register(state, 1, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_begin(state, 1, 10, 5, &ticket));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_begin(state, 0, 10, 5, NULL));
    CHECK(stats_of(state, 0).sent_total == 0);

    ek_ticket tickets[10];
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_CODE(EK_CODE_OK, ek_begin(state, 0, 10 + i, 1000, &tickets[i]));
        CHECK(tickets[i].in_flight_at_send == i + 1 && tickets[i].under_way == 1);
    }
    CHECK(stats_of(state, 0).in_flight == 10);
    CHECK(stats_of(state, 0).in_flight_prompt_tokens == 145);
    for (uint32_t i = 0; i < 10; i++) {
        outcome.status = i % 4;
        CHECK_CODE(EK_CODE_OK, ek_first_token(state, &tickets[i], 501000));
        CHECK_CODE(EK_CODE_OK, ek_finish(state, NULL, &tickets[i], &outcome, 1001000));
        /* Once is enough. */
        CHECK_CODE(EK_CODE_TICKET, ek_finish(state, NULL, &tickets[i], &outcome, 1001000));
        CHECK_CODE(EK_CODE_TICKET, ek_first_token(state, &tickets[i], 1001000));
    }
    ek_stats stats = stats_of(state, 0);
    CHECK(stats.in_flight == 0 && stats.in_flight_prompt_tokens == 0);
    CHECK(stats.sent_total == 10 && stats.done_total == 10);
    /* Failures and timeouts, not clients that went away. */
    CHECK(stats.failed_total == 5);
    CHECK(fabsf(stats.latency_ewma_s - 1.0f) < 1e-4f && fabsf(stats.ttft_ewma_s - 0.5f) < 1e-4f);

    CHECK_CODE(EK_CODE_OK, ek_begin(state, 0, 10, 1000, &ticket));
    outcome.status = 99;
    CHECK_CODE(EK_CODE_ENUMERATION, ek_finish(state, NULL, &ticket, &outcome, 2000));
    outcome.status = EK_STATUS_SUCCESS;
    outcome.reserved = 1;
    CHECK_CODE(EK_CODE_RESERVED, ek_finish(state, NULL, &ticket, &outcome, 2000));
    outcome.reserved = 0;
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_finish(state, NULL, &ticket, NULL, 2000));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_finish(state, NULL, NULL, &outcome, 2000));
    CHECK(stats_of(state, 0).in_flight == 1);
    ek_ticket forged = ticket;
    forged.host = 1;
    CHECK_CODE(EK_CODE_TICKET, ek_finish(state, NULL, &forged, &outcome, 2000));
    CHECK_CODE(EK_CODE_OK, ek_finish(state, NULL, &ticket, &outcome, 2000));
    CHECK(stats_of(state, 0).in_flight == 0);
}

static void classes_are_learned(void)
{
    size_t size = ek_classes_size(100);
    unsigned char *memory = aligned(size, EK_CLASSES_ALIGNMENT);
    uint64_t chat = ek_host_key("chat", 4);
    uint32_t expected = 77;
    CHECK(size > 0 && ek_classes_size(0) == 0 && ek_classes_size(EK_CLASSES_ENTRIES_MAX + 1) == 0);
    CHECK_CODE(EK_CODE_OK, ek_classes_expected(memory, size, chat, &expected));
    CHECK(expected == 0);
    for (uint32_t i = 0; i < 20; i++) {
        CHECK_CODE(EK_CODE_OK, ek_classes_note(memory, size, chat, i % 2 == 0 ? 100 : 140));
        CHECK_CODE(EK_CODE_OK, ek_classes_note(memory, size, 0, 5000));
    }
    CHECK_CODE(EK_CODE_OK, ek_classes_expected(memory, size, chat, &expected));
    CHECK(expected == 120);
    CHECK_CODE(EK_CODE_OK, ek_classes_expected(memory, size, chat + 1, &expected));
    CHECK(expected == 0);
    /* A table without room knows nothing, and takes nothing. */
    CHECK_CODE(EK_CODE_OK, ek_classes_note(memory, 0, chat, 5));
    CHECK_CODE(EK_CODE_OK, ek_classes_expected(NULL, 0, chat, &expected));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_classes_note(memory + 8, size - 8, chat, 5));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_classes_expected(memory, size, chat, NULL));
}

static void hosts_start_slowly(void)
{
    ek_state *state = new_state(2);
    uint32_t host;
    for (uint64_t key = 1; key <= 2; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(state, key, 1.0f, 0, &host));
    }
    CHECK_CODE(EK_CODE_OK, ek_host_weight(state, 1, 4.0f));
    CHECK(stats_of(state, 1).weight == 4.0f && stats_of(state, 1).slow_start == 1.0f);
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_weight(state, 2, 4.0f));
    CHECK_CODE(EK_CODE_HOST_UNKNOWN, ek_host_restarted(state, 2, 0));
    CHECK_CODE(EK_CODE_OK, ek_hosts_warm(state, 10000000, 1000000));
    CHECK_CODE(EK_CODE_OK, ek_host_restarted(state, 0, 1000000));
    CHECK(stats_of(state, 0).slow_start == 10.0f);
    CHECK_CODE(EK_CODE_OK, ek_hosts_warm(state, 10000000, 6000000));
    CHECK(stats_of(state, 0).slow_start == 2.0f && stats_of(state, 1).slow_start == 1.0f);
    CHECK_CODE(EK_CODE_OK, ek_hosts_warm(state, 10000000, 11000000));
    CHECK(stats_of(state, 0).slow_start == 1.0f && stats_of(state, 0).weight == 1.0f);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_hosts_warm(NULL, 1, 1));
}

static void nothing_is_read_through_wrong_pointers(void)
{
    ek_state *state = new_state(2);
    unsigned char *room = aligned(256, 64);
    uint32_t host;
    CHECK_CODE(EK_CODE_OK, ek_host_register(state, 1, 1.0f, 0, &host));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_begin(state, 0, 1, 1, (ek_ticket *)(void *)(room + 1)));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_report(state, 0, (const ek_telemetry *)(const void *)(room + 2), 1, 1));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_host_find(state, 1, (uint32_t *)(void *)(room + 3)));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_host_find((const ek_state *)(const void *)((unsigned char *)state + 8), 1, &host));
    ek_request request = request_of(1);
    ek_decision decision = {sizeof(decision), 0, 0, 0.0f};
    CHECK_CODE(EK_CODE_MISALIGNED, ek_decide(NULL, state, &request, (const uint64_t *)(const void *)(room + 4), 1, 1,
                                             NULL, 0, &decision));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_decide(NULL, state, &request, NULL, 0, 1, room + 1, 64, &decision));
    CHECK_CODE(EK_CODE_MODEL_FOREIGN, ek_decide((const ek_model *)(const void *)room, state, &request, NULL, 0, 1, NULL,
                                                0, &decision));
}

static void histories_are_checked(void)
{
    size_t size = ek_history_size(48);
    unsigned char *memory = aligned(size, EK_HISTORY_ALIGNMENT);
    ek_history *history = NULL;
    CHECK(ek_history_size(0) == 0);
    CHECK(ek_history_size(EK_HISTORY_VALUES_MAX + 1) == 0);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_history_init(NULL, size, 48, &history));
    CHECK_CODE(EK_CODE_MISALIGNED, ek_history_init(memory + 4, size, 48, &history));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_history_init(memory, size - 1, 48, &history));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_history_init(memory, size, 0, &history));
    CHECK_CODE(EK_CODE_HISTORY_FOREIGN, ek_history_attach(memory, size, &history));
    CHECK_CODE(EK_CODE_HISTORY_FOREIGN, ek_history_push((ek_history *)(void *)memory, 1.0f));
    CHECK(history == NULL);
    memset(memory, 0xaa, size + 1);
    CHECK_CODE(EK_CODE_OK, ek_history_init(memory, size, 48, &history));
    for (int i = 0; i < 100; i++) {
        CHECK_CODE(EK_CODE_OK, ek_history_push(history, (float)i));
    }
    CHECK(memory[size] == 0xaa);
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_history_attach(memory, size - 1, &history));
    CHECK_CODE(EK_CODE_OK, ek_history_attach(memory, size, &history));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_history_push(NULL, 1.0f));
    ek_forecast forecast;
    forecast.struct_size = sizeof(forecast);
    CHECK(ek_forecast_scratch_size(NULL) == 0);
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_forecast_predict(NULL, history, 0.0, NULL, 0, &forecast));
}

/* With a trained artifact. */
static void a_model_foresees(const ek_model *model)
{
    ek_horizons horizons = {0};
    horizons.struct_size = 8;
    CHECK_CODE(EK_CODE_STRUCT_SIZE, ek_forecast_horizons(model, &horizons));
    horizons.struct_size = sizeof(horizons);
    CHECK_CODE(EK_CODE_OK, ek_forecast_horizons(model, &horizons));
    CHECK(horizons.step_s > 0.0f && horizons.history_values > 0 && horizons.steps[0] >= 1);
    size_t size = ek_history_size(horizons.history_values);
    ek_history *history = NULL;
    CHECK_CODE(EK_CODE_OK, ek_history_init(aligned(size, EK_HISTORY_ALIGNMENT), size, horizons.history_values, &history));
    size_t scratch_size = ek_forecast_scratch_size(model);
    unsigned char *scratch = aligned(scratch_size, 64);
    ek_forecast forecast;
    forecast.struct_size = sizeof(forecast);
    CHECK(scratch_size > 0);
    CHECK_CODE(EK_CODE_HISTORY_EMPTY, ek_forecast_predict(model, history, 1.7e9, scratch, scratch_size, &forecast));
    for (uint32_t i = 0; i < horizons.history_values; i++) {
        CHECK_CODE(EK_CODE_OK, ek_history_push(history, 10.0f + (float)(i % 7)));
    }
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_forecast_predict(model, history, 1.7e9, scratch, scratch_size - 4, &forecast));
    CHECK_CODE(EK_CODE_OK, ek_forecast_predict(model, history, 1.7e9, scratch, scratch_size, &forecast));
    CHECK(forecast.history_days >= 7.0f && forecast.missing_share < 0.1f);
    for (int horizon = 0; horizon < EK_HORIZONS; horizon++) {
        CHECK(forecast.quantiles[horizon][0] >= 0.0f);
        for (int quantile = 1; quantile < EK_QUANTILES; quantile++) {
            CHECK(forecast.quantiles[horizon][quantile] >= forecast.quantiles[horizon][quantile - 1]);
        }
    }
}

/* With a trained artifact. */
static void a_model_decides(const unsigned char *bytes, size_t len)
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
    ek_state *state = new_state(HOSTS);
    uint32_t host;
    for (uint64_t key = 1; key <= HOSTS; key++) {
        CHECK_CODE(EK_CODE_OK, ek_host_register(state, key, 1.0f, 1, &host));
    }
    size_t scratch_size = ek_scratch_size(model, HOSTS);
    CHECK(scratch_size > 0);
    unsigned char *scratch = aligned(scratch_size, 64);
    ek_request request = request_of(500);
    ek_decision decision = {sizeof(decision), 77, 77, 0.0f};
    /* Short scratch: a host all the same. */
    CHECK_CODE(EK_CODE_OK, ek_decide(model, state, &request, NULL, 0, 1000, scratch, 64, &decision));
    CHECK(decision.reason == EK_REASON_NO_SCORE && decision.host < HOSTS);
    CHECK_CODE(EK_CODE_OK, ek_decide(model, state, &request, NULL, 0, 1000, scratch, scratch_size, &decision));
    CHECK(decision.reason == EK_REASON_POLICY && isfinite(decision.score));

    ek_host_score scores[HOSTS];
    size_t written = 77;
    CHECK_CODE(EK_CODE_CAPACITY, ek_scores(model, state, &request, NULL, 0, 1000, scratch, scratch_size, scores,
                                           HOSTS - 1, &written));
    CHECK_CODE(EK_CODE_MEMORY_SIZE, ek_scores(model, state, &request, NULL, 0, 1000, scratch, 64, scores, HOSTS,
                                              &written));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_scores(NULL, state, &request, NULL, 0, 1000, scratch, scratch_size, scores,
                                               HOSTS, &written));
    CHECK(written == 77);
    CHECK_CODE(EK_CODE_OK, ek_scores(model, state, &request, NULL, 0, 1000, scratch, scratch_size, scores, HOSTS,
                                     &written));
    CHECK(written == HOSTS);
    for (host = 0; host < HOSTS; host++) {
        CHECK(scores[host].host == host && scores[host].estimate_s > 0.0f);
        CHECK(scores[host].score >= decision.score);
    }
    uint64_t some[1] = {0x22};
    CHECK_CODE(EK_CODE_OK, ek_scores(model, state, &request, some, 1, 1000, scratch, scratch_size, scores, HOSTS,
                                     &written));
    CHECK(written == 2 && scores[0].host == 1 && scores[1].host == 5);
    CHECK_CODE(EK_CODE_OK, ek_decide(model, state, &request, some, 1, 1000, scratch, scratch_size, &decision));
    CHECK(decision.host == 1 || decision.host == 5);
    CHECK_CODE(EK_CODE_OK, ek_scores(model, state, &request, some, 0, 1000, scratch, scratch_size, scores, HOSTS,
                                     &written));
    CHECK(written == 0);
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
    CHECK_CODE(EK_CODE_STATE_FOREIGN, ek_body_request_feed((ek_request_reader *)memory, text, len, &more));
    CHECK_CODE(EK_CODE_STATE_FOREIGN, ek_body_request_read((ek_request_reader *)memory, len, &body));
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
    CHECK_CODE(EK_CODE_STATE_FOREIGN, ek_body_response_feed((ek_response_reader *)memory, role, 1, &first));
    CHECK_CODE(EK_CODE_OK, ek_body_response_init(memory, size, EK_BODY_KIND_EVENTS, &reader));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_feed(NULL, role, 1, &first));
    CHECK_CODE(EK_CODE_NULL_POINTER, ek_body_response_feed(reader, NULL, 1, &first));
    CHECK(first == 7);
    /* A reader of one kind is none of the other. */
    CHECK_CODE(EK_CODE_STATE_FOREIGN, ek_body_request_feed((ek_request_reader *)memory, role, 1, NULL));

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
    a_model_decides(bytes, (size_t)len);
    return 0;
}

int main(int argc, char **argv)
{
    versions_and_texts();
    models_are_validated();
    states_are_checked();
    hosts_come_and_go();
    structures_are_checked();
    masks_hold_at_their_edges();
    least_request_stands_in_for_a_model();
    counts_are_exact();
    classes_are_learned();
    hosts_start_slowly();
    nothing_is_read_through_wrong_pointers();
    histories_are_checked();
    bodies_of_requests_are_read();
    bodies_of_responses_are_read();
    if (argc > 1 && with_artifact(argv[1]) != 0) {
        return 2;
    }
    printf("%d checks, %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}

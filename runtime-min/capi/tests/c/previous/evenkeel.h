/*
 * Evenkeel: learned load balancing inside an existing load balancer.
 *
 * All memory is the caller's; nothing is allocated, no clock is read, no file opened.
 * Functions return an ek_code and write their outputs only on success. Times are in
 * microseconds of one monotonic clock of the caller's choice. Structures that begin with
 * struct_size may grow: set it to the structure's sizeof. Reserved fields must be 0.
 *
 * From a model to a decision (examples/c/balance.c is the whole of it):
 *
 *     ek_model_load -> ek_state_init -> ek_host_register ...
 *     per request:  ek_decide -> ek_begin -> ek_first_byte -> ek_finish
 *     per report:   ek_report
 *     per step:     ek_history_push -> ek_forecast_predict
 *
 * Kept as it was in version 0.1.0, so that programs built with it are tested: do not edit.
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef EVENKEEL_H
#define EVENKEEL_H

#include <stddef.h>
#include <stdint.h>

/** Version of this header; `EVENKEEL_VERSION` compares with `ek_version()`. */
#define EVENKEEL_VERSION_MAJOR 0
#define EVENKEEL_VERSION_MINOR 1
#define EVENKEEL_VERSION_PATCH 0
#define EVENKEEL_VERSION \
    (EVENKEEL_VERSION_MAJOR * 10000 + EVENKEEL_VERSION_MINOR * 100 + EVENKEEL_VERSION_PATCH)

/**
 * Alignment in bytes of the memory of a history.
 */
#define EK_HISTORY_ALIGNMENT 64

/**
 * Most values of a history.
 */
#define EK_HISTORY_VALUES_MAX (1 << 24)

/**
 * Alignment in bytes of the storage of a model.
 */
#define EK_MODEL_ALIGNMENT 64

/**
 * Alignment in bytes of the memory of a state.
 */
#define EK_STATE_ALIGNMENT 128

/**
 * Most hosts of a state.
 */
#define EK_HOSTS_MAX 1024

/**
 * Horizons of a forecast.
 */
#define EK_HORIZONS 16

/**
 * Quantiles of a forecast at each horizon: 0.1, 0.2 and so on to 0.9.
 */
#define EK_QUANTILES 9

/**
 * What a function returns: 0 for success, a negative number for each way to fail. An
 * output is written only with `EK_CODE_OK`.
 */
enum ek_code
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * Success.
   */
  EK_CODE_OK = 0,
  /**
   * A pointer is NULL that must not be.
   */
  EK_CODE_NULL_POINTER = -1,
  /**
   * A pointer is not aligned as its type, or as the function's description, asks.
   */
  EK_CODE_MISALIGNED = -2,
  /**
   * `struct_size` is smaller than the structure, or something that this version does
   * not know is set beyond its end.
   */
  EK_CODE_STRUCT_SIZE = -3,
  /**
   * A reserved field is not zero.
   */
  EK_CODE_RESERVED = -4,
  /**
   * The memory is smaller than what the `_size` function returns.
   */
  EK_CODE_MEMORY_SIZE = -5,
  /**
   * An enumeration has a value outside its range.
   */
  EK_CODE_ENUMERATION = -6,
  /**
   * The number of hosts is 0 or above `EK_HOSTS_MAX`.
   */
  EK_CODE_MAX_HOSTS = -7,
  /**
   * The memory holds no state, or was not initialised.
   */
  EK_CODE_STATE_FOREIGN = -8,
  /**
   * The memory holds a state of another version of this library.
   */
  EK_CODE_STATE_LAYOUT = -9,
  /**
   * Host key 0 is reserved.
   */
  EK_CODE_HOST_KEY_ZERO = -10,
  /**
   * Every slot for hosts is taken.
   */
  EK_CODE_HOSTS_FULL = -11,
  /**
   * There is no such host.
   */
  EK_CODE_HOST_UNKNOWN = -12,
  /**
   * No host is eligible.
   */
  EK_CODE_NO_HOST = -13,
  /**
   * The ticket is not that of a request under way in this state.
   */
  EK_CODE_TICKET = -14,
  /**
   * The report is older than what is known of the host.
   */
  EK_CODE_REPORT_STALE = -15,
  /**
   * The array has fewer elements than there are results.
   */
  EK_CODE_CAPACITY = -16,
  /**
   * The pointer is not that of a loaded model.
   */
  EK_CODE_MODEL_FOREIGN = -17,
  /**
   * The model has no forecaster.
   */
  EK_CODE_NO_FORECASTER = -18,
  /**
   * The memory holds no history, or was not initialised.
   */
  EK_CODE_HISTORY_FOREIGN = -19,
  /**
   * The last day of the history has no known value.
   */
  EK_CODE_HISTORY_EMPTY = -20,
  /**
   * The report does not follow its format, or has nothing of use.
   */
  EK_CODE_REPORT_FORMAT = -21,
  /**
   * Artifact: ends before what it announces.
   */
  EK_CODE_ARTIFACT_TRUNCATED = -100,
  /**
   * Artifact: not an Evenkeel artifact.
   */
  EK_CODE_ARTIFACT_MAGIC = -101,
  /**
   * Artifact: format version not supported.
   */
  EK_CODE_ARTIFACT_VERSION = -102,
  /**
   * Artifact: trained on other features.
   */
  EK_CODE_ARTIFACT_SCHEMA = -103,
  /**
   * Artifact: length differs from the header.
   */
  EK_CODE_ARTIFACT_LENGTH = -104,
  /**
   * Artifact: damaged.
   */
  EK_CODE_ARTIFACT_CHECKSUM = -105,
  /**
   * Artifact: invalid section table.
   */
  EK_CODE_ARTIFACT_SECTIONS = -106,
  /**
   * Artifact: metadata is not UTF-8.
   */
  EK_CODE_ARTIFACT_METADATA = -107,
  /**
   * Artifact: service model out of range.
   */
  EK_CODE_ARTIFACT_SERVICE = -108,
  /**
   * Artifact: forecast calibration out of range.
   */
  EK_CODE_ARTIFACT_CALIBRATION = -109,
  /**
   * Artifact: program exceeds the limits.
   */
  EK_CODE_ARTIFACT_PROGRAM_LIMITS = -110,
  /**
   * Artifact: unknown operation.
   */
  EK_CODE_ARTIFACT_PROGRAM_OP = -111,
  /**
   * Artifact: register used wrongly.
   */
  EK_CODE_ARTIFACT_PROGRAM_REGISTER = -112,
  /**
   * Artifact: operand widths do not fit.
   */
  EK_CODE_ARTIFACT_PROGRAM_SHAPE = -113,
  /**
   * Artifact: weights out of bounds.
   */
  EK_CODE_ARTIFACT_PROGRAM_WEIGHTS = -114,
  /**
   * Artifact: wrong input or output width.
   */
  EK_CODE_ARTIFACT_PROGRAM_INTERFACE = -115,
  /**
   * Artifact: a weight is not finite.
   */
  EK_CODE_ARTIFACT_NOT_FINITE = -116,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ek_code ek_code;
#else
typedef int32_t ek_code;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * How a request ended.
 */
enum ek_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * The host answered.
   */
  EK_STATUS_SUCCESS = 0,
  /**
   * The host answered with an error, reset the connection, or could not be reached.
   */
  EK_STATUS_FAILURE = 1,
  /**
   * The host did not answer in time.
   */
  EK_STATUS_TIMEOUT = 2,
  /**
   * The client went away.
   */
  EK_STATUS_CLIENT_ABORT = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ek_status ek_status;
#else
typedef uint32_t ek_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Why a host was chosen.
 */
enum ek_reason
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  /**
   * It had the lowest score.
   */
  EK_REASON_POLICY = 0,
  /**
   * It was the only one.
   */
  EK_REASON_ONLY_HOST = 1,
  /**
   * No policy is loaded: fewer requests in flight, of two at random.
   */
  EK_REASON_NO_POLICY = 2,
  /**
   * A score was not finite or scratch memory was short: as without a policy.
   */
  EK_REASON_NO_SCORE = 3,
  /**
   * None was chosen: no host is eligible.
   */
  EK_REASON_NO_HOST = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum ek_reason ek_reason;
#else
typedef uint32_t ek_reason;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * The recent past of a rate: a ring of values, one for each step, in memory of the
 * caller. One thread or process uses it at a time.
 */
typedef struct ek_history ek_history;

/**
 * A loaded model. It lives in storage of the caller and refers to the artifact's bytes:
 * both must stay in place, unchanged, as long as it is used. Any number of threads may
 * use it at once.
 */
typedef struct ek_model ek_model;

/**
 * What is known of the hosts of an upstream: counts, averages, last reports. It lives in
 * memory of the caller, which several processes may share, at different addresses. All
 * functions but `ek_state_init`, `ek_host_register` and `ek_host_remove` may be called
 * by any number of threads and processes at once.
 */
typedef struct ek_state ek_state;

/**
 * What is known of a request before a host is chosen.
 */
typedef struct ek_request {
  /**
   * `sizeof(ek_request)`.
   */
  uint32_t struct_size;
  /**
   * Prompt length in tokens, 0 where unknown.
   */
  uint32_t prompt_tokens;
  /**
   * Of each host, by index: tokens of the prompt's prefix that it probably has cached.
   * May be NULL if `cached_tokens_len` is 0.
   */
  const uint32_t *cached_tokens;
  /**
   * Elements of `cached_tokens`; hosts beyond have none cached.
   */
  uint32_t cached_tokens_len;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} ek_request;

/**
 * A decision.
 */
typedef struct ek_decision {
  /**
   * `sizeof(ek_decision)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * Index of the chosen host.
   */
  uint32_t host;
  /**
   * An `ek_reason`.
   */
  uint32_t reason;
  /**
   * The host's score, lower is better; NaN unless the reason is `EK_REASON_POLICY`.
   */
  float score;
} ek_decision;

/**
 * What a decision would see in one host.
 */
typedef struct ek_host_score {
  /**
   * Index of the host.
   */
  uint32_t host;
  /**
   * Score by the policy, lower is better; NaN where the model has no policy.
   */
  float score;
  /**
   * Analytic estimate of the request's cost at the host, in seconds: its expected
   * completion time and the delay it inflicts on those already there.
   */
  float estimate_s;
  /**
   * Requests of this state in flight at the host.
   */
  uint32_t in_flight;
} ek_host_score;

/**
 * What a model forecasts.
 */
typedef struct ek_horizons {
  /**
   * `sizeof(ek_horizons)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * Seconds between two values of the history.
   */
  float step_s;
  /**
   * Values of the history that the model can use.
   */
  uint32_t history_values;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * How many steps after the newest value each forecast is for, increasing.
   */
  uint32_t steps[EK_HORIZONS];
} ek_horizons;

/**
 * A forecast of the demand.
 */
typedef struct ek_forecast {
  /**
   * `sizeof(ek_forecast)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * Days of history. Under 1, no seasonal value was known and the forecast is a guess
   * from the present level; from 7 on, all of them were.
   */
  float history_days;
  /**
   * Share of the values which the forecast rests on that were missing, 0 to 1.
   */
  float missing_share;
  /**
   * 0.
   */
  uint32_t reserved;
  /**
   * Quantiles at each horizon, sorted, not negative, in the unit of the history.
   */
  float quantiles[EK_HORIZONS][EK_QUANTILES];
} ek_forecast;

/**
 * A request under way: kept by the caller from `ek_begin` to `ek_finish`, and changed by
 * this library alone.
 */
typedef struct ek_ticket {
  /**
   * Host that the request was sent to.
   */
  uint32_t host;
  /**
   * Prompt tokens, as announced at the start.
   */
  uint32_t prompt_tokens;
  /**
   * When it was sent.
   */
  uint64_t sent_us;
  /**
   * When its first byte came back; 0 before.
   */
  uint64_t first_byte_us;
  /**
   * Requests of this state at the host when it was sent, itself included.
   */
  uint32_t in_flight_at_send;
  /**
   * 1 from `ek_begin` to `ek_finish`, then 0.
   */
  uint32_t under_way;
} ek_ticket;

/**
 * The end of a request.
 */
typedef struct ek_outcome {
  /**
   * `sizeof(ek_outcome)`.
   */
  uint32_t struct_size;
  /**
   * An `ek_status`.
   */
  uint32_t status;
  /**
   * Tokens that were generated, 0 where unknown.
   */
  uint32_t output_tokens;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} ek_outcome;

/**
 * A host's own report. NaN marks what it does not report; implausible values count as
 * such.
 */
typedef struct ek_telemetry {
  /**
   * `sizeof(ek_telemetry)`.
   */
  uint32_t struct_size;
  /**
   * Requests being processed (`vllm:num_requests_running`).
   */
  float running;
  /**
   * Requests waiting (`vllm:num_requests_waiting`).
   */
  float waiting;
  /**
   * Prompt tokens of the waiting requests.
   */
  float pending_prefill_tokens;
  /**
   * Share of the KV cache in use (`vllm:kv_cache_usage_perc`), 0 to 1.
   */
  float kv_use;
  /**
   * Present time per output token, or mean service time, in seconds.
   */
  float step_s;
} ek_telemetry;

/**
 * What is known of a host.
 */
typedef struct ek_stats {
  /**
   * `sizeof(ek_stats)`, set by the caller.
   */
  uint32_t struct_size;
  /**
   * Requests under way.
   */
  uint32_t in_flight;
  /**
   * Key under which the host was registered.
   */
  uint64_t key;
  /**
   * Requests sent since it was registered.
   */
  uint64_t sent_total;
  /**
   * Requests ended since it was registered.
   */
  uint64_t done_total;
  /**
   * Requests that failed or timed out since it was registered.
   */
  uint64_t failed_total;
  /**
   * Prompt tokens of the requests under way.
   */
  uint32_t in_flight_prompt_tokens;
  /**
   * Capacity relative to the other hosts, as configured.
   */
  float weight;
  /**
   * Average latency in seconds.
   */
  float latency_ewma_s;
  /**
   * Peak-sensitive average latency in seconds, as of now.
   */
  float peak_latency_s;
  /**
   * Average time to first byte in seconds.
   */
  float ttft_ewma_s;
  /**
   * Measured time per output token, or service time, in seconds.
   */
  float local_step_s;
  /**
   * Successful responses a second.
   */
  float completions_per_s;
  /**
   * Share of recent requests that failed, 0 to 1.
   */
  float failure_share;
  /**
   * Seconds since the last sign of life.
   */
  float silence_s;
  /**
   * Age of the last report in seconds, NaN if there was none.
   */
  float telemetry_age_s;
  /**
   * Last report: requests being processed.
   */
  float running;
  /**
   * Last report: requests waiting.
   */
  float waiting;
  /**
   * Last report: prompt tokens of the waiting requests.
   */
  float pending_prefill_tokens;
  /**
   * Last report: share of the KV cache in use.
   */
  float kv_use;
  /**
   * Last report: time per output token, or service time, in seconds.
   */
  float step_s;
  /**
   * 0.
   */
  uint32_t reserved;
} ek_stats;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Version of the library: major * 10000 + minor * 100 + patch. Compare it with
 * `EVENKEEL_VERSION`, the header's.
 */
uint32_t ek_version(void);

/**
 * What a code means and what to do, in English: a static string, never NULL.
 */
const char *ek_strerror(int32_t code);

/**
 * Size in bytes of the scratch memory for decisions among up to `hosts` hosts. 0 for
 * NULL, for a model without a policy, and for what is not a model.
 *
 * # Safety
 * - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
 */
size_t ek_scratch_size(const struct ek_model *model, uint32_t hosts);

/**
 * Chooses a host for a request. Tell the state where it went with `ek_begin`.
 *
 * Every eligible host is scored; the lowest score wins, ties break at random. Where there
 * is no model or no usable score (`ek_reason` tells), the one with fewer requests in
 * flight of two eligible hosts drawn at random is chosen: as long as a host is eligible,
 * the result is one.
 *
 * `model`: may be NULL.
 * `eligible`: host `i` may be chosen if bit `i % 64` of word `i / 64` is set; hosts beyond
 * the end may not. NULL (with 0 words) stands for all hosts.
 * `scratch`: `ek_scratch_size(model, hosts)` bytes or more, aligned as `float` (64 bytes
 * are faster), for the hosts that are eligible; not shared with another thread. If it is
 * shorter, the decision is made without the model, `EK_REASON_NO_SCORE`.
 * `decision`: filled in; its `struct_size` must be set.
 *
 * Returns `EK_CODE_NO_HOST` if no host is eligible.
 *
 * # Safety
 * - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `request` points to `request->struct_size` initialised bytes, and its
 *   `cached_tokens` to `cached_tokens_len` numbers.
 * - `eligible` points to `eligible_words` words.
 * - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
 * - `decision` points to `decision->struct_size` bytes.
 */
ek_code ek_decide(const struct ek_model *model,
                  struct ek_state *state,
                  const struct ek_request *request,
                  const uint64_t *eligible,
                  size_t eligible_words,
                  uint64_t now_us,
                  void *scratch,
                  size_t scratch_size,
                  struct ek_decision *decision);

/**
 * Explains a decision: every eligible host's score and analytic estimate, in order of
 * their indices. Changes nothing.
 *
 * `scratch`: as for `ek_decide`, but long enough for all eligible hosts.
 * `scores`: an array of `scores_len` elements, of which the first `*scores_written` are
 * filled in. As many as the state has hosts are always enough.
 *
 * # Safety
 * - `model` comes from `ek_model_load`, its storage and bytes still in place.
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `request` points to `request->struct_size` initialised bytes, and its
 *   `cached_tokens` to `cached_tokens_len` numbers.
 * - `eligible` points to `eligible_words` words.
 * - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
 * - `scores` points to `scores_len` elements, `scores_written` to a `size_t`.
 */
ek_code ek_scores(const struct ek_model *model,
                  const struct ek_state *state,
                  const struct ek_request *request,
                  const uint64_t *eligible,
                  size_t eligible_words,
                  uint64_t now_us,
                  void *scratch,
                  size_t scratch_size,
                  struct ek_host_score *scores,
                  size_t scores_len,
                  size_t *scores_written);

/**
 * Counts the decisions of a state that were made for a reason.
 *
 * `reason`: an `ek_reason`.
 * `decisions`: gets the count.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `decisions` points to a `uint64_t`.
 */
ek_code ek_decisions(const struct ek_state *state, uint32_t reason, uint64_t *decisions);

/**
 * Size in bytes of the memory of a history of so many values; 0 if that is 0 or above
 * `EK_HISTORY_VALUES_MAX`. `ek_forecast_horizons` tells how many values a model can use.
 */
size_t ek_history_size(uint32_t values);

/**
 * Makes an empty history, whatever the memory held before.
 *
 * `memory`: `ek_history_size(values)` bytes or more, aligned to `EK_HISTORY_ALIGNMENT`.
 * `history`: gets the history, which is the memory itself.
 *
 * # Safety
 * - `memory` points to `memory_size` bytes which are the history's as long as it is used.
 * - `history` points to a pointer.
 */
ek_code ek_history_init(void *memory,
                        size_t memory_size,
                        uint32_t values,
                        struct ek_history **history);

/**
 * Finds the history in memory that was initialised before, by another process or before
 * a restart.
 *
 * `history`: gets the history, which is the memory itself.
 *
 * # Safety
 * - `memory` points to `memory_size` initialised bytes which are the history's as long
 *   as it is used.
 * - `history` points to a pointer.
 */
ek_code ek_history_attach(void *memory, size_t memory_size, struct ek_history **history);

/**
 * Adds the value of the step that has just ended: requests a second, say. NaN, or
 * infinity, where it is not known; a step must not be left out.
 *
 * # Safety
 * - `history` comes from `ek_history_init` or `ek_history_attach`, its memory still in
 *   place, and nobody else uses it during the call.
 */
ek_code ek_history_push(struct ek_history *history, float value);

/**
 * What a model forecasts: its step, its horizons, and the history that it can use.
 *
 * `horizons`: filled in; its `struct_size` must be set.
 *
 * # Safety
 * - `model` comes from `ek_model_load`, its storage and bytes still in place.
 * - `horizons` points to `horizons->struct_size` bytes.
 */
ek_code ek_forecast_horizons(const struct ek_model *model, struct ek_horizons *horizons);

/**
 * Size in bytes of the scratch memory for forecasts. 0 for a model without a forecaster,
 * and for what is not a model.
 *
 * # Safety
 * - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
 */
size_t ek_forecast_scratch_size(const struct ek_model *model);

/**
 * Forecasts the demand at each horizon.
 *
 * `epoch_s`: Unix time of the history's newest value, in the service's local time where
 * its days and weeks follow that.
 * `scratch`: `ek_forecast_scratch_size(model)` bytes or more, aligned as `float`; not
 * shared with another thread.
 * `forecast`: filled in; its `struct_size` must be set.
 *
 * Returns `EK_CODE_HISTORY_EMPTY` if the last day has no known value.
 *
 * # Safety
 * - `model` comes from `ek_model_load`, its storage and bytes still in place.
 * - `history` comes from `ek_history_init` or `ek_history_attach`, its memory still in
 *   place, and nobody else uses it during the call.
 * - `scratch` points to `scratch_size` bytes that nobody else uses during the call.
 * - `forecast` points to `forecast->struct_size` bytes.
 */
ek_code ek_forecast_predict(const struct ek_model *model,
                            struct ek_history *history,
                            double epoch_s,
                            void *scratch,
                            size_t scratch_size,
                            struct ek_forecast *forecast);

/**
 * Size in bytes of the storage of a model.
 */
size_t ek_model_size(void);

/**
 * Validates an artifact and makes a model of it, once; what uses the model afterwards
 * cannot fail.
 *
 * `bytes`: the artifact, `bytes_len` long. They must outlive the model. For speed, align
 * them to 64 bytes.
 * `storage`: `ek_model_size()` bytes or more, aligned to `EK_MODEL_ALIGNMENT`.
 * `model`: gets the model, which is the storage itself.
 *
 * # Safety
 * - `bytes` points to `bytes_len` bytes that outlive the model and are not written to.
 * - `storage` points to `storage_size` bytes which are the model's as long as it is used.
 * - `model` points to a pointer.
 */
ek_code ek_model_load(const void *bytes,
                      size_t bytes_len,
                      void *storage,
                      size_t storage_size,
                      const struct ek_model **model);

/**
 * Where a model comes from: training data, seed, date, tool version, figures, as JSON.
 *
 * `json`: gets the text, UTF-8, *not* ended by a zero byte, part of the artifact's bytes.
 * `json_len`: gets its length in bytes.
 *
 * # Safety
 * - `model` comes from `ek_model_load`, its storage and bytes still in place.
 * - `json` points to a pointer, `json_len` to a `size_t`.
 */
ek_code ek_model_metadata(const struct ek_model *model, const char **json, size_t *json_len);

/**
 * A request goes to a host: the decision's, or any other.
 *
 * `ticket`: filled in; to be kept until `ek_finish`, which must be called once for it.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `ticket` points to an `ek_ticket`.
 */
ek_code ek_begin(struct ek_state *state,
                 uint32_t host,
                 uint32_t prompt_tokens,
                 uint64_t now_us,
                 struct ek_ticket *ticket);

/**
 * The first byte of a response came back. Calls after the first change nothing.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `ticket` points to an initialised `ek_ticket`.
 */
ek_code ek_first_byte(struct ek_state *state, struct ek_ticket *ticket, uint64_t now_us);

/**
 * A request ended. A second call for the same ticket is refused, so that counts stay
 * exact.
 *
 * `model`: tells what response times mean; may be NULL.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `model` is NULL or comes from `ek_model_load`, its storage and bytes still in place.
 * - `ticket` points to an initialised `ek_ticket`.
 * - `outcome` points to `outcome->struct_size` initialised bytes.
 */
ek_code ek_finish(struct ek_state *state,
                  const struct ek_model *model,
                  struct ek_ticket *ticket,
                  const struct ek_outcome *outcome,
                  uint64_t now_us);

/**
 * A host's own report came in: from response headers, a probe, or scraped metrics.
 *
 * `measured_us`: when the host measured it, not when it arrived.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `telemetry` points to `telemetry->struct_size` initialised bytes.
 */
ek_code ek_report(struct ek_state *state,
                  uint32_t host,
                  const struct ek_telemetry *telemetry,
                  uint64_t measured_us);

/**
 * A host's own report came in with a response: the value of the header
 * `endpoint-load-metrics`, in ORCA's text or JSON form.
 *
 * `header`: `header_len` bytes, from the host as they are. Returns `EK_CODE_REPORT_FORMAT`
 * for what does not follow the format, and for reports without a metric of use.
 * `measured_us`: when the response's header came in.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `header` points to `header_len` initialised bytes.
 */
ek_code ek_report_orca(struct ek_state *state,
                       uint32_t host,
                       const char *header,
                       size_t header_len,
                       uint64_t measured_us);

/**
 * Size in bytes of the memory of a state for up to `hosts_max` hosts; 0 if that is 0 or
 * above `EK_HOSTS_MAX`.
 */
size_t ek_state_size(uint32_t hosts_max);

/**
 * Makes an empty state, whatever the memory held before.
 *
 * `memory`: `ek_state_size(hosts_max)` bytes or more, aligned to `EK_STATE_ALIGNMENT`.
 * `seed`: what random choices (ties, fallback) follow from; a different one for each
 * process that decides alone.
 * `state`: gets the state, which is the memory itself.
 *
 * # Safety
 * - `memory` points to `memory_size` bytes which are the state's as long as it is used,
 *   and which nobody uses during the call.
 * - `state` points to a pointer.
 */
ek_code ek_state_init(void *memory,
                      size_t memory_size,
                      uint32_t hosts_max,
                      uint64_t seed,
                      struct ek_state **state);

/**
 * Finds the state in memory that another process, or this one before a reload,
 * initialised. States of another layout are refused.
 *
 * `state`: gets the state, which is the memory itself.
 *
 * # Safety
 * - `memory` points to `memory_size` initialised bytes which are the state's as long as
 *   it is used.
 * - `state` points to a pointer.
 */
ek_code ek_state_attach(void *memory, size_t memory_size, struct ek_state **state);

/**
 * Registers a host. One whose key is there already keeps its index and what was learned.
 *
 * To be called by one thread or process at a time.
 *
 * `key`: any number but 0 that stays the host's, such as a hash of its address.
 * `weight`: capacity relative to the other hosts; outside 0.001 to 1000 counts as 1.
 * `host`: gets the host's index.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `host` points to a `uint32_t`.
 */
ek_code ek_host_register(struct ek_state *state,
                         uint64_t key,
                         float weight,
                         uint64_t now_us,
                         uint32_t *host);

/**
 * Removes a host. Requests still under way there are finished as usual.
 *
 * To be called by one thread or process at a time.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 */
ek_code ek_host_remove(struct ek_state *state, uint64_t key);

/**
 * Finds a host by its key.
 *
 * `host`: gets the host's index.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `host` points to a `uint32_t`.
 */
ek_code ek_host_find(const struct ek_state *state, uint64_t key, uint32_t *host);

/**
 * Reads what is known of a host.
 *
 * `stats`: filled in; its `struct_size` must be set.
 *
 * # Safety
 * - `state` comes from `ek_state_init` or `ek_state_attach`, its memory still in place.
 * - `stats` points to `stats->struct_size` bytes.
 */
ek_code ek_host_stats(const struct ek_state *state,
                      uint32_t host,
                      uint64_t now_us,
                      struct ek_stats *stats);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* EVENKEEL_H */

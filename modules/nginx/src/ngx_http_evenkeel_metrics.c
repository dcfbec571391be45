/*
 * The numbers of the status page, under the names that its forms give them.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"

#include <math.h>


/* What is read of a host. */

#define ngx_http_evenkeel_field(field)                                        \
    static double                                                             \
    ngx_http_evenkeel_##field(const ek_stats *stats)                          \
    {                                                                         \
        return (double) stats->field;                                         \
    }

ngx_http_evenkeel_field(in_flight)
ngx_http_evenkeel_field(in_flight_prompt_tokens)
ngx_http_evenkeel_field(sent_total)
ngx_http_evenkeel_field(done_total)
ngx_http_evenkeel_field(failed_total)
ngx_http_evenkeel_field(weight)
ngx_http_evenkeel_field(latency_ewma_s)
ngx_http_evenkeel_field(ttft_ewma_s)
ngx_http_evenkeel_field(failure_share)
ngx_http_evenkeel_field(telemetry_age_s)
ngx_http_evenkeel_field(running)
ngx_http_evenkeel_field(waiting)
ngx_http_evenkeel_field(kv_use)
ngx_http_evenkeel_field(full_share)


const ngx_http_evenkeel_metric_t
ngx_http_evenkeel_metrics[NGX_HTTP_EVENKEEL_METRICS] = {
    { "evenkeel_in_flight", "gauge", "in_flight",
      "Requests under way at the host.",
      ngx_http_evenkeel_in_flight },
    { "evenkeel_in_flight_prompt_tokens", "gauge", "in_flight_prompt_tokens",
      "Prompt tokens of the requests under way at the host.",
      ngx_http_evenkeel_in_flight_prompt_tokens },
    { "evenkeel_requests_sent_total", "counter", "sent_total",
      "Requests sent to the host.",
      ngx_http_evenkeel_sent_total },
    { "evenkeel_requests_done_total", "counter", "done_total",
      "Requests that ended at the host, however they ended.",
      ngx_http_evenkeel_done_total },
    { "evenkeel_requests_failed_total", "counter", "failed_total",
      "Requests that failed or timed out at the host.",
      ngx_http_evenkeel_failed_total },
    { "evenkeel_weight", "gauge", "weight",
      "Configured capacity of the host, relative to the others.",
      ngx_http_evenkeel_weight },
    { "evenkeel_latency_seconds", "gauge", "latency_s",
      "Moving average of the latency; NaN before the first response.",
      ngx_http_evenkeel_latency_ewma_s },
    { "evenkeel_first_byte_seconds", "gauge", "first_byte_s",
      "Moving average of the time to first token; NaN before the first.",
      ngx_http_evenkeel_ttft_ewma_s },
    { "evenkeel_failure_share", "gauge", "failure_share",
      "Share of recent requests that failed, 0 to 1.",
      ngx_http_evenkeel_failure_share },
    { "evenkeel_report_age_seconds", "gauge", "report_age_s",
      "Age of the last report of the host; NaN without telemetry.",
      ngx_http_evenkeel_telemetry_age_s },
    { "evenkeel_report_running", "gauge", "running",
      "Requests at work as the host reports them; NaN where it does not.",
      ngx_http_evenkeel_running },
    { "evenkeel_report_waiting", "gauge", "waiting",
      "Requests waiting as the host reports them; NaN where it does not.",
      ngx_http_evenkeel_waiting },
    { "evenkeel_report_kv_use", "gauge", "kv_use",
      "Share of the KV cache in use as the host reports it, 0 to 1; NaN where it does not.",
      ngx_http_evenkeel_kv_use },
    { "evenkeel_full_share", "gauge", "full_share",
      "Share of its full share that a host gets while it starts slowly; 1 if warm.",
      ngx_http_evenkeel_full_share }
};


/* What is read of an upstream. */

#define ngx_http_evenkeel_reading(name, expression)                           \
    static double                                                             \
    ngx_http_evenkeel_##name(const ngx_http_evenkeel_view_t *view)            \
    {                                                                         \
        return (double) (expression);                                         \
    }

ngx_http_evenkeel_reading(replicas, view->demand.replicas)
ngx_http_evenkeel_reading(present, view->demand.present_per_s)
ngx_http_evenkeel_reading(forecast, view->demand.forecast_per_s)
ngx_http_evenkeel_reading(history, view->demand.history_days)
ngx_http_evenkeel_reading(decide_p99, (double) view->counters.choice_time_p99_ns / 1e9)
ngx_http_evenkeel_reading(stale, view->counters.stale_telemetry)
ngx_http_evenkeel_reading(taken_back, view->counters.taken_back)
ngx_http_evenkeel_reading(swapped, view->conf->shared->swapped)
ngx_http_evenkeel_reading(refused, view->conf->shared->refused)
ngx_http_evenkeel_reading(loaded, view->conf->artifact.model != NULL)
ngx_http_evenkeel_reading(without_row, ngx_http_evenkeel_count_waiting(view->conf))


const ngx_http_evenkeel_sum_t
ngx_http_evenkeel_sums[NGX_HTTP_EVENKEEL_SUMS] = {
    { "evenkeel_demand_replicas", "gauge", "demand",
      "Demand in replicas; NaN while no capacity of a replica is known (evenkeel_scale).",
      ngx_http_evenkeel_replicas },
    { "evenkeel_demand_requests_per_second", "gauge", "present_per_s",
      "Present demand.",
      ngx_http_evenkeel_present },
    { "evenkeel_forecast_requests_per_second", "gauge", "forecast_per_s",
      "Demand foreseen within the lead time; NaN without a forecast.",
      ngx_http_evenkeel_forecast },
    { "evenkeel_history_days", "gauge", "history_days",
      "Days of history behind the forecast; NaN without one.",
      ngx_http_evenkeel_history },
    { "evenkeel_decide_p99_seconds", "gauge", "decide_p99_s",
      "Time that 99 of 100 decisions did not exceed.",
      ngx_http_evenkeel_decide_p99 },
    { "evenkeel_stale_telemetry_decisions_total", "counter", "stale_telemetry",
      "Decisions for a host whose reports had stopped.",
      ngx_http_evenkeel_stale },
    { "evenkeel_requests_taken_back_total", "counter", "taken_back",
      "Requests of killed workers that were taken back.",
      ngx_http_evenkeel_taken_back },
    { "evenkeel_artifacts_taken_total", "counter", "artifacts_taken",
      "Artifacts taken without a reload.",
      ngx_http_evenkeel_swapped },
    { "evenkeel_artifacts_refused_total", "counter", "artifacts_refused",
      "Artifacts refused without a reload.",
      ngx_http_evenkeel_refused },
    { "evenkeel_artifact_loaded", "gauge", "artifact_loaded",
      "1 if an artifact is in force, 0 while least request serves instead.",
      ngx_http_evenkeel_loaded },
    { "evenkeel_workers_without_row", "gauge", "workers_without_row",
      "Workers that go by counts of NGINX, since no row of the zone is free.",
      ngx_http_evenkeel_without_row }
};


static const char *const
ngx_http_evenkeel_fallbacks[NGX_HTTP_EVENKEEL_FALLBACKS] = {
    "backup",
    "unavailable",
    "list_changed",
    "refused",
    "no_row",
    "sticky"
};


static const char *const
ngx_http_evenkeel_ends[NGX_HTTP_EVENKEEL_ENDS] = {
    "success",
    "no_work",
    "failure",
    "timeout",
    "client_abort"
};


static const char *const
ngx_http_evenkeel_shadow[NGX_HTTP_EVENKEEL_SHADOW] = {
    "agreed",
    "differed"
};


const ngx_http_evenkeel_kinds_t
ngx_http_evenkeel_kinds[NGX_HTTP_EVENKEEL_KINDS] = {
    { "evenkeel_fallbacks_total",
      "Choices left to NGINX itself, by cause.",
      "cause", "fallbacks",
      NGX_HTTP_EVENKEEL_FALLBACKS, ngx_http_evenkeel_fallbacks,
      offsetof(ngx_http_evenkeel_shared_t, fallbacks) },
    { "evenkeel_exchanges_total",
      "Exchanges by their end.",
      "end", "exchanges",
      NGX_HTTP_EVENKEEL_ENDS, ngx_http_evenkeel_ends,
      offsetof(ngx_http_evenkeel_shared_t, exchanges) },
    { "evenkeel_shadow_decisions_total",
      "In shadow mode, choices of the policy beside those of NGINX.",
      "choice", "shadow",
      NGX_HTTP_EVENKEEL_SHADOW, ngx_http_evenkeel_shadow,
      offsetof(ngx_http_evenkeel_shared_t, shadow) }
};


uint64_t
ngx_http_evenkeel_kind(const ngx_http_evenkeel_kinds_t *kinds,
    const ngx_http_evenkeel_view_t *view, ngx_uint_t kind)
{
    ngx_atomic_t  *counts;

    counts = (ngx_atomic_t *) ((u_char *) view->conf->shared + kinds->offset);

    return counts[kind];
}


u_char *
ngx_http_evenkeel_number(u_char *p, double value, const char *unknown)
{
    if (!isfinite(value)) {
        return ngx_sprintf(p, "%s", unknown);
    }

    if (value == floor(value) && fabs(value) < 1e15) {
        return ngx_sprintf(p, "%L", (int64_t) value);
    }

    return ngx_sprintf(p, "%.6f", value);
}

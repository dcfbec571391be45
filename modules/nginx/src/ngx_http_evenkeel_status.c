/*
 * The evenkeel_status location: what the zones know, as Prometheus text, as JSON, or as
 * what a scaler asks for.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"

#include <math.h>


static ngx_int_t ngx_http_evenkeel_status_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_evenkeel_asks(ngx_http_request_t *r,
    ngx_str_t *format, const char *name);
static size_t ngx_http_evenkeel_status_size(
    ngx_http_upstream_main_conf_t *umcf);


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


const ngx_http_evenkeel_metric_t  ngx_http_evenkeel_metrics[] = {
    { "evenkeel_in_flight", "gauge", "in_flight",
      ngx_http_evenkeel_in_flight },
    { "evenkeel_in_flight_prompt_tokens", "gauge", "in_flight_prompt_tokens",
      ngx_http_evenkeel_in_flight_prompt_tokens },
    { "evenkeel_requests_sent_total", "counter", "sent_total",
      ngx_http_evenkeel_sent_total },
    { "evenkeel_requests_done_total", "counter", "done_total",
      ngx_http_evenkeel_done_total },
    { "evenkeel_requests_failed_total", "counter", "failed_total",
      ngx_http_evenkeel_failed_total },
    { "evenkeel_weight", "gauge", "weight",
      ngx_http_evenkeel_weight },
    { "evenkeel_latency_seconds", "gauge", "latency_s",
      ngx_http_evenkeel_latency_ewma_s },
    { "evenkeel_first_byte_seconds", "gauge", "first_byte_s",
      ngx_http_evenkeel_ttft_ewma_s },
    { "evenkeel_failure_share", "gauge", "failure_share",
      ngx_http_evenkeel_failure_share },
    { "evenkeel_report_age_seconds", "gauge", "report_age_s",
      ngx_http_evenkeel_telemetry_age_s },
    { "evenkeel_report_running", "gauge", "running",
      ngx_http_evenkeel_running },
    { "evenkeel_report_waiting", "gauge", "waiting",
      ngx_http_evenkeel_waiting },
    { "evenkeel_report_kv_use", "gauge", "kv_use",
      ngx_http_evenkeel_kv_use },
    { NULL, NULL, NULL, NULL }
};


static double
ngx_http_evenkeel_present(ngx_http_evenkeel_srv_conf_t *conf)
{
    ek_demand_reading  reading;

    ngx_http_evenkeel_read_demand(conf, &reading);

    return reading.present_per_s;
}


static double
ngx_http_evenkeel_forecast(ngx_http_evenkeel_srv_conf_t *conf)
{
    ek_demand_reading  reading;

    ngx_http_evenkeel_read_demand(conf, &reading);

    return reading.forecast_per_s;
}


static double
ngx_http_evenkeel_replicas(ngx_http_evenkeel_srv_conf_t *conf)
{
    ek_demand_reading  reading;

    ngx_http_evenkeel_read_demand(conf, &reading);

    return reading.replicas;
}


static double
ngx_http_evenkeel_history(ngx_http_evenkeel_srv_conf_t *conf)
{
    ek_demand_reading  reading;

    ngx_http_evenkeel_read_demand(conf, &reading);

    return reading.history_days;
}


static double
ngx_http_evenkeel_swapped(ngx_http_evenkeel_srv_conf_t *conf)
{
    return (double) conf->shared->swapped;
}


static double
ngx_http_evenkeel_refused(ngx_http_evenkeel_srv_conf_t *conf)
{
    return (double) conf->shared->refused;
}


static double
ngx_http_evenkeel_decide_p99(ngx_http_evenkeel_srv_conf_t *conf)
{
    uint64_t  sum_ns, p99_ns;

    if (ek_histogram_summary(conf->shared->decide_time, &sum_ns, &p99_ns)
        != EK_CODE_OK)
    {
        return NAN;
    }

    return (double) p99_ns / 1e9;
}


const ngx_http_evenkeel_sum_t  ngx_http_evenkeel_sums[] = {
    { "evenkeel_demand_replicas", "gauge", "demand",
      ngx_http_evenkeel_replicas },
    { "evenkeel_demand_requests_per_second", "gauge", "present_per_s",
      ngx_http_evenkeel_present },
    { "evenkeel_forecast_requests_per_second", "gauge", "forecast_per_s",
      ngx_http_evenkeel_forecast },
    { "evenkeel_history_days", "gauge", "history_days",
      ngx_http_evenkeel_history },
    { "evenkeel_decide_p99_seconds", "gauge", "decide_p99_s",
      ngx_http_evenkeel_decide_p99 },
    { "evenkeel_artifacts_taken_total", "counter", "artifacts_taken",
      ngx_http_evenkeel_swapped },
    { "evenkeel_artifacts_refused_total", "counter", "artifacts_refused",
      ngx_http_evenkeel_refused },
    { NULL, NULL, NULL, NULL }
};


char *
ngx_http_evenkeel_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_evenkeel_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_evenkeel_status_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_buf_t                      *b;
    ngx_str_t                       format;
    ngx_chain_t                     out;
    ngx_http_upstream_main_conf_t  *umcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_arg(r, (u_char *) "format", 6, &format) != NGX_OK) {
        ngx_str_null(&format);
    }

    umcf = ngx_http_get_module_main_conf(r, ngx_http_upstream_module);

    b = ngx_create_temp_buf(r->pool, ngx_http_evenkeel_status_size(umcf));
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_evenkeel_asks(r, &format, "scale")) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        b->last = ngx_http_evenkeel_scale_json(b->last, umcf);

    } else if (ngx_http_evenkeel_asks(r, &format, "json")) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        b->last = ngx_http_evenkeel_json(b->last, umcf);

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4");
        b->last = ngx_http_evenkeel_prometheus(b->last, umcf);
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* By "?format=NAME", or by a path that ends in "/NAME". */
static ngx_uint_t
ngx_http_evenkeel_asks(ngx_http_request_t *r, ngx_str_t *format,
    const char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    if (format->len != 0) {
        return format->len == len
               && ngx_strncmp(format->data, name, len) == 0;
    }

    return r->uri.len > len
           && r->uri.data[r->uri.len - len - 1] == '/'
           && ngx_strncmp(r->uri.data + r->uri.len - len, name, len) == 0;
}


static size_t
ngx_http_evenkeel_status_size(ngx_http_upstream_main_conf_t *umcf)
{
    size_t                          size, metrics, lines;
    ngx_uint_t                      i, k;
    ngx_http_upstream_rr_peer_t    *peer;
    ngx_http_evenkeel_srv_conf_t   *conf;
    ngx_http_upstream_srv_conf_t  **uscfp;

    metrics = sizeof(ngx_http_evenkeel_metrics)
              / sizeof(ngx_http_evenkeel_metrics[0]);

    /* Of an upstream: its sums, its decisions by reason, the buckets and their sum. */

    lines = sizeof(ngx_http_evenkeel_sums) / sizeof(ngx_http_evenkeel_sums[0])
            + NGX_HTTP_EVENKEEL_ROUND_ROBIN
            + EK_HISTOGRAM_BUCKETS / NGX_HTTP_EVENKEEL_BUCKET_STEP + 4;

    size = (metrics + lines) * NGX_HTTP_EVENKEEL_LINE;
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {
        conf = ngx_http_evenkeel_conf(uscfp[i]);
        if (conf == NULL) {
            continue;
        }

        size += lines * (NGX_HTTP_EVENKEEL_LINE + uscfp[i]->host.len);

        for (k = 0; k < conf->nhosts; k++) {
            peer = ngx_http_evenkeel_peer(conf, k);
            if (peer == NULL) {
                continue;
            }

            size += metrics * (NGX_HTTP_EVENKEEL_LINE + uscfp[i]->host.len
                               + peer->name.len);
        }
    }

    return size;
}


ngx_http_evenkeel_srv_conf_t *
ngx_http_evenkeel_conf(ngx_http_upstream_srv_conf_t *uscf)
{
    ngx_http_evenkeel_srv_conf_t  *conf;

    /* Upstreams that "proxy_pass" made have none. */

    if (uscf->srv_conf == NULL) {
        return NULL;
    }

    conf = ngx_http_conf_upstream_srv_conf(uscf, ngx_http_evenkeel_module);

    return conf->enabled ? conf : NULL;
}


void
ngx_http_evenkeel_read_demand(ngx_http_evenkeel_srv_conf_t *conf,
    ek_demand_reading *reading)
{
    const ek_scale  *scale;

    scale = conf->scale.struct_size ? &conf->scale : NULL;

    reading->struct_size = sizeof(ek_demand_reading);

    if (conf->demand == NULL
        || ek_demand_read(conf->demand, conf->artifact.model, scale, reading)
           != EK_CODE_OK)
    {
        reading->present_per_s = NAN;
        reading->forecast_per_s = NAN;
        reading->replicas = NAN;
        reading->history_days = NAN;
    }
}


ngx_http_upstream_rr_peer_t *
ngx_http_evenkeel_peer(ngx_http_evenkeel_srv_conf_t *conf, ngx_uint_t index)
{
    ngx_uint_t                     i;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    for (i = 0; i < index; i++) {
        if (conf->hosts[i] == conf->hosts[index]) {
            return NULL;
        }
    }

    i = 0;

    for (peers = conf->upstream->peer.data; peers; peers = peers->next) {
        for (peer = peers->peer; peer; peer = peer->next) {
            if (i++ == index) {
                return peer;
            }
        }
    }

    return NULL;
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

/*
 * The evenkeel_status location: what the zones know, as Prometheus text or as JSON.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"

#include <math.h>


/* Room for one number, its name and labels, without upstream and server. */
#define NGX_HTTP_EVENKEEL_LINE  192


typedef struct {
    const char                      *prometheus;
    const char                      *type;
    const char                      *json;
    double                         (*value)(const ek_stats *stats);
} ngx_http_evenkeel_metric_t;


static ngx_int_t ngx_http_evenkeel_status_handler(ngx_http_request_t *r);
static size_t ngx_http_evenkeel_status_size(
    ngx_http_upstream_main_conf_t *umcf);
static ngx_http_evenkeel_srv_conf_t *ngx_http_evenkeel_conf(
    ngx_http_upstream_srv_conf_t *uscf);
static u_char *ngx_http_evenkeel_prometheus(u_char *p,
    ngx_http_upstream_main_conf_t *umcf);
static u_char *ngx_http_evenkeel_prometheus_metric(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf,
    const ngx_http_evenkeel_metric_t *metric);
static u_char *ngx_http_evenkeel_json(u_char *p,
    ngx_http_upstream_main_conf_t *umcf);
static u_char *ngx_http_evenkeel_json_upstream(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf);
static ngx_http_upstream_rr_peer_t *ngx_http_evenkeel_peer(
    ngx_http_evenkeel_srv_conf_t *conf, ngx_uint_t index);
static u_char *ngx_http_evenkeel_number(u_char *p, double value,
    const char *unknown);


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


static const ngx_http_evenkeel_metric_t  ngx_http_evenkeel_metrics[] = {
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
    ngx_uint_t                      json;
    ngx_chain_t                     out;
    ngx_http_upstream_main_conf_t  *umcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    json = ngx_http_arg(r, (u_char *) "format", 6, &format) == NGX_OK
           && format.len == 4 && ngx_strncmp(format.data, "json", 4) == 0;

    umcf = ngx_http_get_module_main_conf(r, ngx_http_upstream_module);

    b = ngx_create_temp_buf(r->pool, ngx_http_evenkeel_status_size(umcf));
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (json) {
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


static size_t
ngx_http_evenkeel_status_size(ngx_http_upstream_main_conf_t *umcf)
{
    size_t                          size, metrics;
    ngx_uint_t                      i, k;
    ngx_http_upstream_rr_peer_t    *peer;
    ngx_http_evenkeel_srv_conf_t   *conf;
    ngx_http_upstream_srv_conf_t  **uscfp;

    metrics = sizeof(ngx_http_evenkeel_metrics)
              / sizeof(ngx_http_evenkeel_metrics[0]);

    size = (metrics + 2) * NGX_HTTP_EVENKEEL_LINE;
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {
        conf = ngx_http_evenkeel_conf(uscfp[i]);
        if (conf == NULL) {
            continue;
        }

        size += (NGX_HTTP_EVENKEEL_ROUND_ROBIN + 2)
                * (NGX_HTTP_EVENKEEL_LINE + uscfp[i]->host.len);

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


static ngx_http_evenkeel_srv_conf_t *
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


static u_char *
ngx_http_evenkeel_prometheus(u_char *p, ngx_http_upstream_main_conf_t *umcf)
{
    uint64_t                           decisions;
    ngx_uint_t                         i, reason;
    ngx_http_evenkeel_srv_conf_t      *conf;
    ngx_http_upstream_srv_conf_t     **uscfp;
    const ngx_http_evenkeel_metric_t  *metric;

    uscfp = umcf->upstreams.elts;

    for (metric = ngx_http_evenkeel_metrics; metric->prometheus; metric++) {
        p = ngx_sprintf(p, "# TYPE %s %s\n", metric->prometheus, metric->type);

        for (i = 0; i < umcf->upstreams.nelts; i++) {
            conf = ngx_http_evenkeel_conf(uscfp[i]);

            if (conf != NULL) {
                p = ngx_http_evenkeel_prometheus_metric(p, conf, metric);
            }
        }
    }

    p = ngx_sprintf(p, "# TYPE evenkeel_decisions_total counter\n");

    for (i = 0; i < umcf->upstreams.nelts; i++) {
        conf = ngx_http_evenkeel_conf(uscfp[i]);
        if (conf == NULL) {
            continue;
        }

        for (reason = 0; reason <= EK_REASON_NO_HOST; reason++) {
            if (ek_decisions(conf->shared->state, (uint32_t) reason,
                             &decisions)
                == EK_CODE_OK)
            {
                p = ngx_sprintf(p, "evenkeel_decisions_total{upstream=\"%V\","
                                "reason=\"%s\"} %uL\n", &uscfp[i]->host,
                                ngx_http_evenkeel_reason(reason), decisions);
            }
        }
    }

    return p;
}


static u_char *
ngx_http_evenkeel_prometheus_metric(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf,
    const ngx_http_evenkeel_metric_t *metric)
{
    ek_stats                      stats;
    ngx_uint_t                    i;
    ngx_http_upstream_rr_peer_t  *peer;

    stats.struct_size = sizeof(ek_stats);

    for (i = 0; i < conf->nhosts; i++) {
        peer = ngx_http_evenkeel_peer(conf, i);

        if (peer == NULL
            || ek_host_stats(conf->shared->state, conf->hosts[i],
                             ngx_http_evenkeel_now_ns() / 1000, &stats)
               != EK_CODE_OK)
        {
            continue;
        }

        p = ngx_sprintf(p, "%s{upstream=\"%V\",host=\"%V\"} ",
                        metric->prometheus, &conf->upstream->host,
                        &peer->name);
        p = ngx_http_evenkeel_number(p, metric->value(&stats), "NaN");
        *p++ = '\n';
    }

    return p;
}


static u_char *
ngx_http_evenkeel_json(u_char *p, ngx_http_upstream_main_conf_t *umcf)
{
    ngx_uint_t                      i, n;
    ngx_http_evenkeel_srv_conf_t   *conf;
    ngx_http_upstream_srv_conf_t  **uscfp;

    uscfp = umcf->upstreams.elts;
    n = 0;

    p = ngx_sprintf(p, "{\"upstreams\":[");

    for (i = 0; i < umcf->upstreams.nelts; i++) {
        conf = ngx_http_evenkeel_conf(uscfp[i]);
        if (conf == NULL) {
            continue;
        }

        if (n++) {
            *p++ = ',';
        }

        p = ngx_http_evenkeel_json_upstream(p, conf);
    }

    return ngx_sprintf(p, "]}\n");
}


static u_char *
ngx_http_evenkeel_json_upstream(u_char *p, ngx_http_evenkeel_srv_conf_t *conf)
{
    ek_stats                           stats;
    uint64_t                           decisions;
    ngx_uint_t                         i, n, reason;
    ngx_http_upstream_rr_peer_t       *peer;
    const ngx_http_evenkeel_metric_t  *metric;

    stats.struct_size = sizeof(ek_stats);

    p = ngx_sprintf(p, "{\"name\":\"%V\",\"mode\":\"%s\",\"decisions\":{",
                    &conf->upstream->host,
                    conf->shadow ? "shadow" : "active");

    for (reason = 0; reason <= EK_REASON_NO_HOST; reason++) {
        decisions = 0;
        ek_decisions(conf->shared->state, (uint32_t) reason, &decisions);
        p = ngx_sprintf(p, "%s\"%s\":%uL", reason ? "," : "",
                        ngx_http_evenkeel_reason(reason), decisions);
    }

    p = ngx_sprintf(p, "},\"hosts\":[");

    n = 0;

    for (i = 0; i < conf->nhosts; i++) {
        peer = ngx_http_evenkeel_peer(conf, i);

        if (peer == NULL
            || ek_host_stats(conf->shared->state, conf->hosts[i],
                             ngx_http_evenkeel_now_ns() / 1000, &stats)
               != EK_CODE_OK)
        {
            continue;
        }

        p = ngx_sprintf(p, "%s{\"host\":\"%V\"", n++ ? "," : "", &peer->name);

        for (metric = ngx_http_evenkeel_metrics; metric->json; metric++) {
            p = ngx_sprintf(p, ",\"%s\":", metric->json);
            p = ngx_http_evenkeel_number(p, metric->value(&stats), "null");
        }

        *p++ = '}';
    }

    return ngx_sprintf(p, "]}");
}


/*
 * A server by its place in the configuration. NULL for what comes a second time: it is
 * the same host.
 */
static ngx_http_upstream_rr_peer_t *
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


static u_char *
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

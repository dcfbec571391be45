/*
 * The status page as Prometheus text.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"


static u_char *ngx_http_evenkeel_prometheus_hosts(u_char *p,
    ngx_http_evenkeel_view_t *view, const ngx_http_evenkeel_metric_t *metric);
static u_char *ngx_http_evenkeel_prometheus_histogram(u_char *p,
    ngx_http_evenkeel_view_t *view);
static u_char *ngx_http_evenkeel_prometheus_decisions(u_char *p,
    ngx_http_evenkeel_view_t *view);
static u_char *ngx_http_evenkeel_prometheus_kinds(u_char *p,
    ngx_http_evenkeel_view_t *view, const ngx_http_evenkeel_kinds_t *kinds);
static u_char *ngx_http_evenkeel_prometheus_head(u_char *p, const char *name,
    const char *type, const char *help);
static u_char *ngx_http_evenkeel_prometheus_artifact(u_char *p,
    ngx_http_evenkeel_view_t *view);


u_char *
ngx_http_evenkeel_prometheus(u_char *p, ngx_array_t *views)
{
    ngx_uint_t                         i, k;
    ngx_http_evenkeel_view_t          *view;
    const ngx_http_evenkeel_sum_t     *sum;
    const ngx_http_evenkeel_kinds_t   *kinds;
    const ngx_http_evenkeel_metric_t  *metric;

    view = views->elts;

    for (k = 0; k < NGX_HTTP_EVENKEEL_METRICS; k++) {
        metric = &ngx_http_evenkeel_metrics[k];

        p = ngx_http_evenkeel_prometheus_head(p, metric->prometheus,
                                              metric->type, metric->help);

        for (i = 0; i < views->nelts; i++) {
            p = ngx_http_evenkeel_prometheus_hosts(p, &view[i], metric);
        }
    }

    for (k = 0; k < NGX_HTTP_EVENKEEL_SUMS; k++) {
        sum = &ngx_http_evenkeel_sums[k];

        p = ngx_http_evenkeel_prometheus_head(p, sum->prometheus, sum->type,
                                              sum->help);

        for (i = 0; i < views->nelts; i++) {
            p = ngx_sprintf(p, "%s{upstream=\"%V\"} ", sum->prometheus,
                            &view[i].conf->upstream->host);
            p = ngx_http_evenkeel_number(p, sum->value(&view[i]), "NaN");
            *p++ = '\n';
        }
    }

    p = ngx_http_evenkeel_prometheus_head(p, "evenkeel_decide_seconds",
                                          "histogram", "Time of decisions.");

    for (i = 0; i < views->nelts; i++) {
        p = ngx_http_evenkeel_prometheus_histogram(p, &view[i]);
    }

    p = ngx_http_evenkeel_prometheus_head(p, "evenkeel_decisions_total",
                                          "counter", "Decisions by reason.");

    for (i = 0; i < views->nelts; i++) {
        p = ngx_http_evenkeel_prometheus_decisions(p, &view[i]);
    }

    for (k = 0; k < NGX_HTTP_EVENKEEL_KINDS; k++) {
        kinds = &ngx_http_evenkeel_kinds[k];

        p = ngx_http_evenkeel_prometheus_head(p, kinds->prometheus, "counter",
                                              kinds->help);

        for (i = 0; i < views->nelts; i++) {
            p = ngx_http_evenkeel_prometheus_kinds(p, &view[i], kinds);
        }
    }

    p = ngx_http_evenkeel_prometheus_head(p, "evenkeel_artifact_info", "gauge",
                                          "The artifact in force.");

    for (i = 0; i < views->nelts; i++) {
        p = ngx_http_evenkeel_prometheus_artifact(p, &view[i]);
    }

    return p;
}


static u_char *
ngx_http_evenkeel_prometheus_head(u_char *p, const char *name,
    const char *type, const char *help)
{
    return ngx_sprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                       type);
}


static u_char *
ngx_http_evenkeel_prometheus_artifact(u_char *p, ngx_http_evenkeel_view_t *view)
{
    ngx_str_t     name;
    ek_identity  *identity;

    if (view->conf->artifact.model == NULL) {
        return p;
    }

    identity = &view->conf->artifact.identity;
    name = ngx_http_evenkeel_artifact_name(view->conf);

    return ngx_sprintf(p, "evenkeel_artifact_info{upstream=\"%V\",name=\"%V\","
                       "version=\"%s\",made_by=\"%s\",date=\"%s\","
                       "checksum=\"%08xD\"} 1\n",
                       &view->conf->upstream->host, &name, identity->version,
                       identity->made_by, identity->date, identity->checksum);
}


static u_char *
ngx_http_evenkeel_prometheus_hosts(u_char *p, ngx_http_evenkeel_view_t *view,
    const ngx_http_evenkeel_metric_t *metric)
{
    ngx_uint_t                      i;
    ngx_http_evenkeel_host_view_t  *hosts;

    hosts = view->hosts.elts;

    for (i = 0; i < view->hosts.nelts; i++) {
        p = ngx_sprintf(p, "%s{upstream=\"%V\",host=\"%V\"} ",
                        metric->prometheus, &view->conf->upstream->host,
                        &hosts[i].name);
        p = ngx_http_evenkeel_number(p, metric->value(&hosts[i].stats), "NaN");
        *p++ = '\n';
    }

    return p;
}


static u_char *
ngx_http_evenkeel_prometheus_histogram(u_char *p,
    ngx_http_evenkeel_view_t *view)
{
    uint64_t    end_ns, count, total;
    uint32_t    bucket;
    ngx_str_t  *upstream;

    upstream = &view->conf->upstream->host;
    total = 0;

    for (bucket = 0; bucket < EK_HISTOGRAM_BUCKETS; bucket++) {
        if (ek_upstream_time_bucket(view->conf->shared->upstream, bucket,
                                    &end_ns, &count)
            != EK_CODE_OK)
        {
            return p;
        }

        total += count;

        if (bucket + 1 == EK_HISTOGRAM_BUCKETS) {
            p = ngx_sprintf(p, "evenkeel_decide_seconds_bucket{upstream=\"%V\","
                            "le=\"+Inf\"} %uL\n", upstream, total);

        } else if ((bucket + 1) % NGX_HTTP_EVENKEEL_BUCKET_STEP == 0) {
            p = ngx_sprintf(p, "evenkeel_decide_seconds_bucket{upstream=\"%V\","
                            "le=\"%.9f\"} %uL\n", upstream,
                            (double) end_ns / 1e9, total);
        }
    }

    p = ngx_sprintf(p, "evenkeel_decide_seconds_sum{upstream=\"%V\"} %.9f\n",
                    upstream, (double) view->counters.choice_time_sum_ns / 1e9);

    return ngx_sprintf(p, "evenkeel_decide_seconds_count{upstream=\"%V\"} "
                       "%uL\n", upstream, total);
}


static u_char *
ngx_http_evenkeel_prometheus_decisions(u_char *p,
    ngx_http_evenkeel_view_t *view)
{
    ngx_uint_t  reason;

    for (reason = 0; reason < NGX_HTTP_EVENKEEL_REASONS; reason++) {
        p = ngx_sprintf(p, "evenkeel_decisions_total{upstream=\"%V\","
                        "reason=\"%s\"} %uL\n", &view->conf->upstream->host,
                        ngx_http_evenkeel_reason(reason),
                        view->decisions[reason]);
    }

    return p;
}


static u_char *
ngx_http_evenkeel_prometheus_kinds(u_char *p, ngx_http_evenkeel_view_t *view,
    const ngx_http_evenkeel_kinds_t *kinds)
{
    ngx_uint_t  k;

    for (k = 0; k < kinds->number; k++) {
        p = ngx_sprintf(p, "%s{upstream=\"%V\",%s=\"%s\"} %uL\n",
                        kinds->prometheus, &view->conf->upstream->host,
                        kinds->label, kinds->names[k],
                        ngx_http_evenkeel_kind(kinds, view, k));
    }

    return p;
}

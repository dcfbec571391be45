/*
 * The status page as Prometheus text.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"


static u_char *ngx_http_evenkeel_prometheus_metric(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf,
    const ngx_http_evenkeel_metric_t *metric);
static u_char *ngx_http_evenkeel_prometheus_histogram(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf);


u_char *
ngx_http_evenkeel_prometheus(u_char *p, ngx_http_upstream_main_conf_t *umcf)
{
    uint64_t                           decisions;
    ngx_uint_t                         i, reason;
    ngx_http_evenkeel_srv_conf_t      *conf;
    ngx_http_upstream_srv_conf_t     **uscfp;
    const ngx_http_evenkeel_sum_t     *sum;
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

    for (sum = ngx_http_evenkeel_sums; sum->prometheus; sum++) {
        p = ngx_sprintf(p, "# TYPE %s %s\n", sum->prometheus, sum->type);

        for (i = 0; i < umcf->upstreams.nelts; i++) {
            conf = ngx_http_evenkeel_conf(uscfp[i]);
            if (conf == NULL) {
                continue;
            }

            p = ngx_sprintf(p, "%s{upstream=\"%V\"} ", sum->prometheus,
                            &uscfp[i]->host);
            p = ngx_http_evenkeel_number(p, sum->value(conf), "NaN");
            *p++ = '\n';
        }
    }

    p = ngx_sprintf(p, "# TYPE evenkeel_decide_seconds histogram\n");

    for (i = 0; i < umcf->upstreams.nelts; i++) {
        conf = ngx_http_evenkeel_conf(uscfp[i]);

        if (conf != NULL) {
            p = ngx_http_evenkeel_prometheus_histogram(p, conf);
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
ngx_http_evenkeel_prometheus_histogram(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf)
{
    uint64_t    sum_ns, p99_ns, end_ns, count, total;
    uint32_t    bucket;
    ngx_str_t  *upstream;

    upstream = &conf->upstream->host;
    total = 0;

    for (bucket = 0; bucket < EK_HISTOGRAM_BUCKETS; bucket++) {
        if (ek_histogram_bucket(conf->shared->decide_time, bucket, &end_ns,
                                &count)
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

    ek_histogram_summary(conf->shared->decide_time, &sum_ns, &p99_ns);

    p = ngx_sprintf(p, "evenkeel_decide_seconds_sum{upstream=\"%V\"} %.9f\n",
                    upstream, (double) sum_ns / 1e9);

    return ngx_sprintf(p, "evenkeel_decide_seconds_count{upstream=\"%V\"} "
                       "%uL\n", upstream, total);
}

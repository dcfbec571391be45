/*
 * The status page as JSON.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"


static u_char *ngx_http_evenkeel_json_upstream(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf);
static u_char *ngx_http_evenkeel_json_sums(u_char *p,
    ngx_http_evenkeel_srv_conf_t *conf);


u_char *
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

    *p++ = '}';

    p = ngx_http_evenkeel_json_sums(p, conf);
    p = ngx_sprintf(p, ",\"hosts\":[");

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


u_char *
ngx_http_evenkeel_scale_json(u_char *p, ngx_http_upstream_main_conf_t *umcf)
{
    ngx_uint_t                      i, n;
    ngx_http_evenkeel_srv_conf_t   *conf;
    ngx_http_upstream_srv_conf_t  **uscfp;

    uscfp = umcf->upstreams.elts;
    n = 0;

    *p++ = '{';

    for (i = 0; i < umcf->upstreams.nelts; i++) {
        conf = ngx_http_evenkeel_conf(uscfp[i]);
        if (conf == NULL) {
            continue;
        }

        p = ngx_sprintf(p, "%s\"%V\":{", n++ ? "," : "", &uscfp[i]->host);
        /* The sums begin with a comma. */
        p = ngx_sprintf(p, "\"upstream\":\"%V\"", &uscfp[i]->host);
        p = ngx_http_evenkeel_json_sums(p, conf);
        *p++ = '}';
    }

    return ngx_sprintf(p, "}\n");
}


static u_char *
ngx_http_evenkeel_json_sums(u_char *p, ngx_http_evenkeel_srv_conf_t *conf)
{
    const ngx_http_evenkeel_sum_t  *sum;

    for (sum = ngx_http_evenkeel_sums; sum->json; sum++) {
        p = ngx_sprintf(p, ",\"%s\":", sum->json);
        p = ngx_http_evenkeel_number(p, sum->value(conf), "null");
    }

    return p;
}

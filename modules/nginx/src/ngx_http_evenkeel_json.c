/*
 * The status page as JSON.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"


static u_char *ngx_http_evenkeel_json_upstream(u_char *p,
    ngx_http_evenkeel_view_t *view);
static u_char *ngx_http_evenkeel_json_sums(u_char *p,
    ngx_http_evenkeel_view_t *view);
static u_char *ngx_http_evenkeel_json_hosts(u_char *p,
    ngx_http_evenkeel_view_t *view);
static u_char *ngx_http_evenkeel_json_artifact(u_char *p,
    ngx_http_evenkeel_view_t *view);


u_char *
ngx_http_evenkeel_json(u_char *p, ngx_array_t *views)
{
    ngx_uint_t                 i;
    ngx_http_evenkeel_view_t  *view;

    view = views->elts;

    p = ngx_sprintf(p, "{\"upstreams\":[");

    for (i = 0; i < views->nelts; i++) {
        if (i) {
            *p++ = ',';
        }

        p = ngx_http_evenkeel_json_upstream(p, &view[i]);
    }

    return ngx_sprintf(p, "]}\n");
}


static u_char *
ngx_http_evenkeel_json_upstream(u_char *p, ngx_http_evenkeel_view_t *view)
{
    ngx_uint_t                        i, k, reason;
    const ngx_http_evenkeel_kinds_t  *kinds;

    p = ngx_sprintf(p, "{\"name\":\"%V\",\"mode\":\"%s\",\"decisions\":{",
                    &view->conf->upstream->host,
                    view->conf->shadow ? "shadow" : "active");

    for (reason = 0; reason < NGX_HTTP_EVENKEEL_REASONS; reason++) {
        p = ngx_sprintf(p, "%s\"%s\":%uL", reason ? "," : "",
                        ngx_http_evenkeel_reason(reason),
                        view->decisions[reason]);
    }

    *p++ = '}';

    for (i = 0; i < NGX_HTTP_EVENKEEL_KINDS; i++) {
        kinds = &ngx_http_evenkeel_kinds[i];
        p = ngx_sprintf(p, ",\"%s\":{", kinds->json);

        for (k = 0; k < kinds->number; k++) {
            p = ngx_sprintf(p, "%s\"%s\":%uL", k ? "," : "", kinds->names[k],
                            ngx_http_evenkeel_kind(kinds, view, k));
        }

        *p++ = '}';
    }

    p = ngx_http_evenkeel_json_artifact(p, view);
    p = ngx_http_evenkeel_json_sums(p, view);
    p = ngx_http_evenkeel_json_hosts(p, view);

    *p++ = '}';

    return p;
}


/* Which artifact is in force; null while there is none. */
static u_char *
ngx_http_evenkeel_json_artifact(u_char *p, ngx_http_evenkeel_view_t *view)
{
    ngx_str_t     name;
    ek_identity  *identity;

    if (view->conf->artifact.model == NULL) {
        return ngx_sprintf(p, ",\"artifact\":null");
    }

    identity = &view->conf->artifact.identity;
    name = ngx_http_evenkeel_artifact_name(view->conf);

    return ngx_sprintf(p, ",\"artifact\":{\"name\":\"%V\",\"version\":\"%s\","
                       "\"made_by\":\"%s\",\"date\":\"%s\","
                       "\"checksum\":\"%08xD\",\"trained_on\":\"%s\","
                       "\"more_traces\":%uD,\"path\":\"%V\"}",
                       &name, identity->version, identity->made_by,
                       identity->date, identity->checksum, identity->trace,
                       identity->more_traces, &view->conf->path);
}


static u_char *
ngx_http_evenkeel_json_hosts(u_char *p, ngx_http_evenkeel_view_t *view)
{
    ngx_uint_t                         i, k;
    ngx_http_evenkeel_host_view_t     *hosts;
    const ngx_http_evenkeel_metric_t  *metric;

    hosts = view->hosts.elts;

    p = ngx_sprintf(p, ",\"hosts\":[");

    for (i = 0; i < view->hosts.nelts; i++) {
        p = ngx_sprintf(p, "%s{\"host\":\"%V\"", i ? "," : "", &hosts[i].name);

        for (k = 0; k < NGX_HTTP_EVENKEEL_METRICS; k++) {
            metric = &ngx_http_evenkeel_metrics[k];

            p = ngx_sprintf(p, ",\"%s\":", metric->json);
            p = ngx_http_evenkeel_number(p, metric->value(&hosts[i].stats),
                                         "null");
        }

        *p++ = '}';
    }

    *p++ = ']';

    return p;
}


u_char *
ngx_http_evenkeel_scale_json(u_char *p, ngx_array_t *views)
{
    ngx_str_t                 *name;
    ngx_uint_t                 i;
    ngx_http_evenkeel_view_t  *view;

    view = views->elts;

    *p++ = '{';

    for (i = 0; i < views->nelts; i++) {
        name = &view[i].conf->upstream->host;

        /* The sums begin with a comma. */

        p = ngx_sprintf(p, "%s\"%V\":{\"upstream\":\"%V\"", i ? "," : "", name,
                        name);
        p = ngx_http_evenkeel_json_sums(p, &view[i]);
        *p++ = '}';
    }

    return ngx_sprintf(p, "}\n");
}


static u_char *
ngx_http_evenkeel_json_sums(u_char *p, ngx_http_evenkeel_view_t *view)
{
    ngx_uint_t                      i;
    const ngx_http_evenkeel_sum_t  *sum;

    for (i = 0; i < NGX_HTTP_EVENKEEL_SUMS; i++) {
        sum = &ngx_http_evenkeel_sums[i];

        p = ngx_sprintf(p, ",\"%s\":", sum->json);
        p = ngx_http_evenkeel_number(p, sum->value(view), "null");
    }

    return p;
}

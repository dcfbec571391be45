/*
 * The status page: what its two forms share.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef NGX_HTTP_EVENKEEL_STATUS_H
#define NGX_HTTP_EVENKEEL_STATUS_H


#include "ngx_http_evenkeel.h"


/* Room for one number, its name and labels, without upstream and server. */
#define NGX_HTTP_EVENKEEL_LINE  192

/* Every fourth bucket is shown: one for each power of two. */
#define NGX_HTTP_EVENKEEL_BUCKET_STEP  4


/* A number of a host. */
typedef struct {
    const char                      *prometheus;
    const char                      *type;
    const char                      *json;
    double                         (*value)(const ek_stats *stats);
} ngx_http_evenkeel_metric_t;


/* A number of an upstream. */
typedef struct {
    const char                      *prometheus;
    const char                      *type;
    const char                      *json;
    double                         (*value)(ngx_http_evenkeel_srv_conf_t *conf);
} ngx_http_evenkeel_sum_t;


/* Both end with one whose names are NULL. */
extern const ngx_http_evenkeel_metric_t  ngx_http_evenkeel_metrics[];
extern const ngx_http_evenkeel_sum_t     ngx_http_evenkeel_sums[];


/* NULL for an upstream that the module does not serve. */
ngx_http_evenkeel_srv_conf_t *ngx_http_evenkeel_conf(
    ngx_http_upstream_srv_conf_t *uscf);
/*
 * A server by its place in the configuration. NULL for what comes a second time: it is
 * the same host.
 */
ngx_http_upstream_rr_peer_t *ngx_http_evenkeel_peer(
    ngx_http_evenkeel_srv_conf_t *conf, ngx_uint_t index);
void ngx_http_evenkeel_read_demand(ngx_http_evenkeel_srv_conf_t *conf,
    ek_demand_reading *reading);
u_char *ngx_http_evenkeel_number(u_char *p, double value, const char *unknown);

u_char *ngx_http_evenkeel_prometheus(u_char *p,
    ngx_http_upstream_main_conf_t *umcf);
u_char *ngx_http_evenkeel_json(u_char *p, ngx_http_upstream_main_conf_t *umcf);
/* For KEDA's metrics-api scaler: {"UPSTREAM":{"demand":6.4, ...}} */
u_char *ngx_http_evenkeel_scale_json(u_char *p,
    ngx_http_upstream_main_conf_t *umcf);


#endif /* NGX_HTTP_EVENKEEL_STATUS_H */

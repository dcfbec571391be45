/*
 * The status page: what its forms share.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef NGX_HTTP_EVENKEEL_STATUS_H
#define NGX_HTTP_EVENKEEL_STATUS_H


#include "ngx_http_evenkeel.h"


/*
 * Room for one number, its name and labels, without upstream and server; also for a line of help
 * and one of the type, and for half of what identifies an artifact.
 */
#define NGX_HTTP_EVENKEEL_LINE  256

/* Every fourth bucket is shown: one for each power of two. */
#define NGX_HTTP_EVENKEEL_BUCKET_STEP  4


/* Reasons of libevenkeel: all but the round robin's. */
#define NGX_HTTP_EVENKEEL_REASONS  NGX_HTTP_EVENKEEL_ROUND_ROBIN

#define NGX_HTTP_EVENKEEL_METRICS  14
#define NGX_HTTP_EVENKEEL_SUMS     11


/* What a page tells of a host. */
typedef struct {
    ngx_str_t                        name;
    ek_stats                         stats;
} ngx_http_evenkeel_host_view_t;


/* What a page tells of an upstream. */
typedef struct {
    ngx_http_evenkeel_srv_conf_t    *conf;
    ek_demand_reading                demand;
    uint64_t                         decisions[NGX_HTTP_EVENKEEL_REASONS];
    ek_counters                      counters;
    ngx_array_t                      hosts;
} ngx_http_evenkeel_view_t;


/* A number of a host. */
typedef struct {
    const char                      *prometheus;
    const char                      *type;
    const char                      *json;
    const char                      *help;
    double                         (*value)(const ek_stats *stats);
} ngx_http_evenkeel_metric_t;


/* A number of an upstream. */
typedef struct {
    const char                      *prometheus;
    const char                      *type;
    const char                      *json;
    const char                      *help;
    double                         (*value)(
                                       const ngx_http_evenkeel_view_t *view);
} ngx_http_evenkeel_sum_t;


extern const ngx_http_evenkeel_metric_t
    ngx_http_evenkeel_metrics[NGX_HTTP_EVENKEEL_METRICS];
extern const ngx_http_evenkeel_sum_t
    ngx_http_evenkeel_sums[NGX_HTTP_EVENKEEL_SUMS];


/* Of all upstreams that the module serves; NULL if there is no memory. */
ngx_array_t *ngx_http_evenkeel_views(ngx_pool_t *pool);

/* Counts of an upstream that a label tells apart, beside its decisions. */
typedef struct {
    const char                      *prometheus;
    const char                      *help;
    const char                      *label;
    const char                      *json;
    ngx_uint_t                       number;
    const char *const               *names;
    size_t                           offset;  /* in the head of the zone */
} ngx_http_evenkeel_kinds_t;


#define NGX_HTTP_EVENKEEL_KINDS  3

extern const ngx_http_evenkeel_kinds_t
    ngx_http_evenkeel_kinds[NGX_HTTP_EVENKEEL_KINDS];


uint64_t ngx_http_evenkeel_kind(const ngx_http_evenkeel_kinds_t *kinds,
    const ngx_http_evenkeel_view_t *view, ngx_uint_t kind);

u_char *ngx_http_evenkeel_number(u_char *p, double value, const char *unknown);

/* Each of these takes an array of ngx_http_evenkeel_view_t. */
u_char *ngx_http_evenkeel_prometheus(u_char *p, ngx_array_t *views);
u_char *ngx_http_evenkeel_json(u_char *p, ngx_array_t *views);
/* For KEDA's metrics-api scaler: {"UPSTREAM":{"demand":6.4, ...}} */
u_char *ngx_http_evenkeel_scale_json(u_char *p, ngx_array_t *views);


#endif /* NGX_HTTP_EVENKEEL_STATUS_H */

/*
 * The shared memory of an upstream: what is known of its hosts, and the requests under way.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef NGX_HTTP_EVENKEEL_ZONE_H
#define NGX_HTTP_EVENKEEL_ZONE_H


#include "ngx_http_evenkeel.h"


#define NGX_HTTP_EVENKEEL_ZONE_SIZE  (256 * 1024)


ngx_int_t ngx_http_evenkeel_add_zone(ngx_conf_t *cf,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_str_t *name, size_t size);
ngx_int_t ngx_http_evenkeel_init_module(ngx_cycle_t *cycle);
ngx_int_t ngx_http_evenkeel_init_process(ngx_cycle_t *cycle);

/* Memory for a request's ticket: shared where there is some left, else the request's own. */
ngx_http_evenkeel_lease_t *ngx_http_evenkeel_lease(
    ngx_http_evenkeel_shared_t *shared, ngx_http_evenkeel_lease_t *own);
void ngx_http_evenkeel_release(ngx_http_evenkeel_lease_t *lease);


#endif /* NGX_HTTP_EVENKEEL_ZONE_H */

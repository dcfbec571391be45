/*
 * What a status page tells, read once for each page.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"

#include <math.h>


static ngx_int_t ngx_http_evenkeel_view(ngx_http_evenkeel_view_t *view,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_pool_t *pool);
static void ngx_http_evenkeel_view_counters(ngx_http_evenkeel_view_t *view);
static void ngx_http_evenkeel_view_demand(ngx_http_evenkeel_view_t *view);
static ngx_int_t ngx_http_evenkeel_view_hosts(ngx_http_evenkeel_view_t *view,
    ngx_http_upstream_rr_peers_t *peers, ngx_pool_t *pool);
static ngx_uint_t ngx_http_evenkeel_is_viewed(ngx_http_evenkeel_view_t *view,
    uint64_t key);


ngx_array_t *
ngx_http_evenkeel_views(ngx_pool_t *pool)
{
    ngx_uint_t                     i;
    ngx_array_t                   *views;
    ngx_http_evenkeel_view_t      *view;
    ngx_http_evenkeel_srv_conf_t  *conf;

    views = ngx_array_create(pool, 4, sizeof(ngx_http_evenkeel_view_t));
    if (views == NULL) {
        return NULL;
    }

    i = 0;

    for ( ;; ) {
        conf = ngx_http_evenkeel_upstream((ngx_cycle_t *) ngx_cycle, &i);
        if (conf == NULL) {
            return views;
        }

        view = ngx_array_push(views);

        if (view == NULL
            || ngx_http_evenkeel_view(view, conf, pool) != NGX_OK)
        {
            return NULL;
        }
    }
}


static ngx_int_t
ngx_http_evenkeel_view(ngx_http_evenkeel_view_t *view,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_pool_t *pool)
{
    ngx_http_upstream_rr_peers_t  *peers;

    ngx_memzero(view, sizeof(ngx_http_evenkeel_view_t));
    view->conf = conf;

    ngx_http_evenkeel_view_counters(view);
    ngx_http_evenkeel_view_demand(view);

    if (ngx_array_init(&view->hosts, pool, ngx_max(conf->nhosts, 1),
                       sizeof(ngx_http_evenkeel_host_view_t))
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    for (peers = conf->upstream->peer.data; peers; peers = peers->next) {
        if (ngx_http_evenkeel_view_hosts(view, peers, pool) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static void
ngx_http_evenkeel_view_counters(ngx_http_evenkeel_view_t *view)
{
    ek_counters  *counters;

    counters = &view->counters;
    counters->struct_size = sizeof(ek_counters);

    (void) ek_upstream_counters(view->conf->shared->upstream, counters);

    view->decisions[EK_REASON_POLICY] = counters->policy;
    view->decisions[EK_REASON_ONLY_HOST] = counters->only_host;
    view->decisions[EK_REASON_NO_POLICY] = counters->no_policy;
    view->decisions[EK_REASON_NO_SCORE] = counters->no_score;
    view->decisions[EK_REASON_NO_HOST] = counters->no_host;
    view->decisions[EK_REASON_UNTRIED] = counters->untried;
}


static void
ngx_http_evenkeel_view_demand(ngx_http_evenkeel_view_t *view)
{
    const ek_scale                *scale;
    ek_demand_reading             *reading;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = view->conf;
    scale = conf->scale.struct_size ? &conf->scale : NULL;

    reading = &view->demand;
    reading->struct_size = sizeof(ek_demand_reading);

    if (ek_upstream_demand(conf->shared->upstream, conf->artifact.model, scale,
                           reading)
        != EK_CODE_OK)
    {
        reading->present_per_s = NAN;
        reading->forecast_per_s = NAN;
        reading->replicas = NAN;
        reading->history_days = NAN;
    }
}


/* Names are copied: servers come and go while the page is written. */
static ngx_int_t
ngx_http_evenkeel_view_hosts(ngx_http_evenkeel_view_t *view,
    ngx_http_upstream_rr_peers_t *peers, ngx_pool_t *pool)
{
    uint32_t                        index;
    uint64_t                        key;
    ngx_int_t                       rc;
    ngx_http_upstream_rr_peer_t    *peer;
    ngx_http_evenkeel_shared_t     *shared;
    ngx_http_evenkeel_host_view_t   host, *added;

    rc = NGX_OK;
    shared = view->conf->shared;
    host.stats.struct_size = sizeof(ek_stats);

    ngx_http_upstream_rr_peers_rlock(peers);

    for (peer = peers->peer; peer; peer = peer->next) {
        key = ngx_http_evenkeel_host_key(peer);

        if (ngx_http_evenkeel_is_viewed(view, key)
            || ek_host_find(shared->upstream, key, &index) != EK_CODE_OK
            || ek_host_stats(shared->upstream, index,
                             ngx_http_evenkeel_now_us(), &host.stats)
               != EK_CODE_OK)
        {
            continue;
        }

        host.name.len = peer->name.len;
        host.name.data = ngx_pstrdup(pool, &peer->name);
        added = ngx_array_push(&view->hosts);

        if (host.name.data == NULL || added == NULL) {
            rc = NGX_ERROR;
            break;
        }

        *added = host;
    }

    ngx_http_upstream_rr_peers_unlock(peers);

    return rc;
}


/* An address that is configured a second time is the same host. */
static ngx_uint_t
ngx_http_evenkeel_is_viewed(ngx_http_evenkeel_view_t *view, uint64_t key)
{
    ngx_uint_t                      i;
    ngx_http_evenkeel_host_view_t  *hosts;

    hosts = view->hosts.elts;

    for (i = 0; i < view->hosts.nelts; i++) {
        if (hosts[i].stats.key == key) {
            return 1;
        }
    }

    return 0;
}

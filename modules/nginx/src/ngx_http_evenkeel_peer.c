/*
 * A server for each request: taken from NGINX's list and given back. Backup servers, and
 * what to say if no server is left, are the round robin's affair.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static void ngx_http_evenkeel_finalize_request(ngx_http_request_t *r,
    ngx_int_t rc);
static ngx_int_t ngx_http_evenkeel_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_http_evenkeel_candidate_t *ngx_http_evenkeel_route(
    ngx_http_evenkeel_peer_data_t *ekp, ngx_peer_connection_t *pc);
static ngx_int_t ngx_http_evenkeel_take(ngx_peer_connection_t *pc,
    ngx_http_evenkeel_peer_data_t *ekp, ngx_http_evenkeel_candidate_t *found);
static void ngx_http_evenkeel_begin(ngx_http_evenkeel_peer_data_t *ekp,
    uint32_t host);
static void ngx_http_evenkeel_name_host(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_http_upstream_rr_peer_t *peer);
static void ngx_http_evenkeel_compare(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_http_upstream_rr_peer_t *chosen);
static void ngx_http_evenkeel_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static ngx_uint_t ngx_http_evenkeel_came_back(
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_uint_t state);


ngx_int_t
ngx_http_evenkeel_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_evenkeel_module);

    if (conf->original_init_upstream(cf, us) != NGX_OK) {
        return NGX_ERROR;
    }

    conf->original_init_peer = us->peer.init;
    conf->initialised = 1;
    us->peer.init = ngx_http_evenkeel_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_http_evenkeel_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_evenkeel_srv_conf_t   *conf;
    ngx_http_evenkeel_peer_data_t  *ekp;

    conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_evenkeel_module);

    ekp = ngx_pcalloc(r->pool, sizeof(ngx_http_evenkeel_peer_data_t));
    if (ekp == NULL) {
        return NGX_ERROR;
    }

    ekp->request = r;
    ekp->conf = conf;
    ngx_http_evenkeel_describe(ekp);

    r->upstream->peer.data = &ekp->rrp;

    if (conf->original_init_peer(r, us) != NGX_OK) {
        return NGX_ERROR;
    }

    ekp->primary = ekp->rrp.peers;

    r->upstream->peer.get = ngx_http_evenkeel_get_peer;
    r->upstream->peer.free = ngx_http_evenkeel_free_peer;

    if (r->upstream->finalize_request != ngx_http_evenkeel_finalize_request) {
        ekp->original_finalize_request = r->upstream->finalize_request;
        r->upstream->finalize_request = ngx_http_evenkeel_finalize_request;
    }

    ngx_http_set_ctx(r, ekp, ngx_http_evenkeel_module);

    return NGX_OK;
}


/* Comes just before the server is given back. */
static void
ngx_http_evenkeel_finalize_request(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_http_evenkeel_peer_data_t  *ekp;

    ekp = ngx_http_get_module_ctx(r, ngx_http_evenkeel_module);

    if (ekp == NULL) {
        return;
    }

    ekp->verdict = rc;

    if (ekp->original_finalize_request) {
        ekp->original_finalize_request(r, rc);
    }
}


static ngx_int_t
ngx_http_evenkeel_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_evenkeel_peer_data_t  *ekp = data;

    uint32_t                        host;
    ngx_int_t                       rc;
    ngx_http_evenkeel_candidate_t  *found;

    if (ekp->tries++ == 0) {
        (void) ek_upstream_arrived(ekp->conf->shared->upstream);
    }

    ngx_http_upstream_rr_peers_rlock(ekp->rrp.peers);

    do {
        found = ngx_http_evenkeel_route(ekp, pc);

        if (found == NULL) {
            found = ngx_http_evenkeel_decide(ekp);
        }

        if (found != NULL) {
            ngx_http_evenkeel_name_host(ekp, found->peer);
        }

        if (found == NULL || ekp->conf->shadow) {
            ngx_http_upstream_rr_peers_unlock(ekp->rrp.peers);
            goto round_robin;
        }

        /* Other workers may have filled the server up meanwhile. */

    } while (ngx_http_evenkeel_take(pc, ekp, found) != NGX_OK);

    host = ekp->conf->hosts[found->index];

    ngx_http_upstream_rr_peers_unlock(ekp->rrp.peers);

    ngx_http_evenkeel_begin(ekp, host);

    return NGX_OK;

round_robin:

    /* The round robin knows backup servers, and what to say if all are down. */

    rc = ngx_http_upstream_get_round_robin_peer(pc, &ekp->rrp);

    if (rc != NGX_OK) {
        return rc;
    }

    /* The request holds the server, even if its list has changed. */

    if (found == NULL) {
        ngx_http_evenkeel_name_host(ekp, ekp->rrp.current);

    } else {
        ngx_http_evenkeel_compare(ekp, found->peer);
    }

    if (ek_host_find(ekp->conf->shared->upstream,
                     ngx_http_evenkeel_host_key(ekp->rrp.current), &host)
        != EK_CODE_OK)
    {
        host = EK_NO_HOST;
    }

    ngx_http_evenkeel_begin(ekp, host);

    return NGX_OK;
}


/* The server that NGINX's "sticky" asks for, if it can take the request. */
static ngx_http_evenkeel_candidate_t *
ngx_http_evenkeel_route(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_peer_connection_t *pc)
{
#if (NGX_HTTP_UPSTREAM_SID)

    static ngx_http_evenkeel_candidate_t  found;

    if (ekp->rrp.peers != ekp->primary) {
        return NULL;
    }

    ngx_http_evenkeel_follow(ekp->conf, ekp->request->connection->log);

    found.peer = ngx_http_upstream_get_rr_peer_by_sid(&ekp->rrp, pc->hint,
                                                      &found.index, 0);

    if (found.peer == NULL || found.index >= ekp->conf->nhosts) {
        return NULL;
    }

    ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_STICKY);
    ekp->reason = NGX_HTTP_EVENKEEL_STICKY_ROUTE;

    return &found;

#else

    return NULL;

#endif
}


/* What the round robin does with the server that it chose; NGX_BUSY if it is full by now. */
static ngx_int_t
ngx_http_evenkeel_take(ngx_peer_connection_t *pc,
    ngx_http_evenkeel_peer_data_t *ekp, ngx_http_evenkeel_candidate_t *found)
{
    time_t                             now;
    ngx_http_upstream_rr_peer_t       *peer;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    rrp = &ekp->rrp;
    peer = found->peer;
    now = ngx_time();

    ngx_http_upstream_rr_peer_lock(rrp->peers, peer);

    if (peer->max_conns && peer->conns >= peer->max_conns) {
        ngx_http_upstream_rr_peer_unlock(rrp->peers, peer);
        return NGX_BUSY;
    }

    if (now - peer->checked > peer->fail_timeout) {
        peer->checked = now;
    }

    peer->conns++;

#ifdef ngx_http_upstream_rr_peer_ref
    ngx_http_upstream_rr_peer_ref(rrp->peers, peer);
#endif

    ngx_http_upstream_rr_peer_unlock(rrp->peers, peer);

    pc->sockaddr = peer->sockaddr;
    pc->socklen = peer->socklen;
    pc->name = &peer->name;
    pc->cached = 0;
    pc->connection = NULL;

#if (NGX_HTTP_UPSTREAM_SID)
    pc->sid = &peer->sid;
#endif

    rrp->current = peer;
    rrp->tried[found->index / (8 * sizeof(uintptr_t))] |=
                   (uintptr_t) 1 << found->index % (8 * sizeof(uintptr_t));

    return NGX_OK;
}


static void
ngx_http_evenkeel_begin(ngx_http_evenkeel_peer_data_t *ekp, uint32_t host)
{
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;

    ekp->under_way = 1;
    ekp->header_seen = 0;
    ekp->token_seen = 0;
    ekp->reader = NULL;
    ekp->first_body_us = 0;
    ekp->verdict = NGX_OK;
    ekp->begun_us = ngx_http_evenkeel_now_us();

    if (!conf->counts || host == EK_NO_HOST) {
        return;
    }

    /* Refused, and not counted, if a reload has removed the server meanwhile. */

    (void) ek_upstream_begin(conf->shared->upstream, (uint32_t) conf->place,
                             conf->artifact.model, &ekp->facts, host,
                             ekp->begun_us, &ekp->ticket);
}


/* In shadow mode: whether the policy would have chosen as NGINX did. */
static void
ngx_http_evenkeel_compare(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_http_upstream_rr_peer_t *chosen)
{
    ngx_uint_t  outcome;

    outcome = (chosen == ekp->rrp.current) ? NGX_HTTP_EVENKEEL_AGREED
                                           : NGX_HTTP_EVENKEEL_DIFFERED;

    (void) ngx_atomic_fetch_add(&ekp->conf->shared->shadow[outcome], 1);
}


/* For the log, which is written when a server of a name may be gone. */
static void
ngx_http_evenkeel_name_host(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_http_upstream_rr_peer_t *peer)
{
    ekp->host = peer->name;

#if (NGX_HTTP_EVENKEEL_RESOLVE)

    if (ekp->primary->config) {
        ekp->host.data = ngx_pstrdup(ekp->request->pool, &peer->name);

        if (ekp->host.data == NULL) {
            ekp->host.len = 0;
        }
    }

#endif
}


static void
ngx_http_evenkeel_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_evenkeel_peer_data_t  *ekp = data;

    uint32_t    host;
    ngx_uint_t  is_counted;

    if (ekp->under_way) {
        host = ekp->ticket.host;
        is_counted = ekp->ticket.under_way;
        ngx_http_evenkeel_finish(ekp, pc, state);

        if (is_counted && ngx_http_evenkeel_came_back(&ekp->rrp, state)) {
            (void) ek_host_restarted(ekp->conf->shared->upstream, host,
                                     ngx_http_evenkeel_now_us());
        }
    }

    ekp->under_way = 0;

    ngx_http_upstream_free_round_robin_peer(pc, &ekp->rrp, state);
}


/* Whether the round robin is about to find that a failed server answers again. */
static ngx_uint_t
ngx_http_evenkeel_came_back(ngx_http_upstream_rr_peer_data_t *rrp,
    ngx_uint_t state)
{
    ngx_http_upstream_rr_peer_t  *peer;

    peer = rrp->current;

    return peer->max_fails
           && peer->fails >= peer->max_fails
           && peer->accessed < peer->checked
           && !(state & NGX_PEER_FAILED);
}

/*
 * A server for each request: taken from NGINX's list and given back. Backup servers, and
 * what to say if no server is left, are the round robin's affair.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_evenkeel_get_peer(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_evenkeel_take(ngx_peer_connection_t *pc,
    ngx_http_evenkeel_peer_data_t *ekp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index);
static void ngx_http_evenkeel_begin(ngx_http_evenkeel_peer_data_t *ekp,
    uint32_t host);
static void ngx_http_evenkeel_name_host(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_http_upstream_rr_peer_t *peer);
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

    ngx_http_set_ctx(r, ekp, ngx_http_evenkeel_module);

    return NGX_OK;
}


static ngx_int_t
ngx_http_evenkeel_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_evenkeel_peer_data_t  *ekp = data;

    uint32_t                      host;
    ngx_int_t                     rc;
    ngx_uint_t                    index;
    ngx_http_upstream_rr_peer_t  *peer, *chosen;

    if (ekp->tries++ == 0 && ekp->conf->demand != NULL) {
        ek_demand_arrived(ekp->conf->demand);
    }

    ngx_http_upstream_rr_peers_rlock(ekp->rrp.peers);

    peer = ngx_http_evenkeel_decide(ekp, &index);

    if (peer != NULL) {
        ngx_http_evenkeel_name_host(ekp, peer);
    }

    if (peer != NULL && !ekp->conf->shadow) {
        ngx_http_evenkeel_take(pc, ekp, peer, index);
        ngx_http_evenkeel_begin(ekp, ekp->decision.host);
        ngx_http_upstream_rr_peers_unlock(ekp->rrp.peers);

        return NGX_OK;
    }

    ngx_http_upstream_rr_peers_unlock(ekp->rrp.peers);

    /* The round robin knows backup servers, and what to say if all are down. */

    if (peer == NULL) {
        ekp->reason = NGX_HTTP_EVENKEEL_ROUND_ROBIN;
        ngx_str_null(&ekp->host);
    }

    rc = ngx_http_upstream_get_round_robin_peer(pc, &ekp->rrp);

    if (rc != NGX_OK) {
        return rc;
    }

    /* The request holds the server, even if its list has changed. */

    chosen = ekp->rrp.current;

    if (peer == NULL) {
        ngx_http_evenkeel_name_host(ekp, chosen);
    }

    if (ek_host_find(ekp->conf->shared->state,
                     ngx_http_evenkeel_host_key(chosen), &host)
        == EK_CODE_OK)
    {
        ngx_http_evenkeel_begin(ekp, host);
    }

    return NGX_OK;
}


/* What the round robin does with the server that it chose. */
static void
ngx_http_evenkeel_take(ngx_peer_connection_t *pc,
    ngx_http_evenkeel_peer_data_t *ekp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index)
{
    time_t                             now;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    rrp = &ekp->rrp;
    now = ngx_time();

    ngx_http_upstream_rr_peer_lock(rrp->peers, peer);

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

    rrp->current = peer;
    rrp->tried[index / (8 * sizeof(uintptr_t))] |=
                          (uintptr_t) 1 << index % (8 * sizeof(uintptr_t));
}


static void
ngx_http_evenkeel_begin(ngx_http_evenkeel_peer_data_t *ekp, uint32_t host)
{
    /* Refused, and not counted, if a reload has removed the server meanwhile. */

    (void) ek_process_begin(ekp->conf->shared->state,
                            (uint32_t) ngx_process_slot, host,
                            ekp->prompt_tokens, ngx_http_evenkeel_now_us(),
                            &ekp->ticket);
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

    uint32_t  host;

    if (ekp->ticket.under_way) {
        host = ekp->ticket.host;
        ngx_http_evenkeel_finish(ekp, pc, state);

        if (ngx_http_evenkeel_came_back(&ekp->rrp, state)) {
            (void) ek_host_restarted(ekp->conf->shared->state, host,
                                     ngx_http_evenkeel_now_us());
        }
    }

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

/*
 * The choice of a server for each request.
 *
 * Servers that NGINX itself would not take (tried, down, failing, full) are left out; of
 * the others, libevenkeel chooses. Backup servers, and what to say if none is left, are
 * the round robin's affair.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static void ngx_http_evenkeel_describe(ngx_http_evenkeel_peer_data_t *ekp);
static ngx_int_t ngx_http_evenkeel_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_http_upstream_rr_peer_t *ngx_http_evenkeel_decide(
    ngx_http_evenkeel_peer_data_t *ekp, ngx_uint_t *index);
static ngx_uint_t ngx_http_evenkeel_can_decide(
    ngx_http_evenkeel_peer_data_t *ekp);
static ek_code ngx_http_evenkeel_score(ngx_http_evenkeel_peer_data_t *ekp,
    const uint64_t *eligible);
static ngx_uint_t ngx_http_evenkeel_available(
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index);
static void ngx_http_evenkeel_take(ngx_peer_connection_t *pc,
    ngx_http_evenkeel_peer_data_t *ekp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index);
static void ngx_http_evenkeel_begin(ngx_http_evenkeel_peer_data_t *ekp,
    uint32_t host);
static void ngx_http_evenkeel_name_host(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_http_upstream_rr_peer_t *peer);
static void ngx_http_evenkeel_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);


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


/* What the policy is told of a request. */
static void
ngx_http_evenkeel_describe(ngx_http_evenkeel_peer_data_t *ekp)
{
    off_t                          bytes;
    ngx_str_t                      value;
    ngx_http_request_t            *r;
    ngx_http_evenkeel_srv_conf_t  *conf;

    r = ekp->request;
    conf = ekp->conf;

    if (conf->tokens != NULL) {
        ekp->prompt_tokens = ngx_http_evenkeel_tokens(r, conf->tokens);

    } else {
        /* Four bytes a token, roughly. */
        bytes = ngx_min(r->headers_in.content_length_n, 0x7fffffff);
        ekp->prompt_tokens = (bytes > 0) ? (uint32_t) bytes / 4 : 0;
    }

    if (conf->key != NULL
        && ngx_http_complex_value(r, conf->key, &value) == NGX_OK
        && value.len != 0)
    {
        ekp->key = ek_host_key((const char *) value.data, value.len);
    }
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


/* NULL if no server but a backup one can take the request. */
static ngx_http_upstream_rr_peer_t *
ngx_http_evenkeel_decide(ngx_http_evenkeel_peer_data_t *ekp, ngx_uint_t *index)
{
    uint64_t                       eligible[NGX_HTTP_EVENKEEL_WORDS];
    ek_code                        code;
    ngx_uint_t                     i, n;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;
    n = 0;

    if (!ngx_http_evenkeel_can_decide(ekp)) {
        return NULL;
    }

    ngx_memzero(eligible, sizeof(eligible));

    for (peer = ekp->rrp.peers->peer, i = 0;
         peer && i < conf->nhosts;
         peer = peer->next, i++)
    {
        if (conf->hosts[i] != EK_NO_HOST
            && ngx_http_evenkeel_available(&ekp->rrp, peer, i))
        {
            eligible[conf->hosts[i] / 64] |= (uint64_t) 1
                                             << (conf->hosts[i] % 64);
            n++;
        }
    }

    if (n == 0) {
        return NULL;
    }

    code = ngx_http_evenkeel_score(ekp, eligible);

    if (code != EK_CODE_OK) {
        ngx_log_error(NGX_LOG_WARN, ekp->request->connection->log, 0,
                      "evenkeel: no decision, round robin chooses: %s",
                      ek_strerror(code));
        return NULL;
    }

    for (peer = ekp->rrp.peers->peer, i = 0;
         peer && i < conf->nhosts;
         peer = peer->next, i++)
    {
        if (conf->hosts[i] == ekp->decision.host
            && ngx_http_evenkeel_available(&ekp->rrp, peer, i))
        {
            ekp->reason = ekp->decision.reason;
            *index = i;
            return peer;
        }
    }

    return NULL;
}


/* The list must be locked. */
static ngx_uint_t
ngx_http_evenkeel_can_decide(ngx_http_evenkeel_peer_data_t *ekp)
{
    /* The round robin has gone over to the backup servers before. */

    if (ekp->rrp.peers != ekp->primary) {
        return 0;
    }

#if (NGX_HTTP_EVENKEEL_RESOLVE)

    /* What was tried is known by places in a list that has changed meanwhile. */

    if (ekp->primary->config && ekp->rrp.config != *ekp->primary->config) {
        return 0;
    }

    ngx_http_evenkeel_follow(ekp->conf, ekp->request->connection->log);

#endif

    return 1;
}


static ek_code
ngx_http_evenkeel_score(ngx_http_evenkeel_peer_data_t *ekp,
    const uint64_t *eligible)
{
    uint64_t                       started_ns;
    ek_code                        code;
    ek_request                     request;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;

    ngx_memzero(&request, sizeof(ek_request));
    request.struct_size = sizeof(ek_request);
    request.prompt_tokens = ekp->prompt_tokens;

    ekp->decision.struct_size = sizeof(ek_decision);

    started_ns = ngx_http_evenkeel_now_ns();

    if (ekp->key != 0
        && ek_affinity_lookup(conf->shared->affinity,
                              conf->shared->affinity_size, ekp->key,
                              ekp->prompt_tokens, started_ns / 1000,
                              conf->cached_tokens, conf->ncached_tokens)
           == EK_CODE_OK)
    {
        request.cached_tokens = conf->cached_tokens;
        request.cached_tokens_len = conf->ncached_tokens;
    }

    code = ek_decide(conf->artifact.model, conf->shared->state, &request,
                     eligible, NGX_HTTP_EVENKEEL_WORDS, started_ns / 1000,
                     conf->scratch, conf->scratch_size, &ekp->decision);

    ekp->decide_ns = ngx_http_evenkeel_now_ns() - started_ns;
    ek_histogram_record(conf->shared->decide_time, ekp->decide_ns);

    return code;
}


static ngx_uint_t
ngx_http_evenkeel_available(ngx_http_upstream_rr_peer_data_t *rrp,
    ngx_http_upstream_rr_peer_t *peer, ngx_uint_t index)
{
    uintptr_t   m;
    ngx_uint_t  n;

    n = index / (8 * sizeof(uintptr_t));
    m = (uintptr_t) 1 << index % (8 * sizeof(uintptr_t));

    if (rrp->tried[n] & m) {
        return 0;
    }

    if (peer->down) {
        return 0;
    }

    if (peer->max_fails
        && peer->fails >= peer->max_fails
        && ngx_time() - peer->checked <= peer->fail_timeout)
    {
        return 0;
    }

    return !(peer->max_conns && peer->conns >= peer->max_conns);
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

    if (ekp->ticket.under_way) {
        ngx_http_evenkeel_finish(ekp, pc, state);
    }

    ngx_http_upstream_free_round_robin_peer(pc, &ekp->rrp, state);
}

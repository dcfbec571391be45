/*
 * The choice of a server. Those that NGINX itself would not take (tried, down, failing,
 * full) are left out; of the others, libevenkeel chooses.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_uint_t ngx_http_evenkeel_can_decide(
    ngx_http_evenkeel_peer_data_t *ekp);
static ek_code ngx_http_evenkeel_score(ngx_http_evenkeel_peer_data_t *ekp,
    const uint64_t *eligible);
static ngx_uint_t ngx_http_evenkeel_available(
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index);


ngx_http_upstream_rr_peer_t *
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
    request.output_tokens = ekp->expected_tokens;

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

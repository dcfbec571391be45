/*
 * The choice of a server, in one pass over NGINX's list: those that NGINX itself would not
 * take (tried, down, failing, full) are left out; of the others, libevenkeel chooses, and
 * the server that was found for its host is the one that is taken.
 *
 * A worker whose requests cannot be counted takes the server with the fewest connections
 * by NGINX's own counts: what others have counted would send all of its requests to one
 * host.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_may_decide(
    ngx_http_evenkeel_peer_data_t *ekp);
static ngx_uint_t ngx_http_evenkeel_eligible(ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t *eligible);
static ngx_uint_t ngx_http_evenkeel_available(
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index);
static ngx_http_evenkeel_candidate_t *ngx_http_evenkeel_least_conn(
    ngx_http_evenkeel_srv_conf_t *conf, const uint64_t *eligible);
static ek_code ngx_http_evenkeel_score(ngx_http_evenkeel_peer_data_t *ekp,
    const uint64_t *eligible);


ngx_http_evenkeel_candidate_t *
ngx_http_evenkeel_decide(ngx_http_evenkeel_peer_data_t *ekp)
{
    uint64_t                       eligible[NGX_HTTP_EVENKEEL_WORDS];
    ek_code                        code;
    ngx_int_t                      fallback;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;

    fallback = ngx_http_evenkeel_may_decide(ekp);

    if (fallback >= 0) {
        ngx_http_evenkeel_fall_back(ekp, fallback);
        return NULL;
    }

    if (ngx_http_evenkeel_eligible(ekp, eligible) == 0) {
        ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_UNAVAILABLE);
        return NULL;
    }

    if (!conf->counts) {
        ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_NO_ROW);
        ekp->reason = NGX_HTTP_EVENKEEL_LEAST_CONN;

        return ngx_http_evenkeel_least_conn(conf, eligible);
    }

    code = ngx_http_evenkeel_score(ekp, eligible);

    if (code != EK_CODE_OK
        || ekp->decision.host >= conf->shared->hosts_max
        || !(eligible[ekp->decision.host / 64]
             & (uint64_t) 1 << (ekp->decision.host % 64)))
    {
        ngx_log_error(NGX_LOG_WARN, ekp->request->connection->log, 0,
                      "evenkeel: no decision, round robin chooses: %s",
                      ek_strerror(code));
        ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_REFUSED);
        return NULL;
    }

    ekp->reason = ekp->decision.reason;

    return &conf->candidates[ekp->decision.host];
}


void
ngx_http_evenkeel_fall_back(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_uint_t cause)
{
    ekp->reason = NGX_HTTP_EVENKEEL_ROUND_ROBIN;
    ngx_str_null(&ekp->host);

    (void) ngx_atomic_fetch_add(&ekp->conf->shared->fallbacks[cause], 1);
}


/* Why not, or -1. The list must be locked. */
static ngx_int_t
ngx_http_evenkeel_may_decide(ngx_http_evenkeel_peer_data_t *ekp)
{
    if (ekp->rrp.peers != ekp->primary) {
        return NGX_HTTP_EVENKEEL_BACKUP;
    }

#if (NGX_HTTP_EVENKEEL_RESOLVE)

    /* What was tried is known by places in a list that has changed meanwhile. */

    if (ekp->primary->config && ekp->rrp.config != *ekp->primary->config) {
        return NGX_HTTP_EVENKEEL_CHANGED;
    }

    ngx_http_evenkeel_follow(ekp->conf, ekp->request->connection->log);

#endif

    return -1;
}


/* Marks the hosts of servers that can take the request, and notes the servers. */
static ngx_uint_t
ngx_http_evenkeel_eligible(ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t *eligible)
{
    uint32_t                        host;
    uint64_t                        bit;
    ngx_uint_t                      i, n;
    ngx_http_upstream_rr_peer_t    *peer;
    ngx_http_evenkeel_srv_conf_t   *conf;

    conf = ekp->conf;
    n = 0;

    ngx_memzero(eligible, NGX_HTTP_EVENKEEL_WORDS * sizeof(uint64_t));

    for (peer = ekp->rrp.peers->peer, i = 0;
         peer && i < conf->nhosts;
         peer = peer->next, i++)
    {
        host = conf->hosts[i];

        if (host == EK_NO_HOST) {
            continue;
        }

        bit = (uint64_t) 1 << (host % 64);

        /* An address that is listed twice is one host. */

        if ((eligible[host / 64] & bit)
            || !ngx_http_evenkeel_available(&ekp->rrp, peer, i))
        {
            continue;
        }

        eligible[host / 64] |= bit;
        conf->candidates[host].peer = peer;
        conf->candidates[host].index = i;
        n++;
    }

    return n;
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


/* The fewest connections for its weight; one of those with as few at random. */
static ngx_http_evenkeel_candidate_t *
ngx_http_evenkeel_least_conn(ngx_http_evenkeel_srv_conf_t *conf,
    const uint64_t *eligible)
{
    uint32_t                        host;
    ngx_uint_t                      n;
    ngx_http_upstream_rr_peer_t    *peer, *best;
    ngx_http_evenkeel_candidate_t  *found;

    found = NULL;
    best = NULL;
    n = 0;

    for (host = 0; host < conf->shared->hosts_max; host++) {

        if (!(eligible[host / 64] & (uint64_t) 1 << (host % 64))) {
            continue;
        }

        peer = conf->candidates[host].peer;

        if (best == NULL
            || peer->conns * best->weight < best->conns * peer->weight)
        {
            n = 0;

        } else if (peer->conns * best->weight > best->conns * peer->weight) {
            continue;
        }

        if ((ngx_uint_t) ngx_random() % ++n == 0) {
            best = peer;
            found = &conf->candidates[host];
        }
    }

    return found;
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

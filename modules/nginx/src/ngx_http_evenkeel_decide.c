/*
 * The choice of a server, in one pass over NGINX's list: those that NGINX itself would not
 * take (down, failing, full) are left out; of those that were not tried, libevenkeel
 * chooses, and the server that was found for its host is the one that is taken.
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
static void ngx_http_evenkeel_eligible(ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t *hosts, uint64_t *tried);
static ngx_uint_t ngx_http_evenkeel_tried(
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_uint_t index);
static ngx_uint_t ngx_http_evenkeel_available(
    ngx_http_upstream_rr_peer_t *peer);
static ngx_http_evenkeel_candidate_t *ngx_http_evenkeel_least_conn(
    ngx_http_evenkeel_srv_conf_t *conf, const uint64_t *hosts,
    const uint64_t *tried);
static ek_code ngx_http_evenkeel_choose(ngx_http_evenkeel_peer_data_t *ekp,
    const uint64_t *hosts, const uint64_t *tried);


ngx_http_evenkeel_candidate_t *
ngx_http_evenkeel_decide(ngx_http_evenkeel_peer_data_t *ekp)
{
    uint64_t                        hosts[NGX_HTTP_EVENKEEL_WORDS];
    uint64_t                        tried[NGX_HTTP_EVENKEEL_WORDS];
    ek_code                         code;
    ngx_int_t                       fallback;
    ngx_http_evenkeel_srv_conf_t   *conf;
    ngx_http_evenkeel_candidate_t  *found;

    conf = ekp->conf;

    fallback = ngx_http_evenkeel_may_decide(ekp);

    if (fallback >= 0) {
        ngx_http_evenkeel_fall_back(ekp, fallback);
        return NULL;
    }

    ngx_http_evenkeel_eligible(ekp, hosts, tried);

    if (!conf->counts) {
        found = ngx_http_evenkeel_least_conn(conf, hosts, tried);

        if (found == NULL) {
            ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_UNAVAILABLE);
            return NULL;
        }

        ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_NO_ROW);
        ekp->reason = NGX_HTTP_EVENKEEL_LEAST_CONN;

        return found;
    }

    code = ngx_http_evenkeel_choose(ekp, hosts, tried);

    if (code == EK_CODE_NO_HOST) {
        ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_UNAVAILABLE);
        return NULL;
    }

    if (code != EK_CODE_OK
        || ekp->choice.host >= conf->shared->hosts_max
        || !(hosts[ekp->choice.host / 64]
             & (uint64_t) 1 << (ekp->choice.host % 64)))
    {
        ngx_log_error(NGX_LOG_WARN, ekp->request->connection->log, 0,
                      "evenkeel: no decision, round robin chooses: %s",
                      ek_strerror(code));
        ngx_http_evenkeel_fall_back(ekp, NGX_HTTP_EVENKEEL_REFUSED);
        return NULL;
    }

    ekp->reason = ekp->choice.reason;

    return &conf->candidates[ekp->choice.host];
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


/*
 * Marks the hosts of servers that NGINX would take, and of those that had the request
 * before, and notes the servers. An address that is listed twice is one host.
 */
static void
ngx_http_evenkeel_eligible(ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t *hosts, uint64_t *tried)
{
    uint32_t                        host;
    uint64_t                        bit;
    ngx_uint_t                      i;
    ngx_http_upstream_rr_peer_t    *peer;
    ngx_http_evenkeel_srv_conf_t   *conf;

    conf = ekp->conf;

    ngx_memzero(hosts, NGX_HTTP_EVENKEEL_WORDS * sizeof(uint64_t));
    ngx_memzero(tried, NGX_HTTP_EVENKEEL_WORDS * sizeof(uint64_t));

    for (peer = ekp->rrp.peers->peer, i = 0;
         peer && i < conf->nhosts;
         peer = peer->next, i++)
    {
        host = conf->hosts[i];

        if (host == EK_NO_HOST) {
            continue;
        }

        bit = (uint64_t) 1 << (host % 64);

        if (ngx_http_evenkeel_tried(&ekp->rrp, i)) {
            tried[host / 64] |= bit;
        }

        if ((hosts[host / 64] & bit) || !ngx_http_evenkeel_available(peer)) {
            continue;
        }

        hosts[host / 64] |= bit;
        conf->candidates[host].peer = peer;
        conf->candidates[host].index = i;
    }
}


static ngx_uint_t
ngx_http_evenkeel_tried(ngx_http_upstream_rr_peer_data_t *rrp,
    ngx_uint_t index)
{
    ngx_uint_t  bits;

    bits = 8 * sizeof(uintptr_t);

    return (rrp->tried[index / bits] & (uintptr_t) 1 << index % bits) != 0;
}


static ngx_uint_t
ngx_http_evenkeel_available(ngx_http_upstream_rr_peer_t *peer)
{
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
    const uint64_t *hosts, const uint64_t *tried)
{
    uint32_t                        host;
    ngx_uint_t                      n;
    ngx_http_upstream_rr_peer_t    *peer, *best;
    ngx_http_evenkeel_candidate_t  *found;

    found = NULL;
    best = NULL;
    n = 0;

    for (host = 0; host < conf->shared->hosts_max; host++) {

        if (!(hosts[host / 64] & ~tried[host / 64]
              & (uint64_t) 1 << (host % 64)))
        {
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
ngx_http_evenkeel_choose(ngx_http_evenkeel_peer_data_t *ekp,
    const uint64_t *hosts, const uint64_t *tried)
{
    uint64_t                       started_ns;
    ek_code                        code;
    ek_eligible                    eligible;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;

    eligible.struct_size = sizeof(ek_eligible);
    eligible.words = NGX_HTTP_EVENKEEL_WORDS;
    eligible.hosts = hosts;
    eligible.tried = (ekp->tries > 1) ? tried : NULL;

    ekp->choice.struct_size = sizeof(ek_choice);

    started_ns = ngx_http_evenkeel_now_ns();

    code = ek_upstream_choose(conf->shared->upstream, conf->artifact.model,
                              &ekp->facts, &eligible, started_ns / 1000,
                              conf->scratch, conf->scratch_size, &ekp->choice);

    ekp->decide_ns = ngx_http_evenkeel_now_ns() - started_ns;

    if (code == EK_CODE_OK) {
        (void) ek_upstream_timed(conf->shared->upstream, ekp->decide_ns);
    }

    return code;
}

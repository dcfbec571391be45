/*
 * Which server of NGINX's lists is which host of the zone. Servers are known by
 * their addresses; those of names ("resolve") come and go while NGINX runs.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_fit(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);
static ngx_uint_t ngx_http_evenkeel_is_repeated(
    ngx_http_upstream_rr_peers_t *peers, ngx_http_upstream_rr_peer_t *peer);
static void ngx_http_evenkeel_register(ngx_http_evenkeel_srv_conf_t *conf,
    uint64_t *listed, ngx_log_t *log);
static uint32_t ngx_http_evenkeel_register_peer(
    ngx_http_evenkeel_srv_conf_t *conf, ngx_http_upstream_rr_peer_t *peer,
    uint64_t *listed, ngx_log_t *log);
static void ngx_http_evenkeel_forget(ngx_http_evenkeel_srv_conf_t *conf,
    uint64_t *listed);
static void ngx_http_evenkeel_update(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_uint_t forgets, ngx_log_t *log);


ngx_int_t
ngx_http_evenkeel_init_hosts(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log)
{
    ngx_http_upstream_rr_peers_t  *primary;

    primary = conf->upstream->peer.data;

    conf->hosts_max = ngx_max(primary->number, 1);

#if (NGX_HTTP_EVENKEEL_RESOLVE)
    if (primary->resolve || (primary->next && primary->next->resolve)) {
        conf->hosts_max = ngx_max(conf->hosts_max, conf->shared->hosts_max);
    }
#endif

    conf->hosts = ngx_palloc(conf->pool, conf->hosts_max * sizeof(uint32_t));
    conf->candidates = ngx_palloc(conf->pool,
                                  conf->shared->hosts_max
                                  * sizeof(ngx_http_evenkeel_candidate_t));

    if (conf->hosts == NULL || conf->candidates == NULL
        || ngx_http_evenkeel_scratch(conf, &conf->artifact, &conf->scratch,
                                     &conf->scratch_size)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_evenkeel_fit(conf, log);
}


/* A configuration with more servers than the zone has room for is refused. */
static ngx_int_t
ngx_http_evenkeel_fit(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    uint32_t                       host, room;
    ek_stats                       stats;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    room = 0;
    stats.struct_size = sizeof(ek_stats);

    for (host = 0; host < conf->shared->hosts_max; host++) {
        if (ek_host_stats(conf->shared->upstream, host, 0, &stats)
            != EK_CODE_OK)
        {
            room++;
        }
    }

    for (peers = conf->upstream->peer.data; peers; peers = peers->next) {
        for (peer = peers->peer; peer; peer = peer->next) {

            if (ngx_http_evenkeel_is_repeated(conf->upstream->peer.data, peer)
                || ek_host_find(conf->shared->upstream,
                                ngx_http_evenkeel_host_key(peer), &host)
                   == EK_CODE_OK)
            {
                continue;
            }

            if (room == 0) {
                ngx_log_error(NGX_LOG_EMERG, log, 0,
                              "server \"%V\" finds no place in zone \"%V\", "
                              "which has room for %uD hosts (give it a larger "
                              "size and another name)", &peer->name,
                              &conf->shm_zone->shm.name,
                              conf->shared->hosts_max);
                return NGX_ERROR;
            }

            room--;
        }
    }

    return NGX_OK;
}


/* Whether a server before it, in either list, has the same address. */
static ngx_uint_t
ngx_http_evenkeel_is_repeated(ngx_http_upstream_rr_peers_t *peers,
    ngx_http_upstream_rr_peer_t *peer)
{
    ngx_http_upstream_rr_peer_t  *other;

    for ( /* void */ ; peers; peers = peers->next) {
        for (other = peers->peer; other; other = other->next) {

            if (other == peer) {
                return 0;
            }

            if (other->name.len == peer->name.len
                && ngx_strncmp(other->name.data, peer->name.data,
                               peer->name.len)
                   == 0)
            {
                return 1;
            }
        }
    }

    return 0;
}


/*
 * Registers the servers of both lists, and marks their hosts as listed. The primary list
 * must be locked.
 */
static void
ngx_http_evenkeel_register(ngx_http_evenkeel_srv_conf_t *conf,
    uint64_t *listed, ngx_log_t *log)
{
    uint32_t                       host;
    ngx_slab_pool_t               *shpool;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *primary, *backup;

    primary = conf->upstream->peer.data;
    backup = primary->next;

    conf->nhosts = 0;

    ngx_memzero(listed, NGX_HTTP_EVENKEEL_WORDS * sizeof(uint64_t));

    /* One process at a time; NGINX unlocks it for one that is killed meanwhile. */

    shpool = (ngx_slab_pool_t *) conf->shm_zone->shm.addr;
    ngx_shmtx_lock(&shpool->mutex);

    for (peer = primary->peer; peer; peer = peer->next) {
        host = ngx_http_evenkeel_register_peer(conf, peer, listed, log);

        if (conf->nhosts < conf->hosts_max) {
            conf->hosts[conf->nhosts++] = host;
        }
    }

    if (backup) {
        ngx_http_upstream_rr_peers_rlock(backup);

        for (peer = backup->peer; peer; peer = peer->next) {
            (void) ngx_http_evenkeel_register_peer(conf, peer, listed, log);
        }

        ngx_http_upstream_rr_peers_unlock(backup);
    }

    conf->shared->serves |= (conf->nhosts != 0);

    ngx_shmtx_unlock(&shpool->mutex);
}


static uint32_t
ngx_http_evenkeel_register_peer(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_http_upstream_rr_peer_t *peer, uint64_t *listed, ngx_log_t *log)
{
    ek_code   code;
    uint32_t  host;
    uint64_t  key, now_us;

    key = ngx_http_evenkeel_host_key(peer);
    now_us = ngx_http_evenkeel_now_us();

    code = ek_host_find(conf->shared->upstream, key, &host);

    /* A worker that is to exit follows a list which is no longer in force. */

    if (code == EK_CODE_OK && !ngx_exiting) {
        (void) ek_host_weight(conf->shared->upstream, host,
                              (float) peer->weight);

    } else if (!ngx_exiting) {
        code = ek_host_register(conf->shared->upstream, key,
                                (float) peer->weight, now_us, &host);

        if (code == EK_CODE_OK && conf->shared->serves) {
            (void) ek_host_restarted(conf->shared->upstream, host, now_us);
        }
    }

    if (code == EK_CODE_OK) {
        listed[host / 64] |= (uint64_t) 1 << (host % 64);
        return host;
    }

    if (!ngx_exiting) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "server \"%V\" finds no place in zone \"%V\": "
                      "%s (give it a larger size and another name)",
                      &peer->name, &conf->shm_zone->shm.name,
                      ek_strerror(code));
    }

    return EK_NO_HOST;
}


/* Hosts that are not listed make room. */
static void
ngx_http_evenkeel_forget(ngx_http_evenkeel_srv_conf_t *conf, uint64_t *listed)
{
    uint32_t          host;
    ek_stats          stats;
    ngx_slab_pool_t  *shpool;

    stats.struct_size = sizeof(ek_stats);

    shpool = (ngx_slab_pool_t *) conf->shm_zone->shm.addr;
    ngx_shmtx_lock(&shpool->mutex);

    for (host = 0; host < conf->shared->hosts_max; host++) {

        if (!(listed[host / 64] & (uint64_t) 1 << (host % 64))
            && ek_host_stats(conf->shared->upstream, host, 0, &stats)
               == EK_CODE_OK)
        {
            ek_host_remove(conf->shared->upstream, stats.key);
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);
}


void
ngx_http_evenkeel_take_hosts(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log)
{
    ngx_http_upstream_rr_peers_t  *primary;

    primary = conf->upstream->peer.data;

    ngx_http_upstream_rr_peers_rlock(primary);
    ngx_http_evenkeel_update(conf, 1, log);
    ngx_http_upstream_rr_peers_unlock(primary);
}


void
ngx_http_evenkeel_follow(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
#if (NGX_HTTP_EVENKEEL_RESOLVE)
    ngx_http_upstream_rr_peers_t  *primary;

    primary = conf->upstream->peer.data;

    if (primary->config && *primary->config != conf->list) {
        ngx_http_evenkeel_update(conf, ngx_http_evenkeel_keeps_time(conf),
                                 log);
    }
#endif
}


static void
ngx_http_evenkeel_update(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_uint_t forgets, ngx_log_t *log)
{
    uint64_t  listed[NGX_HTTP_EVENKEEL_WORDS];

#if (NGX_HTTP_EVENKEEL_RESOLVE)
    ngx_http_upstream_rr_peers_t  *primary;

    primary = conf->upstream->peer.data;

    /* Before the lists are read: a change meanwhile is a change still to come. */

    conf->list = primary->config ? *primary->config : 0;
#endif

    ngx_http_evenkeel_register(conf, listed, log);

    if (forgets) {
        ngx_http_evenkeel_forget(conf, listed);
    }
}


uint64_t
ngx_http_evenkeel_host_key(ngx_http_upstream_rr_peer_t *peer)
{
    return ek_host_key((const char *) peer->name.data, peer->name.len);
}

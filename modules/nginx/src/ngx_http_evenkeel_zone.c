/*
 * The zone of an upstream. A reload with the same name and size finds it as it was left.
 *
 *     slab pool | head | affinity (an eighth of what is free) | demand (at most a quarter)
 *               | state of libevenkeel (half of what is left) | leases (the rest)
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_zone.h"

#include <time.h>


/* How many leases are looked at before a request does without one. */
#define NGX_HTTP_EVENKEEL_PROBES  32

/* Marks a head of this layout: what another version of the module left is refused. */
#define NGX_HTTP_EVENKEEL_LAYOUT  ((uint64_t) 0x324e474e4b454e45)


static ngx_int_t ngx_http_evenkeel_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_http_evenkeel_create_state(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf);
static ngx_int_t ngx_http_evenkeel_register(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf);
static ngx_int_t ngx_http_evenkeel_create_affinity(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_shared_t *shared);
static void ngx_http_evenkeel_create_demand(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_http_evenkeel_shared_t *shared);
static void ngx_http_evenkeel_open_demand(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf);
static void ngx_http_evenkeel_forget(ngx_http_evenkeel_srv_conf_t *conf);
static void ngx_http_evenkeel_reclaim(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);


static ngx_uint_t  ngx_http_evenkeel_next_lease;


ngx_int_t
ngx_http_evenkeel_add_zone(ngx_conf_t *cf, ngx_http_evenkeel_srv_conf_t *conf,
    ngx_str_t *name, size_t size)
{
    ngx_str_t  full;

    /* Beside the names of the "zone" directive. */

    full.len = sizeof("evenkeel:") - 1 + name->len;
    full.data = ngx_pnalloc(cf->pool, full.len);
    if (full.data == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(full.data, "evenkeel:%V", name);

    /*
     * The tag is a symbol of NGINX's own: that of this module is another one in another
     * file, and the zone would be made anew when the module is replaced.
     */
    conf->shm_zone = ngx_shared_memory_add(cf, &full, size,
                                           &ngx_http_upstream_module);
    if (conf->shm_zone == NULL) {
        return NGX_ERROR;
    }

    if (conf->shm_zone->data != NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" is another upstream's already", name);
        return NGX_ERROR;
    }

    conf->shm_zone->init = ngx_http_evenkeel_init_zone;
    conf->shm_zone->data = conf;

    return NGX_OK;
}


static ngx_int_t
ngx_http_evenkeel_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_evenkeel_srv_conf_t  *conf = shm_zone->data;
    ngx_http_evenkeel_srv_conf_t  *previous = data;

    size_t            size;
    ek_code           code;
    ek_state         *state;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (previous != NULL) {
        conf->shared = previous->shared;

    } else if (shm_zone->shm.exists) {
        conf->shared = shpool->data;

    } else if (ngx_http_evenkeel_create_state(shm_zone, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (conf->shared->layout != NGX_HTTP_EVENKEEL_LAYOUT) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\" is of another version of the module "
                      "(restart, or use another zone name)",
                      &shm_zone->shm.name);
        return NGX_ERROR;
    }

    size = shm_zone->shm.addr + shm_zone->shm.size
           - (u_char *) conf->shared->state;

    code = ek_state_attach(conf->shared->state, size, &state);

    if (code != EK_CODE_OK) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "zone \"%V\": %s (restart, or use another zone name)",
                      &shm_zone->shm.name, ek_strerror(code));
        return NGX_ERROR;
    }

    ngx_http_evenkeel_open_demand(shm_zone, conf);

    return ngx_http_evenkeel_register(shm_zone, conf);
}


static ngx_int_t
ngx_http_evenkeel_create_state(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf)
{
    void                        *memory;
    size_t                       free;
    uint32_t                     hosts;
    ngx_slab_pool_t             *shpool;
    ngx_http_evenkeel_shared_t  *shared;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    shared = ngx_slab_calloc(shpool, sizeof(ngx_http_evenkeel_shared_t));
    if (shared == NULL) {
        goto failed;
    }

    shared->layout = NGX_HTTP_EVENKEEL_LAYOUT;

    shared->decide_time = ngx_slab_calloc(shpool, ek_histogram_size());
    if (shared->decide_time == NULL) {
        goto failed;
    }

    if (ngx_http_evenkeel_create_affinity(shpool, shared) != NGX_OK) {
        goto failed;
    }

    ngx_http_evenkeel_create_demand(shpool, conf, shared);

    free = shpool->pfree * ngx_pagesize;

    for (hosts = EK_HOSTS_MAX; hosts > 1; hosts--) {
        if (ek_state_size(hosts) <= free / 2) {
            break;
        }
    }

    /* Whole pages, and so aligned to more than EK_STATE_ALIGNMENT. */

    memory = ngx_slab_alloc(shpool, ngx_max(ek_state_size(hosts),
                                            ngx_pagesize));
    if (memory == NULL) {
        goto failed;
    }

    if (ek_state_init(memory, ek_state_size(hosts), hosts,
                      ngx_http_evenkeel_now_ns() ^ ((uint64_t) ngx_pid << 32),
                      &shared->state)
        != EK_CODE_OK)
    {
        goto failed;
    }

    shared->nleases = shpool->pfree * ngx_pagesize
                      / sizeof(ngx_http_evenkeel_lease_t);

    shared->leases = ngx_slab_calloc(shpool, shared->nleases
                                         * sizeof(ngx_http_evenkeel_lease_t));
    if (shared->leases == NULL) {
        goto failed;
    }

    shpool->data = shared;
    conf->shared = shared;

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                  "zone \"%V\" is too small", &shm_zone->shm.name);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_evenkeel_create_affinity(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_shared_t *shared)
{
    uint32_t  entries;

    /* Whole pages, and so aligned to more than EK_AFFINITY_ALIGNMENT. */

    shared->affinity_size = ngx_max(shpool->pfree / 8, 1) * ngx_pagesize;

    for (entries = EK_AFFINITY_ENTRIES_MAX; entries > 1; entries /= 2) {
        if (ek_affinity_size(entries) <= shared->affinity_size) {
            break;
        }
    }

    shared->affinity = ngx_slab_calloc(shpool, shared->affinity_size);
    shared->affinity_size = ek_affinity_size(entries);

    return (shared->affinity != NULL) ? NGX_OK : NGX_ERROR;
}


/* A zone too small for the forecaster's history does without forecasts. */
static void
ngx_http_evenkeel_create_demand(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_http_evenkeel_shared_t *shared)
{
    size_t  size;

    size = ngx_max(ek_demand_size(conf->artifact.model), ngx_pagesize);
    size = ngx_align(size, ngx_pagesize);

    if (size <= shpool->pfree / 4 * ngx_pagesize) {
        shared->demand = ngx_slab_calloc(shpool, size);
        shared->demand_size = size;
    }
}


/* Goes on with the demand that is there, unless the artifact's steps are others. */
static void
ngx_http_evenkeel_open_demand(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf)
{
    const ek_model              *model;
    ngx_http_evenkeel_shared_t  *shared;

    shared = conf->shared;
    model = conf->artifact.model;

    if (shared->demand != NULL
        && (ek_demand_attach(shared->demand, shared->demand_size, model,
                             &conf->demand)
            == EK_CODE_OK
            || ek_demand_init(shared->demand, shared->demand_size, model,
                              &conf->demand)
               == EK_CODE_OK))
    {
        return;
    }

    conf->demand = NULL;

    ngx_log_error(NGX_LOG_WARN, shm_zone->shm.log, 0,
                  "zone \"%V\" has no room for the demand's history of %uz "
                  "bytes: there are no forecasts (give it four times as much "
                  "and another name)", &shm_zone->shm.name,
                  ek_demand_size(model));
}


static ngx_int_t
ngx_http_evenkeel_register(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf)
{
    ek_code                        code;
    ngx_uint_t                     i;
    ngx_pool_t                    *pool;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers, *primary;

    pool = conf->pool;
    primary = conf->upstream->peer.data;

    conf->nhosts = 0;

    for (peers = primary; peers; peers = peers->next) {
        conf->nhosts += peers->number;
    }

    conf->hosts = ngx_palloc(pool, conf->nhosts * sizeof(uint32_t));

    if (conf->hosts == NULL
        || ngx_http_evenkeel_scratch(conf, &conf->artifact, &conf->scratch,
                                     &conf->scratch_size)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    i = 0;

    for (peers = primary; peers; peers = peers->next) {
        for (peer = peers->peer; peer; peer = peer->next) {

            code = ek_host_register(conf->shared->state,
                                    ngx_http_evenkeel_hash(&peer->name),
                                    (float) peer->weight,
                                    ngx_http_evenkeel_now_ns() / 1000,
                                    &conf->hosts[i++]);

            if (code != EK_CODE_OK) {
                ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                              "server \"%V\" finds no place in zone \"%V\": "
                              "%s (give it a larger size and another name)",
                              &peer->name, &shm_zone->shm.name,
                              ek_strerror(code));
                return NGX_ERROR;
            }

            conf->ncached_tokens = ngx_max(conf->ncached_tokens,
                                           conf->hosts[i - 1] + 1);
        }
    }

    conf->cached_tokens = ngx_pcalloc(pool, ngx_max(conf->ncached_tokens, 1)
                                            * sizeof(uint32_t));

    return (conf->cached_tokens != NULL) ? NGX_OK : NGX_ERROR;
}


/* FNV-1a, never 0: keys of hosts, by address and port, and of sessions. */
uint64_t
ngx_http_evenkeel_hash(ngx_str_t *bytes)
{
    size_t    i;
    uint64_t  hash;

    hash = 0xcbf29ce484222325;

    for (i = 0; i < bytes->len; i++) {
        hash = (hash ^ bytes->data[i]) * 0x100000001b3;
    }

    return hash ? hash : 1;
}


/* The new configuration is in force: servers that it lacks make room. */
ngx_int_t
ngx_http_evenkeel_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                     i;
    ngx_http_evenkeel_srv_conf_t  *conf;

    i = 0;

    for ( ;; ) {
        conf = ngx_http_evenkeel_upstream(cycle, &i);
        if (conf == NULL) {
            return NGX_OK;
        }

        ngx_http_evenkeel_forget(conf);
    }
}


static void
ngx_http_evenkeel_forget(ngx_http_evenkeel_srv_conf_t *conf)
{
    uint32_t    host;
    ek_stats    stats;
    ngx_uint_t  i;

    stats.struct_size = sizeof(ek_stats);

    for (host = 0; host < EK_HOSTS_MAX; host++) {

        if (ek_host_stats(conf->shared->state, host, 0, &stats)
            != EK_CODE_OK)
        {
            continue;
        }

        for (i = 0; i < conf->nhosts; i++) {
            if (conf->hosts[i] == host) {
                break;
            }
        }

        if (i == conf->nhosts) {
            ek_host_remove(conf->shared->state, stats.key);
        }
    }
}


/* A worker that takes the place of a killed one ends what that one left under way. */
ngx_int_t
ngx_http_evenkeel_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                     i;
    ngx_http_evenkeel_srv_conf_t  *conf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    i = 0;

    for ( ;; ) {
        conf = ngx_http_evenkeel_upstream(cycle, &i);
        if (conf == NULL) {
            break;
        }

        ngx_http_evenkeel_reclaim(conf, cycle->log);
    }

    return ngx_http_evenkeel_start_timers(cycle);
}


static void
ngx_http_evenkeel_reclaim(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    ek_outcome                  outcome;
    ngx_uint_t                  i, n;
    ngx_http_evenkeel_lease_t  *lease;

    ngx_memzero(&outcome, sizeof(ek_outcome));
    outcome.struct_size = sizeof(ek_outcome);
    outcome.status = EK_STATUS_CLIENT_ABORT;

    n = 0;

    for (i = 0; i < conf->shared->nleases; i++) {
        lease = &conf->shared->leases[i];

        if (lease->owner != (ngx_atomic_uint_t) ngx_process_slot + 1) {
            continue;
        }

        if (ek_finish(conf->shared->state, conf->artifact.model, &lease->ticket,
                      &outcome, ngx_http_evenkeel_now_ns() / 1000)
            == EK_CODE_OK)
        {
            n++;
        }

        ngx_http_evenkeel_release(lease);
    }

    if (n) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "evenkeel: %ui requests of a dead worker taken back", n);
    }
}


ngx_http_evenkeel_srv_conf_t *
ngx_http_evenkeel_upstream(ngx_cycle_t *cycle, ngx_uint_t *next)
{
    ngx_http_evenkeel_srv_conf_t    *conf;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_upstream_module);

    if (umcf == NULL) {
        return NULL;
    }

    uscfp = umcf->upstreams.elts;

    while (*next < umcf->upstreams.nelts) {
        conf = NULL;

        if (uscfp[*next]->srv_conf != NULL) {
            conf = ngx_http_conf_upstream_srv_conf(uscfp[*next],
                                                   ngx_http_evenkeel_module);
        }

        (*next)++;

        if (conf != NULL && conf->enabled) {
            return conf;
        }
    }

    return NULL;
}


ngx_http_evenkeel_lease_t *
ngx_http_evenkeel_lease(ngx_http_evenkeel_shared_t *shared,
    ngx_http_evenkeel_lease_t *own)
{
    ngx_uint_t                  i;
    ngx_http_evenkeel_lease_t  *lease;

    for (i = 0; i < NGX_HTTP_EVENKEEL_PROBES; i++) {
        lease = &shared->leases[ngx_http_evenkeel_next_lease++
                                % shared->nleases];

        if (lease->owner == 0
            && ngx_atomic_cmp_set(&lease->owner, 0,
                                  (ngx_atomic_uint_t) ngx_process_slot + 1))
        {
            return lease;
        }
    }

    ngx_memzero(own, sizeof(ngx_http_evenkeel_lease_t));

    return own;
}


void
ngx_http_evenkeel_release(ngx_http_evenkeel_lease_t *lease)
{
    ngx_memory_barrier();
    lease->owner = 0;
}


/* One clock for all workers; NGINX's own has milliseconds and stands still in between. */
uint64_t
ngx_http_evenkeel_now_ns(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

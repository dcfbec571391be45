/*
 * The shared memory of an upstream: what is known of its hosts, and who has how many
 * requests under way there. A reload with the same name and size finds it as it was left.
 *
 *     slab pool | head | places | affinity (an eighth of what is free)
 *               | classes (a page) | demand (at most a quarter) | state (the rest)
 *
 * While a configuration is read, and may yet be refused, its zones are looked at and not
 * written to: what they hold is that of the configuration in force. Once it is itself in
 * force, ngx_http_evenkeel_init_module() writes.
 *
 * What the configuration before holds outside of its zones is not looked at: it may be
 * that of another build of this module, with other structures.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


/* Classes of requests whose answers' lengths are told apart. */
#define NGX_HTTP_EVENKEEL_CLASSES  256

/*
 * Marks a head of this layout. It is part of the zone's name, too: another build's zone is
 * another one, and a reload goes on with an empty one instead of being refused.
 */
#define NGX_HTTP_EVENKEEL_LAYOUT_NUMBER  5
#define NGX_HTTP_EVENKEEL_LAYOUT                                              \
    ((uint64_t) 0x304e474e4b454e45                                            \
     + ((uint64_t) NGX_HTTP_EVENKEEL_LAYOUT_NUMBER << 56))


static ngx_int_t ngx_http_evenkeel_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_http_evenkeel_shared_t *ngx_http_evenkeel_head(
    ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_http_evenkeel_create_state(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf);
static ngx_int_t ngx_http_evenkeel_create_hosts(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_shared_t *shared);
static uint32_t ngx_http_evenkeel_processes(ngx_http_evenkeel_srv_conf_t *conf);
static ngx_int_t ngx_http_evenkeel_create_affinity(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_shared_t *shared);
static ngx_int_t ngx_http_evenkeel_create_classes(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_shared_t *shared);


ngx_int_t
ngx_http_evenkeel_add_zone(ngx_conf_t *cf, ngx_http_evenkeel_srv_conf_t *conf,
    ngx_str_t *name, size_t size)
{
    ngx_str_t  full;

    /* Beside the names of the "zone" directive. */

    full.data = ngx_pnalloc(cf->pool, sizeof("evenkeel:") + NGX_INT_T_LEN
                                      + name->len);
    if (full.data == NULL) {
        return NGX_ERROR;
    }

    full.len = ngx_sprintf(full.data, "evenkeel%d:%V",
                           NGX_HTTP_EVENKEEL_LAYOUT_NUMBER, name)
               - full.data;

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


ngx_uint_t
ngx_http_evenkeel_owns_zone(ngx_http_evenkeel_srv_conf_t *conf)
{
    return conf->shm_zone->init == ngx_http_evenkeel_init_zone
           && conf->shm_zone->data == conf;
}


static ngx_int_t
ngx_http_evenkeel_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_evenkeel_srv_conf_t  *conf = shm_zone->data;

    size_t       size;
    ek_code      code;
    ek_state    *state;
    ngx_uint_t   is_reload, level;

    is_reload = (data != NULL);

    if (is_reload || shm_zone->shm.exists) {
        conf->shared = ngx_http_evenkeel_head(shm_zone);

        if (conf->shared == NULL) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "zone \"%V\" holds something else than this version "
                          "of the module expects (restart, or use another "
                          "zone name)", &shm_zone->shm.name);
            return NGX_ERROR;
        }

    } else if (ngx_http_evenkeel_create_state(shm_zone, conf) != NGX_OK) {
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

    /*
     * A start without an artifact is better than none; a reload that would lose the one
     * that serves is not.
     */

    if (conf->artifact.model == NULL) {
        level = (is_reload && !conf->shared->unguided) ? NGX_LOG_EMERG
                                                       : NGX_LOG_ERR;

        ngx_log_error(level, shm_zone->shm.log, 0,
                      "artifact \"%V\" %V in %V:%ui%s", &conf->path,
                      &conf->refusal, &conf->file, conf->line,
                      (level == NGX_LOG_ERR)
                      ? "; least request of two serves until one is put there"
                      : "");

        if (level == NGX_LOG_EMERG) {
            return NGX_ERROR;
        }
    }

    return ngx_http_evenkeel_init_hosts(conf, shm_zone->shm.log);
}


/* The head of memory that may be anything; NULL if it is none of this layout. */
static ngx_http_evenkeel_shared_t *
ngx_http_evenkeel_head(ngx_shm_zone_t *shm_zone)
{
    u_char                      *p, *start, *end;
    ngx_slab_pool_t             *shpool;
    ngx_http_evenkeel_shared_t  *shared;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    start = shm_zone->shm.addr + sizeof(ngx_slab_pool_t);
    end = shm_zone->shm.addr + shm_zone->shm.size
          - sizeof(ngx_http_evenkeel_shared_t);
    p = shpool->data;

    if (p < start || p > end || (uintptr_t) p % sizeof(uint64_t)) {
        return NULL;
    }

    shared = (ngx_http_evenkeel_shared_t *) p;

    return (shared->layout == NGX_HTTP_EVENKEEL_LAYOUT) ? shared : NULL;
}


/* The configuration is in force: nothing that follows can refuse it. */
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

        conf->shared->unguided = (conf->artifact.model == NULL);

        ngx_http_evenkeel_open_demand(conf, cycle->log);
        ngx_http_evenkeel_take_hosts(conf, cycle->log);
    }
}


static ngx_int_t
ngx_http_evenkeel_create_state(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf)
{
    ngx_slab_pool_t             *shpool;
    ngx_http_evenkeel_shared_t  *shared;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    shared = ngx_slab_calloc(shpool, sizeof(ngx_http_evenkeel_shared_t));
    if (shared == NULL) {
        goto failed;
    }

    shared->layout = NGX_HTTP_EVENKEEL_LAYOUT;

    shared->processes_max = ngx_http_evenkeel_processes(conf);
    shared->places = ngx_slab_calloc(shpool,
                                     (shared->processes_max
                                      + NGX_HTTP_EVENKEEL_WAITING_MAX)
                                     * sizeof(ngx_atomic_t));
    shared->decide_time = ngx_slab_calloc(shpool, ek_histogram_size());

    if (shared->places == NULL || shared->decide_time == NULL) {
        goto failed;
    }

    if (ngx_http_evenkeel_create_affinity(shpool, shared) != NGX_OK
        || ngx_http_evenkeel_create_classes(shpool, shared) != NGX_OK)
    {
        goto failed;
    }

    ngx_http_evenkeel_create_demand(shpool, conf, shared);

    if (ngx_http_evenkeel_create_hosts(shpool, shared) != NGX_OK) {
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


/* A state for as many hosts as there is room for. */
static ngx_int_t
ngx_http_evenkeel_create_hosts(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_shared_t *shared)
{
    void              *memory;
    size_t             size;
    ek_state_options   options;

    ngx_memzero(&options, sizeof(ek_state_options));
    options.struct_size = sizeof(ek_state_options);
    options.processes_max = shared->processes_max;
    options.if_other = EK_IF_OTHER_REFUSE;
    options.seed = ngx_http_evenkeel_now_ns() ^ ((uint64_t) ngx_pid << 32);

    for (options.hosts_max = EK_HOSTS_MAX; /* void */ ; options.hosts_max--) {
        size = ek_shared_state_size(options.hosts_max, options.processes_max);

        if (size == 0) {
            return NGX_ERROR;
        }

        if (size <= shpool->pfree * ngx_pagesize) {
            break;
        }
    }

    /* Whole pages, and so aligned to more than EK_STATE_ALIGNMENT. */

    size = ngx_max(size, ngx_pagesize);
    memory = ngx_slab_calloc(shpool, size);

    if (memory == NULL
        || ek_state_open(memory, size, &options, &shared->state, NULL)
           != EK_CODE_OK)
    {
        return NGX_ERROR;
    }

    shared->hosts_max = options.hosts_max;

    return NGX_OK;
}


/*
 * Workers that a state has room for: those of today, and those of three configurations
 * before, which are still at their last requests.
 */
static uint32_t
ngx_http_evenkeel_processes(ngx_http_evenkeel_srv_conf_t *conf)
{
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(conf->cycle->conf_ctx,
                                           ngx_core_module);

    return (uint32_t) ngx_min(4 * ccf->worker_processes + 16,
                              EK_PROCESSES_MAX);
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


static ngx_int_t
ngx_http_evenkeel_create_classes(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_shared_t *shared)
{
    uint32_t  entries;

    for (entries = NGX_HTTP_EVENKEEL_CLASSES; entries > 1; entries /= 2) {
        if (ek_classes_size(entries) <= ngx_pagesize) {
            break;
        }
    }

    /* A whole page, and so aligned to more than EK_CLASSES_ALIGNMENT. */

    shared->classes = ngx_slab_calloc(shpool, ngx_pagesize);
    shared->classes_size = ek_classes_size(entries);

    return (shared->classes != NULL) ? NGX_OK : NGX_ERROR;
}

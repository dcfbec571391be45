/*
 * The shared memory of an upstream: what is known of its hosts, and who has how many
 * requests under way there. A reload with the same name and size finds it as it was left.
 *
 *     slab pool | head | places | upstream: as many hosts as there is room for beside
 *                                 the prefixes that are remembered (an eighth of it),
 *                                 classes, and the demand's history (at most a quarter)
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
#define NGX_HTTP_EVENKEEL_LAYOUT_NUMBER  7
#define NGX_HTTP_EVENKEEL_LAYOUT                                              \
    ((uint64_t) 0x304e474e4b454e45                                            \
     + ((uint64_t) NGX_HTTP_EVENKEEL_LAYOUT_NUMBER << 56))


static ngx_int_t ngx_http_evenkeel_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_http_evenkeel_shared_t *ngx_http_evenkeel_head(
    ngx_shm_zone_t *shm_zone);
static ngx_int_t ngx_http_evenkeel_create_head(ngx_shm_zone_t *shm_zone,
    ngx_http_evenkeel_srv_conf_t *conf);
static uint32_t ngx_http_evenkeel_processes(ngx_http_evenkeel_srv_conf_t *conf);
static ngx_int_t ngx_http_evenkeel_create_upstream(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_http_evenkeel_shared_t *shared);
static void ngx_http_evenkeel_divide(ngx_http_evenkeel_srv_conf_t *conf,
    ek_upstream_options *options, size_t room);
static void ngx_http_evenkeel_fill(ek_upstream_options *options,
    uint32_t *number, uint32_t max, size_t room);


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

    size_t        size;
    ek_code       code;
    ek_upstream  *upstream;
    ngx_uint_t    is_reload, level;

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

    } else if (ngx_http_evenkeel_create_head(shm_zone, conf) != NGX_OK) {
        return NGX_ERROR;
    }

    size = shm_zone->shm.addr + shm_zone->shm.size
           - (u_char *) conf->shared->upstream;

    code = ek_upstream_attach(conf->shared->upstream, size, &upstream);

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

        if (conf->artifact.model != NULL) {
            ngx_http_evenkeel_announce(conf, "in force", cycle->log);
        }

        /* Before the first server that starts slowly. */

        ngx_http_evenkeel_tell_time(conf, cycle->log);
        ngx_http_evenkeel_take_hosts(conf, cycle->log);
    }
}


static ngx_int_t
ngx_http_evenkeel_create_head(ngx_shm_zone_t *shm_zone,
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

    if (shared->places == NULL
        || ngx_http_evenkeel_create_upstream(shpool, conf, shared) != NGX_OK)
    {
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


/*
 * Workers that an upstream has room for: those of today, and those of three configurations
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
ngx_http_evenkeel_create_upstream(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_http_evenkeel_shared_t *shared)
{
    void                 *memory;
    size_t                size;
    ek_upstream_options   options;

    ngx_memzero(&options, sizeof(ek_upstream_options));
    options.struct_size = sizeof(ek_upstream_options);
    options.processes_max = shared->processes_max;
    options.class_entries = NGX_HTTP_EVENKEEL_CLASSES;
    options.if_other = EK_IF_OTHER_REFUSE;
    options.seed = ngx_http_evenkeel_now_ns() ^ ((uint64_t) ngx_pid << 32);

    ngx_http_evenkeel_divide(conf, &options, shpool->pfree * ngx_pagesize);

    size = ek_upstream_size(&options);

    if (size == 0) {
        return NGX_ERROR;
    }

    /* Whole pages, and so aligned to more than EK_UPSTREAM_ALIGNMENT. */

    size = ngx_max(size, ngx_pagesize);
    memory = ngx_slab_calloc(shpool, size);

    if (memory == NULL
        || ek_upstream_open(memory, size, &options, &shared->upstream, NULL)
           != EK_CODE_OK)
    {
        return NGX_ERROR;
    }

    shared->hosts_max = options.hosts_max;

    return NGX_OK;
}


/* Without a model, there is room for the history of the one that will come. */
static void
ngx_http_evenkeel_divide(ngx_http_evenkeel_srv_conf_t *conf,
    ek_upstream_options *options, size_t room)
{
    size_t  most;

    options->hosts_max = 1;

    ngx_http_evenkeel_fill(options, &options->affinity_entries, EK_ENTRIES_MAX,
                           ek_upstream_size(options) + room / 8);

    most = ek_upstream_size(options) + room / 4;

    if (conf->artifact.model == NULL) {
        ngx_http_evenkeel_fill(options, &options->history_values,
                               EK_HISTORY_VALUES_MAX, most);

    } else {
        options->history_values = ek_model_history(conf->artifact.model);

        if (ek_upstream_size(options) > most) {
            options->history_values = 0;
        }
    }

    ngx_http_evenkeel_fill(options, &options->hosts_max, EK_HOSTS_MAX, room);
}


/* The largest number up to a maximum with which the upstream fits; 0 for none. */
static void
ngx_http_evenkeel_fill(ek_upstream_options *options, uint32_t *number,
    uint32_t max, size_t room)
{
    size_t    size;
    uint32_t  low, high;

    low = 0;
    high = max;

    while (low < high) {
        *number = low + (high - low + 1) / 2;
        size = ek_upstream_size(options);

        if (size != 0 && size <= room) {
            low = *number;

        } else {
            high = *number - 1;
        }
    }

    *number = low;
}

/*
 * What happens from time to time. Once a second, each worker looks for another artifact and
 * for servers that came or went, and one of them tells the upstream the time, for slow
 * starts and the demand. Twice a second that one takes back the requests of killed workers, and fifty
 * times a second it reads telemetry files: requests sent between a host's measurement and
 * its reading here are in neither count.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


#define NGX_HTTP_EVENKEEL_SECOND_MS     1000
#define NGX_HTTP_EVENKEEL_SWEEP_MS      500
#define NGX_HTTP_EVENKEEL_TELEMETRY_MS  20


static void ngx_http_evenkeel_tick(ngx_event_t *event);
static void ngx_http_evenkeel_second(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);
static void ngx_http_evenkeel_watch(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);
static ngx_uint_t ngx_http_evenkeel_same_file(
    ngx_http_evenkeel_artifact_t *artifact, ngx_file_info_t *fi);
static void ngx_http_evenkeel_swap(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_http_evenkeel_artifact_t *artifact, ngx_log_t *log);


static ngx_uint_t  ngx_http_evenkeel_is_due(ngx_msec_t *last, ngx_msec_t period);


static ngx_msec_t        ngx_http_evenkeel_last_second;
static ngx_msec_t        ngx_http_evenkeel_last_sweep;
static ngx_event_t       ngx_http_evenkeel_event;
static ngx_connection_t  ngx_http_evenkeel_dumb;


ngx_int_t
ngx_http_evenkeel_start_timers(ngx_cycle_t *cycle)
{
    ngx_uint_t                     i;
    ngx_http_evenkeel_srv_conf_t  *conf;

    i = 0;

    if (ngx_http_evenkeel_upstream(cycle, &i) == NULL) {
        return NGX_OK;
    }

    /* The newest worker of number 0 keeps the time; the one before sees it and stops. */

    for (i = 0; ngx_worker == 0; /* void */ ) {
        conf = ngx_http_evenkeel_upstream(cycle, &i);
        if (conf == NULL) {
            break;
        }

        conf->shared->timekeeper = (ngx_atomic_uint_t) ngx_pid;

        /* The one before may have told it by another configuration since the reload. */

        ngx_http_evenkeel_tell_time(conf, cycle->log);
    }

    ngx_http_evenkeel_dumb.fd = (ngx_socket_t) -1;
    ngx_http_evenkeel_event.handler = ngx_http_evenkeel_tick;
    ngx_http_evenkeel_event.data = &ngx_http_evenkeel_dumb;
    ngx_http_evenkeel_event.log = cycle->log;
    ngx_http_evenkeel_event.cancelable = 1;

    ngx_http_evenkeel_last_second = ngx_current_msec;
    ngx_http_evenkeel_last_sweep = ngx_current_msec;
    ngx_add_timer(&ngx_http_evenkeel_event, NGX_HTTP_EVENKEEL_TELEMETRY_MS);

    return NGX_OK;
}


static void
ngx_http_evenkeel_tick(ngx_event_t *event)
{
    ngx_uint_t                     i, is_second, sweeps;
    ngx_msec_t                     wait;
    ngx_http_evenkeel_srv_conf_t  *conf;

    if (ngx_exiting) {
        return;
    }

    wait = NGX_HTTP_EVENKEEL_SWEEP_MS;
    is_second = ngx_http_evenkeel_is_due(&ngx_http_evenkeel_last_second,
                                         NGX_HTTP_EVENKEEL_SECOND_MS);
    sweeps = ngx_http_evenkeel_is_due(&ngx_http_evenkeel_last_sweep,
                                      NGX_HTTP_EVENKEEL_SWEEP_MS);

    i = 0;

    for ( ;; ) {
        conf = ngx_http_evenkeel_upstream((ngx_cycle_t *) ngx_cycle, &i);
        if (conf == NULL) {
            break;
        }

        if (conf->telemetry.len != 0 && ngx_http_evenkeel_keeps_time(conf)) {
            ngx_http_evenkeel_read_telemetry(conf, event->log);
            wait = NGX_HTTP_EVENKEEL_TELEMETRY_MS;
        }

        if (sweeps && ngx_http_evenkeel_keeps_time(conf)) {
            ngx_http_evenkeel_sweep(conf, event->log);
        }

        if (is_second) {
            ngx_http_evenkeel_second(conf, event->log);
        }
    }

    ngx_add_timer(event, wait);
}


static ngx_uint_t
ngx_http_evenkeel_is_due(ngx_msec_t *last, ngx_msec_t period)
{
    if (ngx_current_msec - *last < period) {
        return 0;
    }

    *last = ngx_current_msec;

    return 1;
}


static void
ngx_http_evenkeel_second(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    ngx_http_upstream_rr_peers_t  *primary;

    if (!conf->counts) {
        ngx_http_evenkeel_join(conf, log);
    }

    if (conf->watch == 1) {
        ngx_http_evenkeel_watch(conf, log);
    }

    primary = conf->upstream->peer.data;

    ngx_http_upstream_rr_peers_rlock(primary);
    ngx_http_evenkeel_follow(conf, log);
    ngx_http_upstream_rr_peers_unlock(primary);

    if (ngx_http_evenkeel_keeps_time(conf)) {
        ngx_http_evenkeel_tell_time(conf, log);
    }
}


void
ngx_http_evenkeel_tell_time(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    double            epoch_s;
    ek_code           code;
    uint64_t          slow_start_us;
    ngx_time_t       *tp;
    ngx_slab_pool_t  *shpool;

    tp = ngx_timeofday();
    epoch_s = (double) tp->sec + (double) tp->msec / 1000;

    slow_start_us = (conf->slow_start == NGX_CONF_UNSET_MSEC)
                    ? 0 : (uint64_t) conf->slow_start * 1000;

    /* One process at a time; NGINX unlocks it for one that is killed meanwhile. */

    shpool = (ngx_slab_pool_t *) conf->shm_zone->shm.addr;
    ngx_shmtx_lock(&shpool->mutex);

    code = ek_upstream_tick(conf->shared->upstream, conf->artifact.model,
                            slow_start_us, ngx_http_evenkeel_now_us(), epoch_s,
                            conf->scratch, conf->scratch_size);

    ngx_shmtx_unlock(&shpool->mutex);

    /* Once, and not every second. */

    if ((ngx_int_t) code == conf->tick_code) {
        return;
    }

    conf->tick_code = code;

    if (code == EK_CODE_HISTORY_SHORT) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "zone \"%V\" has no room for the demand's history of "
                      "%uD values: there are no forecasts (give it a larger "
                      "size and another name)", &conf->shm_zone->shm.name,
                      ek_model_history(conf->artifact.model));

    } else if (code != EK_CODE_OK) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "zone \"%V\": %s",
                      &conf->shm_zone->shm.name, ek_strerror(code));
    }
}


static void
ngx_http_evenkeel_watch(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    u_char                         buffer[NGX_MAX_ERROR_STR];
    ngx_str_t                      reason;
    ngx_file_info_t                fi;
    ngx_http_evenkeel_artifact_t   artifact;

    /* A file that is gone for a moment, or for good, changes nothing. */

    if (ngx_file_info(conf->path.data, &fi) == NGX_FILE_ERROR
        || ngx_http_evenkeel_same_file(&conf->artifact, &fi)
        || ngx_http_evenkeel_same_file(&conf->refused, &fi))
    {
        return;
    }

    ngx_memzero(&artifact, sizeof(ngx_http_evenkeel_artifact_t));
    reason.data = buffer;

    if (ngx_http_evenkeel_load(&conf->path, &artifact, log, &reason) == NGX_OK)
    {
        ngx_http_evenkeel_swap(conf, &artifact, log);
        return;
    }

    ngx_log_error(NGX_LOG_ERR, log, 0, "artifact \"%V\" %V; %s", &conf->path,
                  &reason, (conf->artifact.model != NULL)
                           ? "the one before keeps serving"
                           : "least request of two keeps serving");

    conf->refused.uniq = ngx_file_uniq(&fi);
    conf->refused.mtime = ngx_file_mtime(&fi);
    conf->refused.size = ngx_file_size(&fi);

    if (ngx_http_evenkeel_keeps_time(conf)) {
        (void) ngx_atomic_fetch_add(&conf->shared->refused, 1);
    }
}


static ngx_uint_t
ngx_http_evenkeel_same_file(ngx_http_evenkeel_artifact_t *artifact,
    ngx_file_info_t *fi)
{
    return artifact->uniq == ngx_file_uniq(fi)
           && artifact->mtime == ngx_file_mtime(fi)
           && artifact->size == ngx_file_size(fi);
}


/* Nothing refers to the model between two events: the one before can go at once. */
static void
ngx_http_evenkeel_swap(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_http_evenkeel_artifact_t *artifact, ngx_log_t *log)
{
    void    *scratch;
    size_t   size;

    if (ngx_http_evenkeel_scratch(conf, artifact, &scratch, &size) != NGX_OK) {
        ngx_http_evenkeel_unload(artifact);
        return;
    }

    ngx_http_evenkeel_unload(&conf->artifact);

    conf->artifact = *artifact;
    conf->scratch = scratch;
    conf->scratch_size = size;

    conf->shared->unguided = 0;

    ngx_http_evenkeel_announce(conf, "taken", log);

    if (ngx_http_evenkeel_keeps_time(conf)) {
        (void) ngx_atomic_fetch_add(&conf->shared->swapped, 1);
    }
}


ngx_uint_t
ngx_http_evenkeel_keeps_time(ngx_http_evenkeel_srv_conf_t *conf)
{
    return conf->shared->timekeeper == (ngx_atomic_uint_t) ngx_pid;
}

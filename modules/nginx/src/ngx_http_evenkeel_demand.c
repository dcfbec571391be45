/*
 * The demand of an upstream: its place in the zone, and one worker's tick of it for all.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


/* A zone too small for the forecaster's history does without forecasts. */
void
ngx_http_evenkeel_create_demand(ngx_slab_pool_t *shpool,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_http_evenkeel_shared_t *shared)
{
    size_t  size;

    size = ngx_max(ek_demand_size(conf->artifact.model), ngx_pagesize);
    size = ngx_align(size, ngx_pagesize);

    if (conf->artifact.model == NULL) {
        /* For that of the artifact which will come. */
        size = ngx_max(shpool->pfree / 4, 1) * ngx_pagesize;
    }

    if (size <= ngx_max(shpool->pfree / 4, 1) * ngx_pagesize) {
        shared->demand = ngx_slab_calloc(shpool, size);
        shared->demand_size = size;
    }
}


/* Goes on with the demand that is there, unless the artifact's steps are others. */
void
ngx_http_evenkeel_open_demand(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log)
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
        shared->has_demand = 1;
        return;
    }

    conf->demand = NULL;

    if (model == NULL) {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "zone \"%V\" has no room for the demand's history of %uz "
                  "bytes: there are no forecasts (give it four times as much "
                  "and another name)", &conf->shm_zone->shm.name,
                  ek_demand_size(model));
}


/*
 * Without a reload, the demand goes on only under a model of the same step. One that no
 * model has begun yet is begun by one worker for all.
 */
void
ngx_http_evenkeel_adopt_demand(ngx_http_evenkeel_srv_conf_t *conf)
{
    ngx_http_evenkeel_shared_t  *shared;

    shared = conf->shared;
    conf->demand = NULL;

    if (shared->demand == NULL || conf->artifact.model == NULL) {
        return;
    }

    if (ek_demand_attach(shared->demand, shared->demand_size,
                         conf->artifact.model, &conf->demand)
        == EK_CODE_OK)
    {
        return;
    }

    conf->demand = NULL;

    if (!shared->has_demand && ngx_http_evenkeel_keeps_time(conf)
        && ek_demand_init(shared->demand, shared->demand_size,
                          conf->artifact.model, &conf->demand)
           == EK_CODE_OK)
    {
        shared->has_demand = 1;
    }
}


void
ngx_http_evenkeel_tick_demand(ngx_http_evenkeel_srv_conf_t *conf)
{
    double       epoch_s;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    epoch_s = (double) tp->sec + (double) tp->msec / 1000;

    ek_demand_tick(conf->demand, conf->artifact.model,
                   ngx_http_evenkeel_now_us(), epoch_s, conf->scratch,
                   conf->scratch_size);
}

/*
 * A worker's start: it takes its place among those that share a zone.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"

#include <time.h>


/* How often, a millisecond apart, a worker waits for others that start with it. */
#define NGX_HTTP_EVENKEEL_JOIN_TRIES  50


ngx_int_t
ngx_http_evenkeel_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                     i, tries;
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

        for (tries = NGX_HTTP_EVENKEEL_JOIN_TRIES; tries; tries--) {
            ngx_http_evenkeel_join(conf, cycle->log);

            if (conf->counts || conf->place >= conf->shared->processes_max) {
                break;
            }

            ngx_msleep(1);
        }
    }

    return ngx_http_evenkeel_start_timers(cycle);
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

        /* Upstreams that "proxy_pass" made have none. */

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


/* One clock for all workers; NGINX's own has milliseconds and stands still in between. */
uint64_t
ngx_http_evenkeel_now_ns(void)
{
    struct timespec  ts;

    (void) clock_gettime(CLOCK_MONOTONIC, &ts);

    return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}


uint64_t
ngx_http_evenkeel_now_us(void)
{
    return ngx_http_evenkeel_now_ns() / 1000;
}

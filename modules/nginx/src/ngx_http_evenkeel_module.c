/*
 * Evenkeel inside of NGINX: the directives.
 *
 * What scores, averages and parses reports is in libevenkeel; this module tells it of
 * NGINX's life of a request. See docs/nginx.md.
 *
 *     ngx_http_evenkeel_module.c     directives (this file)
 *     ngx_http_evenkeel_check.c      what only the whole configuration shows
 *     ngx_http_evenkeel_artifact.c   reading a trained artifact
 *     ngx_http_evenkeel_zone.c       what the workers share
 *     ngx_http_evenkeel_worker.c     a worker's start
 *     ngx_http_evenkeel_places.c     the workers' rows in the ledger, and those of dead ones
 *     ngx_http_evenkeel_hosts.c      servers of NGINX's lists and hosts of the policy
 *     ngx_http_evenkeel_request.c    what is known of a request before the choice
 *     ngx_http_evenkeel_bodies.c     what the bodies of requests and responses say
 *     ngx_http_evenkeel_decide.c     the choice of a server
 *     ngx_http_evenkeel_peer.c       taking it, and giving it back
 *     ngx_http_evenkeel_exchange.c   how an exchange with a server ended
 *     ngx_http_evenkeel_feedback.c   what a response teaches
 *     ngx_http_evenkeel_telemetry.c  the file that an agent writes
 *     ngx_http_evenkeel_scale.c      the directive of what a replica carries
 *     ngx_http_evenkeel_timer.c      what happens from time to time, another artifact
 *     ngx_http_evenkeel_variables.c  variables of the last decision
 *     ngx_http_evenkeel_status.c     the status page (and _view, _metrics, _json,
 *                                    _prometheus)
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static void *ngx_http_evenkeel_create_conf(ngx_conf_t *cf);
static char *ngx_http_evenkeel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_evenkeel_take_artifact(ngx_conf_t *cf,
    ngx_http_evenkeel_srv_conf_t *conf);
static void ngx_http_evenkeel_free_artifact(void *data);


static ngx_command_t  ngx_http_evenkeel_commands[] = {

    { ngx_string("evenkeel"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1234,
      ngx_http_evenkeel,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("evenkeel_tokens"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, tokens),
      NULL },

    { ngx_string("evenkeel_output_tokens"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, output_tokens),
      NULL },

    { ngx_string("evenkeel_key"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, key),
      NULL },

    { ngx_string("evenkeel_class"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, request_class),
      NULL },

    { ngx_string("evenkeel_bodies"),
      NGX_HTTP_UPS_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, bodies),
      NULL },

    { ngx_string("evenkeel_slow_start"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_conf_set_msec_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, slow_start),
      NULL },

    { ngx_string("evenkeel_watch"),
      NGX_HTTP_UPS_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, watch),
      NULL },

    { ngx_string("evenkeel_scale"),
      NGX_HTTP_UPS_CONF|NGX_CONF_1MORE,
      ngx_http_evenkeel_scale,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("evenkeel_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_evenkeel_status,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_evenkeel_module_ctx = {
    ngx_http_evenkeel_add_variables,       /* preconfiguration */
    ngx_http_evenkeel_init,                /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_evenkeel_create_conf,         /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_evenkeel_module = {
    NGX_MODULE_V1,
    &ngx_http_evenkeel_module_ctx,         /* module context */
    ngx_http_evenkeel_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_evenkeel_init_module,         /* init module */
    ngx_http_evenkeel_init_process,        /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_evenkeel_create_conf(ngx_conf_t *cf)
{
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_evenkeel_srv_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->watch = NGX_CONF_UNSET;
    conf->bodies = NGX_CONF_UNSET;
    conf->slow_start = NGX_CONF_UNSET_MSEC;
    conf->place = NGX_HTTP_EVENKEEL_NO_PLACE;

    return conf;
}


static char *
ngx_http_evenkeel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_evenkeel_srv_conf_t  *ekcf = conf;

    ssize_t                        size;
    u_char                        *p;
    ngx_str_t                     *value, name, s;
    ngx_uint_t                     i;
    ngx_http_upstream_srv_conf_t  *uscf;

    if (ekcf->enabled) {
        return "is duplicate";
    }

    ekcf->enabled = 1;
    ekcf->cycle = cf->cycle;
    ekcf->pool = cf->pool;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    value = cf->args->elts;
    name = uscf->host;
    size = NGX_HTTP_EVENKEEL_ZONE_SIZE;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {
            name.data = value[i].data + 5;
            p = (u_char *) ngx_strchr(name.data, ':');

            if (p == NULL || p == name.data) {
                goto invalid;
            }

            name.len = p - name.data;
            s.data = p + 1;
            s.len = value[i].data + value[i].len - s.data;
            size = ngx_parse_size(&s);

            if (size == NGX_ERROR) {
                goto invalid;
            }

            if (size < (ssize_t) (8 * ngx_pagesize)) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "zone \"%V\" is too small, it takes %uzk "
                                   "at least", &name, 8 * ngx_pagesize / 1024);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strncmp(value[i].data, "telemetry=", 10) == 0
            && value[i].len > 10)
        {
            ekcf->telemetry.data = value[i].data + 10;
            ekcf->telemetry.len = value[i].len - 10;
            ekcf->telemetry_buffer = ngx_palloc(cf->pool,
                                             NGX_HTTP_EVENKEEL_TELEMETRY_MAX);

            if (ekcf->telemetry_buffer == NULL
                || ngx_conf_full_name(cf->cycle, &ekcf->telemetry, 1)
                   != NGX_OK)
            {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "mode=active") == 0) {
            ekcf->shadow = 0;
            continue;
        }

        if (ngx_strcmp(value[i].data, "mode=shadow") == 0) {
            ekcf->shadow = 1;
            continue;
        }

        goto invalid;
    }

    ekcf->path = value[1];

    if (ngx_http_evenkeel_take_artifact(cf, ekcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_evenkeel_add_zone(cf, ekcf, &name, size) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    /* What stands before would be replaced, and be silently without effect. */

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"evenkeel\" must be the first balancing directive "
                           "of the upstream: put \"keepalive\" and \"sticky\" "
                           "after it, and remove other methods "
                           "(\"least_conn\", \"least_time\", \"hash\", "
                           "\"ip_hash\", \"random\")");
        return NGX_CONF_ERROR;
    }

    ekcf->upstream = uscf;
    ekcf->file = cf->conf_file->file.name;
    ekcf->line = cf->conf_file->line;
    ekcf->original_init_upstream = ngx_http_upstream_init_round_robin;
    uscf->peer.init_upstream = ngx_http_evenkeel_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE
#if (NGX_HTTP_EVENKEEL_RESOLVE)
                  |NGX_HTTP_UPSTREAM_MODIFY
#endif
                  |NGX_HTTP_UPSTREAM_WEIGHT
                  |NGX_HTTP_UPSTREAM_MAX_CONNS
                  |NGX_HTTP_UPSTREAM_MAX_FAILS
                  |NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
                  |NGX_HTTP_UPSTREAM_DOWN
                  |NGX_HTTP_UPSTREAM_BACKUP;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected "
                       "zone=NAME:SIZE, telemetry=PATH, mode=active or "
                       "mode=shadow",
                       &value[i]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_evenkeel_take_artifact(ngx_conf_t *cf,
    ngx_http_evenkeel_srv_conf_t *conf)
{
    u_char               buffer[NGX_MAX_ERROR_STR];
    ngx_str_t            reason;
    ngx_pool_cleanup_t  *cleanup;

    if (ngx_conf_full_name(cf->cycle, &conf->path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    cleanup = ngx_pool_cleanup_add(cf->pool, 0);
    if (cleanup == NULL) {
        return NGX_CONF_ERROR;
    }

    cleanup->handler = ngx_http_evenkeel_free_artifact;
    cleanup->data = conf;

    reason.data = buffer;

    if (ngx_http_evenkeel_load(&conf->path, &conf->artifact, cf->log, &reason)
        != NGX_OK)
    {
        /* Whether it can do without is known when all directives are. */

        conf->refusal.data = ngx_pstrdup(cf->pool, &reason);
        conf->refusal.len = reason.len;

        if (conf->refusal.data == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


static void
ngx_http_evenkeel_free_artifact(void *data)
{
    ngx_http_evenkeel_srv_conf_t  *conf = data;

    ngx_http_evenkeel_unload(&conf->artifact);
}

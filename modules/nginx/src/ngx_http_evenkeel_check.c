/*
 * What can be checked when all directives are read and every upstream is made: whether
 * "evenkeel" is in force where it stands, and has what it needs.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_check(ngx_http_upstream_srv_conf_t *uscf,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log);


ngx_int_t
ngx_http_evenkeel_init(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_evenkeel_srv_conf_t    *conf;
    ngx_http_upstream_srv_conf_t   **uscfp;
    ngx_http_upstream_main_conf_t   *umcf;

    umcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module);
    uscfp = umcf->upstreams.elts;

    for (i = 0; i < umcf->upstreams.nelts; i++) {

        if (uscfp[i]->srv_conf == NULL) {
            continue;
        }

        conf = ngx_http_conf_upstream_srv_conf(uscfp[i],
                                               ngx_http_evenkeel_module);

        if (conf == NULL) {
            continue;
        }

        if (ngx_http_evenkeel_check(uscfp[i], conf, cf->log) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_evenkeel_init_filters(cf);
}


static ngx_int_t
ngx_http_evenkeel_check(ngx_http_upstream_srv_conf_t *uscf,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    if (!conf->enabled) {

        if (conf->tokens || conf->output_tokens || conf->key
            || conf->request_class || conf->scale.struct_size
            || conf->watch != NGX_CONF_UNSET
            || conf->bodies != NGX_CONF_UNSET
            || conf->slow_start != NGX_CONF_UNSET_MSEC)
        {
            ngx_log_error(NGX_LOG_EMERG, log, 0,
                          "upstream \"%V\" has directives of evenkeel and "
                          "lacks \"evenkeel PATH\" in %s:%ui", &uscf->host,
                          uscf->file_name, uscf->line);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    if (!conf->initialised) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "another balancing method of upstream \"%V\" replaces "
                      "\"evenkeel\": remove it (\"least_conn\", "
                      "\"least_time\", \"hash\", \"ip_hash\", \"random\") or "
                      "\"evenkeel\" in %V:%ui", &uscf->host, &conf->file,
                      conf->line);
        return NGX_ERROR;
    }

    if (!ngx_http_evenkeel_owns_zone(conf)) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "zone \"%V\" of \"evenkeel\" is used by another "
                      "directive, too: give one of them another name in %V:%ui",
                      &conf->shm_zone->shm.name, &conf->file, conf->line);
        return NGX_ERROR;
    }

    if (conf->artifact.model == NULL && conf->watch != 1) {
        ngx_log_error(NGX_LOG_EMERG, log, 0, "artifact \"%V\" %V in %V:%ui",
                      &conf->path, &conf->refusal, &conf->file, conf->line);
        return NGX_ERROR;
    }

    return NGX_OK;
}

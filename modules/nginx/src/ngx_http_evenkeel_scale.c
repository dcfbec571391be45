/*
 * The directive evenkeel_scale: what a replica carries, and how far ahead to look.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"

#include <math.h>


static ngx_int_t ngx_http_evenkeel_scale_number(ngx_str_t *argument,
    const char *name, float *number);


char *
ngx_http_evenkeel_scale(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_evenkeel_srv_conf_t  *ekcf = conf;

    ngx_str_t   *value;
    ek_scale    *scale;
    ngx_uint_t   i;

    scale = &ekcf->scale;

    if (scale->struct_size != 0) {
        return "is duplicate";
    }

    scale->struct_size = sizeof(ek_scale);

    /* What is not given here is the artifact's, or a default. */

    scale->replica_requests_per_s = NAN;
    scale->lead_s = NAN;
    scale->quantile = NAN;
    scale->headroom = NAN;
    scale->trend = NAN;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_http_evenkeel_scale_number(&value[i], "capacity=",
                                           &scale->replica_requests_per_s)
            == NGX_OK
            || ngx_http_evenkeel_scale_number(&value[i], "lead=",
                                              &scale->lead_s)
               == NGX_OK
            || ngx_http_evenkeel_scale_number(&value[i], "quantile=",
                                              &scale->quantile)
               == NGX_OK
            || ngx_http_evenkeel_scale_number(&value[i], "headroom=",
                                              &scale->headroom)
               == NGX_OK
            || ngx_http_evenkeel_scale_number(&value[i], "trend=",
                                              &scale->trend)
               == NGX_OK)
        {
            continue;
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\", expected "
                           "capacity=REQUESTS_PER_S, lead=SECONDS, "
                           "quantile=0.1...0.9, headroom=1...10 or "
                           "trend=0...2",
                           &value[i]);
        return NGX_CONF_ERROR;
    }

    if (ek_scale_check(scale) != EK_CODE_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"capacity\" (requests a second that a replica "
                           "carries) must be positive, \"quantile\" 0.1 to "
                           "0.9, \"headroom\" 1 to 10, \"trend\" 0 to 2");
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_evenkeel_scale_number(ngx_str_t *argument, const char *name,
    float *number)
{
    char    *end;
    size_t   len;

    len = ngx_strlen(name);

    if (argument->len <= len
        || ngx_strncmp(argument->data, name, len) != 0)
    {
        return NGX_DECLINED;
    }

    /* Arguments end with a zero. */
    *number = strtof((char *) argument->data + len, &end);

    return (end == (char *) argument->data + argument->len) ? NGX_OK
                                                            : NGX_DECLINED;
}

/*
 * What the policy is told of a request: its tokens, the session that it belongs to, and
 * how long the answers of its class are.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static uint64_t ngx_http_evenkeel_key(ngx_http_request_t *r,
    ngx_http_complex_value_t *value);


void
ngx_http_evenkeel_describe(ngx_http_evenkeel_peer_data_t *ekp)
{
    off_t                          bytes;
    ngx_http_request_t            *r;
    ngx_http_evenkeel_srv_conf_t  *conf;

    r = ekp->request;
    conf = ekp->conf;

    if (conf->tokens != NULL) {
        ekp->prompt_tokens = ngx_http_evenkeel_tokens(r, conf->tokens);

    } else {
        /* Four bytes a token, roughly. */
        bytes = ngx_min(r->headers_in.content_length_n, 0x7fffffff);
        ekp->prompt_tokens = (bytes > 0) ? (uint32_t) bytes / 4 : 0;
    }

    ekp->key = ngx_http_evenkeel_key(r, conf->key);
    ekp->class_key = ngx_http_evenkeel_key(r, conf->request_class);

    if (ekp->class_key != 0) {
        (void) ek_classes_expected(conf->shared->classes,
                                   conf->shared->classes_size, ekp->class_key,
                                   &ekp->expected_tokens);
    }
}


/* 0 where there is none. */
static uint64_t
ngx_http_evenkeel_key(ngx_http_request_t *r, ngx_http_complex_value_t *value)
{
    ngx_str_t  text;

    if (value == NULL
        || ngx_http_complex_value(r, value, &text) != NGX_OK
        || text.len == 0)
    {
        return 0;
    }

    return ek_host_key((const char *) text.data, text.len);
}


uint32_t
ngx_http_evenkeel_tokens(ngx_http_request_t *r, ngx_http_complex_value_t *value)
{
    off_t      tokens;
    ngx_str_t  text;

    if (ngx_http_complex_value(r, value, &text) != NGX_OK) {
        return 0;
    }

    tokens = ngx_atoof(text.data, text.len);

    return (tokens > 0) ? (uint32_t) ngx_min(tokens, 0x7fffffff) : 0;
}

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
    ek_request_body                body;
    ngx_http_request_t            *r;
    ngx_http_evenkeel_srv_conf_t  *conf;

    r = ekp->request;
    conf = ekp->conf;

    if (ngx_http_evenkeel_read_request(ekp, &body) != NGX_OK) {
        ngx_memzero(&body, sizeof(ek_request_body));
    }

    if (conf->tokens == NULL
        || ngx_http_evenkeel_tokens(r, conf->tokens, &ekp->prompt_tokens)
           != NGX_OK)
    {
        ekp->prompt_tokens = ngx_http_evenkeel_body_tokens(&body);
    }

    if (ekp->prompt_tokens == 0) {
        /* Four bytes a token, roughly. */
        bytes = ngx_min(r->headers_in.content_length_n, 0x7fffffff);
        ekp->prompt_tokens = (bytes > 0) ? (uint32_t) bytes / 4 : 0;
    }

    ekp->key = ngx_http_evenkeel_key(r, conf->key);

    /* Models have answers of different lengths. */

    ekp->class_key = (conf->request_class != NULL)
                     ? ngx_http_evenkeel_key(r, conf->request_class)
                     : body.model_hash;

    if (ekp->class_key != 0) {
        (void) ek_classes_expected(conf->shared->classes,
                                   conf->shared->classes_size, ekp->class_key,
                                   &ekp->expected_tokens);
    }

    if (body.max_tokens != 0 && ekp->expected_tokens > body.max_tokens) {
        ekp->expected_tokens = body.max_tokens;
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


ngx_int_t
ngx_http_evenkeel_tokens(ngx_http_request_t *r, ngx_http_complex_value_t *value,
    uint32_t *tokens)
{
    off_t      count;
    ngx_str_t  text;

    if (ngx_http_complex_value(r, value, &text) != NGX_OK) {
        return NGX_DECLINED;
    }

    count = ngx_atoof(text.data, text.len);

    if (count <= 0) {
        return NGX_DECLINED;
    }

    *tokens = (uint32_t) ngx_min(count, 0x7fffffff);

    return NGX_OK;
}

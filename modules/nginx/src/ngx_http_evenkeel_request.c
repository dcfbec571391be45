/*
 * What is known of a request before a server is chosen: its tokens, the keys of its
 * prompt's prefixes, and those of its session and its class.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static void ngx_http_evenkeel_prompt(ngx_http_evenkeel_peer_data_t *ekp,
    ek_request_body *body);
static uint64_t ngx_http_evenkeel_session(ngx_http_evenkeel_peer_data_t *ekp);
static uint64_t ngx_http_evenkeel_key(ngx_http_request_t *r,
    ngx_http_complex_value_t *value);


/* Of these, where no directive names the session, the first that a client sends does. */
static const char *const  ngx_http_evenkeel_sessions[] = {
    "x-session-affinity",
    "x-session-id"
};


void
ngx_http_evenkeel_describe(ngx_http_evenkeel_peer_data_t *ekp)
{
    ek_facts                      *facts;
    ek_request_body                body;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;
    facts = &ekp->facts;

    if (ngx_http_evenkeel_read_request(ekp, &body) != NGX_OK) {
        ngx_memzero(&body, sizeof(ek_request_body));
    }

    ngx_memzero(facts, sizeof(ek_facts));
    facts->struct_size = sizeof(ek_facts);
    ngx_http_evenkeel_prompt(ekp, &body);
    facts->output_tokens_max = body.max_tokens;
    ngx_memcpy(facts->prefix_keys, body.prefix_keys,
               sizeof(facts->prefix_keys));

    facts->session_key = ngx_http_evenkeel_session(ekp);

    if (facts->session_key == 0) {
        facts->session_key = body.session_hash;
    }

    /* Models have answers of different lengths. */

    facts->class_key = (conf->request_class != NULL)
                       ? ngx_http_evenkeel_key(ekp->request,
                                               conf->request_class)
                       : body.model_hash;
}


/* By the directive, else by what the body holds, else by its length as a text. */
static void
ngx_http_evenkeel_prompt(ngx_http_evenkeel_peer_data_t *ekp,
    ek_request_body *body)
{
    off_t                bytes;
    ek_facts            *facts;
    ngx_http_request_t  *r;

    r = ekp->request;
    facts = &ekp->facts;

    if (ekp->conf->tokens != NULL
        && ngx_http_evenkeel_tokens(r, ekp->conf->tokens,
                                    &facts->prompt_tokens)
           == NGX_OK)
    {
        return;
    }

    facts->text_bytes = (uint32_t) ngx_min(body->text_bytes,
                                           NGX_MAX_UINT32_VALUE);

    /* Tokens of all that is no text; none of a body that was not read. */

    body->text_bytes = 0;

    (void) ek_body_request_tokens(body, 0, EK_TOKENS_PER_IMAGE,
                                  EK_TOKENS_PER_AUDIO,
                                  &facts->prompt_tokens);

    if (facts->prompt_tokens == 0 && facts->text_bytes == 0) {
        bytes = ngx_min(r->headers_in.content_length_n, 0x7fffffff);
        facts->text_bytes = (bytes > 0) ? (uint32_t) bytes : 0;
    }
}


/* By the directive, or without one by a header; 0 where there is none. */
static uint64_t
ngx_http_evenkeel_session(ngx_http_evenkeel_peer_data_t *ekp)
{
    ngx_uint_t        i;
    ngx_table_elt_t  *header;

    if (ekp->conf->key != NULL) {
        return ngx_http_evenkeel_key(ekp->request, ekp->conf->key);
    }

    for (i = 0; i < 2; i++) {
        header = ngx_http_evenkeel_find(&ekp->request->headers_in.headers,
                                        ngx_http_evenkeel_sessions[i]);

        if (header != NULL && header->value.len != 0) {
            return ek_host_key((const char *) header->value.data,
                               header->value.len);
        }
    }

    return 0;
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

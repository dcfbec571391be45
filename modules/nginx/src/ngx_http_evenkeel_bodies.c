/*
 * What bodies say, by libevenkeel's readers: of a request, its prompt's length, the model
 * and the most tokens that it may have; of a response, when its first token came, and how
 * many tokens were generated, read and found in a cache.
 *
 * Nothing is changed, held back or kept: a request's body is looked at where NGINX has it
 * when a server is chosen (all of it, or with "proxy_request_buffering off" what came with
 * the header), a response's as it passes.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


/* What of a request is looked at; the rest is taken to be as the beginning. */
#define NGX_HTTP_EVENKEEL_BODY_MAX  (64 * 1024)


static void ngx_http_evenkeel_feed_request(ngx_http_request_t *r,
    ek_request_reader *reader);
static ngx_int_t ngx_http_evenkeel_feed_file(ngx_buf_t *b,
    ek_request_reader *reader, off_t *rest);
static ngx_str_t ngx_http_evenkeel_value(ngx_table_elt_t *header);


ngx_int_t
ngx_http_evenkeel_read_request(ngx_http_evenkeel_peer_data_t *ekp,
    ek_request_body *body)
{
    uint64_t                       length;
    ngx_str_t                      type, encoding;
    ek_request_reader             *reader;
    ngx_http_request_t            *r;
    ngx_http_evenkeel_srv_conf_t  *conf;

    r = ekp->request;
    conf = ekp->conf;

    if (conf->bodies == 0 || r->request_body == NULL
        || r->request_body->bufs == NULL)
    {
        return NGX_DECLINED;
    }

    type = ngx_http_evenkeel_value(r->headers_in.content_type);
    encoding = ngx_http_evenkeel_value(
                   ngx_http_evenkeel_find(&r->headers_in.headers,
                                          "content-encoding"));

    if (!ek_body_request_accepts((char *) type.data, type.len,
                                 (char *) encoding.data, encoding.len))
    {
        return NGX_DECLINED;
    }

    if (conf->request_reader == NULL) {
        conf->request_reader = ngx_palloc(conf->pool, ek_body_request_size());
    }

    if (conf->request_reader == NULL
        || ek_body_request_init(conf->request_reader, ek_body_request_size(),
                                &reader)
           != EK_CODE_OK)
    {
        return NGX_DECLINED;
    }

    ngx_http_evenkeel_feed_request(r, reader);

    length = (r->headers_in.content_length_n >= 0)
             ? (uint64_t) r->headers_in.content_length_n : EK_UNKNOWN;

    body->struct_size = sizeof(ek_request_body);

    return (ek_body_request_read(reader, length, body) == EK_CODE_OK)
           ? NGX_OK : NGX_DECLINED;
}


static void
ngx_http_evenkeel_feed_request(ngx_http_request_t *r,
    ek_request_reader *reader)
{
    off_t         rest;
    size_t        n;
    uint32_t      wants_more;
    ngx_buf_t    *b;
    ngx_chain_t  *cl;

    rest = NGX_HTTP_EVENKEEL_BODY_MAX;

    for (cl = r->request_body->bufs; cl && rest > 0; cl = cl->next) {
        b = cl->buf;

        if (ngx_buf_in_memory(b)) {
            n = (size_t) ngx_min((off_t) (b->last - b->pos), rest);
            rest -= (off_t) n;

            if (ek_body_request_feed(reader, b->pos, n, &wants_more)
                != EK_CODE_OK
                || !wants_more)
            {
                return;
            }

        } else if (b->in_file
                   && ngx_http_evenkeel_feed_file(b, reader, &rest) != NGX_OK)
        {
            return;
        }
    }
}


/* The temporary file was written a moment ago: it is in the page cache. */
static ngx_int_t
ngx_http_evenkeel_feed_file(ngx_buf_t *b, ek_request_reader *reader,
    off_t *rest)
{
    u_char    piece[8 * 1024];
    off_t     at;
    size_t    n;
    ssize_t   got;
    uint32_t  wants_more;

    for (at = b->file_pos; at < b->file_last && *rest > 0; at += got) {
        n = (size_t) ngx_min(ngx_min(b->file_last - at, *rest),
                             (off_t) sizeof(piece));
        got = ngx_read_file(b->file, piece, n, at);

        if (got <= 0
            || ek_body_request_feed(reader, piece, (size_t) got, &wants_more)
               != EK_CODE_OK
            || !wants_more)
        {
            return NGX_ERROR;
        }

        *rest -= got;
    }

    return NGX_OK;
}


void
ngx_http_evenkeel_open_response(ngx_http_evenkeel_peer_data_t *ekp)
{
    void                 *memory;
    size_t                size;
    uint32_t              kind;
    ngx_str_t             type, encoding;
    ngx_http_upstream_t  *u;

    u = ekp->request->upstream;

    if (ekp->conf->bodies == 0
        || u->headers_in.status_n >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        return;
    }

    type = ngx_http_evenkeel_value(
               ngx_http_evenkeel_find(&u->headers_in.headers, "content-type"));
    encoding = ngx_http_evenkeel_value(
                   ngx_http_evenkeel_find(&u->headers_in.headers,
                                          "content-encoding"));

    kind = ek_body_response_kind((char *) type.data, type.len,
                                 (char *) encoding.data, encoding.len);

    if (kind == EK_BODY_KIND_NONE) {
        return;
    }

    size = ek_body_response_size();
    memory = ngx_pmemalign(ekp->request->pool, size, EK_BODY_ALIGNMENT);

    if (memory != NULL
        && ek_body_response_init(memory, size, kind, &ekp->reader)
           == EK_CODE_OK)
    {
        ekp->is_stream = (kind == EK_BODY_KIND_EVENTS);

    } else {
        ekp->reader = NULL;
    }
}


ngx_uint_t
ngx_http_evenkeel_feed_response(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_buf_t *b)
{
    uint32_t  is_first_token;

    if (ekp->reader == NULL) {
        return 0;
    }

    /* What went through a temporary file cannot be followed. */

    if (!ngx_buf_in_memory(b)
        || ek_body_response_feed(ekp->reader, b->pos, b->last - b->pos,
                                 &is_first_token)
           != EK_CODE_OK)
    {
        ekp->reader = NULL;
        return 0;
    }

    return is_first_token;
}


void
ngx_http_evenkeel_read_response(ngx_http_evenkeel_peer_data_t *ekp)
{
    ekp->body.struct_size = sizeof(ek_response_body);

    if (ekp->reader == NULL
        || ek_body_response_read(ekp->reader, &ekp->body) != EK_CODE_OK)
    {
        ngx_memzero(&ekp->body, sizeof(ek_response_body));
        ekp->body.struct_size = sizeof(ek_response_body);
        ekp->body.output_tokens = EK_UNKNOWN;
        ekp->body.prompt_tokens = EK_UNKNOWN;
        ekp->body.cached_tokens = EK_UNKNOWN;
    }
}


static ngx_str_t
ngx_http_evenkeel_value(ngx_table_elt_t *header)
{
    ngx_str_t  none = ngx_null_string;

    return (header != NULL) ? header->value : none;
}

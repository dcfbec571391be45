/*
 * What the policy learns from a response: the host's own report in its header, when its
 * first token came, and how it ended.
 *
 * The header of a stream comes at once, long before the first token: what counts is the
 * first byte of the body. The filters look, and change nothing.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_evenkeel_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static void ngx_http_evenkeel_piece(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_buf_t *b);
static ngx_http_evenkeel_peer_data_t *ngx_http_evenkeel_under_way(
    ngx_http_request_t *r);
static void ngx_http_evenkeel_header(ngx_http_evenkeel_peer_data_t *ekp);
static uint32_t ngx_http_evenkeel_status_of(ngx_uint_t ended);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


ngx_int_t
ngx_http_evenkeel_init_filters(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_evenkeel_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_evenkeel_body_filter;

    return NGX_OK;
}


/*
 * A streamed response may take minutes: what its header tells is used at once. Where no
 * header goes to the client (the next server is tried), ngx_http_evenkeel_finish() does
 * the same.
 */
static ngx_int_t
ngx_http_evenkeel_header_filter(ngx_http_request_t *r)
{
    ngx_http_evenkeel_peer_data_t  *ekp;

    ekp = ngx_http_evenkeel_under_way(r);

    if (ekp != NULL && !ekp->header_seen) {
        ngx_http_evenkeel_header(ekp);
        ngx_http_evenkeel_open_response(ekp);
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_evenkeel_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                    *cl;
    ngx_http_evenkeel_peer_data_t  *ekp;

    ekp = ngx_http_evenkeel_under_way(r);

    if (ekp != NULL && !(ekp->token_seen && ekp->reader == NULL)) {

        for (cl = in; cl; cl = cl->next) {

            if (!ngx_buf_special(cl->buf) && ngx_buf_size(cl->buf) != 0) {
                ngx_http_evenkeel_piece(ekp, cl->buf);
            }
        }
    }

    return ngx_http_next_body_filter(r, in);
}


static void
ngx_http_evenkeel_piece(ngx_http_evenkeel_peer_data_t *ekp, ngx_buf_t *b)
{
    ngx_uint_t            has_token;
    ngx_http_upstream_t  *u;

    if (ekp->first_body_us == 0) {
        ekp->first_body_us = ngx_http_evenkeel_now_us();
    }

    has_token = ngx_http_evenkeel_feed_response(ekp, b);

    /*
     * The first events of a stream may have a role and no token. What is no stream, or not
     * one that is understood, is taken for its tokens.
     */

    if (ekp->token_seen
        || (ekp->reader != NULL && ekp->is_stream && !has_token))
    {
        return;
    }

    ekp->token_seen = 1;

    if (has_token) {
        ekp->first_body_us = ngx_http_evenkeel_now_us();
    }

    /* That of a refusal is no token. */

    u = ekp->request->upstream;

    if (u->state && u->state->status < NGX_HTTP_SPECIAL_RESPONSE) {
        (void) ek_upstream_first_token(ekp->conf->shared->upstream,
                                       &ekp->ticket, ekp->first_body_us);
    }
}


/* The attempt at a server whose response this is, if it is one. */
static ngx_http_evenkeel_peer_data_t *
ngx_http_evenkeel_under_way(ngx_http_request_t *r)
{
    ngx_http_evenkeel_peer_data_t  *ekp;

    ekp = ngx_http_get_module_ctx(r, ngx_http_evenkeel_module);

    return (ekp != NULL && ekp->under_way && r->upstream
            && r->upstream->headers_in.status_n)
           ? ekp : NULL;
}


/* What the header of a response tells, once. */
static void
ngx_http_evenkeel_header(ngx_http_evenkeel_peer_data_t *ekp)
{
    ek_code               code;
    ngx_table_elt_t      *report;
    ngx_http_upstream_t  *u;

    if (ekp->header_seen) {
        return;
    }

    ekp->header_seen = 1;

    if (!ekp->ticket.under_way) {
        return;
    }

    u = ekp->request->upstream;

    report = ngx_http_evenkeel_find(&u->headers_in.headers,
                                    "endpoint-load-metrics");
    if (report == NULL) {
        return;
    }

    code = ek_host_report_orca(ekp->conf->shared->upstream, ekp->ticket.host,
                               (const char *) report->value.data,
                               report->value.len, ngx_http_evenkeel_now_us());

    if (code != EK_CODE_OK) {
        ngx_log_error(NGX_LOG_INFO, ekp->request->connection->log, 0,
                      "evenkeel: header \"%V\" ignored: %s", &report->key,
                      ek_strerror(code));
    }
}


void
ngx_http_evenkeel_finish(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_peer_connection_t *pc, ngx_uint_t state)
{
    ek_outcome                     outcome;
    uint64_t                       header_us;
    ngx_uint_t                     ended;
    ngx_http_upstream_t           *u;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;
    u = ekp->request->upstream;

    if (u->headers_in.status_n) {
        ngx_http_evenkeel_header(ekp);
    }

    ngx_http_evenkeel_read_response(ekp);

    ended = ngx_http_evenkeel_exchange(ekp, pc, state);
    (void) ngx_atomic_fetch_add(&conf->shared->exchanges[ended], 1);

    /*
     * A stream in which no token was found began with its body; one that went to a cache,
     * since the client is gone, with its header. NGINX has that in whole milliseconds: of
     * none, half a one is the mean.
     */

    if (ended == NGX_HTTP_EVENKEEL_SUCCESS && !ekp->token_seen) {
        header_us = u->state->header_time
                    ? (uint64_t) u->state->header_time * 1000 : 500;
        (void) ek_upstream_first_token(conf->shared->upstream, &ekp->ticket,
                                       ekp->first_body_us ? ekp->first_body_us
                                       : ngx_min(ekp->begun_us + header_us,
                                                 ngx_http_evenkeel_now_us()));
    }

    ngx_memzero(&outcome, sizeof(ek_outcome));
    outcome.struct_size = sizeof(ek_outcome);
    outcome.status = ngx_http_evenkeel_status_of(ended);
    outcome.cached_tokens = (ekp->body.cached_tokens != EK_UNKNOWN)
                            ? (uint32_t) ngx_min(ekp->body.cached_tokens,
                                                 0x7fffffff)
                            : EK_UNKNOWN_TOKENS;

    if (ekp->body.output_tokens != EK_UNKNOWN) {
        outcome.output_tokens = (uint32_t) ngx_min(ekp->body.output_tokens,
                                                   0x7fffffff);
    }

    if (conf->output_tokens != NULL) {
        (void) ngx_http_evenkeel_tokens(ekp->request, conf->output_tokens,
                                        &outcome.output_tokens);
    }

    if (outcome.output_tokens != 0) {
        ekp->body.output_tokens = outcome.output_tokens;
    }

    if (ekp->body.prompt_tokens != EK_UNKNOWN) {
        (void) ek_upstream_counted(conf->shared->upstream, &ekp->facts,
                                   (uint32_t) ngx_min(ekp->body.prompt_tokens,
                                                      0x7fffffff),
                                   ngx_http_evenkeel_now_us());
    }

    /* Refused if the request was not counted. */

    (void) ek_upstream_finish(conf->shared->upstream, conf->artifact.model,
                              &ekp->ticket, &ekp->facts, &outcome,
                              ngx_http_evenkeel_now_us());
}


static uint32_t
ngx_http_evenkeel_status_of(ngx_uint_t ended)
{
    switch (ended) {

    case NGX_HTTP_EVENKEEL_SUCCESS:
        return EK_STATUS_SUCCESS;

    case NGX_HTTP_EVENKEEL_FAILURE:
        return EK_STATUS_FAILURE;

    case NGX_HTTP_EVENKEEL_TIMEOUT:
        return EK_STATUS_TIMEOUT;

    case NGX_HTTP_EVENKEEL_NO_WORK:
        return EK_STATUS_NO_WORK;

    default: /* NGX_HTTP_EVENKEEL_CLIENT_ABORT */
        return EK_STATUS_CLIENT_ABORT;
    }
}

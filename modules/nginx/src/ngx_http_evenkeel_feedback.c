/*
 * What the policy learns from a response: its first byte, how it ended, and the host's own
 * report in its header.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static uint32_t ngx_http_evenkeel_outcome(ngx_peer_connection_t *pc,
    ngx_http_request_t *r, ngx_uint_t state);
static ngx_int_t ngx_http_evenkeel_header_filter(ngx_http_request_t *r);
static ngx_table_elt_t *ngx_http_evenkeel_report(
    ngx_http_upstream_headers_in_t *headers);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


ngx_int_t
ngx_http_evenkeel_init_header_filter(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_evenkeel_header_filter;

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

    ekp = ngx_http_get_module_ctx(r, ngx_http_evenkeel_module);

    if (ekp != NULL && ekp->ticket.under_way && r->upstream
        && r->upstream->headers_in.status_n)
    {
        ngx_http_evenkeel_response(ekp, ngx_http_evenkeel_now_us());
    }

    return ngx_http_next_header_filter(r);
}


void
ngx_http_evenkeel_response(ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t first_byte_us)
{
    ek_code                          code;
    ngx_table_elt_t                 *report;
    ngx_http_evenkeel_srv_conf_t    *conf;
    ngx_http_upstream_headers_in_t  *headers;

    if (ekp->ticket.first_byte_us != 0) {
        return;
    }

    conf = ekp->conf;
    headers = &ekp->request->upstream->headers_in;

    ek_first_byte(conf->shared->state, &ekp->ticket, first_byte_us);

    if (ekp->key != 0 && headers->status_n < NGX_HTTP_BAD_REQUEST) {
        ek_affinity_note(conf->shared->affinity, conf->shared->affinity_size,
                         ekp->key, ekp->ticket.host,
                         ekp->prompt_tokens, first_byte_us);
    }

    report = ngx_http_evenkeel_report(headers);
    if (report == NULL) {
        return;
    }

    code = ek_report_orca(conf->shared->state, ekp->ticket.host,
                          (const char *) report->value.data, report->value.len,
                          first_byte_us);

    if (code != EK_CODE_OK) {
        ngx_log_error(NGX_LOG_INFO, ekp->request->connection->log, 0,
                      "evenkeel: header \"%V\" ignored: %s", &report->key,
                      ek_strerror(code));
    }
}


static ngx_table_elt_t *
ngx_http_evenkeel_report(ngx_http_upstream_headers_in_t *headers)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    for (part = &headers->headers.part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (header[i].key.len == sizeof("endpoint-load-metrics") - 1
                && ngx_strncasecmp(header[i].key.data,
                                   (u_char *) "endpoint-load-metrics",
                                   sizeof("endpoint-load-metrics") - 1)
                   == 0)
            {
                return &header[i];
            }
        }
    }

    return NULL;
}


void
ngx_http_evenkeel_finish(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_peer_connection_t *pc, ngx_uint_t state)
{
    uint64_t                       first_byte_us;
    ek_outcome                     outcome;
    ngx_http_upstream_t           *u;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;
    u = ekp->request->upstream;

    if (u->state && u->state->header_time != (ngx_msec_t) -1) {
        first_byte_us = ekp->ticket.sent_us
                        + (uint64_t) u->state->header_time * 1000;
        ngx_http_evenkeel_response(ekp, first_byte_us);
    }

    ngx_memzero(&outcome, sizeof(ek_outcome));
    outcome.struct_size = sizeof(ek_outcome);
    outcome.status = ngx_http_evenkeel_outcome(pc, ekp->request, state);

    if (conf->output_tokens != NULL) {
        outcome.output_tokens = ngx_http_evenkeel_tokens(ekp->request,
                                                         conf->output_tokens);
    }

    if (ekp->class_key != 0 && outcome.status == EK_STATUS_SUCCESS) {
        ek_classes_note(conf->shared->classes, conf->shared->classes_size,
                        ekp->class_key, outcome.output_tokens);
    }

    ek_finish(conf->shared->state, conf->artifact.model, &ekp->ticket,
              &outcome, ngx_http_evenkeel_now_us());
}


static uint32_t
ngx_http_evenkeel_outcome(ngx_peer_connection_t *pc, ngx_http_request_t *r,
    ngx_uint_t state)
{
    ngx_uint_t            complete;
    ngx_connection_t     *c;
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    p = u->pipe;
    c = pc->connection;

    complete = (p && p->upstream_done);

    if (c && !complete && (c->read->timedout || c->write->timedout)) {
        return EK_STATUS_TIMEOUT;
    }

    if (state & NGX_PEER_FAILED) {
        return EK_STATUS_FAILURE;
    }

    if (!complete
        && (r->connection->error || r->connection->timedout
            || (p && p->downstream_error)))
    {
        return EK_STATUS_CLIENT_ABORT;
    }

    /* A response that ends early. */

    if (u->error || (p && (p->upstream_error
                           || (p->upstream_eof && !complete
                               && p->length > 0))))
    {
        return EK_STATUS_FAILURE;
    }

    /* Whoever refuses work is quick at it. */

    if (u->state
        && (u->state->status >= NGX_HTTP_INTERNAL_SERVER_ERROR
            || u->state->status == NGX_HTTP_TOO_MANY_REQUESTS))
    {
        return EK_STATUS_FAILURE;
    }

    return EK_STATUS_SUCCESS;
}

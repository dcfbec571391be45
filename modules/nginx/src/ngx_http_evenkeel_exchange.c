/*
 * How an exchange with a server ended: the one place that judges it, from NGINX's own state
 * of the request at the moment when the server is given back.
 *
 *     Way of the response       Whole when                        Its state meanwhile
 *     ------------------------  --------------------------------  ------------------------
 *     buffered (event pipe):    p->upstream_done, or              p->upstream_eof,
 *       proxy, uwsgi, scgi        p->upstream_eof with p->length    p->upstream_error
 *                                 -1: the connection's end is
 *                                 the response's; length and
 *                                 chunks leave p->length >= 0
 *       fastcgi                 p->upstream_done: the end of      the same; NGINX itself
 *                                 stdout or of the request          takes any end for good
 *     unbuffered:               u->length 0, or the               read->eof, read->error,
 *       proxy, uwsgi, scgi        connection's end with -1          u->error
 *       fastcgi                 u->length 0: FCGI_END_REQUEST     the same
 *       grpc                    u->length 0: END_STREAM           the same
 *       memcached               u->length 0: "END"                the same
 *     HEAD, 204, 304            with the header (r->header_only)  -
 *     upgraded (101)            cannot be known                   read->error: was reset
 *     X-Accel-Redirect, an      never: the body is not read       -
 *       error page instead
 *
 * Without a length and without chunks, HTTP, uwsgi and scgi have no sign of a response that
 * is cut short: it counts as whole, as it does for NGINX.
 *
 * A response that is not whole was broken off by the server, or by the client, or by what
 * NGINX tells with its verdict (the argument of u->finalize_request):
 *
 *     502, 504                  by the server
 *     499, 408                  by the client
 *     NGX_ERROR                 by the client if its connection has an error (so has that
 *                                 of a stream of HTTP/2 or 3 that was reset), else by the
 *                                 server: chunks, frames or records against the protocol
 *     others                    by neither: the request was dropped or sent elsewhere
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_uint_t ngx_http_evenkeel_is_whole(ngx_http_request_t *r,
    ngx_connection_t *c);
static ngx_uint_t ngx_http_evenkeel_ends_with_header(ngx_http_request_t *r);
static ngx_uint_t ngx_http_evenkeel_says_its_end(ngx_http_upstream_t *u);
static ngx_uint_t ngx_http_evenkeel_broken(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_connection_t *c);
static ngx_uint_t ngx_http_evenkeel_by_client(ngx_http_request_t *r,
    ngx_int_t verdict);
static ngx_uint_t ngx_http_evenkeel_by_status(ngx_uint_t status);
static ngx_uint_t ngx_http_evenkeel_by_grpc(ngx_http_upstream_t *u);


ngx_uint_t
ngx_http_evenkeel_exchange(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_peer_connection_t *pc, ngx_uint_t state)
{
    ngx_uint_t            ended, by_status;
    ngx_connection_t     *c;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ekp->request;
    u = r->upstream;
    c = pc->connection;  /* NULL where "keepalive" has taken it: then all is well */

    /* An idle tunnel times out, too; only its reset is the server's doing. */

    if (u->upgrade && u->header_sent) {
        return (c && c->read->error) ? NGX_HTTP_EVENKEEL_FAILURE
                                     : NGX_HTTP_EVENKEEL_NO_WORK;
    }

    ended = ngx_http_evenkeel_is_whole(r, c)
            ? NGX_HTTP_EVENKEEL_SUCCESS
            : ngx_http_evenkeel_broken(ekp, c);

    if (ended == NGX_HTTP_EVENKEEL_TIMEOUT) {
        return ended;
    }

    if (state & NGX_PEER_FAILED) {
        return NGX_HTTP_EVENKEEL_FAILURE;
    }

    by_status = u->state ? ngx_http_evenkeel_by_status(u->state->status)
                         : NGX_HTTP_EVENKEEL_SUCCESS;

    /* Whoever refuses work is quick at it, and stays to blame if the client leaves. */

    if (by_status == NGX_HTTP_EVENKEEL_FAILURE
        || ended == NGX_HTTP_EVENKEEL_FAILURE)
    {
        return NGX_HTTP_EVENKEEL_FAILURE;
    }

    if (ended != NGX_HTTP_EVENKEEL_SUCCESS) {
        return ended;
    }

    if (by_status != NGX_HTTP_EVENKEEL_SUCCESS) {
        return by_status;
    }

    if (ngx_http_evenkeel_ends_with_header(r)) {
        return NGX_HTTP_EVENKEEL_NO_WORK;
    }

    ended = ngx_http_evenkeel_by_grpc(u);

    if (ended != NGX_HTTP_EVENKEEL_SUCCESS) {
        return ended;
    }

    /* An engine that fails when the header is out says so in the body. */

    if (ekp->body.is_error) {
        return NGX_HTTP_EVENKEEL_FAILURE;
    }

    /* A client that is gone sees no body, but the server has made one. */

    return (ekp->first_body_us != 0 || (u->pipe && u->pipe->downstream_error))
           ? NGX_HTTP_EVENKEEL_SUCCESS : NGX_HTTP_EVENKEEL_NO_WORK;
}


static ngx_uint_t
ngx_http_evenkeel_is_whole(ngx_http_request_t *r, ngx_connection_t *c)
{
    ngx_event_pipe_t     *p;
    ngx_http_upstream_t  *u;

    u = r->upstream;
    p = u->pipe;

    if (!u->header_sent) {
        return 0;
    }

    if (ngx_http_evenkeel_ends_with_header(r)) {
        return 1;
    }

    if (u->buffering && p) {
        return p->upstream_done
               || (p->upstream_eof && !p->upstream_error && p->length == -1
                   && !ngx_http_evenkeel_says_its_end(u));
    }

    return u->length == 0
           || (u->length == -1 && c && c->read->eof && !c->read->error
               && !ngx_http_evenkeel_says_its_end(u));
}


/* For a cache, or for "proxy_store", the body is asked for all the same. */
static ngx_uint_t
ngx_http_evenkeel_ends_with_header(ngx_http_request_t *r)
{
    ngx_http_upstream_t  *u;

    u = r->upstream;

    return r->header_only
           && !(u->buffering && (u->cacheable || u->store));
}


/* FastCGI ends a response with a record, and never with the connection's end alone. */
static ngx_uint_t
ngx_http_evenkeel_says_its_end(ngx_http_upstream_t *u)
{
    return u->schema.len == sizeof("fastcgi://") - 1
           && ngx_strncmp(u->schema.data, "fastcgi://", u->schema.len) == 0;
}


/* Who has broken off a response that is not whole. */
static ngx_uint_t
ngx_http_evenkeel_broken(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_connection_t *c)
{
    ngx_event_pipe_t     *p;
    ngx_http_request_t   *r;
    ngx_http_upstream_t  *u;

    r = ekp->request;
    u = r->upstream;
    p = u->buffering ? u->pipe : NULL;

    if (c && (c->read->timedout || c->write->timedout)) {
        return NGX_HTTP_EVENKEEL_TIMEOUT;
    }

    if (u->error
        || (p && (p->upstream_error || p->upstream_eof))
        || (p == NULL && u->header_sent && c
            && (c->read->eof || c->read->error))
        || ekp->verdict == NGX_HTTP_BAD_GATEWAY)
    {
        return NGX_HTTP_EVENKEEL_FAILURE;
    }

    if (ekp->verdict == NGX_HTTP_GATEWAY_TIME_OUT) {
        return NGX_HTTP_EVENKEEL_TIMEOUT;
    }

    if (ngx_http_evenkeel_by_client(r, ekp->verdict)) {
        return NGX_HTTP_EVENKEEL_CLIENT_ABORT;
    }

    return (ekp->verdict == NGX_ERROR) ? NGX_HTTP_EVENKEEL_FAILURE
                                       : NGX_HTTP_EVENKEEL_NO_WORK;
}


static ngx_uint_t
ngx_http_evenkeel_by_client(ngx_http_request_t *r, ngx_int_t verdict)
{
    ngx_connection_t  *c;
    ngx_event_pipe_t  *p;

    c = r->connection;
    p = r->upstream->pipe;

    return c->error || c->timedout || c->read->error || c->write->error
           || (p && p->downstream_error)
           || verdict == NGX_HTTP_CLIENT_CLOSED_REQUEST
           || verdict == NGX_HTTP_REQUEST_TIME_OUT;
}


static ngx_uint_t
ngx_http_evenkeel_by_status(ngx_uint_t status)
{
    if (status >= NGX_HTTP_INTERNAL_SERVER_ERROR
        || status == NGX_HTTP_TOO_MANY_REQUESTS)
    {
        return NGX_HTTP_EVENKEEL_FAILURE;
    }

    if ((status != 0 && status < NGX_HTTP_OK)
        || status == NGX_HTTP_NO_CONTENT
        || status >= NGX_HTTP_SPECIAL_RESPONSE)
    {
        return NGX_HTTP_EVENKEEL_NO_WORK;
    }

    return NGX_HTTP_EVENKEEL_SUCCESS;
}


/*
 * gRPC says in "grpc-status", of the header or of the trailers, what HTTP says in its
 * status. Codes and the statuses of HTTP that they stand for: google/rpc/code.proto.
 */
static ngx_uint_t
ngx_http_evenkeel_by_grpc(ngx_http_upstream_t *u)
{
    ngx_int_t         code;
    ngx_table_elt_t  *status;

    status = ngx_http_evenkeel_find(&u->headers_in.trailers, "grpc-status");

    if (status == NULL) {
        status = ngx_http_evenkeel_find(&u->headers_in.headers, "grpc-status");
    }

    if (status == NULL) {
        return NGX_HTTP_EVENKEEL_SUCCESS;
    }

    code = ngx_atoi(status->value.data, status->value.len);

    switch (code) {

    case 0:  /* OK */
        return NGX_HTTP_EVENKEEL_SUCCESS;

    case 4:  /* DEADLINE_EXCEEDED, 504 */
        return NGX_HTTP_EVENKEEL_TIMEOUT;

    case 2:  /* UNKNOWN, 500 */
    case 8:  /* RESOURCE_EXHAUSTED, 429 */
    case 13: /* INTERNAL, 500 */
    case 14: /* UNAVAILABLE, 503 */
    case 15: /* DATA_LOSS, 500 */
        return NGX_HTTP_EVENKEEL_FAILURE;

    default: /* of the client's making, 4xx; UNIMPLEMENTED; no code at all */
        return NGX_HTTP_EVENKEEL_NO_WORK;
    }
}


ngx_table_elt_t *
ngx_http_evenkeel_find(ngx_list_t *headers, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *header;

    len = ngx_strlen(name);

    for (part = &headers->part; part; part = part->next) {
        header = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (header[i].key.len == len
                && ngx_strncasecmp(header[i].key.data, (u_char *) name, len)
                   == 0)
            {
                return &header[i];
            }
        }
    }

    return NULL;
}

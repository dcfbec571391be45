/*
 * The evenkeel_status location: what the zones know, as Prometheus text, as JSON, or as
 * what a scaler asks for.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel_status.h"


static ngx_int_t ngx_http_evenkeel_status_handler(ngx_http_request_t *r);
static ngx_uint_t ngx_http_evenkeel_asks(ngx_http_request_t *r,
    ngx_str_t *format, const char *name);
static size_t ngx_http_evenkeel_status_size(ngx_array_t *views);


char *
ngx_http_evenkeel_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_evenkeel_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_evenkeel_status_handler(ngx_http_request_t *r)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_str_t     format;
    ngx_chain_t   out;
    ngx_array_t  *views;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_arg(r, (u_char *) "format", 6, &format) != NGX_OK) {
        ngx_str_null(&format);
    }

    views = ngx_http_evenkeel_views(r->pool);
    if (views == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = ngx_create_temp_buf(r->pool, ngx_http_evenkeel_status_size(views));
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_evenkeel_asks(r, &format, "scale")) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        b->last = ngx_http_evenkeel_scale_json(b->last, views);

    } else if (ngx_http_evenkeel_asks(r, &format, "json")) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
        b->last = ngx_http_evenkeel_json(b->last, views);

    } else {
        ngx_str_set(&r->headers_out.content_type,
                    "text/plain; version=0.0.4");
        b->last = ngx_http_evenkeel_prometheus(b->last, views);
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


/* By "?format=NAME", or by a path that ends in "/NAME". */
static ngx_uint_t
ngx_http_evenkeel_asks(ngx_http_request_t *r, ngx_str_t *format,
    const char *name)
{
    size_t  len;

    len = ngx_strlen(name);

    if (format->len != 0) {
        return format->len == len
               && ngx_strncmp(format->data, name, len) == 0;
    }

    return r->uri.len > len
           && r->uri.data[r->uri.len - len - 1] == '/'
           && ngx_strncmp(r->uri.data + r->uri.len - len, name, len) == 0;
}


static size_t
ngx_http_evenkeel_status_size(ngx_array_t *views)
{
    size_t                          size, name;
    ngx_uint_t                      i, k;
    ngx_http_evenkeel_view_t       *view;
    ngx_http_evenkeel_host_view_t  *hosts;

    /* In the longest form, each number has lines of help and type. */

    size = (NGX_HTTP_EVENKEEL_METRICS + NGX_HTTP_EVENKEEL_SUMS
            + NGX_HTTP_EVENKEEL_KINDS + 6)
           * NGX_HTTP_EVENKEEL_LINE;
    view = views->elts;

    for (i = 0; i < views->nelts; i++) {
        name = view[i].conf->upstream->host.len;

        /* Its sums, its decisions by reason, the buckets and their sum. */

        size += (NGX_HTTP_EVENKEEL_SUMS + NGX_HTTP_EVENKEEL_REASONS
                 + NGX_HTTP_EVENKEEL_FALLBACKS + NGX_HTTP_EVENKEEL_ENDS
                 + NGX_HTTP_EVENKEEL_SHADOW
                 + EK_HISTOGRAM_BUCKETS / NGX_HTTP_EVENKEEL_BUCKET_STEP + 4)
                * (NGX_HTTP_EVENKEEL_LINE + name);

        /* What identifies the artifact. */

        size += 2 * sizeof(ek_identity) + 2 * view[i].conf->path.len
                + NGX_HTTP_EVENKEEL_LINE + name;

        hosts = view[i].hosts.elts;

        for (k = 0; k < view[i].hosts.nelts; k++) {
            size += NGX_HTTP_EVENKEEL_METRICS
                    * (NGX_HTTP_EVENKEEL_LINE + name + hosts[k].name.len);
        }
    }

    return size;
}

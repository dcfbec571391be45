/*
 * Variables that tell of a request's last decision.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


static ngx_int_t ngx_http_evenkeel_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static u_char *ngx_http_evenkeel_print(u_char *p,
    ngx_http_evenkeel_peer_data_t *ekp, uintptr_t field);
static u_char *ngx_http_evenkeel_print_count(u_char *p,
    ngx_http_evenkeel_peer_data_t *ekp, uint64_t count);


enum {
    NGX_HTTP_EVENKEEL_HOST = 0,
    NGX_HTTP_EVENKEEL_SCORE,
    NGX_HTTP_EVENKEEL_DECIDE_NS,
    NGX_HTTP_EVENKEEL_REASON,
    NGX_HTTP_EVENKEEL_TRIES,
    NGX_HTTP_EVENKEEL_PROMPT_TOKENS,
    NGX_HTTP_EVENKEEL_EXPECTED_TOKENS,
    NGX_HTTP_EVENKEEL_EXPECTED_CACHED,
    NGX_HTTP_EVENKEEL_OUTPUT_TOKENS,
    NGX_HTTP_EVENKEEL_CACHED_TOKENS,
    NGX_HTTP_EVENKEEL_FIRST_TOKEN_TIME
};


static ngx_http_variable_t  ngx_http_evenkeel_vars[] = {

    { ngx_string("evenkeel_host"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_HOST, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_score"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_SCORE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_decide_ns"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_DECIDE_NS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_reason"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_tries"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_TRIES, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_prompt_tokens"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_PROMPT_TOKENS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_expected_tokens"), NULL,
      ngx_http_evenkeel_variable, NGX_HTTP_EVENKEEL_EXPECTED_TOKENS,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_expected_cached_tokens"), NULL,
      ngx_http_evenkeel_variable, NGX_HTTP_EVENKEEL_EXPECTED_CACHED,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_output_tokens"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_OUTPUT_TOKENS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_cached_tokens"), NULL, ngx_http_evenkeel_variable,
      NGX_HTTP_EVENKEEL_CACHED_TOKENS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("evenkeel_first_token_time"), NULL,
      ngx_http_evenkeel_variable, NGX_HTTP_EVENKEEL_FIRST_TOKEN_TIME,
      NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_evenkeel_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_evenkeel_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_evenkeel_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                         *p;
    ngx_http_evenkeel_peer_data_t  *ekp;

    ekp = ngx_http_get_module_ctx(r, ngx_http_evenkeel_module);

    if (ekp == NULL || ekp->tries == 0) {
        v->not_found = 1;
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN + 16 + ekp->host.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->data = p;
    v->len = ngx_http_evenkeel_print(p, ekp, data) - p;
    v->not_found = (v->len == 0);
    v->valid = !v->not_found;
    v->no_cacheable = 0;

    return NGX_OK;
}


static u_char *
ngx_http_evenkeel_print(u_char *p, ngx_http_evenkeel_peer_data_t *ekp,
    uintptr_t field)
{
    uint32_t  tokens;

    switch (field) {

    case NGX_HTTP_EVENKEEL_HOST:
        return ngx_sprintf(p, "%V", &ekp->host);

    case NGX_HTTP_EVENKEEL_SCORE:
        if (ekp->reason != EK_REASON_POLICY) {
            return p;
        }

        return ngx_sprintf(p, "%.4f", (double) ekp->choice.score);

    case NGX_HTTP_EVENKEEL_DECIDE_NS:
        return ngx_sprintf(p, "%uL", ekp->decide_ns);

    case NGX_HTTP_EVENKEEL_REASON:
        return ngx_sprintf(p, "%s", ngx_http_evenkeel_reason(ekp->reason));

    case NGX_HTTP_EVENKEEL_TRIES:
        return ngx_sprintf(p, "%ui", ekp->tries);

    case NGX_HTTP_EVENKEEL_PROMPT_TOKENS:

        /* What the engine has counted, once it says so. */

        if (ekp->body.struct_size != 0
            && ekp->body.prompt_tokens != EK_UNKNOWN)
        {
            return ngx_sprintf(p, "%uL", ekp->body.prompt_tokens);
        }

        tokens = 0;
        (void) ek_upstream_prompt_tokens(ekp->conf->shared->upstream,
                                         &ekp->facts,
                                         ngx_http_evenkeel_now_us(), &tokens);
        return ngx_sprintf(p, "%uD", tokens);

    case NGX_HTTP_EVENKEEL_OUTPUT_TOKENS:
        return ngx_http_evenkeel_print_count(p, ekp,
                                             ekp->body.output_tokens);

    case NGX_HTTP_EVENKEEL_CACHED_TOKENS:
        return ngx_http_evenkeel_print_count(p, ekp,
                                             ekp->body.cached_tokens);

    case NGX_HTTP_EVENKEEL_EXPECTED_TOKENS:
        return ngx_sprintf(p, "%uD", ekp->choice.output_tokens);

    case NGX_HTTP_EVENKEEL_EXPECTED_CACHED:
        return ngx_sprintf(p, "%uD", ekp->choice.cached_tokens);

    default: /* NGX_HTTP_EVENKEEL_FIRST_TOKEN_TIME */
        if (ekp->first_body_us == 0) {
            return p;
        }

        return ngx_sprintf(p, "%.3f",
                           (double) (ekp->first_body_us - ekp->begun_us) / 1e6);
    }
}


/* Of a response that has ended; nothing where it does not say. */
static u_char *
ngx_http_evenkeel_print_count(u_char *p, ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t count)
{
    if (ekp->body.struct_size == 0 || count == EK_UNKNOWN) {
        return p;
    }

    return ngx_sprintf(p, "%uL", count);
}


const char *
ngx_http_evenkeel_reason(ngx_uint_t reason)
{
    switch (reason) {

    case NGX_HTTP_EVENKEEL_ROUND_ROBIN:
        return "round_robin";

    case NGX_HTTP_EVENKEEL_LEAST_CONN:
        return "least_conn";

    case NGX_HTTP_EVENKEEL_STICKY_ROUTE:
        return "sticky";

    default:
        return ek_reason_name((uint32_t) reason);
    }
}

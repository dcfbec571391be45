/*
 * What the files of the Evenkeel module share.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#ifndef NGX_HTTP_EVENKEEL_H
#define NGX_HTTP_EVENKEEL_H


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include <evenkeel.h>


/* Beside the values of ek_reason: NGINX's own round robin chose. */
#define NGX_HTTP_EVENKEEL_ROUND_ROBIN  (EK_REASON_NO_HOST + 1)


/* A request under way in shared memory, so that what a killed worker leaves can be ended. */
typedef struct {
    ngx_atomic_t             owner;             /* process slot + 1; 0: free */
    ek_ticket                ticket;
} ngx_http_evenkeel_lease_t;


/* The head of a zone. All workers use it, and what a reload starts. */
typedef struct {
    ek_state                *state;
    ngx_uint_t               nleases;
    ngx_http_evenkeel_lease_t  *leases;
} ngx_http_evenkeel_shared_t;


typedef struct {
    ngx_http_upstream_srv_conf_t  *upstream;
    ngx_http_upstream_init_pt      original_init_upstream;
    ngx_http_upstream_init_peer_pt original_init_peer;

    ngx_pool_t                    *pool;          /* the configuration's */
    ngx_flag_t                     enabled;
    ngx_flag_t                     shadow;
    ngx_str_t                      artifact;
    ngx_http_complex_value_t      *tokens;

    const ek_model                *model;
    void                          *scratch;
    size_t                         scratch_size;

    ngx_shm_zone_t                *shm_zone;
    ngx_http_evenkeel_shared_t    *shared;

    /* Of each server, the primary ones first, in the order of NGINX's own list. */
    uint32_t                      *hosts;
    ngx_uint_t                     nhosts;
} ngx_http_evenkeel_srv_conf_t;


typedef struct {
    /* The round robin's data must be first: its functions are given the whole. */
    ngx_http_upstream_rr_peer_data_t  rrp;

    ngx_http_upstream_rr_peers_t      *primary;
    ngx_http_request_t                *request;
    ngx_http_evenkeel_srv_conf_t      *conf;
    uint32_t                           prompt_tokens;

    /* The last decision, for variables. */
    ek_decision                        decision;
    ngx_str_t                          host;
    uint64_t                           decide_ns;
    ngx_uint_t                         reason;
    ngx_uint_t                         tries;

    ngx_http_evenkeel_lease_t         *lease;
    ngx_http_evenkeel_lease_t          own_lease;
} ngx_http_evenkeel_peer_data_t;


ngx_int_t ngx_http_evenkeel_add_variables(ngx_conf_t *cf);
char *ngx_http_evenkeel_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
uint64_t ngx_http_evenkeel_now_ns(void);
const char *ngx_http_evenkeel_reason(ngx_uint_t reason);


extern ngx_module_t  ngx_http_evenkeel_module;


#endif /* NGX_HTTP_EVENKEEL_H */

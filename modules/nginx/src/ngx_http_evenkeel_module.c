/*
 * Evenkeel inside of NGINX: directives, and the choice of a server for each request.
 *
 * What scores, averages and parses reports is in libevenkeel; here, NGINX's life of a
 * request is told to it. See docs/nginx.md.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"
#include "ngx_http_evenkeel_zone.h"


#define NGX_HTTP_EVENKEEL_WORDS  (EK_HOSTS_MAX / 64)


static ngx_int_t ngx_http_evenkeel_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_evenkeel_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static uint32_t ngx_http_evenkeel_prompt_tokens(ngx_http_request_t *r,
    ngx_http_evenkeel_srv_conf_t *conf);
static ngx_int_t ngx_http_evenkeel_get_peer(ngx_peer_connection_t *pc,
    void *data);
static ngx_http_upstream_rr_peer_t *ngx_http_evenkeel_decide(
    ngx_http_evenkeel_peer_data_t *ekp, ngx_uint_t *index);
static ngx_uint_t ngx_http_evenkeel_available(
    ngx_http_upstream_rr_peer_data_t *rrp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index);
static void ngx_http_evenkeel_take(ngx_peer_connection_t *pc,
    ngx_http_evenkeel_peer_data_t *ekp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index);
static void ngx_http_evenkeel_begin(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_uint_t index);
static ngx_uint_t ngx_http_evenkeel_index(ngx_http_evenkeel_peer_data_t *ekp);
static void ngx_http_evenkeel_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);
static uint32_t ngx_http_evenkeel_outcome(ngx_peer_connection_t *pc,
    ngx_http_request_t *r, ngx_uint_t state);
static ngx_int_t ngx_http_evenkeel_header_filter(ngx_http_request_t *r);
static void ngx_http_evenkeel_response(ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t first_byte_us);
static ngx_table_elt_t *ngx_http_evenkeel_report(
    ngx_http_upstream_headers_in_t *headers);

static void *ngx_http_evenkeel_create_conf(ngx_conf_t *cf);
static char *ngx_http_evenkeel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
static char *ngx_http_evenkeel_load(ngx_conf_t *cf,
    ngx_http_evenkeel_srv_conf_t *conf);
static ngx_int_t ngx_http_evenkeel_read(ngx_conf_t *cf, ngx_str_t *path,
    u_char **bytes, size_t *len);
static ngx_int_t ngx_http_evenkeel_init(ngx_conf_t *cf);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


static ngx_command_t  ngx_http_evenkeel_commands[] = {

    { ngx_string("evenkeel"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE123,
      ngx_http_evenkeel,
      NGX_HTTP_SRV_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("evenkeel_tokens"),
      NGX_HTTP_UPS_CONF|NGX_CONF_TAKE1,
      ngx_http_set_complex_value_slot,
      NGX_HTTP_SRV_CONF_OFFSET,
      offsetof(ngx_http_evenkeel_srv_conf_t, tokens),
      NULL },

    { ngx_string("evenkeel_status"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_evenkeel_status,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_evenkeel_module_ctx = {
    ngx_http_evenkeel_add_variables,       /* preconfiguration */
    ngx_http_evenkeel_init,                /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    ngx_http_evenkeel_create_conf,         /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_evenkeel_module = {
    NGX_MODULE_V1,
    &ngx_http_evenkeel_module_ctx,         /* module context */
    ngx_http_evenkeel_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_evenkeel_init_module,         /* init module */
    ngx_http_evenkeel_init_process,        /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_int_t
ngx_http_evenkeel_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_evenkeel_module);

    if (conf->original_init_upstream(cf, us) != NGX_OK) {
        return NGX_ERROR;
    }

    conf->original_init_peer = us->peer.init;
    us->peer.init = ngx_http_evenkeel_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_http_evenkeel_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_evenkeel_srv_conf_t   *conf;
    ngx_http_evenkeel_peer_data_t  *ekp;

    conf = ngx_http_conf_upstream_srv_conf(us, ngx_http_evenkeel_module);

    ekp = ngx_pcalloc(r->pool, sizeof(ngx_http_evenkeel_peer_data_t));
    if (ekp == NULL) {
        return NGX_ERROR;
    }

    ekp->request = r;
    ekp->conf = conf;
    ekp->prompt_tokens = ngx_http_evenkeel_prompt_tokens(r, conf);

    r->upstream->peer.data = &ekp->rrp;

    if (conf->original_init_peer(r, us) != NGX_OK) {
        return NGX_ERROR;
    }

    ekp->primary = ekp->rrp.peers;

    r->upstream->peer.get = ngx_http_evenkeel_get_peer;
    r->upstream->peer.free = ngx_http_evenkeel_free_peer;

    ngx_http_set_ctx(r, ekp, ngx_http_evenkeel_module);

    return NGX_OK;
}


/* Four bytes a token, roughly, where the configuration has nothing better. */
static uint32_t
ngx_http_evenkeel_prompt_tokens(ngx_http_request_t *r,
    ngx_http_evenkeel_srv_conf_t *conf)
{
    off_t      tokens;
    ngx_str_t  value;

    if (conf->tokens == NULL) {
        tokens = r->headers_in.content_length_n / 4;

    } else {
        if (ngx_http_complex_value(r, conf->tokens, &value) != NGX_OK) {
            return 0;
        }

        tokens = ngx_atoof(value.data, value.len);
    }

    return (tokens > 0) ? (uint32_t) ngx_min(tokens, 0x7fffffff) : 0;
}


static ngx_int_t
ngx_http_evenkeel_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_evenkeel_peer_data_t  *ekp = data;

    ngx_int_t                     rc;
    ngx_uint_t                    index;
    ngx_http_upstream_rr_peer_t  *peer;

    ekp->tries++;

    ngx_http_upstream_rr_peers_rlock(ekp->rrp.peers);

    peer = ngx_http_evenkeel_decide(ekp, &index);

    if (peer != NULL && !ekp->conf->shadow) {
        ngx_http_evenkeel_take(pc, ekp, peer, index);
        ngx_http_upstream_rr_peers_unlock(ekp->rrp.peers);

        ngx_http_evenkeel_begin(ekp, index);

        return NGX_OK;
    }

    ngx_http_upstream_rr_peers_unlock(ekp->rrp.peers);

    /* The round robin knows backup servers, and what to say if all are down. */

    if (peer == NULL) {
        ekp->reason = NGX_HTTP_EVENKEEL_ROUND_ROBIN;
        ngx_str_null(&ekp->host);
    }

    rc = ngx_http_upstream_get_round_robin_peer(pc, &ekp->rrp);

    if (rc == NGX_OK) {
        if (peer == NULL) {
            ekp->host = ekp->rrp.current->name;
        }

        ngx_http_evenkeel_begin(ekp, ngx_http_evenkeel_index(ekp));
    }

    return rc;
}


/* NULL if no server but a backup one can take the request. */
static ngx_http_upstream_rr_peer_t *
ngx_http_evenkeel_decide(ngx_http_evenkeel_peer_data_t *ekp, ngx_uint_t *index)
{
    uint64_t                       started_ns;
    uint64_t                       eligible[NGX_HTTP_EVENKEEL_WORDS];
    ek_code                        code;
    ek_request                     request;
    ngx_uint_t                     i, n;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;
    n = 0;

    /* The round robin has gone over to the backup servers before. */

    if (ekp->rrp.peers != ekp->primary) {
        return NULL;
    }

    ngx_memzero(eligible, sizeof(eligible));

    for (peer = ekp->rrp.peers->peer, i = 0;
         peer && i < conf->nhosts;
         peer = peer->next, i++)
    {
        if (ngx_http_evenkeel_available(&ekp->rrp, peer, i)) {
            eligible[conf->hosts[i] / 64] |= (uint64_t) 1
                                             << (conf->hosts[i] % 64);
            n++;
        }
    }

    if (n == 0) {
        return NULL;
    }

    ngx_memzero(&request, sizeof(ek_request));
    request.struct_size = sizeof(ek_request);
    request.prompt_tokens = ekp->prompt_tokens;

    ekp->decision.struct_size = sizeof(ek_decision);

    started_ns = ngx_http_evenkeel_now_ns();

    code = ek_decide(conf->model, conf->shared->state, &request, eligible,
                     NGX_HTTP_EVENKEEL_WORDS, started_ns / 1000, conf->scratch,
                     conf->scratch_size, &ekp->decision);

    ekp->decide_ns = ngx_http_evenkeel_now_ns() - started_ns;

    if (code != EK_CODE_OK) {
        ngx_log_error(NGX_LOG_WARN, ekp->request->connection->log, 0,
                      "evenkeel: no decision, round robin chooses: %s",
                      ek_strerror(code));
        return NULL;
    }

    for (peer = ekp->rrp.peers->peer, i = 0;
         peer && i < conf->nhosts;
         peer = peer->next, i++)
    {
        if (conf->hosts[i] == ekp->decision.host
            && ngx_http_evenkeel_available(&ekp->rrp, peer, i))
        {
            ekp->reason = ekp->decision.reason;
            ekp->host = peer->name;
            *index = i;
            return peer;
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_evenkeel_available(ngx_http_upstream_rr_peer_data_t *rrp,
    ngx_http_upstream_rr_peer_t *peer, ngx_uint_t index)
{
    uintptr_t   m;
    ngx_uint_t  n;

    n = index / (8 * sizeof(uintptr_t));
    m = (uintptr_t) 1 << index % (8 * sizeof(uintptr_t));

    if (rrp->tried[n] & m) {
        return 0;
    }

    if (peer->down) {
        return 0;
    }

    if (peer->max_fails
        && peer->fails >= peer->max_fails
        && ngx_time() - peer->checked <= peer->fail_timeout)
    {
        return 0;
    }

    return !(peer->max_conns && peer->conns >= peer->max_conns);
}


/* What the round robin does with the server that it chose. */
static void
ngx_http_evenkeel_take(ngx_peer_connection_t *pc,
    ngx_http_evenkeel_peer_data_t *ekp, ngx_http_upstream_rr_peer_t *peer,
    ngx_uint_t index)
{
    time_t                             now;
    ngx_http_upstream_rr_peer_data_t  *rrp;

    rrp = &ekp->rrp;
    now = ngx_time();

    ngx_http_upstream_rr_peer_lock(rrp->peers, peer);

    if (now - peer->checked > peer->fail_timeout) {
        peer->checked = now;
    }

    peer->conns++;

#ifdef ngx_http_upstream_rr_peer_ref
    ngx_http_upstream_rr_peer_ref(rrp->peers, peer);
#endif

    ngx_http_upstream_rr_peer_unlock(rrp->peers, peer);

    pc->sockaddr = peer->sockaddr;
    pc->socklen = peer->socklen;
    pc->name = &peer->name;
    pc->cached = 0;
    pc->connection = NULL;

    rrp->current = peer;
    rrp->tried[index / (8 * sizeof(uintptr_t))] |=
                          (uintptr_t) 1 << index % (8 * sizeof(uintptr_t));
}


static void
ngx_http_evenkeel_begin(ngx_http_evenkeel_peer_data_t *ekp, ngx_uint_t index)
{
    ngx_http_evenkeel_srv_conf_t  *conf;

    conf = ekp->conf;

    if (index >= conf->nhosts || ekp->lease != NULL) {
        return;
    }

    ekp->lease = ngx_http_evenkeel_lease(conf->shared, &ekp->own_lease);

    if (ek_begin(conf->shared->state, conf->hosts[index], ekp->prompt_tokens,
                 ngx_http_evenkeel_now_ns() / 1000, &ekp->lease->ticket)
        != EK_CODE_OK)
    {
        /* A reload in between has removed the server from the state. */
        ngx_http_evenkeel_release(ekp->lease);
        ekp->lease = NULL;
    }
}


/* Place of the round robin's choice among primary servers and backup ones. */
static ngx_uint_t
ngx_http_evenkeel_index(ngx_http_evenkeel_peer_data_t *ekp)
{
    ngx_uint_t                     i;
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_http_upstream_rr_peers_t  *peers;

    i = 0;

    for (peers = ekp->primary; peers; peers = peers->next) {
        for (peer = peers->peer; peer; peer = peer->next) {
            if (peer == ekp->rrp.current) {
                return i;
            }

            i++;
        }
    }

    return i;
}


static void
ngx_http_evenkeel_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    ngx_http_evenkeel_peer_data_t  *ekp = data;

    uint64_t              first_byte_us;
    ek_outcome            outcome;
    ngx_http_upstream_t  *u;

    if (ekp->lease != NULL) {
        u = ekp->request->upstream;

        if (u->state && u->state->header_time != (ngx_msec_t) -1) {
            first_byte_us = ekp->lease->ticket.sent_us
                            + (uint64_t) u->state->header_time * 1000;
            ngx_http_evenkeel_response(ekp, first_byte_us);
        }

        ngx_memzero(&outcome, sizeof(ek_outcome));
        outcome.struct_size = sizeof(ek_outcome);
        outcome.status = ngx_http_evenkeel_outcome(pc, ekp->request, state);

        ek_finish(ekp->conf->shared->state, ekp->conf->model,
                  &ekp->lease->ticket, &outcome,
                  ngx_http_evenkeel_now_ns() / 1000);

        ngx_http_evenkeel_release(ekp->lease);
        ekp->lease = NULL;
    }

    ngx_http_upstream_free_round_robin_peer(pc, &ekp->rrp, state);
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


/*
 * A streamed response may take minutes: what its header tells is used at once. Where no
 * header goes to the client (the next server is tried), ngx_http_evenkeel_free_peer()
 * does the same.
 */
static ngx_int_t
ngx_http_evenkeel_header_filter(ngx_http_request_t *r)
{
    ngx_http_evenkeel_peer_data_t  *ekp;

    ekp = ngx_http_get_module_ctx(r, ngx_http_evenkeel_module);

    if (ekp != NULL && ekp->lease != NULL && r->upstream
        && r->upstream->headers_in.status_n)
    {
        ngx_http_evenkeel_response(ekp, ngx_http_evenkeel_now_ns() / 1000);
    }

    return ngx_http_next_header_filter(r);
}


static void
ngx_http_evenkeel_response(ngx_http_evenkeel_peer_data_t *ekp,
    uint64_t first_byte_us)
{
    ek_code           code;
    ngx_table_elt_t  *report;

    if (ekp->lease->ticket.first_byte_us != 0) {
        return;
    }

    ek_first_byte(ekp->conf->shared->state, &ekp->lease->ticket,
                  first_byte_us);

    report = ngx_http_evenkeel_report(&ekp->request->upstream->headers_in);
    if (report == NULL) {
        return;
    }

    code = ek_report_orca(ekp->conf->shared->state, ekp->lease->ticket.host,
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


static void *
ngx_http_evenkeel_create_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_evenkeel_srv_conf_t));
}


static char *
ngx_http_evenkeel(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_evenkeel_srv_conf_t  *ekcf = conf;

    ssize_t                        size;
    u_char                        *p;
    ngx_str_t                     *value, name, s;
    ngx_uint_t                     i;
    ngx_http_upstream_srv_conf_t  *uscf;

    if (ekcf->enabled) {
        return "is duplicate";
    }

    ekcf->enabled = 1;
    ekcf->pool = cf->pool;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    value = cf->args->elts;
    name = uscf->host;
    size = NGX_HTTP_EVENKEEL_ZONE_SIZE;

    for (i = 2; i < cf->args->nelts; i++) {

        if (ngx_strncmp(value[i].data, "zone=", 5) == 0) {
            name.data = value[i].data + 5;
            p = (u_char *) ngx_strchr(name.data, ':');

            if (p == NULL || p == name.data) {
                goto invalid;
            }

            name.len = p - name.data;
            s.data = p + 1;
            s.len = value[i].data + value[i].len - s.data;
            size = ngx_parse_size(&s);

            if (size == NGX_ERROR) {
                goto invalid;
            }

            if (size < (ssize_t) (8 * ngx_pagesize)) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                                   "zone \"%V\" is too small, it takes %uzk "
                                   "at least", &name, 8 * ngx_pagesize / 1024);
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_strcmp(value[i].data, "mode=active") == 0) {
            ekcf->shadow = 0;
            continue;
        }

        if (ngx_strcmp(value[i].data, "mode=shadow") == 0) {
            ekcf->shadow = 1;
            continue;
        }

        goto invalid;
    }

    ekcf->artifact = value[1];

    if (ngx_http_evenkeel_load(cf, ekcf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_evenkeel_add_zone(cf, ekcf, &name, size) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (uscf->peer.init_upstream) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "load balancing method redefined");
    }

    ekcf->upstream = uscf;
    ekcf->original_init_upstream = ngx_http_upstream_init_round_robin;

    uscf->peer.init_upstream = ngx_http_evenkeel_init_upstream;

    uscf->flags = NGX_HTTP_UPSTREAM_CREATE
                  |NGX_HTTP_UPSTREAM_WEIGHT
                  |NGX_HTTP_UPSTREAM_MAX_CONNS
                  |NGX_HTTP_UPSTREAM_MAX_FAILS
                  |NGX_HTTP_UPSTREAM_FAIL_TIMEOUT
                  |NGX_HTTP_UPSTREAM_DOWN
                  |NGX_HTTP_UPSTREAM_BACKUP;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\", expected "
                       "zone=NAME:SIZE, mode=active or mode=shadow",
                       &value[i]);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_evenkeel_load(ngx_conf_t *cf, ngx_http_evenkeel_srv_conf_t *conf)
{
    void     *storage;
    size_t    len;
    u_char   *bytes;
    ek_code   code;

    if (ek_version() != EVENKEEL_VERSION) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "the module was compiled for libevenkeel %ui and "
                           "linked with %uD", (ngx_uint_t) EVENKEEL_VERSION,
                           ek_version());
        return NGX_CONF_ERROR;
    }

    if (ngx_conf_full_name(cf->cycle, &conf->artifact, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_evenkeel_read(cf, &conf->artifact, &bytes, &len) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    storage = ngx_pmemalign(cf->pool, ek_model_size(), EK_MODEL_ALIGNMENT);
    if (storage == NULL) {
        return NGX_CONF_ERROR;
    }

    code = ek_model_load(bytes, len, storage, ek_model_size(), &conf->model);

    if (code != EK_CODE_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "artifact \"%V\" is refused: %s", &conf->artifact,
                           ek_strerror(code));
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* Reads a whole file into memory that lives as long as the configuration. */
static ngx_int_t
ngx_http_evenkeel_read(ngx_conf_t *cf, ngx_str_t *path, u_char **bytes,
    size_t *len)
{
    ssize_t          n;
    ngx_int_t        rc;
    ngx_file_t       file;
    ngx_file_info_t  fi;

    rc = NGX_ERROR;

    ngx_memzero(&file, sizeof(ngx_file_t));
    file.name = *path;
    file.log = cf->log;

    /* Not blocking, so that a pipe by that name cannot stop the start. */
    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "artifact \"%V\" cannot be opened", path);
        return NGX_ERROR;
    }

    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "artifact \"%V\" cannot be examined", path);
        goto done;
    }

    if (!ngx_is_file(&fi)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "artifact \"%V\" is not a regular file", path);
        goto done;
    }

    if (ngx_file_size(&fi) > NGX_HTTP_EVENKEEL_ARTIFACT_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "artifact \"%V\" has %O bytes, more than any "
                           "artifact", path, ngx_file_size(&fi));
        goto done;
    }

    *len = (size_t) ngx_file_size(&fi);

    *bytes = ngx_pmemalign(cf->pool, ngx_max(*len, 1), EK_MODEL_ALIGNMENT);
    if (*bytes == NULL) {
        goto done;
    }

    n = ngx_read_file(&file, *bytes, *len, 0);

    if (n != (ssize_t) *len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "artifact \"%V\": read %z bytes of %uz", path, n,
                           *len);
        goto done;
    }

    rc = NGX_OK;

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    return rc;
}


static ngx_int_t
ngx_http_evenkeel_init(ngx_conf_t *cf)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_evenkeel_header_filter;

    return NGX_OK;
}

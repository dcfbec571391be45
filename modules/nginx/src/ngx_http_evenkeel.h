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


/* Beside the values of ek_reason: NGINX's own round robin chose; its own counts did. */
#define NGX_HTTP_EVENKEEL_ROUND_ROBIN  (EK_REASON_UNTRIED + 1)
#define NGX_HTTP_EVENKEEL_LEAST_CONN   (EK_REASON_UNTRIED + 2)
#define NGX_HTTP_EVENKEEL_STICKY_ROUTE (EK_REASON_UNTRIED + 3)

/* Words of a set of hosts. */
#define NGX_HTTP_EVENKEEL_WORDS  (EK_HOSTS_MAX / 64)

/* Servers come and go at run time ("resolve") since NGINX 1.27.3. */
#if (NGX_HTTP_UPSTREAM_ZONE && nginx_version >= 1027003)
#define NGX_HTTP_EVENKEEL_RESOLVE  1
#endif

/* The size of a zone where the configuration names none. */
#define NGX_HTTP_EVENKEEL_ZONE_SIZE  (256 * 1024)

/* As large as a telemetry file can be: 4096 hosts. */
#define NGX_HTTP_EVENKEEL_TELEMETRY_MAX  (512 * 1024)


/* How an exchange with a server ends. */
enum {
    NGX_HTTP_EVENKEEL_SUCCESS = 0,
    NGX_HTTP_EVENKEEL_NO_WORK,     /* answered, and nothing was generated */
    NGX_HTTP_EVENKEEL_FAILURE,
    NGX_HTTP_EVENKEEL_TIMEOUT,
    NGX_HTTP_EVENKEEL_CLIENT_ABORT,
    NGX_HTTP_EVENKEEL_ENDS
};

/* Marks a place that is nobody's. */
#define NGX_HTTP_EVENKEEL_NO_PLACE  ((ngx_uint_t) -1)

/* Places of workers that wait for a row of the ledger, so that they can be counted. */
#define NGX_HTTP_EVENKEEL_WAITING_MAX  64


/* Why NGINX, and not the policy, chose among the servers. */
enum {
    NGX_HTTP_EVENKEEL_BACKUP = 0,  /* the backup servers' turn had come before */
    NGX_HTTP_EVENKEEL_UNAVAILABLE, /* every primary server tried, down, failed or full */
    NGX_HTTP_EVENKEEL_CHANGED,     /* the list of servers is another meanwhile */
    NGX_HTTP_EVENKEEL_REFUSED,     /* libevenkeel refused to decide */
    NGX_HTTP_EVENKEEL_NO_ROW,      /* this worker's requests cannot be counted */
    NGX_HTTP_EVENKEEL_STICKY,      /* the session's own server */
    NGX_HTTP_EVENKEEL_FALLBACKS
};


/* Choices of the policy beside those of NGINX, which are in force. */
enum {
    NGX_HTTP_EVENKEEL_AGREED = 0,
    NGX_HTTP_EVENKEEL_DIFFERED,
    NGX_HTTP_EVENKEEL_SHADOW
};


/*
 * The head of a zone. All workers use it, those of former configurations too, and so does
 * what a reload starts, which may be another build of the module: a change of it, or of
 * what it points to, changes NGX_HTTP_EVENKEEL_LAYOUT.
 */
typedef struct {
    uint64_t                       layout;      /* first: nothing is read before it */
    ek_upstream                   *upstream;
    uint32_t                       processes_max;
    uint32_t                       hosts_max;

    ngx_uint_t                     serves;      /* has had a server */
    ngx_atomic_t                   timekeeper;  /* process that tells the time */
    ngx_atomic_t                   swapped;     /* artifacts taken without a reload */
    ngx_atomic_t                   refused;     /* artifacts refused meanwhile */
    ngx_atomic_t                   unguided;    /* started without an artifact */
    ngx_atomic_t                   fallbacks[NGX_HTTP_EVENKEEL_FALLBACKS];
    ngx_atomic_t                   exchanges[NGX_HTTP_EVENKEEL_ENDS];
    ngx_atomic_t                   shadow[NGX_HTTP_EVENKEEL_SHADOW];

    /* Of each row of the ledger, then of each worker that waits for one: whose it is. */
    ngx_atomic_t                  *places;
} ngx_http_evenkeel_shared_t;


/* A loaded artifact. */
typedef struct {
    ngx_pool_t                    *pool;
    const ek_model                *model;
    ek_identity                    identity;

    /* Which file it was, to notice another one by that name. */
    ngx_file_uniq_t                uniq;
    time_t                         mtime;
    off_t                          size;
} ngx_http_evenkeel_artifact_t;


/* A server that can take the request at hand. */
typedef struct {
    ngx_http_upstream_rr_peer_t   *peer;
    ngx_uint_t                     index;      /* in NGINX's list */
} ngx_http_evenkeel_candidate_t;


typedef struct {
    ngx_http_upstream_srv_conf_t  *upstream;
    ngx_http_upstream_init_pt      original_init_upstream;
    ngx_http_upstream_init_peer_pt original_init_peer;

    ngx_cycle_t                   *cycle;
    ngx_pool_t                    *pool;          /* the configuration's */
    ngx_str_t                      file;          /* where the directive stands */
    ngx_uint_t                     line;
    ngx_flag_t                     enabled;
    ngx_uint_t                     initialised;   /* no other method replaced it */
    ngx_flag_t                     shadow;
    ngx_flag_t                     watch;
    ngx_str_t                      path;
    ngx_str_t                      telemetry;
    void                          *telemetry_buffer;
    ngx_int_t                      telemetry_code;
    ngx_http_complex_value_t      *tokens;
    ngx_http_complex_value_t      *output_tokens;
    ngx_http_complex_value_t      *key;
    ngx_http_complex_value_t      *request_class;
    ngx_flag_t                     bodies;        /* are looked at */
    void                          *request_reader;
    ngx_msec_t                     slow_start;
    ek_scale                       scale;         /* struct_size 0: the artifact's */

    ngx_http_evenkeel_artifact_t   artifact;      /* model NULL: none is usable yet */
    ngx_http_evenkeel_artifact_t   refused;       /* of the last bad file */
    ngx_str_t                      refusal;       /* why the first one is */
    void                          *scratch;
    size_t                         scratch_size;

    ngx_shm_zone_t                *shm_zone;
    ngx_http_evenkeel_shared_t    *shared;
    ngx_int_t                      tick_code;     /* of the last tick */

    ngx_uint_t                     place;         /* this worker's, among all */
    ngx_uint_t                     counts;        /* it is a row, and joined */
    ngx_uint_t                     sweeps;

    /* Of each primary server, in the order of NGINX's own list. */
    uint32_t                      *hosts;
    ngx_uint_t                     nhosts;
    ngx_uint_t                     hosts_max;
    ngx_uint_t                     list;          /* which change of the list */

    /* By host: the server that a request at hand can be given. */
    ngx_http_evenkeel_candidate_t *candidates;
} ngx_http_evenkeel_srv_conf_t;


typedef struct {
    /* The round robin's data must be first: its functions are given the whole. */
    ngx_http_upstream_rr_peer_data_t  rrp;

    ngx_http_upstream_rr_peers_t      *primary;
    ngx_http_request_t                *request;
    ngx_http_evenkeel_srv_conf_t      *conf;
    ek_facts                           facts;

    /* The last choice, for variables. */
    ek_choice                          choice;
    ngx_str_t                          host;
    uint64_t                           decide_ns;
    ngx_uint_t                         reason;
    ngx_uint_t                         tries;

    /* The attempt under way, or the last one. */
    unsigned                           under_way:1;
    unsigned                           header_seen:1;
    unsigned                           token_seen:1;
    unsigned                           is_stream:1;
    ek_response_reader                *reader;        /* NULL: none, or none any more */
    ek_response_body                   body;          /* at its end */
    uint64_t                           begun_us;
    uint64_t                           first_body_us; /* 0: nothing came yet */
    ek_ticket                          ticket;

    /* What NGINX says of its end, and whom it told before. */
    ngx_int_t                          verdict;
    void                             (*original_finalize_request)(
                                           ngx_http_request_t *r, ngx_int_t rc);
} ngx_http_evenkeel_peer_data_t;


/* ngx_http_evenkeel_artifact.c */

/*
 * Reads and validates a file into a pool of its own. On failure says why, in at most
 * NGX_MAX_ERROR_STR bytes without a closing zero.
 */
ngx_int_t ngx_http_evenkeel_load(ngx_str_t *path,
    ngx_http_evenkeel_artifact_t *artifact, ngx_log_t *log, ngx_str_t *reason);
/* Says in the log which artifact it is. */
void ngx_http_evenkeel_announce(ngx_http_evenkeel_srv_conf_t *conf,
    const char *verb, ngx_log_t *log);
ngx_str_t ngx_http_evenkeel_artifact_name(ngx_http_evenkeel_srv_conf_t *conf);
void ngx_http_evenkeel_unload(ngx_http_evenkeel_artifact_t *artifact);
/* Memory for choices among the upstream's servers and for ticks. */
ngx_int_t ngx_http_evenkeel_scratch(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_http_evenkeel_artifact_t *artifact, void **scratch, size_t *size);

/* ngx_http_evenkeel_bodies.c */

/* What a request's body says; NGX_DECLINED for what is not read. */
ngx_int_t ngx_http_evenkeel_read_request(ngx_http_evenkeel_peer_data_t *ekp,
    ek_request_body *body);
/* Tokens of its prompt; 0 for none. */
uint32_t ngx_http_evenkeel_body_tokens(const ek_request_body *body);
/* The header of a response is there. */
void ngx_http_evenkeel_open_response(ngx_http_evenkeel_peer_data_t *ekp);
/* A piece of it passes; whether a stream's first token is in it. */
ngx_uint_t ngx_http_evenkeel_feed_response(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_buf_t *b);
/* It is at its end. */
void ngx_http_evenkeel_read_response(ngx_http_evenkeel_peer_data_t *ekp);

/* ngx_http_evenkeel_check.c */

ngx_int_t ngx_http_evenkeel_init(ngx_conf_t *cf);

/* ngx_http_evenkeel_decide.c */

/*
 * Chooses among the primary servers, whose list must be locked. NULL if the round robin is
 * to choose; that, and a choice by NGINX's counts, is counted with its cause.
 */
ngx_http_evenkeel_candidate_t *ngx_http_evenkeel_decide(
    ngx_http_evenkeel_peer_data_t *ekp);
void ngx_http_evenkeel_fall_back(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_uint_t cause);

/* ngx_http_evenkeel_exchange.c */

/* How an exchange ended that is just about to be given back: NGX_HTTP_EVENKEEL_SUCCESS... */
ngx_uint_t ngx_http_evenkeel_exchange(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_peer_connection_t *pc, ngx_uint_t state);
/* The first header of that name, or NULL. */
ngx_table_elt_t *ngx_http_evenkeel_find(ngx_list_t *headers, const char *name);

/* ngx_http_evenkeel_feedback.c */

void ngx_http_evenkeel_finish(ngx_http_evenkeel_peer_data_t *ekp,
    ngx_peer_connection_t *pc, ngx_uint_t state);
ngx_int_t ngx_http_evenkeel_init_filters(ngx_conf_t *cf);

/* ngx_http_evenkeel_hosts.c */

/* Makes room for the hosts, and checks that the zone has room for them; writes nothing. */
ngx_int_t ngx_http_evenkeel_init_hosts(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);
/* The configuration is in force: registers its servers; those that it lacks make room. */
void ngx_http_evenkeel_take_hosts(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);
/* Keeps up with servers that come and go; the primary list must be locked. */
void ngx_http_evenkeel_follow(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);
uint64_t ngx_http_evenkeel_host_key(ngx_http_upstream_rr_peer_t *peer);

/* ngx_http_evenkeel_peer.c */

ngx_int_t ngx_http_evenkeel_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);

/* ngx_http_evenkeel_places.c */

/* Takes a row of the ledger for this worker, or a place where it waits for one. */
void ngx_http_evenkeel_join(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log);
/* Takes back what killed workers have under way. One worker does it for all. */
void ngx_http_evenkeel_sweep(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log);
/* Workers without a row, whose requests are not counted. */
ngx_uint_t ngx_http_evenkeel_count_waiting(ngx_http_evenkeel_srv_conf_t *conf);

/* ngx_http_evenkeel_request.c */

void ngx_http_evenkeel_describe(ngx_http_evenkeel_peer_data_t *ekp);
/* A count that a variable holds; NGX_DECLINED where it holds none, or 0. */
ngx_int_t ngx_http_evenkeel_tokens(ngx_http_request_t *r,
    ngx_http_complex_value_t *value, uint32_t *tokens);

/* ngx_http_evenkeel_scale.c */

char *ngx_http_evenkeel_scale(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* ngx_http_evenkeel_status.c */

char *ngx_http_evenkeel_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/* ngx_http_evenkeel_telemetry.c */

void ngx_http_evenkeel_read_telemetry(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);

/* ngx_http_evenkeel_timer.c */

ngx_int_t ngx_http_evenkeel_start_timers(ngx_cycle_t *cycle);
/* Tells the upstream the time: slow starts and the demand go on. */
void ngx_http_evenkeel_tell_time(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log);
/* Whether this worker does what one of them does for all. */
ngx_uint_t ngx_http_evenkeel_keeps_time(ngx_http_evenkeel_srv_conf_t *conf);

/* ngx_http_evenkeel_variables.c */

ngx_int_t ngx_http_evenkeel_add_variables(ngx_conf_t *cf);
const char *ngx_http_evenkeel_reason(ngx_uint_t reason);

/* ngx_http_evenkeel_worker.c */

ngx_int_t ngx_http_evenkeel_init_process(ngx_cycle_t *cycle);
/* The next upstream that the module serves, from *next on; NULL after the last. */
ngx_http_evenkeel_srv_conf_t *ngx_http_evenkeel_upstream(ngx_cycle_t *cycle,
    ngx_uint_t *next);
uint64_t ngx_http_evenkeel_now_ns(void);
uint64_t ngx_http_evenkeel_now_us(void);

/* ngx_http_evenkeel_zone.c */

ngx_int_t ngx_http_evenkeel_add_zone(ngx_conf_t *cf,
    ngx_http_evenkeel_srv_conf_t *conf, ngx_str_t *name, size_t size);
/* Whether the zone is still what ngx_http_evenkeel_add_zone() made it. */
ngx_uint_t ngx_http_evenkeel_owns_zone(ngx_http_evenkeel_srv_conf_t *conf);
ngx_int_t ngx_http_evenkeel_init_module(ngx_cycle_t *cycle);


extern ngx_module_t  ngx_http_evenkeel_module;


#endif /* NGX_HTTP_EVENKEEL_H */

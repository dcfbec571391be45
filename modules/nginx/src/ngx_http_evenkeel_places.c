/*
 * The places of workers in a zone. A worker's requests are counted in a row of the zone's
 * ledger, so that they can be taken back when it is killed; the places say which process
 * has which row. There are rows for several generations of workers. One that finds none
 * waits at a place without a row, where it can be seen, and goes by NGINX's own counts of
 * connections until a row comes free.
 *
 *     places: | row 0 | row 1 | ... | row processes_max - 1 | waiting 0 | ... |
 *
 * A place holds the mark of its process: 0, or its number and, where it is known, when it
 * started, since numbers are used again. A place changes hands by compare-and-swap alone.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


/* One sweep of so many looks for numbers that were used again, which costs more. */
#define NGX_HTTP_EVENKEEL_THOROUGH_SWEEP  16


static ngx_uint_t ngx_http_evenkeel_take_place(
    ngx_http_evenkeel_shared_t *shared, ngx_uint_t from, ngx_uint_t to);
static void ngx_http_evenkeel_leave_place(ngx_http_evenkeel_srv_conf_t *conf);
static ngx_uint_t ngx_http_evenkeel_join_row(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_uint_t row, ngx_log_t *log);
static ngx_atomic_uint_t ngx_http_evenkeel_own_mark(void);
static ngx_uint_t ngx_http_evenkeel_lives(ngx_atomic_uint_t mark,
    ngx_uint_t thorough);
#if (NGX_LINUX && NGX_PTR_SIZE == 8)
static uint32_t ngx_http_evenkeel_started(ngx_pid_t pid);
#endif


void
ngx_http_evenkeel_join(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    ngx_uint_t                   place, had_none;
    ngx_http_evenkeel_shared_t  *shared;

    shared = conf->shared;
    had_none = (conf->place == NGX_HTTP_EVENKEEL_NO_PLACE);

    if (conf->place >= shared->processes_max) {
        place = ngx_http_evenkeel_take_place(shared, 0, shared->processes_max);

        if (place != NGX_HTTP_EVENKEEL_NO_PLACE) {
            ngx_http_evenkeel_leave_place(conf);
            conf->place = place;
        }
    }

    if (conf->place < shared->processes_max) {
        conf->counts = ngx_http_evenkeel_join_row(conf, conf->place, log);
        return;
    }

    if (!had_none) {
        return;
    }

    conf->place = ngx_http_evenkeel_take_place(shared, shared->processes_max,
                                               shared->processes_max
                                               + NGX_HTTP_EVENKEEL_WAITING_MAX);

    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "zone \"%V\" has rows for %uD workers, all taken by workers "
                  "of former configurations: this one goes by NGINX's own "
                  "counts until one is free (see worker_shutdown_timeout)",
                  &conf->shm_zone->shm.name, shared->processes_max);
}


static ngx_uint_t
ngx_http_evenkeel_take_place(ngx_http_evenkeel_shared_t *shared,
    ngx_uint_t from, ngx_uint_t to)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  mark, own;

    own = ngx_http_evenkeel_own_mark();

    for (i = from; i < to; i++) {
        mark = shared->places[i];

        if ((mark == 0 || !ngx_http_evenkeel_lives(mark, 1))
            && ngx_atomic_cmp_set(&shared->places[i], mark, own))
        {
            return i;
        }
    }

    return NGX_HTTP_EVENKEEL_NO_PLACE;
}


static void
ngx_http_evenkeel_leave_place(ngx_http_evenkeel_srv_conf_t *conf)
{
    if (conf->place != NGX_HTTP_EVENKEEL_NO_PLACE) {
        (void) ngx_atomic_cmp_set(&conf->shared->places[conf->place],
                                  ngx_http_evenkeel_own_mark(), 0);
    }
}


/* Takes over the row, which is marked as ours; 0 if others are in the way. */
static ngx_uint_t
ngx_http_evenkeel_join_row(ngx_http_evenkeel_srv_conf_t *conf, ngx_uint_t row,
    ngx_log_t *log)
{
    ek_code   code;
    uint32_t  taken_back;

    code = ek_upstream_join(conf->shared->upstream, (uint32_t) row, &taken_back);

    if (code != EK_CODE_OK) {

        if (code != EK_CODE_BUSY) {
            ngx_log_error(NGX_LOG_ERR, log, 0, "zone \"%V\", row %ui: %s",
                          &conf->shm_zone->shm.name, row, ek_strerror(code));
        }

        return 0;
    }

    if (taken_back) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "evenkeel: %uD requests of a dead worker taken back",
                      taken_back);
    }

    return 1;
}


void
ngx_http_evenkeel_sweep(ngx_http_evenkeel_srv_conf_t *conf, ngx_log_t *log)
{
    ngx_uint_t                   i, thorough;
    ngx_atomic_uint_t            mark, own;
    ngx_http_evenkeel_shared_t  *shared;

    shared = conf->shared;
    own = ngx_http_evenkeel_own_mark();
    thorough = (conf->sweeps++ % NGX_HTTP_EVENKEEL_THOROUGH_SWEEP == 0);

    for (i = 0;
         i < shared->processes_max + NGX_HTTP_EVENKEEL_WAITING_MAX;
         i++)
    {
        mark = shared->places[i];

        /* A second place of ours is one that was swept, and others were in the way. */

        if (mark == 0 || i == conf->place
            || (mark != own && ngx_http_evenkeel_lives(mark, thorough)))
        {
            continue;
        }

        if (mark != own && !ngx_atomic_cmp_set(&shared->places[i], mark, own)) {
            continue;
        }

        if (i >= shared->processes_max
            || ngx_http_evenkeel_join_row(conf, i, log))
        {
            (void) ngx_atomic_cmp_set(&shared->places[i], own, 0);
        }
    }
}


ngx_uint_t
ngx_http_evenkeel_count_waiting(ngx_http_evenkeel_srv_conf_t *conf)
{
    ngx_uint_t  i, n;

    n = 0;

    for (i = 0; i < NGX_HTTP_EVENKEEL_WAITING_MAX; i++) {
        n += (conf->shared->places[conf->shared->processes_max + i] != 0);
    }

    return n;
}


static ngx_atomic_uint_t
ngx_http_evenkeel_own_mark(void)
{
    static ngx_atomic_uint_t  mark;
    static ngx_pid_t          pid;

    if (pid != ngx_pid) {
        pid = ngx_pid;
        mark = (ngx_atomic_uint_t) pid;

#if (NGX_LINUX && NGX_PTR_SIZE == 8)
        mark |= (ngx_atomic_uint_t) ngx_http_evenkeel_started(pid) << 32;
#endif
    }

    return mark;
}


static ngx_uint_t
ngx_http_evenkeel_lives(ngx_atomic_uint_t mark, ngx_uint_t thorough)
{
    ngx_pid_t  pid;

#if (NGX_LINUX && NGX_PTR_SIZE == 8)
    uint32_t   started, now;
#endif

    pid = (ngx_pid_t) (mark & 0x7fffffff);

    if (kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH) {
        return 0;
    }

#if (NGX_LINUX && NGX_PTR_SIZE == 8)

    started = (uint32_t) (mark >> 32);

    if (thorough && started != 0) {
        now = ngx_http_evenkeel_started(pid);

        return now == 0 || now == started;
    }

#endif

    return 1;
}


#if (NGX_LINUX && NGX_PTR_SIZE == 8)

/*
 * When a process started, in ticks since the machine did, modulo 2^32: field 22 of
 * /proc/PID/stat, proc(5). 0 if it cannot be known; UINT32_MAX for a dead one that its
 * parent has not waited for yet.
 */
static uint32_t
ngx_http_evenkeel_started(ngx_pid_t pid)
{
    u_char        *p, *last;
    u_char         path[sizeof("/proc//stat") + NGX_INT64_LEN];
    u_char         text[1024];
    ssize_t        n;
    ngx_fd_t       fd;
    ngx_uint_t     field;
    uint64_t       ticks;

    *ngx_sprintf(path, "/proc/%P/stat", pid) = '\0';

    fd = ngx_open_file(path, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return 0;
    }

    n = ngx_read_fd(fd, text, sizeof(text));

    (void) ngx_close_file(fd);

    /* The name, in parentheses, may hold anything; fields are counted from behind it. */

    last = text + ngx_max(n, 0);

    for (p = last; p > text && p[-1] != ')'; p--) { /* void */ }

    if (p == text) {
        return 0;
    }

    for (field = 2; p < last && field < 22; p++) {
        if (*p != ' ') {
            continue;
        }

        field++;

        if (field == 3 && p + 1 < last && (p[1] == 'Z' || p[1] == 'X')) {
            return UINT32_MAX;
        }
    }

    for (ticks = 0; p < last && *p >= '0' && *p <= '9'; p++) {
        ticks = ticks * 10 + (*p - '0');
    }

    return ticks ? ngx_max((uint32_t) ticks, 1) : 0;
}

#endif

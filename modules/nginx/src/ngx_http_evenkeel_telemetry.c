/*
 * The telemetry file that evenkeel-agent writes: one worker hands its reports to the state
 * that all of them share.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


/*
 * The file is read, not mapped: memory mapped from a file that somebody cuts short would
 * kill the worker. A report that changes while it is read fails its check and is skipped.
 */
void
ngx_http_evenkeel_read_telemetry(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_log_t *log)
{
    ssize_t          n;
    ngx_fd_t         fd;
    ek_code          code;
    ngx_file_info_t  fi;

    /* An agent that is not there yet: reports grow old, local signals remain. */

    fd = ngx_open_file(conf->telemetry.data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                       NGX_FILE_OPEN, 0);
    if (fd == NGX_INVALID_FILE) {
        return;
    }

    /* What is no regular file has no end, or none in time. */

    n = (ngx_fd_info(fd, &fi) != NGX_FILE_ERROR && ngx_is_file(&fi))
        ? ngx_read_fd(fd, conf->telemetry_buffer,
                      NGX_HTTP_EVENKEEL_TELEMETRY_MAX)
        : 0;

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &conf->telemetry);
    }

    if (n <= 0) {
        code = EK_CODE_REPORT_FORMAT;
        goto done;
    }

    code = ek_telemetry_file_apply(conf->telemetry_buffer, (size_t) n,
                                   conf->shared->upstream,
                                   ngx_http_evenkeel_now_us(), NULL);

done:

    /* Once for each kind of trouble, not fifty times a second. */

    if (code != EK_CODE_OK && (ngx_int_t) code != conf->telemetry_code) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "telemetry file \"%V\" is not read: %s",
                      &conf->telemetry, ek_strerror(code));
    }

    conf->telemetry_code = code;
}

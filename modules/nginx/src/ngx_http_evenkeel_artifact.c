/*
 * Artifacts: read whole into memory of their own and validated there, at the start and,
 * with "evenkeel_watch on", whenever another file has been renamed to that name.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */

#include "ngx_http_evenkeel.h"


#define NGX_HTTP_EVENKEEL_ARTIFACT_MAX  (64 * 1024 * 1024)


static u_char *ngx_http_evenkeel_read(ngx_str_t *path,
    ngx_http_evenkeel_artifact_t *artifact, u_char *why, u_char *last,
    u_char **bytes);
static ngx_int_t ngx_http_evenkeel_allocate(
    ngx_http_evenkeel_artifact_t *artifact, u_char **bytes);


ngx_int_t
ngx_http_evenkeel_load(ngx_str_t *path, ngx_http_evenkeel_artifact_t *artifact,
    ngx_log_t *log, ngx_str_t *reason)
{
    void     *storage;
    u_char   *bytes, *p, *last;
    ek_code   code;

    last = reason->data + NGX_MAX_ERROR_STR;

    if (ek_version() != EVENKEEL_VERSION) {
        p = ngx_slprintf(reason->data, last,
                         "the module was compiled for libevenkeel %ui and "
                         "linked with %uD", (ngx_uint_t) EVENKEEL_VERSION,
                         ek_version());
        reason->len = p - reason->data;
        return NGX_ERROR;
    }

    artifact->pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, log);
    if (artifact->pool == NULL) {
        p = ngx_slprintf(reason->data, last, "no memory");
        goto failed;
    }

    p = ngx_http_evenkeel_read(path, artifact, reason->data, last, &bytes);
    if (p != NULL) {
        goto failed;
    }

    storage = ngx_pmemalign(artifact->pool, ek_model_size(),
                            EK_MODEL_ALIGNMENT);
    if (storage == NULL) {
        p = ngx_slprintf(reason->data, last, "no memory");
        goto failed;
    }

    code = ek_model_load(bytes, artifact->size, storage, ek_model_size(),
                         &artifact->model);

    if (code != EK_CODE_OK) {
        p = ngx_slprintf(reason->data, last, "is refused: %s",
                         ek_strerror(code));
        goto failed;
    }

    artifact->identity.struct_size = sizeof(ek_identity);
    (void) ek_model_identity(artifact->model, &artifact->identity);

    return NGX_OK;

failed:

    reason->len = p - reason->data;

    ngx_http_evenkeel_unload(artifact);

    return NGX_ERROR;
}


/* NULL if all went well, else the end of what is wrong. */
static u_char *
ngx_http_evenkeel_read(ngx_str_t *path, ngx_http_evenkeel_artifact_t *artifact,
    u_char *why, u_char *last, u_char **bytes)
{
    u_char           *p;
    ssize_t           n;
    ngx_file_t        file;
    ngx_file_info_t   fi;

    ngx_memzero(&file, sizeof(ngx_file_t));
    file.name = *path;
    file.log = artifact->pool->log;

    /* Not blocking, so that a pipe by that name cannot stop the start. */
    file.fd = ngx_open_file(path->data, NGX_FILE_RDONLY|NGX_FILE_NONBLOCK,
                            NGX_FILE_OPEN, 0);

    if (file.fd == NGX_INVALID_FILE) {
        p = ngx_slprintf(why, last, "cannot be opened (%d: ", ngx_errno);
        p = ngx_strerror(ngx_errno, p, last - p);
        return ngx_slprintf(p, last, ")");
    }

    p = NULL;

    if (ngx_fd_info(file.fd, &fi) == NGX_FILE_ERROR) {
        p = ngx_slprintf(why, last, "cannot be examined");
        goto done;
    }

    artifact->uniq = ngx_file_uniq(&fi);
    artifact->mtime = ngx_file_mtime(&fi);
    artifact->size = ngx_file_size(&fi);

    if (!ngx_is_file(&fi)) {
        p = ngx_slprintf(why, last, "is not a regular file");
        goto done;
    }

    if (artifact->size > NGX_HTTP_EVENKEEL_ARTIFACT_MAX) {
        p = ngx_slprintf(why, last, "has %O bytes, more than any artifact",
                         artifact->size);
        goto done;
    }

    if (ngx_http_evenkeel_allocate(artifact, bytes) != NGX_OK) {
        p = ngx_slprintf(why, last, "no memory");
        goto done;
    }

    n = ngx_read_file(&file, *bytes, (size_t) artifact->size, 0);

    if (n != (ssize_t) artifact->size) {
        p = ngx_slprintf(why, last, "has only %z bytes of %O", n,
                         artifact->size);
    }

done:

    if (ngx_close_file(file.fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, artifact->pool->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", path);
    }

    return p;
}


static ngx_int_t
ngx_http_evenkeel_allocate(ngx_http_evenkeel_artifact_t *artifact,
    u_char **bytes)
{
    *bytes = ngx_pmemalign(artifact->pool, ngx_max(artifact->size, 1),
                           EK_MODEL_ALIGNMENT);

    return (*bytes != NULL) ? NGX_OK : NGX_ERROR;
}


void
ngx_http_evenkeel_unload(ngx_http_evenkeel_artifact_t *artifact)
{
    if (artifact->pool == NULL) {
        return;
    }

    /* What was the log when the pool was made may have gone with its cycle. */

    artifact->pool->log = ngx_cycle->log;

    ngx_destroy_pool(artifact->pool);

    artifact->pool = NULL;
    artifact->model = NULL;
}


ngx_int_t
ngx_http_evenkeel_scratch(ngx_http_evenkeel_srv_conf_t *conf,
    ngx_http_evenkeel_artifact_t *artifact, void **scratch, size_t *size)
{
    *scratch = NULL;
    *size = 0;

    if (artifact->model == NULL) {
        return NGX_OK;
    }

    *size = ek_scratch_size(artifact->model, (uint32_t) conf->hosts_max);

    *scratch = ngx_pmemalign(artifact->pool, ngx_max(*size, 1),
                             EK_MODEL_ALIGNMENT);

    return (*scratch != NULL) ? NGX_OK : NGX_ERROR;
}


void
ngx_http_evenkeel_announce(ngx_http_evenkeel_srv_conf_t *conf,
    const char *verb, ngx_log_t *log)
{
    ngx_str_t     name;
    ek_identity  *identity;

    identity = &conf->artifact.identity;
    name = ngx_http_evenkeel_artifact_name(conf);

    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "artifact \"%V\" %s: %V%s%s%s%s%s%s, checksum %08xD%s%s",
                  &conf->path, verb, &name,
                  identity->version[0] ? ", " : "", identity->version,
                  identity->made_by[0] ? ", " : "", identity->made_by,
                  identity->date[0] ? ", " : "", identity->date,
                  identity->checksum,
                  identity->trace[0] ? ", trained on " : "", identity->trace);
}


/* As its metadata has it, or else the file's, without what stands behind a dot. */
ngx_str_t
ngx_http_evenkeel_artifact_name(ngx_http_evenkeel_srv_conf_t *conf)
{
    u_char     *begin, *end;
    ngx_str_t   name;

    if (conf->artifact.identity.name[0]) {
        name.data = (u_char *) conf->artifact.identity.name;
        name.len = ngx_strlen(name.data);
        return name;
    }

    end = conf->path.data + conf->path.len;

    for (begin = end; begin > conf->path.data && begin[-1] != '/'; begin--) {
        /* void */
    }

    name.data = begin;
    name.len = end - begin;

    for (end = begin + name.len; end > begin; end--) {
        if (end[-1] == '.' && end - 1 > begin) {
            name.len = end - 1 - begin;
            break;
        }
    }

    return name;
}

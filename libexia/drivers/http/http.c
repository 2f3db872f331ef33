/* One run has a line: a multi handle of libcurl with its connections, taken from those that are free.  The
 * calling thread drives all of its exchanges, so no thread is made and the progress is told in the caller's.
 *
 *     WAITING --(its time)--> RUNNING --answer--> finish --> OVER or WAITING
 *        ^                       |
 *        +------ back-off -------+  no answer, or one that says "later" */
#include "drivers/http/http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/http/given.h"

enum {
    MOST_ATTEMPTS = 7,
    FEW_ATTEMPTS =
        5, /* less than a second, to reach a server that never answered: is it the right one? */
    MOST_STALLS = 2, /* attempts in which nothing moved; each may take half of what a stall may */
    FIRST_DELAY_MS = 20, /* then three times the last: in all some seconds */
    LONGEST_DELAY_MS = 10000,
    LONGEST_AFTER_MS = 60000, /* of what a server asks for */
    POLL_MS = 100,
    TRANSFER_BUFFER = 512 << 10,
    LONGEST_HEAD = 64 << 10,
};

typedef enum attempt_state { WAITING, RUNNING, OVER } attempt_state;

typedef struct exia__attempt {
    exia__exchange *exchange;
    CURL *easy;
    struct curl_slist *headers;
    attempt_state state;
    int attempts, stalls;
    int64_t not_before_ms, moved_ms;
    curl_off_t moved; /* bytes in both directions, by which a stall is seen */
    int head_whole;   /* the empty line behind the head came */
    exia_status own;  /* a failure of ours in a callback */
    char said[CURL_ERROR_SIZE];
} attempt;

typedef struct line {
    struct line *next;
    CURLM *multi;
} line;

struct exia__http {
    pthread_mutex_t lock;
    atomic_int answered; /* the server did, once */
    line *free_lines;
    uint64_t seed;
    char *shown, *ca_file;
};

/* ---- no signal ------------------------------------------------------------------------------ */

/* libcurl before 7.87 lets OpenSSL write to its sockets, which raises SIGPIPE where the server has gone. */
typedef struct pipe_signal {
    sigset_t before, pending;
} pipe_signal;

static void hold_pipe_signal(pipe_signal *held)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&held->pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &held->before);
}

static void release_pipe_signal(const pipe_signal *held)
{
    static const struct timespec now = {0};
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    while (!sigismember(&held->pending, SIGPIPE) && sigtimedwait(&pipe, NULL, &now) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, &held->before, NULL);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static exia_status take_line(line **out, exia__http *http, exia_error *err)
{
    pthread_mutex_lock(&http->lock);
    *out = http->free_lines;
    if (*out != NULL)
        http->free_lines = (*out)->next;
    pthread_mutex_unlock(&http->lock);
    if (*out != NULL)
        return EXIA_OK;
    line *made = exia__zeroed(1, sizeof *made);
    if (made == NULL)
        return exia__fail_memory(err);
    made->multi = curl_multi_init();
    if (made->multi == NULL) {
        exia__release(made);
        return exia__fail_memory(err);
    }
    *out = made;
    return EXIA_OK;
}

static void give_line(exia__http *http, line *used)
{
    pthread_mutex_lock(&http->lock);
    used->next = http->free_lines;
    http->free_lines = used;
    pthread_mutex_unlock(&http->lock);
}

static uint64_t next_random(exia__http *http)
{
    pthread_mutex_lock(&http->lock);
    http->seed ^= http->seed << 13;
    http->seed ^= http->seed >> 7;
    http->seed ^= http->seed << 17;
    uint64_t got = http->seed;
    pthread_mutex_unlock(&http->lock);
    return got;
}

exia_status exia__http_open(exia__http **out, const exia__http_options *options, exia_error *err)
{
    char token[33] = "";
    *out = NULL;
    exia__http *http = exia__zeroed(1, sizeof *http);
    if (http == NULL)
        return exia__fail_memory(err);
    pthread_mutex_init(&http->lock, NULL);
    exia_status rc = exia__text_copy(&http->shown, options->shown, err);
    if (rc == EXIA_OK && options->ca_file != NULL)
        rc = exia__text_copy(&http->ca_file, options->ca_file, err);
    http->seed = options->seed;
    if (rc == EXIA_OK && http->seed == 0) {
        rc = exia__given->token(token, err);
        token[16] = '\0';
        http->seed = strtoull(token, NULL, 16) | 1;
    }
    if (rc == EXIA_OK)
        *out = http;
    else
        exia__http_free(http);
    return rc;
}

static void drop(exia__http *http, int ours)
{
    pipe_signal held;
    hold_pipe_signal(&held); /* to close is to say so */
    while (http->free_lines != NULL) {
        line *next = http->free_lines->next;
        if (ours)
            curl_multi_cleanup(http->free_lines->multi);
        exia__release(http->free_lines);
        http->free_lines = next;
    }
    exia__release(http->shown);
    exia__release(http->ca_file);
    if (ours)
        pthread_mutex_destroy(&http->lock);
    exia__release(http);
    release_pipe_signal(&held);
}

void exia__http_free(exia__http *http)
{
    if (http != NULL)
        drop(http, 1);
}

void exia__http_abandon(exia__http *http)
{
    if (http != NULL)
        drop(http, 0);
}

/* ---- one exchange --------------------------------------------------------------------------- */

static exia_status add_line(attempt *a, const char *text, exia_error *err)
{
    struct curl_slist *more = curl_slist_append(a->headers, text);
    if (more == NULL)
        return exia__fail_memory(err);
    a->headers = more;
    return EXIA_OK;
}

exia_status exia__exchange_header(exia__exchange *x, const char *name, const char *value,
                                  exia_error *err)
{
    char *text = NULL;
    exia_status rc = exia__text_format(&text, err, "%s: %s", name, value);
    if (rc == EXIA_OK)
        rc = add_line(x->attempt, text, err);
    exia__release(text);
    return rc;
}

void exia__exchange_answer(char *out, size_t size, const exia__exchange *x, const char *name)
{
    size_t length = strlen(name), used = 0;
    const char *found = NULL;
    for (const char *at = x->head.data; at != NULL && *at != '\0';) {
        const char *end = strchr(at, '\n');
        if (strncasecmp(at, name, length) == 0 && at[length] == ':')
            found = at + length + 1;
        at = end ? end + 1 : NULL;
    }
    if (found != NULL) {
        found += strspn(found, " \t");
        used = strcspn(found, "\r\n");
        used = used < size ? used : size - 1;
        memcpy(out, found, used);
    }
    out[used] = '\0';
}

void exia__exchange_again(exia__exchange *x)
{
    x->attempt->state = WAITING;
}

void exia__exchange_free(exia__exchange *x)
{
    exia__buffer_free(&x->url);
    exia__buffer_free(&x->head);
    exia__buffer_free(&x->text);
}

static size_t on_head(char *data, size_t size, size_t count, void *payload)
{
    attempt *a = payload;
    exia__buffer *head = &a->exchange->head;
    if (size * count >= 5 && strncasecmp(data, "HTTP/", 5) == 0)
        head->size = 0; /* what came before was "100 Continue" */
    /* a server that refuses early may leave the rest of the body unread, and take it for a request */
    if (a->exchange->body_size > 0 && head->size == 0 && size * count > 9 && data[9] >= '4')
        curl_easy_setopt(a->easy, CURLOPT_FORBID_REUSE, 1L);
    a->head_whole = size * count <= 2 && data[size * count - 1] == '\n'; /* the empty line */
    if (head->size + size * count > LONGEST_HEAD)
        a->own = EXIA_ECORRUPT;
    else
        a->own = exia__buffer_append(head, data, size * count, NULL);
    return a->own < 0 ? 0 : size * count;
}

static size_t on_text(char *data, size_t size, size_t count, void *payload)
{
    attempt *a = payload;
    exia__buffer *text = &a->exchange->text;
    curl_off_t all = 0;
    if (text->size == 0 && /* room for it in one go */
        curl_easy_getinfo(a->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &all) == CURLE_OK &&
        all > 0 && (uint64_t)all <= a->exchange->room)
        a->own = exia__buffer_reserve(text, (size_t)all, NULL);
    if (text->size + size * count > a->exchange->room)
        a->own = EXIA_ECORRUPT;
    else if (a->own == EXIA_OK)
        a->own = exia__buffer_append(text, data, size * count, NULL);
    return a->own < 0 ? 0 : size * count;
}

static int on_move(void *payload, curl_off_t to_get, curl_off_t got, curl_off_t to_send,
                   curl_off_t sent)
{
    attempt *a = payload;
    (void)to_get;
    (void)to_send;
    if (got + sent != a->moved) {
        a->moved = got + sent;
        a->moved_ms = exia__given->clock_ms();
    }
    return 0;
}

/* A program that the caller starts does not get the connection. */
static int on_socket(void *payload, curl_socket_t fd, curlsocktype purpose)
{
    (void)payload;
    (void)purpose;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    return CURL_SOCKOPT_OK;
}

static exia_status set_up(attempt *a, const exia__http *http, int64_t stall_ms, exia_error *err)
{
    exia__exchange *x = a->exchange;
    CURL *easy = a->easy;
    int head = strcmp(x->method, "HEAD") == 0;
    CURLcode rc = CURLE_OK;
    curl_easy_reset(easy);
#define SET(option, value) rc = rc == CURLE_OK ? curl_easy_setopt(easy, option, value) : rc
    SET(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075500
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    SET(CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_URL, x->url.data);
    SET(CURLOPT_PATH_AS_IS, 1L); /* the path is what was signed */
    SET(CURLOPT_USERAGENT, "exia");
    SET(CURLOPT_HTTPHEADER, a->headers);
    SET(CURLOPT_CUSTOMREQUEST, head ? NULL : x->method);
    if (head) {
        SET(CURLOPT_NOBODY, 1L);
    } else if (x->body != NULL) {
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body_size);
        SET(CURLOPT_POSTFIELDS, x->body);
    }
    SET(CURLOPT_BUFFERSIZE, (long)TRANSFER_BUFFER);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, (long)TRANSFER_BUFFER);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(stall_ms / 2 < 1 ? 1 : stall_ms / 2));
    if (http->ca_file != NULL)
        SET(CURLOPT_CAINFO, http->ca_file);
    SET(CURLOPT_ERRORBUFFER, a->said);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, a);
    SET(CURLOPT_WRITEFUNCTION, on_text);
    SET(CURLOPT_WRITEDATA, a);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, on_move);
    SET(CURLOPT_XFERINFODATA, a);
    SET(CURLOPT_SOCKOPTFUNCTION, on_socket);
    SET(CURLOPT_PRIVATE, a);
#undef SET
    return rc == CURLE_OK ? EXIA_OK
                          : exia__fail(err, rc == CURLE_OUT_OF_MEMORY ? EXIA_ENOMEM : EXIA_EINVAL,
                                       rc, "%s: %s", http->shown, curl_easy_strerror(rc));
}

static exia_status begin(attempt *a, exia__http *http, line *used, int64_t stall_ms,
                         exia_error *err)
{
    exia__exchange *x = a->exchange;
    x->url.size = x->head.size = x->text.size = 0;
    x->status = 0;
    x->body = NULL;
    x->body_size = 0;
    a->own = EXIA_OK;
    a->head_whole = 0;
    a->said[0] = '\0';
    a->moved = 0;
    curl_slist_free_all(a->headers);
    a->headers = NULL;
    if (a->easy == NULL)
        a->easy = curl_easy_init();
    if (a->easy == NULL)
        return exia__fail_memory(err);
    exia_status rc = x->prepare(x, err);
    if (rc == EXIA_OK) /* no pause for "100 Continue", and no type that nobody asked for */
        rc = add_line(a, "Expect:", err);
    if (rc == EXIA_OK)
        rc = add_line(a, "Content-Type:", err);
    if (rc == EXIA_OK)
        rc = set_up(a, http, stall_ms, err);
    if (rc == EXIA_OK && curl_multi_add_handle(used->multi, a->easy) != CURLM_OK)
        rc = exia__fail_memory(err);
    if (rc == EXIA_OK) {
        a->state = RUNNING;
        a->moved_ms = exia__given->clock_ms();
    }
    return rc;
}

/* ---- what to do next ------------------------------------------------------------------------ */

/* Wait for another attempt; or, when there were enough or no time is left, fail as `why` says. */
static exia_status try_later(attempt *a, exia__http *http, const exia__course *course,
                             const exia_error *why, exia_error *err)
{
    curl_off_t after = 0;
    a->attempts++;
    int64_t delay = FIRST_DELAY_MS;
    for (int i = 1; i < a->attempts && delay < LONGEST_DELAY_MS; i++)
        delay *= 3;
    delay = delay < LONGEST_DELAY_MS ? delay : LONGEST_DELAY_MS;
    delay = delay / 2 + (int64_t)(next_random(http) % (uint64_t)(delay / 2 + 1));
    if (a->exchange->status != 0)
        curl_easy_getinfo(a->easy, CURLINFO_RETRY_AFTER, &after);
    if (after > LONGEST_AFTER_MS / 1000)
        after = LONGEST_AFTER_MS / 1000;
    if (after * 1000 > delay)
        delay = after * 1000;
    int lost = why->native == CURLE_COULDNT_CONNECT || why->native == CURLE_COULDNT_RESOLVE_HOST;
    int most = lost && !atomic_load(&http->answered) ? FEW_ATTEMPTS : MOST_ATTEMPTS;
    if (a->attempts >= most || a->stalls >= MOST_STALLS ||
        delay >= exia__given->work_left(course->work))
        return exia__fail(err, why->status, why->native, "%s", why->text);
    exia__log(EXIA_LOG_INFO, "http", "%s; attempt %d in %lld ms", why->text, a->attempts + 1,
              (long long)delay);
    a->not_before_ms = exia__given->clock_ms() + delay;
    a->state = WAITING;
    return EXIA_OK;
}

/* What a transfer without an answer means. */
static exia_status explain(exia_error *why, const attempt *a, const exia__http *http, CURLcode code)
{
    const char *said = a->said[0] ? a->said : curl_easy_strerror(code);
    if (a->own == EXIA_ENOMEM || code == CURLE_OUT_OF_MEMORY)
        return exia__fail_memory(why);
    switch (code) {
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return exia__fail(why, EXIA_EUNTRUSTED, code,
                          "%s: its certificate is not trusted: %s: if it is your own, name its "
                          "authority in SSL_CERT_FILE",
                          http->shown, said);
    case CURLE_URL_MALFORMAT:
        return exia__fail(why, EXIA_EINVAL, code, "%s: %s", http->shown, said);
    case CURLE_WRITE_ERROR:
        return exia__fail(why, EXIA_ECORRUPT, code, "%s answers with more than was asked for",
                          http->shown);
    default: /* the connection: refused, lost, cut, no HTTP */
        return exia__fail(why, EXIA_EUNAVAILABLE, code, "%s: %s", http->shown, said);
    }
}

static int says_later(long status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

static exia_status judge(attempt *a, exia__http *http, const exia__course *course, CURLcode code,
                         exia_error *err)
{
    exia__exchange *x = a->exchange;
    exia_error why = {0};
    if (code == CURLE_OK && !a->head_whole) { /* libcurl takes what was cut there for an answer */
        code = CURLE_PARTIAL_FILE;
        snprintf(a->said, sizeof a->said, "its answer ends in its head");
    }
    if (code != CURLE_OK) {
        exia_status rc = explain(&why, a, http, code);
        return rc == EXIA_EUNAVAILABLE ? try_later(a, http, course, &why, err)
                                       : exia__fail(err, rc, why.native, "%s", why.text);
    }
    atomic_store(&http->answered, 1);
    curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &x->status);
    exia_status rc = x->finish(x, &why);
    if (rc == EXIA_EUNAVAILABLE || (rc < 0 && says_later(x->status)))
        return try_later(a, http, course, &why, err);
    if (rc < 0)
        return exia__fail(err, rc, why.native, "%s", why.text);
    a->state = rc == EXIA_DONE ? OVER : WAITING;
    a->attempts = a->stalls = 0;
    a->not_before_ms = 0;
    return EXIA_OK;
}

/* Take what is over from the multi handle, and what stands still. */
static exia_status harvest(exia__http *http, line *used, attempt *all, size_t count,
                           const exia__course *course, int64_t stall_ms, exia_error *err)
{
    exia_status rc = EXIA_OK;
    int left = 0;
    CURLMsg *message = NULL;
    while (rc == EXIA_OK && (message = curl_multi_info_read(used->multi, &left)) != NULL) {
        attempt *a = NULL;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&a);
        curl_multi_remove_handle(used->multi, a->easy);
        a->state = OVER;
        int64_t began = exia__given->clock_ms();
        rc = judge(a, http, course, code, err);
        int64_t spent = exia__given->clock_ms() - began; /* by the driver, not by the server */
        for (size_t i = 0; i < count; i++)
            all[i].moved_ms += spent;
    }
    int64_t now = exia__given->clock_ms();
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        attempt *a = &all[i];
        exia_error why = {0};
        if (a->state != RUNNING || now - a->moved_ms < stall_ms / 2)
            continue;
        curl_multi_remove_handle(used->multi, a->easy);
        a->state = OVER;
        a->stalls++;
        a->exchange->status = 0;
        exia__fail(&why, EXIA_ETIMEOUT, 0, "%s: nothing came or went for %lld ms", http->shown,
                   (long long)(now - a->moved_ms));
        rc = try_later(a, http, course, &why, err);
    }
    return rc;
}

/* Begin what may begin. */
static exia_status advance(exia__http *http, line *used, attempt *all, size_t count,
                           int64_t stall_ms, exia_error *err)
{
    exia_status rc = EXIA_OK;
    int64_t now = exia__given->clock_ms();
    for (size_t i = 0; rc == EXIA_OK && i < count; i++) {
        if (all[i].state == WAITING && all[i].not_before_ms <= now)
            rc = begin(&all[i], http, used, stall_ms, err);
    }
    return rc;
}

/* How long nothing need be done; -1: never again, for all are over. */
static int64_t idle_ms(const attempt *all, size_t count)
{
    int64_t now = exia__given->clock_ms(), shortest = -1;
    for (size_t i = 0; i < count; i++) {
        int64_t wait = all[i].state == RUNNING ? POLL_MS : all[i].not_before_ms - now;
        wait = wait < 0 ? 0 : wait < POLL_MS ? wait : POLL_MS;
        if (all[i].state != OVER && (shortest < 0 || wait < shortest))
            shortest = wait;
    }
    return shortest;
}

exia_status exia__http_run(exia__http *http, exia__exchange *const *list, size_t count,
                           exia__course *course, exia_error *err)
{
    line *used = NULL;
    pipe_signal held;
    int64_t stall_ms = exia__given->work_stall(course->work);
    attempt *all = exia__zeroed(count, sizeof *all);
    exia_status rc = all ? take_line(&used, http, err) : exia__fail_memory(err);
    hold_pipe_signal(&held);
    for (size_t i = 0; all != NULL && i < count; i++) {
        all[i].exchange = list[i];
        list[i]->attempt = &all[i];
    }
    for (int64_t idle = 0; rc == EXIA_OK && idle >= 0;) {
        int running = 0;
        rc = exia__given->work_step(course->work, course->step, course->done, course->total, err);
        if (rc < 0)
            exia__prefix(err, rc, "%s", http->shown);
        if (rc == EXIA_OK)
            rc = advance(http, used, all, count, stall_ms, err);
        if (rc == EXIA_OK && curl_multi_perform(used->multi, &running) != CURLM_OK)
            rc = exia__fail_memory(err);
        if (rc == EXIA_OK)
            rc = harvest(http, used, all, count, course, stall_ms, err);
        idle = idle_ms(all, count);
        int64_t left = exia__given->work_left(course->work);
        if (rc == EXIA_OK && idle > 0)
            curl_multi_poll(used->multi, NULL, 0, (int)(idle < left ? idle : left), NULL);
    }
    for (size_t i = 0; all != NULL && i < count; i++) {
        if (all[i].state == RUNNING && all[i].easy != NULL)
            curl_multi_remove_handle(used->multi, all[i].easy);
        curl_easy_cleanup(all[i].easy);
        curl_slist_free_all(all[i].headers);
        list[i]->attempt = NULL;
    }
    if (used != NULL)
        give_line(http, used);
    exia__release(all);
    release_pipe_signal(&held);
    return rc;
}

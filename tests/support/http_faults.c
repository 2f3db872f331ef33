/* The faults: a plan that names the next requests, and what is done to them and to their replies. */
#include "support/http_faults.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct { /* of the test and of the server's threads */
    pthread_mutex_t lock;
    fake_answer_fn *server;
    void *payload;
    fault what;
    long requests, from, to; /* those that are hit */
    size_t at, reply, request;
    void (*act)(void);
    long act_at;
    int act_before;
} plan = {.lock = PTHREAD_MUTEX_INITIALIZER};

void faults_say_error(fake_reply *out, const char *status, const char *headers, const char *code,
                      int no_body)
{
    char xml[128];
    snprintf(xml, sizeof xml, "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code);
    fake_say(out, status, headers, xml, strlen(xml), no_body);
}

/* An answer without the server's.  Not zero: it was given. */
static int answer_for(fake_reply *out, const fake_request *request, fault what)
{
    static const char page[] = "<html><body>Welcome</body></html>";
    int head = strcmp(request->method, "HEAD") == 0;
    switch (what) {
    case DROP_REQUEST:
        break;
    case HANG:
        out->hang = 1;
        break;
    case SAY_500:
        fake_say(out, "500 Oops", "", "x", 1, head);
        break;
    case SAY_503:
        faults_say_error(out, "503 Slow Down", "", "SlowDown", head);
        break;
    case SAY_503_AFTER:
        fake_say(out, "503 Slow Down", "Retry-After: 1\r\n", "", 0, head);
        break;
    case SAY_429:
        fake_say(out, "429 Too Many Requests", "", "", 0, head);
        break;
    case REDIRECT:
        fake_say(out, "307 Elsewhere", "Location: http://127.0.0.1:1/other\r\n", "", 0, head);
        break;
    case EMPTY:
        fake_say(out, "200 OK", "", "", 0, head);
        break;
    case FOREIGN:
        fake_say(out, "200 OK", "Content-Type: text/html\r\n", page, sizeof page - 1, head);
        break;
    default:
        return 0;
    }
    return 1;
}

static void spoil(fake_reply *out, fault what, size_t at)
{
    if (what == CUT_REQUEST || what == DROP_REPLY)
        out->cut = 0;
    if (what == CUT_REPLY && at < out->size)
        out->cut = at;
    if (what == GARBAGE)
        memset(out->text, '\x7f', out->size);
    if (what == GARBLE && at < out->size)
        out->text[at] ^= 0x15;
    if (what == GARBAGE || what == GARBLE)
        out->close = 1;
    if (what == LATE)
        out->delay_ms = 50;
    if (what == DRIP)
        out->drip = 50;
    if (what == TWICE) {
        out->text = realloc(out->text, 2 * out->size + 1);
        if (out->text == NULL)
            abort();
        memcpy(out->text + out->size, out->text, out->size);
        out->size = out->cut = 2 * out->size;
    }
}

static void answer(fake_reply *out, const fake_request *request, void *payload)
{
    fake_request now = *request;
    (void)payload;
    pthread_mutex_lock(&plan.lock);
    long number = ++plan.requests;
    fault what = number >= plan.from && number <= plan.to ? plan.what : NONE;
    void (*act)(void) = number == plan.act_at ? plan.act : NULL;
    int before = plan.act_before;
    size_t at = plan.at;
    plan.request = strlen(request->head) + request->body_size;
    pthread_mutex_unlock(&plan.lock);
    if (act != NULL && before)
        act();
    if (answer_for(out, request, what) || (act != NULL && before))
        return;
    if (what == CUT_REQUEST)
        now.cut = at;
    plan.server(out, &now, plan.payload);
    pthread_mutex_lock(&plan.lock);
    plan.reply = out->size;
    pthread_mutex_unlock(&plan.lock);
    if (out->text != NULL)
        spoil(out, what, at);
    if (act != NULL) {
        act();
        out->cut = 0;
    }
}

int faults_start(fake_answer_fn *server, void *payload)
{
    plan.server = server;
    plan.payload = payload;
    plan.what = NONE;
    plan.requests = plan.from = plan.to = plan.act_at = 0;
    return fake_start(answer, NULL);
}

void faults_plan(fault what, long count, size_t at)
{
    faults_plan_after(what, 0, count, at);
}

void faults_plan_after(fault what, long spared, long count, size_t at)
{
    pthread_mutex_lock(&plan.lock);
    plan.what = what;
    plan.from = plan.requests + spared + 1;
    plan.to = plan.requests + spared + count;
    plan.at = at;
    pthread_mutex_unlock(&plan.lock);
}

void faults_act(void (*act)(void), long number, int before)
{
    pthread_mutex_lock(&plan.lock);
    plan.act = act;
    plan.act_at = plan.requests + number;
    plan.act_before = before;
    pthread_mutex_unlock(&plan.lock);
}

static size_t read_plan(const size_t *what)
{
    pthread_mutex_lock(&plan.lock);
    size_t got = *what;
    pthread_mutex_unlock(&plan.lock);
    return got;
}

long faults_requests(void)
{
    pthread_mutex_lock(&plan.lock);
    long got = plan.requests;
    pthread_mutex_unlock(&plan.lock);
    return got;
}

size_t faults_reply(void)
{
    return read_plan(&plan.reply);
}

size_t faults_request(void)
{
    return read_plan(&plan.request);
}

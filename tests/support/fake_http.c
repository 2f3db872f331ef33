/* One thread accepts, one serves each connection; answers are made one at a time. */
#include "support/fake_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 4096, HEAD_SIZE = 16384 };

static struct {
    int listener;
    pthread_t acceptor, servers[MOST_CONNECTIONS];
    int sockets[MOST_CONNECTIONS];
    size_t count;
    pthread_mutex_t lock;
    fake_answer_fn *answer;
    void *payload;
    long number;
} fake = {.listener = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

int fake_has(const fake_request *request, const char *name, const char *value)
{
    size_t length = strlen(name);
    for (const char *at = request->head; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncasecmp(at, name, length) == 0 && at[length] == ':')
            return value == NULL || strncmp(at + length + 1 + strspn(at + length + 1, " "), value,
                                            strlen(value)) == 0;
    }
    return 0;
}

void fake_say(fake_reply *out, const char *status, const char *headers, const void *body,
              size_t size, int no_body)
{
    char *text = NULL;
    int head =
        asprintf(&text, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n", status, headers, size);
    size_t kept = no_body ? 0 : size;
    if (head < 0 || (text = realloc(text, (size_t)head + kept + 1)) == NULL)
        abort();
    if (kept > 0)
        memcpy(text + head, body, kept);
    free(out->text);
    out->text = text;
    out->size = (size_t)head + kept;
    out->cut = out->size;
}

/* The head of a request, and then its body, to be freed.  Not zero: there is none any more. */
static int read_request(int fd, char *head, char **body_out, fake_request *out)
{
    size_t used = 0;
    char *end = NULL;
    head[0] = '\0';
    while ((end = strstr(head, "\r\n\r\n")) == NULL) {
        ssize_t got = used < HEAD_SIZE - 1 ? recv(fd, head + used, HEAD_SIZE - 1 - used, 0) : 0;
        if (got <= 0)
            return 1;
        used += (size_t)got;
        head[used] = '\0';
    }
    end += 4;
    const char *length = strcasestr(head, "\r\nContent-Length:");
    size_t body = length && length < end ? strtoull(length + 17, NULL, 10) : 0;
    size_t have = used - (size_t)(end - head);
    *body_out = malloc(body + 1);
    if (*body_out == NULL || have > body) /* nothing is sent before the answer came */
        return 1;
    memcpy(*body_out, end, have);
    *end = '\0';
    while (have < body) {
        ssize_t got = recv(fd, *body_out + have, body - have, 0);
        if (got <= 0)
            return 1;
        have += (size_t)got;
    }
    *out = (fake_request){.head = head, .body = *body_out, .body_size = body, .cut = SIZE_MAX};
    return sscanf(head, "%7s %2047s", out->method, out->target) != 2;
}

static int send_all(int fd, const char *text, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t now = send(fd, text + sent, size - sent, MSG_NOSIGNAL);
        if (now <= 0)
            return 1;
        sent += (size_t)now;
    }
    return 0;
}

static void reply_to(int fd, const fake_reply *reply)
{
    size_t step = reply->drip > 0 ? (size_t)reply->drip : SIZE_MAX;
    if (reply->delay_ms > 0)
        poll(NULL, 0, reply->delay_ms);
    for (size_t sent = 0; sent < reply->cut; sent += step) {
        size_t left = reply->cut - sent;
        if (send_all(fd, reply->text + sent, left < step ? left : step) != 0 || left <= step)
            return;
        poll(NULL, 0, 10);
    }
}

static void *serve(void *payload)
{
    size_t slot = (size_t)payload;
    int fd = fake.sockets[slot];
    char *head = malloc(HEAD_SIZE), *body = NULL;
    fake_request request;
    for (int more = 1; more && head != NULL && read_request(fd, head, &body, &request) == 0;) {
        fake_reply reply = {0};
        pthread_mutex_lock(&fake.lock);
        request.number = ++fake.number;
        fake.answer(&reply, &request, fake.payload);
        pthread_mutex_unlock(&fake.lock);
        if (reply.hang) {
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            poll(&wait, 1, -1);
        }
        more = !reply.hang && !reply.close && reply.text != NULL && reply.cut == reply.size;
        if (!reply.hang && reply.text != NULL)
            reply_to(fd, &reply);
        free(reply.text);
        free(body);
        body = NULL;
    }
    free(body);
    free(head);
    shutdown(fd, SHUT_RDWR);
    return NULL;
}

/* ---- a real server behind it ----------------------------------------------------------------- */

static int dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The request but for its end, and with the wish to end the connection, by which the answer's end is known. */
static int pass_on(int fd, const fake_request *request)
{
    static const char wish[] = "Connection: close\r\n";
    size_t line = strcspn(request->head, "\n") + 1, size = strlen(request->head);
    size_t cut = request->cut, rest = size - line;
    if (cut < size)
        return send_all(fd, request->head, cut);
    cut -= size;
    return send_all(fd, request->head, line) || send_all(fd, wish, sizeof wish - 1) ||
           send_all(fd, request->head + line, rest) ||
           send_all(fd, request->body, cut < request->body_size ? cut : request->body_size);
}

void fake_forward(fake_reply *out, const fake_request *request, void *payload)
{
    size_t room = 0;
    ssize_t got = 0;
    int fd = dial(*(const int *)payload);
    int cut = request->cut < strlen(request->head) + request->body_size;
    if (fd >= 0 && pass_on(fd, request) == 0 && !cut) {
        do {
            out->size += (size_t)got;
            room = out->size + 65536 > room ? 2 * room + 131072 : room;
            out->text = realloc(out->text, room);
            if (out->text == NULL)
                abort();
            got = recv(fd, out->text + out->size, room - out->size, 0);
        } while (got > 0);
    }
    if (out->size == 0) { /* it is away: then the connection ends here, too */
        free(out->text);
        out->text = NULL;
    }
    out->cut = out->size;
    out->close = 1;
    if (fd >= 0)
        close(fd);
}

static void *accept_all(void *payload)
{
    int fd = -1;
    (void)payload;
    while ((fd = accept(fake.listener, NULL, NULL)) >= 0) {
        if (fake.count == MOST_CONNECTIONS)
            abort();
        fake.sockets[fake.count] = fd;
        if (pthread_create(&fake.servers[fake.count], NULL, serve, (void *)fake.count) != 0)
            abort();
        fake.count++;
    }
    return NULL;
}

int fake_start(fake_answer_fn *answer, void *payload)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    fake.answer = answer;
    fake.payload = payload;
    fake.number = 0;
    fake.count = 0;
    fake.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fake.listener < 0 || bind(fake.listener, (struct sockaddr *)&address, size) != 0 ||
        listen(fake.listener, 128) != 0 ||
        getsockname(fake.listener, (struct sockaddr *)&address, &size) != 0 ||
        pthread_create(&fake.acceptor, NULL, accept_all, NULL) != 0)
        abort();
    return ntohs(address.sin_port);
}

void fake_stop(void)
{
    shutdown(fake.listener, SHUT_RDWR);
    pthread_join(fake.acceptor, NULL);
    close(fake.listener);
    for (size_t i = 0; i < fake.count; i++) {
        shutdown(fake.sockets[i], SHUT_RDWR);
        pthread_join(fake.servers[i], NULL);
        close(fake.sockets[i]);
    }
    fake.listener = -1;
}

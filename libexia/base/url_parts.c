/* The URL of a host taken apart.  Strict, for a URL that is read in two ways sends a secret to the wrong
 * host: what has a meaning must be encoded wherever it has none.
 *
 * All texts lie behind the struct, in one block. */
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/url.h"

typedef struct parser {
    exia_url *url;
    exia_url_option *options;
    char *room; /* where the next text goes */
} parser;

/* Decode a part.  Answers what is wrong with it, or NULL. */
static const char *take(const char **out, parser *p, const char *text, size_t size)
{
    char *end = exia__percent_decode_n(p->room, text, size);
    if (end == NULL)
        return "has a '%' without two hex digits";
    *out = p->room;
    p->room = end;
    return NULL;
}

static const char *take_host(parser *p, const char *text, size_t size)
{
    const char *end = text + size, *after = NULL, *problem = NULL;
    if (size > 0 && *text == '[') {
        size_t inside = strspn(text + 1, "0123456789abcdefABCDEF:.");
        after = text + 1 + inside;
        if (inside == 0 || after >= end || *after != ']')
            return "has a '[' that begins no IPv6 address";
        problem = take(&p->url->host, p, text + 1, inside);
        after++;
    } else {
        size_t inside = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789.-_");
        after = text + inside;
        if (inside == 0)
            return "has no host";
        problem = take(&p->url->host, p, text, inside);
    }
    if (problem != NULL || after == end)
        return problem;
    if (*after != ':')
        return "has a character that hosts cannot have";
    for (after++; after < end && *after >= '0' && *after <= '9' && p->url->port <= 65535; after++)
        p->url->port = p->url->port * 10 + (*after - '0');
    return after == end && p->url->port >= 1 && p->url->port <= 65535
               ? NULL
               : "has a port that is no number from 1 to 65535 (a '/' in a secret is %2F)";
}

static const char *take_authority(parser *p, const char *text, size_t size)
{
    const char *at = memchr(text, '@', size);
    const char *problem = NULL;
    if (at == NULL)
        return take_host(p, text, size);
    if (memchr(at + 1, '@', (size_t)(text + size - at - 1)) != NULL)
        return "has two '@': write %40 for one in a name or secret";
    const char *colon = memchr(text, ':', (size_t)(at - text));
    const char *end = colon ? colon : at;
    if (end == text)
        return "has no user in front of its '@'";
    problem = take(&p->url->user, p, text, (size_t)(end - text));
    if (problem == NULL && colon != NULL)
        problem = take(&p->url->secret, p, colon + 1, (size_t)(at - colon - 1));
    return problem ? problem : take_host(p, at + 1, (size_t)(text + size - at - 1));
}

static const char *take_options(parser *p, const char *text)
{
    const char *problem = NULL;
    for (const char *at = text; problem == NULL; at++) {
        exia_url_option *option = &p->options[p->url->option_count];
        size_t size = strcspn(at, "&"), name = strcspn(at, "=&");
        if (name == 0)
            return "has an option without a name";
        problem = take(&option->name, p, at, name);
        if (problem == NULL)
            problem =
                take(&option->value, p, at + name + (name < size), size - name - (name < size));
        for (size_t i = 0; problem == NULL && i < p->url->option_count; i++) {
            if (strcmp(p->options[i].name, option->name) == 0)
                problem = "has an option twice";
        }
        p->url->option_count++;
        at += size;
        if (*at == '\0')
            break;
    }
    return problem;
}

static const char *take_all(parser *p, const char *text, const char *scheme)
{
    const char *authority = text + strlen(scheme) + 3, *problem = NULL;
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~' || strchr("\"<>\\^`{|}#", *at) != NULL)
            return "has a character that must be written as %XX";
    }
    size_t size = strcspn(authority, "/?");
    const char *path = authority + size + (authority[size] == '/');
    size_t path_size = strcspn(path, "?");
    const char *query = path[path_size] == '?' ? path + path_size + 1 : NULL;
    problem = take(&p->url->scheme, p, scheme, strlen(scheme));
    if (problem == NULL)
        problem = take_authority(p, authority, size);
    if (problem == NULL)
        problem = take(&p->url->path, p, path, path_size);
    return problem == NULL && query != NULL ? take_options(p, query) : problem;
}

exia_status exia__url_open(exia_url **out, const char *url, exia_error *err)
{
    char *scheme = NULL, *shown = NULL;
    exia_url *made = NULL;
    *out = NULL;
    if (url == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the URL is NULL");
    exia_status rc = exia__url_redact(&shown, url, err);
    if (rc == EXIA_OK)
        rc = exia__url_scheme(&scheme, url, err);
    if (rc == EXIA_OK && scheme == NULL)
        rc = exia__fail(err, EXIA_EINVAL, 0, "\"%.100s\" has no scheme", shown);
    if (rc == EXIA_OK && strncmp(url + strlen(scheme), "://", 3) != 0) /* where is its secret? */
        rc = exia__fail(err, EXIA_EINVAL, 0, "a URL of %.40s has no \"://\" behind its scheme",
                        scheme);
    if (rc < 0)
        goto done;
    size_t options = 1;
    for (const char *at = url; *at != '\0'; at++)
        options += *at == '&';
    /* each text is no longer than it is in the URL, and two of an option end in one '&' there */
    size_t heads = sizeof(exia_url) + options * sizeof(exia_url_option);
    size_t texts = 2 * strlen(url) + strlen(shown) + 2 * options + 8;
    made = exia__zeroed(1, heads + texts);
    if (made == NULL) {
        rc = exia__fail_memory(err);
        goto done;
    }
    parser p = {
        .url = made, .options = (exia_url_option *)(made + 1), .room = (char *)made + heads};
    made->options = p.options;
    made->shown = strcpy(p.room, shown);
    p.room += strlen(shown) + 1;
    const char *problem = take_all(&p, url, scheme);
    if (problem != NULL) {
        rc = exia__fail(err, EXIA_EINVAL, 0, "%.120s %s", shown, problem);
    } else {
        *out = made;
        made = NULL;
    }
done:
    exia__release(made);
    exia__release(shown);
    exia__release(scheme);
    return rc;
}

/* Who asks: the keys in the URL, else those of the environment, else of the shared credentials file, as other
 * clients of AWS find them. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/memory.h"
#include "drivers/s3/s3.h"

enum { LONGEST_FILE = 1 << 20 };

static const char *environment(const char *name)
{
    const char *value = secure_getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* The text between white space, in place. */
static char *trim(char *text)
{
    text += strspn(text, " \t\r");
    size_t size = strlen(text);
    while (size > 0 && strchr(" \t\r", text[size - 1]) != NULL)
        text[--size] = '\0';
    return text;
}

/* Take what one line of the wanted profile says. */
static exia_status take_line(exia__s3 *self, char *line, exia_error *err)
{
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return EXIA_OK;
    *equals = '\0';
    const char *name = trim(line), *value = trim(equals + 1);
    char **into = strcmp(name, "aws_access_key_id") == 0       ? &self->key
                  : strcmp(name, "aws_secret_access_key") == 0 ? &self->secret
                  : strcmp(name, "aws_session_token") == 0     ? &self->token
                                                               : NULL;
    if (into == NULL || *into != NULL)
        return EXIA_OK;
    return exia__text_copy(into, value, err);
}

static exia_status take_profile(exia__s3 *self, char *text, const char *profile, exia_error *err)
{
    exia_status rc = EXIA_OK;
    int inside = 0;
    for (char *line = text, *next; rc == EXIA_OK && line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        line = trim(line);
        size_t size = strlen(line);
        if (*line == '[' && line[size - 1] == ']') {
            line[size - 1] = '\0';
            inside = strcmp(trim(line + 1), profile) == 0;
        } else if (inside && *line != '#' && *line != ';') {
            rc = take_line(self, line, err);
        }
    }
    return rc;
}

static exia_status read_file(exia__s3 *self, exia_error *err)
{
    const char *given = environment("AWS_SHARED_CREDENTIALS_FILE");
    const char *home = environment("HOME"), *profile = environment("AWS_PROFILE");
    char *path = NULL, *text = NULL;
    size_t size = 0;
    exia_status rc = exia__text_format(&path, err, "%s%s",
                                       given  ? given
                                       : home ? home
                                              : "",
                                       given ? "" : "/.aws/credentials");
    if (rc == EXIA_OK)
        rc = exia__file_read(&text, &size, path, LONGEST_FILE, err);
    if (rc == EXIA_ENOTFOUND && given == NULL)
        rc = exia__forgive(err);
    else if (rc == EXIA_OK)
        rc = take_profile(self, text, profile ? profile : "default", err);
    exia__release(text);
    exia__release(path);
    return rc;
}

exia_status exia__s3_keys(exia__s3 *self, const exia_url *url, exia_error *err)
{
    const char *key = environment("AWS_ACCESS_KEY_ID");
    const char *secret = environment("AWS_SECRET_ACCESS_KEY");
    const char *token = environment("AWS_SESSION_TOKEN");
    exia_status rc = EXIA_OK;
    if (url->user != NULL && url->secret == NULL && (key == NULL || strcmp(key, url->user) != 0))
        return exia__fail(err, EXIA_EDENIED, 0,
                          "%.120s names a key without its secret: set AWS_ACCESS_KEY_ID and "
                          "AWS_SECRET_ACCESS_KEY instead",
                          url->shown);
    if (url->secret != NULL) {
        key = url->user;
        secret = url->secret;
        token = NULL;
    }
    if (key != NULL && secret != NULL) {
        rc = exia__text_copy(&self->key, key, err);
        if (rc == EXIA_OK)
            rc = exia__text_copy(&self->secret, secret, err);
        if (rc == EXIA_OK && token != NULL)
            rc = exia__text_copy(&self->token, token, err);
    } else {
        rc = read_file(self, err);
    }
    if (rc == EXIA_OK && (self->key == NULL || self->secret == NULL))
        rc = exia__fail(err, EXIA_EDENIED, 0,
                        "%s: no keys: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write "
                        "them to ~/.aws/credentials",
                        self->shown);
    return rc;
}

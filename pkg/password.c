/* A password: one line of stdin, by --password-stdin or typed where nobody sees it.  It never is an
 * argument, which every user of the machine could read. */
#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "tool.h"

enum { CTRL_C = 3 };

/* Bytes are read one at a time, so that no other buffer has them and the next line stays. */
static exia_status read_line(char *line, exia_error *err)
{
    size_t length = 0;
    char byte = 0;
    ssize_t count = 0;

    while ((count = read(STDIN_FILENO, &byte, 1)) != 0 && byte != '\n') {
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return fail_errno(err, "cannot read a password from", "stdin");
        if (byte == '\0')
            return fail(err, EXIA_EINVAL, "a password has no zero bytes");
        if (length == PASSWORD_MOST)
            return fail(err, EXIA_EINVAL, "a password has at most %d bytes", PASSWORD_MOST);
        line[length++] = byte;
    }
    line[length] = '\0';
    return EXIA_OK;
}

/* Without echo, and without signals: one that ended the tool would leave the terminal so. */
static exia_status ask(char *line, const char *prompt, exia_error *err)
{
    struct termios before;
    struct termios hidden;
    exia_status status = EXIA_OK;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return fail_errno(err, "cannot hide what is typed on", "the terminal");
    hidden = before;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden) != 0)
        return fail_errno(err, "cannot hide what is typed on", "the terminal");
    (void)!write(STDERR_FILENO, prompt, strlen(prompt));
    status = read_line(line, err);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    (void)!write(STDERR_FILENO, "\n", 1);
    if (status == EXIA_OK && strchr(line, CTRL_C) != NULL)
        status = fail(err, EXIA_ECANCELLED, "stopped while asking for a password");
    return status;
}

bool password_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

exia_status password_read(struct password *out, const struct call *call, exia_error *err)
{
    exia_status status = EXIA_OK;

    if (call_has(call, OPTION_PASSWORD_STDIN))
        status = read_line(out->text, err);
    else
        status = ask(out->text, "Password: ", err);
    return status;
}

exia_status password_choose(struct password *out, const struct call *call, exia_error *err)
{
    struct password again = {{0}};
    exia_status status = password_read(out, call, err);

    if (status == EXIA_OK && !call_has(call, OPTION_PASSWORD_STDIN)) {
        status = ask(again.text, "Once more: ", err);
        if (status == EXIA_OK && strcmp(out->text, again.text) != 0)
            status = fail(err, EXIA_EINVAL, "the two passwords differ");
    }
    password_wipe(&again);
    return status;
}

void password_wipe(struct password *password)
{
    explicit_bzero(password, sizeof(*password));
}

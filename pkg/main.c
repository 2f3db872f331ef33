/* vedapkg, the tool: packages and models from a shell.  A parsed command line, one command, one exit
 * code: 0 done, 1 failed, 2 misused, 128 + N stopped by signal N, 141 when the reader of stdout left. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

void *must(void *memory)
{
    if (memory == NULL) {
        static const char text[] = "vedapkg: out of memory\n";
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        _exit(EXIT_FAILED);
    }
    return memory;
}

char *format_text(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    int length = 0;

    va_start(arguments, format);
    length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return must(length < 0 ? NULL : text);
}

static exia_status fill(exia_error *err, exia_status status, const char *format, va_list arguments)
{
    size_t length = 0;

    err->status = status;
    err->native = 0;
    length = (size_t)vsnprintf(err->text, sizeof(err->text), format, arguments);
    if (length >= sizeof(err->text)) { /* cut between characters */
        length = sizeof(err->text) - 1;
        while (length > 0 && (err->text[length] & 0xc0) == 0x80)
            length--;
        err->text[length] = '\0';
    }
    for (char *c = err->text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    }
    return status;
}

exia_status fail(exia_error *err, exia_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fill(err, status, format, arguments);
    va_end(arguments);
    return status;
}

exia_status fail_errno(exia_error *err, const char *what, const char *path)
{
    int code = errno;

    fail(err, EXIA_EIO, "%s %s: %s", what, path, strerror(code));
    err->native = code;
    return err->status;
}

exia_status misuse(struct call *call, exia_error *err, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fill(err, EXIA_EINVAL, format, arguments);
    va_end(arguments);
    call->misused = true;
    return EXIA_EINVAL;
}

void say(const struct call *call, const char *format, ...)
{
    va_list arguments;

    if (call->quiet)
        return;
    job_end();
    fputs("vedapkg: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* What the library tells an operator.  Called from any thread: one write. */
static void log_warning(int level, const char *topic, const char *text, void *payload)
{
    (void)payload;
    if (level >= EXIA_LOG_WARNING)
        fprintf(stderr, "vedapkg: %s: %s: %s\n", level == EXIA_LOG_WARNING ? "warning" : "error",
                topic, text);
}

/* A closed stdin, stdout or stderr must not become the number of a database: put something there
 * that answers every read or write as the closed one would. */
static void hold_descriptors(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    }
}

/* The home for this process: the library looks nowhere else. */
static exia_status set_home(const struct call *call, exia_error *err)
{
    const char *home = call_option(call, OPTION_HOME);

    if (home != NULL && setenv("EXIA_HOME", home, 1) != 0)
        return fail_errno(err, "cannot set", "EXIA_HOME");
    return EXIA_OK;
}

static exia_status run(struct call *call, int argc, char **argv, exia_error *err)
{
    exia_status status = call_parse(call, argc, argv, err);

    if (status != EXIA_OK)
        return status;
    if (call_has(call, OPTION_VERSION)) {
        printf("vedapkg %s\n", exia_version());
        return EXIA_OK;
    }
    if (call->command == NULL && !call_has(call, OPTION_HELP))
        return misuse(call, err, "which command?");
    if (call->command == NULL && call->family != NULL)
        help_family(call->family);
    else if (call->command == NULL)
        help_overview();
    else if (call_has(call, OPTION_HELP))
        help_command(call->command);
    else if ((status = set_home(call, err)) == EXIA_OK)
        status = call->command->run(call, err);
    return status;
}

/* A reader that left (head, grep -q) is not worth a word; a full disk is. */
static bool reader_left(void)
{
    struct pollfd output = {STDOUT_FILENO, POLLOUT, 0};

    return poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

/* Say why it failed, in one line, and answer the exit code. */
static int report(const struct call *call, const exia_error *err)
{
    const char *name = call->command != NULL  ? call->command->name
                       : call->family != NULL ? call->family
                                              : "";

    if (err->native == EPIPE && reader_left())
        return EXIT_PIPE;
    if (err->status == EXIA_ECANCELLED && job_stopped() != 0) {
        fputs("vedapkg: stopped; nothing is half done\n", stderr);
        return 128 + job_stopped();
    }
    fprintf(stderr, "vedapkg: %s%s%s", call->command != NULL ? name : "",
            call->command != NULL ? ": " : "", err->text);
    if (call->misused)
        fprintf(stderr, " (see: vedapkg help%s%s)", *name != '\0' ? " " : "", name);
    fputc('\n', stderr);
    return call->misused ? EXIT_USAGE : EXIT_FAILED;
}

static int close_output(int code)
{
    bool failed = false;

    errno = 0;
    failed = fflush(stdout) != 0 || ferror(stdout) != 0;
    if (!failed || code != 0)
        return code;
    if (errno == EPIPE || reader_left())
        return EXIT_PIPE;
    fprintf(stderr, "vedapkg: cannot write to standard output%s%s\n", errno != 0 ? ": " : "",
            errno != 0 ? strerror(errno) : "");
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct call call = {0};
    exia_error err = {0};
    int code = 0;

    hold_descriptors();
    signal(SIGPIPE,
           SIG_IGN); /* a lost reader is an error of the write, not the end of a transfer */
    signal(SIGXFSZ, SIG_IGN);       /* and so is a file that may not grow */
    setlocale(LC_CTYPE, "C.UTF-8"); /* widths of characters; numbers stay as in C */
    exia_log_set(log_warning, NULL);
    if (run(&call, argc, argv, &err) < 0) {
        job_end();
        code = report(&call, &err);
    }
    job_end();
    free(call.given);
    return close_output(code);
}

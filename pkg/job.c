/* Long calls: a progress line on a terminal, and the signals that ask to stop.  The handler only
 * sets a flag; the library asks for it about ten times a second and undoes what it began.  A second
 * signal ends the tool at once. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static volatile sig_atomic_t stopped;
static bool shown; /* is there a line to wipe? */

static void on_signal(int number)
{
    stopped = number;
}

static bool on_terminal(void)
{
    const char *terminal = getenv("TERM");

    return isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

static int progress(const char *step, uint64_t done, uint64_t total, void *payload)
{
    const struct call *call = payload;

    if (!call->quiet && on_terminal()) {
        fprintf(stderr, "\r\033[Kvedapkg: %s", step);
        if (total > 0)
            fprintf(stderr, " %3.0f %%", 100.0 * (double)done / (double)total);
        else if (done > 0)
            fprintf(stderr, " %llu", (unsigned long long)done);
        fflush(stderr);
        shown = true;
    }
    return stopped != 0;
}

const exia_job *job_begin(struct call *call)
{
    const int numbers[] = {SIGINT, SIGTERM, SIGHUP};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_RESETHAND};
        struct sigaction before = {0};

        sigaction(numbers[i], NULL, &before);
        if (before.sa_handler != SIG_IGN) /* nohup, a shell's background */
            sigaction(numbers[i], &action, NULL);
    }
    call->job.progress = progress;
    call->job.payload = call;
    return &call->job;
}

void job_end(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
}

int job_stopped(void)
{
    return stopped;
}

/* Several processes at once, released together by the closing of a pipe. */
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/conformance.h"

enum { MOST_PROCESSES = 16 };

void check_processes(int count, process_fn *work, void *payload)
{
    pid_t pids[MOST_PROCESSES];
    int gate[2];
    assert_in_range(count, 1, MOST_PROCESSES);
    assert_int_equal(pipe(gate), 0);
    fflush(NULL);
    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0) {
            char byte;
            close(gate[1]);
            ssize_t got = read(gate[0], &byte, 1); /* ends when the parent closes */
            err.text[0] = '\0';
            int code = got == 0 ? work(i, payload) : 99;
            if (code != 0)
                fprintf(stderr, "process %d ended with %d: %.200s\n", i, code, err.text);
            _exit(code);
        }
    }
    close(gate[0]);
    close(gate[1]);
    int failed = 0;
    for (int i = 0; i < count; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    if (failed > 0)
        fail_msg("%d of %d processes failed", failed, count);
}

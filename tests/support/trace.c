/* Each system call of the worker stops it twice, on the way in and on the way out.  On the way in it
 * can be killed, so that the call is not made; or its number is replaced by one that does not exist,
 * and on the way out its result by an error. */
#include "support/trace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

typedef struct __ptrace_syscall_info call_info;

/* ---- what a call does ------------------------------------------------------------------------ */

enum { CHANGES = 1, NEEDS_SPACE = 2, HAS_BYTES = 4 };

static int kind_of(const call_info *info)
{
    const __uint64_t *arguments = info->entry.args;
    switch (info->entry.nr) {
    case SYS_write:
    case SYS_pwrite64:
        if (arguments[0] <= 2)
            return 0; /* what it tells, not what it stores */
        return CHANGES | NEEDS_SPACE | (arguments[2] > 1 ? HAS_BYTES : 0);
    case SYS_openat:
        return arguments[2] & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? CHANGES | NEEDS_SPACE : 0;
#ifdef SYS_open
    case SYS_open:
        return arguments[1] & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? CHANGES | NEEDS_SPACE : 0;
    case SYS_mkdir:
    case SYS_rename:
    case SYS_link:
    case SYS_symlink:
#endif
#ifdef SYS_renameat
    case SYS_renameat:
#endif
    case SYS_pwritev:
    case SYS_writev:
    case SYS_copy_file_range:
    case SYS_sendfile:
    case SYS_fallocate:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_mkdirat:
    case SYS_renameat2:
    case SYS_linkat:
    case SYS_symlinkat:
        return CHANGES | NEEDS_SPACE;
#ifdef SYS_unlink
    case SYS_unlink:
    case SYS_rmdir:
    case SYS_chmod:
#endif
    case SYS_unlinkat:
    case SYS_ftruncate:
    case SYS_utimensat:
    case SYS_fchmod:
    case SYS_fchmodat:
        return CHANGES;
    default:
        return 0;
    }
}

/* ---- the registers --------------------------------------------------------------------------- */

static void transfer(int request, pid_t pid, struct user_regs_struct *registers)
{
    struct iovec area = {registers, sizeof *registers};
    assert_int_equal(ptrace(request, pid, (void *)NT_PRSTATUS, &area), 0);
}

/* On the way in: no such call. */
static void skip_call(pid_t pid)
{
#if defined(__aarch64__)
    int none = -1;
    struct iovec area = {&none, sizeof none};
    assert_int_equal(ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &area), 0);
#else
    struct user_regs_struct registers = {0};
    transfer(PTRACE_GETREGSET, pid, &registers);
    registers.orig_rax = (unsigned long long)-1;
    transfer(PTRACE_SETREGSET, pid, &registers);
#endif
}

/* On the way out: it failed. */
static void set_failure(pid_t pid, int code)
{
    struct user_regs_struct registers = {0};
    transfer(PTRACE_GETREGSET, pid, &registers);
#if defined(__aarch64__)
    registers.regs[0] = (unsigned long long)-code;
#else
    registers.rax = (unsigned long long)-code;
#endif
    transfer(PTRACE_SETREGSET, pid, &registers);
}

/* On the way in: half of the bytes. */
static void halve(pid_t pid)
{
    struct user_regs_struct registers = {0};
    transfer(PTRACE_GETREGSET, pid, &registers);
#if defined(__aarch64__)
    registers.regs[2] /= 2;
#else
    registers.rdx /= 2;
#endif
    transfer(PTRACE_SETREGSET, pid, &registers);
}

/* ---- a run ----------------------------------------------------------------------------------- */

typedef struct run {
    pid_t pid;
    trace_plan plan;
    trace_end end;
    int failing; /* the errno of the call that is under way; 0: it is made */
    int struck;  /* the plan was carried out */
} run;

static int strikes(run *now, int kind)
{
    const trace_plan *plan = &now->plan;
    if (plan->nth == 0)
        return 0;
    if (plan->way == TRACE_KILL || plan->way == TRACE_HOLD)
        return now->end.calls == plan->nth;
    if (!(kind & (plan->way == TRACE_HALF ? HAS_BYTES : CHANGES)))
        return 0;
    if (now->struck)
        return plan->for_ever && (plan->code != ENOSPC || (kind & NEEDS_SPACE));
    return now->end.writes >= plan->nth;
}

static void enter(run *now, const call_info *info)
{
    int kind = kind_of(info);
    now->end.calls++;
    now->end.writes += (kind & CHANGES) != 0;
    if (!strikes(now, kind))
        return;
    if (now->plan.way == TRACE_KILL) {
        kill(now->pid, SIGKILL);
    } else if (now->plan.way == TRACE_HOLD) {
        now->plan.held(now->plan.payload);
    } else if (now->plan.way == TRACE_HALF && !now->struck) {
        halve(now->pid);
    } else {
        skip_call(now->pid);
        now->failing = now->plan.code;
    }
    now->struck = 1;
}

static void at_call(run *now)
{
    call_info info = {0};
    long size = ptrace(PTRACE_GET_SYSCALL_INFO, now->pid, (void *)sizeof info, &info);
    if (size <= 0)
        return; /* it was killed meanwhile */
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        enter(now, &info);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT && now->failing != 0) {
        set_failure(now->pid, now->failing);
        now->failing = 0;
    }
}

trace_end trace_run(int (*work)(void *payload), void *payload, trace_plan plan)
{
    run now = {.plan = plan};
    int status = 0, sent = 0;
    now.pid = fork();
    assert_true(now.pid >= 0);
    if (now.pid == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(98);
        raise(SIGSTOP);
        _exit(work(payload));
    }
    assert_int_equal(waitpid(now.pid, &status, 0), now.pid);
    if (WIFSTOPPED(status))
        assert_int_equal(ptrace(PTRACE_SETOPTIONS, now.pid, NULL,
                                (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)),
                         0);
    while (WIFSTOPPED(status)) {
        (void)ptrace(PTRACE_SYSCALL, now.pid, NULL, (void *)(long)sent);
        assert_int_equal(waitpid(now.pid, &status, 0), now.pid);
        sent = 0;
        if (WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80))
            at_call(&now);
        else if (WIFSTOPPED(status))
            sent = WSTOPSIG(status); /* a signal of its own */
    }
    now.end.status = status;
    return now.end;
}

long trace_next(long nth, long count, long usual)
{
    static unsigned dice = 1;
    const char *given = getenv("EXIA_CRASH_SAMPLE");
    long wanted = given ? atol(given) : usual;
    if (wanted <= 0 || wanted >= count)
        return nth + 1;
    dice = dice * 1103515245u + 12345u;
    return nth + 1 + (long)((dice >> 16) % (unsigned long)(2 * count / wanted));
}

static int do_nothing(void *payload)
{
    (void)payload;
    return 0;
}

int trace_allowed(void)
{
    trace_end end = trace_run(do_nothing, NULL, (trace_plan){0});
    return WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0;
}

void *trace_shared(unsigned long size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

const char *trace_wrong(trace_plan plan, trace_end end, exia_status status, const exia_error *why)
{
    if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 0)
        return check_format("it ended with status %x", (unsigned)end.status);
    if (status < 0 &&
        (why->status != status || why->text[0] == '\0' || strchr(why->text, '\n') != NULL))
        return check_format("it failed with %s and the text \"%s\"", exia_status_text(status),
                            why->text);
    if (plan.way == TRACE_HALF && !plan.for_ever && status != EXIA_OK)
        return check_format("a write that was cut made it fail: %s", why->text);
    return NULL;
}

const char *trace_difference(const char *one, const char *other)
{
    while (*one != '\0' && strcspn(one, "\n") == strcspn(other, "\n") &&
           strncmp(one, other, strcspn(one, "\n") + 1) == 0) {
        one += strcspn(one, "\n") + 1;
        other += strcspn(other, "\n") + 1;
    }
    return check_format("\n%.*s\n%.*s", (int)strcspn(one, "\n"), one, (int)strcspn(other, "\n"),
                        other);
}

/* Preloaded by test_no_memory: lets the Nth allocation of the whole process fail, in whatever
 * library it is made.
 *
 * One kind is spared.  jansson's parser does not look whether the buffer for a token could grow, and
 * then loses a byte or runs over the end; nothing outside of jansson can mend that.  The buffer has
 * a power of two of bytes. */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static atomic_long countdown = -1;

__attribute__((visibility("default"))) void preload_fail_at(long nth);
__attribute__((visibility("default"))) long preload_left(void);

void preload_fail_at(long nth)
{
    atomic_store(&countdown, nth);
}

long preload_left(void)
{
    return atomic_load(&countdown);
}

static int fails(void)
{
    if (atomic_load_explicit(&countdown, memory_order_relaxed) < 0 ||
        atomic_fetch_sub(&countdown, 1) != 0)
        return 0;
    errno = ENOMEM;
    return 1;
}

static int is_token_buffer(size_t size, const void *caller)
{
    Dl_info info;
    return atomic_load_explicit(&countdown, memory_order_relaxed) >= 0 && size >= 32 &&
           (size & (size - 1)) == 0 && dladdr(caller, &info) != 0 &&
           strstr(info.dli_fname, "libjansson") != NULL;
}

__attribute__((visibility("default"))) void *malloc(size_t size)
{
    if (is_token_buffer(size, __builtin_return_address(0)))
        return __libc_malloc(size);
    return fails() ? NULL : __libc_malloc(size);
}

__attribute__((visibility("default"))) void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

__attribute__((visibility("default"))) void *realloc(void *memory, size_t size)
{
    return fails() ? NULL : __libc_realloc(memory, size);
}

/* Frames from a pipe or socket.  A frame tells in its header how large its content is, and each block
 * how long it is, so a frame is read to its last byte and not further; what would need more memory
 * than our frames do is refused before it is there. */
#include "package/feed.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <zstd.h>

#include "base/error.h"
#include "base/job.h"
#include "base/memory.h"
#include "package/reader.h"

enum { WAIT_MS = 100 };

/* Until there is something to read.  `since` is when something was there last. */
static exia_status await(exia__feed *feed, int64_t since, exia_error *err)
{
    struct pollfd ready = {.fd = feed->fd, .events = POLLIN};
    for (;;) {
        int count = poll(&ready, 1, WAIT_MS);
        if (count > 0)
            return EXIA_OK;
        if (count < 0 && errno != EINTR)
            return exia__fail_errno(err, errno, "cannot read", feed->name);
        exia_status rc = feed->wait(feed->payload, err);
        if (rc < 0)
            return rc;
        if (exia__clock_ms() - since >= feed->stall_ms)
            return exia__fail(err, EXIA_ETIMEOUT, 0, "%s: nothing came for %lld ms", feed->name,
                              (long long)feed->stall_ms);
    }
}

exia_status exia__feed_read(exia__feed *feed, void *into, size_t size, exia_error *err)
{
    unsigned char *at = into;
    int64_t since = exia__clock_ms();
    for (size_t left = size; left > 0;) {
        exia_status rc = await(feed, since, err);
        if (rc < 0)
            return rc;
        ssize_t got = read(feed->fd, at, left);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return exia__fail_errno(err, errno, "cannot read", feed->name);
        if (got == 0 && left == size)
            return EXIA_DONE;
        if (got == 0)
            return exia__fail(err, EXIA_ECORRUPT, 0,
                              "%s is no package, or cut short: it ends "
                              "within a frame",
                              feed->name);
        at += got;
        left -= (size_t)got;
        feed->done += (unsigned long long)got;
        since = exia__clock_ms();
    }
    return EXIA_OK;
}

/* Have `size` bytes of the frame in all. */
static exia_status have(exia__packed *frame, exia__feed *feed, size_t size, exia_error *err)
{
    exia_status rc = exia__grow(&frame->data, &frame->room, size, 1, err);
    if (rc == EXIA_OK && size > frame->size)
        rc = exia__feed_read(feed, frame->data + frame->size, size - frame->size, err);
    if (rc == EXIA_DONE && frame->size > 0)
        rc = exia__fail(err, EXIA_ECORRUPT, 0,
                        "%s is no package, or cut short: it ends within a frame", feed->name);
    if (rc == EXIA_OK)
        frame->size = size;
    return rc;
}

static exia_status foreign(const exia__feed *feed, const char *why, exia_error *err)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s is no package, or damaged: %s", feed->name, why);
}

/* The blocks, the first of which begins at `at`, and the checksum. */
static exia_status read_blocks(exia__packed *frame, exia__feed *feed, size_t at, exia_error *err)
{
    size_t most = ZSTD_compressBound(EXIA__MOST_PLAIN), checksum = frame->data[4] & 4;
    exia_status rc = have(frame, feed, at + EXIA__BLOCK_HEADER, err);
    for (int last = 0; rc == EXIA_OK && !last;) {
        exia__block block = exia__frame_block(frame->data + at);
        last = block.last;
        at += EXIA__BLOCK_HEADER + block.size;
        size_t size = at + (last ? checksum : EXIA__BLOCK_HEADER);
        if (size > most)
            return foreign(feed, "a frame is larger than packages have them", err);
        rc = have(frame, feed, size, err);
    }
    return rc;
}

exia_status exia__feed_frame(exia__packed *out, exia__feed *feed, exia_error *err)
{
    out->size = out->plain = 0;
    exia_status rc = have(out, feed, EXIA__SKIPPABLE_HEADER, err);
    if (rc != EXIA_OK)
        return rc;
    uint32_t magic = exia__get32(out->data);
    if ((magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START)
        return EXIA_OK;
    if (magic != EXIA__FRAME_MAGIC)
        return feed->done == out->size ? exia__package_other(feed->name, out->data, out->size, err)
                                       : foreign(feed, "a frame of it is not of zstd", err);
    size_t header = exia__frame_header(out->data[4]);
    rc = have(out, feed, header + EXIA__BLOCK_HEADER, err);
    if (rc < 0)
        return rc;
    unsigned long long plain = ZSTD_getFrameContentSize(out->data, out->size);
    if (plain == 0 || plain > EXIA__MOST_PLAIN) /* not told, or no header at all, is more yet */
        return foreign(feed, "a frame has a content of a size that packages have not", err);
    out->plain = (uint32_t)plain;
    rc = exia__grow(&out->data, &out->room, ZSTD_compressBound(out->plain), 1, err);
    return rc == EXIA_OK ? read_blocks(out, feed, header, err) : rc;
}

/* The one tar encoding: ustar headers with raw name bytes, no times and no owners, GNU's long names
 * before those that do not fit, base-256 for sizes from 8 GiB. */
#include <stdio.h>
#include <string.h>

#include "package/format.h"

/* Where the fields of a header lie. */
enum {
    NAME = 0,
    MODE = 100,
    UID = 108,
    GID = 116,
    SIZE = 124,
    MTIME = 136,
    CHECKSUM = 148,
    TYPE = 156,
    TARGET = 157,
    MAGIC = 257,
    DEVICES = 329,
    NAME_SIZE = 100
};

static void put_size(unsigned char *field, uint64_t size)
{
    if (size < (uint64_t)8 << 30) {
        snprintf((char *)field, 12, "%011llo", (unsigned long long)size);
        return;
    }
    field[0] = 0x80;
    for (int i = 11; i > 3; i--, size >>= 8)
        field[i] = (unsigned char)size;
}

/* Texts are cut to their fields; the long names before the header hold all of them. */
static exia_status put_header(exia__buffer *out, char type, const char *name, size_t name_size,
                              const char *target, uint32_t mode, uint64_t size, exia_error *err)
{
    unsigned char block[EXIA__BLOCK] = {0};
    unsigned sum = 0;
    size_t target_size = target ? strlen(target) : 0;
    memcpy(block + NAME, name, name_size < NAME_SIZE ? name_size : NAME_SIZE);
    snprintf((char *)block + MODE, 8, "%07o", (unsigned)mode);
    memcpy(block + UID, "0000000", 8);
    memcpy(block + GID, "0000000", 8);
    put_size(block + SIZE, size);
    memcpy(block + MTIME, "00000000000", 12);
    memset(block + CHECKSUM, ' ', 8);
    block[TYPE] = (unsigned char)type;
    if (target != NULL)
        memcpy(block + TARGET, target, target_size < NAME_SIZE ? target_size : NAME_SIZE);
    memcpy(block + MAGIC, "ustar\00000", 8);
    memcpy(block + DEVICES, "0000000\0000000000", 16);
    for (size_t i = 0; i < sizeof block; i++)
        sum += block[i];
    snprintf((char *)block + CHECKSUM, 8, "%06o", sum);
    return exia__buffer_append(out, block, sizeof block, err);
}

uint64_t exia__tar_padding(uint64_t size)
{
    return (EXIA__BLOCK - size % EXIA__BLOCK) % EXIA__BLOCK;
}

/* A name of `size` bytes that does not fit, as the content of a member of its own. */
static exia_status put_long(exia__buffer *out, char type, const char *name, size_t size,
                            exia_error *err)
{
    static const char zeros[EXIA__BLOCK];
    static const char title[] = "././@LongLink";
    exia_status rc = put_header(out, type, title, sizeof title - 1, NULL, 0644, size + 1, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(out, name, size, err);
    if (rc == EXIA_OK)
        rc = exia__buffer_append(out, zeros, 1 + (size_t)exia__tar_padding(size + 1), err);
    return rc;
}

exia_status exia__tar_header(exia__buffer *out, const exia__entry *entry, exia_error *err)
{
    char type = entry->type == 'f'   ? '0'
                : entry->type == 'h' ? '1'
                : entry->type == 'l' ? '2'
                                     : '5';
    size_t size = strlen(entry->path);
    char name[EXIA__MOST_PATH + 2];
    exia_status rc = EXIA_OK;
    memcpy(name, entry->path, size);
    if (entry->type == 'd')
        name[size++] = '/';
    out->size = 0;
    if (entry->target != NULL && strlen(entry->target) > NAME_SIZE)
        rc = put_long(out, 'K', entry->target, strlen(entry->target), err);
    if (rc == EXIA_OK && size > NAME_SIZE)
        rc = put_long(out, 'L', name, size, err);
    if (rc == EXIA_OK)
        rc = put_header(out, type, name, size, entry->target, entry->mode, entry->size, err);
    return rc;
}

static uint64_t long_size(size_t size)
{
    return size > NAME_SIZE ? EXIA__BLOCK + size + 1 + exia__tar_padding(size + 1) : 0;
}

uint64_t exia__tar_size(const exia__entry *entry)
{
    return long_size(strlen(entry->path) + (entry->type == 'd')) +
           (entry->target ? long_size(strlen(entry->target)) : 0) + EXIA__BLOCK + entry->size +
           exia__tar_padding(entry->size);
}

void exia__put32(unsigned char *into, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        into[i] = (unsigned char)(value >> 8 * i);
}

uint32_t exia__get32(const unsigned char *from)
{
    return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

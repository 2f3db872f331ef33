/* The one tar encoding: ustar headers with raw name bytes, no times and no owners, GNU's long names
 * before those that do not fit, base-256 for sizes from 8 GiB.  What is read is written again and
 * compared, so that there is nothing to interpret. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
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

/* Octal digits, or base-256 as put_size() writes it; whatever else stands there is found when the
 * header is written again. */
static uint64_t get_number(const char *field, size_t digits)
{
    uint64_t value = 0;
    int binary = (unsigned char)field[0] == 0x80;
    for (size_t i = binary ? 4 : 0; i < (binary ? 12 : digits); i++)
        value = binary ? value << 8 | (unsigned char)field[i] : value << 3 | (field[i] & 7);
    return value;
}

/* A text of a header: the long one that came before, or that of a field. */
typedef struct text {
    const char *data;
    size_t size;
} text;

static text get_text(text before, const char *field)
{
    return before.data != NULL ? before : (text){field, strnlen(field, NAME_SIZE)};
}

/* Path and target in one piece of memory. */
static exia_status put_entry(exia__entry *out, const char *block, text name, text target,
                             exia_error *err)
{
    static const char types[] = "0f1h2l5d";
    const char *type = strchr(types, block[TYPE]);
    char *texts = exia__resize(NULL, name.size + target.size + 2);
    if (texts == NULL)
        return exia__fail_memory(err);
    memcpy(texts, name.data, name.size);
    texts[name.size - (name.size > 0 && block[TYPE] == '5')] = texts[name.size] = '\0';
    char *second = texts + name.size + 1;
    memcpy(second, target.data, target.size);
    second[target.size] = '\0';
    *out = (exia__entry){.path = texts, .type = type[1]};
    out->mode = out->type == 'l' ? 0777 : (uint32_t)get_number(block + MODE, 7);
    if (out->type == 'f')
        out->size = get_number(block + SIZE, 11);
    if (out->type == 'h' || out->type == 'l')
        out->target = second;
    return EXIA_OK;
}

static exia_status not_ours(exia_error *err, const char *block, const char *why)
{
    return exia__fail(err, EXIA_ECORRUPT, 0, "the header of \"%.100s\" %s", block, why);
}

exia_status exia__tar_read(exia__entry *out, size_t *whole, const char *blocks, size_t size,
                           exia_error *err)
{
    text name = {0}, target = {0};
    const char *block = blocks;
    exia__buffer again = {0};
    *out = (exia__entry){0};
    *whole = EXIA__BLOCK;
    while (block[TYPE] == 'L' || block[TYPE] == 'K') {
        uint64_t more = get_number(block + SIZE, 11);
        text *into = block[TYPE] == 'L' ? &name : &target;
        if (into->data != NULL || more < NAME_SIZE || more > EXIA__MOST_PATH + 2)
            return not_ours(err, block, "has a long name that no package has");
        *into = (text){block + EXIA__BLOCK, (size_t)more - 1};
        *whole += (size_t)(more + exia__tar_padding(more)) + EXIA__BLOCK;
        if (size < *whole)
            return EXIA_OK;
        block = blocks + *whole - EXIA__BLOCK;
    }
    if (block[TYPE] == '\0' || strchr("0125", block[TYPE]) == NULL)
        return not_ours(err, block, "is of no file, directory or link");
    exia_status rc =
        put_entry(out, block, get_text(name, block + NAME), get_text(target, block + TARGET), err);
    if (rc == EXIA_OK)
        rc = strlen(out->path) > EXIA__MOST_PATH
                 ? not_ours(err, block, "has a name of more than 4095 bytes")
                 : exia__tar_header(&again, out, err);
    if (rc == EXIA_OK && (again.size != *whole || memcmp(again.data, blocks, *whole) != 0))
        rc = not_ours(err, out->path, "is not as packages have it");
    exia__buffer_free(&again);
    if (rc < 0) {
        exia__release((char *)out->path);
        *out = (exia__entry){0};
    }
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

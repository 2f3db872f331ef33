/* Interned names in an open-addressed table.  An entry holds 32 bits of the hash beside the index,
 * so that a probe looks at a text only when it is almost surely the right one.  Texts lie in chunks
 * that never move.  A batch that fails is undone text by text. */
#include "dag/names.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/name.h"

enum { NUMBER_SIZE = sizeof "-9223372036854775808" };
enum { LEAST_ROOM = 4096, MOST_ROOM = 1 << 20 }; /* of a chunk, unless one batch needs more */

struct exia__chunk {
    struct exia__chunk *next;
    size_t used, size;
    char bytes[];
};

/* Eight bytes at a time; the odd product of the golden ratio spreads them (Knuth, 1973), and a shift
 * brings the high bits back to where the table looks. */
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

uint32_t exia__names_hash(const char *text, size_t size)
{
    uint64_t hash = size, word = 0;
    uint32_t first = 0, last = 0;
    for (; size >= sizeof word; size -= sizeof word, text += sizeof word) {
        memcpy(&word, text, sizeof word);
        hash = mix(hash, word);
    }
    if (size >= sizeof last) { /* the two overlap, and no loop depends on the size */
        memcpy(&first, text, sizeof first);
        memcpy(&last, text + size - sizeof last, sizeof last);
    } else if (size > 0) {
        first = (unsigned char)text[0];
        last = (unsigned char)text[size / 2] << 8 | (unsigned char)text[size - 1];
    }
    /* Once more, or the last bytes, which are often all that differs, stay among the high bits. */
    return (uint32_t)mix(mix(hash, (uint64_t)last << 32 | first), 0);
}

/* Where the text is, or where it would be put. */
static size_t probe(const exia__names *names, const char *text, uint32_t hash)
{
    size_t mask = names->table_size - 1, at = hash & mask;
    while (names->table[at] != 0) {
        uint32_t index = (uint32_t)names->table[at] - 1;
        if (names->table[at] >> 32 == hash && strcmp(names->texts[index], text) == 0)
            break;
        at = (at + 1) & mask;
    }
    return at;
}

static exia_status reserve_table(exia__names *names, size_t more, exia_error *err)
{
    size_t size = names->table_size ? names->table_size : 16;
    while (size / 2 < names->table_used + more)
        size *= 2;
    if (size == names->table_size)
        return EXIA_OK;
    uint64_t *table = exia__zeroed(size, sizeof *table);
    if (table == NULL)
        return exia__fail_memory(err);
    for (size_t i = 0; i < names->table_size; i++) {
        if (names->table[i] == 0)
            continue;
        size_t at = (names->table[i] >> 32) & (size - 1);
        while (table[at] != 0)
            at = (at + 1) & (size - 1);
        table[at] = names->table[i];
    }
    exia__release(names->table);
    names->table = table;
    names->table_size = size;
    return EXIA_OK;
}

static exia_status reserve_texts(exia__names *names, size_t total, exia_error *err)
{
    size_t before = names->text_capacity;
    exia_status rc =
        exia__grow(&names->texts, &names->text_capacity, total, sizeof *names->texts, err);
    if (rc == EXIA_OK)
        memset(names->texts + before, 0, (names->text_capacity - before) * sizeof *names->texts);
    return rc;
}

static exia_status reserve_bytes(exia__names *names, size_t size, exia_error *err)
{
    if (names->chunk != NULL && names->chunk->size - names->chunk->used >= size)
        return EXIA_OK;
    size_t room = names->bytes < MOST_ROOM ? names->bytes : MOST_ROOM; /* as much again */
    room = room < LEAST_ROOM ? LEAST_ROOM : room;
    room = room < size ? size : room;
    struct exia__chunk *chunk = exia__resize(NULL, sizeof *chunk + room);
    if (chunk == NULL)
        return exia__fail_memory(err);
    *chunk = (struct exia__chunk){.next = names->chunk, .size = room};
    names->chunk = chunk;
    return EXIA_OK;
}

/* UTF-8; control characters are welcome. */
static int is_utf8(const char *text, size_t size)
{
    for (size_t i = 0; i <= size; i++) {
        size_t start = i;
        while (i < size && (unsigned char)text[i] >= 0x20 && text[i] != 0x7f)
            i++;
        if (!exia__text_valid(text + start, i - start))
            return 0;
    }
    return 1;
}

/* Room is there. */
static void put(exia__names *names, uint32_t index, const char *text, size_t size, uint32_t hash,
                size_t at)
{
    char *copy = names->chunk->bytes + names->chunk->used;
    memcpy(copy, text, size + 1);
    names->chunk->used += size + 1;
    names->bytes += size + 1;
    names->texts[index] = copy;
    names->table[at] = (uint64_t)hash << 32 | (index + 1);
    names->table_used++;
}

static exia_status insert(exia__names *names, uint32_t index, const char *text, exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    size_t size = strlen(text);
    if (size == 0)
        return exia__fail(err, EXIA_EINVAL, 0, "name %u is empty", (unsigned)index);
    if (!is_utf8(text, size))
        return exia__fail(err, EXIA_EINVAL, 0, "name %u is not UTF-8", (unsigned)index);
    uint32_t hash = exia__names_hash(text, size);
    size_t at = probe(names, text, hash);
    if (names->table[at] != 0)
        return exia__fail(err, EXIA_EEXISTS, 0, "the name %s is taken by number %u",
                          exia__shown(shown, text), (unsigned)((uint32_t)names->table[at] - 1));
    put(names, index, text, size, hash, at);
    return EXIA_OK;
}

/* Empty a place of the table.  Texts behind it that would have been put there move up (D. E. Knuth,
 * 1973, section 6.4, algorithm R). */
static void empty(exia__names *names, size_t hole)
{
    size_t mask = names->table_size - 1;
    for (size_t at = (hole + 1) & mask; names->table[at] != 0; at = (at + 1) & mask) {
        size_t wanted = (names->table[at] >> 32) & mask;
        if (((at - wanted) & mask) < ((at - hole) & mask))
            continue;
        names->table[hole] = names->table[at];
        hole = at;
    }
    names->table[hole] = 0;
}

/* Let an index be without its text; the newest text gives its room back. */
static void drop(exia__names *names, uint32_t index)
{
    const char *text = names->texts[index];
    size_t size = strlen(text) + 1;
    empty(names, probe(names, text, exia__names_hash(text, size - 1)));
    names->texts[index] = NULL;
    names->table_used--;
    if (text + size == names->chunk->bytes + names->chunk->used) {
        names->chunk->used -= size;
        names->bytes -= size;
    } else {
        names->dead_bytes += size;
    }
}

exia_status exia__names_add(exia__names *names, const char *const *texts, size_t count,
                            exia_error *err)
{
    size_t given = 0, bytes = 0, first = names->count, done = 0;
    if (count >= EXIA__NO_NAME - first)
        return exia__fail(err, EXIA_EINVAL, 0, "%zu more would be too many: %zu are there", count,
                          first);
    for (size_t i = 0; texts != NULL && i < count; i++) {
        given += texts[i] != NULL;
        bytes += texts[i] ? strlen(texts[i]) + 1 : 0;
    }
    exia_status rc = EXIA_OK;
    if (given > 0) {
        rc = reserve_table(names, given, err);
        if (rc == EXIA_OK)
            rc = reserve_texts(names, first + count, err);
        if (rc == EXIA_OK)
            rc = reserve_bytes(names, bytes, err);
        for (; rc == EXIA_OK && done < count; done++) {
            if (texts[done] != NULL)
                rc = insert(names, (uint32_t)(first + done), texts[done], err);
        }
    }
    if (rc == EXIA_OK)
        names->count += count;
    while (rc < 0 && done-- > 0) {
        if (names->texts[first + done] != NULL) /* the last one is not in */
            drop(names, (uint32_t)(first + done));
    }
    return rc;
}

/* In decimal.  Answers how many letters. */
static size_t write_number(char text[NUMBER_SIZE], int64_t number)
{
    char digits[NUMBER_SIZE], *end = text;
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    size_t count = 0;
    do
        digits[count++] = (char)('0' + left % 10);
    while ((left /= 10) > 0);
    if (number < 0)
        *end++ = '-';
    while (count > 0)
        *end++ = digits[--count];
    *end = '\0';
    return (size_t)(end - text);
}

static exia_status intern(uint32_t *out, exia__names *names, int64_t number, exia_error *err)
{
    char text[NUMBER_SIZE];
    size_t size = write_number(text, number), at;
    uint32_t hash = exia__names_hash(text, size);
    if (names->table_used > 0) {
        at = probe(names, text, hash);
        *out = (uint32_t)names->table[at] - 1;
        if (names->table[at] != 0)
            return EXIA_OK;
    }
    if (names->count + 1 >= EXIA__NO_NAME)
        return exia__fail(err, EXIA_EINVAL, 0, "%" PRId64 " would be one too many: %zu are there",
                          number, names->count);
    exia_status rc = reserve_table(names, 1, err);
    if (rc == EXIA_OK)
        rc = reserve_texts(names, names->count + 1, err);
    if (rc == EXIA_OK)
        rc = reserve_bytes(names, size + 1, err);
    if (rc < 0)
        return rc;
    *out = (uint32_t)names->count++;
    put(names, *out, text, size, hash, probe(names, text, hash));
    return EXIA_OK;
}

exia_status exia__names_intern(uint32_t *out, exia__names *names, const int64_t *numbers,
                               size_t count, exia_error *err)
{
    size_t first = names->count;
    exia_status rc = EXIA_OK;
    for (size_t i = 0; rc == EXIA_OK && i < count; i++)
        rc = intern(&out[i], names, numbers[i], err);
    if (rc < 0)
        exia__names_cut(names, first);
    return rc;
}

void exia__names_cut(exia__names *names, size_t count)
{
    while (names->count > count)
        drop(names, (uint32_t)--names->count);
}

uint32_t exia__names_find(const exia__names *names, const char *text)
{
    if (names->table_used == 0)
        return EXIA__NO_NAME;
    return (uint32_t)names->table[probe(names, text, exia__names_hash(text, strlen(text)))] - 1;
}

const char *exia__names_text(const exia__names *names, uint32_t index)
{
    return index < names->count && index < names->text_capacity ? names->texts[index] : NULL;
}

static void free_chunks(struct exia__chunk *chunk)
{
    while (chunk != NULL) {
        struct exia__chunk *next = chunk->next;
        exia__release(chunk);
        chunk = next;
    }
}

/* Move all texts into one chunk.  Where memory is out, they stay where they are. */
static void gather(exia__names *names)
{
    struct exia__chunk *old = names->chunk;
    exia_error unwanted;
    names->chunk = NULL;
    if (reserve_bytes(names, names->bytes - names->dead_bytes, &unwanted) < 0) {
        names->chunk = old;
        return;
    }
    for (size_t i = 0; i < names->count && i < names->text_capacity; i++) {
        if (names->texts[i] == NULL)
            continue;
        size_t size = strlen(names->texts[i]) + 1;
        names->texts[i] = memcpy(names->chunk->bytes + names->chunk->used, names->texts[i], size);
        names->chunk->used += size;
    }
    free_chunks(old);
    names->bytes = names->chunk->used;
    names->dead_bytes = 0;
}

void exia__names_remove(exia__names *names, const uint32_t *to)
{
    size_t last = names->text_capacity < names->count ? names->text_capacity : names->count;
    size_t stay = 0, texts = 0;
    for (size_t i = 0; i < names->count; i++) {
        stay += to[i] != EXIA__NO_NAME;
        if (i < last && names->texts[i] != NULL && to[i] == EXIA__NO_NAME)
            drop(names, (uint32_t)i);
    }
    for (size_t i = 0; i < names->table_size; i++) { /* a place depends on the hash alone */
        uint64_t entry = names->table[i];
        if (entry != 0)
            names->table[i] = entry >> 32 << 32 | (to[(uint32_t)entry - 1] + 1);
    }
    for (size_t i = 0; i < last; i++) {
        if (to[i] != EXIA__NO_NAME)
            names->texts[texts++] = names->texts[i];
    }
    if (last > texts)
        memset(names->texts + texts, 0, (last - texts) * sizeof *names->texts);
    names->count = stay;
    if (names->dead_bytes > names->bytes / 2)
        gather(names);
}

void exia__names_free(exia__names *names)
{
    free_chunks(names->chunk);
    exia__release(names->texts);
    exia__release(names->table);
    *names = (exia__names){0};
}

const char *exia__shown(char out[EXIA__SHOWN_SIZE], const char *text)
{
    size_t most = EXIA__SHOWN_SIZE - sizeof "'...'", size = strnlen(text, most + 1);
    int cut = size > most;
    for (size = cut ? most : size; cut && size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80;)
        size--;
    char *end = out;
    *end++ = '\'';
    memcpy(end, text, size);
    end += size;
    strcpy(end, cut ? "...'" : "'");
    return out;
}

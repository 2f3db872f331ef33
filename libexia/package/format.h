/* The .veda format: its members, its limits, and the one way to write each of its parts.
 *
 *     data frames | VEDA/RECORD | digests | VEDA/METADATA.json | end of the tar | seek table
 *
 * Reader and writer share what is declared here: the reader encodes what it expects and compares. */
#ifndef EXIA_PACKAGE_FORMAT_H
#define EXIA_PACKAGE_FORMAT_H

#include <jansson.h>

#include "base/buffer.h"
#include "base/hash.h"
#include "exia/trust.h"

enum {
    EXIA__FORMAT = 1,
    EXIA__BLOCK = 512,                /* of a tar */
    EXIA__MOST_MEMBERS = 16000000,    /* of one package */
    EXIA__MOST_PATH = 4095,           /* bytes of a path or of a link's target */
    EXIA__MOST_PART = 255,            /* bytes of a name between slashes */
    EXIA__MOST_MANIFEST = 1 << 20,    /* bytes of veda.json */
    EXIA__MOST_METADATA = 4 << 20,    /* bytes of METADATA.json with its header */
    EXIA__MOST_SIGNATURE = 16 << 10,  /* bytes of SIGNATURE */
    EXIA__MOST_PLAIN = 4 << 20,       /* bytes of one frame, decompressed */
    EXIA__FIXED_FRAMES = 3,           /* digests, METADATA, end */
    EXIA__LARGE_FILE = 2 << 20,       /* has frames of its own */
    EXIA__MODES = 0755,               /* the bits of a mode that a package carries */
    EXIA__DIGESTS_HEADER = 4 + 4 + 4, /* "VEDA", version, count */
    EXIA__SKIPPABLE_HEADER = 4 + 4,   /* magic, size */
    EXIA__TABLE_ENTRY = 4 + 4,        /* compressed, decompressed size */
    EXIA__TABLE_FOOTER = 4 + 1 + 4,   /* count, descriptor, magic */
    EXIA__STORED_HEADER = 4 + 1 + 4,  /* magic, descriptor, content size */
    EXIA__STORED_BLOCK = 128 << 10,   /* bytes of a raw block at most */
    EXIA__FRAME_LEAST = 4 + 1 + 1,    /* magic, descriptor, window or size */
    EXIA__FRAME_SINGLE = 0x20,        /* in the descriptor: the content is its own window */
    EXIA__FRAME_WINDOW = 0x60,        /* 4 MiB, as a header says it: no frame holds more */
    EXIA__FRAME_BLOCK_WINDOW = 0x38,  /* 128 KiB: any block has room */
    EXIA__BLOCK_HEADER = 3,           /* bytes before a block of a frame */
};
#define EXIA__MOST_RECORD ((uint64_t)2 << 30) /* bytes of RECORD */
#define EXIA__DIGESTS_MAGIC 0x184D2A5Bu
#define EXIA__TABLE_MAGIC 0x184D2A5Eu
#define EXIA__FOOTER_MAGIC 0x8F92EAB1u
#define EXIA__FRAME_MAGIC 0xFD2FB528u
#define EXIA__STORED_DESCRIPTOR 0xA4u /* 4 bytes of size, one segment, checksum */

#define EXIA__RECORD_FOLDER "VEDA"
#define EXIA__RECORD_PATH EXIA__RECORD_FOLDER "/RECORD"
#define EXIA__METADATA_PATH "VEDA/METADATA.json"
#define EXIA__SIGNATURE_PATH "VEDA/SIGNATURE"
#define EXIA__MANIFEST_PATH "veda.json"

/* One member.  Texts are raw bytes, as the file system has them. */
typedef struct exia__entry {
    const char *path, *target;               /* target: of links and hard links, else NULL */
    uint64_t size;                           /* of files, else 0 */
    uint32_t mode;                           /* of a symbolic link 0777 */
    char type;                               /* 'f'ile, 'd'irectory, symbolic 'l'ink, 'h'ard link */
    unsigned char digest[EXIA__DIGEST_SIZE]; /* of files */
} exia__entry;

/* Path order, by bytes, '/' before all others: a directory comes right before what it holds. */
int exia__path_order(const char *a, const char *b);
/* NULL, or why it cannot be a path in a package, as the end of a sentence. */
const char *exia__path_fault(const char *path);
/* `size` bytes of `path` among entries in path order; NULL: not there. */
const exia__entry *exia__entry_find(const exia__entry *entries, size_t count, const char *path,
                                    size_t size);
/* All the rules that members in path order keep together: paths, order, directories listed before
 * what they hold, modes, links that stay inside.  @return `bad`, naming the first that does not */
exia_status exia__entries_check(const exia__entry *entries, size_t count, exia_status bad,
                                exia_error *err);
/* The rules of one that need only those before it, which keep them: all but where a symbolic link
 * leads. */
exia_status exia__entries_check_one(const exia__entry *entries, size_t index, exia_status bad,
                                    exia_error *err);

/* The header blocks of a member, GNU long names included, into an emptied buffer. */
exia_status exia__tar_header(exia__buffer *out, const exia__entry *entry, exia_error *err);
/* Read a member's header blocks, of which `size` bytes are there: a whole number of blocks, one at
 * least.  Only what exia__tar_header() would write is taken.  Until `*whole`, the bytes that they need
 * at least, is there, nothing comes out; then `out` holds texts to be freed by exia__release() of its
 * `path`.  @return EXIA_ECORRUPT */
exia_status exia__tar_read(exia__entry *out, size_t *whole, const char *blocks, size_t size,
                           exia_error *err);
/* Bytes of a member in the tar: header blocks, content, padding. */
uint64_t exia__tar_size(const exia__entry *entry);
uint64_t exia__tar_padding(uint64_t size); /* zeros behind so much content */

/* A whole member VEDA/..., into an emptied buffer. */
exia_status exia__tar_own(exia__buffer *out, const char *path, const char *text, exia_error *err);
/* What the last frame holds: the signature, if any, and the end of the tar. */
exia_status exia__tar_end(exia__buffer *out, const char *signature, exia_error *err);
/* Append a frame of raw blocks, as the tail has them. */
exia_status exia__stored_frame(exia__buffer *out, const void *data, size_t size, exia_error *err);

/* Append an entry's line to RECORD. */
exia_status exia__record_line(exia__buffer *out, const exia__entry *entry, exia_error *err);
/* Bytes of that line. */
uint64_t exia__record_size(const exia__entry *entry);
/* Bytes that so many lines, the first of RECORD, may have: they are in memory all at once. */
uint64_t exia__record_most(uint64_t lines);
/* How far RECORD was checked; zero-initialise. */
typedef struct exia__checked {
    size_t lines, size;
} exia__checked;
/* Go on with the whole lines in `size` bytes, so that nobody reads all of what is none.
 * @return EXIA_ECORRUPT, naming the line */
exia_status exia__record_check(exia__checked *so_far, const char *text, size_t size,
                               exia_error *err);
/* Read RECORD, all of it checked: `text`, which is changed and to which the entries point, becomes
 * `count` entries.  Free them with exia__release.  @return EXIA_ECORRUPT: another number of lines */
exia_status exia__record_parse(exia__entry **out, char *text, size_t size, size_t count,
                               exia_error *err);

/* What METADATA.json says. */
typedef struct exia__metadata {
    const json_t *manifest;
    char digest[EXIA__HEX_SIZE], frames_digest[EXIA__HEX_SIZE];
    uint64_t members, size, record_size; /* size: of all files */
    uint64_t data_frames, record_frames;
    const char *zstd; /* its version */
    int level;
} exia__metadata;
exia_status exia__metadata_text(char **out, const exia__metadata *metadata, exia_error *err);
/* SIGNATURE of a METADATA.json, as exia_package_sign() makes it; its options are checked before. */
exia_status exia__sign_options(exia_sign_options *ours, const exia_sign_options *options,
                               exia_error *err);
exia_status exia__sign_metadata(char **out, const char *metadata, const json_t *manifest,
                                const exia_sign_options *options, const char *trust_file,
                                exia_error *err);

/* Parse and check a manifest, strictly.  `what` names it in errors.
 * @return `bad` with the field named, EXIA_EVERSION: its format is higher */
exia_status exia__manifest_parse(json_t **out, const char *text, size_t size, const char *what,
                                 exia_status bad, exia_error *err);
exia_status exia__manifest_check(const json_t *manifest, const char *what, exia_status bad,
                                 exia_error *err);
const char *exia__manifest_tag(const json_t *manifest); /* "any" when it names no platform */
/* The constant text of a kind of component; NULL: there is no such kind. */
const char *exia__kind_find(const char *kind);
/* A guess by the name of a file, by what is in a directory; NULL: they do not tell. */
const char *exia__kind_of_file(const char *name);
exia_status exia__kind_of_directory(const char **out, const char *path, exia_error *err);
/* The kind of the component that a path belongs to, NULL: none. */
const char *exia__manifest_kind(const json_t *manifest, const char *path);
/* Every component is a member.  @return `bad` */
exia_status exia__manifest_components(const json_t *manifest, const exia__entry *entries,
                                      size_t count, const char *what, exia_status bad,
                                      exia_error *err);

/* The two sides of a little-endian number. */
void exia__put32(unsigned char *into, uint32_t value);
uint32_t exia__get32(const unsigned char *from);

#endif

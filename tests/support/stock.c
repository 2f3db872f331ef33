/* Names a to f, each in three versions.  What needs something needs a range of it; e is of several
 * frames, of which its versions share the first. */
#include "support/stock.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/job.h"
#include "registry/publish.h"

stock_item stock[STOCK_ITEMS];
static const char *const needs[STOCK_NAMES] = {"\"b >= 1\"", "\"d < 3\"", "\"d >= 2\", \"f\"",
                                               NULL,         NULL,        "\"d\""};

int stock_find(const char *name, const char *version)
{
    for (int i = 0; i < STOCK_ITEMS; i++) {
        if (strcmp(stock[i].name, name) == 0 && strcmp(stock[i].version, version) == 0)
            return i;
    }
    return -1;
}

int stock_content(int item, const char *digest)
{
    for (int content = STOCK_ONE; content < STOCK_CONTENTS; content++) {
        if (strcmp(stock[item].digest[content], digest) == 0)
            return content;
    }
    return STOCK_NONE;
}

/* ---- from outside ---------------------------------------------------------------------------- */

void stock_hash(char hex[EXIA__HEX_SIZE], const char *path)
{
    static char block[1 << 16];
    unsigned char digest[EXIA__DIGEST_SIZE];
    exia__hash *hash = NULL;
    ssize_t size = 0;
    hex[0] = '\0';
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || exia__hash_open(&hash, NULL) < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((size = read(fd, block, sizeof block)) > 0)
        exia__hash_update(hash, block, (size_t)size, NULL);
    if (size == 0 && exia__hash_finish(digest, hash, NULL) == EXIA_OK)
        exia__hex(hex, digest, sizeof digest);
    exia__hash_free(hash);
    close(fd);
}

static uint64_t tree;
static size_t root_size;

/* The sum does not depend on the order of names in a directory. */
static int add_to_tree(const char *path, const struct stat *info, int type, struct FTW *at)
{
    char text[600], hex[EXIA__HEX_SIZE] = "";
    (void)at;
    if (strncmp(path + root_size, "/VEDA", 5) == 0)
        return 0; /* an install keeps the record there */
    if (type == FTW_F)
        stock_hash(hex, path);
    else if (type != FTW_D)
        return -1;
    if (type == FTW_F && hex[0] == '\0')
        return -1;
    snprintf(text, sizeof text, "%s %d %s", path + root_size,
             type == FTW_F && (info->st_mode & 0100) != 0, hex);
    exia__hash_hex(hex, text, strlen(text), NULL);
    hex[16] = '\0';
    tree += strtoull(hex, NULL, 16);
    return 0;
}

uint64_t stock_tree(const char *directory)
{
    tree = 0;
    root_size = strlen(directory);
    return nftw(directory, add_to_tree, 16, FTW_PHYS) == 0 ? tree : 0;
}

/* ---- packing --------------------------------------------------------------------------------- */

static void write_noise(const char *path, uint32_t seed, size_t size)
{
    char *noise = malloc(size);
    for (size_t i = 0; i < size; i++)
        noise[i] = (char)((seed = seed * 1664525 + 1013904223) >> 24);
    check_write_file(path, noise, size);
    free(noise);
}

static void pack_one(stock_item *item, int content, const char *folder)
{
    const char *workspace = check_format("%s/%s-%d", folder, item->package, content);
    const char *out = check_format("%s/unpacked", workspace);
    const char *says = check_format("%s %d", item->package, content);
    item->file[content] = check_format("%s.veda", workspace);
    mkdir(workspace, 0755);
    mkdir(check_format("%s/code", workspace), 0755);
    mkdir(check_format("%s/data", workspace), 0755);
    check_write_file(check_format("%s/code/main.py", workspace), says, strlen(says));
    if (item->name[0] == 'e')
        write_noise(check_format("%s/data/all", workspace), 1, 2500000);
    write_noise(check_format("%s/data/own", workspace), (uint32_t)(item - stock) * 2 + content,
                item->name[0] == 'e' ? 600000 : 3000);
    const char *manifest = check_format(
        "{\"format\": 1, \"name\": \"%s\", \"version\": \"%s\", \"platform\": \"any\", "
        "\"components\": [{\"path\": \"code/main.py\", \"kind\": \"code\"}, {\"path\": \"data\", "
        "\"kind\": \"data\"}], \"dependencies\": [%s]}",
        item->name, item->version, item->needs ? item->needs : "");
    check_write_file(check_format("%s/veda.json", workspace), manifest, strlen(manifest));
    check_ok(exia_package_write(NULL, workspace, item->file[content], NULL, NULL, &err));

    exia__parcel parcel = {.fd = -1};
    exia__work work;
    exia_package *package = NULL;
    check_ok(exia__work_begin(&work, NULL, &err));
    check_ok(exia__parcel_open(&parcel, item->file[content], &work, &err));
    strcpy(item->digest[content], parcel.digest);
    strcpy(item->hex[content], parcel.hex);
    exia__parcel_free(&parcel);
    check_ok(exia_package_open(&package, item->file[content], &err));
    check_ok(exia_package_unpack(package, out, NULL, NULL, &err));
    exia_package_free(package);
    item->tree[content] = stock_tree(out);
    assert_true(item->tree[content] != 0);
}

void stock_make(void)
{
    const char *folder = check_path("stock");
    mkdir(folder, 0755);
    for (int i = 0; i < STOCK_ITEMS; i++) {
        stock_item *item = &stock[i];
        *item = (stock_item){.needs = needs[i / STOCK_VERSIONS]};
        char name = (char)('a' + i / STOCK_VERSIONS);
        int version = 1 + i % STOCK_VERSIONS;
        snprintf(item->name, sizeof item->name, "%c", name);
        snprintf(item->version, sizeof item->version, "%d.0", version);
        snprintf(item->package, sizeof item->package, "%c@%d.0", name, version);
        snprintf(item->target, sizeof item->target, "%c/%d.0/any", name, version);
        for (int content = STOCK_ONE; content < STOCK_CONTENTS; content++)
            pack_one(item, content, folder);
        assert_int_not_equal(item->tree[STOCK_ONE], item->tree[STOCK_OTHER]);
    }
}

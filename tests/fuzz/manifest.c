/* The manifest: what is accepted is accepted again as it is written, and is one text. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "fuzz/fuzz.h"
#include "package/format.h"

void fuzz_manifest(const uint8_t *data, size_t size)
{
    json_t *manifest = NULL, *again = NULL;
    char *one = NULL, *other = NULL, *text = fuzz_copy(data, size);
    exia_error err = {0};
    exia_status rc = exia__manifest_parse(&manifest, text, size, "veda.json", EXIA_ECORRUPT, &err);
    fuzz_check_error(rc, &err);
    FUZZ_CHECK(rc == EXIA_OK || rc == EXIA_ECORRUPT || rc == EXIA_EVERSION);
    FUZZ_CHECK((rc == EXIA_OK) == (manifest != NULL));
    if (rc == EXIA_OK) {
        FUZZ_CHECK(exia__manifest_tag(manifest) != NULL);
        (void)exia__manifest_kind(manifest, "a/b");
        FUZZ_CHECK(exia__json_text(&one, manifest, &err) == EXIA_OK);
        FUZZ_CHECK(exia__manifest_parse(&again, one, strlen(one), "veda.json", EXIA_ECORRUPT,
                                        &err) == EXIA_OK);
        FUZZ_CHECK(exia__json_text(&other, again, &err) == EXIA_OK);
        FUZZ_CHECK(strcmp(one, other) == 0);
    }
    json_decref(manifest);
    json_decref(again);
    exia__release(one);
    exia__release(other);
    free(text);
}

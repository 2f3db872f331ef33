/* A universe of packages in memory, and the question what of it goes together. */
#include "support/universe.h"

json_t *universe;

void offer(const char *name, const char *version, const char *needs)
{
    json_t *list = json_object_get(universe, name);
    if (list == NULL) {
        list = json_array();
        json_object_set_new(universe, name, list);
    }
    json_t *dependencies = json_loads(check_format("[%s]", needs ? needs : ""), 0, NULL);
    assert_non_null(dependencies);
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", name, "version", version,
                                          "tag", "any", "dependencies", dependencies));
}

exia_status universe_look(exia__choices *out, const char *name, void *payload, exia_error *error)
{
    json_t *list = json_object_get(universe, name);
    (void)payload, (void)error;
    out->candidates = list ? json_incref(list) : json_array();
    return EXIA_OK;
}

exia_status solve(json_t **out, const char *root)
{
    const exia__question question = {root, NULL, universe_look, NULL};
    exia__work work;
    check_ok(exia__work_begin(&work, NULL, &err));
    return exia__solve(out, &question, &work, &err);
}

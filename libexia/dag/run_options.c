/* How to run: what the caller asks for is checked whole before anything runs. */
#include <math.h>

#include "base/error.h"
#include "dag/run.h"

enum { RETRY_MOST_MS = 60000 };

static exia_status check_weights(const exia_dag_run_options *o, const exia_dag *dag,
                                 exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    if (o->priority > EXIA_DAG_GIVEN)
        return exia__fail(err, EXIA_EINVAL, 0, "there is no priority %u", (unsigned)o->priority);
    if (o->priority == EXIA_DAG_GIVEN && o->weights == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "the priority is to be given, but weights is NULL");
    if (o->priority == 0 && o->weights != NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "weights are given, but no priority that uses them");
    for (uint32_t i = 0; o->weights != NULL && i < dag->names.count; i++) {
        if (!isfinite(o->weights[i]))
            return exia__fail(err, EXIA_EINVAL, 0, "node %s: its weight %g is not finite",
                              exia__node_shown(shown, dag, i), o->weights[i]);
        if (o->weights[i] < 0 && o->priority == EXIA_DAG_CRITICAL)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "node %s: its weight %g is negative, so no way has a length",
                              exia__node_shown(shown, dag, i), o->weights[i]);
    }
    return EXIA_OK;
}

static exia_status check_resources(const exia_dag_run_options *o, const exia_dag *dag,
                                   exia_error *err)
{
    char shown[EXIA__SHOWN_SIZE];
    if (o->resource_count == 0 && o->uses == NULL)
        return EXIA_OK;
    if (o->resource_count == 0 || o->uses == NULL || o->resources == NULL)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "resources, how many they are and which node uses which belong together");
    for (size_t i = 0; i < o->resource_count; i++) {
        if (o->resources[i].name == NULL)
            return exia__fail(err, EXIA_EINVAL, 0, "resource %zu has no name", i);
        if (o->resources[i].limit == 0)
            return exia__fail(err, EXIA_EINVAL, 0,
                              "resource %s has a limit of 0: nothing could run",
                              exia__shown(shown, o->resources[i].name));
    }
    for (uint32_t i = 0; i < dag->names.count; i++) {
        if (o->uses[i] >= o->resource_count && o->uses[i] != EXIA_DAG_NO_RESOURCE)
            return exia__fail(
                err, EXIA_EINVAL, 0, "node %s uses resource %u, but there are %zu resources",
                exia__node_shown(shown, dag, i), (unsigned)o->uses[i], o->resource_count);
    }
    return EXIA_OK;
}

exia_status exia__run_options(exia_dag_run_options *out, const exia_dag_run_options *options,
                              const exia_dag *dag, exia_error *err)
{
    exia_status rc = exia__options(out, sizeof *out, options, err);
    if (rc < 0)
        return rc;
    if (out->on_failure > EXIA_DAG_STOP)
        return exia__fail(err, EXIA_EINVAL, 0, "on_failure cannot be %u",
                          (unsigned)out->on_failure);
    if (out->ends > EXIA_DAG_APART)
        return exia__fail(err, EXIA_EINVAL, 0, "ends cannot be %u", (unsigned)out->ends);
    if (out->retry_ms < 0 || out->retry_most_ms < 0)
        return exia__fail(err, EXIA_EINVAL, 0, "the wait before another attempt is negative");
    if (out->retry_most_ms == 0)
        out->retry_most_ms = RETRY_MOST_MS;
    rc = check_weights(out, dag, err);
    return rc < 0 ? rc : check_resources(out, dag, err);
}

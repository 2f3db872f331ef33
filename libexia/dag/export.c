/* The graph as text for Graphviz, Mermaid and JSON.  Nodes are written by number and labelled, so
 * that any name is safe; each edge is written once, by its first node. */
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/json.h"
#include "base/memory.h"
#include "dag/dag.h"

typedef exia_status node_fn(exia__buffer *out, uint32_t node, const char *name, exia_error *err);

/* Graphviz reads backslashes and HTML entities in a label. */
static exia_status dot_node(exia__buffer *out, uint32_t node, const char *name, exia_error *err)
{
    exia_status rc = exia__buffer_format(out, err, "  %u", (unsigned)node);
    if (rc == EXIA_OK && name != NULL)
        rc = exia__buffer_text(out, " [label=\"", err);
    for (const char *c = name; c != NULL && *c != '\0' && rc == EXIA_OK; c++) {
        if (*c == '"' || *c == '\\')
            rc = exia__buffer_format(out, err, "\\%c", *c);
        else if (*c == '\n')
            rc = exia__buffer_text(out, "\\n", err);
        else if (*c == '&')
            rc = exia__buffer_text(out, "&amp;", err);
        else if ((unsigned char)*c < 0x20 || *c == 0x7f)
            rc = exia__buffer_text(out, "\xef\xbf\xbd", err); /* no image can show it: U+FFFD */
        else
            rc = exia__buffer_append(out, c, 1, err);
    }
    if (rc == EXIA_OK)
        rc = exia__buffer_text(out, name ? "\"];\n" : ";\n", err);
    return rc;
}

static int is_plain(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           c >= 0x80;
}

/* Mermaid reads HTML, Markdown and its own #codes; in a label "." "-" and ":" are plain only inside
 * a word ("1. x" is a list). */
static exia_status mermaid_node(exia__buffer *out, uint32_t node, const char *name, exia_error *err)
{
    exia_status rc = exia__buffer_format(out, err, "  n%u", (unsigned)node);
    if (rc == EXIA_OK)
        rc = name ? exia__buffer_text(out, "[\"", err)
                  : exia__buffer_format(out, err, "[\"%u", (unsigned)node);
    for (const char *c = name; c != NULL && *c != '\0' && rc == EXIA_OK; c++) {
        unsigned char byte = (unsigned char)*c;
        int inside = c > name && is_plain((unsigned char)c[-1]) && is_plain((unsigned char)c[1]);
        if (is_plain(byte) || byte == ' ' || (inside && strchr(".-:", byte)))
            rc = exia__buffer_append(out, c, 1, err);
        else if (byte == '\n')
            rc = exia__buffer_text(out, "<br/>", err);
        else if (byte < 0x20 || byte == 0x7f)
            rc = exia__buffer_text(out, "\xef\xbf\xbd", err);
        else
            rc = exia__buffer_format(out, err, "#%u;", (unsigned)byte);
    }
    if (rc == EXIA_OK)
        rc = exia__buffer_text(out, "\"]\n", err);
    return rc;
}

static const struct format {
    const char *name, *begin, *edge_begin, *edge_middle, *edge_end, *end;
    node_fn *node;
} formats[] = {
    {"dot", "digraph {\n", "  ", " -> ", ";\n", "}\n", dot_node},
    {"mermaid", "flowchart TD\n", "  n", " --> n", "\n", "", mermaid_node},
};

/* The edges of `node`, each once: `seen` remembers by which node a target was last written. */
static uint32_t *unique_row(uint32_t *count, exia__csr *csr, uint32_t *seen, uint32_t node)
{
    uint32_t *row = csr->targets + csr->starts[node],
             size = csr->starts[node + 1] - csr->starts[node];
    *count = 0;
    for (uint32_t i = 0; i < size; i++) {
        if (seen[row[i]] != node + 1) {
            seen[row[i]] = node + 1;
            row[(*count)++] = row[i];
        }
    }
    return row;
}

static exia_status write_text(exia__buffer *out, const exia_dag *dag, const struct format *how,
                              exia__csr *csr, uint32_t *seen, exia_error *err)
{
    uint32_t nodes = (uint32_t)dag->names.count, count = 0;
    exia_status rc = exia__buffer_text(out, how->begin, err);
    for (uint32_t i = 0; i < nodes && rc == EXIA_OK; i++)
        rc = how->node(out, i, exia_dag_name(dag, i), err);
    for (uint32_t i = 0; i < nodes && rc == EXIA_OK; i++) {
        const uint32_t *row = unique_row(&count, csr, seen, i);
        for (uint32_t k = 0; k < count && rc == EXIA_OK; k++)
            rc = exia__buffer_format(out, err, "%s%u%s%u%s", how->edge_begin, (unsigned)i,
                                     how->edge_middle, (unsigned)row[k], how->edge_end);
    }
    return rc == EXIA_OK ? exia__buffer_text(out, how->end, err) : rc;
}

/* {"nodes": [NAME or null ...], "edges": [[BEFORE, AFTER] ...]} */
static exia_status write_json(char **out, const exia_dag *dag, exia__csr *csr, uint32_t *seen,
                              exia_error *err)
{
    uint32_t size = (uint32_t)dag->names.count, count = 0;
    json_t *nodes = json_array(), *edges = json_array();
    json_t *json = json_pack("{s:O, s:O}", "nodes", nodes, "edges", edges);
    exia_status rc = EXIA_OK;
    for (uint32_t i = 0; i < size && rc == EXIA_OK; i++) {
        const char *name = exia_dag_name(dag, i);
        rc = exia__json_append(nodes, name ? json_string(name) : json_null(), err);
    }
    for (uint32_t i = 0; i < size && rc == EXIA_OK; i++) {
        const uint32_t *row = unique_row(&count, csr, seen, i);
        for (uint32_t k = 0; k < count && rc == EXIA_OK; k++)
            rc =
                exia__json_append(edges, json_pack("[II]", (json_int_t)i, (json_int_t)row[k]), err);
    }
    if (rc == EXIA_OK)
        rc = exia__json_text(out, json, err);
    json_decref(nodes);
    json_decref(edges);
    json_decref(json);
    return rc;
}

exia_status exia_dag_export(char **out, const exia_dag *dag, const char *format, exia_error *err)
{
    exia_status rc = EXIA_OK;
    const struct format *how = NULL;
    exia__buffer text = {0};
    exia__csr csr = {0};
    uint32_t *seen = NULL;
    if (out != NULL)
        *out = NULL;
    if (out == NULL || dag == NULL || format == NULL)
        return exia__fail(err, EXIA_EINVAL, 0, "exia_dag_export: an argument is NULL");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(formats[i].name, format) == 0)
            how = &formats[i];
    }
    if (how == NULL && strcmp(format, "json") != 0)
        return exia__fail(err, EXIA_EINVAL, 0,
                          "a graph is exported as dot, mermaid or json, not %.40s", format);
    /* Of its own: the graph is const, the rows shrink. */
    rc =
        exia__csr_open(&csr, NULL, dag->names.count, dag->before, dag->after, dag->edge_count, err);
    if (rc < 0)
        goto done;
    seen = exia__zeroed(dag->names.count, sizeof *seen);
    if (seen == NULL)
        rc = exia__fail_memory(err);
    else if (how == NULL)
        rc = write_json(out, dag, &csr, seen, err);
    else
        rc = write_text(&text, dag, how, &csr, seen, err);
    if (rc == EXIA_OK && how != NULL)
        rc = exia__buffer_take(out, &text, err);
done:
    exia__buffer_free(&text);
    exia__csr_free(&csr);
    exia__release(seen);
    return rc;
}

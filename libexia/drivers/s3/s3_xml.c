/* The XML of S3's answers: a flat run of elements with texts is all that is wanted of it. */
#include <expat.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "drivers/s3/s3.h"

enum { LONGEST_TEXT = 8192, DEEPEST = 16 };

typedef struct reader {
    XML_Parser parser;
    exia__buffer text; /* of the innermost element so far */
    int depth;
    exia__s3_element_fn *element;
    void *payload;
    exia_status rc;
    exia_error *err;
} reader;

static void stop(reader *r, exia_status rc)
{
    r->rc = rc;
    XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *payload, const XML_Char *name, const XML_Char **attributes)
{
    reader *r = payload;
    (void)name;
    (void)attributes;
    r->text.size = 0;
    if (++r->depth > DEEPEST)
        stop(r, exia__fail(r->err, EXIA_ECORRUPT, 0, "its XML is nested too deep"));
}

static void XMLCALL on_text(void *payload, const XML_Char *text, int size)
{
    reader *r = payload;
    if (r->text.size + (size_t)size > LONGEST_TEXT)
        stop(r, exia__fail(r->err, EXIA_ECORRUPT, 0, "its XML has too long a text"));
    else if (exia__buffer_append(&r->text, text, (size_t)size, r->err) < 0)
        stop(r, EXIA_ENOMEM);
}

static void XMLCALL on_end(void *payload, const XML_Char *name)
{
    reader *r = payload;
    r->depth--;
    exia_status rc = exia__buffer_append(&r->text, "", 0, r->err);
    if (rc == EXIA_OK)
        rc = r->element(name, r->text.data, r->payload, r->err);
    if (rc != EXIA_OK)
        stop(r, rc);
    r->text.size = 0;
}

/* Entities of its own are what makes XML dangerous, and no answer of S3 has any. */
static void XMLCALL on_doctype(void *payload, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_subset)
{
    reader *r = payload;
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    stop(r, exia__fail(r->err, EXIA_ECORRUPT, 0, "its XML has a document type"));
}

exia_status exia__s3_xml(const char *text, size_t size, exia__s3_element_fn *element, void *payload,
                         exia_error *err)
{
    reader r = {.element = element, .payload = payload, .err = err};
    r.parser = XML_ParserCreate("UTF-8");
    if (r.parser == NULL)
        return exia__fail_memory(err);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    while (size > 0 && strchr(" \t\r\n", *text) != NULL) { /* sent while the caller had to wait */
        text++;
        size--;
    }
    enum XML_Status done = XML_Parse(r.parser, size > 0 ? text : "", (int)size, 1);
    exia_status rc = r.rc;
    if (done == XML_STATUS_ERROR && rc == EXIA_OK)
        rc = XML_GetErrorCode(r.parser) == XML_ERROR_NO_MEMORY
                 ? exia__fail_memory(err)
                 : exia__fail(err, EXIA_ECORRUPT, 0, "its answer is no XML: %s",
                              XML_ErrorString(XML_GetErrorCode(r.parser)));
    XML_ParserFree(r.parser);
    exia__buffer_free(&r.text);
    return rc;
}

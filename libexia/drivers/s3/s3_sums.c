/* Are the parts that were not sent just now what they should be?  Ranges that the server copied, of an object that
 * rotted there, would make each that is made of it rotten; what an earlier upload sent may be of a source that
 * was changing.  To read them back would cost what they saved, but most servers answer a part with the MD5 of its
 * bytes as its ETag: whether this one does shows at a part that was sent.  It is a proof against rot alone; that
 * against malice is the SHA-256 that a reader compares. */
#include <openssl/evp.h>
#include <string.h>

#include "base/error.h"
#include "base/memory.h"
#include "drivers/s3/s3_parts.h"

enum { PIECE = 1 << 20, MD5_SIZE = 16 };

exia_status exia__s3_sum(exia__s3_part *part, const exia_source *source, exia_error *err)
{
    unsigned char digest[MD5_SIZE];
    size_t most = part->size < PIECE ? (size_t)part->size : PIECE;
    exia_status rc = EXIA_OK;
    if (*part->md5 != '\0')
        return EXIA_OK;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    char *piece = exia__resize(NULL, most);
    if (context == NULL || piece == NULL)
        rc = exia__fail_memory(err);
    else if (EVP_DigestInit_ex(context, EVP_md5(), NULL) != 1)
        goto done; /* not allowed here, as by a policy: then there is no such proof */
    for (uint64_t done = 0; rc == EXIA_OK && done < part->size; done += most) {
        size_t size = part->size - done < most ? (size_t)(part->size - done) : most;
        rc = source->read(piece, part->at + done, size, source->payload, err);
        if (rc == EXIA_OK && EVP_DigestUpdate(context, piece, size) != 1)
            rc = exia__fail(err, EXIA_EUNSUPPORTED, 0, "libcrypto fails at MD5");
    }
    if (rc == EXIA_OK && EVP_DigestFinal_ex(context, digest, NULL) == 1)
        exia__hex(part->md5, digest, sizeof digest);
done:
    EVP_MD_CTX_free(context);
    exia__release(piece);
    return rc;
}

/* With quotes around it or without. */
static int is_its_etag(const exia__s3_part *part)
{
    const char *etag = part->etag + (*part->etag == '"');
    size_t size = strcspn(etag, "\"");
    return size == 2 * MD5_SIZE && strncmp(etag, part->md5, size) == 0;
}

/* Does `part` show better than `than` what ETags are here?  One that was sent just now, else the smaller one. */
static int shows_more(const exia__s3_part *part, const exia__s3_part *than)
{
    if (part->key != NULL || than == NULL)
        return part->key == NULL;
    return part->noted != than->noted ? than->noted : part->size < than->size;
}

static exia_status damaged(const exia__s3 *self, const exia__s3_part *part, exia_error *err)
{
    if (part->key == NULL)
        return exia__fail(err, EXIA_ECORRUPT, 0, "%s: what was sent earlier is not the same",
                          self->shown);
    exia__log(EXIA_LOG_WARNING, "s3", "%s: \"%s\" is damaged there, and not copied from",
              self->shown, part->key);
    return exia__fail(err, EXIA_ECORRUPT, 0, "%s: \"%.80s\" is damaged there", self->shown,
                      part->key);
}

exia_status exia__s3_sums_compare(const exia__s3 *self, exia__s3_plan *plan,
                                  const exia_source *source, exia_error *err)
{
    exia__s3_part *sent = NULL;
    int doubts = 0;
    for (size_t i = 0; i < plan->count; i++) {
        exia__s3_part *part = &plan->parts[i];
        sent = shows_more(part, sent) ? part : sent;
        doubts |= part->key != NULL || part->noted;
    }
    if (source == NULL || sent == NULL || !doubts)
        return EXIA_OK;
    exia_status rc = exia__s3_sum(sent, source, err);
    if (rc < 0 || !is_its_etag(sent)) /* nothing is known of what this server's ETags are */
        return rc;
    for (size_t i = 0; rc == EXIA_OK && i < plan->count; i++) {
        exia__s3_part *part = &plan->parts[i];
        if (part->key == NULL && !part->noted)
            continue;
        rc = exia__s3_sum(part, source, err);
        if (rc == EXIA_OK && !is_its_etag(part))
            rc = damaged(self, part, err);
    }
    return rc;
}

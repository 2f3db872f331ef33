/* Base64 by libcrypto, which is lenient: lengths and padding are checked here. */
#include "base/base64.h"

#include <string.h>

#include <openssl/evp.h>

#include "base/error.h"
#include "base/memory.h"

exia_status exia__base64_encode(char **out, const void *data, size_t size, exia_error *err)
{
    *out = exia__resize(NULL, (size + 2) / 3 * 4 + 1);
    if (*out == NULL)
        return exia__fail_memory(err);
    (*out)[0] = '\0';
    EVP_EncodeBlock((unsigned char *)*out, data, (int)size);
    return EXIA_OK;
}

exia_status exia__base64_decode(void *into, size_t size, const char *text, exia_error *err)
{
    size_t length = strlen(text), padding = (3 - size % 3) % 3;
    int good = length == (size + 2) / 3 * 4 && strcspn(text, "=") == length - padding &&
               strspn(text + length - padding, "=") == padding &&
               (length == 0 || EVP_DecodeBlock(into, (const unsigned char *)text, (int)length) ==
                                   (int)(size + padding));
    return good ? EXIA_OK : exia__fail(err, EXIA_ECORRUPT, 0, "its bytes are not valid base64");
}

/* Base64 (RFC 4648), with padding and nothing between. */
#ifndef EXIA_BASE_BASE64_H
#define EXIA_BASE_BASE64_H

#include "exia/common.h"

exia_status exia__base64_encode(char **out, const void *data, size_t size, exia_error *err);
/* Exactly `size` bytes, and up to two more are written behind them.  @return EXIA_ECORRUPT */
exia_status exia__base64_decode(void *into, size_t size, const char *text, exia_error *err);

#endif

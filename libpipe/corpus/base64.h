/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 of RFC 4648 section 4, as documents embed images: the standard
 * alphabet, strictly, with line breaks. */
#ifndef PL_CORPUS_BASE64_H
#define PL_CORPUS_BASE64_H

#include "libpipe/base/err.h"

/* Bytes that len characters can decode to, at most. */
static inline size_t pl_base64_bound(size_t len)
{
	return len / 4 * 3 + 3;
}

/* Decode text[len] into dst, which has room for pl_base64_bound(len); *dst_len = bytes written.
 * Line breaks may stand anywhere; padding may be absent, but what is there must be right.
 * false: a foreign character, a wrong length, bits left over, or text behind the padding. */
PL_MUST_CHECK bool pl_base64_decode(const char *text, size_t len, uint8_t *dst, size_t *dst_len);

/* The text of data[len], padded and without line breaks; text has room for (len + 2) / 3 * 4 + 1 bytes. */
void pl_base64_encode(const uint8_t *data, size_t len, char *text);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Base64. Decoding is strict, because what does not follow the format is damage
 * that the sample's row has to name. */
#include "base64.h"

/* Value of a character, -1 outside the alphabet. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

bool pl_base64_decode(const char *text, size_t len, uint8_t *dst, size_t *dst_len)
{
	uint32_t bits = 0;
	size_t digits = 0, pads = 0, n = 0;

	for (size_t i = 0; i < len; i++) {
		int v;
		if (text[i] == '\n' || text[i] == '\r')
			continue;
		if (text[i] == '=') {
			pads++;
			continue;
		}
		v = value_of(text[i]);
		if (v < 0 || pads > 0)
			return false;
		bits = bits << 6 | (uint32_t)v;
		if (++digits % 4 == 0) {
			dst[n++] = (uint8_t)(bits >> 16);
			dst[n++] = (uint8_t)(bits >> 8);
			dst[n++] = (uint8_t)bits;
		}
	}
	switch (digits % 4) {
	case 1:
		return false;
	case 2:
		if ((bits & 0x0F) != 0)
			return false;
		dst[n++] = (uint8_t)(bits >> 4);
		break;
	case 3:
		if ((bits & 0x03) != 0)
			return false;
		dst[n++] = (uint8_t)(bits >> 10);
		dst[n++] = (uint8_t)(bits >> 2);
		break;
	default:
		break;
	}
	*dst_len = n;
	return pads == 0 || (digits % 4 != 0 && pads == 4 - digits % 4);
}

void pl_base64_encode(const uint8_t *data, size_t len, char *text)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i = 0;

	for (; len - i >= 3; i += 3) {
		uint32_t bits = (uint32_t)data[i] << 16 | (uint32_t)data[i + 1] << 8 | data[i + 2];
		for (int shift = 18; shift >= 0; shift -= 6)
			*text++ = digits[bits >> shift & 63];
	}
	if (len - i > 0) {
		uint32_t bits = (uint32_t)data[i] << 16 | (len - i == 2 ? (uint32_t)data[i + 1] << 8 : 0);
		*text++ = digits[bits >> 18];
		*text++ = digits[bits >> 12 & 63];
		*text++ = len - i == 2 ? digits[bits >> 6 & 63] : '=';
		*text++ = '=';
	}
	*text = '\0';
}

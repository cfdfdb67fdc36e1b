/* SPDX-License-Identifier: Apache-2.0 */
/* The one thing plait wants of EXIF: how the picture is to be turned. Reads
 * the first directory of the TIFF block and nothing else. */
#include "codec.h"

static uint32_t get16(const uint8_t *p, bool big)
{
	return big ? pl_be16(p) : pl_le16(p);
}

static uint32_t get32(const uint8_t *p, bool big)
{
	return big ? pl_be32(p) : pl_le32(p);
}

uint8_t pl_exif_orientation(const uint8_t *data, size_t len)
{
	enum { ENTRY = 12, TAG_ORIENTATION = 0x0112, TYPE_BYTE = 1, TYPE_SHORT = 3, TYPE_LONG = 4 };

	if (len < 8 || data[0] != data[1] || (data[0] != 'M' && data[0] != 'I'))
		return 1;
	bool big = data[0] == 'M';
	size_t at = get32(data + 4, big);
	if (get16(data + 2, big) != 42 || at > len - 2)
		return 1;
	uint32_t entries = get16(data + at, big);
	at += 2;
	for (; entries > 0 && len - at >= ENTRY; entries--, at += ENTRY) {
		const uint8_t *e = data + at;
		if (get16(e, big) != TAG_ORIENTATION)
			continue;
		uint32_t value = 0;
		switch (get16(e + 2, big)) {
		case TYPE_BYTE:
			value = e[8];
			break;
		case TYPE_SHORT:
			value = get16(e + 8, big);
			break;
		case TYPE_LONG:
			value = get32(e + 8, big);
			break;
		default:
			break;
		}
		return value >= 1 && value <= 8 ? (uint8_t)value : 1;
	}
	return 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Image formats by their magic bytes. File names and declared types lie too
 * often on the web to be asked. */
#include "codec.h"

#include <string.h>

static const struct {
	const char *name, *extension;
	bool decodable;
} formats[PL_FORMAT_COUNT] = {
	[PL_FORMAT_UNKNOWN] = { "unknown", "bin", false },
	[PL_FORMAT_JPEG] = { "jpeg", "jpg", true },
	[PL_FORMAT_PNG] = { "png", "png", true },
	[PL_FORMAT_WEBP] = { "webp", "webp", true },
	[PL_FORMAT_GIF] = { "gif", "gif", true },
	[PL_FORMAT_BMP] = { "bmp", "bmp", true },
	[PL_FORMAT_TIFF] = { "tiff", "tif", false },
#ifdef HAVE_AVIF
	[PL_FORMAT_AVIF] = { "avif", "avif", true },
#else
	[PL_FORMAT_AVIF] = { "avif", "avif", false },
#endif
	[PL_FORMAT_JP2] = { "jp2", "jp2", false },
	[PL_FORMAT_ICO] = { "ico", "ico", false },
	[PL_FORMAT_SVG] = { "svg", "svg", false },
};

static unsigned known(enum pl_format f)
{
	return (unsigned)f < PL_FORMAT_COUNT ? (unsigned)f : (unsigned)PL_FORMAT_UNKNOWN;
}

const char *pl_format_name(enum pl_format f)
{
	return formats[known(f)].name;
}

const char *pl_format_extension(enum pl_format f)
{
	return formats[known(f)].extension;
}

bool pl_format_decodable(enum pl_format f)
{
	return formats[known(f)].decodable;
}

static bool has(const uint8_t *data, size_t len, size_t at, const char *magic, size_t n)
{
	return at <= len && n <= len - at && memcmp(data + at, magic, n) == 0;
}

/* An ISO media file is AVIF when its major or a compatible brand says so. */
static bool is_avif(const uint8_t *data, size_t len)
{
	if (!has(data, len, 4, "ftyp", 4) || len < 16)
		return false;
	size_t end = pl_be32(data);
	if (end > len)
		end = len;
	for (size_t at = 8; at + 4 <= end; at += 4)
		if (has(data, end, at, "avif", 4) || has(data, end, at, "avis", 4))
			return true;
	return false;
}

/* "BM" alone is too weak: the size of the header that follows must be one that exists. */
static bool is_bmp(const uint8_t *data, size_t len)
{
	if (!has(data, len, 0, "BM", 2) || len < 18)
		return false;
	switch (pl_le32(data + 14)) {
	case 12:
	case 40:
	case 52:
	case 56:
	case 64:
	case 108:
	case 124:
		return true;
	default:
		return false;
	}
}

/* XML whose first kilobyte opens an <svg element. */
static bool is_svg(const uint8_t *data, size_t len)
{
	size_t at = has(data, len, 0, "\xEF\xBB\xBF", 3) ? 3 : 0;
	while (at < len &&
	    (data[at] == ' ' || data[at] == '\t' || data[at] == '\r' || data[at] == '\n'))
		at++;
	if (has(data, len, at, "<svg", 4))
		return true;
	if (!has(data, len, at, "<?xml", 5) && !has(data, len, at, "<!--", 4) &&
	    !has(data, len, at, "<!DOCTYPE", 9))
		return false;
	size_t end = len < 1024 ? len : 1024;
	for (; at < end; at++)
		if (has(data, end, at, "<svg", 4))
			return true;
	return false;
}

enum pl_format pl_img_sniff(const uint8_t *data, size_t len)
{
	if (has(data, len, 0, "\xFF\xD8\xFF", 3))
		return PL_FORMAT_JPEG;
	if (has(data, len, 0, "\x89PNG\r\n\x1A\n", 8))
		return PL_FORMAT_PNG;
	if (has(data, len, 0, "RIFF", 4) && has(data, len, 8, "WEBP", 4))
		return PL_FORMAT_WEBP;
	if (has(data, len, 0, "GIF87a", 6) || has(data, len, 0, "GIF89a", 6))
		return PL_FORMAT_GIF;
	if (is_bmp(data, len))
		return PL_FORMAT_BMP;
	if (has(data, len, 0, "II*\0", 4) || has(data, len, 0, "MM\0*", 4) ||
	    has(data, len, 0, "II+\0", 4) || has(data, len, 0, "MM\0+", 4))
		return PL_FORMAT_TIFF;
	if (is_avif(data, len))
		return PL_FORMAT_AVIF;
	if (has(data, len, 0, "\0\0\0\x0CjP  \r\n\x87\n", 12) ||
	    has(data, len, 0, "\xFF\x4F\xFF\x51", 4))
		return PL_FORMAT_JP2;
	if (has(data, len, 0, "\0\0\1\0", 4) && len >= 22 && pl_le16(data + 4) > 0)
		return PL_FORMAT_ICO;
	if (is_svg(data, len))
		return PL_FORMAT_SVG;
	return PL_FORMAT_UNKNOWN;
}

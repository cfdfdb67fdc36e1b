/* SPDX-License-Identifier: Apache-2.0 */
/* Where files keep their ICC profile: JPEG's APP2 pieces, PNG's iCCP, WebP's
 * ICCP, AVIF's colr. */
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "icc.h"

enum { APP2_NAME = 12, APP2_HEAD = 14, MAX_PIECES = 255 };

struct piece {
	const uint8_t *data;
	size_t len;
};

/* The APP2 pieces before the frame header, by number; how many there are to be, 0 = none. */
static unsigned jpeg_pieces(const uint8_t *data, size_t len, struct piece pieces[MAX_PIECES + 1])
{
	unsigned total = 0;
	for (size_t at = 2; at + 4 <= len;) {
		if (data[at] != 0xFF || data[at + 1] == 0xFF || data[at + 1] < 0xC0) {
			at++;
			continue;
		}
		uint8_t marker = data[at + 1];
		size_t size = pl_be16(data + at + 2);
		/* C0..CF but DHT: the frame header, behind which nothing is looked for. */
		if ((marker < 0xD0 && marker != 0xC4) || marker == 0xDA || size < 2 || size > len - at - 2)
			break;
		const uint8_t *body = data + at + 4;
		at += 2 + size;
		if (marker != 0xE2 || size < 2 + APP2_HEAD || memcmp(body, "ICC_PROFILE", APP2_NAME) != 0)
			continue;
		unsigned number = body[12];
		if (number == 0 || body[13] == 0 || (total && body[13] != total) || pieces[number].data)
			return 0;
		total = body[13];
		pieces[number] = (struct piece){ body + APP2_HEAD, size - 2 - APP2_HEAD };
	}
	return total;
}

static uint8_t *copied(const uint8_t *data, size_t n, size_t *len)
{
	uint8_t *profile = n > 0 && n <= PL_ICC_MAX ? malloc(n) : NULL;
	if (profile)
		memcpy(profile, data, n);
	*len = profile ? n : 0;
	return profile;
}

static uint8_t *jpeg_profile(const uint8_t *data, size_t len, size_t *profile_len)
{
	struct piece pieces[MAX_PIECES + 1] = { { NULL, 0 } };
	size_t n = 0;
	unsigned total = jpeg_pieces(data, len, pieces);
	for (unsigned i = 1; i <= total; i++) {
		if (!pieces[i].data)
			return NULL;
		n += pieces[i].len;
	}
	uint8_t *profile = n > 0 && n <= PL_ICC_MAX ? malloc(n) : NULL;
	if (!profile)
		return NULL;
	*profile_len = n;
	n = 0;
	for (unsigned i = 1; i <= total; i++) {
		memcpy(profile + n, pieces[i].data, pieces[i].len);
		n += pieces[i].len;
	}
	return profile;
}

static uint8_t *webp_profile(const uint8_t *data, size_t len, size_t *profile_len)
{
	enum { RIFF = 12, CHUNK = 8 };
	size_t at = RIFF;
	while (at <= len && len - at >= CHUNK) {
		size_t n = pl_le32(data + at + 4);
		if (n > len - at - CHUNK)
			return NULL;
		if (memcmp(data + at, "ICCP", 4) == 0)
			return copied(data + at + CHUNK, n, profile_len);
		/* The profile comes before all pixels. */
		if (memcmp(data + at, "VP8X", 4) != 0)
			return NULL;
		at += CHUNK + n + (n & 1);
	}
	return NULL;
}

uint8_t *pl_icc_extract(const uint8_t *data, size_t len, enum pl_format format, size_t *profile_len)
{
	*profile_len = 0;
	if (format == PL_FORMAT_JPEG)
		return jpeg_profile(data, len, profile_len);
	if (format == PL_FORMAT_PNG)
		return pl_png_profile(data, len, profile_len);
	if (format == PL_FORMAT_WEBP)
		return webp_profile(data, len, profile_len);
	if (format == PL_FORMAT_AVIF)
		return pl_avif_profile(data, len, profile_len);
	return NULL;
}

/* Does a profile for want channels fit pixels that were stored with these? A grey profile on RGB, or the other way
 * round, means nothing, and four components of a JPEG are CMYK. */
static bool fits(unsigned want, enum pl_format format, unsigned channels)
{
	if (format == PL_FORMAT_JPEG && channels == 4)
		return false;
	return want == (channels < 3 ? 1u : 3u);
}

bool pl_icc_found(const uint8_t *data, size_t len, enum pl_format format, unsigned channels)
{
	size_t n;
	uint8_t *profile = pl_icc_extract(data, len, format, &n);
	unsigned want = profile ? pl_icc_foreign(profile, n) : 0;
	free(profile);
	return fits(want, format, channels);
}

void pl_img_to_srgb(const uint8_t *data, size_t len, const struct pl_img_info *info, struct pl_image *im)
{
	if (info->format == PL_FORMAT_PNG) {
		const struct pl_png_colour colour = pl_png_colour(data, len);
		if (!colour.iccp) {
			if (pl_png_colour_foreign(&colour))
				pl_png_colour_to_srgb(&colour, im);
			return;
		}
	}
	size_t n;
	uint8_t *profile = pl_icc_extract(data, len, info->format, &n);
	if (profile && fits(pl_icc_channels(profile, n), info->format, info->channels))
		(void)pl_icc_to_srgb(profile, n, im);
	free(profile);
}

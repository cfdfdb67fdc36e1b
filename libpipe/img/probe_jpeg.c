/* SPDX-License-Identifier: Apache-2.0 */
/* A walk over JPEG's header markers to the frame header: size, components,
 * sampling, orientation. Ten times faster than asking the library. */
#include "codec.h"

#include <string.h>

#include "icc.h"

enum {
	M_TEM = 0x01,
	M_SOF0 = 0xC0,
	M_SOF2 = 0xC2,
	M_DHT = 0xC4,
	M_JPG = 0xC8,
	M_SOF9 = 0xC9,
	M_SOF10 = 0xCA,
	M_DAC = 0xCC,
	M_SOF15 = 0xCF,
	M_RST0 = 0xD0,
	M_RST7 = 0xD7,
	M_SOI = 0xD8,
	M_EOI = 0xD9,
	M_SOS = 0xDA,
	M_APP1 = 0xE1,
	M_APP2 = 0xE2
};

static bool is_frame(uint8_t marker)
{
	return marker >= M_SOF0 && marker <= M_SOF15 && marker != M_DHT && marker != M_JPG &&
	    marker != M_DAC;
}

/* p[0..len): the frame header behind its length field. */
static enum pl_reason read_frame(
    uint8_t marker, const uint8_t *p, size_t len, struct pl_img_info *info)
{
	if (len < 6)
		return PL_REASON_CORRUPT;
	uint8_t components = p[5];
	info->depth = p[0];
	info->height = pl_be16(p + 1);
	info->width = pl_be16(p + 3);
	info->channels = components;
	info->progressive = marker == M_SOF2 || marker == M_SOF10;
	if (len < 6 + 3 * (size_t)components || components == 0)
		return PL_REASON_CORRUPT;
	/* Baseline, extended and progressive, Huffman or arithmetic; neither lossless nor
	 * hierarchical. */
	if (marker > M_SOF2 && marker != M_SOF9 && marker != M_SOF10)
		return PL_REASON_UNSUPPORTED;
	/* Height 0 announces a DNL marker behind the first scan, which no common decoder reads. */
	if (info->depth != 8 || components == 2 || components > 4 ||
	    (info->height == 0 && info->width > 0))
		return PL_REASON_UNSUPPORTED;
	info->subsampled_420 = components == 3 && p[7] == 0x22 && p[10] == 0x11 && p[13] == 0x11;
	return PL_REASON_KEEP;
}

/* Markers that stand alone and mean nothing before the frame. */
static bool is_filler(uint8_t marker)
{
	return marker == 0 || marker == M_TEM || (marker >= M_RST0 && marker <= M_RST7);
}

/* What of the markers before the frame has been seen. */
struct jpeg_walk {
	bool exif, profile;
};

static void read_app(uint8_t marker, const uint8_t *body, size_t n, struct jpeg_walk *walk, struct pl_img_info *info)
{
	if (marker == M_APP1 && !walk->exif && n > 6 && memcmp(body, "Exif\0\0", 6) == 0) {
		info->orientation = pl_exif_orientation(body + 6, n - 6);
		walk->exif = true;
	}
	if (marker == M_APP2 && n > 14 && memcmp(body, "ICC_PROFILE", 12) == 0)
		walk->profile = true;
}

enum pl_reason pl_probe_jpeg(const uint8_t *data, size_t len, struct pl_img_info *info)
{
	struct jpeg_walk walk = { false, false };
	size_t at = 2;
	for (;;) {
		/* Junk between markers, "FF 00" included, is skipped, as libjpeg does. */
		while (at < len && data[at] != 0xFF)
			at++;
		while (at < len && data[at] == 0xFF)
			at++;
		if (at >= len)
			return PL_REASON_TRUNCATED;
		uint8_t marker = data[at++];
		if (is_filler(marker))
			continue;
		if (marker == M_SOI || marker == M_EOI || marker == M_SOS)
			return PL_REASON_CORRUPT;
		if (len - at < 2)
			return PL_REASON_TRUNCATED;
		size_t size = pl_be16(data + at);
		if (size < 2)
			return PL_REASON_CORRUPT;
		if (size > len - at)
			return PL_REASON_TRUNCATED;
		const uint8_t *body = data + at + 2;
		size_t n = size - 2;
		if (is_frame(marker)) {
			enum pl_reason reason = read_frame(marker, body, n, info);
			if (reason == PL_REASON_KEEP && walk.profile)
				info->foreign_profile =
				    pl_icc_found(data, at, PL_FORMAT_JPEG, info->channels);
			return reason;
		}
		read_app(marker, body, n, &walk, info);
		at += size;
	}
}

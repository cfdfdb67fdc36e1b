/* SPDX-License-Identifier: Apache-2.0 */
/* What an image's header tells, without touching pixels: the gate in front
 * of every decoder. Only colour profiles and AVIF's boxes cost memory here. */
#include "codec.h"

#include <string.h>
#include <webp/decode.h>

#include "icc.h"

enum { MAX_FRAMES = 65535 };

struct pl_img_limits pl_img_limits_default(void)
{
	return (struct pl_img_limits){
		.max_bytes = UINT64_C(64) << 20,
		.max_pixels = 100000000,
		.max_side = 65500,
		.timeout_ms = 20000,
		.max_memory = UINT64_C(1) << 30,
		.max_missing = 0.05,
	};
}

enum pl_reason pl_img_check_size(uint64_t width, uint64_t height, const struct pl_img_limits *lim)
{
	if (width == 0 || height == 0)
		return PL_REASON_CORRUPT;
	if (width > lim->max_side || height > lim->max_side || width > lim->max_pixels / height)
		return PL_REASON_BOMB;
	return PL_REASON_KEEP;
}

static bool png_depth_fits(uint8_t colour_type, uint8_t depth)
{
	switch (colour_type) {
	case 0:
		return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
	case 3:
		return depth == 1 || depth == 2 || depth == 4 || depth == 8;
	case 2:
	case 4:
	case 6:
		return depth == 8 || depth == 16;
	default:
		return false;
	}
}

struct png_walk {
	bool pixels;
	uint32_t frames;
};

/* type[4..4+n) is the chunk's body. */
static void png_chunk(const uint8_t *type, size_t n, struct png_walk *walk, struct pl_img_info *info)
{
	if (memcmp(type, "IDAT", 4) == 0)
		walk->pixels = true;
	else if (memcmp(type, "tRNS", 4) == 0 && !walk->pixels && n > 0)
		info->alpha = true;
	else if (memcmp(type, "acTL", 4) == 0 && !walk->pixels && n >= 8)
		info->animated = pl_be32(type + 4) > 1;
	else if (memcmp(type, "fcTL", 4) == 0)
		walk->frames += walk->frames < MAX_FRAMES;
	else if (memcmp(type, "eXIf", 4) == 0)
		info->orientation = pl_exif_orientation(type + 4, n);
}

enum pl_reason pl_probe_png(const uint8_t *data, size_t len, struct pl_img_info *info)
{
	static const uint8_t channels[] = { 1, 0, 3, 3, 2, 0, 4 };
	enum { SIGNATURE = 8, CHUNK = 12, IHDR = 13 };

	if (len < SIGNATURE + CHUNK + IHDR)
		return PL_REASON_TRUNCATED;
	const uint8_t *p = data + SIGNATURE;
	if (pl_be32(p) != IHDR || memcmp(p + 4, "IHDR", 4) != 0)
		return PL_REASON_CORRUPT;
	info->width = pl_be32(p + 8);
	info->height = pl_be32(p + 12);
	info->depth = p[16];
	uint8_t colour_type = p[17];
	if (!png_depth_fits(colour_type, info->depth) || p[18] != 0 || p[19] != 0 || p[20] > 1)
		return PL_REASON_CORRUPT;
	info->channels = channels[colour_type];
	info->alpha = colour_type == 4 || colour_type == 6;
	/* The chunks up to the end: an EXIF chunk may follow the pixels. */
	struct png_walk walk = { false, 0 };
	size_t at = SIGNATURE + CHUNK + IHDR;
	while (len - at >= CHUNK) {
		size_t n = pl_be32(data + at);
		const uint8_t *type = data + at + 4;
		if (n > len - at - CHUNK || memcmp(type, "IEND", 4) == 0)
			break;
		png_chunk(type, n, &walk, info);
		at += CHUNK + n;
	}
	if (info->animated && walk.frames > 1)
		info->frames = walk.frames;
	const struct pl_png_colour colour = pl_png_colour(data, len);
	info->foreign_profile = colour.iccp ? pl_icc_found(data, len, PL_FORMAT_PNG, info->channels)
					    : pl_png_colour_foreign(&colour);
	return PL_REASON_KEEP;
}

/* Frames, profile and EXIF, in the order in which they stand. */
static void webp_chunks(const uint8_t *data, size_t len, struct pl_img_info *info)
{
	enum { HEADER = 12, CHUNK = 8 };
	size_t at = HEADER;
	uint32_t frames = 0;
	while (at <= len && len - at >= CHUNK && frames < MAX_FRAMES) {
		size_t n = pl_le32(data + at + 4);
		const uint8_t *body = data + at + CHUNK;
		if (n > len - at - CHUNK)
			return;
		if (memcmp(data + at, "ANMF", 4) == 0)
			frames++;
		if (frames > 1)
			info->frames = frames;
		if (memcmp(data + at, "EXIF", 4) == 0) {
			size_t skip = n > 6 && memcmp(body, "Exif\0\0", 6) == 0 ? 6 : 0;
			info->orientation = pl_exif_orientation(body + skip, n - skip);
			return;
		}
		at += CHUNK + n + (n & 1);
	}
}

enum pl_reason pl_probe_webp(const uint8_t *data, size_t len, struct pl_img_info *info)
{
	WebPBitstreamFeatures f;
	VP8StatusCode status = WebPGetFeatures(data, len, &f);
	if (status == VP8_STATUS_NOT_ENOUGH_DATA)
		return PL_REASON_TRUNCATED;
	if (status == VP8_STATUS_UNSUPPORTED_FEATURE)
		return PL_REASON_UNSUPPORTED;
	if (status != VP8_STATUS_OK || f.width <= 0 || f.height <= 0)
		return PL_REASON_CORRUPT;
	info->width = (uint32_t)f.width;
	info->height = (uint32_t)f.height;
	info->depth = 8;
	info->alpha = f.has_alpha != 0;
	info->animated = f.has_animation != 0;
	info->channels = info->alpha ? 4 : 3;
	webp_chunks(data, len, info);
	info->foreign_profile = pl_icc_found(data, len, PL_FORMAT_WEBP, info->channels);
	return PL_REASON_KEEP;
}

/* The position behind a chain of GIF sub-blocks, or len when it does not end. */
static size_t gif_skip_blocks(const uint8_t *data, size_t len, size_t at)
{
	while (at < len && data[at] != 0) {
		size_t n = (size_t)data[at] + 1;
		at = n > len - at ? len : at + n;
	}
	return at < len ? at + 1 : len;
}

static size_t gif_palette_bytes(uint8_t packed)
{
	return packed & 0x80 ? (size_t)3 << ((packed & 7) + 1) : 0;
}

enum pl_reason pl_probe_gif(const uint8_t *data, size_t len, struct pl_img_info *info)
{
	enum { HEADER = 13, DESCRIPTOR = 10 };
	if (len < HEADER)
		return PL_REASON_TRUNCATED;
	info->width = pl_le16(data + 6);
	info->height = pl_le16(data + 8);
	info->depth = 8;
	info->channels = 3;
	size_t at = HEADER + gif_palette_bytes(data[10]);
	uint32_t frames = 0;
	while (at < len && frames < MAX_FRAMES) {
		uint8_t block = data[at];
		if (block == 0x21 && len - at >= 2) {
			if (data[at + 1] == 0xF9 && len - at >= 8 && data[at + 2] == 4 &&
			    frames == 0)
				info->alpha = (data[at + 3] & 1) != 0;
			at = gif_skip_blocks(data, len, at + 2);
		} else if (block == 0x2C && len - at > DESCRIPTOR) {
			const uint8_t *d = data + at;
			frames++;
			/* What the first frame leaves uncovered is transparent. */
			if (frames == 1 &&
			    (pl_le16(d + 1) > 0 || pl_le16(d + 3) > 0 ||
				pl_le16(d + 5) < info->width || pl_le16(d + 7) < info->height))
				info->alpha = true;
			size_t skip = DESCRIPTOR + gif_palette_bytes(d[9]) + 1;
			at = skip > len - at ? len : gif_skip_blocks(data, len, at + skip);
		} else {
			break;
		}
	}
	info->animated = frames > 1;
	info->frames = frames > 1 ? frames : 1;
	return PL_REASON_KEEP;
}

enum pl_reason pl_probe_bmp(const uint8_t *data, size_t len, struct pl_img_info *info)
{
	enum { BI_RGB = 0, BI_BITFIELDS = 3, BI_LAST = 6, OS2_HEADER = 12 };
	uint32_t header = pl_le32(data + 14), bits, compression = BI_RGB;
	if (len < 26 || len - 14 < header)
		return PL_REASON_TRUNCATED;
	if (header == OS2_HEADER) {
		info->width = pl_le16(data + 18);
		info->height = pl_le16(data + 20);
		bits = pl_le16(data + 24);
	} else {
		uint32_t height = pl_le32(data + 22);
		info->width = pl_le32(data + 18);
		info->height =
		    height >> 31 ? 0u - height : height; /* negative: rows run top-down */
		bits = pl_le16(data + 28);
		compression = pl_le32(data + 30);
	}
	bool palette = bits == 1 || bits == 2 || bits == 4 || bits == 8;
	bool direct = bits == 16 || bits == 24 || bits == 32;
	if ((!palette && !direct) || info->width >> 31 || compression > BI_LAST)
		return PL_REASON_CORRUPT;
	info->depth = 8;
	info->alpha = bits == 32;
	info->channels = info->alpha ? 4 : 3;
	if (compression == BI_BITFIELDS)
		return bits == 16 || bits == 32 ? PL_REASON_KEEP : PL_REASON_CORRUPT;
	/* The rest are run lengths, or JPEG or PNG inside. */
	return compression == BI_RGB ? PL_REASON_KEEP : PL_REASON_UNSUPPORTED;
}

static enum pl_reason probe_format(
    const uint8_t *data, size_t len, const struct pl_img_limits *lim, struct pl_img_info *info)
{
	switch (info->format) {
	case PL_FORMAT_JPEG:
		return pl_probe_jpeg(data, len, info);
	case PL_FORMAT_PNG:
		return pl_probe_png(data, len, info);
	case PL_FORMAT_WEBP:
		return pl_probe_webp(data, len, info);
	case PL_FORMAT_GIF:
		return pl_probe_gif(data, len, info);
	case PL_FORMAT_BMP:
		return pl_probe_bmp(data, len, info);
	case PL_FORMAT_AVIF:
		return pl_probe_avif(data, len, lim, info);
	case PL_FORMAT_UNKNOWN:
	case PL_FORMAT_TIFF:
	case PL_FORMAT_JP2:
	case PL_FORMAT_ICO:
	case PL_FORMAT_SVG:
	case PL_FORMAT_COUNT:
		break;
	}
	return PL_REASON_UNSUPPORTED;
}

enum pl_reason pl_img_probe(
    const uint8_t *data, size_t len, const struct pl_img_limits *lim, struct pl_img_info *info)
{
	memset(info, 0, sizeof(*info));
	info->orientation = 1;
	info->frames = 1;
	if (len == 0)
		return PL_REASON_EMPTY;
	info->format = pl_img_sniff(data, len);
	if (len > lim->max_bytes)
		return PL_REASON_TOO_LARGE;
	enum pl_reason reason = probe_format(data, len, lim, info);
	if (reason != PL_REASON_KEEP)
		return reason;
	return pl_img_check_size(info->width, info->height, lim);
}

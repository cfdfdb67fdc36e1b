/* SPDX-License-Identifier: Apache-2.0 */
/* AVIF through libavif and dav1d, one thread: the first picture as 8-bit RGB
 * or RGBA. Without libavif (HAVE_AVIF unset) the format is unsupported. */
#include "codec.h"

#ifdef HAVE_AVIF
#include <avif/avif.h>
#include <stdlib.h>
#include <string.h>

#include "icc.h"

enum { MAX_IMAGES = 65535 };

static enum pl_reason reason_of(avifResult result)
{
	switch ((int)result) {
	case AVIF_RESULT_OK:
		return PL_REASON_KEEP;
	case AVIF_RESULT_TRUNCATED_DATA:
	case AVIF_RESULT_WAITING_ON_IO:
		return PL_REASON_TRUNCATED;
	case AVIF_RESULT_OUT_OF_MEMORY:
		return PL_REASON_NO_MEMORY;
	case AVIF_RESULT_UNSUPPORTED_DEPTH:
	case AVIF_RESULT_NOT_IMPLEMENTED:
	case AVIF_RESULT_NO_CODEC_AVAILABLE:
		return PL_REASON_UNSUPPORTED;
	default:
		return PL_REASON_CORRUPT;
	}
}

/* A decoder whose container is parsed; the caller destroys it whatever the answer is. Pixels over
 * the limits are refused by dav1d too, when the stream is larger than the container says. */
static enum pl_reason open_avif(
    const uint8_t *data, size_t len, uint64_t max_pixels, avifDecoder **decoder)
{
	avifDecoder *d = *decoder = avifDecoderCreate();
	if (!d)
		return PL_REASON_NO_MEMORY;
	/* The other codecs are larger, and libgav1 makes threads. */
	if (!avifCodecName(AVIF_CODEC_CHOICE_DAV1D, AVIF_CODEC_FLAG_CAN_DECODE))
		return PL_REASON_UNSUPPORTED;
	d->codecChoice = AVIF_CODEC_CHOICE_DAV1D;
	d->maxThreads = 1;
	d->ignoreExif = d->ignoreXMP = AVIF_TRUE;
	if (max_pixels > 0 && max_pixels < AVIF_DEFAULT_IMAGE_SIZE_LIMIT)
		d->imageSizeLimit = (uint32_t)max_pixels;
	d->imageCountLimit = MAX_IMAGES;
	/* Many encoders leave the pixi box out; browsers take such files. */
	d->strictFlags &= ~(avifStrictFlags)AVIF_STRICT_PIXI_REQUIRED;
	avifResult result = avifDecoderSetIOMemory(d, data, len);
	if (result == AVIF_RESULT_OK)
		result = avifDecoderParse(d);
	return reason_of(result);
}

/* The EXIF orientation that turns and then mirrors as the boxes say; EXIF itself does not count in
 * this container. */
static uint8_t orientation_of(const avifImage *im)
{
	static const uint8_t turned[4] = { 1, 8, 3, 6 }, then_top_bottom[4] = { 4, 5, 2, 7 },
			     then_left_right[4] = { 2, 7, 4, 5 };
	unsigned angle = im->transformFlags & AVIF_TRANSFORM_IROT ? im->irot.angle & 3u : 0;
	if (!(im->transformFlags & AVIF_TRANSFORM_IMIR))
		return turned[angle];
	return im->imir.mode == 0 ? then_top_bottom[angle] : then_left_right[angle];
}

/* libavif answers alike to a size over its limit and to one it cannot read, so what the first image's
 * size property says is looked at: "ispe", version and flags, width, height. */
static bool says_too_large(const uint8_t *data, size_t len, const struct pl_img_limits *lim)
{
	enum { LOOK_AT = 64 << 10, BOX = 16 };
	size_t end = len < LOOK_AT ? len : LOOK_AT;
	for (size_t at = 0; at + BOX <= end; at++)
		if (data[at] == 'i' && memcmp(data + at, "ispe", 4) == 0)
			return pl_img_check_size(pl_be32(data + at + 8), pl_be32(data + at + 12), lim)
			    == PL_REASON_BOMB;
	return false;
}

enum pl_reason pl_probe_avif(
    const uint8_t *data, size_t len, const struct pl_img_limits *lim, struct pl_img_info *info)
{
	avifDecoder *d;
	enum pl_reason reason = open_avif(data, len, lim->max_pixels, &d);
	if (reason == PL_REASON_KEEP) {
		const avifImage *im = d->image;
		info->width = im->width;
		info->height = im->height;
		info->depth = (uint8_t)im->depth;
		info->alpha = d->alphaPresent != 0;
		info->channels = im->yuvFormat == AVIF_PIXEL_FORMAT_YUV400 ? 1 : 3;
		info->channels = (uint8_t)(info->channels + info->alpha);
		info->frames = d->imageCount > 1 ? (uint32_t)d->imageCount : 1;
		info->animated = info->frames > 1;
		info->orientation = orientation_of(im);
		unsigned want = im->icc.size <= PL_ICC_MAX ? pl_icc_foreign(im->icc.data, im->icc.size) : 0;
		info->foreign_profile = want != 0 && want == (info->channels < 3 ? 1u : 3u);
	} else if (reason == PL_REASON_CORRUPT && says_too_large(data, len, lim)) {
		reason = PL_REASON_BOMB;
	}
	if (d)
		avifDecoderDestroy(d);
	return reason;
}

uint8_t *pl_avif_profile(const uint8_t *data, size_t len, size_t *profile_len)
{
	avifDecoder *d;
	uint8_t *profile = NULL;
	*profile_len = 0;
	if (open_avif(data, len, 0, &d) == PL_REASON_KEEP && d->image->icc.size > 0 &&
	    d->image->icc.size <= PL_ICC_MAX)
		profile = malloc(d->image->icc.size);
	if (profile) {
		*profile_len = d->image->icc.size;
		memcpy(profile, d->image->icc.data, *profile_len);
	}
	if (d)
		avifDecoderDestroy(d);
	return profile;
}

enum pl_reason pl_decode_avif(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out)
{
	avifDecoder *d;
	avifRGBImage rgb;
	enum pl_reason reason = open_avif(data, len, lim->max_pixels, &d);
	if (reason != PL_REASON_KEEP)
		goto done;
	reason = PL_REASON_CORRUPT;
	if (d->image->width != info->width || d->image->height != info->height)
		goto done;
	reason = reason_of(avifDecoderNextImage(d));
	if (reason != PL_REASON_KEEP)
		goto done;
	reason = PL_REASON_CORRUPT;
	if (d->image->width != info->width || d->image->height != info->height)
		goto done;
	reason = pl_image_init(out, info->width, info->height, info->alpha ? 4 : 3);
	if (reason != PL_REASON_KEEP)
		goto done;
	avifRGBImageSetDefaults(&rgb, d->image);
	rgb.depth = 8;
	rgb.format = info->alpha ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
	rgb.pixels = out->pixels;
	rgb.rowBytes = out->width * out->channels;
	reason = reason_of(avifImageYUVToRGB(d->image, &rgb));
done:
	if (d)
		avifDecoderDestroy(d);
	return reason;
}
#else
enum pl_reason pl_probe_avif(
    const uint8_t *data, size_t len, const struct pl_img_limits *lim, struct pl_img_info *info)
{
	(void)data;
	(void)len;
	(void)lim;
	(void)info;
	return PL_REASON_UNSUPPORTED;
}

uint8_t *pl_avif_profile(const uint8_t *data, size_t len, size_t *profile_len)
{
	(void)data;
	(void)len;
	*profile_len = 0;
	return NULL;
}

enum pl_reason pl_decode_avif(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, struct pl_image *out)
{
	(void)data;
	(void)len;
	(void)info;
	(void)lim;
	(void)out;
	return PL_REASON_UNSUPPORTED;
}
#endif

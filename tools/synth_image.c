/* SPDX-License-Identifier: Apache-2.0 */
/* From a scene to the bytes of a file: the format drawn for it, the changes
 * that make a near duplicate, and the damages of the web. */
#include "libpipe/img/resize.h"
#include "synth.h"

#include <stdlib.h>
#include <string.h>

enum { SQUASHED_SIDE = 224 };

/* Format and quality of the original. */
static struct pl_img_encode plan_encode(uint64_t key)
{
	struct synth_dice d = { pl_mix64(key), 0 };
	uint32_t share = synth_below(&d, 100);
	struct pl_img_encode how = { PL_FORMAT_JPEG, synth_between(&d, 75, 95), 0 };

	if (share >= 98) {
		how.format = PL_FORMAT_GIF;
	} else if (share >= 90) {
		how.format = PL_FORMAT_PNG;
		how.quality = 1;
	} else if (share >= 80) {
		how.format = PL_FORMAT_WEBP;
	}
	return how;
}

static bool is_foreign(enum synth_damage d)
{
	return d == SYNTH_EMPTY_FILE || d == SYNTH_TEXT_BYTES || d == SYNTH_HTML_PAGE || d == SYNTH_BOMB;
}

const char *synth_extension(uint64_t key, enum synth_change change, enum synth_damage damage)
{
	if (damage == SYNTH_BOMB)
		return "png";
	if (change != SYNTH_SAME || damage == SYNTH_CUT_JPEG || is_foreign(damage))
		return "jpg";
	return pl_format_extension(plan_encode(key).format);
}

/* The pixels of the copy replace those of the original. */
static enum pl_status change_pixels(struct pl_image *im, enum synth_change change, struct pl_err *err)
{
	uint32_t width = im->width, height = im->height;
	struct pl_image out = { 0 };

	switch (change) {
	case SYNTH_HALF:
		width /= 2;
		height /= 2;
		break;
	case SYNTH_SMALLER:
		width = width * 7 / 10;
		height = height * 7 / 10;
		break;
	case SYNTH_SQUASHED:
		width = height = SQUASHED_SIDE;
		break;
	case SYNTH_SAME:
	case SYNTH_Q60:
		return PL_OK;
	}
	if (pl_img_resample(im, width, height, PL_FILTER_LANCZOS, &out) != PL_REASON_KEEP)
		return pl_fail_nomem(err);
	pl_image_release(im);
	*im = out;
	return PL_OK;
}

static enum pl_status encode(const struct pl_image *im, uint64_t key, enum synth_change change, enum synth_damage damage,
    struct synth_image *out, struct pl_err *err)
{
	struct pl_img_encode how = plan_encode(key);

	if (change != SYNTH_SAME || damage == SYNTH_CUT_JPEG)
		how = (struct pl_img_encode){ PL_FORMAT_JPEG, change == SYNTH_Q60 ? 60 : 90, 0 };
	if (how.format == PL_FORMAT_GIF)
		return synth_gif(im, &out->bytes, &out->len, err);
	if (pl_img_encode(im, &how, &out->bytes, &out->len) != PL_REASON_KEEP)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "a picture of %u x %u could not be encoded", im->width, im->height);
	return PL_OK;
}

/* What servers send in place of a picture. */
static enum pl_status foreign_bytes(enum synth_damage damage, struct synth_image *out, struct pl_err *err)
{
	static const char text[] = "The requested picture is no longer available.\n";
	static const char page[] = "<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head>\n"
	    "<body><h1>Not Found</h1><p>The requested URL was not found on this server.</p></body></html>\n";
	static const uint8_t bomb[] = {
		0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00,
		0xea, 0x60, 0x00, 0x00, 0xea, 0x60, 0x08, 0x02, 0x00, 0x00, 0x00, 0x0f, 0xb0, 0xe2, 0x15, 0x00, 0x00, 0x00,
		0x0c, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0xa0, 0x0c, 0x00, 0x00, 0x00, 0x40, 0x00, 0x01, 0x89,
		0xc9, 0xaf, 0x43, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82
	};
	const void *from = text;
	size_t len = 0;

	if (damage == SYNTH_TEXT_BYTES) {
		len = sizeof(text) - 1;
	} else if (damage == SYNTH_HTML_PAGE) {
		from = page;
		len = sizeof(page) - 1;
	} else if (damage == SYNTH_BOMB) {
		from = bomb;
		len = sizeof(bomb);
	}
	if ((out->bytes = malloc(len + 1)) == NULL)
		return pl_fail_nomem(err);
	memcpy(out->bytes, from, len);
	out->len = len;
	return PL_OK;
}

enum pl_status synth_image_make(const struct synth *s, uint64_t key, enum synth_change change, enum synth_damage damage,
    struct synth_image *out, struct pl_err *err)
{
	struct synth_scene scene = synth_scene(s, key);
	struct synth_dice d = { pl_mix64(~key), 0 };
	struct pl_image im = { 0 };
	enum pl_status st;

	memset(out, 0, sizeof(*out));
	out->extension = synth_extension(key, change, damage);
	out->width = scene.width;
	out->height = scene.height;
	if (is_foreign(damage))
		return foreign_bytes(damage, out, err);
	st = synth_draw(&scene, &im, err);
	if (st == PL_OK && plan_encode(key).format == PL_FORMAT_GIF)
		synth_gif_colours(&im);
	if (st == PL_OK)
		st = change_pixels(&im, change, err);
	if (st == PL_OK)
		st = encode(&im, key, change, damage, out, err);
	if (st == PL_OK) {
		out->width = im.width;
		out->height = im.height;
		if (damage == SYNTH_CUT_JPEG)
			out->len = out->len * (size_t)synth_between(&d, 35, 70) / 100;
	}
	pl_image_release(&im);
	return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: the whole way of one picture: decode, orient, resize, encode.
 * The first four bytes choose policy, formats and size; what comes out must be
 * a picture of the size it is said to be. */
#include "fuzz.h"

#include "libpipe/img/resize.h"

enum { HEAD = 4, LARGEST = 64 };

static struct pl_resize choose(const uint8_t *head)
{
	static const enum pl_format formats[] = { PL_FORMAT_UNKNOWN, PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP };
	enum pl_format format = formats[head[1] % 4];

	const uint32_t side = 1 + head[2] % LARGEST;
	struct pl_resize r = {
		.policy = (enum pl_policy)(head[0] % PL_POLICY_COUNT),
		.only_if_bigger = (head[0] & 0x40) != 0,
		.reencode = (head[0] & 0x80) != 0,
		.optimise = (head[0] & 0x20) != 0,
		.hash = (head[0] & 0x10) != 0,
		.decode_scale = (enum pl_decode_scale)(head[1] / 16 % 3),
		.filter = (enum pl_filter)(head[1] / 4 % (PL_FILTER_BOX + 1)),
		.size = side,
		.tile = side,
		.factor = side,
		.patch = 1 + side / 2,
		.target_w = 2 * side,
		.target_h = 3 * side,
		.max_slices = 1 + head[3] % 8,
		.write = (enum pl_write)(head[3] / 8 % 3),
		.format = format,
		.encode = { .format = format, .quality = format == PL_FORMAT_PNG ? head[3] % 2 : 1 + head[3] % 100 },
	};
	pl_resize_settle(&r);
	return r;
}

static void check_tiles(const struct pl_resized *out)
{
	const struct pl_img_limits limits = pl_img_limits_default();
	struct pl_img_info info;

	FUZZ_CHECK(out->columns * out->rows <= PL_TILES_MAX && (out->columns == 0) == (out->rows == 0));
	for (uint32_t i = 0; i < out->columns * out->rows; i++) {
		const struct pl_encoded *tile = &out->tiles[i];
		FUZZ_CHECK(pl_img_probe(tile->bytes, tile->len, &limits, &info) == PL_REASON_KEEP);
		FUZZ_CHECK(info.format == out->format && info.width == out->tile_w && info.height == out->tile_h);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_img_limits limits = pl_img_limits_default();
	struct pl_resized out = { 0 };
	struct pl_img_info info;

	if (size < HEAD)
		return 0;
	struct pl_resize how = choose(data);
	limits.max_pixels = 1 << 14;
	enum pl_reason reason = pl_img_transform(data + HEAD, size - HEAD, &limits, &how, &out);
	FUZZ_CHECK(reason < PL_REASON_COUNT);
	if (reason == PL_REASON_KEEP) {
		FUZZ_CHECK(out.passthrough == (out.bytes == NULL && out.columns == 0));
		FUZZ_CHECK((out.width > 0 && out.height > 0) || (out.bytes == NULL && out.columns > 0));
		check_tiles(&out);
		FUZZ_CHECK(out.pdq.quality <= 100);
	}
	if (reason == PL_REASON_KEEP && out.bytes != NULL) {
		limits = pl_img_limits_default();
		FUZZ_CHECK(how.format == PL_FORMAT_UNKNOWN || out.format == how.format);
		FUZZ_CHECK(pl_img_probe(out.bytes, out.len, &limits, &info) == PL_REASON_KEEP);
		FUZZ_CHECK(info.format == out.format && info.width == out.width && info.height == out.height);
		FUZZ_CHECK(info.orientation == 1 && !info.alpha);
	}
	pl_resized_release(&out);
	return 0;
}

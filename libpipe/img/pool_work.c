/* SPDX-License-Identifier: Apache-2.0 */
/* What a codec worker does with one job: scan, transform, verify. Runs inside
 * the sandbox; everything it learns goes into the reply, as integers. */
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "pool_internal.h"

static void reply_info(struct pl_pool_reply *reply, const struct pl_img_info *info)
{
	reply->in_format = (uint32_t)info->format;
	reply->in_width = info->width;
	reply->in_height = info->height;
	reply->orientation = info->orientation;
	reply->channels = info->channels;
	reply->depth = info->depth;
	reply->progressive = info->progressive;
	reply->alpha = info->alpha;
	reply->animated = info->animated;
	reply->subsampled_420 = info->subsampled_420;
	reply->foreign_profile = info->foreign_profile;
	reply->in_frames = info->frames;
	/* The decode that follows may kill us: what is known by now must be in the slot before it
	 * starts. */
	atomic_signal_fence(memory_order_seq_cst);
	reply->has_info = 1;
	atomic_signal_fence(memory_order_seq_cst);
}

static enum pl_reason work_scan(const struct pl_pool_request *rq, const uint8_t *in,
    struct pl_pool_reply *reply, const struct pl_img_info *info, const struct pl_img_limits *limits)
{
	struct pl_pdq pdq = { { 0 }, 0 };
	struct pl_pdq dihedral[PL_DIHEDRAL_COUNT] = { { { 0 }, 0 } };
	struct pl_img_stats stats = { 0 };
	enum pl_reason reason = pl_img_scan_dihedral(in, rq->len, info, limits, rq->hash, &pdq,
	    rq->dihedral ? dihedral : NULL, &stats);

	if (reason == PL_REASON_KEEP) {
		memcpy(reply->pdq, pdq.bits, sizeof(reply->pdq));
		memcpy(reply->dihedral, dihedral, sizeof(reply->dihedral));
		reply->quality = pdq.quality;
		reply->mean = stats.mean;
		reply->contrast = stats.contrast;
		reply->entropy = stats.entropy;
		reply->edges = stats.edges;
		reply->blur = stats.blur;
		reply->blank = stats.blank;
		reply->jpeg_quality = stats.jpeg_quality;
	}
	return reason;
}

/* One after another: the picture, its tiles. */
static enum pl_reason reply_bytes(
    struct pl_pool_reply *reply, const struct pl_resized *resized, uint8_t *out, size_t out_cap)
{
	const size_t tiles = (size_t)resized->columns * resized->rows;
	size_t at = resized->len;

	for (size_t i = 0; i < tiles && at <= out_cap; i++)
		at = resized->tiles[i].len <= out_cap - at ? at + resized->tiles[i].len : SIZE_MAX;
	if (at > out_cap || tiles > PL_TILES_MAX)
		return PL_REASON_TOO_LARGE;
	if (resized->len > 0)
		memcpy(out, resized->bytes, resized->len);
	at = resized->len;
	for (size_t i = 0; i < tiles; i++) {
		memcpy(out + at, resized->tiles[i].bytes, resized->tiles[i].len);
		reply->tile_len[i] = resized->tiles[i].len;
		at += resized->tiles[i].len;
	}
	reply->columns = resized->columns;
	reply->rows = resized->rows;
	reply->tile_w = resized->tile_w;
	reply->tile_h = resized->tile_h;
	reply->len = at;
	return PL_REASON_KEEP;
}

static enum pl_reason work_transform(const struct pl_pool_request *rq, const uint8_t *in,
    struct pl_pool_reply *reply, const struct pl_img_info *info, uint8_t *out, size_t out_cap,
    const struct pl_img_limits *limits)
{
	struct pl_resized resized = { 0 };
	enum pl_reason reason =
	    pl_img_transform_probed(in, rq->len, info, limits, &rq->resize, &resized);

	if (reason == PL_REASON_KEEP && !resized.passthrough)
		reason = reply_bytes(reply, &resized, out, out_cap);
	if (reason == PL_REASON_KEEP) {
		reply->passthrough = resized.passthrough;
		reply->format = (uint32_t)resized.format;
		reply->width = resized.width;
		reply->height = resized.height;
		memcpy(reply->pdq, resized.pdq.bits, sizeof(reply->pdq));
		reply->quality = resized.pdq.quality;
	}
	pl_resized_release(&resized);
	return reason;
}

static enum pl_reason work_verify(const struct pl_pool_request *rq, const uint8_t *in,
    const struct pl_img_info *info, const struct pl_img_limits *limits)
{
	const struct pl_img_decode how = { .scale_to = 0, .luma = false };
	struct pl_image image = { 0 };
	enum pl_reason reason = pl_img_decode(in, rq->len, info, limits, &how, &image);

	pl_image_release(&image);
	return reason;
}

void pl_pool_work(const struct pl_pool_request *rq, const uint8_t *in, struct pl_pool_reply *reply,
    uint8_t *out, size_t out_cap, const struct pl_img_limits *limits)
{
	struct pl_img_info info = { .orientation = 1 };
	enum pl_reason reason;

	if (rq->op == PL_POOL_SCAN)
		pl_hash128_bytes(in, rq->len, reply->xxh3);
	reason = pl_img_probe(in, rq->len, limits, &info);
	reply_info(reply, &info);
	if (reason == PL_REASON_KEEP) {
		switch (rq->op) {
		case PL_POOL_SCAN:
			reason = work_scan(rq, in, reply, &info, limits);
			break;
		case PL_POOL_TRANSFORM:
			reason = work_transform(rq, in, reply, &info, out, out_cap, limits);
			break;
		case PL_POOL_VERIFY:
			reason = work_verify(rq, in, &info, limits);
			break;
		}
	}
	reply->reason = (uint32_t)reason;
}

static int compare_bytes(const void *a, const void *b)
{
	return *(const unsigned char *)a - *(const unsigned char *)b;
}

/* Encode and decode 16 x 16 of our own pixels in one format; failures do not matter here. */
static void warm_up_format(enum pl_format format, const struct pl_img_limits *limits)
{
	const struct pl_img_encode encode = {
		.format = format, .quality = format == PL_FORMAT_PNG ? 1 : 80, .effort = 0
	};
	const struct pl_img_decode decode = { 0 };
	struct pl_image image = { 0 };
	struct pl_img_info info = { 0 };
	uint8_t *bytes = NULL;
	size_t len = 0;

	if (pl_image_init(&image, 16, 16, 3) != PL_REASON_KEEP)
		return;
	memset(image.pixels, 0x60, (size_t)16 * 16 * 3);
	if (pl_img_encode(&image, &encode, &bytes, &len) == PL_REASON_KEEP) {
		pl_image_release(&image);
		if (pl_img_probe(bytes, len, limits, &info) == PL_REASON_KEEP
		    && pl_img_decode(bytes, len, &info, limits, &decode, &image) != PL_REASON_KEEP)
			image = (struct pl_image){ 0 };
	}
	free(bytes);
	pl_image_release(&image);
}

void pl_pool_warm_up(void)
{
	const struct pl_img_limits limits = pl_img_limits_default();
	unsigned char *many = calloc(1, 4096);

	/* glibc's qsort asks the system for its memory size the first time it sorts more than 1
	 * KiB. */
	if (many)
		qsort(many, 4096, 1, compare_bytes);
	free(many);
	warm_up_format(PL_FORMAT_JPEG, &limits);
	warm_up_format(PL_FORMAT_PNG, &limits);
	warm_up_format(PL_FORMAT_WEBP, &limits);
}

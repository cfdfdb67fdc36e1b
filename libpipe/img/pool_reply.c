/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker says of a job, as the parent takes it: held to the range that
 * honest work gives, then turned into a result. */
#include <string.h>

#include "libpipe/base/hash.h"
#include "pool_parent.h"

static bool reply_info_valid(const struct pl_pool_reply *reply)
{
	return reply->in_format < PL_FORMAT_COUNT && reply->orientation >= 1
	    && reply->orientation <= 8;
}

/* False for NaN, too. */
static bool within(float v, float most)
{
	return v >= 0 && v <= most;
}

static bool reply_stats_valid(const struct pl_pool_reply *reply)
{
	return within(reply->mean, 255) && within(reply->contrast, PL_STATS_MOST_CONTRAST)
	    && within(reply->entropy, 8) && within(reply->edges, PL_STATS_MOST_EDGES)
	    && within(reply->blur, PL_STATS_MOST_BLUR) && reply->blank <= 1
	    && reply->jpeg_quality <= 100;
}

static bool reply_dihedral_valid(const struct pl_pool_reply *reply)
{
	for (int i = 0; i < PL_DIHEDRAL_COUNT; i++)
		if (reply->dihedral[i].quality > 100)
			return false;
	return true;
}

/* Bytes of the picture before its tiles; UINT64_MAX where they do not add up to what was written. */
static uint64_t first_len(const struct pl_pool_reply *reply)
{
	uint64_t left = reply->len;

	if (reply->columns > PL_TILES_MAX || reply->rows > PL_TILES_MAX
	    || reply->columns * reply->rows > PL_TILES_MAX
	    || (reply->columns == 0) != (reply->rows == 0))
		return UINT64_MAX;
	for (uint32_t i = 0; i < reply->columns * reply->rows; i++) {
		if (reply->tile_len[i] == 0 || reply->tile_len[i] > left)
			return UINT64_MAX;
		left -= reply->tile_len[i];
	}
	return left;
}

static bool reply_transform_valid(const struct pl_pool_reply *reply)
{
	uint64_t first = first_len(reply);

	if (reply->passthrough || first == UINT64_MAX)
		return reply->passthrough && reply->width && reply->height;
	if (reply->columns == 0)
		return first && reply->width && reply->height;
	return reply->tile_w && reply->tile_h && (!first || (reply->width && reply->height));
}

bool pl_pool_reply_valid(
    const struct pl_pool *pool, const struct pl_pool_entry *e, const struct pl_pool_reply *reply)
{
	if (reply->reason >= PL_REASON_COUNT || reply->len > pool->sh.out_cap
	    || reply->format >= PL_FORMAT_COUNT || reply->quality > 100
	    || !reply_dihedral_valid(reply) || (reply->has_info && !reply_info_valid(reply)))
		return false;
	if (reply->reason != PL_REASON_KEEP)
		return true;
	if (e->op == PL_POOL_TRANSFORM)
		return reply->has_info && reply_transform_valid(reply);
	return reply->has_info && reply->len == 0 && reply->in_width && reply->in_height
	    && reply_stats_valid(reply);
}

static void fill_info(struct pl_img_info *info, const struct pl_pool_reply *reply)
{
	*info = (struct pl_img_info){ .orientation = 1 };
	if (!reply->has_info || !reply_info_valid(reply))
		return;
	info->format = (enum pl_format)reply->in_format;
	info->width = reply->in_width;
	info->height = reply->in_height;
	info->orientation = reply->orientation;
	info->channels = reply->channels;
	info->depth = reply->depth;
	info->progressive = reply->progressive != 0;
	info->alpha = reply->alpha != 0;
	info->animated = reply->animated != 0;
	info->subsampled_420 = reply->subsampled_420 != 0;
	info->foreign_profile = reply->foreign_profile != 0;
	info->frames = reply->in_frames;
}

static void fill_transformed(
    struct pl_pool_result *r, const struct pl_pool_reply *reply, const uint8_t *out)
{
	r->format = (enum pl_format)reply->format;
	r->width = reply->width;
	r->height = reply->height;
	r->passthrough = reply->passthrough != 0;
	if (r->passthrough)
		return;
	r->data = out;
	r->len = (size_t)first_len(reply);
	r->columns = reply->columns;
	r->rows = reply->rows;
	r->tile_w = reply->tile_w;
	r->tile_h = reply->tile_h;
	for (uint32_t i = 0; i < r->columns * r->rows; i++)
		r->tile_len[i] = (size_t)reply->tile_len[i];
}

void pl_pool_take_reply(const struct pl_pool *pool, size_t at, const struct pl_pool_reply *reply,
    struct pl_pool_result *r)
{
	const struct pl_pool_entry *e = &pool->entries[at];

	*r = (struct pl_pool_result){ .tag = e->tag, .op = e->op,
		.reason = e->settled ? e->reason : (enum pl_reason)reply->reason };
	fill_info(&r->info, reply);
	if (e->op == PL_POOL_SCAN) {
		bool transposed = r->info.orientation >= 5;

		r->width = transposed ? r->info.height : r->info.width;
		r->height = transposed ? r->info.width : r->info.height;
		if (e->settled && e->len)
			pl_hash128_bytes(pl_pool_in(&pool->sh, at) + (pool->sh.in_cap - e->len),
			    e->len, r->xxh3);
		else
			memcpy(r->xxh3, reply->xxh3, sizeof(r->xxh3));
	}
	if (r->reason == PL_REASON_KEEP && e->hash) {
		memcpy(r->pdq.bits, reply->pdq, sizeof(r->pdq.bits));
		r->pdq.quality = reply->quality;
	}
	if (r->reason == PL_REASON_KEEP && e->op == PL_POOL_SCAN) {
		if (e->dihedral)
			memcpy(r->dihedral, reply->dihedral, sizeof(r->dihedral));
		r->stats = (struct pl_img_stats){ .mean = reply->mean,
			.contrast = reply->contrast,
			.entropy = reply->entropy,
			.edges = reply->edges,
			.blur = reply->blur,
			.blank = reply->blank,
			.jpeg_quality = reply->jpeg_quality };
	}
	if (r->reason == PL_REASON_KEEP && e->op == PL_POOL_TRANSFORM)
		fill_transformed(r, reply, pl_pool_out(&pool->sh, at));
}

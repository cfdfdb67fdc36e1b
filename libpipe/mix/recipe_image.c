/* SPDX-License-Identifier: Apache-2.0 */
/* The keys under 'image' of a recipe: what each may be, which policy takes
 * which, and the struct pl_resize they make. Meanings: README.md. */
#include <string.h>

#include "libpipe/img/effort.h"
#include "recipe_schema.h"

#define PIC(member) offsetof(struct pl_recipe_image_raw, member)
#define LINE(member) .line_offset = offsetof(struct pl_recipe_image_raw, member##_line)

enum { MAX_SIDE = 16384, MAX_TILE = 4096 };

static const char *const filter_names[] = {"lanczos", "bicubic", "triangle", "box", NULL};
const char *const pl_recipe_format_names[] = {"keep", "jpeg", "png", "webp", NULL};

const struct pl_field pl_recipe_image_fields[] = {
	{.key = "policy", .type = PL_FIELD_CHOICE, .offset = PIC(policy), .choices = pl_policy_names},
	{.key = "size", .type = PL_FIELD_INT, .offset = PIC(size), .min = 1, .max = MAX_SIDE, LINE(size)},
	{.key = "format", .type = PL_FIELD_CHOICE, .offset = PIC(format), .choices = pl_recipe_format_names},
	{.key = "quality", .type = PL_FIELD_INT, .offset = PIC(quality), .min = -1, .max = 101, LINE(quality)},
	{.key = "effort", .type = PL_FIELD_CHOICE, .offset = PIC(effort), .choices = pl_effort_names},
	{.key = "filter", .type = PL_FIELD_CHOICE, .offset = PIC(filter), .choices = filter_names},
	{.key = "decode_scale", .type = PL_FIELD_CHOICE, .offset = PIC(decode_scale), .choices = pl_decode_scale_names},
	{.key = "optimize", .type = PL_FIELD_BOOL, .offset = PIC(optimize)},
	{.key = "only_if_bigger", .type = PL_FIELD_BOOL, .offset = PIC(only_if_bigger), LINE(only_if_bigger)},
	{.key = "reencode", .type = PL_FIELD_BOOL, .offset = PIC(reencode)},
	{.key = "tile", .type = PL_FIELD_INT, .offset = PIC(tile), .min = 1, .max = MAX_TILE, LINE(tile)},
	{.key = "grids", .type = PL_FIELD_STRLIST, .offset = PIC(grids), LINE(grids)},
	{.key = "anyres_max", .type = PL_FIELD_INT, .offset = PIC(anyres_max), .min = 1, .max = PL_TILES_MAX, LINE(anyres_max)},
	{.key = "max_slices", .type = PL_FIELD_INT, .offset = PIC(max_slices), .min = 1, .max = PL_TILES_MAX - 1, LINE(max_slices)},
	{.key = "target", .type = PL_FIELD_STR, .offset = PIC(target), LINE(target)},
	{.key = "factor", .type = PL_FIELD_INT, .offset = PIC(factor), .min = 1, .max = MAX_TILE, LINE(factor)},
	{.key = "min_pixels", .type = PL_FIELD_COUNT, .offset = PIC(min_pixels), .min = 1, .max = 1e9, LINE(min_pixels)},
	{.key = "max_pixels", .type = PL_FIELD_COUNT, .offset = PIC(max_pixels), .min = 1, .max = 1e9, LINE(max_pixels)},
	{.key = "patch", .type = PL_FIELD_INT, .offset = PIC(patch), .min = 1, .max = MAX_TILE, LINE(patch)},
	{.key = "pad_color", .type = PL_FIELD_STRLIST, .offset = PIC(pad_color), LINE(pad_color)},
	{.key = "write", .type = PL_FIELD_CHOICE, .offset = PIC(write), .choices = pl_write_names, LINE(write)},
	{.key = "tokens", .type = PL_FIELD_STR, .offset = PIC(tokens), LINE(tokens)},
	{.key = NULL}
};

/* ---- which policy takes which key ---- */

#define FOR(policy) (1u << PL_POLICY_##policy)
#define FOR_TILES (FOR(ANYRES) | FOR(UHD_SLICES) | FOR(WINDOWS))
#define FOR_IMG2DATASET (FOR(KEEP_RATIO) | FOR(KEEP_RATIO_LARGEST) | FOR(CENTER_CROP) | FOR(BORDER))

static const struct { const char *key; size_t line; unsigned policies; } takers[] = {
	{"only_if_bigger", PIC(only_if_bigger_line), FOR(NONE) | FOR_IMG2DATASET},
	{"tile", PIC(tile_line), FOR_TILES},
	{"grids", PIC(grids_line), FOR(ANYRES)},
	{"anyres_max", PIC(anyres_max_line), FOR(ANYRES)},
	{"max_slices", PIC(max_slices_line), FOR(UHD_SLICES)},
	{"target", PIC(target_line), FOR(PATCH_MULTIPLE) | FOR(WINDOWS)},
	{"factor", PIC(factor_line), FOR(SMART_RESIZE)},
	{"min_pixels", PIC(min_pixels_line), FOR(SMART_RESIZE)},
	{"max_pixels", PIC(max_pixels_line), FOR(SMART_RESIZE)},
	{"patch", PIC(patch_line), ~(FOR(SMART_RESIZE) | FOR(WINDOWS))},
	{"pad_color", PIC(pad_color_line), FOR(BORDER) | FOR(PAD_MEAN) | FOR(PATCH_MULTIPLE) | FOR(ANYRES)},
	{"write", PIC(write_line), FOR_TILES},
};

static enum pl_status check_takers(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, struct pl_err *err)
{
	for (size_t i = 0; i < PL_ARRAY_LEN(takers); i++) {
		uint32_t line;
		memcpy(&line, (const char *)raw + takers[i].line, sizeof(line));
		if (line && !(takers[i].policies >> raw->policy & 1))
			return pl_recipe_bad(r, line, err, "'%s' in image does nothing with policy %s", takers[i].key,
			    pl_policy_names[raw->policy]);
	}
	return PL_OK;
}

static enum pl_status check_size(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, uint32_t line, struct pl_err *err)
{
	const unsigned takes = FOR_IMG2DATASET | FOR(CLIP) | FOR(PAD_MEAN) | FOR(SQUARE);
	bool wants = takes >> raw->policy & 1;

	if (wants && !raw->size_line)
		return pl_recipe_bad(r, line, err, "policy %s in image needs 'size', in pixels", pl_policy_names[raw->policy]);
	if (!wants && raw->size_line && raw->policy == PL_POLICY_NONE)
		return pl_recipe_bad(r, raw->size_line, err,
		    "'size' in image does nothing with policy none: give a policy, such as "
		    "keep_ratio or center_crop");
	if (!wants && raw->size_line)
		return pl_recipe_bad(r, raw->size_line, err, "'size' in image does nothing with policy %s", pl_policy_names[raw->policy]);
	return PL_OK;
}

static enum pl_status check_quality(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, enum pl_format format,
    struct pl_err *err)
{
	int64_t most = format == PL_FORMAT_PNG ? 9 : format == PL_FORMAT_WEBP ? 101 : 100;
	int64_t least = format == PL_FORMAT_PNG ? -1 : 1;

	if (raw->quality_line && (raw->quality < least || raw->quality > most))
		return pl_recipe_bad(r, raw->quality_line, err,
		    "'quality' in image must be between %lld and %lld for format %s%s",
		    (long long)least, (long long)most, pl_recipe_format_names[raw->format],
		    format == PL_FORMAT_PNG ? " (zlib's level)" : "");
	return PL_OK;
}

/* ---- values ---- */

static enum pl_status take_grids(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, struct pl_resize *z, struct pl_err *err)
{
	for (size_t i = 0; i < raw->grids.n; i++)
		if (!pl_resize_add_grids(z, raw->grids.items[i]))
			return pl_recipe_bad(r, raw->grids_line, err,
			    "'grids[%zu]' in image must be columns and rows of tiles, such as 2x1, or all between two, such as 1x1..6x6; at most %u "
			    "tiles, and %u grids in all; not '%.80s'",
			    i, PL_TILES_MAX, PL_GRIDS_MAX, raw->grids.items[i]);
	if (raw->grids_line && raw->grids.n == 0)
		return pl_recipe_bad(r, raw->grids_line, err, "'grids' in image is empty");
	return PL_OK;
}

static enum pl_status take_texts(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, struct pl_resize *z, struct pl_err *err)
{
	if (raw->target && !pl_resize_set_target(z, raw->target))
		return pl_recipe_bad(r, raw->target_line, err, "'target' in image must be width and height up to %u, such as 1344x896%s; not '%.80s'",
		    PL_TARGET_MAX, z->policy == PL_POLICY_PATCH_MULTIPLE ? ", or native" : "", raw->target);
	if (raw->pad_color_line && !pl_resize_set_pad(z, raw->pad_color.items, raw->pad_color.n))
		return pl_recipe_bad(r, raw->pad_color_line, err, "'pad_color' in image must be red, green and blue, 0 to 255, such as [122, 116, 104]");
	if (raw->tokens && !pl_resize_set_tokens(z, raw->tokens))
		return pl_recipe_bad(r, raw->tokens_line, err,
		    "'tokens' in image must be auto or a whole number up to %u, not '%.80s'", PL_TOKENS_MAX, raw->tokens);
	return take_grids(r, raw, z, err);
}

/* Of two keys, one of which may be a published value. line: of the one that was given, else of 'image'. */
static enum pl_status check_together(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, const struct pl_resize *z,
    uint32_t line, struct pl_err *err)
{
	uint32_t unit = z->policy == PL_POLICY_WINDOWS ? z->tile : z->patch;

	if (z->policy == PL_POLICY_SMART_RESIZE && z->min_pixels > z->max_pixels)
		return pl_recipe_bad(r, raw->min_pixels_line ? raw->min_pixels_line : raw->max_pixels_line, err,
		    "'min_pixels' in image is %llu, more than 'max_pixels', %llu", (unsigned long long)z->min_pixels,
		    (unsigned long long)z->max_pixels);
	if (pl_policy_tiles(z->policy) && z->patch > z->tile)
		return pl_recipe_bad(r, raw->patch_line ? raw->patch_line : raw->tile_line, err,
		    "'patch' in image is %u, larger than 'tile', %u", (unsigned)z->patch, (unsigned)z->tile);
	if (z->policy != PL_POLICY_WINDOWS && z->policy != PL_POLICY_PATCH_MULTIPLE)
		return PL_OK;
	if (!z->native && (z->target_w % unit != 0 || z->target_h % unit != 0))
		return pl_recipe_bad(r, raw->target_line ? raw->target_line : line, err,
		    "'target' in image is %ux%u: both must be multiples of '%s', %u", (unsigned)z->target_w, (unsigned)z->target_h,
		    z->policy == PL_POLICY_WINDOWS ? "tile" : "patch", (unsigned)unit);
	if (z->policy == PL_POLICY_WINDOWS && (uint64_t)(z->target_w / unit) * (z->target_h / unit) > PL_TILES_MAX)
		return pl_recipe_bad(r, raw->target_line ? raw->target_line : line, err, "'target' in image makes more than %u tiles", PL_TILES_MAX);
	return PL_OK;
}

static struct pl_resize plain_values(const struct pl_recipe_image_raw *raw)
{
	static const enum pl_format formats[] = {
	    PL_FORMAT_UNKNOWN, PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP};
	enum pl_format format = formats[raw->format];
	bool png_default = format == PL_FORMAT_PNG && !raw->quality_line;

	return (struct pl_resize){
		.policy = (enum pl_policy)raw->policy,
		.size = (uint32_t)raw->size,
		.only_if_bigger = raw->only_if_bigger,
		.filter = (enum pl_filter)raw->filter,
		.format = format,
		.encode = {.format = format, .quality = png_default ? -1 : (int)raw->quality,
		    .effort = pl_effort_method(raw->effort)},
		.decode_scale = (enum pl_decode_scale)raw->decode_scale,
		.reencode = raw->reencode,
		.optimise = raw->optimize,
		.write = (enum pl_write)raw->write,
		.tile = (uint32_t)raw->tile,
		.patch = (uint32_t)raw->patch,
		.factor = (uint32_t)raw->factor,
		.min_pixels = raw->min_pixels,
		.max_pixels = raw->max_pixels,
		.max_slices = (uint32_t)raw->max_slices,
		.anyres_max = (uint32_t)raw->anyres_max,
	};
}

enum pl_status pl_recipe_set_image(const struct pl_recipe *r, const struct pl_recipe_image_raw *raw, uint32_t line,
    struct pl_resize *z, struct pl_err *err)
{
	enum pl_status st = check_size(r, raw, line, err);

	*z = plain_values(raw);
	if (st == PL_OK)
		st = check_takers(r, raw, err);
	if (st == PL_OK)
		st = check_quality(r, raw, z->format, err);
	if (st == PL_OK)
		st = take_texts(r, raw, z, err);
	if (st != PL_OK)
		return st;
	pl_resize_settle(z);
	return check_together(r, raw, z, line, err);
}

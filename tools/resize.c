/* SPDX-License-Identifier: Apache-2.0 */
/* plait-resize: shards -> shards of smaller pictures. */
#include "libpipe/img/effort.h"
#include "steps.h"

#include <stdio.h>
#include <unistd.h>

static const char *const format_names[] = { "keep", "jpeg", "png", "webp", NULL };
static const enum pl_format formats[] = { PL_FORMAT_UNKNOWN, PL_FORMAT_JPEG, PL_FORMAT_PNG, PL_FORMAT_WEBP };
static const char *const filter_names[] = { "lanczos", "bicubic", "triangle", "box", NULL };

static struct pl_common common = { .max_reject = -1 };
static const char *out;
static int policy = PL_POLICY_KEEP_RATIO, format, filter, effort = PL_EFFORT_BALANCED, decode_scale;
static int64_t size = 256, quality = 90;
static bool only_if_bigger, reencode, optimize, hash;
static int64_t factor, patch, min_pixels, max_pixels;
static const char *target, *pad_color;
static double max_missing = -1;

static const struct pl_opt options[] = {
	{ 'o', "output", PL_OPT_STR, &out, "DIR", "directory of the new shards (required)", 0, 0, NULL },
	{ 'p', "policy", PL_OPT_CHOICE, &policy, "POLICY", "how to resize", 0, 0, pl_policy_names },
	{ 's', "size", PL_OPT_INT, &size, "PIXELS", "the size of the policy", 1, 65500, NULL },
	{ 0, "pad-color", PL_OPT_STR, &pad_color, "R,G,B", "border, pad_mean, patch_multiple: the colour around; default: the policy's", 0, 0, NULL },
	{ 0, "factor", PL_OPT_INT, &factor, "N", "smart_resize: sides are multiples of it; default: 28", 1, 4096, NULL },
	{ 0, "min-pixels", PL_OPT_INT, &min_pixels, "N", "smart_resize: no fewer; default: 3136", 1, 1e9, NULL },
	{ 0, "max-pixels", PL_OPT_INT, &max_pixels, "N", "smart_resize: no more; default: 1003520", 1, 1e9, NULL },
	{ 0, "patch", PL_OPT_INT, &patch, "N", "patch_multiple: side of a patch; default: 30", 1, 4096, NULL },
	{ 0, "target", PL_OPT_STR, &target, "WxH", "patch_multiple: make smaller what does not fit, or native; default: 1920x1080", 0, 0, NULL },
	{ 'b', "only-if-bigger", PL_OPT_FLAG, &only_if_bigger, NULL, "leave pictures alone that are not bigger", 0, 0, NULL },
	{ 'f', "format", PL_OPT_CHOICE, &format, "FORMAT", "format of the new pictures", 0, 0, format_names },
	{ 'Q', "quality", PL_OPT_INT, &quality, "N", "1 to 100; WebP: 101 is lossless; PNG: zlib level 0 to 9", 0, 101, NULL },
	{ 0, "effort", PL_OPT_CHOICE, &effort, "EFFORT", "CPU time against bytes, or a WebP method by its number", 0, 0, pl_effort_names },
	{ 0, "filter", PL_OPT_CHOICE, &filter, "FILTER", "resampling filter", 0, 0, filter_names },
	{ 0, "decode-scale", PL_OPT_CHOICE, &decode_scale, "TIMES",
	    "decode a JPEG at no less than this many times its new size; less is faster and coarser", 0, 0, pl_decode_scale_names },
	{ 0, "optimize", PL_OPT_FLAG, &optimize, NULL, "JPEG: Huffman tables made to measure: 3 % fewer bytes, half the speed", 0, 0, NULL },
	{ 0, "max-missing", PL_OPT_REAL, &max_missing, "SHARE", "keep cut off JPEGs that lack at most this share; default: 5%", 0, 1, NULL },
	{ 0, "hash", PL_OPT_FLAG, &hash, NULL, "the pictures' pdq-aa hashes, too: DIR/STEM.pdq-aa, in lines as plait hash prints them", 0, 0, NULL },
	{ 0, "reencode", PL_OPT_FLAG, &reencode, NULL, "encode anew even where nothing would change", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-resize",
	.summary = "decode, resize and encode the pictures of shards",
	.synopsis = "-o DIR [SHARD...]",
	.description =
	    "Writes a plain tar shard DIR/STEM.tar for every SHARD: the same samples in the same order, their pictures resized by the "
	    "policy (img2dataset's meanings, or those of the model it is for: clip, pad_mean of LLaVA-1.5, smart_resize of Qwen2-VL, patch_multiple of Fuyu; "
	    "those that cut tiles are for recipes), orientation applied, alpha on white. Pictures that need no change keep their bytes. Samples "
	    "whose picture cannot be decoded are left out and counted. Without SHARD, names are read from standard input, one a line, as they come.\n\n"
	    "With --hash each DIR/STEM.tar has a DIR/STEM.pdq-aa beside it: hash, quality and name of every picture in the shard, in its order. "
	    "The hash is the original's, as stored, of the pixels that resizing decodes anyway: a JPEG may be at another scale there than where "
	    "plait hash -r pdq-aa or ingest look at it, which moves the hash by two bits on average.",
	.examples = "plait resize 'cc3m/{00000..00331}.tar' -o small -p center_crop -s 336 -f webp\n"
	            "plait resize --hash evals/coco.tar -o small\n"
	            "ls cc3m/*.tar | plait resize -o small | plait ingest -o corpora/cc3m",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB | PL_COMMON_POOL,
};

/* What the policy alone takes. */
static enum pl_status set_policy(struct pl_resize *z, struct pl_err *err)
{
	const struct { const char *name; bool given; unsigned policies; } takers[] = {
		{ "--pad-color", pad_color != NULL, 1u << PL_POLICY_BORDER | 1u << PL_POLICY_PAD_MEAN | 1u << PL_POLICY_PATCH_MULTIPLE },
		{ "--factor", factor > 0, 1u << PL_POLICY_SMART_RESIZE },
		{ "--min-pixels", min_pixels > 0, 1u << PL_POLICY_SMART_RESIZE },
		{ "--max-pixels", max_pixels > 0, 1u << PL_POLICY_SMART_RESIZE },
		{ "--patch", patch > 0, 1u << PL_POLICY_PATCH_MULTIPLE },
		{ "--target", target != NULL, 1u << PL_POLICY_PATCH_MULTIPLE },
		{ "--only-if-bigger", only_if_bigger, (1u << (PL_POLICY_BORDER + 1)) - 1 },
	};
	const char *name = pl_policy_names[policy];
	char parts[3][4], end;

	z->policy = (enum pl_policy)policy;
	if (pl_policy_tiles(z->policy))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "policy %s makes tiles: give it in a recipe, under 'image'", name);
	for (size_t i = 0; i < PL_ARRAY_LEN(takers); i++)
		if (takers[i].given && !(takers[i].policies >> policy & 1))
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "%s does nothing with policy %s", takers[i].name, name);
	if (target != NULL && !pl_resize_set_target(z, target))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--target must be width and height, such as 1920x1080, or native, not '%s'", target);
	if (pad_color != NULL) {
		if (sscanf(pad_color, "%3[0-9],%3[0-9],%3[0-9]%c", parts[0], parts[1], parts[2], &end) != 3 ||
		    !pl_resize_set_pad(z, (const char *const[]){ parts[0], parts[1], parts[2] }, 3))
			return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--pad-color must be red, green and blue, 0 to 255, such as 122,116,104, not '%s'", pad_color);
	}
	z->factor = (uint32_t)factor;
	z->patch = (uint32_t)patch;
	z->min_pixels = (uint64_t)min_pixels;
	z->max_pixels = (uint64_t)max_pixels;
	pl_resize_settle(z);
	if (z->policy == PL_POLICY_SMART_RESIZE && z->min_pixels > z->max_pixels)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--min-pixels is above --max-pixels");
	if (z->policy == PL_POLICY_PATCH_MULTIPLE && !z->native && (z->target_w % z->patch != 0 || z->target_h % z->patch != 0))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--target must be multiples of the patch, %u", (unsigned)z->patch);
	return PL_OK;
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct pl_img_limits limits = pl_img_limits_default();
	struct resize_step step = { 0 };
	struct pl_names shards;
	enum pl_status st;

	if (out == NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "-o DIR is missing: the directory of the new shards");
	if ((st = set_policy(&step.resize, err)) != PL_OK)
		return st;
	pl_names_init(&shards);
	step.dir = out;
	step.resize.size = (uint32_t)size;
	step.resize.only_if_bigger = only_if_bigger;
	step.resize.filter = (enum pl_filter)filter;
	step.resize.format = formats[format];
	step.resize.encode.quality = (int)quality;
	step.resize.encode.effort = pl_effort_method(effort);
	step.resize.reencode = reencode;
	step.resize.decode_scale = (enum pl_decode_scale)decode_scale;
	step.resize.optimise = optimize;
	step.resize.hash = hash;
	limits.max_missing = max_missing >= 0 ? max_missing : limits.max_missing;
	step.max_missing = limits.max_missing;
	if ((st = tool_open_pool(t, &limits, err)) != PL_OK)
		goto done;
	if ((st = tool_open_job(t, err)) != PL_OK)
		goto done;
	if (argc == 0 && isatty(STDIN_FILENO)) {
		st = pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no SHARD is given: name them, or give names on standard input, one a line");
		goto done;
	}
	if (argc > 0) {
		if ((st = tool_names(t, argc, argv, &shards, err)) != PL_OK)
			goto done;
		step.shards = &shards;
	}
	st = step_resize(t, &step, err);
done:
	pl_names_release(&shards);
	return st;
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}

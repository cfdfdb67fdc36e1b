/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes: every key arrives where it should, defaults are those of the
 * README, and each mistake has its message and its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/mix/recipe.h"

static const char full[] =
    "name: llava-align\n"
    "seed: 42\n"
    "sources:\n"
    "  - {name: cc3m, shards: \"data/cc3m/{00000..00331}.tar\", kind: pairs, weight: 0.6, where: \"width >= 200\", caption: alt}\n"
    "  - {name: mmc4, shards: [a.tar, b.tar], kind: interleaved, weight: 0, images: imgs/*.tar, image_where: \"width > 9\",\n"
    "     columns: [similarity, punsafe], image_after_text: true}\n"
    "  - {name: books, shards: data/*.jsonl.zst, kind: text, text: body}\n"
    "dedup:   {hash: pdq, threshold: 24, across: no, near: yes, text: false, min_quality: 30, against: [evals/*.tar]}\n"
    "balance: {unit: tokens, total: 2G, max_epochs: 4, image_tokens: 144}\n"
    "image:   {policy: center_crop, size: 336, format: webp, quality: 80, effort: 4, filter: bicubic, only_if_bigger: true,\n"
    "          reencode: true, decode_scale: 1.5, optimize: true}\n"
    "limits:  {max_bytes: 8MiB, max_pixels: 25M, max_side: 9000, timeout_ms: 500, max_memory: 512MiB,\n"
    "          max_missing: 0.5}\n"
    "output:  {stage: align, template: interleaved, container: tar, shard_size: 64MiB, shard_samples: 10K, frame_size: 1MiB,\n"
    "          level: 3, dir: out/x, work: scratch, max_images: 6, min_images: 2}\n";

static void test_full(void **state)
{
	struct pl_recipe r;
	struct pl_source s;
	struct pl_err err = {0};

	(void)state;
	if (pl_recipe_parse(&r, "r.yaml", full, sizeof(full) - 1, &err) != PL_OK)
		fail_msg("line %u: %s", (unsigned)err.line, err.text);
	assert_string_equal(r.name, "llava-align");
	assert_int_equal(r.seed, 42);
	assert_int_equal(r.nsources, 3);
	assert_true(r.sources[0].weight == 0.6 && r.sources[1].weight == 0 && r.sources[2].weight == 1);
	assert_int_equal(r.sources[1].shards.n, 2);
	assert_int_equal(r.sources[1].line, 5);
	assert_string_equal(r.sources[1].image_where, "width > 9");
	assert_string_equal(r.sources[0].where, "width >= 200");
	assert_int_equal(r.dedup.hash, PL_HASH_PDQ);
	assert_int_equal(r.dedup.threshold, 24);
	assert_int_equal(r.dedup.min_quality, 30);
	assert_true(r.dedup.enabled && r.dedup.near && !r.dedup.text && !r.dedup.across);
	assert_string_equal(r.dedup.against.items[0], "evals/*.tar");
	assert_int_equal(r.balance.unit, PL_UNIT_TOKENS);
	assert_int_equal(r.balance.total, 2000000000);
	assert_true(r.balance.max_epochs == 4);
	assert_int_equal(r.balance.image_tokens, 144);
	assert_int_equal(r.image.token_rule, PL_TOKENS_IMAGE);
	assert_int_equal(r.image.tokens, 144);
	assert_int_equal(r.image.policy, PL_POLICY_CENTER_CROP);
	assert_int_equal(r.image.size, 336);
	assert_int_equal(r.image.format, PL_FORMAT_WEBP);
	assert_int_equal(r.image.encode.quality, 80);
	assert_int_equal(r.image.encode.effort, 4);
	assert_int_equal(r.image.filter, PL_FILTER_BICUBIC);
	assert_true(r.image.only_if_bigger && r.image.reencode && r.image.optimise);
	assert_int_equal(r.image.decode_scale, PL_DECODE_SCALE_1_5);
	assert_int_equal(r.limits.max_bytes, 8 << 20);
	assert_int_equal(r.limits.max_pixels, 25000000);
	assert_int_equal(r.limits.max_side, 9000);
	assert_int_equal(r.limits.timeout_ms, 500);
	assert_true(r.limits.max_missing == 0.5);
	assert_int_equal(r.limits.max_memory, 512 << 20);
	assert_int_equal(r.output.template_, PL_TEMPLATE_INTERLEAVED);
	assert_int_equal(r.output.container, SHARD_TAR);
	assert_int_equal(r.output.shard_size, 64 << 20);
	assert_int_equal(r.output.shard_samples, 10000);
	assert_int_equal(r.output.frame_size, 1 << 20);
	assert_true(r.output.level_set && r.output.level == 3);
	assert_string_equal(r.output.dir, "out/x");
	assert_string_equal(r.output.work, "scratch");
	assert_int_equal(r.output.max_images, 6);
	assert_int_equal(r.output.min_images, 2);
	pl_recipe_corpus_source(&r, 1, &s);
	assert_string_equal(s.name, "mmc4");
	assert_int_equal(s.read.kind, PL_KIND_INTERLEAVED);
	assert_true(s.read.image_after_text);
	assert_string_equal(s.images, "imgs/*.tar");
	assert_int_equal(s.ncolumns, 2);
	assert_string_equal(s.columns[1], "punsafe");
	assert_int_equal(s.hash, PL_HASH_PDQ);
	assert_int_equal(s.limits.max_side, 9000);
	pl_recipe_corpus_source(&r, 0, &s);
	assert_string_equal(s.read.caption_field, "alt");
	pl_recipe_corpus_source(&r, 2, &s);
	assert_string_equal(s.read.text_field, "body");
	pl_recipe_release(&r);
}

static void tokenizer(const char *key, enum pl_tokens_by by, const char *model)
{
	char text[300];
	struct pl_recipe r;
	struct pl_source s;
	struct pl_err err = {0};

	snprintf(text, sizeof(text), "name: x\nsources: [{name: a, shards: a.tar}]\n%s\noutput: {dir: out}\n", key);
	if (pl_recipe_parse(&r, "r.yaml", text, strlen(text), &err) != PL_OK)
		fail_msg("line %u: %s", (unsigned)err.line, err.text);
	pl_recipe_corpus_source(&r, 0, &s);
	assert_int_equal(s.tokens.by, by);
	if (model)
		assert_string_equal(s.tokens.model, model);
	else
		assert_null(s.tokens.model);
	pl_recipe_release(&r);
}

static void test_tokenizer(void **state)
{
	(void)state;
	tokenizer("", PL_TOKENS_BYTES, NULL);
	tokenizer("tokenizer: {by: bytes}", PL_TOKENS_BYTES, NULL);
	tokenizer("tokenizer: {by: words}", PL_TOKENS_WORDS, NULL);
	tokenizer("tokenizer: {model: a/m}", PL_TOKENS_SENTENCEPIECE, "a/m");
	tokenizer("tokenizer: {by: sentencepiece, model: m}", PL_TOKENS_SENTENCEPIECE, "m");
}

static void test_defaults(void **state)
{
	static const char text[] = "name: x\nsources: [{name: a, shards: a.tar}]\noutput: {dir: out/}\n";
	struct pl_recipe r;

	(void)state;
	assert_int_equal(pl_recipe_parse(&r, "r.yaml", text, sizeof(text) - 1, NULL), PL_OK);
	assert_int_equal(r.seed, 0);
	assert_int_equal(r.sources[0].kind, PL_KIND_AUTO);
	assert_true(r.sources[0].weight == 0);   /* neither a weight nor a total: everything once */
	assert_int_equal(r.noutputs, 1);
	assert_true(r.dedup.enabled && r.dedup.near && r.dedup.text && r.dedup.across);
	assert_int_equal(r.dedup.hash, PL_HASH_PDQ_AA);
	assert_int_equal(r.dedup.threshold, 16);
	assert_int_equal(r.dedup.min_quality, 50);
	assert_int_equal(r.balance.unit, PL_UNIT_SAMPLES);
	assert_int_equal(r.balance.total, 0);
	assert_int_equal(r.balance.image_tokens, -1);
	assert_int_equal(r.image.token_rule, PL_TOKENS_AUTO);
	assert_int_equal(r.image.policy, PL_POLICY_NONE);
	assert_int_equal(r.image.format, PL_FORMAT_UNKNOWN);
	assert_int_equal(r.image.encode.quality, 90);
	assert_int_equal(r.image.encode.effort, 2);
	assert_int_equal(r.image.decode_scale, PL_DECODE_SCALE_2);
	assert_false(r.image.optimise);
	assert_true(r.limits.max_missing == 0.05);
	assert_int_equal(r.limits.max_pixels, pl_img_limits_default().max_pixels);
	assert_int_equal(r.output.stage, PL_STAGE_ALIGN);
	assert_int_equal(r.output.template_, PL_TEMPLATE_AUTO);
	assert_int_equal(r.output.container, SHARD_TAR_ZST);
	assert_int_equal(r.output.shard_size, 256 << 20);
	assert_int_equal(r.output.shard_samples, 0);
	assert_false(r.output.level_set);
	assert_string_equal(r.output.work, "out/work");
	assert_int_equal(r.output.max_images, 0);
	assert_int_equal(r.output.min_images, 1);
	assert_true(r.output.templates.image_first == 1 && r.output.templates.min_similarity == -1);
	assert_int_equal(r.output.templates.assignment, PL_ASSIGNMENT_AS_IS);
	assert_int_equal(r.output.templates.trailing_image, PL_TRAILING_KEEP);
	assert_null(r.output.templates.system);
	assert_false(r.output.tokens.set);
	pl_recipe_release(&r);
}

#define SOURCE "sources: [{name: a, shards: a.tar}]\n"
#define OUT "output: {dir: out}\n"

static const struct { const char *text, *message; uint32_t line; } wrong[] = {
	{SOURCE OUT, "missing key 'name'", 1},
	{"name: x\n" OUT, "missing key 'sources'", 1},
	{"name: x\n" SOURCE, "missing key 'output'", 1},
	{"name: ''\n" SOURCE OUT, "'name' is empty", 1},
	{"name: x\n" SOURCE "output: {stage: align}\n", "missing key 'dir' in output", 3},
	{"name: x\n" SOURCE "output: {dir: ''}\n", "'dir' in output is empty", 3},
	{"name: x\n" SOURCE "output: {dir: a, work: ''}\n", "'work' in output is empty", 3},
	{"name: x\nsources: []\n" OUT, "'sources' is empty: give at least one source", 2},
	{"name: x\nsources:\n  - {shards: a.tar}\n" OUT, "missing key 'name' in sources[0]", 3},
	{"name: x\nsources:\n  - {name: a, shards: []}\n" OUT, "'shards' in sources[0] is empty: give at least one pattern", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, weigth: 2}\n" OUT,
	    "unknown key 'weigth' in sources[0]; did you mean 'weight'?", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, weight: -1}\n" OUT,
	    "'weight' in sources[0] must be between 0 and 1000000000000, not '-1'", 3},
	{"name: x\nsources:\n  - {name: 'a/b', shards: x}\n" OUT,
	    "'name' in sources[0] must be 1 to 64 letters, digits, '_' or '-', not 'a/b'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x}\n  - {name: a, shards: y}\n" OUT,
	    "two sources are called 'a', the first at line 3: names must differ", 4},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: pair}\n" OUT,
	    "'kind' in sources[0] must be one of auto, pairs, interleaved, chat, text, preference, in-context, document, not 'pair'; did you mean 'pairs'?", 3},
	{"name: x\n" SOURCE "image: {policy: center_crop}\n" OUT, "policy center_crop in image needs 'size', in pixels", 3},
	{"name: x\n" SOURCE "image: {size: 336}\n" OUT,
	    "'size' in image does nothing with policy none: give a policy, such as keep_ratio or center_crop", 3},
	{"name: x\n" SOURCE "image: {format: png, quality: 90}\n" OUT,
	    "'quality' in image must be between -1 and 9 for format png (zlib's level)", 3},
	{"name: x\n" SOURCE "image: {format: jpeg, quality: 101}\n" OUT,
	    "'quality' in image must be between 1 and 100 for format jpeg", 3},
	{"name: x\n" SOURCE "image: {policy: pad_mean}\n" OUT, "policy pad_mean in image needs 'size', in pixels", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, size: 336}\n" OUT, "'size' in image does nothing with policy anyres", 3},
	{"name: x\n" SOURCE "image: {policy: square, size: 336, tile: 336}\n" OUT, "'tile' in image does nothing with policy square", 3},
	{"name: x\n" SOURCE "image: {policy: clip, size: 336, only_if_bigger: true}\n" OUT,
	    "'only_if_bigger' in image does nothing with policy clip", 3},
	{"name: x\n" SOURCE "image: {policy: uhd_slices, grids: [2x2]}\n" OUT, "'grids' in image does nothing with policy uhd_slices", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, max_slices: 6}\n" OUT, "'max_slices' in image does nothing with policy anyres", 3},
	{"name: x\n" SOURCE "image: {policy: windows, anyres_max: 9}\n" OUT, "'anyres_max' in image does nothing with policy windows", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, target: 10x10}\n" OUT, "'target' in image does nothing with policy anyres", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, factor: 28}\n" OUT, "'factor' in image does nothing with policy anyres", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, min_pixels: 28}\n" OUT, "'min_pixels' in image does nothing with policy anyres", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, max_pixels: 28}\n" OUT, "'max_pixels' in image does nothing with policy anyres", 3},
	{"name: x\n" SOURCE "image: {policy: smart_resize, patch: 14}\n" OUT, "'patch' in image does nothing with policy smart_resize", 3},
	{"name: x\n" SOURCE "image: {policy: square, size: 9, pad_color: [0, 0, 0]}\n" OUT,
	    "'pad_color' in image does nothing with policy square", 3},
	{"name: x\n" SOURCE "image: {policy: border, size: 9, write: whole}\n" OUT, "'write' in image does nothing with policy border", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, write: all}\n" OUT,
	    "'write' in image must be one of tiles+overview, tiles, whole, not 'all'", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, grids: []}\n" OUT, "'grids' in image is empty", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, grids: [2x2, 9x8]}\n" OUT,
	    "'grids[1]' in image must be columns and rows of tiles, such as 2x1, or all between two, such as 1x1..6x6; at most 64 tiles, "
	    "and 64 grids in all; not '9x8'", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, tile: 0}\n" OUT, "'tile' in image must be between 1 and 4096, not '0'", 3},
	{"name: x\n" SOURCE "image: {policy: anyres, anyres_max: 65}\n" OUT, "'anyres_max' in image must be between 1 and 64, not '65'", 3},
	{"name: x\n" SOURCE "image:\n  policy: anyres\n  patch: 400\n" OUT, "'patch' in image is 400, larger than 'tile', 336", 5},
	{"name: x\n" SOURCE "image: {policy: uhd_slices, max_slices: 64}\n" OUT, "'max_slices' in image must be between 1 and 63, not '64'", 3},
	{"name: x\n" SOURCE "image: {policy: windows, target: 1000x896}\n" OUT,
	    "'target' in image is 1000x896: both must be multiples of 'tile', 448", 3},
	{"name: x\n" SOURCE "image: {policy: windows, target: native}\n" OUT,
	    "'target' in image must be width and height up to 16384, such as 1344x896; not 'native'", 3},
	{"name: x\n" SOURCE "image: {policy: windows, tile: 64, target: 1024x1024}\n" OUT, "'target' in image makes more than 64 tiles", 3},
	{"name: x\n" SOURCE "image: {policy: patch_multiple, target: 1920}\n" OUT,
	    "'target' in image must be width and height up to 16384, such as 1344x896, or native; not '1920'", 3},
	{"name: x\n" SOURCE "image: {policy: patch_multiple, patch: 32}\n" OUT,
	    "'target' in image is 1920x1080: both must be multiples of 'patch', 32", 3},
	{"name: x\n" SOURCE "image:\n  policy: smart_resize\n  min_pixels: 2M\n" OUT,
	    "'min_pixels' in image is 2000000, more than 'max_pixels', 1003520", 5},
	{"name: x\n" SOURCE "image: {policy: smart_resize, factor: 0}\n" OUT, "'factor' in image must be between 1 and 4096, not '0'", 3},
	{"name: x\n" SOURCE "image: {policy: border, size: 9, pad_color: [0, 0, 256]}\n" OUT,
	    "'pad_color' in image must be red, green and blue, 0 to 255, such as [122, 116, 104]", 3},
	{"name: x\n" SOURCE "image: {policy: border, size: 9, pad_color: [0, 0]}\n" OUT,
	    "'pad_color' in image must be red, green and blue, 0 to 255, such as [122, 116, 104]", 3},
	{"name: x\n" SOURCE "image: {tokens: many}\n" OUT,
	    "'tokens' in image must be auto or a whole number up to 1000000, not 'many'", 3},
	{"name: x\n" SOURCE "image: {effort: 7}\n" OUT,
	    "'effort' in image must be one of fast, balanced, small, 0, 1, 2, 3, 4, 5, 6, not '7'", 3},
	{"name: x\n" SOURCE "image: {effort: smal}\n" OUT,
	    "'effort' in image must be one of fast, balanced, small, 0, 1, 2, 3, 4, 5, 6, not 'smal'; did you mean 'small'?", 3},
	{"name: x\n" SOURCE "limits: {max_missing: 1.5}\n" OUT, "'max_missing' in limits must be between 0 and 1, not '1.5'", 3},
	{"name: x\n" SOURCE "dedup: {budget: -1}\n" OUT, "'budget' in dedup must be between 0 and 1e+18, not '-1'", 3},
	{"name: x\n" SOURCE "dedup: {threshold: 65}\n" OUT, "'threshold' in dedup must be between 0 and 64, not '65'", 3},
	{"name: x\n" SOURCE "output:\n  dir: out\n  max_images: 2\n  min_images: 3\n",
	    "'min_images' in output is 3, more than 'max_images', 2", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: interleaved\n  system: Hi.\n  context_loss: all\n",
	    "'context_loss' in output does nothing with template interleaved", 7},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: conversation\n  instructions: [Describe.]\n",
	    "'instructions' in output does nothing with template conversation", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: conversation\n  image_first: 0.5\n",
	    "'image_first' in output does nothing with template conversation", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: pair-caption\n  assignment: linear\n",
	    "'assignment' in output does nothing with template pair-caption", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: text\n  min_similarity: 0.2\n",
	    "'min_similarity' in output does nothing with template text", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: preference\n  image_place: draw\n",
	    "'image_place' in output does nothing with template preference", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: in-context\n  trailing_image: drop\n",
	    "'trailing_image' in output does nothing with template in-context", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  template: text\n  system: Be brief.\n",
	    "'system' in output does nothing with template text", 6},
	{"name: x\n" SOURCE "output:\n  dir: out\n  system: ''\n", "'system' in output is empty", 5},
	{"name: x\n" SOURCE "output: {dir: o, image_first: 2}\n", "'image_first' in output must be between 0 and 1, not '2'", 3},
	{"name: x\n" SOURCE "output: {dir: o, min_similarity: 24}\n", "'min_similarity' in output must be between -1 and 1, not '24'", 3},
	{"name: x\n" SOURCE "output: {dir: o, assignment: linaer}\n",
	    "'assignment' in output must be one of as-is, linear, not 'linaer'; did you mean 'linear'?", 3},
	{"name: x\n" SOURCE "output: {dir: o, image_place: left}\n",
	    "'image_place' in output must be one of as-is, before, after, draw, not 'left'", 3},
	{"name: x\n" SOURCE "output: {dir: o, trailing_image: no}\n", "'trailing_image' in output must be one of keep, drop, not 'no'", 3},
	{"name: x\n" SOURCE "output: {dir: o, context_loss: none}\n", "'context_loss' in output must be one of target, all, not 'none'", 3},
	{"name: x\n" SOURCE "output: {dir: o, tokens: {imgae: <image>}}\n", "unknown key 'imgae' in output.tokens; did you mean 'image'?", 3},
	{"name: x\n" SOURCE "output: {dir: o, tokens: {image: <>}}\n",
	    "'image' in output.tokens has 2 bytes: a token has 3 to 256, so that it does not stand in words by chance", 3},
	{"name: x\n" SOURCE "output: {dir: o, tokens: {separator: x}}\n",
	    "'tokens' in output names no token: leave it out for segments only", 3},
	{"name: x\n" SOURCE "tokenizer: {by: piece}\n" OUT,
	    "'by' in tokenizer must be one of bytes, words, sentencepiece, not 'piece'", 3},
	{"name: x\n" SOURCE "tokenizer:\n  by: words\n  model: m\n" OUT, "'model' in tokenizer does nothing with 'by: words'", 5},
	{"name: x\n" SOURCE "tokenizer:\n  model: m\n  by: bytes\n" OUT, "'model' in tokenizer does nothing with 'by: bytes'", 4},
	{"name: x\n" SOURCE "tokenizer: {by: sentencepiece}\n" OUT, "'by: sentencepiece' in tokenizer needs 'model', the file of one", 3},
	{"name: x\n" SOURCE "tokenizer: {model: ''}\n" OUT, "'model' in tokenizer is empty", 3},
	{"name: x\n" SOURCE "tokenizer: {}\n" OUT, "'tokenizer' is empty: give 'by', or 'model', the file of a SentencePiece model", 3},
	{"name: x\nsources: [{name: a, shards: x, shots: 65}]\n" OUT, "'shots' in sources[0] must be between 0 and 64, not '65'", 2},
	{"name: x\nsources: [{name: a, shards: x, captions_per_image: all}]\n" OUT,
	    "'captions_per_image' in sources[0] must be one of each, first, draw, not 'all'", 2},
	{"name: x\nsources: [{name: a, shards: x, kind: preference}]\noutput: {dir: o, template: conversation}\n",
	    "source 'a' is of kind preference, but template conversation writes chat and in-context", 2},
	{"name: x\nsources: [{name: a, shards: x, kind: chat}]\noutput: {dir: o, template: preference}\n",
	    "source 'a' is of kind chat, but template preference writes preference", 2},
	{"name: x\nsources: [{name: a, shards: x, kind: chat}]\noutput: {dir: o, template: in-context}\n",
	    "source 'a' is of kind chat, but template in-context writes in-context", 2},
	{"name: x\nsources: [{name: a, shards: x, kind: chat}]\noutput: {dir: o, template: text}\n",
	    "source 'a' is of kind chat, but template text writes text, and the words of interleaved and pairs", 2},
	{"name: x\n" SOURCE "output:\n  dir: out\n  stage: instruct\n  instructions: [Describe., '']\n",
	    "'instructions[1]' in output is empty", 6},
	{"name: x\nsources:\n  - {name: a, shards: x}\n  - {name: b, shards: y, kind: pairs}\noutput: {dir: o, stage: instruct}\n",
	    "source 'b' is of kind pairs, but stage instruct asks for the caption of a pair: list such requests in "
	    "output.instructions", 4},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: chat}\noutput: {dir: o, template: pair-caption}\n",
	    "source 'a' is of kind chat, but template pair-caption writes pairs and text", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: chat}\noutput: {dir: o, template: interleaved}\n",
	    "source 'a' is of kind chat, but template interleaved writes interleaved, text and pairs", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: text}\noutput: {dir: o, template: conversation}\n",
	    "source 'a' is of kind text, but template conversation writes chat and in-context", 3},
	{"name: x\n" SOURCE "output: {dir: a}\noutputs: [{dir: b}]\n", "give 'output' or 'outputs', not both", 4},
	{"name: x\n" SOURCE "outputs: [{dir: a}, {dir: a}]\n", "two outputs have the directory 'a'", 3},
	{"name: x\n" SOURCE "outputs: [{dir: a, sources: [b]}]\n", "there is no source 'b' for this output", 3},
	{"name: x\n" SOURCE "outputs:\n  - {dir: a}\n  - {dir: b, work: w}\n",
	    "'work' is for all outputs: give it in the first one", 5},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: chat}\noutputs: [{dir: a}, {dir: b, template: pair-caption}]\n",
	    "source 'a' is of kind chat, but template pair-caption writes pairs and text", 3},
	{"name: x\n" SOURCE "balance: {strategy: temperatur}\n" OUT,
	    "'strategy' in balance must be one of weights, temperature, unimax, all, not 'temperatur'; did you mean 'temperature'?", 3},
	{"name: x\n" SOURCE "balance: {strategy: temperature}\n" OUT,
	    "strategy temperature in balance needs 'alpha', from 0 (equal shares) to 1 (as they are)", 3},
	{"name: x\n" SOURCE "balance: {strategy: temperature, alpha: 1.5}\n" OUT, "'alpha' in balance must be between 0 and 1, not '1.5'", 3},
	{"name: x\n" SOURCE "balance: {alpha: 0.5}\n" OUT, "'alpha' in balance does nothing without 'strategy: temperature'", 3},
	{"name: x\n" SOURCE "balance: {strategy: unimax, max_examples: 5}\n" OUT,
	    "'max_examples' in balance does nothing without 'strategy: temperature'", 3},
	{"name: x\n" SOURCE "balance: {strategy: all, total: 7}\n" OUT,
	    "'total' in balance does nothing with strategy all: every sample is drawn", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, weight: 2}\nbalance: {strategy: unimax}\n" OUT,
	    "'weight' of source 'a' does nothing with strategy unimax", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, weight: 2, repeat: 3}\n" OUT,
	    "source 'a' has both 'weight' and 'repeat': it is drawn by its share or a number of times", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, repeat: 0}\n" OUT, "'repeat' in sources[0] must be between 1e-06 and 1000000, not '0'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, repeat: 2, max_epochs: 3}\n" OUT,
	    "'max_epochs' of source 'a' does nothing with 'repeat'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, max_epochs: -1}\n" OUT,
	    "'max_epochs' in sources[0] must be between 0 and 1000000, not '-1'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {weights: {en: 1}}}\n" OUT, "missing key 'by' in sources[0].groups", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: ''}}\n" OUT,
	    "'by' in the groups of source 'a' is empty: give an SQL expression", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind}}\n" OUT,
	    "strategy weights in the groups of source 'a' needs 'weights', one for each group", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, weights: 3}}\n" OUT,
	    "'weights' in sources[0].groups must be a map from names to numbers, not '3'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, weights: {en: lots}}}\n" OUT,
	    "'en' in sources[0].groups.weights must be a number, not 'lots'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, weights: {en: 1, zh: 0}}}\n" OUT,
	    "the weight of 'zh' in the groups of source 'a' must be above 0: groups without a weight are left out anyway", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, strategy: all}}\n" OUT,
	    "'strategy' in sources[0].groups must be one of weights, temperature, unimax, equal, not 'all'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, strategy: equal, weights: {en: 1}}}\n" OUT,
	    "'weights' in the groups of source 'a' does nothing with strategy equal", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, strategy: equal, other: keep}}\n" OUT,
	    "'other' in the groups of source 'a' does nothing with strategy equal", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, strategy: temperature}}\n" OUT,
	    "strategy temperature in the groups of source 'a' needs 'alpha', from 0 (equal shares) to 1 (as they are)", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, groups: {by: kind, strategy: unimax, max_examples: 9}}\n" OUT,
	    "'max_examples' in the groups of source 'a' does nothing without 'strategy: temperature'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, missing_image: none}\n" OUT,
	    "'missing_image' in sources[0] must be one of drop, keep, text, not 'none'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, missing_text: text}\n" OUT,
	    "'missing_text' in sources[0] must be one of drop, keep, not 'text'", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: text, missing_image: text}\n" OUT,
	    "'missing_image' of source 'a' does nothing for kind text", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: chat, missing_text: keep}\n" OUT,
	    "'missing_text' of source 'a' does nothing but for pairs", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, missing_text: keep}\noutput: {dir: o, stage: instruct}\n",
	    "'missing_text' of source 'a' does nothing at stage instruct, where the caption is the answer", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: pairs, missing_image: keep}\noutput: {dir: o, stage: instruct, instructions: [D.]}\n",
	    "stage instruct asks for the caption of a picture, so 'missing_image' of source 'a' cannot be 'keep': 'text' keeps the caption", 3},
	{"name: x\nsources:\n  - {name: a, shards: x, kind: chat, missing_image: text}\noutput: {dir: o, template: conversation}\n",
	    "template conversation writes no text, as 'missing_image: text' of source 'a' asks: 'keep' keeps the conversation", 3},
	{"- a\n", "the file must be a map of keys and values, not a list", 1},
};

/* What strategies and `repeat` make of weights that were not given. */
static void test_balance(void **state)
{
	static const struct { const char *a, *b, *balance; double wa, wb, ea, eb; } cases[] = {
		{"", "", "unit: samples", 0, 0, 0, 0},
		{"", "", "total: 5", 1, 1, 0, 0},
		{", weight: 3", "", "max_epochs: 2", 3, 1, 2, 2},
		{", repeat: 3", "", "total: 5, max_epochs: 2", 0, 1, 2, 2},
		{", repeat: 3", "", "unit: images", 0, 0, 0, 0},
		{", max_epochs: 7", "", "total: 5, max_epochs: 2", 1, 1, 7, 2},
		{", max_epochs: 0", ", weight: 0", "total: 5, max_epochs: 2", 1, 0, 0, 2},
		{", weight: 3", "", "strategy: temperature, alpha: 0", 3, 1, 0, 0},
		{"", ", weight: 0", "strategy: unimax, max_epochs: 1", 1, 0, 1, 1},
		{", repeat: 0.5", "", "strategy: all", 0, 0, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		char text[300];
		struct pl_recipe r;
		int n = snprintf(text, sizeof(text), "name: x\nsources:\n  - {name: a, shards: x%s}\n  - {name: b, shards: x%s}\nbalance: {%s}\n" OUT,
		    cases[i].a, cases[i].b, cases[i].balance);
		assert_int_equal(pl_recipe_parse(&r, "r.yaml", text, (size_t)n, NULL), PL_OK);
		assert_true(r.sources[0].weight == cases[i].wa && r.sources[1].weight == cases[i].wb);
		assert_true(r.sources[0].max_epochs == cases[i].ea && r.sources[1].max_epochs == cases[i].eb);
		pl_recipe_release(&r);
	}
}

/* Names of groups are any text. */
static void test_groups(void **state)
{
	static const char text[] = "name: x\nsources:\n  - name: a\n    shards: x\n    groups:\n      by: \"iif(width > 2, 'a b', 'no')\"\n"
	                           "      weights: {a b: 0.5, 'no': 2, (other): 1e-3}\n" OUT;
	struct pl_recipe r;
	const struct pl_recipe_groups *g;

	(void)state;
	assert_int_equal(pl_recipe_parse(&r, "r.yaml", text, sizeof(text) - 1, NULL), PL_OK);
	g = &r.sources[0].groups;
	assert_string_equal(g->by, "iif(width > 2, 'a b', 'no')");
	assert_int_equal(g->strategy, PL_STRATEGY_WEIGHTS);
	assert_int_equal(g->other, PL_OTHER_DROP);
	assert_int_equal(g->weights.n, 3);
	assert_string_equal(g->weights.keys[0], "a b");
	assert_string_equal(g->weights.keys[1], "no");
	assert_true(g->weights.values[1] == 2 && g->weights.values[2] == 1e-3);
	pl_recipe_release(&r);
}

/* Words and numbers of effort, each with its WebP method. */
static void test_effort(void **state)
{
	static const struct { const char *word; int method; } efforts[] = {
		{"fast", 0}, {"balanced", 2}, {"small", 4}, {"0", 0}, {"1", 1}, {"3", 3}, {"'6'", 6},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(efforts); i++) {
		char text[160];
		struct pl_recipe r;
		int n = snprintf(text, sizeof(text), "name: x\n" SOURCE "image: {effort: %s}\n" OUT, efforts[i].word);
		assert_int_equal(pl_recipe_parse(&r, "r.yaml", text, (size_t)n, NULL), PL_OK);
		assert_int_equal(r.image.encode.effort, efforts[i].method);
		pl_recipe_release(&r);
	}
}

static struct pl_resize image_of(const char *image)
{
	char text[400];
	struct pl_recipe r;
	struct pl_err err = {0};
	int n = snprintf(text, sizeof(text), "name: x\n" SOURCE "image: {%s}\n" OUT, image);

	if (pl_recipe_parse(&r, "r.yaml", text, (size_t)n, &err) != PL_OK)
		fail_msg("%s: %s", image, err.text);
	struct pl_resize z = r.image;
	pl_recipe_release(&r);
	return z;
}

static void test_tiling_keys(void **state)
{
	(void)state;
	struct pl_resize z = image_of("policy: anyres, tile: 384, grids: [1x1..6x6], anyres_max: 9, patch: 16, write: tiles, pad_color: [1, 2, 3], tokens: 81");
	assert_int_equal(z.policy, PL_POLICY_ANYRES);
	assert_int_equal(z.tile, 384);
	assert_int_equal(z.anyres_max, 9);
	assert_int_equal(z.patch, 16);
	assert_int_equal(z.write, PL_WRITE_TILES);
	assert_true(z.pad_set && z.pad[0] == 1 && z.pad[1] == 2 && z.pad[2] == 3);
	assert_int_equal(z.token_rule, PL_TOKENS_PICTURE);
	assert_int_equal(z.tokens, 81);
	assert_int_equal(z.ngrids, 36);
	assert_true(z.grids[1].columns == 1 && z.grids[1].rows == 2 && z.grids[35].columns == 6 && z.grids[35].rows == 6);
	z = image_of("policy: anyres, grids: [3x1, 1x2]");
	assert_true(z.ngrids == 2 && z.grids[0].columns == 3 && z.grids[0].rows == 1 && z.grids[1].rows == 2);
	assert_int_equal(z.tile, 336);
	assert_int_equal(z.patch, 14);
	z = image_of("policy: windows, tile: 224, target: 448x672");
	assert_int_equal(z.tile, 224);
	assert_true(z.target_w == 448 && z.target_h == 672);
	z = image_of("policy: uhd_slices, max_slices: 9, write: whole, tokens: auto");
	assert_int_equal(z.max_slices, 9);
	assert_int_equal(z.write, PL_WRITE_WHOLE);
	assert_int_equal(z.token_rule, PL_TOKENS_AUTO);
}

static void test_size_keys(void **state)
{
	(void)state;
	struct pl_resize z = image_of("policy: smart_resize, factor: 32, min_pixels: 65536, max_pixels: 4Mi");
	assert_int_equal(z.factor, 32);
	assert_int_equal(z.min_pixels, 65536);
	assert_int_equal(z.max_pixels, 4194304);
	z = image_of("policy: smart_resize");
	assert_int_equal(z.factor, 28);
	assert_int_equal(z.min_pixels, 3136);
	assert_int_equal(z.max_pixels, 1003520);
	z = image_of("policy: patch_multiple, target: native, patch: 14");
	assert_true(z.native);
	assert_int_equal(z.patch, 14);
	z = image_of("policy: patch_multiple, target: 600x300");
	assert_true(!z.native && z.target_w == 600 && z.target_h == 300);
	assert_int_equal(z.patch, 30);
	z = image_of("policy: pad_mean, size: 336");
	assert_int_equal(z.patch, 14);
	assert_false(z.pad_set);
}

static void test_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(wrong); i++) {
		struct pl_recipe r;
		struct pl_err err = {0};
		assert_int_equal(pl_recipe_parse(&r, "r.yaml", wrong[i].text, strlen(wrong[i].text), &err), PL_ERR_USAGE);
		assert_string_equal(err.text, wrong[i].message);
		assert_string_equal(err.path, "r.yaml");
		assert_int_equal(err.line, wrong[i].line);
	}
}

/* Each output is narrowed to its sources, and has the recipe's image and balance unless it brings its own. */
static void test_outputs(void **state)
{
	static const char text[] =
	    "name: x\nsources: [{name: a, shards: a.tar}, {name: b, shards: b.jsonl, kind: chat, weight: 2}]\n"
	    "image: {policy: border, size: 100}\nbalance: {total: 10}\n"
	    "outputs:\n  - {dir: one, sources: [a]}\n"
	    "  - {dir: two, sources: [b], stage: instruct, image: {policy: keep_ratio, size: 50}, balance: {unit: tokens}}\n";
	struct pl_recipe r;

	(void)state;
	assert_int_equal(pl_recipe_parse(&r, "r.yaml", text, sizeof(text) - 1, NULL), PL_OK);
	assert_int_equal(r.noutputs, 2);
	assert_int_equal(r.nsources, 2);
	assert_string_equal(r.output.dir, "one");
	pl_recipe_use_output(&r, 0);
	assert_int_equal(r.nsources, 1);
	assert_string_equal(r.sources[0].name, "a");
	assert_true(r.sources[0].weight == 1);
	assert_int_equal(r.image.size, 100);
	assert_int_equal(r.balance.total, 10);
	pl_recipe_use_output(&r, 1);
	assert_int_equal(r.in_use, 1);
	assert_string_equal(r.sources[0].name, "b");
	assert_true(r.sources[0].weight == 2);
	assert_int_equal(r.image.size, 50);
	assert_int_equal(r.balance.total, 0);
	assert_int_equal(r.balance.unit, PL_UNIT_TOKENS);
	assert_int_equal(r.output.stage, PL_STAGE_INSTRUCT);
	assert_string_equal(r.output.work, "one/work");
	pl_recipe_release(&r);
}

/* A recipe cut anywhere is an error or a smaller recipe, never a crash. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(full) - 1; len++) {
		struct pl_recipe r;
		if (pl_recipe_parse(&r, "r.yaml", full, len, NULL) == PL_OK)
			pl_recipe_release(&r);
	}
}

static void test_missing_file(void **state)
{
	struct pl_recipe r;

	(void)state;
	assert_int_equal(pl_recipe_load(&r, "/no/such/recipe.yaml", NULL), PL_ERR_NOTFOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_tokenizer),
		cmocka_unit_test(test_balance),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_effort),
		cmocka_unit_test(test_tiling_keys),
		cmocka_unit_test(test_size_keys),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_outputs),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_missing_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

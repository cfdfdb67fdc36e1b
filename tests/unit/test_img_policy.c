/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes, grids and token counts of published policies against their
 * definitions, written down here a second time as their authors have them: 1,000 sizes each, extremes, and values that the
 * published Python gave. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/img/resize.h"

enum { SIZES = 1000 };

/* ---- sizes to try ---- */

struct size { uint32_t w, h; };

static const struct size extremes[] = { { 1, 1 }, { 1, 60000 }, { 60000, 1 }, { 65500, 65500 },
	{ 65500, 400 }, { 327, 65500 }, { 328, 65500 }, { 2, 401 }, { 13, 14 }, { 14, 42 }, { 70, 98 },
	{ 28, 5600 }, { 336, 336 }, { 337, 336 }, { 448, 448 }, { 752, 752 }, { 1008, 336 } };

/* Sides of every magnitude, ratios of every kind. */
static struct size size_at(uint64_t i)
{
	if (i < PL_ARRAY_LEN(extremes))
		return extremes[i];
	const double most = i % 4 == 0 ? 65500 : i % 4 == 1 ? 300 : 5000;
	const double a = (double)(pl_draw64(7, i, 0) >> 11) / 9007199254740992.0;
	const double b = (double)(pl_draw64(7, i, 1) >> 11) / 9007199254740992.0;
	struct size s = { (uint32_t)pow(most, a), (uint32_t)pow(most, b) };
	if (i % 3 == 0) /* everyday ones */
		s = (struct size){ 100 + (uint32_t)(a * 4000), 100 + (uint32_t)(b * 4000) };
	return s;
}

static struct pl_resize settled(enum pl_policy policy)
{
	struct pl_resize r = { .policy = policy };
	pl_resize_settle(&r);
	return r;
}

/* ---- Python ---- */

/* round(a / b) of whole numbers, halves to even, without a division of doubles. */
static uint64_t py_round(uint64_t a, uint64_t b)
{
	const uint64_t below = a / b, rest = a % b;
	if (2 * rest == b)
		return below + (below & 1);
	return below + (2 * rest > b);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* ---- Qwen2-VL ---- */

/* qwen_vl_utils/vision_process.py, smart_resize(); with transformers' max(factor, ...) where it makes a picture smaller. */
static bool oracle_smart(struct size s, uint64_t factor, uint64_t min_pixels, uint64_t max_pixels, struct size *to)
{
	uint64_t h_bar = larger(factor, py_round(s.h, factor) * factor);
	uint64_t w_bar = larger(factor, py_round(s.w, factor) * factor);
	if ((uint64_t)larger(s.h, s.w) > 200 * (uint64_t)smaller(s.h, s.w))
		return false;
	if (h_bar * w_bar > max_pixels) {
		const double beta = sqrt((double)((uint64_t)s.h * s.w) / (double)max_pixels);
		h_bar = larger(factor, (uint64_t)floor(s.h / beta / (double)factor) * factor);
		w_bar = larger(factor, (uint64_t)floor(s.w / beta / (double)factor) * factor);
	} else if (h_bar * w_bar < min_pixels) {
		const double beta = sqrt((double)min_pixels / (double)((uint64_t)s.h * s.w));
		h_bar = (uint64_t)ceil(s.h * beta / (double)factor) * factor;
		w_bar = (uint64_t)ceil(s.w * beta / (double)factor) * factor;
	}
	*to = (struct size){ (uint32_t)w_bar, (uint32_t)h_bar };
	return true;
}

static void check_smart(struct size s, uint32_t factor, uint64_t least, uint64_t most)
{
	struct pl_resize r = { .policy = PL_POLICY_SMART_RESIZE, .factor = factor, .min_pixels = least, .max_pixels = most };
	struct size want = { 0, 0 };
	struct pl_tiling t;
	pl_resize_settle(&r);
	const enum pl_reason reason = pl_resize_tiling(&r, s.w, s.h, &t);
	if (!oracle_smart(s, factor, least, most, &want)) {
		assert_int_equal(reason, PL_REASON_TOO_SMALL);
		assert_int_equal(pl_resize_geometry(&r, s.w, s.h).out_w, 0);
		assert_int_equal(pl_image_tokens(&r, s.w, s.h), 0);
		return;
	}
	assert_int_equal(reason, PL_REASON_KEEP);
	if (t.whole.out_w != want.w || t.whole.out_h != want.h || t.whole.scaled_w != want.w || t.whole.scaled_h != want.h)
		fail_msg("%ux%u: %ux%u, not %ux%u", s.w, s.h, t.whole.out_w, t.whole.out_h, want.w, want.h);
	assert_int_equal(t.columns, 0);
	assert_true(t.whole.left == 0 && t.whole.top == 0);
	assert_int_equal(t.whole.changes, want.w != s.w || want.h != s.h);
	assert_int_equal(pl_image_tokens(&r, s.w, s.h), (uint64_t)(want.w / factor) * (want.h / factor));
}

static void test_smart_resize(void **state)
{
	(void)state;
	unsigned refused = 0;
	for (uint64_t i = 0; i < SIZES; i++) {
		const struct size s = size_at(i);
		struct size unused;
		check_smart(s, 28, 56 * 56, 28 * 28 * 1280);
		check_smart(s, 28, 4 * 28 * 28, 16384 * 28 * 28);
		check_smart(s, 32, 65536, 4194304);
		check_smart(s, 28, 200704, 200704);
		refused += !oracle_smart(s, 28, 1, 1 << 30, &unused);
	}
	assert_in_range(refused, 10, SIZES / 2);
}

/* ---- LLaVA-NeXT, LLaVA-OneVision ---- */

/* llava/mm_utils.py, select_best_resolution(); pixels, (width, height). */
static struct size oracle_best(struct size s, const struct size *list, size_t n)
{
	struct size best = { 0, 0 };
	double most = 0, wasted = INFINITY;
	for (size_t i = 0; i < n; i++) {
		const double a = (double)list[i].w / s.w, b = (double)list[i].h / s.h;
		const double scale = a < b ? a : b;
		const double down_w = trunc(s.w * scale), down_h = trunc(s.h * scale);
		const double effective = fmin(down_w * down_h, (double)s.w * s.h);
		const double waste = (double)list[i].w * list[i].h - effective;
		if (effective > most || (!(effective < most) && waste < wasted)) {
			most = effective;
			wasted = waste;
			best = list[i];
		}
	}
	return best;
}

/* resize_and_pad_image(): the size, and where it is pasted. */
static void oracle_pad(struct size s, struct size target, struct size *to, struct size *paste)
{
	const double by_w = (double)target.w / s.w, by_h = (double)target.h / s.h;
	*to = target;
	if (by_w < by_h)
		to->h = (uint32_t)smaller((uint64_t)ceil(s.h * by_w), target.h);
	else
		to->w = (uint32_t)smaller((uint64_t)ceil(s.w * by_h), target.w);
	*paste = (struct size){ (target.w - to->w) / 2, (target.h - to->h) / 2 };
}

/* round(x, 7), then int(). */
static uint64_t round7(double x)
{
	char text[64];
	snprintf(text, sizeof(text), "%.7f", x);
	return strtoull(text, NULL, 10);
}

/* transformers: _get_number_of_features() and _get_unpadded_features() of LLaVA-NeXT and, with most > 0, OneVision. */
static uint64_t oracle_tokens(struct size s, struct size best, uint32_t tile, uint32_t patch, uint32_t most)
{
	const uint64_t side = tile / patch;
	uint64_t h = side * (best.h / tile), w = side * (best.w / tile);
	if ((double)s.w / s.h > (double)w / (double)h)
		h -= (h - round7(s.h * ((double)w / s.w))) / 2 * 2;
	else
		w -= (w - round7(s.w * ((double)h / s.h))) / 2 * 2;
	if (most > 0) {
		const double ratio = sqrt((double)(h * w) / (double)(most * side * side));
		if (ratio > 1.1) {
			/* Python's // does not round up: 100 // 1.1111111111111112 is 89. */
			h = (uint64_t)floorl((long double)h / (long double)ratio);
			w = (uint64_t)floorl((long double)w / (long double)ratio);
		}
	}
	return h * w + h + side * side;
}

static void check_anyres(const struct pl_resize *r, struct size s, const struct size *list, size_t n)
{
	const struct size best = oracle_best(s, list, n);
	struct size to, paste;
	struct pl_tiling t;
	oracle_pad(s, best, &to, &paste);
	assert_int_equal(pl_resize_tiling(r, s.w, s.h, &t), PL_REASON_KEEP);
	if (t.columns * r->tile != best.w || t.rows * r->tile != best.h)
		fail_msg("%ux%u: %ux%u tiles, not %ux%u pixels", s.w, s.h, t.columns, t.rows, best.w, best.h);
	assert_true(t.tile_w == r->tile && t.tile_h == r->tile);
	assert_true(t.canvas.out_w == best.w && t.canvas.out_h == best.h);
	if (t.canvas.scaled_w != to.w || t.canvas.scaled_h != to.h)
		fail_msg("%ux%u: %ux%u, not %ux%u", s.w, s.h, t.canvas.scaled_w, t.canvas.scaled_h, to.w, to.h);
	assert_true(t.canvas.left == (int32_t)paste.w && t.canvas.top == (int32_t)paste.h);
	assert_true(t.whole.scaled_w == r->tile && t.whole.out_w == r->tile && t.whole.scaled_h == r->tile && t.whole.out_h == r->tile);
	assert_int_equal(pl_image_tokens(r, s.w, s.h), oracle_tokens(s, best, r->tile, r->patch, r->anyres_max));
	for (uint32_t i = 0; i < t.columns * t.rows; i++) {
		const struct pl_geometry g = pl_tiling_tile(&t, i);
		assert_true(g.scaled_w == to.w && g.scaled_h == to.h && g.out_w == r->tile && g.out_h == r->tile);
		assert_int_equal(g.left, (int32_t)paste.w - (int32_t)(i % t.columns * r->tile));
		assert_int_equal(g.top, (int32_t)paste.h - (int32_t)(i / t.columns * r->tile));
	}
}

static const struct size next_list[] = { { 336, 672 }, { 672, 336 }, { 672, 672 }, { 1008, 336 }, { 336, 1008 } };

static struct pl_resize one_vision(struct size list[36])
{
	struct pl_resize r = { .policy = PL_POLICY_ANYRES, .tile = 384, .anyres_max = 9, .ngrids = 36 };
	for (uint32_t i = 0; i < 36; i++) {
		r.grids[i].columns = (uint8_t)(i / 6 + 1);
		r.grids[i].rows = (uint8_t)(i % 6 + 1);
		list[i] = (struct size){ (i / 6 + 1) * 384, (i % 6 + 1) * 384 };
	}
	pl_resize_settle(&r);
	return r;
}

static void test_anyres(void **state)
{
	(void)state;
	const struct pl_resize next = settled(PL_POLICY_ANYRES);
	struct size list[36];
	struct pl_resize vision = one_vision(list);
	assert_int_equal(next.tile, 336);
	assert_int_equal(next.patch, 14);
	assert_int_equal(next.ngrids, 5);
	for (uint64_t i = 0; i < SIZES; i++) {
		check_anyres(&next, size_at(i), next_list, 5);
		check_anyres(&vision, size_at(i), list, 36);
	}
	/* 50 rows of 162, divided by 1.1111111111111112: CPython gives 44 x 145, not 45. */
	assert_int_equal(pl_image_tokens(&vision, 2845, 877), 7153);
	vision.anyres_max = 0;
	for (uint64_t i = 0; i < SIZES; i++)
		check_anyres(&vision, size_at(i), list, 36);
}

/* ---- LLaVA-UHD ---- */

/* llava_uhd/slice_logic.py, adapt_size(). */
static struct size oracle_adapt(struct size s)
{
	const double scale = sqrt(576 * (14.0 / s.h) * (14.0 / s.w));
	const uint64_t h = larger(smaller((uint64_t)floor(scale * s.h / 14), 576), 1);
	const uint64_t w = larger(smaller((uint64_t)floor(scale * s.w / 14), 576), 1);
	return (struct size){ (uint32_t)w * 14, (uint32_t)h * 14 };
}

/* cal_num_of_slices(): the factor lists in their order. */
static struct size oracle_slices(struct size s)
{
	uint64_t scale = ((uint64_t)s.w * s.h + 336 * 336 - 1) / (336 * 336);
	struct size best = { 0, 0 };
	double least = 1000;
	scale = smaller(scale, 6);
	for (uint64_t n = 1; n <= 7; n++) {
		const bool candidate = scale <= 2 ? n == scale || n == scale + 1 : n + 1 >= scale && n <= scale + 1;
		for (uint64_t i = 1; i <= n && candidate; i++) {
			if (n % i != 0)
				continue;
			const double r = (double)i / ((double)n / (double)i);
			if (least > fabs(log(r) - log((double)s.w / s.h))) {
				least = fabs(log(r) - log((double)s.w / s.h));
				best = (struct size){ (uint32_t)i, (uint32_t)(n / i) };
			}
		}
	}
	return best;
}

static void test_uhd(void **state)
{
	(void)state;
	const struct pl_resize r = settled(PL_POLICY_UHD_SLICES);
	for (uint64_t i = 0; i < SIZES; i++) {
		const struct size s = size_at(i), grid = oracle_slices(s), whole = oracle_adapt(s);
		const struct size cut = { s.w / grid.w, s.h / grid.h };
		struct pl_tiling t;
		assert_int_equal(pl_resize_tiling(&r, s.w, s.h, &t), PL_REASON_KEEP);
		assert_true(t.whole.out_w == whole.w && t.whole.out_h == whole.h && t.whole.scaled_w == whole.w);
		if (grid.w * grid.h == 1) {
			assert_int_equal(t.columns, 0);
			assert_int_equal(pl_image_tokens(&r, s.w, s.h), 64);
			continue;
		}
		if (t.columns != grid.w || t.rows != grid.h)
			fail_msg("%ux%u: %ux%u slices, not %ux%u", s.w, s.h, t.columns, t.rows, grid.w, grid.h);
		const struct size slice = oracle_adapt(cut);
		assert_true(t.tile_w == slice.w && t.tile_h == slice.h);
		assert_true(t.canvas.scaled_w == slice.w * grid.w && t.canvas.out_h == slice.h * grid.h);
		assert_int_equal(pl_image_tokens(&r, s.w, s.h), 64 * (1 + (uint64_t)grid.w * grid.h));
	}
}

/* ---- CLIP, LLaVA-1.5, squares, Fuyu, Monkey ---- */

static void test_one_picture(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < SIZES; i++) {
		const struct size s = size_at(i);
		const uint32_t n = i % 2 ? 336 : 224;
		const uint64_t longer = larger(s.w, s.h), shorter = smaller(s.w, s.h);
		/* torchvision: Resize(n), then CenterCrop(n) at int(round((side - n) / 2.0)). */
		const struct pl_geometry c = pl_resize_geometry(&(struct pl_resize){ .policy = PL_POLICY_CLIP, .size = n }, s.w, s.h);
		const uint64_t to = n * longer / shorter, at = py_round(to - n, 2);
		assert_int_equal(s.w <= s.h ? c.scaled_w : c.scaled_h, n);
		assert_int_equal(s.w <= s.h ? c.scaled_h : c.scaled_w, to);
		assert_int_equal(s.w <= s.h ? -c.top : -c.left, at);
		assert_true(c.out_w == n && c.out_h == n && (s.w <= s.h ? c.left : c.top) == 0);
		/* expand2square, then n x n. */
		const struct pl_geometry p = pl_resize_geometry(&(struct pl_resize){ .policy = PL_POLICY_PAD_MEAN, .size = n }, s.w, s.h);
		const uint64_t side = larger(py_round(shorter * n, longer), 1);
		assert_int_equal(s.w >= s.h ? p.scaled_w : p.scaled_h, n);
		assert_in_range((s.w >= s.h ? p.scaled_h : p.scaled_w) - side + 1, 0, 2);   /* a half is found by division or not */
		assert_int_equal(p.top, (n - p.scaled_h) / 2);
		assert_int_equal(p.left, (n - p.scaled_w) / 2);
		/* Shifted by half a pixel at most from where padding first would put it. */
		assert_true(fabs((double)(longer - s.h) / 2 * n / (double)longer - p.top) < 1.01);
		assert_true(p.out_w == n && p.out_h == n);
		const struct pl_geometry q = pl_resize_geometry(&(struct pl_resize){ .policy = PL_POLICY_SQUARE, .size = n }, s.w, s.h);
		assert_true(q.scaled_w == n && q.scaled_h == n && q.out_w == n && q.out_h == n && q.left == 0 && q.top == 0);
	}
}

/* transformers/models/fuyu/image_processing_fuyu.py. */
static void test_fuyu(void **state)
{
	(void)state;
	const struct pl_resize r = settled(PL_POLICY_PATCH_MULTIPLE);
	struct pl_resize native = r;
	native.native = true;
	for (uint64_t i = 0; i < SIZES; i++) {
		const struct size s = size_at(i);
		uint64_t w = s.w, h = s.h;
		if (w > 1920 || h > 1080) {
			const double by = fmin(1080.0 / s.h, 1920.0 / s.w);
			w = larger((uint64_t)(s.w * by), 1);
			h = larger((uint64_t)(s.h * by), 1);
		}
		const struct pl_geometry g = pl_resize_geometry(&r, s.w, s.h);
		assert_true(g.scaled_w == w && g.scaled_h == h && g.left == 0 && g.top == 0);
		assert_int_equal(g.out_w, smaller(1920, (w + 29) / 30 * 30));
		assert_int_equal(g.out_h, smaller(1080, (h + 29) / 30 * 30));
		/* a token per patch, one per row */
		assert_int_equal(pl_image_tokens(&r, s.w, s.h), (uint64_t)(g.out_w / 30) * (g.out_h / 30) + g.out_h / 30);
		const struct pl_geometry own = pl_resize_geometry(&native, s.w, s.h);
		assert_true(own.scaled_w == s.w && own.out_w == (s.w + 29) / 30 * 30 && own.out_h == (s.h + 29) / 30 * 30);
	}
}

static void test_monkey(void **state)
{
	(void)state;
	const struct pl_resize r = settled(PL_POLICY_WINDOWS);
	struct pl_tiling t;
	assert_int_equal(pl_resize_tiling(&r, 500, 300, &t), PL_REASON_KEEP);
	assert_true(t.columns == 3 && t.rows == 2 && t.tile_w == 448 && t.tile_h == 448);
	assert_true(t.canvas.scaled_w == 1344 && t.canvas.scaled_h == 896 && t.whole.scaled_w == 448 && t.whole.out_h == 448);
	assert_int_equal(pl_image_tokens(&r, 500, 300), 7 * 256);
}

/* ---- what the published Python gave (CPython 3.11) ---- */

static const struct {
	uint32_t w, h;
	struct size hf, utils, next;   /* smart_resize in transformers' and in qwen_vl_utils' bounds; 336-pixel tiles */
	uint32_t scaled_w, scaled_h, left, top, next_tokens;
	struct size vision;            /* OneVision's tiles, and its tokens by anyres_max_9 */
	uint32_t vision_tokens, slices_w, slices_h, slice_w, slice_h;
} published[] = {
	{ 640, 480, { 644, 476 }, { 644, 476 }, { 2, 2 }, 672, 504, 0, 84, 2340, { 2, 2 }, 2929, 2, 2, 378, 280 },
	{ 480, 640, { 476, 644 }, { 476, 644 }, { 2, 2 }, 504, 672, 84, 0, 2352, { 2, 2 }, 2943, 2, 2, 280, 378 },
	{ 1024, 1024, { 980, 980 }, { 1036, 1036 }, { 2, 2 }, 672, 672, 0, 0, 2928, { 3, 3 }, 7371, 3, 2, 266, 406 },
	{ 1920, 1080, { 1316, 728 }, { 1932, 1092 }, { 2, 2 }, 672, 378, 0, 147, 1948, { 5, 3 }, 7269, 3, 2, 364, 308 },
	{ 333, 500, { 336, 504 }, { 336, 504 }, { 1, 2 }, 336, 505, 0, 83, 1476, { 1, 2 }, 1849, 1, 2, 378, 280 },
	{ 4000, 3000, { 1148, 840 }, { 4004, 2996 }, { 2, 2 }, 672, 505, 0, 83, 2340, { 6, 5 }, 7309, 3, 2, 308, 350 },
	{ 100, 100, { 112, 112 }, { 112, 112 }, { 1, 2 }, 336, 336, 0, 168, 1176, { 1, 1 }, 1485, 1, 1, 336, 336 },
	{ 28, 5600, { 28, 5600 }, { 28, 5600 }, { 1, 3 }, 6, 1008, 165, 0, 648, { 1, 6 }, 1053, 1, 3, 28, 2730 },
	{ 5000, 60, { 5012, 56 }, { 5012, 56 }, { 3, 1 }, 1008, 13, 0, 161, 576, { 6, 1 }, 892, 4, 1, 1526, 70 },
	{ 672, 336, { 672, 336 }, { 672, 336 }, { 2, 1 }, 672, 336, 0, 0, 1752, { 2, 1 }, 2214, 2, 1, 336, 336 },
	{ 800, 200, { 812, 196 }, { 812, 196 }, { 3, 1 }, 1008, 252, 0, 42, 1890, { 3, 1 }, 2451, 3, 1, 378, 280 },
	{ 1, 1, { 56, 56 }, { 56, 56 }, { 1, 2 }, 336, 336, 0, 168, 1176, { 1, 1 }, 1485, 1, 1, 336, 336 },
	{ 70, 98, { 56, 112 }, { 56, 112 }, { 1, 2 }, 336, 471, 0, 100, 1426, { 1, 1 }, 1269, 1, 1, 280, 392 },
	{ 2047, 1363, { 1204, 812 }, { 2044, 1372 }, { 2, 2 }, 672, 448, 0, 112, 2144, { 6, 4 }, 7329, 3, 2, 336, 322 },
	{ 1337, 977, { 1148, 840 }, { 1344, 980 }, { 2, 2 }, 672, 492, 0, 90, 2340, { 4, 3 }, 7284, 3, 2, 308, 350 },
	{ 65500, 400, { 12796, 56 }, { 45836, 280 }, { 3, 1 }, 1008, 7, 0, 164, 576, { 6, 1 }, 892, 7, 1, 1624, 56 },
};

static void test_published(void **state)
{
	(void)state;
	const struct pl_resize hf = settled(PL_POLICY_SMART_RESIZE), next = settled(PL_POLICY_ANYRES), uhd = settled(PL_POLICY_UHD_SLICES);
	struct pl_resize utils = { .policy = PL_POLICY_SMART_RESIZE, .min_pixels = 4 * 28 * 28, .max_pixels = 16384 * 28 * 28 };
	struct size list[36];
	const struct pl_resize vision = one_vision(list);
	pl_resize_settle(&utils);
	for (size_t i = 0; i < PL_ARRAY_LEN(published); i++) {
		const uint32_t w = published[i].w, h = published[i].h;
		struct pl_geometry g = pl_resize_geometry(&hf, w, h);
		struct pl_tiling t;
		assert_true(g.out_w == published[i].hf.w && g.out_h == published[i].hf.h);
		g = pl_resize_geometry(&utils, w, h);
		assert_true(g.out_w == published[i].utils.w && g.out_h == published[i].utils.h);
		assert_int_equal(pl_resize_tiling(&next, w, h, &t), PL_REASON_KEEP);
		assert_true(t.columns == published[i].next.w && t.rows == published[i].next.h);
		assert_int_equal(t.canvas.scaled_w, published[i].scaled_w);
		assert_int_equal(t.canvas.scaled_h, published[i].scaled_h);
		assert_int_equal(t.canvas.left, published[i].left);
		assert_int_equal(t.canvas.top, published[i].top);
		assert_int_equal(pl_image_tokens(&next, w, h), published[i].next_tokens);
		assert_int_equal(pl_resize_tiling(&vision, w, h, &t), PL_REASON_KEEP);
		assert_true(t.columns == published[i].vision.w && t.rows == published[i].vision.h);
		assert_int_equal(pl_image_tokens(&vision, w, h), published[i].vision_tokens);
		assert_true(pl_resize_grid(&uhd, w, h, &t) == (published[i].slices_w * published[i].slices_h > 1));
		assert_int_equal(t.columns > 0 ? t.columns : 1, published[i].slices_w);
		assert_int_equal(t.rows > 0 ? t.rows : 1, published[i].slices_h);
		assert_int_equal(t.columns > 0 ? t.tile_w : t.whole.out_w, published[i].slice_w);
		assert_int_equal(t.columns > 0 ? t.tile_h : t.whole.out_h, published[i].slice_h);
	}
}

/* ---- token rules ---- */

static uint64_t tokens(struct pl_resize r)
{
	pl_resize_settle(&r);
	return pl_image_tokens(&r, 640, 480);
}

static void test_tokens(void **state)
{
	(void)state;
	/* ViT-L/14 at 336 and 224; LLaVA-1.5; PaLI at 224; patches of 16; VQ of 16 x 16: Chameleon at 512, Show-o at 256. */
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_CLIP, .size = 336 }), 576);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_CENTER_CROP, .size = 224 }), 256);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_PAD_MEAN, .size = 336 }), 576);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_SQUARE, .size = 224 }), 256);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_SQUARE, .size = 224, .patch = 16 }), 196);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_CENTER_CROP, .size = 512, .patch = 16 }), 1024);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_CLIP, .size = 256, .patch = 16 }), 256);
	/* A model's own number: a perceiver's 64 of IDEFICS, Emu2's 64. */
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_SQUARE, .size = 224, .token_rule = PL_TOKENS_PICTURE, .tokens = 64 }), 64);
	/* No size, no patches: LLaVA-1.5's number, unless the patch is told. */
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_NONE }), 576);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_KEEP_RATIO, .size = 240 }), 576);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_KEEP_RATIO, .size = 240, .patch = 16 }), 20 * 15);
	/* Per picture: the overview and four tiles; per image: that number. */
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_ANYRES, .token_rule = PL_TOKENS_PICTURE, .tokens = 100 }), 500);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_UHD_SLICES, .token_rule = PL_TOKENS_PICTURE, .tokens = 144 }), 720);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_ANYRES, .token_rule = PL_TOKENS_IMAGE, .tokens = 100 }), 100);
	/* How a picture is stored changes nothing. */
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_ANYRES, .write = PL_WRITE_WHOLE }), 2340);
	assert_int_equal(tokens((struct pl_resize){ .policy = PL_POLICY_WINDOWS, .write = PL_WRITE_TILES }), 7 * 256);
}

/* Where one number is said to hold for all, it does. */
static void test_same(void **state)
{
	(void)state;
	unsigned same = 0;
	for (unsigned i = 0; i < 3 * 2 * 2 * PL_POLICY_COUNT; i++) {
		struct pl_resize r = { .policy = (enum pl_policy)(i % PL_POLICY_COUNT), .size = 336, .tokens = 7,
			.token_rule = (enum pl_token_rule)(i / PL_POLICY_COUNT % 3), .patch = i / PL_POLICY_COUNT / 3 % 2 ? 14 : 0,
			.only_if_bigger = i / PL_POLICY_COUNT / 6 };
		uint64_t n = 0;
		pl_resize_settle(&r);
		if (!pl_image_tokens_same(&r, &n))
			continue;
		same++;
		for (uint64_t k = 0; k < 50; k++)
			assert_int_equal(pl_image_tokens(&r, size_at(k).w, size_at(k).h), n);
	}
	assert_true(same > 60);
}

/* What is written of tiles. */
static void test_written(void **state)
{
	(void)state;
	struct pl_resize r = settled(PL_POLICY_ANYRES);
	struct pl_tiling t;
	assert_int_equal(pl_resize_pixels(&r, 640, 480), 336 * 336 * 5);
	r.write = PL_WRITE_TILES;
	assert_int_equal(pl_resize_tiling(&r, 640, 480, &t), PL_REASON_KEEP);
	assert_true(t.whole.out_w == 0 && t.columns == 2);
	assert_int_equal(pl_resize_pixels(&r, 640, 480), 336 * 336 * 4);
	r.write = PL_WRITE_WHOLE;
	assert_int_equal(pl_resize_tiling(&r, 640, 480, &t), PL_REASON_KEEP);
	assert_true(t.whole.out_w == 672 && t.whole.out_h == 672 && t.whole.top == 84 && t.columns == 0 && t.rows == 0);
	/* One slice alone is the picture, whatever is asked. */
	r = settled(PL_POLICY_UHD_SLICES);
	r.write = PL_WRITE_TILES;
	assert_int_equal(pl_resize_tiling(&r, 336, 336, &t), PL_REASON_KEEP);
	assert_true(t.whole.out_w == 336 && t.columns == 0 && !t.whole.changes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smart_resize),
		cmocka_unit_test(test_anyres),
		cmocka_unit_test(test_uhd),
		cmocka_unit_test(test_one_picture),
		cmocka_unit_test(test_fuyu),
		cmocka_unit_test(test_monkey),
		cmocka_unit_test(test_published),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_same),
		cmocka_unit_test(test_written),
	};
	return cmocka_run_group_tests_name("img policy", tests, NULL, NULL);
}

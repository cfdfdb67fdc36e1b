/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures out of nothing: a ground that fades or is striped, shapes on it, and
 * a random relief over all. The relief has equal power at all frequencies that
 * a perceptual hash looks at, so that unrelated pictures lie far apart and
 * copies close together. Integers only: the same pixels on every machine. */
#include "synth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t palette[SYNTH_COLOURS][3] = {   /* in the order of the words in synth_words.c */
	{ 25, 25, 28 }, { 240, 240, 236 }, { 128, 128, 130 }, { 205, 40, 40 }, { 240, 140, 30 }, { 240, 215, 50 },
	{ 50, 150, 60 }, { 50, 190, 190 }, { 45, 80, 190 }, { 130, 60, 170 }, { 240, 150, 185 }, { 120, 80, 45 },
};

/* 1024 * sine of k * 6 degrees. */
static int32_t sine(unsigned k)
{
	static const int16_t quarter[16] = { 0, 107, 213, 316, 416, 512, 602, 685, 761, 828, 887, 935, 974, 1002, 1018, 1024 };

	k %= 60;
	if (k >= 30)
		return -sine(k - 30);
	return quarter[k <= 15 ? k : 30 - k];
}

uint64_t synth_picture_key(const struct synth *s, enum synth_set set, uint64_t index, unsigned image)
{
	struct synth_dice d = synth_dice(s, set, index, SYNTH_OF_PICTURE);

	return pl_draw64(d.key, image, 0);
}

struct synth_scene synth_scene(const struct synth *s, uint64_t key)
{
	struct synth_dice d = { key, 0 };
	struct synth_scene scene = { 0 };
	uint32_t longer = s->size * (50 + synth_below(&d, 101)) / 100;
	uint32_t shorter = longer * (50 + synth_below(&d, 51)) / 100;
	bool upright = synth_below(&d, 5) < 2;

	scene.width = upright ? shorter : longer;
	scene.height = upright ? longer : shorter;
	scene.ground = (uint8_t)synth_below(&d, SYNTH_COLOURS);
	scene.second = (uint8_t)((scene.ground + 1 + synth_below(&d, SYNTH_COLOURS - 1)) % SYNTH_COLOURS);
	scene.nshapes = SYNTH_DESCRIBED + synth_below(&d, SYNTH_SHAPES - SYNTH_DESCRIBED + 1);
	for (unsigned i = 0; i < scene.nshapes; i++) {
		struct synth_shape *shape = &scene.shapes[i];

		shape->form = (uint8_t)synth_below(&d, SYNTH_FORMS);
		shape->colour = (uint8_t)((scene.ground + 1 + synth_below(&d, SYNTH_COLOURS - 1)) % SYNTH_COLOURS);
		shape->turn = (uint8_t)synth_below(&d, 60);
		shape->opacity = (uint8_t)synth_between(&d, 170, 255);
		shape->cx = synth_between(&d, 60, 964);
		shape->cy = synth_between(&d, 60, 964);
		shape->rx = synth_between(&d, 60, 240);
		shape->ry = synth_between(&d, 60, 240);
	}
	scene.rest = (struct synth_dice){ synth_roll(&d), 0 };
	return scene;
}

static uint8_t clamp(int32_t v)
{
	return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

static uint8_t blend(uint8_t from, uint8_t to, int32_t opacity)
{
	return (uint8_t)(from + (((int32_t)to - from) * opacity >> 8));
}

/* Four corner colours near the ground's, and stripes of the second colour in every second picture. */
struct ground {
	int32_t corner[4][3];
	uint32_t across, down;    /* stripes: phase per pixel, of 2^16 */
	int32_t strength;         /* of the stripes, 0..256 */
	uint8_t second[3];
};

static struct ground plan_ground(const struct synth_scene *scene, struct synth_dice *d)
{
	struct ground g = { 0 };
	unsigned direction = synth_below(d, 60);
	int32_t stripes = synth_between(d, 3, 14);

	for (int i = 0; i < 4; i++)
		for (int c = 0; c < 3; c++)
			g.corner[i][c] = clamp(palette[scene->ground][c] + synth_between(d, -50, 50));
	/* Negative steps wrap, which is what a phase does. */
	g.across = (uint32_t)(stripes * 65536 / (int32_t)scene->width * sine(direction + 15) / 1024);
	g.down = (uint32_t)(stripes * 65536 / (int32_t)scene->height * sine(direction) / 1024);
	g.strength = synth_below(d, 2) == 0 ? synth_between(d, 40, 130) : 0;
	memcpy(g.second, palette[scene->second], sizeof(g.second));
	return g;
}

static void draw_ground_row(const struct synth_scene *scene, const struct ground *g, uint32_t y, uint8_t *row)
{
	int32_t at[3], step[3], w = (int32_t)scene->width, h = (int32_t)scene->height;
	uint32_t phase = g->down * y;

	for (int c = 0; c < 3; c++) {
		int32_t left = (g->corner[0][c] * (h - (int32_t)y) + g->corner[2][c] * (int32_t)y) * 256 / h;
		int32_t right = (g->corner[1][c] * (h - (int32_t)y) + g->corner[3][c] * (int32_t)y) * 256 / h;

		at[c] = left * 128;
		step[c] = (right - left) * 128 / w;
	}
	for (int32_t x = 0; x < w; x++, row += 3, phase += g->across) {
		uint32_t wave = phase & 0xffff;
		int32_t opacity = (int32_t)((wave < 0x8000 ? wave : 0xffff - wave) * (uint32_t)g->strength >> 15);

		for (int c = 0; c < 3; c++, at[c - 1] += step[c - 1])
			row[c] = blend((uint8_t)(at[c] >> 15), g->second[c], opacity);
	}
}

struct outline { int32_t cx, cy, rx, ry, n, x[6], y[6]; };

static struct outline place_shape(const struct synth_scene *scene, const struct synth_shape *shape)
{
	static const uint8_t corners[SYNTH_FORMS] = { 0, 3, 4, 5, 6 };   /* 0: an ellipse */
	int32_t w = (int32_t)scene->width, h = (int32_t)scene->height;
	struct outline o = { 0 };

	o.cx = shape->cx * w / 1024;
	o.cy = shape->cy * h / 1024;
	o.rx = shape->rx * w / 1024 + 1;
	o.ry = shape->ry * h / 1024 + 1;
	o.n = corners[shape->form];
	for (int32_t i = 0; i < o.n; i++) {
		unsigned angle = shape->turn + 60u / (unsigned)o.n * (unsigned)i;
		o.x[i] = o.cx + o.rx * sine(angle + 15) / 1024;
		o.y[i] = o.cy + o.ry * sine(angle) / 1024;
	}
	return o;
}

/* The pixels [*from, *to) that the shape covers in row y. The outline is convex. */
static bool span(const struct outline *o, int32_t y, int32_t width, int32_t *from, int32_t *to)
{
	int32_t low = INT32_MAX, high = INT32_MIN;

	if (y < o->cy - o->ry || y > o->cy + o->ry)
		return false;
	if (o->n == 0) {
		int64_t dy = y - o->cy, rx = o->rx, ry = o->ry;
		int32_t reach = (int32_t)((int64_t)sqrt((double)(rx * rx * (ry * ry - dy * dy))) / ry);
		low = o->cx - reach;
		high = o->cx + reach;
	}
	for (int32_t i = 0; i < o->n; i++) {
		int32_t k = (i + 1) % o->n, y0 = o->y[i], y1 = o->y[k], x;

		if ((y < y0 && y < y1) || (y > y0 && y > y1) || y0 == y1)
			continue;
		x = o->x[i] + (int32_t)((int64_t)(o->x[k] - o->x[i]) * (y - y0) / (y1 - y0));
		low = x < low ? x : low;
		high = x > high ? x : high;
	}
	*from = low < 0 ? 0 : low;
	*to = high >= width ? width : high + 1;
	return *from < *to;
}

static void draw_shapes_row(const struct synth_scene *scene, const struct outline *outlines, uint32_t y, uint8_t *row)
{
	for (unsigned i = 0; i < scene->nshapes; i++) {
		const struct synth_shape *shape = &scene->shapes[i];
		const uint8_t *colour = palette[shape->colour];
		int32_t from, to, opacity = shape->opacity + 1;

		if (!span(&outlines[i], (int32_t)y, (int32_t)scene->width, &from, &to))
			continue;
		for (uint8_t *p = row + 3 * from; p < row + 3 * to; p += 3)
			for (int c = 0; c < 3; c++)
				p[c] = blend(p[c], colour[c], opacity);
	}
}

/* Heights at the corners of a grid, straight between them. */
enum { GRID_MIN = 13, GRID_MAX = 22 };
struct relief {
	uint32_t nx, ny;
	int16_t height[GRID_MAX + 1][GRID_MAX + 2];
	int32_t tint[3];          /* of 256 */
	bool grain;
	struct synth_dice grains;
};

static struct relief plan_relief(struct synth_dice *d)
{
	struct relief r = { 0 };
	int32_t most = synth_between(d, 45, 75);

	r.nx = (uint32_t)synth_between(d, GRID_MIN, GRID_MAX);
	r.ny = (uint32_t)synth_between(d, GRID_MIN, GRID_MAX);
	for (int c = 0; c < 3; c++)
		r.tint[c] = synth_between(d, 180, 300);
	r.grain = synth_below(d, 2) == 0;
	for (uint32_t y = 0; y <= r.ny; y++)
		for (uint32_t x = 0; x <= r.nx; x++)
			r.height[y][x] = (int16_t)(synth_between(d, -most, most) * 16);
	r.grains = (struct synth_dice){ synth_roll(d), 0 };
	return r;
}

static void draw_relief_row(const struct synth_scene *scene, const struct relief *r, uint32_t y, uint8_t *row)
{
	uint32_t at = (uint32_t)((uint64_t)y * r->ny * 65536 / scene->height), line = at >> 16, x = 0;
	uint32_t step = r->nx * 65536 / scene->width;
	int32_t part = (int32_t)(at & 0xffff) >> 4, heights[GRID_MAX + 2] = { 0 };
	struct synth_dice d = { r->grains.key ^ y, 0 };
	uint64_t grain = 0;

	for (uint32_t i = 0; i <= r->nx; i++)
		heights[i] = (r->height[line][i] * (4096 - part) + r->height[line + 1][i] * part) >> 12;
	for (uint32_t i = 0; i < scene->width; i++, x += step, row += 3, grain >>= 3) {
		const int32_t *h = heights + (x >> 16);
		int32_t f = (int32_t)(x & 0xffff) >> 4, v = (h[0] * (4096 - f) + h[1] * f) >> 16;

		if (r->grain) {
			if (i % 16 == 0)
				grain = synth_roll(&d);
			v += (int32_t)(grain & 7) - 3;
		}
		for (int c = 0; c < 3; c++)
			row[c] = clamp(row[c] + (v * r->tint[c] >> 8));
	}
}

enum pl_status synth_draw(const struct synth_scene *scene, struct pl_image *out, struct pl_err *err)
{
	struct synth_dice d = scene->rest;
	struct ground ground = plan_ground(scene, &d);
	struct relief relief = plan_relief(&d);
	struct outline outlines[SYNTH_SHAPES];

	if (pl_image_init(out, scene->width, scene->height, 3) != PL_REASON_KEEP)
		return pl_fail_nomem(err);
	for (unsigned i = 0; i < scene->nshapes; i++)
		outlines[i] = place_shape(scene, &scene->shapes[i]);
	for (uint32_t y = 0; y < scene->height; y++) {
		uint8_t *row = out->pixels + (size_t)y * scene->width * 3;

		draw_ground_row(scene, &ground, y, row);
		draw_shapes_row(scene, outlines, y, row);
		draw_relief_row(scene, &relief, y, row);
	}
	return PL_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The scan of a baseline JPEG: codes to coefficients, two at a time, and these
 * to the inverse DCT in groups. Data is read from a copy without stuffing that
 * ends in zeros, so that nothing is checked before the end of an MCU. */
#include "jpeg_entropy.h"

#include <stdlib.h>

/* Offsets in a group; runs may end up to 32 behind the last. */
#define AT(row, column) ((row) * PL_JB_ROW + (column))
static const uint16_t places[64 + 40] = { AT(0, 0), AT(0, 1), AT(1, 0), AT(2, 0), AT(1, 1),
	AT(0, 2), AT(0, 3), AT(1, 2), AT(2, 1), AT(3, 0), AT(4, 0), AT(3, 1), AT(2, 2), AT(1, 3),
	AT(0, 4), AT(0, 5), AT(1, 4), AT(2, 3), AT(3, 2), AT(4, 1), AT(5, 0), AT(6, 0), AT(5, 1),
	AT(4, 2), AT(3, 3), AT(2, 4), AT(1, 5), AT(0, 6), AT(0, 7), AT(1, 6), AT(2, 5), AT(3, 4),
	AT(4, 3), AT(5, 2), AT(6, 1), AT(7, 0), AT(7, 1), AT(6, 2), AT(5, 3), AT(4, 4), AT(3, 5),
	AT(2, 6), AT(1, 7), AT(2, 7), AT(3, 6), AT(4, 5), AT(5, 4), AT(6, 3), AT(7, 2), AT(7, 3),
	AT(6, 4), AT(5, 5), AT(4, 6), AT(3, 7), AT(4, 7), AT(5, 6), AT(6, 5), AT(7, 4), AT(7, 5),
	AT(6, 6), AT(5, 7), AT(6, 7), AT(7, 6), AT(7, 7), PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP,
	PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP,
	PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP,
	PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP,
	PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP,
	PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP, PL_JB_DUMP };

struct scan {
	const struct pl_jb_frame *f;
	const struct pl_jb_sink *sink;
	/* Reads one block: the difference of its DC, and how many coefficients it has up to its end;
	 * 0: bad. Only keep stores them. */
	unsigned (*keep)(struct bits *b, const struct pl_jb_table *dc, const struct pl_jb_table *ac,
	    int32_t *difference, int16_t *coef);
	unsigned (*skip)(struct bits *b, const struct pl_jb_table *dc, const struct pl_jb_table *ac,
	    int32_t *difference, int16_t *coef);
	pl_jb_transform *transform;
	const uint8_t *at, *end; /* the file's data not yet unstuffed */
	uint8_t *plain;          /* one restart interval */
	size_t plain_len;
	struct bits bits;
	int32_t dc_before[3];
	struct pl_jb_table *dc[3], *ac[3]; /* into tables */
	struct pl_jb_group group[3];
	struct pl_jb_table tables[6];
};

/* ---- one block ---- */

/* One code the slow way, at zigzag index k. What k is then, 64 + k at the block's end, 0: bad. */
INLINE unsigned read_long(struct bits *b, const struct pl_jb_table *t, unsigned k, bool keep,
    int16_t *coef)
{
	refill(b);
	const unsigned s = next_symbol(t, b->word), size = s & 15, run = s >> 4 & 15;
	drop(b, s >> 8);
	if (s == 0 || (size == 0 && run != 0 && run != 15))
		return 0;
	if (size == 0 && run == 0)
		return 64 + k;
	k += run;
	if (k > 63)
		return 0;
	const int v = take_value(b, size);
	if (keep && size)
		coef[places[k]] = (int16_t)v;
	return k + 1;
}

/* One lookup from *k, stored where there is a coef. false: it ends the block or must go the slow way,
 * and nothing has been taken. */
INLINE bool step(struct bits *b, const uint64_t *pair, unsigned shift, bool keep, int16_t *coef,
    unsigned *k, uint64_t *entry)
{
	const uint64_t e = pair[b->word >> shift];
	*entry = e;
	if (keep) {
		coef[places[*k + (e >> 16 & 0xFF)]] = (int16_t)(e >> 48);
		coef[places[*k + (e >> 24 & 0xFF)]] = (int16_t)(e >> 32);
	}
	const unsigned next = *k + (e >> 8 & 0xFF);
	if (next >= 64)
		return false;
	drop(b, e & PL_JB_BITS);
	*k = next;
	return true;
}

/* The AC coefficients, stored where there is a coef. How many coefficients the block has up to its
 * end, DC included; 0: bad. */
INLINE unsigned read_ac(struct bits *b, const struct pl_jb_table *t, bool keep, int16_t *coef)
{
	const unsigned shift = 64 - t->bits;
	for (unsigned k = 1;;) {
		uint64_t e;
		refill(b);
		/* Four lookups take no more than 44 bits. */
		bool on = step(b, t->pair, shift, keep, coef, &k, &e);
		on = on && step(b, t->pair, shift, keep, coef, &k, &e);
		on = on && step(b, t->pair, shift, keep, coef, &k, &e);
		on = on && step(b, t->pair, shift, keep, coef, &k, &e);
		if (on)
			continue;
		/* A pair's second may belong to the next block, after the 64th. */
		const unsigned advance = e >> 8 & 0xFF, next = k + advance;
		const bool end = advance & PL_JB_END && next - PL_JB_END < 64;
		if (end || next == 64) {
			drop(b, e & PL_JB_BITS);
			return end ? next - PL_JB_END : 64;
		}
		k = read_long(b, t, k, keep, coef);
		if (k == 0 || k >= 64)
			return k > 64 ? k - 64 : k;
	}
}

/* One block, as struct scan has it. */
INLINE unsigned read_codes(struct bits *bits, const struct pl_jb_table *dc,
    const struct pl_jb_table *ac, int32_t *difference, bool keep, int16_t *coef)
{
	struct bits b = *bits;
	const unsigned n = read_dc(&b, dc, difference) ? read_ac(&b, ac, keep, coef) : 0;
	*bits = b;
	return n;
}

static unsigned keep_plain(struct bits *b, const struct pl_jb_table *dc,
    const struct pl_jb_table *ac, int32_t *difference, int16_t *coef)
{
	return read_codes(b, dc, ac, difference, true, coef);
}

static unsigned skip_plain(struct bits *b, const struct pl_jb_table *dc,
    const struct pl_jb_table *ac, int32_t *difference, int16_t *coef)
{
	return read_codes(b, dc, ac, difference, false, coef);
}

#if defined(__x86_64__)
/* With shifts that leave the flags alone. */
#define BMI2 __attribute__((target("bmi2")))

BMI2 static unsigned keep_bmi2(struct bits *b, const struct pl_jb_table *dc,
    const struct pl_jb_table *ac, int32_t *difference, int16_t *coef)
{
	return read_codes(b, dc, ac, difference, true, coef);
}

BMI2 static unsigned skip_bmi2(struct bits *b, const struct pl_jb_table *dc,
    const struct pl_jb_table *ac, int32_t *difference, int16_t *coef)
{
	return read_codes(b, dc, ac, difference, false, coef);
}
#endif

/* ---- samples ---- */

static bool flush(const struct scan *s, struct pl_jb_group *g)
{
	const bool good = g->n == 0 || s->transform(g);
	g->n = 0;
	return good;
}

/* One block of component i whose samples go to dst, NULL: nowhere. */
static bool read_block(struct scan *s, unsigned i, uint8_t *dst)
{
	struct pl_jb_group *g = &s->group[i];
	const struct pl_jb_component *c = &s->f->c[i];
	int16_t *coef = g->coef + (size_t)8 * g->n;
	const bool keep = dst && s->sink->size > 1;
	int32_t difference = 0;
	const unsigned count =
	    (keep ? s->keep : s->skip)(&s->bits, s->dc[i], s->ac[i], &difference, coef);
	const int32_t dc = s->dc_before[i] + difference;
	if (count == 0 || dc > c->highest_dc || dc < -c->highest_dc)
		return false;
	s->dc_before[i] = dc;
	if (!dst)
		return true;
	if (!keep || count == 1) {
		fill_block(
		    dst, g->stride, s->sink->size, flat_sample(dc * (uint16_t)c->quant[0]));
		return true;
	}
	coef[0] = (int16_t)dc;
	g->dst[g->n++] = dst;
	return g->n < PL_JB_GROUP || flush(s, g);
}

/* A component nobody wants. */
static bool skip_blocks(struct scan *s, unsigned i)
{
	const struct pl_jb_component *c = &s->f->c[i];
	int32_t difference = 0;
	for (unsigned n = (unsigned)c->h * c->v; n > 0; n--)
		if (s->skip(&s->bits, s->dc[i], s->ac[i], &difference, NULL) == 0)
			return false;
	return true;
}

static bool read_blocks(
    struct scan *s, unsigned i, uint32_t mx, uint32_t my, uint8_t *plane)
{
	const struct pl_jb_component *c = &s->f->c[i];
	const size_t stride = s->sink->stride[i], size = s->sink->size;
	for (uint32_t v = 0; v < c->v; v++)
		for (uint32_t h = 0; h < c->h; h++) {
			const uint32_t x = mx * c->h + h;
			uint8_t *dst = plane + v * size * stride + x * size;
			/* What lies in the padding of the last MCUs is not kept. */
			if (x >= c->blocks_w || my * c->v + v >= c->blocks_h)
				dst = NULL;
			if (!read_block(s, i, dst))
				return false;
		}
	return true;
}

/* ---- intervals ---- */

/* Unstuffs the next interval; its end marker must be `marker`, whatever its number. */
static bool next_interval(struct scan *s, uint8_t marker)
{
	if (pl_jb_unstuff(&s->at, s->end, s->plain, &s->plain_len) != marker)
		return false;
	memset(s->plain + s->plain_len, 0, SLACK);
	s->bits = (struct bits){ 0, 0, s->plain };
	memset(s->dc_before, 0, sizeof(s->dc_before));
	return true;
}

/* Bits left of the interval, negative when too many were taken. */
static int64_t bits_left(const struct scan *s)
{
	return (int64_t)s->plain_len * 8 - ((s->bits.p - s->plain) * 8 - (int64_t)s->bits.count);
}

struct progress {
	uint64_t left, all; /* MCUs of the interval, of the picture */
	uint32_t done;      /* intervals begun */
};

static bool begin_interval(struct scan *s, struct progress *at)
{
	const uint32_t restart = s->f->restart;
	const bool last = restart == 0 || at->all <= restart;
	if (at->done > 0 && bits_left(s) > 7)
		return false;
	at->left = last ? at->all : restart;
	return next_interval(s, last ? 0xD9 : (uint8_t)(0xD0 + at->done++ % 8));
}

static bool read_mcu(struct scan *s, uint32_t mx, uint32_t my, uint8_t *const plane[3])
{
	for (unsigned i = 0; i < s->sink->wanted && i < 3; i++)
		if (!read_blocks(s, i, mx, my, plane[i]))
			return false;
	for (unsigned i = s->sink->wanted; i < s->f->components; i++)
		if (!skip_blocks(s, i))
			return false;
	return bits_left(s) >= 0;
}

static bool read_mcus(struct scan *s)
{
	const struct pl_jb_frame *f = s->f;
	const struct pl_jb_sink *sink = s->sink;
	struct progress at = { 0, (uint64_t)f->mcus_w * f->mcus_h, 0 };
	const unsigned wanted = sink->wanted < 3 ? sink->wanted : 3;
	uint8_t *plane[3] = { sink->plane[0], sink->plane[1], sink->plane[2] };
	for (uint32_t my = 0; my < f->mcus_h; my++) {
		for (uint32_t mx = 0; mx < f->mcus_w; mx++, at.left--, at.all--)
			if ((at.left == 0 && !begin_interval(s, &at)) ||
			    !read_mcu(s, mx, my, plane))
				return false;
		for (unsigned i = 0; i < wanted; i++) {
			if (!flush(s, &s->group[i]))
				return false;
			plane[i] += sink->step[i];
		}
		if (sink->row_done)
			sink->row_done(sink->context, my);
	}
	return bits_left(s) < 8;
}

/* Tables that components share are made once. */
static bool make_tables(struct scan *s)
{
	const struct pl_jb_frame *f = s->f;
	const unsigned bits = s->end - s->at < SMALL ? SMALL_BITS : PL_JB_PAIR_BITS;
	struct pl_jb_table *t = s->tables;
	for (unsigned i = 0; i < f->components; i++) {
		const struct pl_jb_component *c = f->c + i;
		for (unsigned j = 0; j < i; j++) {
			if (f->c[j].dc == c->dc)
				s->dc[i] = s->dc[j];
			if (f->c[j].ac == c->ac)
				s->ac[i] = s->ac[j];
		}
		if (!s->dc[i]) {
			s->dc[i] = t++;
			if (!pl_jb_table_init(s->dc[i], &f->dc[c->dc], 0, 15))
				return false;
		}
		if (!s->ac[i]) {
			s->ac[i] = t++;
			if (!pl_jb_table_init(s->ac[i], &f->ac[c->ac], bits, 255))
				return false;
		}
	}
	return true;
}

static void init_groups(struct scan *s)
{
	for (unsigned i = 0; i < s->sink->wanted; i++) {
		struct pl_jb_group *g = &s->group[i];
		memset(g->coef, 0, sizeof(g->coef));
		g->n = 0;
		g->stride = s->sink->stride[i];
		g->quant = s->f->c[i].quant;
	}
}

bool pl_jb_read_scan(
    const struct pl_jb_frame *f, const uint8_t *data, size_t len, const struct pl_jb_sink *sink)
{
	const struct pl_jb_kernels *k = pl_jb_kernels();
	const size_t room = (sizeof(struct scan) + 63) / 64 * 64;
	/* Most of it needs no clearing. */
	struct scan *s = aligned_alloc(64, room);
	uint8_t *plain = malloc(len - f->at + SLACK);
	bool mine = false;
	if (s && plain) {
		s->f = f;
		s->sink = sink;
		s->transform = sink->size == 8 ? k->by_1 : sink->size == 4 ? k->by_2 : k->by_4;
		s->keep = keep_plain;
		s->skip = skip_plain;
#if defined(__x86_64__)
		if (k->bmi2 && __builtin_cpu_supports("bmi2")) {
			s->keep = keep_bmi2;
			s->skip = skip_bmi2;
		}
#endif
		s->at = data + f->at;
		s->end = data + len;
		s->plain = plain;
		memset(s->dc, 0, sizeof(s->dc));
		memset(s->ac, 0, sizeof(s->ac));
		init_groups(s);
		mine = make_tables(s);
	}
	mine = mine && read_mcus(s);
	free(plain);
	free(s);
	return mine;
}

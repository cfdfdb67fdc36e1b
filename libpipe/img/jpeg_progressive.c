/* SPDX-License-Identifier: Apache-2.0 */
/* Progressive JPEG: all scans to coefficients, and these to samples. Blocks are
 * cleared when their first coefficient comes, DCs lie by themselves. Only files
 * whose scans add up to every coefficient are done here: others libjpeg smooths. */
#include "jpeg_progressive.h"

#include <stdlib.h>

enum {
	MOST_SCANS = 100,
	MOST_LOW = 5,           /* real files begin two or three bits up */
	OTHER_MEMORY = 16 << 20 /* allowed for what libjpeg has beside coefficients, at most */
};

struct component {
	size_t blocks;
	int16_t *dc;
	uint64_t *mask;
	int16_t (*coef)[64]; /* NULL: not wanted */
	int8_t bits[64];     /* of each coefficient, where the last scan ended; -1: none yet */
};

struct scans {
	struct pl_jb_frame *f;
	const struct pl_jb_sink *sink;
	const struct pl_jp_bands *bands;
	pl_jb_transform *transform;
	const uint8_t *at, *end; /* the file's data not yet unstuffed */
	uint8_t *plain;          /* one restart interval */
	size_t plain_len;
	uint8_t marker; /* behind the interval */
	struct bits bits;
	int32_t dc_before[3];
	struct component c[3];
	struct pl_jb_group group;
	struct pl_jb_table tables[3];
};

/* ---- intervals ---- */

static bool next_interval(struct scans *s)
{
	s->marker = pl_jb_unstuff(&s->at, s->end, s->plain, &s->plain_len);
	if (s->marker == 0)
		return false;
	memset(s->plain + s->plain_len, 0, SLACK);
	s->bits = (struct bits){ 0, 0, s->plain };
	memset(s->dc_before, 0, sizeof(s->dc_before));
	return true;
}

/* Has the interval been read to its end, but for padding? */
static bool at_end(const struct scans *s)
{
	const int64_t left =
	    (int64_t)s->plain_len * 8 - ((s->bits.p - s->plain) * 8 - (int64_t)s->bits.count);
	return left >= 0 && left < 8;
}

/* ---- DC ---- */

static bool first_dc(struct scans *s, unsigned i, const struct pl_jb_table *t, int16_t *dc)
{
	int32_t difference;
	if (!read_dc(&s->bits, t, &difference))
		return false;
	const int32_t v = s->dc_before[i] + difference, most = INT16_MAX >> s->f->scan.low;
	if (v > most || v < -most)
		return false;
	s->dc_before[i] = v;
	if (dc)
		*dc = (int16_t)(v * (1 << s->f->scan.low));
	return true;
}

static bool refine_dc(struct scans *s, int16_t *dc)
{
	refill(&s->bits);
	if (dc && s->bits.word >> 63)
		*dc = (int16_t)(*dc | 1 << s->f->scan.low);
	drop(&s->bits, 1);
	return true;
}

/* The DCs of component i in one MCU; what lies in the padding of the last MCUs is not kept. */
static bool read_dcs(
    struct scans *s, unsigned i, const struct pl_jb_table *t, uint32_t mx, uint32_t my)
{
	const struct pl_jb_component *c = &s->f->c[i];
	const bool alone = s->f->scan.components == 1;
	const uint32_t wide = alone ? 1 : c->h, high = alone ? 1 : c->v;
	for (uint32_t v = 0; v < high; v++)
		for (uint32_t h = 0; h < wide; h++) {
			const uint32_t x = mx * wide + h, y = my * high + v;
			int16_t *dc = NULL;
			if (x < c->blocks_w && y < c->blocks_h)
				dc = s->c[i].dc + (size_t)y * c->blocks_w + x;
			if (!(s->f->scan.high ? refine_dc(s, dc) : first_dc(s, i, t, dc)))
				return false;
		}
	return true;
}

static bool read_dc_mcu(struct scans *s, uint32_t mx, uint32_t my)
{
	const struct pl_jb_scan *scan = &s->f->scan;
	for (unsigned i = 0; i < scan->components; i++)
		if (!read_dcs(s, scan->component[i], s->tables + i, mx, my))
			return false;
	/* An MCU at the end of the data may have been read from what is behind it. */
	return s->bits.p <= s->plain + s->plain_len + 8;
}

/* n MCUs from the one with number `first`. */
static bool read_dc_interval(struct scans *s, uint64_t first, uint64_t n, uint32_t mcus_w)
{
	uint32_t mx = (uint32_t)(first % mcus_w), my = (uint32_t)(first / mcus_w);
	for (; n > 0; n--) {
		if (!read_dc_mcu(s, mx, my))
			return false;
		if (++mx == mcus_w) {
			mx = 0;
			my++;
		}
	}
	return true;
}

/* ---- AC ---- */

static bool read_ac_interval(struct scans *s, size_t first, size_t n)
{
	const struct pl_jb_scan *scan = &s->f->scan;
	const struct component *c = &s->c[scan->component[0]];
	struct pl_jp_run r = { .bits = s->bits,
		.end = s->plain + s->plain_len,
		.t = s->tables,
		.mask = c->mask + first,
		.coef = c->coef ? c->coef + first : NULL,
		.blocks = n,
		.from = scan->from,
		.to = scan->to,
		.low = scan->low };
	pl_jp_band *read = scan->high ? s->bands->refine
	    : c->coef		      ? s->bands->first
				      : s->bands->first_unkept;
	const bool good = read(&r);
	s->bits = r.bits;
	return good;
}

/* ---- scans ---- */

/* Does the scan go on where those before it ended? */
static bool follows(struct scans *s)
{
	const struct pl_jb_scan *scan = &s->f->scan;
	if (scan->low > MOST_LOW || (scan->high && scan->high != scan->low + 1) || scan->to > 63 ||
	    scan->from > scan->to || (scan->from == 0 && scan->to > 0) ||
	    (scan->from > 0 && scan->components != 1))
		return false;
	for (unsigned i = 0; i < scan->components; i++) {
		int8_t *bits = s->c[scan->component[i]].bits;
		if (scan->from > 0 && bits[0] < 0)
			return false;
		for (unsigned k = scan->from; k <= scan->to; k++) {
			if (bits[k] != (scan->high ? scan->high : -1))
				return false;
			bits[k] = (int8_t)scan->low;
		}
	}
	return true;
}

static bool make_tables(struct scans *s)
{
	const struct pl_jb_frame *f = s->f;
	const struct pl_jb_scan *scan = &f->scan;
	if (scan->from > 0) {
		const unsigned bits = s->plain_len < SMALL ? SMALL_BITS : PL_JB_PAIR_BITS;
		return pl_jb_table_init(s->tables, &f->ac[f->c[scan->component[0]].ac],
		    scan->high ? 0 : bits, 255);
	}
	for (unsigned i = 0; i < scan->components && scan->high == 0; i++)
		if (!pl_jb_table_init(s->tables + i, &f->dc[f->c[scan->component[i]].dc], 0, 15))
			return false;
	return true;
}

static bool read_one_scan(struct scans *s, const uint8_t *data)
{
	const struct pl_jb_frame *f = s->f;
	const struct pl_jb_scan *scan = &f->scan;
	const struct pl_jb_component *c = &f->c[scan->component[0]];
	/* Alone in its scan, a component has MCUs of one block, and none of padding. */
	const bool alone = scan->components == 1;
	const uint32_t mcus_w = alone ? c->blocks_w : f->mcus_w;
	const uint64_t all = (uint64_t)mcus_w * (alone ? c->blocks_h : f->mcus_h);
	const uint64_t each = f->restart ? f->restart : all;
	if (!follows(s))
		return false;
	s->at = data + f->at;
	for (uint64_t first = 0, done = 0; first < all; first += each, done++) {
		const uint64_t n = all - first < each ? all - first : each;
		if (!next_interval(s) || (first == 0 && !make_tables(s)))
			return false;
		if (scan->from == 0 ? !read_dc_interval(s, first, n, mcus_w)
				    : !read_ac_interval(s, (size_t)first, (size_t)n))
			return false;
		const bool restart = s->marker >= 0xD0 && s->marker <= 0xD7;
		if (!at_end(s) || (restart && s->marker != 0xD0 + done % 8) ||
		    restart != (first + n < all))
			return false;
	}
	return true;
}

static bool complete(const struct scans *s)
{
	for (unsigned i = 0; i < s->f->components; i++)
		for (unsigned k = 0; k < 64; k++)
			if (s->c[i].bits[k] != 0)
				return false;
	return true;
}

static bool read_all(struct scans *s, const uint8_t *data, size_t len)
{
	for (unsigned n = 0; n < MOST_SCANS && s->f->scan.components > 0; n++)
		/* The marker behind the scan has been read. */
		if (!read_one_scan(s, data) ||
		    !pl_jb_next_scan(data, len, (size_t)(s->at - data) - 2, s->f))
			return false;
	return s->f->scan.components == 0 && complete(s);
}

/* ---- samples ---- */

static bool flush(struct scans *s)
{
	struct pl_jb_group *g = &s->group;
	const bool good = g->n == 0 || s->transform(g);
	g->n = 0;
	return good;
}

static bool put_block(struct scans *s, unsigned i, size_t at, uint8_t *dst)
{
	const struct component *c = &s->c[i];
	const struct pl_jb_component *info = &s->f->c[i];
	struct pl_jb_group *g = &s->group;
	const int16_t dc = c->dc[at];
	if (dc > info->highest_dc || dc < -info->highest_dc)
		return false;
	if (!c->coef || !(c->mask[at] & ~PL_JP_CLEAN)) {
		fill_block(dst, g->stride, s->sink->size,
		    flat_sample(dc * (uint16_t)info->quant[0]));
		return true;
	}
	int16_t *coef = g->coef + (size_t)8 * g->n;
	for (size_t y = 0; y < 8; y++)
		memcpy(coef + y * PL_JB_ROW, c->coef[at] + 8 * y, 16);
	coef[0] = dc;
	g->dst[g->n++] = dst;
	return g->n < PL_JB_GROUP || flush(s);
}

/* Component i in one row of MCUs. */
static bool put_rows(struct scans *s, unsigned i, uint32_t my, uint8_t *plane)
{
	const struct pl_jb_component *c = &s->f->c[i];
	const size_t size = s->sink->size;
	s->group.stride = s->sink->stride[i];
	s->group.quant = c->quant;
	for (uint32_t y = my * c->v; y < (my + 1) * c->v && y < c->blocks_h;
	     y++, plane += size * s->group.stride)
		for (uint32_t x = 0; x < c->blocks_w; x++)
			if (!put_block(s, i, (size_t)y * c->blocks_w + x, plane + x * size))
				return false;
	return flush(s);
}

static bool put_all(struct scans *s)
{
	const struct pl_jb_sink *sink = s->sink;
	uint8_t *plane[3] = { sink->plane[0], sink->plane[1], sink->plane[2] };
	memset(s->group.coef, 0, sizeof(s->group.coef));
	s->group.n = 0;
	for (uint32_t my = 0; my < s->f->mcus_h; my++) {
		for (unsigned i = 0; i < sink->wanted && i < 3; i++) {
			if (!put_rows(s, i, my, plane[i]))
				return false;
			plane[i] += sink->step[i];
		}
		if (sink->row_done)
			sink->row_done(sink->context, my);
	}
	return true;
}

/* ---- memory ---- */

/* One block of memory: coefficients, masks, DCs; only the latter two are cleared. */
static void *init_components(struct scans *s, uint64_t most)
{
	const struct pl_jb_frame *f = s->f;
	uint64_t kept = 0, all = 0, padded = 0;
	for (unsigned i = 0; i < f->components; i++) {
		struct component *c = &s->c[i];
		c->blocks = (size_t)f->c[i].blocks_w * f->c[i].blocks_h;
		all += c->blocks;
		kept += i < s->sink->wanted && s->sink->size > 1 ? c->blocks : 0;
		padded += (uint64_t)f->mcus_w * f->c[i].h * f->mcus_h * f->c[i].v;
		memset(c->bits, -1, sizeof(c->bits));
	}
	/* Where libjpeg may lack memory, it is asked. */
	const size_t clear = sizeof(uint64_t) + sizeof(int16_t);
	if (padded * (128 + clear) + OTHER_MEMORY > (most < INT32_MAX ? most : INT32_MAX))
		return NULL;
	uint8_t *block = aligned_alloc(64, (size_t)(kept * 128 + all * clear + 63) / 64 * 64);
	if (!block)
		return NULL;
	int16_t(*coef)[64] = (void *)block;
	uint64_t *mask = (void *)(block + kept * 128);
	int16_t *dc = (void *)(mask + all);
	memset(mask, 0, (size_t)all * clear);
	for (unsigned i = 0; i < f->components; i++) {
		struct component *c = &s->c[i];
		const bool wanted = i < s->sink->wanted && s->sink->size > 1;
		c->coef = wanted ? coef : NULL;
		c->mask = mask;
		c->dc = dc;
		coef += wanted ? c->blocks : 0;
		mask += c->blocks;
		dc += c->blocks;
	}
	return block;
}

bool pl_jb_read_scans(struct pl_jb_frame *f, const uint8_t *data, size_t len,
    const struct pl_jb_sink *sink, uint64_t most)
{
	const struct pl_jb_kernels *k = pl_jb_kernels();
	struct scans *s = aligned_alloc(64, (sizeof(struct scans) + 63) / 64 * 64);
	uint8_t *plain = malloc(len - f->at + SLACK);
	void *block = NULL;
	bool mine = false;
	if (s && plain) {
		s->f = f;
		s->sink = sink;
		s->bands = pl_jp_bands(k->bmi2);
		s->transform = sink->size == 8 ? k->by_1 : sink->size == 4 ? k->by_2 : k->by_4;
		s->end = data + len;
		s->plain = plain;
		block = init_components(s, most);
		mine = block && read_all(s, data, len) && put_all(s);
	}
	free(block);
	free(plain);
	free(s);
	return mine;
}

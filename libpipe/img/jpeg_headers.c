/* SPDX-License-Identifier: Apache-2.0 */
/* The markers of a JPEG, read strictly: what is not exactly as the
 * standard has it is left to libjpeg. */
#include "jpeg_baseline.h"

#include <string.h>

enum {
	M_SOF0 = 0xC0,
	M_SOF1 = 0xC1,
	M_SOF2 = 0xC2,
	M_DHT = 0xC4,
	M_EOI = 0xD9,
	M_SOS = 0xDA,
	M_DQT = 0xDB,
	M_DRI = 0xDD,
	M_APP0 = 0xE0,
	M_APP14 = 0xEE,
	M_APP15 = 0xEF,
	M_COM = 0xFE,
	LONGEST_SIDE = 65500, /* libjpeg's */
	MOST_BLOCKS = 10      /* in an MCU */
};

const uint8_t pl_jb_zigzag[64] = { 0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19,
	26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29,
	22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63 };

static bool read_quants(struct pl_jb_frame *f, const uint8_t *p, size_t n)
{
	while (n > 0) {
		const unsigned wide = p[0] >> 4, id = p[0] & 15;
		const size_t size = wide ? 128 : 64;
		if (wide > 1 || id > 3 || n < 1 + size)
			return false;
		for (size_t i = 0; i < 64; i++)
			f->quant[id][pl_jb_zigzag[i]] =
			    (uint16_t)(wide ? pl_be16(p + 1 + 2 * i) : p[1 + i]);
		f->quants |= (uint8_t)(1u << id);
		p += 1 + size;
		n -= 1 + size;
	}
	return true;
}

static bool read_codes(struct pl_jb_frame *f, const uint8_t *p, size_t n)
{
	while (n > 0) {
		unsigned count = 0;
		if (n < 17 || (p[0] & 0xEF) > 3)
			return false;
		for (int i = 1; i <= 16; i++)
			count += p[i];
		if (count > 256 || count > n - 17)
			return false;
		struct pl_jb_spec *spec = (p[0] & 0x10 ? f->ac : f->dc) + (p[0] & 3);
		*spec = (struct pl_jb_spec){ p + 1, p + 17, count };
		p += 17 + count;
		n -= 17 + count;
	}
	return true;
}

static uint32_t parts(uint32_t whole, uint32_t part)
{
	return whole / part + (whole % part != 0);
}

static bool lay_out(struct pl_jb_frame *f)
{
	unsigned blocks = 0;
	f->max_h = f->max_v = 1;
	for (unsigned i = 0; i < f->components; i++) {
		struct pl_jb_component *c = f->c + i;
		if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4)
			return false;
		/* Alone in its scan, a component has MCUs of one block. */
		if (f->components == 1)
			c->h = c->v = 1;
		blocks += (unsigned)c->h * c->v;
		f->max_h = c->h > f->max_h ? c->h : f->max_h;
		f->max_v = c->v > f->max_v ? c->v : f->max_v;
	}
	for (unsigned i = 0; i < f->components; i++) {
		struct pl_jb_component *c = f->c + i;
		c->blocks_w = parts(f->width * c->h, 8u * f->max_h);
		c->blocks_h = parts(f->height * c->v, 8u * f->max_v);
	}
	f->mcus_w = parts(f->width, 8u * f->max_h);
	f->mcus_h = parts(f->height, 8u * f->max_v);
	return blocks <= MOST_BLOCKS;
}

static bool read_frame(struct pl_jb_frame *f, const uint8_t *p, size_t n)
{
	if (f->seen || n < 6 || p[0] != 8 || (p[5] != 1 && p[5] != 3) || n != 6 + 3 * (size_t)p[5])
		return false;
	f->seen = true;
	f->height = pl_be16(p + 1);
	f->width = pl_be16(p + 3);
	f->components = p[5];
	if (f->width < 1 || f->height < 1 || f->width > LONGEST_SIDE || f->height > LONGEST_SIDE)
		return false;
	for (unsigned i = 0; i < f->components; i++) {
		const uint8_t *c = p + 6 + (size_t)3 * i;
		f->c[i] = (struct pl_jb_component){ .id = c[0],
			.h = c[1] >> 4,
			.v = c[1] & 15,
			.quant_id = c[2] };
		for (unsigned j = 0; j < i; j++)
			if (f->c[j].id == c[0])
				return false;
	}
	return lay_out(f);
}

static void read_app(struct pl_jb_frame *f, uint8_t marker, const uint8_t *p, size_t n)
{
	if (marker == M_APP0 && n >= 14 && memcmp(p, "JFIF", 5) == 0)
		f->jfif = true;
	if (marker == M_APP14 && n >= 12 && memcmp(p, "Adobe", 5) == 0) {
		f->adobe = true;
		f->transform = p[11];
	}
}

/* libjpeg's guess. */
static bool is_ycc(const struct pl_jb_frame *f)
{
	const struct pl_jb_component *c = f->c;
	if (f->components != 3)
		return false;
	if (f->jfif)
		return true;
	if (f->adobe)
		return f->transform != 0;
	return !(c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B');
}

/* The quantisation of a component is the one known when its first scan begins. */
static bool latch(struct pl_jb_frame *f, unsigned i)
{
	struct pl_jb_component *c = f->c + i;
	if (f->latched >> i & 1)
		return true;
	if (c->quant_id > 3 || !(f->quants >> c->quant_id & 1))
		return false;
	const uint16_t *q = f->quant[c->quant_id];
	for (int k = 0; k < 64; k++)
		c->quant[k] = (int16_t)q[k];
	if (q[0] == 0)
		return false;
	c->highest_dc = PL_JB_HIGHEST / q[0];
	f->latched |= (uint8_t)(1u << i);
	return true;
}

/* Are the codes known that component c's part of the scan needs? */
static bool has_codes(const struct pl_jb_frame *f, const struct pl_jb_component *c)
{
	const struct pl_jb_scan *s = &f->scan;
	const bool dc = s->from == 0 && s->high == 0, ac = s->to > 0;
	return (!dc || (c->dc <= 3 && f->dc[c->dc].counts)) &&
	    (!ac || (c->ac <= 3 && f->ac[c->ac].counts));
}

/* Of the components first to last in the frame's order, p has those of the scan. */
static bool read_scan_components(struct pl_jb_frame *f, const uint8_t *p)
{
	struct pl_jb_scan *s = &f->scan;
	unsigned next = 0;
	for (unsigned i = 0; i < s->components; i++, p += 2) {
		while (next < f->components && f->c[next].id != p[0])
			next++;
		if (next == f->components)
			return false;
		struct pl_jb_component *c = f->c + next;
		c->dc = p[1] >> 4;
		c->ac = p[1] & 15;
		if (!latch(f, next) || !has_codes(f, c))
			return false;
		s->component[i] = (uint8_t)next++;
	}
	return true;
}

static bool read_scan_header(struct pl_jb_frame *f, const uint8_t *p, size_t n)
{
	struct pl_jb_scan *s = &f->scan;
	if (!f->seen || n < 1 || p[0] < 1 || p[0] > f->components || n != 4 + 2 * (size_t)p[0])
		return false;
	const uint8_t *band = p + 1 + (size_t)2 * p[0];
	*s = (struct pl_jb_scan){ .components = p[0],
		.from = band[0],
		.to = band[1],
		.high = band[2] >> 4,
		.low = band[2] & 15 };
	f->ycc = is_ycc(f);
	if (!f->progressive &&
	    (p[0] != f->components || s->from != 0 || s->to != 63 || band[2] != 0))
		return false;
	return read_scan_components(f, p + 1);
}

static bool read_segment(struct pl_jb_frame *f, uint8_t marker, const uint8_t *p, size_t n)
{
	switch (marker) {
	case M_SOF0:
	case M_SOF1:
	case M_SOF2:
		f->progressive = marker == M_SOF2;
		return read_frame(f, p, n);
	case M_DHT:
		return read_codes(f, p, n);
	case M_DQT:
		return read_quants(f, p, n);
	case M_DRI:
		if (n != 2)
			return false;
		f->restart = pl_be16(p);
		return true;
	case M_SOS:
		return read_scan_header(f, p, n);
	case M_COM:
		return true;
	default:
		if (marker < M_APP0 || marker > M_APP15)
			return false;
		/* libjpeg takes the colours from what came before the first scan. */
		if (f->latched == 0)
			read_app(f, marker, p, n);
		return true;
	}
}

bool pl_jb_next_scan(const uint8_t *data, size_t len, size_t at, struct pl_jb_frame *f)
{
	for (;;) {
		if (len - at < 2 || data[at] != 0xFF)
			return false;
		const uint8_t marker = data[at + 1];
		if (marker == M_EOI && f->latched) {
			f->scan.components = 0;
			f->at = at + 2;
			return true;
		}
		if (len - at < 4)
			return false;
		const size_t size = pl_be16(data + at + 2);
		if (size < 2 || size > len - at - 2 ||
		    !read_segment(f, marker, data + at + 4, size - 2))
			return false;
		at += 2 + size;
		if (marker == M_SOS) {
			f->at = at;
			return true;
		}
	}
}

bool pl_jb_read_headers(const uint8_t *data, size_t len, struct pl_jb_frame *f)
{
	memset(f, 0, sizeof(*f));
	return len >= 2 && data[0] == 0xFF && data[1] == 0xD8 && pl_jb_next_scan(data, len, 2, f);
}

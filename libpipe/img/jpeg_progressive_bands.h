/* SPDX-License-Identifier: Apache-2.0 */
/* The codes of a band, once for any processor and once for BMI2. Included by
 * jpeg_progressive_ac.c for each, with the names that are undefined at the end;
 * hence no guard. */

/* ---- the first scan of a band ---- */

/* How a block goes on. */
struct NAME(block) {
	struct bits b;
	uint64_t mask;
	unsigned k;    /* the next coefficient */
	uint32_t run;  /* blocks behind this one that have nothing in this band */
};

/* One code the slow way. false: bad. */
TARGET INLINE bool NAME(first_long)(struct NAME(block) *at, const struct pl_jp_run *r, int16_t *coef)
{
	refill(&at->b);
	const unsigned s = next_symbol(r->t, at->b.word), size = s & 15, run = s >> 4 & 15;
	drop(&at->b, s >> 8);
	if (s == 0 || size + r->low > 15)
		return false;
	if (size == 0 && run < 15) {
		at->run = (1u << run) - 1 + (unsigned)((at->b.word >> 1) >> (63 - run));
		drop(&at->b, run);
		at->k = 64;
		return true;
	}
	at->k += run;
	if (at->k > r->to)
		return false;
	const int v = take_value(&at->b, size);
	if (size) {
		at->mask |= (uint64_t)1 << (63 - at->k);
		if (coef)
			coef[pl_jb_zigzag[at->k]] = (int16_t)((uint32_t)v << r->low);
	}
	at->k++;
	return true;
}

/* What one lookup has found. */
TARGET INLINE void NAME(store)(struct NAME(block) *at, uint64_t e, unsigned low, int16_t *coef)
{
	const unsigned first = at->k + (e >> 24 & 0xFF), second = at->k + (e >> 16 & 0xFF);
	at->mask |= (e >> 6 & 1) << (63 - first) | (e >> 7 & 1) << (63 - second);
	if (coef) {
		coef[pl_jb_zigzag[second]] = (int16_t)((uint32_t)(e >> 48) << low);
		coef[pl_jb_zigzag[first]] = (int16_t)((uint32_t)(e >> 32) << low);
	}
	drop(&at->b, e & PL_JB_BITS);
}

/* One lookup. false: it may end the block or must go the slow way, and nothing has been taken. */
TARGET INLINE bool NAME(first_step)(
    struct NAME(block) *at, const struct pl_jp_run *r, uint64_t *entry, int16_t *coef)
{
	const uint64_t e = r->t->pair[at->b.word >> (64 - r->t->bits)];
	const unsigned next = at->k + (e >> 8 & 0xFF);
	*entry = e;
	if (next > r->to)
		return false;
	NAME(store)(at, e, r->low, coef);
	at->k = next;
	return true;
}

/* A block whose first code is no end. false: bad. */
TARGET INLINE bool NAME(first_block)(struct NAME(block) *at, const struct pl_jp_run *r, int16_t *coef)
{
	const unsigned limit = r->to + 1;
	for (;;) {
		uint64_t e;
		refill(&at->b);
		/* Four lookups take no more than 44 bits. */
		bool on = NAME(first_step)(at, r, &e, coef);
		on = on && NAME(first_step)(at, r, &e, coef);
		on = on && NAME(first_step)(at, r, &e, coef);
		on = on && NAME(first_step)(at, r, &e, coef);
		if (on)
			continue;
		/* A pair's second may belong to the next block: then the first is read alone. */
		const unsigned next = at->k + (e >> 8 & 0xFF);
		if (next == limit || (e >> 8 & PL_JB_END && next - PL_JB_END < limit)) {
			NAME(store)(at, e, r->low, coef);
			return true;
		}
		if (!NAME(first_long)(at, r, coef))
			return false;
		if (at->k >= limit)
			return true;
	}
}

TARGET INLINE bool NAME(first_blocks)(struct pl_jp_run *r, bool keep)
{
	struct NAME(block) at = { .b = r->bits };
	const unsigned shift = 64 - r->t->bits;
	for (size_t i = 0; i < r->blocks; i++) {
		at.k = r->from;
		refill(&at.b);
		if (at.b.p > r->end + 8)
			return false;
		/* Most codes at the beginning of a block end it, and others behind it. */
		const uint64_t e = r->t->pair[at.b.word >> shift];
		if (e >> 8 & PL_JB_LONG) {
			const unsigned s = next_symbol(r->t, at.b.word);
			const unsigned run = s >> 4 & 15;
			if ((s & 15) == 0 && run < 15 && s != 0) {
				drop(&at.b, s >> 8);
				const size_t more = (1u << run) - 1 +
				    (unsigned)((at.b.word >> 1) >> (63 - run));
				drop(&at.b, run);
				if (more >= r->blocks - i)
					return false;
				i += more;
				continue;
			}
		}
		int16_t *coef = keep ? r->coef[i] : NULL;
		at.mask = r->mask[i];
		if (keep && !(at.mask & PL_JP_CLEAN)) {
			memset(coef, 0, sizeof(*r->coef));
			at.mask |= PL_JP_CLEAN;
		}
		at.run = 0;
		if (!NAME(first_block)(&at, r, coef) || at.run >= r->blocks - i)
			return false;
		r->mask[i] = at.mask;
		i += at.run;
	}
	r->bits = at.b;
	return true;
}

TARGET static bool NAME(first)(struct pl_jp_run *r)
{
	return NAME(first_blocks)(r, true);
}

TARGET static bool NAME(first_unkept)(struct pl_jp_run *r)
{
	return NAME(first_blocks)(r, false);
}

/* ---- one more bit of a band ---- */

/* The next bits, one for each bit of `where` from the highest: those of `where` that got a 1. At
 * least 39 bits are there, and as many are afterwards but for what was taken. */
TARGET INLINE uint64_t NAME(corrections)(struct bits *b, uint64_t where)
{
	unsigned n = (unsigned)__builtin_popcountll(where);
	uint64_t found = 0;
	if (n > 32) {
		/* From the 33rd on they come after the next load. */
		const uint64_t tail = where & NAME(deposit)(((uint64_t)1 << (n - 32)) - 1, where);
		found = NAME(deposit)(b->word >> 32, where & ~tail);
		drop(b, 32);
		refill(b);
		where = tail;
		n -= 32;
	}
	found |= NAME(deposit)((b->word >> 1) >> (63 - n), where);
	drop(b, n);
	return found;
}

struct NAME(refined) {
	uint64_t known, fresh, corrected; /* what had a value, has one now, was changed by a bit */
	uint64_t left;                    /* of the band, what has not been passed */
	uint32_t run;                     /* blocks that have no code, from this one on */
};

/* One code of a block, and the corrections of what it passes over. false: bad. */
TARGET INLINE bool NAME(refine_code)(
    struct bits *b, const struct pl_jp_run *r, struct NAME(refined) *now, int16_t *coef)
{
	refill(b);
	const unsigned s = next_symbol(r->t, b->word), size = s & 15, run = s >> 4 & 15;
	drop(b, s >> 8);
	if (s == 0 || size > 1)
		return false;
	if (size == 0 && run < 15) {
		now->run = (1u << run) + (unsigned)((b->word >> 1) >> (63 - run));
		drop(b, run);
		return true;
	}
	const bool positive = b->word >> 63;
	drop(b, size);
	const uint64_t zeros = now->left & ~now->known;
	const unsigned n = (unsigned)__builtin_popcountll(zeros);
	if (n <= run)
		return false;
	const uint64_t place = NAME(deposit)((uint64_t)1 << (n - 1 - run), zeros);
	now->corrected |= NAME(corrections)(b, now->left & now->known & -place);
	now->left &= place - 1;
	if (size) {
		now->fresh |= place;
		if (coef)
			coef[pl_jb_zigzag[__builtin_clzll(place)]] =
			    (int16_t)(positive ? 1 << r->low : -(1 << r->low));
	}
	return true;
}

/* Corrections change the magnitude. */
TARGET INLINE void NAME(correct)(int16_t *coef, uint64_t where, int by)
{
	while (where) {
		const unsigned k = (unsigned)__builtin_clzll(where);
		int16_t *c = coef + pl_jb_zigzag[k];
		where &= ~(PL_JP_CLEAN >> k);
		*c = (int16_t)(*c > 0 ? *c + by : *c - by);
	}
}

/* One block; run: as in struct refined. */
TARGET INLINE bool NAME(refine_block)(
    struct bits *b, const struct pl_jp_run *r, size_t i, uint64_t band, uint32_t *run)
{
	struct NAME(refined) now = { .known = r->mask[i], .left = band, .run = *run };
	int16_t *coef = r->coef ? r->coef[i] : NULL;
	if (coef && !(now.known & PL_JP_CLEAN)) {
		memset(coef, 0, sizeof(*r->coef));
		now.fresh = PL_JP_CLEAN;
	}
	while (now.run == 0 && now.left)
		if (!NAME(refine_code)(b, r, &now, coef))
			return false;
	if (now.run > 0) {
		refill(b);
		now.corrected |= NAME(corrections)(b, now.left & now.known);
		now.run--;
	}
	if (coef)
		NAME(correct)(coef, now.corrected, 1 << r->low);
	r->mask[i] |= now.fresh;
	*run = now.run;
	return b->p <= r->end + 8;
}

TARGET static bool NAME(refine)(struct pl_jp_run *r)
{
	struct bits b = r->bits;
	const uint64_t band = (UINT64_MAX >> r->from) & (UINT64_MAX << (63 - r->to));
	uint32_t run = 0;
	for (size_t i = 0; i < r->blocks; i++) {
		if (run > 0 && !(r->mask[i] & band))
			run--;
		else if (!NAME(refine_block)(&b, r, i, band, &run))
			return false;
	}
	r->bits = b;
	return run == 0;
}

#undef TARGET
#undef NAME

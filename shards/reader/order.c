/* SPDX-License-Identifier: Apache-2.0 */
/* Position to sample and back: two keyed permutations, of the blocks and within a window. Only the last block can be
 * short; where it stands among the permuted ones says by how much the places behind it are moved up. */
#include "order.h"

#include "libpipe/base/hash.h"

#define SAMPLES_MAX ((uint64_t)1 << 40)
#define SPREAD_MAX ((uint64_t)1 << 20)   /* window x lanes */

enum { OF_BLOCKS = 1, OF_WINDOW = 2 };   /* what a permutation is for */

uint64_t shard_order_block(uint64_t sample_bytes)
{
	uint64_t block = SHARD_ORDER_BLOCK_BYTES / (sample_bytes ? sample_bytes : 1);
	return block ? block : 1;
}

enum pl_status shard_order_init(struct shard_order *o, struct pl_err *err)
{
	o->stride = o->stride ? o->stride : 1;
	o->window = o->window ? o->window : 1;
	o->lanes = o->lanes ? o->lanes : 1;
	if (o->n == 0 || o->n > SAMPLES_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "an order has 1 to 2^40 samples, not %llu",
		    (unsigned long long)o->n);
	if ((uint64_t)o->window * o->lanes > SPREAD_MAX)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "window x lanes is at most 2^20 blocks");
	if (o->block == 0) {
		o->blocks = o->short_size = o->short_slot = 0;
		return PL_OK;
	}
	if (o->block > o->n)
		o->block = o->n;
	/* So that the lanes of a window come out even. */
	if (o->lanes > 1 && o->stride < o->n)
		o->block = (o->block + o->stride - 1) / o->stride * o->stride;
	if (o->block > o->n)
		o->block = o->n;
	o->blocks = (o->n + o->block - 1) / o->block;
	o->short_size = o->n - (o->blocks - 1) * o->block;
	pl_perm_init(&o->slots, o->blocks, o->seed, pl_draw64(o->epoch, OF_BLOCKS, 0));
	o->short_slot = pl_perm_inverse(&o->slots, o->blocks - 1);
	return PL_OK;
}

/* The position at which a slot begins; slot <= blocks. */
static uint64_t begin_of(const struct shard_order *o, uint64_t slot)
{
	return slot * o->block - (slot > o->short_slot ? o->block - o->short_size : 0);
}

/* The slot of an unmixed position, and the place in its block. */
static uint64_t slot_of(const struct shard_order *o, uint64_t position, uint64_t *place)
{
	if (position >= o->short_slot * o->block + o->short_size)
		position += o->block - o->short_size;
	*place = position % o->block;
	return position / o->block;
}

/* One window, and the permutation of what was asked for last. */
struct mix {
	uint64_t number, first_slot, begin, end;
	bool laned;
	bool ready;
	uint32_t lane;
	struct pl_perm perm;
};

static struct mix mix_of(const struct shard_order *o, uint64_t slot)
{
	uint64_t spread = (uint64_t)o->window * o->lanes;
	struct mix m = { .number = slot / spread };
	m.first_slot = m.number * spread;
	uint64_t behind = m.first_slot + spread < o->blocks ? m.first_slot + spread : o->blocks;
	m.begin = begin_of(o, m.first_slot);
	m.end = begin_of(o, behind);
	m.laned = o->lanes > 1 && m.end - m.begin == spread * o->block && o->block % o->stride == 0;
	return m;
}

static const struct pl_perm *perm_of(const struct shard_order *o, struct mix *m, uint32_t lane)
{
	if (!m->ready || m->lane != lane) {
		uint64_t stream = pl_draw64(pl_draw64(o->epoch, OF_WINDOW, 0), m->number, lane);
		pl_perm_init(&m->perm, (m->end - m->begin) / (m->laned ? o->lanes : 1), o->seed, stream);
		m->lane = lane;
		m->ready = true;
	}
	return &m->perm;
}

/* position lies in m. */
static uint64_t sample_at(const struct shard_order *o, struct mix *m, uint64_t position)
{
	uint64_t q = position - m->begin, slot, place;
	if (m->laned) {
		uint64_t turn = q / o->stride, in_lane = turn / o->lanes * o->stride + q % o->stride;
		uint32_t lane = (uint32_t)(turn % o->lanes);
		uint64_t to = pl_perm_at(perm_of(o, m, lane), in_lane);
		slot = m->first_slot + (uint64_t)lane * o->window + to / o->block;
		place = to % o->block;
	} else {
		slot = slot_of(o, m->begin + pl_perm_at(perm_of(o, m, 0), q), &place);
	}
	return pl_perm_at(&o->slots, slot) * o->block + place;
}

uint64_t shard_order_at(const struct shard_order *o, uint64_t position)
{
	uint64_t sample;
	shard_order_range(o, position, 1, &sample);
	return sample;
}

void shard_order_range(const struct shard_order *o, uint64_t position, size_t count, uint64_t *samples)
{
	struct mix m = {0};
	for (size_t i = 0; i < count; i++, position++) {
		uint64_t place;
		if (o->block == 0) {
			samples[i] = position;
			continue;
		}
		if (position >= m.end || i == 0)
			m = mix_of(o, slot_of(o, position, &place));
		samples[i] = sample_at(o, &m, position);
	}
}

uint64_t shard_order_position(const struct shard_order *o, uint64_t sample)
{
	if (o->block == 0)
		return sample;
	uint64_t slot = pl_perm_inverse(&o->slots, sample / o->block), place = sample % o->block;
	struct mix m = mix_of(o, slot);
	if (!m.laned)
		return m.begin + pl_perm_inverse(perm_of(o, &m, 0), begin_of(o, slot) + place - m.begin);
	uint64_t at = slot - m.first_slot;
	uint32_t lane = (uint32_t)(at / o->window);
	uint64_t in_lane = pl_perm_inverse(perm_of(o, &m, lane), at % o->window * o->block + place);
	return m.begin + (in_lane / o->stride * o->lanes + lane) * o->stride + in_lane % o->stride;
}

struct shard_order_window shard_order_window(const struct shard_order *o, uint64_t position)
{
	uint64_t place;
	if (o->block == 0)
		return (struct shard_order_window) { 0, 0, o->n };
	struct mix m = mix_of(o, slot_of(o, position, &place));
	return (struct shard_order_window) { m.number, m.begin, m.end };
}

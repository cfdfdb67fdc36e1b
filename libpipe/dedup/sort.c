/* SPDX-License-Identifier: Apache-2.0 */
/* qsort takes no message, so it sorts runs of some 100 ms, and these are merged. */
#include "sort.h"

#include <stdlib.h>
#include <string.h>

enum { RUN = 1 << 18, POLL_EVERY = 1 << 18 };

struct sort {
	uint8_t *records, *spare;
	size_t size, room;           /* bytes of a record; records that the spare holds */
	pl_compare *compare;
	pl_poll *poll;
	void *ctx;
	struct pl_err *err;
};

static enum pl_status poll(const struct sort *s)
{
	return s->poll ? s->poll(s->ctx, s->err) : PL_OK;
}

static uint8_t *at(const struct sort *s, size_t i)
{
	return s->records + i * s->size;
}

/* from..middle-1 go to the spare, and both come back in order. */
static enum pl_status merge_spare(const struct sort *s, size_t from, size_t middle, size_t end)
{
	size_t n = middle - from, i = 0, k = middle, to = from;
	enum pl_status st = PL_OK;

	memcpy(s->spare, at(s, from), n * s->size);
	for (; i < n && st == PL_OK; to++) {
		bool second = k < end && s->compare(at(s, k), s->spare + i * s->size) < 0;
		memcpy(at(s, to), second ? at(s, k++) : s->spare + i++ * s->size, s->size);
		if (to % POLL_EVERY == 0)
			st = poll(s);
	}
	return st;
}

static enum pl_status reverse(const struct sort *s, size_t from, size_t end)
{
	enum pl_status st = PL_OK;

	for (; from + 1 < end && st == PL_OK; from++, end--) {
		uint8_t *x = at(s, from), *y = at(s, end - 1);
		if (from % POLL_EVERY == 0)
			st = poll(s);
		for (size_t i = 0; i < s->size; i++) {
			uint8_t swap = x[i];
			x[i] = y[i];
			y[i] = swap;
		}
	}
	return st;
}

/* The first of from..end-1 that does not stand before the record. */
static size_t lower(const struct sort *s, size_t from, size_t end, const uint8_t *record)
{
	while (from < end) {
		size_t mid = from + (end - from) / 2;
		if (s->compare(at(s, mid), record) < 0)
			from = mid + 1;
		else
			end = mid;
	}
	return from;
}

/* Merge the sorted from..middle-1 and middle..end-1. What the spare does not hold is halved: the second half of the left changes
 * places with what of the right stands before it. */
static enum pl_status merge(const struct sort *s, size_t from, size_t middle, size_t end)
{
	size_t half = from + (middle - from) / 2, cut, joint;
	enum pl_status st = PL_OK;

	if (middle - from <= s->room)
		return merge_spare(s, from, middle, end);
	cut = lower(s, middle, end, at(s, half));
	joint = half + (cut - middle);
	if (cut > middle) {
		st = reverse(s, half, middle);
		if (st == PL_OK)
			st = reverse(s, middle, cut);
		if (st == PL_OK)
			st = reverse(s, half, cut);
	}
	if (st == PL_OK)
		st = merge(s, from, half, joint);
	return st == PL_OK ? merge(s, joint, cut, end) : st;
}

static enum pl_status sort_runs(const struct sort *s, size_t from, size_t end)
{
	size_t middle = from + (end - from) / 2;
	enum pl_status st;

	if (end - from <= RUN) {
		qsort(s->records + from * s->size, end - from, s->size, s->compare);
		return poll(s);
	}
	st = sort_runs(s, from, middle);
	if (st == PL_OK)
		st = sort_runs(s, middle, end);
	return st == PL_OK ? merge(s, from, middle, end) : st;
}

enum pl_status pl_sort_within(void *records, size_t n, size_t size, pl_compare *compare, uint64_t spare, pl_poll *poll_fn, void *ctx,
    struct pl_err *err)
{
	struct sort s = {records, NULL, size, n / 2 + 1, compare, poll_fn, ctx, err};
	enum pl_status st;

	if (n < 2)
		return PL_OK;
	if (s.room > spare / size)
		s.room = spare / size > 0 ? (size_t)(spare / size) : 1;
	if (n > RUN) {
		s.spare = malloc(s.room * size);
		if (!s.spare)
			return pl_fail_nomem(err);
	}
	st = sort_runs(&s, 0, n);
	free(s.spare);
	return st;
}

enum pl_status pl_sort(void *records, size_t n, size_t size, pl_compare *compare, pl_poll *poll_fn, void *ctx, struct pl_err *err)
{
	return pl_sort_within(records, n, size, compare, UINT64_MAX, poll_fn, ctx, err);
}

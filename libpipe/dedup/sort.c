/* SPDX-License-Identifier: Apache-2.0 */
/* qsort takes no message, so it sorts runs of some 100 ms, and these are merged. */
#include "sort.h"

#include <stdlib.h>
#include <string.h>

enum { RUN = 1 << 18, POLL_EVERY = 1 << 18 };

struct sort {
	uint8_t *records, *spare;
	size_t size;
	pl_compare *compare;
	pl_poll *poll;
	void *ctx;
	struct pl_err *err;
};

static enum pl_status poll(const struct sort *s)
{
	return s->poll ? s->poll(s->ctx, s->err) : PL_OK;
}

/* Merge the sorted from..middle-1 and middle..end-1: the first goes to the spare, and both come back in order. */
static enum pl_status merge(const struct sort *s, size_t from, size_t middle, size_t end)
{
	size_t n = middle - from, i = 0, k = middle, at = from;
	enum pl_status st = PL_OK;

	memcpy(s->spare, s->records + from * s->size, n * s->size);
	for (; i < n && st == PL_OK; at++) {
		bool second = k < end && s->compare(s->records + k * s->size, s->spare + i * s->size) < 0;
		memcpy(s->records + at * s->size, second ? s->records + k++ * s->size : s->spare + i++ * s->size, s->size);
		if (at % POLL_EVERY == 0)
			st = poll(s);
	}
	return st;
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

enum pl_status pl_sort(void *records, size_t n, size_t size, pl_compare *compare, pl_poll *poll_fn, void *ctx, struct pl_err *err)
{
	struct sort s = {records, NULL, size, compare, poll_fn, ctx, err};
	enum pl_status st;

	if (n < 2)
		return PL_OK;
	if (n > RUN) {
		s.spare = malloc((n / 2 + 1) * size);
		if (!s.spare)
			return pl_fail_nomem(err);
	}
	st = sort_runs(&s, 0, n);
	free(s.spare);
	return st;
}

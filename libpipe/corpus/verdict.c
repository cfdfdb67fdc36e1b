/* SPDX-License-Identifier: Apache-2.0 */
/* The one order in which the tools' decisions count: ingest's status, then
 * filter, then dedup, then the balance of concepts. */
#include "corpus.h"

/* rows == NULL: the tool has not run, everything is kept. A row smaller than the struct cannot be:
 * pl_tables_open checked. */
static enum pl_reason filter_at(const struct pl_npy *t, uint64_t i)
{
	const struct pl_filter_row *r;

	if (t->rows == NULL || i >= t->nrows)
		return PL_REASON_KEEP;
	r = pl_npy_row(t, i);
	return (enum pl_reason)r->verdict;
}

static enum pl_reason dedup_at(const struct pl_npy *t, uint64_t i)
{
	const struct pl_dedup_row *r;

	if (t->rows == NULL || i >= t->nrows)
		return PL_REASON_KEEP;
	r = pl_npy_row(t, i);
	return (enum pl_reason)r->verdict;
}

enum pl_reason pl_image_verdict(const struct pl_tables *t, uint64_t i)
{
	enum pl_reason why = (enum pl_reason)pl_image_at(t, i)->status;

	if (why == PL_REASON_KEEP)
		why = filter_at(&t->filter_images, i);
	if (why == PL_REASON_KEEP)
		why = dedup_at(&t->dedup_images, i);
	return why;
}

enum pl_reason pl_sample_verdict(const struct pl_tables *t, uint64_t i)
{
	const struct pl_sample_row *s = pl_sample(t, i);
	enum pl_reason why = (enum pl_reason)s->status;
	uint64_t k;

	if (why == PL_REASON_KEEP)
		why = filter_at(&t->filter, i);
	if (why == PL_REASON_KEEP)
		why = dedup_at(&t->dedup, i);
	if (why != PL_REASON_KEEP)
		return why;
	for (k = 0; k < s->images && s->kind != PL_KIND_TEXT; k++)
		if (pl_image_verdict(t, s->first_image + k) == PL_REASON_KEEP)
			break;
	if (s->images > 0 && k == s->images)
		return PL_REASON_IMAGES_GONE;
	return filter_at(&t->concepts, i);
}

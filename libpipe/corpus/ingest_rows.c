/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in waiting. Tables are written strictly in order of reading; the only
 * thing that arrives later is the pool's answer for an image. */
#include "ingest_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum pl_status pl_rows_open(struct pl_rows *w, const char *dir, const char *unit,
    const struct pl_source *s, struct pl_account *account, struct pl_err *err)
{
	struct pl_npy_col *cols = NULL;
	char *samples = pl_unit_table_path(dir, unit, "samples");
	char *images = pl_unit_table_path(dir, unit, "images");
	enum pl_status st = PL_ERR_NOMEM;
	size_t ncols;

	memset(w, 0, sizeof(*w));
	w->account = account;
	if (samples == NULL || images == NULL)
		st = pl_fail_nomem(err);
	else
		st = pl_sample_schema(s, &cols, &ncols, &w->row_size, err);
	if (st == PL_OK)
		st = pl_npy_create(&w->samples, samples, cols, ncols, w->row_size, err);
	if (st == PL_OK)
		st = pl_npy_create(&w->images, images, pl_image_cols, pl_image_ncols,
		    sizeof(struct pl_image_row), err);
	free(cols);
	free(samples);
	free(images);
	if (st != PL_OK)
		pl_rows_release(w);
	return st;
}

/* Make room for n more entries behind tail: first by moving the queue to the front, then by growing
 * to *cap. */
static bool room(size_t *head, size_t *tail, size_t *cap, size_t n, void **a, size_t a_size,
    void **b, size_t b_size)
{
	size_t used = *tail - *head, want;
	void *p;

	if (n <= *cap - *tail)
		return true;
	if (*head > 0) {
		memmove(*a, (char *)*a + *head * a_size, used * a_size);
		memmove(*b, (char *)*b + *head * b_size, used * b_size);
		*head = 0;
		*tail = used;
	}
	/* Moving pays only while the queue is short against its room. */
	if (n <= *cap - *tail && used <= *cap / 2)
		return true;
	want = (used + n) * 2 + 64;
	if (want < n || want > SIZE_MAX / (a_size > b_size ? a_size : b_size))
		return false;
	p = realloc(*a, want * a_size);
	if (p == NULL)
		return false;
	*a = p;
	p = realloc(*b, want * b_size);
	if (p == NULL)
		return false;
	*b = p;
	*cap = want;
	return true;
}

enum pl_status pl_rows_push(struct pl_rows *w, const struct pl_sample_row *row, const double *meta,
    uint32_t n, struct pl_err *err)
{
	void *a = w->waiting, *b = w->left;
	struct pl_sample_row r = *row;
	uint8_t *at;
	bool ok = room(&w->head, &w->tail, &w->cap, 1, &a, w->row_size, &b, sizeof(*w->left));

	w->waiting = a;
	w->left = b;
	if (!ok)
		return pl_fail_nomem(err);
	a = w->image;
	b = w->answered;
	ok = room(&w->image_head, &w->image_tail, &w->image_cap, n, &a, sizeof(*w->image), &b,
	    sizeof(*w->answered));
	w->image = a;
	w->answered = b;
	if (!ok)
		return pl_fail_nomem(err);
	r.first_image = w->next_image;
	r.images = n;
	at = w->waiting + w->tail * w->row_size;
	memcpy(at, &r, sizeof(r));
	if (w->row_size > sizeof(r))
		memcpy(at + sizeof(r), meta, w->row_size - sizeof(r));
	w->left[w->tail] = n;
	if (n > 0) {
		memset(w->image + w->image_tail, 0, n * sizeof(*w->image));
		memset(w->answered + w->image_tail, 0, n * sizeof(*w->answered));
	}
	w->tail++;
	w->image_tail += n;
	w->next_image += n;
	w->next_sample++;
	return PL_OK;
}

struct pl_image_row *pl_rows_image(struct pl_rows *w, uint32_t k, uint64_t *number)
{
	const struct pl_sample_row *s = (const void *)(w->waiting + (w->tail - 1) * w->row_size);
	struct pl_image_row *im = &w->image[w->image_tail - s->images + k];

	*number = s->first_image + k;
	im->sample = w->next_sample - 1;
	im->position = k;
	im->mean = im->contrast = im->entropy = im->edges = im->blur = NAN;
	return im;
}

/* Place in the queue of the sample that holds image row number: they are in order, so by halves. */
static size_t owner(const struct pl_rows *w, uint64_t number)
{
	size_t lo = w->head, hi = w->tail;

	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;
		const struct pl_sample_row *s = (const void *)(w->waiting + mid * w->row_size);

		if (s->first_image <= number)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* A worker meets hostile bytes: its numbers are held to their ranges before they become columns. */
static void take_result(struct pl_image_row *im, const struct pl_pool_result *r)
{
	unsigned reason = (unsigned)r->reason, format = (unsigned)r->info.format;

	memcpy(im->xxh3, r->xxh3, sizeof(im->xxh3));
	im->format = (uint8_t)(format < PL_FORMAT_COUNT ? format : PL_FORMAT_UNKNOWN);
	im->orientation = r->info.orientation >= 1 && r->info.orientation <= 8 ? r->info.orientation
									       : 1;
	im->width = r->width;
	im->height = r->height;
	im->status = (uint8_t)(reason < PL_REASON_COUNT ? reason : PL_REASON_CRASH);
	if (r->reason == PL_REASON_KEEP) {
		memcpy(im->pdq, r->pdq.bits, sizeof(im->pdq));
		im->pdq_quality = r->pdq.quality;
		im->mean = r->stats.mean;
		im->contrast = r->stats.contrast;
		im->entropy = r->stats.entropy;
		im->edges = r->stats.edges;
		im->blur = r->stats.blur;
		im->blank = r->stats.blank;
		im->jpeg_quality = r->stats.jpeg_quality;
	}
	im->frames = r->info.frames;
	if (im->width > 0 && im->height > 0)
		im->bits_per_pixel = (float)((double)im->length * 8 /
		    ((double)im->width * (double)im->height));
}

void pl_rows_answer(struct pl_rows *w, uint64_t number, const struct pl_pool_result *r)
{
	uint64_t first = w->next_image - (w->image_tail - w->image_head);
	size_t at;

	/* Not ours, or twice: a pool that answers wrongly must not corrupt rows. */
	if (number < first || number >= w->next_image ||
	    w->answered[w->image_head + (number - first)])
		return;
	at = w->image_head + (size_t)(number - first);
	w->answered[at] = true;
	if (r != NULL)
		take_result(&w->image[at], r);
	/* Samples without images share their first_image with the next one: the last such sample is
	 * the owner. */
	w->left[owner(w, number)]--;
}

/* A sample's own status stands; else its images decide, by kind. */
static enum pl_reason judge(const struct pl_sample_row *s, const struct pl_image_row *im)
{
	enum pl_reason why = (enum pl_reason)s->status;
	uint32_t k;

	if (why != PL_REASON_KEEP || s->images == s->images_ok)
		return why;
	switch ((enum pl_kind)s->kind) {
	case PL_KIND_CHAT:
	case PL_KIND_PREFERENCE:
	case PL_KIND_IN_CONTEXT:
		/* The conversation talks about each of its pictures. */
		break;
	case PL_KIND_INTERLEAVED: return s->images_ok == 0 ? PL_REASON_IMAGES_GONE : why;
	case PL_KIND_PAIRS:
		if (s->images_ok > 0)
			return why;
		break;
	case PL_KIND_AUTO:
	case PL_KIND_DOCUMENT:
	case PL_KIND_TEXT: return why;
	}
	for (k = 0; k < s->images; k++)
		if (im[k].status != PL_REASON_KEEP)
			return (enum pl_reason)im[k].status;
	return why;
}

static void count(struct pl_rows *w, const struct pl_sample_row *s, const struct pl_image_row *im)
{
	struct pl_account *a = w->account;
	uint32_t k;

	a->samples_in++;
	if (s->status == PL_REASON_KEEP) {
		a->samples_out++;
		w->kept++;
	} else {
		a->samples_dropped[s->status]++;
	}
	a->images_in += s->images;
	a->images_out += s->images_ok;
	for (k = 0; k < s->images; k++)
		if (im[k].status != PL_REASON_KEEP)
			a->images_dropped[im[k].status]++;
}

enum pl_status pl_rows_flush(struct pl_rows *w, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	uint32_t k;

	while (st == PL_OK && w->head < w->tail && w->left[w->head] == 0) {
		struct pl_sample_row *s = (void *)(w->waiting + w->head * w->row_size);
		const struct pl_image_row *im = s->images > 0 ? &w->image[w->image_head] : NULL;

		s->images_ok = 0;
		for (k = 0; k < s->images; k++)
			s->images_ok += im[k].status == PL_REASON_KEEP;
		s->status = (uint8_t)judge(s, im);
		count(w, s, im);
		st = pl_npy_append(&w->samples, s, 1, err);
		if (st == PL_OK && s->images > 0)
			st = pl_npy_append(&w->images, im, s->images, err);
		w->image_head += s->images;
		w->head++;
	}
	return st;
}

/* Where the queue has room for as much. */
static enum pl_status copy_row(struct pl_rows *w, const struct pl_sample_row *row, bool seen, struct pl_image_row *images, struct pl_err *err)
{
	struct pl_sample_row *s = (void *)w->waiting;
	enum pl_status st;

	memcpy(s, row, w->row_size);
	s->first_image = w->next_image;
	if (seen)
		s->status = PL_REASON_DUPLICATE_KEY;
	for (uint32_t k = 0; k < s->images; k++)
		images[k].sample = w->next_sample;
	if (s->status >= PL_REASON_COUNT)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, w->samples.file.path, "a row has a status that is none");
	count(w, s, images);
	st = pl_npy_append(&w->samples, s, 1, err);
	if (st == PL_OK && s->images > 0)
		st = pl_npy_append(&w->images, images, s->images, err);
	w->next_sample++;
	w->next_image += s->images;
	return st;
}

enum pl_status pl_rows_copy(struct pl_rows *w, const struct pl_sample_row *row, bool seen,
    const struct pl_image_row *images, struct pl_err *err)
{
	void *a = w->waiting, *b = w->left;
	bool ok = room(&w->head, &w->tail, &w->cap, 1, &a, w->row_size, &b, sizeof(*w->left));

	w->waiting = a;
	w->left = b;
	a = w->image;
	b = w->answered;
	ok = ok && room(&w->image_head, &w->image_tail, &w->image_cap, row->images, &a, sizeof(*w->image), &b, sizeof(*w->answered));
	w->image = a;
	w->answered = b;
	if (!ok)
		return pl_fail_nomem(err);
	if (row->images > 0)
		memcpy(w->image, images, row->images * sizeof(*images));
	for (uint32_t k = 0; k < row->images; k++)
		if (images[k].status >= PL_REASON_COUNT)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, w->images.file.path, "a row has a status that is none");
	return copy_row(w, row, seen, w->image, err);
}

enum pl_status pl_rows_commit(struct pl_rows *w, struct pl_err *err)
{
	struct pl_npy_writer *const tables[] = { &w->samples, &w->images };

	return pl_npy_commit_all(tables, PL_ARRAY_LEN(tables), err);
}

void pl_rows_release(struct pl_rows *w)
{
	pl_npy_abort(&w->samples);
	pl_npy_abort(&w->images);
	free(w->waiting);
	free(w->left);
	free(w->image);
	free(w->answered);
	memset(w, 0, sizeof(*w));
}

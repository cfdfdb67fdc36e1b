/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of a shard as SQL relations. A metadata column the user asked for
 * by name takes the place of a column derived from the first image with that
 * name (LAION's "similarity"); fields of the row itself cannot be named so. */
#include "internal.h"

#include "libpipe/base/sql.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum sample_field {
	S_KEY,
	S_STATUS,
	S_KIND,
	S_OFFSET,
	S_LENGTH,
	S_IMAGES,
	S_IMAGES_OK,
	S_TEXT_BYTES,
	S_TEXT_WORDS,
	S_TEXT_TOKENS,
	S_SEGMENTS,
	S_TEXT_CHARS,
	S_URLS,
	S_CHAR_REPETITION,
	S_WORD_REPETITION,
	S_SPECIAL_RATIO,
	S_DIGIT_RATIO,
	S_ALNUM_RATIO,
	S_PUNCTUATION_RATIO,
	S_SCRIPT,
	S_LANGUAGE,
	S_LANGUAGE_MARGIN,
	S_IMAGES_KEPT,
	S_VERDICT,
	S_RULE,
	S_SHARD,
	S_ROW,
	S_FIRST, /* from here on: of the first usable image */
	S_WIDTH = S_FIRST,
	S_HEIGHT,
	S_ASPECT,
	S_FORMAT,
	S_BYTES,
	S_PDQ_QUALITY,
	S_BITS_PER_PIXEL,
	S_ORIENTATION,
	S_SIMILARITY,
	S_MEAN,
	S_CONTRAST,
	S_ENTROPY,
	S_EDGES,
	S_BLUR,
	S_BLANK,
	S_FRAMES,
	S_JPEG_QUALITY,
	S_COUNT
};

static const struct pl_sql_col sample_columns[] = {
	[S_KEY] = { "key", PL_SQL_TEXT },
	[S_STATUS] = { "status", PL_SQL_TEXT },
	[S_KIND] = { "kind", PL_SQL_TEXT },
	[S_OFFSET] = { "offset", PL_SQL_INT },
	[S_LENGTH] = { "length", PL_SQL_INT },
	[S_IMAGES] = { "images", PL_SQL_INT },
	[S_IMAGES_OK] = { "images_ok", PL_SQL_INT },
	[S_TEXT_BYTES] = { "text_bytes", PL_SQL_INT },
	[S_TEXT_WORDS] = { "text_words", PL_SQL_INT },
	[S_TEXT_TOKENS] = { "text_tokens", PL_SQL_INT },
	[S_SEGMENTS] = { "segments", PL_SQL_INT },
	[S_TEXT_CHARS] = { "text_chars", PL_SQL_INT },
	[S_URLS] = { "urls", PL_SQL_INT },
	[S_CHAR_REPETITION] = { "char_repetition", PL_SQL_REAL },
	[S_WORD_REPETITION] = { "word_repetition", PL_SQL_REAL },
	[S_SPECIAL_RATIO] = { "special_ratio", PL_SQL_REAL },
	[S_DIGIT_RATIO] = { "digit_ratio", PL_SQL_REAL },
	[S_ALNUM_RATIO] = { "alnum_ratio", PL_SQL_REAL },
	[S_PUNCTUATION_RATIO] = { "punctuation_ratio", PL_SQL_REAL },
	[S_SCRIPT] = { "script", PL_SQL_TEXT },
	[S_LANGUAGE] = { "language", PL_SQL_TEXT },
	[S_LANGUAGE_MARGIN] = { "language_margin", PL_SQL_REAL },
	[S_IMAGES_KEPT] = { "images_kept", PL_SQL_INT },
	[S_VERDICT] = { "verdict", PL_SQL_TEXT },
	[S_RULE] = { "rule", PL_SQL_TEXT },
	[S_SHARD] = { "shard", PL_SQL_TEXT },
	[S_ROW] = { "row", PL_SQL_INT },
	[S_WIDTH] = { "width", PL_SQL_INT },
	[S_HEIGHT] = { "height", PL_SQL_INT },
	[S_ASPECT] = { "aspect", PL_SQL_REAL },
	[S_FORMAT] = { "format", PL_SQL_TEXT },
	[S_BYTES] = { "bytes", PL_SQL_INT },
	[S_PDQ_QUALITY] = { "pdq_quality", PL_SQL_INT },
	[S_BITS_PER_PIXEL] = { "bits_per_pixel", PL_SQL_REAL },
	[S_ORIENTATION] = { "orientation", PL_SQL_INT },
	[S_SIMILARITY] = { "similarity", PL_SQL_REAL },
	[S_MEAN] = { "mean", PL_SQL_REAL },
	[S_CONTRAST] = { "contrast", PL_SQL_REAL },
	[S_ENTROPY] = { "entropy", PL_SQL_REAL },
	[S_EDGES] = { "edges", PL_SQL_REAL },
	[S_BLUR] = { "blur", PL_SQL_REAL },
	[S_BLANK] = { "blank", PL_SQL_INT },
	[S_FRAMES] = { "frames", PL_SQL_INT },
	[S_JPEG_QUALITY] = { "jpeg_quality", PL_SQL_INT },
};

enum image_field {
	I_KEY,
	I_POSITION,
	I_WIDTH,
	I_HEIGHT,
	I_ASPECT,
	I_FORMAT,
	I_BYTES,
	I_WHERE,
	I_PDQ,
	I_PDQ_QUALITY,
	I_XXH3,
	I_ORIENTATION,
	I_STATUS,
	I_SIMILARITY,
	I_BITS_PER_PIXEL,
	I_MEAN,
	I_CONTRAST,
	I_ENTROPY,
	I_EDGES,
	I_BLUR,
	I_BLANK,
	I_FRAMES,
	I_JPEG_QUALITY,
	I_VERDICT,
	I_RULE,
	I_SAMPLE,
	I_SHARD,
	I_COUNT
};

static const struct pl_sql_col image_columns[] = {
	[I_KEY] = { "key", PL_SQL_TEXT },
	[I_POSITION] = { "position", PL_SQL_INT },
	[I_WIDTH] = { "width", PL_SQL_INT },
	[I_HEIGHT] = { "height", PL_SQL_INT },
	[I_ASPECT] = { "aspect", PL_SQL_REAL },
	[I_FORMAT] = { "format", PL_SQL_TEXT },
	[I_BYTES] = { "bytes", PL_SQL_INT },
	[I_WHERE] = { "where", PL_SQL_TEXT },
	[I_PDQ] = { "pdq", PL_SQL_TEXT },
	[I_PDQ_QUALITY] = { "pdq_quality", PL_SQL_INT },
	[I_XXH3] = { "xxh3", PL_SQL_TEXT },
	[I_ORIENTATION] = { "orientation", PL_SQL_INT },
	[I_STATUS] = { "status", PL_SQL_TEXT },
	[I_SIMILARITY] = { "similarity", PL_SQL_REAL },
	[I_BITS_PER_PIXEL] = { "bits_per_pixel", PL_SQL_REAL },
	[I_MEAN] = { "mean", PL_SQL_REAL },
	[I_CONTRAST] = { "contrast", PL_SQL_REAL },
	[I_ENTROPY] = { "entropy", PL_SQL_REAL },
	[I_EDGES] = { "edges", PL_SQL_REAL },
	[I_BLUR] = { "blur", PL_SQL_REAL },
	[I_BLANK] = { "blank", PL_SQL_INT },
	[I_FRAMES] = { "frames", PL_SQL_INT },
	[I_JPEG_QUALITY] = { "jpeg_quality", PL_SQL_INT },
	[I_VERDICT] = { "verdict", PL_SQL_TEXT },
	[I_RULE] = { "rule", PL_SQL_TEXT },
	[I_SAMPLE] = { "sample", PL_SQL_INT },
	[I_SHARD] = { "shard", PL_SQL_TEXT },
};

static const char *const where_names[] = { "shard", "store", "folder", "embedded", "nowhere" };

static const char *where_name(uint8_t where)
{
	return where < PL_ARRAY_LEN(where_names) ? where_names[where] : "unknown";
}

struct relation {
	const struct pl_corpus *corpus;
	const struct pl_tables *tables;
	size_t shard;
	struct pl_sql_col *cols;
	size_t *field; /* per SQL column: enum sample_field, or S_COUNT + metadata column, then scores */
	char text[80];
	uint64_t first_row; /* the row `first` was looked up for */
	uint64_t first;     /* image row, UINT64_MAX = none */
};

static void set_int(struct pl_sql_value *v, uint64_t x)
{
	v->type = PL_SQL_INT;
	v->null = false;
	/* Offsets of a damaged table only: SQL's integers are signed. */
	v->i = x > INT64_MAX ? INT64_MAX : (int64_t)x;
}

/* NULL when it is not known. */
static void set_known(struct pl_sql_value *v, uint64_t x, bool known)
{
	set_int(v, x);
	v->null = !known;
}

static void set_real(struct pl_sql_value *v, double x)
{
	v->type = PL_SQL_REAL;
	v->null = isnan(x) != 0;
	v->r = x;
}

/* A share held in single precision: as the decimal number it stands for, so that a threshold of 0.1 meets 0.1. */
static void set_share(struct pl_sql_value *v, float x)
{
	set_real(v, nearbyint((double)x * 1e7) / 1e7);
}

static void set_text(struct pl_sql_value *v, const char *s)
{
	v->type = PL_SQL_TEXT;
	v->null = false;
	v->p = s;
	v->len = strlen(s);
}

/* A code padded with zeros; all zeros = NULL. */
static void set_code(struct relation *r, const uint8_t code[4], struct pl_sql_value *v)
{
	memcpy(r->text, code, 4);
	r->text[4] = '\0';
	set_text(v, r->text);
	v->null = r->text[0] == '\0';
}

static void set_key(struct relation *r, uint64_t key, struct pl_sql_value *v)
{
	snprintf(r->text, sizeof(r->text), "%016" PRIx64, key);
	set_text(v, r->text);
}

static void set_rule(const struct relation *r, const struct pl_npy *filter, uint64_t row, struct pl_sql_value *v)
{
	const char *rule = pl_filter_rule(r->corpus, filter, row);

	set_text(v, rule != NULL ? rule : "");
	v->null = rule == NULL;
}

/* Images that nothing has dropped so far: of a sample rule's point of view, those that the image rules left. */
static uint64_t images_kept(const struct relation *r, const struct pl_sample_row *s)
{
	uint64_t n = 0;

	for (uint32_t k = 0; k < s->images; k++)
		n += pl_image_verdict(r->tables, s->first_image + k) == PL_REASON_KEEP;
	return n;
}

/* Longer side over shorter side; NaN when the size is not known. */
static double aspect(const struct pl_image_row *im)
{
	uint32_t longer = im->width > im->height ? im->width : im->height;
	uint32_t shorter = im->width > im->height ? im->height : im->width;

	return shorter == 0 ? (double)NAN : (double)longer / (double)shorter;
}

static const struct pl_image_row *first_image(struct relation *r, uint64_t row)
{
	const struct pl_sample_row *s = pl_sample(r->tables, row);
	uint32_t k;

	if (r->first_row != row) {
		r->first_row = row;
		r->first = UINT64_MAX;
		for (k = 0; k < s->images && r->first == UINT64_MAX; k++)
			if (pl_image_at(r->tables, s->first_image + k)->status == PL_REASON_KEEP)
				r->first = s->first_image + k;
	}
	return r->first == UINT64_MAX ? NULL : pl_image_at(r->tables, r->first);
}

static void first_image_cell(
    const struct pl_image_row *im, enum sample_field field, struct pl_sql_value *v)
{
	switch ((int)field) {
	case S_WIDTH: set_int(v, im->width); break;
	case S_HEIGHT: set_int(v, im->height); break;
	case S_ASPECT: set_real(v, aspect(im)); break;
	case S_FORMAT: set_text(v, pl_format_name((enum pl_format)im->format)); break;
	case S_BYTES: set_int(v, im->length); break;
	case S_PDQ_QUALITY: set_int(v, im->pdq_quality); break;
	case S_BITS_PER_PIXEL: set_real(v, (double)im->bits_per_pixel); break;
	case S_ORIENTATION: set_int(v, im->orientation); break;
	case S_SIMILARITY: set_share(v, im->similarity); break;
	case S_MEAN: set_real(v, (double)im->mean); break;
	case S_CONTRAST: set_real(v, (double)im->contrast); break;
	case S_ENTROPY: set_real(v, (double)im->entropy); break;
	case S_EDGES: set_real(v, (double)im->edges); break;
	case S_BLUR: set_real(v, (double)im->blur); break;
	case S_BLANK: set_known(v, im->blank, !isnan(im->mean)); break;
	case S_FRAMES: set_known(v, im->frames, im->frames > 0); break;
	case S_JPEG_QUALITY: set_known(v, im->jpeg_quality, im->jpeg_quality > 0); break;
	default: break;
	}
}

static void text_cell(struct relation *r, uint64_t row, enum sample_field field, struct pl_sql_value *v)
{
	const struct pl_sample_row *s = pl_sample(r->tables, row);

	switch ((int)field) {
	case S_TEXT_CHARS: set_int(v, s->text_chars); break;
	case S_URLS: set_int(v, s->urls); break;
	case S_CHAR_REPETITION: set_share(v, s->char_repetition); break;
	case S_WORD_REPETITION: set_share(v, s->word_repetition); break;
	case S_SPECIAL_RATIO: set_share(v, s->special_ratio); break;
	case S_DIGIT_RATIO: set_share(v, s->digit_ratio); break;
	case S_ALNUM_RATIO: set_share(v, s->alnum_ratio); break;
	case S_PUNCTUATION_RATIO: set_share(v, s->punctuation_ratio); break;
	case S_SCRIPT: set_code(r, s->script, v); break;
	case S_LANGUAGE: set_code(r, s->language, v); break;
	case S_IMAGES_KEPT: set_int(v, images_kept(r, s)); break;
	case S_LANGUAGE_MARGIN: set_share(v, s->language_margin); break;
	default: break;
	}
}

static void sample_row_cell(
    struct relation *r, uint64_t row, enum sample_field field, struct pl_sql_value *v)
{
	const struct pl_sample_row *s = pl_sample(r->tables, row);

	switch ((int)field) {
	case S_KEY: set_key(r, s->key, v); break;
	case S_STATUS: set_text(v, pl_reason_name(s->status)); break;
	case S_KIND:
		set_text(v, s->kind < PL_KIND_COUNT ? pl_kind_names[s->kind] : "unknown");
		break;
	case S_OFFSET: set_int(v, s->offset); break;
	case S_LENGTH: set_int(v, s->length); break;
	case S_IMAGES: set_int(v, s->images); break;
	case S_IMAGES_OK: set_int(v, s->images_ok); break;
	case S_TEXT_BYTES: set_int(v, s->text_bytes); break;
	case S_TEXT_WORDS: set_int(v, s->text_words); break;
	case S_TEXT_TOKENS: set_int(v, s->text_tokens); break;
	case S_SEGMENTS: set_int(v, s->segments); break;
	case S_VERDICT: set_text(v, pl_reason_name(pl_sample_verdict(r->tables, row))); break;
	case S_RULE: set_rule(r, &r->tables->filter, row, v); break;
	case S_SHARD: set_text(v, r->corpus->shards[r->shard].unit); break;
	case S_ROW: set_int(v, row); break;
	default: text_cell(r, row, field, v); break;
	}
}

static void samples_cell(void *ctx, uint64_t row, size_t col, struct pl_sql_value *v)
{
	struct relation *r = ctx;
	size_t field = r->field[col];

	v->type = sample_columns[0].type;
	v->null = true;
	if (field >= S_COUNT + r->corpus->source.ncolumns) {
		const char *base = pl_npy_row(&r->tables->scores, row);
		double x;

		memcpy(&x, base + (field - S_COUNT - r->corpus->source.ncolumns) * sizeof(double), sizeof(x));
		set_real(v, x);
	} else if (field >= S_COUNT) {
		const char *base = pl_npy_row(&r->tables->samples, row);
		double x;

		memcpy(&x, base + sizeof(struct pl_sample_row) + (field - S_COUNT) * sizeof(double),
		    sizeof(x));
		set_real(v, x);
	} else if (field >= S_FIRST) {
		const struct pl_image_row *im = first_image(r, row);

		if (im != NULL)
			first_image_cell(im, (enum sample_field)field, v);
	} else {
		sample_row_cell(r, row, (enum sample_field)field, v);
	}
}

static void set_hex(struct relation *r, const uint8_t *bytes, size_t n, struct pl_sql_value *v)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		r->text[2 * i] = digits[bytes[i] >> 4];
		r->text[2 * i + 1] = digits[bytes[i] & 15];
	}
	r->text[2 * n] = '\0';
	set_text(v, r->text);
}

static void images_cell(void *ctx, uint64_t row, size_t col, struct pl_sql_value *v)
{
	struct relation *r = ctx;
	const struct pl_image_row *im = pl_image_at(r->tables, row);

	v->type = image_columns[col].type;
	v->null = true;
	switch ((enum image_field)col) {
	case I_KEY: set_key(r, pl_sample(r->tables, im->sample)->key, v); break;
	case I_POSITION: set_int(v, im->position); break;
	case I_WIDTH: set_int(v, im->width); break;
	case I_HEIGHT: set_int(v, im->height); break;
	case I_ASPECT: set_real(v, aspect(im)); break;
	case I_FORMAT: set_text(v, pl_format_name((enum pl_format)im->format)); break;
	case I_BYTES: set_int(v, im->length); break;
	case I_WHERE: set_text(v, where_name(im->where)); break;
	case I_PDQ: set_hex(r, im->pdq, sizeof(im->pdq), v); break;
	case I_PDQ_QUALITY: set_int(v, im->pdq_quality); break;
	case I_XXH3: set_hex(r, im->xxh3, sizeof(im->xxh3), v); break;
	case I_ORIENTATION: set_int(v, im->orientation); break;
	case I_STATUS: set_text(v, pl_reason_name(im->status)); break;
	case I_SIMILARITY: set_share(v, im->similarity); break;
	case I_BITS_PER_PIXEL: set_real(v, (double)im->bits_per_pixel); break;
	case I_MEAN: set_real(v, (double)im->mean); break;
	case I_CONTRAST: set_real(v, (double)im->contrast); break;
	case I_ENTROPY: set_real(v, (double)im->entropy); break;
	case I_EDGES: set_real(v, (double)im->edges); break;
	case I_BLUR: set_real(v, (double)im->blur); break;
	case I_BLANK: set_known(v, im->blank, !isnan(im->mean)); break;
	case I_FRAMES: set_known(v, im->frames, im->frames > 0); break;
	case I_JPEG_QUALITY: set_known(v, im->jpeg_quality, im->jpeg_quality > 0); break;
	case I_VERDICT: set_text(v, pl_reason_name(pl_image_verdict(r->tables, row))); break;
	case I_RULE: set_rule(r, &r->tables->filter_images, row, v); break;
	case I_SAMPLE: set_int(v, im->sample); break;
	case I_SHARD: set_text(v, r->corpus->shards[r->shard].unit); break;
	case I_COUNT: break;
	}
}

static struct relation *relation_new(const struct pl_corpus *c, size_t ncols)
{
	struct relation *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	r->corpus = c;
	r->first_row = UINT64_MAX;
	r->cols = calloc(ncols, sizeof(*r->cols));
	r->field = calloc(ncols, sizeof(*r->field));
	if (r->cols == NULL || r->field == NULL) {
		free(r->cols);
		free(r->field);
		free(r);
		return NULL;
	}
	return r;
}

enum pl_status pl_relation_samples(
    const struct pl_corpus *c, struct pl_sql_source *src, struct pl_err *err)
{
	struct relation *r = relation_new(c, (size_t)S_COUNT + c->source.ncolumns + c->nscores);
	size_t i, n = 0;

	if (r == NULL)
		return pl_fail_nomem(err);
	for (i = 0; i < S_COUNT; i++) {
		if (i >= S_FIRST && pl_corpus_has_score(c, sample_columns[i].name))
			continue;
		r->cols[n] = sample_columns[i];
		r->field[n++] = i;
	}
	for (i = 0; i < c->source.ncolumns; i++) {
		r->cols[n].name = c->source.columns[i];
		r->cols[n].type = PL_SQL_REAL;
		r->field[n++] = S_COUNT + i;
	}
	for (i = 0; i < c->nscores; i++) {
		r->cols[n].name = c->scores[i];
		r->cols[n].type = PL_SQL_REAL;
		r->field[n++] = S_COUNT + c->source.ncolumns + i;
	}
	memset(src, 0, sizeof(*src));
	src->name = "samples";
	src->cols = r->cols;
	src->ncols = n;
	src->ctx = r;
	src->cell = samples_cell;
	return PL_OK;
}

enum pl_status pl_relation_images(
    const struct pl_corpus *c, struct pl_sql_source *src, struct pl_err *err)
{
	struct relation *r = relation_new(c, I_COUNT);

	if (r == NULL)
		return pl_fail_nomem(err);
	memcpy(r->cols, image_columns, sizeof(image_columns));
	memset(src, 0, sizeof(*src));
	src->name = "images";
	src->cols = r->cols;
	src->ncols = I_COUNT;
	src->ctx = r;
	src->cell = images_cell;
	return PL_OK;
}

void pl_relation_bind(struct pl_sql_source *src, const struct pl_tables *t, size_t shard)
{
	struct relation *r = src->ctx;

	r->tables = t;
	r->shard = shard;
	r->first_row = UINT64_MAX;
	src->nrows = src->cell == samples_cell ? t->samples.nrows : t->images.nrows;
}

void pl_relation_release(struct pl_sql_source *src)
{
	struct relation *r = src->ctx;

	if (r != NULL) {
		free(r->cols);
		free(r->field);
		free(r);
	}
	memset(src, 0, sizeof(*src));
}

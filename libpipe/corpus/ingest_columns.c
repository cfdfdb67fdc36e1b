/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of a samples row that come from the sample's JSON and its texts. */
#include "ingest_columns.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"

double pl_ingest_number(const json_t *meta, const char *name)
{
	const json_t *v = json_object_get(meta, name);
	const char *s = json_string_value(v);
	char *end;
	double x;

	if (json_is_number(v))
		return json_number_value(v);
	if (s == NULL || s[0] == '\0' || s[strspn(s, "0123456789+-.eE")] != '\0')
		return (double)NAN;
	x = strtod(s, &end);
	return *end == '\0' && isfinite(x) ? x : (double)NAN;
}

static uint32_t narrow(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

uint64_t pl_ingest_id(const json_t *meta, const char *field)
{
	const json_t *v = field != NULL ? json_object_get(meta, field) : NULL;
	char number[32];

	if (json_is_string(v))
		return pl_hash64(json_string_value(v), json_string_length(v));
	if (!json_is_integer(v))
		return 0;
	snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return pl_hash64(number, strlen(number));
}

enum pl_status pl_ingest_measure(struct pl_text_meter *m, const struct pl_document *d, struct pl_sample_row *row, struct pl_err *err)
{
	struct pl_text_measures t;
	enum pl_status st = pl_text_measure(m, d, &t, err);

	if (st != PL_OK)
		return st;
	row->text_chars = narrow(t.chars);
	row->urls = narrow(t.urls);
	row->char_repetition = t.char_repetition;
	row->word_repetition = t.word_repetition;
	row->special_ratio = t.special;
	row->digit_ratio = t.digits;
	row->alnum_ratio = t.alnum;
	row->punctuation_ratio = t.punctuation;
	memcpy(row->script, t.script, sizeof(row->script));
	memcpy(row->language, t.language, sizeof(row->language));
	row->language_margin = t.language_margin;
	return PL_OK;
}

enum pl_status pl_ingest_tokens(const struct pl_token_counter *c, const struct pl_document *d, struct pl_sample_row *row, struct pl_err *err)
{
	struct pl_token_sum sum = {0};
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->nsegments && st == PL_OK; i++)
		if (!d->segments[i].is_image)
			st = pl_tokens_add(c, &sum, d->segments[i].text, d->segments[i].text_len, err);
	if (st == PL_OK)
		row->text_tokens = narrow(pl_tokens_total(c, &sum));
	return st;
}

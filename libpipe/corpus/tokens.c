/* SPDX-License-Identifier: Apache-2.0 */
/* Token counts: two estimates, and a model's own. */
#include "tokens.h"

#include <stdlib.h>

#include "kinds.h"
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "sentencepiece.h"

#define MODEL_MAX ((size_t)256 << 20)
/* A model looks at a text whole, and takes memory for it. */
enum { PIECE = 64 << 10 };

const char *const pl_tokens_by_names[] = {"bytes", "words", "sentencepiece", NULL};

struct pl_token_counter { enum pl_tokens_by by; void *spm; };

bool pl_tokens_same(const struct pl_tokens_settings *a, const struct pl_tokens_settings *b)
{
	return a->by == b->by && a->model_hash[0] == b->model_hash[0] && a->model_hash[1] == b->model_hash[1];
}

bool pl_tokens_sentencepiece(void)
{
#ifdef HAVE_SENTENCEPIECE
	return true;
#else
	return false;
#endif
}

#ifndef HAVE_SENTENCEPIECE
void *pl_spm_new(const void *model, size_t len)
{
	(void)model;
	(void)len;
	return NULL;
}

void pl_spm_free(void *spm)
{
	(void)spm;
}

int64_t pl_spm_count(const void *spm, const char *s, size_t len)
{
	(void)spm;
	(void)s;
	(void)len;
	return -1;
}
#endif

static enum pl_status load_model(struct pl_token_counter *c, struct pl_tokens_settings *s, struct pl_err *err)
{
	char *bytes = NULL;
	size_t len = 0;
	enum pl_status st;

	if (!pl_tokens_sentencepiece())
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, s->model,
		    "this plait was built without SentencePiece: install libsentencepiece-dev and build again, or count tokens by bytes or words");
	st = pl_file_read(s->model, MODEL_MAX, &bytes, &len, err);
	if (st == PL_ERR_NOTFOUND)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, s->model, "there is no such model to count tokens with");
	if (st != PL_OK)
		return st;
	pl_hash128(bytes, len, s->model_hash);
	c->spm = pl_spm_new(bytes, len);
	free(bytes);
	return c->spm ? PL_OK : pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, s->model, "is no SentencePiece model");
}

enum pl_status pl_token_counter_new(struct pl_token_counter **out, struct pl_tokens_settings *s, struct pl_err *err)
{
	struct pl_token_counter *c;
	enum pl_status st = PL_OK;

	*out = NULL;
	if ((s->by == PL_TOKENS_SENTENCEPIECE) != (s->model != NULL))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, s->model ? "a model of tokens does nothing unless they are counted by sentencepiece"
		    : "tokens by sentencepiece need the file of a model");
	if (s->by == PL_TOKENS_BYTES)
		return PL_OK;
	c = calloc(1, sizeof(*c));
	if (!c)
		return pl_fail_nomem(err);
	c->by = s->by;
	if (s->by == PL_TOKENS_SENTENCEPIECE)
		st = load_model(c, s, err);
	if (st == PL_OK)
		*out = c;
	else
		pl_token_counter_free(c);
	return st;
}

void pl_token_counter_free(struct pl_token_counter *c)
{
	if (!c)
		return;
	if (c->spm)
		pl_spm_free(c->spm);
	free(c);
}

void pl_text_count(struct pl_text_counts *c, const char *s, size_t len)
{
	bool in_word = false;

	c->bytes += len;
	for (size_t i = 0; i < len;) {
		size_t n = pl_space_at(s + i, len - i);
		if (n == 0 && !in_word)
			c->words++;
		in_word = n == 0;
		if (n == 0)
			n = 1;
		if ((unsigned char)s[i] < 0x80)
			c->ascii++;
		else if (((unsigned char)s[i] & 0xC0) == 0xC0)
			c->others++;
		i += n;
	}
}

/* Where a long text is cut: before white space, or else a whole character. */
static size_t cut(const char *s, size_t len)
{
	size_t n = PIECE;

	if (len <= PIECE)
		return len;
	while (n > PIECE / 2 && s[n] != ' ' && s[n] != '\n')
		n--;
	if (n > PIECE / 2)
		return n;
	for (n = PIECE; n > PIECE - 4 && ((unsigned char)s[n] & 0xC0) == 0x80;)
		n--;
	return n;
}

enum pl_status pl_tokens_add(const struct pl_token_counter *c, struct pl_token_sum *sum, const char *s, size_t len, struct pl_err *err)
{
	if (!c || c->by != PL_TOKENS_SENTENCEPIECE) {
		pl_text_count(&sum->counts, s, len);
		return PL_OK;
	}
	for (size_t at = 0, n; at < len; at += n) {
		int64_t pieces;
		n = cut(s + at, len - at);
		pieces = pl_spm_count(c->spm, s + at, n);
		if (pieces < 0)
			return pl_fail(err, PL_ERR_NOMEM, PL_SEV_JOB, NULL, "libsentencepiece could not cut a text of %zu bytes", n);
		sum->pieces += (uint64_t)pieces;
	}
	return PL_OK;
}

uint64_t pl_tokens_total(const struct pl_token_counter *c, const struct pl_token_sum *sum)
{
	const struct pl_text_counts *n = &sum->counts;

	switch (c ? c->by : PL_TOKENS_BYTES) {
	case PL_TOKENS_SENTENCEPIECE: return sum->pieces;
	case PL_TOKENS_WORDS: return (4 * n->words + 2) / 3;
	case PL_TOKENS_BYTES: break;
	}
	return (n->ascii + 3) / 4 + (7 * n->others + 9) / 10;
}

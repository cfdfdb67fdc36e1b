/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers about a document's text: size, words, an estimate of its tokens, and
 * a hash that equal texts share whatever their case, width and spacing. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>
#include <xxhash.h>

#include "kinds.h"
#include "libpipe/base/hash.h"
#include "tokens.h"

/* Text is normalised in pieces of about this size, cut before an ASCII byte, where nothing composes
 * across. */
enum { PIECE = 16 << 10, PIECE_MAX = 1 << 20 };
/* So much normalised text is held; more goes into the hash at once (a code point can become eleven
 * times as long). */
enum { HELD = 64 << 10 };

/* The normalised text that is not hashed yet; a space is written only once something follows it. */
struct normal {
	struct pl_buf text;
	XXH3_state_t *hashed;   /* NULL: nothing yet */
	bool space;
	bool whole;             /* keep all of it in text, hash nothing */
};

static enum pl_status flush(struct normal *n, struct pl_err *err)
{
	if (n->whole || n->text.len < HELD)
		return PL_OK;
	if (n->hashed == NULL) {
		n->hashed = XXH3_createState();
		if (n->hashed == NULL)
			return pl_fail_nomem(err);
		XXH3_64bits_reset(n->hashed);
	}
	XXH3_64bits_update(n->hashed, n->text.data, n->text.len);
	pl_buf_clear(&n->text);
	return PL_OK;
}

static uint64_t finish(struct normal *n)
{
	if (n->hashed == NULL)
		return n->text.len > 0 ? pl_hash64(n->text.data, n->text.len) : 0;
	XXH3_64bits_update(n->hashed, n->text.data, n->text.len);
	return XXH3_64bits_digest(n->hashed);
}

static enum pl_status add_folded(struct normal *n, const char *s, size_t len, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0, run; i < len && st == PL_OK; i += run) {
		size_t white = pl_space_at(s + i, len - i);
		run = white;
		if (white > 0) {
			n->space = true;
			continue;
		}
		for (run = 1; i + run < len && pl_space_at(s + i + run, len - i - run) == 0;)
			run++;
		if (n->space && (n->text.len > 0 || n->hashed != NULL))
			st = pl_buf_add(&n->text, " ", 1, err);
		n->space = false;
		if (st == PL_OK)
			st = pl_buf_add(&n->text, s + i, run, err);
	}
	return st;
}

static bool is_ascii(const char *s, size_t len)
{
	unsigned char all = 0;

	for (size_t i = 0; i < len; i++)
		all |= (unsigned char)s[i];
	return all < 0x80;
}

static enum pl_status add_piece(struct normal *n, const char *s, size_t len, struct pl_err *err)
{
	const utf8proc_option_t how = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
	    UTF8PROC_CASEFOLD | UTF8PROC_IGNORE;
	char lower[PIECE];
	utf8proc_uint8_t *folded = NULL;
	utf8proc_ssize_t got;
	enum pl_status st;

	if (len <= sizeof(lower) && is_ascii(s, len)) {
		for (size_t i = 0; i < len; i++)
			lower[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] - 'A' + 'a' : s[i]);
		return add_folded(n, lower, len, err);
	}
	got = utf8proc_map((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)len, &folded, how);
	if (got == UTF8PROC_ERROR_NOMEM)
		return pl_fail_nomem(err);
	if (got < 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_ITEM, NULL,
		    "text cannot be normalised: %s", utf8proc_errmsg(got));
	st = add_folded(n, (const char *)folded, (size_t)got, err);
	free(folded);
	return st;
}

static size_t piece_length(const char *s, size_t len)
{
	size_t n = PIECE;

	if (len <= PIECE)
		return len;
	while (n < len && n < PIECE_MAX && (unsigned char)s[n] >= 0x80)
		n++;
	/* a megabyte without one ASCII byte: at least keep the code point whole */
	while (n < len && ((unsigned char)s[n] & 0xC0) == 0x80)
		n++;
	return n;
}

static enum pl_status add_normal(struct normal *n, const char *s, size_t len, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (size_t i = 0, piece; i < len && st == PL_OK; i += piece) {
		piece = piece_length(s + i, len - i);
		st = add_piece(n, s + i, piece, err);
		if (st == PL_OK)
			st = flush(n, err);
	}
	return st;
}

static uint32_t clamp(uint64_t x)
{
	return x > UINT32_MAX ? UINT32_MAX : (uint32_t)x;
}

enum pl_status pl_document_text_stats(const struct pl_document *d, struct pl_text_stats *out,
    struct pl_err *err)
{
	struct pl_token_sum c = {0};
	struct normal n = {.hashed = NULL};
	enum pl_status st = PL_OK;

	pl_buf_init(&n.text, 0);
	for (size_t i = 0; i < d->nsegments && st == PL_OK; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (s->is_image)
			continue;
		pl_text_count(&c.counts, s->text, s->text_len);
		n.space = true;   /* the line break between segments */
		st = add_normal(&n, s->text, s->text_len, err);
	}
	if (st == PL_OK) {
		out->bytes = c.counts.bytes;
		out->words = clamp(c.counts.words);
		out->tokens = clamp(pl_tokens_total(NULL, &c));
		out->hash = finish(&n);
	}
	pl_buf_release(&n.text);
	XXH3_freeState(n.hashed);
	return st;
}

enum pl_status pl_document_normal_text(const struct pl_document *d, struct pl_buf *out, struct pl_err *err)
{
	struct normal n = {.text = *out, .whole = true};
	enum pl_status st = PL_OK;

	pl_buf_clear(&n.text);
	for (size_t i = 0; i < d->nsegments && st == PL_OK; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (s->is_image)
			continue;
		n.space = true;
		st = add_normal(&n, s->text, s->text_len, err);
	}
	*out = n.text;
	return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One text with tokens: where images, turns and the sample begin and end. A
 * token in the words of a sample is broken up by a space behind its first
 * character, so that what is counted as a token is one. */
#include <string.h>

#include "stage_build.h"

enum { TOKENS_MAX = 11 };
struct flat {
	const struct pl_recipe_tokens *t;
	const char *list[TOKENS_MAX];   /* those that are set, but for the separator */
	size_t n;
	struct pl_buf text;
	uint64_t written;               /* tokens */
	uint64_t images;
	bool words;                     /* the last that was added are words */
	struct pl_err *err;
	enum pl_status st;
};

static void list_tokens(struct flat *f)
{
	const struct pl_recipe_tokens *t = f->t;
	const char *const all[TOKENS_MAX] = {t->begin, t->end, t->image, t->image_begin, t->image_end, t->end_of_chunk, t->system,
	    t->user, t->assistant, t->tool, t->end_of_turn};

	for (size_t i = 0; i < TOKENS_MAX; i++) {
		if (all[i] != NULL)
			f->list[f->n++] = all[i];
	}
}

/* Length of the longest token that stands at s, 0 = none. */
static size_t token_at(const struct flat *f, const char *s, size_t left)
{
	size_t best = 0;

	for (size_t i = 0; i < f->n; i++) {
		size_t n = strlen(f->list[i]);
		if (n > best && n <= left && s[0] == f->list[i][0] && memcmp(s, f->list[i], n) == 0)
			best = n;
	}
	return best;
}

static uint64_t count_in(const struct flat *f, const char *s, size_t len)
{
	uint64_t found = 0;

	for (size_t i = 0; i < len;) {
		size_t n = token_at(f, s + i, len - i);
		found += n > 0;
		i += n > 0 ? n : 1;
	}
	return found;
}

static void add(struct flat *f, const char *s, size_t len)
{
	if (f->st == PL_OK)
		f->st = pl_buf_add(&f->text, s, len, f->err);
}

static void add_token(struct flat *f, const char *token)
{
	if (token == NULL)
		return;
	add(f, token, strlen(token));
	f->written++;
	f->words = false;
}

/* Words, in which every token is broken up. */
static void add_words(struct flat *f, const char *s, size_t len)
{
	size_t from = 0;

	if (f->words)
		add(f, f->t->separator, strlen(f->t->separator));
	f->words = true;
	for (size_t i = 0; i < len; i++) {
		size_t step;
		if (token_at(f, s + i, len - i) == 0)
			continue;
		/* behind the whole first character, not only its first byte */
		for (step = 1; i + step < len && ((unsigned char)s[i + step] & 0xC0) == 0x80;)
			step++;
		add(f, s + from, i + step - from);
		add(f, " ", 1);
		from = i + step;
		i += step - 1;
	}
	add(f, s + from, len - from);
}

static const char *role_token(const struct pl_recipe_tokens *t, enum pl_role role)
{
	switch (role) {
	case PL_ROLE_SYSTEM: return t->system;
	case PL_ROLE_USER: return t->user;
	case PL_ROLE_ASSISTANT: return t->assistant;
	case PL_ROLE_TOOL: return t->tool;
	case PL_ROLE_NONE: break;
	}
	return NULL;
}

static void add_image(struct flat *f)
{
	f->images++;
	add_token(f, f->t->image_begin);
	add_token(f, f->t->image);
	add_token(f, f->t->image_end);
}

/* The segments of a branch. */
static void add_branch(struct flat *f, const struct pl_chosen *c, enum pl_branch branch)
{
	const struct pl_out_segment *before = NULL;

	for (size_t i = 0; i < c->n; i++) {
		const struct pl_out_segment *s = &c->s[i];
		bool turn;
		if (s->branch != branch)
			continue;
		turn = before == NULL || before->role != s->role || before->turn != s->turn;
		if (turn && before != NULL && before->role != PL_ROLE_NONE)
			add_token(f, f->t->end_of_turn);
		if (s->is_image && f->images > 0)
			add_token(f, f->t->end_of_chunk);   /* before the marker of a turn that the image opens */
		if (turn)
			add_token(f, role_token(f->t, s->role));
		if (s->is_image)
			add_image(f);
		else
			add_words(f, s->text, s->text_len);
		before = s;
	}
	if (before != NULL && before->role != PL_ROLE_NONE)
		add_token(f, f->t->end_of_turn);
}

static void add_end(struct flat *f)
{
	if (f->images > 0)
		add_token(f, f->t->end_of_chunk);
	add_token(f, f->t->end);
}

/* What was made becomes a member of the JSON, if it holds the tokens that were written and no others. */
static void take(struct flat *f, const char *name, struct pl_buf *out, enum pl_reason *reason)
{
	if (f->st == PL_OK && count_in(f, (const char *)f->text.data, f->text.len) != f->written)
		*reason = PL_REASON_MARKER_MISMATCH;
	if (f->st == PL_OK)
		f->st = pl_stage_json_text(out, name, (const char *)f->text.data, f->text.len, f->err);
	pl_buf_clear(&f->text);
	f->written = 0;
	f->words = false;
}

enum pl_status pl_stage_flat(const struct pl_recipe_tokens *t, const struct pl_stage_input *in, const struct pl_chosen *c,
    struct pl_buf *out, enum pl_reason *reason, struct pl_err *err)
{
	struct flat f = {.t = t, .err = err, .st = PL_OK};
	uint64_t images;

	pl_buf_init(&f.text, 0);
	list_tokens(&f);
	add_token(&f, t->begin);
	add_branch(&f, c, PL_BRANCH_SHARED);
	images = f.images;
	if (in->doc->kind != PL_KIND_PREFERENCE)
		add_end(&f);
	take(&f, "text", out, reason);
	for (int branch = PL_BRANCH_CHOSEN; in->doc->kind == PL_KIND_PREFERENCE && branch <= PL_BRANCH_REJECTED; branch++) {
		f.images = images;
		add_branch(&f, c, (enum pl_branch)branch);
		add_end(&f);
		take(&f, branch == PL_BRANCH_CHOSEN ? "text_chosen" : "text_rejected", out, reason);
	}
	pl_buf_release(&f.text);
	return f.st;
}

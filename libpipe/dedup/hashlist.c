/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of hashes, a line at a time: a list of millions costs no memory, and every
 * byte of it is foreign. */
#include "hashlist.h"

#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "libpipe/img/pdq.h"

const char pl_hashlist_head[] = "# hash: ";

enum {
	DIGITS = 64,
	LINE = 4096,              /* longest line with its end */
	QUALITY = 3               /* digits of the quality that `plait hash` prints between hash and name */
};

static enum pl_status bad_line(const char *path, uint64_t line, const char *what, struct pl_err *err)
{
	enum pl_status st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path,
	    "%s: a line of a list of hashes is %d hexadecimal digits, and behind them nothing, or blanks and a name", what, DIGITS);

	if (err)
		err->line = (uint32_t)line;
	return st;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(char *s)
{
	while (blank(*s))
		s++;
	return s;
}

/* What stands behind the digits and a blank. `plait hash` prints " QQQ NAME", right-aligned. */
static char *find_name(char *rest)
{
	char *name = skip_blanks(rest), *end = name + strlen(name);
	unsigned digits = 0;

	while (end > name && blank(end[-1]))
		*--end = '\0';
	while (digits < QUALITY && name[digits] >= '0' && name[digits] <= '9')
		digits++;
	if (digits > 0 && name + digits - rest == QUALITY + 1 && (blank(name[digits]) || name[digits] == '\0'))
		return skip_blanks(name + digits);
	return name;
}

/* A comment may say how the hashes were made; a list is of one recipe. */
static enum pl_status parse_comment(const char *text, const char *path, struct pl_hash_entry *e, struct pl_err *err)
{
	size_t head = strlen(pl_hashlist_head), len;
	enum pl_status st = PL_OK;
	int recipe = -1;

	if (strncmp(text, pl_hashlist_head, head) != 0)
		return PL_OK;
	text += head;
	len = strcspn(text, " \t");
	for (int i = 0; pl_hash_recipe_names[i]; i++) {
		if (strlen(pl_hash_recipe_names[i]) == len && strncmp(text, pl_hash_recipe_names[i], len) == 0)
			recipe = i;
	}
	if (recipe < 0)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "'%.*s' is no way that hashes are made here", (int)(len < 32 ? len : 32), text);
	else if (e->recipe >= 0 && recipe != e->recipe)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "its hashes are %s, a line before says %s: a list is of one kind",
		    pl_hash_recipe_names[recipe], pl_hash_recipe_names[e->recipe]);
	if (st != PL_OK && err)
		err->line = (uint32_t)e->line;
	e->recipe = recipe;
	return st;
}

/* text has no line end. *is: does the line hold a hash? */
static enum pl_status parse_line(char *text, const char *path, struct pl_hash_entry *e, bool *is, struct pl_err *err)
{
	uint8_t bits[PL_PDQ_BYTES];
	char hex[DIGITS + 1], after, *start = skip_blanks(text);
	size_t digits = strspn(start, "0123456789abcdefABCDEF");

	*is = false;
	if (*start == '#')
		return parse_comment(start, path, e, err);
	if (*start == '\0')
		return PL_OK;
	after = start[digits];
	if (digits != DIGITS || (after != '\0' && !blank(after))) {
		char what[64];
		if (after == '\0' || blank(after))
			snprintf(what, sizeof(what), "%zu hexadecimal digits", digits);
		else
			snprintf(what, sizeof(what), "no hexadecimal digit at character %zu", (size_t)(start - text) + digits + 1);
		return bad_line(path, e->line, what, err);
	}
	start[DIGITS] = '\0';
	if (!pl_pdq_parse(start, bits))
		return bad_line(path, e->line, "no hash", err);
	memcpy(e->pdq, bits, sizeof(e->pdq));
	pl_pdq_hex(bits, hex);
	start[DIGITS] = after;
	e->name = find_name(start + DIGITS);
	e->key = e->name[0] ? pl_hash64(e->name, strlen(e->name)) : pl_hash64(hex, DIGITS);
	*is = true;
	return PL_OK;
}

enum pl_status pl_hashlist_lines(FILE *f, const char *path, pl_hashlist_fn *fn, void *ctx, struct pl_err *err)
{
	struct pl_hash_entry e = {.name = "", .recipe = -1};
	char line[LINE];
	enum pl_status st = PL_OK;

	while (st == PL_OK && fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);
		bool is = false;
		e.line++;
		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		else if (!feof(f))
			return bad_line(path, e.line, "a zero byte, or more than 4094 characters", err);
		if (len > 0 && line[len - 1] == '\r')
			line[--len] = '\0';
		if (e.line >= UINT32_MAX)
			return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, path, "more than 2^32 - 2 lines");
		st = parse_line(line, path, &e, &is, err);
		if (st == PL_OK && is)
			st = fn(ctx, &e, err);
	}
	if (st == PL_OK && ferror(f))
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot read");
	return st;
}

enum pl_status pl_hashlist_read(const char *path, pl_hashlist_fn *fn, void *ctx, struct pl_err *err)
{
	FILE *f = fopen(path, "re");
	enum pl_status st;

	if (!f)
		return pl_fail_errno(err, PL_SEV_JOB, path, "cannot open");
	st = pl_hashlist_lines(f, path, fn, ctx, err);
	fclose(f);
	return st;
}

enum pl_status pl_hashlist_each(const struct pl_hashlist *l, pl_hashlist_fn *fn, void *ctx, struct pl_err *err)
{
	return pl_hashlist_read(l->corpus.dir, fn, ctx, err);
}

/* ---- open and close ---- */

struct digest { struct pl_hasher *h; uint64_t n; int recipe; };

static enum pl_status digest_entry(void *ctx, const struct pl_hash_entry *e, struct pl_err *err)
{
	struct digest *d = ctx;

	(void)err;
	pl_hasher_add(d->h, e->pdq, sizeof(e->pdq));
	pl_hasher_add(d->h, &e->line, sizeof(e->line));
	pl_hasher_add(d->h, e->name, strlen(e->name) + 1);
	d->n++;
	d->recipe = e->recipe;
	return PL_OK;
}

static enum pl_status check_recipe(const char *path, int said, int own, struct pl_err *err)
{
	if (said < 0 || own < 0 || said == own)
		return PL_OK;
	return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, path, "its hashes are said to be %s, and the list itself says %s", pl_hash_recipe_names[said],
	    pl_hash_recipe_names[own]);
}

enum pl_status pl_hashlist_open(struct pl_hashlist *l, const char *path, int said, enum pl_hash_recipe guess, struct pl_err *err)
{
	struct digest d = {.h = pl_hasher_new(), .recipe = -1};
	const char *slash = strrchr(path, '/');
	enum pl_status st;

	*l = (struct pl_hashlist){0};
	l->corpus.dir = strdup(path);
	l->shard.path = strdup(path);
	l->shard.unit = strdup("hashes");
	st = d.h && l->corpus.dir && l->shard.path && l->shard.unit ? pl_hashlist_read(path, digest_entry, &d, err) : pl_fail_nomem(err);
	if (st == PL_OK && d.n == 0)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, path, "this list of hashes holds none: an evaluation set without images guards nothing");
	if (st == PL_OK)
		st = check_recipe(path, said, d.recipe, err);
	if (st != PL_OK) {
		pl_hasher_free(d.h);
		pl_hashlist_close(l);
		return st;
	}
	pl_hasher_digest(d.h, l->corpus.digest);
	pl_hasher_free(d.h);
	l->corpus.source.name = slash ? l->corpus.dir + (slash - path) + 1 : l->corpus.dir;
	l->guessed = said < 0 && d.recipe < 0;
	l->corpus.source.hash = said >= 0 ? (enum pl_hash_recipe)said : d.recipe >= 0 ? (enum pl_hash_recipe)d.recipe : guess;
	l->shard.samples = l->shard.images = l->corpus.samples = l->corpus.images = d.n;
	l->corpus.shards = &l->shard;
	l->corpus.nshards = 1;
	return PL_OK;
}

void pl_hashlist_close(struct pl_hashlist *l)
{
	free(l->corpus.dir);
	free(l->shard.path);
	free(l->shard.unit);
	*l = (struct pl_hashlist){0};
}

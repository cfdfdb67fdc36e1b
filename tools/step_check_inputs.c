/* SPDX-License-Identifier: Apache-2.0 */
/* Preflight of what is read. The ranks share the files out, and each looks at a
 * few of everybody's, for what is mounted here may not be mounted there. */
#include "check.h"

#include "libpipe/corpus/records.h"
#include "libpipe/corpus/ingest.h"
#include "libpipe/corpus/language.h"
#include "libpipe/dedup/hashlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a source: a rank's share at most, and what every rank looks at; kinds are told from so many. */
enum { SHARE_MAX = 2000, EVERYBODY = 8, KINDS = 4, BLOCK = 512 };

static const char again[] = "copy it again, or leave it out with --keep-going";
static const char mend[] = "mend the path or its permissions; is the file system mounted on this host?";

struct sniffed { uint8_t first[BLOCK], last[BLOCK]; size_t got; uint64_t size; };

static bool begins(const struct sniffed *s, const char *magic, size_t n)
{
	return s->got >= n && memcmp(s->first, magic, n) == 0;
}

/* gzip, xz, bzip2: readable from the start only. */
static bool is_packed(const struct sniffed *s)
{
	return begins(s, "\x1f\x8b", 2) || begins(s, "\xfd" "7zXZ", 5) || begins(s, "BZh", 3);
}

static bool is_zstd(const struct sniffed *s)
{
	return begins(s, "\x28\xb5\x2f\xfd", 4) || (s->got >= 4 && (s->first[0] & 0xf0) == 0x50 && memcmp(s->first + 1, "\x2a\x4d\x18", 3) == 0);
}

/* A tar header says the sum of its bytes, its own field taken as blanks. */
static bool is_tar(const struct sniffed *s)
{
	unsigned long sum = 0, said = 0;

	if (s->got < BLOCK)
		return false;
	for (size_t i = 0; i < BLOCK; i++)
		sum += i >= 148 && i < 156 ? ' ' : s->first[i];
	for (size_t i = 148; i < 156 && (s->first[i] == ' ' || (s->first[i] >= '0' && s->first[i] <= '7')); i++)
		said = s->first[i] == ' ' ? said : said * 8 + (unsigned long)(s->first[i] - '0');
	return sum == said;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* false: a trouble was noted. */
static bool sniff(struct check *c, const char *path, enum check_level level, struct sniffed *s)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat sb;
	ssize_t first = -1;

	memset(s, 0, sizeof(*s));
	if (fd < 0 || fstat(fd, &sb) != 0) {
		check_note(c, level, "inputs", path, mend, "cannot be read: %s", strerror(errno));
	} else if (S_ISDIR(sb.st_mode)) {
		check_note(c, level, "inputs", path, "name the shards in it", "is a directory");
	} else if (S_ISREG(sb.st_mode) && sb.st_size == 0) {
		check_note(c, level, "inputs", path, again, "is empty");
	} else if (S_ISREG(sb.st_mode) && (first = pread(fd, s->first, BLOCK, 0)) <= 0) {
		check_note(c, level, "inputs", path, mend, "cannot be read: %s", strerror(errno));
	} else if (S_ISREG(sb.st_mode)) {
		s->got = (size_t)first;
		s->size = (uint64_t)sb.st_size;
		if (sb.st_size >= BLOCK && pread(fd, s->last, BLOCK, sb.st_size - BLOCK) != BLOCK)
			check_note(c, level, "inputs", path, mend, "cannot be read to its end: %s", strerror(errno));
	}
	if (fd >= 0)
		close(fd);
	return s->got > 0;
}

static void look_at_shard(struct check *c, const char *path, bool mine)
{
	enum check_level level = c->s->keep_going ? CHECK_WARNING : CHECK_ERROR;
	struct sniffed s;

	if (!sniff(c, path, level, &s))
		return;
	if (mine) {
		c->input_bytes += s.size;
		c->largest_input = s.size > c->largest_input ? s.size : c->largest_input;
	}
	c->packed_inputs = c->packed_inputs || is_packed(&s);
	if (is_packed(&s) || is_zstd(&s))
		return;
	if (pl_records_name(path)) {
		if (memchr(s.first, 0, s.got) != NULL)
			check_note(c, level, "inputs", path, again, "should be text by its name, and begins with bytes that are none");
	} else if (!is_tar(&s)) {
		check_note(c, level, "inputs", path, again, "is no shard: it begins with no header of a tar, gzip, zstd, xz or bzip2");
	} else if (s.size % BLOCK != 0 || !is_zero(s.last, BLOCK)) {
		check_note(c, CHECK_WARNING, "inputs", path, "copy it again if its size is not that of the original; what is whole in it will be used",
		    "ends without the end of a tar: cut off?");
	}
}

/* The share of this rank, and some of everybody's. */
static void look_at_shards(struct check *c, const struct pl_names *shards)
{
	size_t size = (size_t)pl_job_size(c->t->job), rank = (size_t)pl_job_rank(c->t->job), mine = shards->len / size + 1;
	size_t step = mine > SHARE_MAX ? mine / SHARE_MAX + 1 : 1, apart = shards->len / EVERYBODY + 1;
	uint64_t before = c->input_bytes;

	for (size_t i = rank; i < shards->len; i += size * step)
		look_at_shard(c, shards->items[i], true);
	c->input_bytes = before + (c->input_bytes - before) * step;
	for (size_t i = 0; i < shards->len && size > 1; i += apart)
		if (i % (size * step) != rank)
			look_at_shard(c, shards->items[i], false);
}

/* Rank 0: can the kind of a source be told? */
static void tell_kinds(struct check *c, const struct pl_names *shards, const struct pl_recipe_source *s)
{
	size_t apart = shards->len / KINDS + 1;
	enum pl_kind first = PL_KIND_AUTO, kind;

	if (s == NULL || s->kind != PL_KIND_AUTO || !tool_is_root(c->t))
		return;
	for (size_t i = 0; i < shards->len; i += apart) {
		struct pl_err err = { 0 };
		if (pl_detect_kind(shards->items[i], &kind, &err) != PL_OK) {
			/* What cannot be read at all has been told. */
			if (err.status == PL_ERR_INVALID)
				check_note_err(c, c->s->keep_going ? CHECK_WARNING : CHECK_ERROR, "inputs", shards->items[i], "give the source its kind", &err);
		} else if (first == PL_KIND_AUTO) {
			first = kind;
		} else if (kind != first) {
			check_note(c, CHECK_ERROR, "inputs", shards->items[i], "give the source its kind, or make two sources of it",
			    "looks like %s, other shards of source '%s' like %s", pl_kind_names[kind], s->name, pl_kind_names[first]);
			return;
		}
	}
}

/* The files that patterns name; a trouble leaves none. s: the source, NULL: an evaluation set. Collective. */
static enum pl_status look_at_patterns(struct check *c, const char *const *patterns, size_t n, const char *what, struct pl_names *names,
    struct pl_err *err)
{
	struct pl_err why = { 0 };
	enum pl_status st = tool_expand(c->t, patterns, n, names, &why);

	if (st == PL_ERR_STOPPED || st == PL_ERR_NOMEM) {
		*err = why;
		return st;
	}
	c->whole = true;
	if (st != PL_OK && tool_is_root(c->t))
		check_note_err(c, CHECK_ERROR, what, n > 0 ? patterns[0] : NULL, "mend the pattern, or the directory that the job is started in", &why);
	c->whole = false;
	if (st != PL_OK) {
		pl_names_release(names);
		pl_names_init(names);
	}
	c->input_files += names->len;
	return PL_OK;
}

static enum pl_status look_at_corpus(struct check *c, const char *const *patterns, size_t n, const struct pl_recipe_source *s, struct pl_err *err)
{
	struct pl_err why = { 0 };
	struct pl_names shards;
	enum pl_status st;

	pl_names_init(&shards);
	st = look_at_patterns(c, patterns, n, "inputs", &shards, err);
	if (st == PL_OK && c->s->what == CHECK_ALL)
		look_at_shards(c, &shards);
	c->whole = true;
	if (st == PL_OK && tool_is_root(c->t) && tool_check_stems(&shards, &why) != PL_OK)
		check_note_err(c, CHECK_ERROR, "inputs", n > 0 ? patterns[0] : NULL, "or make two sources of them", &why);
	if (st == PL_OK && c->s->what == CHECK_ALL)
		tell_kinds(c, &shards, s);
	c->whole = false;
	pl_names_release(&shards);
	return st;
}

/* ---- files beside the shards ---- */

static void look_at_file(struct check *c, const char *check, const char *path)
{
	struct stat sb;
	char byte;
	int fd;

	if (path == NULL)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &sb) != 0)
		check_note(c, CHECK_ERROR, check, path, mend, "cannot be read: %s", strerror(errno));
	else if (S_ISREG(sb.st_mode) && sb.st_size == 0)
		check_note(c, CHECK_ERROR, check, path, "make it again", "is empty");
	else if (S_ISREG(sb.st_mode) && read(fd, &byte, 1) != 1)
		check_note(c, CHECK_ERROR, check, path, mend, "cannot be read: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* Image tars, or a folder. */
static enum pl_status look_at_images(struct check *c, const char *images, struct pl_err *err)
{
	struct pl_names tars;
	struct stat sb;
	bool folder;
	enum pl_status st;

	if (images == NULL)
		return PL_OK;
	folder = pl_job_max(c->t->job, tool_is_root(c->t) && stat(images, &sb) == 0 && S_ISDIR(sb.st_mode)) != 0;
	if (folder && access(images, R_OK | X_OK) != 0)
		check_note(c, CHECK_ERROR, "inputs", images, mend, "cannot be read: %s", strerror(errno));
	if (folder)
		return PL_OK;
	pl_names_init(&tars);
	st = look_at_patterns(c, &images, 1, "inputs", &tars, err);
	if (st == PL_OK && c->s->what == CHECK_ALL)
		look_at_shards(c, &tars);
	pl_names_release(&tars);
	return st;
}

/* Do the files of scores have the columns that are wanted? */
static enum pl_status look_at_scores(struct check *c, const struct pl_recipe_source *s, struct pl_err *err)
{
	const struct pl_score_columns columns = { s->score_key != NULL ? s->score_key : "key", s->score_columns.items, s->score_columns.n };
	struct pl_names files;
	enum pl_status st;

	if (s->scores.n == 0)
		return PL_OK;
	pl_names_init(&files);
	st = look_at_patterns(c, s->scores.items, s->scores.n, "scores", &files, err);
	for (size_t i = 0; st == PL_OK && i < files.len && i < (c->s->what == CHECK_ALL ? SHARE_MAX : 1); i++) {
		struct pl_score_file *f = NULL;
		struct pl_err why = { 0 };
		if (pl_score_file_open(&f, files.items[i], &columns, &why) != PL_OK)
			check_note_err(c, CHECK_ERROR, "scores", files.items[i], "mend 'scores', 'score_columns' or 'score_key' of the recipe", &why);
		else
			pl_score_file_close(f);
	}
	pl_names_release(&files);
	return st;
}

static void look_at_model(struct check *c)
{
	struct pl_tokens_settings settings = c->s->recipe->tokenizer;
	struct pl_token_counter *counter = NULL;
	struct pl_err why = { 0 };

	/* Ingest reads it before anything else. */
	if (c->s->what != CHECK_ALL)
		return;
	if (pl_token_counter_new(&counter, &settings, &why) != PL_OK)
		check_note_err(c, CHECK_ERROR, "tokenizer", settings.model, "mend 'tokenizer' of the recipe, or put the model there", &why);
	pl_token_counter_free(counter);
}

static void look_at_hashes(struct check *c)
{
	const struct pl_recipe *r = c->s->recipe;

	for (size_t i = 0; i < r->dedup.against_hashes.n; i++)
		look_at_file(c, "dedup", r->dedup.against_hashes.items[i]);
	for (size_t i = 0; i < r->dedup.known.n; i++) {
		struct pl_corpus corpus = { 0 };
		struct pl_err why = { 0 };
		if (pl_corpus_open(&corpus, r->dedup.known.items[i], &why) != PL_OK)
			check_note_err(c, CHECK_ERROR, "dedup", r->dedup.known.items[i], "mend 'known' of the recipe", &why);
		else
			pl_corpus_close(&corpus);
	}
}

/* What a preset asks for that this machine may not have. */
static void look_for_languages(struct check *c)
{
	struct pl_language *l = NULL;
	struct pl_err why = { 0 };

	if (c->s->what != CHECK_ALL)
		return;
	if (pl_language_open(&l, NULL, &why) != PL_OK)
		check_note_err(c, CHECK_ERROR, "languages", NULL, "mend PLAIT_LANGUAGES", &why);
	else if (l == NULL)
		check_note(c, CHECK_WARNING, "languages", NULL, "install libexttextcat's data if a condition asks for languages",
		    "there are no fingerprints of languages: the column 'language' stays empty");
	pl_language_close(l);
}

static enum pl_status look_at_source(struct check *c, const struct pl_recipe_source *s, struct pl_err *err)
{
	enum pl_status st = look_at_corpus(c, s->shards.items, s->shards.n, s, err);

	if (st == PL_OK)
		st = look_at_images(c, s->images, err);
	if (st == PL_OK)
		st = look_at_scores(c, s, err);
	look_at_file(c, "inputs", s->answers);
	look_at_file(c, "concepts", s->concepts.entries);
	return st;
}

enum pl_status check_inputs(struct check *c, struct pl_err *err)
{
	const struct pl_recipe *r = c->s->recipe;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < r->nsources && st == PL_OK; i++)
		st = look_at_source(c, &r->sources[i], err);
	for (size_t i = 0; i < r->dedup.against.n && st == PL_OK; i++)
		st = look_at_corpus(c, &r->dedup.against.items[i], 1, NULL, err);
	look_at_model(c);
	look_at_hashes(c);
	look_for_languages(c);
	if (st == PL_OK) {
		pl_job_sum(c->t->job, &c->input_bytes, 1);
		c->largest_input = pl_job_max(c->t->job, c->largest_input);
		c->packed_inputs = pl_job_max(c->t->job, c->packed_inputs) != 0;
	}
	return st;
}

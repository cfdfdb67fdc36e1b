/* SPDX-License-Identifier: Apache-2.0 */
/* One shard from its stretches: rows are renumbered, and keys that come back in
 * another stretch are found, since nobody has seen all of them before. */
#include "ingest_parts.h"

#include "ingest_rows.h"
#include "key_set.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_ROWS 4096u

enum pl_status pl_ingest_facts(struct pl_shard_facts *f, const char *path, const struct pl_stretch *stretch, struct pl_err *err)
{
	struct stat sb;

	if (strcmp(path, "-") == 0) {
		f->unit = strdup("stdin");
	} else {
		if (stat(path, &sb) != 0)
			return pl_fail_errno(err, PL_SEV_SHARD, path, "cannot open");
		f->bytes = sb.st_size > 0 ? (uint64_t)sb.st_size : 0;
		f->mtime = sb.st_mtim.tv_sec > 0 ? (uint64_t)sb.st_mtim.tv_sec : 0;
		f->unit = stretch != NULL ? strdup(stretch->name) : pl_name_stem(path);
	}
	if (stretch != NULL)
		f->bytes = (stretch->to < f->bytes ? stretch->to : f->bytes) - (stretch->from < f->bytes ? stretch->from : f->bytes);
	f->path = strdup(path);
	if (f->path == NULL || f->unit == NULL)
		return pl_fail_nomem(err);
	if (f->unit[0] == '\0')
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_SHARD, path,
		    "a shard's name must not begin with a dot: what is before the first dot names its tables");
	return PL_OK;
}

void pl_ingest_remove_verdicts(const char *dir, const char *unit)
{
	static const char *const tables[] = { "filter", "filter-images", "dedup", "dedup-images", "scores" };
	size_t i;

	for (i = 0; i < PL_ARRAY_LEN(tables); i++) {
		char *path = pl_unit_table_path(dir, unit, tables[i]);

		if (path != NULL)
			unlink(path);
		free(path);
	}
}

struct join {
	struct pl_rows rows;
	struct pl_key_set keys;
	struct pl_account account;
	const struct pl_ingest_env *env;
};

static enum pl_status open_table(struct pl_npy *t, const char *dir, const char *unit, const char *what, size_t row_size, struct pl_err *err)
{
	char *path = pl_unit_table_path(dir, unit, what);
	enum pl_status st = path == NULL ? pl_fail_nomem(err) : pl_npy_open(t, path, err);

	if (st == PL_OK && t->row_size != row_size)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "is not the table of this stretch");
	free(path);
	return st;
}

static enum pl_status join_rows(struct join *j, const char *path, const struct pl_npy *samples, const struct pl_npy *images, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	uint64_t image = 0;
	bool seen;

	for (uint64_t i = 0; i < samples->nrows && st == PL_OK; i++) {
		const struct pl_sample_row *s = pl_npy_row(samples, i);
		if (s->first_image != image || s->images > images->nrows - image)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path, "the tables of a stretch do not fit each other");
		st = pl_key_set_add(&j->keys, s->key, &seen, err);
		if (st == PL_OK)
			st = pl_rows_copy(&j->rows, s, seen, s->images > 0 ? pl_npy_row(images, image) : NULL, err);
		image += s->images;
		if (st == PL_OK && i % POLL_ROWS == 0 && j->env->poll != NULL)
			st = j->env->poll(j->env->poll_ctx, err);
	}
	return st;
}

static enum pl_status join_stretch(struct join *j, const char *path, const char *from, const struct pl_shard_facts *f, struct pl_err *err)
{
	struct pl_npy samples = { 0 }, images = { 0 };
	enum pl_status st = open_table(&samples, from, f->unit, "samples", j->rows.row_size, err);

	if (st == PL_OK)
		st = open_table(&images, from, f->unit, "images", sizeof(struct pl_image_row), err);
	if (st == PL_OK)
		st = join_rows(j, path, &samples, &images, err);
	pl_npy_close(&samples);
	pl_npy_close(&images);
	return st;
}

enum pl_status pl_ingest_join(const char *path, const char *dir, const struct pl_source *source, const char *from,
    const struct pl_shard_facts *stretches, size_t n, const uint64_t hash[2], const struct pl_ingest_env *env, struct pl_account *account,
    struct pl_shard_facts *facts, struct pl_err *err)
{
	struct join j = { .env = env };
	enum pl_status st;

	memset(facts, 0, sizeof(*facts));
	st = pl_ingest_facts(facts, path, NULL, err);
	if (st == PL_OK)
		st = pl_rows_open(&j.rows, dir, facts->unit, source, &j.account, err);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		st = join_stretch(&j, path, from, &stretches[i], err);
		facts->not_regular += stretches[i].not_regular;
		facts->dunder += stretches[i].dunder;
		facts->no_key += stretches[i].no_key;
	}
	if (st == PL_OK) {
		memcpy(facts->hash, hash, sizeof(facts->hash));
		facts->samples = j.rows.next_sample;
		facts->images = j.rows.next_image;
		facts->kept = j.rows.kept;
		j.account.bytes_in = facts->bytes;
		pl_ingest_remove_verdicts(dir, facts->unit);
		st = pl_rows_commit(&j.rows, err);
	}
	if (st == PL_OK)
		pl_account_add(account, &j.account);
	pl_rows_release(&j.rows);
	pl_key_set_release(&j.keys);
	if (st != PL_OK)
		pl_shard_facts_release(facts);
	return st;
}

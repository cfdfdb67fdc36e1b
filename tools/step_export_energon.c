/* SPDX-License-Identifier: Apache-2.0 */
/* Energon's .nv-meta: what `energon prepare` would make of the tars, without
 * reading them again, and the same for the same data set: its UUID, too, comes
 * from the contents. */
#include "export.h"
#include "libpipe/base/hash.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The version whose layout this is. */
#define ENERGON_VERSION "7.4.1"

/* ---- rows ---- */

/* A line "KEY<tab>OFFSET<tab>LENGTH<tab>N", then N lines "SUFFIX<tab>OFFSET<tab>LENGTH". Neither keys nor suffixes hold tabs. */
enum pl_status export_energon_row(struct pl_buf *rows, const char *key, uint64_t offset, const struct shard_member *members, size_t n,
    uint64_t *next, struct pl_err *err)
{
	uint64_t at = offset, end = offset;
	enum pl_status st;

	for (size_t i = 0; i < n; i++)
		end += 512 + (members[i].len + 511) / 512 * 512;
	st = pl_buf_addf(rows, err, "%s\t%llu\t%llu\t%zu\n", key, (unsigned long long)offset, (unsigned long long)(end - offset), n);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		st = pl_buf_addf(rows, err, "%s\t%llu\t%zu\n", members[i].suffix, (unsigned long long)at + 512, members[i].len);
		at += 512 + (members[i].len + 511) / 512 * 512;
	}
	*next = end;
	return st;
}

struct index {
	sqlite3 *db;
	sqlite3_stmt *sample, *part;
	const char *path;
};

static enum pl_status failed(const struct index *x, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_IO, PL_SEV_JOB, x->path, "sqlite: %s", sqlite3_errmsg(x->db));
}

static enum pl_status run_sql(const struct index *x, const char *sql, struct pl_err *err)
{
	return sqlite3_exec(x->db, sql, NULL, NULL, NULL) == SQLITE_OK ? PL_OK : failed(x, err);
}

/* Bind numbers behind what is bound already, and step. */
static bool insert(sqlite3_stmt *s, int from, const uint64_t *numbers, int n)
{
	bool fine = true;

	for (int i = 0; i < n; i++)
		fine = fine && sqlite3_bind_int64(s, from + i, (sqlite3_int64)numbers[i]) == SQLITE_OK;
	fine = fine && sqlite3_step(s) == SQLITE_DONE;
	return sqlite3_reset(s) == SQLITE_OK && fine;
}

/* Up to three numbers behind the tabs of line; *text_len: of what stands before the first tab. */
static void split(const char *line, size_t *text_len, uint64_t numbers[3])
{
	const char *p = strchr(line, '\t');

	*text_len = p != NULL ? (size_t)(p - line) : strlen(line);
	for (int i = 0; i < 3 && p != NULL; i++) {
		char *end;
		numbers[i] = strtoull(p + 1, &end, 10);
		p = *end == '\t' ? end : NULL;
	}
}

static enum pl_status add_rows(const struct index *x, uint64_t tar, char *text, struct pl_err *err)
{
	uint64_t left = 0, index = 0;

	for (char *line = text, *end; *line != '\0'; line = end + 1) {
		uint64_t n[3] = { 0, 0, 0 };
		size_t len;
		bool fine;
		end = strchr(line, '\n');
		if (end == NULL)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, x->path, "the rows of tar %llu end too early: run with --force", (unsigned long long)tar);
		*end = '\0';
		split(line, &len, n);
		if (left == 0) {
			const uint64_t row[3] = { index++, n[0], n[1] };
			left = n[2];
			fine = sqlite3_bind_int64(x->sample, 1, (sqlite3_int64)tar) == SQLITE_OK &&
			    sqlite3_bind_text(x->sample, 2, line, (int)len, SQLITE_TRANSIENT) == SQLITE_OK && insert(x->sample, 3, row, 3);
		} else {
			const uint64_t key[2] = { tar, index - 1 };
			left--;
			fine = sqlite3_bind_int64(x->part, 1, (sqlite3_int64)key[0]) == SQLITE_OK &&
			    sqlite3_bind_int64(x->part, 2, (sqlite3_int64)key[1]) == SQLITE_OK &&
			    sqlite3_bind_text(x->part, 3, line, (int)len, SQLITE_TRANSIENT) == SQLITE_OK && insert(x->part, 4, n, 2);
		}
		if (!fine && sqlite3_extended_errcode(x->db) == SQLITE_CONSTRAINT_UNIQUE)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, x->path, "key '%s' stands in two samples, which Energon does not allow", line);
		if (!fine)
			return failed(x, err);
	}
	return PL_OK;
}

static enum pl_status add_unit(struct export *x, const struct index *index, const json_t *unit, uint64_t tar, struct pl_err *err)
{
	const char *name = json_string_value(json_array_get(json_object_get(unit, "files"), 0));
	char *stem = pl_name_stem(name), *text = NULL;
	struct pl_buf path;
	size_t len;
	enum pl_status st;

	pl_buf_init(&path, 0);
	st = stem != NULL ? pl_buf_addf(&path, err, "%s/.plait/%s.rows", x->step->dir, stem) : pl_fail_nomem(err);
	if (st == PL_OK)
		st = pl_file_read((char *)path.data, (size_t)8 << 30, &text, &len, err);
	if (st == PL_OK)
		st = add_rows(index, tar, text, err);
	free(text);
	free(stem);
	pl_buf_release(&path);
	return st;
}

static const char *const schema =
    "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN;"
    "CREATE TABLE samples (tar_file_id INTEGER NOT NULL, sample_key TEXT NOT NULL UNIQUE, sample_index INTEGER NOT NULL,"
    " byte_offset INTEGER, byte_size INTEGER);"
    "CREATE TABLE sample_parts (tar_file_id INTEGER, sample_index INTEGER, part_name TEXT, content_byte_offset INTEGER,"
    " content_byte_size INTEGER);";
static const char *const indexes =
    "CREATE INDEX idx_samples_by_tar_and_idx ON samples(tar_file_id, sample_index);"
    "CREATE INDEX idx_sample_parts_seq ON sample_parts(tar_file_id, sample_index, content_byte_offset);"
    "CREATE INDEX idx_sample_parts_full ON sample_parts(tar_file_id, sample_index, part_name, content_byte_offset, content_byte_size);"
    "COMMIT;";

static enum pl_status fill_index(struct export *x, struct index *index, const json_t *units, struct pl_err *err)
{
	json_t *unit;
	size_t i;
	enum pl_status st = run_sql(index, schema, err);

	if (st == PL_OK && (sqlite3_prepare_v2(index->db, "INSERT INTO samples VALUES (?,?,?,?,?)", -1, &index->sample, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(index->db, "INSERT INTO sample_parts VALUES (?,?,?,?,?)", -1, &index->part, NULL) != SQLITE_OK))
		st = failed(index, err);
	json_array_foreach(units, i, unit) {
		if (st == PL_OK)
			st = add_unit(x, index, unit, i, err);
		if (st == PL_OK)
			st = tool_poll(x->tool, err);
	}
	(void)sqlite3_finalize(index->sample);
	(void)sqlite3_finalize(index->part);
	return st == PL_OK ? run_sql(index, indexes, err) : st;
}

/* Durable, then under its name: SQLite writes it, so it cannot be written by pl_outfile. */
static enum pl_status publish(const char *tmp, const char *path, struct pl_err *err)
{
	int fd = open(tmp, O_RDONLY | O_CLOEXEC);
	bool fine = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	if (!fine || rename(tmp, path) != 0)
		return pl_fail_errno(err, PL_SEV_JOB, path, "cannot be written");
	return PL_OK;
}

static enum pl_status write_index(struct export *x, const json_t *units, struct pl_err *err)
{
	char *path = pl_path_join(x->step->dir, ".nv-meta/index.sqlite"), *tmp = pl_path_join(x->step->dir, ".nv-meta/.tmp-index.sqlite");
	struct index index = { .path = path };
	enum pl_status st = PL_OK;

	if (path == NULL || tmp == NULL) {
		free(path);
		free(tmp);
		return pl_fail_nomem(err);
	}
	(void)unlink(tmp);
	if (sqlite3_open_v2(tmp, &index.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
		st = index.db != NULL ? failed(&index, err) : pl_fail_nomem(err);
	if (st == PL_OK)
		st = fill_index(x, &index, units, err);
	if (sqlite3_close(index.db) != SQLITE_OK && st == PL_OK)
		st = pl_fail(err, PL_ERR_IO, PL_SEV_JOB, path, "sqlite cannot close it");
	if (st == PL_OK)
		st = publish(tmp, path, err);
	if (st == PL_OK)
		st = tool_announce(x->tool, path, err);
	else
		(void)unlink(tmp);
	free(path);
	free(tmp);
	return st;
}

/* ---- the other files ---- */

static const char *const loader =
    "# Written by plait: texts and pictures of a sample in their order.\n"
    "\n\n"
    "def sample_loader(raw: dict) -> dict:\n"
    "    lists = raw[\"json\"]\n"
    "    pairs = zip(lists[\"images\"], lists[\"texts\"])\n"
    "    return dict(\n"
    "        __key__=raw[\"__key__\"],\n"
    "        sequence=[raw[image] if text is None else text for image, text in pairs],\n"
    "    )\n"
    "\n\n"
    "def part_filter(part: str) -> bool:\n"
    "    return part != \"document.json\"\n";

static const char *const dataset_yaml[] = {
	[EXPORT_CRUDE] = "__module__: megatron.energon\n__class__: CrudeWebdataset\n",
	[EXPORT_INTERLEAVED] = "sample_type:\n  __module__: megatron.energon\n  __class__: InterleavedSample\n"
	                       "part_filter: sample_loader.py:part_filter\nsample_loader: sample_loader.py:sample_loader\n",
	[EXPORT_CAPTIONING] = "sample_type:\n  __module__: megatron.energon\n  __class__: CaptioningSample\n"
	                      "field_map:\n  image: webp,jpg,png\n  caption: txt\n",
};

static enum pl_status write_text(struct export *x, const char *name, const char *text, struct pl_err *err)
{
	return export_write(x, name, text, strlen(text), err);
}

/* split.yaml: all in train, in the order of .info.json, which names how many samples each tar has. */
static enum pl_status write_lists(struct export *x, const json_t *units, struct pl_err *err)
{
	struct pl_buf info, splits;
	json_t *unit;
	size_t i;
	enum pl_status st;

	pl_buf_init(&info, 0);
	pl_buf_init(&splits, 0);
	st = pl_buf_adds(&info, "{\n  \"energon_version\": \"" ENERGON_VERSION "\",\n  \"shard_counts\": {", err);
	if (st == PL_OK)
		st = pl_buf_adds(&splits, "exclude: []\nsplit_parts:\n  train:\n", err);
	json_array_foreach(units, i, unit) {
		const char *name = json_string_value(json_array_get(json_object_get(unit, "files"), 0));
		if (st == PL_OK)
			st = pl_buf_addf(&info, err, "%s\n    \"%s\": %.0f", i > 0 ? "," : "", name, pl_json_num(unit, "samples", 0));
		if (st == PL_OK && pl_json_num(unit, "samples", 0) > 0)
			st = pl_buf_addf(&splits, err, "  - \"%s\"\n", name);
	}
	if (st == PL_OK)
		st = pl_buf_adds(&info, "\n  }\n}\n", err);
	if (st == PL_OK)
		st = pl_buf_adds(&splits, "  val: []\n  test: []\n", err);
	if (st == PL_OK)
		st = export_write(x, ".nv-meta/split.yaml", splits.data, splits.len, err);
	if (st == PL_OK)
		st = export_write(x, ".nv-meta/.info.json", info.data, info.len, err);
	pl_buf_release(&info);
	pl_buf_release(&splits);
	return st;
}

/* A UUID of version 8: the hash of what decides the tars. */
static enum pl_status write_uuid(struct export *x, struct pl_err *err)
{
	struct pl_buf b;
	char hex[33], text[40];
	uint64_t hash[2];
	json_t *shard;
	size_t i;
	enum pl_status st;

	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "%s %d\n", PL_VERSION, (int)x->step->sample_type);
	json_array_foreach(x->shards, i, shard) {
		if (st == PL_OK)
			st = pl_buf_addf(&b, err, "%s %s\n", pl_json_str(shard, "name"), pl_json_str(shard, "xxh3_128"));
	}
	if (st == PL_OK) {
		pl_hash128(b.data, b.len, hash);
		hash[1] = (hash[1] & ~(uint64_t)0xf000) | 0x8000;
		hash[0] = (hash[0] & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62;
		pl_hash128_hex(hash, hex);
		snprintf(text, sizeof(text), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
		st = write_text(x, ".nv-meta/index.uuid", text, err);
	}
	pl_buf_release(&b);
	return st;
}

enum pl_status export_energon_finish(struct export *x, const json_t *units, struct pl_err *err)
{
	char *dir = pl_path_join(x->step->dir, ".nv-meta");
	enum pl_status st = dir != NULL ? pl_mkdirs(dir, err) : pl_fail_nomem(err);

	free(dir);
	if (st == PL_OK)
		st = write_index(x, units, err);
	if (st == PL_OK)
		st = write_uuid(x, err);
	if (st == PL_OK)
		st = write_text(x, ".nv-meta/dataset.yaml", dataset_yaml[x->step->sample_type], err);
	if (st == PL_OK && x->step->sample_type == EXPORT_INTERLEAVED)
		st = write_text(x, ".nv-meta/sample_loader.py", loader, err);
	return st == PL_OK ? write_lists(x, units, err) : st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a rerun cheap: content records of finished units, in DIR/.plait. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "hash.h"
#include "opt.h"

#define RECORD_MAX ((size_t)64 << 20)

/* malloc'ed DIR/.plait/UNIT.json */
static enum pl_status record_path(const struct pl_record *r, char **path, struct pl_err *err)
{
	struct pl_buf b;
	enum pl_status st;

	if (r->unit[0] == '\0' || strchr(r->unit, '/') != NULL)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, r->dir,
		    "'%s' cannot name a record", r->unit);
	pl_buf_init(&b, 0);
	st = pl_buf_addf(&b, err, "%s/.plait/%s.json", r->dir[0] != '\0' ? r->dir : ".", r->unit);
	if (st != PL_OK) {
		pl_buf_release(&b);
		return st;
	}
	*path = pl_buf_detach(&b, NULL);
	return PL_OK;
}

/* Is the output there with the size the record gives? Only the absence of a
 * file is an answer; a file system in trouble is an error. */
static enum pl_status output_there(
    const char *dir, const json_t *output, bool *there, struct pl_err *err)
{
	const json_t *bytes = json_object_get(output, "bytes");
	const char *name = json_string_value(json_object_get(output, "name"));
	struct stat sb;
	char *path;
	int rc, code;

	*there = false;
	if (name == NULL || !json_is_integer(bytes))
		return PL_OK;
	path = pl_path_join(dir, name);
	if (path == NULL)
		return pl_fail_nomem(err);
	rc = stat(path, &sb);
	code = errno;
	free(path);
	if (rc == 0) {
		*there = S_ISREG(sb.st_mode) && sb.st_size == json_integer_value(bytes);
		return PL_OK;
	}
	if (code == ENOENT || code == ENOTDIR)
		return PL_OK;
	errno = code;
	return pl_fail_errno(err, PL_SEV_SHARD, dir, "cannot look at output '%s'", name);
}

static enum pl_status record_compare(const struct pl_record *r, const json_t *root, bool *done,
    struct pl_err *err)
{
	const char *digest = json_string_value(json_object_get(root, "digest"));
	const json_t *outputs = json_object_get(root, "outputs");
	enum pl_status st;
	char hex[33];
	size_t i;

	*done = false;
	pl_hash128_hex(r->digest, hex);
	if (digest == NULL || strcmp(digest, hex) != 0 || !json_is_array(outputs))
		return PL_OK;
	for (i = 0; i < json_array_size(outputs); i++) {
		bool there;

		st = output_there(r->dir, json_array_get(outputs, i), &there, err);
		if (st != PL_OK || !there)
			return st;
	}
	*done = true;
	return PL_OK;
}

enum pl_status pl_record_check(
    const struct pl_record *r, bool *done, char **payload, struct pl_err *err)
{
	char *path = NULL, *text = NULL, *kept = NULL;
	json_t *root = NULL, *value;
	enum pl_status st;
	struct pl_err local;
	size_t len;

	*done = false;
	if (payload != NULL)
		*payload = NULL;
	st = record_path(r, &path, err);
	if (st != PL_OK)
		return st;
	st = pl_file_read(path, RECORD_MAX, &text, &len, &local);
	if (st != PL_OK) {
		if (st == PL_ERR_NOTFOUND || st == PL_ERR_LIMIT)
			st = PL_OK;
		else if (err != NULL)
			*err = local;
		goto out;
	}
	/* A record that does not parse is not ours, or of another version: make the unit again. */
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	if (root == NULL)
		goto out;
	st = record_compare(r, root, done, err);
	value = json_object_get(root, "payload");
	if (st != PL_OK || !*done || payload == NULL || value == NULL || json_is_null(value))
		goto out;
	kept = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
	if (kept == NULL) {
		*done = false;
		st = pl_fail_nomem(err);
	}
	*payload = kept;
out:
	json_decref(root);
	free(text);
	free(path);
	return st;
}

static enum pl_status record_outputs(const struct pl_record *r, const char *const *outputs,
    size_t n, json_t *list, struct pl_err *err)
{
	struct stat sb;
	size_t i;

	for (i = 0; i < n; i++) {
		char *path = pl_path_join(r->dir, outputs[i]);
		enum pl_status st = PL_OK;

		if (path == NULL)
			return pl_fail_nomem(err);
		if (stat(path, &sb) != 0)
			st = pl_fail_errno(
			    err, PL_SEV_SHARD, path, "cannot look at a finished output");
		free(path);
		if (st != PL_OK)
			return st;
		if (json_array_append_new(list, json_pack("{s:s, s:I}", "name", outputs[i], "bytes",
		    (json_int_t)sb.st_size)) != 0)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, r->dir,
			    "'%s' cannot go into a record: not UTF-8, or out of memory",
			    outputs[i]);
	}
	return PL_OK;
}

/* Steals nothing; *value is new. */
static enum pl_status parse_payload(
    const char *payload, const char *path, json_t **value, struct pl_err *err)
{
	json_error_t why;

	*value = payload != NULL ?
	    json_loads(payload, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &why) : json_null();
	if (*value == NULL)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
		    "the record's payload is not JSON: %s", why.text);
	return PL_OK;
}

enum pl_status pl_record_forget(const struct pl_record *r, struct pl_err *err)
{
	char *path = NULL, *slash;
	enum pl_status st = record_path(r, &path, err);
	int fd;

	if (st != PL_OK)
		return st;
	if (unlink(path) != 0) {
		if (errno != ENOENT && errno != ENOTDIR)
			st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot remove the record");
		free(path);
		return st;
	}
	slash = strrchr(path, '/');
	*slash = '\0';
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot sync the directory");
	if (fd >= 0)
		close(fd);
	free(path);
	return st;
}

enum pl_status pl_record_write(const struct pl_record *r, const char *const *outputs, size_t n,
    const char *payload, struct pl_err *err)
{
	char *path = NULL, *dir = NULL, *text = NULL, hex[33];
	json_t *root = NULL, *list = json_array(), *value = NULL;
	enum pl_status st;

	st = record_path(r, &path, err);
	if (st == PL_OK)
		st = parse_payload(payload, path, &value, err);
	if (st == PL_OK && list != NULL)
		st = record_outputs(r, outputs, n, list, err);
	if (st != PL_OK)
		goto out;
	pl_hash128_hex(r->digest, hex);
	root = json_pack("{s:s, s:s, s:s, s:O, s:O}", "plait", PL_VERSION, "unit", r->unit,
	    "digest", hex, "outputs", list, "payload", value);
	text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
	dir = pl_path_join(r->dir[0] != '\0' ? r->dir : ".", ".plait");
	if (root == NULL || text == NULL || dir == NULL) {
		st = pl_fail_nomem(err);
		goto out;
	}
	/* Made once, and then only looked at: a call for each part of a path is dear on a network file system. */
	st = access(dir, F_OK) == 0 ? PL_OK : pl_mkdirs(dir, err);
	if (st == PL_OK)
		st = pl_file_write_soon(path, text, strlen(text), err);
out:
	json_decref(root);
	json_decref(list);
	json_decref(value);
	free(text);
	free(dir);
	free(path);
	return st;
}

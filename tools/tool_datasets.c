/* SPDX-License-Identifier: Apache-2.0 */
/* Directories that are data sets stand for their shards; see tool.h. */
#include "tool.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define INDEX_MAX ((size_t)1 << 30)

/* What stands in an index goes no further than its directory. */
static bool proper(const char *name)
{
	const char *dots = name != NULL ? strstr(name, "..") : NULL;

	return name != NULL && name[0] != '\0' && name[0] != '/' && dots == NULL;
}

/* The name of a shard in MosaicML's index, or in plait's; NULL: it has none. */
static const char *name_of(const json_t *shard, bool mds)
{
	const json_t *zip = json_object_get(shard, "zip_data");

	if (!mds)
		return pl_json_str(shard, "name");
	return pl_json_str(json_is_object(zip) ? zip : json_object_get(shard, "raw_data"), "basename");
}

static enum pl_status add_shards(struct pl_names *out, const char *dir, const char *index, const json_t *j, bool mds, struct pl_err *err)
{
	json_t *shard;
	size_t i;

	json_array_foreach(json_object_get(j, "shards"), i, shard) {
		const char *name = name_of(shard, mds), *format = pl_json_str(shard, "format");
		char *path;
		enum pl_status st;
		if (mds && (pl_json_num(shard, "version", 0) != 2 || format == NULL || strcmp(format, "mds") != 0))
			return pl_fail(err, PL_ERR_UNSUPPORTED, PL_SEV_JOB, index, "shard %zu is not of format mds, version 2", i);
		if (!proper(name))
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, index, "shard %zu has no proper name", i);
		path = pl_path_join(dir, name);
		st = path != NULL ? pl_names_add(out, path, err) : pl_fail_nomem(err);
		free(path);
		if (st != PL_OK)
			return st;
	}
	return PL_OK;
}

/* *found: dir has this index. */
static enum pl_status try_index(struct pl_names *out, const char *dir, const char *name, bool mds, bool *found, struct pl_err *err)
{
	char *index = pl_path_join(dir, name);
	json_t *j = NULL;
	struct stat sb;
	enum pl_status st = index != NULL ? PL_OK : pl_fail_nomem(err);

	if (st == PL_OK && stat(index, &sb) == 0) {
		*found = true;
		st = pl_json_load(index, INDEX_MAX, &j, err);
		if (st == PL_OK && !json_is_array(json_object_get(j, "shards")))
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, index, "lists no shards");
		if (st == PL_OK)
			st = add_shards(out, dir, index, j, mds, err);
	}
	json_decref(j);
	free(index);
	return st;
}

enum pl_status tool_open_datasets(struct pl_names *names, struct pl_err *err)
{
	struct pl_names out;
	enum pl_status st = PL_OK;
	struct stat sb;

	pl_names_init(&out);
	for (size_t i = 0; i < names->len && st == PL_OK; i++) {
		bool found = false;
		if (stat(names->items[i], &sb) == 0 && S_ISDIR(sb.st_mode)) {
			st = try_index(&out, names->items[i], "dataset.json", false, &found, err);
			if (st == PL_OK && !found)
				st = try_index(&out, names->items[i], "index.json", true, &found, err);
		}
		if (st == PL_OK && !found)
			st = pl_names_add(&out, names->items[i], err);
	}
	pl_names_release(st == PL_OK ? names : &out);
	if (st == PL_OK)
		*names = out;
	return st;
}

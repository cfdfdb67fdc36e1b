/* SPDX-License-Identifier: Apache-2.0 */
/* plait-cat: the bytes of one part of a sample, by key or number. */
#include "libpipe/base/file.h"
#include "serial.h"

static struct pl_common common;
static const char *key, *part, *extract;
static int64_t number = -1;

static const struct pl_opt options[] = {
	{ 'k', "key", PL_OPT_STR, &key, "KEY", "the sample with this key", 0, 0, NULL },
	{ 'n', "number", PL_OPT_INT, &number, "N", "the sample with this number, from 0", 0, 9e18, NULL },
	{ 'p', "part", PL_OPT_STR, &part, "SUFFIX", "the part with this suffix; default: json, else txt, else the only part", 0, 0, NULL },
	{ 'x', "extract", PL_OPT_STR, &extract, "DIR", "write all parts into DIR instead", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-cat",
	.summary = "print one part of a sample",
	.synopsis = "SHARD --key KEY | --number N",
	.description =
	    "Finds one sample by key or number and writes one of its parts to standard output as it is, or all of them into a folder. In "
	    "plait's own shards one frame is decompressed and nothing else is read; -v tells how many bytes of the file were.",
	.examples = "plait cat out/demo/000000.tar.zst -n 3 | jq .\nplait cat out/demo/000000.tar.zst -n 3 -p 0.webp > picture.webp",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE,
};

static const struct shard_part *find(const struct shard_sample *s, const char *suffix)
{
	for (size_t i = 0; i < s->nparts; i++)
		if (strcmp(s->parts[i].suffix, suffix) == 0)
			return &s->parts[i];
	return NULL;
}

static enum pl_status extract_all(const struct shard_sample *s, struct pl_err *err)
{
	enum pl_status st = pl_mkdirs(extract, err);

	for (size_t i = 0; i < s->nparts && st == PL_OK; i++) {
		const char *base = strrchr(s->parts[i].name, '/');
		char *path = pl_path_join(extract, base != NULL ? base + 1 : s->parts[i].name);
		if (path == NULL)
			return pl_fail_nomem(err);
		st = pl_file_write(path, s->parts[i].data, s->parts[i].len, err);
		if (st == PL_OK)
			st = serial_write_text(path, strlen(path), err);
		if (st == PL_OK)
			st = serial_write("\n", 1, err);
		free(path);
	}
	return st;
}

static enum pl_status print(void *ctx, const char *path, const struct shard_sample *s, struct pl_err *err)
{
	const struct shard_part *p = part != NULL ? find(s, part) : find(s, "json");

	(void)ctx;
	if (extract != NULL)
		return extract_all(s, err);
	if (p == NULL && part == NULL)
		p = find(s, "txt");
	if (p == NULL && part == NULL && s->nparts == 1)
		p = &s->parts[0];
	if (p == NULL)
		return pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, path, "sample '%s' has no part '%s'; plait ls -l shows its parts", s->key,
		    part != NULL ? part : "json");
	if (p->data == NULL)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, path, "part '%s' of '%s' is cut off or too large", p->suffix, s->key);
	return serial_write(p->data, p->len, err);
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	struct serial_pick pick = { key, number, -1 };
	uint64_t io = 0;
	enum pl_status st;

	if (argc != 1)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "one SHARD is wanted, %d operands were given", argc);
	if ((key != NULL) == (number >= 0))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "give --key KEY or --number N, one of them");
	st = serial_samples(argv[0], &pick, print, NULL, &io, err);
	if (st == PL_OK && io > 0)
		pl_log(PL_LOG_DEBUG, "'%s': %llu bytes read", argv[0], (unsigned long long)io);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}

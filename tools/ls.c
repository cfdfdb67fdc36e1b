/* SPDX-License-Identifier: Apache-2.0 */
/* plait-ls: the samples of shards, one a line. */
#include "serial.h"

static struct pl_common common;
static bool details, names;
static int64_t head = -1;

static const struct pl_opt options[] = {
	{ 'l', "long", PL_OPT_FLAG, &details, NULL, "number, offset, bytes, parts and key", 0, 0, NULL },
	{ 'H', "with-shard", PL_OPT_FLAG, &names, NULL, "put the shard's name first", 0, 0, NULL },
	{ 'n', "head", PL_OPT_INT, &head, "N", "only the first N samples of each shard", 0, 9e18, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-ls",
	.summary = "list the samples of shards",
	.synopsis = "SHARD...",
	.description = "Prints the key of every sample, by the WebDataset rule, of any tar shard; - is standard input.",
	.examples = "plait ls out/demo/000000.tar.zst\nzstd -dc shard.tar.zst | plait ls -l -",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE,
};

static enum pl_status list(void *ctx, const char *path, const struct shard_sample *s, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	(void)ctx;
	if (names && printf("%s\t", path) < 0)
		return pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	if (details && printf("%llu\t%llu\t%llu\t%zu\t", (unsigned long long)s->index, (unsigned long long)s->offset,
	    (unsigned long long)s->length, s->nparts) < 0)
		return pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	st = serial_write_text(s->key, strlen(s->key), err);
	for (size_t i = 0; i < s->nparts && details && st == PL_OK; i++) {
		st = serial_write(i == 0 ? "\t" : " ", 1, err);
		if (st == PL_OK)
			st = serial_write_text(s->parts[i].suffix, strlen(s->parts[i].suffix), err);
	}
	return st == PL_OK ? serial_write("\n", 1, err) : st;
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	struct serial_pick pick = { NULL, -1, head };
	enum pl_status st = PL_OK;

	if (argc == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no SHARD is given (- is standard input)");
	for (int i = 0; i < argc && st == PL_OK; i++)
		st = serial_samples(argv[i], &pick, list, NULL, NULL, err);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}

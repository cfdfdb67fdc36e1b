/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of the serial tools; see serial.h. */
#include "serial.h"

#include <signal.h>

int serial_main(const struct pl_tool *tool, int argc, char **argv, enum pl_status (*run)(int argc, char **argv, struct pl_err *err))
{
	struct pl_err err = { 0 };
	enum pl_opt_outcome outcome = PL_OPT_RUN;
	int first = 0;
	enum pl_status st;

	/* A file size limit is a failed write, with a message. */
	signal(SIGXFSZ, SIG_IGN);
	pl_json_know_starvation();
	pl_log_setup(tool->name, -1, PL_LOG_INFO);
	st = pl_opt_parse(tool, argc, argv, &first, &outcome, &err);
	if (st == PL_OK && outcome == PL_OPT_EXIT)
		return 0;
	if (st == PL_OK && tool->common->verbose > 0)
		pl_log_setup(tool->name, -1, PL_LOG_DEBUG);
	if (st == PL_OK && tool->common->quiet > 0)
		pl_log_setup(tool->name, -1, PL_LOG_ERROR);
	if (st == PL_OK)
		st = run(argc - first, argv + first, &err);
	if (fclose(stdout) != 0 && st == PL_OK)
		st = pl_fail_errno(&err, PL_SEV_JOB, "standard output", "cannot write");
	pl_log_flush();
	if (st != PL_OK)
		pl_log_err(PL_LOG_ERROR, &err);
	return pl_exit_code(st);
}

enum pl_status serial_write(const void *data, size_t len, struct pl_err *err)
{
	if (len > 0 && fwrite(data, 1, len, stdout) != len)
		return pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	return PL_OK;
}

enum pl_status serial_write_text(const char *text, size_t len, struct pl_err *err)
{
	size_t from = 0;
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < len && st == PL_OK; i++) {
		unsigned char c = (unsigned char)text[i];
		char shown[8];
		if ((c >= 0x20 && c != 0x7f) || c == '\n' || c == '\t')
			continue;
		snprintf(shown, sizeof(shown), "\\x%02x", c);
		st = serial_write(text + from, i - from, err);
		if (st == PL_OK)
			st = serial_write(shown, strlen(shown), err);
		from = i + 1;
	}
	return st == PL_OK ? serial_write(text + from, len - from, err) : st;
}

static bool seekable(const char *path)
{
	size_t n = strlen(path);

	return strcmp(path, "-") != 0 && ((n > 4 && strcmp(path + n - 4, ".tar") == 0) || (n > 4 && strcmp(path + n - 4, ".zst") == 0));
}

static enum pl_status one(const char *path, const struct serial_pick *pick,
    enum pl_status (*fn)(void *, const char *, const struct shard_sample *, struct pl_err *), void *ctx, uint64_t *io, struct pl_err *err)
{
	struct shard *shard = NULL;
	struct shard_sample s;
	uint64_t i = pick->number >= 0 ? (uint64_t)pick->number : 0;
	enum pl_status st = shard_open(&shard, path, err);

	if (st != PL_OK)
		return st;
	if (pick->key != NULL)
		st = shard_find(shard, pick->key, &i, err);
	else if (i >= shard_count(shard))
		st = pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, path, "has no sample %llu: its samples are 0 to %lld", (unsigned long long)i,
		    (long long)shard_count(shard) - 1);
	if (st == PL_OK)
		st = shard_read(shard, i, &s, err);
	if (st == PL_OK)
		st = fn(ctx, path, &s, err);
	if (io != NULL)
		*io = shard_io_bytes(shard);
	shard_close(shard);
	return st;
}

enum pl_status serial_samples(const char *path, const struct serial_pick *pick,
    enum pl_status (*fn)(void *ctx, const char *path, const struct shard_sample *s, struct pl_err *err), void *ctx, uint64_t *io, struct pl_err *err)
{
	struct shard_reader *reader = NULL;
	struct shard_sample s;
	bool wanted = pick->key != NULL || pick->number >= 0, found = false;
	enum pl_status st;

	if (wanted && seekable(path))
		return one(path, pick, fn, ctx, io, err);
	st = shard_reader_open(&reader, path, NULL, err);
	while (st == PL_OK && !(wanted && found)) {
		st = shard_reader_next(reader, &s, err);
		if (st != PL_OK || (!wanted && pick->head >= 0 && s.index >= (uint64_t)pick->head))
			break;
		if (wanted && !(pick->key != NULL ? strcmp(pick->key, s.key) == 0 : s.index == (uint64_t)pick->number))
			continue;
		found = true;
		st = fn(ctx, path, &s, err);
	}
	shard_reader_close(reader);
	if (st == PL_END)
		st = PL_OK;
	if (st == PL_OK && wanted && !found)
		st = pl_fail(err, PL_ERR_NOTFOUND, PL_SEV_JOB, path, "has no such sample");
	return st;
}

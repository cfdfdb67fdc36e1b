/* SPDX-License-Identifier: Apache-2.0 */
/* A resized shard from the resized pieces of a large one: the samples are
 * written again, which finds the keys that came back in another piece. */
#include "shards/tar_read.h"
#include "step_resize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX ((size_t)1 << 32)
/* What was written can be read. */
static const struct shard_read_limits no_limits = { (uint64_t)1 << 33, (uint64_t)1 << 36, UINT32_MAX };

struct piece {
	const struct tool_piece *p;
	struct shard_writer *writer;
	struct resize_hashes *hashes;    /* NULL = none */
	struct pl_account *account;
	char *lines;                     /* of the piece's list */
	const char *at;
};

static char *path_of(const struct tool_piece *p, const char *suffix)
{
	char name[80];

	snprintf(name, sizeof(name), "%s%s", p->id, suffix);
	return pl_path_join(p->dir, name);
}

/* The sample's lines, one for each picture: kept, or passed over. */
static enum pl_status take_lines(struct piece *x, uint64_t n, bool keep, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (uint64_t i = 0; i < n && st == PL_OK && x->hashes != NULL; i++) {
		const char *end = strchr(x->at, '\n');
		if (end == NULL)
			return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, x->p->shard, "the hashes of a piece are not whole");
		if (keep)
			st = resize_hashes_line(x->hashes, x->at, (size_t)(end - x->at) + 1, err);
		x->at = end + 1;
	}
	return st;
}

static enum pl_status join_sample(struct piece *x, const struct shard_sample *s, struct pl_err *err)
{
	struct shard_member *members = calloc(s->nparts + 1, sizeof(*members));
	struct pl_err refused = { 0 };
	uint64_t images = 0;
	enum pl_status st = members == NULL ? pl_fail_nomem(err) : PL_OK;

	for (size_t i = 0; i < s->nparts && st == PL_OK; i++) {
		const struct shard_part *p = &s->parts[i];
		images += shard_image_suffix(p->suffix);
		members[i] = (struct shard_member){ p->suffix, p->data, p->len };
		if (p->data == NULL)
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, x->p->shard, "a piece of it does not hold what was written");
	}
	if (st != PL_OK)
		goto out;
	st = shard_writer_add(x->writer, s->key, members, s->nparts, &refused);
	if (st == PL_ERR_INVALID && refused.severity == PL_SEV_ITEM) {
		pl_log_err(PL_LOG_WARNING, &refused);
		x->account->samples_out--;
		x->account->samples_dropped[PL_REASON_DUPLICATE_KEY]++;
		x->account->images_out -= images;
		x->account->images_dropped[PL_REASON_DUPLICATE_KEY] += images;
		st = take_lines(x, images, false, err);
	} else if (st == PL_OK) {
		st = take_lines(x, images, true, err);
	} else if (err != NULL) {
		*err = refused;
	}
out:
	free(members);
	return st;
}

enum pl_status resize_join_piece(struct tool *t, const struct tool_piece *p, struct shard_writer *w, struct resize_hashes *h,
    struct pl_account *account, struct pl_err *err)
{
	struct piece x = { p, w, h, account, NULL, NULL };
	struct shard_reader *r = NULL;
	struct shard_sample sample;
	char *tar = path_of(p, ".tar"), *list = path_of(p, RESIZE_HASHES_SUFFIX);
	enum pl_status st = tar == NULL || list == NULL ? pl_fail_nomem(err) : PL_OK;

	if (st == PL_OK && h != NULL)
		st = pl_file_read(list, LIST_MAX, &x.lines, NULL, err);
	x.at = x.lines;
	if (st == PL_OK)
		st = shard_reader_open(&r, tar, &no_limits, err);
	while (st == PL_OK && (st = shard_reader_next(r, &sample, err)) == PL_OK) {
		st = join_sample(&x, &sample, err);
		if (st == PL_OK)
			st = tool_poll(t, err);
	}
	shard_reader_close(r);
	free(x.lines);
	free(tar);
	free(list);
	return st == PL_END ? PL_OK : st;
}

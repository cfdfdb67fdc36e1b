/* SPDX-License-Identifier: Apache-2.0 */
/* Energon: little-endian u64 offset of each sample's first header, then that
 * of the first end-of-archive block. DALI: "v1.2 N", then a line a sample of
 * "suffix offset size name" per member (nvidia.dali wds2idx); version 1.1,
 * which has no names, when one of them has a blank. */
#include "sidecar.h"

#include <stdlib.h>
#include <string.h>

#include "le.h"

#define SIDECAR_MAX ((size_t)4 << 30)

void shard_sidecar_init(struct shard_sidecar *s)
{
	memset(s, 0, sizeof *s);
	pl_buf_init(&s->energon, SIDECAR_MAX);
	pl_buf_init(&s->named, SIDECAR_MAX);
	pl_buf_init(&s->nameless, SIDECAR_MAX);
}

void shard_sidecar_release(struct shard_sidecar *s)
{
	pl_buf_release(&s->energon);
	pl_buf_release(&s->named);
	pl_buf_release(&s->nameless);
}

static enum pl_status add_offset(struct shard_sidecar *s, uint64_t offset, struct pl_err *err)
{
	uint8_t b[8];
	shard_put64(b, offset);
	return pl_buf_add(&s->energon, b, sizeof b, err);
}

enum pl_status shard_sidecar_sample(struct shard_sidecar *s, uint64_t offset, struct pl_err *err)
{
	enum pl_status status = s->samples ? pl_buf_adds(&s->named, "\n", err) : PL_OK;
	if (status == PL_OK && s->samples)
		status = pl_buf_adds(&s->nameless, "\n", err);
	s->samples++;
	s->open_line = false;
	return status == PL_OK ? add_offset(s, offset, err) : status;
}

enum pl_status shard_sidecar_member(struct shard_sidecar *s, const char *name, const char *suffix, uint64_t offset,
    uint64_t size, struct pl_err *err)
{
	const char *gap = s->open_line ? " " : "";
	unsigned long long at = offset, n = size;
	s->open_line = true;
	s->blanks = s->blanks || strchr(name, ' ');
	enum pl_status status = pl_buf_addf(&s->named, err, "%s%s %llu %llu %s", gap, suffix, at, n, name);
	if (status == PL_OK)
		status = pl_buf_addf(&s->nameless, err, "%s%s %llu %llu", gap, suffix, at, n);
	return status;
}

enum pl_status shard_sidecar_finish(struct shard_sidecar *s, uint64_t offset, struct pl_buf *dali, struct pl_err *err)
{
	const struct pl_buf *lines = s->blanks ? &s->nameless : &s->named;
	pl_buf_init(dali, SIDECAR_MAX);
	enum pl_status status = add_offset(s, offset, err);
	if (status == PL_OK)
		status = pl_buf_addf(dali, err, "v1.%d %llu\n", s->blanks ? 1 : 2, (unsigned long long)s->samples);
	if (status == PL_OK && s->samples)
		status = pl_buf_add(dali, lines->data, lines->len, err);
	if (status == PL_OK && s->samples)
		status = pl_buf_adds(dali, "\n", err);
	return status;
}

bool shard_sidecar_paths(const char *tar, char **energon, char **dali)
{
	size_t len = strlen(tar), stem = len >= 4 ? len - 4 : len;
	*energon = malloc(len + 5);
	*dali = malloc(len + 5);
	if (!*energon || !*dali) {
		free(*energon);
		free(*dali);
		return false;
	}
	memcpy(*energon, tar, len);
	memcpy(*energon + len, ".idx", 5);
	memcpy(*dali, tar, stem);
	memcpy(*dali + stem, ".idx", 5);
	return true;
}

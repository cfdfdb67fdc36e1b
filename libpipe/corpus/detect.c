/* SPDX-License-Identifier: Apache-2.0 */
/* What kind of source is this? Asked of a shard's first samples, so that a
 * leading README or a broken first sample does not decide alone. */
#include "ingest_file.h"
#include "internal.h"
#include "mds_sample.h"
#include "records.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TRIES 16

static enum pl_status cannot_tell(const char *path, const char *seen, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, path,
	    "cannot tell the kind of its samples (%s); give --kind pairs, interleaved, chat, text, preference, in-context or document",
	    seen);
}

/* "sample 'k' has members jpg, cls" */
static void describe(const struct shard_sample *s, char *text, size_t size)
{
	size_t i, n;

	snprintf(text, size, "sample '%.100s' has members", s->key);
	for (i = 0; i < s->nparts && i < 8; i++) {
		n = strlen(text);
		snprintf(text + n, size - n, "%s %.30s", i > 0 ? "," : "", s->parts[i].suffix);
	}
}

static enum pl_status detect_tar(const char *path, enum pl_kind *kind, struct pl_err *err)
{
	struct shard_reader *r;
	struct shard_sample s;
	char seen[512] = "it has no samples";
	enum pl_status st = shard_reader_open(&r, path, NULL, err);
	int i;

	if (st != PL_OK)
		return st;
	for (i = 0; i < TRIES && st == PL_OK && *kind == PL_KIND_AUTO; i++) {
		st = shard_reader_next(r, &s, err);
		if (st != PL_OK)
			break;
		errno = 0;
		*kind = pl_detect_sample(&s);
		if (*kind == PL_KIND_AUTO && errno == ENOMEM)
			st = pl_fail_nomem(err);
		if (i == 0)
			describe(&s, seen, sizeof(seen));
	}
	/* Damage behind the first samples is for ingest to report. */
	if (*kind != PL_KIND_AUTO)
		st = PL_OK;
	else if (st != PL_ERR_NOMEM && (st == PL_OK || st == PL_END || i > 0))
		st = cannot_tell(path, seen, err);
	shard_reader_close(r);
	return st;
}

static enum pl_status detect_mds(const char *path, enum pl_kind *kind, struct pl_err *err)
{
	struct shard_bytes *b = NULL;
	struct pl_mds *m = NULL;
	struct shard_sample s;
	struct pl_buf keep;
	enum pl_reason why;
	char seen[512] = "it has no samples";
	enum pl_status st = shard_bytes_open(&b, path, err);

	pl_buf_init(&keep, (size_t)PL_SAMPLE_MAX);
	if (st == PL_OK)
		st = pl_mds_open(&m, b, path, "", err);
	for (uint64_t i = 0; st == PL_OK && i < TRIES && i < pl_mds_count(m) && *kind == PL_KIND_AUTO; i++) {
		uint64_t offset, length;
		st = pl_mds_range(m, i, &offset, &length, err);
		if (st == PL_OK && length <= PL_SAMPLE_MAX)
			st = pl_ingest_range(b, offset, length, &keep, err);
		if (st == PL_OK)
			st = pl_mds_sample(m, i, offset, length <= PL_SAMPLE_MAX ? keep.data : NULL, (size_t)length, &s, &why, err);
		if (st == PL_OK)
			*kind = pl_detect_sample(&s);
		if (st == PL_OK && i == 0)
			describe(&s, seen, sizeof(seen));
	}
	if (st == PL_OK && *kind == PL_KIND_AUTO)
		st = cannot_tell(path, seen, err);
	pl_buf_release(&keep);
	pl_mds_close(m);
	shard_bytes_close(b);
	return st;
}

static void begins(const struct pl_record_text *t, char *text, size_t size)
{
	char *p;

	if (t->too_large)
		snprintf(text, size, "the first record is over the ceiling");
	else
		snprintf(text, size, "the first record begins %.*s", t->len < 60 ? (int)t->len : 60,
		    t->text);
	for (p = text; *p != '\0'; p++)
		if (*p < 0x20 || *p > 0x7e)
			*p = '?';
}

/* COCO's boxes and masks are annotations, too: captions are told by the first records. */
static enum pl_kind kind_of_layout(const struct pl_layout *l)
{
	if (l->kind == PL_LAYOUT_DATA)
		return PL_KIND_IN_CONTEXT;
	return l->kind == PL_LAYOUT_QUESTIONS ? PL_KIND_CHAT : PL_KIND_AUTO;
}

static enum pl_status detect_records(const char *path, enum pl_kind *kind, struct pl_err *err)
{
	struct pl_records *r;
	struct pl_record_text t;
	char seen[512] = "it has no records";
	enum pl_status st = pl_records_open(&r, path, PL_RECORD_MAX, err);
	int i;

	if (st != PL_OK)
		return st;
	*kind = kind_of_layout(pl_records_layout(r));
	for (i = 0; i < TRIES && st == PL_OK && *kind == PL_KIND_AUTO; i++) {
		st = pl_records_next(r, &t, err);
		if (st != PL_OK)
			break;
		if (!t.too_large)
			*kind = pl_detect_record(t.text, t.len, t.plain_text);
		if (i == 0)
			begins(&t, seen, sizeof(seen));
	}
	if (*kind != PL_KIND_AUTO)
		st = PL_OK;
	else if (st == PL_OK || st == PL_END || i > 0)
		st = cannot_tell(path, seen, err);
	pl_records_close(r);
	return st;
}

enum pl_status pl_detect_kind(const char *path, enum pl_kind *kind, struct pl_err *err)
{
	*kind = PL_KIND_AUTO;
	if (strcmp(path, "-") == 0)
		return cannot_tell(path, "standard input cannot be read twice", err);
	if (shard_mds_name(path))
		return detect_mds(path, kind, err);
	return pl_records_name(path) ? detect_records(path, kind, err)
				     : detect_tar(path, kind, err);
}

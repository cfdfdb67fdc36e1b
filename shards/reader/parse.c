/* SPDX-License-Identifier: Apache-2.0 */
/* One sample out of a piece. Plain ustar and GNU headers, which is what plait and most others write, are read in place; a sample
 * with anything else in it goes through libarchive. */
#include <stdlib.h>
#include <string.h>

#include "libpipe/base/hash.h"
#include "piece.h"
#include "shards/split.h"
#include "shards/ustar.h"

enum { NAME = 0, NAME_LEN = 100, SIZE = 124, CHECKSUM = 148, TYPE = 156, MAGIC = 257, PREFIX = 345, PREFIX_LEN = 155 };

void shard_parser_init(struct shard_parser *p)
{
	memset(p, 0, sizeof *p);
	pl_arena_init(&p->strings, (uint64_t)1 << 30);
}

void shard_parser_clear(struct shard_parser *p)
{
	while (p->nreaders > 0)
		shard_reader_close(p->readers[--p->nreaders]);
	pl_arena_clear(&p->strings);
}

void shard_parser_release(struct shard_parser *p)
{
	shard_parser_clear(p);
	pl_arena_release(&p->strings);
	free(p->parts);
	free(p->readers);
	memset(p, 0, sizeof *p);
}

static bool octal(const uint8_t *field, size_t digits, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < digits; i++) {
		if (field[i] < '0' || field[i] > '7')
			return false;
		*value = *value * 8 + (uint64_t)(field[i] - '0');
	}
	return field[digits] == 0 || field[digits] == ' ';
}

static bool checksum_right(const uint8_t *b)
{
	const uint64_t even = 0x00ff00ff00ff00ffu;
	uint64_t stored, word, sums = 0, sum = 8 * ' ';
	if (!octal(b + CHECKSUM, 6, &stored))
		return false;
	/* Four sums in one word, of 128 bytes each: none overflows. */
	for (size_t i = 0; i < SHARD_BLOCK; i += sizeof word) {
		memcpy(&word, b + i, sizeof word);
		sums += (word & even) + (word >> 8 & even);
	}
	for (; sums; sums >>= 16)
		sum += sums & 0xffff;
	for (size_t i = CHECKSUM; i < CHECKSUM + 8; i++)
		sum -= b[i];
	return sum == stored;
}

/* A regular file's header without extensions. *name: in the block where it ends there, else in the arena; NULL: no memory. */
static bool plain_header(struct shard_parser *p, const uint8_t *b, const char **name, uint64_t *size)
{
	bool posix = memcmp(b + MAGIC, "ustar\0" "00", 8) == 0;
	if ((!posix && memcmp(b + MAGIC, "ustar  ", 8) != 0) || (b[TYPE] != '0' && b[TYPE] != 0) ||
	    !octal(b + SIZE, 11, size) || !checksum_right(b) || b[NAME] == 0)
		return false;
	*name = (const char *)b + NAME;
	if (posix && b[PREFIX])
		*name = pl_arena_printf(&p->strings, "%.*s/%.*s", PREFIX_LEN, (const char *)b + PREFIX, NAME_LEN,
		    (const char *)b + NAME);
	else if (b[NAME + NAME_LEN - 1])
		*name = pl_arena_strndup(&p->strings, (const char *)b + NAME, NAME_LEN);
	return true;
}

static struct shard_part *next_part(struct shard_parser *p)
{
	if (p->nparts == p->cap) {
		size_t cap = p->cap ? 2 * p->cap : 16;
		struct shard_part *parts = realloc(p->parts, cap * sizeof *parts);
		if (!parts)
			return NULL;
		p->parts = parts;
		p->cap = cap;
	}
	return &p->parts[p->nparts++];
}

/* "0.jpg" behind "0.json": the same key at once, without looking for it. */
static bool key_goes_on(const char *name, const char *key, size_t key_len, const char **suffix)
{
	if (!key || strncmp(name, key, key_len) != 0 || name[key_len] != '.' || strchr(name + key_len, '/'))
		return false;
	*suffix = name + key_len + 1;
	return true;
}

static bool suffix_seen(const struct shard_parser *p, const char *suffix)
{
	for (size_t i = 0; i < p->nparts; i++)
		if (strcmp(p->parts[i].suffix, suffix) == 0)
			return true;
	return false;
}

static bool has_capitals(const char *s)
{
	for (; *s; s++)
		if (*s >= 'A' && *s <= 'Z')
			return true;
	return false;
}

/* PL_END: something unusual, let libarchive have it. */
static enum pl_status parse_plain(struct shard_parser *p, const uint8_t *tar, size_t len, uint64_t offset,
    struct shard_sample *out)
{
	enum { COMPARED = 1024 };   /* so many suffixes are held against each other at most */
	size_t at = 0, key_len = 0;
	const char *first = NULL;
	p->nparts = 0;
	while (at < len) {
		const char *name, *suffix;
		uint64_t size;
		if (len - at < SHARD_BLOCK || !plain_header(p, tar + at, &name, &size))
			return PL_END;
		if (!name)
			return PL_ERR_NOMEM;
		if (!key_goes_on(name, first, key_len, &suffix)) {
			if (first || shard_name_dunder(name) || !shard_split_name(name, &key_len, &suffix))
				return PL_END;
			first = name;
		}
		if (size > SHARD_MEMBER_MAX || shard_padded(size) > len - at - SHARD_BLOCK || has_capitals(suffix) ||
		    p->nparts > COMPARED || suffix_seen(p, suffix))
			return PL_END;
		struct shard_part *part = next_part(p);
		if (!part)
			return PL_ERR_NOMEM;
		*part = (struct shard_part) { .suffix = suffix, .name = name, .data = tar + at + SHARD_BLOCK, .len = (size_t)size,
			.offset = offset + at + SHARD_BLOCK };
		at += SHARD_BLOCK + (size_t)shard_padded(size);
	}
	if (p->nparts == 0)
		return PL_END;
	out->nparts = p->nparts;
	out->parts = pl_arena_alloc(&p->strings, p->nparts * sizeof *out->parts);
	out->key = pl_arena_strndup(&p->strings, first, key_len);
	if (!out->parts || !out->key)
		return PL_ERR_NOMEM;
	memcpy(out->parts, p->parts, p->nparts * sizeof *out->parts);
	return PL_OK;
}

static enum pl_status wrong(const struct shard_opened *o, uint64_t i, struct pl_err *err)
{
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_SHARD, o->path, "the index and the tar disagree on sample %llu",
	    (unsigned long long)i);
}

/* The reader is kept: it owns what it gave out. */
static enum pl_status parse_any(struct shard_parser *p, const struct shard_opened *o, const uint8_t *tar, size_t len,
    uint64_t offset, uint64_t i, struct shard_sample *out, struct pl_err *err)
{
	const struct shard_read_limits limits = { .max_member = SHARD_FRAME_MAX };
	struct shard_reader *r;
	if (p->nreaders == p->readers_cap) {
		size_t cap = p->readers_cap ? 2 * p->readers_cap : 16;
		struct shard_reader **readers = realloc(p->readers, cap * sizeof(*readers));
		if (!readers)
			return pl_fail_nomem(err);
		p->readers = readers;
		p->readers_cap = cap;
	}
	enum pl_status status = shard_reader_open_memory(&r, o->path, tar, len, &limits, err);
	if (status != PL_OK)
		return status;
	p->readers[p->nreaders++] = r;
	status = shard_reader_next(r, out, err);
	if (status == PL_END || (status == PL_OK && (out->offset != 0 || out->length != len)))
		return wrong(o, i, err);
	for (size_t k = 0; status == PL_OK && k < out->nparts; k++)
		out->parts[k].offset += offset;
	return status;
}

enum pl_status shard_parser_sample(struct shard_parser *p, const struct shard_opened *o, uint32_t piece, const uint8_t *bytes,
    uint64_t i, struct shard_sample *out, struct pl_err *err)
{
	const struct shard_place *at = &o->places[i];
	uint64_t offset = o->pieces[piece].offset + at->offset;
	memset(out, 0, sizeof *out);
	enum pl_status status = parse_plain(p, bytes + at->offset, at->length, offset, out);
	if (status == PL_ERR_NOMEM)
		return pl_fail_nomem(err);
	if (status == PL_END)
		status = parse_any(p, o, bytes + at->offset, at->length, offset, i, out, err);
	if (status != PL_OK)
		return status;
	if (pl_hash64(out->key, strlen(out->key)) != at->key_hash)
		return wrong(o, i, err);
	out->index = i;
	out->offset = offset;
	out->length = at->length;
	return PL_OK;
}

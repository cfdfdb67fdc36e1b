/* SPDX-License-Identifier: Apache-2.0 */
/* Corpora of tables alone, with no shards and no pixels behind them: PDQ-like
 * hashes in any number, near pairs at known distances, blank pictures. For
 * scale trials of dedup. */
#include "synth.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpipe/corpus/ingest_rows.h"
#include "libpipe/corpus/corpus.h"

enum { BYTES = PL_PDQ_BYTES, BITS = 8 * BYTES, SEPARATE = 512 };

static bool get(const uint8_t h[BYTES], unsigned bit)
{
	return h[bit / 8] >> bit % 8 & 1;
}

/* Turn n bits that are `set` and not touched before. */
static void turn(uint8_t h[BYTES], uint8_t touched[BYTES], bool set, unsigned n, struct synth_dice *d)
{
	while (n > 0) {
		unsigned bit = synth_below(d, BITS);
		if (get(touched, bit) || get(h, bit) != set)
			continue;
		h[bit / 8] ^= (uint8_t)(1u << bit % 8);
		touched[bit / 8] |= (uint8_t)(1u << bit % 8);
		n--;
	}
}

/* Half of the bits are set, as PDQ has it: then all distances are even. */
static void draw_hash(uint8_t h[BYTES], struct synth_dice d)
{
	uint8_t touched[BYTES] = { 0 };
	unsigned set = 0;

	for (unsigned at = 0; at < BYTES; at += 8) {
		uint64_t word = synth_roll(&d);
		memcpy(h + at, &word, 8);
	}
	for (unsigned bit = 0; bit < BITS; bit++)
		set += get(h, bit);
	turn(h, touched, set > BITS / 2, set > BITS / 2 ? set - BITS / 2 : BITS / 2 - set, &d);
}

static void move(uint8_t h[BYTES], unsigned distance, struct synth_dice *d)
{
	uint8_t touched[BYTES] = { 0 };

	turn(h, touched, true, distance / 2, d);
	turn(h, touched, false, distance / 2, d);
}

enum { LOT_OWN, LOT_COPY, LOT_BLANK, LOT_NEAR_BLANK };
struct lot { int what; uint64_t of; unsigned distance; struct synth_dice dice; };

static int draw_lot(const struct synth *s, struct synth_dice *d)
{
	uint64_t at = synth_roll(d) >> 32;

	if (at < s->blank)
		return LOT_BLANK;
	at -= s->blank;
	if (at < s->near_blank)
		return LOT_NEAR_BLANK;
	return at - s->near_blank < s->duplicates ? LOT_COPY : LOT_OWN;
}

static bool is_own(const struct synth *s, uint64_t index)
{
	struct synth_dice d = synth_dice(s, SYNTH_HASHES, index, SYNTH_OF_FATE);

	return draw_lot(s, &d) == LOT_OWN;
}

static struct lot lot_of(const struct synth *s, uint64_t index)
{
	struct lot l = { .dice = synth_dice(s, SYNTH_HASHES, index, SYNTH_OF_FATE) };

	l.what = draw_lot(s, &l.dice);
	if (l.what == LOT_NEAR_BLANK)
		l.distance = 2 * synth_below(&l.dice, s->near_blank_bits / 2 + 1);
	if (l.what != LOT_COPY)
		return l;
	l.what = LOT_OWN;
	for (int tries = 0; tries < 64 && index > 0 && l.what == LOT_OWN; tries++) {
		l.of = synth_roll(&l.dice) % index;
		l.what = is_own(s, l.of) ? LOT_COPY : LOT_OWN;
	}
	l.distance = l.what == LOT_COPY ? 2 * synth_below(&l.dice, SYNTH_FARTHEST / 2 + 1) : 0;
	return l;
}

/* What the codec pool would have found. Of the blank ones every other is one file. */
static void draw_picture(const struct synth *s, uint64_t index, struct lot *l, struct pl_pool_result *r)
{
	static const uint16_t sides[] = { 224, 256, 320, 400, 512, 640, 800, 1024 };
	struct synth_dice *d = &l->dice;
	bool one_file = l->what == LOT_BLANK && index % 2 == 0, blank = l->what == LOT_BLANK || l->what == LOT_NEAR_BLANK;
	uint64_t low = blank ? UINT64_MAX : l->what == LOT_COPY ? l->of : index;

	*r = (struct pl_pool_result){ .op = PL_POOL_SCAN, .reason = PL_REASON_KEEP };
	draw_hash(r->pdq.bits, synth_dice(s, SYNTH_HASHES, low, SYNTH_OF_PICTURE));
	move(r->pdq.bits, l->distance, d);
	for (unsigned at = 0; at < sizeof(r->xxh3); at += 8) {
		uint64_t word = one_file ? s->seed : synth_roll(d);
		memcpy(r->xxh3 + at, &word, 8);
	}
	r->width = one_file ? sides[0] : sides[synth_below(d, PL_ARRAY_LEN(sides))];
	r->height = one_file ? sides[0] : sides[synth_below(d, PL_ARRAY_LEN(sides))];
	r->pdq.quality = (uint8_t)synth_between(d, 60, 100);
	if (l->what == LOT_BLANK)
		r->pdq.quality = 0;
	else if (l->what == LOT_NEAR_BLANK)
		r->pdq.quality = (uint8_t)(s->near_blank_quality < 0 ? synth_between(d, 0, 49) : s->near_blank_quality);
	r->info = (struct pl_img_info){ .format = PL_FORMAT_JPEG, .orientation = 1, .frames = 1 };
	r->stats = (struct pl_img_stats){ .mean = 128, .contrast = blank ? 1 : 50, .entropy = blank ? 1 : 7, .edges = blank ? 0 : 10,
		.blur = blank ? 0 : 300, .jpeg_quality = 90, .blank = l->what == LOT_BLANK };
}

static enum pl_status add_row(struct synth_shard *sh, struct pl_rows *rows, uint64_t index, uint64_t *offset, struct pl_err *err)
{
	struct lot l = lot_of(sh->s, index);
	struct synth_dice words = synth_dice(sh->s, SYNTH_HASHES, index, SYNTH_OF_WORDS);
	struct pl_sample_row row = { .frame = -1, .segments = 2, .kind = PL_KIND_PAIRS, .offset = *offset };
	struct pl_pool_result found;
	struct pl_image_row *image;
	char key[SYNTH_KEY_MAX];
	uint64_t number;
	enum pl_status st;

	synth_key(sh->s, SYNTH_HASHES, index, key);
	draw_picture(sh->s, index, &l, &found);
	row.key = pl_hash64(key, strlen(key));
	row.text_hash = synth_roll(&words);
	row.text_words = 5 + synth_below(&words, 20);
	row.text_bytes = 6 * row.text_words;
	row.text_tokens = (row.text_bytes + 3) / 4;
	if ((st = pl_rows_push(rows, &row, NULL, 1, err)) != PL_OK)
		return st;
	image = pl_rows_image(rows, 0, &number);
	image->offset = *offset + SEPARATE;
	image->length = (uint64_t)found.width * found.height / (l.what == LOT_BLANK ? 64 : 8);
	image->where = PL_WHERE_SHARD;
	image->similarity = NAN;
	*offset = (image->offset + image->length + 5 * SEPARATE - 1) / SEPARATE * SEPARATE;
	pl_rows_answer(rows, number, &found);
	return pl_rows_flush(rows, err);
}

static struct pl_source source_of(void)
{
	return (struct pl_source){ .name = synth_set_names[SYNTH_HASHES], .read.kind = PL_KIND_PAIRS, .hash = PL_HASH_PDQ_AA,
		.limits = pl_img_limits_default() };
}

enum pl_status synth_write_hashes(struct synth_shard *sh, struct pl_err *err)
{
	char *dir = pl_path_join(sh->s->dir, synth_set_names[SYNTH_HASHES]), unit[32];
	struct pl_source source = source_of();
	struct pl_rows rows = { 0 };
	uint64_t first, n, offset = 0;
	enum pl_status st;

	if (dir == NULL)
		return pl_fail_nomem(err);
	snprintf(unit, sizeof(unit), "%05" PRIu64, sh->shard);
	synth_shard_range(sh->s, SYNTH_HASHES, sh->shard, &first, &n);
	st = pl_rows_open(&rows, dir, unit, &source, &sh->account, err);
	for (uint64_t i = 0; i < n && st == PL_OK; i++) {
		st = add_row(sh, &rows, first + i, &offset, err);
		if (st == PL_OK)
			st = tool_poll(sh->tool, err);
	}
	if (st == PL_OK)
		st = pl_rows_commit(&rows, err);
	sh->account.bytes_out += n * (sizeof(struct pl_sample_row) + sizeof(struct pl_image_row));
	pl_rows_release(&rows);
	free(dir);
	return st;
}

/* The facts of a shard that nobody has: its hash stands for the options. */
static enum pl_status fill_facts(const struct synth *s, uint64_t shard, struct pl_shard_facts *f, struct pl_err *err)
{
	char path[64];
	uint64_t first;

	synth_shard_range(s, SYNTH_HASHES, shard % synth_shards(s, SYNTH_HASHES), &first, &f->samples);
	snprintf(path, sizeof(path), "%s/%05" PRIu64 ".tar", synth_set_names[SYNTH_HASHES], shard);
	f->path = strdup(path);
	snprintf(path, sizeof(path), "%05" PRIu64, shard);
	f->unit = strdup(path);
	f->images = f->kept = f->samples;
	f->bytes = f->mtime = 1;
	f->hash[0] = pl_draw64(s->settings[0], 0, shard);
	f->hash[1] = pl_draw64(s->settings[1], 1, shard);
	return f->path != NULL && f->unit != NULL ? PL_OK : pl_fail_nomem(err);
}

static enum pl_status link_table(const char *dir, uint64_t from, uint64_t to, const char *what, struct pl_err *err)
{
	char names[2][64], *paths[2];
	enum pl_status st = PL_OK;

	for (int i = 0; i < 2; i++) {
		snprintf(names[i], sizeof(names[i]), "%05" PRIu64 ".%s.npy", i == 0 ? from : to, what);
		paths[i] = pl_path_join(dir, names[i]);
	}
	if (paths[0] == NULL || paths[1] == NULL)
		st = pl_fail_nomem(err);
	else if (unlink(paths[1]) != 0 && errno != ENOENT)
		st = pl_fail_errno(err, PL_SEV_JOB, paths[1], "cannot replace");
	else if (link(paths[0], paths[1]) != 0)
		st = pl_fail_errno(err, PL_SEV_JOB, paths[1], "cannot link");
	free(paths[0]);
	free(paths[1]);
	return st;
}

enum pl_status synth_link_hashes(const struct synth *s, struct tool *t, struct pl_err *err)
{
	char *dir = pl_path_join(s->dir, synth_set_names[SYNTH_HASHES]);
	uint64_t n = synth_shards(s, SYNTH_HASHES);
	enum pl_status st = dir == NULL ? pl_fail_nomem(err) : PL_OK;

	for (uint64_t i = 0; i < s->linked && st == PL_OK; i++) {
		st = link_table(dir, i % n, n + i, "samples", err);
		if (st == PL_OK)
			st = link_table(dir, i % n, n + i, "images", err);
		if (st == PL_OK)
			st = tool_poll(t, err);
	}
	free(dir);
	return st;
}

enum pl_status synth_write_manifest(const struct synth *s, struct pl_err *err)
{
	uint64_t n = synth_shards(s, SYNTH_HASHES) + s->linked;
	struct pl_shard_facts *facts = calloc((size_t)n + 1, sizeof(*facts));
	char *dir = pl_path_join(s->dir, synth_set_names[SYNTH_HASHES]);
	struct pl_source source = source_of();
	enum pl_status st = facts == NULL || dir == NULL ? pl_fail_nomem(err) : PL_OK;

	for (uint64_t i = 0; i < n && st == PL_OK; i++)
		st = fill_facts(s, i, &facts[i], err);
	if (st == PL_OK)
		st = pl_corpus_write_manifest(dir, &source, facts, (size_t)n, NULL, 0, err);
	for (uint64_t i = 0; facts != NULL && i < n; i++)
		pl_shard_facts_release(&facts[i]);
	free(facts);
	free(dir);
	return st;
}

void synth_hash_truth(const struct synth *s, uint64_t shard, uint64_t index, struct synth_text *t)
{
	static const char *const names[] = { "", "near_duplicate", "blank", "near_blank" };
	struct lot l = lot_of(s, index);
	char key[SYNTH_KEY_MAX], of[SYNTH_KEY_MAX] = "";

	if (l.what == LOT_OWN)
		return;
	synth_key(s, SYNTH_HASHES, index, key);
	if (l.what == LOT_COPY)
		synth_key(s, SYNTH_HASHES, l.of, of);
	synth_sayf(t, "%s\t%05" PRIu64 "\t%s\t%s\t%s\t%u\n", synth_set_names[SYNTH_HASHES], shard, key, names[l.what], of, l.distance);
}

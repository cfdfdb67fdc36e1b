/* SPDX-License-Identifier: Apache-2.0 */
/* Interleaved documents in MMC4's form, once with their images as members of
 * the sample, once as JSON lines beside a tar of images. */
#include "synth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { IMAGES_MAX = 4, SENTENCES_MAX = 12 };

struct document {
	struct synth_fate fate;
	uint64_t number;                        /* of the sample */
	uint64_t from;                          /* of the sample whose contents these are */
	uint32_t sentences, images;
	enum synth_language language;
	uint64_t pictures[IMAGES_MAX];
	char names[IMAGES_MAX][32];
	int similarity[IMAGES_MAX];             /* to the sentence it describes, in 1/10000 */
	struct synth_dice words;
};

/* Only the first image is damaged. */
static enum synth_damage damage_of(const struct document *d, uint32_t image)
{
	return image == 0 ? d->fate.damage : SYNTH_WHOLE;
}

/* Copies have their original's words and pictures; image names are unlike everywhere, as on the web. */
static void plan(const struct synth *s, enum synth_set set, uint64_t index, struct document *d)
{
	uint64_t names = synth_dice(s, set, index, SYNTH_OF_NUMBERS).key;

	d->fate = synth_fate(s, set, index);
	d->number = index;
	d->from = synth_source_index(&d->fate, index);
	d->words = synth_dice(s, set, d->from, SYNTH_OF_WORDS);
	d->sentences = (uint32_t)synth_between(&d->words, 3, SENTENCES_MAX);
	d->images = (uint32_t)synth_between(&d->words, 1, d->sentences < IMAGES_MAX ? (int32_t)d->sentences : IMAGES_MAX);
	d->language = synth_story_language(&d->words);
	for (uint32_t i = 0; i < d->images; i++) {
		d->pictures[i] = synth_picture_key(s, set, d->from, i);
		snprintf(d->names[i], sizeof(d->names[i]), "%012" PRIx64 ".%s", pl_draw64(names, i, 0) >> 16,
		    synth_extension(d->pictures[i], SYNTH_SAME, damage_of(d, i)));
	}
}

static uint32_t sentence_of(const struct document *d, uint32_t image)
{
	return image * d->sentences / d->images;
}

/* A sentence with an image describes it; the others go on with the story. */
static void say_sentences(const struct synth *s, struct document *d, struct synth_text *t, struct synth_text *line)
{
	uint32_t image = 0;

	for (uint32_t i = 0; i < d->sentences; i++) {
		synth_text_clear(line);
		if (image < d->images && sentence_of(d, image) == i) {
			struct synth_scene scene = synth_scene(s, d->pictures[image++]);
			synth_caption(line, &scene, d->language, false, &d->words);
		} else {
			synth_sentence(line, d->language, &d->words);
		}
		if (i > 0)
			synth_say(t, ", ");
		synth_say_json(t, d->fate.damage == SYNTH_EMPTY_TEXT ? "" : synth_text_string(line));
	}
}

static void say_images(struct document *d, struct synth_text *t)
{
	for (uint32_t i = 0; i < d->images; i++) {
		uint32_t at = d->fate.damage == SYNTH_BAD_INDEX && i == 0 ? d->sentences + 7 : sentence_of(d, i);

		synth_sayf(t, "%s{\"image_name\": \"%s\", \"raw_url\": \"https://images.example/%s\", ", i > 0 ? ", " : "", d->names[i],
		    d->names[i]);
		d->similarity[i] = synth_between(&d->words, 1500, 4000);
		synth_sayf(t, "\"matched_text_index\": %" PRIu32 ", \"matched_sim\": 0.%04d}", at, d->similarity[i]);
	}
}

/* Every image is nearest to its own sentence. */
static void say_matrix(struct document *d, struct synth_text *t)
{
	for (uint32_t i = 0; i < d->images; i++) {
		synth_say(t, i > 0 ? ", [" : "[");
		for (uint32_t k = 0; k < d->sentences; k++)
			synth_sayf(t, "%s0.%04d", k > 0 ? ", " : "",
			    k == sentence_of(d, i) ? d->similarity[i] : synth_between(&d->words, 500, 1400));
		synth_say(t, "]");
	}
}

static enum pl_status say_document(const struct synth *s, struct document *d, struct synth_text *t, struct pl_err *err)
{
	struct synth_text line;
	enum pl_status st;

	synth_text_init(&line);
	synth_text_clear(t);
	synth_sayf(t, "{\"url\": \"https://pages.example/%" PRIu64 ".html\", \"text_list\": [", d->number);
	say_sentences(s, d, t, &line);
	synth_say(t, "], \"image_info\": [");
	say_images(d, t);
	synth_say(t, "], \"similarity_matrix\": [");
	say_matrix(d, t);
	synth_say(t, "], \"could_have_url_duplicate\": 0}");
	st = synth_text_status(&line, err);
	synth_text_release(&line);
	if (st == PL_OK)
		st = synth_text_status(t, err);
	if (st == PL_OK && d->fate.damage == SYNTH_BAD_JSON)
		t->buf.len /= 2;
	return st;
}

/* prefix: what stands before the image's name. *made counts. */
static enum pl_status add_images(const struct synth *s, const struct document *d, struct synth_tar *tar, const char *prefix,
    uint64_t *made, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (uint32_t i = 0; i < d->images && st == PL_OK; i++) {
		struct synth_image image;
		char name[160];

		if (damage_of(d, i) == SYNTH_MISSING)
			continue;
		snprintf(name, sizeof(name), "%s%s", prefix, d->names[i]);
		st = synth_image_make(s, d->pictures[i], SYNTH_SAME, damage_of(d, i), &image, err);
		if (st == PL_OK)
			st = synth_tar_add(tar, name, image.bytes, image.len, err);
		free(image.bytes);
		(*made)++;
	}
	return st;
}

static enum pl_status add_sample(struct synth_shard *sh, struct synth_tar *tar, uint64_t index, struct synth_text *t,
    struct pl_err *err)
{
	char key[SYNTH_KEY_MAX], name[SYNTH_KEY_MAX + 8];
	struct document d = { 0 };
	uint64_t images = 0;
	enum pl_status st;

	plan(sh->s, sh->set, index, &d);
	synth_key(sh->s, sh->set, index, key);
	snprintf(name, sizeof(name), "%s.json", key);
	st = say_document(sh->s, &d, t, err);
	if (st == PL_OK)
		st = synth_tar_add(tar, name, t->buf.data, t->buf.len, err);
	snprintf(name, sizeof(name), "%s.", key);
	if (st == PL_OK)
		st = add_images(sh->s, &d, tar, name, &images, err);
	return st == PL_OK ? synth_shard_count(sh, images, err) : st;
}

enum pl_status synth_write_interleaved(struct synth_shard *sh, struct pl_err *err)
{
	struct synth_tar *tar = NULL;
	struct synth_text t;
	uint64_t first, n;
	enum pl_status st = synth_tar_open(&tar, sh->path, err);

	if (st != PL_OK)
		return st;
	synth_text_init(&t);
	synth_shard_range(sh->s, sh->set, sh->shard, &first, &n);
	for (uint64_t i = 0; i < n && st == PL_OK; i++)
		st = add_sample(sh, tar, first + i, &t, err);
	synth_text_release(&t);
	if (st == PL_OK)
		return synth_tar_commit(tar, &sh->account.bytes_out, err);
	synth_tar_abort(tar);
	return st;
}

static enum pl_status add_line(struct synth_shard *sh, struct synth_lines *lines, struct synth_tar *tar, uint64_t index,
    struct synth_text *t, struct pl_err *err)
{
	struct document d = { 0 };
	uint64_t images = 0;
	enum pl_status st;

	plan(sh->s, sh->set, index, &d);
	st = say_document(sh->s, &d, t, err);
	if (st == PL_OK)
		st = synth_lines_add(lines, t, err);
	if (st == PL_OK)
		st = add_images(sh->s, &d, tar, "", &images, err);
	return st == PL_OK ? synth_shard_count(sh, images, err) : st;
}

enum pl_status synth_write_lines(struct synth_shard *sh, struct pl_err *err)
{
	struct synth_lines *lines = NULL;
	struct synth_tar *tar = NULL;
	struct synth_text t;
	uint64_t first, n;
	enum pl_status st;

	synth_text_init(&t);
	synth_shard_range(sh->s, sh->set, sh->shard, &first, &n);
	st = synth_lines_open(&lines, sh->path, err);
	if (st == PL_OK)
		st = synth_tar_open(&tar, sh->images, err);
	for (uint64_t i = 0; i < n && st == PL_OK; i++)
		st = add_line(sh, lines, tar, first + i, &t, err);
	if (st == PL_OK) {
		st = synth_tar_commit(tar, &sh->account.bytes_out, err);
		tar = NULL;
	}
	if (st == PL_OK) {
		st = synth_lines_commit(lines, &sh->account.bytes_out, err);
		lines = NULL;
	}
	synth_tar_abort(tar);
	synth_lines_abort(lines);
	synth_text_release(&t);
	return st;
}

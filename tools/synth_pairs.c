/* SPDX-License-Identifier: Apache-2.0 */
/* Image-caption pairs as img2dataset writes them, and the small evaluation set
 * whose pictures come back in them. */
#include "synth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum pl_status synth_shard_count(struct synth_shard *sh, uint64_t images, struct pl_err *err)
{
	sh->account.samples_in++;
	sh->account.samples_out++;
	sh->account.images_in += images;
	sh->account.images_out += images;
	pl_job_count(sh->tool->job, 0, 1, 0);
	return tool_poll(sh->tool, err);
}

/* A number from 0.0000 to 0.9999 that is small more often than not. */
static void say_score(struct synth_text *t, const char *name, struct synth_dice *d)
{
	uint64_t root = synth_below(d, 10000);

	synth_sayf(t, "    \"%s\": 0.%04" PRIu64 ",\n", name, root * root / 10000);
}

static void say_record(struct synth_text *t, const struct synth_pair *p)
{
	struct synth_dice d = { p->numbers, 0 };
	bool caption = p->damage != SYNTH_NO_CAPTION && p->damage != SYNTH_NOT_UTF8;

	synth_say(t, "{\n    \"caption\": ");
	if (caption)
		synth_say_json(t, p->caption);
	else
		synth_say(t, p->damage == SYNTH_NO_CAPTION ? "null" : "\"caf\xEF\xBF\xBD\"");
	synth_sayf(t, ",\n    \"url\": \"https://images.example/%016" PRIx64 ".%s\",\n    \"key\": \"%s\",\n", synth_roll(&d),
	    p->image->extension, p->key);
	synth_say(t, "    \"status\": \"success\",\n    \"error_message\": null,\n");
	synth_sayf(t, "    \"width\": %" PRIu32 ",\n    \"height\": %" PRIu32 ",\n", p->image->width, p->image->height);
	synth_sayf(t, "    \"original_width\": %" PRIu32 ",\n    \"original_height\": %" PRIu32 ",\n", p->image->width, p->image->height);
	synth_sayf(t, "    \"similarity\": 0.%04d,\n", synth_between(&d, 1800, 4200));
	say_score(t, "punsafe", &d);
	say_score(t, "pwatermark", &d);
	synth_say(t, "    \"exif\": \"{}\"\n}");
}

static enum pl_status add_image(struct synth_tar *tar, const struct synth_pair *p, struct pl_err *err)
{
	char name[512];

	if (p->damage == SYNTH_NO_PICTURE)
		return PL_OK;
	snprintf(name, sizeof(name), "%.400s.%s", p->key, p->image->extension);
	return synth_tar_add(tar, name, p->image->bytes, p->image->len, err);
}

static enum pl_status add_record(struct synth_tar *tar, const struct synth_pair *p, struct pl_err *err)
{
	struct synth_text t;
	enum pl_status st;
	char name[512];

	synth_text_init(&t);
	say_record(&t, p);
	snprintf(name, sizeof(name), "%.400s.json", p->key);
	st = synth_text_status(&t, err);
	if (st == PL_OK)
		st = synth_tar_add(tar, name, t.buf.data, p->damage == SYNTH_BAD_JSON ? t.buf.len / 2 : t.buf.len, err);
	synth_text_release(&t);
	return st;
}

/* A sample whose JSON is broken has no .txt either: it would do for a caption. */
static enum pl_status add_caption(struct synth_tar *tar, const struct synth_pair *p, struct pl_err *err)
{
	static const char latin1[] = "caf\xE9 cr\xE8me";
	char name[512];

	if (p->damage == SYNTH_NO_CAPTION || p->damage == SYNTH_BAD_JSON)
		return PL_OK;
	snprintf(name, sizeof(name), "%.400s.txt", p->key);
	if (p->damage == SYNTH_NOT_UTF8)
		return synth_tar_add(tar, name, latin1, sizeof(latin1) - 1, err);
	return synth_tar_add(tar, name, p->caption, strlen(p->caption), err);
}

enum pl_status synth_add_pair(struct synth_tar *tar, const struct synth_pair *p, struct pl_err *err)
{
	bool first = strcmp(p->image->extension, "json") < 0, last = strcmp(p->image->extension, "txt") > 0;
	enum pl_status st = first ? add_image(tar, p, err) : PL_OK;

	if (st == PL_OK)
		st = add_record(tar, p, err);
	if (st == PL_OK && !first && !last)
		st = add_image(tar, p, err);
	if (st == PL_OK)
		st = add_caption(tar, p, err);
	return st == PL_OK && last ? add_image(tar, p, err) : st;
}

static enum pl_status add_sample(struct synth_shard *sh, struct synth_tar *tar, uint64_t index, struct synth_text *caption,
    struct pl_err *err)
{
	struct synth_fate fate = synth_fate(sh->s, sh->set, index);
	enum synth_set from = fate.what == SYNTH_EVALUATION ? SYNTH_EVAL : sh->set;
	uint64_t picture = synth_picture_key(sh->s, from, synth_source_index(&fate, index), 0);
	struct synth_scene scene = synth_scene(sh->s, picture);
	struct synth_dice words = synth_dice(sh->s, sh->set, index, SYNTH_OF_WORDS);
	bool copy = fate.what != SYNTH_OK && fate.what != SYNTH_DAMAGED;
	struct synth_image image = { 0 };
	char key[SYNTH_KEY_MAX];
	struct synth_pair p = { .key = key, .image = &image, .damage = fate.damage };
	enum pl_status st;

	synth_key(sh->s, sh->set, index, key);
	synth_text_clear(caption);
	synth_caption(caption, &scene, synth_language(&words), copy, &words);
	p.caption = synth_text_string(caption);
	p.numbers = synth_dice(sh->s, sh->set, index, SYNTH_OF_NUMBERS).key;
	st = synth_text_status(caption, err);
	if (st == PL_OK)
		st = synth_image_make(sh->s, picture, fate.change, fate.damage, &image, err);
	if (st == PL_OK)
		st = synth_add_pair(tar, &p, err);
	free(image.bytes);
	return st == PL_OK ? synth_shard_count(sh, fate.damage != SYNTH_NO_PICTURE, err) : st;
}

enum pl_status synth_write_pairs(struct synth_shard *sh, struct pl_err *err)
{
	struct synth_tar *tar = NULL;
	struct synth_text caption;
	uint64_t first, n;
	enum pl_status st = synth_tar_open(&tar, sh->path, err);

	if (st != PL_OK)
		return st;
	synth_text_init(&caption);
	synth_shard_range(sh->s, sh->set, sh->shard, &first, &n);
	for (uint64_t i = 0; i < n && st == PL_OK; i++)
		st = add_sample(sh, tar, first + i, &caption, err);
	synth_text_release(&caption);
	if (st == PL_OK)
		return synth_tar_commit(tar, &sh->account.bytes_out, err);
	synth_tar_abort(tar);
	return st;
}

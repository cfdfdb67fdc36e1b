/* SPDX-License-Identifier: Apache-2.0 */
/* Conversations in LLaVA's form: JSON lines that name images in a tar beside
 * them, some without an image. */
#include "synth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct talk {
	struct synth_fate fate;
	char id[SYNTH_KEY_MAX];
	bool pictured;
	uint64_t picture;
	char name[2 * SYNTH_KEY_MAX];    /* of the image */
	struct synth_dice words;
	struct synth_text question, answer;   /* of the turn under way */
};

static void plan(const struct synth_shard *sh, uint64_t index, struct talk *k)
{
	uint64_t from;

	k->fate = synth_fate(sh->s, SYNTH_CHAT, index);
	from = synth_source_index(&k->fate, index);
	synth_id(SYNTH_CHAT, index, k->id);
	/* What is wrong with broken ones needs an image. */
	k->pictured = k->fate.what == SYNTH_DAMAGED || synth_chat_pictured(sh->s, from);
	k->picture = synth_picture_key(sh->s, SYNTH_CHAT, from, 0);
	/* Copies with a picture talk about it anew; those without are the same text again. */
	k->words = synth_dice(sh->s, SYNTH_CHAT, k->pictured ? index : from, SYNTH_OF_WORDS);
	snprintf(k->name, sizeof(k->name), "%05" PRIu64 "/%s.%s", sh->shard, k->id,
	    synth_extension(k->picture, SYNTH_SAME, k->fate.damage));
}

static void say_turn(struct synth_text *t, const char *from, const char *value, bool first)
{
	synth_sayf(t, "%s{\"from\": \"%s\", \"value\": ", first ? "" : ", ", from);
	synth_say_json(t, value);
	synth_say(t, "}");
}

static void say_pictured(const struct synth *s, struct talk *k, struct synth_text *t)
{
	struct synth_scene scene = synth_scene(s, k->picture);
	enum synth_language language = synth_language(&k->words);
	uint32_t turns = language == SYNTH_ENGLISH ? 1 + synth_below(&k->words, 3) : 1;

	synth_say(&k->question, k->fate.damage == SYNTH_MARKERS ? "<image>\n<image>\n" : "<image>\n");
	synth_say(&k->question, synth_caption_question(language));
	synth_caption(&k->answer, &scene, language, k->fate.what == SYNTH_DUPLICATE, &k->words);
	for (uint32_t i = 0; i < turns; i++) {
		if (i > 0) {
			synth_text_clear(&k->question);
			synth_text_clear(&k->answer);
			synth_question(&scene, &k->words, &k->question, &k->answer);
		}
		say_turn(t, "human", synth_text_string(&k->question), i == 0);
		if (k->fate.damage == SYNTH_NO_ANSWER)
			break;
		say_turn(t, "gpt", synth_text_string(&k->answer), false);
	}
}

static void say_plain(struct talk *k, struct synth_text *t)
{
	static const char *const requests[] = { "Go on with this story: ", "Say the same in other words: ", "What happened next? " };
	uint32_t sentences = 1 + synth_below(&k->words, 4);
	struct synth_text *start = &k->answer;

	synth_sentence(start, SYNTH_ENGLISH, &k->words);
	synth_say(&k->question, requests[synth_below(&k->words, PL_ARRAY_LEN(requests))]);
	synth_say(&k->question, synth_text_string(start));
	synth_text_clear(&k->answer);
	for (uint32_t i = 0; i < sentences; i++)
		synth_sentence(&k->answer, SYNTH_ENGLISH, &k->words);
	say_turn(t, "human", synth_text_string(&k->question), true);
	say_turn(t, "gpt", synth_text_string(&k->answer), false);
}

static enum pl_status say_talk(const struct synth *s, struct talk *k, struct synth_text *t, struct pl_err *err)
{
	enum pl_status st;

	synth_text_clear(t);
	synth_text_clear(&k->question);
	synth_text_clear(&k->answer);
	synth_sayf(t, "{\"id\": \"%s\", ", k->id);
	if (k->pictured)
		synth_sayf(t, "\"image\": \"%s\", ", k->name);
	synth_say(t, "\"conversations\": [");
	if (k->pictured)
		say_pictured(s, k, t);
	else
		say_plain(k, t);
	synth_say(t, "]}");
	if ((st = synth_text_status(&k->question, err)) != PL_OK || (st = synth_text_status(&k->answer, err)) != PL_OK)
		return st;
	if ((st = synth_text_status(t, err)) == PL_OK && k->fate.damage == SYNTH_BAD_JSON)
		t->buf.len /= 2;
	return st;
}

static enum pl_status add_sample(struct synth_shard *sh, struct synth_lines *lines, struct synth_tar *tar, struct talk *k,
    struct synth_text *t, struct pl_err *err)
{
	struct synth_image image = { 0 };
	bool there = k->pictured && k->fate.damage != SYNTH_MISSING;
	enum pl_status st = say_talk(sh->s, k, t, err);

	if (st == PL_OK)
		st = synth_lines_add(lines, t, err);
	if (st == PL_OK && there)
		st = synth_image_make(sh->s, k->picture, SYNTH_SAME, k->fate.damage, &image, err);
	if (st == PL_OK && there)
		st = synth_tar_add(tar, k->name, image.bytes, image.len, err);
	free(image.bytes);
	return st == PL_OK ? synth_shard_count(sh, there, err) : st;
}

enum pl_status synth_write_chat(struct synth_shard *sh, struct pl_err *err)
{
	struct synth_lines *lines = NULL;
	struct synth_tar *tar = NULL;
	struct synth_text t;
	struct talk k = { 0 };
	uint64_t first, n;
	enum pl_status st;

	synth_text_init(&t);
	synth_text_init(&k.question);
	synth_text_init(&k.answer);
	synth_shard_range(sh->s, sh->set, sh->shard, &first, &n);
	st = synth_lines_open(&lines, sh->path, err);
	if (st == PL_OK)
		st = synth_tar_open(&tar, sh->images, err);
	for (uint64_t i = 0; i < n && st == PL_OK; i++) {
		plan(sh, first + i, &k);
		st = add_sample(sh, lines, tar, &k, &t, err);
	}
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
	synth_text_release(&k.question);
	synth_text_release(&k.answer);
	synth_text_release(&t);
	return st;
}

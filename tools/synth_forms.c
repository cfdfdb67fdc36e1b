/* SPDX-License-Identifier: Apache-2.0 */
/* The other forms of published data, each with its images in a tar beside it:
 * preferences (three forms), MIMIC-IT, COCO captions, VQA, OBELICS. One file a
 * shard; where that is one JSON object, its elements stand on lines of their own. */
#include "synth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { CAPTIONS = 2, SHOWN = 2, FORM_NAME = 2 * SYNTH_KEY_MAX };

struct form {
	struct synth_shard *sh;
	uint64_t first, n;               /* samples of the shard */
	struct synth_lines *lines;
	struct synth_tar *tar;
	struct synth_text line, question, answer;
};

static struct synth_dice words_of(const struct form *f, uint64_t index)
{
	return synth_dice(f->sh->s, f->sh->set, index, SYNTH_OF_WORDS);
}

static uint64_t picture_of(const struct form *f, uint64_t index, unsigned image)
{
	return synth_picture_key(f->sh->s, f->sh->set, index, image);
}

static enum pl_status end_line(struct form *f, struct pl_err *err)
{
	enum pl_status st = synth_lines_add(f->lines, &f->line, err);

	synth_text_clear(&f->line);
	return st;
}

static enum pl_status put_line(struct form *f, const char *line, struct pl_err *err)
{
	synth_text_clear(&f->line);
	synth_say(&f->line, line);
	return end_line(f, err);
}

/* Number `image` of a sample into the tar, unless it is the first of one whose first is missing. */
static enum pl_status put_picture(struct form *f, uint64_t index, unsigned image, const char *name, uint64_t *made, struct pl_err *err)
{
	struct synth_fate fate = synth_fate(f->sh->s, f->sh->set, index);
	struct synth_image picture = { 0 };
	enum pl_status st;

	if (image == 0 && fate.damage == SYNTH_MISSING)
		return PL_OK;
	st = synth_image_make(f->sh->s, picture_of(f, index, image), SYNTH_SAME, SYNTH_WHOLE, &picture, err);
	if (st == PL_OK)
		st = synth_tar_add(f->tar, name, picture.bytes, picture.len, err);
	free(picture.bytes);
	(*made)++;
	return st;
}

/* A picture's file name: the sample's id with the extension that its bytes have. */
static void name_of(const struct form *f, uint64_t index, unsigned image, char name[FORM_NAME])
{
	char id[SYNTH_KEY_MAX];

	synth_id(f->sh->set, index, id);
	snprintf(name, FORM_NAME, "%s-%u.%s", id, image, synth_extension(picture_of(f, index, image), SYNTH_SAME, SYNTH_WHOLE));
}

static enum pl_status ask(struct form *f, struct synth_dice *d, uint64_t index, struct pl_err *err)
{
	struct synth_scene scene = synth_scene(f->sh->s, picture_of(f, index, 0));
	enum pl_status st;

	synth_text_clear(&f->question);
	synth_text_clear(&f->answer);
	synth_question(&scene, d, &f->question, &f->answer);
	st = synth_text_status(&f->question, err);
	return st == PL_OK ? synth_text_status(&f->answer, err) : st;
}

static void say_member(struct form *f, const char *before, const char *text)
{
	synth_say(&f->line, before);
	synth_say_json(&f->line, text);
}

/* ---- preferences ---- */

static const char wrong[] = "I cannot see a picture, but it might be a <image> of a dog.";

static void say_next(struct form *f, const char *name)
{
	say_member(f, "\"image\": ", name);
	synth_say(&f->line, ", \"prompt\": \"<image>\\n");
	/* the question without its quotes: it has nothing to escape */
	synth_say(&f->line, synth_text_string(&f->question));
	say_member(f, "\", \"answer\": ", synth_text_string(&f->answer));
	say_member(f, ", \"chosen\": ", synth_text_string(&f->answer));
	say_member(f, ", \"rejected\": ", wrong);
}

static void say_rlhfv(struct form *f, const char *name)
{
	say_member(f, "\"image_path\": ", name);
	say_member(f, ", \"question\": ", synth_text_string(&f->question));
	say_member(f, ", \"chosen\": ", synth_text_string(&f->answer));
	say_member(f, ", \"rejected\": ", wrong);
}

static void say_messages(struct form *f, const char *name)
{
	say_member(f, "\"images\": [", name);
	say_member(f, "], \"prompt\": [{\"role\": \"user\", \"content\": [{\"type\": \"image\"}, {\"type\": \"text\", \"text\": ",
	    synth_text_string(&f->question));
	say_member(f, "}]}], \"chosen\": [{\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": ", synth_text_string(&f->answer));
	say_member(f, "}]}], \"rejected\": [{\"role\": \"assistant\", \"content\": [{\"type\": \"text\", \"text\": ", wrong);
	synth_say(&f->line, "}]}]");
}

static enum pl_status write_preference(struct form *f, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (uint64_t i = f->first; i < f->first + f->n && st == PL_OK; i++) {
		struct synth_dice d = words_of(f, i);
		char id[SYNTH_KEY_MAX], name[FORM_NAME];
		uint64_t made = 0;
		if ((st = ask(f, &d, i, err)) != PL_OK)
			break;
		synth_id(f->sh->set, i, id);
		name_of(f, i, 0, name);
		synth_sayf(&f->line, "{\"id\": \"%s\", ", id);
		if (i % 3 == 0)
			say_next(f, name);
		else if (i % 3 == 1)
			say_rlhfv(f, name);
		else
			say_messages(f, name);
		synth_say(&f->line, "}");
		st = end_line(f, err);
		if (st == PL_OK)
			st = put_picture(f, i, 0, name, &made, err);
		if (st == PL_OK)
			st = synth_shard_count(f->sh, made, err);
	}
	return st;
}

/* ---- MIMIC-IT ---- */

/* The nearest sound samples before this one, and one id that is not there. */
static void say_shown(struct form *f, uint64_t index)
{
	unsigned shown = 0;

	synth_say(&f->line, "\"rel_ins_ids\": [\"no-such-instruction\"");
	for (uint64_t i = index; i-- > f->first && shown < SHOWN;) {
		char id[SYNTH_KEY_MAX];
		if (synth_fate(f->sh->s, f->sh->set, i).damage != SYNTH_WHOLE)
			continue;
		synth_id(f->sh->set, i, id);
		synth_sayf(&f->line, ", \"%s\"", id);
		shown++;
	}
	synth_say(&f->line, "]");
}

/* Images are named by ids, their files by these and an extension. */
static enum pl_status write_in_context(struct form *f, struct pl_err *err)
{
	enum pl_status st = put_line(f, "{\"meta\": {\"version\": \"0.0.1\"}, \"data\": {", err);

	for (uint64_t i = f->first; i < f->first + f->n && st == PL_OK; i++) {
		struct synth_dice d = words_of(f, i);
		char id[SYNTH_KEY_MAX], name[FORM_NAME];
		uint64_t made = 0;
		if ((st = ask(f, &d, i, err)) != PL_OK)
			break;
		synth_id(f->sh->set, i, id);
		name_of(f, i, 0, name);
		synth_sayf(&f->line, "\"%s\": {", id);
		say_member(f, "\"instruction\": ", synth_text_string(&f->question));
		say_member(f, ", \"answer\": ", synth_text_string(&f->answer));
		synth_sayf(&f->line, ", \"image_ids\": [\"%s-0\"], ", id);
		say_shown(f, i);
		synth_say(&f->line, i + 1 < f->first + f->n ? "}," : "}");
		st = end_line(f, err);
		if (st == PL_OK)
			st = put_picture(f, i, 0, name, &made, err);
		if (st == PL_OK)
			st = synth_shard_count(f->sh, made, err);
	}
	return st == PL_OK ? put_line(f, "}}", err) : st;
}

/* ---- COCO ---- */

static enum pl_status put_caption(struct form *f, uint64_t index, unsigned k, struct pl_err *err)
{
	struct synth_scene scene = synth_scene(f->sh->s, picture_of(f, index, 0));
	struct synth_dice d = words_of(f, index * CAPTIONS + k);
	enum pl_status st;

	synth_text_clear(&f->answer);
	synth_caption(&f->answer, &scene, SYNTH_ENGLISH, k > 0, &d);
	if ((st = synth_text_status(&f->answer, err)) != PL_OK)
		return st;
	synth_sayf(&f->line, "{\"image_id\": %" PRIu64 ", \"id\": %" PRIu64, index, index * CAPTIONS + k + 1);
	say_member(f, ", \"caption\": ", synth_text_string(&f->answer));
	synth_say(&f->line, index + 1 < f->first + f->n || k + 1 < CAPTIONS ? "}," : "}");
	return end_line(f, err);
}

static enum pl_status write_coco(struct form *f, struct pl_err *err)
{
	enum pl_status st = put_line(f, "{\"info\": {\"description\": \"drawn\"}, \"images\": [", err);

	for (uint64_t i = f->first; i < f->first + f->n && st == PL_OK; i++) {
		struct synth_scene scene = synth_scene(f->sh->s, picture_of(f, i, 0));
		char name[FORM_NAME];
		uint64_t made = 0;
		snprintf(name, sizeof(name), "%012" PRIu64 ".%s", i, synth_extension(picture_of(f, i, 0), SYNTH_SAME, SYNTH_WHOLE));
		synth_sayf(&f->line, "{\"license\": 1, \"file_name\": \"%s\", \"height\": %" PRIu32 ", \"width\": %" PRIu32 ", \"id\": %" PRIu64 "}%s",
		    name, scene.height, scene.width, i, i + 1 < f->first + f->n ? "," : "");
		st = end_line(f, err);
		if (st == PL_OK)
			st = put_picture(f, i, 0, name, &made, err);
		if (st == PL_OK)
			st = synth_shard_count(f->sh, made, err);
	}
	if (st == PL_OK)
		st = put_line(f, "], \"licenses\": [{\"id\": 1, \"name\": \"none\"}], \"annotations\": [", err);
	for (uint64_t i = f->first; i < f->first + f->n && st == PL_OK; i++)
		for (unsigned k = 0; k < CAPTIONS && st == PL_OK; k++)
			st = put_caption(f, i, k, err);
	return st == PL_OK ? put_line(f, "]}", err) : st;
}

/* ---- VQA ---- */

static enum pl_status put_answer(struct form *f, uint64_t index, struct pl_err *err)
{
	const char *text = synth_text_string(&f->answer);

	synth_sayf(&f->line, "{\"question_id\": %" PRIu64 ", \"image_id\": %" PRIu64, index * 10, index);
	say_member(f, ", \"multiple_choice_answer\": ", text);
	say_member(f, ", \"answers\": [{\"answer_id\": 1, \"answer_confidence\": \"yes\", \"answer\": ", text);
	synth_say(&f->line, index + 1 < f->first + f->n ? "}]}," : "}]}");
	return end_line(f, err);
}

static enum pl_status write_vqa(struct form *f, struct pl_err *err)
{
	enum pl_status st = put_line(f, "{\"data_subtype\": \"train2014\", \"questions\": [", err);

	for (uint64_t i = f->first; i < f->first + f->n && st == PL_OK; i++) {
		struct synth_dice d = words_of(f, i);
		char name[FORM_NAME];
		uint64_t made = 0;
		if ((st = ask(f, &d, i, err)) != PL_OK)
			break;
		/* COCO's name whatever the bytes are: that is how such a file is found */
		snprintf(name, sizeof(name), "COCO_train2014_%012" PRIu64 ".jpg", i);
		synth_sayf(&f->line, "{\"image_id\": %" PRIu64 ", \"question_id\": %" PRIu64, i, i * 10);
		say_member(f, ", \"question\": ", synth_text_string(&f->question));
		synth_say(&f->line, i + 1 < f->first + f->n ? "}," : "}");
		st = end_line(f, err);
		if (st == PL_OK)
			st = put_picture(f, i, 0, name, &made, err);
		if (st == PL_OK)
			st = synth_shard_count(f->sh, made, err);
	}
	if (st == PL_OK)
		st = put_line(f, "], \"annotations\": [", err);
	for (uint64_t i = f->first; i < f->first + f->n && st == PL_OK; i++) {
		struct synth_dice d = words_of(f, i);
		if ((st = ask(f, &d, i, err)) == PL_OK)
			st = put_answer(f, i, err);
	}
	return st == PL_OK ? put_line(f, "]}", err) : st;
}

/* ---- OBELICS ---- */

/* Text, image, text, ...: parallel lists with null where the other has something. */
static enum pl_status put_obelics(struct form *f, uint64_t index, uint64_t *made, struct pl_err *err)
{
	struct synth_dice d = words_of(f, index);
	unsigned images = 1 + synth_below(&d, 3);
	enum pl_status st = PL_OK;

	synth_say(&f->line, "{\"texts\": [");
	for (unsigned i = 0; i < images; i++) {
		struct synth_scene scene = synth_scene(f->sh->s, picture_of(f, index, i));
		synth_text_clear(&f->answer);
		synth_caption(&f->answer, &scene, SYNTH_ENGLISH, false, &d);
		if (i > 0)
			synth_say(&f->line, ", ");
		synth_say_json(&f->line, synth_text_string(&f->answer));
		synth_say(&f->line, ", null");
		if (st == PL_OK)
			st = synth_text_status(&f->answer, err);
	}
	synth_say(&f->line, "], \"images\": [");
	for (unsigned i = 0; i < images && st == PL_OK; i++) {
		char name[FORM_NAME];
		name_of(f, index, i, name);
		synth_sayf(&f->line, "%snull, \"https://images.example/%s\"", i > 0 ? ", " : "", name);
		st = put_picture(f, index, i, name, made, err);
	}
	synth_sayf(&f->line, "], \"metadata\": \"[]\", \"general_metadata\": \"{\\\"url\\\": \\\"https://pages.example/%" PRIu64 "\\\"}\"}", index);
	return st == PL_OK ? end_line(f, err) : st;
}

static enum pl_status write_obelics(struct form *f, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (uint64_t i = f->first; i < f->first + f->n && st == PL_OK; i++) {
		uint64_t made = 0;
		st = put_obelics(f, i, &made, err);
		if (st == PL_OK)
			st = synth_shard_count(f->sh, made, err);
	}
	return st;
}

/* ---- all of them ---- */

static enum pl_status write_records(struct form *f, struct pl_err *err)
{
	switch (f->sh->set) {
	case SYNTH_PREFERENCE:
		return write_preference(f, err);
	case SYNTH_IN_CONTEXT:
		return write_in_context(f, err);
	case SYNTH_COCO:
		return write_coco(f, err);
	case SYNTH_VQA:
		return write_vqa(f, err);
	case SYNTH_OBELICS:
		return write_obelics(f, err);
	case SYNTH_PAIRS:
	case SYNTH_INTERLEAVED:
	case SYNTH_LINES:
	case SYNTH_CHAT:
	case SYNTH_TEXT:
	case SYNTH_EVAL:
	case SYNTH_HOSTILE:
	case SYNTH_HASHES:
	case SYNTH_SETS:
		break;
	}
	return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, f->sh->path, "no form of this set");
}

enum pl_status synth_write_forms(struct synth_shard *sh, struct pl_err *err)
{
	struct form f = { .sh = sh };
	enum pl_status st;

	synth_text_init(&f.line);
	synth_text_init(&f.question);
	synth_text_init(&f.answer);
	synth_shard_range(sh->s, sh->set, sh->shard, &f.first, &f.n);
	st = synth_lines_open(&f.lines, sh->path, err);
	if (st == PL_OK)
		st = synth_tar_open(&f.tar, sh->images, err);
	if (st == PL_OK)
		st = write_records(&f, err);
	if (st == PL_OK) {
		st = synth_tar_commit(f.tar, &sh->account.bytes_out, err);
		f.tar = NULL;
	}
	if (st == PL_OK) {
		st = synth_lines_commit(f.lines, &sh->account.bytes_out, err);
		f.lines = NULL;
	}
	synth_tar_abort(f.tar);
	synth_lines_abort(f.lines);
	synth_text_release(&f.answer);
	synth_text_release(&f.question);
	synth_text_release(&f.line);
	return st;
}

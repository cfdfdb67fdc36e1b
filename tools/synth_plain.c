/* SPDX-License-Identifier: Apache-2.0 */
/* Texts as JSON lines, compressed. Copies repeat a text, some with other white
 * space and other case, which a comparison of normalised text does not see;
 * near duplicates have a page number in front. */
#include "synth.h"

/* ASCII capitals and doubled spaces; the other bytes of UTF-8 stay. */
static void disguise(struct synth_text *t, const char *s)
{
	char piece[3] = { 0 };

	for (; *s != '\0'; s++) {
		piece[0] = *s >= 'a' && *s <= 'z' ? (char)(*s - 'a' + 'A') : *s;
		piece[1] = *s == ' ' ? ' ' : '\0';
		synth_say(t, piece);
	}
}

static void say_body(struct synth_text *body, struct synth_dice *d)
{
	enum synth_language language = synth_story_language(d);
	uint32_t sentences = 4 + synth_below(d, 30);

	for (uint32_t i = 0; i < sentences; i++)
		synth_sentence(body, language, d);
}

static enum pl_status add_sample(struct synth_shard *sh, struct synth_lines *lines, uint64_t index, struct synth_text t[3],
    struct pl_err *err)
{
	struct synth_fate fate = synth_fate(sh->s, SYNTH_TEXT, index);
	struct synth_dice words = synth_dice(sh->s, SYNTH_TEXT, synth_source_index(&fate, index), SYNTH_OF_WORDS);
	struct synth_text *line = &t[0], *body = &t[1], *other = &t[2];
	char id[SYNTH_KEY_MAX];
	enum pl_status st;

	for (int i = 0; i < 3; i++)
		synth_text_clear(&t[i]);
	synth_id(SYNTH_TEXT, index, id);
	if (fate.damage != SYNTH_EMPTY_TEXT)
		say_body(body, &words);
	if (fate.what == SYNTH_NEAR) {
		/* few words, so that a text of four sentences stays near, too */
		synth_sayf(other, "Page %u. ", (unsigned)(index % 1000));
		synth_say(other, synth_text_string(body));
		body = other;
	}
	if (fate.what == SYNTH_DUPLICATE && index % 2 == 1) {
		disguise(other, synth_text_string(body));
		body = other;
	}
	synth_sayf(line, "{\"id\": \"%s\", \"text\": ", id);
	synth_say_json(line, synth_text_string(body));
	synth_say(line, "}");
	if (fate.damage == SYNTH_BAD_JSON && line->st == PL_OK)
		line->buf.len /= 2;
	if ((st = synth_text_status(body, err)) == PL_OK && (st = synth_lines_add(lines, line, err)) == PL_OK)
		st = synth_shard_count(sh, 0, err);
	return st;
}

enum pl_status synth_write_text(struct synth_shard *sh, struct pl_err *err)
{
	struct synth_lines *lines = NULL;
	struct synth_text t[3];
	uint64_t first, n;
	enum pl_status st = synth_lines_open(&lines, sh->path, err);

	if (st != PL_OK)
		return st;
	for (int i = 0; i < 3; i++)
		synth_text_init(&t[i]);
	synth_shard_range(sh->s, SYNTH_TEXT, sh->shard, &first, &n);
	for (uint64_t i = 0; i < n && st == PL_OK; i++)
		st = add_sample(sh, lines, first + i, t, err);
	for (int i = 0; i < 3; i++)
		synth_text_release(&t[i]);
	if (st == PL_OK)
		return synth_lines_commit(lines, &sh->account.bytes_out, err);
	synth_lines_abort(lines);
	return st;
}

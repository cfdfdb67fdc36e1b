/* SPDX-License-Identifier: Apache-2.0 */
/* The table of truth: computed again from seed and options, so that no rank has
 * to send or keep what it planted. */
#include "synth.h"

#include <inttypes.h>
#include <stdlib.h>

enum { FLUSH = 1 << 20 };

static void say_what(struct synth_text *t, const struct synth_fate *f)
{
	enum pl_reason why = synth_damage_reason(f->damage);

	switch (f->what) {
	case SYNTH_OK:
		synth_say(t, "ok");
		break;
	case SYNTH_DUPLICATE:
		synth_say(t, "duplicate");
		break;
	case SYNTH_NEAR:
		synth_say(t, "near_duplicate");
		break;
	case SYNTH_EVALUATION:
		synth_say(t, "evaluation");
		break;
	case SYNTH_DAMAGED:
		synth_sayf(t, "%s%s", why == PL_REASON_NO_TEXT || why == PL_REASON_MISSING_IMAGE ? "" : "broken:",
		    pl_reason_name(why));
		break;
	}
}

/* What a copy has in common with its original. */
static const char *copy_note(const struct synth *s, enum synth_set set, uint64_t index, const struct synth_fate *f)
{
	switch (set) {
	case SYNTH_INTERLEAVED:
	case SYNTH_LINES:
		return "the same document";
	case SYNTH_CHAT:
		return synth_chat_pictured(s, f->of) ? "the same image bytes in another conversation" : "the same conversation";
	case SYNTH_TEXT:
		if (f->what == SYNTH_NEAR)
			return "the same text behind a page number";
		return index % 2 == 1 ? "the same text in capitals and with other spaces" : "the same text";
	case SYNTH_PAIRS:
	case SYNTH_EVAL:
	case SYNTH_HOSTILE:
	case SYNTH_HASHES:
	case SYNTH_PREFERENCE:
	case SYNTH_IN_CONTEXT:
	case SYNTH_COCO:
	case SYNTH_VQA:
	case SYNTH_OBELICS:
	case SYNTH_SETS:
		break;
	}
	return synth_change_note(f->change);
}

static void say_sample(const struct synth *s, enum synth_set set, uint64_t shard, uint64_t index, struct synth_text *t)
{
	struct synth_fate f = synth_fate(s, set, index);
	char key[SYNTH_KEY_MAX];

	synth_key(s, set, index, key);
	synth_sayf(t, "%s\t%05" PRIu64 "\t%s\t", synth_set_names[set], shard, key);
	say_what(t, &f);
	if (f.what == SYNTH_OK) {
		synth_say(t, "\t\t\n");
	} else if (f.what == SYNTH_DAMAGED) {
		synth_sayf(t, "\t\t%s\n", synth_damage_note(f.damage));
	} else {
		synth_key(s, f.what == SYNTH_EVALUATION ? SYNTH_EVAL : set, f.of, key);
		synth_sayf(t, "\t%s\t%s\n", key, copy_note(s, set, index, &f));
	}
}

static enum pl_status flush(struct synth_text *t, struct pl_outfile *f, struct tool *tool, struct pl_err *err)
{
	enum pl_status st = synth_text_status(t, err);

	if (st == PL_OK)
		st = pl_outfile_write(f, t->buf.data, t->buf.len, err);
	synth_text_clear(t);
	return st == PL_OK ? tool_poll(tool, err) : st;
}

static enum pl_status write_set(const struct synth *s, enum synth_set set, struct synth_text *t, struct pl_outfile *f,
    struct tool *tool, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (set == SYNTH_HOSTILE && s->samples[set] > 0) {
		synth_hostile_truth(t);
		return flush(t, f, tool, err);
	}
	for (uint64_t shard = 0; shard < synth_shards(s, set) && st == PL_OK; shard++) {
		uint64_t first, n;

		synth_shard_range(s, set, shard, &first, &n);
		for (uint64_t i = 0; i < n && st == PL_OK; i++) {
			if (set == SYNTH_HASHES)
				synth_hash_truth(s, shard, first + i, t);
			else
				say_sample(s, set, shard, first + i, t);
			if (t->buf.len >= FLUSH)
				st = flush(t, f, tool, err);
		}
	}
	return st == PL_OK ? flush(t, f, tool, err) : st;
}

enum pl_status synth_write_truth(const struct synth *s, struct tool *tool, struct pl_err *err)
{
	char *path = pl_path_join(s->dir, "truth.tsv");
	struct pl_outfile f = { 0 };
	struct synth_text t;
	enum pl_status st;

	if (path == NULL)
		return pl_fail_nomem(err);
	synth_text_init(&t);
	synth_say(&t, "kind\tshard\tkey\twhat\tof\tnote\n");
	st = pl_outfile_open(&f, path, err);
	for (int set = 0; set < SYNTH_SETS && st == PL_OK; set++)
		st = write_set(s, (enum synth_set)set, &t, &f, tool, err);
	if (st == PL_OK)
		st = pl_outfile_commit(&f, err);
	else
		pl_outfile_abort(&f);
	synth_text_release(&t);
	free(path);
	return st;
}

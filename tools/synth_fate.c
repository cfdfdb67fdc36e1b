/* SPDX-License-Identifier: Apache-2.0 */
/* What is planted where: which samples are copies, of which, and what is wrong
 * with the broken ones. */
#include "synth.h"

#include <inttypes.h>
#include <stdio.h>

enum { HASH_SIDE = 64 };

const char *const synth_set_names[SYNTH_SETS] = {
	"pairs", "interleaved", "interleaved-lines", "chat", "text", "eval", "hostile", "hashes", "preference", "in-context", "coco", "vqa", "obelics"
};

static const struct { enum pl_reason reason; const char *note; } damages[] = {
	[SYNTH_WHOLE] = { PL_REASON_KEEP, "" },
	[SYNTH_CUT_JPEG] = { PL_REASON_TRUNCATED, "the JPEG is cut in the middle" },
	[SYNTH_EMPTY_FILE] = { PL_REASON_EMPTY, "the image has no bytes" },
	[SYNTH_TEXT_BYTES] = { PL_REASON_UNSUPPORTED, "plain text under an image's name" },
	[SYNTH_HTML_PAGE] = { PL_REASON_UNSUPPORTED, "an HTML error page under an image's name" },
	[SYNTH_BOMB] = { PL_REASON_BOMB, "a PNG that claims 60000 x 60000 pixels" },
	[SYNTH_NO_CAPTION] = { PL_REASON_NO_TEXT, "no .txt, and the JSON's caption is null" },
	[SYNTH_NOT_UTF8] = { PL_REASON_BAD_UTF8, "the caption is Latin-1" },
	[SYNTH_NO_PICTURE] = { PL_REASON_NO_IMAGE, "no image member" },
	[SYNTH_BAD_JSON] = { PL_REASON_BAD_JSON, "the JSON ends in the middle" },
	[SYNTH_MISSING] = { PL_REASON_MISSING_IMAGE, "the first image that the record names is not there" },
	[SYNTH_BAD_INDEX] = { PL_REASON_BAD_DOCUMENT, "matched_text_index is past the last sentence" },
	[SYNTH_EMPTY_TEXT] = { PL_REASON_NO_TEXT, "the text is empty" },
	[SYNTH_MARKERS] = { PL_REASON_MARKER_MISMATCH, "two <image> markers, one image" },
	[SYNTH_NO_ANSWER] = { PL_REASON_NO_TEXT, "a question without an answer" },
};

static const char *const changes[] = {
	[SYNTH_SAME] = "the same bytes",
	[SYNTH_HALF] = "scaled by 0.5",
	[SYNTH_SMALLER] = "scaled by 0.7",
	[SYNTH_Q60] = "recompressed as JPEG of quality 60",
	[SYNTH_SQUASHED] = "squashed to 224x224",
};

/* What can be wrong in each set; END is WHOLE. MISSING stands twice: it is what the web has most of. */
static const enum synth_damage of_pairs[] = { SYNTH_CUT_JPEG, SYNTH_EMPTY_FILE, SYNTH_TEXT_BYTES, SYNTH_HTML_PAGE, SYNTH_BOMB,
	SYNTH_NO_CAPTION, SYNTH_NOT_UTF8, SYNTH_NO_PICTURE, SYNTH_BAD_JSON };
static const enum synth_damage of_documents[] = { SYNTH_MISSING, SYNTH_MISSING, SYNTH_CUT_JPEG, SYNTH_EMPTY_FILE, SYNTH_HTML_PAGE,
	SYNTH_BAD_JSON, SYNTH_BAD_INDEX, SYNTH_EMPTY_TEXT };
static const enum synth_damage of_chat[] = { SYNTH_MISSING, SYNTH_MISSING, SYNTH_CUT_JPEG, SYNTH_HTML_PAGE, SYNTH_BAD_JSON,
	SYNTH_MARKERS, SYNTH_NO_ANSWER };
static const enum synth_damage of_text[] = { SYNTH_BAD_JSON, SYNTH_EMPTY_TEXT };

static enum synth_damage pick_damage(enum synth_set set, struct synth_dice *d)
{
	switch (set) {
	case SYNTH_PAIRS:
		return of_pairs[synth_below(d, PL_ARRAY_LEN(of_pairs))];
	case SYNTH_INTERLEAVED:
	case SYNTH_LINES:
		return of_documents[synth_below(d, PL_ARRAY_LEN(of_documents))];
	case SYNTH_CHAT:
		return of_chat[synth_below(d, PL_ARRAY_LEN(of_chat))];
	case SYNTH_TEXT:
		return of_text[synth_below(d, PL_ARRAY_LEN(of_text))];
	case SYNTH_PREFERENCE:
	case SYNTH_IN_CONTEXT:
	case SYNTH_COCO:
	case SYNTH_VQA:
	case SYNTH_OBELICS:
		return SYNTH_MISSING;
	case SYNTH_EVAL:
	case SYNTH_HOSTILE:
	case SYNTH_HASHES:
	case SYNTH_SETS:
		break;
	}
	return SYNTH_WHOLE;
}

/* The first draw alone tells whether a sample is sound, so that others can ask without knowing its whole fate. */
enum lot { LOT_SOUND, LOT_BROKEN, LOT_COPY };
static enum lot draw_lot(const struct synth *s, enum synth_set set, struct synth_dice *d)
{
	uint32_t lot = (uint32_t)(synth_roll(d) >> 32);

	if (set == SYNTH_EVAL || set == SYNTH_HOSTILE)
		return LOT_SOUND;
	if (lot < s->broken)
		return LOT_BROKEN;
	if (set >= SYNTH_PREFERENCE)
		return LOT_SOUND;   /* no copies among these */
	return lot - s->broken < s->duplicates ? LOT_COPY : LOT_SOUND;
}

static bool is_sound(const struct synth *s, enum synth_set set, uint64_t index)
{
	struct synth_dice d = synth_dice(s, set, index, SYNTH_OF_FATE);

	return draw_lot(s, set, &d) == LOT_SOUND;
}

/* A sound sample before index: anywhere, so that copies lie in other shards too. */
static bool find_original(const struct synth *s, enum synth_set set, uint64_t index, struct synth_dice *d, uint64_t *of)
{
	for (int tries = 0; tries < 64 && index > 0; tries++) {
		*of = synth_roll(d) % index;
		if (is_sound(s, set, *of))
			return true;
	}
	return false;
}

/* Small pictures are shrunk less or not at all: below the 64 pixels that a hash looks at, a copy would be another picture. */
static enum synth_change pick_change(const struct synth *s, enum synth_set from, uint64_t of, struct synth_dice *d)
{
	static const enum synth_change all[] = { SYNTH_HALF, SYNTH_SMALLER, SYNTH_Q60, SYNTH_SQUASHED };
	enum synth_change change = all[synth_below(d, PL_ARRAY_LEN(all))];
	struct synth_scene scene = synth_scene(s, synth_picture_key(s, from, of, 0));
	uint32_t shorter = scene.width < scene.height ? scene.width : scene.height;

	if (change == SYNTH_HALF && shorter / 2 < HASH_SIDE)
		change = SYNTH_SMALLER;
	if (change == SYNTH_SMALLER && shorter * 7 / 10 < HASH_SIDE)
		change = SYNTH_SQUASHED;
	return change;
}

/* Of ten copies among the pairs, three are exact, five are near, two show a picture of the evaluation set. Of ten texts, seven and three. */
static void plan_copy(const struct synth *s, enum synth_set set, uint64_t index, struct synth_dice *d, struct synth_fate *f)
{
	uint32_t which = set == SYNTH_PAIRS ? synth_below(d, 10) : set == SYNTH_TEXT && synth_below(d, 10) >= 7 ? 3 : 0;

	if (which >= 8) {
		f->what = SYNTH_EVALUATION;
		f->of = synth_roll(d) % s->samples[SYNTH_EVAL];
		f->change = synth_below(d, 2) == 0 ? SYNTH_SAME : pick_change(s, SYNTH_EVAL, f->of, d);
	} else if (find_original(s, set, index, d, &f->of)) {
		f->what = which < 3 ? SYNTH_DUPLICATE : SYNTH_NEAR;
		f->change = which < 3 || set == SYNTH_TEXT ? SYNTH_SAME : pick_change(s, set, f->of, d);
	}
}

struct synth_fate synth_fate(const struct synth *s, enum synth_set set, uint64_t index)
{
	struct synth_dice d = synth_dice(s, set, index, SYNTH_OF_FATE);
	struct synth_fate f = { 0 };
	enum lot lot = draw_lot(s, set, &d);

	if (lot == LOT_BROKEN) {
		f.what = SYNTH_DAMAGED;
		f.damage = pick_damage(set, &d);
	} else if (lot == LOT_COPY) {
		plan_copy(s, set, index, &d, &f);
	}
	return f;
}

enum pl_reason synth_damage_reason(enum synth_damage d)
{
	return damages[d].reason;
}

const char *synth_damage_note(enum synth_damage d)
{
	return damages[d].note;
}

const char *synth_change_note(enum synth_change c)
{
	return changes[c];
}

bool synth_chat_pictured(const struct synth *s, uint64_t index)
{
	struct synth_dice d = synth_dice(s, SYNTH_CHAT, index, SYNTH_OF_NUMBERS);

	return synth_below(&d, 5) != 0;
}

uint64_t synth_shards(const struct synth *s, enum synth_set set)
{
	if (set == SYNTH_EVAL || set == SYNTH_HOSTILE)
		return s->samples[set] > 0;
	return s->samples[set] / s->shard_samples + (s->samples[set] % s->shard_samples != 0);
}

void synth_shard_range(const struct synth *s, enum synth_set set, uint64_t shard, uint64_t *first, uint64_t *n)
{
	uint64_t size = synth_shards(s, set) == 1 ? s->samples[set] : s->shard_samples;

	*first = shard * size;
	*n = s->samples[set] - *first < size ? s->samples[set] - *first : size;
}

/* img2dataset's digits of a sample within its shard. */
static int digits_of(uint64_t n)
{
	int digits = 1;

	for (uint64_t last = n - 1; last > 9; last /= 10)
		digits++;
	return digits < 4 ? 4 : digits > 20 ? 20 : digits;
}

void synth_id(enum synth_set set, uint64_t index, char id[SYNTH_KEY_MAX])
{
	snprintf(id, SYNTH_KEY_MAX, "%s-%09" PRIu64, set < SYNTH_SETS ? synth_set_names[set] : "", index);
}

void synth_key(const struct synth *s, enum synth_set set, uint64_t index, char key[SYNTH_KEY_MAX])
{
	uint64_t size = set == SYNTH_EVAL ? s->samples[set] : s->shard_samples;
	uint64_t shard = index / size, row = index % size;
	struct synth_fate f;
	char id[SYNTH_KEY_MAX];

	if (set == SYNTH_PAIRS || set == SYNTH_INTERLEAVED || set == SYNTH_EVAL || set == SYNTH_HASHES) {
		snprintf(key, SYNTH_KEY_MAX, "%05" PRIu64 "%0*" PRIu64, shard, digits_of(size), row);
		return;
	}
	f = synth_fate(s, set, index);
	if (set == SYNTH_COCO) {
		snprintf(key, SYNTH_KEY_MAX, "%" PRIu64 "#%" PRIu64, index, row);
		return;
	}
	if (set == SYNTH_LINES || set == SYNTH_OBELICS || set == SYNTH_VQA || f.damage == SYNTH_BAD_JSON) {
		/* These records have no id that could be read, so plait names them by their place. */
		snprintf(key, SYNTH_KEY_MAX, "%05" PRIu64 "-%09" PRIu64, shard, row);
		return;
	}
	synth_id(set, index, id);
	snprintf(key, SYNTH_KEY_MAX, "%.40s#%" PRIu64, id, row);
}

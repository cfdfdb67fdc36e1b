/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of plait-synth: corpora with known truth. Everything about a sample
 * (its picture, its words, what is wrong with it) follows from the seed, the
 * options, its set and its number, so that any shard and the table of truth
 * can be made alone, in any order, by any rank. */
#ifndef TOOLS_SYNTH_H
#define TOOLS_SYNTH_H

#include "libpipe/base/account.h"
#include "libpipe/base/hash.h"
#include "libpipe/img/image.h"
#include "tool.h"

enum synth_set { SYNTH_PAIRS, SYNTH_INTERLEAVED, SYNTH_LINES, SYNTH_CHAT, SYNTH_TEXT, SYNTH_EVAL, SYNTH_HOSTILE,
	SYNTH_HASHES, SYNTH_PREFERENCE, SYNTH_IN_CONTEXT, SYNTH_COCO, SYNTH_VQA, SYNTH_OBELICS, SYNTH_SETS };
extern const char *const synth_set_names[SYNTH_SETS];   /* their directories */

struct synth {
	const char *dir;
	uint64_t seed, shard_samples;
	uint64_t samples[SYNTH_SETS];     /* 0: this set is not made */
	uint64_t linked;                  /* shards of hashes that are links to those that are made; 0: none */
	uint32_t size;                    /* typical longer side, pixels */
	uint32_t duplicates, broken;      /* shares of 2^32 */
	uint32_t blank, near_blank;       /* of the hashes; likewise */
	uint32_t near_blank_bits;         /* how far from blank they are, at most */
	int near_blank_quality;           /* PDQ quality; -1: below 50 */
	uint64_t settings[2];             /* hash of all options */
};

/* ---- Dice: a stream of draws that belongs to one thing ---- */

struct synth_dice { uint64_t key, n; };

static inline uint64_t synth_roll(struct synth_dice *d)
{
	return pl_mix64(d->key ^ pl_mix64(d->n++));
}

/* 0 <= result < n; n > 0. */
static inline uint32_t synth_below(struct synth_dice *d, uint32_t n)
{
	return (uint32_t)(((synth_roll(d) >> 32) * n) >> 32);
}

static inline int32_t synth_between(struct synth_dice *d, int32_t low, int32_t high)
{
	return low + (int32_t)synth_below(d, (uint32_t)(high - low + 1));
}

enum synth_aspect { SYNTH_OF_FATE, SYNTH_OF_PICTURE, SYNTH_OF_WORDS, SYNTH_OF_NUMBERS };
static inline struct synth_dice synth_dice(const struct synth *s, enum synth_set set, uint64_t index, enum synth_aspect aspect)
{
	return (struct synth_dice){ pl_draw64(s->seed, (uint64_t)set << 8 | (uint64_t)aspect, index), 0 };
}

/* ---- Fate: what is planted where (synth_fate.c) ---- */

enum synth_what { SYNTH_OK, SYNTH_DUPLICATE, SYNTH_NEAR, SYNTH_EVALUATION, SYNTH_DAMAGED };
enum synth_change { SYNTH_SAME, SYNTH_HALF, SYNTH_SMALLER, SYNTH_Q60, SYNTH_SQUASHED };
enum synth_damage {
	SYNTH_WHOLE, SYNTH_CUT_JPEG, SYNTH_EMPTY_FILE, SYNTH_TEXT_BYTES, SYNTH_HTML_PAGE, SYNTH_BOMB, SYNTH_NO_CAPTION,
	SYNTH_NOT_UTF8, SYNTH_NO_PICTURE, SYNTH_BAD_JSON, SYNTH_MISSING, SYNTH_BAD_INDEX, SYNTH_EMPTY_TEXT,
	SYNTH_MARKERS, SYNTH_NO_ANSWER
};
struct synth_fate {
	enum synth_what what;
	uint64_t of;                 /* DUPLICATE, NEAR: number of the original in its set; EVALUATION: in the evaluation set */
	enum synth_change change;    /* of the picture */
	enum synth_damage damage;    /* DAMAGED */
};
struct synth_fate synth_fate(const struct synth *s, enum synth_set set, uint64_t index);
/* Whose contents this sample has: its own, or its original's. */
static inline uint64_t synth_source_index(const struct synth_fate *f, uint64_t index)
{
	return f->what == SYNTH_DUPLICATE || f->what == SYNTH_NEAR || f->what == SYNTH_EVALUATION ? f->of : index;
}
enum pl_reason synth_damage_reason(enum synth_damage d);
const char *synth_damage_note(enum synth_damage d);
const char *synth_change_note(enum synth_change c);
/* Does a conversation without damage have a picture? */
bool synth_chat_pictured(const struct synth *s, uint64_t index);
uint64_t synth_shards(const struct synth *s, enum synth_set set);
/* Samples [*first, *first + *n) lie in this shard. */
void synth_shard_range(const struct synth *s, enum synth_set set, uint64_t shard, uint64_t *first, uint64_t *n);
/* The key by which the tools know the sample, and the id that its record carries. */
enum { SYNTH_KEY_MAX = 80 };
void synth_key(const struct synth *s, enum synth_set set, uint64_t index, char key[SYNTH_KEY_MAX]);
void synth_id(enum synth_set set, uint64_t index, char id[SYNTH_KEY_MAX]);

/* ---- Pictures ---- */

enum { SYNTH_COLOURS = 12, SYNTH_FORMS = 5, SYNTH_SHAPES = 8, SYNTH_DESCRIBED = 4 };
struct synth_shape {
	uint8_t form, colour;
	uint8_t turn;                /* of 60 */
	uint8_t opacity;             /* of 255 */
	int32_t cx, cy, rx, ry;      /* in 1/1024 of the picture's width and height */
};
struct synth_scene {
	uint32_t width, height;
	uint8_t ground, second;      /* colours */
	unsigned nshapes;            /* at least SYNTH_DESCRIBED */
	struct synth_shape shapes[SYNTH_SHAPES];
	struct synth_dice rest;      /* for what words do not describe */
};
/* Key of picture number image of a sample. */
uint64_t synth_picture_key(const struct synth *s, enum synth_set set, uint64_t index, unsigned image);
struct synth_scene synth_scene(const struct synth *s, uint64_t key);
/* The pixels, RGB. Integers only: the same everywhere. */
PL_MUST_CHECK enum pl_status synth_draw(const struct synth_scene *scene, struct pl_image *out, struct pl_err *err);

struct synth_image { uint8_t *bytes; size_t len; const char *extension; uint32_t width, height; };
/* What the file name's extension will be: known without making the picture. */
const char *synth_extension(uint64_t key, enum synth_change change, enum synth_damage damage);
/* Draw, change, encode, damage. The caller frees out->bytes. */
PL_MUST_CHECK enum pl_status synth_image_make(const struct synth *s, uint64_t key, enum synth_change change,
    enum synth_damage damage, struct synth_image *out, struct pl_err *err);
/* Bring an RGB picture to the 216 colours that a GIF keeps: copies are made from what the file shows (synth_gif.c). */
void synth_gif_colours(struct pl_image *im);
/* GIF bytes of an RGB picture in these colours, malloc'ed. */
PL_MUST_CHECK enum pl_status synth_gif(const struct pl_image *im, uint8_t **bytes, size_t *len, struct pl_err *err);

/* ---- Words: a buffer that remembers its first error, so that writers read like the text they write ---- */

struct synth_text { struct pl_buf buf; enum pl_status st; struct pl_err err; };
void synth_text_init(struct synth_text *t);
void synth_text_release(struct synth_text *t);
void synth_text_clear(struct synth_text *t);
void synth_say(struct synth_text *t, const char *s);
void synth_sayf(struct synth_text *t, const char *fmt, ...) PL_PRINTF(2, 3);
void synth_say_json(struct synth_text *t, const char *s);   /* s as a JSON string with its quotes; s is UTF-8 */
/* s with each $0..$9 replaced by that argument. */
void synth_expand(struct synth_text *t, const char *s, const char *const args[10]);
const char *synth_text_string(const struct synth_text *t);  /* never NULL */
PL_MUST_CHECK enum pl_status synth_text_status(const struct synth_text *t, struct pl_err *err);

enum synth_language { SYNTH_ENGLISH, SYNTH_CHINESE, SYNTH_ARABIC, SYNTH_GERMAN, SYNTH_FRENCH };
enum synth_language synth_language(struct synth_dice *d);
/* One of the languages that stories are told in: English, Chinese, Arabic. */
enum synth_language synth_story_language(struct synth_dice *d);
/* copy: the picture is another sample's, and this caption is to be unlike that one's. */
void synth_caption(struct synth_text *t, const struct synth_scene *scene, enum synth_language language, bool copy,
    struct synth_dice *d);
/* A question that a caption answers. */
const char *synth_caption_question(enum synth_language language);
/* A question about the picture and its answer, in English. */
void synth_question(const struct synth_scene *scene, struct synth_dice *d, struct synth_text *question, struct synth_text *answer);
void synth_sentence(struct synth_text *t, enum synth_language language, struct synth_dice *d);

/* ---- Files ---- */

/* A tar as the world writes them: ustar, PAX headers only where a name needs them; fixed time. */
struct synth_tar;
PL_MUST_CHECK enum pl_status synth_tar_open(struct synth_tar **t, const char *path, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_tar_add(struct synth_tar *t, const char *name, const void *data, size_t len, struct pl_err *err);
enum synth_odd { SYNTH_DIRECTORY, SYNTH_HARD_LINK, SYNTH_SYMLINK, SYNTH_FIFO };
PL_MUST_CHECK enum pl_status synth_tar_add_odd(struct synth_tar *t, enum synth_odd what, const char *name, const char *target,
    struct pl_err *err);
/* *bytes += the file's size. t is freed whatever happens. */
PL_MUST_CHECK enum pl_status synth_tar_commit(struct synth_tar *t, uint64_t *bytes, struct pl_err *err);
void synth_tar_abort(struct synth_tar *t);   /* NULL works */

/* JSON lines, zstd-compressed when the name ends so. */
struct synth_lines;
PL_MUST_CHECK enum pl_status synth_lines_open(struct synth_lines **l, const char *path, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_lines_add(struct synth_lines *l, const struct synth_text *line, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_lines_commit(struct synth_lines *l, uint64_t *bytes, struct pl_err *err);
void synth_lines_abort(struct synth_lines *l);   /* NULL works */

/* ---- Shards: each writes shard number shard of its set and counts into account ---- */

struct synth_shard {
	const struct synth *s;
	enum synth_set set;
	uint64_t shard;
	const char *path, *images;   /* of the shard; of the image tar beside it, or NULL */
	struct tool *tool;           /* for tool_poll after each sample */
	struct pl_account account;
};
PL_MUST_CHECK enum pl_status synth_write_pairs(struct synth_shard *sh, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_write_interleaved(struct synth_shard *sh, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_write_lines(struct synth_shard *sh, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_write_chat(struct synth_shard *sh, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_write_text(struct synth_shard *sh, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_write_hostile(struct synth_shard *sh, struct pl_err *err);
/* SYNTH_PREFERENCE and those behind it. */
PL_MUST_CHECK enum pl_status synth_write_forms(struct synth_shard *sh, struct pl_err *err);
/* Count one sample with its images, and poll. */
PL_MUST_CHECK enum pl_status synth_shard_count(struct synth_shard *sh, uint64_t images, struct pl_err *err);
/* One sample of pairs: KEY.jpg, KEY.json, KEY.txt in the order of their extensions. */
struct synth_pair { const char *key, *caption; const struct synth_image *image; uint64_t numbers; enum synth_damage damage; };
PL_MUST_CHECK enum pl_status synth_add_pair(struct synth_tar *tar, const struct synth_pair *p, struct pl_err *err);

/* Tables of a shard of hashes; their corpus' manifest, once all are written (rank 0); a sample's line of truth, none when it is sound. */
enum { SYNTH_FARTHEST = 40 };        /* bits between a copy and its original */
PL_MUST_CHECK enum pl_status synth_write_hashes(struct synth_shard *sh, struct pl_err *err);
/* The tables of the linked shards. Rank 0. */
PL_MUST_CHECK enum pl_status synth_link_hashes(const struct synth *s, struct tool *t, struct pl_err *err);
PL_MUST_CHECK enum pl_status synth_write_manifest(const struct synth *s, struct pl_err *err);
void synth_hash_truth(const struct synth *s, uint64_t shard, uint64_t index, struct synth_text *t);

/* How many samples the shard with odd members has, and its lines of truth. */
uint64_t synth_hostile_samples(void);
void synth_hostile_truth(struct synth_text *t);

/* DIR/truth.tsv of all sets that are made. */
PL_MUST_CHECK enum pl_status synth_write_truth(const struct synth *s, struct tool *tool, struct pl_err *err);

#endif

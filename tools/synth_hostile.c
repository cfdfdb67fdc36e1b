/* SPDX-License-Identifier: Apache-2.0 */
/* One shard of pairs with the odd members that tars of the wild have: what is no
 * sample, and samples under names that need care. */
#include "synth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG "a-directory-name-that-is-much-too-long-for-the-hundred-bytes-of-an-old-header/and-another-that-goes-on-" \
	"and-on-so-that-not-even-the-prefix-field-of-ustar-can-hold-it-and-a-pax-header-has-to/000000004"

/* Samples by the WebDataset rule. suffix: put between key and extension; twice: every member stands two times. */
struct odd_sample {
	const char *key, *suffix;
	bool twice, capitals;
	enum pl_reason reason;
	const char *note;
};
static const struct odd_sample samples[] = {
	{ "000000000", "", false, false, PL_REASON_KEEP, "before it: a directory and dunder files" },
	{ "train/part.1/000000001", "", false, false, PL_REASON_KEEP, "a directory with a dot in the name is part of the key" },
	{ "./000000002", "", false, false, PL_REASON_KEEP, "'./' is part of the key" },
	{ "000000003", "", false, true, PL_REASON_KEEP, "extensions in capitals" },
	{ LONG, "", false, false, PL_REASON_KEEP, "a name that needs a PAX header" },
	{ "000000005", "", true, false, PL_REASON_DUPLICATE_PART, "each member stands twice" },
	{ "holiday", ".2019.final", false, false, PL_REASON_NO_IMAGE, "dots in the name: the key ends at the first one" },
	{ "000000000", "", false, false, PL_REASON_DUPLICATE_KEY, "a key that was there before" },
	{ "000000008", "", false, false, PL_REASON_KEEP, "before it: links, a FIFO and names without a key" },
};

uint64_t synth_hostile_samples(void)
{
	return PL_ARRAY_LEN(samples);
}

void synth_hostile_truth(struct synth_text *t)
{
	for (size_t i = 0; i < PL_ARRAY_LEN(samples); i++)
		synth_sayf(t, "hostile\t00000\t%s\t%s%s\t\t%s\n", samples[i].key, samples[i].reason == PL_REASON_KEEP ? "ok" : "broken:",
		    samples[i].reason == PL_REASON_KEEP ? "" : pl_reason_name(samples[i].reason), samples[i].note);
}

/* The picture, then the caption, as members of sample i. */
static enum pl_status add_members(struct synth_tar *tar, size_t i, const struct synth_image *image, const char *caption,
    struct pl_err *err)
{
	const struct odd_sample *o = &samples[i];
	char picture[600], words[600];
	enum pl_status st;

	snprintf(picture, sizeof(picture), "%s%s.%s", o->key, o->suffix, o->capitals ? "JPG" : image->extension);
	snprintf(words, sizeof(words), "%s%s.%s", o->key, o->suffix, o->capitals ? "TXT" : "txt");
	st = synth_tar_add(tar, picture, image->bytes, image->len, err);
	if (st == PL_OK)
		st = synth_tar_add(tar, words, caption, strlen(caption), err);
	if (st == PL_OK && o->twice)
		st = synth_tar_add(tar, picture, image->bytes, image->len, err);
	if (st == PL_OK && o->twice)
		st = synth_tar_add(tar, words, caption, strlen(caption), err);
	return st;
}

static enum pl_status add_sample(struct synth_shard *sh, struct synth_tar *tar, size_t i, struct pl_err *err)
{
	uint64_t picture = synth_picture_key(sh->s, SYNTH_HOSTILE, i, 0);
	struct synth_scene scene = synth_scene(sh->s, picture);
	struct synth_dice words = synth_dice(sh->s, SYNTH_HOSTILE, i, SYNTH_OF_WORDS);
	struct synth_image image = { 0 };
	struct synth_text caption;
	enum pl_status st;

	synth_text_init(&caption);
	synth_caption(&caption, &scene, SYNTH_ENGLISH, false, &words);
	st = synth_text_status(&caption, err);
	if (st == PL_OK)
		st = synth_image_make(sh->s, picture, SYNTH_SAME, SYNTH_WHOLE, &image, err);
	if (st == PL_OK)
		st = add_members(tar, i, &image, synth_text_string(&caption), err);
	free(image.bytes);
	synth_text_release(&caption);
	return st == PL_OK ? synth_shard_count(sh, samples[i].twice ? 2 : 1, err) : st;
}

/* Members that belong to no sample. */
static enum pl_status add_front(struct synth_tar *tar, struct pl_err *err)
{
	static const char meta[] = "{\"made_by\": \"somebody\"}\n";
	enum pl_status st = synth_tar_add_odd(tar, SYNTH_DIRECTORY, "train/", NULL, err);

	if (st == PL_OK)
		st = synth_tar_add(tar, "__meta__/index.json", meta, sizeof(meta) - 1, err);
	return st == PL_OK ? synth_tar_add(tar, "__readme__", "read me\n", 8, err) : st;
}

static enum pl_status add_middle(struct synth_tar *tar, struct pl_err *err)
{
	enum pl_status st = synth_tar_add_odd(tar, SYNTH_HARD_LINK, "000000006.jpg", "000000003.JPG", err);

	if (st == PL_OK)
		st = synth_tar_add_odd(tar, SYNTH_SYMLINK, "000000007.jpg", "../../outside.jpg", err);
	if (st == PL_OK)
		st = synth_tar_add_odd(tar, SYNTH_FIFO, "pipe.jpg", NULL, err);
	if (st == PL_OK)
		st = synth_tar_add(tar, "README", "no extension\n", 13, err);
	return st == PL_OK ? synth_tar_add(tar, ".hidden", "no key\n", 7, err) : st;
}

enum pl_status synth_write_hostile(struct synth_shard *sh, struct pl_err *err)
{
	struct synth_tar *tar = NULL;
	enum pl_status st = synth_tar_open(&tar, sh->path, err);

	if (st != PL_OK)
		return st;
	st = add_front(tar, err);
	for (size_t i = 0; i < PL_ARRAY_LEN(samples) && st == PL_OK; i++) {
		if (i + 1 == PL_ARRAY_LEN(samples))
			st = add_middle(tar, err);
		if (st == PL_OK)
			st = add_sample(sh, tar, i, err);
	}
	if (st == PL_OK)
		return synth_tar_commit(tar, &sh->account.bytes_out, err);
	synth_tar_abort(tar);
	return st;
}

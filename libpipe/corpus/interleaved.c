/* SPDX-License-Identifier: Apache-2.0 */
/* Interleaved documents: MMC4's sentences with images matched to them (members
 * or base64 beside them), and OBELICS' parallel lists of texts and images. */
#include "kinds.h"

static bool is_parallel(const json_t *v)
{
	return json_is_array(json_object_get(v, "texts")) && json_is_array(json_object_get(v,
	    "images"));
}

bool pl_is_interleaved(const json_t *v)
{
	return json_is_array(json_object_get(v, "text_list")) || is_parallel(v);
}

struct reader {
	struct pl_kind_build b;
	struct pl_part_index parts;
	uint32_t sentence;      /* that the next images are matched with */
};

/* A member, else base64, else a name to be looked up later. */
static enum pl_status add_image(struct reader *r, const char *name, const json_t *base64,
    const json_t *similarity, struct pl_err *err)
{
	struct pl_kind_place at = {.role = PL_ROLE_NONE};
	struct pl_doc_image image = pl_kind_named_image(name);
	const struct shard_part *p = pl_part_index_find(&r->parts, image.name);
	enum pl_status st = PL_OK;

	if (p != NULL)
		image = pl_kind_part_image(image.name, p);
	else if (json_is_string(base64))
		st = pl_kind_embed(r->b.d, json_string_value(base64), json_string_length(base64),
		    &image, err);
	image.similarity = pl_kind_similarity(similarity);
	image.match = r->sentence;
	return st == PL_OK ? pl_kind_add_image(&r->b, at, &image, err) : st;
}

static enum pl_status add_sentence(struct reader *r, const json_t *text, struct pl_err *err)
{
	struct pl_kind_place at = {.role = PL_ROLE_NONE, .loss = true};

	return pl_kind_add_text(&r->b, at, json_string_value(text), json_string_length(text), err);
}

/* Images by sentence, each list in the order of image_info: first[sentence], next[image]; both
 * 1-based, 0 = end. */
struct matches {
	uint32_t *first, *next;
	uint32_t *info_of;      /* of each image of the document: its place in image_info */
	uint32_t *text_of;      /* of each sentence: which text segment it is; PL_NO_MATCH = blank */
};

static enum pl_status match(struct pl_document *d, const json_t *texts, const json_t *infos,
    struct matches *m, struct pl_err *err)
{
	size_t ntext = json_array_size(texts), nimage = json_array_size(infos);
	enum pl_status st;
	void *p;

	st = pl_kind_alloc(d, 2 * (ntext + nimage + 1) * sizeof(*m->first), &p, err);
	if (st != PL_OK)
		return st;
	m->first = p;
	m->next = m->first + ntext;
	m->info_of = m->next + nimage;
	m->text_of = m->info_of + nimage;
	for (size_t i = 0; i < ntext; i++) {
		if (!json_is_string(json_array_get(texts, i)))
			return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	}
	for (size_t i = nimage; i-- > 0;) {
		const json_t *at = json_object_get(json_array_get(infos, i), "matched_text_index");
		json_int_t k = json_integer_value(at);
		if (!json_is_integer(at) || k < 0 || (uint64_t)k >= ntext)
			return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
		m->next[i] = m->first[k];
		m->first[k] = (uint32_t)(i + 1);
	}
	return PL_OK;
}

static enum pl_status add_images_of(struct reader *r, const json_t *infos, const struct matches *m,
    size_t sentence, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (uint32_t k = m->first[sentence]; k != 0 && st == PL_OK; k = m->next[k - 1]) {
		const json_t *info = json_array_get(infos, k - 1);
		m->info_of[r->b.d->nimages] = k - 1;
		st = add_image(r, pl_json_str(info, "image_name"), json_object_get(info,
		    "image_base64"),
		    json_object_get(info, "matched_sim"), err);
	}
	return st;
}

/* Row of the similarity matrix as numbers by text segment; NULL when it is no row of that. Cosines: a matrix of another scale
 * (x 100) is none, lest a threshold mean something else. */
static enum pl_status read_affinity(struct pl_document *d, const json_t *row, const struct matches *m, size_t ntext,
    const float **out, struct pl_err *err)
{
	enum pl_status st;
	float *values;
	void *p;

	*out = NULL;
	if (json_array_size(row) != ntext)
		return PL_OK;
	st = pl_kind_alloc(d, (ntext + 1) * sizeof(*values), &p, err);
	if (st != PL_OK)
		return st;
	values = p;
	for (size_t i = 0; i < ntext; i++) {
		const json_t *v = json_array_get(row, i);
		double x = json_is_number(v) ? json_number_value(v) : 2;
		if (!(x >= -1.001 && x <= 1.001))
			return PL_OK;
		if (m->text_of[i] != PL_NO_MATCH)
			values[m->text_of[i]] = (float)x;
	}
	*out = values;
	return PL_OK;
}

/* Sentences become text segments, of which blank ones are none; and what the matrix says of each image. */
static enum pl_status settle_matches(struct pl_document *d, const json_t *doc, const struct matches *m, size_t ntext,
    struct pl_err *err)
{
	const json_t *matrix = json_object_get(doc, "similarity_matrix");
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < d->nimages && st == PL_OK; i++) {
		d->images[i].match = m->text_of[d->images[i].match];
		st = read_affinity(d, json_array_get(matrix, m->info_of[i]), m, ntext, &d->images[i].affinity, err);
	}
	return st;
}

/* One sentence; *text counts those that are segments. */
static enum pl_status add_counted(struct reader *r, const json_t *sentence, uint32_t *text, uint32_t *at, struct pl_err *err)
{
	size_t before = r->b.d->nsegments;
	enum pl_status st = add_sentence(r, sentence, err);

	*at = r->b.d->nsegments > before ? (*text)++ : PL_NO_MATCH;
	return st;
}

static enum pl_status read_matched(struct reader *r, const json_t *doc, bool image_after_text,
    struct pl_err *err)
{
	struct pl_document *d = r->b.d;
	const json_t *texts = json_object_get(doc, "text_list"), *infos = json_object_get(doc,
	    "image_info");
	struct matches m = {0};
	uint32_t ntext = 0;
	enum pl_status st;

	if (infos != NULL && !json_is_null(infos) && !json_is_array(infos))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	st = match(d, texts, infos, &m, err);
	for (size_t i = 0; i < json_array_size(texts) && st == PL_OK &&
	    d->status == PL_REASON_KEEP; i++) {
		const json_t *text = json_array_get(texts, i);
		r->sentence = (uint32_t)i;
		if (image_after_text)
			st = add_counted(r, text, &ntext, &m.text_of[i], err);
		if (st == PL_OK)
			st = add_images_of(r, infos, &m, i, err);
		if (st == PL_OK && !image_after_text)
			st = add_counted(r, text, &ntext, &m.text_of[i], err);
	}
	d->image_after_text = image_after_text;
	return st == PL_OK && d->status == PL_REASON_KEEP ? settle_matches(d, doc, &m, json_array_size(texts), err) : st;
}

/* A slot holds a text or an image (a name), the other list null there. */
static enum pl_status read_parallel(struct reader *r, const json_t *doc, struct pl_err *err)
{
	struct pl_document *d = r->b.d;
	const json_t *texts = json_object_get(doc, "texts"), *images = json_object_get(doc,
	    "images");
	enum pl_status st = PL_OK;

	if (json_array_size(texts) != json_array_size(images))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	for (size_t i = 0; i < json_array_size(texts) && st == PL_OK; i++) {
		const json_t *text = json_array_get(texts, i), *image = json_array_get(images, i);
		if (json_is_string(text) && json_is_null(image))
			st = add_sentence(r, text, err);
		else if (json_is_string(image) && json_is_null(text))
			st = add_image(r, json_string_value(image), NULL, NULL, err);
		else if (!json_is_null(text) || !json_is_null(image))
			return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	}
	return st;
}

enum pl_status pl_read_interleaved(struct pl_document *d, const struct pl_read_options *o,
    const struct pl_kind_input *in, struct pl_err *err)
{
	struct reader r = {.b = {.d = d}, .sentence = PL_NO_MATCH};
	enum pl_status st;

	if (in->json == NULL)
		return pl_kind_reject(d, in->json_status);
	if (!pl_is_interleaved(in->json))
		return pl_kind_reject(d, PL_REASON_BAD_DOCUMENT);
	st = pl_part_index_make(&r.parts, d, in->sample, err);
	if (st == PL_OK && json_is_array(json_object_get(in->json, "text_list")))
		st = read_matched(&r, in->json, o->image_after_text, err);
	else if (st == PL_OK)
		st = read_parallel(&r, in->json, err);
	if (st != PL_OK)
		return st;
	if (d->status != PL_REASON_KEEP) {
		d->nsegments = 0;
		d->nimages = 0;
		return PL_OK;
	}
	if (d->nsegments == d->nimages)
		return pl_kind_reject(d, PL_REASON_NO_TEXT);
	return d->nimages == 0 ? pl_kind_reject(d, PL_REASON_NO_IMAGE) : PL_OK;
}

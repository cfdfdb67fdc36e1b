/* SPDX-License-Identifier: Apache-2.0 */
/* What the export formats ask of a document; see export.h. */
#include "export.h"

#include <string.h>

const struct shard_part *export_part(const struct export_sample *s, const char *name)
{
	for (size_t i = 0; name != NULL && i < s->raw->nparts; i++)
		if (&s->raw->parts[i] != s->json && strcmp(s->raw->parts[i].suffix, name) == 0)
			return &s->raw->parts[i];
	return NULL;
}

/* Texts joined by line ends: those to be trained on, or all. */
static enum pl_status put_texts(const json_t *doc, bool all, struct pl_buf *out, struct pl_err *err)
{
	json_t *segment;
	size_t i;
	enum pl_status st = PL_OK;

	json_array_foreach(json_object_get(doc, "segments"), i, segment) {
		const char *text = export_text(segment);
		if (text == NULL || (!all && !json_is_true(json_object_get(segment, "loss"))))
			continue;
		if (out->len > 0)
			st = pl_buf_adds(out, "\n", err);
		if (st == PL_OK)
			st = pl_buf_adds(out, text, err);
		if (st != PL_OK)
			return st;
	}
	return PL_OK;
}

bool export_pair(const struct export_sample *s, const struct shard_part **image, struct pl_buf *caption, enum pl_status *st, struct pl_err *err)
{
	const char *kind = pl_json_str(s->doc, "kind");
	json_t *segment;
	size_t i;

	*st = PL_OK;
	*image = NULL;
	if (kind == NULL || strcmp(kind, "pairs") != 0 || s->raw->nparts != 2)
		return false;
	json_array_foreach(json_object_get(s->doc, "segments"), i, segment)
		if (export_is_image(segment))
			*image = export_part(s, pl_json_str(segment, "part"));
	if (*image == NULL)
		return false;
	pl_buf_clear(caption);
	*st = put_texts(s->doc, false, caption, err);
	return *st == PL_OK && caption->len > 0;
}

enum pl_status export_put_words(struct pl_buf *out, const char *s, const char *const *marks, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (const char *from = s; *from != '\0' && st == PL_OK;) {
		const char *next = NULL;
		for (size_t i = 0; marks[i] != NULL; i++) {
			const char *at = strstr(from, marks[i]);
			if (at != NULL && (next == NULL || at < next))
				next = at;
		}
		if (next == NULL)
			return pl_buf_adds(out, from, err);
		st = pl_buf_add(out, from, (size_t)(next - from) + 1, err);
		if (st == PL_OK)
			st = pl_buf_adds(out, " ", err);
		from = next + 1;
	}
	return st;
}

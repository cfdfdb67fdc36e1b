/* SPDX-License-Identifier: Apache-2.0 */
/* plait-show: samples as documents, for the eye. */
#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/corpus/document.h"
#include "libpipe/corpus/ingest.h"
#include "libpipe/corpus/records.h"
#include "libpipe/corpus/related.h"
#include "serial.h"

#include <errno.h>

static struct pl_common common;
static const char *key, *answers;
static int64_t number = -1, head = 10;
static int kind;

static const struct pl_opt options[] = {
	{ 'k', "key", PL_OPT_STR, &key, "KEY", "only the sample with this key", 0, 0, NULL },
	{ 'n', "number", PL_OPT_INT, &number, "N", "only the sample with this number, from 0", 0, 9e18, NULL },
	{ 'H', "head", PL_OPT_INT, &head, "N", "the first N samples of each shard", 0, 9e18, NULL },
	{ 0, "kind", PL_OPT_CHOICE, &kind, "KIND", "how to read input samples; auto looks at each", 0, 0, pl_kind_names },
	{ 0, "answers", PL_OPT_STR, &answers, "FILE", "file of VQA annotations that answer the questions", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-show",
	.summary = "print samples as documents",
	.synopsis = "SHARD...",
	.description =
	    "Prints samples of input shards, record files or plait's own shards as what they mean: text, with every image at its place, "
	    "roles, and which text is trained on (marked with *).",
	.examples = "plait show out/demo/000000.tar.zst -n 3\nplait show --head 2 mmc4/standin-00000.tar",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE,
};

static enum pl_status say(struct pl_err *err, const char *fmt, ...) PL_PRINTF(2, 3);
static enum pl_status say(struct pl_err *err, const char *fmt, ...)
{
	char line[2048];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n < 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "cannot format a line");
	return serial_write_text(line, strlen(line), err);
}

/* "*assistant (chosen): " */
static enum pl_status say_place(bool loss, const char *role, const char *branch, struct pl_err *err)
{
	if (role == NULL)
		return say(err, " %s", loss ? "*" : " ");
	return say(err, " %s%s%s%s%s: ", loss ? "*" : " ", role, branch != NULL ? " (" : "", branch != NULL ? branch : "",
	    branch != NULL ? ")" : "");
}

/* [image 0.webp 336x336 and 2x1 tiles of 336x336 0.t0.webp..., 1176 tokens] */
static enum pl_status show_image(const json_t *segment, struct pl_err *err)
{
	const char *part = pl_json_str(segment, "part"), *first;
	const json_t *tiles = json_object_get(segment, "tiles"), *grid = json_object_get(segment, "grid"), *tile = json_object_get(segment, "tile");
	double tokens = pl_json_num(segment, "tokens", 0);
	enum pl_status st = say(err, "  [image");

	first = json_string_value(json_array_get(tiles, 0));
	if (st == PL_OK && (part != NULL || first == NULL))
		st = say(err, " %s %.0fx%.0f", part != NULL ? part : "?", pl_json_num(segment, "width", 0), pl_json_num(segment, "height", 0));
	if (st == PL_OK && json_array_size(grid) == 2 && json_array_size(tile) == 2)
		st = say(err, "%s %lldx%lld tiles of %lldx%lld%s%s%s", part != NULL ? first != NULL ? " and" : " of" : "",
		    (long long)json_integer_value(json_array_get(grid, 0)), (long long)json_integer_value(json_array_get(grid, 1)),
		    (long long)json_integer_value(json_array_get(tile, 0)), (long long)json_integer_value(json_array_get(tile, 1)),
		    first != NULL ? " " : "", first != NULL ? first : "", first != NULL ? "..." : "");
	if (st == PL_OK && tokens > 0)
		st = say(err, ", %.0f tokens", tokens);
	return st == PL_OK ? say(err, "]\n") : st;
}

/* Where a document of a packed sequence begins, say so. */
static enum pl_status show_border(const json_t *documents, size_t segment, struct pl_err *err)
{
	enum pl_status st = PL_OK;
	json_t *d;
	size_t i;

	json_array_foreach(documents, i, d) {
		const char *source = pl_json_str(d, "source"), *origin = pl_json_str(json_object_get(d, "origin"), "key");
		if (st == PL_OK && (size_t)json_integer_value(json_object_get(d, "first_segment")) == segment)
			st = say(err, "  -- %s %s, %.0f tokens\n", source != NULL ? source : "?", origin != NULL ? origin : "?", pl_json_num(d, "tokens", 0));
	}
	return st;
}

/* A document as plait's own shards hold it. */
static enum pl_status show_own(const json_t *doc, struct pl_err *err)
{
	json_t *segment;
	size_t i;
	enum pl_status st = PL_OK;

	json_array_foreach(json_object_get(doc, "segments"), i, segment) {
		const char *type = pl_json_str(segment, "type"), *role = pl_json_str(segment, "role"), *text = pl_json_str(segment, "text");
		if ((st = show_border(json_object_get(doc, "documents"), i, err)) != PL_OK)
			break;
		if (type != NULL && strcmp(type, "image") == 0) {
			st = show_image(segment, err);
			continue;
		}
		st = say_place(json_is_true(json_object_get(segment, "loss")), role, pl_json_str(segment, "branch"), err);
		if (st == PL_OK && text != NULL)
			st = serial_write_text(text, strlen(text), err);
		if (st == PL_OK)
			st = serial_write("\n", 1, err);
		if (st != PL_OK)
			break;
	}
	return st;
}

static enum pl_status show_document(const struct pl_document *d, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (d->status != PL_REASON_KEEP)
		return say(err, "  (%s: %s)\n", pl_reason_name(d->status), pl_reason_text(d->status));
	for (size_t i = 0; i < d->nsegments && st == PL_OK; i++) {
		const struct pl_segment *s = &d->segments[i];
		if (s->is_image) {
			const struct pl_doc_image *im = &d->images[s->image];
			st = say(err, "  [image %u '%s' %zu bytes%s%s]\n", s->image, im->name, im->len, im->status != PL_REASON_KEEP ? " " : "",
			    im->status != PL_REASON_KEEP ? pl_reason_name(im->status) : "");
			continue;
		}
		st = say_place(s->loss, s->role != PL_ROLE_NONE ? pl_role_names[s->role] : NULL,
		    s->branch != PL_BRANCH_SHARED ? pl_branch_names[s->branch] : NULL, err);
		if (st == PL_OK)
			st = serial_write_text(s->text, s->text_len, err);
		if (st == PL_OK)
			st = serial_write("\n", 1, err);
	}
	return st;
}

static enum pl_status show_sample(void *ctx, const char *path, const struct shard_sample *s, struct pl_err *err)
{
	struct pl_read_options o = { .kind = (enum pl_kind)kind };
	struct pl_document d;
	json_t *own = NULL;
	enum pl_status st = say(err, "%s (number %llu)\n", s->key, (unsigned long long)s->index);

	(void)ctx;
	(void)path;
	for (size_t i = 0; i < s->nparts && own == NULL; i++)
		if (strcmp(s->parts[i].suffix, "json") == 0 && s->parts[i].data != NULL &&
		    pl_json_parse((const char *)s->parts[i].data, s->parts[i].len, &own, NULL) == PL_ERR_NOMEM)
			return pl_fail_nomem(err);   /* what is no JSON is no document of ours */
	if (st == PL_OK && own != NULL && json_is_array(json_object_get(own, "segments"))) {
		st = show_own(own, err);
		json_decref(own);
		return st;
	}
	json_decref(own);
	errno = 0;
	if (o.kind == PL_KIND_AUTO)
		o.kind = pl_detect_sample(s);
	if (st == PL_OK && o.kind == PL_KIND_AUTO && errno == ENOMEM)
		return pl_fail_nomem(err);
	if (st != PL_OK || o.kind == PL_KIND_AUTO)
		return st == PL_OK ? say(err, "  (no known kind; give --kind)\n") : st;
	pl_document_init(&d);
	st = pl_document_read_sample(&d, &o, s, err);
	if (st == PL_OK)
		st = show_document(&d, err);
	pl_document_release(&d);
	return st;
}

static enum pl_status show_record(const struct pl_record_text *r, struct pl_read_options o, struct pl_related *related,
    struct pl_document *d, struct pl_err *err)
{
	enum pl_status st = say(err, "record %llu\n", (unsigned long long)r->index);

	if (o.kind == PL_KIND_AUTO)
		o.kind = pl_detect_record(r->text, r->len, r->plain_text);
	if (st == PL_OK && o.kind == PL_KIND_AUTO)
		return say(err, "  (no known kind; give --kind)\n");
	if (st == PL_OK)
		st = pl_document_read_related(d, &o, r->text, r->len, r->plain_text, related, err);
	return st == PL_OK ? show_document(d, err) : st;
}

static enum pl_status show_records(const char *path, struct pl_err *err)
{
	struct pl_source source = { .read.kind = (enum pl_kind)kind, .answers = answers };
	struct pl_related *related = NULL;
	struct pl_records *records = NULL;
	struct pl_record_text r;
	struct pl_document d;
	enum pl_status st;

	/* One kind for the whole file, where its records refer to each other. */
	if (source.read.kind == PL_KIND_AUTO && pl_detect_kind(path, &source.read.kind, NULL) != PL_OK)
		source.read.kind = PL_KIND_AUTO;
	if ((st = pl_related_load(&related, path, &source, err)) != PL_OK)
		return st;
	source.read.kind = related != NULL ? source.read.kind : (enum pl_kind)kind;
	st = pl_records_open(&records, path, 0, err);
	pl_document_init(&d);
	while (st == PL_OK && (st = pl_records_next(records, &r, err)) == PL_OK) {
		if (number >= 0 ? r.index > (uint64_t)number : r.index >= (uint64_t)head)
			break;
		if (r.text != NULL && (number < 0 || r.index == (uint64_t)number))
			st = show_record(&r, source.read, related, &d, err);
	}
	pl_document_release(&d);
	pl_records_close(records);
	pl_related_close(related);
	return st == PL_END ? PL_OK : st;
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	struct serial_pick pick = { key, number, head };
	enum pl_status st = PL_OK;

	if (argc == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no SHARD is given (- is standard input)");
	for (int i = 0; i < argc && st == PL_OK; i++)
		st = pl_records_name(argv[i]) ? show_records(argv[i], err) : serial_samples(argv[i], &pick, show_sample, NULL, NULL, err);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}

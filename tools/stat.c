/* SPDX-License-Identifier: Apache-2.0 */
/* plait-stat: the numbers of corpora, data sets and shards. */
#include "libpipe/base/file.h"
#include "libpipe/corpus/corpus.h"
#include "serial.h"
#include "stat_html.h"

#include <sys/stat.h>
#include <unistd.h>

static struct pl_common common;
static const char *html;
static int64_t thumbnails = 24;

static const struct pl_opt options[] = {
	{ 0, "html", PL_OPT_STR, &html, "FILE", "write a report with plots and small pictures as one HTML page, too", 0, 0, NULL },
	{ 0, "thumbnails", PL_OPT_INT, &thumbnails, "N", "most small pictures of each verdict, or of a data set; default: 24", 0, 1000, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-stat",
	.summary = "numbers of corpora, data sets and shards",
	.synopsis = "CORPUS|DATASET|SHARD...",
	.description =
	    "For a corpus: samples and images by verdict, formats, and quantiles of sizes, text lengths and image statistics. For a data set: its "
	    "totals and the account of every source. For a shard: samples, frames and bytes.\n\n"
	    "--html writes one page that needs nothing but itself: the same numbers as plots, and contact sheets: pictures drawn evenly over "
	    "the corpus, of what is kept and of what each reason dropped; of a data set or a shard, the pictures and texts of its samples. "
	    "Sandboxed workers make the small pictures; what comes from shards is escaped.",
	.examples = "plait stat out/demo/work/pairs\nplait stat out/demo\nplait stat --html report.html --thumbnails 60 out/demo/work/pairs out/demo",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_POOL,
};

/* The report: NULL where only the text is wanted. */
struct report { struct pl_buf page; struct pl_pool *pool; };

static void print_quantiles(const struct numbers *n, enum quantity what)
{
	static const double shares[] = { 0, 0.05, 0.5, 0.95, 1 };

	if (n->of[what].n == 0)
		return;
	printf("  %-12s", quantity_kinds[what].name);
	for (size_t i = 0; i < PL_ARRAY_LEN(shares); i++)
		printf(quantity_kinds[what].fraction ? " %10.3g" : " %10.0f", numbers_quantile(n, what, shares[i]));
	putchar('\n');
}

static void print_reasons(const char *what, const uint64_t *counts)
{
	for (unsigned r = 0; r < PL_REASON_COUNT; r++)
		if (counts[r] > 0)
			printf("  %s %-16s %12llu  %s\n", what, pl_reason_name(r), (unsigned long long)counts[r], r == 0 ? "" : pl_reason_text(r));
}

static void print_corpus(const char *dir, const struct pl_corpus *c, const struct numbers *n)
{
	printf("%s: corpus '%s' (%s, %s): %zu shards, %llu samples, %llu images\n", dir, c->source.name, pl_kind_names[c->source.read.kind],
	    pl_hash_recipe_names[c->source.hash], c->nshards, (unsigned long long)c->samples, (unsigned long long)c->images);
	print_reasons("samples", n->samples);
	print_reasons("images ", n->images);
	for (unsigned f = 0; f < PL_FORMAT_COUNT; f++)
		if (n->formats[f] > 0)
			printf("  format  %-16s %12llu\n", pl_format_name((enum pl_format)f), (unsigned long long)n->formats[f]);
	printf("  %-12s %10s %10s %10s %10s %10s\n", "quantiles", "min", "5 %", "median", "95 %", "max");
	for (int q = 0; q < QUANTITIES; q++)
		print_quantiles(n, (enum quantity)q);
	printf("  images: %llu blank, %llu animated\n", (unsigned long long)n->blank, (unsigned long long)n->animated);
}

static enum pl_status report_part(struct report *r, const char *title, struct pl_err *err, const char *fmt, ...) PL_PRINTF(4, 5);
static enum pl_status report_part(struct report *r, const char *title, struct pl_err *err, const char *fmt, ...)
{
	char line[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	return html_part(&r->page, title, line, err);
}

static enum pl_status report_corpus(struct report *r, struct pl_corpus *c, const struct numbers *n, struct pl_err *err)
{
	struct sheet s = { 0 };
	enum pl_status st = report_part(r, c->source.name, err, "%s, %zu shards, %llu samples, %llu images; hashes: %s",
	    pl_kind_names[c->source.read.kind], c->nshards, (unsigned long long)c->samples, (unsigned long long)c->images,
	    pl_hash_recipe_names[c->source.hash]);

	if (st == PL_OK)
		st = html_numbers(&r->page, n, err);
	if (st == PL_OK && r->pool != NULL)
		st = sheet_of_corpus(&s, c, r->pool, (uint64_t)thumbnails, err);
	if (st == PL_OK)
		st = html_sheet(&r->page, &s, err);
	sheet_release(&s);
	return st;
}

static enum pl_status stat_corpus(const char *dir, struct report *r, struct pl_err *err)
{
	struct numbers *n = calloc(1, sizeof(*n));
	struct pl_corpus c = { 0 };
	enum pl_status st = n == NULL ? pl_fail_nomem(err) : pl_corpus_open(&c, dir, err);

	if (st != PL_OK) {
		free(n);
		return st;
	}
	for (size_t i = 0; i < c.nshards && st == PL_OK; i++) {
		struct pl_tables t = { 0 };
		st = pl_tables_open(&t, &c, i, err);
		if (st == PL_OK)
			numbers_count(n, &t);
		pl_tables_close(&t);
	}
	if (st == PL_OK)
		print_corpus(dir, &c, n);
	if (st == PL_OK && r != NULL)
		st = report_corpus(r, &c, n, err);
	pl_corpus_close(&c);
	free(n);
	return st;
}

static enum pl_status report_shards(struct report *r, const struct sheet_shard *shards, size_t n, struct pl_err *err)
{
	struct sheet s = { 0 };
	enum pl_status st = r->pool != NULL ? sheet_of_shards(&s, shards, n, r->pool, (uint64_t)thumbnails, err) : PL_OK;

	if (st == PL_OK)
		st = html_sheet(&r->page, &s, err);
	sheet_release(&s);
	return st;
}

static void print_dropped(const json_t *source, const char *field)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(source, field), key, value)
		printf("    %-20s %12lld  %s\n", key, (long long)json_integer_value(value), field);
}

static enum pl_status report_dataset(struct report *r, const char *dir, const json_t *j, struct pl_err *err)
{
	const json_t *list = json_object_get(j, "shards");
	const char *name = pl_json_str(j, "name");
	const size_t n = json_array_size(list);
	struct sheet_shard *shards = calloc(n + 1, sizeof(*shards));
	enum pl_status st = shards == NULL ? pl_fail_nomem(err) : PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		const char *file = pl_json_str(json_array_get(list, i), "name");
		const double samples = pl_json_num(json_array_get(list, i), "samples", 0);
		shards[i].samples = samples > 0 && samples < 1e15 ? (uint64_t)samples : 0;
		if (file == NULL || strchr(file, '/') != NULL)
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, dir, "dataset.json does not name its shards");
		else if ((shards[i].path = pl_path_join(dir, file)) == NULL)
			st = pl_fail_nomem(err);
	}
	if (st == PL_OK)
		st = report_part(r, name != NULL ? name : dir, err, "data set of %zu shards, %.0f samples, %.0f images, %.0f tokens, %.0f bytes", n,
		    pl_json_num(j, "samples", 0), pl_json_num(j, "images", 0), pl_json_num(j, "tokens", 0), pl_json_num(j, "bytes", 0));
	if (st == PL_OK)
		st = html_sources(&r->page, json_object_get(j, "sources"), err);
	if (st == PL_OK)
		st = report_shards(r, shards, n, err);
	for (size_t i = 0; shards != NULL && i < n; i++)
		free(shards[i].path);
	free(shards);
	return st;
}

static enum pl_status stat_dataset(const char *dir, const char *path, struct report *r, struct pl_err *err)
{
	json_t *j = NULL, *source;
	size_t i;
	enum pl_status st = pl_json_load(path, (size_t)4 << 30, &j, err);

	if (st != PL_OK)
		return st;
	printf("%s: data set '%s': %zu shards, %.0f samples, %.0f images, %.0f tokens, %.0f bytes\n", dir,
	    pl_json_str(j, "name") != NULL ? pl_json_str(j, "name") : "?", json_array_size(json_object_get(j, "shards")), pl_json_num(j, "samples", 0),
	    pl_json_num(j, "images", 0), pl_json_num(j, "tokens", 0), pl_json_num(j, "bytes", 0));
	json_array_foreach(json_object_get(j, "sources"), i, source) {
		const char *name = pl_json_str(source, "name");
		printf("  %s: in %.0f, kept %.0f, drawn %.0f (repeats %.0f, not drawn %.0f), out %.0f\n", name != NULL ? name : "?",
		    pl_json_num(source, "in", 0), pl_json_num(source, "kept", 0), pl_json_num(source, "drawn", 0), pl_json_num(source, "repeated", 0),
		    pl_json_num(source, "not_drawn", 0), pl_json_num(source, "out", 0));
		print_dropped(source, "dropped");
		print_dropped(source, "dropped_at_packing");
	}
	if (r != NULL)
		st = report_dataset(r, dir, j, err);
	json_decref(j);
	return st;
}

static enum pl_status stat_shard(const char *path, struct report *r, struct pl_err *err)
{
	struct sheet_shard list = { NULL, 0 };
	struct shard *s = NULL;
	struct stat sb;
	enum pl_status st = shard_open(&s, path, err);

	if (st != PL_OK)
		return st;
	if (stat(path, &sb) != 0)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot read");
	else
		printf("%s: %llu samples, %llu frames, %lld bytes\n", path, (unsigned long long)shard_count(s), (unsigned long long)shard_frames(s),
		    (long long)sb.st_size);
	list.samples = shard_count(s);
	shard_close(s);
	if (st != PL_OK || r == NULL)
		return st;
	st = report_part(r, path, err, "shard of %llu samples, %lld bytes", (unsigned long long)list.samples, (long long)sb.st_size);
	if (st == PL_OK && (list.path = strdup(path)) == NULL)
		st = pl_fail_nomem(err);
	if (st == PL_OK)
		st = report_shards(r, &list, 1, err);
	free(list.path);
	return st;
}

static enum pl_status stat_one(const char *path, struct report *r, struct pl_err *err)
{
	char *dataset = pl_path_join(path, "dataset.json");
	struct stat sb;
	enum pl_status st;

	if (dataset == NULL)
		return pl_fail_nomem(err);
	if (stat(path, &sb) != 0)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot read");
	else if (!S_ISDIR(sb.st_mode))
		st = stat_shard(path, r, err);
	else
		st = access(dataset, F_OK) == 0 ? stat_dataset(path, dataset, r, err) : stat_corpus(path, r, err);
	free(dataset);
	return st;
}

/* Pictures are decoded in sandboxed workers only. */
static enum pl_status open_pool(struct pl_pool **pool, struct pl_err *err)
{
	const struct pl_pool_config config = {
		.workers = (int)common.workers, .sandbox = (enum pl_sandbox)common.sandbox, .limits = pl_img_limits_default()
	};
	enum pl_status st = pl_pool_new(pool, &config, err);

	if (st == PL_OK && config.sandbox == PL_SANDBOX_AUTO && !pl_pool_seccomp(*pool))
		pl_log(PL_LOG_WARNING, "no seccomp here: image decoders run with resource limits only");
	return st;
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	struct report r = { 0 };
	enum pl_status st = PL_OK;

	if (argc == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no CORPUS, DATASET or SHARD is given");
	pl_buf_init(&r.page, 0);
	if (html != NULL && thumbnails > 0)
		st = open_pool(&r.pool, err);
	if (st == PL_OK && html != NULL)
		st = html_begin(&r.page, err);
	for (int i = 0; i < argc && st == PL_OK; i++)
		st = stat_one(argv[i], html != NULL ? &r : NULL, err);
	if (st == PL_OK && html != NULL)
		st = html_end(&r.page, err);
	if (st == PL_OK && html != NULL)
		st = pl_file_write(html, r.page.data, r.page.len, err);
	pl_pool_free(r.pool);
	pl_buf_release(&r.page);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}

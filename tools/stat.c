/* SPDX-License-Identifier: Apache-2.0 */
/* plait-stat: the numbers of corpora, data sets and shards. */
#include "libpipe/base/file.h"
#include "libpipe/corpus/corpus.h"
#include "serial.h"

#include <sys/stat.h>
#include <unistd.h>

static struct pl_common common;

static const struct pl_opt options[] = { { 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL } };

static const struct pl_tool tool = {
	.name = "plait-stat",
	.summary = "numbers of corpora, data sets and shards",
	.synopsis = "CORPUS|DATASET|SHARD...",
	.description =
	    "For a corpus: samples and images by verdict, formats, and quantiles of sizes, text lengths and image statistics. For a data set: its totals and "
	    "the account of every source. For a shard: samples, frames and bytes.",
	.examples = "plait stat out/demo/work/pairs\nplait stat out/demo",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE,
};

/* Counts of 32-bit values in 64 logarithmic steps per power of two: quantiles within 1.1 %, fixed memory. */
#define STEPS 64u
struct histogram { uint64_t counts[33 * STEPS], n; };

static void add(struct histogram *h, uint32_t v)
{
	unsigned power = v == 0 ? 0 : 32u - (unsigned)__builtin_clz(v);
	uint64_t base = power == 0 ? 0 : (uint64_t)1 << (power - 1);
	unsigned step = power == 0 ? 0 : (unsigned)((v - base) * STEPS / base);

	h->counts[power * STEPS + step]++;
	h->n++;
}

static double quantile(const struct histogram *h, double q)
{
	uint64_t want = (uint64_t)(q * (double)(h->n - 1)) + 1, sum = 0;

	for (unsigned i = 0; i < 33 * STEPS; i++) {
		sum += h->counts[i];
		if (sum >= want) {
			double base = i < STEPS ? 0 : (double)((uint64_t)1 << (i / STEPS - 1));
			return base + base * (double)(i % STEPS) / STEPS;
		}
	}
	return 0;
}

static void print_quantiles(const char *what, const struct histogram *h)
{
	if (h->n == 0)
		return;
	printf("  %-12s %10.0f %10.0f %10.0f %10.0f %10.0f\n", what, quantile(h, 0), quantile(h, 0.05), quantile(h, 0.5), quantile(h, 0.95),
	    quantile(h, 1));
}

/* Of fractions, which the histogram holds as multiples of 1/1000. */
static void print_fractions(const char *what, const struct histogram *h)
{
	if (h->n == 0)
		return;
	printf("  %-12s %10.3g %10.3g %10.3g %10.3g %10.3g\n", what, quantile(h, 0) / 1000, quantile(h, 0.05) / 1000, quantile(h, 0.5) / 1000,
	    quantile(h, 0.95) / 1000, quantile(h, 1) / 1000);
}

/* What does not fit, NaN included, is left out. */
static void add_fraction(struct histogram *h, float v)
{
	if (v >= 0 && v < 4e6f)
		add(h, (uint32_t)(v * 1000));
}

struct numbers {
	uint64_t samples[PL_REASON_COUNT], images[PL_REASON_COUNT], formats[PL_FORMAT_COUNT];
	struct histogram width, height, bytes, words, per_sample;
	struct histogram mean, contrast, entropy, edges, blur, bits_per_pixel, jpeg_quality;
	uint64_t blank, animated;
};

static void count(struct numbers *n, const struct pl_tables *t)
{
	for (uint64_t i = 0; i < t->samples.nrows; i++) {
		n->samples[pl_sample_verdict(t, i)]++;
		add(&n->words, pl_sample(t, i)->text_words);
		add(&n->per_sample, pl_sample(t, i)->images);
	}
	for (uint64_t i = 0; i < t->images.nrows; i++) {
		const struct pl_image_row *im = pl_image_at(t, i);
		n->images[pl_image_verdict(t, i)]++;
		n->formats[im->format < PL_FORMAT_COUNT ? im->format : PL_FORMAT_UNKNOWN]++;
		if (im->status != PL_REASON_KEEP)
			continue;
		add(&n->width, im->width);
		add(&n->height, im->height);
		add(&n->bytes, im->length > UINT32_MAX ? UINT32_MAX : (uint32_t)im->length);
		add_fraction(&n->mean, im->mean);
		add_fraction(&n->contrast, im->contrast);
		add_fraction(&n->entropy, im->entropy);
		add_fraction(&n->edges, im->edges);
		add_fraction(&n->blur, im->blur);
		add_fraction(&n->bits_per_pixel, im->bits_per_pixel);
		if (im->jpeg_quality > 0)
			add(&n->jpeg_quality, im->jpeg_quality);
		n->blank += im->blank != 0;
		n->animated += im->frames > 1;
	}
}

static void print_reasons(const char *what, const uint64_t *counts)
{
	for (unsigned r = 0; r < PL_REASON_COUNT; r++)
		if (counts[r] > 0)
			printf("  %s %-16s %12llu  %s\n", what, pl_reason_name(r), (unsigned long long)counts[r], r == 0 ? "" : pl_reason_text(r));
}

static enum pl_status stat_corpus(const char *dir, struct pl_err *err)
{
	struct numbers *n = calloc(1, sizeof(*n));
	struct pl_corpus c;
	enum pl_status st = n == NULL ? pl_fail_nomem(err) : pl_corpus_open(&c, dir, err);

	if (st != PL_OK) {
		free(n);
		return st;
	}
	for (size_t i = 0; i < c.nshards && st == PL_OK; i++) {
		struct pl_tables t = { 0 };
		st = pl_tables_open(&t, &c, i, err);
		if (st == PL_OK)
			count(n, &t);
		pl_tables_close(&t);
	}
	if (st == PL_OK) {
		printf("%s: corpus '%s' (%s, %s): %zu shards, %llu samples, %llu images\n", dir, c.source.name, pl_kind_names[c.source.read.kind],
		    pl_hash_recipe_names[c.source.hash], c.nshards, (unsigned long long)c.samples, (unsigned long long)c.images);
		print_reasons("samples", n->samples);
		print_reasons("images ", n->images);
		for (unsigned f = 0; f < PL_FORMAT_COUNT; f++)
			if (n->formats[f] > 0)
				printf("  format  %-16s %12llu\n", pl_format_name((enum pl_format)f), (unsigned long long)n->formats[f]);
		printf("  %-12s %10s %10s %10s %10s %10s\n", "quantiles", "min", "5 %", "median", "95 %", "max");
		print_quantiles("width", &n->width);
		print_quantiles("height", &n->height);
		print_quantiles("bytes", &n->bytes);
		print_quantiles("words", &n->words);
		print_quantiles("images each", &n->per_sample);
		print_fractions("bits/pixel", &n->bits_per_pixel);
		print_fractions("mean", &n->mean);
		print_fractions("contrast", &n->contrast);
		print_fractions("entropy", &n->entropy);
		print_fractions("edges", &n->edges);
		print_fractions("blur", &n->blur);
		print_quantiles("jpeg quality", &n->jpeg_quality);
		printf("  images: %llu blank, %llu animated\n", (unsigned long long)n->blank, (unsigned long long)n->animated);
	}
	pl_corpus_close(&c);
	free(n);
	return st;
}

static void print_dropped(const json_t *source, const char *field)
{
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(source, field), key, value)
		printf("    %-20s %12lld  %s\n", key, (long long)json_integer_value(value), field);
}

static enum pl_status stat_dataset(const char *dir, const char *path, struct pl_err *err)
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
	json_decref(j);
	return PL_OK;
}

static enum pl_status stat_shard(const char *path, struct pl_err *err)
{
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
	shard_close(s);
	return st;
}

static enum pl_status stat_one(const char *path, struct pl_err *err)
{
	char *dataset = pl_path_join(path, "dataset.json");
	struct stat sb;
	enum pl_status st;

	if (dataset == NULL)
		return pl_fail_nomem(err);
	if (stat(path, &sb) != 0)
		st = pl_fail_errno(err, PL_SEV_JOB, path, "cannot read");
	else if (!S_ISDIR(sb.st_mode))
		st = stat_shard(path, err);
	else
		st = access(dataset, F_OK) == 0 ? stat_dataset(path, dataset, err) : stat_corpus(path, err);
	free(dataset);
	return st;
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	if (argc == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no CORPUS, DATASET or SHARD is given");
	for (int i = 0; i < argc && st == PL_OK; i++)
		st = stat_one(argv[i], err);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}

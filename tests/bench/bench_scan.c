/* SPDX-License-Identifier: Apache-2.0 */
/* Times the scan of an image (probe, decode, hash, statistics, XXH3) against
 * Huffman decoding alone, the hash of decoded luma, and our JPEG decoder against
 * libjpeg, over the JPEGs of tars or single ones.
 * usage: bench_scan TAR|JPEG...; prints lines: name, unit, ours, peer, ratio */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
#include "libpipe/img/jpeg_baseline.h"
#include "libpipe/img/stats.h"

enum { MOST = 4096, ROUNDS = 7 };

struct item {
	const uint8_t *data;
	size_t len;
};

static struct item items[MOST];
static size_t count;

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void add_jpeg(const uint8_t *b, size_t n)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	if (pl_img_probe(b, n, &lim, &info) == PL_REASON_KEEP && info.format == PL_FORMAT_JPEG &&
	    info.channels == 3 && count < MOST)
		items[count++] = (struct item){ b, n };
}

/* The colour JPEGs of a plain tar, or the one that this is. */
static void add(const uint8_t *b, size_t n)
{
	if (pl_img_sniff(b, n) == PL_FORMAT_JPEG) {
		add_jpeg(b, n);
		return;
	}
	for (size_t at = 0; n - at >= 512 && b[at] != 0 && count < MOST;) {
		size_t size = (size_t)strtoull((const char *)b + at + 124, NULL, 8);
		at += 512;
		if (size > n - at)
			return;
		add_jpeg(b + at, size);
		at += (size + 511) / 512 * 512;
		if (at > n)
			return;
	}
}

static void huffman(const struct item *item)
{
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr errors;
	JSAMPROW row;
	c.err = jpeg_std_error(&errors);
	jpeg_create_decompress(&c);
	jpeg_mem_src(&c, item->data, (unsigned long)item->len);
	(void)jpeg_read_header(&c, TRUE);
	(void)jpeg_start_decompress(&c);
	/* Skipping to the very end would skip the decoding, too. */
	(void)jpeg_skip_scanlines(&c, c.output_height - 1);
	row = malloc((size_t)c.output_width * 3);
	if (row)
		(void)jpeg_read_scanlines(&c, &row, 1);
	jpeg_destroy_decompress(&c);
	free(row);
}

static void scan(const struct item *item)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_img_stats stats;
	struct pl_pdq hash;
	uint8_t xxh3[16];
	pl_hash128_bytes(item->data, item->len, xxh3);
	if (pl_img_probe(item->data, item->len, &lim, &info) == PL_REASON_KEEP)
		(void)pl_img_scan(
		    item->data, item->len, &info, &lim, PL_HASH_PDQ_AA, &hash, &stats);
}

/* Seconds of the fastest of some rounds over everything; the ways take turns. */
static void duel(double best[2])
{
	best[0] = best[1] = 1e9;
	for (int round = 0; round < ROUNDS; round++)
		for (int way = 0; way < 2; way++) {
			double begun = cpu();
			for (size_t i = 0; i < count; i++)
				way == 0 ? scan(&items[i]) : huffman(&items[i]);
			double s = cpu() - begun;
			best[way] = s < best[way] ? s : best[way];
		}
}

/* Seconds of hashing every picture's full-size luma, decoding not counted. */
static double hashing(void)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_decode luma = { 0, true };
	double total = 0;
	for (size_t i = 0; i < count; i++) {
		struct pl_img_info info;
		struct pl_image im = { 0 };
		struct pl_pdq hash;
		double best = 1e9;
		if (pl_img_probe(items[i].data, items[i].len, &lim, &info) != PL_REASON_KEEP ||
		    pl_img_decode(items[i].data, items[i].len, &info, &lim, &luma, &im) != PL_REASON_KEEP)
			continue;
		for (int round = 0; round < ROUNDS; round++) {
			double begun = cpu();
			(void)pl_pdq_aa(&im, &hash);
			double s = cpu() - begun;
			best = s < best ? s : best;
		}
		total += best;
		pl_image_release(&im);
	}
	return total;
}

/* Every picture at a reduction, as planes or luma. */
static void decode(unsigned by, bool luma)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	for (size_t i = 0; i < count; i++) {
		struct pl_img_info info;
		struct pl_planes planes = { 0 };
		struct pl_image im = { 0 };
		bool fit;
		if (pl_img_probe(items[i].data, items[i].len, &lim, &info) != PL_REASON_KEEP)
			continue;
		const uint32_t w = info.width / by, h = info.height / by;
		const struct pl_img_decode how = { w < h ? w : h, true };
		if (luma)
			(void)pl_img_decode(items[i].data, items[i].len, &info, &lim, &how, &im);
		else
			(void)pl_decode_jpeg_planes(
			    items[i].data, items[i].len, &info, &lim, w, h, &planes, &fit);
		free(planes.block);
		pl_image_release(&im);
	}
}

static void decoders(unsigned by, bool luma)
{
	double best[2] = { 1e9, 1e9 };
	for (int round = 0; round < ROUNDS; round++)
		for (int way = 0; way < 2; way++) {
			pl_jpeg_baseline_use(way == 0);
			double begun = cpu();
			decode(by, luma);
			double s = cpu() - begun;
			best[way] = s < best[way] ? s : best[way];
		}
	pl_jpeg_baseline_use(true);
	const double us = 1e6 / (double)count;
	printf("img.jpeg.%s.%u\tus\t%.4g\t%.4g\t%.3g\n", luma ? "luma" : "planes", by, best[0] * us,
	    best[1] * us, best[1] / best[0]);
}

int main(int argc, char **argv)
{
	struct pl_err err;
	char text[2048];
	double best[2];
	for (int i = 1; i < argc; i++) {
		char *data = NULL;
		size_t len = 0;
		if (pl_file_read(argv[i], (size_t)1 << 30, &data, &len, &err) != PL_OK) {
			fprintf(stderr, "bench_scan: %s\n", pl_err_format(&err, text, sizeof(text)));
			return 3;
		}
		add((const uint8_t *)data, len);
	}
	if (count == 0) {
		fprintf(stderr, "usage: bench_scan TAR|JPEG... (plain tars with JPEGs)\n");
		return 2;
	}
	duel(best);
	double n = (double)count;
	printf("img.scan.huffman\timages/s\t%.4g\t%.4g\t%.3g\n", n / best[0], n / best[1], best[1] / best[0]);
	double us = hashing() / n * 1e6;
	printf("img.hash\tus\t%.3g\t60\t%.3g\n", us, 60 / us);
	for (unsigned by = 1; by <= 8; by *= 2)
		decoders(by, false);
	for (unsigned by = 1; by <= 8; by *= 2)
		decoders(by, true);
	return 0;
}

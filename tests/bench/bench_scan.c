/* SPDX-License-Identifier: Apache-2.0 */
/* Times the scan of an image (probe, decode, hash, statistics, XXH3) against
 * Huffman decoding alone, and the hash of decoded luma, over the JPEGs of tars.
 * usage: bench_scan TAR...; prints lines: name, unit, ours, peer, ratio */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jpeglib.h>

#include "libpipe/base/file.h"
#include "libpipe/base/hash.h"
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

/* The baseline JPEGs of a plain tar. */
static void add_tar(const uint8_t *b, size_t n)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	for (size_t at = 0; n - at >= 512 && b[at] != 0 && count < MOST;) {
		size_t size = (size_t)strtoull((const char *)b + at + 124, NULL, 8);
		at += 512;
		if (size > n - at)
			return;
		if (pl_img_probe(b + at, size, &lim, &info) == PL_REASON_KEEP &&
		    info.format == PL_FORMAT_JPEG && info.channels == 3)
			items[count++] = (struct item){ b + at, size };
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
		add_tar((const uint8_t *)data, len);
	}
	if (count == 0) {
		fprintf(stderr, "usage: bench_scan TAR... (plain tars with JPEGs)\n");
		return 2;
	}
	duel(best);
	double n = (double)count;
	printf("img.scan.huffman\timages/s\t%.4g\t%.4g\t%.3g\n", n / best[0], n / best[1], best[1] / best[0]);
	double us = hashing() / n * 1e6;
	printf("img.hash\tus\t%.3g\t60\t%.3g\n", us, 60 / us);
	return 0;
}

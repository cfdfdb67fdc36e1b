/* SPDX-License-Identifier: Apache-2.0 */
/* Times writing JPEG from planes, ours against libjpeg-turbo, over the JPEGs of
 * tars, made 256 high or wide as keep_ratio makes them; the files are compared.
 * usage: bench_jpeg_write [-Q QUALITY] [-v] TAR...; prints a line: name, unit, ours, peer, ratio;
 * -v: on stderr every level of vector code, and tables made to measure */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libpipe/base/file.h"
#include "libpipe/img/planes.h"

/* A picture is written some times in a row: its planes lie in the cache, as the resampler leaves them. */
enum { MOST = 512, ROUNDS = 5, TIMES = 4, SIDE = 256 };

static struct pl_yuv420 pictures[MOST];
static size_t count;

typedef enum pl_reason encoder(struct pl_yuv420 *, int, bool, uint8_t **, size_t *);

static double cpu(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The smaller side becomes SIDE. */
static bool scale(const struct pl_planes *in, const struct pl_img_info *info, struct pl_yuv420 *out)
{
	const double unit = (double)SIDE / (info->width < info->height ? info->width : info->height);
	const uint32_t w = (uint32_t)(info->width * unit + 0.5);
	const uint32_t h = (uint32_t)(info->height * unit + 0.5);
	const size_t luma = ((size_t)w + 15) / 16 * 16, rows = ((size_t)h + 1) / 2;
	*out = (struct pl_yuv420){ .stride = { luma, luma / 2, luma / 2 }, .width = w, .height = h };
	out->plane[0] = calloc(1, luma * (h + rows));
	if (!out->plane[0])
		return false;
	out->plane[1] = out->plane[0] + luma * h;
	out->plane[2] = out->plane[1] + luma / 2 * rows;
	for (int i = 0; i < 3; i++) {
		const double div = i ? 2 : 1;
		const struct pl_cut cut = { w / div, h / div, 0, 0, i ? (w + 1) / 2 : w,
			i ? (h + 1) / 2 : h };
		if (pl_resample_cut(&in->plane[i], 1, &cut, PL_FILTER_LANCZOS, out->plane[i],
			out->stride[i]) != PL_REASON_KEEP)
			return false;
	}
	return true;
}

static void add(const uint8_t *data, size_t len)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_planes planes = { 0 };
	bool fit = false;
	if (pl_img_probe(data, len, &lim, &info) != PL_REASON_KEEP ||
	    info.format != PL_FORMAT_JPEG || info.channels != 3 || info.width < SIDE ||
	    info.height < SIDE)
		return;
	if (pl_decode_jpeg_planes(data, len, &info, &lim, 2 * SIDE, 2 * SIDE, &planes, &fit) ==
		PL_REASON_KEEP && fit && scale(&planes, &info, &pictures[count]))
		count++;
	free(planes.block);
}

static void add_tar(const uint8_t *b, size_t n)
{
	for (size_t at = 0; n - at >= 512 && b[at] != 0 && count < MOST;) {
		size_t size = (size_t)strtoull((const char *)b + at + 124, NULL, 8);
		at += 512;
		if (size > n - at)
			return;
		add(b + at, size);
		at += (size + 511) / 512 * 512;
		if (at > n)
			return;
	}
}

static bool same(struct pl_yuv420 *im, int quality)
{
	uint8_t *a = NULL, *b = NULL;
	size_t n = 0, m = 0;
	bool equal = pl_encode_jpeg_planes(im, quality, false, &a, &n) == PL_REASON_KEEP &&
	    pl_encode_jpeg_planes_library(im, quality, false, &b, &m) == PL_REASON_KEEP &&
	    n == m && memcmp(a, b, n) == 0;
	free(a);
	free(b);
	return equal;
}

/* CPU time of one round, in microseconds a picture. */
static double run(encoder *encode, int quality, bool optimise)
{
	const double begun = cpu();
	for (size_t i = 0; i < count; i++) {
		uint8_t *data = NULL;
		size_t len = 0;
		for (int k = 0; k < TIMES; k++) {
			(void)encode(&pictures[i], quality, optimise, &data, &len);
			free(data);
		}
	}
	return (cpu() - begun) / (double)count / TIMES * 1e6;
}

/* The fastest of some rounds; the two take turns. */
static void duel(int quality, bool optimise, double best[2])
{
	best[0] = best[1] = 1e9;
	for (int round = 0; round < ROUNDS; round++)
		for (int way = 0; way < 2; way++) {
			const double us = run(way ? pl_encode_jpeg_planes_library
						  : pl_encode_jpeg_planes, quality, optimise);
			best[way] = us < best[way] ? us : best[way];
		}
}

static void details(int quality)
{
	static const char *const names[] = { "best", "scalar", "AVX2", "AVX-512" };
	double best[2];
	for (enum pl_simd level = PL_SIMD_SCALAR; level <= PL_SIMD_AVX512; level++) {
		if (!pl_jpeg_write_force(level))
			continue;
		for (int optimise = 0; optimise < 2; optimise++) {
			duel(quality, optimise, best);
			fprintf(stderr, "%s%s: %.1f us, libjpeg-turbo %.1f us, ratio %.2f\n",
			    names[level], optimise ? ", tables to measure" : "", best[0], best[1],
			    best[1] / best[0]);
		}
	}
	(void)pl_jpeg_write_force(PL_SIMD_NONE);
}

int main(int argc, char **argv)
{
	struct pl_err err;
	char text[2048];
	double best[2];
	int quality = 95;
	bool verbose = false;
	for (int i = 1; i < argc; i++) {
		char *data = NULL;
		size_t len = 0;
		if (strcmp(argv[i], "-Q") == 0 && i + 1 < argc) {
			quality = (int)strtol(argv[++i], NULL, 10);
			continue;
		}
		if (strcmp(argv[i], "-v") == 0) {
			verbose = true;
			continue;
		}
		if (pl_file_read(argv[i], (size_t)1 << 30, &data, &len, &err) != PL_OK) {
			fprintf(stderr, "bench_jpeg_write: %s\n", pl_err_format(&err, text, sizeof(text)));
			return 3;
		}
		add_tar((const uint8_t *)data, len);
		free(data);
	}
	if (count == 0) {
		fprintf(stderr, "usage: bench_jpeg_write [-Q QUALITY] [-v] TAR... (plain tars with JPEGs)\n");
		return 2;
	}
	for (size_t i = 0; i < count; i++)
		if (!same(&pictures[i], quality)) {
			fprintf(stderr, "bench_jpeg_write: picture %zu differs from libjpeg-turbo's\n", i);
			return 3;
		}
	if (verbose)
		details(quality);
	duel(quality, false, best);
	printf("img.jpeg.write\tus\t%.4g\t%.4g\t%.3g\n", best[0], best[1], best[1] / best[0]);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* CPU time of the resampler on 4:2:0 planes, every picture of another size, so
 * that no axis is kept from one to the next; and of one size again and again.
 * The least of five rounds, in microseconds a picture, for every vector unit. */
#include <stdio.h>
#include <time.h>

#include "libpipe/img/planes.h"

enum { MOST = 700, PICTURES = 60 };

static double cpu(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* The shorter side to 256, three planes. */
static bool shrink(const uint8_t *pixels, uint32_t w, uint32_t h, uint8_t *dst)
{
	const double scale = 256.0 / (w < h ? w : h);
	const uint32_t out_w = (uint32_t)(w * scale + 0.5), out_h = (uint32_t)(h * scale + 0.5);
	for (uint32_t by = 1, i = 0; i < 3; i++, by = 2) {
		const struct pl_plane in = { pixels, MOST, (w + by - 1) / by, (h + by - 1) / by,
			(double)w / by, (double)h / by };
		const struct pl_cut cut = { (double)out_w / by, (double)out_h / by, 0, 0,
			(out_w + by - 1) / by, (out_h + by - 1) / by };
		if (pl_resample_cut(&in, 1, &cut, PL_FILTER_LANCZOS, dst, MOST) != PL_REASON_KEEP)
			return false;
	}
	return true;
}

static double picture_us(const uint8_t *pixels, uint8_t *dst, uint32_t vary)
{
	double best = 1e18;
	for (int round = 0; round < 5; round++) {
		double start = cpu();
		for (uint32_t i = 0; i < PICTURES; i++)
			if (!shrink(pixels, 500 + vary * i, 375 + vary * i, dst))
				return -1;
		double took = cpu() - start;
		best = took < best ? took : best;
	}
	return best / PICTURES;
}

int main(void)
{
	static const char *const names[] = { "best", "scalar", "avx2", "avx512" };
	static uint8_t pixels[MOST * MOST], dst[MOST * MOST];
	for (size_t i = 0; i < (size_t)MOST * MOST; i++)
		pixels[i] = (uint8_t)(i * 2654435761u >> 13);
	for (int level = PL_SIMD_SCALAR; level <= PL_SIMD_AVX512; level++)
		if (pl_resample_force((enum pl_simd)level))
			printf("%s\tnew sizes %.1f us\tone size %.1f us\n", names[level],
			    picture_us(pixels, dst, 3), picture_us(pixels, dst, 0));
	return 0;
}

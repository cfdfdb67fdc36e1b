/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of formats and colour share: a patch of one colour in any
 * container, and looking at what came of it. */
#ifndef TESTS_COLOUR_FIXTURE_H
#define TESTS_COLOUR_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <spng.h>
#ifdef HAVE_LCMS2
#include <lcms2.h>
#endif
#ifdef HAVE_AVIF
#include <avif/avif.h>
#endif

#include "libpipe/img/codec.h"
#include "libpipe/img/icc.h"
#include "libpipe/img/pool.h"

struct bytes { uint8_t *p; size_t n; };

static const uint8_t patch[3] = { 200, 110, 60 };

__attribute__((unused)) static struct pl_image patch_image(uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, 32, 32, channels), PL_REASON_KEEP);
	for (size_t i = 0; i < (size_t)32 * 32; i++)
		for (uint32_t c = 0; c < channels; c++)
			im.pixels[i * channels + c] = c < 3 ? patch[c] : (uint8_t)(i & 255);
	return im;
}

__attribute__((unused)) static struct bytes encoded(const struct pl_image *im, enum pl_format format, int quality)
{
	const struct pl_img_encode how = { format, quality, 2 };
	struct bytes b;
	assert_int_equal(pl_img_encode(im, &how, &b.p, &b.n), PL_REASON_KEEP);
	return b;
}

__attribute__((unused)) static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* a[0..at) insert a[at..). */
__attribute__((unused)) static struct bytes spliced(struct bytes a, size_t at, const void *insert, size_t n)
{
	struct bytes b = { malloc(a.n + n), a.n + n };
	assert_non_null(b.p);
	memcpy(b.p, a.p, at);
	memcpy(b.p + at, insert, n);
	memcpy(b.p + at + n, a.p + at, a.n - at);
	free(a.p);
	return b;
}

__attribute__((unused)) static struct pl_img_info probed(struct bytes b)
{
	const struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	assert_int_equal(pl_img_probe(b.p, b.n, &lim, &info), PL_REASON_KEEP);
	return info;
}

/* The first pixel; is the file said to be foreign? */
__attribute__((unused)) static bool decoded(struct bytes b, bool luma, uint8_t pixel[4])
{
	const struct pl_img_limits lim = pl_img_limits_default();
	const struct pl_img_decode how = { 0, luma };
	struct pl_img_info info = probed(b);
	struct pl_image im;
	assert_int_equal(pl_img_decode(b.p, b.n, &info, &lim, &how, &im), PL_REASON_KEEP);
	for (uint32_t c = 0; c < 4; c++)
		pixel[c] = im.pixels[c % im.channels];
	pl_image_release(&im);
	return info.foreign_profile;
}

__attribute__((unused)) static void assert_near(const uint8_t got[4], const uint8_t *want, int tolerance)
{
	for (int c = 0; c < 3; c++)
		if (abs(got[c] - want[c]) > tolerance)
			fail_msg("channel %d: %d, expected %d within %d", c, got[c], want[c], tolerance);
}

__attribute__((unused)) static uint8_t srgb_level(double v)
{
	v = v < 0 ? 0 : v > 1 ? 1 : v;
	v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
	return (uint8_t)(v * 255 + 0.5);
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* PNG's own words on colour: gAMA and cHRM, for files without a profile. */
#include <math.h>
#include <string.h>
#ifdef HAVE_LCMS2
#include <lcms2.h>
#endif

#include "codec.h"
#include "icc.h"

enum { SIGNATURE = 8, CHUNK = 12, SCALE = 100000 };

struct pl_png_colour pl_png_colour(const uint8_t *data, size_t len)
{
	struct pl_png_colour c = { 0 };
	size_t at = SIGNATURE;
	while (at <= len && len - at >= CHUNK) {
		size_t n = pl_be32(data + at);
		const uint8_t *type = data + at + 4, *body = type + 4;
		/* These chunks count before palette and pixels only. */
		if (n > len - at - CHUNK || memcmp(type, "IDAT", 4) == 0 || memcmp(type, "PLTE", 4) == 0)
			break;
		if (memcmp(type, "iCCP", 4) == 0)
			c.iccp = true;
		else if (memcmp(type, "sRGB", 4) == 0)
			c.srgb = true;
		else if (memcmp(type, "gAMA", 4) == 0 && n == 4)
			c.gamma = pl_be32(body);
		else if (memcmp(type, "cHRM", 4) == 0 && n == 32) {
			c.has_primaries = true;
			for (size_t i = 0; i < 8; i++)
				c.primaries[i] = pl_be32(body + 4 * i);
		}
		at += CHUNK + n;
	}
	return c;
}

static bool gamma_is_srgb(uint32_t gamma)
{
	return fabs(gamma * 2.2 / SCALE - 1) <= 0.05;
}

/* sRGB's, or nothing a conversion could be made of. */
static bool primaries_are_srgb(const struct pl_png_colour *c)
{
	static const uint32_t srgb[8] = { 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000 };
	bool same = true;
	for (size_t i = 0; i < 8; i++) {
		if (c->primaries[i] > SCALE || (i % 2 && c->primaries[i] == 0))
			return true;
		same = same && fabs((double)c->primaries[i] - srgb[i]) <= 200;
	}
	return same;
}

bool pl_png_colour_foreign(const struct pl_png_colour *c)
{
	/* Exponents of 1/5 to 5 can be meant. */
	if (c->iccp || c->srgb || c->gamma < SCALE / 5 || c->gamma > SCALE * 5)
		return false;
	if (!gamma_is_srgb(c->gamma))
		return true;
#ifdef HAVE_LCMS2
	return c->has_primaries && !primaries_are_srgb(c);
#else
	return false;
#endif
}

static void apply_gamma(uint32_t gamma, struct pl_image *im)
{
	uint8_t map[256];
	for (int i = 0; i < 256; i++) {
		double v = pow(i / 255.0, (double)SCALE / gamma);
		v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
		map[i] = (uint8_t)(v * 255 + 0.5);
	}
	size_t n = (size_t)im->width * im->height;
	uint32_t colours = im->channels == 1 ? 1 : 3;
	for (size_t i = 0; i < n; i++)
		for (uint32_t k = 0; k < colours; k++)
			im->pixels[i * im->channels + k] = map[im->pixels[i * im->channels + k]];
}

#ifdef HAVE_LCMS2
static bool apply_primaries(const struct pl_png_colour *c, struct pl_image *im)
{
	const uint32_t *p = c->primaries;
	const cmsCIExyY white = { (double)p[0] / SCALE, (double)p[1] / SCALE, 1 };
	const cmsCIExyYTRIPLE rgb = { { (double)p[2] / SCALE, (double)p[3] / SCALE, 1 },
		{ (double)p[4] / SCALE, (double)p[5] / SCALE, 1 }, { (double)p[6] / SCALE, (double)p[7] / SCALE, 1 } };
	cmsContext lcms = cmsCreateContext(NULL, NULL);
	cmsToneCurve *curve = NULL;
	/* A gamma that is about sRGB's is taken for sRGB's curve. */
	if (lcms && gamma_is_srgb(c->gamma)) {
		const cmsFloat64Number srgb[] = { 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045 };
		curve = cmsBuildParametricToneCurve(lcms, 4, srgb);
	} else if (lcms) {
		curve = cmsBuildGamma(lcms, (double)SCALE / c->gamma);
	}
	cmsToneCurve *const curves[3] = { curve, curve, curve };
	cmsHPROFILE from = curve ? cmsCreateRGBProfileTHR(lcms, &white, &rgb, curves) : NULL;
	cmsHPROFILE to = from ? cmsCreate_sRGBProfileTHR(lcms) : NULL;
	cmsUInt32Number layout = im->channels == 4 ? TYPE_RGBA_8 : TYPE_RGB_8;
	cmsHTRANSFORM t = to ? cmsCreateTransformTHR(lcms, from, layout, to, layout, INTENT_PERCEPTUAL, 0) : NULL;
	if (t) {
		uint8_t *row = im->pixels;
		for (uint32_t y = 0; y < im->height; y++, row += (size_t)im->width * im->channels)
			cmsDoTransform(t, row, row, im->width);
		cmsDeleteTransform(t);
	}
	if (to)
		cmsCloseProfile(to);
	if (from)
		cmsCloseProfile(from);
	if (curve)
		cmsFreeToneCurve(curve);
	if (lcms)
		cmsDeleteContext(lcms);
	return t != NULL;
}
#endif

void pl_png_colour_to_srgb(const struct pl_png_colour *c, struct pl_image *im)
{
#ifdef HAVE_LCMS2
	if (c->has_primaries && im->channels >= 3 && !primaries_are_srgb(c) && apply_primaries(c, im))
		return;
#else
	(void)primaries_are_srgb;
#endif
	if (!gamma_is_srgb(c->gamma))
		apply_gamma(c->gamma, im);
}

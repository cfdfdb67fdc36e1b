/* SPDX-License-Identifier: Apache-2.0 */
/* ICC profiles: is this one sRGB? Read here, as it is asked of every header;
 * the conversion is in icc_convert.c. */
#include "icc.h"

#include <math.h>
#include <string.h>

#include "codec.h"
#include "icc_kept.h"

enum { HEADER = 128, TAG = 12, MAX_TAGS = 100, SAMPLES = 32 };

static double fixed(const uint8_t *p)
{
	uint32_t bits = pl_be32(p);
	return (bits & 0x80000000u ? (double)bits - 4294967296.0 : (double)bits) / 65536;
}

unsigned pl_icc_channels(const uint8_t *p, size_t len)
{
	if (len < HEADER || memcmp(p + 36, "acsp", 4) != 0)
		return 0;
	/* Links, abstract and named colour profiles have no business in a picture. */
	if (memcmp(p + 12, "link", 4) == 0 || memcmp(p + 12, "abst", 4) == 0 || memcmp(p + 12, "nmcl", 4) == 0)
		return 0;
	if (memcmp(p + 16, "RGB ", 4) == 0)
		return 3;
	return memcmp(p + 16, "GRAY", 4) == 0 ? 1 : 0;
}

/* The tag's bytes, or NULL. */
static const uint8_t *find_tag(const uint8_t *p, size_t len, const char *name, size_t *n)
{
	if (len < HEADER + 4)
		return NULL;
	uint32_t tags = pl_be32(p + HEADER);
	for (uint32_t i = 0; i < tags && i < MAX_TAGS; i++) {
		size_t at = HEADER + 4 + (size_t)i * TAG;
		if (len - at < TAG)
			return NULL;
		if (memcmp(p + at, name, 4) != 0)
			continue;
		size_t offset = pl_be32(p + at + 4);
		*n = pl_be32(p + at + 8);
		return offset <= len && *n <= len - offset && *n >= 8 ? p + offset : NULL;
	}
	return NULL;
}

static double srgb_encode(double v)
{
	return v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
}

/* parametricCurveType at v, NAN when it is none. */
static double eval_parametric(const uint8_t *t, size_t n, double v)
{
	static const uint8_t counts[] = { 1, 3, 4, 5, 7 };
	double q[7] = { 0 };
	uint32_t kind = n >= 12 ? pl_be16(t + 8) : 5;
	if (kind > 4 || n < 12 + 4 * (size_t)counts[kind])
		return NAN;
	for (size_t i = 0; i < counts[kind]; i++)
		q[i] = fixed(t + 12 + 4 * i);
	double g = q[0], a = q[1], b = q[2], c = q[3], d = q[4];
	switch (kind) {
	case 0:
		return pow(v, g);
	case 1:
		return a * v + b >= 0 ? pow(a * v + b, g) : 0;
	case 2:
		return a * v + b >= 0 ? pow(a * v + b, g) + c : c;
	case 3:
		return v >= d ? pow(a * v + b, g) : c * v;
	default:
		return v >= d ? pow(a * v + b, g) + q[5] : c * v + q[6];
	}
}

static double eval_curve(const uint8_t *t, size_t n, double v)
{
	if (memcmp(t, "para", 4) == 0)
		return eval_parametric(t, n, v);
	if (memcmp(t, "curv", 4) != 0 || n < 12)
		return NAN;
	size_t count = pl_be32(t + 8);
	if (count == 0)
		return v;
	if (count > (n - 12) / 2)
		return NAN;
	if (count == 1)
		return pow(v, pl_be16(t + 12) / 256.0);
	double at = v * (double)(count - 1);
	size_t i = (size_t)at < count - 1 ? (size_t)at : count - 2;
	double low = pl_be16(t + 12 + 2 * i), high = pl_be16(t + 14 + 2 * i);
	return (low + (high - low) * (at - (double)i)) / 65535;
}

/* Does the curve agree with sRGB's to within a level? */
static bool curve_is_srgb(const uint8_t *profile, size_t len, const char *name)
{
	size_t n;
	const uint8_t *t = find_tag(profile, len, name, &n);
	for (int i = 0; t && i <= SAMPLES; i++) {
		double v = (double)i / SAMPLES;
		/* Written so that NAN does not pass. */
		if (!(fabs(srgb_encode(eval_curve(t, n, v)) - v) * 255 <= 1))
			return false;
	}
	return t != NULL;
}

static bool primaries_are_srgb(const uint8_t *profile, size_t len)
{
	/* sRGB's primaries, adapted to D50 as profiles have them. */
	static const struct {
		char name[5];
		double xyz[3];
	} expected[] = {
		{ "rXYZ", { 0.43607, 0.22249, 0.01392 } },
		{ "gXYZ", { 0.38515, 0.71687, 0.09708 } },
		{ "bXYZ", { 0.14307, 0.06061, 0.71410 } },
	};
	for (size_t i = 0; i < PL_ARRAY_LEN(expected); i++) {
		size_t n;
		const uint8_t *t = find_tag(profile, len, expected[i].name, &n);
		if (!t || n < 20 || memcmp(t, "XYZ ", 4) != 0)
			return false;
		for (size_t k = 0; k < 3; k++)
			if (fabs(fixed(t + 8 + 4 * k) - expected[i].xyz[k]) > 0.002)
				return false;
	}
	return true;
}

unsigned pl_icc_judge(const uint8_t *profile, size_t len)
{
	size_t n;
	unsigned channels = pl_icc_channels(profile, len);
	if (channels == 1)
		return curve_is_srgb(profile, len, "kTRC") ? 0 : 1;
	/* Tables outrank matrix and curves. */
	if (channels == 3 && !find_tag(profile, len, "A2B0", &n) && primaries_are_srgb(profile, len) &&
	    curve_is_srgb(profile, len, "rTRC") && curve_is_srgb(profile, len, "gTRC") &&
	    curve_is_srgb(profile, len, "bTRC"))
		return 0;
	return channels;
}

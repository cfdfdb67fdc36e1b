/* SPDX-License-Identifier: Apache-2.0 */
/* From a profile's colours to sRGB. lcms2 reads the profile; where it is three
 * curves and a matrix, as nearly all are, the pixels go through tables of our
 * own, made of what lcms2 read and held against its results.
 *
 * The web has few profiles: what was worked out of the last ones is kept. They
 * are told apart by their bytes, not by a hash, for which a hostile file could
 * be made to pass as another's. */
#include "icc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#ifdef HAVE_LCMS2
#include <lcms2.h>
#endif
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "codec.h"
#include "icc_kept.h"

#ifdef HAVE_LCMS2

enum {
	KEPT = 32,
	KEPT_BYTES = 256 << 10, /* a larger profile is worked out every time */
	ONE_BITS = 14,          /* linear light of 1 is 1 << 14 */
	ONE = 1 << ONE_BITS
};

/* Level v of channel c adds part[c][v] to the three linear lights, 28 bits behind the point. */
struct shaper {
	int32_t part[3][256][4];
};

enum made { MADE_NOT, MADE_LEVELS, MADE_SHAPER, MADE_LCMS };

/* What is known of one profile. */
struct kept_profile {
	uint8_t *bytes;
	size_t len;
	uint64_t used; /* 0: empty */
	unsigned foreign;
	enum made made;
	struct shaper *shaper;
	uint8_t *levels;   /* of a grey profile: 256 */
	cmsContext lcms;
	cmsHTRANSFORM rgb, rgba;
};

/* sRGB's level of a linear light. */
struct encoding {
	bool made;
	uint8_t level[ONE + 1];
};

static void forget_lcms(struct kept_profile *k)
{
	if (k->rgb)
		cmsDeleteTransform(k->rgb);
	if (k->rgba)
		cmsDeleteTransform(k->rgba);
	if (k->lcms)
		cmsDeleteContext(k->lcms);
	k->rgb = k->rgba = NULL;
	k->lcms = NULL;
}

static void drop(struct kept_profile *k)
{
	forget_lcms(k);
	free(k->shaper);
	free(k->levels);
	free(k->bytes);
	memset(k, 0, sizeof(*k));
}

/* ---- grey ---- */

static void map_levels(struct pl_image *im, const uint8_t map[256])
{
	size_t n = (size_t)im->width * im->height;
	uint32_t colours = im->channels == 1 ? 1 : 3;
	for (size_t i = 0; i < n; i++)
		for (uint32_t c = 0; c < colours; c++)
			im->pixels[i * im->channels + c] = map[im->pixels[i * im->channels + c]];
}

/* Grey may have become RGB(A) on the way: the 256 levels are converted, then looked up. */
static void make_grey(struct kept_profile *k, cmsHPROFILE from)
{
	static const cmsFloat64Number srgb[] = { 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045 };
	cmsToneCurve *curve = cmsBuildParametricToneCurve(k->lcms, 4, srgb);
	cmsHPROFILE to = curve ? cmsCreateGrayProfileTHR(k->lcms, cmsD50_xyY(), curve) : NULL;
	cmsHTRANSFORM t = to
	    ? cmsCreateTransformTHR(k->lcms, from, TYPE_GRAY_8, to, TYPE_GRAY_8, INTENT_PERCEPTUAL, 0)
	    : NULL;
	k->levels = t ? malloc(256) : NULL;
	if (k->levels) {
		for (unsigned i = 0; i < 256; i++)
			k->levels[i] = (uint8_t)i;
		cmsDoTransform(t, k->levels, k->levels, 256);
	}
	if (t)
		cmsDeleteTransform(t);
	if (to)
		cmsCloseProfile(to);
	if (curve)
		cmsFreeToneCurve(curve);
	k->made = k->levels ? MADE_LEVELS : MADE_NOT;
}

/* ---- three curves and a matrix ---- */

static bool read_colorants(cmsHPROFILE p, double m[3][3])
{
	static const cmsTagSignature tags[] = { cmsSigRedColorantTag, cmsSigGreenColorantTag,
		cmsSigBlueColorantTag };
	for (int c = 0; c < 3; c++) {
		const cmsCIEXYZ *xyz = cmsReadTag(p, tags[c]);
		if (!xyz)
			return false;
		m[0][c] = xyz->X;
		m[1][c] = xyz->Y;
		m[2][c] = xyz->Z;
	}
	return true;
}

/* out = the inverse of a times b. */
static bool solve(double a[3][3], double b[3][3], double out[3][3])
{
	double adj[3][3], det = 0;
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			adj[j][i] = a[(i + 1) % 3][(j + 1) % 3] * a[(i + 2) % 3][(j + 2) % 3] -
			    a[(i + 1) % 3][(j + 2) % 3] * a[(i + 2) % 3][(j + 1) % 3];
	for (int j = 0; j < 3; j++)
		det += a[0][j] * adj[j][0];
	if (!(fabs(det) > 1e-9))
		return false;
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			out[i][j] = (adj[i][0] * b[0][j] + adj[i][1] * b[1][j] + adj[i][2] * b[2][j]) / det;
	return true;
}

static const struct encoding *encoding(void)
{
	static _Thread_local struct encoding e;
	for (int i = 0; !e.made && i <= ONE; i++) {
		double v = (double)i / ONE;
		v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow(v, 1 / 2.4) - 0.055;
		e.level[i] = (uint8_t)(v * 255 + 0.5);
	}
	e.made = true;
	return &e;
}

/* false: not of this kind. */
static bool fill_shaper(struct shaper *s, cmsHPROFILE from, cmsHPROFILE to)
{
	static const cmsTagSignature curves[] = { cmsSigRedTRCTag, cmsSigGreenTRCTag, cmsSigBlueTRCTag };
	double device[3][3], srgb[3][3], m[3][3];
	if (!cmsIsMatrixShaper(from) || !read_colorants(from, device) || !read_colorants(to, srgb) ||
	    !solve(srgb, device, m))
		return false;
	/* So that the sum of three stays inside 32 bits. */
	for (int i = 0; i < 9; i++)
		if (!(fabs(m[i / 3][i % 3]) <= 2.5))
			return false;
	for (int c = 0; c < 3; c++) {
		const cmsToneCurve *curve = cmsReadTag(from, curves[c]);
		if (!curve)
			return false;
		for (int v = 0; v < 256; v++) {
			double light = cmsEvalToneCurveFloat(curve, (float)v / 255);
			light = light > 0 ? light < 1 ? light : 1 : 0; /* so written for NAN */
			for (int i = 0; i < 3; i++)
				s->part[c][v][i] =
				    (int32_t)floor(m[i][c] * light * (ONE * (double)ONE) + 0.5);
		}
	}
	return true;
}

#if defined(__SSE2__)
static void shape(const struct shaper *s, uint8_t *p, size_t n, uint32_t channels)
{
	const uint8_t *level = encoding()->level;
	const __m128i half = _mm_set1_epi32(ONE / 2), one = _mm_set1_epi16(ONE), zero = _mm_setzero_si128();
	for (size_t i = 0; i < n; i++, p += channels) {
		__m128i r = _mm_loadu_si128((const __m128i *)s->part[0][p[0]]);
		__m128i g = _mm_loadu_si128((const __m128i *)s->part[1][p[1]]);
		__m128i b = _mm_loadu_si128((const __m128i *)s->part[2][p[2]]);
		__m128i v = _mm_add_epi32(_mm_add_epi32(r, g), _mm_add_epi32(b, half));
		v = _mm_packs_epi32(_mm_srai_epi32(v, ONE_BITS), zero);
		v = _mm_min_epi16(_mm_max_epi16(v, zero), one);
		p[0] = level[_mm_extract_epi16(v, 0)];
		p[1] = level[_mm_extract_epi16(v, 1)];
		p[2] = level[_mm_extract_epi16(v, 2)];
	}
}
#else
static void shape(const struct shaper *s, uint8_t *p, size_t n, uint32_t channels)
{
	const uint8_t *level = encoding()->level;
	for (size_t i = 0; i < n; i++, p += channels) {
		const int32_t *r = s->part[0][p[0]], *g = s->part[1][p[1]], *b = s->part[2][p[2]];
		for (int c = 0; c < 3; c++) {
			int32_t v = (r[c] + g[c] + b[c] + ONE / 2) >> ONE_BITS;
			p[c] = level[v < 0 ? 0 : v > ONE ? ONE : v];
		}
	}
}
#endif

/* Are our tables within a level of lcms2's answer, all over the cube? */
static bool shaper_agrees(const struct shaper *s, cmsHTRANSFORM t)
{
	enum { SIDE = 9, N = SIDE * SIDE * SIDE + 256 };
	uint8_t ours[N * 3], theirs[N * 3];
	for (int i = 0; i < N; i++)
		for (int c = 0; c < 3; c++) {
			static const int steps[] = { 1, SIDE, SIDE * SIDE };
			int v = i < 256 ? i : (i - 256) / steps[c] % SIDE * 255 / (SIDE - 1);
			ours[i * 3 + c] = (uint8_t)v;
		}
	cmsDoTransform(t, ours, theirs, N);
	shape(s, ours, N, 3);
	for (int i = 0; i < N * 3; i++)
		if (abs(ours[i] - theirs[i]) > 1)
			return false;
	return true;
}

/* ---- any RGB ---- */

static void make_rgb(struct kept_profile *k, cmsHPROFILE from)
{
	cmsHPROFILE to = cmsCreate_sRGBProfileTHR(k->lcms);
	if (to)
		k->rgb = cmsCreateTransformTHR(k->lcms, from, TYPE_RGB_8, to, TYPE_RGB_8, INTENT_PERCEPTUAL, 0);
	if (k->rgb)
		k->shaper = calloc(1, sizeof(*k->shaper));
	if (k->shaper && fill_shaper(k->shaper, from, to) && shaper_agrees(k->shaper, k->rgb)) {
		k->made = MADE_SHAPER;
	} else if (k->shaper) {
		k->rgba =
		    cmsCreateTransformTHR(k->lcms, from, TYPE_RGBA_8, to, TYPE_RGBA_8, INTENT_PERCEPTUAL, 0);
		k->made = k->rgba ? MADE_LCMS : MADE_NOT;
	}
	if (to)
		cmsCloseProfile(to);
}

/* Nothing is kept of a profile that cannot be used: it may have been for want of memory. */
static void make(struct kept_profile *k, const uint8_t *profile, size_t len)
{
	unsigned channels = pl_icc_channels(profile, len);
	if (channels == 0 || len > PL_ICC_MAX)
		return;
	k->lcms = cmsCreateContext(NULL, NULL);
	cmsHPROFILE from = k->lcms ? cmsOpenProfileFromMemTHR(k->lcms, profile, (cmsUInt32Number)len) : NULL;
	if (from) {
		if (channels == 1)
			make_grey(k, from);
		else
			make_rgb(k, from);
		cmsCloseProfile(from);
	}
	if (k->made != MADE_LCMS)
		forget_lcms(k);
	if (k->made != MADE_SHAPER) {
		free(k->shaper);
		k->shaper = NULL;
	}
}

static bool apply(const struct kept_profile *k, struct pl_image *im)
{
	const size_t row = (size_t)im->width * im->channels;
	if (k->made == MADE_LEVELS) {
		map_levels(im, k->levels);
		return true;
	}
	if (k->made == MADE_NOT || im->channels < 3)
		return false;
	if (k->made == MADE_SHAPER)
		shape(k->shaper, im->pixels, (size_t)im->width * im->height, im->channels);
	else /* in place: what lies in the alpha bytes stays there */
		for (uint32_t y = 0; y < im->height; y++)
			cmsDoTransform(im->channels == 4 ? k->rgba : k->rgb, im->pixels + y * row,
			    im->pixels + y * row, im->width);
	return true;
}

/* ---- the last profiles, of this thread ---- */

static _Thread_local struct kept_profile kept[KEPT];
static _Thread_local uint64_t now;

void pl_icc_forget(void)
{
	for (struct kept_profile *k = kept; k < kept + KEPT; k++)
		drop(k);
}

/* What is known of the profile, judged if not yet converted. Valid until the next call. */
static struct kept_profile *known(const uint8_t *profile, size_t len)
{
	struct kept_profile *oldest = kept;
	for (struct kept_profile *k = kept; k < kept + KEPT; k++) {
		if (k->used && len > 0 && k->len == len && memcmp(k->bytes, profile, len) == 0) {
			k->used = ++now;
			return k;
		}
		if (k->used < oldest->used)
			oldest = k;
	}
	uint8_t *bytes = len > 0 && len <= KEPT_BYTES ? malloc(len) : NULL;
	if (!bytes)
		return NULL;
	drop(oldest);
	memcpy(bytes, profile, len);
	oldest->bytes = bytes;
	oldest->len = len;
	oldest->used = ++now;
	oldest->foreign = pl_icc_judge(profile, len);
	return oldest;
}

unsigned pl_icc_foreign(const uint8_t *profile, size_t len)
{
	const struct kept_profile *k = known(profile, len);
	return k ? k->foreign : pl_icc_judge(profile, len);
}

bool pl_icc_to_srgb(const uint8_t *profile, size_t len, struct pl_image *im)
{
	struct kept_profile once = { 0 }, *k = known(profile, len);
	if (!k)
		k = &once;
	if (k->made == MADE_NOT)
		make(k, profile, len);
	bool done = apply(k, im);
	drop(&once);
	return done;
}

#else

void pl_icc_forget(void)
{
}

unsigned pl_icc_foreign(const uint8_t *profile, size_t len)
{
	(void)profile;
	(void)len;
	return 0;
}

bool pl_icc_to_srgb(const uint8_t *profile, size_t len, struct pl_image *im)
{
	(void)profile;
	(void)len;
	(void)im;
	return false;
}

#endif

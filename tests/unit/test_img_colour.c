/* SPDX-License-Identifier: Apache-2.0 */
/* Colour: profiles that are sRGB and profiles that are not, in every container,
 * whole, cut and damaged; PNG's gAMA and cHRM; frames; AVIF. Expected colours
 * are computed here from the primaries. */
#include "colour_fixture.h"

/* ---- PNG's own chunks, with or without lcms2 ---- */

static struct bytes png_with(uint32_t gamma, bool srgb, bool p3_primaries)
{
	struct pl_image im = patch_image(3);
	struct bytes b = encoded(&im, PL_FORMAT_PNG, 1);
	const size_t behind_ihdr = 33;
	uint8_t chunk[44] = { 0 };
	if (p3_primaries) {
		static const uint32_t p3[8] = { 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000 };
		put32(chunk, 32);
		memcpy(chunk + 4, "cHRM", 4);
		for (int i = 0; i < 8; i++)
			put32(chunk + 8 + 4 * i, p3[i]);
		put32(chunk + 40, 0x6F19B2D6);
		b = spliced(b, behind_ihdr, chunk, 44);
	}
	memset(chunk, 0, sizeof(chunk));
	put32(chunk, 4);
	memcpy(chunk + 4, "gAMA", 4);
	put32(chunk + 8, gamma);
	b = spliced(b, behind_ihdr, chunk, 16);
	if (srgb)
		b = spliced(b, behind_ihdr, "\0\0\0\1sRGB\0\xAE\xCE\x1C\xE9", 13);
	pl_image_release(&im);
	return b;
}

static void test_png_gamma(void **state)
{
	(void)state;
	uint8_t got[4], want[3];
	static const struct { uint32_t gamma; bool srgb, foreign; } cases[] = {
		{ 45455, false, false }, { 45000, false, false }, { 100000, true, false }, { 0, false, false },
		{ 1, false, false }, { UINT32_MAX, false, false }, { 100000, false, true }, { 55556, false, true },
	};
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct bytes b = png_with(cases[i].gamma, cases[i].srgb, false);
		assert_int_equal(decoded(b, false, got), cases[i].foreign);
		for (int c = 0; c < 3; c++)
			want[c] = cases[i].foreign
			    ? srgb_level(pow(patch[c] / 255.0, 100000.0 / cases[i].gamma)) : patch[c];
		assert_near(got, want, 0);
		assert_int_equal(decoded(b, true, got), cases[i].foreign);
		assert_near(got, patch, 0);   /* luma alone is left as it is */
		free(b.p);
	}
}

#ifdef HAVE_LCMS2
static double srgb_decode(double v)
{
	return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

/* Display P3 pixels as sRGB, by the primaries' matrix. */
static void from_p3(const uint8_t in[3], uint8_t out[3])
{
	static const double m[3][3] = { { 1.2249402, -0.2249402, 0 }, { -0.0420570, 1.0420570, 0 },
		{ -0.0196376, -0.0786361, 1.0982736 } };
	for (int c = 0; c < 3; c++) {
		double v = 0;
		for (int k = 0; k < 3; k++)
			v += m[c][k] * srgb_decode(in[k] / 255.0);
		out[c] = srgb_level(v);
	}
}

#endif

/* ---- profiles ---- */

#ifdef HAVE_LCMS2
static struct bytes saved(cmsHPROFILE profile)
{
	cmsUInt32Number n = 0;
	assert_non_null(profile);
	assert_true(cmsSaveProfileToMem(profile, NULL, &n));
	struct bytes b = { malloc(n), n };
	assert_non_null(b.p);
	assert_true(cmsSaveProfileToMem(profile, b.p, &n));
	cmsCloseProfile(profile);
	return b;
}

static cmsToneCurve *srgb_curve(void)
{
	static const cmsFloat64Number q[] = { 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045 };
	return cmsBuildParametricToneCurve(NULL, 4, q);
}

static struct bytes p3_profile(void)
{
	const cmsCIExyY white = { 0.3127, 0.3290, 1 };
	const cmsCIExyYTRIPLE p3 = { { 0.680, 0.320, 1 }, { 0.265, 0.690, 1 }, { 0.150, 0.060, 1 } };
	cmsToneCurve *curve = srgb_curve(), *curves[3] = { curve, curve, curve };
	struct bytes b = saved(cmsCreateRGBProfile(&white, &p3, curves));
	cmsFreeToneCurve(curve);
	return b;
}

static struct bytes grey_profile(cmsToneCurve *curve)
{
	struct bytes b = saved(cmsCreateGrayProfile(cmsD50_xyY(), curve));
	cmsFreeToneCurve(curve);
	return b;
}

/* With the profile in as many APP2 pieces. */
static struct bytes jpeg_with(struct bytes icc, unsigned pieces, uint32_t channels)
{
	struct pl_image im = patch_image(channels);
	struct bytes b = encoded(&im, PL_FORMAT_JPEG, 100);
	pl_image_release(&im);
	for (unsigned i = pieces; i > 0; i--) {
		size_t from = icc.n * (i - 1) / pieces, n = icc.n * i / pieces - from;
		uint8_t head[18] = { 0xFF, 0xE2, (uint8_t)((n + 16) >> 8), (uint8_t)(n + 16) };
		memcpy(head + 4, "ICC_PROFILE", 12);
		head[16] = (uint8_t)i;
		head[17] = (uint8_t)pieces;
		b = spliced(b, 2, icc.p + from, n);
		b = spliced(b, 2, head, sizeof(head));
	}
	return b;
}

static struct bytes png_with_profile(struct bytes icc, uint32_t channels)
{
	struct pl_image im = patch_image(channels);
	struct spng_ihdr ihdr = { .width = 32, .height = 32, .bit_depth = 8,
		.color_type = channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE
		    : channels == 3 ? SPNG_COLOR_TYPE_TRUECOLOR : SPNG_COLOR_TYPE_TRUECOLOR_ALPHA };
	struct spng_iccp iccp = { .profile_name = "p", .profile_len = icc.n, .profile = (char *)icc.p };
	spng_ctx *ctx = spng_ctx_new(SPNG_CTX_ENCODER);
	struct bytes b;
	int error;
	assert_int_equal(spng_set_option(ctx, SPNG_ENCODE_TO_BUFFER, 1) | spng_set_ihdr(ctx, &ihdr), 0);
	assert_int_equal(spng_set_iccp(ctx, &iccp), 0);
	assert_int_equal(spng_encode_image(ctx, im.pixels, (size_t)32 * 32 * channels, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
	b.p = spng_get_png_buffer(ctx, &b.n, &error);
	spng_ctx_free(ctx);
	pl_image_release(&im);
	return b;
}

static struct bytes webp_with(struct bytes icc)
{
	struct pl_image im = patch_image(3);
	struct bytes b = encoded(&im, PL_FORMAT_WEBP, 101);
	uint8_t head[26] = { 'V', 'P', '8', 'X', 10, 0, 0, 0, 0x20, 0, 0, 0, 31, 0, 0, 31, 0, 0, 'I', 'C', 'C', 'P',
		(uint8_t)icc.n, (uint8_t)(icc.n >> 8), 0, 0 };
	pl_image_release(&im);
	if (icc.n & 1)
		b = spliced(b, 12, "", 1);
	b = spliced(b, 12, icc.p, icc.n);
	b = spliced(b, 12, head, sizeof(head));
	for (int i = 0; i < 4; i++)
		b.p[4 + i] = (uint8_t)((b.n - 8) >> (8 * i));
	return b;
}

static void test_display_p3(void **state)
{
	(void)state;
	struct bytes icc = p3_profile();
	uint8_t want[3], got[4];
	from_p3(patch, want);
	assert_true(abs(want[0] - patch[0]) > 5);   /* the case would show no conversion */
	struct bytes files[] = { jpeg_with(icc, 1, 3), jpeg_with(icc, 3, 3), png_with_profile(icc, 3), png_with_profile(icc, 4),
		webp_with(icc) };
	for (size_t i = 0; i < PL_ARRAY_LEN(files); i++) {
		assert_true(decoded(files[i], false, got));
		assert_near(got, want, 2);
		if (i >= 2) {
			(void)decoded(files[i], true, got);
			assert_near(got, patch, 0);
		}
		free(files[i].p);
	}
	free(icc.p);
	/* The same primaries told by cHRM. */
	struct bytes b = png_with(45455, false, true);
	assert_true(probed(b).foreign_profile);
	free(b.p);
}

static void test_alpha_is_kept(void **state)
{
	(void)state;
	const struct pl_img_limits lim = pl_img_limits_default();
	struct bytes icc = p3_profile(), b = png_with_profile(icc, 4);
	struct pl_img_info info = probed(b);
	struct pl_image im;
	assert_int_equal(pl_img_decode(b.p, b.n, &info, &lim, NULL, &im), PL_REASON_KEEP);
	assert_int_equal(im.channels, 4);
	for (size_t i = 0; i < (size_t)32 * 32; i++)
		assert_int_equal(im.pixels[4 * i + 3], i & 255);
	pl_image_release(&im);
	free(b.p);
	free(icc.p);
}

static void test_srgb_profiles(void **state)
{
	(void)state;
	uint8_t got[4];
	struct bytes icc = saved(cmsCreate_sRGBProfile());
	assert_int_equal(pl_icc_channels(icc.p, icc.n), 3);
	assert_int_equal(pl_icc_foreign(icc.p, icc.n), 0);
	struct bytes b = png_with_profile(icc, 3);
	assert_false(decoded(b, false, got));
	assert_near(got, patch, 0);
	free(b.p);
	free(icc.p);
	/* sRGB's primaries under another curve are not sRGB. */
	const cmsCIExyY white = { 0.3127, 0.3290, 1 };
	const cmsCIExyYTRIPLE rec709 = { { 0.64, 0.33, 1 }, { 0.30, 0.60, 1 }, { 0.15, 0.06, 1 } };
	cmsToneCurve *curve = cmsBuildGamma(NULL, 1.8), *curves[3] = { curve, curve, curve };
	icc = saved(cmsCreateRGBProfile(&white, &rec709, curves));
	assert_int_equal(pl_icc_foreign(icc.p, icc.n), 3);
	b = png_with_profile(icc, 3);
	assert_true(decoded(b, false, got));
	for (int c = 0; c < 3; c++)
		assert_true(abs(got[c] - srgb_level(pow(patch[c] / 255.0, 1.8))) <= 1);
	free(b.p);
	free(icc.p);
	cmsFreeToneCurve(curve);
	/* A table of sRGB's curve is sRGB's curve. */
	uint16_t table[1024];
	for (int i = 0; i < 1024; i++)
		table[i] = (uint16_t)(srgb_decode(i / 1023.0) * 65535 + 0.5);
	curve = cmsBuildTabulatedToneCurve16(NULL, 1024, table);
	curves[0] = curves[1] = curves[2] = curve;
	icc = saved(cmsCreateRGBProfile(&white, &rec709, curves));
	assert_int_equal(pl_icc_foreign(icc.p, icc.n), 0);
	free(icc.p);
	cmsFreeToneCurve(curve);
}

static void test_grey_profiles(void **state)
{
	(void)state;
	uint8_t got[4];
	struct bytes icc = grey_profile(cmsBuildGamma(NULL, 1.8));
	const uint8_t level = srgb_level(pow(patch[0] / 255.0, 1.8)), want[3] = { level, level, level };
	struct bytes files[] = { png_with_profile(icc, 1), jpeg_with(icc, 1, 1) };
	for (size_t i = 0; i < PL_ARRAY_LEN(files); i++) {
		assert_true(decoded(files[i], false, got));
		assert_near(got, want, 1);
		free(files[i].p);
	}
	/* On RGB pixels it means nothing. */
	struct bytes b = jpeg_with(icc, 1, 3);
	assert_false(decoded(b, false, got));
	assert_near(got, patch, 2);
	free(b.p);
	free(icc.p);
	icc = grey_profile(srgb_curve());
	assert_int_equal(pl_icc_channels(icc.p, icc.n), 1);
	assert_int_equal(pl_icc_foreign(icc.p, icc.n), 0);
	free(icc.p);
}

/* Every level of each colour, alone and with others. */
static struct pl_image levels(uint32_t channels)
{
	struct pl_image im;
	assert_int_equal(pl_image_init(&im, 256, 16, channels), PL_REASON_KEEP);
	for (uint32_t i = 0; i < 256 * 16; i++)
		for (uint32_t c = 0; c < channels; c++)
			im.pixels[i * channels + c] = (uint8_t)(i * (2 * c + 1) + 37 * (i >> 8) * c);
	return im;
}

static struct bytes gamma_profile(int i)
{
	const cmsCIExyY white = { 0.3127, 0.3290, 1 };
	const cmsCIExyYTRIPLE p3 = { { 0.680, 0.320, 1 }, { 0.265, 0.690, 1 }, { 0.150, 0.060, 1 } };
	cmsToneCurve *curve = cmsBuildGamma(NULL, 1 + 0.05 * i), *curves[3] = { curve, curve, curve };
	struct bytes b = saved(cmsCreateRGBProfile(&white, &p3, curves));
	cmsFreeToneCurve(curve);
	return b;
}

/* Within a level of what lcms2 makes of it. */
static void check_against_lcms(struct bytes icc, const struct pl_image *in, const struct pl_image *ours)
{
	cmsHPROFILE from = cmsOpenProfileFromMem(icc.p, (cmsUInt32Number)icc.n), to = cmsCreate_sRGBProfile();
	cmsHTRANSFORM t = cmsCreateTransform(from, TYPE_RGB_8, to, TYPE_RGB_8, INTENT_PERCEPTUAL, 0);
	uint8_t theirs[256 * 16 * 3];
	assert_non_null(t);
	cmsDoTransform(t, in->pixels, theirs, 256 * 16);
	for (size_t i = 0; i < sizeof(theirs); i++)
		assert_true(abs(theirs[i] - ours->pixels[i]) <= 1);
	cmsDeleteTransform(t);
	cmsCloseProfile(from);
	cmsCloseProfile(to);
}

/* More profiles than are kept, there and back, so that some are found and some are made anew. */
static void test_many_profiles(void **state)
{
	(void)state;
	enum { MANY = 48 };
	struct pl_image in = levels(3), first[MANY];
	for (int i = 0; i < 2 * MANY; i++) {
		int which = i < MANY ? i : 2 * MANY - 1 - i;
		struct bytes icc = gamma_profile(which);
		struct pl_image im = levels(3);
		assert_int_equal(pl_icc_foreign(icc.p, icc.n), 3);
		assert_true(pl_icc_to_srgb(icc.p, icc.n, &im));
		if (i < MANY) {
			check_against_lcms(icc, &in, &im);
			first[which] = im;
		} else {
			assert_memory_equal(im.pixels, first[which].pixels, (size_t)256 * 16 * 3);
			pl_image_release(&im);
			pl_image_release(&first[which]);
		}
		free(icc.p);
	}
	pl_image_release(&in);
}

/* A profile with tables goes through lcms2 itself, its alpha untouched. */
static void test_table_profile(void **state)
{
	(void)state;
	struct pl_image in = levels(3), im = levels(3), alpha = levels(4);
	cmsHPROFILE lab = cmsCreateLab4Profile(NULL), p3 = NULL;
	struct bytes shaper = p3_profile();
	p3 = cmsOpenProfileFromMem(shaper.p, (cmsUInt32Number)shaper.n);
	cmsHTRANSFORM t = cmsCreateTransform(p3, TYPE_RGB_16, lab, TYPE_Lab_16, INTENT_PERCEPTUAL, 0);
	struct bytes icc = saved(cmsTransform2DeviceLink(t, 4.3, cmsFLAGS_GUESSDEVICECLASS));
	cmsDeleteTransform(t);
	cmsCloseProfile(p3);
	cmsCloseProfile(lab);
	assert_int_equal(pl_icc_foreign(icc.p, icc.n), 3);
	for (int i = 0; i < 2; i++) {
		pl_image_release(&im);
		im = levels(3);
		assert_true(pl_icc_to_srgb(icc.p, icc.n, &im));
		check_against_lcms(icc, &in, &im);
	}
	struct pl_image before = levels(4);
	assert_true(pl_icc_to_srgb(icc.p, icc.n, &alpha));
	for (size_t i = 3; i < (size_t)256 * 16 * 4; i += 4)
		assert_int_equal(alpha.pixels[i], before.pixels[i]);
	assert_true(memcmp(alpha.pixels, before.pixels, (size_t)256 * 16 * 4) != 0);
	pl_image_release(&before);
	pl_image_release(&alpha);
	pl_image_release(&im);
	pl_image_release(&in);
	free(icc.p);
	free(shaper.p);
}

/* Damaged profiles cost their own meaning, never the picture. */
static void test_hostile_profiles(void **state)
{
	(void)state;
	const struct bytes good = p3_profile();
	uint8_t got[4];
	for (size_t i = 0; i < good.n; i += i < 400 ? 1 : 13) {
		static const uint8_t values[] = { 0, 0x7F, 0xFF };
		for (size_t k = 0; k < PL_ARRAY_LEN(values); k++) {
			struct bytes bad = { malloc(good.n), good.n };
			assert_non_null(bad.p);
			memcpy(bad.p, good.p, good.n);
			bad.p[i] = values[k];
			struct bytes b = jpeg_with(bad, 1, 3);
			(void)decoded(b, false, got);
			free(b.p);
			bad.n = i;
			struct pl_image im = patch_image(3);
			(void)pl_icc_foreign(bad.p, bad.n);
			(void)pl_icc_to_srgb(bad.p, bad.n, &im);
			pl_image_release(&im);
			free(bad.p);
		}
	}
	/* Cut within its tags: not usable, and the pixels stay. */
	struct bytes cut = { good.p, good.n / 2 };
	struct bytes b = jpeg_with(cut, 1, 3);
	(void)decoded(b, false, got);
	assert_near(got, patch, 2);
	/* A piece that is not there, and one that is there twice. */
	b.p[2 + 16] = 2;
	assert_false(decoded(b, false, got));
	free(b.p);
	b = jpeg_with(good, 2, 3);
	b.p[2 + 16] = 2;
	assert_false(decoded(b, false, got));
	assert_near(got, patch, 2);
	free(b.p);
	free(good.p);
}
#endif

/* ---- AVIF ---- */

#ifdef HAVE_AVIF
static struct bytes avif_file(uint8_t angle, int mirror)
{
	avifImage *im = avifImageCreate(48, 32, 8, AVIF_PIXEL_FORMAT_YUV444);
	avifEncoder *encoder = avifEncoderCreate();
	avifRWData data = AVIF_DATA_EMPTY;
	avifRGBImage rgb;
	assert_true(im && encoder);
	im->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_BT601;
	if (angle) {
		im->transformFlags |= AVIF_TRANSFORM_IROT;
		im->irot.angle = angle;
	}
	if (mirror >= 0) {
		im->transformFlags |= AVIF_TRANSFORM_IMIR;
		im->imir.mode = (uint8_t)mirror;
	}
	avifRGBImageSetDefaults(&rgb, im);
	rgb.format = AVIF_RGB_FORMAT_RGB;
	avifRGBImageAllocatePixels(&rgb);
	for (size_t i = 0; i < (size_t)48 * 32; i++)
		memcpy(rgb.pixels + i / 48 * rgb.rowBytes + i % 48 * 3, patch, 3);
	assert_int_equal(avifImageRGBToYUV(im, &rgb), AVIF_RESULT_OK);
	avifRGBImageFreePixels(&rgb);
	encoder->speed = 10;
	encoder->maxThreads = 1;
	encoder->minQuantizer = encoder->maxQuantizer = 5;
	assert_int_equal(avifEncoderWrite(encoder, im, &data), AVIF_RESULT_OK);
	struct bytes b = { malloc(data.size), data.size };
	assert_non_null(b.p);
	memcpy(b.p, data.data, data.size);
	avifRWDataFree(&data);
	avifEncoderDestroy(encoder);
	avifImageDestroy(im);
	return b;
}

static void test_avif(void **state)
{
	(void)state;
	static const struct { uint8_t angle, orientation; int mirror; } cases[] = { { 0, 1, -1 }, { 1, 8, -1 }, { 2, 3, -1 },
		{ 3, 6, -1 }, { 0, 2, 1 }, { 0, 4, 0 }, { 1, 5, 0 }, { 3, 7, 0 }, { 1, 7, 1 }, { 3, 5, 1 } };
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	struct pl_image im;
	uint8_t got[4];
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct bytes b = avif_file(cases[i].angle, cases[i].mirror);
		info = probed(b);
		assert_int_equal(info.orientation, cases[i].orientation);
		assert_int_equal(info.width, 48);
		assert_int_equal(info.frames, 1);
		assert_false(decoded(b, false, got));
		assert_near(got, patch, 3);
		free(b.p);
	}
	struct bytes b = avif_file(0, -1);
	lim.max_pixels = 48 * 32 - 1;
	assert_int_equal(pl_img_probe(b.p, b.n, &lim, &info), PL_REASON_BOMB);
	assert_int_not_equal(pl_img_decode(b.p, b.n, &info, &lim, NULL, &im), PL_REASON_KEEP);
	lim = pl_img_limits_default();
	info = probed(b);
	for (size_t i = 0; i < b.n; i++) {
		uint8_t was = b.p[i];
		struct pl_img_info other;
		assert_int_not_equal(pl_img_decode(b.p, i, &info, &lim, NULL, &im), PL_REASON_KEEP);
		pl_image_release(&im);
		b.p[i] ^= 0x55;
		if (pl_img_probe(b.p, b.n, &lim, &other) == PL_REASON_KEEP) {
			(void)pl_img_decode(b.p, b.n, &other, &lim, NULL, &im);
			pl_image_release(&im);
		}
		b.p[i] = was;
	}
	free(b.p);
}
#endif

/* ---- in the sandbox: no file, no thread, no other system call is needed ---- */

static struct pl_pool_result through_pool(struct pl_pool *pool, struct bytes b)
{
	const struct pl_pool_job job = { .op = PL_POOL_TRANSFORM, .data = b.p, .len = b.n,
		.resize = { .policy = PL_POLICY_NONE, .format = PL_FORMAT_PNG, .reencode = true,
		    .encode = { PL_FORMAT_PNG, 1, 0 } } };
	struct pl_pool_result r = { 0 };
	struct pl_err err = { 0 };
	bool ready = false;
	if (pl_pool_submit(pool, &job, &err) != PL_OK || pl_pool_next(pool, -1, &ready, &r, &err) != PL_OK)
		fail_msg("%s", err.text);
	assert_true(ready);
	return r;
}

static void check_pooled(struct pl_pool *pool, struct bytes b, const uint8_t want[3])
{
	for (int again = 0; again < 2; again++) {
		struct pl_pool_result r = through_pool(pool, b);
		uint8_t got[4];
		assert_int_equal(r.reason, PL_REASON_KEEP);
		struct bytes made = { malloc(r.len), r.len };
		assert_non_null(made.p);
		memcpy(made.p, r.data, r.len);
		(void)decoded(made, false, got);
		assert_near(got, want, 3);
		free(made.p);
	}
	free(b.p);
}

static void test_in_the_pool(void **state)
{
	(void)state;
	const struct pl_pool_config config = { .workers = 1, .limits = pl_img_limits_default() };
	struct pl_pool *pool = NULL;
	struct pl_err err = { 0 };
	if (pl_pool_new(&pool, &config, &err) != PL_OK)
		fail_msg("%s", err.text);
	if (!pl_pool_seccomp(pool))
		print_message("no seccomp here: rlimits only\n");
	check_pooled(pool, png_with(45455, false, false), patch);
#ifdef HAVE_LCMS2
	uint8_t want[3];
	struct bytes icc = p3_profile();
	from_p3(patch, want);
	check_pooled(pool, jpeg_with(icc, 1, 3), want);
	check_pooled(pool, png_with_profile(icc, 3), want);
	check_pooled(pool, webp_with(icc), want);
	free(icc.p);
#endif
#ifdef HAVE_AVIF
	check_pooled(pool, avif_file(0, -1), patch);
#endif
#ifdef HAVE_AVIF
	/* Broken streams are told on stderr, which must not be worth a worker. */
	struct bytes b = avif_file(0, -1);
	for (size_t i = 0; i < b.n; i++) {
		b.p[i] ^= 0x55;
		struct pl_pool_result r = through_pool(pool, b);
		assert_int_not_equal(r.reason, PL_REASON_CRASH);
		b.p[i] ^= 0x55;
	}
	free(b.p);
#endif
	assert_int_equal(pl_pool_replaced(pool), 0);
	pl_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_png_gamma),
#ifdef HAVE_LCMS2
		cmocka_unit_test(test_display_p3),
		cmocka_unit_test(test_alpha_is_kept),
		cmocka_unit_test(test_srgb_profiles),
		cmocka_unit_test(test_grey_profiles),
		cmocka_unit_test(test_many_profiles),
		cmocka_unit_test(test_table_profile),
		cmocka_unit_test(test_hostile_profiles),
#endif
#ifdef HAVE_AVIF
		cmocka_unit_test(test_avif),
#endif
		cmocka_unit_test(test_in_the_pool),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

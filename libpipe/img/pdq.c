/* SPDX-License-Identifier: Apache-2.0 */
/* PDQ after Meta's definition. Bits hang on comparisons of floats, so the
 * order of every sum is part of the algorithm. */
#include "pdq_core.h"
#include "stats.h"

#include <stdlib.h>
#include <string.h>

enum { GRID = PL_PDQ_GRID, FREQUENCIES = 16, BITS = FREQUENCIES * FREQUENCIES, SHRUNK = 512 };

const char *const pl_hash_recipe_names[] = { "pdq-aa", "pdq", "pdq-512", NULL };
const char *const pl_dihedral_names[] = { "original", "rotate90", "rotate180", "rotate270", "flipx",
	"flipy", "flipplus1", "flipminus1", NULL };

void pl_pdq_luma(const uint8_t *pixels, uint32_t channels, size_t n, float *luma)
{
	if (channels == 1) {
		for (size_t i = 0; i < n; i++)
			luma[i] = pixels[i];
		return;
	}
	for (size_t i = 0; i < n; i++, pixels += channels)
		luma[i] = 0.299f * (float)pixels[0] + 0.587f * (float)pixels[1] +
		    0.114f * (float)pixels[2];
}

/* Mean over a window that slides along n samples `step` apart and shrinks at both ends. The running
 * float sum and its order are PDQ's. */
static void box(const float *in, float *out, size_t n, size_t step, size_t window)
{
	const size_t half = (window + 2) / 2;
	size_t add = 0, drop = 0, put = 0, inside = 0;
	float sum = 0;
	for (; add < half - 1; add++, inside++)
		sum += in[add * step];
	for (; inside < window; add++, put++) {
		sum += in[add * step];
		inside++;
		out[put * step] = sum / (float)inside;
	}
	for (; add < n; add++, drop++, put++) {
		sum += in[add * step];
		sum -= in[drop * step];
		out[put * step] = sum / (float)inside;
	}
	for (; put < n; drop++, put++) {
		sum -= in[drop * step];
		inside--;
		out[put * step] = sum / (float)inside;
	}
}

static void jarosz(float *luma, float *scratch, size_t rows, size_t cols)
{
	const size_t along_row = (cols + 127) / 128, along_column = (rows + 127) / 128;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t y = 0; y < rows; y++)
			box(luma + y * cols, scratch + y * cols, cols, 1, along_row);
		for (size_t x = 0; x < cols; x++)
			box(scratch + x, luma + x, rows, cols, along_column);
	}
}

static void decimate(const float *luma, size_t rows, size_t cols, float grid[GRID * GRID])
{
	for (size_t i = 0; i < GRID; i++) {
		size_t y = (2 * i + 1) * rows / (2 * GRID);
		for (size_t j = 0; j < GRID; j++)
			grid[i * GRID + j] = luma[y * cols + (2 * j + 1) * cols / (2 * GRID)];
	}
}

static int step_cost(float u, float v)
{
	int d = (int)((u - v) * 100 / 255);
	return d < 0 ? -d : d;
}

PL_PDQ_CLONES
static uint8_t quality_of(const float grid[GRID * GRID])
{
	/* One total a column, so that the columns can be added side by side. */
	int sums[GRID] = { 0 }, sum = 0;
	float right[GRID];
	for (size_t i = 0; i + 1 < GRID; i++)
		for (size_t j = 0; j < GRID; j++)
			sums[j] += step_cost(grid[i * GRID + j], grid[(i + 1) * GRID + j]);
	for (size_t i = 0; i < GRID; i++) {
		const float *row = grid + i * GRID;
		memcpy(right, row + 1, (GRID - 1) * sizeof(*right));
		right[GRID - 1] = row[GRID - 1];
		for (size_t j = 0; j < GRID; j++)
			sums[j] += step_cost(row[j], right[j]);
	}
	for (size_t j = 0; j < GRID; j++)
		sum += sums[j];
	int quality = sum / 90;
	return (uint8_t)(quality > 100 ? 100 : quality);
}

/* sqrt(2/64) cos(pi m / 128), rounded to float. */
static const float cosine[GRID + 1] = {
	0x1.6a09e6p-3f, 0x1.69edfcp-3f, 0x1.699a42p-3f, 0x1.690ec6p-3f, 0x1.684b9cp-3f,
	0x1.6750e4p-3f, 0x1.661ec2p-3f, 0x1.64b568p-3f, 0x1.63150cp-3f, 0x1.613deep-3f,
	0x1.5f3056p-3f, 0x1.5cec98p-3f, 0x1.5a730cp-3f, 0x1.57c414p-3f, 0x1.54e018p-3f,
	0x1.51c78cp-3f, 0x1.4e7aeap-3f, 0x1.4afab2p-3f, 0x1.474772p-3f, 0x1.4361bap-3f,
	0x1.3f4a24p-3f, 0x1.3b015p-3f, 0x1.3687eap-3f, 0x1.31dea2p-3f, 0x1.2d062ep-3f,
	0x1.27ff5p-3f, 0x1.22caccp-3f, 0x1.1d6972p-3f, 0x1.17dc14p-3f, 0x1.12238ep-3f,
	0x1.0c40c2p-3f, 0x1.063498p-3f, 0x1p-3f, 0x1.f347dcp-4f, 0x1.e642b8p-4f,
	0x1.d8f29ap-4f, 0x1.cb598cp-4f, 0x1.bd79aap-4f, 0x1.af5516p-4f, 0x1.a0edfep-4f,
	0x1.92469cp-4f, 0x1.836132p-4f, 0x1.74400ap-4f, 0x1.64e57cp-4f, 0x1.5553e4p-4f,
	0x1.458daap-4f, 0x1.35953cp-4f, 0x1.256d12p-4f, 0x1.1517a8p-4f, 0x1.049782p-4f,
	0x1.e7de5ep-5f, 0x1.c6427ap-5f, 0x1.a4608ap-5f, 0x1.823dc8p-5f, 0x1.5fdf76p-5f,
	0x1.3d4aep-5f, 0x1.1a855ep-5f, 0x1.ef2894p-6f, 0x1.a8fa12p-6f, 0x1.628a08p-6f,
	0x1.1be352p-6f, 0x1.aa21a8p-7f, 0x1.1c3af6p-7f, 0x1.1c50e2p-8f, 0,
};

/* d[i][j] = sqrt(2/64) cos(pi / 128 (i + 1) (2j + 1)), folded into the first quarter of the wave. */
static void fill_cosines(float d[FREQUENCIES][GRID], float transposed[GRID][FREQUENCIES])
{
	for (unsigned i = 0; i < FREQUENCIES; i++) {
		for (unsigned j = 0; j < GRID; j++) {
			unsigned m = (i + 1) * (2 * j + 1) % (4 * GRID);
			m = m > 2 * GRID ? 4 * GRID - m : m;
			d[i][j] = m > GRID ? -cosine[2 * GRID - m] : cosine[m];
			transposed[j][i] = d[i][j];
		}
	}
}

/* The 16 lowest frequencies but the constant one, both ways: out = D grid D'. Every sum runs in the
 * order of k, whatever is computed side by side. */
PL_PDQ_CLONES
static void transform(const float grid[GRID * GRID], float out[BITS])
{
	float d[FREQUENCIES][GRID], transposed[GRID][FREQUENCIES], half[GRID];
	fill_cosines(d, transposed);
	for (size_t i = 0; i < FREQUENCIES; i++) {
		float sums[FREQUENCIES] = { 0 };
		memset(half, 0, sizeof(half));
		for (size_t k = 0; k < GRID; k += 4) {
			const float *g = grid + k * GRID;
			for (size_t j = 0; j < GRID; j++)
				half[j] = half[j] + d[i][k] * g[j] + d[i][k + 1] * g[j + GRID] +
				    d[i][k + 2] * g[j + 2 * GRID] + d[i][k + 3] * g[j + 3 * GRID];
		}
		for (size_t k = 0; k < GRID; k += 4)
			for (size_t j = 0; j < FREQUENCIES; j++)
				sums[j] = sums[j] + half[k] * transposed[k][j] +
				    half[k + 1] * transposed[k + 1][j] +
				    half[k + 2] * transposed[k + 2][j] +
				    half[k + 3] * transposed[k + 3][j];
		memcpy(out + i * FREQUENCIES, sums, sizeof(sums));
	}
}

/* The value at place `at` of the sorted list, by Hoare's selection; v is shuffled. */
static float select_nth(float *v, int n, int at)
{
	for (int low = 0, high = n - 1; low < high;) {
		const float pivot = v[at];
		int i = low, j = high;
		while (i <= j) {
			while (v[i] < pivot)
				i++;
			while (pivot < v[j])
				j--;
			if (i <= j) {
				float t = v[i];
				v[i++] = v[j];
				v[j--] = t;
			}
		}
		if (j < at)
			low = i;
		if (at < i)
			high = j;
	}
	return v[at];
}

static void threshold(const float coefficients[BITS], uint8_t bits[PL_PDQ_BYTES])
{
	float shuffled[BITS];
	memcpy(shuffled, coefficients, sizeof(shuffled));
	const float median = select_nth(shuffled, BITS, BITS / 2 - 1); /* the lower of the two */
	memset(bits, 0, PL_PDQ_BYTES);
	for (size_t k = 0; k < BITS; k++)
		if (coefficients[k] > median)
			bits[PL_PDQ_BYTES - 1 - k / 8] |= (uint8_t)(1u << k % 8);
}

void pl_pdq_from_grid(const float grid[PL_PDQ_GRID * PL_PDQ_GRID], struct pl_pdq *out)
{
	float coefficients[BITS];
	out->quality = quality_of(grid);
	transform(grid, coefficients);
	threshold(coefficients, out->bits);
}

/* Mirroring along an axis negates its waves of odd frequency, which are those of even index, since
 * index 0 is frequency 1; transposing the picture transposes its transform. */
static void turn(const float in[BITS], enum pl_dihedral how, float out[BITS])
{
	static const struct {
		bool upside_down, left_right, transposed; /* in this order */
	} steps[PL_DIHEDRAL_COUNT] = {
		[PL_DIHEDRAL_ROTATE90] = { .left_right = true, .transposed = true },
		[PL_DIHEDRAL_ROTATE180] = { .upside_down = true, .left_right = true },
		[PL_DIHEDRAL_ROTATE270] = { .upside_down = true, .transposed = true },
		[PL_DIHEDRAL_FLIPX] = { .upside_down = true },
		[PL_DIHEDRAL_FLIPY] = { .left_right = true },
		[PL_DIHEDRAL_FLIPPLUS1] = { .transposed = true },
		[PL_DIHEDRAL_FLIPMINUS1] = { true, true, true },
	};
	for (size_t i = 0; i < FREQUENCIES; i++)
		for (size_t j = 0; j < FREQUENCIES; j++) {
			bool negate = (steps[how].upside_down && i % 2 == 0) !=
			    (steps[how].left_right && j % 2 == 0);
			float v = in[i * FREQUENCIES + j];
			out[steps[how].transposed ? j * FREQUENCIES + i : i * FREQUENCIES + j] =
			    negate ? -v : v;
		}
}

void pl_pdq_dihedral_from_grid(
    const float grid[PL_PDQ_GRID * PL_PDQ_GRID], struct pl_pdq out[PL_DIHEDRAL_COUNT])
{
	float coefficients[BITS], turned[BITS];
	const uint8_t quality = quality_of(grid); /* of the same neighbours, however turned */
	transform(grid, coefficients);
	for (int how = 0; how < PL_DIHEDRAL_COUNT; how++) {
		turn(coefficients, (enum pl_dihedral)how, turned);
		threshold(turned, out[how].bits);
		out[how].quality = quality;
	}
}

enum pl_reason pl_pdq(const struct pl_image *im, struct pl_pdq *out)
{
	memset(out, 0, sizeof(*out));
	if (im->width < PL_PDQ_LEAST || im->height < PL_PDQ_LEAST)
		return PL_REASON_KEEP;
	size_t n = (size_t)im->width * im->height;
	float grid[GRID * GRID];
	float *luma = calloc(n, 2 * sizeof(*luma));
	if (!luma)
		return PL_REASON_NO_MEMORY;
	pl_pdq_luma(im->pixels, im->channels, n, luma);
	if (im->width != GRID || im->height != GRID)
		jarosz(luma, luma + n, im->height, im->width);
	decimate(luma, im->height, im->width, grid);
	free(luma);
	pl_pdq_from_grid(grid, out);
	return PL_REASON_KEEP;
}

/* Nearest neighbour to 512x512, the aspect ratio not kept. */
static enum pl_reason shrink(const struct pl_image *im, struct pl_image *out)
{
	enum pl_reason reason = pl_image_init(out, SHRUNK, SHRUNK, im->channels);
	if (reason != PL_REASON_KEEP)
		return reason;
	const size_t c = im->channels;
	uint8_t *dst = out->pixels;
	for (size_t y = 0; y < SHRUNK; y++) {
		const uint8_t *row = im->pixels + y * im->height / SHRUNK * im->width * c;
		for (size_t x = 0; x < SHRUNK; x++, dst += c)
			memcpy(dst, row + x * im->width / SHRUNK * c, c);
	}
	return PL_REASON_KEEP;
}

enum pl_reason pl_pdq_512(const struct pl_image *im, struct pl_pdq *out)
{
	memset(out, 0, sizeof(*out));
	if (im->width < PL_PDQ_LEAST || im->height < PL_PDQ_LEAST)
		return PL_REASON_KEEP;
	if (im->width <= SHRUNK && im->height <= SHRUNK)
		return pl_pdq(im, out);
	struct pl_image small;
	enum pl_reason reason = shrink(im, &small);
	if (reason == PL_REASON_KEEP)
		reason = pl_pdq(&small, out);
	pl_image_release(&small);
	return reason;
}

static enum pl_reason hash_of_pixels(
    const struct pl_image *im, enum pl_hash_recipe recipe, struct pl_pdq *out)
{
	return recipe == PL_HASH_PDQ ? pl_pdq(im, out) : pl_pdq_512(im, out);
}

/* Each step turns what the one before has left, so that no copy of *im is held: EXIF's 8 is a quarter
 * turn counterclockwise, 5 a transpose. *im is left turned. */
static enum pl_reason hash_turned_pixels(
    struct pl_image *im, enum pl_hash_recipe recipe, struct pl_pdq out[PL_DIHEDRAL_COUNT])
{
	static const struct {
		uint8_t orientation;
		enum pl_dihedral gives;
	} walk[] = { { 8, PL_DIHEDRAL_ROTATE90 }, { 8, PL_DIHEDRAL_ROTATE180 },
		{ 8, PL_DIHEDRAL_ROTATE270 }, { 5, PL_DIHEDRAL_FLIPX }, { 8, PL_DIHEDRAL_FLIPMINUS1 },
		{ 8, PL_DIHEDRAL_FLIPY }, { 8, PL_DIHEDRAL_FLIPPLUS1 } };
	enum pl_reason reason = PL_REASON_KEEP;
	for (size_t i = 0; i < PL_ARRAY_LEN(walk) && reason == PL_REASON_KEEP; i++) {
		reason = pl_img_orient(im, walk[i].orientation);
		if (reason == PL_REASON_KEEP)
			reason = hash_of_pixels(im, recipe, &out[walk[i].gives]);
	}
	return reason;
}

enum pl_reason pl_img_scan(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, enum pl_hash_recipe recipe, struct pl_pdq *hash,
    struct pl_img_stats *stats)
{
	return pl_img_scan_dihedral(data, len, info, lim, recipe, hash, NULL, stats);
}

enum pl_reason pl_img_scan_dihedral(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, enum pl_hash_recipe recipe, struct pl_pdq *hash,
    struct pl_pdq *dihedral, struct pl_img_stats *stats)
{
	static const struct pl_img_decode small_luma = { PL_PDQ_GRID, true }, full = { 0, false };
	const bool aa = recipe == PL_HASH_PDQ_AA;
	const bool hashable = info->width >= PL_PDQ_LEAST && info->height >= PL_PDQ_LEAST;
	float grid[GRID * GRID];
	struct pl_image im;
	memset(hash, 0, sizeof(*hash));
	memset(stats, 0, sizeof(*stats));
	if (dihedral)
		memset(dihedral, 0, PL_DIHEDRAL_COUNT * sizeof(*dihedral));
	/* Hashes are of the pixels as stored, whatever profile they have: published values are. */
	struct pl_img_info stored = *info;
	stored.foreign_profile = false;
	enum pl_reason reason = pl_img_decode(data, len, &stored, lim, aa ? &small_luma : &full, &im);
	if (reason == PL_REASON_KEEP)
		reason = pl_pdq_grid(&im, info->width, info->height, grid);
	if (reason == PL_REASON_KEEP) {
		pl_img_stats_of_grid(grid, stats);
		if (info->format == PL_FORMAT_JPEG)
			stats->jpeg_quality = pl_jpeg_quality(data, len);
		if (!aa)
			reason = hash_of_pixels(&im, recipe, hash);
		else if (hashable)
			pl_pdq_from_grid(grid, hash);
	}
	if (reason == PL_REASON_KEEP && dihedral && hashable) {
		dihedral[PL_DIHEDRAL_ORIGINAL] = *hash;
		if (aa)
			pl_pdq_dihedral_from_grid(grid, dihedral);
		else
			reason = hash_turned_pixels(&im, recipe, dihedral);
	}
	pl_image_release(&im);
	return reason;
}

enum pl_reason pl_img_hash(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, enum pl_hash_recipe recipe, struct pl_pdq *out)
{
	struct pl_img_stats unused;
	return pl_img_scan(data, len, info, lim, recipe, out, &unused);
}

static unsigned popcount64(uint64_t x)
{
	x -= x >> 1 & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) + (x >> 2 & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0F0F0F0F0F0F0F0F);
	return (unsigned)(x * UINT64_C(0x0101010101010101) >> 56);
}

int pl_hamming256(const uint8_t a[PL_PDQ_BYTES], const uint8_t b[PL_PDQ_BYTES])
{
	unsigned distance = 0;
	for (size_t i = 0; i < PL_PDQ_BYTES; i += 8) {
		uint64_t x, y;
		memcpy(&x, a + i, 8);
		memcpy(&y, b + i, 8);
		distance += popcount64(x ^ y);
	}
	return (int)distance;
}

void pl_pdq_hex(const uint8_t bits[PL_PDQ_BYTES], char out[65])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < PL_PDQ_BYTES; i++) {
		out[2 * i] = digits[bits[i] >> 4];
		out[2 * i + 1] = digits[bits[i] & 15];
	}
	out[64] = '\0';
}

void pl_pdq_text(const struct pl_pdq *pdq, char out[PL_PDQ_TEXT])
{
	const unsigned q = pdq->quality <= 100 ? pdq->quality : 100;
	pl_pdq_hex(pdq->bits, out);
	out[64] = ' ';
	out[65] = q == 100 ? '1' : ' ';
	out[66] = q >= 10 ? (char)('0' + q / 10 % 10) : ' ';
	out[67] = (char)('0' + q % 10);
	out[68] = '\0';
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool pl_pdq_parse(const char *hex, uint8_t bits[PL_PDQ_BYTES])
{
	uint8_t parsed[PL_PDQ_BYTES] = { 0 };
	for (size_t i = 0; i < 2 * PL_PDQ_BYTES; i++) {
		int d = digit(hex[i]);
		if (d < 0)
			return false;
		parsed[i / 2] = (uint8_t)(parsed[i / 2] << 4 | d);
	}
	if (hex[2 * PL_PDQ_BYTES] != '\0')
		return false;
	memcpy(bits, parsed, sizeof(parsed));
	return true;
}

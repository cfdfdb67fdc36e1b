/* SPDX-License-Identifier: Apache-2.0 */
/* A decoder of our own for the JPEG of everyday: Huffman, 8 bits, baseline in one
 * interleaved scan or progressive with all its scans, nothing irregular. It
 * gives the very samples libjpeg-turbo gives on x86-64, or answers "not mine",
 * and then libjpeg does the whole file with its own leniency and its own
 * reasons: what comes out never depends on which of the two ran. */
#ifndef PL_IMG_JPEG_BASELINE_H
#define PL_IMG_JPEG_BASELINE_H

#include "planes.h"

/* All: true = done. false = not mine, *out is as it was: wrong size, another process, a marker,
 * code or length that is not as it should be, data short or left over, scans that do not add up to
 * every coefficient, no memory or more of it than lim allows. by: 1, 2, 4, 8. */

/* YCbCr: what pl_decode_jpeg_planes gives at that reduction. */
bool pl_jpeg_baseline_planes(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, unsigned by, struct pl_planes *out);
/* The luma of YCbCr, or a grey file: what pl_decode_jpeg gives in grey. */
bool pl_jpeg_baseline_luma(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, unsigned by, struct pl_image *out);
/* RGB of YCbCr without subsampling: what pl_decode_jpeg gives in RGB. */
bool pl_jpeg_baseline_rgb(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, unsigned by, struct pl_image *out);

/* For tests and benchmarks, one setting for all. use(false): every file is somebody else's.
 * force: as pl_resample_force, BMI2 with AVX2. */
void pl_jpeg_baseline_use(bool on);
bool pl_jpeg_baseline_force(enum pl_simd level);

/* ---- the parts ---- */

enum {
	PL_JB_GROUP = 4,      /* blocks transformed together */
	PL_JB_ROW = 8 * PL_JB_GROUP,
	PL_JB_DUMP = 8 * PL_JB_ROW, /* where coefficients behind the 64th go */
	PL_JB_PAIR_BITS = 11, /* width of the AC table, at most */
	PL_JB_SYMBOL_BITS = 9,
	/* Dequantised DC, and the rest of its row, beyond which libjpeg's ways differ from each
	 * other; a real picture stays below 1,300. */
	PL_JB_HIGHEST = 4000
};

/* A Huffman table as the file has it: how many codes of length 1..16, their symbols. */
struct pl_jb_spec {
	const uint8_t *counts, *symbols; /* in the file; NULL when absent */
	unsigned n;
};

struct pl_jb_component {
	uint8_t id, h, v, quant_id, dc, ac;
	uint32_t blocks_w, blocks_h; /* with samples of the picture in them */
	int16_t quant[64];           /* by row; 16 bits, wrapped as libjpeg's multiplication does */
	int32_t highest_dc;          /* before dequantisation */
};

/* What a scan brings: coefficients from..to in zigzag order of these components, in ascending
 * order, from bit `low` up; high: where the scan before it ended, 0: there was none. */
struct pl_jb_scan {
	uint8_t components, component[3];
	uint8_t from, to, high, low;
};

/* What the markers have told so far. */
struct pl_jb_frame {
	uint32_t width, height, mcus_w, mcus_h, restart;
	uint8_t components, max_h, max_v; /* a grey picture has 1, 1 */
	bool seen, progressive, ycc;
	struct pl_jb_component c[3];
	struct pl_jb_spec dc[4], ac[4];
	uint16_t quant[4][64]; /* by row */
	uint8_t quants;        /* bit i: table i is known */
	uint8_t latched;       /* bit i: component i has had a scan, and with it its table */
	bool jfif, adobe;
	uint8_t transform;
	struct pl_jb_scan scan;
	size_t at; /* where the scan's data begins; behind the end marker */
};

extern const uint8_t pl_jb_zigzag[64];

/* Everything up to the first scan's data. false: not mine. */
bool pl_jb_read_headers(const uint8_t *data, size_t len, struct pl_jb_frame *f);
/* From the marker at `at` up to the next scan's data. A scan of no components is the end. */
bool pl_jb_next_scan(const uint8_t *data, size_t len, size_t at, struct pl_jb_frame *f);

/* What the next bits mean.
 * symbol: by the next SYMBOL_BITS bits: length of the code << 8 | symbol; 0: longer, or no code.
 * pair: AC only, by the next `bits` bits: one or two coefficients with their values, or one and
 * the end of the block. Bytes from the lowest: bits consumed (BITS), and which of the two are there;
 * advance in zigzag order, + PL_JB_END when the block ends, PL_JB_LONG when the code with its value
 * does not fit; where the second coefficient lies from here; where the first. Then their values, 16
 * bits each. A value that is not there is 0: a second lies where the first does, so it is to be
 * written before it; zeros instead of a first lie where nothing has been written yet. */
enum {
	PL_JB_BITS = 63,
	PL_JB_FIRST = 64,
	PL_JB_SECOND = 128,
	PL_JB_END = 64,
	PL_JB_LONG = 128
};
struct pl_jb_table {
	unsigned bits;
	uint64_t pair[1 << PL_JB_PAIR_BITS];
	uint16_t symbol[1 << PL_JB_SYMBOL_BITS];
	/* Codes of length l begin at place[l] in symbols and lie below limit[l], left-aligned. */
	uint32_t limit[17], first[17];
	uint16_t place[17];
	uint8_t symbols[256];
};

/* false: not a code, or a symbol above `highest`. bits: 0: without pairs. */
bool pl_jb_table_init(
    struct pl_jb_table *t, const struct pl_jb_spec *spec, unsigned bits, unsigned highest);

/* Copies entropy-coded data from *at without its stuffing, up to a marker, which is returned, *at
 * behind it; 0 when there is none. to has room for end - *at. */
uint8_t pl_jb_unstuff(const uint8_t **at, const uint8_t *end, uint8_t *to, size_t *n);

/* Blocks of one component on their way to samples. Row r of block b has its coefficients from
 * r * ROW + b * 8; what lies from DUMP on is waste. */
struct pl_jb_group {
	_Alignas(64) int16_t coef[PL_JB_DUMP + PL_JB_ROW];
	uint8_t *dst[PL_JB_GROUP];
	size_t stride;
	const int16_t *quant;
	unsigned n;
};

/* Writes size x size samples of each block and leaves coefficients of 0. false: out of range. */
typedef bool pl_jb_transform(struct pl_jb_group *g);

/* n samples of each to 3 * n. */
typedef void pl_jb_rgb(
    const uint8_t *y, const uint8_t *cb, const uint8_t *cr, uint8_t *rgb, size_t n);
pl_jb_rgb pl_jb_rgb_plain, pl_jb_rgb_avx2;

struct pl_jb_kernels {
	pl_jb_transform *by_1, *by_2, *by_4;
	pl_jb_rgb *rgb;
	bool bmi2; /* for the codes, where the processor has it */
};
const struct pl_jb_kernels *pl_jb_kernels(void);

/* The scan: samples of the first `wanted` components, size x size for each block (8, 4, 2, 1).
 * Component i goes to plane[i]; row_done is called behind each row of MCUs, after which the planes
 * go on `step` further down. */
struct pl_jb_sink {
	unsigned wanted, size;
	uint8_t *plane[3];
	size_t stride[3], step[3];
	void (*row_done)(void *context, uint32_t row);
	void *context;
};
bool pl_jb_read_scan(
    const struct pl_jb_frame *f, const uint8_t *data, size_t len, const struct pl_jb_sink *sink);
/* The same of a progressive file, and the rest of its markers; at most `most` bytes of memory. */
bool pl_jb_read_scans(struct pl_jb_frame *f, const uint8_t *data, size_t len,
    const struct pl_jb_sink *sink, uint64_t most);

#endif

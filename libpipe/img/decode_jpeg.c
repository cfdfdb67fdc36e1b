/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG through libjpeg-turbo. Its errors come back by longjmp, so all state
 * lives in one struct that the function calling setjmp does not change. Plain
 * files do not get here: see jpeg_baseline.h. */
#include "jpeg_baseline.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum {
	MARKER_EOI = 0xD9,
	MAX_SCANS =
	    500, /* progressive files of real encoders have about ten, a bomb has thousands */
	FATAL_SCANS = -1,
	FATAL_CUT = -2
};

struct jpeg_read {
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr errors;
	struct jpeg_progress_mgr progress;
	jmp_buf jump;
	int fatal;      /* libjpeg's message code, or FATAL_* */
	bool ended;     /* the bytes ran out */
	bool cut;       /* ... or an end marker came, inside a scan */
	double missing; /* share of the rows lacking then */
	double max_missing;
	uint8_t *cmyk; /* one row, when the file has four components */
	void (*realize)(j_common_ptr common); /* libjpeg's own, see even_reduction */
};

/* What is asked of the decoder: a picture, or planes. */
struct jpeg_want {
	const uint8_t *data;
	size_t len;
	const struct pl_img_info *info;
	const struct pl_img_limits *lim;
	const struct pl_img_decode *how;
	struct pl_image *image;
	struct pl_planes *planes;
	uint32_t least_w, least_h; /* of the planes */
	bool fit;
};

static void on_error(j_common_ptr common)
{
	struct jpeg_read *r = common->client_data;
	r->fatal = common->err->msg_code;
	longjmp(r->jump, 1);
}

static void on_output(j_common_ptr common)
{
	(void)common;
}

/* Does luma have every coefficient to within one bit? What a progressive file brings after that is
 * hard to see. */
static bool luma_is_there(const struct jpeg_decompress_struct *c)
{
	if (!c->coef_bits)
		return false;
	for (int k = 0; k < DCTSIZE2; k++)
		if (c->coef_bits[0][k] < 0 || c->coef_bits[0][k] > 1)
			return false;
	return true;
}

/* How much of the picture lacks when the data ends inside the current scan. The row of blocks under
 * way counts half: how far it got is libjpeg's secret. */
static double missing_share(const struct jpeg_decompress_struct *c)
{
	double rest =
	    c->total_iMCU_rows ? 1.0 - (c->input_iMCU_row + 0.5) / c->total_iMCU_rows : 1.0;
	if (!c->progressive_mode) {
		bool last = c->comps_in_scan == c->num_components ||
		    c->input_scan_number >= c->num_components;
		return last ? rest : 1.0;
	}
	if (!luma_is_there(c))
		return 1.0;
	/* coef_bits tells what the scan will bring: without it luma may lack more than that bit. */
	bool needed = c->cur_comp_info[0]->component_index == 0 && c->Ah != 1;
	return needed ? rest : 0;
}

static void on_message(j_common_ptr common, int level)
{
	struct jpeg_read *r = common->client_data;
	if (level >= 0)
		return;
	int code = common->err->msg_code;
	if (code == JWRN_JPEG_EOF)
		r->ended = true;
	/* The arithmetic decoder reads zeros past the end and does not say so. */
	bool starved = (code == JWRN_HIT_MARKER && r->c.unread_marker == MARKER_EOI) ||
	    (code == JWRN_JPEG_EOF && r->c.arith_code);
	if (!starved || r->cut || r->c.input_scan_number == 0)
		return;
	r->cut = true;
	r->missing = missing_share(&r->c);
	if (r->missing > r->max_missing) {
		r->fatal = FATAL_CUT;
		longjmp(r->jump, 1);
	}
}

static void on_progress(j_common_ptr common)
{
	struct jpeg_read *r = common->client_data;
	if (r->c.input_scan_number > MAX_SCANS) {
		r->fatal = FATAL_SCANS;
		longjmp(r->jump, 1);
	}
}

static unsigned reduction(uint32_t width, uint32_t height, uint32_t keep)
{
	unsigned by = 1;
	if (keep > 0)
		while (by < 8 && (width + 2 * by - 1) / (2 * by) >= keep &&
		    (height + 2 * by - 1) / (2 * by) >= keep)
			by *= 2;
	return by;
}

/* Adobe writes CMYK inverted: 255 is no ink. */
static void cmyk_row(const uint8_t *in, uint8_t *out, size_t n, bool inverted)
{
	const unsigned flip = inverted ? 0 : 255;
	for (size_t i = 0; i < n; i++, in += 4, out += 3) {
		unsigned k = in[3] ^ flip;
		for (int j = 0; j < 3; j++)
			out[j] = (uint8_t)(((in[j] ^ flip) * k + 127) / 255);
	}
}

static enum pl_reason read_rows(struct jpeg_read *r, struct pl_image *out)
{
	struct jpeg_decompress_struct *c = &r->c;
	const size_t stride = (size_t)out->width * out->channels;
	while (c->output_scanline < c->output_height) {
		uint8_t *dst = out->pixels + c->output_scanline * stride;
		JSAMPROW row = r->cmyk ? r->cmyk : dst;
		if (jpeg_read_scanlines(c, &row, 1) != 1)
			return PL_REASON_CORRUPT;
		if (r->cmyk)
			cmyk_row(r->cmyk, dst, out->width, c->saw_Adobe_marker);
	}
	return PL_REASON_KEEP;
}

static enum pl_reason open_file(struct jpeg_read *r, const struct jpeg_want *want)
{
	struct jpeg_decompress_struct *c = &r->c;
	jpeg_create_decompress(c);
	c->mem->max_memory_to_use =
	    (long)(want->lim->max_memory > INT32_MAX ? INT32_MAX : want->lim->max_memory);
	c->progress = &r->progress;
	jpeg_mem_src(c, want->data, (unsigned long)want->len);
	if (jpeg_read_header(c, TRUE) != JPEG_HEADER_OK)
		return PL_REASON_CORRUPT;
	if (c->image_width != want->info->width || c->image_height != want->info->height)
		return PL_REASON_CORRUPT;
	c->scale_num = 1;
	return PL_REASON_KEEP;
}

static enum pl_reason start(struct jpeg_read *r)
{
	struct jpeg_decompress_struct *c = &r->c;
	if (!jpeg_start_decompress(c))
		return PL_REASON_CORRUPT;
	/* The bytes may also end between two scans, where no scan is starved. */
	bool scans_lack = c->progressive_mode
	    ? !luma_is_there(c)
	    : c->comps_in_scan < c->num_components && c->input_scan_number < c->num_components;
	if (r->ended && !r->cut && scans_lack)
		return PL_REASON_TRUNCATED;
	return PL_REASON_KEEP;
}

static enum pl_reason read_all(struct jpeg_read *r, struct jpeg_want *want)
{
	struct jpeg_decompress_struct *c = &r->c;
	struct pl_image *out = want->image;
	enum pl_reason reason = open_file(r, want);
	if (reason != PL_REASON_KEEP)
		return reason;
	c->scale_denom = reduction(want->info->width, want->info->height, want->how->scale_to);
	bool four = c->num_components == 4;
	if (four)
		c->out_color_space = JCS_CMYK;
	else if (want->how->luma || c->num_components == 1)
		c->out_color_space = JCS_GRAYSCALE;
	else
		c->out_color_space = JCS_RGB;
	jpeg_calc_output_dimensions(c);
	reason = pl_image_init(
	    out, c->output_width, c->output_height, c->out_color_space == JCS_GRAYSCALE ? 1 : 3);
	if (reason != PL_REASON_KEEP)
		return reason;
	if (four) {
		r->cmyk = malloc((size_t)out->width * 4);
		if (!r->cmyk)
			return PL_REASON_NO_MEMORY;
	}
	reason = start(r);
	return reason == PL_REASON_KEEP ? read_rows(r, out) : reason;
}

/* ---- planes ---- */

/* Where the picture is reduced, libjpeg gives subsampled components a smaller reduction, up to the
 * size of luma. The output is subsampled too, so that is work for nothing: all components get the
 * reduction of luma. realize_virt_arrays is what it calls between fixing the sizes and using
 * them. */
static void even_reduction(j_common_ptr common)
{
	struct jpeg_read *r = common->client_data;
	struct jpeg_decompress_struct *c = &r->c;
	for (int i = 0; i < c->num_components; i++)
		c->comp_info[i].DCT_scaled_size = c->min_DCT_scaled_size;
	r->realize(common);
}

static unsigned reduction_of_sides(const struct jpeg_want *want)
{
	unsigned by = 1;
	while (by < 8 && want->info->width / (2 * by) >= want->least_w &&
	    want->info->height / (2 * by) >= want->least_h)
		by *= 2;
	return by;
}

/* The rows of blocks libjpeg writes of a component, padding included. */
static size_t plane_rows(
    const struct jpeg_decompress_struct *c, const jpeg_component_info *info)
{
	return (size_t)c->total_iMCU_rows * (size_t)info->v_samp_factor *
	    (size_t)info->DCT_scaled_size;
}

static enum pl_reason init_planes(const struct jpeg_decompress_struct *c, struct pl_planes *out)
{
	size_t total = 0, at[3];
	for (int i = 0; i < 3; i++) {
		const jpeg_component_info *info = c->comp_info + i;
		struct pl_plane *p = out->plane + i;
		const double size = info->DCT_scaled_size / 8.0;
		p->stride = (size_t)info->width_in_blocks * (size_t)info->DCT_scaled_size;
		p->extent_w = c->image_width * size * info->h_samp_factor / c->max_h_samp_factor;
		p->extent_h = c->image_height * size * info->v_samp_factor / c->max_v_samp_factor;
		p->width = (uint32_t)ceil(p->extent_w);
		p->height = (uint32_t)ceil(p->extent_h);
		at[i] = total;
		total += p->stride * plane_rows(c, info);
	}
	/* Progressive files may leave blocks of the padding untouched. */
	out->block = c->progressive_mode ? calloc(total, 1) : malloc(total);
	if (!out->block)
		return PL_REASON_NO_MEMORY;
	for (int i = 0; i < 3; i++)
		out->plane[i].data = out->block + at[i];
	return PL_REASON_KEEP;
}

static enum pl_reason read_raw(struct jpeg_read *r, struct pl_planes *out)
{
	enum { MOST = 4 * DCTSIZE }; /* rows of a component in a row of MCUs */
	struct jpeg_decompress_struct *c = &r->c;
	JSAMPROW rows[3][MOST];
	JSAMPARRAY planes[3] = { rows[0], rows[1], rows[2] };
	JSAMPROW next[3];
	for (int i = 0; i < 3; i++)
		next[i] = out->block + (out->plane[i].data - out->block);
	const JDIMENSION lines =
	    (JDIMENSION)(c->max_v_samp_factor * c->min_DCT_scaled_size);
	for (JDIMENSION m = 0; m < c->total_iMCU_rows; m++) {
		for (int i = 0; i < 3; i++) {
			const jpeg_component_info *info = c->comp_info + i;
			const int n = info->v_samp_factor * info->DCT_scaled_size;
			for (int y = 0; y < n && y < MOST; y++, next[i] += out->plane[i].stride)
				rows[i][y] = next[i];
		}
		if (jpeg_read_raw_data(c, planes, lines) != lines)
			return PL_REASON_CORRUPT;
	}
	return PL_REASON_KEEP;
}

static enum pl_reason read_planes(struct jpeg_read *r, struct jpeg_want *want)
{
	struct jpeg_decompress_struct *c = &r->c;
	enum pl_reason reason = open_file(r, want);
	if (reason != PL_REASON_KEEP)
		return reason;
	want->fit = c->num_components == 3 && c->jpeg_color_space == JCS_YCbCr;
	if (!want->fit)
		return PL_REASON_KEEP;
	c->scale_denom = reduction_of_sides(want);
	c->out_color_space = JCS_YCbCr;
	c->raw_data_out = TRUE;
	r->realize = c->mem->realize_virt_arrays;
	c->mem->realize_virt_arrays = even_reduction;
	reason = start(r);
	if (reason == PL_REASON_KEEP)
		reason = init_planes(c, want->planes);
	return reason == PL_REASON_KEEP ? read_raw(r, want->planes) : reason;
}

static enum pl_reason fatal_reason(const struct jpeg_read *r)
{
	switch (r->fatal) {
	case JERR_OUT_OF_MEMORY:
	case JERR_NO_BACKING_STORE:
		return PL_REASON_NO_MEMORY;
	case FATAL_CUT:
		return PL_REASON_TRUNCATED;
	case FATAL_SCANS:
		return PL_REASON_BOMB;
	case JERR_CONVERSION_NOTIMPL:
	case JERR_BAD_PRECISION:
	case JERR_ARITH_NOTIMPL:
	case JERR_SOF_UNSUPPORTED:
		return PL_REASON_UNSUPPORTED;
	default:
		return r->ended ? PL_REASON_TRUNCATED : PL_REASON_CORRUPT;
	}
}

/* Everything that longjmp crosses lives in *r and *want. */
static enum pl_reason guarded(
    struct jpeg_want *want, enum pl_reason (*read)(struct jpeg_read *, struct jpeg_want *))
{
	struct jpeg_read *r = calloc(1, sizeof(*r));
	if (!r)
		return PL_REASON_NO_MEMORY;
	r->c.err = jpeg_std_error(&r->errors);
	r->c.client_data = r;
	r->errors.error_exit = on_error;
	r->errors.output_message = on_output;
	r->errors.emit_message = on_message;
	r->progress.progress_monitor = on_progress;
	r->max_missing = want->lim->max_missing;
	enum pl_reason reason;
	if (setjmp(r->jump) == 0)
		reason = read(r, want);
	else
		reason = fatal_reason(r);
	jpeg_destroy_decompress(&r->c);
	free(r->cmyk);
	free(r);
	return reason;
}

enum pl_reason pl_decode_jpeg(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_img_decode *how, struct pl_image *out)
{
	struct jpeg_want want = { .data = data, .len = len, .info = info, .lim = lim, .how = how,
		.image = out };
	const unsigned by = reduction(info->width, info->height, how->scale_to);
	if (how->luma || info->channels == 1 ? pl_jpeg_baseline_luma(data, len, info, lim, by, out)
					     : pl_jpeg_baseline_rgb(data, len, info, lim, by, out))
		return PL_REASON_KEEP;
	return guarded(&want, read_all);
}

enum pl_reason pl_decode_jpeg_planes(const uint8_t *data, size_t len,
    const struct pl_img_info *info, const struct pl_img_limits *lim, uint32_t least_w,
    uint32_t least_h, struct pl_planes *out, bool *fit)
{
	memset(out, 0, sizeof(*out));
	struct jpeg_want want = { .data = data, .len = len, .info = info, .lim = lim,
		.planes = out, .least_w = least_w, .least_h = least_h };
	*fit = true;
	if (pl_jpeg_baseline_planes(data, len, info, lim, reduction_of_sides(&want), out))
		return PL_REASON_KEEP;
	enum pl_reason reason = guarded(&want, read_planes);
	/* What fails before the colours are known fails the other way too. */
	*fit = want.fit || reason != PL_REASON_KEEP;
	return reason;
}

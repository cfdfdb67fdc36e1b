/* SPDX-License-Identifier: Apache-2.0 */
/* Resolution policies (img2dataset's, and those of published vision-language
 * models: README.md names the source of each) and the antialiased resampler behind them. */
#ifndef PL_IMG_RESIZE_H
#define PL_IMG_RESIZE_H

#include "pdq.h"

enum pl_filter { PL_FILTER_LANCZOS, PL_FILTER_BICUBIC, PL_FILTER_TRIANGLE, PL_FILTER_BOX };

/* Resample to width x height with Pillow's definition of the filters (support scaled when shrinking), in integers:
 * the same result on every machine. channels 1, 3 or 4. */
enum pl_reason pl_img_resample(const struct pl_image *in, uint32_t width, uint32_t height, enum pl_filter filter,
    struct pl_image *out);

enum pl_policy {
	PL_POLICY_NONE, PL_POLICY_KEEP_RATIO, PL_POLICY_KEEP_RATIO_LARGEST, PL_POLICY_CENTER_CROP, PL_POLICY_BORDER, /* img2dataset */
	PL_POLICY_CLIP,            /* shorter side, then centre crop, in torchvision's rounding */
	PL_POLICY_PAD_MEAN,        /* LLaVA-1.5: longer side, centred on a square of the mean colour */
	PL_POLICY_SQUARE,          /* size x size, ratio given up */
	PL_POLICY_SMART_RESIZE,    /* Qwen2-VL: sides that are multiples of factor, pixels within bounds */
	PL_POLICY_PATCH_MULTIPLE,  /* Fuyu: within target, then padded to whole patches */
	PL_POLICY_ANYRES,          /* LLaVA-NeXT, OneVision: the best of some grids of tiles, and the whole as one tile */
	PL_POLICY_UHD_SLICES,      /* LLaVA-UHD: slices as near to a tile's ratio as can be, and the whole */
	PL_POLICY_WINDOWS,         /* Monkey: target cut into tiles, and the whole as one tile */
	PL_POLICY_COUNT
};
extern const char *const pl_policy_names[];   /* NULL-terminated, in enum order: "none", ... */
/* The last three: what a picture becomes may be several. */
bool pl_policy_tiles(enum pl_policy policy);

/* What of a tiled picture is written. */
enum pl_write { PL_WRITE_TILES_OVERVIEW, PL_WRITE_TILES, PL_WRITE_WHOLE };
extern const char *const pl_write_names[];    /* NULL-terminated: "tiles+overview", "tiles", "whole" */

/* How tokens are counted: by policy; so many per picture a model sees (a whole, an overview, a tile); so many per image. */
enum pl_token_rule { PL_TOKENS_AUTO, PL_TOKENS_PICTURE, PL_TOKENS_IMAGE };

#define PL_TILES_MAX 64u
#define PL_GRIDS_MAX 64u

/* How far above its target size a JPEG may be reduced while it is decoded: never below this many times the target, on the
 * way through RGB half as much again. README.md tells what each costs. The first is the default. */
enum pl_decode_scale { PL_DECODE_SCALE_2, PL_DECODE_SCALE_1_5, PL_DECODE_SCALE_1 };
extern const char *const pl_decode_scale_names[];   /* NULL-terminated: "2", "1.5", "1" */
/* The least size a side that becomes `target` may be decoded at; UINT32_MAX where that is no 32-bit number. */
uint32_t pl_decode_least(enum pl_decode_scale scale, uint32_t target);

struct pl_resize {
	enum pl_policy policy;
	uint32_t size;                /* S of the policy, pixels; ignored by NONE */
	bool only_if_bigger;          /* resize_only_if_bigger: smaller images keep size, and are not cropped or padded */
	enum pl_filter filter;
	enum pl_format format;        /* output format; PL_FORMAT_UNKNOWN = keep the input's (GIF, BMP -> PNG; AVIF -> JPEG, with alpha PNG) */
	struct pl_img_encode encode;  /* quality and effort; format is taken from above */
	enum pl_decode_scale decode_scale;
	bool reencode;                /* re-encode even where nothing would change */
	bool optimise;                /* JPEG: Huffman tables made to measure: 3 % fewer bytes, half the speed */
	bool hash;                    /* pdq-aa of the picture as stored, too; changes nothing else */
	/* What only some policies take; pl_resize_settle puts the published value where 0 stands. */
	enum pl_write write;
	uint32_t tile;                /* side of a tile */
	uint32_t patch;               /* side of what becomes one token; smart_resize has factor instead */
	uint32_t factor;
	uint64_t min_pixels, max_pixels;
	uint32_t target_w, target_h;  /* patch_multiple: with native, no bound */
	bool native;
	uint32_t max_slices;
	uint32_t ngrids;              /* anyres: columns, rows */
	struct { uint8_t columns, rows; } grids[PL_GRIDS_MAX];
	uint32_t anyres_max;          /* OneVision's anyres_max_N: tokens of N tiles at most; 0 = no bound */
	bool pad_set;                 /* false: the policy's own colour */
	uint8_t pad[3];               /* R, G, B */
	enum pl_token_rule token_rule;
	uint32_t tokens;              /* of the last two rules */
};
/* Put the published values in place of zeros. What follows wants it done for the policies that have such values. */
void pl_resize_settle(struct pl_resize *r);
/* The same settings as text; false where it is not what it should be. "1344x896", and "native" for patch_multiple. */
#define PL_TARGET_MAX 16384u
bool pl_resize_set_target(struct pl_resize *r, const char *text);
/* Add "2x1", columns and rows, or "1x1..6x6": all between, rows counting fastest. */
bool pl_resize_add_grids(struct pl_resize *r, const char *text);
/* "122", "116", "104" */
bool pl_resize_set_pad(struct pl_resize *r, const char *const *parts, size_t n);
/* "auto", or a number per picture. */
#define PL_TOKENS_MAX 1000000u
bool pl_resize_set_tokens(struct pl_resize *r, const char *text);
/* The colour of what no picture covers. */
void pl_resize_ground(const struct pl_resize *r, uint8_t rgb[3]);

/* What becomes of a width x height picture (already oriented): it is scaled to scaled_w x scaled_h and lies with its
 * top left corner at (left, top) of an output of out_w x out_h, which cuts it and shows the ground where it is not. */
struct pl_geometry { uint32_t scaled_w, scaled_h, out_w, out_h; int32_t left, top; bool changes; };
/* All that is written of it. whole: the one picture, or with tiles the overview; out_w is 0 where neither is written.
 * With columns > 0, canvas is what the tiles are cut of, row by row; else canvas is whole. */
struct pl_tiling { struct pl_geometry whole, canvas; uint32_t columns, rows, tile_w, tile_h; };
/* KEEP, or TOO_SMALL where the policy's publication refuses such a picture (smart_resize: a ratio above 200). */
enum pl_reason pl_resize_tiling(const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t);
/* Columns, rows and tiles' size, whatever of them is written; false where the policy cuts no tiles of it. */
bool pl_resize_grid(const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t);
/* Tile number i of a tiling, 0 <= i < columns x rows. */
struct pl_geometry pl_tiling_tile(const struct pl_tiling *t, uint32_t i);
/* The first picture of a tiling, or the canvas where that is not written; out_w is 0 where the policy refuses. */
struct pl_geometry pl_resize_geometry(const struct pl_resize *r, uint32_t width, uint32_t height);
/* Pixels of all that is written. */
uint64_t pl_resize_pixels(const struct pl_resize *r, uint32_t width, uint32_t height);
/* What the picture counts in a model's context, by r->token_rule; README.md has the formula of each policy. 0 where the policy refuses.
 * The count is of the image, whatever r->write says of how it is stored. */
uint64_t pl_image_tokens(const struct pl_resize *r, uint32_t width, uint32_t height);
/* Is it the same for every picture? */
bool pl_image_tokens_same(const struct pl_resize *r, uint64_t *tokens);

/* Decode, orient, flatten, resize, encode one image. Where nothing would change (same size and
 * format, orientation 1, no alpha to flatten, no colour profile to convert, reencode false) *passthrough = true, *out = NULL, and the caller keeps
 * the input's bytes. *width, *height: of the result. *format: of the result. *pdq, where asked for: of the input before anything is done to
 * it, as pl_img_scan has it, from the pixels that resizing decodes; of a JPEG these are at another DCT scale than the scan's, which moves the
 * hash by two bits on average (README.md). */
struct pl_encoded { uint8_t *bytes; size_t len; };
struct pl_resized {
	uint8_t *bytes; size_t len; bool passthrough; uint32_t width, height; enum pl_format format; struct pl_pdq pdq;
	/* Tiles, columns x rows of them, all tile_w x tile_h and of the same format; bytes is the overview then, or NULL with width 0. */
	struct pl_encoded *tiles; uint32_t columns, rows, tile_w, tile_h;
};
/* Works zeroed. */
void pl_resized_release(struct pl_resized *out);
enum pl_reason pl_img_transform(const uint8_t *data, size_t len, const struct pl_img_limits *lim,
    const struct pl_resize *r, struct pl_resized *out);
/* The same where pl_img_probe has filled *info, with PL_REASON_KEEP. */
enum pl_reason pl_img_transform_probed(const uint8_t *data, size_t len, const struct pl_img_info *info,
    const struct pl_img_limits *lim, const struct pl_resize *r, struct pl_resized *out);

#endif

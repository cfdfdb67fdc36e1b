/* SPDX-License-Identifier: Apache-2.0 */
/* Colour: what a file says its pixels mean, and the way from there to sRGB.
 *
 * Which words count, the first that is there: an ICC profile; PNG's sRGB chunk; PNG's gAMA, with cHRM for the
 * primaries when both are there, as browsers have it (gAMA within 5 % of 1/2.2 is sRGB's; cHRM alone and cICP are
 * not looked at). A profile of RGB pixels is sRGB when its primaries and its curves agree with sRGB's to within one
 * level of 255. Others are converted as lcms2 does it, 8 bits, perceptual intent, alpha untouched. A profile of grey goes with
 * grey pixels. A CMYK profile is ignored: such JPEGs are converted by the plain rule of decode_jpeg.c. A profile that
 * is broken, of another kind than the pixels, over the ceiling, or refused by lcms2 is ignored too: the pixels stay as
 * stored. AVIF's nclx words other than sRGB's are not looked at. Without lcms2 (built with HAVE_LCMS2 unset) only gAMA
 * is converted. */
#ifndef PL_IMG_ICC_H
#define PL_IMG_ICC_H

#include "image.h"

enum { PL_ICC_MAX = 4 << 20 };   /* bytes of a profile; larger ones are ignored */

/* Channels of the pixels the profile is for: 3 RGB, 1 grey, 0 = none that is converted. The first 128 bytes are enough. */
unsigned pl_icc_channels(const uint8_t *profile, size_t len);
/* The same, 0 also when the profile is sRGB's own. For a whole profile. */
unsigned pl_icc_foreign(const uint8_t *profile, size_t len);

/* Convert in place; false = the profile cannot be used, pixels unchanged. Where a profile of RGB is three curves and a
 * matrix, the pixels go through tables of our own, which are used only if they stay within one level of lcms2's answer.
 * A thread keeps what it knows of the last 32 profiles of up to 256 KiB until it ends: to work one out takes 2 ms, and
 * the web has few. Neither the verdict nor the pixels depend on what is kept. */
bool pl_icc_to_srgb(const uint8_t *profile, size_t len, struct pl_image *im);
/* Free what the calling thread keeps of profiles it has seen. */
void pl_icc_forget(void);

/* What a PNG says of its colours in the chunks before its pixels. */
struct pl_png_colour {
	bool iccp, srgb;
	uint32_t gamma;        /* 100,000 times the exponent that encoded; 0 = not told */
	bool has_primaries;
	uint32_t primaries[8]; /* x and y of white, red, green, blue, 100,000 times */
};
struct pl_png_colour pl_png_colour(const uint8_t *data, size_t len);
/* Are gamma and primaries to be converted (no profile, no sRGB chunk)? */
bool pl_png_colour_foreign(const struct pl_png_colour *c);
void pl_png_colour_to_srgb(const struct pl_png_colour *c, struct pl_image *im);

/* The embedded profile, malloc'ed; NULL when there is none, it is broken or too large. */
uint8_t *pl_icc_extract(const uint8_t *data, size_t len, enum pl_format format, size_t *profile_len);

/* A foreign profile for pixels of these stored channels? For the probes. */
bool pl_icc_found(const uint8_t *data, size_t len, enum pl_format format, unsigned channels);

/* Convert what pl_img_decode made of a file whose info says foreign_profile. */
void pl_img_to_srgb(const uint8_t *data, size_t len, const struct pl_img_info *info, struct pl_image *im);

#endif

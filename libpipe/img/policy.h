/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of resolution policies share: where a scaled picture lies on
 * an output, before the whole becomes a struct pl_tiling. Internal to this room. */
#ifndef PL_IMG_POLICY_H
#define PL_IMG_POLICY_H

#include "planes.h"

#define PL_SMART_RATIO 200.0   /* above it Qwen2-VL's processor refuses a picture */

/* What a picture counts whose policy does not say what a model makes of it: LLaVA-1.5's. */
#define PL_TOKENS_UNKNOWN 576u

/* In the middle, rounded towards the middle; changes is left to the caller. */
struct pl_geometry pl_geometry_centred(
    uint32_t scaled_w, uint32_t scaled_h, uint32_t out_w, uint32_t out_h);
/* A policy that makes one picture. width, height > 0; changes is not settled. */
enum pl_reason pl_policy_whole(
    const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_geometry *g);
/* Any policy, before what r->write wants of it; changes is not settled. */
enum pl_reason pl_policy_cut(
    const struct pl_resize *r, uint32_t width, uint32_t height, struct pl_tiling *t);
/* The largest scaled sides of a tiling. */
void pl_tiling_largest(const struct pl_tiling *t, uint32_t *scaled_w, uint32_t *scaled_h);

#endif

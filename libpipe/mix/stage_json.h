/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of an output sample, from the segments a template chose. Internal to this room. */
#ifndef PL_MIX_STAGE_JSON_H
#define PL_MIX_STAGE_JSON_H

#include "stage.h"

/* One segment as written. */
struct pl_out_segment {
	bool is_image, loss;
	enum pl_role role;
	enum pl_branch branch;
	uint32_t turn;
	const char *text; size_t text_len;
	uint32_t image;        /* index into the input's images */
	size_t number;         /* image: of the sample's images, from 0 */
	const char *part;      /* image: suffix of its first member */
};

/* flat: members of the object as text, each with a comma before it; may be empty. */
PL_MUST_CHECK enum pl_status pl_stage_json(const struct pl_stage_input *in, enum pl_stage stage,
    const struct pl_out_segment *segments, size_t n, uint64_t images, const struct pl_buf *flat,
    struct pl_buf *out, struct pl_err *err);
/* ,"name":"text" */
PL_MUST_CHECK enum pl_status pl_stage_json_text(
    struct pl_buf *out, const char *name, const char *text, size_t len, struct pl_err *err);

#endif

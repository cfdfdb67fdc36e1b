/* SPDX-License-Identifier: Apache-2.0 */
/* Internals of the resize step. */
#ifndef TOOLS_STEP_RESIZE_H
#define TOOLS_STEP_RESIZE_H

#include "libpipe/base/json.h"

/* Where text is a JSON object with the members width and height (img2dataset's), put the new numbers in their place. */
PL_MUST_CHECK enum pl_status resize_update_json(struct pl_buf *text, uint32_t width, uint32_t height, struct pl_err *err);

#endif

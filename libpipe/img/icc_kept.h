/* SPDX-License-Identifier: Apache-2.0 */
/* Between icc.c, which reads profiles, and icc_convert.c, which remembers what
 * was found and converts. */
#ifndef PL_IMG_ICC_KEPT_H
#define PL_IMG_ICC_KEPT_H

#include <stddef.h>
#include <stdint.h>

/* pl_icc_foreign, worked out anew. */
unsigned pl_icc_judge(const uint8_t *profile, size_t len);

#endif

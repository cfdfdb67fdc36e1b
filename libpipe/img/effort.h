/* SPDX-License-Identifier: Apache-2.0 */
/* The names of an encoder's effort, as recipes and tools take them: three
 * words, or the number of a WebP method. effort.c tells what the words cost. */
#ifndef PL_IMG_EFFORT_H
#define PL_IMG_EFFORT_H

enum { PL_EFFORT_FAST, PL_EFFORT_BALANCED, PL_EFFORT_SMALL };
extern const char *const pl_effort_names[];   /* NULL-terminated: "fast", "balanced", "small", "0", ..., "6" */
/* Method (struct pl_img_encode's effort) of an index into pl_effort_names. */
int pl_effort_method(int choice);

#endif

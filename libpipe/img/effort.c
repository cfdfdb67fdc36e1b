/* SPDX-License-Identifier: Apache-2.0 */
/* Which WebP method a word of effort stands for, by measurement at equal quality (README.md): below
 * 2 bytes are dear, 4 costs twice what 2 does for 8 % of the bytes, 5 saves nothing more since what
 * it saves at one quality it loses in quality, and 6 saves 1 % at more than twice the cost. */
#include "effort.h"

#include <stddef.h>

const char *const pl_effort_names[] = { "fast", "balanced", "small", "0", "1", "2", "3", "4", "5", "6", NULL };

int pl_effort_method(int choice)
{
	static const int methods[] = { 0, 2, 4 };

	return choice <= PL_EFFORT_SMALL ? methods[choice] : choice - PL_EFFORT_SMALL - 1;
}

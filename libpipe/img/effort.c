/* SPDX-License-Identifier: Apache-2.0 */
/* Which WebP method a word of effort stands for, by measurement (README.md of libpipe/mix has the
 * table): below 2 bytes are dear, 3 and 4 cost nearly twice as much as 2 for 2 % of the bytes, and
 * 6 doubles what 5 costs for another 2 %. */
#include "effort.h"

#include <stddef.h>

const char *const pl_effort_names[] = { "fast", "balanced", "small", "0", "1", "2", "3", "4", "5", "6", NULL };

int pl_effort_method(int choice)
{
	static const int methods[] = { 0, 2, 5 };

	return choice <= PL_EFFORT_SMALL ? methods[choice] : choice - PL_EFFORT_SMALL - 1;
}

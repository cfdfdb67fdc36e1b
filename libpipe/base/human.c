/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people read them: two or three digits and a decimal prefix. */
#include "human.h"

#include <stdio.h>

static const char *scaled(double n, const char *unit, char *dst, size_t size)
{
	static const char prefixes[] = " kMGTPE";
	size_t i = 0;

	if (!(n > 0))
		n = 0;
	while (n >= 999.5 && i + 2 < sizeof(prefixes)) {
		n /= 1000;
		i++;
	}
	if (i == 0)
		snprintf(dst, size, "%.*f%s%s", n > 0 && n < 10 && n != (double)(int)n ? 1 : 0, n,
		    unit[0] != '\0' ? " " : "", unit);
	else
		snprintf(dst, size, "%.*f %c%s", n < 99.95 ? 1 : 0, n, prefixes[i], unit);
	return dst;
}

const char *pl_human_count(double n, char *dst, size_t size)
{
	/* Small counts are compared with others: keep every digit. */
	if (n >= 999.5 && n < 99999.5) {
		snprintf(dst, size, "%.0f", n);
		return dst;
	}
	return scaled(n, "", dst, size);
}

const char *pl_human_bytes(double n, char *dst, size_t size)
{
	return scaled(n, "B", dst, size);
}

const char *pl_human_seconds(double s, char *dst, size_t size)
{
	long whole;

	if (!(s > 0))
		s = 0;
	if (s < 99.5) {
		snprintf(dst, size, "%.*f s", s < 9.95 ? 1 : 0, s);
		return dst;
	}
	whole = s < 1e9 ? (long)(s + 0.5) : 1000000000L;
	if (whole < 3600)
		snprintf(dst, size, "%ld min %ld s", whole / 60, whole % 60);
	else
		snprintf(dst, size, "%ld h %ld min", whole / 3600, whole / 60 % 60);
	return dst;
}

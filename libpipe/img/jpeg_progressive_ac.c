/* SPDX-License-Identifier: Apache-2.0 */
/* The AC scans of progressive JPEG. Which coefficients are other than 0 is kept
 * in a mask a block, so refinement counts and deposits bits where libjpeg walks
 * from coefficient to coefficient. */
#include "jpeg_progressive.h"

/* ---- any processor ---- */

/* The low bits of `bits`, one by one, at the bits of `where` from the lowest. */
static inline uint64_t plain_deposit(uint64_t bits, uint64_t where)
{
	uint64_t out = 0;
	for (; where; where &= where - 1, bits >>= 1)
		out |= bits & 1 ? where & -where : 0;
	return out;
}

#define TARGET
#define NAME(x) plain_##x
#include "jpeg_progressive_bands.h"

static const struct pl_jp_bands plain = { plain_first, plain_first_unkept, plain_refine };

/* ---- BMI2 ---- */

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("bmi,bmi2,popcnt")))
#define NAME(x) bmi2_##x
#define bmi2_deposit(bits, where) _pdep_u64(bits, where)
#include "jpeg_progressive_bands.h"

static const struct pl_jp_bands bmi2 = { bmi2_first, bmi2_first_unkept, bmi2_refine };
#endif

const struct pl_jp_bands *pl_jp_bands(bool with_bmi2)
{
#if defined(__x86_64__)
	if (with_bmi2 && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
	    __builtin_cpu_supports("popcnt"))
		return &bmi2;
#else
	(void)with_bmi2;
#endif
	return &plain;
}

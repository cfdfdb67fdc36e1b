/* SPDX-License-Identifier: Apache-2.0 */
/* The vector code that this machine can run. Every level gives the same bytes. */
#ifndef PL_IMG_SIMD_H
#define PL_IMG_SIMD_H

enum pl_simd { PL_SIMD_NONE, PL_SIMD_SCALAR, PL_SIMD_AVX2, PL_SIMD_AVX512 };

/* The highest level for code that needs no more than AVX-512 BW and VL, or AVX2. */
static inline enum pl_simd pl_simd_best(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
		return PL_SIMD_AVX512;
	if (__builtin_cpu_supports("avx2"))
		return PL_SIMD_AVX2;
#endif
	return PL_SIMD_SCALAR;
}

#endif

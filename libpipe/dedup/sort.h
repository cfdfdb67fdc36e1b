/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting in memory that a stop signal can interrupt. */
#ifndef PL_DEDUP_SORT_H
#define PL_DEDUP_SORT_H

#include "libpipe/base/err.h"

typedef int pl_compare(const void *a, const void *b);
typedef enum pl_status pl_poll(void *ctx, struct pl_err *err);

/* Sort n records of size bytes. poll (NULL works) is called every so many records; what it says ends the sort, with the records in
 * any order. Takes half of the records' memory beside them when there are many, else what qsort takes. Order of equal ones: any. */
PL_MUST_CHECK enum pl_status pl_sort(void *records, size_t n, size_t size, pl_compare *compare, pl_poll *poll, void *ctx, struct pl_err *err);
/* The same with at most `spare` bytes beside the records (and what qsort takes for 2^18 of them): slower when they are few. */
PL_MUST_CHECK enum pl_status pl_sort_within(void *records, size_t n, size_t size, pl_compare *compare, uint64_t spare, pl_poll *poll,
    void *ctx, struct pl_err *err);

#endif

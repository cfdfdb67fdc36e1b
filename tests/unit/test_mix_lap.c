/* SPDX-License-Identifier: Apache-2.0 */
/* Assignment against every other there is, up to 7 x 7; and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libpipe/base/hash.h"
#include "libpipe/corpus/document.h"
#include "libpipe/corpus/records.h"
#include "libpipe/mix/lap.h"

enum { SIDE = 7 };
struct matrix { size_t rows, cols; float v[SIDE][SIDE]; const float *row[SIDE]; };

/* The largest sum over all ways to give min(rows, cols) rows a column each. */
static double best_of(const struct matrix *m, size_t row, unsigned taken, size_t skips)
{
	double best = -INFINITY;

	if (row == m->rows)
		return 0;
	if (skips > 0)
		best = best_of(m, row + 1, taken, skips - 1);
	for (size_t j = 0; j < m->cols; j++) {
		double sum;
		if (taken & 1u << j)
			continue;
		sum = (double)m->v[row][j] + best_of(m, row + 1, taken | 1u << j, skips);
		best = sum > best ? sum : best;
	}
	return best;
}

static double sum_of(const struct matrix *m, const uint32_t *column)
{
	size_t assigned = 0;
	unsigned taken = 0;
	double sum = 0;

	for (size_t i = 0; i < m->rows; i++) {
		if (column[i] == PL_LAP_NONE)
			continue;
		assert_true(column[i] < m->cols);
		assert_int_equal(taken & 1u << column[i], 0);
		taken |= 1u << column[i];
		sum += (double)m->v[i][column[i]];
		assigned++;
	}
	assert_int_equal(assigned, m->rows < m->cols ? m->rows : m->cols);
	return sum;
}

static void fill(struct matrix *m, size_t rows, size_t cols, uint64_t seed, unsigned values)
{
	m->rows = rows;
	m->cols = cols;
	for (size_t i = 0; i < rows; i++) {
		m->row[i] = m->v[i];
		for (size_t j = 0; j < cols; j++)
			m->v[i][j] = (float)(pl_draw64(seed, i, j) % values) / (float)values * 2 - 1;
	}
}

static void test_enumeration(void **state)
{
	struct matrix m;
	uint32_t column[SIDE];

	(void)state;
	for (size_t rows = 1; rows <= SIDE; rows++) {
		for (size_t cols = 1; cols <= SIDE; cols++) {
			for (uint64_t seed = 0; seed < 12; seed++) {
				/* few values: ties, too */
				fill(&m, rows, cols, seed * 100 + rows * 10 + cols, seed % 3 == 0 ? 3 : 100000);
				assert_int_equal(pl_lap(m.row, rows, cols, column, NULL), PL_OK);
				assert_true(fabs(sum_of(&m, column) - best_of(&m, 0, 0, rows > cols ? rows - cols : 0)) < 1e-6);
			}
		}
	}
}

/* The nearest sentence of both is the first; one has to give way, and it is the one that loses less. */
static void test_gives_way(void **state)
{
	const float a[] = {0.9f, 0.8f, 0.1f}, b[] = {0.85f, 0.2f, 0.1f};
	const float *const rows[] = {a, b};
	uint32_t column[2];

	(void)state;
	assert_int_equal(pl_lap(rows, 2, 3, column, NULL), PL_OK);
	assert_int_equal(column[0], 1);
	assert_int_equal(column[1], 0);
}

static void test_ceiling(void **state)
{
	static float zeros[70000];
	static const float *rows[500];
	static uint32_t column[500];

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(rows); i++)
		rows[i] = zeros;
	assert_int_equal(pl_lap(rows, 500, 500, column, NULL), PL_ERR_LIMIT);
	assert_int_equal(pl_lap(rows, 33, 70000, column, NULL), PL_ERR_LIMIT);
	assert_int_equal(pl_lap(rows, 8, 70000, column, NULL), PL_OK);
	assert_int_equal(pl_lap(rows, 0, 5, column, NULL), PL_OK);
	assert_int_equal(pl_lap(rows, 2, 0, column, NULL), PL_OK);
	assert_int_equal(column[1], PL_LAP_NONE);
}

/* Does each image have a sentence of its own? Two of MMC4's documents here put several to one. */
static bool one_to_one(const struct pl_document *d)
{
	for (size_t i = 0; i < d->nimages; i++) {
		for (size_t k = 0; k < i; k++) {
			if (d->images[i].match == d->images[k].match)
				return false;
		}
	}
	return true;
}

/* MMC4 assigned its images so: its documents, as published, say what the assignment is. */
static void test_mmc4(void **state)
{
	const char *data = getenv("PLAIT_SHARED_DATA");
	struct pl_read_options o = {.kind = PL_KIND_INTERLEAVED};
	size_t documents = 0, images = 0, same = 0;
	struct pl_record_text t;
	struct pl_document d;
	struct pl_records *r;
	char path[1000];

	(void)state;
	snprintf(path, sizeof(path), "%.900s/mmc4/docs_no_face_shard_151_v3.sample.jsonl", data != NULL ? data : "");
	if (data == NULL || access(path, R_OK) != 0)
		skip();
	assert_int_equal(pl_records_open(&r, path, 0, NULL), PL_OK);
	pl_document_init(&d);
	while (pl_records_next(r, &t, NULL) == PL_OK) {
		const float *rows[64];
		uint32_t column[64];
		size_t texts = 0;
		double mine = 0, theirs = 0;
		assert_int_equal(pl_document_read_record(&d, &o, t.text, t.len, false, NULL), PL_OK);
		assert_int_equal(d.status, PL_REASON_KEEP);
		for (size_t i = 0; i < d.nsegments; i++)
			texts += !d.segments[i].is_image;
		assert_true(d.nimages <= 64);
		for (size_t i = 0; i < d.nimages; i++) {
			rows[i] = d.images[i].affinity;
			assert_non_null(rows[i]);
			theirs += (double)rows[i][d.images[i].match];
			assert_float_equal(rows[i][d.images[i].match], d.images[i].similarity, 1e-6);
		}
		assert_int_equal(pl_lap(rows, d.nimages, texts, column, NULL), PL_OK);
		for (size_t i = 0; i < d.nimages && one_to_one(&d); i++) {
			mine += (double)rows[i][column[i]];
			same += column[i] == d.images[i].match;
		}
		if (one_to_one(&d)) {
			assert_true(mine >= theirs - 1e-6);
			images += d.nimages;
		}
		documents++;
	}
	pl_document_release(&d);
	pl_records_close(r);
	assert_int_equal(documents, 78);
	print_message("# %zu of %zu images assigned as published\n", same, images);
	assert_true(same * 100 >= images * 80);   /* not all: images were dropped after it was made */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enumeration),
		cmocka_unit_test(test_gives_way),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_mmc4),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

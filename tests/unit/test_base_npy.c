/* SPDX-License-Identifier: Apache-2.0 */
/* Tables: round trip, the same bytes as numpy.save, headers cut and changed at
 * every byte, and what the reader refuses. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/base/npy.h"

#define PYTHON "/usr/bin/python3"
#define ROW_SIZE 45

static const struct pl_npy_col cols[] = {
    {"key", PL_NPY_U64, 1, 0},
    {"offset", PL_NPY_I64, 1, 8},
    {"similarity", PL_NPY_F64, 1, 16},
    {"aesthetic", PL_NPY_F32, 1, 24},
    {"images", PL_NPY_U32, 1, 28},
    {"delta", PL_NPY_I32, 1, 32},
    {"width", PL_NPY_U16, 1, 36},
    {"status", PL_NPY_U8, 1, 38},
    {"pdq", PL_NPY_BYTES, 6, 39},
};

static char dir[PATH_MAX - 64];

static int setup(void **state)
{
	const char *base = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/plait-npy-XXXXXX", base && *base ? base : "/tmp");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

static const char *in_dir(const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", dir, name);
	return path;
}

static void make_row(uint64_t i, uint8_t row[ROW_SIZE])
{
	uint64_t key = i * 0x9E3779B97F4A7C15u;
	int64_t offset = -(int64_t)i;
	double similarity = (double)i / 3;
	float aesthetic = (float)i + 0.5f;
	uint32_t images = 4000000000u + (uint32_t)i;
	int32_t delta = -(int32_t)i;
	uint16_t width = (uint16_t)(i * 7);

	memcpy(row, &key, 8);
	memcpy(row + 8, &offset, 8);
	memcpy(row + 16, &similarity, 8);
	memcpy(row + 24, &aesthetic, 4);
	memcpy(row + 28, &images, 4);
	memcpy(row + 32, &delta, 4);
	memcpy(row + 36, &width, 2);
	row[38] = (uint8_t)i;
	memset(row + 39, (int)(i & 0xff), 6);
}

static void write_table(const char *path, uint64_t n)
{
	struct pl_npy_writer w;
	struct pl_err err = {0};
	uint8_t row[ROW_SIZE];

	assert_int_equal(pl_npy_create(&w, path, cols, PL_ARRAY_LEN(cols), ROW_SIZE, &err), PL_OK);
	for (uint64_t i = 0; i < n; i++) {
		make_row(i, row);
		assert_int_equal(pl_npy_append(&w, row, 1, &err), PL_OK);
	}
	assert_int_equal(pl_npy_commit(&w, &err), PL_OK);
	pl_npy_abort(&w);
}

static void check_table(const char *path, uint64_t n)
{
	struct pl_npy t;
	struct pl_err err = {0};
	uint8_t row[ROW_SIZE];

	if (pl_npy_open(&t, path, &err) != PL_OK)
		fail_msg("%s", err.text);
	assert_int_equal(t.nrows, n);
	assert_int_equal(t.row_size, ROW_SIZE);
	assert_int_equal(t.ncols, PL_ARRAY_LEN(cols));
	assert_int_equal((uintptr_t)t.rows % 64, 0);
	assert_int_equal(pl_npy_expect(&t, path, cols, PL_ARRAY_LEN(cols), &err), PL_OK);
	for (uint64_t i = 0; i < n; i++) {
		make_row(i, row);
		assert_memory_equal(pl_npy_row(&t, i), row, ROW_SIZE);
	}
	pl_npy_close(&t);
	pl_npy_close(&t);
}

static void test_round_trip(void **state)
{
	static const uint64_t sizes[] = {
	    0, 1, 9, 10, 5825, 5826, 20000}; /* about one buffer, and more */
	char path[PATH_MAX];

	(void)state;
	in_dir("t.npy", path);
	for (size_t i = 0; i < PL_ARRAY_LEN(sizes); i++) {
		write_table(path, sizes[i]);
		check_table(path, sizes[i]);
	}
	unlink(path);
}

static void test_large_append(void **state)
{
	enum { N = 10000 };
	char path[PATH_MAX];
	struct pl_npy_writer w;
	uint8_t *rows = malloc((size_t)N * ROW_SIZE);

	(void)state;
	assert_non_null(rows);
	for (uint64_t i = 0; i < N; i++)
		make_row(i, rows + i * ROW_SIZE);
	in_dir("t.npy", path);
	assert_int_equal(pl_npy_create(&w, path, cols, PL_ARRAY_LEN(cols), ROW_SIZE, NULL), PL_OK);
	assert_int_equal(pl_npy_append(&w, rows, 3, NULL), PL_OK);
	assert_int_equal(pl_npy_append(&w, rows, 0, NULL), PL_OK);
	assert_int_equal(pl_npy_append(&w, rows + 3 * ROW_SIZE, N - 3, NULL), PL_OK);
	assert_int_equal(pl_npy_append(&w, rows, UINT64_MAX / 2, NULL), PL_ERR_LIMIT);
	assert_int_equal(pl_npy_commit(&w, NULL), PL_OK);
	check_table(path, N);
	free(rows);
	unlink(path);
}

static void test_abort_leaves_nothing(void **state)
{
	char path[PATH_MAX];
	struct pl_npy_writer w = {0};

	(void)state;
	pl_npy_abort(&w);
	in_dir("gone.npy", path);
	assert_int_equal(pl_npy_create(&w, path, cols, PL_ARRAY_LEN(cols), ROW_SIZE, NULL), PL_OK);
	pl_npy_abort(&w);
	pl_npy_abort(&w);
	assert_int_not_equal(access(path, F_OK), 0);
	/* teardown's rmdir fails if a temporary file stayed */
}

static void test_values(void **state)
{
	char path[PATH_MAX];
	struct pl_npy t;
	const void *row;

	(void)state;
	in_dir("t.npy", path);
	write_table(path, 5);
	assert_int_equal(pl_npy_open(&t, path, NULL), PL_OK);
	row = pl_npy_row(&t, 3);
	assert_true(pl_npy_real(pl_npy_col(&t, "offset"), row) == -3.0);
	assert_true(pl_npy_real(pl_npy_col(&t, "similarity"), row) == 1.0);
	assert_true(pl_npy_real(pl_npy_col(&t, "aesthetic"), row) == 3.5);
	assert_true(pl_npy_real(pl_npy_col(&t, "images"), row) == 4000000003.0);
	assert_true(pl_npy_real(pl_npy_col(&t, "delta"), row) == -3.0);
	assert_true(pl_npy_real(pl_npy_col(&t, "width"), row) == 21.0);
	assert_true(pl_npy_real(pl_npy_col(&t, "status"), row) == 3.0);
	assert_true(pl_npy_real(pl_npy_col(&t, "pdq"), row) == 0.0);
	assert_true(pl_npy_real(pl_npy_col(&t, "key"), row) == (double)(3 * 0x9E3779B97F4A7C15u));
	assert_null(pl_npy_col(&t, "absent"));
	pl_npy_close(&t);
	unlink(path);
}

static void test_expect(void **state)
{
	char path[PATH_MAX];
	struct pl_npy t;
	struct pl_err err = {0};
	struct pl_npy_col want[PL_ARRAY_LEN(cols) + 1];

	(void)state;
	in_dir("t.npy", path);
	write_table(path, 1);
	assert_int_equal(pl_npy_open(&t, path, &err), PL_OK);
	memcpy(want, cols, sizeof(cols));
	want[PL_ARRAY_LEN(cols)] = (struct pl_npy_col){"more", PL_NPY_U8, 1, 45};
	assert_int_equal(pl_npy_expect(&t, path, want, 3, &err), PL_OK);
	assert_int_equal(pl_npy_expect(&t, path, want, PL_ARRAY_LEN(want), &err), PL_ERR_INVALID);
	assert_string_equal(err.text, "column 'more' is missing");
	want[2].name = "score";
	assert_int_equal(pl_npy_expect(&t, path, want, 3, &err), PL_ERR_INVALID);
	assert_string_equal(err.text, "column 2 is 'similarity', not 'score'");
	want[1].type = PL_NPY_U64;
	assert_int_equal(pl_npy_expect(&t, path, want, 3, &err), PL_ERR_INVALID);
	assert_string_equal(
	    err.text, "column 'offset' is <i8 x 1 at byte 8, not <u8 x 1 at byte 8");
	pl_npy_close(&t);
	unlink(path);
}

static void check_refused_cols(struct pl_npy_col a, struct pl_npy_col b, size_t row_size)
{
	const struct pl_npy_col two[] = {a, b};
	char path[PATH_MAX];
	struct pl_npy_writer w;

	in_dir("no.npy", path);
	assert_int_equal(pl_npy_create(&w, path, two, 2, row_size, NULL), PL_ERR_INVALID);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void test_writer_refuses(void **state)
{
	const struct pl_npy_col a = {"a", PL_NPY_U32, 1, 0};

	(void)state;
	check_refused_cols(a, (struct pl_npy_col){"a", PL_NPY_U32, 1, 4}, 8);      /* twice */
	check_refused_cols(a, (struct pl_npy_col){"b", PL_NPY_U32, 1, 8}, 12);     /* gap */
	check_refused_cols(a, (struct pl_npy_col){"b", PL_NPY_U32, 1, 4}, 12);     /* row size */
	check_refused_cols(a, (struct pl_npy_col){"b'", PL_NPY_U32, 1, 4}, 8);     /* quote */
	check_refused_cols(a, (struct pl_npy_col){"", PL_NPY_U32, 1, 4}, 8);
	check_refused_cols(a, (struct pl_npy_col){"\xc3\xa9", PL_NPY_U32, 1, 4}, 8);
	check_refused_cols(a, (struct pl_npy_col){"b", PL_NPY_BYTES, 0, 4}, 4);
	check_refused_cols(a, (struct pl_npy_col){"b", PL_NPY_BYTES, 1u << 31, 4}, 4 + (1ul << 31));
}

static void spit(const char *path, const void *data, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

/* Whatever is cut off, the answer is PL_ERR_INVALID and never a crash. */
static void test_truncation(void **state)
{
	char path[PATH_MAX], cut[PATH_MAX];
	char *data = NULL;
	size_t len = 0;

	(void)state;
	write_table(in_dir("t.npy", path), 3);
	in_dir("cut.npy", cut);
	assert_int_equal(pl_file_read(path, 1 << 20, &data, &len, NULL), PL_OK);
	for (size_t n = 0; n < len; n++) {
		struct pl_npy t;
		struct pl_err err = {0};
		spit(cut, data, n);
		assert_int_equal(pl_npy_open(&t, cut, &err), PL_ERR_INVALID);
		assert_string_equal(err.path, cut);
		assert_null(t.map);
	}
	free(data);
	unlink(path);
	unlink(cut);
}

/* Every header byte replaced: open says no, or what it opens lies inside the file. */
static void test_changed_header(void **state)
{
	static const unsigned char other[] = {0, ' ', '9', '(', ')', '\'', ',', '[', '<', 0xff};
	char path[PATH_MAX], bad[PATH_MAX];
	char *data = NULL;
	size_t len = 0;

	(void)state;
	write_table(in_dir("t.npy", path), 1);
	in_dir("bad.npy", bad);
	assert_int_equal(pl_file_read(path, 1 << 20, &data, &len, NULL), PL_OK);
	for (size_t i = 0; i < len - ROW_SIZE; i++) {
		char kept = data[i];
		for (size_t k = 0; k < sizeof(other); k++) {
			struct pl_npy t;
			data[i] = (char)other[k];
			spit(bad, data, len);
			if (pl_npy_open(&t, bad, NULL) != PL_OK)
				continue;
			assert_true(t.nrows * t.row_size == ROW_SIZE);
			for (size_t c = 0; c < t.ncols; c++)
				(void)pl_npy_real(&t.cols[c], pl_npy_row(&t, 0));
			pl_npy_close(&t);
		}
		data[i] = kept;
	}
	free(data);
	unlink(path);
	unlink(bad);
}

/* A version 1.0 file with this dictionary and tail bytes of rows. */
static enum pl_status open_header(const char *dict, size_t tail, struct pl_npy *t)
{
	char path[PATH_MAX], data[2048];
	size_t n = strlen(dict), total = (10 + n + 1 + 63) / 64 * 64;
	enum pl_status st;

	assert_true(total + tail <= sizeof(data));
	memset(data, ' ', total);
	memcpy(data, "\x93NUMPY\x01\x00", 8);
	data[8] = (char)((total - 10) & 0xff);
	data[9] = (char)((total - 10) >> 8);
	memcpy(data + 10, dict, n);
	data[total - 1] = '\n';
	memset(data + total, 7, tail);
	spit(in_dir("h.npy", path), data, total + tail);
	st = pl_npy_open(t, path, NULL);
	unlink(path);
	return st;
}

static void test_headers(void **state)
{
	static const struct { const char *dict; size_t tail; enum pl_status want;
	} cases[] = {
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (2,), }", 8, PL_OK},
	    {"{'shape': (2,), 'fortran_order': False, 'descr': [(\"a'b\", '<u4'),]}", 8, PL_OK},
	    {"{'descr': [('a', '|u1'), ('', '|V3'), ('b', '<f4')], 'fortran_order': False, "
	     "'shape': (1,), }",
		8, PL_OK},
	    {"{'descr': [('a', '|u1', (4,))], 'fortran_order': True, 'shape': (2,), }", 8, PL_OK},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (2,), }", 7,
		PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (2,), }", 9,
		PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (2,), } x", 8,
		PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, }", 8, PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, }", 0, PL_ERR_INVALID},
	    {"{'fortran_order': False, 'shape': (0,), }", 0, PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'shape': (2,), }", 8, PL_ERR_INVALID},
	    {"{}", 0, PL_ERR_INVALID},
	    {"", 0, PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'descr': [('a', '<u4')], 'shape': (2,), }", 8,
		PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'fortran_order': 0, 'shape': (2,), }", 8, PL_ERR_INVALID},
	    {"{'descr': [], 'fortran_order': False, 'shape': (2,), }", 8, PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4'), ('a', '<u4')], 'fortran_order': False, 'shape': (1,), }", 8,
		PL_ERR_INVALID},
	    {"{'descr': [('\\x61', '<u4')], 'fortran_order': False, 'shape': (2,), }", 8,
		PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (4611686018427387906,), }",
		8, PL_ERR_INVALID},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': "
	     "(99999999999999999999999,), }",
		8, PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (1, 2), }", 8,
		PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', '<u4')], 'fortran_order': False, 'shape': (), }", 8,
		PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', '>u4')], 'fortran_order': False, 'shape': (2,), }", 8,
		PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }", 8,
		PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', [('b', '<u4')])], 'fortran_order': False, 'shape': (2,), }", 8,
		PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', '<u4', (2,))], 'fortran_order': False, 'shape': (1,), }", 8,
		PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', '|u1', (0,))], 'fortran_order': False, 'shape': (1,), }", 0,
		PL_ERR_UNSUPPORTED},
	    {"{'descr': [('a', '|u1', (18446744073709551615,))], 'fortran_order': False, 'shape': "
	     "(1,), }",
		8, PL_ERR_UNSUPPORTED},
	    {"{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }", 8, PL_ERR_UNSUPPORTED},
	};

	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
		struct pl_npy t;
		enum pl_status st = open_header(cases[i].dict, cases[i].tail, &t);
		if (st != cases[i].want)
			fail_msg("case %zu: %s", i, pl_status_name(st));
		if (i == 2)
			assert_int_equal(pl_npy_col(&t, "b")->offset, 4);
		if (i == 3)
			assert_int_equal(t.cols[0].count, 4);
		pl_npy_close(&t);
	}
}

static void test_not_a_file(void **state)
{
	char path[PATH_MAX];
	struct pl_npy t;

	(void)state;
	assert_int_equal(pl_npy_open(&t, in_dir("absent.npy", path), NULL), PL_ERR_NOTFOUND);
	assert_int_equal(pl_npy_open(&t, dir, NULL), PL_ERR_INVALID);
	assert_int_equal(mkfifo(in_dir("fifo.npy", path), 0600), 0);
	assert_int_equal(pl_npy_open(&t, path, NULL), PL_ERR_INVALID);
	unlink(path);
}

static int run_python(const char *script, const char *path)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		execl(PYTHON, PYTHON, "-c", script, path, (char *)NULL);
		_exit(127);
	}
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* numpy maps our file, sees our values, and saves it again as the same bytes (as of
 * 1.24: other versions may pad differently); then we read an aligned dtype of its making. */
static void test_numpy(void **state)
{
	static const char reads[] =
	    "import sys, io, numpy as np\n"
	    "a = np.load(sys.argv[1], mmap_mode='r')\n"
	    "assert a.shape == (12,) and a.dtype.itemsize == 45, (a.shape, a.dtype)\n"
	    "assert a.dtype.names == "
	    "('key','offset','similarity','aesthetic','images','delta','width','status','pdq')\n"
	    "i = np.arange(12)\n"
	    "assert (a['offset'] == -i).all() and (a['similarity'] == i / 3).all() and (a['width'] "
	    "== i * 7).all()\n"
	    "assert (a['images'] == 4000000000 + i).all() and a['pdq'].shape == (12, 6) and "
	    "(a['pdq'].T == i).all()\n"
	    "b = io.BytesIO(); np.save(b, np.array(a))\n"
	    "if np.__version__.startswith('1.24.'): assert b.getvalue() == open(sys.argv[1], "
	    "'rb').read()\n"
	    "d = np.dtype([('a', 'u1'), ('b', '<f8'), ('c', 'u1', (3,))], align=True)\n"
	    "x = np.zeros(2, d); x['b'] = [1.5, 2.5]\n"
	    "np.save(sys.argv[1], x)\n";
	char path[PATH_MAX];
	struct pl_npy t;

	(void)state;
	if (access(PYTHON, X_OK) != 0 || run_python("import numpy", "") != 0) {
		print_message("no " PYTHON " with numpy: not compared\n");
		skip();
	}
	write_table(in_dir("n.npy", path), 12);
	assert_int_equal(run_python(reads, path), 0);
	assert_int_equal(pl_npy_open(&t, path, NULL), PL_OK);
	assert_int_equal(t.ncols, 3);
	assert_int_equal(t.row_size, 24);
	assert_true(pl_npy_real(pl_npy_col(&t, "b"), pl_npy_row(&t, 1)) == 2.5);
	assert_int_equal(pl_npy_col(&t, "c")->type, PL_NPY_BYTES);
	pl_npy_close(&t);
	unlink(path);
}

/* Names of 1 to 64 letters: the padding is numpy's at every header length. */
static void test_numpy_padding(void **state)
{
	static const char same[] =
		"import sys, io, numpy as np\n"
		"if not np.__version__.startswith('1.24.'): sys.exit(0)\n"
		"for n in range(1, 65):\n"
		"  raw = open('%s/%d.npy' % (sys.argv[1], n), 'rb').read()\n"
		"  b = io.BytesIO(); np.save(b, np.load(io.BytesIO(raw)))\n"
		"  assert b.getvalue() == raw, n\n";
	static const uint8_t rows[1000];
	char path[PATH_MAX], name[65] = "", file[16];

	(void)state;
	if (access(PYTHON, X_OK) != 0 || run_python("import numpy", "") != 0) {
		print_message("no " PYTHON " with numpy: not compared\n");
		skip();
	}
	for (size_t n = 1; n <= 64; n++) {
		const struct pl_npy_col col = {name, PL_NPY_U8, 1, 0};
		struct pl_npy_writer w;
		name[n - 1] = 'x';
		snprintf(file, sizeof(file), "%zu.npy", n);
		assert_int_equal(pl_npy_create(&w, in_dir(file, path), &col, 1, 1, NULL), PL_OK);
		assert_int_equal(pl_npy_append(&w, rows, n > 32 ? 1000 : 7, NULL), PL_OK);
		assert_int_equal(pl_npy_commit(&w, NULL), PL_OK);
	}
	assert_int_equal(run_python(same, dir), 0);
	for (size_t n = 1; n <= 64; n++) {
		snprintf(file, sizeof(file), "%zu.npy", n);
		unlink(in_dir(file, path));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_large_append),
		cmocka_unit_test(test_abort_leaves_nothing),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_writer_refuses),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_changed_header),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_not_a_file),
		cmocka_unit_test(test_numpy),
		cmocka_unit_test(test_numpy_padding),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

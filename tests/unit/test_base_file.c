/* SPDX-License-Identifier: Apache-2.0 */
/* Whole-or-absent files and content records. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>
#include <cmocka.h>

#include "libpipe/base/file.h"

struct place { char dir[256], before[4096]; };

static int enter(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	const char *tmp = getenv("TMPDIR");

	if (p == NULL || getcwd(p->before, sizeof(p->before)) == NULL)
		return -1;
	snprintf(p->dir, sizeof(p->dir), "%s/plait-file-XXXXXX", tmp != NULL ? tmp : "/tmp");
	*state = p;
	return mkdtemp(p->dir) != NULL ? chdir(p->dir) : -1;
}

static int remove_all(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[600];

	while (d != NULL && (e = readdir(d)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (unlink(path) != 0)
			remove_all(path);
	}
	if (d != NULL)
		closedir(d);
	return rmdir(dir);
}

static int leave(void **state)
{
	struct place *p = *state;
	int rc = chdir(p->before) != 0 || remove_all(p->dir) != 0;

	free(p);
	return rc;
}

static int entries(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n - 2;
}

static void commit_puts_the_whole_file_in_place(void **state)
{
	struct pl_outfile f;
	char *data, tmp[64];
	size_t len;

	(void)state;
	assert_int_equal(pl_outfile_open(&f, "out.npy", NULL), PL_OK);
	snprintf(tmp, sizeof(tmp), ".tmp-out.npy-%ld", (long)getpid());
	assert_string_equal(f.tmp, tmp);
	assert_int_equal(pl_outfile_write(&f, "hello world", 11, NULL), PL_OK);
	assert_int_equal(pl_outfile_pwrite(&f, "H", 1, 0, NULL), PL_OK);
	assert_int_equal(f.bytes, 11);
	assert_int_equal(access("out.npy", F_OK), -1);
	assert_int_equal(pl_outfile_commit(&f, NULL), PL_OK);
	pl_outfile_abort(&f);
	assert_int_equal(pl_file_read("out.npy", 100, &data, &len, NULL), PL_OK);
	assert_int_equal(len, 11);
	assert_string_equal(data, "Hello world");
	free(data);
	assert_int_equal(entries("."), 1);
}

static void abort_leaves_nothing(void **state)
{
	struct pl_outfile f, zero;

	(void)state;
	memset(&zero, 0, sizeof(zero));
	pl_outfile_abort(&zero);
	assert_int_not_equal(fcntl(0, F_GETFD), -1);   /* standard input is still open */
	assert_int_equal(pl_outfile_open(&f, "out", NULL), PL_OK);
	assert_int_equal(pl_outfile_write(&f, "x", 1, NULL), PL_OK);
	pl_outfile_abort(&f);
	pl_outfile_abort(&f);
	assert_int_equal(entries("."), 0);
}

static void open_refuses_what_it_would_destroy(void **state)
{
	struct pl_outfile f;
	struct pl_err err;

	(void)state;
	assert_int_equal(pl_outfile_open(&f, "no/such/dir/out", &err), PL_ERR_IO);
	assert_string_equal(err.path, "no/such/dir");
	assert_int_equal(pl_outfile_open(&f, "/dev/null", &err), PL_ERR_USAGE);
	assert_int_equal(pl_outfile_open(&f, ".", &err), PL_ERR_USAGE);
	assert_int_equal(pl_outfile_open(&f, "", &err), PL_ERR_USAGE);
	pl_outfile_abort(&f);
}

static void full_disk_is_an_error_of_the_job(void **state)
{
	struct rlimit old, small;
	char block[8192] = "";
	struct pl_err err;
	enum pl_status st;

	(void)state;
	/* A file size limit stands in for the full disk. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 4096;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	st = pl_file_write("big", block, sizeof(block), &err);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(st, PL_ERR_IO);
	assert_int_equal(err.severity, PL_SEV_JOB);
	assert_int_equal(err.sys_errno, EFBIG);
	assert_string_equal(err.path, "big");
	assert_int_equal(entries("."), 0);
}

static void reading_has_a_ceiling(void **state)
{
	char *data = NULL, *big = calloc(1, 200000), part[10];
	struct pl_err err;
	size_t len;
	int fd;

	(void)state;
	assert_non_null(big);
	assert_int_equal(pl_file_write("f", big, 200000, NULL), PL_OK);
	assert_int_equal(pl_file_read("f", 199999, &data, &len, &err), PL_ERR_LIMIT);
	assert_int_equal(pl_file_read("f", 200000, &data, &len, &err), PL_OK);
	assert_int_equal(len, 200000);
	free(data);
	assert_int_equal(pl_file_read("/proc/self/status", 100000, &data, &len, &err), PL_OK);
	assert_true(len > 100);
	free(data);
	assert_int_equal(pl_file_read("none", 10, &data, &len, &err), PL_ERR_NOTFOUND);
	assert_int_equal(pl_file_read(".", 10, &data, &len, &err), PL_ERR_IO);
	fd = open("f", O_RDONLY);
	assert_int_equal(pl_pread_full(fd, part, 10, 199995, &len, "f", &err), PL_OK);
	assert_int_equal(len, 5);
	assert_int_equal(pl_pread_full(fd, part, 10, UINT64_MAX, &len, "f", &err), PL_ERR_INVALID);
	close(fd);
	free(big);
}

static void directories_and_leftovers(void **state)
{
	struct pl_err err;
	char *path;

	(void)state;
	assert_int_equal(pl_mkdirs("a//b/c/", NULL), PL_OK);
	assert_int_equal(pl_mkdirs("a/b/c", NULL), PL_OK);
	assert_int_equal(pl_file_write("a/file", "", 0, NULL), PL_OK);
	assert_int_equal(pl_mkdirs("a/file/x", &err), PL_ERR_IO);
	assert_int_equal(err.sys_errno, ENOTDIR);
	assert_string_equal(err.path, "a/file");
	assert_int_equal(pl_mkdirs("a/.plait/.tmp-dir-1", NULL), PL_OK);
	assert_int_equal(pl_file_write("a/.tmp-x.npy-123", "", 0, NULL), PL_OK);
	assert_int_equal(pl_file_write("a/.tmp-mine", "", 0, NULL), PL_OK);
	assert_int_equal(pl_file_write("a/.plait/.tmp-r.json-5", "", 0, NULL), PL_OK);
	assert_int_equal(pl_remove_temporaries("a", NULL), PL_OK);
	assert_int_equal(access("a/.tmp-x.npy-123", F_OK), -1);
	assert_int_equal(access("a/.plait/.tmp-r.json-5", F_OK), -1);
	assert_int_equal(access("a/.tmp-mine", F_OK), 0);
	assert_int_equal(access("a/.plait/.tmp-dir-1", F_OK), 0);
	assert_int_equal(pl_remove_temporaries("none", NULL), PL_OK);
	path = pl_path_join("d/", "n");
	assert_string_equal(path, "d/n");
	free(path);
}

static bool is_done(uint64_t digest, char **payload)
{
	struct pl_record r = { .dir = "out", .unit = "00001", .digest = { digest, 7 } };
	bool done = !digest;

	assert_int_equal(pl_record_check(&r, &done, payload, NULL), PL_OK);
	return done;
}

static void records_tell_what_is_done(void **state)
{
	static const char *const outputs[] = { "a.npy", "b.npy" };
	struct pl_record r = { .dir = "out", .unit = "00001", .digest = { 1, 7 } };
	struct pl_err err;
	char *payload;

	(void)state;
	assert_false(is_done(1, &payload));
	assert_null(payload);
	assert_int_equal(pl_mkdirs("out", NULL), PL_OK);
	assert_int_equal(pl_file_write("out/a.npy", "aa", 2, NULL), PL_OK);
	assert_int_equal(pl_record_write(&r, outputs, 2, NULL, &err), PL_ERR_NOTFOUND);
	assert_int_equal(pl_file_write("out/b.npy", "bbb", 3, NULL), PL_OK);
	assert_int_equal(pl_record_write(&r, outputs, 2, "{oops", &err), PL_ERR_INVALID);
	assert_int_equal(
	    pl_record_write(&r, outputs, 2, "{\"z\": 1, \"a\": [0.1, 9007199254740993]}", &err),
	    PL_OK);
	assert_true(is_done(1, &payload));
	assert_string_equal(payload, "{\"z\":1,\"a\":[0.10000000000000001,9007199254740993]}");
	free(payload);
	assert_true(is_done(1, NULL));
	assert_false(is_done(2, NULL));          /* other inputs or settings */
	assert_int_equal(pl_file_write("out/b.npy", "b", 1, NULL), PL_OK);
	assert_false(is_done(1, NULL));          /* another size */
	unlink("out/b.npy");
	assert_false(is_done(1, NULL));          /* gone */
	assert_int_equal(pl_record_write(&r, NULL, 0, NULL, &err), PL_OK);
	assert_true(is_done(1, &payload));
	assert_null(payload);
	r.unit = "../evil";
	assert_int_equal(pl_record_write(&r, NULL, 0, NULL, &err), PL_ERR_INVALID);
}

static void a_damaged_record_is_not_done(void **state)
{
	struct pl_record r = { .dir = "out", .unit = "00001", .digest = { 1, 7 } };
	char *text;
	size_t len, i;

	(void)state;
	assert_int_equal(pl_record_write(&r, NULL, 0, "[1,2]", NULL), PL_OK);
	assert_int_equal(pl_file_read("out/.plait/00001.json", 10000, &text, &len, NULL), PL_OK);
	assert_true(is_done(1, NULL));
	for (i = 0; i < len; i++) {   /* cut at every byte */
		assert_int_equal(pl_file_write("out/.plait/00001.json", text, i, NULL), PL_OK);
		assert_false(is_done(1, NULL));
	}
	assert_int_equal(pl_file_write("out/.plait/00001.json", "[\"digest\"]", 10, NULL), PL_OK);
	assert_false(is_done(1, NULL));
	free(text);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, enter, leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(commit_puts_the_whole_file_in_place),
		IN_PLACE(abort_leaves_nothing),
		IN_PLACE(open_refuses_what_it_would_destroy),
		IN_PLACE(full_disk_is_an_error_of_the_job),
		IN_PLACE(reading_has_a_ceiling),
		IN_PLACE(directories_and_leftovers),
		IN_PLACE(records_tell_what_is_done),
		IN_PLACE(a_damaged_record_is_not_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

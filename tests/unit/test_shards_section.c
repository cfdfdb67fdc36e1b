/* SPDX-License-Identifier: Apache-2.0 */
/* Stretches of a shard, read on their own, hold what the whole shard holds
 * there; and what cannot be cut says so. */
#include "shards_test.h"

#include <archive.h>
#include <archive_entry.h>

#include "shards/section.h"

enum { SAMPLES = 9 };

struct seen { char key[160]; uint64_t offset, length, data_at; size_t nparts, bytes; uint8_t first; };

static void entry(struct archive *a, const char *name, unsigned type, size_t len, char fill)
{
	struct archive_entry *e = archive_entry_new();
	char *data = malloc(len + 1);
	assert_non_null(data);
	memset(data, fill, len);
	archive_entry_copy_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_mtime(e, 1234567, 890000000);
	archive_entry_set_size(e, (la_int64_t)len);
	assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
	if (len > 0)
		assert_int_equal(archive_write_data(a, data, len), len);
	archive_entry_free(e);
	free(data);
}

/* Samples of several members, long names, members that belong to none, one inside a sample. */
static void make_tar(const char *path, int (*format)(struct archive *), int (*filter)(struct archive *))
{
	struct archive *a = archive_write_new();
	assert_int_equal(format(a), ARCHIVE_OK);
	if (filter)
		assert_int_equal(filter(a), ARCHIVE_OK);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (int i = 0; i < SAMPLES; i++) {
		char name[200];
		int key = i == 5 ? 2 : i;   /* a key that comes back */
		snprintf(name, sizeof name, "%0*d/%d.jpg", i == 3 ? 120 : 2, 0, key);
		entry(a, name, AE_IFREG, (size_t)i * 9000, (char)('a' + i));
		entry(a, "README", AE_IFREG, 3, 'r');
		entry(a, "folder", AE_IFDIR, 0, 0);
		snprintf(name, sizeof name, "%0*d/%d.txt", i == 3 ? 120 : 2, 0, key);
		entry(a, name, AE_IFREG, 7, 't');
	}
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
}

static size_t collect(struct shard_reader *r, struct seen *seen, struct shard_skipped *skipped)
{
	struct shard_sample s;
	struct pl_err err;
	enum pl_status st;
	size_t n = 0;
	while ((st = shard_reader_next(r, &s, &err)) == PL_OK) {
		struct seen *one = &seen[n++];
		assert_true(n <= SAMPLES);
		memset(one, 0, sizeof *one);
		snprintf(one->key, sizeof one->key, "%s", s.key);
		one->offset = s.offset;
		one->length = s.length;
		one->nparts = s.nparts;
		one->data_at = s.parts[0].offset;
		for (size_t i = 0; i < s.nparts; i++)
			one->bytes += s.parts[i].len;
		one->first = s.parts[0].data && s.parts[0].len ? s.parts[0].data[0] : 0;
	}
	if (st != PL_END)
		check_ok(st, &err, "reading", __FILE__, __LINE__);
	*skipped = *shard_reader_skipped(r);
	shard_reader_close(r);
	return n;
}

/* Every pair of borders. */
static void check_sections(const char *path, size_t samples)
{
	struct seen whole[SAMPLES], walked[SAMPLES], part[SAMPLES];
	struct shard_skipped all, skipped;
	struct shard_reader *r;
	struct pl_err err;
	ok(shard_reader_open(&r, path, NULL, &err), &err);
	assert_int_equal(collect(r, whole, &all), samples);
	ok(shard_section_walk(&r, path, &err), &err);
	assert_int_equal(collect(r, walked, &skipped), samples);
	assert_memory_equal(&skipped, &all, sizeof all);
	for (size_t i = 0; i < samples; i++) {
		assert_int_equal(walked[i].offset, whole[i].offset);
		assert_int_equal(walked[i].length, whole[i].length);
		assert_int_equal(walked[i].data_at, whole[i].data_at);
		assert_string_equal(walked[i].key, whole[i].key);
	}
	for (size_t i = 0; i < samples; i++)
		for (size_t k = i + 1; k <= samples; k++) {
			struct shard_skipped sum = { 0 };
			uint64_t cuts[4] = { 0, i > 0 ? whole[i].offset : 0, k < samples ? whole[k].offset : UINT64_MAX, UINT64_MAX };
			size_t n = 0;
			for (size_t p = 0; p < 3; p++) {
				if (cuts[p] == cuts[p + 1])
					continue;
				ok(shard_section_open(&r, path, cuts[p], cuts[p + 1], NULL, &err), &err);
				size_t got = collect(r, part, &skipped);
				assert_int_equal(got, p == 0 ? i : p == 1 ? k - i : samples - k);
				assert_memory_equal(part, whole + n, got * sizeof *part);
				n += got;
				sum.not_regular += skipped.not_regular;
				sum.no_key += skipped.no_key;
				sum.dunder += skipped.dunder;
			}
			assert_int_equal(n, samples);
			assert_memory_equal(&sum, &all, sizeof all);
		}
}

static void test_plain(void **state)
{
	(void)state;
	make_tar(in_tmp("pax.tar"), archive_write_set_format_pax, NULL);
	check_sections(in_tmp("pax.tar"), SAMPLES);
	make_tar(in_tmp("gnu.tar"), archive_write_set_format_gnutar, NULL);
	check_sections(in_tmp("gnu.tar"), SAMPLES);
}

static void test_own(void **state)
{
	static const enum shard_container containers[] = { SHARD_TAR_ZST, SHARD_TAR };
	(void)state;
	for (size_t c = 0; c < PL_ARRAY_LEN(containers); c++) {
		struct shard_writer_options o = { containers[c], 20000, SHARD_LEVEL_AUTO, 0 };
		struct shard_writer *w;
		struct shard_written written;
		struct pl_err err;
		char image[30000], key[16];
		ok(shard_writer_open(&w, in_tmp("own"), &o, &err), &err);
		for (int i = 0; i < SAMPLES; i++) {
			memset(image, 'a' + i, sizeof image);
			snprintf(key, sizeof key, "k%d", i);
			struct shard_member m[2] = { { "jpg", image, (size_t)i * 3000 }, { "txt", "text", 4 } };
			ok(shard_writer_add(w, key, m, 2, &err), &err);
		}
		ok(shard_writer_commit(w, &written, &err), &err);
		check_sections(in_tmp(c == 0 ? "own.tar.zst" : "own.tar"), SAMPLES);
	}
}

static void test_refused(void **state)
{
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_err err;
	enum pl_status st;
	size_t len;
	(void)state;
	make_tar(in_tmp("a.tar.gz"), archive_write_set_format_pax, archive_write_add_filter_gzip);
	assert_int_equal(shard_section_walk(&r, in_tmp("a.tar.gz"), &err), PL_ERR_UNSUPPORTED);
	assert_int_equal(err.severity, PL_SEV_SHARD);
	make_tar(in_tmp("a.tar.zst"), archive_write_set_format_pax, archive_write_add_filter_zstd);
	assert_int_equal(shard_section_walk(&r, in_tmp("a.tar.zst"), &err), PL_ERR_UNSUPPORTED);
	assert_int_equal(shard_section_walk(&r, in_tmp("none.tar"), &err), PL_ERR_NOTFOUND);
	/* A walk finds that a tar was cut, at whatever byte; a section that begins behind the end, too. */
	make_tar(in_tmp("a.tar"), archive_write_set_format_gnutar, NULL);
	uint8_t *bytes = read_file(in_tmp("a.tar"), &len);
	for (size_t cut = 512; cut < len - 10240; cut += 700) {
		write_file(in_tmp("cut.tar"), bytes, cut);
		ok(shard_section_walk(&r, in_tmp("cut.tar"), &err), &err);
		while ((st = shard_reader_next(r, &s, &err)) == PL_OK)
			assert_true(s.nparts > 0);
		assert_int_equal(st, PL_ERR_TRUNCATED);
		shard_reader_close(r);
		assert_int_equal(shard_section_open(&r, in_tmp("cut.tar"), cut + 1, UINT64_MAX, NULL, &err), PL_ERR_TRUNCATED);
	}
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_own, make_tmp_dir, remove_tmp_dir),
		cmocka_unit_test_setup_teardown(test_refused, make_tmp_dir, remove_tmp_dir),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

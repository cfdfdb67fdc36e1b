/* SPDX-License-Identifier: Apache-2.0 */
/* The name rule, and grouping of tars that others wrote: PAX, GNU, links,
 * sparse, compressed, cut, damaged. */
#include "shards_test.h"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include "libpipe/base/hash.h"
#include "shards/bytes.h"
#include "shards/shard.h"
#include "shards/tar_read.h"

static void test_split_name(void **state)
{
	/* What Python's re gives for ^((?:.*\/|)[^.]+)[.]([^\/]*)$; NULL = no match. */
	static const struct { const char *name, *key, *suffix; } t[] = {
		{ "000.jpg", "000", "jpg" }, { "a/b.c/000.jpg", "a/b.c/000", "jpg" },
		{ "000.seg.jpg", "000", "seg.jpg" }, { "./000.jpg", "./000", "jpg" }, { "000.", "000", "" },
		{ ".hidden", NULL, NULL }, { "noext", NULL, NULL }, { "a.b/c", NULL, NULL }, { "", NULL, NULL },
		{ "dir/.hidden", "dir/", "hidden" }, { "a.b/.c", NULL, NULL }, { "x/a.b/.c", NULL, NULL },
		{ "a.b//.c", "a.b//", "c" }, { "/.h", "/", "h" }, { "a/b/.h", "a/b/", "h" }, { "..", NULL, NULL },
		{ "./.a", NULL, NULL }, { "a..b", "a", ".b" }, { "/a.b", "/a", "b" }, { "a.b/c.d/e.f", "a.b/c.d/e", "f" },
		{ "a\nb/c.jpg", "a\nb/c", "jpg" }, { "a.\nb/c.jpg", NULL, NULL }, { "\xc3\xa9.JPG", "\xc3\xa9", "JPG" },
	};
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(t); i++) {
		size_t len = 999;
		const char *suffix = NULL;
		bool got = shard_split_name(t[i].name, &len, &suffix);
		if (got != (t[i].key != NULL))
			fail_msg("'%s'", t[i].name);
		if (!got)
			continue;
		assert_int_equal(len, strlen(t[i].key));
		assert_memory_equal(t[i].name, t[i].key, len);
		assert_string_equal(suffix, t[i].suffix);
	}
}

/* A tar made by libarchive in memory. */
struct made { struct archive *a; uint8_t *bytes; size_t len; };

static void made_open(struct made *m, void (*format)(struct archive *))
{
	m->a = archive_write_new();
	format(m->a);
	assert_int_equal(archive_write_set_bytes_per_block(m->a, 0), ARCHIVE_OK);
	m->bytes = calloc(1, 1 << 20);
	assert_non_null(m->bytes);
	assert_int_equal(archive_write_open_memory(m->a, m->bytes, 1 << 20, &m->len), ARCHIVE_OK);
}

static void made_entry(struct made *m, const char *name, unsigned type, const char *link, const char *data, size_t len)
{
	struct archive_entry *e = archive_entry_new();
	archive_entry_copy_pathname(e, name);
	archive_entry_set_filetype(e, type);
	archive_entry_set_perm(e, 0644);
	archive_entry_set_mtime(e, 1234567, 890000000);
	if (type == AE_IFLNK)
		archive_entry_copy_symlink(e, link);
	else if (link)
		archive_entry_copy_hardlink(e, link);
	archive_entry_set_size(e, link || type != AE_IFREG ? 0 : (la_int64_t)len);
	int rc = archive_write_header(m->a, e);
	assert_true(rc == ARCHIVE_OK || rc == ARCHIVE_WARN);
	if (!link && type == AE_IFREG && len)
		assert_int_equal(archive_write_data(m->a, data, len), len);
	archive_entry_free(e);
}

static void made_file(struct made *m, const char *name, const char *data)
{
	made_entry(m, name, AE_IFREG, NULL, data, strlen(data));
}

static void made_close(struct made *m, const char *path)
{
	assert_int_equal(archive_write_close(m->a), ARCHIVE_OK);
	archive_write_free(m->a);
	if (path)
		write_file(path, m->bytes, m->len);
}

static void pax(struct archive *a)
{
	assert_int_equal(archive_write_set_format_pax(a), ARCHIVE_OK);
}

static void gnu(struct archive *a)
{
	assert_int_equal(archive_write_set_format_gnutar(a), ARCHIVE_OK);
}

static void ustar_gz(struct archive *a)
{
	assert_int_equal(archive_write_set_format_ustar(a), ARCHIVE_OK);
	assert_int_equal(archive_write_add_filter_gzip(a), ARCHIVE_OK);
}

static void pax_xz(struct archive *a)
{
	pax(a);
	assert_int_equal(archive_write_add_filter_xz(a), ARCHIVE_OK);
}

static void pax_bz2(struct archive *a)
{
	pax(a);
	assert_int_equal(archive_write_add_filter_bzip2(a), ARCHIVE_OK);
}

static void pax_zst(struct archive *a)
{
	pax(a);
	assert_int_equal(archive_write_add_filter_zstd(a), ARCHIVE_OK);
}

static void check_part(const struct shard_part *p, const char *suffix, const char *data)
{
	assert_string_equal(p->suffix, suffix);
	assert_int_equal(p->len, strlen(data));
	assert_non_null(p->data);
	assert_memory_equal(p->data, data, p->len);
	assert_false(p->too_large || p->truncated || p->sparse);
}

static void check_formats(void (*format)(struct archive *), const char *name, bool plain)
{
	struct made m;
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_err err;
	char longname[400] = "x/";
	const char *path = in_tmp(name);
	memset(longname + 2, 'n', 90);
	memcpy(longname + 92, "/a.JPG", 7);
	made_open(&m, format);
	made_file(&m, "a.jpg", "image");
	made_entry(&m, "d", AE_IFDIR, NULL, NULL, 0);
	made_entry(&m, "l.txt", AE_IFLNK, "a.jpg", NULL, 0);
	made_entry(&m, "h.txt", AE_IFREG, "a.jpg", NULL, 0);
	made_file(&m, "__meta__", "m");
	made_file(&m, "__dir__/a.txt", "m");
	made_file(&m, "README", "m");
	made_file(&m, "a.Seg.PNG", "");
	made_file(&m, "a.jpg", "again");
	made_file(&m, longname, "far");
	made_file(&m, "a.txt", "third");
	made_close(&m, path);
	ok(shard_reader_open(&r, path, NULL, &err), &err);
	ok(shard_reader_next(r, &s, &err), &err);
	assert_string_equal(s.key, "a");
	assert_int_equal(s.nparts, 2);
	assert_true(s.duplicate_part);
	check_part(&s.parts[0], "jpg", "image");
	check_part(&s.parts[1], "seg.png", "");
	assert_string_equal(s.parts[1].name, "a.Seg.PNG");
	assert_int_equal(s.offset, 0);
	uint64_t end = s.length;
	if (plain)
		assert_memory_equal(m.bytes + s.parts[0].offset, "image", 5);
	ok(shard_reader_next(r, &s, &err), &err);
	assert_int_equal(s.offset, end);
	assert_int_equal(strlen(s.key), 94);
	check_part(&s.parts[0], "jpg", "far");
	assert_false(s.duplicate_part);
	struct shard_reader *again;
	struct shard_sample t;
	if (plain) {
		assert_memory_equal(m.bytes + s.parts[0].offset, "far", 3);
		ok(shard_reader_open_memory(&again, path, m.bytes + s.offset, (size_t)s.length, NULL, &err), &err);
		ok(shard_reader_next(again, &t, &err), &err);
		assert_string_equal(t.key, s.key);
		check_part(&t.parts[0], "jpg", "far");
		assert_int_equal(t.length, s.length);
		assert_int_equal(shard_reader_next(again, &t, &err), PL_END);
		shard_reader_close(again);
	}
	ok(shard_reader_next(r, &s, &err), &err);
	assert_string_equal(s.key, "a");
	assert_int_equal(s.index, 2);
	check_part(&s.parts[0], "txt", "third");
	assert_int_equal(shard_reader_next(r, &s, &err), PL_END);
	const struct shard_skipped *skipped = shard_reader_skipped(r);
	assert_int_equal(skipped->not_regular, 3);
	assert_int_equal(skipped->dunder, 2);
	assert_int_equal(skipped->no_key, 1);
	uint64_t hash[2], want[2], bytes;
	shard_reader_digest(r, hash, &bytes);
	pl_hash128(m.bytes, m.len, want);
	assert_int_equal(bytes, m.len);
	assert_memory_equal(hash, want, sizeof hash);
	shard_reader_close(r);

	struct shard *random;
	ok(shard_open(&random, path, &err), &err);
	assert_int_equal(shard_count(random), 3);
	ok(shard_read(random, 2, &s, &err), &err);
	check_part(&s.parts[0], "txt", "third");
	ok(shard_read(random, 0, &s, &err), &err);
	check_part(&s.parts[0], "jpg", "image");
	shard_close(random);
	free(m.bytes);
}

static void test_formats(void **state)
{
	(void)state;
	check_formats(pax, "f.tar", true);
	check_formats(gnu, "f.tar", true);
	check_formats(ustar_gz, "f.tar.gz", false);
	check_formats(pax_xz, "f.tar.xz", false);
	check_formats(pax_bz2, "f.tar.bz2", false);
	check_formats(pax_zst, "f.tar.zst", false);
}

static void test_limits(void **state)
{
	struct shard_read_limits limits = { .max_member = 10, .max_sample = 15, .max_parts = 4 };
	struct made m;
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_err err;
	(void)state;
	made_open(&m, pax);
	made_file(&m, "a.1", "12345678901");
	made_file(&m, "a.2", "1234567890");
	made_file(&m, "a.3", "123456");
	made_file(&m, "a.4", "12345");
	made_file(&m, "b.1", "1");
	made_file(&m, "c.1", "1");
	made_file(&m, "c.2", "1");
	made_file(&m, "c.3", "1");
	made_file(&m, "c.4", "1");
	made_file(&m, "c.5", "1");
	made_close(&m, NULL);
	ok(shard_reader_open_memory(&r, "mem", m.bytes, m.len, &limits, &err), &err);
	ok(shard_reader_next(r, &s, &err), &err);
	assert_true(s.parts[0].too_large && !s.parts[0].data && s.parts[0].len == 11);
	check_part(&s.parts[1], "2", "1234567890");
	assert_true(s.parts[2].too_large);
	check_part(&s.parts[3], "4", "12345");
	ok(shard_reader_next(r, &s, &err), &err);
	assert_string_equal(s.key, "b");
	assert_int_equal(shard_reader_next(r, &s, &err), PL_ERR_LIMIT);
	assert_int_equal(err.severity, PL_SEV_SHARD);
	assert_int_equal(shard_reader_next(r, &s, &err), PL_ERR_LIMIT);
	shard_reader_close(r);
	free(m.bytes);
}

static void test_locale_and_utf8(void **state)
{
	/* A decomposed é, and bytes that are no UTF-8: names come as they are stored, in every locale. */
	static const char *const locales[] = { "C", "C.UTF-8" };
	struct made m;
	struct pl_err err;
	char name[200];
	(void)state;
	memset(name, 'n', sizeof name);
	memcpy(name, "e\xcc\x81", 3);
	memcpy(name + 120, ".txt", 5);
	setlocale(LC_ALL, "C.UTF-8");
	made_open(&m, pax);
	made_file(&m, name, "text");
	made_close(&m, NULL);
	for (size_t i = 0; i < PL_ARRAY_LEN(locales); i++) {
		struct shard_reader *r;
		struct shard_sample s;
		setlocale(LC_ALL, locales[i]);
		ok(shard_reader_open_memory(&r, "mem", m.bytes, m.len, NULL, &err), &err);
		ok(shard_reader_next(r, &s, &err), &err);
		assert_string_equal(s.parts[0].name, name);
		shard_reader_close(r);
	}
	setlocale(LC_ALL, "C");
	free(m.bytes);
}

/* A small tar of three samples for the cutting below. */
static void three(struct made *m, void (*format)(struct archive *))
{
	made_open(m, format);
	made_file(m, "a.jpg", "image a");
	made_file(m, "a.txt", "text a");
	made_file(m, "b.jpg", "image b");
	made_file(m, "c.jpg", "image c");
	made_file(m, "c.txt", "text c");
	made_close(m, NULL);
}

/* Read all; *whole counts the samples without a truncated part. */
static enum pl_status read_all(struct shard_reader *r, unsigned *whole, unsigned *partial, struct pl_err *err)
{
	struct shard_sample s;
	enum pl_status status;
	*whole = *partial = 0;
	while ((status = shard_reader_next(r, &s, err)) == PL_OK) {
		bool cut = false;
		assert_true(s.nparts > 0);
		for (size_t i = 0; i < s.nparts; i++) {
			if (!s.parts[i].data)
				assert_true(s.parts[i].truncated || s.parts[i].too_large);
			cut = cut || s.parts[i].truncated;
		}
		*(cut ? partial : whole) += 1;
		assert_false(*partial > 1);
	}
	return status;
}

static void test_cut_plain(void **state)
{
	struct made m;
	(void)state;
	three(&m, gnu);
	for (size_t cut = 0; cut <= m.len; cut++) {
		struct shard_reader *r;
		struct pl_err err;
		unsigned whole, partial;
		write_file(in_tmp("cut.tar"), m.bytes, cut);
		enum pl_status status = shard_reader_open(&r, in_tmp("cut.tar"), NULL, &err);
		if (status == PL_OK) {
			status = read_all(r, &whole, &partial, &err);
			shard_reader_close(r);
		} else {
			assert_true(cut < 512);
			continue;
		}
		if (cut >= 5 * 1024 + 512) {
			assert_int_equal(status, PL_END);
			assert_int_equal(whole, 3);
		} else {
			assert_true(status == PL_ERR_TRUNCATED || (cut < 512 && status == PL_ERR_INVALID));
			assert_int_equal(err.severity, PL_SEV_SHARD);
			/* header and data of a.jpg end at 1024, of a.txt at 2048, of b.jpg at 3072, ... */
			static const unsigned ends[] = { 2048, 3072, 5120 };
			unsigned want = 0;
			for (size_t i = 0; i < 3; i++)
				want += cut >= ends[i];
			assert_true(whole >= want && whole <= want + 1);
		}
	}
	free(m.bytes);
}

static void cut_compressed(void (*format)(struct archive *))
{
	struct made m;
	struct pl_err err;
	three(&m, format);
	for (size_t cut = 0; cut < m.len; cut++) {
		struct shard_reader *r;
		unsigned whole, partial;
		write_file(in_tmp("cut.z"), m.bytes, cut);
		enum pl_status status = shard_reader_open(&r, in_tmp("cut.z"), NULL, &err);
		if (status == PL_OK) {
			status = read_all(r, &whole, &partial, &err);
			shard_reader_close(r);
		}
		assert_true(status == PL_ERR_TRUNCATED || status == PL_ERR_INVALID);
	}
	/* And each byte flipped: any answer but a crash. */
	for (size_t i = 0; i < m.len; i++) {
		struct shard_reader *r;
		unsigned whole, partial;
		m.bytes[i] ^= 0x41;
		write_file(in_tmp("flip.z"), m.bytes, m.len);
		m.bytes[i] ^= 0x41;
		if (shard_reader_open(&r, in_tmp("flip.z"), NULL, &err) == PL_OK) {
			(void)read_all(r, &whole, &partial, &err);
			shard_reader_close(r);
		}
	}
	free(m.bytes);
}

static void test_cut_compressed(void **state)
{
	(void)state;
	cut_compressed(ustar_gz);
	cut_compressed(pax_zst);
	cut_compressed(pax_xz);
}

static void test_flip_plain(void **state)
{
	struct made m;
	(void)state;
	three(&m, pax);
	for (size_t i = 0; i < m.len; i++) {
		struct shard_reader *r;
		struct pl_err err;
		unsigned whole, partial;
		m.bytes[i] ^= 0xff;
		if (shard_reader_open_memory(&r, "mem", m.bytes, m.len, NULL, &err) == PL_OK) {
			(void)read_all(r, &whole, &partial, &err);
			shard_reader_close(r);
		}
		m.bytes[i] ^= 0xff;
	}
	free(m.bytes);
}

static void test_no_tar(void **state)
{
	struct shard_reader *r;
	struct shard_sample s;
	struct pl_err err;
	(void)state;
	assert_int_equal(shard_reader_open(&r, in_tmp("none"), NULL, &err), PL_ERR_NOTFOUND);
	assert_int_equal(err.severity, PL_SEV_SHARD);
	assert_int_not_equal(shard_reader_open(&r, tmp_dir, NULL, &err), PL_OK);
	static const char *const texts[] = { "", "hello", "<html>" };
	for (size_t i = 0; i < PL_ARRAY_LEN(texts); i++) {
		write_file(in_tmp("no.tar"), texts[i], strlen(texts[i]));
		enum pl_status status = shard_reader_open(&r, in_tmp("no.tar"), NULL, &err);
		if (status == PL_OK) {
			status = shard_reader_next(r, &s, &err);
			shard_reader_close(r);
		}
		assert_int_equal(status, PL_ERR_INVALID);
	}
}

static const char *shared_data(void)
{
	const char *dir = getenv("PLAIT_SHARED_DATA");
	struct stat st;
	if (dir && *dir && stat(dir, &st) == 0)
		return dir;
	print_message("PLAIT_SHARED_DATA is not set: no foreign tars to read\n");
	skip();
	return NULL;
}

static void test_shared_formats(void **state)
{
	static const struct { const char *name; unsigned samples; } t[] = {
		{ "formats/webdataset/tendata.tar", 100 }, { "formats/webdataset/mpdata.tar", 100 },
		{ "formats/webdataset/compressed.tar", 3 }, { "formats/webdataset/sample.tgz", 90 },
		{ "formats/clip-retrieval/image1.tar", 4 }, { "formats/nemo-curator/00000.tar", 1 },
		{ "formats/seekable/image1.tar.16KiB-frames.xxh.zst", 4 }, { "cc3m/00000.tar", 820 },
		{ "cc3m/00001.tar", 780 }, { "cc3m/00003.tar", 166 },
	};
	const char *dir = shared_data();
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(t); i++) {
		char path[1024];
		struct shard_reader *r;
		struct shard *random;
		struct pl_err err;
		unsigned whole, partial;
		snprintf(path, sizeof path, "%s/%s", dir, t[i].name);
		ok(shard_reader_open(&r, path, NULL, &err), &err);
		assert_int_equal(read_all(r, &whole, &partial, &err), PL_END);
		shard_reader_close(r);
		if (whole != t[i].samples)
			fail_msg("%s: %u samples", t[i].name, whole);
		ok(shard_open(&random, path, &err), &err);
		assert_int_equal(shard_count(random), whole);
		for (uint64_t k = 0; k < whole; k += 7) {
			struct shard_sample s;
			ok(shard_read(random, k, &s, &err), &err);
		}
		shard_close(random);
	}
}

static void read_hostile(const char *path, const char *expect, const char *name)
{
	const struct shard_read_limits limits = { .max_member = 1 << 20 };
	struct shard_reader *r;
	struct shard *random;
	struct shard_bytes *b;
	struct pl_err err;
	unsigned whole = 0, partial = 0;
	enum pl_status status = shard_reader_open(&r, path, &limits, &err);
	if (status == PL_OK) {
		status = read_all(r, &whole, &partial, &err);
		shard_reader_close(r);
	}
	/* Some of the "valid" ones lack end-of-archive blocks: their samples come, then the cut is reported. */
	/* One is a lone PAX header: nothing to read there. */
	if (strcmp(expect, "valid") == 0 && status != PL_END && status != PL_ERR_TRUNCATED &&
	    strcmp(name, "tar/go-pax-path-hdr.tar") != 0)
		fail_msg("%s: %s: %s", name, pl_status_name(status), err.text);
	if (shard_open(&random, path, &err) == PL_OK) {
		for (uint64_t i = 0; i < shard_count(random); i++) {
			struct shard_sample s;
			status = shard_read(random, i, &s, &err);
		}
		shard_close(random);
	}
	if (shard_bytes_open(&b, path, &err) == PL_OK) {
		uint8_t buf[100];
		if (shard_bytes_size(b) >= sizeof buf)
			status = shard_bytes_read(b, shard_bytes_size(b) - sizeof buf, buf, sizeof buf, &err);
		shard_bytes_close(b);
	}
	struct shard_check check;
	assert_int_not_equal(shard_verify(path, &check, &err), PL_OK);
}

static void test_shared_hostile(void **state)
{
	char path[1024], line[2048], name[256], expect[32];
	unsigned seen = 0;
	const char *dir = shared_data();
	(void)state;
	snprintf(path, sizeof path, "%s/hostile/index.tsv", dir);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "%255[^\t]\t%*[^\t]\t%31[^\t]", name, expect) != 2 ||
		    (strncmp(name, "tar/", 4) != 0 && strncmp(name, "zstd/", 5) != 0))
			continue;
		snprintf(path, sizeof path, "%s/hostile/%s", dir, name);
		read_hostile(path, strncmp(name, "tar/", 4) == 0 ? expect : "either", name);
		seen++;
	}
	fclose(f);
	assert_true(seen > 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_split_name),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_locale_and_utf8),
		cmocka_unit_test(test_cut_plain),
		cmocka_unit_test(test_cut_compressed),
		cmocka_unit_test(test_flip_plain),
		cmocka_unit_test(test_no_tar),
		cmocka_unit_test(test_shared_formats),
		cmocka_unit_test(test_shared_hostile),
	};
	return cmocka_run_group_tests(tests, make_tmp_dir, remove_tmp_dir);
}

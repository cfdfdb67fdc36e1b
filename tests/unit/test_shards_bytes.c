/* SPDX-License-Identifier: Apache-2.0 */
/* Random and sequential access to uncompressed bytes: plain, seekable zstd
 * (ours, foreign, lying), spooled. */
#include "shards_test.h"

#include <xxhash.h>
#include <zstd.h>

#include "libpipe/base/hash.h"
#include "shards/bytes.h"

#define RAW 300000u

static uint8_t raw[RAW];

/* A little compressible, so that frames differ from their content. */
static void fill_raw(void)
{
	fill_noise(raw, RAW, 7);
	for (size_t i = 0; i < RAW; i++)
		raw[i] = (uint8_t)(raw[i] & 0x1f);
}

static void put_le32(uint8_t **p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		*(*p)++ = (uint8_t)(v >> (8 * i));
}

/* raw in frames of step bytes, an empty and a skippable one between them, and a seek table. Returns the size. */
static size_t make_seekable(uint8_t *out, size_t cap, size_t step, bool checksums)
{
	uint32_t c[64], d[64], x[64];
	size_t n = 0;
	uint8_t *p = out;
	for (size_t at = 0; at < RAW; at += step) {
		size_t len = RAW - at < step ? RAW - at : step;
		size_t got = ZSTD_compress(p, cap - (size_t)(p - out), raw + at, len, 1);
		assert_false(ZSTD_isError(got));
		c[n] = (uint32_t)got;
		d[n] = (uint32_t)len;
		x[n++] = (uint32_t)XXH64(raw + at, len, 0);
		p += got;
		if (n == 2) {
			c[n] = (uint32_t)ZSTD_compress(p, cap - (size_t)(p - out), "", 0, 1);
			p += c[n];
			d[n] = 0;
			x[n++] = (uint32_t)XXH64("", 0, 0);
			uint8_t *skip = p;
			put_le32(&p, 0x184D2A50u);
			put_le32(&p, 3);
			memset(p, 0, 3);
			p += 3;
			c[n] = (uint32_t)(p - skip);
			d[n] = 0;
			x[n++] = 0;
		}
	}
	put_le32(&p, 0x184D2A5Eu);
	put_le32(&p, (uint32_t)(n * (checksums ? 12 : 8) + 9));
	for (size_t i = 0; i < n; i++) {
		put_le32(&p, c[i]);
		put_le32(&p, d[i]);
		if (checksums)
			put_le32(&p, x[i]);
	}
	put_le32(&p, (uint32_t)n);
	*p++ = checksums ? 0x80 : 0;
	put_le32(&p, 0x8F92EAB1u);
	return (size_t)(p - out);
}

static void check_reads(const char *path, bool seekable)
{
	struct shard_bytes *b;
	struct pl_err err;
	uint8_t buf[70000];
	ok(shard_bytes_open(&b, path, &err), &err);
	assert_int_equal(shard_bytes_size(b), RAW);
	uint32_t r = 1;
	for (int i = 0; i < 60; i++) {
		r = r * 1664525u + 1013904223u;
		size_t len = r % sizeof buf, at = (r >> 8) % (RAW - len);
		ok(shard_bytes_read(b, at, buf, len, &err), &err);
		assert_memory_equal(buf, raw + at, len);
	}
	ok(shard_bytes_read(b, RAW, buf, 0, &err), &err);
	assert_int_equal(shard_bytes_read(b, RAW - 5, buf, 6, &err), PL_ERR_TRUNCATED);
	assert_int_equal(shard_bytes_read(b, UINT64_MAX, buf, 2, &err), PL_ERR_TRUNCATED);
	assert_int_equal(shard_bytes_frame(b, 0) >= 0, seekable);
	assert_int_equal(shard_bytes_frame(b, RAW), -1);
	shard_bytes_close(b);
	shard_bytes_close(NULL);

	struct shard_stream *s;
	size_t got, at = 0, file_len;
	ok(shard_stream_open(&s, path, &err), &err);
	do {
		ok(shard_stream_read(s, buf, 12345, &got, &err), &err);
		assert_true(got <= RAW - at);
		assert_memory_equal(buf, raw + at, got);
		at += got;
	} while (got);
	assert_int_equal(at, RAW);
	uint64_t hash[2], want[2], bytes;
	shard_stream_digest(s, hash, &bytes);
	shard_stream_close(s);
	shard_stream_close(NULL);
	uint8_t *file = read_file(path, &file_len);
	pl_hash128(file, file_len, want);
	assert_int_equal(bytes, file_len);
	assert_memory_equal(hash, want, sizeof want);
	free(file);
}

static void test_kinds(void **state)
{
	size_t cap = 2 * RAW;
	uint8_t *out = malloc(cap);
	(void)state;
	assert_non_null(out);
	fill_raw();
	write_file(in_tmp("plain"), raw, RAW);
	check_reads(in_tmp("plain"), false);
	write_file(in_tmp("seek.zst"), out, make_seekable(out, cap, 40000, true));
	check_reads(in_tmp("seek.zst"), true);
	write_file(in_tmp("seek.zst"), out, make_seekable(out, cap, 29999, false));
	check_reads(in_tmp("seek.zst"), true);
	write_file(in_tmp("one.zst"), out, ZSTD_compress(out, cap, raw, RAW, 1));
	check_reads(in_tmp("one.zst"), false);
	free(out);
}

static void test_io_of_one_frame(void **state)
{
	size_t cap = 2 * RAW, len;
	uint8_t *out = malloc(cap), buf[10];
	struct shard_bytes *b;
	struct pl_err err;
	(void)state;
	assert_non_null(out);
	fill_raw();
	len = make_seekable(out, cap, 20000, true);
	write_file(in_tmp("io.zst"), out, len);
	ok(shard_bytes_open(&b, in_tmp("io.zst"), &err), &err);
	uint64_t before = shard_bytes_io(b);
	assert_true(before < 500);
	for (int i = 0; i < 5; i++)
		ok(shard_bytes_read(b, 100003, buf, sizeof buf, &err), &err);
	uint64_t cost = shard_bytes_io(b) - before;
	assert_true(cost > 1000 && cost < 21000);
	/* frames 0, 1, empty, skippable, 2, 3, 4, 5: byte 100003 is in 20000 * 5 */
	assert_int_equal(shard_bytes_frame(b, 100003), 7);
	assert_int_equal(shard_bytes_frame(b, 40000), 4);
	assert_int_equal(shard_bytes_frame(b, 39999), 1);
	shard_bytes_close(b);
	free(out);
}

/* Whatever is done to the file: an error, or the right bytes. */
static void read_through(const char *path, bool must_be_right)
{
	struct shard_bytes *b;
	struct pl_err err;
	if (shard_bytes_open(&b, path, &err) != PL_OK)
		return;
	uint8_t *buf = malloc(RAW);
	assert_non_null(buf);
	uint64_t size = shard_bytes_size(b);
	if (size <= RAW && shard_bytes_read(b, 0, buf, (size_t)size, &err) == PL_OK && must_be_right)
		assert_memory_equal(buf, raw, (size_t)size);
	free(buf);
	shard_bytes_close(b);
}

static void test_hostile_tables(void **state)
{
	size_t cap = 2 * RAW, len;
	uint8_t *out = malloc(cap);
	(void)state;
	assert_non_null(out);
	fill_raw();
	len = make_seekable(out, cap, 50000, true);
	/* every byte of the table and its footer, several ways */
	for (size_t i = len - 8 - 8 * 12 - 9; i < len; i++)
		for (unsigned x = 1; x < 256; x = x * 3 + 1) {
			out[i] ^= (uint8_t)x;
			write_file(in_tmp("bad.zst"), out, len);
			out[i] ^= (uint8_t)x;
			read_through(in_tmp("bad.zst"), true);
		}
	for (size_t cut = 0; cut < 130; cut++) {
		write_file(in_tmp("bad.zst"), out, len - cut);
		read_through(in_tmp("bad.zst"), false);
	}
	free(out);
}

static void test_frames_fill_file(void **state)
{
	size_t cap = 2 * RAW, len;
	uint8_t *out = malloc(cap);
	struct shard_bytes *b;
	struct pl_err err;
	(void)state;
	assert_non_null(out);
	fill_raw();
	/* a frame too many before the listed ones */
	size_t more = ZSTD_compress(out, cap, raw, 100, 1);
	len = more + make_seekable(out + more, cap - more, 50000, true);
	write_file(in_tmp("more.zst"), out, len);
	assert_int_equal(shard_bytes_open(&b, in_tmp("more.zst"), &err), PL_ERR_INVALID);
	free(out);
}

static void test_lying_sizes(void **state)
{
	struct shard_bytes *b;
	struct pl_err err;
	uint8_t file[200], *p = file, byte;
	(void)state;
	/* 13 bytes that promise a gigabyte: refused before any memory is taken */
	size_t n = ZSTD_compress(p, 100, "abcd", 4, 1);
	p += n;
	put_le32(&p, 0x184D2A5Eu);
	put_le32(&p, 17);
	put_le32(&p, (uint32_t)n);
	put_le32(&p, 1u << 30);
	put_le32(&p, 1);
	*p++ = 0;
	put_le32(&p, 0x8F92EAB1u);
	write_file(in_tmp("lie.zst"), file, (size_t)(p - file));
	assert_int_equal(shard_bytes_open(&b, in_tmp("lie.zst"), &err), PL_ERR_INVALID);
	/* a plausible lie is found when the frame is read */
	p = file + n + 12;
	put_le32(&p, 5000);
	write_file(in_tmp("lie.zst"), file, n + 8 + 17);
	ok(shard_bytes_open(&b, in_tmp("lie.zst"), &err), &err);
	assert_int_equal(shard_bytes_read(b, 0, &byte, 1, &err), PL_ERR_INVALID);
	shard_bytes_close(b);
}

static void test_bomb(void **state)
{
	/* Three GiB of zeros in under 300 kB, without seek table. */
	struct shard_bytes *b;
	struct pl_err err;
	FILE *f = fopen(in_tmp("bomb.zst"), "wb");
	ZSTD_CCtx *c = ZSTD_createCCtx();
	size_t chunk = (size_t)1 << 20;
	uint8_t *zeros = calloc(1, chunk), *out = malloc(ZSTD_CStreamOutSize());
	(void)state;
	assert_non_null(f);
	assert_non_null(c);
	assert_non_null(zeros);
	assert_non_null(out);
	for (int i = 0; i <= 3072; i++) {
		ZSTD_inBuffer in = { zeros, i < 3072 ? chunk : 0, 0 };
		size_t left;
		do {
			ZSTD_outBuffer o = { out, ZSTD_CStreamOutSize(), 0 };
			left = ZSTD_compressStream2(c, &o, &in, i < 3072 ? ZSTD_e_continue : ZSTD_e_end);
			assert_false(ZSTD_isError(left));
			assert_int_equal(fwrite(out, 1, o.pos, f), o.pos);
		} while (in.pos < in.size || (i == 3072 && left));
	}
	assert_int_equal(fclose(f), 0);
	ZSTD_freeCCtx(c);
	free(zeros);
	free(out);
	assert_int_equal(shard_bytes_open(&b, in_tmp("bomb.zst"), &err), PL_ERR_LIMIT);
}

static void test_streams(void **state)
{
	struct shard_stream *s;
	struct shard_bytes *b;
	struct pl_err err;
	uint8_t buf[10];
	size_t got = 9;
	(void)state;
	assert_int_equal(shard_stream_open(&s, in_tmp("none"), &err), PL_ERR_NOTFOUND);
	assert_int_equal(shard_bytes_open(&b, in_tmp("none"), &err), PL_ERR_NOTFOUND);
	assert_int_not_equal(shard_bytes_open(&b, tmp_dir, &err), PL_OK);
	write_file(in_tmp("empty"), "", 0);
	ok(shard_stream_open(&s, in_tmp("empty"), &err), &err);
	ok(shard_stream_read(s, buf, sizeof buf, &got, &err), &err);
	assert_int_equal(got, 0);
	shard_stream_close(s);
	ok(shard_bytes_open(&b, in_tmp("empty"), &err), &err);
	assert_int_equal(shard_bytes_size(b), 0);
	shard_bytes_close(b);
}

static void test_cut_stream(void **state)
{
	size_t cap = 2 * RAW, len;
	uint8_t *out = malloc(cap), *buf = malloc(RAW);
	struct shard_stream *s;
	struct pl_err err;
	(void)state;
	assert_non_null(out);
	assert_non_null(buf);
	fill_raw();
	len = ZSTD_compress(out, cap, raw, RAW, 1);
	for (size_t cut = 4; cut < len; cut += 997) {
		write_file(in_tmp("cut.zst"), out, cut);
		enum pl_status status = shard_stream_open(&s, in_tmp("cut.zst"), &err);
		if (status == PL_OK) {
			size_t got, at = 0;
			while ((status = shard_stream_read(s, buf, RAW, &got, &err)) == PL_OK && got) {
				assert_memory_equal(buf, raw + at, got);
				at += got;
			}
			shard_stream_close(s);
		}
		assert_int_equal(status, PL_ERR_TRUNCATED);
		assert_int_equal(err.severity, PL_SEV_SHARD);
	}
	free(out);
	free(buf);
}

static void test_shared_seekable(void **state)
{
	static const char *const names[] = { "wiki_demo.64KiB-frames.zst", "image1.tar.16KiB-frames.xxh.zst" };
	const char *dir = getenv("PLAIT_SHARED_DATA");
	struct stat st;
	(void)state;
	if (!dir || stat(dir, &st) != 0) {
		print_message("PLAIT_SHARED_DATA is not set: no foreign seekable files to read\n");
		skip();
	}
	for (size_t i = 0; i < PL_ARRAY_LEN(names); i++) {
		char path[1024];
		struct shard_bytes *b;
		struct shard_stream *s;
		struct pl_err err;
		size_t got;
		uint64_t at = 0;
		snprintf(path, sizeof path, "%s/formats/seekable/%s", dir, names[i]);
		ok(shard_bytes_open(&b, path, &err), &err);
		assert_int_equal(shard_bytes_frame(b, 0), 0);
		uint8_t x[30000], y[30000];
		ok(shard_stream_open(&s, path, &err), &err);
		do {
			ok(shard_stream_read(s, x, sizeof x, &got, &err), &err);
			ok(shard_bytes_read(b, at, y, got, &err), &err);
			assert_memory_equal(x, y, got);
			at += got;
		} while (got);
		assert_int_equal(at, shard_bytes_size(b));
		shard_stream_close(s);
		shard_bytes_close(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_io_of_one_frame),
		cmocka_unit_test(test_hostile_tables),
		cmocka_unit_test(test_frames_fill_file),
		cmocka_unit_test(test_lying_sizes),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_cut_stream),
		cmocka_unit_test(test_shared_seekable),
	};
	return cmocka_run_group_tests(tests, make_tmp_dir, remove_tmp_dir);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Writing shards and reading them back: round trip, same bytes, one frame per
 * look-up, refusals, and every kind of damage. */
#include "shards_test.h"

#include "libpipe/base/hash.h"
#include "shards/bytes.h"
#include "shards/shard.h"
#include "shards/tar_read.h"

static void check_sample(const struct shard_sample *s, int i, size_t image_len)
{
	char key[64], json[64];
	uint8_t *image = malloc(image_len + 1);
	assert_non_null(image);
	snprintf(key, sizeof key, "dir/key%d", i);
	snprintf(json, sizeof json, "{\"n\":%d}", i);
	fill_noise(image, image_len, (uint32_t)i);
	assert_string_equal(s->key, key);
	assert_int_equal(s->index, i);
	assert_int_equal(s->nparts, 2);
	assert_string_equal(s->parts[0].suffix, "json");
	assert_int_equal(s->parts[0].len, strlen(json));
	assert_memory_equal(s->parts[0].data, json, strlen(json));
	assert_string_equal(s->parts[1].suffix, "0.jpg");
	assert_int_equal(s->parts[1].len, image_len);
	assert_memory_equal(s->parts[1].data, image, image_len);
	free(image);
}

static void round_trip(enum shard_container container, const char *name, int n, size_t image_len)
{
	struct shard_written done = write_shard(in_tmp("rt"), container, 10000, n, image_len);
	const char *path = in_tmp(name);
	struct shard *s;
	struct shard_sample sample;
	struct shard_check check;
	struct pl_err err;
	assert_int_equal(done.samples, n);
	ok(shard_open(&s, path, &err), &err);
	assert_int_equal(shard_count(s), n);
	assert_int_equal(shard_frames(s), done.frames);
	for (int i = n; i-- > 0; ) {
		ok(shard_read(s, (uint64_t)i, &sample, &err), &err);
		check_sample(&sample, i, image_len);
	}
	uint64_t at;
	ok(n ? shard_find(s, "dir/key0", &at, &err) : PL_OK, &err);
	assert_int_equal(shard_find(s, "dir/no", &at, &err), PL_ERR_NOTFOUND);
	assert_int_equal(shard_read(s, (uint64_t)n, &sample, &err), PL_ERR_NOTFOUND);
	shard_close(s);
	ok(shard_verify(path, &check, &err), &err);
	assert_int_equal(check.samples, n);
	assert_int_equal(check.members, 2 * n);
	assert_int_equal(check.frames, done.frames);
	assert_int_equal(check.bytes, done.file_bytes);
	assert_memory_equal(check.hash, done.hash, sizeof done.hash);

	struct shard_reader *r;
	uint64_t hash[2], bytes, offset = 0;
	ok(shard_reader_open(&r, path, NULL, &err), &err);
	for (int i = 0; i < n; i++) {
		ok(shard_reader_next(r, &sample, &err), &err);
		check_sample(&sample, i, image_len);
		assert_int_equal(sample.offset, offset);
		offset += sample.length;
	}
	assert_int_equal(shard_reader_next(r, &sample, &err), PL_END);
	assert_int_equal(shard_reader_next(r, &sample, &err), PL_END);
	assert_int_equal(offset + 1024, done.tar_bytes);
	shard_reader_digest(r, hash, &bytes);
	assert_memory_equal(hash, done.hash, sizeof hash);
	assert_int_equal(bytes, done.file_bytes);
	shard_reader_close(r);
}

static void test_round_trip(void **state)
{
	(void)state;
	round_trip(SHARD_TAR_ZST, "rt.tar.zst", 25, 3000);
	round_trip(SHARD_TAR_ZST, "rt.tar.zst", 3, 512);
	round_trip(SHARD_TAR_ZST, "rt.tar.zst", 1, 0);
	round_trip(SHARD_TAR_ZST, "rt.tar.zst", 0, 0);
	round_trip(SHARD_TAR, "rt.tar", 25, 3000);
	round_trip(SHARD_TAR, "rt.tar", 4, (size_t)3 << 20);
	round_trip(SHARD_TAR, "rt.tar", 0, 0);
}

static void test_same_bytes(void **state)
{
	(void)state;
	struct shard_written a = write_shard(in_tmp("a"), SHARD_TAR_ZST, 0, 40, 5000);
	struct shard_written b = write_shard(in_tmp("b"), SHARD_TAR_ZST, 0, 40, 5000);
	size_t alen, blen;
	uint8_t *x = read_file(in_tmp("a.tar.zst"), &alen), *y = read_file(in_tmp("b.tar.zst"), &blen);
	uint64_t hash[2];
	assert_int_equal(alen, blen);
	assert_memory_equal(x, y, alen);
	assert_memory_equal(&a, &b, sizeof a);
	pl_hash128(x, alen, hash);
	assert_memory_equal(hash, a.hash, sizeof hash);
	free(x);
	free(y);
}

static void test_one_frame(void **state)
{
	(void)state;
	struct shard_written done = write_shard(in_tmp("f"), SHARD_TAR_ZST, 20000, 60, 6000);
	struct shard *s;
	struct shard_sample sample;
	struct pl_err err;
	uint64_t i;
	assert_true(done.frames >= 12);
	ok(shard_open(&s, in_tmp("f.tar.zst"), &err), &err);
	uint64_t before = shard_io_bytes(s);
	assert_true(before < 60 * 20 + done.frames * 12 + 200);
	ok(shard_find(s, "dir/key31", &i, &err), &err);
	assert_int_equal(i, 31);
	ok(shard_read(s, i, &sample, &err), &err);
	check_sample(&sample, 31, 6000);
	/* find and read together: one frame of three samples, read once */
	uint64_t cost = shard_io_bytes(s) - before;
	assert_true(cost > 6000 && cost < 3 * 8000);
	shard_close(s);
}

static enum pl_status add_one(struct shard_writer *w, const char *key, const char *suffix)
{
	struct pl_err err;
	struct shard_member m = { suffix, "x", 1 };
	return shard_writer_add(w, key, &m, 1, &err);
}

static void test_refused(void **state)
{
	static const char *const keys[] = { "", "a.b", "/a", "a/", "a//b", "a\nb", "a\x7f", ".", "__x__/a" };
	static const char *const suffixes[] = { "", "JPG", "a/b", "a b", "\t" };
	struct shard_writer_options o = { .level = SHARD_LEVEL_AUTO };
	struct shard_writer *w;
	struct shard_written done;
	struct shard_check check;
	struct pl_err err;
	char longkey[230];
	(void)state;
	ok(shard_writer_open(&w, in_tmp("r"), &o, &err), &err);
	for (size_t i = 0; i < PL_ARRAY_LEN(keys); i++)
		assert_int_equal(add_one(w, keys[i], "txt"), PL_ERR_INVALID);
	for (size_t i = 0; i < PL_ARRAY_LEN(suffixes); i++)
		assert_int_equal(add_one(w, "k", suffixes[i]), PL_ERR_INVALID);
	assert_int_equal(add_one(w, "__a", "b__"), PL_ERR_INVALID);
	memset(longkey, 'k', sizeof longkey);
	longkey[201] = 0;
	assert_int_equal(add_one(w, longkey, "txt"), PL_ERR_INVALID);
	longkey[97] = 0;
	assert_int_equal(add_one(w, longkey, "txt"), PL_ERR_INVALID);   /* 101 bytes, no slash */
	longkey[96] = 0;
	assert_int_equal(add_one(w, longkey, "txt"), PL_OK);
	memset(longkey, 'k', 200);
	longkey[110] = '/';
	longkey[200] = 0;
	assert_int_equal(add_one(w, longkey, "txt"), PL_OK);            /* 110 / 93 */
	assert_int_equal(add_one(w, "same", "txt"), PL_OK);
	assert_int_equal(add_one(w, "same", "jpg"), PL_ERR_INVALID);
	struct shard_member twice[] = { { "a", "x", 1 }, { "a", "y", 1 } };
	assert_int_equal(shard_writer_add(w, "t", twice, 2, &err), PL_ERR_INVALID);
	assert_int_equal(shard_writer_add(w, "t", twice, 0, &err), PL_ERR_INVALID);
	struct shard_member huge = { "a", "", (size_t)8 << 30 };
	assert_int_equal(shard_writer_add(w, "t", &huge, 1, &err), PL_ERR_LIMIT);
	huge.len = (size_t)1 << 30;
	assert_int_equal(shard_writer_add(w, "t", &huge, 1, &err), PL_ERR_LIMIT);
	ok(shard_writer_commit(w, &done, &err), &err);
	assert_int_equal(done.samples, 3);
	ok(shard_verify(in_tmp("r.tar.zst"), &check, &err), &err);
	assert_int_equal(check.samples, 3);
	o.level = 99;
	assert_int_equal(shard_writer_open(&w, in_tmp("r2"), &o, &err), PL_ERR_USAGE);
}

static void test_abort(void **state)
{
	struct shard_writer_options o = { .level = 1 };
	struct shard_writer *w;
	struct pl_err err;
	struct stat st;
	(void)state;
	ok(shard_writer_open(&w, in_tmp("gone"), &o, &err), &err);
	assert_int_equal(add_one(w, "k", "txt"), PL_OK);
	shard_writer_abort(w);
	shard_writer_abort(NULL);
	assert_int_not_equal(stat(in_tmp("gone.tar.zst"), &st), 0);
}

/* Open and read all; true when every sample came and was right. */
static bool reads_right(const char *path, int n, size_t image_len)
{
	struct shard *s;
	struct shard_sample sample;
	struct pl_err err;
	uint64_t at;
	if (shard_open(&s, path, &err) != PL_OK)
		return false;
	bool right = shard_count(s) == (uint64_t)n;
	for (int i = 0; i < n && right; i++) {
		right = shard_read(s, (uint64_t)i, &sample, &err) == PL_OK;
		if (right)
			check_sample(&sample, i, image_len);   /* what is handed out must be right, always */
	}
	if (right && n)
		right = shard_find(s, "dir/key1", &at, &err) == PL_OK;
	shard_close(s);
	return right;
}

static void test_flip_each_byte(void **state)
{
	(void)state;
	write_shard(in_tmp("flip"), SHARD_TAR_ZST, 1500, 3, 40);
	size_t len, harmless = 0;
	uint8_t *bytes = read_file(in_tmp("flip.tar.zst"), &len);
	const char *path = in_tmp("flipped.tar.zst");
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit += 3) {
			struct shard_check check;
			struct pl_err err;
			bytes[i] ^= (uint8_t)(1 << bit);
			write_file(path, bytes, len);
			bytes[i] ^= (uint8_t)(1 << bit);
			bool right = reads_right(path, 3, 40);
			if (shard_verify(path, &check, &err) == PL_OK) {
				/* nothing but an unused bit, or another spelling of the same bytes */
				assert_true(right);
				harmless++;
			}
		}
	assert_true(harmless * 50 < len * 3);
	free(bytes);
}

static void test_index_checksum(void **state)
{
	(void)state;
	write_shard(in_tmp("ix"), SHARD_TAR_ZST, 1500, 3, 40);
	size_t len;
	uint8_t *bytes = read_file(in_tmp("ix.tar.zst"), &len);
	size_t frames = 3, table = len - (8 + (frames + 1) * 12 + 9), index = table - (32 + 3 * 20);
	for (size_t i = index + 12; i < table; i++) {   /* behind the magics, by which an index is known */
		struct shard *s;
		struct pl_err err;
		bytes[i] ^= 0x10;
		write_file(in_tmp("ix.tar.zst"), bytes, len);
		bytes[i] ^= 0x10;
		assert_int_equal(shard_open(&s, in_tmp("ix.tar.zst"), &err), PL_ERR_INVALID);
	}
	free(bytes);
}

static void test_cut_everywhere(void **state)
{
	(void)state;
	write_shard(in_tmp("cut"), SHARD_TAR_ZST, 1500, 3, 40);
	size_t len;
	uint8_t *bytes = read_file(in_tmp("cut.tar.zst"), &len);
	const char *path = in_tmp("cutoff.tar.zst");
	unsigned whole = 0;
	for (size_t i = 0; i < len; i++) {
		struct shard_check check;
		struct pl_err err;
		write_file(path, bytes, i);
		assert_int_not_equal(shard_verify(path, &check, &err), PL_OK);
		whole += reads_right(path, 3, 40);
	}
	/* Only behind the last data frame and behind the index: the tar is complete there. */
	assert_int_equal(whole, 2);
	free(bytes);
}

static void test_cut_plain(void **state)
{
	(void)state;
	write_shard(in_tmp("cutp"), SHARD_TAR, 0, 2, 40);
	size_t len;
	uint8_t *bytes = read_file(in_tmp("cutp.tar"), &len);
	for (size_t i = 0; i < len; i += 37) {
		struct shard_check check;
		struct pl_err err;
		write_file(in_tmp("cutp.tar"), bytes, i);
		assert_int_not_equal(shard_verify(in_tmp("cutp.tar"), &check, &err), PL_OK);
		(void)reads_right(in_tmp("cutp.tar"), 2, 40);
	}
	free(bytes);
}

static void test_damage_names_keys(void **state)
{
	struct shard_check check;
	struct pl_err err;
	size_t len;
	(void)state;
	write_shard(in_tmp("dmg"), SHARD_TAR_ZST, 200000, 60, 20000);
	uint8_t *bytes = read_file(in_tmp("dmg.tar.zst"), &len);
	bytes[300000] ^= 0x55;   /* inside the second frame of ten samples */
	write_file(in_tmp("dmg.tar.zst"), bytes, len);
	free(bytes);
	assert_int_equal(shard_verify(in_tmp("dmg.tar.zst"), &check, &err), PL_ERR_INVALID);
	assert_int_equal(check.damaged_frames, 1);
	assert_int_equal(check.samples, 60);
	assert_int_equal(check.frames, 6);
	assert_non_null(strstr(err.text, "frame 1 "));
	assert_non_null(strstr(err.text, "samples 10 to 19"));
	assert_non_null(strstr(err.text, "'dir/key10'"));
	struct shard *s;
	struct shard_sample sample;
	ok(shard_open(&s, in_tmp("dmg.tar.zst"), &err), &err);
	ok(shard_read(s, 9, &sample, &err), &err);
	assert_int_equal(shard_read(s, 10, &sample, &err), PL_ERR_INVALID);
	ok(shard_read(s, 20, &sample, &err), &err);
	check_sample(&sample, 20, 20000);
	shard_close(s);
}

static void test_sidecars(void **state)
{
	struct shard_writer_options o = { .container = SHARD_TAR };
	struct shard_writer *w;
	struct shard_written done;
	struct pl_err err;
	size_t len;
	(void)state;
	ok(shard_writer_open(&w, in_tmp("s"), &o, &err), &err);
	struct shard_member m[] = { { "json", "{}", 2 }, { "jpg", "0123456789", 10 } };
	ok(shard_writer_add(w, "a", m, 2, &err), &err);
	ok(shard_writer_add(w, "d/b", m, 1, &err), &err);
	ok(shard_writer_commit(w, &done, &err), &err);
	char *dali = (char *)read_file(in_tmp("s.idx"), &len);
	assert_string_equal(dali, "v1.2 2\njson 512 2 a.json jpg 1536 10 a.jpg\njson 2560 2 d/b.json\n");
	free(dali);
	uint8_t *energon = read_file(in_tmp("s.tar.idx"), &len);
	static const uint8_t want[24] = { [9] = 8, [17] = 12 };   /* 0, 2048, 3072 */
	assert_int_equal(len, sizeof want);
	assert_memory_equal(energon, want, sizeof want);
	free(energon);

	write_file(in_tmp("s.idx"), "v1.2 0\n", 7);
	struct shard_check check;
	assert_int_equal(shard_verify(in_tmp("s.tar"), &check, &err), PL_ERR_INVALID);

	/* A blank in a name: DALI's older form, without names. */
	ok(shard_writer_open(&w, in_tmp("s"), &o, &err), &err);
	ok(shard_writer_add(w, "a b", m, 2, &err), &err);
	ok(shard_writer_commit(w, &done, &err), &err);
	dali = (char *)read_file(in_tmp("s.idx"), &len);
	assert_string_equal(dali, "v1.1 1\njson 512 2 jpg 1536 10\n");
	free(dali);
}

static void run_reader(const char *name, const char *command)
{
	char line[2048], tool[64];
	snprintf(tool, sizeof tool, "command -v %s >/dev/null", name);
	if (system(tool) != 0) {
		print_message("%s is not installed\n", name);
		return;
	}
	snprintf(line, sizeof line, "cd '%s' && %s", tmp_dir, command);
	if (system(line) != 0)
		fail_msg("%s", command);
}

static void test_other_readers(void **state)
{
	(void)state;
	write_shard(in_tmp("x"), SHARD_TAR_ZST, 20000, 20, 6000);
	write_shard(in_tmp("y"), SHARD_TAR, 0, 20, 6000);
	run_reader("zstd", "zstd -tq x.tar.zst && zstd -dcq x.tar.zst | cmp - y.tar");
	run_reader("tar", "test $(tar --zstd -tf x.tar.zst | wc -l) = 40 && test $(tar -tf y.tar | wc -l) = 40");
	run_reader("bsdtar", "test $(bsdtar -tf x.tar.zst | wc -l) = 40");
	run_reader("python3", "zstd -dcq x.tar.zst | python3 -c \"import tarfile,sys;"
	    "t=tarfile.open(fileobj=sys.stdin.buffer,mode='r|*');"
	    "n=[(m.name,m.mtime,m.uid,oct(m.mode)) for m in t];"
	    "sys.exit(len(n)!=40 or n[0]!=('dir/key0.json',0,0,'0o444'))\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_same_bytes),
		cmocka_unit_test(test_one_frame),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_flip_each_byte),
		cmocka_unit_test(test_index_checksum),
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_cut_plain),
		cmocka_unit_test(test_damage_names_keys),
		cmocka_unit_test(test_sidecars),
		cmocka_unit_test(test_other_readers),
	};
	return cmocka_run_group_tests(tests, make_tmp_dir, remove_tmp_dir);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Each byte of a small shard changed in turn, and the file cut at each length: what a cursor or a loader gives out as good is
 * good, the rest is said to be lost, and nothing is lost twice. */
#include "reader_test.h"

enum { SAMPLES = 24 };

static uint8_t *whole;
static size_t whole_len;
static unsigned long detected, harmless;

static int make_shard(void **state)
{
	const uint64_t sizes[] = { SAMPLES };
	if (make_tmp_dir(state) != 0)
		return -1;
	write_dataset(sizes, 1, 16000, 40);
	whole = read_file(in_tmp("000000.tar.zst"), &whole_len);
	return 0;
}

static int remove_shard(void **state)
{
	free(whole);
	return remove_tmp_dir(state);
}

static void check_cursor(const struct shard_dataset *d)
{
	struct shard_cursor *c;
	struct shard_sample s;
	struct pl_err err;
	bool lost = false;
	ok(shard_cursor_open(&c, d, NULL, &err), &err);
	for (uint64_t i = 0; i < shard_dataset_count(d); i++) {
		enum pl_status status = shard_cursor_read(c, i, &s, &err);
		if (status == PL_OK)
			assert_int_equal(number_of(&s), i);
		else
			assert_int_equal(err.severity, PL_SEV_SHARD);
		lost |= status != PL_OK;
	}
	shard_cursor_close(c);
	detected += lost;
	harmless += !lost;
}

static void check_loader(const struct shard_dataset *d)
{
	const struct shard_loader_options o = { .batch = 5, .block = 7, .window = 2, .on_damage = SHARD_DAMAGE_SKIP };
	struct shard_loader *l;
	const struct shard_batch *b;
	struct pl_err err;
	uint64_t n = 0;
	ok(shard_loader_open(&l, d, &o, &err), &err);
	while (shard_loader_next(l, &b, &err) == PL_OK) {
		for (size_t i = 0; i < b->n; i++)
			assert_int_equal(number_of(&b->samples[i].sample), b->samples[i].sample.index);
		n += b->n + b->skipped;
		shard_batch_release(l, b);
	}
	assert_int_equal(n, shard_dataset_count(d));
	shard_loader_close(l);
}

/* As a data set, whose dataset.json knows better, and as a file that somebody was given. */
static void check_file(void)
{
	struct shard_dataset *d;
	struct pl_err err;
	ok(shard_dataset_open(&d, tmp_dir, &err), &err);
	check_cursor(d);
	check_loader(d);
	shard_dataset_close(d);
	if (shard_dataset_open(&d, in_tmp("000000.tar.zst"), &err) != PL_OK)
		return;
	/* Cut behind a frame it is a tar of fewer samples, without an end; never of others. */
	assert_true(shard_dataset_count(d) <= SAMPLES);
	check_cursor(d);
	check_loader(d);
	shard_dataset_close(d);
}

static void test_flipped(void **state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	uint8_t *bytes = malloc(whole_len);
	(void)state;
	assert_non_null(bytes);
	detected = harmless = 0;
	for (size_t at = 0; at < whole_len; at++) {
		memcpy(bytes, whole, whole_len);
		bytes[at] ^= masks[at % 3];
		write_file(in_tmp("000000.tar.zst"), bytes, whole_len);
		check_file();
	}
	free(bytes);
	print_message("%zu bytes: seen %lu times, harmless %lu times\n", whole_len, detected, harmless);
	assert_true(detected > whole_len);
}

static void test_cut(void **state)
{
	(void)state;
	detected = harmless = 0;
	for (size_t len = 0; len < whole_len; len++) {
		write_file(in_tmp("000000.tar.zst"), whole, len);
		check_file();
	}
	assert_true(detected >= whole_len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_cut),
	};
	return cmocka_run_group_tests(tests, make_shard, remove_shard);
}

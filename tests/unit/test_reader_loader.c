/* SPDX-License-Identifier: Apache-2.0 */
/* An epoch as batches: the same sequence for every world, number of workers and threads, from any position; damage; memory; open
 * files; pictures. */
#include "reader_test.h"

#include <pthread.h>

static const uint64_t sizes[] = { 100, 0, 57, 1, 230, 612 };
enum { COUNT = 1000 };

static int make_dataset(void **state)
{
	int made = make_tmp_dir(state);
	if (made == 0)
		write_dataset(sizes, PL_ARRAY_LEN(sizes), 8000, 600);
	return made;
}

static struct shard_dataset *open_dataset(void)
{
	struct shard_dataset *d;
	struct pl_err err;
	ok(shard_dataset_open(&d, tmp_dir, &err), &err);
	assert_int_equal(shard_dataset_count(d), COUNT);
	return d;
}

/* The numbers of one loader's samples into its global batches: at[position]. Checks what a batch says of itself. */
static uint64_t run_loader(const struct shard_dataset *d, const struct shard_loader_options *o, uint64_t *at, uint64_t stop)
{
	struct shard_loader *l;
	const struct shard_batch *b;
	struct pl_err err;
	uint64_t end = o->position;
	enum pl_status status;
	ok(shard_loader_open(&l, d, o, &err), &err);
	while ((status = shard_loader_next(l, &b, &err)) == PL_OK) {
		uint64_t last = UINT64_MAX;
		for (size_t i = 0; i < b->n; i++) {
			const struct shard_batch_sample *s = &b->samples[i];
			assert_int_equal(number_of(&s->sample), s->sample.index);
			assert_int_equal(shard_dataset_locate(d, s->sample.index), s->shard);
			assert_true(s->position >= b->position && s->position < b->end);
			assert_true(last == UINT64_MAX || s->position > last);
			last = s->position;
			if (at) {
				assert_int_equal(at[s->position], UINT64_MAX);
				at[s->position] = s->sample.index;
			}
		}
		end = b->end;
		shard_batch_release(l, b);
		if (end >= stop)
			break;
	}
	if (end < stop)
		ok(status == PL_END ? PL_OK : status, &err);
	shard_loader_close(l);
	return end;
}

static void all_ranks(const struct shard_dataset *d, struct shard_loader_options o, uint32_t world, uint32_t workers,
    uint64_t *at)
{
	for (uint64_t i = o.position; i < COUNT; i++)
		at[i] = UINT64_MAX;
	o.world = world;
	o.workers = workers;
	for (o.rank = 0; o.rank < world; o.rank++)
		for (o.worker = 0; o.worker < workers; o.worker++)
			run_loader(d, &o, at, UINT64_MAX);
}

static void test_same_for_every_world(void **state)
{
	static const uint32_t worlds[] = { 1, 2, 4, 8, 3 }, workers[] = { 1, 3 };
	uint64_t want[COUNT], got[COUNT];
	struct shard_dataset *d = open_dataset();
	(void)state;
	for (uint32_t lanes = 1; lanes <= 4; lanes += 3)
		for (int shuffle = 0; shuffle < 2; shuffle++) {
			struct shard_loader_options o = { .seed = 3, .epoch = 2, .batch = 24, .block = 30, .window = 4, .lanes = lanes,
				.shuffle = shuffle ? SHARD_SHUFFLE_BLOCKS : SHARD_SHUFFLE_NONE };
			all_ranks(d, o, 1, 1, want);
			for (uint64_t i = 0; i < COUNT && !shuffle; i++)
				assert_int_equal(want[i], i);
			for (size_t w = 0; w < PL_ARRAY_LEN(worlds); w++)
				for (size_t k = 0; k < PL_ARRAY_LEN(workers); k++)
					for (o.threads = 0; o.threads < 4; o.threads += 3) {
						all_ranks(d, o, worlds[w], workers[k], got);
						assert_memory_equal(want, got, sizeof want);
					}
		}
	shard_dataset_close(d);
}

/* Stopped anywhere and taken up by another world: nothing is lost, nothing comes twice, nothing is in another place. */
static void test_resume(void **state)
{
	uint64_t want[COUNT], got[COUNT];
	struct shard_dataset *d = open_dataset();
	struct shard_loader_options o = { .seed = 9, .epoch = 1, .batch = 16, .block = 25, .window = 3, .threads = 2 };
	(void)state;
	all_ranks(d, o, 1, 1, want);
	for (uint64_t n = 0; n < 50; n++) {
		uint32_t world = 1u << n % 4;
		uint64_t stop = (n * 37 % 62 + 1) * 16, begin = n % 3 * 16;
		memset(got, 0xff, sizeof got);
		memcpy(got, want, (size_t)begin * sizeof *got);
		o.position = begin;
		o.world = world;
		if (stop <= begin)
			continue;
		for (o.rank = 0; o.rank < world; o.rank++)
			stop = run_loader(d, &o, got, stop);
		o.position = stop;
		o.world = 8 / world;
		for (o.rank = 0; o.rank < o.world; o.rank++)
			run_loader(d, &o, got, UINT64_MAX);
		assert_memory_equal(want, got, sizeof want);
		o.rank = 0;
	}
	shard_dataset_close(d);
}

static uint64_t count_batches(const struct shard_dataset *d, struct shard_loader_options o, uint64_t *samples)
{
	struct shard_loader *l;
	const struct shard_batch *b;
	struct pl_err err;
	uint64_t n = 0, said;
	*samples = 0;
	ok(shard_loader_open(&l, d, &o, &err), &err);
	said = shard_loader_batches(l);
	for (; shard_loader_next(l, &b, &err) == PL_OK; n++) {
		*samples += b->n;
		assert_int_equal(b->number, (o.position / o.batch) + n * (o.workers ? o.workers : 1) + o.worker);
		shard_batch_release(l, b);
	}
	assert_int_equal(n, said);
	assert_int_equal(shard_loader_next(l, &b, &err), PL_END);
	shard_loader_close(l);
	return n;
}

static void test_last_batch(void **state)
{
	uint64_t samples;
	struct shard_dataset *d = open_dataset();
	(void)state;
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 300 }, &samples), 4);
	assert_int_equal(samples, COUNT);
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 300, .drop_last = true }, &samples), 3);
	assert_int_equal(samples, 900);
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 300, .position = 900 }, &samples), 1);
	assert_int_equal(samples, 100);
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 300, .position = COUNT }, &samples), 0);
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 5000 }, &samples), 1);
	assert_int_equal(samples, COUNT);
	/* More ranks than samples of a batch: some slices are empty, and come all the same. */
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 2, .world = 8, .rank = 1, .threads = 2 }, &samples), 500);
	assert_int_equal(samples, 0);
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 300, .worker = 2, .workers = 3 }, &samples), 1);
	assert_int_equal(count_batches(d, (struct shard_loader_options) { .batch = 300, .worker = 9, .workers = 10 }, &samples), 0);
	shard_dataset_close(d);
}

static void test_refused(void **state)
{
	static const struct shard_loader_options bad[] = {
		{ .rank = 1 }, { .rank = 2, .world = 2 }, { .worker = 1 }, { .position = COUNT + 1 }, { .threads = 5000 },
		{ .decode = SHARD_DECODE_FIRST }, { .decode = SHARD_DECODE_ALL, .image = { .fit = SHARD_FIT_CROP, .width = 1 } },
		{ .batch = (uint64_t)1 << 40 }, { .lanes = 1 << 30 },
	};
	struct shard_dataset *d = open_dataset();
	struct shard_loader *l;
	struct pl_err err;
	(void)state;
	for (size_t i = 0; i < PL_ARRAY_LEN(bad); i++)
		assert_int_equal(shard_loader_open(&l, d, &bad[i], &err), PL_ERR_USAGE);
	shard_dataset_close(d);
}

/* Several batches at once keep what they hold; released in any order and by another thread. */
struct release { struct shard_loader *l; const struct shard_batch *b; };
static void *release_one(void *arg)
{
	struct release *r = arg;
	shard_batch_release(r->l, r->b);
	return NULL;
}

static void test_batches_held(void **state)
{
	struct shard_dataset *d = open_dataset();
	const struct shard_loader_options o = { .batch = 10, .block = 50, .window = 2, .threads = 2, .memory = 1 };
	const struct shard_batch *held[8] = {0};
	struct shard_loader *l;
	struct pl_err err;
	(void)state;
	ok(shard_loader_open(&l, d, &o, &err), &err);
	for (unsigned n = 0; n < 100; n++) {
		unsigned slot = n * 5 % 8;
		if (held[slot]) {
			pthread_t t;
			struct release r = { l, held[slot] };
			for (size_t i = 0; i < held[slot]->n; i++)
				assert_int_equal(number_of(&held[slot]->samples[i].sample), held[slot]->samples[i].sample.index);
			assert_int_equal(pthread_create(&t, NULL, release_one, &r), 0);
			assert_int_equal(pthread_join(t, NULL), 0);
		}
		ok(shard_loader_next(l, &held[slot], &err), &err);
	}
	for (unsigned i = 0; i < 4; i++)
		shard_batch_release(l, held[i]);
	/* The rest goes with the loader. */
	shard_loader_close(l);
	shard_dataset_close(d);
}

/* Frames are read once each in plain order, little more often when shuffled, and not all kept. */
static void test_memory_and_frames(void **state)
{
	struct shard_dataset *d = open_dataset();
	(void)state;
	for (int shuffle = 0; shuffle < 2; shuffle++)
		for (uint32_t threads = 0; threads < 3; threads++) {
			const struct shard_loader_options o = { .batch = 8, .block = 60, .window = 3, .threads = threads,
				.memory = 400000, .max_open = 2, .shuffle = shuffle ? SHARD_SHUFFLE_BLOCKS : SHARD_SHUFFLE_NONE };
			struct shard_loader *l;
			const struct shard_batch *b;
			struct pl_err err;
			uint64_t frames = 0;
			ok(shard_loader_open(&l, d, &o, &err), &err);
			while (shard_loader_next(l, &b, &err) == PL_OK) {
				struct shard_loader_stats s = shard_loader_stats(l);
				assert_true(s.open <= 2 + threads);
				shard_batch_release(l, b);
			}
			struct shard_loader_stats s = shard_loader_stats(l);
			for (size_t k = 0; k < PL_ARRAY_LEN(sizes); k++)
				frames += (sizes[k] * 2300 + 7999) / 8000;
			assert_int_equal(s.samples, COUNT);
			assert_true(s.frames < (shuffle ? 2 * frames : frames + frames / 2));
			assert_true(s.memory_most <= 1000000);
			shard_loader_close(l);
		}
	shard_dataset_close(d);
}

static void flip(const char *name, double at)
{
	size_t len;
	uint8_t *bytes = read_file(in_tmp(name), &len);
	bytes[(size_t)(at * (double)len)] ^= 0x40;
	write_file(in_tmp(name), bytes, len);
	free(bytes);
}

static void test_damage(void **state)
{
	uint64_t whole[COUNT], left[COUNT];
	struct shard_dataset *d = open_dataset();
	struct shard_loader_options o = { .seed = 1, .batch = 16, .block = 40, .window = 3 };
	struct shard_loader *l;
	const struct shard_batch *b;
	struct pl_err err, again;
	enum pl_status status;
	(void)state;
	all_ranks(d, o, 1, 1, whole);
	flip("000005.tar.zst", 0.4);
	assert_int_equal(truncate(in_tmp("000002.tar.zst"), 500), 0);
	for (o.threads = 0; o.threads < 3; o.threads += 2) {
		o.on_damage = SHARD_DAMAGE_RAISE;
		ok(shard_loader_open(&l, d, &o, &err), &err);
		while ((status = shard_loader_next(l, &b, &err)) == PL_OK)
			shard_batch_release(l, b);
		assert_int_equal(status, PL_ERR_INVALID);
		assert_non_null(strstr(err.path, "0000"));
		assert_int_equal(shard_loader_next(l, &b, &again), status);
		assert_string_equal(err.text, again.text);
		shard_loader_close(l);

		o.on_damage = SHARD_DAMAGE_SKIP;
		for (size_t i = 0; i < COUNT; i++)
			left[i] = UINT64_MAX;
		uint64_t skipped = 0, missing = 0;
		ok(shard_loader_open(&l, d, &o, &err), &err);
		while ((status = shard_loader_next(l, &b, &err)) == PL_OK) {
			skipped += b->skipped;
			for (size_t i = 0; i < b->n; i++) {
				assert_int_equal(number_of(&b->samples[i].sample), b->samples[i].sample.index);
				left[b->samples[i].position] = b->samples[i].sample.index;
			}
			shard_batch_release(l, b);
		}
		assert_int_equal(status, PL_END);
		for (size_t i = 0; i < COUNT; i++) {
			missing += left[i] == UINT64_MAX;
			assert_true(left[i] == UINT64_MAX || left[i] == whole[i]);
		}
		struct shard_loader_stats s = shard_loader_stats(l);
		assert_int_equal(missing, skipped);
		assert_int_equal(s.skipped_samples, skipped);
		assert_int_equal(s.skipped_shards, 1);
		assert_true(s.skipped_frames >= 1);
		assert_true(skipped > 57 && skipped < 80);
		assert_int_equal(shard_loader_damage(l, &err), PL_ERR_INVALID);
		shard_loader_close(l);
	}
	shard_dataset_close(d);
}

static void test_empty(void **state)
{
	struct shard_dataset *d;
	struct shard_loader *l;
	const struct shard_batch *b;
	struct pl_err err;
	const struct shard_loader_options o = { .threads = 1 };
	(void)state;
	ok(shard_dataset_open_shards(&d, NULL, 0, &err), &err);
	ok(shard_loader_open(&l, d, &o, &err), &err);
	assert_int_equal(shard_loader_next(l, &b, &err), PL_END);
	shard_loader_close(l);
	shard_dataset_close(d);
}

/* Many loaders and cursors on one dataset at once. */
static void *read_epoch(void *arg)
{
	const struct shard_dataset *d = arg;
	const struct shard_loader_options o = { .seed = 4, .batch = 32, .block = 40, .window = 2, .threads = 2 };
	struct shard_cursor *c;
	struct shard_sample s;
	struct pl_err err;
	uint64_t n = 0;
	struct shard_loader *l;
	const struct shard_batch *b;
	if (shard_loader_open(&l, d, &o, &err) != PL_OK || shard_cursor_open(&c, d, NULL, &err) != PL_OK)
		return NULL;
	while (shard_loader_next(l, &b, &err) == PL_OK) {
		n += b->n;
		if (shard_cursor_read(c, b->number * 13 % COUNT, &s, &err) != PL_OK || s.index != b->number * 13 % COUNT)
			n += COUNT;
		shard_batch_release(l, b);
	}
	shard_cursor_close(c);
	shard_loader_close(l);
	return n == COUNT ? arg : NULL;
}

static void test_shared(void **state)
{
	struct shard_dataset *d = open_dataset();
	pthread_t t[3];
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&t[i], NULL, read_epoch, d), 0);
	for (int i = 0; i < 3; i++) {
		void *done = NULL;
		assert_int_equal(pthread_join(t[i], &done), 0);
		assert_ptr_equal(done, d);
	}
	shard_dataset_close(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_for_every_world),
		cmocka_unit_test(test_resume),
		cmocka_unit_test(test_last_batch),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_batches_held),
		cmocka_unit_test(test_memory_and_frames),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, make_dataset, remove_tmp_dir);
}

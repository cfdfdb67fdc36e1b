/* SPDX-License-Identifier: Apache-2.0 */
/* Dedup over parts, which here are threads: dealing, sorting, spreading; and the
 * whole of it, byte for byte what one part alone writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/file.h"
#include "libpipe/dedup/dedup.h"
#include "libpipe/dedup/sort.h"
#include "libpipe/dedup/spill.h"
#include "table_corpus.h"
#include "thread_parts.h"

enum { RECORDS = 5000, SHARDS = 7 };

/* Assertions in threads: cmocka's jump, so these count instead. */
static int wrong;
#define EXPECT(x) ((x) ? (void)0 : (void)__atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED))

/* ---- records ---- */

struct record { uint64_t key, from; };

static int compare_records(const void *x, const void *y)
{
	const struct record *a = x, *b = y;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return (a->from > b->from) - (a->from < b->from);
}

struct dealer { struct record r; uint64_t at, n; uint32_t parts; };

static bool next_record(void *ctx, const void **record, uint32_t *to)
{
	struct dealer *d = ctx;

	if (d->at == d->n)
		return false;
	d->r.key = d->at++;
	*to = (uint32_t)(d->r.key % d->parts);
	*record = &d->r;
	return true;
}

static void deal(struct pl_parts *p, void *arg)
{
	struct dealer d = {.r = {.from = p->part}, .n = RECORDS * (uint64_t)p->part, .parts = p->parts};
	uint64_t want = 0, sum = 0;
	struct pl_buf in = {0};

	(void)arg;
	EXPECT(pl_parts_deal(p, PL_OK, sizeof(struct record), next_record, &d, &in, NULL) == PL_OK);
	for (uint32_t from = 0; from < p->parts; from++)
		for (uint64_t key = p->part; key < RECORDS * (uint64_t)from; key += p->parts)
			want += key * 8 + from;
	for (size_t i = 0; i < in.len / sizeof(struct record); i++) {
		const struct record *r = (const struct record *)(const void *)in.data + i;
		EXPECT(r->key % p->parts == p->part);
		sum += r->key * 8 + r->from;
	}
	EXPECT(sum == want);
	/* one part fails: all learn of it, nobody waits */
	d.at = 0;
	EXPECT(pl_parts_deal(p, p->part == p->parts - 1 ? PL_ERR_IO : PL_OK, sizeof(struct record), next_record, &d, &in, NULL) == PL_ERR_IO);
	pl_buf_release(&in);
}

static void sort(struct pl_parts *p, void *arg)
{
	uint64_t modulus = *(uint64_t *)arg, n = p->part == 1 ? 0 : RECORDS, counts[TP_MAX] = {0}, ends[2 * TP_MAX] = {0};
	struct pl_buf records = {0};

	for (uint64_t i = 0; i < n; i++) {
		struct record r = {pl_draw64(5, p->part, i) % modulus, p->part * RECORDS + i};
		EXPECT(pl_buf_add(&records, &r, sizeof(r), NULL) == PL_OK);
	}
	EXPECT(pl_parts_sort(p, &records, sizeof(struct record), compare_records, NULL) == PL_OK);
	n = records.len / sizeof(struct record);
	for (uint64_t i = 1; i < n; i++)
		EXPECT(compare_records((struct record *)(void *)records.data + i - 1, (struct record *)(void *)records.data + i) < 0);
	counts[p->part] = n;
	if (n > 0) {
		ends[2 * p->part] = ((struct record *)(void *)records.data)[0].key;
		ends[2 * p->part + 1] = ((struct record *)(void *)records.data)[n - 1].key;
	}
	p->sum(p->ctx, counts, p->parts);
	p->sum(p->ctx, ends, 2 * p->parts);
	for (uint32_t i = 1; i < p->parts; i++) {
		EXPECT(counts[i] == 0 || counts[i - 1] == 0 || ends[2 * i - 1] <= ends[2 * i]);
		counts[0] += counts[i];
	}
	EXPECT(counts[0] == (p->parts > 1 ? p->parts - 1 : 1) * (uint64_t)RECORDS);
	if (p->parts > 1)   /* about even */
		EXPECT(n < 2 * (uint64_t)RECORDS);
	pl_buf_release(&records);
}

static void spread(struct pl_parts *p, void *arg)
{
	uint64_t each = 70001;   /* more than one batch when there are several parts */
	struct pl_share s = {0};

	(void)arg;
	EXPECT(p->share(p->ctx, &s, each * p->parts, 0, "test", NULL) == PL_OK);
	memset((uint8_t *)s.data + each * p->part, (int)p->part + 1, each);
	EXPECT(pl_parts_spread(p, &s, each * p->part, p->part == 2 ? 0 : each, NULL) == PL_OK);
	for (uint32_t i = 0; i < p->parts; i++)
		if (i != 2)
			for (uint64_t k = 0; k < each; k += 1000)
				EXPECT(((uint8_t *)s.data)[each * i + k] == i + 1);
	p->unshare(p->ctx, &s);
}

static void test_records(void **state)
{
	uint64_t many = UINT64_MAX, few = 3;

	(void)state;
	for (uint32_t n = 1; n <= 5; n++) {
		tp_run(n, 1, 0, NULL, deal, NULL);
		tp_run(n, 2, 0, NULL, sort, &many);
		tp_run(n, 1, 0, NULL, sort, &few);
		tp_run(n, 1, 0, NULL, spread, NULL);
		tp_run(n, 2, 0, NULL, spread, NULL);
	}
	assert_int_equal(wrong, 0);
}

/* ---- sorting that can be stopped ---- */

static enum pl_status count_down(void *ctx, struct pl_err *err)
{
	int *left = ctx;

	return --*left == 0 ? pl_fail(err, PL_ERR_STOPPED, PL_SEV_JOB, NULL, "stop") : PL_OK;
}

static void test_sort(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 1000, (1 << 18) + 1, 1500001, 1000000, 700000};
	static const uint64_t spares[] = {0, 1, 16, UINT64_MAX, UINT64_MAX, UINT64_MAX, 100000, 1};
	int polls = 0;

	(void)state;
	for (size_t k = 0; k < PL_ARRAY_LEN(sizes); k++) {
		size_t n = sizes[k];
		struct record *r = calloc(n + 1, sizeof(*r));
		uint64_t sum = 0;
		for (size_t i = 0; i < n; i++)
			r[i] = (struct record){pl_draw64(1, i, 0) % (n / 2 + 1), i};
		polls = 0;
		assert_int_equal(pl_sort_within(r, n, sizeof(*r), compare_records, spares[k], count_down, &polls, NULL), PL_OK);
		for (size_t i = 0; i < n; i++) {
			assert_true(i == 0 || compare_records(&r[i - 1], &r[i]) < 0);
			sum += r[i].from;
		}
		assert_int_equal(sum, n < 2 ? 0 : (uint64_t)n * (n - 1) / 2);
		free(r);
	}
	assert_true(polls < -8);
	for (int stop = 1; stop < 12; stop += 5) {
		struct record *r = calloc(1500000, sizeof(*r));
		polls = stop;
		assert_int_equal(pl_sort(r, 1500000, sizeof(*r), compare_records, count_down, &polls, NULL), PL_ERR_STOPPED);
		free(r);
	}
}

/* ---- spilling ---- */

static void test_spill(void **state)
{
	char *dir = tc_tempdir();
	struct pl_spill s;
	uint64_t block[1000];

	(void)state;
	for (int file = 0; file < 2; file++) {
		pl_spill_init(&s, file ? 20000 : UINT64_MAX, dir);
		for (uint64_t i = 0; i < 50; i++) {
			for (uint64_t k = 0; k < 1000; k++)
				block[k] = i * 1000 + k;
			assert_int_equal(pl_spill_add(&s, block, sizeof(block), NULL), PL_OK);
			assert_true(!file || s.memory.len <= 20000);
		}
		assert_int_equal(pl_spill_seal(&s, NULL), PL_OK);
		pl_spill_rest(&s);   /* loses nothing */
		assert_int_equal(s.len, 400000);
		assert_int_equal(file, s.fd >= 0);
		for (uint64_t i = 0; i < 50000; i++)
			assert_int_equal(((uint64_t *)(void *)s.data)[i], i);
		pl_spill_release(&s);
		pl_spill_release(&s);
	}
	pl_spill_init(&s, 20000, NULL);
	assert_int_equal(pl_spill_add(&s, block, sizeof(block), NULL), PL_OK);
	assert_int_equal(pl_spill_add(&s, block, sizeof(block), NULL), PL_OK);
	assert_int_equal(pl_spill_add(&s, block, sizeof(block), NULL), PL_ERR_LIMIT);
	pl_spill_release(&s);
	assert_int_equal(rmdir(dir), 0);   /* nothing stays */
	free(dir);
}

/* ---- the whole ---- */

struct job {
	char *dir;
	struct pl_corpus c[3];
	struct pl_dedup_options o;
	struct pl_dedup_stats stats;
	struct pl_account accounts[TP_MAX];
};

static void whole(struct pl_parts *p, void *arg)
{
	struct job *j = arg;
	struct pl_corpus *in[2] = {&j->c[0], &j->c[1]}, *eval[1] = {&j->c[2]};
	struct pl_dedup *d = NULL;

	if (pl_dedup_new(&d, in, 2, eval, 1, &j->o, p, NULL) != PL_OK) {
		EXPECT(false);
		return;
	}
	EXPECT(pl_dedup_load(d, NULL) == PL_OK);
	EXPECT(pl_dedup_predict(d, NULL) == PL_OK);
	for (uint64_t u = 0; u < pl_dedup_units(d); u++)
		if (u % p->parts == p->part)
			EXPECT(pl_dedup_join(d, u, NULL) == PL_OK);
	for (uint64_t step = 0; step < pl_dedup_steps(d); step++)
		EXPECT(pl_dedup_step(d, step, NULL) == PL_OK);
	EXPECT(pl_dedup_decide(d, NULL) == PL_OK);
	for (size_t c = 0; c < 2; c++) {
		for (size_t k = 0; k < in[c]->nshards; k++)
			EXPECT(pl_dedup_write(d, c, k, &j->accounts[p->part], NULL) ==
			    (pl_dedup_owner(d, c, k) == p->part ? PL_OK : PL_ERR_USAGE));
		EXPECT(pl_dedup_clusters(d, c, NULL) == PL_OK);
	}
	if (p->part == 0)
		j->stats = pl_dedup_stats(d);
	pl_dedup_free(d);
}

static void fill(struct tc_shard *s, uint64_t seed)
{
	for (uint64_t i = 0; i < 220; i++) {
		static const enum pl_kind kinds[] = {PL_KIND_PAIRS, PL_KIND_PAIRS, PL_KIND_INTERLEAVED, PL_KIND_CHAT, PL_KIND_TEXT};
		uint64_t x = pl_draw64(seed, i, 0), images;
		enum pl_kind kind = kinds[x % 5];
		char key[32];
		snprintf(key, sizeof(key), "%llu", (unsigned long long)(x % 100000));
		tc_sample(s, kind, key, (x >> 20) % 400);
		images = kind == PL_KIND_TEXT ? 0 : kind == PL_KIND_INTERLEAVED ? x % 4 : 1;
		for (uint64_t k = 0; k < images; k++) {
			uint64_t y = pl_draw64(seed, i, k + 1);
			struct pl_image_row *r = tc_image(s, y % 900, y % 160, 10 + (uint32_t)(y % 3));
			tc_flip(r, (unsigned)(y >> 32) % 40);
			r->pdq_quality = (y >> 40) % 5 ? 100 : 20;
		}
	}
}

static void make_job(struct job *j)
{
	struct tc_shard *shards[SHARDS];
	char path[600], unit[16];

	*j = (struct job){.dir = tc_tempdir(), .o = {.near = true, .distance = 16, .min_quality = 50, .text = true, .across = true}};
	for (uint64_t c = 0; c < 3; c++) {
		size_t n = c == 0 ? SHARDS : c == 1 ? 2 : 1;
		for (size_t k = 0; k < n; k++) {
			snprintf(unit, sizeof(unit), "%05zu", k);
			shards[k] = tc_new(unit);
			fill(shards[k], c * 100 + k);
			if (c == 2)
				shards[k]->nsamples = 60, shards[k]->nimages = (size_t)shards[k]->samples[60].first_image;
		}
		snprintf(path, sizeof(path), "%s/%c", j->dir, (char)('a' + c));
		snprintf(unit, sizeof(unit), "%c", (char)('a' + c));
		tc_write(&j->c[c], path, unit, shards, n);
		for (size_t k = 0; k < n; k++)
			free(shards[k]);
	}
}

static void end_job(struct job *j)
{
	for (size_t c = 0; c < 3; c++)
		pl_corpus_close(&j->c[c]);
	tc_remove(j->dir);
}

static bool ascend(const struct pl_cluster_row *a, const struct pl_cluster_row *b)
{
	uint64_t x[] = {a->text, a->survivor_corpus, a->survivor_shard, a->survivor_row, a->member_shard, a->member_row};
	uint64_t y[] = {b->text, b->survivor_corpus, b->survivor_shard, b->survivor_row, b->member_shard, b->member_row};
	size_t i = 0;

	while (i < PL_ARRAY_LEN(x) && x[i] == y[i])
		i++;
	return i < PL_ARRAY_LEN(x) && x[i] < y[i];
}

/* The clusters stand in their order, and say of images what the verdicts say. */
static void check_clusters(const struct pl_corpus *c)
{
	char *path = pl_path_join(c->dir, "dedup.clusters.npy");
	uint64_t images = 0, dropped = 0;
	struct pl_npy t = {0};
	struct pl_tables v;

	assert_int_equal(pl_npy_open(&t, path, NULL), PL_OK);
	for (uint64_t i = 0; i < t.nrows; i++) {
		const struct pl_cluster_row *r = pl_npy_row(&t, i);
		const struct pl_dedup_row *row;
		assert_true(i == 0 || ascend(pl_npy_row(&t, i - 1), r));
		if (r->text)
			continue;
		images++;
		assert_int_equal(pl_tables_open(&v, c, r->member_shard, NULL), PL_OK);
		row = pl_npy_row(&v.dedup_images, r->member_row);
		assert_int_equal(row->survivor_key, r->survivor_key);
		assert_int_equal(row->survivor_row, r->survivor_row);
		assert_int_equal(row->survivor_corpus, r->survivor_corpus);
		assert_int_equal(row->survivor_shard, r->survivor_shard);
		assert_int_equal(row->distance, r->distance);
		assert_int_equal(row->verdict, r->reason);
		assert_int_equal(pl_sample(&v, pl_image_at(&v, r->member_row)->sample)->key, r->member_key);
		pl_tables_close(&v);
	}
	for (size_t k = 0; k < c->nshards; k++) {
		assert_int_equal(pl_tables_open(&v, c, k, NULL), PL_OK);
		for (uint64_t i = 0; i < v.images.nrows; i++)
			dropped += ((const struct pl_dedup_row *)pl_npy_row(&v.dedup_images, i))->verdict != PL_REASON_KEEP;
		pl_tables_close(&v);
	}
	assert_int_equal(images, dropped);
	assert_true(t.nrows > images);   /* texts, too */
	pl_npy_close(&t);
	free(path);
}

/* Of all that dedup wrote. */
static uint64_t digest(const struct job *j)
{
	uint64_t sum = 0;

	for (size_t c = 0; c < 2; c++) {
		for (size_t k = 0; k <= j->c[c].nshards; k++) {
			for (int images = 0; images < (k == j->c[c].nshards ? 1 : 2); images++) {
				char *path = k == j->c[c].nshards ? pl_path_join(j->c[c].dir, "dedup.clusters.npy")
				                                   : pl_table_path(&j->c[c], k, images ? "dedup-images" : "dedup");
				char *bytes = NULL;
				size_t len = 0;
				assert_int_equal(pl_file_read(path, (size_t)1 << 30, &bytes, &len, NULL), PL_OK);
				sum = pl_draw64(sum, len, pl_hash64(bytes, len));
				free(bytes);
				assert_int_equal(remove(path), 0);
				free(path);
			}
		}
	}
	return sum;
}

static void check_same(struct job *j, uint64_t want, const struct pl_dedup_stats *stats, const struct pl_account *account)
{
	struct pl_account sum = {0};

	assert_int_equal(wrong, 0);
	assert_int_equal(digest(j), want);
	for (size_t i = 0; i < TP_MAX; i++)
		pl_account_add(&sum, &j->accounts[i]);
	assert_memory_equal(&sum, account, sizeof(sum));
	j->stats.rounds = stats->rounds;
	j->stats.held = stats->held;
	j->stats.filed = stats->filed;
	if (j->stats.steps > 0) {   /* the other plan */
		j->stats.units = stats->units;
		j->stats.steps = stats->steps;
		j->stats.scratch = stats->scratch;
		j->stats.expected_pairs = stats->expected_pairs;
	}
	assert_memory_equal(&j->stats, stats, sizeof(*stats));
	memset(j->accounts, 0, sizeof(j->accounts));
}

static void test_whole(void **state)
{
	struct job j;

	(void)state;
	make_job(&j);
	for (int variant = 0; variant < 6; variant++) {
		struct pl_dedup_stats stats;
		struct pl_account account;
		uint64_t want;

		j.o.cluster = variant % 2 ? PL_CLUSTER_COMPONENTS : PL_CLUSTER_STARS;
		j.o.across = variant < 2;
		j.o.near = variant < 4;
		j.o.distance = variant < 2 ? 16 : 31;
		tp_run(1, 1, (uint64_t)1 << 30, NULL, whole, &j);
		stats = j.stats;
		account = j.accounts[0];
		assert_true(stats.dropped_near > 0 || !j.o.near);
		assert_true(stats.dropped_bytes > 0 && stats.dropped_eval > 0 && stats.dropped_text > 0 && stats.low_quality > 0);
		check_clusters(&j.c[0]);
		want = digest(&j);
		memset(j.accounts, 0, sizeof(j.accounts));
		for (uint32_t n = 2; n <= 5; n++) {
			tp_run(n, 1, (uint64_t)1 << 30, NULL, whole, &j);
			assert_int_equal(j.stats.steps, 0);
			check_same(&j, want, &stats, &account);
			j.o.plan = PL_PLAN_PARTITIONED;
			tp_run(n, 1, (uint64_t)1 << 30, NULL, whole, &j);
			assert_true(j.stats.steps > 0);
			check_same(&j, want, &stats, &account);
			j.o.plan = PL_PLAN_REPLICATED;
			tp_run(n, 2, 64, j.dir, whole, &j);   /* pairs past 16 bytes go to files, hashes stay where they are */
			assert_int_equal(j.stats.steps, 0);
			check_same(&j, want, &stats, &account);
			j.o.plan = PL_PLAN_AUTO;
			tp_run(n, 2, 64, j.dir, whole, &j);
			assert_int_equal(j.stats.steps > 0, n > 2);
			check_same(&j, want, &stats, &account);
		}
	}
	end_job(&j);
}

/* A and B are 30 apart, B and C too, A and C 60: stars keep A and C, components A only. */
static void test_chain(void **state)
{
	for (int components = 0; components < 2; components++) {
		struct job j = {.dir = tc_tempdir(), .o = {.near = true, .distance = 31, .min_quality = 50, .across = true,
		    .cluster = components ? PL_CLUSTER_COMPONENTS : PL_CLUSTER_STARS}};
		struct tc_shard *s = tc_new("00000");
		struct pl_npy t = {0};
		const struct pl_cluster_row *row;
		char path[600];

		(void)state;
		for (unsigned i = 0; i < 3; i++) {
			char key[2] = {(char)('A' + i), 0};
			tc_sample(s, PL_KIND_PAIRS, key, 0);
			tc_flip(tc_image(s, i, 1, 100 - i), 30 * i);
		}
		for (unsigned c = 0; c < 3; c++) {
			snprintf(path, sizeof(path), "%s/%u", j.dir, c);
			if (c > 0)
				s->nsamples = s->nimages = 0;
			tc_write(&j.c[c], path, "x", &s, 1);
		}
		free(s);
		tp_run(3, 1, (uint64_t)1 << 30, NULL, whole, &j);
		assert_int_equal(wrong, 0);
		assert_int_equal(j.stats.dropped_near, components ? 2 : 1);
		snprintf(path, sizeof(path), "%s/0/dedup.clusters.npy", j.dir);
		assert_int_equal(pl_npy_open(&t, path, NULL), PL_OK);
		assert_int_equal(pl_npy_expect(&t, path, pl_cluster_cols, pl_cluster_ncols, NULL), PL_OK);
		assert_int_equal(t.nrows, components ? 2 : 1);
		row = pl_npy_row(&t, 0);
		assert_int_equal(row->survivor_key, pl_hash64("A", 1));
		assert_int_equal(row->member_key, pl_hash64("B", 1));
		assert_int_equal(row->member_row, 1);
		assert_int_equal(row->distance, 30);
		assert_int_equal(row->reason, PL_REASON_NEAR_DUPLICATE);
		if (components) {
			row = pl_npy_row(&t, 1);
			assert_int_equal(row->survivor_key, pl_hash64("A", 1));
			assert_int_equal(row->member_key, pl_hash64("C", 1));
			assert_int_equal(row->distance, 60);
		}
		pl_npy_close(&t);
		end_job(&j);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_spill),
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

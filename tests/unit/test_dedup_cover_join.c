/* SPDX-License-Identifier: Apache-2.0 */
/* The cover join against the exhaustive one: exactly the same pairs, each once.
 * 20,000 hashes; with PLAIT_LONG_TESTS=1 in the environment 200,000. Hashes of
 * real pictures are mixed in where PLAIT_SHARED_DATA has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/hash.h"
#include "libpipe/dedup/cover_join.h"

enum { QUICK = 20000, LONG = 200000, FAR = 41 };

typedef uint64_t hash256[4];

/* ---- hashes ---- */

static uint32_t size(void)
{
	const char *longer = getenv("PLAIT_LONG_TESTS");

	return longer && strcmp(longer, "1") == 0 ? LONG : QUICK;
}

static bool get(const uint64_t *h, unsigned bit)
{
	return h[bit / 64] >> bit % 64 & 1u;
}

static void flip(uint64_t *h, unsigned bit)
{
	h[bit / 64] ^= (uint64_t)1 << bit % 64;
}

static unsigned popcount(const uint64_t *h)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 256; i++)
		n += get(h, i);
	return n;
}

/* Half of the bits set, as in a PDQ hash. */
static void make_random(uint64_t *h, unsigned bits, uint64_t seed, uint64_t i)
{
	unsigned set;

	memset(h, 0, sizeof(hash256));
	for (uint64_t w = 0; w < bits / 64; w++)
		h[w] = pl_draw64(seed, i, w);
	set = popcount(h);
	for (uint64_t k = 0; set != bits / 2; k++) {
		unsigned bit = (unsigned)(pl_draw64(seed, i, 1000 + k) % bits);
		if (get(h, bit) == (set > bits / 2)) {
			flip(h, bit);
			set += set > bits / 2 ? -1u : 1u;
		}
	}
}

/* Move y exactly `distance` bits away; an even distance keeps the popcount. */
static void move_away(uint64_t *y, unsigned bits, unsigned distance, uint64_t seed)
{
	hash256 moved = {0};
	bool want = get(y, 0);

	for (uint64_t k = 0; distance > 0; k++) {
		unsigned bit = (unsigned)(pl_draw64(seed, 5, k) % bits);
		if (get(moved, bit) || (get(y, bit) != want && k < 5000))
			continue;
		flip(moved, bit);
		flip(y, bit);
		want = !want;
		distance--;
	}
}

static uint32_t read_real(hash256 *h, uint32_t max)
{
	const char *shared = getenv("PLAIT_SHARED_DATA");
	char path[1024], line[256];
	uint32_t n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/pdq/threatexchange/hash-lists/haystack.txt", shared ? shared : "");
	f = shared ? fopen(path, "r") : NULL;
	if (!f) {
		print_message("no real hashes: PLAIT_SHARED_DATA has none\n");
		return 0;
	}
	while (n < max && fgets(line, sizeof(line), f)) {
		if (strlen(line) < 64)
			continue;
		for (unsigned w = 0; w < 4; w++) {
			char word[17] = {0};
			memcpy(word, line + (size_t)16 * w, 16);
			h[n][w] = strtoull(word, NULL, 16);
		}
		n++;
	}
	(void)fclose(f);
	return n;
}

/* One in five is a copy at distance 0..40 of an earlier one; odd: odd distances too, so odd popcounts. */
static hash256 *make_hashes(uint32_t n, unsigned bits, bool odd)
{
	hash256 *h = calloc(n, sizeof(*h));
	uint32_t real;

	assert_non_null(h);
	real = bits == 256 ? read_real(h, n / 2) : 0;
	for (uint32_t i = real; i < n; i++) {
		unsigned distance = i / 5 % FAR;
		if (i % 5 != 0 || i < 100) {
			make_random(h[i], bits, 21, i);
			continue;
		}
		memcpy(h[i], h[(uint32_t)pl_draw64(22, i, 0) % i], sizeof(*h));
		move_away(h[i], bits, odd ? distance : distance & ~1u, i);
	}
	return h;
}

/* ---- joins ---- */

static int compare(const void *x, const void *y)
{
	const struct pl_pair *p = x, *q = y;

	if (p->a != q->a)
		return p->a < q->a ? -1 : 1;
	return (p->b > q->b) - (p->b < q->b);
}

static void sort(struct pl_buf *pairs)
{
	if (pairs->len > 0)
		qsort(pairs->data, pairs->len / sizeof(struct pl_pair), sizeof(struct pl_pair), compare);
}

static void exhaustive(struct pl_join j, struct pl_buf *out)
{
	pl_buf_init(out, (size_t)4 << 30);
	assert_int_equal(pl_join_part(&j, 0, 1, out, NULL), PL_OK);
	sort(out);
}

/* Plan, join all units, compare; the plan is looked at by the caller. */
static struct pl_join_plan *check(struct pl_join j, const struct pl_join_how *how, uint64_t memory, const struct pl_buf *want)
{
	struct pl_join_plan *p = NULL;
	struct pl_buf got;
	hash256 *h = malloc(j.n * sizeof(*h));
	struct pl_err err = {0};

	assert_non_null(h);
	memcpy(h, j.hashes, j.n * sizeof(*h));
	j.hashes = h;
	pl_buf_init(&got, (size_t)4 << 30);
	if (pl_join_plan_with(&p, &j, how, memory, &err) != PL_OK)
		fail_msg("%s", err.text);
	for (uint64_t u = pl_join_plan_units(p); u-- > 0;)     /* any order will do */
		assert_int_equal(pl_join_unit(p, u, &got, &err), PL_OK);
	assert_int_equal(pl_join_unit(p, pl_join_plan_units(p), &got, NULL), PL_ERR_USAGE);
	sort(&got);
	if (got.len != want->len)
		fail_msg("d %u, %u blocks: %zu pairs instead of %zu", j.distance, (unsigned)p->cover.nblocks,
		    got.len / sizeof(struct pl_pair), want->len / sizeof(struct pl_pair));
	if (got.len > 0)
		assert_memory_equal(got.data, want->data, got.len);
	pl_buf_release(&got);
	free(h);
	return p;
}

/* In the cheapest way, or in so many blocks of either kind. */
static void check_kernels(const struct pl_join *j, uint32_t nblocks, const struct pl_buf *want)
{
	for (enum pl_cover_kind kind = 0; kind < (nblocks > 0 ? PL_COVER_KINDS : 1); kind++) {
		for (enum pl_join_kernel k = 0; k < PL_JOIN_KERNELS; k++) {
			const struct pl_join_how how = {.kernel = k, .nblocks = nblocks, .kind = kind};
			if (pl_join_scan(k))
				pl_join_plan_free(check(*j, &how, UINT64_MAX, want));
		}
	}
}

static void test_all_distances(void **state)
{
	static const struct { unsigned distance; uint32_t nblocks; } cases[] = {{0, 0}, {0, 1}, {8, 0}, {8, 3}, {15, 0}, {15, 8},
	    {16, 0}, {16, 5}, {30, 6}, {31, 0}, {31, 7}, {40, 8}, {40, 0}};
	uint32_t n = size();

	(void)state;
	for (int odd = 0; odd < 2; odd++) {
		hash256 *h = make_hashes(n, 256, odd);
		for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
			const struct pl_join j = {.hashes = h, .n = n, .distance = cases[i].distance};
			struct pl_buf want;
			exhaustive(j, &want);
			assert_true(want.len / sizeof(struct pl_pair) >= n / 5 / FAR / 2);
			check_kernels(&j, cases[i].nblocks, &want);
			pl_buf_release(&want);
		}
		free(h);
	}
}

static void test_64_bits(void **state)
{
	static const struct { unsigned distance; uint32_t nblocks; } cases[] = {{0, 1}, {3, 0}, {4, 1}, {7, 2}, {8, 3}, {12, 5}};
	uint32_t n = size() / 2;

	(void)state;
	for (int odd = 0; odd < 2; odd++) {
		hash256 *h = make_hashes(n, 64, odd);
		for (size_t i = 0; i < PL_ARRAY_LEN(cases); i++) {
			const struct pl_join j = {.hashes = h, .n = n, .distance = cases[i].distance, .bits = 64};
			struct pl_buf want;
			exhaustive(j, &want);
			check_kernels(&j, cases[i].nblocks, &want);
			pl_buf_release(&want);
		}
		free(h);
	}
}

/* An odd distance among even popcounts is the even one below, and only there. */
static void test_parity(void **state)
{
	hash256 *h = make_hashes(5000, 256, false);
	const struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 6};
	struct pl_join j = {.hashes = h, .n = 1000, .distance = 31};
	struct pl_join_plan *p;

	(void)state;
	for (uint32_t i = 0; i < j.n; i++)
		make_random(h[i], 256, 31, i);
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(p->cover.distance, 30);
	pl_join_plan_free(p);
	flip(h[999], 7);
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(p->cover.distance, 31);
	pl_join_plan_free(p);
	free(h);
}

static void test_small_memory(void **state)
{
	hash256 *h = make_hashes(QUICK, 256, true);
	struct pl_join j = {.hashes = h, .n = QUICK, .distance = 16};
	const struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 6};
	struct pl_buf want;
	struct pl_join_plan *p;
	struct pl_err err;

	(void)state;
	exhaustive(j, &want);
	for (uint64_t extra = 32; extra <= 512; extra *= 2) {
		p = check(j, &how, ((uint64_t)4 << 20) + (extra << 10), &want);
		assert_true(extra > 100 || p->range_bits > 1);
		assert_int_equal(pl_join_plan_units(p), (uint64_t)p->nfamilies << p->range_bits);
		assert_true(p->range_bits == 0 || p->nfamilies == p->cover.nmasks);
		assert_true(p->scratch_bytes <= ((uint64_t)4 << 20) + (extra << 10));
		pl_join_plan_free(p);
	}
	pl_buf_release(&want);
	/* half of the hashes alike in a block: one range has more than its share, and is split further */
	for (uint32_t i = 0; i < QUICK / 2; i++) {
		uint8_t permutation[256];
		pl_cover_permutation(256, permutation);
		make_random(h[i], 256, 77, i);
		for (unsigned k = 0; k < 40; k++) {
			if (get(h[i], permutation[k]) && k != i % 40)
				flip(h[i], permutation[k]);
		}
	}
	exhaustive(j, &want);
	p = check(j, &how, ((uint64_t)4 << 20) + (64 << 10), &want);
	pl_join_plan_free(p);
	pl_buf_release(&want);
	p = NULL;
	assert_int_equal(pl_join_plan_with(&p, &j, &how, 1000, &err), PL_ERR_LIMIT);
	assert_null(p);
	free(h);
}

/* Every mask is in one family; what a family shares, all its masks hold. */
static void test_families(void **state)
{
	hash256 *h = make_hashes(QUICK, 256, false);
	struct pl_join j = {.hashes = h, .n = QUICK, .distance = 16};
	const struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 9};
	uint32_t most = 0;
	struct pl_join_plan *p;

	(void)state;
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	bool *seen = calloc(p->cover.nmasks, sizeof(*seen));
	assert_non_null(seen);
	for (uint32_t i = 0; i < p->nfamilies; i++) {
		const struct pl_family *f = &p->family[i];
		for (uint32_t k = 0; k < f->n; k++) {
			uint64_t mask = p->cover.mask[f->mask[k]];
			assert_false(seen[f->mask[k]]);
			seen[f->mask[k]] = true;
			assert_int_equal(f->part & ~mask, 0);
			assert_int_equal(mask & ~(f->part | f->rest), 0);
			assert_int_equal(pl_join_block_of(p, f->mask[k]), pl_join_block_of(p, f->mask[0]));
		}
		assert_int_equal(f->part & f->rest, 0);
		assert_true(pl_join_extract(f->rest, f->rest) <= UINT32_MAX);
		assert_true(pl_join_extract(f->part, f->part) == ((uint64_t)1 << p->part_bits) - 1);
		most = f->n > most ? f->n : most;
	}
	for (uint32_t m = 0; m < p->cover.nmasks; m++)
		assert_true(seen[m]);
	assert_in_range(most, 2, PL_FAMILY_MASKS);
	free(seen);
	pl_join_plan_free(p);
	/* many ranks want many units */
	j.permuted = true;
	j.workers = 100;
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(p->nfamilies, p->cover.nmasks);
	pl_join_plan_free(p);
	free(h);
}

/* So many hashes alike in the bits that parts are told by, that 16 bits do not name the entries of one. */
static void test_large_part(void **state)
{
	enum { N = 80000, ALIKE = 70000 };
	hash256 *h = make_hashes(N, 256, true);
	const struct pl_join j = {.hashes = h, .n = N, .distance = 16};
	const struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 6, .hot_size = UINT32_MAX};
	uint8_t permutation[256];
	struct pl_buf want;
	struct pl_join_plan *p;

	(void)state;
	pl_cover_permutation(256, permutation);
	for (uint32_t i = 0; i < ALIKE; i++) {
		for (unsigned k = 0; k < 30; k++) {
			if (get(h[i], permutation[k]))
				flip(h[i], permutation[k]);
		}
	}
	exhaustive(j, &want);
	p = check(j, &how, UINT64_MAX, &want);
	assert_true(p->s.cap > UINT16_MAX);
	pl_join_plan_free(p);
	pl_buf_release(&want);
	free(h);
}

/* What a sample says of candidates and pairs is near what there is. */
static void test_prediction(void **state)
{
	hash256 *h = make_hashes(QUICK, 256, false);
	struct pl_join j = {.hashes = h, .n = QUICK, .distance = 16, .fixed = 1000};
	struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 16};
	struct pl_join_cost exact, some;
	struct pl_buf want;
	struct pl_join_plan *p;

	(void)state;
	for (uint32_t i = 0; i < QUICK; i += 10) {
		memcpy(h[i], h[0], sizeof(*h));
		move_away(h[i], 256, 2 * (i / 10 % 8), i);
	}
	exhaustive(j, &want);
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(pl_join_plan_cost(p, &exact, NULL), PL_OK);
	pl_join_plan_free(p);
	j.permuted = true;
	how.count_sample = 7000;
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(pl_join_plan_cost(p, &some, NULL), PL_OK);
	pl_join_plan_free(p);
	assert_true(some.candidates > exact.candidates / 1.3 && some.candidates < exact.candidates * 1.3);
	assert_true(exact.pairs_seen > 10000);
	assert_true(exact.pairs > (double)want.len / sizeof(struct pl_pair) / 1.1);
	assert_true(exact.pairs < (double)want.len / sizeof(struct pl_pair) * 1.1);
	pl_buf_release(&want);
	free(h);
}

/* Everybody within 3 bits of one hash: every pair of them is near, under most masks. */
static void test_dense_cluster(void **state)
{
	enum { CLUSTER = 5000, N = 8000 };
	hash256 *h = make_hashes(N, 256, true);
	const struct pl_join j = {.hashes = h, .n = N, .distance = 8};
	const struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 3};
	struct pl_buf want;
	struct pl_join_plan *p;
	struct pl_join_cost cost;

	(void)state;
	for (uint32_t i = 0; i < CLUSTER; i++) {
		make_random(h[i], 256, 1, 1);
		move_away(h[i], 256, i % 4, 1000 + i);
	}
	exhaustive(j, &want);
	assert_true(want.len / sizeof(struct pl_pair) >= (uint64_t)CLUSTER * (CLUSTER - 1) / 2);
	pl_join_plan_free(check(j, &how, UINT64_MAX, &want));
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);   /* over hashes that stay */
	/* the masks of a block share what is alike: the exact sum under two, scaled */
	assert_int_equal(pl_join_plan_cost(p, &cost, NULL), PL_OK);
	assert_int_equal(cost.keys, (uint64_t)N * p->cover.nmasks);
	assert_true(cost.largest_bucket > CLUSTER * 3 / 4 && cost.largest_bucket <= CLUSTER + 100);
	assert_true(cost.candidates > 0.5 * p->cover.nmasks * CLUSTER * CLUSTER / 2);
	assert_true(cost.candidates < 1.1 * p->cover.nmasks * CLUSTER * CLUSTER / 2);
	pl_join_plan_free(p);
	pl_buf_release(&want);
	free(h);
}

/* Hashes alike in one block and strangers otherwise make a hot bucket: its tiles are units. */
static void test_hot_bucket(void **state)
{
	enum { HOT = 3000, N = 12000 };
	hash256 *h = make_hashes(N, 256, true);
	struct pl_join j = {.hashes = h, .n = N, .distance = 16};
	const struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 6, .hot_size = 700};
	struct pl_buf want;
	struct pl_join_plan *p;
	struct pl_join_cost cost;
	struct pl_err err;
	uint8_t permutation[256];

	(void)state;
	pl_cover_permutation(256, permutation);
	for (uint32_t i = 0; i < HOT; i++) {
		uint32_t at = i * 4;
		for (unsigned k = 0; k < 42; k++) {
			if (get(h[at], permutation[k]))
				flip(h[at], permutation[k]);
		}
		if (i % 3 == 0) {
			memcpy(h[at + 4 < N ? at + 1 : at], h[at], sizeof(*h));
			move_away(h[at], 256, i % FAR, i);
		}
	}
	exhaustive(j, &want);
	pl_join_plan_free(check(j, &how, UINT64_MAX, &want));
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	j.permuted = true;
	assert_true(p->nhot >= p->cover.block[0].masks);
	assert_true(p->hot[0].shares > 1);
	assert_true(pl_join_plan_units(p) > p->cover.nmasks + p->nhot);
	assert_int_equal(pl_join_plan_cost(p, &cost, NULL), PL_OK);
	assert_true(cost.largest_bucket > HOT / 2 && cost.largest_bucket < HOT * 2);
	pl_join_plan_free(p);
	/* refused before any work */
	j.budget = cost.candidates / 2;
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(pl_join_plan_cost(p, &cost, &err), PL_ERR_LIMIT);
	assert_non_null(strstr(err.text, "raise --budget"));
	assert_true(cost.candidates > j.budget);
	pl_join_plan_free(p);
	pl_buf_release(&want);
	free(h);
}

static bool only_odd_sums(void *ctx, uint32_t a, uint32_t b)
{
	(void)ctx;
	return (a + b) % 2 == 1;
}

static enum pl_status stop(void *ctx, struct pl_err *err)
{
	(void)ctx;
	return pl_fail(err, PL_ERR_STOPPED, PL_SEV_JOB, NULL, "stop");
}

static void test_related_and_poll(void **state)
{
	hash256 *h = make_hashes(QUICK, 256, true);
	struct pl_join j = {.hashes = h, .n = QUICK, .distance = 16, .related = only_odd_sums};
	const struct pl_join_how how = {.kernel = pl_join_best(), .nblocks = 7};
	struct pl_buf out;
	struct pl_join_plan *p;

	(void)state;
	exhaustive(j, &out);
	pl_join_plan_free(check(j, &how, UINT64_MAX, &out));
	pl_buf_release(&out);
	for (uint32_t i = 0; i < QUICK; i++)       /* one cluster: tiles */
		memcpy(h[i], h[0], sizeof(*h));
	j.poll = stop;
	pl_buf_init(&out, 100 * sizeof(struct pl_pair));
	assert_int_equal(pl_join_plan_with(&p, &j, &how, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(pl_join_unit(p, 0, &out, NULL), PL_ERR_LIMIT);   /* never truncated in silence */
	pl_buf_release(&out);
	pl_buf_init(&out, (size_t)4 << 30);
	assert_int_equal(pl_join_unit(p, 0, &out, NULL), PL_ERR_STOPPED);
	pl_buf_release(&out);
	pl_join_plan_free(p);
	free(h);
}

/* Two ranks over the same hashes: the second takes them as permuted, and takes the other half of the units. */
static void test_shared_hashes(void **state)
{
	hash256 *h = make_hashes(QUICK, 256, true);
	struct pl_join j = {.hashes = h, .n = QUICK, .distance = 8};
	struct pl_join_plan *first, *second;
	struct pl_buf want, got;

	(void)state;
	exhaustive(j, &want);
	assert_int_equal(pl_join_plan_new(&first, &j, UINT64_MAX, NULL), PL_OK);
	j.permuted = true;
	assert_int_equal(pl_join_plan_new(&second, &j, UINT64_MAX, NULL), PL_OK);
	assert_int_equal(pl_join_plan_units(first), pl_join_plan_units(second));
	pl_buf_init(&got, 0);
	for (uint64_t u = 0; u < pl_join_plan_units(first); u++)
		assert_int_equal(pl_join_unit(u % 2 ? second : first, u, &got, NULL), PL_OK);
	sort(&got);
	assert_int_equal(got.len, want.len);
	assert_memory_equal(got.data, want.data, want.len);
	pl_join_plan_free(first);
	pl_join_plan_free(second);
	pl_buf_release(&want);
	pl_buf_release(&got);
	free(h);
}

static void test_few_hashes(void **state)
{
	hash256 *h = make_hashes(200, 256, true);

	(void)state;
	for (uint32_t n = 0; n <= 200; n += n < 5 ? 1 : 65) {
		const struct pl_join j = {.hashes = h, .n = n, .distance = 12};
		const struct pl_join_how all = {.kernel = pl_join_best()}, cover = {.kernel = pl_join_best(), .nblocks = 4};
		struct pl_buf want;
		exhaustive(j, &want);
		pl_join_plan_free(check(j, &all, 0, &want));
		pl_join_plan_free(check(j, &cover, UINT64_MAX, &want));
		pl_buf_release(&want);
	}
	free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_distances),
		cmocka_unit_test(test_64_bits),
		cmocka_unit_test(test_parity),
		cmocka_unit_test(test_small_memory),
		cmocka_unit_test(test_families),
		cmocka_unit_test(test_large_part),
		cmocka_unit_test(test_prediction),
		cmocka_unit_test(test_dense_cluster),
		cmocka_unit_test(test_hot_bucket),
		cmocka_unit_test(test_related_and_poll),
		cmocka_unit_test(test_shared_hashes),
		cmocka_unit_test(test_few_hashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

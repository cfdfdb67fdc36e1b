/* SPDX-License-Identifier: Apache-2.0 */
/* Near-duplicate texts over the ranks of a job: each rank makes the keys of the
 * texts it reads; band by band equal keys meet on the rank that owns them and
 * become candidate pairs; each pair is compared by the rank that owns its first
 * text, with shingle sets made by the ranks that read the texts. What ranks own
 * decides who works, never what comes out. */
#include "step_dedup_text.h"

#include <stdlib.h>
#include <string.h>

/* Shingle sets that all ranks together ask for at a time, and the least for one rank. */
#define SETS_AT_A_TIME ((uint64_t)256 << 20)
#define SETS_LEAST ((uint64_t)4 << 20)
#define LARGEST ((size_t)1 << 44)   /* buffers are bounded by max_pairs and by the texts of the shards a rank reads */

struct texts {
	struct tool *t;
	struct pl_dedup *d;
	const struct pl_near_text_options *o;
	struct near_text_counts *counts;
	struct pl_text_reader *reader;
	size_t ranks;
	struct pl_buf *to, from;         /* to: one per rank */
	struct pl_buf own, keys;         /* the texts this rank has read: uint32_t each; bands keys each */
	uint64_t *reader_of;             /* per place: 1 + the rank that read it */
	struct pl_text_buckets *buckets;
	struct pl_buf candidates;        /* struct pl_text_pair, of this rank: those to compare next */
	size_t unique;                   /* so many of them in front are sorted, each once */
	struct pl_buf compared;          /* the same: those before, sorted */
	uint8_t *asked;                  /* a bit per text */
	struct pl_buf wanted;            /* texts asked for in this round, uint32_t */
	struct pl_buf pairs;             /* verified by this rank and not gathered yet, struct pl_pair */
	struct pl_buf all;               /* gathered */
	struct pl_buf behind;            /* texts that pairs not listed yet could drop, uint32_t */
	uint8_t *behind_bits, *dropped;  /* a bit per text */
};

/* Entries of a buffer of one type. Allocated by malloc, filled with whole entries: aligned. */
static void *entries(const struct pl_buf *b)
{
	return b->data;
}

static enum pl_status exchange(struct texts *x, uint64_t **lengths, enum pl_status st, struct pl_err *err)
{
	if ((st = pl_job_agree(x->t->job, st, err)) == PL_OK)
		st = pl_job_exchange(x->t->job, x->to, &x->from, lengths, err);
	for (size_t r = 0; r < x->ranks; r++)
		pl_buf_clear(&x->to[r]);
	return st;
}

/* ---- keys ---- */

static enum pl_status read_unit(struct tool *t, void *ctx, uint64_t place, const char *name, struct pl_err *err)
{
	struct texts *x = ctx;

	(void)name;
	x->reader_of[place] = 1 + (uint64_t)pl_job_rank(t->job);
	return pl_text_reader_keys(x->reader, (uint32_t)place, &x->own, &x->keys, &x->counts->too_long, err);
}

static enum pl_status send_band(struct texts *x, unsigned band, struct pl_err *err)
{
	const uint32_t *own = entries(&x->own);
	const uint64_t *keys = entries(&x->keys);
	size_t n = x->own.len / sizeof(*own);
	enum pl_status st = PL_OK;

	for (size_t i = 0; i < n && st == PL_OK; i++) {
		struct pl_text_key k = { .key = keys[i * x->o->bands + band], .text = own[i] };
		/* upper bits: a key is an even hash */
		size_t owner = (size_t)(((k.key >> 32) * x->ranks) >> 32);
		st = pl_buf_add(&x->to[owner], &k, sizeof(k), err);
	}
	return st;
}

/* Sort what has come since, when it is much, or all when final. */
static enum pl_status compact(struct texts *x, bool final, struct pl_err *err)
{
	struct pl_text_pair *pairs = entries(&x->candidates);
	size_t n = x->candidates.len / sizeof(*pairs);
	enum pl_status st;

	if (!final && n < 2 * x->unique + ((size_t)1 << 20))
		return PL_OK;
	st = pl_near_text_unique(x->d, pairs, &n, err);
	if (st != PL_OK)
		return st;
	x->unique = n;
	x->candidates.len = x->unique * sizeof(*pairs);
	n = x->unique + x->compared.len / sizeof(*pairs);
	if (n > x->o->max_pairs)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_JOB, NULL,
		    "%zu candidate pairs of near texts on one rank, more than the %llu of --text-max-pairs: filter boilerplate away, "
		    "ask for more --text-rows, use more ranks, or allow more pairs", n, (unsigned long long)x->o->max_pairs);
	return PL_OK;
}

static enum pl_status join_bands(struct texts *x, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	tool_stage(x->t, "join text keys", x->o->bands);
	for (unsigned band = 0; band < x->o->bands && st == PL_OK; band++) {
		st = exchange(x, NULL, send_band(x, band, err), err);
		if (st == PL_OK)
			st = pl_text_buckets_band(x->buckets, entries(&x->from), x->from.len / sizeof(struct pl_text_key), x->to,
			    (uint32_t)x->ranks, err);
		st = exchange(x, NULL, st, err);
		if (st == PL_OK)
			st = pl_buf_add(&x->candidates, x->from.data, x->from.len, err);
		if (st == PL_OK)
			st = compact(x, band + 1 == x->o->bands, err);
		if (st == PL_OK)
			st = tool_poll(x->t, err);
		st = pl_job_agree(x->t->job, st, err);
	}
	pl_buf_release(&x->own);
	pl_buf_release(&x->keys);
	return st;
}

/* ---- sets ---- */

static enum pl_status want(struct texts *x, uint32_t text, uint64_t *size, struct pl_err *err)
{
	uint32_t position = pl_near_text_position(x->d, text);
	size_t rank = (size_t)x->reader_of[pl_near_text_place(x->d, text)] - 1;
	enum pl_status st;

	if (x->asked[text / 8] >> (text % 8) & 1)
		return PL_OK;
	x->asked[text / 8] |= (uint8_t)(1u << (text % 8));
	*size += pl_near_text_size(x->d, text);
	st = pl_buf_add(&x->wanted, &text, sizeof(text), err);
	return st == PL_OK ? pl_buf_add(&x->to[rank], &position, sizeof(position), err) : st;
}

/* Ask for the sets of the pairs from `from` on, until they are many; *end: behind the last pair. */
static enum pl_status ask(struct texts *x, size_t from, size_t *end, struct pl_err *err)
{
	const struct pl_text_pair *pairs = entries(&x->candidates);
	uint64_t size = 0, most = SETS_AT_A_TIME / x->ranks;
	enum pl_status st = PL_OK;

	if (most < SETS_LEAST)
		most = SETS_LEAST;
	for (*end = from; *end < x->unique && size < most && st == PL_OK; (*end)++) {
		st = want(x, pairs[*end].a, &size, err);
		if (st == PL_OK)
			st = want(x, pairs[*end].b, &size, err);
	}
	return st;
}

static void forget_asked(struct texts *x)
{
	const uint32_t *wanted = entries(&x->wanted);

	for (size_t i = 0; i < x->wanted.len / sizeof(*wanted); i++)
		x->asked[wanted[i] / 8] = 0;
	pl_buf_clear(&x->wanted);
}

struct request { uint32_t position, rank; };

static int compare_requests(const void *x, const void *y)
{
	const struct request *a = x, *b = y;

	if (a->position != b->position)
		return a->position < b->position ? -1 : 1;
	return (a->rank > b->rank) - (a->rank < b->rank);
}

/* What the ranks ask for, in the order in which it is read. */
static struct request *list_requests(const struct texts *x, const uint64_t *lengths, size_t *n, struct pl_err *err)
{
	const uint32_t *positions = entries(&x->from);
	struct request *list;

	*n = x->from.len / sizeof(*positions);
	list = calloc(*n + 1, sizeof(*list));
	if (list == NULL) {
		(void)pl_fail_nomem(err);
		return NULL;
	}
	for (size_t r = 0, at = 0; r < x->ranks; r++)
		for (uint64_t k = 0; k < lengths[r] / sizeof(*positions); k++, at++)
			list[at] = (struct request){ positions[at], (uint32_t)r };
	if (*n > 1)
		qsort(list, *n, sizeof(*list), compare_requests);
	return list;
}

/* Read each text once, for all that ask for it. */
static enum pl_status answer(struct texts *x, const uint64_t *lengths, struct pl_err *err)
{
	struct pl_buf set;
	size_t n = 0;
	struct request *list = list_requests(x, lengths, &n, err);
	enum pl_status st = list == NULL ? PL_ERR_NOMEM : PL_OK;

	pl_buf_init(&set, LARGEST);
	for (size_t i = 0; i < n && st == PL_OK; i++) {
		if (i == 0 || list[i].position != list[i - 1].position) {
			pl_buf_clear(&set);
			st = pl_text_reader_set(x->reader, pl_near_text_at(x->d, list[i].position), &set, err);
		}
		if (st == PL_OK)
			st = pl_buf_add(&x->to[list[i].rank], set.data, set.len, err);
	}
	pl_buf_release(&set);
	free(list);
	return st;
}

/* ---- pairs ---- */

struct held { uint32_t text, n; const uint64_t *hash; };

static int compare_held(const void *x, const void *y)
{
	const struct held *a = x, *b = y;

	return (a->text > b->text) - (a->text < b->text);
}

static const struct held *find(const struct held *sets, size_t n, uint32_t text)
{
	const struct held key = { .text = text };

	return n > 0 ? bsearch(&key, sets, n, sizeof(*sets), compare_held) : NULL;
}

/* The sets that have come, by text. */
static struct held *list_sets(const struct texts *x, size_t *n, struct pl_err *err)
{
	struct held *sets = malloc((x->wanted.len / sizeof(uint32_t) + 1) * sizeof(*sets));

	*n = 0;
	if (sets == NULL) {
		(void)pl_fail_nomem(err);
		return NULL;
	}
	for (size_t at = 0; at + sizeof(struct pl_text_set) <= x->from.len && *n < x->wanted.len / sizeof(uint32_t); (*n)++) {
		struct pl_text_set head;
		memcpy(&head, x->from.data + at, sizeof(head));
		at += sizeof(head);
		sets[*n] = (struct held){ head.text, head.n, (const uint64_t *)(const void *)(x->from.data + at) };
		at += head.n * sizeof(uint64_t);
	}
	if (*n > 1)
		qsort(sets, *n, sizeof(*sets), compare_held);
	return sets;
}

static enum pl_status verify(struct texts *x, size_t from, size_t end, struct pl_err *err)
{
	const struct pl_text_pair *pairs = entries(&x->candidates);
	size_t n = 0;
	struct held *sets = list_sets(x, &n, err);
	const struct held *a = NULL, *b;
	enum pl_status st = sets == NULL ? PL_ERR_NOMEM : PL_OK;

	for (size_t i = from; i < end && st == PL_OK; i++) {
		struct pl_pair p = { pairs[i].a, pairs[i].b, 0 };
		if (a == NULL || a->text != p.a)
			a = find(sets, n, p.a);
		b = find(sets, n, p.b);
		if (a == NULL || b == NULL)
			st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "a rank did not send the text it was asked for");
		else if (pl_near_text_verify(x->o, a->hash, a->n, b->hash, b->n, &p.distance))
			st = pl_buf_add(&x->pairs, &p, sizeof(p), err);
		if (st == PL_OK && i % 4096 == 0)
			st = tool_poll(x->t, err);
	}
	free(sets);
	return st;
}

/* The pairs just compared join those before. */
static enum pl_status file_away(struct texts *x, struct pl_err *err)
{
	enum pl_status st = pl_buf_add(&x->compared, x->candidates.data, x->candidates.len, err);
	size_t n = x->compared.len / sizeof(struct pl_text_pair);

	if (st == PL_OK)
		st = pl_near_text_unique(x->d, entries(&x->compared), &n, err);
	pl_buf_clear(&x->candidates);
	x->unique = 0;
	return st;
}

/* Rounds of asking, reading, comparing, until no rank has pairs left; then all ranks know all pairs so far. */
static enum pl_status verify_all(struct texts *x, struct pl_err *err)
{
	struct pl_buf fresh;
	enum pl_status st = PL_OK;

	pl_buf_init(&fresh, LARGEST);
	for (size_t at = 0, end = 0; st == PL_OK && pl_job_max(x->t->job, x->unique - at) > 0; at = end) {
		uint64_t *lengths = NULL;
		st = exchange(x, &lengths, ask(x, at, &end, err), err);
		if (st == PL_OK)
			st = exchange(x, NULL, answer(x, lengths, err), err);
		free(lengths);
		if (st == PL_OK)
			st = pl_job_agree(x->t->job, verify(x, at, end, err), err);
		forget_asked(x);
	}
	if (st == PL_OK)
		st = pl_job_agree(x->t->job, file_away(x, err), err);
	if (st == PL_OK)
		st = pl_job_gather(x->t->job, x->pairs.data, x->pairs.len, &fresh, NULL, err);
	if (st == PL_OK)
		st = pl_job_agree(x->t->job, pl_buf_add(&x->all, fresh.data, fresh.len, err), err);
	pl_buf_clear(&x->pairs);
	pl_buf_release(&fresh);
	return st;
}

/* ---- large buckets ---- */

/* What all ranks say about their buckets: which texts are dropped whatever else will be found. */
static enum pl_status find_dropped(struct texts *x, uint64_t *open, struct pl_err *err)
{
	struct pl_buf lists;
	const uint32_t *texts;
	enum pl_status st;

	pl_buf_init(&lists, LARGEST);
	pl_buf_clear(&x->behind);
	st = pl_job_agree(x->t->job, pl_text_buckets_open(x->buckets, x->dropped, open, &x->behind, err), err);
	if (st == PL_OK)
		st = pl_job_gather(x->t->job, x->behind.data, x->behind.len, &lists, NULL, err);
	memset(x->behind_bits, 0, (size_t)pl_near_texts(x->d) / 8 + 1);
	texts = entries(&lists);
	for (size_t i = 0; st == PL_OK && i < lists.len / sizeof(*texts); i++)
		x->behind_bits[texts[i] / 8] |= (uint8_t)(1u << (texts[i] % 8));
	if (st == PL_OK)
		st = pl_job_agree(x->t->job, pl_text_buckets_dropped(x->buckets, entries(&x->all), x->all.len / sizeof(struct pl_pair),
		                                 x->behind_bits, x->dropped, err), err);
	pl_buf_release(&lists);
	return st;
}

static int compare_listed(const void *x, const void *y)
{
	const struct pl_text_pair *p = x, *q = y;

	if (p->a != q->a)
		return p->a < q->a ? -1 : 1;
	return (p->b > q->b) - (p->b < q->b);
}

/* Candidates that were compared in an earlier round are no candidates. */
static void leave_out_compared(struct texts *x)
{
	struct pl_text_pair *pairs = entries(&x->candidates);
	const struct pl_text_pair *old = entries(&x->compared);
	size_t n = 0, at = 0, nold = x->compared.len / sizeof(*old);

	for (size_t i = 0; i < x->unique; i++) {
		while (at < nold && compare_listed(&old[at], &pairs[i]) < 0)
			at++;
		if (at == nold || compare_listed(&old[at], &pairs[i]) != 0)
			pairs[n++] = pairs[i];
	}
	x->unique = n;
	x->candidates.len = n * sizeof(*pairs);
}

/* Leader by leader, twice as many each round: a bucket of one boilerplate ends after its first, one of texts that are not alike
 * after the logarithm of their number. */
static enum pl_status join_large(struct texts *x, struct pl_err *err)
{
	uint64_t open = 0, leaders = 1;
	enum pl_status st = find_dropped(x, &open, err);

	while (st == PL_OK && pl_job_max(x->t->job, open) > 0) {
		st = exchange(x, NULL, pl_text_buckets_round(x->buckets, x->dropped, leaders, x->to, (uint32_t)x->ranks, err), err);
		if (st == PL_OK)
			st = pl_buf_add(&x->candidates, x->from.data, x->from.len, err);
		if (st == PL_OK)
			st = compact(x, true, err);
		if ((st = pl_job_agree(x->t->job, st, err)) != PL_OK)
			break;
		leave_out_compared(x);
		st = verify_all(x, err);
		if (st == PL_OK)
			st = find_dropped(x, &open, err);
		leaders *= 2;
	}
	return st;
}

/* ---- all of it ---- */

static enum pl_status begin(struct texts *x, struct pl_err *err)
{
	x->ranks = (size_t)pl_job_size(x->t->job);
	x->to = calloc(x->ranks, sizeof(*x->to));
	x->reader_of = calloc((size_t)pl_near_text_places(x->d) + 1, sizeof(*x->reader_of));
	x->asked = calloc((size_t)pl_near_texts(x->d) / 8 + 1, 1);
	x->behind_bits = calloc((size_t)pl_near_texts(x->d) / 8 + 1, 1);
	x->dropped = calloc((size_t)pl_near_texts(x->d) / 8 + 1, 1);
	if (x->to == NULL || x->reader_of == NULL || x->asked == NULL || x->behind_bits == NULL || x->dropped == NULL ||
	    pl_text_buckets_new(&x->buckets, x->d, NULL) != PL_OK)
		return pl_fail_nomem(err);
	for (size_t r = 0; r < x->ranks; r++)
		pl_buf_init(&x->to[r], LARGEST);
	pl_buf_init(&x->from, LARGEST);
	pl_buf_init(&x->own, LARGEST);
	pl_buf_init(&x->keys, LARGEST);
	pl_buf_init(&x->candidates, LARGEST);
	pl_buf_init(&x->wanted, LARGEST);
	pl_buf_init(&x->compared, LARGEST);
	pl_buf_init(&x->pairs, LARGEST);
	pl_buf_init(&x->all, LARGEST);
	pl_buf_init(&x->behind, LARGEST);
	return pl_text_reader_new(&x->reader, x->d, err);
}

static void end(struct texts *x)
{
	pl_text_reader_free(x->reader);
	for (size_t r = 0; x->to != NULL && r < x->ranks; r++)
		pl_buf_release(&x->to[r]);
	free(x->to);
	pl_buf_release(&x->from);
	pl_buf_release(&x->own);
	pl_buf_release(&x->keys);
	pl_buf_release(&x->candidates);
	pl_buf_release(&x->wanted);
	pl_buf_release(&x->compared);
	pl_buf_release(&x->pairs);
	pl_buf_release(&x->all);
	pl_buf_release(&x->behind);
	pl_text_buckets_free(x->buckets);
	free(x->reader_of);
	free(x->asked);
	free(x->behind_bits);
	free(x->dropped);
}

enum pl_status step_near_texts(struct tool *t, struct pl_dedup *d, const struct pl_near_text_options *o,
    struct near_text_counts *counts, struct pl_err *err)
{
	struct texts x = { .t = t, .d = d, .o = o, .counts = counts };
	double at_threshold = (double)o->jaccard / PL_JACCARD_ONE;
	enum pl_status st;

	if (tool_is_root(t))
		pl_log(PL_LOG_INFO, "%u texts; %u bands of %u rows meet a pair at Jaccard %g with probability %.3f", (unsigned)pl_near_texts(d),
		    o->bands, o->rows, at_threshold, pl_near_text_chance(o, at_threshold));
	st = pl_job_agree(t->job, begin(&x, err), err);
	tool_stage(t, "read texts", pl_near_text_places(d));
	if (st == PL_OK)
		st = tool_for_units(t, pl_near_text_places(d), read_unit, &x, err);
	if (st == PL_OK) {
		pl_job_sum(t->job, x.reader_of, pl_near_text_places(d));
		st = join_bands(&x, err);
	}
	tool_stage(t, "compare texts", 0);
	if (st == PL_OK)
		st = verify_all(&x, err);
	if (st == PL_OK)
		st = join_large(&x, err);
	if (st == PL_OK) {
		uint64_t sums[2] = { x.compared.len / sizeof(struct pl_text_pair), counts->too_long };
		struct pl_buf all = x.all;
		pl_job_sum(t->job, sums, 2);
		*counts = (struct near_text_counts){ sums[0], sums[1] };
		memset(&x.all, 0, sizeof(x.all));
		end(&x);
		x = (struct texts){ .t = t };
		st = pl_job_agree(t->job, pl_near_text_resolve(d, entries(&all), all.len / sizeof(struct pl_pair), err), err);
		pl_buf_release(&all);
	}
	end(&x);
	return st;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Preflight of the processes: what each is allowed and can do, and whether all of
 * them are of one mind. */
#include "check.h"

#include "libpipe/base/hash.h"
#include "libpipe/base/human.h"
#include "libpipe/base/memory.h"
#include "pack.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define WORKER_BYTES ((uint64_t)64 << 20)
#define RANK_BYTES ((uint64_t)128 << 20)
#define CLOCK_SECONDS 2.0
#define QUOTA_SAMPLES 50000000u

/* ---- one process ---- */

static void look_at_limit(struct check *c, const struct rlimit *limit, uint64_t need, const char *what, const char *advice)
{
	if (limit->rlim_cur != RLIM_INFINITY && limit->rlim_cur < need)
		check_note(c, CHECK_ERROR, "limits", NULL, advice, "%s is %llu, and %llu may be needed", what, (unsigned long long)limit->rlim_cur,
		    (unsigned long long)need);
}

/* Files that are open at a time: what pack reads from, what it has unpacked, and the rest. */
static void look_at_limits(struct check *c)
{
	const struct pl_recipe *r = c->s->recipe;
	uint64_t fan_in = r->output.fan_in > 0 ? r->output.fan_in : 256;
	uint64_t workers = c->t->pool != NULL ? (uint64_t)pl_pool_workers(c->t->pool) : 1;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		look_at_limit(c, &limit, 128 + fan_in, "the number of open files (RLIMIT_NOFILE)", "raise it (ulimit -n 4096)");
	if (c->s->what != CHECK_ALL)
		return;
	/* Root's processes are not counted. */
	if (getuid() != 0 && getrlimit(RLIMIT_NPROC, &limit) == 0)
		look_at_limit(c, &limit, 2 * workers + 16, "the number of processes (RLIMIT_NPROC)", "raise it (ulimit -u), or use fewer workers (-j)");
	if (getrlimit(RLIMIT_AS, &limit) == 0)
		look_at_limit(c, &limit, (uint64_t)2 << 30, "the address space of a process (RLIMIT_AS)",
		    "take it away (ulimit -v unlimited): pictures and tables are mapped, not held");
}

/* A grey picture of 16 x 16. */
static const uint8_t picture[] = { 0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00,
	0x00, 0x10, 0x00, 0x00, 0x00, 0x10, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x98, 0xa0, 0xbd, 0x00, 0x00, 0x00, 0x1d, 0x49, 0x44, 0x41, 0x54,
	0x78, 0xda, 0x63, 0x60, 0x10, 0x50, 0x30, 0x70, 0x08, 0x48, 0x28, 0x68, 0x98, 0xb0, 0x60, 0xc3, 0x81, 0x0b, 0x0f, 0x3e, 0x30, 0x8c, 0x6c,
	0x01, 0x00, 0x70, 0xb2, 0x78, 0x01, 0x79, 0x10, 0xe7, 0x7b, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82 };

/* Does a worker in its sandbox decode a picture? */
static void look_at_sandbox(struct check *c)
{
	static const char advice[] = "look at the limits of this process and at what its container allows (seccomp, fork); --sandbox off does without";
	struct pl_pool_job job = { .op = PL_POOL_SCAN, .data = picture, .len = sizeof(picture), .hash = (enum pl_hash_recipe)c->s->recipe->dedup.hash };
	struct pl_pool_result result;
	struct pl_err why = { 0 };
	bool ready = false;

	if (c->s->pool != NULL)
		check_note_err(c, CHECK_ERROR, "sandbox", NULL, advice, c->s->pool);
	if (c->t->pool == NULL)
		return;
	if (pl_pool_submit(c->t->pool, &job, &why) != PL_OK || pl_pool_next(c->t->pool, 20000, &ready, &result, &why) != PL_OK)
		check_note_err(c, CHECK_ERROR, "sandbox", NULL, advice, &why);
	else if (!ready)
		check_note(c, CHECK_ERROR, "sandbox", NULL, advice, "a worker has not decoded a picture of 86 bytes in 20 s");
	else if (result.reason != PL_REASON_KEEP)
		check_note(c, CHECK_ERROR, "sandbox", NULL, advice, "a worker cannot decode a good picture: %s", pl_reason_name(result.reason));
	else if (c->t->desc->common->sandbox == PL_SANDBOX_AUTO && !pl_pool_seccomp(c->t->pool))
		check_note(c, CHECK_WARNING, "sandbox", NULL, "allow the seccomp system call if the inputs are not trusted",
		    "there is no seccomp: decoders run with resource limits only");
}

void check_process(struct check *c)
{
	look_at_limits(c);
	if (c->s->what == CHECK_ALL)
		look_at_sandbox(c);
}

/* ---- all of them ---- */

static void hash_program(char hex[33])
{
	uint64_t digest[2] = { 0, 0 };
	char *bytes = NULL;
	size_t len = 0;

	if (pl_file_read("/proc/self/exe", (size_t)256 << 20, &bytes, &len, NULL) == PL_OK)
		pl_hash128(bytes, len, digest);
	free(bytes);
	pl_hash128_hex(digest, hex);
}

static unsigned cores_here(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* What a rank is, for rank 0 to compare. */
static json_t *facts_of(const struct check *c)
{
	char program[33] = "", recipe[33];
	struct timespec now = { 0, 0 };

	if (c->s->what == CHECK_ALL)
		hash_program(program);
	pl_hash128_hex(c->s->recipe->digest, recipe);
	pl_job_barrier(c->t->job);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return json_pack("[{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:I, s:f}]", "host", c->host, "version", PL_VERSION, "program", program, "recipe", recipe,
	    "workers", c->t->pool != NULL ? pl_pool_workers(c->t->pool) : 0, "cores", (int)cores_here(), "online", (int)sysconf(_SC_NPROCESSORS_ONLN),
	    "memory", (json_int_t)pl_memory_limit(), "clock", (double)now.tv_sec + (double)now.tv_nsec * 1e-9);
}

/* The first rank whose fact is not rank 0's; NULL: there is none. */
static const json_t *odd_one(const json_t *all, const char *key)
{
	const json_t *one;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)all, i, one)
		if (!json_equal(json_object_get(one, key), json_object_get(json_array_get(all, 0), key)))
			return one;
	return NULL;
}

static void compare(struct check *c, const json_t *all)
{
	static const struct { const char *key, *check, *what, *advice; } same[] = {
		{ "version", "versions", "is not of the version that rank 0 has", "install the same plait on every node" },
		{ "program", "versions", "is another build than rank 0 runs", "install the same plait on every node" },
		{ "recipe", "recipe", "is not what rank 0 has read", "put the same recipe everywhere, or start the job in a shared directory" },
	};

	for (size_t i = 0; i < PL_ARRAY_LEN(same); i++) {
		const json_t *odd = odd_one(all, same[i].key);
		if (odd != NULL)
			check_note(c, CHECK_ERROR, same[i].check, i == 2 ? c->s->recipe->path : NULL, same[i].advice, "what a rank on %s has %s",
			    pl_json_str(odd, "host"), same[i].what);
	}
}

/* The ranks of the host of rank i, if i is their first; 0 otherwise. */
static size_t ranks_there(const json_t *all, size_t i, json_int_t *workers)
{
	const json_t *host = json_object_get(json_array_get(all, i), "host"), *one;
	size_t k, n = 0;

	*workers = 0;
	json_array_foreach((json_t *)(uintptr_t)all, k, one) {
		if (!json_equal(json_object_get(one, "host"), host))
			continue;
		if (k < i)
			return 0;
		n++;
		*workers += json_integer_value(json_object_get(one, "workers"));
	}
	return n;
}

static void look_at_memory(struct check *c, const char *host, uint64_t memory, size_t ranks, uint64_t workers)
{
	uint64_t least = ranks * RANK_BYTES + workers * WORKER_BYTES, most = ranks * RANK_BYTES + workers * c->s->recipe->limits.max_memory;
	char has[24], needs[24];

	if (memory == 0)
		return;
	pl_human_bytes((double)memory, has, sizeof(has));
	if (memory < least)
		check_note(c, CHECK_ERROR, "memory", NULL, "use fewer ranks or workers (-j) on a node, or ask for more memory",
		    "%s has %s, and %zu ranks with %llu workers take at least %s", host, has, ranks, (unsigned long long)workers,
		    pl_human_bytes((double)least, needs, sizeof(needs)));
	else if (memory < most)
		check_note(c, CHECK_WARNING, "memory", NULL, "use fewer workers (-j), or lower limits.max_memory, if pictures are very large",
		    "%s has %s, and %llu workers may take %s", host, has, (unsigned long long)workers, pl_human_bytes((double)most, needs, sizeof(needs)));
	if (c->s->memory > memory)
		check_note(c, CHECK_ERROR, "memory", NULL, "lower --memory, or ask for more", "%s has %s, less than --memory says", host, has);
}

static void look_at_hosts(struct check *c, const json_t *all)
{
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i);
		int online = (int)pl_json_num(one, "online", 0);
		json_int_t workers;
		size_t n = ranks_there(all, i, &workers);
		if (n == 0)
			continue;
		look_at_memory(c, pl_json_str(one, "host"), (uint64_t)pl_json_num(one, "memory", 0), n, (uint64_t)workers);
		if (online > 0 && workers > online)
			check_note(c, CHECK_WARNING, "cores", NULL, "lower -j or the ranks of a node, or bind ranks to cores",
			    "%s has %d cores, and its %zu ranks start %lld workers", pl_json_str(one, "host"), online, n, (long long)workers);
	}
}

static void look_at_clocks(struct check *c, const json_t *all)
{
	const json_t *one;
	double least = 1e300, most = 0;
	const char *early = "", *late = "";
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)all, i, one) {
		double now = pl_json_num(one, "clock", 0);
		if (now < least) {
			least = now;
			early = pl_json_str(one, "host");
		}
		if (now > most) {
			most = now;
			late = pl_json_str(one, "host");
		}
	}
	if (most - least > CLOCK_SECONDS)
		check_note(c, CHECK_WARNING, "clocks", NULL, "set the clocks (chrony, ntpd): times of files decide what is done again",
		    "that of %s is %.1f s behind that of %s", early, most - least, late);
}

/* One rank with more workers than the cores it is bound to. Local. */
static void look_at_cores(struct check *c)
{
	unsigned cores = cores_here();

	if (c->t->pool != NULL && (unsigned)pl_pool_workers(c->t->pool) > cores)
		check_note(c, CHECK_WARNING, "cores", NULL, "lower -j, or bind ranks to more cores (mpirun --map-by slot:PE=N, srun --cpus-per-task=N)",
		    "%d workers share %u cores of their rank", pl_pool_workers(c->t->pool), cores);
}

enum pl_status check_ranks(struct check *c, struct pl_err *err)
{
	json_t *mine = facts_of(c), *all = NULL;
	enum pl_status st = pl_job_agree(c->t->job, mine != NULL ? PL_OK : pl_fail_nomem(err), err);

	if (st == PL_OK)
		st = tool_gather_json(c->t, mine, &all, err);
	c->whole = true;
	if (st == PL_OK && tool_is_root(c->t)) {
		compare(c, all);
		if (c->s->what == CHECK_ALL) {
			look_at_hosts(c, all);
			look_at_clocks(c, all);
		}
	}
	c->whole = false;
	if (c->s->what == CHECK_ALL)
		look_at_cores(c);
	json_decref(all);
	json_decref(mine);
	return st;
}

/* ---- quotas ---- */

/* Are the tables of all sources there, and few enough to look at? */
static bool tables_there(const struct check *c)
{
	uint64_t samples = 0;
	bool there = true;

	for (size_t i = 0; i < c->s->recipe->nsources && there; i++) {
		struct pl_corpus corpus = { 0 };
		there = c->s->recipe->sources[i].groups.by == NULL && pl_corpus_open(&corpus, c->s->dirs[i], NULL) == PL_OK;
		if (there) {
			samples += corpus.samples;
			pl_corpus_close(&corpus);
		}
	}
	return there && samples <= QUOTA_SAMPLES;
}

static enum pl_status try_plan(struct check *c, struct pl_recipe *r, const char *const *dirs, struct pl_err *err)
{
	struct pl_crew crew = pack_crew(c->t);
	struct pl_plan plan = { 0 };
	struct pack_inputs in;
	struct pl_err why = { 0 };
	enum pl_status st = pack_inputs_open(c->t, &in, r, dirs, &r->image, &why);

	if (st == PL_OK) {
		st = pl_job_agree(c->t->job, pl_plan_make(&plan, r, in.part_list, in.selects, dirs, c->s->seed, &crew, &why), &why);
		pl_plan_release(&plan);
		pack_inputs_close(&in);
	}
	if (st == PL_OK || st == PL_ERR_STOPPED || st == PL_ERR_NOMEM) {
		if (st != PL_OK)
			*err = why;
		return st;
	}
	if (tool_is_root(c->t))
		check_note_err(c, CHECK_WARNING, "quotas", NULL, "(by the tables of an earlier run; what ingest, filter or dedup change is not seen)", &why);
	return PL_OK;
}

enum pl_status check_quotas(struct check *c, struct pl_err *err)
{
	struct pl_recipe own = *c->s->recipe;
	enum pl_status st = PL_OK;

	c->whole = true;
	if (pl_job_max(c->t->job, !tables_there(c)) != 0)
		return PL_OK;
	for (size_t k = 0; k < own.noutputs && st == PL_OK; k++) {
		char **dirs;
		pl_recipe_use_output(&own, k);
		dirs = steps_corpus_dirs(&own, c->s->work);
		st = pl_job_agree(c->t->job, dirs != NULL ? PL_OK : pl_fail_nomem(err), err);
		if (st == PL_OK)
			st = try_plan(c, &own, (const char *const *)dirs, err);
		steps_free_paths(dirs);
	}
	return st;
}

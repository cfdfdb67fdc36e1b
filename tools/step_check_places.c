/* SPDX-License-Identifier: Apache-2.0 */
/* Preflight of what is written: directories that every rank can write to and sees
 * the same, with room, and with nothing of another job in them. */
#include "check.h"

#include "libpipe/base/dirlock.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/human.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

/* What another rank has written is seen on a network file system within this time. */
#define SEEN_SECONDS 2.0
enum { TRIAL = 65536 };

struct place { const char *dir, *option, *what; bool shared; uint64_t least, most; };

/* The directory itself, or what is there of the way to it; malloc'ed. */
static char *nearest(const char *dir)
{
	char *path = strdup(dir);
	struct stat sb;

	while (path != NULL && stat(path, &sb) != 0) {
		char *slash = strrchr(path, '/');
		if (slash == NULL) {
			free(path);
			return strdup(".");
		}
		if (slash == path) {
			path[1] = '\0';
			break;
		}
		*slash = '\0';
	}
	return path;
}

static void advice_for(const struct place *p, char *dst, size_t size)
{
	snprintf(dst, size, "let uid %ld write there, or choose another directory with %s", (long)getuid(), p->option);
}

/* Write, and take away again. The name is that of a temporary file, so that what a kill leaves is removed by the next run. */
static void try_to_write(struct check *c, const struct place *p, const char *dir)
{
	char name[64], advice[160], *path;
	void *data = calloc(1, TRIAL);
	int fd = -1;

	snprintf(name, sizeof(name), ".tmp-check.%d-%ld", pl_job_rank(c->t->job), (long)getpid());
	path = pl_path_join(dir, name);
	advice_for(p, advice, sizeof(advice));
	if (path == NULL || data == NULL) {
		check_note(c, CHECK_ERROR, "memory", NULL, "give the job more memory", "there is no memory left at the start");
		goto done;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		check_note(c, CHECK_ERROR, p->what, p->dir, advice, "cannot be written to: %s", strerror(errno));
	else if (write(fd, data, TRIAL) != TRIAL || fsync(fd) != 0)
		check_note(c, CHECK_ERROR, p->what, p->dir, "make room, or look at the quota and at ulimit -f", "takes no file of %d bytes: %s", TRIAL,
		    errno != 0 ? strerror(errno) : "no space");
	if (fd >= 0) {
		close(fd);
		(void)unlink(path);
	}
done:
	free(path);
	free(data);
}

/* Rank 0's part: a file with words that nobody else can have written; *word is 0 when it cannot be. */
static char *leave_token(const char *dir, uint64_t *word)
{
	struct timespec now;
	uint64_t mixed[3];
	char name[64], text[40], *path;
	struct pl_err none;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	mixed[0] = (uint64_t)now.tv_sec;
	mixed[1] = (uint64_t)now.tv_nsec;
	mixed[2] = (uint64_t)getpid();
	snprintf(name, sizeof(name), ".tmp-check-%ld", (long)getpid());
	path = pl_path_join(dir, name);
	*word = pl_hash64(mixed, sizeof(mixed)) | 1;
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)*word);
	if (path == NULL || pl_file_write_soon(path, text, strlen(text), &none) != PL_OK)
		*word = 0;
	return path;
}

static bool sees_token(const char *dir, uint64_t word, long pid, double wait)
{
	char name[64], want[40], *path, *text = NULL;
	bool same = false;
	double until = pl_now() + wait;
	const struct timespec nap = { 0, 50000000 };

	snprintf(name, sizeof(name), ".tmp-check-%ld", pid);
	snprintf(want, sizeof(want), "%016llx", (unsigned long long)word);
	path = pl_path_join(dir, name);
	while (path != NULL && !same) {
		if (pl_file_read(path, 64, &text, NULL, NULL) == PL_OK)
			same = strcmp(text, want) == 0;
		free(text);
		text = NULL;
		if (!same && pl_now() > until)
			break;
		if (!same)
			(void)nanosleep(&nap, NULL);
	}
	free(path);
	return same;
}

/* Is a directory the same one on every rank? Collective. */
static enum pl_status look_the_same(struct check *c, const struct place *p, struct pl_err *err)
{
	uint64_t word = 0, pid;
	char *dir = NULL, *token = NULL;
	struct pl_buf b;
	enum pl_status st = PL_OK;

	pl_buf_init(&b, 0);
	if (tool_is_root(c->t)) {
		dir = nearest(p->dir);
		if (dir != NULL)
			token = leave_token(dir, &word);
		st = dir != NULL ? pl_buf_add(&b, dir, strlen(dir) + 1, err) : pl_fail_nomem(err);
	}
	st = pl_job_agree(c->t->job, st, err);
	if (st == PL_OK)
		st = pl_job_bcast(c->t->job, &b, err);
	word = pl_job_max(c->t->job, word);
	pid = pl_job_max(c->t->job, tool_is_root(c->t) ? (uint64_t)getpid() : 0);
	if (st == PL_OK && word != 0 && !tool_is_root(c->t) &&
	    !sees_token((const char *)b.data, word, (long)pid, c->apart ? 0 : SEEN_SECONDS)) {
		c->apart = true;
		check_note(c, CHECK_ERROR, p->what, p->dir, "use a directory on a file system that all nodes share", "is not what rank 0 sees by that name");
	}
	if (st == PL_OK && c->s->what == CHECK_ALL)
		try_to_write(c, p, (const char *)b.data);
	st = pl_job_agree(c->t->job, st, err);
	if (token != NULL)
		(void)unlink(token);
	pl_buf_release(&b);
	free(token);
	free(dir);
	return st;
}

static void look_for_room(struct check *c, const struct place *p)
{
	char *dir = nearest(p->dir), free_text[24], need_text[24];
	struct statvfs v;
	uint64_t room;

	if (dir != NULL && statvfs(dir, &v) == 0 && v.f_blocks > 0) {
		room = (uint64_t)v.f_bavail * v.f_frsize;
		pl_human_bytes((double)room, free_text, sizeof(free_text));
		if (room < p->least)
			check_note(c, CHECK_ERROR, "space", p->dir, "make room, or choose another file system",
			    "has %s free, and at least some %s will be written (%s)", free_text,
			    pl_human_bytes((double)p->least, need_text, sizeof(need_text)), p->what);
		else if (room < p->most)
			check_note(c, CHECK_WARNING, "space", p->dir, "make room if pictures are not made much smaller",
			    "has %s free, and up to some %s may be written (%s)", free_text,
			    pl_human_bytes((double)p->most, need_text, sizeof(need_text)), p->what);
		if (v.f_files > 0 && v.f_favail < 1000 + 8 * c->input_files)
			check_note(c, CHECK_ERROR, "space", p->dir, "ask for more, or choose another file system",
			    "has %llu file names left, and some %llu files will be written", (unsigned long long)v.f_favail,
			    1000 + 8 * (unsigned long long)c->input_files);
	}
	free(dir);
}

/* A directory of one node. Local. */
static void look_here(struct check *c, const struct place *p)
{
	char *dir = nearest(p->dir);
	struct stat sb;

	/* Two of these are not made by anybody. */
	if (stat(p->dir, &sb) != 0 || !S_ISDIR(sb.st_mode)) {
		char advice[160];
		snprintf(advice, sizeof(advice), "make it on every node, or choose another with %s", p->option);
		check_note(c, CHECK_ERROR, p->what, p->dir, advice, "is no directory here");
	} else if (dir != NULL) {
		try_to_write(c, p, dir);
		look_for_room(c, p);
	}
	free(dir);
}

/* Is the directory no directory, or another job's, or another recipe's? Rank 0. */
static void look_into(struct check *c, const struct place *p, bool data_set)
{
	char *description = pl_path_join(p->dir, "dataset.json"), *holder = pl_path_join(p->dir, ".plait/lock"), ours[33];
	const char *theirs;
	struct pl_err why = { 0 };
	struct stat sb;
	json_t *j = NULL;
	struct pl_dir_lock lock;

	if (stat(p->dir, &sb) == 0 && !S_ISDIR(sb.st_mode))
		check_note(c, CHECK_ERROR, p->what, p->dir, "remove it, or choose another name", "is no directory");
	if (holder != NULL && access(holder, F_OK) == 0) {
		if (pl_dir_lock(p->dir, &lock, &why) != PL_OK)
			check_note_err(c, CHECK_ERROR, p->what, p->dir, "wait for that job, or stop it", &why);
		else
			pl_dir_unlock(&lock);
	}
	pl_hash128_hex(c->s->recipe->digest, ours);
	if (data_set && !c->t->desc->common->force && description != NULL && access(description, F_OK) == 0 &&
	    pl_json_load(description, (size_t)1 << 30, &j, NULL) == PL_OK) {
		theirs = pl_json_str(j, "recipe_digest");
		if (theirs == NULL || strcmp(theirs, ours) != 0 || (uint64_t)pl_json_num(j, "seed", 0) != c->s->seed)
			check_note(c, CHECK_ERROR, p->what, p->dir, "choose another directory, or replace them with --force",
			    "holds shards of another recipe, seed or input");
	}
	json_decref(j);
	free(description);
	free(holder);
}

static enum pl_status look_at_place(struct check *c, const struct place *p, bool data_set, struct pl_err *err)
{
	enum pl_status st = c->s->what != CHECK_QUICKLY ? look_the_same(c, p, err) : PL_OK;

	c->whole = true;
	if (tool_is_root(c->t) && c->s->what != CHECK_WORK_MADE)
		look_into(c, p, data_set);
	if (tool_is_root(c->t) && c->s->what == CHECK_ALL)
		look_for_room(c, p);
	c->whole = false;
	return st;
}

/* Bytes of files that one output may be cut into must be allowed. */
static void look_at_file_size(struct check *c, uint64_t shard_size)
{
	struct rlimit limit;
	char allowed[24], wanted[24];

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < shard_size + shard_size / 4)
		check_note(c, CHECK_ERROR, "limits", NULL, "raise it (ulimit -f unlimited), or lower output.shard_size",
		    "files may have %s (RLIMIT_FSIZE), and output shards are of %s", pl_human_bytes((double)limit.rlim_cur, allowed, sizeof(allowed)),
		    pl_human_bytes((double)shard_size, wanted, sizeof(wanted)));
}

static enum pl_status look_at_outputs(struct check *c, struct pl_err *err)
{
	struct pl_recipe own = *c->s->recipe;
	enum pl_status st = PL_OK;

	for (size_t k = 0; k < own.noutputs && st == PL_OK; k++) {
		struct place p = { NULL, "output.dir or -o", "output", true, 1u << 20, c->input_bytes };
		pl_recipe_use_output(&own, k);
		/* Filters and small pictures leave little of the inputs, but not less than this; a total may ask for anything. */
		if (own.balance.total == 0)
			p.least += c->input_bytes / 200;
		p.dir = c->s->out != NULL ? c->s->out : own.output.dir;
		st = look_at_place(c, &p, true, err);
		look_at_file_size(c, own.output.shard_size);
	}
	return st;
}

enum pl_status check_places(struct check *c, struct pl_err *err)
{
	const char *tmp = getenv("TMPDIR");
	const struct place work = { c->s->work, "output.work or --work", "work", true, c->input_bytes / 5000 + (1u << 20), c->input_bytes / 20 };
	const struct place scratch = { c->s->scratch, "--scratch", "scratch", false, 0, 0 };
	/* Pack unpacks what cannot be read at random. */
	const struct place local = { tmp != NULL && *tmp != '\0' ? tmp : "/tmp", "TMPDIR", "TMPDIR", false,
		c->packed_inputs ? 2 * c->largest_input : 0, c->packed_inputs ? 64 * c->largest_input : 0 };
	const struct place shm = { "/dev/shm", "OMPI_MCA_osc_sm_backing_directory, or --scratch", "shared memory", false, 0, (uint64_t)128 << 20 };
	enum pl_status st = look_at_place(c, &work, false, err);

	if (st == PL_OK && c->s->writes && c->s->what != CHECK_WORK_MADE)
		st = look_at_outputs(c, err);
	if (st != PL_OK || c->s->what != CHECK_ALL)
		return st;
	look_here(c, &local);
	if (scratch.dir != NULL)
		look_here(c, &scratch);
	if (c->s->recipe->dedup.enabled && pl_job_size(c->t->job) > 1)
		look_here(c, &shm);
	return PL_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* plait-hash: perceptual hashes of picture files, printed like sha256sum. */
#include "libpipe/base/file.h"
#include "libpipe/dedup/hashlist.h"
#include "libpipe/img/pool.h"
#include "serial.h"

static struct pl_common common;
static int recipe = PL_HASH_PDQ;
static bool rotations, list;

static const struct pl_opt options[] = {
	{ 'r', "recipe", PL_OPT_CHOICE, &recipe, "RECIPE", "pdq is Meta's, for matching against PDQ lists; pdq-aa is what dedup uses", 0, 0, pl_hash_recipe_names },
	{ 0, "rotations", PL_OPT_FLAG, &rotations, NULL, "eight hashes a picture, of it turned and mirrored, with a column that names the turn", 0, 0, NULL },
	{ 0, "list", PL_OPT_FLAG, &list, NULL, "begin with a line that says how the hashes are made, for plait dedup --against", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-hash",
	.summary = "print the perceptual hash of pictures",
	.synopsis = "FILE...",
	.description =
	    "Prints hash (64 hexadecimal digits), quality (0 to 100) and name of each picture. Decoding happens in a sandboxed worker. The "
	    "default recipe is pdq. A file that is no picture is named on standard error and makes the exit code 3; the others are printed.\n\n"
	    "With --rotations a picture has eight lines of hash, quality, turn and name, for finding turned and mirrored copies in a list of "
	    "plain hashes. The turns have PDQ's names: original; rotate90, rotate180, rotate270 (counterclockwise); flipx (upside down), flipy "
	    "(left and right exchanged), flipplus1 (transposed: the diagonal from the top left stays), flipminus1 (the other diagonal stays). "
	    "pdq and pdq-512 hash the turned pixels, like threatexchange's option of this name; pdq-aa turns its transform, which is the same.",
	.examples = "plait hash photos/*.jpg\nplait hash -r pdq-aa a.png b.webp\nplait hash --rotations a.png\nplait hash -r pdq-aa --list evals/*.jpg >evals.pdq",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_POOL,
};

static bool put(const struct pl_pdq *pdq, const char *turn, const char *name)
{
	char text[PL_PDQ_TEXT];

	pl_pdq_text(pdq, text);
	return (turn ? printf("%s %-10s %s\n", text, turn, name) : printf("%s %s\n", text, name)) >= 0;
}

static enum pl_status print(char **names, const struct pl_pool_result *r, int *bad, struct pl_err *err)
{
	bool ok = true;

	if (r->reason != PL_REASON_KEEP) {
		pl_log(PL_LOG_ERROR, "'%s': %s: %s", names[r->tag], pl_reason_name(r->reason), pl_reason_text(r->reason));
		*bad += 1;
		return PL_OK;
	}
	for (int i = 0; rotations && ok && i < PL_DIHEDRAL_COUNT; i++)
		ok = put(&r->dihedral[i], pl_dihedral_names[i], names[r->tag]);
	if (!rotations)
		ok = put(&r->pdq, NULL, names[r->tag]);
	if (!ok)
		return pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	return PL_OK;
}

static enum pl_status collect(struct pl_pool *pool, char **names, size_t most, int *bad, struct pl_err *err)
{
	struct pl_pool_result r;
	enum pl_status st = PL_OK;

	while (st == PL_OK && pl_pool_pending(pool) > most) {
		bool ready = false;
		st = pl_pool_next(pool, -1, &ready, &r, err);
		if (st == PL_OK && ready)
			st = print(names, &r, bad, err);
	}
	return st;
}

static enum pl_status submit(struct pl_pool *pool, char **names, int i, int *bad, struct pl_err *err)
{
	struct pl_pool_job job = { .op = PL_POOL_SCAN, .hash = (enum pl_hash_recipe)recipe, .dihedral = rotations, .tag = (uint64_t)i };
	struct pl_err unread = { 0 };
	char *data = NULL;
	size_t len = 0;
	enum pl_status st = PL_OK;

	if (pl_file_read(names[i], (size_t)1 << 30, &data, &len, &unread) != PL_OK) {
		pl_log_err(PL_LOG_ERROR, &unread);
		*bad += 1;
		return PL_OK;
	}
	if (!pl_pool_has_room(pool))
		st = collect(pool, names, pl_pool_pending(pool) - 1, bad, err);
	job.data = data;
	job.len = len;
	if (st == PL_OK)
		st = pl_pool_submit(pool, &job, err);
	free(data);
	return st;
}

static enum pl_status run(int argc, char **argv, struct pl_err *err)
{
	struct pl_pool_config config = { .workers = (int)common.workers, .sandbox = (enum pl_sandbox)common.sandbox };
	struct pl_pool *pool = NULL;
	int bad = 0;
	enum pl_status st;

	if (argc == 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "no FILE is given");
	config.limits = pl_img_limits_default();
	if (rotations)
		config.limits.timeout_ms *= PL_DIHEDRAL_COUNT;
	if (config.workers == 0 && argc == 1)
		config.workers = 1;
	if (list && printf("%s%s\n", pl_hashlist_head, pl_hash_recipe_names[recipe]) < 0)
		return pl_fail_errno(err, PL_SEV_JOB, "standard output", "cannot write");
	if ((st = pl_pool_new(&pool, &config, err)) != PL_OK)
		return st;
	if (config.sandbox == PL_SANDBOX_AUTO && !pl_pool_seccomp(pool))
		pl_log(PL_LOG_WARNING, "no seccomp here: image decoders run with resource limits only");
	for (int i = 0; i < argc && st == PL_OK; i++)
		st = submit(pool, argv, i, &bad, err);
	if (st == PL_OK)
		st = collect(pool, argv, 0, &bad, err);
	pl_pool_free(pool);
	if (st == PL_OK && bad > 0)
		st = pl_fail(err, PL_ERR_INVALID, PL_SEV_JOB, NULL, "%d of %d files have no hash", bad, argc);
	return st;
}

int main(int argc, char **argv)
{
	return serial_main(&tool, argc, argv, run);
}

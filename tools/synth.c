/* SPDX-License-Identifier: Apache-2.0 */
/* plait-synth: corpora of any size with known truth, for tests, demos and scale
 * trials. The bytes of a shard follow from seed, options and its number. */
#include "synth.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_ALL, KIND_PAIRS, KIND_INTERLEAVED, KIND_CHAT, KIND_TEXT, KIND_PREFERENCE, KIND_IN_CONTEXT, KIND_COCO, KIND_VQA, KIND_OBELICS };
static const char *const kinds[] = { "all", "pairs", "interleaved", "chat", "text", "preference", "in-context", "coco", "vqa", "obelics", NULL };

static struct pl_common common = { .max_reject = -1 };
static const char *out;
static int kind;
static uint64_t samples = 1000, shard_samples, hashes, distinct;
static int64_t size = 320;
static double duplicates = 0.08, broken = 0.03;
static double blank, near_blank;
static int64_t near_blank_quality = -1, near_blank_bits = 64;
static bool hostile;

static const struct pl_opt options[] = {
	{ 'o', "output", PL_OPT_STR, &out, "DIR", "directory to make or complete (required)", 0, 0, NULL },
	{ 'k', "kind", PL_OPT_CHOICE, &kind, "KIND", "what samples to make; default: all", 0, 0, kinds },
	{ 'n', "samples", PL_OPT_SIZE, &samples, "N", "samples in each set; default: 1000", 1, 1e12, NULL },
	{ 0, "shard-samples", PL_OPT_SIZE, &shard_samples, "N", "samples in a shard; default: 250, of --hashes 100K", 1, 1e6, NULL },
	{ 0, "size", PL_OPT_INT, &size, "PIXELS", "typical longer side of the pictures; default: 320", 64, 8192, NULL },
	{ 0, "duplicates", PL_OPT_REAL, &duplicates, "SHARE", "share of samples that are copies; default: 0.08", 0, 0.9, NULL },
	{ 0, "broken", PL_OPT_REAL, &broken, "SHARE", "share of samples with something wrong; default: 0.03", 0, 0.9, NULL },
	{ 0, "hashes", PL_OPT_SIZE, &hashes, "N", "nothing but a corpus of N perceptual hashes, DIR/hashes: tables without shards, for plait dedup", 0, 4e9, NULL },
	{ 0, "distinct-shards", PL_OPT_SIZE, &distinct, "N", "only the first N shards of --hashes are drawn, all others are hard links to these: for trials of planning", 0, 1e6, NULL },
	{ 0, "blank", PL_OPT_REAL, &blank, "SHARE", "share of --hashes that are blank pictures: one hash, quality 0; default: 0", 0, 0.9, NULL },
	{ 0, "near-blank", PL_OPT_REAL, &near_blank, "SHARE", "share of --hashes that are nearly blank; default: 0", 0, 0.9, NULL },
	{ 0, "near-blank-bits", PL_OPT_INT, &near_blank_bits, "BITS", "how far from blank they are at most; default: 64", 0, 128, NULL },
	{ 0, "near-blank-quality", PL_OPT_INT, &near_blank_quality, "Q", "their PDQ quality; default: -1, anything below 50", -1, 100, NULL },
	{ 0, "hostile", PL_OPT_FLAG, &hostile, NULL, "add a shard with odd tar members", 0, 0, NULL },
	{ 0, NULL, PL_OPT_FLAG, NULL, NULL, NULL, 0, 0, NULL },
};

static const struct pl_tool tool = {
	.name = "plait-synth",
	.summary = "write corpora with known truth",
	.synopsis = "-o DIR",
	.description =
	    "Draws pictures, describes them, and writes them as the world's shards: DIR/pairs (img2dataset), DIR/interleaved (MMC4 with "
	    "its images as members), DIR/interleaved-lines (MMC4 as JSON lines, images beside), DIR/chat (LLaVA), DIR/text (JSON lines), "
	    "DIR/preference (LLaVA-NeXT's, RLHF-V's and message lists), DIR/in-context (MIMIC-IT), DIR/coco (two captions an image; "
	    "truth.tsv counts images), DIR/vqa, DIR/obelics, and with the pairs DIR/eval, a small evaluation set of which some pictures recur in them. Exact and near duplicates, "
	    "copies of evaluation pictures and broken samples are planted; DIR/truth.tsv tells for each sample what it is.\n\n"
	    "With --hashes there is a corpus in DIR/hashes and nothing else: hashes with 128 of 256 bits set, of which --duplicates are "
	    "0, 2, ... 40 bits from another; truth.tsv names what is planted, with the distance as note.\n\n"
	    "The same seed and options give the same bytes at any number of ranks. Running the same command again completes what is "
	    "missing.",
	.examples = "plait synth -o corpora\n"
	            "mpirun -n 8 plait-synth --kind pairs --samples 1M --shard-samples 10K --seed 7 -o big\n"
	            "plait synth --hashes 10M --blank 0.1 -o trial && plait dedup trial/hashes",
	.opts = options,
	.common = &common,
	.common_set = PL_COMMON_BASE | PL_COMMON_JOB,
};

typedef enum pl_status write_fn(struct synth_shard *sh, struct pl_err *err);
static const struct { write_fn *write; const char *extension; bool images, announced; } sets[SYNTH_SETS] = {
	[SYNTH_PAIRS] = { synth_write_pairs, "tar", false, true },
	[SYNTH_INTERLEAVED] = { synth_write_interleaved, "tar", false, true },
	[SYNTH_LINES] = { synth_write_lines, "jsonl", true, true },
	[SYNTH_CHAT] = { synth_write_chat, "jsonl", true, true },
	[SYNTH_TEXT] = { synth_write_text, "jsonl.zst", false, true },
	/* Not announced: whoever pipes the shards into ingest does not mean these. */
	[SYNTH_EVAL] = { synth_write_pairs, "tar", false, false },
	[SYNTH_HOSTILE] = { synth_write_hostile, "tar", false, false },
	[SYNTH_HASHES] = { synth_write_hashes, "samples.npy", true, false },
	[SYNTH_PREFERENCE] = { synth_write_forms, "jsonl", true, true },
	[SYNTH_IN_CONTEXT] = { synth_write_forms, "json", true, true },
	[SYNTH_COCO] = { synth_write_forms, "json", true, true },
	[SYNTH_VQA] = { synth_write_forms, "json", true, true },
	[SYNTH_OBELICS] = { synth_write_forms, "jsonl", true, true },
};

static struct synth synth_of_options(void)
{
	struct synth s = { .dir = out, .seed = common.seed, .shard_samples = shard_samples, .size = (uint32_t)size };

	s.duplicates = (uint32_t)(duplicates * 4294967296.0);
	s.broken = (uint32_t)(broken * 4294967296.0);
	if (s.shard_samples == 0)
		s.shard_samples = hashes > 0 ? 100000 : 250;
	if (hashes > 0) {
		s.samples[SYNTH_HASHES] = hashes;
		if (distinct > 0 && distinct < hashes / s.shard_samples) {
			s.samples[SYNTH_HASHES] = distinct * s.shard_samples;
			s.linked = hashes / s.shard_samples - distinct;
		}
		s.blank = (uint32_t)(blank * 4294967296.0);
		s.near_blank = (uint32_t)(near_blank * 4294967296.0);
		s.near_blank_quality = (int)near_blank_quality;
		s.near_blank_bits = (uint32_t)near_blank_bits;
		return s;
	}
	if (kind == KIND_ALL || kind == KIND_PAIRS) {
		s.samples[SYNTH_PAIRS] = samples;
		s.samples[SYNTH_EVAL] = samples / 50 < 10 ? 10 : samples / 50 > 1000 ? 1000 : samples / 50;
	}
	if (kind == KIND_ALL || kind == KIND_INTERLEAVED)
		s.samples[SYNTH_INTERLEAVED] = s.samples[SYNTH_LINES] = samples;
	if (kind == KIND_ALL || kind == KIND_CHAT)
		s.samples[SYNTH_CHAT] = samples;
	if (kind == KIND_ALL || kind == KIND_TEXT)
		s.samples[SYNTH_TEXT] = samples;
	for (int form = 0; form <= KIND_OBELICS - KIND_PREFERENCE; form++)
		if (kind == KIND_ALL || kind == KIND_PREFERENCE + form)
			s.samples[SYNTH_PREFERENCE + form] = samples;
	if (hostile)
		s.samples[SYNTH_HOSTILE] = synth_hostile_samples();
	return s;
}

/* DIR/synth.json says what the directory was made with; another run's shards must not stay among these. Rank 0. */
static enum pl_status claim_dir(const char *settings, struct pl_err *err)
{
	char *path = pl_path_join(out, "synth.json"), *there = NULL;
	struct pl_err why = { 0 };
	enum pl_status st;
	size_t len = 0;

	if (path == NULL)
		return pl_fail_nomem(err);
	st = pl_file_read(path, 1 << 20, &there, &len, &why);
	if (st == PL_ERR_NOTFOUND)
		st = pl_file_write(path, settings, strlen(settings), err);
	else if (st == PL_OK && strcmp(there, settings) != 0)
		st = pl_fail(err, PL_ERR_CONFLICT, PL_SEV_JOB, path,
		    "the directory was made with other options: give these again, or another directory");
	else if (st != PL_OK)
		*err = why;
	free(there);
	free(path);
	return st;
}

static enum pl_status make_dirs(const struct synth *s, struct pl_err *err)
{
	enum pl_status st = PL_OK;

	for (int set = 0; set < SYNTH_SETS && st == PL_OK; set++) {
		char *dir;

		if (s->samples[set] == 0)
			continue;
		if ((dir = pl_path_join(s->dir, synth_set_names[set])) == NULL)
			return pl_fail_nomem(err);
		st = pl_mkdirs(dir, err);
		if (st == PL_OK)
			st = pl_remove_temporaries(dir, err);
		free(dir);
	}
	return st;
}

struct run { struct synth s; char settings[1024]; };

static enum pl_status prepare(struct tool *t, struct run *r, struct pl_err *err)
{
	enum pl_status st = tool_output_dir(t, out, err);
	int len;

	if (st != PL_OK)
		return st;
	len = snprintf(r->settings, sizeof(r->settings),
	    "{\"tool\":\"plait-synth\",\"version\":\"%s\",\"seed\":%" PRIu64 ",\"kind\":\"%s\",\"samples\":%" PRIu64
	    ",\"shard_samples\":%" PRIu64 ",\"size\":%" PRIu32 ",\"duplicates\":%.6f,\"broken\":%.6f,\"hostile\":%s",
	    PL_VERSION, r->s.seed, kinds[kind], samples, r->s.shard_samples, r->s.size, duplicates, broken, hostile ? "true" : "false");
	if (hashes > 0)
		len += snprintf(r->settings + len, sizeof(r->settings) - (size_t)len,
		    ",\"hashes\":%" PRIu64 ",\"blank\":%.6f,\"near_blank\":%.6f,\"near_blank_bits\":%d,\"near_blank_quality\":%d", hashes, blank,
		    near_blank, (int)near_blank_bits, (int)near_blank_quality);
	if (r->s.linked > 0)
		len += snprintf(r->settings + len, sizeof(r->settings) - (size_t)len, ",\"distinct_shards\":%" PRIu64, distinct);
	snprintf(r->settings + len, sizeof(r->settings) - (size_t)len, "}\n");
	pl_hash128(r->settings, strlen(r->settings), r->s.settings);
	if (tool_is_root(t)) {
		st = claim_dir(r->settings, err);
		if (st == PL_OK)
			st = make_dirs(&r->s, err);
	}
	return pl_job_agree(t->job, st, err);
}

/* A unit found done: its account comes from the record. */
static enum pl_status resume_unit(struct tool *t, const char *payload, struct pl_err *err)
{
	struct pl_account account = { 0 };
	enum pl_status st = pl_account_parse(payload, &account, err);

	account.units_done = 0;
	account.units_resumed = 1;
	if (st == PL_OK)
		pl_account_add(&t->account, &account);
	return st;
}

static enum pl_status make_unit(struct tool *t, struct synth_shard *sh, const struct pl_record *record,
    const char *const outputs[2], struct pl_err *err)
{
	char *path = pl_path_join(out, outputs[0]), *images = outputs[1] != NULL ? pl_path_join(out, outputs[1]) : NULL;
	struct pl_buf counts;
	enum pl_status st = PL_OK;

	pl_buf_init(&counts, 0);
	if (path == NULL || (outputs[1] != NULL && images == NULL))
		st = pl_fail_nomem(err);
	sh->path = path;
	sh->images = images;
	if (st == PL_OK)
		st = sets[sh->set].write(sh, err);
	sh->account.units_done = 1;
	if (st == PL_OK)
		st = pl_account_counts(&sh->account, &counts, err);
	if (st == PL_OK)
		st = pl_record_write(record, outputs, outputs[1] != NULL ? 2 : 1, (const char *)counts.data, err);
	if (st == PL_OK) {
		pl_account_add(&t->account, &sh->account);
		pl_job_count(t->job, 0, 0, sh->account.bytes_out);
		if (sets[sh->set].announced)
			st = tool_announce(t, path, err);
	}
	pl_buf_release(&counts);
	free(path);
	free(images);
	return st;
}

/* Unit numbers run through the shards of all sets. */
static enum pl_status synth_unit(struct tool *t, void *ctx, uint64_t unit, const char *name, struct pl_err *err)
{
	struct run *r = ctx;
	struct synth_shard sh = { .s = &r->s, .shard = unit, .tool = t };
	const char *set, *outputs[2] = { NULL, NULL };
	char record_unit[64], shard[64], images[64], *payload = NULL;
	struct pl_record record = { out, record_unit, { 0, 0 } };
	bool done = false;
	enum pl_status st = PL_OK;

	(void)name;
	while (sh.shard >= synth_shards(&r->s, sh.set))
		sh.shard -= synth_shards(&r->s, sh.set++);
	set = synth_set_names[sh.set];
	snprintf(record_unit, sizeof(record_unit), "%s-%05" PRIu64, set, sh.shard);
	snprintf(shard, sizeof(shard), "%s/%05" PRIu64 ".%s", set, sh.shard, sets[sh.set].extension);
	snprintf(images, sizeof(images), sh.set == SYNTH_HASHES ? "%s/%05" PRIu64 ".images.npy" : "%s/images-%05" PRIu64 ".tar", set, sh.shard);
	outputs[0] = shard;
	outputs[1] = sets[sh.set].images ? images : NULL;
	pl_hash128(r->settings, strlen(r->settings), record.digest);
	if (!common.force)
		st = pl_record_check(&record, &done, &payload, err);
	if (st == PL_OK)
		st = done && payload != NULL ? resume_unit(t, payload, err) : make_unit(t, &sh, &record, outputs, err);
	free(payload);
	return st;
}

static enum pl_status finish_hashes(struct tool *t, const struct synth *s, struct pl_err *err)
{
	char *dir = pl_path_join(out, synth_set_names[SYNTH_HASHES]);
	enum pl_status st = dir != NULL ? synth_link_hashes(s, t, err) : pl_fail_nomem(err);

	if (st == PL_OK)
		st = synth_write_manifest(s, err);
	if (st == PL_OK)
		st = tool_announce(t, dir, err);
	free(dir);
	return st;
}

static enum pl_status check_options(int argc, char **argv, struct pl_err *err)
{
	if (out == NULL)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "-o DIR is missing: the directory to make");
	if (argc > 0)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "'%s' is an operand, and this tool takes none", argv[0]);
	if (hashes > 0 && (kind != KIND_ALL || hostile))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--hashes makes a corpus of hashes and nothing else: leave out --kind and --hostile");
	if (hashes == 0 && (blank > 0 || near_blank > 0))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--blank and --near-blank are shares of --hashes");
	if (distinct > 0 && (hashes == 0 || hashes % (shard_samples > 0 ? shard_samples : 100000) != 0))
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL, "--distinct-shards needs --hashes to be a multiple of --shard-samples");
	if (duplicates + blank + near_blank > 0.9)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "--duplicates, --blank and --near-blank are %.4g together: at least a tenth must be pictures of their own",
		    duplicates + blank + near_blank);
	if (duplicates + broken > 0.9)
		return pl_fail(err, PL_ERR_USAGE, PL_SEV_JOB, NULL,
		    "--duplicates and --broken are %.4g together: at least a tenth must stay sound", duplicates + broken);
	return PL_OK;
}

static enum pl_status run(struct tool *t, int argc, char **argv, struct pl_err *err)
{
	struct run r = { 0 };
	uint64_t units = 0;
	enum pl_status st;

	st = check_options(argc, argv, err);
	if (st != PL_OK)
		return st;
	r.s = synth_of_options();
	for (int set = 0; set < SYNTH_SETS; set++)
		units += synth_shards(&r.s, (enum synth_set)set);
	if ((st = tool_open_job(t, err)) != PL_OK)
		return st;
	tool_step_begin(t, "synth", units);
	if ((st = prepare(t, &r, err)) != PL_OK)
		return st;
	if ((st = tool_for_units(t, units, synth_unit, &r, err)) != PL_OK)
		return st;
	if (tool_is_root(t))
		st = synth_write_truth(&r.s, t, err);
	if (st == PL_OK && tool_is_root(t) && hashes > 0)
		st = finish_hashes(t, &r.s, err);
	if ((st = pl_job_agree(t->job, st, err)) != PL_OK)
		return st;
	return tool_step_end(t, NULL, err);
}

int main(int argc, char **argv)
{
	return tool_main(&tool, argc, argv, run);
}

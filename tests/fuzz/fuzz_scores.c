/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: files of scores. The first byte chooses the form; values are
 * numbers or none, and an error comes with words. */
#include "fuzz.h"

#include <math.h>

#include "libpipe/corpus/score_file.h"

static void read_all(const char *path)
{
	static const char *const names[] = { "clip", "b" };
	const struct pl_score_columns columns = { "key", names, 2 };
	struct pl_err err = { 0 };
	struct pl_score_file *f;
	double values[2];
	uint64_t key, n = 0;
	enum pl_status st = pl_score_file_open(&f, path, &columns, &err);

	FUZZ_CHECK(st == PL_OK || err.text[0] != '\0');
	if (st != PL_OK)
		return;
	while ((st = pl_score_file_next(f, &key, values, &err)) == PL_OK) {
		n++;
		FUZZ_CHECK(!isinf(values[0]) && !isinf(values[1]));
	}
	FUZZ_CHECK(st == PL_END || err.text[0] != '\0');
	FUZZ_CHECK(pl_score_file_counts(f)->rows == n);
	pl_score_file_close(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "s.csv", "s.tsv", "s.jsonl", "s.npy" };
	struct fuzz_named f;

	if (size == 0)
		return 0;
	fuzz_named_open(&f, names[data[0] % 4], data + 1, size - 1);
	read_all(f.path);
	fuzz_named_close(&f);
	return 0;
}

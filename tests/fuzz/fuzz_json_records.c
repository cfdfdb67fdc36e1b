/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: files of records. The first byte chooses the form; every record
 * is parsed as JSON and must keep to its ceiling. */
#include "fuzz.h"

#include "libpipe/base/json.h"
#include "libpipe/corpus/records.h"

static void read_all(const char *path)
{
	struct pl_records *r;
	struct pl_record_text record;
	struct pl_err err;
	json_t *value;

	if (pl_records_open(&r, path, 4096, &err) != PL_OK)
		return;
	for (uint64_t n = 0; pl_records_next(r, &record, &err) == PL_OK; n++) {
		FUZZ_CHECK(record.index == n);
		FUZZ_CHECK(record.too_large == (record.text == NULL));
		if (record.text == NULL)
			continue;
		FUZZ_CHECK(record.len <= 4096);
		if (pl_json_parse(record.text, record.len, &value, &err) == PL_OK)
			json_decref(value);
	}
	pl_records_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "r.jsonl", "r.json", "r.txt" };
	const char *base = getenv("TMPDIR");
	struct fuzz_file f;
	char dir[512], path[600];

	if (size == 0)
		return 0;
	fuzz_file_open(&f, data + 1, size - 1);
	snprintf(dir, sizeof dir, "%s/plait-fuzz-XXXXXX", base && *base ? base : "/tmp");
	FUZZ_CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/%s", dir, names[data[0] % 3]);
	FUZZ_CHECK(symlink(f.path, path) == 0);
	read_all(path);
	unlink(path);
	rmdir(dir);
	fuzz_file_close(&f);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: files of records. The first byte chooses the form; every record
 * is parsed as JSON and must keep to its ceiling. A JSON file is also read as one whose records refer to each other, and as a
 * store of images. */
#include "fuzz.h"

#include "libpipe/base/json.h"
#include "libpipe/corpus/image_json.h"
#include "libpipe/corpus/records.h"
#include "libpipe/corpus/related.h"

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

static void read_related(const char *path, enum pl_kind kind, int captions)
{
	struct pl_source source = { .read = { .kind = kind, .captions_per_image = captions } };
	struct pl_related *related = NULL;
	struct pl_records *r;
	struct pl_record_text record;
	struct pl_document d;
	struct pl_err err;

	if (pl_related_load(&related, path, &source, &err) != PL_OK || related == NULL)
		return;
	pl_document_init(&d);
	if (pl_records_open_part(&r, path, pl_source_part(&source), 4096, &err) == PL_OK) {
		while (pl_records_next(r, &record, &err) == PL_OK)
			if (record.text != NULL)
				FUZZ_CHECK(pl_document_read_related(&d, &source.read, record.text, record.len, false, related, &err) == PL_OK);
		pl_records_close(r);
	}
	pl_document_release(&d);
	pl_related_close(related);
}

static enum pl_status see_image(void *ctx, const char *id, uint64_t offset, uint64_t length, struct pl_err *err)
{
	(void)ctx;
	(void)offset;
	(void)err;
	FUZZ_CHECK(id != NULL && length > 0);
	return PL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "r.jsonl", "r.json", "r.txt" };
	struct fuzz_named f;

	if (size == 0)
		return 0;
	fuzz_named_open(&f, names[data[0] % 3], data + 1, size - 1);
	read_all(f.path);
	if (data[0] % 3 == 1) {
		struct pl_err err;

		read_related(f.path, PL_KIND_IN_CONTEXT, PL_CAPTIONS_EACH);
		read_related(f.path, PL_KIND_CHAT, PL_CAPTIONS_EACH);
		read_related(f.path, PL_KIND_PAIRS, PL_CAPTIONS_EACH);
		read_related(f.path, PL_KIND_PAIRS, PL_CAPTIONS_DRAW);
		FUZZ_CHECK(pl_image_json_list(f.path, see_image, NULL, &err) != PL_ERR_NOMEM);
	}
	fuzz_named_close(&f);
	return 0;
}

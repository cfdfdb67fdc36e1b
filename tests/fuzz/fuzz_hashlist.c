/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a list of PDQ hashes. Lines ascend, names have no line ends, and an
 * error comes with words and the line. */
#include "fuzz.h"

#include "libpipe/dedup/hashlist.h"

static enum pl_status take(void *ctx, const struct pl_hash_entry *e, struct pl_err *err)
{
	uint64_t *line = ctx;

	(void)err;
	FUZZ_CHECK(e->line > *line);
	*line = e->line;
	for (const char *c = e->name; *c != '\0'; c++)
		FUZZ_CHECK(*c != '\n');
	return PL_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_err err = {0};
	uint64_t line = 0;
	FILE *f = tmpfile();

	FUZZ_CHECK(f != NULL && fwrite(data, 1, size, f) == size);
	rewind(f);
	if (pl_hashlist_lines(f, "fuzz", take, &line, &err) != PL_OK)
		FUZZ_CHECK(err.text[0] != '\0' && err.line > line);
	fclose(f);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: one record of any kind becomes a document. The first byte
 * chooses the kind and the form of the record. */
#include "fuzz.h"

#include "libpipe/corpus/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_read_options options = { 0 };
	struct pl_document d;
	struct pl_text_stats stats;
	struct pl_err err;
	uint32_t images = 0, texts = 0;

	if (size == 0)
		return 0;
	bool plain = (data[0] & 4) != 0;
	const char *record = (const char *)data + 1;
	options.kind = (enum pl_kind)(PL_KIND_PAIRS + (data[0] & 3));
	if ((data[0] & 16) != 0)
		options.kind = (data[0] & 1) != 0 ? PL_KIND_IN_CONTEXT : PL_KIND_PREFERENCE;
	options.image_after_text = (data[0] & 8) != 0;
	pl_document_init(&d);
	(void)pl_detect_record(record, size - 1, plain);
	if (pl_document_read_record(&d, &options, record, size - 1, plain, &err) == PL_OK) {
		for (size_t i = 0; i < d.nsegments; i++) {
			const struct pl_segment *s = &d.segments[i];
			if (s->is_image)
				FUZZ_CHECK(s->image == images++ && s->image < d.nimages && !s->loss);
			else
				FUZZ_CHECK(s->text != NULL && s->text[s->text_len] == '\0');
			texts += !s->is_image;
		}
		for (size_t i = 0; i < d.nimages && d.status == PL_REASON_KEEP; i++) {
			FUZZ_CHECK(d.images[i].match == PL_NO_MATCH || d.images[i].match < texts);
			for (size_t k = 0; k < texts && d.images[i].affinity != NULL; k++)
				FUZZ_CHECK(d.images[i].affinity[k] >= -1.01f && d.images[i].affinity[k] <= 1.01f);
		}
		if (d.status == PL_REASON_KEEP)
			FUZZ_CHECK(pl_document_text_stats(&d, &stats, &err) == PL_OK);
	}
	pl_document_release(&d);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that published data sets were deduplicated by, beyond one copy of each: how
 * many captions a picture keeps, how often a picture or a caption may stand, when a
 * whole document goes. README.md says which system has which. */
#ifndef PL_DEDUP_RULES_H
#define PL_DEDUP_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "libpipe/base/err.h"

#define PL_CAPTIONS_ALL UINT32_MAX
#define PL_SHARE_ONE 1000000u

enum pl_document_rule { PL_DOCUMENT_IMAGE, PL_DOCUMENT_WHOLE };
extern const char *const pl_document_rule_names[];   /* "image", "document", NULL */

/* All zero: the rules of README.md and no others. */
struct pl_dedup_rules {
	uint32_t captions;              /* pairs: samples of distinct captions kept of images that are the same; 0 = 1 */
	uint32_t max_documents;         /* an image in more samples is dropped everywhere; 0 = off */
	uint32_t max_texts_per_image;   /* pairs: so is one with more distinct captions; 0 = off */
	uint32_t max_captions;          /* pairs: samples whose caption more samples have are dropped; 0 = off */
	enum pl_document_rule document;
	uint32_t document_share;        /* WHOLE: smallest share of duplicates, in millionths; 0 = one image is enough */
	bool same_images;               /* interleaved: of documents with the same set of images, one stays */
};

/* From what options and recipes carry; captions 0 = all. share < 0: not given. PL_ERR_USAGE when they do not fit together. */
PL_MUST_CHECK enum pl_status pl_dedup_rules_set(struct pl_dedup_rules *r, int64_t captions, int64_t max_documents,
    int64_t max_captions, int64_t max_texts_per_image, int document, double share, bool same_images, struct pl_err *err);

/* Does a document of `images` images leave when `duplicates` of them are the same as images elsewhere? */
bool pl_rules_document(const struct pl_dedup_rules *r, uint32_t images, uint32_t duplicates);

struct pl_dedup;
/* Before images are loaded: samples that go for their caption or their set of images. Collective. */
PL_MUST_CHECK enum pl_status pl_rules_samples(struct pl_dedup *d, struct pl_err *err);
/* When the fates of images are known: images that stay for another caption, images that stand too often. Collective. */
PL_MUST_CHECK enum pl_status pl_rules_images(struct pl_dedup *d, struct pl_err *err);

#endif

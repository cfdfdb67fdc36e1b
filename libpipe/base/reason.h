/* SPDX-License-Identifier: Apache-2.0 */
/* Why a sample or an image is not kept: the one enum behind every status and
 * verdict column. Values are written to tables: never renumber, only append. */
#ifndef PL_BASE_REASON_H
#define PL_BASE_REASON_H

#include <stdint.h>

/* X(value, enum suffix, name in tables and reports, one line for the manual) */
#define PL_REASONS(X) \
	X(0, KEEP, "keep", "kept") \
	X(1, TRUNCATED, "truncated", "the image or member ends too early") \
	X(2, CORRUPT, "corrupt", "the bytes do not follow their format") \
	X(3, UNSUPPORTED, "unsupported", "a format plait does not decode") \
	X(4, TOO_LARGE, "too_large", "more bytes than the ceiling") \
	X(5, BOMB, "bomb", "more pixels or a longer side than the ceiling") \
	X(6, TIMEOUT, "timeout", "decoding took longer than the ceiling") \
	X(7, CRASH, "crash", "the decoder died in its sandbox") \
	X(8, NO_MEMORY, "no_memory", "decoding needed more memory than the ceiling") \
	X(9, TOO_SMALL, "too_small", "smaller than the rule asks") \
	X(10, EMPTY, "empty", "zero bytes") \
	X(11, NO_IMAGE, "no_image", "the sample has no usable image") \
	X(12, NO_TEXT, "no_text", "the sample has no usable text") \
	X(13, MISSING_IMAGE, "missing_image", "the document names an image that is not there") \
	X(14, BAD_JSON, "bad_json", "the JSON member or record does not parse") \
	X(15, BAD_DOCUMENT, "bad_document", "the record lacks what its kind needs") \
	X(16, BAD_UTF8, "bad_utf8", "the text is not UTF-8") \
	X(17, DUPLICATE_KEY, "duplicate_key", "the key was seen before in this shard") \
	X(18, DUPLICATE_PART, "duplicate_part", "two members of the sample have one suffix") \
	X(19, MARKER_MISMATCH, "marker_mismatch", "image markers and images differ in number") \
	X(20, NOT_A_SAMPLE, "not_a_sample", "a member that no sample of this kind has") \
	X(21, FILTERED, "filtered", "the filter condition does not hold") \
	X(22, DUPLICATE_BYTES, "duplicate_bytes", "same image bytes as a kept image") \
	X(23, NEAR_DUPLICATE, "near_duplicate", "within the hash distance of a kept image") \
	X(24, DUPLICATE_TEXT, "duplicate_text", "same text as a kept sample") \
	X(25, EVALUATION, "evaluation", "matches an evaluation set") \
	X(26, IMAGES_GONE, "images_gone", "all images of the document were dropped") \
	X(27, NOT_DRAWN, "not_drawn", "kept, but the quota left it out") \
	X(28, NEAR_DUPLICATE_TEXT, "near_duplicate_text", "nearly the text of a kept sample") \
	X(29, REPEATED_IMAGE, "repeated_image", "the image stands in more samples, or with more texts, than the rule allows") \
	X(30, REPEATED_CAPTION, "repeated_caption", "the caption stands on more images than the rule allows") \
	X(31, NO_CONCEPT, "no_concept", "no entry of the concept list stands in the text") \
	X(32, CONCEPT_CAPPED, "concept_capped", "its concepts are frequent, and the draw left it out") \
	X(33, TOO_LONG, "too_long", "the document alone has more tokens than a packed sequence")

enum pl_reason {
#define X(v, id, name, text) PL_REASON_##id = (v),
	PL_REASONS(X)
#undef X
	PL_REASON_COUNT
};

/* "truncated", ...; "unknown" for a value outside the enum. Static storage. */
const char *pl_reason_name(unsigned reason);
const char *pl_reason_text(unsigned reason);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The document: what a sample means. An ordered list of segments, each text or
 * image, with a role and a loss flag. Every source kind reads into it; every
 * output is written from it. */
#ifndef PL_CORPUS_DOCUMENT_H
#define PL_CORPUS_DOCUMENT_H

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"
#include "libpipe/base/json.h"
#include "libpipe/base/reason.h"
#include "shards/tar_read.h"

/* Values are written to tables and manifests: append only. */
enum pl_kind { PL_KIND_AUTO, PL_KIND_PAIRS, PL_KIND_INTERLEAVED, PL_KIND_CHAT, PL_KIND_TEXT, PL_KIND_PREFERENCE,
	PL_KIND_IN_CONTEXT, PL_KIND_DOCUMENT /* of a source: plait's own, each of one of the kinds above */ };
enum { PL_KIND_COUNT = PL_KIND_DOCUMENT + 1 };
extern const char *const pl_kind_names[];   /* NULL-terminated: "auto", "pairs", ... */

enum pl_role { PL_ROLE_NONE, PL_ROLE_SYSTEM, PL_ROLE_USER, PL_ROLE_ASSISTANT, PL_ROLE_TOOL };
extern const char *const pl_role_names[];   /* "none", "system", "user", "assistant", "tool" */

/* Of a preference: what both answers share, or which of them. Other kinds have nothing but SHARED. */
enum pl_branch { PL_BRANCH_SHARED, PL_BRANCH_CHOSEN, PL_BRANCH_REJECTED };
extern const char *const pl_branch_names[];   /* "shared", "chosen", "rejected" */

/* Is a sample of this kind a conversation: about each of its images, and of no use without one of them? */
static inline bool pl_kind_converses(unsigned kind)
{
	return kind == PL_KIND_CHAT || kind == PL_KIND_PREFERENCE || kind == PL_KIND_IN_CONTEXT;
}

struct pl_segment {
	bool is_image;
	enum pl_role role;
	enum pl_branch branch;
	uint32_t turn;          /* 0-based turn of a conversation; 0 elsewhere */
	bool loss;              /* is the text trained on? */
	const char *text;       /* UTF-8, text_len bytes, NUL-terminated; NULL for an image */
	size_t text_len;
	uint32_t image;         /* index into images; images are numbered in segment order */
};

/* Where an image's bytes lie. Values are written to tables. */
enum pl_where {
	PL_WHERE_SHARD,         /* in the sample's own shard at offset */
	PL_WHERE_STORE,         /* in an image tar of the source, at offset */
	PL_WHERE_FOLDER,        /* a file of its own under the source's image folder, by name */
	PL_WHERE_EMBEDDED,      /* base64 inside the document */
	PL_WHERE_NOWHERE        /* named, but not found */
};

struct pl_doc_image {
	const char *name;       /* as the document names it; "" if it does not */
	enum pl_where where;
	const uint8_t *data;    /* bytes, when they came with the sample (SHARD, EMBEDDED); else NULL until looked up */
	size_t len;
	uint64_t offset;        /* SHARD: of the data in the uncompressed shard */
	enum pl_reason status;  /* KEEP, MISSING_IMAGE, TOO_LARGE, TRUNCATED, EMPTY, CORRUPT (base64) */
	float similarity;       /* image-text similarity the document gives; NAN = none */
	uint32_t match;         /* interleaved: which text segment it is matched with, counted from 0; PL_NO_MATCH = none */
	const float *affinity;  /* interleaved: similarity to each text segment, in order; NULL = the document does not tell */
};
#define PL_NO_MATCH UINT32_MAX

struct pl_document {
	enum pl_kind kind;
	enum pl_reason status;          /* KEEP, or why the sample cannot be used: then segments may be empty */
	struct pl_segment *segments;
	size_t nsegments;
	struct pl_doc_image *images;
	size_t nimages;
	bool image_after_text;          /* interleaved: how images were put to the sentences they are matched with */
	bool as_is;                     /* plait's own: its segments are to be written as they are */
	uint32_t related_missing;       /* in-context: examples that are named and not there, or of no use */
	json_t *meta;                   /* the sample's own JSON object, borrowed until the next read or release; NULL = none */
	/* private */
	struct pl_arena arena;
	json_t *owned, *others;
};
void pl_document_init(struct pl_document *d);
void pl_document_release(struct pl_document *d);

struct pl_read_options {
	enum pl_kind kind;              /* not AUTO */
	const char *caption_field;      /* pairs: JSON field; NULL = the .txt member, else JSON "caption" */
	const char *text_field;         /* text: JSON field; NULL = "text" */
	bool image_after_text;          /* interleaved: image behind its sentence (default: before) */
	int captions_per_image;         /* enum pl_captions_per_image: COCO's annotations */
	uint32_t shots;                 /* in-context: examples shown, at most; 0: PL_SHOTS_DEFAULT, PL_SHOTS_NONE: none */
};
/* A pair for each annotation; one for each image with its first caption; one for each image, from whose captions the template draws. */
enum pl_captions_per_image { PL_CAPTIONS_EACH, PL_CAPTIONS_FIRST, PL_CAPTIONS_DRAW };
extern const char *const pl_captions_names[];   /* "each", "first", "draw" */
#define PL_SHOTS_DEFAULT 4
#define PL_SHOTS_NONE UINT32_MAX
#define PL_SHOTS_MAX 64

/* Read one sample of a tar into d (d is cleared first). Bad content is a status in d, not an error: errors are PL_ERR_NOMEM
 * and PL_ERR_LIMIT only. Strings and image bytes point into d or into *s. Rules per kind: libpipe/corpus/README.md. */
PL_MUST_CHECK enum pl_status pl_document_read_sample(struct pl_document *d, const struct pl_read_options *o,
    const struct shard_sample *s, struct pl_err *err);
/* The same for one JSON record (a line of JSON lines, an element of a JSON array) or one line of plain text. */
PL_MUST_CHECK enum pl_status pl_document_read_record(struct pl_document *d, const struct pl_read_options *o,
    const char *record, size_t len, bool plain_text, struct pl_err *err);

/* The same for a record that may refer to others, found through related (NULL: none). */
struct pl_related;
PL_MUST_CHECK enum pl_status pl_document_read_related(struct pl_document *d, const struct pl_read_options *o,
    const char *record, size_t len, bool plain_text, struct pl_related *related, struct pl_err *err);

/* What kind is this sample / record? PL_KIND_AUTO when it cannot be told; errno is ENOMEM if that was for want of memory. */
enum pl_kind pl_detect_sample(const struct shard_sample *s);
enum pl_kind pl_detect_record(const char *record, size_t len, bool plain_text);

/* Text numbers of a document: bytes, whitespace-separated words, token estimate
 * (ASCII bytes / 4 rounded up + 0.7 per other code point, rounded up), and XXH3-64 of the text normalised:
 * segments joined by '\n', NFKC case-folded by utf8proc, white space runs to one space, trimmed. 0 bytes -> hash 0. */
struct pl_text_stats { uint64_t bytes; uint32_t words; uint32_t tokens; uint64_t hash; };
PL_MUST_CHECK enum pl_status pl_document_text_stats(const struct pl_document *d, struct pl_text_stats *out, struct pl_err *err);
/* That normalised text itself, in place of what out holds; its pl_hash64 is the hash above. PL_ERR_LIMIT past out's ceiling. */
PL_MUST_CHECK enum pl_status pl_document_normal_text(const struct pl_document *d, struct pl_buf *out, struct pl_err *err);

#endif

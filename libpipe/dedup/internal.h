/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind dedup.h share: items, nodes, text verdicts. */
#ifndef PL_DEDUP_INTERNAL_H
#define PL_DEDUP_INTERNAL_H

#include "dedup.h"
#include "star.h"

/* One shard of one corpus. Places are numbered by (source name, corpus digest, unit name), so that a
 * place's number does not depend on the order in which shards or corpora were given. */
struct pl_dedup_place { uint32_t corpus, shard; };

/* Items are compared only within what their classes allow. */
enum {
	PL_CLASS_EVAL,
	PL_CLASS_CHAT,
	PL_CLASS_FIRST /* + corpus number, or + 0 when corpora are compared with each other */
};

/* One image, or while texts are decided one text. */
struct pl_item {
	uint8_t xxh3[16];      /* image bytes; text: of the first image of a chat */
	uint64_t pdq[4];       /* text: [0] text hash, [1] is it a chat? */
	uint64_t key;          /* key hash of the sample */
	uint64_t pixels;       /* text: usable images */
	uint32_t bytes;        /* of the image, saturated */
	uint32_t text_bytes;
	uint32_t place, row, sample;   /* row in the images table; text: = sample */
	uint32_t class, node;
	uint8_t quality;
	bool by_bytes;         /* compared by bytes only */
	uint8_t pad[2];
};
_Static_assert(sizeof(struct pl_item) == 96, "README.md promises 96 bytes an item");

struct pl_items { struct pl_item *items; size_t n, cap; };

/* Equal items of one class, represented by the first in the total order. Nodes stand in priority order.
 */
struct pl_node {
	uint64_t pdq[4];
	uint64_t key;
	uint8_t xxh3[16];
	uint32_t place, row, sample, class;
	uint32_t first;        /* its first item, until items are sorted by place */
	bool by_bytes;
};

/* A sample that gave way to another with the same text. */
struct pl_text_drop {
	uint64_t survivor_key;
	uint32_t place, sample, survivor_place, survivor_sample;
	uint16_t distance;     /* of near texts: near_text.h */
	uint8_t reason;
};

/* A distinct text, while near texts are decided; nodes stand in priority order. */
struct pl_text_node {
	uint64_t key;
	uint32_t place, sample, class;
	uint32_t bytes;
};
struct pl_near_texts {
	struct pl_text_node *nodes;
	uint32_t *by_place;    /* their numbers by place, sample */
	uint32_t n;
};

struct pl_dedup {
	struct pl_corpus *const *corpora, *const *evals;
	size_t n, m;
	struct pl_dedup_options o;
	struct pl_dedup_place *places; uint32_t nplaces;
	struct pl_text_drop *texts; size_t ntexts;      /* sorted by place, sample */
	struct pl_near_texts *near_texts;               /* NULL: off, or decided */
	struct pl_items images;
	struct pl_node *nodes; uint32_t nnodes;
	uint64_t (*hashes)[4]; uint32_t *near; uint32_t nnear;   /* the nodes that join; near[i] = node */
	uint32_t *survivor; uint16_t *distance;         /* per node */
	struct pl_dedup_stats stats;
	bool resolved;
};

/* Corpus i of corpora followed by evals. */
const struct pl_corpus *pl_dedup_corpus(const struct pl_dedup *d, uint32_t i);
/* May two classes drop one another? */
bool pl_classes_related(uint32_t a, uint32_t b);
/* The total order: < 0 when a comes first. Never 0 for different items. */
int pl_item_compare(const struct pl_item *a, const struct pl_item *b);

/* The verdict of status and filter, whatever an earlier dedup said. */
enum pl_reason pl_dedup_before_sample(const struct pl_tables *t, uint64_t row);
enum pl_reason pl_dedup_before_image(const struct pl_tables *t, uint64_t row);

/* items.c: load; order by class and content, so that equal items are neighbours; order by place. */
PL_MUST_CHECK enum pl_status pl_items_load_texts(
    struct pl_dedup *d, struct pl_items *texts, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_items_load_images(struct pl_dedup *d, struct pl_err *err);
void pl_items_sort_content(struct pl_items *it);
bool pl_items_equal(const struct pl_item *a, const struct pl_item *b); /* same content and class */
bool pl_items_same_content(const struct pl_item *a, const struct pl_item *b);
void pl_items_sort_place(struct pl_items *it);
void pl_items_sort_priority(struct pl_item *items, size_t n);
/* First entry at or behind (place, row). */
size_t pl_items_lower(const struct pl_items *it, uint32_t place, uint32_t row);
size_t pl_texts_lower(const struct pl_dedup *d, uint32_t place, uint32_t sample);

/* texts.c: who of the equal texts stays. Texts stand by content, then class (evaluation first), then the total order: does
 * `first`, the first of its run, speak for `it`? */
bool pl_texts_same(const struct pl_item *first, const struct pl_item *it);
void pl_texts_sort(struct pl_dedup *d);   /* the drops, by place and sample */
PL_MUST_CHECK enum pl_status pl_dedup_texts(struct pl_dedup *d, struct pl_err *err);

/* near_text.c: number what stays of the texts (which are used up). */
PL_MUST_CHECK enum pl_status pl_near_texts_take(struct pl_dedup *d, struct pl_items *texts, struct pl_err *err);
void pl_near_texts_free(struct pl_near_texts *x);
/* First entry of by_place at or behind (place, sample). */
size_t pl_near_texts_lower(const struct pl_near_texts *x, uint32_t place, uint32_t sample);

/* dedup.c: load the images of what the texts left, and make nodes of them. */
PL_MUST_CHECK enum pl_status pl_dedup_images(struct pl_dedup *d, struct pl_err *err);

/* What became of an image item. */
struct pl_fate { enum pl_reason reason; uint32_t survivor; /* node */ uint16_t distance; };
struct pl_fate pl_dedup_fate(const struct pl_dedup *d, const struct pl_item *it);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind dedup.h share: items, nodes, text verdicts. */
#ifndef PL_DEDUP_INTERNAL_H
#define PL_DEDUP_INTERNAL_H

#include "dedup.h"
#include "link.h"
#include "parts.h"
#include "spill.h"
#include "star.h"

/* One shard of one corpus. Places are numbered by (source name, corpus digest, unit name), so that a
 * place's number does not depend on the order in which shards or corpora were given. */
struct pl_dedup_place { uint32_t corpus, shard; };

/* Items are compared only within what their classes allow. */
enum {
	PL_CLASS_EVAL,
	PL_CLASS_KNOWN,   /* kept by an earlier dedup */
	PL_CLASS_CHAT,
	PL_CLASS_FIRST /* + corpus number, or + 0 when corpora are compared with each other */
};

/* Those that only drop others. */
static inline bool pl_class_fixed(uint32_t class)
{
	return class <= PL_CLASS_KNOWN;
}

/* What became of an image item, and who stays in its place. */
struct pl_fate {
	uint64_t key;
	uint32_t place, row, sample;
	uint16_t distance;
	uint8_t reason, pad;
};

/* One image, or while texts are decided one text. */
struct pl_item {
	uint8_t xxh3[16];      /* image bytes; text: of the first image of a chat */
	union {
		uint64_t pdq[4];       /* text: [0] text hash, [1] is it a chat? */
		struct pl_fate fate;   /* once decided */
	};
	uint64_t key;          /* key hash of the sample */
	uint64_t pixels;       /* text: usable images */
	uint32_t bytes;        /* of the image, saturated */
	uint32_t text_bytes;
	uint32_t place, row, sample;   /* row in the images table; text: = sample */
	uint32_t class;
	uint32_t node;         /* its number in the job, the lower bits; on its way to another part: where the sender has it */
	uint8_t quality;
	bool by_bytes;         /* compared by bytes only */
	uint16_t node_high;
};
_Static_assert(sizeof(struct pl_item) == 96, "README.md promises 96 bytes an item");

struct pl_items { struct pl_item *items; size_t n, cap; };

static inline uint64_t pl_item_node(const struct pl_item *it)
{
	return (uint64_t)it->node_high << 32 | it->node;
}
static inline void pl_item_set_node(struct pl_item *it, uint64_t node)
{
	it->node = (uint32_t)node;
	it->node_high = (uint16_t)(node >> 32);
}

/* What is known of a node where it is held: the first, in the total order, of the equal items of one class. */
struct pl_node {
	uint64_t key;
	uint8_t xxh3[16];
	uint32_t place, row, sample, class;
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
	uint32_t *bases, *numbers;                      /* shard k of corpus c is place numbers[bases[c] + k] */
	struct pl_text_drop *texts; size_t ntexts;      /* sorted by place, sample */
	struct pl_near_texts *near_texts;               /* NULL: off, or decided */
	struct pl_parts parts;
	uint32_t *owner;                                /* of each place: the part that reads its tables and writes its verdicts */
	struct pl_items images;                         /* of the places of this part */
	/* Nodes are numbered 0..nnodes-1: those that join by their hashes first, each kind in the total order. Part p holds
	 * starts[p]..starts[p + 1]-1. */
	uint64_t *starts, nnodes, nnear;
	uint64_t nfixed;                                /* the first of those that join: they only drop others */
	struct pl_node *nodes;                          /* held here */
	bool partitioned;                               /* which plan: hashes stay where their nodes are held */
	struct pl_share hashes;                         /* on every node of the job: nnear hashes, then nnear classes */
	struct pl_spill own; uint32_t *own_classes; uint32_t nown;   /* or of the nodes held here, permuted; NULL: one class */
	bool classes;                                   /* more than one class: not all nodes may drop one another */
	struct pl_spill found, pairs;                   /* pairs found here; pairs of the nodes held here */
	struct pl_join_plan *plan;                      /* or */
	struct pl_partition *partition;
	struct pl_buf out;                              /* pairs of the unit under way */
	struct pl_share states;
	uint64_t *survivor; uint16_t *distance;         /* of the nodes held here; PL_NODE_NONE: it stays */
	uint64_t held_peak;                             /* bytes, by our own account */
	struct pl_dedup_stats stats;
	bool loaded, resolved;
};

uint32_t pl_dedup_place_of(const struct pl_dedup *d, size_t corpus, size_t shard);
/* Corpus i of corpora followed by evals. */
const struct pl_corpus *pl_dedup_corpus(const struct pl_dedup *d, uint32_t i);
/* May two classes drop one another? */
bool pl_classes_related(uint32_t a, uint32_t b);
/* The total order: < 0 when a comes first. Never 0 for different items. */
int pl_item_compare(const struct pl_item *a, const struct pl_item *b);

/* The verdict of status and filter, whatever an earlier dedup said. */
enum pl_reason pl_dedup_before_sample(const struct pl_tables *t, uint64_t row);
enum pl_reason pl_dedup_before_image(const struct pl_tables *t, uint64_t row);

/* The hash list that corpus i stands for; NULL = a corpus. Is it one that an earlier dedup decided? */
const struct pl_hashlist *pl_dedup_list(const struct pl_dedup *d, uint32_t i);
bool pl_dedup_known(const struct pl_dedup *d, uint32_t i);
uint32_t pl_dedup_class(const struct pl_dedup *d, uint32_t corpus, bool chat);

/* Reading the samples of one place that status, filter and text left: the tables are those under way. */
struct pl_loader {
	struct pl_dedup *d;
	struct pl_items *into;
	struct pl_tables t;
	uint32_t place, corpus;
};
typedef enum pl_status pl_load_fn(const struct pl_loader *l, uint32_t row, struct pl_err *err);
/* Call fn for those of all places of this part; lists: for hash lists, too, by their lines. */
PL_MUST_CHECK enum pl_status pl_items_load(
    struct pl_dedup *d, struct pl_items *into, pl_load_fn *fn, bool lists, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_items_add(struct pl_items *it, const struct pl_item *item, struct pl_err *err);
/* Is the row out before dedup: by status, filter, and of a known corpus by its own dedup? */
bool pl_loader_image_out(const struct pl_loader *l, uint64_t row);

/* items.c: order by content and class, so that equal items are neighbours; order by place. Collective: load; texts
 * are those that this part decides: all when near texts are wanted, else those of equal content on one part. */
PL_MUST_CHECK enum pl_status pl_items_load_texts(
    struct pl_dedup *d, struct pl_items *texts, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_items_load_images(struct pl_dedup *d, struct pl_err *err);
/* Which part decides what this item's content is equal to. */
uint32_t pl_item_judge(const struct pl_item *it, uint32_t parts);
bool pl_items_equal(const struct pl_item *a, const struct pl_item *b); /* same content and class */
bool pl_items_same_content(const struct pl_item *a, const struct pl_item *b);
/* A stop signal can come in between. */
PL_MUST_CHECK enum pl_status pl_dedup_sort_content(struct pl_dedup *d, struct pl_items *it, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_dedup_sort_place(struct pl_dedup *d, struct pl_items *it, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_dedup_sort_priority(struct pl_dedup *d, struct pl_items *it, struct pl_err *err);
/* First entry at or behind (place, row). */
size_t pl_items_lower(const struct pl_items *it, uint32_t place, uint32_t row);
size_t pl_texts_lower(const struct pl_dedup *d, uint32_t place, uint32_t sample);

/* texts.c: who of the equal texts stays. Texts stand by content, then class (evaluation first), then the total order: does
 * `first`, the first of its run, speak for `it`? */
bool pl_texts_same(const struct pl_item *first, const struct pl_item *it);
/* The drops, by place and sample. */
PL_MUST_CHECK enum pl_status pl_texts_sort(struct pl_dedup *d, struct pl_err *err);
PL_MUST_CHECK enum pl_status pl_dedup_texts(struct pl_dedup *d, struct pl_err *err);

/* near_text.c: number what stays of the texts (which are used up). */
PL_MUST_CHECK enum pl_status pl_near_texts_take(struct pl_dedup *d, struct pl_items *texts, struct pl_err *err);
void pl_near_texts_free(struct pl_near_texts *x);
/* First entry of by_place at or behind (place, sample). */
size_t pl_near_texts_lower(const struct pl_near_texts *x, uint32_t place, uint32_t sample);

/* texts were decided each on one part: bring the drops to the owners of their places. Collective. */
PL_MUST_CHECK enum pl_status pl_texts_deal(struct pl_dedup *d, struct pl_err *err);
/* Does every part decide all texts? */
static inline bool pl_texts_everywhere(const struct pl_dedup *d)
{
	return d->o.near_text.on || d->parts.parts == 1;
}

/* nodes.c. Collective: number the nodes, tell the items theirs, bring the hashes to all, note pairs of equal bytes. */
PL_MUST_CHECK enum pl_status pl_nodes_make(struct pl_dedup *d, struct pl_err *err);
/* The part that holds a node. */
uint32_t pl_node_holder(const struct pl_dedup *d, uint64_t node);
static inline uint64_t pl_nodes_first(const struct pl_dedup *d)
{
	return d->starts[d->parts.part];
}
static inline uint32_t pl_nodes_held(const struct pl_dedup *d)
{
	return (uint32_t)(d->starts[d->parts.part + 1] - d->starts[d->parts.part]);
}
static inline uint64_t (*pl_hashes(const struct pl_dedup *d))[4]
{
	return (uint64_t (*)[4])d->hashes.data;
}
static inline uint32_t *pl_hash_classes(const struct pl_dedup *d)
{
	return (uint32_t *)(void *)((uint8_t *)d->hashes.data + (size_t)d->nnear * 32);
}
/* The hash of node pl_nodes_first(d) + i, of those that join. */
static inline const uint64_t *pl_own_hash(const struct pl_dedup *d, uint32_t i)
{
	return d->partitioned ? ((uint64_t (*)[4])(void *)d->own.data)[i] : pl_hashes(d)[pl_nodes_first(d) + i];
}
/* Take note of what is held besides what is always there. */
void pl_dedup_account(struct pl_dedup *d, uint64_t more);
/* Bytes held by items, nodes, pairs. */
uint64_t pl_dedup_held(const struct pl_dedup *d);

/* survivors.c. Collective: from pairs to survivor and distance of the nodes held here. */
PL_MUST_CHECK enum pl_status pl_dedup_survivors(struct pl_dedup *d, struct pl_err *err);
/* fates.c. Collective: from there to the fates of the items. */
PL_MUST_CHECK enum pl_status pl_dedup_fates(struct pl_dedup *d, struct pl_err *err);

#endif

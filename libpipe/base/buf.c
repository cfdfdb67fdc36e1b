/* SPDX-License-Identifier: Apache-2.0 */
/* Growable buffer and arena. Both know their ceiling before the first byte
 * arrives, so no input can make them grow without bound. */
#include "buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_DEFAULT_MAX ((size_t)1 << 30)
#define BUF_FIRST_CAP 256u

#define ARENA_DEFAULT_MAX ((size_t)256 << 20)
#define ARENA_ALIGN 16u
#define ARENA_FIRST_BLOCK ((size_t)16 << 10)
#define ARENA_LARGEST_BLOCK ((size_t)1 << 20)

void pl_buf_init(struct pl_buf *b, size_t max)
{
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
	b->max = max != 0 ? max : BUF_DEFAULT_MAX;
	if (b->max > SIZE_MAX / 2)
		b->max = SIZE_MAX / 2;   /* leaves room for doubling and for the NUL */
}

void pl_buf_release(struct pl_buf *b)
{
	free(b->data);
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
}

void pl_buf_clear(struct pl_buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

enum pl_status pl_buf_reserve(struct pl_buf *b, size_t extra, struct pl_err *err)
{
	size_t need, cap;
	uint8_t *data;

	if (b->max == 0)   /* a zeroed struct */
		pl_buf_init(b, 0);
	if (extra > b->max || b->len > b->max - extra)
		return pl_fail(err, PL_ERR_LIMIT, PL_SEV_ITEM, NULL,
		    "more than %zu bytes, the ceiling of this buffer", b->max);
	need = b->len + extra + 1;
	if (need <= b->cap)
		return PL_OK;
	cap = b->cap != 0 ? b->cap : BUF_FIRST_CAP;
	while (cap < need)
		cap *= 2;
	if (cap > b->max + 1)
		cap = b->max + 1;
	data = realloc(b->data, cap);
	if (data == NULL)
		return pl_fail_nomem(err);
	data[b->len] = '\0';
	b->data = data;
	b->cap = cap;
	return PL_OK;
}

enum pl_status pl_buf_add(struct pl_buf *b, const void *src, size_t len, struct pl_err *err)
{
	enum pl_status st = pl_buf_reserve(b, len, err);

	if (st != PL_OK)
		return st;
	if (len > 0)
		memcpy(b->data + b->len, src, len);
	b->len += len;
	b->data[b->len] = '\0';
	return PL_OK;
}

enum pl_status pl_buf_adds(struct pl_buf *b, const char *s, struct pl_err *err)
{
	return pl_buf_add(b, s, strlen(s), err);
}

enum pl_status pl_buf_addf(struct pl_buf *b, struct pl_err *err, const char *fmt, ...)
{
	enum pl_status st;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return pl_fail(err, PL_ERR_INVALID, PL_SEV_ITEM, NULL, "text cannot be formatted");
	st = pl_buf_reserve(b, (size_t)n, err);
	if (st != PL_OK)
		return st;
	va_start(ap, fmt);
	vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	b->len += (size_t)n;
	return PL_OK;
}

char *pl_buf_detach(struct pl_buf *b, size_t *len)
{
	char *bytes = (char *)b->data;

	if (bytes == NULL)
		bytes = calloc(1, 1);
	if (len != NULL)
		*len = b->len;
	b->data = NULL;
	b->len = 0;
	b->cap = 0;
	return bytes;
}

struct pl_arena_block {
	struct pl_arena_block *next;
	size_t cap, used;
	_Alignas(ARENA_ALIGN) unsigned char data[];
};

void pl_arena_init(struct pl_arena *a, size_t max)
{
	a->head = NULL;
	a->used = 0;
	a->max = max != 0 ? max : ARENA_DEFAULT_MAX;
}

void pl_arena_release(struct pl_arena *a)
{
	struct pl_arena_block *b, *next;

	for (b = a->head; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	a->head = NULL;
	a->used = 0;
}

void pl_arena_clear(struct pl_arena *a)
{
	struct pl_arena_block *keep = a->head;

	/* One huge sample must not pin its memory for the rest of the run. */
	if (keep == NULL || keep->cap > ARENA_LARGEST_BLOCK) {
		pl_arena_release(a);
		return;
	}
	a->head = keep->next;
	pl_arena_release(a);
	keep->next = NULL;
	keep->used = 0;
	a->head = keep;
}

/* A block with room for size bytes: the head grows with use; a request larger
 * than any ordinary block gets its own, behind the head, whose room stays usable. */
static struct pl_arena_block *arena_grow(struct pl_arena *a, size_t size)
{
	struct pl_arena_block *b;
	size_t cap = ARENA_FIRST_BLOCK;

	if (a->head != NULL)
		cap =
		    a->head->cap < ARENA_LARGEST_BLOCK / 2 ? a->head->cap * 2 : ARENA_LARGEST_BLOCK;
	if (cap < size)
		cap = size;
	b = malloc(sizeof(*b) + cap);
	if (b == NULL)
		return NULL;
	b->cap = cap;
	b->used = 0;
	if (a->head != NULL && size > ARENA_LARGEST_BLOCK) {
		b->next = a->head->next;
		a->head->next = b;
	} else {
		b->next = a->head;
		a->head = b;
	}
	return b;
}

void *pl_arena_alloc(struct pl_arena *a, size_t size)
{
	struct pl_arena_block *b = a->head;
	unsigned char *p;

	if (a->max == 0)   /* a zeroed struct */
		a->max = ARENA_DEFAULT_MAX;
	if (size == 0)
		size = 1;
	if (a->used > a->max || size > a->max - a->used || size > SIZE_MAX / 4)
		return NULL;
	size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
	if (b == NULL || b->cap - b->used < size)
		b = arena_grow(a, size);
	if (b == NULL)
		return NULL;
	p = b->data + b->used;
	b->used += size;
	a->used += size;
	memset(p, 0, size);
	return p;
}

char *pl_arena_strndup(struct pl_arena *a, const char *s, size_t len)
{
	char *copy;

	if (len == SIZE_MAX)
		return NULL;
	copy = pl_arena_alloc(a, len + 1);
	if (copy == NULL)
		return NULL;
	if (len > 0)
		memcpy(copy, s, len);
	return copy;
}

char *pl_arena_printf(struct pl_arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = pl_arena_alloc(a, (size_t)n + 1);
	if (s == NULL)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

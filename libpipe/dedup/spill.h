/* SPDX-License-Identifier: Apache-2.0 */
/* Records that are written one after the other and then worked on: in memory up
 * to a ceiling, past it in a file of the scratch directory that has no name, so
 * that nothing stays of it however the process ends. */
#ifndef PL_DEDUP_SPILL_H
#define PL_DEDUP_SPILL_H

#include "libpipe/base/buf.h"

struct pl_spill {
	struct pl_buf memory;     /* what is not in the file */
	uint64_t ceiling, filed;  /* bytes: of memory; in the file */
	const char *dir;          /* NULL = no file; borrowed */
	int fd;                   /* -1 = no file yet */
	uint8_t *data; uint64_t len;   /* after pl_spill_seal: all bytes, writable */
};

void pl_spill_init(struct pl_spill *s, uint64_t ceiling, const char *dir);
/* PL_ERR_LIMIT past the ceiling without a directory. */
PL_MUST_CHECK enum pl_status pl_spill_add(struct pl_spill *s, const void *data, size_t len, struct pl_err *err);
/* Nothing is added after; data and len are set. */
PL_MUST_CHECK enum pl_status pl_spill_seal(struct pl_spill *s, struct pl_err *err);
/* After pl_spill_seal, between two looks at data: let go of the file's pages. They come back as they are looked at again; without
 * this, a process that walks through a file holds all of it. */
void pl_spill_rest(const struct pl_spill *s);
void pl_spill_release(struct pl_spill *s);   /* works twice */

#endif

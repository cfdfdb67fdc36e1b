/* SPDX-License-Identifier: Apache-2.0 */
/* What reading a shard whole and reading it in stretches share. */
#ifndef PL_CORPUS_INGEST_PARTS_H
#define PL_CORPUS_INGEST_PARTS_H

#include "ingest.h"

/* The file's part of the facts: path, unit, size, time. */
PL_MUST_CHECK enum pl_status pl_ingest_facts(struct pl_shard_facts *f, const char *path, const struct pl_stretch *stretch, struct pl_err *err);
/* Verdicts are about rows: those of tables that are about to be replaced go. */
void pl_ingest_remove_verdicts(const char *dir, const char *unit);

#endif

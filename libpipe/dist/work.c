/* SPDX-License-Identifier: Apache-2.0 */
/* Who works on what: noted on rank 0 as tickets pass by, and on every rank for
 * itself. No message is sent for it. */
#include "job_internal.h"

#include <string.h>

#include "libpipe/base/progress.h"

/* Where rank r is noted here; NULL: it is not. */
static struct pl_rank_work *work_of(const struct pl_job *job, int rank)
{
	if (job->work == NULL || (job->rank != 0 && rank != job->rank))
		return NULL;
	return &job->work[job->rank == 0 ? rank : 0];
}

const struct pl_rank_work *pl_job_work(const struct pl_job *job, int rank)
{
	return work_of(job, rank);
}

void pl_work_begin(struct pl_job *job, int rank, uint64_t unit, const char *name, size_t len)
{
	struct pl_rank_work *w = work_of(job, rank);
	const size_t room = sizeof(w->name) - 1;

	if (w == NULL)
		return;
	w->busy = true;
	w->unit = unit;
	w->since = pl_now();
	/* The end of a path tells more than its beginning. */
	if (name != NULL && len > room) {
		name += len - room;
		len = room;
	}
	if (name != NULL)
		memcpy(w->name, name, len);
	w->name[name != NULL ? len : 0] = '\0';
}

void pl_work_end(struct pl_job *job, int rank)
{
	struct pl_rank_work *w = work_of(job, rank);

	if (w == NULL || !w->busy)
		return;
	w->busy = false;
	w->units++;
	w->worked += pl_now() - w->since;
}

void pl_work_count(struct pl_job *job, int rank, uint64_t samples, uint64_t bytes)
{
	struct pl_rank_work *w = work_of(job, rank);

	if (w == NULL)
		return;
	w->samples += samples;
	w->bytes += bytes;
}

void pl_work_reset(struct pl_job *job)
{
	if (job->work != NULL)
		memset(job->work, 0, (job->rank == 0 ? (size_t)job->size : 1) * sizeof(*job->work));
}

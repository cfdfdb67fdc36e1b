/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from every rank to every rank. Ranks meet in pairs, one distance after
 * the other: rank r sends to r + step and receives from r - step, so that no
 * rank is sent to by all at once. */
#include "exchange.h"

#include "job_internal.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK ((uint64_t)1 << 30)

static uint64_t chunks(uint64_t len, uint64_t chunk)
{
	return len / chunk + (len % chunk != 0);
}

/* Message number i of a transfer of len bytes. */
static int chunk_size(uint64_t len, uint64_t chunk, uint64_t i)
{
	uint64_t left = i * chunk < len ? len - i * chunk : 0;

	return (int)(left < chunk ? left : chunk);
}

/* Both sides know both lengths, so they agree on how many messages there are; a direction that has ended goes on with nobody. */
static void swap_bytes(struct pl_job *job, int dest, const struct pl_buf *out, int source, uint8_t *in, uint64_t in_len,
    uint64_t chunk)
{
	uint64_t sends = chunks(out->len, chunk), receives = chunks(in_len, chunk);

	for (uint64_t i = 0; i < sends || i < receives; i++)
		MPI_Sendrecv(i < sends ? out->data + i * chunk : NULL, chunk_size(out->len, chunk, i), MPI_BYTE,
		    i < sends ? dest : MPI_PROC_NULL, PL_TAG_BYTES, i < receives ? in + i * chunk : NULL,
		    chunk_size(in_len, chunk, i), MPI_BYTE, i < receives ? source : MPI_PROC_NULL, PL_TAG_BYTES, job->comm,
		    MPI_STATUS_IGNORE);
}

enum pl_status pl_job_exchange_chunks(struct pl_job *job, const struct pl_buf *to, struct pl_buf *from, uint64_t **lengths,
    uint64_t chunk, struct pl_err *err)
{
	size_t size = (size_t)job->size, rank = (size_t)job->rank;
	uint64_t *in = calloc(size, sizeof(*in)), *out = calloc(size, sizeof(*out)), *at = calloc(size, sizeof(*at)), total = 0;
	enum pl_status st = in == NULL || out == NULL || at == NULL ? pl_fail_nomem(err) : PL_OK;

	if ((st = pl_job_agree(job, st, err)) != PL_OK || in == NULL || out == NULL || at == NULL)
		goto done;
	for (size_t r = 0; r < size; r++)
		out[r] = to[r].len;
	if (job->mpi)
		MPI_Alltoall(out, 1, MPI_UINT64_T, in, 1, MPI_UINT64_T, job->comm);
	else
		in[0] = out[0];
	for (size_t r = 0; r < size; r++) {
		at[r] = total;
		total += in[r];
	}
	pl_buf_clear(from);
	if ((st = pl_job_agree(job, pl_buf_reserve(from, total, err), err)) != PL_OK)
		goto done;
	if (in[rank] > 0)
		memcpy(from->data + at[rank], to[rank].data, in[rank]);
	for (size_t step = 1; step < size; step++) {
		size_t dest = (rank + step) % size, source = (rank + size - step) % size;
		swap_bytes(job, (int)dest, &to[dest], (int)source, in[source] > 0 ? from->data + at[source] : NULL, in[source], chunk);
	}
	from->len = total;
	if (lengths != NULL) {
		*lengths = in;
		in = NULL;
	}
done:
	free(in);
	free(out);
	free(at);
	return st;
}

enum pl_status pl_job_exchange(struct pl_job *job, const struct pl_buf *to, struct pl_buf *from, uint64_t **lengths,
    struct pl_err *err)
{
	return pl_job_exchange_chunks(job, to, from, lengths, CHUNK, err);
}

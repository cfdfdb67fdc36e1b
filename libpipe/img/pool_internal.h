/* SPDX-License-Identifier: Apache-2.0 */
/* What the parent, the nursery and the workers of the codec pool share: the
 * layout of the shared mapping and the messages of the control socket.
 *
 * The mapping: control block, slot headers, then per slot [input][guard page][output].
 * Job n (counted from 0 over the pool's life) lives in slot n % slots; results are collected in
 * order, so the slots are a ring. A worker claims a job by one compare-and-swap that leaves its
 * spawn number in the slot's state word: whoever dies, the parent knows which job died with it.
 *
 * Trust: once foreign bytes have been decoded, everything in the mapping may be hostile. The
 * parent reads nothing there but state words and replies, copies a reply before it looks at it,
 * and keeps its own books. Replies hold numbers only, no bool or enum to be forged. */
#ifndef PL_IMG_POOL_INTERNAL_H
#define PL_IMG_POOL_INTERNAL_H

#include <stdatomic.h>
#include <sys/types.h>

#include "pool.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PL_POOL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)                            \
    || __has_feature(memory_sanitizer)
#define PL_POOL_SANITIZED 1
#endif
#endif
#ifndef PL_POOL_SANITIZED
#define PL_POOL_SANITIZED 0
#endif

/* Memory a slot's area or a worker's heap may keep between jobs; what is above goes back. */
#define PL_POOL_KEEP_AREA ((size_t)1 << 20)
#define PL_POOL_KEEP_HEAP ((size_t)16 << 20)

/* A worker retires after an hour of CPU, far below its RLIMIT_CPU of four, so that what a codec
 * leaks is bounded. */
#define PL_POOL_RETIRE_CPU_S 3600
#define PL_POOL_MAX_CPU_S (4 * 3600)

/* The descriptors of nursery and workers, always at the same numbers. */
enum { PL_POOL_FD_EVENT = 3, PL_POOL_FD_CONTROL = 4, PL_POOL_FD_SIGNAL = 5 };

/* Exit codes of a worker. */
enum { PL_POOL_EXIT_RETIRED = 10, PL_POOL_EXIT_SETUP = 11, PL_POOL_EXIT_NO_MEMORY = 12 };

/* A state word: owner's spawn number << 32 | job number (30 bits) << 2 | phase. */
enum pl_pool_phase { PL_POOL_FREE, PL_POOL_QUEUED, PL_POOL_RUNNING, PL_POOL_DONE };

static inline uint64_t pl_pool_state(uint32_t owner, uint64_t job, enum pl_pool_phase phase)
{
	return (uint64_t)owner << 32 | (job & 0x3FFFFFFFu) << 2 | (uint64_t)phase;
}

struct pl_pool_request {
	uint64_t len;                /* the input is the last len bytes of the input area */
	enum pl_pool_op op;
	enum pl_hash_recipe hash;
	bool dihedral;
	struct pl_resize resize;
};

struct pl_pool_reply {
	uint64_t len;                /* bytes in the output area */
	uint32_t reason;
	uint32_t format, width, height, passthrough;   /* TRANSFORM: of the output */
	uint32_t columns, rows, tile_w, tile_h;        /* TRANSFORM: of its tiles; their bytes lie behind its own */
	uint64_t tile_len[PL_TILES_MAX];
	uint32_t has_info; /* set as soon as the fields below are, so that a crash leaves them */
	uint32_t in_format, in_width, in_height;
	uint32_t in_frames;
	uint8_t orientation, channels, depth, progressive, alpha, animated, subsampled_420;
	uint8_t foreign_profile;
	uint8_t quality;
	uint8_t blank, jpeg_quality;
	uint8_t xxh3[16];
	uint8_t pdq[PL_PDQ_BYTES];
	struct pl_pdq dihedral[PL_DIHEDRAL_COUNT]; /* bytes only; zeros unless asked for */
	float mean, contrast, entropy, edges, blur; /* SCAN: struct pl_img_stats */
};

struct pl_pool_slot {
	_Alignas(64) _Atomic uint64_t state;
	struct pl_pool_request request;
	struct pl_pool_reply reply;
};

/* What a worker says of itself before its first job. Seats are a mapping of their own, which a
 * worker drops as soon as it has spoken, so that nobody can speak for it later. */
struct pl_pool_seat {
	_Atomic uint64_t
	    ready; /* spawn number << 1 | seccomp on, once the sandbox stands; 0 before */
	_Atomic uint64_t
	    refused; /* errno << 8 | enum pl_pool_fault, when the sandbox could not be set up */
};

struct pl_pool_control {
	_Alignas(64) _Atomic uint64_t head, tail;    /* jobs head..tail-1 are in the ring */
	_Alignas(64) _Atomic uint32_t bell;          /* futex: changes whenever there is work */
	/* Workers that sleep for the bell. One that is killed asleep stays counted, and a hostile
	 * one writes what it likes: too many costs system calls, too few the wait for a tick. */
	_Alignas(64) _Atomic uint32_t sleepers;
	_Alignas(64) _Atomic uint64_t
	    waiting; /* 1 + the job the parent sleeps for; 0 = it does not sleep */
};

/* Runs one job inside a worker. in and out point into the slot. */
typedef void (*pl_pool_work_fn)(const struct pl_pool_request *rq, const uint8_t *in,
    struct pl_pool_reply *reply, uint8_t *out, size_t out_cap, const struct pl_img_limits *limits);

/* The mapping and the settings, fixed before the first fork; each process has its copy. */
struct pl_pool_shared {
	uint8_t *base;
	size_t size;
	struct pl_pool_control *control;
	struct pl_pool_seat *seats;
	size_t seats_size;
	struct pl_pool_slot *slots;
	size_t nslots;
	uint32_t workers;
	size_t areas;                /* offset of the first slot's input area */
	size_t stride, in_cap, out_cap, out_offset;
	struct pl_img_limits limits;
	enum pl_sandbox sandbox;
	pl_pool_work_fn work;
	pid_t parent;
	int event_fd,
	    control_fd; /* as the parent made them; valid until the nursery has moved them */
};

static inline uint8_t *pl_pool_in(const struct pl_pool_shared *sh, size_t slot)
{
	return sh->base + sh->areas + slot * sh->stride;
}

static inline uint8_t *pl_pool_out(const struct pl_pool_shared *sh, size_t slot)
{
	return pl_pool_in(sh, slot) + sh->out_offset;
}

/* Nursery to parent, one SOCK_SEQPACKET message each. DIED comes before SPAWNED for the same seat.
 */
enum pl_pool_event { PL_POOL_SPAWNED, PL_POOL_DIED, PL_POOL_BROKEN };
enum pl_pool_fault {
	PL_POOL_FAULT_FORK,
	PL_POOL_FAULT_SETUP,
	PL_POOL_FAULT_SECCOMP,
	PL_POOL_FAULT_EARLY_DEATHS
};
struct pl_pool_message {
	enum pl_pool_event event;
	uint32_t seat, spawn;
	int32_t pid, status;         /* status: DIED: of waitpid; BROKEN: errno */
	enum pl_pool_fault fault;    /* BROKEN */
};
/* Parent to nursery: kill the worker of that spawn number (no effect when it is gone). */
struct pl_pool_kill { uint32_t spawn; };

/* The nursery's life; the caller has just forked. Returns the exit status for _exit. */
int pl_pool_nursery(struct pl_pool_shared *sh);

/* Sandbox, in this order: prepare in the nursery, enter in each worker. */
struct pl_pool_jail {
	void *filter;                /* scmp_filter_ctx, or NULL where there is none */
	int filter_errno;            /* why filter is NULL though it was wanted */
	uint64_t address_space;      /* bytes the process has mapped before any job */
};
void pl_pool_jail_prepare(struct pl_pool_jail *jail, const struct pl_pool_shared *sh);
/* rlimits, no new privileges, seccomp. *seccomp: is the filter on? 0, or -1 with errno set and
 * *fault telling what refused. */
int pl_pool_jail_enter(const struct pl_pool_jail *jail, const struct pl_pool_shared *sh,
    bool *seccomp, enum pl_pool_fault *fault);

/* The codecs' work on one job, and a first use of them on our own pixels, which makes libraries
 * read what they want to know of the machine before the filter forbids it. */
void pl_pool_work(const struct pl_pool_request *rq, const uint8_t *in, struct pl_pool_reply *reply,
    uint8_t *out, size_t out_cap, const struct pl_img_limits *limits);
void pl_pool_warm_up(void);

/* For tests: a pool whose workers run work instead of pl_pool_work, and the pids of nursery and
 * workers (0 while a seat is empty; seat -1 is the nursery). */
PL_MUST_CHECK enum pl_status pl_pool_new_with(struct pl_pool **pool,
    const struct pl_pool_config *config, pl_pool_work_fn work, struct pl_err *err);
pid_t pl_pool_worker_pid(struct pl_pool *pool, int seat);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Status and error type of the whole house. A function that can fail returns
 * an enum pl_status; the details go to the caller's struct pl_err, which is
 * untouched on success. Libraries never print, exit or abort. */
#ifndef PL_BASE_ERR_H
#define PL_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PL_MUST_CHECK __attribute__((warn_unused_result))
#define PL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define PL_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

enum pl_status {
	PL_OK = 0,
	PL_END,             /* an iteration is over; not an error, pl_err untouched */
	PL_ERR_INVALID,     /* the data does not follow its format */
	PL_ERR_TRUNCATED,   /* the data ends too early */
	PL_ERR_UNSUPPORTED, /* well-formed, but not something plait handles */
	PL_ERR_LIMIT,       /* a ceiling (bytes, pixels, time, depth) was passed */
	PL_ERR_NOMEM,
	PL_ERR_IO,          /* the system said no; sys_errno tells */
	PL_ERR_NOTFOUND,
	PL_ERR_CONFLICT,    /* the output belongs to other inputs or settings, or is locked */
	PL_ERR_USAGE,       /* the user's command line or recipe is wrong */
	PL_ERR_STOPPED,     /* a stop signal came; resumable */
	PL_ERR_REJECTS      /* --max-reject was passed */
};

/* How far an error reaches: skip the sample, give up the shard, stop the job. */
enum pl_severity { PL_SEV_ITEM, PL_SEV_SHARD, PL_SEV_JOB };

struct pl_err {
	enum pl_status status;
	enum pl_severity severity;
	int sys_errno;      /* 0 if no system call was at fault */
	bool has_offset;
	uint64_t offset;    /* byte offset in path, when has_offset */
	uint32_t line;      /* 1-based line in path, 0 = none */
	char path[1024];    /* "" = none; cut at the front when longer */
	char text[768];     /* what is wrong and what would be right */
};

/* pl_fail(err, status, severity, path, fmt, ...): fill *err (may be NULL) and
 * return status. path may be NULL. sys_errno is set to 0. */
enum pl_status pl_fail(struct pl_err *err, enum pl_status status, enum pl_severity severity,
    const char *path, const char *fmt, ...) PL_PRINTF(5, 6);

/* As pl_fail with PL_ERR_IO (PL_ERR_NOMEM for ENOMEM, PL_ERR_NOTFOUND for
 * ENOENT); keeps errno in sys_errno and appends its text. */
enum pl_status pl_fail_errno(struct pl_err *err, enum pl_severity severity, const char *path,
    const char *fmt, ...) PL_PRINTF(4, 5);

/* Out of memory at job severity; returns PL_ERR_NOMEM. */
enum pl_status pl_fail_nomem(struct pl_err *err);

/* Add a place to an error already made. */
void pl_err_at_offset(struct pl_err *err, uint64_t offset);
void pl_err_at_line(struct pl_err *err, const char *path, uint32_t line);

/* Write "'path':line: text" (as much as is known) into dst[size]; returns dst. */
const char *pl_err_format(const struct pl_err *err, char *dst, size_t size);

/* The process exit code of STYLE: 0 done, 1 rejects, 2 usage, 3 failed, 75 stopped. */
int pl_exit_code(enum pl_status status);

const char *pl_status_name(enum pl_status status);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Filling and printing struct pl_err. Text is formatted before the struct is
 * touched, so that arguments may point into the error being replaced. */
#include "err.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Keep the end of a long path: the file name tells more than the mount point. */
static void set_path(struct pl_err *err, const char *path)
{
	static const char dots[] = "...";
	size_t len, room = sizeof(err->path) - 1;

	if (path == NULL) {
		err->path[0] = '\0';
		return;
	}
	len = strlen(path);
	if (len <= room) {
		memmove(err->path, path, len + 1);
		return;
	}
	room -= sizeof(dots) - 1;
	memmove(err->path + sizeof(dots) - 1, path + len - room, room + 1);
	memcpy(err->path, dots, sizeof(dots) - 1);
}

static void fill(struct pl_err *err, enum pl_status status, enum pl_severity severity,
    const char *path, const char *text)
{
	err->status = status;
	err->severity = severity;
	err->sys_errno = 0;
	err->has_offset = false;
	err->offset = 0;
	err->line = 0;
	set_path(err, path);
	snprintf(err->text, sizeof(err->text), "%s", text);
}

enum pl_status pl_fail(struct pl_err *err, enum pl_status status, enum pl_severity severity,
    const char *path, const char *fmt, ...)
{
	char text[sizeof(((struct pl_err *)0)->text)];
	va_list ap;

	if (err == NULL)
		return status;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fill(err, status, severity, path, text);
	return status;
}

enum pl_status pl_fail_errno(struct pl_err *err, enum pl_severity severity, const char *path,
    const char *fmt, ...)
{
	int code = errno;
	enum pl_status status = PL_ERR_IO;
	char text[sizeof(((struct pl_err *)0)->text)], why[128];
	const char *reason;
	size_t len, need;
	va_list ap;

	if (code == ENOMEM)
		status = PL_ERR_NOMEM;
	else if (code == ENOENT)
		status = PL_ERR_NOTFOUND;
	if (err == NULL)
		return status;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reason = strerror_r(code, why, sizeof(why));
	/* The reason is never what gets cut. */
	need = strlen(reason) + 3;
	len = strlen(text);
	if (len + need > sizeof(text))
		len = sizeof(text) - need;
	snprintf(text + len, sizeof(text) - len, ": %s", reason);
	fill(err, status, severity, path, text);
	err->sys_errno = code;
	errno = code;
	return status;
}

enum pl_status pl_fail_nomem(struct pl_err *err)
{
	return pl_fail(err, PL_ERR_NOMEM, PL_SEV_JOB, NULL, "out of memory");
}

void pl_err_at_offset(struct pl_err *err, uint64_t offset)
{
	if (err == NULL)
		return;
	err->has_offset = true;
	err->offset = offset;
}

void pl_err_at_line(struct pl_err *err, const char *path, uint32_t line)
{
	if (err == NULL)
		return;
	if (path != NULL)
		set_path(err, path);
	err->line = line;
}

const char *pl_err_format(const struct pl_err *err, char *dst, size_t size)
{
	char place[64] = "";

	if (size == 0)
		return dst;
	if (err->line != 0)
		snprintf(place, sizeof(place), "%s%" PRIu32, err->path[0] != '\0' ? ":" : "line ",
		    err->line);
	else if (err->has_offset)
		snprintf(place, sizeof(place), "%sbyte %" PRIu64,
		    err->path[0] != '\0' ? " at " : "", err->offset);
	if (err->path[0] != '\0')
		snprintf(dst, size, "'%s'%s: %s", err->path, place, err->text);
	else if (place[0] != '\0')
		snprintf(dst, size, "%s: %s", place, err->text);
	else
		snprintf(dst, size, "%s", err->text);
	return dst;
}

int pl_exit_code(enum pl_status status)
{
	switch (status) {
	case PL_OK:
	case PL_END:
		return 0;
	case PL_ERR_REJECTS:
		return 1;
	case PL_ERR_USAGE:
		return 2;
	case PL_ERR_STOPPED:
		return 75;
	case PL_ERR_INVALID:
	case PL_ERR_TRUNCATED:
	case PL_ERR_UNSUPPORTED:
	case PL_ERR_LIMIT:
	case PL_ERR_NOMEM:
	case PL_ERR_IO:
	case PL_ERR_NOTFOUND:
	case PL_ERR_CONFLICT:
		break;
	}
	return 3;
}

const char *pl_status_name(enum pl_status status)
{
	static const char *const names[] = {
		[PL_OK] = "ok",
		[PL_END] = "end",
		[PL_ERR_INVALID] = "invalid",
		[PL_ERR_TRUNCATED] = "truncated",
		[PL_ERR_UNSUPPORTED] = "unsupported",
		[PL_ERR_LIMIT] = "limit",
		[PL_ERR_NOMEM] = "out_of_memory",
		[PL_ERR_IO] = "io",
		[PL_ERR_NOTFOUND] = "not_found",
		[PL_ERR_CONFLICT] = "conflict",
		[PL_ERR_USAGE] = "usage",
		[PL_ERR_STOPPED] = "stopped",
		[PL_ERR_REJECTS] = "rejects",
	};

	if ((size_t)status >= PL_ARRAY_LEN(names))
		return "unknown";
	return names[status];
}

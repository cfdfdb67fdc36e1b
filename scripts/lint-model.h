/* SPDX-License-Identifier: Apache-2.0 */
/* For static analysers only (scripts/lint puts it in front of every file): they look into one file at a time and cannot
 * know that a failure is never PL_OK. */
#include "libpipe/base/err.h"

#define pl_fail(err, status, ...) \
	(pl_fail(err, status, __VA_ARGS__), (enum pl_status)((status) == PL_OK ? PL_ERR_INVALID : (status)))
#define pl_fail_errno(...) (pl_fail_errno(__VA_ARGS__), (enum pl_status)PL_ERR_IO)
#define pl_fail_nomem(err) (pl_fail_nomem(err), (enum pl_status)PL_ERR_NOMEM)

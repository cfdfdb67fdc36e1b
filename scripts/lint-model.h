/* SPDX-License-Identifier: Apache-2.0 */
/* For static analysers only (scripts/lint puts it in front of every file): they look into one file at a time and cannot
 * know that a failure is never PL_OK. */
#include "libpipe/base/err.h"

#define pl_fail(err, status, ...) \
	(pl_fail(err, status, __VA_ARGS__), (enum pl_status)((status) == PL_OK ? PL_ERR_INVALID : (status)))
#define pl_fail_errno(...) (pl_fail_errno(__VA_ARGS__), (enum pl_status)PL_ERR_IO)
#define pl_fail_nomem(err) (pl_fail_nomem(err), (enum pl_status)PL_ERR_NOMEM)

#ifdef __CPPCHECK__   /* which does not read the headers of the system */
#define json_object_foreach(object, key, value) \
	for ((key) = json_first_key(object), (value) = json_first(object); (key) != 0; (value) = json_next(object, &(key)))
#define json_array_foreach(array, index, value) \
	for ((index) = 0; (index) < json_array_size(array) && ((value) = json_array_get(array, index)) != 0; (index)++)
#define Py_BEGIN_ALLOW_THREADS
#define Py_END_ALLOW_THREADS
#endif

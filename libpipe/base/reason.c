/* SPDX-License-Identifier: Apache-2.0 */
/* Names and manual lines of the reasons, generated from the one list in
 * reason.h so that they cannot drift from the enum. */
#include "reason.h"

#include "err.h"

static const char *const names[] = {
#define X(v, id, name, text) [v] = (name),
	PL_REASONS(X)
#undef X
};

static const char *const texts[] = {
#define X(v, id, name, text) [v] = (text),
	PL_REASONS(X)
#undef X
};

const char *pl_reason_name(unsigned reason)
{
	return reason < PL_ARRAY_LEN(names) ? names[reason] : "unknown";
}

const char *pl_reason_text(unsigned reason)
{
	return reason < PL_ARRAY_LEN(texts) ? texts[reason] : "not a reason this version knows";
}

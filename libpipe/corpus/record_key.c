/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for records: a rule that looks at one record and its number only. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ID_MAX 160

/* An id may stand in file names and reports: no control characters, and not without end. */
static bool usable(const char *s, size_t len)
{
	size_t i;

	if (len == 0 || len > ID_MAX)
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
			return false;
	return true;
}

static bool find_id(const json_t *meta, char id[ID_MAX + 1])
{
	static const char *const names[] = { "id", "key", "uid" };
	size_t i;

	for (i = 0; meta != NULL && i < PL_ARRAY_LEN(names); i++) {
		const json_t *v = json_object_get(meta, names[i]);

		if (json_is_string(v) && usable(json_string_value(v), json_string_length(v))) {
			memcpy(id, json_string_value(v), json_string_length(v) + 1);
			return true;
		}
		if (json_is_integer(v)) {
			snprintf(id, ID_MAX + 1, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
			return true;
		}
	}
	return false;
}

enum pl_status pl_record_key(
    const json_t *meta, const char *unit, uint64_t row, char **key, struct pl_err *err)
{
	char id[ID_MAX + 1];
	size_t size = strlen(unit) + ID_MAX + 32;
	char *s = malloc(size);

	if (s == NULL)
		return pl_fail_nomem(err);
	if (find_id(meta, id))
		snprintf(s, size, "%s#%" PRIu64, id, row);
	else
		snprintf(s, size, "%s-%09" PRIu64, unit, row);
	*key = s;
	return PL_OK;
}

bool pl_record_plain_text(const char *path)
{
	static const char *const packed[] = { ".gz", ".zst", ".xz", ".bz2" };
	size_t i, n, len = strlen(path);

	for (i = 0; i < PL_ARRAY_LEN(packed); i++) {
		n = strlen(packed[i]);
		if (len > n && strcasecmp(path + len - n, packed[i]) == 0) {
			len -= n;
			break;
		}
	}
	return len > 4 && strncasecmp(path + len - 4, ".txt", 4) == 0;
}

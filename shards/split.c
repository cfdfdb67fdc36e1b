/* SPDX-License-Identifier: Apache-2.0 */
/* WebDataset's rule for member names, ^((?:.*\/|)[^.]+)[.]([^/]*)$ without a
 * regular expression, and the stricter rules for names that plait writes. */
#include "split.h"

#include <string.h>

#include "tar_read.h"

bool shard_name_dunder(const char *name)
{
	size_t len = strcspn(name, "/");
	return len >= 4 && memcmp(name, "__", 2) == 0 && memcmp(name + len - 2, "__", 2) == 0;
}

/* The key ends at the first dot behind the last slash. The expression's [^.]+
 * must reach that dot from the start of the name or from behind a slash, over
 * at least one byte and no dot; its .* crosses no newline. */
bool shard_split_name(const char *name, size_t *key_len, const char **suffix)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	const char *dot = strchr(base, '.');
	if (!dot || dot == name)
		return false;
	size_t newline = strcspn(name, "\n");
	const char *start = dot == base ? base - 1 : base;
	while (start > name && (start[-1] != '/' || (size_t)(start - name - 1) > newline))
		start--;
	if (memchr(start, '.', (size_t)(dot - start)))
		return false;
	*key_len = (size_t)(dot - name);
	*suffix = dot + 1;
	return true;
}

static bool has_control(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return true;
	return false;
}

bool shard_key_valid(const char *key, const char **why)
{
	size_t len = strlen(key);
	*why = NULL;
	if (len == 0)
		*why = "it is empty";
	else if (len > SHARD_KEY_MAX)
		*why = "it is longer than 200 bytes";
	else if (strchr(key, '.'))
		*why = "it has a '.'";
	else if (key[0] == '/' || key[len - 1] == '/' || strstr(key, "//"))
		*why = "a '/' may stand only between other characters";
	else if (has_control(key))
		*why = "it has a control character";
	return *why == NULL;
}

bool shard_suffix_valid(const char *suffix, const char **why)
{
	*why = NULL;
	if (!*suffix)
		*why = "it is empty";
	else if (strchr(suffix, '/') || strchr(suffix, ' '))
		*why = "it has a '/' or a space";
	else if (has_control(suffix))
		*why = "it has a control character";
	for (const char *p = suffix; *p && !*why; p++)
		if (*p >= 'A' && *p <= 'Z')
			*why = "it is not in lower case";
	return *why == NULL;
}

bool shard_image_suffix(const char *suffix)
{
	static const char *const images[] = { "jpg", "jpeg", "png", "webp", "gif", "bmp", "avif" };
	const char *dot = strrchr(suffix, '.');
	const char *last = dot ? dot + 1 : suffix;
	for (size_t i = 0; i < sizeof images / sizeof images[0]; i++)
		if (strcmp(last, images[i]) == 0)
			return true;
	return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of resolution policies as people write them: sizes, grids, colours. */
#include <stdlib.h>
#include <string.h>

#include "policy.h"

/* "12", up to most; *text is moved behind it. */
static bool whole_number(const char **text, uint32_t most, uint32_t *out)
{
	const size_t digits = strspn(*text, "0123456789");
	if (digits == 0 || digits > 9)
		return false;
	const unsigned long v = strtoul(*text, NULL, 10);
	*text += digits;
	*out = (uint32_t)v;
	return v <= most;
}

/* "4x3", neither 0 */
static bool two_numbers(const char **text, uint32_t most, uint32_t out[2])
{
	if (!whole_number(text, most, &out[0]) || **text != 'x')
		return false;
	++*text;
	return whole_number(text, most, &out[1]) && out[0] > 0 && out[1] > 0;
}

bool pl_resize_set_target(struct pl_resize *r, const char *text)
{
	uint32_t wh[2];
	if (strcmp(text, "native") == 0) {
		r->native = r->policy == PL_POLICY_PATCH_MULTIPLE;
		return r->native;
	}
	if (!two_numbers(&text, PL_TARGET_MAX, wh) || *text)
		return false;
	r->target_w = wh[0];
	r->target_h = wh[1];
	return true;
}

bool pl_resize_add_grids(struct pl_resize *r, const char *text)
{
	uint32_t from[2], to[2];
	if (!two_numbers(&text, PL_TILES_MAX, from))
		return false;
	memcpy(to, from, sizeof(to));
	if (strncmp(text, "..", 2) == 0) {
		text += 2;
		if (!two_numbers(&text, PL_TILES_MAX, to))
			return false;
	}
	if (*text || to[0] < from[0] || to[1] < from[1] || to[0] * to[1] > PL_TILES_MAX)
		return false;
	for (uint32_t c = from[0]; c <= to[0]; c++)
		for (uint32_t k = from[1]; k <= to[1]; k++) {
			if (r->ngrids == PL_GRIDS_MAX)
				return false;
			r->grids[r->ngrids].columns = (uint8_t)c;
			r->grids[r->ngrids++].rows = (uint8_t)k;
		}
	return true;
}

bool pl_resize_set_pad(struct pl_resize *r, const char *const *parts, size_t n)
{
	for (size_t i = 0; i < n && n == 3; i++) {
		const char *text = parts[i];
		uint32_t v = 0;
		if (!whole_number(&text, 255, &v) || *text)
			return false;
		r->pad[i] = (uint8_t)v;
	}
	r->pad_set = n == 3;
	return r->pad_set;
}

bool pl_resize_set_tokens(struct pl_resize *r, const char *text)
{
	if (strcmp(text, "auto") == 0)
		return true;
	r->token_rule = PL_TOKENS_PICTURE;
	return whole_number(&text, PL_TOKENS_MAX, &r->tokens) && !*text;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a recipe says of packing documents into sequences. */
#include "recipe_schema.h"

#define PACK(member) offsetof(struct pl_sequence_rule, member)

const struct pl_field pl_recipe_pack_fields[] = {
	{.key = "tokens", .type = PL_FIELD_COUNT, .offset = PACK(tokens), .min = 1, .max = 1e9},
	{.key = "window", .type = PL_FIELD_COUNT, .offset = PACK(window), .min = 1, .max = 65536},
	{.key = "long", .type = PL_FIELD_CHOICE, .offset = PACK(long_), .choices = pl_long_names},
	{.key = NULL}
};

enum pl_status pl_recipe_check_pack(const struct pl_recipe *r, const struct pl_recipe_output_raw *raw, struct pl_err *err)
{
	if (raw->pack_line && raw->pack.tokens == 0)
		return pl_recipe_bad(r, raw->pack_line, err, "'pack' in output needs 'tokens', the length of a sequence");
	return PL_OK;
}

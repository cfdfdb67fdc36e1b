/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that say how tokens of texts are counted. */
#include "recipe_schema.h"

#define TOK(member) offsetof(struct pl_recipe_tokenizer_raw, member)

const struct pl_field pl_recipe_tokenizer_fields[] = {
	{.key = "by", .type = PL_FIELD_CHOICE, .offset = TOK(by), .choices = pl_tokens_by_names, .line_offset = TOK(by_line)},
	{.key = "model", .type = PL_FIELD_STR, .offset = TOK(model), .line_offset = TOK(model_line)},
	{.key = NULL}
};

enum pl_status pl_recipe_set_tokenizer(struct pl_recipe *r, const struct pl_recipe_tokenizer_raw *raw, struct pl_err *err)
{
	int by = raw->by >= 0 ? raw->by : raw->model ? PL_TOKENS_SENTENCEPIECE : PL_TOKENS_BYTES;

	if (raw->line && raw->by < 0 && !raw->model)
		return pl_recipe_bad(r, raw->line, err, "'tokenizer' is empty: give 'by', or 'model', the file of a SentencePiece model");
	if (raw->model && !*raw->model)
		return pl_recipe_bad(r, raw->model_line, err, "'model' in tokenizer is empty");
	if (raw->model && by != PL_TOKENS_SENTENCEPIECE)
		return pl_recipe_bad(r, raw->model_line, err, "'model' in tokenizer does nothing with 'by: %s'", pl_tokens_by_names[by]);
	if (!raw->model && by == PL_TOKENS_SENTENCEPIECE)
		return pl_recipe_bad(r, raw->by_line, err, "'by: sentencepiece' in tokenizer needs 'model', the file of one");
	r->tokenizer = (struct pl_tokens_settings){.by = (enum pl_tokens_by)by, .model = raw->model};
	return PL_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a recipe, that is YAML and the schema over it. An error must
 * come with words. */
#include "fuzz.h"

#include "libpipe/mix/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pl_recipe recipe;
	struct pl_err err;
	char *text = malloc(size + 1);

	FUZZ_CHECK(text != NULL);
	for (size_t i = 0; i < size; i++)
		text[i] = (char)data[i];
	text[size] = '\0';
	err.text[0] = '\0';
	if (pl_recipe_parse(&recipe, "fuzz.yaml", text, size, &err) == PL_OK)
		pl_recipe_release(&recipe);
	else
		FUZZ_CHECK(err.text[0] != '\0');
	free(text);
	return 0;
}

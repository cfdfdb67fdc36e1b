/* SPDX-License-Identifier: Apache-2.0 */
/* A packed sequence against itself: its documents cover its segments, its
 * boundaries are their tokens, and it keeps its budget. */
#include "sequence.h"

const char *pl_sequence_wrong(const json_t *sample)
{
	const json_t *documents = json_object_get(sample, "documents"), *boundaries = json_object_get(sample, "boundaries");
	json_int_t segments = 0, tokens = 0, images = 0;
	json_t *d;
	size_t i;

	if (documents == NULL)
		return NULL;
	if (json_array_size(documents) == 0 || json_array_size(boundaries) != json_array_size(documents) + 1 ||
	    json_integer_value(json_array_get(boundaries, 0)) != 0)
		return "its documents and boundaries do not go together";
	json_array_foreach(documents, i, d) {
		if (json_integer_value(json_object_get(d, "first_segment")) != segments)
			return "its documents do not follow each other";
		segments += json_integer_value(json_object_get(d, "segments"));
		images += json_integer_value(json_object_get(d, "images"));
		tokens += json_integer_value(json_object_get(d, "tokens"));
		if (json_integer_value(json_array_get(boundaries, i + 1)) != tokens)
			return "a boundary is not where its document ends";
	}
	if ((size_t)segments != json_array_size(json_object_get(sample, "segments")))
		return "its documents do not cover its segments";
	if (images != json_integer_value(json_object_get(sample, "images")))
		return "its documents' images are not its own";
	if (tokens != json_integer_value(json_object_get(sample, "tokens")))
		return "its documents' tokens are not its own";
	if (tokens > json_integer_value(json_object_get(sample, "budget")) && json_array_size(documents) > 1)
		return "it is over its budget";
	return NULL;
}

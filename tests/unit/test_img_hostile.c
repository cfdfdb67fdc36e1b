/* SPDX-License-Identifier: Apache-2.0 */
/* Every image of the hostile collection: what must decode does, what must be
 * refused is, and nothing crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "libpipe/img/image.h"

static enum pl_reason decoded(const uint8_t *data, size_t len, struct pl_image *out)
{
	struct pl_img_limits lim = pl_img_limits_default();
	struct pl_img_info info;
	memset(out, 0, sizeof(*out));
	enum pl_reason reason = pl_img_probe(data, len, &lim, &info);
	return reason == PL_REASON_KEEP ? pl_img_decode(data, len, &info, &lim, NULL, out) : reason;
}

static uint8_t *slurp(const char *dir, const char *name, size_t *len)
{
	char path[1200];
	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (!f)
		return NULL;
	uint8_t *data = NULL;
	if (fseek(f, 0, SEEK_END) == 0) {
		long n = ftell(f);
		rewind(f);
		data = n >= 0 ? malloc((size_t)n ? (size_t)n : 1) : NULL;
		if (data && fread(data, 1, (size_t)n, f) != (size_t)n) {
			free(data);
			data = NULL;
		}
		*len = n >= 0 ? (size_t)n : 0;
	}
	(void)fclose(f);
	return data;
}

/* Where plait knowingly differs from the list: it never reads what makes these files bad. */
static bool is_exception(const char *path)
{
	static const char *const known[] = {
		"pillow/decompression_bomb_extents.gif", /* only its second frame is huge */
		"pillow/png_decompression_dos.png", /* its text inflates to 6 MiB, under the ceiling
						       of 48 MiB */
		"pillow/unknown_compression_method.png", /* only its colour profile is unreadable */
	};
	for (size_t i = 0; i < PL_ARRAY_LEN(known); i++)
		if (strcmp(path, known[i]) == 0)
			return true;
	return false;
}

static bool answer_fits(const char *path, const char *expect, enum pl_reason reason)
{
	if (strcmp(expect, "valid") == 0)
		return reason == PL_REASON_KEEP;
	if (strcmp(expect, "reject") == 0 || strcmp(expect, "bomb") == 0)
		return reason != PL_REASON_KEEP;
	/* The list was made without AVIF: one of its files is a picture, the other too large. */
	if (strcmp(expect, "unsupported") == 0 && strstr(path, ".avif") && pl_format_decodable(PL_FORMAT_AVIF))
		return reason == (strstr(path, "17000x17000") ? PL_REASON_BOMB : PL_REASON_KEEP);
	if (strcmp(expect, "unsupported") == 0)
		return reason == PL_REASON_UNSUPPORTED;
	return true;
}

static void test_hostile(void **state)
{
	(void)state;
	const char *shared = getenv("PLAIT_SHARED_DATA");
	char dir[1024], line[2048];
	(void)snprintf(dir, sizeof(dir), "%s/hostile", shared ? shared : "");
	size_t index_len = 0;
	uint8_t *index = shared ? slurp(dir, "index.tsv", &index_len) : NULL;
	if (!index) {
		print_message("PLAIT_SHARED_DATA has no hostile/index.tsv\n");
		skip();
	}
	int seen = 0, wrong = 0;
	for (size_t at = 0; at < index_len;) {
		const uint8_t *end = memchr(index + at, '\n', index_len - at);
		size_t n = end ? (size_t)(end - index) - at : index_len - at;
		(void)snprintf(line, sizeof(line), "%.*s", (int)n, (const char *)index + at);
		at += n + 1;
		char path[512], expect[32];
		if (sscanf(line, "%511[^\t]\t%*[^\t]\t%31[^\t]", path, expect) != 2 ||
		    strcmp(path, "path") == 0 || strncmp(path, "tar/", 4) == 0 ||
		    strncmp(path, "zstd/", 5) == 0)
			continue;
		size_t len;
		uint8_t *data = slurp(dir, path, &len);
		if (!data)
			continue;
		struct pl_image im;
		enum pl_reason reason = decoded(data, len, &im);
		seen++;
		if (answer_fits(path, expect, reason) == is_exception(path)) {
			print_message(
			    "%s: expected %s, got %s\n", path, expect, pl_reason_name(reason));
			wrong++;
		}
		pl_image_release(&im);
		free(data);
	}
	free(index);
	print_message("%d hostile images\n", seen);
	assert_true(seen > 100);
	assert_int_equal(wrong, 0);
}

/* Progressive files have no rows to count: they need luma's first detail, or are refused. */
static void test_truncated_progressive(void **state)
{
	(void)state;
	const char *shared = getenv("PLAIT_SHARED_DATA");
	size_t len = 0;
	uint8_t *data =
	    shared ? slurp(shared, "hostile/go-image/video-001.progressive.jpeg", &len) : NULL;
	if (!data) {
		print_message("PLAIT_SHARED_DATA has no progressive JPEG\n");
		skip();
	}
	struct pl_image im;
	assert_int_equal(decoded(data, len / 10, &im), PL_REASON_TRUNCATED);
	assert_int_equal(decoded(data, len - 3, &im), PL_REASON_KEEP);
	pl_image_release(&im);
	for (size_t cut = 0; cut < len; cut += 97) {
		(void)decoded(data, cut, &im);
		pl_image_release(&im);
	}
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_truncated_progressive),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers, arenas, errors, reasons and hashes: what everything else stands on. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "libpipe/base/buf.h"
#include "libpipe/base/err.h"
#include "libpipe/base/hash.h"
#include "libpipe/base/reason.h"

static void buf_grows_and_ends_with_nul(void **state)
{
	struct pl_buf b;
	size_t i, len;
	char *bytes;

	(void)state;
	pl_buf_init(&b, 0);
	for (i = 0; i < 5000; i++)
		assert_int_equal(pl_buf_addf(&b, NULL, "%zu,", i % 10), PL_OK);
	assert_int_equal(pl_buf_adds(&b, "end", NULL), PL_OK);
	assert_int_equal(pl_buf_add(&b, NULL, 0, NULL), PL_OK);
	assert_int_equal(b.len, 10003);
	assert_int_equal(b.data[b.len], 0);
	bytes = pl_buf_detach(&b, &len);
	assert_int_equal(len, 10003);
	assert_string_equal(bytes + 9998, "9,end");
	free(bytes);
	assert_null(b.data);
	bytes = pl_buf_detach(&b, NULL);
	assert_string_equal(bytes, "");
	free(bytes);
	pl_buf_release(&b);
}

static void buf_stops_at_its_ceiling(void **state)
{
	struct pl_buf b;
	struct pl_err err;

	(void)state;
	pl_buf_init(&b, 10);
	assert_int_equal(pl_buf_adds(&b, "0123456789", &err), PL_OK);
	assert_int_equal(pl_buf_adds(&b, "x", &err), PL_ERR_LIMIT);
	assert_int_equal(err.severity, PL_SEV_ITEM);
	assert_int_equal(pl_buf_reserve(&b, SIZE_MAX, &err), PL_ERR_LIMIT);
	assert_int_equal(pl_buf_addf(&b, &err, "%s", "more"), PL_ERR_LIMIT);
	assert_string_equal((char *)b.data, "0123456789");
	pl_buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_int_equal(pl_buf_adds(&b, "x", &err), PL_OK);
	pl_buf_release(&b);
	pl_buf_release(&b);
}

static void arena_aligns_and_zeroes(void **state)
{
	struct pl_arena a;
	unsigned char *p;
	size_t i, j;

	(void)state;
	pl_arena_init(&a, 0);
	for (int round = 0; round < 3; round++) {
		for (i = 1; i < 3000; i += 7) {
			p = pl_arena_alloc(&a, i);
			assert_non_null(p);
			assert_int_equal((uintptr_t)p % 16, 0);
			for (j = 0; j < i; j++)
				assert_int_equal(p[j], 0);
			memset(p, 0xAA, i);
		}
		assert_non_null(pl_arena_alloc(&a, 3u << 20));
		assert_string_equal(pl_arena_printf(&a, "%d-%s", 7, "x"), "7-x");
		assert_string_equal(pl_arena_strndup(&a, "abcdef", 3), "abc");
		pl_arena_clear(&a);
		assert_int_equal(a.used, 0);
	}
	pl_arena_release(&a);
	pl_arena_release(&a);
}

static void arena_stops_at_its_ceiling(void **state)
{
	struct pl_arena a;

	(void)state;
	pl_arena_init(&a, 1024);
	assert_null(pl_arena_alloc(&a, 1025));
	assert_null(pl_arena_alloc(&a, SIZE_MAX));
	assert_null(pl_arena_strndup(&a, "", SIZE_MAX));
	assert_non_null(pl_arena_alloc(&a, 1000));
	assert_null(pl_arena_alloc(&a, 100));
	pl_arena_clear(&a);
	assert_non_null(pl_arena_alloc(&a, 1024));
	pl_arena_release(&a);
}

static void errors_carry_place_and_reason(void **state)
{
	struct pl_err err;
	char text[2048], path[2000];

	(void)state;
	assert_int_equal(
	    pl_fail(&err, PL_ERR_INVALID, PL_SEV_ITEM, "a.tar", "bad %s", "magic"), PL_ERR_INVALID);
	assert_string_equal(pl_err_format(&err, text, sizeof(text)), "'a.tar': bad magic");
	pl_err_at_offset(&err, 512);
	assert_string_equal(
	    pl_err_format(&err, text, sizeof(text)), "'a.tar' at byte 512: bad magic");
	pl_err_at_line(&err, "r.yaml", 12);
	assert_string_equal(pl_err_format(&err, text, sizeof(text)), "'r.yaml':12: bad magic");
	/* An error may be made from itself. */
	pl_fail(&err, PL_ERR_USAGE, PL_SEV_JOB, err.path, "in short: %s", err.text);
	assert_string_equal(
	    pl_err_format(&err, text, sizeof(text)), "'r.yaml': in short: bad magic");
	errno = ENOSPC;
	assert_int_equal(pl_fail_errno(&err, PL_SEV_JOB, NULL, "cannot write"), PL_ERR_IO);
	assert_int_equal(err.sys_errno, ENOSPC);
	assert_string_equal(
	    pl_err_format(&err, text, sizeof(text)), "cannot write: No space left on device");
	errno = EIO;   /* whatever is cut, the reason is not */
	pl_fail_errno(&err, PL_SEV_JOB, NULL, "%01000d", 1);
	assert_string_equal(err.text + strlen(err.text) - 20, ": Input/output error");
	errno = ENOENT;
	assert_int_equal(pl_fail_errno(NULL, PL_SEV_JOB, NULL, "x"), PL_ERR_NOTFOUND);
	memset(path, 'd', sizeof(path) - 1);
	memcpy(path + sizeof(path) - 9, "/end.tar", 9);
	pl_fail(&err, PL_ERR_IO, PL_SEV_SHARD, path, "x");
	assert_int_equal(strlen(err.path), sizeof(err.path) - 1);
	assert_memory_equal(err.path, "...d", 4);
	assert_string_equal(err.path + strlen(err.path) - 8, "/end.tar");
	assert_string_equal(pl_err_format(&err, text, 8), "'...ddd");
}

static void exit_codes_are_those_of_the_manual(void **state)
{
	(void)state;
	assert_int_equal(pl_exit_code(PL_OK), 0);
	assert_int_equal(pl_exit_code(PL_ERR_REJECTS), 1);
	assert_int_equal(pl_exit_code(PL_ERR_USAGE), 2);
	assert_int_equal(pl_exit_code(PL_ERR_IO), 3);
	assert_int_equal(pl_exit_code(PL_ERR_NOMEM), 3);
	assert_int_equal(pl_exit_code(PL_ERR_STOPPED), 75);
	assert_string_equal(pl_status_name(PL_ERR_REJECTS), "rejects");
	assert_string_equal(pl_status_name((enum pl_status)99), "unknown");
}

static void every_reason_has_a_name(void **state)
{
	unsigned i, j;

	(void)state;
	for (i = 0; i < PL_REASON_COUNT; i++) {
		assert_non_null(pl_reason_name(i));
		assert_true(strlen(pl_reason_text(i)) > 0);
		for (j = 0; j < i; j++)
			assert_string_not_equal(pl_reason_name(i), pl_reason_name(j));
	}
	assert_string_equal(pl_reason_name(PL_REASON_NOT_DRAWN), "not_drawn");
	assert_string_equal(pl_reason_name(PL_REASON_COUNT), "unknown");
}

static void hashes_are_xxh3(void **state)
{
	/* Published values of the empty input (xxhsum -H3, xxhsum -H2). */
	static const uint8_t empty[16] = { 0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
		0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f };
	uint64_t one[2], streamed[2];
	uint8_t bytes[16];
	struct pl_hasher *h = pl_hasher_new();
	char hex[33], data[1000];
	size_t i;

	(void)state;
	assert_non_null(h);
	assert_true(pl_hash64("", 0) == 0x2d06800538d394c2u);
	pl_hash128_bytes("", 0, bytes);
	assert_memory_equal(bytes, empty, 16);
	pl_hash128("", 0, one);
	pl_hash128_hex(one, hex);
	assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
	for (i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7);
	pl_hash128(data, sizeof(data), one);
	pl_hasher_add(h, data, 1);
	pl_hasher_add(h, NULL, 0);
	pl_hasher_add(h, data + 1, sizeof(data) - 1);
	pl_hasher_digest(h, streamed);
	assert_memory_equal(one, streamed, sizeof(one));
	pl_hasher_free(h);
	pl_hasher_free(NULL);
	assert_true(
	    pl_mix64(0) == 0xE220A8397B1DCDAFu); /* first output of splitmix64 seeded with 0 */
	assert_true(pl_draw64(1, 2, 3) != pl_draw64(1, 3, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_grows_and_ends_with_nul),
		cmocka_unit_test(buf_stops_at_its_ceiling),
		cmocka_unit_test(arena_aligns_and_zeroes),
		cmocka_unit_test(arena_stops_at_its_ceiling),
		cmocka_unit_test(errors_carry_place_and_reason),
		cmocka_unit_test(exit_codes_are_those_of_the_manual),
		cmocka_unit_test(every_reason_has_a_name),
		cmocka_unit_test(hashes_are_xxh3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

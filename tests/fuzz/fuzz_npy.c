/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a table that is mapped. Every column of its first and last rows
 * is read as the tools do. */
#include "fuzz.h"

#include "libpipe/base/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_file f;
	struct pl_npy t;
	struct pl_err err;
	volatile double sum = 0;

	fuzz_file_open(&f, data, size);
	if (pl_npy_open(&t, f.path, &err) == PL_OK) {
		FUZZ_CHECK(t.row_size == 0 || t.nrows <= size / t.row_size);
		for (size_t c = 0; c < t.ncols; c++) {
			FUZZ_CHECK(pl_npy_col(&t, t.cols[c].name) != NULL);
			for (uint64_t i = 0; i < t.nrows && i < 4; i++)
				sum = sum + pl_npy_real(&t.cols[c], pl_npy_row(&t, i));
			if (t.nrows > 0)
				sum = sum + pl_npy_real(&t.cols[c], pl_npy_row(&t, t.nrows - 1));
		}
		pl_npy_close(&t);
	}
	fuzz_file_close(&f);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the model says of both plans of dedup's join, for uniform hashes: nothing
 * is run. The partitioned one sends a record of 40 bytes per hash and journey, which is for one mask or several.
 * usage: bench_partition NODES RANKS [N...]   RANKS: of a node */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "libpipe/dedup/partition_step.h"

static double collisions(const struct pl_cover *c)
{
	double sum = 0;

	for (uint32_t m = 0; m < c->nmasks; m++) {
		double one = 1;
		for (uint64_t x = c->mask[m]; x; x &= x - 1)
			one /= 2;
		sum += one;
	}
	return sum;
}

static enum pl_status line(uint64_t n, unsigned distance, uint32_t nodes, uint32_t ranks, struct pl_err *err)
{
	double parts = (double)nodes * ranks, share = (double)n / parts;
	const struct pl_partition_share s = {n, (uint64_t)parts, (uint64_t)1 << 17, 0.5, nodes};
	struct pl_cover whole, part = {0};
	/* distances of PDQ hashes are even: an odd one is joined as the one below */
	enum pl_status st = pl_cover_choose(&whole, 256, distance / 2 * 2, n, 0.5, err);

	if (st == PL_OK)
		st = pl_partition_cover(&part, distance / 2 * 2, &s, err);
	if (st == PL_OK)
		printf("%.3g\t%u\t%" PRIu32 "\t%.3g\t%.3g\t%" PRIu32 "\t%" PRIu32 "\t%.3g\t%.3g\t%.3g\t%.3g\t%.3g\t%.3g\n", (double)n, distance, whole.nmasks,
		    whole.seconds / parts, (double)n * 32 / 1e9, part.nmasks, pl_partition_groups(&part, &s, NULL), part.seconds / parts, (double)n / 2 * collisions(&part),
		    pl_partition_groups(&part, &s, NULL) * share * 40 * (1 - 1 / parts) / 1e9, pl_partition_groups(&part, &s, NULL) * share * 40 * (1 - 1.0 / nodes) * ranks / 1e9,
		    share * 32 / 1e6, share * 32 * ranks / 1e9);
	pl_cover_release(&whole);
	pl_cover_release(&part);
	return st;
}

int main(int argc, char **argv)
{
	static const unsigned distances[] = {16, 31};
	char small[] = "1e9", large[] = "1e10", *usual[] = {small, large, NULL};
	struct pl_err err;
	char text[2048];

	if (argc < 3 || strtoul(argv[1], NULL, 10) == 0 || strtoul(argv[2], NULL, 10) == 0) {
		fputs("usage: bench_partition NODES RANKS [N...]\n", stderr);
		return 2;
	}
	puts("n\td\treplicated:masks\ts_a_rank\tGB_a_node\tpartitioned:masks\tjourneys\ts_a_rank\tcandidates_a_hash\tGB_sent_by_a_rank\tGB_sent_by_a_node\tMB_of_hashes_a_rank\tGB_of_hashes_a_node");
	for (char **s = argc > 3 ? argv + 3 : usual; *s; s++) {
		for (size_t i = 0; i < PL_ARRAY_LEN(distances); i++) {
			if (line((uint64_t)strtod(*s, NULL), distances[i], (uint32_t)strtoul(argv[1], NULL, 10), (uint32_t)strtoul(argv[2], NULL, 10),
			        &err) != PL_OK) {
				fprintf(stderr, "bench_partition: %s\n", pl_err_format(&err, text, sizeof(text)));
				return 3;
			}
		}
	}
	return 0;
}

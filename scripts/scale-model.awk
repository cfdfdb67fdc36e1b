# SPDX-License-Identifier: Apache-2.0
# What ingest takes at many ranks, by its parts: work that ranks share, and what does not get less with more ranks. Every constant
# can be set with -v; where it comes from is said beside it. Times in seconds unless the name says otherwise.
function number(x) { return x >= 1e6 ? sprintf("%.3gM", x / 1e6) : x >= 1e4 ? sprintf("%.3gk", x / 1e3) : sprintf("%.4g", x) }
function up(x) { return x == int(x) ? x : int(x) + 1 }
function log2(x) { return up(log(x) / log(2) - 1e-9) }

function row(ranks, shards, per_shard,    share, one, work, mib, cut, pieces, tickets, serve, wait, sizes, manifest, overhead, meet, tail, fixed, total)
{
	one = per_shard * sample_ms / 1000 / workers          # a shard, by one rank
	share = shards / ranks
	work = share * one
	# pl_split_plan: those behind the last full round are cut, if they would end more than a twentieth late.
	cut = (up(share) - share) * ranks > 0.5 && up(share) > 1.05 * share ? (share - int(share)) * ranks : 0
	mib = work / one * per_shard * sample_kb / 1024 / 32
	pieces = cut * per_shard * sample_kb / 1024 / (mib > 4 ? mib : 4)
	tickets = shards - cut + pieces + cut
	serve = tickets * ticket_us / 1e6                      # rank 0's time, beside its own work
	wait = tickets / ranks * poll_ms / 1000                # each ticket waits for rank 0 to look
	sizes = share * stat_ms / 1000 + shards * (8 + 100 * log2(ranks)) / bandwidth
	manifest = shards * facts_bytes / bandwidth + 2 * shards * facts_us / 1e6    # to rank 0, read and written there
	overhead = (share + pieces / ranks) * unit_ms / 1000
	meet = agrees * (2 * log2(ranks) * latency_us / 1e6 + ranks * 8 / bandwidth)
	tail = cut > 0 ? one * (mib > 4 ? mib : 4) * 1024 / (per_shard * sample_kb) : spread * one
	fixed = start + sizes + manifest + meet
	total = work + wait + overhead + tail + fixed
	total = serve > total ? serve : total
	printf "%d\t%s\t%s\t%.4g\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.3f\t%.2f\t%.0f\t%.1f %%\t%s\n", ranks, number(shards), number(per_shard), work,
	    tail, wait, overhead, sizes, manifest, meet, serve, tickets / total, 100 * work / total, number(shards * per_shard / total)
}

BEGIN {
	if (!sample_ms) sample_ms = 2          # one core: probe, decode, hash a picture of the web (scripts/bench: ingest)
	if (!sample_kb) sample_kb = 60         # of such a sample in its shard
	if (!workers) workers = 8              # codec workers of a rank
	if (!spread) spread = 0.1              # by how much equal shards differ in work
	if (!ticket_us) ticket_us = 40         # bench_dist_scale: a ticket served
	if (!poll_ms) poll_ms = 5              # rank 0 looks at every sample, and while it waits for a picture
	if (!stat_ms) stat_ms = 0.5            # a look at a file, cold, on a parallel file system
	if (!unit_ms) unit_ms = 20             # what a shard costs beyond its pixels there: open, three files made, two syncs
	if (!facts_bytes) facts_bytes = 600    # JSON of a shard's facts
	if (!facts_us) facts_us = 12           # to parse or write them
	if (!latency_us) latency_us = 5        # of a small message between nodes
	if (!bandwidth) bandwidth = 5e9        # bytes/s of a rank
	if (!agrees) agrees = 40               # meetings of a step
	if (!start) start = 3                  # MPI_Init at a thousand ranks
	print "ranks\tshards\tsamples each\twork\ttail\twait\tper shard\tsizes, names\tmanifest\tmeetings\trank 0 serves\ttickets/s\tefficiency\tsamples/s"
	row(1, 1000, 10000)
	row(10, 1000, 10000)
	row(100, 1000, 10000)
	row(1000, 1000, 10000)
	row(1000, 1500, 10000)
	row(1000, 10000, 10000)
	row(1000, 100000, 10000)
	row(1000, 1000000, 10000)
	row(1000, 1000000, 100)
	row(10000, 1000000, 10000)
}

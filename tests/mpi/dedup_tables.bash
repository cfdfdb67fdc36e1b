# SPDX-License-Identifier: Apache-2.0
# Corpora of tables for the tests of dedup over ranks, and the bytes that it writes beside them.

tables()
{
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$CLI_DIR/../mpi/tables.py" "$@"
}

sums()     # DIR: of all that dedup wrote below it, but for the reports and directory names in dedup.json
{
	(cd "$1" && find . -name '*.dedup*.npy' -o -name 'dedup.clusters.npy' | sort | xargs sha256sum)
}

# Two corpora and an evaluation set under in/.
make_tables()
{
	mkdir in
	tables make in/a 12000 7 1 3000
	tables make in/b 5000 2 2 500
	tables make in/eval 500 1 3 50
}

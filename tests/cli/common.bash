# SPDX-License-Identifier: Apache-2.0
# What the tests of the tools share. A test file says "load common" (or ../cli/common) and works in its own
# temporary directory; scripts/check gives PLAIT_BIN and, where it is there, PLAIT_SHARED_DATA.

bats_require_minimum_version 1.5.0

CLI_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${PLAIT_BIN:=$CLI_DIR/../../build/release/bin}"
export PATH=$PLAIT_BIN:$PATH LC_ALL=C.UTF-8

# Small pictures need few workers, and five ranks share two cores.
work_here()
{
	cd "$BATS_TEST_TMPDIR" || return 1
}

setup()
{
	work_here
}

make_corpora()
{
	/usr/bin/python3 "$CLI_DIR/corpora.py" "$@"
}

# A set made once per file: setup_file calls this, the tests read "$SET".
make_set_once()
{
	export SET=$BATS_FILE_TMPDIR/set
	make_corpora set "$SET"
}

shared_data()
{
	[ -n "${PLAIT_SHARED_DATA:-}" ] && [ -d "$PLAIT_SHARED_DATA" ] || skip "PLAIT_SHARED_DATA is not set or no directory"
}

no_leftovers()     # DIR...
{
	local found
	found=$(find "$@" -name '.tmp-*')
	[ -z "$found" ] || fail "left behind: $found"
}

fail()
{
	printf '%s\n' "$@" >&2
	return 1
}

show_run()
{
	printf 'status %s\n-- stdout\n%s\n-- stderr\n%s\n' "$status" "$output" "${stderr:-}" >&2
}

# expect CODE PHRASE... -- COMMAND...: the exit code, and each phrase on stderr (exactly as written). No temporary files stay.
expect()
{
	local code=$1 phrases=() phrase
	shift
	while [ "$1" != -- ]; do
		phrases+=("$1")
		shift
	done
	shift
	run --separate-stderr "$@"
	[ "$status" -eq "$code" ] || { show_run; fail "exit code $status, expected $code: $*"; }
	for phrase in "${phrases[@]}"; do
		[[ $stderr == *"$phrase"* ]] || { show_run; fail "stderr lacks '$phrase': $*"; }
	done
	no_leftovers .
}

# The number that an SQL query gives over a corpus.
number()     # CORPUS SQL
{
	plait sql --no-header "$1" -e "$2"
}

# A recipe over the made set, which the working directory sees as "in".
make_recipe()     # FILE DIR [SEED]
{
	ln -sfn "$SET" in
	cat >"$1" <<YAML
name: test
seed: ${3:-7}
sources:
  - {name: pairs, shards: "in/pairs/{00000..00003}.tar", kind: pairs, weight: 0.6, columns: [similarity], where: "similarity > 0.22"}
  - {name: docs, shards: in/docs.tar, kind: interleaved, weight: 0.2}
  - {name: text, shards: in/text.jsonl, kind: text, weight: 0.2}
dedup: {threshold: 24}
balance: {unit: samples, max_epochs: 2}
image: {policy: center_crop, size: 96, format: webp}
output: {stage: align, dir: $2, work: $2.work, shard_samples: 12, frame_size: 16KiB}
YAML
}

# The bytes of a data set as one line; the corpora and plan beside it are no part of it.
bytes_of()     # DIR
{
	(cd "$1" && sha256sum ./*.tar* dataset.json | sha256sum)
}

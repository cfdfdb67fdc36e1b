#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The reader library as a stranger would use it: the example in shards/README.md against what plait run wrote, linked with the
# shared library, and headers that stand on their own.

load common

setup()
{
	work_here
	ROOT=$CLI_DIR/../..
	LIB=$PLAIT_BIN/../lib
}

setup_file()
{
	make_set_once
	cd "$BATS_FILE_TMPDIR" || return 1
	make_recipe r.yaml out
	plait run -q -j1 r.yaml >/dev/null
}

# The sanitizers' runtime comes first where the library was built with one.
compile()     # FILE OUTPUT
{
	local flags=()
	case $PLAIT_BIN in
	*/asan/*) flags=(-fsanitize=address,undefined) ;;
	*/tsan/*) flags=(-fsanitize=thread) ;;
	esac
	gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "${flags[@]}" -I"$ROOT" "$1" -o "$2" "$LIB/libplaitshards.so" -Wl,-rpath,"$LIB"
}

@test "the example in the README reads a data set" {
	local out=$BATS_FILE_TMPDIR/out
	awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' "$ROOT/shards/README.md" >example.c
	grep -q shard_loader_next example.c
	compile example.c example
	key=$(plait ls "$out/000000.tar.zst" | tail -n 1 | cut -f5)
	run -0 ./example "$out" "$key"
	[ "${#lines[@]}" -eq 3 ]
	n=$(jq '[.shards[].samples] | add' "$out/dataset.json")
	[[ ${lines[0]} == "epoch 0: $n samples, "*" bytes" ]]
	[ "${lines[0]#epoch 0}" = "${lines[1]#epoch 1}" ]
	[[ ${lines[2]} == "$key is number "*" and has "*" parts" ]]
	run -1 ./example "$out" no-such-key
	run -1 ./example "$out/nothing" "$key"
}

@test "each public header compiles alone" {
	local h
	for h in dataset order loader image; do
		echo "#include \"shards/reader/$h.h\"" >one.c
		gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$ROOT" -fsyntax-only one.c
	done
}

@test "the library shows its own names only, and needs no MPI" {
	! nm -D --defined-only "$LIB/libplaitshards.so" | awk '$2 != "A" { print $3 }' | sed 's/@.*//' | grep -vE '^(shard_|pl_err_format$|pl_status_name$)' | grep -v '^__odr_asan'
	! ldd "$LIB/libplaitshards.so" | grep -qi mpi
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The command line: strict options, help, the front command.

load common

tools="ingest resize filter dedup balance pack export run verify synth ls cat show stat sql why hash"

@test "every tool answers -h and --version on stdout with exit code 0" {
	local tool
	for tool in $tools; do
		run --separate-stderr plait "$tool" -h
		[ "$status" -eq 0 ] && [[ $output == usage:* ]] && [ -z "$stderr" ] || { show_run; fail "plait $tool -h"; }
		run --separate-stderr plait "$tool" --version
		[ "$status" -eq 0 ] && [ -n "$output" ] || { show_run; fail "plait $tool --version"; }
		run -0 --separate-stderr plait -h
		[[ $output == *"$tool"* ]] || fail "plait -h lacks $tool"
	done
}

@test "every tool refuses an unknown option and an abbreviated one, with exit code 2" {
	local tool
	for tool in $tools; do
		expect 2 "unknown option '--nonsense'" -- plait "$tool" --nonsense
		expect 2 "unknown option '--verbos'" "did you mean '--verbose'" -- plait "$tool" --verbos
		expect 2 "'-Z'" -- plait "$tool" -Z
	done
}

@test "an option never swallows or leaves over a value" {
	expect 2 "--quiet" -- plait ls --quiet=foo
	expect 2 "--output" -- plait ingest --output
	expect 2 "'-o'" -- plait ingest -o
	expect 2 "'abc'" -- plait resize -s abc -o d x.tar
	expect 2 "'0'" "from 1 to" -- plait resize -s 0 -o d x.tar
	expect 2 "'10x'" -- plait resize -s 10x -o d x.tar
	expect 2 "'centre_crop'" "did you mean 'center_crop'" -- plait resize -p centre_crop -o d x.tar
	expect 2 "'--effort': '7' is not one of fast, balanced, small, 0, 1, 2, 3, 4, 5, 6" -- plait resize --effort 7 -o d x.tar
	expect 2 "did you mean 'small'" -- plait resize --effort=smal -o d x.tar
	expect 2 "'1.5'" -- plait ingest --max-reject 1.5 -o c x.tar
	[ ! -e c ]
	[ ! -e d ]
}

@test "-q takes no argument: what follows is an operand, and a missing one fails" {
	expect 3 "'foo'" -- plait ls -q foo
	expect 3 "'foo'" -- plait ingest -j1 -q -o c foo
}

@test "what is required is asked for" {
	expect 2 "-o CORPUS" -- plait ingest x.tar
	expect 2 "-o DIR" -- plait resize x.tar
	expect 2 "RECIPE" -- plait run
	expect 2 "RECIPE" -- plait balance
	expect 2 "PLAN" -- plait pack
	expect 2 "no names came" -- plait verify
	expect 2 "SQL" -- plait sql c
	expect 2 "--key" -- plait cat x.tar
	expect 2 "FILE" -- plait hash
}

@test "an unknown tool is refused with the nearest name" {
	expect 2 "plait-ingset" "did you mean 'ingest'" -- plait ingset
	expect 2 "plait-nothing" "plait -h" -- plait nothing
	expect 2 "../bin/ls" -- plait ../bin/ls
	expect 2 "usage:" -- plait
}

@test "a plait-foo on PATH is plait foo, and gets its arguments and exit code" {
	mkdir bin
	printf '#!/bin/sh\necho "foo: $*"\nexit 42\n' >bin/plait-foo
	chmod +x bin/plait-foo
	PATH=$PWD/bin:$PATH run plait foo a 'b c'
	[ "$status" -eq 42 ]
	[ "$output" = "foo: a b c" ]
}

@test "stdout of the MPI tools holds names of outputs only" {
	make_corpora pairs a.tar 4
	run -0 --separate-stderr plait resize -j1 -o small a.tar
	[ "$output" = small/a.tar ]
	run -0 --separate-stderr plait ingest -j1 -o c small/a.tar
	while read -r line; do [ -e "$line" ] || fail "not a file: '$line'"; done <<<"$output"
}

@test "names on stdin: blank lines are skipped, an empty list is an error" {
	make_corpora pairs a.tar 4
	run -0 --separate-stderr bash -c "printf 'a.tar\n\n' | plait ingest -j1 -o c"
	[ "$(number c 'select count(*) from samples')" = 4 ]
	run --separate-stderr bash -c "plait ingest -j1 -o d </dev/null"
	[ "$status" -ne 0 ]
	[ ! -e d/manifest.json ]
}

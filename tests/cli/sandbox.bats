#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# --sandbox: what the codec workers stand under, and what is said where seccomp is refused.

load common

setup()
{
	work_here
	make_corpora pairs a.tar 3
}

without_seccomp()
{
	/usr/bin/python3 "$CLI_DIR/no_seccomp.py" "$@"
}

can_refuse()
{
	without_seccomp true || skip "no seccomp filter can be set here at all"
}

# The Seccomp modes (0 none, 2 filter) of the workers of an ingest that waits for names.
modes()     # WHEN
{
	local pid nursery
	mkfifo names
	plait-ingest -q -j2 --kind pairs --sandbox "$1" -o c <names >/dev/null &
	pid=$!
	exec 8>names
	echo a.tar >&8
	# Its tables are written once the workers stand.
	timeout 30 sh -c 'until [ -e c/a.images.npy ]; do sleep 0.05; done'
	for nursery in $(pgrep -P "$pid"); do
		pgrep -P "$nursery" | sed 's|.*|/proc/&/status|' | xargs -r awk '$1 == "Seccomp:" { print $2 }'
	done
	exec 8>&-
	wait "$pid"
	rm -rf c names
}

@test "require and auto put every worker under a filter, off puts none" {
	can_refuse
	[ "$(modes require | xargs)" = "2 2" ]
	[ "$(modes auto | xargs)" = "2 2" ]
	[ "$(modes off | xargs)" = "0 0" ]
}

@test "where seccomp is refused, require fails and says why, before anything is written" {
	can_refuse
	expect 3 "seccomp" -- without_seccomp plait ingest -j1 --sandbox=require -o c a.tar
	[ ! -e c ]
	expect 3 "seccomp" -- without_seccomp plait resize -j1 --sandbox require -o o a.tar
	[ ! -e o ]
}

@test "where seccomp is refused, auto says so once and does the work, off is silent about it" {
	can_refuse
	expect 0 "warning: no seccomp here" -- without_seccomp plait ingest -j2 --sandbox=auto -o c a.tar
	[ "$(grep -c seccomp <<<"$stderr")" = 1 ]
	expect 0 "warning: no seccomp here" -- without_seccomp plait ingest -j2 -o default a.tar
	expect 0 -- without_seccomp plait ingest -j2 --sandbox=off -o d a.tar
	[[ $stderr != *seccomp* ]]
	[ "$(number c 'select xxh3, pdq from images')" = "$(number d 'select xxh3, pdq from images')" ]
}

@test "where seccomp works, nothing is said of it" {
	can_refuse
	expect 0 -- plait ingest -j1 -o c a.tar
	[[ $stderr != *seccomp* ]]
	expect 2 "'always' is not one of auto, require, off" -- plait ingest --sandbox always -o d a.tar
}

@test "hash says so, too, once for all its files" {
	can_refuse
	tar -xf a.tar --wildcards '*.jpg'

	local pictures=(*.jpg)
	[ "${#pictures[@]}" -gt 1 ]
	expect 0 "warning: no seccomp here" -- without_seccomp plait hash -j2 "${pictures[@]}"
	[ "$(grep -c seccomp <<<"$stderr")" = 1 ]
	expect 0 -- without_seccomp plait hash --sandbox=off "${pictures[@]}"
	[[ $stderr != *seccomp* ]]
	expect 0 -- plait hash "${pictures[@]}"
	[[ $stderr != *seccomp* ]]
	expect 3 seccomp -- without_seccomp plait hash --sandbox=require "${pictures[@]}"
}

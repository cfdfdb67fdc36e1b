#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What make install puts where: it works from where it lies, wherever that is, and goes again without a trace.

load common

tools="plait $(printf 'plait-%s ' ingest resize filter dedup balance pack export run verify synth ls cat show stat sql why hash)"

repository() { cd "$BATS_TEST_DIRNAME/../.." && pwd; }

# The files that are built, as they are: nothing is made anew while other tests run.
make_target()
{
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -s -C "$(repository)" VARIANT="${PLAIT_VARIANT:-release}" DESTDIR="$1" PREFIX=/opt/plait "$2"
}

setup_file()
{
	[ "${PLAIT_VARIANT:-release}" = release ] || skip "the build that is installed is the release build"
	[ -e "$(repository)/build/release/man/plait.1" ] || skip "the man pages are not made: make man"
	make_target "$BATS_FILE_TMPDIR/dest" install-files
	mv "$BATS_FILE_TMPDIR/dest/opt/plait" "$BATS_FILE_TMPDIR/moved"
	export AT=$BATS_FILE_TMPDIR/moved
}

@test "every tool, its man page and its completion" {
	local tool
	for tool in $tools; do
		[ -x "$AT/bin/$tool" ] || fail "no $tool"
		[ -s "$AT/share/man/man1/$tool.1" ] || fail "no man page of $tool"
		grep -q "^complete .* $tool\$" "$AT/share/bash-completion/completions/$tool" || fail "no completion of $tool"
		env -i "$AT/bin/$tool" --version >/dev/null
	done
	[ "$(ls "$AT/bin" | wc -l)" -eq "$(wc -w <<<"$tools")" ]
	[ -s "$AT/share/plait/slurm/run.sbatch" ]
	[ -s "$AT/share/plait/configs/demo.yaml" ]
	! grep -rlI "$BATS_FILE_TMPDIR/dest\|/opt/plait" "$AT/lib/pkgconfig" "$AT/share" || fail "these know where they were installed"
}

@test "help and version come before MPI starts" {
	local tool
	# An environment that says this is rank 0 of 4, and no launcher to talk to: MPI_Init would fail.
	for tool in ingest resize filter dedup balance pack run verify synth; do
		run -0 env OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=0 PMIX_RANK=0 timeout 10 "$AT/bin/plait-$tool" --help
		[[ $output == usage:* ]]
		run -0 env OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_RANK=0 PMIX_RANK=0 timeout 10 "$AT/bin/plait-$tool" --version
	done
}

@test "completion sources in bash, and completes tools, options and values" {
	run -0 bash -c '. "$AT/share/bash-completion/completions/plait"
		COMP_WORDS=(plait in) COMP_CWORD=1; _plait; echo "${COMPREPLY[*]}"
		COMP_WORDS=(plait resize --form) COMP_CWORD=2; _plait; echo "${COMPREPLY[*]}"
		COMP_WORDS=(plait resize --format w) COMP_CWORD=3; _plait; echo "${COMPREPLY[*]}"
		COMP_WORDS=(plait-run --dry) COMP_CWORD=1; _plait_run; echo "${COMPREPLY[*]}"'
	[ "$output" = $'ingest\n--format\nwebp\n--dry-run' ] || { show_run; false; }
}

@test "a C program compiles and runs by pkg-config, shared and static" {
	command -v pkg-config >/dev/null || skip "pkg-config is not installed"
	make_corpora pairs a.tar 4
	cat >count.c <<-'END'
	#include <shards/shard.h>
	#include <stdio.h>
	int main(int argc, char **argv)
	{
		struct shard *s = NULL;
		struct pl_err err = { 0 };
		if (argc != 2 || shard_open(&s, argv[1], &err) != PL_OK)
			return 1;
		printf("%llu\n", (unsigned long long)shard_count(s));
		shard_close(s);
		return 0;
	}
	END
	export PKG_CONFIG_PATH=$AT/lib/pkgconfig
	[ "$(pkg-config --modversion plaitshards)" = "$("$AT/bin/plait" --version | sed 's/.* //')" ]
	# shellcheck disable=SC2046  # flags are words
	{
		cc -Wall -Werror -o shared count.c $(pkg-config --cflags --libs plaitshards)
		# Ours alone: what static forms of other libraries need is theirs to say, and Debian's do not come with it.
		cc -Wall -Werror -o static count.c $(pkg-config --cflags plaitshards) "$AT/lib/libplaitshards.a" \
		    $(pkg-config --libs $(pkg-config --print-requires-private plaitshards)) \
		    $(sed -n 's/^Libs.private: //p' "$AT/lib/pkgconfig/plaitshards.pc")
	}
	[ "$(LD_LIBRARY_PATH=$AT/lib ./shared a.tar)" = 4 ]
	[ "$(./static a.tar)" = 4 ]
	! ldd shared static | grep -q libmpi
}

@test "the headers say all they need" {
	local h
	while IFS= read -r h; do
		echo "#include <${h#"$AT/include/plait/"}>" >one.c
		cc -std=c11 -D_GNU_SOURCE -Wall -Werror -fsyntax-only "-I$AT/include/plait" one.c || fail "$h does not compile alone"
	done < <(find "$AT/include" -name '*.h')
}

@test "the module file names directories that are there" {
	command -v tclsh >/dev/null || skip "tclsh is not installed"
	local dir
	cat >load.tcl <<-'END'
	foreach c {conflict module-whatis} { proc $c args {} }
	proc prepend-path {name dir} { puts "$name $dir" }
	proc setenv {name value} { puts "$name $value" }
	set ModulesCurrentModulefile [lindex $argv 0]
	source $ModulesCurrentModulefile
	END
	tclsh load.tcl "$(echo "$AT"/share/modulefiles/plait/*)" >paths
	while read -r _ dir; do [ -d "$dir" ] || fail "'$dir' is not there"; done <paths
	grep -qx "PATH $AT/bin" paths
	grep -qx "PLAIT_SLURM $AT/share/plait/slurm" paths
}

@test "the module loads in Environment Modules" {
	local init=/usr/share/modules/init/bash
	[ -r $init ] || skip "Environment Modules is not installed"
	# shellcheck disable=SC2016  # the inner shell's own
	run -0 env -i PATH=/usr/bin:/bin bash -c '. "$1"; module use "$2/share/modulefiles"; module load plait; command -v plait; plait --version' bash $init "$AT"
	[ "${lines[0]}" = "$AT/bin/plait" ]
}

@test "make honours the compiler, the wrapper and the flags it is given" {
	local f
	run -0 env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -n -C "$(repository)" B="$PWD/b" V=1 CC=thatcc MPICC=thatmpicc CFLAGS=-DGIVEN LDFLAGS=-Wl,-Lgiven all
	for f in 'thatcc .*-DGIVEN.* -c ' 'thatcc .*-Wl,-Lgiven .*bin/plait-ls' 'thatmpicc .*-DGIVEN.*dist/job.c' 'thatmpicc .*-Wl,-Lgiven .*bin/plait-run' \
	    'thatcc .*-shared .*-Wl,-Lgiven'; do
		grep -qE -- "$f" <<<"${output//\\$'\n'/}" || fail "no command like '$f'"
	done
}

@test "uninstall leaves nothing, and nothing of others" {
	make_target "$PWD/dest" install-files
	touch dest/opt/plait/bin/other dest/opt/plait/share/modulefiles/other
	make_target "$PWD/dest" uninstall
	[ "$(cd dest && find . ! -type d | sort | tr '\n' ' ')" = "./opt/plait/bin/other ./opt/plait/share/modulefiles/other " ] || { find dest ! -type d >&2; false; }
	[ ! -d dest/opt/plait/share/plait ]
	[ ! -d dest/opt/plait/include/plait ]
}

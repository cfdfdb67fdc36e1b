#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every recipe of configs/ runs on small data of its kinds, and what comes out is what it says: shares, epochs, repeats, parts, markers.
# Oracles: recipes.py, which reads recipe, dataset.json and shards, and none of plait's code.

load common

CONFIGS=$CLI_DIR/../../configs

setup()
{
	work_here
	/usr/bin/python3 -c 'import yaml' 2>/dev/null || skip "Debian's python3-yaml is not installed"
}

run_recipe()     # NAME [RANKS]
{
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$CLI_DIR/recipes.py" make "$CONFIGS/$1.yaml"
	plait run -q -j2 r.yaml >names 2>err || { cat err >&2; fail "$1.yaml failed"; }
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$CLI_DIR/recipes.py" check
}

@test "configs/align.yaml" { run_recipe align; }
@test "configs/blip2.yaml" { run_recipe blip2; }
@test "configs/chameleon.yaml" { run_recipe chameleon; }
@test "configs/clip.yaml" { run_recipe clip; }
@test "configs/dpo.yaml" { run_recipe dpo; }
@test "configs/emu2.yaml" { run_recipe emu2; }
@test "configs/flamingo.yaml" { run_recipe flamingo; }
@test "configs/fuyu.yaml" { run_recipe fuyu; }
@test "configs/idefics.yaml" { run_recipe idefics; }
@test "configs/instructblip.yaml" { run_recipe instructblip; }
@test "configs/llava-align.yaml" { run_recipe llava-align; }
@test "configs/llava-instruct.yaml" { run_recipe llava-instruct; }
@test "configs/llava-next.yaml" { run_recipe llava-next; }
@test "configs/llava-uhd.yaml" { run_recipe llava-uhd; }
@test "configs/llava15.yaml" { run_recipe llava15; }
@test "configs/metaclip.yaml" { run_recipe metaclip; }
@test "configs/mimic-it.yaml" { run_recipe mimic-it; }
@test "configs/mmc4-flamingo.yaml" { run_recipe mmc4-flamingo; }
@test "configs/monkey.yaml" { run_recipe monkey; }
@test "configs/pali.yaml" { run_recipe pali; }
@test "configs/qwen2-vl.yaml" { run_recipe qwen2-vl; }
@test "configs/show-o.yaml" { run_recipe show-o; }

@test "recipes whose kinds the shared data have, on these" {
	shared_data
	local config code=0 ran=0
	for config in "$CONFIGS"/*.yaml; do
		[ "$config" != "$CONFIGS/demo.yaml" ] || continue
		mkdir "$(basename "$config" .yaml)"
		cd "$(basename "$config" .yaml)" || return 1
		code=0
		PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$CLI_DIR/recipes.py" make "$config" "$PLAIT_SHARED_DATA" || code=$?
		if [ "$code" = 0 ]; then
			plait run -q -j2 --no-verify r.yaml >names 2>err || { cat err >&2; fail "$config failed"; }
			PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$CLI_DIR/recipes.py" check || fail "$config"
			ran=$((ran + 1))
		fi
		[ "$code" = 0 ] || [ "$code" = 3 ] || fail "$config: exit code $code"
		cd ..
	done
	[ "$ran" -ge 9 ] || fail "$ran recipes ran"
}

@test "every recipe is tested here, and has its row in the table" {
	diff <(cd "$CONFIGS" && ls ./*.yaml | sed 's,^\./,,; /^demo/d') <(grep -o 'run_recipe [a-z0-9-]\+' "$BATS_TEST_FILENAME" | awk '{ print $2 ".yaml" }' | sort -u)
	diff <(cd "$CONFIGS" && ls ./*.yaml | sed 's,^\./,,') <(grep -o '`[a-z0-9-]*\.yaml`' "$CONFIGS/README.md" | tr -d '`' | sort -u)
}

@test "a recipe with several sources has the same bytes at 1, 2, 3 and 5 ranks; another seed changes order and part only" {
	local n
	run_recipe qwen-vl
	cat out/*/dataset.json >one
	(cd out && sha256sum ./*/*.tar.zst) >sums
	for n in 2 3 5; do
		rm -r out
		mpirun --oversubscribe -n "$n" plait-run -q -j1 r.yaml >/dev/null
		(cd out && sha256sum -c --quiet ../sums)
		diff one <(cat out/*/dataset.json)
	done
	jq -c '.plan.sources[] | [.name, .kept, .drawn]' out/*/dataset.json >shares
	rm -r out/qwen-vl-?/*.tar.zst
	plait run -q -j2 --force --seed 99 r.yaml >/dev/null
	diff shares <(jq -c '.plan.sources[] | [.name, .kept, .drawn]' out/*/dataset.json)
	! (cd out && sha256sum -c --status ../sums)
	PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$CLI_DIR/recipes.py" check
}

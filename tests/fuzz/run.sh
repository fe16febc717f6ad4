#!/bin/sh
# run.sh RUNS PROGRAM...: runs each fuzz program for RUNS inputs, beginning with its corpus; what it finds worth keeping
# goes to the build directory, a finding ends the run and leaves its input there. FUZZ_ARGS: more options of libFuzzer.
set -u
runs=$1
shift
passed=0 failed=0
# Small inputs, small allocations: a short quarantine stays in the cache.
export ASAN_OPTIONS="quarantine_size_mb=8:${ASAN_OPTIONS:-}"
for program in "$@"; do
	name=$(basename "$program" | sed 's/^fuzz_//')
	dir=$(dirname "$program")
	new=$dir/corpus-$name
	mkdir -p "$new"
	log=$dir/fuzz-$name.log
	dict=tests/fuzz/$name.dict
	[ -f "$dict" ] && dict="-dict=$dict" || dict=
	began=$(date +%s)
	# shellcheck disable=SC2086
	if "$program" -runs="$runs" -max_len="${MAX_LEN:-4096}" -rss_limit_mb=2048 -timeout=20 ${FUZZ_ARGS:-} -artifact_prefix="$dir/$name-" $dict \
		"$new" "tests/fuzz/corpus/$name" >"$log" 2>&1; then
		passed=$((passed + 1))
		echo "$name: $runs inputs in $(($(date +%s) - began)) s, $(sed -n 's/.*cov: \([0-9]*\).*/\1/p' "$log" | tail -n 1) edges"
	else
		failed=$((failed + 1))
		echo "$name: a finding; its input is $dir/$name-*"
		tail -n 60 "$log"
	fi
done
echo "fuzz: $passed passed, $failed failed"
[ "$failed" = 0 ]

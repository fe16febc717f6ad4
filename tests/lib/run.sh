#!/bin/sh
# run.sh TITLE PROGRAM...: runs Check programs, as many at once as there are cores, prints what each said, and ends with
# a line "TITLE: N passed, N failed". A program that ends without its summary counts as one failure.
set -u
# Limits of time are there to end what hangs: a slow machine must not meet them.
export CK_TIMEOUT_MULTIPLIER="${CK_TIMEOUT_MULTIPLIER:-10}"
title=$1
shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
printf '%s\n' "$@" | OUT=$out xargs -r -P "${TEST_JOBS:-$(nproc)}" -I '{}' sh -c '
	name=$(echo "$1" | tr / _)
	timeout -k 10 "${TEST_LIMIT_S:-2400}" "$1" >"$OUT/$name" 2>&1
	status=$?
	grep -q "^[0-9]*%: Checks:" "$OUT/$name" || { echo "$1: ended with status $status"; echo "0%: Checks: 1, Failures: 1, Errors: 0"; } >>"$OUT/$name"
	# The tests passed, yet the program did not: a server that did not stop cleanly.
	[ $status = 0 ] || ! grep -q "^100%: Checks:" "$OUT/$name" || echo "0%: Checks: 1, Failures: 1, Errors: 0 (the server)" >>"$OUT/$name"
	cat "$OUT/$name"
' sh '{}'
cat "$out"/* 2>/dev/null | awk -v title="$title" '
	/^[0-9]+%: Checks:/ { gsub(/,/, ""); all += $3; bad += $5 + $7 }
	END { printf "%s: %d passed, %d failed\n", title, all - bad, bad; exit bad > 0 }'

#!/bin/sh
# run.sh: builds the load driver and the floor, then measures all servers side by side: bench/run.py says how.
# QUICK=1: a check of the machinery in a few minutes; README.md is then left alone.
set -eu
cd "$(dirname "$0")/.."
out=${B:-build}/bench
mkdir -p "$out"
flags="-std=c11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -pthread -I."
${CC:-gcc} $flags -o "$out/load" bench/load.c
${CC:-gcc} $flags -o "$out/work" bench/work.c
${CC:-gcc} $flags -o "$out/floor" bench/floor.c "${B:-build}/libshoalnet.a" -luring -lssl -lcrypto -pthread || rm -f "$out/floor"
[ -z "${QUICK:-}" ] || set -- --quick "$@"
exec python3 bench/run.py --build "${B:-build}" "$@"

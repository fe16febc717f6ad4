#!/bin/sh
# cover.sh DIR: line coverage by file from the .gcda files of a build directory, least covered first.
set -eu
dir=$1
find "$dir/obj/net" "$dir/obj/store" "$dir/obj/server" -name '*.gcda' -exec gcov -n {} + 2>/dev/null | awk -F"'" '
	/^File / { file = $2 }
	/^Lines executed:/ && file ~ /^(net|store|server)\/.*\.c$/ {
		split($0, a, /[:% ]+/)
		if (!(file in share) || a[3] + 0 > share[file]) { share[file] = a[3] + 0; lines[file] = a[5] + 0 }
	}
	{ if (/^Lines executed:/) file = "" }
	END {
		for (f in share) { hit += share[f] * lines[f] / 100; all += lines[f]; printf "%6.1f %% of %5d  %s\n", share[f], lines[f], f | "sort -n" }
		close("sort -n")
		if (all) printf "%6.1f %% of %5d  in all\n", 100 * hit / all, all
	}'

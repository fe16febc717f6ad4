#!/bin/sh
# lint.sh: checks the house rules over all files of the repository: includes, banned functions, lengths, blanks, words.
#
# Findings that stand in tests/lib/lint.allow are let through, one key per line ("rule file [function]"), with a reason
# behind a #. The list may only shrink: a key without a finding is an error too, so that it is removed.
set -u
cd "$(dirname "$0")/../.." || exit 2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

git ls-files -co --exclude-standard >"$tmp/all" 2>/dev/null || find . -type f -not -path './.git/*' -not -path './build*' | sed 's|^\./||' >"$tmp/all"
# Data (corpora, plots, tables of names) has no style.
grep -E '(\.([ch]|sh|awk|py|md|map|mk)$|(^|/)Makefile$|^\.ci/)' "$tmp/all" | grep -v '/corpus/' | while read -r f; do [ -f "$f" ] && echo "$f"; done >"$tmp/text"
xargs awk -f tests/lib/lint.awk <"$tmp/text" >"$tmp/found"

# The project speaks of the project alone: no paths of a machine, no words of a workplace.
while read -r f; do [ -f "$f" ] && echo "$f"; done <"$tmp/all" | grep -v '/corpus/' >"$tmp/files"
words='/wor''k/|/opt/ora''cles|/tmp/cla''ude|work''tree'
xargs grep -nIE "$words" <"$tmp/files" /dev/null | awk -F: '{ printf "words %s\t%s:%s: a path or word of a workplace: %s\n", $1, $1, $2, $3 }' >>"$tmp/found"

# Top level: nothing grows there unnoticed.
sed 's|/.*||' "$tmp/files" | sort -u | grep -vxE 'server|net|store|tests|bench|conf|Makefile|README.md|LICENSE|CHANGELOG.md|\..*' |
	awk '{ printf "top %s\t%s: does not belong on the top level\n", $1, $1 }' >>"$tmp/found"

sed 's/[ \t]*#.*//; /^$/d' tests/lib/lint.allow >"$tmp/allow"
awk -F'\t' -v allow="$tmp/allow" '
	BEGIN { while ((getline key < allow) > 0) allowed[key] = 1 }
	$1 in allowed { used[$1] = 1; next }
	{ print $2; bad++ }
	END {
		for (key in allowed) if (!(key in used)) { print "lint.allow: no longer needed: " key; bad++ }
		printf "lint: %d passed, %d failed\n", bad ? 0 : 1, bad
		exit bad > 0
	}' "$tmp/found"

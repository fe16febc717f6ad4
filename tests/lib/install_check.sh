#!/bin/bash
# install_check.sh: installs into a temporary place, compiles each installed header alone and a program against each
# library, static and shared, with what pkg-config says, runs them, and uninstalls again.
set -u
cd "$(dirname "$0")/../.." || exit 1
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0
ok() { # NAME COMMAND...
	local name=$1
	shift
	if "$@" >"$tmp/out" 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "install: $name"; tail -n 20 "$tmp/out"; fi
}

root=$tmp/root prefix=/opt/shoal
ok install make -s -j"$(nproc)" install DESTDIR="$root" PREFIX=$prefix
export PKG_CONFIG_PATH=$root$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
flags="-std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror"

for h in $(cd "$root$prefix/include/shoal" && find . -name '*.h' | sed 's|^\./||'); do
	echo "#include \"$h\"" >"$tmp/h.c"
	ok "header $h" gcc $flags -c -o "$tmp/h.o" "$tmp/h.c" $(pkg-config --cflags libshoalnet)
done

# The first program of net/README.md, as it stands there.
sed -n '/^```c$/,/^```$/{/^```$/q;/^```/d;p}' net/README.md >"$tmp/net.c"
cat >"$tmp/store.c" <<'C'
#include <stdio.h>
#include <string.h>
#include "store/entry.h"
#include "store/store.h"
int main(void)
{
	struct store_options o;
	int err = 0;
	store_options_init(&o);
	struct store *s = store_open(&o, &err);
	if (!s)
		return 1;
	struct store_op op = { .store = s, .now_ms = 1000 };
	struct store_key k = store_key(s, "key", 3);
	store_lock(s, k.hash);
	struct entry *e = store_set_string(&op, &k, "value", 5, STORE_NO_EXPIRY);
	char buf[24];
	size_t len = 0;
	e = e ? store_find(&op, &k, STORE_READ) : NULL;
	const char *v = e ? entry_string(e, buf, &len) : "";
	int good = len == 5 && !memcmp(v, "value", 5);
	store_unlock(s, k.hash);
	store_close(s);
	return !good;
}
C
runs() { # LIBRARY PROGRAM: net's is an echo server, store's does what it has to and returns 0
	if [ "$1" = store ]; then "$2"; return; fi
	local pid port try status=1 line
	for try in 1 2 3 4 5 6 7 8 9 10; do
		port=$((20000 + RANDOM % 12000))
		"$2" "tcp4://127.0.0.1:$port" &
		pid=$!
		while kill -0 $pid 2>/dev/null; do
			if exec 3<>"/dev/tcp/127.0.0.1/$port"; then
				echo hello >&3
				read -r -t 20 line <&3
				exec 3>&-
				[ "$line" != hello ] || status=0
				kill $pid
			fi
		done 2>/dev/null
		wait $pid 2>/dev/null
		[ $status != 0 ] || return 0
	done
	return 1
}
for l in net store; do
	ok "shared $l compiles" gcc $flags -o "$tmp/$l-shared" "$tmp/$l.c" $(pkg-config --cflags --libs libshoal$l)
	LD_LIBRARY_PATH=$root$prefix/lib ok "shared $l runs" runs $l "$tmp/$l-shared"
	ok "shared $l is used" sh -c "ldd '$tmp/$l-shared' | grep -q libshoal$l.so.0"
	ok "static $l compiles" gcc $flags -o "$tmp/$l-static" "$tmp/$l.c" $(pkg-config --cflags libshoal$l) \
		"$root$prefix/lib/libshoal$l.a" $(pkg-config --static --libs-only-l libshoal$l | sed "s/-lshoal$l//") -pthread
	ok "static $l runs" runs $l "$tmp/$l-static"
	# Public names alone: everything exported begins with a prefix of the library.
	ok "exports of $l" sh -c "! nm -D --defined-only '$root$prefix/lib/libshoal$l.so' | awk '\$2 != \"A\" { print \$3 }' |
		grep -vE '^(net|store|entry|blob|mem|glob|number)_'"
	ok "names of static $l" sh -c "! nm -g --defined-only '$root$prefix/lib/libshoal$l.a' | awk 'NF == 3 { print \$3 }' |
		grep -vE '^(net|store|entry|blob|mem|glob|number)_'"
done

# The manual has each function of libshoalnet, as it is declared and with words below it, and C++ can use it.
man=$root$prefix/share/man/man3
functions=$(nm -D --defined-only "$root$prefix/lib/libshoalnet.so" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }')
described() { # FUNCTION
	local page
	page=$root$prefix/share/man/$(sed -n 's/^\.so //p' "$man/$1.3")
	awk -v f="$1" 'index($0, f "(") && /^\\fB/ { found = 1 }
		found && /^\\fB/ && /\/\*/ { here = 1 }
		found && /^\.RS/ { getline; if ($0 != "" && !/^\./) here = 1 }
		found && /^\.PP/ { exit }
		END { exit !here }' "$page"
}
all_described() {
	local f bad=0
	for f in $functions; do described "$f" || { echo "$f is not in the manual"; bad=1; }; done
	return $bad
}
ok "functions are found" test "$(echo "$functions" | wc -l)" -gt 90
ok "the manual" all_described
if command -v groff >/dev/null; then
	ok "pages are formatted" sh -c "cd '$root$prefix/share/man' && ! groff -ww -man -Tutf8 man3/shoalnet_*.3 2>&1 >/dev/null | grep ."
fi
{
	for h in $(cd "$root$prefix/include/shoal" && echo net/*.h); do echo "#include \"$h\""; done
	echo 'int main(int argc, char **) { void *all[] = {'
	for f in $functions; do echo "	(void *)&$f,"; done
	echo '}; for (void *p : all) if (!p || argc > 9) return 1; return 0; }'
} >"$tmp/all.cc"
for std in 11 20; do
	ok "C++$std compiles" g++ -std=c++$std -Wall -Wextra -Werror -o "$tmp/cxx" "$tmp/all.cc" $(pkg-config --cflags --libs libshoalnet)
	ok "C++$std runs" env LD_LIBRARY_PATH="$root$prefix/lib" "$tmp/cxx"
done
ok "server runs" "$root$prefix/bin/shoal-server" --version
ok uninstall make -s uninstall DESTDIR="$root" PREFIX=$prefix
ok "nothing is left" sh -c "! find '$root' -type f -o -type l | grep ."
echo "install: $passed passed, $failed failed"
[ $failed = 0 ]

#!/bin/sh
# packages.sh GROUP...: installs Debian packages that are missing, saying which and why. Groups: build test fuzz.
set -eu

list() {
	cat <<-LIST
	build gcc the compiler
	build libc6-dev the C library's headers
	build binutils the linker, and names of static libraries made local
	build libjemalloc-dev the memory allocator
	build libssl-dev random bytes, digests, TLS
	build liburing-dev io_uring, where the kernel has it
	build liblzf-dev compression of strings in snapshots
	build libxxhash-dev hashing where no secret is needed
	build liblua5.1-0-dev scripts
	build lua-cjson-dev JSON in scripts
	build libsystemd-dev readiness messages to systemd
	build redis-tools redis-cli and redis-benchmark, to talk to the server
	test g++ the test of the headers in C++
	test check the unit test framework
	test libsubunit-dev check depends on it
	test libhiredis-dev a client library for the command tests
	test redis-server the server whose replies ours are compared with
	test procps process tools for the tests
	test pkg-config the test of the installed libraries
	fuzz clang the fuzzing engine
	LIST
	ver=$(clang --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1)
	echo "fuzz libclang-rt-${ver:-14}-dev the fuzzing engine's runtime"
}

have() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }

command -v dpkg-query >/dev/null || exit 0 # not Debian: the compiler will say what is missing
missing=
for group in "$@"; do
	packages=$(list | awk -v g="$group" '$1 == g { print $2 }')
	for p in $packages; do
		have "$p" || missing="$missing $p"
	done
done
[ -n "$missing" ] || exit 0

echo "Installing packages that Shoal needs:"
for p in $missing; do
	list | awk -v p="$p" '$2 == p { n = $2; $1 = $2 = ""; printf "  %-18s%s\n", n, $0; exit }'
done
root=
[ "$(id -u)" = 0 ] || root=sudo
# Others may be installing, and a network may fail for a moment; the lists that are there may do.
apt="apt-get -qq -o Acquire::Retries=5 -o DPkg::Lock::Timeout=600"
$root $apt update || echo "note: the lists of packages could not be renewed"
$root env DEBIAN_FRONTEND=noninteractive $apt install -y --no-install-recommends $missing >/dev/null
case " $missing " in
*" redis-server "*)
	# Only the program is wanted: its service would hold port 6379.
	if [ -d /run/systemd/system ]; then $root systemctl disable --now redis-server >/dev/null 2>&1 || true; fi
	;;
esac

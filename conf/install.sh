#!/bin/sh
# install.sh install|uninstall: called by the Makefile, which sets V SO B DESTDIR PREFIX LIBDIR INCDIR SYSCONFDIR UNITDIR MANDIR.
#
# Headers keep their places in the tree below include/shoal, so that programs say #include "net/net.h" with the flags
# that pkg-config prints.
set -eu

BIN=$PREFIX/bin
CONF=$SYSCONFDIR/shoal

headers() { # the public ones: of net those that show nothing of impl/, of store those that its README names
	grep -L '#include "net/impl/' net/*.h
	for h in store entry memory types glob number; do echo "store/$h.h"; done
}

put() { # MODE SOURCE TARGET
	mkdir -p "$DESTDIR$(dirname "$3")"
	install -m "$1" "$2" "$DESTDIR$3"
}

pc() { # NAME DESCRIPTION PRIVATE-LIBRARIES
	mkdir -p "$DESTDIR$LIBDIR/pkgconfig"
	cat >"$DESTDIR$LIBDIR/pkgconfig/$1.pc" <<-PC
	prefix=$PREFIX
	libdir=$LIBDIR
	includedir=$INCDIR

	Name: $1
	Description: $2
	Version: $V
	Libs: -L\${libdir} -l${1#lib} -pthread
	Libs.private: $3
	Cflags: -I\${includedir} -pthread
	PC
}

library() { # NAME
	put 644 "$B/static/$1.a" "$LIBDIR/$1.a"
	put 755 "$B/$1.so.$V" "$LIBDIR/$1.so.$V"
	ln -sf "$1.so.$V" "$DESTDIR$LIBDIR/$1.so.$SO"
	ln -sf "$1.so.$SO" "$DESTDIR$LIBDIR/$1.so"
}

do_install() {
	put 755 "$B/shoal-server" "$BIN/shoal-server"
	for h in $(headers); do put 644 "$h" "$INCDIR/$h"; done
	library libshoalnet
	library libshoalstore
	pc libshoalnet "Event loops, listeners and connections" "-lssl -lcrypto -luring"
	pc libshoalstore "A sharded in-process keyspace with Redis's data types and expiry" \
		"-ljemalloc -lcrypto -llzf -lxxhash -lm"
	for m in "$B"/man/*.3; do put 644 "$m" "$MANDIR/man3/${m##*/}"; done
	# A configuration that somebody edited stays.
	if [ -f conf/shoal.conf ]; then
		put 644 conf/shoal.conf "$CONF/shoal.conf.default"
		[ -f "$DESTDIR$CONF/shoal.conf" ] || put 644 conf/shoal.conf "$CONF/shoal.conf"
	fi
	[ ! -f conf/users.acl ] || put 644 conf/users.acl "$CONF/users.acl.sample"
	if [ -f conf/shoal.service ]; then
		mkdir -p "$DESTDIR$UNITDIR"
		sed -e "s|@BIN@|$BIN|g" -e "s|@CONF@|$CONF|g" conf/shoal.service >"$DESTDIR$UNITDIR/shoal.service"
		chmod 644 "$DESTDIR$UNITDIR/shoal.service"
	fi
	if [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ]; then ldconfig 2>/dev/null || true; fi
}

do_uninstall() {
	rm -f "$DESTDIR$BIN/shoal-server" "$DESTDIR$UNITDIR/shoal.service"
	for l in libshoalnet libshoalstore; do
		rm -f "$DESTDIR$LIBDIR/$l.a" "$DESTDIR$LIBDIR/$l.so" "$DESTDIR$LIBDIR/$l.so.$SO" "$DESTDIR$LIBDIR/$l.so.$V" \
			"$DESTDIR$LIBDIR/pkgconfig/$l.pc"
	done
	rm -rf "$DESTDIR${INCDIR:?}"
	for m in "$B"/man/*.3; do rm -f "$DESTDIR$MANDIR/man3/${m##*/}"; done
	if cmp -s "$DESTDIR$CONF/shoal.conf" "$DESTDIR$CONF/shoal.conf.default"; then rm -f "$DESTDIR$CONF/shoal.conf"; fi
	rm -f "$DESTDIR$CONF/shoal.conf.default" "$DESTDIR$CONF/users.acl.sample"
	for d in "$CONF" "$LIBDIR/pkgconfig" "$UNITDIR" "$MANDIR/man3"; do rmdir "$DESTDIR$d" 2>/dev/null || true; done
}

case ${1:-} in
install) do_install ;;
uninstall) do_uninstall ;;
*) echo "usage: install.sh install|uninstall (see the Makefile)" >&2; exit 2 ;;
esac

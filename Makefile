# Shoal. `make help` lists the targets.
#
# Variables: CC=gcc|clang, SAN=address|undefined|thread (or several, with commas; each has a build directory of its own),
# OPT=-O2, V=1 (commands are shown), PREFIX, DESTDIR, ORACLE (server to compare with), LOOPS="1 4" (loops of the command
# tests).
ifeq ($(origin CC),default)
CC := gcc
endif
VERSION := 0.1.0
SOVERSION := 0
comma := ,
B ?= build$(if $(SAN),-$(subst $(comma),-,$(SAN)))$(if $(COVER),-cover)$(if $(findstring clang,$(CC)),-clang)
OPT ?= -O2
CFLAGS ?= $(OPT) -g
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -DSHOAL_VERSION='"$(VERSION)"' $(WARN) $(CFLAGS) -fno-omit-frame-pointer -pthread \
	-I. -MMD -MP
LIBS := -llua5.1-cjson -llua5.1 -ljemalloc -lssl -lcrypto -luring -llzf -lxxhash -lsystemd -lm -pthread
ifneq ($(SAN),)
ALL_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all -DSHOAL_NO_JEMALLOC
ALL_LDFLAGS += -fsanitize=$(SAN)
LIBS := $(filter-out -ljemalloc,$(LIBS))
else
ALL_CFLAGS += -fstack-protector-strong -fno-plt $(if $(filter -O0,$(OPT) $(CFLAGS)),,-D_FORTIFY_SOURCE=2)
ALL_LDFLAGS += -Wl,-z,relro,-z,now
endif
ifneq ($(COVER),)
ALL_CFLAGS += --coverage
ALL_LDFLAGS += --coverage
endif
ALL_LDFLAGS += $(LDFLAGS)

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
UNITDIR ?= $(PREFIX)/lib/systemd/system
MANDIR ?= $(PREFIX)/share/man
INCDIR := $(PREFIX)/include/shoal
LOOPS ?= 1 4
SEED ?=
COUNT ?=
RUNS ?= 100000

NET_SRC := $(wildcard net/*.c net/impl/*.c)
STORE_SRC := $(wildcard store/*.c store/impl/*.c store/types/*.c)
SERVER_SRC := $(wildcard server/*.c server/commands/*.c server/journal/*.c server/script/*.c)
TESTLIB_SRC := $(wildcard tests/lib/*.c)
DIFF_SRC := $(wildcard tests/diff/*.c)
UNIT_SRC := $(wildcard tests/unit/test_*.c)
COMMANDS_SRC := $(wildcard tests/commands/test_*.c)
FAULTS_SRC := tests/faults/main.c
LINEAR_SRC := $(wildcard tests/linear/*.c)
FUZZ_SRC := $(wildcard tests/fuzz/fuzz_*.c)
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
pic = $(patsubst %.c,$(B)/pic/%.o,$(1))
UNIT_BIN := $(UNIT_SRC:tests/unit/%.c=$(B)/tests/%)
KQUEUE_BIN := $(addprefix $(B)/tests/test_kqueue_,conn server codec websocket proactor udp)
COMMANDS_BIN := $(COMMANDS_SRC:tests/commands/%.c=$(B)/tests/commands/%)
FUZZ_BIN := $(FUZZ_SRC:tests/fuzz/%.c=$(B)/%)
OUR_LIBS := $(B)/libserver.a $(B)/libshoalstore.a $(B)/libshoalnet.a
TEST_LIBS := -lcheck -lsubunit -lhiredis $(LIBS) -lrt
Q := $(if $(V),,@)
SAY := $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),: ,echo )

# Sanitizers are slow: the time limits of unit tests grow.
SLOW := $(if $(SAN)$(COVER),CK_TIMEOUT_MULTIPLIER=100)

.PHONY: all help run test unit commands clients diff storm linear readme faults lint script-gc format fuzz fuzz-bins bench bench-net examples cover install uninstall shared clean
.SECONDARY:
all: $(B)/shoal-server $(B)/man/made ## build the server and libshoalnet's manual pages

help: ## this list
	@echo "Targets of Shoal (variables are at the top of the Makefile):"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1	\2/p' Makefile | expand -t 14

# ------------------------------------------------------------------ building

$(B)/libshoalnet.a: $(call obj,$(NET_SRC))
$(B)/libshoalstore.a: $(call obj,$(STORE_SRC))
$(B)/libserver.a: $(call obj,$(filter-out server/main.c,$(SERVER_SRC)))
$(B)/libtest.a: $(call obj,$(TESTLIB_SRC))
$(B)/%.a:
	$(Q)rm -f $@; ar rcs $@ $^
$(B)/shoal-server: $(B)/obj/server/main.o $(OUR_LIBS)
	$(Q)$(SAY)"LD $@"; $(CC) $(ALL_LDFLAGS) -rdynamic -o $@ $^ $(LIBS)

$(B)/obj/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(SAY)"CC $<"; $(CC) $(ALL_CFLAGS) -c -o $@ $<
$(B)/pic/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(SAY)"CC $< (shared)"; $(CC) $(ALL_CFLAGS) -fPIC -c -o $@ $<

# Shared libraries export the public functions alone (the version maps).
$(B)/libshoalnet.so.$(VERSION): $(call pic,$(NET_SRC)) net/libshoalnet.map
$(B)/libshoalstore.so.$(VERSION): $(call pic,$(STORE_SRC)) store/libshoalstore.map
$(B)/%.so.$(VERSION):
	$(Q)$(SAY)"LD $@"; $(CC) $(ALL_LDFLAGS) -shared -Wl,-soname,$*.so.$(SOVERSION) \
		-Wl,--version-script=$(filter %.map,$^) -Wl,-z,defs -o $@ $(filter %.o,$^) \
		$(if $(findstring store,$*),$(filter -ljemalloc -lcrypto -lxxhash -llzf,$(LIBS)),-lssl -lcrypto -luring) -lm -pthread
shared: $(B)/libshoalnet.so.$(VERSION) $(B)/libshoalstore.so.$(VERSION) ## build the shared libraries

# So do the static libraries that are installed: one object, in which every other name is local.
EXPORTS = $(shell sed -n 's/^\t\([a-z_]*_\*\);/--keep-global-symbol=\1/p' $(1))
$(B)/static/libshoalnet.a: $(call obj,$(NET_SRC)) net/libshoalnet.map
$(B)/static/libshoalstore.a: $(call obj,$(STORE_SRC)) store/libshoalstore.map
$(B)/static/%.a:
	$(Q)mkdir -p $(@D); rm -f $@
	$(Q)$(SAY)"LD $@"; ld -r -o $(@:.a=.o) $(filter %.o,$^)
	$(Q)objcopy --wildcard $(call EXPORTS,$(filter %.map,$^)) $(@:.a=.o); ar rcs $@ $(@:.a=.o)

# Manual pages from the public headers.
NET_PUBLIC := $(filter-out $(shell grep -l '"net/impl/' net/*.h),$(wildcard net/*.h))
$(B)/man/made: conf/reference.awk $(NET_PUBLIC)
	$(Q)rm -rf $(@D); mkdir -p $(@D)
	$(Q)$(SAY)"MAN $(@D)"; awk -f $< -v dir=$(@D) -v version=$(VERSION) $(NET_PUBLIC) && touch $@

run: ## install what is missing, build, start on port 6379
	@tests/lib/packages.sh build
	$(Q)$(MAKE) --no-print-directory all
	$(B)/shoal-server conf/shoal.conf

# ------------------------------------------------------------------ testing

test: ## install what is missing, build, run unit tests, command tests, short differential and linearizability runs
	@tests/lib/packages.sh build test
	$(Q)$(MAKE) --no-print-directory all unit commands
	$(Q)$(MAKE) --no-print-directory diff SEED=$(or $(SEED),1) COUNT=$(or $(COUNT),20000)
	$(Q)$(MAKE) --no-print-directory linear HISTORIES=3

$(B)/tests/test_%: $(B)/obj/tests/unit/test_%.o $(B)/libtest.a $(OUR_LIBS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
# The kqueue backend: the tests of connections and servers with a library built for it, on a model of kqueue.
KQUEUE_OBJ := $(patsubst %.c,$(B)/kqueue/%.o,$(NET_SRC) tests/lib/net_fixture.c tests/lib/kqueue/model.c)
$(B)/tests/test_kqueue_%: $(B)/kqueue/tests/unit/test_net_%.o $(KQUEUE_OBJ)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(B)/kqueue/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(SAY)"CC $< (kqueue)"; $(CC) $(ALL_CFLAGS) -DNET_HAVE_KQUEUE -Itests/lib/kqueue -c -o $@ $<
# The embedding example is tested as it stands in store/README.md.
$(B)/gen/store_example.c: store/README.md
	$(Q)mkdir -p $(@D); sed -n '/^```c$$/,/^```$$/{/^```/d;p}' $< >$@
$(B)/obj/tests/unit/test_store_readme.o: $(B)/gen/store_example.c
$(B)/obj/tests/unit/test_store_readme.o: ALL_CFLAGS += -I$(B)

$(B)/tests/commands/test_%: $(B)/obj/tests/commands/test_%.o $(B)/libtest.a $(OUR_LIBS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)

unit: $(UNIT_BIN) $(KQUEUE_BIN) $(B)/shoal-compat ## unit tests
	$(Q)$(SLOW) tests/lib/run.sh unit $(UNIT_BIN) $(KQUEUE_BIN)
	$(Q)$(B)/shoal-compat README.md
commands: $(B)/shoal-server $(COMMANDS_BIN) ## command tests against a running server, with 1 and with 4 loops
	$(Q)status=0; for n in $(LOOPS); do SHOAL_SERVER=$(B)/shoal-server SHOAL_LOOPS=$$n \
		tests/lib/run.sh "commands, loops $$n" $(COMMANDS_BIN) || status=1; done; exit $$status

# In a build directory of its own: what the define changes is the interpreter's pace.
GC_TESTS := script script_busy functions
script-gc: ## tests of scripts and functions with a garbage collection at every allocation, with ASan and UBSan
	$(Q)$(MAKE) --no-print-directory SAN=address,undefined B=build-gc CFLAGS="$(OPT) -g -DSHOAL_SCRIPT_GC" \
		COMMANDS_BIN="$(GC_TESTS:%=build-gc/tests/commands/test_%)" commands

$(B)/shoal-compat: $(B)/obj/tests/compat/compat.o $(OUR_LIBS)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)
readme: $(B)/shoal-compat ## write the table of commands into README.md
	$(Q)$(B)/shoal-compat -w README.md

$(B)/shoal-diff: $(call obj,$(DIFF_SRC)) $(B)/libtest.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
diff: $(B)/shoal-server $(B)/shoal-diff ## compare with ORACLE: COUNT commands (1000000) from SEED
	$(Q)SHOAL_SERVER=$(B)/shoal-server $(B)/shoal-diff $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED)) $(DIFF_ARGS)

# Concurrent clients, and a search for an order that explains what they saw.
HISTORIES ?= 20
OPS ?= 10000
$(B)/shoal-linear: $(call obj,$(LINEAR_SRC)) $(B)/libtest.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
linear: $(B)/shoal-server $(B)/shoal-linear ## linearizability of HISTORIES concurrent histories (20) of OPS operations
	$(Q)SHOAL_SERVER=$(B)/shoal-server $(B)/shoal-linear --histories $(HISTORIES) --ops $(OPS)

# Crashes under load. A run with the figures of the acceptance: CYCLES=2000 POWER=500 EVERYSEC=50.
CYCLES ?= 200
POWER ?= 50
EVERYSEC ?= 10
$(B)/shoal-faults: $(call obj,$(FAULTS_SRC)) $(B)/libtest.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
$(B)/forget.so: tests/faults/forget.c
	$(Q)mkdir -p $(@D); $(CC) -std=c11 -D_GNU_SOURCE $(WARN) -O1 -shared -fPIC -o $@ $< -ldl -pthread
faults: $(B)/shoal-server $(B)/shoal-faults $(B)/forget.so ## kill -9 and power cuts under load: CYCLES, POWER, EVERYSEC of each
	$(Q)export SHOAL_SERVER=$(B)/shoal-server; status=0; $(B)/shoal-faults kill $(CYCLES) || status=1; \
		$(B)/shoal-faults power $(POWER) $(B)/forget.so || status=1; \
		$(B)/shoal-faults slow 1 $(B)/forget.so || status=1; \
		$(B)/shoal-faults everysec $(EVERYSEC) $(B)/forget.so || status=1; exit $$status

# A storm of connections against four loops, and of operations of the proactor: STORM_S seconds for each way to poll and to
# send (150: twelve minutes and a half of the first, five of the other). What a plain run does not see, one with SAN=address
# or SAN=thread does.
STORM_S ?= 150
storm: $(B)/tests/test_net_storm ## connections that open, send, half-close and reset at random: STORM_S seconds each way
	$(Q)STORM_S=$(STORM_S) $(SLOW) $<

clients: $(B)/shoal-server ## real client libraries against the server (installs them)
	$(Q)B=$(B) tests/clients/run.sh $(B)/shoal-server

lint: ## house rules
	@tests/lib/lint.sh
format: ## let clang-format rewrite the sources
	clang-format -i $(shell git ls-files '*.[ch]')

fuzz: ## every fuzz target, RUNS inputs each (100000)
	@tests/lib/packages.sh fuzz
	$(Q)$(MAKE) --no-print-directory B=build-fuzz CC=clang SAN=fuzzer-no-link,address,undefined fuzz-bins
	$(Q)tests/fuzz/run.sh $(RUNS) $(FUZZ_SRC:tests/fuzz/%.c=build-fuzz/%)
fuzz-bins: $(FUZZ_BIN)
$(B)/fuzz_%: $(B)/obj/tests/fuzz/fuzz_%.o $(OUR_LIBS)
	$(Q)$(CC) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)

bench: ## side by side with redis-server; rewrites bench/README.md (BENCH_ONLY: sections, with commas)
	$(Q)$(MAKE) --no-print-directory all
	$(Q)bench/run.sh $(if $(BENCH_ONLY),--only $(BENCH_ONLY))

EXAMPLES := $(patsubst net/examples/%.c,$(B)/examples/%,$(wildcard net/examples/*.c))
examples: $(EXAMPLES) ## the programs of net/examples
$(B)/examples/%: $(B)/obj/net/examples/%.o $(B)/libshoalnet.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lssl -lcrypto -luring -pthread
$(addprefix $(B)/tests/test_net_examples,$(empty) _codec _more _proactor): | $(EXAMPLES)
# The code of the README's sections is tested as it stands there; its first program by tests/lib/install_check.sh.
$(B)/gen/net_one_by_one.c: net/README.md
	$(Q)mkdir -p $(@D); sed -n '/^## One by one$$/,/^## Messages$$/p' $< | sed -n '/^```c$$/,/^```$$/{/^```/d;p}' >$@
$(B)/obj/tests/unit/test_net_readme.o: $(B)/gen/net_one_by_one.c
$(B)/obj/tests/unit/test_net_readme.o: ALL_CFLAGS += -I$(B)
$(B)/gen/net_messages.c: net/README.md
	$(Q)mkdir -p $(@D); sed -n '/^## Messages$$/,/^## Rules$$/p' $< | sed -n '/^```c$$/,/^```$$/{/^```/d;p}' >$@
$(B)/obj/tests/unit/test_net_examples_codec.o: $(B)/gen/net_messages.c
$(B)/obj/tests/unit/test_net_examples_codec.o: ALL_CFLAGS += -I$(B)
$(B)/gen/net_proactor.c: net/README.md
	$(Q)mkdir -p $(@D); sed -n '/^## The proactor$$/,/^## Examples$$/p' $< | sed -n '/^```c$$/,/^```$$/{/^```/d;p}' >$@
$(B)/obj/tests/unit/test_net_examples_proactor.o: $(B)/gen/net_proactor.c
$(B)/obj/tests/unit/test_net_examples_proactor.o: ALL_CFLAGS += -I$(B)

# Echo servers on libshoalnet, bare epoll, libuv and libevent, and the load that drives them.
BENCH_NET := $(addprefix $(B)/bench/net/,load send echo_shoal echo_proactor echo_epoll echo_uv echo_event)
$(B)/bench/net/echo_uv: BENCH_LIBS := -luv
$(B)/bench/net/echo_event: BENCH_LIBS := -levent
$(B)/bench/net/%: $(B)/obj/bench/net/%.o $(B)/libshoalnet.a
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(BENCH_LIBS) -lssl -lcrypto -luring -pthread
bench-net: $(BENCH_NET) ## libshoalnet against libuv, libevent and bare epoll; rewrites bench/net/README.md
	$(Q)bench/net/run.py $(B)/bench/net --write bench/net/README.md

cover: ## line coverage of the tests, by file
	$(Q)$(MAKE) --no-print-directory COVER=1 OPT=-O1 unit commands
	$(Q)tests/lib/cover.sh build-cover

# ------------------------------------------------------------------ installing

install: all shared $(B)/static/libshoalnet.a $(B)/static/libshoalstore.a ## server, libraries, headers, manual, pkg-config files, configuration, systemd unit
	$(Q)V=$(VERSION) SO=$(SOVERSION) B=$(B) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) LIBDIR=$(LIBDIR) INCDIR=$(INCDIR) \
		SYSCONFDIR=$(SYSCONFDIR) UNITDIR=$(UNITDIR) MANDIR=$(MANDIR) conf/install.sh install
uninstall: ## remove what install put in place, except a changed configuration
	$(Q)V=$(VERSION) SO=$(SOVERSION) B=$(B) DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) LIBDIR=$(LIBDIR) INCDIR=$(INCDIR) \
		SYSCONFDIR=$(SYSCONFDIR) UNITDIR=$(UNITDIR) MANDIR=$(MANDIR) conf/install.sh uninstall

clean: ## remove all build directories
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)

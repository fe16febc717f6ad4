# Shoal. `make help` lists the targets.
CC ?= gcc
VERSION := 0.1.0
B := build$(if $(SAN),-$(SAN))$(if $(filter clang%,$(CC)),-clang)
OPT ?= -O2
CFLAGS ?= $(OPT) -g
WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
ALL_CFLAGS := -std=c11 -D_GNU_SOURCE -DSHOAL_VERSION='"$(VERSION)"' $(WARN) $(CFLAGS) -fno-omit-frame-pointer -pthread -I. -MMD -MP
LIBS := -ljemalloc -lcrypto -llzf -lxxhash -lsystemd -lm -pthread
ifneq ($(SAN),)
ALL_CFLAGS += -fsanitize=$(SAN) -fno-sanitize-recover=all
ALL_LDFLAGS += -fsanitize=$(SAN)
LIBS := $(filter-out -ljemalloc,$(LIBS))
ALL_CFLAGS += -DSHOAL_NO_JEMALLOC
endif

NET_SRC := $(wildcard net/*.c net/impl/*.c)
STORE_SRC := $(wildcard store/*.c store/impl/*.c store/types/*.c)
SERVER_SRC := $(wildcard server/*.c server/commands/*.c server/journal/*.c)
obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
UNIT_SRC := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_SRC))
TESTLIB_SRC := $(wildcard tests/lib/*.c)

.PHONY: all unit clean
all: $(B)/shoal-server

$(B)/libshoalnet.a: $(call obj,$(NET_SRC))
	@rm -f $@; ar rcs $@ $^
$(B)/libshoalstore.a: $(call obj,$(STORE_SRC))
	@rm -f $@; ar rcs $@ $^
$(B)/libserver.a: $(call obj,$(filter-out server/main.c,$(SERVER_SRC)))
	@rm -f $@; ar rcs $@ $^
$(B)/shoal-server: $(call obj,server/main.c) $(B)/libserver.a $(B)/libshoalstore.a $(B)/libshoalnet.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(B)/tests/test_%: $(B)/obj/tests/unit/test_%.o $(call obj,$(TESTLIB_SRC)) $(B)/libserver.a $(B)/libshoalstore.a $(B)/libshoalnet.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcheck -lsubunit -lhiredis $(LIBS) -lrt

unit: $(UNIT_BIN)
	@set -e; for t in $^; do $$t; done

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)

/* Consumer groups: what is given to whom, acknowledged, claimed; what is journaled and told of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/expect.h"

#define SYNTAX "-ERR syntax error\r\n"
#define NIL_ARRAY "*-1\r\n"
#define ENTRY(id, value) "*2\r\n$3\r\n" id "\r\n*2\r\n$1\r\na\r\n$1\r\n" value "\r\n"
#define OF_S(n, entries) "*1\r\n*2\r\n$1\r\ns\r\n*" n "\r\n" entries

static void add(const char *key, int from, int to)
{
	char line[80];
	for (int i = from; i <= to; i++) {
		snprintf(line, sizeof line, "XADD %s %d-1 a %d", key, i, i);
		expect_any(c, line);
	}
}

/* SAFETY: XGROUP on a wrong type (CVE-2018-12453). */
START_TEST(test_wrong_type)
{
	static const char *const lines[] = {
		"XGROUP CREATE str g 0", "XGROUP CREATE str g 0 MKSTREAM", "XGROUP CREATE str g $", "XGROUP SETID str g 0",
		"XGROUP DESTROY str g", "XGROUP CREATECONSUMER str g c", "XGROUP DELCONSUMER str g c", "XINFO STREAM str",
		"XINFO GROUPS str", "XINFO CONSUMERS str g", "XACK str g 1-1", "XPENDING str g", "XCLAIM str g c 0 1-1",
		"XAUTOCLAIM str g c 0 0", "XREADGROUP GROUP g c STREAMS str >", "XSETID str 1-1", "XDEL str 1-1",
		"XTRIM str MAXLEN 0", "XRANGE str - +",
	};
	expect(c, "SET str x", "+OK\r\n");
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		expect_prefix(c, lines[i], "-WRONGTYPE");
	expect_bulk(c, "GET str", "x");
}
END_TEST

START_TEST(test_xgroup)
{
	expect(c, "XGROUP CREATE s g $",
	       "-ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM "
	       "option to create an empty stream automatically.\r\n");
	expect(c, "XGROUP CREATE s g $ MKSTREAM", "+OK\r\n");
	expect(c, "XGROUP CREATE s g 0", "-BUSYGROUP Consumer Group name already exists\r\n");
	expect(c, "XGROUP CREATE s h x", "-ERR Invalid stream ID specified as stream command argument\r\n");
	expect(c, "XGROUP CREATE s h 0 ENTRIESREAD -2", "-ERR value for ENTRIESREAD must be positive or -1\r\n");
	expect(c, "XGROUP CREATE s h 0 nonsense",
	       "-ERR unknown subcommand or wrong number of arguments for 'CREATE'. Try XGROUP HELP.\r\n");
	expect(c, "XGROUP SETID s none 0", "-NOGROUP No such consumer group 'none' for key name 's'\r\n");
	expect(c, "XGROUP SETID s g - ENTRIESREAD 0", "+OK\r\n");
	expect_int(c, "XGROUP CREATECONSUMER s g b", 1);
	expect_int(c, "XGROUP CREATECONSUMER s g b", 0);
	expect_int(c, "XGROUP CREATECONSUMER s g a", 1);
	expect(c, "XGROUP CREATECONSUMER s none a", "-NOGROUP No such consumer group 'none' for key name 's'\r\n");
	struct resp_value *v = resp_ask(c, "XINFO CONSUMERS s g");
	ck_assert(v && v->n == 2);
	ck_assert_str_eq(v->elements[0].elements[1].text, "a");
	ck_assert_str_eq(v->elements[1].elements[1].text, "b");
	ck_assert_int_eq(v->elements[1].elements[7].integer, -1);
	resp_value_free(v);
	expect_int(c, "XGROUP DELCONSUMER s g a", 0);
	expect_int(c, "XGROUP DELCONSUMER s g none", 0);
	expect_int(c, "XGROUP DESTROY s g", 1);
	expect_int(c, "XGROUP DESTROY s g", 0);
	expect(c, "XINFO GROUPS s", "*0\r\n");
	expect(c, "XINFO GROUPS none", "-ERR no such key\r\n");
	expect(c, "XINFO CONSUMERS s g", "-NOGROUP No such consumer group 'g' for key name 's'\r\n");
	expect(c, "XINFO STREAM s nonsense",
	       "-ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.\r\n");
	expect_prefix(c, "XGROUP nonsense", "-ERR unknown subcommand 'nonsense'. Try XGROUP HELP.");
	expect_prefix(c, "XGROUP HELP", "*");
	expect_prefix(c, "XINFO HELP", "*");
}
END_TEST

START_TEST(test_read_and_ack)
{
	add("s", 1, 3);
	expect(c, "XGROUP CREATE s g 0", "+OK\r\n");
	expect(c, "XREADGROUP GROUP g c1 COUNT 1 STREAMS s >", OF_S("1", ENTRY("1-1", "1")));
	expect(c, "XREADGROUP GROUP g c2 STREAMS s >", OF_S("2", ENTRY("2-1", "2") ENTRY("3-1", "3")));
	expect(c, "XREADGROUP GROUP g c1 STREAMS s >", NIL_ARRAY);
	expect(c, "XREADGROUP GROUP g c2 COUNT 1 STREAMS s 2-1", OF_S("1", ENTRY("3-1", "3")));
	expect(c, "XREADGROUP GROUP g c3 STREAMS s 0", "*1\r\n*2\r\n$1\r\ns\r\n*0\r\n");
	expect(c, "XPENDING s g",
	       "*4\r\n:3\r\n$3\r\n1-1\r\n$3\r\n3-1\r\n*2\r\n*2\r\n$2\r\nc1\r\n$1\r\n1\r\n*2\r\n$2\r\nc2\r\n$1\r\n2\r\n");
	expect_int(c, "XACK s g 2-1 2-1 9-9", 1);
	expect_int(c, "XACK s none 2-1", 0);
	expect_int(c, "XACK none g 2-1", 0);
	expect(c, "XACK s g 1-1 x", "-ERR Invalid stream ID specified as stream command argument\r\n");
	/* what was deleted meanwhile has an id and nothing more */
	expect_int(c, "XDEL s 3-1", 1);
	expect(c, "XREADGROUP GROUP g c2 STREAMS s 0", OF_S("1", "*2\r\n$3\r\n3-1\r\n*-1\r\n"));
	expect(c, "XREADGROUP GROUP none c STREAMS s >",
	       "-NOGROUP No such key 's' or consumer group 'none' in XREADGROUP with GROUP option\r\n");
	expect(c, "XREADGROUP GROUP g c STREAMS none >",
	       "-NOGROUP No such key 'none' or consumer group 'g' in XREADGROUP with GROUP option\r\n");
	expect_prefix(c, "XREADGROUP GROUP g c STREAMS s $", "-ERR The $ ID is meaningless in the context of XREADGROUP");
	expect(c, "XREADGROUP COUNT 1 BLOCK 1 STREAMS s >", "-ERR Missing GROUP option for XREADGROUP\r\n");
	/* without acknowledgement nothing is pending */
	add("s", 4, 4);
	expect(c, "XREADGROUP GROUP g c1 NOACK STREAMS s >", OF_S("1", ENTRY("4-1", "4")));
	expect_int(c, "XACK s g 4-1", 0);
	expect_int(c, "XGROUP DELCONSUMER s g c1", 1);
	expect(c, "XPENDING s g", "*4\r\n:1\r\n$3\r\n3-1\r\n$3\r\n3-1\r\n*1\r\n*2\r\n$2\r\nc2\r\n$1\r\n1\r\n");
	expect_int(c, "XACK s g 3-1", 1);
	expect(c, "XPENDING s g", "*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n");
}
END_TEST

START_TEST(test_lag)
{
	add("s", 1, 5);
	expect(c, "XGROUP CREATE s g 0", "+OK\r\n");
	expect_any(c, "XREADGROUP GROUP g c COUNT 2 STREAMS s >");
	struct resp_value *v = resp_ask(c, "XINFO GROUPS s");
	ck_assert(v && v->n == 1 && v->elements[0].n == 12);
	ck_assert_int_eq(v->elements[0].elements[9].integer, 2);
	ck_assert_int_eq(v->elements[0].elements[11].integer, 3);
	resp_value_free(v);
	/* a hole ahead: nobody can tell */
	expect_int(c, "XDEL s 4-1", 1);
	v = resp_ask(c, "XINFO GROUPS s");
	ck_assert(v->elements[0].elements[11].null);
	resp_value_free(v);
	expect_any(c, "XREADGROUP GROUP g c STREAMS s >");
	v = resp_ask(c, "XINFO GROUPS s");
	ck_assert_int_eq(v->elements[0].elements[9].integer, 5);
	ck_assert_int_eq(v->elements[0].elements[11].integer, 0);
	resp_value_free(v);
}
END_TEST

START_TEST(test_pending)
{
	add("s", 1, 3);
	expect(c, "XGROUP CREATE s g 0", "+OK\r\n");
	expect_any(c, "XREADGROUP GROUP g a COUNT 2 STREAMS s >");
	expect_any(c, "XREADGROUP GROUP g b STREAMS s >");
	expect(c, "XCLAIM s g a 0 1-1 IDLE 100000 RETRYCOUNT 7 JUSTID", "*1\r\n$3\r\n1-1\r\n");
	struct resp_value *v = resp_ask(c, "XPENDING s g IDLE 90000 - + 10");
	ck_assert(v && v->n == 1 && v->elements[0].n == 4);
	ck_assert_str_eq(v->elements[0].elements[0].text, "1-1");
	ck_assert_str_eq(v->elements[0].elements[1].text, "a");
	ck_assert_int_ge(v->elements[0].elements[2].integer, 100000);
	ck_assert_int_eq(v->elements[0].elements[3].integer, 7);
	resp_value_free(v);
	v = resp_ask(c, "XPENDING s g (1-1 + 10 a");
	ck_assert(v && v->n == 1);
	ck_assert_str_eq(v->elements[0].elements[0].text, "2-1");
	resp_value_free(v);
	expect(c, "XPENDING s g - + 10 none", "*0\r\n");
	expect(c, "XPENDING s g - + -1", "*0\r\n");
	expect(c, "XPENDING s g - +", SYNTAX);
	expect(c, "XPENDING s g IDLE 5 - +", SYNTAX);
	expect(c, "XPENDING s none", "-NOGROUP No such key 's' or consumer group 'none'\r\n");
	expect(c, "XPENDING none g", "-NOGROUP No such key 'none' or consumer group 'g'\r\n");
}
END_TEST

START_TEST(test_claim)
{
	add("s", 1, 4);
	expect(c, "XGROUP CREATE s g 0", "+OK\r\n");
	expect_any(c, "XREADGROUP GROUP g a COUNT 3 STREAMS s >");
	expect(c, "XCLAIM s g b 100000 1-1", "*0\r\n");
	expect(c, "XCLAIM s g b 0 1-1 4-1", "*1\r\n" ENTRY("1-1", "1"));
	expect(c, "XCLAIM s g b 0 4-1 9-9 FORCE JUSTID", "*1\r\n$3\r\n4-1\r\n");
	expect(c, "XCLAIM s g b x 1-1", "-ERR Invalid min-idle-time argument for XCLAIM\r\n");
	expect(c, "XCLAIM s g b 0 1-1 IDLE x", "-ERR Invalid IDLE option argument for XCLAIM\r\n");
	expect(c, "XCLAIM s g b 0 1-1 TIME x", "-ERR Invalid TIME option argument for XCLAIM\r\n");
	expect(c, "XCLAIM s g b 0 1-1 RETRYCOUNT x", "-ERR Invalid RETRYCOUNT option argument for XCLAIM\r\n");
	expect(c, "XCLAIM s g b 0 1-1 nonsense", "-ERR Unrecognized XCLAIM option 'nonsense'\r\n");
	expect(c, "XCLAIM s none b 0 1-1", "-NOGROUP No such key 's' or consumer group 'none'\r\n");
	expect(c, "XCLAIM s g b 0 1-1 LASTID 8-8 JUSTID", "*1\r\n$3\r\n1-1\r\n");
	struct resp_value *v = resp_ask(c, "XINFO GROUPS s");
	ck_assert_str_eq(v->elements[0].elements[7].text, "8-8");
	resp_value_free(v);
	/* a deleted entry is no longer pending, and not answered */
	expect_int(c, "XDEL s 2-1", 1);
	expect(c, "XCLAIM s g b 0 2-1", "*0\r\n");
	expect_int(c, "XACK s g 2-1", 0);
}
END_TEST

/* SAFETY: XAUTOCLAIM, XCLAIM (CVE-2022-31144, -35951): deleted entries, a COUNT of any size. */
START_TEST(test_autoclaim_bounds)
{
	add("s", 1, 30);
	expect(c, "XGROUP CREATE s g 0", "+OK\r\n");
	expect_any(c, "XREADGROUP GROUP g a STREAMS s >");
	for (int i = 1; i <= 30; i += 2) {
		char line[40];
		snprintf(line, sizeof line, "XDEL s %d-1", i);
		expect_int(c, line, 1);
	}
	expect(c, "XAUTOCLAIM s g b 0 0 COUNT 2 JUSTID", "*3\r\n$3\r\n3-1\r\n*1\r\n$3\r\n2-1\r\n*1\r\n$3\r\n1-1\r\n");
	expect(c, "XAUTOCLAIM s g b 0 0 COUNT 0", "-ERR COUNT must be > 0\r\n");
	expect(c, "XAUTOCLAIM s g b 0 0 COUNT -1", "-ERR COUNT must be > 0\r\n");
	expect(c, "XAUTOCLAIM s g b 0 0 COUNT 9223372036854775807", "-ERR COUNT must be > 0\r\n");
	expect(c, "XAUTOCLAIM s g b 0 0 COUNT 1152921504606846975", "-ERR COUNT must be > 0\r\n");
	expect(c, "XAUTOCLAIM s g b x 0", "-ERR Invalid min-idle-time argument for XAUTOCLAIM\r\n");
	expect(c, "XAUTOCLAIM s g b 0 0 nonsense", SYNTAX);
	expect(c, "XAUTOCLAIM s none b 0 0", "-NOGROUP No such key 's' or consumer group 'none'\r\n");
	/* a deleted entry counts; what is not old enough does not */
	expect(c, "XAUTOCLAIM s g b 1000000 (2-1 COUNT 1", "*3\r\n$3\r\n4-1\r\n*0\r\n*1\r\n$3\r\n3-1\r\n");
	/* a huge COUNT that is allowed costs no more than what is there */
	int64_t before = info_int(c, "memory", "used_memory_peak");
	struct resp_value *v = resp_ask(c, "XAUTOCLAIM s g b 0 0 COUNT 500000000000000000");
	ck_assert(v && v->n == 3);
	ck_assert_str_eq(v->elements[0].text, "0-0");
	ck_assert_uint_eq(v->elements[1].n, 15);
	ck_assert_uint_eq(v->elements[2].n, 13);
	resp_value_free(v);
	ck_assert_int_lt(info_int(c, "memory", "used_memory_peak") - before, 10 << 20);
	expect(c, "XCLAIM s g b 0 1-1 1-1 3-1 5-1 2-1 2-1 JUSTID", "*2\r\n$3\r\n2-1\r\n$3\r\n2-1\r\n");
	/* all deleted */
	expect_int(c, "XTRIM s MAXLEN 0", 15);
	v = resp_ask(c, "XAUTOCLAIM s g b 0 0 COUNT 100");
	ck_assert_uint_eq(v->elements[1].n, 0);
	ck_assert_uint_eq(v->elements[2].n, 15);
	resp_value_free(v);
	expect(c, "XPENDING s g", "*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n");
}
END_TEST

/* ------------------------------------------------------------------ what is told and kept of it */

static void expect_event(struct resp_client *sub, const char *event)
{
	struct resp_value *v = resp_read_value(sub);
	ck_assert(v && v->n == 3);
	ck_assert_str_eq(v->elements[1].text, "__keyspace@0__:s");
	ck_assert_str_eq(v->elements[2].text, event);
	resp_value_free(v);
}

START_TEST(test_events)
{
	static const char *const lines[] = {
		"XADD s 1-1 a b", "XADD s MAXLEN 1 2-1 a b", "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >",
		"XREADGROUP GROUP g c STREAMS s >", "XACK s g 2-1", "XGROUP CREATECONSUMER s g d", "XCLAIM s g e 0 2-1",
		"XAUTOCLAIM s g f 0 0", "XGROUP SETID s g 0", "XGROUP DELCONSUMER s g d", "XGROUP DESTROY s g", "XSETID s 9-1",
		"XDEL s 2-1", "XDEL s 2-1", "XADD s 10-1 a b", "XTRIM s MAXLEN 0",
	};
	static const char *const events[] = {
		"xadd", "xadd", "xtrim", "xgroup-create", "xgroup-createconsumer", "xgroup-createconsumer",
		"xgroup-createconsumer", "xgroup-createconsumer", "xgroup-setid", "xgroup-delconsumer", "xgroup-destroy", "xsetid",
		"xdel", "xadd", "xtrim",
	};
	expect(c, "CONFIG SET notify-keyspace-events Kt", "+OK\r\n");
	struct resp_client *sub = connect_to(&server);
	expect_any(sub, "SUBSCRIBE __keyspace@0__:s");
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		expect_any(c, lines[i]);
	for (size_t i = 0; i < sizeof events / sizeof *events; i++)
		expect_event(sub, events[i]);
	resp_close(sub);
	expect(c, "CONFIG SET notify-keyspace-events \"\"", "+OK\r\n");
}
END_TEST

/* Reading a group is no change of the key for those who watch it; adding an entry is. */
START_TEST(test_watch)
{
	struct resp_client *other = connect_to(&server);
	add("s", 1, 2);
	expect(c, "XGROUP CREATE s g 0", "+OK\r\n");
	expect(c, "WATCH s", "+OK\r\n");
	expect_any(other, "XREADGROUP GROUP g c STREAMS s >");
	expect_int(other, "XACK s g 1-1", 1);
	expect(c, "MULTI", "+OK\r\n");
	expect(c, "XADD s 3-1 a b", "+QUEUED\r\n");
	expect(c, "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "+QUEUED\r\n");
	expect(c, "XREAD BLOCK 0 STREAMS s $", "+QUEUED\r\n");
	expect(c, "EXEC", "*3\r\n$3\r\n3-1\r\n" OF_S("1", "*2\r\n$3\r\n3-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n") NIL_ARRAY);
	expect(c, "WATCH s", "+OK\r\n");
	expect_any(other, "XADD s 4-1 a b");
	expect(c, "MULTI", "+OK\r\n");
	expect(c, "XLEN s", "+QUEUED\r\n");
	expect(c, "EXEC", NIL_ARRAY);
	resp_close(other);
}
END_TEST

/* The journal replayed gives the same streams: ids of the clock, approximate trimming, groups. */
START_TEST(test_journal)
{
	char line[80];
	expect(c, "DEBUG JOURNAL START", "+OK\r\n");
	for (int i = 0; i < 300; i++)
		expect_any(c, "XADD s * a b");
	expect(c, "CONFIG SET stream-node-max-entries 10", "+OK\r\n");
	for (int i = 30; i < 300; i++) {
		snprintf(line, sizeof line, "XADD t MAXLEN ~ 45 * n %d", i);
		expect_any(c, line);
		snprintf(line, sizeof line, "XADD u MINID ~ %d %d-* n %d", i - 20, i, i);
		expect_any(c, line);
	}
	expect_any(c, "XADD u MINID ~ 5000 1000-1 n 1");
	expect_any(c, "XTRIM t MAXLEN ~ 22 LIMIT 30");
	expect(c, "XGROUP CREATE s g 0", "+OK\r\n");
	expect_any(c, "XREADGROUP GROUP g c COUNT 100 STREAMS s >");
	expect_any(c, "XREADGROUP GROUP g d COUNT 10 NOACK STREAMS s >");
	expect_any(c, "XAUTOCLAIM s g e 0 0 COUNT 10");
	expect(c, "CONFIG SET stream-node-max-entries 100", "+OK\r\n");
	expect(c, "DEBUG JOURNAL CHECK", "+OK\r\n");
}
END_TEST

/* SAFETY: ACL by a second key extractor (CVE-2023-41053 and later): names that look like the option hide no key. */
START_TEST(test_keys)
{
	static const char *const refused[] = {
		"XREADGROUP GROUP g STREAMS STREAMS b >", "XREADGROUP GROUP STREAMS a STREAMS b >",
		"XREADGROUP GROUP g c STREAMS a b > >", "XREAD STREAMS b STREAMS 0 0", "XREAD COUNT 1 STREAMS b 0",
		"XREAD BLOCK 1 STREAMS a b 0 0", "XREADGROUP NOACK COUNT 2 GROUP g STREAMS STREAMS b 0",
	};
	expect(c, "COMMAND GETKEYS XREADGROUP GROUP g STREAMS COUNT 1 STREAMS a b > 0", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect(c, "COMMAND GETKEYS XREAD COUNT 1 STREAMS STREAMS a 0 0", "*2\r\n$7\r\nSTREAMS\r\n$1\r\na\r\n");
	expect(c, "XGROUP CREATE a g 0 MKSTREAM", "+OK\r\n");
	expect(c, "XGROUP CREATE b g 0 MKSTREAM", "+OK\r\n");
	expect(c, "ACL SETUSER reader reset on nopass ~a +@all", "+OK\r\n");
	struct resp_client *o = connect_to(&server);
	expect(o, "AUTH reader x", "+OK\r\n");
	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		expect_prefix(o, refused[i], "-NOPERM");
	expect(o, "XREADGROUP GROUP g STREAMS STREAMS a >", NIL_ARRAY);
	expect(o, "XREAD STREAMS a 0", NIL_ARRAY);
	resp_close(o);
	expect_int(c, "ACL DELUSER reader", 1);
}
END_TEST

/* ------------------------------------------------------------------ restarts */

static void render(char **at, char *end, const struct resp_value *v)
{
	*at += snprintf(*at, (size_t)(end - *at), "%c%lld:%s ", v->type, (long long)v->integer, v->text ? v->text : "");
	for (size_t i = 0; i < v->n && end - *at > 100; i++) {
		const char *name = i ? v->elements[i - 1].text : NULL;
		/* when a consumer was last seen is of no consequence, and not kept by all formats */
		if (!name || (strcmp(name, "seen-time") != 0 && strcmp(name, "active-time") != 0))
			render(at, end, &v->elements[i]);
	}
}

/* All that XINFO tells of the stream s. */
static char *describe(struct resp_client *o)
{
	enum { ROOM = 200000 };
	char *text = calloc(1, ROOM), *at = text;
	struct resp_value *v = resp_ask(o, "XINFO STREAM s FULL COUNT 0");
	ck_assert(v && v->n == 18);
	render(&at, text + ROOM, v);
	resp_value_free(v);
	return text;
}

static void make_groups(struct resp_client *o)
{
	static const char *const lines[] = {
		"XGROUP CREATE s early 0", "XGROUP CREATE s late 40-1 ENTRIESREAD 40", "XREADGROUP GROUP early a COUNT 20 STREAMS s >",
		"XREADGROUP GROUP early b COUNT 10 STREAMS s >", "XREADGROUP GROUP early c COUNT 3 NOACK STREAMS s >",
		"XREADGROUP GROUP late a COUNT 5 STREAMS s >", "XACK s early 1-1 2-1 22-1 5-1", "XCLAIM s early b 0 3-1 4-1",
		"XCLAIM s early b 0 50-1 FORCE IDLE 777777 RETRYCOUNT 5", "XAUTOCLAIM s early d 0 6-1 COUNT 4 JUSTID",
		"XGROUP CREATECONSUMER s late idler", "XGROUP CREATECONSUMER s late gone", "XGROUP DELCONSUMER s late gone",
		"XGROUP CREATE s destroyed $", "XGROUP DESTROY s destroyed", "XGROUP CREATE s set $", "XGROUP SETID s set 12-1",
		"XCLAIM s set x 0 99-1 LASTID 13-1", "XDEL s 60-1", "XTRIM s MINID 3-1", "XSETID s 90-1 ENTRIESADDED 200",
	};
	for (int i = 1; i <= 60; i++) {
		char line[80];
		snprintf(line, sizeof line, "XADD s %d-1 a %d %s x", i, i, i % 4 ? "b" : "c");
		expect_any(o, line);
	}
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
		expect_any(o, lines[i]);
}

static struct resp_client *again(struct proc *p, struct resp_client *o, const char *config)
{
	char dir[sizeof p->dir];
	const struct proc_spec spec = { .config = config, .dir = dir };
	snprintf(dir, sizeof dir, "%s", p->dir);
	resp_close(o);
	p->keep_dir = true;
	ck_assert_int_eq(proc_stop(p), 0);
	ck_assert_int_eq(proc_start(p, &spec), 0);
	return connect_to(p);
}

static void expect_same(struct resp_client *o, const char *want, const char *when)
{
	char *got = describe(o);
	size_t same = 0;
	while (want[same] && want[same] == got[same])
		same++;
	size_t from = same > 200 ? same - 200 : 0;
	ck_assert_msg(!want[same] && !got[same], "%s:\nwant ...%.400s\n got ...%.400s", when, want + from, got + from);
	free(got);
}

/* Groups, consumers and what is pending survive: in the log as it was written, in a log rewritten as commands, in an RDB
 * file. */
START_TEST(test_restart)
{
	static const char config[] = "appendonly yes\nenable-debug-command yes\nsave \"\"\naof-use-rdb-preamble no\n";
	struct proc p;
	own_server(&p, config);
	struct resp_client *o = connect_to(&p);
	make_groups(o);
	char *want = describe(o);
	expect(o, "DEBUG RELOAD", "+OK\r\n");
	expect_same(o, want, "saved and loaded");
	o = again(&p, o, config);
	expect_same(o, want, "log");
	expect_prefix(o, "BGREWRITEAOF", "+");
	while (info_int(o, "persistence", "aof_rewrite_in_progress") == 1)
		usleep(5000); /* a field of INFO: nothing tells of its change */
	o = again(&p, o, config);
	expect_same(o, want, "log rewritten");
	expect_bulk(o, "XADD s 90-* a b", "90-2");
	free(want);
	resp_close(o);
	p.keep_dir = false;
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* A large stream is read in place while it is saved: who changes a group then changes the stream's, not the saved one. */
START_TEST(test_change_while_saved)
{
	struct proc p;
	own_server(&p, "save 3600 100000\nrdb-key-save-delay 100000\n");
	struct resp_client *o = connect_to(&p);
	char line[400];
	for (int i = 0; i < 300; i++) {
		snprintf(line, sizeof line, "SET k%d v", i);
		expect_any(o, line);
	}
	for (int i = 1; i <= 2000; i++) {
		snprintf(line, sizeof line, "XADD s %d-1 a %0200d", i, i);
		expect_any(o, line);
	}
	for (bool during = false; !during;) { /* until we looked while it went on */
		expect_prefix(o, "XGROUP DESTROY s g", ":");
		expect(o, "XGROUP CREATE s g 0", "+OK\r\n");
		expect_prefix(o, "BGSAVE", "+");
		expect_any(o, "XREADGROUP GROUP g c COUNT 3 STREAMS s >");
		expect(o, "XPENDING s g", "*4\r\n:3\r\n$3\r\n1-1\r\n$3\r\n3-1\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n3\r\n");
		during = info_int(o, "persistence", "rdb_bgsave_in_progress") == 1;
	}
	expect_any(o, "XREADGROUP GROUP g c COUNT 1 STREAMS s >");
	expect_int(o, "XACK s g 1-1 4-1", 2);
	expect_int(o, "XDEL s 1-1 2-1 2000-1", 3);
	expect_int(o, "XLEN s", 1997);
	expect(o, "XAUTOCLAIM s g d 0 0 JUSTID", "*3\r\n$3\r\n0-0\r\n*1\r\n$3\r\n3-1\r\n*1\r\n$3\r\n2-1\r\n");
	expect(o, "CONFIG SET rdb-key-save-delay 0", "+OK\r\n");
	resp_close(o);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

COMMAND_TESTS_WITH("stream_group", "enable-debug-command yes\n", test_wrong_type, test_xgroup, test_read_and_ack, test_lag,
                   test_pending, test_claim, test_autoclaim_bounds, test_events, test_watch, test_journal,
                   test_keys, test_restart,
                   test_change_while_saved)

/* Commands on streams: replies, error texts, what is kept and what goes; groups are in test_stream_group.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define SYNTAX "-ERR syntax error\r\n"
#define BAD_ID "-ERR Invalid stream ID specified as stream command argument\r\n"
#define NIL "$-1\r\n"
#define NIL_ARRAY "*-1\r\n"

static void add(const char *key, int from, int to)
{
	char line[80];
	for (int i = from; i <= to; i++) {
		snprintf(line, sizeof line, "XADD %s %d-1 a %d", key, i, i);
		expect_any(c, line);
	}
}

START_TEST(test_add)
{
	expect_bulk(c, "XADD s 1-1 a b", "1-1");
	expect_bulk(c, "XADD s 1-* a b c d", "1-2");
	expect_bulk(c, "XADD s 5 a b", "5-0");
	expect(c, "XADD s 5-0 a b", "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n");
	expect(c, "XADD s 0-0 a b", "-ERR The ID specified in XADD must be greater than 0-0\r\n");
	expect(c, "XADD s 4-* a b", "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n");
	expect(c, "XADD s 6-1 a", "-ERR wrong number of arguments for 'xadd' command\r\n");
	expect(c, "XADD s 6-1 a b c", "-ERR wrong number of arguments for 'xadd' command\r\n");
	expect(c, "XADD s x a b", BAD_ID);
	expect(c, "XADD s + a b", BAD_ID);
	expect(c, "XADD none NOMKSTREAM * a b", NIL);
	expect_int(c, "EXISTS none", 0);
	expect_bulk(c, "XADD s NOMKSTREAM 6-1 a b", "6-1");
	expect_int(c, "XLEN s", 4);
	expect_int(c, "XLEN none", 0);
	expect_bulk(c, "OBJECT ENCODING s", "stream");
	expect(c, "TYPE s", "+stream\r\n");
	expect(c, "XADD s 18446744073709551615-18446744073709551615 a b",
	       "$41\r\n18446744073709551615-18446744073709551615\r\n");
	expect(c, "XADD s * a b",
	       "-ERR The stream has exhausted the last possible ID, unable to add more items\r\n");
	expect(c, "SET str x", "+OK\r\n");
	expect_prefix(c, "XADD str * a b", "-WRONGTYPE");
	expect_prefix(c, "XLEN str", "-WRONGTYPE");
	expect_prefix(c, "XREAD STREAMS str 0", "-WRONGTYPE");
}
END_TEST

/* Ids that the server chooses ascend, and follow its clock. */
START_TEST(test_ids_of_the_clock)
{
	unsigned long long before_ms = 0, before_seq = 0;
	struct resp_value *t = resp_ask(c, "TIME");
	ck_assert(t && t->n == 2);
	long long begin_s = strtoll(t->elements[0].text, NULL, 10);
	resp_value_free(t);
	for (int i = 0; i < 1000; i++) {
		struct resp_value *v = resp_ask(c, "XADD s * a b");
		unsigned long long ms, seq;
		ck_assert(v && v->text && sscanf(v->text, "%llu-%llu", &ms, &seq) == 2);
		ck_assert(ms > before_ms || (ms == before_ms && seq > before_seq));
		before_ms = ms;
		before_seq = seq;
		resp_value_free(v);
	}
	t = resp_ask(c, "TIME");
	ck_assert(t && t->n == 2);
	ck_assert_int_ge((long long)(before_ms / 1000), begin_s);
	ck_assert_int_le((long long)(before_ms / 1000), strtoll(t->elements[0].text, NULL, 10));
	resp_value_free(t);
	/* a stream that is ahead of the clock goes on from there */
	expect_any(c, "XADD t 99999999999999-5 a b");
	expect_bulk(c, "XADD t * a b", "99999999999999-6");
	expect_any(c, "XADD t 99999999999999-18446744073709551615 a b");
	expect_bulk(c, "XADD t * a b", "100000000000000-0");
}
END_TEST

START_TEST(test_range)
{
	add("s", 1, 4);
	expect(c, "XRANGE s - + COUNT 1", "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
	expect(c, "XREVRANGE s + - COUNT 1", "*1\r\n*2\r\n$3\r\n4-1\r\n*2\r\n$1\r\na\r\n$1\r\n4\r\n");
	expect(c, "XRANGE s (1-1 (3-1", "*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n");
	expect(c, "XRANGE s 2 2", "*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n");
	expect(c, "XRANGE s 2 1", "*0\r\n");
	expect(c, "XRANGE s - + COUNT 0", NIL_ARRAY);
	expect(c, "XRANGE s - + COUNT -5", NIL_ARRAY);
	expect(c, "XRANGE none - +", "*0\r\n");
	expect(c, "XRANGE s - + COUNT", SYNTAX);
	expect(c, "XRANGE s - + LIMIT 1", SYNTAX);
	expect(c, "XRANGE s x +", BAD_ID);
	expect(c, "XRANGE s (- +", BAD_ID);
	expect(c, "XRANGE s (18446744073709551615-18446744073709551615 +", "-ERR invalid start ID for the interval\r\n");
	expect(c, "XRANGE s - (0-0", "-ERR invalid end ID for the interval\r\n");
}
END_TEST

START_TEST(test_delete_and_trim)
{
	add("s", 1, 10);
	expect_int(c, "XDEL s 3-1 3-1 77", 1);
	expect_int(c, "XDEL none 1-1", 0);
	expect(c, "XDEL s 4-1 x", BAD_ID);
	expect_int(c, "XLEN s", 9);
	expect_int(c, "XTRIM s MAXLEN 5", 4);
	expect_int(c, "XTRIM s MINID = 8-1", 2);
	expect_int(c, "XTRIM s MAXLEN ~ 1", 0);
	expect_int(c, "XTRIM s MINID ~ 11", 3);
	expect_int(c, "EXISTS s", 1);
	expect(c, "XTRIM s MAXLEN -1", "-ERR The MAXLEN argument must be >= 0.\r\n");
	expect(c, "XTRIM s MAXLEN ~ 5 LIMIT -1", "-ERR The LIMIT argument must be >= 0.\r\n");
	expect(c, "XTRIM s MAXLEN 5 LIMIT 5", "-ERR syntax error, LIMIT cannot be used without the special ~ option\r\n");
	expect(c, "XTRIM s LIMIT 5", "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n");
	expect(c, "XTRIM s LIMIT 5 nonsense", SYNTAX);
	expect(c, "XTRIM s MAXLEN 5 MINID 5",
	       "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible\r\n");
	expect(c, "XTRIM s LIMIT 0 LIMIT 0",
	       "-ERR syntax error, XTRIM must be called with a trimming strategy\r\n");
	expect(c, "XADD s LIMIT 5 * a b",
	       "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy\r\n");
	expect_bulk(c, "XADD s MAXLEN 1 20-1 a b", "20-1");
	expect_bulk(c, "XADD s MAXLEN 1 21-1 a b", "21-1");
	expect_int(c, "XLEN s", 1);
	expect_bulk(c, "XADD s MAXLEN 0 22-1 a b", "22-1");
	expect_int(c, "XLEN s", 0);
	expect_int(c, "EXISTS s", 1);
}
END_TEST

/* Approximate trimming takes whole nodes, and not more than LIMIT. */
START_TEST(test_approximate)
{
	add("s", 1, 350);
	expect_int(c, "XTRIM s MAXLEN ~ 120", 200);
	expect_int(c, "XLEN s", 150);
	add("t", 1, 350);
	expect_int(c, "XTRIM t MAXLEN ~ 0 LIMIT 150", 100);
	expect_int(c, "XTRIM t MAXLEN ~ 0 LIMIT 50", 0);
	expect_int(c, "XTRIM t MAXLEN ~ 0 LIMIT 0", 250);
	expect(c, "CONFIG SET stream-node-max-entries 10", "+OK\r\n");
	add("u", 1, 95);
	expect_int(c, "XTRIM u MINID ~ 26", 20);
	expect_int(c, "XTRIM u MINID 26", 5);
	expect(c, "CONFIG SET stream-node-max-entries 100", "+OK\r\n");
	expect(c, "CONFIG SET stream-node-max-bytes 50", "+OK\r\n");
	add("v", 1, 30);
	struct resp_value *info = resp_ask(c, "XINFO STREAM v");
	ck_assert(info && info->n > 3 && info->elements[3].integer > 3);
	resp_value_free(info);
	expect(c, "CONFIG SET stream-node-max-bytes 4096", "+OK\r\n");
}
END_TEST

START_TEST(test_setid)
{
	add("s", 1, 3);
	expect(c, "XSETID s 2-0", "-ERR The ID specified in XSETID is smaller than the target stream top item\r\n");
	expect(c, "XSETID s 9-9 ENTRIESADDED 2",
	       "-ERR The entries_added specified in XSETID is smaller than the target stream length\r\n");
	expect(c, "XSETID s 9-9 ENTRIESADDED -2", "-ERR entries_added must be positive\r\n");
	expect(c, "XSETID s 9-9 MAXDELETEDID 10-1",
	       "-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id\r\n");
	expect(c, "XSETID s 9-9 ENTRIESADDED 7 MAXDELETEDID 8-1", "+OK\r\n");
	expect(c, "XSETID s 8-0", "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id\r\n");
	expect(c, "XSETID none 8-0", "-ERR no such key\r\n");
	expect(c, "XSETID s 10-0 nonsense", SYNTAX);
	expect_bulk(c, "XADD s 9-* a b", "9-10");
	expect(c, "XINFO STREAM s",
	       "*20\r\n$6\r\nlength\r\n:4\r\n$15\r\nradix-tree-keys\r\n:1\r\n$16\r\nradix-tree-nodes\r\n:2\r\n"
	       "$17\r\nlast-generated-id\r\n$4\r\n9-10\r\n$20\r\nmax-deleted-entry-id\r\n$3\r\n8-1\r\n"
	       "$13\r\nentries-added\r\n:8\r\n$23\r\nrecorded-first-entry-id\r\n$3\r\n1-1\r\n$6\r\ngroups\r\n:0\r\n"
	       "$11\r\nfirst-entry\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"
	       "$10\r\nlast-entry\r\n*2\r\n$4\r\n9-10\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	/* back behind what was deleted, as MAXDELETEDID allows: ids go on ascending */
	expect_any(c, "XADD t 5-1 a b");
	expect_any(c, "XADD t 6-1 a b");
	expect_int(c, "XDEL t 6-1", 1);
	expect_int(c, "XTRIM t MINID 6-1", 1);
	expect(c, "XSETID t 7-1 MAXDELETEDID 0-1", "+OK\r\n");
	expect(c, "XSETID t 1-1", "+OK\r\n");
	expect_bulk(c, "XADD t 2-1 a b", "2-1");
	expect(c, "XRANGE t - +", "*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect(c, "XREVRANGE t + -", "*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
}
END_TEST

START_TEST(test_read)
{
	add("s", 1, 2);
	add("t", 7, 7);
	expect(c, "XREAD COUNT 1 STREAMS s t none 1-1 0 0",
	       "*2\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-1\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"
	       "*2\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\na\r\n$1\r\n7\r\n");
	expect(c, "XREAD STREAMS s $", NIL_ARRAY);
	expect(c, "XREAD STREAMS s 2-1", NIL_ARRAY);
	expect(c, "XREAD STREAMS s t 0", "-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be "
	                                 "specified.\r\n");
	expect(c, "XREAD STREAMS s >", "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> "
	                               "<consumer> option.\r\n");
	expect(c, "XREAD GROUP g c STREAMS s 0",
	       "-ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.\r\n");
	expect(c, "XREAD NOACK STREAMS s 0",
	       "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.\r\n");
	expect(c, "XREAD COUNT 1 nonsense s 0", SYNTAX);
	expect(c, "XREAD COUNT 1 COUNT 2", SYNTAX);
	expect(c, "XREAD BLOCK x STREAMS s 0", "-ERR timeout is not an integer or out of range\r\n");
	expect(c, "XREAD BLOCK -1 STREAMS s 0", "-ERR timeout is negative\r\n");
	expect(c, "XREAD BLOCK 9223372036854775807 STREAMS s 0", "-ERR timeout is out of range\r\n");
	expect(c, "XREAD BLOCK 1 STREAMS t 0",
	       "*1\r\n*2\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\na\r\n$1\r\n7\r\n");
	expect_any(c, "HELLO 3");
	expect(c, "XREAD STREAMS t 0", "%1\r\n$1\r\nt\r\n*1\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\na\r\n$1\r\n7\r\n");
	expect(c, "XREAD STREAMS t 9", "_\r\n");
}
END_TEST

/* Many nodes: what XINFO tells of the tree that others have, and that all is found. */
START_TEST(test_nodes)
{
	add("s", 1, 1000);
	struct resp_value *info = resp_ask(c, "XINFO STREAM s");
	ck_assert(info && info->n == 20);
	ck_assert_int_eq(info->elements[3].integer, 10);
	ck_assert_int_eq(info->elements[5].integer, 26);
	resp_value_free(info);
	struct resp_value *all = resp_ask(c, "XREVRANGE s 900 101");
	ck_assert(all && all->n == 800);
	ck_assert_str_eq(all->elements[0].elements[0].text, "900-1");
	ck_assert_str_eq(all->elements[799].elements[0].text, "101-1");
	resp_value_free(all);
	expect_int(c, "COPY s t", 1);
	struct resp_value *a = resp_ask(c, "DEBUG DIGEST-VALUE s"), *b = resp_ask(c, "DEBUG DIGEST-VALUE t");
	ck_assert_str_eq(a->elements[0].text, b->elements[0].text);
	resp_value_free(a);
	resp_value_free(b);
	int64_t bytes = ask_int(c, "MEMORY USAGE s");
	ck_assert_int_gt(bytes, 8000);
	ck_assert_int_lt(bytes, 40000);
	expect_int(c, "DEL s", 1);
}
END_TEST

/* Elements of any size and kind come back as they were. */
START_TEST(test_values)
{
	enum { LONG = 300000 };
	char *line = malloc(LONG);
	memset(line, 'x', LONG - 1);
	line[LONG - 1] = 0;
	memcpy(line, "XADD s 1-1 a ", 13);
	expect_bulk(c, line, "1-1");
	struct resp_value *v = resp_ask(c, "XRANGE s - +");
	ck_assert(v && v->n == 1 && v->elements[0].elements[1].n == 2);
	ck_assert_str_eq(v->elements[0].elements[1].elements[1].text, line + 13);
	resp_value_free(v);
	free(line);
	expect_bulk(c, "XADD s 2-1 \"\" \"\" 12 -12 007 9223372036854775808", "2-1");
	expect(c, "XRANGE s 2 +", "*1\r\n*2\r\n$3\r\n2-1\r\n*6\r\n$0\r\n\r\n$0\r\n\r\n$2\r\n12\r\n$3\r\n-12\r\n$3\r\n007\r\n"
	                          "$19\r\n9223372036854775808\r\n");
}
END_TEST

COMMAND_TESTS_WITH("stream", "enable-debug-command yes\n", test_add, test_ids_of_the_clock, test_range, test_delete_and_trim,
                   test_approximate, test_setid, test_read, test_nodes, test_values)

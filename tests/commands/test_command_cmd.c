#include <stdio.h>
#include <string.h>

#include "tests/lib/expect.h"

START_TEST(info_shapes)
{
	expect(c, "COMMAND INFO get nosuch nosuch|get get|x",
	       "*4\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n"
	       "+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n"
	       "$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n"
	       "$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n$-1\r\n$-1\r\n"
	       "$-1\r\n");
	expect_any(c, "HELLO 3");
	expect(c, "COMMAND INFO client|id nosuch",
	       "*2\r\n*10\r\n$9\r\nclient|id\r\n:2\r\n~3\r\n+noscript\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n"
	       "~2\r\n+@slow\r\n+@connection\r\n~0\r\n~0\r\n~0\r\n_\r\n");
	expect_prefix(c, "COMMAND INFO mset", "*1\r\n*10\r\n$4\r\nmset\r\n:-3\r\n~2\r\n+write\r\n+denyoom\r\n:1\r\n:-1\r\n:2\r\n");
	expect_prefix(c, "COMMAND INFO rename", "*1\r\n*10\r\n$6\r\nrename\r\n:3\r\n~1\r\n+write\r\n:1\r\n:2\r\n:1\r\n");
	/* subcommands come with their container */
	struct resp_value *v = resp_ask(c, "COMMAND INFO client");
	ck_assert(v && v->n == 1 && v->elements[0].n == 10);
	const struct resp_value *subs = &v->elements[0].elements[9];
	ck_assert(subs->type == '*' && subs->n >= 13);
	ck_assert_str_eq(subs->elements[0].elements[0].text, "client|caching");
	resp_value_free(v);
}
END_TEST

START_TEST(count_and_all)
{
	int64_t n = ask_int(c, "COMMAND COUNT");
	ck_assert_int_gt(n, 40);
	static const char *const lists[] = { "COMMAND", "COMMAND INFO", "COMMAND LIST" };
	for (int i = 0; i < 3; i++) {
		struct resp_value *v = resp_ask(c, lists[i]);
		ck_assert(v && v->type == '*');
		ck_assert_uint_eq(v->n, (size_t)n);
		resp_value_free(v);
	}
	struct resp_value *v = resp_ask(c, "COMMAND DOCS");
	ck_assert(v && v->n == (size_t)n * 2);
	resp_value_free(v);
	expect(c, "COMMAND COUNT x", "-ERR wrong number of arguments for 'command|count' command\r\n");
	expect(c, "COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.\r\n");
	expect_prefix(c, "COMMAND HELP", "*");
}
END_TEST

START_TEST(docs)
{
	expect_any(c, "HELLO 3");
	expect(c, "COMMAND DOCS nosuch", "%0\r\n");
	expect_prefix(c, "COMMAND DOCS getset nosuch", "%1\r\n$6\r\ngetset\r\n%8\r\n$7\r\nsummary\r\n");
	struct resp_value *v = resp_ask(c, "COMMAND DOCS getset");
	ck_assert(v && v->n == 2 && v->elements[1].n == 16);
	static const char *const names[] = {
		"summary", "since", "group", "complexity", "doc_flags", "deprecated_since", "replaced_by", "arguments",
	};
	for (int i = 0; i < 8; i++)
		ck_assert_str_eq(v->elements[1].elements[2 * i].text, names[i]);
	resp_value_free(v);
	expect_prefix(c, "COMMAND DOCS client|setname", "%1\r\n$14\r\nclient|setname\r\n");
	v = resp_ask(c, "COMMAND DOCS client");
	ck_assert_str_eq(v->elements[1].elements[v->elements[1].n - 2].text, "subcommands");
	resp_value_free(v);
}
END_TEST

/* SAFETY.md: COMMAND GETKEYS, ACL: bad numkeys or arity. */
START_TEST(getkeys)
{
	expect(c, "COMMAND GETKEYS get a", "*1\r\n$1\r\na\r\n");
	expect(c, "COMMAND GETKEYS MSET a 1 b 2", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect(c, "COMMAND GETKEYS mset a 1 b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect(c, "COMMAND GETKEYS object encoding x", "*1\r\n$1\r\nx\r\n");
	expect(c, "COMMAND GETKEYS get", "-ERR Invalid number of arguments specified for command\r\n");
	expect(c, "COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command\r\n");
	expect(c, "COMMAND GETKEYS ping", "-ERR The command has no key arguments\r\n");
	expect(c, "COMMAND GETKEYS client id", "-ERR The command has no key arguments\r\n");
	expect(c, "COMMAND GETKEYS client foo", "-ERR Invalid command specified\r\n");
	expect(c, "COMMAND GETKEYS nosuch a", "-ERR Invalid command specified\r\n");
	expect(c, "COMMAND GETKEYS", "-ERR wrong number of arguments for 'command|getkeys' command\r\n");
	expect(c, "COMMAND GETKEYSANDFLAGS set a b", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+OW\r\n+update\r\n");
	expect(c, "COMMAND GETKEYSANDFLAGS set a b get", "*1\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+update\r\n");
	expect(c, "COMMAND GETKEYSANDFLAGS rename a b",
	       "*2\r\n*2\r\n$1\r\na\r\n*3\r\n+RW\r\n+access\r\n+delete\r\n*2\r\n$1\r\nb\r\n*2\r\n+OW\r\n+update\r\n");
}
END_TEST

START_TEST(list_filters)
{
	expect(c, "COMMAND LIST FILTERBY PATTERN gET", "*1\r\n$3\r\nget\r\n");
	expect(c, "COMMAND LIST filterby pattern client|set*", "*2\r\n$14\r\nclient|setinfo\r\n$14\r\nclient|setname\r\n");
	expect(c, "COMMAND LIST FILTERBY MODULE x", "*0\r\n");
	expect(c, "COMMAND LIST FILTERBY ACLCAT nosuch", "*0\r\n");
	struct resp_value *v = resp_ask(c, "COMMAND LIST FILTERBY ACLCAT connection");
	bool ping = false, client_id = false, get = false;
	for (size_t i = 0; v && i < v->n; i++) {
		ping = ping || !strcmp(v->elements[i].text, "ping");
		client_id = client_id || !strcmp(v->elements[i].text, "client|id");
		get = get || !strcmp(v->elements[i].text, "get");
	}
	ck_assert(ping && client_id && !get);
	resp_value_free(v);
	expect(c, "COMMAND LIST FILTERBY FOO x", "-ERR syntax error\r\n");
	expect(c, "COMMAND LIST FILTERBY PATTERN", "-ERR syntax error\r\n");
	expect(c, "COMMAND LIST x", "-ERR syntax error\r\n");
	expect_any(c, "HELLO 3");
	expect_prefix(c, "COMMAND LIST", "~");
}
END_TEST

START_TEST(renamed_commands)
{
	struct proc p;
	own_server(&p, "rename-command GET hidden-get\nrename-command FLUSHDB \"\"\n");
	struct resp_client *a = connect_to(&p);
	expect_prefix(a, "GET k", "-ERR unknown command 'GET'");
	expect(a, "HIDDEN-GET k", "$-1\r\n");
	expect_prefix(a, "FLUSHDB", "-ERR unknown command 'FLUSHDB'");
	expect(a, "COMMAND LIST FILTERBY PATTERN flush*", "*1\r\n$8\r\nflushall\r\n");
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

COMMAND_TESTS("command", info_shapes, count_and_all, docs, getkeys, list_filters, renamed_commands)

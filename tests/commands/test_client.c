#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

/* A field of the client's own CLIENT INFO line. */
static void expect_field(struct resp_client *client, const char *name, const char *value)
{
	char want[128];
	struct resp_value *v = resp_ask(client, "CLIENT INFO");
	ck_assert(v && v->text);
	snprintf(want, sizeof want, " %s=%s ", name, value);
	ck_assert_msg(strstr(v->text, want) != NULL, "%s not in %s", want, v->text);
	resp_value_free(v);
}

static int lines_of(struct resp_client *client, const char *line)
{
	struct resp_value *v = resp_ask(client, line);
	int n = 0;
	ck_assert(v && v->text && (v->type == '$' || v->type == '='));
	for (const char *p = v->text; (p = strchr(p, '\n')); p++)
		n++;
	resp_value_free(v);
	return n;
}

static void ask_line(struct resp_client *client, const char *format, int64_t id, const char *reply)
{
	char line[128];
	snprintf(line, sizeof line, format, (long long)id);
	expect_prefix(client, line, reply);
}

START_TEST(names)
{
	expect(c, "CLIENT GETNAME", "$-1\r\n");
	expect(c, "CLIENT SETNAME one", "+OK\r\n");
	expect_bulk(c, "CLIENT GETNAME", "one");
	expect(c, "CLIENT SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
	expect(c, "CLIENT SETNAME \"a\\n\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
	expect(c, "CLIENT SETNAME \"\\xc3\\xa9\"",
	       "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
	expect_field(c, "name", "one");
	expect(c, "CLIENT SETNAME \"\"", "+OK\r\n");
	expect(c, "CLIENT GETNAME", "$-1\r\n");
	expect(c, "CLIENT SETINFO lib-name redis-py(x)", "+OK\r\n");
	expect(c, "CLIENT SETINFO LIB-VER 1.2.3", "+OK\r\n");
	expect_field(c, "lib-name", "redis-py(x)");
	expect(c, "CLIENT SETINFO LIB-NAME \"a b\"",
	       "-ERR LIB-NAME cannot contain spaces, newlines or special characters.\r\n");
	expect(c, "CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'\r\n");
	expect(c, "CLIENT SETINFO lib-name \"\"", "+OK\r\n");
	expect_field(c, "lib-name", "");
}
END_TEST

START_TEST(info_line)
{
	char want[64];
	int64_t id = ask_int(c, "CLIENT ID");
	struct resp_value *v;
	expect(c, "SELECT 7", "+OK\r\n");
	v = resp_ask(c, "CLIENT INFO");
	ck_assert(v && v->type == '$');
	snprintf(want, sizeof want, "id=%lld addr=127.0.0.1:", (long long)id);
	ck_assert_msg(!strncmp(v->text, want, strlen(want)), "%s", v->text);
	ck_assert_ptr_nonnull(strstr(v->text, " db=7 "));
	ck_assert_ptr_nonnull(strstr(v->text, " argv-mem=10 "));
	ck_assert_ptr_nonnull(strstr(v->text, " multi=-1 "));
	ck_assert_ptr_nonnull(strstr(v->text, " cmd=client|info user=default redir=-1 resp=2 lib-name= lib-ver=\n"));
	resp_value_free(v);
	expect_any(c, "HELLO 3");
	v = resp_ask(c, "CLIENT INFO");
	ck_assert(v && v->type == '=');
	resp_value_free(v);
	expect(c, "CLIENT NO-EVICT on", "+OK\r\n");
	expect_field(c, "flags", "e");
	expect(c, "CLIENT NO-TOUCH on", "+OK\r\n");
	expect_field(c, "flags", "eT");
	expect(c, "CLIENT NO-EVICT maybe", "-ERR syntax error\r\n");
	expect(c, "CLIENT NO-TOUCH off", "+OK\r\n");
	expect(c, "CLIENT NO-EVICT off", "+OK\r\n");
	expect_field(c, "flags", "N");
}
END_TEST

START_TEST(list)
{
	struct resp_client *a = connect_to(&server), *b = connect_to(&server);
	int64_t ida = ask_int(a, "CLIENT ID"), idb = ask_int(b, "CLIENT ID");
	char line[128];
	ck_assert_int_eq(lines_of(c, "CLIENT LIST"), 3);
	ck_assert_int_eq(lines_of(c, "CLIENT LIST TYPE normal"), 3);
	ck_assert_int_eq(lines_of(c, "CLIENT LIST TYPE replica"), 0);
	ck_assert_int_eq(lines_of(c, "CLIENT LIST TYPE slave"), 0);
	ck_assert_int_eq(lines_of(c, "CLIENT LIST TYPE PubSub"), 0);
	ck_assert_int_eq(lines_of(c, "CLIENT LIST TYPE master"), 0);
	snprintf(line, sizeof line, "CLIENT LIST ID %lld %lld 0 -1 99999", (long long)ida, (long long)idb);
	ck_assert_int_eq(lines_of(c, line), 2);
	expect(c, "CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n");
	expect(c, "CLIENT LIST ID x", "-ERR Invalid client ID\r\n");
	expect(c, "CLIENT LIST ID", "-ERR syntax error\r\n");
	expect(c, "CLIENT LIST TYPE normal x", "-ERR syntax error\r\n");
	expect(c, "CLIENT LIST x", "-ERR syntax error\r\n");
	resp_close(a);
	resp_close(b);
}
END_TEST

START_TEST(kill_by_filter)
{
	struct resp_client *a = connect_to(&server), *b = connect_to(&server), *d = connect_to(&server);
	int64_t ida = ask_int(a, "CLIENT ID");
	ask_line(c, "CLIENT KILL ID %lld", ida, ":1\r\n");
	ck_assert(resp_read_eof(a));
	ask_line(c, "CLIENT KILL ID %lld", ida, ":0\r\n");
	expect(c, "PING", "+PONG\r\n");
	/* several filters must all fit */
	ask_line(c, "CLIENT KILL ID %lld TYPE pubsub", ask_int(b, "CLIENT ID"), ":0\r\n");
	expect(c, "CLIENT KILL TYPE normal USER default SKIPME yes", ":2\r\n");
	ck_assert(resp_read_eof(b));
	ck_assert(resp_read_eof(d));
	expect(c, "CLIENT KILL TYPE normal SKIPME no", ":1\r\n");
	ck_assert(resp_read_eof(c));
	resp_close(a);
	resp_close(b);
	resp_close(d);
}
END_TEST

START_TEST(kill_by_address)
{
	struct resp_client *a = connect_to(&server);
	struct resp_value *v = resp_ask(a, "CLIENT INFO");
	char line[128];
	const char *addr = strstr(v->text, "addr=") + 5;
	int len = (int)strcspn(addr, " ");
	snprintf(line, sizeof line, "CLIENT KILL %.*s", len, addr);
	expect(c, line, "+OK\r\n");
	ck_assert(resp_read_eof(a));
	expect(c, line, "-ERR No such client\r\n");
	snprintf(line, sizeof line, "CLIENT KILL ADDR %.*s", len, addr);
	expect(c, line, ":0\r\n");
	resp_value_free(v);
	resp_close(a);
	a = connect_to(&server);
	v = resp_ask(a, "CLIENT INFO");
	addr = strstr(v->text, "laddr=") + 6;
	snprintf(line, sizeof line, "CLIENT KILL LADDR %.*s", (int)strcspn(addr, " "), addr);
	expect(c, line, ":1\r\n");
	ck_assert(resp_read_eof(a));
	resp_value_free(v);
	resp_close(a);
}
END_TEST

/* A killed client's commands behind the one in execution are not run. */
START_TEST(kill_self_in_a_pipeline)
{
	struct resp_client *a = connect_to(&server);
	char bytes[128];
	int n = snprintf(bytes, sizeof bytes, "SET k 1\r\nCLIENT KILL SKIPME no ID %lld\r\nSET k 2\r\n",
	                 (long long)ask_int(a, "CLIENT ID"));
	ck_assert(resp_send_bytes(a, bytes, (size_t)n));
	expect_reply(a, "+OK\r\n");
	expect_reply(a, ":1\r\n");
	ck_assert(resp_read_eof(a));
	resp_close(a);
	expect_bulk(c, "GET k", "1");
}
END_TEST

START_TEST(kill_errors)
{
	expect(c, "CLIENT KILL", "-ERR wrong number of arguments for 'client|kill' command\r\n");
	expect(c, "CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n");
	expect(c, "CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n");
	expect(c, "CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n");
	expect(c, "CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'\r\n");
	expect(c, "CLIENT KILL USER nobody", "-ERR No such user 'nobody'\r\n");
	expect(c, "CLIENT KILL SKIPME maybe", "-ERR syntax error\r\n");
	expect(c, "CLIENT KILL FOO bar", "-ERR syntax error\r\n");
	expect(c, "CLIENT KILL ID 99999 FOO", "-ERR syntax error\r\n");
}
END_TEST

START_TEST(pause_and_unpause)
{
	struct resp_client *a = connect_to(&server);
	expect(c, "SET k v", "+OK\r\n");
	expect(c, "CLIENT PAUSE 100000 WRITE", "+OK\r\n");
	expect_bulk(a, "GET k", "v");
	ck_assert(resp_send(a, "SET k w"));
	ck_assert(resp_send(a, "GET k"));
	for (int i = 0; i < 20; i++)
		expect_bulk(c, "GET k", "v"); /* reads go on, the write waits */
	expect(c, "CLIENT UNPAUSE", "+OK\r\n");
	expect_reply(a, "+OK\r\n");
	expect_reply(a, "$1\r\nw\r\n");
	/* a pause ends by itself */
	expect(c, "CLIENT PAUSE 50", "+OK\r\n");
	expect_bulk(a, "GET k", "w");
	expect(c, "CLIENT PAUSE 0", "+OK\r\n");
	expect_bulk(a, "GET k", "w");
	expect(c, "CLIENT PAUSE x", "-ERR timeout is not an integer or out of range\r\n");
	expect(c, "CLIENT PAUSE -1", "-ERR timeout is negative\r\n");
	expect(c, "CLIENT PAUSE 9223372036854775807", "-ERR timeout is out of range\r\n");
	expect(c, "CLIENT PAUSE 1 FOO", "-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n");
	resp_close(a);
}
END_TEST

/* Nor does a write that waited for its lock when the pause began come behind the pause's answer. */
START_TEST(pause_before_a_waiting_write)
{
	struct proc p;
	own_server(&p, "busy-reply-threshold 0\n");
	struct resp_client *script = connect_to(&p), *writer = connect_to(&p), *a = connect_to(&p);
	struct resp_bytes reply;
	expect(a, "HSET k writer 0", ":1\r\n");
	int64_t written = wait_for_lock(script, writer);
	expect(a, "MULTI", "+OK\r\n");
	expect(a, "HGET k writer", "+QUEUED\r\n");
	expect(a, "CLIENT PAUSE 100000 WRITE", "+QUEUED\r\n");
	struct resp_value *v = resp_ask(a, "EXEC");
	ck_assert_uint_eq(v->n, 2);
	for (int i = 0; i < 100; i++)
		expect_bulk(a, "HGET k writer", v->elements[0].text);
	resp_value_free(v);
	expect(a, "CLIENT UNPAUSE", "+OK\r\n");
	expect_int(writer, NULL, written + 1);
	ck_assert(resp_read(script, &reply));
	resp_close(script);
	resp_close(writer);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(reply_modes)
{
	ck_assert(resp_send(c, "CLIENT REPLY OFF"));
	ck_assert(resp_send(c, "SET k 1"));
	ck_assert(resp_send(c, "NOSUCH"));
	expect(c, "CLIENT REPLY ON", "+OK\r\n");
	expect_bulk(c, "GET k", "1");
	ck_assert(resp_send(c, "CLIENT REPLY SKIP"));
	ck_assert(resp_send(c, "INCR k"));
	expect(c, "INCR k", ":3\r\n");
	ck_assert(resp_send(c, "CLIENT REPLY SKIP"));
	ck_assert(resp_send(c, "CLIENT REPLY SKIP"));
	ck_assert(resp_send(c, "INCR k"));
	expect(c, "INCR k", ":5\r\n");
	expect(c, "CLIENT REPLY FOO", "-ERR syntax error\r\n");
}
END_TEST

/* Reads raise the frequency of a key, except those of a client that does not touch. */
START_TEST(no_touch)
{
	expect(c, "CONFIG SET maxmemory-policy allkeys-lfu", "+OK\r\n");
	expect(c, "SET k v", "+OK\r\n");
	expect(c, "CLIENT NO-TOUCH on", "+OK\r\n");
	for (int i = 0; i < 200; i++)
		expect_bulk(c, "GET k", "v");
	ck_assert_int_le(ask_int(c, "OBJECT FREQ k"), 5);
	expect(c, "CLIENT NO-TOUCH off", "+OK\r\n");
	for (int i = 0; i < 2000; i++)
		expect_bulk(c, "GET k", "v");
	ck_assert_int_gt(ask_int(c, "OBJECT FREQ k"), 5);
	expect(c, "CONFIG SET maxmemory-policy noeviction", "+OK\r\n");
}
END_TEST

START_TEST(help_and_errors)
{
	expect_prefix(c, "CLIENT HELP", "*");
	expect(c, "CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n");
	expect(c, "CLIENT", "-ERR wrong number of arguments for 'client' command\r\n");
	expect(c, "CLIENT ID x", "-ERR wrong number of arguments for 'client|id' command\r\n");
}
END_TEST

COMMAND_TESTS("client", names, info_line, list, kill_by_filter, kill_by_address, kill_self_in_a_pipeline, kill_errors,
              pause_and_unpause, pause_before_a_waiting_write, reply_modes, no_touch, help_and_errors)

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

START_TEST(ping_echo_select)
{
	expect(c, "ping", "+PONG\r\n");
	expect_bulk(c, "PING \"\"", "");
	expect(c, "PING a b", "-ERR wrong number of arguments for 'ping' command\r\n");
	expect_bulk(c, "ECHO \"a\\r\\nb\"", "a\r\nb");
	expect(c, "ECHO", "-ERR wrong number of arguments for 'echo' command\r\n");
	expect(c, "SELECT 15", "+OK\r\n");
	expect(c, "SET k v", "+OK\r\n");
	expect(c, "SELECT 0", "+OK\r\n");
	expect(c, "GET k", "$-1\r\n");
	expect(c, "SELECT 16", "-ERR DB index is out of range\r\n");
	expect(c, "SELECT -1", "-ERR DB index is out of range\r\n");
	expect(c, "SELECT x", "-ERR value is not an integer or out of range\r\n");
	expect(c, "SELECT 99999999999", "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
	expect(c, "SELECT 99999999999999999999", "-ERR value is not an integer or out of range\r\n");
	expect(c, "SELECT 15", "+OK\r\n");
	expect_bulk(c, "GET k", "v");
}
END_TEST

START_TEST(hello_chooses_the_protocol)
{
	expect_prefix(c, "HELLO", "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:2\r\n");
	expect_prefix(c, "HELLO 3 SETNAME me", "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n"
	                                       "$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:");
	expect_bulk(c, "CLIENT GETNAME", "me");
	expect(c, "GET nothing", "_\r\n");
	expect_prefix(c, "HELLO", "%7\r\n");
	expect(c, "HELLO 1", "-NOPROTO unsupported protocol version\r\n");
	expect(c, "HELLO 4", "-NOPROTO unsupported protocol version\r\n");
	expect(c, "HELLO 3x", "-ERR Protocol version is not an integer or out of range\r\n");
	expect(c, "HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n");
	expect(c, "HELLO 2 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n");
	expect(c, "HELLO 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n");
	expect(c, "HELLO 2 SETNAME \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
	expect(c, "HELLO 2 AUTH nobody x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	/* none of these changed the protocol */
	expect(c, "GET nothing", "_\r\n");
	expect_prefix(c, "HELLO 2 SETNAME you AUTH default any", "*14\r\n");
	expect_bulk(c, "CLIENT GETNAME", "you");
	expect(c, "GET nothing", "$-1\r\n");
}
END_TEST

/* What stands behind HELLO in one packet is answered in the new protocol. */
START_TEST(hello_in_a_pipeline)
{
	static const char bytes[] = "GET a\r\nHELLO 3\r\nGET a\r\nHELLO 2\r\nGET a\r\n";
	struct resp_bytes got;
	static const char *const want[] = { "$-1\r\n", "%7", "_\r\n", "*14", "$-1\r\n" };
	ck_assert(resp_send_bytes(c, bytes, sizeof bytes - 1));
	for (int i = 0; i < 5; i++) {
		ck_assert(resp_read(c, &got));
		ck_assert_msg(!memcmp(got.ptr, want[i], strlen(want[i])), "reply %d", i);
	}
}
END_TEST

START_TEST(auth_without_password)
{
	expect(c, "AUTH x", "-ERR AUTH <password> called without any password configured for the default user. "
	                    "Are you sure your configuration is correct?\r\n");
	expect(c, "AUTH default anything", "+OK\r\n");
	expect(c, "AUTH nobody x", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(c, "AUTH a b c", "-ERR syntax error\r\n");
	expect(c, "AUTH", "-ERR wrong number of arguments for 'auth' command\r\n");
}
END_TEST

START_TEST(auth_with_password)
{
	struct proc p;
	own_server(&p, "requirepass s3cret\n");
	struct resp_client *a = connect_to(&p);
	expect(a, "GET k", "-NOAUTH Authentication required.\r\n");
	expect(a, "PING", "-NOAUTH Authentication required.\r\n");
	expect(a, "CLIENT ID", "-NOAUTH Authentication required.\r\n");
	expect_prefix(a, "HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated");
	expect(a, "AUTH s3cre", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(a, "AUTH s3cretx", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(a, "AUTH \"\"", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(a, "AUTH nobody s3cret", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect_prefix(a, "HELLO 3 AUTH default wrong", "-WRONGPASS");
	expect(a, "AUTH s3cret", "+OK\r\n");
	expect(a, "PING", "+PONG\r\n");
	expect(a, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(a, "PING", "+PONG\r\n"); /* as in Redis, a failure does not lock out */
	ck_assert_int_eq(info_int(a, "stats", "acl_access_denied_auth"), 6);
	expect(a, "RESET", "+RESET\r\n");
	expect(a, "PING", "-NOAUTH Authentication required.\r\n");
	expect_prefix(a, "HELLO 3 AUTH default s3cret SETNAME x", "%7\r\n");
	expect(a, "GET k", "_\r\n");
	expect(a, "QUIT", "+OK\r\n");
	ck_assert(resp_read_eof(a));
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(reset_forgets)
{
	expect_any(c, "HELLO 3 SETNAME x");
	expect(c, "SELECT 4", "+OK\r\n");
	expect(c, "CLIENT NO-EVICT on", "+OK\r\n");
	expect(c, "CLIENT NO-TOUCH on", "+OK\r\n");
	expect(c, "CLIENT SETINFO lib-name lib", "+OK\r\n");
	expect(c, "RESET", "+RESET\r\n");
	expect(c, "GET nothing", "$-1\r\n");
	expect(c, "CLIENT GETNAME", "$-1\r\n");
	struct resp_value *v = resp_ask(c, "CLIENT INFO");
	ck_assert(v && v->text);
	ck_assert(strstr(v->text, " db=0 ") && strstr(v->text, " flags=N ") && strstr(v->text, " resp=2 "));
	ck_assert(strstr(v->text, " lib-name=lib "));
	resp_value_free(v);
	expect(c, "RESET now", "-ERR wrong number of arguments for 'reset' command\r\n");
}
END_TEST

START_TEST(quit_closes)
{
	static const char bytes[] = "SET a 1\r\nQUIT\r\nSET a 2\r\n";
	struct resp_client *q = connect_to(&server);
	ck_assert(resp_send_bytes(q, bytes, sizeof bytes - 1));
	expect_reply(q, "+OK\r\n");
	expect_reply(q, "+OK\r\n");
	ck_assert(resp_read_eof(q));
	resp_close(q);
	expect_bulk(c, "GET a", "1");
}
END_TEST

COMMAND_TESTS("connection", ping_echo_select, hello_chooses_the_protocol, hello_in_a_pipeline, auth_without_password,
              auth_with_password, reset_forgets, quit_closes)

/* While a script runs for too long: everybody is answered, on every loop, wherever the loop stands. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define BUSY "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
#define BUSY_FUNCTION "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.\r\n"
#define KILLED "-ERR Script killed by user with SCRIPT KILL. script: "
#define OTHERS 12 /* more than loops: the connections are spread over them */

static struct resp_client *others[OTHERS], *slow;

static void connect_all(const struct proc *p)
{
	slow = connect_to(p);
	for (int i = 0; i < OTHERS; i++)
		others[i] = connect_to(p);
}

static void close_all(void)
{
	resp_close(slow);
	for (int i = 0; i < OTHERS; i++)
		resp_close(others[i]);
}

/* PONG until the time is over, then BUSY, and BUSY from then on. */
static void wait_busy(struct resp_client *client)
{
	for (;;) {
		struct resp_bytes r;
		ck_assert(resp_send(client, "PING") && resp_read(client, &r));
		if (*r.ptr == '-') {
			ck_assert_int_eq(strncmp(r.ptr, "-BUSY ", 6), 0);
			return;
		}
	}
}

static void all_busy(void)
{
	for (int i = 0; i < OTHERS; i++)
		wait_busy(others[i]);
	for (int i = 0; i < OTHERS; i++) {
		expect(others[i], "GET x", BUSY);
		expect(others[i], "FLUSHALL", BUSY);
		expect(others[i], "INFO", BUSY);
	}
}

static void kill_it(struct resp_client *killer)
{
	expect(killer, "SCRIPT KILL", OK);
	struct resp_bytes r;
	ck_assert(resp_read(slow, &r));
	ck_assert_int_eq(strncmp(r.ptr, KILLED, sizeof KILLED - 1), 0);
	for (int i = 0; i < OTHERS; i++)
		expect(others[i], "PING", "+PONG\r\n");
	expect(slow, "PING", "+PONG\r\n");
	expect(c, "PING", "+PONG\r\n");
	expect(c, "SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n");
}

START_TEST(test_everybody_is_answered)
{
	connect_all(&server);
	ck_assert(resp_send(slow, "EVAL \"while true do end\" 1 k"));
	all_busy();
	kill_it(others[3]);
	close_all();
}
END_TEST

/* It stopped everybody: at its beginning, or in its middle. */
START_TEST(test_while_it_is_alone)
{
	connect_all(&server);
	for (int i = 0; i < 3; i++) {
		ck_assert(resp_send(slow, "EVAL \"redis.call('dbsize') while true do end\" 1 k"));
		all_busy();
		kill_it(others[i]);
	}
	close_all();
}
END_TEST

START_TEST(test_what_may_run)
{
	connect_all(&server);
	ck_assert(resp_send(slow, "EVAL \"redis.call('dbsize') while true do end\" 0"));
	all_busy();
	for (int i = 0; i < OTHERS; i++) {
		expect(others[i], "MULTI", OK);
		expect(others[i], "GET x", BUSY);
		expect(others[i], "EXEC", "-EXECABORT Transaction discarded because of: BUSY Redis is busy running a script. You can "
		                          "only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n");
		expect(others[i], "MULTI", OK);
		expect(others[i], "DISCARD", OK);
		expect_prefix(others[i], "HELLO 2", "*");
		expect_prefix(others[i], "AUTH x y", "-WRONGPASS ");
		expect(others[i], "UNWATCH", OK);
		expect(others[i], "SHUTDOWN", BUSY);
		expect(others[i], "SHUTDOWN SAVE", BUSY);
		expect(others[i], "FUNCTION KILL", BUSY);
		expect_prefix(others[i], "NOSUCH", "-ERR unknown command");
		expect_prefix(others[i], "GET", "-ERR wrong number");
	}
	/* Connections come and go. */
	for (int i = 0; i < OTHERS; i++) {
		struct resp_client *fresh = connect_to(&server);
		expect(fresh, "PING", BUSY);
		if (i % 2)
			expect(fresh, "QUIT", OK);
		resp_close(fresh);
	}
	kill_it(others[0]);
	close_all();
}
END_TEST

/* What arrived together with the script, before and behind it, of the same client and of others. */
START_TEST(test_pipelines)
{
	static const char line[] = "SET before 1\r\nEVAL \"while true do end\" 1 k\r\nSET behind 1\r\nGET before\r\nGET beh";
	connect_all(&server);
	for (int round = 0; round < 3; round++) {
		ck_assert(resp_send_bytes(slow, line, sizeof line - 1));
		for (int i = 1; i < OTHERS; i++)
			ck_assert(resp_send_bytes(others[i], "ECHO a\r\nECHO b\r\nECHO c\r\nEC", 26));
		wait_busy(others[0]);
		for (int i = 1; i < OTHERS; i++) {
			for (const char *p = "abc"; *p; p++) {
				char echoed[] = "$1\r\na\r\n";
				echoed[4] = *p;
				struct resp_bytes r;
				ck_assert(resp_read(others[i], &r));
				ck_assert((r.len == sizeof BUSY - 1 && !memcmp(r.ptr, BUSY, r.len)) ||
				          (r.len == 7 && !memcmp(r.ptr, echoed, r.len)));
			}
			ck_assert(resp_send_bytes(others[i], "HO d\r\n", 6));
			expect_reply(others[i], BUSY);
		}
		expect_reply(slow, OK);
		ck_assert(resp_send_bytes(slow, "ind\r\n", 5));
		expect(others[1], "SCRIPT KILL", OK);
		struct resp_bytes r;
		ck_assert(resp_read(slow, &r));
		ck_assert_int_eq(strncmp(r.ptr, KILLED, sizeof KILLED - 1), 0);
		expect_reply(slow, OK);
		expect_reply(slow, "$1\r\n1\r\n");
		expect_reply(slow, "$1\r\n1\r\n");
	}
	close_all();
}
END_TEST

/* Commands that wait for the script's lock, or to be alone, wait on; the clients beside them are answered. */
START_TEST(test_beside_those_who_wait)
{
	struct resp_client *waiters[4];
	connect_all(&server);
	ck_assert(resp_send(slow, "EVAL \"while true do end\" 1 k"));
	for (int i = 0; i < 4; i++) {
		waiters[i] = connect_to(&server);
		ck_assert(resp_send(waiters[i], i % 2 ? "APPEND k x" : "CLIENT LIST"));
	}
	all_busy();
	kill_it(others[5]);
	for (int i = 0; i < 4; i++) {
		struct resp_bytes r;
		ck_assert(resp_read(waiters[i], &r));
		ck_assert(*r.ptr == (i % 2 ? ':' : '$') || !strncmp(r.ptr, "-BUSY", 5));
		expect(waiters[i], "PING", "+PONG\r\n");
		resp_close(waiters[i]);
	}
	close_all();
}
END_TEST

START_TEST(test_long_arguments_survive)
{
	connect_all(&server);
	expect(c, "CONFIG SET slowlog-log-slower-than 5000", OK);
	expect(c, "SLOWLOG RESET", OK);
	char *text = malloc(100000);
	memset(text, 'v', 100000);
	static const char source[] = "local n = 0 while n < 30000000 do n = n + 1 end redis.call('set', KEYS[1], ARGV[1]) "
	                             "return redis.call('strlen', KEYS[1])";
	ck_assert(resp_send_argv(slow, 5, (struct resp_bytes[]){ { "EVAL", 4 }, { source, sizeof source - 1 }, { "1", 1 },
	                                                         { "key", 3 }, { text, 100000 } }));
	for (int i = 0; i < 200; i++) { /* other bytes where the arguments were */
		struct resp_bytes r;
		struct resp_client *other = others[i % OTHERS];
		ck_assert(resp_send_argv(other, 2, (struct resp_bytes[]){ { "ECHO", 4 }, { text, 50000 } }) && resp_read(other, &r));
		ck_assert(*r.ptr == '$' || !strncmp(r.ptr, "-BUSY", 5));
	}
	expect_reply(slow, ":100000\r\n");
	struct resp_value *v = resp_ask(slow, "GET key");
	ck_assert(v && v->len == 100000 && !memcmp(v->text, text, v->len));
	resp_value_free(v);
	v = resp_ask(c, "SLOWLOG GET 100");
	bool found = false;
	for (size_t i = 0; i < v->n; i++) {
		const struct resp_value *args = &v->elements[i].elements[3];
		found = found || (args->n == 5 && !strcmp(args->elements[0].text, "EVAL") && !strcmp(args->elements[3].text, "key"));
	}
	ck_assert(found);
	resp_value_free(v);
	expect(c, "CONFIG SET slowlog-log-slower-than 10000", OK);
	free(text);
	close_all();
}
END_TEST

START_TEST(test_functions)
{
	connect_all(&server);
	expect_bulk(c, "FUNCTION LOAD REPLACE \"#!lua name=stuck\\nredis.register_function('stuck', function() while true do end end)\"",
	            "stuck");
	ck_assert(resp_send(slow, "FCALL stuck 0"));
	for (int i = 0; i < OTHERS; i++) {
		wait_busy(others[i]);
		expect(others[i], "GET x", BUSY_FUNCTION);
		expect(others[i], "SCRIPT KILL", BUSY_FUNCTION);
		expect_prefix(others[i], "FUNCTION STATS", "*4\r\n$14\r\nrunning_script\r\n*6\r\n$4\r\nname\r\n$5\r\nstuck\r\n");
	}
	expect(others[1], "FUNCTION KILL", OK);
	struct resp_bytes r;
	ck_assert(resp_read(slow, &r));
	ck_assert_int_eq(strncmp(r.ptr, "-ERR ", 5), 0);
	expect(c, "FUNCTION FLUSH", OK);
	close_all();
}
END_TEST

START_TEST(test_a_transaction)
{
	connect_all(&server);
	expect(slow, "MULTI", OK);
	expect(slow, "SET a 1", "+QUEUED\r\n");
	expect(slow, "EVAL \"while true do end\" 0", "+QUEUED\r\n");
	expect(slow, "GET a", "+QUEUED\r\n");
	ck_assert(resp_send(slow, "EXEC"));
	all_busy();
	expect(others[2], "SCRIPT KILL", OK);
	expect_reply(slow, "*3\r\n+OK\r\n-ERR Script killed by user with SCRIPT KILL. script: "
	                   "694a5fe1ddb97a4c6a1bf299d9537c7d3d0f84e7, on @user_script:1.\r\n$1\r\n1\r\n");
	close_all();
}
END_TEST

START_TEST(test_pcall_does_not_save_it)
{
	connect_all(&server);
	ck_assert(resp_send(slow, "EVAL \"while true do pcall(function() while true do end end) end\" 0"));
	all_busy();
	kill_it(others[7]);
	close_all();
}
END_TEST

/* Who watches what the script works on: on its loop told at once, on another at the latest when it ends. */
START_TEST(test_exec_with_watches)
{
	static const char refused[] = "-EXECABORT Transaction discarded because of: BUSY";
	struct resp_bytes r;
	connect_all(&server);
	for (int i = 0; i < OTHERS; i++) {
		expect(others[i], "WATCH k", OK);
		expect(others[i], "MULTI", OK);
	}
	ck_assert(resp_send(slow, "EVAL \"while true do end\" 1 k"));
	wait_busy(c);
	for (int i = 0; i < OTHERS; i++)
		ck_assert(resp_send(others[i], "EXEC"));
	expect(c, "PING", BUSY);
	expect(c, "SCRIPT KILL", OK);
	ck_assert(resp_read(slow, &r));
	ck_assert_int_eq(strncmp(r.ptr, KILLED, sizeof KILLED - 1), 0);
	for (int i = 0; i < OTHERS; i++) {
		/* one that was only looked at after the end has been carried out */
		ck_assert(resp_read(others[i], &r));
		ck_assert(!strncmp(r.ptr, refused, sizeof refused - 1) || !strncmp(r.ptr, "*0", 2));
		expect(others[i], "GET k", "$-1\r\n");
	}
	close_all();
}
END_TEST

/* It has written: nothing but the end of the process ends it, and nothing of it is kept. */
static void unkillable(const char *config, bool terminated)
{
	char path[sizeof server.dir + 16];
	struct proc own;
	own_server(&own, config);
	struct resp_client *was = c;
	connect_all(&own);
	expect(others[0], "CONFIG SET busy-reply-threshold 50", OK);
	ck_assert(resp_send(slow, "EVAL \"redis.call('set', 'a', 1) while true do end\" 1 a"));
	for (int i = 0; i < OTHERS; i++)
		wait_busy(others[i]);
	for (int i = 0; i < OTHERS; i++) {
		expect(others[i], "SCRIPT KILL",
		       "-UNKILLABLE Sorry the script already executed write commands against the dataset. You can either wait the script "
		       "termination or kill the server in a hard way using the SHUTDOWN NOSAVE command.\r\n");
		expect(others[i], "SHUTDOWN", BUSY);
	}
	if (terminated) { /* a stop that saves waits for the script */
		kill(own.pid, SIGTERM);
		ck_assert(proc_wait_log(&own, "User requested shutdown", 10000));
	}
	ck_assert(resp_send(others[4], "SHUTDOWN NOSAVE"));
	ck_assert(proc_wait_exit(&own, 20000));
	snprintf(path, sizeof path, "%s/dump.rdb", own.dir);
	ck_assert(access(path, F_OK) < 0);
	ck_assert_int_eq(proc_stop(&own), 0);
	close_all();
	c = was;
}

START_TEST(test_shutdown_nosave)
{
	unkillable(NULL, false);
	unkillable("appendonly yes\n", false);
	unkillable("save 3600 1\n", true);
}
END_TEST

COMMAND_TESTS_WITH("script_busy", "busy-reply-threshold 50\n", test_everybody_is_answered, test_while_it_is_alone,
                   test_what_may_run, test_pipelines, test_beside_those_who_wait, test_long_arguments_survive,
                   test_functions, test_a_transaction, test_pcall_does_not_save_it, test_exec_with_watches,
                   test_shutdown_nosave)

/* Client-side caching: who is told of which change, over all loops. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define INVALIDATE(len, key) ">2\r\n$10\r\ninvalidate\r\n*1\r\n$" len "\r\n" key "\r\n"
#define FLUSHED ">2\r\n$10\r\ninvalidate\r\n_\r\n"

static struct resp_client *tracker(const char *options)
{
	struct resp_client *t = connect_to(&server);
	char line[128];
	expect_any(t, "HELLO 3");
	snprintf(line, sizeof line, "CLIENT TRACKING ON %s", options);
	expect(t, line, OK);
	return t;
}

/* No message is on its way: what is written behind a change would come behind its message. */
static void expect_silence(struct resp_client *t)
{
	expect_any(c, "PING");
	expect_prefix(t, "ECHO still", "$5\r\nstill");
}

START_TEST(test_readers_are_told_once)
{
	struct resp_client *t = tracker(""), *u = tracker("");
	expect(c, "MSET a 1 b 2 c 3", OK);
	expect_any(t, "MGET a b");
	expect_any(u, "GET a");
	ck_assert_int_eq(info_int(c, "clients", "tracking_clients"), 2);
	ck_assert_int_eq(info_int(c, "stats", "tracking_total_keys"), 2);
	ck_assert_int_eq(info_int(c, "stats", "tracking_total_items"), 3);
	expect(c, "SET a 2", OK);
	expect_reply(t, INVALIDATE("1", "a"));
	expect_reply(u, INVALIDATE("1", "a"));
	expect(c, "SET a 3", OK); /* not read again since */
	expect(c, "SET c 3", OK); /* never read */
	expect(c, "DEL b", ":1\r\n");
	expect_reply(t, INVALIDATE("1", "b"));
	expect_silence(u);
	ck_assert_int_eq(info_int(c, "stats", "tracking_total_keys"), 0);
	expect_any(t, "GET a");
	expect(t, "CLIENT TRACKING OFF", OK);
	expect(c, "SET a 4", OK);
	expect_silence(t);
	resp_close(t);
	resp_close(u);
}
END_TEST

/* With RESP2 there are messages for nobody but a subscriber that somebody redirects to. */
START_TEST(test_resp2_without_redirect)
{
	struct resp_client *t = connect_to(&server);
	expect(t, "CLIENT TRACKING ON BCAST", OK);
	expect(t, "CLIENT CACHING YES", "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.\r\n");
	expect_any(t, "SUBSCRIBE __redis__:invalidate");
	expect(c, "SET k 1", OK);
	expect(c, "PING", "+PONG\r\n");
	expect(t, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
	resp_close(t);
}
END_TEST

START_TEST(test_own_changes_come_too_unless_noloop)
{
	struct resp_client *t = tracker(""), *u = tracker("NOLOOP");
	expect_any(t, "GET k");
	expect(t, "SET k 1", OK);
	expect_reply(t, INVALIDATE("1", "k"));
	expect_any(u, "GET k");
	expect(u, "SET k 2", OK);
	expect_silence(u);
	expect_any(u, "GET k");
	expect(c, "SET k 3", OK);
	expect_reply(u, INVALIDATE("1", "k"));
	resp_close(t);
	resp_close(u);
}
END_TEST

START_TEST(test_expiry_flush_and_transactions)
{
	struct resp_client *t = tracker("");
	char line[64];
	int n = 1000;
	bool gone;
	do { /* another key, should it have gone before it was read */
		snprintf(line, sizeof line, "SET k%d v PX 1000", ++n);
		expect(c, line, OK);
		snprintf(line, sizeof line, "GET k%d", n);
		struct resp_value *v = resp_ask(t, line);
		gone = v->null;
		resp_value_free(v);
	} while (gone);
	snprintf(line, sizeof line, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nk%d\r\n", n);
	expect_prefix(t, NULL, line);
	expect(c, "SET k v", OK);
	expect_any(t, "GET k");
	expect(c, "FLUSHALL", OK);
	expect_reply(t, FLUSHED);
	expect(c, "SET k v", OK);
	expect_any(t, "MULTI");
	expect_any(t, "GET k");
	expect_any(t, "EXEC");
	expect(c, "MULTI", OK);
	expect_any(c, "INCR n");
	expect_any(c, "APPEND k x");
	expect_any(c, "EXEC");
	expect_reply(t, INVALIDATE("1", "k"));
	expect(c, "FLUSHDB", OK);
	expect_reply(t, FLUSHED);
	expect_silence(t);
	resp_close(t);
}
END_TEST

START_TEST(test_optin_and_optout)
{
	struct resp_client *t = tracker("OPTIN"), *u = tracker("OPTOUT");
	expect_any(t, "GET a");
	expect(t, "CLIENT CACHING YES", OK);
	expect_any(t, "GET b");
	expect_any(t, "GET c");
	expect(u, "CLIENT CACHING NO", OK);
	expect_any(u, "GET a");
	expect_any(u, "GET b");
	expect(c, "MSET a 1 b 1 c 1", OK);
	expect_reply(t, INVALIDATE("1", "b"));
	expect_reply(u, INVALIDATE("1", "b"));
	expect_silence(t);
	expect_silence(u);
	expect(t, "CLIENT CACHING NO", "-ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.\r\n");
	expect(u, "CLIENT CACHING YES", "-ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.\r\n");
	expect(t, "CLIENT CACHING YES", OK);
	expect(t, "CLIENT TRACKINGINFO", "%3\r\n$5\r\nflags\r\n~3\r\n$2\r\non\r\n$5\r\noptin\r\n$11\r\ncaching-yes\r\n"
	                                 "$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*0\r\n");
	resp_close(t);
	resp_close(u);
}
END_TEST

START_TEST(test_broadcasts_by_prefix)
{
	struct resp_client *t = tracker("BCAST PREFIX user: PREFIX item:"), *u = tracker("BCAST");
	ck_assert_int_eq(info_int(c, "stats", "tracking_total_prefixes"), 3);
	expect(c, "SET user:1 x", OK);
	expect_reply(t, INVALIDATE("6", "user:1"));
	expect_reply(u, INVALIDATE("6", "user:1"));
	expect(c, "SET other x", OK);
	expect_reply(u, INVALIDATE("5", "other"));
	expect(c, "SET item:2 x", OK);
	expect_reply(t, INVALIDATE("6", "item:2"));
	expect_reply(u, INVALIDATE("6", "item:2"));
	expect(t, "CLIENT TRACKING ON BCAST PREFIX item:3",
	       "-ERR Prefix 'item:3' overlaps with an existing prefix 'item:'. Prefixes for a single client must not overlap.\r\n");
	resp_close(t);
	resp_close(u);
}
END_TEST

/* What was read before the change to BCAST is not told any more. */
START_TEST(test_from_keys_to_broadcasts)
{
	struct resp_client *t = tracker("");
	expect(c, "SET q:1 x", OK);
	expect_any(t, "GET q:1");
	expect(t, "CLIENT TRACKING OFF", OK);
	expect(t, "CLIENT TRACKING ON BCAST PREFIX p:", OK);
	expect(c, "SET q:1 y", OK);
	expect(c, "SET p:1 y", OK);
	expect_reply(t, INVALIDATE("3", "p:1"));
	resp_close(t);
}
END_TEST

START_TEST(test_redirect_to_a_subscriber)
{
	struct resp_client *s = connect_to(&server), *t = connect_to(&server);
	char line[128];
	int64_t id = ask_int(s, "CLIENT ID");
	expect(s, "SUBSCRIBE __redis__:invalidate",
	       "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n");
	snprintf(line, sizeof line, "CLIENT TRACKING ON REDIRECT %lld", (long long)id);
	expect(t, line, OK);
	expect_int(t, "CLIENT GETREDIR", id);
	expect_any(t, "GET k");
	expect(c, "SET k v", OK);
	expect_reply(s, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n");
	expect_any(t, "HELLO 3");
	resp_close(s);
	expect_any(t, "GET k");
	/* The end of the subscriber is noticed by the server at some time. */
	for (bool gone = false; !gone;) {
		snprintf(line, sizeof line, "CLIENT LIST ID %lld", (long long)id);
		struct resp_value *v = resp_ask(c, line);
		gone = v->len == 0;
		resp_value_free(v);
	}
	expect(c, "SET k w", OK);
	snprintf(line, sizeof line, ">2\r\n$21\r\ntracking-redir-broken\r\n:%lld\r\n", (long long)id);
	expect_(t, NULL, line, strlen(line), __FILE__, __LINE__);
	resp_close(t);
}
END_TEST

START_TEST(test_what_cannot_be)
{
	expect(c, "CLIENT GETREDIR", ":-1\r\n");
	expect(c, "CLIENT CACHING YES", "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
	                                "OPTOUT mode enabled\r\n");
	expect(c, "CLIENT TRACKING ON OPTIN OPTOUT", "-ERR You can't specify both OPTIN mode and OPTOUT mode\r\n");
	expect(c, "CLIENT TRACKING ON BCAST OPTIN", "-ERR OPTIN and OPTOUT are not compatible with BCAST\r\n");
	expect(c, "CLIENT TRACKING ON PREFIX a", "-ERR PREFIX option requires BCAST mode to be enabled\r\n");
	expect(c, "CLIENT TRACKING ON REDIRECT 987654321", "-ERR The client ID you want redirect to does not exist\r\n");
	expect(c, "CLIENT TRACKING MAYBE", "-ERR syntax error\r\n");
	expect(c, "CLIENT TRACKING ON", OK);
	expect(c, "CLIENT TRACKING ON BCAST", "-ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
	                                      "and then re-enabling it with a different mode.\r\n");
	expect(c, "CLIENT TRACKING OFF", OK);
	expect(c, "CLIENT TRACKING ON BCAST PREFIX a PREFIX ab",
	       "-ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.\r\n");
}
END_TEST

START_TEST(test_the_table_is_bounded)
{
	struct resp_client *t = tracker("");
	char line[64];
	expect(c, "CONFIG SET tracking-table-max-keys 100", OK);
	for (int i = 0; i < 20000; i++) {
		snprintf(line, sizeof line, "GET key%d", i);
		ck_assert(resp_send(t, line));
		struct resp_bytes r;
		do
			ck_assert(resp_read(t, &r));
		while (r.ptr[0] == '>');
	}
	/* Each shard keeps at least its newest key. */
	ck_assert_int_le(info_int(c, "stats", "tracking_total_keys"), 100 + 1024);
	expect(c, "CONFIG SET tracking-table-max-keys 1000000", OK);
	resp_close(t);
}
END_TEST

/* Lines in one piece, and all that comes back. */
static void expect_pipeline(struct resp_client *t, const char *lines, const char *replies)
{
	char got[1024] = "";
	size_t n = 0, len = strlen(replies);
	ck_assert_int_eq(send(t->fd, lines, strlen(lines), MSG_NOSIGNAL), (ssize_t)strlen(lines));
	for (ssize_t r; n < len && (r = recv(t->fd, got + n, len - n, 0)) > 0;)
		n += (size_t)r;
	ck_assert_str_eq(got, replies);
}

/* What a client changed itself it is told behind that command's reply, whatever it says next. */
START_TEST(test_own_changes_in_a_pipeline)
{
	static const char *const next[][2] = { { "CLIENT TRACKING OFF\r\n", OK }, { "CLIENT TRACKING ON NOLOOP\r\n", OK },
		                               { "PING\r\n", "+PONG\r\n" }, { "RESET\r\n", "+RESET\r\n" } };
	static const char *const change[][2] = {
		{ "SET k 1\r\n", OK INVALIDATE("1", "k") },
		{ "FLUSHALL\r\n", OK FLUSHED },
		{ "MULTI\r\nSET k 1\r\nCLIENT TRACKING OFF\r\nPING\r\nEXEC\r\n",
		  OK "+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n" OK OK "+PONG\r\n" INVALIDATE("1", "k") },
		{ "EVAL \"redis.call('set', 'k', 1) return 7\" 1 k\r\n", ":7\r\n" INVALIDATE("1", "k") },
		{ "CLIENT REPLY OFF\r\nSET k 1\r\nCLIENT REPLY ON\r\n", INVALIDATE("1", "k") OK },
	};
	char lines[256], replies[256];
	for (size_t i = 0; i < sizeof change / sizeof *change; i++) {
		for (size_t k = 0; k < sizeof next / sizeof *next; k++) {
			struct resp_client *t = tracker("");
			expect_any(t, "GET k");
			snprintf(lines, sizeof lines, "%s%sPING\r\n", change[i][0], next[k][0]);
			snprintf(replies, sizeof replies, "%s%s+PONG\r\n", change[i][1], next[k][1]);
			expect_pipeline(t, lines, replies);
			expect_silence(t);
			resp_close(t);
		}
	}
}
END_TEST

COMMAND_TESTS("tracking", test_readers_are_told_once, test_resp2_without_redirect, test_own_changes_come_too_unless_noloop,
              test_own_changes_in_a_pipeline,
              test_expiry_flush_and_transactions, test_optin_and_optout, test_broadcasts_by_prefix, test_from_keys_to_broadcasts,
              test_redirect_to_a_subscriber, test_what_cannot_be, test_the_table_is_bounded)

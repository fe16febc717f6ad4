/* Pub/sub: confirmations, patterns, order across loops, what a subscriber may do, keyspace events. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"

START_TEST(test_confirmations)
{
	expect(c, "SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
	expect(c, "SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
	expect(c, "PSUBSCRIBE p*", "*3\r\n$10\r\npsubscribe\r\n$2\r\np*\r\n:2\r\n");
	expect(c, "SSUBSCRIBE s", "*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n");
	expect(c, "SUBSCRIBE b", "*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:3\r\n");
	expect(c, "UNSUBSCRIBE x", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nx\r\n:3\r\n");
	expect(c, "UNSUBSCRIBE a", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n");
	expect(c, "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n");
	expect(c, "UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n");
	expect(c, "PUNSUBSCRIBE", "*3\r\n$12\r\npunsubscribe\r\n$2\r\np*\r\n:0\r\n");
	expect(c, "SUNSUBSCRIBE", "*3\r\n$12\r\nsunsubscribe\r\n$1\r\ns\r\n:0\r\n");
	expect(c, "GET k", "$-1\r\n");
}
END_TEST

START_TEST(test_messages)
{
	struct resp_client *sub = connect_to(&server), *sub3 = connect_to(&server);
	expect_any(sub, "SUBSCRIBE news");
	expect_any(sub, "PSUBSCRIBE n*s");
	expect_prefix(sub3, "HELLO 3", "%");
	expect(sub3, "SUBSCRIBE news", ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
	expect_int(c, "PUBLISH news hello", 3);
	expect_int(c, "PUBLISH nuts x", 1);
	expect_int(c, "PUBLISH other x", 0);
	expect_int(c, "SPUBLISH news x", 0);
	expect_reply(sub, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
	expect_reply(sub, "*4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
	expect_reply(sub, "*4\r\n$8\r\npmessage\r\n$3\r\nn*s\r\n$4\r\nnuts\r\n$1\r\nx\r\n");
	expect_reply(sub3, ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n");
	expect(sub3, "GET k", "_\r\n");
	expect(sub, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
	expect_prefix(sub, "GET k", "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET");
	resp_close(sub);
	resp_close(sub3);
}
END_TEST

START_TEST(test_questions)
{
	struct resp_client *sub = connect_to(&server);
	expect_any(sub, "SUBSCRIBE chan:1");
	expect_any(sub, "SSUBSCRIBE shard:1");
	expect_any(sub, "PSUBSCRIBE a*");
	expect(c, "PUBSUB CHANNELS", "*1\r\n$6\r\nchan:1\r\n");
	expect(c, "PUBSUB CHANNELS x*", "*0\r\n");
	expect(c, "PUBSUB SHARDCHANNELS", "*1\r\n$7\r\nshard:1\r\n");
	expect(c, "PUBSUB NUMSUB chan:1 none", "*4\r\n$6\r\nchan:1\r\n:1\r\n$4\r\nnone\r\n:0\r\n");
	expect(c, "PUBSUB SHARDNUMSUB shard:1", "*2\r\n$7\r\nshard:1\r\n:1\r\n");
	expect_int(c, "PUBSUB NUMPAT", 1);
	expect(sub, "RESET", "+RESET\r\n");
	expect_int(c, "PUBSUB NUMPAT", 0);
	expect(c, "PUBSUB CHANNELS", "*0\r\n");
	expect_prefix(c, "PUBSUB NOSUCH", "-ERR unknown subcommand");
	resp_close(sub);
}
END_TEST

static void send_lines(struct resp_client *to, const char *lines)
{
	ck_assert(resp_send_bytes(to, lines, strlen(lines)));
}

#define SUBSCRIBED ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n"
#define UNSUBSCRIBED ">3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n:0\r\n"
#define MESSAGE(text) ">3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n" text "\r\n"

/* Messages that come together go out together, but to each subscriber only from its subscription on. */
START_TEST(test_one_batch)
{
	struct resp_client *sub = connect_to(&server), *self = connect_to(&server);
	expect_prefix(self, "HELLO 3", "%");
	expect_any(sub, "SUBSCRIBE news");
	send_lines(self, "MULTI\r\nPUBLISH news 1\r\nPUBLISH news 2\r\nSUBSCRIBE news\r\nPUBLISH news 3\r\nPUBLISH other x\r\n"
	                 "PUBLISH news 4\r\nEXEC\r\n");
	expect_reply(self, "+OK\r\n");
	for (int i = 0; i < 6; i++)
		expect_reply(self, "+QUEUED\r\n");
	expect_reply(self, "*6\r\n:1\r\n:1\r\n" SUBSCRIBED ":2\r\n:0\r\n:2\r\n");
	expect_reply(self, MESSAGE("3"));
	expect_reply(self, MESSAGE("4"));
	expect_reply(sub, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n1\r\n");
	expect_reply(sub, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n2\r\n");
	expect_reply(sub, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n3\r\n");
	expect_reply(sub, "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\n4\r\n");
	/* A channel that ended and began again: its old messages are not for who comes now. */
	expect_any(sub, "UNSUBSCRIBE news");
	send_lines(self, "PUBLISH news 5\r\nUNSUBSCRIBE news\r\nSUBSCRIBE news\r\nPUBLISH news 6\r\n");
	expect_reply(self, ":1\r\n");
	expect_reply(self, MESSAGE("5"));
	expect_reply(self, UNSUBSCRIBED);
	expect_reply(self, SUBSCRIBED);
	expect_reply(self, ":1\r\n");
	expect_reply(self, MESSAGE("6"));
	resp_close(sub);
	resp_close(self);
}
END_TEST

/* What a client publishes to itself follows the reply of the command, or of EXEC; nothing that PUBLISH counted is lost. */
START_TEST(test_to_itself)
{
	struct resp_client *self = connect_to(&server);
	expect_prefix(self, "HELLO 3", "%");
	send_lines(self, "SUBSCRIBE news\r\nPUBLISH news 1\r\nPING\r\nEVAL \"redis.call('publish', 'news', 2)\" 0\r\n"
	                 "PUBLISH news 3\r\nRESET\r\nHELLO 3\r\n");
	expect_reply(self, SUBSCRIBED);
	expect_reply(self, ":1\r\n");
	expect_reply(self, MESSAGE("1"));
	expect_reply(self, "+PONG\r\n");
	expect_reply(self, "_\r\n");
	expect_reply(self, MESSAGE("2"));
	expect_reply(self, ":1\r\n");
	expect_reply(self, MESSAGE("3"));
	expect_reply(self, "+RESET\r\n");
	expect_prefix(self, NULL, "%");
	send_lines(self, "MULTI\r\nPUBLISH news 1\r\nSUBSCRIBE news\r\nPUBLISH news 2\r\nUNSUBSCRIBE news\r\n"
	                 "PUBLISH news 3\r\nEXEC\r\nPING\r\n");
	expect_reply(self, "+OK\r\n");
	for (int i = 0; i < 5; i++)
		expect_reply(self, "+QUEUED\r\n");
	expect_reply(self, "*5\r\n:0\r\n" SUBSCRIBED ":1\r\n" UNSUBSCRIBED ":0\r\n");
	expect_reply(self, MESSAGE("2"));
	expect_reply(self, "+PONG\r\n");
	resp_close(self);
}
END_TEST

/* CLIENT REPLY OFF and SKIP are about replies: what a client subscribed to comes, and the confirmations. */
START_TEST(test_without_replies)
{
	struct resp_client *self = connect_to(&server);
	expect_prefix(self, "HELLO 3", "%");
	send_lines(self, "CLIENT TRACKING ON\r\nGET k\r\nCLIENT REPLY OFF\r\nSUBSCRIBE news\r\nPUBLISH news 1\r\nSUBSCRIBE\r\n");
	expect_reply(self, "+OK\r\n");
	expect_reply(self, "_\r\n");
	expect_reply(self, SUBSCRIBED);
	expect_reply(self, MESSAGE("1"));
	expect_int(c, "PUBLISH news 2", 1);
	expect_reply(self, MESSAGE("2"));
	expect(c, "SET k v", OK);
	expect_reply(self, ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n");
	send_lines(self, "MULTI\r\nUNSUBSCRIBE news\r\nEXEC\r\nCLIENT REPLY ON\r\nCLIENT REPLY SKIP\r\nSUBSCRIBE news\r\nPING\r\n");
	expect_reply(self, UNSUBSCRIBED);
	expect_reply(self, OK);
	expect_reply(self, SUBSCRIBED);
	expect_reply(self, "+PONG\r\n");
	resp_close(self);
}
END_TEST

#define GUESTS 2
#define VISITS 2000

static atomic_int guests;

static void *come_and_go(void *arg)
{
	struct resp_client *k = connect_to(&server);
	size_t *got = arg;
	struct resp_bytes reply;
	for (int i = 0; i < VISITS; i++) {
		expect_prefix(k, "SUBSCRIBE news", "*3\r\n$9\r\nsubscribe");
		send_lines(k, "UNSUBSCRIBE news\r\nPING\r\n");
		do {
			ck_assert(resp_read(k, &reply));
			*got += memmem(reply.ptr, reply.len, "\r\nmessage\r\n", 11) != NULL;
		} while (*reply.ptr != '+');
	}
	resp_close(k);
	atomic_fetch_sub(&guests, 1);
	return NULL;
}

/* As many messages come as PUBLISH said, whenever the subscriptions end. */
START_TEST(test_short_subscriptions)
{
	pthread_t threads[GUESTS];
	size_t got[GUESTS] = { 0 }, sum = 0;
	int64_t counted = 0;
	atomic_store(&guests, GUESTS);
	for (int i = 0; i < GUESTS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, come_and_go, &got[i]), 0);
	while (atomic_load(&guests))
		counted += ask_int(c, "PUBLISH news x");
	for (int i = 0; i < GUESTS; i++) {
		pthread_join(threads[i], NULL);
		sum += got[i];
	}
	ck_assert_int_gt(counted, 0);
	ck_assert_uint_eq(sum, counted);
}
END_TEST

#define PUBLISHERS 4
#define MESSAGES 2000
#define SUBSCRIBERS 6

static void *publish_many(void *arg)
{
	struct resp_client *p = connect_to(&server);
	char line[64];
	for (int i = 0; i < MESSAGES; i++) {
		snprintf(line, sizeof line, "PUBLISH flood %d:%d", (int)(intptr_t)arg, i);
		expect_int(p, line, SUBSCRIBERS);
	}
	resp_close(p);
	return NULL;
}

/* Every subscriber gets every message, each publisher's in order, and all of them see one order. */
START_TEST(test_one_order)
{
	struct resp_client *sub[SUBSCRIBERS];
	pthread_t threads[PUBLISHERS];
	static char first[PUBLISHERS * MESSAGES][24];
	for (int i = 0; i < SUBSCRIBERS; i++) {
		sub[i] = connect_to(&server);
		expect_any(sub[i], "SUBSCRIBE flood");
	}
	for (intptr_t i = 0; i < PUBLISHERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, publish_many, (void *)i), 0);
	for (int s = 0; s < SUBSCRIBERS; s++) {
		int next[PUBLISHERS] = { 0 };
		for (int i = 0; i < PUBLISHERS * MESSAGES; i++) {
			struct resp_value *v = resp_read_value(sub[s]);
			ck_assert_ptr_nonnull(v);
			ck_assert_uint_eq(v->n, 3);
			const char *text = v->elements[2].text, *colon = strchr(text, ':');
			ck_assert_ptr_nonnull(colon);
			long who = strtol(text, NULL, 10), number = strtol(colon + 1, NULL, 10);
			ck_assert_int_eq(number, next[who]++);
			if (s == 0)
				snprintf(first[i], sizeof first[i], "%s", text);
			ck_assert_str_eq(first[i], text);
			resp_value_free(v);
		}
	}
	for (int i = 0; i < PUBLISHERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SUBSCRIBERS; i++)
		resp_close(sub[i]);
}
END_TEST

START_TEST(test_keyspace_events)
{
	struct resp_client *sub = connect_to(&server);
	expect_any(sub, "PSUBSCRIBE __key*__:*");
	expect(c, "SET quiet 1", OK);
	expect(c, "CONFIG SET notify-keyspace-events KEA", OK);
	expect(c, "SET k 1", OK);
	expect_reply(sub, "*4\r\n$8\r\npmessage\r\n$10\r\n__key*__:*\r\n$16\r\n__keyspace@0__:k\r\n$3\r\nset\r\n");
	expect_reply(sub, "*4\r\n$8\r\npmessage\r\n$10\r\n__key*__:*\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n");
	expect(c, "CONFIG SET notify-keyspace-events Eg", OK);
	expect(c, "SET k 2", OK);
	expect_int(c, "DEL k", 1);
	expect_reply(sub, "*4\r\n$8\r\npmessage\r\n$10\r\n__key*__:*\r\n$18\r\n__keyevent@0__:del\r\n$1\r\nk\r\n");
	expect(c, "CONFIG SET notify-keyspace-events Ex", OK);
	expect(c, "SET k 1 PX 1", OK);
	expect_reply(sub, "*4\r\n$8\r\npmessage\r\n$10\r\n__key*__:*\r\n$22\r\n__keyevent@0__:expired\r\n$1\r\nk\r\n");
	expect(c, "CONFIG SET notify-keyspace-events \"\"", OK);
	resp_close(sub);
}
END_TEST

/* A subscriber that never reads is closed at the limit of its class, and the server stays small. */
START_TEST(test_slow_subscriber)
{
	struct resp_client *sub = connect_to(&server);
	char *line = malloc(70 * 1024);
	expect(c, "CONFIG SET client-output-buffer-limit \"pubsub 1mb 0 0\"", OK);
	expect_any(sub, "SUBSCRIBE big");
	int n = snprintf(line, 70 * 1024, "PUBLISH big ");
	memset(line + n, 'x', 65536);
	line[n + 65536] = 0;
	int published = 0;
	while (ask_int(c, line) == 1)
		ck_assert_int_lt(++published, 100000);
	free(line);
	resp_close(sub);
}
END_TEST

/* What was published before EXEC comes before its reply, and so never behind the end of the subscription. */
START_TEST(test_unsubscribe_in_exec)
{
	struct resp_client *s = connect_to(&server), *p = connect_to(&server);
	expect_any(s, "HELLO 3");
	for (int i = 0; i < 5; i++) {
		expect(s, "SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
		expect(s, "MULTI", "+OK\r\n");
		expect(s, "UNSUBSCRIBE a", "+QUEUED\r\n");
		resp_send(c, "DEBUG SLEEP 0.1"); /* on one loop both are read in one turn */
		resp_send(p, "PUBLISH a x");
		resp_send(s, "EXEC");
		struct resp_value *v = resp_read_value(p);
		ck_assert(v && v->type == ':');
		if (v->integer == 1)
			expect_reply(s, ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n");
		resp_value_free(v);
		expect_reply(s, "*1\r\n>3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n");
		expect_reply(c, "+OK\r\n");
		expect(s, "PING", "+PONG\r\n");
	}
	resp_close(s);
	resp_close(p);
}
END_TEST

COMMAND_TESTS("pubsub", test_confirmations, test_messages, test_questions, test_one_batch, test_to_itself,
              test_without_replies, test_short_subscriptions, test_one_order, test_keyspace_events, test_slow_subscriber,
              test_unsubscribe_in_exec)

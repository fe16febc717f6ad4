/* What people have: hiredis, redis-cli, redis-benchmark. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "tests/lib/expect.h"

static redisContext *hiredis(void)
{
	redisContext *h = redisConnectWithTimeout("127.0.0.1", server.port, (struct timeval){ 10, 0 });
	ck_assert_msg(h && !h->err, "%s", h ? h->errstr : "out of memory");
	return h;
}

START_TEST(hiredis_replies)
{
	redisContext *h = hiredis();
	redisReply *r = redisCommand(h, "SET %b %b EX 1000", "a\0b", (size_t)3, "x\r\ny", (size_t)4);
	ck_assert(r && r->type == REDIS_REPLY_STATUS && !strcmp(r->str, "OK"));
	freeReplyObject(r);
	r = redisCommand(h, "GET %b", "a\0b", (size_t)3);
	ck_assert(r && r->type == REDIS_REPLY_STRING && r->len == 4 && !memcmp(r->str, "x\r\ny", 4));
	freeReplyObject(r);
	r = redisCommand(h, "MGET %b nothing", "a\0b", (size_t)3);
	ck_assert(r && r->type == REDIS_REPLY_ARRAY && r->elements == 2 && r->element[1]->type == REDIS_REPLY_NIL);
	freeReplyObject(r);
	r = redisCommand(h, "INCR %b", "a\0b", (size_t)3);
	ck_assert(r && r->type == REDIS_REPLY_ERROR);
	freeReplyObject(r);
	redisFree(h);
}
END_TEST

START_TEST(hiredis_pipeline)
{
	enum { N = 10000 };
	redisContext *h = hiredis();
	redisReply *r;
	for (int i = 0; i < N; i++) {
		redisAppendCommand(h, "SET key:%d %d", i, i * 3);
		redisAppendCommand(h, "GET key:%d", i);
	}
	for (int i = 0; i < N; i++) {
		ck_assert(redisGetReply(h, (void **)&r) == REDIS_OK && r->type == REDIS_REPLY_STATUS);
		freeReplyObject(r);
		ck_assert(redisGetReply(h, (void **)&r) == REDIS_OK && r->type == REDIS_REPLY_STRING);
		ck_assert_int_eq(strtol(r->str, NULL, 10), i * 3);
		freeReplyObject(r);
	}
	redisFree(h);
}
END_TEST

/* Run a program against the server; what it printed must hold `text` and no error. */
static void run_tool(const char *const *argv, const char *text)
{
	struct proc p;
	int status = proc_run(&p, argv);
	char *out = proc_output(&p, false), *err = proc_output(&p, true);
	ck_assert_msg(status == 0, "status %d: %s%s", status, out, err);
	ck_assert_msg(strstr(out, text), "no \"%s\" in: %.2000s", text, out);
	ck_assert_msg(strncmp(out, "ERR ", 4) && !strstr(out, "\nERR ") && !strstr(err, "rror"), "%.2000s%s", out, err);
	free(out);
	free(err);
	proc_clean(&p);
}

static void cli(const char *line, const char *text)
{
	char port[16], words[8][32];
	const char *argv[16] = { "redis-cli", "-p", port };
	int n = 3;
	snprintf(port, sizeof port, "%d", server.port);
	for (int i = 0, used = 0; i < 8 && sscanf(line, "%31s%n", words[i], &used) == 1; i++) {
		argv[n++] = words[i];
		line += used;
	}
	argv[n] = NULL;
	run_tool(argv, text);
}

START_TEST(redis_cli)
{
	cli("SET a 1", "OK");
	cli("GET a", "1");
	cli("EXPIRE a 100", "1");
	cli("SCAN 0", "a");
	cli("INFO", "redis_version:7.2");
	cli("INFO everything", "cmdstat_");
	cli("COMMAND DOCS GET", "summary");
	cli("HELLO 3", "proto");
	cli("-3 HELLO 3", "proto");
	cli("-3 CONFIG GET maxmemory", "maxmemory");
	cli("--scan", "a");
	cli("-r 3 PING", "PONG");
}
END_TEST

START_TEST(redis_benchmark)
{
	char port[16];
	const char *tests = "ping,set,get,incr,mset";
	snprintf(port, sizeof port, "%d", server.port);
	const char *const deep[] = { "redis-benchmark", "-p", port, "-t", tests, "-n", "20000", "-P", "16", "-q", NULL };
	const char *const plain[] = { "redis-benchmark", "-p", port, "-t", tests, "-n", "5000", "-c", "20", "-r", "1000", "-q", NULL };
	run_tool(deep, "MSET");
	run_tool(plain, "GET");
}
END_TEST

COMMAND_TESTS("tools", hiredis_replies, hiredis_pipeline, redis_cli, redis_benchmark)

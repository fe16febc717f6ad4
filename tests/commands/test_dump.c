/* DUMP and RESTORE: every type, both ways with redis-server, options, damage. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/crc64.h"
#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define BAD "-ERR Bad data format\r\n"

static const char *const make[] = {
	"SET string hello", "SET int 12345", "SET big aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	"RPUSH list a b 3 4", "SADD ints 1 2 3 70000", "SADD words one two 3", "HSET hash f v g 2", "ZADD zset 1 a 2.5 b -inf c",
	"XADD stream 1-1 f v g w", "XADD stream 2-1 f x", "XGROUP CREATE stream group 0", "XREADGROUP GROUP group me COUNT 1 STREAMS stream >",
};
static const char *const keys[] = { "string", "int", "big", "list", "ints", "words", "hash", "zset", "stream" };
enum { KEYS = sizeof keys / sizeof *keys };

static void fill(struct resp_client *to)
{
	char line[64];
	for (size_t i = 0; i < sizeof make / sizeof *make; i++)
		expect_any(to, make[i]);
	for (int i = 0; i < 300; i++) { /* beyond the compact encodings */
		snprintf(line, sizeof line, "RPUSH biglist element:%d", i);
		expect_any(to, line);
		snprintf(line, sizeof line, "HSET bighash field:%d value:%d", i, i);
		expect_any(to, line);
		snprintf(line, sizeof line, "ZADD bigzset %d member:%d", i, i);
		expect_any(to, line);
		snprintf(line, sizeof line, "SADD bigset member:%d", i);
		expect_any(to, line);
	}
}

/* The payload, malloc'ed. */
static char *dump(struct resp_client *from, const char *key, size_t *len)
{
	char line[64];
	snprintf(line, sizeof line, "DUMP %s", key);
	struct resp_value *v = resp_ask(from, line);
	ck_assert(v && v->type == '$' && !v->null);
	char *bytes = malloc(v->len);
	memcpy(bytes, v->text, v->len);
	*len = v->len;
	resp_value_free(v);
	return bytes;
}

/* RESTORE key 0 payload REPLACE; the reply's first byte. */
static char restore(struct resp_client *to, const char *key, const char *payload, size_t len)
{
	struct resp_bytes r, argv[5] = { { "RESTORE", 7 }, { key, strlen(key) }, { "0", 1 }, { payload, len }, { "REPLACE", 7 } };
	ck_assert(resp_send_argv(to, 5, argv) && resp_read(to, &r));
	return r.ptr[0];
}

static char *digest(struct resp_client *of, const char *key)
{
	char line[64];
	snprintf(line, sizeof line, "DEBUG DIGEST-VALUE %s", key);
	struct resp_value *v = resp_ask(of, line);
	ck_assert(v && v->n == 1);
	char *text = strdup(v->elements[0].text);
	resp_value_free(v);
	return text;
}

static void move_all(struct resp_client *from, struct resp_client *to)
{
	static const char *const more[] = { "biglist", "bighash", "bigzset", "bigset" };
	for (unsigned i = 0; i < KEYS + 4; i++) {
		const char *key = i < KEYS ? keys[i] : more[i - KEYS];
		size_t len;
		char *payload = dump(from, key, &len);
		ck_assert_msg(restore(to, key, payload, len) == '+', "%s", key);
		char *a = digest(from, key), *b = digest(to, key);
		ck_assert_msg(!strcmp(a, b), "%s: %s %s", key, a, b);
		free(a);
		free(b);
		free(payload);
	}
}

START_TEST(test_round_trip)
{
	fill(c);
	move_all(c, c);
}
END_TEST

START_TEST(test_both_ways_with_redis)
{
	struct proc p;
	struct proc_spec spec = { .oracle = true, .config = "enable-debug-command yes\n" };
	if (proc_start(&p, &spec)) {
		fprintf(stderr, "dump: no server to compare with\n");
		return;
	}
	struct resp_client *oracle = resp_connect(p.port);
	fill(oracle);
	move_all(oracle, c);
	expect(c, "FLUSHALL", OK);
	expect_any(oracle, "FLUSHALL");
	fill(c);
	move_all(c, oracle);
	resp_close(oracle);
	proc_kill(&p);
	proc_clean(&p);
}
END_TEST

START_TEST(test_options)
{
	size_t len;
	expect(c, "SET k v", OK);
	char *payload = dump(c, "k", &len);
	struct resp_bytes r, argv[8] = { { "RESTORE", 7 }, { "k", 1 }, { "0", 1 }, { payload, len } };
	expect(c, "DUMP none", "$-1\r\n");
	ck_assert(resp_send_argv(c, 4, argv) && resp_read(c, &r));
	ck_assert_int_eq(strncmp(r.ptr, "-BUSYKEY Target key name already exists.\r\n", 42), 0);
	argv[1] = (struct resp_bytes){ "n", 1 };
	argv[2] = (struct resp_bytes){ "100000", 6 };
	argv[4] = (struct resp_bytes){ "IDLETIME", 8 };
	argv[5] = (struct resp_bytes){ "1000", 4 };
	ck_assert(resp_send_argv(c, 6, argv) && resp_read(c, &r) && r.ptr[0] == '+');
	ck_assert_int_ge(ask_int(c, "OBJECT IDLETIME n"), 999);
	ck_assert_int_gt(ask_int(c, "PTTL n"), 90000);
	argv[2] = (struct resp_bytes){ "1000", 4 }; /* long ago */
	argv[4] = (struct resp_bytes){ "ABSTTL", 6 };
	argv[5] = (struct resp_bytes){ "REPLACE", 7 };
	ck_assert(resp_send_argv(c, 6, argv) && resp_read(c, &r) && r.ptr[0] == '+');
	expect(c, "EXISTS n", ":0\r\n");
	expect(c, "RESTORE n x y", "-ERR value is not an integer or out of range\r\n");
	expect(c, "RESTORE n -1 y", "-ERR Invalid TTL value, must be >= 0\r\n");
	expect(c, "RESTORE n 0 y foo", "-ERR syntax error\r\n");
	expect(c, "RESTORE n 0 y IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0\r\n");
	expect(c, "RESTORE n 0 y FREQ 256", "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n");
	expect(c, "RESTORE n 0 y", "-ERR DUMP payload version or checksum are wrong\r\n");
	free(payload);
}
END_TEST

static void mend(char *payload, size_t len)
{
	uint64_t crc = crc64_update(0, payload, len - 8);
	for (int i = 0; i < 8; i++)
		payload[len - 8 + i] = (char)(crc >> 8 * i);
}

/* What was accepted must bear every kind of traffic. */
static void use(const char *key)
{
	static const char *const commands[] = { "OBJECT ENCODING %s", "DUMP %s", "COPY %s copied REPLACE", "LRANGE %s 0 -1",
		                                "SMEMBERS %s", "HGETALL %s", "ZRANGE %s 0 -1 WITHSCORES", "XRANGE %s - +",
		                                "XINFO STREAM %s FULL", "GET %s", "LPOP %s", "SPOP %s", "ZPOPMIN %s",
		                                "HSET %s f v", "XADD %s * f v", "APPEND %s x", "DEBUG DIGEST-VALUE %s" };
	char line[128];
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		struct resp_bytes r;
		snprintf(line, sizeof line, commands[i], key);
		ck_assert(resp_send(c, line) && resp_read(c, &r));
	}
}

START_TEST(test_damaged_payloads_with_right_checksums)
{
	fill(c);
	for (unsigned i = 0; i < KEYS; i++) {
		size_t len;
		char *payload = dump(c, keys[i], &len), *bad = malloc(len);
		for (size_t cut = 1; cut < len - 10; cut++) { /* shorter by so many bytes */
			memcpy(bad, payload, len - 10 - cut);
			memcpy(bad + len - 10 - cut, payload + len - 10, 10);
			mend(bad, len - cut);
			if (restore(c, "bad", bad, len - cut) == '+')
				use("bad");
		}
		for (size_t bit = 0; bit < (len - 10) * 8; bit++) {
			memcpy(bad, payload, len);
			bad[bit / 8] = (char)(bad[bit / 8] ^ 1 << bit % 8);
			ck_assert_int_eq(restore(c, "flipped", bad, len), '-'); /* the checksum tells */
			mend(bad, len);
			if (restore(c, "bad", bad, len) == '+')
				use("bad");
		}
		free(bad);
		free(payload);
	}
	expect(c, "PING", "+PONG\r\n");
}
END_TEST

COMMAND_TESTS("dump", test_round_trip, test_both_ways_with_redis, test_options, test_damaged_payloads_with_right_checksums)

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
	argv[2] = (struct resp_bytes){ "100000000", 9 };
	argv[4] = (struct resp_bytes){ "IDLETIME", 8 };
	argv[5] = (struct resp_bytes){ "1000", 4 };
	ck_assert(resp_send_argv(c, 6, argv) && resp_read(c, &r) && r.ptr[0] == '+');
	ck_assert_int_ge(ask_int(c, "OBJECT IDLETIME n"), 999);
	int64_t left = ask_int(c, "PTTL n");
	ck_assert_int_le(left, 100000000);
	ck_assert_int_ge(left, 100000000 - elapsed_ms() - 100);
	argv[2] = (struct resp_bytes){ "1000", 4 }; /* long ago */
	argv[4] = (struct resp_bytes){ "ABSTTL", 6 };
	argv[5] = (struct resp_bytes){ "REPLACE", 7 };
	ck_assert(resp_send_argv(c, 6, argv) && resp_read(c, &r) && r.ptr[0] == '+');
	expect(c, "EXISTS n", ":0\r\n");
	expect(c, "RESTORE n x y", "-ERR value is not an integer or out of range\r\n");
	expect(c, "RESTORE n -1 y", "-ERR Invalid TTL value, must be >= 0\r\n");
	expect(c, "RESTORE n 0 y foo", "-ERR syntax error\r\n");
	expect(c, "RESTORE n 0 y IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0\r\n");
	expect(c, "RESTORE n 0 y IDLETIME x", "-ERR value is not an integer or out of range\r\n");
	expect(c, "RESTORE n 0 y FREQ 1 IDLETIME 1", "-ERR syntax error\r\n");
	expect(c, "RESTORE n 0 y IDLETIME 1 FREQ 1", "-ERR syntax error\r\n");
	expect(c, "RESTORE n 0 y FREQ", "-ERR syntax error\r\n");
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

/* RESTORE key ttl payload, and words behind it. */
static void restore_with(struct resp_client *to, const char *key, const char *ttl, const char *payload, size_t len,
                         const char *options, const char *reply)
{
	struct resp_bytes r, argv[24] = { { "RESTORE", 7 }, { key, strlen(key) }, { ttl, strlen(ttl) }, { payload, len } };
	int n = *options ? resp_split(options, argv + 4, 20) : 0;
	ck_assert_int_ge(n, 0);
	ck_assert(resp_send_argv(to, 4 + (size_t)n, argv) && resp_read(to, &r));
	ck_assert_msg(r.len == strlen(reply) && !memcmp(r.ptr, reply, r.len), "%s %s type %d, %zu bytes: %.*s", key, options,
	              payload[0], len, (int)r.len, r.ptr);
	for (int i = 0; i < n; i++)
		free((char *)(uintptr_t)argv[4 + i].ptr);
}

/* SAFETY: rejected whole: a payload that is damaged changes nothing, whatever else was asked. */
START_TEST(test_refused_payload_changes_nothing)
{
	size_t len;
	expect_any(c, "ZADD zset 1 a 2 b");
	char *payload = dump(c, "zset", &len);
	payload[1] ^= 1; /* the length of the listpack */
	mend(payload, len);
	expect(c, "SET k kept", OK);
	restore_with(c, "k", "0", payload, len, "REPLACE", BAD);
	restore_with(c, "k", "1000", payload, len, "REPLACE ABSTTL", BAD);
	restore_with(c, "k", "100000", payload, len, "REPLACE FREQ 7", BAD);
	restore_with(c, "new", "0", payload, len, "", BAD);
	expect_bulk(c, "GET k", "kept");
	expect(c, "EXISTS new", ":0\r\n");
	expect(c, "TTL k", ":-1\r\n");
	free(payload);
}
END_TEST

/* Each option may come again and again: the journal has the time as it was, not counted anew. */
START_TEST(test_journal_and_events)
{
	size_t len;
	struct resp_client *listener = connect_to(&server);
	expect(c, "CONFIG SET notify-keyspace-events Eg", OK);
	expect_any(listener, "SUBSCRIBE __keyevent@0__:restore __keyevent@0__:del");
	ck_assert(resp_read(listener, &(struct resp_bytes){ 0 })); /* of the second channel */
	expect_any(c, "DEBUG JOURNAL START");
	expect_any(c, "HSET h f v");
	char *payload = dump(c, "h", &len);
	restore_with(c, "a", "100000", payload, len, "", OK);
	expect_reply(listener, "*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:restore\r\n$1\r\na\r\n");
	restore_with(c, "a", "100000", payload, len,
	             "REPLACE REPLACE replace IDLETIME 7 IDLETIME 9 REPLACE REPLACE REPLACE REPLACE REPLACE", OK);
	expect_reply(listener, "*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:restore\r\n$1\r\na\r\n");
	ck_assert_int_ge(ask_int(c, "OBJECT IDLETIME a"), 9);
	restore_with(c, "b", "4102444800000", payload, len, "ABSTTL", OK);
	expect_reply(listener, "*3\r\n$7\r\nmessage\r\n$22\r\n__keyevent@0__:restore\r\n$1\r\nb\r\n");
	expect(c, "PEXPIRETIME b", ":4102444800000\r\n");
	restore_with(c, "h", "1", payload, len, "ABSTTL REPLACE", OK);
	expect_reply(listener, "*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:del\r\n$1\r\nh\r\n");
	expect(c, "EXISTS h", ":0\r\n");
	expect(c, "DEBUG JOURNAL CHECK", OK);
	expect_any(c, "DEBUG JOURNAL STOP");
	expect(c, "CONFIG SET notify-keyspace-events \"\"", OK);
	resp_close(listener);
	free(payload);
}
END_TEST

/* Payloads as servers from 2.6 on wrote them: type and value in hex, and what becomes of them. */
static const struct {
	const char *hex, *encoding, *command, *reply;
} old[] = {
	{ "000568656c6c6f", "embstr", "GET k", "$5\r\nhello\r\n" },
	{ "00c0ff", "int", "GET k", "$2\r\n-1\r\n" },
	{ "00c11027", "int", "GET k", "$5\r\n10000\r\n" },
	{ "00c2ffffff7f", "int", "GET k", "$10\r\n2147483647\r\n" },
	{ "00c309140061e0070001", NULL, NULL, BAD }, /* compressed, cut short */
	{ "0102016101" "62", "listpack", "LRANGE k 0 -1", "*2\r\n$1\r\na\r\n$1\r\nb\r\n" },
	{ "0202c001c002", "intset", "SMEMBERS k", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n" },
	{ "02020161" "0161", NULL, NULL, BAD }, /* the same member twice */
	{ "0302016103312e350162fe", "listpack", "ZRANGE k 0 -1 WITHSCORES",
	  "*4\r\n$1\r\na\r\n$3\r\n1.5\r\n$1\r\nb\r\n$3\r\ninf\r\n" },
	{ "03010161fd", NULL, NULL, BAD }, /* not a number */
	{ "040101660176", "listpack", "HGETALL k", "*2\r\n$1\r\nf\r\n$1\r\nv\r\n" },
	{ "04020166017601660177", NULL, NULL, BAD }, /* the same field twice */
	{ "05010161000000000000f83f", "listpack", "ZSCORE k a", "$3\r\n1.5\r\n" },
	{ "05010161000000000000f87f", NULL, NULL, BAD }, /* not a number */
	{ "090c020161010031016201003" "2ff", "listpack", "HGETALL k",
	  "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n" },
	{ "0a181800000015000000040000026162" "04c0102704fe9c03f2ff", "listpack", "LRANGE k 0 -1",
	  "*4\r\n$2\r\nab\r\n$5\r\n10000\r\n$4\r\n-100\r\n$1\r\n1\r\n" },
	{ "0b0e0200000003000000ffff01000500", "intset", "SCARD k", ":3\r\n" },
	{ "0b0e0200000003000000ffff05000100", NULL, NULL, BAD }, /* not in order */
	{ "0c11110000000d000000020000016d030137ff", "listpack", "ZSCORE k m", "$1\r\n7\r\n" },
	{ "0d11110000000d0000000200000166030176ff", "listpack", "HGET k f", "$1\r\nv\r\n" },
	{ "0e0118180000001500000004000002616204c0102704fe9c03f2ff", "listpack", "LLEN k", ":4\r\n" },
	{ "100d0d00000002008166028176" "02ff", "listpack", "HGET k f", "$1\r\nv\r\n" },
	{ "110c0c0000000200816d020701ff", "listpack", "ZSCORE k m", "$1\r\n7\r\n" },
	{ "1201020d0d0000000200816102816202ff", "listpack", "LRANGE k 0 -1", "*2\r\n$1\r\na\r\n$1\r\nb\r\n" },
	{ "12010103787a79", "quicklist", "LRANGE k 0 -1", "*1\r\n$3\r\nxzy\r\n" },
	{ "140d0d0000000200816102816202ff", "listpack", "SCARD k", ":2\r\n" },
	{ "140d0d0000000200816102816102ff", NULL, NULL, BAD }, /* the same member twice */
	{ "10121200000004008166028176028166020201ff", NULL, NULL, BAD }, /* the same field twice, in a listpack */
	{ "0100", NULL, NULL, BAD }, { "16", NULL, NULL, BAD }, { "00", NULL, NULL, BAD },
};

START_TEST(test_old_forms)
{
	static const int versions[] = { 2, 6, 9, 11 };
	char payload[256], *at;
	for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
		for (size_t v = 0; v < sizeof versions / sizeof *versions; v++) {
			size_t n = strlen(old[i].hex) / 2;
			for (size_t b = 0; b < n; b++) {
				const char pair[3] = { old[i].hex[2 * b], old[i].hex[2 * b + 1] };
				payload[b] = (char)strtol(pair, &at, 16);
				ck_assert(at == pair + 2);
			}
			payload[n] = (char)versions[v];
			payload[n + 1] = 0;
			mend(payload, n + 10);
			expect_any(c, "DEL k");
			restore_with(c, "k", "0", payload, n + 10, "", old[i].command ? OK : BAD);
			if (!old[i].command)
				continue;
			expect_bulk(c, "OBJECT ENCODING k", old[i].encoding);
			expect_(c, old[i].command, old[i].reply, strlen(old[i].reply), old[i].hex, __LINE__);
			use("k");
		}
	}
	payload[0] = 12; /* a version still to come */
	payload[1] = 0;
	mend(payload, 10);
	restore_with(c, "k2", "0", payload, 10, "", "-ERR DUMP payload version or checksum are wrong\r\n");
}
END_TEST

START_TEST(test_far_times_and_skipped_checksums)
{
	size_t len;
	expect(c, "SET k v", OK);
	char *payload = dump(c, "k", &len);
	restore_with(c, "far", "9223372036854775807", payload, len, "ABSTTL", OK);
	ck_assert_int_gt(ask_int(c, "PTTL far"), INT64_MAX / 2);
	restore_with(c, "far", "9223372036854775807", payload, len, "REPLACE", OK);
	ck_assert_int_gt(ask_int(c, "PTTL far"), INT64_MAX / 2);
	payload[len - 1] ^= 1;
	restore_with(c, "n", "0", payload, len, "", "-ERR DUMP payload version or checksum are wrong\r\n");
	expect(c, "DEBUG SET-SKIP-CHECKSUM-VALIDATION 1", OK);
	restore_with(c, "n", "0", payload, len, "", OK);
	expect(c, "DEBUG SET-SKIP-CHECKSUM-VALIDATION 0", OK);
	restore_with(c, "n", "0", payload, len, "REPLACE", "-ERR DUMP payload version or checksum are wrong\r\n");
	free(payload);
}
END_TEST

/* A hash or sorted set that was packed stays so; the number of its elements is held against the limits of now. */
START_TEST(test_packed_values_stay_packed)
{
	expect(c, "HSET packed:h field-long value-long", ":1\r\n");
	expect(c, "ZADD packed:z 1 member-long", ":1\r\n");
	expect(c, "CONFIG SET hash-max-listpack-value 4 zset-max-listpack-value 4", "+OK\r\n");
	expect(c, "DEBUG RELOAD", "+OK\r\n");
	expect_bulk(c, "OBJECT ENCODING packed:h", "listpack");
	expect_bulk(c, "OBJECT ENCODING packed:z", "listpack");
	expect(c, "CONFIG SET hash-max-listpack-entries 0 zset-max-listpack-entries 0", "+OK\r\n");
	expect(c, "DEBUG RELOAD", "+OK\r\n");
	expect_bulk(c, "OBJECT ENCODING packed:h", "hashtable");
	expect_bulk(c, "OBJECT ENCODING packed:z", "skiplist");
	expect_bulk(c, "HGET packed:h field-long", "value-long");
	expect_bulk(c, "ZSCORE packed:z member-long", "1");
	expect(c, "CONFIG SET hash-max-listpack-value 64 zset-max-listpack-value 64 hash-max-listpack-entries 512 "
	          "zset-max-listpack-entries 128", "+OK\r\n");
}
END_TEST

COMMAND_TESTS("dump", test_round_trip, test_both_ways_with_redis, test_options, test_damaged_payloads_with_right_checksums,
              test_refused_payload_changes_nothing, test_journal_and_events, test_old_forms,
              test_far_times_and_skipped_checksums, test_packed_values_stay_packed)

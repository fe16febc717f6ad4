/* What comes in is not what a client library would send: see SAFETY, "Inputs". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

/* A protocol error: its text, then the connection is closed. */
static void expect_protocol_error(const char *bytes, size_t len, const char *text)
{
	char want[160];
	struct resp_bytes got;
	struct resp_client *k = connect_to(&server);
	resp_send_bytes(k, bytes, len); /* what stands behind the error may meet a connection that is closed */
	resp_read(k, &got);
	int n = snprintf(want, sizeof want, "-ERR Protocol error: %s\r\n", text);
	char *printed = resp_printable(got.ptr, got.len);
	ck_assert_msg(got.len == (size_t)n && !memcmp(got.ptr, want, got.len), "want %s got %s", want, printed);
	free(printed);
	ck_assert_msg(resp_read_eof(k), "the connection stays open after: %s", text);
	resp_close(k);
	expect(c, "PING", "+PONG\r\n");
}
#define protocol_error(bytes, text) expect_protocol_error(bytes, sizeof(bytes) - 1, text)

START_TEST(malformed_arrays)
{
	protocol_error("*abc\r\n", "invalid multibulk length");
	protocol_error("*2147483648\r\n", "invalid multibulk length");
	protocol_error("*9223372036854775808\r\n", "invalid multibulk length");
	protocol_error("*1\r\n:3\r\n", "expected '$', got ':'");
	protocol_error("*2\r\n$4\r\nECHO\r\nxx\r\n", "expected '$', got 'x'");
}
END_TEST

START_TEST(malformed_bulks)
{
	protocol_error("*1\r\n$abc\r\n", "invalid bulk length");
	protocol_error("*1\r\n$-1\r\n", "invalid bulk length");
	protocol_error("*1\r\n$536870913\r\n", "invalid bulk length");
	protocol_error("*1\r\n$9223372036854775807\r\n", "invalid bulk length");
	protocol_error("*1\r\n$18446744073709551616\r\n", "invalid bulk length");
}
END_TEST

/* SAFETY: CRLF leniency. */
START_TEST(crlf_is_exact)
{
	static const char *const bad[] = { "*2\r\n$4\r\nECHO\r\n$3\nabc\r\n", "*1\n$4\r\nPING\r\n", "*1\r\n$4\r\nPINGxx", "*1\r\n$4\r\nPING\n\n", "*1\r\n$4\nPING\r\n", "*1\r\n$4\r\nPING\rx" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct resp_bytes got;
		struct resp_client *k = connect_to(&server);
		ck_assert(resp_send_bytes(k, bad[i], strlen(bad[i])));
		ck_assert_msg(resp_read(k, &got), "%zu: no reply", i);
		ck_assert_msg(got.len > 21 && !memcmp(got.ptr, "-ERR Protocol error: ", 21), "%zu: %.*s", i, (int)got.len, got.ptr);
		ck_assert(resp_read_eof(k));
		resp_close(k);
	}
}
END_TEST

START_TEST(oversized_headers)
{
	size_t n = 70 * 1024;
	char *line = malloc(n + 1);
	memset(line, 'A', n);
	expect_protocol_error(line, n, "too big inline request");
	*line = '*';
	memset(line + 1, '1', n - 1);
	expect_protocol_error(line, n, "too big mbulk count string");
	memcpy(line, "*1\r\n$", 5);
	expect_protocol_error(line, n, "too big bulk count string");
	free(line);
}
END_TEST

START_TEST(inline_quotes)
{
	protocol_error("SET a \"b\r\n", "unbalanced quotes in request");
	protocol_error("SET a 'b'c\r\n", "unbalanced quotes in request");
	resp_send_bytes(c, "ECHO \"a\\x41\\n\\\"\"\r\nECHO 'it\\'s'\r\n  PING  \n", 42);
	expect_reply(c, "$4\r\naA\n\"\r\n");
	expect_reply(c, "$4\r\nit's\r\n");
	expect_reply(c, "+PONG\r\n");
}
END_TEST

/* SAFETY: empty request, then another protocol type (CVE-2026-27623). */
START_TEST(empty_requests)
{
	const char bytes[] = "\r\n\r\n*1\r\n$4\r\nPING\r\n*0\r\nPING\r\n*-1\r\n\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n";
	ck_assert(resp_send_bytes(c, bytes, sizeof bytes - 1));
	expect_reply(c, "+PONG\r\n");
	expect_reply(c, "+PONG\r\n");
	expect_reply(c, "$0\r\n\r\n");
}
END_TEST

/* Whatever was cut where: as many other connections as there are loops answer, so what was sent before has been read. */
enum { OTHERS = 8 };
static struct resp_client *others[OTHERS];

static void connect_others(void)
{
	for (int i = 0; i < OTHERS; i++)
		others[i] = connect_to(&server);
}

static void close_others(void)
{
	for (int i = 0; i < OTHERS; i++)
		resp_close(others[i]);
}

static void let_it_read(void)
{
	for (int i = 0; i < OTHERS; i++)
		resp_send(others[i], "PING");
	for (int i = 0; i < OTHERS; i++)
		expect_reply(others[i], "+PONG\r\n");
}

static const char stream[] =
	"*3\r\n$3\r\nSET\r\n$3\r\nk\r\n\r\n$5\r\nvalue\r\n"
	"PING\r\n"
	"\r\n"
	"*2\r\n$3\r\nGET\r\n$3\r\nk\r\n\r\n"
	"ECHO \"a b\\x00\"\n"
	"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n"
	"*1\r\n$7\r\nNOTHING\r\n"
	"*-1\r\n"
	"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
	"*1\r\n$3\r\nGET\r\n"
	"*2\r\n$4\r\nECHO\r\n$12\r\n*1\r\n$4\r\nPING\r\n"
	"GET 'k\\r\\n'\r\n"
	"*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
static const char *const answers[] = {
	"+OK\r\n", "+PONG\r\n", "$5\r\nvalue\r\n", "$4\r\na b\0\r\n", "$0\r\n\r\n",
	"-ERR unknown command 'NOTHING', with args beginning with: \r\n", ":1\r\n",
	"-ERR wrong number of arguments for 'get' command\r\n", "$12\r\n*1\r\n$4\r\nPING\r\n", "$-1\r\n", ":2\r\n",
};

static void expect_answers(struct resp_client *k, size_t cut)
{
	for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
		struct resp_bytes got;
		size_t len = i == 3 ? 10 : strlen(answers[i]);
		resp_read(k, &got);
		ck_assert_msg(got.len == len && !memcmp(got.ptr, answers[i], len), "cut at %zu, reply %zu: %.*s", cut, i,
		              (int)got.len, got.ptr);
	}
}

START_TEST(split_at_every_byte)
{
	connect_others();
	for (size_t cut = 1; cut < sizeof stream - 1; cut++) {
		expect_any(c, "DEL n");
		ck_assert(resp_send_bytes(c, stream, cut));
		let_it_read();
		ck_assert(resp_send_bytes(c, stream + cut, sizeof stream - 1 - cut));
		expect_answers(c, cut);
	}
	close_others();
}
END_TEST

/* SAFETY: slow clients. */
START_TEST(byte_by_byte)
{
	connect_others();
	for (size_t i = 0; i < sizeof stream - 1; i++) {
		ck_assert(resp_send_bytes(c, stream + i, 1));
		let_it_read();
	}
	expect_answers(c, 1);
	close_others();
}
END_TEST

START_TEST(truncated_and_closed)
{
	for (size_t cut = 1; cut < sizeof stream - 1; cut++) {
		struct resp_client *k = connect_to(&server);
		ck_assert(resp_send_bytes(k, stream, cut));
		resp_close(k);
	}
	expect(c, "PING", "+PONG\r\n");
}
END_TEST

START_TEST(error_in_its_order)
{
	const char bytes[] = "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$1\r\na\r\n*1\r\n!\r\n*1\r\n$4\r\nPING\r\n";
	ck_assert(resp_send_bytes(c, bytes, sizeof bytes - 1));
	expect_reply(c, "+PONG\r\n");
	expect_reply(c, "$1\r\na\r\n");
	expect_reply(c, "-ERR Protocol error: expected '$', got '!'\r\n");
	ck_assert(resp_read_eof(c));
}
END_TEST

/* SAFETY: reply injection (CVE-2025-67733). */
START_TEST(no_reply_injection)
{
	static const char *const lines[] = {
		"\"a\\r\\n+OK\\r\\n\"", "\"a\\x00b\"", "x \"\\r\\n:1\\r\\n\"", "CLIENT \"a\\r\\nb\"", "CONFIG SET \"a\\r\\nb\" 1",
		"HELLO 3 AUTH \"a\\r\\n\" b", "OBJECT \"\\n\" k", "COMMAND \"\\r\\n\"", "CLIENT KILL \"\\r\\n\"",
	};
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		struct resp_bytes got;
		ck_assert(resp_send(c, lines[i]) && resp_read(c, &got));
		ck_assert_msg(*got.ptr == '-', "%s", lines[i]);
		for (size_t k = 0; k + 2 < got.len; k++)
			ck_assert_msg(got.ptr[k] != '\r' && got.ptr[k] != '\n' && got.ptr[k], "%s", lines[i]);
		expect(c, "PING", "+PONG\r\n");
	}
}
END_TEST

/* SAFETY: reply injection, by scripts: errors and statuses are one line whatever they are made of. */
START_TEST(no_reply_injection_by_scripts)
{
	static const char *const scripts[] = {
		"return redis.error_reply('a\\r\\n+OK\\r\\nb')", "return redis.error_reply('a\\0b\\r\\n:1')", "return {err='a\\n\\n:1'}",
		"return redis.status_reply('a\\r\\n:1\\0')", "return {ok='\\r\\n:1'}", "error('a\\r\\n:1\\r\\n')", "error({err='a\\r\\n:1'})",
		"return redis.call('a\\r\\n:1')", "return redis.pcall('a\\r\\n:1')", "return redis.call('config', 'x\\r\\n:1')",
	};
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		char line[160];
		struct resp_bytes got;
		snprintf(line, sizeof line, "EVAL \"%s\" 0", scripts[i]);
		ck_assert(resp_send(c, line) && resp_read(c, &got));
		ck_assert_msg(*got.ptr == '-' || *got.ptr == '+', "%s", scripts[i]);
		for (size_t k = 0; k + 2 < got.len; k++)
			ck_assert_msg(got.ptr[k] != '\r' && got.ptr[k] != '\n' && got.ptr[k], "%s", scripts[i]);
		expect(c, "PING", "+PONG\r\n");
	}
}
END_TEST

/* SAFETY: bulk and string growth overflow (CVE-2021-21309, -41099); multibulk count times size (CVE-2021-32762, -32765). */
START_TEST(lengths_near_the_end_of_numbers)
{
	static const char *const heads[] = {
		"*2\r\n$4\r\nECHO\r\n$9223372036854775807\r\nabc", "*2\r\n$4\r\nECHO\r\n$9223372036854775805\r\nabc",
		"*2\r\n$9223372036854775800\r\nabc", "*2147483647\r\n$4\r\nMGET\r\n$1\r\na\r\n", "*2147483647\r\n$2147483647\r\nabc",
		"*1073741824\r\n$3\r\nSET\r\n", "*268435456\r\n$4294967296\r\nx",
	};
	struct proc p;
	struct resp_client *k[sizeof heads / sizeof *heads];
	own_server(&p, "proto-max-bulk-len 9223372036854775807\n");
	struct resp_client *other = connect_to(&p);
	expect(other, "PING", "+PONG\r\n");
	size_t before = proc_rss(&p);
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
		k[i] = connect_to(&p);
		ck_assert(resp_send_bytes(k[i], heads[i], strlen(heads[i])));
	}
	for (int i = 0; i < 16; i++) {
		struct resp_client *o = connect_to(&p);
		expect(o, "PING", "+PONG\r\n");
		resp_close(o);
	}
	expect(other, "SET s x", "+OK\r\n");
	expect_prefix(other, "SETRANGE s 9223372036854775800 12345678901234567890", "-ERR ");
	expect_prefix(other, "SETRANGE s 9223372036854775807 x", "-ERR ");
	expect_bulk(other, "GET s", "x");
	ck_assert_msg(proc_rss(&p) < before + (32u << 20) || proc_sanitized(), "headers took memory");
	for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
		resp_close(k[i]);
	resp_close(other);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(long_command_names)
{
	size_t n = 100000;
	char *name = malloc(n + 1);
	memset(name, 'x', n);
	name[n] = 0;
	struct resp_bytes argv[3] = { { name, n }, { name, n }, { name, n } }, got;
	ck_assert(resp_send_argv(c, 3, argv) && resp_read(c, &got));
	ck_assert(got.len < 600 && !memcmp(got.ptr, "-ERR unknown command 'xxx", 25));
	free(name);
	expect(c, "PING", "+PONG\r\n");
}
END_TEST

START_TEST(many_arguments)
{
	/* More than a million, as redis-server takes them. */
	size_t n = 1024 * 1024 + 10, size = 32 + n * 8;
	char *bytes = malloc(size), *at = bytes;
	at += snprintf(at, 32, "*%zu\r\n$6\r\nEXISTS\r\n", n);
	for (size_t i = 1; i < n; i++)
		at += snprintf(at, 16, "$1\r\n%c\r\n", (char)('a' + i % 26));
	expect(c, "SET a 1", "+OK\r\n");
	ck_assert(resp_send_bytes(c, bytes, (size_t)(at - bytes)));
	expect_reply(c, ":40330\r\n");
	free(bytes);
}
END_TEST

START_TEST(large_value_in_pieces)
{
	size_t n = 20u << 20;
	char *value = malloc(n), head[64];
	for (size_t i = 0; i < n; i++)
		value[i] = (char)(i * 7 + (i >> 12));
	int h = snprintf(head, sizeof head, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%zu\r\n", n);
	ck_assert(resp_send_bytes(c, head, (size_t)h));
	for (size_t i = 0; i < n; i += 99991)
		ck_assert(resp_send_bytes(c, value + i, n - i < 99991 ? n - i : 99991));
	ck_assert(resp_send_bytes(c, "\r\n", 2));
	expect_reply(c, "+OK\r\n");
	struct resp_bytes got;
	ck_assert(resp_send(c, "GET big") && resp_read(c, &got));
	h = snprintf(head, sizeof head, "$%zu\r\n", n);
	ck_assert(got.len == n + (size_t)h + 2 && !memcmp(got.ptr + h, value, n));
	free(value);
}
END_TEST

COMMAND_TESTS("protocol", malformed_arrays, malformed_bulks, crlf_is_exact, oversized_headers, inline_quotes, empty_requests,
              split_at_every_byte, byte_by_byte, truncated_and_closed, error_in_its_order, no_reply_injection,
              no_reply_injection_by_scripts, lengths_near_the_end_of_numbers,
              long_command_names, many_arguments, large_value_in_pieces)

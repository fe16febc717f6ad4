/* Clients that do not read, do not send, are too many, or are not who they should be: see SAFETY, "Inputs". */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/expect.h"

#define MIB (1u << 20)

/* More than the buffers of any kernel hold: so much is only taken by a server that reads. */
#define ENDLESS ((size_t)4 << 30)

/* Little is under way to a client that does not read, whatever the kernel would grant. */
static struct resp_client *connect_narrow(const struct proc *p)
{
	struct resp_client *k = connect_to(p);
	ck_assert_int_eq(setsockopt(k->fd, SOL_SOCKET, SO_RCVBUF, &(int){ 4096 }, sizeof(int)), 0);
	return k;
}

/* Sends the same bytes again and again without reading, until the server closes, takes no more, or `most` are sent. If
 * closed is not NULL, it must close, and has all the time it needs. */
static size_t flood(int fd, const char *bytes, size_t len, size_t most, bool *closed)
{
	size_t sent = 0;
	if (closed)
		*closed = false;
	while (sent < most) {
		ssize_t n = send(fd, bytes + sent % len, len - sent % len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		if (n < 0 && errno != EAGAIN) {
			if (closed)
				*closed = true;
			break;
		}
		struct pollfd f = { fd, POLLOUT, 0 };
		if (poll(&f, 1, (closed ? 20000 : 500) * proc_time_factor()) == 0)
			break;
	}
	return sent;
}

static void repeat(char *out, size_t size, const char *what)
{
	size_t n = strlen(what);
	for (size_t i = 0; i + n <= size; i += n)
		memcpy(out + i, what, n);
}

/* SAFETY: slow and silent clients: never read. */
START_TEST(never_reads_large_replies)
{
	enum { N = 400 };
	char *value = malloc(MIB);
	memset(value, 'v', MIB);
	struct resp_bytes set[3] = { { "SET", 3 }, { "big", 3 }, { value, MIB } };
	ck_assert(resp_send_argv(c, 3, set));
	expect_reply(c, "+OK\r\n");
	size_t before = proc_rss(&server), most = before;
	struct resp_client *lazy = connect_to(&server);
	for (int i = 0; i < N; i++)
		ck_assert(resp_send(lazy, "GET big"));
	for (int i = 0; i < 200; i++) {
		/* The others go on; what waits for the lazy one is bounded. */
		expect(c, "PING", "+PONG\r\n");
		size_t rss = proc_rss(&server);
		most = rss > most ? rss : most;
	}
	ck_assert_msg(most - before < 64 * MIB || proc_sanitized(), "grew by %zu MiB", (most - before) / MIB);
	for (int i = 0; i < N; i++) {
		struct resp_bytes got;
		ck_assert_msg(resp_read(lazy, &got), "reply %d", i);
		ck_assert_msg(got.len == MIB + 12 && got.ptr[100] == 'v' && got.ptr[MIB] == 'v', "reply %d", i);
	}
	resp_close(lazy);
	free(value);
}
END_TEST

START_TEST(never_reads_small_replies)
{
	char *pings = malloc(60000);
	repeat(pings, 60000, "PING\r\n");
	size_t before = proc_rss(&server);
	struct resp_client *lazy = connect_narrow(&server);
	flood(lazy->fd, pings, 60000, 200 * MIB, NULL);
	size_t after = proc_rss(&server);
	ck_assert_msg(after < before + 64 * MIB || proc_sanitized(), "grew by %zu MiB", (after - before) / MIB);
	expect(c, "PING", "+PONG\r\n");
	resp_close(lazy);
	free(pings);
}
END_TEST

/* SAFETY: slow and silent clients: no buffer for the idle. */
START_TEST(idle_connections_are_small)
{
	enum { N = 10000 };
	static int fds[N];
	struct rlimit r;
	struct proc p;
	getrlimit(RLIMIT_NOFILE, &r);
	ck_assert_msg(r.rlim_max >= 400, "%llu descriptors are too few", (unsigned long long)r.rlim_max);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	int n = r.rlim_cur < N + 200 ? (int)r.rlim_cur - 200 : N, warm = n / 8;
	own_server(&p, "maxclients 12000\ntimeout 0\n");
	struct resp_client *k = connect_to(&p);
	ck_assert_int_eq(info_int(k, "clients", "connected_clients"), 1);
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)p.port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	size_t before = 0;
	for (int i = 0; i < n; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_msg(fds[i] >= 0 && connect(fds[i], (struct sockaddr *)&a, sizeof a) == 0, "connection %d: %s", i, strerror(errno));
		/* Each was served once and is idle again. */
		char pong[8];
		ck_assert(send(fds[i], "PING\r\n", 6, MSG_NOSIGNAL) == 6);
		ck_assert(recv(fds[i], pong, 7, MSG_WAITALL) == 7);
		if (i == warm)
			before = proc_rss(&p);
	}
	ck_assert_int_eq(info_int(k, "clients", "connected_clients"), n + 1);
	/* Of few, the pages of the program and its allocator are the most. */
	long long grown = (long long)proc_rss(&p) - (long long)before, most = (long long)(n - warm) * 512 + (n < N ? MIB : 0);
	ck_assert_msg(grown <= most || proc_sanitized(), "%d idle connections cost %lld bytes", n - warm, grown);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	expect(k, "PING", "+PONG\r\n");
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(too_many_clients)
{
	struct proc p;
	struct resp_client *k[8];
	struct resp_bytes got;
	own_server(&p, "maxclients 5\n");
	for (int i = 0; i < 5; i++) {
		k[i] = connect_to(&p);
		expect(k[i], "PING", "+PONG\r\n");
	}
	k[5] = connect_to(&p);
	resp_read(k[5], &got);
	ck_assert_msg(got.len == 36 && !memcmp(got.ptr, "-ERR max number of clients reached\r\n", 36), "%.*s", (int)got.len, got.ptr);
	ck_assert(resp_read_eof(k[5]));
	ck_assert_int_eq(info_int(k[0], "stats", "rejected_connections"), 1);
	for (int i = 0; i < 6; i++)
		resp_close(k[i]);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

static const char secret[] = "requirepass secret\n";

START_TEST(before_authentication)
{
	struct proc p;
	own_server(&p, secret);
	struct resp_client *k = connect_to(&p);
	expect(k, "GET a", "-NOAUTH Authentication required.\r\n");
	expect(k, "PING", "-NOAUTH Authentication required.\r\n");
	expect(k, "HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> "
	       "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the "
	       "same time\r\n");
	expect(k, "AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(k, "AUTH default wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(k, "AUTH secret", "+OK\r\n");
	expect(k, "PING", "+PONG\r\n");
	expect(k, "RESET", "+RESET\r\n");
	expect(k, "PING", "-NOAUTH Authentication required.\r\n");
	expect_prefix(k, "HELLO 3 AUTH default secret", "%7\r\n");
	expect(k, "PING", "+PONG\r\n");
	resp_close(k);
	/* One buffer: what follows AUTH is executed with its outcome. */
	k = connect_to(&p);
	resp_send_bytes(k, "PING\r\nAUTH secret\r\nPING\r\n", 25);
	expect_reply(k, "-NOAUTH Authentication required.\r\n");
	expect_reply(k, "+OK\r\n");
	expect_reply(k, "+PONG\r\n");
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* SAFETY: pre-auth memory (CVE-2021-32675). */
START_TEST(memory_before_authentication)
{
	static const struct {
		const char *bytes, *reply;
	} cases[] = {
		{ "*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n" },
		{ "*1000000\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n" },
		{ "*2\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n" },
		{ "*2\r\n$512000000\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n" },
	};
	struct proc p;
	own_server(&p, secret);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct resp_client *k = connect_to(&p);
		struct resp_bytes got;
		ck_assert(resp_send_bytes(k, cases[i].bytes, strlen(cases[i].bytes)) && resp_read(k, &got));
		ck_assert_msg(got.len == strlen(cases[i].reply) && !memcmp(got.ptr, cases[i].reply, got.len), "%zu: %.*s", i,
		              (int)got.len, got.ptr);
		ck_assert(resp_read_eof(k));
		resp_close(k);
	}
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* SAFETY: pre-auth output (CVE-2025-21605). */
START_TEST(output_before_authentication)
{
	struct proc p;
	char *pings = malloc(60000);
	bool closed;
	repeat(pings, 60000, "PING\r\n");
	own_server(&p, secret);
	size_t before = proc_rss(&p);
	struct resp_client *k = connect_narrow(&p);
	size_t sent = flood(k->fd, pings, 60000, ENDLESS, &closed);
	ck_assert_msg(closed, "%zu bytes were taken without a word read", sent);
	ck_assert_msg(proc_rss(&p) < before + 16 * MIB || proc_sanitized(), "memory grew");
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
	free(pings);
}
END_TEST

START_TEST(query_buffer_limit)
{
	struct proc p;
	char *junk = malloc(MIB);
	bool closed;
	memset(junk, 'x', MIB);
	own_server(&p, "client-query-buffer-limit 1mb\nproto-max-bulk-len 512mb\n");
	struct resp_client *k = connect_to(&p), *other = connect_to(&p);
	ck_assert(resp_send_bytes(k, "*2\r\n$4\r\nECHO\r\n$100000000\r\n", 27));
	flood(k->fd, junk, MIB, ENDLESS, &closed);
	ck_assert_msg(closed, "a query of many times the limit was taken in");
	expect(other, "PING", "+PONG\r\n");
	resp_close(k);
	resp_close(other);
	ck_assert_int_eq(proc_stop(&p), 0);
	free(junk);
}
END_TEST

START_TEST(output_buffer_limit)
{
	struct proc p;
	own_server(&p, "client-output-buffer-limit normal 4mb 0 0\n");
	struct resp_client *k = connect_narrow(&p), *other = connect_to(&p);
	char *value = malloc(MIB);
	memset(value, 'v', MIB);
	struct resp_bytes set[3] = { { "SET", 3 }, { "big", 3 }, { value, MIB } };
	ck_assert(resp_send_argv(other, 3, set));
	expect_reply(other, "+OK\r\n");
	/* One command whose reply alone is beyond the limit. */
	struct resp_bytes mget[65] = { { "MGET", 4 } };
	for (int i = 1; i < 65; i++)
		mget[i] = (struct resp_bytes){ "big", 3 };
	ck_assert(resp_send_argv(k, 65, mget));
	while (info_int(other, "stats", "client_output_buffer_limit_disconnections") != 1)
		; /* k does not read before: else it might take all as fast as it comes */
	ck_assert(resp_read_eof(k));
	expect(other, "PING", "+PONG\r\n");
	resp_close(k);
	resp_close(other);
	free(value);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* SAFETY: multibulk count and bulk length: memory comes as bytes arrive. */
START_TEST(large_header_takes_no_memory)
{
	enum { N = 200 };
	struct resp_client *k[N];
	size_t before = proc_rss(&server);
	for (int i = 0; i < N; i++) {
		k[i] = connect_to(&server);
		ck_assert(resp_send_bytes(k[i], "*1000000\r\n$500000000\r\nabc", 25));
	}
	for (int i = 0; i < 16; i++) {
		struct resp_client *o = connect_to(&server);
		expect(o, "PING", "+PONG\r\n");
		resp_close(o);
	}
	size_t after = proc_rss(&server);
	ck_assert_msg(after < before + 32 * MIB || proc_sanitized(), "%d headers took %zu MiB", N, (after - before) / MIB);
	for (int i = 0; i < N; i++)
		resp_close(k[i]);
}
END_TEST

/* SAFETY: connection flood, RST before accept (CVE-2025-48367). */
START_TEST(flood_of_resets)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)server.port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	struct linger hard = { 1, 0 };
	for (int i = 0; i < 5000; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
		if (i % 3 == 0)
			send(fd, "PING\r\n*1\r\n", 10, MSG_NOSIGNAL);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
		close(fd);
	}
	for (int i = 0; i < 16; i++) {
		struct resp_client *o = connect_to(&server);
		expect(o, "PING", "+PONG\r\n");
		resp_close(o);
	}
}
END_TEST

START_TEST(idle_timeout)
{
	struct proc p;
	own_server(&p, "timeout 1\n");
	struct resp_client *k = connect_to(&p); /* has said nothing */
	ck_assert(resp_read_eof(k));
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
	own_server(&p, NULL);
	k = connect_to(&p);
	expect(k, "CONFIG SET timeout 1", "+OK\r\n");
	ck_assert(resp_read_eof(k));
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

COMMAND_TESTS("clients", never_reads_large_replies, never_reads_small_replies, idle_connections_are_small, too_many_clients,
              before_authentication, memory_before_authentication, output_before_authentication, query_buffer_limit,
              output_buffer_limit, large_header_takes_no_memory, flood_of_resets, idle_timeout)

#include "tests/lib/expect.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/suite.h"

struct proc server;
struct resp_client *c;

static const char *server_config;
static bool server_failed;

static void differs(const char *file, int at, const char *line, const char *want, const struct resp_bytes *got)
{
	char *text = resp_printable(got->ptr, got->len > 2000 ? 2000 : got->len);
	ck_abort_msg("%s:%d: %s\n   want %s\n    got %s", file, at, line ? line : "(reply)", want,
	             got->len ? text : "(nothing: closed, or too late)");
}

static struct resp_bytes ask(struct resp_client *client, const char *line)
{
	struct resp_bytes got = { "", 0 };
	if (!line || resp_send(client, line))
		resp_read(client, &got);
	return got;
}

void expect_(struct resp_client *client, const char *line, const char *reply, size_t len, const char *file, int at)
{
	struct resp_bytes got = ask(client, line);
	if (got.len != len || memcmp(got.ptr, reply, len)) {
		char *want = resp_printable(reply, len);
		differs(file, at, line, want, &got);
	}
}

void expect_int_(struct resp_client *client, const char *line, int64_t value, const char *file, int at)
{
	char want[32];
	int n = snprintf(want, sizeof want, ":%lld\r\n", (long long)value);
	expect_(client, line, want, (size_t)n, file, at);
}

static int64_t begun_ms;

static int64_t mono_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t elapsed_ms(void)
{
	return mono_ms() - begun_ms;
}

void expect_alone(struct resp_client *client)
{
	while (info_int(client, "clients", "connected_clients") != 1)
		; /* until the time limit of the test */
}

void expect_ttl_(struct resp_client *client, const char *key, int64_t seconds, const char *file, int at)
{
	char line[128], want[32];
	snprintf(line, sizeof line, "TTL %s", key);
	snprintf(want, sizeof want, ":%lld", (long long)seconds);
	struct resp_bytes got = ask(client, line);
	long long left = got.len > 1 && *got.ptr == ':' ? strtoll(got.ptr + 1, NULL, 10) : -1;
	if (left > seconds || left < seconds - (elapsed_ms() + 500) / 1000) /* TTL rounds */
		differs(file, at, line, want, &got);
}

void expect_bulk_(struct resp_client *client, const char *line, const char *text, const char *file, int at)
{
	size_t len = strlen(text);
	char *want = malloc(len + 32);
	int n = snprintf(want, len + 32, "$%zu\r\n%s\r\n", len, text);
	expect_(client, line, want, (size_t)n, file, at);
	free(want);
}

void expect_prefix_(struct resp_client *client, const char *line, const char *prefix, const char *file, int at)
{
	struct resp_bytes got = ask(client, line);
	if (got.len < strlen(prefix) || memcmp(got.ptr, prefix, strlen(prefix)))
		differs(file, at, line, prefix, &got);
}

void expect_any_(struct resp_client *client, const char *line, const char *file, int at)
{
	struct resp_bytes got = ask(client, line);
	if (!got.len || *got.ptr == '-')
		differs(file, at, line, "a reply that is no error", &got);
}

int64_t ask_int(struct resp_client *client, const char *line)
{
	struct resp_bytes got = ask(client, line);
	if (!got.len || *got.ptr != ':')
		differs(__FILE__, __LINE__, line, "an integer", &got);
	return strtoll(got.ptr + 1, NULL, 10);
}

int64_t info_int(struct resp_client *client, const char *section, const char *name)
{
	char line[128], key[128];
	snprintf(line, sizeof line, "INFO %s", section);
	snprintf(key, sizeof key, "\n%s:", name);
	struct resp_value *v = resp_ask(client, line);
	const char *at = v && v->text ? strstr(v->text, key) : NULL;
	int64_t value = at ? strtoll(at + strlen(key), NULL, 10) : -1;
	resp_value_free(v);
	return value;
}

struct resp_client *connect_to(const struct proc *p)
{
	struct resp_client *client = resp_connect(p->port);
	if (!client) {
		char *log = proc_output(p, false), *err = proc_output(p, true);
		ck_abort_msg("nobody accepts on port %d\n%s\n%s", p->port, log, err);
	}
	return client;
}

/* Waits for a moment only. */
static bool answers(const struct resp_client *a, int wait_ms)
{
	struct pollfd f = { a->fd, POLLIN, 0 };
	return poll(&f, 1, wait_ms) > 0;
}

int64_t wait_for_lock(struct resp_client *script, struct resp_client *writer)
{
	int64_t written = 0;
	for (long turns = 30000000;; turns *= 2) { /* again and longer, if it was over before the writer came */
		char line[160];
		struct resp_bytes reply;
		snprintf(line, sizeof line, "EVAL \"for i = 1, %ld do end return redis.call('hincrby', KEYS[1], 'script', 1)\" 1 k",
		         turns);
		ck_assert(resp_send(script, line));
		while (!answers(script, 0)) { /* until it has begun */
			ck_assert(resp_send(writer, "HINCRBY k writer 1"));
			if (!answers(writer, 20))
				return written;
			expect_int(writer, NULL, ++written);
		}
		ck_assert(resp_read(script, &reply));
	}
}

void own_server(struct proc *p, const char *config)
{
	if (proc_start(p, &(struct proc_spec){ .config = config })) {
		char *log = proc_output(p, false), *err = proc_output(p, true);
		ck_abort_msg("the server does not start\n%s\n%s", log, err);
	}
}

static void start_server(void)
{
	own_server(&server, server_config);
}

static void stop_server(void)
{
	server_failed = proc_stop(&server) != 0;
}

static void begin_test(void)
{
	begun_ms = mono_ms();
	c = connect_to(&server);
	expect_alone(c);
	expect(c, "FLUSHALL", "+OK\r\n");
}

static void end_test(void)
{
	resp_close(c);
}

int run_command_tests(const char *name, const char *config, const TTest *const *tests, size_t n)
{
	TCase *tc = tcase_create(name);
	char label[128];
	snprintf(label, sizeof label, "%s, %d loop%s", name, proc_loops(), proc_loops() == 1 ? "" : "s");
	server_config = config;
	Suite *s = suite_create(label);
	tcase_set_timeout(tc, 60); /* run.sh multiplies it */
	tcase_add_unchecked_fixture(tc, start_server, stop_server);
	tcase_add_checked_fixture(tc, begin_test, end_test);
	for (size_t i = 0; i < n; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(s, tc);
	int failed = suite_run(s);
	return server_failed ? EXIT_FAILURE : failed;
}

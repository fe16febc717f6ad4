/* A storm of connections against four loops: clients open, send, half-close and reset at random, the server echoes, pauses,
 * sends by reference and closes at random. Whatever comes back is right, and nothing is left when the server has stopped.
 * STORM_S is how many seconds each backend gets (1; make storm: 150). */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/net_fixture.h"

#define CLIENTS 4 /* threads */
#define SOCKETS 24 /* of each */
#define CHUNK 40000

static atomic_long living, opened, closed, echoed, references, wrong;
static atomic_bool over;
static int the_port;

static void *counting_realloc(void *p, size_t size)
{
	if (size == 0) {
		if (p)
			atomic_fetch_sub(&living, 1);
		free(p);
		return NULL;
	}
	if (!p)
		atomic_fetch_add(&living, 1);
	return realloc(p, size);
}

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static enum net_action on_open(struct net_conn *c)
{
	atomic_fetch_add(&opened, 1);
	if (atomic_load(&opened) % 50 == 0)
		net_set_idle_timeout(c, 5);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	(void)reason;
	atomic_fetch_add(&closed, 1);
}

static void release(void *ctx, const void *buf)
{
	(void)ctx;
	free((void *)(uintptr_t)buf);
	atomic_fetch_sub(&references, 1);
}

static enum net_action on_data(struct net_conn *c)
{
	static _Thread_local uint64_t seed = 88172645463325252u;
	uint32_t r = next_random(&seed) % 1000;
	size_t len;
	const char *p = net_peek(c, &len);
	if (r < 5)
		return NET_CLOSE;
	if (r < 8)
		net_close_now(c, NET_BY_US);
	if (r < 30 && len > 1)
		len /= 2; /* the rest stays for later */
	if (r < 100) {
		net_pause_read(c);
		net_wake(c);
	} else {
		net_resume_read(c);
	}
	net_discard(c, len);
	if (r < 300 && len) {
		char *copy = malloc(len);
		memcpy(copy, p, len);
		atomic_fetch_add(&references, 1);
		net_write_ref(c, copy, len, release, NULL);
	} else {
		net_write_view(c, p, len);
	}
	if (r > 990)
		net_flush(c);
	return NET_NONE;
}

struct client {
	int fd; /* -1: none */
	uint64_t sent, got;
};

static void finish(struct client *c, bool reset)
{
	struct linger lg = { .l_onoff = 1 };
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &lg, sizeof lg);
	close(c->fd);
	c->fd = -1;
}

static void drain(struct client *c)
{
	unsigned char buf[CHUNK];
	ssize_t n = recv(c->fd, buf, sizeof buf, MSG_DONTWAIT);
	for (ssize_t i = 0; i < n; i++)
		atomic_fetch_add(&wrong, buf[i] != fix_byte(c->got + (uint64_t)i));
	if (n > 0) {
		c->got += (uint64_t)n;
		atomic_fetch_add(&echoed, n);
	} else if (n == 0 || errno != EAGAIN) {
		finish(c, false);
	}
}

static void push(struct client *c, size_t len)
{
	unsigned char buf[CHUNK];
	for (size_t i = 0; i < len; i++)
		buf[i] = fix_byte(c->sent + i);
	ssize_t n = send(c->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	c->sent += n > 0 ? (uint64_t)n : 0;
}

static void *storm(void *arg)
{
	uint64_t seed = (uintptr_t)arg + 1;
	struct client clients[SOCKETS];
	for (int i = 0; i < SOCKETS; i++)
		clients[i].fd = -1;
	while (!atomic_load(&over)) {
		struct client *c = &clients[next_random(&seed) % SOCKETS];
		uint32_t r = next_random(&seed) % 100;
		if (c->fd < 0)
			*c = (struct client){ .fd = fix_connect(the_port) };
		else if (r < 45)
			push(c, r < 30 ? 1 + r : 1 + next_random(&seed) % CHUNK);
		else if (r < 90)
			drain(c);
		else if (r < 94)
			shutdown(c->fd, SHUT_WR);
		else if (r < 97)
			finish(c, true);
		else
			finish(c, false);
	}
	for (int i = 0; i < SOCKETS; i++) {
		if (clients[i].fd >= 0)
			finish(&clients[i], false);
	}
	return NULL;
}

static int open_fds(void)
{
	int n = 0;
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static double seconds(void)
{
	const char *s = getenv("STORM_S");
	return s ? strtod(s, NULL) : 1;
}

START_TEST(a_storm_leaves_nothing_behind)
{
	const struct net_events e = { .open = on_open, .data = on_data, .close = on_close };
	struct net_options o;
	pthread_t threads[CLIENTS];
	struct timespec span = { .tv_sec = (time_t)seconds(), .tv_nsec = (long)((seconds() - (double)(time_t)seconds()) * 1e9) };
	int before = open_fds();
	atomic_store(&over, false);
	fix_options(&o, _i, 4);
	o.realloc = counting_realloc;
	o.pause_on_high = true;
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0?reuseport=true", &the_port);
	for (uintptr_t i = 0; i < CLIENTS; i++)
		pthread_create(&threads[i], NULL, storm, (void *)i);
	nanosleep(&span, NULL);
	atomic_store(&over, true);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	fix_stop(s, 2000);
	ck_assert_int_eq(atomic_load(&wrong), 0);
	ck_assert_int_eq(atomic_load(&living), 0);
	ck_assert_int_eq(atomic_load(&references), 0);
	ck_assert_int_eq(atomic_load(&opened), atomic_load(&closed));
	ck_assert_int_gt(atomic_load(&opened), 20);
	ck_assert_int_gt(atomic_load(&echoed), 10000);
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_storm");
	TCase *t = tcase_create("net_storm");
	tcase_set_timeout(t, 60 + 2 * seconds());
	tcase_add_loop_test(t, a_storm_leaves_nothing_behind, 0, FIX_WAYS);
	suite_add_tcase(s, t);
	SRunner *r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	int failures = srunner_ntests_failed(r);
	srunner_free(r);
	return failures != 0;
}

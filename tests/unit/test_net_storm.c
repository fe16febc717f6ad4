/* A storm of connections against four loops: clients open, send, half-close and reset at random, the server echoes, pauses,
 * sends by reference and closes at random. Whatever comes back is right, and nothing is left when the server has stopped.
 * STORM_S is how many seconds each backend gets (1; make storm: 150). */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "net/proactor.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define CLIENTS 4 /* threads */
#define SOCKETS 24 /* of each */
#define CHUNK 40000

static atomic_long opened, closed, echoed, references, wrong;
static atomic_bool over;
static int the_port;

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

static double seconds(void)
{
	const char *s = getenv("STORM_S");
	return s ? strtod(s, NULL) : 1;
}

/* So long, and until enough has happened on a machine that is slow. */
static void rage(void)
{
	double s = seconds();
	struct timespec span = { .tv_sec = (time_t)s, .tv_nsec = (long)((s - (double)(time_t)s) * 1e9) };
	struct timespec moment = { .tv_nsec = 10000000 };
	nanosleep(&span, NULL);
	while (atomic_load(&opened) <= 20 || atomic_load(&echoed) <= 10000)
		nanosleep(&moment, NULL);
}

START_TEST(a_storm_leaves_nothing_behind)
{
	const struct net_events e = { .open = on_open, .data = on_data, .close = on_close };
	struct net_options o;
	pthread_t threads[CLIENTS];
	int before = fix_open_fds();
	atomic_store(&over, false);
	fix_options(&o, _i, 4);
	o.realloc = fix_realloc;
	o.pause_on_high = true;
	struct net_server *s = fix_start(&e, &o, "tcp4://127.0.0.1:0?reuseport=true", &the_port);
	for (uintptr_t i = 0; i < CLIENTS; i++)
		pthread_create(&threads[i], NULL, storm, (void *)i);
	rage();
	atomic_store(&over, true);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	fix_stop(s, 2000);
	ck_assert_int_eq(atomic_load(&wrong), 0);
	ck_assert_int_eq(atomic_load(&fix_blocks), 0);
	ck_assert_int_eq(atomic_load(&references), 0);
	ck_assert_int_eq(atomic_load(&opened), atomic_load(&closed));
	ck_assert_int_eq(fix_open_fds(), before);
}
END_TEST

/* ------------------------------------------------------------------ the same against the proactor */

static struct net_proactor *proactor;
static atomic_long asked;
static _Atomic net_proactor_conn latest;

/* The caller's buffer, or NULL for the library's; a write has the context of the read before it. */
static void submit_read(net_proactor_conn c, uint64_t *seed)
{
	uint32_t r = next_random(seed) % 100;
	char *buf = r < 50 ? malloc(5000) : NULL;
	int64_t ms = r % 3 ? -1 : (int64_t)r % 7;
	atomic_fetch_add(&asked, 1); /* before it can be answered */
	int err = r % 10 ? net_proactor_read(proactor, c, buf, buf ? 5000 : 0, ms, buf)
	                 : net_proactor_read_full(proactor, c, buf, 100 + r * 40, 3, buf);
	if (err) {
		atomic_fetch_sub(&asked, 1);
		free(buf);
	}
}

static void take_result(const struct net_result *r, uint64_t *seed)
{
	uint32_t dice = next_random(seed) % 1000;
	if (r->what == NET_OP_ACCEPT) {
		if (r->accepted) {
			atomic_fetch_add(&opened, 1);
			atomic_store(&latest, r->accepted);
			for (uint32_t i = 0; i < 1 + dice % 3; i++)
				submit_read(r->accepted, seed);
		}
		atomic_fetch_add(&asked, net_proactor_accept(proactor, r->conn, -1, NULL) == 0);
		return;
	}
	bool read = r->what != NET_OP_WRITE, over_now = r->ended || (r->err && r->err != -ETIMEDOUT) || (!read && r->err);
	int err = -EBADF;
	if (read && r->n) {
		err = net_proactor_write(proactor, r->conn, r->buf, r->n, dice < 20 ? 2 : -1, r->ctx);
		atomic_fetch_add(&asked, err == 0);
		atomic_fetch_add(&echoed, (long)r->n);
	}
	if (err)
		free(r->ctx);
	if (over_now || dice > 995)
		net_proactor_release(proactor, r->conn);
	else if (read)
		submit_read(r->conn, seed);
}

/* Wait until nothing is under way. */
static void *serve(void *arg)
{
	struct net_result r[20];
	uint64_t seed = 99;
	for (long answered = 0; answered < atomic_load(&asked);) {
		int n = net_proactor_wait(proactor, r, 1 + (int)(next_random(&seed) % 20), 20000);
		if (n <= 0)
			return "waited in vain";
		answered += n;
		for (int i = 0; i < n; i++)
			take_result(&r[i], &seed);
	}
	return arg;
}

/* Another thread that meddles. */
static void *meddle(void *arg)
{
	uint64_t seed = 7;
	while (!atomic_load(&over)) {
		struct timespec moment = { .tv_nsec = 2000000 };
		net_proactor_conn c = atomic_load(&latest);
		if (next_random(&seed) % 2)
			submit_read(c, &seed);
		else
			net_proactor_release(proactor, c);
		nanosleep(&moment, NULL);
	}
	return arg;
}

START_TEST(a_storm_of_operations)
{
	struct net_proactor_options o;
	pthread_t threads[CLIENTS], server, other;
	net_proactor_conn listener;
	int err, before = fix_open_fds();
	void *bad;
	atomic_store(&over, false);
	net_proactor_options_init(&o);
	o.backend = _i ? NET_BACKEND_POLL : NET_BACKEND_EPOLL;
	o.realloc = fix_realloc;
	proactor = net_proactor_new(&o, &err);
	ck_assert_int_eq(net_proactor_listen(proactor, "tcp4://127.0.0.1:0", &listener, &the_port), 0);
	ck_assert_int_eq(net_proactor_accept(proactor, listener, -1, NULL), 0);
	atomic_store(&asked, 1);
	pthread_create(&server, NULL, serve, NULL);
	pthread_create(&other, NULL, meddle, NULL);
	for (uintptr_t i = 0; i < CLIENTS; i++)
		pthread_create(&threads[i], NULL, storm, (void *)i);
	rage();
	atomic_store(&over, true);
	for (int i = 0; i < CLIENTS; i++)
		pthread_join(threads[i], NULL);
	pthread_join(other, NULL);
	net_proactor_release(proactor, listener);
	pthread_join(server, &bad);
	ck_assert_msg(!bad, "%s", bad ? (char *)bad : "");
	net_proactor_free(proactor);
	ck_assert_int_eq(atomic_load(&wrong), 0);
	ck_assert_int_eq(atomic_load(&fix_blocks), 0);
	ck_assert_int_eq(fix_open_fds(), before);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_storm");
	TCase *t = tcase_create("net_storm");
	tcase_set_timeout(t, 60 + 2 * seconds());
	tcase_add_loop_test(t, a_storm_leaves_nothing_behind, 0, FIX_WAYS);
	tcase_add_loop_test(t, a_storm_of_operations, 0, 2);
	suite_add_tcase(s, t);
	return suite_run(s);
}

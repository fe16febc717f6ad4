/* Every allocation that the library makes fails in turn: no crash, no leak, the server stops as it should. */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

static atomic_long countdown, living;
static struct latch opened, closed;

static void *failing_realloc(void *p, size_t size)
{
	if (size == 0) {
		if (p)
			atomic_fetch_sub(&living, 1);
		free(p);
		return NULL;
	}
	if (atomic_fetch_sub(&countdown, 1) == 1)
		return NULL;
	void *fresh = realloc(p, size);
	if (!p)
		atomic_fetch_add(&living, 1);
	return fresh;
}

static void release(void *ctx, const void *buf)
{
	(void)buf;
	atomic_fetch_add((atomic_long *)ctx, 1);
}

static atomic_long references, releases;

static enum net_action on_open(struct net_conn *c)
{
	(void)c;
	latch_add(&opened, 1);
	return NET_NONE;
}

/* Keeps a byte, answers with more than the socket takes, copied and by reference, sets a timeout. */
static enum net_action on_data(struct net_conn *c)
{
	static const char much[3 << 20];
	size_t len;
	net_peek(c, &len);
	net_discard(c, len - 1);
	net_set_idle_timeout(c, 60000);
	net_write(c, much, sizeof much);
	atomic_fetch_add(&references, 1);
	net_write_ref(c, much, sizeof much, release, &releases);
	return NET_NONE;
}

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	(void)reason;
	latch_add(&closed, 1);
}

/* One short life of a server; whether the allocation to fail was reached. */
static bool live(long nth, int way)
{
	const struct net_events e = { .open = on_open, .data = on_data, .close = on_close };
	struct net_options o;
	char buf[4096];
	int err = 0;
	opened = closed = (struct latch)LATCH;
	atomic_store(&references, 0);
	atomic_store(&releases, 0);
	fix_options(&o, way, 2);
	o.realloc = failing_realloc;
	o.output_limit = 5 << 20;
	atomic_store(&countdown, nth);
	struct net_server *s = net_server_new(&e, &o, &err);
	struct net_listener *l = s ? net_listen(s, "tcp4://127.0.0.1:0", &err) : NULL;
	ck_assert(l || err == -ENOMEM);
	if (l && net_server_start(s, false) == 0) {
		int fd = fix_connect(net_listener_port(l));
		if (send(fd, "hello", 5, MSG_NOSIGNAL) == 5) {
			while (recv(fd, buf, sizeof buf, 0) > 0 && send(fd, "x", 1, MSG_NOSIGNAL) == 1)
				;
		}
		close(fd);
		net_server_stop(s, 100);
		net_server_wait(s);
	}
	if (s)
		net_server_free(s);
	ck_assert_int_eq(atomic_load(&living), 0);
	ck_assert_int_eq(latch_get(&opened), latch_get(&closed));
	ck_assert_int_eq(atomic_load(&references), atomic_load(&releases));
	return atomic_load(&countdown) <= 0;
}

START_TEST(every_allocation_fails_once)
{
	long n = 1;
	while (live(n, _i))
		ck_assert_int_lt(n++, 5000);
	ck_assert_int_gt(n, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_faults");
	TCase *t = tcase_create("net_faults");
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, every_allocation_fails_once, 0, FIX_WAYS);
	suite_add_tcase(s, t);
	return suite_run(s);
}

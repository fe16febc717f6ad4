/* Dialled UDP: connections of datagrams, on every backend. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/transport.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

#define NUMBERS 100

static struct latch opened, packets, answers, closed, done;
static atomic_int reason, dial_error, released;
static int hold;

static void reset(void)
{
	opened = packets = answers = closed = done = (struct latch)LATCH;
	atomic_store(&released, 0);
}

static void on_packet(struct net_loop *l, const struct net_packet *p)
{
	latch_add(&packets, 1);
	ck_assert_int_eq(net_send_to(l, p->listener, p->bytes, p->len, p->peer, p->peer_len), 0);
	if (p->len == 4) /* what carries nothing changes nothing */
		ck_assert_int_eq(net_send_to(l, p->listener, "", 0, p->peer, p->peer_len), 0);
}

static void release(void *ctx, const void *buf)
{
	(void)ctx;
	(void)buf;
	atomic_fetch_add(&released, 1);
}

/* Datagrams of every length, made in every way. */
static size_t length_of(long i)
{
	return 4 + (size_t)i % 7 * 400;
}

static void fill(char *buf, long i)
{
	memset(buf, (int)i, length_of(i));
}

static void send_one(struct net_conn *c, long i)
{
	static char kept[NUMBERS][4096];
	char *buf = kept[i], *cur, *end;
	size_t len = length_of(i);
	struct iovec iov[2] = { { buf, 1 }, { buf + 1, len - 1 } };
	fill(buf, i);
	switch (i % 5) {
	case 0:
		ck_assert_int_eq(net_write(c, buf, len), 0);
		break;
	case 1:
		ck_assert_int_eq(net_writev(c, iov, 2), 0);
		break;
	case 2:
		ck_assert_int_eq(net_write_view(c, buf, len), 0);
		break;
	case 3:
		ck_assert_int_eq(net_write_ref(c, buf, len, release, NULL), 0);
		break;
	default:
		ck_assert_int_eq(net_out_begin(c, len, &cur, &end), 0);
		memcpy(cur, buf, len);
		net_out_end(c, cur + len);
	}
}

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	ck_assert_ptr_eq(ctx, &done);
	ck_assert(c || err);
	atomic_store(&dial_error, err);
	latch_add(&done, 1);
}

static enum net_action on_open(struct net_conn *c)
{
	latch_add(&opened, 1);
	if (hold)
		net_hold_output(c, true);
	for (long i = 0; i < 10; i++)
		send_one(c, i);
	if (hold) {
		ck_assert_int_eq(net_flush(c), 0);
		ck_assert_uint_gt(net_out_pending(c), 0);
		net_hold_output(c, false);
	}
	return NET_NONE;
}

/* One datagram each time, in order: the machine does not shuffle its own. */
static enum net_action on_data(struct net_conn *c)
{
	char want[4096];
	size_t len;
	const char *p = net_peek(c, &len);
	long i = latch_get(&answers);
	fill(want, i);
	ck_assert_uint_eq(len, length_of(i));
	ck_assert_mem_eq(p, want, len);
	net_discard(c, len);
	if (i % 10 == 9 && i < NUMBERS - 1) { /* few enough at a time that none is dropped */
		for (long k = i + 1; k < i + 11; k++)
			send_one(c, k);
	}
	latch_add(&answers, 1);
	return i == NUMBERS - 1 ? NET_CLOSE : NET_NONE;
}

static void on_close(struct net_conn *c, int why)
{
	(void)c;
	atomic_store(&reason, why);
	latch_add(&closed, 1);
}

static const struct net_events server_events = { .packet = on_packet };
static const struct net_events client_events = { .open = on_open, .data = on_data, .close = on_close };

static void exchange(int way, const char *host)
{
	struct net_options o;
	char url[64];
	int port;
	reset();
	fix_options(&o, way, 1);
	struct net_server *s = fix_start(&server_events, &o, "udp4://127.0.0.1:0", &port);
	struct net_server *c = fix_start(&client_events, &o, NULL, NULL);
	snprintf(url, sizeof url, "udp4://%s:%d", host, port);
	const struct net_dial d = { .url = url, .done = on_dialled, .ctx = &done };
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	memset(url, 0, sizeof url); /* it was copied */
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&reason), NET_BY_US);
	ck_assert_int_eq(atomic_load(&dial_error), 0);
	fix_stop(c, 1000);
	fix_stop(s, 1000);
	ck_assert_int_eq(latch_get(&packets), NUMBERS);
	ck_assert_int_eq(latch_get(&opened), 1);
	ck_assert_int_eq(atomic_load(&released), NUMBERS / 5);
}

START_TEST(each_write_is_a_datagram)
{
	hold = 0;
	exchange(_i, "127.0.0.1");
}
END_TEST

START_TEST(held_output_stays_in_pieces)
{
	hold = 1;
	exchange(_i, "localhost"); /* resolved aside */
}
END_TEST

/* Nobody there: the first datagram is answered by the system. */
START_TEST(a_refusal_closes)
{
	struct net_options o;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	char url[64];
	int unused = socket(AF_INET, SOCK_DGRAM, 0);
	reset();
	hold = 0;
	ck_assert_int_eq(bind(unused, (struct sockaddr *)&a, sizeof a), 0);
	getsockname(unused, (struct sockaddr *)&a, &len);
	/* Nobody else gets the port, and it hears only itself. */
	ck_assert_int_eq(connect(unused, (struct sockaddr *)&a, sizeof a), 0);
	fix_options(&o, _i, 1);
	struct net_server *c = fix_start(&client_events, &o, NULL, NULL);
	snprintf(url, sizeof url, "udp4://127.0.0.1:%d", ntohs(a.sin_port));
	const struct net_dial d = { .url = url, .done = on_dialled, .ctx = &done };
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&reason), ECONNREFUSED);
	ck_assert_int_eq(latch_get(&opened), 1);
	fix_stop(c, 1000);
	close(unused);
}
END_TEST

START_TEST(what_cannot_be_dialled)
{
	static const struct net_transport any = { .name = "any" };
	struct net_options o;
	reset();
	fix_options(&o, _i, 1);
	struct net_server *c = fix_start(&client_events, &o, NULL, NULL);
	struct net_dial d = { .url = "udp4://no.such.name.invalid:1", .done = on_dialled, .ctx = &done };
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), 0);
	latch_wait(&done, 1);
	ck_assert_int_lt(atomic_load(&dial_error), 0);
	d.url = "udp4://127.0.0.1:1";
	d.transport = &any;
	ck_assert_int_eq(net_dial(net_server_loop(c, 0), &d), -EOPNOTSUPP);
	fix_stop(c, 1000);
	ck_assert_int_eq(latch_get(&opened), 0);
	ck_assert_int_eq(latch_get(&done), 1);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_udp");
	TCase *t = tcase_create("net_udp");
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, each_write_is_a_datagram, 0, FIX_WAYS);
	tcase_add_loop_test(t, held_output_stays_in_pieces, 0, FIX_WAYS);
	tcase_add_loop_test(t, a_refusal_closes, 0, FIX_WAYS);
	tcase_add_loop_test(t, what_cannot_be_dialled, 0, FIX_WAYS);
	suite_add_tcase(s, t);
	return suite_run(s);
}

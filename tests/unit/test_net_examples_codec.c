/* The examples that speak in messages, and the README's code about them as it stands there. */
#include <check.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/tls.h"
#include "net/websocket.h"
#include "tests/lib/certificate.h"
#include "tests/lib/example.h"
#include "tests/lib/net_fixture.h"

#include "gen/net_messages.c"
#include "tests/lib/suite.h"

static const char *argv0;

static void expect_text(int fd, const char *text)
{
	char got[1024] = { 0 };
	fix_recv(fd, got, strlen(text));
	ck_assert_str_eq(got, text);
}

#define SAY(fd, text) fix_send(fd, text, sizeof text - 1)

static int enter(int port, const char *name)
{
	int fd = fix_connect(port);
	expect_text(fd, "* your name?\r\n");
	fix_send(fd, name, strlen(name));
	expect_text(fd, "* welcome\r\n");
	return fd;
}

START_TEST(chat_carries_lines)
{
	int port;
	pid_t pid = example_start(argv0, "chat", "tcp4://127.0.0.1:0", NULL, NULL, &port);
	int ann = enter(port, "ann\n"), bob = enter(port, "bob\r\n");
	expect_text(ann, "bob came in\r\n");
	SAY(bob, "hello\nand");
	expect_text(ann, "bob: hello\r\n");
	SAY(bob, " more\r\n");
	expect_text(ann, "bob: and more\r\n");
	SAY(ann, "/quit\n");
	fix_ended(ann);
	expect_text(bob, "ann went away\r\n");
	char *line = malloc(1000);
	memset(line, 'x', 1000);
	fix_send(bob, line, 1000);
	expect_text(bob, "line too long\r\n");
	fix_ended(bob);
	free(line);
	int cid = fix_connect(port);
	SAY(cid, "a name that is much too long\n\ncid\n/who\n");
	expect_text(cid, "* your name?\r\n* a name has 1 to 20 bytes\r\n* a name has 1 to 20 bytes\r\n* welcome\r\ncid\r\n");
	close(ann);
	close(bob);
	close(cid);
	example_stop(pid);
}
END_TEST

#define UPGRADE(target) \
	"GET " target " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define UPGRADED \
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define M "\1\1\1\1" /* a mask that is easy to apply */

START_TEST(ws_echo_echoes)
{
	int port;
	pid_t pid = example_start(argv0, "ws_echo", "tcp4://127.0.0.1:0", NULL, NULL, &port);
	int fd = fix_connect(port);
	SAY(fd, UPGRADE("/"));
	expect_text(fd, UPGRADED);
	SAY(fd, "\x81\x82" M "ih");
	expect_text(fd, "\x81\2hi");
	SAY(fd, "\x88\x80" M);
	expect_text(fd, "\x88");
	close(fd);
	fd = fix_connect(port);
	SAY(fd, UPGRADE("/time?s=1"));
	expect_text(fd, UPGRADED "\x89\x0cstill there?");
	close(fd);
	fd = fix_connect(port);
	SAY(fd, UPGRADE("/other"));
	expect_text(fd, "HTTP/1.1 404 Not Found\r\n");
	close(fd);
	example_stop(pid);
}
END_TEST

static struct latch heard, closed;
static atomic_int last_reason;

static enum net_action hear(struct net_conn *c, const struct net_message *m)
{
	if (m->type == NET_WS_OPEN) {
		net_write_message(c, "over TLS", 8, NET_WS_TEXT);
	} else if (m->type == NET_WS_TEXT) {
		ck_assert(m->len == 8 && !memcmp(m->bytes, "over TLS", 8));
		latch_add(&heard, 1);
		return NET_CLOSE;
	}
	return NET_NONE;
}

static void upgrade_dialled(void *ctx, struct net_conn *c, int err)
{
	ck_assert_msg(c != NULL, "%s", strerror(-err));
	ck_assert_int_eq(net_set_codec(c, net_ws_client_codec(), ctx), 0);
}

START_TEST(ws_echo_speaks_tls)
{
	static const struct net_ws settings = { .host = "127.0.0.1", .protocols = "echo" };
	const struct net_events e = { .message = hear };
	struct net_options o;
	char cert[64], key[64], url[64];
	int port, err;
	heard = (struct latch)LATCH;
	snprintf(cert, sizeof cert, "/tmp/ws_echo_%d.crt", (int)getpid());
	snprintf(key, sizeof key, "/tmp/ws_echo_%d.key", (int)getpid());
	ck_assert(certificate_make(cert, key, "test"));
	pid_t pid = example_start(argv0, "ws_echo", "tcp4://127.0.0.1:0", cert, key, &port);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	struct net_tls *tls = net_tls_client(NULL, false, &err);
	ck_assert_ptr_nonnull(tls);
	fix_options(&o, 0, 1);
	struct net_server *s = fix_start(&e, &o, NULL, NULL);
	const struct net_dial d = { .url = url, .done = upgrade_dialled, .ctx = (void *)(uintptr_t)&settings,
		                    .transport = net_tls_transport(), .transport_ctx = tls };
	ck_assert_int_eq(net_dial(net_server_loop(s, 0), &d), 0);
	latch_wait(&heard, 1);
	fix_stop(s, 1000);
	net_tls_free(tls);
	example_stop(pid);
	unlink(cert);
	unlink(key);
}
END_TEST

/* ------------------------------------------------------------------ the README */

START_TEST(the_readmes_frame_server)
{
	struct net_listener *l;
	int err;
	char got[9];
	struct net_server *s = new_frame_server("tcp4://127.0.0.1:0", &l, &err);
	ck_assert_ptr_nonnull(l);
	ck_assert_int_eq(net_server_start(s, false), 0);
	int fd = fix_connect(net_listener_port(l));
	SAY(fd, "\0\0\0\5hello");
	fix_recv(fd, got, 9);
	ck_assert_mem_eq(got, "\0\0\0\5hello", 9);
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	atomic_store(&last_reason, reason);
	latch_add(&closed, 1);
}

static int serve(const struct net_events *e, const struct net_codec *codec, const void *settings, struct net_server **s)
{
	struct net_options o;
	int err;
	closed = (struct latch)LATCH;
	fix_options(&o, 0, 1);
	*s = net_server_new(e, &o, &err);
	struct net_listener *l = net_listen(*s, "tcp4://127.0.0.1:0", &err);
	ck_assert_ptr_nonnull(l);
	net_listener_set_codec(l, codec, settings);
	ck_assert_int_eq(net_server_start(*s, false), 0);
	return net_listener_port(l);
}

START_TEST(the_readmes_netstrings)
{
	static const char *bad[] = { "x", ":", "12345678", "5;hello,", "5:hello;" };
	const struct net_events e = { .message = on_message, .close = on_close };
	struct net_server *s;
	int port = serve(&e, &netstring, NULL, &s), fd = fix_connect(port);
	for (const char *p = "5:hello,0:,11:hello world,"; *p; p++)
		fix_send(fd, p, 1);
	expect_text(fd, "5:hello,0:,11:hello world,");
	close(fd);
	latch_wait(&closed, 1);
	for (int i = 0; i < 5; i++) {
		fd = fix_connect(port);
		fix_send(fd, bad[i], strlen(bad[i]));
		fix_ended(fd);
		latch_wait(&closed, 2 + i);
		ck_assert_int_eq(atomic_load(&last_reason), EBADMSG);
		close(fd);
	}
	fix_stop(s, 1000);
}
END_TEST

/* What the README's client hears; the server's end does what the README says. */
static enum net_action both_ends(struct net_conn *c, const struct net_message *m)
{
	if (net_conn_tag(c) != 9)
		return on_ws_message(c, m);
	if (m->type == NET_WS_TEXT && m->len == 7 && !memcmp(m->bytes, "welcome", 7)) {
		net_write_message(c, "text", 4, NET_WS_TEXT);
	} else if (m->type == NET_WS_TEXT) {
		ck_assert(m->len == 4 && !memcmp(m->bytes, "text", 4));
		net_write_message(c, "bytes", 5, NET_WS_BINARY);
	} else if (m->type == NET_WS_CLOSE) {
		ck_assert(m->len == 9 && !memcmp(m->bytes, "text only", 9));
		ck_assert_int_eq(net_ws_close_code(c), NET_WS_UNSUPPORTED);
		latch_add(&heard, 1);
	}
	return NET_NONE;
}

START_TEST(the_readmes_websockets)
{
	const struct net_events e = { .message = both_ends, .close = on_close };
	struct net_server *s;
	char url[64];
	heard = (struct latch)LATCH;
	int port = serve(&e, net_ws_server_codec(), &chat, &s);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	const struct net_dial d = { .url = url, .tag = 9, .done = on_connected };
	ck_assert_int_eq(net_dial(net_server_loop(s, 0), &d), 0);
	latch_wait(&heard, 1);
	latch_wait(&closed, 2);
	int fd = fix_connect(port);
	SAY(fd, UPGRADE("/nothing"));
	expect_text(fd, "HTTP/1.1 404 ");
	close(fd);
	fix_stop(s, 1000);
}
END_TEST

int main(int argc, char **argv)
{
	(void)argc;
	argv0 = argv[0];
	Suite *s = suite_create("net_examples_codec");
	TCase *t = tcase_create("net_examples_codec");
	tcase_set_timeout(t, 60);
	tcase_add_test(t, chat_carries_lines);
	tcase_add_test(t, ws_echo_echoes);
	tcase_add_test(t, ws_echo_speaks_tls);
	tcase_add_test(t, the_readmes_frame_server);
	tcase_add_test(t, the_readmes_netstrings);
	tcase_add_test(t, the_readmes_websockets);
	suite_add_tcase(s, t);
	return suite_run(s);
}

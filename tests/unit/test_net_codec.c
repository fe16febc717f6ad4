/* Codecs: every cut of a stream gives the same messages; limits and garbage; on connections of every backend. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/codec.h"
#include "tests/lib/net_fixture.h"
#include "tests/lib/suite.h"

/* ------------------------------------------------------------------ the codecs alone */

/* Feed a stream that becomes visible up to `cut`, then in whole; the messages as "len:bytes " and the error. */
struct feed {
	char text[4096];
	size_t at, pos, seen, missing;
	int err;
	const char *error;
};

static void feed_until(struct feed *f, const struct net_codec *k, const void *settings, const char *p, size_t len)
{
	while (!f->err) {
		size_t left = len - f->pos;
		char *view = malloc(left ? left : 1); /* exactly what is visible: reading beyond it is found */
		memcpy(view, p + f->pos, left);
		struct net_step s = { .seen = f->seen };
		ssize_t n = left ? k->decode((void *)(uintptr_t)settings, view, left, &s) : 0;
		ck_assert_int_le(n, (ssize_t)left);
		f->seen = n ? 0 : s.seen;
		f->missing = s.missing;
		ck_assert_uint_le(f->seen, left);
		if (s.whole) {
			ck_assert_int_gt(n, 0);
			f->at += (size_t)snprintf(f->text + f->at, sizeof f->text - f->at, "%zu:%.*s ", s.message.len, (int)s.message.len,
			                          s.message.bytes);
		}
		free(view);
		if (n < 0) {
			f->err = (int)-n;
			f->error = s.error;
			ck_assert_ptr_nonnull(s.error);
		}
		if (n <= 0)
			return;
		f->pos += (size_t)n;
	}
}

static void expect_feed(const struct net_codec *k, const void *settings, const char *p, size_t len, const char *messages,
                        int err)
{
	for (size_t cut = 0; cut <= len; cut++) {
		struct feed f = { 0 };
		feed_until(&f, k, settings, p, cut);
		feed_until(&f, k, settings, p, len);
		ck_assert_msg(!strcmp(f.text, messages), "%s, cut at %zu: \"%s\", not \"%s\"", k->name, cut, f.text, messages);
		ck_assert_msg(f.err == err, "%s, cut at %zu: error %d, not %d", k->name, cut, f.err, err);
	}
	struct feed f = { 0 };
	for (size_t i = 1; i <= len; i++) /* byte by byte */
		feed_until(&f, k, settings, p, i);
	ck_assert_str_eq(f.text, messages);
	ck_assert_int_eq(f.err, err);
}

static void expect_encoded(const struct net_codec *k, const void *settings, const char *m, size_t len, const char *bytes,
                           ssize_t n)
{
	const struct net_message msg = { .bytes = m, .len = len };
	size_t most = k->bound((void *)(uintptr_t)settings, &msg);
	char *out = malloc(most ? most : 1);
	ssize_t r = k->encode((void *)(uintptr_t)settings, &msg, out);
	ck_assert_msg(r == n, "%s: %zd, not %zd", k->name, r, n);
	if (n > 0)
		ck_assert_mem_eq(out, bytes, (size_t)n);
	free(out);
}

START_TEST(lines)
{
	static const struct net_line five = { .max = 5 }, crlf = { .max = 5, .crlf = true };
	const struct net_codec *k = net_line_codec();
	expect_feed(k, NULL, "ab\n\ncd\r\n\r\ne\rf\nrest", 19, "2:ab 0: 2:cd 0: 3:e\rf ", 0);
	expect_feed(k, &five, "12345\n12345\r\n1234\r\r\n", 20, "5:12345 5:12345 5:1234\r ", 0);
	expect_feed(k, &five, "a\n123456\nb\n", 11, "1:a ", EMSGSIZE);
	expect_feed(k, &five, "a\n123456", 8, "1:a ", EMSGSIZE);
	expect_feed(k, &five, "12345\rx\n", 8, "", EMSGSIZE);
	expect_feed(k, &five, "12345\r\r\n", 8, "", EMSGSIZE);
	expect_feed(k, &five, "12345\r", 6, "", 0);
	expect_encoded(k, NULL, "abc", 3, "abc\n", 4);
	expect_encoded(k, &crlf, "abc", 3, "abc\r\n", 5);
	expect_encoded(k, &crlf, NULL, 0, "\r\n", 2);
	expect_encoded(k, &five, "123456", 6, NULL, -EMSGSIZE);
	expect_encoded(k, NULL, "a\nb", 3, NULL, -EINVAL);
	expect_encoded(k, NULL, "a\r", 2, NULL, -EINVAL);
}
END_TEST

START_TEST(the_default_limit_is_one_mebibyte)
{
	size_t len = NET_MESSAGE_MAX + 1;
	char *p = calloc(1, len);
	struct feed f = { 0 };
	struct net_step s = { 0 };
	ck_assert_int_eq(net_line_codec()->decode(NULL, p, NET_MESSAGE_MAX, &s), 0);
	ck_assert_uint_eq(s.seen, NET_MESSAGE_MAX);
	feed_until(&f, net_line_codec(), NULL, p, len);
	ck_assert_int_eq(f.err, EMSGSIZE);
	free(p);
}
END_TEST

START_TEST(delimiters)
{
	static const struct net_delimiter d = { .bytes = "--x--", .len = 5, .max = 4 }, aa = { .bytes = "aa", .len = 2 },
	                                  none = { .bytes = "" };
	const struct net_codec *k = net_delimiter_codec();
	expect_feed(k, &d, "ab--x----x--1234--x--", 21, "2:ab 0: 4:1234 ", 0);
	expect_feed(k, &d, "--x-\n--x--", 10, "", EMSGSIZE);
	expect_feed(k, &d, "ab--x--12345--x--", 17, "2:ab ", EMSGSIZE);
	expect_feed(k, &aa, "baaabaac", 8, "1:b 2:ab ", 0);
	expect_feed(k, &none, "abc", 3, "", EINVAL);
	expect_encoded(k, &d, "1234", 4, "1234--x--", 9);
	expect_encoded(k, &d, NULL, 0, "--x--", 5);
	expect_encoded(k, &d, "12345", 5, NULL, -EMSGSIZE);
	expect_encoded(k, &aa, "baab", 4, NULL, -EINVAL);
	expect_encoded(k, &aa, "ba", 2, NULL, -EINVAL); /* would be read as "b" and the rest */
	expect_encoded(k, &none, "ba", 2, NULL, -EINVAL);
}
END_TEST

START_TEST(lengths_of_each_width_and_order)
{
	const struct net_codec *k = net_length_codec();
	for (unsigned width = 1; width <= 8; width *= 2) {
		for (int how = 0; how < 4; how++) {
			struct net_length o = { .width = width, .little = how & 1, .with_header = how & 2, .max = 9 };
			char bytes[64] = { 0 };
			size_t n = 0;
			for (size_t len = 0; len <= 9; len += 3) {
				bytes[n + (o.little ? 0 : width - 1)] = (char)(len + (how & 2 ? width : 0));
				memcpy(bytes + n + width, "abcdefghi", len);
				expect_encoded(k, &o, "abcdefghi", len, bytes + n, (ssize_t)(width + len));
				n += width + len;
			}
			expect_feed(k, &o, bytes, n, "0: 3:abc 6:abcdef 9:abcdefghi ", 0);
			memset(bytes, 0, width);
			bytes[o.little ? 0 : width - 1] = (char)(10 + (how & 2 ? width : 0));
			expect_feed(k, &o, bytes, n, "", EMSGSIZE);
			bytes[o.little ? 0 : width - 1] = (char)(width - 1);
			if (how & 2)
				expect_feed(k, &o, bytes, width, "", EBADMSG);
			memset(bytes, 0xff, width);
			expect_feed(k, &o, bytes, width, "", EMSGSIZE);
			expect_encoded(k, &o, bytes, 10, NULL, -EMSGSIZE);
		}
	}
	static const struct net_length three = { .width = 3 }, one = { .width = 1 }, own = { .width = 1, .with_header = true };
	char big[256];
	memset(big, 'x', sizeof big);
	expect_feed(k, &three, "abc", 3, "", EINVAL);
	expect_encoded(k, &three, "abc", 3, NULL, -EINVAL);
	expect_encoded(k, &one, big, 256, NULL, -EMSGSIZE);
	expect_encoded(k, &own, big, 255, NULL, -EMSGSIZE);
	expect_encoded(k, NULL, "abc", 3, "\0\0\0\3abc", 7);
	expect_feed(k, NULL, "\0\0\0\3abc\0\0", 9, "3:abc ", 0);
}
END_TEST

START_TEST(varints)
{
	static const struct net_length plain = { .width = NET_VARINT, .max = 400 },
	                               own = { .width = NET_VARINT, .with_header = true, .max = 400 };
	const struct net_codec *k = net_length_codec();
	expect_feed(k, &plain, "\3abc\0\x83\0xyz\2ok", 13, "3:abc 0: 3:xyz 2:ok ", 0);
	expect_feed(k, &own, "\4abc\1\5abcd\0", 12, "3:abc 0: 4:abcd ", EBADMSG);
	expect_feed(k, &plain, "\x91\3", 2, "", EMSGSIZE); /* 401 */
	expect_feed(k, &plain, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10, "", EMSGSIZE);
	expect_feed(k, &plain, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\2", 10, "", EBADMSG);
	expect_feed(k, &plain, "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0", 11, "", EBADMSG);
	for (size_t len = 120; len < 140; len++) { /* where the length becomes longer, counting itself or not */
		char m[160], out[2][200];
		memset(m, 'm', len);
		const struct net_message msg = { .bytes = m, .len = len };
		for (int i = 0; i < 2; i++) {
			const struct net_length *o = i ? &own : &plain;
			struct net_step s = { 0 };
			ssize_t n = k->encode((void *)(uintptr_t)o, &msg, out[i]);
			ck_assert_int_eq(n, (ssize_t)(len + (len >= (i ? 127 : 128) ? 2 : 1)));
			ck_assert_int_eq(k->decode((void *)(uintptr_t)o, out[i], (size_t)n, &s), n);
			ck_assert_uint_eq(s.message.len, len);
		}
	}
	expect_encoded(k, &plain, "abc", 3, "\3abc", 4);
	expect_encoded(k, &own, "abc", 3, "\4abc", 4);
}
END_TEST

START_TEST(what_is_missing_is_known)
{
	static const struct net_fixed ten = { .len = 10 };
	struct feed f = { 0 };
	feed_until(&f, net_length_codec(), NULL, "\0\0\1\0abc", 7);
	ck_assert_uint_eq(f.missing, 253);
	f = (struct feed){ 0 };
	feed_until(&f, net_fixed_codec(), &ten, "0123456789abc", 13);
	ck_assert_uint_eq(f.missing, 7);
}
END_TEST

START_TEST(fixed_sizes)
{
	static const struct net_fixed three = { .len = 3 }, none = { 0 };
	const struct net_codec *k = net_fixed_codec();
	expect_feed(k, &three, "abcdefgh", 8, "3:abc 3:def ", 0);
	expect_feed(k, &none, "abc", 3, "", EINVAL);
	expect_encoded(k, &three, "abc", 3, "abc", 3);
	expect_encoded(k, &three, "abcd", 4, NULL, -EINVAL);
	expect_encoded(k, &none, NULL, 0, NULL, -EINVAL);
}
END_TEST

/* ------------------------------------------------------------------ on connections */

static struct latch messages, closed, told;
static atomic_int last_reason, refused;
static _Atomic(net_conn_id) last_id;
static struct net_server *server;

static void on_close(struct net_conn *c, int reason)
{
	(void)c;
	atomic_store(&last_reason, reason);
	latch_add(&closed, 1);
}

static void on_refuse(struct net_conn *c, int err, const char *text)
{
	atomic_store(&refused, err);
	net_write(c, text, strlen(text));
}

static enum net_action echo_message(struct net_conn *c, const struct net_message *m)
{
	latch_add(&messages, 1);
	atomic_store(&last_id, net_conn_id_of(c));
	net_write_message(c, m->bytes, m->len, m->type);
	return NET_NONE;
}

/* data() must not be called on a connection with a codec. */
static enum net_action no_data(struct net_conn *c)
{
	net_close_now(c, EPROTO);
	return NET_NONE;
}

static int start(int way, const struct net_events *e, const struct net_codec *k, const void *settings)
{
	struct net_options o;
	int err;
	messages = closed = told = (struct latch)LATCH;
	atomic_store(&refused, 0);
	fix_options(&o, way, 2);
	server = net_server_new(e, &o, &err);
	struct net_listener *l = net_listen(server, "tcp4://127.0.0.1:0", &err);
	ck_assert_ptr_nonnull(l);
	net_listener_set_codec(l, k, settings);
	ck_assert_int_eq(net_server_start(server, false), 0);
	return net_listener_port(l);
}

static const struct net_events echo_events = {
	.data = no_data, .message = echo_message, .refuse = on_refuse, .close = on_close,
};

START_TEST(messages_are_echoed)
{
	static const struct net_line limits = { .max = 100 };
	char back[64];
	int fd = fix_connect(start(_i, &echo_events, net_line_codec(), &limits));
	fix_send(fd, "one\ntwo\r\nthr", 12);
	fix_recv(fd, back, 8);
	ck_assert_mem_eq(back, "one\ntwo\n", 8);
	for (const char *p = "ee\n\n"; *p; p++)
		fix_send(fd, p, 1);
	fix_recv(fd, back, 7);
	ck_assert_mem_eq(back, "three\n\n", 7);
	ck_assert_int_eq(latch_get(&messages), 4);
	fix_send(fd, "aaa\n", 4);
	fix_recv(fd, back, 4);
	fix_send(fd, "b\ncdefgh\n", 9); /* how far the last one was looked at does not count for the next */
	fix_recv(fd, back, 9);
	ck_assert_mem_eq(back, "b\ncdefgh\n", 9);
	ck_assert_int_eq(net_send_message(server, atomic_load(&last_id), "sent", 4, 0, NULL, NULL), 0);
	fix_recv(fd, back, 5);
	ck_assert_mem_eq(back, "sent\n", 5);
	close(fd);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_PEER);
	fix_stop(server, 1000);
}
END_TEST

START_TEST(what_is_too_long_is_answered_and_ends_the_connection)
{
	static const struct net_line limits = { .max = 10 };
	char back[32];
	int fd = fix_connect(start(_i, &echo_events, net_line_codec(), &limits));
	fix_send(fd, "fine\nmuch too long a line\nmore\n", 31);
	fix_recv(fd, back, 5 + 13);
	ck_assert_mem_eq(back, "fine\nline too long", 5 + 13);
	fix_ended(fd);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), EMSGSIZE);
	ck_assert_int_eq(atomic_load(&refused), EMSGSIZE);
	ck_assert_int_eq(latch_get(&messages), 1);
	close(fd);
	fix_stop(server, 1000);
}
END_TEST

#define MANY 400

/* Messages of all lengths up to more than a turn reads. */
static size_t nth_len(int i)
{
	return i % 50 == 49 ? 200000 + (size_t)i : (size_t)(i * 37 % 3000);
}

static void *send_many(void *arg)
{
	unsigned char *buf = malloc(300000);
	uint64_t at = 0;
	for (int i = 0; i < MANY; i++) {
		size_t len = nth_len(i);
		for (int k = 0; k < 4; k++)
			buf[k] = (unsigned char)(len >> 8 * (3 - k));
		for (size_t k = 0; k < len; k++)
			buf[4 + k] = fix_byte(at++);
		fix_send(*(int *)arg, buf, 4 + len);
	}
	free(buf);
	return NULL;
}

START_TEST(many_messages_of_many_lengths)
{
	pthread_t sender;
	uint64_t at = 0;
	unsigned char *buf = malloc(300000);
	int fd = fix_connect(start(_i, &echo_events, net_length_codec(), NULL));
	pthread_create(&sender, NULL, send_many, &fd);
	for (int i = 0; i < MANY; i++) {
		size_t len = nth_len(i), told_len = 0;
		fix_recv(fd, buf, 4 + len);
		for (int k = 0; k < 4; k++)
			told_len = told_len << 8 | buf[k];
		ck_assert_uint_eq(told_len, len);
		for (size_t k = 0; k < len; k++) {
			if (buf[4 + k] != fix_byte(at++))
				ck_abort_msg("message %d: byte %zu is wrong", i, k);
		}
	}
	pthread_join(sender, NULL);
	close(fd);
	free(buf);
	latch_wait(&closed, 1);
	fix_stop(server, 1000);
}
END_TEST

/* Pauses after each message; another thread resumes. */
static enum net_action pause_after(struct net_conn *c, const struct net_message *m)
{
	net_write_message(c, m->bytes, m->len, 0);
	net_pause_read(c);
	atomic_store(&last_id, net_conn_id_of(c));
	latch_add(&messages, 1);
	return NET_NONE;
}

static void resume(struct net_loop *l, void *arg)
{
	struct net_conn *c = net_conn_find(l, atomic_load(&last_id));
	(void)arg;
	ck_assert_ptr_nonnull(c);
	net_resume_read(c);
}

START_TEST(a_paused_connection_gets_no_messages)
{
	static const struct net_fixed two = { .len = 2 };
	const struct net_events e = { .message = pause_after, .close = on_close };
	char back[8];
	int fd = fix_connect(start(_i, &e, net_fixed_codec(), &two));
	fix_send(fd, "aabbccdd", 8);
	for (int i = 1; i <= 4; i++) {
		fix_recv(fd, back, 2);
		ck_assert_int_eq(back[0], 'a' + i - 1);
		ck_assert_int_eq(latch_get(&messages), i);
		fix_run(net_server_loop(server, (int)(atomic_load(&last_id) >> 52)), resume, NULL);
	}
	close(fd);
	latch_wait(&closed, 1);
	fix_stop(server, 1000);
}
END_TEST

/* "fixed" switches to messages of 3 bytes, "raw" to none. */
static enum net_action switching(struct net_conn *c, const struct net_message *m)
{
	static const struct net_fixed three = { .len = 3 };
	net_write_message(c, m->bytes, m->len, 0);
	if (m->len == 5 && !memcmp(m->bytes, "fixed", 5))
		ck_assert_int_eq(net_set_codec(c, net_fixed_codec(), &three), 0);
	else if (m->len == 3 && !memcmp(m->bytes, "raw", 3))
		ck_assert_int_eq(net_set_codec(c, NULL, NULL), 0);
	return NET_NONE;
}

static enum net_action echo_raw(struct net_conn *c)
{
	size_t len;
	const char *p = net_peek(c, &len);
	ck_assert_int_eq(net_write_message(c, p, len, 0), -ENOTSUP);
	net_write(c, "<", 1);
	net_write(c, p, len);
	net_discard(c, len);
	return NET_NONE;
}

START_TEST(a_message_may_change_the_codec)
{
	const struct net_events e = { .message = switching, .data = echo_raw, .close = on_close };
	char back[32];
	int fd = fix_connect(start(_i, &e, net_line_codec(), NULL));
	fix_send(fd, "line\nfixedly\nfixed\nabcrawrest", 29);
	fix_recv(fd, back, 13 + 6 + 6 + 5);
	ck_assert_mem_eq(back, "line\nfixedly\nfixed\nabcraw<rest", 30);
	fix_send(fd, "!", 1);
	char got;
	do /* a wake-up may have come in between */
		fix_recv(fd, &got, 1);
	while (got == '<');
	ck_assert_int_eq(got, '!');
	close(fd);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_PEER);
	fix_stop(server, 1000);
}
END_TEST

/* ------------------------------------------------------------------ a codec of our own */

static atomic_int states, emptied;

/* Upper-cases each byte into memory of its own, greets, hangs up at '.', refuses '!'. */
struct shout {
	char byte;
	size_t asked;
};

static void *shout_new(const void *settings)
{
	if (!settings)
		return NULL;
	atomic_fetch_add(&states, 1);
	return calloc(1, sizeof(struct shout));
}

static void shout_free(void *state)
{
	atomic_fetch_sub(&states, 1);
	free(state);
}

static int shout_start(void *state, struct net_step *s)
{
	(void)state;
	s->reply = "hello ";
	s->reply_len = 6;
	return 0;
}

static void shout_finish(void *state, bool stopping, struct net_step *s)
{
	(void)state;
	s->reply = stopping ? " stop" : " end";
	s->reply_len = strlen(s->reply);
}

static ssize_t shout_decode(void *state, char *p, size_t len, struct net_step *s)
{
	struct shout *k = state;
	k->asked++;
	if (!len) { /* after each message, as it lies outside of the input */
		k->byte = 0;
		atomic_fetch_add(&emptied, 1);
		return 0;
	}
	if (*p == '!') {
		s->reply = "no ";
		s->reply_len = 3;
		return -EDOM;
	}
	if (*p == '.') {
		s->reply = "bye";
		s->reply_len = 3;
		s->last = true;
		return 1;
	}
	k->byte = (char)(*p - 'a' + 'A');
	s->whole = true;
	s->message = (struct net_message){ .bytes = &k->byte, .len = 1, .type = 7 };
	return 1;
}

static size_t shout_bound(void *state, const struct net_message *m)
{
	(void)state;
	return m->len;
}

static ssize_t shout_encode(void *state, const struct net_message *m, char *out)
{
	(void)state;
	memcpy(out, m->bytes, m->len);
	return (ssize_t)m->len;
}

static const struct net_codec shout = { .name = "shout", .new_state = shout_new, .free_state = shout_free,
	                                .start = shout_start, .finish = shout_finish, .decode = shout_decode, .bound = shout_bound,
	                                .encode = shout_encode };

/* The first messages of a turn must still be there when the last came. */
static enum net_action gather(struct net_conn *c, const struct net_message *m)
{
	static _Thread_local const char *seen[3];
	static _Thread_local int n;
	ck_assert_int_eq(m->type, 7);
	ck_assert_ptr_nonnull(net_conn_codec(c));
	seen[n++] = m->bytes;
	for (int i = 0; n == 3 && i < 3; i++)
		net_write_message(c, seen[i], 1, 7);
	n %= 3;
	return NET_NONE;
}

START_TEST(a_codec_of_ones_own)
{
	const struct net_events e = { .message = gather, .close = on_close };
	char back[32];
	int port = start(_i, &e, &shout, "");
	int fd = fix_connect(port);
	fix_recv(fd, back, 6);
	ck_assert_mem_eq(back, "hello ", 6);
	fix_send(fd, "xyz", 3);
	fix_recv(fd, back, 3);
	fix_send(fd, "abc.def", 7);
	fix_recv(fd, back + 8, 3);
	ck_assert_int_eq(atomic_load(&emptied), 1); /* after xyz: so that no memory is held in between */
	memcpy(back, back + 8, 3);
	fix_recv(fd, back + 3, 7);
	ck_assert_mem_eq(back, "ABCbye end", 10);
	fix_ended(fd);
	close(fd);
	latch_wait(&closed, 1);
	ck_assert_int_eq(atomic_load(&last_reason), NET_BY_PEER);
	fd = fix_connect(port);
	fix_send(fd, "abc!", 4);
	fix_recv(fd, back, 16);
	ck_assert_mem_eq(back, "hello ABCno  end", 16);
	fix_ended(fd);
	close(fd);
	latch_wait(&closed, 2);
	ck_assert_int_eq(atomic_load(&last_reason), EDOM);
	fd = fix_connect(port);
	fix_send(fd, "abc", 3);
	fix_recv(fd, back, 9);
	ck_assert_mem_eq(back, "hello ABC", 9);
	net_server_stop(server, 1000);
	fix_recv(fd, back, 5);
	ck_assert_mem_eq(back, " stop", 5);
	close(fd);
	fix_stop(server, 1000);
	ck_assert_int_eq(atomic_load(&states), 0);
}
END_TEST

START_TEST(a_codec_without_memory_ends_the_connection)
{
	const struct net_events e = { .message = gather, .close = on_close };
	int fd = fix_connect(start(_i, &e, &shout, NULL));
	fix_ended(fd);
	close(fd);
	fix_stop(server, 1000);
	ck_assert_int_eq(atomic_load(&states), 0);
}
END_TEST

/* "go" is answered with much; what follows stays unread. */
#define MUCH (16 << 20)

static enum net_action flood(struct net_conn *c)
{
	static char much[MUCH];
	size_t len;
	const char *p = net_peek(c, &len);
	if (len < 2 || memcmp(p, "go", 2))
		return NET_NONE;
	net_discard(c, 2);
	fix_narrow(net_conn_fd(c));
	net_write(c, much, sizeof much);
	atomic_store(&last_id, net_conn_id_of(c));
	return NET_NONE;
}

static void on_watermark(struct net_conn *c, bool above)
{
	(void)c;
	latch_add(&told, above ? 1 : 100);
}

static void put_lines_on(struct net_loop *l, void *arg)
{
	(void)arg;
	ck_assert_int_eq(net_set_codec(net_conn_find(l, atomic_load(&last_id)), net_line_codec(), NULL), 0);
}

START_TEST(messages_wait_until_output_has_gone)
{
	const struct net_events e = { .data = flood, .message = echo_message, .watermark = on_watermark, .close = on_close };
	struct net_options o;
	int port;
	messages = closed = told = (struct latch)LATCH;
	fix_options(&o, _i, 1);
	o.pause_on_high = true;
	server = fix_start(&e, &o, "tcp4://127.0.0.1:0", &port);
	char *back = malloc(MUCH);
	int fd = fix_connect(port);
	fix_narrow(fd);
	fix_send(fd, "goline\n", 7);
	latch_wait(&told, 1);
	fix_run(net_server_loop(server, 0), put_lines_on, NULL);
	ck_assert_int_eq(latch_get(&messages), 0);
	fix_recv(fd, back, MUCH);
	fix_recv(fd, back, 5);
	ck_assert_mem_eq(back, "line\n", 5);
	ck_assert_int_eq(latch_get(&told), 101);
	close(fd);
	free(back);
	latch_wait(&closed, 1);
	fix_stop(server, 1000);
}
END_TEST

/* A client with a codec: it sends when it is connected, and hears the echo. */
static char heard[32];

static void on_dialled(void *ctx, struct net_conn *c, int err)
{
	(void)ctx;
	ck_assert_msg(c != NULL, "%s", strerror(-err));
	ck_assert_int_eq(net_set_codec(c, net_line_codec(), NULL), 0);
	ck_assert_int_eq(net_write_message(c, "from here", 9, 0), 0);
}

static enum net_action both_ends(struct net_conn *c, const struct net_message *m)
{
	if (net_conn_tag(c) != 9)
		return echo_message(c, m);
	memcpy(heard, m->bytes, m->len);
	latch_add(&told, 1);
	return NET_CLOSE;
}

START_TEST(a_dialled_connection_carries_one_too)
{
	const struct net_events e = { .message = both_ends, .close = on_close };
	char url[64];
	int port = start(_i, &e, net_line_codec(), NULL);
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%d", port);
	const struct net_dial d = { .url = url, .tag = 9, .done = on_dialled };
	ck_assert_int_eq(net_dial(net_server_loop(server, 0), &d), 0);
	latch_wait(&told, 1);
	ck_assert_mem_eq(heard, "from here", 9);
	latch_wait(&closed, 2);
	fix_stop(server, 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("net_codec");
	TCase *t = tcase_create("alone"), *w = tcase_create("connections");
	tcase_add_test(t, lines);
	tcase_add_test(t, the_default_limit_is_one_mebibyte);
	tcase_add_test(t, delimiters);
	tcase_add_test(t, lengths_of_each_width_and_order);
	tcase_add_test(t, varints);
	tcase_add_test(t, what_is_missing_is_known);
	tcase_add_test(t, fixed_sizes);
	tcase_set_timeout(w, 60);
	tcase_add_loop_test(w, messages_are_echoed, 0, FIX_WAYS);
	tcase_add_loop_test(w, what_is_too_long_is_answered_and_ends_the_connection, 0, FIX_WAYS);
	tcase_add_loop_test(w, many_messages_of_many_lengths, 0, FIX_WAYS);
	tcase_add_loop_test(w, a_paused_connection_gets_no_messages, 0, FIX_WAYS);
	tcase_add_loop_test(w, a_message_may_change_the_codec, 0, FIX_WAYS);
	tcase_add_loop_test(w, messages_wait_until_output_has_gone, 0, FIX_WAYS);
	tcase_add_loop_test(w, a_codec_of_ones_own, 0, FIX_WAYS);
	tcase_add_loop_test(w, a_codec_without_memory_ends_the_connection, 0, FIX_WAYS);
	tcase_add_loop_test(w, a_dialled_connection_carries_one_too, 0, FIX_WAYS);
	suite_add_tcase(s, t);
	suite_add_tcase(s, w);
	return suite_run(s);
}

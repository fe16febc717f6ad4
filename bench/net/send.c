/*
 * send: messages from other threads to a connection: send [PRODUCERS] [MESSAGES] [epoll|poll|uring]
 *
 * Each producer sends numbered messages with net_send(); the other end of the connection checks that none is lost,
 * doubled or out of its producer's order. Prints messages per second, from the first send to the last byte received.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "net/net.h"

#define PRODUCERS_MAX 16
#define AHEAD (4u << 20) /* bytes queued at the loop above which a producer lets it go first */

struct message {
	uint32_t producer, number;
};

static struct net_server *server;
static _Atomic net_conn_id conn;
static uint32_t each;
static uint32_t next_of[PRODUCERS_MAX];

static enum net_action on_open(struct net_conn *c)
{
	atomic_store(&conn, net_conn_id_of(c));
	return NET_NONE;
}

static void *produce(void *arg)
{
	struct message m = { .producer = (uint32_t)(uintptr_t)arg };
	for (; m.number < each; m.number++) {
		while (m.number % 256 == 0 && net_loop_posted_bytes(net_server_loop(server, 0)) > AHEAD)
			usleep(50);
		if (net_send(server, atomic_load(&conn), &m, sizeof m, NULL, NULL))
			exit(1);
	}
	return NULL;
}

/* Whether all messages came, in the order of their producers. */
static int check(int fd, uint64_t total)
{
	static struct message buf[8192];
	size_t have = 0;
	for (uint64_t seen = 0; seen < total;) {
		ssize_t n = read(fd, (char *)buf + have, sizeof buf - have);
		if (n <= 0)
			return 1;
		have += (size_t)n;
		size_t whole = have / sizeof *buf;
		for (size_t i = 0; i < whole; i++) {
			if (buf[i].producer >= PRODUCERS_MAX || buf[i].number != next_of[buf[i].producer]++)
				return 1;
		}
		seen += whole;
		have -= whole * sizeof *buf;
		memmove(buf, buf + whole, have);
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct net_events events = { .open = on_open };
	const char *how = argc > 3 ? argv[3] : "epoll";
	int producers = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1, fds[2], err = 0;
	struct net_options o;
	pthread_t threads[PRODUCERS_MAX];
	struct timespec a, b;
	if (producers < 1 || producers > PRODUCERS_MAX)
		return 2;
	each = (uint32_t)(argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000) / (uint32_t)producers;
	net_options_init(&o);
	o.loops = 1;
	o.backend = !strcmp(how, "poll") ? NET_BACKEND_POLL : !strcmp(how, "uring") ? NET_BACKEND_URING : NET_BACKEND_EPOLL;
	server = net_server_new(&events, &o, &err);
	if (!server || net_server_start(server, false) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) ||
	    net_attach(net_server_loop(server, 0), fds[0], 0, NULL))
		return 1;
	while (!atomic_load(&conn))
		usleep(100);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (uintptr_t i = 0; i < (uintptr_t)producers; i++)
		pthread_create(&threads[i], NULL, produce, (void *)i);
	int bad = check(fds[1], (uint64_t)each * (uint64_t)producers);
	clock_gettime(CLOCK_MONOTONIC, &b);
	for (int i = 0; i < producers; i++)
		pthread_join(threads[i], NULL);
	double s = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	printf("%s, %d producers: %.2f million messages a second%s\n", how, producers,
	       (double)each * (double)producers / s / 1e6, bad ? ", BUT LOST OR OUT OF ORDER" : ", all in order");
	close(fds[1]);
	net_server_stop(server, 1000);
	net_server_wait(server);
	net_server_free(server);
	return bad;
}

/*
 * echo_proactor: the echo server on the proactor: echo_proactor PORT [thread]
 *
 * `thread`: another thread waits, and hands each batch of results to the one that submits: what a poller thread of the
 * library's own would cost. That is up to 40 % more server CPU per message, which is why the library has none.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "net/proactor.h"

#define BATCH 256

static struct net_proactor *p;
static struct net_result given[BATCH];
static int ngiven;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void take(const struct net_result *r)
{
	if (r->what == NET_OP_ACCEPT) {
		if (!r->err)
			net_proactor_read(p, r->accepted, NULL, 0, -1, NULL);
		net_proactor_accept(p, r->conn, -1, NULL);
	} else if (r->err || r->ended) {
		net_proactor_release(p, r->conn);
	} else if (r->what == NET_OP_READ) {
		net_proactor_write(p, r->conn, r->buf, r->n, -1, NULL);
	} else {
		net_proactor_read(p, r->conn, NULL, 0, -1, NULL);
	}
}

static void *wait_aside(void *arg)
{
	struct net_result r[BATCH];
	for (;;) {
		int n = net_proactor_wait(p, r, BATCH, -1);
		pthread_mutex_lock(&lock);
		memcpy(given, r, (size_t)(n > 0 ? n : 0) * sizeof *r);
		ngiven = n;
		pthread_cond_broadcast(&changed);
		while (ngiven)
			pthread_cond_wait(&changed, &lock); /* the buffers are valid until the next wait */
		pthread_mutex_unlock(&lock);
	}
	return arg;
}

static void take_given(void)
{
	pthread_mutex_lock(&lock);
	while (!ngiven)
		pthread_cond_wait(&changed, &lock);
	for (int i = 0; i < ngiven; i++)
		take(&given[i]);
	ngiven = 0;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
	net_proactor_conn listener;
	struct net_result r[BATCH];
	char url[64];
	pthread_t thread;
	int err = 0;
	snprintf(url, sizeof url, "tcp4://127.0.0.1:%s", argc > 1 ? argv[1] : "0");
	p = net_proactor_new(NULL, &err);
	if (!p || net_proactor_listen(p, url, &listener, NULL) || net_proactor_accept(p, listener, -1, NULL))
		return 1;
	if (argc > 2 && !strcmp(argv[2], "thread")) {
		if (pthread_create(&thread, NULL, wait_aside, NULL))
			return 1;
		for (;;)
			take_given();
	}
	for (;;) {
		int n = net_proactor_wait(p, r, BATCH, -1);
		for (int i = 0; i < n; i++)
			take(&r[i]);
	}
}

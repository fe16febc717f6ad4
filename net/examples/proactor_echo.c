/* proactor_echo: sends back what it gets; reads and writes are submitted, results come in batches. proactor_echo [URL] */
#include <stdio.h>
#include <string.h>

#include "net/proactor.h"

/* Until net_proactor_wake(). The reads' buffers are the library's, which costs idle connections nothing. */
static void serve(struct net_proactor *p, net_proactor_conn listener)
{
	struct net_result r[256];
	net_proactor_accept(p, listener, -1, NULL);
	for (int n; (n = net_proactor_wait(p, r, 256, -1)) > 0;) {
		for (int i = 0; i < n; i++) {
			if (r[i].what == NET_OP_ACCEPT) {
				if (!r[i].err)
					net_proactor_read(p, r[i].accepted, NULL, 0, 60000, NULL);
				net_proactor_accept(p, listener, -1, NULL);
			} else if (r[i].err || r[i].ended) {
				net_proactor_release(p, r[i].conn);
			} else if (r[i].what == NET_OP_READ) { /* the next read follows the write: nothing piles up */
				net_proactor_write(p, r[i].conn, r[i].buf, r[i].n, 10000, NULL);
			} else {
				net_proactor_read(p, r[i].conn, NULL, 0, 60000, NULL);
			}
		}
	}
}

int main(int argc, char **argv)
{
	net_proactor_conn listener;
	int port = 0, err = 0;
	struct net_proactor *p = net_proactor_new(NULL, &err);
	if (p)
		err = net_proactor_listen(p, argc > 1 ? argv[1] : "tcp://:7000", &listener, &port);
	if (err) {
		fprintf(stderr, "proactor_echo: %s\n", strerror(-err));
		return 1;
	}
	printf("port:%d\n", port);
	fflush(stdout);
	serve(p, listener);
	net_proactor_free(p);
	return 0;
}

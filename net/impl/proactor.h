/* proactor: its structs; only net/proactor.c and net/impl/proactor_io.c include it. */
#ifndef NET_IMPL_PROACTOR_H
#define NET_IMPL_PROACTOR_H

#include <pthread.h>
#include <stdatomic.h>

#include "net/impl/poll.h"
#include "net/internal.h"
#include "net/proactor.h"

#define PROACTOR_EVENTS 64 /* fewer than NET_EVENTS, as its sends go one by one: what was read is written while it is cached */
#define FOREVER_MS (INT64_C(1) << 50)
#define OP_RELEASE (NET_OP_ACCEPT + 1)

struct op {
	struct op *next, *prev;
	struct pconn *conn; /* until it is done */
	net_proactor_conn name;
	int what; /* enum net_operation or OP_RELEASE */
	int err;
	bool ended, timed, late;
	char *buf, *at; /* the caller's, and where the bytes are */
	size_t size, n;
	void *ctx;
	struct net_timer timer;
	int64_t due_ms;
	struct own *own; /* memory of this operation alone */
	net_proactor_conn accepted;
};

/* Memory that the library lends. */
struct own {
	struct own *next;
	size_t size;
	char bytes[];
};

struct ops {
	struct op *first, *last;
	unsigned n;
};

/* Structs of connections are used again, and freed with the proactor: a late event finds one, and at worst makes it look
 * for bytes that are not there. */
struct pconn {
	struct net_proactor *proactor;
	int fd;
	uint32_t slot, generation;
	bool listening;
	bool released; /* under the lock; the rest belongs to the thread that waits */
	bool in_ready, stalled, gone;
	bool readable, writable;
	bool hup;       /* edge-triggered: the end is there, and is not announced again */
	bool has_views; /* writes that lie in the library's buffer, where they cannot stay */
	bool want_out;  /* edge-triggered: a write did not fit once */
	unsigned armed;
	unsigned late; /* reads that expired and are not handed out: until then there are no others, as these would overtake */
	int read_err, write_err; /* for all operations from now on */
	struct ops reads, writes;
	struct pconn *next, *next_stalled; /* in the list of ready or free ones */
	struct op release;
};

struct pconns {
	struct pconn *first, *last;
};

struct net_proactor {
	const struct poll_backend *backend;
	struct poller *poller;
	bool edge, tcp_nodelay;
	mem_fn *mem;
	int wakefd, wakefd_write;
	atomic_bool woken, waiting;

	pthread_mutex_t lock;
	struct ops inbox;
	struct pconn **slots;
	uint32_t nslots, cap;
	struct pconn *free_conns;
	struct op *free_ops;
	unsigned nfree_ops;
	atomic_bool sleeping; /* set under the lock, when the inbox is empty */

	/* of the thread that waits */
	struct ops got, done; /* results: of reads, which are handed out in the wait that reads; of the rest */
	struct op *used_ops;     /* to be given back */
	struct pconn *used_conns;
	struct pconns ready;
	struct pconn *stalled;
	int64_t retry_ms, now_ms;
	bool asked;    /* the poller, in the wait before */
	bool kept_off; /* connections were left ready in the wait before */
	struct wheel *wheel;
	char *area;
	size_t area_size, area_used;
	struct own *lent; /* until the next wait */
	struct poll_event events[PROACTOR_EVENTS];
};

/* proactor.c */
struct pconn *pconn_new(struct net_proactor *p, int take_fd, bool listening); /* under the lock */
net_proactor_conn pconn_name(const struct pconn *c);

#endif

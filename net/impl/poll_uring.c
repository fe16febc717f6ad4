/*
 * poll_uring: Linux's io_uring behind the poller interface, for kernels from 6.1 on. Receiving and accepting are armed
 * once and go on by themselves, into buffers from a ring. What is sent does not come here: see send_ring.h.
 *
 * Each descriptor has two slots for what is under way: one for what comes in, one for everything else. add() and change()
 * only note what is wanted; before the next wait what is under way is made to agree with it. Whatever the kernel reports
 * names the descriptor and its `life`, which changes with each remove(), so that late reports are known for what they are.
 */
#ifdef __linux__
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "net/impl/poll.h"

#define SQ_ENTRIES 256
#define CQ_ENTRIES 4096
/* All buffers stay in a core's cache, and bound what comes in before it is handled. Where they are filled piece by piece
 * few large ones do, and 64 KiB come in at once. Elsewhere each piece takes a buffer. The numbers are powers of two. */
#define BUFFER_BYTES (512 * 1024)
#define BUFFERS 16
#define BUFFERS_INCREMENTAL 8
#define GROUP 0
#define NOTHING POLL_EDGE /* wanted, not even to learn of errors */

/* Newer than the headers of liburing 2.3. */
#define RING_INCREMENTAL 2
#define CQE_BUFFER_MORE (1u << 4)
struct ring_registration {
	uint64_t addr;
	uint32_t entries;
	uint16_t group, flags;
	uint64_t reserved[3];
};

/* The low bits of what a report carries; above them descriptor and life. */
enum kind { IGNORED, RECEIVED, ACCEPTED, POLLED, QUIET, KIND_BITS = 7 };

struct slot {
	uint8_t kind; /* under way; 0 nothing */
	bool cancelled;
	short mask;
};

struct watch {
	void *tag;
	uint32_t life;
	uint16_t want;
	bool known, noted;
	struct slot slots[2];
};

struct poller {
	struct io_uring ring;
	int made;     /* 0 or -errno */
	bool running; /* on the loop's thread */
	bool incremental;
	struct watch *watches; /* by descriptor */
	int nwatches;
	int *noted; /* descriptors whose slots may not agree with what is wanted; room for all */
	int nnoted;
	unsigned under_way;
	struct io_uring_buf_ring *buffers;
	char *bytes;
	unsigned nbuffers;
	size_t buffer_size;
	uint32_t used[BUFFERS]; /* bytes of each buffer */
	uint16_t done[BUFFERS]; /* buffers to be given back */
	int ndone;
};

/* ------------------------------------------------------------------ buffers */

static void give_back(struct poller *p)
{
	unsigned size = (unsigned)p->buffer_size;
	for (int i = 0; i < p->ndone; i++) {
		uint16_t b = p->done[i];
		p->used[b] = 0;
		io_uring_buf_ring_add(p->buffers, p->bytes + b * p->buffer_size, size, b, (int)p->nbuffers - 1, i);
	}
	if (p->ndone)
		io_uring_buf_ring_advance(p->buffers, p->ndone);
	p->ndone = 0;
}

/* Where the bytes of a report are. Incremental buffers are filled piece by piece. */
static char *take_buffer(struct poller *p, const struct io_uring_cqe *cqe)
{
	uint16_t b = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	char *at = p->bytes + b * p->buffer_size + p->used[b];
	if (cqe->res > 0)
		p->used[b] += (uint32_t)cqe->res;
	if (!p->incremental || !(cqe->flags & CQE_BUFFER_MORE))
		p->done[p->ndone++] = b;
	return at;
}

static int open_buffers(struct poller *p)
{
	size_t size = BUFFERS * sizeof(struct io_uring_buf);
	p->buffers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	p->bytes = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->buffers == MAP_FAILED || p->bytes == MAP_FAILED)
		return -ENOMEM;
	struct ring_registration r = { .addr = (uintptr_t)p->buffers, .entries = BUFFERS_INCREMENTAL,
		                       .group = GROUP, .flags = RING_INCREMENTAL };
	_Static_assert(sizeof r == sizeof(struct io_uring_buf_reg), "the kernel's struct");
	p->incremental = io_uring_register_buf_ring(&p->ring, (struct io_uring_buf_reg *)&r, 0) == 0;
	p->nbuffers = p->incremental ? BUFFERS_INCREMENTAL : BUFFERS;
	p->buffer_size = BUFFER_BYTES / p->nbuffers;
	r.entries = p->nbuffers;
	r.flags = 0;
	int err = p->incremental ? 0 : io_uring_register_buf_ring(&p->ring, (struct io_uring_buf_reg *)&r, 0);
	if (err)
		return err;
	io_uring_buf_ring_init(p->buffers);
	for (p->ndone = 0; p->ndone < (int)p->nbuffers; p->ndone++)
		p->done[p->ndone] = (uint16_t)p->ndone;
	give_back(p);
	return 0;
}

/* ------------------------------------------------------------------ opening */

static void free_poller(struct poller *p)
{
	if (p->buffers && p->buffers != MAP_FAILED)
		munmap(p->buffers, BUFFERS * sizeof(struct io_uring_buf));
	if (p->bytes && p->bytes != MAP_FAILED)
		munmap(p->bytes, BUFFER_BYTES);
	free(p->watches);
	free(p->noted);
	free(p);
}

/* The ring belongs to the thread that enables it, in its first wait. */
static void *make_ring(void *arg)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
		         IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
		.cq_entries = CQ_ENTRIES,
	};
	struct poller *p = arg;
	p->made = io_uring_queue_init_params(SQ_ENTRIES, &p->ring, &params);
	return NULL;
}

/* On a thread of its own: when a ring goes, the kernel interrupts the system calls of the thread that made it. */
static int open_ring(struct poller *p)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, make_ring, p);
	if (err)
		return -err;
	pthread_join(thread, NULL);
	return p->made;
}

static struct poller *open_uring(int *err)
{
	struct poller *p = calloc(1, sizeof *p);
	*err = -ENOMEM;
	if (!p)
		return NULL;
	*err = open_ring(p);
	if (*err) {
		free_poller(p);
		return NULL;
	}
	*err = open_buffers(p);
	if (!*err)
		return p;
	io_uring_queue_exit(&p->ring);
	free_poller(p);
	return NULL;
}

static void close_uring(struct poller *p)
{
	io_uring_queue_exit(&p->ring);
	free_poller(p);
}

/* ------------------------------------------------------------------ what is wanted */

static bool grow(struct poller *p, int fd)
{
	int n = fd + fd / 4 + 64;
	struct watch *w = realloc(p->watches, (size_t)n * sizeof *w);
	if (!w)
		return false;
	p->watches = w;
	int *noted = realloc(p->noted, (size_t)n * sizeof *noted);
	if (!noted)
		return false;
	p->noted = noted;
	memset(w + p->nwatches, 0, (size_t)(n - p->nwatches) * sizeof *w);
	p->nwatches = n;
	return true;
}

static void note(struct poller *p, int fd)
{
	if (!p->watches[fd].noted)
		p->noted[p->nnoted++] = fd;
	p->watches[fd].noted = true;
}

static int change(struct poller *p, int fd, void *tag, unsigned events)
{
	if (fd >= p->nwatches || !p->watches[fd].known)
		return -ENOENT;
	p->watches[fd].tag = tag;
	p->watches[fd].want = (uint16_t)events;
	note(p, fd);
	return 0;
}

static int add(struct poller *p, int fd, void *tag, unsigned events)
{
	if (fd >= p->nwatches && !grow(p, fd))
		return -ENOMEM;
	if (p->watches[fd].known)
		return -EEXIST;
	p->watches[fd].known = true;
	return change(p, fd, tag, events);
}

static uint64_t name_of(int fd, uint32_t life, int kind)
{
	return (uint64_t)life << 32 | (uint64_t)(unsigned)fd << 3 | (uint64_t)kind;
}

static struct io_uring_sqe *next_entry(struct poller *p)
{
	struct io_uring_sqe *e = io_uring_get_sqe(&p->ring);
	if (!e && io_uring_submit(&p->ring) > 0)
		e = io_uring_get_sqe(&p->ring);
	return e;
}

/* Two polls of one descriptor differ in the lowest bit of its life's name. */
static uint64_t slot_name(int fd, const struct watch *w, int i, int kind)
{
	return name_of(fd, w->life * 2 + (uint32_t)i, kind);
}

static bool cancel_name(struct poller *p, uint64_t name)
{
	struct io_uring_sqe *e = next_entry(p);
	if (!e)
		return false;
	io_uring_prep_cancel64(e, name, 0);
	e->user_data = IGNORED;
	e->flags |= IOSQE_CQE_SKIP_SUCCESS;
	return true;
}

static bool cancel(struct poller *p, int fd, int i)
{
	struct slot *s = &p->watches[fd].slots[i];
	s->cancelled = cancel_name(p, slot_name(fd, &p->watches[fd], i, s->kind));
	return s->cancelled;
}

/* What slot i should be doing. Who waits for nothing still learns of errors and of the end of both directions. */
static struct slot wanted(const struct watch *w, int i)
{
	struct slot s = { 0 };
	if (i == 0) {
		s.kind = w->want & POLL_RECEIVE ? RECEIVED : w->want & POLL_ACCEPT ? ACCEPTED : w->want & POLL_READ ? POLLED : 0;
		s.mask = s.kind == POLLED ? POLLIN : 0;
	} else {
		s.kind = w->want & POLL_WRITE || !w->want ? POLLED : w->want == POLL_QUIET ? QUIET : 0;
		s.mask = w->want & POLL_WRITE ? POLLOUT : 0;
	}
	return s;
}

static bool begin(struct poller *p, int fd, int i, struct slot s)
{
	struct watch *w = &p->watches[fd];
	struct io_uring_sqe *e = next_entry(p);
	if (!e)
		return false;
	switch (s.kind) {
	case RECEIVED:
		io_uring_prep_recv(e, fd, NULL, 0, 0);
		e->ioprio |= IORING_RECV_MULTISHOT;
		e->flags |= IOSQE_BUFFER_SELECT;
		e->buf_group = GROUP;
		break;
	case ACCEPTED:
		io_uring_prep_multishot_accept(e, fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		break;
	case POLLED:
		io_uring_prep_poll_add(e, fd, (unsigned)s.mask);
		break;
	default:
		io_uring_prep_nop(e);
	}
	e->user_data = slot_name(fd, w, i, s.kind);
	w->slots[i] = s;
	p->under_way++;
	return true;
}

/* Make what is under way agree with what is wanted; false: no room, try again later. */
static bool agree(struct poller *p, int fd)
{
	struct watch *w = &p->watches[fd];
	for (int i = 0; i < 2 && w->known; i++) {
		struct slot want = wanted(w, i), *s = &w->slots[i];
		if (s->kind && (s->kind != want.kind || s->mask != want.mask) && !s->cancelled && !cancel(p, fd, i))
			return false;
		if (want.kind == QUIET && w->slots[0].kind)
			continue;
		if (!s->kind && want.kind && !begin(p, fd, i, want))
			return false;
	}
	return true;
}

static void agree_all(struct poller *p)
{
	int n = p->nnoted;
	p->nnoted = 0;
	for (int k = 0; k < n; k++) {
		int fd = p->noted[k];
		p->watches[fd].noted = false;
		if (!agree(p, fd))
			note(p, fd);
	}
}

/* A listening socket stays bound while it is being accepted from: that ends at once. */
static void remove_fd(struct poller *p, int fd)
{
	if (fd >= p->nwatches || !p->watches[fd].known)
		return;
	struct watch *w = &p->watches[fd];
	bool listener = w->slots[0].kind == ACCEPTED;
	for (int i = 0; i < 2; i++) {
		if (w->slots[i].kind && !w->slots[i].cancelled)
			cancel(p, fd, i);
		w->slots[i] = (struct slot){ 0 };
	}
	w->life++;
	w->known = false;
	w->want = 0;
	if (listener && p->running)
		io_uring_submit_and_get_events(&p->ring);
}

/* ------------------------------------------------------------------ reports */

static bool report_poll(const struct watch *w, int res, struct poll_event *out)
{
	if (res == -ECANCELED)
		return false;
	*out = (struct poll_event){ .tag = w->tag };
	out->events = res < 0 ? POLL_ERROR : (res & POLLIN ? POLL_READ : 0u) | (res & POLLOUT ? POLL_WRITE : 0u) |
	                                     (res & POLLHUP ? POLL_HANGUP : 0u) | (res & POLLERR ? POLL_ERROR : 0u);
	return true;
}

/* A report of the kernel as an event; false: it is none. */
static bool report(struct poller *p, const struct io_uring_cqe *cqe, struct poll_event *out)
{
	int kind = (int)(cqe->user_data & KIND_BITS), res = cqe->res;
	if (kind == IGNORED)
		return false;
	int fd = (int)((uint32_t)cqe->user_data >> 3), i = (int)(cqe->user_data >> 32 & 1);
	char *bytes = cqe->flags & IORING_CQE_F_BUFFER ? take_buffer(p, cqe) : NULL;
	struct watch *w = &p->watches[fd];
	bool alive = w->known && w->life * 2 + (uint32_t)i == (uint32_t)(cqe->user_data >> 32);
	if (!(cqe->flags & IORING_CQE_F_MORE)) {
		p->under_way--;
		if (alive) {
			w->slots[i] = (struct slot){ 0 };
			note(p, fd);
		}
	} else if (!alive) {
		cancel_name(p, cqe->user_data); /* the first time it was not found: it was being carried out */
	} else if (w->slots[i].cancelled) {
		w->slots[i].cancelled = false;
		note(p, fd);
	}
	if (!alive) {
		if (kind == ACCEPTED && res >= 0)
			close(res);
		return false;
	}
	switch (kind) {
	case RECEIVED:
		if (res == -ENOBUFS || res == -ECANCELED || res == -EAGAIN || res == -EINTR)
			return false;
		*out = (struct poll_event){ .tag = w->tag, .events = POLL_BYTES, .result = res, .bytes = bytes };
		return true;
	case ACCEPTED:
		*out = (struct poll_event){ .tag = w->tag, .events = POLL_ACCEPTED, .result = res };
		return res != -ECANCELED && res != -EAGAIN;
	case POLLED:
		return report_poll(w, res, out);
	default:
		*out = (struct poll_event){ .tag = w->tag, .events = POLL_QUIET };
		w->want = NOTHING;
		return true;
	}
}

static int collect(struct poller *p, struct poll_event *out, int max)
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int n = 0;
	io_uring_for_each_cqe(&p->ring, head, cqe) {
		if (n == max)
			break;
		seen++;
		n += report(p, cqe, &out[n]);
	}
	io_uring_cq_advance(&p->ring, seen);
	return n;
}

static int wait_events(struct poller *p, struct poll_event *out, int max, int timeout_ms)
{
	if (!p->running) {
		/* io_uring_enable_rings() is missing from the library of liburing 2.3 */
		int err = io_uring_register((unsigned)p->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
		p->running = !err || err == -EBADFD;
	}
	give_back(p);
	agree_all(p);
	bool ready = io_uring_cq_ready(&p->ring);
	if (!p->running) {
		poll(NULL, 0, 1);
	} else if (!ready && timeout_ms && !p->nnoted) {
		struct __kernel_timespec t = { .tv_sec = timeout_ms / 1000, .tv_nsec = (long long)(timeout_ms % 1000) * 1000000 };
		struct io_uring_cqe *cqe;
		io_uring_submit_and_wait_timeout(&p->ring, &cqe, 1, timeout_ms < 0 ? NULL : &t, NULL);
	} else if (!ready || io_uring_sq_ready(&p->ring)) {
		io_uring_submit_and_get_events(&p->ring);
	}
	return collect(p, out, max);
}

/* ------------------------------------------------------------------ the end */

static void leave(struct poller *p)
{
	struct poll_event ev[16];
	for (int fd = 0; fd < p->nwatches; fd++)
		remove_fd(p, fd);
	for (int tries = 0; p->under_way && tries < 100; tries++)
		wait_events(p, ev, 16, 10);
}

const struct poll_backend poll_uring = {
	.name = "io_uring", .completes = true,
	.open = open_uring, .close = close_uring,
	.add = add, .change = change, .remove = remove_fd, .wait = wait_events,
	.leave = leave,
};
#endif

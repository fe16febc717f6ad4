/* send_ring: see send_ring.h. */
#include "net/impl/send_ring.h"

#include <stddef.h>

#ifdef __linux__
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/socket.h>

#define ENTRIES 256
/* MSG_WAITALL makes a short send a failure, and successes are not reported. */
#define SEND_FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL)

struct send_ring {
	struct io_uring ring;
	struct msghdr messages[ENTRIES];
	unsigned n;
};

struct send_ring *send_ring_open(void)
{
	struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
		                                   IORING_SETUP_SUBMIT_ALL };
	struct send_ring *r = calloc(1, sizeof *r);
	if (r && io_uring_queue_init_params(ENTRIES, &r->ring, &params)) {
		free(r);
		r = NULL;
	}
	return r;
}

void send_ring_close(struct send_ring *r)
{
	if (r)
		io_uring_queue_exit(&r->ring);
	free(r);
}

bool send_ring_queue(struct send_ring *r, int fd, void *tag, const struct iovec *iov, int n)
{
	struct io_uring_sqe *e = io_uring_get_sqe(&r->ring);
	if (!e)
		return false;
	if (n == 1) {
		io_uring_prep_send(e, fd, iov->iov_base, iov->iov_len, SEND_FLAGS);
	} else {
		struct msghdr *m = &r->messages[r->n];
		*m = (struct msghdr){ .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n };
		io_uring_prep_sendmsg(e, fd, m, SEND_FLAGS);
	}
	e->flags |= IOSQE_CQE_SKIP_SUCCESS;
	io_uring_sqe_set_data(e, tag);
	r->n++;
	return true;
}

/* What the kernel did not even look at has not been sent: the queue's tail comes back to its head. */
static void take_back(struct send_ring *r, void (*unsent)(void *tag, int result))
{
	struct io_uring_sq *sq = &r->ring.sq;
	unsigned head = *sq->khead, tail = sq->sqe_tail;
	sq->sqe_head = sq->sqe_tail = head;
	io_uring_smp_store_release(sq->ktail, head);
	for (unsigned i = head; i != tail; i++)
		unsent((void *)(uintptr_t)sq->sqes[i & *sq->kring_mask].user_data, -EAGAIN);
}

void send_ring_submit(struct send_ring *r, void (*unsent)(void *tag, int result))
{
	struct io_uring_cqe *cqe;
	unsigned head, seen = 0;
	int n;
	do
		n = io_uring_submit(&r->ring);
	while (n == -EINTR || (n > 0 && io_uring_sq_ready(&r->ring)));
	r->n = 0;
	io_uring_for_each_cqe(&r->ring, head, cqe) {
		unsent(io_uring_cqe_get_data(cqe), cqe->res);
		seen++;
	}
	io_uring_cq_advance(&r->ring, seen);
	if (io_uring_sq_ready(&r->ring))
		take_back(r, unsent);
}
#else
struct send_ring *send_ring_open(void)
{
	return NULL;
}

void send_ring_close(struct send_ring *r)
{
	(void)r;
}

bool send_ring_queue(struct send_ring *r, int fd, void *tag, const struct iovec *iov, int n)
{
	(void)r, (void)fd, (void)tag, (void)iov, (void)n;
	return false;
}

void send_ring_submit(struct send_ring *r, void (*unsent)(void *tag, int result))
{
	(void)r, (void)unsent;
}
#endif

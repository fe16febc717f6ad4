/*
 * send_ring: the sends of many connections in one system call, beside whatever poller there is: an io_uring that knows
 * nothing else. Sending to a thousand connections takes about a twentieth less CPU than with as many send().
 *
 * A send does not wait, so it is over when submit() returns, and only what fell short is told.
 * Threads: the one that opened it.
 */
#ifndef NET_IMPL_SEND_RING_H
#define NET_IMPL_SEND_RING_H

#include <stdbool.h>
#include <sys/uio.h>

struct send_ring;

/* NULL: this system has none, or forbids it. */
struct send_ring *send_ring_open(void);
void send_ring_close(struct send_ring *r); /* NULL is allowed */
/* The iovec, if n > 1, and all bytes must stay until submit(). false: full, submit first. */
bool send_ring_queue(struct send_ring *r, int fd, void *tag, const struct iovec *iov, int n);
/* Send all; unsent() for each that was not sent whole: its bytes, or -errno. */
void send_ring_submit(struct send_ring *r, void (*unsent)(void *tag, int result));

#endif

/* echo_epoll: the floor: a bare epoll loop that knows nothing but echo, one connection after the other. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Per connection: what the socket did not take. */
static struct rest {
	char *bytes;
	size_t len;
} rests[65536];

static int epfd;

static void watch(int op, int fd, unsigned events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };
	epoll_ctl(epfd, op, fd, &ev);
}

static void echo(int fd)
{
	static char buf[65536];
	ssize_t n = recv(fd, buf, sizeof buf, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(fd);
		return;
	}
	ssize_t w = send(fd, buf, (size_t)n, MSG_NOSIGNAL);
	w = w < 0 ? 0 : w;
	if (w < n) {
		rests[fd].len = (size_t)(n - w);
		rests[fd].bytes = malloc(rests[fd].len);
		memcpy(rests[fd].bytes, buf + w, rests[fd].len);
		watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
	}
}

static void go_on(int fd)
{
	struct rest *r = &rests[fd];
	ssize_t w = send(fd, r->bytes, r->len, MSG_NOSIGNAL);
	if (w > 0) {
		memmove(r->bytes, r->bytes + w, r->len - (size_t)w);
		r->len -= (size_t)w;
	}
	if (!r->len) {
		free(r->bytes);
		watch(EPOLL_CTL_MOD, fd, EPOLLIN);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)strtol(argc > 1 ? argv[1] : "0", NULL, 10)) };
	struct epoll_event ev[512];
	int one = 1, ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(ls, (struct sockaddr *)&a, sizeof a) || listen(ls, 4096))
		return 1;
	epfd = epoll_create1(0);
	watch(EPOLL_CTL_ADD, ls, EPOLLIN);
	for (;;) {
		int n = epoll_wait(epfd, ev, 512, -1);
		for (int i = 0; i < n; i++) {
			int fd = ev[i].data.fd;
			if (fd == ls) {
				fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK);
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				watch(EPOLL_CTL_ADD, fd, EPOLLIN);
			} else if (ev[i].events & EPOLLOUT) {
				go_on(fd);
			} else {
				echo(fd);
			}
		}
	}
}

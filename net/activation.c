/* activation: listening sockets that systemd opened for this process. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/internal.h"

#define FIRST_FD 3

int net_listen_systemd(struct net_server *s, const char *pid, const char *fds, int first_tag)
{
	if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
		return 0;
	long n = strtol(fds, NULL, 10);
	if (n < 0 || n > 1024)
		return -EINVAL;
	for (int i = 0; i < n; i++) {
		int err = 0, fd = FIRST_FD + i;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC))
			return -errno;
		if (!net_listen_fd(s, fd, first_tag + i, &err))
			return err;
	}
	return (int)n;
}

#include "tests/lib/example.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t example_start(const char *argv0, const char *name, const char *a, const char *b, const char *d, int *port)
{
	char path[512], line[128];
	const char *slash = strrchr(argv0, '/');
	int out[2];
	snprintf(path, sizeof path, "%.*s/../examples/%s", slash ? (int)(slash - argv0) : 1, slash ? argv0 : ".", name);
	ck_assert_int_eq(pipe(out), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing behind */
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		execl(path, name, a, b, d, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	FILE *f = fdopen(out[0], "r");
	ck_assert_msg(f && fgets(line, sizeof line, f) != NULL && strrchr(line, ':'), "%s does not start", path);
	fclose(f);
	*port = (int)strtol(strrchr(line, ':') + 1, NULL, 10);
	return pid;
}

void example_stop(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#include "tests/lib/proc.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 100

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int proc_loops(void)
{
	const char *s = getenv("SHOAL_LOOPS");
	int n = s ? (int)strtol(s, NULL, 10) : 1;
	return n > 0 ? n : 1;
}

bool proc_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
	return true;
#endif
#endif
	return false;
}

int proc_time_factor(void)
{
	return proc_sanitized() ? 30 : 5;
}

/* Below the range from which the kernel takes the local ports of outgoing connections. */
int proc_free_port(int *lock)
{
	static int next;
	if (!next) {
		next = (int)getpid();
		mkdir("/tmp/shoal-test-ports", 0777);
	}
	for (int tries = 0; tries < 11000; tries++) {
		int port = 21000 + next++ % 11000;
		char path[64];
		snprintf(path, sizeof path, "/tmp/shoal-test-ports/%d", port);
		int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
		if (fd < 0)
			continue;
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			close(fd);
			continue;
		}
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
		int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		int one = 1;
		setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
		bool ok = s >= 0 && bind(s, (struct sockaddr *)&a, sizeof a) == 0 && listen(s, 1) == 0;
		if (s >= 0)
			close(s);
		if (ok) {
			*lock = fd;
			return port;
		}
		close(fd);
	}
	fprintf(stderr, "proc: no free port\n");
	abort();
}

static void path_in(const struct proc *p, const char *name, char *out, size_t size)
{
	snprintf(out, size, "%s/%s", p->dir, name);
}

/* Command tests can be run against another server too, to see what it answers: SHOAL_SERVER=redis-server. */
static bool is_shoal(const char *binary)
{
	const char *name = strrchr(binary, '/');
	return strstr(name ? name : binary, "shoal") != NULL;
}

static void write_config(const struct proc *p, const struct proc_spec *spec, const char *binary)
{
	char path[256];
	path_in(p, "test.conf", path, sizeof path);
	FILE *f = fopen(path, "w");
	if (!f) {
		perror(path);
		abort();
	}
	fprintf(f, "bind 127.0.0.1\nport %d\ndir %s\ndaemonize no\nlogfile \"\"\nsave \"\"\nappendonly no\n"
	        "enable-debug-command yes\nenable-protected-configs yes\n", p->port, p->dir);
	if (is_shoal(binary))
		fprintf(f, "loops %d\n", spec->loops ? spec->loops : proc_loops());
	if (spec->config)
		fputs(spec->config, f);
	fputc('\n', f);
	fclose(f);
}

static void make_dir(struct proc *p, const char *given)
{
	if (given) {
		snprintf(p->dir, sizeof p->dir, "%s", given);
		p->keep_dir = true;
		return;
	}
	const char *tmp = getenv("TMPDIR");
	snprintf(p->dir, sizeof p->dir, "%s/shoal-test-XXXXXX", tmp && strlen(tmp) < 64 ? tmp : "/tmp");
	if (!mkdtemp(p->dir)) {
		perror(p->dir);
		abort();
	}
}

static void child(const struct proc *p, const char *const *argv, unsigned long max_files)
{
	char path[256];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	path_in(p, "log", path, sizeof path);
	int out = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0666);
	path_in(p, "errors", path, sizeof path);
	int err = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0666);
	int null = open("/dev/null", O_RDONLY);
	if (out < 0 || err < 0 || null < 0)
		_exit(126);
	dup2(null, 0);
	dup2(out, 1);
	dup2(err, 2);
	for (int fd = 3; fd < 1024; fd++)
		close(fd);
	if (max_files) {
		struct rlimit r = { max_files, max_files };
		setrlimit(RLIMIT_NOFILE, &r);
	}
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execvp(argv[0], (char *const *)(uintptr_t)argv);
	dprintf(2, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static void spawn(struct proc *p, const char *const *argv, unsigned long max_files)
{
	p->exited = false;
	p->status = 0;
	/* The files exist before anyone waits for changes of them. */
	char path[256];
	path_in(p, "log", path, sizeof path);
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0666);
	if (fd >= 0)
		close(fd);
	fflush(NULL);
	p->pid = fork();
	if (p->pid == 0)
		child(p, argv, max_files);
	if (p->pid < 0) {
		perror("fork");
		abort();
	}
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
}

static bool reap(struct proc *p)
{
	if (p->exited)
		return true;
	pid_t r = waitpid(p->pid, &p->status, WNOHANG);
	/* ECHILD: the process that started it is another one; the pidfd said that it ended. */
	if (r == p->pid || (r < 0 && errno == ECHILD))
		p->exited = true;
	return p->exited;
}

bool proc_wait_exit(struct proc *p, int timeout_ms)
{
	int64_t until = now_ms() + (int64_t)timeout_ms * proc_time_factor();
	while (!p->exited) {
		struct pollfd f = { p->pidfd, POLLIN, 0 };
		int64_t left = until - now_ms();
		int n = poll(&f, 1, left > 0 ? (int)left : 0);
		if (n > 0)
			reap(p);
		else if (n == 0)
			return false;
	}
	return true;
}

static char *read_file(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0, cap = 4096;
	char *buf = malloc(cap + 1);
	ssize_t r = 0;
	while (buf && fd >= 0 && (r = read(fd, buf + n, cap - n)) > 0) {
		n += (size_t)r;
		if (n == cap)
			buf = realloc(buf, (cap *= 2) + 1);
	}
	if (fd >= 0)
		close(fd);
	if (buf)
		buf[n] = 0;
	if (len)
		*len = n;
	return buf;
}

char *proc_output(const struct proc *p, bool err)
{
	char path[256];
	path_in(p, err ? "errors" : "log", path, sizeof path);
	return read_file(path, NULL);
}

static bool log_holds(const struct proc *p, const char *text)
{
	char *log = proc_output(p, false);
	bool found = log && strstr(log, text);
	free(log);
	return found;
}

bool proc_wait_log(struct proc *p, const char *text, int timeout_ms)
{
	char path[256];
	path_in(p, "log", path, sizeof path);
	int64_t until = now_ms() + (int64_t)timeout_ms * proc_time_factor();
	int ino = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (ino >= 0)
		inotify_add_watch(ino, path, IN_MODIFY);
	bool found;
	for (;;) {
		int64_t left = until - now_ms();
		found = log_holds(p, text);
		if (found || p->exited || left <= 0)
			break;
		/* Not all systems have a watch left for us, or tell of every change: a look now and then finds it, too. */
		struct pollfd f[2] = { { ino, POLLIN, 0 }, { p->pidfd, POLLIN, 0 } };
		if (poll(f, 2, left < LOOK_MS ? (int)left : LOOK_MS) > 0 && f[1].revents)
			reap(p);
		char drop[4096];
		while (ino >= 0 && read(ino, drop, sizeof drop) > 0)
			;
	}
	if (ino >= 0)
		close(ino);
	return found;
}

static int start_once(struct proc *p, const struct proc_spec *spec)
{
	char conf[256];
	const char *binary = spec->binary;
	if (!binary)
		binary = getenv(spec->oracle ? "ORACLE" : "SHOAL_SERVER");
	if (!binary || !*binary)
		binary = spec->oracle ? "redis-server" : "build/shoal-server";
	write_config(p, spec, binary);
	path_in(p, "test.conf", conf, sizeof conf);
	const char *argv[] = { binary, conf, NULL };
	spawn(p, argv, spec->max_files);
	return proc_wait_log(p, spec->ready ? spec->ready : "Ready to accept connections", 20000) ? 0 : -1;
}

int proc_start(struct proc *p, const struct proc_spec *spec)
{
	memset(p, 0, sizeof *p);
	p->port_lock = -1;
	make_dir(p, spec->dir);
	for (int tries = 0;; tries++) {
		p->port = spec->port ? spec->port : proc_free_port(&p->port_lock);
		if (start_once(p, spec) == 0)
			return 0;
		bool taken = !spec->port && p->exited && log_holds(p, "Failed listening on port");
		if (!p->exited) {
			fprintf(stderr, "proc: the server did not become ready\n");
			kill(p->pid, SIGKILL);
			proc_wait_exit(p, 10000);
		}
		close(p->pidfd);
		p->pidfd = -1;
		if (!taken || tries == 5)
			return -1;
		close(p->port_lock);
	}
}

int proc_run(struct proc *p, const char *const *argv)
{
	memset(p, 0, sizeof *p);
	p->port_lock = -1;
	make_dir(p, NULL);
	spawn(p, argv, 0);
	if (!proc_wait_exit(p, 30000)) {
		kill(p->pid, SIGKILL);
		proc_wait_exit(p, 10000);
		return -1;
	}
	close(p->pidfd);
	p->pidfd = -1;
	return WIFEXITED(p->status) ? WEXITSTATUS(p->status) : -1;
}

static void remove_dir(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		char sub[512];
		struct stat st;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		snprintf(sub, sizeof sub, "%.200s/%s", path, e->d_name);
		if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
			remove_dir(sub);
		else
			unlink(sub);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

void proc_clean(struct proc *p)
{
	if (!p->keep_dir && *p->dir)
		remove_dir(p->dir);
	if (p->port_lock >= 0)
		close(p->port_lock);
	p->port_lock = -1;
}

/* A sanitizer's report, or output on stderr that speaks of a crash. */
static int check_reports(const struct proc *p)
{
	static const char *const signs[] = { "Sanitizer", "runtime error:", "Assertion", "jemalloc>:" };
	char *err = proc_output(p, true);
	int bad = 0;
	for (size_t i = 0; err && i < sizeof signs / sizeof *signs; i++)
		bad |= strstr(err, signs[i]) != NULL;
	if (bad)
		fprintf(stderr, "proc: the server reported:\n%s\n", err);
	free(err);
	return bad ? -1 : 0;
}

int proc_stop(struct proc *p)
{
	int result = 0;
	if (!p->exited) {
		kill(p->pid, SIGTERM);
		if (!proc_wait_exit(p, 12000)) {
			fprintf(stderr, "proc: the server did not stop after SIGTERM\n");
			kill(p->pid, SIGKILL);
			proc_wait_exit(p, 10000);
			result = -1;
		}
	}
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	if (p->status != 0) {
		char *log = proc_output(p, false);
		fprintf(stderr, "proc: the server ended with status %#x; its log:\n%s\n", (unsigned)p->status, log);
		free(log);
		result = -1;
	}
	if (check_reports(p))
		result = -1;
	proc_clean(p);
	return result;
}

void proc_kill(struct proc *p)
{
	if (!p->exited) {
		kill(p->pid, SIGKILL);
		proc_wait_exit(p, 10000);
	}
	if (p->pidfd >= 0)
		close(p->pidfd);
	p->pidfd = -1;
	proc_clean(p);
}

size_t proc_rss(const struct proc *p)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/statm", (int)p->pid);
	char *s = read_file(path, NULL);
	size_t pages = 0;
	char *rest = s;
	if (s && *s) {
		strtoul(s, &rest, 10);
		pages = strtoul(rest, NULL, 10);
	}
	free(s);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

long long proc_cpu_us(const struct proc *p)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)p->pid);
	char *s = read_file(path, NULL);
	long long ticks = 0;
	char *at = s ? strrchr(s, ')') : NULL;
	/* utime and stime are the 14th and 15th field; the second ends with the bracket. */
	for (int field = 2; at && field < 14; field++)
		at = strchr(at + 1, ' ');
	if (at) {
		char *rest;
		ticks = strtoll(at, &rest, 10);
		ticks += strtoll(rest, NULL, 10);
	}
	free(s);
	return ticks * 1000000 / sysconf(_SC_CLK_TCK);
}

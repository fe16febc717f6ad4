/* The process: its start and its end, what it says, what it does without a port, a configuration, or descriptors. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/expect.h"

static const char *binary(void)
{
	const char *s = getenv("SHOAL_SERVER");
	return s ? s : "build/shoal-server";
}

/* Run to the end: the exit status is not 0 and the output speaks of all texts (up to NULL). */
static void expect_refused(const char *const *argv, const char *const *texts)
{
	struct proc p;
	int status = proc_run(&p, argv);
	char *log = proc_output(&p, false), *err = proc_output(&p, true);
	ck_assert_msg(status > 0, "%s: status %d", argv[1], status);
	for (; *texts; texts++)
		ck_assert_msg(strstr(log, *texts) || strstr(err, *texts), "no \"%s\" in:\n%s%s", *texts, log, err);
	ck_assert_msg(!strstr(err, "Sanitizer") && !strstr(err, "runtime error"), "%s", err);
	free(log);
	free(err);
	proc_clean(&p);
}
#define refused(texts, ...) \
	expect_refused((const char *const[]){ binary(), __VA_ARGS__, NULL }, (const char *const[]){ texts, NULL })

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");
	ck_assert(f != NULL);
	fputs(text, f);
	fclose(f);
}

START_TEST(lines_that_scripts_wait_for)
{
	struct proc p;
	char pid[32];
	own_server(&p, NULL);
	snprintf(pid, sizeof pid, "%d:", (int)p.pid);
	char *log = proc_output(&p, false);
	ck_assert_msg(strstr(log, "Ready to accept connections"), "%s", log);
	ck_assert_msg(strstr(log, pid) == log, "%s", log);
	free(log);
	p.keep_dir = true;
	kill(p.pid, SIGTERM);
	ck_assert(proc_wait_exit(&p, 12000));
	log = proc_output(&p, false);
	ck_assert_msg(strstr(log, "User requested shutdown"), "%s", log);
	ck_assert_msg(strstr(log, "ready to exit, bye bye"), "%s", log);
	free(log);
	p.keep_dir = false;
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* Whether the process has a handler for it. */
static bool catches(const struct proc *p, int sig)
{
	char path[64], line[128];
	unsigned long long mask = 0;
	snprintf(path, sizeof path, "/proc/%d/status", (int)p->pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof line, f)) {
		if (!strncmp(line, "SigCgt:", 7))
			mask = strtoull(line + 7, NULL, 16);
	}
	if (f)
		fclose(f);
	return mask >> (sig - 1) & 1;
}

/* A stop that is asked for as soon as anybody listens, long before there are loops. The server is led there one system call
 * after the other. */
START_TEST(stopped_at_its_start)
{
	struct proc p = { .port_lock = -1, .keep_dir = true };
	char dir[] = "/tmp/shoal-test-XXXXXX";
	int status;
	ck_assert(mkdtemp(dir) != NULL);
	p.pid = fork();
	if (p.pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
			_exit(77); /* where nobody may */
		execl(binary(), binary(), "--port", "0", "--unixsocket", "socket", "--dir", dir, "--save", "", "--logfile", "/dev/null",
		      NULL);
		_exit(78);
	}
	ck_assert_int_eq(waitpid(p.pid, &status, 0), p.pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		rmdir(dir);
		return;
	}
	while (!catches(&p, SIGTERM)) {
		ck_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		ck_assert_int_eq(ptrace(PTRACE_SYSCALL, p.pid, NULL, NULL), 0);
		ck_assert_int_eq(waitpid(p.pid, &status, 0), p.pid);
	}
	p.pidfd = (int)syscall(SYS_pidfd_open, p.pid, 0);
	ck_assert_int_eq(ptrace(PTRACE_DETACH, p.pid, NULL, (void *)(uintptr_t)SIGTERM), 0);
	bool ended = proc_wait_exit(&p, 10000);
	if (!ended)
		proc_kill(&p);
	ck_assert(ended);
	ck_assert_int_eq(p.status, 0);
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(version_and_help)
{
	struct proc p;
	const char *const version[] = { binary(), "--version", NULL }, *const help[] = { binary(), "--help", NULL };
	ck_assert_int_eq(proc_run(&p, version), 0);
	char *out = proc_output(&p, false);
	ck_assert_msg(strstr(out, "v="), "%s", out);
	free(out);
	proc_clean(&p);
	int status = proc_run(&p, help);
	ck_assert(status == 0 || status == 1);
	out = proc_output(&p, false);
	char *err = proc_output(&p, true);
	ck_assert_msg(strstr(out, "Usage") || strstr(err, "Usage"), "%s%s", out, err);
	free(out);
	free(err);
	proc_clean(&p);
}
END_TEST

START_TEST(wrong_configuration)
{
	char path[] = "/tmp/shoal-conf-XXXXXX";
	ck_assert(mkstemp(path) >= 0);
	refused("/nonexistent/shoal.conf", "/nonexistent/shoal.conf");
	refused("/tmp", "/tmp"); /* a folder */
	write_file(path, "port 0\nmaxclient 10\n");
	expect_refused((const char *const[]){ binary(), path, NULL },
	               (const char *const[]){ path, "2", "maxclient 10", "maxclients", NULL });
	write_file(path, "port 0\n\n\nmaxclients many\n");
	expect_refused((const char *const[]){ binary(), path, NULL }, (const char *const[]){ path, "4", "maxclients many", NULL });
	write_file(path, "port 65536\n");
	expect_refused((const char *const[]){ binary(), path, NULL }, (const char *const[]){ "port 65536", NULL });
	write_file(path, "logfile \"unbalanced\nport 0\n");
	expect_refused((const char *const[]){ binary(), path, NULL }, (const char *const[]){ path, "1", NULL });
	write_file(path, "dir /nonexistent/folder\nport 0\n");
	expect_refused((const char *const[]){ binary(), path, NULL }, (const char *const[]){ "/nonexistent/folder", NULL });
	write_file(path, "include /nonexistent/other.conf\n");
	expect_refused((const char *const[]){ binary(), path, NULL }, (const char *const[]){ "/nonexistent/other.conf", NULL });
	expect_refused((const char *const[]){ binary(), "--nothing", "1", NULL }, (const char *const[]){ "nothing", NULL });
	expect_refused((const char *const[]){ binary(), "--port", NULL }, (const char *const[]){ "port", NULL });
	expect_refused((const char *const[]){ binary(), "--port", "0", "--logfile", "/nonexistent/x/log", NULL },
	               (const char *const[]){ "/nonexistent/x/log", NULL });
	if (geteuid() != 0) {
		chmod(path, 0);
		expect_refused((const char *const[]){ binary(), path, NULL }, (const char *const[]){ path, NULL });
	}
	unlink(path);
}
END_TEST

START_TEST(binary_configuration)
{
	char path[] = "/tmp/shoal-conf-XXXXXX";
	int fd = mkstemp(path);
	char junk[4096];
	for (size_t i = 0; i < sizeof junk; i++)
		junk[i] = (char)(i * 131 + (i >> 5));
	ck_assert(write(fd, junk, sizeof junk) == (ssize_t)sizeof junk);
	close(fd);
	expect_refused((const char *const[]){ binary(), path, NULL }, (const char *const[]){ path, NULL });
	unlink(path);
}
END_TEST

static int listen_on(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	ck_assert(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 5) == 0);
	return fd;
}

START_TEST(port_in_use)
{
	int lock, port = proc_free_port(&lock), fd = listen_on(port);
	char text[16];
	snprintf(text, sizeof text, "%d", port);
	expect_refused((const char *const[]){ binary(), "--port", text, "--bind", "127.0.0.1", "--save", "", NULL },
	               (const char *const[]){ "Failed listening on port", text, NULL });
	close(fd);
	close(lock);
	/* Held by another server of the same kind. */
	snprintf(text, sizeof text, "%d", server.port);
	expect_refused((const char *const[]){ binary(), "--port", text, "--bind", "127.0.0.1", "--save", "", NULL },
	               (const char *const[]){ "Failed listening on port", text, NULL });
	expect(c, "PING", "+PONG\r\n");
}
END_TEST

START_TEST(kill_and_restart_at_once)
{
	struct proc p, q;
	own_server(&p, NULL);
	for (int round = 0; round < 3; round++) {
		struct resp_client *k[20];
		for (int i = 0; i < 20; i++) {
			k[i] = connect_to(&p);
			expect(k[i], "SET k v", "+OK\r\n");
		}
		char dir[sizeof p.dir];
		snprintf(dir, sizeof dir, "%s", p.dir);
		int lock = p.port_lock;
		p.port_lock = -1;
		p.keep_dir = true;
		proc_kill(&p);
		struct proc_spec spec = { .port = p.port, .dir = dir };
		ck_assert_msg(proc_start(&q, &spec) == 0, "%s", proc_output(&q, false));
		for (int i = 0; i < 20; i++)
			resp_close(k[i]);
		p = q;
		p.port_lock = lock;
	}
	struct resp_client *k = connect_to(&p);
	expect(k, "PING", "+PONG\r\n");
	resp_close(k);
	p.keep_dir = false;
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(no_descriptors_left)
{
	enum { N = 60 };
	struct proc p;
	struct resp_client *k[N];
	own_server(&p, "maxclients 1000\n");
	struct resp_client *first = connect_to(&p);
	expect(first, "PING", "+PONG\r\n");
	/* As many as are open now, and five more. */
	char path[64];
	int open_now = 0;
	for (int fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)p.pid, fd);
		char target[256];
		if (readlink(path, target, sizeof target) > 0)
			open_now = fd + 1;
	}
	struct rlimit r = { (rlim_t)open_now + 5, (rlim_t)open_now + 5 };
	ck_assert_int_eq(prlimit(p.pid, RLIMIT_NOFILE, &r, NULL), 0);
	for (int i = 0; i < N; i++)
		k[i] = connect_to(&p);
	expect(first, "SET k v", "+OK\r\n");
	/* Connections wait that cannot be accepted: that costs no time. */
	long long before = proc_cpu_us(&p);
	struct pollfd silent = { first->fd, POLLIN, 0 };
	ck_assert_int_eq(poll(&silent, 1, 1000), 0);
	long long spent = proc_cpu_us(&p) - before;
	ck_assert_msg(spent < 300000, "%lld us of processor time in an idle second", spent);
	/* Once there are descriptors again, clients are served. */
	for (int i = 0; i < N; i++)
		resp_close(k[i]);
	struct resp_client *late = connect_to(&p);
	expect(late, "GET k", "$1\r\nv\r\n");
	resp_close(late);
	resp_close(first);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(few_descriptors_at_start)
{
	struct proc p;
	/* maxclients follows what the system grants. */
	ck_assert_int_eq(proc_start(&p, &(struct proc_spec){ .config = "maxclients 10000\n", .max_files = 200 }), 0);
	struct resp_client *k = connect_to(&p);
	expect(k, "PING", "+PONG\r\n");
	struct resp_value *v = resp_ask(k, "CONFIG GET maxclients");
	ck_assert(v && v->n == 2);
	long max = strtol(v->elements[1].text, NULL, 10);
	ck_assert_msg(max > 0 && max < 200, "maxclients is %ld", max);
	resp_value_free(v);
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* SAFETY: unix socket race (CVE-2023-45145): see test_net_server.c for the order of calls. */
START_TEST(unix_socket)
{
	struct proc p;
	struct stat st;
	char dir[] = "/tmp/shoal-sock-XXXXXX", config[256], path[64];
	ck_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/s", dir);
	snprintf(config, sizeof config, "unixsocket %s\nunixsocketperm 700\n", path);
	own_server(&p, config);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0700);
	struct resp_client *k = resp_connect_unix(path);
	ck_assert(k != NULL);
	expect(k, "PING", "+PONG\r\n");
	resp_close(k);
	/* A socket left behind by a crash is no obstacle. */
	p.keep_dir = true;
	char old[sizeof p.dir];
	snprintf(old, sizeof old, "%s", p.dir);
	proc_kill(&p);
	own_server(&p, config);
	k = resp_connect_unix(path);
	ck_assert(k != NULL);
	expect(k, "PING", "+PONG\r\n");
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
	unlink(path);
	rmdir(dir);
}
END_TEST

static void stops_with(struct proc *p)
{
	kill(p->pid, SIGTERM);
	ck_assert_msg(proc_wait_exit(p, 10000), "still there after ten seconds");
	ck_assert_int_eq(proc_stop(p), 0);
}

START_TEST(stop_with_half_a_command)
{
	struct proc p;
	own_server(&p, NULL);
	struct resp_client *k = connect_to(&p);
	expect(k, "PING", "+PONG\r\n");
	ck_assert(resp_send_bytes(k, "*2\r\n$4\r\nECHO\r\n$10\r\nabc", 22));
	stops_with(&p);
	ck_assert(resp_read_eof(k));
	resp_close(k);
}
END_TEST

START_TEST(stop_with_a_client_that_never_reads)
{
	struct proc p;
	own_server(&p, NULL);
	struct resp_client *k = connect_to(&p);
	char *value = malloc(1 << 20);
	memset(value, 'v', 1 << 20);
	struct resp_bytes set[3] = { { "SET", 3 }, { "big", 3 }, { value, 1 << 20 } };
	ck_assert(resp_send_argv(k, 3, set));
	expect_reply(k, "+OK\r\n");
	for (int i = 0; i < 64; i++)
		ck_assert(resp_send(k, "GET big"));
	stops_with(&p);
	resp_close(k);
	free(value);
}
END_TEST

START_TEST(shutdown_command)
{
	struct proc p;
	own_server(&p, NULL);
	struct resp_client *k = connect_to(&p);
	expect(k, "SHUTDOWN nonsense", "-ERR syntax error\r\n");
	expect(k, "SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
	ck_assert(resp_send(k, "SHUTDOWN NOSAVE"));
	ck_assert(proc_wait_exit(&p, 10000));
	ck_assert(resp_read_eof(k));
	resp_close(k);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

START_TEST(quit_and_close)
{
	struct resp_client *k = connect_to(&server);
	ck_assert(resp_send_bytes(k, "PING\r\nQUIT\r\nPING\r\n", 18));
	expect_reply(k, "+PONG\r\n");
	expect_reply(k, "+OK\r\n");
	ck_assert(resp_read_eof(k));
	resp_close(k);
}
END_TEST

COMMAND_TESTS("process", lines_that_scripts_wait_for, stopped_at_its_start, version_and_help, wrong_configuration,
              binary_configuration, port_in_use, kill_and_restart_at_once, no_descriptors_left, few_descriptors_at_start, unix_socket, stop_with_half_a_command,
              stop_with_a_client_that_never_reads, shutdown_command, quit_and_close)

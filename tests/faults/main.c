/*
 * shoal-faults: crashes of a server under load, as many as asked for:
 *
 *     shoal-faults kill CYCLES        kill -9 with appendfsync always: nothing acknowledged is lost, no transaction is torn
 *     shoal-faults power CYCLES LIB   the same, and what was not synced is gone (LIB: the preloaded library, forget.c)
 *     shoal-faults slow ROUNDS LIB    a disk that takes for ever: writers wait for room in the journal, and all are answered
 *     shoal-faults everysec CYCLES LIB  appendfsync everysec: nothing acknowledged more than a second before is lost, and as
 *                                     much more as the disk and the machine were late; the same of every other cycle with
 *                                     always, where the file beside the log is gone, too: what another server would find
 *
 * 64 clients write transactions of two keys, one set and one counted, each the next as soon as the last is acknowledged; in
 * half of the cycles a rewrite runs; in a quarter of those of kill and power the disk fails some calls before the crash.
 * SEED is printed and taken from the environment.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/proc.h"
#include "tests/lib/resp_client.h"
#include "tests/lib/rng.h"

#define CLIENTS 64
#define HISTORY 65536
#define GRACE_MS 1000 /* what everysec may lose */

struct writer {
	struct resp_client *conn;
	char answer[64], got[64];
	size_t n;
	bool refused; /* the disk failed: it writes no more in this cycle */
	long sent, acked;
	long first; /* the value of history[0] */
	int64_t *history; /* when each was acknowledged */
};

static struct writer writers[CLIENTS];
static char dir[128], shadow[160], files[160];
static bool failing; /* this cycle's disk fails calls */

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void fail(const char *what)
{
	fprintf(stderr, "shoal-faults: %s; the files are in %s\n", what, dir);
	exit(1);
}

/* ------------------------------------------------------------------ load */

static bool send_next(struct writer *w, int i)
{
	char line[256];
	long v = ++w->sent;
	int n = snprintf(line, sizeof line, "MULTI\r\nSET a%d %ld\r\nINCR b%d\r\nEXEC\r\n", i, v, i);
	snprintf(w->answer, sizeof w->answer, "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n+OK\r\n:%ld\r\n", v);
	w->n = 0;
	return send(w->conn->fd, line, (size_t)n, MSG_NOSIGNAL) == n;
}

static void receive(struct writer *w, int i)
{
	size_t len = strlen(w->answer);
	ssize_t r = recv(w->conn->fd, w->got + w->n, len - w->n, MSG_DONTWAIT);
	w->n += r > 0 ? (size_t)r : 0;
	w->refused = r <= 0 || memcmp(w->got, w->answer, w->n) != 0;
	if (w->refused && !failing)
		fail(r <= 0 ? "a connection was closed under load" : "an answer differs");
	if (w->refused || w->n < len)
		return;
	w->acked = w->sent;
	if (w->acked - w->first < HISTORY)
		w->history[w->acked - w->first] = now_ms();
	send_next(w, i);
}

static void connect_all(int port)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct writer *w = &writers[i];
		w->conn = resp_connect(port);
		if (!w->conn)
			fail("cannot connect");
		w->first = w->acked = w->sent;
		w->history[0] = 0; /* what an earlier cycle left counts as old */
		w->refused = false;
		send_next(w, i);
	}
}

/* A few calls soon after now. */
static void break_disk(struct resp_client *control, struct rng *rng)
{
	char line[96];
	snprintf(line, sizeof line, "DEBUG IO-FAULT %s %u %u %d", rng_below(rng, 2) ? "sync" : "write",
	         (unsigned)rng_below(rng, 60), 1 + (unsigned)rng_below(rng, 3), rng_below(rng, 2) ? EIO : ENOSPC);
	struct resp_value *v = resp_ask(control, line);
	if (!v || v->type != '+') {
		fprintf(stderr, "%s: %s\n", line, v && v->text ? v->text : "no answer");
		fail("calls cannot be made to fail");
	}
	resp_value_free(v);
}

/* Until the time is over, with a rewrite on the way if asked for. */
static void run_load(const struct proc *p, struct rng *rng, int64_t ms, int64_t rewrite_after_ms)
{
	struct pollfd fds[CLIENTS];
	struct resp_client *control = resp_connect(p->port);
	if (failing)
		break_disk(control, rng);
	int64_t start = now_ms();
	for (int64_t left; (left = start + ms - now_ms()) > 0;) {
		if (rewrite_after_ms >= 0 && now_ms() - start >= rewrite_after_ms) {
			resp_send(control, "BGREWRITEAOF");
			rewrite_after_ms = -1;
		}
		for (int i = 0; i < CLIENTS; i++)
			fds[i] = (struct pollfd){ .fd = writers[i].refused ? -1 : writers[i].conn->fd, .events = POLLIN };
		if (poll(fds, CLIENTS, (int)left) <= 0)
			continue;
		for (int i = 0; i < CLIENTS; i++) {
			if (fds[i].revents)
				receive(&writers[i], i);
		}
	}
	resp_close(control);
}

/* ------------------------------------------------------------------ files */

static void empty_dir(const char *path)
{
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));) {
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
}

static void copy_file(const char *from, const char *to)
{
	char buf[65536];
	ssize_t n = 0;
	int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	while (in >= 0 && (n = read(in, buf, sizeof buf)) > 0) {
		if (write(out, buf, (size_t)n) != n)
			fail("cannot copy");
	}
	if (out < 0 || n < 0)
		fail("cannot copy");
	close(out); /* never synced: it is empty */
	if (in >= 0)
		close(in);
}

/* What a power cut leaves, with what is written in place or without. */
static void restore(bool wal)
{
	char path[512], from[512], name[256], line[300];
	unsigned id;
	snprintf(path, sizeof path, "%s/names", shadow);
	FILE *f = fopen(path, "r");
	empty_dir(files);
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, "%u %255s", &id, name) != 2)
			fail("the shadow is damaged");
		if (!wal && strstr(name, ".wal"))
			continue;
		snprintf(from, sizeof from, "%s/file-%u", shadow, id);
		snprintf(path, sizeof path, "%s/%s", files, name);
		copy_file(from, path);
	}
	if (f)
		fclose(f);
	empty_dir(shadow);
}

/* ------------------------------------------------------------------ a cycle */

static void start(struct proc *p, bool always, const char *lib)
{
	char config[256];
	snprintf(config, sizeof config, "appendonly yes\nappendfsync %s\nsave \"\"\nauto-aof-rewrite-percentage 0\n"
	         "enable-debug-command yes\n", always ? "always" : "everysec");
	const struct proc_spec spec = { .config = config, .dir = dir, .loops = 4 };
	if (lib) {
		setenv("FORGET_DIR", files, 1);
		setenv("FORGET_SHADOW", shadow, 1);
		setenv("LD_PRELOAD", lib, 1);
	}
	int r = proc_start(p, &spec);
	unsetenv("LD_PRELOAD");
	if (r)
		fail("the server does not start");
	p->keep_dir = true;
}

static long value(struct resp_client *c, char key, int i)
{
	char line[32];
	snprintf(line, sizeof line, "GET %c%d", key, i);
	struct resp_value *v = resp_ask(c, line);
	if (!v || v->type == '-')
		fail("a key cannot be read");
	long n = v->null ? 0 : strtol(v->text, NULL, 10);
	resp_value_free(v);
	return n;
}

static void verify(const struct proc *p, bool everysec, int64_t safe_ms)
{
	struct resp_client *c = resp_connect(p->port);
	for (int i = 0; i < CLIENTS; i++) {
		struct writer *w = &writers[i];
		long a = value(c, 'a', i), b = value(c, 'b', i), must = w->acked;
		while (everysec && must > w->first && (must - w->first >= HISTORY || w->history[must - w->first] > safe_ms))
			must--;
		if (a != b)
			fail("a transaction is torn, or was carried out twice");
		if (a < must || a > w->sent) {
			fprintf(stderr, "client %d: %ld acknowledged (%ld long enough ago), %ld found, %ld sent\n", i, w->acked, must, a,
			        w->sent);
			fail("an acknowledged write is lost");
		}
		w->sent = a; /* the next cycle goes on from what there is */
	}
	resp_close(c);
}

/* A write that just missed a sync waits for the end of that one and for its own. */
static int64_t late_ms(void)
{
	char path[200];
	long long sync_ms = 0, gap_ms = 0;
	snprintf(path, sizeof path, "%s/late", shadow);
	FILE *f = fopen(path, "r");
	if (!f || fscanf(f, "%lld %lld", &sync_ms, &gap_ms) != 2)
		fail("the shadow does not tell how late the disk was");
	fclose(f);
	return 2 * (sync_ms + gap_ms);
}

static void cycle(struct proc *p, struct rng *rng, bool everysec, bool next_always, const char *lib)
{
	int64_t ms = everysec ? 1200 + (int64_t)rng_below(rng, 800) : 5 + (int64_t)rng_below(rng, 120);
	failing = !everysec && rng_below(rng, 4) == 0;
	ms += failing ? (int64_t)rng_below(rng, 300) : 0; /* before, while and after the server recovers */
	connect_all(p->port);
	run_load(p, rng, ms, rng_below(rng, 2) ? (int64_t)rng_below(rng, (uint64_t)ms) : -1);
	int64_t safe_ms = now_ms() - GRACE_MS;
	proc_kill(p);
	for (int i = 0; i < CLIENTS; i++)
		resp_close(writers[i].conn);
	if (lib) {
		safe_ms -= late_ms();
		restore(!everysec);
	}
	start(p, next_always, lib);
	verify(p, everysec, safe_ms);
}

/* ------------------------------------------------------------------ a slow disk */

#define SLOW_CLIENTS 4
#define SLOW_COMMANDS 600000 /* of each client: together more than the journal takes */
#define HANG_MS 300000

/* How often writers had to wait for the disk. */
static long parked(struct resp_client *c)
{
	struct resp_value *info = resp_ask(c, "INFO persistence");
	const char *at = info ? strstr(info->text, "journal_parked:") : NULL;
	if (!at)
		fail("the server does not tell who waits for the disk");
	long n = strtol(at + strlen("journal_parked:"), NULL, 10);
	resp_value_free(info);
	return n;
}

static void release_disk(void)
{
	char path[200];
	snprintf(path, sizeof path, "%s/hold", shadow);
	unlink(path);
}

static void hold_disk(void)
{
	char path[200];
	snprintf(path, sizeof path, "%s/hold", shadow);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0)
		fail("cannot hold the disk");
	close(fd);
}

/* Each client sends all it has without waiting, and must get every answer, in order. */
static void flood(const struct proc *p, int round)
{
	static const char command[] = "*2\r\n$4\r\nINCR\r\n$2\r\nn0\r\n";
	struct { struct resp_client *c; long sent, got; size_t part; } v[SLOW_CLIENTS] = { { 0 } };
	struct pollfd fds[SLOW_CLIENTS];
	size_t one = sizeof command - 1, batch = 1000 * one;
	char *bytes = malloc(batch * SLOW_CLIENTS), *in = malloc(65536);
	int open_clients = SLOW_CLIENTS;
	struct resp_client *control = resp_connect(p->port);
	int64_t moved_ms = now_ms();
	long parked_before = parked(control);
	bool held = true;
	for (int i = 0; i < SLOW_CLIENTS; i++) {
		v[i].c = resp_connect(p->port);
		for (size_t k = 0; k < 1000; k++) {
			memcpy(bytes + (size_t)i * batch + k * one, command, one);
			bytes[(size_t)i * batch + k * one + one - 3] = (char)('0' + i);
		}
	}
	while (open_clients) {
		for (int i = 0; i < SLOW_CLIENTS; i++)
			fds[i] = (struct pollfd){ v[i].got < SLOW_COMMANDS ? v[i].c->fd : -1,
				                  (short)(POLLIN | (v[i].sent < SLOW_COMMANDS ? POLLOUT : 0)), 0 };
		int ready = poll(fds, SLOW_CLIENTS, 100);
		moved_ms = ready > 0 ? now_ms() : moved_ms;
		if (now_ms() - moved_ms > HANG_MS)
			fail("no answers");
		if (held && ready <= 0 && parked(control) > parked_before) {
			release_disk();
			held = false;
		}
		for (int i = 0; i < SLOW_CLIENTS; i++) {
			ssize_t n;
			if (fds[i].revents & POLLOUT) {
				n = send(v[i].c->fd, bytes + (size_t)i * batch + v[i].part, batch - v[i].part, MSG_DONTWAIT | MSG_NOSIGNAL);
				v[i].part += n > 0 ? (size_t)n : 0;
				v[i].sent += v[i].part == batch ? 1000 : 0;
				v[i].part %= batch;
			}
			if (fds[i].revents & ~POLLOUT) {
				n = recv(v[i].c->fd, in, 65536, MSG_DONTWAIT);
				if (n <= 0)
					fail("a connection was closed under load");
				for (ssize_t k = 0; k < n; k++)
					v[i].got += in[k] == '\n';
				open_clients -= v[i].got == SLOW_COMMANDS;
			}
		}
	}
	for (int i = 0; i < SLOW_CLIENTS; i++) {
		if (value(v[i].c, 'n', i) != (long)SLOW_COMMANDS * (round + 1))
			fail("a write is missing");
		resp_close(v[i].c);
	}
	if (held)
		fail("nobody had to wait for a disk that was held");
	resp_close(control);
	free(bytes);
	free(in);
}

static void slow_disk(struct proc *p, long rounds)
{
	for (int i = 0; i < rounds; i++) {
		hold_disk();
		flood(p, i);
	}
}

static void make_dirs(void)
{
	snprintf(dir, sizeof dir, "/tmp/shoal-faults-XXXXXX");
	if (!mkdtemp(dir))
		fail("no directory");
	snprintf(shadow, sizeof shadow, "%s-shadow", dir);
	snprintf(files, sizeof files, "%s/appendonlydir", dir);
	if (mkdir(shadow, 0755) || mkdir(files, 0755))
		fail("no directory");
}

static void remove_dirs(void)
{
	empty_dir(files);
	rmdir(files);
	empty_dir(dir);
	rmdir(dir);
	empty_dir(shadow);
	rmdir(shadow);
}

int main(int argc, char **argv)
{
	bool kill_only = argc == 3 && !strcmp(argv[1], "kill"), everysec = argc == 4 && !strcmp(argv[1], "everysec");
	bool slow = argc == 4 && !strcmp(argv[1], "slow");
	bool power = everysec || slow || (argc == 4 && !strcmp(argv[1], "power"));
	if (!kill_only && !power) {
		fprintf(stderr, "usage: shoal-faults kill CYCLES | power|everysec|slow CYCLES LIB\n");
		return 2;
	}
	struct rng rng;
	struct proc p;
	const char *lib = power ? argv[3] : NULL;
	long cycles = strtol(argv[2], NULL, 10);
	char absolute[4096];
	if (lib && !realpath(lib, absolute))
		fail("no such library");
	rng_init(&rng, argv[1]);
	make_dirs();
	for (int i = 0; i < CLIENTS; i++)
		writers[i].history = calloc(HISTORY, sizeof *writers[i].history);
	if (slow)
		setenv("FORGET_HOLD", "1", 1);
	start(&p, !everysec && !slow, lib ? absolute : NULL);
	if (slow)
		slow_disk(&p, cycles);
	for (long i = 0; i < cycles && !slow; i++)
		cycle(&p, &rng, everysec, !everysec || i % 2 == 0, lib ? absolute : NULL);
	proc_kill(&p);
	remove_dirs();
	printf("faults, %s: %ld passed, 0 failed\n", argv[1], cycles);
	return 0;
}

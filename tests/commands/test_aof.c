/*
 * The append-only log of a running server: restarts, crashes, failing disks, rewriting, switching on and off, damage, and
 * the exchange of files with the server to compare with.
 */
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/expect.h"
#include "tests/lib/rng.h"

#define BASIC "appendonly yes\nenable-debug-command yes\nsave \"\"\n"

/* Start in the directory of p (NULL: a new one) and connect; the directory stays at the end. */
static struct resp_client *start_in(struct proc *p, const char *dir, const char *config, bool oracle)
{
	char keep[sizeof p->dir] = "";
	if (dir)
		snprintf(keep, sizeof keep, "%s", dir);
	const struct proc_spec spec = { .config = config, .dir = dir ? keep : NULL, .oracle = oracle,
		                        .loops = oracle ? 1 : 0 };
	if (proc_start(p, &spec)) {
		char *log = proc_output(p, false);
		ck_abort_msg("the server did not start:\n%s", log);
	}
	p->keep_dir = true;
	struct resp_client *o = connect_to(p);
	ck_assert_ptr_nonnull(o);
	return o;
}

static void stop(struct proc *p, struct resp_client *o, bool keep)
{
	resp_close(o);
	p->keep_dir = keep;
	ck_assert_int_eq(proc_stop(p), 0);
}

static void crash(struct proc *p, struct resp_client *o)
{
	resp_close(o);
	p->keep_dir = true;
	proc_kill(p);
}

static void last(struct proc *p)
{
	p->keep_dir = false;
	proc_clean(p);
}

static char *digest(struct resp_client *o)
{
	struct resp_value *v = resp_ask(o, "DEBUG DIGEST");
	ck_assert(v && v->type == '+');
	char *text = strdup(v->text);
	resp_value_free(v);
	return text;
}

static void wait_for(struct resp_client *o, const char *name, int64_t value)
{
	for (int i = 0; i < 2000 * proc_time_factor(); i++) {
		if (info_int(o, "persistence", name) == value)
			return;
		usleep(5000); /* a field of INFO: nothing tells of its change */
	}
	ck_abort_msg("%s did not become %lld", name, (long long)value);
}

static void wait_for_text(struct resp_client *o, const char *text)
{
	for (int i = 0; i < 2000 * proc_time_factor(); i++) {
		struct resp_value *v = resp_ask(o, "INFO persistence");
		bool there = v && strstr(v->text, text);
		resp_value_free(v);
		if (there)
			return;
		usleep(5000);
	}
	ck_abort_msg("INFO did not say %s", text);
}

static void wait_until_writable(struct resp_client *o, bool writable)
{
	for (int i = 0; i < 2000 * proc_time_factor(); i++) {
		struct resp_value *v = resp_ask(o, "SET b 2");
		bool ok = v && v->type == '+';
		resp_value_free(v);
		if (ok == writable)
			return;
		usleep(5000);
	}
	ck_abort_msg("writes are %s", writable ? "still refused" : "still answered");
}

static void rewrite(struct resp_client *o)
{
	int64_t before = info_int(o, "persistence", "aof_rewrites");
	expect(o, "BGREWRITEAOF", "+Background append only file rewriting started\r\n");
	wait_for(o, "aof_rewrites", before + 1);
	wait_for_text(o, "aof_last_bgrewrite_status:ok");
}

/* Data of every type and encoding. */
static void fill(struct resp_client *o, int round)
{
	static const char *const lines[] = {
		"SET s%d text", "SET i%d 12345", "APPEND s%d more", "INCRBYFLOAT f%d 0.1", "RPUSH l%d a b c", "LPOP l%d",
		"HSET h%d f v g w", "HINCRBY h%d n 5", "SADD u%d 1 2 3", "SADD m%d x y z", "SPOP m%d", "ZADD z%d 1 a 2.5 b",
		"ZINCRBY z%d 0.25 a", "EXPIRE s%d 10000", "SET p%d v PX 9999999", "GEOADD g%d 13.36 38.11 place",
		"SETRANGE r%d 40000 end", "COPY l%d c%d", "XADD x%d * f v", "XADD x%d 99999999999999-1 g w",
		"XADD x%d 99999999999999-5 g w", "XDEL x%d 99999999999999-1", "XGROUP CREATE x%d group 0 ENTRIESREAD 1",
		"XREADGROUP GROUP group reader COUNT 1 STREAMS x%d >", "XADD e%d 5-1 a b", "XDEL e%d 5-1", NULL,
	};
	char line[128];
	for (int i = 0; lines[i]; i++) {
		snprintf(line, sizeof line, lines[i], round, round);
		expect_any(o, line);
	}
	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof line, "RPUSH long%d element-%d-of-a-list-with-more-than-one-node", round, i);
		expect_any(o, line);
		snprintf(line, sizeof line, "ZADD big%d %d.5 member-%d", round, i, i);
		expect_any(o, line);
		snprintf(line, sizeof line, "HSET wide%d field-%d %d", round, i, i);
		expect_any(o, line);
	}
	snprintf(line, sizeof line, "SELECT %d", round % 3);
	expect(o, line, "+OK\r\n");
	expect(o, "MULTI", "+OK\r\n");
	expect_any(o, "SET t1 a");
	expect_any(o, "SELECT 5");
	expect_any(o, "INCR t2");
	expect_any(o, "EXEC");
	expect(o, "SELECT 0", "+OK\r\n");
}

/* ------------------------------------------------------------------ restarts */

static void restart_with(const char *config)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, config, false);
	fill(o, 1);
	rewrite(o);
	fill(o, 2);
	char *before = digest(o);
	stop(&p, o, true);
	o = start_in(&p, p.dir, config, false);
	char *after = digest(o);
	ck_assert_str_eq(before, after);
	expect(o, "DEBUG LOADAOF", "+OK\r\n");
	free(after);
	after = digest(o);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	fill(o, 3);
	before = digest(o);
	crash(&p, o);
	o = start_in(&p, p.dir, config, false);
	if (strstr(config, "always")) {
		after = digest(o);
		ck_assert_str_eq(before, after);
		free(after);
	}
	free(before);
	stop(&p, o, false);
}

START_TEST(restart)
{
	static const char *const configs[] = {
		BASIC "appendfsync always\n", BASIC, BASIC "appendfsync no\naof-timestamp-enabled yes\n",
	};
	for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
		restart_with(configs[i]);
}
END_TEST

START_TEST(base_of_commands)
{
	restart_with(BASIC "appendfsync always\naof-use-rdb-preamble no\n");
}
END_TEST

/* ------------------------------------------------------------------ kill -9 */

#define CLIENTS 16

struct load {
	struct resp_client *conn[CLIENTS];
	int acked[CLIENTS], sent[CLIENTS];
};

/* Rounds of one transaction per client until `acks` answers came; then, with some in flight, the server is killed. */
static void load_and_kill(struct proc *p, struct load *l, struct rng *rng, int *round)
{
	uint64_t acks = 1 + rng_below(rng, 400);
	char line[128];
	for (int i = 0; i < CLIENTS; i++)
		l->conn[i] = connect_to(p);
	if (rng_below(rng, 2))
		resp_send(l->conn[0], "BGREWRITEAOF");
	else
		resp_send(l->conn[0], "TIME");
	ck_assert(resp_read(l->conn[0], &(struct resp_bytes){ 0 }));
	for (;; ++*round) {
		for (int i = 0; i < CLIENTS; i++) {
			snprintf(line, sizeof line, "MULTI\nSET a%d %d\nINCRBY b%d 1\nSET c%d %d\nEXEC\n", i, *round, i, i, *round);
			ck_assert(resp_send_bytes(l->conn[i], line, strlen(line)));
			l->sent[i] = *round;
		}
		for (int i = 0; i < CLIENTS; i++) {
			struct resp_bytes b;
			for (int k = 0; k < 5; k++)
				ck_assert(resp_read(l->conn[i], &b));
			ck_assert_int_eq(b.ptr[0], '*');
			l->acked[i] = *round;
			if (!--acks)
				return;
		}
	}
}

static int number(const struct resp_value *v)
{
	return v->null ? 0 : (int)strtol(v->text, NULL, 10);
}

/* What was acknowledged is there, and a transaction is there whole or not at all. */
START_TEST(kill_loses_nothing_acknowledged)
{
	static const char config[] = BASIC "appendfsync always\nauto-aof-rewrite-percentage 0\n";
	struct proc p;
	struct load l = { .acked = { 0 } };
	struct rng rng;
	int round = 1;
	rng_init(&rng, "kill");
	struct resp_client *o = start_in(&p, NULL, config, false);
	for (int cycle = 0; cycle < 6; cycle++) {
		load_and_kill(&p, &l, &rng, &round);
		crash(&p, o);
		o = start_in(&p, p.dir, config, false);
		for (int i = 0; i < CLIENTS; i++) {
			char line[32];
			resp_close(l.conn[i]);
			snprintf(line, sizeof line, "MGET a%d c%d", i, i);
			struct resp_value *v = resp_ask(o, line);
			ck_assert(v && v->n == 2);
			int a = number(&v->elements[0]), b = number(&v->elements[1]);
			ck_assert_msg(a >= l.acked[i], "client %d: acknowledged %d, found %d", i, l.acked[i], a);
			ck_assert_int_eq(a, b);
			ck_assert_int_le(a, l.sent[i]);
			resp_value_free(v);
		}
		round++;
	}
	stop(&p, o, false);
}
END_TEST

/* ------------------------------------------------------------------ the other server */

START_TEST(exchange)
{
	static const char ours[] = BASIC "appendfsync always\n", theirs[] = BASIC;
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, ours, false);
	fill(o, 1);
	rewrite(o);
	fill(o, 2);
	stop(&p, o, true);
	o = start_in(&p, p.dir, theirs, true);
	expect_bulk(o, "GET s1", "textmore");
	expect_int(o, "LLEN long2", 200);
	expect_int(o, "ZCARD big1", 200);
	expect_int(o, "XLEN x2", 2);
	fill(o, 4);
	char *before = digest(o);
	stop(&p, o, true);
	o = start_in(&p, p.dir, ours, false);
	char *after = digest(o);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	fill(o, 5); /* into a file of its own: no checksum follows a record without */
	rewrite(o);
	fill(o, 6);
	before = digest(o);
	stop(&p, o, true);
	o = start_in(&p, p.dir, theirs, true);
	after = digest(o);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	stop(&p, o, false);
}
END_TEST

/* Names with blanks and quotes stand in quotes in the manifest. */
START_TEST(strange_names)
{
	static const char config[] = BASIC "appendfilename \"my \\\"log\\\".aof\"\nappenddirname \"the dir\"\n";
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, config, false);
	expect(o, "SET a 1", "+OK\r\n");
	rewrite(o);
	expect(o, "SET b 2", "+OK\r\n");
	stop(&p, o, true);
	o = start_in(&p, p.dir, config, true);
	expect(o, "MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	stop(&p, o, true);
	o = start_in(&p, p.dir, config, false);
	expect(o, "MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	stop(&p, o, false);
}
END_TEST

/* ------------------------------------------------------------------ files */

/* The path of the one file in appendonlydir whose name holds the text. */
static void find(const struct proc *p, const char *text, char *path, size_t size)
{
	char dir[256];
	snprintf(dir, sizeof dir, "%s/appendonlydir", p->dir);
	DIR *d = opendir(dir);
	ck_assert_ptr_nonnull(d);
	*path = 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (strstr(e->d_name, text))
			snprintf(path, size, "%s/%s", dir, e->d_name);
	}
	closedir(d);
	ck_assert_msg(*path, "no file %s", text);
}

static off_t size_of(const char *path)
{
	struct stat st;
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_size;
}

static void refuses(struct proc *p, const char *config, const char *why)
{
	char dir[sizeof p->dir];
	snprintf(dir, sizeof dir, "%s", p->dir);
	const struct proc_spec spec = { .config = config, .dir = dir };
	ck_assert_int_eq(proc_start(p, &spec), -1);
	char *log = proc_output(p, false);
	ck_assert_msg(strstr(log, why) != NULL, "the log does not say '%s':\n%s", why, log);
	free(log);
	p->keep_dir = true;
	proc_clean(p);
}

static int check_aof(const char *path, const char *option, const char *says)
{
	struct proc p;
	const char *binary = getenv("SHOAL_SERVER");
	const char *const argv[] = { binary ? binary : "build/shoal-server", "--check-aof", path, option, NULL };
	int status = proc_run(&p, argv);
	char *out = proc_output(&p, false);
	ck_assert_msg(strstr(out, says) != NULL, "%s", out);
	free(out);
	proc_clean(&p);
	return status;
}

START_TEST(torn_tail)
{
	struct proc p;
	char path[512];
	struct resp_client *o = start_in(&p, NULL, BASIC, false);
	expect(o, "SET a 1", "+OK\r\n");
	expect(o, "SET b 2", "+OK\r\n");
	stop(&p, o, true);
	find(&p, "incr", path, sizeof path);
	off_t size = size_of(path);
	ck_assert_int_eq(truncate(path, size - 3), 0);
	refuses(&p, BASIC "aof-load-truncated no\n", "Unexpected end of file");
	ck_assert_int_eq(check_aof(path, NULL, "ends in the middle"), 1);
	o = start_in(&p, p.dir, BASIC, false);
	expect_bulk(o, "GET a", "1");
	expect(o, "GET b", "$-1\r\n");
	expect(o, "SET c 3", "+OK\r\n");
	stop(&p, o, true);
	ck_assert_int_eq(check_aof(path, NULL, "are sound"), 0);
	find(&p, "manifest", path, sizeof path);
	ck_assert_int_eq(check_aof(path, NULL, "The log is sound: 2 files."), 0);
	o = start_in(&p, p.dir, BASIC, false);
	expect_bulk(o, "GET c", "3");
	stop(&p, o, false);
}
END_TEST

START_TEST(flipped_bit)
{
	struct proc p;
	char path[512], kept[600], byte;
	struct stat st;
	struct resp_client *o = start_in(&p, NULL, BASIC, false);
	expect(o, "SET a 1", "+OK\r\n");
	expect(o, "SET b 2", "+OK\r\n");
	expect(o, "SET c 3", "+OK\r\n");
	stop(&p, o, true);
	find(&p, "incr", path, sizeof path);
	off_t size = size_of(path);
	int fd = open(path, O_RDWR);
	ck_assert(pread(fd, &byte, 1, size * 2 / 3) == 1);
	byte ^= 1;
	ck_assert(pwrite(fd, &byte, 1, size * 2 / 3) == 1);
	close(fd);
	refuses(&p, BASIC, "at offset ");
	ck_assert_int_eq(check_aof(path, NULL, "1 more records with sound checksums follow"), 1);
	ck_assert_int_eq(size_of(path), size);
	bool root = geteuid() == 0; /* who repairs is not who runs the server */
	ck_assert(chmod(path, 0640) == 0 && (!root || chown(path, 1, 2) == 0));
	ck_assert_int_eq(check_aof(path, "--repair", "the old file is kept as"), 0);
	ck_assert(stat(path, &st) == 0 && (st.st_mode & 07777) == 0640 && (!root || (st.st_uid == 1 && st.st_gid == 2)));
	snprintf(kept, sizeof kept, "%s.damaged", path);
	ck_assert_int_eq(size_of(kept), size);
	o = start_in(&p, p.dir, BASIC, false);
	expect_bulk(o, "GET a", "1");
	expect(o, "GET c", "$-1\r\n");
	stop(&p, o, false);
}
END_TEST

/* A log of one file, as servers before version 7 wrote it. */
START_TEST(old_single_file)
{
	static const char old[] = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n$5\r\nMULTI\r\n"
	                          "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n2\r\n";
	struct proc p;
	char path[512];
	struct resp_client *o = start_in(&p, NULL, "save \"\"\n", false);
	stop(&p, o, true);
	snprintf(path, sizeof path, "%s/appendonly.aof", p.dir);
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	ck_assert(write(fd, old, sizeof old - 1) == sizeof old - 1);
	close(fd);
	o = start_in(&p, p.dir, BASIC, false);
	expect_bulk(o, "GET a", "1");
	expect(o, "GET b", "$-1\r\n"); /* of a transaction that never ended */
	expect(o, "SET d 4", "+OK\r\n");
	ck_assert_int_ne(access(path, F_OK), 0);
	stop(&p, o, true);
	o = start_in(&p, p.dir, BASIC, false);
	expect_bulk(o, "GET a", "1");
	expect_bulk(o, "GET d", "4");
	stop(&p, o, false);
}
END_TEST

/* Commands of every class of execution, and scripts, in a log of another server's. */
START_TEST(all_classes)
{
	static const char *const lines[][6] = {
		{ "SELECT", "0" }, { "EVAL", "return redis.call('set',KEYS[1],ARGV[1])", "1", "gone", "v" }, { "FLUSHDB" },
		{ "MULTI" }, { "EVAL", "redis.call('incr','n') return redis.call('incr','n')", "0" }, { "SET", "b", "1" }, { "EXEC" },
		{ "RPUSH", "l", "3", "1", "2" }, { "SORT", "l", "BY", "w_*", "STORE" }, { "MSET", "x", "1", "y", "2" },
		{ "SWAPDB", "0", "1" }, { "EVAL", "return redis.call('set',KEYS[1],ARGV[1])", "1", "k1", "v" },
	};
	static const char manifest[] = "file appendonly.aof.1.incr.aof seq 1 type i\n";
	struct proc p;
	char path[512];
	struct resp_client *o = start_in(&p, NULL, "save \"\"\n", false);
	stop(&p, o, true);
	snprintf(path, sizeof path, "%s/appendonlydir", p.dir);
	ck_assert_int_eq(mkdir(path, 0755), 0);
	snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.manifest", p.dir);
	int fd = open(path, O_CREAT | O_WRONLY, 0644);
	ck_assert(write(fd, manifest, sizeof manifest - 1) == sizeof manifest - 1);
	close(fd);
	snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.1.incr.aof", p.dir);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		int n = 0;
		while (n < 6 && lines[i][n])
			n++;
		dprintf(fd, "*%d\r\n", n);
		for (int k = 0; k < n; k++)
			dprintf(fd, "$%zu\r\n%s\r\n", strlen(lines[i][k]), lines[i][k]);
	}
	close(fd);
	o = start_in(&p, p.dir, BASIC, false);
	expect(o, "KEYS *", "*1\r\n$2\r\nk1\r\n");
	expect(o, "SELECT 1", "+OK\r\n");
	expect(o, "MGET n b x gone", "*4\r\n$1\r\n2\r\n$1\r\n1\r\n$1\r\n1\r\n$-1\r\n");
	stop(&p, o, false);
}
END_TEST

START_TEST(empty_log_beside_a_dump)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, "save \"\"\n", false);
	expect(o, "SET a 1", "+OK\r\n");
	expect(o, "SAVE", "+OK\r\n");
	stop(&p, o, true);
	refuses(&p, BASIC, "keys that would be lost");
	last(&p);
}
END_TEST

/* ------------------------------------------------------------------ switching */

START_TEST(switching)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, "enable-debug-command yes\nsave \"\"\n", false);
	fill(o, 1);
	expect(o, "CONFIG SET appendonly yes", "+OK\r\n");
	expect(o, "SET later 1", "+OK\r\n");
	wait_for(o, "aof_rewrites", 1);
	wait_for_text(o, "aof_last_bgrewrite_status:ok");
	ck_assert_int_eq(info_int(o, "persistence", "aof_enabled"), 1);
	expect(o, "CONFIG SET appendfsync always", "+OK\r\n");
	fill(o, 2);
	char *before = digest(o);
	crash(&p, o);
	o = start_in(&p, p.dir, BASIC, false);
	char *after = digest(o);
	ck_assert_str_eq(before, after);
	free(before);
	free(after);
	expect(o, "CONFIG SET appendonly no", "+OK\r\n");
	ck_assert_int_eq(info_int(o, "persistence", "aof_enabled"), 0);
	expect(o, "SET unlogged 1", "+OK\r\n");
	expect(o, "BGREWRITEAOF", "+Background append only file rewriting started\r\n");
	wait_for(o, "aof_rewrite_in_progress", 0);
	expect(o, "SET lost 1", "+OK\r\n");
	crash(&p, o);
	o = start_in(&p, p.dir, BASIC, false);
	expect_int(o, "EXISTS unlogged", 1);
	expect_int(o, "EXISTS lost", 0);
	stop(&p, o, false);
}
END_TEST

START_TEST(rewrites_by_itself)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, BASIC "auto-aof-rewrite-min-size 4kb\n", false);
	for (int i = 0; i < 300; i++)
		expect(o, "SET key the-same-value-again-and-again", "+OK\r\n");
	for (int i = 0; i < 1000 * proc_time_factor() && info_int(o, "persistence", "aof_rewrites") < 1; i++)
		usleep(5000);
	ck_assert_int_ge(info_int(o, "persistence", "aof_rewrites"), 1);
	stop(&p, o, false);
}
END_TEST

/* While the log is read, whoever asks for keys is told so; the log is not switched on twice. */
START_TEST(loading)
{
	struct proc p;
	char dir[sizeof p.dir];
	struct resp_client *o = start_in(&p, NULL, BASIC, false);
	for (int i = 0; i < 300; i++)
		expect_int(o, "INCR n", i + 1);
	stop(&p, o, true);
	snprintf(dir, sizeof dir, "%s", p.dir);
	const struct proc_spec slow = { .config = BASIC "key-load-delay 100000\n", .dir = dir,
		                        .ready = "Loading the append-only log" };
	ck_assert_int_eq(proc_start(&p, &slow), 0);
	o = connect_to(&p);
	expect(o, "GET n", "-LOADING Redis is loading the dataset in memory\r\n");
	expect(o, "BGREWRITEAOF", "-LOADING Redis is loading the dataset in memory\r\n");
	ck_assert_int_eq(info_int(o, "persistence", "loading"), 1);
	while (info_int(o, "persistence", "loading_total_bytes") <= 5000)
		ck_assert_int_eq(info_int(o, "persistence", "loading"), 1); /* the files are still being looked up */
	expect(o, "CONFIG SET appendonly no", "+OK\r\n");
	expect_prefix(o, "CONFIG SET appendonly yes", "-ERR");
	/* alone commands get their turn between two records */
	expect_any(o, "CLIENT LIST");
	resp_send(o, "SHUTDOWN NOSAVE");
	ck_assert(proc_wait_exit(&p, 4000));
	p.keep_dir = true;
	stop(&p, o, true);
	o = start_in(&p, dir, BASIC, false);
	expect_bulk(o, "GET n", "300");
	stop(&p, o, false);
}
END_TEST

/* ------------------------------------------------------------------ failing disks */

static void fails_and_recovers(const char *policy, const char *call)
{
	char config[256], line[128];
	struct proc p;
	snprintf(config, sizeof config, BASIC "appendfsync %s\n", policy);
	struct resp_client *o = start_in(&p, NULL, config, false), *w = connect_to(&p);
	expect(o, "SET a 0", "+OK\r\n");
	expect(o, "SET a 1", "+OK\r\n"); /* under always acknowledged by the file that is written in place */
	expect_prefix(o, "WAITAOF 1 0 0", "*2\r\n:1"); /* what fails is not this one */
	snprintf(line, sizeof line, "DEBUG IO-FAULT %s 0 1000000 28", call);
	expect(o, line, "+OK\r\n");
	resp_send(w, "APPEND b 2"); /* what is written again must not be there twice */
	if (!strcmp(policy, "always"))
		ck_assert(resp_read_eof(w)); /* no answer: nobody knows */
	else
		expect_reply(w, ":1\r\n");
	resp_close(w);
	wait_for_text(o, "aof_last_write_status:err");
	expect_prefix(o, "SET c 3", "-MISCONF Errors writing to the AOF file: No space left on device");
	expect_bulk(o, "GET a", "1");
	snprintf(line, sizeof line, "DEBUG IO-FAULT %s 0 0 0", call);
	expect(o, line, "+OK\r\n");
	wait_for_text(o, "aof_last_write_status:ok");
	expect(o, "SET d 4", "+OK\r\n");
	expect(o, "INCR n", ":1\r\n");
	stop(&p, o, true);
	o = start_in(&p, p.dir, config, false);
	expect(o, "MGET a b c d n", "*5\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n4\r\n$1\r\n1\r\n");
	stop(&p, o, false);
}

START_TEST(write_fails)
{
	fails_and_recovers("always", "write");
	fails_and_recovers("everysec", "write");
}
END_TEST

START_TEST(sync_fails)
{
	fails_and_recovers("always", "sync");
	fails_and_recovers("everysec", "sync");
}
END_TEST

/* The file that is written in place under appendfsync always is there as long as clients wait for the disk. */
static void wait_for_wal(const struct proc *p, bool wanted)
{
	char path[512];
	snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.wal", p->dir);
	for (int i = 0; i < 2000 * proc_time_factor(); i++) {
		if ((access(path, F_OK) == 0) == wanted)
			return;
		usleep(5000);
	}
	ck_abort_msg("%s is %s", path, wanted ? "missing" : "still there");
}

START_TEST(written_in_place)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, BASIC "appendfsync always\n", false);
	for (int i = 1; i <= 20; i++)
		expect_int(o, "INCR n", i);
	wait_for_wal(&p, true);
	expect(o, "CONFIG SET appendfsync everysec", "+OK\r\n");
	expect_int(o, "INCR n", 21);
	wait_for_wal(&p, false);
	expect(o, "CONFIG SET appendfsync always", "+OK\r\n");
	expect_int(o, "INCR n", 22);
	wait_for_wal(&p, true);
	expect(o, "CONFIG SET aof-wal no", "+OK\r\n");
	expect_int(o, "INCR n", 23);
	wait_for_wal(&p, false);
	expect(o, "CONFIG SET aof-wal yes", "+OK\r\n");
	for (int i = 24; i <= 40; i++)
		expect_int(o, "INCR n", i);
	wait_for_wal(&p, true);
	crash(&p, o);
	wait_for_wal(&p, true);
	char manifest[512];
	find(&p, "manifest", manifest, sizeof manifest);
	ck_assert_int_eq(check_aof(manifest, NULL, "appendonly.aof.wal: also holds what was acknowledged last"), 0);
	o = start_in(&p, p.dir, BASIC "appendfsync always\n", false);
	expect_int(o, "INCR n", 41);
	wait_for_wal(&p, true);
	stop(&p, o, true);
	wait_for_wal(&p, false);
	last(&p);
}
END_TEST

/* The log itself is synced soon after, too, also when nothing more is written: told by a sync that fails. */
START_TEST(written_in_place_not_for_long)
{
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, BASIC "appendfsync always\n", false);
	expect(o, "SET a 0", "+OK\r\n");
	expect(o, "SET a 1", "+OK\r\n"); /* the first one made the file, the second one is only there */
	expect(o, "DEBUG IO-FAULT sync 0 1 5", "+OK\r\n");
	ck_assert(proc_wait_log(&p, "Error syncing the append-only log", 10000));
	wait_for_text(o, "aof_last_write_status:ok");
	expect(o, "SET b 2", "+OK\r\n");
	stop(&p, o, true);
	o = start_in(&p, p.dir, BASIC "appendfsync always\n", false);
	expect(o, "MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	stop(&p, o, false);
}
END_TEST

/* Somebody removes the directory: a new log is begun. */
START_TEST(vanished_directory)
{
	struct proc p;
	char from[256], to[256];
	struct resp_client *o = start_in(&p, NULL, BASIC "appendfsync always\n", false);
	expect(o, "SET a 1", "+OK\r\n");
	/* At once: who removes file by file may meet those of the new log. */
	snprintf(from, sizeof from, "%s/appendonlydir", p.dir);
	snprintf(to, sizeof to, "%s/gone", p.dir);
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert(proc_wait_log(&p, "its files have vanished", 5000));
	wait_for(o, "aof_rewrites", 1);
	wait_for_text(o, "aof_last_bgrewrite_status:ok");
	wait_for_text(o, "aof_last_write_status:ok");
	expect(o, "SET b 2", "+OK\r\n");
	crash(&p, o);
	o = start_in(&p, p.dir, BASIC, false);
	expect(o, "MGET a b", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	stop(&p, o, false);
}
END_TEST

/* And it cannot be begun at once: writes are refused, until it can, or nobody wants it. */
START_TEST(vanished_for_longer)
{
	struct proc p;
	char from[256], to[256];
	for (int off = 0; off < 2; off++) {
		struct resp_client *o = start_in(&p, NULL, BASIC, false);
		expect(o, "SET a 1", "+OK\r\n");
		snprintf(from, sizeof from, "%s/appendonlydir", p.dir);
		snprintf(to, sizeof to, "%s/gone", p.dir);
		expect(o, "DEBUG IO-FAULT open 0 1000000 28", "+OK\r\n");
		ck_assert_int_eq(rename(from, to), 0);
		ck_assert(proc_wait_log(&p, "Can't open or create the append-only log", 10000));
		wait_until_writable(o, false);
		if (off)
			expect(o, "CONFIG SET appendonly no", "+OK\r\n");
		else
			expect(o, "DEBUG IO-FAULT open 0 0 0", "+OK\r\n");
		wait_until_writable(o, true);
		if (!off)
			wait_for(o, "aof_rewrites", 1);
		crash(&p, o);
		o = start_in(&p, p.dir, BASIC, false);
		expect_prefix(o, "MGET a b", off ? "*2\r\n$-1\r\n$-1\r\n" : "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
		stop(&p, o, false);
	}
}
END_TEST

START_TEST(rewrite_fails)
{
	static const char *const calls[] = { "open", "sync", "rename" };
	struct proc p;
	struct resp_client *o = start_in(&p, NULL, BASIC "appendfsync no\n", false);
	expect(o, "SET a 1", "+OK\r\n");
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		char line[64];
		int64_t before = info_int(o, "persistence", "aof_rewrites");
		wait_for(o, "aof_buffer_length", 0); /* the call that fails is the rewriting's */
		snprintf(line, sizeof line, "DEBUG IO-FAULT %s 0 1 28", calls[i]);
		expect(o, line, "+OK\r\n");
		expect(o, "BGREWRITEAOF", "+Background append only file rewriting started\r\n");
		wait_for(o, "aof_rewrites", before + 1);
		expect_int(o, "INCR n", (int64_t)i + 1);
	}
	stop(&p, o, true);
	o = start_in(&p, p.dir, BASIC, false);
	expect(o, "MGET a n", "*2\r\n$1\r\n1\r\n$1\r\n3\r\n");
	stop(&p, o, false);
}
END_TEST

COMMAND_TESTS("aof", restart, base_of_commands, kill_loses_nothing_acknowledged, exchange, strange_names, torn_tail, flipped_bit,
              old_single_file, all_classes, empty_log_beside_a_dump, switching, loading, rewrites_by_itself, write_fails, sync_fails, written_in_place, written_in_place_not_for_long,
              vanished_directory, vanished_for_longer, rewrite_fails)

/* Saving and loading by a running server: nothing is lost, files go both ways, a cut is a cut, failures are told. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/expect.h"

#define DEBUG_ON "enable-debug-command yes\n"

static void start_in(struct proc *p, const char *dir, const char *config)
{
	if (proc_start(p, &(struct proc_spec){ .config = config, .dir = dir }))
		ck_abort_msg("the server does not start");
	ck_assert(proc_wait_log(p, "Ready to accept connections", 20000));
}

static void remove_dir(const char *dir)
{
	char command[256];
	snprintf(command, sizeof command, "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static void fill(struct resp_client *to, int n)
{
	char line[512];
	for (int i = 0; i < n; i++) {
		snprintf(line, sizeof line, "SET s:%d %.*s%d%s", i, i % 60, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", i,
		         i % 4 ? "" : " EX 10000");
		expect_any(to, line);
		snprintf(line, sizeof line, "RPUSH l:%d a%d %d 12345678901234567890 %d", i % 7, i, i, -i);
		expect_any(to, line);
		snprintf(line, sizeof line, "SADD t:%d m%d %d", i % 5, i, i * 1000);
		expect_any(to, line);
		snprintf(line, sizeof line, "SADD i:%d %d %d", i % 5, i, i * 100000);
		expect_any(to, line);
		snprintf(line, sizeof line, "HSET h:%d f%d v%d g%d %d", i % 11, i, i, i, i);
		expect_any(to, line);
		snprintf(line, sizeof line, "XADD x:%d %d-%d f%d v g %d", i % 2, i + 1, i, i % 9, i);
		expect_any(to, line);
		snprintf(line, sizeof line, "ZADD z:%d %d.25 m%d %s n%d", i % 3, i, i, i % 2 ? "inf" : "-7", i);
		expect_any(to, line);
	}
	expect(to, "XGROUP CREATE x:0 g 0", "+OK\r\n");
	expect_any(to, "XREADGROUP GROUP g c COUNT 30 STREAMS x:0 >");
	expect_any(to, "XDEL x:0 1-0");
	expect(to, "SELECT 5", "+OK\r\n");
	expect(to, "SET other database", "+OK\r\n");
	expect(to, "SETRANGE large 300000 x", ":300001\r\n");
	expect(to, "SELECT 0", "+OK\r\n");
}

static char *digest(struct resp_client *of)
{
	struct resp_value *v = resp_ask(of, "DEBUG DIGEST");
	ck_assert_ptr_nonnull(v);
	char *text = strdup(v->text);
	resp_value_free(v);
	return text;
}

START_TEST(restart_keeps_everything)
{
	struct proc p;
	char dir[sizeof p.dir];
	own_server(&p, DEBUG_ON);
	struct resp_client *a = connect_to(&p);
	fill(a, 700);
	char *want = digest(a);
	int64_t keys = ask_int(a, "DBSIZE");
	expect(a, "SAVE", "+OK\r\n");
	ck_assert_int_eq(info_int(a, "persistence", "rdb_changes_since_last_save"), 0);
	ck_assert_int_eq(info_int(a, "persistence", "rdb_saves"), 1);
	expect_any(a, "SET after-the-save 1");
	snprintf(dir, sizeof dir, "%s", p.dir);
	p.keep_dir = true;
	resp_close(a);
	proc_kill(&p);
	start_in(&p, dir, DEBUG_ON);
	a = connect_to(&p);
	char *got = digest(a);
	ck_assert_str_eq(want, got);
	expect_prefix(a, "XPENDING x:0 g", "*4\r\n:30\r\n$3\r\n1-0\r\n");
	ck_assert_int_eq(ask_int(a, "DBSIZE"), keys);
	ck_assert(proc_wait_log(&p, "DB loaded from disk: ", 1000));
	ck_assert_int_eq(info_int(a, "persistence", "loading"), 0);
	ck_assert_int_eq(info_int(a, "persistence", "rdb_last_load_keys_loaded"), keys + 2);
	free(want);
	free(got);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
	remove_dir(dir);
}
END_TEST

static void copy_file(const char *from_dir, const char *to_dir)
{
	char command[600];
	snprintf(command, sizeof command, "cp %s/dump.rdb %s/dump.rdb", from_dir, to_dir);
	ck_assert_int_eq(system(command), 0);
}

/* Our file there, its file here. */
START_TEST(files_go_both_ways)
{
	struct proc ours, theirs;
	char dir[64] = "/tmp/test_rdb.XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(dir));
	own_server(&ours, DEBUG_ON);
	struct resp_client *a = connect_to(&ours);
	fill(a, 700);
	char *want = digest(a);
	expect_prefix(a, "BGSAVE", "+Background saving started");
	ck_assert(proc_wait_log(&ours, "Background saving terminated with success", 10000));
	copy_file(ours.dir, dir);
	if (proc_start(&theirs, &(struct proc_spec){ .oracle = true, .dir = dir }))
		ck_abort_msg("the server to compare with does not start");
	struct resp_client *b = connect_to(&theirs);
	char *got = digest(b);
	ck_assert_str_eq(want, got);
	free(got);
	expect_any(b, "HSET more a 1");
	got = digest(b);
	expect(b, "SAVE", "+OK\r\n");
	copy_file(dir, ours.dir);
	expect(a, "DEBUG RELOAD NOSAVE", "+OK\r\n");
	free(want);
	want = digest(a);
	ck_assert_str_eq(want, got);
	free(want);
	free(got);
	resp_close(a);
	resp_close(b);
	proc_stop(&theirs);
	proc_clean(&theirs);
	ck_assert_int_eq(proc_stop(&ours), 0);
	proc_clean(&ours);
	remove_dir(dir);
}
END_TEST

/* ------------------------------------------------------------------ a cut is a cut */

#define ACCOUNTS 400
#define EACH 1000

static int64_t sum_of(struct resp_client *of)
{
	int64_t sum = 0;
	char line[4096] = "MGET";
	size_t n = 4;
	for (int i = 0; i < ACCOUNTS; i++)
		n += (size_t)snprintf(line + n, sizeof line - n, " %d", i);
	struct resp_value *v = resp_ask(of, line);
	ck_assert_uint_eq(v->n, ACCOUNTS);
	for (int i = 0; i < ACCOUNTS; i++) {
		ck_assert(!v->elements[i].null);
		sum += strtoll(v->elements[i].text, NULL, 10);
	}
	resp_value_free(v);
	return sum;
}

/* Transfers between keys of different shards go on while a snapshot is made; two large lists exchange elements. */
static void transfer(struct resp_client *w, unsigned *seed, int n)
{
	char line[128];
	for (int i = 0; i < n; i++) {
		unsigned from = rand_r(seed) % ACCOUNTS, to = rand_r(seed) % ACCOUNTS, much = rand_r(seed) % 50;
		resp_send(w, "MULTI");
		snprintf(line, sizeof line, "DECRBY %u %u", from, much);
		resp_send(w, line);
		snprintf(line, sizeof line, "INCRBY %u %u", to, much);
		resp_send(w, line);
		resp_send(w, i % 2 ? "LMOVE big:a big:b LEFT RIGHT" : "LMOVE big:b big:a LEFT RIGHT");
		resp_send(w, "EXEC");
	}
	for (int i = 0; i < 5 * n; i++) {
		struct resp_bytes reply;
		ck_assert(resp_read(w, &reply));
		ck_assert_int_ne(reply.ptr[0], '-');
	}
}

static void check_snapshot(const char *dir)
{
	struct proc p;
	start_in(&p, dir, "");
	struct resp_client *r = connect_to(&p);
	ck_assert_int_eq(sum_of(r), (int64_t)ACCOUNTS * EACH);
	ck_assert_int_eq(ask_int(r, "LLEN big:a") + ask_int(r, "LLEN big:b"), 40000);
	resp_close(r);
	ck_assert_int_eq(proc_stop(&p), 0);
}

START_TEST(transfers_keep_the_sum)
{
	struct proc p;
	char line[4096], dir[64] = "/tmp/test_rdb.XXXXXX";
	unsigned seed = 11;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	own_server(&p, DEBUG_ON);
	struct resp_client *a = connect_to(&p), *w = connect_to(&p);
	for (int i = 0; i < ACCOUNTS; i++) {
		snprintf(line, sizeof line, "SET %d %d", i, EACH);
		expect_any(a, line);
	}
	/* Enough beside them that a snapshot lasts. */
	expect(a, "DEBUG POPULATE 200000 filler 50", "+OK\r\n");
	for (int i = 0; i < 200; i++) {
		size_t n = (size_t)snprintf(line, sizeof line, "RPUSH big:%c", i % 2 ? 'a' : 'b');
		for (int k = 0; k < 200; k++)
			n += (size_t)snprintf(line + n, sizeof line - n, " element-%d", k);
		expect_any(a, line);
	}
	int saves = 0;
	for (int round = 0; round < 4; saves++) {
		expect_prefix(a, "BGSAVE", "+Background saving started");
		int during = 0;
		while (info_int(a, "persistence", "rdb_bgsave_in_progress") == 1) {
			transfer(w, &seed, 100);
			during++;
		}
		round += during > 0; /* else the machine stopped until it was saved */
		copy_file(p.dir, dir);
		check_snapshot(dir);
	}
	ck_assert_int_eq(info_int(a, "persistence", "rdb_saves"), saves);
	ck_assert_int_eq(sum_of(a), (int64_t)ACCOUNTS * EACH);
	resp_close(a);
	resp_close(w);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
	remove_dir(dir);
}
END_TEST

/* Large values stand still while they are saved: their writers wait, those of other keys do not, and a deleted or renamed
 * one is in the file all the same. */
START_TEST(large_values_while_saving)
{
	struct proc p, q;
	char line[8192], dir[64] = "/tmp/test_rdb.XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(dir));
	own_server(&p, DEBUG_ON);
	struct resp_client *a = connect_to(&p), *b = connect_to(&p);
	for (int i = 0; i < 300; i++) {
		size_t n = (size_t)snprintf(line, sizeof line, "HSET h:%d", i % 3);
		for (int k = 0; k < 200; k++)
			n += (size_t)snprintf(line + n, sizeof line - n, " f%d value-%d", i * 200 + k, k);
		expect_any(a, line);
	}
	for (int round = 0; round < 10; round++) {
		expect_any(a, "HSET h:0 f before");
		expect_any(a, "HSET h:1 f before");
		expect_any(a, "HSET h:2 f before");
		expect_prefix(a, "BGSAVE", "+Background saving started");
		resp_send(b, "HSET h:0 f after");
		expect(a, "RENAME h:1 other", "+OK\r\n");
		expect(a, "COPY h:2 copied", ":1\r\n");
		expect(a, "UNLINK h:2", ":1\r\n");
		expect_reply(b, ":0\r\n");
		expect_bulk(a, "HGET h:0 f", "after");
		expect_any(a, "HSET other f after");
		while (info_int(a, "persistence", "rdb_bgsave_in_progress") == 1)
			expect_any(b, "HSET h:0 g x");
		copy_file(p.dir, dir);
		start_in(&q, dir, "");
		struct resp_client *r = connect_to(&q);
		ck_assert_int_eq(ask_int(r, "DBSIZE"), 3);
		expect_bulk(r, "HGET h:0 f", "before");
		expect_bulk(r, "HGET h:1 f", "before");
		expect_bulk(r, "HGET h:2 f", "before");
		ck_assert_int_ge(ask_int(r, "HLEN h:2"), 20000);
		resp_close(r);
		ck_assert_int_eq(proc_stop(&q), 0);
		proc_clean(&q);
		expect(a, "RENAME other h:1", "+OK\r\n");
		expect(a, "RENAME copied h:2", "+OK\r\n");
	}
	resp_close(a);
	resp_close(b);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
	remove_dir(dir);
}
END_TEST

/* ------------------------------------------------------------------ failure */

static bool log_has(struct proc *p, const char *text)
{
	char *log = proc_output(p, false);
	bool found = log && strstr(log, text);
	free(log);
	return found;
}

/* SAFETY: disk full: writes are refused while saving fails, and go on by themselves when it works again. */
START_TEST(full_disk_stops_writes)
{
	struct proc p;
	own_server(&p, DEBUG_ON "save 3600 1\n");
	struct resp_client *a = connect_to(&p);
	expect(a, "SET k v", "+OK\r\n");
	expect(a, "DEBUG IO-FAULT write 0 1 28", "+OK\r\n");
	expect_prefix(a, "BGSAVE", "+Background saving started");
	ck_assert(proc_wait_log(&p, "Background saving error", 10000));
	ck_assert(log_has(&p, "Write error saving DB on disk: No space left on device"));
	expect_prefix(a, "SET k w", "-MISCONF Redis is configured to save RDB snapshots");
	expect_prefix(a, "PING", "-MISCONF");
	expect_bulk(a, "GET k", "v");
	expect(a, "MULTI", "+OK\r\n");
	expect_prefix(a, "SET k x", "-MISCONF");
	expect_prefix(a, "EXEC", "-EXECABORT");
	expect(a, "CONFIG SET stop-writes-on-bgsave-error no", "+OK\r\n");
	/* Taken up within a tenth of a second. */
	struct resp_value *v;
	do {
		v = resp_ask(a, "SET k y");
		bool refused = v->type == '-';
		resp_value_free(v);
		if (!refused)
			break;
	} while (true);
	expect(a, "CONFIG SET stop-writes-on-bgsave-error yes", "+OK\r\n");
	expect_prefix(a, "BGSAVE", "+Background saving started");
	ck_assert(proc_wait_log(&p, "Background saving terminated with success", 10000));
	expect(a, "SET k z", "+OK\r\n");
	resp_close(a);
	kill(p.pid, SIGTERM);
	ck_assert(proc_wait_exit(&p, 10000));
	ck_assert(log_has(&p, "Saving the final RDB snapshot before exiting."));
	proc_clean(&p);
}
END_TEST

/* The file goes where it was to go when its saving began. */
START_TEST(another_directory_while_saving)
{
	struct proc p;
	char line[320], path[256];
	own_server(&p, DEBUG_ON "rdb-key-save-delay 1000000\n");
	struct resp_client *a = connect_to(&p);
	snprintf(path, sizeof path, "%s/other", p.dir);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	expect(a, "SET k v", "+OK\r\n");
	expect_prefix(a, "BGSAVE", "+Background saving started");
	snprintf(line, sizeof line, "CONFIG SET dir %s rdb-key-save-delay 0", path);
	expect(a, line, "+OK\r\n");
	ck_assert(proc_wait_log(&p, "Background saving terminated with success", 20000));
	snprintf(path, sizeof path, "%s/dump.rdb", p.dir);
	ck_assert_int_eq(access(path, F_OK), 0);
	expect(a, "SAVE", "+OK\r\n");
	snprintf(path, sizeof path, "%s/other/dump.rdb", p.dir);
	ck_assert_int_eq(unlink(path), 0);
	snprintf(path, sizeof path, "%s/other", p.dir);
	ck_assert_int_eq(rmdir(path), 0);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* SAFETY: fsync fails: the save has failed, the old file stays. */
START_TEST(failing_fsync)
{
	struct proc p;
	own_server(&p, DEBUG_ON);
	struct resp_client *a = connect_to(&p);
	expect(a, "SET k old", "+OK\r\n");
	expect(a, "SAVE", "+OK\r\n");
	expect(a, "SET k new", "+OK\r\n");
	expect(a, "DEBUG IO-FAULT sync 0 1 5", "+OK\r\n");
	expect(a, "SAVE", "-ERR\r\n");
	expect(a, "DEBUG RELOAD NOSAVE", "+OK\r\n");
	expect_bulk(a, "GET k", "old");
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
}
END_TEST

START_TEST(shutdown_that_cannot_save)
{
	struct proc p;
	own_server(&p, DEBUG_ON "save 3600 1\n");
	struct resp_client *a = connect_to(&p);
	expect(a, "SET k v", "+OK\r\n");
	expect(a, "DEBUG IO-FAULT open 0 1 13", "+OK\r\n");
	expect(a, "SHUTDOWN", "-ERR Errors trying to SHUTDOWN. Check logs.\r\n");
	expect_bulk(a, "GET k", "v");
	expect(a, "DEBUG IO-FAULT open 0 1 13", "+OK\r\n");
	kill(p.pid, SIGTERM);
	ck_assert(proc_wait_log(&p, "Error trying to save the DB, can't exit.", 10000));
	expect_bulk(a, "GET k", "v");
	expect(a, "DEBUG IO-FAULT open 0 1 13", "+OK\r\n");
	resp_send(a, "SHUTDOWN FORCE");
	ck_assert(proc_wait_exit(&p, 10000));
	resp_close(a);
	proc_clean(&p);
}
END_TEST

/* A stop that is asked for while another is being refused. */
START_TEST(shutdown_behind_a_refused_one)
{
	for (int i = 0; i < 10; i++) {
		struct proc p;
		own_server(&p, DEBUG_ON "save 3600 1\n");
		struct resp_client *a = connect_to(&p);
		expect(a, "DEBUG POPULATE 100", "+OK\r\n");
		expect(a, "CONFIG SET rdb-key-save-delay 500", "+OK\r\n");
		expect(a, "DEBUG IO-FAULT sync 0 1 5", "+OK\r\n");
		kill(p.pid, SIGTERM);
		ck_assert(proc_wait_log(&p, "Saving the final RDB snapshot", 10000));
		resp_send(a, "SHUTDOWN NOSAVE");
		ck_assert(proc_wait_exit(&p, 10000));
		resp_close(a);
		proc_clean(&p);
	}
}
END_TEST

/* A command that waits for a lock while the data is saved for the last time comes too late: it is not acknowledged. */
START_TEST(no_write_behind_the_last_save)
{
	struct proc p;
	char dir[sizeof p.dir];
	own_server(&p, DEBUG_ON "busy-reply-threshold 0\n");
	struct resp_client *script = connect_to(&p), *writer = connect_to(&p), *stopper = connect_to(&p);
	struct resp_bytes reply;
	int64_t written = wait_for_lock(script, writer);
	snprintf(dir, sizeof dir, "%s", p.dir);
	p.keep_dir = true;
	ck_assert(resp_send(stopper, "SHUTDOWN SAVE"));
	ck_assert(proc_wait_exit(&p, 20000));
	written += resp_read(writer, &reply) && *reply.ptr == ':';
	resp_close(script);
	resp_close(writer);
	resp_close(stopper);
	ck_assert_int_eq(proc_stop(&p), 0);
	start_in(&p, dir, "");
	struct resp_client *a = connect_to(&p);
	struct resp_value *v = resp_ask(a, "HGET k writer");
	ck_assert(v && strtol(v->null ? "0" : v->text, NULL, 10) >= written);
	resp_value_free(v);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
	remove_dir(dir);
}
END_TEST

/* Nor does saving or loading everything at once wait for it. */
START_TEST(reload_beside_a_held_lock)
{
	struct proc p;
	own_server(&p, DEBUG_ON "busy-reply-threshold 0\n");
	struct resp_client *script = connect_to(&p), *writer = connect_to(&p), *a = connect_to(&p);
	struct resp_bytes reply;
	expect(a, "HSET k writer 0", ":1\r\n");
	int64_t written = wait_for_lock(script, writer);
	expect(a, "DEBUG RELOAD", "+OK\r\n");
	expect_int(writer, NULL, written + 1);
	ck_assert(resp_read(script, &reply));
	resp_close(script);
	resp_close(writer);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* A stop does not wait for a save or a rewriting that runs. */
START_TEST(shutdown_while_saving)
{
	static const char *const begin[] = { "BGSAVE", "BGREWRITEAOF" };
	for (int i = 0; i < 2; i++) {
		struct proc p;
		char dir[sizeof p.dir];
		own_server(&p, DEBUG_ON);
		struct resp_client *a = connect_to(&p);
		expect(a, "DEBUG POPULATE 3000 key 100", "+OK\r\n");
		expect(a, "CONFIG SET rdb-key-save-delay 10000", "+OK\r\n");
		expect_prefix(a, begin[i], "+Background ");
		expect(a, "CONFIG SET rdb-key-save-delay 0", "+OK\r\n");
		snprintf(dir, sizeof dir, "%s", p.dir);
		p.keep_dir = true;
		resp_send(a, "SHUTDOWN SAVE");
		ck_assert(proc_wait_exit(&p, 5000));
		resp_close(a);
		proc_clean(&p);
		start_in(&p, dir, "");
		a = connect_to(&p);
		ck_assert_int_eq(ask_int(a, "DBSIZE"), 3000);
		resp_close(a);
		ck_assert_int_eq(proc_stop(&p), 0);
		proc_clean(&p);
		remove_dir(dir);
	}
}
END_TEST

START_TEST(damaged_file_is_refused)
{
	struct proc p;
	char path[256], dir[sizeof p.dir];
	own_server(&p, DEBUG_ON);
	struct resp_client *a = connect_to(&p);
	fill(a, 50);
	expect(a, "SAVE", "+OK\r\n");
	snprintf(dir, sizeof dir, "%s", p.dir);
	snprintf(path, sizeof path, "%s/dump.rdb", dir);
	p.keep_dir = true;
	resp_close(a);
	proc_kill(&p);
	int fd = open(path, O_RDWR);
	char byte;
	ck_assert_int_eq(pread(fd, &byte, 1, 700), 1);
	byte ^= 16;
	ck_assert_int_eq(pwrite(fd, &byte, 1, 700), 1);
	close(fd);
	ck_assert_int_eq(proc_start(&p, &(struct proc_spec){ .dir = dir }), -1);
	ck_assert_int_ne(p.status, 0);
	ck_assert(log_has(&p, "Fatal error loading the DB, check server logs. Exiting."));
	proc_clean(&p);
	remove_dir(dir);
}
END_TEST

/* ------------------------------------------------------------------ commands */

START_TEST(save_points)
{
	struct proc p;
	own_server(&p, "save 1 3\n");
	struct resp_client *a = connect_to(&p);
	expect(a, "MSET a 1 b 2 c 3 d 4", "+OK\r\n");
	ck_assert(proc_wait_log(&p, "3 changes in 1 seconds. Saving...", 10000));
	ck_assert(proc_wait_log(&p, "Background saving terminated with success", 10000));
	ck_assert_int_eq(info_int(a, "persistence", "rdb_changes_since_last_save"), 0);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
}
END_TEST

START_TEST(replies)
{
	expect(c, "SAVE now", "-ERR wrong number of arguments for 'save' command\r\n");
	expect(c, "BGSAVE now", "-ERR syntax error\r\n");
	expect(c, "MULTI", "+OK\r\n");
	expect(c, "SAVE", "-ERR Command not allowed inside a transaction\r\n");
	expect(c, "DISCARD", "+OK\r\n");
	expect(c, "MULTI", "+OK\r\n");
	expect(c, "BGSAVE", "+QUEUED\r\n");
	expect(c, "EXEC", "*1\r\n+Background saving scheduled\r\n");
	ck_assert(proc_wait_log(&server, "Background saving terminated with success", 10000));
	int64_t last = ask_int(c, "LASTSAVE");
	ck_assert_int_gt(last, 1700000000);
	ck_assert_int_eq(info_int(c, "persistence", "rdb_last_save_time"), last);
}
END_TEST

/* While the data set loads: who asks for keys is told so, who asks how far it is gets an answer. */
START_TEST(loading)
{
	struct proc p;
	char dir[sizeof p.dir];
	own_server(&p, DEBUG_ON);
	struct resp_client *a = connect_to(&p);
	expect(a, "DEBUG POPULATE 300 key 4000", "+OK\r\n");
	expect(a, "SAVE", "+OK\r\n");
	snprintf(dir, sizeof dir, "%s", p.dir);
	p.keep_dir = true;
	resp_close(a);
	proc_kill(&p);
	if (proc_start(&p, &(struct proc_spec){ .config = "key-load-delay 100000\n", .dir = dir, .ready = "Loading " }))
		ck_abort_msg("the server does not start");
	a = connect_to(&p);
	expect(a, "GET key:1", "-LOADING Redis is loading the dataset in memory\r\n");
	expect(a, "PING", "-LOADING Redis is loading the dataset in memory\r\n");
	expect(a, "SAVE", "-LOADING Redis is loading the dataset in memory\r\n");
	expect(a, "DEBUG DIGEST", "-LOADING Redis is loading the dataset in memory\r\n");
	expect_prefix(a, "CLIENT ID", ":");
	expect(a, "MULTI", "+OK\r\n");
	expect_prefix(a, "SET k v", "-LOADING");
	expect_prefix(a, "EXEC", "-EXECABORT");
	ck_assert_int_eq(info_int(a, "persistence", "loading"), 1);
	while (info_int(a, "persistence", "loading_total_bytes") <= 1000)
		ck_assert_int_eq(info_int(a, "persistence", "loading"), 1); /* the file is being opened */
	ck_assert_int_ge(info_int(a, "persistence", "loading_loaded_bytes"), 0);
	/* A stop does not wait for the end of the file, and saves nothing. */
	resp_send(a, "SHUTDOWN SAVE");
	ck_assert(proc_wait_exit(&p, 2500));
	ck_assert(!log_has(&p, "Ready to accept connections"));
	resp_close(a);
	proc_clean(&p);
	start_in(&p, dir, "key-load-delay 1000\n");
	a = connect_to(&p);
	ck_assert_int_eq(ask_int(a, "DBSIZE"), 300);
	ck_assert_int_eq(info_int(a, "persistence", "loading"), 0);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
	remove_dir(dir);
}
END_TEST

/* FLUSHALL gives up a save that runs; the next one holds nothing. */
START_TEST(flushall_gives_up)
{
	struct proc p;
	char dir[sizeof p.dir];
	own_server(&p, DEBUG_ON "save 3600 1\nrdb-key-save-delay 1000\n");
	struct resp_client *a = connect_to(&p);
	expect(a, "DEBUG POPULATE 30000 key 100", "+OK\r\n");
	expect_prefix(a, "BGSAVE", "+Background saving started");
	expect(a, "BGSAVE", "-ERR Background save already in progress\r\n");
	expect(a, "SAVE", "-ERR Background save already in progress\r\n");
	expect(a, "FLUSHALL", "+OK\r\n");
	ck_assert_int_eq(info_int(a, "persistence", "rdb_bgsave_in_progress"), 0);
	ck_assert(log_has(&p, "Background saving was given up"));
	snprintf(dir, sizeof dir, "%s", p.dir);
	p.keep_dir = true;
	resp_close(a);
	proc_kill(&p);
	start_in(&p, dir, DEBUG_ON);
	a = connect_to(&p);
	ck_assert_int_eq(ask_int(a, "DBSIZE"), 0);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
	remove_dir(dir);
}
END_TEST

START_TEST(checking_tool)
{
	struct proc p, check;
	char path[256];
	const char *binary = getenv("SHOAL_SERVER");
	own_server(&p, DEBUG_ON);
	struct resp_client *a = connect_to(&p);
	fill(a, 50);
	expect(a, "SAVE", "+OK\r\n");
	resp_close(a);
	snprintf(path, sizeof path, "%s/dump.rdb", p.dir);
	const char *argv[] = { binary ? binary : "build/shoal-server", "--check-rdb", path, NULL };
	ck_assert_int_eq(proc_run(&check, argv), 0);
	ck_assert(log_has(&check, "the file is sound"));
	proc_clean(&check);
	ck_assert_int_eq(truncate(path, 500), 0);
	ck_assert_int_eq(proc_run(&check, argv), 1);
	ck_assert(log_has(&check, "NOT sound"));
	proc_clean(&check);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
}
END_TEST

COMMAND_TESTS_WITH("rdb", DEBUG_ON, restart_keeps_everything, files_go_both_ways, transfers_keep_the_sum,
                   large_values_while_saving, full_disk_stops_writes,
                   another_directory_while_saving, failing_fsync, shutdown_that_cannot_save,
                   shutdown_behind_a_refused_one, no_write_behind_the_last_save, reload_beside_a_held_lock,
                   shutdown_while_saving, damaged_file_is_refused, save_points, replies, loading, flushall_gives_up,
                   checking_tool)

/* persist: see persist.h. */
#include "server/persist.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/aof.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/exec.h"
#include "server/info_text.h"
#include "server/journal/io.h"
#include "server/journal/rdb.h"
#include "server/journal/snapshot.h"
#include "server/log.h"
#include "server/reply.h"
#include "server/script/functions.h"
#include "server/server.h"
#include "server/stats.h"
#include "server/txn.h"
#include "server/worker.h"
#include "store/memory.h"

#define RETRY_S 5 /* after a failed save */

static struct {
	/* changes alone or on loop 0; read anywhere */
	_Atomic int64_t last_save_s, last_try_s, started_s, took_s;
	_Atomic uint64_t dirty_saved; /* STAT_DIRTY as of the last save */
	atomic_bool failed, saving, scheduled;
	_Atomic uint64_t saves, loaded, expired;
	uint64_t dirty_at_cut;
	/* loading */
	atomic_bool loading;
	_Atomic int64_t load_started_s;
	_Atomic uint64_t load_total, load_done, load_keys;
	_Atomic int64_t load_logged_ms;
} persist = { .took_s = -1 };

static uint64_t dirty(void)
{
	uint64_t now = stats_sum(STAT_DIRTY), saved = atomic_load(&persist.dirty_saved);
	return now > saved ? now - saved : 0;
}

static const char *rdb_path(void)
{
	return config()->dbfilename; /* in the working directory, which is `dir` */
}

/* ------------------------------------------------------------------ saving */

static void update_gate(void)
{
	dispatch_set_gate(GATE_DISK, atomic_load(&persist.failed) && config()->stop_writes_on_bgsave_error &&
	                  config()->save.n > 0);
}

static void log_failure(int err, const struct rdb_save_result *r)
{
	char cwd[PATH_MAX];
	if (r->was_open)
		log_warning("Failed opening the temp RDB file for %s (in server root dir %s) for saving: %s", rdb_path(),
		            getcwd(cwd, sizeof cwd) ? cwd : "unknown", strerror(-err));
	else
		log_warning("Write error saving DB on disk: %s", strerror(-err));
}

static void note_saved(void)
{
	atomic_store(&persist.dirty_saved, persist.dirty_at_cut);
	atomic_store(&persist.last_save_s, clock_wall_ms() / 1000);
	atomic_store(&persist.failed, false);
	atomic_fetch_add(&persist.saves, 1);
}

static void bgsave_done(void *ctx, int err, const struct rdb_save_result *r)
{
	(void)ctx;
	atomic_store(&persist.took_s, r->duration_ms / 1000);
	if (!err)
		note_saved();
	else if (err != -ECANCELED)
		atomic_store(&persist.failed, true);
	update_gate();
	/* Whoever waits for the end, by INFO or by the log, finds the outcome in force. */
	atomic_store(&persist.saving, false);
	if (!err) {
		log_notice("DB saved on disk");
		log_notice("Background saving terminated with success");
	} else if (err == -ECANCELED) {
		log_warning("Background saving was given up");
	} else {
		log_failure(err, r);
		log_warning("Background saving error");
	}
}

static void save_done(void *ctx, int err, const struct rdb_save_result *r)
{
	(void)ctx;
	if (!err)
		note_saved();
	update_gate();
	if (!err)
		log_notice("DB saved on disk");
	else
		log_failure(err, r);
}

static struct rdb_save request(void (*done)(void *, int, const struct rdb_save_result *))
{
	return (struct rdb_save){ .path = rdb_path(), .compress = config()->rdbcompression,
		                  .checksum = config()->rdbchecksum, .done = done };
}

static int save_now(void)
{
	struct rdb_save q = request(save_done);
	persist.dirty_at_cut = stats_sum(STAT_DIRTY);
	return rdb_save_now(&q);
}

int persist_save(void)
{
	return snapshot_running() ? -EBUSY : save_now();
}

static int start_bgsave(void)
{
	struct rdb_save q = request(bgsave_done);
	persist.dirty_at_cut = stats_sum(STAT_DIRTY);
	atomic_store(&persist.last_try_s, clock_wall_ms() / 1000);
	atomic_store(&persist.started_s, clock_wall_ms() / 1000);
	atomic_store(&persist.saving, true);
	int err = rdb_save_start(&q);
	if (!err) {
		log_notice("Background saving started by pid %d", (int)getpid());
		return 0;
	}
	atomic_store(&persist.saving, false);
	log_warning("Can't save in background: %s", strerror(-err));
	if (err != -EBUSY)
		atomic_store(&persist.failed, true);
	update_gate();
	return err;
}

/* Within EXEC the cut would tear the transaction. */
static bool in_transaction(void)
{
	const struct worker *w = worker_current;
	return w && w->call.cmd && txn_is_exec(w->call.cmd);
}

enum persist_begun persist_bgsave(bool schedule)
{
	if (atomic_load(&persist.saving))
		return PERSIST_SAVING;
	if (snapshot_running() || in_transaction()) {
		if (!schedule && !in_transaction())
			return PERSIST_BUSY;
		atomic_store(&persist.scheduled, true);
		return PERSIST_SCHEDULED;
	}
	return start_bgsave() ? PERSIST_FAILED : PERSIST_STARTED;
}

int64_t persist_last_save_s(void)
{
	return atomic_load(&persist.last_save_s);
}

void persist_flushed(const struct store *s)
{
	if (s != server_store())
		return;
	if (atomic_load(&persist.saving))
		snapshot_abort();
	if (config()->save.n && !snapshot_running() && !in_transaction())
		save_now();
}

int persist_shutdown(unsigned flags)
{
	bool save = !(flags & SHUTDOWN_NOSAVE) && (flags & SHUTDOWN_SAVE || config()->save.n);
	if (atomic_load(&persist.loading))
		save = false;
	if (atomic_load(&persist.saving))
		log_warning("There is a child saving an .rdb. Killing it!");
	snapshot_abort(); /* that of a log's rewriting, too */
	if (save) {
		log_notice("Saving the final RDB snapshot before exiting.");
		int err = save_now();
		if (err && !(flags & SHUTDOWN_FORCE)) {
			log_warning("Error trying to save the DB, can't exit.");
			return err;
		}
		if (err)
			log_warning("Error trying to save the DB, but FORCE was asked for: exiting anyway.");
	}
	dispatch_set_gate(GATE_CLOSED, true);
	return 0;
}

/* ------------------------------------------------------------------ loading */

static bool on_progress(void *ctx, uint64_t bytes, uint64_t keys)
{
	(void)ctx;
	int64_t now_ms = clock_mono_ms(), logged_ms = atomic_load(&persist.load_logged_ms);
	atomic_store(&persist.load_done, bytes);
	atomic_store(&persist.load_keys, keys);
	uint64_t total = atomic_load(&persist.load_total);
	if (now_ms - logged_ms >= 5000 && total) {
		atomic_store(&persist.load_logged_ms, now_ms);
		log_notice("Loading: %.1f%% of %llu MB, %llu keys", (double)bytes * 100 / (double)total,
		           (unsigned long long)(total >> 20), (unsigned long long)keys);
	}
	return !server_shutting_down();
}

static void log_origin(const struct rdb_info *info)
{
	if (*info->redis_ver)
		log_notice("Loading RDB produced by version %s", info->redis_ver);
	if (info->ctime)
		log_notice("RDB age %lld seconds", (long long)(clock_wall_ms() / 1000 - info->ctime));
	if (info->used_mem)
		log_notice("RDB memory usage when created %.2f Mb", (double)info->used_mem / (1024 * 1024));
}

static int load_file(const struct config *cfg, bool replace, bool alone)
{
	struct stat st;
	const char *path = cfg->dbfilename;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	int64_t start_us = clock_mono_us();
	atomic_store(&persist.load_total, fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0);
	log_notice("Loading %s, %llu bytes", path, (unsigned long long)atomic_load(&persist.load_total));
	atomic_store(&persist.load_done, 0);
	atomic_store(&persist.load_keys, 0);
	atomic_store(&persist.load_logged_ms, clock_mono_ms());
	struct rdb_load l;
	rdb_load_init(&l, cfg, server_store());
	l.replace = replace;
	l.alone = alone;
	l.progress = on_progress;
	int err = rdb_load_fd(&l, fd, path, 0);
	close(fd);
	log_origin(&l.info);
	if (err) {
		log_warning("%s at offset %llu of %s", l.error, (unsigned long long)l.at, path);
		return err;
	}
	atomic_store(&persist.loaded, l.keys);
	atomic_store(&persist.expired, l.expired);
	log_notice("Done loading RDB, keys loaded: %llu, keys expired: %llu.", (unsigned long long)l.keys,
	           (unsigned long long)l.expired);
	log_notice("DB loaded from disk: %.3f seconds", (double)(clock_mono_us() - start_us) / 1e6);
	return 0;
}

bool persist_init(void)
{
	struct stat st;
	atomic_store(&persist.last_save_s, clock_wall_ms() / 1000);
	io_remove_stale_temps(".", NULL);
	io_remove_stale_temps(config()->appenddirname, NULL);
	config_remove_stale_files();
	/* A log also has to be begun, with or without files. */
	bool any = config()->appendonly || stat(rdb_path(), &st) == 0 || errno != ENOENT;
	atomic_store(&persist.loading, any);
	dispatch_set_gate(GATE_LOADING, any);
	if (any)
		store_set_single(server_store(), false);
	return any;
}

static bool aof_progress(uint64_t bytes, uint64_t total)
{
	atomic_store(&persist.load_total, total);
	return on_progress(NULL, bytes, 0);
}

int persist_load(void)
{
	const struct config *cfg = config_ref();
	atomic_store(&persist.load_started_s, clock_wall_ms() / 1000);
	atomic_store(&persist.load_logged_ms, clock_mono_ms());
	int err = cfg->appendonly ? aof_load(aof_progress) : load_file(cfg, false, false);
	config_unref(cfg);
	if (err && err != -ECANCELED)
		log_warning("Fatal error loading the DB, check server logs. Exiting.");
	return err;
}

void persist_loaded(void)
{
	atomic_store(&persist.loading, false);
	store_set_single(server_store(), server_loops() == 1);
	dispatch_set_gate(GATE_LOADING, false);
}

int persist_reload(unsigned flags)
{
	struct store *s = server_store();
	snapshot_abort();
	if (!(flags & RELOAD_NOSAVE) && save_now())
		return -EIO;
	if (!(flags & RELOAD_NOFLUSH)) {
		store_flush(s, -1, false);
		functions_clear();
	}
	store_set_single(s, false);
	int err = load_file(config(), flags & RELOAD_MERGE, true);
	store_set_single(s, server_loops() == 1);
	if (!err)
		log_warning("DB reloaded by DEBUG RELOAD");
	return err;
}

/* ------------------------------------------------------------------ the loops */

/* What was scheduled stays so until it has begun: while this waits to be alone somebody else may begin a snapshot. */
static void begin_alone(unsigned loop)
{
	exec_alone_begin(loop);
	if (!snapshot_running() && !(dispatch_gates_now() & GATE_CLOSED) && start_bgsave() == 0)
		atomic_store(&persist.scheduled, false);
	exec_alone_end(loop);
}

static bool save_point_reached(int64_t now_s)
{
	const struct config *cfg = config();
	if (atomic_load(&persist.failed) && now_s - atomic_load(&persist.last_try_s) <= RETRY_S)
		return false;
	uint64_t changes = cfg->save.n ? dirty() : 0;
	for (size_t i = 0; changes && i < cfg->save.n; i++) {
		const struct config_save *rule = &cfg->save.v[i];
		if (changes < (uint64_t)rule->changes || now_s - atomic_load(&persist.last_save_s) <= rule->seconds)
			continue;
		log_notice("%lld changes in %lld seconds. Saving...", (long long)rule->changes, (long long)rule->seconds);
		return true;
	}
	return false;
}

void persist_tick(unsigned loop, int64_t now_ms)
{
	if (atomic_load(&persist.loading) || snapshot_running())
		return;
	int64_t now_s = now_ms / 1000;
	bool wait = atomic_load(&persist.failed) && now_s - atomic_load(&persist.last_try_s) <= RETRY_S;
	if ((atomic_load(&persist.scheduled) && !wait) || save_point_reached(now_s))
		begin_alone(loop);
	update_gate(); /* CONFIG SET may have changed what it depends on */
}

void persist_refuse_write(struct reply *r)
{
	reply_error(r, "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. "
	               "Commands that may modify the data set are disabled, because this instance is configured to report "
	               "errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check "
	               "the Redis logs for details about the RDB error.");
}

/* ------------------------------------------------------------------ INFO */

void persist_info_loading(struct info_text *t)
{
	uint64_t total, done;
	snapshot_progress(&total, &done);
	bool saving = snapshot_running();
	info_num(t, "loading", atomic_load(&persist.loading));
	info_add(t, "async_loading:0\r\ncurrent_cow_peak:0\r\ncurrent_cow_size:0\r\ncurrent_cow_size_age:0\r\n");
	info_add(t, "current_fork_perc:%.2f\r\n", saving && total ? (double)done * 100 / (double)total : 0.0);
	info_num(t, "current_save_keys_processed", (int64_t)(saving ? done : 0));
	info_num(t, "current_save_keys_total", (int64_t)(saving ? total : 0));
}

void persist_info_rdb(struct info_text *t)
{
	bool saving = atomic_load(&persist.saving);
	info_num(t, "rdb_changes_since_last_save", (int64_t)dirty());
	info_num(t, "rdb_bgsave_in_progress", saving);
	info_num(t, "rdb_last_save_time", atomic_load(&persist.last_save_s));
	info_add(t, "rdb_last_bgsave_status:%s\r\n", atomic_load(&persist.failed) ? "err" : "ok");
	info_num(t, "rdb_last_bgsave_time_sec", atomic_load(&persist.took_s));
	info_num(t, "rdb_current_bgsave_time_sec", saving ? clock_wall_ms() / 1000 - atomic_load(&persist.started_s) : -1);
	info_num(t, "rdb_saves", (int64_t)atomic_load(&persist.saves));
	info_num(t, "rdb_last_cow_size", 0);
	info_num(t, "rdb_last_load_keys_expired", (int64_t)atomic_load(&persist.expired));
	info_num(t, "rdb_last_load_keys_loaded", (int64_t)atomic_load(&persist.loaded));
}

void persist_info_progress(struct info_text *t)
{
	if (!atomic_load(&persist.loading))
		return;
	uint64_t total = atomic_load(&persist.load_total), done = atomic_load(&persist.load_done);
	int64_t start_s = atomic_load(&persist.load_started_s), spent_s = clock_wall_ms() / 1000 - start_s;
	info_num(t, "loading_start_time", start_s);
	info_num(t, "loading_total_bytes", (int64_t)total);
	info_num(t, "loading_rdb_used_mem", (int64_t)mem_used());
	info_num(t, "loading_loaded_bytes", (int64_t)done);
	info_add(t, "loading_loaded_perc:%.2f\r\n", total ? (double)done * 100 / (double)total : 0.0);
	info_num(t, "loading_eta_seconds", done ? (int64_t)((double)(total - done) * (double)spent_s / (double)done) : 1);
	info_num(t, "loading_loaded_keys", (int64_t)atomic_load(&persist.load_keys));
}

bool persist_io_fault(const char *call, size_t len, unsigned skip, unsigned times, int err)
{
	enum io_call which = io_call_named(call, len);
	if (which == IO_CALLS)
		return false;
	io_fail(which, skip, times, err);
	return true;
}

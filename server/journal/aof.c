/* aof: see server/aof.h. */
#include "server/aof.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "server/client.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/exec.h"
#include "server/hold.h"
#include "server/info_text.h"
#include "server/journal/aof_base.h"
#include "server/journal/aof_load.h"
#include "server/journal/aof_log.h"
#include "server/journal/aof_service.h"
#include "server/journal/aof_wal.h"
#include "server/journal/io.h"
#include "server/journal/rdb.h"
#include "server/journal/snapshot.h"
#include "server/log.h"
#include "server/script/functions.h"
#include "server/server.h"
#include "server/worker.h"

#define RETRY_MS 1000
#define RETRY_MAX_MS (3600 * 1000)

static struct {
	char dir[2048];            /* absolute: CONFIG SET dir does not move the log */
	char manifest_path[3072];
	struct aof_manifest manifest; /* until the log's thread has it */
	bool append;
	uint64_t chain;
	/* rewriting */
	atomic_bool scheduled, rewriting; /* rewriting: from the cut to done() */
	char base_path[4096];
	struct aof_base base;
	_Atomic int64_t retry_at_ms;      /* monotonic */
	atomic_uint failures;
	atomic_bool always;
	atomic_bool missing;              /* it could not be begun anew: writes are refused until it can */
	atomic_bool incomplete;           /* the log has no base yet: a rewrite must succeed before it counts */
} aof;

/* A rewrite while there is no log. */
static struct {
	struct aof_manifest manifest;
	char name[AOF_NAME_MAX];
	uint64_t seq;
	bool running;
	int err;
} off;

/* ------------------------------------------------------------------ places */

static bool set_paths(const struct config *cfg)
{
	char cwd[1024];
	if (!getcwd(cwd, sizeof cwd))
		return false;
	int n = snprintf(aof.dir, sizeof aof.dir, "%s/%s", strcmp(cwd, "/") ? cwd : "", cfg->appenddirname);
	int m = snprintf(aof.manifest_path, sizeof aof.manifest_path, "%s/%s.manifest", aof.dir, cfg->appendfilename);
	return n > 0 && (size_t)n < sizeof aof.dir && m > 0 && (size_t)m < sizeof aof.manifest_path;
}

static int make_dir(void)
{
	if (mkdir(aof.dir, 0755) == 0)
		return io_sync_dir(aof.dir);
	return errno == EEXIST ? 0 : -errno;
}

static bool exists(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0;
}

/* ------------------------------------------------------------------ loading */

/* A log of one file, as before Redis 7: it becomes the base, and moves into the directory. The manifest comes first, so
 * that a crash in between is seen by the next start. */
static int upgrade(const struct config *cfg)
{
	char to[4096];
	int n = snprintf(to, sizeof to, "%s/%s", aof.dir, cfg->appendfilename);
	if (n < 0 || (size_t)n >= sizeof to)
		return -ENAMETOOLONG;
	int err = make_dir();
	if (!err && !aof.manifest.n) {
		err = aof_manifest_add(&aof.manifest, cfg->appendfilename, 1, AOF_BASE);
		err = err ? err : aof_manifest_write(&aof.manifest, aof.manifest_path);
	}
	err = err ? err : io_rename(cfg->appendfilename, to);
	err = err ? err : io_sync_dir(to);
	err = err ? err : io_sync_dir(cfg->appendfilename);
	if (!err)
		log_notice("The append only file %s was moved into %s", cfg->appendfilename, cfg->appenddirname);
	return err;
}

/* The old file has not been moved yet, or has been and the crash came before. */
static bool upgrade_due(const struct config *cfg)
{
	char inside[4096];
	const struct aof_file *base = aof_manifest_base(&aof.manifest);
	snprintf(inside, sizeof inside, "%s/%s", aof.dir, cfg->appendfilename);
	if (!exists(cfg->appendfilename) || exists(inside))
		return false;
	return !aof.manifest.n || (base && !strcmp(base->name, cfg->appendfilename));
}

/* An empty log beside a dump with keys: whoever switched the log on in the configuration did not mean to lose them. */
static bool rdb_has_keys(const struct config *cfg)
{
	struct rdb_load l;
	int fd = open(cfg->dbfilename, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	memset(&l, 0, sizeof l);
	int err = rdb_check_fd(&l, fd, cfg->dbfilename, 0);
	close(fd);
	return err || l.records; /* what cannot be read may hold some */
}

static int find_files(const struct config *cfg)
{
	char error[256];
	if (!set_paths(cfg))
		return -ENAMETOOLONG;
	int err = aof_manifest_read(&aof.manifest, aof.manifest_path, error, sizeof error);
	if (err && err != -ENOENT) {
		log_warning("Cannot read %s: %s", aof.manifest_path, error);
		return err;
	}
	if (upgrade_due(cfg)) {
		err = upgrade(cfg);
		if (err)
			log_warning("Cannot move the old append only file into %s: %s", aof.dir, strerror(-err));
		return err;
	}
	if (!aof.manifest.n && rdb_has_keys(cfg)) {
		log_warning("appendonly is on, but there is no append only file, and %s holds keys that would be lost. "
		            "Start with appendonly no and switch it on with CONFIG SET appendonly yes, or move the file away.",
		            cfg->dbfilename);
		return -EEXIST;
	}
	return 0;
}

static int replay_files(struct call *c, const struct config *cfg, bool (*progress)(uint64_t, uint64_t))
{
	struct aof_load l = { .cfg = cfg, .dir = aof.dir, .manifest = &aof.manifest, .call = c, .progress = progress };
	int64_t start_us = clock_mono_us();
	int err = aof_load_files(&l);
	aof.append = !err && l.append;
	aof.chain = l.chain;
	if (!err && aof.manifest.n)
		log_notice("DB loaded from append only file: %.3f seconds (%llu commands, %llu failed)",
		           (double)(clock_mono_us() - start_us) / 1e6, (unsigned long long)l.commands,
		           (unsigned long long)l.errors);
	return err;
}

/* Commands run as those of a client that is no connection, on a worker that is no loop, or on a loop that is alone. */
static int replay_as_client(struct worker *w, bool alone, const struct config *cfg, bool (*progress)(uint64_t, uint64_t))
{
	struct reply ignored;
	struct client *nobody = client_new_internal();
	if (!nobody)
		return -ENOMEM;
	reply_init_memory(&ignored, 2);
	struct call c = { .client = nobody, .reply = &ignored, .loop = w->index, .alone = alone, .replaying = true };
	worker_op(w, 0, &c.op);
	c.op.show_expired = true;
	c.op.exclusive = alone;
	c.op.ctx = &c;
	int err = replay_files(&c, cfg, progress);
	reply_clear(&ignored);
	client_free(nobody);
	return err;
}

/* What the machine's end kept from the increment. */
static int recover_acknowledged(void)
{
	char path[4096];
	if (!aof_wal_path(aof.manifest_path, path, sizeof path))
		return -ENAMETOOLONG;
	return aof_wal_recover(path, aof.dir, &aof.manifest);
}

int aof_load(bool (*progress)(uint64_t bytes, uint64_t total))
{
	const struct config *cfg = config_ref();
	struct worker *w = worker_of(server_loops()), *before = worker_current;
	int err = find_files(cfg);
	if (!err && aof.manifest.n)
		err = recover_acknowledged();
	if (!err && aof.manifest.n) {
		worker_current = w;
		worker_refresh_clock(w);
		exec_in(w->index);
		err = replay_as_client(w, false, cfg, progress);
		exec_out(w->index);
		worker_current = before;
	}
	config_unref(cfg);
	return err;
}

int aof_reload(struct call *c)
{
	char error[256];
	int err = aof_log_flush();
	if (err || !aof_log_running())
		return err ? err : -ENOENT;
	struct aof_manifest kept = aof.manifest;
	aof.manifest = (struct aof_manifest){ 0 };
	err = aof_manifest_read(&aof.manifest, aof.manifest_path, error, sizeof error);
	if (!err) {
		store_flush(c->op.store, -1, false);
		functions_clear();
		err = replay_as_client(worker_current, true, config(), NULL);
	}
	aof_manifest_clear(&aof.manifest);
	aof.manifest = kept;
	return err;
}

/* ------------------------------------------------------------------ on and off */

static void advanced(void)
{
	if (atomic_load(&aof.incomplete) && aof_log_complete()) {
		atomic_store(&aof.incomplete, false);
		hold_set(atomic_load(&aof.always));
	}
	bool failed = aof_log_error() != 0;
	if (!failed != !(dispatch_gates_now() & GATE_AOF))
		dispatch_set_gate(GATE_AOF, failed);
	hold_wake();
}

static void room(void *ctx)
{
	(void)ctx;
	hold_wake();
}

static void follow(const struct config *cfg)
{
	aof_log_set_policy(&(struct aof_log_policy){ .fsync = cfg->appendfsync, .timestamps = cfg->aof_timestamp_enabled,
	                                             .no_sync_on_rewrite = cfg->no_appendfsync_on_rewrite,
	                                             .keep_history = cfg->aof_disable_auto_gc, .wal = cfg->aof_wal });
	atomic_store(&aof.always, cfg->appendfsync == APPENDFSYNC_ALWAYS);
	hold_set(aof_log_running() && !atomic_load(&aof.incomplete) && atomic_load(&aof.always));
}

static int start_log(bool detached)
{
	const struct config *cfg = config();
	struct aof_log_start s = { .dir = aof.dir, .name = cfg->appendfilename, .manifest = &aof.manifest,
		                   .append = aof.append && !detached, .chain = aof.chain, .detached = detached,
		                   .advanced = advanced };
	int err = make_dir();
	err = err ? err : aof_log_start(dispatch_journal(), &s);
	if (err) {
		log_warning("Can't open or create the append-only log in %s: %s", aof.dir, strerror(-err));
		return err;
	}
	aof_manifest_clear(&aof.manifest);
	atomic_store(&aof.incomplete, detached);
	follow(cfg);
	return 0;
}

/* A log from nothing has a base too: an empty one, so that whoever looks knows that it is whole. */
static int first_base(void)
{
	const struct config *cfg = config();
	char name[AOF_NAME_MAX], path[4096];
	int n = snprintf(name, sizeof name, "%s.1.base.%s", cfg->appendfilename, cfg->aof_use_rdb_preamble ? "rdb" : "aof");
	if (n < 0 || (size_t)n >= sizeof name)
		return -ENAMETOOLONG;
	snprintf(path, sizeof path, "%s/%s", aof.dir, name);
	int err = make_dir();
	if (!err && cfg->aof_use_rdb_preamble) {
		struct rdb_save q = { .path = path, .compress = cfg->rdbcompression, .checksum = cfg->rdbchecksum,
			              .aof_base = true };
		err = rdb_save_now(&q);
	} else if (!err) {
		struct io_file f;
		err = io_open(&f, path, IO_TRUNC);
		err = err ? err : io_sync(&f);
		io_close(&f);
		err = err ? err : io_sync_dir(path);
	}
	return err ? err : aof_manifest_add(&aof.manifest, name, 1, AOF_BASE);
}

int aof_begin(void)
{
	if (!config()->appendonly)
		return 0;
	int err = aof.manifest.n ? 0 : first_base();
	if (err) {
		log_warning("Can't make the first file of the append-only log in %s: %s", aof.dir, strerror(-err));
		return err;
	}
	return start_log(false);
}

void aof_end(void)
{
	hold_set(false);
	aof_log_stop();
	aof_manifest_clear(&aof.manifest);
	dispatch_set_gate(GATE_AOF, false);
}

/* CONFIG SET appendonly yes: from now on everything is logged; the log counts once the base is there. */
static int attach(void)
{
	char error[256];
	aof_manifest_clear(&aof.manifest);
	if (!*aof.dir && !set_paths(config()))
		return -ENAMETOOLONG;
	/* Numbers go on behind those of an earlier log. */
	int err = aof_manifest_read(&aof.manifest, aof.manifest_path, error, sizeof error);
	if (err && err != -ENOENT) {
		log_warning("Cannot read %s: %s", aof.manifest_path, error);
		return err;
	}
	aof.append = false;
	err = start_log(true);
	if (err)
		return err;
	if (aof_rewrite() == AOF_FAILED)
		atomic_store(&aof.scheduled, true);
	return 0;
}

static bool set_appendonly(const struct config *now, char **error)
{
	if (!now->appendonly && atomic_exchange(&aof.missing, false))
		dispatch_set_gate(GATE_AOF, false);
	if (now->appendonly == aof_log_running())
		return true;
	if (!now->appendonly) {
		atomic_store(&aof.scheduled, false);
		if (atomic_load(&aof.rewriting))
			snapshot_abort();
		aof_end();
		return true;
	}
	/* What is being loaded would be logged as if it were new. */
	int err = dispatch_gates_now() & GATE_LOADING ? -EBUSY : attach();
	if (!err)
		return true;
	*error = strdup("Unable to turn on AOF. Check server logs.");
	return false;
}

static bool set_policy(const struct config *now, char **error)
{
	(void)error;
	follow(now);
	return true;
}

void aof_init(void)
{
	static const char *const watched[] = { "appendfsync", "aof-timestamp-enabled", "no-appendfsync-on-rewrite",
		                               "aof-disable-auto-gc", "aof-wal" };
	atomic_store(&aof.scheduled, false);
	config_on_change("appendonly", set_appendonly);
	for (size_t i = 0; i < sizeof watched / sizeof *watched; i++)
		config_on_change(watched[i], set_policy);
	journal_set_room(dispatch_journal(), room, NULL);
}

/* ------------------------------------------------------------------ rewriting */

static void plan_retry(bool failed)
{
	unsigned n = failed ? atomic_fetch_add(&aof.failures, 1) : 0;
	if (!failed)
		atomic_store(&aof.failures, 0);
	int64_t delay = failed ? (int64_t)RETRY_MS << (n < 12 ? n : 12) : 0;
	atomic_store(&aof.retry_at_ms, clock_mono_ms() + (delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS));
}

static void rewritten_off(int err);

/* The base is there, or is not. On a loop that runs. */
static void rewritten(int err)
{
	if (off.running) {
		rewritten_off(err);
		return;
	}
	atomic_store(&aof.rewriting, false);
	plan_retry(err != 0);
	if (aof_log_running())
		aof_log_rewrite_end(err);
	if (err && atomic_load(&aof.incomplete))
		atomic_store(&aof.scheduled, true);
}

static void rdb_done(void *ctx, int err, const struct rdb_save_result *r)
{
	(void)ctx, (void)r;
	rewritten(err);
}

static void base_done(void *ctx, int err)
{
	(void)ctx;
	rewritten(err);
}

/* A full disk is found out before it is fuller. */
static int space_for_base(void)
{
	struct statvfs fs;
	struct aof_log_stats s;
	aof_log_get_stats(&s);
	if (statvfs(aof.dir, &fs))
		return -errno;
	if ((uint64_t)fs.f_bavail * fs.f_frsize < s.base_size / 2)
		return -ENOSPC;
	return 0;
}

static int begin_base(bool rdb)
{
	const struct config *cfg = config();
	atomic_store(&aof.rewriting, true);
	int err;
	if (rdb) {
		struct rdb_save q = { .path = aof.base_path, .compress = cfg->rdbcompression, .checksum = cfg->rdbchecksum,
			              .aof_base = true, .done = rdb_done };
		err = rdb_save_start(&q);
	} else {
		err = aof_base_start(&aof.base, aof.base_path, base_done);
	}
	if (err)
		rewritten(err);
	return err;
}

static int begin_rewrite(void)
{
	char name[AOF_NAME_MAX];
	bool rdb = config()->aof_use_rdb_preamble;
	int err = space_for_base();
	if (!err)
		err = aof_log_rewrite_begin(rdb, name);
	if (err) {
		log_warning("Can't rewrite the append-only log in background: %s", strerror(-err));
		plan_retry(true);
		return err;
	}
	snprintf(aof.base_path, sizeof aof.base_path, "%s/%s", aof.dir, name);
	err = begin_base(rdb);
	if (!err)
		log_notice("Background append only file rewriting started");
	return err;
}

/* ---- without a log: a base alone, which the next start with appendonly yes loads */


static void *swap_off(void *arg)
{
	char path[4096];
	int err = off.err;
	(void)arg;
	if (!err) {
		aof_manifest_retire(&off.manifest, UINT64_MAX);
		err = aof_manifest_add(&off.manifest, off.name, off.seq, AOF_BASE);
	}
	err = err ? err : aof_manifest_write(&off.manifest, aof.manifest_path);
	for (size_t i = 0; !err && i < off.manifest.n; i++) {
		snprintf(path, sizeof path, "%s/%s", aof.dir, off.manifest.v[i].name);
		if (off.manifest.v[i].type == AOF_HISTORY)
			io_unlink(path);
	}
	aof_manifest_drop_history(&off.manifest);
	err = err ? err : aof_manifest_write(&off.manifest, aof.manifest_path);
	aof_manifest_clear(&off.manifest);
	if (err)
		log_warning("Background AOF rewrite failed: %s", strerror(-err));
	else
		log_notice("Background AOF rewrite finished successfully");
	plan_retry(err != 0);
	atomic_store(&aof.rewriting, false);
	return NULL;
}

/* Its files take their time: not on a loop. */
static void rewritten_off(int err)
{
	pthread_t t;
	off.err = err;
	off.running = false;
	if (pthread_create(&t, NULL, swap_off, NULL) == 0)
		pthread_detach(t);
	else
		swap_off(NULL);
}

static int begin_off(void)
{
	const struct config *cfg = config();
	char error[256];
	bool rdb = cfg->aof_use_rdb_preamble;
	if (!set_paths(cfg))
		return -ENAMETOOLONG;
	int err = aof_manifest_read(&off.manifest, aof.manifest_path, error, sizeof error);
	if (err && err != -ENOENT)
		return err;
	off.seq = aof_manifest_top(&off.manifest, AOF_BASE) + 1;
	int n = snprintf(off.name, sizeof off.name, "%s.%llu.base.%s", cfg->appendfilename, (unsigned long long)off.seq,
	                 rdb ? "rdb" : "aof");
	if (n < 0 || (size_t)n >= sizeof off.name)
		return -ENAMETOOLONG;
	snprintf(aof.base_path, sizeof aof.base_path, "%s/%s", aof.dir, off.name);
	err = make_dir();
	off.running = !err;
	return err ? err : begin_base(rdb);
}

static int rewrite_off(void)
{
	int err = begin_off();
	if (!err)
		return 0;
	log_warning("Can't rewrite the append-only log in background: %s", strerror(-err));
	aof_manifest_clear(&off.manifest);
	off.running = false;
	return err;
}

static bool in_transaction(void)
{
	const struct worker *w = worker_current;
	return w && w->call.cmd && w->call.cmd->plan;
}

enum aof_begun aof_rewrite(void)
{
	struct aof_log_stats s;
	aof_log_get_stats(&s);
	if (atomic_load(&aof.rewriting) || s.rewriting)
		return AOF_REWRITING;
	if (snapshot_running() || in_transaction()) {
		atomic_store(&aof.scheduled, true);
		return AOF_SCHEDULED;
	}
	atomic_store(&aof.scheduled, false);
	if (!aof_log_running())
		return rewrite_off() ? AOF_FAILED : AOF_STARTED;
	return begin_rewrite() ? AOF_FAILED : AOF_STARTED;
}

static bool grown(void)
{
	const struct config *cfg = config();
	struct aof_log_stats s;
	if (!aof_log_running() || !cfg->auto_aof_rewrite_percentage)
		return false;
	aof_log_get_stats(&s);
	if (s.rewriting || s.size < (uint64_t)cfg->auto_aof_rewrite_min_size)
		return false;
	uint64_t base = s.base_size ? s.base_size : 1;
	if (s.size < base || (s.size - base) / ((base + 99) / 100) < (uint64_t)cfg->auto_aof_rewrite_percentage)
		return false;
	log_notice("Starting automatic rewriting of AOF on %llu%% growth", (unsigned long long)((s.size - base) * 100 / base));
	return true;
}

static void begin_anew(void)
{
	if (aof_log_running()) {
		log_warning("The append-only log begins anew: %s",
		            aof_log_error() == ENOENT ? "its files have vanished" : "the journal ran out of memory");
		if (atomic_load(&aof.rewriting))
			snapshot_abort();
		aof_end();
	}
	dispatch_set_gate(GATE_AOF, false);
	bool failed = attach() != 0;
	atomic_store(&aof.missing, failed);
	if (failed) {
		dispatch_set_gate(GATE_AOF, true);
		atomic_store(&aof.retry_at_ms, clock_mono_ms() + RETRY_MS);
	}
}

static bool is_lost(void)
{
	if (aof_log_running())
		return aof_log_lost();
	return atomic_load(&aof.missing) && clock_mono_ms() >= atomic_load(&aof.retry_at_ms);
}

void aof_tick(unsigned loop)
{
	bool lost = is_lost();
	if (!lost && (snapshot_running() || atomic_load(&aof.rewriting) || clock_mono_ms() < atomic_load(&aof.retry_at_ms)))
		return;
	if (!lost && !atomic_load(&aof.scheduled) && !grown())
		return;
	exec_alone_begin(loop);
	/* A last save, or CONFIG SET appendonly no, may have come while it waited. */
	if (!(dispatch_gates_now() & GATE_CLOSED)) {
		if (is_lost())
			begin_anew();
		else if (!lost)
			aof_rewrite();
	}
	exec_alone_end(loop);
}

bool aof_service_rewriting(void)
{
	return atomic_load(&aof.rewriting);
}

bool aof_service_scheduled(void)
{
	return atomic_load(&aof.scheduled);
}

unsigned aof_service_failures(void)
{
	return atomic_load(&aof.failures);
}

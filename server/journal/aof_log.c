/* aof_log: see aof_log.h. Appending, syncing, failing and recovering; rewrites are in aof_switch.c. */
#include "server/journal/aof_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "server/clock.h"
#include "server/config.h"
#include "server/journal/aof_state.h"
#include "server/journal/snapshot.h"
#include "server/log.h"

#define GATHER_MAX ((size_t)1 << 20)
#define SYNC_AFTER_MS 500             /* under everysec; with the time of an fsync itself well below a second */
#define SYNC_AFTER_BYTES ((uint64_t)64 << 20)
#define SYNC_AFTER_RECORDS ((uint64_t)1 << 18) /* the journal keeps what is not durable: well below its capacity */
#define NAP_MS 4
#define RETRY_MS 100
#define LOOK_MS 500
#define SLOW_SYNC_MS 1000
#define WRITEBACK_BYTES ((uint64_t)1 << 20) /* so that the fsync of a lap's increment finds little left to do */
#define LAP_MS 800 /* whoever loads the files without the wal lacks this at most, and what the fsync itself takes */
#define GROUP_WAIT_MAX_US 1000 /* for who is expected, at most; and no longer than GROUP_WAIT_SYNCS fsyncs take */
#define GROUP_WAIT_MIN_US 20
#define GROUP_WAIT_SYNCS 4
#define GROUP_SKIP_MAX 63

struct aof_log aof_log = { .durable = UINT64_MAX, .stats_mutex = PTHREAD_MUTEX_INITIALIZER,
	                   .rewrite = { .last_s = -1 }, .file = { .fd = -1 }, .wal = { .file = { .fd = -1 } } };

/* ------------------------------------------------------------------ small things */

void aof_log_path(const char *name, char *out, size_t size)
{
	int n = snprintf(out, size, "%s/%s", aof_log.dir, name);
	if (n < 0 || (size_t)n >= size)
		*out = 0; /* every use of it fails with ENOENT */
}

void aof_log_manifest_path(char *out, size_t size)
{
	char name[AOF_NAME_MAX + sizeof ".manifest"];
	snprintf(name, sizeof name, "%s.manifest", aof_log.name);
	aof_log_path(name, out, size);
}

static void nap(int ms)
{
	struct timespec t = { .tv_nsec = (long)ms * 1000000 };
	nanosleep(&t, NULL);
}

bool aof_log_running(void)
{
	return atomic_load_explicit(&aof_log.running, memory_order_acquire);
}

uint64_t aof_log_durable(void)
{
	return atomic_load(&aof_log.durable);
}

int aof_log_error(void)
{
	return atomic_load_explicit(&aof_log.error, memory_order_relaxed);
}

bool aof_log_complete(void)
{
	return !atomic_load(&aof_log.detached);
}

bool aof_log_lost(void)
{
	return atomic_load_explicit(&aof_log.lost, memory_order_relaxed);
}

unsigned aof_log_failures(void)
{
	return atomic_load(&aof_log.failures);
}

void aof_log_set_policy(const struct aof_log_policy *p)
{
	atomic_store(&aof_log.fsync, p->fsync);
	atomic_store(&aof_log.timestamps, p->timestamps);
	atomic_store(&aof_log.no_sync_on_rewrite, p->no_sync_on_rewrite);
	atomic_store(&aof_log.keep_history, p->keep_history);
	atomic_store(&aof_log.use_wal, p->wal);
	if (aof_log_running())
		journal_wake(aof_log.reader);
}

/* ------------------------------------------------------------------ writing */

static void publish(void)
{
	struct aof_log *l = &aof_log;
	l->synced_size = l->size;
	l->synced_chain = l->out.chain;
	l->unsynced_records = 0;
	l->first_unsynced_ms = 0;
	atomic_store(&l->pending, 0);
	if (l->written > atomic_load_explicit(&l->durable, memory_order_relaxed)) {
		journal_release(l->reader, l->written);
		atomic_store(&l->durable, l->written);
		l->advanced();
	}
}

/* Records up to a marker or a megabyte into the buffer. Whether there were any. 1, 0 or -ENOMEM. */
static int gather(void)
{
	struct aof_log *l = &aof_log;
	struct journal_record r;
	int64_t now_s = atomic_load_explicit(&l->timestamps, memory_order_relaxed) ? clock_wall_ms() / 1000 : 0;
	bool any = false;
	while (l->out.len < GATHER_MAX && !l->at_marker && journal_next(l->reader, &r)) {
		any = true;
		l->gathered = r.sequence;
		l->unsynced_records++;
		if (r.commands == 0)
			l->at_marker = r.sequence == l->rewrite.marker;
		else if (!aof_out_record(&l->out, r.db, r.commands, r.payload, r.len, now_s))
			return -ENOMEM;
	}
	return any;
}

/* Clients wait for the disk, and the log is one that counts. */
static bool wal_wanted(void)
{
	struct aof_log *l = &aof_log;
	return atomic_load_explicit(&l->fsync, memory_order_relaxed) == APPENDFSYNC_ALWAYS && !l->wal_failed &&
	       atomic_load_explicit(&l->use_wal, memory_order_relaxed) && !atomic_load(&l->detached);
}

static int write_out(void)
{
	struct aof_log *l = &aof_log;
	int err = l->out.len ? io_write(&l->file, l->out.buf, l->out.len) : 0;
	if (err)
		return err;
	if (l->size == l->own_size)
		l->lap_ms = clock_mono_ms();
	if (wal_wanted())
		aof_wal_append(&l->wal, l->incr_seq, l->size, l->out.buf, l->out.len);
	l->size += l->out.len;
	if (l->wal.at && l->size - l->written_back >= WRITEBACK_BYTES) {
		io_start_writeback(&l->file, l->written_back, l->size - l->written_back);
		l->written_back = l->size;
	}
	atomic_fetch_add(&l->pending, l->out.len);
	atomic_fetch_add(&l->total, l->out.len);
	l->out.len = 0;
	l->written = l->gathered;
	return 0;
}

static bool sync_forbidden(void)
{
	return atomic_load_explicit(&aof_log.no_sync_on_rewrite, memory_order_relaxed) && snapshot_running();
}

static void wal_path(char *out, size_t size)
{
	char manifest[4096];
	aof_log_manifest_path(manifest, sizeof manifest);
	if (!aof_wal_path(manifest, out, size))
		*out = 0;
}

static void give_up_wal(const char *what, int err)
{
	log_warning("Cannot %s %s.wal: %s. The append-only log does without it.", what, aof_log.name, strerror(-err));
	aof_log.wal_failed = true;
}

/* The increment is on the disk: the wal begins anew, or goes. Nobody waits for that. */
static void follow_with_wal(void)
{
	struct aof_log *l = &aof_log;
	char path[4096];
	bool wanted = wal_wanted();
	if (!wanted && l->wal.file.fd >= 0)
		aof_wal_close(&l->wal, true);
	if (!wanted)
		return;
	wal_path(path, sizeof path);
	int err = l->wal.file.fd >= 0 ? 0 : aof_wal_create(&l->wal, path);
	if (err)
		give_up_wal("make", err);
	else
		aof_wal_begin(&l->wal, l->incr_seq, l->size);
}

static int sync_increment(void)
{
	struct aof_log *l = &aof_log;
	int err = io_sync(&l->file);
	if (err)
		return err;
	l->own_size = l->written_back = l->size;
	return 0;
}

static int sync_wal(void)
{
	struct aof_log *l = &aof_log;
	int err = aof_wal_reaches(&l->wal, l->incr_seq, l->size) ? aof_wal_sync(&l->wal) : -ENOENT;
	if (!err)
		l->wal_size = l->size;
	else if (err != -ENOENT)
		give_up_wal("sync", err);
	return err;
}

int aof_log_sync(bool whole)
{
	struct aof_log *l = &aof_log;
	if (l->size != (whole ? l->own_size : l->synced_size)) {
		int64_t start_us = clock_mono_us();
		int err = whole || sync_wal() ? sync_increment() : 0;
		int64_t took_us = clock_mono_us() - start_us;
		if (took_us / 1000 > SLOW_SYNC_MS)
			atomic_fetch_add(&l->slow_syncs, 1);
		l->group.sync_us += (took_us - l->group.sync_us) / 8;
		l->group.records = l->written - atomic_load_explicit(&l->durable, memory_order_relaxed);
		if (err) {
			l->sync_failed = true;
			return err;
		}
	}
	publish();
	if (l->size == l->own_size && !atomic_load(&l->stop))
		follow_with_wal();
	return 0;
}

/* Whether the increment has been without what only the wal has for long enough. */
static bool lap_is_over(void)
{
	struct aof_log *l = &aof_log;
	return l->wal.at && l->size != l->own_size && !sync_forbidden() && clock_mono_ms() - l->lap_ms >= LAP_MS;
}

static int sync_if_due(bool now)
{
	struct aof_log *l = &aof_log;
	int policy = atomic_load_explicit(&l->fsync, memory_order_relaxed);
	if (l->written == atomic_load_explicit(&l->durable, memory_order_relaxed))
		return 0;
	if (!now && (policy == APPENDFSYNC_NO || sync_forbidden())) {
		publish();
		return 0;
	}
	if (!l->first_unsynced_ms)
		l->first_unsynced_ms = clock_mono_ms();
	if (now || policy == APPENDFSYNC_ALWAYS || atomic_load(&l->pending) >= SYNC_AFTER_BYTES ||
	    l->unsynced_records >= SYNC_AFTER_RECORDS || clock_mono_ms() - l->first_unsynced_ms >= SYNC_AFTER_MS)
		return aof_log_sync(lap_is_over());
	return 0;
}

/* One round: what is there is written and, if it is time, synced. 1: there was something, 0: nothing, or -errno. */
static int step(bool now)
{
	struct aof_log *l = &aof_log;
	int any = gather();
	if (any < 0)
		return any;
	int err = write_out();
	err = err ? err : l->at_marker ? aof_log_sync(true) : sync_if_due(now);
	if (err)
		return err;
	if (l->at_marker) {
		l->at_marker = false;
		aof_switch_at_marker();
	}
	aof_switch_finish();
	return any;
}

/* ------------------------------------------------------------------ failing and recovering */

static void failed(int err)
{
	struct aof_log *l = &aof_log;
	if (!atomic_load(&l->error))
		log_warning("Error %s the append-only log: %s. Writes are refused until it works again.",
		            l->sync_failed ? "syncing" : "writing", strerror(-err));
	atomic_store(&l->error, -err);
	atomic_fetch_add(&l->failures, 1);
	l->advanced();
}

/* After a failed fsync the kernel may have dropped what is durable only in the wal. 0 or -errno. */
static int restore_increment(void)
{
	struct aof_log *l = &aof_log;
	char path[4096];
	wal_path(path, sizeof path);
	int err = aof_wal_restore(path, l->dir, &l->manifest, l->wal_size);
	if (!err)
		l->own_size = l->wal_size;
	return err;
}

/* Everything behind what is durable is written again. 0 or -errno. */
static int recover(void)
{
	struct aof_log *l = &aof_log;
	int err = io_truncate(&l->file, l->synced_size), more;
	if (!err && l->own_size < l->wal_size)
		err = restore_increment();
	err = err ? err : aof_wal_clear(&l->wal);
	if (!err && l->sync_failed)
		err = aof_switch_new_segment();
	if (err)
		return err;
	l->sync_failed = false;
	atomic_fetch_sub(&l->total, l->size - l->synced_size);
	l->size = l->synced_size;
	l->out.len = 0;
	l->out.chain = l->synced_chain;
	l->out.db = AOF_NO_DB;
	l->at_marker = false;
	l->gathered = l->written = atomic_load(&l->durable);
	l->unsynced_records = 0;
	atomic_store(&l->pending, 0);
	journal_rewind(l->reader);
	while ((more = step(false)) > 0)
		;
	if (!more)
		more = sync_if_due(true);
	if (more)
		return more;
	log_notice("The append-only log can be written again: everything up to now is durable.");
	atomic_store(&l->error, 0);
	l->advanced();
	return 0;
}

static void retry(void)
{
	struct aof_log *l = &aof_log;
	nap(RETRY_MS);
	int err = atomic_load(&l->lost) ? -atomic_load(&l->error) : recover();
	if (err)
		atomic_store(&l->error, -err);
}

/* ------------------------------------------------------------------ groups */

/*
 * Under appendfsync always the clients of the last fsync are answered while those that came meanwhile wait for the next:
 * begun at once, each fsync would serve half of them, for ever. So the thread waits until as many records have come again
 * as it has just made durable, for the time of four fsyncs at most. Where they do not come, as with clients that think
 * between requests, it stops waiting for longer and longer.
 */
static void await_group(void)
{
	struct aof_log *l = &aof_log;
	uint64_t n = l->group.records;
	l->group.records = 0;
	if (!n || atomic_load_explicit(&l->fsync, memory_order_relaxed) != APPENDFSYNC_ALWAYS)
		return;
	uint64_t tail = journal_tail(l->journal);
	int64_t limit_us = l->group.sync_us * GROUP_WAIT_SYNCS;
	limit_us = limit_us < GROUP_WAIT_MAX_US ? limit_us : GROUP_WAIT_MAX_US;
	if (limit_us < GROUP_WAIT_MIN_US || n + tail - l->written < 2)
		return; /* a disk that answers at once, or a lone client */
	if (l->group.skip) {
		l->group.skip--;
		return;
	}
	journal_wait_for(l->reader, tail + n, limit_us);
	if (journal_tail(l->journal) - tail >= n - n / 4) {
		l->group.backoff = 0;
	} else {
		l->group.backoff = l->group.backoff < GROUP_SKIP_MAX ? 2 * l->group.backoff + 1 : GROUP_SKIP_MAX;
		l->group.skip = l->group.backoff;
	}
}

/* ------------------------------------------------------------------ the thread */

static void rest(void)
{
	struct aof_log *l = &aof_log;
	/* Between two syncs the thread looks from time to time instead of being woken for every turn of every loop. */
	if (l->written != atomic_load_explicit(&l->durable, memory_order_relaxed) &&
	    atomic_load_explicit(&l->fsync, memory_order_relaxed) != APPENDFSYNC_ALWAYS)
		nap(NAP_MS);
	else
		journal_wait(l->reader);
}

/* Whether somebody took the files away: what is written since would be in no file that a start finds. */
static bool files_vanished(void)
{
	struct aof_log *l = &aof_log;
	char path[4096];
	int64_t now_ms = clock_mono_ms();
	if (now_ms - l->looked_ms < LOOK_MS || atomic_load(&l->detached))
		return false;
	l->looked_ms = now_ms;
	aof_log_manifest_path(path, sizeof path);
	return access(path, F_OK) && errno == ENOENT;
}

/* What only a new beginning can mend. */
static bool beyond_repair(void)
{
	int err = journal_lost(aof_log.journal) ? -ENOMEM : files_vanished() ? -ENOENT : 0;
	if (err) {
		failed(err);
		atomic_store(&aof_log.lost, true); /* after the reason, which whoever sees it asks for */
	}
	return err;
}

static void *run(void *arg)
{
	struct aof_log *l = &aof_log;
	(void)arg;
#ifdef __linux__
	prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* else the kernel adds 50 us to each wait */
#endif
	for (;;) {
		await_group();
		bool stop = atomic_load(&l->stop), flush = atomic_load(&l->flush);
		if (atomic_load(&l->error)) {
			if (stop)
				break;
			retry();
			continue;
		}
		int r = step(false);
		if (r == 0 && beyond_repair())
			continue;
		if (r == 0 && (stop || flush || lap_is_over()))
			r = aof_log_sync(true);
		if (r < 0) {
			failed(r);
		} else if (r == 0) {
			if (stop)
				break;
			if (flush)
				atomic_store(&l->flush, false);
			rest();
		}
	}
	return NULL;
}

/* ------------------------------------------------------------------ start and stop */

static uint64_t size_of(const char *name)
{
	char path[4096];
	struct stat st;
	aof_log_path(name, path, sizeof path);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void aof_log_count_files(void)
{
	struct aof_log *l = &aof_log;
	uint64_t sum = 0;
	for (size_t i = 0; i < l->manifest.n; i++) {
		if (l->manifest.v[i].type != AOF_HISTORY)
			sum += size_of(l->manifest.v[i].name);
	}
	atomic_store(&l->total, sum);
	atomic_store(&l->base_size, sum);
}

static int open_increment(const struct aof_log_start *s)
{
	struct aof_log *l = &aof_log;
	const struct aof_file *last = aof_manifest_last_incr(&l->manifest);
	if (!s->append || !last)
		return aof_switch_open_next(!s->detached);
	char path[4096];
	aof_log_path(last->name, path, sizeof path);
	l->incr_seq = last->seq;
	l->size = l->synced_size = l->own_size = l->written_back = size_of(last->name);
	l->out.chain = l->synced_chain = s->chain;
	return io_open(&l->file, path, IO_APPEND);
}

static void reset(struct journal *j, const struct aof_log_start *s)
{
	struct aof_log *l = &aof_log;
	l->journal = j;
	l->advanced = s->advanced;
	snprintf(l->dir, sizeof l->dir, "%s", s->dir);
	snprintf(l->name, sizeof l->name, "%s", s->name);
	l->detached = s->detached;
	l->written = l->gathered = journal_tail(j);
	l->at_marker = l->sync_failed = false;
	l->unsynced_records = 0;
	l->first_unsynced_ms = 0;
	l->group.records = 0;
	l->size = l->synced_size = l->own_size = l->wal_size = l->written_back = 0;
	l->wal_failed = false;
	aof_out_restart(&l->out);
	atomic_store(&l->pending, 0);
	atomic_store(&l->error, 0);
	atomic_store(&l->lost, false);
	atomic_store(&l->stop, false);
	atomic_store(&l->flush, false);
	l->rewrite.marker = 0;
	l->rewrite.running = l->rewrite.ended = false;
}

int aof_log_start(struct journal *j, const struct aof_log_start *s)
{
	struct aof_log *l = &aof_log;
	int err = aof_manifest_copy(&l->manifest, s->manifest);
	if (err)
		return err;
	reset(j, s);
	aof_log_count_files();
	err = open_increment(s);
	if (!err && !(l->reader = journal_subscribe(j)))
		err = -ENOMEM;
	atomic_store(&l->durable, journal_tail(j));
	if (!err)
		err = -pthread_create(&l->thread, NULL, run, NULL);
	if (err) {
		journal_unsubscribe(l->reader);
		l->reader = NULL;
		io_close(&l->file);
		aof_manifest_clear(&l->manifest);
		atomic_store(&l->durable, UINT64_MAX);
		return err;
	}
	pthread_setname_np(l->thread, "shoal-aof");
	atomic_store(&l->running, true);
	return 0;
}

void aof_log_stop(void)
{
	struct aof_log *l = &aof_log;
	if (!aof_log_running())
		return;
	atomic_store(&l->stop, true);
	journal_wake(l->reader);
	pthread_join(l->thread, NULL);
	atomic_store(&l->running, false);
	journal_unsubscribe(l->reader);
	l->reader = NULL;
	aof_wal_close(&l->wal, l->own_size == l->size && !atomic_load(&l->error));
	io_close(&l->file);
	aof_out_clear(&l->out);
	aof_manifest_clear(&l->manifest);
	atomic_store(&l->error, 0);
	atomic_store(&l->durable, UINT64_MAX);
	l->advanced();
}

int aof_log_flush(void)
{
	struct aof_log *l = &aof_log;
	if (!aof_log_running())
		return 0;
	atomic_store(&l->flush, true);
	journal_wake(l->reader);
	while (atomic_load(&l->flush)) {
		if (aof_log_error())
			return -aof_log_error();
		nap(1);
	}
	return 0;
}

void aof_log_get_stats(struct aof_log_stats *out)
{
	struct aof_log *l = &aof_log;
	pthread_mutex_lock(&l->stats_mutex);
	*out = (struct aof_log_stats){
		.size = atomic_load(&l->total), .base_size = atomic_load(&l->base_size), .buffered = atomic_load(&l->pending),
		.rewriting = l->rewrite.running, .rewrite_started_ms = l->rewrite.started_ms, .last_rewrite_s = l->rewrite.last_s,
		.last_rewrite_err = l->rewrite.last_err, .rewrites = l->rewrite.count,
		.failed_in_row = l->rewrite.failed_in_row, .slow_syncs = atomic_load(&l->slow_syncs),
	};
	pthread_mutex_unlock(&l->stats_mutex);
}

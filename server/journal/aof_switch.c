/* aof_switch: from one increment to the next, and from one base to the next. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/clock.h"
#include "server/journal/aof_state.h"
#include "server/log.h"

static int write_manifest(const struct aof_manifest *m)
{
	char path[4096];
	aof_log_manifest_path(path, sizeof path);
	return aof_manifest_write(m, path);
}

int aof_switch_open_next(bool named)
{
	struct aof_log *l = &aof_log;
	struct aof_manifest next;
	struct io_file file;
	char name[AOF_NAME_MAX], path[4096];
	uint64_t seq = aof_manifest_top(&l->manifest, AOF_INCR) + 1;
	int n = snprintf(name, sizeof name, "%s.%llu.incr.aof", l->name, (unsigned long long)seq);
	if (n < 0 || (size_t)n >= sizeof name)
		return -ENAMETOOLONG;
	int err = aof_manifest_copy(&next, &l->manifest);
	err = err ? err : aof_manifest_add(&next, name, seq, AOF_INCR);
	if (err) {
		aof_manifest_clear(&next);
		return err;
	}
	aof_log_path(name, path, sizeof path);
	/* What an earlier attempt may have left under the name was never named by a manifest. */
	err = io_open(&file, path, IO_TRUNC | IO_APPEND);
	err = err ? err : io_sync(&file);
	err = err ? err : named ? write_manifest(&next) : io_sync_dir(path);
	if (err) {
		io_close(&file);
		aof_manifest_clear(&next);
		return err;
	}
	io_close(&l->file);
	aof_manifest_clear(&l->manifest);
	l->file = file;
	l->manifest = next;
	l->incr_seq = seq;
	l->size = l->synced_size = l->own_size = l->wal_size = l->written_back = 0;
	l->wal_failed = false;
	aof_out_restart(&l->out);
	l->synced_chain = 0;
	return 0;
}

int aof_switch_new_segment(void)
{
	struct aof_log *l = &aof_log;
	uint64_t lost = l->size - l->synced_size;
	/* The answer of this sync means nothing for the data, but gives the new length its chance. */
	int ignored = io_sync(&l->file);
	(void)ignored;
	int err = aof_switch_open_next(!l->detached);
	if (!err) {
		atomic_fetch_sub(&l->total, lost);
		log_notice("The append-only log goes on in a new file: %s", l->file.path);
	}
	return err;
}

/* ------------------------------------------------------------------ rewrites */

int aof_log_rewrite_begin(bool rdb, char *base_name)
{
	struct aof_log *l = &aof_log;
	if (l->rewrite.running)
		return -EBUSY;
	uint64_t seq = aof_manifest_top(&l->manifest, AOF_BASE) + 1;
	int n = snprintf(l->rewrite.base, sizeof l->rewrite.base, "%s.%llu.base.%s", l->name, (unsigned long long)seq,
	                 rdb ? "rdb" : "aof");
	if (n < 0 || (size_t)n >= sizeof l->rewrite.base)
		return -ENAMETOOLONG;
	memcpy(base_name, l->rewrite.base, sizeof l->rewrite.base);
	pthread_mutex_lock(&l->stats_mutex);
	l->rewrite.base_seq = seq;
	l->rewrite.running = true;
	l->rewrite.ended = l->rewrite.passed = l->rewrite.switched = false;
	l->rewrite.started_ms = clock_mono_ms();
	pthread_mutex_unlock(&l->stats_mutex);
	/* Everybody else is parked, so that the next sequence is the marker's. The thread must know it before it can read it. */
	atomic_store(&l->rewrite.marker, journal_tail(l->journal) + 1);
	journal_append(l->journal, 0, 0, "", 0);
	journal_commit(l->journal);
	return 0;
}

void aof_log_rewrite_end(int err)
{
	struct aof_log *l = &aof_log;
	pthread_mutex_lock(&l->stats_mutex);
	l->rewrite.err = err;
	l->rewrite.ended = true;
	pthread_mutex_unlock(&l->stats_mutex);
	if (aof_log_running())
		journal_wake(l->reader);
}

void aof_switch_at_marker(void)
{
	struct aof_log *l = &aof_log;
	/* An increment that is still empty will do: it begins where the base ends. So rewrites that fail pile up no files. */
	bool empty = l->size == 0;
	int err = empty ? 0 : aof_switch_open_next(!l->detached);
	if (err)
		log_warning("Cannot begin a new increment of the append-only log: %s. The rewrite will be dropped.",
		            strerror(-err));
	pthread_mutex_lock(&l->stats_mutex);
	l->rewrite.passed = true;
	l->rewrite.switched = !err;
	l->rewrite.incr_seq = l->incr_seq;
	pthread_mutex_unlock(&l->stats_mutex);
}

static void remove_history(void)
{
	struct aof_log *l = &aof_log;
	char path[4096];
	bool any = false;
	if (atomic_load(&l->keep_history))
		return;
	for (size_t i = 0; i < l->manifest.n; i++) {
		if (l->manifest.v[i].type != AOF_HISTORY)
			continue;
		aof_log_path(l->manifest.v[i].name, path, sizeof path);
		if (io_unlink(path))
			return; /* the manifest goes on naming it: the next rewrite tries again */
		any = true;
	}
	aof_manifest_drop_history(&l->manifest);
	if (any && write_manifest(&l->manifest))
		log_warning("The manifest of the append-only log still names files that were removed.");
}

/* The manifest with the new base. 0 or -errno, then the old one goes on. */
static int take_base(void)
{
	struct aof_log *l = &aof_log;
	struct aof_manifest next;
	int err = aof_manifest_copy(&next, &l->manifest);
	if (err)
		return err;
	aof_manifest_retire(&next, l->rewrite.incr_seq);
	err = aof_manifest_add(&next, l->rewrite.base, l->rewrite.base_seq, AOF_BASE);
	err = err ? err : write_manifest(&next);
	if (err) {
		aof_manifest_clear(&next);
		return err;
	}
	aof_manifest_clear(&l->manifest);
	l->manifest = next;
	l->detached = false;
	remove_history();
	return 0;
}

void aof_switch_finish(void)
{
	struct aof_log *l = &aof_log;
	pthread_mutex_lock(&l->stats_mutex);
	bool due = l->rewrite.running && l->rewrite.ended && (l->rewrite.passed || l->rewrite.err);
	int err = l->rewrite.err ? l->rewrite.err : l->rewrite.switched ? 0 : -EIO;
	pthread_mutex_unlock(&l->stats_mutex);
	if (!due)
		return;
	err = err ? err : take_base();
	l->advanced(); /* a log that was incomplete counts from now on, before anybody hears that it does */
	char path[4096];
	aof_log_path(l->rewrite.base, path, sizeof path);
	pthread_mutex_lock(&l->stats_mutex);
	l->rewrite.running = false;
	l->rewrite.last_s = (clock_mono_ms() - l->rewrite.started_ms) / 1000;
	l->rewrite.last_err = err;
	l->rewrite.count++;
	l->rewrite.failed_in_row = err ? l->rewrite.failed_in_row + 1 : 0;
	if (!err) {
		aof_log_count_files();
	}
	pthread_mutex_unlock(&l->stats_mutex);
	if (err) {
		io_unlink(path);
		log_warning("Background AOF rewrite failed: %s. The log goes on as it was.", strerror(-err));
	} else {
		log_notice("Background AOF rewrite finished successfully");
	}
}

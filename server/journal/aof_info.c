/* aof_info: what INFO, WAITAOF and refused writers are told about the append-only log. */
#include <errno.h>
#include <string.h>

#include "server/aof.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/hold.h"
#include "server/info_text.h"
#include "server/journal/aof_log.h"
#include "server/journal/aof_service.h"
#include "server/reply.h"

void aof_refuse_write(struct reply *r)
{
	int err = aof_log_error();
	reply_errorf(r, "MISCONF Errors writing to the AOF file: %s", strerror(err ? err : EIO));
}

uint64_t aof_journaled(void)
{
	return journal_tail(dispatch_journal());
}

uint64_t aof_durable(void)
{
	return aof_log_running() ? aof_log_durable() : 0;
}

bool aof_enabled(void)
{
	return aof_log_running();
}

void aof_info_status(struct info_text *t)
{
	struct aof_log_stats s;
	aof_log_get_stats(&s);
	bool rewriting = s.rewriting || aof_service_rewriting();
	int64_t now_ms = clock_mono_ms();
	info_num(t, "aof_enabled", aof_log_running());
	info_num(t, "aof_rewrite_in_progress", rewriting);
	info_num(t, "aof_rewrite_scheduled", aof_service_scheduled());
	info_num(t, "aof_last_rewrite_time_sec", s.last_rewrite_s);
	info_num(t, "aof_current_rewrite_time_sec", s.rewriting ? (now_ms - s.rewrite_started_ms) / 1000 : -1);
	info_add(t, "aof_last_bgrewrite_status:%s\r\n", s.last_rewrite_err || aof_service_failures() ? "err" : "ok");
	info_num(t, "aof_rewrites", (int64_t)s.rewrites);
	info_num(t, "aof_rewrites_consecutive_failures", (int64_t)aof_service_failures());
	info_add(t, "aof_last_write_status:%s\r\naof_last_cow_size:0\r\n", aof_log_error() ? "err" : "ok");
}

void aof_info_sizes(struct info_text *t)
{
	struct aof_log_stats s;
	if (!aof_log_running())
		return;
	aof_log_get_stats(&s);
	info_num(t, "aof_current_size", (int64_t)s.size);
	info_num(t, "aof_base_size", (int64_t)s.base_size);
	info_num(t, "aof_pending_rewrite", 0);
	info_num(t, "aof_buffer_length", (int64_t)s.buffered);
	info_num(t, "aof_pending_bio_fsync", s.buffered != 0);
	info_num(t, "aof_delayed_fsync", (int64_t)s.slow_syncs);
	info_num(t, "journal_parked", (int64_t)hold_parked());
}

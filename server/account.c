/* account: see account.h. */
#include "server/account.h"

#include "server/call.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/latency.h"
#include "server/monitor.h"
#include "server/slowlog.h"
#include "server/worker.h"

/* Set alone, read by every loop. */
static uint64_t slow_ticks = UINT64_MAX; /* what takes as long is looked at more closely */
static double ns_per_tick;
static bool tracking;

/* Rare: the slow log and the latency monitor. */
static __attribute__((noinline, cold)) void note_slow(struct call *c, uint64_t ticks)
{
	int64_t us = (int64_t)((double)ticks * ns_per_tick / 1000), limit = config()->slowlog_log_slower_than_us;
	latency_spike(c->cmd->flags & CMD_FAST ? "fast-command" : "command", us);
	if (limit >= 0 && us >= limit && !(c->cmd->flags & CMD_SKIP_SLOWLOG))
		slowlog_add(c, us);
}

static void note_ran(struct worker *w, struct call *c, uint64_t ticks)
{
	struct stats_command *sc = &w->stats->command[c->cmd->id];
	stats_add(&sc->calls, 1);
	stats_add(&sc->ticks, ticks);
	if (__builtin_expect(c->reply->errored, 0))
		stats_add(&sc->failed, 1);
	if (__builtin_expect(tracking, 1))
		latency_record(w->index, c->cmd->id, (uint64_t)(int64_t)((double)(int64_t)ticks * ns_per_tick));
	if (__builtin_expect(ticks >= slow_ticks, 0))
		note_slow(c, ticks);
	if (monitored() && !c->waiter)
		monitor_feed(c);
}

void account_blocked(struct worker *w, struct call *c)
{
	w->ticks = clock_ticks();
	if (monitored())
		monitor_feed(c);
}

void account(struct worker *w, struct call *c, bool ran)
{
	struct stats_loop *s = w->stats;
	uint64_t now = clock_ticks();
	if (__builtin_expect(ran, 1))
		note_ran(w, c, now - w->ticks);
	else if (c->cmd)
		stats_add(&s->command[c->cmd->id].rejected, 1);
	w->ticks = now;
	stats_add(&s->counter[STAT_COMMANDS], ran);
	if (__builtin_expect(c->dirty != 0, 0))
		stats_add(&s->counter[STAT_DIRTY], c->dirty);
	if (__builtin_expect(c->reply->errored, 0)) {
		stats_add(&s->counter[STAT_ERRORS], 1);
		stats_error(c->reply->error_code);
		c->reply->errored = false;
	}
}

static bool apply(const struct config *now, char **error)
{
	(void)error;
	double per_us = clock_ticks_per_us();
	int64_t slow_us = now->slowlog_log_slower_than_us, spike_us = now->latency_monitor_threshold_ms * 1000;
	if (slow_us < 0 || (spike_us && spike_us < slow_us))
		slow_us = spike_us ? spike_us : -1;
	slow_ticks = slow_us < 0 ? UINT64_MAX : (uint64_t)((double)slow_us * per_us);
	ns_per_tick = 1000 / per_us;
	tracking = now->latency_tracking;
	return true;
}

void account_init(void)
{
	apply(config(), NULL);
	config_on_change("slowlog-log-slower-than", apply);
	config_on_change("latency-monitor-threshold", apply);
	config_on_change("latency-tracking", apply);
}

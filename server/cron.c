/*
 * cron: what a loop does from time to time: its shards' upkeep (expiry, shrinking), output limits of clients that do
 * nothing, and on loop 0 the samples and the end of CLIENT PAUSE.
 */
#include "server/cron.h"

#include "server/aof.h"
#include "server/block.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/evict.h"
#include "server/exec.h"
#include "server/journal/snapshot.h"
#include "server/persist.h"
#include "server/server.h"
#include "server/worker.h"

#define UPKEEP_SHARE 4      /* at most a quarter of the time goes into upkeep */
#define UPKEEP_SLICE_US 500 /* and never more at once, so that no client waits long */
#define SAMPLE_MS 100
#define SNAPSHOT_PERIOD_MS 1

bool cron_expiry_off, cron_paused;

/* Returns whether work was left over. */
static bool upkeep(struct worker *w, int64_t period_ms)
{
	struct store_op op = { 0 };
	worker_op(w, 0, &op);
	op.ctx = NULL; /* effects of the ticker are journaled one by one */
	int64_t budget_us = period_ms * 1000 / UPKEEP_SHARE;
	bool expire = !op.keep_expired && !cron_expiry_off;
	int64_t start_us = clock_mono_us();
	struct store_tick_result r =
		store_tick(&op, w->index, budget_us < UPKEEP_SLICE_US ? budget_us : UPKEEP_SLICE_US, expire);
	stats_add(&w->stats->counter[STAT_EXPIRE_CYCLES], 1);
	stats_add(&w->stats->counter[STAT_EXPIRE_US], (uint64_t)(clock_mono_us() - start_us));
	return r.more;
}

static void end_pause(struct worker *w)
{
	bool writes_only;
	int64_t until = client_paused_until_ms(&writes_only);
	if (!dispatch_paused || until > w->now_ms)
		return;
	exec_alone_begin(w->index);
	client_unpause_all();
	exec_alone_end(w->index);
}

/* Soft output limits also hold for clients that send nothing: their time may have run out. */
static void check_clients(struct worker *w)
{
	struct net_conn *conn = net_conn_next(w->net, NULL);
	for (; conn; conn = net_conn_next(w->net, conn)) {
		struct client *c = net_conn_ctx(conn);
		if (!c || !c->soft_limit_since_ms)
			continue;
		const struct config_output_limit *limit =
			&config()->output_limit[c->flags & CLIENT_PUBSUB ? OUTPUT_PUBSUB : OUTPUT_NORMAL];
		if (net_out_pending(conn) <= limit->soft_bytes) {
			c->soft_limit_since_ms = 0;
		} else if (w->mono_ms - c->soft_limit_since_ms > limit->soft_seconds * 1000) {
			stats_add(&w->stats->counter[STAT_OUTPUT_LIMIT_CLOSES], 1);
			net_close_now(conn, NET_BY_OVERFLOW);
		}
	}
}

int64_t cron_tick(struct net_loop *loop)
{
	struct worker *w = net_loop_ctx(loop);
	int64_t period_ms = 1000 / (config()->hz > 0 ? config()->hz : 10);
	worker_refresh_clock(w);
	if (cron_paused)
		return period_ms;
	bool snapshot = snapshot_tick(w->index), loading = dispatch_gates_now() & GATE_LOADING;
	if (snapshot && w->mono_ms - w->upkept_ms < period_ms)
		return SNAPSHOT_PERIOD_MS;
	w->upkept_ms = w->mono_ms;
	bool more = loading ? false : upkeep(w, period_ms);
	block_serve_late(w);
	if (snapshot)
		period_ms = SNAPSHOT_PERIOD_MS;
	else if (more)
		period_ms = UPKEEP_SLICE_US * (UPKEEP_SHARE - 1) / 1000 + 1;
	if (w->mono_ms - w->sampled_ms < SAMPLE_MS)
		return period_ms;
	w->sampled_ms = w->mono_ms;
	check_clients(w);
	if (!loading)
		evict_tick(w);
	block_serve_late(w);
	if (w->index == 0) {
		stats_sample(w->mono_ms);
		end_pause(w);
		persist_tick(w->index, w->now_ms);
		if (!loading)
			aof_tick(w->index);
	}
	return period_ms;
}

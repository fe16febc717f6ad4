/*
 * server: start and stop: builds store, journal, workers and listeners from the configuration, runs the loops, and takes
 * them down in the reverse order.
 */
#include "server/server.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "server/account.h"
#include "server/acl.h"
#include "server/aof.h"
#include "server/block.h"
#include "server/busy.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/evict.h"
#include "server/exec.h"
#include "server/hold.h"
#include "server/info.h"
#include "server/journal/journal.h"
#include "server/latency.h"
#include "server/listen.h"
#include "server/log.h"
#include "server/monitor.h"
#include "server/notify.h"
#include "server/persist.h"
#include "server/process.h"
#include "server/pubsub.h"
#include "server/replay.h"
#include "server/script/functions.h"
#include "server/script/script.h"
#include "server/tls.h"
#include "server/touch.h"
#include "server/tracking.h"
#include "server/txn.h"
#include "server/worker.h"

#define JOURNAL_DESCRIPTORS (1 << 20) /* under everysec the journal keeps half a second */
#define STOP_DEADLINE_MS 9000 /* the whole stop is promised within ten seconds */

static struct {
	struct store *store;
	struct net_server *net;
	struct journal *journal;
	int64_t start_ms;
	unsigned loops;
	char run_id[41];
	sem_t stop;             /* one post per request, as a refused one takes none of the others with it */
	atomic_uint stop_flags; /* of the requests not yet taken up */
	atomic_bool stopping;
} server;

struct store *server_store(void)
{
	return server.store;
}

struct net_server *server_net(void)
{
	return server.net;
}

int64_t server_start_ms(void)
{
	return server.start_ms;
}

const char *server_run_id(void)
{
	return server.run_id;
}

unsigned server_loops(void)
{
	return server.loops;
}

int server_port(void)
{
	return listen_port();
}

bool server_shutting_down(void)
{
	return atomic_load(&server.stopping);
}

void server_shutdown(unsigned flags)
{
	atomic_fetch_or(&server.stop_flags, flags);
	atomic_store(&server.stopping, true);
	sem_post(&server.stop);
}

void server_init(void)
{
	sem_init(&server.stop, 0, 0);
}

/* ------------------------------------------------------------------ hooks of the store */

/* A key expired or was evicted: its deletion belongs to the effects of whoever found it. */
static void key_removed(void *ctx, struct store_op *op, enum store_removal why, const struct store_key *key,
                        const struct entry *e)
{
	(void)ctx, (void)e;
	struct worker *w = worker_current;
	struct call *c = op->ctx, ticker;
	bool expired = why == STORE_EXPIRED;
	if (w)
		stats_add(&w->stats->counter[expired ? STAT_EXPIRED : STAT_EVICTED], 1);
	struct arg del[2] = { { "DEL", 3 }, { key->ptr, key->len } };
	if (!c && !call_observed() && !journal_active(server.journal))
		return;
	if (!c && w) {
		/* The ticker's own unit: one record per key. */
		ticker = (struct call){ .op = *op, .client = NULL, .loop = w->index, .reply = &w->reply };
		c = &ticker;
		if (journal_active(server.journal)) {
			effects_use_db(&w->effects, op->db);
			effects_add(&w->effects, 2, del);
			size_t len;
			const char *bytes = effects_bytes(&w->effects, &len);
			journal_append(server.journal, op->db, 1, bytes, len);
			effects_reset(&w->effects);
		}
	} else if (c && c->effects) {
		effects_use_db(c->effects, op->db);
		effects_add(c->effects, 2, del);
	}
	if (c)
		touch_removed(c, key, expired ? NOTIFY_EXPIRED : NOTIFY_EVICTED, expired ? "expired" : "evicted");
}

static void lock_wait_out(void *ctx)
{
	(void)ctx;
	if (worker_current)
		exec_out(worker_current->index);
}

static int lock_wait_idle(void *ctx)
{
	(void)ctx;
	return busy_idle();
}

static void lock_wait_in(void *ctx)
{
	(void)ctx;
	struct worker *w = worker_current;
	if (!w)
		return;
	exec_in(w->index);
	stats_add(&w->stats->counter[STAT_LOCK_WAITS], 1);
	worker_refresh_clock(w);
}

/* ------------------------------------------------------------------ hooks of the loops */

static void loop_start(struct net_loop *l)
{
	struct worker *w = worker_of((unsigned)net_loop_index(l));
	crash_thread_init();
	worker_current = w;
	w->net = l;
	net_loop_set_ctx(l, w);
	turn_start(w);
	exec_in(w->index);
	worker_refresh_clock(w);
}

static void loop_stop(struct net_loop *l)
{
	exec_out((unsigned)net_loop_index(l));
}

static int before_wait(struct net_loop *l, int timeout_ms)
{
	/* Where replies wait for the disk, all clients wait for it at once: nothing would come during the sleep. */
	net_loop_gather(l, !hold_on());
	exec_out((unsigned)net_loop_index(l));
	return timeout_ms;
}

static void after_wait(struct net_loop *l)
{
	struct worker *w = net_loop_ctx(l);
	exec_in(w->index);
	hold_after_wait(w);
	block_after_wait(w);
}

static void net_log(struct net_server *s, int level, const char *text)
{
	(void)s;
	log_write(level >= 2 ? LOG_LEVEL_WARNING : level == 1 ? LOG_LEVEL_NOTICE : LOG_LEVEL_DEBUG, "%s", text);
}

static const struct net_events events = {
	.loop_start = loop_start,
	.loop_stop = loop_stop,
	.open = accept_open,
	.data = turn_data,
	.before_write = turn_before_write,
	.flush = hold_flush,
	.watermark = accept_watermark,
	.close = accept_close,
	.tick = cron_tick,
	.before_wait = before_wait,
	.after_wait = after_wait,
	.log = net_log,
};

/* ------------------------------------------------------------------ start */

static void make_run_id(void)
{
	unsigned char bytes[20];
	if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
		memset(bytes, (int)getpid(), sizeof bytes);
	for (size_t i = 0; i < sizeof bytes; i++)
		snprintf(server.run_id + 2 * i, 3, "%02x", bytes[i]);
}

static int open_store(const struct config *cfg)
{
	struct store_options o;
	int err = 0;
	store_options_init(&o);
	o.shards = (unsigned)cfg->shards;
	o.dbs = (unsigned)cfg->databases;
	o.loops = server.loops;
	o.hooks = (struct store_hooks){ .removed = key_removed, .wait_out = lock_wait_out, .wait_in = lock_wait_in,
		                        .wait_idle = lock_wait_idle };
	server.store = store_open(&o, &err);
	if (!server.store)
		return err;
	store_set_single(server.store, server.loops == 1);
	return 0;
}

static int open_net(const struct config *cfg)
{
	struct net_options o;
	int err = 0;
	net_options_init(&o);
	o.loops = (int)server.loops;
	o.backlog = cfg->tcp_backlog;
	o.tcp_keepalive_s = cfg->tcp_keepalive_s;
	o.idle_timeout_ms = cfg->timeout_s * 1000;
	o.balance = NET_LEAST_CONNECTIONS;
	o.backend = NET_BACKEND_EPOLL;
	o.gather_us = cfg->gather_us;
	o.batch_sends = cfg->batch_sends;
	o.thread_name = "shoal";
	server.net = net_server_new(&events, &o, &err);
	if (!server.net)
		return err;
	return listen_open(server.net, cfg);
}

static bool apply_keepalive(const struct config *now, char **error)
{
	(void)error;
	net_server_set_keepalive(server.net, now->tcp_keepalive_s);
	return true;
}

static bool apply_timeout(const struct config *now, char **error)
{
	(void)error;
	net_server_set_idle_timeout(server.net, now->timeout_s * 1000);
	struct client *c = NULL;
	while ((c = client_next(c))) {
		if (!(c->flags & CLIENT_BLOCKED))
			net_set_idle_timeout(c->conn, now->timeout_s * 1000);
	}
	return true;
}

/* rename-command: the table must be there, and nobody may use it yet. */
static int rename_commands(const struct config *cfg)
{
	for (size_t i = 0; i + 1 < cfg->rename_command.n; i += 2) {
		int err = command_rename(cfg->rename_command.v[i], cfg->rename_command.v[i + 1]);
		if (!err)
			continue;
		log_warning("rename-command \"%s\" \"%s\": %s", cfg->rename_command.v[i], cfg->rename_command.v[i + 1],
		            err == -ENOENT   ? "No such command in rename-command"
		            : err == -EEXIST ? "Target command name already exists"
		                             : strerror(-err));
		return err;
	}
	return 0;
}

static int start(const struct config *cfg)
{
	server.start_ms = clock_wall_ms();
	server.loops = (unsigned)cfg->loops;
	make_run_id();
	int err = command_init();
	err = err ? err : rename_commands(cfg);
	exec_idle = busy_idle;
	err = err ? err : exec_init(server.loops + 1);
	err = err ? err : stats_init(server.loops, command_count());
	if (!err)
		info_init();
	if (!err && acl_start(cfg))
		return -EINVAL; /* it said why */
	err = err ? err : worker_init(server.loops + 1);
	err = err ? err : open_store(cfg);
	err = err ? err : txn_init(server.store);
	err = err ? err : block_init(server.store);
	err = err ? err : tracking_init(server.store, server.loops);
	err = err ? err : latency_init(server.loops, command_count());
	err = err ? err : monitor_init(server.loops);
	account_init();
	err = err ? err : script_init(server.loops + 1);
	err = err ? err : functions_init(server.loops + 1);
	err = err ? err : evict_init(server.loops);
	err = err ? err : pubsub_init(server.loops);
	notify_init();
	server.journal = journal_new(JOURNAL_DESCRIPTORS);
	if (!err && !server.journal)
		err = -ENOMEM;
	dispatch_set_journal(server.journal);
	if (server.journal)
		aof_init();
	if (err) {
		log_warning("Cannot start: %s", strerror(-err));
		return err;
	}
	config_on_change("tcp-keepalive", apply_keepalive);
	config_on_change("timeout", apply_timeout);
	return open_net(cfg);
}

static void take_down(void)
{
	aof_end();
	if (server.net)
		net_server_free(server.net);
	tls_free();
	replay_stop();
	if (server.journal)
		journal_free(server.journal);
	if (server.store)
		store_close(server.store);
	txn_free();
	block_free();
	tracking_free();
	pubsub_free();
	monitor_free();
	latency_free();
	script_free();
	functions_free();
	evict_free();
	acl_stop();
	worker_free();
	exec_free();
}

/* ------------------------------------------------------------------ work for a loop, asked for by the main thread */

/* Run alone, on loop 0; the main thread waits. */
struct errand {
	struct net_msg msg;
	int (*run)(void);
	int result;
	sem_t done;
};

static void run_errand(struct net_loop *l, struct net_msg *m)
{
	struct errand *e = (struct errand *)m;
	unsigned loop = (unsigned)net_loop_index(l);
	exec_alone_begin(loop);
	worker_refresh_clock(worker_of(loop));
	e->result = e->run();
	exec_alone_end(loop);
	sem_post(&e->done);
}

static int run_on_loop(int (*run)(void))
{
	struct errand e = { .msg.run = run_errand, .run = run };
	sem_init(&e.done, 0, 0);
	net_post(net_server_loop(server.net, 0), &e.msg);
	while (sem_wait(&e.done) && errno == EINTR)
		;
	sem_destroy(&e.done);
	return e.result;
}

static int end_loading(void)
{
	int err = aof_begin();
	persist_loaded();
	return err;
}

static unsigned last_flags; /* of the request that is being carried out; the main thread's and its errand's */

/* Others may have asked, too, while the errand waited for a safepoint, and been promised that nothing is saved. */
static int last_save(void)
{
	unsigned flags = last_flags | atomic_load(&server.stop_flags);
	return flags & SHUTDOWN_SAVED ? 0 : persist_shutdown(flags);
}

/* A request that cannot be granted, as something cannot be saved, leaves the server running. */
static void wait_for_stop(void)
{
	for (;;) {
		while (sem_wait(&server.stop))
			;
		last_flags = atomic_exchange(&server.stop_flags, 0);
		atomic_store(&server.stopping, true); /* the request before this one may have withdrawn it */
		log_warning("User requested shutdown...");
		if (last_flags & SHUTDOWN_SAVED || run_on_loop(last_save) == 0)
			return;
		atomic_store(&server.stopping, false);
	}
}

/* With the loops answering. false: the process is to end. */
static bool load(void)
{
	int err = persist_load();
	if (err && err != -ECANCELED)
		return false;
	return err == -ECANCELED || run_on_loop(end_loading) == 0;
}

int server_run(void)
{
	const struct config *cfg = config();
	bool tcp = cfg->port != 0; /* once the loops run, cfg may be replaced */
	log_notice("Server initialized");
	log_notice("PID: %d", (int)getpid());
	if (start(cfg)) {
		take_down();
		return 1;
	}
	process_listening();
	config_log_waiting();
	bool loading = persist_init();
	int err = net_server_start(server.net, false);
	if (err) {
		log_warning("Cannot start the loops: %s", strerror(-err));
		take_down();
		return 1;
	}
	bool loaded = !loading || load();
	if (loaded && !server_shutting_down()) { /* a stop ends the loading, too */
		log_notice("Ready to accept connections%s", tcp ? " tcp" : " unix");
		process_ready();
	}
	if (loaded)
		wait_for_stop();
	net_server_stop(server.net, STOP_DEADLINE_MS);
	net_server_wait(server.net);
	process_cleanup();
	take_down();
	if (!loaded)
		return 1;
	log_warning("shoal-server is now ready to exit, bye bye...");
	return 0;
}

/*
 * dispatch: one command, from its row to its journal record: checks, locks by execution class, the handler, effects,
 * statistics. What runs for every command is in dispatch_client() and run_keyed(); the rest is for rare cases.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "server/account.h"
#include "server/acl.h"
#include "server/aof.h"
#include "server/block.h"
#include "server/busy.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/effects.h"
#include "server/evict.h"
#include "server/exec.h"
#include "server/hold.h"
#include "server/journal/journal.h"
#include "server/persist.h"
#include "server/script/script.h"
#include "server/server.h"
#include "server/tracking.h"
#include "server/txn.h"
#include "server/worker.h"

/* What most commands do not need must not take room in the way of all; what few ever need may be slow, too. */
#define APART __attribute__((noinline))
#define COLD __attribute__((noinline, cold))

bool dispatch_paused;
unsigned dispatch_gates;

static struct journal *journal;

void dispatch_set_journal(struct journal *j)
{
	journal = j;
}

struct journal *dispatch_journal(void)
{
	return journal;
}

static inline unsigned gates(void)
{
	return __atomic_load_n(&dispatch_gates, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ running */

/* What the journal gets of one command, unless its handler said it already. */
static void gather_effects(struct call *c)
{
	struct effects *fx = c->effects;
	if (c->dirty && !fx->replaced && !c->no_journal) {
		effects_use_db(fx, c->op.db);
		effects_add(fx, c->argc, c->argv);
	}
}

/* Everything the command did enters the journal once, while its locks are held. */
static void commit_effects(struct call *c)
{
	struct effects *fx = c->effects;
	gather_effects(c);
	if (effects_count(fx)) {
		size_t len;
		const char *bytes = effects_bytes(fx, &len);
		c->client->journaled = journal_append(journal, effects_db(fx, c->op.db), effects_count(fx), bytes, len);
	}
	effects_reset(fx);
}

void dispatch_run(struct call *c)
{
	c->cmd->run(c);
}

static inline void run_and_commit(struct call *c)
{
	if (__builtin_expect(worker_current->restricted, 0)) { /* the effects are those of the command under way */
		c->effects = NULL;
		dispatch_run(c);
		return;
	}
	if (__builtin_expect((gates() & GATE_CLOSED) | dispatch_paused, 0) && dispatch_too_late(c)) {
		c->turned_away = true;
		script_give_up(c);
		return;
	}
	/* Only now: somebody may have subscribed while this command waited. */
	c->effects = journal_active(journal) ? &worker_current->effects : NULL;
	dispatch_run(c);
	if (__builtin_expect(c->client->flags & CLIENT_TRACKING, 0))
		tracking_after(c, false);
	if (__builtin_expect(c->effects != NULL, 0))
		commit_effects(c);
	if (__builtin_expect(worker_current->block_ready, 0))
		block_serve(c);
}

static const char oom_text[] = "OOM command not allowed when used memory > 'maxmemory'.";

/* What may have changed since the command was checked. Nothing can be evicted here, as locks are held; where eviction can
 * help at all, the next command evicts. */
static bool waiter_allowed(struct call *c)
{
	if (c->client->flags & CLIENT_RESTRICTED && !acl_allows(c))
		return false;
	if (!(c->cmd->flags & CMD_DENYOOM) || !evict_needed() || evict_can())
		return true;
	reply_error(c->reply, oom_text);
	return false;
}

bool dispatch_waiter(struct call *c)
{
	c->effects = journal_active(journal) ? &worker_current->effects : NULL;
	bool ran = waiter_allowed(c);
	if (ran)
		dispatch_run(c);
	if (c->effects)
		commit_effects(c);
	return ran;
}

static APART void run_alone(struct worker *w, struct call *c)
{
	exec_alone_begin(w->index);
	worker_refresh_clock(w);
	c->op.now_ms = w->now_ms;
	c->op.exclusive = true;
	c->alone = true;
	c->held = CALL_HOLDS_ALL;
	run_and_commit(c);
	c->alone = false;
	c->op.exclusive = false;
	exec_alone_end(w->index);
}

/* ------------------------------------------------------------------ locks for those who wait */

struct look {
	const struct call *c;
	const struct store_lockset *locks;
	struct block_more *more;
	unsigned limit;
};

static void look_at_key(void *ctx, uint64_t hash)
{
	const struct look *l = ctx;
	block_look(l->c->op.store, l->locks, hash, l->limit, l->more);
}

static void each_key(const struct call *c, void (*fn)(void *ctx, uint64_t hash), void *ctx)
{
	struct key_refs keys;
	if (txn_is_exec(c->cmd)) {
		txn_each_key(c, fn, ctx);
	} else if (!command_keys(c->cmd, c->argv, c->argc, &keys)) {
		for (unsigned i = 0; i < keys.n; i++) {
			const struct arg *a = &c->argv[keys.v[i].arg];
			fn(ctx, store_key(c->op.store, a->ptr, a->len).hash);
		}
		key_refs_clear(&keys);
	}
}

/* Keys that waiters need besides the command's own. A list's commands feed at most one waiter with each argument. */
static void look(const struct call *c, const struct store_lockset *locks, struct block_more *more)
{
	bool list = c->cmd->group && !strcmp(c->cmd->group, "list");
	struct look l = { c, locks, more, list ? c->argc - 2 : UINT32_MAX };
	each_key(c, look_at_key, &l);
	for (unsigned i = 0; i < more->n; i++) {
		/* The key that a waiter writes to has waiters of its own, perhaps; seen once it is locked. */
		if (block_locked(c->op.store, locks, more->hash[i]))
			look_at_key(&l, more->hash[i]);
	}
}

/* Lock them all, and whatever else those need who may be served with this command. false: it is to run alone. */
static bool lock_all(struct call *c, struct store_lockset *locks)
{
	struct block_more more = { 0 };
	uint32_t flags = c->cmd->flags | (txn_is_exec(c->cmd) ? txn_flags(c->client) : 0);
	bool writes = flags & (CMD_WRITE | CMD_MAY_REPLICATE);
	store_lockset_lock(c->op.store, locks);
	while (block_waiting() && writes && server_loops() > 1) {
		unsigned before = more.n;
		look(c, locks, &more);
		if (!more.alone && more.n == before)
			break;
		store_lockset_unlock(c->op.store, locks);
		for (unsigned i = before; i < more.n && !more.alone; i++)
			more.alone = !store_lockset_add(c->op.store, locks, more.hash[i]);
		if (more.alone)
			return false;
		store_lockset_lock(c->op.store, locks);
	}
	return true;
}

static void let_others_go_on(struct call *c)
{
	c->op.exclusive = false;
	c->alone = false;
	if (c->stopped == CALL_UPGRADED)
		exec_downgrade(c->loop);
	else
		exec_alone_end(c->loop);
	c->stopped = CALL_STOPPED_NOBODY;
}

static void run_locked(struct worker *w, struct call *c, struct store_lockset *locks)
{
	if (!lock_all(c, locks)) {
		run_alone(w, c);
		return;
	}
	c->op.now_ms = w->now_ms; /* a wait refreshed it */
	c->held = CALL_HOLDS_SET;
	c->locks = locks;
	run_and_commit(c);
	c->locks = NULL;
	if (c->stopped)
		let_others_go_on(c);
	store_lockset_unlock(c->op.store, locks);
}

/* Commands of several keys lock all their shards; what cannot be resolved runs alone and lets its handler say why. */
static APART void run_many_keys(struct worker *w, struct call *c)
{
	struct key_refs keys;
	struct store_lockset locks;
	if (command_keys(c->cmd, c->argv, c->argc, &keys)) {
		run_alone(w, c);
		return;
	}
	store_lockset_init(&locks);
	bool ok = true;
	for (unsigned i = 0; i < keys.n && ok; i++) {
		const struct arg *a = &c->argv[keys.v[i].arg];
		ok = store_lockset_add(c->op.store, &locks, store_key(c->op.store, a->ptr, a->len).hash);
	}
	key_refs_clear(&keys);
	if (ok)
		run_locked(w, c, &locks);
	else
		reply_oom(c->reply);
	store_lockset_clear(&locks);
}

static inline void run_keyed(struct worker *w, struct call *c)
{
	if (__builtin_expect(w->single && !(gates() & GATE_LOADING), 0)) {
		c->held = CALL_HOLDS_ALL;
		run_and_commit(c);
	} else if (__builtin_expect(c->first_hash_arg != 0, 1)) {
		store_lock(c->op.store, c->first_hash);
		if (block_waiting() && block_has_further(c->op.store, c->first_hash)) {
			store_unlock(c->op.store, c->first_hash);
			run_many_keys(w, c);
			return;
		}
		c->op.now_ms = w->now_ms;
		c->held = CALL_HOLDS_ONE;
		c->held_hash = c->first_hash;
		run_and_commit(c);
		store_unlock(c->op.store, c->first_hash);
	} else {
		run_many_keys(w, c);
	}
}

/* The command itself says what it locks. */
static APART void run_planned(struct worker *w, struct call *c)
{
	struct store_lockset locks;
	store_lockset_init(&locks);
	if (c->cmd->plan(c, &locks) == EXEC_ALONE)
		run_alone(w, c);
	else
		run_locked(w, c, &locks);
	store_lockset_clear(&locks);
}

static inline __attribute__((always_inline)) void run_by_class(struct worker *w, struct call *c)
{
	enum exec_class class = c->cmd->class;
	if (__builtin_expect(c->cmd->plan != NULL, 0)) {
		run_planned(w, c);
		return;
	}
	if (__builtin_expect(c->cmd->classify != NULL, 0))
		class = c->cmd->classify(c->argv, c->argc);
	switch (class) {
	case EXEC_KEYED:
		run_keyed(w, c);
		break;
	case EXEC_ALONE:
		run_alone(w, c);
		break;
	case EXEC_LOCAL:
	case EXEC_SERVICE:
		run_and_commit(c);
		break;
	}
}

/* ------------------------------------------------------------------ checks */

static void reject_unknown(struct reply *r, const struct arg *argv, unsigned argc)
{
	char text[400];
	int n = snprintf(text, sizeof text, "ERR unknown command '%.*s', with args beginning with: ",
	                 (int)(argv[0].len < 128 ? argv[0].len : 128), argv[0].ptr);
	int start = n;
	for (unsigned i = 1; i < argc && n - start < 128; i++) {
		int room = 128 - (n - start);
		n += snprintf(text + n, sizeof text - (size_t)n, "'%.*s' ",
		              (int)(argv[i].len < (size_t)room ? argv[i].len : (size_t)room), argv[i].ptr);
	}
	reply_error(r, text);
}

static void reject_subcommand(struct reply *r, const struct command *container, const struct arg *sub)
{
	char upper[sizeof container->full_name];
	size_t n = 0;
	for (const char *p = container->name; *p && n + 1 < sizeof upper; p++)
		upper[n++] = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
	upper[n] = 0;
	reply_errorf(r, "ERR unknown subcommand '%.*s'. Try %s HELP.", (int)(sub->len < 128 ? sub->len : 128), sub->ptr,
	             upper);
}

static void reject_lookup(struct call *c)
{
	struct command *container = NULL;
	command_lookup(c->argv, c->argc, &container);
	if (!container)
		reject_unknown(c->reply, c->argv, c->argc);
	else
		reject_subcommand(c->reply, container, &c->argv[1]);
}

/* "local" allows clients of this machine. */
static bool switch_allows(int mode, const struct client *cl)
{
	return mode == 2 || (mode == 1 && (cl->flags & CLIENT_LOCAL));
}

static COLD bool protected_ok(struct call *c)
{
	const struct config *cfg = config();
	bool debug = c->cmd->group && !strcasecmp(c->cmd->parent ? c->cmd->parent->name : c->cmd->name, "debug");
	if (switch_allows(debug ? cfg->enable_debug_command : cfg->enable_module_command, c->client))
		return true;
	const char *name = debug ? "DEBUG" : "MODULE", *option = debug ? "enable-debug-command" : "enable-module-command";
	reply_errorf(c->reply,
	             "ERR %s command not allowed. If the %s option is set to \"local\", you can run it from a local "
	             "connection, otherwise you need to set this option in the configuration file, and then restart the "
	             "server.",
	             name, option);
	return false;
}

static COLD bool pauses(const struct call *c)
{
	bool writes_only;
	int64_t until = client_paused_until_ms(&writes_only);
	if (until <= c->op.now_ms || (c->client->flags & (CLIENT_REPLICA | CLIENT_INTERNAL)))
		return false;
	uint32_t flags = txn_is_exec(c->cmd) ? txn_flags(c->client) : command_flags(c->cmd, c->argv, c->argc);
	return !writes_only || (flags & (CMD_WRITE | CMD_MAY_REPLICATE));
}

COLD bool dispatch_too_late(const struct call *c)
{
	return !c->replaying && (gates() & GATE_CLOSED || (dispatch_paused && pauses(c)));
}

/* With RESP2 a subscriber's replies could not be told from messages. */
static bool may_run_subscribed(const struct call *c)
{
	static const char *const names[] = { "ping", "quit", "reset", "subscribe", "unsubscribe", "psubscribe",
		                             "punsubscribe", "ssubscribe", "sunsubscribe" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (!strcmp(c->cmd->full_name, names[i]))
			return true;
	}
	return false;
}

/* Memory is above maxmemory: make room, or refuse what would take more. */
static COLD bool memory_ok(struct call *c)
{
	struct client *cl = c->client;
	uint32_t flags = txn_is_exec(c->cmd) ? txn_flags(cl) : command_flags(c->cmd, c->argv, c->argc);
	if (cl->flags & CLIENT_PRIMARY || evict_make_room(worker_current, false))
		return true;
	/* A queue must not grow without bounds either. */
	if (!(flags & CMD_DENYOOM) && !txn_queues(cl, c->cmd))
		return true;
	reply_error(c->reply, oom_text);
	return false;
}

void dispatch_set_gate(enum dispatch_gate gate, bool on)
{
	if (on)
		__atomic_fetch_or(&dispatch_gates, gate, __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&dispatch_gates, ~(unsigned)gate, __ATOMIC_RELAXED);
}

/* A snapshot reads the value that the command would change in place: better wait than copy it. Commands of several keys
 * and transactions copy. */
static bool waits_for_snapshot(struct call *c)
{
	const struct command *cmd = c->cmd;
	if (!(cmd->flags & CMD_WRITE) || !cmd->single_key || !(cmd->keys[0].flags & KEY_RW) ||
	    c->client->flags & (CLIENT_MULTI | CLIENT_INTERNAL))
		return false;
	struct store_key key = call_key(c, 1);
	store_lock(c->op.store, key.hash);
	bool frozen = store_frozen(&c->op, &key);
	store_unlock(c->op.store, key.hash);
	return frozen && hold_park_frozen(worker_current, c->client);
}

/* true: a gate is shut for this command. */
static COLD bool gated(struct call *c, unsigned shut, bool *hold)
{
	const struct command *cmd = c->cmd;
	uint32_t flags = command_flags(cmd, c->argv, c->argc) | (txn_is_exec(cmd) ? txn_flags(c->client) & CMD_WRITE : 0);
	if (shut & GATE_CLOSED) {
		*hold = true;
		return true;
	}
	if (shut & GATE_BUSY && busy_refuses(c))
		return true;
	if (shut & GATE_DISK && (flags & CMD_WRITE || !strcmp(cmd->name, "ping")) && !(c->client->flags & CLIENT_INTERNAL)) {
		persist_refuse_write(c->reply);
		return true;
	}
	if (shut & GATE_AOF && (flags & CMD_WRITE || !strcmp(cmd->name, "ping")) && !(c->client->flags & CLIENT_INTERNAL)) {
		aof_refuse_write(c->reply);
		return true;
	}
	if (shut & GATE_SNAPSHOT && waits_for_snapshot(c)) {
		*hold = true;
		return true;
	}
	/* DEBUG looks at what is being built. */
	if (shut & GATE_LOADING && (!(flags & CMD_LOADING) || flags & CMD_NO_ASYNC_LOADING || !strcmp(cmd->name, "debug"))) {
		reply_error(c->reply, "LOADING Redis is loading the dataset in memory");
		return true;
	}
	return false;
}

/* Checks of sessions that are not as most are. */
static APART bool session_allows(struct call *c)
{
	struct client *cl = c->client;
	if (!(cl->flags & CLIENT_AUTHENTICATED) && !(c->cmd->flags & CMD_NO_AUTH)) {
		reply_error(c->reply, "NOAUTH Authentication required.");
		return false;
	}
	if ((cl->flags & CLIENT_RESTRICTED) && !acl_allows(c))
		return false;
	if ((cl->flags & CLIENT_PUBSUB) && cl->resp == 2 && !may_run_subscribed(c)) {
		reply_errorf(c->reply,
		             "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
		             "in this context",
		             c->cmd->full_name);
		return false;
	}
	if ((cl->flags & CLIENT_MONITOR) && (c->cmd->flags & (CMD_WRITE | CMD_READONLY | CMD_MAY_REPLICATE))) {
		reply_error(c->reply, "ERR Replica can't interact with the keyspace");
		return false;
	}
	return true;
}

/* false: a reply was written (or, with *hold, the command waits). */
static inline __attribute__((always_inline)) bool checks(struct call *c, bool *hold)
{
	struct client *cl = c->client;
	if (__builtin_expect(c->cmd == NULL, 0)) {
		reject_lookup(c);
		return false;
	}
	if (!command_arity_ok(c->cmd, c->argc)) {
		if (txn_is_exec(c->cmd) && !(cl->flags & CLIENT_MULTI))
			reply_error(c->reply, "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
			                      "command");
		else
			call_wrong_arity(c);
		return false;
	}
	if ((c->cmd->flags & CMD_PROTECTED) && !protected_ok(c))
		return false;
	uint32_t special = cl->flags & (CLIENT_AUTHENTICATED | CLIENT_PUBSUB | CLIENT_RESTRICTED | CLIENT_MONITOR);
	if (__builtin_expect(special != CLIENT_AUTHENTICATED, 0) && !session_allows(c))
		return false;
	bool restricted = worker_current->restricted;
	unsigned shut = gates() | (restricted ? GATE_BUSY : 0);
	if (__builtin_expect(shut, 0) && gated(c, shut, hold))
		return false;
	if (__builtin_expect(restricted, 0))
		return true;
	if (__builtin_expect(dispatch_paused, 0) && pauses(c)) {
		*hold = true;
		return false;
	}
	if (__builtin_expect((c->cmd->flags & CMD_WRITE || c->cmd->plan) && !journal_admit(journal), 0) &&
	    hold_park(worker_current, cl)) {
		*hold = true;
		return false;
	}
	return !evict_needed() || memory_ok(c);
}

/* EXEC that is refused says why, and the transaction is over. */
static APART bool exec_checks(struct call *c, bool *hold)
{
	struct reply why, *out = c->reply;
	size_t len;
	reply_init_memory(&why, 2);
	c->reply = &why;
	bool ok = checks(c, hold);
	c->reply = out;
	if (!ok && !*hold) {
		const char *text = reply_bytes(&why, &len);
		size_t skip = len > 5 && !strncmp(text, "-ERR ", 5) ? 5 : 1;
		txn_discard(c->client);
		if (len > 10 && !strncmp(text, "-EXECABORT", 10))
			reply_errorf(c->reply, "%.*s", (int)len - 3, text + 1);
		else
			reply_errorf(c->reply, "EXECABORT Transaction discarded because of: %.*s",
			             len > skip ? (int)(len - skip - 2) : 0, text + skip);
	}
	reply_clear(&why);
	return ok;
}

static APART void queue_command(struct call *c)
{
	if (c->cmd->flags & CMD_NO_MULTI) {
		reply_error(c->reply, "ERR Command not allowed inside a transaction");
		txn_spoil(c->client);
	} else {
		txn_queue(c);
	}
}

/* The outer call's locks cover the inner one; its effects join the same unit. */
void dispatch_nested_as(struct call *outer, struct client *as, struct reply *reply, const struct command *cmd,
                        const struct arg *argv, unsigned argc)
{
	struct worker *w = worker_current;
	struct call in = *outer;
	uint64_t began = w->ticks;
	in.client = as;
	in.reply = reply;
	in.cmd = cmd;
	in.argv = argv;
	in.argc = argc;
	in.dirty = 0;
	in.no_journal = false;
	in.nested = true;
	in.first_hash_arg = 0;
	in.op.db = in.client->db;
	in.op.ctx = &in;
	in.reply->resp = in.client->resp;
	if (in.effects)
		effects_begin_call(in.effects);
	w->ticks = clock_ticks();
	/* The user may have changed since the command was queued. A script has asked already. */
	bool ran = !(as->flags & CLIENT_RESTRICTED) || acl_allows_queued(&in);
	if (ran)
		dispatch_run(&in);
	if (ran && (outer->client->flags & CLIENT_TRACKING)) {
		in.client = outer->client;
		tracking_after(&in, true);
		in.client = as;
	}
	if (in.effects)
		gather_effects(&in);
	account(w, &in, ran);
	w->ticks = began; /* the outer call's time is the whole of it */
	if (in.effects)
		in.effects->replaced = true; /* the outer call adds nothing of its own */
}

void dispatch_nested(struct call *outer, const struct command *cmd, const struct arg *argv, unsigned argc)
{
	dispatch_nested_as(outer, outer->client, outer->reply, cmd, argv, argc);
}

enum dispatch_result dispatch_client(struct worker *w, struct client *cl, struct turn_item *item)
{
	struct call *c = &w->call;
	c->argv = w->args.v + item->first_arg;
	c->argc = item->argc;
	c->cmd = item->cmd;
	c->client = cl;
	c->dirty = 0;
	c->no_journal = c->turned_away = false;
	c->first_hash = item->ahead.hash;
	c->first_hash_arg = item->cmd && item->cmd->single_key;
	c->op.db = cl->db;
	c->op.now_ms = w->now_ms;
	c->op.no_touch = cl->flags & CLIENT_NO_TOUCH;
	c->effects = NULL;
	c->held = CALL_HOLDS_NONE;
	w->reply.resp = cl->resp;
	bool hold = false;
	bool special = (cl->flags & (CLIENT_MULTI | CLIENT_PUBSUB | CLIENT_AUTHENTICATED)) != CLIENT_AUTHENTICATED;
	bool ran = __builtin_expect(special, 0) && c->cmd && txn_is_exec(c->cmd) ? exec_checks(c, &hold) : checks(c, &hold);
	if (__builtin_expect(hold, 0))
		return DISPATCH_HOLD;
	if (__builtin_expect(ran, 1)) {
		cl->last_command = c->cmd;
		if (__builtin_expect(txn_queues(cl, c->cmd), 0)) {
			queue_command(c);
			return DISPATCH_DONE;
		}
		run_by_class(w, c);
		if (__builtin_expect(c->turned_away, 0))
			return DISPATCH_HOLD;
		if (__builtin_expect((w->block_late | w->block_posts) && !w->restricted, 0))
			block_serve_late(w);
		c->held = CALL_HOLDS_NONE;
	} else {
		txn_spoil(cl);
	}
	cl->commands++;
	if (__builtin_expect(cl->flags & CLIENT_BLOCKED, 0)) {
		account_blocked(w, c);
		return DISPATCH_DONE;
	}
	account(w, c, ran);
	return DISPATCH_DONE;
}

/* ------------------------------------------------------------------ replay */

int dispatch_replay_one(struct call *c, char *error, size_t error_size)
{
	c->cmd = command_lookup(c->argv, c->argc, NULL);
	c->dirty = 0;
	c->first_hash_arg = 0;
	c->no_journal = false;
	c->effects = NULL;
	c->op.db = c->client->db; /* SELECTs within the record */
	if (!c->cmd || !command_arity_ok(c->cmd, c->argc)) {
		snprintf(error, error_size, "journal holds an unknown command '%.*s'",
		         (int)(c->argv[0].len < 128 ? c->argv[0].len : 128), c->argv[0].ptr);
		return -EINVAL;
	}
	if (c->alone) {
		dispatch_run(c);
	} else {
		if (c->cmd->single_key && c->argc > 1) {
			c->first_hash = store_key(c->op.store, c->argv[1].ptr, c->argv[1].len).hash;
			c->first_hash_arg = 1;
		}
		run_by_class(worker_current, c);
		block_serve_late(worker_current);
	}
	bool errored = c->reply->errored;
	if (errored)
		snprintf(error, error_size, "replayed '%s' failed: %s", c->cmd->full_name, c->reply->error_code);
	c->reply->errored = false;
	reply_reset(c->reply);
	return errored ? -EBADMSG : 0;
}

static void *no_inline(void *ctx, size_t n)
{
	(void)ctx, (void)n;
	return NULL;
}

int dispatch_replay(struct call *c, const char *payload, size_t len, char *error, size_t error_size)
{
	static const struct resp_limits limits = { .max_bulk = INT64_MAX, .max_args = INT32_MAX, .authenticated = true };
	struct resp_args args = { 0 };
	int err = 0;
	c->replaying = true;
	while (len && !err) {
		struct resp_progress progress = { 0 };
		char bad;
		args.n = 0;
		ssize_t used = resp_parse(payload, len, &limits, &progress, &args, &bad, no_inline, NULL);
		if (used <= 0 || args.n == 0) {
			snprintf(error, error_size, "journal payload is malformed");
			err = -EINVAL;
			break;
		}
		c->argv = args.v;
		c->argc = (unsigned)args.n;
		err = dispatch_replay_one(c, error, error_size);
		payload += used;
		len -= (size_t)used;
	}
	free(args.v);
	return err;
}

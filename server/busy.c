/* busy: see busy.h. */
#include "server/busy.h"

#include <stdlib.h>
#include <string.h>

#include "net/net.h"
#include "server/dispatch.h"
#include "server/script/script.h"
#include "server/server.h"
#include "server/txn.h"

#define BETWEEN_TURNS_MS 5
#define LOOK_MS 50

/* ------------------------------------------------------------------ what may run */

/* Marks of watches are in the store. */
static bool touches_store(const struct call *c)
{
	return c->cmd->plan || c->cmd->classify || (c->cmd->class != EXEC_LOCAL && c->cmd->class != EXEC_SERVICE) ||
	       txn_watches(c->client);
}

static bool has_word(const struct call *c, const char *word)
{
	for (unsigned i = 1; i < c->argc; i++) {
		if (arg_is(&c->argv[i], word))
			return true;
	}
	return false;
}

static bool is_shutdown_nosave(const struct call *c)
{
	return !strcmp(c->cmd->full_name, "shutdown") && has_word(c, "nosave") && !has_word(c, "save") && !has_word(c, "abort");
}

bool busy_refuses(struct call *c)
{
	if (c->client->flags & CLIENT_INTERNAL)
		return false;
	if (is_shutdown_nosave(c)) {
		/* The script is ended, whatever it has written: nothing of it is kept. */
		script_abort();
		dispatch_set_gate(GATE_CLOSED, true);
		server_shutdown(SHUTDOWN_NOSAVE | SHUTDOWN_NOW);
		c->client->flags |= CLIENT_CLOSE_AFTER_REPLY;
		return true;
	}
	bool allowed = c->cmd->flags & CMD_ALLOW_BUSY && strcmp(c->cmd->full_name, "shutdown");
	if (allowed && !(worker_current->restricted && touches_store(c)))
		return false;
	const char *text = script_busy_text();
	if (txn_is_exec(c->cmd)) {
		txn_discard(c->client);
		reply_errorf(c->reply, "EXECABORT Transaction discarded because of: %s", text);
	} else {
		reply_error(c->reply, text);
	}
	return true;
}

/* ------------------------------------------------------------------ inner turns */

bool busy_keep(struct worker *w)
{
	if (!w->executing || w->kept)
		return true;
	struct turn_item *it = &w->items[w->at - 1];
	struct arg *v = w->args.v + it->first_arg;
	size_t size = 1;
	for (uint32_t i = 0; i < it->argc; i++)
		size += v[i].len;
	char *at = w->kept = malloc(size);
	if (!at)
		return false;
	for (uint32_t i = 0; i < it->argc; i++) {
		memcpy(at, v[i].ptr, v[i].len);
		v[i].ptr = at;
		at += v[i].len;
	}
	return true;
}

/* Commands that were parsed but not begun go back to their connections' bytes, to be parsed again. */
static void give_back(struct worker *w)
{
	if (w->running && w->used) {
		net_discard(w->running->conn, w->used);
		w->used = 0;
	}
	for (unsigned i = w->at; i < w->n; i++) {
		struct client *c = w->items[i].client;
		w->items[i].client = NULL;
		w->items[i].cmd = NULL;
		if (!c || !c->queued)
			continue;
		c->queued = 0;
		c->progress = (struct resp_progress){ 0 };
		if (c != w->executing) {
			c->flags &= ~(uint32_t)CLIENT_UNPARSED;
			net_wake(c->conn);
		}
	}
	if (w->executing) {
		w->executing->progress = (struct resp_progress){ 0 };
		w->executing->flags |= CLIENT_UNPARSED; /* what else it has sent is looked at after its command */
	}
}

/* What of the worker an inner turn uses otherwise. */
struct outer {
	struct resp_args args;
	struct turn_item *items;
	unsigned n, cap, at;
	struct client *running, *executing, *writing;
	char *kept;
	struct call call;
	struct reply reply;
	uint64_t ticks;
};

static void put_aside(struct worker *w, struct outer *o)
{
	o->writing = w->writing;
	worker_end_output(w);
	give_back(w);
	*o = (struct outer){ .args = w->args, .items = w->items, .n = w->n, .cap = w->cap, .at = w->at,
		             .running = w->running, .executing = w->executing, .writing = o->writing, .kept = w->kept,
		             .call = w->call, .reply = w->reply, .ticks = w->ticks };
	w->args = w->inner.args;
	w->items = w->inner.items;
	w->n = w->at = 0;
	w->cap = w->inner.cap;
	w->running = NULL;
	w->kept = NULL;
	w->call.reply = &w->reply;
	w->call.effects = NULL;
}

static void take_back(struct worker *w, const struct outer *o)
{
	w->inner.args = w->args;
	w->inner.items = w->items;
	w->inner.cap = w->cap;
	w->args = o->args;
	w->items = o->items;
	w->n = o->n;
	w->at = o->at;
	w->cap = o->cap;
	w->running = o->running;
	w->executing = o->executing;
	w->kept = o->kept;
	w->used = 0;
	w->call = o->call;
	w->reply = o->reply;
	w->ticks = o->ticks;
	if (o->writing)
		turn_reopen_output(w, o->writing);
}

void busy_turn(struct worker *w)
{
	struct outer o;
	if (w->restricted || !w->net || !busy_keep(w))
		return;
	put_aside(w, &o);
	net_post_flush(); /* what came before this command does not wait for its end */
	w->restricted = true;
	net_loop_inner_turn(w->net, turn_restricted);
	w->restricted = false;
	take_back(w, &o);
}

int busy_idle(void)
{
	struct worker *w = worker_current;
	if (!w || !w->net || net_loop_current() != w->net || !(dispatch_gates_now() & GATE_BUSY))
		return LOOK_MS;
	busy_turn(w);
	return BETWEEN_TURNS_MS;
}

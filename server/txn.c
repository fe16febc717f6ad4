/* txn: see txn.h. */
#include "server/txn.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "server/client.h"
#include "server/pubsub.h"
#include "server/server.h"
#include "server/touch.h"
#include "server/worker.h"

#define MAP_HEADS 64

/* One queued command: its arguments and their bytes follow. */
struct queued {
	const struct command *cmd;
	unsigned argc;
	struct arg argv[];
};

/* One watched key of one client. */
struct watch {
	struct watch *next, **prev; /* in the map, under the shard's lock */
	struct watch *sibling;      /* of the same client */
	atomic_bool *dirty;         /* the client's record */
	uint64_t hash;
	unsigned db;
	bool existed; /* when it was watched; as long as the record is clean it still does, or still does not */
	size_t len;
	char key[];
};

struct txn {
	struct queued **queue;
	unsigned n, cap;
	size_t bytes;
	uint32_t flags;
	struct watch *watches;
	atomic_bool dirty;
};

/* The watches of one shard's keys; made when the first key of the shard is watched. */
struct watch_map {
	unsigned n;
	struct watch *head[MAP_HEADS];
};

static struct {
	struct watch_map **maps; /* by shard */
	unsigned shards, feed;
} watching;

static struct watch **map_head(struct watch_map *m, uint64_t hash)
{
	return &m->head[hash & (MAP_HEADS - 1)];
}

static bool is_key(const struct watch *w, unsigned db, const struct store_key *key)
{
	return w->hash == key->hash && w->db == db && w->len == key->len && memcmp(w->key, key->ptr, key->len) == 0;
}

/* Every key of the database went or came: what existed or exists now has changed. Alone. */
static void mark_database(struct call *c)
{
	for (unsigned i = 0; i < watching.shards; i++) {
		struct watch_map *m = watching.maps[i];
		for (unsigned h = 0; m && m->n && h < MAP_HEADS; h++) {
			for (struct watch *w = m->head[h]; w; w = w->next) {
				struct store_key key = { w->key, w->len, w->hash };
				if (w->db == c->op.db && (w->existed || store_exists(&c->op, &key)))
					atomic_store_explicit(w->dirty, true, memory_order_relaxed);
			}
		}
	}
}

static void mark_watchers(struct call *c, const struct store_key *key, unsigned kinds, unsigned class, const char *event)
{
	(void)class, (void)event;
	if (!(kinds & TOUCH_CHANGE))
		return;
	if (!key) {
		mark_database(c);
		return;
	}
	struct watch_map *m = watching.maps[store_shard_of(c->op.store, key->hash)];
	if (!m || !m->n)
		return;
	for (struct watch *w = *map_head(m, key->hash); w; w = w->next) {
		if (is_key(w, c->op.db, key))
			atomic_store_explicit(w->dirty, true, memory_order_relaxed);
	}
}

int txn_init(const struct store *s)
{
	watching.shards = store_shards(s);
	watching.maps = calloc(watching.shards, sizeof *watching.maps);
	watching.feed = touch_register(mark_watchers);
	return watching.maps ? 0 : -ENOMEM;
}

void txn_free(void)
{
	for (unsigned i = 0; watching.maps && i < watching.shards; i++)
		free(watching.maps[i]);
	free(watching.maps);
	watching.maps = NULL;
}

/* ------------------------------------------------------------------ the queue */

static struct txn *txn_of(struct client *cl)
{
	if (!cl->txn)
		cl->txn = calloc(1, sizeof *cl->txn);
	return cl->txn;
}

void txn_spoil(struct client *cl)
{
	if (cl->flags & CLIENT_MULTI)
		cl->flags |= CLIENT_DIRTY_EXEC;
}

static struct queued *copy_command(const struct call *c, size_t *size)
{
	size_t n = sizeof(struct queued) + c->argc * sizeof(struct arg), bytes = 0;
	for (unsigned i = 0; i < c->argc; i++)
		bytes += c->argv[i].len;
	struct queued *q = malloc(n + bytes);
	if (!q)
		return NULL;
	char *p = (char *)q + n;
	q->cmd = c->cmd;
	q->argc = c->argc;
	for (unsigned i = 0; i < c->argc; i++) {
		q->argv[i] = (struct arg){ p, c->argv[i].len };
		memcpy(p, c->argv[i].ptr, c->argv[i].len);
		p += c->argv[i].len;
	}
	*size = n + bytes;
	return q;
}

void txn_queue(struct call *c)
{
	struct txn *t = txn_of(c->client);
	size_t size = 0;
	if (t && t->n == t->cap) {
		unsigned cap = t->cap ? t->cap * 2 : 8;
		struct queued **queue = realloc(t->queue, cap * sizeof *queue);
		if (queue) {
			t->queue = queue;
			t->cap = cap;
		}
	}
	struct queued *q = t && t->n < t->cap ? copy_command(c, &size) : NULL;
	if (!q) {
		txn_spoil(c->client);
		reply_oom(c->reply);
		return;
	}
	t->queue[t->n++] = q;
	t->bytes += size;
	t->flags |= command_flags(c->cmd, c->argv, c->argc);
	reply_lit(c->reply, "+QUEUED\r\n");
}

uint32_t txn_flags(const struct client *cl)
{
	return cl->txn ? cl->txn->flags : 0;
}

int txn_queued(const struct client *cl)
{
	return !(cl->flags & CLIENT_MULTI) ? -1 : cl->txn ? (int)cl->txn->n : 0;
}

size_t txn_memory(const struct client *cl)
{
	return cl->txn ? sizeof *cl->txn + cl->txn->cap * sizeof(struct queued *) + cl->txn->bytes : 0;
}

static void drop_queue(struct client *cl)
{
	struct txn *t = cl->txn;
	cl->flags &= ~(uint32_t)(CLIENT_MULTI | CLIENT_DIRTY_EXEC);
	if (!t)
		return;
	for (unsigned i = 0; i < t->n; i++)
		free(t->queue[i]);
	free(t->queue);
	t->queue = NULL;
	t->n = t->cap = t->flags = 0;
	t->bytes = 0;
}

/* ------------------------------------------------------------------ watches */

static void unlink_watch(struct watch *w)
{
	watching.maps[store_shard_of(server_store(), w->hash)]->n--;
	*w->prev = w->next;
	if (w->next)
		w->next->prev = w->prev;
}

/* locked: the shards of all watched keys are locked already, or the caller is alone. */
static void drop_watches(struct client *cl, bool locked)
{
	struct txn *t = cl->txn;
	while (t && t->watches) {
		struct watch *w = t->watches;
		t->watches = w->sibling;
		if (!locked)
			store_lock(server_store(), w->hash);
		unlink_watch(w);
		if (!locked)
			store_unlock(server_store(), w->hash);
		free(w);
	}
	if (t)
		atomic_store_explicit(&t->dirty, false, memory_order_relaxed);
}

void txn_unwatch(struct client *cl)
{
	drop_watches(cl, false);
}

void txn_discard(struct client *cl)
{
	if (!cl->txn && !(cl->flags & CLIENT_MULTI))
		return;
	drop_queue(cl);
	/* In the middle of another command, which may hold their locks: they stay, and can only make an EXEC fail. */
	if (worker_current && worker_current->restricted && txn_watches(cl))
		return;
	drop_watches(cl, false);
	free(cl->txn);
	cl->txn = NULL;
}

unsigned txn_watches(const struct client *cl)
{
	unsigned n = 0;
	for (const struct watch *w = cl->txn ? cl->txn->watches : NULL; w; w = w->sibling)
		n++;
	return n;
}

static bool watch_key(struct call *c, struct txn *t, const struct store_key *key)
{
	for (struct watch *w = t->watches; w; w = w->sibling) {
		if (is_key(w, c->op.db, key))
			return true;
	}
	struct watch_map **m = &watching.maps[store_shard_of(c->op.store, key->hash)];
	if (!*m && !(*m = calloc(1, sizeof **m)))
		return false;
	struct watch *w = malloc(sizeof *w + key->len);
	if (!w)
		return false;
	*w = (struct watch){ .sibling = t->watches, .dirty = &t->dirty, .hash = key->hash, .db = c->op.db, .len = key->len };
	memcpy(w->key, key->ptr, key->len);
	w->existed = store_exists(&c->op, key); /* also removes it if it has expired: that is no change any more */
	struct watch **head = map_head(*m, key->hash);
	w->next = *head;
	w->prev = head;
	if (w->next)
		w->next->prev = &w->next;
	*head = w;
	(*m)->n++;
	t->watches = w;
	return true;
}

void txn_watch(struct call *c)
{
	struct txn *t = txn_of(c->client);
	/* Seen by every later writer of these keys, as it takes the lock that is held here. */
	touch_switch(watching.feed, true);
	for (unsigned i = 1; t && i < c->argc; i++) {
		struct store_key key = call_key(c, i);
		if (!watch_key(c, t, &key))
			t = NULL;
	}
	if (t)
		reply_ok(c->reply);
	else
		reply_oom(c->reply);
}

/* ------------------------------------------------------------------ EXEC */

void txn_begin(struct call *c)
{
	if (!txn_of(c->client)) {
		reply_oom(c->reply);
		return;
	}
	c->client->flags |= CLIENT_MULTI;
	reply_ok(c->reply);
}

/* The locks of one queued command. false: it can only run alone. */
static bool plan_command(struct call *c, const struct queued *q, struct store_lockset *locks)
{
	enum exec_class class = q->cmd->classify ? q->cmd->classify(q->argv, q->argc) : q->cmd->class;
	if (class == EXEC_ALONE || class == EXEC_SERVICE || q->cmd->plan)
		return false;
	/* What others publish meanwhile would come behind the end of the subscription. */
	if ((c->client->flags & CLIENT_PUBSUB) && strstr(q->cmd->name, "unsubscribe"))
		return false;
	if (class == EXEC_LOCAL)
		return true;
	struct key_refs keys;
	if (command_keys(q->cmd, q->argv, q->argc, &keys))
		return false;
	bool ok = true;
	for (unsigned i = 0; i < keys.n && ok; i++) {
		const struct arg *a = &q->argv[keys.v[i].arg];
		ok = store_lockset_add(c->op.store, locks, store_key(c->op.store, a->ptr, a->len).hash);
	}
	key_refs_clear(&keys);
	return ok;
}

enum exec_class txn_plan(struct call *c, struct store_lockset *locks)
{
	struct txn *t = c->client->txn;
	if (!t || !(c->client->flags & CLIENT_MULTI))
		return EXEC_LOCAL;
	for (struct watch *w = t->watches; w; w = w->sibling) {
		if (!store_lockset_add(c->op.store, locks, w->hash))
			return EXEC_ALONE;
	}
	if (c->client->flags & CLIENT_DIRTY_EXEC)
		return EXEC_KEYED;
	for (unsigned i = 0; i < t->n; i++) {
		if (!plan_command(c, t->queue[i], locks))
			return EXEC_ALONE;
	}
	return EXEC_KEYED;
}

void txn_each_key(const struct call *c, void (*fn)(void *ctx, uint64_t hash), void *ctx)
{
	const struct txn *t = c->client->txn;
	for (unsigned i = 0; t && i < t->n; i++) {
		const struct queued *q = t->queue[i];
		struct key_refs keys;
		if (command_keys(q->cmd, q->argv, q->argc, &keys))
			continue;
		for (unsigned k = 0; k < keys.n; k++) {
			const struct arg *a = &q->argv[keys.v[k].arg];
			fn(ctx, store_key(c->op.store, a->ptr, a->len).hash);
		}
		key_refs_clear(&keys);
	}
}

/* Whether a watched key changed; one that has expired by now is removed, which marks it. */
static bool watched_changed(struct call *c, struct txn *t)
{
	struct store_op op = c->op;
	for (struct watch *w = t->watches; w; w = w->sibling) {
		struct store_key key = { w->key, w->len, w->hash };
		op.db = w->db;
		if (w->existed && !store_exists(&op, &key))
			return true;
	}
	return atomic_load_explicit(&t->dirty, memory_order_relaxed);
}

void txn_exec(struct call *c)
{
	struct client *cl = c->client;
	struct txn *t = cl->txn;
	if (!(cl->flags & CLIENT_MULTI)) {
		reply_error(c->reply, "ERR EXEC without MULTI");
		return;
	}
	bool spoilt = cl->flags & CLIENT_DIRTY_EXEC, changed = watched_changed(c, t);
	drop_watches(cl, true);
	cl->flags &= ~(uint32_t)(CLIENT_MULTI | CLIENT_DIRTY_EXEC);
	if (spoilt) {
		reply_error(c->reply, "EXECABORT Transaction discarded because of previous errors.");
	} else if (changed) {
		reply_null_array(c->reply);
	} else {
		if (cl->flags & CLIENT_PUBSUB)
			pubsub_before_exec(cl);
		reply_array(c->reply, t->n);
		for (unsigned i = 0; i < t->n; i++)
			dispatch_nested(c, t->queue[i]->cmd, t->queue[i]->argv, t->queue[i]->argc);
	}
	drop_queue(cl);
}

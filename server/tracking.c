/* tracking: see tracking.h. The messages themselves are in tracking_notes.c. */
#include "server/tracking.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "server/client.h"
#include "server/config.h"
#include "server/server.h"
#include "server/touch.h"
#include "server/tracking_notes.h"

#define HEADS_MIN 64

/* One client that read a key. */
struct reader {
	uint64_t client;
	net_conn_id conn;
	unsigned loop;
};

/* One key that somebody has read. */
struct tracked {
	struct tracked *next;
	uint64_t hash;
	struct reader *readers;
	unsigned n, cap;
	size_t len;
	char key[];
};

/* The keys of one shard; made when the first is read. */
struct key_map {
	size_t n, mask;
	struct tracked **heads;
};

/* A prefix that somebody is told about, with how many on each loop. */
struct prefix {
	struct prefix *next;
	size_t len;
	char *bytes;
	unsigned *on_loop;
	unsigned total;
};

static struct {
	struct key_map **maps; /* by shard */
	unsigned shards, loops, feed;
	uint64_t clients, keys, items, nprefixes;
	pthread_rwlock_t lock; /* of the prefixes */
	struct prefix *prefixes;
} all = { .lock = PTHREAD_RWLOCK_INITIALIZER };

static void count(uint64_t *counter, int64_t by)
{
	__atomic_fetch_add(counter, (uint64_t)by, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------------------ keys that were read */

static struct key_map *map_of(uint64_t hash, bool make)
{
	struct key_map **m = &all.maps[store_shard_of(server_store(), hash)];
	if (!*m && make) {
		struct key_map *fresh = calloc(1, sizeof *fresh);
		if (fresh && !(fresh->heads = calloc(HEADS_MIN, sizeof *fresh->heads))) {
			free(fresh);
			fresh = NULL;
		}
		if (fresh)
			fresh->mask = HEADS_MIN - 1;
		*m = fresh;
	}
	return *m;
}

static struct tracked **find_key(struct key_map *m, const struct store_key *key)
{
	struct tracked **at = &m->heads[key->hash & m->mask];
	while (*at && !((*at)->hash == key->hash && (*at)->len == key->len && !memcmp((*at)->key, key->ptr, key->len)))
		at = &(*at)->next;
	return at;
}

static void grow_map(struct key_map *m)
{
	size_t size = (m->mask + 1) * 2;
	struct tracked **heads = calloc(size, sizeof *heads);
	if (!heads)
		return;
	for (size_t i = 0; i <= m->mask; i++) {
		for (struct tracked *t = m->heads[i], *next; t; t = next) {
			next = t->next;
			t->next = heads[t->hash & (size - 1)];
			heads[t->hash & (size - 1)] = t;
		}
	}
	free(m->heads);
	m->heads = heads;
	m->mask = size - 1;
}

/* Take the key out and tell its readers. sender: the client whose command it was, 0 none. */
static void invalidate(struct key_map *m, struct tracked **at, uint64_t sender)
{
	struct tracked *t = *at;
	*at = t->next;
	m->n--;
	count(&all.keys, -1);
	count(&all.items, -(int64_t)t->n);
	for (unsigned i = 0; i < t->n; i++)
		tracking_note_key(t->readers[i].loop, t->readers[i].conn, t->readers[i].client, sender, t->key, t->len);
	free(t->readers);
	free(t);
}

/* Beyond tracking-table-max-keys some other key of the shard is given up. */
static void limit_keys(struct key_map *m, const struct tracked *keep)
{
	int64_t max = config()->tracking_table_max_keys;
	if (!max || __atomic_load_n(&all.keys, __ATOMIC_RELAXED) <= (uint64_t)max)
		return;
	for (size_t i = 1; i <= m->mask + 1; i++) {
		struct tracked **at = &m->heads[(keep->hash + i) & m->mask];
		if (*at == keep)
			at = &(*at)->next;
		if (*at) {
			invalidate(m, at, 0);
			return;
		}
	}
}

static struct tracked *tracked_new(struct key_map *m, const struct store_key *key)
{
	struct tracked *t = malloc(sizeof *t + key->len);
	if (!t)
		return NULL;
	if (m->n > m->mask)
		grow_map(m);
	*t = (struct tracked){ .next = m->heads[key->hash & m->mask], .hash = key->hash, .len = key->len };
	memcpy(t->key, key->ptr, key->len);
	m->heads[key->hash & m->mask] = t;
	m->n++;
	count(&all.keys, 1);
	return t;
}

static void remember_key(const struct client *c, const struct store_key *key)
{
	struct key_map *m = map_of(key->hash, true);
	struct tracked *t = m ? *find_key(m, key) : NULL;
	if (!m || (!t && !(t = tracked_new(m, key))))
		return;
	for (unsigned i = 0; i < t->n; i++) {
		if (t->readers[i].client == c->id)
			return;
	}
	if (t->n == t->cap) {
		unsigned cap = t->cap ? t->cap * 2 : 1;
		struct reader *v = realloc(t->readers, cap * sizeof *v);
		if (!v)
			return;
		t->readers = v;
		t->cap = cap;
	}
	t->readers[t->n++] = (struct reader){ c->id, net_conn_id_of(c->conn), c->loop };
	count(&all.items, 1);
	limit_keys(m, t);
}

static void remember(struct call *c)
{
	struct key_refs keys;
	if (command_keys(c->cmd, c->argv, c->argc, &keys))
		return;
	for (unsigned i = 0; i < keys.n; i++) {
		const struct arg *a = &c->argv[keys.v[i].arg];
		struct store_key key = store_key(c->op.store, a->ptr, a->len);
		if (!(keys.v[i].flags & (KEY_NOT_KEY | KEY_CHANNEL)))
			remember_key(c->client, &key);
	}
	key_refs_clear(&keys);
}

void tracking_after(struct call *c, bool nested)
{
	struct tracking *t = c->client->tracking;
	if (!t)
		return;
	bool said = t->flags & TRACKING_CACHING;
	bool wanted = t->flags & TRACKING_OPTIN ? said : t->flags & TRACKING_OPTOUT ? !said : true;
	if ((c->cmd->flags & CMD_READONLY) && wanted && !(t->flags & TRACKING_BCAST) && c->client->conn)
		remember(c);
	bool about_clients = c->cmd->parent && !strcmp(c->cmd->parent->name, "client");
	if (!nested && !about_clients && !(c->client->flags & CLIENT_MULTI))
		t->flags &= ~(unsigned)TRACKING_CACHING;
}

/* ------------------------------------------------------------------ changes */

static void drop_map(struct key_map *m)
{
	for (size_t i = 0; m && i <= m->mask; i++) {
		for (struct tracked *t = m->heads[i], *next; t; t = next) {
			next = t->next;
			free(t->readers);
			free(t);
		}
	}
	if (m)
		free(m->heads);
	free(m);
}

/* Alone: every key may have changed. */
static void changed_all(void)
{
	for (unsigned i = 0; i < all.shards; i++) {
		drop_map(all.maps[i]);
		all.maps[i] = NULL;
	}
	all.keys = all.items = 0;
	for (unsigned i = 0; i < all.loops; i++)
		tracking_note_all(i);
}

static void broadcast(const struct store_key *key, uint64_t sender)
{
	uint64_t told = 0; /* loops, a bit each */
	pthread_rwlock_rdlock(&all.lock);
	for (const struct prefix *p = all.prefixes; p; p = p->next) {
		if (p->len > key->len || memcmp(p->bytes, key->ptr, p->len))
			continue;
		for (unsigned i = 0; i < all.loops; i++) {
			if (!p->on_loop[i] || (i < 64 && told >> i & 1))
				continue;
			told |= i < 64 ? (uint64_t)1 << i : 0;
			tracking_note_prefix(i, sender, key->ptr, key->len);
		}
	}
	pthread_rwlock_unlock(&all.lock);
}

static void on_change(struct call *c, const struct store_key *key, unsigned kinds, unsigned class, const char *event)
{
	(void)class, (void)event;
	if (!(kinds & TOUCH_CHANGE))
		return;
	if (!key) {
		changed_all();
		return;
	}
	uint64_t sender = c->client ? c->client->id : 0;
	struct key_map *m = map_of(key->hash, false);
	struct tracked **at = m && m->n ? find_key(m, key) : NULL;
	if (at && *at)
		invalidate(m, at, sender);
	if (__atomic_load_n(&all.nprefixes, __ATOMIC_RELAXED))
		broadcast(key, sender);
}

int tracking_init(const struct store *s, unsigned loops)
{
	all.shards = store_shards(s);
	all.loops = loops;
	all.maps = calloc(all.shards, sizeof *all.maps);
	all.feed = touch_register(on_change);
	return all.maps ? tracking_notes_init(loops) : -ENOMEM;
}

void tracking_free(void)
{
	for (unsigned i = 0; all.maps && i < all.shards; i++)
		drop_map(all.maps[i]);
	free(all.maps);
	all.maps = NULL;
	tracking_notes_free();
}

/* ------------------------------------------------------------------ prefixes */

static struct prefix *prefix_of(const struct arg *bytes)
{
	struct prefix *p = all.prefixes;
	while (p && !(p->len == bytes->len && !memcmp(p->bytes, bytes->ptr, p->len)))
		p = p->next;
	if (p || !(p = calloc(1, sizeof *p + all.loops * sizeof *p->on_loop + bytes->len)))
		return p;
	p->on_loop = (unsigned *)(p + 1);
	p->bytes = (char *)(p->on_loop + all.loops);
	p->len = bytes->len;
	memcpy(p->bytes, bytes->ptr, bytes->len);
	p->next = all.prefixes;
	all.prefixes = p;
	count(&all.nprefixes, 1);
	return p;
}

static void prefix_drop(const struct arg *bytes, unsigned loop)
{
	struct prefix **at = &all.prefixes, *p;
	pthread_rwlock_wrlock(&all.lock);
	while ((p = *at) && !(p->len == bytes->len && !memcmp(p->bytes, bytes->ptr, p->len)))
		at = &p->next;
	if (p) {
		p->on_loop[loop]--;
		if (--p->total == 0) {
			*at = p->next;
			free(p);
			count(&all.nprefixes, -1);
		}
	}
	pthread_rwlock_unlock(&all.lock);
}

/* In which they are shown. */
static int prefix_order(const struct arg *a, const struct arg *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	int d = n ? memcmp(a->ptr, b->ptr, n) : 0;
	return d ? d : (a->len > b->len) - (a->len < b->len);
}

static bool prefix_add(struct tracking *t, const struct arg *bytes, unsigned loop)
{
	struct arg *v = realloc(t->prefixes, (t->n + 1) * sizeof *v);
	char *copy = malloc(bytes->len ? bytes->len : 1);
	if (v)
		t->prefixes = v;
	pthread_rwlock_wrlock(&all.lock);
	struct prefix *p = v && copy ? prefix_of(bytes) : NULL;
	if (p) {
		p->on_loop[loop]++;
		p->total++;
	}
	pthread_rwlock_unlock(&all.lock);
	if (!p) {
		free(copy);
		return false;
	}
	memcpy(copy, bytes->ptr, bytes->len);
	size_t at = t->n++;
	for (; at > 0 && prefix_order(bytes, &t->prefixes[at - 1]) < 0; at--)
		t->prefixes[at] = t->prefixes[at - 1];
	t->prefixes[at] = (struct arg){ copy, bytes->len };
	return true;
}

/* ------------------------------------------------------------------ clients */

static bool has_every(const struct tracking *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (!t->prefixes[i].len)
			return true;
	}
	return false;
}

bool tracking_on(struct client *c, unsigned flags, struct client *redirect, const struct arg *prefixes, size_t n)
{
	static const struct arg every = { "", 0 };
	struct tracking *t = c->tracking;
	if (!t) {
		if (!(t = c->tracking = calloc(1, sizeof *t)))
			return false;
		t->client = c;
		tracking_notes_join(t);
		count(&all.clients, 1);
	}
	t->flags = flags;
	t->redirect = redirect ? redirect->id : 0;
	t->redirect_conn = redirect ? net_conn_id_of(redirect->conn) : 0;
	t->redirect_loop = redirect ? redirect->loop : 0;
	c->flags |= CLIENT_TRACKING;
	touch_switch(all.feed, true);
	if ((flags & TRACKING_BCAST) && !n && !has_every(t)) {
		prefixes = &every;
		n = 1;
	}
	for (size_t i = 0; i < n; i++) {
		if (!prefix_add(t, &prefixes[i], c->loop))
			return false;
	}
	return true;
}

void tracking_off(struct client *c)
{
	struct tracking *t = c->tracking;
	if (!t)
		return;
	c->flags &= ~(uint32_t)CLIENT_TRACKING;
	c->tracking = NULL;
	tracking_notes_leave(t);
	for (size_t i = 0; i < t->n; i++) {
		prefix_drop(&t->prefixes[i], c->loop);
		free((char *)(uintptr_t)t->prefixes[i].ptr);
	}
	free(t->prefixes);
	free(t);
	count(&all.clients, -1);
}

unsigned tracking_flags(const struct client *c)
{
	return c->tracking ? c->tracking->flags : 0;
}

void tracking_set_caching(struct client *c)
{
	c->tracking->flags |= TRACKING_CACHING;
}

int64_t tracking_redirect(const struct client *c)
{
	return c->tracking ? (int64_t)c->tracking->redirect : -1;
}

size_t tracking_prefixes(const struct client *c, const struct arg **out)
{
	*out = c->tracking ? c->tracking->prefixes : NULL;
	return c->tracking ? c->tracking->n : 0;
}

size_t tracking_memory(const struct client *c)
{
	size_t n = c->tracking ? sizeof *c->tracking : 0;
	for (size_t i = 0; c->tracking && i < c->tracking->n; i++)
		n += sizeof(struct arg) + c->tracking->prefixes[i].len;
	return n;
}

void tracking_get_stats(struct tracking_stats *out)
{
	*out = (struct tracking_stats){ __atomic_load_n(&all.clients, __ATOMIC_RELAXED),
		                        __atomic_load_n(&all.keys, __ATOMIC_RELAXED),
		                        __atomic_load_n(&all.items, __ATOMIC_RELAXED),
		                        __atomic_load_n(&all.nprefixes, __ATOMIC_RELAXED) };
}

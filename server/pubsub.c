/* pubsub: see pubsub.h. */
#include "server/pubsub_deliver.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "net/net.h"
#include "server/client.h"
#include "server/server.h"
#include "server/worker.h"
#include "store/glob.h"

#define STRIPES 256
#define STRIPE_HEADS 64

struct topic {
	struct topic *next, **prev; /* in its stripe's chain, or among the patterns */
	enum pubsub_kind kind;
	uint64_t *numbers; /* of its lock: they go on rising when the topic goes and comes back */
	unsigned total;
	size_t len;
	char *name;
	struct {
		struct pubsub_sub *first;
		unsigned n;
		uint64_t posted; /* the number of the last message to this loop */
	} loop[];
};

struct pubsub {
	struct pubsub_sub *first[PUBSUB_KINDS];
	unsigned n[PUBSUB_KINDS];
};

struct stripe {
	_Alignas(64) pthread_mutex_t lock;
	uint64_t numbers;
	struct topic *head[STRIPE_HEADS];
};

static struct {
	unsigned loops;
	struct stripe *stripes;
	pthread_mutex_t patterns_lock;
	struct topic *patterns;
	uint64_t pattern_numbers;
	_Atomic uint64_t topics[PUBSUB_KINDS];
} hub = { .patterns_lock = PTHREAD_MUTEX_INITIALIZER };

int pubsub_init(unsigned loops)
{
	hub.loops = loops;
	hub.stripes = aligned_alloc(64, STRIPES * sizeof *hub.stripes);
	if (!hub.stripes)
		return -ENOMEM;
	memset(hub.stripes, 0, STRIPES * sizeof *hub.stripes);
	for (unsigned i = 0; i < STRIPES; i++)
		pthread_mutex_init(&hub.stripes[i].lock, NULL);
	return 0;
}

void pubsub_free(void)
{
	for (unsigned i = 0; hub.stripes && i < STRIPES; i++)
		pthread_mutex_destroy(&hub.stripes[i].lock);
	free(hub.stripes);
	hub.stripes = NULL;
}

/* ------------------------------------------------------------------ topics */

static uint64_t hash_name(enum pubsub_kind kind, const void *name, size_t len)
{
	return store_key(server_store(), name, len).hash ^ (uint64_t)kind << 43;
}

static struct stripe *stripe_of(uint64_t hash)
{
	return &hub.stripes[hash >> 56];
}

static uint64_t *numbers_of(enum pubsub_kind kind, const void *name, size_t len)
{
	return kind == PUBSUB_PATTERN ? &hub.pattern_numbers : &stripe_of(hash_name(kind, name, len))->numbers;
}

/* Where topics of this kind and name hang, with the lock that guards them taken. */
static struct topic **lock_chain(enum pubsub_kind kind, const void *name, size_t len, pthread_mutex_t **lock)
{
	uint64_t hash = hash_name(kind, name, len);
	struct stripe *s = stripe_of(hash);
	*lock = kind == PUBSUB_PATTERN ? &hub.patterns_lock : &s->lock;
	pthread_mutex_lock(*lock);
	return kind == PUBSUB_PATTERN ? &hub.patterns : &s->head[hash % STRIPE_HEADS];
}

static struct topic *find(struct topic *t, enum pubsub_kind kind, const void *name, size_t len)
{
	while (t && !(t->kind == kind && t->len == len && memcmp(t->name, name, len) == 0))
		t = t->next;
	return t;
}

static struct topic *topic_new(struct topic **chain, enum pubsub_kind kind, const void *name, size_t len)
{
	size_t head = sizeof(struct topic) + hub.loops * sizeof(((struct topic *)0)->loop[0]);
	struct topic *t = calloc(1, head + len);
	if (!t)
		return NULL;
	t->kind = kind;
	t->numbers = numbers_of(kind, name, len);
	t->len = len;
	t->name = (char *)t + head;
	memcpy(t->name, name, len);
	while (kind == PUBSUB_PATTERN && *chain) /* patterns are served in the order of their first subscription */
		chain = &(*chain)->next;
	t->next = *chain;
	t->prev = chain;
	if (t->next)
		t->next->prev = &t->next;
	*chain = t;
	atomic_fetch_add(&hub.topics[kind], 1);
	return t;
}

static void topic_free(struct topic *t)
{
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
	atomic_fetch_sub(&hub.topics[t->kind], 1);
	free(t);
}

/* ------------------------------------------------------------------ subscriptions */

static struct pubsub_sub *sub_of(const struct client *c, const struct topic *t)
{
	const struct pubsub *p = c->pubsub;
	struct pubsub_sub *s;
	if (t->loop[c->loop].n < p->n[t->kind]) {
		for (s = t->loop[c->loop].first; s && s->client != c; s = s->next)
			;
	} else {
		for (s = p->first[t->kind]; s && s->topic != t; s = s->next_of)
			;
	}
	return s;
}

static void link_sub(struct client *c, struct topic *t, struct pubsub_sub *s)
{
	struct pubsub *p = c->pubsub;
	*s = (struct pubsub_sub){ .topic = t, .client = c, .seen = *t->numbers };
	s->prev = &t->loop[c->loop].first;
	s->next = *s->prev;
	if (s->next)
		s->next->prev = &s->next;
	*s->prev = s;
	s->prev_of = &p->first[t->kind];
	s->next_of = *s->prev_of;
	if (s->next_of)
		s->next_of->prev_of = &s->next_of;
	*s->prev_of = s;
	t->loop[c->loop].n++;
	t->total++;
	p->n[t->kind]++;
}

/* The topic's lock is held; the topic may go with its last subscriber. */
static void unlink_sub(struct pubsub_sub *s)
{
	struct topic *t = s->topic;
	struct client *c = s->client;
	*s->prev = s->next;
	if (s->next)
		s->next->prev = s->prev;
	*s->prev_of = s->next_of;
	if (s->next_of)
		s->next_of->prev_of = s->prev_of;
	c->pubsub->n[t->kind]--;
	t->loop[c->loop].n--;
	if (--t->total == 0)
		topic_free(t);
	free(s);
}

static void update_flag(struct client *c)
{
	const unsigned *n = c->pubsub->n;
	if (n[PUBSUB_CHANNEL] + n[PUBSUB_PATTERN] + n[PUBSUB_SHARD])
		c->flags |= CLIENT_PUBSUB;
	else
		c->flags &= ~(uint32_t)CLIENT_PUBSUB;
}

int pubsub_subscribe(struct client *c, enum pubsub_kind kind, const void *name, size_t len)
{
	if (!c->pubsub && !(c->pubsub = calloc(1, sizeof *c->pubsub)))
		return -ENOMEM;
	struct pubsub_sub *s = malloc(sizeof *s);
	if (!s)
		return -ENOMEM;
	pthread_mutex_t *lock;
	struct topic **chain = lock_chain(kind, name, len, &lock), *t = find(*chain, kind, name, len);
	int r = -ENOMEM;
	if (t && sub_of(c, t)) {
		r = 0;
	} else if (t || (t = topic_new(chain, kind, name, len))) {
		link_sub(c, t, s);
		r = 1;
	}
	pthread_mutex_unlock(lock);
	if (r != 1)
		free(s);
	update_flag(c);
	return r;
}

int pubsub_unsubscribe(struct client *c, enum pubsub_kind kind, const void *name, size_t len)
{
	if (!c->pubsub || !c->pubsub->n[kind])
		return 0;
	pthread_mutex_t *lock;
	bool settle = !net_is_closing(c->conn) && !worker_current->restricted;
	struct pubsub_sub *s;
	for (;;) {
		struct topic *t = find(*lock_chain(kind, name, len, &lock), kind, name, len);
		s = t ? sub_of(c, t) : NULL;
		if (!s || !settle || s->seen >= t->loop[c->loop].posted)
			break;
		pthread_mutex_unlock(lock); /* PUBLISH has counted it, and the message is still under way */
		uint64_t seen = s->seen;
		pubsub_settle(c);
		settle = s->seen > seen;
	}
	if (s)
		unlink_sub(s);
	pthread_mutex_unlock(lock);
	update_flag(c);
	return s != NULL;
}

void pubsub_leave(struct client *c)
{
	struct pubsub *p = c->pubsub;
	for (int kind = 0; p && kind < PUBSUB_KINDS; kind++) {
		while (p->first[kind]) {
			const struct topic *t = p->first[kind]->topic;
			pubsub_unsubscribe(c, (enum pubsub_kind)kind, t->name, t->len);
		}
	}
	free(p);
	c->pubsub = NULL;
	c->flags &= ~(uint32_t)CLIENT_PUBSUB;
}

void pubsub_each_of(struct client *c, enum pubsub_kind kind, void (*each)(void *ctx, const void *name, size_t len),
                    void *ctx)
{
	struct pubsub_sub *s = c->pubsub ? c->pubsub->first[kind] : NULL, *next;
	for (; s; s = next) {
		next = s->next_of;
		/* The name outlives the topic for the visitor, who may end the subscription. */
		size_t len = s->topic->len;
		char *name = malloc(len + 1);
		if (!name)
			return;
		memcpy(name, s->topic->name, len);
		each(ctx, name, len);
		free(name);
	}
}

unsigned pubsub_count_of(const struct client *c, enum pubsub_kind kind)
{
	return c->pubsub ? c->pubsub->n[kind] : 0;
}

size_t pubsub_memory(const struct client *c)
{
	const struct pubsub *p = c->pubsub;
	return p ? sizeof *p + (p->n[0] + p->n[1] + p->n[2]) * sizeof(struct pubsub_sub) : 0;
}

/* ------------------------------------------------------------------ publishing */

struct pubsub_sub *pubsub_subscribers_here(enum pubsub_kind kind, const void *topic, size_t len)
{
	pthread_mutex_t *lock;
	struct topic *t = find(*lock_chain(kind, topic, len, &lock), kind, topic, len);
	struct pubsub_sub *first = t ? t->loop[worker_current->index].first : NULL;
	pthread_mutex_unlock(lock);
	return first;
}

/* One message to each loop with subscribers of t. The topic's lock is held. */
static void post(struct topic *t, const struct arg *name, const struct arg *text)
{
	struct arg topic = { t->name, t->len };
	++*t->numbers;
	for (unsigned i = 0; i < hub.loops; i++) {
		if (t->loop[i].n && pubsub_post(i, t->kind, *t->numbers, &topic, name, text))
			t->loop[i].posted = *t->numbers;
	}
}

uint64_t pubsub_publish(enum pubsub_kind kind, const void *name, size_t len, const void *text, size_t text_len)
{
	struct arg n = { name, len }, x = { text, text_len };
	uint64_t receivers = 0;
	bool patterns = kind == PUBSUB_CHANNEL && atomic_load(&hub.topics[PUBSUB_PATTERN]);
	if (!patterns && !atomic_load(&hub.topics[kind]))
		return 0;
	pthread_mutex_t *lock;
	net_post_hold();
	struct topic *t = find(*lock_chain(kind, name, len, &lock), kind, name, len);
	if (t) {
		receivers += t->total;
		post(t, &n, &x);
	}
	if (patterns) {
		pthread_mutex_lock(&hub.patterns_lock);
		for (t = hub.patterns; t; t = t->next) {
			if (!glob_match(t->name, t->len, name, len, false))
				continue;
			receivers += t->total;
			post(t, &n, &x);
		}
		pthread_mutex_unlock(&hub.patterns_lock);
	}
	pthread_mutex_unlock(lock);
	net_post_release();
	struct worker *w = worker_current;
	if (w && w->executing && (w->executing->flags & CLIENT_PUBSUB))
		w->output_grew = true; /* perhaps to itself: pubsub_after_command() is called */
	return receivers;
}

/* ------------------------------------------------------------------ questions */

void pubsub_each_topic(enum pubsub_kind kind, void (*each)(void *ctx, const void *name, size_t len), void *ctx)
{
	for (unsigned i = 0; i < STRIPES; i++) {
		struct stripe *s = &hub.stripes[i];
		pthread_mutex_lock(&s->lock);
		for (unsigned h = 0; h < STRIPE_HEADS; h++) {
			for (struct topic *t = s->head[h]; t; t = t->next) {
				if (t->kind == kind)
					each(ctx, t->name, t->len);
			}
		}
		pthread_mutex_unlock(&s->lock);
	}
}

uint64_t pubsub_subscribers(enum pubsub_kind kind, const void *name, size_t len)
{
	pthread_mutex_t *lock;
	struct topic *t = find(*lock_chain(kind, name, len, &lock), kind, name, len);
	uint64_t n = t ? t->total : 0;
	pthread_mutex_unlock(lock);
	return n;
}

uint64_t pubsub_topics(enum pubsub_kind kind)
{
	return atomic_load(&hub.topics[kind]);
}

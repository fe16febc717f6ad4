/* tracking_notes: see tracking_notes.h. */
#include "server/tracking_notes.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "server/client.h"
#include "server/push.h"
#include "server/reply.h"
#include "server/server.h"
#include "server/tracking.h"
#include "server/worker.h"

struct note {
	struct net_msg msg;
	net_conn_id conn, owner_conn; /* owner: who is tracking, where conn is where it redirects to */
	uint64_t client, sender;
	unsigned owner_loop;
	bool all;
	size_t len;
	char key[];
};

static struct {
	struct {
		struct tracking *first;
		atomic_bool flush_posted; /* one note is enough for all databases of FLUSHALL */
	} *loop;
} notes;

int tracking_notes_init(unsigned loops)
{
	notes.loop = calloc(loops, sizeof *notes.loop);
	return notes.loop ? 0 : -ENOMEM;
}

void tracking_notes_free(void)
{
	free(notes.loop);
	notes.loop = NULL;
}

void tracking_notes_join(struct tracking *t)
{
	struct tracking **first = &notes.loop[t->client->loop].first;
	t->next = *first;
	t->prev = first;
	if (t->next)
		t->next->prev = &t->next;
	*first = t;
}

void tracking_notes_leave(struct tracking *t)
{
	*t->prev = t->next;
	if (t->next)
		t->next->prev = t->prev;
}

static void post(unsigned loop, const struct note *n, const char *key, void (*run)(struct net_loop *, struct net_msg *))
{
	struct note *m = malloc(sizeof *m + n->len);
	if (!m)
		return;
	*m = *n;
	m->msg = (struct net_msg){ .run = run, .bytes = n->len };
	memcpy(m->key, key, n->len);
	net_post_hold(); /* wake-ups wait until the locks are free */
	net_post(net_server_loop(server_net(), (int)loop), &m->msg);
	net_post_release();
}

static struct client *client_at(struct net_loop *l, net_conn_id id)
{
	struct net_conn *conn = net_conn_find(l, id);
	return conn ? net_conn_ctx(conn) : NULL;
}

/* ------------------------------------------------------------------ messages */

static void add_keys(struct reply *r, const struct note *n)
{
	if (n->all) {
		reply_null(r);
		return;
	}
	reply_array(r, 1);
	reply_bulk(r, n->key, n->len);
}

/* With RESP2 the message comes as if published, to a subscriber that somebody named for it. */
static void send_message(struct client *c, const struct note *n, bool redirected)
{
	struct reply r;
	size_t len;
	if (c->flags & CLIENT_CLOSE_ASAP)
		return;
	if (c->resp == 2 && !(redirected && c->flags & CLIENT_PUBSUB))
		return;
	reply_init_memory(&r, c->resp);
	if (c->resp == 3) {
		reply_push(&r, 2);
		reply_cstr(&r, "invalidate");
	} else {
		reply_array(&r, 3);
		reply_cstr(&r, "message");
		reply_cstr(&r, "__redis__:invalidate");
	}
	add_keys(&r, n);
	const char *bytes = reply_bytes(&r, &len);
	if (!r.failed)
		push_to(c, bytes, len);
	reply_clear(&r);
}

/* The client that messages went to has gone: its owner is told instead, of each. */
static void run_broken(struct net_loop *l, struct net_msg *m)
{
	struct note *n = (struct note *)m;
	struct client *c = client_at(l, n->conn);
	struct tracking *t = c ? c->tracking : NULL;
	if (t) {
		struct reply r;
		size_t len;
		t->flags |= TRACKING_BROKEN;
		reply_init_memory(&r, 3);
		reply_push(&r, 2);
		reply_cstr(&r, "tracking-redir-broken");
		reply_int(&r, (int64_t)t->redirect);
		const char *bytes = reply_bytes(&r, &len);
		if (c->resp == 3 && !r.failed)
			push_to(c, bytes, len);
		reply_clear(&r);
	}
	free(n);
}

static void run_redirected(struct net_loop *l, struct net_msg *m)
{
	struct note *n = (struct note *)m;
	struct client *c = client_at(l, n->conn);
	if (c) {
		send_message(c, n, true);
	} else {
		struct note back = { .conn = n->owner_conn };
		post(n->owner_loop, &back, "", run_broken);
	}
	free(n);
}

static void tell(struct client *c, const struct note *n)
{
	const struct tracking *t = c->tracking;
	if ((t->flags & TRACKING_NOLOOP) && n->sender == c->id && !n->all)
		return;
	if (!t->redirect) {
		send_message(c, n, false);
		return;
	}
	struct note to = *n;
	to.conn = t->redirect_conn;
	to.owner_conn = net_conn_id_of(c->conn);
	to.owner_loop = c->loop;
	post(t->redirect_loop, &to, n->key, run_redirected);
}

/* ------------------------------------------------------------------ notes */

static void run_key(struct net_loop *l, struct net_msg *m)
{
	struct note *n = (struct note *)m;
	struct client *c = client_at(l, n->conn);
	/* The table may know it from before it changed to BCAST. */
	if (c && c->id == n->client && c->tracking && !(c->tracking->flags & TRACKING_BCAST))
		tell(c, n);
	free(n);
}

static bool has_prefix(const struct tracking *t, const struct note *n)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->prefixes[i].len <= n->len && !memcmp(t->prefixes[i].ptr, n->key, t->prefixes[i].len))
			return true;
	}
	return false;
}

static void run_prefix(struct net_loop *l, struct net_msg *m)
{
	struct note *n = (struct note *)m;
	for (struct tracking *t = notes.loop[net_loop_index(l)].first; t; t = t->next) {
		if ((t->flags & TRACKING_BCAST) && has_prefix(t, n))
			tell(t->client, n);
	}
	free(n);
}

/* One that has been posted is for the client whose command is under way. */
static _Thread_local bool own_posted;

static void run_all(struct net_loop *l, struct net_msg *m)
{
	struct note *n = (struct note *)m;
	int loop = net_loop_index(l);
	atomic_store(&notes.loop[loop].flush_posted, false);
	for (struct tracking *t = notes.loop[loop].first; t; t = t->next)
		tell(t->client, n);
	free(n);
}

static void expect_own(void)
{
	own_posted = true;
	worker_current->output_grew = true; /* turn.c calls tracking_settle() */
}

static bool under_way(uint64_t client)
{
	const struct worker *w = worker_current;
	return w && w->executing && w->executing->id == client;
}

void tracking_settle(void)
{
	struct worker *w = worker_current;
	if (!own_posted || w->restricted)
		return;
	own_posted = false;
	net_loop_run_posted(w->net, run_key);
	net_loop_run_posted(w->net, run_all);
}

void tracking_note_key(unsigned loop, net_conn_id conn, uint64_t client, uint64_t sender, const char *key, size_t len)
{
	struct note n = { .conn = conn, .client = client, .sender = sender, .len = len };
	post(loop, &n, key, run_key);
	if (under_way(client))
		expect_own();
}

void tracking_note_prefix(unsigned loop, uint64_t sender, const char *key, size_t len)
{
	struct note n = { .sender = sender, .len = len };
	post(loop, &n, key, run_prefix);
}

void tracking_note_all(unsigned loop)
{
	struct note n = { .all = true };
	if (!atomic_exchange(&notes.loop[loop].flush_posted, true))
		post(loop, &n, "", run_all);
	if (worker_current && worker_current->index == loop && worker_current->executing && worker_current->executing->tracking)
		expect_own();
}

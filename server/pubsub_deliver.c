/* pubsub_deliver: see pubsub_deliver.h. */
#include "server/pubsub_deliver.h"

#include <stdlib.h>

#include "net/net.h"
#include "server/client.h"
#include "server/push.h"
#include "server/server.h"
#include "server/txn.h"
#include "server/worker.h"

#define BATCH_BYTES 65536 /* of text that is delivered at once */

struct delivery {
	struct net_msg msg;
	enum pubsub_kind kind;
	uint64_t number;
	size_t topic_len, name_len, text_len; /* topic: the pattern, or again the channel's name */
	size_t at[2];                         /* where it begins in its batch, in RESP2 and 3 */
	char bytes[];
};

static void deliver(struct net_loop *l, struct net_msg *m);

bool pubsub_post(unsigned loop, enum pubsub_kind kind, uint64_t number, const struct arg *topic, const struct arg *name,
                 const struct arg *text)
{
	struct delivery *d = malloc(sizeof *d + topic->len + name->len + text->len);
	if (!d)
		return false;
	*d = (struct delivery){ .msg = { .run = deliver, .bytes = text->len }, .kind = kind, .number = number,
		                .topic_len = topic->len, .name_len = name->len, .text_len = text->len };
	memcpy(d->bytes, topic->ptr, topic->len);
	memcpy(d->bytes + topic->len, name->ptr, name->len);
	memcpy(d->bytes + topic->len + name->len, text->ptr, text->len);
	net_post(net_server_loop(server_net(), (int)loop), &d->msg);
	return true;
}

/* ------------------------------------------------------------------ batches */

static struct delivery *next_of(const struct delivery *d)
{
	return (struct delivery *)d->msg.next;
}

static bool same_topic_follows(const struct delivery *d)
{
	const struct delivery *next = next_of(d);
	return next && next->msg.run == deliver && next->kind == d->kind && next->topic_len == d->topic_len &&
	       memcmp(next->bytes, d->bytes, d->topic_len) == 0;
}

/* The message as a subscriber gets it. */
static void encode(const struct delivery *d, struct reply *r)
{
	static const char *const words[] = { "message", "pmessage", "smessage" };
	const char *name = d->bytes + d->topic_len, *text = name + d->name_len;
	reply_push(r, d->kind == PUBSUB_PATTERN ? 4 : 3);
	reply_cstr(r, words[d->kind]);
	if (d->kind == PUBSUB_PATTERN)
		reply_bulk(r, d->bytes, d->topic_len);
	reply_bulk(r, name, d->name_len);
	reply_bulk(r, text, d->text_len);
}

static void encode_batch(struct delivery *first, const struct delivery *last, bool resp3, struct reply *r)
{
	reply_init_memory(r, resp3 ? 3 : 2);
	for (struct delivery *d = first;; d = next_of(d)) {
		reply_bytes(r, &d->at[resp3]);
		encode(d, r);
		if (d == last)
			return;
	}
}

/* To one loop's subscribers, all messages to each at once. */
static void deliver_batch(struct pubsub_sub *s, struct delivery *first, const struct delivery *last)
{
	struct reply encoded[2] = { 0 };
	for (; s; s = s->next) {
		bool resp3 = s->client->resp == 3;
		struct reply *r = &encoded[resp3];
		uint64_t seen = s->seen;
		if (seen >= last->number)
			continue;
		s->seen = last->number;
		if (s->client->flags & CLIENT_CLOSE_ASAP)
			continue;
		if (!r->mem)
			encode_batch(first, last, resp3, r);
		if (r->failed)
			continue;
		size_t len;
		const char *bytes = reply_bytes(r, &len);
		const struct delivery *d = first; /* or the first one since the subscription */
		while (seen >= d->number)
			d = next_of(d);
		push_to(s->client, bytes + d->at[resp3], len - d->at[resp3]);
	}
	reply_clear(&encoded[0]);
	reply_clear(&encoded[1]);
}

/* The mailbox calls this for each message; those before the last of a batch stay until then. */
static void deliver(struct net_loop *l, struct net_msg *m)
{
	static _Thread_local struct {
		struct delivery *first;
		size_t bytes;
	} batch;
	struct delivery *d = (struct delivery *)m;
	(void)l;
	if (!batch.first)
		batch.first = d;
	batch.bytes += d->text_len;
	if (batch.bytes < BATCH_BYTES && same_topic_follows(d))
		return;
	deliver_batch(pubsub_subscribers_here(d->kind, d->bytes, d->topic_len), batch.first, d);
	for (struct delivery *old = batch.first, *next; old; old = next) {
		next = old == d ? NULL : next_of(old);
		free(old);
	}
	batch.first = NULL;
	batch.bytes = 0;
}

/* ------------------------------------------------------------------ before their turn in the mailbox */

/* between: no reply is half written, the messages may stand here. */
static void settle(struct client *c, bool between)
{
	struct worker *w = worker_current;
	between = between && w->writing == c;
	if (between)
		worker_end_output(w);
	net_loop_run_posted(w->net, deliver);
	if (between)
		turn_reopen_output(w, c);
}

void pubsub_settle(struct client *c)
{
	settle(c, !txn_is_exec(worker_current->call.cmd));
}

void pubsub_before_exec(struct client *c)
{
	settle(c, true);
}

void pubsub_after_command(struct client *c)
{
	struct worker *w = worker_current;
	if ((c->flags & CLIENT_PUBSUB) && !w->restricted)
		net_loop_run_posted(w->net, deliver);
}

/* push: see push.h. */
#include "server/push.h"

#include "net/net.h"
#include "server/client.h"
#include "server/config.h"
#include "server/worker.h"

/* For the client in execution. */
static _Thread_local struct {
	uint64_t client; /* 0: none */
	struct reply reply;
} aside;

static void put_aside(struct client *c, const char *bytes, size_t len)
{
	if (aside.client != c->id) {
		reply_clear(&aside.reply);
		reply_init_memory(&aside.reply, c->resp);
	}
	aside.client = c->id;
	reply_raw(&aside.reply, bytes, len);
	worker_current->output_grew = true; /* push_after_command() is called */
}

void push_after_command(struct client *c)
{
	size_t len;
	if (aside.client != c->id)
		return;
	const char *bytes = reply_bytes(&aside.reply, &len);
	if (!aside.reply.failed)
		push_to(c, bytes, len);
	reply_clear(&aside.reply);
	aside.client = 0;
}

void push_to(struct client *c, const char *bytes, size_t len)
{
	const struct config_output_limit *limit = &config()->output_limit[OUTPUT_PUBSUB];
	if (worker_current->writing == c) {
		put_aside(c, bytes, len);
		return;
	}
	if (net_write(c->conn, bytes, len))
		return;
	size_t pending = net_out_pending(c->conn);
	if (limit->hard_bytes && pending > limit->hard_bytes) {
		stats_add(&worker_current->stats->counter[STAT_OUTPUT_LIMIT_CLOSES], 1);
		c->flags |= CLIENT_CLOSE_ASAP;
		net_close_now(c->conn, NET_BY_OVERFLOW);
	} else if (limit->soft_bytes && pending > limit->soft_bytes) {
		if (!c->soft_limit_since_ms)
			c->soft_limit_since_ms = worker_current->mono_ms;
	}
}

struct reply *push_reply(struct call *c)
{
	bool quiet = c->client->flags & (CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP);
	return quiet && c->client == worker_current->writing ? &worker_current->reply : c->reply;
}

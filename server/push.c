/* push: see push.h. */
#include "server/push.h"

#include "net/net.h"
#include "server/client.h"
#include "server/config.h"
#include "server/worker.h"

void push_to(struct client *c, const char *bytes, size_t len)
{
	const struct config_output_limit *limit = &config()->output_limit[OUTPUT_PUBSUB];
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

/* client: see client.h. */
#include "server/client.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "net/net.h"
#include "server/acl.h"
#include "server/block.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/dispatch.h"
#include "server/monitor.h"
#include "server/pubsub.h"
#include "server/server.h"
#include "server/tracking.h"
#include "server/txn.h"
#include "server/worker.h"

static _Atomic uint64_t last_id;
static atomic_uint count;

/* CLIENT PAUSE; written alone. */
static struct {
	int64_t until_ms;
	bool writes_only;
} pause_state;

struct client *client_new(struct net_conn *conn, unsigned loop, int64_t now_ms)
{
	struct client *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->conn = conn;
	c->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
	c->loop = (uint8_t)loop;
	c->resp = 2;
	c->created_ms = c->last_active_ms = now_ms;
	acl_begin(c);
	atomic_fetch_add_explicit(&count, 1, memory_order_relaxed);
	return c;
}

struct client *client_new_internal(void)
{
	struct client *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->resp = 2;
	c->flags = CLIENT_INTERNAL | CLIENT_AUTHENTICATED;
	return c;
}

static void free_extra(struct client *c)
{
	if (!c->extra)
		return;
	free(c->extra->name);
	free(c->extra->lib_name);
	free(c->extra->lib_ver);
	free(c->extra);
	c->extra = NULL;
}

void client_free(struct client *c)
{
	if (!c)
		return;
	bool counted = !(c->flags & CLIENT_INTERNAL);
	block_leave(c);
	txn_discard(c);
	pubsub_leave(c);
	monitor_leave(c);
	tracking_off(c);
	acl_become(c, NULL);
	free_extra(c);
	free(c);
	/* Last: who sees it gone finds nothing of it anywhere. */
	if (counted)
		atomic_fetch_sub_explicit(&count, 1, memory_order_release);
}

struct client_extra *client_extra(struct client *c)
{
	if (!c->extra)
		c->extra = calloc(1, sizeof *c->extra);
	return c->extra;
}

void client_reset(struct client *c)
{
	txn_discard(c);
	pubsub_leave(c);
	monitor_leave(c);
	tracking_off(c);
	c->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT | CLIENT_NO_EVICT |
	                        CLIENT_NO_TOUCH);
	acl_begin(c);
	c->resp = 2;
	c->db = 0;
	if (c->extra) {
		free(c->extra->name);
		c->extra->name = NULL;
	}
}

/* The first client of loop i or a later one. */
static struct client *first_from(unsigned i)
{
	for (; i < server_loops(); i++) {
		struct net_conn *conn = net_conn_next(net_server_loop(server_net(), (int)i), NULL);
		for (; conn; conn = net_conn_next(net_conn_loop(conn), conn)) {
			if (net_conn_ctx(conn))
				return net_conn_ctx(conn);
		}
	}
	return NULL;
}

struct client *client_next(struct client *after)
{
	if (!after)
		return first_from(0);
	struct net_conn *conn = after->conn;
	while ((conn = net_conn_next(net_conn_loop(conn), conn))) {
		if (net_conn_ctx(conn))
			return net_conn_ctx(conn);
	}
	return first_from(after->loop + 1u);
}

struct client *client_by_id(uint64_t id)
{
	for (struct client *c = client_next(NULL); c; c = client_next(c)) {
		if (c->id == id)
			return c;
	}
	return NULL;
}

unsigned client_count(void)
{
	return atomic_load_explicit(&count, memory_order_acquire);
}

uint64_t client_max_id(void)
{
	return atomic_load_explicit(&last_id, memory_order_relaxed);
}

void client_kill(struct client *c)
{
	if (c->flags & CLIENT_CLOSE_ASAP)
		return;
	c->flags |= CLIENT_CLOSE_ASAP;
	net_close_id(server_net(), net_conn_id_of(c->conn));
}

void client_pause_all(int64_t until_ms, bool writes_only)
{
	/* A second pause never weakens the first: the later end and the stricter kind win. */
	if (pause_state.until_ms > clock_wall_ms()) {
		writes_only = writes_only && pause_state.writes_only;
		if (until_ms < pause_state.until_ms)
			until_ms = pause_state.until_ms;
	}
	pause_state.until_ms = until_ms;
	pause_state.writes_only = writes_only;
	dispatch_paused = true;
}

void client_unpause_all(void)
{
	pause_state.until_ms = 0;
	dispatch_paused = false;
	for (struct client *c = client_next(NULL); c; c = client_next(c)) {
		if (c->flags & CLIENT_PAUSED) {
			c->flags &= ~(uint32_t)CLIENT_PAUSED;
			turn_resume(c);
		}
	}
}

int64_t client_paused_until_ms(bool *writes_only)
{
	*writes_only = pause_state.writes_only;
	return pause_state.until_ms;
}

int client_peer(const struct client *c, char *buf, size_t size)
{
	return net_conn_peer(c->conn, buf, size);
}

int client_local(const struct client *c, char *buf, size_t size)
{
	return net_conn_local(c->conn, buf, size);
}

size_t client_in_memory(const struct client *c)
{
	return c->conn ? net_in_capacity(c->conn) : 0;
}

size_t client_out_memory(const struct client *c)
{
	return c->conn ? net_out_memory(c->conn) : 0;
}

size_t client_memory(const struct client *c)
{
	size_t n = sizeof *c + client_in_memory(c) + client_out_memory(c);
	n += block_memory(c) + txn_memory(c) + pubsub_memory(c) + tracking_memory(c);
	if (c->extra)
		n += sizeof *c->extra;
	return n;
}

/* client_list: how a client is told to others: the line of CLIENT LIST and CLIENT INFO. */
#include <stdio.h>

#include "net/net.h"
#include "server/acl.h"
#include "server/client.h"
#include "server/pubsub.h"
#include "server/tracking.h"
#include "server/txn.h"
#include "server/command.h"

static void flag_letters(const struct client *c, char *out)
{
	static const struct {
		uint32_t flag;
		char letter;
	} letters[] = {
		{ CLIENT_MONITOR, 'O' }, { CLIENT_REPLICA, 'S' }, { CLIENT_PRIMARY, 'M' }, { CLIENT_PUBSUB, 'P' },
		{ CLIENT_MULTI, 'x' }, { CLIENT_BLOCKED, 'b' }, { CLIENT_TRACKING, 't' }, { CLIENT_DIRTY_CAS, 'd' },
		{ CLIENT_CLOSE_AFTER_REPLY, 'c' }, { CLIENT_CLOSE_ASAP, 'A' }, { CLIENT_UNIX, 'U' }, { CLIENT_NO_EVICT, 'e' },
		{ CLIENT_NO_TOUCH, 'T' },
	};
	size_t n = 0;
	for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
		if (c->flags & letters[i].flag)
			out[n++] = letters[i].letter;
	if (tracking_flags(c) & TRACKING_BROKEN)
		out[n++] = 'R';
	if (tracking_flags(c) & TRACKING_BCAST)
		out[n++] = 'B';
	if (n == 0)
		out[n++] = 'N';
	out[n] = 0;
}

static const char *text(const char *s)
{
	return s ? s : "";
}

int client_describe(const struct client *c, int64_t now_ms, char *buf, size_t size)
{
	char peer[160], local[160], flags[24];
	static const struct client_extra none;
	const struct client_extra *x = c->extra ? c->extra : &none;
	client_peer(c, peer, sizeof peer);
	client_local(c, local, sizeof local);
	flag_letters(c, flags);
	return snprintf(buf, size,
	                "id=%llu addr=%s laddr=%s fd=%d name=%s age=%lld idle=%lld flags=%s db=%u sub=%u psub=%u ssub=%u "
	                "multi=%d qbuf=%zu qbuf-free=0 argv-mem=%u multi-mem=%zu rbs=0 rbp=0 obl=0 oll=0 omem=%zu "
	                "tot-mem=%zu events=%s cmd=%s user=%s redir=%lld resp=%u lib-name=%s lib-ver=%s",
	                (unsigned long long)c->id, peer, local, net_conn_fd(c->conn), text(x->name),
	                (long long)(now_ms - c->created_ms) / 1000, (long long)(now_ms - c->last_active_ms) / 1000, flags,
	                (unsigned)c->db, pubsub_count_of(c, PUBSUB_CHANNEL), pubsub_count_of(c, PUBSUB_PATTERN),
	                pubsub_count_of(c, PUBSUB_SHARD), txn_queued(c), client_in_memory(c), c->argv_bytes, txn_memory(c),
	                client_out_memory(c), client_memory(c),
	                net_out_pending(c->conn) ? "rw" : "r", c->last_command ? c->last_command->full_name : "NULL",
	                acl_user_name(c),
	                (long long)tracking_redirect(c), c->resp, text(x->lib_name), text(x->lib_ver));
}

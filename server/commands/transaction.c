/* transaction: MULTI EXEC DISCARD WATCH UNWATCH; the work is in txn.c. */
#include "server/client.h"
#include "server/commands/groups.h"
#include "server/txn.h"

static void run_multi(struct call *c)
{
	if (c->client->flags & CLIENT_MULTI)
		reply_error(c->reply, "ERR MULTI calls can not be nested");
	else
		txn_begin(c);
}

static void run_discard(struct call *c)
{
	if (!(c->client->flags & CLIENT_MULTI)) {
		reply_error(c->reply, "ERR DISCARD without MULTI");
		return;
	}
	txn_discard(c->client);
	reply_ok(c->reply);
}

static void run_watch(struct call *c)
{
	if (c->client->flags & CLIENT_MULTI)
		reply_error(c->reply, "ERR WATCH inside MULTI is not allowed");
	else if (c->client->flags & CLIENT_INTERNAL)
		reply_error(c->reply, "ERR WATCH needs a connection");
	else
		txn_watch(c);
}

static void run_unwatch(struct call *c)
{
	txn_unwatch(c->client);
	reply_ok(c->reply);
}

#define TXN_FLAGS (CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_FAST | CMD_ALLOW_BUSY)

struct command transaction_commands[] = {
	{ .name = "multi", .run = run_multi, .class = EXEC_LOCAL, .arity = 1, .flags = TXN_FLAGS | CMD_RUNS_IN_MULTI,
	  .acl = ACL_TRANSACTION, .group = "transactions", .since = "1.2.0",
	  .summary = "Begins a transaction: what follows is queued until EXEC.", .complexity = "O(1)" },
	{ .name = "exec", .run = txn_exec, .plan = txn_plan, .class = EXEC_KEYED, .arity = 1,
	  .flags = CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_SKIP_SLOWLOG | CMD_RUNS_IN_MULTI, .acl = ACL_TRANSACTION,
	  .group = "transactions", .since = "1.2.0", .summary = "Runs the queued commands as one unit.",
	  .complexity = "The sum of the queued commands" },
	{ .name = "discard", .run = run_discard, .class = EXEC_LOCAL, .arity = 1, .flags = TXN_FLAGS | CMD_RUNS_IN_MULTI,
	  .acl = ACL_TRANSACTION, .group = "transactions", .since = "2.0.0",
	  .summary = "Drops the queued commands and the watches.", .complexity = "O(N) in the queued commands" },
	{ .name = "watch", .run = run_watch, .class = EXEC_KEYED, .arity = -2, .flags = TXN_FLAGS | CMD_RUNS_IN_MULTI,
	  .acl = ACL_TRANSACTION, .keys = { KEY_RANGE(KEY_RO, 1, -1, 1) }, .group = "transactions", .since = "2.2.0",
	  .summary = "Lets the next EXEC run only if these keys stay unchanged until then.",
	  .complexity = "O(1) for each key", .args = "key:key#0..." },
	{ .name = "unwatch", .run = run_unwatch, .class = EXEC_LOCAL, .arity = 1, .flags = TXN_FLAGS,
	  .acl = ACL_TRANSACTION, .group = "transactions", .since = "2.2.0", .summary = "Drops all watches.",
	  .complexity = "O(N) in the watched keys" },
	{ 0 },
};

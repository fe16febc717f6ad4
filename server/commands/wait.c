/* wait: WAIT and WAITAOF: until others have what this client wrote. */
#include "server/aof.h"
#include "server/block.h"
#include "server/client.h"
#include "server/commands/groups.h"
#include "server/config.h"

/* There are no replicas: none has acknowledged anything. */
static void reply_replicas(struct reply *r, uint64_t journaled)
{
	(void)journaled;
	reply_int(r, 0);
}

/* Whether this server's log has it, and how many replicas' have. */
static void reply_logs(struct reply *r, uint64_t journaled)
{
	reply_array(r, 2);
	reply_int(r, aof_enabled() && aof_durable() >= journaled);
	reply_int(r, 0);
}

static void run_wait(struct call *c)
{
	int64_t replicas;
	struct block_spec spec = { .kind = BLOCK_TIME, .timed_out = reply_replicas };
	if (!call_int(c, 1, &replicas) || !block_timeout_ms(c, 2, &spec.timeout_ms))
		return;
	if (replicas <= 0 || !block_on_keys(c, &spec))
		reply_replicas(c->reply, 0);
}

static void run_waitaof(struct call *c)
{
	int64_t local, replicas;
	struct block_spec spec = { .kind = BLOCK_TIME, .timed_out = reply_logs };
	if (!call_int_range(c, 1, 0, 1, &local, NULL) || !call_int_range(c, 2, 0, INT64_MAX, &replicas, NULL) ||
	    !block_timeout_ms(c, 3, &spec.timeout_ms))
		return;
	if (local && !config()->appendonly) {
		reply_error(c->reply, "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
		return;
	}
	bool logged = !local || aof_durable() >= c->client->journaled, waits = false;
	if (replicas) {
		waits = block_on_keys(c, &spec);
	} else if (!logged) {
		spec.kind = BLOCK_LOG;
		waits = block_on_log(c, &spec);
	}
	if (!waits)
		reply_logs(c->reply, c->client->journaled);
}

struct command wait_commands[] = {
	{
		.name = "wait", .run = run_wait, .class = EXEC_LOCAL, .arity = 3,
		.flags = CMD_BLOCKING, .acl = ACL_CONNECTION,
		.group = "generic", .since = "3.0.0",
		.summary = "Waits until so many replicas have what this connection wrote, and answers how many do.",
		.complexity = "O(1)",
		.args = "numreplicas:integer timeout:integer",
		.tips = "request_policy:all_shards response_policy:agg_min",
	},
	{
		.name = "waitaof", .run = run_waitaof, .class = EXEC_LOCAL, .arity = 4,
		.flags = CMD_BLOCKING, .acl = ACL_CONNECTION,
		.group = "generic", .since = "7.2.0",
		.summary = "Waits until what this connection wrote is in the append-only files, here and of so many replicas.",
		.complexity = "O(1)",
		.args = "numlocal:integer numreplicas:integer timeout:integer",
		.tips = "request_policy:all_shards response_policy:agg_min",
	},
	{ .name = NULL },
};

/* save: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF. What they do is persist.c's and aof.c's. */
#include <errno.h>

#include "server/aof.h"
#include "server/call.h"
#include "server/commands/groups.h"
#include "server/persist.h"

static void run_save(struct call *c)
{
	int err = persist_save();
	if (err == -EBUSY)
		reply_error(c->reply, "ERR Background save already in progress");
	else if (err)
		reply_error(c->reply, "ERR");
	else
		reply_ok(c->reply);
}

static void run_bgsave(struct call *c)
{
	bool schedule = c->argc == 2 && arg_is(&c->argv[1], "schedule");
	if (c->argc > 1 && !schedule) {
		reply_syntax_error(c->reply);
		return;
	}
	switch (persist_bgsave(schedule)) {
	case PERSIST_STARTED:
		reply_status(c->reply, "Background saving started");
		break;
	case PERSIST_SCHEDULED:
		reply_status(c->reply, "Background saving scheduled");
		break;
	case PERSIST_SAVING:
		reply_error(c->reply, "ERR Background save already in progress");
		break;
	case PERSIST_BUSY:
		reply_error(c->reply,
		            "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to "
		            "schedule a BGSAVE whenever possible.");
		break;
	case PERSIST_FAILED:
		reply_error(c->reply, "ERR");
	}
}

static void run_bgrewriteaof(struct call *c)
{
	switch (aof_rewrite()) {
	case AOF_STARTED:
		reply_status(c->reply, "Background append only file rewriting started");
		break;
	case AOF_SCHEDULED:
		reply_status(c->reply, "Background append only file rewriting scheduled");
		break;
	case AOF_REWRITING:
		reply_error(c->reply, "ERR Background append only file rewriting already in progress");
		break;
	case AOF_FAILED:
		reply_error(c->reply, "ERR Can't execute an AOF background rewriting. Please check the server logs for more "
		                      "information.");
	}
}

static void run_lastsave(struct call *c)
{
	reply_int(c->reply, persist_last_save_s());
}

struct command save_commands[] = {
	{ .name = "bgrewriteaof", .run = run_bgrewriteaof, .class = EXEC_ALONE, .arity = 1,
	  .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING, .group = "server", .since = "1.0.0",
	  .summary = "Writes the append-only log anew, as short as the data set allows, while the server goes on.",
	  .complexity = "O(1)" },
	{ .name = "bgsave", .run = run_bgsave, .class = EXEC_ALONE, .arity = -1,
	  .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING, .group = "server", .since = "1.0.0",
	  .summary = "Writes the data set to disk while the server goes on.", .complexity = "O(1)",
	  .args = "[schedule:SCHEDULE@3.2.2]", .history = "3.2.2 Option `SCHEDULE`." },
	{ .name = "lastsave", .run = run_lastsave, .class = EXEC_SERVICE, .arity = 1,
	  .flags = CMD_LOADING | CMD_STALE | CMD_FAST, .acl = ACL_ADMIN | ACL_DANGEROUS, .group = "server", .since = "1.0.0",
	  .summary = "When the data set was last written to disk, in seconds since 1970.", .complexity = "O(1)",
	  .tips = "nondeterministic_output" },
	{ .name = "save", .run = run_save, .class = EXEC_ALONE, .arity = 1,
	  .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_NO_ASYNC_LOADING | CMD_NO_MULTI, .group = "server", .since = "1.0.0",
	  .summary = "Writes the data set to disk; nobody is served meanwhile.", .complexity = "O(N) in the number of keys" },
	{ 0 },
};

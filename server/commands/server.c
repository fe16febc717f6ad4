/* server: the process as a whole: INFO, TIME, SHUTDOWN, LOLWUT. */
#include <stdio.h>
#include <stdlib.h>

#include "server/call.h"
#include "server/client.h"
#include "server/clock.h"
#include "server/commands/groups.h"
#include "server/info.h"
#include "server/persist.h"
#include "server/server.h"
#include "store/number.h"

static void info(struct call *c)
{
	size_t len;
	struct store_op op = c->op;
	char *text = info_text(&op, c->argv + 1, c->argc - 1, &len);
	if (text)
		reply_verbatim(c->reply, "txt", text, len);
	else
		reply_oom(c->reply);
	free(text);
}

static void time_command(struct call *c)
{
	int64_t now_us = clock_wall_us();
	reply_array(c->reply, 2);
	reply_bulk_int(c->reply, now_us / 1000000);
	reply_bulk_int(c->reply, now_us % 1000000);
}

static void shutdown_command(struct call *c)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = {
		{ "save", SHUTDOWN_SAVE }, { "nosave", SHUTDOWN_NOSAVE }, { "now", SHUTDOWN_NOW }, { "force", SHUTDOWN_FORCE },
	};
	unsigned flags = 0;
	bool abort = false;
	for (unsigned i = 1; i < c->argc; i++) {
		size_t w = 0;
		while (w < 4 && !arg_is(&c->argv[i], words[w].word))
			w++;
		abort = abort || arg_is(&c->argv[i], "abort");
		if (w < 4) {
			flags |= words[w].flag;
		} else if (!arg_is(&c->argv[i], "abort")) {
			reply_syntax_error(c->reply);
			return;
		}
	}
	if ((abort && flags) || (flags & SHUTDOWN_SAVE && flags & SHUTDOWN_NOSAVE)) {
		reply_syntax_error(c->reply);
	} else if (abort) {
		/* a stop waits for nothing that could be called off */
		reply_error(c->reply, "ERR No shutdown in progress.");
	} else if (persist_shutdown(flags)) {
		reply_error(c->reply, "ERR Errors trying to SHUTDOWN. Check logs.");
	} else {
		server_shutdown(flags | SHUTDOWN_SAVED);
		c->client->flags |= CLIENT_CLOSE_AFTER_REPLY; /* the answer is the end of the connection */
	}
}

/* ------------------------------------------------------------------ LOLWUT: a shoal of fish */

enum { MAX_COLUMNS = 200, MAX_ROWS = 60 };

static uint32_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 33);
}

static void put(char *sea, int columns, int rows, int row, int column, const char *what)
{
	for (; *what; what++, column++)
		if (row >= 0 && row < rows && column >= 0 && column < columns)
			sea[row * (columns + 1) + column] = *what;
}

/* Most swim one way, in a lens around the middle; some are in doubt; weeds grow and bubbles rise. */
static void draw(char *sea, int columns, int rows, uint64_t state)
{
	static const char *const right[] = { "><>", "><>", "><))'>", "><((('>" };
	static const char *const left[] = { "<><", "<><", "<'((><", "<')))><" };
	const char *const *way = next_random(&state) & 1 ? right : left, *const *other = way == right ? left : right;
	for (int r = 0; r < rows; r++) {
		memset(sea + r * (columns + 1), r ? ' ' : '~', (size_t)columns);
		sea[r * (columns + 1) + columns] = '\n';
	}
	for (int i = 0; i < columns / 12 + 1; i++) {
		int at = (int)(next_random(&state) % (unsigned)columns), high = (int)(next_random(&state) % 4);
		for (int k = 0; k <= high; k++)
			put(sea, columns, rows, rows - 1 - k, at, k % 2 ? "(" : ")");
	}
	for (int i = 0; i < columns * rows / 60 + 1; i++)
		put(sea, columns, rows, 1 + (int)(next_random(&state) % (unsigned)rows),
		    (int)(next_random(&state) % (unsigned)columns), next_random(&state) & 1 ? "o" : ".");
	for (int i = 0; i < columns * rows / 40 + 3; i++) {
		/* the mean of three throws keeps together */
		unsigned x = 0, y = 0;
		for (int k = 0; k < 3; k++) {
			x += next_random(&state) % (unsigned)columns;
			y += next_random(&state) % (unsigned)rows;
		}
		put(sea, columns, rows, 1 + (int)y / 3, (int)x / 3 - 3,
		    (next_random(&state) % 12 ? way : other)[next_random(&state) & 3]);
	}
}

static int clamp(int64_t v, int min, int max)
{
	return v < min ? min : v > max ? max : (int)v;
}

static void lolwut(struct call *c)
{
	int64_t size[2] = { 60, 12 }, version;
	unsigned i = 1;
	bool strict = c->argc > 2 && arg_is(&c->argv[1], "version");
	if (strict && !call_int(c, 2, &version))
		return;
	if (strict)
		i = 3;
	for (int k = 0; k < 2 && i < c->argc; k++, i++) {
		int64_t v;
		if (number_parse(c->argv[i].ptr, c->argv[i].len, &v)) {
			size[k] = v;
		} else if (strict) {
			reply_not_integer(c->reply);
			return;
		}
	}
	int columns = clamp(size[0], 10, MAX_COLUMNS), rows = clamp(size[1], 3, MAX_ROWS);
	size_t len = (size_t)rows * (size_t)(columns + 1);
	char *sea = malloc(len + 128);
	if (!sea) {
		reply_oom(c->reply);
		return;
	}
	draw(sea, columns, rows, (uint64_t)clock_wall_us());
	len += (size_t)snprintf(sea + len, 128, "\nShoal ver. %s (Redis ver. %s)\n", SHOAL_VERSION, SERVER_REDIS_VERSION);
	reply_verbatim(c->reply, "txt", sea, len);
	free(sea);
}

struct command server_commands[] = {
	{ .name = "info", .run = info, .class = EXEC_SERVICE, .arity = -1, .flags = CMD_LOADING | CMD_STALE,
	  .acl = ACL_DANGEROUS, .group = "server", .since = "1.0.0",
	  .summary = "Tells how the server is doing: versions, memory, traffic, keys.", .complexity = "O(1)",
	  .args = "[section:string...]", .history = "7.0.0 Several sections at once.",
	  .tips = "nondeterministic_output request_policy:all_shards response_policy:special" },
	{ .name = "lolwut", .run = lolwut, .class = EXEC_LOCAL, .arity = -1, .flags = CMD_READONLY | CMD_FAST,
	  .group = "server", .since = "5.0.0", .summary = "Draws a picture and names the version.",
	  .args = "[VERSION version:integer]" },
	{ .name = "shutdown", .run = shutdown_command, .class = EXEC_ALONE, .arity = -1,
	  .flags = CMD_ADMIN | CMD_NOSCRIPT | CMD_LOADING | CMD_STALE | CMD_NO_MULTI | CMD_ALLOW_BUSY | CMD_STOPS_PARSING,
	  .group = "server", .since = "1.0.0", .summary = "Saves the data, if saving is on, and ends the server.",
	  .complexity = "O(N) in the keys when it saves; otherwise O(1)",
	  .args = "[abort-selector:<save-selector-block:{[save-selector:<nosave:NOSAVE|save:SAVE>] [now:NOW@7.0.0] "
	          "[force:FORCE@7.0.0]}|abort:ABORT@7.0.0>]",
	  .history = "7.0.0 Modifiers NOW, FORCE and ABORT." },
	{ .name = "time", .run = time_command, .class = EXEC_LOCAL, .arity = 1, .flags = CMD_LOADING | CMD_STALE | CMD_FAST,
	  .group = "server", .since = "2.6.0", .summary = "Answers the server's clock: seconds and microseconds.",
	  .complexity = "O(1)", .tips = "nondeterministic_output" },
	{ 0 },
};

/* Connections: sessions, names, protocol. What ends a connection is tested elsewhere. */
#include <stdio.h>
#include <string.h>

#include "tests/diff/gen.h"

static void make_ping(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	if (gen_chance(g, 40))
		gen_small_value(g);
	gen_end(g, row);
}

static void make_echo(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_value(g);
	gen_end(g, row);
}

static void make_select(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_db(g);
	gen_end(g, row);
}

static void make_auth(struct gen *g, const struct gen_row *row)
{
	static const char *const users[] = { "default", "nobody", "", NULL };
	gen_begin(g, row);
	if (gen_chance(g, 50))
		gen_text(g, gen_pick(g, users));
	gen_text(g, "password");
	/* Valkey 8.1.1 sometimes leaves a pipelined AUTH that fails without a reply. */
	g->cmd.unpipelined = true;
	gen_end(g, row);
}

static void back_to_protocol(struct gen *g)
{
	gen_line(g, g->resp == 3 ? "HELLO 3" : "HELLO 2", CMP_HELLO, 1);
}

static void make_hello(struct gen *g, const struct gen_row *row)
{
	static const char *const versions[] = { "2", "3", "2", "3", "1", "4", "abc", "-1", "9223372036854775808", "", NULL };
	gen_begin(g, row);
	if (gen_chance(g, 90))
		gen_text(g, gen_pick(g, versions));
	for (uint32_t n = gen_below(g, 3); n; n--) {
		if (gen_chance(g, 40)) {
			g->cmd.unpipelined = true;
			gen_word(g, "AUTH");
			gen_text(g, gen_chance(g, 60) ? "default" : "nobody");
			gen_text(g, "password");
		} else if (gen_chance(g, 80)) {
			gen_word(g, "SETNAME");
			gen_text(g, gen_chance(g, 80) ? "somebody" : "with blank");
		} else {
			gen_text(g, "nonsense");
		}
	}
	gen_end(g, row);
	back_to_protocol(g);
	/* Redis 7.0 takes the name even where the whole is refused. */
	gen_line(g, "CLIENT SETNAME known", CMP_EXACT, 1);
}

static void make_reset(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_end(g, row);
	back_to_protocol(g);
}

static void make_setname(struct gen *g, const struct gen_row *row)
{
	static const char *const names[] = { "a", "", "name-with_signs!", "with blank", "line\nfeed", "{}[]", "\x7f", "\xc3\xa4", NULL };
	gen_begin(g, row);
	gen_text(g, gen_pick(g, names));
	gen_end(g, row);
}

static void make_setinfo(struct gen *g, const struct gen_row *row)
{
	static const char *const values[] = { "lib", "1.2.3", "", "with blank", "line\nfeed", NULL };
	static const char *const names[] = { "LIB-NAME", "LIB-VER", "LIB", "", NULL };
	gen_begin(g, row);
	gen_word(g, gen_pick(g, names));
	gen_text(g, gen_pick(g, values));
	gen_end(g, row);
}

static void make_list(struct gen *g, const struct gen_row *row)
{
	static const char *const tails[] = { "TYPE normal", "TYPE replica", "TYPE pubsub", "TYPE nonsense", "ID 1", "ID", "ID abc", "nonsense", NULL };
	char line[64];
	if (gen_chance(g, 50)) {
		gen_begin(g, row);
	} else {
		snprintf(line, sizeof line, "CLIENT LIST %s", gen_pick(g, tails));
		gen_begin_line(g, line, CMP_KIND);
	}
	g->emit(g->ctx, &g->cmd);
}

static void make_kill(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"CLIENT KILL 1.2.3.4:5", "CLIENT KILL nonsense", "CLIENT KILL ID 999999999", "CLIENT KILL ID 0", "CLIENT KILL ID -1",
		"CLIENT KILL ID abc", "CLIENT KILL ADDR 1.2.3.4:5", "CLIENT KILL LADDR 1.2.3.4:5", "CLIENT KILL TYPE pubsub",
		"CLIENT KILL TYPE replica", "CLIENT KILL TYPE slave", "CLIENT KILL TYPE nonsense", "CLIENT KILL USER nobody",
		"CLIENT KILL SKIPME yes ID 999999999", "CLIENT KILL SKIPME maybe ID 7", "CLIENT KILL ID", "CLIENT KILL ID 999999999 SKIPME no",
		"CLIENT KILL TYPE master", "CLIENT KILL NOTHING 1 2", "CLIENT KILL ADDR 1.2.3.4:5 ID 99999999 TYPE pubsub", "CLIENT KILL", NULL,
	};
	gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
	(void)row;
}

static void make_pause(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"CLIENT PAUSE 0", "CLIENT PAUSE 1", "CLIENT PAUSE 1 WRITE", "CLIENT PAUSE 1 ALL", "CLIENT PAUSE -1", "CLIENT PAUSE abc",
		"CLIENT PAUSE 1 nonsense", "CLIENT PAUSE", "CLIENT PAUSE 9223372036854775808", "CLIENT PAUSE 1 WRITE ALL", NULL,
	};
	gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
	gen_line(g, "CLIENT UNPAUSE", CMP_EXACT, 1);
	(void)row;
}

static void make_on_off(struct gen *g, const struct gen_row *row)
{
	static const char *const words[] = { "on", "OFF", "On", "off", "maybe", "", NULL };
	gen_begin(g, row);
	gen_text(g, gen_pick(g, words));
	gen_end(g, row);
}

static void make_reply(struct gen *g, const struct gen_row *row)
{
	switch (gen_below(g, 5)) {
	case 0:
		gen_line(g, "CLIENT REPLY SKIP", CMP_EXACT, 0);
		gen_line(g, "INCR k1", CMP_EXACT, 0);
		/* What has no reply is over when the next one comes: other connections wait for it. */
		gen_line(g, "PING", CMP_EXACT, 1);
		break;
	case 1:
		gen_line(g, "CLIENT REPLY OFF", CMP_EXACT, 0);
		gen_line(g, "SET k2 x", CMP_EXACT, 0);
		gen_line(g, "NOTHING", CMP_EXACT, 0);
		gen_line(g, "CLIENT REPLY SKIP", CMP_EXACT, 0);
		gen_line(g, "GET k2", CMP_EXACT, 0);
		gen_line(g, "CLIENT REPLY ON", CMP_EXACT, 1);
		break;
	case 2:
		gen_line(g, "CLIENT REPLY SKIP", CMP_EXACT, 0);
		gen_line(g, "CLIENT REPLY ON", CMP_EXACT, 1);
		break;
	case 3:
		gen_line(g, "CLIENT REPLY ON", CMP_EXACT, 1);
		break;
	default:
		gen_line(g, gen_chance(g, 50) ? "CLIENT REPLY maybe" : "CLIENT REPLY", CMP_EXACT, 1);
	}
	(void)row;
}

/* Names that nobody has, and subcommands of commands that have others. */
static void make_unknown(struct gen *g, const struct gen_row *row)
{
	static const char *const lines[] = {
		"NOTHING", "nothing a b c", "CLIENT NOTHING", "CONFIG NOTHING a", "OBJECT NOTHING k1", "COMMAND NOTHING", "CLIENT",
		"CONFIG", "OBJECT", "DEBUG", "get", "GET|a", "client|id", "config|get a", NULL,
	};
	uint32_t r = gen_below(g, 4);
	if (r < 3) {
		gen_line(g, gen_pick(g, lines), CMP_EXACT, 1);
		return;
	}
	/* The arguments appear in the error, cut off and in quotes. */
	gen_begin_line(g, "UNKNOWN", CMP_EXACT);
	for (uint32_t n = gen_below(g, 6); n; n--)
		gen_value(g);
	g->emit(g->ctx, &g->cmd);
	(void)row;
}

static const struct gen_row rows[] = {
	{ "auth", make_auth, 2, 0, CMP_EXACT },
	{ "client|getname", gen_alone, 2, 0, CMP_EXACT },
	{ "client|id", gen_alone, 1, 0, CMP_KIND },
	{ "client|info", gen_alone, 1, 0, CMP_KIND },
	{ "client|kill", make_kill, 2, GEN_FIXED, CMP_EXACT },
	{ "client|list", make_list, 1, GEN_FIXED, CMP_KIND },
	{ "client|no-evict", make_on_off, 1, 0, CMP_EXACT },
	{ "client|no-touch", make_on_off, 1, 0, CMP_EXACT },
	{ "client|pause", make_pause, 1, GEN_FIXED, CMP_EXACT },
	{ "client|reply", make_reply, 1, GEN_FIXED, CMP_EXACT },
	{ "client|setinfo", make_setinfo, 1, 0, CMP_EXACT },
	{ "client|setname", make_setname, 2, 0, CMP_EXACT },
	{ "client|unpause", gen_alone, 1, 0, CMP_EXACT },
	{ "echo", make_echo, 2, 0, CMP_EXACT },
	{ "hello", make_hello, 2, 0, CMP_HELLO },
	{ "ping", make_ping, 2, 0, CMP_EXACT },
	{ "reset", make_reset, 1, GEN_FIXED, CMP_EXACT },
	{ "select", make_select, 4, 0, CMP_EXACT },
	{ "nothing", make_unknown, 3, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_connection = { "connection", rows };

/* ACL: users made of generated rules, what they may do according to DRYRUN, and what they get when they try. */
#include <stdio.h>

#include "tests/diff/gen.h"

/* Alice and Bob log in, so they stay; Carl comes and goes. */
static const char *const users[] = { "alice", "bob", "carl", NULL };

/* A word of rules, sound or not. */
static const char *const rules[] = {
	"on", "on", "off", "nopass", ">one", ">two", "<one", "resetpass", "sanitize-payload", "skip-sanitize-payload", "~*",
	"allkeys", "resetkeys", "~acl:a*", "~acl:b", "%R~acl:a*", "%W~acl:b*", "%RW~acl:?", "%rw~acl:c", "%R~acl:b", "~acl:[ab]",
	"&*", "allchannels", "resetchannels", "&news*", "&n?ws", "&news", "+@all", "allcommands", "nocommands", "-@all", "+@read",
	"-@read", "+@write", "-@write", "+@string", "-@string", "+@fast", "-@dangerous", "+@keyspace", "+@Connection",
	"+@pubsub", "-@pubsub", "+get", "-get", "+set", "-set", "+GET", "+mset", "+del", "+config", "-config", "+config|get",
	"-config|get", "-config|set", "+config|set", "+select|1", "+select|2", "-select", "+select", "+publish", "-publish",
	"+multi", "clearselectors", "(+get ~acl:b)", "(+@write %W~acl:a*)", "(allcommands %R~acl:* &news)", "()",
	"(~acl:a +set)", "reset", "", NULL,
};
static const char *const wrong[] = {
	"%~k", "%", "%RR~k", "%X~k", "+nope", "-nope", "+@nope", "-@nope", "+get|", "+config|nope", "+config|get|x", "-get|x",
	"(+nope)", "(bogus)", "bogus", "#abc", "!abc", "<three", "(+get", "(", ")", "+@", "+", "-", "(on)", "(>x)", "(nopass)",
	"#ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789", "((+get)", "~a b", "&a b", NULL,
};

/* Commands that are known to both servers, with keys and channels that the rules speak of. */
static const char *const commands[] = {
	"GET acl:a", "GET acl:a1", "GET acl:b", "GET acl:c", "GET other", "SET acl:a 1", "SET acl:b 2", "SET acl:c 3", "SET other 4",
	"SET acl:a 1 GET", "MSET acl:a 1 acl:b 2", "MSET acl:a 1 other 2", "MGET acl:a acl:b", "MGET acl:b other", "DEL acl:a acl:b",
	"EXISTS acl:a acl:b acl:c", "GETDEL acl:a", "INCR acl:b", "APPEND acl:a x", "STRLEN acl:a", "TYPE acl:b", "COPY acl:a acl:b",
	"RENAME acl:a acl:a1", "SINTERCARD 2 acl:sa acl:sb", "ZUNION 2 acl:a other", "ZUNIONSTORE acl:z 1 acl:zb", "SELECT 0",
	"SELECT 1", "SELECT 2", "CONFIG GET nothing", "PUBLISH news x", "PUBLISH newest x", "PUBLISH other x", "SPUBLISH news x",
	"PING", "ECHO x", "DBSIZE", "OBJECT ENCODING acl:a", "LMPOP 1 acl:l LEFT", "ACL WHOAMI", "TTL acl:a",
	"GETRANGE acl:a 0 1", "SETRANGE acl:b 0 x", "GEORADIUS acl:a 1 1 1 km STORE acl:b", "EXPIRE acl:a 1000", NULL,
};

static void none(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_end(g, row);
}

static void user(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_text(g, gen_chance(g, 90) ? gen_pick(g, users) : "nobody");
	gen_end(g, row);
}

static void setuser(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_text(g, gen_pick(g, users));
	for (uint32_t n = gen_below(g, 6); n; n--)
		gen_text(g, gen_pick(g, gen_chance(g, 4) ? wrong : rules));
	gen_end(g, row);
}

/* The words of a command behind those that are there. */
static void words(struct gen *g, const char *line)
{
	char word[64];
	for (int n; sscanf(line, "%63s%n", word, &n) == 1; line += n)
		gen_text(g, word);
}

static void dryrun(struct gen *g, const struct gen_row *row)
{
	gen_begin(g, row);
	gen_text(g, gen_chance(g, 97) ? gen_pick(g, users) : "nobody");
	words(g, gen_pick(g, commands));
	gen_end(g, row);
}

/* A user's session: in, some commands, some of them as a transaction, and back. */
static void session(struct gen *g, const struct gen_row *row)
{
	char line[64];
	bool transaction = gen_chance(g, 20);
	(void)row;
	const char *name = users[gen_below(g, 2)];
	snprintf(line, sizeof line, "ACL SETUSER %s on >one", name);
	gen_line(g, line, CMP_EXACT, 1);
	snprintf(line, sizeof line, "AUTH %s one", name);
	gen_line(g, line, CMP_EXACT, 1);
	if (transaction)
		gen_line(g, "MULTI", CMP_EXACT, 1);
	for (uint32_t n = 1 + gen_below(g, 6); n; n--)
		gen_line(g, gen_pick(g, commands), CMP_EXACT, 1);
	if (transaction)
		gen_line(g, "EXEC", CMP_EXACT, 1);
	gen_line(g, "AUTH default x", CMP_EXACT, 1);
	gen_line(g, "DISCARD", CMP_ANY, 1);
	gen_line(g, "SELECT 0", CMP_EXACT, 1);
}

static void cat(struct gen *g, const struct gen_row *row)
{
	static const char *const categories[] = { "transaction", "nope", "", NULL };
	gen_begin(g, row);
	if (gen_chance(g, 50))
		gen_text(g, gen_pick(g, categories));
	gen_end(g, row);
}

static void genpass(struct gen *g, const struct gen_row *row)
{
	static const char *const bits[] = { "0", "1", "5", "128", "4096", "4097", "-1", "x", "", NULL };
	gen_begin(g, row);
	if (gen_chance(g, 70))
		gen_text(g, gen_pick(g, bits));
	gen_end(g, row);
}

static void log_rows(struct gen *g, const struct gen_row *row)
{
	static const char *const how[] = { "RESET", "reset", "0", "-1", "3", "x", "", NULL };
	gen_begin(g, row);
	if (gen_chance(g, 70))
		gen_text(g, gen_pick(g, how));
	gen_end(g, row);
}

static void deluser(struct gen *g, const struct gen_row *row)
{
	static const char *const names[] = { "carl", "carl", "nobody", "default", NULL };
	gen_begin(g, row);
	for (uint32_t n = 1 + gen_below(g, 2); n; n--)
		gen_text(g, gen_pick(g, names));
	gen_end(g, row);
}

static const struct gen_row rows[] = {
	{ "acl|setuser", setuser, 20, GEN_FIXED, CMP_EXACT },
	{ "acl|dryrun", dryrun, 30, GEN_FIXED, CMP_EXACT },
	{ "acl|getuser", user, 10, GEN_FIXED, CMP_EXACT },
	{ "acl|list", none, 3, GEN_FIXED, CMP_EXACT },
	{ "acl|users", none, 1, 0, CMP_EXACT },
	{ "acl|whoami", none, 1, 0, CMP_EXACT },
	{ "acl|deluser", deluser, 1, GEN_FIXED, CMP_EXACT },
	{ "acl|cat", cat, 1, 0, CMP_UNORDERED },
	{ "acl|genpass", genpass, 1, 0, CMP_KIND },
	{ "acl|log", log_rows, 1, 0, CMP_KIND },
	{ "acl|load", none, 1, 0, CMP_EXACT },
	{ "acl|save", none, 1, 0, CMP_EXACT },
	{ "acl|help", none, 1, 0, CMP_KIND },
	{ "acl", session, 10, GEN_FIXED, CMP_EXACT },
	{ 0 },
};
const struct gen_group gen_group_acl = { "acl", rows };

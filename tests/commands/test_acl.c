/* ACL: who a client is and what it may do, on one loop or many. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/lib/expect.h"

#define OK "+OK\r\n"
#define QUEUED "+QUEUED\r\n"
#define NO_KEY "-NOPERM No permissions to access a key\r\n"
#define NO_CHANNEL "-NOPERM No permissions to access a channel\r\n"
#define NO_COMMAND(user, command) "-NOPERM User " user " has no permissions to run the '" command "' command\r\n"
#define SYNTAX(rule) "-ERR Error in ACL SETUSER modifier '" rule "': Syntax error\r\n"

/* A connection as this user, whose rules are set first. */
static struct resp_client *user(const char *name, const char *rules)
{
	char line[1024];
	struct resp_client *u = connect_to(&server);
	snprintf(line, sizeof line, "ACL SETUSER %s reset on >pw %s", name, rules);
	expect(c, line, OK);
	snprintf(line, sizeof line, "AUTH %s pw", name);
	expect(u, line, OK);
	return u;
}

static void expect_list(const char *line)
{
	struct resp_value *v = resp_ask(c, "ACL LIST");
	bool found = false;
	for (size_t i = 0; i < v->n; i++)
		found = found || !strcmp(v->elements[i].text, line);
	if (!found)
		for (size_t i = 0; i < v->n; i++)
			fprintf(stderr, "%s\n", v->elements[i].text);
	ck_assert_msg(found, "not listed: %s", line);
	resp_value_free(v);
}

static void write_file(const struct proc *p, const char *name, const char *text)
{
	char path[256];
	snprintf(path, sizeof path, "%s/%s", p->dir, name);
	FILE *f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static char *read_file(const struct proc *p, const char *name)
{
	char path[256], *text = calloc(1, 65536);
	snprintf(path, sizeof path, "%s/%s", p->dir, name);
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_gt(fread(text, 1, 65535, f), 0);
	fclose(f);
	return text;
}

START_TEST(test_default_user)
{
	expect(c, "ACL WHOAMI", "$7\r\ndefault\r\n");
	expect(c, "ACL USERS", "*1\r\n$7\r\ndefault\r\n");
	expect_list("user default on nopass sanitize-payload ~* &* +@all");
	expect_prefix(c, "AUTH pw", "-ERR AUTH <password> called without any password configured for the default user.");
	expect(c, "AUTH default anything", OK);
	expect(c, "ACL GETUSER nobody", "$-1\r\n");
	expect(c, "ACL DELUSER nobody", ":0\r\n");
	expect(c, "ACL DELUSER nobody default", "-ERR The 'default' user cannot be removed\r\n");
}
END_TEST

START_TEST(test_rules_are_shown)
{
	expect(c, "ACL SETUSER shown on >p1 ~a* %R~b* %W~c* %RW~d %r~e %W~e &ch* +get +@read -@write +config|get", OK);
	expect(c, "ACL SETUSER shown +select|1 (+set ~z &q) (%R~k -@all)", OK);
	expect_list("user shown on sanitize-payload #f64551fcd6f07823cb87971cfb91446425da18286b3ab1ef935e0cbd7a69f68a ~a* "
	            "%R~b* %W~c* ~d ~e resetchannels &ch* -@all +get +@read -@write +config|get +select|1 (~z resetchannels &q "
	            "-@all +set) (%R~k resetchannels -@all)");
	expect(c, "ACL SETUSER shown +CONFIG +Config|Get -@READ +@Read clearselectors nopass skip-sanitize-payload", OK);
	expect_list("user shown on nopass skip-sanitize-payload ~a* %R~b* %W~c* ~d ~e resetchannels &ch* -@all +get -@write "
	            "+select|1 +config +config|get +@read");
	expect(c, "ACL SETUSER shown allkeys allchannels allcommands -flushall", OK);
	expect_list("user shown on nopass skip-sanitize-payload ~* &* +@all -flushall");
	expect(c, "ACL SETUSER shown reset", OK);
	expect_list("user shown off sanitize-payload resetchannels -@all");
	expect(c, "ACL GETUSER shown",
	       "*12\r\n$5\r\nflags\r\n*2\r\n$3\r\noff\r\n$16\r\nsanitize-payload\r\n$9\r\npasswords\r\n*0\r\n$8\r\ncommands\r\n"
	       "$5\r\n-@all\r\n$4\r\nkeys\r\n$0\r\n\r\n$8\r\nchannels\r\n$0\r\n\r\n$9\r\nselectors\r\n*0\r\n");
	expect_int(c, "ACL DELUSER shown", 1);
}
END_TEST

/* SAFETY: the parser of ACL SETUSER. */
START_TEST(test_wrong_rules)
{
	static const char *const bad[] = { "%~k", "%R", "%W", "%", "%RR~k", "%X~k", "%RWR~k", ")", "bogus", "(bogus)", "+get|",
		                           "\"~a b\"", "\"&a b\"", "\"+select|a b\"", "\"~a\\x00b\"", "\"+get\\x00\"", "onn",
		                           "((+get)" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char line[200];
		snprintf(line, sizeof line, "ACL SETUSER wrong on %s", bad[i]);
		expect_prefix(c, line, "-ERR Error in ACL SETUSER modifier '");
	}
	expect(c, "ACL SETUSER wrong %R", SYNTAX("%R"));
	expect(c, "ACL SETUSER wrong +nope",
	       "-ERR Error in ACL SETUSER modifier '+nope': Unknown command or category name in ACL\r\n");
	expect_prefix(c, "ACL SETUSER wrong +config|get|x",
	              "-ERR Error in ACL SETUSER modifier '+config|get|x': Allowing first-arg of a subcommand is not supported");
	expect_prefix(c, "ACL SETUSER wrong allkeys ~x", "-ERR Error in ACL SETUSER modifier '~x': Adding a pattern after the *");
	expect_prefix(c, "ACL SETUSER wrong allchannels &x", "-ERR Error in ACL SETUSER modifier '&x': Adding a pattern after");
	expect_prefix(c, "ACL SETUSER wrong <x", "-ERR Error in ACL SETUSER modifier '<x': The password you are trying to remove");
	expect_prefix(c, "ACL SETUSER wrong #12", "-ERR Error in ACL SETUSER modifier '#12': The password hash must be exactly 64");
	expect(c, "ACL SETUSER wrong (+get", "-ERR Unmatched parenthesis in acl selector starting at '(+get'.\r\n");
	expect(c, "ACL SETUSER wrong on (", "-ERR Unmatched parenthesis in acl selector starting at '('.\r\n");
	expect(c, "ACL SETUSER \"a b\" on", "-ERR Usernames can't contain spaces or null characters\r\n");
	expect(c, "ACL SETUSER \"\" on", "-ERR Usernames can't contain spaces or null characters\r\n");
	expect(c, "ACL USERS", "*1\r\n$7\r\ndefault\r\n"); /* nothing of all this made a user */
}
END_TEST

START_TEST(test_passwords)
{
	struct resp_client *u = connect_to(&server);
	expect(c, "ACL SETUSER pass on >one >two +@all", OK);
	expect(u, "AUTH pass one", OK);
	expect(u, "AUTH pass two", OK);
	expect(c, "ACL SETUSER pass <one", OK);
	expect(u, "AUTH pass one", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	expect(u, "ACL WHOAMI", "$4\r\npass\r\n");
	expect(c, "ACL SETUSER pass #f64551fcd6f07823cb87971cfb91446425da18286b3ab1ef935e0cbd7a69f68a", OK); /* p1 */
	expect(u, "AUTH pass p1", OK);
	expect(c, "ACL SETUSER pass !f64551fcd6f07823cb87971cfb91446425da18286b3ab1ef935e0cbd7a69f68a", OK);
	expect_prefix(u, "AUTH pass p1", "-WRONGPASS");
	expect(c, "ACL SETUSER pass off", OK);
	expect(u, "PING", "+PONG\r\n"); /* who is in stays in */
	expect_prefix(u, "AUTH pass two", "-WRONGPASS");
	expect_prefix(u, "HELLO 2 AUTH pass two", "-WRONGPASS");
	expect(c, "ACL SETUSER pass on nopass", OK);
	expect_prefix(u, "HELLO 2 AUTH pass whatever", "*14\r\n");
	expect_int(c, "ACL DELUSER pass", 1);
	ck_assert(resp_read_eof(u));
	resp_close(u);
}
END_TEST

START_TEST(test_commands)
{
	struct resp_client *u = user("cmd", "~* +@all -@dangerous -set +select|1 -config +config|get");
	expect(u, "GET k", "$-1\r\n");
	expect(u, "SET k 1", NO_COMMAND("cmd", "set"));
	expect(u, "FLUSHALL", NO_COMMAND("cmd", "flushall"));
	expect(u, "CONFIG SET maxmemory 0", NO_COMMAND("cmd", "config|set"));
	expect_prefix(u, "CONFIG GET maxmemory", "*2\r\n");
	expect_prefix(u, "NOSUCH", "-ERR unknown command");
	expect_prefix(u, "GET", "-ERR wrong number of arguments");
	expect(c, "ACL SETUSER cmd -@all +select|1 +select|2 +acl|whoami", OK);
	expect(u, "SELECT 1", OK);
	expect(u, "SELECT 2", OK);
	expect(u, "SELECT 0", NO_COMMAND("cmd", "select"));
	expect(c, "ACL SETUSER cmd -select", OK);
	expect(u, "SELECT 1", NO_COMMAND("cmd", "select"));
	expect(u, "ACL WHOAMI", "$3\r\ncmd\r\n");
	expect(u, "ACL LIST", NO_COMMAND("cmd", "acl|list"));
	expect(u, "AUTH cmd pw", OK); /* nobody is kept from AUTH, HELLO, RESET and QUIT */
	expect(u, "RESET", "+RESET\r\n");
	expect(u, "ACL WHOAMI", "$7\r\ndefault\r\n");
	resp_close(u);
	expect_int(c, "ACL DELUSER cmd", 1);
}
END_TEST

START_TEST(test_keys)
{
	struct resp_client *u = user("key", "+@all ~both* %R~read* %W~write*");
	expect(u, "SET both1 1", OK);
	expect(u, "GET both1", "$1\r\n1\r\n");
	expect(u, "GET read1", "$-1\r\n");
	expect(u, "SET read1 1", NO_KEY);
	expect(u, "SET write1 1", OK);
	expect(u, "GET write1", NO_KEY);
	expect(u, "SET write1 1 GET", NO_KEY); /* the option reads */
	expect(u, "EXISTS write1", ":1\r\n");  /* tells nothing of the value */
	expect(u, "GET other", NO_KEY);
	expect(u, "MSET both1 1 other 2", NO_KEY);
	expect(u, "MGET both1 read1", "*2\r\n$1\r\n1\r\n$-1\r\n");
	expect(u, "COPY read1 both2", ":0\r\n");
	expect(u, "COPY both1 read1", NO_KEY);
	expect(u, "DEL both1 write1", ":2\r\n");
	expect(u, "DBSIZE", ":0\r\n");
	expect(c, "ACL SETUSER key resetkeys", OK);
	expect(u, "GET both1", NO_KEY);
	expect(c, "ACL SETUSER key allkeys", OK);
	expect(u, "GET both1", "$-1\r\n");
	resp_close(u);
	expect_int(c, "ACL DELUSER key", 1);
}
END_TEST

/* SAFETY: one key function for ACL and execution; keys behind counts and words. */
START_TEST(test_keys_behind_words)
{
	struct resp_client *u = user("deep", "+@all ~a*");
	expect(c, "GEOADD a 1 1 m", ":1\r\n");
	expect(u, "GEORADIUS a 1 1 10 km STORE b", NO_KEY);
	expect(u, "GEORADIUS a 1 1 10 km STOREDIST b", NO_KEY);
	expect(u, "GEORADIUS a 1 1 10 km STORE a2", ":1\r\n");
	expect(u, "ZUNION 2 a b", NO_KEY);
	expect(u, "ZUNION 5 a", "-ERR syntax error\r\n"); /* bad counts reach the command, which refuses them */
	expect_prefix(u, "ZUNION x a b", "-ERR");
	expect_prefix(u, "ZUNIONSTORE a 99999999999 b", "-ERR");
	expect_prefix(u, "LMPOP 02 b c LEFT", "-ERR");
	expect_prefix(u, "SINTERCARD 0 b", "-ERR");
	expect(u, "ZUNIONSTORE b 1 a", NO_KEY);
	expect(u, "ZRANGESTORE a3 b 0 -1", NO_KEY);
	expect(u, "LMPOP 2 a9 b LEFT", NO_KEY);
	expect(u, "SINTERCARD 2 a8 b", NO_KEY);
	expect(u, "OBJECT ENCODING b", NO_KEY);
	resp_close(u);
	expect_int(c, "ACL DELUSER deep", 1);
}
END_TEST

/* BY and GET look at keys that no argument names. */
START_TEST(test_sort)
{
	static const char denied[] = "-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n";
	struct resp_client *u = user("sort", "+@all ~k*");
	expect(c, "RPUSH k 2 1", ":2\r\n");
	expect(u, "SORT k", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
	expect(u, "SORT k BY w*", denied);
	expect(u, "SORT_RO k BY w*", denied);
	expect_prefix(u, "SORT k GET w*", "-ERR GET option of SORT denied");
	expect_prefix(u, "EVAL \"return redis.call('sort', 'k', 'by', 'w*')\" 1 k", "-ERR BY option of SORT denied");
	expect(u, "SORT k STORE other", NO_KEY);
	expect(c, "ACL SETUSER sort (~*)", OK); /* every key, but no command */
	expect(u, "SORT k BY w*", denied);
	expect(c, "ACL SETUSER sort (%R~* +sort)", OK);
	expect_prefix(u, "SORT k BY w* GET z*", "*2\r\n");
	resp_close(u);
	expect_int(c, "ACL DELUSER sort", 1);
}
END_TEST

START_TEST(test_selectors)
{
	struct resp_client *u = user("sel", "+get ~a* (+set ~b* &x) (+get %R~c*)");
	expect(u, "GET a1", "$-1\r\n");
	expect(u, "SET b1 1", OK);
	expect(u, "GET c1", "$-1\r\n");
	expect(u, "GET b1", NO_KEY);
	expect(u, "SET a1 1", NO_KEY);
	expect(u, "DEL a1", NO_COMMAND("sel", "del"));
	expect(u, "MULTI", NO_COMMAND("sel", "multi"));
	expect(c, "ACL SETUSER sel (+@all ~* &*)", OK); /* one selector that allows all */
	expect(u, "DEL b1", ":1\r\n");
	expect(c, "ACL SETUSER sel clearselectors", OK);
	expect(u, "SET b1 1", NO_COMMAND("sel", "set"));
	resp_close(u);
	expect_int(c, "ACL DELUSER sel", 1);
}
END_TEST

START_TEST(test_channels)
{
	struct resp_client *u = user("chan", "+@all &news* &p?");
	expect(u, "PUBLISH news1 x", ":0\r\n");
	expect(u, "PUBLISH other x", NO_CHANNEL);
	expect(u, "SPUBLISH other x", NO_CHANNEL);
	expect(u, "SUBSCRIBE news1 other", NO_CHANNEL);
	expect(u, "SSUBSCRIBE other", NO_CHANNEL);
	expect(u, "PSUBSCRIBE new*", NO_CHANNEL);  /* patterns are compared, not matched */
	expect(u, "PSUBSCRIBE news1", NO_CHANNEL);
	expect(u, "PSUBSCRIBE news*", "*3\r\n$10\r\npsubscribe\r\n$5\r\nnews*\r\n:1\r\n");
	expect(u, "SUBSCRIBE p1", "*3\r\n$9\r\nsubscribe\r\n$2\r\np1\r\n:2\r\n");
	expect(u, "SUBSCRIBE q", NO_CHANNEL);
	expect(u, "UNSUBSCRIBE q", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nq\r\n:2\r\n");
	expect(c, "ACL SETUSER chan &more -set", OK); /* nothing that it listens to is taken away */
	expect(u, "PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
	expect(c, "ACL SETUSER chan resetchannels &news*", OK);
	ck_assert(resp_read_eof(u));
	resp_close(u);
	expect_int(c, "ACL DELUSER chan", 1);
}
END_TEST

/* SAFETY: ACL changed between MULTI and EXEC. */
START_TEST(test_changed_before_exec)
{
	static const char changed[] = "-NOPERM ACLs rules changed between the moment the transaction was accumulated and the "
	                              "EXEC call. This command is no longer allowed for the following reason: ";
	char reply[1024];
	struct resp_client *u = user("multi", "+@all ~* &*");
	expect(u, "MULTI", OK);
	expect(u, "SET k 1", QUEUED);
	expect(u, "INCR k", QUEUED);
	expect(u, "PUBLISH ch x", QUEUED);
	expect(u, "ECHO x", QUEUED);
	expect(c, "ACL SETUSER multi resetkeys %R~k resetchannels -incr", OK);
	snprintf(reply, sizeof reply,
	         "*4\r\n%sno permission to touch the specified keys\r\n%sno permission to execute the command or subcommand\r\n"
	         "%sno permission to access one of the channels used as arguments to the command\r\n$1\r\nx\r\n",
	         changed, changed, changed);
	expect_(u, "EXEC", reply, strlen(reply), __FILE__, __LINE__);
	expect(c, "GET k", "$-1\r\n");
	expect(u, "MULTI", OK);
	expect(u, "SET k 1", NO_KEY);
	expect(u, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
	resp_close(u);
	expect_int(c, "ACL DELUSER multi", 1);
}
END_TEST

/* Within an EXEC a user may take away its own rights, and does not get them back by it. */
START_TEST(test_changed_within_exec)
{
	struct resp_client *u = user("self", "+@all ~* &*");
	expect(u, "MULTI", OK);
	expect(u, "SET k 1", QUEUED);
	expect(u, "ACL SETUSER self -get", QUEUED);
	expect(u, "GET k", QUEUED);
	expect_prefix(u, "EXEC", "*3\r\n+OK\r\n+OK\r\n-NOPERM ACLs rules changed");
	expect(u, "MULTI", OK);
	expect(u, "ACL DELUSER self", QUEUED);
	expect(u, "EXEC", "*1\r\n:1\r\n"); /* it sees the reply and is closed */
	ck_assert(resp_read_eof(u));
	resp_close(u);
}
END_TEST

START_TEST(test_deleted_users_leave)
{
	struct resp_client *u[8];
	for (size_t i = 0; i < 8; i++)
		u[i] = user(i % 2 ? "odd" : "even", "+@all ~*");
	struct resp_client *other = connect_to(&server);
	expect_int(c, "ACL DELUSER odd nobody", 1);
	for (size_t i = 1; i < 8; i += 2)
		ck_assert(resp_read_eof(u[i]));
	for (size_t i = 0; i < 8; i += 2)
		expect(u[i], "PING", "+PONG\r\n");
	expect(other, "PING", "+PONG\r\n");
	expect_prefix(other, "AUTH odd pw", "-WRONGPASS");
	expect_int(c, "CLIENT KILL USER even", 4);
	for (size_t i = 0; i < 8; i += 2)
		ck_assert(resp_read_eof(u[i]));
	expect(c, "CLIENT KILL USER odd", "-ERR No such user 'odd'\r\n");
	for (size_t i = 0; i < 8; i++)
		resp_close(u[i]);
	resp_close(other);
	expect_int(c, "ACL DELUSER even", 1);
}
END_TEST

static void wait_until_blocked(int64_t n)
{
	while (info_int(c, "clients", "blocked_clients") != n)
		;
}

/* Who waits for a key that its user has lost meanwhile does not get it; who waits for a user that is gone, goes. */
START_TEST(test_changed_while_blocked)
{
	struct resp_client *u = user("waits", "+@all ~k*");
	resp_send(u, "BLPOP k1 k2 0");
	wait_until_blocked(1);
	expect(c, "ACL SETUSER waits resetkeys ~other", OK);
	expect(c, "RPUSH k1 v", ":1\r\n");
	expect_reply(u, NO_KEY);
	expect(c, "LLEN k1", ":1\r\n");
	expect(c, "ACL SETUSER waits ~k*", OK);
	resp_send(u, "BLPOP k2 0");
	wait_until_blocked(1);
	expect(c, "ACL DELUSER waits", ":1\r\n");
	ck_assert(resp_read_eof(u));
	wait_until_blocked(0);
	expect(c, "RPUSH k2 v", ":1\r\n");
	expect(c, "LLEN k2", ":1\r\n");
	resp_close(u);
}
END_TEST

START_TEST(test_client_list)
{
	struct resp_client *u = user("listed", "+@all ~*");
	struct resp_value *v = resp_ask(u, "CLIENT INFO");
	ck_assert_ptr_nonnull(strstr(v->text, " user=listed "));
	resp_value_free(v);
	v = resp_ask(c, "CLIENT LIST");
	ck_assert_ptr_nonnull(strstr(v->text, " user=listed "));
	ck_assert_ptr_nonnull(strstr(v->text, " user=default "));
	resp_value_free(v);
	resp_close(u);
	expect_int(c, "ACL DELUSER listed", 1);
}
END_TEST

static void expect_field(const struct resp_value *entry, const char *name, const char *text, int64_t number)
{
	for (size_t i = 0; i + 1 < entry->n; i += 2) {
		if (strcmp(entry->elements[i].text, name) != 0)
			continue;
		if (text)
			ck_assert_str_eq(entry->elements[i + 1].text, text);
		else
			ck_assert_int_eq(entry->elements[i + 1].integer, number);
		return;
	}
	ck_abort_msg("no field %s", name);
}

START_TEST(test_log)
{
	int64_t commands = info_int(c, "stats", "acl_access_denied_cmd"), keys = info_int(c, "stats", "acl_access_denied_key");
	int64_t channels = info_int(c, "stats", "acl_access_denied_channel");
	int64_t logins = info_int(c, "stats", "acl_access_denied_auth");
	struct resp_client *u = user("log", "+@all -set ~a*");
	expect(c, "ACL LOG RESET", OK);
	expect(c, "ACL LOG", "*0\r\n");
	for (int i = 0; i < 3; i++)
		expect(u, "SET a 1", NO_COMMAND("log", "set"));
	expect(u, "GET other", NO_KEY);
	expect(u, "PUBLISH ch x", NO_CHANNEL);
	expect(u, "MULTI", OK);
	expect(u, "SET a 1", NO_COMMAND("log", "set"));
	expect(u, "DISCARD", OK);
	expect_prefix(u, "AUTH somebody x", "-WRONGPASS");
	struct resp_value *v = resp_ask(c, "ACL LOG");
	ck_assert_uint_eq(v->n, 5);
	static const char *const expected[][4] = {
		{ "auth", "toplevel", "AUTH", "somebody" }, { "command", "multi", "set", "log" },
		{ "channel", "toplevel", "ch", "log" },     { "key", "toplevel", "other", "log" },
		{ "command", "toplevel", "set", "log" },
	};
	for (size_t i = 0; i < v->n; i++) {
		expect_field(&v->elements[i], "reason", expected[i][0], 0);
		expect_field(&v->elements[i], "context", expected[i][1], 0);
		expect_field(&v->elements[i], "object", expected[i][2], 0);
		expect_field(&v->elements[i], "username", expected[i][3], 0);
		expect_field(&v->elements[i], "count", NULL, i == 4 ? 3 : 1);
	}
	resp_value_free(v);
	expect(u, "SET a 1", NO_COMMAND("log", "set")); /* an old entry comes to the top */
	v = resp_ask(c, "ACL LOG 1");
	ck_assert_uint_eq(v->n, 1);
	expect_field(&v->elements[0], "count", NULL, 4);
	resp_value_free(v);
	expect(c, "ACL LOG -1", "*0\r\n");
	expect(c, "ACL LOG x", "-ERR value is not an integer or out of range\r\n");
	expect(c, "CONFIG SET acllog-max-len 2", OK);
	expect(u, "GET more", NO_KEY);
	v = resp_ask(c, "ACL LOG 100");
	ck_assert_uint_eq(v->n, 2);
	resp_value_free(v);
	expect(c, "CONFIG SET acllog-max-len 128", OK);
	ck_assert_int_eq(info_int(c, "stats", "acl_access_denied_cmd"), commands + 5);
	ck_assert_int_eq(info_int(c, "stats", "acl_access_denied_key"), keys + 2);
	ck_assert_int_eq(info_int(c, "stats", "acl_access_denied_channel"), channels + 1);
	ck_assert_int_eq(info_int(c, "stats", "acl_access_denied_auth"), logins + 1);
	resp_close(u);
	expect_int(c, "ACL DELUSER log", 1);
}
END_TEST

/* Scripts are bound by their client's rules. */
START_TEST(test_scripts)
{
	struct resp_client *u = user("script", "+eval +get +set -@dangerous ~a*");
	expect(u, "EVAL \"return redis.call('get', KEYS[1])\" 1 a", "$-1\r\n");
	expect(u, "EVAL \"return 1\" 1 b", NO_KEY);
	expect_prefix(u, "EVAL \"return redis.call('get', 'b')\" 0", "-NOPERM ACL failure in script: User script has no "
	                                                           "permissions to access the 'b' key");
	expect_prefix(u, "EVAL \"return redis.call('flushall')\" 0", "-NOPERM ACL failure in script: User script has no "
	                                                           "permissions to run the 'flushall' command");
	struct resp_value *v = resp_ask(c, "ACL LOG 1");
	expect_field(&v->elements[0], "context", "lua", 0);
	expect_field(&v->elements[0], "object", "flushall", 0);
	resp_value_free(v);
	resp_close(u);
	expect_int(c, "ACL DELUSER script", 1);
}
END_TEST

START_TEST(test_dryrun)
{
	expect(c, "ACL SETUSER dry +@all -flushall %R~a* &c", OK);
	expect(c, "ACL DRYRUN dry GET a", OK);
	expect_bulk(c, "ACL DRYRUN dry SET a 1", "User dry has no permissions to access the 'a' key");
	expect_bulk(c, "ACL DRYRUN dry FLUSHALL", "User dry has no permissions to run the 'flushall' command");
	expect_bulk(c, "ACL DRYRUN dry SUBSCRIBE c d", "User dry has no permissions to access the 'd' channel");
	expect(c, "ACL DRYRUN nobody GET a", "-ERR User 'nobody' not found\r\n");
	expect(c, "ACL DRYRUN dry NOSUCH", "-ERR Command 'NOSUCH' not found\r\n");
	expect(c, "ACL DRYRUN dry GET", "-ERR wrong number of arguments for 'get' command\r\n");
	expect_int(c, "ACL DELUSER dry", 1);
}
END_TEST

START_TEST(test_cat_and_genpass)
{
	struct resp_value *v = resp_ask(c, "ACL CAT");
	ck_assert_uint_eq(v->n, 21);
	ck_assert_str_eq(v->elements[0].text, "keyspace");
	resp_value_free(v);
	expect(c, "ACL CAT nope", "-ERR Unknown category 'nope'\r\n");
	v = resp_ask(c, "ACL CAT TRANSACTION");
	ck_assert_uint_eq(v->n, 5);
	resp_value_free(v);
	v = resp_ask(c, "ACL GENPASS");
	ck_assert_uint_eq(v->len, 64);
	struct resp_value *again = resp_ask(c, "ACL GENPASS");
	ck_assert_str_ne(v->text, again->text);
	resp_value_free(v);
	resp_value_free(again);
	v = resp_ask(c, "ACL GENPASS 5");
	ck_assert_uint_eq(v->len, 2);
	resp_value_free(v);
	v = resp_ask(c, "ACL GENPASS 4096");
	ck_assert_uint_eq(v->len, 1024);
	resp_value_free(v);
	expect_prefix(c, "ACL GENPASS 0", "-ERR ACL GENPASS argument must be the number of bits");
	expect_prefix(c, "ACL GENPASS 4097", "-ERR ACL GENPASS argument must be the number of bits");
	expect_prefix(c, "ACL SAVE", "-ERR This Redis instance is not configured to use an ACL file.");
	expect_prefix(c, "ACL LOAD", "-ERR This Redis instance is not configured to use an ACL file.");
}
END_TEST

/* ------------------------------------------------------------------ files and start */

START_TEST(test_file)
{
	struct proc p;
	char dir[] = "/tmp/shoal-acl-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(p.dir, sizeof p.dir, "%s", dir);
	write_file(&p, "users.acl", "# comment\nuser default on >main ~* &* +@all\n\nuser bob on >b ~b* +@all (+get  ~z*)\n");
	struct proc_spec spec = { .config = "aclfile users.acl\n", .dir = dir };
	ck_assert_int_eq(proc_start(&p, &spec), 0);
	struct resp_client *a = connect_to(&p), *b = connect_to(&p);
	expect(a, "PING", "-NOAUTH Authentication required.\r\n");
	expect(a, "AUTH main", OK);
	expect(b, "AUTH bob b", OK);
	expect(b, "GET other", NO_KEY);
	/* All or nothing. */
	write_file(&p, "users.acl", "usr e on ~x\nuser f on #12 %~a +zz\nuser bob on\nuser bob on\nuser h on (~x\n");
	char reply[1024], *text;
	snprintf(reply, sizeof reply,
	         "-ERR users.acl:1 should start with user keyword followed by the username. users.acl:2: The password hash must "
	         "be exactly 64 characters and contain only lowercase hexadecimal characters. users.acl:2: Error in applying "
	         "operation '+zz': Unknown command or category name in ACL. WARNING: Duplicate user 'bob' found on line 4. "
	         "users.acl:5: Unmatched parenthesis in selector definition. WARNING: ACL errors detected, no change to the "
	         "previously active ACL rules was performed\r\n");
	expect_(a, "ACL LOAD", reply, strlen(reply), __FILE__, __LINE__);
	expect(b, "GET b", "$-1\r\n");
	/* Saved and read again it is the same. */
	expect(a, "ACL SAVE", OK);
	text = read_file(&p, "users.acl");
	ck_assert_ptr_nonnull(strstr(text, "user bob on sanitize-payload #3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73ee"
	                                   "aed59c009d ~b* resetchannels +@all (~z* resetchannels -@all +get)\n"));
	free(text);
	expect(a, "ACL LOAD", OK);
	expect(b, "GET b", "$-1\r\n");
	/* A user that the file lacks is gone, with its clients; another's rules are the file's at once. */
	write_file(&p, "users.acl", "user default on nopass ~d* &* +@all\nuser carl off\n");
	expect(a, "ACL LOAD", OK);
	ck_assert(resp_read_eof(b));
	expect(a, "GET x", NO_KEY);
	expect(a, "ACL USERS", "*2\r\n$4\r\ncarl\r\n$7\r\ndefault\r\n");
	resp_close(a);
	resp_close(b);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
}
END_TEST

/* A file that cannot be written stays as it was, and nothing is left beside it. */
START_TEST(test_save_fails)
{
	struct proc p;
	char dir[] = "/tmp/shoal-acl-XXXXXX", from[128], to[128];
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(p.dir, sizeof p.dir, "%s", dir);
	snprintf(from, sizeof from, "%s/in", dir);
	snprintf(to, sizeof to, "%s/out", dir);
	ck_assert_int_eq(mkdir(from, 0700), 0);
	write_file(&p, "in/users.acl", "user bob on\n");
	struct proc_spec spec = { .config = "aclfile in/users.acl\n", .dir = dir };
	ck_assert_int_eq(proc_start(&p, &spec), 0);
	struct resp_client *a = connect_to(&p);
	ck_assert_int_eq(rename(from, to), 0);
	expect(a, "ACL SETUSER carl on", OK);
	expect(a, "ACL SAVE", "-ERR There was an error trying to save the ACLs. Please check the server logs for more information\r\n");
	expect(a, "ACL LOAD", "-ERR Error loading ACLs, opening file 'in/users.acl': No such file or directory\r\n");
	expect(a, "ACL USERS", "*3\r\n$3\r\nbob\r\n$4\r\ncarl\r\n$7\r\ndefault\r\n");
	ck_assert_int_eq(rename(to, from), 0);
	expect(a, "ACL SAVE", OK);
	char *text = read_file(&p, "in/users.acl");
	ck_assert_ptr_nonnull(strstr(text, "user carl on "));
	free(text);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
	proc_clean(&p);
}
END_TEST

static void refused(const char *config, const char *acl, const char *why)
{
	struct proc p;
	char dir[] = "/tmp/shoal-acl-XXXXXX";
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(p.dir, sizeof p.dir, "%s", dir);
	if (acl)
		write_file(&p, "users.acl", acl);
	struct proc_spec spec = { .config = config, .dir = dir };
	ck_assert_int_eq(proc_start(&p, &spec), -1);
	char *out = proc_output(&p, false), *err = proc_output(&p, true);
	ck_assert_msg(strstr(out, why) || strstr(err, why), "%s%s", out, err);
	free(out);
	free(err);
	proc_clean(&p);
}

START_TEST(test_start_is_refused)
{
	refused("user bob on +nope\n", NULL, "Error in user declaration 'bob': rule '+nope': Unknown command");
	refused("user bob on +nope\n", NULL, "at line ");
	refused("user bob on (+get\n", NULL, "Error in user declaration 'bob': Wrong format");
	refused("user bob on\nuser bob off\n", NULL, "Duplicate user found");
	refused("user bob on\naclfile users.acl\n", "user x on\n", "Users are defined both in the configuration and in the file");
	refused("aclfile users.acl\n", "user bob on\nuser x %R\n", "users.acl:2: Syntax error");
	refused("aclfile missing.acl\n", NULL, "Error loading ACLs, opening file 'missing.acl'");
}
END_TEST

/* The lines of a configuration file that begin with these words. */
static void keep_lines(const char *text, char *out, size_t size)
{
	size_t len = 0;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		if (!strncmp(p, "user ", 5) || !strncmp(p, "requirepass ", 12))
			len += (size_t)snprintf(out + len, size - len, "%.*s\n", (int)strcspn(p, "\n"), p);
		ck_assert_uint_lt(len, size);
	}
}

START_TEST(test_requirepass_and_rewrite)
{
	struct proc p;
	own_server(&p, "requirepass main\nuser bob on >b ~b* +@all\nrename-command FLUSHDB gone\nuser carl on nopass +flushdb\n");
	struct resp_client *a = connect_to(&p), *b = connect_to(&p);
	expect(a, "AUTH main", OK);
	expect(b, "AUTH carl x", OK);
	expect(b, "GONE", OK); /* rules have the commands' own names */
	expect(b, "PING", NO_COMMAND("carl", "ping"));
	expect(a, "CONFIG SET requirepass other", OK);
	expect(a, "PING", "+PONG\r\n");
	expect_prefix(a, "AUTH main", "-WRONGPASS");
	expect(a, "AUTH other", OK);
	expect(a, "ACL SETUSER default >more", OK);
	expect(a, "ACL SETUSER q on \"~a\\\"b\"", OK);
	expect(a, "ACL DELUSER carl", ":1\r\n");
	expect(a, "CONFIG REWRITE", OK);
	struct resp_client *waiting = connect_to(&p);
	expect_prefix(waiting, "PING", "-NOAUTH");
	expect(a, "CONFIG SET requirepass \"\"", OK);
	expect(waiting, "PING", "+PONG\r\n");
	resp_close(waiting);
	expect(a, "ACL SETUSER default >again", OK);
	expect(a, "PING", "+PONG\r\n");
	resp_close(a);
	resp_close(b);
	/* What was written makes the same users. */
	char lines[2048] = "", *text = read_file(&p, "test.conf");
	keep_lines(text, lines, sizeof lines);
	free(text);
	ck_assert_int_eq(proc_stop(&p), 0);
	own_server(&p, lines);
	a = connect_to(&p);
	expect_prefix(a, "PING", "-NOAUTH");
	expect(a, "AUTH more", OK);
	expect(a, "ACL USERS", "*3\r\n$3\r\nbob\r\n$7\r\ndefault\r\n$1\r\nq\r\n");
	struct resp_value *v = resp_ask(a, "ACL LIST");
	ck_assert_str_eq(v->elements[2].text, "user q on sanitize-payload ~a\"b resetchannels -@all");
	resp_value_free(v);
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* SAFETY: before authentication little is taken, also where it is a user's rules that ask for it. */
START_TEST(test_default_user_off)
{
	struct proc p;
	own_server(&p, "user default off\nuser bob on >b +@all ~*\n");
	struct resp_client *a = connect_to(&p);
	expect(a, "PING", "-NOAUTH Authentication required.\r\n");
	expect_prefix(a, "AUTH default x", "-WRONGPASS");
	expect(a, "AUTH bob b", OK);
	expect(a, "PING", "+PONG\r\n");
	expect(a, "RESET", "+RESET\r\n");
	expect(a, "PING", "-NOAUTH Authentication required.\r\n");
	resp_send_bytes(a, "*11\r\n", 5);
	expect_reply(a, "-ERR Protocol error: unauthenticated multibulk length\r\n");
	ck_assert(resp_read_eof(a));
	resp_close(a);
	a = connect_to(&p);
	resp_send_bytes(a, "*2\r\n$4\r\nAUTH\r\n$16385\r\n", 22);
	expect_reply(a, "-ERR Protocol error: unauthenticated bulk length\r\n");
	ck_assert(resp_read_eof(a));
	resp_close(a);
	ck_assert_int_eq(proc_stop(&p), 0);
}
END_TEST

/* ------------------------------------------------------------------ many at once */

static void *hammer(void *ctx)
{
	struct resp_client *u = ctx;
	size_t allowed = 0, refused_ = 0;
	for (int i = 0; i < 2000; i++) {
		struct resp_bytes reply;
		if (!resp_send(u, "INCR k") || !resp_read(u, &reply))
			return NULL;
		if (reply.ptr[0] == ':')
			allowed++;
		else if (!strncmp(reply.ptr, NO_KEY, sizeof NO_KEY - 1))
			refused_++;
		else
			return NULL;
	}
	return allowed + refused_ == 2000 ? u : NULL;
}

/* Users change while their clients on all loops run commands: each is allowed or refused, and nobody sees half a user. */
START_TEST(test_changes_under_load)
{
	struct resp_client *u[4];
	pthread_t t[4];
	for (size_t i = 0; i < 4; i++)
		u[i] = user("busy", "+@all ~k");
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, hammer, u[i]), 0);
	for (int i = 0; i < 100; i++) {
		expect(c, "ACL SETUSER busy resetkeys ~none", OK);
		expect(c, "ACL SETUSER busy resetkeys ~k", OK);
	}
	for (size_t i = 0; i < 4; i++) {
		void *result;
		pthread_join(t[i], &result);
		ck_assert_ptr_nonnull(result);
	}
	for (size_t i = 0; i < 4; i++)
		expect_prefix(u[i], "INCR k", ":");
	expect_int(c, "ACL DELUSER busy", 1);
	for (size_t i = 0; i < 4; i++) {
		ck_assert(resp_read_eof(u[i]));
		resp_close(u[i]);
	}
}
END_TEST

COMMAND_TESTS("acl", test_default_user, test_rules_are_shown, test_wrong_rules, test_passwords, test_commands, test_keys,
              test_keys_behind_words, test_sort, test_selectors, test_channels, test_changed_before_exec, test_changed_within_exec,
              test_deleted_users_leave, test_changed_while_blocked, test_client_list, test_log, test_scripts, test_dryrun, test_cat_and_genpass, test_file, test_save_fails, test_default_user_off,
              test_start_is_refused, test_requirepass_and_rewrite, test_changes_under_load)

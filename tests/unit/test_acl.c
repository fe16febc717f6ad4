/* Users as values: rules, what they make, how they are shown; the registry. The server around them: commands/test_acl.c. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl.h"
#include "server/config_rows.h"
#include "tests/lib/suite.h"

/* Rules between blanks, applied as arguments of ACL SETUSER. NULL: refused, *error says why. */
static struct acl_user *make(const char *rules, enum acl_error *error)
{
	struct arg v[64];
	size_t n = 0;
	char *bad = NULL;
	for (const char *p = rules; *p; p += *p == ' ') {
		v[n++] = (struct arg){ p, strcspn(p, " ") };
		p += v[n - 1].len;
	}
	struct acl_user *u = acl_user_new("u", 1);
	enum acl_error e = acl_user_apply_all(u, v, n, &bad);
	free(bad);
	if (error)
		*error = e;
	if (!e)
		return u;
	acl_user_unref(u);
	return NULL;
}

static void shows(const char *rules, const char *text)
{
	struct config_text t = { 0 };
	struct acl_user *u = make(rules, NULL);
	ck_assert_msg(u != NULL, "%s", rules);
	acl_user_describe(u, &t);
	ck_assert_str_eq(t.ptr, text);
	config_text_clear(&t);
	acl_user_unref(u);
}

#define NONE "off sanitize-payload "

/* The texts are Valkey 8.1's. */
START_TEST(test_shown)
{
	shows("", NONE "resetchannels -@all");
	shows("on", "on sanitize-payload resetchannels -@all");
	shows("ON nopass Skip-Sanitize-Payload", "on nopass skip-sanitize-payload resetchannels -@all");
	shows(">p1 nopass", "off nopass sanitize-payload resetchannels -@all");
	shows("~a ~b ~a", NONE "~a ~b resetchannels -@all");
	shows("%R~a %W~a", NONE "~a resetchannels -@all");
	shows("%R~a %w~b %wr~c", NONE "%R~a %W~b ~c resetchannels -@all");
	shows("%RW~* ~a", NONE "%RW~* ~a resetchannels -@all"); /* Valkey says ~*, and then refuses to read that */
	shows("~a allkeys", NONE "~* resetchannels -@all");
	shows("~* resetkeys ~a", NONE "~a resetchannels -@all");
	shows("&a &b &a", NONE "resetchannels &a &b -@all");
	shows("&a allchannels", NONE "&* -@all");
	shows("~ &", NONE "~ resetchannels & -@all");
	shows("+get +SET -get", NONE "resetchannels -@all +set -get");
	shows("+config|get +config -config|set", NONE "resetchannels -@all +config -config|set");
	shows("+config -config|set +config", NONE "resetchannels -@all +config");
	shows("+@read +get +@READ", NONE "resetchannels -@all +get +@read");
	shows("+get +@all", NONE "resetchannels +@all");
	shows("allcommands -get nocommands +set", NONE "resetchannels -@all +set");
	shows("+select|1 +select|2 +select|1", NONE "resetchannels -@all +select|2 +select|1");
	shows("+select|1 -select", NONE "resetchannels -@all -select");
	shows("(~a +get) (&b)", NONE "resetchannels -@all (~a resetchannels -@all +get) (resetchannels &b -@all)");
}
END_TEST

START_TEST(test_refused)
{
	static const struct {
		const char *rules;
		enum acl_error error;
	} cases[] = {
		{ "%", ACL_SYNTAX }, { "%R", ACL_SYNTAX }, { "%~a", ACL_SYNTAX }, { "%RR~a", ACL_SYNTAX }, { "%RX~a", ACL_SYNTAX },
		{ "~* ~a", ACL_KEYS_AFTER_ALL }, { "allkeys %R~a", ACL_KEYS_AFTER_ALL }, { "&* &a", ACL_CHANNELS_AFTER_ALL },
		{ "+nope", ACL_UNKNOWN_COMMAND }, { "-nope", ACL_UNKNOWN_COMMAND }, { "+", ACL_UNKNOWN_COMMAND },
		{ "+@nope", ACL_UNKNOWN_COMMAND }, { "+@", ACL_UNKNOWN_COMMAND }, { "+get|", ACL_SYNTAX },
		{ "-get|x", ACL_UNKNOWN_COMMAND }, { "+config|nope", ACL_UNKNOWN_COMMAND }, { "+config|get|x", ACL_ARG_OF_SUBCOMMAND },
		{ "<x", ACL_NO_SUCH_PASSWORD }, { "#12", ACL_BAD_HASH }, { "!12", ACL_BAD_HASH }, { "bogus", ACL_SYNTAX },
		{ ")", ACL_SYNTAX }, { "(on)", ACL_SYNTAX }, { "(>x)", ACL_SYNTAX }, { "((+get)", ACL_SYNTAX }, { "(~a) b)", ACL_SYNTAX },
		{ "(+get", ACL_UNCLOSED }, { "(", ACL_UNCLOSED }, { "(+get ~a", ACL_UNCLOSED }, { "(~a))", ACL_SYNTAX },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		enum acl_error e;
		ck_assert_msg(make(cases[i].rules, &e) == NULL, "%s", cases[i].rules);
		ck_assert_msg(e == cases[i].error, "%s: %s", cases[i].rules, acl_error_text(e));
	}
}
END_TEST

/* A command line between blanks; which argument is refused, 0: the command, -1: nothing. */
static int refused_at(const struct acl_user *u, const char *line, enum acl_denied *why)
{
	struct arg argv[16];
	unsigned argc = 0, at;
	for (const char *p = line; *p; p += *p == ' ') {
		argv[argc++] = (struct arg){ p, strcspn(p, " ") };
		p += argv[argc - 1].len;
	}
	*why = acl_check(u, command_lookup(argv, argc, NULL), argv, argc, &at);
	return *why ? (int)at : -1;
}

START_TEST(test_answers)
{
	static const struct {
		const char *rules, *line;
		int at;
		enum acl_denied why;
	} cases[] = {
		{ "", "get a", 0, ACL_DENIED_COMMAND }, { "+get", "get a", 1, ACL_DENIED_KEY }, { "+get ~a", "get a", -1, 0 },
		{ "+get %R~a", "get a", -1, 0 }, { "+get %W~a", "get a", 1, ACL_DENIED_KEY }, { "+@all %R~a", "set a 1", 1, ACL_DENIED_KEY },
		{ "+@all %W~a", "set a 1", -1, 0 }, { "+@all %W~a", "set a 1 get", 1, ACL_DENIED_KEY },
		{ "+@all %W~a %R~a", "set a 1 get", -1, 0 }, { "+@all ~a", "mset a 1 b 2", 3, ACL_DENIED_KEY },
		{ "+@all %W~a", "exists a", -1, 0 }, { "+@all ~a", "exists b", 1, ACL_DENIED_KEY },
		{ "+@all %R~a %W~b", "copy a b", -1, 0 }, { "+@all %R~a %W~b", "copy b a", 1, ACL_DENIED_KEY },
		{ "+@all ~a", "zunionstore a 1 b", 3, ACL_DENIED_KEY }, { "+@all ~a", "georadius a 1 1 1 km store b", 7, ACL_DENIED_KEY },
		{ "+@all ~a", "zunion 9 b", -1, 0 }, { "", "auth x", -1, 0 }, { "", "quit", -1, 0 },
		{ "+select|1", "select 1", -1, 0 }, { "+select|1", "select 2", 0, ACL_DENIED_COMMAND },
		{ "+select|1 +@connection -@connection", "select 1", 0, ACL_DENIED_COMMAND }, { "+config|get", "config get x", -1, 0 },
		{ "+config|get", "config set x y", 0, ACL_DENIED_COMMAND }, { "+config -config|set", "config set x y", 0, ACL_DENIED_COMMAND },
		{ "+@pubsub &a*", "publish abc x", -1, 0 }, { "+@pubsub &a*", "publish b a", 1, ACL_DENIED_CHANNEL },
		{ "+@pubsub &a*", "subscribe a b", 2, ACL_DENIED_CHANNEL }, { "+@pubsub &a*", "psubscribe a*", -1, 0 },
		{ "+@pubsub &a*", "psubscribe abc", 1, ACL_DENIED_CHANNEL }, { "+@pubsub", "unsubscribe x", -1, 0 },
		{ "+@pubsub &a*", "spublish b x", 1, ACL_DENIED_CHANNEL }, { "+@pubsub &a*", "ssubscribe b", 1, ACL_DENIED_CHANNEL },
		{ "+get ~a (+set ~b)", "set b 1", -1, 0 }, { "+get ~a (+set ~b)", "get b", 1, ACL_DENIED_KEY },
		{ "+get ~a (+mget ~b ~c)", "mget b c a", 3, ACL_DENIED_KEY }, { "+mget ~a (+mget ~b ~c)", "mget b a", 2, ACL_DENIED_KEY },
		{ "(allcommands allkeys allchannels)", "flushall", -1, 0 },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct acl_user *u = make(cases[i].rules, NULL);
		enum acl_denied why;
		ck_assert_ptr_nonnull(u);
		int at = refused_at(u, cases[i].line, &why);
		ck_assert_msg(at == cases[i].at && why == cases[i].why, "%s: %s: %d %d", cases[i].rules, cases[i].line, at, why);
		acl_user_unref(u);
	}
}
END_TEST

START_TEST(test_reads_all)
{
	static const struct {
		const char *rules;
		bool may;
	} cases[] = {
		{ "+get ~*", true }, { "+get %R~*", true }, { "+get %RW~*", true }, { "+get %W~*", false }, { "+get ~a", false },
		{ "+set ~*", false }, { "+get ~a (~*)", false }, { "+get ~a (+get ~*)", true }, { "+@all ~* &*", true },
	};
	struct arg argv[] = { { "get", 3 }, { "a", 1 } };
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct acl_user *u = make(cases[i].rules, NULL);
		ck_assert_msg(acl_may_read_any(u, command_find("get", 3), argv, 2) == cases[i].may, "%s", cases[i].rules);
		acl_user_unref(u);
	}
	ck_assert(acl_may_read_any(NULL, command_find("get", 3), argv, 2)); /* the server itself */
}
END_TEST

/* Renaming a command does not change what rules say of it. */
START_TEST(test_renamed)
{
	enum acl_denied why;
	struct acl_user *u = make("+flushdb", NULL);
	ck_assert_int_eq(command_rename("flushdb", "gone"), 0);
	ck_assert_int_eq(refused_at(u, "gone", &why), -1);
	acl_user_unref(u);
	shows("+flushdb", NONE "resetchannels -@all +flushdb");
	ck_assert_ptr_null(make("+gone", NULL));
}
END_TEST

START_TEST(test_registry)
{
	static const char *const names[] = { "m", "b", "x", "a", "default", "bb" };
	ck_assert_int_eq(acl_start(config()), 0);
	ck_assert_ptr_eq(acl_at(0), acl_default());
	ck_assert(acl_default()->unrestricted);
	for (size_t i = 0; i < 6; i++)
		ck_assert_int_eq(acl_publish(acl_user_new(names[i], strlen(names[i])), NULL), 0);
	ck_assert(!acl_default()->unrestricted); /* it was replaced */
	for (unsigned i = 1; acl_at(i); i++)
		ck_assert_int_lt(strcmp(acl_at(i - 1)->name, acl_at(i)->name), 0);
	for (size_t i = 0; i < 6; i++)
		ck_assert_str_eq(acl_find(names[i], strlen(names[i]))->name, names[i]);
	ck_assert_ptr_null(acl_find("c", 1));
	ck_assert_ptr_null(acl_find("", 0));
	const struct acl_user *kept = acl_user_ref(acl_find("b", 1));
	ck_assert(acl_remove("b", 1, NULL));
	ck_assert_str_eq(kept->name, "b"); /* as long as somebody refers to it */
	acl_user_unref(kept);
	ck_assert(!acl_remove("b", 1, NULL));
	ck_assert(!acl_remove("default", 7, NULL));
	acl_stop();
	ck_assert_ptr_null(acl_default());
}
END_TEST

START_TEST(test_hash)
{
	char hex[ACL_HASH_LEN + 1];
	acl_hash("abc", 3, hex); /* FIPS 180-2's example */
	ck_assert_str_eq(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	struct acl_user *u = acl_user_new("u", 1);
	ck_assert_int_eq(acl_user_apply(u, ">a\0b", 4), ACL_FINE); /* passwords are bytes */
	ck_assert_int_eq(acl_user_apply(u, "<a", 2), ACL_NO_SUCH_PASSWORD);
	ck_assert_int_eq(acl_user_apply(u, "<a\0b", 4), ACL_FINE);
	ck_assert_int_eq(acl_user_apply(u, "~a\0b", 4), ACL_SYNTAX);
	ck_assert_int_eq(acl_user_apply(u, "+get\0", 5), ACL_SYNTAX);
	acl_user_unref(u);
	ck_assert(!acl_name_ok("", 0) && !acl_name_ok("a b", 3) && !acl_name_ok("a\0", 2) && acl_name_ok("a", 1));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("acl");
	TCase *tc = tcase_create("acl");
	if (command_init())
		return 1;
	tcase_add_test(tc, test_shown);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_answers);
	tcase_add_test(tc, test_reads_all);
	tcase_add_test(tc, test_renamed);
	tcase_add_test(tc, test_registry);
	tcase_add_test(tc, test_hash);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

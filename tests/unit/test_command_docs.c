#include <check.h>
#include <errno.h>
#include <string.h>

#include "server/command_docs.h"
#include "tests/lib/suite.h"

/* The notation of one row, answered as text. */
static const char *rendered(const char *args, int resp, struct reply *r)
{
	static char out[4096];
	size_t len;
	const char *at = NULL;
	ck_assert_msg(command_docs_check(args, &at) == 0, "%s: refused at: %s", args, at);
	reply_init_memory(r, resp);
	command_docs_args(r, args);
	const char *bytes = reply_bytes(r, &len);
	ck_assert_uint_lt(len, sizeof out);
	memcpy(out, bytes, len);
	out[len] = 0;
	reply_clear(r);
	return out;
}

#define NAME(n, name) "$4\r\nname\r\n$" n "\r\n" name "\r\n"
#define TYPE(n, type) "$4\r\ntype\r\n$" n "\r\n" type "\r\n"
#define SHOWN(n, text) "$12\r\ndisplay_text\r\n$" n "\r\n" text "\r\n"
#define TOKEN(n, text) "$5\r\ntoken\r\n$" n "\r\n" text "\r\n"

START_TEST(test_items)
{
	struct reply r;
	ck_assert_str_eq(rendered("key:key#0", 2, &r), "*1\r\n*8\r\n" NAME("3", "key") TYPE("3", "key") SHOWN("3", "key")
	                 "$14\r\nkey_spec_index\r\n:0\r\n");
	ck_assert_str_eq(rendered("EX seconds:integer", 3, &r), "*1\r\n%4\r\n" NAME("7", "seconds") TYPE("7", "integer")
	                 SHOWN("7", "seconds") TOKEN("2", "EX"));
	ck_assert_str_eq(rendered("[get:GET@6.2.0]", 3, &r), "*1\r\n%6\r\n" NAME("3", "get") TYPE("10", "pure-token")
	                 SHOWN("3", "get") TOKEN("3", "GET") "$5\r\nsince\r\n$5\r\n6.2.0\r\n"
	                 "$5\r\nflags\r\n~1\r\n+optional\r\n");
	ck_assert_str_eq(rendered("[GET a:pattern#1(b c)^7.0.0...+]", 3, &r), "*1\r\n%7\r\n" NAME("1", "a")
	                 TYPE("7", "pattern") SHOWN("3", "b c") "$14\r\nkey_spec_index\r\n:1\r\n" TOKEN("3", "GET")
	                 "$16\r\ndeprecated_since\r\n$5\r\n7.0.0\r\n"
	                 "$5\r\nflags\r\n~3\r\n+optional\r\n+multiple\r\n+multiple_token\r\n");
}
END_TEST

START_TEST(test_nesting)
{
	struct reply r;
	ck_assert_str_eq(rendered("data:{a:key#0 b:string}... x:<y:Y|z:\"\">", 3, &r),
	                 "*2\r\n"
	                 "%4\r\n" NAME("4", "data") TYPE("5", "block") "$5\r\nflags\r\n~1\r\n+multiple\r\n$9\r\narguments\r\n*2\r\n"
	                 "%4\r\n" NAME("1", "a") TYPE("3", "key") SHOWN("1", "a") "$14\r\nkey_spec_index\r\n:0\r\n"
	                 "%3\r\n" NAME("1", "b") TYPE("6", "string") SHOWN("1", "b")
	                 "%3\r\n" NAME("1", "x") TYPE("5", "oneof") "$9\r\narguments\r\n*2\r\n"
	                 "%4\r\n" NAME("1", "y") TYPE("10", "pure-token") SHOWN("1", "y") TOKEN("1", "Y")
	                 "%4\r\n" NAME("1", "z") TYPE("10", "pure-token") SHOWN("1", "z") TOKEN("0", ""));
}
END_TEST

START_TEST(test_malformed)
{
	static const char *const bad[] = {
		"", "x", "x:", ":string", "[x:string", "x:string]", "x:<a:A|b", "x:<a:A|b:B", "x:{a:string  b:string}", "x:<>",
		"x:string@", "x:string(", "x:string()", "x:key#9", " x:string", "x:string ", "x:string|y:string", "A B x:string",
		"TOKEN ", "x:strng", "[[x:string]]", "x:{a:string|b:string}", "x:<a:A b:B>", "x:<a:<b:>>", "x:string..",
	};
	const char *at;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(command_docs_check(bad[i], &at) == -EINVAL, "accepted: %s", bad[i]);
	ck_assert_int_eq(command_docs_check(NULL, &at), 0);
	ck_assert_int_eq(command_docs_check("a:string b:!", &at), 0);
	ck_assert_int_eq(command_docs_check("a:string b:", &at), -EINVAL);
	ck_assert_str_eq(at, "b:");
}
END_TEST

/* Every row of the server's table is sound. */
START_TEST(test_table)
{
	const char *at = "";
	ck_assert_int_eq(command_init(), 0);
	ck_assert_uint_gt(command_count(), 80);
	for (unsigned i = 0; i < command_count(); i++) {
		const struct command *c = command_by_id(i);
		ck_assert_msg(command_docs_check(c->args, &at) == 0, "%s: arguments are malformed at: %s", c->full_name, at);
		ck_assert_msg(c->group && c->since && c->summary && *c->summary, "%s: documentation is missing", c->full_name);
		ck_assert_msg(c->run || c->flags & CMD_CONTAINER, "%s: nothing to run", c->full_name);
		ck_assert_msg(c->class != EXEC_KEYED || c->keys[0].flags || c->find_keys || c->plan,
		              "%s: keyed without keys", c->full_name);
		ck_assert_msg(c->arity != 0, "%s: no arity", c->full_name);
		for (const char *h = c->history; h && *h; h = strchr(h, '\n') ? strchr(h, '\n') + 1 : "")
			ck_assert_msg(*h >= '0' && *h <= '9' && strchr(h, ' '), "%s: history: %s", c->full_name, h);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("command_docs");
	TCase *tc = tcase_create("command_docs");
	tcase_add_test(tc, test_items);
	tcase_add_test(tc, test_nesting);
	tcase_add_test(tc, test_malformed);
	tcase_add_test(tc, test_table);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

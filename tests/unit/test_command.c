#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/call.h"
#include "server/command.h"
#include "tests/lib/suite.h"

/* A table of its own: the server's is tested through COMMAND. */
static void run(struct call *c)
{
	(void)c;
}

static int sort_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out)
{
	(void)cmd, (void)argv;
	return key_refs_add(out, 1, KEY_RO) && argc > 3 && key_refs_add(out, argc - 1, KEY_OW) ? 0 : -EINVAL;
}

#define KEYNUM(f, b, i, k, s) { .flags = (f), .begin = (b), .keynum = true, .keynum_index = (i), .first_key = (k), .step = (s) }
#define KEYWORD(f, w, b, l, s, lim) { .flags = (f), .keyword = (w), .begin = (b), .last = (l), .step = (s), .limit = (lim) }

static struct command config_subs[] = {
	{ .name = "get", .run = run, .arity = -3, .flags = CMD_ADMIN },
	{ .name = "resetstat", .run = run, .arity = 2, .flags = CMD_ADMIN },
	{ 0 },
};
static struct command rows_a[] = {
	{ .name = "get", .run = run, .arity = 2, .flags = CMD_READONLY | CMD_FAST, .acl = ACL_STRING,
	  .keys = { KEY_ONE(KEY_RO | KEY_ACCESS) } },
	{ .name = "mset", .run = run, .arity = -3, .flags = CMD_WRITE, .keys = { KEY_RANGE(KEY_OW, 1, -1, 2) } },
	{ .name = "config", .arity = -2, .flags = CMD_CONTAINER, .subs = config_subs, .group = "server" },
	{ .name = "blpop", .run = run, .arity = -3, .flags = CMD_WRITE | CMD_BLOCKING, .keys = { KEY_RANGE(KEY_RW, 1, -2, 1) } },
	{ .name = "rename", .run = run, .arity = 3, .flags = CMD_WRITE, .keys = { KEY_ONE(KEY_RW), KEY_RANGE(KEY_OW, 2, 0, 1) } },
	{ .name = "georadius_ro_long_name", .run = run, .arity = -6, .flags = CMD_READONLY, .keys = { KEY_ONE(KEY_RO) } },
	{ 0 },
};
static struct command rows_b[] = {
	{ .name = "zunion", .run = run, .arity = -3, .flags = CMD_READONLY, .keys = { KEYNUM(KEY_RO, 1, 0, 1, 1) } },
	{ .name = "eval", .run = run, .arity = -3, .flags = CMD_NO_MANDATORY_KEYS, .acl = ACL_SCRIPTING,
	  .keys = { KEYNUM(KEY_RW, 2, 0, 1, 1) } },
	{ .name = "xread", .run = run, .arity = -4, .flags = CMD_READONLY | CMD_BLOCKING,
	  .keys = { KEYWORD(KEY_RO, "STREAMS", 1, -1, 1, 2) } },
	{ .name = "migrate", .run = run, .arity = -6, .flags = CMD_WRITE,
	  .keys = { KEY_RANGE(KEY_RW, 3, 0, 1), KEYWORD(KEY_RW, "KEYS", -2, -1, 1, 0) } },
	{ .name = "sort", .run = run, .arity = -2, .flags = CMD_WRITE, .find_keys = sort_keys,
	  .keys = { KEY_ONE(KEY_RO), { .flags = KEY_OW } } },
	{ .name = "spublish", .run = run, .arity = 3, .keys = { KEY_ONE(KEY_NOT_KEY) } },
	{ .name = "ping", .run = run, .arity = -1, .flags = CMD_FAST },
	{ 0 },
};
struct command *const command_groups[] = { rows_a, rows_b, NULL };

static unsigned split(const char *text, struct arg *argv)
{
	unsigned n = 0;
	while (*text) {
		size_t len = strcspn(text, " ");
		argv[n++] = (struct arg){ text, len };
		text += len + strspn(text + len, " ");
	}
	return n;
}

static struct command *look(const char *text, struct command **container)
{
	struct arg argv[64];
	return command_lookup(argv, split(text, argv), container);
}

/* The positions of the keys, "-EINVAL" where they cannot be found. */
static void expect_keys(const char *text, const char *positions)
{
	struct arg argv[128];
	unsigned argc = split(text, argv);
	struct key_refs k;
	char got[512] = "", *p = got;
	struct command *cmd = command_lookup(argv, argc, NULL);
	ck_assert_ptr_nonnull(cmd);
	int err = command_keys(cmd, argv, argc, &k);
	for (unsigned i = 0; err == 0 && i < k.n; i++)
		p += snprintf(p, (size_t)(got + sizeof got - p), "%s%u", i ? " " : "", k.v[i].arg);
	if (err)
		ck_assert_int_eq(err, -EINVAL);
	ck_assert_msg(strcmp(err ? "-EINVAL" : got, positions) == 0, "%s: %s, not %s", text, err ? "-EINVAL" : got, positions);
	key_refs_clear(&k);
}

START_TEST(test_lookup)
{
	struct command *container;
	ck_assert_int_eq(command_init(), 0);
	ck_assert_uint_eq(command_count(), 15);
	ck_assert_uint_eq(command_top_count(), 13);
	for (unsigned i = 0; i < command_count(); i++)
		ck_assert_uint_eq(command_by_id(i)->id, i);
	ck_assert_ptr_eq(look("GeT x", NULL), &rows_a[0]);
	ck_assert_ptr_eq(look("GEORADIUS_RO_LONG_NAME", NULL), &rows_a[5]);
	ck_assert_ptr_null(look("GEORADIUS_RO_LONG_NAMF", NULL));
	ck_assert_ptr_null(look("GEORADIUSXRO_LONG_NAME", NULL));
	ck_assert_ptr_null(look("ge", NULL));
	ck_assert_ptr_null(look("gett", NULL));
	ck_assert_ptr_null(look("resetstat", NULL));
	ck_assert_ptr_null(command_find("", 0));
	ck_assert_ptr_null(command_find("get\0", 4));
	/* only letters fold: '@' and '`' differ by the same bit */
	ck_assert_ptr_null(command_find("\x47\x45\x14", 3));
	ck_assert_ptr_null(command_find("GEORADIUS\x7fRO_LONG_NAME", 22));
	ck_assert_ptr_null(command_find("\xe7" "et", 3));
	ck_assert_ptr_eq(look("CONFIG get a", &container), &config_subs[0]);
	ck_assert_ptr_eq(container, &rows_a[2]);
	ck_assert_str_eq(config_subs[0].full_name, "config|get");
	ck_assert_str_eq(config_subs[0].group, "server");
	ck_assert_ptr_eq(config_subs[0].parent, &rows_a[2]);
	ck_assert_ptr_null(look("config ping", &container));
	ck_assert_ptr_eq(container, &rows_a[2]);
	ck_assert_ptr_eq(look("config", &container), &rows_a[2]);
	ck_assert_ptr_null(container);
	ck_assert(!command_arity_ok(&rows_a[0], 1) && command_arity_ok(&rows_a[0], 2) && !command_arity_ok(&rows_a[0], 3));
	ck_assert(!command_arity_ok(&rows_a[1], 2) && command_arity_ok(&rows_a[1], 3) && command_arity_ok(&rows_a[1], 99));
}
END_TEST

START_TEST(test_derived)
{
	ck_assert_int_eq(command_init(), 0);
	ck_assert_uint_eq(rows_a[0].acl_all, ACL_READ | ACL_STRING | ACL_FAST);
	ck_assert_uint_eq(rows_a[3].acl_all, ACL_WRITE | ACL_BLOCKING | ACL_SLOW);
	ck_assert_uint_eq(config_subs[0].acl_all, ACL_ADMIN | ACL_DANGEROUS | ACL_SLOW);
	ck_assert(rows_a[0].single_key && !rows_a[1].single_key && !rows_a[4].single_key && !rows_b[0].single_key);
	ck_assert(!rows_b[4].single_key && !rows_b[5].single_key && !rows_b[6].single_key);
	ck_assert(rows_b[0].flags & CMD_MOVABLE_KEYS && rows_b[2].flags & CMD_MOVABLE_KEYS);
	ck_assert(rows_b[4].flags & CMD_MOVABLE_KEYS && !(rows_a[1].flags & CMD_MOVABLE_KEYS));
}
END_TEST

START_TEST(test_rename)
{
	ck_assert_int_eq(command_init(), 0);
	ck_assert_int_eq(command_rename("nosuch", "x"), -ENOENT);
	ck_assert_int_eq(command_rename("GET", "mset"), -EEXIST);
	ck_assert_int_eq(command_rename("get", "A-very-Long-name-that-nobody-guesses-0123456789-0123456789-0123456789"), 0);
	ck_assert_ptr_null(look("get", NULL));
	ck_assert_ptr_eq(look("a-very-long-NAME-that-nobody-guesses-0123456789-0123456789-0123456789", NULL), &rows_a[0]);
	ck_assert_int_eq(command_rename("config", ""), 0);
	ck_assert_ptr_null(look("config get x", NULL));
	ck_assert_uint_eq(command_top_count(), 12);
	for (unsigned i = 0; i < command_top_count(); i++)
		ck_assert_str_ne(command_at(i)->name, "config");
	/* every other name is still found */
	for (struct command *const *g = command_groups; *g; g++)
		for (struct command *c = *g; c->name; c++)
			if (c != &rows_a[0] && c != &rows_a[2])
				ck_assert_ptr_eq(command_find(c->name, strlen(c->name)), c);
	ck_assert_int_eq(command_rename("mset", "get"), 0);
	ck_assert_ptr_eq(look("get", NULL), &rows_a[1]);
}
END_TEST

/* SAFETY.md: COMMAND GETKEYS, ACL: bad numkeys or arity. Positions as redis-server 7.0.15 answers COMMAND GETKEYS. */
START_TEST(test_keys)
{
	ck_assert_int_eq(command_init(), 0);
	expect_keys("get a", "1");
	expect_keys("mset a 1 b 2 c 3", "1 3 5");
	expect_keys("mset a 1 b", "1 3");
	expect_keys("blpop a b c 0", "1 2 3");
	expect_keys("rename a b", "1 2");
	expect_keys("ping", "");
	expect_keys("spublish c m", "");
	expect_keys("zunion 2 a b", "2 3");
	expect_keys("zunion 2 a b weights 1 2", "2 3");
	expect_keys("zunion 3 a b", "-EINVAL");
	expect_keys("zunion 0 a", "-EINVAL");
	expect_keys("zunion -1 a", "-EINVAL");
	expect_keys("zunion 01 a", "-EINVAL");
	expect_keys("zunion x a", "-EINVAL");
	expect_keys("zunion 1x a", "-EINVAL");
	expect_keys("zunion 2147483648 a", "-EINVAL");
	expect_keys("zunion 4294967297 a", "-EINVAL");
	expect_keys("zunion 9223372036854775807 a", "-EINVAL");
	expect_keys("zunion 18446744073709551617 a", "-EINVAL");
	expect_keys("zunion 99999999999999999999999999999 a", "-EINVAL");
	expect_keys("zunion", "-EINVAL");
	expect_keys("eval s 0", "");
	expect_keys("eval s 0 a", "");
	expect_keys("eval s 1 a b", "3");
	expect_keys("eval s 3 a b", "-EINVAL");
	expect_keys("eval s", "-EINVAL");
	expect_keys("xread count 1 STREAMS a b 0 0", "4 5");
	expect_keys("xread streams a b c 0 0 0", "2 3 4");
	expect_keys("xread streams a", "-EINVAL");
	expect_keys("xread count 1 streams", "");
	expect_keys("migrate h 1 a 0 10 copy", "3");
	expect_keys("migrate h 1 a 0 10 KEYS b c", "3 7 8");
	expect_keys("migrate keys 1 a 0 10", "3");
	expect_keys("sort a b c d", "1 4");
	expect_keys("sort a", "-EINVAL");
	expect_keys("get", "-EINVAL");
}
END_TEST

START_TEST(test_many_keys)
{
	enum { N = 5000 };
	struct arg *argv = malloc(N * sizeof *argv);
	struct key_refs k;
	ck_assert_int_eq(command_init(), 0);
	for (unsigned i = 0; i < N; i++)
		argv[i] = (struct arg){ "k", 1 };
	ck_assert_int_eq(command_keys(&rows_a[3], argv, N, &k), 0);
	ck_assert_uint_eq(k.n, N - 2);
	for (unsigned i = 0; i < k.n; i++)
		ck_assert_uint_eq(k.v[i].arg, i + 1);
	key_refs_clear(&k);
	free(argv);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("command");
	TCase *tc = tcase_create("command");
	tcase_add_test(tc, test_lookup);
	tcase_add_test(tc, test_derived);
	tcase_add_test(tc, test_rename);
	tcase_add_test(tc, test_keys);
	tcase_add_test(tc, test_many_keys);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

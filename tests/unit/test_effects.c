/* Effects: encoding, replacing argv, databases, use again, and what happens when memory runs out. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "server/call.h"
#include "server/effects.h"
#include "server/journal/journal.h"
#include "store/memory.h"
#include "tests/lib/suite.h"

static struct effects e;
static struct call c;

static void setup(void)
{
	effects_init(&e);
	memset(&c, 0, sizeof(c));
	c.effects = &e;
}

static void teardown(void)
{
	effects_clear(&e);
	ck_assert_ptr_null(e.buf);
}

static void expect(unsigned commands, const char *want, size_t n)
{
	size_t len;
	const char *got = effects_bytes(&e, &len);

	ck_assert_uint_eq(effects_count(&e), commands);
	ck_assert_uint_eq(len, n);
	ck_assert_mem_eq(got, want, n);
}
#define EXPECT(commands, text) expect(commands, text, sizeof(text) - 1)

START_TEST(test_add)
{
	struct arg argv[] = { { "SET", 3 }, { "a\0b", 3 }, { "", 0 }, { "0123456789ab", 12 } };

	ck_assert_uint_eq(effects_count(&e), 0);
	effects_add(&e, 4, argv);
	EXPECT(1, "*4\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n$12\r\n0123456789ab\r\n");
	ck_assert(!e.replaced);
	effects_add(&e, 1, argv);
	EXPECT(2, "*4\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$0\r\n\r\n$12\r\n0123456789ab\r\n*1\r\n$3\r\nSET\r\n");
	effects_reset(&e);
	ck_assert_uint_eq(effects_count(&e), 0);
	effects_add(&e, 1, argv);
	EXPECT(1, "*1\r\n$3\r\nSET\r\n");
}
END_TEST

START_TEST(test_formats)
{
	struct arg key = { "k y", 3 };

	call_journalf(&c, "saibi", "PEXPIREAT", &key, (int64_t)-12, "\0z", (size_t)2, INT64_MIN);
	ck_assert(e.replaced);
	EXPECT(1, "*5\r\n$9\r\nPEXPIREAT\r\n$3\r\nk y\r\n$3\r\n-12\r\n$2\r\n\0z\r\n$20\r\n-9223372036854775808\r\n");
	effects_begin_call(&e);
	ck_assert(!e.replaced);
	ck_assert_uint_eq(effects_count(&e), 1);
	effects_reset(&e);
	call_journalf(&c, "ii", INT64_MAX, (int64_t)0);
	EXPECT(1, "*2\r\n$19\r\n9223372036854775807\r\n$1\r\n0\r\n");
	effects_reset(&e);
	ck_assert(!e.replaced);
	call_journal(&c, 1, &key);
	ck_assert(e.replaced);
	EXPECT(1, "*1\r\n$3\r\nk y\r\n");
	/* Nobody subscribes: nothing is gathered. */
	c.effects = NULL;
	call_journal(&c, 1, &key);
	call_journalf(&c, "s", "x");
	EXPECT(1, "*1\r\n$3\r\nk y\r\n");
}
END_TEST

START_TEST(test_databases)
{
	struct arg x = { "X", 1 };

	ck_assert_uint_eq(effects_db(&e, 7), 7);
	effects_use_db(&e, 3);
	effects_add(&e, 1, &x);
	effects_use_db(&e, 3);
	effects_add(&e, 1, &x);
	effects_use_db(&e, 10);
	effects_add(&e, 1, &x);
	EXPECT(5, "*1\r\n$1\r\nX\r\n*1\r\n$1\r\nX\r\n*2\r\n$6\r\nSELECT\r\n$2\r\n10\r\n*1\r\n$1\r\nX\r\n"
	          "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
	ck_assert_uint_eq(effects_db(&e, 7), 3);
	effects_reset(&e);
	effects_use_db(&e, 10);
	effects_add(&e, 1, &x);
	EXPECT(1, "*1\r\n$1\r\nX\r\n");
	ck_assert_uint_eq(effects_db(&e, 7), 10);
}
END_TEST

START_TEST(test_growth)
{
	size_t n = 3000000, len;
	char *big = malloc(n);
	struct arg argv[2] = { { "SET", 3 }, { big, n } };
	const char *got;

	memset(big, 'v', n);
	effects_add(&e, 2, argv);
	effects_add(&e, 1, argv);
	got = effects_bytes(&e, &len);
	ck_assert_uint_eq(len, 4 + 9 + 10 + n + 2 + 4 + 9);
	ck_assert(memcmp(got + 23, big, n) == 0);
	ck_assert_mem_eq(got + len - 15, "\r\n*1\r\n$3\r\nSET\r\n", 15);
	/* The large buffer goes, a small one stays. */
	effects_reset(&e);
	ck_assert_uint_eq(e.cap, 0);
	effects_add(&e, 1, argv);
	ck_assert_uint_gt(e.cap, 0);
	effects_reset(&e);
	mem_fail_after(1);
	effects_add(&e, 1, argv);
	mem_fail_after(0);
	EXPECT(1, "*1\r\n$3\r\nSET\r\n");
	free(big);
}
END_TEST

/* Memory fails at the first growth or at a later one: the unit is failed as a whole and the journal knows. */
START_TEST(test_out_of_memory)
{
	char value[3000];
	struct arg argv[2] = { { "SET", 3 }, { value, sizeof(value) } };
	struct journal *j = journal_new(16);
	struct journal_reader *r = journal_subscribe(j);
	struct journal_record rec;
	size_t len = 1;

	memset(value, 'v', sizeof(value));
	mem_fail_after((uint64_t)_i);
	effects_add(&e, 1, argv);
	effects_add(&e, 2, argv);
	call_journalf(&c, "sas", "x", &argv[1], "y");
	mem_fail_after(0);
	ck_assert(e.failed);
	ck_assert_uint_eq(effects_count(&e), 3);
	ck_assert_ptr_null(effects_bytes(&e, &len));
	ck_assert_uint_eq(len, 0);
	journal_append(j, 0, effects_count(&e), effects_bytes(&e, &len), len);
	ck_assert_uint_eq(journal_lost(j), 1);
	ck_assert(!journal_next(r, &rec));
	journal_unsubscribe(r);
	journal_free(j);
	effects_reset(&e);
	effects_add(&e, 1, argv);
	EXPECT(1, "*1\r\n$3\r\nSET\r\n");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("effects");
	TCase *t = tcase_create("effects");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_add);
	tcase_add_test(t, test_formats);
	tcase_add_test(t, test_databases);
	tcase_add_test(t, test_growth);
	tcase_add_loop_test(t, test_out_of_memory, 1, 4);
	suite_add_tcase(s, t);
	return suite_run(s);
}

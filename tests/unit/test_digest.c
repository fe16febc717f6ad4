#include <check.h>
#include <string.h>

#include "server/digest.h"
#include "tests/lib/suite.h"

/* The fingerprints here are those of redis-server 7.0.15 for the same commands. */
static struct store *s;
static struct store_op op;

static void start(void)
{
	struct store_options o;
	int err;
	store_options_init(&o);
	o.shards = 16;
	s = store_open(&o, &err);
	ck_assert_ptr_nonnull(s);
	op = (struct store_op){ .store = s, .exclusive = true, .now_ms = 1700000000000 };
}

static void stop(void)
{
	store_close(s);
}

static void set(unsigned db, const char *key, const char *value, int64_t expire_ms)
{
	op.db = db;
	struct store_key k = store_key(s, key, strlen(key));
	ck_assert_ptr_nonnull(store_set_string(&op, &k, value, strlen(value), expire_ms));
}

static const char *whole(void)
{
	static char hex[2 * DIGEST_LEN + 1];
	struct digest d;
	struct store_op mine = op;
	digest_dataset(&mine, &d);
	digest_hex(&d, hex);
	return hex;
}

static const char *value_of(unsigned db, const char *key)
{
	static char hex[2 * DIGEST_LEN + 1];
	struct digest d = { { 0 } };
	op.db = db;
	struct store_key k = store_key(s, key, strlen(key));
	struct entry *e = store_find(&op, &k, STORE_PEEK);
	ck_assert_ptr_nonnull(e);
	digest_entry(&d, e);
	digest_hex(&d, hex);
	return hex;
}

START_TEST(test_as_redis)
{
	ck_assert_str_eq(whole(), "0000000000000000000000000000000000000000");
	set(0, "a", "12345", STORE_NO_EXPIRY);
	set(0, "b", "hello", STORE_NO_EXPIRY);
	ck_assert_str_eq(whole(), "fecd69ddcfcd155b83e563ece6513972eb0fa163");
	ck_assert_str_eq(value_of(0, "a"), "e1cf90774e995ae03de66e8109dc5cb9d9c2dc83");
	ck_assert_str_eq(value_of(0, "b"), "36b23a1456b2dce2c3ed252c456761301dba8060");
	set(0, "a", "100", op.now_ms + 1000000);
	ck_assert_str_eq(value_of(0, "a"), "dbc42a36926905188c4fb4121156a5ac5410906a");
	set(3, "a", "1", STORE_NO_EXPIRY);
	ck_assert_str_eq(value_of(3, "a"), "b4fc66738120fba0b5aa500ab5c2bf89cea1c5da");
}
END_TEST

START_TEST(test_order_and_databases)
{
	char two[41], other_db[41];
	set(0, "a", "1", STORE_NO_EXPIRY);
	set(0, "b", "2", STORE_NO_EXPIRY);
	memcpy(two, whole(), 41);
	store_flush(s, -1, false);
	set(0, "b", "2", STORE_NO_EXPIRY);
	set(0, "a", "1", STORE_NO_EXPIRY);
	ck_assert_str_eq(whole(), two);
	store_flush(s, -1, false);
	set(1, "a", "1", STORE_NO_EXPIRY);
	set(1, "b", "2", STORE_NO_EXPIRY);
	memcpy(other_db, whole(), 41);
	ck_assert_str_ne(other_db, two);
	set(1, "a", "1", op.now_ms + 5000);
	ck_assert_str_ne(whole(), other_db);
	char expiring[41];
	memcpy(expiring, whole(), 41);
	set(1, "a", "1", op.now_ms + 9000); /* when it expires does not matter */
	ck_assert_str_eq(whole(), expiring);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("digest");
	TCase *tc = tcase_create("digest");
	tcase_add_checked_fixture(tc, start, stop);
	tcase_add_test(tc, test_as_redis);
	tcase_add_test(tc, test_order_and_databases);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}

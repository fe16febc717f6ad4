/* RDB files: what was saved is what is loaded; damage anywhere is noticed; files of all versions; failing disks. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/config.h"
#include "server/digest.h"
#include "server/journal/io.h"
#include "server/journal/rdb.h"
#include "server/journal/rdb_functions.h"
#include "server/journal/rdb_scan.h"
#include "store/crc64.h"
#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "store/types/zset.h"
#include "tests/lib/rng.h"
#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

static char dir[64], file[128];

/* ------------------------------------------------------------------ stores and their contents */

static struct store *new_store(void)
{
	struct store_options o = fixture_options(16, 7);
	return fixture_open(&o);
}

static struct store_key key_of(struct store *s, const char *name)
{
	return store_key(s, name, strlen(name));
}

static void add(struct store_op *op, const char *name, enum store_type_id type, const struct value *v)
{
	struct store_key key = key_of(op->store, name);
	ck_assert_ptr_nonnull(store_add(op, &key, type, v->encoding, v->ptr));
}

static void put_text(struct store_op *op, const char *name, const char *text, int64_t expire_ms)
{
	struct store_key key = key_of(op->store, name);
	ck_assert_ptr_nonnull(store_set_string(op, &key, text, strlen(text), expire_ms));
}

static const struct value_limits limits = { 8, 20, 8, true };
static const struct list_limits list_limits = { -1, 0 };

/* n elements of every aggregate type. */
static void put_aggregates(struct store_op *op, const char *suffix, int n)
{
	struct value list, set, ints, hash, zset;
	char name[32], text[32];
	ck_assert_int_eq(list_new(&list), 0);
	ck_assert_int_eq(hash_new(&hash), 0);
	ck_assert_int_eq(set_new(&set, &limits, "m", 1, 1), 0);
	ck_assert_int_eq(set_new(&ints, &limits, "1", 1, 1), 0);
	ck_assert_int_eq(zset_new(&zset, &limits, 1, 1), 0);
	for (int i = 0; i < n; i++) {
		size_t len = (size_t)snprintf(text, sizeof text, "%s%d", i % 3 ? "element:" : "", i);
		ck_assert_int_eq(list_grow(&list, &list_limits, 1, len + 10), 0);
		ck_assert_int_eq(list_push(&list, true, text, len), 0);
		ck_assert_int_eq(set_add(&set, &limits, text, len), 1);
		ck_assert_int_ge(hash_set(&hash, &limits, text, len, "value", 5), 0);
		struct zset_hit hit;
		ck_assert(!zset_find(&zset, text, len, &hit));
		ck_assert_int_eq(zset_insert(&zset, &limits, &hit, text, len, i % 5 ? i * 1.5 : (i % 2 ? INFINITY : 0.25)), 0);
		len = (size_t)snprintf(text, sizeof text, "%lld", (i % 2 ? -1LL : 1LL) * i * (i % 7 ? 1 : 100000000000));
		ck_assert_int_ge(set_add(&ints, &limits, text, len), 0);
	}
	const struct {
		const char *name;
		enum store_type_id type;
		const struct value *v;
	} all[] = { { "list", STORE_LIST, &list }, { "set", STORE_SET, &set }, { "ints", STORE_SET, &ints },
		    { "hash", STORE_HASH, &hash }, { "zset", STORE_ZSET, &zset } };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		snprintf(name, sizeof name, "%s:%s", all[i].name, suffix);
		add(op, name, all[i].type, all[i].v);
	}
}

static void fill(struct store *s, int many)
{
	struct store_op op = fixture_op(s);
	put_text(&op, "empty", "", STORE_NO_EXPIRY);
	put_text(&op, "int8", "-100", STORE_NO_EXPIRY);
	put_text(&op, "int16", "30000", op.now_ms + 100000);
	put_text(&op, "int32", "-2000000000", STORE_NO_EXPIRY);
	put_text(&op, "int64", "9000000000000000000", STORE_NO_EXPIRY);
	put_text(&op, "text", "a text of more than twenty bytes, of more than twenty bytes", op.now_ms + 5000);
	put_aggregates(&op, "few", 5);
	op.db = 3;
	put_aggregates(&op, "more", many);
	put_text(&op, "other", "database", STORE_NO_EXPIRY);
}

static void hex_of(struct store *s, char out[2 * DIGEST_LEN + 1])
{
	struct digest d;
	struct store_op op = fixture_op(s);
	op.exclusive = true;
	digest_dataset(&op, &d);
	digest_hex(&d, out);
}

static int save(struct store *s, bool compress)
{
	struct rdb_save q = { .path = file, .store = s, .loops = 1, .compress = compress, .checksum = true };
	return rdb_save_now(&q);
}

static void init_load(struct rdb_load *l, struct store *s)
{
	rdb_load_init(l, config(), s);
	l->now_ms = fixture_op(s).now_ms;
	l->threads = 1;
}

static int load(struct rdb_load *l, struct store *s)
{
	int fd = open(file, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	init_load(l, s);
	int err = rdb_load_fd(l, fd, file, 0);
	close(fd);
	return err;
}

static unsigned char *read_file(size_t *len)
{
	FILE *f = fopen(file, "rb");
	ck_assert_ptr_nonnull(f);
	unsigned char *bytes = malloc(4 << 20);
	*len = fread(bytes, 1, 4 << 20, f);
	fclose(f);
	return bytes;
}

/* ------------------------------------------------------------------ there and back */

START_TEST(test_same_again)
{
	struct store *a = new_store(), *b = new_store();
	char want[2 * DIGEST_LEN + 1], got[2 * DIGEST_LEN + 1];
	struct rdb_load l;
	fill(a, _i < 2 ? 3000 : 20);
	hex_of(a, want);
	ck_assert_int_eq(save(a, _i % 2), 0);
	ck_assert_int_eq(load(&l, b), 0);
	hex_of(b, got);
	ck_assert_str_eq(want, got);
	ck_assert_int_eq(l.info.version, RDB_WRITE_VERSION);
	ck_assert_str_eq(l.info.redis_ver, "7.2.4");
	ck_assert_uint_eq(l.keys, store_count(a, 0) + store_count(a, 3));
	/* Again: everything is there twice now. */
	ck_assert_int_eq(load(&l, b), -EINVAL);
	ck_assert_str_eq(l.error, "a key is there twice");
	store_close(a);
	store_close(b);
}
END_TEST

START_TEST(test_expired)
{
	struct store *a = new_store(), *b = new_store();
	struct rdb_load l;
	fill(a, 10);
	ck_assert_int_eq(save(a, true), 0);
	int fd = open(file, O_RDONLY);
	init_load(&l, b);
	l.now_ms += 50000;
	ck_assert_int_eq(rdb_load_fd(&l, fd, file, 0), 0);
	ck_assert_uint_eq(l.expired, 1);
	ck_assert_uint_eq(l.keys, l.records - 1);
	store_flush(b, -1, false);
	l.keep_expired = true;
	ck_assert_int_eq(rdb_load_fd(&l, fd, file, 0), 0);
	ck_assert_uint_eq(l.expired, 0);
	ck_assert_uint_eq(l.keys, l.records);
	close(fd);
	store_close(a);
	store_close(b);
}
END_TEST

/* ------------------------------------------------------------------ damage */

/* SAFETY: silently wrong after a bit flip. */
START_TEST(test_bit_flips)
{
	struct store *a = new_store(), *b = new_store();
	struct rdb_load l;
	size_t len;
	fill(a, 12);
	ck_assert_int_eq(save(a, _i), 0);
	unsigned char *bytes = read_file(&len);
	init_load(&l, b);
	ck_assert_int_eq(rdb_load_bytes(&l, bytes, len), 0);
	store_flush(b, -1, false);
	for (size_t i = 0; i < len * 8; i++) {
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
		init_load(&l, b);
		ck_assert_msg(rdb_load_bytes(&l, bytes, len) != 0, "bit %zu of byte %zu: not noticed", i % 8, i / 8);
		ck_assert_msg(*l.error, "no reason given");
		store_flush(b, -1, false);
		rdb_functions_clear();
		bytes[i / 8] ^= (unsigned char)(1 << i % 8);
	}
	free(bytes);
	store_close(a);
	store_close(b);
}
END_TEST

/* SAFETY: a file cut at every byte. */
START_TEST(test_cut_everywhere)
{
	struct store *a = new_store(), *b = new_store();
	struct rdb_load l;
	size_t len;
	fill(a, 12);
	ck_assert_int_eq(save(a, true), 0);
	unsigned char *bytes = read_file(&len);
	for (size_t n = 0; n < len; n++) {
		/* a copy of exactly that size, so that a sanitizer sees a step too far */
		unsigned char *cut = malloc(n + 1);
		memcpy(cut, bytes, n);
		init_load(&l, b);
		ck_assert_int_eq(rdb_load_bytes(&l, cut, n), -EINVAL);
		ck_assert_uint_le(l.at, n);
		store_flush(b, -1, false);
		free(cut);
	}
	free(bytes);
	store_close(a);
	store_close(b);
}
END_TEST

/* What follows the data is left alone, and named. */
START_TEST(test_tail)
{
	struct store *a = new_store(), *b = new_store();
	struct rdb_load l;
	struct stat st;
	fill(a, 10);
	ck_assert_int_eq(save(a, true), 0);
	stat(file, &st);
	FILE *f = fopen(file, "ab");
	fputs("*1\r\n$4\r\nPING\r\n", f);
	fclose(f);
	ck_assert_int_eq(load(&l, b), 0);
	ck_assert_uint_eq(l.bytes, (uint64_t)st.st_size);
	store_close(a);
	store_close(b);
}
END_TEST

/* ------------------------------------------------------------------ files of other versions, byte by byte */

struct image {
	unsigned char b[4096];
	size_t n;
};

static void put(struct image *m, const void *bytes, size_t len)
{
	memcpy(m->b + m->n, bytes, len);
	m->n += len;
}
#define PUT(m, literal) put(m, literal, sizeof(literal) - 1)

static void begin_image(struct image *m, int version)
{
	char magic[16];
	m->n = 0;
	snprintf(magic, sizeof magic, "REDIS%04d", version);
	put(m, magic, 9);
}

static int load_image(struct image *m, int version, struct store *s, struct rdb_load *l)
{
	PUT(m, "\xff");
	uint64_t crc = crc64_update(0, m->b, m->n);
	if (version >= 5)
		put(m, &crc, 8);
	init_load(l, s);
	return rdb_load_bytes(l, m->b, m->n);
}

static void expect_value(struct store *s, unsigned db, const char *name, enum store_type_id type, const char *encoding,
                         size_t len)
{
	struct store_op op = fixture_op(s);
	struct store_key key = key_of(s, name);
	op.db = db;
	struct entry *e = store_find(&op, &key, STORE_PEEK);
	ck_assert_msg(e != NULL, "%s is missing", name);
	ck_assert_int_eq(entry_type(e), type);
	ck_assert_str_eq(entry_encoding_name(e), encoding);
	if (type == STORE_STRING) {
		ck_assert_uint_eq(entry_string_len(e), len);
		return;
	}
	const struct value v = value_of(e);
	ck_assert_uint_eq(type == STORE_LIST   ? list_len(&v)
	                  : type == STORE_SET  ? set_len(&v)
	                  : type == STORE_HASH ? hash_len(&v)
	                                       : zset_count(&v), len);
}

/* The values of Redis 2.x: linked lists, text scores, zipmaps, ziplists, times in seconds. */
static void put_old_values(struct image *m)
{
	PUT(m, "\xfe\x02");
	PUT(m, "\xfd\x00\x00\x00\x7f\x00\x01s\x05hello");
	PUT(m, "\x01\x01l\x03\x01" "a\x01" "b\xc0\x07");
	PUT(m, "\x02\x01t\x02\x01" "x\xc1\x10\x27");
	PUT(m, "\x03\x01z\x03\x01" "a\x03" "1.5\x01" "b\xfe\x01" "c\xff");
	PUT(m, "\x04\x01h\x01\x01" "f\x01v");
	PUT(m, "\x09\x02hm\x0c\x02\x01" "a\x01\x00" "1\x01" "b\x01\x00" "2\xff");
	PUT(m, "\x0a\x02lz\x18\x18\x00\x00\x00\x15\x00\x00\x00\x04\x00\x00\x02" "ab\x04\xc0\x10\x27\x04\xfe\x9c\x03\xf2\xff");
	PUT(m, "\x0b\x02ti\x0e\x02\x00\x00\x00\x03\x00\x00\x00\xff\xff\x01\x00\x05\x00");
	PUT(m, "\x0c\x02zz\x11\x11\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01" "m\x03\x01" "7\xff");
	PUT(m, "\x0d\x02hz\x11\x11\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01" "f\x03\x01" "v\xff");
}

START_TEST(test_old_versions)
{
	static const int versions[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
		struct store *s = new_store();
		struct image m;
		struct rdb_load l;
		begin_image(&m, versions[i]);
		put_old_values(&m);
		int err = load_image(&m, versions[i], s, &l);
		ck_assert_msg(err == 0, "version %d: %s at %llu", versions[i], l.error, (unsigned long long)l.at);
		ck_assert_uint_eq(l.keys, 10);
		expect_value(s, 2, "s", STORE_STRING, "embstr", 5);
		expect_value(s, 2, "l", STORE_LIST, "listpack", 3);
		expect_value(s, 2, "t", STORE_SET, "listpack", 2);
		expect_value(s, 2, "z", STORE_ZSET, "listpack", 3);
		expect_value(s, 2, "h", STORE_HASH, "listpack", 1);
		expect_value(s, 2, "hm", STORE_HASH, "listpack", 2);
		expect_value(s, 2, "lz", STORE_LIST, "listpack", 4);
		expect_value(s, 2, "ti", STORE_SET, "intset", 3);
		expect_value(s, 2, "zz", STORE_ZSET, "listpack", 1);
		expect_value(s, 2, "hz", STORE_HASH, "listpack", 1);
		struct store_op op = fixture_op(s);
		op.db = 2;
		struct store_key key = key_of(s, "s");
		ck_assert_int_eq(entry_expiry(store_find(&op, &key, STORE_PEEK)), 0x7f0000LL * 256 * 1000);
		store_close(s);
	}
}
END_TEST

START_TEST(test_new_forms)
{
	struct store *s = new_store();
	struct image m;
	struct rdb_load l;
	begin_image(&m, 11);
	PUT(&m, "\xfa\x09redis-ver\x05" "7.2.4\xfa\x08" "aof-base\xc0\x01\xfa\x05other\x01x");
	PUT(&m, "\xf5\x05" "code1");
	PUT(&m, "\xfe\x00\xfb\x05\x01");
	PUT(&m, "\x05\x01z\x01\x01m\x00\x00\x00\x00\x00\x00\xf8\x3f"); /* 1.5 */
	PUT(&m, "\x0e\x01q\x01\x0e\x0e\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x01" "a\xff");
	PUT(&m, "\xf8\x0a\x12\x02q2\x02\x02\x0a\x0a\x00\x00\x00\x01\x00\x81" "b\x02\xff\x01\x03" "xyz");
	PUT(&m, "\x14\x02sp\x0a\x0a\x00\x00\x00\x01\x00\x81" "b\x02\xff");
	PUT(&m, "\xf9\x05\x10\x02hp\x0d\x0d\x00\x00\x00\x02\x00\x81" "b\x02\x81" "c\x02\xff");
	PUT(&m, "\x11\x02zp\x0c\x0c\x00\x00\x00\x02\x00\x81" "b\x02\x07\x01\xff");
	int err = load_image(&m, 11, s, &l);
	ck_assert_msg(err == 0, "%s at %llu", l.error, (unsigned long long)l.at);
	ck_assert(l.info.aof_base);
	ck_assert_uint_eq(rdb_functions_count(), 1);
	expect_value(s, 0, "z", STORE_ZSET, "listpack", 1);
	expect_value(s, 0, "q", STORE_LIST, "listpack", 1);
	expect_value(s, 0, "q2", STORE_LIST, "quicklist", 2);
	expect_value(s, 0, "sp", STORE_SET, "listpack", 1);
	expect_value(s, 0, "hp", STORE_HASH, "listpack", 1);
	expect_value(s, 0, "zp", STORE_ZSET, "listpack", 1);
	/* Functions are written back. */
	ck_assert_int_eq(save(s, true), 0);
	rdb_functions_clear();
	store_flush(s, -1, false);
	ck_assert_int_eq(load(&l, s), 0);
	ck_assert_uint_eq(rdb_functions_count(), 1);
	rdb_functions_clear();
	store_close(s);
}
END_TEST

START_TEST(test_refused)
{
	static const struct {
		int version;
		const char *bytes;
		size_t len;
		const char *error;
	} cases[] = {
#define CASE(version, literal, error) { version, literal, sizeof(literal) - 1, error }
		CASE(12, "", "Can't handle RDB format version 12"),
		CASE(0, "", "Can't handle RDB format version 0"),
		CASE(9, "\xf7\x00", "data of a module, and there are no modules here"),
		CASE(9, "\x07\x01k\x00", "a value of a module, and there are no modules here"),
		CASE(9, "\x08\x01k\x00", "unknown type of value"),
		CASE(9, "\xf0", "unknown opcode"),
		CASE(10, "\xf6", "functions in the format of a release candidate of 7.0"),
		CASE(9, "\xfe\x40\xff", "a database number beyond `databases`"),
		CASE(9, "\x00\x01k\xc4\x00", "unknown encoding of a string"),
		CASE(9, "\x00\x01k\xc3\x01\x7f\x00\x00", "a compressed string claims more than it can hold"),
		CASE(9, "\x00\x01k\xc3\x02\x05\x00\x00", "a compressed string is damaged"),
		CASE(9, "\x02\x01k\x02\x01" "a\x01" "a", "a member of a set is there twice"),
		CASE(9, "\x04\x01k\x02\x01" "a\x01v\x01" "a\x01v", "a field of a hash is there twice"),
		CASE(9, "\x03\x01k\x01\x01" "a\xfd", "a score is not a number"),
		CASE(9, "\x0b\x01k\x08\x02\x00\x00\x00\x03\x00\x00\x00", "a packed value is damaged"),
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct store *s = new_store();
		struct image m;
		struct rdb_load l;
		begin_image(&m, cases[i].version);
		put(&m, cases[i].bytes, cases[i].len);
		ck_assert_int_eq(load_image(&m, cases[i].version, s, &l), -EINVAL);
		ck_assert_str_eq(l.error, cases[i].error);
		store_close(s);
	}
}
END_TEST

/* ------------------------------------------------------------------ disks that fail */

static unsigned files_here(void)
{
	char command[160];
	int n = 0;
	snprintf(command, sizeof command, "ls -A %s | wc -l", dir);
	FILE *f = popen(command, "r");
	ck_assert_int_eq(fscanf(f, "%d", &n), 1);
	pclose(f);
	return (unsigned)n;
}

/* SAFETY: disk full; fsync fails; a directory that cannot be synced. The old file stays, nothing half-made does. */
START_TEST(test_failing_disk)
{
	static const enum io_call calls[] = { IO_OPEN, IO_WRITE, IO_SYNC, IO_RENAME };
	struct store *a = new_store(), *b = new_store();
	struct rdb_load l;
	char want[2 * DIGEST_LEN + 1], got[2 * DIGEST_LEN + 1];
	fill(a, 3000);
	hex_of(a, want);
	ck_assert_int_eq(save(a, true), 0);
	struct store_op op = fixture_op(a);
	put_text(&op, "later", "not in the old file", STORE_NO_EXPIRY);
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		io_fail(calls[i], 0, 1, -ENOSPC);
		ck_assert_int_eq(save(a, true), -ENOSPC);
		ck_assert_uint_eq(files_here(), 1);
		ck_assert_int_eq(load(&l, b), 0);
		hex_of(b, got);
		ck_assert_str_eq(want, got);
		store_flush(b, -1, false);
	}
	io_fail(IO_SYNC_DIR, 0, 1, -EIO);
	ck_assert_int_eq(save(a, true), -EIO);
	io_fail(IO_READ, 0, 1, -EIO);
	ck_assert_int_eq(load(&l, b), -EIO);
	ck_assert_int_eq(save(a, true), 0);
	ck_assert_int_eq(load(&l, b), 0);
	store_close(a);
	store_close(b);
}
END_TEST

/* ------------------------------------------------------------------ */

static void make_dir(void)
{
	snprintf(dir, sizeof dir, "/tmp/test_rdb.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof file, "%s/dump.rdb", dir);
	config_reset();
}

static void remove_dir(void)
{
	unlink(file);
	rmdir(dir);
}

int main(void)
{
	Suite *s = suite_create("rdb");
	TCase *tc = tcase_create("rdb");
	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, make_dir, remove_dir);
	tcase_add_loop_test(tc, test_same_again, 0, 4);
	tcase_add_test(tc, test_expired);
	tcase_add_loop_test(tc, test_bit_flips, 0, 2);
	tcase_add_test(tc, test_cut_everywhere);
	tcase_add_test(tc, test_tail);
	tcase_add_test(tc, test_old_versions);
	tcase_add_test(tc, test_new_forms);
	tcase_add_test(tc, test_refused);
	tcase_add_test(tc, test_failing_disk);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

/* The file that appendfsync always writes in place: what it holds comes back, and nothing else ever does. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/journal/aof_wal.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

#define SEGMENT 3
#define GROUPS 30
#define SYNCED 100 /* bytes that were in the increment before the lap */
#define BOOT_AT 16 /* of the boot's id in the file */

static char dir[] = "/tmp/shoal-test-wal-XXXXXX", wal_path[64], unused_path[80], segment_path[64], expected[1 << 16];
static size_t ends[GROUPS + 1], len; /* of the increment after each group */
static uint64_t entry_at[GROUPS + 1];
static struct aof_manifest manifest;
static struct aof_wal wal;

static void put(const char *path, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

static void overwrite(const char *path, uint64_t at, const char *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, bytes, n, (off_t)at), (ssize_t)n);
	close(fd);
}

static void another_boot(void)
{
	overwrite(wal_path, BOOT_AT, "another", 8);
}

/* The increment is the first n bytes of what was written. */
static bool segment_is(size_t n)
{
	static char buf[sizeof expected + 1];
	int fd = open(segment_path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	ssize_t got = read(fd, buf, sizeof buf);
	close(fd);
	return got == (ssize_t)n && !memcmp(buf, expected, n);
}

static void append_groups(unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		entry_at[i] = wal.at;
		aof_wal_append(&wal, SEGMENT, ends[i], expected + ends[i], ends[i + 1] - ends[i]);
		ck_assert(aof_wal_reaches(&wal, SEGMENT, ends[i + 1]));
	}
	entry_at[to] = wal.at;
	ck_assert_int_eq(aof_wal_sync(&wal), 0);
}

/* The file of a lap with all groups. */
static void make_wal(void)
{
	ck_assert_int_eq(aof_wal_create(&wal, wal_path), 0);
	ck_assert(!aof_wal_reaches(&wal, SEGMENT, SYNCED));
	aof_wal_begin(&wal, SEGMENT, SYNCED);
	append_groups(0, GROUPS);
}

static void setup(void)
{
	struct rng rng = { 0 };
	rng_init(&rng, "aof_wal");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(wal_path, sizeof wal_path, "%s/a.wal", dir);
	snprintf(unused_path, sizeof unused_path, "%s.unused", wal_path);
	snprintf(segment_path, sizeof segment_path, "%s/a.3.incr.aof", dir);
	len = ends[0] = SYNCED;
	for (unsigned i = 0; i < GROUPS; i++)
		len = ends[i + 1] = len + 1 + rng_below(&rng, 1500);
	for (size_t i = 0; i < len; i++)
		expected[i] = (char)('!' + rng_below(&rng, 90));
	ck_assert_int_eq(aof_manifest_add(&manifest, "a.1.base.rdb", 1, AOF_BASE), 0);
	ck_assert_int_eq(aof_manifest_add(&manifest, "a.3.incr.aof", SEGMENT, AOF_INCR), 0);
}

static void teardown(void)
{
	aof_wal_close(&wal, true);
	aof_manifest_clear(&manifest);
	unlink(segment_path);
	unlink(unused_path);
	ck_assert_int_eq(rmdir(dir), 0); /* and nothing else was left in it */
	memcpy(strrchr(dir, '-') + 1, "XXXXXX", 6);
}

static int recover(void)
{
	return aof_wal_recover(wal_path, dir, &manifest);
}

static bool there(const char *path)
{
	return access(path, F_OK) == 0;
}

/* The increment, of n bytes, is not the lap's: nothing happens to it, and the file is kept. */
static void is_left_alone(size_t n)
{
	another_boot();
	ck_assert_int_eq(recover(), 0);
	ck_assert(segment_is(n));
	ck_assert(there(unused_path) && !there(wal_path));
}

/* ------------------------------------------------------------------ after a crash of the machine */

START_TEST(brings_back_what_is_missing)
{
	for (size_t cut = SYNCED; cut <= len; cut += cut + 997 < len || cut == len ? 997 : len - cut) {
		make_wal();
		another_boot();
		put(segment_path, expected, cut);
		ck_assert_int_eq(recover(), 0);
		ck_assert_msg(segment_is(len), "cut at %zu", cut);
		ck_assert(!there(wal_path));
		aof_wal_close(&wal, false);
	}
}
END_TEST

START_TEST(brings_back_blocks_of_zeros)
{
	static char holes[sizeof expected];
	make_wal();
	another_boot();
	memcpy(holes, expected, len);
	memset(holes + SYNCED + 1000, 0, 5000);
	put(segment_path, holes, len - 10);
	ck_assert_int_eq(recover(), 0);
	ck_assert(segment_is(len));
}
END_TEST

START_TEST(leaves_what_lies_behind)
{
	char more[sizeof expected];
	make_wal();
	another_boot();
	memcpy(more, expected, len);
	memcpy(more + len, "written, never acknowledged", 27);
	put(segment_path, more, len + 27);
	ck_assert_int_eq(recover(), 0);
	memcpy(expected + len, "written, never acknowledged", 27);
	ck_assert(segment_is(len + 27));
}
END_TEST

START_TEST(never_touches_what_others_wrote)
{
	char changed[sizeof expected];
	make_wal();
	memcpy(changed, expected, len);
	changed[len - 500] ^= 1;
	put(segment_path, changed, len - 200);
	memcpy(expected, changed, len);
	is_left_alone(len - 200);
}
END_TEST

START_TEST(never_fills_a_gap)
{
	make_wal();
	put(segment_path, expected, SYNCED - 1);
	is_left_alone(SYNCED - 1);
}
END_TEST

START_TEST(a_segment_that_was_rewritten)
{
	make_wal();
	another_boot();
	aof_manifest_clear(&manifest);
	ck_assert_int_eq(aof_manifest_add(&manifest, "a.4.incr.aof", SEGMENT + 1, AOF_INCR), 0);
	ck_assert_int_eq(recover(), 0);
	ck_assert(!there(wal_path) && !there(unused_path) && !there(segment_path));
}
END_TEST

START_TEST(other_files)
{
	ck_assert_int_eq(recover(), 0); /* none */
	put(wal_path, expected, 50);
	ck_assert_int_eq(recover(), 0);
	ck_assert(there(unused_path) && !there(wal_path));
	ck_assert_int_eq(aof_wal_create(&wal, wal_path), 0); /* nothing was acknowledged with it */
	ck_assert_int_eq(recover(), 0);
	ck_assert(!there(wal_path));
}
END_TEST

/* ------------------------------------------------------------------ after one of the process */

START_TEST(the_same_boot_takes_the_log_as_it_is)
{
	char text[128] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof text) <= 0)
		return; /* a system that does not tell its boots apart */
	close(fd);
	make_wal();
	put(segment_path, expected, len - 300); /* an operator took the last command out */
	ck_assert_int_eq(recover(), 0);
	ck_assert(segment_is(len - 300));
	ck_assert(!there(wal_path));
}
END_TEST

/* ------------------------------------------------------------------ damage */

/* What comes back is always a prefix, as long as the entries before the damage. */
START_TEST(flipped_bits)
{
	struct rng rng = { 0 };
	rng_init(&rng, "flipped_bits");
	for (unsigned round = 0; round < 40; round++) {
		make_wal();
		another_boot();
		put(segment_path, expected, SYNCED);
		unsigned group = (unsigned)rng_below(&rng, GROUPS);
		uint64_t bytes = 40 + ends[group + 1] - ends[group], at = entry_at[group] + rng_below(&rng, bytes);
		int fd = open(wal_path, O_RDWR | O_CLOEXEC);
		char byte;
		ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
		byte ^= (char)(1u << rng_below(&rng, 8));
		ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
		close(fd);
		ck_assert_int_eq(recover(), 0);
		ck_assert_msg(segment_is(ends[group]), "group %u, byte %llu", group, (unsigned long long)(at - entry_at[group]));
		aof_wal_close(&wal, true);
	}
}
END_TEST

START_TEST(an_earlier_lap)
{
	make_wal();
	aof_wal_begin(&wal, SEGMENT, ends[2]); /* the increment was synced up to there */
	append_groups(2, 5);
	another_boot();
	put(segment_path, expected, ends[3]);
	ck_assert_int_eq(recover(), 0);
	ck_assert(segment_is(ends[5]));
}
END_TEST

/* ------------------------------------------------------------------ laps */

START_TEST(a_gap_ends_the_lap)
{
	ck_assert_int_eq(aof_wal_create(&wal, wal_path), 0);
	aof_wal_begin(&wal, SEGMENT, 0);
	aof_wal_append(&wal, SEGMENT, 0, expected, 10);
	ck_assert(aof_wal_reaches(&wal, SEGMENT, 10) && !aof_wal_reaches(&wal, SEGMENT + 1, 10));
	aof_wal_append(&wal, SEGMENT, 11, expected, 10);
	ck_assert(!aof_wal_reaches(&wal, SEGMENT, 10) && !aof_wal_reaches(&wal, SEGMENT, 21));
	aof_wal_begin(&wal, SEGMENT, 0);
	aof_wal_append(&wal, SEGMENT + 1, 0, expected, 10);
	ck_assert(!aof_wal_reaches(&wal, SEGMENT + 1, 10));
}
END_TEST

START_TEST(a_full_file_ends_the_lap)
{
	uint64_t at = 0;
	size_t big = 1 << 20;
	char *bytes = malloc(big);
	memset(bytes, 'x', big);
	ck_assert_int_eq(aof_wal_create(&wal, wal_path), 0);
	aof_wal_begin(&wal, SEGMENT, 0);
	for (unsigned i = 0; i < AOF_WAL_BYTES / big - 1; i++, at += big) {
		aof_wal_append(&wal, SEGMENT, at, bytes, big);
		ck_assert(aof_wal_reaches(&wal, SEGMENT, at + big));
	}
	aof_wal_append(&wal, SEGMENT, at, bytes, big);
	ck_assert(!aof_wal_reaches(&wal, SEGMENT, at + big));
	free(bytes);
	struct stat st;
	ck_assert_int_eq(stat(wal_path, &st), 0);
	ck_assert_uint_eq((uint64_t)st.st_size, AOF_WAL_BYTES);
}
END_TEST

static int failing(void *ctx, enum io_call call, const char *path, size_t *n)
{
	(void)path, (void)n;
	return call == *(enum io_call *)ctx ? -EIO : 0;
}

START_TEST(a_failure_ends_the_lap)
{
	enum io_call call = IO_WRITE;
	ck_assert_int_eq(aof_wal_create(&wal, wal_path), 0);
	aof_wal_begin(&wal, SEGMENT, 0);
	io_set_fault(failing, &call);
	aof_wal_append(&wal, SEGMENT, 0, expected, 10);
	ck_assert(!aof_wal_reaches(&wal, SEGMENT, 10));
	aof_wal_begin(&wal, SEGMENT, 0);
	call = IO_SYNC;
	aof_wal_append(&wal, SEGMENT, 0, expected, 10);
	ck_assert_int_eq(aof_wal_sync(&wal), -EIO);
	ck_assert(!aof_wal_reaches(&wal, SEGMENT, 10));
	io_set_fault(NULL, NULL);
}
END_TEST

START_TEST(one_that_cannot_be_made_leaves_nothing)
{
	for (enum io_call call = IO_OPEN; call <= IO_RENAME; call++) {
		io_set_fault(failing, &call);
		ck_assert_int_eq(aof_wal_create(&wal, wal_path), -EIO);
		io_set_fault(NULL, NULL);
		ck_assert(!there(wal_path)); /* nor a temporary file, see teardown() */
	}
	wal.file.fd = -1;
}
END_TEST

/* After a failed fsync the kernel may have thrown away pages that only the wal still has. */
START_TEST(restores_what_a_failed_fsync_dropped)
{
	static char damaged[sizeof expected];
	make_wal();
	memcpy(damaged, expected, len);
	memset(damaged + SYNCED, 'z', len - SYNCED);
	put(segment_path, damaged, len);
	ck_assert_int_eq(aof_wal_restore(wal_path, dir, &manifest, len), 0);
	ck_assert(segment_is(len));
	ck_assert(there(wal_path));
	ck_assert_int_eq(truncate(segment_path, (off_t)ends[3]), 0);
	ck_assert_int_eq(aof_wal_restore(wal_path, dir, &manifest, ends[5]), 0);
	ck_assert(segment_is(ends[5])); /* the groups behind were never acknowledged */
	ck_assert_int_eq(aof_wal_restore(wal_path, dir, &manifest, len + 1), -EIO);
	enum io_call call = IO_SYNC;
	io_set_fault(failing, &call);
	ck_assert_int_eq(aof_wal_restore(wal_path, dir, &manifest, len), -EIO);
	io_set_fault(NULL, NULL);
}
END_TEST

START_TEST(a_cleared_file_brings_nothing_back)
{
	enum io_call call = IO_SYNC;
	for (unsigned failure = 0; failure < 2; failure++) {
		make_wal();
		put(segment_path, expected, ends[4]);
		io_set_fault(failure ? failing : NULL, &call);
		ck_assert_int_eq(aof_wal_clear(&wal), 0);
		io_set_fault(NULL, NULL);
		ck_assert(there(wal_path) == !failure);
		if (!failure)
			another_boot();
		ck_assert_int_eq(recover(), 0);
		ck_assert(segment_is(ends[4]));
		aof_wal_close(&wal, true);
	}
}
END_TEST

START_TEST(its_place)
{
	char out[64];
	ck_assert(aof_wal_path("/log/a.b.aof.manifest", out, sizeof out));
	ck_assert_str_eq(out, "/log/a.b.aof.wal");
	ck_assert(!aof_wal_path("/log/a.b.aof.manifest", out, sizeof "/log/a.b.aof.wal" - 1));
	ck_assert(!aof_wal_path("/log/a.b.aof", out, sizeof out));
	ck_assert(!aof_wal_path(".manifest", out, sizeof out));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("aof_wal");
	TCase *t = tcase_create("wal");
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, its_place);
	tcase_add_test(t, brings_back_what_is_missing);
	tcase_add_test(t, brings_back_blocks_of_zeros);
	tcase_add_test(t, leaves_what_lies_behind);
	tcase_add_test(t, never_touches_what_others_wrote);
	tcase_add_test(t, never_fills_a_gap);
	tcase_add_test(t, a_segment_that_was_rewritten);
	tcase_add_test(t, other_files);
	tcase_add_test(t, the_same_boot_takes_the_log_as_it_is);
	tcase_add_test(t, flipped_bits);
	tcase_add_test(t, an_earlier_lap);
	tcase_add_test(t, a_gap_ends_the_lap);
	tcase_add_test(t, a_full_file_ends_the_lap);
	tcase_add_test(t, a_failure_ends_the_lap);
	tcase_add_test(t, one_that_cannot_be_made_leaves_nothing);
	tcase_add_test(t, restores_what_a_failed_fsync_dropped);
	tcase_add_test(t, a_cleared_file_brings_nothing_back);
	suite_add_tcase(s, t);
	return suite_run(s);
}

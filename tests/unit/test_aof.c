/* The bytes of the append-only log: records, their checksums, what a cut or a flipped bit does; the manifest. */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/journal/aof_format.h"
#include "server/journal/aof_manifest.h"
#include "server/journal/io.h"
#include "tests/lib/rng.h"
#include "tests/lib/suite.h"

#define RECORDS 40

static struct aof_out out;
static size_t ends[RECORDS + 1]; /* where record i ends; [0] is 0 */

static const char set_command[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
static const char two_commands[] = "*1\r\n$1\r\na\r\n*2\r\n$1\r\nb\r\n$3\r\n*\r\n\r\n";

/* A log of several kinds of records. */
static void setup(void)
{
	aof_out_restart(&out);
	out.len = 0;
	for (unsigned i = 0; i < RECORDS; i++) {
		bool many = i % 5 == 3;
		const char *p = many ? two_commands : set_command;
		size_t len = many ? sizeof two_commands - 1 : sizeof set_command - 1;
		ck_assert(aof_out_record(&out, i / 7, many ? 2 : 1, p, len, i % 11 == 10 ? 1000 + i : 0));
		ends[i + 1] = out.len;
	}
}

static void teardown(void)
{
	aof_out_clear(&out);
}

/* Scan to the end; the number of units in *n, the end of the last one in *end. */
static int scan(const char *bytes, size_t len, size_t *n, uint64_t *end, struct aof_scan *keep)
{
	struct aof_scan s;
	struct aof_unit u;
	int r;
	*n = 0;
	*end = 0;
	aof_scan_init_bytes(&s, bytes, len);
	while ((r = aof_scan_next(&s, &u)) == 1) {
		struct resp_args args = { 0 };
		const char *p = u.bytes;
		size_t left = u.len;
		while (left) { /* what passed the scan can be taken apart */
			ssize_t used = aof_unit_command(p, left, &args);
			ck_assert_int_gt(used, 0);
			p += used;
			left -= (size_t)used;
		}
		free(args.v);
		++*n;
		*end = u.end;
	}
	if (keep)
		*keep = s;
	aof_scan_clear(&s);
	return r;
}

START_TEST(whole)
{
	size_t n;
	uint64_t end;
	ck_assert_int_eq(scan(out.buf, out.len, &n, &end, NULL), 0);
	ck_assert_uint_eq(n, RECORDS);
	ck_assert_uint_eq(end, out.len);
	ck_assert_int_eq(scan("", 0, &n, &end, NULL), 0);
}
END_TEST

START_TEST(content)
{
	struct aof_scan s;
	struct aof_unit u;
	static const char first[] = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n";
	aof_scan_init_bytes(&s, out.buf, out.len);
	ck_assert_int_eq(aof_scan_next(&s, &u), 1);
	ck_assert(u.checked && u.len == sizeof first - 1 && memcmp(u.bytes, first, u.len) == 0);
	for (int i = 1; i < 4; i++)
		ck_assert_int_eq(aof_scan_next(&s, &u), 1);
	ck_assert(memcmp(u.bytes, "*1\r\n$5\r\nMULTI\r\n*1\r\n", 19) == 0);
	ck_assert(memcmp(u.bytes + u.len - 14, "*1\r\n$4\r\nEXEC\r\n", 14) == 0);
	for (int i = 4; i < 11; i++)
		ck_assert_int_eq(aof_scan_next(&s, &u), 1);
	ck_assert(memcmp(u.bytes, "#TS:1010\r\n", 10) == 0);
	aof_scan_clear(&s);
}
END_TEST

/* Cut anywhere: the units that are whole, and nothing else, come out. */
START_TEST(cut_at_every_byte)
{
	for (size_t len = 0; len <= out.len; len++) {
		size_t n, whole_units = 0;
		uint64_t end;
		struct aof_scan s;
		while (whole_units < RECORDS && ends[whole_units + 1] <= len)
			whole_units++;
		int r = scan(out.buf, len, &n, &end, &s);
		ck_assert_uint_eq(n, whole_units);
		ck_assert_uint_eq(end, ends[whole_units]);
		if (len == ends[whole_units]) {
			ck_assert_int_eq(r, 0);
		} else {
			ck_assert_int_eq(r, -ENODATA);
			ck_assert_uint_eq(s.at, ends[whole_units]);
		}
	}
}
END_TEST

/* A flipped bit is found: the scan never gets past it, and never calls it a torn tail. */
START_TEST(every_bit_flip)
{
	char *copy = malloc(out.len);
	memcpy(copy, out.buf, out.len);
	for (size_t bit = 0; bit < out.len * 8; bit++) {
		size_t n, at = bit / 8, sound = 0;
		uint64_t end;
		copy[at] = (char)(copy[at] ^ 1 << bit % 8);
		while (ends[sound + 1] <= at)
			sound++;
		int r = scan(copy, out.len, &n, &end, NULL);
		ck_assert_msg(r == -EINVAL, "bit %zu: %d", bit, r);
		ck_assert_msg(n == sound, "bit %zu: %zu units", bit, n);
		copy[at] = (char)(copy[at] ^ 1 << bit % 8);
	}
	free(copy);
}
END_TEST

/* A record that is missing, repeated or moved breaks the chain. */
START_TEST(order)
{
	size_t n;
	uint64_t end;
	char *copy = malloc(2 * out.len);
	for (unsigned i = 0; i + 1 < RECORDS; i++) {
		memcpy(copy, out.buf, ends[i]);
		memcpy(copy + ends[i], out.buf + ends[i + 1], out.len - ends[i + 1]);
		ck_assert_int_eq(scan(copy, out.len - (ends[i + 1] - ends[i]), &n, &end, NULL), -EINVAL);
		ck_assert_uint_eq(n, i);
		memcpy(copy, out.buf, ends[i + 1]);
		memcpy(copy + ends[i + 1], out.buf + ends[i], out.len - ends[i]);
		ck_assert_int_eq(scan(copy, out.len + ends[i + 1] - ends[i], &n, &end, NULL), -EINVAL);
		ck_assert_uint_eq(n, i + 1);
	}
	free(copy);
}
END_TEST

/* What redis-server appends to a log of ours, and logs that know no checksums. */
START_TEST(plain_records)
{
	static const char select_set[] = "#TS:5\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n";
	static const char multi[] = "*1\r\n$5\r\nMULTI\r\n*1\r\n$1\r\na\r\n#TS:7\r\n*1\r\n$1\r\nb\r\n*1\r\n$4\r\nexec\r\n";
	size_t n, len;
	uint64_t end;
	char *copy = malloc(out.len + 4096);
	memcpy(copy, out.buf, out.len);
	memcpy(copy + out.len, select_set, sizeof select_set - 1);
	len = out.len + sizeof select_set - 1;
	ck_assert_int_eq(scan(copy, len, &n, &end, NULL), 0);
	ck_assert_uint_eq(n, RECORDS + 2);
	/* without the SELECT it is a record whose checksum got lost; and no checksum follows one without */
	memcpy(copy + out.len, set_command, sizeof set_command - 1);
	ck_assert_int_eq(scan(copy, out.len + sizeof set_command - 1, &n, &end, NULL), -EINVAL);
	memcpy(copy, select_set, sizeof select_set - 1);
	memcpy(copy + sizeof select_set - 1, out.buf, out.len);
	ck_assert_int_eq(scan(copy, out.len + sizeof select_set - 1, &n, &end, NULL), -EINVAL);
	ck_assert_uint_eq(n, 2);
	/* a transaction is one unit, wherever it is cut */
	memcpy(copy, set_command, sizeof set_command - 1);
	memcpy(copy + sizeof set_command - 1, multi, sizeof multi - 1);
	for (size_t i = sizeof set_command - 1; i <= sizeof set_command + sizeof multi - 2; i++) {
		int r = scan(copy, i, &n, &end, NULL);
		bool all = i == sizeof set_command + sizeof multi - 2;
		ck_assert_int_eq(r, all || i == sizeof set_command - 1 ? 0 : -ENODATA);
		ck_assert_uint_eq(n, all ? 2 : 1);
	}
	free(copy);
}
END_TEST

START_TEST(malformed)
{
	static const char *const bad[] = { "PING\r\n", "*0\r\n", "*-1\r\n", "*1\r\n:1\r\n", "$1\r\na\r\n", "*x\r\n", "#CRC:x\n",
		                           "*1\r\n$1\r\nab\r\n", "\n", "#CRC:0123456789abcdef,1,2\nx" };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		size_t n;
		uint64_t end;
		int r = scan(bad[i], strlen(bad[i]), &n, &end, NULL);
		ck_assert_msg(r == -EINVAL, "%zu: %d", i, r);
		ck_assert_uint_eq(n, 0);
	}
}
END_TEST

/* From a file, over the ends of the scanner's steps. */
START_TEST(file)
{
	char path[] = "/tmp/shoal-aof-XXXXXX";
	int fd = mkstemp(path), r;
	struct aof_out big = { .db = AOF_NO_DB };
	struct aof_scan s;
	struct aof_unit u;
	struct rng rng;
	size_t n = 0;
	char *value = malloc(400000);
	memset(value, 'v', 400000);
	rng.s = 7;
	for (int i = 0; i < 300; i++) {
		char *p = malloc(400100);
		size_t len = i % 40 == 39 ? 300000 : (size_t)(rng_next(&rng) % 3000);
		int head = snprintf(p, 100, "*2\r\n$4\r\nECHO\r\n$%zu\r\n", len);
		memcpy(p + head, value, len);
		memcpy(p + head + len, "\r\n", 2);
		ck_assert(i < 200 ? aof_out_record(&big, 0, 1, p, (size_t)head + len + 2, 0) : true);
		if (i == 200)
			ck_assert(write(fd, big.buf, big.len) == (ssize_t)big.len);
		if (i == 200)
			ck_assert(write(fd, "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n", 23) == 23);
		if (i >= 200)
			ck_assert(write(fd, p, (size_t)head + len + 2) == head + (ssize_t)len + 2);
		free(p);
	}
	aof_scan_init(&s, fd, path, 0);
	while ((r = aof_scan_next(&s, &u)) == 1)
		n++;
	ck_assert_msg(r == 0, "%s at %llu", s.error, (unsigned long long)s.at);
	ck_assert_uint_eq(n, 301);
	aof_scan_clear(&s);
	io_fail(IO_READ, 2, 1, -EIO);
	aof_scan_init(&s, fd, path, 0);
	while ((r = aof_scan_next(&s, &u)) == 1)
		;
	ck_assert_int_eq(r, -EIO);
	aof_scan_clear(&s);
	io_fail(IO_READ, 0, 0, 0);
	aof_out_clear(&big);
	free(value);
	close(fd);
	unlink(path);
}
END_TEST

/* ------------------------------------------------------------------ manifest */

static int parse(struct aof_manifest *m, const char *text)
{
	char error[128];
	int err = aof_manifest_parse(m, text, strlen(text), error, sizeof error);
	ck_assert(!err == !*error);
	return err;
}

START_TEST(manifest_lines)
{
	struct aof_manifest m = { 0 };
	size_t len;
	ck_assert_int_eq(parse(&m, "# comment\nfile a.1.base.rdb seq 1 type b\nseq 3 type i file a.3\nfile \"b \\x41\\\"\" seq 4 type i\n"
	                           "file old seq 1 type h\n"), 0);
	ck_assert_uint_eq(m.n, 4);
	ck_assert_str_eq(aof_manifest_base(&m)->name, "a.1.base.rdb");
	ck_assert_str_eq(aof_manifest_last_incr(&m)->name, "b A\"");
	ck_assert_uint_eq(aof_manifest_top(&m, AOF_INCR), 4);
	char *text = aof_manifest_text(&m, &len);
	ck_assert_str_eq(text, "file a.1.base.rdb seq 1 type b\nfile old seq 1 type h\nfile a.3 seq 3 type i\n"
	                       "file \"b A\\\"\" seq 4 type i\n");
	aof_manifest_retire(&m, 4);
	ck_assert_ptr_null(aof_manifest_base(&m));
	aof_manifest_drop_history(&m);
	ck_assert_uint_eq(m.n, 1);
	aof_manifest_clear(&m);
	free(text);
}
END_TEST

START_TEST(manifest_refused)
{
	static const char *const bad[] = {
		"", "# only\n", "file a seq 1 type b", "file a seq 1\n", "file a seq 1 type x\n", "file a seq 0 type b\n",
		"file a seq -1 type b\n", "file a seq 1 type b\nfile b seq 2 type b\n", "file a seq 2 type i\nfile b seq 2 type i\n",
		"file a seq 2 type i\nfile b seq 1 type i\n", "file ../a seq 1 type b\n", "file \"a seq 1 type b\n",
		"file a seq 99999999999999999999 type b\n", "file \"\" seq 1 type b\n", "file a seq 1 type b x\n", "\n",
	};
	struct aof_manifest m = { 0 };
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		ck_assert_msg(parse(&m, bad[i]) == -EINVAL, "%zu", i);
		ck_assert_uint_eq(m.n, 0);
	}
}
END_TEST

/* Whatever is taken comes out as lines that can be read again: a name in UTF-8 as it is, one with too many escapes not. */
START_TEST(manifest_long_names)
{
	struct aof_manifest m = { 0 }, again = { 0 };
	char name[AOF_NAME_MAX] = "", line[AOF_LINE_MAX + 64];
	size_t len;
	for (int i = 0; i < 85; i++)
		memcpy(name + 3 * i, "\xe8\xb2\x9d", 4);
	snprintf(line, sizeof line, "file %s seq 1 type b\n", name);
	ck_assert_int_eq(parse(&m, line), 0);
	char *text = aof_manifest_text(&m, &len);
	ck_assert_str_eq(text, line);
	ck_assert_int_eq(parse(&again, text), 0);
	free(text);
	aof_manifest_clear(&again);
	memset(name, 1, 250);
	memcpy(name + 250, "xxxx", 5); /* with "file ", quotes, " seq 1 type i" and the end: 1,025 */
	ck_assert_int_eq(aof_manifest_add(&m, name, 1, AOF_INCR), -ENAMETOOLONG);
	name[253] = 0;
	ck_assert_int_eq(aof_manifest_add(&m, name, 1, AOF_INCR), 0);
	text = aof_manifest_text(&m, &len);
	ck_assert_int_eq(parse(&again, text), 0);
	ck_assert_str_eq(again.v[1].name, name);
	free(text);
	aof_manifest_clear(&again);
	ck_assert_int_eq(aof_manifest_add(&m, name, 10, AOF_INCR), -ENAMETOOLONG);
	memset(line, 1, 260);
	memcpy(line, "file ", 5);
	memcpy(line + 260, " seq 1 type b\n", 15);
	ck_assert_int_eq(parse(&again, line), -EINVAL);
	aof_manifest_clear(&m);
}
END_TEST

/* Any call may fail: then the old one stands, and no temporary file is left. */
START_TEST(manifest_write_fails)
{
	char dir[] = "/tmp/shoal-aof-XXXXXX", path[64], error[128];
	struct aof_manifest m = { 0 }, read = { 0 };
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/m.manifest", dir);
	ck_assert_int_eq(parse(&m, "file a seq 1 type b\n"), 0);
	ck_assert_int_eq(aof_manifest_write(&m, path), 0);
	aof_manifest_clear(&m);
	ck_assert_int_eq(parse(&m, "file b seq 2 type b\n"), 0);
	static const enum io_call calls[] = { IO_OPEN, IO_WRITE, IO_SYNC, IO_RENAME };
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		io_fail(calls[i], 0, 1, -ENOSPC);
		ck_assert_int_eq(aof_manifest_write(&m, path), -ENOSPC);
		ck_assert_int_eq(aof_manifest_read(&read, path, error, sizeof error), 0);
		ck_assert_str_eq(read.v[0].name, "a");
		aof_manifest_clear(&read);
	}
	ck_assert_int_eq(aof_manifest_write(&m, path), 0);
	ck_assert_int_eq(aof_manifest_read(&read, path, error, sizeof error), 0);
	ck_assert_str_eq(read.v[0].name, "b");
	aof_manifest_clear(&read);
	aof_manifest_clear(&m);
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0); /* and nothing else is in it */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("aof");
	TCase *t = tcase_create("format"), *m = tcase_create("manifest");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, whole);
	tcase_add_test(t, content);
	tcase_add_test(t, cut_at_every_byte);
	tcase_add_test(t, every_bit_flip);
	tcase_add_test(t, order);
	tcase_add_test(t, plain_records);
	tcase_add_test(t, malformed);
	tcase_add_test(t, file);
	suite_add_tcase(s, t);
	tcase_add_test(m, manifest_lines);
	tcase_add_test(m, manifest_refused);
	tcase_add_test(m, manifest_long_names);
	tcase_add_test(m, manifest_write_fails);
	suite_add_tcase(s, m);
	return suite_run(s);
}

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/clock.h"
#include "server/log.h"
#include "tests/lib/suite.h"

static char path[64];
static char text[1 << 20];

static void open_log_file(void)
{
	snprintf(path, sizeof path, "/tmp/test-log-XXXXXX");
	int fd = mkstemp(path);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(log_open(LOG_LEVEL_NOTICE, path, NULL, 0), 0);
}

static void close_log_file(void)
{
	log_open(LOG_LEVEL_NOTICE, "", NULL, 0);
	unlink(path);
}

static const char *written(void)
{
	FILE *f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	text[fread(text, 1, sizeof text - 1, f)] = '\0';
	fclose(f);
	return text;
}

START_TEST(layout)
{
	int pid, day, year, hour, minute, second, ms;
	char role, month[4], level, rest[64];

	log_set_role('M');
	log_warning("hello %d", 5);
	ck_assert_int_eq(sscanf(written(), "%d:%c %d %3s %d %d:%d:%d.%3d %c %63[^\n]", &pid, &role, &day, month, &year, &hour,
	                        &minute, &second, &ms, &level, rest), 11);
	ck_assert_int_eq(pid, getpid());
	ck_assert_int_eq(role, 'M');
	ck_assert_int_eq(level, '#');
	ck_assert_str_eq(rest, "hello 5");
	ck_assert_int_eq(text[strlen(text) - 1], '\n');
}
END_TEST

START_TEST(levels)
{
	log_verbose("no");
	log_notice("yes");
	log_set_level(LOG_LEVEL_NOTHING);
	log_warning("no");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("yes");
	ck_assert_ptr_null(strstr(written(), "no"));
	ck_assert_ptr_nonnull(strstr(text, " * yes\n"));
	ck_assert_ptr_nonnull(strstr(text, " . yes\n"));
	ck_assert(log_enabled(LOG_LEVEL_DEBUG));
}
END_TEST

START_TEST(no_forged_lines)
{
	log_notice("%s", "name\n1:M 01 Jan 2020 # forged\r\x1b[2J");
	written();
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
	ck_assert_ptr_null(strchr(text, '\x1b'));
}
END_TEST

START_TEST(long_lines_are_cut)
{
	char *longer = malloc(10001);
	memset(longer, 'x', 10000);
	longer[10000] = '\0';
	log_notice("%s", longer);
	log_notice("next");
	free(longer);
	written();
	ck_assert_ptr_nonnull(strstr(text, "x\n"));
	ck_assert_ptr_nonnull(strstr(text, " * next\n"));
}
END_TEST

START_TEST(follows_rotation)
{
	char moved[80];

	log_notice("before");
	snprintf(moved, sizeof moved, "%s.1", path);
	ck_assert_int_eq(rename(path, moved), 0);
	log_notice("after");
	ck_assert_ptr_nonnull(strstr(written(), "after"));
	ck_assert_ptr_null(strstr(text, "before"));
	unlink(moved);
}
END_TEST

START_TEST(missing_directory)
{
	ck_assert_int_eq(log_open(LOG_LEVEL_NOTICE, "/no/where/log", NULL, 0), -ENOENT);
}
END_TEST

enum { THREADS = 4, LINES = 500 };

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_notice("thread %d line %d end", *(int *)arg, i);
	return NULL;
}

START_TEST(whole_lines_from_threads)
{
	pthread_t threads[THREADS];
	int ids[THREADS], lines = 0;

	for (int i = 0; i < THREADS; i++) {
		ids[i] = i;
		ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	written();
	for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save), lines++) {
		int thread, number;
		char *rest = strstr(line, " * thread ");
		ck_assert_ptr_nonnull(rest);
		ck_assert_int_eq(sscanf(rest, " * thread %d line %d end", &thread, &number), 2);
		ck_assert_str_eq(line + strlen(line) - 4, " end");
	}
	ck_assert_int_eq(lines, THREADS * LINES);
}
END_TEST

START_TEST(clocks)
{
	int64_t wall = clock_wall_us(), outer = clock_mono_us();
	uint64_t ticks = clock_ticks();
	int64_t mono = clock_mono_us();

	clock_set_offset_us(3600 * 1000000LL);
	ck_assert_int_ge(clock_wall_us() - wall, 3599 * 1000000LL);
	clock_set_offset_us(0);
	while (clock_mono_us() - mono < 20000)
		;
	/* Ticks and microseconds measure the same time: no less than what lies within, no more than what lies around. */
	double inner = (double)(clock_mono_us() - mono);
	ticks = clock_ticks() - ticks;
	double around = (double)(clock_mono_us() - outer), us = (double)ticks / clock_ticks_per_us();
	ck_assert_double_ge(us, inner * 0.95 - 1000.0);
	ck_assert_double_le(us, around * 1.05 + 1000.0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("log");
	TCase *tc = tcase_create("log");
	tcase_add_checked_fixture(tc, open_log_file, close_log_file);
	const TTest *const tests[] = { layout, levels, no_forged_lines, long_lines_are_cut, follows_rotation,
		missing_directory, whole_lines_from_threads, clocks };
	for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
		tcase_add_test(tc, tests[i]);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}

/* The example of store/README.md, taken from there by make, does what it says. */
int store_example(void);
#define main store_example
#include "gen/store_example.c"
#undef main

#include <unistd.h>

#include "tests/lib/store_fixture.h"
#include "tests/lib/suite.h"

START_TEST(test_example)
{
	char out[1000] = "";
	FILE *f = tmpfile();
	int saved = dup(STDOUT_FILENO);
	fflush(stdout);
	dup2(fileno(f), STDOUT_FILENO);
	int status = store_example();
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	rewind(f);
	ck_assert_uint_gt(fread(out, 1, sizeof out - 1, f), 0);
	fclose(f);
	ck_assert_int_eq(status, 0);
	ck_assert_ptr_nonnull(strstr(out, "visits = 4000 (int)\n"));
	ck_assert_ptr_nonnull(strstr(out, "login = alice (embstr)\n"));
	ck_assert_ptr_nonnull(strstr(out, "\n2 of 2 keys, 1 will expire\n1 expired, 1 left\n"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store_readme");
	TCase *tc = tcase_create("readme");
	tcase_add_test(tc, test_example);
	suite_add_tcase(s, tc);
	return suite_run(s);
}

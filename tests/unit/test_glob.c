#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/glob.h"
#include "tests/lib/suite.h"

/* Every answer here is that of redis-server 7.0.15 (KEYS; COMMAND LIST FILTERBY PATTERN for nocase). */
static const struct {
	const char *pattern, *str;
	bool nocase, match;
} cases[] = {
	{"", "", 0, 1}, {"", "a", 0, 0}, {"*", "", 0, 1}, {"**", "", 0, 0}, {"***", "", 0, 0}, {"a", "", 0, 0},
	{"*", "abc", 0, 1}, {"**", "abc", 0, 1}, {"a*", "a", 0, 1}, {"a**", "a", 0, 1}, {"*a", "a", 0, 1},
	{"a*c", "abbbc", 0, 1}, {"a*c", "ac", 0, 1}, {"a*c", "acb", 0, 0}, {"a*b*c", "axbyc", 0, 1},
	{"a*bc*d", "abcbd", 0, 1}, {"*abc", "ababc", 0, 1}, {"*ab*ab", "ab", 0, 0}, {"*ab*ab", "aab", 0, 0},
	{"*ab*ab", "abab", 0, 1}, {"*ab*b", "ab", 0, 0}, {"?", "", 0, 0}, {"?", "a", 0, 1}, {"?", "ab", 0, 0},
	{"*?", "a", 0, 1}, {"?*?", "a", 0, 0}, {"?*?", "ab", 0, 1}, {"h?llo", "hello", 0, 1}, {"h?llo", "hllo", 0, 0},
	{"*?b*", "ab", 0, 1}, {"*?b*", "b", 0, 0}, {"*[ab]?c", "xxaxc", 0, 1}, {"*[ab]?c", "xxacc", 0, 1},
	{"h[ae]llo", "hallo", 0, 1}, {"h[ae]llo", "hillo", 0, 0}, {"h[^e]llo", "hallo", 0, 1},
	{"h[^e]llo", "hello", 0, 0}, {"h[a-c]llo", "hbllo", 0, 1}, {"h[a-c]llo", "hdllo", 0, 0},
	{"h[c-a]llo", "hbllo", 0, 1}, {"[a-c-e]", "-", 0, 1}, {"[a-c-e]", "d", 0, 0}, {"[-a]", "-", 0, 1},
	{"[a-]", "-", 0, 0}, {"[a-]", "a", 0, 1}, {"[a-]", "]", 0, 1}, {"[a-]]", "b", 0, 0}, {"[a", "a", 0, 1},
	{"[a", "b", 0, 0}, {"[", "a", 0, 0}, {"[", "[", 0, 0}, {"[]", "a", 0, 0}, {"[]", "]", 0, 0}, {"[^", "a", 0, 1},
	{"[^]", "a", 0, 1}, {"[^]", "]", 0, 1}, {"[^]a", "xa", 0, 1}, {"[]a]", "a]", 0, 0}, {"[a^]", "^", 0, 1},
	{"[\\]]", "]", 0, 1}, {"[\\]]", "\\", 0, 0}, {"[\\-a]", "-", 0, 1}, {"[a\\-z]", "-", 0, 1},
	{"[a\\-z]", "m", 0, 0}, {"[a-\\z]", "b", 0, 0}, {"[a-\\z]", "z", 0, 1}, {"[\\", "\\", 0, 1}, {"[\\", "a", 0, 0},
	{"[*]", "*", 0, 1}, {"[*]", "a", 0, 0}, {"[*", "*", 0, 1}, {"[?]", "x", 0, 0}, {"a[b*", "ab", 0, 1},
	{"a[b*", "abc", 0, 0}, {"\\a", "a", 0, 1}, {"\\*", "*", 0, 1}, {"\\*", "a", 0, 0}, {"\\?", "?", 0, 1},
	{"\\[a]", "[a]", 0, 1}, {"\\", "\\", 0, 1}, {"a\\", "a\\", 0, 1}, {"\\\\", "\\", 0, 1}, {"\\\\", "\\\\", 0, 0},
	{"*\\*b", "aa*b", 0, 1}, {"*\\*b", "aaab", 0, 0}, {"\\*\\", "*\\", 0, 1}, {"abc", "abcd", 0, 0},
	{"abcd", "abc", 0, 0}, {"[\x80-a]", "\xff", 0, 1}, {"[\x80-a]", "b", 0, 0}, {"[\x80-a]", "0", 0, 1},
	{"[\x81-\x83]", "\x82", 0, 1}, {"\xff*", "\xff\xfe", 0, 1}, {"GET", "get", 0, 0}, {"GET", "get", 1, 1},
	{"*Get*", "getex", 1, 1}, {"[F-H]et", "get", 1, 1}, {"[F-h]et", "get", 1, 1}, {"[\\G]et", "get", 1, 0},
	{"[^G]et", "get", 1, 0}, {"[^\\G]et", "get", 1, 1}, {"[G]e\\T", "get", 1, 1}, {"*E*e*", "getex", 1, 1},
};

START_TEST(test_table)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *p = cases[i].pattern, *s = cases[i].str;
		ck_assert_msg(glob_match(p, strlen(p), s, strlen(s), cases[i].nocase) == cases[i].match, "%s ~ %s", p, s);
	}
}
END_TEST

/* The plain recursive definition over parsed tokens, slow and obvious. */
struct token {
	bool star, set[256];
};

static int lower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static size_t model_class(struct token *t, const char *p, size_t n, size_t i, bool nocase)
{
	bool not = i < n && p[i] == '^', in[256] = {false};
	for (i += not; i < n && p[i] != ']';) {
		size_t used = n - i >= 2 && p[i] == '\\' ? 2 : n - i >= 3 && p[i + 1] == '-' ? 3 : 1;
		for (int b = 0; b < 256; b++) {
			signed char c = (signed char)b;
			if (used == 2 && p[i + 1] == c)
				in[b] = true;
			if (used == 1 && (nocase ? lower(p[i]) == lower(c) : p[i] == c))
				in[b] = true;
			int lo = p[i], hi = used == 3 ? p[i + 2] : 0;
			if (lo > hi) {
				int swap = lo;
				lo = hi;
				hi = swap;
			}
			if (used == 3 && (nocase ? lower(c) >= lower(lo) && lower(c) <= lower(hi) : c >= lo && c <= hi))
				in[b] = true;
		}
		i += used;
	}
	for (int b = 0; b < 256; b++)
		t->set[b] = in[b] != not;
	return i < n ? i + 1 : i;
}

static size_t model_parse(struct token *t, const char *p, size_t n, bool nocase)
{
	size_t k = 0;
	for (size_t i = 0; i < n; k++) {
		memset(&t[k], 0, sizeof t[k]);
		if (p[i] == '*') {
			t[k].star = true;
			i++;
		} else if (p[i] == '?') {
			memset(t[k].set, true, 256);
			i++;
		} else if (p[i] == '[') {
			i = model_class(&t[k], p, n, i + 1, nocase);
		} else {
			i += n - i >= 2 && p[i] == '\\';
			for (int b = 0; b < 256; b++)
				t[k].set[b] = nocase ? lower((signed char)b) == lower(p[i]) : (signed char)b == p[i];
			i++;
		}
	}
	return k;
}

static bool model_match(const struct token *t, size_t k, const char *s, size_t n)
{
	if (!k)
		return !n;
	if (t->star)
		return model_match(t + 1, k - 1, s, n) || (n && model_match(t, k, s + 1, n - 1));
	return n && t->set[(unsigned char)*s] && model_match(t + 1, k - 1, s + 1, n - 1);
}

START_TEST(test_random)
{
	unsigned seed = getenv("SEED") ? (unsigned)strtoul(getenv("SEED"), NULL, 10) : (unsigned)time(NULL);
	printf("test_glob random: SEED=%u\n", seed);
	static const char pat_bytes[] = "aabbAB-]\\\\^**[[??c\x80\xff", str_bytes[] = "aabbbAB-]\\^*c\x80\xff";
	struct token tokens[16];
	unsigned hits = 0;
	for (int i = 0; i < 300000; i++) {
		char p[12], s[12];
		size_t pn = (size_t)rand_r(&seed) % 11, sn = 1 + (size_t)rand_r(&seed) % 10;
		for (size_t j = 0; j < pn; j++)
			p[j] = pat_bytes[(size_t)rand_r(&seed) % (sizeof pat_bytes - 1)];
		for (size_t j = 0; j < sn; j++)
			s[j] = str_bytes[(size_t)rand_r(&seed) % (sizeof str_bytes - 1)];
		bool nocase = i & 1;
		bool want = model_match(tokens, model_parse(tokens, p, pn, nocase), s, sn);
		hits += want;
		ck_assert_msg(glob_match(p, pn, s, sn, nocase) == want, "%.*s ~ %.*s want %d", (int)pn, p, (int)sn, s, want);
	}
	ck_assert_uint_gt(hits, 3000);
}
END_TEST

static double cpu_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* SAFETY: glob (CVE-2022-36021, 2024-31228): a*a*a*...b and very long patterns. */
START_TEST(test_safety_glob_many_stars)
{
#ifdef __SANITIZE_THREAD__
	enum { N = 1 << 14 }; /* each search in memory is watched over its whole length */
#else
	enum { N = 1 << 20 };
#endif
	char *p = malloc(N), *s = malloc(N);
	memset(s, 'a', N);
	double start = cpu_seconds();
	for (size_t i = 0; i < N; i++)
		p[i] = i % 2 ? '*' : 'a';
	p[N - 1] = 'b';
	ck_assert(!glob_match(p, N, s, N, false));
	ck_assert(!glob_match(p, N, s, N, true));
	p[N - 1] = '*';
	ck_assert(glob_match(p, N, s, N, false));
	for (size_t i = 0; i < N; i++)
		p[i] = i % 3 == 2 ? '*' : '?';
	p[N - 1] = 'b';
	ck_assert(!glob_match(p, N, s, N, false));
	memset(p, '*', N);
	ck_assert(glob_match(p, N, s, N, false));
	/* One long middle segment that almost matches everywhere: plain bytes, then classes. */
	memset(p, 'a', N);
	p[0] = p[N / 2] = '*';
	p[N / 2 - 1] = 'b';
	ck_assert(!glob_match(p, N / 2 + 1, s, N, false));
	ck_assert(!glob_match(p, N / 2 + 1, s, N, true));
	p[5] = '?';
	ck_assert(!glob_match(p, N / 2 + 1, s, N, false));
	/* A class as long as the pattern, searched at every position. */
	memset(p, 'b', N);
	memcpy(p, "*[", 2);
	memcpy(p + N - 3, "]c*", 3);
	ck_assert(!glob_match(p, N, s, N, false));
	ck_assert_double_lt(cpu_seconds() - start, 5);
	free(p);
	free(s);
}
END_TEST

START_TEST(test_literal)
{
	ck_assert(glob_is_literal("abc", 3));
	ck_assert(glob_is_literal("", 0));
	ck_assert(!glob_is_literal("a*", 2));
	ck_assert(!glob_is_literal("?a", 2));
	ck_assert(!glob_is_literal("a[", 2));
	ck_assert(!glob_is_literal("\\a", 2));
	ck_assert(glob_is_all("*", 1));
	ck_assert(!glob_is_all("**", 2));
	ck_assert(!glob_is_all("", 0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("glob");
	TCase *tc = tcase_create("glob");
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, test_table);
	tcase_add_test(tc, test_random);
	tcase_add_test(tc, test_safety_glob_many_stars);
	tcase_add_test(tc, test_literal);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}

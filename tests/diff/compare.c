#include "tests/diff/compare.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much later than the other one side may have been asked: a machine may stand still in between. */
#define LAG_MS 20000

/* ------------------------------------------------------------------ replies */

/* A growing string: the canonical form of a reply. */
struct text {
	char *ptr;
	size_t len, cap;
};

static void put(struct text *t, const void *bytes, size_t len)
{
	if (t->cap - t->len < len + 1) {
		t->cap = (t->cap + len) * 2 + 64;
		t->ptr = realloc(t->ptr, t->cap);
		if (!t->ptr)
			abort();
	}
	memcpy(t->ptr + t->len, bytes, len);
	t->len += len;
	t->ptr[t->len] = 0;
}

static int by_bytes(const void *a, const void *b)
{
	const struct text *x = a, *y = b;
	int r = memcmp(x->ptr, y->ptr, x->len < y->len ? x->len : y->len);
	return r ? r : (x->len > y->len) - (x->len < y->len);
}

static bool is_masked(const struct resp_value *key)
{
	static const char *const names[] = { "server", "version", "id", "modules" };
	for (size_t i = 0; key->text && i < sizeof names / sizeof *names; i++)
		if (!strcmp(key->text, names[i]))
			return true;
	return false;
}

/* Elements (or pairs of elements) are rendered one by one and sorted. */
static void canonical(struct text *out, const struct resp_value *v, enum compare how, bool top)
{
	char head[64];
	if (!v->elements) {
		put(out, head, (size_t)snprintf(head, sizeof head, "%c%d:%zu:", v->type, v->null, v->len));
		put(out, v->text ? v->text : "", v->len);
		return;
	}
	bool pairs = v->type == '%' || (top && how != CMP_UNORDERED);
	size_t step = pairs && v->n % 2 == 0 ? 2 : 1, n = v->n / step;
	struct text *parts = calloc(n ? n : 1, sizeof *parts);
	for (size_t i = 0; i < n; i++) {
		const struct resp_value *e = &v->elements[i * step];
		put(&parts[i], "", 0);
		canonical(&parts[i], e, how, false);
		if (step == 2 && !(how == CMP_HELLO && is_masked(e)))
			canonical(&parts[i], e + 1, how == CMP_UNORDERED ? how : CMP_EXACT, false);
	}
	if (how != CMP_EXACT)
		qsort(parts, n, sizeof *parts, by_bytes);
	put(out, head, (size_t)snprintf(head, sizeof head, "%c%zu[", v->type, n));
	for (size_t i = 0; i < n; i++) {
		put(out, parts[i].ptr, parts[i].len);
		put(out, ",", 1);
		free(parts[i].ptr);
	}
	put(out, "]", 1);
	free(parts);
}

static bool trees_agree(enum compare how, struct resp_bytes a, struct resp_bytes b)
{
	struct resp_value *x = resp_parse_value(a.ptr, a.len), *y = resp_parse_value(b.ptr, b.len);
	struct text s = { 0 }, t = { 0 };
	canonical(&s, x, how, true);
	canonical(&t, y, how, true);
	bool same = s.len == t.len && !memcmp(s.ptr, t.ptr, s.len);
	free(s.ptr);
	free(t.ptr);
	resp_value_free(x);
	resp_value_free(y);
	return same;
}

static bool times_agree(struct resp_bytes a, struct resp_bytes b, long long tolerance)
{
	if (*a.ptr != ':' || *b.ptr != ':')
		return false;
	long long x = strtoll(a.ptr + 1, NULL, 10), y = strtoll(b.ptr + 1, NULL, 10);
	long long d = x > y ? x - y : y - x;
	return x >= 0 && y >= 0 && d <= tolerance;
}

/* Times are large integers; ages stand behind a name, or third in a pending entry of XPENDING. */
static bool ages_agree(const struct resp_value *a, const struct resp_value *b, bool age)
{
	static const char *const names[] = { "idle", "inactive", "seen-time", "active-time" };
	if (a->type != b->type || a->n != b->n || a->null != b->null)
		return false;
	if (a->type == ':') {
		long long d = a->integer - b->integer;
		bool time = a->integer > 1000000000 && b->integer > 1000000000;
		return d == 0 || ((time || (age && a->integer >= 0 && b->integer >= 0)) && d >= -LAG_MS && d <= LAG_MS);
	}
	if (a->len != b->len || (a->len && memcmp(a->text, b->text, a->len)))
		return false;
	for (size_t i = 0; i < a->n; i++) {
		bool child = a->n == 4 && i == 2;
		for (size_t k = 0; i % 2 && k < sizeof names / sizeof *names; k++)
			child = child || (a->elements[i - 1].text && !strcmp(a->elements[i - 1].text, names[k]));
		if (!ages_agree(&a->elements[i], &b->elements[i], child))
			return false;
	}
	return true;
}

static bool age_replies_agree(struct resp_bytes a, struct resp_bytes b)
{
	struct resp_value *x = resp_parse_value(a.ptr, a.len), *y = resp_parse_value(b.ptr, b.len);
	bool same = x && y && ages_agree(x, y, false);
	resp_value_free(x);
	resp_value_free(y);
	return same;
}

static bool is_null(struct resp_bytes r)
{
	return *r.ptr == '_' || (r.len >= 3 && r.ptr[1] == '-' && r.ptr[2] == '1' && (*r.ptr == '$' || *r.ptr == '*'));
}

bool replies_agree(enum compare how, struct resp_bytes a, struct resp_bytes b)
{
	if (how == CMP_ANY || (a.len == b.len && !memcmp(a.ptr, b.ptr, a.len)))
		return true;
	if (!a.len || !b.len || *a.ptr == '-' || *b.ptr == '-')
		return false;
	switch (how) {
	case CMP_KIND: return *a.ptr == *b.ptr && is_null(a) == is_null(b);
	case CMP_TIME_MS: return times_agree(a, b, LAG_MS);
	case CMP_TIME_S: return times_agree(a, b, LAG_MS / 1000);
	case CMP_AGES: return age_replies_agree(a, b);
	case CMP_UNORDERED:
	case CMP_PAIRS:
	case CMP_HELLO: return trees_agree(how, a, b);
	default: return false;
	}
}

/* ------------------------------------------------------------------ intended differences */

enum { FIELDS = 5, MAX_ENTRIES = 500 };

static struct entry {
	char *line;
	char *field[FIELDS]; /* oracle, command, our reply, its reply, reason */
	unsigned long used;
} entries[MAX_ENTRIES];
static size_t count;

static char *trim(char *s)
{
	while (isspace((unsigned char)*s))
		s++;
	for (char *end = s + strlen(s); end > s && isspace((unsigned char)end[-1]); end--)
		end[-1] = 0;
	return s;
}

static int add(char *line, const char *path, unsigned number)
{
	struct entry *e = &entries[count];
	char *at = line;
	for (int i = 0; i < FIELDS; i++) {
		char *bar = i < FIELDS - 1 ? strstr(at, " | ") : NULL;
		if (i < FIELDS - 1 && !bar) {
			fprintf(stderr, "%s:%u: five fields wanted: oracle | command | our reply | its reply | reason\n", path, number);
			return -1;
		}
		if (bar)
			*bar = 0;
		e->field[i] = trim(at);
		if (!*e->field[i]) {
			fprintf(stderr, "%s:%u: field %d is empty; a difference needs its reason\n", path, number, i + 1);
			return -1;
		}
		at = bar ? bar + 3 : at;
	}
	e->line = line;
	count++;
	return 0;
}

int allow_load(const char *path)
{
	char buf[2048];
	unsigned number = 0;
	int result = 0;
	FILE *f = fopen(path, "r");
	if (!f) {
		perror(path);
		return -1;
	}
	while (!result && fgets(buf, sizeof buf, f)) {
		number++;
		char *s = trim(buf);
		if (!*s || *s == '#')
			continue;
		if (count == MAX_ENTRIES)
			result = -1;
		else
			result = add(strdup(s), path, number);
	}
	fclose(f);
	return result;
}

/* The reply with the oracle's words replaced by ours (entries whose command is "="); malloc'ed. */
static char *in_our_words(const char *oracle, const char *theirs, struct entry **used)
{
	char *text = strdup(theirs);
	for (size_t i = 0; i < count; i++) {
		struct entry *e = &entries[i];
		size_t n = strlen(e->field[3]), m = strlen(e->field[2]);
		if (strcmp(e->field[1], "=") || fnmatch(e->field[0], oracle, FNM_CASEFOLD))
			continue;
		for (char *at = text; (at = strstr(at, e->field[3]));) {
			size_t before = (size_t)(at - text);
			char *fresh = malloc(strlen(text) + m + 1);
			memcpy(fresh, text, before);
			memcpy(fresh + before, e->field[2], m);
			memcpy(fresh + before + m, at + n, strlen(at + n) + 1);
			free(text);
			text = fresh;
			at = text + before + m;
			*used = e;
		}
	}
	return text;
}

/* Equal, but for the lengths of bulk strings, which other words changed. */
static bool same_but_lengths(const char *a, const char *b)
{
	while (*a && *b && *a == *b) {
		if (*a++ == '$') {
			a += strspn(a, "0123456789");
			b += 1 + strspn(b + 1, "0123456789");
		} else {
			b++;
		}
	}
	return *a == *b;
}

static bool matches_patterns(const char *const what[4])
{
	for (size_t i = 0; i < count; i++) {
		int bad = 0;
		for (int k = 0; k < 4 && !bad; k++)
			bad = fnmatch(entries[i].field[k], what[k], FNM_NOESCAPE | FNM_CASEFOLD);
		if (!bad) {
			entries[i].used++;
			return true;
		}
	}
	return false;
}

bool allow_matches(const char *oracle, const char *command, const char *ours, const char *theirs)
{
	struct entry *used = NULL;
	char *worded = in_our_words(oracle, theirs, &used);
	bool same = used && same_but_lengths(ours, worded);
	if (same)
		used->used++;
	same = same || matches_patterns((const char *[4]){ oracle, command, ours, theirs }) ||
	       (used && matches_patterns((const char *[4]){ oracle, command, ours, worded }));
	free(worded);
	return same;
}

void allow_print(void)
{
	for (size_t i = 0; i < count; i++)
		if (entries[i].used)
			printf("intended difference, %lu times: %s: %s\n", entries[i].used, entries[i].field[1], entries[i].field[4]);
}

/*
 * lcs: the longest common subsequence of two strings, by the textbook table of the lengths for all pairs of prefixes.
 * Only the length needs no more than two rows of it.
 */
#include <stdlib.h>

#include "server/call.h"
#include "server/commands/groups.h"
#include "server/config.h"

struct lcs {
	const char *a, *b;
	size_t alen, blen;
	char abuf[24], bbuf[24];
	bool want_len, want_idx, with_match_len;
	int64_t min_match_len;
	uint32_t *table; /* (alen + 1) rows of blen + 1 */
};

static bool take_string(struct call *c, unsigned i, char buf[static 24], const char **bytes, size_t *len)
{
	struct store_key key = call_key(c, i);
	const struct entry *e = call_find_read(c, &key);
	*bytes = "";
	*len = 0;
	if (e && entry_type(e) != STORE_STRING) {
		reply_error(c->reply, "ERR The specified keys must contain string values");
		return false;
	}
	if (e)
		*bytes = entry_string(e, buf, len);
	return true;
}

static bool parse_options(struct call *c, struct lcs *l)
{
	for (unsigned i = 3; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		if (arg_is(a, "IDX")) {
			l->want_idx = true;
		} else if (arg_is(a, "LEN")) {
			l->want_len = true;
		} else if (arg_is(a, "WITHMATCHLEN")) {
			l->with_match_len = true;
		} else if (arg_is(a, "MINMATCHLEN") && i + 1 < c->argc) {
			if (!call_int(c, ++i, &l->min_match_len))
				return false;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	if (l->want_idx && l->want_len) {
		reply_error(c->reply, "ERR If you want both the length and indexes, please just use IDX.");
		return false;
	}
	return true;
}

static inline uint32_t *cell(const struct lcs *l, size_t i, size_t j)
{
	return &l->table[i * (l->blen + 1) + j];
}

/* The table's memory, refused where it is more than a bulk string may have; the error is written. */
static bool allocate(struct call *c, struct lcs *l)
{
	size_t cells, bytes;
	if (l->alen >= UINT32_MAX - 1 || l->blen >= UINT32_MAX - 1) {
		reply_error(c->reply, "ERR String too long for LCS");
		return false;
	}
	bool overflow = __builtin_mul_overflow(l->alen + 1, l->blen + 1, &cells) ||
	                __builtin_mul_overflow(cells, sizeof *l->table, &bytes);
	if (!overflow && bytes > (size_t)config()->proto_max_bulk_len) {
		reply_error(c->reply,
		            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
		return false;
	}
	if (!overflow && l->want_len)
		bytes = 2 * (l->blen + 1) * sizeof *l->table;
	l->table = overflow ? NULL : calloc(1, bytes);
	if (!l->table)
		reply_error(c->reply, "ERR Insufficient memory, failed allocating transient memory for LCS");
	return l->table != NULL;
}

/* One row from the one above it; column 0 is 0. */
static void fill_row(const struct lcs *l, size_t i, const uint32_t *above, uint32_t *row)
{
	char ch = l->a[i - 1];
	for (size_t j = 1; j <= l->blen; j++) {
		if (ch == l->b[j - 1])
			row[j] = above[j - 1] + 1;
		else
			row[j] = above[j] > row[j - 1] ? above[j] : row[j - 1];
	}
}

static void reply_length(struct call *c, struct lcs *l)
{
	for (size_t i = 1; i <= l->alen; i++)
		fill_row(l, i, cell(l, (i - 1) & 1, 0), cell(l, i & 1, 0));
	reply_int(c->reply, *cell(l, l->alen & 1, l->blen));
}

static void reply_match(struct call *c, const struct lcs *l, size_t a, size_t b, size_t len)
{
	reply_array(c->reply, l->with_match_len ? 3 : 2);
	reply_array(c->reply, 2);
	reply_int(c->reply, (int64_t)a);
	reply_int(c->reply, (int64_t)(a + len - 1));
	reply_array(c->reply, 2);
	reply_int(c->reply, (int64_t)b);
	reply_int(c->reply, (int64_t)(b + len - 1));
	if (l->with_match_len)
		reply_int(c->reply, (int64_t)len);
}

/*
 * Walk back from the last cell. Runs of equal bytes are the matches, the last one first; `out`, if there is one, gets
 * the subsequence's bytes.
 */
static size_t walk_back(struct call *c, const struct lcs *l, char *out)
{
	size_t i = l->alen, j = l->blen, run = 0, matches = 0;
	uint32_t left = *cell(l, i, j);
	while (i > 0 && j > 0) {
		bool equal = l->a[i - 1] == l->b[j - 1];
		if (equal) {
			i--;
			j--;
			run++;
			if (out)
				out[--left] = l->a[i];
		}
		if (run && (!equal || i == 0 || j == 0)) {
			if (l->want_idx && (int64_t)run >= l->min_match_len) {
				reply_match(c, l, i, j, run);
				matches++;
			}
			run = 0;
		}
		if (!equal) {
			if (*cell(l, i - 1, j) > *cell(l, i, j - 1))
				i--;
			else
				j--;
		}
	}
	return matches;
}

static void reply_table(struct call *c, struct lcs *l)
{
	for (size_t i = 1; i <= l->alen; i++)
		fill_row(l, i, cell(l, i - 1, 0), cell(l, i, 0));
	uint32_t len = *cell(l, l->alen, l->blen);
	if (l->want_idx) {
		reply_map(c->reply, 2);
		reply_cstr(c->reply, "matches");
		size_t mark = reply_defer(c->reply);
		reply_defer_end(c->reply, mark, '*', walk_back(c, l, NULL));
		reply_cstr(c->reply, "len");
		reply_int(c->reply, len);
		return;
	}
	char *out = malloc(len ? len : 1);
	if (!out) {
		reply_oom(c->reply);
		return;
	}
	walk_back(c, l, out);
	reply_bulk(c->reply, out, len);
	free(out);
}

static void run_lcs(struct call *c)
{
	struct lcs l = { .table = NULL };
	if (!take_string(c, 1, l.abuf, &l.a, &l.alen) || !take_string(c, 2, l.bbuf, &l.b, &l.blen) ||
	    !parse_options(c, &l) || !allocate(c, &l))
		return;
	if (l.want_len)
		reply_length(c, &l);
	else
		reply_table(c, &l);
	free(l.table);
}

/* ------------------------------------------------------------------ rows */

struct command lcs_commands[] = {
	{
		.name = "lcs", .run = run_lcs, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_STRING,
		.keys = { KEY_RANGE(KEY_RO | KEY_ACCESS, 1, 1, 1) },
		.group = "string", .since = "7.0.0",
		.summary = "Finds the longest subsequence that two strings have in common.",
		.complexity = "O(N*M) in the lengths of the two strings",
		.args = "key1:key#0 key2:key#0 [len:LEN] [idx:IDX] [MINMATCHLEN min-match-len:integer] "
		        "[withmatchlen:WITHMATCHLEN]",
	},
	{ .name = NULL },
};

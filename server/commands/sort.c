/* sort: SORT, SORT_RO: the elements of a list, set or sorted set in another order, with values of other keys. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "server/acl.h"
#include "server/call.h"
#include "server/client.h"
#include "server/commands/groups.h"
#include "server/commands/list.h"
#include "store/number.h"
#include "store/types/hash.h"
#include "store/types/list.h"
#include "store/types/set.h"
#include "store/types/zset.h"

struct options {
	bool desc, alpha, nosort;
	const struct arg *by, *store;
	int64_t offset, count; /* count < 0: all */
	unsigned gets;         /* GET options: their patterns are found by a second look at argv */
};

/* One element; weight: what it is sorted by. */
struct element {
	struct arg text, weight; /* weight.ptr NULL: there is none */
	double score;
};

struct elements {
	struct element *v;
	size_t n;
	char *bytes; /* all texts, and weights behind them as they come */
	size_t used, cap;
	bool failed;
};

/* ------------------------------------------------------------------ options */

static bool has_star(const struct arg *a)
{
	return memchr(a->ptr, '*', a->len) != NULL;
}

static bool read_limit(struct call *c, unsigned i, struct options *o)
{
	return call_int(c, i, &o->offset) && call_int(c, i + 1, &o->count);
}

static bool may_look_elsewhere(struct call *c, const char *option)
{
	if (acl_may_read_any(c->client->user, c->cmd, c->argv, c->argc))
		return true;
	reply_errorf(c->reply, "ERR %s option of SORT denied due to insufficient ACL permissions.", option);
	return false;
}

static bool read_options(struct call *c, struct options *o, bool read_only)
{
	*o = (struct options){ .count = -1 };
	for (unsigned i = 2; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		unsigned left = c->argc - i - 1;
		if (arg_is(a, "asc")) {
			o->desc = false;
		} else if (arg_is(a, "desc")) {
			o->desc = true;
		} else if (arg_is(a, "alpha")) {
			o->alpha = true;
		} else if (arg_is(a, "limit") && left >= 2) {
			if (!read_limit(c, i + 1, o))
				return false;
			i += 2;
		} else if (arg_is(a, "store") && left >= 1 && !read_only) {
			o->store = &c->argv[++i];
		} else if (arg_is(a, "by") && left >= 1) {
			o->by = &c->argv[++i];
			o->nosort |= !has_star(o->by); /* for good: a later BY does not change it */
			if (has_star(o->by) && !may_look_elsewhere(c, "BY"))
				return false;
		} else if (arg_is(a, "get") && left >= 1) {
			if (!may_look_elsewhere(c, "GET"))
				return false;
			o->gets++;
			i++;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	return true;
}

/* ------------------------------------------------------------------ elements */

static const char *keep(struct elements *es, const void *bytes, size_t len)
{
	/* Texts are found again by their offset until all are there: the block moves. */
	if (!es->bytes || es->cap - es->used < len) {
		size_t cap = (es->cap + len) * 2 + 256;
		char *p = realloc(es->bytes, cap);
		if (!p) {
			es->failed = true;
			return NULL;
		}
		es->bytes = p;
		es->cap = cap;
	}
	if (len)
		memcpy(es->bytes + es->used, bytes, len);
	es->used += len;
	return (const char *)(uintptr_t)(es->used - len);
}

static void add(struct elements *es, const char *text, size_t len)
{
	es->v[es->n++] = (struct element){ .text = { keep(es, text, len), len } };
}

static void add_item(struct elements *es, const struct value_item *item)
{
	char buf[NUMBER_MAX];
	size_t len;
	const char *text = value_text(item, buf, &len);
	add(es, text, len);
}

static size_t length_of(const struct entry *e)
{
	struct value v = value_of(e);
	return entry_type(e) == STORE_LIST ? list_len(&v) : entry_type(e) == STORE_SET ? set_len(&v) : zset_count(&v);
}

static void collect(struct elements *es, const struct entry *e, bool reverse)
{
	struct value v = value_of(e);
	struct value_item item;
	if (entry_type(e) == STORE_LIST) {
		struct list_iter it;
		if (list_iter_init(&it, &v, reverse ? -1 : 0, reverse) < 0) {
			es->failed = true;
			return;
		}
		while (list_iter_next(&it, &item) > 0)
			add_item(es, &item);
		list_iter_clear(&it);
	} else if (entry_type(e) == STORE_SET) {
		struct set_iter it;
		for (set_begin(&it, &v); set_next(&it, &item);)
			add_item(es, &item);
	} else {
		struct zset_iter it;
		struct zset_item z;
		for (zset_iter_init(&it, &v, reverse ? zset_count(&v) - 1 : 0, reverse); zset_iter_next(&it, &z);)
			add(es, z.ptr, z.len);
	}
}

/* Offsets become pointers. */
static void settle(struct elements *es)
{
	for (size_t i = 0; i < es->n; i++) {
		es->v[i].text.ptr = es->bytes + (uintptr_t)es->v[i].text.ptr;
		if (es->v[i].weight.len != SIZE_MAX)
			es->v[i].weight.ptr = es->bytes + (uintptr_t)es->v[i].weight.ptr;
	}
}

/* ------------------------------------------------------------------ values of other keys */

/* "a*b" or "a*b->field" with the text in place of the star; "#" is the text. *found: valid until the next look. */
static bool look(struct call *c, const struct arg *pattern, const struct arg *text, char buf[static 24], struct arg *found)
{
	if (pattern->len == 1 && pattern->ptr[0] == '#') {
		*found = *text;
		return true;
	}
	const char *star = memchr(pattern->ptr, '*', pattern->len), *end = pattern->ptr + pattern->len;
	if (!star)
		return false;
	const char *arrow = memmem(star + 1, (size_t)(end - star - 1), "->", 2);
	if (arrow && arrow + 2 == end)
		arrow = NULL;
	size_t before = (size_t)(star - pattern->ptr), after = (size_t)((arrow ? arrow : end) - star - 1);
	char *name = malloc(before + text->len + after + 1);
	if (!name)
		return false;
	memcpy(name, pattern->ptr, before);
	memcpy(name + before, text->ptr, text->len);
	memcpy(name + before + text->len, star + 1, after);
	struct store_key key = store_key(c->op.store, name, before + text->len + after);
	const struct entry *e = store_find(&c->op, &key, STORE_READ);
	bool ok = e && entry_type(e) == (arrow ? STORE_HASH : STORE_STRING);
	if (ok && arrow) {
		struct value v = value_of(e);
		struct value_item item;
		ok = hash_get(&v, arrow + 2, (size_t)(end - arrow - 2), &item);
		if (ok)
			found->ptr = value_text(&item, buf, &found->len);
	} else if (ok) {
		found->ptr = entry_string(e, buf, &found->len);
	}
	free(name);
	return ok;
}

static bool weigh_all(struct call *c, struct elements *es, const struct options *o)
{
	char buf[NUMBER_MAX > 24 ? NUMBER_MAX : 24];
	for (size_t i = 0; i < es->n && !es->failed; i++) {
		struct arg text = { es->bytes + (uintptr_t)es->v[i].text.ptr, es->v[i].text.len }, found;
		char *copy = NULL;
		es->v[i].weight = (struct arg){ NULL, SIZE_MAX };
		if (!o->by)
			continue;
		if (look(c, o->by, &text, buf, &found)) {
			size_t len = found.len;
			copy = malloc(len ? len : 1); /* "#" leads into the block that keep() may move */
			if (!copy)
				return false;
			memcpy(copy, found.ptr, len);
			es->v[i].weight = (struct arg){ keep(es, copy, len), len };
		}
		free(copy);
	}
	settle(es);
	return !es->failed;
}

/* As strtod() reads it, up to the first zero byte. false: it is no number, or none that a double can be. */
static bool score_of(const struct arg *text, double *score)
{
	char small[64], *copy = small, *end;
	if (text->len >= sizeof small && !(copy = malloc(text->len + 1)))
		return false;
	if (text->len)
		memcpy(copy, text->ptr, text->len);
	copy[text->len] = 0;
	errno = 0;
	*score = strtod(copy, &end);
	bool ok = !*end && errno != ERANGE && !isnan(*score);
	if (copy != small)
		free(copy);
	return ok;
}

/* false: one is no number. */
static bool score_all(struct elements *es, const struct options *o)
{
	for (size_t i = 0; i < es->n; i++) {
		const struct arg *w = o->by ? &es->v[i].weight : &es->v[i].text;
		if (o->by && !w->ptr)
			continue; /* no such key: 0 */
		if (!score_of(w, &es->v[i].score))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ order */

static int by_bytes(const struct arg *a, const struct arg *b)
{
	int r = memcmp(a->ptr, b->ptr, a->len < b->len ? a->len : b->len);
	return r ? r : (a->len > b->len) - (a->len < b->len);
}

static int by_score(const void *pa, const void *pb)
{
	const struct element *a = pa, *b = pb;
	if (a->score != b->score)
		return a->score > b->score ? 1 : -1;
	return by_bytes(&a->text, &b->text);
}

static int by_text(const void *pa, const void *pb)
{
	const struct element *a = pa, *b = pb;
	return by_bytes(&a->text, &b->text);
}

static int by_weight(const void *pa, const void *pb)
{
	const struct element *a = pa, *b = pb;
	if (!a->weight.ptr || !b->weight.ptr)
		return (a->weight.ptr != NULL) - (b->weight.ptr != NULL);
	return by_bytes(&a->weight, &b->weight);
}

static void order(struct elements *es, const struct options *o)
{
	qsort(es->v, es->n, sizeof *es->v, !o->alpha ? by_score : o->by ? by_weight : by_text);
	for (size_t i = 0; o->desc && i < es->n / 2; i++) {
		struct element t = es->v[i];
		es->v[i] = es->v[es->n - 1 - i];
		es->v[es->n - 1 - i] = t;
	}
}

/* ------------------------------------------------------------------ results */

typedef bool sink(void *ctx, const struct arg *found); /* found NULL: nothing */

/* What LIMIT leaves, each with its GETs. */
static bool emit(struct call *c, const struct elements *es, const struct options *o, size_t from, size_t to, sink *out, void *ctx)
{
	char buf[NUMBER_MAX > 24 ? NUMBER_MAX : 24];
	for (size_t i = from; i < to; i++) {
		if (!o->gets && !out(ctx, &es->v[i].text))
			return false;
		for (unsigned k = 2; o->gets && k + 1 < c->argc; k++) {
			struct arg found;
			if (arg_is(&c->argv[k], "limit")) {
				k += 2;
			} else if (arg_is(&c->argv[k], "by") || arg_is(&c->argv[k], "store")) {
				k++;
			} else if (arg_is(&c->argv[k], "get")) {
				bool ok = look(c, &c->argv[++k], &es->v[i].text, buf, &found);
				if (!out(ctx, ok ? &found : NULL))
					return false;
			}
		}
	}
	return true;
}

static bool to_reply(void *ctx, const struct arg *found)
{
	if (found)
		reply_bulk(ctx, found->ptr, found->len);
	else
		reply_null(ctx);
	return true;
}

static bool to_list(void *ctx, const struct arg *found)
{
	struct list_limits limits = list_limits();
	const struct arg *text = found ? found : &(struct arg){ "", 0 };
	return list_grow(ctx, &limits, 1, text->len) >= 0 && list_push(ctx, true, text->ptr, text->len) >= 0;
}

static void store_list(struct call *c, const struct elements *es, const struct options *o, size_t from, size_t to)
{
	struct store_key key = store_key(c->op.store, o->store->ptr, o->store->len);
	struct value list;
	if (list_new(&list)) {
		reply_oom(c->reply);
	} else if (!emit(c, es, o, from, to, to_list, &list)) {
		list_free(&list);
		reply_oom(c->reply);
	} else {
		store_result(c, &key, STORE_LIST, &list, list_len(&list), NOTIFY_LIST, "sortstore");
	}
}

static void finish(struct call *c, const struct elements *es, const struct options *o)
{
	size_t from = o->offset < 0 ? 0 : (uint64_t)o->offset > es->n ? es->n : (size_t)o->offset;
	size_t to = o->count < 0 || (uint64_t)o->count > es->n - from ? es->n : from + (size_t)o->count;
	if (o->store) {
		store_list(c, es, o, from, to);
		return;
	}
	reply_array(c->reply, (to - from) * (o->gets ? o->gets : 1));
	emit(c, es, o, from, to, to_reply, c->reply);
}

static void sort_elements(struct call *c, const struct entry *e, struct options *o)
{
	struct elements es = { 0 };
	size_t n = e ? length_of(e) : 0;
	/* What is stored or journaled must not depend on a set's order in memory. */
	if (e && entry_type(e) == STORE_SET && o->nosort && (o->store || c->client->flags & CLIENT_INTERNAL)) {
		o->nosort = false;
		o->alpha = true;
		o->by = NULL;
	}
	es.v = malloc((n ? n : 1) * sizeof *es.v);
	if (es.v && e)
		collect(&es, e, o->nosort && o->desc && entry_type(e) != STORE_SET);
	struct options weigh = *o;
	weigh.by = o->nosort ? NULL : o->by;
	if (!es.v || es.failed || !weigh_all(c, &es, &weigh)) {
		reply_oom(c->reply);
	} else if (!o->nosort && !o->alpha && !score_all(&es, o)) {
		reply_error(c->reply, "ERR One or more scores can't be converted into double");
	} else {
		if (!o->nosort)
			order(&es, o);
		finish(c, &es, o);
	}
	free(es.v);
	free(es.bytes);
}

static void sort(struct call *c, bool read_only)
{
	struct store_key key = call_key(c, 1);
	struct options o;
	if (!read_options(c, &o, read_only))
		return;
	const struct entry *e = call_find_read(c, &key);
	if (e && entry_type(e) != STORE_LIST && entry_type(e) != STORE_SET && entry_type(e) != STORE_ZSET)
		reply_wrong_type(c->reply);
	else
		sort_elements(c, e, &o);
}

static void run_sort(struct call *c)
{
	sort(c, false);
}

static void run_sort_ro(struct call *c)
{
	sort(c, true);
}

/* ------------------------------------------------------------------ keys and class */

/* The key, and what the last STORE names. */
static int find_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out)
{
	unsigned store = 0;
	for (unsigned i = 2; i < argc; i++) {
		if (arg_is(&argv[i], "limit"))
			i += 2;
		else if (arg_is(&argv[i], "get") || arg_is(&argv[i], "by"))
			i++;
		else if (arg_is(&argv[i], "store") && i + 1 < argc && (cmd->flags & CMD_WRITE))
			store = ++i;
	}
	if (!key_refs_add(out, 1, KEY_RO | KEY_ACCESS) || (store && !key_refs_add(out, store, KEY_OW | KEY_UPDATE)))
		return -ENOMEM;
	return 0;
}

/* A star leads to keys that nobody knows before. */
static enum exec_class classify(const struct arg *argv, unsigned argc)
{
	for (unsigned i = 2; i + 1 < argc; i++) {
		if ((arg_is(&argv[i], "by") || arg_is(&argv[i], "get")) && has_star(&argv[i + 1]))
			return EXEC_ALONE;
	}
	return EXEC_KEYED;
}

#define PATTERNS { .flags = KEY_RO | KEY_ACCESS, .notes = "Keys that the patterns of BY and GET lead to." }
#define SORT_ARGS \
	"key:key#0 [BY by-pattern:pattern#1(pattern)] [LIMIT limit:{offset:integer count:integer}] " \
	"[GET get-pattern:pattern#1(pattern)...+] [order:<asc:ASC|desc:DESC>] [sorting:ALPHA]"
#define SORT_COST "O(N+M*log(M)) for N elements of which M are answered, O(N) without sorting"

struct command sort_commands[] = {
	{ .name = "sort", .run = run_sort, .class = EXEC_KEYED, .classify = classify, .find_keys = find_keys, .arity = -2,
	  .flags = CMD_WRITE | CMD_DENYOOM | CMD_MOVABLE_KEYS, .acl = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
	  .keys = { KEY_ONE(KEY_RO | KEY_ACCESS), PATTERNS,
	            { .flags = KEY_OW | KEY_UPDATE, .notes = "The key behind STORE, which may stand anywhere." } },
	  .group = "generic", .since = "1.0.0", .summary = "Sorts the elements of a list, set or sorted set.",
	  .complexity = SORT_COST, .args = SORT_ARGS " [STORE destination:key#2]" },
	{ .name = "sort_ro", .run = run_sort_ro, .class = EXEC_KEYED, .classify = classify, .find_keys = find_keys,
	  .arity = -2, .flags = CMD_READONLY | CMD_MOVABLE_KEYS, .acl = ACL_SET | ACL_SORTEDSET | ACL_LIST | ACL_DANGEROUS,
	  .keys = { KEY_ONE(KEY_RO | KEY_ACCESS), PATTERNS }, .group = "generic", .since = "7.0.0",
	  .summary = "Sorts the elements of a list, set or sorted set, without storing.", .complexity = SORT_COST,
	  .args = SORT_ARGS },
	{ .name = NULL },
};

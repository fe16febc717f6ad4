/* list: commands on lists. What moves elements between lists is in list_move.c. */
#include "server/commands/list.h"

#include "server/commands/groups.h"

#define RANK_ZERO \
	"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start " \
	"from the end of the list"

/* ------------------------------------------------------------------ pushing */

struct list_limits list_limits(void)
{
	const struct config *cf = config();
	return (struct list_limits){ cf->list_max_listpack_size, (unsigned)cf->list_compress_depth };
}

/* Memory may run out between two: what was pushed stays, and the journal gets just that. */
static void push(struct call *c, bool tail, bool only_old)
{
	struct target t;
	struct list_limits limits = list_limits();
	unsigned i, n = c->argc - 2;
	size_t bytes = 0;
	int err = 0;
	if (!target_find(c, 1, STORE_LIST, &t))
		return;
	if (!t.e && only_old) {
		reply_int(c->reply, 0);
		return;
	}
	if (!t.e && list_new(&t.v)) {
		reply_oom(c->reply);
		return;
	}
	for (i = 2; i < c->argc; i++)
		bytes += c->argv[i].len;
	err = list_grow(&t.v, &limits, n, bytes);
	for (i = 0; i < n && !err; i++)
		err = list_push(&t.v, tail, c->argv[2 + i].ptr, c->argv[2 + i].len);
	unsigned done = err && i ? i - 1 : i;
	if (__builtin_expect(!done, 0)) {
		target_drop(c, &t, STORE_LIST);
		reply_oom(c->reply);
		return;
	}
	if (!target_keep(c, &t, STORE_LIST))
		return;
	call_touch(c, &t.key, NOTIFY_LIST, tail ? "rpush" : "lpush");
	count_more(c, done);
	if (__builtin_expect(done < n, 0)) {
		call_journal(c, 2 + done, c->argv);
		reply_oom(c->reply);
	} else {
		reply_int(c->reply, (int64_t)list_len(&t.v));
	}
}

static void run_lpush(struct call *c)
{
	push(c, false, false);
}

static void run_rpush(struct call *c)
{
	push(c, true, false);
}

static void run_lpushx(struct call *c)
{
	push(c, false, true);
}

static void run_rpushx(struct call *c)
{
	push(c, true, true);
}

/* ------------------------------------------------------------------ popping */

void list_removed(struct call *c, struct target *t, size_t n, const char *event)
{
	struct list_limits limits = list_limits();
	call_touch(c, &t->key, NOTIFY_LIST, event);
	count_more(c, n);
	if (list_len(&t->v) == 0) {
		target_delete(c, t);
	} else {
		list_shrink(&t->v, &limits);
		value_put(t->e, &t->v);
	}
}

/* The reply is begun before it is known whether all can be read, which fails only without memory for a compressed part. */
static bool reply_elements(struct call *c, struct value *v, int64_t from, size_t n, bool backward)
{
	struct list_iter it;
	struct value_item item;
	int got = list_iter_init(&it, v, from, backward);
	reply_array(c->reply, n);
	while (n && (got = list_iter_next(&it, &item)) > 0) {
		reply_item(c->reply, &item);
		n--;
	}
	list_iter_clear(&it);
	if (n)
		c->reply->failed = true;
	return !n;
}

bool list_pop_many(struct call *c, struct target *t, bool tail, size_t n)
{
	int64_t len = (int64_t)list_len(&t->v);
	if (!reply_elements(c, &t->v, tail ? len - 1 : 0, n, tail))
		return false;
	int64_t gone = list_delete_range(&t->v, tail ? len - (int64_t)n : 0, n);
	if (gone < 0) {
		c->reply->failed = true;
		return false;
	}
	list_removed(c, t, n, tail ? "rpop" : "lpop");
	return true;
}

void list_pop_one(struct call *c, struct target *t, bool tail)
{
	struct value_item item;
	if (list_peek(&t->v, tail, &item) <= 0) {
		reply_oom(c->reply);
		return;
	}
	reply_item(c->reply, &item);
	list_drop(&t->v, tail);
	list_removed(c, t, 1, tail ? "rpop" : "lpop");
}

static void pop(struct call *c, bool tail)
{
	struct target t;
	int64_t count = 0;
	bool counted = c->argc > 2;
	if (c->argc > 3) {
		call_wrong_arity(c);
		return;
	}
	if (counted && !call_int_range(c, 2, 0, INT64_MAX, &count, NULL))
		return;
	if (!target_find(c, 1, STORE_LIST, &t))
		return;
	if (!t.e) {
		if (counted)
			reply_null_array(c->reply);
		else
			reply_null(c->reply);
	} else if (!counted) {
		list_pop_one(c, &t, tail);
	} else if (count == 0) {
		reply_array(c->reply, 0);
	} else {
		size_t len = list_len(&t.v);
		list_pop_many(c, &t, tail, (uint64_t)count < len ? (size_t)count : len);
	}
}

static void run_lpop(struct call *c)
{
	pop(c, false);
}

static void run_rpop(struct call *c)
{
	pop(c, true);
}

/* ------------------------------------------------------------------ reading */

static void run_llen(struct call *c)
{
	struct store_key key = call_key(c, 1);
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_LIST, &wrong);
	if (wrong)
		return;
	struct value v = e ? value_of(e) : (struct value){ 0, NULL };
	reply_int(c->reply, e ? (int64_t)list_len(&v) : 0);
}

static void run_lindex(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct list_iter it;
	struct value_item item;
	int64_t index;
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_LIST, &wrong);
	if (wrong)
		return;
	if (!e) {
		reply_null(c->reply);
		return;
	}
	if (!call_int(c, 2, &index))
		return;
	struct value v = value_of(e);
	int got = list_iter_init(&it, &v, index, false);
	if (got > 0)
		got = list_iter_next(&it, &item);
	if (got > 0)
		reply_item(c->reply, &item);
	else if (got == 0)
		reply_null(c->reply);
	else
		reply_oom(c->reply);
	list_iter_clear(&it);
}

/* First and last index within a list of len elements; false: there is nothing between. */
static bool range_of(int64_t len, int64_t *start, int64_t *end)
{
	if (*start < 0)
		*start = *start + len < 0 ? 0 : *start + len;
	if (*end < 0)
		*end += len;
	if (*end >= len)
		*end = len - 1;
	return *start <= *end && *start < len;
}

static void run_lrange(struct call *c)
{
	struct store_key key = call_key(c, 1);
	int64_t start, end;
	bool wrong;
	if (!call_int(c, 2, &start) || !call_int(c, 3, &end))
		return;
	const struct entry *e = call_find_read_type(c, &key, STORE_LIST, &wrong);
	if (wrong)
		return;
	struct value v = e ? value_of(e) : (struct value){ 0, NULL };
	if (!e || !range_of((int64_t)list_len(&v), &start, &end))
		reply_array(c->reply, 0);
	else
		reply_elements(c, &v, start, (size_t)(end - start + 1), false);
}

struct lpos {
	int64_t rank, count, max;
	bool counted;
};

static bool lpos_parse(struct call *c, struct lpos *o)
{
	*o = (struct lpos){ .rank = 1 };
	for (unsigned i = 3; i < c->argc; i += 2) {
		const struct arg *a = &c->argv[i];
		bool valued = i + 1 < c->argc;
		if (valued && arg_is(a, "RANK")) {
			if (!call_int_range(c, i + 1, -INT64_MAX, INT64_MAX, &o->rank, NULL))
				return false;
			if (o->rank == 0) {
				reply_error(c->reply, RANK_ZERO);
				return false;
			}
		} else if (valued && arg_is(a, "COUNT")) {
			o->counted = true;
			if (!call_int_range(c, i + 1, 0, INT64_MAX, &o->count, "ERR COUNT can't be negative"))
				return false;
		} else if (valued && arg_is(a, "MAXLEN")) {
			if (!call_int_range(c, i + 1, 0, INT64_MAX, &o->max, "ERR MAXLEN can't be negative"))
				return false;
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	return true;
}

/* Indices of matches go to the reply; their number, or an error. */
static int64_t lpos_search(struct call *c, const struct lpos *o, struct value *v)
{
	const struct arg *what = &c->argv[2];
	bool backward = o->rank < 0;
	uint64_t skip = (uint64_t)(backward ? -o->rank : o->rank) - 1;
	int64_t len = (int64_t)list_len(v), wanted = o->counted ? o->count : 1, found = 0;
	struct list_iter it;
	struct value_item item;
	int got = list_iter_init(&it, v, backward ? -1 : 0, backward);
	for (int64_t i = 0; (!o->max || i < o->max) && (got = list_iter_next(&it, &item)) > 0; i++) {
		if (!list_iter_equal(&it, what->ptr, what->len) || (skip && skip--))
			continue;
		reply_int(c->reply, backward ? len - 1 - i : i);
		if (++found == wanted)
			break;
	}
	list_iter_clear(&it);
	return got < 0 ? got : found;
}

static void run_lpos(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct lpos o;
	bool wrong;
	int64_t found = 0;
	if (!lpos_parse(c, &o))
		return;
	const struct entry *e = call_find_read_type(c, &key, STORE_LIST, &wrong);
	if (wrong)
		return;
	struct value v = e ? value_of(e) : (struct value){ 0, NULL };
	if (!o.counted) {
		if (e)
			found = lpos_search(c, &o, &v);
		if (found == 0)
			reply_null(c->reply);
		else if (found < 0)
			reply_oom(c->reply);
		return;
	}
	size_t mark = reply_defer(c->reply);
	if (e)
		found = lpos_search(c, &o, &v);
	if (found < 0)
		c->reply->failed = true;
	reply_defer_end(c->reply, mark, '*', found > 0 ? (size_t)found : 0);
}

/* ------------------------------------------------------------------ changing in the middle */

static void run_linsert(struct call *c)
{
	struct target t;
	struct list_limits limits = list_limits();
	struct list_iter it;
	struct value_item item;
	const struct arg *pivot = &c->argv[3], *what = &c->argv[4];
	bool after = arg_is(&c->argv[2], "AFTER");
	if (!after && !arg_is(&c->argv[2], "BEFORE")) {
		reply_syntax_error(c->reply);
		return;
	}
	if (!target_find(c, 1, STORE_LIST, &t))
		return;
	if (!t.e) {
		reply_int(c->reply, 0);
		return;
	}
	/* As in Redis before it is known whether the pivot is there: the form may change for nothing. */
	int err = list_grow(&t.v, &limits, 1, what->len), got = 0;
	if (!err) {
		got = list_iter_init(&it, &t.v, 0, false);
		while (got >= 0 && (got = list_iter_next(&it, &item)) > 0 && !list_iter_equal(&it, pivot->ptr, pivot->len))
			;
		if (got > 0)
			err = list_iter_insert(&it, after, what->ptr, what->len);
		list_iter_clear(&it);
	}
	value_put(t.e, &t.v);
	if (err || got < 0) {
		reply_oom(c->reply);
	} else if (!got) {
		reply_int(c->reply, -1);
	} else {
		call_touch(c, &t.key, NOTIFY_LIST, "linsert");
		reply_int(c->reply, (int64_t)list_len(&t.v));
	}
}

static void run_lset(struct call *c)
{
	struct target t;
	struct list_limits limits = list_limits();
	struct list_iter it;
	struct value_item item;
	const struct arg *what = &c->argv[3];
	int64_t index;
	if (!target_find(c, 1, STORE_LIST, &t))
		return;
	if (!t.e) {
		reply_no_key(c->reply);
		return;
	}
	if (!call_int(c, 2, &index))
		return;
	int err = list_grow(&t.v, &limits, 1, what->len), got = 0;
	if (!err) {
		got = list_iter_init(&it, &t.v, index, false);
		if (got > 0)
			got = list_iter_next(&it, &item);
		if (got > 0)
			err = list_iter_replace(&it, what->ptr, what->len);
		list_iter_clear(&it);
	}
	if (got > 0 && !err)
		list_shrink(&t.v, &limits);
	value_put(t.e, &t.v);
	if (err || got < 0) {
		reply_oom(c->reply);
	} else if (!got) {
		reply_out_of_range(c->reply);
	} else {
		call_touch(c, &t.key, NOTIFY_LIST, "lset");
		reply_ok(c->reply);
	}
}

/* Memory may run out in a compressed list: what was removed until then is gone, and the reply and the journal say so. */
static void run_lrem(struct call *c)
{
	struct target t;
	struct list_iter it;
	struct value_item item;
	const struct arg *what = &c->argv[3];
	int64_t count, removed = 0;
	if (!call_int_range(c, 2, -INT64_MAX, INT64_MAX, &count, NULL) || !target_find(c, 1, STORE_LIST, &t))
		return;
	if (!t.e) {
		reply_int(c->reply, 0);
		return;
	}
	bool backward = count < 0;
	int64_t wanted = backward ? -count : count;
	int got = list_iter_init(&it, &t.v, backward ? -1 : 0, backward);
	while (got >= 0 && (got = list_iter_next(&it, &item)) > 0) {
		if (!list_iter_equal(&it, what->ptr, what->len))
			continue;
		list_iter_delete(&it);
		if (++removed == wanted)
			break;
	}
	list_iter_clear(&it);
	value_put(t.e, &t.v);
	if (removed)
		list_removed(c, &t, (size_t)removed, "lrem");
	if (got < 0) {
		if (removed)
			call_journalf(c, "saia", "LREM", &c->argv[1], backward ? -removed : removed, what);
		reply_oom(c->reply);
	} else {
		reply_int(c->reply, removed);
	}
}

static void run_ltrim(struct call *c)
{
	struct target t;
	int64_t start, end;
	if (!call_int(c, 2, &start) || !call_int(c, 3, &end) || !target_find(c, 1, STORE_LIST, &t))
		return;
	if (!t.e) {
		reply_ok(c->reply);
		return;
	}
	int64_t len = (int64_t)list_len(&t.v), front = len, back = 0;
	if (range_of(len, &start, &end)) {
		front = start;
		back = len - 1 - end;
	}
	/* The end first: if memory is out there, nothing has changed. The front then is on its own. */
	int64_t gone = back ? list_delete_range(&t.v, len - back, (size_t)back) : 0;
	if (gone < 0) {
		target_drop(c, &t, STORE_LIST);
		reply_oom(c->reply);
		return;
	}
	bool failed = front && list_delete_range(&t.v, 0, (size_t)front) < 0;
	if (failed)
		front = 0;
	list_removed(c, &t, (size_t)(front + back), "ltrim");
	if (front + back == 0)
		c->dirty--; /* told, but nothing to be journaled */
	if (failed) {
		if (back)
			call_journalf(c, "saii", "LTRIM", &c->argv[1], (int64_t)0, len - 1 - back);
		reply_oom(c->reply);
	} else {
		reply_ok(c->reply);
	}
}

/* ------------------------------------------------------------------ rows */

struct command list_commands[] = {
	{
		.name = "lindex", .run = run_lindex, .class = EXEC_KEYED, .arity = 3,
		.flags = CMD_READONLY, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "list", .since = "1.0.0",
		.summary = "Answers the element at an index; a negative index counts from the end.",
		.complexity = "O(N) in the elements between the index and the nearer end; O(1) at the ends",
		.args = "key:key#0 index:integer",
	},
	{
		.name = "linsert", .run = run_linsert, .class = EXEC_KEYED, .arity = 5,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "list", .since = "2.2.0",
		.summary = "Puts an element in front of or behind the first one equal to the pivot.",
		.complexity = "O(N) in the elements up to the pivot",
		.args = "key:key#0 where:<before:BEFORE|after:AFTER> pivot:string element:string",
	},
	{
		.name = "llen", .run = run_llen, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "list", .since = "1.0.0",
		.summary = "Counts the elements of a list.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "lpop", .run = run_lpop, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE) },
		.group = "list", .since = "1.0.0",
		.summary = "Removes one or more elements from the front of a list.",
		.complexity = "O(N) in the elements removed",
		.args = "key:key#0 [count:integer@6.2.0]",
		.history = "6.2.0 Argument `count`.",
	},
	{
		.name = "lpos", .run = run_lpos, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_READONLY, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "list", .since = "6.0.6",
		.summary = "Finds where elements equal to a given one stand in a list.",
		.complexity = "O(N) in the elements looked at",
		.args = "key:key#0 element:string [RANK rank:integer] [COUNT num-matches:integer] [MAXLEN len:integer]",
	},
	{
		.name = "lpush", .run = run_lpush, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "list", .since = "1.0.0",
		.summary = "Pushes elements to the front of a list, which is created where it is missing.",
		.complexity = "O(N) in the elements pushed",
		.args = "key:key#0 element:string...",
		.history = "2.4.0 Several elements at once.",
	},
	{
		.name = "lpushx", .run = run_lpushx, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "list", .since = "2.2.0",
		.summary = "Pushes elements to the front of a list if it exists.",
		.complexity = "O(N) in the elements pushed",
		.args = "key:key#0 element:string...",
		.history = "4.0.0 Several elements at once.",
	},
	{
		.name = "lrange", .run = run_lrange, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_READONLY, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RO | KEY_ACCESS) },
		.group = "list", .since = "1.0.0",
		.summary = "Answers the elements between two indices.",
		.complexity = "O(S+N): S from the nearer end to the first element, N elements answered",
		.args = "key:key#0 start:integer stop:integer",
	},
	{
		.name = "lrem", .run = run_lrem, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "list", .since = "1.0.0",
		.summary = "Removes elements equal to a given one.",
		.complexity = "O(N+M) in the elements of the list and those removed",
		.args = "key:key#0 count:integer element:string",
	},
	{
		.name = "lset", .run = run_lset, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "list", .since = "1.0.0",
		.summary = "Replaces the element at an index.",
		.complexity = "O(N) in the elements between the index and the nearer end; O(1) at the ends",
		.args = "key:key#0 index:integer element:string",
	},
	{
		.name = "ltrim", .run = run_ltrim, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "list", .since = "1.0.0",
		.summary = "Removes all elements of a list but those between two indices.",
		.complexity = "O(N) in the elements removed",
		.args = "key:key#0 start:integer stop:integer",
	},
	{
		.name = "rpop", .run = run_rpop, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE) },
		.group = "list", .since = "1.0.0",
		.summary = "Removes one or more elements from the end of a list.",
		.complexity = "O(N) in the elements removed",
		.args = "key:key#0 [count:integer@6.2.0]",
		.history = "6.2.0 Argument `count`.",
	},
	{
		.name = "rpush", .run = run_rpush, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "list", .since = "1.0.0",
		.summary = "Pushes elements to the end of a list, which is created where it is missing.",
		.complexity = "O(N) in the elements pushed",
		.args = "key:key#0 element:string...",
		.history = "2.4.0 Several elements at once.",
	},
	{
		.name = "rpushx", .run = run_rpushx, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_LIST,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "list", .since = "2.2.0",
		.summary = "Pushes elements to the end of a list if it exists.",
		.complexity = "O(N) in the elements pushed",
		.args = "key:key#0 element:string...",
		.history = "4.0.0 Several elements at once.",
	},
	{ .name = NULL },
};

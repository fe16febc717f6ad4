/* hash: commands that change hashes. Those that only read are in hash_read.c. */
#include <math.h>

#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "store/types/hash.h"

static struct value_limits hash_limits(void)
{
	const struct config *cf = config();
	return (struct value_limits){ .entries = cf->hash_max_listpack_entries, .bytes = cf->hash_max_listpack_value,
	                              .share = cf->hash_share_fields };
}

/* The hash that target_lend() found, to be changed; a new one if there is none. false: the reply is written. */
static bool borrow_hash(struct call *c, struct target *t)
{
	target_borrow(c, t);
	if (t->e || hash_new(&t->v) == 0)
		return true;
	reply_oom(c->reply);
	return false;
}

static bool open_hash(struct call *c, struct target *t)
{
	return target_lend(c, 1, STORE_HASH, t) && borrow_hash(c, t);
}

/* ------------------------------------------------------------------ setting */

/* All fields of a record, in their order. */
static bool set_record(const struct call *c, struct value *v, bool lent)
{
	struct value_item items[2 * SHAPE_NAMES_MAX];
	struct value_limits limits = hash_limits();
	unsigned n = (c->argc - 2) / 2;
	if (n < SHAPE_NAMES_MIN || n > SHAPE_NAMES_MAX)
		return false;
	for (unsigned i = 0; i < 2 * n; i++) {
		const struct arg *a = &c->argv[i + 2];
		if (a->len > HASH_SHAPED_MAX)
			return false;
		items[i] = value_item_of(a->ptr, a->len);
	}
	return hash_set_record(v, &limits, items, n, lent);
}

/* Several pairs for a hash with a shape: what it has between them is not worth a shape. */
static bool set_aside_shape(const struct call *c, struct value *v)
{
	struct value_item val;
	for (unsigned i = 2; c->argc > 4 && hash_is_shaped(v) && i < c->argc; i += 2)
		if (!hash_get(v, c->argv[i].ptr, c->argv[i].len, &val) && hash_unshare(v))
			return false;
	return true;
}

/* Pairs of argv from 2 on; how many were set. */
static unsigned set_pairs(struct call *c, struct value *v, int64_t *added)
{
	struct value_limits limits = hash_limits();
	bool shares = hash_is_shaped(v) ? c->argc > 4 : hash_len(v) < SHAPE_NAMES_MIN;
	size_t bytes = 0, longest = 0, before = hash_len(v);
	unsigned i;
	if (set_record(c, v, false)) {
		*added += (int64_t)(hash_len(v) - before);
		return (c->argc - 2) / 2;
	}
	for (i = 2; i < c->argc; i++) {
		bytes += c->argv[i].len;
		if (c->argv[i].len > longest)
			longest = c->argv[i].len;
	}
	if (!set_aside_shape(c, v) || hash_grow(v, &limits, (c->argc - 2) / 2, bytes, longest))
		return 0;
	for (i = 2; i < c->argc; i += 2) {
		const struct arg *f = &c->argv[i], *w = f + 1;
		int got = hash_set(v, &limits, f->ptr, f->len, w->ptr, w->len);
		if (got < 0)
			break;
		*added += got;
	}
	if (shares)
		hash_share(v, &limits);
	return (i - 2) / 2;
}

/* One pair that needs no room, or a record. */
static bool set_same(const struct call *c, struct target *t)
{
	struct value_limits limits = hash_limits();
	const struct arg *f = &c->argv[2], *w = f + 1;
	if (c->argc == 4)
		return t->e && hash_replace_same(&t->v, &limits, f->ptr, f->len, w->ptr, w->len);
	return target_lent(t) && hash_is_shaped(&t->v) && set_record(c, &t->v, true);
}

/* One pair that is new to a small hash. */
static bool append_pair(struct call *c, struct target *t)
{
	struct value_limits limits = hash_limits();
	const struct arg *f = &c->argv[2], *w = f + 1;
	struct hash_append how;
	if (!target_lent(t) || c->argc != 4 || f->len > LISTPACK_MAX || w->len > LISTPACK_MAX ||
	    !hash_appends(&t->v, &limits, value_item_of(f->ptr, f->len), value_item_of(w->ptr, w->len), &how) ||
	    !target_insert(c, t, listpack_bytes(t->v.ptr) - 1, how.items, how.n))
		return false;
	hash_appended(&t->v, &how);
	return true;
}

/* Memory may run out between two: what was set stays, and the journal gets just that. */
static void set(struct call *c, bool count)
{
	struct target t;
	int64_t added = 0;
	unsigned pairs = (c->argc - 2) / 2, done = pairs;
	if (c->argc % 2) {
		call_wrong_arity(c);
		return;
	}
	if (!target_lend(c, 1, STORE_HASH, &t))
		return;
	if (!set_same(c, &t)) {
		added = append_pair(c, &t);
		if (!added && !borrow_hash(c, &t))
			return;
		if (!added)
			done = set_pairs(c, &t.v, &added);
	}
	if (__builtin_expect(!done, 0)) {
		target_drop(c, &t, STORE_HASH);
		reply_oom(c->reply);
		return;
	}
	if (!target_keep(c, &t, STORE_HASH))
		return;
	call_touch(c, &t.key, NOTIFY_HASH, "hset");
	count_more(c, done);
	if (__builtin_expect(done < pairs, 0)) {
		call_journal(c, 2 + 2 * done, c->argv);
		reply_oom(c->reply);
	} else if (count) {
		reply_int(c->reply, added);
	} else {
		reply_ok(c->reply);
	}
}

static void run_hset(struct call *c)
{
	set(c, true);
}

static void run_hmset(struct call *c)
{
	set(c, false);
}

/* One field gets a value; the event is told. false: out of memory, the reply is written. */
static bool set_field(struct call *c, struct target *t, const char *val, size_t len, const char *event)
{
	struct value_limits limits = hash_limits();
	const struct arg *field = &c->argv[2];
	int added = hash_set(&t->v, &limits, field->ptr, field->len, val, len);
	if (added < 0) {
		target_drop(c, t, STORE_HASH);
		reply_oom(c->reply);
		return false;
	}
	if (added && hash_len(&t->v) == SHAPE_NAMES_MIN)
		hash_share(&t->v, &limits);
	if (!target_keep(c, t, STORE_HASH))
		return false;
	call_touch(c, &t->key, NOTIFY_HASH, event);
	return true;
}

static void run_hsetnx(struct call *c)
{
	struct target t;
	struct value_item old;
	const struct arg *field = &c->argv[2], *val = &c->argv[3];
	if (!open_hash(c, &t))
		return;
	if (hash_get(&t.v, field->ptr, field->len, &old)) {
		target_drop(c, &t, STORE_HASH);
		reply_int(c->reply, 0);
	} else if (set_field(c, &t, val->ptr, val->len, "hset")) {
		reply_int(c->reply, 1);
	}
}

/* ------------------------------------------------------------------ counting */

static void run_hincrby(struct call *c)
{
	struct target t;
	struct value_item old;
	char text[NUMBER_MAX];
	int64_t by, sum = 0;
	if (!call_int(c, 3, &by) || !open_hash(c, &t))
		return;
	if (hash_get(&t.v, c->argv[2].ptr, c->argv[2].len, &old)) {
		sum = old.num;
		if (old.str && !number_parse(old.str, old.len, &sum)) {
			target_drop(c, &t, STORE_HASH);
			reply_error(c->reply, "ERR hash value is not an integer");
			return;
		}
	}
	if (__builtin_add_overflow(sum, by, &sum)) {
		target_drop(c, &t, STORE_HASH);
		reply_error(c->reply, "ERR increment or decrement would overflow");
		return;
	}
	if (set_field(c, &t, text, number_print(text, sum), "hincrby"))
		reply_int(c->reply, sum);
}

/* HINCRBYFLOAT (CVE-2023-28856): a result that is no number leaves the field as it is. The sum is journaled, not the
 * addend: another machine's floating point may round differently. */
static void run_hincrbyfloat(struct call *c)
{
	struct target t;
	struct value_item old;
	char text[NUMBER_LONG_DOUBLE_MAX];
	long double by, sum = 0;
	if (!call_long_double(c, 3, &by))
		return;
	if (isnan(by) || isinf(by)) {
		reply_error(c->reply, "ERR value is NaN or Infinity");
		return;
	}
	if (!open_hash(c, &t))
		return;
	if (hash_get(&t.v, c->argv[2].ptr, c->argv[2].len, &old)) {
		sum = (long double)old.num;
		if (old.str && !number_parse_long_double(old.str, old.len, &sum)) {
			target_drop(c, &t, STORE_HASH);
			reply_error(c->reply, "ERR hash value is not a float");
			return;
		}
	}
	sum += by;
	if (isnan(sum) || isinf(sum)) {
		target_drop(c, &t, STORE_HASH);
		reply_error(c->reply, "ERR increment would produce NaN or Infinity");
		return;
	}
	size_t len = number_print_long_double(text, sum);
	if (!set_field(c, &t, text, len, "hincrbyfloat"))
		return;
	call_journalf(c, "saab", "HSET", &c->argv[1], &c->argv[2], text, len);
	reply_bulk(c->reply, text, len);
}

/* ------------------------------------------------------------------ deleting */

static void run_hdel(struct call *c)
{
	struct target t;
	int64_t n = 0;
	int got = 0;
	if (!target_find(c, 1, STORE_HASH, &t))
		return;
	for (unsigned i = 2; t.e && i < c->argc && hash_len(&t.v) && got >= 0; i++) {
		got = hash_delete(&t.v, c->argv[i].ptr, c->argv[i].len);
		n += got > 0;
	}
	if (__builtin_expect(got < 0, 0)) { /* by the first that is there: nothing was deleted */
		reply_oom(c->reply);
		return;
	}
	if (n) {
		call_touch(c, &t.key, NOTIFY_HASH, "hdel");
		count_more(c, (uint64_t)n);
		if (hash_len(&t.v) == 0)
			target_delete(c, &t);
		else
			value_put(t.e, &t.v);
	}
	reply_int(c->reply, n);
}

/* ------------------------------------------------------------------ rows */

struct command hash_commands[] = {
	{
		.name = "hdel", .run = run_hdel, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "hash", .since = "2.0.0",
		.summary = "Deletes fields of a hash, and the hash with the last one.",
		.complexity = "O(N) in the fields named",
		.args = "key:key#0 field:string...",
		.history = "2.4.0 Several fields at once.",
	},
	{
		.name = "hincrby", .run = run_hincrby, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "hash", .since = "2.0.0",
		.summary = "Adds an integer to the value of a field. A missing one counts as 0.",
		.complexity = "O(1)",
		.args = "key:key#0 field:string increment:integer",
	},
	{
		.name = "hincrbyfloat", .run = run_hincrbyfloat, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_UPDATE) },
		.group = "hash", .since = "2.6.0",
		.summary = "Adds a floating-point number to the value of a field. A missing one counts as 0.",
		.complexity = "O(1)",
		.args = "key:key#0 field:string increment:double",
	},
	{
		.name = "hmset", .run = run_hmset, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "hash", .since = "2.0.0",
		.summary = "Sets fields of a hash.",
		.complexity = "O(N) in the fields set",
		.args = "key:key#0 data:{field:string value:string}...",
		.deprecated = "4.0.0 `HSET` with multiple field-value pairs",
	},
	{
		.name = "hset", .run = run_hset, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "hash", .since = "2.0.0",
		.summary = "Sets fields of a hash, which is created where it is missing.",
		.complexity = "O(N) in the fields set",
		.args = "key:key#0 data:{field:string value:string}...",
		.history = "4.0.0 Several fields at once.",
	},
	{
		.name = "hsetnx", .run = run_hsetnx, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_HASH,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "hash", .since = "2.0.0",
		.summary = "Sets a field of a hash unless it exists.",
		.complexity = "O(1)",
		.args = "key:key#0 field:string value:string",
	},
	{ .name = NULL },
};

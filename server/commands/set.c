/* set: commands that change one set or two. What reads is in set_read.c, what combines sets in set_algebra.c. */
#include "server/commands/set.h"

#include "server/commands/groups.h"

struct value_limits set_limits(void)
{
	const struct config *cf = config();
	return (struct value_limits){ .entries = cf->set_max_listpack_entries, .bytes = cf->set_max_listpack_value,
		                      .intset = cf->set_max_intset_entries };
}

/* ------------------------------------------------------------------ adding */

/* One member, and a small set: 0, it is there; 1, it was added; -1: nothing was done. */
static int add_lent(struct call *c, struct target *t, const struct value_limits *limits)
{
	const struct arg *a = &c->argv[2];
	struct value_item item = value_item_of(a->ptr, a->len);
	if (!target_lent(t) || c->argc != 3 || limits->entries < 1)
		return -1;
	if (set_has(&t->v, a->ptr, a->len))
		return 0;
	return set_appends(&t->v, limits, a->len) && target_insert(c, t, listpack_bytes(t->v.ptr) - 1, &item, 1) ? 1 : -1;
}

/* Memory may run out between two: what was added stays, and the journal gets just that. */
static void run_sadd(struct call *c)
{
	struct target t;
	struct value_limits limits = set_limits();
	unsigned i, members = c->argc - 2;
	int64_t added = 0;
	int err;
	if (!target_lend(c, 1, STORE_SET, &t))
		return;
	if ((err = add_lent(c, &t, &limits)) >= 0) {
		if (err)
			call_touch(c, &t.key, NOTIFY_SET, "sadd");
		reply_int(c->reply, err);
		return;
	}
	target_borrow(c, &t);
	if (t.e)
		err = set_grow(&t.v, &limits, members);
	else
		err = set_new(&t.v, &limits, c->argv[2].ptr, c->argv[2].len, members);
	if (err && !t.e) {
		reply_oom(c->reply);
		return;
	}
	for (i = 2; i < c->argc && err >= 0; i++) {
		err = set_add(&t.v, &limits, c->argv[i].ptr, c->argv[i].len);
		added += err > 0;
	}
	if (!added && !t.e) {
		target_drop(c, &t, STORE_SET);
		reply_oom(c->reply);
		return;
	}
	if (!target_keep(c, &t, STORE_SET))
		return;
	if (added) {
		call_touch(c, &t.key, NOTIFY_SET, "sadd");
		count_more(c, (uint64_t)added);
	}
	if (__builtin_expect(err < 0, 0)) {
		if (added)
			call_journal(c, i - 1, c->argv);
		reply_oom(c->reply);
	} else {
		reply_int(c->reply, added);
	}
}

/* ------------------------------------------------------------------ removing */

/* After members have gone. */
static void keep_or_delete(struct call *c, struct target *t)
{
	if (set_len(&t->v) == 0)
		target_delete(c, t);
	else
		value_put(t->e, &t->v);
}

static void run_srem(struct call *c)
{
	struct target t;
	int64_t n = 0;
	if (!target_find(c, 1, STORE_SET, &t))
		return;
	for (unsigned i = 2; t.e && i < c->argc && set_len(&t.v); i++)
		n += set_remove(&t.v, c->argv[i].ptr, c->argv[i].len);
	if (n) {
		call_touch(c, &t.key, NOTIFY_SET, "srem");
		count_more(c, (uint64_t)n);
		keep_or_delete(c, &t);
	}
	reply_int(c->reply, n);
}

/* The destination gets the member first, as only that can fail; the events come in Redis's order all the same. */
static void move_member(struct call *c, struct target *from, struct target *to)
{
	struct value_limits limits = set_limits();
	const struct arg *member = &c->argv[3];
	bool fresh = !to->e;
	int added = fresh ? set_new(&to->v, &limits, member->ptr, member->len, 1) : 0;
	if (added) {
		reply_oom(c->reply);
		return;
	}
	added = set_add(&to->v, &limits, member->ptr, member->len);
	if (added < 0) {
		target_drop(c, to, STORE_SET);
		reply_oom(c->reply);
		return;
	}
	if (fresh && !(to->e = store_add(&c->op, &to->key, STORE_SET, to->v.encoding, to->v.ptr))) {
		target_drop(c, to, STORE_SET);
		reply_oom(c->reply);
		return;
	}
	if (fresh)
		to->v = value_of(to->e);
	else
		value_put(to->e, &to->v);
	set_remove(&from->v, member->ptr, member->len);
	call_touch(c, &from->key, NOTIFY_SET, "srem");
	keep_or_delete(c, from);
	if (fresh)
		call_event(c, &to->key, NOTIFY_NEW, "new");
	if (added)
		call_touch(c, &to->key, NOTIFY_SET, "sadd");
	reply_int(c->reply, 1);
}

static void run_smove(struct call *c)
{
	struct store_key from_key = call_key(c, 1), to_key = call_key(c, 2);
	struct target from = { .key = from_key, .e = call_find_write(c, &from_key) };
	struct target to = { .key = to_key, .e = call_find_write(c, &to_key) };
	if (!from.e) {
		reply_int(c->reply, 0);
		return;
	}
	if (entry_type(from.e) != STORE_SET || (to.e && entry_type(to.e) != STORE_SET)) {
		reply_wrong_type(c->reply);
		return;
	}
	from.v = value_of(from.e);
	if (to.e)
		to.v = value_of(to.e);
	bool there = set_has(&from.v, c->argv[3].ptr, c->argv[3].len);
	if (!there || from.e == to.e)
		reply_int(c->reply, there);
	else
		move_member(c, &from, &to);
}

/* ------------------------------------------------------------------ SPOP: journaled as what went */

static void pop_one(struct call *c, struct target *t)
{
	struct value_item item;
	char buf[NUMBER_MAX];
	size_t len;
	set_random(&t->v, &item);
	const char *str = value_text(&item, buf, &len);
	reply_bulk(c->reply, str, len);
	call_journalf(c, "sab", "SREM", &c->argv[1], str, len);
	set_remove(&t->v, str, len);
	call_touch(c, &t->key, NOTIFY_SET, "spop");
	keep_or_delete(c, t);
}

static void pop_all(struct call *c, struct target *t, size_t len)
{
	struct set_iter it;
	struct value_item item;
	bool lazy = config()->lazyfree_lazy_server_del;
	reply_set(c->reply, len);
	for (set_begin(&it, &t->v); set_next(&it, &item);)
		reply_item(c->reply, &item);
	call_touch(c, &t->key, NOTIFY_SET, "spop");
	count_more(c, len);
	store_delete(&c->op, &t->key, true);
	call_event(c, &t->key, NOTIFY_GENERIC, "del");
	call_journalf(c, "sa", lazy ? "UNLINK" : "DEL", &c->argv[1]);
}

#define POP_BATCH 256 /* members in one SREM of the journal */

static void pop_some(struct call *c, struct target *t, size_t n)
{
	struct set_choice choice;
	struct value_item item;
	struct arg argv[2 + POP_BATCH];
	char text[POP_BATCH][NUMBER_MAX];
	unsigned batch = 0;
	if (set_choice_init(&choice, &t->v, n, true)) {
		set_choice_clear(&choice);
		reply_oom(c->reply);
		return;
	}
	argv[0] = (struct arg){ "SREM", 4 };
	argv[1] = c->argv[1];
	reply_set(c->reply, n);
	while (set_choice_next(&choice, &item)) {
		reply_item(c->reply, &item);
		size_t len;
		const char *str = value_text(&item, text[batch], &len);
		argv[2 + batch++] = (struct arg){ str, (uint32_t)len };
		if (batch == POP_BATCH || choice.read == choice.n) {
			call_journal(c, 2 + batch, argv);
			batch = 0;
		}
	}
	set_choice_commit(&choice);
	set_choice_clear(&choice);
	call_touch(c, &t->key, NOTIFY_SET, "spop");
	count_more(c, n);
	value_put(t->e, &t->v);
}

static void run_spop(struct call *c)
{
	struct target t;
	int64_t count = 0;
	bool counted = c->argc > 2;
	if (c->argc > 3) {
		reply_syntax_error(c->reply);
		return;
	}
	if (counted && !call_int_range(c, 2, 0, INT64_MAX, &count, NULL))
		return;
	if (!target_find(c, 1, STORE_SET, &t))
		return;
	size_t len = t.e ? set_len(&t.v) : 0;
	if (!counted && t.e)
		pop_one(c, &t);
	else if (!counted)
		reply_null(c->reply);
	else if (!t.e || !count)
		reply_set(c->reply, 0);
	else if ((uint64_t)count >= len)
		pop_all(c, &t, len);
	else
		pop_some(c, &t, (size_t)count);
}

/* ------------------------------------------------------------------ rows */

struct command set_commands[] = {
	{
		.name = "sadd", .run = run_sadd, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RW | KEY_INSERT) },
		.group = "set", .since = "1.0.0",
		.summary = "Adds members to a set, which is created where it is missing.",
		.complexity = "O(N) in the members named",
		.args = "key:key#0 member:string...",
		.history = "2.4.0 Several members at once.",
	},
	{
		.name = "smove", .run = run_smove, .class = EXEC_KEYED, .arity = 4,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE), KEY_RANGE(KEY_RW | KEY_INSERT, 2, 0, 1) },
		.group = "set", .since = "1.0.0",
		.summary = "Moves a member from one set to another.",
		.complexity = "O(1)",
		.args = "source:key#0 destination:key#1 member:string",
	},
	{
		.name = "spop", .run = run_spop, .class = EXEC_KEYED, .arity = -2,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_DELETE) },
		.group = "set", .since = "1.0.0",
		.summary = "Removes members of a set chosen at random, and answers them.",
		.complexity = "O(N) in the members removed",
		.args = "key:key#0 [count:integer@3.2.0]",
		.history = "3.2.0 Argument `count`.",
		.tips = "nondeterministic_output",
	},
	{
		.name = "srem", .run = run_srem, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_SET,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "set", .since = "1.0.0",
		.summary = "Removes members of a set, and the set with the last one.",
		.complexity = "O(N) in the members named",
		.args = "key:key#0 member:string...",
		.history = "2.4.0 Several members at once.",
	},
	{ .name = NULL },
};

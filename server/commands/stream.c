/* stream: entries come and go: XADD, XDEL, XTRIM, XSETID, XLEN; and what the commands on streams share. */
#include "server/commands/stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "server/commands/aggregate.h"
#include "server/commands/groups.h"
#include "server/effects.h"

/* ------------------------------------------------------------------ ids */

#define BAD_ID "ERR Invalid stream ID specified as stream command argument"

/* Digits, as clients are used to: blanks, a plus and zeros in front are welcome. */
static bool parse_part(const char *text, uint64_t *v)
{
	char *end;
	int64_t whole;
	if (number_parse(text, strlen(text), &whole)) {
		*v = (uint64_t)whole;
		return whole >= 0;
	}
	errno = 0;
	*v = strtoull(text, &end, 10);
	return errno == 0 && *text && !*end;
}

static bool parse_id(const struct arg *a, struct stream_id *id, uint64_t missing_seq, bool strict, bool *any_seq)
{
	char text[128];
	if (a->len >= sizeof text)
		return false;
	memcpy(text, a->ptr, a->len);
	text[a->len] = 0;
	if (any_seq)
		*any_seq = false;
	if ((text[0] == '-' || text[0] == '+') && !text[1]) {
		*id = text[0] == '-' ? STREAM_ID_MIN : STREAM_ID_MAX;
		return !strict;
	}
	char *seq = strchr(text, '-');
	if (seq)
		*seq++ = 0;
	if (!parse_part(text, &id->ms))
		return false;
	id->seq = missing_seq;
	if (seq && any_seq && seq[0] == '*' && !seq[1]) {
		*any_seq = true;
		id->seq = 0;
		return true;
	}
	return !seq || parse_part(seq, &id->seq);
}

bool stream_parse_id(struct call *c, const struct arg *a, struct stream_id *id, uint64_t missing_seq, bool strict,
                     bool *any_seq)
{
	if (parse_id(a, id, missing_seq, strict, any_seq))
		return true;
	reply_error(c->reply, BAD_ID);
	return false;
}

bool stream_parse_bound(struct call *c, unsigned i, bool end, struct stream_id *id)
{
	struct arg a = c->argv[i];
	bool exclusive = a.len > 1 && a.ptr[0] == '(';
	if (exclusive)
		a = (struct arg){ a.ptr + 1, a.len - 1 };
	if (!stream_parse_id(c, &a, id, end ? UINT64_MAX : 0, exclusive, NULL))
		return false;
	if (!exclusive || (end ? stream_id_prev(id) : stream_id_next(id)))
		return true;
	reply_error(c->reply, end ? "ERR invalid end ID for the interval" : "ERR invalid start ID for the interval");
	return false;
}

size_t stream_print_id(char out[static STREAM_ID_TEXT], struct stream_id id)
{
	size_t n = number_print_uint(out, id.ms);
	out[n++] = '-';
	return n + number_print_uint(out + n, id.seq);
}

void stream_reply_id(struct reply *r, struct stream_id id)
{
	char text[STREAM_ID_TEXT];
	reply_bulk(r, text, stream_print_id(text, id));
}

void stream_reply_entry(struct reply *r, struct stream_iter *it, struct stream_id id, uint64_t fields)
{
	struct value_item field, value;
	reply_array(r, 2);
	stream_reply_id(r, id);
	reply_array(r, 2 * fields);
	while (fields--) {
		stream_iter_field(it, &field, &value);
		reply_item(r, &field);
		reply_item(r, &value);
	}
}

bool stream_reply_one(struct reply *r, struct stream *s, struct stream_id id)
{
	struct stream_iter it;
	struct stream_id found;
	uint64_t fields;
	stream_iter_init(&it, s, id, id, false);
	if (!stream_iter_next(&it, &found, &fields))
		return false;
	stream_reply_entry(r, &it, found, fields);
	return true;
}

/* ------------------------------------------------------------------ options of XADD and XTRIM */

struct add_options {
	struct stream_trim_by trim;
	int64_t limit;
	bool limited, no_mkstream;
	bool id_given, any_seq;
	struct stream_id id;
	unsigned trim_at; /* the threshold's place */
};

/* MAXLEN or MINID at argv[*i], which then is its last argument. */
static bool parse_trim(struct call *c, struct add_options *o, unsigned *i, enum stream_trim how)
{
	unsigned more = c->argc - 1 - *i;
	int64_t length;
	if (o->trim.how != STREAM_TRIM_NONE) {
		reply_error(c->reply, "ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
		return false;
	}
	const struct arg *next = &c->argv[*i + 1];
	o->trim.approximate = more >= 2 && arg_is(next, "~");
	if (o->trim.approximate || (more >= 2 && arg_is(next, "=")))
		++*i;
	o->trim.how = how;
	o->trim_at = ++*i;
	if (how == STREAM_TRIM_MIN_ID)
		return stream_parse_id(c, &c->argv[*i], &o->trim.min_id, 0, true, NULL);
	if (!call_int(c, *i, &length))
		return false;
	if (length < 0) {
		reply_error(c->reply, "ERR The MAXLEN argument must be >= 0.");
		return false;
	}
	o->trim.length = (uint64_t)length;
	return true;
}

static bool parse_limit(struct call *c, struct add_options *o, unsigned *i)
{
	if (!call_int(c, ++*i, &o->limit))
		return false;
	o->limited = true;
	if (o->limit >= 0)
		return true;
	reply_error(c->reply, "ERR The LIMIT argument must be >= 0.");
	return false;
}

/* Whether the options go together; and how much an approximate trimming may do. */
static bool finish_options(struct call *c, struct add_options *o, bool add)
{
	const char *error = NULL;
	if (o->limit && o->trim.how == STREAM_TRIM_NONE)
		error = "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy";
	else if (!add && o->trim.how == STREAM_TRIM_NONE)
		error = "ERR syntax error, XTRIM must be called with a trimming strategy";
	else if (!c->replaying && o->limited && !o->trim.approximate)
		error = "ERR syntax error, LIMIT cannot be used without the special ~ option";
	if (error) {
		reply_error(c->reply, error);
		return false;
	}
	if (c->replaying || !o->trim.approximate)
		return true;
	if (!o->limited) {
		if (__builtin_mul_overflow(config()->stream_node_max_entries, 100, &o->limit) || o->limit > 1000000)
			o->limit = 1000000;
		else if (o->limit <= 0)
			o->limit = 10000;
	}
	o->trim.limit = (uint64_t)o->limit;
	return true;
}

/* The options from argv[2] on. Returns the place of the id (XADD) or argc; 0: the error is written. */
static unsigned parse_options(struct call *c, struct add_options *o, bool add)
{
	unsigned i = 2;
	bool ok = true;
	*o = (struct add_options){ 0 };
	for (; ok && i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		bool more = i + 1 < c->argc;
		if (add && arg_is_char(a, '*'))
			break;
		if (more && arg_is(a, "MAXLEN")) {
			ok = parse_trim(c, o, &i, STREAM_TRIM_LENGTH);
		} else if (more && arg_is(a, "MINID")) {
			ok = parse_trim(c, o, &i, STREAM_TRIM_MIN_ID);
		} else if (more && arg_is(a, "LIMIT")) {
			ok = parse_limit(c, o, &i);
		} else if (add && arg_is(a, "NOMKSTREAM")) {
			o->no_mkstream = true;
		} else if (add) {
			ok = stream_parse_id(c, a, &o->id, 0, true, &o->any_seq);
			o->id_given = ok;
			break;
		} else {
			reply_syntax_error(c->reply);
			ok = false;
		}
	}
	return ok && finish_options(c, o, add) ? i : 0;
}

/* The arguments of an exact trimming that does what an approximate one did. argv is that of MAXLEN or MINID. */
struct exact_trim {
	char text[STREAM_ID_TEXT];
	struct arg argv[3];
};
static void exact_trim(struct exact_trim *x, const struct stream *s, const struct stream_trim_by *by)
{
	size_t len;
	bool length = by->how == STREAM_TRIM_LENGTH || s->length == 0; /* an empty stream has no first id */
	if (length)
		len = number_print_uint(x->text, s->length);
	else
		len = stream_print_id(x->text, s->first_id);
	x->argv[0] = length ? (struct arg){ "MAXLEN", 6 } : (struct arg){ "MINID", 5 };
	x->argv[1] = (struct arg){ "=", 1 };
	x->argv[2] = (struct arg){ x->text, len };
}

/* ------------------------------------------------------------------ XADD */

#define FEW_PAIRS 32

static int choose_id(const struct call *c, const struct add_options *o, const struct stream *s, struct stream_id *id)
{
	if (o->id_given && !o->any_seq) {
		*id = o->id;
	} else if (o->id_given && s->last_id.ms == o->id.ms) {
		if (s->last_id.seq == UINT64_MAX)
			return -EDOM;
		*id = (struct stream_id){ o->id.ms, s->last_id.seq + 1 };
	} else if (o->id_given) {
		*id = o->id;
	} else if ((uint64_t)c->op.now_ms > s->last_id.ms) {
		*id = (struct stream_id){ (uint64_t)c->op.now_ms, 0 };
	} else {
		*id = s->last_id;
		stream_id_next(id);
	}
	return stream_id_compare(*id, s->last_id) > 0 ? 0 : -EDOM;
}

static int append(struct call *c, struct stream *s, struct stream_id id, unsigned at)
{
	struct stream_bytes few[2 * FEW_PAIRS], *pairs = few;
	const struct stream_limits limits = { config()->stream_node_max_bytes, config()->stream_node_max_entries };
	size_t n = c->argc - at;
	if (n > 2 * FEW_PAIRS && !(pairs = malloc(n * sizeof *pairs)))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		pairs[i] = (struct stream_bytes){ c->argv[at + i].ptr, c->argv[at + i].len };
	int err = stream_append(s, &limits, id, pairs, n / 2);
	if (pairs != few)
		free(pairs);
	return err;
}

/* What time and chance decided is written out. */
static __attribute__((noinline)) void journal_xadd(struct call *c, const struct add_options *o, const struct stream *s,
                                                   struct stream_id id, unsigned id_at)
{
	struct arg few[2 * FEW_PAIRS + 6], *argv = few;
	struct exact_trim exact;
	char text[STREAM_ID_TEXT];
	if (o->id_given && !o->any_seq && !o->trim.approximate)
		return;
	if (c->argc + 6 > sizeof few / sizeof *few && !(argv = malloc((c->argc + 6) * sizeof *argv))) {
		call_journalf(c, "");
		c->effects->failed = true; /* recorded as a loss */
		return;
	}
	unsigned n = 0;
	argv[n++] = c->argv[0];
	argv[n++] = c->argv[1];
	if (o->trim.approximate) {
		exact_trim(&exact, s, &o->trim);
		memcpy(argv + n, exact.argv, sizeof exact.argv);
		n += 3;
	} else {
		memcpy(argv + n, c->argv + 2, (id_at - 2) * sizeof *argv);
		n += id_at - 2;
	}
	argv[n++] = (struct arg){ text, stream_print_id(text, id) };
	memcpy(argv + n, c->argv + id_at + 1, (c->argc - id_at - 1) * sizeof *argv);
	n += c->argc - id_at - 1;
	call_journal(c, n, argv);
	if (argv != few)
		free(argv);
}

/* Add to the stream of t, which may have no key yet. false: the error is written. */
static bool add_entry(struct call *c, struct target *t, const struct add_options *o, unsigned id_at, struct stream_id *id)
{
	struct stream *s = t->v.ptr;
	int err;
	if (s->last_id.ms == UINT64_MAX && s->last_id.seq == UINT64_MAX) {
		reply_error(c->reply, "ERR The stream has exhausted the last possible ID, unable to add more items");
		return false;
	}
	err = choose_id(c, o, s, id);
	if (!err)
		err = append(c, s, *id, id_at + 1);
	if (!err)
		return true;
	if (err == -EDOM)
		reply_error(c->reply, "ERR The ID specified in XADD is equal or smaller than the target stream top item");
	else if (err == -ENOMEM)
		reply_oom(c->reply);
	else
		reply_error(c->reply, "ERR Elements are too large to be stored");
	return false;
}

static void run_xadd(struct call *c)
{
	struct add_options o;
	struct target t;
	struct stream_id id;
	unsigned id_at = parse_options(c, &o, true);
	if (!id_at)
		return;
	if (c->argc < id_at + 3 || (c->argc - id_at) % 2 == 0) {
		call_wrong_arity(c);
		return;
	}
	if (o.id_given && !o.any_seq && !o.id.ms && !o.id.seq) {
		reply_error(c->reply, "ERR The ID specified in XADD must be greater than 0-0");
		return;
	}
	if (!target_find(c, 1, STORE_STREAM, &t))
		return;
	if (!t.e && o.no_mkstream) {
		reply_null(c->reply);
		return;
	}
	if (!t.e)
		t.v = (struct value){ ENC_STREAM, stream_new() };
	if (!t.v.ptr) {
		reply_oom(c->reply);
		return;
	}
	if (!add_entry(c, &t, &o, id_at, &id)) {
		target_drop(c, &t, STORE_STREAM);
		return;
	}
	struct stream *s = t.v.ptr;
	if (!target_keep(c, &t, STORE_STREAM))
		return;
	stream_reply_id(c->reply, id);
	call_touch(c, &t.key, NOTIFY_STREAM, "xadd");
	if (stream_trim(s, &o.trim))
		call_event(c, &t.key, NOTIFY_STREAM, "xtrim");
	if (c->effects)
		journal_xadd(c, &o, s, id, id_at);
}

/* ------------------------------------------------------------------ XDEL, XTRIM, XSETID, XLEN */

static void run_xdel(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct stream_id id;
	uint64_t gone = 0;
	bool wrong;
	struct entry *e = call_find_write_type(c, &key, STORE_STREAM, &wrong);
	if (!e) {
		if (!wrong)
			reply_int(c->reply, 0);
		return;
	}
	for (unsigned i = 2; i < c->argc; i++)
		if (!stream_parse_id(c, &c->argv[i], &id, 0, true, NULL))
			return;
	for (unsigned i = 2; i < c->argc; i++) {
		parse_id(&c->argv[i], &id, 0, true, NULL);
		int err = stream_delete(stream_of(e), id);
		if (err == -ENOMEM)
			break;
		gone += err == 0;
	}
	if (gone) {
		call_touch(c, &key, NOTIFY_STREAM, "xdel");
		count_more(c, gone);
	}
	reply_int(c->reply, (int64_t)gone);
}

static void run_xtrim(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct add_options o;
	bool wrong;
	if (!parse_options(c, &o, false))
		return;
	struct entry *e = call_find_write_type(c, &key, STORE_STREAM, &wrong);
	if (!e) {
		if (!wrong)
			reply_int(c->reply, 0);
		return;
	}
	struct stream *s = stream_of(e);
	uint64_t gone = stream_trim(s, &o.trim);
	if (gone) {
		call_touch(c, &key, NOTIFY_STREAM, "xtrim");
		count_more(c, gone);
		if (o.trim.approximate) {
			struct exact_trim x;
			exact_trim(&x, s, &o.trim);
			call_journalf(c, "saaaa", "XTRIM", &c->argv[1], &x.argv[0], &x.argv[1], &x.argv[2]);
		}
	}
	reply_int(c->reply, (int64_t)gone);
}

struct setid_options {
	struct stream_id id, max_deleted;
	int64_t added; /* -1: not given */
};

static bool parse_xsetid(struct call *c, struct setid_options *o)
{
	*o = (struct setid_options){ .added = -1 };
	if (!stream_parse_id(c, &c->argv[2], &o->id, 0, true, NULL))
		return false;
	for (unsigned i = 3; i < c->argc; i += 2) {
		const char *error = NULL;
		bool more = i + 1 < c->argc;
		if (more && arg_is(&c->argv[i], "ENTRIESADDED")) {
			if (!call_int(c, i + 1, &o->added))
				return false;
			if (o->added < 0)
				error = "ERR entries_added must be positive";
		} else if (more && arg_is(&c->argv[i], "MAXDELETEDID")) {
			if (!stream_parse_id(c, &c->argv[i + 1], &o->max_deleted, 0, true, NULL))
				return false;
			if (stream_id_compare(o->id, o->max_deleted) < 0)
				error = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
		if (error) {
			reply_error(c->reply, error);
			return false;
		}
	}
	return true;
}

static const char *xsetid_refusal(struct stream *s, const struct setid_options *o)
{
	if (stream_id_compare(o->id, s->max_deleted_id) < 0)
		return "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
	if (s->length && stream_id_compare(o->id, stream_edge(s, true)) < 0)
		return "ERR The ID specified in XSETID is smaller than the target stream top item";
	if (s->length && o->added != -1 && s->length > (uint64_t)o->added)
		return "ERR The entries_added specified in XSETID is smaller than the target stream length";
	return NULL;
}

static void run_xsetid(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct setid_options o;
	bool wrong;
	if (!parse_xsetid(c, &o))
		return;
	struct entry *e = call_find_write_type(c, &key, STORE_STREAM, &wrong);
	if (!e) {
		if (!wrong)
			reply_no_key(c->reply);
		return;
	}
	struct stream *s = stream_of(e);
	const char *error = xsetid_refusal(s, &o);
	if (error) {
		reply_error(c->reply, error);
		return;
	}
	s->last_id = o.id;
	if (o.added != -1)
		s->entries_added = (uint64_t)o.added;
	if (o.max_deleted.ms || o.max_deleted.seq)
		s->max_deleted_id = o.max_deleted;
	reply_ok(c->reply);
	call_touch(c, &key, NOTIFY_STREAM, "xsetid");
}

static void run_xlen(struct call *c)
{
	struct store_key key = call_key(c, 1);
	bool wrong;
	const struct entry *e = call_find_read_type(c, &key, STORE_STREAM, &wrong);
	if (!wrong)
		reply_int(c->reply, e ? (int64_t)stream_of(e)->length : 0);
}

/* ------------------------------------------------------------------ rows */

#define TRIM_ARGS \
	"trim:{strategy:<maxlen:MAXLEN|minid:MINID@6.2.0> [operator:<equal:=|approximately:~>] threshold:string " \
	"[LIMIT count:integer@6.2.0]}"

struct command stream_commands[] = {
	{
		.name = "xadd", .run = run_xadd, .class = EXEC_KEYED, .arity = -5,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STREAM,
		.keys = { { .flags = KEY_RW | KEY_UPDATE, .begin = 1, .step = 1,
		            .notes = "UPDATE instead of INSERT because of the optional trimming feature" } },
		.group = "stream", .since = "5.0.0",
		.summary = "Adds an entry of fields and values, and trims the stream if told.",
		.complexity = "O(1), and O(N) in the entries trimmed",
		.args = "key:key#0 [nomkstream:NOMKSTREAM@6.2.0] [" TRIM_ARGS "] id-selector:<auto-id:*|id:string> "
		        "data:{field:string value:string}...",
		.history = "6.2.0 Options `NOMKSTREAM` and `LIMIT`, trimming by `MINID`.\n"
		           "7.0.0 Ids of the form `<ms>-*`.",
		.tips = "nondeterministic_output",
	},
	{
		.name = "xdel", .run = run_xdel, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_FAST, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "stream", .since = "5.0.0",
		.summary = "Removes entries by their ids.",
		.complexity = "O(1) for each id",
		.args = "key:key#0 id:string...",
	},
	{
		.name = "xlen", .run = run_xlen, .class = EXEC_KEYED, .arity = 2,
		.flags = CMD_READONLY | CMD_FAST, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RO) },
		.group = "stream", .since = "5.0.0",
		.summary = "Counts the entries.",
		.complexity = "O(1)",
		.args = "key:key#0",
	},
	{
		.name = "xsetid", .run = run_xsetid, .class = EXEC_KEYED, .arity = -3,
		.flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RW | KEY_UPDATE) },
		.group = "stream", .since = "5.0.0",
		.summary = "Sets the id after which further entries come; for the server's own use.",
		.complexity = "O(1)",
		.args = "key:key#0 last-id:string [ENTRIESADDED entries-added:integer@7.0.0] "
		        "[MAXDELETEDID max-deleted-id:string@7.0.0]",
		.history = "7.0.0 Options `ENTRIESADDED` and `MAXDELETEDID`.",
	},
	{
		.name = "xtrim", .run = run_xtrim, .class = EXEC_KEYED, .arity = -4,
		.flags = CMD_WRITE, .acl = ACL_STREAM,
		.keys = { KEY_ONE(KEY_RW | KEY_DELETE) },
		.group = "stream", .since = "5.0.0",
		.summary = "Removes the oldest entries, by length or id.",
		.complexity = "O(N) in the entries removed, most of them a node at a time",
		.args = "key:key#0 " TRIM_ARGS,
		.history = "6.2.0 Option `LIMIT`, trimming by `MINID`.",
		.tips = "nondeterministic_output",
	},
	{ .name = NULL },
};

/*
 * Commands with arguments at their boundaries: each run of bytes picks a row of the table and its arguments from pools
 * (integers at limits, counts, indexes, scores, ids, keys of every type and missing ones, the row's own words in any
 * order). The real handlers run on a store without sockets. Every answer is one whole reply; what answers an error or
 * only reads changes nothing; at the end every key can be walked, is the same after DUMP and RESTORE, and the journal's
 * records make the same data in a second store.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "server/call.h"
#include "server/client.h"
#include "server/config.h"
#include "server/digest.h"
#include "server/dump.h"
#include "server/effects.h"
#include "server/stats.h"
#include "server/touch.h"
#include "server/worker.h"
#include "store/number.h"
#include "tests/fuzz/walk.h"

const char *__asan_default_options(void);

/* Freed memory is used again soon, or most of the time goes into fresh pages. */
const char *__asan_default_options(void)
{
	return "quarantine_size_mb=2:thread_local_quarantine_size_kb=256:malloc_context_size=12";
}

#define DBS 2
#define NOW_MS 1700000000000
#define MAX_ARGS 48
#define MAX_COMMANDS 20
#define MAX_BULK (64 * 1024) /* stands for proto-max-bulk-len */
#define MAX_ROWS 256
#define MAX_WORDS 24
#define LONG_STRING 5000
#define LOOK_EVERY 16

static struct row {
	const struct command *cmd;
	unsigned words;
	struct arg word[MAX_WORDS]; /* of its documentation: options, units, directions */
} rows[MAX_ROWS];
static unsigned row_count;

static struct store *live, *copy;
static struct client *client, *replayer;
static struct reply reply, copy_reply;
static struct effects effects;
static int64_t now_ms;
static char long_string[LONG_STRING];
static char payload[LONG_STRING]; /* of the last DUMP */
static size_t payload_len;

struct input {
	const uint8_t *p, *end;
};

/* ------------------------------------------------------------------ pools */

static const char *const keys[] = { "s", "n", "l", "L", "h", "H", "z", "Z", "e", "E", "x", "X", "b", "p", "g", "none" };
static const char *const numbers[] = {
	"0", "1", "-1", "2", "-2", "3", "5", "7", "8", "10", "16", "63", "64", "65", "100", "127", "128", "129", "255", "256",
	"511", "512", "513", "1000", "-1000", "4095", "4096", "65535", "65536", "131071", "-65536", "524287", "524288",
	"2147483647", "2147483648", "-2147483648", "-2147483649", "4294967295", "4294967296", "536870911",
	"9007199254740993", "4611686018427387904", "-4611686018427387904", "9223372036854775807", "9223372036854775806",
	"-9223372036854775808", "-9223372036854775807", "9223372036854775808", "-9223372036854775809",
	"18446744073709551615", "18446744073709551616", "1700000000", "1700000000001", "1699999999999", "01", "-0", "+1",
	" 1", "1 ", "", "0x10", "1e3", "99999999999999999999999999", "#1",
};
static const char *const others[] = {
	"1.5", "-1.5", "0.1", "inf", "-inf", "+inf", "nan", "1e308", "-1e308", "1e-320", "1.7976931348623157e309", "180",
	"-180", "179.99999", "85.05112878", "-85.05112878", "90", "(1", "(-1.5", "(inf", "[a", "(a", "[", "(", "+", "-", "[zz",
	"(m3", "*", "$", ">", "0-0", "0-1", "1-*", "*-1", "5-1", "5", "18446744073709551615-18446744073709551615",
	"18446744073709551615-18446744073709551614", "18446744073709551616-0", "(0-0", "(5-1", "(18446744073709551615-1", "u1",
	"u8", "i64", "u63", "i1", "u64", "i65", "#0", "#8191", "#9223372036854775807", "h_*", "*->f", "m*", "#", "[a-c]*",
	"STREAMS", "LIMIT", "COUNT", "km", "=", "~", "f1", "nokey->", "?", "\r\n", "1700000000000",
};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static unsigned next(struct input *in)
{
	return in->p < in->end ? *in->p++ : 0;
}

static struct arg text(const char *s)
{
	return (struct arg){ s, strlen(s) };
}

static struct arg pick_key(unsigned b)
{
	return text(keys[b % COUNT(keys)]);
}

static struct arg pick_member(unsigned b)
{
	static const char *const members[] = { "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "f", "f1", "a", "b", "c",
		                               "abc", "me", "you" };
	return text(members[b % COUNT(members)]);
}

static struct arg pick(struct input *in, const struct row *row)
{
	unsigned b = next(in);
	if (b < 0x50)
		return row->words ? row->word[b % row->words] : text(numbers[b % COUNT(numbers)]);
	if (b < 0x90)
		return text(numbers[b - 0x50]);
	if (b < 0xa0)
		return pick_key(b);
	if (b < 0xb0)
		return pick_member(b);
	if (b < 0xf0)
		return text(others[b - 0xb0]);
	if (b < 0xf8) { /* bytes as they come */
		size_t n = b - 0xef, left = (size_t)(in->end - in->p);
		struct arg a = { (const char *)in->p, n < left ? n : left };
		in->p += a.len;
		return a;
	}
	if (b == 0xff)
		return (struct arg){ payload, payload_len };
	static const size_t lengths[] = { 44, 45, 64, 65, 300, 4096, LONG_STRING };
	return (struct arg){ long_string, lengths[b - 0xf8] };
}

/* ------------------------------------------------------------------ rows */

static void add_words(struct row *r, const char *args)
{
	for (const char *p = args; p && *p;) {
		size_t n = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		if (n > 1 && r->words < MAX_WORDS)
			r->word[r->words++] = (struct arg){ p, n };
		p += n ? n : 1;
	}
}

static bool is_data(const struct command *cmd)
{
	static const char *const groups[] = { "string", "list", "hash", "set", "sorted-set", "stream", "bitmap", "hyperloglog",
		                              "geo", "generic" };
	static const char *const also[] = { "flushdb", "flushall", "swapdb", "dbsize", "memory|usage" };
	static const char *const without[] = { "wait", "waitaof", "migrate", "pfselftest" }; /* the last takes long */
	for (size_t i = 0; i < COUNT(without); i++) {
		if (!strcmp(cmd->name, without[i]))
			return false;
	}
	for (size_t i = 0; i < COUNT(also); i++) {
		if (!strcmp(cmd->full_name, also[i]))
			return true;
	}
	const char *group = cmd->parent ? cmd->parent->group : cmd->group;
	for (size_t i = 0; group && i < COUNT(groups); i++) {
		if (!strcmp(group, groups[i]))
			return !(cmd->flags & CMD_CONTAINER) && !cmd->plan;
	}
	return false;
}

static void find_rows(void)
{
	for (unsigned i = 0; i < command_count(); i++) {
		const struct command *cmd = command_by_id(i);
		if (!is_data(cmd))
			continue;
		check(row_count < MAX_ROWS, "room for rows");
		rows[row_count].cmd = cmd;
		add_words(&rows[row_count++], cmd->args);
	}
}

/* ------------------------------------------------------------------ replies */

static const char *skip_line(const char *p, const char *end)
{
	const char *cr = memchr(p, '\r', (size_t)(end - p));
	check(cr && end - cr >= 2 && cr[1] == '\n', "a line ends");
	return cr + 2;
}

/* Behind one whole reply. */
static const char *skip_reply(const char *p, const char *end, unsigned depth)
{
	check(p < end && depth < 8, "a reply");
	char kind = *p++;
	const char *body = skip_line(p, end);
	int64_t n = 0;
	switch (kind) {
	case '+': case '-': case ':': case ',': case '#': case '(': case '_':
		return body;
	case '$': case '=': case '*': case '~': case '%': case '>':
		check(number_parse(p, (size_t)(body - 2 - p), &n), "a length");
		break;
	default:
		check(false, "a kind of reply");
	}
	if (n < 0)
		return body;
	if (kind == '$' || kind == '=') {
		check(end - body >= n + 2 && body[n] == '\r' && body[n + 1] == '\n', "a bulk string ends");
		return body + n + 2;
	}
	for (n *= kind == '%' ? 2 : 1; n > 0; n--)
		body = skip_reply(body, end, depth + 1);
	return body;
}

static void look_at_reply(const struct call *c)
{
	size_t len;
	const char *p = reply_bytes(&reply, &len);
	check(!reply.failed, "memory for a reply");
	check(skip_reply(p, p + len, 0) == p + len, "one reply and no more");
	if (!strcmp(c->cmd->name, "dump") && *p == '$' && p[1] != '-') {
		const char *body = skip_line(p, p + len);
		size_t n = (size_t)(p + len - body) - 2;
		if (n <= sizeof payload)
			memcpy(payload, body, payload_len = n);
	}
}

/* ------------------------------------------------------------------ running */

static struct store_op op_of(struct store *s, unsigned db)
{
	return (struct store_op){ .store = s, .db = db, .now_ms = now_ms, .exclusive = true,
		                  .access_clock = store_access_clock(STORE_ACCESS_LRU, now_ms) };
}

/* As the server does it: an expired key's DEL stands before the effects of the command that met it. */
static void key_removed(void *ctx, struct store_op *op, enum store_removal why, const struct store_key *key,
                        const struct entry *e)
{
	(void)ctx, (void)why, (void)e;
	struct call *c = op->ctx;
	if (!c || !c->effects)
		return;
	struct arg del[2] = { { "DEL", 3 }, { key->ptr, key->len } };
	effects_use_db(c->effects, op->db);
	effects_add(c->effects, 2, del);
}

static void feed(struct call *c, const struct store_key *key, unsigned kinds, unsigned notify_class, const char *event)
{
	(void)key, (void)notify_class;
	check(!(kinds & TOUCH_EVENT) || (event && *event), "an event has a name");
	check(!(c->cmd->flags & CMD_READONLY) || !(kinds & TOUCH_CHANGE) || c->cmd->flags & CMD_MAY_REPLICATE,
	      "who only reads changes nothing");
}

static void replay(unsigned db)
{
	size_t len;
	char error[200];
	const char *bytes = effects_bytes(&effects, &len);
	struct call c = { .client = replayer, .reply = &copy_reply, .op = op_of(copy, effects_db(&effects, db)), .alone = true };
	check(bytes != NULL, "memory for effects");
	c.op.show_expired = true;
	c.op.ctx = &c;
	replayer->db = (uint16_t)c.op.db;
	int err = dispatch_replay(&c, bytes, len, error, sizeof error);
	if (err)
		fprintf(stderr, "%s\n%.*s", error, (int)len, bytes);
	check(!err, "what is journaled can be replayed");
}

static void run(const struct row *row, const struct arg *argv, unsigned argc)
{
	struct call c = { .argv = argv, .argc = argc, .cmd = row->cmd, .client = client, .reply = &reply,
		          .op = op_of(live, client->db), .alone = true, .held = CALL_HOLDS_ALL, .effects = &effects };
	c.op.ctx = &c;
	if (!command_arity_ok(c.cmd, argc))
		return;
	reply.resp = client->resp;
	reply.errored = false;
	reply_reset(&reply);
	effects_reset(&effects);
	if (c.cmd->single_key) {
		c.first_hash = store_key(live, argv[1].ptr, argv[1].len).hash;
		c.first_hash_arg = 1;
	}
	c.cmd->run(&c);
	look_at_reply(&c);
	check(!reply.errored || !c.dirty, "an error changes nothing");
	if (c.dirty && !effects.replaced && !c.no_journal) {
		effects_use_db(&effects, c.op.db);
		effects_add(&effects, argc, argv);
	}
	if (effects_count(&effects))
		replay(c.op.db);
}

/* Lines of words. */
static void run_text(const char *line)
{
	while (*line) {
		struct arg argv[MAX_ARGS];
		unsigned argc = 0;
		do {
			size_t n = strcspn(line, " \n");
			argv[argc++] = (struct arg){ line, n };
			line += n;
		} while (*line && *line++ == ' ');
		struct row row = { .cmd = command_lookup(argv, argc, NULL) };
		check(row.cmd != NULL, "a command");
		run(&row, argv, argc);
		check(!reply.errored, "a good command");
	}
}

/* Members and elements at random: as many as asked for are made, so not too many are asked for. */
static void bound_count(const struct command *cmd, struct arg *a)
{
	int64_t v;
	size_t n = strlen(cmd->name);
	if (n > 9 && (!strcmp(cmd->name + n - 9, "randfield") || !strcmp(cmd->name + n - 9, "andmember")) &&
	    number_parse(a->ptr, a->len, &v) && v < -1000 && v > -4611686018427387904)
		*a = text("-1000");
}

static void run_next(struct input *in)
{
	const struct row *row = &rows[next(in) % row_count];
	const struct command *cmd = row->cmd;
	const struct key_spec *spec = &cmd->keys[0];
	struct arg argv[MAX_ARGS];
	unsigned argc = 0, how = next(in), least = (unsigned)(cmd->arity < 0 ? -cmd->arity : cmd->arity);
	if (cmd->parent)
		argv[argc++] = text(cmd->parent->name);
	argv[argc++] = text(cmd->name);
	unsigned want = cmd->arity > 0 ? least : least + how % 12;
	while (argc < want) {
		bool is_key = spec->flags && !spec->keyword && (int)argc >= spec->begin && !spec->keynum &&
		              ((int)argc == spec->begin || (spec->last < 0 && spec->step == 1));
		argv[argc] = is_key && how < 0xe0 ? pick_key(next(in)) : pick(in, row);
		bound_count(cmd, &argv[argc++]);
	}
	run(row, argv, argc);
}

/* ------------------------------------------------------------------ what must hold at the end */

struct seen {
	uint64_t keys[2];
	unsigned side;
};

static struct digest digest_of(const struct entry *e)
{
	struct digest d = { { 0 } };
	digest_entry(&d, e);
	return d;
}

static void same_in_copy(struct store_op *op, const struct store_key *key, const struct entry *e)
{
	struct store_op other = op_of(copy, op->db);
	struct store_key k = store_key(copy, key->ptr, key->len);
	other.show_expired = true;
	const struct entry *o = store_find(&other, &k, STORE_PEEK);
	check(o != NULL, "a key is in the replayed copy");
	check(entry_type(o) == entry_type(e) && entry_expiry(o) == entry_expiry(e), "type and expiry are as in the copy");
	struct digest a = digest_of(e), b = digest_of(o);
	check(!memcmp(&a, &b, sizeof a), "the value is as in the copy");
}

static void restored(struct store_op *op, const struct entry *e)
{
	static const char name[] = "\377restored";
	struct store_key key = store_key(op->store, name, sizeof name - 1);
	struct call c = { .op = *op, .client = client, .reply = &reply };
	struct entry *again;
	size_t len;
	reply_reset(&reply);
	dump_reply(&reply, e);
	const char *end = reply_bytes(&reply, &len) + len, *body = skip_line(end - len, end);
	len = (size_t)(end - body) - 2;
	check(dump_verify(body, len), "a payload that is dumped has a good footer");
	check(dump_restore(&c, &key, body, len, STORE_NO_EXPIRY, &again) == 0, "and is restored");
	/* That a key expires is part of its digest. */
	if (entry_expiry(e) != STORE_NO_EXPIRY)
		again = store_set_expiry(&c.op, &key, again, entry_expiry(e));
	struct digest a = digest_of(e), b = digest_of(again);
	check(!memcmp(&a, &b, sizeof a) || has_negative_zero(e), "as what it was");
	walk_entry(again);
	store_delete(&c.op, &key, false);
}

static void look_at_key(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct seen *s = ctx;
	if (entry_expiry(e) <= now_ms)
		return;
	s->keys[s->side]++;
	if (s->side)
		return;
	walk_entry(e);
	entry_memory(e, 0);
	check(entry_encoding_name(e) != NULL, "an encoding has a name");
	same_in_copy(op, key, e);
}

static void look_at_data(void)
{
	for (unsigned db = 0; db < DBS; db++) {
		struct seen s = { 0 };
		struct store_op op = op_of(live, db), other = op_of(copy, db);
		op.keep_expired = other.keep_expired = true;
		store_each(&op, look_at_key, &s);
		s.side = 1;
		store_each(&other, look_at_key, &s);
		check(s.keys[0] == s.keys[1], "the copy has no other keys");
		for (size_t i = 0; i < COUNT(keys); i++) {
			struct store_key key = store_key(live, keys[i], strlen(keys[i]));
			struct entry *e = store_find(&op, &key, STORE_PEEK);
			if (e)
				restored(&op, e);
		}
	}
}

/* ------------------------------------------------------------------ */

/* What is there at the beginning: chosen by a bit each. */
static const char *const setup[] = {
	"SET s some-text", "SET n 9223372036854775800", "RPUSH l a b c 1 2 -3 m1", "RPUSH L a b c d e f g h i j k l m n o p q",
	"HSET h f 1 f1 m1 m0 9223372036854775807", "HSET H a 1 b 2 c 3 d 4 e 5 f 6 g 7 h 8 i 9 j 10 m1 1.5",
	"ZADD z 1 m1 2 m2 inf a -inf b 0 c", "ZADD Z 1 a 2 b 3 c 4 d 5 e 6 f 7 g 8 h 9 i 10 j 11 m1", "SADD e 1 2 3 -7 65536",
	"SADD E a b c d e f g h i m1 m2 1",
	"XADD x 5-1 f 1\nXADD x 5-2 f 2 f1 a\nXGROUP CREATE x g 0\nXREADGROUP GROUP g me STREAMS x >",
	"XADD X 18446744073709551615-18446744073709551614 a b", "SETBIT b 100 1",
	"PFADD p a b c d e", "GEOADD g 179.9 10 m1 -179.9 10 m2 13.4 52.5 m3 0 -85 m4",
};

static struct store *open_store(bool hooked)
{
	struct store_options o;
	int err;
	store_options_init(&o);
	o.shards = 1;
	o.dbs = DBS;
	memset(o.hash_secret, 1, sizeof o.hash_secret);
	if (hooked)
		o.hooks.removed = key_removed;
	struct store *s = store_open(&o, &err);
	check(s != NULL, "memory");
	store_set_single(s, true);
	return s;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	static const char *const limits[][2] = {
		{ "hash-max-listpack-entries", "6" }, { "list-max-listpack-size", "8" }, { "set-max-intset-entries", "8" },
		{ "set-max-listpack-entries", "8" }, { "zset-max-listpack-entries", "8" }, { "stream-node-max-entries", "3" },
		{ "hll-sparse-max-bytes", "100" },
	};
	for (size_t i = 0; i < COUNT(limits); i++)
		check(!config_override(limits[i][0], limits[i][1]), "a directive");
	((struct config *)config())->proto_max_bulk_len = MAX_BULK; /* below what the directive takes */
	memset(long_string, 'x', sizeof long_string);
	check(!command_init() && !stats_init(1, command_count()), "memory");
	find_rows();
	client = client_new_internal();
	replayer = client_new_internal();
	check(client && replayer, "memory");
	touch_switch(touch_register(feed), true);
	return 0;
}

/* Nothing outlives an input: what is left behind is a leak. */
static void open_all(void)
{
	reply_init_memory(&reply, 2);
	reply_init_memory(&copy_reply, 2);
	effects_init(&effects);
	live = open_store(true);
	copy = open_store(false);
	payload_len = 0;
	now_ms = NOW_MS;
	client->db = 0;
	client->resp = 2;
}

static void close_all(void)
{
	store_close(live);
	store_close(copy);
	reply_clear(&reply);
	reply_clear(&copy_reply);
	effects_clear(&effects);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	unsigned how = next(&in), with = next(&in) | next(&in) << 8;
	open_all();
	for (size_t i = 0; i < COUNT(setup); i++) {
		if (with >> i & 1)
			run_text(setup[i]);
	}
	client->resp = how & 1 ? 3 : 2;
	for (unsigned i = 0; i < MAX_COMMANDS && in.p < in.end; i++) {
		run_next(&in);
		if (how & 2)
			now_ms += 500;
	}
	/* That takes longer than the commands; the first input of a run, which may be the only one, is looked at. */
	static unsigned inputs;
	if (inputs++ % LOOK_EVERY == 0)
		look_at_data();
	close_all();
	return 0;
}

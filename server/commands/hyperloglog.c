/* hyperloglog: PFADD, PFCOUNT, PFMERGE, PFDEBUG, PFSELFTEST: how many different elements there were, about. */
#include <stdio.h>
#include <stdlib.h>

#include "server/call.h"
#include "server/commands/groups.h"
#include "server/config.h"
#include "store/types/hll.h"

#define CORRUPT "INVALIDOBJ Corrupted HLL object detected"

static size_t max_sparse(void)
{
	return (size_t)config()->hll_sparse_max_bytes;
}

/* The bytes of a key's HyperLogLog; NULL: none (*bad: an error was replied). */
static const uint8_t *find(struct call *c, unsigned i, bool write, struct entry **e, size_t *len, bool *bad)
{
	static _Thread_local char buf[24];
	struct store_key key = call_key(c, i);
	*e = write ? call_find_write_type(c, &key, STORE_STRING, bad) : call_find_read_type(c, &key, STORE_STRING, bad);
	if (!*e)
		return NULL;
	const uint8_t *p = (const uint8_t *)entry_string(*e, buf, len);
	if (hll_valid(p, *len))
		return p;
	*bad = true;
	reply_error(c->reply, "WRONGTYPE Key is not a valid HyperLogLog string value.");
	return NULL;
}

/* For Redis every look at a HyperLogLog is a write, even where nothing changes: its string, perhaps just loaded, is raw from
 * then on. Without memory it stays as it is. */
static void make_raw(struct call *c, unsigned i, struct entry *e, size_t len)
{
	struct store_key key = call_key(c, i);
	char *bytes;
	if (entry_encoding(e) == STRING_EMBSTR)
		store_string_grow(&c->op, &key, e, len, &bytes);
}

/* A copy to work on, with room for so many more elements; p NULL: an empty one. false: out of memory. */
static bool copy(struct hll *h, const uint8_t *p, size_t len, size_t more)
{
	h->cap = (len > HLL_DENSE_BYTES ? len : HLL_DENSE_BYTES) + (more + 1) * HLL_GROWTH;
	h->p = malloc(h->cap);
	if (!h->p)
		return false;
	if (p) {
		memcpy(h->p, p, len);
		h->len = len;
	} else {
		hll_create(h);
	}
	return true;
}

/* Put the copy in the key's place. */
static bool put_back(struct call *c, unsigned i, struct entry *e, const struct hll *h)
{
	struct store_key key = call_key(c, i);
	char *to;
	if (!store_string_grow(&c->op, &key, e, h->len, &to)) {
		reply_oom(c->reply);
		return false;
	}
	memcpy(to, h->p, h->len);
	if (!e)
		call_event(c, &key, NOTIFY_NEW, "new");
	return true;
}

/* ------------------------------------------------------------------ PFADD */

/* How many registers changed, or -EINVAL. */
static int64_t add_all(struct call *c, struct hll *h)
{
	int64_t changed = 0;
	for (unsigned i = 2; i < c->argc; i++) {
		int r = hll_add(h, c->argv[i].ptr, c->argv[i].len, max_sparse());
		if (r < 0)
			return r;
		changed += r;
	}
	return changed;
}

/* Registers of a dense one are raised where they stand. */
static void add_in_place(struct call *c, const struct store_key *key, struct entry *e)
{
	uint32_t changed = 0;
	char *bytes;
	if (!store_string_grow(&c->op, key, e, HLL_DENSE_BYTES, &bytes)) {
		reply_oom(c->reply);
		return;
	}
	for (unsigned i = 2; i < c->argc; i++) {
		unsigned index;
		uint8_t v = hll_hash(c->argv[i].ptr, c->argv[i].len, &index);
		changed += hll_dense_raise((uint8_t *)bytes, index, v);
	}
	if (changed) {
		hll_forget((uint8_t *)bytes);
		call_touch(c, key, NOTIFY_STRING, "pfadd");
	}
	reply_int(c->reply, changed > 0);
}

static void run_pfadd(struct call *c)
{
	struct store_key key = call_key(c, 1);
	struct entry *e;
	struct hll h;
	size_t len = 0;
	bool bad;
	const uint8_t *p = find(c, 1, true, &e, &len, &bad);
	if (bad)
		return;
	if (p && hll_is_dense(p)) {
		add_in_place(c, &key, e);
		return;
	}
	if (!copy(&h, p, len, c->argc)) {
		reply_oom(c->reply);
		return;
	}
	int64_t changed = add_all(c, &h);
	changed += changed >= 0 && !e;
	if (changed > 0)
		hll_forget(h.p);
	if (changed < 0) {
		reply_error(c->reply, CORRUPT);
	} else if (changed == 0) {
		make_raw(c, 1, e, len);
		reply_int(c->reply, 0);
	} else if (put_back(c, 1, e, &h)) {
		call_touch(c, &key, NOTIFY_STRING, "pfadd");
		reply_int(c->reply, 1);
	}
	free(h.p);
}

/* ------------------------------------------------------------------ PFCOUNT */

/* All registers of the keys from i on. false: an error was replied. *dense: one was dense. */
static bool gather(struct call *c, unsigned i, uint8_t max[static HLL_REGISTERS], bool *dense)
{
	for (; i < c->argc; i++) {
		struct entry *e;
		size_t len;
		bool bad;
		const uint8_t *p = find(c, i, false, &e, &len, &bad);
		if (bad)
			return false;
		if (!p)
			continue;
		*dense |= hll_is_dense(p);
		if (hll_merge(p, len, max)) {
			reply_error(c->reply, CORRUPT);
			return false;
		}
	}
	return true;
}

/* The count of one key is remembered in its header. */
static void count_one(struct call *c)
{
	struct store_key key = call_key(c, 1);
	uint8_t max[HLL_REGISTERS] = { 0 };
	struct entry *e;
	size_t len;
	uint64_t count;
	bool bad;
	char *bytes;
	const uint8_t *p = find(c, 1, false, &e, &len, &bad);
	if (bad)
		return;
	if (!p || hll_cached(p, &count)) {
		if (p && entry_encoding(e) == STRING_EMBSTR && (e = store_find(&c->op, &key, STORE_WRITE | STORE_PEEK)))
			make_raw(c, 1, e, len);
		reply_int(c->reply, p ? (int64_t)count : 0);
		return;
	}
	if (hll_merge(p, len, max)) {
		reply_error(c->reply, CORRUPT);
		return;
	}
	count = hll_estimate(max);
	e = store_find(&c->op, &key, STORE_WRITE | STORE_PEEK);
	if (e && store_string_grow(&c->op, &key, e, len, &bytes)) {
		hll_cache((uint8_t *)bytes, count);
		call_touch(c, &key, 0, NULL);
	}
	reply_int(c->reply, (int64_t)count);
}

static void count_union(struct call *c)
{
	uint8_t max[HLL_REGISTERS] = { 0 };
	bool dense = false;
	if (gather(c, 1, max, &dense))
		reply_int(c->reply, (int64_t)hll_estimate(max));
}

static void run_pfcount(struct call *c)
{
	if (c->argc == 2)
		count_one(c);
	else
		count_union(c);
}

/* ------------------------------------------------------------------ PFMERGE */

static void run_pfmerge(struct call *c)
{
	struct store_key key = call_key(c, 1);
	uint8_t max[HLL_REGISTERS] = { 0 };
	struct entry *e;
	struct hll h;
	size_t len = 0;
	bool dense = false, bad;
	int err = 0;
	if (!gather(c, 1, max, &dense))
		return;
	const uint8_t *p = find(c, 1, true, &e, &len, &bad);
	if (bad)
		return;
	if (!copy(&h, p, len, HLL_REGISTERS)) {
		reply_oom(c->reply);
		return;
	}
	if (dense)
		err = hll_make_dense(&h);
	if (dense && err == 0)
		hll_dense_put(h.p, max); /* what it had itself is among them */
	for (unsigned i = 0; i < HLL_REGISTERS && err >= 0 && !dense; i++)
		err = max[i] ? hll_raise(&h, i, max[i], max_sparse()) : 0;
	hll_forget(h.p);
	if (err < 0) {
		reply_error(c->reply, CORRUPT);
	} else if (put_back(c, 1, e, &h)) {
		call_touch(c, &key, NOTIFY_STRING, "pfadd");
		reply_ok(c->reply);
	}
	free(h.p);
}

/* ------------------------------------------------------------------ PFDEBUG */

/* "Z:8436 v:1,2 z:3": long and short runs of zeros, values with how many registers have them. */
static void decode(struct call *c, const uint8_t *p, size_t len)
{
	char *text = malloc(len * 16 + 16);
	size_t n = 0;
	if (hll_is_dense(p)) {
		reply_error(c->reply, "ERR HLL encoding is not sparse");
		free(text);
		return;
	}
	for (size_t i = HLL_HEADER; text && i < len; i++) {
		if (p[i] & 0x80) {
			n += (size_t)snprintf(text + n, 16, "v:%d,%d ", (p[i] >> 2 & 31) + 1, (p[i] & 3) + 1);
		} else if (!(p[i] & 0x40)) {
			n += (size_t)snprintf(text + n, 16, "z:%d ", (p[i] & 63) + 1);
		} else if (i + 1 < len) {
			n += (size_t)snprintf(text + n, 16, "Z:%d ", ((p[i] & 63) << 8 | p[i + 1]) + 1);
			i++;
		}
	}
	if (text) {
		reply_bulk(c->reply, text, n ? n - 1 : 0);
	} else {
		reply_oom(c->reply);
	}
	free(text);
}

static void todense(struct call *c, struct entry *e, const uint8_t *p, size_t len, bool show)
{
	struct store_key key = call_key(c, 2);
	uint8_t max[HLL_REGISTERS] = { 0 };
	struct hll h;
	bool was = hll_is_dense(p);
	if (hll_merge(p, len, max)) {
		reply_error(c->reply, CORRUPT);
		return;
	}
	if (!was) {
		bool copied = copy(&h, p, len, 0);
		if (!copied)
			reply_oom(c->reply);
		/* its runs are sound: they have just been merged */
		bool ok = copied && hll_make_dense(&h) == 0 && put_back(c, 2, e, &h);
		free(h.p);
		if (!ok)
			return;
		call_touch(c, &key, 0, NULL);
	}
	if (!show) {
		reply_int(c->reply, !was);
		return;
	}
	reply_array(c->reply, HLL_REGISTERS);
	for (unsigned i = 0; i < HLL_REGISTERS; i++)
		reply_int(c->reply, max[i]);
}

static void run_pfdebug(struct call *c)
{
	struct entry *e;
	size_t len;
	bool bad;
	const struct arg *sub = &c->argv[1];
	const uint8_t *p = find(c, 2, true, &e, &len, &bad);
	if (bad)
		return;
	if (p) {
		make_raw(c, 2, e, len);
		p = find(c, 2, true, &e, &len, &bad); /* where it is now */
	}
	if (!p)
		reply_error(c->reply, "ERR The specified key does not exist");
	else if (arg_is(sub, "getreg"))
		todense(c, e, p, len, true);
	else if (arg_is(sub, "decode"))
		decode(c, p, len);
	else if (arg_is(sub, "encoding"))
		reply_status(c->reply, hll_is_dense(p) ? "dense" : "sparse");
	else if (arg_is(sub, "todense"))
		todense(c, e, p, len, false);
	else
		reply_errorf(c->reply, "ERR Unknown PFDEBUG subcommand '%.*s'", (int)(sub->len < 128 ? sub->len : 128), sub->ptr);
}

/* ------------------------------------------------------------------ PFSELFTEST */

/* Dense and sparse ones with the same elements must agree, and their estimates be near the truth. */
static void run_pfselftest(struct call *c)
{
	enum { ELEMENTS = 200000 };
	uint8_t max[2][HLL_REGISTERS] = { { 0 }, { 0 } };
	struct hll dense, sparse;
	bool ok = copy(&dense, NULL, 0, 0);
	ok = copy(&sparse, NULL, 0, ELEMENTS) && ok && hll_make_dense(&dense) == 0;
	for (int64_t i = 0; i < ELEMENTS && ok; i++) {
		ok = hll_add(&dense, &i, sizeof i, 0) == hll_add(&sparse, &i, sizeof i, max_sparse());
		if (ok && (i & (i + 1)) == 0 && i > 1000) {
			ok = hll_merge(dense.p, dense.len, max[0]) == 0 && hll_merge(sparse.p, sparse.len, max[1]) == 0 &&
			     memcmp(max[0], max[1], HLL_REGISTERS) == 0;
			int64_t error = (int64_t)hll_estimate(max[0]) - (i + 1);
			ok = ok && (error < 0 ? -error : error) < (i + 1) / 20;
		}
	}
	free(dense.p);
	free(sparse.p);
	if (ok)
		reply_ok(c->reply);
	else
		reply_error(c->reply, "TESTFAILED the estimate is too far from the truth, or dense and sparse differ");
}

struct command hyperloglog_commands[] = {
	{ .name = "pfadd", .run = run_pfadd, .class = EXEC_KEYED, .arity = -2, .flags = CMD_WRITE | CMD_DENYOOM | CMD_FAST,
	  .acl = ACL_HYPERLOGLOG, .keys = { KEY_ONE(KEY_RW | KEY_INSERT) }, .group = "hyperloglog", .since = "2.8.9",
	  .summary = "Adds elements to a HyperLogLog.", .complexity = "O(1) for each element",
	  .args = "key:key#0 [element:string...]" },
	{ .name = "pfcount", .run = run_pfcount, .class = EXEC_KEYED, .arity = -2, .flags = CMD_READONLY | CMD_MAY_REPLICATE,
	  .acl = ACL_HYPERLOGLOG,
	  .keys = { { .flags = KEY_RW | KEY_ACCESS, .begin = 1, .last = -1, .step = 1,
	              .notes = "The count is remembered in the value, so the key may be written." } },
	  .group = "hyperloglog", .since = "2.8.9",
	  .summary = "Estimates how many different elements were added to one or several HyperLogLogs.",
	  .complexity = "O(1) for one key, O(N) with a large constant for several", .args = "key:key#0..." },
	{ .name = "pfmerge", .run = run_pfmerge, .class = EXEC_KEYED, .arity = -2, .flags = CMD_WRITE | CMD_DENYOOM,
	  .acl = ACL_HYPERLOGLOG,
	  .keys = { KEY_ONE(KEY_RW | KEY_ACCESS | KEY_INSERT), KEY_RANGE(KEY_RO | KEY_ACCESS, 2, -1, 1) },
	  .group = "hyperloglog", .since = "2.8.9", .summary = "Adds the elements of HyperLogLogs to another one.",
	  .complexity = "O(N) in the HyperLogLogs, with a large constant", .args = "destkey:key#0 [sourcekey:key#1...]" },
	{ .name = "pfdebug", .run = run_pfdebug, .class = EXEC_KEYED, .arity = 3,
	  .flags = CMD_WRITE | CMD_DENYOOM | CMD_ADMIN | CMD_SYSCMD, .acl = ACL_HYPERLOGLOG,
	  .keys = { KEY_RANGE(KEY_RW | KEY_ACCESS, 2, 0, 1) }, .group = "hyperloglog", .since = "2.8.9",
	  .summary = "Shows how a HyperLogLog is stored.", .complexity = "N/A",
	  .args = "subcommand:string key:key#0" },
	{ .name = "pfselftest", .run = run_pfselftest, .class = EXEC_LOCAL, .arity = 1, .flags = CMD_ADMIN | CMD_SYSCMD,
	  .acl = ACL_HYPERLOGLOG, .group = "hyperloglog", .since = "2.8.9", .summary = "Tests the HyperLogLogs themselves.",
	  .complexity = "N/A" },
	{ .name = NULL },
};

/* replay: see replay.h. */
#include "server/replay.h"

#include <errno.h>
#include <stdio.h>

#include "server/client.h"
#include "server/config.h"
#include "server/digest.h"
#include "server/dispatch.h"
#include "server/journal/journal.h"
#include "server/script/functions.h"
#include "server/worker.h"

static struct {
	struct journal_reader *reader;
	struct store *copy;
} replay;

int replay_start(struct call *c)
{
	if (replay.reader)
		return -EALREADY;
	for (unsigned db = 0; db < store_dbs(c->op.store); db++) {
		if (store_count(c->op.store, db))
			return -ENOTEMPTY;
	}
	struct store_options o;
	int err = 0;
	store_options_init(&o);
	o.shards = 64;
	o.dbs = store_dbs(c->op.store);
	replay.copy = store_open(&o, &err);
	if (!replay.copy)
		return err;
	store_set_single(replay.copy, true);
	functions_replay_begin();
	replay.reader = journal_subscribe(dispatch_journal());
	if (replay.reader)
		return 0;
	store_close(replay.copy);
	replay.copy = NULL;
	return -ENOMEM;
}

void replay_stop(void)
{
	if (!replay.reader)
		return;
	journal_unsubscribe(replay.reader);
	store_close(replay.copy);
	replay.reader = NULL;
	replay.copy = NULL;
}

/* Bring the copy up to date. */
static int catch_up(struct call *c, char *text, size_t size)
{
	struct reply ignored;
	struct client *nobody = client_new_internal();
	if (!nobody)
		return -ENOMEM;
	reply_init_memory(&ignored, 2);
	struct call in = { .client = nobody, .reply = &ignored, .op = c->op, .loop = c->loop, .alone = true };
	in.op.store = replay.copy;
	in.op.show_expired = true;
	in.op.ctx = &in;
	struct journal_record rec;
	int err = 0;
	uint64_t last = 0;
	while (!err && journal_next(replay.reader, &rec)) {
		if (last && rec.sequence != last + 1) {
			snprintf(text, size, "gap in the journal before record %llu", (unsigned long long)rec.sequence);
			err = -EINVAL;
			break;
		}
		last = rec.sequence;
		nobody->db = (uint16_t)rec.db;
		in.op.db = rec.db;
		err = dispatch_replay(&in, rec.payload, rec.len, text, size);
		journal_release(replay.reader, rec.sequence);
	}
	reply_clear(&ignored);
	client_free(nobody);
	return err;
}

struct comparison {
	struct store_op other; /* where each visited key must be found */
	const char *missing;   /* what it means if it is not */
	int64_t now_ms;
	uint64_t seen;
	char *text;
	size_t size;
	bool differs;
};

static bool same_value(const struct entry *a, const struct entry *b)
{
	struct digest da = { { 0 } }, db = { { 0 } };
	digest_entry(&da, a);
	digest_entry(&db, b);
	return memcmp(&da, &db, sizeof da) == 0;
}

static void compare_entry(void *ctx, struct store_op *op, const struct store_key *key, struct entry *e)
{
	struct comparison *x = ctx;
	if (x->differs || entry_expiry(e) <= x->now_ms)
		return;
	x->seen++;
	struct store_key other = store_key(x->other.store, key->ptr, key->len);
	x->other.db = op->db;
	struct entry *o = store_find(&x->other, &other, STORE_PEEK);
	const char *what = !o ? x->missing
	                   : entry_type(o) != entry_type(e) ? "type differs"
	                   : entry_expiry(o) != entry_expiry(e) ? "expiry differs"
	                   : !same_value(o, e) ? "value differs" : NULL;
	if (!what)
		return;
	x->differs = true;
	snprintf(x->text, x->size, "db %u key '%.*s': %s", op->db, (int)(key->len < 64 ? key->len : 64), key->ptr, what);
}

/* Every live key of `from` must stand in `to`. */
static bool compare(struct store_op *from, struct store_op *to, const char *missing, char *text, size_t size)
{
	struct comparison x = { .other = *to, .missing = missing, .now_ms = from->now_ms, .text = text, .size = size };
	x.other.keep_expired = true;
	for (unsigned db = 0; db < store_dbs(from->store) && !x.differs; db++) {
		struct store_op op = *from;
		op.db = db;
		op.keep_expired = true;
		op.exclusive = true;
		store_each(&op, compare_entry, &x);
	}
	return !x.differs;
}

int replay_check(struct call *c, char *text, size_t size)
{
	if (!replay.reader)
		return -ENOENT;
	int err = catch_up(c, text, size);
	if (err)
		return err;
	struct store_op live = c->op, copy = c->op;
	copy.store = replay.copy;
	copy.exclusive = true;
	if (!compare(&live, &copy, "not in the replayed copy", text, size) ||
	    !compare(&copy, &live, "only in the replayed copy", text, size))
		return -EINVAL;
	if (!functions_replay_same()) {
		snprintf(text, size, "libraries of functions differ");
		return -EINVAL;
	}
	return 0;
}

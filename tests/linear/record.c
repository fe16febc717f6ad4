/* record: see record.h. */
#include "tests/linear/record.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/resp_client.h"
#include "tests/lib/rng.h"

enum { REGISTERS = 8, OPEN_LISTS = 6, LIST_LEN = 120 };

struct run {
	const struct record_spec *spec;
	_Atomic uint32_t elements; /* given out */
};

struct client {
	struct run *run;
	struct rng rng;
	struct resp_client *conn;
	struct history mine;
	uint8_t id;
	int64_t values;        /* given out */
	struct resp_value *reply[MAX_STEPS * 2 + 4];
	unsigned replies;
	char out[16384];
	size_t len;
	bool failed;
	char why[512];
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ------------------------------------------------------------------ asking */

static void put(struct client *c, const char *word)
{
	c->len += (size_t)snprintf(c->out + c->len, sizeof c->out - c->len, "$%zu\r\n%s\r\n", strlen(word), word);
}

/* A command of these words, up to NULL. */
static void command(struct client *c, ...)
{
	va_list ap;
	size_t n = 0;
	va_start(ap, c);
	while (va_arg(ap, const char *))
		n++;
	va_end(ap);
	c->len += (size_t)snprintf(c->out + c->len, sizeof c->out - c->len, "*%zu\r\n", n);
	va_start(ap, c);
	for (const char *word; (word = va_arg(ap, const char *));)
		put(c, word);
	va_end(ap);
}

static void forget(struct client *c)
{
	for (unsigned i = 0; i < c->replies; i++)
		resp_value_free(c->reply[i]);
	c->replies = 0;
}

/* Send what was put; n more replies. An error in any of them fails the run. */
static bool exchange(struct client *c, unsigned n)
{
	bool ok = resp_send_bytes(c->conn, c->out, c->len);
	c->len = 0;
	for (unsigned i = 0; i < n && ok; i++) {
		struct resp_value *v = resp_read_value(c->conn);
		c->reply[c->replies++] = v;
		ok = v && v->type != '-';
		for (size_t k = 0; ok && v->type == '*' && k < v->n; k++)
			ok = v->elements[k].type != '-';
		if (!ok)
			snprintf(c->why, sizeof c->why, "client %u got: %s", c->id, v && v->text ? v->text : "no answer");
	}
	c->failed |= !ok;
	return ok;
}

/* ------------------------------------------------------------------ registers */

static int64_t value_of(const struct resp_value *v)
{
	if (v->null)
		return ABSENT;
	return v->type == ':' ? v->integer : strtoll(v->text ? v->text : "", NULL, 10);
}

static struct register_op *note(struct client *c, unsigned key, enum register_kind kind)
{
	struct register_op *op = &c->mine.op[c->mine.ops++];
	*op = (struct register_op){ .key = (uint16_t)key, .kind = (uint8_t)kind, .client = c->id };
	return op;
}

/* Unique, and far enough apart for INCR. */
static int64_t new_value(struct client *c)
{
	return (++c->values * MAX_CLIENTS + c->id) << 20;
}

static void swap_if_same(struct client *c, unsigned key, const char *name)
{
	char text[32];
	int64_t from = now_ns();
	command(c, "WATCH", name, NULL);
	command(c, "GET", name, NULL);
	if (!exchange(c, 2))
		return;
	struct register_op *get = note(c, key, REG_GET);
	get->from = from;
	get->to = now_ns();
	get->result = value_of(c->reply[1]);
	int64_t value = new_value(c), to, again = now_ns();
	snprintf(text, sizeof text, "%" PRId64, value);
	command(c, "MULTI", NULL);
	command(c, "SET", name, text, NULL);
	command(c, "EXEC", NULL);
	if (!exchange(c, 3))
		return;
	to = now_ns();
	bool lost = c->reply[4]->null;
	struct register_op *op = note(c, key, lost ? REG_CAS_LOST : REG_CAS);
	op->from = lost ? from : again;
	op->to = to;
	op->arg = value;
	op->expected = get->result;
}

/* The command's words, up to NULL, bare or wrapped. The reply, or NULL. */
static const struct resp_value *ask_wrapped(struct client *c, const char *name, const char *key, const char *arg)
{
	unsigned way = (unsigned)rng_below(&c->rng, 8);
	if (way == 0) {
		command(c, "EVAL", "return redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))", "1", key, name, arg, NULL);
		return exchange(c, 1) ? c->reply[0] : NULL;
	}
	if (way == 1) {
		command(c, "MULTI", NULL);
		command(c, name, key, arg, NULL);
		command(c, "EXEC", NULL);
		return exchange(c, 3) && c->reply[2]->n == 1 ? &c->reply[2]->elements[0] : NULL;
	}
	command(c, name, key, arg, NULL);
	return exchange(c, 1) ? c->reply[0] : NULL;
}

static void register_op(struct client *c)
{
	static const struct {
		const char *name;
		enum register_kind kind;
		bool arg;
	} kinds[] = {
		{ "GET", REG_GET, false }, { "GET", REG_GET, false }, { "GET", REG_GET, false }, { "SET", REG_SET, true },
		{ "SET", REG_SET, true }, { "SETNX", REG_SETNX, true }, { "INCR", REG_INCR, false },
		{ "INCR", REG_INCR, false }, { "GETSET", REG_GETSET, true }, { "GETDEL", REG_GETDEL, false },
		{ "DEL", REG_DEL, false },
	};
	unsigned kind = (unsigned)rng_below(&c->rng, 13);
	unsigned key = (unsigned)(rng_below(&c->rng, REGISTERS) & rng_below(&c->rng, REGISTERS)); /* some are hot */
	char name[64], text[32] = "";
	snprintf(name, sizeof name, "r:%u:%u", c->run->spec->number, key);
	if (kind >= 11) {
		swap_if_same(c, key, name);
		return;
	}
	int64_t value = kinds[kind].arg ? new_value(c) : 0, from = now_ns();
	if (kinds[kind].arg)
		snprintf(text, sizeof text, "%" PRId64, value);
	const struct resp_value *v = ask_wrapped(c, kinds[kind].name, name, kinds[kind].arg ? text : NULL);
	int64_t to = now_ns();
	if (!v) {
		c->failed = true;
		return;
	}
	struct register_op *op = note(c, key, kinds[kind].kind);
	op->from = from;
	op->to = to;
	op->arg = value;
	op->result = kinds[kind].kind == REG_SET ? 0 : value_of(v);
}

/* ------------------------------------------------------------------ transactions */

static void list_name(const struct client *c, unsigned key, char *out, size_t size)
{
	snprintf(out, size, "l:%u:%u", c->run->spec->number, key);
}

static void put_step(struct client *c, const struct step *s)
{
	char name[64], text[32];
	list_name(c, s->key, name, sizeof name);
	snprintf(text, sizeof text, "%u", s->element);
	if (s->read)
		command(c, "LRANGE", name, "0", "-1", NULL);
	else
		command(c, "RPUSH", name, text, NULL);
}

static void take_reply(struct client *c, struct step *s, const struct resp_value *v)
{
	if (!s->read) {
		s->len = (uint32_t)v->integer;
		c->failed |= v->type != ':';
		return;
	}
	s->len = (uint32_t)v->n;
	s->elements = calloc(v->n + 1, sizeof *s->elements);
	if (!s->elements)
		abort();
	for (size_t i = 0; i < v->n; i++)
		s->elements[i] = (uint32_t)strtoul(v->elements[i].text, NULL, 10);
}

static void take_replies(struct client *c, struct transaction *t, const struct resp_value *all)
{
	t->committed = !all->null;
	if (!t->committed)
		return;
	if (all->n != t->n) {
		c->failed = true;
		snprintf(c->why, sizeof c->why, "EXEC answered %zu of %u commands", all->n, t->n);
		return;
	}
	for (unsigned k = 0; k < t->n; k++)
		take_reply(c, &t->step[k], &all->elements[k]);
}

/* In one write, or one command at a time. */
static void run_multi(struct client *c, struct transaction *t, bool pipelined)
{
	command(c, "MULTI", NULL);
	for (unsigned k = 0; k < t->n; k++) {
		if (!pipelined && !exchange(c, 1))
			return;
		put_step(c, &t->step[k]);
	}
	if (!pipelined && !exchange(c, 1))
		return;
	command(c, "EXEC", NULL);
	if (exchange(c, pipelined ? t->n + 2 : 1))
		take_replies(c, t, c->reply[c->replies - 1]);
}

static void run_script(struct client *c, struct transaction *t)
{
	char name[64], text[32];
	c->len += (size_t)snprintf(c->out, sizeof c->out, "*%u\r\n", 3 + t->n * 2);
	put(c, "EVAL");
	put(c, "local r = {} for i = 1, #KEYS do if ARGV[i] == '' then r[i] = redis.call('lrange', KEYS[i], 0, -1) "
	       "else r[i] = redis.call('rpush', KEYS[i], ARGV[i]) end end return r");
	snprintf(text, sizeof text, "%u", t->n);
	put(c, text);
	for (unsigned k = 0; k < t->n; k++) {
		list_name(c, t->step[k].key, name, sizeof name);
		put(c, name);
	}
	for (unsigned k = 0; k < t->n; k++) {
		snprintf(text, sizeof text, "%u", t->step[k].element);
		put(c, t->step[k].read ? "" : text);
	}
	if (exchange(c, 1))
		take_replies(c, t, c->reply[0]);
}

static int reads_first(const void *a, const void *b)
{
	return ((const struct step *)b)->read - ((const struct step *)a)->read;
}

/* WATCH, read outside of the transaction, append inside: if EXEC goes through, both were at the same instant. */
static void run_watched(struct client *c, struct transaction *t)
{
	unsigned reads = 0;
	char name[64];
	qsort(t->step, t->n, sizeof *t->step, reads_first);
	for (; reads < t->n && t->step[reads].read; reads++) {
		list_name(c, t->step[reads].key, name, sizeof name);
		command(c, "WATCH", name, NULL);
	}
	for (unsigned k = 0; k < reads; k++)
		put_step(c, &t->step[k]);
	if (!exchange(c, reads * 2))
		return;
	command(c, "MULTI", NULL);
	for (unsigned k = reads; k < t->n; k++)
		put_step(c, &t->step[k]);
	command(c, "EXEC", NULL);
	unsigned before = c->replies;
	if (!exchange(c, 2 + t->n - reads))
		return;
	const struct resp_value *all = c->reply[c->replies - 1];
	t->committed = !all->null;
	for (unsigned k = 0; k < t->n && t->committed; k++)
		take_reply(c, &t->step[k], k < reads ? c->reply[before - reads + k] : &all->elements[k - reads]);
}

static void transaction(struct client *c)
{
	struct transaction *t = &c->mine.txn[c->mine.txns++];
	unsigned way = (unsigned)rng_below(&c->rng, 5);
	*t = (struct transaction){ .client = c->id, .n = (uint8_t)(1 + rng_below(&c->rng, MAX_STEPS)) };
	for (unsigned k = 0; k < t->n; k++) {
		uint32_t given = atomic_load(&c->run->elements);
		struct step *s = &t->step[k];
		s->read = rng_below(&c->rng, 2);
		s->key = (uint16_t)(given / LIST_LEN + rng_below(&c->rng, OPEN_LISTS));
		s->element = s->read ? 0 : 1 + atomic_fetch_add(&c->run->elements, 1);
	}
	t->from = now_ns();
	if (t->n == 1 && way < 3) {
		put_step(c, &t->step[0]);
		t->committed = exchange(c, 1);
		if (t->committed)
			take_reply(c, &t->step[0], c->reply[0]);
	} else if (way == 0)
		run_script(c, t);
	else if (way == 1)
		run_watched(c, t);
	else
		run_multi(c, t, way != 2);
	t->to = now_ns();
}

/* ------------------------------------------------------------------ the run */

/* What has nothing to do with the keys, and stops the others. */
static void disturb(struct client *c)
{
	static const char *const lines[] = {
		"BGSAVE", "SWAPDB 1 2", "CONFIG SET hz 20", "FLUSHDB", "SCRIPT FLUSH", "KEYS r:*", "DBSIZE", "UNWATCH",
		"ACL SETUSER other on >p ~* +@all", "CONFIG SET maxmemory-samples 5", "SCAN 0", "RANDOMKEY",
	};
	const char *line = lines[rng_below(&c->rng, sizeof lines / sizeof *lines)];
	bool flush = !strcmp(line, "FLUSHDB");
	if (flush)
		resp_value_free(resp_ask(c->conn, "SELECT 9"));
	resp_value_free(resp_ask(c->conn, line));
	if (flush)
		resp_value_free(resp_ask(c->conn, "SELECT 0"));
}

static void *client_main(void *arg)
{
	struct client *c = arg;
	size_t ops = c->run->spec->ops / c->run->spec->clients;
	while (c->mine.ops + c->mine.txns < ops && !c->failed) {
		unsigned what = (unsigned)rng_below(&c->rng, 1000);
		if (what < 400)
			transaction(c);
		else if (what < 996)
			register_op(c);
		else
			disturb(c);
		forget(c);
	}
	return NULL;
}

/* What the lists are in the end, so that the place of every append is known. */
static void read_lists(struct client *c, size_t lists)
{
	for (size_t key = 0; key < lists && !c->failed; key++) {
		struct transaction *t = &c->mine.txn[c->mine.txns++];
		*t = (struct transaction){ .client = c->id, .n = 1 };
		t->step[0] = (struct step){ .key = (uint16_t)key, .read = true };
		t->from = now_ns();
		put_step(c, &t->step[0]);
		t->committed = exchange(c, 1);
		if (t->committed)
			take_reply(c, &t->step[0], c->reply[0]);
		t->to = now_ns();
		forget(c);
	}
}

static void gather(struct history *h, struct client *clients, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct history *m = &clients[i].mine;
		if (m->ops)
			memcpy(h->op + h->ops, m->op, m->ops * sizeof *m->op);
		if (m->txns)
			memcpy(h->txn + h->txns, m->txn, m->txns * sizeof *m->txn);
		h->ops += m->ops;
		h->txns += m->txns;
		free(m->op);
		free(m->txn);
	}
}

int record(const struct record_spec *spec, struct history *h, struct verdict *v)
{
	struct run run = { .spec = spec };
	struct client *c = calloc(spec->clients, sizeof *c);
	pthread_t thread[MAX_CLIENTS];
	size_t room = spec->ops + 2;
	int result = 0;
	/* An operation under WATCH is two; the lists at the end are less than an element each. */
	size_t txn_room = room * (1 + MAX_STEPS) + OPEN_LISTS;
	*h = (struct history){ .registers = REGISTERS };
	h->op = calloc(room + spec->clients * 2, sizeof *h->op);
	h->txn = calloc(txn_room, sizeof *h->txn);
	if (!c || !h->op || !h->txn)
		abort();
	for (unsigned i = 0; i < spec->clients; i++) {
		c[i].run = &run;
		c[i].id = (uint8_t)i;
		c[i].rng.s = spec->seed * 1000003 + spec->number * 131 + i;
		c[i].conn = resp_connect(spec->port);
		c[i].mine.op = calloc(room + 2, sizeof *c[i].mine.op);
		c[i].mine.txn = calloc(i ? room : txn_room, sizeof *c[i].mine.txn);
		if (!c[i].mine.op || !c[i].mine.txn)
			abort();
		c[i].failed = !c[i].conn;
	}
	for (unsigned i = 0; i < spec->clients; i++) {
		if (pthread_create(&thread[i], NULL, client_main, &c[i]))
			abort();
	}
	for (unsigned i = 0; i < spec->clients; i++)
		pthread_join(thread[i], NULL);
	h->elements = atomic_load(&run.elements) + 1;
	h->lists = h->elements / LIST_LEN + OPEN_LISTS;
	read_lists(&c[0], h->lists);
	for (unsigned i = 0; i < spec->clients; i++) {
		if (c[i].failed) {
			snprintf(v->why, sizeof v->why, "%s\n", *c[i].why ? c[i].why : "nobody accepts connections");
			result = -1;
		}
		forget(&c[i]);
		resp_close(c[i].conn);
	}
	gather(h, c, spec->clients);
	free(c);
	return result;
}

/*
 * messages: see messages.h.
 *
 * One step is one command (or transaction) by one client. When its replies are there, every client sends a PING of its
 * own, three times: what reached it before the last answer is compared, replies and messages in their order.
 */
#include "tests/diff/messages.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEPS 100
#define MAX_KEYS 32

/* What came to one client in this step. */
struct inbox {
	char text[6000]; /* printable */
	size_t len;
	char *keys[MAX_KEYS]; /* of the invalidations: sorted, each once; "" stands for all */
	unsigned nkeys;
	int64_t id;
};

struct run {
	struct sides *sides;
	struct gen *gen;
	unsigned step;
	bool gone; /* a connection was closed */
	bool modern; /* not 7.0, whose messages come in the middle of a RESP3 reply */
	struct inbox in[MAX_SIDES][MAX_CONNS];
	int64_t ids[MAX_SIDES][STEPS + MAX_CONNS]; /* of all connections there were, in their order */
	unsigned nids[MAX_SIDES];
	char log[STEPS * 160];
	size_t logged;
};

/* # is a key, % the number of some client. */
static const char *const tracking[] = {
	"CLIENT TRACKING ON", "CLIENT TRACKING ON", "CLIENT TRACKING ON", "CLIENT TRACKING ON NOLOOP", "CLIENT TRACKING ON BCAST",
	"CLIENT TRACKING ON BCAST NOLOOP", "CLIENT TRACKING ON BCAST PREFIX p: PREFIX q:", "CLIENT TRACKING ON BCAST PREFIX p",
	"CLIENT TRACKING ON OPTIN", "CLIENT TRACKING ON OPTOUT", "CLIENT TRACKING ON OPTIN NOLOOP", "CLIENT TRACKING OFF",
	"CLIENT TRACKING OFF", "CLIENT TRACKING ON REDIRECT %", "CLIENT TRACKING ON REDIRECT %", "CLIENT TRACKING ON BCAST REDIRECT %",
	"CLIENT TRACKING ON BCAST PREFIX q: REDIRECT % NOLOOP", "CLIENT TRACKING ON REDIRECT 0", "CLIENT TRACKING ON OPTIN OPTOUT",
	"CLIENT TRACKING ON PREFIX a", "CLIENT TRACKING ON BCAST PREFIX p PREFIX pq", "CLIENT TRACKING ON BCAST OPTIN",
	"CLIENT TRACKING ON REDIRECT 999999", "CLIENT TRACKING ON REDIRECT x", "CLIENT TRACKING MAYBE", "CLIENT TRACKING ON x",
	"CLIENT TRACKING ON BCAST PREFIX", "CLIENT CACHING MAYBE", "CLIENT CACHING YES", "CLIENT CACHING NO", "CLIENT GETREDIR",
	"CLIENT TRACKINGINFO", "CLIENT TRACKINGINFO", "QUIT", "HELLO 3", "HELLO 2", "RESET", "SUBSCRIBE __redis__:invalidate",
	"SUBSCRIBE __redis__:invalidate", "UNSUBSCRIBE __redis__:invalidate", NULL,
};
static const char *const reads[] = {
	"GET #", "GET #", "GET #", "MGET # # #", "STRLEN #", "EXISTS # #", "TYPE #", "TTL #", "LRANGE l 0 -1", "HGETALL h", "SCARD s",
	"ZSCORE z a", "GETRANGE # 0 1", "CLIENT CACHING YES\nGET #", "CLIENT CACHING YES\nMGET # #", "CLIENT CACHING NO\nGET #",
	"CLIENT CACHING YES\nMULTI\nGET #\nGET #\nEXEC", "MULTI\nGET #\nGET #\nEXEC", "MULTI\nMGET # #\nSET # 1\nGET #\nEXEC",
	"TOUCH #", "SORT l", "DBSIZE", "GETEX #", "OBJECT ENCODING #", "LCS # #", "SMISMEMBER s a b", NULL,
};
/* Not SWAPDB: it changes what keys mean, and Redis tells nobody; here all are told. Nor a time to live that has passed: Valkey
 * 8.1 has another event for it. */
static const char *const writes[] = {
	"SET # 1", "SET # 2", "SET # 3", "DEL #", "DEL # # #", "INCR #", "APPEND # x", "MSET # 1 # 2 # 3", "MSETNX # 1 # 2",
	"RENAME # #", "COPY # #", "COPY # # REPLACE", "GETDEL #", "GETSET # 5", "EXPIRE # 1000", "PERSIST #",
	"GETEX # EX 1000", "GETEX # PERSIST", "SETRANGE # 1 y", "RPUSH l 1 2", "LPOP l", "DEL l h s z", "HSET h f v",
	"HDEL h f", "SADD s a b", "SREM s a", "SADD s a", "ZADD z 1 a", "ZADD z XX 5 none", "ZREM z a", "SETNX # 1", "UNLINK # #",
	"MULTI\nSET # 1\nSET # 2\nDEL #\nEXEC", "MULTI\nINCR #\nSET # 9\nEXEC", "MULTI\nSET # 1\nFLUSHDB\nEXEC", "FLUSHALL", "FLUSHDB",
	"SELECT 1", "SELECT 0", "SELECT 0", "MOVE # 1", "SINTERSTORE s s", "SORT l STORE l", "BITOP OR # # #",
	"SET # x KEEPTTL", "SET # 1 XX", "SET # 1 NX", "SET # 1 GET", "LPUSHX none x", "INCRBY # 0", NULL,
};
static const char *const talk[] = {
	"SUBSCRIBE c1", "SUBSCRIBE c2", "PSUBSCRIBE c*", "UNSUBSCRIBE c1", "UNSUBSCRIBE c2", "PUNSUBSCRIBE c*",
	"PUBLISH c1 m", "PUBLISH c2 n", "PUBLISH nobody x", "PUBLISH c1 mm", "SSUBSCRIBE c1", "SUNSUBSCRIBE c1",
	"SPUBLISH c1 sm", "PUBSUB NUMSUB c1 c2", "PUBSUB NUMPAT", "PUBSUB SHARDNUMSUB c1", "MULTI\nPUBLISH c1 a\nPUBLISH c2 b\nEXEC",
	"SUBSCRIBE __keyevent@0__:del", "PSUBSCRIBE __keyspace@0__:p*", "PSUBSCRIBE __keyevent@*__:*", "UNSUBSCRIBE __keyevent@0__:del",
	"PUNSUBSCRIBE __keyspace@0__:p*", "PUNSUBSCRIBE __keyevent@*__:*", NULL,
};

/* ------------------------------------------------------------------ steps */

static void make_step(struct run *r, char *line, size_t size)
{
	static const char *const keys[] = { "a", "b", "p:a", "p:b", "pq", "q:a", NULL };
	uint32_t what = gen_below(r->gen, 100);
	const char *form = gen_pick(r->gen, what < 22 ? tracking : what < 54 ? reads : what < 90 ? writes : talk);
	size_t n = 0;
	for (const char *p = form; *p && n + 8 < size; p++) {
		if (*p == '#')
			n += (size_t)snprintf(line + n, size - n, "%s", gen_pick(r->gen, keys));
		else if (*p == '%')
			n += (size_t)snprintf(line + n, size - n, "%%%u", 1 + gen_below(r->gen, MAX_CONNS - 1));
		else
			line[n++] = *p;
	}
	line[n] = 0;
	if (!r->modern && !strcmp(line, "HELLO 3"))
		line[n - 1] = '2';
}

/* "%3" becomes the id that the side gave to client 3. */
static void fill_ids(const struct run *r, int side, const char *form, char *line, size_t size)
{
	const char *at = strchr(form, '%');
	if (at)
		snprintf(line, size, "%.*s%" PRId64 "%s", (int)(at - form), form, r->in[side][at[1] - '0'].id, at + 2);
	else
		snprintf(line, size, "%s", form);
}

static bool is_message(struct resp_bytes b)
{
	static const char *const kinds[] = { "$10\r\ninvalidate\r\n", "$7\r\nmessage\r\n", "$8\r\npmessage\r\n", "$8\r\nsmessage\r\n",
		                             "$21\r\ntracking-redir-broken\r\n" };
	size_t head = b.len > 4 && b.ptr[2] == '\r' ? 4 : 0;
	for (size_t i = 0; head && i < sizeof kinds / sizeof *kinds; i++) {
		size_t n = strlen(kinds[i]);
		if (b.len >= head + n && !memcmp(b.ptr + head, kinds[i], n))
			return true;
	}
	return false;
}

/* How many messages tell of the keys that one step changed, and when, is left to the server. Which keys is not. */
static bool keep_keys(struct inbox *in, struct resp_bytes got)
{
	struct resp_value *v = resp_parse_value(got.ptr, got.len), *keys = &v->elements[v->n - 1];
	bool broken = v->n == 2 && !strcmp(v->elements[0].text, "tracking-redir-broken");
	bool is = broken || !strcmp(v->elements[v->n == 2 ? 0 : 1].text, v->n == 2 ? "invalidate" : "__redis__:invalidate");
	for (size_t i = 0; is && i < (keys->null || broken ? 1 : keys->n); i++) {
		const char *name = broken ? "(broken)" : keys->null ? "" : keys->elements[i].text;
		unsigned at = 0;
		while (at < in->nkeys && strcmp(in->keys[at], name) < 0)
			at++;
		if (in->nkeys == MAX_KEYS || (at < in->nkeys && !strcmp(in->keys[at], name)))
			continue;
		memmove(in->keys + at + 1, in->keys + at, (in->nkeys++ - at) * sizeof *in->keys);
		in->keys[at] = strdup(name);
	}
	resp_value_free(v);
	return is;
}

static void keys_to_text(struct inbox *in)
{
	for (unsigned i = 0; i < in->nkeys; i++) {
		int n = snprintf(in->text + in->len, sizeof in->text - in->len, "%s%s%s", i ? " " : "invalidate(",
		                 *in->keys[i] ? in->keys[i] : "all", i + 1 == in->nkeys ? ") " : "");
		in->len += in->len + (size_t)n < sizeof in->text ? (size_t)n : 0;
		free(in->keys[i]);
	}
	in->nkeys = 0;
}

/* Ids differ between the sides: in what tells them they are named. */
static void keep(struct run *r, int side, int k, const char *command, struct resp_bytes got)
{
	struct inbox *in = &r->in[side][k];
	if (!*command && keep_keys(in, got))
		return;
	char *text = resp_printable(got.ptr, got.len);
	const char *rest = text;
	bool ids = !strncmp(command, "CLIENT GETREDIR", 15) || !strncmp(command, "CLIENT TRACKINGINFO", 19);
	bool hello = !strncmp(command, "HELLO", 5);
	while (*rest && in->len + 64 < sizeof in->text) {
		int64_t id = *rest == ':' && ids ? strtoll(rest + 1, NULL, 10) : 0;
		unsigned who = 0;
		while (id > 0 && who < r->nids[side] && r->ids[side][who] != id)
			who++;
		if (id > 0 && who < r->nids[side]) {
			in->len += (size_t)snprintf(in->text + in->len, sizeof in->text - in->len, ":(connection %u)", who);
			rest += 1 + strspn(rest + 1, "0123456789");
		} else {
			in->text[in->len++] = *rest++;
		}
	}
	if (hello) /* names the server */
		in->len = 0;
	in->text[in->len++] = ' ';
	in->text[in->len] = 0;
	free(text);
}

/* Frames up to the one that is awaited: a reply, or the answer to the PING. */
static void read_until(struct run *r, int side, int k, const char *command, const char *ping)
{
	struct resp_bytes got;
	for (;;) {
		if (!resp_read(r->sides->side[side].conn[k], &got)) {
			r->gone = true;
			return;
		}
		bool message = is_message(got);
		if (!message && ping && memmem(got.ptr, got.len, ping, strlen(ping)))
			return;
		keep(r, side, k, message ? "" : *command ? command : "(late)", got);
		if (!message && !ping)
			return;
	}
}

static void new_connection(struct run *r, int side, int k)
{
	struct resp_client **conn = &r->sides->side[side].conn[k];
	resp_close(*conn);
	*conn = resp_connect(r->sides->side[side].proc.port);
	struct resp_value *hello = *conn ? resp_ask(*conn, r->gen->resp == 3 && r->modern ? "HELLO 3" : "HELLO 2") : NULL;
	struct resp_value *v = hello ? resp_ask(*conn, "CLIENT ID") : NULL;
	r->in[side][k].id = v ? v->integer : 0;
	r->ids[side][r->nids[side]++] = r->in[side][k].id;
	r->gone |= !v;
	resp_value_free(hello);
	resp_value_free(v);
}

static void run_step(struct run *r, int side, int k, const char *form)
{
	struct resp_client **conn = r->sides->side[side].conn;
	char line[256], ping[32], sent[40];
	while (*form && !r->gone) {
		size_t n = strcspn(form, "\n");
		char one[160];
		snprintf(one, sizeof one, "%.*s", (int)n, form);
		fill_ids(r, side, one, line, sizeof line);
		resp_send(conn[k], line);
		read_until(r, side, k, line, NULL);
		if (!strcmp(one, "QUIT") && resp_read_eof(conn[k]))
			new_connection(r, side, k);
		form += n + (form[n] == '\n');
	}
	for (int round = 0; round < 3; round++) { /* to who tracks, on to where it redirects, and back if that is gone */
		snprintf(ping, sizeof ping, "ping-%u-%d", r->step, round);
		snprintf(sent, sizeof sent, "PING %s", ping);
		for (int c = 1; c < MAX_CONNS; c++)
			resp_send(conn[c], sent);
		for (int c = 1; c < MAX_CONNS && !r->gone; c++) {
			read_until(r, side, c, "", ping);
			if (round == 2)
				keys_to_text(&r->in[side][c]);
		}
	}
}

static void note(struct run *r, int k, const char *form)
{
	size_t room = sizeof r->log - r->logged;
	int n = snprintf(r->log + r->logged, room, "\n    %d> ", k);
	for (; *form && (size_t)n + 4 < room; form++)
		n += snprintf(r->log + r->logged + n, room - (size_t)n, *form == '\n' ? "; " : "%c", *form);
	r->logged += (size_t)n < room ? (size_t)n : 0;
}

/* 0, or -1 and what differs was told. */
static int compare_step(struct run *r, sides_fail *fail, void *ctx)
{
	int result = 0;
	for (int i = 1; i < r->sides->n && !result; i++) {
		for (int k = 1; k < MAX_CONNS && !result; k++) {
			char what[sizeof r->log + 64];
			const struct inbox *ours = &r->in[i][k], *theirs = &r->in[0][k];
			if (!strcmp(ours->text, theirs->text))
				continue;
			snprintf(what, sizeof what, "what client %d got after%s", k, r->log);
			fail(ctx, i, what, ours->len ? ours->text : "(nothing)", theirs->len ? theirs->text : "(nothing)");
			result = -1;
		}
	}
	if (r->gone && !result) {
		fail(ctx, 1, r->log, "(a connection is gone)", "");
		result = -1;
	}
	for (int i = 0; i < r->sides->n; i++) {
		for (int k = 1; k < MAX_CONNS; k++) {
			r->in[i][k].len = 0;
			r->in[i][k].text[0] = 0;
		}
	}
	return result;
}

int messages_run(struct sides *sides, struct gen *g, sides_fail *fail, void *ctx)
{
	struct run *r = calloc(1, sizeof *r);
	int result = r ? 0 : -1;
	if (!r)
		return -1;
	r->sides = sides;
	r->gen = g;
	r->modern = strncmp(sides->side[0].name, "redis-7.0", 9) != 0;
	for (int i = 0; i < sides->n; i++) {
		for (int k = 1; k < MAX_CONNS; k++)
			new_connection(r, i, k);
		resp_value_free(resp_ask(sides->side[i].conn[0], "CONFIG SET notify-keyspace-events KEA"));
	}
	for (; r->step < STEPS && !result; r->step++) {
		char form[160];
		int k = 1 + (int)gen_below(g, MAX_CONNS - 1);
		make_step(r, form, sizeof form);
		note(r, k, form);
		for (int i = 0; i < sides->n; i++)
			run_step(r, i, k, form);
		result = compare_step(r, fail, ctx);
	}
	free(r);
	return result;
}

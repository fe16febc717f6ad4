/*
 * schedule: see schedule.h.
 *
 * One step is one command (or transaction) by one client that is not waiting. A side has settled when as many clients
 * wait for a reply as INFO says are blocked; then all replies that came in this step, to whichever client, must agree.
 */
#include "tests/diff/schedule.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEPS 120
#define LATE_S 120

/* What came to one client in this step. */
struct inbox {
	unsigned due;
	char text[4000]; /* printable */
	size_t len;
	char id[24];
};

struct schedule {
	struct sides *sides;
	struct gen *gen;
	bool modern; /* not 7.0, which serves by the key that was touched first */
	unsigned step;
	struct inbox in[MAX_SIDES][MAX_CONNS];
	char log[STEPS * 128];
	size_t logged;
};

static const char *const waits[] = {
	"BLPOP @ 0", "BRPOP @ 0", "BLMOVE @ @ LEFT RIGHT 0", "BLMOVE @ @ RIGHT RIGHT 0", "BRPOPLPUSH @ @ 0",
	"BLMPOP 0 1 @ LEFT COUNT 2", "BZPOPMIN z@ 0", "BZPOPMAX z@ z@ 0", "BZMPOP 0 1 z@ MIN", "XREAD BLOCK 0 STREAMS s@ $",
	"XREAD BLOCK 0 STREAMS s@ t@ $ 5-0", "BZPOPMIN u@ z@ 0", NULL,
};
/* u and t have no other use: where a STORE command replaces a key of another type, Redis forgets who waits for the new one. */
static const char *const feeds[] = {
	"RPUSH @ x", "LPUSH @ y z", "RPUSH @ 1 2 3", "RPUSH @ u", "LPUSH @ v", "LMOVE @ @ LEFT LEFT", "RENAME @ @", "COPY @ @",
	"DEL @ @", "LPOP @", "ZADD z@ 1 m 2 n", "ZADD z@ 5 o", "ZADD z@ 3 p", "RENAME z@ z@", "FLUSHALL", "ZUNIONSTORE u@ 1 z@",
	"LINSERT @ BEFORE x w", "XADD s@ #-0 f v", "XADD t@ #-1 f v", "DEL z@", "ZPOPMIN z@", "LRANGE @ 0 -1", NULL,
};
static const char *const modern_feeds[] = {
	"MULTI\nRPUSH @ x\nDEL @\nEXEC", "MULTI\nRPUSH @ 1\nLPUSH @ 2\nEXEC", "MULTI\nSET @ x\nDEL @\nRPUSH @ y\nEXEC",
	"XREADGROUP GROUP g c BLOCK 0 STREAMS s@ >", "XREADGROUP GROUP g d COUNT 1 BLOCK 0 STREAMS s@ t@ > >",
	"XREADGROUP GROUP g c NOACK BLOCK 0 STREAMS t@ >", "XGROUP CREATE s@ g $ MKSTREAM", "XGROUP CREATE t@ g 0",
	"XGROUP CREATE s@ g 0 MKSTREAM", "XGROUP DESTROY s@ g", "DEL s@ t@", "SET s@ x", "BLPOP @ @ 0", "BLPOP @ @ 0",
	"MULTI\nXADD s@ #-5 f v\nXADD t@ #-5 f v\nXADD s@ #-6 f v\nEXEC", "XADD s@ #-2 f v", "XADD t@ #-2 f v",
	"MULTI\nZADD z@ 1 m\nRPUSH @ 1 2\nEXEC", "SET @ x", "RENAME @ z@", "RENAME z@ @", "MULTI\nBLPOP @ 0\nRPUSH @ t\nEXEC",
	NULL,
};

/* A form with @ for a key and # for the number of the step. */
static void make_step(struct schedule *s, char *line, size_t size)
{
	const char *const *forms = gen_chance(s->gen, 40)                ? waits
	                           : s->modern && gen_chance(s->gen, 45) ? modern_feeds
	                                                                 : feeds;
	size_t n = 0;
	for (const char *p = gen_pick(s->gen, forms); *p && n + 16 < size; p++) {
		if (*p == '@')
			line[n++] = (char)('a' + gen_below(s->gen, 4));
		else if (*p == '#')
			n += (size_t)snprintf(line + n, size - n, "%u", s->step + 1);
		else
			line[n++] = *p;
	}
	line[n] = 0;
}

static void note(struct schedule *s, int k, const char *line)
{
	size_t room = sizeof s->log - s->logged;
	int n = snprintf(s->log + s->logged, room, "\n    %d> %s", k, line);
	s->logged += (size_t)n < room ? (size_t)n : 0;
}

/* Each line of it to one client of each side. */
static void send_step(struct schedule *s, int k, const char *line)
{
	while (*line) {
		char one[128];
		size_t n = strcspn(line, "\n");
		snprintf(one, sizeof one, "%.*s", (int)n, line);
		note(s, k, one);
		for (int i = 0; i < s->sides->n; i++) {
			resp_send(s->sides->side[i].conn[k], one);
			s->in[i][k].due++;
		}
		line += n + (line[n] == '\n');
	}
}

/* By connection 0, which has no inbox. */
static void unblock(struct schedule *s, int k, bool error)
{
	char line[64];
	note(s, 0, error ? "CLIENT UNBLOCK (the next) ERROR" : "CLIENT UNBLOCK (the next)");
	note(s, k, "(is unblocked)");
	for (int i = 0; i < s->sides->n; i++) {
		snprintf(line, sizeof line, "CLIENT UNBLOCK %s%s", s->in[i][k].id, error ? " ERROR" : "");
		resp_value_free(resp_ask(s->sides->side[i].conn[0], line));
	}
}

static bool has_bytes(const struct resp_client *c)
{
	struct pollfd p = { c->fd, POLLIN, 0 };
	return c->end > c->start || poll(&p, 1, 0) > 0;
}

static void take_replies(struct resp_client *c, struct inbox *in)
{
	struct resp_bytes got;
	while (in->due && has_bytes(c) && resp_read(c, &got)) {
		char *text = resp_printable(got.ptr, got.len);
		int n = snprintf(in->text + in->len, sizeof in->text - in->len, "%s ", text);
		in->len += (size_t)n < sizeof in->text - in->len ? (size_t)n : 0;
		in->due--;
		free(text);
	}
}

static long blocked_clients(struct resp_client *c)
{
	struct resp_value *v = resp_ask(c, "INFO clients");
	const char *at = v && v->text ? strstr(v->text, "blocked_clients:") : NULL;
	long n = at ? strtol(at + 16, NULL, 10) : -1;
	resp_value_free(v);
	return n;
}

static bool settle(struct schedule *s, int i)
{
	struct side *side = &s->sides->side[i];
	time_t late = time(NULL) + LATE_S;
	for (;;) {
		long waiting = 0;
		for (int k = 1; k < MAX_CONNS; k++) {
			take_replies(side->conn[k], &s->in[i][k]);
			waiting += s->in[i][k].due != 0;
		}
		long blocked = blocked_clients(side->conn[0]);
		if (blocked == waiting)
			return true;
		if (blocked < 0 || time(NULL) > late)
			return false;
	}
}

/* 0, or -1 and what differs was told. */
static int compare_step(struct schedule *s, sides_fail *fail, void *ctx)
{
	int result = 0;
	for (int i = 0; i < s->sides->n; i++) {
		if (!settle(s, i)) {
			fail(ctx, i, s->log, "(did not settle)", "");
			return -1;
		}
	}
	for (int i = 1; i < s->sides->n; i++) {
		for (int k = 1; k < MAX_CONNS && !result; k++) {
			char what[sizeof s->log + 64];
			struct inbox *ours = &s->in[i][k], *theirs = &s->in[0][k];
			if (ours->due == theirs->due && !strcmp(ours->text, theirs->text))
				continue;
			snprintf(what, sizeof what, "connection %d after%s", k, s->log);
			fail(ctx, i, what, ours->len ? ours->text : "(waits)", theirs->len ? theirs->text : "(waits)");
			result = -1;
		}
	}
	for (int i = 0; i < s->sides->n; i++) {
		for (int k = 1; k < MAX_CONNS; k++) {
			s->in[i][k].len = 0;
			s->in[i][k].text[0] = 0;
		}
	}
	return result;
}

static int one_step(struct schedule *s, sides_fail *fail, void *ctx)
{
	char line[128];
	int k = 1 + (int)gen_below(s->gen, MAX_CONNS - 1);
	for (int tries = 0; s->in[0][k].due && tries < 8; tries++)
		k = 1 + (int)gen_below(s->gen, MAX_CONNS - 1);
	if (s->in[0][k].due)
		unblock(s, k, gen_chance(s->gen, 50));
	else {
		make_step(s, line, sizeof line);
		send_step(s, k, line);
	}
	return compare_step(s, fail, ctx);
}

int schedule_run(struct sides *sides, struct gen *g, sides_fail *fail, void *ctx)
{
	struct schedule *s = calloc(1, sizeof *s);
	int result = s ? 0 : -1;
	if (!s)
		return -1;
	s->sides = sides;
	s->gen = g;
	s->modern = strncmp(sides->side[0].name, "redis-7.0", 9) != 0;
	for (int i = 0; i < sides->n; i++) {
		for (int k = 1; k < MAX_CONNS; k++) {
			struct resp_value *v = resp_ask(sides->side[i].conn[k], "CLIENT ID");
			snprintf(s->in[i][k].id, sizeof s->in[i][k].id, "%lld", v ? (long long)v->integer : 0);
			resp_value_free(v);
		}
	}
	for (; s->step < STEPS && !result; s->step++)
		result = one_step(s, fail, ctx);
	for (int k = 1; k < MAX_CONNS && !result; k++) {
		if (s->in[0][k].due) {
			unblock(s, k, false);
			result = compare_step(s, fail, ctx);
		}
	}
	free(s);
	return result;
}

/* final: the state at the end of a stream, key by key. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/diff/sides.h"

#define WORD(w) { w, sizeof(w) - 1 }

struct final {
	struct sides *s;
	sides_fail *fail;
	void *ctx;
	struct resp_bytes key;
	char type[16];
};

static struct resp_bytes copy_reply(struct resp_client *c, char **keep)
{
	struct resp_bytes r;
	*keep = NULL;
	if (!resp_read(c, &r))
		return (struct resp_bytes){ "", 0 };
	*keep = malloc(r.len);
	memcpy(*keep, r.ptr, r.len);
	return (struct resp_bytes){ *keep, r.len };
}

/* "DEBUG DIGEST-VALUE zset key": which question, of which type, about which key. */
static void differs(const struct final *f, int side, const char *question, struct resp_bytes ours, struct resp_bytes theirs)
{
	char what[600], *key = resp_printable(f->key.ptr, f->key.len);
	char *a = resp_printable(ours.ptr, ours.len), *b = resp_printable(theirs.ptr, theirs.len);
	snprintf(what, sizeof what, "%s %s \"%.400s\"", question, f->type, key);
	f->fail(f->ctx, side, what, a, b);
	free(key);
	free(a);
	free(b);
}

/* The same question to every side; a difference is reported. */
static void ask_all(const struct final *f, size_t argc, const struct resp_bytes *argv, enum compare how)
{
	char *theirs_mem, *ours_mem;
	struct sides *s = f->s;
	for (int i = 0; i < s->n; i++)
		resp_send_argv(s->side[i].conn[0], argc, argv);
	struct resp_bytes theirs = copy_reply(s->side[0].conn[0], &theirs_mem);
	for (int i = 1; i < s->n; i++) {
		struct resp_bytes ours = copy_reply(s->side[i].conn[0], &ours_mem);
		if (!replies_agree(how, ours, theirs)) {
			char question[64];
			const char *name = argv[0].ptr;
			bool sub = argc > 1 && (!strcmp(name, "OBJECT") || !strcmp(name, "DEBUG") || !strcmp(name, "XINFO"));
			snprintf(question, sizeof question, "%.30s%s%.30s", name, sub ? " " : "", sub ? argv[1].ptr : "");
			differs(f, i, question, ours, theirs);
		}
		free(ours_mem);
	}
	free(theirs_mem);
}

/* Every element, in its order where it has one. */
static void compare_content(const struct final *f)
{
	const struct resp_bytes key = f->key;
	if (!strcmp(f->type, "string")) {
		ask_all(f, 2, (struct resp_bytes[]){ WORD("GET"), key }, CMP_EXACT);
	} else if (!strcmp(f->type, "list")) {
		ask_all(f, 4, (struct resp_bytes[]){ WORD("LRANGE"), key, WORD("0"), WORD("-1") }, CMP_EXACT);
	} else if (!strcmp(f->type, "set")) {
		ask_all(f, 2, (struct resp_bytes[]){ WORD("SMEMBERS"), key }, CMP_UNORDERED);
	} else if (!strcmp(f->type, "hash")) {
		ask_all(f, 2, (struct resp_bytes[]){ WORD("HGETALL"), key }, CMP_PAIRS);
	} else if (!strcmp(f->type, "zset")) {
		/* Scores, which are not printed alike, agree when each side makes the other's payload the same as its own. */
		ask_all(f, 4, (struct resp_bytes[]){ WORD("ZRANGE"), key, WORD("0"), WORD("-1") }, CMP_EXACT);
	} else if (!strcmp(f->type, "stream")) {
		ask_all(f, 4, (struct resp_bytes[]){ WORD("XRANGE"), key, WORD("-"), WORD("+") }, CMP_EXACT);
		ask_all(f, 3, (struct resp_bytes[]){ WORD("XINFO"), WORD("GROUPS"), key }, CMP_EXACT);
	}
}

/* ------------------------------------------------------------------ DUMP and RESTORE */

static const struct resp_bytes temporary = WORD("restored at the end of a stream");

static struct resp_value *ask(struct resp_client *c, size_t argc, const struct resp_bytes *argv)
{
	return resp_send_argv(c, argc, argv) ? resp_read_value(c) : NULL;
}

/* The digest of a key as one side has it. Malloc'ed. */
static char *digest_of(struct resp_client *c, struct resp_bytes key)
{
	struct resp_value *v = ask(c, 3, (struct resp_bytes[]){ WORD("DEBUG"), WORD("DIGEST-VALUE"), key });
	char *text = strdup(v && v->n ? v->elements[0].text : v && v->text ? v->text : "(closed)");
	resp_value_free(v);
	return text;
}

/* What one side dumps, restored at another: the digest there, or the error. Malloc'ed; NULL: there is no such key. */
static char *moved(const struct final *f, struct resp_client *from, struct resp_client *to, const char *ttl)
{
	struct resp_value *v = ask(from, 2, (struct resp_bytes[]){ WORD("DUMP"), f->key });
	char *digest = NULL;
	if (v && v->text && v->type != '-') {
		struct resp_bytes payload = { v->text, v->len };
		struct resp_bytes restore[] = { WORD("RESTORE"), temporary, { ttl, strlen(ttl) }, payload, WORD("REPLACE") };
		struct resp_value *done = ask(to, 5, restore);
		digest = done && done->type == '+' ? digest_of(to, temporary) : strdup(done && done->text ? done->text : "(closed)");
		resp_value_free(done);
		resp_value_free(ask(to, 2, (struct resp_bytes[]){ WORD("DEL"), temporary }));
	}
	resp_value_free(v);
	return digest;
}

/* The payload of one side makes the same of itself at the other as the payload of that. (It need not be what the key is:
 * in Redis too a score of -0 comes back as 0.) */
static void transplant(const struct final *f, int side, int from, int to, const char *ttl)
{
	struct resp_client *a = f->s->side[from].conn[0], *b = f->s->side[to].conn[0];
	char *got = moved(f, a, b, ttl), *want = moved(f, b, b, ttl);
	if (got && want && strcmp(got, want))
		differs(f, side, to ? "RESTORE, from the other," : "RESTORE, by the other,",
		        (struct resp_bytes){ got, strlen(got) }, (struct resp_bytes){ want, strlen(want) });
	free(got);
	free(want);
}

/* A value that expires has another digest: both are to expire, at any time. */
static void transplant_all(const struct final *f)
{
	struct resp_value *v = ask(f->s->side[0].conn[0], 2, (struct resp_bytes[]){ WORD("PTTL"), f->key });
	bool lasting = v && v->type == ':' && v->integer == -1, expiring = v && v->type == ':' && v->integer > 10000;
	resp_value_free(v);
	for (int i = 1; i < f->s->n && (lasting || expiring); i++) {
		transplant(f, i, i, 0, lasting ? "0" : "1000000");
		transplant(f, i, 0, i, lasting ? "0" : "1000000");
	}
}

/* ------------------------------------------------------------------ all */

static void compare_key(struct final *f)
{
	const struct resp_bytes key = f->key;
	struct resp_value *type = ask(f->s->side[0].conn[0], 2, (struct resp_bytes[]){ WORD("TYPE"), key });
	snprintf(f->type, sizeof f->type, "%s", type && type->text ? type->text : "none");
	resp_value_free(type);
	ask_all(f, 2, (struct resp_bytes[]){ WORD("TYPE"), key }, CMP_EXACT);
	ask_all(f, 3, (struct resp_bytes[]){ WORD("OBJECT"), WORD("ENCODING"), key }, CMP_EXACT);
	ask_all(f, 2, (struct resp_bytes[]){ WORD("PTTL"), key }, CMP_TIME_MS);
	compare_content(f);
	ask_all(f, 3, (struct resp_bytes[]){ WORD("DEBUG"), WORD("DIGEST-VALUE"), key }, CMP_EXACT);
	transplant_all(f);
}

void sides_compare_data(struct sides *s, sides_fail *fail, void *ctx)
{
	static const char *const dbs[] = { "0", "1", "2", "15" };
	struct final f = { .s = s, .fail = fail, .ctx = ctx };
	for (size_t d = 0; d < sizeof dbs / sizeof *dbs; d++) {
		struct resp_bytes db = { dbs[d], strlen(dbs[d]) };
		f.key = db;
		snprintf(f.type, sizeof f.type, "database");
		ask_all(&f, 2, (struct resp_bytes[]){ WORD("SELECT"), db }, CMP_EXACT);
		ask_all(&f, 2, (struct resp_bytes[]){ WORD("KEYS"), WORD("*") }, CMP_UNORDERED);
		ask_all(&f, 1, (struct resp_bytes[]){ WORD("DBSIZE") }, CMP_EXACT);
		struct resp_value *keys = resp_ask(s->side[0].conn[0], "KEYS *");
		for (size_t i = 0; keys && i < keys->n; i++) {
			f.key = (struct resp_bytes){ keys->elements[i].text, keys->elements[i].len };
			compare_key(&f);
		}
		resp_value_free(keys);
	}
	f.key = (struct resp_bytes){ "", 0 };
	snprintf(f.type, sizeof f.type, "data");
	ask_all(&f, 2, (struct resp_bytes[]){ WORD("DEBUG"), WORD("DIGEST") }, CMP_EXACT);
}

/* expiry: expiry times as arguments, shared by the commands that take them. */
#ifndef SERVER_COMMANDS_EXPIRY_H
#define SERVER_COMMANDS_EXPIRY_H

#include "server/call.h"

enum expiry_unit { EXPIRY_NONE, EXPIRY_EX, EXPIRY_PX, EXPIRY_EXAT, EXPIRY_PXAT, EXPIRY_KEEP, EXPIRY_PERSIST };

static inline bool expiry_in_seconds(enum expiry_unit u)
{
	return u == EXPIRY_EX || u == EXPIRY_EXAT;
}

static inline bool expiry_is_relative(enum expiry_unit u)
{
	return u == EXPIRY_EX || u == EXPIRY_PX;
}

/* The units' words; EXPIRY_NONE for any other. */
enum expiry_unit expiry_unit_of(const struct arg *a);
/* n in the unit as wall-clock ms. false: it does not fit. */
bool expiry_to_ms(const struct call *c, enum expiry_unit unit, int64_t n, int64_t *when_ms);
/* "ERR invalid expire time in 'x' command". */
void expiry_reply_invalid(struct call *c);
/* argv[i] in the unit, more than 0, as wall-clock ms; otherwise the error is written. */
bool expiry_parse(struct call *c, unsigned i, enum expiry_unit unit, int64_t *when_ms);
/* Whether the time has passed, so that the key goes at once. A replayed journal decides nothing: its DEL will come. */
static inline bool expiry_passed(const struct call *c, int64_t when_ms)
{
	return when_ms <= c->op.now_ms && !c->replaying;
}

/* The entry without a change of its access clock: counts hits and misses as any read. */
static inline struct entry *call_peek(struct call *c, const struct store_key *key)
{
	bool kept = c->op.no_touch;
	c->op.no_touch = true;
	struct entry *e = call_find_read(c, key);
	c->op.no_touch = kept;
	return e;
}

#endif

/* aggregate: see aggregate.h. */
#include "server/commands/aggregate.h"

#include <ctype.h>
#include <stdlib.h>

#include "store/glob.h"
#include "store/number.h"
#include "store/types.h"

/* ------------------------------------------------------------------ values and keys */

#define BORROW_MAX 2048 /* bytes of arguments beyond which the value is taken out */
#define ELEMENT_EXTRA 12 /* of an element beyond its bytes, at most */

void target_borrow(struct call *c, struct target *t)
{
	size_t room = 0;
	uint8_t *copy = NULL;
	if (!t->e || entry_type(t->e) == STORE_STRING || !(t->e->flags & ENTRY_EMBEDDED))
		return;
	for (unsigned i = 2; i < c->argc && room <= BORROW_MAX; i++)
		room += c->argv[i].len + ELEMENT_EXTRA;
	if (room <= BORROW_MAX)
		copy = listpack_new(t->e->val_len + room);
	if (copy) {
		memcpy(copy, entry_value(t->e), t->e->val_len);
		t->v = (struct value){ entry_encoding(t->e), copy };
		t->borrowed = true;
	} else {
		t->e = store_find(&c->op, &t->key, STORE_WRITE | STORE_PEEK);
		t->v = value_of(t->e);
	}
}

bool target_insert(struct call *c, struct target *t, size_t at, const struct value_item *items, size_t n)
{
	struct entry *e = store_extend(&c->op, &t->key, t->e, listpack_items_cost(items, n));
	if (!e)
		return false;
	t->e = e;
	t->v = value_of(e);
	listpack_insert_within(t->v.ptr, at, items, n);
	return true;
}

static inline void put_back(struct call *c, struct target *t)
{
	if (t->borrowed) {
		t->e = store_settle(&c->op, &t->key, t->e, t->v.encoding, t->v.ptr);
		t->v = value_of(t->e);
		t->borrowed = false;
	} else {
		value_put(t->e, &t->v);
	}
}

bool target_keep(struct call *c, struct target *t, enum store_type_id type)
{
	if (__builtin_expect(t->e != NULL, 1)) {
		put_back(c, t);
		return true;
	}
	t->e = store_add(&c->op, &t->key, type, t->v.encoding, t->v.ptr);
	if (!t->e) {
		target_drop(c, t, type);
		reply_oom(c->reply);
		return false;
	}
	t->v = value_of(t->e);
	call_event(c, &t->key, NOTIFY_NEW, "new");
	return true;
}

void target_drop(struct call *c, struct target *t, enum store_type_id type)
{
	if (t->e)
		put_back(c, t);
	else
		store_types[type]->free(t->v.encoding, t->v.ptr);
}

void target_delete(struct call *c, struct target *t)
{
	put_back(c, t);
	store_delete(&c->op, &t->key, false);
	t->e = NULL;
	call_event(c, &t->key, NOTIFY_GENERIC, "del");
}

void store_result(struct call *c, const struct store_key *key, enum store_type_id type, struct value *take, size_t n,
                  unsigned notify_class, const char *event)
{
	bool exists = store_exists(&c->op, key);
	if (n) {
		struct entry *e = exists ? store_replace(&c->op, key, type, take->encoding, take->ptr, STORE_NO_EXPIRY)
		                         : store_add(&c->op, key, type, take->encoding, take->ptr);
		if (!e) {
			store_types[type]->free(take->encoding, take->ptr);
			reply_oom(c->reply);
			return;
		}
		if (exists) {
			call_touch_over(c, key, notify_class, event);
		} else {
			call_event(c, key, NOTIFY_NEW, "new");
			call_touch(c, key, notify_class, event);
		}
	} else {
		store_types[type]->free(take->encoding, take->ptr);
		if (exists) {
			store_delete(&c->op, key, config()->lazyfree_lazy_server_del);
			call_touch(c, key, NOTIFY_GENERIC, "del");
		}
	}
	reply_int(c->reply, (int64_t)n);
}

/* *RANDMEMBER (CVE-2023-22458, -25155): the least integer has no absolute value. */
bool random_count(struct call *c, unsigned i, uint64_t *n, bool *repeat)
{
	int64_t count;
	if (!call_int_range(c, i, -INT64_MAX, INT64_MAX, &count, NULL))
		return false;
	*repeat = count < 0;
	*n = (uint64_t)(count < 0 ? -count : count);
	return true;
}

#define ELEMENT_MIN 6               /* bytes of the shortest element of a reply */
#define REPLY_MAX ((uint64_t)1 << 30) /* where the configuration does not limit what a client may leave unread */

static uint64_t reply_max(void)
{
	uint64_t hard = config()->output_limit[OUTPUT_NORMAL].hard_bytes;
	return hard ? hard : REPLY_MAX;
}

/* A few bytes can ask for any number of elements: what no client could be sent is refused, or ends where it is too much. */
bool random_fits(struct call *c, uint64_t n)
{
	if (n <= reply_max() / ELEMENT_MIN)
		return true;
	reply_error(c->reply, "ERR value is out of range");
	return false;
}

bool random_goes_on(struct call *c, uint64_t *spent, const struct value_item *item)
{
	*spent += ELEMENT_MIN + (item->str ? item->len : 0);
	if (*spent > reply_max())
		c->reply->failed = true;
	return !c->reply->failed;
}

/* ------------------------------------------------------------------ HSCAN, SSCAN */

/* What strtoul() makes of a whole string: "" and "-1" are numbers, too. */
bool parse_cursor(const struct arg *a, uint64_t *cursor)
{
	char text[64], *end;
	if (number_parse_uint(a->ptr, a->len, cursor))
		return true;
	if (a->len >= sizeof text || (a->len && isspace((unsigned char)*a->ptr)))
		return false;
	if (a->len)
		memcpy(text, a->ptr, a->len);
	text[a->len] = '\0';
	errno = 0;
	*cursor = strtoul(text, &end, 10);
	return errno == 0 && !*end;
}

void aggregate_scan_see(struct aggregate_scan *s, const struct value_item *item, const struct value_item *value)
{
	s->seen++;
	if (s->pattern) {
		char buf[NUMBER_MAX];
		size_t len;
		const char *text = value_text(item, buf, &len);
		if (!glob_match(s->pattern->ptr, s->pattern->len, text, len, false))
			return;
	}
	reply_item(&s->found, item);
	s->replies++;
	if (value) {
		reply_item(&s->found, value);
		s->replies++;
	}
}

static bool parse_options(struct call *c, struct aggregate_scan *s, int64_t *count)
{
	for (unsigned i = 3; i < c->argc; i += 2) {
		const struct arg *a = &c->argv[i];
		if (i + 1 < c->argc && arg_is(a, "COUNT")) {
			if (!call_int(c, i + 1, count))
				return false;
			if (*count >= 1)
				continue;
		} else if (i + 1 < c->argc && arg_is(a, "MATCH")) {
			s->pattern = glob_is_all(a[1].ptr, a[1].len) ? NULL : a + 1;
			continue;
		}
		reply_syntax_error(c->reply);
		return false;
	}
	return true;
}

/* The cursor stands before the elements and is known after them: they are gathered apart. */
void aggregate_scan(struct call *c, enum store_type_id type, aggregate_walk *walk)
{
	struct aggregate_scan s = { .pattern = NULL };
	struct store_key key = call_key(c, 1);
	uint64_t cursor;
	int64_t count = 10;
	char text[NUMBER_MAX];
	bool wrong;
	if (!parse_cursor(&c->argv[2], &cursor)) {
		reply_error(c->reply, "ERR invalid cursor");
		return;
	}
	const struct entry *e = call_find_read_type(c, &key, type, &wrong);
	if (wrong)
		return;
	if (!e) {
		reply_array(c->reply, 2);
		reply_cstr(c->reply, "0");
		reply_array(c->reply, 0);
		return;
	}
	if (!parse_options(c, &s, &count))
		return;
	struct value v = value_of(e);
	reply_init_memory(&s.found, c->reply->resp);
	cursor = walk(&v, cursor, (size_t)count, &s);
	size_t len;
	const char *bytes = reply_bytes(&s.found, &len);
	if (s.found.failed) {
		reply_oom(c->reply);
	} else {
		reply_array(c->reply, 2);
		reply_bulk(c->reply, text, number_print_uint(text, cursor));
		reply_array(c->reply, s.replies);
		reply_raw(c->reply, bytes, len);
	}
	reply_clear(&s.found);
}

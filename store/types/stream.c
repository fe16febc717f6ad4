/* stream: entries and their nodes. Groups are in stream_group.c, foreign nodes in stream_load.c. */
#include "store/types/stream.h"

#include <errno.h>
#include <string.h>

#include "store/memory.h"

#define NODE_FIRST_CAP 128u
#define ELEMENT_EXTRA 10u /* of an element beyond its bytes, at most */
#define DEFAULT_BYTES 4096
#define TAIL_LOW 96u /* room in a node below which the next entry may want more */

bool stream_id_next(struct stream_id *id)
{
	if (++id->seq)
		return true;
	return ++id->ms != 0;
}

bool stream_id_prev(struct stream_id *id)
{
	if (id->seq--)
		return true;
	return id->ms-- != 0;
}

/* ------------------------------------------------------------------ integers in place */

static inline int64_t int_at(const uint8_t *p)
{
	int64_t v = 0;
	listpack_integer(p, &v);
	return v;
}

/* Elements as the head has them: from 65535 on they are not counted. */
static inline size_t head_count(const uint8_t *lp)
{
	return lp[4] | (size_t)lp[5] << 8;
}

/* Put another integer there: the caller has made room. */
static void set_int(uint8_t *lp, uint8_t *p, int64_t v)
{
	if (*p < 0x80 && v >= 0 && v < 0x80) { /* most are that small */
		listpack_write_int(p, v);
		return;
	}
	size_t total = listpack_bytes(lp), old = listpack_element_bytes(p), fresh = listpack_cost_int(v);
	if (fresh != old) {
		memmove(p + fresh, p + old, (size_t)(lp + total - p) - old);
		listpack_write_head(lp, total - old + fresh, head_count(lp));
	}
	listpack_write_int(p, v);
}

/* The head of a node. */
struct node_head {
	int64_t live, deleted;
	uint64_t fields;
	uint8_t *live_at, *deleted_at, *fields_at; /* the last: first master field, or the 0 behind none */
};

/* Loaded nodes may have written integers as other elements than ours. */
static inline int64_t int_of(const uint8_t *p, const struct listpack_item *item)
{
	return __builtin_expect(item->str != NULL, 0) ? int_at(p) : item->num;
}

static void read_head(const uint8_t *lp, struct node_head *h)
{
	struct listpack_item item;
	const uint8_t *p = lp + LISTPACK_EMPTY_BYTES - 1, *next = listpack_read(p, &item);
	h->live_at = (uint8_t *)(uintptr_t)p;
	h->live = int_of(p, &item);
	p = next;
	next = listpack_read(p, &item);
	h->deleted_at = (uint8_t *)(uintptr_t)p;
	h->deleted = int_of(p, &item);
	p = next;
	next = listpack_read(p, &item);
	h->fields = (uint64_t)int_of(p, &item);
	h->fields_at = (uint8_t *)(uintptr_t)next;
}

/* Count n live entries as deleted; room as above. Places in h are void. */
static void count_deleted(uint8_t *lp, struct node_head *h, int64_t n)
{
	set_int(lp, h->deleted_at, h->deleted + n);
	set_int(lp, h->live_at, h->live - n);
}

/* ------------------------------------------------------------------ life cycle */

struct stream *stream_new(void)
{
	struct stream *s = mem_calloc(sizeof *s);
	if (s && !(s->nodes = idmap_new())) {
		mem_free(s);
		return NULL;
	}
	return s;
}

static void free_node(void *lp)
{
	listpack_free(lp);
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	idmap_free(s->nodes, free_node);
	while (s->group_count)
		stream_group_remove(s, s->groups[s->group_count - 1]);
	mem_free(s->groups);
	mem_free(s);
}

static void free_value(unsigned encoding, void *value)
{
	(void)encoding;
	stream_free(value);
}

static size_t free_cost(unsigned encoding, const void *value)
{
	const struct stream *s = value;
	size_t n = 1 + idmap_count(s->nodes);
	(void)encoding;
	for (uint32_t i = 0; i < s->group_count; i++)
		n += 1 + s->groups[i]->consumer_count + stream_pel_count(s->groups[i]->pel);
	return n;
}

static int dup_pel(const struct stream_group *from, struct stream_group *to, uint32_t consumer)
{
	struct stream_pel_iter it;
	struct stream_id id;
	stream_pel_iter_init(&it, from->consumers[consumer]->pel, STREAM_ID_MIN);
	for (const struct stream_nack *n; (n = stream_pel_iter_next(&it, &id));) {
		struct stream_nack *copy = stream_pel_give(to, to->consumers[consumer], id);
		if (!copy)
			return -ENOMEM;
		copy->delivered_ms = n->delivered_ms;
		copy->deliveries = n->deliveries;
	}
	return 0;
}

static int dup_group(struct stream *to, const struct stream_group *g)
{
	struct stream_group *copy;
	struct stream_consumer *c;
	int err = stream_group_add(to, g->name, g->name_len, g->last_id, g->entries_read, &copy);
	for (uint32_t i = 0; !err && i < g->consumer_count; i++) {
		const struct stream_consumer *from = g->consumers[i];
		err = stream_consumer_add(copy, from->name, from->name_len, from->seen_ms, &c);
		if (err)
			break;
		c->active_ms = from->active_ms;
		err = dup_pel(g, copy, i);
	}
	return err;
}

static void *dup_value(unsigned encoding, const void *value)
{
	const struct stream *s = value;
	struct stream *to = stream_new();
	struct stream_node_iter it;
	struct stream_id master;
	const uint8_t *bytes;
	size_t len;
	int err = 0;
	(void)encoding;
	if (!to)
		return NULL;
	stream_node_iter_init(&it, s);
	while (!err && stream_node_iter_next(&it, &master, &bytes, &len)) {
		uint8_t *lp = listpack_from_bytes(bytes, len);
		err = lp ? idmap_insert(to->nodes, master, lp) : -ENOMEM;
		if (err)
			listpack_free(lp);
	}
	for (uint32_t i = 0; !err && i < s->group_count; i++)
		err = dup_group(to, s->groups[i]);
	if (err) {
		stream_free(to);
		return NULL;
	}
	to->length = s->length;
	to->entries_added = s->entries_added;
	to->first_id = s->first_id;
	to->last_id = s->last_id;
	to->max_deleted_id = s->max_deleted_id;
	return to;
}

static size_t memory(unsigned encoding, const void *value, unsigned samples)
{
	const struct stream *s = value;
	struct stream_node_iter it;
	struct stream_id master;
	const uint8_t *bytes;
	size_t len, nodes = idmap_count(s->nodes), seen = 0, sum = 0;
	size_t total = mem_size(s) + idmap_bytes(s->nodes) + (s->groups ? mem_size(s->groups) : 0);
	(void)encoding;
	stream_node_iter_init(&it, s);
	while ((!samples || seen < samples) && stream_node_iter_next(&it, &master, &bytes, &len)) {
		sum += mem_size(bytes);
		seen++;
	}
	total += seen ? sum / seen * nodes + sum % seen : 0;
	for (uint32_t i = 0; i < s->group_count; i++) {
		const struct stream_group *g = s->groups[i];
		total += mem_size(g) + (g->consumers ? mem_size(g->consumers) : 0);
		if (g->pel)
			total += idmap_bytes(g->pel) + idmap_count(g->pel) * mem_class(sizeof(struct stream_nack));
		for (uint32_t j = 0; j < g->consumer_count; j++)
			total += mem_size(g->consumers[j]) + (g->consumers[j]->pel ? idmap_bytes(g->consumers[j]->pel) : 0);
	}
	return total;
}

/* Head and end of the last node. */
static void prefetch(unsigned encoding, const void *value)
{
	const struct stream *s = value;
	(void)encoding;
	if (s->tail) {
		__builtin_prefetch(s->tail, 1);
		__builtin_prefetch(s->tail + s->tail_bytes, 1);
		if (s->tail_cap - s->tail_bytes < TAIL_LOW) { /* it will move soon, and the map learns it */
			__builtin_prefetch(s->nodes);
			for (uint32_t at = 64; at < s->tail_bytes && at < DEFAULT_BYTES; at += 64)
				__builtin_prefetch(s->tail + at);
		}
	}
}

const struct store_type stream_type = {
	.name = "stream", .free = free_value, .free_cost = free_cost, .dup = dup_value, .memory = memory,
	.prefetch = prefetch,
};

/* ------------------------------------------------------------------ adding */

/* The last node is another one, or in another place; its room is not known. */
static void set_tail(struct stream *s, struct stream_id master, uint8_t *lp)
{
	s->tail = lp;
	s->tail_master = master;
	s->tail_cap = 0;
}

/* Move the last node into an allocation of cap bytes, which is a size class. */
static uint8_t *tail_move(struct stream *s, uint8_t *lp, size_t cap)
{
	uint8_t *moved;
	if (!s->tail_cap)
		return mem_realloc(lp, cap);
	/* Both sizes are known, so that the allocator need not look for the old one. */
	moved = mem_alloc(cap);
	if (moved) {
		memcpy(moved, lp, listpack_bytes(lp));
		mem_free_sized(lp, s->tail_cap);
	}
	return moved;
}

/* Make room for `need` more bytes in the last node, which may move. */
static int tail_room(struct stream *s, uint8_t **lp, size_t need)
{
	size_t bytes = listpack_bytes(*lp), cap = s->tail_cap ? s->tail_cap : mem_size(*lp);
	if (need > cap - bytes) {
		if (bytes + need > LISTPACK_MAX)
			return -EFBIG;
		cap = bytes + need < 2 * bytes && bytes < DEFAULT_BYTES ? 2 * bytes : bytes + need;
		cap = mem_class(cap);
		uint8_t *moved = tail_move(s, *lp, cap);
		if (!moved)
			return -ENOMEM;
		*lp = s->tail = moved;
		idmap_replace(s->nodes, s->tail_master, moved);
	}
	s->tail_cap = cap > UINT32_MAX ? 0 : (uint32_t)cap;
	return 0;
}

/* A node that will get no more entries gives back what it does not need. */
static void tail_close(struct stream *s, struct stream_id master, uint8_t *lp)
{
	size_t bytes = listpack_bytes(lp);
	s->tail = NULL;
	s->tail_cap = 0;
	if (mem_class(bytes) >= mem_size(lp))
		return;
	uint8_t *moved = mem_realloc(lp, bytes);
	if (moved)
		idmap_replace(s->nodes, master, moved);
}

/* A node with its head for the fields, that counts one entry already, and room for it. */
static uint8_t *new_node(const struct stream_bytes *pairs, size_t n, size_t bytes, uint32_t *cap)
{
	size_t want = bytes + (2 * n + 8) * ELEMENT_EXTRA + LISTPACK_EMPTY_BYTES;
	want = mem_class(want < NODE_FIRST_CAP ? NODE_FIRST_CAP : want);
	uint8_t *lp = want > UINT32_MAX ? NULL : mem_alloc(want);
	if (!lp)
		return NULL;
	uint8_t *p = lp + LISTPACK_EMPTY_BYTES - 1;
	p += listpack_write_int(p, 1);
	p += listpack_write_int(p, 0);
	p += listpack_write_int(p, (int64_t)n);
	for (size_t i = 0; i < n; i++)
		p += listpack_write_element(p, pairs[2 * i].ptr, pairs[2 * i].len);
	p += listpack_write_int(p, 0);
	*p++ = 0xff;
	listpack_write_head(lp, (size_t)(p - lp), n + 4);
	*cap = (uint32_t)want;
	return lp;
}

static bool same_fields(const uint8_t *lp, const struct node_head *h, const struct stream_bytes *pairs, size_t n)
{
	const uint8_t *p = h->fields_at, *next;
	(void)lp;
	if (h->fields != n)
		return false;
	for (size_t i = 0; i < n; i++, p = next) {
		struct listpack_item name;
		next = listpack_read(p, &name);
		bool same = name.str ? name.len == pairs[2 * i].len && !memcmp(name.str, pairs[2 * i].ptr, name.len)
		                     : listpack_equal(p, pairs[2 * i].ptr, pairs[2 * i].len);
		if (!same)
			return false;
	}
	return true;
}

/* Write the entry behind all elements; there is room. */
static void write_entry(uint8_t *lp, struct stream_id master, struct stream_id id, bool same,
                        const struct stream_bytes *pairs, size_t n)
{
	size_t count = head_count(lp), bytes = listpack_bytes(lp);
	uint8_t *p = lp + bytes - 1;
	int64_t elements = (int64_t)(same ? n + 3 : 2 * n + 4);
	p += listpack_write_int(p, same ? STREAM_SAME_FIELDS : 0);
	p += listpack_write_int(p, (int64_t)(id.ms - master.ms));
	p += listpack_write_int(p, (int64_t)(id.seq - master.seq));
	if (!same)
		p += listpack_write_int(p, (int64_t)n);
	for (size_t i = 0; i < n; i++) {
		if (!same)
			p += listpack_write_element(p, pairs[2 * i].ptr, pairs[2 * i].len);
		p += listpack_write_element(p, pairs[2 * i + 1].ptr, pairs[2 * i + 1].len);
	}
	p += listpack_write_int(p, elements);
	*p++ = 0xff;
	listpack_write_head(lp, (size_t)(p - lp), count + (size_t)elements + 1);
}

/* Whether the last node takes no more. */
static bool node_full(const uint8_t *lp, const struct node_head *h, const struct stream_limits *limits, size_t bytes)
{
	int64_t max = limits->node_bytes;
	if (max <= 0 || max > LISTPACK_MAX)
		max = LISTPACK_MAX;
	if (listpack_bytes(lp) + bytes >= (size_t)max)
		return true;
	return limits->node_entries > 0 && h->live + h->deleted >= limits->node_entries;
}

static void drop_node(struct stream *s, struct stream_id master)
{
	listpack_free(idmap_remove(s->nodes, master));
	s->tail = NULL;
	s->tail_cap = 0;
}

static int append_to_new(struct stream *s, struct stream_id id, const struct stream_bytes *pairs, size_t n, size_t bytes)
{
	struct idmap_pos pos;
	uint32_t cap;
	uint8_t *lp = new_node(pairs, n, bytes, &cap);
	if (!lp)
		return -ENOMEM;
	write_entry(lp, id, id, true, pairs, n);
	if (listpack_bytes(lp) > LISTPACK_MAX) {
		listpack_free(lp);
		return -EFBIG;
	}
	if (idmap_last(s->nodes, &pos))
		tail_close(s, idmap_id(&pos), idmap_value(&pos));
	int err = idmap_insert(s->nodes, id, lp);
	if (err) {
		listpack_free(lp);
		return err == -EEXIST ? -EINVAL : err;
	}
	set_tail(s, id, lp);
	s->tail_cap = cap;
	s->tail_bytes = (uint32_t)listpack_bytes(lp);
	return 0;
}

/* The last node if it has a live entry, and its head; NULL: there is none. */
static uint8_t *live_tail(struct stream *s, struct node_head *h)
{
	struct idmap_pos pos;
	for (;;) {
		if (__builtin_expect(!s->tail, 0)) {
			if (!idmap_last(s->nodes, &pos))
				return NULL;
			set_tail(s, idmap_id(&pos), idmap_value(&pos));
		}
		read_head(s->tail, h);
		if (__builtin_expect(h->live != 0, 1))
			return s->tail;
		/* its ids may be above the one that XSETID went back to */
		drop_node(s, s->tail_master);
	}
}

int stream_append(struct stream *s, const struct stream_limits *limits, struct stream_id id,
                  const struct stream_bytes *pairs, size_t n)
{
	struct node_head h;
	size_t bytes = 0;
	int err;
	for (size_t i = 0; i < 2 * n; i++)
		if (__builtin_add_overflow(bytes, pairs[i].len, &bytes) || bytes > LISTPACK_MAX)
			return -EFBIG;
	uint8_t *lp = live_tail(s, &h);
	if (!lp || node_full(lp, &h, limits, bytes)) {
		err = append_to_new(s, id, pairs, n, bytes);
	} else {
		bool same = same_fields(lp, &h, pairs, n);
		err = tail_room(s, &lp, bytes + (2 * n + 6) * ELEMENT_EXTRA);
		if (err == -EFBIG) {
			err = append_to_new(s, id, pairs, n, bytes);
		} else if (!err) {
			set_int(lp, listpack_first(lp), h.live + 1);
			write_entry(lp, s->tail_master, id, same, pairs, n);
			s->tail_bytes = (uint32_t)listpack_bytes(lp);
		}
	}
	if (err)
		return err;
	if (s->length++ == 0)
		s->first_id = id;
	s->last_id = id;
	s->entries_added++;
	return 0;
}

/* ------------------------------------------------------------------ walking */

static void enter_node(struct stream_iter *it)
{
	struct node_head h;
	it->lp = idmap_value(&it->pos);
	it->master = idmap_id(&it->pos);
	read_head(it->lp, &h);
	it->master_count = h.fields;
	it->masters = h.fields_at;
	uint8_t *p = h.fields_at;
	if (it->reverse) {
		it->at = listpack_last(it->lp);
		for (uint64_t i = 0; i < h.fields; i++)
			p = listpack_next(it->lp, p);
		it->entry = p; /* the 0 where the entries begin */
	} else {
		for (uint64_t i = 0; i <= h.fields && p; i++)
			p = listpack_next(it->lp, p);
		it->at = p;
	}
}

void stream_iter_init(struct stream_iter *it, struct stream *s, struct stream_id from, struct stream_id to, bool reverse)
{
	*it = (struct stream_iter){ .from = from, .to = to, .reverse = reverse };
	if (reverse)
		it->more = idmap_seek_le(s->nodes, to, &it->pos);
	else
		it->more = idmap_seek_le(s->nodes, from, &it->pos) || idmap_first(s->nodes, &it->pos);
	if (it->more)
		enter_node(it);
}

static bool next_node(struct stream_iter *it)
{
	it->more = it->more && (it->reverse ? idmap_prev(&it->pos) : idmap_next(&it->pos));
	if (it->more)
		enter_node(it);
	return it->more;
}

/* The flags of the next entry, NULL: the node is at its end. */
static uint8_t *next_flags(struct stream_iter *it)
{
	uint8_t *p = it->at;
	if (!it->reverse)
		return p;
	if (!p || p == it->entry)
		return NULL;
	for (int64_t back = int_at(p); back > 0; back--)
		p = listpack_prev(it->lp, p);
	it->at = listpack_prev(it->lp, p);
	return p;
}

/* Behind the entry whose values begin at p. */
static uint8_t *skip_entry(const struct stream_iter *it, uint8_t *p, uint64_t elements)
{
	for (uint64_t i = 0; i <= elements; i++)
		p = listpack_next(it->lp, p);
	return p;
}

bool stream_iter_next(struct stream_iter *it, struct stream_id *id, uint64_t *fields)
{
	while (it->more) {
		uint8_t *flags = next_flags(it), *p;
		if (!flags) {
			if (!next_node(it))
				return false;
			continue;
		}
		it->flags = int_at(flags);
		p = listpack_next(it->lp, flags);
		id->ms = it->master.ms + (uint64_t)int_at(p);
		p = listpack_next(it->lp, p);
		id->seq = it->master.seq + (uint64_t)int_at(p);
		p = listpack_next(it->lp, p);
		*fields = it->master_count;
		if (!(it->flags & STREAM_SAME_FIELDS)) {
			*fields = (uint64_t)int_at(p);
			p = listpack_next(it->lp, p);
		}
		bool live = !(it->flags & STREAM_DELETED);
		int low = stream_id_compare(*id, it->from), high = stream_id_compare(*id, it->to);
		if (live && (it->reverse ? low < 0 : high > 0)) {
			it->more = false;
			return false;
		}
		if (live && low >= 0 && high <= 0) {
			it->entry = it->reverse ? it->entry : flags;
			it->value = p;
			it->master_field = it->masters;
			if (!it->reverse)
				it->at = skip_entry(it, p, it->flags & STREAM_SAME_FIELDS ? *fields : 2 * *fields);
			return true;
		}
		if (!it->reverse)
			it->at = skip_entry(it, p, it->flags & STREAM_SAME_FIELDS ? *fields : 2 * *fields);
	}
	return false;
}

void stream_iter_field(struct stream_iter *it, struct value_item *field, struct value_item *value)
{
	if (it->flags & STREAM_SAME_FIELDS) {
		listpack_get(it->master_field, field);
		it->master_field = listpack_next(it->lp, it->master_field);
	} else {
		listpack_get(it->value, field);
		it->value = listpack_next(it->lp, it->value);
	}
	listpack_get(it->value, value);
	it->value = listpack_next(it->lp, it->value);
}

struct stream_id stream_edge(struct stream *s, bool last)
{
	struct stream_iter it;
	struct stream_id id;
	uint64_t fields;
	stream_iter_init(&it, s, STREAM_ID_MIN, STREAM_ID_MAX, last);
	return stream_iter_next(&it, &id, &fields) ? id : STREAM_ID_MIN;
}

size_t stream_node_count(const struct stream *s)
{
	return idmap_count(s->nodes);
}

bool stream_has(struct stream *s, struct stream_id id)
{
	struct stream_iter it;
	struct stream_id found;
	uint64_t fields;
	stream_iter_init(&it, s, id, id, false);
	return stream_iter_next(&it, &found, &fields);
}

void stream_node_iter_init(struct stream_node_iter *it, const struct stream *s)
{
	it->more = idmap_first(s->nodes, &it->pos);
}

bool stream_node_iter_next(struct stream_node_iter *it, struct stream_id *master, const uint8_t **bytes, size_t *len)
{
	if (!it->more)
		return false;
	*master = idmap_id(&it->pos);
	*bytes = idmap_value(&it->pos);
	*len = listpack_bytes(*bytes);
	it->more = idmap_next(&it->pos);
	return true;
}

/* ------------------------------------------------------------------ removing */

/* Room for the count of deleted entries to take more bytes. *lp may move. */
static int room_for_count(struct stream *s, struct stream_id master, uint8_t **lp)
{
	size_t need = listpack_bytes(*lp) + ELEMENT_EXTRA;
	if (need <= mem_size(*lp))
		return 0;
	uint8_t *moved = mem_realloc(*lp, need);
	if (!moved)
		return -ENOMEM;
	s->tail = NULL;
	s->tail_cap = 0;
	*lp = moved;
	idmap_replace(s->nodes, master, moved);
	return 0;
}

int stream_delete(struct stream *s, struct stream_id id)
{
	struct stream_iter it;
	struct stream_id found;
	struct node_head h;
	uint64_t fields;
	stream_iter_init(&it, s, id, id, false);
	if (!stream_iter_next(&it, &found, &fields))
		return -ENOENT;
	read_head(it.lp, &h);
	if (h.live == 1) {
		drop_node(s, it.master);
	} else {
		ptrdiff_t at = it.entry - it.lp;
		if (room_for_count(s, it.master, &it.lp))
			return -ENOMEM;
		set_int(it.lp, it.lp + at, it.flags | STREAM_DELETED); /* as long as before */
		read_head(it.lp, &h);
		count_deleted(it.lp, &h, 1);
	}
	s->length--;
	if (stream_id_compare(id, s->max_deleted_id) > 0)
		s->max_deleted_id = id;
	if (s->length == 0)
		s->first_id = STREAM_ID_MIN;
	else if (!stream_id_compare(id, s->first_id))
		s->first_id = stream_edge(s, false);
	return 0;
}

static struct stream_id entry_id(const uint8_t *lp, struct stream_id master, const uint8_t *flags)
{
	const uint8_t *ms = listpack_next(lp, flags), *seq = listpack_next(lp, ms);
	return (struct stream_id){ master.ms + (uint64_t)int_at(ms), master.seq + (uint64_t)int_at(seq) };
}

/* Of the node's last entry, deleted or not. */
static struct stream_id node_last_id(const uint8_t *lp, struct stream_id master)
{
	const uint8_t *p = listpack_last(lp);
	for (int64_t back = int_at(p); back > 0; back--)
		p = listpack_prev(lp, p);
	return entry_id(lp, master, p);
}

/* Mark entries at the front of a node as deleted; returns how many. */
static int64_t trim_node(struct stream *s, const struct stream_trim_by *by, struct stream_id master, uint8_t *lp)
{
	struct stream_iter it = { 0 };
	struct stream_id id;
	struct node_head h;
	int64_t gone = 0;
	if (room_for_count(s, master, &lp) || !idmap_seek_ge(s->nodes, master, &it.pos))
		return 0;
	enter_node(&it);
	while (it.at) {
		uint8_t *flags = it.at, *p = flags;
		int64_t bits = int_at(flags);
		id = entry_id(lp, master, flags);
		if (by->how == STREAM_TRIM_LENGTH ? s->length <= by->length : stream_id_compare(id, by->min_id) >= 0)
			break;
		for (int i = 0; i < 3; i++)
			p = listpack_next(lp, p);
		uint64_t elements = it.master_count;
		if (!(bits & STREAM_SAME_FIELDS))
			elements = 1 + 2 * (uint64_t)int_at(p);
		it.at = skip_entry(&it, p, elements);
		if (!(bits & STREAM_DELETED)) {
			set_int(lp, flags, bits | STREAM_DELETED);
			s->length--;
			gone++;
		}
	}
	read_head(lp, &h);
	count_deleted(lp, &h, gone);
	return gone;
}

uint64_t stream_trim(struct stream *s, const struct stream_trim_by *by)
{
	struct idmap_pos pos;
	uint64_t gone = 0;
	while (by->how != STREAM_TRIM_NONE && idmap_first(s->nodes, &pos)) {
		struct stream_id master = idmap_id(&pos);
		struct node_head h;
		uint8_t *lp = idmap_value(&pos);
		bool whole;
		if (by->how == STREAM_TRIM_LENGTH && s->length <= by->length)
			break;
		read_head(lp, &h);
		uint64_t live = (uint64_t)h.live;
		if (by->limit && gone + live > by->limit)
			break;
		if (by->how == STREAM_TRIM_LENGTH)
			whole = s->length - live >= by->length;
		else
			whole = stream_id_compare(node_last_id(lp, master), by->min_id) < 0;
		if (!whole) {
			if (!by->approximate)
				gone += (uint64_t)trim_node(s, by, master, lp);
			break;
		}
		drop_node(s, master);
		s->length -= live;
		gone += live;
	}
	if (gone)
		s->first_id = s->length ? stream_edge(s, false) : STREAM_ID_MIN;
	return gone;
}

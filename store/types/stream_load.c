/* stream_load: streams from the bytes of others. */
#include <errno.h>

#include "store/memory.h"
#include "store/types/stream.h"

/* A reader of the elements of a listpack that is sound; false once it ended too early or found no integer. */
struct reader {
	const uint8_t *lp, *p;
	bool ok;
};

static int64_t take_int(struct reader *r)
{
	struct listpack_item item;
	if (!r->p) {
		r->ok = false;
		return 0;
	}
	listpack_get(r->p, &item);
	if (item.str)
		r->ok = false;
	r->p = listpack_next(r->lp, r->p);
	return item.str ? 0 : item.num;
}

static void skip(struct reader *r, uint64_t n)
{
	while (n-- && r->ok) {
		if (r->p)
			r->p = listpack_next(r->lp, r->p);
		else
			r->ok = false;
	}
}

/* One entry; the ids of live ones ascend. */
static void check_entry(struct reader *r, struct stream_id master, int64_t fields, struct stream_node_info *info,
                        uint64_t *deleted)
{
	int64_t flags = take_int(r), n = fields;
	struct stream_id id;
	id.ms = master.ms + (uint64_t)take_int(r);
	id.seq = master.seq + (uint64_t)take_int(r);
	if (flags & ~(int64_t)(STREAM_DELETED | STREAM_SAME_FIELDS))
		r->ok = false;
	bool same = flags & STREAM_SAME_FIELDS;
	if (!same)
		n = take_int(r);
	if (n < 0 || n > UINT32_MAX || !r->ok) {
		r->ok = false;
		return;
	}
	skip(r, (uint64_t)(same ? n : 2 * n));
	if (take_int(r) != (same ? n + 3 : 2 * n + 4))
		r->ok = false;
	if (flags & STREAM_DELETED) {
		++*deleted;
		return;
	}
	if (stream_id_compare(id, master) < 0 || (info->live && stream_id_compare(id, info->last) <= 0))
		r->ok = false;
	if (!info->live++)
		info->first = id;
	info->last = id;
}

bool stream_node_valid(struct stream_id master, const void *bytes, size_t len, struct stream_node_info *info)
{
	struct stream_node_info found = { 0 };
	uint64_t deleted = 0;
	if (!listpack_validate(bytes, len, true))
		return false;
	struct reader r = { bytes, listpack_first(bytes), true };
	int64_t live = take_int(&r), gone = take_int(&r), fields = take_int(&r);
	if (!r.ok || live < 0 || gone < 0 || fields < 0 || fields > UINT32_MAX)
		return false;
	skip(&r, (uint64_t)fields);
	if (take_int(&r) != 0)
		r.ok = false;
	while (r.ok && r.p)
		check_entry(&r, master, fields, &found, &deleted);
	*info = found;
	return r.ok && found.live == (uint64_t)live && deleted == (uint64_t)gone && found.live + deleted > 0;
}

int stream_load_node(struct stream *s, struct stream_id master, const void *bytes, size_t len)
{
	struct stream_node_info info;
	struct idmap_pos pos;
	if (!stream_node_valid(master, bytes, len, &info))
		return -EINVAL;
	if (idmap_last(s->nodes, &pos) && stream_id_compare(master, idmap_id(&pos)) <= 0)
		return -EINVAL;
	/* until all is there, last_id is that of the last live entry: a node begins behind those before it */
	if (s->length && stream_id_compare(master, s->last_id) <= 0)
		return -EINVAL;
	uint8_t *lp = listpack_from_bytes(bytes, len);
	int err = lp ? idmap_insert(s->nodes, master, lp) : -ENOMEM;
	if (err) {
		listpack_free(lp);
		return err;
	}
	if (info.live) {
		if (!s->length)
			s->first_id = info.first;
		s->last_id = info.last;
		s->length += info.live;
	}
	s->tail = NULL;
	s->tail_cap = 0;
	return 0;
}

int stream_load_check(struct stream *s, uint64_t length, bool counters)
{
	struct stream_id last = stream_edge(s, true);
	struct idmap_pos pos;
	if (length != s->length || stream_id_compare(last, s->last_id) > 0)
		return -EINVAL;
	/* the next entry's node must come behind all others */
	if (idmap_last(s->nodes, &pos) && stream_id_compare(idmap_id(&pos), s->last_id) > 0)
		return -EINVAL;
	if (!counters) {
		s->entries_added = length;
		s->max_deleted_id = STREAM_ID_MIN;
	}
	return s->entries_added > INT64_MAX ? -EINVAL : 0;
}

int stream_load_pending(struct stream_group *g, struct stream_id id, int64_t delivered_ms, uint64_t deliveries)
{
	struct stream_nack *n = mem_alloc(sizeof *n);
	if (!n)
		return -ENOMEM;
	*n = (struct stream_nack){ NULL, delivered_ms, deliveries };
	int err = idmap_insert(g->pel, id, n);
	if (err)
		mem_free(n);
	return err == -EEXIST ? -EINVAL : err;
}

int stream_load_owner(struct stream_group *g, struct stream_consumer *c, struct stream_id id)
{
	struct stream_nack *n = idmap_find(g->pel, id);
	if (!n || n->consumer)
		return -EINVAL;
	if (!c->pel && !(c->pel = idmap_new()))
		return -ENOMEM;
	int err = idmap_insert(c->pel, id, n);
	if (!err)
		n->consumer = c;
	return err;
}

int stream_load_group_check(const struct stream_group *g)
{
	struct stream_pel_iter it;
	struct stream_id id;
	stream_pel_iter_init(&it, g->pel, STREAM_ID_MIN);
	for (const struct stream_nack *n; (n = stream_pel_iter_next(&it, &id));)
		if (!n->consumer)
			return -EINVAL;
	return g->entries_read < STREAM_READ_UNKNOWN ? -EINVAL : 0;
}

/* ------------------------------------------------------------------ for tests */

static bool group_check(const struct stream_group *g)
{
	size_t held = 0;
	if (!idmap_check(g->pel))
		return false;
	for (uint32_t i = 0; i < g->consumer_count; i++) {
		const struct stream_consumer *c = g->consumers[i];
		struct stream_pel_iter it;
		struct stream_id id;
		held += stream_pel_count(c->pel);
		if (c->pel && !idmap_check(c->pel))
			return false;
		stream_pel_iter_init(&it, c->pel, STREAM_ID_MIN);
		for (const struct stream_nack *n; (n = stream_pel_iter_next(&it, &id));)
			if (n->consumer != c || stream_pel_find(g->pel, id) != n)
				return false;
	}
	return held == idmap_count(g->pel);
}

bool stream_check(struct stream *s)
{
	struct stream_node_iter it;
	struct stream_node_info info;
	struct stream_id master, last = STREAM_ID_MIN;
	const uint8_t *bytes;
	struct idmap_pos pos;
	size_t len;
	uint64_t n = 0;
	stream_node_iter_init(&it, s);
	while (stream_node_iter_next(&it, &master, &bytes, &len)) {
		if (!stream_node_valid(master, bytes, len, &info) || len > mem_size(bytes))
			return false;
		if (n && stream_id_compare(master, last) <= 0)
			return false;
		n += info.live;
		last = info.live ? info.last : last;
	}
	if (s->tail && (!idmap_last(s->nodes, &pos) || s->tail != idmap_value(&pos) ||
	                stream_id_compare(s->tail_master, idmap_id(&pos))))
		return false;
	for (uint32_t i = 0; i < s->group_count; i++)
		if (!group_check(s->groups[i]))
			return false;
	return idmap_check(s->nodes) && n == s->length && stream_id_compare(last, s->last_id) <= 0 &&
	       !stream_id_compare(s->first_id, stream_edge(s, false));
}

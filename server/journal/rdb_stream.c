/* rdb_stream: streams in RDB files. Written as of version 10 (no times of activity); read in all three forms. */
#include "server/journal/rdb_stream.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/journal/rdb_put.h"
#include "store/types/stream.h"

/* ------------------------------------------------------------------ writing */

static void put_id(struct snapshot_buf *b, struct stream_id id)
{
	uint8_t raw[16];
	idmap_id_encode(id, raw);
	rdb_put_raw(b, raw, sizeof raw);
}

static void put_id_lens(struct snapshot_buf *b, struct stream_id id)
{
	rdb_put_length(b, id.ms);
	rdb_put_length(b, id.seq);
}

static void put_ms(struct snapshot_buf *b, int64_t ms)
{
	uint64_t v = htole64((uint64_t)ms);
	rdb_put_raw(b, &v, sizeof v);
}

static void put_pel(struct snapshot_buf *b, const struct idmap *pel, bool with_times)
{
	struct stream_pel_iter it;
	struct stream_id id;
	rdb_put_length(b, stream_pel_count(pel));
	stream_pel_iter_init(&it, pel, STREAM_ID_MIN);
	for (const struct stream_nack *n; !b->failed && (n = stream_pel_iter_next(&it, &id));) {
		put_id(b, id);
		if (!with_times)
			continue;
		put_ms(b, n->delivered_ms);
		rdb_put_length(b, n->deliveries);
	}
}

static void put_group(struct snapshot_buf *b, const struct stream_group *g)
{
	rdb_put_plain(b, g->name, g->name_len);
	put_id_lens(b, g->last_id);
	rdb_put_length(b, (uint64_t)g->entries_read); /* -1 is written as it is */
	put_pel(b, g->pel, true);
	rdb_put_length(b, g->consumer_count);
	for (uint32_t i = 0; i < g->consumer_count && !b->failed; i++) {
		const struct stream_consumer *c = g->consumers[i];
		rdb_put_plain(b, c->name, c->name_len);
		put_ms(b, c->seen_ms);
		put_pel(b, c->pel, false);
	}
}

void rdb_stream_put(struct snapshot_buf *b, const struct stream *s)
{
	struct stream_node_iter it;
	struct stream_id master;
	const uint8_t *bytes;
	size_t len;
	rdb_put_length(b, stream_node_count(s));
	stream_node_iter_init(&it, s);
	while (!b->failed && stream_node_iter_next(&it, &master, &bytes, &len)) {
		uint8_t raw[16];
		idmap_id_encode(master, raw);
		rdb_put_plain(b, raw, sizeof raw);
		rdb_put_plain(b, bytes, len);
	}
	rdb_put_length(b, s->length);
	put_id_lens(b, s->last_id);
	put_id_lens(b, s->first_id);
	put_id_lens(b, s->max_deleted_id);
	rdb_put_length(b, s->entries_added);
	rdb_put_length(b, s->group_count);
	for (uint32_t i = 0; i < s->group_count && !b->failed; i++)
		put_group(b, s->groups[i]);
}

/* ------------------------------------------------------------------ reading */

struct reader {
	struct rdb_scan *s;
	struct stream *stream;
	unsigned type;
	int err;
};

static void note(struct reader *r, int err, const char *what)
{
	if (!err || r->err)
		return;
	r->err = err;
	if (err != -ENOMEM && !r->s->bad)
		r->s->bad = what;
}

static bool go_on(struct reader *r)
{
	if (!rdb_scan_ok(r->s))
		note(r, -EINVAL, "a stream is cut short");
	return !r->err;
}

static uint64_t take_len(struct reader *r)
{
	uint64_t v = go_on(r) ? rdb_scan_len(r->s) : 0;
	return go_on(r) ? v : 0;
}

static struct stream_id take_id_lens(struct reader *r)
{
	struct stream_id id;
	id.ms = take_len(r);
	id.seq = take_len(r);
	return id;
}

static struct stream_id take_id(struct reader *r)
{
	const uint8_t *raw = go_on(r) ? rdb_scan_raw(r->s, 16) : NULL;
	go_on(r);
	return raw ? idmap_id_decode(raw) : STREAM_ID_MIN;
}

static int64_t take_ms(struct reader *r)
{
	uint64_t v = 0;
	const uint8_t *raw = go_on(r) ? rdb_scan_raw(r->s, 8) : NULL;
	go_on(r);
	if (raw)
		memcpy(&v, raw, 8);
	return (int64_t)le64toh(v);
}

/* false: it could not be read. free(*heap) in any case. */
static bool take_text(struct reader *r, const char **text, size_t *len, char **heap)
{
	*heap = NULL;
	return go_on(r) && (rdb_scan_text(r->s, text, len, heap) || go_on(r));
}

static int load_node(struct stream *s, const char *key, const char *node, size_t len)
{
	return stream_load_node(s, idmap_id_decode((const uint8_t *)key), node, len);
}

static void read_nodes(struct reader *r)
{
	for (uint64_t n = take_len(r); n > 0 && go_on(r); n--) {
		const char *key, *node;
		char *heap[2] = { NULL, NULL };
		size_t key_len, len;
		if (take_text(r, &key, &key_len, &heap[0]) && take_text(r, &node, &len, &heap[1]))
			note(r, key_len == 16 ? load_node(r->stream, key, node, len) : -EINVAL, "a node of a stream is damaged");
		free(heap[0]);
		free(heap[1]);
	}
}

static void read_figures(struct reader *r)
{
	struct stream *s = r->stream;
	uint64_t length = take_len(r);
	bool counters = r->type >= RDB_STREAM_2;
	s->last_id = take_id_lens(r);
	if (counters) {
		take_id_lens(r); /* the first id follows from the entries */
		s->max_deleted_id = take_id_lens(r);
		s->entries_added = take_len(r);
	}
	if (go_on(r))
		note(r, stream_load_check(s, length, counters), "the figures of a stream do not fit its entries");
}

static void read_consumers(struct reader *r, struct stream_group *g)
{
	for (uint64_t n = take_len(r); n > 0 && go_on(r); n--) {
		struct stream_consumer *c = NULL;
		const char *name;
		char *heap;
		size_t len;
		if (take_text(r, &name, &len, &heap)) {
			int64_t seen_ms = take_ms(r);
			int64_t active_ms = r->type == RDB_STREAM_3 ? take_ms(r) : seen_ms;
			if (go_on(r))
				note(r, stream_consumer_add(g, name, len, seen_ms, &c), "a consumer is there twice");
			if (c)
				c->active_ms = active_ms;
		}
		free(heap);
		for (uint64_t pending = c ? take_len(r) : 0; pending > 0 && go_on(r); pending--) {
			struct stream_id id = take_id(r);
			if (go_on(r))
				note(r, stream_load_owner(g, c, id), "an entry of a consumer is not pending in its group");
		}
	}
}

static void read_group(struct reader *r)
{
	struct stream_group *g = NULL;
	const char *name;
	char *heap;
	size_t len;
	if (take_text(r, &name, &len, &heap)) {
		struct stream_id last = take_id_lens(r);
		int64_t read = r->type >= RDB_STREAM_2 ? (int64_t)take_len(r) : stream_entries_until(r->stream, last);
		if (go_on(r))
			note(r, stream_group_add(r->stream, name, len, last, read, &g), "a group is there twice");
	}
	free(heap);
	for (uint64_t n = g ? take_len(r) : 0; n > 0 && go_on(r); n--) {
		struct stream_id id = take_id(r);
		int64_t delivered_ms = take_ms(r);
		uint64_t deliveries = take_len(r);
		if (go_on(r))
			note(r, stream_load_pending(g, id, delivered_ms, deliveries), "an entry is pending twice");
	}
	if (g && go_on(r))
		read_consumers(r, g);
	if (g && go_on(r))
		note(r, stream_load_group_check(g), "a pending entry has no consumer");
}

int rdb_stream_load(struct rdb_scan *s, unsigned type, struct stream **out)
{
	struct reader r = { .s = s, .stream = stream_new(), .type = type };
	*out = NULL;
	if (!r.stream)
		return -ENOMEM;
	read_nodes(&r);
	read_figures(&r);
	for (uint64_t n = take_len(&r); n > 0 && go_on(&r); n--)
		read_group(&r);
	if (r.err)
		stream_free(r.stream);
	else
		*out = r.stream;
	return r.err;
}

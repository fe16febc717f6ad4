/*
 * stream: entries with ascending ids, each a list of fields and values; and consumer groups, that remember which entries
 * were given to which consumer and are not acknowledged yet.
 *
 * Entries lie in nodes: listpacks of the form that RDB files have, under the id of their first entry (the master):
 *
 *   count, deleted, number of master fields, master fields ..., 0
 *   then for each entry: flags, ms - master ms, seq - master seq, [number of fields, field, value, ... | value, ...],
 *   number of elements before this one
 *
 * An entry with the master's fields (STREAM_SAME_FIELDS) has values alone. A deleted one is marked and stays until its node
 * has no live entry left.
 *
 * Invariants: ids of live entries ascend and are at most last_id. first_id is that of the first live entry, 0-0 if there is
 * none. A pending entry (nack) is in its group's map and in that of exactly one consumer. Names of groups, and of a
 * group's consumers, are unique and in the order of their bytes. A stream may be empty.
 * Ownership: a stream belongs to its entry, or to whoever made it; groups to the stream; consumers and nacks to the group.
 * Bytes passed are copied. Errors: 0 or -errno; then nothing has changed, unless said otherwise.
 * Threads: holder of the shard's lock, or the owner of a stream without a key.
 */
#ifndef STORE_TYPES_STREAM_H
#define STORE_TYPES_STREAM_H

#include "store/impl/idmap.h"
#include "store/types.h"
#include "store/types/value.h"

extern const struct store_type stream_type;

#define stream_id idmap_id /* struct stream_id { uint64_t ms, seq; } */
#define STREAM_ID_MIN ((struct stream_id){ 0, 0 })
#define STREAM_ID_MAX ((struct stream_id){ UINT64_MAX, UINT64_MAX })
#define STREAM_READ_UNKNOWN (-1) /* entries_read that cannot be told */

enum stream_entry_flag { STREAM_DELETED = 1, STREAM_SAME_FIELDS = 2 };

struct stream_group;

/* Fields are read by anyone and changed only by the functions here, except where said. */
struct stream {
	/* What an entry that is added needs, in one line. */
	uint8_t *tail;                 /* the last node; NULL: look it up */
	struct stream_id tail_master;  /* its id */
	uint32_t tail_cap, tail_bytes; /* of it: room (0: not known), and where its end was when an entry was added */
	uint64_t length;               /* live entries */
	uint64_t entries_added;        /* XSETID and loading set it */
	struct stream_id last_id;      /* this and max_deleted_id are set by XSETID and loading */
	struct stream_id first_id, max_deleted_id;
	struct idmap *nodes; /* listpacks by master id */
	struct stream_group **groups;
	uint32_t group_count, group_cap;
};

struct stream_bytes {
	const char *ptr;
	size_t len;
};

static inline int stream_id_compare(struct stream_id a, struct stream_id b)
{
	return idmap_compare(a, b);
}
/* The next id; false (and 0-0): there is none. */
bool stream_id_next(struct stream_id *id);
bool stream_id_prev(struct stream_id *id);

/* ------------------------------------------------------------------ life cycle and entries */

struct stream *stream_new(void); /* NULL: out of memory */
void stream_free(struct stream *s);

struct stream_limits {
	int64_t node_bytes, node_entries; /* 0: none */
};
/* Add an entry behind all others: n fields and values in turn, id above last_id. -EFBIG: too large, -ENOMEM. */
int stream_append(struct stream *s, const struct stream_limits *limits, struct stream_id id,
                  const struct stream_bytes *pairs, size_t n);
/* 0, -ENOENT or -ENOMEM. max_deleted_id is kept up. */
int stream_delete(struct stream *s, struct stream_id id);
bool stream_has(struct stream *s, struct stream_id id);

enum stream_trim { STREAM_TRIM_NONE, STREAM_TRIM_LENGTH, STREAM_TRIM_MIN_ID };
struct stream_trim_by {
	enum stream_trim how;
	uint64_t length;
	struct stream_id min_id;
	bool approximate; /* whole nodes only */
	uint64_t limit;   /* entries at most, whole nodes; 0: all */
};
/* The number of entries that went. Out of memory: fewer than asked for. */
uint64_t stream_trim(struct stream *s, const struct stream_trim_by *by);

/* The first (or last) live entry's id, 0-0 if there is none. */
struct stream_id stream_edge(struct stream *s, bool last);
size_t stream_node_count(const struct stream *s);

/* A walk over the live entries from `from` to `to`, both included (reverse: from the last of them). The stream may not
 * change on the way. */
struct stream_iter {
	struct idmap_pos pos;
	bool more, reverse;
	struct stream_id master, from, to;
	uint8_t *lp, *at;                  /* node, and where the walk goes on: NULL: next node */
	uint8_t *masters, *master_field, *value; /* fields of the master entry, the next of them; the next value */
	uint64_t master_count;
	int64_t flags;
	uint8_t *entry; /* the flags of the entry; reverse: the element before the first entry */
};
void stream_iter_init(struct stream_iter *it, struct stream *s, struct stream_id from, struct stream_id to, bool reverse);
/* The next entry with its number of fields, which may be read by as many calls of stream_iter_field(). */
bool stream_iter_next(struct stream_iter *it, struct stream_id *id, uint64_t *fields);
void stream_iter_field(struct stream_iter *it, struct value_item *field, struct value_item *value);

/* ------------------------------------------------------------------ groups */

struct stream_nack {
	struct stream_consumer *consumer; /* NULL: only while loading */
	int64_t delivered_ms;             /* anyone with the right to write may set these two */
	uint64_t deliveries;
};

struct stream_consumer {
	struct idmap *pel; /* struct stream_nack by id, NULL: none yet */
	int64_t seen_ms, active_ms; /* wall clock; active -1: never. Set by anyone with the right to write */
	uint32_t name_len;
	char name[];
};

struct stream_group {
	struct idmap *pel;
	struct stream_id last_id; /* these two are set by anyone with the right to write */
	int64_t entries_read;     /* or STREAM_READ_UNKNOWN */
	struct stream_consumer **consumers;
	uint32_t consumer_count, consumer_cap;
	uint32_t name_len;
	char name[];
};

struct stream_group *stream_group_find(const struct stream *s, const void *name, size_t len);
/* -EEXIST or -ENOMEM. */
int stream_group_add(struct stream *s, const void *name, size_t len, struct stream_id last_id, int64_t entries_read,
                     struct stream_group **group);
void stream_group_remove(struct stream *s, struct stream_group *g);

struct stream_consumer *stream_consumer_find(const struct stream_group *g, const void *name, size_t len);
/* -EEXIST or -ENOMEM. */
int stream_consumer_add(struct stream_group *g, const void *name, size_t len, int64_t seen_ms,
                        struct stream_consumer **consumer);
/* With its pending entries, whose number is returned. */
size_t stream_consumer_remove(struct stream_group *g, struct stream_consumer *c);

/* Pending entries. pel may be NULL. */
static inline size_t stream_pel_count(const struct idmap *pel)
{
	return pel ? idmap_count(pel) : 0;
}
struct stream_nack *stream_pel_find(const struct idmap *pel, struct stream_id id);
/* Make the entry pending for the consumer, whoever had it before; a new one has deliveries 0. NULL: out of memory. */
struct stream_nack *stream_pel_give(struct stream_group *g, struct stream_consumer *c, struct stream_id id);
/* Acknowledge: no longer pending. false: it was not. */
bool stream_pel_ack(struct stream_group *g, struct stream_id id);

/* A walk over a map of pending entries, that may be changed on the way. */
struct stream_pel_iter {
	const struct idmap *pel;
	struct stream_id next;
	bool more;
};
void stream_pel_iter_init(struct stream_pel_iter *it, const struct idmap *pel, struct stream_id from);
struct stream_nack *stream_pel_iter_next(struct stream_pel_iter *it, struct stream_id *id); /* NULL: the end */

/* Whether the last entry that was deleted one by one lies at or above the id. */
bool stream_has_gap(const struct stream *s, struct stream_id from);
/* How many entries were ever added up to the id, or STREAM_READ_UNKNOWN. */
int64_t stream_entries_until(const struct stream *s, struct stream_id id);
/* Entries that the group has not been given yet; false: that cannot be told. */
bool stream_group_lag(const struct stream *s, const struct stream_group *g, int64_t *lag);

/* ------------------------------------------------------------------ saving and loading */

/* Nodes in order: the bytes go as they are. Groups, consumers and their maps are read from the structs above. */
struct stream_node_iter {
	struct idmap_pos pos;
	bool more;
};
void stream_node_iter_init(struct stream_node_iter *it, const struct stream *s);
bool stream_node_iter_next(struct stream_node_iter *it, struct stream_id *master, const uint8_t **bytes, size_t *len);

/*
 * Loading: stream_new(); stream_load_node() for each node in order; set last_id, and from version 2 on max_deleted_id and
 * entries_added; stream_load_check(). Then groups: stream_group_add(), stream_load_pending() for each of the group's
 * pending entries, stream_consumer_add(), stream_load_owner() for each of the consumer's; stream_load_group_check().
 * Foreign bytes are believed nothing: -EINVAL for whatever does not fit together.
 */
int stream_load_node(struct stream *s, struct stream_id master, const void *bytes, size_t len);
/* length and, where counters is false (version 1), entries_added and max_deleted_id are set; first_id always is. length is
 * what the file says. */
int stream_load_check(struct stream *s, uint64_t length, bool counters);
int stream_load_pending(struct stream_group *g, struct stream_id id, int64_t delivered_ms, uint64_t deliveries);
int stream_load_owner(struct stream_group *g, struct stream_consumer *c, struct stream_id id);
int stream_load_group_check(const struct stream_group *g);
/* Whether the bytes are a whole node, and what is in it. */
struct stream_node_info {
	uint64_t live;
	struct stream_id first, last; /* live ones */
};
bool stream_node_valid(struct stream_id master, const void *bytes, size_t len, struct stream_node_info *info);

/* For tests: whether all invariants hold. */
bool stream_check(struct stream *s);

#endif

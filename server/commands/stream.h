/*
 * stream: what the commands on streams share: ids as arguments and replies, and entries as replies.
 */
#ifndef SERVER_COMMANDS_STREAM_H
#define SERVER_COMMANDS_STREAM_H

#include "server/call.h"
#include "store/types/stream.h"

#define STREAM_ID_TEXT 44

/* The stream of an entry. */
static inline struct stream *stream_of(const struct entry *e)
{
	return entry_value(e);
}

/* An id as clients write it: "ms-seq", or "ms" (then seq is missing_seq), and without `strict` also "-" and "+". With
 * any_seq "ms-*" is an id, too: *any_seq. false: the error is written. */
bool stream_parse_id(struct call *c, const struct arg *a, struct stream_id *id, uint64_t missing_seq, bool strict,
                     bool *any_seq);
/* The end of an interval at argv[i], "(" in front excludes it. */
bool stream_parse_bound(struct call *c, unsigned i, bool end, struct stream_id *id);

size_t stream_print_id(char out[static STREAM_ID_TEXT], struct stream_id id);
void stream_reply_id(struct reply *r, struct stream_id id);
/* The entry that the walk stands at: its id and its fields. */
void stream_reply_entry(struct reply *r, struct stream_iter *it, struct stream_id id, uint64_t fields);
/* The entry of the id, or false and nothing is written. */
bool stream_reply_one(struct reply *r, struct stream *s, struct stream_id id);

/* ------------------------------------------------------------------ groups */

/* What XREADGROUP and XCLAIM journal: the entry as it is pending now, and where the group stands. */
void stream_journal_claim(struct call *c, const struct arg *key, const struct stream_group *g, struct stream_id id,
                          const struct stream_nack *n);
void stream_journal_group(struct call *c, const struct arg *key, const struct stream_group *g);
/* The consumer of the name, seen now; a new one (with its event and journaled) if there is none. key_at: the key's place in
 * argv. NULL: out of memory. */
struct stream_consumer *stream_consumer_get(struct call *c, unsigned key_at, struct stream_group *g, const struct arg *name);
/* The entry is given to the group: it stands there now. */
void stream_group_advance(const struct stream *s, struct stream_group *g, struct stream_id id);
/* The group argv[at + 1] of the stream argv[at], for XPENDING, XCLAIM and the like: NULL: the error is written. */
struct stream_group *stream_group_of(struct call *c, unsigned at, struct entry **e);

#endif

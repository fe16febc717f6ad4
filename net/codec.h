/*
 * codec: turns the bytes of a connection into messages and back. A connection that carries one gets message() instead of
 * data(), once per message; net_write_message() is the way back. Lines, delimiters, length prefixes and fixed sizes are
 * here, WebSocket is in websocket.h, and a program may bring its own: fill in a struct net_codec.
 *
 *     static const struct net_length frames = { .width = 4, .max = 1 << 20 };
 *     net_listener_set_codec(listener, net_length_codec(), &frames);
 *
 * A message that lies in one piece in the input is not copied. What is malformed or too long ends the connection: the
 * refuse() callback may still write an answer, which goes out first, and close() gets the error as its reason (EMSGSIZE
 * too long, EBADMSG malformed, or what the codec says). While reading is paused no message is given out.
 *
 * Ownership: settings are borrowed and must outlive the connections that use them. State is made and freed once per
 * connection. Threads: all functions of one connection run on its loop's thread.
 */
#ifndef NET_CODEC_H
#define NET_CODEC_H

#include "net/net.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes are valid until the turn ends, as those of net_peek(). */
struct net_message {
	const char *bytes;
	size_t len;
	int type; /* what the codec says it is; 0 where it knows of one type only */
};

/* What one call of decode() found. All zero before the call, except `seen`. */
struct net_step {
	/* How many bytes of the unfinished message the codec has looked at: as it left it when it last returned 0, and 0 at
	 * the beginning of a message. So that bytes that trickle in are not looked at again and again. */
	size_t seen;
	bool whole; /* there is a message */
	struct net_message message;
	size_t missing;     /* with 0 returned: how many bytes are to come at least, if that is known */
	const char *reply;  /* bytes for the peer, written before anything else happens; valid until the next call */
	size_t reply_len;
	bool last;          /* the conversation is over: close once all is written, with NET_BY_PEER */
	bool ours;          /* with last: it was this side that ended it: NET_BY_US */
	const char *error;  /* with an error returned: what was wrong, in words that live for ever */
};

struct net_codec {
	const char *name;
	/* State of a new connection; NULL: no memory. Without this function the settings are the state. */
	void *(*new_state)(const void *settings);
	void (*free_state)(void *state);
	/* The connection is open: s->reply goes to the peer. 0, or -errno: it cannot be used with this codec. May be NULL. */
	int (*start)(void *state, struct net_step *s);
	/* This side closes the connection, or the whole server stops: s->reply goes to the peer before. May be NULL. */
	void (*finish)(void *state, bool stopping, struct net_step *s);
	/*
	 * Look at the len bytes that are unread. The number of bytes used (> 0), with a message or without; 0: more are needed;
	 * or -errno. Bytes may be changed in place in a call that uses them. A message that lies elsewhere than in p..p+len
	 * stays valid until the next call, which follows at once (len may be 0 then).
	 */
	ssize_t (*decode)(void *state, char *p, size_t len, struct net_step *s);
	/* How many bytes m takes at most, and write it to `out`, that has so many: bytes written, or -errno. */
	size_t (*bound)(void *state, const struct net_message *m);
	ssize_t (*encode)(void *state, const struct net_message *m, char *out);
};

/* ---------------------------------------------------------------- use */

/* Put a codec on the connection in place of the one before, or NULL: bytes again. What is unread goes to the new one, so
 * message() may switch. 0 or -ENOMEM, or what start() says. [loop] */
int net_set_codec(struct net_conn *c, const struct net_codec *codec, const void *settings);
/* Connections of this listener carry the codec. Before the server starts [owner]. */
void net_listener_set_codec(struct net_listener *l, const struct net_codec *codec, const void *settings);
/* The state of the connection's codec, NULL without one. [loop] */
void *net_conn_codec(const struct net_conn *c);
/* Queue a message: copied. 0, -EMSGSIZE, -EINVAL (the codec cannot express it), -ENOTSUP (no codec), or what net_write()
 * says. [loop] */
int net_write_message(struct net_conn *c, const void *buf, size_t len, int type);
/* From other threads, as net_send(). [any] */
int net_send_message(struct net_server *s, net_conn_id id, const void *buf, size_t len, int type,
                     void (*done)(void *ctx, int err), void *ctx);

/* ---------------------------------------------------------------- codecs. `max` is the length of a message; 0: 1 MiB. */

#define NET_MESSAGE_MAX (1u << 20)

/* Lines that end with LF or CR LF, without the end. Settings may be NULL. A message that is written holds no LF and does
 * not end with CR. */
struct net_line {
	size_t max;
	bool crlf; /* write CR LF, not LF */
};
const struct net_codec *net_line_codec(void);

/* Messages that end with some bytes, without them. */
struct net_delimiter {
	const char *bytes;
	size_t len;
	size_t max;
};
const struct net_codec *net_delimiter_codec(void);

/* A length, most significant byte first unless `little`, and so many bytes. Settings may be NULL: 4 bytes. */
struct net_length {
	unsigned width; /* 1, 2, 4 or 8 bytes; NET_VARINT: 7 bits a byte, lowest first, bit 7 set in all but the last */
	bool little;
	bool with_header; /* the length counts its own bytes too */
	size_t max;
};
#define NET_VARINT 0
const struct net_codec *net_length_codec(void);

/* Messages of len bytes each. */
struct net_fixed {
	size_t len;
};
const struct net_codec *net_fixed_codec(void);

#ifdef __cplusplus
}
#endif
#endif

/* ws: the parts of the WebSocket codec: its state, the HTTP upgrade, UTF-8. */
#ifndef NET_IMPL_WS_H
#define NET_IMPL_WS_H

#include "net/websocket.h"

/* UTF-8 in pieces: how many bytes the character still needs, and the bounds of the next one. */
struct utf8 {
	uint8_t need, low, high;
};
/* Go on with n bytes; false: not UTF-8. The text is whole if u->need is 0. */
bool utf8_check(struct utf8 *u, const char *p, size_t n);

enum ws_phase { WS_OPENING, WS_OPEN, WS_OVER };

struct ws {
	const struct net_ws *o;
	bool client, sent_close, part_done;
	uint8_t phase;
	uint8_t opcode;  /* of the message whose fragments come in; 0: none */
	uint8_t sending; /* of the message whose fragments go out */
	struct utf8 utf8;
	uint16_t code;   /* of the peer's close frame */
	char *part;      /* fragments put together */
	size_t part_len, part_cap;
	char *reply;     /* what net_step.reply points to */
	char *accept;    /* client: what the server must answer */
	const char *protocol; /* within the settings */
	size_t protocol_len;
};

/* Room for a reply, that lives until the next step; NULL: no memory. */
char *ws_reply_room(struct ws *w, struct net_step *s, size_t n);
/* Unpredictable bytes: 0 or -errno. */
int ws_random(unsigned char *to, size_t n);

/* Server: look for the request; client: for the answer. As decode(). */
ssize_t ws_take_request(struct ws *w, const char *p, size_t len, struct net_step *s);
ssize_t ws_take_answer(struct ws *w, const char *p, size_t len, struct net_step *s);
/* Client: the request. 0 or -errno. */
int ws_put_request(struct ws *w, struct net_step *s);

#endif

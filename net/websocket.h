/*
 * websocket: RFC 6455 as a codec (see codec.h): the upgrade, then messages in both directions.
 *
 *     static const struct net_ws settings = { .max_message = 1 << 20, .protocols = "chat" };
 *     net_listener_set_codec(listener, net_ws_server_codec(), &settings);
 *
 * message() is called with type NET_WS_OPEN when the connection is upgraded, then for each message, pong and finally
 * close. Pings are answered, fragments are put together, text is valid UTF-8. What breaks the protocol is answered with a
 * close frame (before the upgrade: with an HTTP status) and ends the connection: nothing may be written in refuse().
 * net_close() and NET_CLOSE send a close frame without waiting for the peer's; net_ws_close() waits.
 *
 * No extensions are negotiated. Ownership and threads: as codec.h says.
 */
#ifndef NET_WEBSOCKET_H
#define NET_WEBSOCKET_H

#include "net/codec.h"

#ifdef __cplusplus
extern "C" {
#endif

/* net_message.type */
enum net_ws_type {
	NET_WS_CONTINUE = 0, /* net_write_message() only: goes on with a message that began with NET_WS_PART */
	NET_WS_TEXT = 1,
	NET_WS_BINARY = 2,
	NET_WS_CLOSE = 8, /* the peer's reason as text, see net_ws_close_code(); the connection closes afterwards */
	NET_WS_PING = 9,  /* net_write_message() only */
	NET_WS_PONG = 10,
	NET_WS_OPEN = 16,    /* on a server, the target of the request: "/chat?room=1" */
	NET_WS_PART = 0x100, /* or-ed to a type in net_write_message(): more of the message follows */
};

enum net_ws_code {
	NET_WS_NORMAL = 1000,
	NET_WS_GOING_AWAY = 1001,
	NET_WS_PROTOCOL_ERROR = 1002,
	NET_WS_UNSUPPORTED = 1003,
	NET_WS_NO_CODE = 1005,  /* the peer's close frame had none */
	NET_WS_ABNORMAL = 1006, /* there was no close frame */
	NET_WS_BAD_TEXT = 1007,
	NET_WS_POLICY = 1008,
	NET_WS_TOO_BIG = 1009,
	NET_WS_FAULT = 1011,
};

/* A request for an upgrade; valid during accept(). */
struct net_ws_request {
	const char *target;
	size_t target_len;
	const void *head; /* for net_ws_header() */
};
/* The value of the first header of that name, whatever its case, without blanks around it; NULL: there is none. */
const char *net_ws_header(const struct net_ws_request *r, const char *name, size_t *len);

/* Settings; all may be 0. */
struct net_ws {
	size_t max_message; /* bytes of a message that comes in, all fragments together; 0: 1 MiB */
	size_t max_head;    /* bytes of the HTTP request or answer; 0: 8 KiB */
	const char *protocols; /* subprotocols, best first: "v2.chat, chat" */
	/* Server: 0 upgrades, an HTTP status (400 to 599) refuses. May be NULL. */
	int (*accept)(void *user, const struct net_ws_request *r);
	void *user;
	/* Client. */
	const char *host;    /* "example.org:8080"; required */
	const char *target;  /* NULL: "/" */
	const char *headers; /* more of them, each "Name: value\r\n"; may be NULL */
};

/* Settings may be NULL for a server. */
const struct net_codec *net_ws_server_codec(void);
const struct net_codec *net_ws_client_codec(void);

/* Begin the closing handshake: no more messages are sent or come in, the peer's close frame ends the connection, at the
 * latest after close_timeout_ms. reason may be NULL and has at most 123 bytes. 0, -EINVAL (code or reason), -ENOTSUP (not
 * a WebSocket), -EPIPE (closing already), or what net_write() says. [loop] */
int net_ws_close(struct net_conn *c, int code, const char *reason);
/* The code of the peer's close frame, NET_WS_NO_CODE or NET_WS_ABNORMAL. [loop] */
int net_ws_close_code(const struct net_conn *c);
/* The subprotocol that was agreed upon (not terminated), or NULL. [loop] */
const char *net_ws_protocol(const struct net_conn *c, size_t *len);

#ifdef __cplusplus
}
#endif
#endif

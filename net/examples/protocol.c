/* protocol: a protocol of one's own as a codec. protocol URL, for instance: protocol tcp://:7006
 *
 * A packet is: 'S' 'h', a kind, the length of the payload in two bytes (the higher first), the payload, and the sum of its
 * bytes modulo 256. The server answers an 'e' with the same, a 'u' with capitals, and others with an 'x' that says why. A
 * packet that is none, or whose sum is wrong, is answered with an 'x', and the connection ends. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/codec.h"

#define HEAD 5
#define FOOT 1

static unsigned char sum_of(const char *p, size_t len)
{
	unsigned char sum = 0;
	for (size_t i = 0; i < len; i++)
		sum = (unsigned char)(sum + (unsigned char)p[i]);
	return sum;
}

static ssize_t packet_decode(void *settings, char *p, size_t len, struct net_step *s)
{
	(void)settings;
	if (memcmp(p, "Sh", len < 2 ? len : 2)) {
		s->error = "not a packet";
		return -EBADMSG;
	}
	if (len < HEAD) {
		s->missing = HEAD + FOOT - len;
		return 0;
	}
	size_t n = (size_t)(unsigned char)p[3] << 8 | (unsigned char)p[4];
	if (len < HEAD + n + FOOT) {
		s->missing = HEAD + n + FOOT - len;
		return 0;
	}
	if (sum_of(p + HEAD, n) != (unsigned char)p[HEAD + n]) {
		s->error = "wrong sum";
		return -EBADMSG;
	}
	s->whole = true;
	s->message = (struct net_message){ .bytes = p + HEAD, .len = n, .type = p[2] }; /* in place: nothing is copied */
	return (ssize_t)(HEAD + n + FOOT);
}

static size_t packet_bound(void *settings, const struct net_message *m)
{
	(void)settings;
	return HEAD + m->len + FOOT;
}

static ssize_t packet_encode(void *settings, const struct net_message *m, char *out)
{
	(void)settings;
	if (m->len > 0xffff)
		return -EMSGSIZE;
	memcpy(out, "Sh", 2);
	out[2] = (char)m->type;
	out[3] = (char)(m->len >> 8);
	out[4] = (char)m->len;
	memcpy(out + HEAD, m->bytes, m->len);
	out[HEAD + m->len] = (char)sum_of(m->bytes, m->len);
	return (ssize_t)(HEAD + m->len + FOOT);
}

static const struct net_codec packets = {
	.name = "packets", .decode = packet_decode, .bound = packet_bound, .encode = packet_encode,
};

static enum net_action on_message(struct net_conn *c, const struct net_message *m)
{
	char capitals[0x10000];
	switch (m->type) {
	case 'e':
		net_write_message(c, m->bytes, m->len, 'e');
		break;
	case 'u':
		for (size_t i = 0; i < m->len; i++)
			capitals[i] = (char)toupper((unsigned char)m->bytes[i]);
		net_write_message(c, capitals, m->len, 'u');
		break;
	default:
		net_write_message(c, "unknown kind", 12, 'x');
	}
	return NET_NONE;
}

static void on_refuse(struct net_conn *c, int err, const char *text)
{
	(void)err;
	net_write_message(c, text, strlen(text), 'x');
}

int main(int argc, char **argv)
{
	const struct net_events events = { .message = on_message, .refuse = on_refuse };
	struct net_options o;
	int err;
	net_options_init(&o);
	o.pause_on_high = true;
	struct net_server *s = net_server_new(&events, &o, &err);
	struct net_listener *l = s ? net_listen(s, argc > 1 ? argv[1] : "tcp://:7006", &err) : NULL;
	if (!l) {
		fprintf(stderr, "protocol: %s\n", strerror(-err));
		return 1;
	}
	net_listener_set_codec(l, &packets, NULL);
	printf("%s\n", net_listener_addr(l));
	fflush(stdout);
	return net_server_start(s, true) ? 1 : 0;
}

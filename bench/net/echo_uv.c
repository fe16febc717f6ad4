/* echo_uv: the echo server on libuv: tries to write at once, as its manual advises, and queues the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

static char shared[65536];

struct rest {
	uv_write_t req;
	char bytes[];
};

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *buf)
{
	(void)h;
	(void)size;
	*buf = uv_buf_init(shared, sizeof shared);
}

static void on_closed(uv_handle_t *h)
{
	free(h);
}

static void on_written(uv_write_t *req, int status)
{
	(void)status;
	free(req);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
	if (n < 0) {
		uv_close((uv_handle_t *)s, on_closed);
		return;
	}
	uv_buf_t out = uv_buf_init(buf->base, (unsigned)n);
	int w = n ? uv_try_write(s, &out, 1) : 0;
	w = w < 0 ? 0 : w;
	if (w < n) {
		struct rest *r = malloc(sizeof *r + (size_t)(n - w));
		memcpy(r->bytes, buf->base + w, (size_t)(n - w));
		uv_buf_t b = uv_buf_init(r->bytes, (unsigned)(n - w));
		uv_write(&r->req, s, &b, 1, on_written);
	}
}

static void on_connection(uv_stream_t *server, int status)
{
	uv_tcp_t *c = malloc(sizeof *c);
	if (status < 0 || !c)
		return;
	uv_tcp_init(server->loop, c);
	if (uv_accept(server, (uv_stream_t *)c) == 0) {
		uv_tcp_nodelay(c, 1);
		uv_read_start((uv_stream_t *)c, on_alloc, on_read);
	}
}

int main(int argc, char **argv)
{
	uv_tcp_t server;
	struct sockaddr_in a;
	uv_tcp_init(uv_default_loop(), &server);
	uv_ip4_addr("0.0.0.0", (int)strtol(argc > 1 ? argv[1] : "0", NULL, 10), &a);
	uv_tcp_bind(&server, (struct sockaddr *)&a, 0);
	if (uv_listen((uv_stream_t *)&server, 4096, on_connection))
		return 1;
	return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

/*
 * The append-only log. The first byte chooses:
 *   0  any bytes as a log: units lie one behind the other within the input and can be taken apart; a log that is cut gives
 *      the same units as far as they are whole, and is then torn, not damaged
 *   1  any bytes as a manifest: what is accepted comes out again as the same manifest
 *   2  a log made of the input, then one bit of it flipped, a piece missing or twice: never taken for sound
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/journal/aof_format.h"
#include "server/journal/aof_manifest.h"
#include "tests/fuzz/target.h"

static void must(bool ok)
{
	if (!ok)
		abort();
}

/* The last sound place in *end; the hash of all units up to `until` in *hash. */
static int scan(const char *bytes, size_t len, uint64_t until, uint64_t *end, uint64_t *hash, size_t *units)
{
	struct aof_scan s;
	struct aof_unit u;
	int r;
	*end = *hash = *units = 0;
	aof_scan_init_bytes(&s, bytes, len);
	while ((r = aof_scan_next(&s, &u)) == 1) {
		must(u.offset >= *end && u.end > u.offset && u.end <= len && u.len <= u.end - u.offset);
		must(u.bytes >= bytes && u.bytes + u.len <= bytes + len);
		*end = u.end;
		++*units;
		if (u.end <= until) {
			for (size_t i = 0; i < u.len; i++)
				*hash = (*hash ^ (uint8_t)u.bytes[i]) * 0x100000001b3;
		}
		struct resp_args args = { 0 };
		const char *p = u.bytes;
		size_t left = u.len;
		while (left) {
			ssize_t used = aof_unit_command(p, left, &args);
			must(used <= (ssize_t)left && used != 0 && (used > 0 || u.checked));
			if (used < 0)
				break; /* a record with a true checksum over what is no command */
			for (size_t i = 0; i < args.n; i++)
				must(args.v[i].ptr >= p && args.v[i].ptr + args.v[i].len <= p + used);
			p += used;
			left -= (size_t)used;
		}
		free(args.v);
	}
	must(r == 0 || r == -EINVAL || r == -ENODATA);
	must(r == 0 || (s.at >= *end && s.at <= len && *s.error));
	aof_scan_clear(&s);
	return r;
}

static void any_log(const char *bytes, size_t len, size_t cut)
{
	uint64_t end, hash, cut_end, cut_hash;
	size_t units, cut_units;
	scan(bytes, len, UINT64_MAX, &end, &hash, &units);
	cut %= len + 1;
	int r = scan(bytes, cut, UINT64_MAX, &cut_end, &cut_hash, &cut_units);
	must(cut_end <= end && cut_units <= units);
	scan(bytes, len, cut_end, &end, &hash, &units);
	must(hash == cut_hash);
	must(cut > end || r != -EINVAL); /* what is sound up to here is at most torn */
}

static void any_manifest(const char *text, size_t len)
{
	struct aof_manifest m = { 0 }, again = { 0 };
	char error[128];
	int r = aof_manifest_parse(&m, text, len, error, sizeof error);
	must(!r == !*error);
	if (r)
		return;
	char *out = aof_manifest_text(&m, &len);
	must(out && aof_manifest_parse(&again, out, len, error, sizeof error) == 0 && again.n == m.n);
	for (size_t i = 0; i < m.n; i++)
		must(!strcmp(m.v[i].name, again.v[i].name) && m.v[i].seq == again.v[i].seq && m.v[i].type == again.v[i].type);
	free(out);
	aof_manifest_clear(&m);
	aof_manifest_clear(&again);
}

/* Records of a few bytes each out of the input, as the server would write them. */
static size_t make_log(struct aof_out *o, const uint8_t *data, size_t size, size_t *ends, size_t max)
{
	size_t n = 0;
	aof_out_restart(o);
	while (size > 2 && n < max) {
		char payload[400];
		size_t len = data[0] % 64 < size - 2 ? data[0] % 64 : size - 2;
		int head = snprintf(payload, sizeof payload, "*2\r\n$3\r\nSET\r\n$%zu\r\n", len);
		memcpy(payload + head, data + 2, len);
		memcpy(payload + head + len, "\r\n", 2);
		must(aof_out_record(o, data[1] & 3, data[1] & 4 ? 2 : 1, payload, (size_t)head + len + 2, data[1] & 8 ? 1000 + n : 0));
		ends[n++] = o->len;
		data += 2 + len;
		size -= 2 + len;
	}
	return n;
}

static void damaged_log(const uint8_t *data, size_t size)
{
	struct aof_out o = { .db = AOF_NO_DB };
	size_t ends[64], units, where = (size_t)(data[0] | data[1] << 8 | data[2] << 16);
	uint64_t end, hash;
	size_t n = make_log(&o, data + 4, size - 4, ends, 64);
	if (n >= 3) {
		must(scan(o.buf, o.len, UINT64_MAX, &end, &hash, &units) == 0 && units == n && end == o.len);
		if (data[3] & 1) {
			where %= o.len * 8;
			o.buf[where / 8] = (char)(o.buf[where / 8] ^ 1 << where % 8);
			must(scan(o.buf, o.len, UINT64_MAX, &end, &hash, &units) == -EINVAL);
		} else {
			/* A piece is missing, not at the end: the next checksum tells. */
			size_t from = where % ends[n - 2], to = from + 1 + data[3] / 2 % (ends[n - 2] - from);
			memmove(o.buf + from, o.buf + to, o.len - to);
			must(scan(o.buf, o.len - (to - from), UINT64_MAX, &end, &hash, &units) != 0);
		}
	}
	aof_out_clear(&o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 8)
		return 0;
	/* A copy of its own size, so that reading beyond the end is seen. */
	char *copy = malloc(size - 3);
	if (!copy)
		return 0;
	memcpy(copy, data + 3, size - 3);
	if (data[0] % 3 == 0)
		any_log(copy, size - 3, (size_t)(data[1] | data[2] << 8));
	else if (data[0] % 3 == 1)
		any_manifest(copy, size - 3);
	else
		damaged_log(data + 1, size - 1);
	free(copy);
	return 0;
}

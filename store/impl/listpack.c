#include "store/impl/listpack.h"

#include <errno.h>
#include <string.h>

#include "store/memory.h"
#include "store/memory_class.h"

#define HEADER 6
#define LARGE 8192 /* bytes from which on the allocator may let a block grow where it is */
#define END LISTPACK_END
#define COUNT_UNKNOWN 65535u

/* Encoding bytes of those that are not told by their upper bits. */
enum { ENC_STR32 = 0xf0, ENC_INT16 = 0xf1, ENC_INT24 = 0xf2, ENC_INT32 = 0xf3, ENC_INT64 = 0xf4 };

/* An element ready to be written: head (encoding, lengths, or the integer), bytes, back length. */
struct element {
	uint8_t head[9], back[5];
	uint8_t head_len, back_len;
	const void *data;
	size_t data_len, total;
};

/* ------------------------------------------------------------------ reading */

static inline uint32_t header_count(const uint8_t *lp)
{
	return lp[4] | (uint32_t)lp[5] << 8;
}

static inline void set_count(uint8_t *lp, size_t n)
{
	uint32_t v = n < COUNT_UNKNOWN ? (uint32_t)n : COUNT_UNKNOWN;
	lp[4] = (uint8_t)v;
	lp[5] = (uint8_t)(v >> 8);
}

static inline void set_bytes(uint8_t *lp, size_t n)
{
	for (int i = 0; i < 4; i++)
		lp[i] = (uint8_t)(n >> 8 * i);
}

static inline uint32_t load32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Bytes of encoding and lengths in front of a string's bytes, or of a whole integer; 0: no such encoding. */
static inline unsigned head_bytes(uint8_t enc)
{
	if (enc < 0xc0)
		return 1;
	if (enc < 0xf0)
		return 2;
	switch (enc) {
	case ENC_STR32:
		return 5;
	case ENC_INT16:
		return 3;
	case ENC_INT24:
		return 4;
	case ENC_INT32:
		return 5;
	case ENC_INT64:
		return 9;
	}
	return 0;
}

static inline bool is_string(uint8_t enc)
{
	return (enc & 0xc0) == 0x80 || (enc & 0xf0) == 0xe0 || enc == ENC_STR32;
}

/* Length of the string at p, whose head is all there; 0 for an integer. */
static inline size_t string_len(const uint8_t *p)
{
	if ((*p & 0xc0) == 0x80)
		return *p & 0x3f;
	if ((*p & 0xf0) == 0xe0)
		return (size_t)(*p & 15) << 8 | p[1];
	return *p == ENC_STR32 ? load32(p + 1) : 0;
}

/* Bytes of an element without its back length. */
static inline size_t body_bytes(const uint8_t *p)
{
	return head_bytes(*p) + string_len(p);
}

/* The limits are one short of powers of two from the second on: the format's quirk. */
static inline unsigned back_bytes(size_t body)
{
	if (body <= 127)
		return 1;
	if (body < 16383)
		return 2;
	if (body < 2097151)
		return 3;
	return body < 268435455 ? 4 : 5;
}

static inline uint8_t *skip_element(const uint8_t *p)
{
	size_t body = body_bytes(p);
	return (uint8_t *)p + body + back_bytes(body);
}

/* The length that ends before p. */
static inline size_t read_back(const uint8_t *p)
{
	size_t v = 0;
	unsigned shift = 0;
	do {
		p--;
		v |= (size_t)(*p & 127) << shift;
		shift += 7;
	} while (*p & 128);
	return v;
}

static int64_t read_int(const uint8_t *p)
{
	switch (*p) {
	case ENC_INT16:
		return (int16_t)(p[1] | p[2] << 8);
	case ENC_INT24:
		return (int32_t)((uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24) >> 8;
	case ENC_INT32:
		return (int32_t)load32(p + 1);
	case ENC_INT64:
		return (int64_t)((uint64_t)load32(p + 1) | (uint64_t)load32(p + 5) << 32);
	}
	if (*p < 0x80)
		return *p;
	int v = (*p & 31) << 8 | p[1];
	return v < 4096 ? v : v - 8192;
}

size_t listpack_count(const uint8_t *lp)
{
	size_t n = header_count(lp);
	if (n != COUNT_UNKNOWN)
		return n;
	n = 0;
	for (const uint8_t *p = lp + HEADER; *p != END; p = skip_element(p))
		n++;
	return n;
}

uint8_t *listpack_first(const uint8_t *lp)
{
	return lp[HEADER] == END ? NULL : (uint8_t *)lp + HEADER;
}

uint8_t *listpack_next(const uint8_t *lp, const uint8_t *p)
{
	(void)lp;
	p = skip_element(p);
	return *p == END ? NULL : (uint8_t *)p;
}

const uint8_t *listpack_skip(const uint8_t *p)
{
	return skip_element(p);
}

uint8_t *listpack_prev(const uint8_t *lp, const uint8_t *p)
{
	if (p == lp + HEADER)
		return NULL;
	size_t body = read_back(p);
	return (uint8_t *)p - body - back_bytes(body);
}

uint8_t *listpack_last(const uint8_t *lp)
{
	return listpack_prev(lp, lp + listpack_bytes(lp) - 1);
}

uint8_t *listpack_at(const uint8_t *lp, int64_t index)
{
	size_t n = header_count(lp);
	if (n != COUNT_UNKNOWN) {
		if (index < -(int64_t)n || index >= (int64_t)n)
			return NULL;
		if (index < 0)
			index += (int64_t)n;
		if (index > (int64_t)n / 2)
			index -= (int64_t)n;
	}
	uint8_t *p;
	if (index >= 0) {
		for (p = listpack_first(lp); p && index; index--)
			p = listpack_next(lp, p);
		return p;
	}
	for (p = listpack_last(lp), index++; p && index; index++)
		p = listpack_prev(lp, p);
	return p;
}

void listpack_get(const uint8_t *p, struct listpack_item *item)
{
	if (is_string(*p)) {
		*item = (struct listpack_item){(const char *)p + head_bytes(*p), (uint32_t)string_len(p), 0};
		return;
	}
	*item = (struct listpack_item){NULL, 0, read_int(p)};
}

const char *listpack_text(const uint8_t *p, char buf[static NUMBER_MAX], size_t *len)
{
	if (is_string(*p)) {
		*len = string_len(p);
		return (const char *)p + head_bytes(*p);
	}
	*len = number_print(buf, read_int(p));
	return buf;
}

size_t listpack_element_bytes(const uint8_t *p)
{
	return (size_t)(skip_element(p) - p);
}

bool listpack_integer(const uint8_t *p, int64_t *val)
{
	if (is_string(*p))
		return number_parse(p + head_bytes(*p), string_len(p), val);
	*val = read_int(p);
	return true;
}

bool listpack_equal(const uint8_t *p, const void *str, size_t len)
{
	if (is_string(*p))
		return string_len(p) == len && !memcmp(p + head_bytes(*p), str, len);
	int64_t v;
	return number_parse(str, len, &v) && v == read_int(p);
}

/* skip_element(), with the usual short ones first. */
static inline const uint8_t *skip_short(const uint8_t *p)
{
	if ((*p & 0xc0) == 0x80)
		return p + 2 + (*p & 63);
	return *p < 0x80 ? p + 2 : skip_element(p);
}

uint8_t *listpack_find(const uint8_t *lp, const uint8_t *p, const void *str, size_t len, unsigned skip)
{
	int64_t num;
	bool is_num = number_parse(str, len, &num);
	/* Of the names in one aggregate many begin alike, but few end alike. */
	uint8_t last = len ? ((const uint8_t *)str)[len - 1] : 0;
	(void)lp;
	while (p && *p != END) {
		if (is_string(*p)) {
			const uint8_t *text = p + head_bytes(*p);
			if (string_len(p) == len && (len == 0 || (text[len - 1] == last && !memcmp(text, str, len))))
				return (uint8_t *)p;
		} else if (is_num && read_int(p) == num) {
			return (uint8_t *)p;
		}
		p = skip_short(p);
		for (unsigned i = 0; i < skip && *p != END; i++)
			p = skip_short(p);
	}
	return NULL;
}

/* ------------------------------------------------------------------ foreign bytes */

/* Bytes of the element at p, of which `room` may be read; 0: malformed. */
static size_t checked_element(const uint8_t *p, size_t room)
{
	unsigned head = head_bytes(*p);
	if (!head || head > room)
		return 0;
	size_t body = head + string_len(p);
	if (body > room)
		return 0;
	unsigned back = back_bytes(body);
	if (back > room - body)
		return 0;
	/* The exact form, with no needless continuation: walking back must end where walking on began. */
	size_t v = 0;
	for (unsigned i = 0; i < back; i++) {
		uint8_t b = p[body + i];
		if (!(b & 128) != (i == 0))
			return 0;
		v = v << 7 | (b & 127);
	}
	return v == body ? body + back : 0;
}

bool listpack_validate(const void *bytes, size_t len, bool deep)
{
	const uint8_t *lp = bytes;
	if (len < LISTPACK_EMPTY_BYTES || len > LISTPACK_MAX || listpack_bytes(lp) != len || lp[len - 1] != END)
		return false;
	if (!deep)
		return true;
	size_t n = 0, at = HEADER;
	while (at < len - 1) {
		size_t used = lp[at] == END ? 0 : checked_element(lp + at, len - 1 - at);
		if (!used)
			return false;
		at += used;
		n++;
	}
	return header_count(lp) == COUNT_UNKNOWN || header_count(lp) == n;
}

/* ------------------------------------------------------------------ making elements */

static void element_back(struct element *e)
{
	size_t body = e->head_len + e->data_len;
	e->back_len = (uint8_t)back_bytes(body);
	for (unsigned i = e->back_len; i-- > 0; body >>= 7)
		e->back[i] = (uint8_t)((body & 127) | (i ? 128 : 0));
	e->total = e->head_len + e->data_len + e->back_len;
}

static void element_int(struct element *e, int64_t v)
{
	unsigned n;
	e->data = NULL;
	e->data_len = 0;
	if (v >= 0 && v <= 127) {
		e->head[0] = (uint8_t)v;
		e->head_len = 1;
	} else if (v >= -4096 && v <= 4095) {
		e->head[0] = (uint8_t)(0xc0 | ((v >> 8) & 31));
		e->head[1] = (uint8_t)v;
		e->head_len = 2;
	} else {
		if (v >= INT16_MIN && v <= INT16_MAX)
			n = 2, e->head[0] = ENC_INT16;
		else if (v >= -(1 << 23) && v < 1 << 23)
			n = 3, e->head[0] = ENC_INT24;
		else if (v >= INT32_MIN && v <= INT32_MAX)
			n = 4, e->head[0] = ENC_INT32;
		else
			n = 8, e->head[0] = ENC_INT64;
		for (unsigned i = 0; i < n; i++)
			e->head[1 + i] = (uint8_t)((uint64_t)v >> 8 * i);
		e->head_len = (uint8_t)(1 + n);
	}
	element_back(e);
}

/* len is at most LISTPACK_MAX. */
static void element_raw(struct element *e, const void *str, size_t len)
{
	e->data = str;
	e->data_len = len;
	if (len < 64) {
		e->head[0] = (uint8_t)(0x80 | len);
		e->head_len = 1;
	} else if (len < 4096) {
		e->head[0] = (uint8_t)(0xe0 | len >> 8);
		e->head[1] = (uint8_t)len;
		e->head_len = 2;
	} else {
		e->head[0] = ENC_STR32;
		for (int i = 0; i < 4; i++)
			e->head[1 + i] = (uint8_t)(len >> 8 * i);
		e->head_len = 5;
	}
	element_back(e);
}

static int element_make(struct element *e, const void *str, size_t len)
{
	int64_t v;
	if (number_parse(str, len, &v)) {
		element_int(e, v);
		return 0;
	}
	if (len > LISTPACK_MAX)
		return -EFBIG;
	element_raw(e, str, len);
	return 0;
}

static void element_write(const struct element *e, uint8_t *p)
{
	memcpy(p, e->head, e->head_len);
	p += e->head_len;
	if (e->data_len) {
		memcpy(p, e->data, e->data_len);
		p += e->data_len;
	}
	memcpy(p, e->back, e->back_len);
}

/* Short, and no number. */
static inline bool is_short_text(const void *str, size_t len)
{
	return len - 1 < 63 && *(const uint8_t *)str > '9';
}

size_t listpack_cost(const void *str, size_t len)
{
	struct element e;
	if (is_short_text(str, len))
		return len + 2;
	return element_make(&e, str, len) ? len : e.total;
}

size_t listpack_cost_int(int64_t val)
{
	struct element e;
	if (val >= 0 && val <= 127)
		return 2;
	element_int(&e, val);
	return e.total;
}

size_t listpack_write_element(uint8_t *to, const void *str, size_t len)
{
	struct element e;
	if (is_short_text(str, len)) {
		to[0] = (uint8_t)(0x80 | len);
		memcpy(to + 1, str, len);
		to[1 + len] = (uint8_t)(1 + len);
		return len + 2;
	}
	if (element_make(&e, str, len))
		return 0;
	element_write(&e, to);
	return e.total;
}

size_t listpack_write_int(uint8_t *to, int64_t val)
{
	struct element e;
	if (val >= 0 && val <= 127) {
		to[0] = (uint8_t)val;
		to[1] = 1;
		return 2;
	}
	element_int(&e, val);
	element_write(&e, to);
	return e.total;
}

void listpack_write_head(uint8_t *lp, size_t bytes, size_t count)
{
	set_bytes(lp, bytes);
	set_count(lp, count);
}

/* ------------------------------------------------------------------ life cycle */

uint8_t *listpack_new(size_t capacity)
{
	uint8_t *lp = mem_alloc(capacity < LISTPACK_EMPTY_BYTES ? LISTPACK_EMPTY_BYTES : capacity);
	if (!lp)
		return NULL;
	set_bytes(lp, LISTPACK_EMPTY_BYTES);
	set_count(lp, 0);
	lp[HEADER] = END;
	return lp;
}

uint8_t *listpack_from_bytes(const void *bytes, size_t len)
{
	uint8_t *lp = mem_alloc(len);
	if (lp)
		memcpy(lp, bytes, len);
	return lp;
}

uint8_t *listpack_dup(const uint8_t *lp)
{
	return listpack_from_bytes(lp, listpack_bytes(lp));
}

void listpack_free(uint8_t *lp)
{
	mem_free(lp);
}

/* ------------------------------------------------------------------ changing */

bool listpack_fits(const uint8_t *lp, size_t add)
{
	return add <= LISTPACK_MAX - listpack_bytes(lp);
}

/* The listpack in a larger block, the bytes in front of and behind the place each at theirs. */
static uint8_t *moved(uint8_t *lp, size_t room, size_t at, size_t old, size_t fresh)
{
	size_t total = listpack_bytes(lp);
	uint8_t *to = mem_alloc(total - old + fresh);
	if (!to)
		return NULL;
	memcpy(to, lp, at);
	memcpy(to + at + fresh, lp + at + old, total - at - old);
	mem_free_sized(lp, room);
	return to;
}

/* Make the `old` bytes at offset `at` into `fresh` bytes to be written by the caller. Growth goes by the allocator's size
 * classes, which are geometric; shrinking returns memory once half of it is unused. */
static int splice(uint8_t **lpp, size_t at, size_t old, size_t fresh)
{
	uint8_t *lp = *lpp;
	size_t total = listpack_bytes(lp), need;
	if (fresh > old) {
		if (!listpack_fits(lp, fresh - old))
			return -EFBIG;
		need = total + (fresh - old);
		/* The block has at least the class of what it holds; the allocator is asked only beyond that. */
		size_t room = mem_class_(need) > mem_class_(total) ? mem_size(lp) : need;
		if (need > room && total < LARGE) {
			lp = moved(lp, room, at, old, fresh);
			if (!lp)
				return -ENOMEM;
			*lpp = lp;
			set_bytes(lp, need);
			return 0;
		}
		if (need > room) {
			lp = mem_realloc(lp, need);
			if (!lp)
				return -ENOMEM;
			*lpp = lp;
		}
		memmove(lp + at + fresh, lp + at + old, total - at - old);
	} else if (fresh < old) {
		need = total - (old - fresh);
		memmove(lp + at + fresh, lp + at + old, total - at - old);
		if (need <= mem_size(lp) / 2) {
			/* The bytes between lie before the new end: nothing is lost if it fails. */
			uint8_t *small = mem_realloc(lp, need);
			if (small)
				*lpp = lp = small;
		}
	} else {
		return 0;
	}
	set_bytes(lp, need);
	return 0;
}

static inline void add_count(uint8_t *lp, size_t n)
{
	if (header_count(lp) != COUNT_UNKNOWN)
		set_count(lp, header_count(lp) + n);
}

static int put(uint8_t **lp, size_t at, size_t old, const struct element *e)
{
	int err = splice(lp, at, old, e->total);
	if (err)
		return err;
	element_write(e, *lp + at);
	if (!old)
		add_count(*lp, 1);
	return 0;
}

int listpack_append(uint8_t **lp, const void *str, size_t len)
{
	struct element e;
	int err = element_make(&e, str, len);
	return err ? err : put(lp, listpack_bytes(*lp) - 1, 0, &e);
}

int listpack_append_int(uint8_t **lp, int64_t val)
{
	struct element e;
	element_int(&e, val);
	return put(lp, listpack_bytes(*lp) - 1, 0, &e);
}

int listpack_prepend(uint8_t **lp, const void *str, size_t len)
{
	struct element e;
	int err = element_make(&e, str, len);
	return err ? err : put(lp, HEADER, 0, &e);
}

int listpack_prepend_int(uint8_t **lp, int64_t val)
{
	struct element e;
	element_int(&e, val);
	return put(lp, HEADER, 0, &e);
}

static size_t item_cost(const struct listpack_item *item)
{
	return item->str ? listpack_cost(item->str, item->len) : listpack_cost_int(item->num);
}

static size_t write_item(uint8_t *to, const struct listpack_item *item)
{
	return item->str ? listpack_write_element(to, item->str, item->len) : listpack_write_int(to, item->num);
}

/* -EFBIG: more than any listpack holds. */
static int items_cost(const struct listpack_item *items, size_t n, size_t *cost)
{
	*cost = 0;
	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(*cost, item_cost(&items[i]), cost))
			return -EFBIG;
	return 0;
}

static void write_items(uint8_t *lp, size_t at, const struct listpack_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at += write_item(lp + at, &items[i]);
	add_count(lp, n);
}

static int put_items(uint8_t **lp, size_t at, const struct listpack_item *items, size_t n)
{
	size_t add;
	int err = items_cost(items, n, &add);
	if (!err)
		err = splice(lp, at, 0, add);
	if (!err)
		write_items(*lp, at, items, n);
	return err;
}

size_t listpack_items_cost(const struct listpack_item *items, size_t n)
{
	size_t cost;
	return items_cost(items, n, &cost) ? LISTPACK_MAX : cost;
}

void listpack_insert_within(uint8_t *lp, size_t at, const struct listpack_item *items, size_t n)
{
	size_t total = listpack_bytes(lp), add = listpack_items_cost(items, n);
	memmove(lp + at + add, lp + at, total - at);
	set_bytes(lp, total + add);
	write_items(lp, at, items, n);
}

int listpack_append_items(uint8_t **lp, const struct listpack_item *items, size_t n)
{
	return put_items(lp, listpack_bytes(*lp) - 1, items, n);
}

int listpack_insert_items(uint8_t **lp, const uint8_t *pos, const struct listpack_item *items, size_t n)
{
	return put_items(lp, (size_t)(pos - *lp), items, n);
}

int listpack_move(uint8_t **lp, const uint8_t *pos, size_t bytes, const uint8_t *to, const uint8_t *fresh, size_t fresh_bytes)
{
	size_t at = (size_t)(pos - *lp), dest = (size_t)(to - *lp), end = listpack_bytes(*lp);
	bool later = dest > at;
	/* What stands behind both places moves first where there must be room, and last where there is too much. */
	size_t behind = later ? dest : at + bytes;
	if (fresh_bytes > bytes) {
		int err = splice(lp, behind, 0, fresh_bytes - bytes);
		if (err)
			return err;
	}
	uint8_t *base = *lp;
	if (later)
		memmove(base + at, base + at + bytes, dest - at - bytes);
	else
		memmove(base + dest + fresh_bytes, base + dest, at - dest);
	if (later)
		dest -= bytes;
	memcpy(base + dest, fresh, fresh_bytes);
	if (fresh_bytes < bytes) {
		memmove(base + behind - (bytes - fresh_bytes), base + behind, end - behind);
		set_bytes(base, end - (bytes - fresh_bytes));
	}
	return 0;
}

static int insert_element(uint8_t **lp, uint8_t **pos, bool after, const struct element *e)
{
	size_t at = (size_t)((after ? skip_element(*pos) : *pos) - *lp);
	int err = put(lp, at, 0, e);
	if (!err)
		*pos = *lp + at;
	return err;
}

int listpack_insert(uint8_t **lp, uint8_t **pos, bool after, const void *str, size_t len)
{
	struct element e;
	int err = element_make(&e, str, len);
	return err ? err : insert_element(lp, pos, after, &e);
}

int listpack_insert_int(uint8_t **lp, uint8_t **pos, bool after, int64_t val)
{
	struct element e;
	element_int(&e, val);
	return insert_element(lp, pos, after, &e);
}

static int replace_element(uint8_t **lp, uint8_t **pos, const struct element *e)
{
	size_t at = (size_t)(*pos - *lp);
	int err = put(lp, at, listpack_element_bytes(*pos), e);
	if (!err)
		*pos = *lp + at;
	return err;
}

int listpack_replace(uint8_t **lp, uint8_t **pos, const void *str, size_t len)
{
	struct element e;
	int err = element_make(&e, str, len);
	return err ? err : replace_element(lp, pos, &e);
}

int listpack_replace_int(uint8_t **lp, uint8_t **pos, int64_t val)
{
	struct element e;
	element_int(&e, val);
	return replace_element(lp, pos, &e);
}

void listpack_delete(uint8_t **lp, uint8_t **pos, size_t n)
{
	size_t at = (size_t)(*pos - *lp), gone = 0;
	const uint8_t *end = *pos;
	for (; gone < n && *end != END; gone++)
		end = skip_element(end);
	splice(lp, at, (size_t)(end - *pos), 0);
	if (header_count(*lp) != COUNT_UNKNOWN)
		set_count(*lp, header_count(*lp) - gone);
	*pos = (*lp)[at] == END ? NULL : *lp + at;
}

size_t listpack_delete_range(uint8_t **lp, int64_t index, size_t n)
{
	uint8_t *p = listpack_at(*lp, index);
	if (!p || !n)
		return 0;
	size_t before = listpack_count(*lp);
	listpack_delete(lp, &p, n);
	return before - listpack_count(*lp);
}

int listpack_merge(uint8_t **lp, const uint8_t *other)
{
	size_t at = listpack_bytes(*lp) - 1, add = listpack_bytes(other) - LISTPACK_EMPTY_BYTES;
	bool known = header_count(other) != COUNT_UNKNOWN;
	int err = splice(lp, at, 0, add);
	if (err)
		return err;
	memcpy(*lp + at, other + HEADER, add);
	if (known)
		add_count(*lp, header_count(other));
	else
		set_count(*lp, COUNT_UNKNOWN);
	return 0;
}

int listpack_split(uint8_t **lp, int64_t index, uint8_t **tail)
{
	uint8_t *p = listpack_at(*lp, index);
	size_t moved = p ? (size_t)(*lp + listpack_bytes(*lp) - 1 - p) : 0, n = 0;
	uint8_t *out = listpack_new(LISTPACK_EMPTY_BYTES + moved);
	if (!out)
		return -ENOMEM;
	if (p) {
		for (const uint8_t *q = p; *q != END; q = skip_element(q))
			n++;
		memcpy(out + HEADER, p, moved + 1);
		set_bytes(out, LISTPACK_EMPTY_BYTES + moved);
		set_count(out, n);
		listpack_delete(lp, &p, n);
	}
	*tail = out;
	return 0;
}

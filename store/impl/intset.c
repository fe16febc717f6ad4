#include "store/impl/intset.h"

#include <errno.h>
#include <string.h>

#include "store/memory.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the block is used in its file format");

static uint32_t width_of(int64_t v)
{
	if (v >= INT16_MIN && v <= INT16_MAX)
		return 2;
	return v >= INT32_MIN && v <= INT32_MAX ? 4 : 8;
}

static inline int64_t read_at(const unsigned char *data, uint32_t width, size_t i)
{
	if (width == 2) {
		int16_t v;
		memcpy(&v, data + i * 2, sizeof v);
		return v;
	}
	if (width == 4) {
		int32_t v;
		memcpy(&v, data + i * 4, sizeof v);
		return v;
	}
	int64_t v;
	memcpy(&v, data + i * 8, sizeof v);
	return v;
}

static inline void write_at(struct intset *is, size_t i, int64_t v)
{
	memcpy(is->data + i * is->width, &v, is->width);
}

struct intset *intset_new(void)
{
	struct intset *is = mem_alloc(sizeof *is);
	if (is)
		*is = (struct intset){.width = 2};
	return is;
}

struct intset *intset_from_bytes(const void *bytes, size_t len)
{
	struct intset *is = mem_alloc(len);
	if (is)
		memcpy(is, bytes, len);
	return is;
}

struct intset *intset_dup(const struct intset *is)
{
	return intset_from_bytes(is, intset_bytes(is));
}

void intset_free(struct intset *is)
{
	mem_free(is);
}

bool intset_validate(const void *bytes, size_t len, bool deep)
{
	struct intset head;
	if (len < sizeof head || len > INTSET_MAX)
		return false;
	memcpy(&head, bytes, sizeof head);
	if ((head.width != 2 && head.width != 4 && head.width != 8) || len != intset_bytes(&head))
		return false;
	if (!deep)
		return true;
	const unsigned char *data = (const unsigned char *)bytes + sizeof head;
	for (size_t i = 1; i < head.len; i++)
		if (read_at(data, head.width, i - 1) >= read_at(data, head.width, i))
			return false;
	return true;
}

int64_t intset_at(const struct intset *is, size_t index)
{
	return read_at(is->data, is->width, index);
}

/* The first index whose value is not less than val. */
static size_t lower_bound(const struct intset *is, int64_t val)
{
	size_t lo = 0, n = is->len;
	while (n > 0) {
		size_t half = n / 2;
		bool less = read_at(is->data, is->width, lo + half) < val;
		lo = less ? lo + half + 1 : lo;
		n = less ? n - half - 1 : half;
	}
	return lo;
}

bool intset_find(const struct intset *is, int64_t val, size_t *index)
{
	size_t i = lower_bound(is, val);
	if (index)
		*index = i;
	return i < is->len && read_at(is->data, is->width, i) == val;
}

static int reserve(struct intset **isp, size_t need)
{
	if (need > INTSET_MAX)
		return -EFBIG;
	if (need > mem_size(*isp)) {
		struct intset *is = mem_realloc(*isp, need);
		if (!is)
			return -ENOMEM;
		*isp = is;
	}
	return 0;
}

/* val is outside the range of the old width, so it goes to one of the ends. */
static int add_wider(struct intset **isp, int64_t val, uint32_t width)
{
	size_t n = (*isp)->len, shift = val < 0;
	int err = reserve(isp, sizeof **isp + (n + 1) * width);
	if (err)
		return err;
	struct intset *is = *isp;
	uint32_t old = is->width;
	is->width = width;
	for (size_t i = n; i-- > 0;)
		write_at(is, i + shift, read_at(is->data, old, i));
	write_at(is, shift ? 0 : n, val);
	is->len++;
	return 1;
}

int intset_add(struct intset **isp, int64_t val)
{
	struct intset *is = *isp;
	uint32_t width = width_of(val);
	if (width > is->width)
		return add_wider(isp, val, width);
	size_t at = is->len;
	/* In order is the commonest way to fill one. */
	if (at && val <= read_at(is->data, is->width, at - 1) && intset_find(is, val, &at))
		return 0;
	int err = reserve(isp, intset_bytes(is) + is->width);
	if (err)
		return err;
	is = *isp;
	unsigned char *p = is->data + at * is->width;
	memmove(p + is->width, p, (is->len - at) * is->width);
	write_at(is, at, val);
	is->len++;
	return 1;
}

void intset_remove_at(struct intset **isp, size_t index, size_t n)
{
	struct intset *is = *isp;
	unsigned char *p = is->data + index * is->width;
	memmove(p, p + n * is->width, (is->len - index - n) * is->width);
	is->len -= (uint32_t)n;
	if (intset_bytes(is) <= mem_size(is) / 2) {
		struct intset *small = mem_realloc(is, intset_bytes(is));
		if (small)
			*isp = small;
	}
}

bool intset_remove(struct intset **isp, int64_t val)
{
	size_t at;
	if (!intset_find(*isp, val, &at))
		return false;
	intset_remove_at(isp, at, 1);
	return true;
}

/*
 * structs: the library `struct` of scripts: C structures from and to strings, with the formats of Roberto Ierusalimschy's
 * library of that name:
 *
 *   > <  byte order       !n  alignment up to n bytes     x  a byte of padding
 *   b B h H l L T i[n] I[n]  integers     f d  floats     s  string that ends with a zero     cn  n bytes (c0: as told)
 */
#include <ctype.h>
#include <string.h>

#include "server/script/vm.h"

#define INT_MAX_BYTES 32

struct format {
	const char *p;
	bool little;
	unsigned align;
};

static unsigned read_count(lua_State *L, struct format *f, unsigned otherwise)
{
	uint64_t n = 0;
	if (*f->p < '0' || *f->p > '9')
		return otherwise;
	while (*f->p >= '0' && *f->p <= '9') {
		n = n * 10 + (unsigned)(*f->p++ - '0');
		if (n > INT32_MAX)
			luaL_error(L, "integral size overflow");
	}
	return (unsigned)n;
}

/* Bytes of the option, whose own number (if any) is read. */
static size_t option_size(lua_State *L, struct format *f, char option)
{
	switch (option) {
	case 'b': case 'B': case 'x':
		return 1;
	case 'h': case 'H':
		return 2;
	case 'l': case 'L': case 'T': case 'd':
		return 8;
	case 'f':
		return 4;
	case 'c':
		return read_count(L, f, 1);
	case 'i': case 'I': {
		unsigned n = read_count(L, f, 4);
		if (n > INT_MAX_BYTES)
			luaL_error(L, "integral size %d is larger than limit of %d", (int)n, INT_MAX_BYTES);
		return n;
	}
	default:
		return 0; /* s, and what controls */
	}
}

static void control(lua_State *L, struct format *f, char option)
{
	switch (option) {
	case ' ':
		break;
	case '>':
		f->little = false;
		break;
	case '<':
		f->little = true;
		break;
	case '!': {
		unsigned n = read_count(L, f, 8);
		if (n == 0 || n & (n - 1))
			luaL_error(L, "alignment %d is not a power of 2", (int)n);
		f->align = n;
		break;
	}
	default:
		luaL_argerror(L, 1, lua_pushfstring(L, "invalid format option '%c'", option));
	}
}

/* The library's formula, for sizes that are no powers of two as well. */
static size_t padding(const struct format *f, char option, size_t size, size_t at)
{
	size_t align = size > f->align ? f->align : size;
	if (align == 0 || option == 'c')
		return 0;
	return (align - (at & (align - 1))) & (align - 1);
}

static bool is_control(char option)
{
	return !strchr("bBhHlLTiIfdxsc", option);
}

/* Bytes beyond the eighth are zero, even of negative numbers. */
static void put_int(luaL_Buffer *b, const struct format *f, uint64_t v, size_t size)
{
	char bytes[INT_MAX_BYTES];
	for (size_t i = 0; i < size; i++)
		bytes[f->little ? i : size - 1 - i] = (char)(i < 8 ? v >> 8 * i : 0);
	luaL_addlstring(b, bytes, size);
}

static void put_float(luaL_Buffer *b, const struct format *f, double v, size_t size)
{
	uint64_t bits = 0;
	uint32_t short_bits;
	float narrow = (float)v;
	if (size == 4) {
		memcpy(&short_bits, &narrow, 4);
		bits = short_bits;
	} else {
		memcpy(&bits, &v, 8);
	}
	put_int(b, f, bits, size);
}

static void put_text(lua_State *L, luaL_Buffer *b, char option, size_t size, int arg)
{
	size_t len;
	const char *s = luaL_checklstring(L, arg, &len);
	if (option == 'c' && size == 0)
		size = len;
	luaL_argcheck(L, option == 's' || len >= size, arg + 1, "string too short"); /* counted so by the original */
	luaL_addlstring(b, s, option == 's' ? len : size);
	if (option == 's')
		luaL_addchar(b, 0);
}

/* Numbers beyond 64 bits wrap as conversions in C usually do. */
static uint64_t to_integer(lua_Number v)
{
	if (v >= 9223372036854775808.0)
		return v < 18446744073709551616.0 ? (uint64_t)v : 0;
	return v >= -9223372036854775808.0 ? (uint64_t)(int64_t)v : (uint64_t)INT64_MIN;
}

static int st_pack(lua_State *L)
{
	struct format f = { luaL_checkstring(L, 1), true, 1 };
	luaL_Buffer b;
	size_t total = 0;
	int arg = 2;
	lua_pushnil(L); /* a missing argument; behind it are the buffer's own */
	luaL_buffinit(L, &b);
	while (*f.p) {
		char option = *f.p++;
		if (is_control(option)) {
			control(L, &f, option);
			continue;
		}
		size_t size = option_size(L, &f, option), pad = padding(&f, option, size, total), len;
		for (size_t i = 0; i < pad; i++)
			luaL_addchar(&b, 0);
		total += pad;
		if (option == 'x') {
			luaL_addchar(&b, 0);
		} else if (option == 's' || option == 'c') {
			luaL_checklstring(L, arg, &len);
			size = option == 's' ? len + 1 : size ? size : len;
			put_text(L, &b, option, size, arg++);
		} else if (option == 'f' || option == 'd') {
			put_float(&b, &f, luaL_checknumber(L, arg++), size);
		} else {
			put_int(&b, &f, to_integer(luaL_checknumber(L, arg++)), size);
		}
		total += size;
	}
	luaL_pushresult(&b);
	return 1;
}

static uint64_t get_int(const struct format *f, const char *p, size_t size)
{
	uint64_t v = 0;
	for (size_t i = 0; i < size && i < 8; i++)
		v |= (uint64_t)(uint8_t)p[f->little ? i : size - 1 - i] << 8 * i;
	return v;
}

static void push_number(lua_State *L, const struct format *f, char option, const char *p, size_t size)
{
	uint64_t v = get_int(f, p, size);
	uint32_t short_bits = (uint32_t)v;
	float narrow;
	double wide;
	if (option == 'f') {
		memcpy(&narrow, &short_bits, 4);
		lua_pushnumber(L, (lua_Number)narrow);
	} else if (option == 'd') {
		memcpy(&wide, &v, 8);
		lua_pushnumber(L, wide);
	} else if (option >= 'a' && size) {
		unsigned unused = size < 8 ? 64 - 8 * (unsigned)size : 0;
		lua_pushnumber(L, (lua_Number)((int64_t)(v << unused) >> unused));
	} else {
		lua_pushnumber(L, (lua_Number)v);
	}
}

static int st_unpack(lua_State *L)
{
	struct format f = { luaL_checkstring(L, 1), true, 1 };
	size_t len;
	const char *data = luaL_checklstring(L, 2, &len);
	lua_Integer from = luaL_optinteger(L, 3, 1);
	luaL_argcheck(L, from != 0, 3, "offset must be 1 or greater");
	size_t pos = (size_t)from - 1; /* a negative one is too far for any option */
	lua_settop(L, 2);
	int n = 0;
	while (*f.p) {
		char option = *f.p++;
		size_t size = option_size(L, &f, option);
		pos += padding(&f, option, size, pos);
		luaL_argcheck(L, pos <= len && size <= len - pos, 2, "data string too short");
		if (is_control(option)) {
			control(L, &f, option);
			continue;
		}
		luaL_checkstack(L, 2, "too many results");
		if (option == 's') {
			const char *end = memchr(data + pos, 0, len - pos);
			if (!end)
				return luaL_error(L, "unfinished string in data");
			lua_pushlstring(L, data + pos, (size_t)(end - data) - pos);
			size = (size_t)(end - data) - pos + 1;
			n++;
		} else if (option == 'c') {
			if (size == 0) {
				/* As long as the number before it says, which it replaces. */
				if (n == 0 || !lua_isnumber(L, -1))
					return luaL_error(L, "format 'c0' needs a previous size");
				lua_Number told = lua_tonumber(L, -1);
				luaL_argcheck(L, told >= 0 && told <= (lua_Number)(len - pos), 2, "data string too short");
				size = (size_t)told;
				lua_pop(L, 1);
				n--;
			}
			lua_pushlstring(L, data + pos, size);
			n++;
		} else if (option != 'x') {
			push_number(L, &f, option, data + pos, size);
			n++;
		}
		pos += size;
	}
	lua_pushnumber(L, (lua_Number)(pos + 1));
	return n + 1;
}

static int st_size(lua_State *L)
{
	struct format f = { luaL_checkstring(L, 1), true, 1 };
	size_t total = 0;
	while (*f.p) {
		char option = *f.p++;
		if (is_control(option)) {
			if (!isalnum((unsigned char)option)) /* unknown letters have no size */
				control(L, &f, option);
			continue;
		}
		size_t size = option_size(L, &f, option);
		if (option == 's')
			luaL_argerror(L, 1, "option 's' has no fixed size");
		if (option == 'c' && size == 0)
			luaL_argerror(L, 1, "option 'c0' has no fixed size");
		total += padding(&f, option, size, total) + size;
		luaL_argcheck(L, total <= INT32_MAX, 1, "format is too large");
	}
	lua_pushinteger(L, (lua_Integer)total);
	return 1;
}

int luaopen_struct(lua_State *L)
{
	static const luaL_Reg functions[] = { { "pack", st_pack }, { "unpack", st_unpack }, { "size", st_size }, { NULL, NULL } };
	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	return 1;
}

/*
 * bits: the library `bit` of scripts: operations on 32-bit integers, with the names and results of Lua BitOp
 * (bitop.luajit.org). Debian's package of it reads out of bounds in tohex() (CVE-2024-31449).
 */
#include <string.h>

#include "server/script/vm.h"

/* Modulo 2^32, rounded to the nearest integer: the low bits of the mantissa after adding 1.5 * 2^52. What is beyond 2^51
 * comes out as it does with BitOp. */
static uint32_t to_bits(lua_State *L, int arg)
{
	double v = luaL_checknumber(L, arg) + 6755399441055744.0;
	uint64_t bits;
	memcpy(&bits, &v, sizeof v);
	return (uint32_t)bits;
}

static int push(lua_State *L, uint32_t v)
{
	lua_pushnumber(L, (lua_Number)(int32_t)v);
	return 1;
}

static int bit_tobit(lua_State *L)
{
	return push(L, to_bits(L, 1));
}

static int bit_bnot(lua_State *L)
{
	return push(L, ~to_bits(L, 1));
}

static int bit_bswap(lua_State *L)
{
	return push(L, __builtin_bswap32(to_bits(L, 1)));
}

static int bit_band(lua_State *L)
{
	uint32_t v = to_bits(L, 1);
	for (int i = lua_gettop(L); i > 1; i--)
		v &= to_bits(L, i);
	return push(L, v);
}

static int bit_bor(lua_State *L)
{
	uint32_t v = to_bits(L, 1);
	for (int i = lua_gettop(L); i > 1; i--)
		v |= to_bits(L, i);
	return push(L, v);
}

static int bit_bxor(lua_State *L)
{
	uint32_t v = to_bits(L, 1);
	for (int i = lua_gettop(L); i > 1; i--)
		v ^= to_bits(L, i);
	return push(L, v);
}

/* Only the low five bits of a distance count. */
static int bit_lshift(lua_State *L)
{
	return push(L, to_bits(L, 1) << (to_bits(L, 2) & 31));
}

static int bit_rshift(lua_State *L)
{
	return push(L, to_bits(L, 1) >> (to_bits(L, 2) & 31));
}

static int bit_arshift(lua_State *L)
{
	return push(L, (uint32_t)((int32_t)to_bits(L, 1) >> (to_bits(L, 2) & 31)));
}

static int bit_rol(lua_State *L)
{
	uint32_t v = to_bits(L, 1), n = to_bits(L, 2) & 31;
	return push(L, v << n | v >> (-n & 31));
}

static int bit_ror(lua_State *L)
{
	uint32_t v = to_bits(L, 1), n = to_bits(L, 2) & 31;
	return push(L, v >> n | v << (-n & 31));
}

/* tohex(x, n): the last |n| of eight digits, capitals if n is negative. */
static int bit_tohex(lua_State *L)
{
	uint32_t v = to_bits(L, 1);
	int64_t n = lua_isnone(L, 2) ? 8 : (int32_t)to_bits(L, 2);
	const char *digits = n < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
	char text[8];
	n = n < 0 ? -n : n;
	n = n > 8 ? 8 : n;
	for (int64_t i = n; i-- > 0; v >>= 4)
		text[i] = digits[v & 15];
	lua_pushlstring(L, text, (size_t)n);
	return 1;
}

int luaopen_bit(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "tobit", bit_tobit }, { "bnot", bit_bnot }, { "band", bit_band }, { "bor", bit_bor }, { "bxor", bit_bxor },
		{ "lshift", bit_lshift }, { "rshift", bit_rshift }, { "arshift", bit_arshift }, { "rol", bit_rol },
		{ "ror", bit_ror }, { "bswap", bit_bswap }, { "tohex", bit_tohex }, { NULL, NULL },
	};
	lua_newtable(L);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_pushcfunction(L, f->func);
		lua_setfield(L, -2, f->name);
	}
	return 1;
}

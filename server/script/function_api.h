/*
 * function_api: libraries in an interpreter: loading, redis.register_function(). Internal to script/.
 *
 * While a library is loaded its globals are `redis` alone, and that only registers and logs. Its functions see what
 * scripts see.
 */
#ifndef SERVER_SCRIPT_FUNCTION_API_H
#define SERVER_SCRIPT_FUNCTION_API_H

#include "server/script/functions.h"
#include "server/script/vm.h"

/* Load the library's code into vm and enter what it registers into lib. false: *error is a malloc'ed text, or NULL. */
bool function_api_load(struct vm *vm, struct library *lib, bool limit_time, char **error);
/* The function onto the stack; its library is loaded before, if it is not there yet. Raises what goes wrong. */
void function_api_push(lua_State *L, struct vm *vm, const struct function *f);
/* Forget the copy, if there is one. Cannot fail. */
void function_api_drop(struct vm *vm, unsigned id);
/* A name of a library or function. */
bool function_api_name_ok(const char *name, size_t len);
#define FUNCTION_API_BAD_NAME \
	"Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"

#endif

/*
 * Libraries of functions: the input is the code of one, or (its first byte is 0xf5) a payload of FUNCTION RESTORE, with the
 * footer mended. What is refused changes nothing; what is accepted is listed, dumped, restored, and is the same.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "server/command.h"
#include "server/reply.h"
#include "server/script/functions.h"
#include "store/crc64.h"
#include "tests/fuzz/walk.h"

#define FOOTER 10
#define KEPT "#!lua name=kept\nredis.register_function('kept', function(keys) return redis.call('get', keys[1]) end)"

static struct call call;

static bool load(const char *code, size_t len)
{
	const struct arg a = { code, len };
	char *error = NULL;
	const struct library *l = functions_load(&call, &a, true, &error);
	check(l ? !error : error != NULL, "refused with a reason, or accepted");
	free(error);
	return l != NULL;
}

static bool restore(const void *payload, size_t len, enum functions_policy policy)
{
	const struct arg a = { payload, len };
	char *error = NULL;
	bool ok = functions_restore(&call, &a, policy, &error);
	check(ok ? !error : error != NULL, "refused with a reason, or accepted");
	free(error);
	return ok;
}

static bool mended(const uint8_t *data, size_t size)
{
	uint8_t *payload = malloc(size + FOOTER);
	check(payload != NULL, "memory");
	memcpy(payload, data, size);
	payload[size] = 10;
	payload[size + 1] = 0;
	uint64_t crc = crc64_update(0, payload, size + 2);
	memcpy(payload + size + 2, &crc, sizeof crc);
	bool ok = restore(payload, size + FOOTER, FUNCTIONS_REPLACE);
	free(payload);
	return ok;
}

/* Every library and function there is; their numbers are those that are told. */
static void list(void)
{
	unsigned libraries = 0, count = 0;
	for (const struct library *l = functions_first(); l; l = l->next, libraries++) {
		size_t len;
		const char *code = functions_code(l, &len);
		check(*l->name && len > 2 && code[0] == '#', "a library");
		unsigned n = 0;
		for (const struct function *f = l->functions; f; f = f->next, n++)
			check(*f->name && f->library == l && f->flags < 32, "a function");
		check(n == l->count && n > 0, "the functions of a library");
		count += n;
	}
	check(libraries == functions_libraries() && count == functions_count(), "the numbers");
}

/* The interpreter stays, most times. */
static void drop_all(size_t size)
{
	if (size % 64 == 63)
		functions_flush(&call);
	for (const struct library *l; (l = functions_first());) {
		char *name = strdup(l->name);
		check(name && functions_delete(&call, &(struct arg){ name, strlen(name) }), "a library that is there is deleted");
		free(name);
	}
}

static void dump_again(size_t size)
{
	struct reply r;
	size_t len;
	unsigned libraries = functions_libraries(), count = functions_count();
	uint64_t memory = functions_memory();
	reply_init_memory(&r, 2);
	functions_dump(&r);
	const char *bytes = reply_bytes(&r, &len), *payload = memchr(bytes, '\n', len);
	check(*bytes == '$' && payload, "a payload");
	payload++;
	len -= (size_t)(payload - bytes) + 2;
	drop_all(size);
	check(restore(payload, len, FUNCTIONS_APPEND), "what was dumped is restored");
	check(functions_libraries() == libraries && functions_count() == count && functions_memory() == memory,
	      "as what it was");
	reply_clear(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!call.loop) {
		check(command_init() == 0 && functions_init(1) == 0, "memory");
		call.loop = 1;
	}
	check(load(KEPT, sizeof KEPT - 1), "a good library");
	bool accepted = size && *data == 0xf5 ? mended(data, size) : load((const char *)data, size);
	list();
	if (accepted)
		dump_again(size);
	else
		check(functions_libraries() == 1 && functions_count() == 1, "what is refused changes nothing");
	list();
	drop_all(size);
	check(functions_libraries() == 0 && functions_memory() == 0, "nothing is left");
	return 0;
}

/*
 * Rules of ACL SETUSER: a line is one argument. Laws: a refused rule changes nothing; a user's description, applied to a
 * new user, makes the same user, with the same answers to the same commands; a copy is equal.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/acl.h"
#include "server/config_rows.h"
#include "tests/fuzz/target.h"

#define MAX_RULES 64

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	check(command_init() == 0, "the command table");
	return 0;
}

static char *description(const struct acl_user *u)
{
	struct config_text t = { 0 };
	acl_user_describe(u, &t);
	check(!t.failed, "memory");
	return t.ptr;
}

/* The words of a text, and the same words as one user's rules. */
static struct acl_user *user_of(const char *rules)
{
	static struct arg words[4096];
	size_t n = 0;
	char *bad = NULL;
	for (const char *p = rules; *p && n < 4096; p += *p == ' ') {
		size_t len = strcspn(p, " ");
		words[n++] = (struct arg){ p, len };
		p += len;
	}
	struct acl_user *u = acl_user_new("u", 1);
	enum acl_error e = acl_user_apply_all(u, words, n, &bad);
	if (e)
		fprintf(stderr, "%s: %s\n", bad ? bad : rules, acl_error_text(e));
	free(bad);
	check(e == ACL_FINE, "a description is sound");
	return u;
}

/* What the user may do, as bits of a number. */
static uint64_t answers(const struct acl_user *u)
{
	static const char *const commands[][5] = {
		{ "get", "a" }, { "get", "key" }, { "set", "a", "1" }, { "set", "key", "1", "get" }, { "mget", "a", "key" },
		{ "mset", "a", "1", "b", "2" }, { "del", "a", "b" }, { "exists", "" }, { "select", "1" }, { "select", "x" },
		{ "config", "get", "x" }, { "config", "set", "x", "y" }, { "client", "id" }, { "publish", "news", "x" },
		{ "subscribe", "news", "n" }, { "psubscribe", "n*" }, { "psubscribe", "*" }, { "spublish", "", "x" }, { "ping" },
		{ "flushall" }, { "zunion", "2", "a", "b" }, { "zunion", "9", "a" }, { "sintercard", "1", "key" }, { "acl", "list" },
		{ "copy", "a", "b" }, { "multi" }, { "auth", "x" }, { "object", "encoding", "a" },
	};
	uint64_t bits = 0;
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		struct arg argv[5];
		unsigned argc = 0, at;
		for (; argc < 5 && commands[i][argc]; argc++)
			argv[argc] = (struct arg){ commands[i][argc], strlen(commands[i][argc]) };
		const struct command *cmd = command_lookup(argv, argc, NULL);
		check(cmd != NULL, "the commands exist");
		enum acl_denied why = acl_check(u, cmd, argv, argc, &at);
		check(at < argc, "the argument at fault is one");
		check(!u->unrestricted || !why, "who may do everything may do this");
		bits |= (uint64_t)(why == ACL_ALLOWED) << i;
	}
	return bits;
}

/* Rules one by one: what is refused leaves no trace. */
static void apply_each(struct acl_user *u, const struct arg *rules, size_t n)
{
	char *before = description(u);
	uint64_t could = answers(u);
	for (size_t i = 0; i < n; i++) {
		enum acl_error e = acl_user_apply(u, rules[i].ptr, rules[i].len);
		char *after = description(u);
		uint64_t can = answers(u);
		check(e == ACL_FINE || (!strcmp(before, after) && could == can), "a refused rule changes nothing");
		could = can;
		free(before);
		before = after;
	}
	free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arg rules[MAX_RULES];
	size_t n = 0;
	/* Blocks of their own, so that the sanitizer sees each end. */
	for (size_t i = 0; i <= size && n < MAX_RULES;) {
		const uint8_t *stop = i < size ? memchr(data + i, '\n', size - i) : NULL;
		size_t len = (stop ? (size_t)(stop - data) : size) - i;
		char *block = malloc(len ? len : 1);
		check(block != NULL, "memory");
		if (len)
			memcpy(block, data + i, len);
		rules[n++] = (struct arg){ block, len };
		i += len + 1;
	}
	struct acl_user *u = acl_user_new("u", 1), *at_once = acl_user_new("u", 1);
	apply_each(u, rules, n);
	char *bad = NULL, *text = description(u);
	struct acl_user *again = user_of(text), *copy = acl_user_copy(u);
	char *text_again = description(again), *text_copy = description(copy);
	check(!strcmp(text, text_again) && answers(u) == answers(again), "the description makes the same user");
	check(!strcmp(text, text_copy) && answers(u) == answers(copy), "a copy is the same user");
	acl_user_apply_all(at_once, rules, n, &bad);
	char *text_at_once = description(at_once);
	struct acl_user *third = user_of(text_at_once);
	check(answers(third) == answers(at_once), "so it does with selectors of several arguments");
	free(bad);
	free(text);
	free(text_again);
	free(text_copy);
	free(text_at_once);
	acl_user_unref(u);
	acl_user_unref(again);
	acl_user_unref(copy);
	acl_user_unref(at_once);
	acl_user_unref(third);
	for (size_t i = 0; i < n; i++)
		free((char *)(uintptr_t)rules[i].ptr);
	return 0;
}

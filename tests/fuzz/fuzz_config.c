/*
 * The parser of configuration files: any text is accepted or refused with a reason; what was accepted can be written by
 * CONFIG REWRITE's functions and reads back as the same values. Files are never read: an include finds nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/config.h"
#include "server/config_rows.h"
#include "server/log.h"
#include "tests/fuzz/target.h"

static char *no_file(const char *path, int fd, size_t limit, size_t *len)
{
	(void)path, (void)fd, (void)limit;
	/* One file exists, so that includes within includes are met. */
	if (!strcmp(path, "again")) {
		*len = 14;
		return strdup("include again\n");
	}
	errno = ENOENT;
	return NULL;
}

static void fail(const char *what, const char *detail)
{
	fprintf(stderr, "broken: %s: %s\n", what, detail);
	abort();
}

static void write_and_read_back(void)
{
	struct config_text text = { 0 };
	char *error = NULL;

	for (const struct config_row *row = config_rows; row->name; row++)
		if (!(row->flags & CONFIG_FILE_ONLY))
			config_value_rewrite(config(), config_defaults(), row, &text);
	if (text.failed)
		fail("out of memory", "");
	const struct config *before = config_ref();
	if (config_parse_text(text.ptr, text.len, "rewritten", &error))
		fail("what was written is refused", error ? error : "");
	for (const struct config_row *row = config_rows; row->name; row++)
		if (!(row->flags & CONFIG_FILE_ONLY) && !config_value_equal(before, config(), row))
			fail("another value after writing and reading", row->name);
	config_unref(before);
	config_text_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *error = NULL, *text = malloc(size ? size : 1);

	config_read_file = no_file;
	if (!text)
		abort();
	if (size)
		memcpy(text, data, size); /* a block of its own, so that the sanitizer sees its end */
	if (config_parse_text(text, size, "fuzz", &error) == 0) {
		if (error)
			fail("accepted, but with an error", error);
		write_and_read_back();
	} else if (!error || !*error) {
		fail("refused without a reason", "");
	}
	free(error);
	free(text);
	return 0;
}

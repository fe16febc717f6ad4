/* config_value: values of rows as text, in both directions. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/config_rows.h"
#include "store/number.h"

/* ------------------------------------------------------------------ growing text */

static bool text_room(struct config_text *t, size_t n)
{
	if (t->failed)
		return false;
	if (t->cap - t->len > n)
		return true;
	size_t cap = t->cap ? t->cap * 2 : 64;
	while (cap - t->len <= n)
		cap *= 2;
	char *p = realloc(t->ptr, cap);
	if (!p) {
		t->failed = true;
		return false;
	}
	t->ptr = p;
	t->cap = cap;
	return true;
}

void config_text_add(struct config_text *t, const char *bytes, size_t len)
{
	if (!text_room(t, len))
		return;
	if (len)
		memcpy(t->ptr + t->len, bytes, len);
	t->len += len;
	t->ptr[t->len] = '\0';
}

void config_text_addf(struct config_text *t, const char *format, ...)
{
	va_list ap, again;

	va_start(ap, format);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, format, ap);
	if (n < 0)
		t->failed = true;
	else if (text_room(t, (size_t)n)) {
		vsnprintf(t->ptr + t->len, (size_t)n + 1, format, again);
		t->len += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

void config_text_quote(struct config_text *t, const char *text)
{
	static const char plain[] = "\n\r\t\a\b", letters[] = "nrtab";

	config_text_add(t, "\"", 1);
	for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
		const char *known = strchr(plain, *p);
		if (*p == '"' || *p == '\\')
			config_text_addf(t, "\\%c", *p);
		else if (known)
			config_text_addf(t, "\\%c", letters[known - plain]);
		else if (*p < 0x20 || *p >= 0x7f)
			config_text_addf(t, "\\x%02x", *p);
		else
			config_text_add(t, (const char *)p, 1);
	}
	config_text_add(t, "\"", 1);
}

void config_text_clear(struct config_text *t)
{
	free(t->ptr);
	*t = (struct config_text){ 0 };
}

bool config_error(char **error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(error, format, ap) < 0)
		*error = NULL;
	va_end(ap);
	return false;
}

/* ------------------------------------------------------------------ numbers */

static void *field(struct config *c, const struct config_row *row)
{
	return (char *)c + row->offset;
}

static const void *const_field(const struct config *c, const struct config_row *row)
{
	return (const char *)c + row->offset;
}

/* Digits with a sign, in the row's notation; the value as bits of a 64-bit number, negative for percentages. */
static bool number_from(const struct config_row *row, const char *text, uint64_t *v, bool *negative, char **error)
{
	size_t len = strlen(text);
	int64_t n;

	*negative = false;
	if ((row->flags & CONFIG_PERCENT) && len > 1 && text[len - 1] == '%' && number_parse(text, len - 1, &n) &&
	    n >= 0) {
		*v = (uint64_t)-n;
		*negative = n > 0;
		return true;
	}
	if ((row->flags & CONFIG_MEMORY) && number_parse_memory(text, len, v))
		return true;
	if (row->flags & (CONFIG_PERCENT | CONFIG_MEMORY))
		return config_error(error, row->flags & CONFIG_PERCENT ? "argument must be a memory or percent value"
								       : "argument must be a memory value");
	if (row->flags & CONFIG_OCTAL) {
		char *end;
		errno = 0;
		n = strtoll(text, &end, 8);
		if (errno || *end || end == text)
			return config_error(error, "argument couldn't be parsed as an octal number");
	} else if (!number_parse(text, len, &n)) {
		return config_error(error, "argument couldn't be parsed into an integer");
	}
	*v = (uint64_t)n;
	*negative = n < 0;
	return true;
}

static bool number_fits(const struct config_row *row, uint64_t v, bool negative, char **error)
{
	if (row->flags & CONFIG_PERCENT && negative)
		return (int64_t)v >= -100 || config_error(error, "percentage argument must be less or equal to 100");
	bool low = negative ? (int64_t)v < row->min : row->min > 0 && v < (uint64_t)row->min;
	bool high = !negative && v > row->max;
	if (!low && !high)
		return true;
	if (row->flags & CONFIG_OCTAL)
		return config_error(error, "argument must be between %llo and %llo inclusive",
				    (unsigned long long)row->min, (unsigned long long)row->max);
	return config_error(error, "argument must be between %lld and %llu inclusive", (long long)row->min,
			    (unsigned long long)row->max);
}

static bool set_number(struct config *c, const struct config_row *row, const char *text, char **error)
{
	uint64_t v;
	bool negative;

	if (!number_from(row, text, &v, &negative, error) || !number_fits(row, v, negative, error))
		return false;
	if (row->type == CONFIG_INT)
		*(int *)field(c, row) = !negative && v > INT32_MAX ? INT32_MAX : (int)(int64_t)v;
	else if (row->type == CONFIG_INT64)
		*(int64_t *)field(c, row) = (int64_t)v;
	else
		*(uint64_t *)field(c, row) = v;
	return true;
}

static void get_number(const struct config *c, const struct config_row *row, struct config_text *out)
{
	int64_t v;

	if (row->type == CONFIG_UINT64) {
		config_text_addf(out, "%llu", (unsigned long long)*(const uint64_t *)const_field(c, row));
		return;
	}
	v = row->type == CONFIG_INT ? *(const int *)const_field(c, row) : *(const int64_t *)const_field(c, row);
	if (row->flags & CONFIG_PERCENT && v < 0)
		config_text_addf(out, "%lld%%", (long long)-v);
	else if (row->flags & CONFIG_OCTAL)
		config_text_addf(out, "%llo", (unsigned long long)v);
	else
		config_text_addf(out, "%lld", (long long)v);
}

/* The largest unit that says it exactly. */
void config_text_memory(struct config_text *out, uint64_t v)
{
	static const char *const unit[] = { "", "kb", "mb", "gb" };
	int i = 0;

	while (v && i < 3 && v % 1024 == 0) {
		v /= 1024;
		i++;
	}
	config_text_addf(out, "%llu%s", (unsigned long long)v, unit[i]);
}

/* ------------------------------------------------------------------ words of a list */

static bool set_enum(struct config *c, const struct config_row *row, int argc, char **argv, char **error)
{
	struct config_text words = { 0 };
	const struct config_choice *choice;
	int v = 0, i;

	for (i = 0; i < argc; i++) {
		for (choice = row->choices; choice->word && strcasecmp(choice->word, argv[i]); choice++)
			;
		if (!choice->word)
			break;
		v |= choice->value;
	}
	if (argc > 0 && i == argc) {
		*(int *)field(c, row) = v;
		return true;
	}
	for (choice = row->choices; choice->word; choice++)
		config_text_addf(&words, "%s%s", choice == row->choices ? "" : ", ", choice->word);
	config_error(error, "argument(s) must be one of the following: %s", words.ptr ? words.ptr : "");
	config_text_clear(&words);
	return false;
}

static void get_enum(const struct config *c, const struct config_row *row, struct config_text *out)
{
	int v = *(const int *)const_field(c, row);
	size_t start = out->len;

	for (const struct config_choice *choice = row->choices; choice->word; choice++) {
		bool whole = choice->value == v;
		bool part = row->type == CONFIG_FLAGS && choice->value && (v & choice->value) == choice->value;
		if (whole || part)
			config_text_addf(out, "%s%s", out->len > start ? " " : "", choice->word);
		if (whole)
			return; /* a second word for the same value comes later */
	}
}

static bool set_bool(struct config *c, const struct config_row *row, const char *text, char **error)
{
	bool yes = !strcasecmp(text, "yes");

	if (!yes && strcasecmp(text, "no"))
		return config_error(error, "argument must be 'yes' or 'no'");
	*(bool *)field(c, row) = yes;
	return true;
}

/* Most strings are empty: all of these are this one. */
static const char empty[] = "";

const char *config_string_copy(const char *value)
{
	return *value ? strdup(value) : empty;
}

void config_string_free(const char *value)
{
	if (value != empty)
		free((char *)value);
}

bool config_string_replace(const char **slot, const char *value, char **error)
{
	const char *copy = config_string_copy(value);

	if (!copy)
		return config_error(error, "out of memory");
	config_string_free(*slot);
	*slot = copy;
	return true;
}

/* ------------------------------------------------------------------ rows */

static bool set_typed(struct config *c, const struct config_row *row, const struct config_source *from, int argc,
		      char **argv, char **error)
{
	if (row->type == CONFIG_SPECIAL)
		return row->special->set(c, from, argc, argv, error);
	if (row->flags & CONFIG_MULTI ? argc < 1 : argc != 1)
		return config_error(error, "wrong number of arguments");
	switch (row->type) {
	case CONFIG_BOOL: return set_bool(c, row, argv[0], error);
	case CONFIG_ENUM:
	case CONFIG_FLAGS: return set_enum(c, row, argc, argv, error);
	case CONFIG_STRING: return config_string_replace((const char **)field(c, row), argv[0], error);
	default: return set_number(c, row, argv[0], error);
	}
}

bool config_value_set(struct config *c, const struct config_row *row, const struct config_source *from, int argc,
		      char **argv, char **error)
{
	return set_typed(c, row, from, argc, argv, error) && (!row->check || row->check(c, error));
}

void config_value_get(const struct config *c, const struct config_row *row, struct config_text *out)
{
	config_text_add(out, "", 0); /* never NULL */
	switch (row->type) {
	case CONFIG_BOOL: config_text_addf(out, "%s", *(const bool *)const_field(c, row) ? "yes" : "no"); break;
	case CONFIG_ENUM:
	case CONFIG_FLAGS: get_enum(c, row, out); break;
	case CONFIG_STRING: config_text_addf(out, "%s", *(const char *const *)const_field(c, row)); break;
	case CONFIG_SPECIAL:
		if (row->special->get)
			row->special->get(c, out);
		break;
	default: get_number(c, row, out);
	}
}

bool config_value_equal(const struct config *a, const struct config *b, const struct config_row *row)
{
	struct config_text ta = { 0 }, tb = { 0 };

	config_value_get(a, row, &ta);
	config_value_get(b, row, &tb);
	bool equal = !ta.failed && !tb.failed && ta.len == tb.len && !memcmp(ta.ptr, tb.ptr, ta.len);
	config_text_clear(&ta);
	config_text_clear(&tb);
	return equal;
}

void config_value_rewrite(const struct config *c, const struct config *defaults, const struct config_row *row,
			  struct config_text *out)
{
	int64_t percent = row->flags & CONFIG_PERCENT ? *(const int64_t *)const_field(c, row) : 0;

	if (row->special && row->special->rewrite) {
		row->special->rewrite(c, defaults, out);
		return;
	}
	config_text_addf(out, "%s ", row->name);
	if (row->type == CONFIG_STRING)
		config_text_quote(out, *(const char *const *)const_field(c, row));
	else if (row->flags & CONFIG_MEMORY && percent >= 0)
		config_text_memory(out, row->type == CONFIG_UINT64  ? *(const uint64_t *)const_field(c, row)
				 : row->type == CONFIG_INT64 ? (uint64_t) * (const int64_t *)const_field(c, row)
							     : (uint64_t) * (const int *)const_field(c, row));
	else
		config_value_get(c, row, out);
	config_text_add(out, "\n", 1);
}

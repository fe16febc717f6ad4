/* info_text: what the files of INFO share. */
#ifndef SERVER_INFO_TEXT_H
#define SERVER_INFO_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct info_text {
	char *p;
	size_t len, cap;
	bool failed;
};

void info_add(struct info_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "name:number". */
static inline void info_num(struct info_text *t, const char *name, int64_t v)
{
	info_add(t, "%s:%lld\r\n", name, (long long)v);
}
/* "name:bytes" and "name_human:1.00M". */
void info_bytes(struct info_text *t, const char *name, uint64_t v);
/* Only the second line. */
void info_human(struct info_text *t, const char *name, uint64_t v);

/* info_memory.c */
void info_memory(struct info_text *t);

#endif

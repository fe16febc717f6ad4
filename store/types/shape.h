/*
 * shape: lists of field names that many small hashes have in common, each held once for all of them. A hash of that shape
 * holds the shape's id and its values: see hash.h.
 *
 * Which names are worth it: a list that one thread has seen SHAPE_SIGHTINGS times among the last few hundred different ones.
 * There is a limit to their number and to their bytes; then no more are made. So names that are made up as keys are do no
 * harm.
 *
 * Invariants: a shape that was found never changes and never goes, so that no reader needs a lock or a reference. Its id
 * takes SHAPE_ID_COST bytes as an element of a listpack, whichever it is.
 * Threads: any; a lock is taken only where a new one is made.
 */
#ifndef STORE_TYPES_SHAPE_H
#define STORE_TYPES_SHAPE_H

#include "store/types/value.h"

#define SHAPE_ID_MIN 128u
#define SHAPE_ID_MAX 4095u
#define SHAPE_ID_COST 3
#define SHAPE_MAX (SHAPE_ID_MAX - SHAPE_ID_MIN + 1)
#define SHAPE_NAMES_MIN 3
#define SHAPE_NAMES_MAX 64
#define SHAPE_NAME_MAX 63 /* bytes */
#define SHAPE_BYTES_MAX (512 * 1024) /* of all shapes */
#define SHAPE_SIGHTINGS 8

struct shape {
	uint64_t fingerprint;
	const struct value_item *names;
	uint16_t id, count;
	uint32_t cost; /* of the names as elements of a listpack */
	struct shape_block *block; /* where names stands, which others may share */
	char text[];
};

/* The form in which names are compared, an integer apart from other strings; false: no shape has such a name. */
static inline bool shape_name(struct value_item *name)
{
	int64_t num;
	if (!name->str)
		return true;
	if (name->len > SHAPE_NAME_MAX)
		return false;
	if (number_parse(name->str, name->len, &num))
		*name = (struct value_item){ NULL, 0, num };
	return true;
}

/* Of the base's names (NULL: none) and n more. Nobody who does not know the process's secret can make two of them equal. */
uint64_t shape_fingerprint(const struct shape *base, const struct value_item *names, size_t n);
/* The shape of the base's names and n more, in the form of shape_name(); NULL: there is none, or not yet: it was seen once
 * more. */
const struct shape *shape_find(uint64_t fingerprint, const struct shape *base, const struct value_item *names, size_t n);
/* Only if there is one. */
const struct shape *shape_known(uint64_t fingerprint, const struct value_item *names, size_t n);
bool shape_is(const struct shape *s, const struct value_item *names, size_t n);
/* The one of an id that shape_find() has given to a hash. */
const struct shape *shape_of(unsigned id);
/* Which of its names that is; -1: none. */
int shape_index(const struct shape *s, const char *name, size_t len);

/* How many there are, and their bytes. */
size_t shape_count(void);
size_t shape_bytes(void);
/* Forget them all, while nobody uses any: for tests. */
void shape_clear(void);

#endif

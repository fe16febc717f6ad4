/* bitmap: what bitmap.c and bitfield.c share. */
#ifndef SERVER_COMMANDS_BITMAP_H
#define SERVER_COMMANDS_BITMAP_H

#include "server/call.h"
#include "store/number.h"

/* The bit at argv[i]; with bits > 0 "#n" counts fields of so many. false: the error was replied. */
bool bitmap_read_offset(struct call *c, unsigned i, unsigned bits, uint64_t *offset);

#endif

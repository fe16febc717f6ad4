/*
 * record: clients, a thread each, that work on the same few keys of one server at the same time and note what they did.
 *
 * Commands come bare, in MULTI with and without pipelining, in scripts, and under WATCH; among them a few that a server of
 * several loops runs alone. Keys are named after the number of the history, so a server serves any number of histories.
 */
#ifndef TESTS_LINEAR_RECORD_H
#define TESTS_LINEAR_RECORD_H

#include "tests/linear/history.h"

struct record_spec {
	int port;
	unsigned clients;
	unsigned number;     /* of the history */
	size_t ops;          /* of all clients together */
	uint64_t seed;
};

/* 0, or -1 and v says what answer was no answer. history_clear() in either case. */
int record(const struct record_spec *spec, struct history *h, struct verdict *v);

#endif

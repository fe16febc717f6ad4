/* geo: what geo.c and geo_search.c share. */
#ifndef SERVER_COMMANDS_GEO_H
#define SERVER_COMMANDS_GEO_H

#include "server/commands/zset.h"
#include "store/types/geo.h"

/* Longitude and latitude at argv[i] and behind it; a unit of length in metres. The error is written. */
bool geo_point_arg(struct call *c, unsigned i, struct geo_point *p);
bool geo_unit_arg(struct call *c, unsigned i, double *unit);
/* The place of a member; false: there is none. */
bool geo_member(const struct value *z, const struct arg *member, struct geo_point *p);
void geo_reply_distance(struct reply *r, double distance);
void geo_reply_point(struct reply *r, struct geo_point p);

#endif

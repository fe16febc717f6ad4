/*
 * geo: places on earth as scores of a sorted set. Longitude and latitude become 26 bits each, interleaved to 52 bits, which
 * a double holds exactly; places near each other mostly have near scores.
 *
 * A cell is what shares the first `step` bits of both. A search looks through the cell of its centre and the eight around
 * it, at the step where they cover the shape, and measures every place in them.
 *
 * Threads: all functions [any]; no state.
 */
#ifndef STORE_TYPES_GEO_H
#define STORE_TYPES_GEO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GEO_STEPS 26
#define GEO_LON_MAX 180.0
#define GEO_LAT_MAX 85.05112878 /* of the Mercator projection */

struct geo_point {
	double lon, lat;
};

/* Whether the point can be encoded. */
bool geo_valid(struct geo_point p);
/* 52 bits, of a valid point; and the middle of what any bits stand for. */
uint64_t geo_encode(struct geo_point p);
struct geo_point geo_decode(uint64_t bits);
/* The same of a score, whatever it is. */
struct geo_point geo_decode_score(double score);
/* Eleven characters as geohash.org has them. */
void geo_text(struct geo_point p, char out[static 11]);
/* Metres along the surface. */
double geo_distance(struct geo_point a, struct geo_point b);

/* A circle of a radius, or a box of a width and height, in metres. */
struct geo_shape {
	struct geo_point centre;
	bool box;
	double radius, width, height; /* in the unit of `unit` metres */
	double unit;
};
/* Whether the point lies in the shape; *distance from the centre then is set. */
bool geo_within(const struct geo_shape *s, struct geo_point p, double *distance);

/* Ranges of scores that hold all points of the shape: at least min, below max. */
struct geo_range {
	uint64_t min, max;
};
#define GEO_RANGES 9
unsigned geo_ranges(const struct geo_shape *s, struct geo_range out[static GEO_RANGES]);

#endif

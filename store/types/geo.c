/* geo: see geo.h. */
#include "store/types/geo.h"

#include <math.h>
#include <string.h>

#define EARTH_RADIUS_M 6372797.560856
#define MERCATOR_MAX_M 20037726.37

/* ------------------------------------------------------------------ bits */

/* Spread 32 bits to the even places. */
static uint64_t spread(uint64_t v)
{
	v &= 0xffffffff;
	v = (v | v << 16) & 0x0000ffff0000ffff;
	v = (v | v << 8) & 0x00ff00ff00ff00ff;
	v = (v | v << 4) & 0x0f0f0f0f0f0f0f0f;
	v = (v | v << 2) & 0x3333333333333333;
	return (v | v << 1) & 0x5555555555555555;
}

static uint32_t gather(uint64_t v)
{
	v &= 0x5555555555555555;
	v = (v | v >> 1) & 0x3333333333333333;
	v = (v | v >> 2) & 0x0f0f0f0f0f0f0f0f;
	v = (v | v >> 4) & 0x00ff00ff00ff00ff;
	v = (v | v >> 8) & 0x0000ffff0000ffff;
	return (uint32_t)(v | v >> 16);
}

/* A cell: column and row among 2^step of each. */
struct cell {
	uint32_t x, y;
	unsigned step;
	bool unused;
};

static struct cell cell_of(struct geo_point p, double lat_max, unsigned step)
{
	double size = (double)(1ull << step);
	double x = (p.lon + GEO_LON_MAX) / (2 * GEO_LON_MAX), y = (p.lat + lat_max) / (2 * lat_max);
	return (struct cell){ (uint32_t)(x * size), (uint32_t)(y * size), step, false };
}

static uint64_t cell_bits(const struct cell *c)
{
	return spread(c->y) | spread(c->x) << 1;
}

struct area {
	struct geo_point low, high;
};

static struct area cell_area(const struct cell *c)
{
	const double size = (double)(1ull << c->step), lon = 2 * GEO_LON_MAX, lat = 2 * GEO_LAT_MAX;
	struct area a;
	a.low.lat = -GEO_LAT_MAX + c->y / size * lat;
	a.high.lat = -GEO_LAT_MAX + ((double)c->y + 1) / size * lat;
	a.low.lon = -GEO_LON_MAX + c->x / size * lon;
	a.high.lon = -GEO_LON_MAX + ((double)c->x + 1) / size * lon;
	return a;
}

/* ------------------------------------------------------------------ points */

bool geo_valid(struct geo_point p)
{
	return p.lon >= -GEO_LON_MAX && p.lon <= GEO_LON_MAX && p.lat >= -GEO_LAT_MAX && p.lat <= GEO_LAT_MAX;
}

uint64_t geo_encode(struct geo_point p)
{
	struct cell c = cell_of(p, GEO_LAT_MAX, GEO_STEPS);
	return cell_bits(&c);
}

static double clamp(double v, double max)
{
	return v > max ? max : v < -max ? -max : v;
}

struct geo_point geo_decode(uint64_t bits)
{
	struct cell c = { gather(bits >> 1), gather(bits), GEO_STEPS, false };
	struct area a = cell_area(&c);
	return (struct geo_point){ clamp((a.low.lon + a.high.lon) / 2, GEO_LON_MAX),
		                       clamp((a.low.lat + a.high.lat) / 2, GEO_LAT_MAX) };
}

struct geo_point geo_decode_score(double score)
{
	uint64_t bits = 0;
	if (score > -9.2e18 && score < 9.2e18)
		bits = (uint64_t)(int64_t)score;
	else if (score > 0 && score < 1.8e19)
		bits = (uint64_t)score;
	return geo_decode(bits);
}

void geo_text(struct geo_point p, char out[static 11])
{
	static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
	struct cell c = cell_of(p, 90, GEO_STEPS);
	uint64_t bits = cell_bits(&c);
	for (unsigned i = 0; i < 10; i++)
		out[i] = alphabet[bits >> (52 - 5 * (i + 1)) & 31];
	out[10] = '0'; /* 52 bits fill ten characters and a little; the eleventh says nothing */
}

static double radians(double degrees)
{
	return degrees * (M_PI / 180.0);
}

static double degrees(double rad)
{
	return rad / (M_PI / 180.0);
}

static double lat_distance(double a, double b)
{
	return EARTH_RADIUS_M * fabs(radians(b) - radians(a));
}

/* The haversine formula. */
double geo_distance(struct geo_point a, struct geo_point b)
{
	double v = sin((radians(b.lon) - radians(a.lon)) / 2);
	if (v == 0)
		return lat_distance(a.lat, b.lat);
	double from = radians(a.lat), to = radians(b.lat), u = sin((to - from) / 2);
	double h = u * u + cos(from) * cos(to) * v * v;
	return 2.0 * EARTH_RADIUS_M * asin(sqrt(h));
}

/* ------------------------------------------------------------------ shapes */

bool geo_within(const struct geo_shape *s, struct geo_point p, double *distance)
{
	if (!s->box) {
		*distance = geo_distance(s->centre, p);
		return *distance <= s->radius * s->unit;
	}
	if (lat_distance(p.lat, s->centre.lat) > s->height * s->unit / 2)
		return false;
	struct geo_point same_lat = { s->centre.lon, p.lat };
	if (geo_distance(p, same_lat) > s->width * s->unit / 2)
		return false;
	*distance = geo_distance(s->centre, p);
	return true;
}

/* The degrees between which the shape lies. */
static struct area bounds(const struct geo_shape *s)
{
	struct geo_point c = s->centre;
	double height = s->unit * (s->box ? s->height / 2 : s->radius), width = s->unit * (s->box ? s->width / 2 : s->radius);
	double lat = degrees(height / EARTH_RADIUS_M);
	/* Circles of latitude are shorter towards the pole: the edge nearer to it is the wider one. */
	double edge = c.lat < 0 ? c.lat - lat : c.lat + lat;
	double lon = degrees(width / EARTH_RADIUS_M / cos(radians(edge)));
	return (struct area){ { c.lon - lon, c.lat - lat }, { c.lon + lon, c.lat + lat } };
}

/* The step at which nine cells cover a circle of so many metres. */
static unsigned step_for(double metres, double lat)
{
	int step = 1;
	if (metres == 0)
		return GEO_STEPS;
	for (; metres < MERCATOR_MAX_M; metres *= 2)
		step++;
	step -= 2;
	if (fabs(lat) > 66)
		step--;
	if (fabs(lat) > 80)
		step--;
	return step < 1 ? 1 : step > GEO_STEPS ? GEO_STEPS : (unsigned)step;
}

enum { HERE, NORTH, SOUTH, EAST, WEST, NORTH_EAST, NORTH_WEST, SOUTH_EAST, SOUTH_WEST };

static void around(struct cell centre, struct cell out[static GEO_RANGES])
{
	static const int moves[GEO_RANGES][2] = {
		[HERE] = { 0, 0 },       [NORTH] = { 0, 1 },       [SOUTH] = { 0, -1 },
		[EAST] = { 1, 0 },       [WEST] = { -1, 0 },       [NORTH_EAST] = { 1, 1 },
		[NORTH_WEST] = { -1, 1 }, [SOUTH_EAST] = { 1, -1 }, [SOUTH_WEST] = { -1, -1 },
	};
	uint32_t mask = (uint32_t)((1ull << centre.step) - 1);
	out[HERE] = centre;
	for (int i = NORTH; i < GEO_RANGES; i++) {
		out[i] = centre;
		/* At the eastern and the northern end the centre is beyond the last column or row, as are the points that were
		 * stored there; only who moves comes back. So it is in Redis. */
		if (moves[i][0])
			out[i].x = (centre.x + (uint32_t)moves[i][0]) & mask;
		if (moves[i][1])
			out[i].y = (centre.y + (uint32_t)moves[i][1]) & mask;
	}
}

static bool covers(const struct cell cells[static GEO_RANGES], const struct area *b)
{
	return cell_area(&cells[NORTH]).high.lat >= b->high.lat && cell_area(&cells[SOUTH]).low.lat <= b->low.lat &&
	       cell_area(&cells[EAST]).high.lon >= b->high.lon && cell_area(&cells[WEST]).low.lon <= b->low.lon;
}

static void drop(struct cell cells[static GEO_RANGES], int a, int b, int c)
{
	cells[a].unused = cells[b].unused = cells[c].unused = true;
}

/* Neighbours that lie behind an edge of the shape need no look. */
static void drop_useless(struct cell cells[static GEO_RANGES], const struct area *b)
{
	struct area a = cell_area(&cells[HERE]);
	if (a.low.lat < b->low.lat)
		drop(cells, SOUTH, SOUTH_WEST, SOUTH_EAST);
	if (a.high.lat > b->high.lat)
		drop(cells, NORTH, NORTH_EAST, NORTH_WEST);
	if (a.low.lon < b->low.lon)
		drop(cells, WEST, SOUTH_WEST, NORTH_WEST);
	if (a.high.lon > b->high.lon)
		drop(cells, EAST, SOUTH_EAST, NORTH_EAST);
}

unsigned geo_ranges(const struct geo_shape *s, struct geo_range out[static GEO_RANGES])
{
	struct cell cells[GEO_RANGES];
	struct area b = bounds(s);
	double metres = s->box ? sqrt(s->width / 2 * (s->width / 2) + s->height / 2 * (s->height / 2)) : s->radius;
	unsigned step = step_for(metres * s->unit, s->centre.lat), n = 0;
	around(cell_of(s->centre, GEO_LAT_MAX, step), cells);
	if (step > 1 && !covers(cells, &b))
		around(cell_of(s->centre, GEO_LAT_MAX, --step), cells);
	if (step >= 2)
		drop_useless(cells, &b);
	for (int i = 0; i < GEO_RANGES; i++) {
		if (cells[i].unused)
			continue;
		uint64_t bits = cell_bits(&cells[i]);
		struct geo_range r = { bits << (52 - 2 * step), (bits + 1) << (52 - 2 * step) };
		bool again = false;
		/* With the largest cells neighbours fall together. */
		for (unsigned j = 0; j < n; j++)
			again = again || out[j].min == r.min;
		if (!again)
			out[n++] = r;
	}
	return n;
}

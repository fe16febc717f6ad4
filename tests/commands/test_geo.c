/* Commands on places: replies, error texts, and the keys that STORE writes. */
#include "tests/lib/expect.h"

#define SYNTAX "-ERR syntax error\r\n"
#define SICILY "GEOADD Sicily 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"

START_TEST(test_add_and_read)
{
	expect_int(c, SICILY, 2);
	expect_int(c, SICILY, 0);
	expect_int(c, "GEOADD Sicily XX CH 13.4 38.1 Palermo", 1);
	expect_int(c, "GEOADD Sicily NX 13.361389 38.115556 Palermo", 0);
	expect_int(c, "GEOADD Sicily 13.361389 38.115556 Palermo", 0);
	expect_bulk(c, "ZSCORE Sicily Palermo", "3479099956230698");
	expect_bulk(c, "GEODIST Sicily Palermo Catania", "166274.1516");
	expect_bulk(c, "GEODIST Sicily Palermo Catania KM", "166.2742");
	expect_bulk(c, "GEODIST Sicily Palermo Catania mi", "103.3182");
	expect(c, "GEODIST Sicily Palermo none", "$-1\r\n");
	expect(c, "GEODIST none a b", "$-1\r\n");
	expect(c, "GEOHASH Sicily Palermo none Catania", "*3\r\n$11\r\nsqc8b49rny0\r\n$-1\r\n$11\r\nsqdtr74hyu0\r\n");
	expect(c, "GEOPOS Sicily Palermo none",
	       "*2\r\n*2\r\n$20\r\n13.36138933897018433\r\n$20\r\n38.11555639549629859\r\n*-1\r\n");
	expect(c, "GEOPOS none a", "*1\r\n*-1\r\n");
}
END_TEST

START_TEST(test_errors)
{
	expect(c, "GEOADD k 200 10 a", "-ERR invalid longitude,latitude pair 200.000000,10.000000\r\n");
	expect(c, "GEOADD k nan 10 a", "-ERR value is not a valid float\r\n");
	expect(c, "GEOADD k XX NX 1 1 a", SYNTAX);
	expect(c, "GEOADD k 1 1 a 2", SYNTAX);
	expect(c, SICILY, ":2\r\n");
	expect(c, "GEODIST Sicily Palermo Catania parsec", "-ERR unsupported unit provided. please use M, KM, FT, MI\r\n");
	expect(c, "GEORADIUS Sicily 15 37 -1 km", "-ERR radius cannot be negative\r\n");
	expect(c, "GEORADIUS Sicily 15 37 x km", "-ERR need numeric radius\r\n");
	expect(c, "GEORADIUS Sicily 15 37 1 km COUNT 0", "-ERR COUNT must be > 0\r\n");
	expect(c, "GEORADIUS Sicily 15 37 1 km ANY", "-ERR the ANY argument requires COUNT argument\r\n");
	expect(c, "GEORADIUS_RO Sicily 15 37 1 km STORE k", SYNTAX);
	expect(c, "GEORADIUS Sicily 15 37 1 km STORE k WITHDIST",
	       "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options\r\n");
	expect(c, "GEORADIUSBYMEMBER Sicily none 1 km", "-ERR could not decode requested zset member\r\n");
	expect(c, "GEOSEARCH Sicily BYRADIUS 1 km ASC COUNT 1",
	       "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH\r\n");
	expect(c, "GEOSEARCH Sicily FROMMEMBER Palermo ASC COUNT 1 WITHDIST",
	       "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH\r\n");
	expect(c, "GEOSEARCH Sicily FROMMEMBER Palermo BYBOX 1 -1 km", "-ERR height or width cannot be negative\r\n");
	expect(c, "SET s x", "+OK\r\n");
	expect_prefix(c, "GEOPOS s a", "-WRONGTYPE");
	expect_prefix(c, "GEOADD s 1 1 a", "-WRONGTYPE");
}
END_TEST

START_TEST(test_search)
{
	expect_int(c, SICILY, 2);
	expect(c, "GEORADIUS Sicily 15 37 200 km ASC", "*2\r\n$7\r\nCatania\r\n$7\r\nPalermo\r\n");
	expect(c, "GEORADIUS Sicily 15 37 100 km WITHDIST", "*1\r\n*2\r\n$7\r\nCatania\r\n$7\r\n56.4413\r\n");
	expect(c, "GEORADIUSBYMEMBER Sicily Palermo 10 km WITHHASH", "*1\r\n*2\r\n$7\r\nPalermo\r\n:3479099956230698\r\n");
	expect(c, "GEOSEARCH Sicily FROMLONLAT 15 37 BYBOX 400 400 km DESC COUNT 1", "*1\r\n$7\r\nPalermo\r\n");
	expect(c, "GEOSEARCH none FROMMEMBER x BYRADIUS 1 km ASC", "*0\r\n");
	expect_int(c, "GEOSEARCHSTORE near Sicily FROMLONLAT 15 37 BYRADIUS 100 km ASC", 1);
	expect(c, "ZRANGE near 0 -1", "*1\r\n$7\r\nCatania\r\n");
	expect_int(c, "GEOSEARCHSTORE near Sicily FROMLONLAT 0 0 BYRADIUS 100 m ASC", 0);
	expect_int(c, "EXISTS near", 0);
	expect_int(c, "ZADD numbers 3479447370796909 12345", 1);
	expect(c, "GEORADIUS numbers 15 37 100 km", "*1\r\n$5\r\n12345\r\n");
}
END_TEST

/* What is stored at exactly 180 degrees lies beyond the last column of cells, and is found from there, as in Redis. */
START_TEST(test_edge_of_the_world)
{
	expect_int(c, "GEOADD g 180 10 edge 179.99 10 west -179.99 10 east", 3);
	expect(c, "GEOSEARCH g FROMLONLAT 179.995 10 BYRADIUS 5 km ASC", "*2\r\n$4\r\nwest\r\n$4\r\neast\r\n");
	expect(c, "GEOSEARCH g FROMLONLAT -180 10 BYRADIUS 5 km ASC", "*2\r\n$4\r\nwest\r\n$4\r\neast\r\n");
	expect(c, "GEOSEARCH g FROMLONLAT 180 10 BYRADIUS 5 km ASC", "*2\r\n$4\r\nedge\r\n$4\r\nwest\r\n");
	expect(c, "GEOSEARCH g FROMLONLAT 180 10 BYRADIUS 1000 km ASC", "*2\r\n$4\r\nedge\r\n$4\r\nwest\r\n");
}
END_TEST

/* SAFETY: ACL by a second key extractor (CVE-2023-41053 and later): GEORADIUS STORE. */
START_TEST(test_store_keys_by_the_one_key_function)
{
	expect_int(c, SICILY, 2);
	expect_int(c, "GEORADIUS Sicily 15 37 200 km STORE a STORE b", 2);
	expect_int(c, "EXISTS a", 0);
	expect_int(c, "EXISTS b", 1);
	expect(c, "COMMAND GETKEYS GEORADIUS Sicily 15 37 200 km STORE a STORE b",
	       "*3\r\n$6\r\nSicily\r\n$1\r\na\r\n$1\r\nb\r\n");
	expect(c, "COMMAND GETKEYS GEORADIUS Sicily 15 37 200 km STOREDIST d", "*2\r\n$6\r\nSicily\r\n$1\r\nd\r\n");
	expect(c, "COMMAND GETKEYS GEORADIUSBYMEMBER Sicily x 200 km STORE d", "*2\r\n$6\r\nSicily\r\n$1\r\nd\r\n");
}
END_TEST

COMMAND_TESTS("geo", test_add_and_read, test_errors, test_search, test_edge_of_the_world, test_store_keys_by_the_one_key_function)

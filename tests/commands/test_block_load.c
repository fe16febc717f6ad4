/* Many who wait and many who feed them, on all loops at once: nothing is lost, nothing comes twice, and in order. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/expect.h"

#define PRODUCERS 4
#define CONSUMERS 15
#define ITEMS 1500 /* of each producer */

static struct {
	atomic_int times[PRODUCERS][ITEMS]; /* each item came out */
	atomic_int out;
	atomic_bool done;
	int64_t ids[CONSUMERS];
} all;

/* "producer:number"; in order: numbers of a producer only grow. */
static void take(const char *text, int *last, bool in_order)
{
	int producer = -1, number = -1;
	ck_assert_int_eq(sscanf(text, "%d:%d", &producer, &number), 2);
	ck_assert_int_lt(number, ITEMS);
	ck_assert_msg(!in_order || number > last[producer], "%s after %d", text, last[producer]);
	last[producer] = number;
	atomic_fetch_add(&all.times[producer][number], 1);
	atomic_fetch_add(&all.out, 1);
}

/* What a consumer asks again and again; those that move feed those that take from "mid". */
static const struct {
	const char *line;
	bool moves;
} kinds[] = {
	{ "BLPOP q 0", false },
	{ "BLPOP nothing q 0.003", false },
	{ "BLMOVE q mid LEFT RIGHT 0", true },
	{ "BLPOP mid 0", false },
	{ "BLMPOP 0 2 nothing q LEFT COUNT 3", false },
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void *consume(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg, kind = me % KINDS;
	struct resp_client *k = connect_to(&server);
	int last[PRODUCERS] = { -1, -1, -1, -1 };
	all.ids[me] = ask_int(k, "CLIENT ID");
	/* Movers push to "mid" in the order in which they took. */
	while (!atomic_load(&all.done)) {
		struct resp_value *v = resp_ask(k, kinds[kind].line);
		ck_assert_msg(v && v->type != '-', "%s: %s", kinds[kind].line, v ? v->text : "closed");
		if (!v->null && v->type == '*') {
			const struct resp_value *items = &v->elements[1];
			for (size_t i = 0; i < items->n; i++)
				take(items->elements[i].text, last, true);
			if (items->type == '$')
				take(items->text, last, true);
		}
		resp_value_free(v);
	}
	resp_close(k);
	return NULL;
}

/* One by one, several at once, within transactions, by RENAME-like detours. */
static void *produce(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;
	struct resp_client *k = connect_to(&server);
	char line[128];
	for (int i = 0; i < ITEMS;) {
		int way = i % 7;
		if (way == 3 && i + 3 <= ITEMS) {
			snprintf(line, sizeof line, "RPUSH q %u:%d %u:%d %u:%d", me, i, me, i + 1, me, i + 2);
			expect_prefix(k, line, ":");
			i += 3;
		} else if (way == 6) {
			expect(k, "MULTI", "+OK\r\n");
			snprintf(line, sizeof line, "RPUSH own:%u %u:%d", me, me, i++);
			expect(k, line, "+QUEUED\r\n");
			snprintf(line, sizeof line, "LMOVE own:%u q LEFT RIGHT", me);
			expect(k, line, "+QUEUED\r\n");
			expect_prefix(k, "EXEC", "*2\r\n");
		} else {
			snprintf(line, sizeof line, "RPUSH q %u:%d", me, i++);
			expect_prefix(k, line, ":");
		}
	}
	resp_close(k);
	return NULL;
}

/* What was on its way to who left is thrown away when it arrives at his loop, which may be later. */
static void expect_nobody_waits(void)
{
	static const char *const names[] = { "blocked_clients", "total_blocking_keys", "clients_in_timeout_table" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		while (info_int(c, "clients", names[i]) != 0)
			; /* until the time limit of the test */
}

static void unblock_someone(unsigned i)
{
	char line[64];
	snprintf(line, sizeof line, "CLIENT UNBLOCK %lld", (long long)all.ids[i % CONSUMERS]);
	expect_prefix(c, line, ":");
}

START_TEST(test_queue)
{
	pthread_t producers[PRODUCERS], consumers[CONSUMERS];
	memset(&all, 0, sizeof all);
	for (uintptr_t i = 0; i < CONSUMERS; i++)
		ck_assert_int_eq(pthread_create(&consumers[i], NULL, consume, (void *)i), 0);
	for (uintptr_t i = 0; i < PRODUCERS; i++)
		ck_assert_int_eq(pthread_create(&producers[i], NULL, produce, (void *)i), 0);
	unsigned turn = 0;
	while (atomic_load(&all.out) < PRODUCERS * ITEMS)
		unblock_someone(turn++);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(producers[i], NULL);
	atomic_store(&all.done, true);
	while (info_int(c, "clients", "connected_clients") > 1)
		unblock_someone(turn++);
	expect_nobody_waits();
	for (int i = 0; i < CONSUMERS; i++)
		pthread_join(consumers[i], NULL);
	for (int p = 0; p < PRODUCERS; p++) {
		for (int i = 0; i < ITEMS; i++)
			ck_assert_msg(atomic_load(&all.times[p][i]) == 1, "%d:%d came %d times", p, i, all.times[p][i]);
	}
	expect(c, "DBSIZE", ":0\r\n");
}
END_TEST

#define GUESTS 300

/* Clients that leave while they are being served take at most what they were given. */
static void *come_and_go(void *arg)
{
	(void)arg;
	for (int i = 0; i < GUESTS; i++) {
		struct resp_client *k = connect_to(&server);
		ck_assert(resp_send(k, i % 2 ? "BLPOP a b 0" : "BLMOVE a b LEFT LEFT 0.001"));
		resp_close(k);
	}
	return NULL;
}

static void *push_and_look(void *arg)
{
	(void)arg;
	struct resp_client *k = connect_to(&server);
	for (int i = 0; i < 600; i++)
		expect_prefix(k, i % 3 ? "RPUSH a 1" : "RPUSH b 1 2", ":");
	resp_close(k);
	return NULL;
}

START_TEST(test_leaving)
{
	pthread_t threads[6];
	int64_t before = info_int(c, "stats", "total_connections_received");
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, i % 2 ? push_and_look : come_and_go, NULL), 0);
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	/* Connections that were closed before they were accepted come and go, too. */
	while (info_int(c, "stats", "total_connections_received") < before + 3 * GUESTS + 3)
		;
	expect_alone(c);
	expect_nobody_waits();
}
END_TEST

#define READERS 6

/* Each reads the whole stream by waiting for more than the last it saw. */
static void *follow(void *arg)
{
	struct resp_client *k = connect_to(&server);
	char line[128];
	int n = 0;
	(void)arg;
	while (n < 500) {
		snprintf(line, sizeof line, "XREAD BLOCK 0 STREAMS other s 0 0-%d", n);
		struct resp_value *v = resp_ask(k, line);
		ck_assert(v && v->type == '*' && !v->null);
		const struct resp_value *entries = &v->elements[0].elements[1];
		for (size_t i = 0; i < entries->n; i++)
			ck_assert_int_eq(strtol(entries->elements[i].elements[0].text + 2, NULL, 10), ++n);
		resp_value_free(v);
	}
	resp_close(k);
	return NULL;
}

START_TEST(test_streams)
{
	pthread_t threads[READERS];
	for (int i = 0; i < READERS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, follow, NULL), 0);
	for (int i = 0; i < 500; i++)
		expect_prefix(c, "XADD s 0-* f v", "$");
	for (int i = 0; i < READERS; i++)
		pthread_join(threads[i], NULL);
}
END_TEST

COMMAND_TESTS("block_load", test_queue, test_leaving, test_streams)

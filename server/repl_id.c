/* repl_id: see repl_id.h. */
#include "server/repl_id.h"

#include <pthread.h>
#include <string.h>
#include <sys/random.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char id[41]; /* "" before it is first asked for */

static void make_locked(void)
{
	unsigned char bytes[20];
	/* 20 bytes come at once or, very early after boot, after a wait: they never come in part */
	if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
		memset(bytes, 0, sizeof bytes);
	for (int i = 0; i < 20; i++) {
		id[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
		id[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
	}
}

void repl_id_get(char out[static 41])
{
	pthread_mutex_lock(&lock);
	if (!id[0])
		make_locked();
	memcpy(out, id, sizeof id);
	pthread_mutex_unlock(&lock);
}

void repl_id_change(void)
{
	pthread_mutex_lock(&lock);
	make_locked();
	pthread_mutex_unlock(&lock);
}

/* acl_log: see acl_log.h. */
#include "server/acl_log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/client.h"
#include "server/clock.h"
#include "server/config.h"
#include "server/reply.h"
#include "server/stats.h"

#define SAME_WITHIN_MS 60000 /* equal refusals nearer than this are one entry */
#define SAME_WITHIN 10       /* among so many of the latest */
#define LONGEST 1024         /* of an object or a name: both come from clients */

struct entry_text {
	char *ptr;
	size_t len;
};

struct acl_log_entry {
	struct acl_log_entry *next;
	uint64_t id, count;
	enum acl_denied why;
	enum where { TOPLEVEL, MULTI, SCRIPT } where;
	struct entry_text object, user;
	char *client; /* as CLIENT LIST describes it */
	int64_t created_ms, updated_ms;
};

static struct {
	pthread_mutex_t lock;
	struct acl_log_entry *first;
	uint64_t n, next_id;
} list = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void entry_free(struct acl_log_entry *e)
{
	if (!e)
		return;
	free(e->object.ptr);
	free(e->user.ptr);
	free(e->client);
	free(e);
}

static struct entry_text text_of(struct arg a)
{
	struct entry_text t = { NULL, a.len < LONGEST ? a.len : LONGEST };
	t.ptr = malloc(t.len + 1);
	if (t.ptr)
		memcpy(t.ptr, a.ptr, t.len);
	return t;
}

static bool text_equal(const struct entry_text *a, const struct entry_text *b)
{
	return a->len == b->len && memcmp(a->ptr, b->ptr, a->len) == 0;
}

static char *description(const struct client *c, int64_t now_ms)
{
	char *text = NULL;
	size_t size = 512;
	for (;;) {
		char *more = realloc(text, size);
		if (!more)
			break;
		text = more;
		int n = c->conn ? client_describe(c, now_ms, text, size) : 0;
		if ((size_t)n < size) {
			text[n] = 0;
			return text;
		}
		size = (size_t)n + 1;
	}
	free(text);
	return NULL;
}

static struct acl_log_entry *entry_new(struct client *c, bool script, enum acl_denied why, struct entry_text object,
                                       struct entry_text user)
{
	struct acl_log_entry *e = calloc(1, sizeof *e);
	if (!e) {
		free(object.ptr);
		free(user.ptr);
		return NULL;
	}
	int64_t now_ms = clock_wall_ms();
	enum where where = script ? SCRIPT : c->flags & CLIENT_MULTI ? MULTI : TOPLEVEL;
	*e = (struct acl_log_entry){ .count = 1, .why = why, .where = where, .object = object,
		                     .user = user, .client = description(c, now_ms), .created_ms = now_ms,
		                     .updated_ms = now_ms };
	if (object.ptr && user.ptr && e->client)
		return e;
	entry_free(e);
	return NULL;
}

/* The entry that this one is a repetition of, taken out of the list; NULL: none. */
static struct acl_log_entry *take_same(const struct acl_log_entry *e)
{
	struct acl_log_entry **at = &list.first;
	for (unsigned i = 0; *at && i < SAME_WITHIN; i++, at = &(*at)->next) {
		struct acl_log_entry *o = *at;
		if (o->why == e->why && o->where == e->where && e->updated_ms - o->updated_ms <= SAME_WITHIN_MS &&
		    text_equal(&o->object, &e->object) && text_equal(&o->user, &e->user)) {
			*at = o->next;
			list.n--;
			return o;
		}
	}
	return NULL;
}

static void trim_locked(uint64_t max)
{
	struct acl_log_entry **at = &list.first;
	for (uint64_t i = 0; *at && i < max; i++)
		at = &(*at)->next;
	while (*at) {
		struct acl_log_entry *gone = *at;
		*at = gone->next;
		list.n--;
		entry_free(gone);
	}
}

void acl_log_add(struct client *c, bool script, enum acl_denied why, struct arg object, struct arg user)
{
	static const enum stats_counter counter[] = {
		[ACL_DENIED_COMMAND] = STAT_DENIED_COMMAND, [ACL_DENIED_KEY] = STAT_DENIED_KEY,
		[ACL_DENIED_AUTH] = STAT_AUTH_FAILURES, [ACL_DENIED_CHANNEL] = STAT_DENIED_CHANNEL,
	};
	stats_add(&stats_of(c->loop)->counter[counter[why]], 1);
	uint64_t max = (uint64_t)config()->acllog_max_len;
	struct acl_log_entry *e = max ? entry_new(c, script, why, text_of(object), text_of(user)) : NULL;
	if (max && !e)
		return;
	pthread_mutex_lock(&list.lock);
	struct acl_log_entry *same = e ? take_same(e) : NULL;
	if (same) {
		char *client = same->client;
		same->client = e->client;
		e->client = client;
		same->updated_ms = e->updated_ms;
		same->count++;
		entry_free(e);
		e = same;
	} else if (e) {
		e->id = list.next_id++;
	}
	if (e) {
		e->next = list.first;
		list.first = e;
		list.n++;
	}
	trim_locked(max);
	pthread_mutex_unlock(&list.lock);
}

void acl_log_reset(void)
{
	pthread_mutex_lock(&list.lock);
	trim_locked(0);
	pthread_mutex_unlock(&list.lock);
}

static void reply_one(struct reply *r, const struct acl_log_entry *e, int64_t now_ms)
{
	static const char *const context[] = { "toplevel", "multi", "lua" };
	static const char *const reason[] = { "", "command", "key", "auth", "channel" };
	reply_map(r, 10);
	reply_cstr(r, "count");
	reply_int(r, (int64_t)e->count);
	reply_cstr(r, "reason");
	reply_cstr(r, reason[e->why]);
	reply_cstr(r, "context");
	reply_cstr(r, context[e->where]);
	reply_cstr(r, "object");
	reply_bulk(r, e->object.ptr, e->object.len);
	reply_cstr(r, "username");
	reply_bulk(r, e->user.ptr, e->user.len);
	reply_cstr(r, "age-seconds");
	reply_double(r, (double)(now_ms - e->updated_ms) / 1000);
	reply_cstr(r, "client-info");
	reply_cstr(r, e->client);
	reply_cstr(r, "entry-id");
	reply_int(r, (int64_t)e->id);
	reply_cstr(r, "timestamp-created");
	reply_int(r, e->created_ms);
	reply_cstr(r, "timestamp-last-updated");
	reply_int(r, e->updated_ms);
}

void acl_log_reply(struct reply *r, uint64_t max, int64_t now_ms)
{
	pthread_mutex_lock(&list.lock);
	uint64_t n = list.n < max ? list.n : max;
	reply_array(r, n);
	for (const struct acl_log_entry *e = list.first; e && n; e = e->next, n--)
		reply_one(r, e, now_ms > e->updated_ms ? now_ms : e->updated_ms);
	pthread_mutex_unlock(&list.lock);
}

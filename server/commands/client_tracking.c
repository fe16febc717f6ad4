/* client_tracking: CLIENT TRACKING, CACHING, GETREDIR, TRACKINGINFO: client-side caching. The rows are in client.c. */
#include <stdlib.h>

#include "server/call.h"
#include "server/client.h"
#include "server/commands/session.h"
#include "server/tracking.h"

struct options {
	unsigned flags;
	struct client *redirect;
	struct arg *prefixes;
	size_t n;
};

static int shown(const struct arg *a)
{
	return (int)(a->len < 128 ? a->len : 128);
}

static bool read_redirect(struct call *c, unsigned i, struct options *o)
{
	int64_t id;
	if (o->redirect) {
		reply_error(c->reply, "ERR A client can only redirect to a single other client");
		return false;
	}
	if (!call_int(c, i, &id))
		return false;
	o->redirect = client_by_id((uint64_t)id);
	if (!o->redirect)
		reply_error(c->reply, "ERR The client ID you want redirect to does not exist");
	return o->redirect != NULL;
}

/* prefixes has room for all arguments. */
static bool read_options(struct call *c, struct options *o)
{
	static const struct {
		const char *word;
		unsigned flag;
	} words[] = { { "bcast", TRACKING_BCAST }, { "optin", TRACKING_OPTIN }, { "optout", TRACKING_OPTOUT },
		      { "noloop", TRACKING_NOLOOP } };
	for (unsigned i = 3; i < c->argc; i++) {
		const struct arg *a = &c->argv[i];
		size_t k = 0;
		while (k < 4 && !arg_is(a, words[k].word))
			k++;
		if (k < 4) {
			o->flags |= words[k].flag;
		} else if (arg_is(a, "redirect") && i + 1 < c->argc) {
			if (!read_redirect(c, ++i, o))
				return false;
		} else if (arg_is(a, "prefix") && i + 1 < c->argc) {
			o->prefixes[o->n++] = c->argv[++i];
		} else {
			reply_syntax_error(c->reply);
			return false;
		}
	}
	return true;
}

static const char *conflict(const struct call *c, const struct options *o)
{
	unsigned opt = TRACKING_OPTIN | TRACKING_OPTOUT, old = tracking_flags(c->client);
	bool on = c->client->tracking != NULL;
	if (o->n && !(o->flags & TRACKING_BCAST))
		return "ERR PREFIX option requires BCAST mode to be enabled";
	if (on && (old ^ o->flags) & TRACKING_BCAST)
		return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then "
		       "re-enabling it with a different mode.";
	if ((o->flags & TRACKING_BCAST) && (o->flags & opt))
		return "ERR OPTIN and OPTOUT are not compatible with BCAST";
	if ((o->flags & opt) == opt)
		return "ERR You can't specify both OPTIN mode and OPTOUT mode";
	if (((o->flags & TRACKING_OPTIN) && (old & TRACKING_OPTOUT)) ||
	    ((o->flags & TRACKING_OPTOUT) && (old & TRACKING_OPTIN)))
		return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then "
		       "re-enabling it with a different mode.";
	return NULL;
}

static bool overlap(const struct arg *a, const struct arg *b)
{
	size_t n = a->len < b->len ? a->len : b->len;
	return memcmp(a->ptr, b->ptr, n) == 0;
}

/* Prefixes of one client are disjoint, so that it hears of a key once. */
static bool prefixes_fit(struct call *c, const struct options *o)
{
	const struct arg *has;
	size_t n = tracking_prefixes(c->client, &has);
	for (size_t i = 0; i < o->n; i++) {
		for (size_t k = 0; k < n; k++) {
			if (!overlap(&o->prefixes[i], &has[k]))
				continue;
			reply_errorf(c->reply,
			             "ERR Prefix '%.*s' overlaps with an existing prefix '%.*s'. Prefixes for a single client "
			             "must not overlap.",
			             shown(&o->prefixes[i]), o->prefixes[i].ptr, shown(&has[k]), has[k].ptr);
			return false;
		}
		for (size_t k = i + 1; k < o->n; k++) {
			if (!overlap(&o->prefixes[i], &o->prefixes[k]))
				continue;
			reply_errorf(c->reply,
			             "ERR Prefix '%.*s' overlaps with another provided prefix '%.*s'. Prefixes for a single "
			             "client must not overlap.",
			             shown(&o->prefixes[i]), o->prefixes[i].ptr, shown(&o->prefixes[k]), o->prefixes[k].ptr);
			return false;
		}
	}
	return true;
}

static void switch_on(struct call *c)
{
	struct options o = { .prefixes = malloc(c->argc * sizeof(struct arg)) };
	if (!o.prefixes) {
		reply_oom(c->reply);
		return;
	}
	if (read_options(c, &o)) {
		const char *error = conflict(c, &o);
		if (error)
			reply_error(c->reply, error);
		else if (!prefixes_fit(c, &o))
			;
		else if (tracking_on(c->client, o.flags, o.redirect, o.prefixes, o.n))
			reply_ok(c->reply);
		else
			reply_oom(c->reply);
	}
	free(o.prefixes);
}

void client_tracking(struct call *c)
{
	tracking_settle();
	if (arg_is(&c->argv[2], "on") && c->client->conn) {
		switch_on(c);
	} else if (arg_is(&c->argv[2], "off")) {
		tracking_off(c->client);
		reply_ok(c->reply);
	} else {
		reply_syntax_error(c->reply);
	}
}

void client_caching(struct call *c)
{
	unsigned flags = tracking_flags(c->client);
	bool yes = arg_is(&c->argv[2], "yes");
	if (!(c->client->flags & CLIENT_TRACKING)) {
		reply_error(c->reply, "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
		                      "OPTOUT mode enabled");
	} else if (!yes && !arg_is(&c->argv[2], "no")) {
		reply_syntax_error(c->reply);
	} else if (yes && !(flags & TRACKING_OPTIN)) {
		reply_error(c->reply, "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.");
	} else if (!yes && !(flags & TRACKING_OPTOUT)) {
		reply_error(c->reply, "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.");
	} else {
		tracking_set_caching(c->client);
		reply_ok(c->reply);
	}
}

void client_getredir(struct call *c)
{
	reply_int(c->reply, tracking_redirect(c->client));
}

static size_t add_flags(struct reply *r, unsigned flags)
{
	static const struct {
		unsigned flag, also;
		const char *name;
	} names[] = {
		{ TRACKING_BCAST, 0, "bcast" }, { TRACKING_OPTIN, 0, "optin" },
		{ TRACKING_OPTIN, TRACKING_CACHING, "caching-yes" }, { TRACKING_OPTOUT, 0, "optout" },
		{ TRACKING_OPTOUT, TRACKING_CACHING, "caching-no" }, { TRACKING_NOLOOP, 0, "noloop" },
		{ TRACKING_BROKEN, 0, "broken_redirect" },
	};
	size_t n = 0;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		unsigned want = names[i].flag | names[i].also;
		if ((flags & want) != want)
			continue;
		reply_cstr(r, names[i].name);
		n++;
	}
	return n;
}

void client_trackinginfo(struct call *c)
{
	const struct arg *prefixes;
	size_t n = tracking_prefixes(c->client, &prefixes);
	reply_map(c->reply, 3);
	reply_cstr(c->reply, "flags");
	size_t mark = reply_defer(c->reply);
	reply_cstr(c->reply, c->client->tracking ? "on" : "off");
	reply_defer_end(c->reply, mark, '~', 1 + add_flags(c->reply, tracking_flags(c->client)));
	reply_cstr(c->reply, "redirect");
	reply_int(c->reply, tracking_redirect(c->client));
	reply_cstr(c->reply, "prefixes");
	reply_array(c->reply, n);
	for (size_t i = 0; i < n; i++)
		reply_bulk(c->reply, prefixes[i].ptr, prefixes[i].len);
}

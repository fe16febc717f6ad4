/* auth: see auth.h. */
#include "server/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

#include "server/client.h"
#include "server/config.h"
#include "server/stats.h"

static const char default_user[] = "default";

bool auth_open(void)
{
	return !*config()->requirepass;
}

/* Digests are compared, so that neither content nor length of the password shows in the time it takes. */
static bool password_is(const struct arg *password, const char *right)
{
	unsigned char a[SHA256_DIGEST_LENGTH], b[SHA256_DIGEST_LENGTH];
	SHA256((const unsigned char *)password->ptr, password->len, a);
	SHA256((const unsigned char *)right, strlen(right), b);
	return CRYPTO_memcmp(a, b, sizeof a) == 0;
}

bool auth_login(struct client *c, const struct arg *user, const struct arg *password)
{
	bool right = password_is(password, config()->requirepass) || auth_open();
	if (right && user->len == sizeof default_user - 1 && memcmp(user->ptr, default_user, user->len) == 0) {
		c->user = default_user;
		c->flags |= CLIENT_AUTHENTICATED;
		return true;
	}
	stats_add(&stats_of(c->loop)->counter[STAT_AUTH_FAILURES], 1);
	return false;
}

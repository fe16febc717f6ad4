/* digest_values: what the elements of each type add to a digest. */
#include "server/digest_values.h"

#include "store/types/list.h"

static void mix_item(struct digest *d, const struct value_item *item)
{
	char buf[NUMBER_MAX];
	size_t len;
	const char *text = value_text(item, buf, &len);
	digest_mix(d, text, len);
}

void digest_list(struct digest *d, const struct entry *e)
{
	struct value v = value_of(e);
	struct list_iter it;
	struct value_item item;
	for (list_iter_init(&it, &v, 0, false); list_iter_next(&it, &item) > 0;)
		mix_item(d, &item);
	list_iter_clear(&it);
}

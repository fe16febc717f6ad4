/* groups: every array of command rows, in the order in which COMMAND lists them. */
#include "server/commands/groups.h"

struct command *const command_groups[] = {
	string_commands,
	counter_commands,
	lcs_commands,
	list_commands,
	list_move_commands,
	hash_commands,
	hash_read_commands,
	set_commands,
	set_read_commands,
	set_algebra_commands,
	keys_commands,
	keyspace_commands,
	expire_commands,
	object_commands,
	transaction_commands,
	command_commands,
	connection_commands,
	client_commands,
	server_commands,
	debug_commands,
	config_commands,
	zset_commands,
	zset_range_commands,
	NULL,
};

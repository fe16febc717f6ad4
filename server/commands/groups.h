/* groups: the arrays of command rows, each in the file of its handlers; an array ends with a row without a name. */
#ifndef SERVER_COMMANDS_GROUPS_H
#define SERVER_COMMANDS_GROUPS_H

#include "server/command.h"

extern struct command string_commands[];
extern struct command counter_commands[];
extern struct command lcs_commands[];
extern struct command list_commands[];
extern struct command list_move_commands[];
extern struct command hash_commands[];
extern struct command hash_read_commands[];
extern struct command set_commands[];
extern struct command set_read_commands[];
extern struct command set_algebra_commands[];
extern struct command keys_commands[];
extern struct command keyspace_commands[];
extern struct command expire_commands[];
extern struct command object_commands[];

extern struct command zset_commands[];
extern struct command zset_range_commands[];
extern struct command zset_pop_commands[];
extern struct command zset_algebra_commands[];
extern struct command geo_commands[];
extern struct command geo_search_commands[];
extern struct command stream_commands[];
extern struct command stream_read_commands[];
extern struct command stream_group_commands[];
extern struct command stream_pending_commands[];
extern struct command stream_info_commands[];

extern struct command transaction_commands[];
extern struct command pubsub_commands[];
extern struct command command_commands[];
extern struct command acl_commands[];
extern struct command connection_commands[];
extern struct command client_commands[];
extern struct command server_commands[];
extern struct command debug_commands[];
extern struct command config_commands[];
extern struct command sort_commands[];
extern struct command hyperloglog_commands[];
extern struct command bitmap_commands[];
extern struct command bitfield_commands[];
extern struct command dump_commands[];
extern struct command script_commands[];
extern struct command function_commands[];
extern struct command memory_commands[];
extern struct command latency_commands[];
extern struct command slowlog_commands[];
extern struct command save_commands[];
extern struct command wait_commands[];

#endif

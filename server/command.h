/*
 * command: the rows of the command table, lookup, and the one key function.
 *
 * A command is one place: its handler and its row stand in the same file under commands/, in an array that ends with a
 * row without a name; commands/groups.c names the arrays. Everything that speaks about commands (dispatch, COMMAND
 * INFO/DOCS/LIST/GETKEYS, ACL, locks, the compatibility table) reads the rows.
 *
 * Threads: the table is built once before the loops start and then only read.
 */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include "server/resp.h"

struct call;
struct store_lockset;

enum exec_class {
	EXEC_LOCAL,   /* touches the calling client only */
	EXEC_KEYED,   /* touches the keys its key specs name, under their shards' locks */
	EXEC_SERVICE, /* state with locks of its own */
	EXEC_ALONE,   /* anything: at a safepoint */
};

enum command_flag {
	CMD_WRITE = 1 << 0,
	CMD_READONLY = 1 << 1,
	CMD_DENYOOM = 1 << 2,
	CMD_ADMIN = 1 << 3,
	CMD_PUBSUB = 1 << 4,
	CMD_NOSCRIPT = 1 << 5,
	CMD_BLOCKING = 1 << 6,
	CMD_LOADING = 1 << 7,  /* allowed while loading */
	CMD_STALE = 1 << 8,    /* allowed on a stale replica */
	CMD_SKIP_MONITOR = 1 << 9,
	CMD_SKIP_SLOWLOG = 1 << 10,
	CMD_ASKING = 1 << 11,
	CMD_FAST = 1 << 12,
	CMD_NO_AUTH = 1 << 13, /* allowed before authentication */
	CMD_MAY_REPLICATE = 1 << 14,
	CMD_NO_MANDATORY_KEYS = 1 << 15,
	CMD_PROTECTED = 1 << 16,
	CMD_NO_ASYNC_LOADING = 1 << 17,
	CMD_NO_MULTI = 1 << 18,
	CMD_MOVABLE_KEYS = 1 << 19,
	CMD_ALLOW_BUSY = 1 << 20,
	/* ours, not shown by COMMAND INFO */
	CMD_STOPS_PARSING = 1 << 24, /* changes how later bytes are parsed or who runs them: AUTH, HELLO, RESET, ... */
	CMD_CONTAINER = 1 << 25,     /* only its subcommands run */
	CMD_RUNS_IN_MULTI = 1 << 27, /* is not queued by MULTI: EXEC, DISCARD, ... */
	CMD_SYSCMD = 1 << 26,        /* for the server's own use: COMMAND DOCS says so */
};

/* ACL categories, one bit each, in the order of ACL CAT. */
enum acl_category {
	ACL_KEYSPACE = 1 << 0, ACL_READ = 1 << 1, ACL_WRITE = 1 << 2, ACL_SET = 1 << 3, ACL_SORTEDSET = 1 << 4,
	ACL_LIST = 1 << 5, ACL_HASH = 1 << 6, ACL_STRING = 1 << 7, ACL_BITMAP = 1 << 8, ACL_HYPERLOGLOG = 1 << 9,
	ACL_GEO = 1 << 10, ACL_STREAM = 1 << 11, ACL_PUBSUB = 1 << 12, ACL_ADMIN = 1 << 13, ACL_FAST = 1 << 14,
	ACL_SLOW = 1 << 15, ACL_BLOCKING = 1 << 16, ACL_DANGEROUS = 1 << 17, ACL_CONNECTION = 1 << 18,
	ACL_TRANSACTION = 1 << 19, ACL_SCRIPTING = 1 << 20,
};

enum key_flag {
	KEY_RO = 1 << 0, KEY_RW = 1 << 1, KEY_OW = 1 << 2, KEY_RM = 1 << 3,
	KEY_ACCESS = 1 << 4, KEY_UPDATE = 1 << 5, KEY_INSERT = 1 << 6, KEY_DELETE = 1 << 7,
	KEY_NOT_KEY = 1 << 8, KEY_INCOMPLETE = 1 << 9, KEY_VARIABLE_FLAGS = 1 << 10,
	KEY_CHANNEL = 1 << 11,
};

/* As in COMMAND INFO's key specifications. A zero flags field ends the list. */
struct key_spec {
	uint32_t flags;
	const char *keyword;  /* begin search: NULL: at index `begin`; else behind this word, searched from `begin` */
	int begin;            /* index, or start of the search (negative: from the end); 0 without keyword: unknown */
	bool keynum;          /* find keys: true: by a count */
	int last, step, limit;        /* range: last index relative to begin (negative: from the end) */
	int keynum_index, first_key;  /* keynum: where the count stands, where the first key, relative to begin */
	const char *notes;
};
#define KEY_RANGE(f, b, l, s) { .flags = (f), .begin = (b), .last = (l), .step = (s) }
#define KEY_ONE(f) KEY_RANGE(f, 1, 0, 1)

/* Keys found in one command. */
struct key_ref {
	uint32_t arg;   /* index in argv */
	uint32_t flags; /* of the spec */
};
struct key_refs {
	struct key_ref *v; /* inline_ or heap */
	unsigned n, cap;
	struct key_ref inline_[32];
};

/* Which arguments are channels that ACL rules must allow. */
enum command_channels { CHANNELS_NONE, CHANNELS_FIRST, CHANNELS_ALL, CHANNELS_PATTERNS };

#define COMMAND_SPECS 4

struct command {
	const char *name;               /* lower case */
	void (*run)(struct call *c);
	enum exec_class class;
	int arity;                      /* negative: at least */
	uint32_t flags;                 /* enum command_flag */
	uint32_t acl;                   /* enum acl_category, beyond those that flags imply */
	struct key_spec keys[COMMAND_SPECS];
	enum command_channels channels;
	/* Where key specs cannot tell: append the keys; 0 or -EINVAL. */
	int (*find_keys)(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out);
	/* Where arguments decide the class (SORT with BY patterns). */
	enum exec_class (*classify)(const struct arg *argv, unsigned argc);
	/* Where arguments decide the flags that checks go by (a script says what it does). */
	uint32_t (*flags_for)(const struct command *cmd, const struct arg *argv, unsigned argc);
	/* Where the client's state decides class and locks (EXEC): called before any lock is taken. */
	enum exec_class (*plan)(struct call *c, struct store_lockset *locks);
	struct command *subs;           /* of a container; ends with a row without a name */
	/* Documentation, in our own words. */
	const char *group;              /* "string", "generic", ... */
	const char *since;              /* "1.0.0" */
	const char *summary;
	const char *complexity;
	const char *args;               /* arguments in the notation of command_docs.c */
	const char *history;            /* "2.6.0 text\n..." or NULL */
	const char *tips;               /* "nondeterministic_output request_policy:..." or NULL */
	const char *deprecated;         /* "6.2.0 `ITS SUCCESSOR`" or NULL */
	/* Filled at start. */
	struct command *parent;
	uint32_t id;                    /* dense, for statistics */
	uint32_t acl_all;               /* acl and what flags imply */
	bool single_key;                /* exactly one key, at argv[1], found by keys[0] alone: the fast way */
	uint8_t prefetch;               /* the last stage of store_prefetch() that pays for its keys */
	uint8_t member;                 /* argument that is looked up within the key's value; 0: none */
	unsigned first_key;             /* where in argv the first key stands if there is one, 0: other words decide */
	char full_name[40];             /* "config|get" */
};

/* What this command with these arguments may do. */
static inline uint32_t command_flags(const struct command *cmd, const struct arg *argv, unsigned argc)
{
	return __builtin_expect(cmd->flags_for != NULL, 0) ? cmd->flags_for(cmd, argv, argc) : cmd->flags;
}

/* Build the table from commands/groups.c. 0 or -ENOMEM. */
int command_init(void);
/* rename-command: new name, or "" to remove. 0, -ENOENT, -EEXIST. Before the loops start. */
int command_rename(const char *name, const char *new_name);
/* Case-insensitive; NULL: unknown. The subcommand, if the command has some and argc > 1 (NULL: unknown subcommand;
 * *container is then the container). */
struct command *command_find(const char *name, size_t len);
struct command *command_lookup(const struct arg *argv, unsigned argc, struct command **container);
unsigned command_count(void);               /* rows with subcommands: ids are below */
struct command *command_by_id(unsigned id);
/* Top-level commands in the order of the groups. */
struct command *command_at(unsigned i);
unsigned command_top_count(void);
static inline bool command_arity_ok(const struct command *cmd, unsigned argc)
{
	return cmd->arity >= 0 ? argc == (unsigned)cmd->arity : argc >= (unsigned)-cmd->arity;
}

/*
 * The one key function: feeds locks, ACL, cluster slots, WATCH, tracking, COMMAND GETKEYS. Validates counts before it
 * allocates. 0; -EINVAL: the arguments cannot be resolved; -ENOMEM. out is initialised here, freed by key_refs_clear().
 */
int command_keys(const struct command *cmd, const struct arg *argv, unsigned argc, struct key_refs *out);
bool key_refs_add(struct key_refs *k, unsigned arg, uint32_t flags); /* for find_keys */
void key_refs_clear(struct key_refs *k);

/* Arrays of rows, from commands/groups.c; ends with NULL. */
extern struct command *const command_groups[];

#endif

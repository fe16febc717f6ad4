#!/bin/bash
# redis-cli and redis-benchmark as operators use them.
set -eu
cli() { redis-cli -p "$PORT" "$@"; }
is() { [ "$1" = "$2" ] || { echo "want '$2', got '$1'"; exit 1; }; }
is "$(cli set k v)" OK
is "$(cli get k)" v
is "$(cli -3 hello 3 | head -n 1 | cut -c1-6)" server
for i in $(seq 100); do echo "SET key:$i $i"; done | cli --pipe | grep -q 'errors: 0, replies: 100'
is "$(cli --scan --pattern 'key:*' | sort -u | wc -l)" 100
is "$(cli --bigkeys | grep -c '^Biggest string found')" 1
cli --memkeys >/dev/null
is "$(cli eval 'return {KEYS[1], ARGV[1]}' 1 a b | tr '\n' ' ')" "a b "
is "$(printf 'MULTI\nINCR n\nINCR n\nEXEC\n' | cli | tail -n 1)" 2
# Functions, from a file and back through a payload, as scripts of operators do it.
printf '#!lua name=lib\nredis.register_function("add", function(keys, args) return redis.call("incrby", keys[1], args[1]) end)\n' |
	cli -x function load replace | grep -q '^lib$'
is "$(cli fcall add 1 n 40)" 42
cli -D '' function dump >"${TMPDIR:-/tmp}/functions.$$"
is "$(cli function flush)" OK
is "$(cli -x function restore <"${TMPDIR:-/tmp}/functions.$$")" OK
rm "${TMPDIR:-/tmp}/functions.$$"
is "$(cli fcall add 1 n 1)" 43
is "$(cli function list | grep -c '^lib$')" 1
cli info everything | grep -q '^redis_version:'
cli command docs get >/dev/null
redis-benchmark -p "$PORT" -q -n 20000 -P 16 -t ping,set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,mset >/dev/null
is "$(cli dbsize | grep -c .)" 1

# prometheus-redis-exporter: what a dashboard reads; a scrape without errors, with the figures of what was done.
import os
import re
import socket
import subprocess
import time
import urllib.request
import redis

r = redis.Redis(port=int(os.environ["PORT"]))
r.mset({"k%d" % i: i for i in range(50)})
r.expire("k1", 1000)
r.rpush("list", *range(10))
for _ in range(20):
    r.get("k1")
try:
    r.execute_command("NOSUCH")
except redis.ResponseError:
    pass
r.config_set("slowlog-log-slower-than", 0)
r.ping()

def start():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        web = s.getsockname()[1]
    return web, subprocess.Popen(["prometheus-redis-exporter", "--redis.addr=redis://127.0.0.1:%s" % os.environ["PORT"],
                                  "--web.listen-address=127.0.0.1:%d" % web, "--check-single-keys=db0=list",
                                  "--include-config-metrics"])

web, exporter = start()
try:
    while True:
        try:
            text = urllib.request.urlopen("http://127.0.0.1:%d/metrics" % web, timeout=100).read().decode()
            break
        except OSError:
            if exporter.poll() is not None: # somebody else took the port
                web, exporter = start()
            time.sleep(0.05)
    value = {m[0]: float(m[1]) for m in re.findall(r"^(redis_\S+(?: \S+=\"[^\"]*\")*) (\S+)$", text, re.M)}
    for name, want in {
        "redis_up": 1, "redis_exporter_last_scrape_error{err=\"\"}": 0, 'redis_db_keys{db="db0"}': 51,
        'redis_db_keys_expiring{db="db0"}': 1, 'redis_commands_total{cmd="get"}': 20, 'redis_key_size{db="db0",key="list"}': 10,
        "redis_connected_slaves": 0, "redis_rdb_bgsave_in_progress": 0, "redis_aof_enabled": 0,
        'redis_errors_total{err="ERR"}': 1,
    }.items():
        assert value.get(name) == want, (name, want, value.get(name))
    for name in ["redis_memory_used_bytes", "redis_uptime_in_seconds", "redis_connections_received_total",
                 "redis_commands_processed_total", "redis_keyspace_hits_total", "redis_net_input_bytes_total",
                 "redis_config_maxclients", "redis_cpu_user_seconds_total", "redis_process_id", "redis_slowlog_length",
                 'redis_commands_duration_seconds_total{cmd="get"}', "redis_mem_fragmentation_ratio",
                 "redis_connected_clients", "redis_start_time_seconds"]:
        assert name in value, name
    assert re.search(r'redis_instance_info{.*redis_mode="standalone".*role="master"', text)
finally:
    exporter.terminate()
    exporter.wait()

# ruby-redis, as Sidekiq uses it: pipelines, transactions, blocking pops, scripts, messages.
require "redis"
r = Redis.new(port: ENV["PORT"].to_i)
raise "set" unless r.set("k", "v") == "OK" && r.get("k") == "v"
raise "pipeline" unless r.pipelined { |p| p.incr("n"); p.incr("n") } == [1, 2]
raise "multi" unless r.multi { |m| m.sadd("s", "a"); m.smembers("s") }.last == ["a"]
raise "zadd" unless r.zadd("z", [[1.5, "a"], [2.0, "b"]]) == 2 && r.zscore("z", "a") == 1.5
t = Thread.new { Redis.new(port: ENV["PORT"].to_i).lpush("queue", "job") }
raise "brpop" unless r.brpop("queue", timeout: 100) == ["queue", "job"]
t.join
raise "eval" unless r.eval("return ARGV[1]", argv: ["x"]) == "x"
raise "watch" unless r.watch("n") { r.multi { |m| m.incr("n") } } == [3]
raise "scan" unless r.scan_each(match: "*").to_a.sort == %w[k n s z]
got = nil
r.subscribe_with_timeout(100, "c") do |on|
  on.subscribe { Redis.new(port: ENV["PORT"].to_i).publish("c", "m") }
  on.message { |_, m| got = m; r.unsubscribe }
end
raise "message" unless got == "m"

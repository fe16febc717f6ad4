# Sidekiq: jobs, jobs in bulk and for later, a retry, run by a launcher in this process.
$VERBOSE = nil
require 'sidekiq'
require 'sidekiq/api'
require 'sidekiq/launcher'
url = "redis://127.0.0.1:#{ENV['PORT']}/0"
Sidekiq.logger.level = Logger::FATAL
Sidekiq.configure_server { |c| c.redis = { url: url } }
Sidekiq.redis = { url: url, size: 10 }
DONE = Queue.new
class Add
  include Sidekiq::Worker
  def perform(a, b)
    DONE << a + b
  end
end
class Fails
  include Sidekiq::Worker
  sidekiq_options retry: 3
  sidekiq_retry_in { 3600 } # not while we look
  def perform
    DONE << :failed
    raise 'on purpose'
  end
end
Add.perform_async(1, 2)
Sidekiq::Client.push_bulk('class' => Add, 'args' => (1..50).map { |i| [i, i] })
Add.perform_in(3600, 5, 5)
Fails.perform_async
raise 'queued' unless Sidekiq::Queue.new.size == 52 && Sidekiq::ScheduledSet.new.size == 1
options = Sidekiq.options.merge(queues: ['default'], concurrency: 3, timeout: 2)
options[:fetch] = Sidekiq::BasicFetch.new(options)
launcher = Sidekiq::Launcher.new(options)
launcher.run
got = 52.times.map { DONE.pop }
sleep 0.01 until Sidekiq::RetrySet.new.size == 1
sleep 0.01 until Sidekiq::Queue.new.size == 0
# The statistics come with the heartbeat, every five seconds.
sleep 0.05 until Sidekiq::Stats.new.processed == 52
launcher.stop
raise got.inspect unless got.include?(:failed) && (got - [:failed]).sort == ([3] + (1..50).map { |i| 2 * i }).sort
stats = Sidekiq::Stats.new
raise "stats #{stats.inspect}" unless stats.failed == 1 && stats.retry_size == 1
retried = Sidekiq::RetrySet.new.first
raise retried.item.inspect unless retried.item['error_message'] == 'on purpose'
retried.delete
raise 'retries' unless Sidekiq::RetrySet.new.size == 0
raise 'scheduled' unless Sidekiq::ScheduledSet.new.map { |j| j.args } == [[5, 5]]

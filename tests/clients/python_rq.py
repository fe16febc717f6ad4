# RQ: jobs, results, failures, dependencies, jobs for later, with a worker in this process.
import datetime
import operator
import os
import redis
from rq import Queue, SimpleWorker
from rq.job import Job
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry

r = redis.Redis(port=int(os.environ["PORT"]))
high, low = Queue("high", connection=r), Queue("low", connection=r)
first = low.enqueue(operator.add, 1, 2, result_ttl=100)
urgent = high.enqueue(operator.mul, 6, 7)
after = low.enqueue(operator.neg, 5, depends_on=first)
broken = low.enqueue(operator.truediv, 1, 0)
many = [high.enqueue(operator.add, i, i) for i in range(20)]
assert len(low) == 2 and len(high) == 21 and after.get_status() == "deferred"
later = low.enqueue_in(datetime.timedelta(hours=1), operator.add, 1, 1)
assert ScheduledJobRegistry(queue=low).get_job_ids() == [later.id]
worker = SimpleWorker([high, low], connection=r)
assert worker.work(burst=True)
assert Job.fetch(first.id, connection=r).result == 3
assert urgent.result == 42 and after.result == -5
assert [j.result for j in many] == [2 * i for i in range(20)]
assert broken.get_status(refresh=True) == "failed" and broken.id in FailedJobRegistry(queue=low)
assert first.id in FinishedJobRegistry(queue=low) and 0 < r.ttl(first.key) <= 100
FailedJobRegistry(queue=low).requeue(broken.id)
assert low.job_ids == [broken.id]
assert low.empty() == 1 and low.is_empty()
assert SimpleWorker.count(connection=r) == 0

// Package prommultiprolab shows the figures of a program of github.com/multiprolab/multiprolab to
// Prometheus. Its name is not that of the client library, so that a program can import both.
//
//	registry := prometheus.NewRegistry()
//	registry.MustRegister(prommultiprolab.NewCollector(app, nil))
//	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
//
// Each scrape takes one snapshot, multiprolab.Main.Stats: what it shows adds up. The names begin
// with multiprolab_:
//
//	tasks_received_total{type}                  tasks that were submitted
//	tasks_total{type,outcome}                   their outcomes: succeeded, failed, cancelled
//	task_retries_total{type}                    attempts that another one followed
//	task_run_seconds{type}                      histogram of how long attempts took
//	task_wait_seconds{type}                     histogram of how long tasks waited for a worker
//	queue_tasks{queue,state}                    ready, delayed, blocked, assigned, running, dead
//	queue_throttled_tasks{queue}                those of the ready ones that a throttle holds back
//	queue_oldest_task_seconds{queue}            how long the oldest task has been ready
//	queue_paused{queue}                         1 if the queue is paused
//	workers{pool,state}                         the workers of a pool and its spares, by state
//	worker_deaths_total{pool,cause}             lives that have failed
//	worker_restarts_total{pool}                 lives that have followed on another one
//	worker_memory_bytes{pool,worker}            resident memory
//	worker_private_memory_bytes{pool,worker}    the part of it that is no other process's
//	worker_cpu_seconds_total{pool,worker}       processor time, over all lives that were seen
//	worker_busy_seconds_total{pool,worker}      time spent in tasks
//	worker_tasks_total{pool,worker}             attempts that have ended
//	worker_messages_total{pool,worker}          messages and calls that were handled
//	messages_handled_total                      messages and calls that workers have handled
//	messages_failed_total                       messages whose handler has returned an error
//	dead_letters_total                          messages that no handler has taken
//	wire_frames_total{direction}                frames between main and workers: sent, received
//	wire_bytes_total{direction}                 their sizes
//	wire_writes_total                           writes to pipes
//	wire_blocked_messages                       messages and calls that wait for room
//	wire_shared_memory_bytes                    bodies that lie in shared memory
//	start_time_seconds                          when Run or Start was called
//
// All units are base units. No label has more values than the program has types of tasks, queues
// and workers, and of the first two at most a thousand each: what goes beyond that is counted
// together, as "(other)". A type that goes there because it was idle, and comes back, counts from 0
// again. The memory and the processor time of main are those of collectors.NewProcessCollector.
//
// For several programs in one process, or other labels, use prometheus.WrapRegistererWith.
package prommultiprolab

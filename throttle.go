package multiprolab

import (
	"cmp"
	"math"

	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/tokens"
)

// Throttle limits tasks in how many run at a time, and in how many begin in a second: those of a
// queue, of a type, or both, all together or each key for itself. See TaskQueue.Throttle.
type Throttle struct {
	// Queue names the queue of the tasks. Empty is every queue.
	Queue string
	// Type is the type of the tasks. Empty is every type.
	Type string
	// PerKey makes the limits those of each TaskOptions.Key, such as a customer, instead of all
	// tasks together. Tasks without a Key are not limited then.
	PerKey bool
	// Concurrency is how many of the tasks may be with workers at a time. With PerKey, it takes the
	// place of a Key's one task at a time; what other tasks of the Key do does not matter then.
	// Defaults to no limit; a Key's one at a time stays.
	Concurrency int
	// Rate is how many of the tasks may be given to workers in a second, on average; 0.1 is one in
	// ten seconds. Each attempt counts, and each item of a Map. Defaults to no limit.
	Rate float64
	// Burst is how many may be given out at once after a quiet time, before the Rate counts.
	// Defaults to 1.
	Burst int
}

// Throttle sets a limit for tasks, and puts it in place of the one with the same Queue, Type and
// PerKey; with neither Concurrency nor Rate it removes that. It may be called before the program
// starts, and at any time while it runs: what runs goes on, and what waits follows the new limit at
// once. A task has to pass all throttles that fit it.
//
// A task that is held up waits in the queue as others do: it counts as Queued, its Delay and its
// place in line stay, it can be cancelled, and it holds up no task that is free to go, such as one
// of another type or key. Its Timeout counts from its start. A task that a worker gives back, or
// leaves behind when it ends, without having begun, does not count for the Rate again; one that has
// begun does so with each attempt.
//
// The limits are those of this program: others that share its Config.Backend count by themselves.
// After Upgrade, the new version sets its own throttles, each with its Burst. It works in main
// only.
func (q *TaskQueue) Throttle(t *Throttle) error {
	if q.main == nil {
		return errOnlyMain
	}
	if err := t.check(); err != nil {
		return err
	}
	q.main.throttle(
		queue.Throttle{Queue: t.Queue, Type: t.Type, PerKey: t.PerKey},
		queue.Limits{Concurrency: t.Concurrency, Rate: t.Rate, Burst: cmp.Or(t.Burst, 1)},
	)
	return nil
}

// check returns an error for the first field that makes no sense.
func (t *Throttle) check() error {
	if t == nil {
		return &ConfigError{"the Throttle", nil, "say what is to be limited"}
	}
	err := cmp.Or(notNegative("Throttle.Concurrency", t.Concurrency), notNegative("Throttle.Burst", t.Burst))
	switch {
	case err != nil:
		return err
	case t.Rate < 0 || math.IsNaN(t.Rate) || math.IsInf(t.Rate, 0):
		return &ConfigError{"Throttle.Rate", t.Rate, "it is a number of tasks in a second, or 0 for no limit"}
	case t.Burst > 0 && t.Rate == 0:
		return &ConfigError{"Throttle.Burst", t.Burst, "it says how a Rate begins: set Rate as well, or leave it zero"}
	case t.Queue != "" && checkQueueName(t.Queue) != nil:
		return &ConfigError{"Throttle.Queue", t.Queue, checkQueueName(t.Queue).Error()}
	case t.Type != "" && checkName("task type", t.Type) != nil:
		return &ConfigError{"Throttle.Type", t.Type, checkName("task type", t.Type).Error()}
	}
	return nil
}

// throttle sets the limits of a throttle.
func (b *broker) throttle(of queue.Throttle, to queue.Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rules.Throttle(of, to)
}

// throttled reports whether there is a throttle for the tasks of a queue and a type.
func (b *broker) throttled(queue, typ string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rules.Throttled(queue, typ)
}

// refill takes the tokens of what has gone through a gate, and tells the rules what is left. The
// caller holds the mutex.
func (b *broker) refill(e *queue.Effect) {
	g, now, limits := e.Gate, b.now(), e.Gate.Limits()
	bucket, ok := g.Data.(*tokens.Bucket)
	if !ok {
		bucket = tokens.New(limits.Rate, limits.Burst, b.epoch)
		g.Data = bucket
	}
	bucket.Set(limits.Rate, limits.Burst, now)
	bucket.Take(int(e.N), now)
	left, next, full := bucket.Left(now)
	b.rules.Refilled(g, left, next, full, now)
}

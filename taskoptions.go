package multiprolab

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// TaskOptions are the options of one task. Nil, and the zero value, are good defaults; those of
// Timeout, Grace, Queue, Priority, Attempts and Retry are others for a type of tasks for which
// Main.TaskDefaults has said so.
type TaskOptions struct {
	// Timeout limits each attempt, from its start on a worker. At its end the context of the
	// handler is cancelled; a handler that does not return within Grace is killed with its worker.
	// NoTimeout is no limit. Defaults to no limit.
	Timeout time.Duration
	// Grace is the time between the cancellation of a handler's context, by Timeout or by the
	// submitter, and the kill. Defaults to 1 second.
	Grace time.Duration
	// Queue names the queue; workers take tasks from those in their WorkerConfig.Queues. Defaults
	// to DefaultQueue.
	Queue string
	// Priority puts the task before tasks with a lower priority. Defaults to PriorityNormal.
	Priority Priority
	// Delay is the time before which the task is not started. Defaults to none.
	Delay time.Duration
	// Key, if not empty, makes the task wait while another task with the same key, of whatever type
	// or queue, runs. A Throttle can say otherwise.
	Key string
	// Sticky makes the tasks of one Key, which must not be empty, go to one and the same instance
	// of those that take them, so that what it has in memory for the key is used again. The task
	// waits for it while it is busy or being replaced, and holds up no task for others. When Resize
	// adds or takes away one of n instances, about 1/n of the keys move; so do those of an instance
	// that has ended for good. With Config.Backend it is an error. See also Keyed.
	Sticky bool
	// Attempts is how often the task may be started. An attempt fails by the death of its worker,
	// by Timeout, or by an error of the handler; Retry says which failures are worth another
	// attempt, and when it comes. Once all attempts are used up, the outcome is an *AttemptsError,
	// and the task goes to the list of dead letters, see TaskQueue.Dead. Defaults to 1, so that a
	// task runs at most once.
	Attempts int
	// Retry says which failures are worth another attempt, and after what pause.
	Retry RetryPolicy
	// OnProgress gets what the handler reports with Progress, in order and before the outcome. It
	// is called by the goroutine that waits for the outcome, and gets all reports that come
	// meanwhile: in main, a handler that reports faster than OnProgress takes the reports has to
	// wait; a worker that submits keeps in its memory what OnProgress has not taken. Of the reports
	// that come while nobody waits, the newest 1024 are kept, and Message.Missed of the first of
	// them says how many there were before. Defaults to none.
	OnProgress func(ctx context.Context, m *Message)

	// header is the packed headers that a Middleware has set, or "".
	header string
}

// Priority orders tasks that wait for the same workers. The zero value is that of the type, see
// Main.TaskDefaults, or else PriorityNormal.
type Priority int8

// The priorities.
const (
	PriorityLow    Priority = -1
	PriorityNormal Priority = 1
	PriorityHigh   Priority = 2
)

// with returns a copy of the options that has the headers of an operation as well, or the options
// themselves if it has none. o may be nil.
func (o *TaskOptions) with(op *Operation) (*TaskOptions, error) {
	header, err := op.packed()
	if header == "" || err != nil {
		return o, err
	}
	var c TaskOptions
	if o != nil {
		c = *o
	}
	c.header = header
	return &c, nil
}

// check returns an error for the first option that makes no sense.
func (o *TaskOptions) check() error {
	if o == nil {
		return nil
	}
	m := o.travelling("")
	return checkTask(&m)
}

// checkTask returns an error for the first option that makes no sense. Main checks the options
// again that come from a worker.
func checkTask(m *meta.Task) error {
	retry := RetryPolicy{RetryOn(m.Retry.On), m.Retry.First, m.Retry.Factor, m.Retry.Max}
	err := cmp.Or(notNegative("TaskOptions.Timeout", m.Timeout), notNegative("TaskOptions.Grace", m.Grace),
		notNegative("TaskOptions.Attempts", m.Attempts), notNegative("TaskOptions.Delay", m.Delay), retry.check())
	switch {
	case err != nil:
		return err
	case Priority(m.Priority) < PriorityLow || Priority(m.Priority) > PriorityHigh: // 0 lies between them
		reason := "use PriorityLow, PriorityNormal or PriorityHigh"
		return &ConfigError{"TaskOptions.Priority", Priority(m.Priority), reason}
	case len(m.Key) > maxNameLen:
		return &ConfigError{
			"TaskOptions.Key",
			m.Key[:20] + "...",
			fmt.Sprintf("it has %d bytes: use at most %d", len(m.Key), maxNameLen),
		}
	case m.Sticky && m.Key == "":
		return &ConfigError{"TaskOptions.Sticky", m.Sticky, "the task has no Key that could say which worker gets it"}
	case m.Queue != "" && checkQueueName(m.Queue) != nil:
		return &ConfigError{"TaskOptions.Queue", m.Queue, checkQueueName(m.Queue).Error()}
	case m.Attempt < 0:
		return &ConfigError{"the attempt", m.Attempt, "it cannot be negative"}
	}
	return meta.CheckChain(m.Chain)
}

// travelling returns the options as they travel with the task. o may be nil.
func (o *TaskOptions) travelling(chain string) meta.Task {
	if o == nil {
		return meta.Task{Chain: chain}
	}
	r := &o.Retry
	return meta.Task{
		Timeout:  o.Timeout,
		Grace:    o.Grace,
		Attempts: o.Attempts,
		Retry:    meta.Retry{On: queue.Fault(r.On), First: r.First, Factor: r.Factor, Max: r.Max},
		Queue:    o.Queue,
		Priority: int8(o.Priority),
		Delay:    o.Delay,
		Key:      o.Key,
		Sticky:   o.Sticky,
		Chain:    chain,
	}
}

// marshal lays out the options for the frame of the task. waits says that the loops in the chain
// wait for the outcome.
func (o *TaskOptions) marshal(chain string, waits bool) string {
	m := o.travelling(chain)
	m.Waits = waits && chain != ""
	return m.Marshal()
}

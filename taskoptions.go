package multiprolab

import (
	"context"
	"time"
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

// with returns a copy of the options that has headers as well, or the options themselves if there
// are none. o may be nil.
func (o *TaskOptions) with(h map[string]string) (*TaskOptions, error) {
	header, err := packHeader(h)
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
	return o.meta("").check()
}

// meta returns the options as they travel with the task. o may be nil.
func (o *TaskOptions) meta(chain string) taskMeta {
	if o == nil {
		return taskMeta{Chain: chain}
	}
	return taskMeta{
		Timeout:  o.Timeout,
		Grace:    o.Grace,
		Attempts: o.Attempts,
		Retry:    o.Retry,
		Queue:    o.Queue,
		Priority: o.Priority,
		Delay:    o.Delay,
		Key:      o.Key,
		Sticky:   o.Sticky,
		Chain:    chain,
	}
}

// marshal lays out the options for the frame of the task. waits says that the loops in the chain
// wait for the outcome.
func (o *TaskOptions) marshal(chain string, waits bool) string {
	m := o.meta(chain)
	m.Waits = waits && chain != ""
	return m.marshal()
}

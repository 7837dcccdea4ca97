// Package meta is what travels beside the body of a message, a call or a task: its headers, who
// waits for it, and the options of a task.
//
// It knows how these are laid out, how large they may be, and how the rules of tasks have the
// options. It knows no frames, processes or errors for users, and not which options make sense.
// What it reads may come from a process that lies, or from another build of the program: it trusts
// nothing in it.
package meta

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/multiprolab/multiprolab/internal/pack"
	"github.com/multiprolab/multiprolab/internal/queue"
)

// DefaultQueue is the name of the queue of tasks that name no queue.
const DefaultQueue = "default"

// Task is what travels with a task beside its body. It is a value that each process copies.
type Task struct {
	Timeout  time.Duration // of each attempt; 0 is no limit
	Grace    time.Duration // between the end of a handler's context and the kill; 0 is the default
	Attempts int           // how often the task may be started; 0 means 1
	Retry    Retry         // which failures are worth another attempt
	Queue    string        // the queue; "" is DefaultQueue
	Priority int8          // -1 is low, 1 normal and 2 high; 0 is none, and goes as normal
	Delay    time.Duration // before which the task is not started
	Key      string        // of which one task runs at a time; "" is none
	Sticky   bool          // the tasks of the key go to one instance
	Attempt  int           // the number of the present attempt, from 1; 0 means 1
	Chain    string        // the names of the processes whose loops wait for the task, or may
	Header   string        // in main and in a Backend: the packed headers; on the wire they have a place of their own
	Waits    bool          // the loops in Chain do wait: nothing else happens there until the outcome is there
}

// Retry says which failures are worth another attempt, and when it comes.
type Retry struct {
	On     queue.Fault   // the failures; 0 is all
	First  time.Duration // the pause before the second attempt; 0 is the default
	Factor float64       // by what the pause grows with each; 0 is the default
	Max    time.Duration // the longest pause; 0 is the default
}

// version is the first byte of packed options. Options with another first byte come from another
// build of the program, by way of a Backend.
const version = 2

// Marshal lays out the options. If all of them are the defaults, it returns "".
func (t Task) Marshal() string {
	if t == (Task{}) {
		return ""
	}
	return string(append([]byte{version}, pack.Marshal(&t)...))
}

// Pack describes the layout of the options.
func (t *Task) Pack(p *pack.Packing) {
	on, priority, factor := int(t.Retry.On), int(t.Priority), int64(math.Float64bits(t.Retry.Factor))
	pack.Number(p, &t.Timeout)
	pack.Number(p, &t.Grace)
	pack.Number(p, &t.Attempts)
	pack.Number(p, &on)
	pack.Number(p, &t.Retry.First)
	pack.Number(p, &factor)
	pack.Number(p, &t.Retry.Max)
	pack.Text(p, &t.Queue)
	pack.Number(p, &priority)
	pack.Number(p, &t.Delay)
	pack.Text(p, &t.Key)
	pack.Flag(p, &t.Sticky)
	pack.Number(p, &t.Attempt)
	pack.Text(p, &t.Chain)
	pack.Flag(p, &t.Waits)
	pack.Text(p, &t.Header)
	if on < 0 || on > math.MaxUint8 || priority < math.MinInt8 || priority > math.MaxInt8 {
		p.Fail()
	}
	t.Retry.On, t.Priority = queue.Fault(on), int8(priority)
	t.Retry.Factor = math.Float64frombits(uint64(factor))
}

// Unmarshal reads what Marshal wrote.
func Unmarshal(s string) (t Task, err error) {
	switch {
	case s == "":
	case s[0] != version:
		err = fmt.Errorf("they have version %d, this program knows version %d", s[0], version)
	default:
		err = pack.Unmarshal([]byte(s[1:]), &t)
	}
	return t, err
}

// MarshalAttempt lays out the number of the attempt that a piece of a result is from. The first one
// is "".
func MarshalAttempt(n int) string {
	if n <= 1 {
		return ""
	}
	return strconv.Itoa(n)
}

// UnmarshalAttempt reads what MarshalAttempt wrote; what makes no sense is the first attempt.
func UnmarshalAttempt(s string) int32 {
	if s == "" {
		return 1
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		return 1
	}
	return int32(n)
}

// Fill sets those options that can have a default and are zero to those of d.
func (t *Task) Fill(d *Task) {
	t.Timeout = cmp.Or(t.Timeout, d.Timeout)
	t.Grace = cmp.Or(t.Grace, d.Grace)
	t.Attempts = cmp.Or(t.Attempts, d.Attempts)
	t.Retry = cmp.Or(t.Retry, d.Retry)
	t.Queue = cmp.Or(t.Queue, d.Queue)
	t.Priority = cmp.Or(t.Priority, d.Priority)
}

// Lane returns the lane in which a task of a type waits if it has these options.
func (t *Task) Lane(typ string) queue.Lane {
	to := queue.Lane{Queue: cmp.Or(t.Queue, DefaultQueue), Type: typ, Priority: queue.Priority(t.Priority)}
	if to.Priority > 0 { // the rules have nothing between normal and none
		to.Priority--
	}
	return to
}

// Rules returns the options as the rules have them.
func (t *Task) Rules() queue.Options {
	return queue.Options{
		Timeout: t.Timeout, Grace: t.Grace, Delay: t.Delay, Attempts: t.Attempts, Key: t.Key, Sticky: t.Sticky,
		On: t.Retry.On, First: t.Retry.First, Factor: t.Retry.Factor, Max: t.Retry.Max,
	}
}

// Recent is the options of the last task that had some: consecutive tasks with the same options
// share them. The zero value is good. Who uses it guards it.
type Recent struct {
	last *queue.Options // nil before the first task that has options
}

// Of returns the options as the rules have them, or nil if all of them are the defaults.
func (r *Recent) Of(t *Task) *queue.Options {
	o := t.Rules()
	if o == (queue.Options{}) {
		return nil
	}
	if r.last == nil || *r.last != o {
		next := o // o itself would be allocated for every task
		r.last = &next
	}
	return r.last
}

// Kept returns the options of a task as another run reads them, from its lane, its options, which
// may be nil, and its packed headers. They do not say who waits for the outcome, because in another
// run nobody does.
func Kept(at queue.Lane, o *queue.Options, header string) Task {
	t := Task{Header: header, Priority: int8(at.Priority)}
	if at.Priority > queue.Normal {
		t.Priority++
	}
	if at.Queue != DefaultQueue {
		t.Queue = at.Queue
	}
	if o != nil {
		t.Timeout, t.Grace, t.Delay, t.Attempts = o.Timeout, o.Grace, o.Delay, o.Attempts
		t.Key, t.Sticky = o.Key, o.Sticky
		t.Retry = Retry{On: o.On, First: o.First, Factor: o.Factor, Max: o.Max}
	}
	return t
}

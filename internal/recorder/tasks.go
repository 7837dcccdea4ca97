package recorder

import (
	"bytes"
	"encoding/json"
	"iter"
	"math"
	"strings"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// Tasks are the rules of tasks, behind a ring that notes each event and each effect. It exists in
// main. Who holds the lock of the rules may use it.
type Tasks struct {
	*queue.Queue
	// Ring has the events.
	Ring        *Ring
	lanes       map[queue.Lane]uint16    // the numbers of the texts of lanes, since the last sweep
	kinds       map[queue.Options]uint16 // those of options
	swept       uint64                   // the sweep of the ring since which they are
	options     *queue.Options           // those of the last task, which are not changed any more
	optionsText uint16                   // the number of their text
}

// mostKnown is how many texts of lanes and of options are known without a look at them.
const mostKnown = 256

// known has what is known begin anew, if it is too old or too much.
func (t *Tasks) known() {
	if t.lanes == nil || t.swept != t.Ring.texts.swept || max(len(t.lanes), len(t.kinds)) > mostKnown {
		t.lanes, t.kinds = map[queue.Lane]uint16{}, map[queue.Options]uint16{}
		t.swept, t.options, t.optionsText = t.Ring.texts.swept, nil, t.named(queue.Options{})
	}
}

// nameLane returns the number of the text of a lane.
func (t *Tasks) nameLane(l queue.Lane) uint16 {
	n, ok := t.lanes[l]
	if !ok {
		n = t.named(l)
		t.lanes[l] = n
	}
	return n
}

// nameOptions returns the number of the text of the options of a task, which may be nil, but for
// the key: each task may have another one, which is an event of its own.
func (t *Tasks) nameOptions(o *queue.Options) uint16 {
	if o == t.options {
		return t.optionsText
	}
	var of queue.Options
	if o != nil {
		of = *o
		of.Key = ""
	}
	n, ok := t.kinds[of]
	if !ok {
		n = t.named(of)
		t.kinds[of] = n
	}
	t.options, t.optionsText = o, n
	return n
}

// named returns the number of the text of a value.
func (t *Tasks) named(v any) uint16 {
	text, err := json.Marshal(v)
	if err != nil || bytes.Contains(text, []byte(`\ufffd`)) { // a number or a text that JSON does not have
		return noText
	}
	return t.Ring.Name(string(text))
}

// pool and slot are what AddPool and AddSlot were told.
type pool struct {
	Pool    queue.Pool
	Options queue.PoolOptions
}

type slot struct {
	Slot queue.Slot
	Pool queue.Pool
}

// books is what New was told.
type books struct {
	Limit, LimitBytes, DeadLimit int
	Stored                       bool
}

// NewTasks returns rules without tasks, and their ring.
func NewTasks(c *Counter, cfg queue.Config) *Tasks {
	t := &Tasks{Ring: NewRing(c, TaskEvents)}
	t.Ring.keep(TaskAllow, books{cfg.Limit, cfg.LimitBytes, cfg.DeadLimit, cfg.Stored})
	random, busy := cfg.Rand, cfg.Busy
	cfg.Rand = func() float64 {
		f := random()
		t.Ring.Add(Event{Kind: TaskRand, N: int64(math.Float64bits(f))})
		return f
	}
	cfg.Busy = func(w queue.Worker) int {
		n := busy(w)
		t.Ring.Add(Event{Kind: TaskBusy, Slot: uint32(w), N: int64(n)})
		return n
	}
	t.Queue = queue.New(cfg)
	return t
}

// Opaque notes an event of which the record does not hold enough.
func (t *Tasks) Opaque(what string) {
	t.Ring.Add(Event{Kind: TaskOpaque, Text: t.Ring.Name(what)})
}

// about notes an event about a worker and a task.
func (t *Tasks) about(k Kind, w queue.Worker, id queue.ID, n int64, at queue.Time) {
	t.Ring.Add(Event{Kind: k, Slot: uint32(w), Task: uint64(id), N: n, At: at})
}

// The methods of queue.Queue that are events.

func (t *Tasks) Allow(bytes int) {
	t.Ring.Add(Event{Kind: TaskAllow, N: int64(bytes)})
	t.Queue.Allow(bytes)
}

func (t *Tasks) AddPool(p queue.Pool, o queue.PoolOptions) {
	t.Ring.keep(TaskPool, pool{p, o})
	t.Queue.AddPool(p, o)
}

func (t *Tasks) AddSlot(s queue.Slot, in queue.Pool) {
	t.Ring.keep(TaskSlot, slot{s, in})
	t.Queue.AddSlot(s, in)
}

func (t *Tasks) CountFrom(last queue.ID) {
	t.Ring.Add(Event{Kind: TaskCountFrom, Task: uint64(last)})
	t.Queue.CountFrom(last)
}

func (t *Tasks) Bury(task *queue.Task, to queue.Lane, id queue.ID) bool {
	t.known()
	t.Ring.Add(Event{Kind: TaskBury, Task: uint64(id), Text: t.nameLane(to)})
	return t.Queue.Bury(task, to, id)
}

func (t *Tasks) Enrol(task *queue.Task, to queue.Lane, id queue.ID) {
	t.known()
	t.Ring.Add(Event{Kind: TaskEnrol, Task: uint64(id), Text: t.nameLane(to)})
	t.Queue.Enrol(task, to, id)
}

func (t *Tasks) Remove(s queue.Slot) {
	t.Ring.Add(Event{Kind: TaskRemove, Slot: uint32(s)})
	t.Queue.Remove(s)
}

func (t *Tasks) Last(s queue.Slot) {
	t.Ring.Add(Event{Kind: TaskLast, Slot: uint32(s)})
	t.Queue.Last(s)
}

func (t *Tasks) Gone(s queue.Slot, cause any) {
	t.Ring.Add(Event{Kind: TaskGone, Slot: uint32(s)})
	t.Queue.Gone(s, cause)
}

func (t *Tasks) Enter(w queue.Worker, at queue.Slot, handles, pulls []string) queue.Lie {
	text, more := t.Ring.Name(strings.Join(handles, ",")), t.Ring.Name(strings.Join(pulls, ","))
	t.Ring.Add(Event{Kind: TaskEnter, Slot: uint32(at), Other: uint32(w), Text: text, More: more})
	return t.Queue.Enter(w, at, handles, pulls)
}

func (t *Tasks) Leave(w queue.Worker, d queue.Death, now queue.Time) bool {
	n := int64(d.Items.Failed)<<32 | int64(d.Items.Later)
	t.Ring.Add(
		Event{Kind: TaskLeave, Slot: uint32(w), Other: uint32(d.Items.OK), Task: uint64(d.Unfinished), N: n, At: now},
	)
	return t.Queue.Leave(w, d, now)
}

func (t *Tasks) Retire(w queue.Worker) bool {
	t.Ring.Add(Event{Kind: TaskRetire, Slot: uint32(w)})
	return t.Queue.Retire(w)
}

func (t *Tasks) Submit(
	task *queue.Task, to queue.Lane, waiting []queue.Slot, wait bool, now queue.Time,
) (queue.Refusal, queue.Lie) {
	for _, s := range waiting {
		t.Ring.Add(Event{Kind: TaskWaiting, Slot: uint32(s)})
	}
	if o := task.Options; o != nil && o.Key != "" {
		t.Ring.Add(Event{Kind: TaskKey, Text: t.Ring.Name(o.Key)})
	}
	t.known()
	t.Ring.Add(Event{
		Kind: TaskSubmit, Slot: uint32(task.From), Other: uint32(task.Items), Task: task.Number, N: int64(task.Size),
		Text: t.nameLane(to), More: t.nameOptions(task.Options), Bits: flags(wait), At: now,
	})
	return t.Queue.Submit(task, to, waiting, wait, now)
}

func (t *Tasks) Cancel(task *queue.Task, soft bool, now queue.Time) {
	t.Ring.Add(Event{Kind: TaskCancel, Task: uint64(task.ID()), Bits: flags(soft), At: now})
	t.Queue.Cancel(task, soft, now)
}

func (t *Tasks) Refuse(task *queue.Task, now queue.Time) {
	t.about(TaskRefuse, 0, task.ID(), 0, now)
	t.Queue.Refuse(task, now)
}

func (t *Tasks) Withdraw(task *queue.Task) bool {
	t.about(TaskWithdraw, 0, task.ID(), 0, 0)
	return t.Queue.Withdraw(task)
}

func (t *Tasks) CancelPending(name string) int {
	t.Ring.Add(Event{Kind: TaskCancelPending, Text: t.Ring.Name(name)})
	return t.Queue.CancelPending(name)
}

func (t *Tasks) Tick(now queue.Time) {
	t.Ring.Add(Event{Kind: TaskTick, At: now})
	t.Queue.Tick(now)
}

func (t *Tasks) Pause(name string, on bool) {
	t.Ring.Add(Event{Kind: TaskPause, Text: t.Ring.Name(name), Bits: flags(on)})
	t.Queue.Pause(name, on)
}

func (t *Tasks) PauseUntil(name string, until, now queue.Time) {
	t.Ring.Add(Event{Kind: TaskPauseUntil, Text: t.Ring.Name(name), N: int64(until), At: now})
	t.Queue.PauseUntil(name, until, now)
}

func (t *Tasks) Began(w queue.Worker, id queue.ID, now queue.Time) queue.Lie {
	t.about(TaskBegan, w, id, 0, now)
	return t.Queue.Began(w, id, now)
}

func (t *Tasks) Recovered(w queue.Worker, id queue.ID, now queue.Time) {
	t.about(TaskRecovered, w, id, 0, now)
	t.Queue.Recovered(w, id, now)
}

func (t *Tasks) Ended(w queue.Worker, id queue.ID, v queue.Verdict, now queue.Time) queue.Lie {
	n := int64(v.After)
	if v.Batch || v.Items != (queue.Tally{}) {
		n = int64(v.Items.Failed)<<32 | int64(v.Items.Later)
	}
	t.Ring.Add(Event{
		Kind: TaskEnded, Slot: uint32(w), Other: uint32(v.Items.OK), Task: uint64(id), N: n,
		Bits: uint8(v.Kind)<<4 | flags(v.Final, v.Batch, v.Late, v.Kept), At: now,
	})
	return t.Queue.Ended(w, id, v, now)
}

func (t *Tasks) Returned(w queue.Worker, id queue.ID) queue.Lie {
	t.about(TaskReturned, w, id, 0, 0)
	return t.Queue.Returned(w, id)
}

func (t *Tasks) Split(w queue.Worker, id queue.ID, from uint64) queue.Lie {
	t.about(TaskSplit, w, id, int64(from), 0)
	return t.Queue.Split(w, id, from)
}

func (t *Tasks) Unsent(w queue.Worker, id queue.ID, cause any) {
	t.about(TaskUnsent, w, id, 0, 0)
	t.Queue.Unsent(w, id, cause)
}

func (t *Tasks) Stop(drain bool) {
	t.Ring.Add(Event{Kind: TaskStop, Bits: flags(drain)})
	t.Queue.Stop(drain)
}

func (t *Tasks) End() {
	t.Ring.Add(Event{Kind: TaskEnd})
	t.Queue.End()
}

// The methods of which the record does not hold enough.

func (t *Tasks) Checkpoint(w queue.Worker, id queue.ID, size int) (keep *queue.Task, lie queue.Lie) {
	t.Opaque("a checkpoint")
	return t.Queue.Checkpoint(w, id, size)
}

func (t *Tasks) Fetch(w queue.Worker, n queue.FetchID, types iter.Seq[string], wait bool) queue.Lie {
	t.Opaque("a fetch")
	return t.Queue.Fetch(w, n, types, wait)
}

func (t *Tasks) CancelFetch(w queue.Worker, n queue.FetchID) {
	t.Opaque("the end of a fetch")
	t.Queue.CancelFetch(w, n)
}

func (t *Tasks) RetryDead(ids []queue.ID, refused func(t *queue.Task, why queue.Refusal)) int {
	t.Opaque("a retry of dead tasks")
	return t.Queue.RetryDead(ids, refused)
}

func (t *Tasks) DropDead(ids []queue.ID) int {
	t.Opaque("dead tasks that are dropped")
	return t.Queue.DropDead(ids)
}

func (t *Tasks) Throttle(of queue.Throttle, to queue.Limits) {
	t.Opaque("a limit of Throttle")
	t.Queue.Throttle(of, to)
}

// Effects returns and notes what is to be done.
func (t *Tasks) Effects(spare []queue.Effect) []queue.Effect {
	effects := t.Queue.Effects(spare)
	for i := range effects {
		if isNoted(effects[i].Kind) {
			t.Ring.Add(taskEffect(&effects[i]))
		}
	}
	return effects
}

// isNoted reports whether an effect of a kind is in the record: the others come with every task,
// and follow from those that are.
func isNoted(k queue.EffectKind) bool {
	return k != queue.Admitted && k != queue.Wake && k != queue.Takers && k != queue.Idle
}

// taskDoes are the names of effects.
var taskDoes = [...]string{
	queue.Admitted: "admitted", queue.Assign: "assign", queue.Recall: "recall", queue.Cancel: "cancel",
	queue.Dump: "dump", queue.Kill: "kill", queue.NoTask: "no task", queue.Retired: "retired", queue.Shrunk: "shrunk",
	queue.Again: "again", queue.Outcome: "outcome", queue.Store: "store", queue.EndLease: "end lease",
	queue.Draw: "draw", queue.DrawLess: "draw less", queue.DrawNoMore: "draw no more", queue.Try: "try",
	queue.Wake: "wake", queue.Takers: "takers", queue.Idle: "idle", queue.Token: "token",
}

// taskEffect returns the event of an effect.
func taskEffect(e *queue.Effect) Event {
	v := Event{
		Kind: TaskEffect, Text: uint16(e.Kind), Slot: uint32(e.Worker), Other: uint32(e.Verdict.Kind),
		N: int64(e.N), Bits: flags(e.First, e.Soft) | uint8(e.Letter)<<2 | uint8(e.LeaseEnd)<<4,
	}
	switch e.Kind {
	case queue.Again, queue.Store, queue.EndLease:
		v.N = int64(e.After)
	}
	if e.Task != nil {
		v.Task = uint64(e.Task.ID())
	}
	return v
}

package recorder

import (
	"encoding/json"
	"math"
	"strings"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// tasksReplay has the rules of tasks do again what happened.
type tasksReplay struct {
	draws
	rules   *queue.Queue             // the rules; nil before their set-up
	effects []queue.Effect           // what they have said and the record has not
	tasks   map[queue.ID]*queue.Task // the tasks, by their numbers
	waiting []queue.Slot             // who waits for the next task that is submitted
	key     string                   // the key of that task
}

func newTasksReplay() *tasksReplay { return &tasksReplay{tasks: map[queue.ID]*queue.Task{}} }

func (r *tasksReplay) effect() (e Event, ok bool) {
	if r.rules != nil {
		r.effects = append(r.effects, r.rules.Effects(nil)...)
	}
	for len(r.effects) > 0 {
		next := &r.effects[0]
		if r.effects = r.effects[1:]; isNoted(next.Kind) {
			return taskEffect(next), true
		}
	}
	return e, false
}

func (r *tasksReplay) do(s *said, e *Event) (lacks string) {
	if e.Kind == TaskAllow && s.Setup != nil {
		var b books
		if json.Unmarshal(s.Setup, &b) != nil {
			return "the set-up"
		}
		r.rules = queue.New(queue.Config{
			Limit: b.Limit, LimitBytes: b.LimitBytes, DeadLimit: b.DeadLimit, Stored: b.Stored,
			Rand: func() float64 { return math.Float64frombits(uint64(r.next(TaskRand))) },
			Busy: func(queue.Worker) int { return int(r.next(TaskBusy)) },
		})
		return ""
	}
	if r.rules == nil {
		return "the set-up"
	}
	q, at, on := r.rules, queue.Worker(e.Slot), timeOf(s)
	id, task := queue.ID(e.Task), r.tasks[queue.ID(e.Task)]
	tally := queue.Tally{OK: int32(e.Other), Failed: int32(e.N >> 32), Later: int32(e.N)}
	switch e.Kind {
	case TaskCancel, TaskRefuse, TaskWithdraw:
		if task == nil {
			return "a task"
		}
	}
	switch e.Kind {
	case TaskPool:
		var p pool
		if json.Unmarshal(s.Setup, &p) != nil {
			return "a pool"
		}
		q.AddPool(p.Pool, p.Options)
	case TaskSlot:
		var p slot
		if json.Unmarshal(s.Setup, &p) != nil {
			return "a slot"
		}
		q.AddSlot(p.Slot, p.Pool)
	case TaskAllow:
		q.Allow(int(e.N))
	case TaskCountFrom:
		q.CountFrom(id)
	case TaskBury, TaskEnrol:
		var to queue.Lane
		if lane, ok := s.name("lane"); !ok || json.Unmarshal([]byte(lane), &to) != nil {
			return "the type of a dead task, or of one that is not taken"
		}
		if e.Kind == TaskEnrol {
			q.Enrol(&queue.Task{}, to, id)
		} else {
			q.Bury(&queue.Task{}, to, id)
		}
	case TaskRemove:
		q.Remove(queue.Slot(at))
	case TaskLast:
		q.Last(queue.Slot(at))
	case TaskGone:
		q.Gone(queue.Slot(at), nil)
	case TaskEnter:
		handles, ok := s.name("handles")
		pulls, too := s.name("pulls")
		if !ok || !too {
			return "what a worker takes"
		}
		q.Enter(queue.Worker(e.Other), queue.Slot(at), listed(handles), listed(pulls))
	case TaskLeave:
		q.Leave(at, queue.Death{Unfinished: id, Items: tally}, on)
	case TaskRetire:
		q.Retire(at)
	case TaskWaiting:
		r.waiting = append(r.waiting, queue.Slot(at))
	case TaskKey:
		key, ok := s.name("key")
		if !ok {
			return "the key of a task"
		}
		r.key = key
	case TaskSubmit:
		return r.submit(s, e)
	case TaskCancel:
		q.Cancel(task, e.Bits&1 != 0, on)
	case TaskRefuse:
		q.Refuse(task, on)
	case TaskWithdraw:
		q.Withdraw(task)
	case TaskTick:
		q.Tick(on)
	case TaskBegan:
		q.Began(at, id, on)
	case TaskRecovered:
		q.Recovered(at, id, on)
	case TaskEnded:
		v := queue.Verdict{Kind: queue.Kind(e.Bits >> 4), Final: e.Bits&1 != 0, Batch: e.Bits&2 != 0,
			Late: e.Bits&4 != 0, Kept: e.Bits&8 != 0}
		if v.Batch || e.Other != 0 {
			v.Items = tally
		} else {
			v.After = queue.Time(e.N)
		}
		q.Ended(at, id, v, on)
	case TaskReturned:
		q.Returned(at, id)
	case TaskSplit:
		q.Split(at, id, uint64(e.N))
	case TaskUnsent:
		q.Unsent(at, id, nil)
	case TaskStop:
		q.Stop(e.Bits&1 != 0)
	case TaskEnd:
		q.End()
	case TaskOpaque:
		what, _ := s.name("what")
		return what
	default:
		return r.pause(s, e)
	}
	return ""
}

// pause replays what is about a queue by its name.
func (r *tasksReplay) pause(s *said, e *Event) (lacks string) {
	name, ok := s.name("queue")
	if !ok {
		return "the name of a queue"
	}
	switch e.Kind {
	case TaskCancelPending:
		r.rules.CancelPending(name)
	case TaskPause:
		r.rules.Pause(name, e.Bits&1 != 0)
	case TaskPauseUntil:
		r.rules.PauseUntil(name, queue.Time(e.N), timeOf(s))
	}
	return ""
}

// submit replays the submission of a task.
func (r *tasksReplay) submit(s *said, e *Event) (lacks string) {
	lane, ok := s.name("lane")
	options, too := s.name("options")
	if !ok || !too {
		return "the type or the options of a task"
	}
	var to queue.Lane
	o := new(queue.Options)
	if json.Unmarshal([]byte(lane), &to) != nil || json.Unmarshal([]byte(options), o) != nil {
		return "the type or the options of a task"
	}
	o.Key = r.key
	t := &queue.Task{Options: o, Number: e.Task, Size: int(e.N), From: queue.Submitter(e.Slot), Items: int32(e.Other)}
	r.rules.Submit(t, to, r.waiting, e.Bits&1 != 0, timeOf(s))
	r.waiting, r.key = nil, ""
	if t.ID() != 0 {
		r.tasks[t.ID()] = t
	}
	return ""
}

// listed returns the elements of a list that was joined by commas.
func listed(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

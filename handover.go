package multiprolab

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// This file is how what main's memory has of tasks goes from an old version of the program to the
// new one. Those in a Backend stay where they are.

// handOverTasks has the tasks handed over that end only because the program does. The items of a
// Map and the tasks of a Stream end: they are for the one who called it.
func (m *Main) handOverTasks() {
	b := m.broker
	if b.store != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heir = func(j *job, due time.Duration) {
		if streams := j.stream || j.sub != nil && j.sub.streams; j.Items == 0 && !streams {
			m.upgrade.HandOver(uint64(j.ID()), b.handedTask(j, due))
		}
	}
}

// handedTask returns a job as another version of the program can read it. due is when it is due,
// from now on.
func (b *broker) handedTask(j *job, due time.Duration) upgrade.Task {
	t := upgrade.Task{
		Type:     j.Lane().Type,
		Options:  j.stored(),
		Body:     string(b.node.codec.Pack(j.payload)),
		Attempts: j.Begun(),
	}
	if due > 0 {
		t.Due = time.Now().Add(due).UnixNano()
	}
	if j.past != nil && j.past.checkpoint != nil {
		t.Checkpoint = string(b.node.codec.Pack(*j.past.checkpoint))
	}
	if j.past != nil {
		for _, err := range j.past.failures {
			t.Failures = append(t.Failures, packedError(err))
		}
	}
	return t
}

// handQueue adds to what is handed over what is known of the queue: all of it to the new version of
// the program, and to its trial only what is paused.
func (b *broker) handQueue(h *upgrade.Handed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, at := b.now(), time.Now()
	b.rules.Pauses(func(queue string, until time.Duration) {
		p := upgrade.Pause{Queue: queue}
		if until > 0 {
			p.Until = at.Add(until - now).UnixNano()
		}
		h.Pauses = append(h.Pauses, p)
	})
	if h.Trial {
		return
	}
	h.LastTask = int64(b.rules.LastID())
	for _, t := range b.rules.Dead() {
		if j := jobOf(t); !t.Kept() { // otherwise it was put back, and is handed over as a task
			d := j.past.dead
			h.Dead = append(h.Dead, upgrade.DeadTask{
				Task: b.handedTask(j, 0), ID: int64(d.ID), Error: packedError(d.Err), At: d.At.UnixNano(),
			})
		}
	}
}

// leave writes down what a trial has accepted and not done.
func (m *Main) leave() {
	if !m.upgrade.Trial() || m.cfg.Backend != nil {
		return
	}
	h := &upgrade.Handed{Tasks: m.upgrade.HandedOver()}
	m.broker.handQueue(h)
	for i := range h.Dead {
		h.Dead[i].ID = 0 // another one has the number in main
	}
	if err := m.upgrade.Leave(h); err != nil {
		m.cfg.Logger.Error("multiprolab: the tasks that this trial leaves are lost", "tasks", len(h.Tasks),
			"dead", len(h.Dead), "error", err)
	}
}

// left returns what a trial has left, which has ended.
func (m *Main) left(trial *upgrade.Trial) *upgrade.Handed {
	h, err := trial.Left()
	if err != nil {
		m.cfg.Logger.Error("multiprolab: the tasks that the trial has left are lost", "error", err)
	}
	if h == nil || err != nil {
		return &upgrade.Handed{}
	}
	return h
}

// addLeft adds what a trial has left to what is handed over.
func (m *Main) addLeft(h *upgrade.Handed, trial *upgrade.Trial) {
	left := m.left(trial)
	h.Tasks, h.Dead = append(h.Tasks, left.Tasks...), append(h.Dead, left.Dead...)
}

// takeLeft goes on with what a trial has left.
func (m *Main) takeLeft(trial *upgrade.Trial) { m.resumeTasks(m.left(trial)) }

// resumeQueue goes on with the queue of the old version, before the first worker starts. Nobody
// waits for the outcomes of its tasks: those that do not succeed become dead letters.
func (m *Main) resumeQueue(h *upgrade.Handed) {
	b := m.broker
	for _, p := range h.Pauses {
		if p.Until == 0 {
			b.pause(p.Queue, true)
		} else {
			b.pauseUntil(p.Queue, time.Unix(0, p.Until))
		}
	}
	b.mu.Lock()
	b.rules.CountFrom(queue.ID(h.LastTask))
	b.mu.Unlock()
	m.resumeTasks(h)
}

// resumeTasks goes on with the tasks and dead letters of another process.
func (m *Main) resumeTasks(h *upgrade.Handed) {
	b := m.broker
	lost := func(t *upgrade.Task, err error) {
		m.cfg.Logger.Error("multiprolab: a task of the old version of the program is lost", "type", t.Type,
			"error", brief(err))
	}
	for i := range h.Dead {
		if err := b.keepLetter(&h.Dead[i]); err != nil {
			lost(&h.Dead[i].Task, err)
		}
	}
	for i := range h.Tasks {
		t := &h.Tasks[i]
		err := b.resume(t)
		if err == nil {
			continue
		}
		dead := upgrade.DeadTask{Task: *t, Error: packedError(err), At: time.Now().UnixNano()}
		if cannot := b.keepLetter(&dead); cannot != nil {
			lost(t, errors.Join(err, cannot))
		}
	}
}

// resumed makes a job of a task of the old version, with the options that it has.
func (b *broker) resumed(t *upgrade.Task) (*job, *meta.Task, error) {
	j, o, err := keptJob(b.node.codec, t.Options, []byte(t.Body), []byte(t.Checkpoint))
	if err != nil {
		return nil, nil, err
	}
	j.admitted = true // the old version has told the submitter
	for _, text := range t.Failures {
		h := j.history()
		h.failures = append(h.failures, handedError(text))
	}
	return j, o, nil
}

// resume takes a task of the old version of the program.
func (b *broker) resume(t *upgrade.Task) error {
	j, o, err := b.resumed(t)
	if err != nil {
		return err
	}
	if o.Delay = 0; t.Due != 0 {
		o.Delay = max(0, time.Until(time.Unix(0, t.Due)))
	}
	j.Resume(t.Attempts)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.admission(j, o, t.Type, true, b.now()) // the old version has filled in the defaults
}

// keepLetter takes a dead letter of the old version of the program.
func (b *broker) keepLetter(t *upgrade.DeadTask) error {
	j, o, err := b.resumed(&t.Task)
	if err != nil {
		return err
	}
	why := handedError(t.Error)
	all, ok := why.(*AttemptsError)
	if !ok {
		all = &AttemptsError{Type: t.Type, Attempts: append(slices.Clone(j.history().failures), why)}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	j.Options = b.recent.Of(o)
	if !b.rules.Bury(&j.Task, o.Lane(t.Type), queue.ID(t.ID)) {
		return errors.New("Config.DeadLimit is 0")
	}
	h := j.history()
	h.failures, h.all = nil, all
	b.addDead(j)
	h.dead.At = time.Unix(0, cmp.Or(t.At, h.dead.At.UnixNano()))
	return nil
}

// handedError reads an error of the old version. Which registered errors it matches is not known
// any more: the new version may have registered others.
func handedError(text string) error {
	err := unmarshalError([]byte(text))
	eachRemote(err, func(e *RemoteError) { e.kept.Forget() })
	return err
}

package multiprolab

import (
	"context"
	"fmt"

	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/mail"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/queue"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is the part of the broker, in main, that takes tasks from their submitters into the
// queue, and takes tasks out again that are cancelled.

// submit takes a task into the queue. If it returns no error, the task will have an outcome.
func (b *broker) submit(j *job, m *meta.Task, typ string, wait bool) error {
	now := b.now() // before Lock, so that the mutex is held for a shorter time
	b.mu.Lock()
	defer b.mu.Unlock()
	b.defaults.fill(m, typ)
	return b.admission(j, m, typ, wait, now)
}

// admission is submit for a caller that holds the mutex, and for options that are filled in.
func (b *broker) admission(j *job, m *meta.Task, typ string, wait bool, now queue.Time) error {
	if b.stopped != nil {
		b.bequeath(j, m, typ)
		return b.stopped
	}
	if m.Sticky && b.store != nil {
		return &ConfigError{"TaskOptions.Sticky", m.Sticky, "a Config.Backend gives out tasks whatever their keys are"}
	}
	to := m.Lane(typ)
	j.Options = b.recent.Of(m)
	if c := j.client; c != nil {
		j.From = b.numberOf(c)
	}
	var waiting []queue.Slot
	if j.waits && !j.client.over() {
		waiting = b.waitingOf(j.by(), j.chain)
	}
	awaited := j.waits && !j.client.over() && j.Number != 0 &&
		b.store == nil && b.rules.Submitted(j.From, j.Number) == nil
	if awaited {
		want := b.named(func(yield func(queue.Helper) bool) { b.rules.WouldHelp(j.Options, to, waiting, yield) })
		if err := b.beginWaitLocked(j.by(), j.Number, want, fmt.Sprintf("task %q", typ)); err != nil {
			return err
		}
	}
	refusal, lies := b.rules.Submit(&j.Task, to, waiting, wait, now)
	if refusal.Refused() || lies.Told() {
		if awaited {
			b.loops.waits.End(j.by(), j.Number)
		}
		if lies.Told() {
			return accuse(lies, "submitted")
		}
		return b.refusalError(refusal, to, len(j.payload.Data))
	}
	b.watch()
	if j.sub != nil {
		j.sub.job = j
	}
	if j.client != nil {
		j.client.lined += j.cost
	}
	if awaited && b.loops.waits.Find(j.by(), j.Number) != nil {
		b.loops.waits.Note(j.by(), j.Number, b.forJob(j)) // now the rules know who helps with the job
	}
	return nil
}

// bequeath hands over a task that comes after the end of the program has begun, of a worker whose
// submission does not wait for main. The caller holds the mutex.
func (b *broker) bequeath(j *job, m *meta.Task, typ string) {
	if b.heir != nil && j.promised() {
		j.Options = b.recent.Of(m)
		b.rules.Enrol(&j.Task, m.Lane(typ), 0)
		b.heir(j, m.Delay)
	}
}

// numberOf returns the number by which the rules know a life of a worker as a submitter. The first
// task of the life gives it one. The caller holds the mutex.
func (b *broker) numberOf(c *client) queue.Submitter {
	if c.number == 0 {
		b.staff.last.client++
		c.number = b.staff.last.client
		if !c.over() {
			b.loops.clients[c.name()] = c
		}
	}
	return c.number
}

// accept tells the submitter of a job that the queue has taken it.
func (b *broker) accept(j *job) {
	b.giveBack(j)
	j.letGo()
	if j.client != nil {
		j.client.tell(&wire.Frame{Kind: wire.Accepted, ID: j.Number})
	}
}

// letGo lets a submitter in main go on if it waits for room for the job.
func (j *job) letGo() {
	if !j.admitted && j.sub != nil {
		close(j.sub.accepted)
	}
	j.admitted = true
}

// giveBack returns to the submitter the credit that the job held while it waited for room.
func (b *broker) giveBack(j *job) {
	if j.cost > 0 && j.client != nil {
		j.client.lined -= j.cost
		j.client.Grant(j.cost)
	}
	j.cost = 0
}

// cancel cancels a job for its submitter. If soft is set, the reason is that the deadline of the
// submitter has passed.
func (b *broker) cancel(submitter *client, id uint64, soft bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !submitter.over() {
		b.loops.waits.End(submitter.name(), id)
	}
	if j := b.submitted(submitter, id); j != nil { // otherwise the job has its outcome
		b.rules.Cancel(&j.Task, soft, b.now())
	}
}

// cancelPending cancels the tasks of one queue, or of every queue if the name is "", that no worker
// has been given at this moment. It returns how many these were.
func (b *broker) cancelPending(queue string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rules.CancelPending(queue)
}

// mainSubmit submits a task of main itself. While the queue is full it waits, unless the submission
// says that the task stands in line.
func (b *broker) mainSubmit(ctx context.Context, s *submission, f *wire.Frame) error {
	o, err := meta.Unmarshal(f.Meta)
	if err != nil {
		return err
	}
	o.Header = f.Header
	payload := link.Body(f)
	if s.batch == 0 { // the bytes of a batch do not change before it has its outcome
		payload = payload.Own()
	}
	j := newJob(payload, &o)
	j.limit, j.sub, j.Number, j.Items = contexts.Within(f.Left), s, s.id, int32(s.batch)
	if err := b.submit(j, &o, f.Type, f.Flags&wire.FlagWait != 0); err != nil || s.lines {
		return err
	}
	defer stall(ctx)()
	if scopeOf(ctx) != nil && !o.Waits {
		if err := b.awaitRoom(j, f.Type); err != nil {
			return err
		}
		defer b.endWait(MainName, s.id)
	}
	select {
	case <-s.accepted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.rules.Withdraw(&j.Task) {
		return nil // the queue has taken it in the same moment
	}
	return fmt.Errorf("multiprolab: task %q waited for room in the queue: %w", f.Type, contexts.CauseOf(ctx))
}

// awaitRoom notes that the loop of main waits for room for a job, unless the queue has taken the
// job by now. If the loop must not wait, the job is taken back.
func (b *broker) awaitRoom(j *job, typ string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.rules.IsBlocked(&j.Task) {
		return nil
	}
	what := fmt.Sprintf("task %q, for room in the queue,", typ)
	err := b.beginWaitLocked(MainName, j.Number, b.forRoom(), what)
	if err != nil {
		j.forget() // the submitter gets the error from this call
		b.rules.Withdraw(&j.Task)
	}
	return err
}

// waitingOf returns the instances whose loops do not go on before a task has its outcome. These are
// the submitter, whose name is by, and those instances in its chain that in the end wait for the
// submitter.
func (b *broker) waitingOf(by, chain string) (waiting []queue.Slot) {
	names := meta.Names(chain)
	stuck := b.loops.waits.StuckWith(by, mail.Want[string](names))
	for name := range names {
		if s := b.staff.slot(name); s != nil && stuck[name] {
			waiting = append(waiting, s.number)
		}
	}
	return waiting
}

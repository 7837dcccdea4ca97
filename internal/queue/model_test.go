package queue

import (
	"slices"
	"time"
)

// This file is what must be, told slowly: which tasks may go to whom, what an event makes of a
// task, and what the effects may be. It looks at the Queue only where that has a choice.

// given to the workers of a slow model: a lane that a worker is given, or asks for.
func (w *fakeWorker) takes(l Lane, pulled bool) bool {
	types := w.handles
	if pulled {
		types = w.pulls
	}
	return slices.Contains(w.slot.pool.Queues, l.Queue) && slices.Contains(types, l.Type)
}

func (w *fakeWorker) sound() bool {
	return !w.retiring && !w.killed && !slices.ContainsFunc(w.held, func(m *fakeTask) bool { return m.doom != Done })
}

// room is how many tasks the worker may be given unasked.
func (w *fakeWorker) room() int {
	n, p := 1, w.slot.pool
	if w.took > 0 {
		ahead := int(4 * time.Millisecond / max(w.took, time.Microsecond))
		if w.batches && ahead == 0 {
			ahead = 1
		}
		n += min(ahead, p.Prefetch)
	}
	if p.MaxTasks > 0 && n > p.MaxTasks-w.done {
		n = p.MaxTasks - w.done
	}
	return n - len(w.held)
}

// mayGo reports whether a task could be handed out now, to somebody.
func (d *day) mayGo(m *fakeTask) bool {
	l := m.lane.Lane
	return m.where == inLine && !d.halted && d.paused[""] == 0 && d.paused[l.Queue] == 0 && d.keyFree(m) &&
		d.unthrottled(m)
}

func (m *fakeTask) mayHave(w *fakeWorker) bool {
	return !slices.Contains(m.waits, w) && (m.lane.bucket == 0 || m.lane.home == w.slot.id)
}

// home returns the slot that a sticky task goes to, or 0.
func (d *day) home(m *fakeTask) (home Slot) {
	l := m.lane.Lane
	draw := func(which func(s *fakeSlot, w *fakeWorker, takes bool) bool) {
		var most uint64
		for _, s := range d.slots {
			w, took := s.life, s.kind == nil || slices.Contains(s.kind, l.Type)
			if !slices.Contains(s.pool.Queues, l.Queue) || w != nil && slices.Contains(m.waits, w) || !which(s, w, took) {
				continue
			}
			n := BucketOf(m.key()).Draw(s.pool.Seed, s.index)
			if home == 0 || n > most || n == most && s.id < home {
				home, most = s.id, n
			}
		}
	}
	comes := func(s *fakeSlot, w *fakeWorker) bool {
		return !s.out && !s.gone && (w == nil || w.retiring && !s.last)
	}
	for _, which := range []func(s *fakeSlot, w *fakeWorker, takes bool) bool{
		func(s *fakeSlot, w *fakeWorker, takes bool) bool {
			return takes && (comes(s, w) || w != nil && !w.retiring && !s.out && !s.last)
		},
		func(s *fakeSlot, w *fakeWorker, _ bool) bool { return comes(s, w) },
		func(s *fakeSlot, w *fakeWorker, takes bool) bool { return takes && w != nil && !w.retiring && !s.out },
		func(s *fakeSlot, w *fakeWorker, takes bool) bool { return takes && w != nil && !w.retiring },
	} {
		if draw(which); home != 0 {
			return home
		}
	}
	return 0
}

// goesBefore reports whether a task stands before another one of its lane.
func (m *fakeTask) goesBefore(o *fakeTask) bool {
	if mf, of := m.front, o.front; mf != of {
		return mf
	}
	if m.front {
		return m.id < o.id
	}
	return m.serial < o.serial
}

// lineUp notes that a task waits for a worker from now on.
func (d *day) lineUp(m *fakeTask, been bool) {
	d.serial++
	m.where, m.serial, m.been = inLine, d.serial, m.been || been
}

// assigned checks that a task goes to a worker that may have it, and before all others that may.
func (d *day) assigned(m *fakeTask, w *fakeWorker, e *Effect) {
	l := m.lane.Lane
	var types []string
	if e.N != 0 {
		i := slices.IndexFunc(w.fetching, func(f *fakeFetch) bool { return uint64(f.id) == e.N })
		if i < 0 {
			d.wrong("%v answers a request that %d has not made", m, w.id)
		}
		types = w.fetching[i].types
		w.fetching = slices.Delete(w.fetching, i, i+1)
	}
	pulled := e.N != 0
	switch {
	case !d.mayGo(m):
		d.wrong("%v may not go out", m)
	case !w.sound() || !w.takes(l, pulled) || !m.mayHave(w) || pulled && !slices.Contains(types, l.Type):
		d.wrong("worker %d must not get %v", w.id, m)
	case !pulled && w.room() < 1:
		d.wrong("worker %d has no room for %v", w.id, m)
	case m.Attempt() != m.counted+1:
		d.wrong("%v begins attempt %d after %d", m, m.Attempt(), m.counted)
	case e.First != (len(w.held) == 0):
		d.wrong("worker %d has %d tasks before %v", w.id, len(w.held), m)
	}
	for _, o := range d.tasks {
		if o == m || o.where != inLine {
			continue
		}
		sameLine := o.lane == m.lane && o.key() == m.key() && m.key() != ""
		if sameLine && !o.been && !m.been && o.serial < m.serial {
			d.wrong("%v overtakes %v, which has its key and its lane", m, o)
		}
		if o.state == parked || !d.mustGo(o) || !o.mayHave(w) || !w.takes(o.lane.Lane, pulled) ||
			pulled && !slices.Contains(types, o.lane.Type) {
			continue
		}
		if o.lane == m.lane {
			if o.goesBefore(m) {
				d.wrong("%v goes before %v of its lane", m, o)
			}
			continue
		}
		if o.lane.Priority > m.lane.Priority {
			d.wrong("%v goes before %v, which has a higher priority", m, o)
		}
		if o.lane.Priority == m.lane.Priority && o.id < m.id && !d.isBehind(o, m.id) {
			d.wrong("%v goes before %v, which is older", m, o)
		}
	}
	d.goesThrough(m)
	m.where, m.worker, m.begun, m.recalled, m.cutBy, m.been, m.pulled = out, w, false, false, false, true, pulled
	m.doom, m.dumped = Done, false
	w.held = append(w.held, m)
	w.inbox = append(w.inbox, frame{Assign, m, FetchID(e.N)})
}

// isBehind reports whether a task stands behind one of its lane that is younger than a number.
func (d *day) isBehind(m *fakeTask, id ID) bool {
	for _, o := range d.tasks {
		if o.where == inLine && o.lane == m.lane && o.goesBefore(m) && o.id > id {
			return true
		}
	}
	return false
}

// comesBack takes a task from its worker, in the books of the model.
func (d *day) comesBack(m *fakeTask) {
	w := m.worker
	if w == nil {
		return
	}
	w.held = slices.DeleteFunc(w.held, func(o *fakeTask) bool { return o == m })
	w.waiting = slices.DeleteFunc(w.waiting, func(o *fakeTask) bool { return o == m })
	w.active = slices.DeleteFunc(w.active, func(o *fakeTask) bool { return o == m })
	m.worker, m.begun, m.doom = nil, false, Done
}

// begins notes that a worker has begun with a task.
func (d *day) begins(m *fakeTask) {
	m.begun, m.beganAt = true, d.told
	m.counted++
	m.paidFor = false
	if m.counted > max(1, m.options().Attempts) {
		d.wrong("%v begins for the %dth time", m, m.counted)
	}
	if m.doom != Done {
		m.doomAt = d.told
	}
}

// fate is what an attempt that ends so makes of a task.
type fate struct {
	again    bool
	least    time.Duration
	most     time.Duration
	kind     Kind
	letter   Letter
	endLease LeaseEnd
	expected bool
}

func (d *day) fateOf(m *fakeTask, v Verdict) fate {
	o := m.options()
	on := o.On
	if on == 0 {
		on = Deaths | Timeouts | Errors
	}
	more := m.counted < max(1, o.Attempts)
	worth := v.Kind == Died && on&Deaths != 0 || v.Kind == TimedOut && on&Timeouts != 0 ||
		v.Kind == Failed && on&Errors != 0 && !v.Final
	f := fate{kind: v.Kind, endLease: Remove, expected: true}
	switch {
	case v.Kind == Done || v.Kind == Cancelled:
	case v.Kind == Failed && v.After > 0:
		f.again, f.least, f.most = !d.halted, v.After, v.After
		f.endLease = Keep
	case worth && more:
		pause := 100 * time.Millisecond
		if o.First > 0 {
			pause = o.First
		}
		for range m.counted - 1 {
			pause *= 2
		}
		pause = min(pause, 30*time.Second)
		f.again, f.least, f.most = !d.halted, pause/2, pause
		f.endLease = Keep
	case (worth || m.revived) && o.Attempts > 1:
		f.endLease = GiveUp
		if d.cfg.DeadLimit > 0 {
			f.letter = NewLetter
		}
	}
	if f.letter == NoLetter && f.endLease != GiveUp && !f.again && m.revived && v.Kind != Done &&
		v.Kind != Cancelled && d.cfg.DeadLimit > 0 {
		f.letter = OldLetter
	}
	if f.letter == NoLetter && f.endLease == Remove && m.resumed && v.Kind != Done && v.Kind != Cancelled &&
		d.cfg.DeadLimit > 0 {
		f.letter = NewLetter
	}
	return f
}

// ended checks an outcome.
func (d *day) ended(m *fakeTask, e *Effect, f fate) {
	if m.outcomes++; m.outcomes != 1 {
		d.wrong("%v has %d outcomes", m, m.outcomes)
	}
	v := e.Verdict
	if f.expected && (f.again || f.kind != v.Kind || f.letter != e.Letter) {
		d.wrong("%v has ended with %v (letter %d), and %+v was to be", m, v, e.Letter, f)
	}
	if !f.expected && m.revived && v.Kind != Cancelled && d.cfg.DeadLimit > 0 && e.Letter != OldLetter {
		d.wrong("%v has vanished from the dead letters: %v", m, v)
	}
	lost := m.resumed && v.Kind != Cancelled && v.Kind != Stopped && d.cfg.DeadLimit > 0
	if !f.expected && lost != (m.resumed && e.Letter == NewLetter) {
		d.wrong("%v has ended with %v where nobody waits for it: letter %d", m, v, e.Letter)
	}
	held := m.where == out
	if held && e.Worker != m.worker.id || !held && !f.expected && e.Worker != 0 && v.Kind != Stopped {
		d.wrong("%v was not with worker %d", m, e.Worker)
	}
	m.verdict = v
	d.count(m, v)
	d.comesBack(m)
	m.where = over
	d.tasks = slices.DeleteFunc(d.tasks, func(o *fakeTask) bool { return o == m })
	if e.Letter != NoLetter {
		if len(d.dead) >= d.cfg.DeadLimit {
			d.dead = d.dead[1:]
		}
		d.dead = append(d.dead, m)
	}
}

// count counts an outcome, item by item.
func (d *day) count(m *fakeTask, v Verdict) {
	if m.Items == 0 {
		switch v.Kind {
		case Done:
			d.want.Succeeded++
		case Cancelled, Stopped:
			d.want.Cancelled++
		default:
			d.want.Failed++
		}
		return
	}
	blamed := false
	for i := range m.Items {
		switch {
		case i < v.Items.OK:
			d.want.Succeeded++
		case i < v.Items.OK+v.Items.Failed:
			d.want.Failed++
		case int(i) < v.Items.count():
			d.want.Received--
		case v.Kind == Cancelled || v.Kind == Stopped:
			d.want.Cancelled++
		case v.Kind != Done && !(v.Kept && blamed):
			d.want.Failed++
			blamed = true
		default:
			d.want.Received--
		}
	}
}

// refusal is why a task of a lane is not taken, or Taken.
func (d *day) refusal(l Lane, waits []*fakeWorker, wait bool) RefusalKind {
	var circle, lost bool
	for _, s := range d.slots {
		if s.out || !slices.Contains(s.pool.Queues, l.Queue) {
			continue
		}
		w, took := s.life, s.kind == nil || slices.Contains(s.kind, l.Type)
		switch {
		case w == nil && !s.gone:
			return Taken
		case w == nil:
			lost = lost || took
		case slices.Contains(waits, w):
			circle = circle || took
		case w.retiring && !s.last, !w.retiring && took:
			return Taken
		case w.retiring:
			lost = lost || took
		}
	}
	for _, w := range d.workers { // one whose slot has left the pool takes what it takes until it retires
		if w.slot.out && !w.retiring && !slices.Contains(waits, w) && (w.takes(l, false) || w.takes(l, true)) {
			return Taken
		}
	}
	switch {
	case circle:
		return RefusedCircle
	case lost:
		return RefusedLost
	}
	return RefusedType
}

// full is why a task has to wait for room, or Taken.
func (d *day) full(t *Task) RefusalKind {
	var first *fakeTask
	waiting, bytes := d.load()
	for _, m := range d.tasks {
		if m.where == forRoom && (first == nil || m.serial < first.serial) {
			first = m
		}
	}
	fits := func(t *Task) bool { return bytes == 0 || bytes+t.Size+taskCost+int(t.Saved)<<10 <= d.cfg.LimitBytes }
	if !fits(t) || first != nil && !fits(first.Task) {
		return RefusedBytes
	}
	if t.options().Delay == 0 && (first != nil || waiting >= d.cfg.Limit) {
		return RefusedFull
	}
	return Taken
}

// load counts the tasks that wait, and their bytes.
func (d *day) load() (waiting, bytes int) {
	for _, m := range d.tasks {
		switch m.where {
		case inLine, there:
			waiting++
			bytes += m.Size + taskCost + m.saved<<10
		case forTime:
			bytes += m.Size + taskCost + m.saved<<10
		}
	}
	return waiting, bytes
}

package queue

import "slices"

// carryOut carries out the effects of an event, as main does, and checks them against the model. An
// attempt that ends by the event ends as fates says.
func (d *day) carryOut(fates ...ending) {
	for {
		d.told = d.q.timers.now
		effects := d.q.Effects(d.spare)
		for i := range effects {
			d.apply(&effects[i], fates)
		}
		d.spare = effects
		for _, f := range fates {
			if f.task != nil && f.task.where == out && f.task.worker == nil {
				d.wrong("%v has neither an outcome nor another attempt", f.task)
			}
		}
		fates = nil
		switch {
		case len(d.asked) > 0:
			d.answer()
		case len(d.unsent) > 0:
			m := d.unsent[0]
			d.unsent = d.unsent[1:]
			if m.where == out && !m.begun {
				d.unsend(m)
			}
		case d.atOnce || d.wake <= d.now:
			d.tick()
		case len(d.q.effects) > 0: // of the answers
		default:
			return
		}
	}
}

// ending is a task the attempt of which ends, and how.
type ending struct {
	task *fakeTask
	fate fate
}

// tick tells the time.
func (d *day) tick() {
	d.atOnce = false
	if d.now >= d.wake {
		d.wake = never
	}
	d.pausesEnd()
	var due []*fakeTask
	for _, m := range d.tasks {
		if m.where == forTime && d.store == nil && m.due <= d.now {
			due = append(due, m)
		}
	}
	slices.SortFunc(due, func(a, b *fakeTask) int {
		if a.due != b.due {
			return int(a.due - b.due)
		}
		return int(a.id) - int(b.id)
	})
	for _, m := range due {
		d.lineUp(m, false)
	}
	for _, b := range d.buckets {
		if b.next() <= d.now {
			b.had = max(1, b.had)
		}
	}
	d.q.Tick(d.tell())
	effects := d.q.Effects(nil)
	for i := range effects {
		d.apply(&effects[i], nil)
	}
	d.overdue()
}

// overdue checks that nothing is left whose time has come.
func (d *day) overdue() {
	for _, m := range d.tasks {
		switch {
		case m.where == forTime && d.store == nil && m.due <= d.told:
			d.wrong("%v is due at %v, and it is %v", m, m.due, d.told)
		case m.where != out || !m.begun || m.worker.killed:
		case m.doom == Done:
			if t := m.options().Timeout; t > 0 && m.beganAt+t <= d.told {
				d.wrong("the time of %v is over", m)
			}
		case !m.dumped && m.doomAt+m.Grace()-m.lead() <= d.told:
			d.wrong("%v was to be asked for its stacks", m)
		case m.dumped && m.killAt <= d.told:
			d.wrong("the grace of %v is over", m)
		}
	}
}

// unsend says that a task cannot be sent.
func (d *day) unsend(m *fakeTask) {
	w := m.worker
	i := slices.IndexFunc(w.inbox, func(f frame) bool { return f.kind == Assign && f.task == m })
	if i < 0 || m.doom != Done || m.recalled {
		return // it was sent after all
	}
	f := w.inbox[i]
	w.inbox = slices.Delete(w.inbox, i, i+1)
	if f.id != 0 {
		w.fetching = append(w.fetching, w.fetches[f.id])
	}
	d.did("unsent", m.id)
	d.q.Unsent(w.id, m.id, "large")
	d.carryOut(ending{m, d.fateOf(m, Verdict{Kind: Failed, Final: true}).alone()})
}

// alone is the fate of an attempt that ends the task, whatever its policy is.
func (f fate) alone() fate {
	f.endLease, f.expected = Remove, false
	return f
}

func (d *day) apply(e *Effect, fates []ending) {
	var m *fakeTask
	if e.Task != nil {
		m = e.Task.Data.(*fakeTask)
	}
	var w *fakeWorker
	if e.Worker != 0 {
		w = d.worker(e.Worker)
	}
	var f fate
	for i, x := range fates {
		if x.task == m && m != nil {
			f = x.fate
			if e.Kind == Again { // what follows is about another attempt
				fates[i] = ending{}
			}
		}
	}
	switch e.Kind {
	case Admitted:
		d.admitted(m)
	case Assign:
		d.assigned(m, w, e)
		if d.dice(200) == 0 {
			d.unsent = append(d.unsent, m)
		}
	case Recall:
		if m.where != out || m.worker != w || m.recalled || m.begun && m.Items == 0 {
			d.wrong("%v is recalled", m)
		}
		m.recalled = true
		w.inbox = append(w.inbox, frame{kind: Recall, task: m})
	case Cancel:
		if m.where != out || m.worker != w {
			d.wrong("%v is cancelled on %d", m, e.Worker)
		}
		if m.doom == Done { // nobody has: its time is over
			if t := m.options().Timeout; !m.begun || t == 0 || m.beganAt+t > d.told {
				d.wrong("the time of %v is not over", m)
			}
			m.doom, m.doomAt = TimedOut, d.told
		}
		w.inbox = append(w.inbox, frame{kind: Cancel, task: m})
	case Dump:
		if m.where != out || !m.begun || m.doom == Done || m.dumped || d.told < m.doomAt+m.Grace()-m.lead() {
			d.wrong("%v is asked for stacks", m)
		}
		m.dumped, m.killAt = true, d.told+m.lead()
	case Kill:
		if m.where != out || !m.begun || !m.dumped || d.told < m.killAt {
			d.wrong("%v is killed with its worker", m)
		}
		w.killed = true
	case NoTask:
		i := slices.IndexFunc(w.fetching, func(f *fakeFetch) bool { return uint64(f.id) == e.N })
		if i < 0 {
			d.wrong("worker %d gets no task, and has not asked", w.id)
		}
		w.fetching = slices.Delete(w.fetching, i, i+1)
		w.inbox = append(w.inbox, frame{kind: NoTask, id: FetchID(e.N)})
	case Retired:
		if !w.retiring || len(w.held) > 0 {
			d.wrong("worker %d is retired and has %d tasks", w.id, len(w.held))
		}
		w.retired = true
	case Shrunk, Takers:
	case Again:
		if f.expected && (!f.again || e.After < f.least || e.After > f.most) || m.where != out {
			d.wrong("%v is attempted again after %v, and %+v was to be", m, e.After, f)
		}
		if e.Verdict.After > 0 && e.Verdict.Kind == Failed {
			m.counted--
		}
		d.comesBack(m)
		switch {
		case d.store != nil && e.After > 0, d.store == nil && e.After > 0:
			m.where, m.due = forTime, after(d.told, e.After)
		case d.store != nil:
			m.where = there
		default:
			d.lineUp(m, true)
		}
	case Outcome:
		d.ended(m, e, f)
	case Store:
		m.where = there
		if e.After > 0 {
			m.where = forTime
		}
		m.item = &fakeItem{task: m, of: m, lane: m.lane.Lane, due: d.now + e.After}
		m.leaseOver = false
		d.store.puts = append(d.store.puts, m.item)
	case EndLease:
		d.store.endLease(m, e)
	case Draw:
		*d.store.credit(*e.Lane) += int(e.N)
	case DrawLess:
		credit := d.store.credit(*e.Lane)
		if *credit -= int(e.N); *credit < 0 {
			d.wrong("%d tasks of %v are drawn less than were drawn", -*credit, *e.Lane)
		}
	case Try:
		i := slices.IndexFunc(w.fetching, func(f *fakeFetch) bool { return uint64(f.id) == e.N })
		if i < 0 || w.fetching[i].wait || !w.takes(*e.Lane, true) || d.paused[""] != 0 || d.paused[e.Lane.Queue] != 0 {
			d.wrong("%v is tried for worker %d", *e.Lane, w.id)
		}
		d.store.tries = append(d.store.tries, fakeTry{w.id, FetchID(e.N), *e.Lane})
	case DrawNoMore:
		*d.store.credit(*e.Lane) = 0
	case Wake:
		if e.At == 0 {
			d.atOnce = true
		} else {
			d.wake = e.At
		}
	case Token:
		d.token(m, e)
	case Idle:
		if len(d.tasks) > 0 {
			d.wrong("%d tasks are left, and it is idle", len(d.tasks))
		}
	default:
		d.wrong("what is effect %d", e.Kind)
	}
}

// admitted notes that the queue has a task.
func (d *day) admitted(m *fakeTask) {
	if d.store != nil {
		return
	}
	if m.where != forRoom {
		d.wrong("%v is admitted", m)
	}
	for _, o := range d.tasks {
		if o.where == forRoom && o.serial < m.serial && (m.options().Delay == 0 || m.revived) {
			d.wrong("%v is admitted before %v", m, o)
		}
	}
	if m.options().Delay > 0 && !m.revived && m.due > d.told {
		m.where = forTime
		return
	}
	d.lineUp(m, false)
}

// worker returns a life that is there.
func (d *day) worker(id Worker) *fakeWorker {
	for _, w := range d.workers {
		if w.id == id {
			return w
		}
	}
	d.wrong("worker %d is gone", id)
	return nil
}

// look checks what must be true after every event.
func (d *day) look() {
	var queued, begun int
	keys := [2]*fakeTask{} // who has them, if no throttle says otherwise
	for _, m := range d.tasks {
		if m.where == out && m.begun {
			begun += m.count()
		} else {
			queued += m.count()
		}
		if m.where == out && m.key() != "" && !d.everShared {
			k := &keys[m.key()[0]-'k']
			if *k != nil {
				d.wrong("%v and %v have one key", m, *k)
			}
			*k = m
		}
		d.lookAtTask(m)
		if m.lane.bucket > 0 {
			if home := d.home(m); m.lane.home != home {
				d.wrong("%v goes to %v, and %d is its home", m, m.lane.home, home)
			}
		}
	}
	s := d.want
	s.Queued, s.Running = queued, begun
	if got := d.q.Stats(); got != s || s.Received != s.Succeeded+s.Failed+s.Cancelled+s.Queued+s.Running {
		d.wrong("the counts are %+v, and should be %+v", got, s)
	}
	d.lookAtCounts()
	d.lookAtThrottled()
	waiting, bytes := d.load()
	if waiting != d.q.waiting || bytes != d.q.bytes || d.q.live != len(d.tasks) {
		d.wrong("%d tasks of %d bytes wait, and %d of %d are counted", waiting, bytes, d.q.waiting, d.q.bytes)
	}
	d.lookForRoom(waiting, bytes)
	for _, w := range d.workers {
		d.lookAtWorker(w)
	}
	if d.store != nil {
		d.lookAtCredit()
	}
	if next := d.q.timers.next(); d.wake > next || len(d.q.timers.unstamped) > 0 {
		d.wrong("something is to be done at %v, and a Tick is to come at %v", next, d.wake)
	}
	if len(d.dead) != d.q.dead.Len() {
		d.wrong("%d letters are dead, and %d are kept", len(d.dead), d.q.dead.Len())
	}
}

// lookAtCredit checks that no more tasks are on their way from the Backend than workers have room
// for, whoever has asked for them before.
func (d *day) lookAtCredit() {
	for i, l := range d.store.lanes {
		room := 0
		for _, w := range d.workers {
			if !w.sound() || d.halted || d.paused[""] != 0 || d.paused[l.Queue] != 0 {
				continue
			}
			if w.takes(l, false) {
				room += max(0, w.room())
			}
			for _, f := range w.fetching {
				if f.wait && w.takes(l, true) && slices.Contains(f.types, l.Type) {
					room++
				}
			}
		}
		for _, m := range d.tasks {
			if room > 0 && m.where == inLine && m.state == queued && m.lane.laneKey == (laneKey{Lane: l}) {
				room--
			}
		}
		if n := d.store.n[i]; n > room || n < room && len(d.q.throttles) == 0 {
			d.wrong("%d tasks of %v are on their way, and there is room for %d", n, l, room)
		}
	}
}

// lookForNeglected checks that the rules themselves find no task beside a worker that could have it.
func (d *day) lookForNeglected() {
	if t := d.q.Neglected(); t != nil {
		d.wrong("task %d is neglected", t.id)
	}
}

// lookForRoom checks that nobody waits for room that is there.
func (d *day) lookForRoom(waiting, bytes int) {
	var first *fakeTask
	n := 0
	d.lookForNeglected()
	for _, m := range d.tasks {
		if m.where == forRoom {
			n++
			if first == nil || m.serial < first.serial {
				first = m
			}
		}
	}
	if n != d.q.blocked.n || first != nil && d.q.blocked.first != first.Task {
		d.wrong("%d wait for room, and %d are in line", n, d.q.blocked.n)
	}
	if first == nil || d.halted {
		return
	}
	room := bytes == 0 || bytes+first.Size+taskCost+int(first.Saved)<<10 <= d.cfg.LimitBytes
	if room && (waiting < d.cfg.Limit || first.options().Delay > 0 && !first.revived) {
		d.wrong("%v waits for room, and there is some", first)
	}
}

func (d *day) lookAtWorker(w *fakeWorker) {
	for _, f := range w.fetching {
		if !f.wait && !d.store.isTried(w, f) {
			d.wrong("worker %d does not wait, and has no answer to %d", w.id, f.id)
		}
	}
	if len(w.held) != d.q.Held(w.id) {
		d.wrong("worker %d has %d tasks, and %d in the books", w.id, len(w.held), d.q.Held(w.id))
	}
	hit := slices.ContainsFunc(w.held, func(m *fakeTask) bool { return m.begun && m.doom != Done })
	for _, m := range w.held {
		if (hit || w.retiring) && !m.begun && !m.recalled {
			d.wrong("%v stays with worker %d, which is to end, or may be killed", m, w.id)
		}
	}
	if !w.sound() {
		return
	}
	if len(w.held) == 0 && !d.halted {
		d.lookAtIdle(w)
	}
	room := w.room()
	for _, m := range d.tasks {
		if m.where != inLine || !d.mustGo(m) || !m.mayHave(w) {
			continue
		}
		if room > 0 && w.takes(m.lane.Lane, false) {
			d.wrong("%v waits beside worker %d, which has room", m, w.id)
		}
		for _, f := range w.fetching {
			if slices.Contains(f.types, m.lane.Type) && w.takes(m.lane.Lane, true) {
				d.wrong("%v waits beside worker %d, which asks for it", m, w.id)
			}
		}
	}
}

// lookAtIdle checks that a worker with nothing to do gets what others could give it, as soon as
// that is allowed.
func (d *day) lookAtIdle(w *fakeWorker) {
	asked := false // somebody is, to give something back
	for _, v := range d.workers {
		asked = asked || slices.ContainsFunc(v.held, func(m *fakeTask) bool {
			return m.recalled && (!m.begun || m.Items > 0 && !(m.cutBy && m.gaveNone))
		})
	}
	for _, v := range d.workers {
		if v == w || v.lied { // it is about to end
			continue
		}
		for _, m := range v.held {
			if m.recalled || m.doom != Done || !m.mayHave(w) || !w.takes(m.lane.Lane, false) {
				continue
			}
			switch {
			case m.begun && m.Items > 1 && m.beganAt+splitTime <= d.told && !asked:
				d.wrong("%v runs since %v and is not split, and worker %d has nothing to do", m, m.beganAt, w.id)
			case !m.begun && len(v.held) == 1 && m.what != sits && !asked:
				d.wrong("%v may stay with worker %d for ever, and %d has nothing to do", m, v.id, w.id)
			}
		}
	}
}

// lookAtTask compares a task with its model.
func (d *day) lookAtTask(m *fakeTask) {
	is := statesAt[m.where]
	if m.where == out && m.begun {
		is = []state{running}
	}
	if m.where == forTime && d.store == nil && m.state == queued {
		d.wrong("%v is in line before its time", m)
	}
	if !slices.Contains(is, m.state) {
		d.wrong("%v is in state %d, and should be in %v", m, m.state, is)
	}
	if (m.condemned != spared) != (m.where == out && m.doom != Done) {
		d.wrong("%v is condemned by %d, and should be by %v", m, m.condemned, m.doom)
	}
	want := []alarm{unset}
	switch {
	case m.where == forTime && d.store == nil:
		want = []alarm{ripens}
	case m.where == out && !m.begun && m.condemned == spared:
		want = []alarm{unset, sits}
	case m.where == out && m.begun && m.worker.killed:
		want = []alarm{unset, timesOut, dumps, kills}
	case m.where == out && m.begun && m.condemned != spared:
		want = []alarm{dumps, kills}
	case m.where == out && m.begun && m.options().Timeout > 0:
		want = []alarm{timesOut}
	}
	if !slices.Contains(want, m.what) {
		d.wrong("the alarm of %v is for %d, and should be for %v", m, m.what, want)
	}
	if m.where != out && m.where != forRoom {
		var waits []*fakeWorker
		for _, w := range m.waits {
			if slices.Contains(d.workers, w) {
				waits = append(waits, w)
			}
		}
		if why := d.refusal(m.lane.Lane, waits, true); why != Taken {
			d.wrong("%v waits for nobody: %v", m, why)
		}
	}
	if m.state == parked {
		k := d.q.keys[m.key()]
		if line := k.line(m.lane); line.next == nil && k.lets(line.parked.first) {
			d.wrong("%v is parked, and its key is free", m)
		}
	}
}

// statesAt is the states that a task may be in, by where it is.
var statesAt = map[place][]state{
	forRoom: {blocked}, forTime: {delayed}, there: {stored}, inLine: {queued, parked}, out: {assigned},
}

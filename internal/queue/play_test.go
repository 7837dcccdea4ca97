package queue

import (
	"slices"
	"strings"
	"time"
)

// play has something happen, and looks whether all is as it must be.
func (d *day) play(liars bool) {
	w := d.someone()
	switch n := d.dice(100); {
	case n < 24:
		d.submit(w, liars)
	case n < 29:
		d.cancel()
	case n < 34:
		d.enter()
	case n < 40:
		d.passTime()
	case n < 41:
		d.pause([]string{"x", "y", ""}[d.dice(3)], true)
	case n < 43:
		d.pause([]string{"x", "y", ""}[d.dice(3)], false)
	case n < 44:
		d.pauseUntil([]string{"x", "y", ""}[d.dice(3)])
	case n < 45:
		d.cancelPending([]string{"x", "y", ""}[d.dice(3)])
	case n < 46:
		d.retryDead()
	case n < 47:
		d.resize()
	case n < 48:
		d.throttle()
	case n < 54 && d.store != nil:
		d.store.step(true)
	case w == nil:
		d.enter()
	case w.lied || w.killed || w.retired:
		d.leave(w)
	case n < 66:
		d.hear(w)
	case n < 90:
		d.work(w)
	case n < 92:
		d.leave(w)
	case n < 93:
		d.retire(w)
	case n < 97:
		d.ask(w, false)
	case liars:
		d.lie(w)
	}
	d.look()
}

// someone returns a worker, or nil.
func (d *day) someone() *fakeWorker {
	if len(d.workers) == 0 {
		return nil
	}
	return d.workers[d.dice(len(d.workers))]
}

func (d *day) submit(by *fakeWorker, liars bool) {
	l := Lane{Queue: []string{"x", "x", "y"}[d.dice(3)], Type: dayTypes[d.dice(len(dayTypes))]}
	l.Priority = Priority(d.dice(3) - 1)
	t := &Task{Size: d.dice(3000), Options: d.options[d.dice(len(d.options))]}
	m := &fakeTask{Task: t}
	t.Data = m
	lie := Honest
	var waiting []Slot
	if by != nil && !by.lied && d.dice(3) == 0 {
		by.lastTask++
		t.From, t.Number = Submitter(by.id), by.lastTask
		if liars && d.dice(40) == 0 && (by.lastTask > 1 || d.dice(2) == 0) {
			t.Number = by.lastTask - 1
			if t.Number == 0 || d.q.Submitted(t.From, t.Number) != nil {
				lie = NumberUsed
			}
			by.lastTask--
		}
		if d.dice(2) == 0 {
			waiting = append(waiting, by.slot.id)
		}
		if other := d.someone(); d.dice(4) == 0 {
			waiting = append(waiting, other.slot.id)
		}
	} else if d.dice(8) == 0 {
		t.Items = int32(1 + d.dice(6))
		if d.dice(4) > 0 {
			t.Options = nil
		}
	}
	if d.dice(6) == 0 { // the old version of the program has accepted it, and may have begun with it
		m.counted, m.resumed = d.dice(max(1, t.options().Attempts)), true
		t.Resume(m.counted)
	}
	for _, s := range d.slots {
		if slices.Contains(waiting, s.id) && !s.out && s.life != nil && slices.Contains(s.pool.Queues, l.Queue) {
			m.waits = append(m.waits, s.life)
		}
	}
	wait := d.dice(3) > 0
	want := d.refusal(l, m.waits, wait)
	full := d.full(t)
	if want == Taken && !wait {
		want = full
	}
	if d.drain || d.halted {
		want, lie = RefusedStop, Honest
	}
	if lie != Honest {
		want = Taken
	}
	d.did("submit", l, waiting, wait, t.Options)
	d.serial++
	m.where, m.serial = forRoom, d.serial
	m.due = after(d.now, t.options().Delay)
	now := Time(0)
	if t.options().Delay > 0 && want == Taken && lie == Honest {
		now = d.tell()
	}
	r, told := d.q.Submit(t, l, waiting, wait, now)
	if r.Kind != want || told.Kind != lie {
		d.wrong("the task of %v is refused with %v, and should be with %v; lies %v %v", l, r.Kind, want, told.Kind, lie)
	}
	if told.Told() {
		by.lied = true
	}
	if r.Refused() || told.Told() {
		return
	}
	d.tasks = append(d.tasks, m)
	d.want.Received += t.count()
	d.carryOut()
	if full == Taken && m.where == forRoom {
		d.wrong("%v waits for room, and there was some", m)
	}
}

func (d *day) someTask() *fakeTask {
	if len(d.tasks) == 0 {
		return nil
	}
	return d.tasks[d.dice(len(d.tasks))]
}

func (d *day) cancel() {
	m := d.someTask()
	if m == nil || m.foreign {
		return
	}
	kind, circle := Cancelled, d.dice(6) == 0
	if circle {
		kind = Cycle
	}
	d.did("cancel", m.id, kind)
	before := m.where
	if before == out && (m.doom == Done && (!circle || !m.begun) || !circle && m.doom != Done) {
		if m.doom == Done {
			m.doomAt = d.now
		}
		m.doom = kind
	}
	switch {
	case d.dice(8) == 0 && before == forRoom:
		if !d.q.Withdraw(m.Task) {
			d.wrong("%v cannot be withdrawn", m)
		}
		kind = Cancelled
	case circle:
		d.q.Refuse(m.Task, d.tell())
	default:
		d.q.Cancel(m.Task, d.dice(2) == 0, d.tell())
	}
	d.carryOut()
	if before != out && (m.where != over || m.verdict.Kind != kind) {
		d.wrong("%v was cancelled, and has ended with %v", m, m.verdict)
	}
}

func (d *day) enter() {
	var free []*fakeSlot
	for _, s := range d.slots {
		relieved := s.life != nil && s.life.killed && !s.out && !s.last // its next life need not wait for its end
		if relieved || s.life == nil && !s.gone && (!s.out && !s.last || s.out && !s.born) {
			free = append(free, s)
		}
	}
	if len(free) == 0 || d.halted && d.dice(4) > 0 {
		return
	}
	s := free[d.dice(len(free))]
	d.retired++
	w := &fakeWorker{id: Worker(d.retired), slot: s, fetches: map[FetchID]*fakeFetch{}}
	for i, typ := range dayTypes {
		if d.dice(3) > 0 && i < 3 {
			w.handles = append(w.handles, typ)
		} else if d.dice(3) == 0 && i >= 3 {
			w.pulls = append(w.pulls, typ)
		}
	}
	d.born(w)
}

// born has a worker become ready.
func (d *day) born(w *fakeWorker) {
	s := w.slot
	if s.life != nil {
		s.life.retiring = true
	}
	s.life, s.kind = w, append(append([]string{}, w.handles...), w.pulls...)
	if s.out { // it was on its way when its slot was taken away
		s.born, w.retiring = true, true
	}
	d.workers = append(d.workers, w)
	d.did("enter", w.id, w.handles, w.pulls)
	if lie := d.q.Enter(w.id, s.id, w.handles, w.pulls); lie.Told() {
		d.wrong("worker %d is accused of %v", w.id, lie.Kind)
	}
	d.carryOut()
}

func (d *day) passTime() {
	d.did("time", d.now)
	if d.wake < never && d.dice(2) == 0 {
		d.now = max(d.now, d.wake)
	} else {
		d.now += time.Duration(d.dice(1 << uint(10+d.dice(20))))
	}
	switch {
	case d.wake <= d.now:
		d.tick()
		d.carryOut()
	case d.dice(4) == 0:
		d.tick() // a Tick that nobody has asked for
		d.carryOut()
	}
}

func (d *day) pause(queue string, on bool) {
	d.did("pause", queue, on)
	switch {
	case on:
		d.paused[queue] = never
	case queue == "":
		clear(d.paused)
	default:
		delete(d.paused, queue)
	}
	d.q.Pause(queue, on)
	d.carryOut()
	d.pausedRecalled(queue, on)
}

// pauseUntil pauses a queue up to a moment, which may have passed.
func (d *day) pauseUntil(queue string) {
	until := max(1, d.now+time.Duration(d.dice(1<<uint(10+d.dice(20))))-time.Duration(d.dice(2)*d.dice(1<<12)))
	d.did("pauseUntil", queue, until)
	d.paused[queue] = until
	if until <= d.now {
		d.pausesEnd()
	}
	d.told = d.now
	d.q.PauseUntil(queue, until, d.now)
	d.carryOut()
	d.pausedRecalled(queue, d.paused[queue] != 0)
}

// pausesEnd ends the pauses the end of which has come.
func (d *day) pausesEnd() {
	for queue, until := range d.paused {
		if until <= d.now {
			delete(d.paused, queue)
		}
	}
}

// pausedRecalled looks whether what is paused was recalled.
func (d *day) pausedRecalled(queue string, on bool) {
	for _, m := range d.tasks {
		if on && m.where == out && !m.begun && !m.recalled && (queue == "" || queue == m.lane.Queue) {
			d.wrong("%v is paused, and not recalled", m)
		}
	}
}

func (d *day) cancelPending(queue string) {
	d.did("cancelPending", queue)
	var all []*fakeTask
	count := 0
	for _, m := range d.tasks {
		if m.where != out && (queue == "" || queue == m.lane.Queue) {
			all = append(all, m)
			count += max(1, int(m.Items))
		}
	}
	if n := d.q.CancelPending(queue); n != count {
		d.wrong("%d were cancelled, of %d", n, count)
	}
	d.carryOut()
	for _, m := range all {
		if m.where != over || m.verdict.Kind != Cancelled {
			d.wrong("%v was not cancelled", m)
		}
	}
}

func (d *day) retryDead() {
	var ids []ID
	if len(d.dead) > 0 && d.dice(2) == 0 {
		ids = append(ids, d.dead[d.dice(len(d.dead))].id)
	}
	if d.dice(8) == 0 {
		n := 0
		d.dead = slices.DeleteFunc(d.dead, func(m *fakeTask) bool {
			is := len(ids) == 0 || m.id == ids[0]
			if is {
				n++
			}
			return is
		})
		d.did("dropDead", ids)
		if got := d.q.DropDead(ids); got != n {
			d.wrong("%d dead letters were dropped, of %d", got, n)
		}
		return
	}
	d.did("retryDead", ids)
	refused := map[ID]bool{}
	d.q.RetryDead(ids, func(t *Task, why Refusal) {
		m := t.Data.(*fakeTask)
		want := d.refusal(m.lane.Lane, nil, true)
		if d.drain || d.halted {
			want = RefusedStop
		}
		if why.Kind != want || want == Taken {
			d.wrong("dead %v stays so since %v, and should since %v", m, why.Kind, want)
		}
		refused[m.id] = true
	})
	var dead []*fakeTask
	for _, m := range d.dead {
		if refused[m.id] || len(ids) > 0 && m.id != ids[0] {
			dead = append(dead, m)
			continue
		}
		d.serial++
		m.where, m.serial, m.outcomes, m.counted, m.revived, m.been = forRoom, d.serial, 0, 0, true, false
		m.paidFor = false
		m.foreign, m.resumed, m.waits, m.leaseOver = false, false, nil, false
		d.tasks = append(d.tasks, m)
		d.want.Received += m.count()
	}
	d.dead = dead
	d.carryOut()
}

// resize changes which slots there are.
func (d *day) resize() {
	switch s := d.slots[d.dice(len(d.slots))]; d.dice(4) {
	case 0:
		if len(d.slots) < 12 {
			d.did("add slot")
			d.addSlot(d.pools[d.dice(len(d.pools))])
		}
	case 1:
		if !s.out {
			d.did("remove", s.id)
			s.out, s.last, s.born = true, true, s.life != nil
			d.q.Remove(s.id)
			d.carryOut()
		}
	case 2:
		if s.life != nil && !s.last {
			d.did("last", s.id)
			s.last = true
			d.q.Last(s.id)
			d.carryOut()
		}
	default:
		if s.life == nil && !s.gone {
			d.did("gone", s.id)
			s.gone = true
			d.q.Gone(s.id, "it is not replaced")
			d.carryOut()
		}
	}
}

func (d *day) retire(w *fakeWorker) {
	d.did("retire", w.id)
	w.retiring = true
	if !d.q.Retire(w.id) {
		d.wrong("worker %d cannot be retired", w.id)
	}
	d.carryOut()
}

// leave ends a life.
func (d *day) leave(w *fakeWorker) {
	d.did("leave", w.id)
	death := Death{Cause: "dead"}
	begun := false
	var fates []ending
	held := slices.Clone(w.held)
	slices.SortFunc(held, func(a, b *fakeTask) int { return int(a.id) - int(b.id) })
	if len(held) > 0 && d.dice(2) == 0 { // its black box has what it said last
		if m := held[d.dice(len(held))]; !m.begun && d.dice(3) == 0 {
			d.told = d.now
			d.begins(m)
			d.q.Recovered(w.id, m.id, d.now)
			d.carryOut()
		} else if m.begun && m.Items > 0 {
			n := d.dice(int(m.Items) + 1)
			death.Unfinished, death.Items = m.id, Tally{OK: int32(n)}
		}
	}
	held = slices.Clone(w.held)
	slices.SortFunc(held, func(a, b *fakeTask) int { return int(a.id) - int(b.id) })
	d.workers = slices.DeleteFunc(d.workers, func(o *fakeWorker) bool { return o == w })
	if w.slot.life == w {
		w.slot.life = nil
	}
	w.fetching = nil
	for _, m := range held {
		v := Verdict{Kind: Died}
		if m.doom != Done {
			v.Kind = m.doom
		}
		switch {
		case m.begun || m.doom != Done:
			begun = begun || m.begun
			fates = append(fates, ending{m, d.fateOf(m, v)})
		case !d.halted:
			d.comesBack(m)
			d.lineUp(m, true)
		}
	}
	w.retiring = true // it gets nothing more
	d.workers = append(d.workers, w)
	if blamed := d.q.Leave(w.id, death, d.tell()); blamed != begun {
		d.wrong("worker %d was at work: %v, and is to blame: %v", w.id, begun, blamed)
	}
	w.held = slices.DeleteFunc(w.held, func(*fakeTask) bool { return false })
	d.carryOut(fates...)
	d.workers = slices.DeleteFunc(d.workers, func(o *fakeWorker) bool { return o == w })
	if w.slot.last && !w.slot.out && !w.slot.gone && w.slot.life == nil { // nobody comes after it
		d.did("gone", w.slot.id)
		w.slot.gone = true
		d.q.Gone(w.slot.id, "it was the last")
		d.carryOut()
	}
}

// ask asks for a task: of all types that the worker asks for at all, or of some.
func (d *day) ask(w *fakeWorker, all bool) {
	if len(w.fetches) > 0 && d.dice(3) == 0 {
		for _, id := range sortedKeys(w.fetches) {
			d.did("cancelFetch", w.id, id)
			d.q.CancelFetch(w.id, id)
			d.carryOut()
			return
		}
	}
	if len(w.pulls) == 0 {
		return
	}
	w.lastFetch++
	types := w.pulls
	if !all {
		types = w.pulls[d.dice(len(w.pulls)):]
	}
	wait := d.dice(3) > 0
	f := &fakeFetch{id: w.lastFetch, types: types, wait: wait}
	w.fetches[f.id] = f
	w.fetching = append(w.fetching, f)
	d.did("ask", w.id, f.id, types, wait)
	lie := d.q.Fetch(w.id, f.id, strings.SplitSeq(strings.Join(types, ","), ","), wait)
	if lie.Told() {
		d.wrong("worker %d is accused of %v", w.id, lie.Kind)
	}
	d.carryOut()
}

func sortedKeys(m map[FetchID]*fakeFetch) []FetchID {
	var keys []FetchID
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

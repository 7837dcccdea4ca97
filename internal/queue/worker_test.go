package queue

import (
	"slices"
	"time"
)

// hear has a worker read the next frame that it has been sent.
func (d *day) hear(w *fakeWorker) bool {
	if len(w.inbox) == 0 {
		return false
	}
	f := w.inbox[0]
	w.inbox = w.inbox[1:]
	switch m := f.task; f.kind {
	case Assign:
		delete(w.fetches, f.id)
		if m.worker == w {
			w.waiting = append(w.waiting, m)
		}
	case NoTask:
		delete(w.fetches, f.id)
	case Recall:
		switch {
		case slices.Contains(w.waiting, m) && !m.pulled:
			d.returned(w, m)
		case slices.Contains(w.active, m) && m.Items > 0:
			d.split(w, m, uint64(1+d.dice(int(m.Items))))
		}
	case Cancel:
		if slices.Contains(w.waiting, m) && !m.pulled {
			d.end(w, m, Verdict{Kind: Cancelled})
		}
	}
	return true
}

// work has a worker begin with a task, or end one.
func (d *day) work(w *fakeWorker) {
	lone := func(m *fakeTask) bool { return !m.pulled }
	i := slices.IndexFunc(w.waiting, func(m *fakeTask) bool { return m.pulled })
	if i < 0 && !slices.ContainsFunc(w.active, lone) && len(w.waiting) > 0 {
		i = 0
	}
	switch {
	case i >= 0:
		m := w.waiting[i]
		w.waiting = slices.Delete(w.waiting, i, i+1)
		w.active = append(w.active, m)
		d.begin(w, m)
	case len(w.active) > 0 && d.dice(4) == 0:
		d.checkpoint(w, w.active[d.dice(len(w.active))])
	case len(w.active) > 0:
		d.end(w, w.active[d.dice(len(w.active))], d.someVerdict(w.active[0]))
	default:
		d.hear(w)
	}
}

// someVerdict is how an attempt ends.
func (d *day) someVerdict(m *fakeTask) Verdict {
	switch d.dice(8) {
	case 0:
		return Verdict{Kind: Failed, Cause: "no"}
	case 1:
		return Verdict{Kind: Failed, Final: true}
	case 2:
		return Verdict{Kind: Failed, After: time.Duration(1 + d.dice(1000))}
	case 3:
		return Verdict{Kind: Cancelled}
	}
	return Verdict{Late: d.dice(10) == 0}
}

func (d *day) begin(w *fakeWorker, m *fakeTask) {
	want := d.beganLie(w, m.id)
	d.did("begin", w.id, m.id)
	now := d.tell()
	if want == Honest {
		d.begins(m)
	}
	d.judged(w, d.q.Began(w.id, m.id, now), want)
}

// judged checks what the queue has made of a word of a worker.
func (d *day) judged(w *fakeWorker, lie Lie, want LieKind, fates ...ending) {
	if lie.Kind != want {
		d.wrong("worker %d is accused of %v, and should be of %v", w.id, lie.Kind, want)
	}
	w.lied = w.lied || lie.Told()
	d.carryOut(fates...)
}

// has returns a task that a worker has, or nil.
func (w *fakeWorker) has(id ID) *fakeTask {
	for _, m := range w.held {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (d *day) beganLie(w *fakeWorker, id ID) LieKind {
	switch m := w.has(id); {
	case m == nil:
		return NotHeld
	case m.begun:
		return BegunTwice
	}
	return Honest
}

func (d *day) end(w *fakeWorker, m *fakeTask, v Verdict) {
	if m.Items > 0 && v.Kind == Done {
		v.Batch = true
		n := int32(1 + d.dice(int(m.Items)))
		v.Items = Tally{OK: n}
		if n > 1 && d.dice(3) == 0 {
			v.Items = Tally{OK: n - 1, Later: 1}
		}
	}
	d.says(w, m, v)
}

// says has a worker say how a task has ended, be it a lie or not.
func (d *day) says(w *fakeWorker, m *fakeTask, v Verdict) {
	d.did("end", w.id, m.id, v)
	held := w.has(m.id)
	want := d.endedLie(held, v)
	now := d.tell()
	if want != Honest {
		if want == NotBegun && !held.begun {
			d.begins(held)
		}
		d.judged(w, d.q.Ended(w.id, m.id, v, now), want)
		return
	}
	if w.killed && m.doom != Done {
		d.judged(w, d.q.Ended(w.id, m.id, v, now), Honest)
		if m.where != out {
			d.wrong("%v has ended, and its worker was being killed for it", m)
		}
		return
	}
	if m.begun {
		if took := now - m.beganAt; w.took == 0 {
			w.took = took
		} else {
			w.took += (took - w.took) / 8
		}
	}
	w.done += m.count()
	w.batches = m.Items > 1
	w.retiring = w.retiring || w.slot.pool.MaxTasks > 0 && w.done >= w.slot.pool.MaxTasks
	f := v
	if m.doom != Done {
		f = Verdict{Kind: m.doom}
	} else if v.Late && m.options().Timeout > 0 {
		f = Verdict{Kind: TimedOut}
	}
	fate := ending{m, d.fateOf(m, f)}
	w.waiting = slices.DeleteFunc(w.waiting, func(o *fakeTask) bool { return o == m })
	d.judged(w, d.q.Ended(w.id, m.id, v, now), want, fate)
	if m.where == over && m.outcomes == 1 && f.Kind == Done && m.verdict.Items != v.Items {
		d.wrong("the outcomes of %v are %v, and were %v", m, m.verdict.Items, v.Items)
	}
}

func (d *day) endedLie(m *fakeTask, v Verdict) LieKind {
	switch {
	case m == nil:
		return NotHeld
	case !m.begun && !(m.doom != Done && v.Kind == Cancelled):
		return NotBegun
	case v.Kind != Done:
		return Honest
	case v.Batch != (m.Items > 0):
		return NotABatch
	case v.Batch && v.Items.count() == 0:
		return NoOutcomes
	case v.Batch && v.Items.count() > int(m.Items):
		return TooMany
	}
	return Honest
}

func (d *day) returned(w *fakeWorker, m *fakeTask) {
	d.did("returned", w.id, m.id)
	held := w.has(m.id)
	want := Honest
	switch {
	case held == nil:
		want = NotHeld
	case held.begun:
		want = ReturnedBegun
	case !held.recalled:
		want = NotRecalled
	}
	var fates []ending
	switch {
	case want != Honest:
	case m.doom != Done:
		fates = append(fates, ending{m, d.fateOf(m, Verdict{Kind: m.doom})})
	case !d.halted:
		d.comesBack(m)
		d.lineUp(m, true)
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(o *fakeTask) bool { return o == m })
	d.judged(w, d.q.Returned(w.id, m.id), want, fates...)
}

// checkpoint has a worker say how far a task has got, be it a lie or not.
func (d *day) checkpoint(w *fakeWorker, m *fakeTask) {
	size := d.dice(1 << 16)
	d.did("checkpoint", w.id, m.id, size)
	want, keep := Honest, false
	switch held := w.has(m.id); {
	case held == nil:
		want = NotHeld
	case !held.begun:
		want = SavedEarly
	default:
		if keep = held.Items <= 1; keep {
			held.saved = (size + 1023) / 1024
		}
	}
	kept, lie := d.q.Checkpoint(w.id, m.id, size)
	if (kept == m.Task) != keep || kept != nil && !keep || int(m.Saved) != m.saved {
		d.wrong("the checkpoint of %v is kept: %v, with %d KiB", m, kept != nil, m.Saved)
	}
	d.judged(w, lie, want)
}

func (d *day) split(w *fakeWorker, m *fakeTask, from uint64) {
	d.did("split", w.id, m.id, from)
	held := w.has(m.id)
	want, before := Honest, m.Items
	switch {
	case held == nil:
		want = NotHeld
	case !held.begun || held.Items == 0 || !held.recalled:
		want = NotRecalled
	case held.cutBy:
		want = SplitTwice
	case from == 0 || from > uint64(held.Items):
		want = SplitBeyond
	default:
		held.cutBy, held.gaveNone = true, from == uint64(held.Items)
		if held.doom == Done {
			d.want.Received -= int(held.Items) - int(from)
		}
	}
	d.judged(w, d.q.Split(w.id, m.id, from), want)
	if want == Honest && m.doom == Done && m.Items != int32(from) || want != Honest && m.Items != before {
		d.wrong("%v had %d items, was split behind %d, and has %d", m, before, from, m.Items)
	}
}

// lie has a worker say whatever comes to its mind of a task, which may be the truth.
func (d *day) lie(w *fakeWorker) {
	m := d.someTask()
	if len(w.held) > 0 && d.dice(2) == 0 {
		m = w.held[d.dice(len(w.held))]
	}
	if m == nil {
		return
	}
	forget := func() { // an honest one would not go on with it
		w.waiting = slices.DeleteFunc(w.waiting, func(o *fakeTask) bool { return o == m })
	}
	switch d.dice(8) {
	case 6:
		d.checkpoint(w, m)
	case 0:
		if forget(); w.has(m.id) != nil && !slices.Contains(w.active, m) {
			w.active = append(w.active, m)
		}
		d.begin(w, m)
	case 1:
		d.says(w, m, Verdict{Kind: Failed})
	case 2:
		d.says(w, m, Verdict{Batch: d.dice(2) == 0, Items: Tally{OK: int32(d.dice(8))}})
	case 3:
		d.returned(w, m)
	case 4:
		d.split(w, m, uint64(d.dice(8)))
	case 5:
		d.did("undeclared", w.id)
		want := NotDeclared
		if len(w.pulls) == 0 {
			want = AskedForMany
		}
		d.judged(w, d.q.Fetch(w.id, 1<<40, slices.Values([]string{"a"}), true), want)
	default:
		if len(w.fetching) > 0 {
			f := w.fetching[0]
			d.did("asks twice", w.id)
			d.judged(w, d.q.Fetch(w.id, f.id, slices.Values(f.types), true), AskedTwice)
		}
	}
}

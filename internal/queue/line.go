package queue

import "slices"

// This file is the steps that put tasks into lanes and take them out.

// laneOf returns the lane of tasks that some workers wait for, or none, and that are sticky if they
// have a bucket. It makes the lane if need be.
func (q *Queue) laneOf(to Lane, waiters []*worker, of Bucket) *lane {
	if l := q.recent; l != nil && l.Lane == to && len(waiters) == 0 && of == 0 {
		return l
	}
	key := laneKey{Lane: to, waited: namesOf(waiters), bucket: of}
	l := q.byLane[key]
	if l == nil {
		l = &lane{laneKey: key, waiters: waiters, place: len(q.lanes)}
		l.paused = q.isPaused(to.Queue)
		l.queue, l.typ = q.queues.use(to.Queue), q.types.use(to.Type)
		q.byLane[key] = l
		q.lanes = append(q.lanes, l)
		if of > 0 {
			q.sticky++
			l.home = q.homeOf(l)
		}
		q.fit(l)
		for _, k := range q.kinds {
			k.offer(l)
		}
	}
	if len(waiters) == 0 && of == 0 {
		q.recent = l
	}
	return l
}

// namesOf is a text that is the same for the same workers, in order, and for no others.
func namesOf(workers []*worker) string {
	if len(workers) == 0 {
		return ""
	}
	b := make([]byte, 0, 4*len(workers))
	for _, w := range workers {
		b = append(b, byte(w.id), byte(w.id>>8), byte(w.id>>16), byte(w.id>>24))
	}
	return string(b)
}

// dropLane forgets a lane that has no task any more, unless workers take its type, so that it is
// used again.
func (q *Queue) dropLane(l *lane) {
	used := l.total > 0 || len(l.waiters) == 0 && l.bucket == 0 && len(l.offers) > 0
	if used || q.byLane[l.laneKey] != l {
		return
	}
	q.queues.refer(l.queue, func() { l.queue.lanes-- })
	q.types.refer(l.typ, func() { l.typ.lanes-- })
	if l.bucket > 0 {
		q.sticky--
	}
	if l.draws {
		q.emit(Effect{Kind: DrawNoMore, Lane: &l.Lane})
	}
	for _, o := range l.offers {
		o.kind.withdraw(o)
	}
	l.offers, l.draws = nil, false
	q.unfit(l)
	delete(q.byLane, l.laneKey)
	if q.recent == l {
		q.recent = nil
	}
	last := len(q.lanes) - 1
	q.lanes[l.place] = q.lanes[last]
	q.lanes[l.place].place = l.place
	q.lanes[last] = nil
	q.lanes = q.lanes[:last]
}

// changed puts the lane where it belongs, among those that can be handed out, after its first task
// or its being paused or shut may have changed.
func (q *Queue) changed(l *lane) {
	if len(l.all) > 0 {
		l.shut = l.n() > 0 && !l.let(l.first().paid)
	}
	open := l.open()
	for _, o := range l.offers {
		switch p := o.pile(); {
		case p == nil:
		case open && o.place == 0:
			p.push(o)
		case open:
			p.fix(o.place)
		case o.place > 0:
			p.remove(o.place)
		}
	}
	switch {
	case l.stirred == 0:
	case open:
		q.stirred.fix(l.stirred)
	default:
		q.stirred.remove(l.stirred)
	}
}

// lineUp puts a task into its lane: behind all others or, if it is to go before those that have not
// been out yet, among the first, of which the oldest goes first, in whatever order they come.
func (q *Queue) lineUp(t *Task, front bool) {
	l := t.lane
	q.move(t, queued)
	q.reckon() // it may stand in the place of one that was to come
	t.front = front
	if front {
		l.front.push(t)
	} else {
		l.ready.push(t)
	}
	if l.first() == t { // else those before it wait for the same workers
		q.changed(l)
		q.stir(l)
	}
}

// leaveLine takes a task that no worker has out of where it waits.
func (q *Queue) leaveLine(t *Task) {
	l := t.lane
	switch t.state {
	case blocked:
		q.blocked.remove(t)
	case delayed, stored:
		q.timers.drop(t)
		l.later.remove(t)
	case parked:
		q.keys[t.key()].line(l).parked.remove(t)
	case queued:
		first := l.first() == t
		if t.front {
			l.front.remove(int(t.place))
		} else {
			l.ready.remove(t)
		}
		if first {
			q.reconsider(l) // the next one may have a token where this one had none
		}
	}
}

// wait has a task wait in its lane until it is due: delayed, or stored.
func (q *Queue) wait(t *Task, as state) {
	q.move(t, as)
	t.lane.later.push(t)
}

// joinKind makes a worker one of its kind, unless its types are those of a liar.
func (q *Queue) joinKind(w *worker, handles, pulls []string) Lie {
	queues := w.slot.pool.Queues
	key := kindKey(queues, handles, pulls)
	i := slices.IndexFunc(q.kinds, func(k *kind) bool { return k.key == key })
	if i < 0 {
		k, lie := newKind(key, queues, handles, pulls)
		if lie.Told() {
			return lie
		}
		i = len(q.kinds)
		q.kinds = append(q.kinds, k)
		for _, l := range q.lanes {
			k.offer(l)
			q.changed(l)
		}
	}
	w.kind = q.kinds[i]
	w.kind.workers = append(w.kind.workers, w)
	return Lie{}
}

// leaveKind takes a worker out of its kind, which is forgotten with its last worker.
func (q *Queue) leaveKind(w *worker) {
	k := w.kind
	k.workers = slices.DeleteFunc(k.workers, func(o *worker) bool { return o == w })
	if len(k.workers) > 0 {
		return
	}
	q.kinds = slices.DeleteFunc(q.kinds, func(o *kind) bool { return o == k })
	k.work, k.pulled, k.circled = offers{}, nil, nil // who keeps the kind, keeps the types alone
	k.homes = nil
	for _, l := range slices.Backward(q.lanes) { // a lane that is dropped changes places with the last
		l.offers = slices.DeleteFunc(l.offers, func(o *offer) bool { return o.kind == k })
		q.dropLane(l)
	}
}

// fit finds the throttles for a lane.
func (q *Queue) fit(l *lane) {
	l.gates = gates{paused: l.paused}
	for i, h := range q.throttles {
		if l.add(h, l.Lane) {
			q.behind[i] = append(q.behind[i], l)
		}
	}
}

// unfit takes a lane that is forgotten from its throttles.
func (q *Queue) unfit(l *lane) {
	for _, g := range l.all {
		behind := &q.behind[g.of.place]
		*behind = slices.DeleteFunc(*behind, func(o *lane) bool { return o == l })
	}
}

package queue

// laneKey tells lanes apart.
type laneKey struct {
	Lane
	waited string // names the lives of workers that wait for the tasks; "" if none does
	bucket Bucket // of the keys of the tasks, if they are sticky; else 0
}

// lane is the tasks of one type and priority of a queue that may go to the same workers. A task for
// which a worker waits, so that it must go to another one, is in a lane of its own, where it is in
// nobody's way.
type lane struct {
	laneKey
	gates                      // what holds up the tasks
	home    Slot               // that gets the tasks, if they are sticky; 0: nobody takes them
	waiters []*worker          // who waits for the outcome of these tasks, and must not get them
	ready   list               // tasks that may go out and have not been out, in their order
	front   pile[*Task, byAge] // tasks that may go out and have been out, or parked: they go before ready
	later   list               // tasks that are delayed, or stored in a Backend
	lines   []*keyLine         // tasks that are parked, by their keys
	blocked int                // tasks of the lane that wait for room in the queue
	total   int                // tasks of the lane that have not ended, wherever they are
	offers  []*offer           // one for each kind of workers that takes the tasks
	stirred int                // the place in Queue.stirred, from 1; 0: it has no new first task
	place   int                // the place in Queue.lanes, from 0
	drawing
	tallied
}

// drawing is how the tasks of a lane come from a Backend.
type drawing struct {
	draws  bool // tasks are fetched
	drawn  int  // tasks that Draw has asked for and that have not come
	parked int  // tasks that are parked
}

// maxParked is how many tasks of a lane may be parked while more are fetched from a Backend.
const maxParked = 1000

// wants is how many tasks of the lane are to be in it, or on their way from a Backend, for workers
// with so much room.
func (l *lane) wants(room int) int {
	switch {
	case l.parked >= maxParked:
		return 0
	case l.shut: // one is there when the gate opens
		return min(room, 1)
	}
	for _, g := range l.all {
		if g.of.Concurrency > 0 {
			room = min(room, g.of.Concurrency-g.out+1)
		}
	}
	return room
}

// byAge orders tasks by their submission.
type byAge struct{}

func (byAge) before(a, b *Task) bool { return a.id < b.id }
func (byAge) moved(t *Task, to int)  { t.place = int32(to) }

// first returns the task that goes out next, or nil.
func (l *lane) first() *Task {
	if len(l.front.items) > 0 {
		return l.front.items[0]
	}
	return l.ready.first
}

// n is the number of tasks that may go out.
func (l *lane) n() int { return len(l.front.items) + l.ready.n }

// open reports whether the lane has a task that can be handed out.
func (l *lane) open() bool { return l.n() > 0 && !l.paused && !l.shut }

// before reports whether the first task of the lane is to go out before that of another one. Both
// have one.
func (l *lane) before(o *lane) bool {
	if l.Priority != o.Priority {
		return l.Priority > o.Priority
	}
	return l.first().id < o.first().id
}

// isWaitedBy reports whether a worker waits for the tasks of the lane.
func (l *lane) isWaitedBy(w *worker) bool {
	for _, o := range l.waiters {
		if o == w {
			return true
		}
	}
	return false
}

// bars reports whether a worker must not get the tasks of the lane: it waits for them, or another
// one is their home.
func (l *lane) bars(w *worker) bool { return l.bucket > 0 && l.home != w.at() || l.isWaitedBy(w) }

// served reports whether a worker is ready that takes the tasks of the lane, and will be for more
// than the present ones.
func (l *lane) served() bool {
	for _, o := range l.offers {
		for _, w := range o.kind.workers {
			if !w.retiring && !l.isWaitedBy(w) {
				return true
			}
		}
	}
	return false
}

// appendUnheld appends the tasks of the lane that no worker has to others, but those that wait for
// room.
func (l *lane) appendUnheld(tasks []*Task) []*Task {
	tasks = append(l.ready.appendTo(tasks), l.front.items...)
	tasks = l.later.appendTo(tasks)
	for _, line := range l.lines {
		tasks = line.parked.appendTo(tasks)
	}
	return tasks
}

// keyLine is the tasks of one lane and key that are parked: that have come to the front of the lane
// while another task had their key.
type keyLine struct {
	lane   *lane // of all of them
	parked list  // in the order in which they are to go out
	next   *Task // that was the first of parked and is in the front of the lane again; or nil
	place  int   // the place in lane.lines, from 0
}

// offer is a lane as one kind of workers sees it.
type offer struct {
	lane  *lane // that is offered
	kind  *kind // to which it is
	pull  int   // the place of the type in kind.pulls, or given
	alone bool  // only some workers of the kind may have its tasks: it is in kind.circled, and in no pile
	place int   // the place in the pile of the kind, from 1, while the lane has a task to hand out; else 0
}

// given is a place in kind.pulls for a type that is not pulled.
const given = -1

// offers are lanes with tasks that can be handed out, those of the highest priority first and, of
// these, that with the oldest first task.
type offers = pile[*offer, byTurn]

// byTurn orders offers by their lanes.
type byTurn struct{}

func (byTurn) before(a, b *offer) bool { return a.lane.before(b.lane) }
func (byTurn) moved(o *offer, to int)  { o.place = to }

// byStir orders lanes that have a new first task. All of them are open.
type byStir struct{}

func (byStir) before(a, b *lane) bool { return a.before(b) }
func (byStir) moved(l *lane, to int)  { l.stirred = to }

// pile returns the pile that the offer is in while its lane is open, or nil.
func (o *offer) pile() *offers {
	switch {
	case o.alone:
		return nil
	case o.lane.bucket > 0:
		return o.kind.homed(o.lane.home)
	case o.pull == given:
		return &o.kind.work
	}
	return &o.kind.pulled[o.pull]
}

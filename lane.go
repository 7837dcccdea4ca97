package multiprolab

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"github.com/multiprolab/multiprolab/internal/mail"
)

// This file is where jobs wait in main, and how a worker finds the job that it gets next without a
// walk over all of them. All of it is guarded by the broker's mutex.

// jobList is the jobs that wait for one thing, in order. It exists in main. A job is in one list at
// most: who ends a job takes it out of its list at once, and its body with it.
type jobList struct {
	first, last *job
	n           int
}

// push puts a job behind all others.
func (l *jobList) push(j *job) { l.insert(j, nil) }

// insert puts a job before another one of the list, or behind all if that is nil.
func (l *jobList) insert(j, before *job) {
	j.in, j.next = l, before
	if before != nil {
		j.prev, before.prev = before.prev, j
	} else {
		j.prev, l.last = l.last, j
	}
	if j.prev != nil {
		j.prev.next = j
	} else {
		l.first = j
	}
	l.n++
}

// remove takes a job of the list out.
func (l *jobList) remove(j *job) {
	if j.prev != nil {
		j.prev.next = j.next
	} else {
		l.first = j.next
	}
	if j.next != nil {
		j.next.prev = j.prev
	} else {
		l.last = j.prev
	}
	j.in, j.prev, j.next = nil, nil, nil
	l.n--
}

// laneKey is what the jobs of a lane have in common.
type laneKey struct {
	queue, typ string
	priority   Priority
	waiters    string // the lives of workers that wait for them; see broker.waitersOf
}

// lane is the jobs of one type and priority of a queue. It exists in main. All of them may go to
// the same workers: a job for which a worker waits, so that it must go to another one, is in a lane
// of its own, where it is in nobody's way.
type lane struct {
	laneKey
	name    string        // of the queue in a Backend of the user's
	waited  []*taskWorker // who waits for the outcome of these jobs, and must not get them
	jobs    jobList       // that may go out, the next one first
	total   int           // jobs of the lane that have not ended, wherever they are
	paused  bool          // its queue is
	stirred bool          // it is in broker.stirred
	offers  []*offer      // one for each kind of workers that takes its jobs
}

// offer is a lane as one kind of workers sees it. It exists in main.
type offer struct {
	lane *lane
	kind *kind
	pull int     // the place of the lane's type in kind.pulls, or -1 if the workers are given its jobs
	heap *offers // that it is in while the lane has a job to hand out; nil for one that is in kind.circled
	at   int     // its place there, or -1
}

// offers are lanes with jobs that can be handed out, ordered as a heap: of the highest priority the
// one with the oldest first job.
type offers []*offer

func (o offers) Len() int           { return len(o) }
func (o offers) Less(x, y int) bool { return o[x].lane.before(o[y].lane) }
func (o offers) Swap(x, y int)      { o[x], o[y] = o[y], o[x]; o[x].at, o[y].at = x, y }
func (o *offers) Push(v any)        { v.(*offer).at = len(*o); *o = append(*o, v.(*offer)) }
func (o *offers) Pop() any {
	last := len(*o) - 1
	v := (*o)[last]
	(*o)[last], *o = nil, (*o)[:last]
	v.at = -1
	return v
}

// before reports whether the first job of the lane is to go out before that of another one. Both
// have one.
func (l *lane) before(o *lane) bool {
	if l.priority != o.priority {
		return l.priority > o.priority
	}
	return l.jobs.first.id < o.jobs.first.id
}

// isFor reports whether the lane has a job for a worker that takes its type.
func (l *lane) isFor(w *taskWorker) bool { return l.open() && !slices.Contains(l.waited, w) }

// open reports whether the lane has a job that can be handed out.
func (l *lane) open() bool { return l.jobs.n > 0 && !l.paused }

// changed puts the offers of the lane in their order again, after its first job, or its being
// paused, may have changed.
func (l *lane) changed() {
	open := l.open()
	for _, o := range l.offers {
		switch {
		case o.heap == nil:
		case open && o.at < 0:
			heap.Push(o.heap, o)
		case open:
			heap.Fix(o.heap, o.at)
		case o.at >= 0:
			heap.Remove(o.heap, o.at)
		}
	}
}

// kind is the workers that take the same tasks, of the same queues and types: mostly those of one
// pool. It exists in main.
type kind struct {
	key     string
	queues  map[string]bool
	types   map[string]int // the place of a type in pulls, or given
	handles []string       // types of tasks that they are given
	pulls   []string       // types of tasks that they ask for
	workers []*taskWorker  // in the order in which they became ready
	work    offers         // lanes of the types that they are given
	pulled  []offers       // lanes of each of the types that they ask for, as in pulls
	circled []*offer       // lanes that some worker waits for
}

// given is a place in pulls for a type that is not pulled.
const given = -1

// newKind makes a kind without workers, or returns why its types cannot be those of an honest
// worker.
func newKind(key string, queues, handles, pulls []string) (*kind, error) {
	k := &kind{key: key, queues: map[string]bool{}, types: map[string]int{}, handles: handles, pulls: pulls,
		pulled: make([]offers, len(pulls))}
	for _, queue := range queues {
		k.queues[queue] = true
	}
	for _, typ := range handles {
		k.types[typ] = given
	}
	for i, typ := range pulls {
		k.types[typ] = i
	}
	if len(k.types) < len(handles)+len(pulls) {
		return nil, lie("it takes a type of tasks twice")
	}
	return k, nil
}

// kindKey is the same for workers that take the same tasks, and for no others, whatever a worker
// says that its types are.
func kindKey(queues, handles, pulls []string) string {
	return fmt.Sprintf("%q %q %q", queues, handles, pulls)
}

// takes reports whether the workers are given tasks of a type from a queue, or ask for them.
func (k *kind) takes(queue, typ string) bool {
	_, ok := k.types[typ]
	return ok && k.queues[queue]
}

// offer shows a lane to the workers of the kind, if they take its jobs.
func (k *kind) offer(l *lane) {
	if !k.takes(l.queue, l.typ) {
		return
	}
	o := &offer{lane: l, kind: k, pull: k.types[l.typ], at: -1}
	switch {
	case len(l.waited) > 0:
		k.circled = append(k.circled, o)
	case o.pull == given:
		o.heap = &k.work
	default:
		o.heap = &k.pulled[o.pull]
	}
	l.offers = append(l.offers, o)
}

// typeSet is some of the types that the workers of a kind ask for: a bit for the place of each in
// kind.pulls. Nil means all.
type typeSet []uint64

func (s typeSet) has(i int) bool { return s == nil || s[i/64]>>(i%64)&1 != 0 }

// asked returns the types that a request of a worker of the kind names, separated by commas, or why
// it cannot be an honest one.
func (k *kind) asked(names string) (typeSet, error) {
	if n := strings.Count(names, ",") + 1; n > len(k.pulls) { // before memory is taken
		return nil, lie("it asked for a task of one of %d types, and has declared %d in PullTasks", n, len(k.pulls))
	}
	set, n := make(typeSet, (len(k.pulls)+63)/64), 0
	for typ := range strings.SplitSeq(names, ",") {
		i, ok := k.types[typ]
		if !ok || i == given {
			return nil, lie("it asked for a task of type %.50q, which it has not declared in PullTasks", typ)
		}
		if bit := uint64(1) << (i % 64); set[i/64]&bit == 0 {
			set[i/64] |= bit
			n++
		}
	}
	if n == len(k.pulls) {
		return nil, nil
	}
	return set, nil
}

// nextWork returns the lane with the job that a worker of the kind is given next, or nil.
func (k *kind) nextWork(w *taskWorker) *lane {
	var best *lane
	if len(k.work) > 0 {
		best = k.work[0].lane
	}
	for _, o := range k.circled {
		if l := o.lane; o.pull == given && l.isFor(w) && (best == nil || l.before(best)) {
			best = l
		}
	}
	return best
}

// nextPulled returns the lane with the job that a worker of the kind gets next if it asks for some
// types, or nil.
func (k *kind) nextPulled(w *taskWorker, types typeSet) *lane {
	var best *lane
	for i, h := range k.pulled {
		if len(h) > 0 && types.has(i) && (best == nil || h[0].lane.before(best)) {
			best = h[0].lane
		}
	}
	for _, o := range k.circled {
		if l := o.lane; o.pull != given && types.has(o.pull) && l.isFor(w) && (best == nil || l.before(best)) {
			best = l
		}
	}
	return best
}

// lane returns the lane of a job, which it makes if need be.
func (b *broker) lane(key laneKey, waited []*taskWorker) *lane {
	l := b.lanes[key]
	if l == nil {
		l = &lane{laneKey: key, waited: waited, paused: b.isPaused(key.queue)}
		if b.store != nil {
			l.name = fmt.Sprintf("%s/%s/%d", key.queue, key.typ, key.priority)
		}
		b.lanes[key] = l
		for _, k := range b.kinds {
			k.offer(l)
		}
	}
	return l
}

// dropLane forgets a lane that has no job any more, unless workers take its type, so that it is
// used again.
func (b *broker) dropLane(l *lane) {
	if l.total > 0 || len(l.waited) == 0 && len(l.offers) > 0 {
		return
	}
	if b.store != nil && len(l.waited) == 0 {
		b.store.fetchNoMore(l)
	}
	for _, o := range l.offers {
		o.kind.circled = slices.DeleteFunc(o.kind.circled, func(c *offer) bool { return c == o })
	}
	l.offers = nil
	delete(b.lanes, l.laneKey)
}

// joinKind makes a worker one of its kind, unless its types cannot be those of an honest one.
func (b *broker) joinKind(w *taskWorker, queues, handles, pulls []string) error {
	key := kindKey(queues, handles, pulls)
	i := slices.IndexFunc(b.kinds, func(k *kind) bool { return k.key == key })
	if i < 0 {
		k, err := newKind(key, queues, handles, pulls)
		if err != nil {
			return err
		}
		i = len(b.kinds)
		b.kinds = append(b.kinds, k)
		for _, l := range b.lanes {
			k.offer(l)
			l.changed()
		}
	}
	w.kind = b.kinds[i]
	w.kind.workers = append(w.kind.workers, w)
	return nil
}

// leaveKind takes a worker out of its kind, which is forgotten with its last worker.
func (b *broker) leaveKind(w *taskWorker) {
	k := w.kind
	k.workers = slices.DeleteFunc(k.workers, func(o *taskWorker) bool { return o == w })
	if len(k.workers) > 0 {
		return
	}
	b.kinds = slices.DeleteFunc(b.kinds, func(o *kind) bool { return o == k })
	k.work, k.pulled, k.circled = nil, nil, nil // who keeps it, keeps the types alone
	for _, l := range b.lanes {
		l.offers = slices.DeleteFunc(l.offers, func(o *offer) bool { return o.kind == k })
		b.dropLane(l)
	}
}

// waitersOf returns the workers that will not go on before a task has its outcome, and might get
// it: who submits it, by, and those that its chain names, if they wait for by in the end; and a
// text that is the same for the same ones. A life that has ended does not wait any more, and the
// next one of its name does not wait yet.
func (b *broker) waitersOf(by, queue string, meta *taskMeta) (key string, waited []*taskWorker) {
	if !meta.Waits {
		return "", nil
	}
	stuck := b.waits.StuckWith(by, mail.Want[string](strings.SplitSeq(meta.Chain, ",")))
	for name := range strings.SplitSeq(meta.Chain, ",") {
		pool, i, ok := splitInstance(name)
		if !ok || !stuck[name] {
			continue
		}
		for _, p := range b.pools {
			if p.name != pool || !slices.Contains(p.cfg.Queues, queue) {
				continue
			}
			if slots := p.list(); i < len(slots) {
				if w := slots[i].worker; w != nil && !slices.Contains(waited, w) {
					waited = append(waited, w)
				}
			}
		}
	}
	slices.SortFunc(waited, func(x, y *taskWorker) int { return strings.Compare(x.peer.slot.name, y.peer.slot.name) })
	for _, w := range waited {
		key += fmt.Sprintf("%s#%d,", w.peer.slot.name, w.peer.life)
	}
	return key, waited
}

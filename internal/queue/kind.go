package queue

import (
	"iter"
	"slices"
	"strings"
)

// kind is the workers that take the same tasks, of the same queues and types: mostly those of one
// pool.
type kind struct {
	key     string         // the same for workers that take the same tasks, and for no others
	queues  []string       // of which they take tasks
	types   map[string]int // the place of each type in pulls, or given
	handles []string       // types of tasks that they are given
	pulls   []string       // types of tasks that they ask for
	workers []*worker      // that are ready, in the order in which they became so
	work    offers         // lanes of the types that they are given
	pulled  []offers       // lanes of each of the types that they ask for, as in pulls
	circled []*offer       // lanes that some worker waits for, and sticky ones of types that they ask for

	homes map[Slot]*offers // sticky lanes of the types that they are given, by their homes; or nil
}

// newKind makes a kind without workers, or returns the lie that its types are.
func newKind(key string, queues, handles, pulls []string) (*kind, Lie) {
	k := &kind{
		key: key, queues: queues, types: map[string]int{}, handles: handles, pulls: pulls,
		pulled: make([]offers, len(pulls)),
	}
	add := func(typ string, place int) (twice bool) {
		_, twice = k.types[typ]
		k.types[typ] = place
		return twice
	}
	for _, typ := range handles {
		if add(typ, given) {
			return nil, Lie{Kind: TwiceAType, Type: typ}
		}
	}
	for i, typ := range pulls {
		if add(typ, i) {
			return nil, Lie{Kind: TwiceAType, Type: typ}
		}
	}
	return k, Lie{}
}

// kindKey is the key of a kind, whatever a worker says that its types are: each name has its length
// before it, and each list its own.
func kindKey(lists ...[]string) string {
	var b strings.Builder
	number := func(n int) {
		for ; n >= 128; n /= 128 {
			b.WriteByte(byte(n%128) | 128)
		}
		b.WriteByte(byte(n))
	}
	for _, names := range lists {
		number(len(names))
		for _, name := range names {
			number(len(name))
			b.WriteString(name)
		}
	}
	return b.String()
}

// takes reports whether the workers are given tasks of a type from a queue, or ask for them.
func (k *kind) takes(queue, typ string) bool {
	_, ok := k.types[typ]
	return ok && slices.Contains(k.queues, queue)
}

// offer shows a lane to the workers of the kind, if they take its tasks.
func (k *kind) offer(l *lane) {
	if !k.takes(l.Queue, l.Type) {
		return
	}
	o := &offer{lane: l, kind: k, pull: k.types[l.Type], alone: len(l.waiters) > 0}
	if l.bucket > 0 && o.pull != given {
		o.alone = true
	}
	if o.alone {
		k.circled = append(k.circled, o)
	}
	l.offers = append(l.offers, o)
}

// withdraw takes back what offer has shown, but for what is in the pile of a lane that is open.
func (k *kind) withdraw(o *offer) {
	if o.alone {
		k.circled = slices.DeleteFunc(k.circled, func(c *offer) bool { return c == o })
	}
}

// nextWork returns the lane with the task that a worker of the kind is given next, or nil.
func (k *kind) nextWork(w *worker) *lane {
	var best *lane
	if len(k.work.items) > 0 {
		best = k.work.items[0].lane
	}
	if p := k.homes[w.at()]; p != nil && len(p.items) > 0 && (best == nil || p.items[0].lane.before(best)) {
		best = p.items[0].lane
	}
	for _, o := range k.circled {
		if o.pull == given && o.isFor(w) && (best == nil || o.lane.before(best)) {
			best = o.lane
		}
	}
	return best
}

// homed returns the pile of the sticky lanes of a kind whose home a slot is.
func (k *kind) homed(s Slot) *offers {
	p := k.homes[s]
	if p == nil {
		if k.homes == nil {
			k.homes = map[Slot]*offers{}
		}
		p = &offers{}
		k.homes[s] = p
	}
	return p
}

// nextPulled returns the lane with the task that a worker of the kind gets next if it asks for some
// types, or nil.
func (k *kind) nextPulled(w *worker, types typeSet) *lane {
	var best *lane
	for i := range k.pulled {
		p := &k.pulled[i]
		if len(p.items) > 0 && types.has(i) && (best == nil || p.items[0].lane.before(best)) {
			best = p.items[0].lane
		}
	}
	for _, o := range k.circled {
		if o.pull != given && types.has(o.pull) && o.isFor(w) && (best == nil || o.lane.before(best)) {
			best = o.lane
		}
	}
	return best
}

// isFor reports whether a lane in kind.circled has a task for a worker of its kind.
func (o *offer) isFor(w *worker) bool { return o.lane.open() && !o.lane.bars(w) }

// asksFor returns the lanes of some of the types that the workers ask for, the highest priority
// first.
func (k *kind) asksFor(types typeSet) (lanes []Lane) {
	for priority := High; priority >= Low; priority-- {
		for _, queue := range k.queues {
			for i, typ := range k.pulls {
				if types.has(i) {
					lanes = append(lanes, Lane{Queue: queue, Type: typ, Priority: priority})
				}
			}
		}
	}
	return lanes
}

// typeSet is some of the types that the workers of a kind ask for: a bit for the place of each in
// kind.pulls. Nil means all.
type typeSet []uint64

// has reports whether the type at a place is in the set.
func (s typeSet) has(i int) bool { return s == nil || s[i/64]>>(i%64)&1 != 0 }

// asked returns the types that a request of a worker of the kind names. It reads no more of them
// than the worker has declared.
func (k *kind) asked(names iter.Seq[string]) (typeSet, Lie) {
	set := make(typeSet, (len(k.pulls)+63)/64)
	read, found := 0, 0
	for typ := range names {
		if read++; read > len(k.pulls) { // before anything is looked up
			return nil, Lie{Kind: AskedForMany, N: uint64(read)}
		}
		i, ok := k.types[typ]
		if !ok || i == given {
			return nil, Lie{Kind: NotDeclared, Type: typ}
		}
		if bit := uint64(1) << (i % 64); set[i/64]&bit == 0 {
			set[i/64] |= bit
			found++
		}
	}
	if found == len(k.pulls) {
		return nil, Lie{}
	}
	return set, Lie{}
}

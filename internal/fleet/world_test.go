package fleet_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/fleet"
)

// source chooses what happens next.
type source interface {
	// pick returns a number from 0 up to n, without n.
	pick(n int, what string) int
}

// world carries the effects of the rules out, as a shell with processes would, and tells the rules
// and the model of what happens. It checks after each event that the rules have done what the model
// expects, and by itself what must hold whatever they do.
type world struct {
	source
	fail     func(format string, args ...any)
	trace    func(text string) // nil unless somebody reads it
	f        *fleet.Fleet
	m        *model
	effects  []fleet.Effect
	lives    []worldLife // by the number of the slot
	wake     time.Duration
	rnd      float64
	causes   int
	events   int
	allUp    int
	gone     int
	asked    bool                           // for the end
	first    int                            // how many slots there were at the start
	turn     fleet.Slot                     // the last of these that has begun and needs nobody
	led      *modelSlot                     // the last that was led out in this event
	last     fleet.Effect                   // the last effect
	counts   fleet.Slot                     // whose end, in this event, counts as a failure
	restarts map[fleet.Slot][]time.Duration // that were granted after such ends
}

// worldLife is what the world knows of a slot.
type worldLife struct {
	life     int
	up       bool       // Up was told, and its group does not restart
	leaving  bool       // it was led out for its group, and lives on until it ends
	together bool       // it restarts with its group, and has not begun yet
	lentTo   fleet.Slot // the slot that a spare is lent to; 0: none
	retired  bool
	led      bool
	buried   bool
	after    time.Duration // before which no life may begin
}

func newWorld(src source, fail func(string, ...any), trace func(string)) *world {
	w := &world{source: src, fail: fail, trace: trace, wake: fleet.Never, lives: make([]worldLife, 1),
		restarts: map[fleet.Slot][]time.Duration{}}
	w.m = &model{woken: fleet.Never}
	w.f = fleet.New(fleet.Config{Rand: func() float64 { return w.rnd }})
	w.populate()
	return w
}

var (
	someTimes = []time.Duration{0, 1, time.Millisecond, 100 * time.Millisecond, time.Second, time.Minute}
	factors   = []float64{1, 2, 3, 1e300}
	jitters   = []float64{0, 0.2, 1}
	limits    = []int{-1, 0, 1, 2, 3, 12}
)

// populate adds pools with needs and groups, and drops what makes a circle.
func (w *world) populate() {
	n := w.pick(6, "pools")
	if n == 0 && w.pick(20, "none") > 0 {
		n = 2
	}
	gentle := w.pick(2, "gentle") == 0
	var descs []fleet.PoolDesc
	for i := range n {
		d := fleet.PoolDesc{
			Count:      1 + w.pick(3, "count"),
			StopWorker: w.pick(3, "stop") > 0,
			Policy:     fleet.Policy(max(0, w.pick(5, "policy")-2)),
			Limit:      limits[w.pick(len(limits), "limit")],
			Window:     someTimes[1+w.pick(len(someTimes)-1, "window")],
			Delay:      someTimes[1+w.pick(len(someTimes)-1, "delay")],
			Factor:     factors[w.pick(len(factors), "factor")],
			MaxDelay:   someTimes[1+w.pick(len(someTimes)-1, "most")],
			Jitter:     jitters[w.pick(len(jitters), "jitter")],
			Reset:      someTimes[1+w.pick(len(someTimes)-1, "reset")],
		}
		if gentle {
			d.StopWorker, d.Limit, d.Policy = true, -1, fleet.Always
		}
		if w.pick(2, "spares") == 0 {
			d.Spare = 1 + w.pick(3, "spare")
		}
		if w.pick(4, "age") == 0 {
			d.MaxAge = someTimes[1+w.pick(len(someTimes)-1, "most age")]
		}
		for j := range n {
			if w.pick(4, "need") == 0 && (j != i || w.pick(8, "itself") == 0) {
				d.Needs = append(d.Needs, fleet.Pool(j))
			}
		}
		descs = append(descs, d)
	}
	groups := make([]int, n)
	for i := range n {
		groups[i] = w.pick(3, "group")
	}
	strategies := []fleet.Strategy{0, fleet.Strategy(w.pick(3, "strategy")), fleet.Strategy(w.pick(3, "strategy"))}
	for {
		w.f = fleet.New(fleet.Config{Rand: func() float64 { return w.rnd }})
		w.m.pools = nil
		for i, d := range descs {
			w.m.pools = append(w.m.pools, &modelPool{id: fleet.Pool(i), desc: d})
			if w.f.Add(d) != fleet.Pool(i) {
				w.fail("pools are not numbered in order")
			}
		}
		for g := 1; g < len(strategies); g++ {
			var members []*modelPool
			var ids []fleet.Pool
			for i := n - 1; i >= 0; i-- { // not in the order of registration
				if groups[i] == g {
					members = append(members, w.m.pools[i])
					ids = append(ids, fleet.Pool(i))
				}
			}
			for _, p := range members {
				p.group, p.strategy = members, strategies[g]
			}
			if ids != nil {
				w.f.Group(strategies[g], ids...)
			}
		}
		circle := w.f.Check()
		if circle == nil {
			break
		}
		w.checkCircle(circle)
		p := int(circle[0])
		groups[p] = 0
		for i := range descs {
			descs[i].Needs = slices.DeleteFunc(
				slices.Clone(descs[i].Needs),
				func(q fleet.Pool) bool { return q == circle[0] },
			)
		}
	}
	w.checkNoCircle()
	for i, d := range descs {
		w.note("pool %d: %+v, group %d (%d)", i, d, groups[i], strategies[groups[i]])
	}
}

// checkCircle checks that each pool of a circle needs the next one.
func (w *world) checkCircle(circle []fleet.Pool) {
	if len(circle) < 2 || circle[0] != circle[len(circle)-1] {
		w.fail("%v is no circle", circle)
	}
	for i, p := range circle[1:] {
		if !slices.Contains(w.m.needs(w.m.pools[circle[i]]), w.m.pools[p]) {
			w.fail("in the circle %v, %d does not need %d", circle, circle[i], p)
		}
	}
}

// checkNoCircle takes out the pools that need none of the others, again and again.
func (w *world) checkNoCircle() {
	left := slices.Clone(w.m.pools)
	for len(left) > 0 {
		n := len(left)
		left = slices.DeleteFunc(left, func(p *modelPool) bool {
			return !slices.ContainsFunc(w.m.needs(p), func(q *modelPool) bool { return slices.Contains(left, q) })
		})
		if len(left) == n {
			w.fail("%d pools are in a circle that was not found", n)
		}
	}
}

func (w *world) note(format string, args ...any) {
	if w.trace != nil {
		w.trace(fmt.Sprintf(format, args...))
	}
}

// happens tells both of an event, and checks what follows.
func (w *world) happens(text func() string, real func(), expected func()) {
	w.events++
	w.rnd = float64(w.pick(1000, "dice")) / 1000
	w.m.dice = w.rnd
	w.m.expected = w.m.expected[:0]
	if w.trace != nil {
		w.note("%v: %s", w.m.now, text())
	}
	real()
	expected()
	w.m.settle()
	w.effects = w.f.Effects(w.effects[:0])
	for i := range w.effects {
		w.note("    %s", describe(&w.effects[i]))
	}
	w.compare()
	w.led = nil
	for len(w.lives) <= len(w.m.slots) {
		w.lives = append(w.lives, worldLife{})
	}
	for i := range w.effects {
		w.carryOut(&w.effects[i])
	}
	w.invariants()
}

// compare checks that the effects are those that the model expects, in whatever order.
func (w *world) compare() {
	want := w.m.expected
	for i := range w.effects {
		e := &w.effects[i]
		at := -1
		for j := range want {
			if sameEffect(e, &want[j]) {
				at = j
				break
			}
		}
		if at < 0 {
			w.fail("unexpected: %s\nof the expected are left:\n%s", describe(e), describeAll(want))
			return
		}
		want = append(want[:at], want[at+1:]...)
	}
	if len(want) > 0 {
		w.fail("missing:\n%s", describeAll(want))
	}
}

func sameEffect(a, b *fleet.Effect) bool {
	return a.Kind == b.Kind && a.Slot == b.Slot && a.Pool == b.Pool && a.Index == b.Index && a.Life == b.Life &&
		a.Ask == b.Ask && a.Spare == b.Spare && a.From == b.From && a.Mode == b.Mode && a.ForGood == b.ForGood &&
		a.Failed == b.Failed && a.Restart == b.Restart &&
		a.After == b.After && a.At == b.At && sameReason(&a.Reason, &b.Reason)
}

func sameReason(a, b *fleet.Reason) bool {
	return a.Kind == b.Kind && a.Pool == b.Pool && a.Index == b.Index && a.Fellow == b.Fellow && a.Permanent == b.Permanent &&
		a.Restarts == b.Restarts && a.Cause == b.Cause && (a.Behind == nil) == (b.Behind == nil) &&
		(a.Behind == nil || sameReason(a.Behind, b.Behind)) &&
		slices.EqualFunc(a.Causes, b.Causes, func(a, b fleet.Reason) bool { return sameReason(&a, &b) })
}

// invariants checks what must hold between two events.
func (w *world) invariants() {
	if w.wake != fleet.Never && w.wake <= w.m.now {
		w.fail("a timer is in the past: %v", w.wake)
	}
	for _, s := range w.m.slots {
		l := &w.lives[s.id]
		if state := w.f.State(s.id); state != s.state {
			w.fail("slot %d is %v, and should be %v", s.id, state, s.state)
		}
		if (l.life > 0) != s.busy() {
			w.fail("slot %d has the life %d, and is %v", s.id, l.life, s.state)
		}
		if s.state == fleet.Pausing && (w.wake == fleet.Never || w.wake > s.until) {
			w.fail("nobody ends the pause of slot %d", s.id)
		}
		// No deadlock: who waits waits for somebody.
		if s.state == fleet.Waiting || s.state == fleet.Queued || s.state == fleet.Lined {
			others := w.f.WaitsFor(s.id)
			if len(others) == 0 {
				w.fail("slot %d waits for nothing", s.id)
			}
			for _, o := range others {
				if w.f.State(o) == fleet.Buried {
					w.fail("slot %d waits for slot %d, which is buried", s.id, o)
				}
			}
		}
	}
	w.checkSpares()
	w.checkHeirs()
	waiting := 0
	for id, other := range w.f.Waiting {
		waiting++
		if w.f.State(id) != fleet.Waiting || !slices.Contains(w.f.WaitsFor(id), other) {
			w.fail("slot %d does not wait for slot %d", id, other)
		}
	}
	for _, s := range w.m.slots {
		if s.state == fleet.Waiting {
			waiting--
		}
	}
	if waiting != 0 {
		w.fail("%d slots too many are said to wait", waiting)
	}
	if w.gone > 0 && w.f.Residue() != 0 {
		w.fail("after the end %d things are held", w.f.Residue())
	}
}

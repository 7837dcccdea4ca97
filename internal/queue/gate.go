package queue

// Throttle says which tasks a throttle is for: it fits those of a queue and a type. There is one
// throttle for each value at most.
type Throttle struct {
	Queue  string // "" is every queue
	Type   string // "" is every type
	PerKey bool   // the limits are those of each key; tasks without a key are not throttled
}

// Limits are what a throttle allows. The zero value is no limit.
type Limits struct {
	Concurrency int     // tasks that may be with workers at a time; 0 is no limit
	Rate        float64 // tasks that may go out in a second, on average; 0 is no limit
	Burst       int     // tasks that may go out at once, by the Rate; 0 is 1
}

// none reports whether they allow everything.
func (l Limits) none() bool { return l.Concurrency == 0 && l.Rate == 0 }

// burst is how many tokens there are at most.
func (l Limits) burst() int { return max(1, l.Burst) }

// throttle is a Throttle and its Limits.
type throttle struct {
	Throttle
	Limits
	gate  *Gate // that its tasks go through; nil if each key has its own
	place int   // the place in Queue.throttles, from 0
}

// fits reports whether the throttle is for the tasks of a lane, perhaps for those with a key alone.
func (h *throttle) fits(l Lane) bool {
	return (h.Queue == "" || h.Queue == l.Queue) && (h.Type == "" || h.Type == l.Type)
}

// Gate is where a throttle lets its tasks through or, if the limits are those of each key, the
// tasks of one key. A task goes through when it goes to a worker. What it takes of the rate is a
// token, which it keeps if it comes back and was not begun.
//
// The rules know no rates: what goes through is told with Token, and the answer, Refilled, is how
// many tokens are left, and when the next one comes.
type Gate struct {
	Data any // the caller's: what gives the tokens; nil at first, and when there is no rate

	of     *throttle // whose gate it is
	key    string    // whose tasks go through, if that is one key's; else ""
	out    int       // tasks that have gone through and that workers have
	gone   bool      // the throttle is no more, or the key is forgotten
	tokens int       // that are there, as far as is known
	asked  int       // how many Refilled are to come
	used   bool      // some of its tokens may be missing
	full   Time      // when none will be
	at     Time      // when its alarm goes off, while place says that it is set
	place  int       // in timers.gates, from 1; 0: in none
}

// newGate returns a gate that has all its tokens.
func newGate(h *throttle, key string) *Gate { return &Gate{of: h, key: key, tokens: h.burst()} }

// byOpening orders gates by their alarms.
type byOpening struct{}

func (byOpening) before(a, b *Gate) bool { return a.at < b.at }
func (byOpening) moved(g *Gate, to int)  { g.place = to }

// Limits are what the gate allows.
func (g *Gate) Limits() Limits { return g.of.Limits }

// isFull reports whether workers have as many of the tasks as they may.
func (g *Gate) isFull() bool { return g.of.Concurrency > 0 && g.out >= g.of.Concurrency }

// lets reports whether a task may go through now, which has a token from before if it has paid.
func (g *Gate) lets(paid bool) bool {
	return !g.isFull() && (paid || g.tokens > 0 || g.of.Rate == 0)
}

// gates are what holds up the tasks of a lane.
type gates struct {
	paused bool        // the queue of the lane is
	all    []*Gate     // of its throttles, that every task of the lane goes through
	keyed  []*throttle // whose gates of their keys the tasks with keys go through as well
	shared bool        // one of keyed says how many tasks of a key are with workers at a time
	shut   bool        // one of all does not let the first task through
}

// let reports whether all gates of the lane let a task through.
func (g *gates) let(paid bool) bool {
	for _, each := range g.all {
		if !each.lets(paid) {
			return false
		}
	}
	return true
}

// add adds a throttle to those of a lane, if it fits, and reports whether all tasks of the lane go
// through its gate.
func (g *gates) add(h *throttle, to Lane) bool {
	switch {
	case !h.fits(to):
	case h.PerKey:
		g.keyed = append(g.keyed, h)
		g.shared = g.shared || h.Concurrency > 0
	default:
		g.all = append(g.all, h.gate)
		return true
	}
	return false
}

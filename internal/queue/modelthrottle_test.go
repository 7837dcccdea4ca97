package queue

import (
	"slices"
	"time"
)

// This file is the throttles in the model: who may go out by them, told slowly, and what gives the
// tokens.

// fakeBucket is the tokens of a throttle, or of one key there. The arithmetic is exact.
type fakeBucket struct {
	of   *throttle
	key  string
	gate *Gate
	asks int  // how many answers are to be given
	each Time // the time that a token takes to come
	most int  // tokens at once
	full Time // when there will be all
	had  int  // tokens that the rules know of
}

// left is how many tokens there are.
func (b *fakeBucket) left(now Time) int {
	if b.next() > now {
		return 0
	}
	return b.most - int((max(b.full, now)-now+b.each-1)/b.each)
}

// next is when there is a token.
func (b *fakeBucket) next() Time { return b.full - Time(b.most-1)*b.each }

// set takes in the limits.
func (b *fakeBucket) set(l Limits) {
	b.each, b.most = Time(float64(time.Second)/l.Rate), max(1, l.Burst)
}

// bucket returns the tokens of a throttle for a task, or nil if none was used.
func (d *day) bucket(h *throttle, m *fakeTask) *fakeBucket {
	for _, b := range d.buckets {
		if b.of == h && (!h.PerKey || b.key == m.key()) {
			return b
		}
	}
	return nil
}

// isFor reports whether a throttle is for a task.
func isFor(h *throttle, m *fakeTask) bool {
	return (h.Queue == "" || h.Queue == m.lane.Queue) && (h.Type == "" || h.Type == m.lane.Type) &&
		(!h.PerKey || m.key() != "")
}

// isShared reports whether a throttle says how many tasks of its key a task may be one of.
func (d *day) isShared(m *fakeTask) bool {
	return slices.ContainsFunc(d.throttles, func(h *throttle) bool {
		return h.PerKey && h.Concurrency > 0 && isFor(h, m)
	})
}

// keyFree reports whether no worker has a task that keeps another one of its key.
func (d *day) keyFree(m *fakeTask) bool {
	for _, o := range d.tasks {
		if m.key() != "" && o.where == out && o.key() == m.key() && !d.isShared(m) && !d.isShared(o) {
			return false
		}
	}
	return true
}

// unthrottled reports whether all throttles let a task go.
func (d *day) unthrottled(m *fakeTask) bool { return d.letsGo(m, false) && d.letsGo(m, true) }

// letsGo reports whether all throttles of keys, or all others, let a task go.
func (d *day) letsGo(m *fakeTask, perKey bool) bool {
	for _, h := range d.throttles {
		if h.PerKey != perKey || !isFor(h, m) {
			continue
		}
		n := 0
		for _, o := range d.tasks {
			if o.where == out && isFor(h, o) && (!h.PerKey || o.key() == m.key()) {
				n++
			}
		}
		if h.Concurrency > 0 && n >= h.Concurrency || d.isBare(h, m) && !m.paidFor && !slices.Contains(m.tokens, h) {
			return false
		}
	}
	return true
}

// isBare reports whether a throttle has no token for a task.
func (d *day) isBare(h *throttle, m *fakeTask) bool {
	b := d.bucket(h, m)
	return h.Rate > 0 && b != nil && b.had == 0
}

// mustGo reports whether a task goes out if there is a worker for it: it may, and none is before it
// in its lane, or in the line of its key, that may not.
func (d *day) mustGo(m *fakeTask) bool {
	if !d.mayGo(m) {
		return false
	}
	for _, o := range d.tasks {
		inWay := o.where == inLine && o.lane == m.lane && m.paidFor
		if !inWay {
			continue
		}
		sameLine := o.key() == m.key() && m.key() != ""
		if (sameLine || o.state != parked && o.goesBefore(m)) && !d.unthrottled(o) {
			return false
		}
	}
	return true
}

// goesThrough checks that a task that goes out has the tokens that it needs.
func (d *day) goesThrough(m *fakeTask) {
	for _, h := range d.throttles {
		if isFor(h, m) && h.Rate > 0 && !m.paidFor && !slices.Contains(m.tokens, h) {
			d.wrong("%v has no token of %+v", m, h.Throttle)
		}
		m.paidFor = m.paidFor || isFor(h, m)
	}
	m.tokens = nil
}

// token takes tokens for a task, if that may be, or takes in other limits.
func (d *day) token(m *fakeTask, e *Effect) {
	g := e.Gate
	i := slices.IndexFunc(d.throttles, func(h *throttle) bool { return h.Throttle == g.of.Throttle })
	h := d.throttles[i]
	b, _ := g.Data.(*fakeBucket)
	if b == nil {
		b = &fakeBucket{of: h, key: g.key, gate: g, had: g.of.burst()}
		g.Data = b
		d.buckets = slices.DeleteFunc(d.buckets, func(o *fakeBucket) bool {
			if o.of == h && o.key == b.key && o.full > d.now {
				d.wrong("the tokens of %+v are forgotten, and not all are there before %v", h.Throttle, o.full)
			}
			return o.of == h && o.key == b.key
		})
		d.buckets = append(d.buckets, b)
	}
	b.set(g.Limits())
	b.had = max(0, b.had-int(e.N))
	if m == nil {
		b.had = 0
	} else {
		switch {
		case b.next() > d.now:
			d.wrong("%v goes out at %v, and a token comes at %v", m, d.now, b.next())
		case m.paidFor || slices.Contains(m.tokens, h):
			d.wrong("%v takes a second token of %+v", m, h.Throttle)
		case int(e.N) != m.count():
			d.wrong("%v takes %d tokens", m, e.N)
		}
		m.tokens = append(m.tokens, h)
		b.full = max(b.full, d.now) + Time(e.N)*b.each
	}
	b.asks++
	d.asked = append(d.asked, b)
}

// answer tells how many tokens are left, as it was asked to first.
func (d *day) answer() {
	b := d.asked[0]
	d.asked = d.asked[1:]
	if b.asks--; b.asks == 0 {
		b.had = b.left(d.now)
	}
	d.q.Refilled(b.gate, b.left(d.now), b.next(), b.full, d.now)
}

// throttle sets or removes a throttle.
func (d *day) throttle() {
	of := Throttle{
		Queue: []string{"", "x", "y"}[d.dice(3)], Type: []string{"", "a", "p"}[d.dice(3)], PerKey: d.dice(2) == 0,
	}
	var to Limits
	if d.dice(3) > 0 && len(d.throttles) < 4 {
		to = Limits{Concurrency: d.dice(3), Burst: d.dice(3)}
		if d.dice(2) == 0 {
			to.Rate = []float64{1, 10, 1000}[d.dice(3)]
		}
	}
	d.did("throttle", of, to)
	d.setThrottle(of, to)
}

func (d *day) setThrottle(of Throttle, to Limits) {
	i := slices.IndexFunc(d.throttles, func(h *throttle) bool { return h.Throttle == of })
	if i < 0 {
		i = len(d.throttles)
		d.throttles = append(d.throttles, &throttle{Throttle: of})
	}
	h := d.throttles[i]
	h.Limits = to
	d.everShared = d.everShared || of.PerKey && to.Concurrency > 0
	if to.Rate == 0 {
		d.buckets = slices.DeleteFunc(d.buckets, func(b *fakeBucket) bool { return b.of == h })
	}
	if to.none() {
		d.throttles = slices.Delete(d.throttles, i, i+1)
	}
	d.q.Throttle(of, to)
	d.carryOut()
}

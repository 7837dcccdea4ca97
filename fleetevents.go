package multiprolab

import "github.com/multiprolab/multiprolab/internal/fleet"

// This file is how the rules of lives are told, in main, what happens to the workers, and what is
// asked for.

// started tells the rules that a life has its process, and that the start was announced.
func (w *workerFleet) started(s *slot) { w.happens(func() { w.rules.Started(s.id) }, nil) }

// greeted tells the rules that a worker has said hello.
func (w *workerFleet) greeted(s *slot) { w.happens(func() { w.rules.Greeted(s.id) }, nil) }

// up tells the rules that a worker is ready. tell announces it, before anything that follows from
// it is done.
func (w *workerFleet) up(s *slot, tell func()) {
	w.happens(func() { w.rules.Up(s.id, w.now()) }, tell)
}

// idle tells the rules that a worker that is to be replaced holds no task any more.
func (w *workerFleet) idle(l *lifetime) { w.happens(func() { w.rules.Idle(l.at) }, nil) }

// leave tells the rules that a worker leaves for good, of its own accord.
func (w *workerFleet) leave(l *lifetime) {
	var s *slot
	w.happens(func() {
		s = w.slots[l.at]
		w.rules.Leave(l.at)
	}, func() { s.leaving.Store(true) })
}

// ended tells the rules that nothing is left of a life.
func (w *workerFleet) ended(l *lifetime, how fleet.How) {
	w.happens(func() { w.rules.Ended(l.at, how, w.now()) }, nil)
}

// renew tells the rules that the spares of a pool are out of date.
func (w *workerFleet) renew(p *pool) { w.happens(func() { w.rules.Renew(p.id) }, nil) }

// resize changes the size of a pool. It reports false if it did not, because the program has not
// begun or ends.
func (w *workerFleet) resize(p *pool, n int) (did bool) {
	w.happens(func() {
		if did = w.rules.Resize(p.id, n, w.now()); !did {
			return
		}
		slots := p.list()
		if n >= len(slots) {
			return
		}
		for _, s := range slots[n:] {
			s.leaving.Store(true)
			if s.over {
				w.forget(s)
			}
		}
		left, removed := slots[:n:n], slots[n:]
		p.slots.Store(&left)
		w.broker.resize(p, nil, removed)
	}, nil)
	return did
}

// restart asks for the replacement of an instance. The answer comes when the replacement is ready,
// or when it is certain that there will be none. forget takes the request back.
func (w *workerFleet) restart(s *slot) (answer <-chan error, forget func()) {
	var ask fleet.Ask
	c := make(chan error, 1)
	w.happens(func() {
		ask = w.rules.Restart(s.id)
		w.answers[ask] = c
	}, nil)
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.rules.Forget(s.id, ask)
		delete(w.answers, ask)
	}
}

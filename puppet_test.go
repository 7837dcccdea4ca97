package multiprolab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multiprolab/multiprolab/internal/batch"
	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// This file is a main process whose workers are puppets: main's end of each life is real, the
// worker's end is the test, which says on the wire what it likes.

// puppetBody is a process that is only its wire.
type puppetBody struct {
	ended  chan struct{}
	killed atomic.Bool
}

func (b *puppetBody) PID() int               { return 7 }
func (b *puppetBody) Done() <-chan struct{}  { return b.ended }
func (b *puppetBody) Status() proc.Status    { return proc.Status{ExitCode: -1, Signal: "SIGKILL"} }
func (b *puppetBody) Terminate()             {}
func (b *puppetBody) Quit()                  {}
func (b *puppetBody) Kill()                  { b.killed.Store(true) }
func (b *puppetBody) Stopped() string        { return "" }
func (b *puppetBody) Raced(proc.Status) bool { return false }
func (b *puppetBody) Stderr() string         { return "" }
func (b *puppetBody) Tail() string           { return "" }
func (b *puppetBody) Close()                 {}
func (b *puppetBody) Box() *io.SectionReader { return nil }

// theatre is a Main with puppets.
type theatre struct {
	*Main
	t       testing.TB
	puppets []*puppet // that live
	asked   []*asked  // everything that was submitted
}

// newTheatre makes a Main with pools of workers, of which none is ready.
func newTheatre(t testing.TB, cfg *Config, pools map[string]WorkerConfig) *theatre {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	c.InProcess, c.Logger = true, slog.New(slog.DiscardHandler)
	th := &theatre{Main: New(&c), t: t}
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		cfg := pools[name]
		th.RegisterWorker(name, func(context.Context, *Worker) error { return nil }, &cfg)
	}
	th.state = mainRunning
	th.serving.Store(true)
	if err := th.prepare(); err != nil {
		t.Fatal(err)
	}
	return th
}

// slot returns an instance by its name.
func (th *theatre) slot(name string) *slot {
	pool, i, _ := splitInstance(name)
	return th.pool(pool).list()[i]
}

// puppet is a life of a worker. It keeps what main has sent, and does what the test says.
type puppet struct {
	*peer
	th       *theatre
	body     *puppetBody
	out      bytes.Buffer // what main has written
	room     int64        // how many bytes it may send at the beginning
	pulls    []string     // types of tasks that it asks for
	waiting  []wire.Frame // tasks that it has not started
	active   []wire.Frame // tasks that it has
	recalled map[uint64]bool
	ended    map[uint64]bool // tasks that were cancelled
	fetching map[uint64]bool
	results  map[uint64][]wire.Frame // outcomes of what it submitted
	dumped   bool
	refusals int // answers to Await
	lastID   uint64
}

// enter starts a life of an instance that takes tasks of some types; those that begin with "pull"
// it asks for.
func (th *theatre) enter(name string, types ...string) *puppet {
	s := th.slot(name)
	w := &puppet{th: th, body: &puppetBody{ended: make(chan struct{})}, recalled: map[uint64]bool{},
		ended: map[uint64]bool{}, fetching: map[uint64]bool{}, results: map[uint64][]wire.Frame{}}
	w.peer = newPeer(s, nextLife(s))
	w.connect(w.body, bytes.NewReader(nil), &w.out)
	s.beginLife(w.peer)
	w.room = w.client.openAccount()
	s.out.AttachWhole(w.link)
	var r readiness
	for _, typ := range types {
		if strings.HasPrefix(typ, "pull") {
			r.Pulls = append(r.Pulls, typ)
		} else {
			r.Tasks = append(r.Tasks, typ)
		}
	}
	w.pulls = r.Pulls
	th.puppets = append(th.puppets, w)
	w.say(life.Packed(wire.Hello, &life.Hello{}))
	w.say(life.Packed(wire.Ready, &r))
	return w
}

// try says something that may be a lie, and returns what main thinks of it.
func (w *puppet) try(f *wire.Frame) error {
	_, err := w.receive(f)
	var lie *link.Violation
	if err != nil && !errors.As(err, &lie) {
		w.th.t.Fatalf("%v of %s: %v is no *link.Violation", f.Kind, w.slot().name, err)
	}
	return err
}

// say says what an honest worker says.
func (w *puppet) say(f *wire.Frame) {
	w.th.t.Helper()
	if err := w.try(f); err != nil {
		w.th.t.Fatalf("%s, which is honest, is accused: %v", w.slot().name, err)
	}
}

// hear takes in what main has written.
func (w *puppet) hear() {
	w.th.t.Helper()
	if err := w.link.Flush(); err != nil {
		w.th.t.Fatal(err)
	}
	r := wire.NewReader(bytes.NewReader(bytes.Clone(w.out.Bytes())), 0)
	w.out.Reset()
	for {
		var f wire.Frame
		switch err := r.Next(&f); {
		case err == io.EOF:
			return
		case err != nil:
			w.th.t.Fatalf("main writes garbage: %v", err)
		}
		switch f.Kind {
		case wire.Task:
			f.Body = bytes.Clone(f.Body)
			if f.To != "" { // the answer to a fetch is running at once
				delete(w.fetching, mustNumber(f.To))
				w.active = append(w.active, f)
				w.say(&wire.Frame{Kind: wire.Start, ID: f.ID})
			} else {
				w.waiting = append(w.waiting, f)
			}
		case wire.NoTask:
			delete(w.fetching, f.ID)
		case wire.Recall:
			w.recalled[f.ID] = true
		case wire.Cancel:
			w.ended[f.ID] = true
		case wire.Dump:
			w.dumped = true
		case wire.Await:
			w.refusals++
		case wire.Result:
			w.results[f.ID] = append(w.results[f.ID], f)
		}
	}
}

func mustNumber(s string) (n uint64) {
	if _, err := fmt.Sscan(s, &n); err != nil {
		panic(err)
	}
	return n
}

// obey answers what main has asked for, as the library in a worker does.
func (w *puppet) obey() {
	w.th.t.Helper()
	w.hear()
	for _, f := range slices.Clone(w.waiting) {
		switch {
		case w.ended[f.ID]:
			w.drop(f.ID)
			w.say(replyFrame(wire.Result, f.ID, &reply{err: ErrCancelled}))
		case w.recalled[f.ID]:
			w.drop(f.ID)
			w.say(&wire.Frame{Kind: wire.Returned, ID: f.ID})
		}
	}
	for _, f := range w.active {
		if f.Flags&wire.FlagBatch != 0 && w.recalled[f.ID] { // after its first item
			delete(w.recalled, f.ID)
			w.say(wire.NewSplit(f.ID, 1))
		}
	}
}

// drop forgets a task that the worker is done with.
func (w *puppet) drop(id uint64) {
	is := func(f wire.Frame) bool { return f.ID == id }
	w.waiting, w.active = slices.DeleteFunc(w.waiting, is), slices.DeleteFunc(w.active, is)
	delete(w.recalled, id)
	delete(w.ended, id)
}

// start begins with a task that waits.
func (w *puppet) start(id uint64) {
	w.th.t.Helper()
	i := slices.IndexFunc(w.waiting, func(f wire.Frame) bool { return f.ID == id })
	f := w.waiting[i]
	w.waiting = slices.Delete(w.waiting, i, i+1)
	w.active = append(w.active, f)
	w.say(&wire.Frame{Kind: wire.Start, ID: id})
}

// end ends a task that runs with an error, or without one.
func (w *puppet) end(id uint64, err error) {
	w.th.t.Helper()
	i := slices.IndexFunc(w.active, func(f wire.Frame) bool { return f.ID == id })
	f := w.active[i]
	items := 0
	if f.Flags&wire.FlagBatch != 0 {
		items = w.th.itemsOf(id)
	}
	w.drop(id)
	w.say(resultFrame(id, items, err))
}

// itemsOf returns how many items are in a batch.
func (th *theatre) itemsOf(id uint64) int {
	th.broker.mu.Lock()
	defer th.broker.mu.Unlock()
	for _, a := range th.asked {
		if a.taskID() == id {
			return int(a.job.Items)
		}
	}
	th.t.Fatalf("nobody knows task %d", id)
	return 0
}

// taskID is the number of the task as workers know it.
func (a *asked) taskID() uint64 { return uint64(a.job.ID()) }

// resultFrame is the outcome of a task, or of a batch of some items.
func resultFrame(id uint64, items int, err error) *wire.Frame {
	if err != nil {
		return replyFrame(wire.Result, id, &reply{err: err})
	}
	f := &wire.Frame{Kind: wire.Result, ID: id, Encoding: codec.Bytes, Body: []byte("ok")}
	if items > 0 {
		f.Flags, f.Body = wire.FlagBatch, batchOf(items)
	}
	return f
}

// batchOf is a batch of items, or of outcomes.
func batchOf(items int) (b []byte) {
	for range items {
		b = batch.Append(b, batch.OK, codec.Payload{Encoding: codec.Bytes, Data: []byte("x")})
	}
	return b
}

// work does all that the worker has, honestly.
func (w *puppet) work() {
	w.th.t.Helper()
	for w.obey(); len(w.waiting)+len(w.active) > 0; w.obey() {
		if len(w.active) == 0 {
			w.start(w.waiting[0].ID)
		}
		w.end(w.active[0].ID, nil)
	}
}

// ask asks for a task of each type that it has declared, and waits for it.
func (w *puppet) ask(wait bool, types ...string) {
	w.th.t.Helper()
	w.lastID++
	w.fetching[w.lastID] = true
	f := &wire.Frame{Kind: wire.Fetch, ID: w.lastID, Meta: strings.Join(types, ",")}
	if wait {
		f.Flags = wire.FlagWait
	}
	w.say(f)
}

// die ends the life, with how it went; nil is a goodbye.
func (w *puppet) die(how error) {
	w.hear()
	th, s := w.th, w.slot()
	w.link.Close()
	lost, calls, _ := s.out.Detach()
	th.broker.leave(w.peer, how)
	for _, id := range w.client.streams.Drain() {
		th.broker.cancel(w.client, id, false)
	}
	s.finishLife(w.peer)
	s.failCalls(calls, cmp.Or(how, ErrStopped), true)
	s.deadLetters(lost, cmp.Or(how, ErrStopped))
	th.puppets = slices.DeleteFunc(th.puppets, func(o *puppet) bool { return o == w })
}

func (w *puppet) death() error { return &WorkerDiedError{Worker: w.slot().name, Signal: "SIGKILL"} }

// asked is a submission: of main, or of a worker.
type asked struct {
	cancelled bool // by the worker that submitted it
	what      string
	of        *puppet // nil: main
	sub       *submission
	id        uint64 // of the worker's submission
	job       *job
	outcomes  int
	err       error
	cuts      []int
}

// submit submits a task of main, or of a worker, which does not wait for room on this goroutine. It
// returns nil if it is refused.
func (th *theatre) submit(by *puppet, typ string, items int, o *TaskOptions) (*asked, error) {
	th.t.Helper()
	a := &asked{what: typ, of: by}
	p := codec.Payload{Encoding: codec.Bytes, Data: []byte("x")}
	if items > 0 {
		p.Data = batchOf(items)
	}
	if by != nil {
		by.lastID++
		a.id = by.lastID
		f := &wire.Frame{Kind: wire.Submit, ID: a.id, Type: typ, Meta: o.marshal("", false), Flags: wire.FlagWait}
		link.SetBody(f, p)
		by.say(f)
		by.hear()
		if err := by.refused(a.id); err != nil {
			return nil, err
		}
		th.broker.mu.Lock()
		a.job = th.broker.submitted(by.peer.client, a.id)
		th.broker.mu.Unlock()
		th.asked = append(th.asked, a)
		return a, nil
	}
	m, err := meta.Unmarshal(o.marshal("", false))
	if err != nil {
		th.t.Fatal(err)
	}
	return a, th.offer(a, p, &m, items, typ)
}

// offer is the part of a submission of main that does not wait.
func (th *theatre) offer(a *asked, p codec.Payload, m *meta.Task, items int, typ string) error {
	n := th.node
	j := newJob(p, m)
	j.Items = int32(items)
	s := &submission{values: &n.values, up: n.up, typ: typ, batch: items,
		accepted: make(chan struct{}), taskOutcome: taskOutcome{done: make(chan struct{})}}
	s.split = func(count int) { a.cuts = append(a.cuts, count) }
	n.mu.Lock()
	n.lastID++
	s.id, j.Number, j.sub = n.lastID, n.lastID, s
	n.submissions[s.id] = s
	n.mu.Unlock()
	a.sub, a.job = s, j
	s.onDone(func() { a.outcomes, a.err = a.outcomes+1, s.outcome.err })
	if err := th.broker.submit(j, m, typ, true); err != nil {
		n.submission(s.id, true)
		return err
	}
	th.asked = append(th.asked, a)
	return nil
}

// refused returns the outcome of a submission that is there already.
func (w *puppet) refused(id uint64) error {
	if r := w.results[id]; len(r) > 0 {
		return replyOf(&r[0]).err
	}
	return nil
}

// look counts the outcomes that have come.
func (a *asked) look() (int, error) {
	if a.of == nil {
		return a.outcomes, a.err
	}
	if slices.Contains(a.of.th.puppets, a.of) {
		a.of.hear()
	}
	r := a.of.results[a.id]
	if len(r) == 0 {
		return 0, nil
	}
	return len(r), replyOf(&r[0]).err
}

// cancel is the submitter's.
func (a *asked) cancel() {
	if a.of == nil {
		a.sub.cancel()
		return
	}
	if !a.cancelled { // an honest worker tells main once
		a.cancelled = true
		a.of.say(&wire.Frame{Kind: wire.Cancel, Type: "task", ID: a.id})
	}
}

// check looks whether the books are in order: what must be true after every event. What the rules
// keep by themselves is looked at in internal/queue.
func (th *theatre) check(when string) {
	th.t.Helper()
	b := th.broker
	b.mu.Lock()
	defer b.mu.Unlock()
	wrong := func(format string, args ...any) {
		th.t.Helper()
		th.t.Fatalf("after %s: %s", when, fmt.Sprintf(format, args...))
	}
	s := b.rules.Stats()
	if s.Received != s.Succeeded+s.Failed+s.Cancelled+s.Queued+s.Running {
		wrong("the counters do not add up: %+v", s)
	}
	lined := map[*client]int64{}
	live := 0
	for _, a := range th.asked {
		j := a.job
		if j == nil {
			continue
		}
		if a.of != nil && b.rules.IsBlocked(&j.Task) {
			lined[a.of.client] += j.cost
		}
		if j.Ended() {
			if j.sub != nil || j.client != nil || j.cost != 0 || j.Lease() != nil ||
				b.submitted(a.client(), a.number()) == j {
				wrong("%v has ended, and somebody waits for it", j)
			}
			continue
		}
		live++
		if j.sub == nil && j.client == nil && (j.past == nil || j.past.dead == nil) {
			wrong("%v is %s, and nobody waits for it", j, j.State())
		}
		if holds := j.cost > 0; j.client != nil && holds != b.rules.IsBlocked(&j.Task) {
			wrong("%v is %s, and holds %d bytes of credit", j, j.State(), j.cost)
		}
	}
	if live > b.rules.Live() {
		wrong("%d tasks have no outcome, and %d are counted", live, b.rules.Live())
	}
	for c, cost := range lined {
		if c.lined != cost {
			wrong("the tasks of %s that wait for room hold %d bytes of its credit, and %d are noted", c.name(), cost, c.lined)
		}
	}
	for _, w := range th.puppets {
		if n, held := int(w.holds.Load()), b.rules.Held(w.worker); n != held || b.staff.peers[w.worker] != w.peer {
			wrong("%s has %d tasks, and %d are counted", w.slot().name, held, n)
		}
	}
	if len(b.mu.posted)+len(b.mu.doomed) > 0 {
		wrong("something is left to be done")
	}
}

// client is who has submitted it, or nil for main.
func (a *asked) client() *client {
	if a.of == nil {
		return nil
	}
	return a.of.client
}

// number is the submitter's number for it.
func (a *asked) number() uint64 {
	if a.of == nil {
		return a.sub.id
	}
	return a.id
}

// undropped returns the number of tasks that have ended and are still in a Backend.
func (th *theatre) undropped() int {
	if th.broker.store == nil {
		return 0
	}
	th.broker.mu.Lock()
	defer th.broker.mu.Unlock()
	return th.broker.store.Residue().Dropped
}

// settle lets honest workers do all that is left, ends the program and checks that each submission
// has had one outcome, and that nothing remains.
func (th *theatre) settle(types ...string) {
	th.t.Helper()
	b := th.broker
	th.Tasks().Resume("")
	if b.store != nil { // what was cancelled stays in a Backend until a worker has room for its type
		for _, w := range slices.Clone(th.puppets) {
			w.die(w.death())
		}
	}
	for range 50 {
		for _, p := range th.pools {
			for _, s := range p.list() {
				if s.alive() && !slices.ContainsFunc(th.puppets, func(w *puppet) bool { return w.slot() == s }) {
					th.enter(s.name, types...)
				}
			}
		}
		// In several rounds: what one gives back another one gets.
		for _, w := range slices.Repeat(slices.Clone(th.puppets), 4) {
			if !slices.Contains(th.puppets, w) {
				continue
			}
			if len(w.retired) > 0 || w.body.killed.Load() {
				w.die(w.death())
				continue
			}
			if len(w.pulls) > 0 && len(w.fetching) < 60 {
				w.ask(true, w.pulls...)
			}
			w.work()
		}
		th.check("settling")
		if goroutine.Closed(b.join()) && th.undropped() == 0 {
			break
		}
		time.Sleep(time.Hour) // the clock of a bubble
	}
	if !goroutine.Closed(b.join()) {
		th.t.Fatalf("tasks are left that nobody does: %v", th.Tasks().Residue())
	}
	for _, a := range th.asked {
		if n, err := a.look(); n != 1 && (a.of == nil || slices.Contains(th.puppets, a.of)) {
			th.t.Fatalf("a submission of type %q has %d outcomes (%v)", a.what, n, err)
		}
	}
	b.end(ErrStopped)
	if left := th.Tasks().Residue(); len(left) > 0 {
		th.t.Fatalf("this is left: %v", left)
	}
}

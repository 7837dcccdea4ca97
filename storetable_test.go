package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/store"
)

// The table with a Backend of the user's: the next state of a job or its outcome, and
// what the Backend has been told since. "?" in front is that the log says that it could not be
// told. "." is that nothing changes, and the Backend is told nothing.
const storeTable = `
              stored        later         leased        assigned      running       again         last          ended
cancel        cancelled     cancelled     cancelled/ack assign+c      run+c         run+c         run+c         .
cancelPending cancelled     cancelled     cancelled/ack .             .             .             .             .
anHour        .             .             .             .             .             .             .             .
ok            -             -             -             -             ok/ack        ok/ack        ok/ack        -
error         -             -             -             -             error/ack     assign/retry  error/dead    -
retryAfter    -             -             -             -             delayed/retry delayed/retry delayed/retry -
dies          .             .             .             queued        died/ack      stored/retry  died/dead     .
resume        .             .             assign        assign+r      .             .             .             .
fillerEnds    assign        .             .             .             .             .             .             .
allGone       none          none          none/ack      none/ack      died/ack      none/retry    died/dead     .
stop          stopped       stopped       stopped/retry .             .             .             .             .
stopAndDie    stopped       stopped       stopped/retry stopped/retry died/ack      died/retry    died/dead     .
stopAndFail   stopped       stopped       stopped/retry .             error/ack     error/retry   error/dead    .
stopAndDelay  stopped       stopped       stopped/retry .             error/retry   error/retry   error/retry   .
end           stopped       stopped       stopped/retry stopped/retry stopped/retry stopped/retry stopped/retry .
leaseLost     .             .             .             .             .             .             .             .
noAck         -             -             cancelled/?ack -             ok/?ack       ok/?ack       ok/?ack       -
noRetry       -             -             -             -             error/?retry  error/?retry  error/?retry  -
noDead        -             -             -             -             error/ack     assign/retry  error/?dead   -
`

// ledger is a Backend that notes the ends of its leases, and can fail.
type ledger struct {
	*backend.Memory
	mu     sync.Mutex
	told   map[string][]string // by the id of the task
	broken string              // what fails
	last   *ledgerLease
	stored string // the id of the task that was stored last
}

var errLedger = errors.New("the backend has fallen over")

func (l *ledger) Enqueue(ctx context.Context, tasks ...backend.Task) ([]backend.Receipt, error) {
	l.mu.Lock()
	l.stored = tasks[len(tasks)-1].ID
	l.mu.Unlock()
	return l.Memory.Enqueue(ctx, tasks...)
}

func (l *ledger) Fetch(ctx context.Context, queue string, credit int) ([]backend.Lease, error) {
	leases, err := l.Memory.Fetch(ctx, queue, credit)
	for i := range leases {
		of := &ledgerLease{Lease: leases[i], of: l, until: time.Now().Add(10 * time.Minute)}
		l.mu.Lock()
		l.last = of
		l.mu.Unlock()
		leases[i] = of
	}
	return leases, err
}

func (l *ledger) tell(id, what string, say func() error) error {
	l.mu.Lock()
	broken := l.broken == what
	if broken {
		what = "?" + what
	}
	l.told[id] = append(l.told[id], what)
	l.mu.Unlock()
	if broken {
		return errLedger
	}
	return say()
}

// takeTold returns what has been told about a task since the last time.
func (l *ledger) takeTold(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	told := strings.Join(l.told[id], ",")
	delete(l.told, id)
	return told
}

type ledgerLease struct {
	backend.Lease
	of    *ledger
	mu    sync.Mutex
	until time.Time
	lost  bool
}

func (l *ledgerLease) Deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

func (l *ledgerLease) Extend(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost {
		return backend.ErrLeaseLost
	}
	l.until = time.Now().Add(10 * time.Minute)
	return nil
}

func (l *ledgerLease) Ack(ctx context.Context) error {
	return l.of.tell(l.Task().ID, "ack", func() error { return l.Lease.Ack(ctx) })
}

func (l *ledgerLease) Retry(ctx context.Context, after time.Duration, cause string) error {
	return l.of.tell(l.Task().ID, "retry", func() error { return l.Lease.Retry(ctx, after, cause) })
}

func (l *ledgerLease) Dead(ctx context.Context, reason string) error {
	return l.of.tell(l.Task().ID, "dead", func() error { return l.Lease.Dead(ctx, reason) })
}

var again = &TaskOptions{Attempts: 2, Retry: RetryPolicy{First: 1}}

var storeScenes = map[string]func(s *scene){
	"stored": func(s *scene) { s.fillStored(); s.ask(0, nil) },
	"later":  func(s *scene) { s.fillStored(); s.ask(0, &TaskOptions{Delay: 30 * time.Minute}) },
	"leased": func(s *scene) {
		s.ask(0, nil)
		synctest.Wait()
		s.Tasks().Pause(DefaultQueue)
		s.paused = true
		s.w.obey()
	},
	"assigned": func(s *scene) { s.ask(0, nil) },
	"running":  func(s *scene) { s.ask(0, nil); synctest.Wait(); s.run() },
	"again":    func(s *scene) { s.ask(0, again); synctest.Wait(); s.run() },
	"last": func(s *scene) {
		s.ask(0, again)
		synctest.Wait()
		s.run()
		s.w.end(s.a.taskID(), &RemoteError{Text: "the first time"})
		synctest.Wait()
		s.run()
	},
	"ended": func(s *scene) { s.ask(0, nil); synctest.Wait(); s.run(); s.w.end(s.a.taskID(), nil) },
}

// fillStored gives w something else to do.
func (s *scene) fillStored() {
	s.filler = s.submits(nil, 0, nil)
	synctest.Wait()
	s.w.hear()
	s.w.start(s.filler.taskID())
}

var storeHappenings = map[string]func(s *scene) error{
	"stopAndFail": func(s *scene) error {
		s.broker.stop(ErrStopped, false)
		if s.stateOf(s.j) == "running" {
			return s.result(0, &RemoteError{Text: "no"})
		}
		return nil
	},
	"stopAndDelay": func(s *scene) error {
		s.broker.stop(ErrStopped, false)
		if s.stateOf(s.j) == "running" {
			return s.result(0, &RemoteError{Text: "not yet", after: time.Minute})
		}
		return nil
	},
	"leaseLost": func(s *scene) error {
		l := s.ledger()
		old := s.lease()
		if old == nil {
			return nil
		}
		lost := l.last
		lost.mu.Lock()
		lost.lost = true
		lost.mu.Unlock()
		time.Sleep(time.Hour)
		// The Backend hands it out again, and here of all places.
		if err := lost.Lease.Retry(context.Background(), 0, "the lease has run out"); err != nil {
			return err
		}
		s.enter("p/1", "t")
		synctest.Wait()
		if !s.paused && s.lease() == old {
			return errors.New("the new lease has not been taken over")
		}
		return nil
	},
	"noAck": func(s *scene) error {
		s.ledger().broken = "ack"
		if s.stateOf(s.j) == "running" {
			return s.result(0, nil)
		}
		s.a.cancel()
		return nil
	},
	"noRetry": func(s *scene) error {
		s.ledger().broken = "retry"
		return s.result(0, &RemoteError{Text: "not yet", after: time.Minute})
	},
	"noDead": func(s *scene) error {
		s.ledger().broken = "dead"
		return s.result(0, &RemoteError{Text: "no"})
	},
}

func (s *scene) lease() *store.Lease {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	return s.j.Lease()
}

func (s *scene) ledger() *ledger { return s.broker.store.Backend.(*ledger) }

func TestStoreTable(t *testing.T) {
	var states []string
	for _, line := range strings.Split(strings.TrimSpace(storeTable), "\n") {
		cells := strings.Fields(line)
		if states == nil {
			states = cells
			continue
		}
		event := happenings[cells[0]]
		if storeHappenings[cells[0]] != nil {
			event = storeHappenings[cells[0]]
		}
		if len(cells) != len(states)+1 || event == nil {
			t.Fatalf("the row of %s is not like the others", cells[0])
		}
		for i, want := range cells[1:] {
			if want == "-" {
				continue // no such event
			}
			t.Run(fmt.Sprintf("%s/%s", cells[0], states[i]), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { tryStoreCell(t, states[i], cells[0], event, want) })
			})
		}
	}
}

func tryStoreCell(t *testing.T, state, name string, event func(s *scene) error, want string) {
	l := &ledger{Memory: backend.NewMemory(), told: map[string][]string{}}
	s := &scene{theatre: newTheatre(t, &Config{Backend: l}, map[string]WorkerConfig{"p": {Count: 2}})}
	defer func() {
		if t.Failed() {
			s.broker.end(ErrStopped)
		}
	}()
	s.w = s.enter("p/0", "t")
	storeScenes[state](s)
	synctest.Wait()
	s.check("the making of the scene")
	before, had := s.state(), s.a.outcomes
	l.mu.Lock()
	id := l.stored
	l.mu.Unlock()
	l.takeTold(id)
	if err := event(s); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	told := l.takeTold(id)
	now := s.state()
	if now == "ended" && had == 0 {
		now = outcomeOf(s.a.err)
	}
	if told != "" {
		now += "/" + told
	}
	if want == "." {
		want = before
	}
	if now != want {
		t.Fatalf("it was %s, and is %s (%v); it should be %s", before, now, s.a.err, want)
	}
	s.ledger().mu.Lock()
	s.ledger().broken = ""
	s.ledger().mu.Unlock()
	if name != "end" {
		s.check(name)
	}
	if strings.HasPrefix(name, "no") || strings.HasPrefix(name, "stop") || name == "allGone" || name == "leaseLost" ||
		name == "end" {
		for _, w := range slices.Clone(s.puppets) {
			w.work()
		}
		s.broker.end(ErrStopped)
		if s.a.outcomes != 1 {
			t.Fatalf("it has %d outcomes", s.a.outcomes)
		}
		return // the Backend still has something: that is the point
	}
	s.settle("t")
}

// Nothing is kept of the types of workers that are gone: no goroutine that fetches, and no lane. A
// type that nobody takes yet is not fetched.
func TestLanesGoWithTheirWorkers(t *testing.T) {
	for _, b := range []backend.Backend{nil, backend.NewMemory()} {
		t.Run(fmt.Sprintf("%T", b), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				th := newTheatre(t, &Config{Backend: b}, map[string]WorkerConfig{"p": {Count: 2}})
				lanes := func() (n, fetched int) {
					th.broker.mu.Lock()
					defer th.broker.mu.Unlock()
					if s := th.broker.store; s != nil {
						fetched = len(s.Residue().Queues)
					}
					return th.broker.rules.Residue().Lanes, fetched
				}
				for life := range 5 {
					w := th.enter("p/0", "t", fmt.Sprint("type", life))
					if life == 0 { // another instance is still to come, and may take anything
						for i := range 10 {
							a, err := th.submit(nil, fmt.Sprint("nobody", i), 0, nil)
							if err != nil {
								t.Fatal(err)
							}
							a.cancel()
						}
						if _, fetched := lanes(); b != nil && fetched != 6 {
							t.Errorf("%d lanes are fetched for", fetched)
						}
					}
					th.must("t")
					synctest.Wait()
					w.work()
					synctest.Wait()
					if n, fetched := lanes(); n > 6 || fetched > 6 {
						t.Errorf("there are %d lanes, and %d are fetched for", n, fetched)
					}
					w.die(nil)
				}
				if n, fetched := lanes(); n+fetched > 0 {
					t.Errorf("%d lanes are left, and %d that are fetched for", n, fetched)
				}
				th.broker.end(ErrStopped)
			})
		})
	}
}

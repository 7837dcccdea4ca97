package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/queue"
)

var errBackend = errors.New("the backend has fallen over")

// stage is a Store between rules of tasks and a Backend. Its rules are told of what happens at
// once, and what they say is for the test to see.
type stage struct {
	*Store
	rules    *queue.Queue
	warnings []string
}

// lane is the lane of all tasks of a stage.
var lane = queue.Lane{Queue: "q", Type: "t", Priority: queue.Normal}

func newStage(t *testing.T, b backend.Backend) *stage {
	s := &stage{rules: queue.New(queue.Config{Limit: 9, LimitBytes: 1 << 30, Stored: true})}
	s.rules.AddPool(1, queue.PoolOptions{Queues: []string{"q"}})
	s.rules.AddSlot(1, 1)
	s.Store = New(Config{
		Backend: b,
		Run:     "run",
		Happens: func(event func(*queue.Queue)) { event(s.rules) },
		Foreign: func(t backend.Task) (*Entry, error) {
			if t.Options == "odd" {
				return nil, errors.New("it is odd")
			}
			return &Entry{}, nil
		},
		Warnf: func(format string, args ...any) { s.warnings = append(s.warnings, fmt.Sprintf(format, args...)) },
	})
	t.Cleanup(s.cancel)
	return s
}

// submit has a new task in the rules, which is to be stored.
func (s *stage) submit() *Entry {
	e := &Entry{}
	s.rules.Submit(&e.Task, lane, nil, true, 0)
	return e
}

// fakeLease is a lease of a Backend that notes how it ends. What fails is err.
type fakeLease struct {
	task     backend.Task
	deadline time.Time
	err      error
	told     []string
}

func (l *fakeLease) Task() backend.Task        { return l.task }
func (l *fakeLease) Attempt() int              { return 1 }
func (l *fakeLease) Deadline() time.Time       { return l.deadline }
func (l *fakeLease) Ack(context.Context) error { l.told = append(l.told, "ack"); return l.err }

func (l *fakeLease) Retry(_ context.Context, _ time.Duration, why string) error {
	l.told = append(l.told, "retry: "+why)
	return l.err
}

func (l *fakeLease) Return(context.Context) error {
	l.told = append(l.told, "return")
	return l.err
}

func (l *fakeLease) Dead(_ context.Context, why string) error {
	l.told = append(l.told, "dead: "+why)
	return l.err
}

func (l *fakeLease) Extend(context.Context) error {
	l.told = append(l.told, "extend")
	l.deadline = time.Now().Add(time.Minute)
	return l.err
}

func (l *fakeLease) Checkpoint(_ context.Context, b []byte) error {
	l.told = append(l.told, "checkpoint: "+string(b))
	return l.err
}

// A job that could not be given back to the Backend, but was a dead letter meanwhile and is stored
// anew, goes on: only the Backend's word about the present one ends it.
func TestFailedRetryEndsNoJobThatIsStoredAnew(t *testing.T) {
	for name, c := range map[string]struct{ anew, ends bool }{
		"it waits for its next attempt": {false, true},
		"it is stored anew":             {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, backend.NewMemory())
			e := s.submit()
			e.id, e.lease = "old", &Lease{of: &fakeLease{err: errBackend}, store: s.Store}
			s.PutBack(e, 0, "")
			if c.anew {
				s.Put(e, backend.Task{}, 0)
			}
			s.speak(t.Context())
			require.Equal(t, c.ends, e.Ended())
		})
	}
}

// A task that has ended before it was fetched is removed when it comes, and is then forgotten. Of
// those that never come, not all are kept for ever.
func TestDroppedTasks(t *testing.T) {
	s := newStage(t, backend.NewMemory())
	end := func() (id string) {
		e := &Entry{}
		id = s.entries.enter(e)
		s.EndLease(e, queue.Remove, 0, "")
		return id
	}
	come := func(id string) []string {
		l := &fakeLease{task: backend.Task{ID: id, Options: "odd"}}
		s.arrive(nil, lane, l)
		s.speak(t.Context())
		return l.told
	}
	id := end()
	require.Equal(t, Residue{Dropped: 1}, s.Residue())
	require.Equal(t, []string{"ack"}, come(id))
	require.Equal(t, Residue{}, s.Residue())
	require.Equal(t, []string{"dead: it is odd"}, come(id), "it has come twice")

	const most = 1000
	s.entries.most = most
	first := end()
	var last string
	for range most {
		last = end()
	}
	require.Equal(t, []string{"ack"}, come(first), "at least the last %d are known", most)
	for range 2 * most {
		end()
		require.LessOrEqual(t, s.Residue().Dropped, 2*most)
	}
	require.Equal(t, []string{"dead: it is odd"}, come(last))
}

// A task whose end the Backend is told of is told once, whatever it is.
func TestEndOfALease(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *stage, e *Entry)
		want string
	}{
		"done":     {func(s *stage, e *Entry) { s.EndLease(e, queue.Remove, 0, "no") }, "ack"},
		"given up": {func(s *stage, e *Entry) { s.EndLease(e, queue.GiveUp, 0, "no") }, "dead: no"},
		"kept":     {func(s *stage, e *Entry) { s.EndLease(e, queue.Keep, 0, "no") }, "retry: no"},
		"returned": {func(s *stage, e *Entry) { s.EndLease(e, queue.Return, 0, "no") }, "return"},
		"put back": {func(s *stage, e *Entry) { s.PutBack(e, 0, "no") }, "retry: no"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, backend.NewMemory())
			e := s.submit()
			s.Put(e, backend.Task{}, 0)
			s.puts = nil
			l := &fakeLease{task: backend.Task{ID: e.id}}
			s.arrive(nil, lane, l)
			require.Equal(t, Residue{Tasks: 1}, s.Residue())
			c.end(s, e)
			s.speak(t.Context())
			require.Equal(t, []string{c.want}, l.told)
			require.Nil(t, e.Lease())
			left := Residue{}
			if name == "put back" {
				left.Tasks = 1
			}
			require.Equal(t, left, s.Residue())
		})
	}
}

// A lease is extended until it ends or is lost. Of the checkpoints that the Backend has not been
// told yet, it gets the last one.
func TestLeaseIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, backend.NewMemory())
		s.Open()
		of := &fakeLease{deadline: time.Now().Add(time.Minute)}
		l := &Lease{of: of, store: s.Store}
		l.keep()
		time.Sleep(95 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"extend", "extend", "extend"}, of.told)
		l.Checkpoint([]byte("a"))
		l.Checkpoint([]byte("b"))
		synctest.Wait()
		l.done()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"checkpoint: b", "ack"}, of.told[3:])

		lost := &fakeLease{deadline: time.Now().Add(time.Minute), err: backend.ErrLeaseLost}
		(&Lease{of: lost, store: s.Store}).keep()
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Equal(t, []string{"extend"}, lost.told)
		require.Len(t, s.warnings, 1)
		s.Close()
	})
}

// watched is a Backend that notes with which credit Fetch is called, and how many calls go on.
type watched struct {
	backend.Backend
	calls []int
	open  int
}

func (b *watched) Fetch(ctx context.Context, queue string, credit int) ([]backend.Lease, error) {
	b.calls = append(b.calls, credit)
	b.open++
	leases, err := b.Backend.Fetch(ctx, queue, credit)
	b.open--
	return leases, err
}

// Tasks that come too late go back in the order in which they have come, whatever is drawn while
// they do.
func TestTooLateKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backend.NewMemory()
		s := newStage(t, b)
		s.Open()
		s.Draw(lane, 5)
		synctest.Wait()
		s.DrawLess(lane, 4)
		var tasks []backend.Task
		for i := range 5 {
			tasks = append(tasks, backend.Task{ID: fmt.Sprint(i), Queue: laneName(lane)})
		}
		_, err := b.Enqueue(t.Context(), tasks...)
		require.NoError(t, err)
		synctest.Wait()
		leases, err := b.Fetch(t.Context(), laneName(lane), 5)
		require.NoError(t, err)
		var ids []string
		for _, l := range leases {
			ids = append(ids, l.Task().ID)
			require.Equal(t, 1, l.Attempt())
		}
		require.Equal(t, []string{"1", "2", "3", "4"}, ids)
		s.Close()
	})
}

// Credit that is taken back is as if it had not been given: what a call of Fetch brings all the same
// goes back, and counts as no attempt. The call itself ends, unless there is use for it soon.
func TestDrawLess(t *testing.T) {
	for name, c := range map[string]struct {
		happens func(s *stage, put func())
		calls   []int         // of Fetch
		open    int           // how many of them go on at the end
		depth   backend.Depth // at the end
	}{
		"nothing comes": {func(s *stage, put func()) {
			s.DrawLess(lane, 2)
			time.Sleep(linger)
		}, []int{2}, 0, backend.Depth{}},
		"one comes too late": {func(s *stage, put func()) {
			s.DrawLess(lane, 2)
			put()
		}, []int{2}, 0, backend.Depth{Ready: 1}},
		"some of it is taken back": {func(s *stage, put func()) {
			s.DrawLess(lane, 1)
			time.Sleep(linger)
		}, []int{2, 1}, 1, backend.Depth{}},
		"one is wanted, and another one comes too late": {func(s *stage, put func()) {
			s.DrawLess(lane, 1)
			put()
			put()
		}, []int{2}, 0, backend.Depth{Ready: 1, Leased: 1}},
		"it is wanted again soon": {func(s *stage, put func()) {
			for range 5 {
				s.DrawLess(lane, 2)
				time.Sleep(linger / 3)
				s.Draw(lane, 2)
				time.Sleep(linger / 3)
			}
			time.Sleep(time.Hour)
			put()
		}, []int{2, 1}, 1, backend.Depth{Leased: 1}},
		"it is wanted again later": {func(s *stage, put func()) {
			s.DrawLess(lane, 2)
			time.Sleep(time.Hour)
			s.Draw(lane, 1)
			time.Sleep(time.Hour)
			put()
		}, []int{2, 1}, 0, backend.Depth{Leased: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &watched{Backend: backend.NewMemory()}
				s := newStage(t, b)
				s.Open()
				ids := 0
				put := func() {
					ids++
					_, err := b.Enqueue(t.Context(), backend.Task{ID: fmt.Sprint(ids), Queue: laneName(lane)})
					require.NoError(t, err)
				}
				s.Draw(lane, 2)
				synctest.Wait()
				c.happens(s, put)
				synctest.Wait()
				require.Equal(t, c.calls, b.calls)
				require.Equal(t, c.open, b.open)
				depth, err := b.Depth(t.Context(), laneName(lane))
				require.NoError(t, err)
				require.Equal(t, c.depth, depth)
				require.Empty(t, s.warnings)
				if depth.Ready > 0 {
					leases, err := b.Backend.Fetch(t.Context(), laneName(lane), 1)
					require.NoError(t, err)
					require.Equal(t, 1, leases[0].Attempt())
				}
				s.Close()
			})
		})
	}
}

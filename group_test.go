package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// journal is a file to which workers, be they processes or goroutines, add lines: what really
// happened, in its order. (Events are told in the order in which the supervisors, each for itself,
// come to tell them.)
type journal string

const journalVar = "MULTIPROLAB_TEST_JOURNAL"

func newJournal(t testing.TB) journal { return journal(filepath.Join(t.TempDir(), "journal")) }

func (j journal) add(format string, args ...any) {
	f, err := os.OpenFile(string(j), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return // the test is over; if it is not, it misses the line
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, format+"\n", args...)
}

func (j journal) lines(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile(string(j))
	require.NoError(t, err)
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// before checks that each line of first is there and comes before each line of then.
func (j journal) before(t testing.TB, first, then []string) {
	t.Helper()
	lines := j.lines(t)
	for _, f := range first {
		for _, n := range then {
			i, k := slices.Index(lines, f), slices.Index(lines, n)
			require.GreaterOrEqual(t, i, 0, "%q is missing in %q", f, lines)
			require.GreaterOrEqual(t, k, 0, "%q is missing in %q", n, lines)
			require.Less(t, i, k, "%q must come before %q: %q", f, n, lines)
		}
	}
}

// each returns texts with the parts in the place of %s.
func each(format string, parts ...string) (texts []string) {
	for _, p := range parts {
		texts = append(texts, fmt.Sprintf(format, p))
	}
	return texts
}

// heard is what a member tells main about a message that it has got.
type heard struct {
	Worker string
	Life   int
	N      int
}

var (
	_ = worker("member-a", memberSetup("", ""))
	_ = worker("member-b", memberSetup("", ""))
	_ = worker("member-c", memberSetup("", ""))
)

// memberVar says what a member does beyond the usual.
const memberVar = "MULTIPROLAB_TEST_MEMBER"

// memberSetup is the setup function of a member of a group. What is empty is in its environment.
func memberSetup(j journal, extra string) func(context.Context, *multiprolab.Worker) error {
	return func(ctx context.Context, w *multiprolab.Worker) error {
		j, extra := j, extra
		if j == "" {
			j, extra = journal(os.Getenv(journalVar)), os.Getenv(memberVar)
		}
		j.add("%s %d setup", w.Name(), w.Life())
		if extra == "fail life 2" && w.Life() == 2 {
			return errors.New("the second setup fails")
		}
		failed := make(chan error, 1)
		w.Loop(func(ctx context.Context) error {
			select {
			case err := <-failed:
				return err
			case <-ctx.Done():
				return nil
			}
		})
		// fail ends the member with an error, in the way in which it would end without one.
		multiprolab.Handle(
			w,
			"member-fail",
			func(_ context.Context, text string) error { failed <- errors.New(text); return nil },
		)
		multiprolab.Handle(w, "member-note", func(ctx context.Context, n int) error {
			return multiprolab.Send(ctx, w, "main", "heard", heard{w.Name(), w.Life(), n})
		})
		multiprolab.HandleTask(w, "member-visit", func(_ context.Context, v visit) (string, error) { return v.wait() })
		multiprolab.HandleTask(
			w,
			"member-who",
			func(ctx context.Context, _ struct{}) (whoami, error) { return whoAmI(ctx, w), nil },
		)
		multiprolab.HandleCall(
			w,
			"member-life",
			func(ctx context.Context, _ struct{}) (int, error) { return w.Life(), nil },
		)
		context.AfterFunc(ctx, func() { // its goroutine ends with the worker
			_ = multiprolab.Send(context.Background(), w, "main", "told", heard{w.Name(), w.Life(), 0})
		})
		w.OnExit(func(context.Context) error {
			j.add("%s %d exit", w.Name(), w.Life())
			if extra == "fail exit 1" && w.Life() == 1 {
				return errors.New("the first exit fails")
			}
			return nil
		})
		j.add("%s %d ready", w.Name(), w.Life())
		return nil
	}
}

// troupe is an app whose members are in a group, and what they tell main.
type troupe struct {
	*lab
	journal journal
	told    chan heard
	heard   chan heard
}

// newTroupe makes one, and starts it. extras are those of memberSetup, by member.
func newTroupe(
	t *testing.T,
	cfg *multiprolab.Config,
	strategy multiprolab.Strategy,
	extras map[string]string,
	pools ...pool,
) *troupe {
	t.Helper()
	tr := &troupe{
		lab:     newLab(t, cfg),
		journal: newJournal(t),
		told:    make(chan heard, 100),
		heard:   make(chan heard, 1000),
	}
	multiprolab.Handle(tr, "told", func(_ context.Context, h heard) error { tr.told <- h; return nil })
	multiprolab.Handle(tr, "heard", func(_ context.Context, h heard) error { tr.heard <- h; return nil })
	var names []string
	for _, p := range pools {
		if p.cfg == nil {
			p.cfg = &multiprolab.WorkerConfig{}
		}
		p.cfg.Process.Env = append(p.cfg.Process.Env, journalVar+"="+string(tr.journal), memberVar+"="+extras[p.name])
		if cfg.InProcess {
			tr.RegisterWorker(p.name, memberSetup(tr.journal, extras[p.name]), p.cfg)
		} else {
			tr.RegisterWorker(p.name, setups[p.name], p.cfg)
		}
		names = append(names, p.name)
	}
	tr.RegisterGroup(strategy, names...)
	require.NoError(t, tr.Start(t.Context()))
	t.Cleanup(func() {
		_ = tr.Close()
		tr.checkGone(t)
	})
	return tr
}

// waitTold waits until a member says that it has been told to exit. One that has nothing to do may
// have ended before it could say so.
func (tr *troupe) waitTold(t testing.TB, name string) heard {
	t.Helper()
	for {
		if h := await(t, tr.told, "a member to be told to exit"); h.Worker == name {
			return h
		}
	}
}

// ready waits until a life of an instance is ready.
func (l *lab) ready(t testing.TB, name string, life int) *multiprolab.WorkerReady {
	t.Helper()
	return waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == name && e.Life == life })
}

// hadLives closes the app, and checks how many lives each instance had.
func (l *lab) hadLives(t testing.TB, want map[string]int) {
	t.Helper()
	require.NoError(t, l.Close())
	got := map[string]int{}
	for _, e := range eventsOf[*multiprolab.WorkerStarted](l) {
		got[e.Worker]++
	}
	require.Equal(t, want, got)
}

// With AllForOne none starts again before all have ended, and then each when those of the member
// before it are ready, as at the start of the program.
func TestGroupAllForOneOrder(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		tr := newTroupe(
			t,
			&multiprolab.Config{InProcess: inProcess},
			multiprolab.AllForOne,
			nil,
			pool{"member-a", nil},
			workers("member-b", 2),
			workers("member-c", 2),
		)
		require.NoError(t, multiprolab.Send(bounded(t), tr, "member-b/0", "member-fail", "b/0 fails"))
		all := []string{"member-a/0", "member-b/0", "member-b/1", "member-c/0", "member-c/1"}
		for _, name := range all {
			tr.ready(t, name, 2)
		}
		tr.journal.before(t, each("%s 1 exit", all...), each("%s 2 setup", all...))
		for _, life := range []string{"1", "2"} {
			tr.journal.before(
				t,
				each("%s "+life+" ready", "member-a/0"),
				each("%s "+life+" setup", "member-b/0", "member-b/1"),
			)
			tr.journal.before(
				t,
				each("%s "+life+" ready", "member-b/0", "member-b/1"),
				each("%s "+life+" setup", "member-c/0", "member-c/1"),
			)
		}
		// At the end of the program they go in the reverse order.
		tr.hadLives(
			t,
			map[string]int{"member-a/0": 2, "member-b/0": 2, "member-b/1": 2, "member-c/0": 2, "member-c/1": 2},
		)
		tr.journal.before(
			t,
			each("%s 2 exit", "member-c/0", "member-c/1"),
			each("%s 2 exit", "member-b/0", "member-b/1"),
		)
		tr.journal.before(t, each("%s 2 exit", "member-b/0", "member-b/1"), each("%s 2 exit", "member-a/0"))
		failed := eventsOf[*multiprolab.WorkerFailed](tr.lab)
		require.Len(t, failed, 1)
		require.Equal(t, "member-b/0", failed[0].Worker)
		for _, e := range eventsOf[*multiprolab.WorkerStopped](tr.lab) {
			require.Equal(t, e.Life == 1, e.Restart, "%s, life %d", e.Worker, e.Life)
		}
	})
}

// A member that works finishes first; nobody starts again before. The tasks that it was handed
// ahead go to its next life and are not charged, and messages that are sent meanwhile are delivered
// to the next lives, each once.
func TestGroupFinishesItsWork(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		none := []string{"none"}
		g := newGate(t)
		tr := newTroupe(
			t,
			&multiprolab.Config{InProcess: inProcess},
			multiprolab.AllForOne,
			nil,
			pool{
				"member-a",
				nil,
			},
			pool{"member-b", &multiprolab.WorkerConfig{Queues: none}},
			pool{"member-c", &multiprolab.WorkerConfig{Queues: none}},
		)
		for range warmTasks {
			_, err := multiprolab.Do[whoami](bounded(t), tr, "member-who", nil)
			require.NoError(t, err)
		}
		held := tr.submit(t, "member-visit", g.visit("held"), nil)
		v := g.expect(t, "held")
		var behind []*multiprolab.Future[whoami]
		for range 10 {
			f, err := multiprolab.Submit[whoami](
				bounded(t),
				tr,
				"member-who",
				nil,
				&multiprolab.TaskOptions{Attempts: 1},
			)
			require.NoError(t, err)
			behind = append(behind, f)
		}
		require.NoError(t, multiprolab.Send(bounded(t), tr, "member-b", "member-fail", "b fails"))
		waitEvent(t, tr.lab, func(e *multiprolab.WorkerFailed) bool { return e.Worker == "member-b/0" })
		require.Equal(t, heard{"member-a/0", 1, 0}, tr.waitTold(t, "member-a/0"))
		waitEvent(t, tr.lab, func(e *multiprolab.WorkerStopped) bool { return e.Worker == "member-c/0" })
		var sends sync.WaitGroup
		for n := range 30 {
			sends.Go(func() { // ends with the delivery
				if err := multiprolab.Send(context.Background(), tr, []string{"member-a", "member-b", "member-c"}[n%3], "member-note", n); err != nil {
					t.Error(err)
				}
			})
		}
		for _, name := range []string{"member-a/0", "member-b/0", "member-c/0"} {
			require.Len(t, starts(tr.lab, name), 1, "it has started again while a member worked")
		}
		v.tell("finished")
		text, err := outcome(t, held)
		require.NoError(t, err)
		require.Equal(t, "finished", text)
		for _, f := range behind {
			who, err := outcome(t, f)
			require.NoError(t, err)
			require.Equal(t, 1, who.Attempt)
			require.Equal(t, 2, who.Life)
		}
		sends.Wait()
		got := map[int]bool{}
		for range 30 {
			h := await(t, tr.heard, "the messages")
			require.Equal(t, 2, h.Life, "%+v", h)
			require.False(t, got[h.N], "message %d came twice", h.N)
			got[h.N] = true
		}
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](tr.lab))
		tr.hadLives(t, map[string]int{"member-a/0": 2, "member-b/0": 2, "member-c/0": 2})
		require.Empty(t, tr.heard)
		require.Equal(t, multiprolab.TaskStats{Received: warmTasks + 11, Succeeded: warmTasks + 11}, tr.Tasks().Stats())
	})
}

// Messages that wait between two lives are delivered, those that the old life had already are
// handled by it.
func TestGroupMessagesBetweenLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		var got notes
		hold := make(chan bool)
		var busy chan bool
		setup := func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.Handle(w, "note", func(_ context.Context, n int) error {
				got.add(fmt.Sprintf("%s life %d: %d", w.Name(), w.Life(), n))
				return nil
			})
			multiprolab.Handle(w, "hold", func(context.Context, struct{}) error { close(busy); <-hold; return nil })
			multiprolab.Handle(w, "fail", func(context.Context, struct{}) error {
				w.After(0, func(context.Context) error { return errors.New("it fails") })
				return nil
			})
			return nil
		}
		busy = make(chan bool)
		l.RegisterWorker("a", setup, nil)
		l.RegisterWorker("b", setup, nil)
		l.RegisterGroup(multiprolab.AllForOne, "a", "b")
		ctx := t.Context()
		require.NoError(t, l.Start(ctx))
		require.NoError(t, multiprolab.Send(ctx, l, "a", "hold", nil))
		<-busy
		require.NoError(t, multiprolab.Send(ctx, l, "a", "note", 1)) // in the inbox of the first life
		require.NoError(t, multiprolab.Send(ctx, l, "b", "fail", nil))
		synctest.Wait()                                              // b has failed, a has been told
		go func() { _ = multiprolab.Send(ctx, l, "a", "note", 2) }() // wait for the next life
		go func() { _ = multiprolab.Send(ctx, l, "b", "note", 3) }()
		synctest.Wait()
		require.Len(t, starts(l, "b/0"), 1)
		require.Zero(t, got.len())
		close(hold)
		synctest.Wait()
		all := got.all()
		slices.Sort(all)
		require.Equal(t, []string{"a/0 life 1: 1", "a/0 life 2: 2", "b/0 life 2: 3"}, all)
		require.NoError(t, l.Close())
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l))
	})
}

// Members that die in the same moment are one failure of the group: each starts once again.
func TestGroupTwoDieAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no signals")
	}
	for range 5 {
		tr := newTroupe(
			t,
			&multiprolab.Config{},
			multiprolab.AllForOne,
			nil,
			pool{"member-a", nil},
			pool{"member-b", nil},
			pool{"member-c", nil},
		)
		first, last := starts(tr.lab, "member-a/0")[0].PID, starts(tr.lab, "member-c/0")[0].PID
		require.NoError(t, signalProcess(first, "SIGSTOP")) // so that it does not end for the sake of the other before
		require.NoError(t, killProcess(last))
		require.NoError(t, killProcess(first))
		for _, name := range []string{"member-a/0", "member-b/0", "member-c/0"} {
			tr.ready(t, name, 2)
			life, err := multiprolab.Call[int](bounded(t), tr, name, "member-life", nil)
			require.NoError(t, err)
			require.Equal(t, 2, life)
		}
		tr.hadLives(t, map[string]int{"member-a/0": 2, "member-b/0": 2, "member-c/0": 2})
		require.Len(t, eventsOf[*multiprolab.WorkerFailed](tr.lab), 2)
	}
}

// A member that fails while it ends for the sake of another has failed, but the group is restarted
// already.
func TestGroupFailureOnTheWayOut(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, failing := range []string{"member-a", "member-c"} {
			tr := newTroupe(
				t,
				&multiprolab.Config{InProcess: inProcess},
				multiprolab.AllForOne,
				map[string]string{failing: "fail exit 1"},
				pool{"member-a", nil},
				pool{"member-b", nil},
				pool{"member-c", nil},
			)
			require.NoError(t, multiprolab.Send(bounded(t), tr, "member-b", "member-fail", "b fails"))
			e := waitEvent(t, tr.lab, func(e *multiprolab.WorkerFailed) bool { return e.Worker == failing+"/0" })
			require.ErrorContains(t, e.Err, "the first exit fails")
			require.True(t, e.Restart)
			for _, name := range []string{"member-a/0", "member-b/0", "member-c/0"} {
				tr.ready(t, name, 2)
			}
			for _, name := range []string{"member-a/0", "member-b/0", "member-c/0"} {
				life, err := multiprolab.Call[int](bounded(t), tr, name, "member-life", nil)
				require.NoError(t, err)
				require.Equal(t, 2, life, name)
			}
			tr.hadLives(t, map[string]int{"member-a/0": 2, "member-b/0": 2, "member-c/0": 2})
		}
	})
}

// The same when the others have ended long before, and wait for it.
func TestGroupLateFailureOnTheWayOut(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true})
			setup := func(_ context.Context, w *multiprolab.Worker) error {
				if w.Life() == 1 {
					switch w.Pool() {
					case "b":
						w.After(time.Second, func(context.Context) error { return errors.New("b fails") })
					case "c":
						w.OnExit(
							func(context.Context) error { time.Sleep(time.Second); return errors.New("c fails on its way out") },
						)
					}
				}
				return nil
			}
			for _, name := range []string{"a", "b", "c"} {
				l.RegisterWorker(name, setup, nil)
			}
			l.RegisterGroup(multiprolab.AllForOne, "a", "b", "c")
			require.NoError(t, l.Start(t.Context()))
			time.Sleep(time.Minute)
			l.hadLives(t, map[string]int{"a/0": 2, "b/0": 2, "c/0": 2})
			require.Len(t, eventsOf[*multiprolab.WorkerFailed](l), 2)
		})
	}
}

// A member that fails again while the others wait for it makes the group begin anew; in the end all
// are there.
func TestGroupFailsAgain(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for failing, want := range map[string]map[string]int{
			"member-a": {"member-a/0": 3, "member-b/0": 2, "member-c/0": 2}, // b and c had not begun
			"member-b": {"member-a/0": 3, "member-b/0": 3, "member-c/0": 2},
			"member-c": {"member-a/0": 3, "member-b/0": 3, "member-c/0": 3},
		} {
			tr := newTroupe(
				t,
				&multiprolab.Config{InProcess: inProcess},
				multiprolab.AllForOne,
				map[string]string{failing: "fail life 2"},
				pool{"member-a", nil},
				pool{"member-b", nil},
				pool{"member-c", nil},
			)
			require.NoError(t, multiprolab.Send(bounded(t), tr, "member-b", "member-fail", "b fails"))
			for name, lives := range want {
				tr.ready(t, name, lives)
			}
			// The third lives begin when all second ones have ended.
			for name, lives := range want {
				if lives == 3 && name != failing+"/0" {
					tr.journal.before(
						t,
						[]string{name + " 2 exit"},
						[]string{failing + "/0 3 setup", name + " 3 setup"},
					)
				}
			}
			tr.hadLives(t, want)
		}
	})
}

// A member that does not end in its time is killed; the group is restarted then.
func TestGroupMemberThatDoesNotEnd(t *testing.T) {
	g := newGate(t)
	none := []string{"none"}
	tr := newTroupe(
		t,
		&multiprolab.Config{ShutdownTimeout: 20 * time.Millisecond, KillTimeout: 20 * time.Millisecond},
		multiprolab.AllForOne,
		nil,
		pool{"member-a", nil},
		pool{"member-b", &multiprolab.WorkerConfig{Queues: none}},
	)
	held := tr.submit(t, "member-visit", g.visit("held"), nil)
	g.expect(t, "held")
	require.NoError(t, multiprolab.Send(bounded(t), tr, "member-b", "member-fail", "b fails"))
	_, err := outcome(t, held)
	died, ok := errors.AsType[*multiprolab.WorkerDiedError](err)
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, "member-a/0", died.Worker)
	tr.ready(t, "member-a/0", 2)
	tr.ready(t, "member-b/0", 2)
	// Idle, they end within these times, or are killed on the way out: how many lives there were
	// says nothing here but for both.
	_ = tr.Close()
	require.Len(t, starts(tr.lab, "member-a/0"), 2)
	require.Len(t, starts(tr.lab, "member-b/0"), 2)
}

// A pause of one member is its own: those before it start again at once, those behind it wait for
// it.
func TestGroupMemberInBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		var begun time.Time
		var mu sync.Mutex
		at := map[string][]time.Duration{}
		l := newLab(t, &multiprolab.Config{InProcess: true})
		setup := func(failures ...time.Duration) func(context.Context, *multiprolab.Worker) error {
			return func(_ context.Context, w *multiprolab.Worker) error {
				mu.Lock()
				at[w.Pool()] = append(at[w.Pool()], time.Since(begun))
				mu.Unlock()
				if i := w.Life() - 1; i < len(failures) && failures[i] > 0 {
					w.After(failures[i], func(context.Context) error { return errors.New("it fails") })
				}
				return nil
			}
		}
		slow := &multiprolab.WorkerConfig{RestartDelay: 10 * s, RestartMaxDelay: 10 * s, RestartJitter: -1}
		l.RegisterWorker("a", setup(0, 0, 4*s), nil) // its third life fails in the pause of b
		l.RegisterWorker("b", setup(s, s), slow)     // fails twice: at once, and after 10 seconds
		l.RegisterWorker("c", setup(), nil)
		l.RegisterGroup(multiprolab.AllForOne, "a", "b", "c")
		begun = time.Now()
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(60 * s)
		require.NoError(t, l.Close())
		require.Equal(t, map[string][]time.Duration{
			"a": {0, 1 * s, 2 * s, 6 * s},
			"b": {0, 1 * s, 12 * s},
			"c": {0, 1 * s, 12 * s},
		}, at)
	})
}

// With RestForOne the members behind the failed one are restarted: all instances of theirs, none of
// those of its own member nor of those before it.
func TestGroupRestForOneOfPools(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		tr := newTroupe(
			t,
			&multiprolab.Config{InProcess: inProcess},
			multiprolab.RestForOne,
			nil,
			workers("member-a", 2),
			workers("member-b", 2),
			workers("member-c", 2),
		)
		want := map[string]int{
			"member-a/0": 1,
			"member-a/1": 1,
			"member-b/0": 1,
			"member-b/1": 1,
			"member-c/0": 1,
			"member-c/1": 1,
		}
		for _, step := range []struct {
			fails  string
			others []string
		}{
			{"member-c/1", nil},
			{"member-b/0", []string{"member-c/0", "member-c/1"}},
			{"member-a/1", []string{"member-b/0", "member-b/1", "member-c/0", "member-c/1"}},
		} {
			old := fmt.Sprint(want[step.fails])
			require.NoError(t, multiprolab.Send(bounded(t), tr, step.fails, "member-fail", "it fails"))
			again := append([]string{step.fails}, step.others...)
			for _, name := range again {
				want[name]++
				tr.ready(t, name, want[name])
			}
			for name, lives := range want {
				life, err := multiprolab.Call[int](bounded(t), tr, name, "member-life", nil)
				require.NoError(t, err)
				require.Equal(t, lives, life, "%s after the failure of %s", name, step.fails)
			}
			for _, name := range step.others {
				tr.journal.before(
					t,
					[]string{fmt.Sprintf("%s %s exit", step.fails, old), fmt.Sprintf("%s %d exit", name, want[name]-1)},
					[]string{fmt.Sprintf("%s %d setup", name, want[name])},
				)
			}
		}
		tr.hadLives(t, want)
	})
}

func TestGroupRegistration(t *testing.T) {
	app := func() *lab {
		return newLab(
			t,
			&multiprolab.Config{InProcess: true},
			workers("lab", 1),
			workers("guest", 1),
			workers("prog", 1),
		)
	}
	for _, c := range []struct {
		name string
		do   func(l *lab)
		says []string
	}{
		{"unknown", func(l *lab) { l.RegisterGroup(multiprolab.AllForOne, "lab", "nobody") }, []string{`worker "nobody" is in a group, but not registered`}},
		{"an instance", func(l *lab) { l.RegisterGroup(multiprolab.AllForOne, "lab/0") }, []string{`worker "lab/0" is in a group, but not registered`}},
		{"twice in one", func(l *lab) { l.RegisterGroup(multiprolab.AllForOne, "lab", "lab") }, []string{`worker "lab" is in two groups, or twice in one`}},
		{"in two", func(l *lab) {
			l.RegisterGroup(multiprolab.AllForOne, "lab", "guest")
			l.RegisterGroup(multiprolab.RestForOne, "prog", "guest")
		}, []string{`worker "guest" is in two groups`}},
		{"no strategy", func(l *lab) { l.RegisterGroup(multiprolab.Strategy(3), "lab") }, []string{"Strategy(3) is none"}},
		{"a negative strategy", func(l *lab) { l.RegisterGroup(multiprolab.Strategy(-1), "lab") }, []string{"Strategy(-1) is none"}},
		{"after Start", func(l *lab) {
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			l.RegisterGroup(multiprolab.AllForOne, "lab")
		}, []string{"after Run or Start"}},
	} {
		text := panicText(t, func() { c.do(app()) })
		for _, says := range append(c.says, "group_test.go:") {
			require.Contains(t, text, says, c.name)
		}
	}
	// What has panicked has registered nothing.
	l := app()
	_ = panicText(t, func() { l.RegisterGroup(multiprolab.AllForOne, "lab", "nobody") })
	l.RegisterGroup(multiprolab.AllForOne, "lab", "guest")
	require.NoError(t, l.Start(t.Context()))
	require.NoError(t, l.Close())
	for strategy, name := range map[multiprolab.Strategy]string{multiprolab.OneForOne: "OneForOne", multiprolab.AllForOne: "AllForOne", multiprolab.RestForOne: "RestForOne", 9: "Strategy(9)"} {
		require.Equal(t, name, strategy.String())
	}
}

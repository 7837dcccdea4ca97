package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// errand is what a round worker does once its gate lets it: the first step, and the errand of that.
type errand struct {
	Visit visit // before it begins; without an address it begins at once
	Stray visit // of the next, if this one's first step is stray
	Steps []string
}

// run does the first step, and returns the names of the processes that it came through.
func (e errand) run(ctx context.Context, p multiprolab.Process, name string) (string, error) {
	if e.Visit.Addr != "" {
		if _, err := e.Visit.wait(); err != nil {
			return "", err
		}
	}
	if len(e.Steps) == 0 {
		return name, nil
	}
	next := errand{Steps: e.Steps[1:]}
	how, to, _ := strings.Cut(e.Steps[0], " ")
	var got string
	var err error
	switch how {
	case "call":
		got, err = multiprolab.Call[string](ctx, p, to, "round", next)
	case "do":
		got, err = multiprolab.Do[string](ctx, p, to, next)
	case "do-keyed":
		got, err = multiprolab.DoWith[string](ctx, p, to, next, &multiprolab.TaskOptions{Key: "k"})
	case "submit":
		var f *multiprolab.Future[string]
		if f, err = multiprolab.Submit[string](ctx, p, to, next, nil); err == nil {
			got, err = f.Wait(ctx)
		}
	case "fan": // many tasks that nobody waits for
		for range 300 {
			if _, err = multiprolab.Submit[string](ctx, p, to, next, nil); err != nil {
				break
			}
		}
	case "leave": // a task that nobody waits for
		_, err = multiprolab.Submit[string](ctx, p, to, next, nil)
	case "map":
		for item, e := range multiprolab.Map[string](ctx, p, to, func(yield func(errand) bool) { yield(next) }, nil) {
			got, err = item, e
		}
	case "stray": // a call that its handler does not wait for
		next.Visit = e.Stray
		go func() {
			_, err := multiprolab.Call[string](context.WithoutCancel(ctx), p, to, "round", next)
			_ = multiprolab.Send(context.Background(), p, "main", "stray", fmt.Sprint(err))
		}()
		_, err = e.Stray.wait() // until the test has seen the call arrive
	default:
		err = fmt.Errorf("no such step: %s", how)
	}
	return name + " " + got, err
}

func roundWorker(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(
		w,
		"round",
		func(ctx context.Context, e errand) (string, error) { return e.run(ctx, w, w.Name()) },
	)
	for _, typ := range []string{"round", w.Pool()} {
		multiprolab.HandleTask(
			w,
			typ,
			func(ctx context.Context, e errand) (string, error) { return e.run(ctx, w, w.Name()) },
		)
	}
	return nil
}

var _, _, _ = worker("ra", roundWorker), worker("rb", roundWorker), worker("rc", roundWorker)

// circleOf starts an errand in each of some processes by a call, lets all begin when all are there,
// and returns how they ended.
func circleOf(t *testing.T, l *lab, g *gate, typ string, errands map[string][]string) (errs []error) {
	t.Helper()
	outcomes := make(chan error, len(errands))
	for to, steps := range errands {
		go func() {
			e := errand{Visit: g.visit(to), Steps: steps}
			var err error
			if typ == "task" {
				to, _, _ := strings.Cut(to, "/")
				_, err = multiprolab.Do[string](bounded(t), l, to, e)
			} else {
				_, err = multiprolab.Call[string](bounded(t), l, to, "round", e)
			}
			outcomes <- err
		}()
	}
	var visitors []*visitor
	for range errands {
		visitors = append(visitors, g.next(t))
	}
	for _, v := range visitors {
		v.tell("go on")
	}
	for range errands {
		if err := await(t, outcomes, "an outcome"); err != nil {
			require.ErrorContains(t, err, "would wait for itself") // in a handler, so that it is a text here
			errs = append(errs, err)
		}
	}
	return errs
}

// TestCircles: of waits in a circle, whichever way each of them was made, the one that closes it is
// refused, and the others end.
func TestCircles(t *testing.T) {
	for name, c := range map[string]struct {
		typ     string
		counts  [3]int
		errands map[string][]string
	}{
		"two call each other": {"call", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"call rb/0"}, "rb/0": {"call ra/0"}}},
		"three call each other": {"call", [3]int{1, 1, 1}, map[string][]string{
			"ra/0": {"call rb"}, "rb/0": {"call rc"}, "rc/0": {"call ra"}}},
		"one does a task, another calls":           {"call", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"do rb"}, "rb/0": {"call ra/0"}}},
		"one submits and waits, another calls":     {"call", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"submit rb"}, "rb/0": {"call ra"}}},
		"both submit and wait":                     {"call", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"submit rb"}, "rb/0": {"submit ra"}}},
		"both map":                                 {"call", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"map rb"}, "rb/0": {"map ra"}}},
		"a pool of one does its own task":          {"task", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"do ra"}}},
		"a pool of one submits its own and waits":  {"task", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"submit ra"}}},
		"a pool of one maps its own":               {"task", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"map ra"}}},
		"a pool of two does its own":               {"task", [3]int{2, 1, 1}, map[string][]string{"ra/0": {"do ra"}, "ra/1": {"do ra"}}},
		"a pool of two submits its own and waits":  {"task", [3]int{2, 1, 1}, map[string][]string{"ra/0": {"submit ra"}, "ra/1": {"submit ra"}}},
		"a pool of three maps and does its own":    {"task", [3]int{3, 1, 1}, map[string][]string{"ra/0": {"do ra"}, "ra/1": {"map ra"}, "ra/2": {"submit ra"}}},
		"two pools wait for tasks that either has": {"task", [3]int{1, 2, 0}, map[string][]string{"ra/0": {"do round"}, "rb/0": {"submit round"}, "rb/1": {"do round"}}},
		"a task waits for another with its key":    {"keyed", [3]int{2, 1, 1}, nil},
		"one in ten": {"call", [3]int{4, 3, 3}, map[string][]string{
			"ra/0": {"call ra/1"}, "ra/1": {"do rb"}, "ra/2": {"submit rb"}, "ra/3": {"call rb/0"}, "rb/0": {"call rb/1"}, "rb/1": {"call rb/2"},
			"rb/2": {"call rc/0"}, "rc/0": {"submit rc"}, "rc/1": {"call rc/2"}, "rc/2": {"call ra/0"}}},
		"a call comes back through a task":    {"call", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"do rb", "call ra"}}},
		"a task comes back through two calls": {"task", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"call rb", "call rc", "do ra"}}},
		"a process calls itself":              {"call", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"call ra/0"}}},
		"a submission comes back":             {"task", [3]int{1, 1, 1}, map[string][]string{"ra/0": {"submit rb", "call ra"}}},
	} {
		for _, inProcess := range []bool{false, true} {
			t.Run(fmt.Sprint(name, map[bool]string{true: ", in process"}[inProcess]), func(t *testing.T) {
				t.Parallel()
				var pools []pool
				for i, p := range []string{"ra", "rb", "rc"} {
					if c.counts[i] > 0 {
						pools = append(pools, workers(p, c.counts[i]))
					}
				}
				l := startLab(t, &multiprolab.Config{InProcess: inProcess}, pools...)
				g := newGate(t)
				if c.typ == "keyed" {
					_, err := multiprolab.DoWith[string](
						bounded(t),
						l,
						"ra",
						errand{Steps: []string{"do-keyed ra"}},
						&multiprolab.TaskOptions{Key: "k"},
					)
					require.ErrorContains(t, err, "would wait for itself")
				} else {
					errs := circleOf(t, l, g, c.typ, c.errands)
					require.NotEmpty(t, errs)
					require.LessOrEqual(t, len(errs), len(c.errands))
				}
				for i, p := range []string{"ra", "rb", "rc"} { // nothing is left that holds anybody up
					for n := range c.counts[i] {
						got, err := multiprolab.Call[string](
							bounded(t),
							l,
							fmt.Sprintf("%s/%d", p, n),
							"round",
							errand{},
						)
						require.NoError(t, err)
						require.NotEmpty(t, got)
					}
				}
				require.NoError(t, l.Tasks().Join(bounded(t)))
			})
		}
	}
}

// TestNoCircles: waits that end are not refused, however much they look like a circle.
func TestNoCircles(t *testing.T) {
	for name, steps := range map[string][]string{
		"a task that its submitter does not wait for calls it":          {"leave rb", "call ra/0"},
		"a task comes to a pool that has another worker":                {"do rb", "do ra"},
		"a submission comes to a pool that has another worker":          {"submit rb", "submit ra"},
		"a call to a pool whose other worker waits for it":              {"call rb/0", "call ra"},
		"a task of one that has gone on, which a task of it is for":     {"leave rb", "do ra-once"},
		"a call from a goroutine of a handler that has returned":        {"stray rb/0", "call ra/0"},
		"a call from such a goroutine, whose answer needs a task of it": {"stray rb/0", "do ra-once"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, nil, workers("ra", 2), workers("rb", 1), workers("once", 1))
			strays := make(chan string, 1)
			multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			g := newGate(t)
			done := make(chan error, 1)
			go func() {
				_, err := multiprolab.Call[string](
					bounded(t),
					l,
					"ra/0",
					"round",
					errand{Stray: g.visit("stray"), Steps: steps},
				)
				done <- err
			}()
			var callee *visitor
			if strings.HasPrefix(steps[0], "stray") {
				handler := g.next(t)
				if callee = g.next(t); callee.pid == l.pidOf(t, "ra/0") {
					handler, callee = callee, handler
				}
				handler.tell("go on")
			}
			require.NoError(t, await(t, done, "the call"))
			if callee != nil {
				callee.tell("go on")
			}
			if strings.HasPrefix(steps[0], "stray") {
				require.Equal(t, "<nil>", await(t, strays, "the stray call"))
			}
			require.NoError(t, l.Tasks().Join(bounded(t)))
			require.Zero(t, l.Tasks().Stats().Failed)
		})
	}
}

// pidOf returns the process of an instance that has become ready once.
func (l *lab) pidOf(t testing.TB, name string) int {
	t.Helper()
	return waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == name }).PID
}

// once is another worker for tasks that come to pool ra only once.
var _ = worker("once", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(
		w,
		"ra-once",
		func(ctx context.Context, e errand) (string, error) { return e.run(ctx, w, w.Name()) },
	)
	return nil
})

// TestCirclesThroughMain: main's loop is one of those that wait.
func TestCirclesThroughMain(t *testing.T) {
	type outcome struct{ main, worker error }
	for name, wait := range map[string]func(ctx context.Context, l *lab) error{
		"calls": func(ctx context.Context, l *lab) error {
			_, err := multiprolab.Call[string](ctx, l, "ra/0", "round", errand{})
			return err
		},
		"does": func(ctx context.Context, l *lab) error {
			_, err := multiprolab.Do[string](ctx, l, "ra", errand{})
			return err
		},
		"submits and waits": func(ctx context.Context, l *lab) error {
			f, err := multiprolab.Submit[string](ctx, l, "ra", errand{}, nil)
			if err == nil {
				_, err = f.Wait(ctx)
			}
			return err
		},
		"joins":    func(ctx context.Context, l *lab) error { return l.Tasks().Join(ctx) },
		"restarts": func(ctx context.Context, l *lab) error { return l.Restart(ctx, "ra") },
	} {
		for _, mainFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("main %s, first %v", name, mainFirst), func(t *testing.T) {
				l := newLab(t, nil, workers("ra", 1))
				multiprolab.HandleCall(l, "round", func(context.Context, errand) (string, error) { return "main", nil })
				g := newGate(t)
				mains := make(chan error, 1)
				begun := make(chan struct{})
				proceed := make(chan struct{})
				multiprolab.Handle(l, "wait", func(ctx context.Context, _ struct{}) error {
					close(begun)
					<-proceed
					mains <- wait(ctx, l)
					return nil
				})
				require.NoError(t, l.Start(t.Context()))
				defer l.Close()
				f, err := multiprolab.Submit[string](
					bounded(t),
					l,
					"ra",
					errand{Visit: g.visit("task"), Steps: []string{"call main"}},
					nil,
				)
				require.NoError(t, err)
				v := g.expect(t, "task")
				require.NoError(t, multiprolab.Send(bounded(t), l, "main", "wait", nil))
				await(t, begun, "main's handler")
				if mainFirst {
					close(proceed)
					time.Sleep(20 * time.Millisecond) // the outcome is the same if it was too short
					v.tell("go on")
				} else {
					v.tell("go on")
					eventually(t, "the call to come", func() bool { return l.Receiver().Len() == 1 })
					close(proceed)
				}
				got := outcome{main: await(t, mains, "main")}
				_, got.worker = f.Wait(bounded(t))
				cycle := errors.Is(got.main, multiprolab.ErrCallCycle)
				require.NotEqual(
					t,
					cycle,
					strings.Contains(fmt.Sprint(got.worker), "would wait for itself"),
					"one of them is refused: %v; %v",
					got.main,
					got.worker,
				)
				if !mainFirst {
					require.True(t, cycle, "main's wait closes the circle: %v", got.worker)
				}
			})
		}
	}
}

// TestMainNeedsAnother: main has submitted a task and waits for another one. The first may call
// main.
func TestMainNeedsAnother(t *testing.T) {
	l := newLab(t, nil, workers("ra", 1), workers("rb", 1))
	multiprolab.HandleCall(l, "round", func(context.Context, errand) (string, error) { return "main", nil })
	g := newGate(t)
	mains := make(chan error, 1)
	multiprolab.Handle(l, "wait", func(ctx context.Context, _ struct{}) error {
		if _, err := multiprolab.Submit[string](context.WithoutCancel(ctx), l, "ra", errand{Steps: []string{"call main"}}, nil); err != nil {
			mains <- err
			return nil
		}
		_, err := multiprolab.Do[string](ctx, l, "rb", errand{Visit: g.visit("b")})
		mains <- err
		return nil
	})
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	require.NoError(t, multiprolab.Send(bounded(t), l, "main", "wait", nil))
	v := g.expect(t, "b")
	eventually(t, "the call to come", func() bool { return l.Receiver().Len() == 1 })
	v.tell("go on")
	require.NoError(t, await(t, mains, "main"))
	require.NoError(t, l.Tasks().Join(bounded(t)))
	require.Zero(t, l.Tasks().Stats().Failed)
}

// The worker that calls main in the setup function of its second life.
var _ = worker("needy", func(ctx context.Context, w *multiprolab.Worker) error {
	if w.Life() > 1 {
		if _, err := (visit{os.Getenv(gateVar), "setup"}).wait(); err != nil {
			return err
		}
		_, err := multiprolab.Call[string](ctx, w, "main", "round", errand{})
		if err := multiprolab.Send(ctx, w, "main", "setup", errors.Is(err, multiprolab.ErrCallCycle)); err != nil {
			return err
		}
	}
	return roundWorker(ctx, w)
})

// TestCircleThroughSetup: a setup function that calls main, while main's loop waits for the worker
// that is being set up, gets the error and does without.
func TestCircleThroughSetup(t *testing.T) {
	for name, wait := range map[string]func(ctx context.Context, l *lab) error{
		"main calls it": func(ctx context.Context, l *lab) error {
			_, err := multiprolab.Call[string](ctx, l, "needy/0", "round", errand{})
			return err
		},
		"main does a task": func(ctx context.Context, l *lab) error {
			_, err := multiprolab.Do[string](ctx, l, "needy", errand{})
			return err
		},
		"main restarts it": func(ctx context.Context, l *lab) error { return l.Restart(ctx, "needy") },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(t)
			l := newLab(
				t,
				nil,
				pool{"needy", &multiprolab.WorkerConfig{RestartDelay: 1, Process: multiprolab.ProcessConfig{Env: []string{gateVar + "=" + g.addr()}}}},
			)
			multiprolab.HandleCall(l, "round", func(context.Context, errand) (string, error) { return "main", nil })
			mains, begun, refused := make(chan error, 1), make(chan struct{}), make(chan bool, 1)
			multiprolab.Handle(l, "wait", func(ctx context.Context, _ struct{}) error {
				close(begun)
				mains <- wait(ctx, l)
				return nil
			})
			multiprolab.Handle(l, "setup", func(_ context.Context, was bool) error { refused <- was; return nil })
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			var v *visitor
			restarts := name == "main restarts it"
			if !restarts {
				require.NoError(t, killProcess(l.pidOf(t, "needy/0")))
				v = g.expect(t, "setup")
			}
			require.NoError(t, multiprolab.Send(bounded(t), l, "main", "wait", nil))
			await(t, begun, "main's handler")
			if restarts {
				v = g.expect(t, "setup")
			} else {
				time.Sleep(20 * time.Millisecond) // if it was too short, main's wait closes the circle
			}
			v.tell("go on")
			err := await(t, mains, "main")
			if !await(t, refused, "the setup function") {
				require.False(t, restarts)
				require.ErrorIs(t, err, multiprolab.ErrCallCycle)
				return
			}
			require.NoError(t, err)
		})
	}
}

// TestCircleForRoom: a handler of main that waits for room in the queue while every worker waits
// for main gets the error, and its task is not taken.
func TestCircleForRoom(t *testing.T) {
	l := newLab(t, &multiprolab.Config{QueueLimit: 1}, workers("ra", 1))
	multiprolab.HandleCall(l, "round", func(context.Context, errand) (string, error) { return "main", nil })
	g := newGate(t)
	mains := make(chan error, 1)
	multiprolab.Handle(l, "wait", func(ctx context.Context, _ struct{}) error {
		for {
			if _, err := multiprolab.Submit[string](ctx, l, "ra", errand{}, nil); err != nil {
				mains <- err
				return nil
			}
		}
	})
	hold, held := make(chan struct{}), make(chan struct{})
	multiprolab.Handle(l, "hold", func(context.Context, struct{}) error { close(held); <-hold; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	_, err := multiprolab.Submit[string](
		bounded(t),
		l,
		"ra",
		errand{Visit: g.visit("task"), Steps: []string{"call main"}},
		nil,
	)
	require.NoError(t, err)
	v := g.expect(t, "task")
	require.NoError(t, multiprolab.Send(bounded(t), l, "main", "hold", nil))
	await(t, held, "main to be held up")
	require.NoError(t, multiprolab.Send(bounded(t), l, "main", "wait", nil))
	v.tell("go on")
	eventually(t, "the call to come", func() bool { return l.Receiver().Len() == 2 })
	close(hold)
	require.ErrorIs(t, await(t, mains, "main"), multiprolab.ErrCallCycle)
	require.NoError(t, l.Tasks().Join(bounded(t)))
	require.Zero(t, l.Tasks().Stats().Failed)
}

// TestCircleForRoom_Workers: tasks that submit many more tasks, while the queue is full, to a pool
// all of which does so, do not wait for each other for ever.
func TestCircleForRoom_Workers(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, count := range []int{1, 3} {
			l := startLab(
				t,
				&multiprolab.Config{InProcess: inProcess, QueueLimit: 4, Window: smallWindow},
				workers("ra", count),
			)
			g := newGate(t)
			var fans []*multiprolab.Future[string]
			for range count {
				f, err := multiprolab.Submit[string](
					bounded(t),
					l,
					"ra",
					errand{Visit: g.visit("fan"), Steps: []string{"fan ra"}},
					nil,
				)
				require.NoError(t, err)
				fans = append(fans, f)
			}
			var visitors []*visitor
			for range count {
				visitors = append(visitors, g.expect(t, "fan"))
			}
			for _, v := range visitors {
				v.tell("go on")
			}
			refused := 0
			for _, f := range fans {
				if _, err := f.Wait(bounded(t)); err != nil {
					require.ErrorContains(t, err, "would wait for itself")
					refused++
				}
			}
			require.Positive(t, refused)
			require.NoError(t, l.Tasks().Join(bounded(t)))
			require.Equal(t, uint64(refused), l.Tasks().Stats().Failed)
			// Beside a worker that is free, none is refused.
			require.NoError(t, l.Resize("ra", count+1))
			f, err := multiprolab.Submit[string](bounded(t), l, "ra", errand{Steps: []string{"fan ra"}}, nil)
			require.NoError(t, err)
			_, err = f.Wait(bounded(t))
			require.NoError(t, err)
		}
	})
}

// stopAt is where a worker visits a gate.
type stopAt struct {
	Gate  string
	Label string
}

func (s stopAt) visit(label string) { _, _ = visit{s.Gate, label}.wait() }

var _ = worker("xa", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "x-nothing", func(ctx context.Context, s stopAt) (string, error) { return "done", nil })
	multiprolab.HandleTask(
		w,
		"x-gate",
		func(ctx context.Context, s stopAt) (string, error) { s.visit(s.Label); return "done", nil },
	)
	multiprolab.HandleCall(
		w,
		"x-gate",
		func(ctx context.Context, s stopAt) (string, error) { s.visit(s.Label); return "done", nil },
	)
	// a loop and a goroutine wait for the same task, which only this worker takes
	multiprolab.HandleTask(w, "x-both", func(ctx context.Context, s stopAt) (string, error) {
		for range 10 {
			f, err := multiprolab.Submit[string](ctx, w, "x-nothing", stopAt{}, nil)
			if err != nil {
				return "", err
			}
			go func() {
				_, err := f.Wait(context.Background())
				_ = multiprolab.Send(context.Background(), w, "main", "stray", fmt.Sprint(err))
			}()
			time.Sleep(10 * time.Millisecond)
			if _, err = f.Wait(ctx); err == nil {
				return "", fmt.Errorf("it has ended")
			}
		}
		return "refused", nil
	})
	// submits more than its window
	multiprolab.HandleTask(w, "x-room", func(ctx context.Context, s stopAt) (string, error) {
		for range 1 << 16 {
			if _, err := multiprolab.Submit[string](ctx, w, "x-nothing", stopAt{}, nil); err != nil {
				return err.Error(), nil
			}
		}
		return "submitted", nil
	})
	// has another do a task for this one, and waits for a third
	multiprolab.HandleTask(w, "x-unrelated", func(ctx context.Context, s stopAt) (string, error) {
		if _, err := multiprolab.Submit[string](ctx, w, "x-do-nothing", s, nil); err != nil {
			return "", err
		}
		return multiprolab.Call[string](ctx, w, "xc/0", "x-gate", stopAt{s.Gate, "third"})
	})
	multiprolab.HandleTask(w, "x-own", func(ctx context.Context, s stopAt) (string, error) {
		f, err := multiprolab.Submit[string](ctx, w, "x-nothing", stopAt{}, nil)
		if err != nil {
			return "", err
		}
		_ = multiprolab.Send(ctx, w, "main", "stray", "submitted")
		return f.Wait(ctx)
	})
	multiprolab.HandleTask(w, "x-own-do", func(ctx context.Context, s stopAt) (string, error) {
		s.visit("own")
		return multiprolab.Do[string](ctx, w, "x-nothing", stopAt{})
	})
	multiprolab.Handle(w, "x-call-main", func(ctx context.Context, s stopAt) error {
		s.visit("handler")
		_, err := multiprolab.Call[string](ctx, w, "main", "x", "")
		return multiprolab.Send(ctx, w, "main", "stray", fmt.Sprint(err))
	})
	multiprolab.HandleTask(w, "x-pull-submitter", func(ctx context.Context, s stopAt) (string, error) {
		return multiprolab.Do[string](ctx, w, "x-pulled", s)
	})
	// leaves a goroutine behind whose call waits for room, and goes out when the handler has
	// returned
	multiprolab.HandleTask(w, "x-late", func(ctx context.Context, s stopAt) (string, error) {
		if err := multiprolab.Send(ctx, w, "xc/0", "x-hold", s); err != nil {
			return "", err
		}
		for _, size := range []int{8 << 10, 0} { // until there is no room even for the smallest
			bound, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			for multiprolab.Send(bound, w, "xc/0", "x-fill", make([]byte, size)) == nil {
			}
			cancel()
		}
		begun := make(chan struct{})
		go func() {
			ctx := context.WithoutCancel(ctx)
			close(begun)
			_, err := multiprolab.Call[string](ctx, w, "xc/0", "x-call-back", s)
			_ = multiprolab.Send(context.Background(), w, "main", "stray", fmt.Sprint(err))
		}()
		<-begun
		time.Sleep(50 * time.Millisecond)
		return "", nil
	})
	multiprolab.HandleCall(w, "x-back", func(ctx context.Context, s stopAt) (string, error) { return "back", nil })
	return nil
})

var _ = worker("xb", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "x-do-nothing", func(ctx context.Context, s stopAt) (string, error) {
		s.visit("second")
		return multiprolab.Do[string](ctx, w, "x-nothing", stopAt{})
	})
	return nil
})
var _ = worker("xc", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "x-hold", func(ctx context.Context, s stopAt) error { s.visit("hold"); return nil })
	multiprolab.Handle(w, "x-fill", func(context.Context, []byte) error { return nil })
	multiprolab.HandleCall(w, "x-call-back", func(ctx context.Context, s stopAt) (string, error) {
		s.visit("called")
		return multiprolab.Call[string](ctx, w, "xa/0", "x-back", stopAt{})
	})
	multiprolab.HandleCall(
		w,
		"x-gate",
		func(ctx context.Context, s stopAt) (string, error) { s.visit(s.Label); return "done", nil },
	)
	return nil
})
var _ = worker("xp", func(ctx context.Context, w *multiprolab.Worker) error {
	w.PullTasks("x-pulled")
	w.Action(0, func(ctx context.Context) error {
		t, err := w.Tasks().Get(ctx)
		if err != nil {
			return err
		}
		got, err := multiprolab.Call[string](t.Context(), w, "xa/0", "x-back", stopAt{})
		if err != nil {
			return t.Fail(err)
		}
		return t.Done(got)
	})
	return nil
})

// TestLoopAndGoroutineWait: a loop that must not wait for a task is told, and not a goroutine that
// waits for the same task.
func TestLoopAndGoroutineWait(t *testing.T) {
	l := newLab(t, nil, workers("xa", 1))
	strays := make(chan string, 100)
	multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	got, err := multiprolab.Do[string](bounded(t), l, "x-both", stopAt{})
	require.NoError(t, err)
	require.Equal(t, "refused", got)
	for range 10 {
		require.Equal(t, "<nil>", await(t, strays, "a stray"))
	}
}

// TestWaitsForAnother: a worker that waits for something else will go on, and do a task that is
// waited for.
func TestWaitsForAnother(t *testing.T) {
	l := startLab(t, nil, workers("xa", 1), workers("xb", 1), workers("xc", 1))
	g := newGate(t)
	done := make(chan error, 1)
	go func() {
		_, err := multiprolab.Do[string](bounded(t), l, "x-unrelated", stopAt{Gate: g.addr()})
		done <- err
	}()
	one, two := g.next(t), g.next(t)
	if one.label != "second" {
		one, two = two, one
	}
	one.tell("go on")
	eventually(t, "the task to come", func() bool { return l.Tasks().Stats().Received == 3 })
	two.tell("go on")
	require.NoError(t, await(t, done, "it"))
	require.NoError(t, l.Tasks().Join(bounded(t)))
	require.Zero(t, l.Tasks().Stats().Failed)
}

// TestCircleWithoutALastOne: a wait for a task that one more worker could have taken is refused
// when that one has gone for good.
func TestCircleWithoutALastOne(t *testing.T) {
	for name, c := range map[string]struct {
		typ   string
		waits int // workers that wait
		dies  bool
	}{
		"it is taken away, one waits":    {"x-own", 1, false},
		"it dies, one waits":             {"x-own", 1, true},
		"it is taken away, two do tasks": {"x-own-do", 2, false},
		"it dies, two do tasks":          {"x-own-do", 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := c.waits + 1
			l := newLab(t, nil, pool{"xa", &multiprolab.WorkerConfig{Count: n, Restart: multiprolab.RestartNever}})
			multiprolab.Handle(l, "stray", func(context.Context, string) error { return nil })
			require.NoError(t, l.Start(t.Context()))
			defer l.Close()
			g := newGate(t)
			var last *visitor
			outcomes := make(chan error, n)
			for range n { // all are busy, so that each gets one of the tasks that wait
				_, err := multiprolab.Submit[string](bounded(t), l, "x-gate", stopAt{g.addr(), "busy"}, nil)
				require.NoError(t, err)
			}
			var others []*visitor
			for range n {
				if v := g.expect(t, "busy"); v.pid == l.pidOf(t, fmt.Sprintf("xa/%d", c.waits)) {
					last = v
				} else {
					others = append(others, v)
				}
			}
			for range c.waits {
				go func() {
					_, err := multiprolab.Do[string](bounded(t), l, c.typ, stopAt{Gate: g.addr()})
					outcomes <- err
				}()
			}
			for _, v := range others {
				v.tell("go on")
			}
			if c.typ == "x-own-do" {
				var own []*visitor
				for range c.waits {
					own = append(own, g.expect(t, "own"))
				}
				for _, v := range own {
					v.tell("go on")
				}
			}
			eventually(t, "the tasks to come", func() bool { return l.Tasks().Stats().Received == uint64(n+2*c.waits) })
			if c.dies {
				last.tell("die exit 3")
			} else {
				require.NoError(t, l.Resize("xa", c.waits))
				last.tell("go on")
			}
			refused := 0
			for range c.waits {
				if err := await(t, outcomes, "an outcome"); err != nil {
					require.ErrorContains(t, err, "would wait for itself")
					refused++
				}
			}
			require.NotZero(t, refused)
			require.NoError(t, l.Tasks().Join(bounded(t)))
		})
	}
}

// TestJoinOfQueuedTask: Join in a handler of main waits for a task whose only worker waits for
// main: in a handler of a message, not in a task.
func TestJoinOfQueuedTask(t *testing.T) {
	l := newLab(t, nil, workers("xa", 1))
	multiprolab.HandleCall(l, "x", func(context.Context, string) (string, error) { return "main", nil })
	g := newGate(t)
	strays := make(chan string, 100)
	multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
	joined := make(chan error, 1)
	begun := make(chan struct{})
	multiprolab.Handle(l, "join", func(ctx context.Context, _ string) error {
		close(begun)
		joined <- l.Tasks().Join(ctx)
		return nil
	})
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	require.NoError(t, multiprolab.Send(bounded(t), l, "xa/0", "x-call-main", stopAt{Gate: g.addr()}))
	v := g.expect(t, "handler")
	_, err := multiprolab.Submit[string](bounded(t), l, "x-nothing", stopAt{}, nil)
	require.NoError(t, err)
	require.NoError(t, multiprolab.Send(bounded(t), l, "main", "join", ""))
	await(t, begun, "join")
	v.tell("go on")
	joins, calls := await(t, joined, "Join"), await(t, strays, "the call")
	require.True(
		t,
		errors.Is(joins, multiprolab.ErrCallCycle) != strings.Contains(calls, "would wait for itself"),
		"one of them is refused: %v; %s",
		joins,
		calls,
	)
	require.NoError(t, l.Tasks().Join(bounded(t)))
}

// TestLateCallOfGoroutine: a call that waited for room until its handler had returned does not say
// that the loop waits for it.
func TestLateCallOfGoroutine(t *testing.T) {
	l := newLab(t, &multiprolab.Config{Window: 64 << 10}, workers("xa", 1), workers("xc", 1))
	strays := make(chan string, 1)
	multiprolab.Handle(l, "stray", func(_ context.Context, text string) error { strays <- text; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	g := newGate(t)
	_, err := multiprolab.Do[string](bounded(t), l, "x-late", stopAt{Gate: g.addr()})
	require.NoError(t, err)
	g.expect(t, "hold").tell("go on")
	g.expect(t, "called").tell("go on")
	require.Equal(t, "<nil>", await(t, strays, "the late call"))
}

// TestCircleThroughPulledTask: a worker that has asked for a task, and calls who waits for that
// task from its loop, is in a circle.
func TestCircleThroughPulledTask(t *testing.T) {
	l := startLab(t, nil, workers("xa", 1), workers("xp", 1))
	_, err := multiprolab.Do[string](bounded(t), l, "x-pull-submitter", stopAt{})
	require.ErrorContains(t, err, "would wait for itself")
}

// TestRoomForItself: a task that submits more to its own pool of one than there is room for is told
// so.
func TestRoomForItself(t *testing.T) {
	l := startLab(t, &multiprolab.Config{QueueLimit: 1}, workers("xa", 1))
	got, err := multiprolab.Do[string](bounded(t), l, "x-room", stopAt{})
	require.NoError(t, err)
	require.Contains(t, got, "would wait for itself")
	require.NoError(t, l.Tasks().Join(bounded(t)))
}

package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The clocks of most of these tests are those of bubbles: a life that is late is late by a time
// that can be told.

// lifeTimes notes when lives begin and become ready, from the start of the program on.
type lifeTimes struct {
	begun time.Time
	notes
}

func (l *lifeTimes) say(what string, w *multiprolab.Worker) {
	l.add(fmt.Sprintf("%v %s %d %s", time.Since(l.begun), w.Name(), w.Life(), what))
}

// A worker is started when every instance of what it needs is ready, be it registered before or
// behind it; one that needs nothing waits for nobody.
func TestNeedsStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, times := newLab(t, &multiprolab.Config{InProcess: true}), lifeTimes{begun: time.Now()}
		setup := func(takes time.Duration) func(context.Context, *multiprolab.Worker) error {
			return func(_ context.Context, w *multiprolab.Worker) error {
				times.say("begins", w)
				time.Sleep(takes * time.Duration(w.Index()+1))
				return nil
			}
		}
		l.RegisterWorker("web", setup(0), &multiprolab.WorkerConfig{Needs: []string{"db", "cache"}, Count: 2})
		l.RegisterWorker("cache", setup(time.Second), &multiprolab.WorkerConfig{Needs: []string{"db"}})
		l.RegisterWorker("db", setup(10*time.Second), &multiprolab.WorkerConfig{Count: 2})
		l.RegisterWorker("free", setup(0), nil)
		require.NoError(t, l.Start(t.Context()))
		require.Equal(t, 21*time.Second, time.Since(times.begun), "Start returns when all are ready")
		got := times.all()
		slices.Sort(got)
		require.Equal(
			t,
			[]string{
				"0s db/0 1 begins",
				"0s db/1 1 begins",
				"0s free/0 1 begins",
				"20s cache/0 1 begins",
				"21s web/0 1 begins",
				"21s web/1 1 begins",
			},
			got,
		)
		require.NoError(t, l.Close())
	})
}

// A restart waits as well. What a worker needs may be restarted without it.
func TestNeedsRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, times := newLab(t, &multiprolab.Config{InProcess: true}), lifeTimes{begun: time.Now()}
		fail := func(w *multiprolab.Worker, d time.Duration) {
			w.After(d, func(context.Context) error { return errors.New("it fails") })
		}
		l.RegisterWorker("db", func(_ context.Context, w *multiprolab.Worker) error {
			times.say("begins", w)
			if w.Life() == 1 && w.Index() == 1 {
				fail(w, 5*time.Second)
			}
			if w.Life() == 2 {
				time.Sleep(30 * time.Second)
			}
			return nil
		}, &multiprolab.WorkerConfig{Count: 2})
		l.RegisterWorker("web", func(_ context.Context, w *multiprolab.Worker) error {
			times.say("begins", w)
			if w.Life() == 1 && w.Index() == 0 {
				fail(w, 7*time.Second) // while db/1 sets itself up
			}
			return nil
		}, &multiprolab.WorkerConfig{Needs: []string{"db"}, Count: 2})
		require.NoError(t, l.Start(t.Context()))
		time.Sleep(time.Hour)
		got := times.all()
		slices.Sort(got[:4])
		require.Equal(
			t,
			[]string{
				"0s db/0 1 begins",
				"0s db/1 1 begins",
				"0s web/0 1 begins",
				"0s web/1 1 begins",
				"5s db/1 2 begins",
				"35s web/0 2 begins",
			},
			got,
		)
		require.NoError(t, l.Close())
	})
}

// The same with processes, and a needed one that dies.
func TestNeedsOfProcesses(t *testing.T) {
	g := newGate(t)
	l := newLab(t, nil, pool{"needs-web", &multiprolab.WorkerConfig{Needs: []string{"needs-db"}}},
		pool{"needs-db", &multiprolab.WorkerConfig{Count: 2, Process: multiprolab.ProcessConfig{Env: []string{gateVar + "=" + g.addr()}}}})
	started := make(chan error, 1)
	go func() { started <- l.Start(t.Context()) }() // ends with the start
	t.Cleanup(func() {
		_ = l.Close()
		l.checkGone(t)
	})
	both := []*visitor{g.next(t), g.next(t)}
	both[0].tell("go on")
	waitEvent[*multiprolab.WorkerReady](t, l, nil) // one of them
	require.Empty(t, starts(l, "needs-web/0"))
	both[1].tell("go on")
	require.NoError(t, await(t, started, "Start"))
	l.ready(t, "needs-web/0", 1)

	require.NoError(t, killProcess(starts(l, "needs-db/0")[0].PID))
	again := g.expect(t, "needs-db/0 2")
	_, err := multiprolab.Call[string](bounded(t), l, "needs-web", "needs-die", nil)
	require.Error(t, err)
	failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Worker == "needs-web/0" })
	require.True(t, failed.Restart)
	// a round trip: it would have been started by now
	_, err = multiprolab.Call[string](bounded(t), l, "needs-db/1", "needs-who", nil)
	require.NoError(t, err)
	require.Len(t, starts(l, "needs-web/0"), 1)
	again.tell("go on")
	l.ready(t, "needs-web/0", 2)
	require.NoError(t, l.Close())
	require.Len(t, starts(l, "needs-web/0"), 2)
	require.Len(t, starts(l, "needs-db/0"), 2)
	require.Len(t, starts(l, "needs-db/1"), 1)
}

var (
	_ = worker("needs-db", needsDB)
	// The web asks the db something when it ends.
	_ = worker("needs-web", needsWeb("needs-db"))
	_ = worker("needs-front", needsWeb("needs-web"))
)

func needsDB(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "needs-who", func(context.Context, struct{}) (string, error) { return w.Name(), nil })
	multiprolab.HandleCall(
		w,
		"needs-die",
		func(context.Context, struct{}) (string, error) { die("exit 1"); return "", nil },
	)
	if addr := os.Getenv(gateVar); addr != "" {
		_, err := visit{addr, fmt.Sprintf("%s %d", w.Name(), w.Life())}.wait()
		return err
	}
	return nil
}

func needsWeb(needed string) func(context.Context, *multiprolab.Worker) error {
	return func(ctx context.Context, w *multiprolab.Worker) error {
		w.OnExit(func(ctx context.Context) error {
			_, err := multiprolab.Call[string](ctx, w, needed, "needs-who", nil)
			if err != nil {
				return fmt.Errorf("%s did not answer at the end: %w", needed, err)
			}
			return w.SetExitValue("answered by " + needed)
		})
		return needsDB(ctx, w)
	}
}

// In the end a worker finds what it needs still there: it is told to exit before, and has ended
// when the other is told. So along a chain.
func TestNeedsEnd(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.DrainQueue} {
			l := startLab(t, &multiprolab.Config{InProcess: inProcess, Shutdown: mode},
				pool{"needs-db", nil},
				pool{"needs-front", &multiprolab.WorkerConfig{Needs: []string{"needs-web"}}},
				pool{"needs-web", &multiprolab.WorkerConfig{Needs: []string{"needs-db"}, Count: 2}},
			)
			require.NoError(t, l.Close())
			l.noEvents(t)
			values := map[string]string{}
			for _, e := range eventsOf[*multiprolab.WorkerStopped](l) {
				var value string
				_ = e.Decode(&value) // the db has left none
				values[e.Worker] = value
			}
			require.Equal(
				t,
				map[string]string{
					"needs-db/0":    "",
					"needs-front/0": "answered by needs-web",
					"needs-web/0":   "answered by needs-db",
					"needs-web/1":   "answered by needs-db",
				},
				values,
			)
		}
	})
}

// The same wherever the needed one is registered, and however many others there are: nothing is
// told to exit too early.
func TestNeedsEndAmongMany(t *testing.T) {
	for range 10 {
		l := startLab(t, &multiprolab.Config{InProcess: true},
			pool{"needs-front", &multiprolab.WorkerConfig{Needs: []string{"needs-web"}}},
			workers("lab", 100),
			pool{"needs-web", &multiprolab.WorkerConfig{Needs: []string{"needs-db"}, Count: 5}},
			pool{"needs-db", nil},
		)
		require.NoError(t, l.Close())
		l.noEvents(t)
	}
}

func TestNeedsThatCannotBe(t *testing.T) {
	setup := setups["lab"]
	for _, c := range []struct {
		name  string
		needs map[string][]string
		group []string
		field string
		value any
		says  string
	}{
		{name: "unknown", needs: map[string][]string{"b": {"a", "nobody"}}, field: "WorkerConfig.Needs of worker b", value: "nobody", says: "registered are a, b, c"},
		{name: "an instance", needs: map[string][]string{"b": {"a/0"}}, field: "WorkerConfig.Needs of worker b", value: "a/0", says: "registered are a, b, c"},
		{name: "main", needs: map[string][]string{"b": {"main"}}, field: "WorkerConfig.Needs of worker b", value: "main", says: "registered are a, b, c"},
		{name: "itself", needs: map[string][]string{"b": {"b"}}, field: "WorkerConfig.Needs of worker b", value: "b -> b", says: "cannot start"},
		{name: "two", needs: map[string][]string{"a": {"c"}, "c": {"a"}}, field: "WorkerConfig.Needs of worker a", value: "a -> c -> a", says: "cannot start"},
		{name: "three", needs: map[string][]string{"a": {"c"}, "c": {"b"}, "b": {"a"}}, field: "WorkerConfig.Needs of worker a", value: "a -> c -> b -> a", says: "cannot start"},
		{name: "not of the first", needs: map[string][]string{"a": {"b"}, "b": {"c"}, "c": {"b"}}, field: "WorkerConfig.Needs of worker b", value: "b -> c -> b", says: "cannot start"},
		{name: "by a group", needs: map[string][]string{"a": {"c"}}, group: []string{"a", "b", "c"}, field: "WorkerConfig.Needs of worker a", value: "a -> c -> b -> a", says: "the order of a group counts"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true})
			for _, name := range []string{"a", "b", "c"} {
				l.RegisterWorker(name, setup, &multiprolab.WorkerConfig{Needs: c.needs[name]})
			}
			if c.group != nil {
				l.RegisterGroup(multiprolab.AllForOne, c.group...)
			}
			err := l.Start(t.Context())
			bad, ok := err.(*multiprolab.ConfigError)
			require.True(t, ok, "%T: %v", err, err)
			require.Equal(t, c.field, bad.Field)
			require.Equal(t, c.value, bad.Value)
			require.Contains(t, bad.Reason, c.says)
			require.Empty(t, l.all(), "something was started")
		})
	}
	// Two ways to one are no circle, and a group without an order has none.
	l := newLab(t, &multiprolab.Config{InProcess: true})
	l.RegisterWorker("a", setup, &multiprolab.WorkerConfig{Needs: []string{"b", "c"}})
	l.RegisterWorker("b", setup, &multiprolab.WorkerConfig{Needs: []string{"c"}})
	l.RegisterWorker("c", setup, nil)
	l.RegisterGroup(multiprolab.OneForOne, "a", "b", "c")
	require.NoError(t, l.Start(t.Context()))
	require.NoError(t, l.Close())
}

// What needs a worker that has ended for good cannot be started: that is the end of it, too, at
// once and with an error that says why.
func TestNeedsWhatHasEnded(t *testing.T) {
	for _, c := range []struct {
		name string
		db   func(*multiprolab.Worker) error
	}{
		{"setup fails", func(*multiprolab.Worker) error { return errors.New("there is no disk") }},
		{"setup fails for good", func(*multiprolab.Worker) error { return multiprolab.NoRetry(errors.New("there is no disk")) }},
	} {
		for _, onLimit := range []multiprolab.LimitAction{multiprolab.EndProgram, multiprolab.StopWorker} {
			t.Run(fmt.Sprint(c.name, ", ", onLimit), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
					l.RegisterWorker(
						"db",
						func(_ context.Context, w *multiprolab.Worker) error { return c.db(w) },
						&multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 2, Then: multiprolab.StopWorker}},
					)
					l.RegisterWorker(
						"web",
						func(context.Context, *multiprolab.Worker) error { return nil },
						&multiprolab.WorkerConfig{Needs: []string{"db"}, RestartLimit: multiprolab.RestartLimit{Then: onLimit}},
					)
					check := func(err error) {
						t.Helper()
						start, ok := errors.AsType[*multiprolab.StartError](err)
						require.True(t, ok, "%T: %v", err, err)
						require.Equal(t, "web/0", start.Worker)
						require.Zero(t, start.PID)
						require.Equal(t, `it needs worker "db", which has ended for good`, start.Reason)
						require.ErrorContains(t, err, "there is no disk")
						limit, ok := start.Err.(*multiprolab.RestartLimitError)
						require.True(t, ok, "%T", start.Err)
						require.Equal(t, "db/0", limit.Worker)
					}
					err := l.Start(t.Context())
					if onLimit == multiprolab.EndProgram {
						check(err)
					} else {
						require.NoError(t, err)
						err := multiprolab.Send(t.Context(), l, "web", "x", nil)
						check(err)
						limit, ok := errors.AsType[*multiprolab.RestartLimitError](err)
						require.True(t, ok, "%T: %v", err, err)
						require.True(t, limit.Permanent)
						require.Equal(t, "web/0", limit.Worker)
						require.NoError(t, multiprolab.Send(t.Context(), l, "lab", "add", 1), "the program does not go on")
						require.NoError(t, l.Close())
					}
					var failed []*multiprolab.WorkerFailed
					for _, e := range eventsOf[*multiprolab.WorkerFailed](l) {
						if e.Worker == "web/0" {
							failed = append(failed, e)
						}
					}
					require.Len(t, failed, 1, "it was tried again")
					require.False(t, failed[0].Restart)
					check(failed[0].Err)
					require.Empty(t, starts(l, "web/0"))
				})
			})
		}
	}
}

// One that runs already is left alone when what it needs ends for good; its restart fails. If
// another instance of the needed one is there, that is enough.
func TestNeedsWhatEndsLater(t *testing.T) {
	for _, count := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true})
			l.RegisterWorker("db", func(_ context.Context, w *multiprolab.Worker) error {
				if w.Index() == 0 {
					w.After(time.Second, func(context.Context) error { return errors.New("db is lost") })
				}
				return nil
			}, &multiprolab.WorkerConfig{Count: count, Restart: multiprolab.RestartNever})
			l.RegisterWorker("web", func(_ context.Context, w *multiprolab.Worker) error {
				multiprolab.HandleCall(w, "life", func(context.Context, struct{}) (int, error) { return w.Life(), nil })
				if w.Life() == 1 {
					w.After(time.Minute, func(context.Context) error { return errors.New("web fails") })
				}
				return nil
			}, &multiprolab.WorkerConfig{Needs: []string{"db"}, RestartLimit: multiprolab.RestartLimit{Then: multiprolab.StopWorker}})
			require.NoError(t, l.Start(t.Context()))
			time.Sleep(30 * time.Second)
			life, err := multiprolab.Call[int](t.Context(), l, "web", "life", nil)
			require.NoError(t, err)
			require.Equal(t, 1, life)
			time.Sleep(time.Minute)
			life, err = multiprolab.Call[int](t.Context(), l, "web", "life", nil)
			if count == 2 {
				require.NoError(t, err)
				require.Equal(t, 2, life)
			} else {
				require.ErrorContains(t, err, `it needs worker "db", which has ended for good`)
				require.ErrorContains(t, err, "db is lost")
				require.Len(t, starts(l, "web/0"), 1)
			}
			require.NoError(t, l.Close())
		})
	}
}

// Workers are started in the order of their registration, those of a pool by their numbers, and so
// they are told.
func TestStartOrder(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		rounds := 1
		if inProcess {
			rounds = 30
		}
		for range rounds {
			l := startLab(
				t,
				&multiprolab.Config{InProcess: inProcess},
				workers("lab", 3),
				workers("guest", 1),
				workers("prog", 4),
				workers("other", 2),
			)
			require.NoError(t, l.Close())
			var order []string
			for _, e := range eventsOf[*multiprolab.WorkerStarted](l) {
				order = append(order, e.Worker)
			}
			require.Equal(
				t,
				[]string{
					"lab/0",
					"lab/1",
					"lab/2",
					"guest/0",
					"prog/0",
					"prog/1",
					"prog/2",
					"prog/3",
					"other/0",
					"other/1",
				},
				order,
			)
		}
	})
}

// Start does not wait for a worker that will never be ready, however it has come to its end: with
// its group, for which it was not to be blamed, or because it was taken away.
func TestStartWithoutThoseThatEnd(t *testing.T) {
	forGood := &multiprolab.WorkerConfig{Restart: multiprolab.RestartNever, RestartLimit: multiprolab.RestartLimit{Then: multiprolab.StopWorker}}
	for name, c := range map[string]struct {
		group bool
		act   func(l *lab) error
	}{
		"with its group": {group: true, act: func(*lab) error { return nil }},
		"taken away":     {act: func(l *lab) error { return l.Resize("slow", 1) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, &multiprolab.Config{InProcess: true})
				l.RegisterWorker("first", func(context.Context, *multiprolab.Worker) error {
					if time.Sleep(time.Second); c.group {
						return errors.New("it fails for good")
					}
					return nil
				}, forGood)
				l.RegisterWorker("slow", func(ctx context.Context, w *multiprolab.Worker) error {
					if w.Index() == 1 || c.group {
						<-ctx.Done()
					}
					return nil
				}, &multiprolab.WorkerConfig{Count: 2, RestartLimit: multiprolab.RestartLimit{Then: multiprolab.StopWorker}})
				if c.group {
					l.RegisterGroup(multiprolab.AllForOne, "first", "slow")
				}
				started := make(chan error, 1)
				go func() { started <- l.Start(t.Context()) }() // ends with the start, or its patience
				time.Sleep(2 * time.Second)
				require.NoError(t, c.act(l))
				time.Sleep(5 * time.Second)
				synctest.Wait()
				require.Len(t, started, 1, "Start waits for who never comes")
				require.NoError(t, <-started)
				require.NoError(t, l.Close())
			})
		})
	}
}

// A setup function that waits for main, which waits for a worker that cannot start before that
// setup function has returned: the wait of main is refused, and the program starts.
func TestCircleThroughNeeds(t *testing.T) {
	for _, order := range [][]string{{"db", "web"}, {"web", "db"}} {
		t.Run(order[0]+" first", func(t *testing.T) {
			l := newLab(t, &multiprolab.Config{InProcess: true})
			refused := make(chan error, 1)
			multiprolab.HandleCall(l, "ask", func(ctx context.Context, _ string) (string, error) {
				_, err := multiprolab.Do[string](ctx, l, "page", "x")
				refused <- err
				return "config", nil
			})
			setups := map[string]func(context.Context, *multiprolab.Worker) error{
				"db": func(ctx context.Context, w *multiprolab.Worker) error {
					_, err := multiprolab.Call[string](ctx, w, "main", "ask", "")
					return err
				},
				"web": func(_ context.Context, w *multiprolab.Worker) error {
					multiprolab.HandleTask(w, "page", func(context.Context, string) (string, error) { return "", nil })
					return nil
				},
			}
			needs := map[string][]string{"web": {"db"}}
			for _, name := range order {
				l.RegisterWorker(name, setups[name], &multiprolab.WorkerConfig{Needs: needs[name]})
			}
			require.NoError(t, l.Start(bounded(t)))
			require.ErrorIs(t, await(t, refused, "the handler of main"), multiprolab.ErrCallCycle)
			_, err := multiprolab.Do[string](bounded(t), l, "page", "x")
			require.NoError(t, err, "web is there now")
			require.NoError(t, l.Close())
		})
	}
}

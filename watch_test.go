package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// change is what an event of a watch says, and how many were missed before it.
type change struct {
	Up, Restart bool
	Worker      string
	PID, Life   int
	At          time.Time
	Err         error
	After       time.Duration
	Missed      int
}

// next reads the next event of a watch as a change; the zero value means that the watch has ended.
func nextChange(events <-chan multiprolab.Event) (c change) {
	for e := range events {
		switch e := e.(type) {
		case *multiprolab.EventsMissed:
			c.Missed += e.Count
			continue
		case *multiprolab.WorkerReady:
			c.Up, c.Worker, c.PID, c.Life, c.At = true, e.Worker, e.PID, e.Life, e.At
		case *multiprolab.WorkerStopped:
			c.Worker, c.PID, c.Life, c.At, c.Restart, c.After = e.Worker, e.PID, e.Life, e.At, e.Restart, e.After
		case *multiprolab.WorkerFailed:
			c.Worker, c.PID, c.Life, c.At, c.Restart, c.After, c.Err = e.Worker, e.PID, e.Life, e.At, e.Restart, e.After, e.Err
		default:
			panic(fmt.Sprintf("a watch tells %T", e))
		}
		return c
	}
	return change{}
}

// awaitChange is nextChange that fails the test if nothing comes.
func awaitChange(t testing.TB, events <-chan multiprolab.Event, what string) change {
	t.Helper()
	got := make(chan change, 1)
	go func() { got <- nextChange(events) }()
	return await(t, got, what)
}

// watch watches workers until the end of the test.
func (l *lab) watch(t testing.TB, name string) <-chan multiprolab.Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	changes, err := l.Watch(ctx, name)
	require.NoError(t, err)
	return changes
}

// expectChange waits for the next change, which must be of the worker and life: it is up, or down.
func expectChange(t testing.TB, events <-chan multiprolab.Event, up bool, worker string, life int) change {
	t.Helper()
	want := fmt.Sprintf("%s, life %d, up: %v", worker, life, up)
	c := awaitChange(t, events, want)
	require.Equal(t, want, fmt.Sprintf("%s, life %d, up: %v", c.Worker, c.Life, c.Up), "%+v", c)
	require.Zero(t, c.Missed)
	require.False(t, c.At.IsZero())
	return c
}

// expectClosed waits for the end of a watch; no event may come before it.
func expectClosed(t testing.TB, events <-chan multiprolab.Event) {
	t.Helper()
	require.Zero(t, await(t, events, "the end of the watch"))
	_, open := <-events
	require.False(t, open)
}

// The leaver's event loop ends as it is told: with the error, or by itself if the text is empty.
var _ = worker("watch-leaver", func(_ context.Context, w *multiprolab.Worker) error {
	left := make(chan error, 1)
	multiprolab.Handle(w, "leave", func(_ context.Context, text string) error {
		if text == "" {
			left <- nil
		} else {
			left <- errors.New(text)
		}
		return nil
	})
	multiprolab.Handle(w, "msg-die", func(_ context.Context, how string) error { die(how); return nil })
	w.Loop(func(ctx context.Context) error {
		select {
		case err := <-left:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	return nil
})

// TestWatch_Changes: a watch tells each end of a worker, why it was, and what follows, until the
// program has ended.
func TestWatch_Changes(t *testing.T) {
	l := newLab(
		t,
		nil,
		pool{"watch-leaver", &multiprolab.WorkerConfig{Restart: multiprolab.RestartAlways, RestartLimit: multiprolab.RestartLimit{Restarts: 100},
			RestartDelay: 3 * time.Millisecond, RestartJitter: -1}},
	)
	send := func(typ, text string) { require.NoError(t, multiprolab.Send(bounded(t), l, "watch-leaver", typ, text)) }
	changes := l.watch(t, "watch-leaver/0") // before the start, too
	require.NoError(t, l.Start(context.Background()))
	defer l.Close()
	first := expectChange(t, changes, true, "watch-leaver/0", 1)
	require.NotZero(t, first.PID)
	require.NoError(t, first.Err)

	send("msg-die", "exit 3")
	c := expectChange(t, changes, false, "watch-leaver/0", 1)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, c.Err, &died)
	require.Equal(t, 3, died.ExitCode)
	require.Equal(t, first.PID, c.PID)
	require.Equal(t, first.PID, died.PID)
	require.True(t, c.Restart)
	require.Zero(t, c.After)
	second := expectChange(t, changes, true, "watch-leaver/0", 2)
	require.NotEqual(t, first.PID, second.PID)

	send("leave", "it has had enough")
	c = expectChange(t, changes, false, "watch-leaver/0", 2)
	var remote *multiprolab.RemoteError
	require.ErrorAs(t, c.Err, &remote)
	require.Equal(t, "it has had enough", remote.Text)
	require.Equal(t, second.PID, c.PID)
	require.True(t, c.Restart)
	require.Equal(t, 3*time.Millisecond, c.After)
	expectChange(t, changes, true, "watch-leaver/0", 3)

	send("leave", "")
	c = expectChange(t, changes, false, "watch-leaver/0", 3)
	require.NoError(t, c.Err)
	require.True(t, c.Restart)
	require.Equal(t, 6*time.Millisecond, c.After)
	expectChange(t, changes, true, "watch-leaver/0", 4)

	require.NoError(t, l.Close())
	c = expectChange(t, changes, false, "watch-leaver/0", 4)
	require.NoError(t, c.Err)
	require.False(t, c.Restart)
	expectClosed(t, changes)

	// Who comes when all is over is told the last of each.
	late := l.watch(t, "")
	require.Equal(t, c, expectChange(t, late, false, "watch-leaver/0", 4))
	expectClosed(t, late)
}

// TestWatch_DownForGood: a worker that is not replaced any more is down without Restart, and one
// that cannot be started has no process.
func TestWatch_DownForGood(t *testing.T) {
	l := startLab(t, nil,
		pool{"lab", &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 1, Then: multiprolab.StopWorker}}},
		pool{"guest", &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Dir: "/does/not/exist"}, RestartLimit: multiprolab.RestartLimit{Then: multiprolab.StopWorker}}},
		workers("other", 1))
	unborn := l.watch(t, "guest")
	c := expectChange(t, unborn, false, "guest/0", 1)
	var start *multiprolab.StartError
	require.ErrorAs(t, c.Err, &start)
	require.Zero(t, c.PID)
	require.False(t, c.Restart)

	changes := l.watch(t, "lab")
	for life := range 2 {
		expectChange(t, changes, true, "lab/0", life+1)
		require.NoError(t, multiprolab.Send(bounded(t), l, "lab", "msg-die", "exit 1"))
		c := expectChange(t, changes, false, "lab/0", life+1)
		require.Equal(t, life == 0, c.Restart)
	}
	require.NoError(t, l.Close())
	expectClosed(t, changes) // it was down already
	expectClosed(t, unborn)
}

// TestWatch_Names: one watches an instance, a pool or all, also an instance that is yet to come;
// and nothing that cannot be.
func TestWatch_Names(t *testing.T) {
	l := startLab(t, nil, workers("lab", 2), workers("guest", 1))
	for _, name := range []string{"nobody", "nobody/0", "lab/", "lab/x", "/0", "main", "la", "lab/-1"} {
		_, err := l.Watch(context.Background(), name)
		var unknown *multiprolab.UnknownReceiverError
		require.ErrorAs(t, err, &unknown, name)
		require.Equal(t, &multiprolab.UnknownReceiverError{Receiver: name, Known: []string{"lab", "guest"}}, unknown)
	}
	watches := map[string]<-chan multiprolab.Event{}
	for _, name := range []string{"", "lab", "lab/1", "lab/2", "guest", "guest/0"} {
		watches[name] = l.watch(t, name)
	}
	require.NoError(t, l.Resize("lab", 3))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == "lab/2" })
	require.NoError(t, l.Close())
	for name, changes := range watches {
		told := map[string][]bool{}
		for c := nextChange(changes); c.Life > 0; c = nextChange(changes) {
			told[c.Worker] = append(told[c.Worker], c.Up)
		}
		expected := map[string][]bool{}
		for _, worker := range []string{"lab/0", "lab/1", "lab/2", "guest/0"} {
			if name == "" || name == worker || name+"/" == worker[:len(worker)-1] {
				expected[worker] = []bool{true, false}
			}
		}
		require.Equal(t, expected, told, "the watch of %q", name)
	}
}

// TestWatch_Ends: the end of the context ends a watch, be it idle or with a change that nobody
// takes; and so does a start that fails.
func TestWatch_Ends(t *testing.T) {
	l := startLab(t, nil, workers("lab", 1))
	for _, taken := range []bool{true, false} {
		ctx, cancel := context.WithCancel(context.Background())
		changes, err := l.Watch(ctx, "lab")
		require.NoError(t, err)
		if taken {
			expectChange(t, changes, true, "lab/0", 1)
		}
		cancel()
		for c := range changes { // the one that lay ready may still come
			require.False(t, taken, "%+v", c)
		}
	}
	broken := newLab(t, nil, pool{"lab", &multiprolab.WorkerConfig{Count: -1}})
	changes := broken.watch(t, "")
	require.Error(t, broken.Start(context.Background()))
	expectClosed(t, changes)
}

// The churner ends as soon as it is ready, with an error if it is asked to.
var _ = worker("watch-churner", func(_ context.Context, w *multiprolab.Worker) error {
	w.Loop(func(context.Context) error {
		if w.Life()%2 == 0 {
			return errors.New("an even life is not worth living")
		}
		return nil
	})
	return nil
})

// churn is an app whose workers, goroutines of this process, end and are replaced all the time.
func churn(t testing.TB, count int, pause time.Duration, onEvent func(multiprolab.Event)) *lab {
	return newLab(
		t,
		&multiprolab.Config{InProcess: true, Logger: slog.New(slog.DiscardHandler), OnEvent: onEvent},
		pool{
			"watch-churner",
			&multiprolab.WorkerConfig{Count: count, Restart: multiprolab.RestartAlways, RestartLimit: multiprolab.RestartLimit{Restarts: 1 << 30,
				Window: time.Millisecond}, RestartDelay: pause, RestartMaxDelay: pause},
		},
	)
}

// placeOf numbers the changes of one worker that is never down for want of a start: up, down, up
// again, down and so on.
func placeOf(c change) int {
	if !c.Up {
		return 2 * c.Life
	}
	return 2*c.Life - 1
}

// follow reads a watch of workers like those of churn to its end or until it has n changes of each,
// and checks that none is left out but those that it says. It returns how many were missed.
func follow(
	t testing.TB,
	changes <-chan multiprolab.Event,
	n int,
	count int,
) (missed int, last map[string]change) {
	t.Helper()
	last = map[string]change{}
	seen, enough := map[string]int{}, 0
	for c := nextChange(changes); c.Life > 0; c = nextChange(changes) {
		before, known := last[c.Worker]
		last[c.Worker] = c
		missed += c.Missed
		if known {
			unborn := 0
			if !c.Up && !c.Restart { // the end may have come before it was ready
				unborn = (placeOf(before) + c.Missed + 1) % 2
			}
			require.Equal(t, placeOf(before)+1+c.Missed+unborn, placeOf(c), "%+v follows %+v", c, before)
		}
		if seen[c.Worker]++; seen[c.Worker] == n {
			if enough++; enough == count {
				break
			}
		}
	}
	return missed, last
}

// TestWatch_NoGap: whenever a watch begins, it tells the last change first, and every further one,
// none of them twice; in the order of OnEvent.
func TestWatch_NoGap(t *testing.T) {
	const count = 3
	l := churn(t, count, time.Millisecond, nil)
	whole := l.watch(t, "")
	require.NoError(t, l.Start(context.Background()))
	type told struct {
		worker string
		life   int
		up     bool
	}
	order := map[string][]told{}
	for i := range 500 { // few enough for what is not read meanwhile to wait
		c := awaitChange(t, whole, "a change")
		require.Zero(t, c.Missed)
		order[c.Worker] = append(order[c.Worker], told{c.Worker, c.Life, c.Up})
		if i%10 == 0 { // begin another at whatever moment this is
			ctx, cancel := context.WithCancel(context.Background())
			changes, err := l.Watch(ctx, "")
			require.NoError(t, err)
			missed, _ := follow(t, changes, 3, count)
			require.Zero(t, missed)
			cancel()
		}
	}
	l.Close()
	events := map[string][]told{}
	for _, e := range l.all() {
		switch e := e.(type) {
		case *multiprolab.WorkerReady:
			events[e.Worker] = append(events[e.Worker], told{e.Worker, e.Life, true})
		case *multiprolab.WorkerStopped:
			events[e.Worker] = append(events[e.Worker], told{e.Worker, e.Life, false})
		case *multiprolab.WorkerFailed:
			events[e.Worker] = append(events[e.Worker], told{e.Worker, e.Life, false})
		}
	}
	require.Len(t, order, count)
	for worker, list := range order {
		require.Equal(t, events[worker][:len(list)], list)
	}
}

// TestWatch_SlowWatcher: who does not read holds up nobody, and is told how much it has missed; the
// last changes are there in the end.
func TestWatch_SlowWatcher(t *testing.T) {
	far := make(chan struct{})
	l := churn(t, 1, 1, func(e multiprolab.Event) {
		if r, ok := e.(*multiprolab.WorkerReady); ok && r.Life == 1000 {
			close(far)
		}
	})
	slow := l.watch(t, "watch-churner")
	require.NoError(t, l.Start(context.Background()))
	await(t, far, "life 1000, with a watcher that does not read")
	early, _ := follow(t, slow, 2, 1) // the one that it held out, and the next that is left
	require.GreaterOrEqual(t, early, 2*1000-1-1-1024-1)
	l.Close()
	_, last := follow(t, slow, 1<<30, 1)
	end := last["watch-churner/0"]
	// with a restart ahead, if the end of the program came in the pause before it
	require.False(t, end.Up)
	events := l.all()
	if _, pause := events[len(events)-1].(*multiprolab.ProgramEnding); pause { // nothing had to end any more
		events = events[:len(events)-1]
	}
	switch e := events[len(events)-1].(type) {
	case *multiprolab.WorkerStopped:
		require.Equal(t, e.Life, end.Life)
		require.Equal(t, e.Restart, end.Restart)
	case *multiprolab.WorkerFailed:
		require.Equal(t, e.Life, end.Life)
		require.Equal(t, e.Restart, end.Restart)
	default:
		require.Fail(t, "the last event is not an end", "%+v", e)
	}
}

// TestEventsMissedAreTold: Config.OnEvent is told how many events were dropped while the loop of main
// was at something else, before those that are left.
func TestEventsMissedAreTold(t *testing.T) {
	const letters = 5000
	left := 4096
	var events []multiprolab.Event
	told := make(chan struct{})
	var log buffer
	app := multiprolab.New(&multiprolab.Config{
		InProcess: true, Logger: slog.New(slog.NewTextHandler(&log, nil)), OnEvent: func(e multiprolab.Event) {
			events = append(events, e)
			if _, ok := e.(*multiprolab.DeadLetter); ok {
				if left--; left == 0 {
					close(told)
				}
			}
		},
	})
	app.RegisterWorker("watch-leaver", setups["watch-leaver"], nil)
	busy, free := make(chan struct{}), make(chan struct{})
	app.After(0, func(context.Context) error { close(busy); <-free; return nil })
	require.NoError(t, app.Start(t.Context()))
	defer app.Close()
	await(t, busy, "the action")
	for n := range letters {
		require.NoError(t, multiprolab.Send(bounded(t), app, "watch-leaver", "unknown", n))
	}
	_, err := multiprolab.Call[int](bounded(t), app, "watch-leaver", "unknown", nil) // behind all of them
	require.Error(t, err)
	close(free)
	await(t, told, "the events")
	for _, isLetter := events[1].(*multiprolab.DeadLetter); !isLetter; _, isLetter = events[1].(*multiprolab.DeadLetter) {
		events = events[1:] // what came before the action
	}
	missed, ok := events[0].(*multiprolab.EventsMissed)
	require.True(t, ok, "%T", events[0])
	require.GreaterOrEqual(t, missed.Count, letters-4096)
	require.LessOrEqual(t, missed.Count, letters+2-4096, "WorkerStarted and WorkerReady are events, too")
	for _, e := range events[1:] {
		require.IsType(t, &multiprolab.DeadLetter{}, e)
	}
	require.NoError(t, app.Close()) // the log is behind
	require.Contains(t, log.String(), `msg="multiprolab: events missed" count=`)
	require.NotContains(t, log.String(), "records of main's own", "a handler that goes on has as long as it takes")
}

package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// What a life of a grid worker after the first does.
const gridLaterVar = "MULTIPROLAB_TEST_GRID_LATER"

// gridMuteVar names a file. A worker process that finds it takes it away, and ends before it has
// reached Run.
const gridMuteVar = "MULTIPROLAB_TEST_GRID_MUTE"

func init() {
	if path := os.Getenv(gridMuteVar); path != "" && os.Remove(path) == nil {
		os.Exit(3)
	}
}

// gridWorkers are the three members of a group, of which the middle one ends, and one that is in no
// group.
var gridWorkers = []string{
	worker("grid-a", gridSetup),
	worker("grid-b", gridSetup),
	worker("grid-c", gridSetup),
	worker("grid-out", gridSetup),
}

func gridSetup(_ context.Context, w *multiprolab.Worker) error {
	switch later := os.Getenv(gridLaterVar); {
	case later == "setup error" && w.Life() == 2:
		return errors.New("the second life cannot be")
	case later == "no retry" && w.Life() == 2:
		return multiprolab.NoRetry(errors.New("no life can be any more"))
	case later == "crash loop" && w.Life() > 1:
		os.Exit(1)
	}
	left := make(chan error, 1)
	w.Loop(func(ctx context.Context) error {
		select {
		case err := <-left:
			return err
		case <-ctx.Done():
			return nil
		}
	})
	multiprolab.HandleCall(
		w,
		"grid-who",
		func(context.Context, struct{}) (whoami, error) { return whoami{PID: os.Getpid(), Life: w.Life()}, nil },
	)
	multiprolab.Handle(w, "grid-end", func(_ context.Context, how string) error {
		switch how {
		case "leave":
			left <- nil
		case "action error":
			w.After(0, func(context.Context) error { return errors.New("an action has failed") })
		case "hang":
			select {} // whatever its context says
		default:
			die(how)
		}
		return nil
	})
	return nil
}

// gridWay is a way of ending, and what is reported of it.
type gridWay struct {
	name   string
	end    string                    // what the worker is told, if not the name
	later  string                    // what it does in later lives
	checks []func(*testing.T, error) // of the error of each life that ends; nil: it ends without an error
	limit  bool                      // after the last of these it is not replaced, whatever its config says
	unix   bool
}

func wantDied(code int, signal string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		died, ok := err.(*multiprolab.WorkerDiedError)
		require.True(t, ok, "%T: %v", err, err)
		if runtime.GOOS != "windows" {
			require.Equal(t, code, died.ExitCode, "%v", err)
			require.Equal(t, signal, died.Signal, "%v", err)
		}
	}
}

func wantHang(silent bool) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		hang, ok := err.(*multiprolab.HangError)
		require.True(t, ok, "%T: %v", err, err)
		require.Equal(t, silent, hang.Silent)
		var died *multiprolab.WorkerDiedError
		require.ErrorAs(t, err, &died)
	}
}

func wantRemote(text string) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		remote, ok := err.(*multiprolab.RemoteError)
		require.True(t, ok, "%T: %v", err, err)
		require.Equal(t, text, remote.Text)
		require.Equal(t, "grid-b/0", remote.Worker)
	}
}

func wantStart(reason string, inner func(*testing.T, error)) func(*testing.T, error) {
	return func(t *testing.T, err error) {
		start, ok := err.(*multiprolab.StartError)
		require.True(t, ok, "%T: %v", err, err)
		require.Contains(t, start.Reason, reason)
		inner(t, start.Err)
	}
}

var gridWays = []gridWay{
	{name: "exit 0", checks: []func(*testing.T, error){wantDied(0, "")}},
	{name: "leave", checks: []func(*testing.T, error){nil}},
	{name: "action error", checks: []func(*testing.T, error){wantRemote("an action has failed")}},
	{name: "exit 1", checks: []func(*testing.T, error){wantDied(1, "")}},
	{name: "panic", checks: []func(*testing.T, error){wantDied(2, "")}},
	{name: "SIGTERM", checks: []func(*testing.T, error){wantDied(-1, "SIGTERM")}, unix: true},
	{name: "SIGKILL", checks: []func(*testing.T, error){wantDied(-1, "SIGKILL")}, unix: true},
	{name: "SIGSEGV", checks: []func(*testing.T, error){wantDied(2, "")}, unix: true},
	{name: "hang", checks: []func(*testing.T, error){wantHang(false)}},
	{name: "stop", checks: []func(*testing.T, error){wantHang(true)}, unix: true},
	{name: "later setup error", end: "exit 1", later: "setup error",
		checks: []func(*testing.T, error){
			wantDied(1, ""),
			wantStart("its setup function returned an error", wantRemote("the second life cannot be")),
		}},
	{name: "later no retry", end: "exit 1", later: "no retry", limit: true,
		checks: []func(*testing.T, error){
			wantDied(1, ""),
			wantStart("its setup function returned an error", wantRemote("no life can be any more")),
		}},
	{name: "later no hello", end: "exit 1", later: "no hello",
		checks: []func(*testing.T, error){
			wantDied(1, ""),
			wantStart("its process ended before it reached Run", wantDied(3, "")),
		}},
	{name: "crash loop", end: "exit 1", later: "crash loop", limit: true,
		checks: []func(*testing.T, error){
			wantDied(1, ""),
			wantStart("its process ended in its setup function", wantDied(1, "")),
			wantStart("its process ended in its setup function", wantDied(1, "")),
		}},
}

// lives is what becomes of a worker: the number of lives that it has, and whether it is gone after
// the last.
type lives struct {
	n    int
	gone bool
}

// gridOutcome is what a cell expects of grid-a, grid-b and grid-c. The one outside the group never
// notices anything.
type gridOutcome [3]lives

// The outcomes, by what the middle one does and by strategy. grid-a is restarted with every failure
// of grid-b, for it needs nobody. grid-c starts again once only, however often grid-b fails
// meanwhile: it comes after it.
var (
	gridStrategies = []multiprolab.Strategy{multiprolab.OneForOne, multiprolab.AllForOne, multiprolab.RestForOne}

	// It ends once, and is restarted.
	gridOnce = map[multiprolab.Strategy]gridOutcome{
		multiprolab.OneForOne:  {{1, false}, {2, false}, {1, false}},
		multiprolab.AllForOne:  {{2, false}, {2, false}, {2, false}},
		multiprolab.RestForOne: {{1, false}, {2, false}, {2, false}},
	}
	// It ends, and so does its second life, before it was ready; the third lives.
	gridTwice = map[multiprolab.Strategy]gridOutcome{
		multiprolab.OneForOne:  {{1, false}, {3, false}, {1, false}},
		multiprolab.AllForOne:  {{3, false}, {3, false}, {2, false}},
		multiprolab.RestForOne: {{1, false}, {3, false}, {2, false}},
	}
	// It fails, and is not restarted: those that would be are ended as well.
	gridNever = map[multiprolab.Strategy]gridOutcome{
		multiprolab.OneForOne:  {{1, false}, {1, true}, {1, false}},
		multiprolab.AllForOne:  {{1, true}, {1, true}, {1, true}},
		multiprolab.RestForOne: {{1, false}, {1, true}, {1, true}},
	}
	// It ends without an error, and is not restarted: that is no failure that anybody has to share.
	gridLeft = gridOutcome{{1, false}, {1, true}, {1, false}}
	// It fails, and its second life fails for good, with StopWorker.
	gridLimit2 = map[multiprolab.Strategy]gridOutcome{
		multiprolab.OneForOne:  {{1, false}, {2, true}, {1, false}},
		multiprolab.AllForOne:  {{2, true}, {2, true}, {1, true}},
		multiprolab.RestForOne: {{1, false}, {2, true}, {1, true}},
	}
	// The same with the third life.
	gridLimit3 = map[multiprolab.Strategy]gridOutcome{
		multiprolab.OneForOne:  {{1, false}, {3, true}, {1, false}},
		multiprolab.AllForOne:  {{3, true}, {3, true}, {1, true}},
		multiprolab.RestForOne: {{1, false}, {3, true}, {1, true}},
	}
)

// expected returns what a cell of the grid expects; endsProgram says that Run ends with the
// *RestartLimitError.
func (w *gridWay) expected(
	restart multiprolab.Restart,
	strategy multiprolab.Strategy,
	onLimit multiprolab.LimitAction,
) (outcome gridOutcome, endsProgram bool) {
	switch {
	case w.name == "leave" && restart != multiprolab.RestartAlways:
		return gridLeft, false
	case restart == multiprolab.RestartNever:
		return gridNever[strategy], false
	case w.limit && onLimit == multiprolab.EndProgram:
		return gridOutcome{}, true
	case w.limit && len(w.checks) == 2:
		return gridLimit2[strategy], false
	case w.limit:
		return gridLimit3[strategy], false
	case len(w.checks) == 2:
		return gridTwice[strategy], false
	}
	return gridOnce[strategy], false
}

type gridCell struct {
	way      gridWay
	restart  multiprolab.Restart
	strategy multiprolab.Strategy
	onLimit  multiprolab.LimitAction
}

// gridCells is the grid. Which of the others are restarted depends on the strategy and on whether a
// life counts as failed, not on how it failed: so each way meets each strategy with
// RestartOnFailure, and the other two only with AllForOne, which touches most; one death and the
// end without an error meet all. What happens in a later life needs one, so not RestartNever.
func gridCells() (cells []gridCell) {
	for _, way := range gridWays {
		for _, restart := range []multiprolab.Restart{multiprolab.RestartOnFailure, multiprolab.RestartNever, multiprolab.RestartAlways} {
			if restart == multiprolab.RestartNever && way.later != "" {
				continue
			}
			for _, strategy := range gridStrategies {
				all := way.name == "exit 1" || way.name == "leave"
				if !all && restart != multiprolab.RestartOnFailure && strategy != multiprolab.AllForOne {
					continue
				}
				cells = append(cells, gridCell{way, restart, strategy, multiprolab.StopWorker})
				if way.limit && restart == multiprolab.RestartOnFailure {
					cells = append(cells, gridCell{way, restart, strategy, multiprolab.EndProgram})
				}
			}
		}
	}
	return cells
}

// TestGrid: what the supervisor does, for each way in which a worker ends, each Restart and each
// Strategy.
func TestGrid(t *testing.T) {
	places := make(chan bool, 4) // so many cells run at one time, whatever -parallel says: each has some processes
	for _, c := range gridCells() {
		restart := []string{"OnFailure", "Never", "Always"}[c.restart]
		onLimit := ""
		if c.way.limit {
			onLimit = []string{", EndProgram", ", StopWorker"}[c.onLimit]
		}
		t.Run(fmt.Sprintf("%s, %s, %v%s", c.way.name, restart, c.strategy, onLimit), func(t *testing.T) {
			if c.way.unix && runtime.GOOS == "windows" {
				t.Skip("there are no signals")
			}
			t.Parallel()
			places <- true
			defer func() { <-places }()
			c.run(t)
		})
	}
}

func (c *gridCell) run(t *testing.T) {
	mute := filepath.Join(t.TempDir(), "mute")
	b := &multiprolab.WorkerConfig{
		Restart:         c.restart,
		RestartLimit:    multiprolab.RestartLimit{Restarts: 2, Then: c.onLimit},
		RestartDelay:    1,
		RestartMaxDelay: 1,
		Process:         multiprolab.ProcessConfig{Env: []string{gridLaterVar + "=" + c.way.later, gridMuteVar + "=" + mute}},
	}
	switch c.way.name {
	case "hang":
		b.HandlerTimeout = 10 * time.Millisecond
	case "stop":
		b.HeartbeatTimeout = 2 * time.Second // a healthy process answers within that, even on a busy machine
	}
	l := newLab(t, nil, pool{"grid-a", nil}, pool{"grid-b", b}, pool{"grid-c", nil}, pool{"grid-out", nil})
	l.RegisterGroup(c.strategy, "grid-a", "grid-b", "grid-c")
	require.NoError(t, l.Start(t.Context()))
	defer func() {
		_ = l.Close()
		l.checkGone(t)
	}()
	first := map[string]whoami{}
	for _, name := range gridWorkers {
		who, err := multiprolab.Call[whoami](bounded(t), l, name, "grid-who", nil)
		require.NoError(t, err)
		require.Equal(t, 1, who.Life)
		first[name] = who
	}

	want, endsProgram := c.way.expected(c.restart, c.strategy, c.onLimit)
	if c.way.later == "no hello" {
		require.NoError(t, os.WriteFile(mute, nil, 0o600))
	}
	switch how := c.way.end; {
	case c.way.name == "stop":
		require.NoError(t, signalProcess(first["grid-b"].PID, "SIGSTOP"))
	case how == "":
		require.NoError(t, multiprolab.Send(bounded(t), l, "grid-b", "grid-end", c.way.name))
	default:
		require.NoError(t, multiprolab.Send(bounded(t), l, "grid-b", "grid-end", how))
	}

	// What is reported of each life of the middle one.
	for i, check := range c.way.checks {
		life := i + 1
		again := !endsProgram && life < want[1].n || !want[1].gone && !endsProgram ||
			endsProgram && life < len(c.way.checks)
		if check == nil {
			stopped := waitEvent(
				t,
				l,
				func(e *multiprolab.WorkerStopped) bool { return e.Worker == "grid-b/0" && e.Life == life },
			)
			require.Equal(t, again, stopped.Restart, "WorkerStopped.Restart of life %d", life)
			require.Equal(t, first["grid-b"].PID, stopped.PID)
			continue
		}
		failed := waitEvent(
			t,
			l,
			func(e *multiprolab.WorkerFailed) bool { return e.Worker == "grid-b/0" && e.Life == life },
		)
		require.Equal(t, again, failed.Restart, "WorkerFailed.Restart of life %d", life)
		require.Equal(t, starts(l, "grid-b/0")[i].PID, failed.PID)
		check(t, failed.Err)
	}

	checkLimit := func(err error) {
		t.Helper()
		limit, ok := errors.AsType[*multiprolab.RestartLimitError](err)
		require.True(t, ok, "%T: %v", err, err)
		require.Equal(t, "grid-b/0", limit.Worker)
		require.Equal(t, c.way.name == "later no retry", limit.Permanent)
		require.Len(t, limit.Causes, len(c.way.checks))
		require.Equal(t, len(c.way.checks)-1, limit.Restarts)
		for i, check := range c.way.checks {
			check(t, limit.Causes[i])
		}
		c.way.checks[len(c.way.checks)-1](t, limit.Err)
	}
	if endsProgram {
		checkLimit(l.Wait(bounded(t)))
		return
	}

	// What has become of each: who is to live answers, with the life that is expected, and in the
	// same process if that is the first.
	for i, name := range gridWorkers[:3] {
		if w := want[i]; w.gone {
			if name != "grid-b" {
				waitEvent(
					t,
					l,
					func(e *multiprolab.WorkerStopped) bool { return e.Worker == name+"/0" && e.Life == w.n },
				)
			}
			_, err := multiprolab.Call[whoami](bounded(t), l, name, "grid-who", nil)
			require.Error(t, err, name)
			require.NotErrorIs(t, err, context.DeadlineExceeded, name)
			if c.way.limit {
				checkLimit(err)
			}
			continue
		} else if w.n > 1 {
			waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Worker == name+"/0" && e.Life == w.n })
		}
		who, err := multiprolab.Call[whoami](bounded(t), l, name, "grid-who", nil)
		require.NoError(t, err, name)
		require.Equal(t, want[i].n, who.Life, name)
		require.Equal(t, want[i].n == 1, who.PID == first[name].PID, name)
	}
	who, err := multiprolab.Call[whoami](bounded(t), l, "grid-out", "grid-who", nil)
	require.NoError(t, err, "the program does not go on")
	require.Equal(t, first["grid-out"], who)
	require.NoError(t, l.Close())
	for i, name := range gridWorkers[:3] {
		require.Len(t, starts(l, name+"/0"), want[i].n, "lives of %s", name)
	}
	for _, e := range eventsOf[*multiprolab.WorkerFailed](l) {
		require.Equal(t, "grid-b/0", e.Worker, "it has not failed: %v", e.Err)
	}
	failures := 0
	for _, check := range c.way.checks {
		if check != nil {
			failures++
		}
	}
	require.Len(t, eventsOf[*multiprolab.WorkerFailed](l), failures)
}

// The first start of a worker is another matter. With EndProgram its failure is that of Start, at
// once. With StopWorker it is tried again like any other, and when it is given up the program
// starts without it.
func TestGridFirstStart(t *testing.T) {
	for _, c := range []struct {
		name   string
		env    string
		reason string
		inner  func(*testing.T, error)
		final  bool
	}{
		{name: "setup error", env: misfitVar + "=error", reason: "its setup function returned an error", inner: func(t *testing.T, err error) {
			_, ok := err.(*multiprolab.RemoteError)
			require.True(t, ok, "%T", err)
		}},
		{name: "final setup error", env: "X=", reason: "its setup function returned an error", final: true, inner: func(t *testing.T, err error) {
			_, ok := err.(*multiprolab.RemoteError)
			require.True(t, ok, "%T", err)
		}},
		{name: "no hello", env: beforeRun + "=exit 3", reason: "its process ended before it reached Run", inner: wantDied(3, "")},
		{name: "exit in setup", env: misfitVar + "=exit 1", reason: "its process ended in its setup function", inner: wantDied(1, "")},
		{name: "panic in setup", env: misfitVar + "=panic", reason: "its process ended in its setup function", inner: wantDied(2, "")},
	} {
		config := func(onLimit multiprolab.LimitAction) *multiprolab.WorkerConfig {
			return &multiprolab.WorkerConfig{
				RestartLimit: multiprolab.RestartLimit{Then: onLimit,
					Restarts: 2},
				RestartDelay:    1,
				RestartMaxDelay: 1,
				Process:         multiprolab.ProcessConfig{Env: []string{c.env}},
			}
		}
		name := "misfit"
		if c.final {
			name = "first-misfit"
		}
		t.Run(c.name+", EndProgram", func(t *testing.T) {
			l := newLab(t, nil, pool{"lab", nil}, pool{name, config(multiprolab.EndProgram)})
			err := l.Start(t.Context())
			wantStart(c.reason, c.inner)(t, err)
			require.ErrorIs(t, l.Wait(bounded(t)), err)
			require.Len(t, starts(l, name+"/0"), 1, "it was started again")
			require.Len(t, eventsOf[*multiprolab.WorkerFailed](l), 1)
			require.False(t, eventsOf[*multiprolab.WorkerFailed](l)[0].Restart)
			l.checkGone(t)
		})
		t.Run(c.name+", StopWorker", func(t *testing.T) {
			l := startLab(t, nil, pool{name, config(multiprolab.StopWorker)}, pool{"lab", nil})
			lives := 3
			if c.final {
				lives = 1
			}
			for life := 1; life <= lives; life++ {
				failed := waitEvent(t, l, func(e *multiprolab.WorkerFailed) bool { return e.Life == life })
				require.Equal(t, name+"/0", failed.Worker)
				require.Equal(t, life < lives, failed.Restart)
				wantStart(c.reason, c.inner)(t, failed.Err)
			}
			n, err := multiprolab.Do[int](bounded(t), l, "double", 2)
			require.NoError(t, err, "the program does not go on")
			require.Equal(t, 4, n)
			err = multiprolab.Send(bounded(t), l, name, "x", nil)
			limit, ok := errors.AsType[*multiprolab.RestartLimitError](err)
			require.True(t, ok, "%T: %v", err, err)
			require.Equal(t, c.final, limit.Permanent)
			require.Equal(t, lives-1, limit.Restarts)
			_, err = multiprolab.Do[int](bounded(t), l, "misfit", 1)
			require.Error(t, err, "nobody has ever said that it takes this")
			require.NotErrorIs(t, err, context.DeadlineExceeded)
			require.NoError(t, l.Close())
			require.Len(t, starts(l, name+"/0"), lives)
			require.Len(t, starts(l, "lab/0"), 1)
		})
	}
}

var _ = worker(
	"first-misfit",
	func(context.Context, *multiprolab.Worker) error { return multiprolab.NoRetry(errMisfit) },
)

package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// panicText returns what fn panics with.
func panicText(t *testing.T, fn func()) (text string) {
	t.Helper()
	defer func() {
		v := recover()
		require.NotNil(t, v, "no panic")
		text = fmt.Sprint(v)
	}()
	fn()
	return ""
}

// Mistakes in a registration panic with what is wrong and where: for a conflict, with both places.
func TestRegistrationsThatPanic(t *testing.T) {
	setup := func(context.Context, *multiprolab.Worker) error { return nil }
	handler := func(context.Context, int) error { return nil }
	call := func(context.Context, int) (int, error) { return 0, nil }
	action := func(context.Context) error { return nil }
	m := func() *multiprolab.Main { return multiprolab.New(&multiprolab.Config{InProcess: true}) }
	long := strings.Repeat("n", 201)
	for name, c := range map[string]struct {
		do    func(m *multiprolab.Main)
		words []string
	}{
		"worker twice":     {func(m *multiprolab.Main) { m.RegisterWorker("w", setup, nil); m.RegisterWorker("w", setup, nil) }, []string{`"w" is registered twice`, "WorkerConfig.Count"}},
		"nil setup":        {func(m *multiprolab.Main) { m.RegisterWorker("w", nil, nil) }, []string{"setup function", "nil"}},
		"no name":          {func(m *multiprolab.Main) { m.RegisterWorker("", setup, nil) }, []string{"empty"}},
		"main":             {func(m *multiprolab.Main) { m.RegisterWorker("main", setup, nil) }, []string{"reserved"}},
		"below main":       {func(m *multiprolab.Main) { m.RegisterWorker("main/x", setup, nil) }, []string{"reserved"}},
		"a space":          {func(m *multiprolab.Main) { m.RegisterWorker("a b", setup, nil) }, []string{"letters, digits"}},
		"an umlaut":        {func(m *multiprolab.Main) { m.RegisterWorker("wörker", setup, nil) }, []string{"holds 'ö'", "letters, digits"}},
		"an instance":      {func(m *multiprolab.Main) { m.RegisterWorker("w/1", setup, nil) }, []string{"ends in a number"}},
		"a number":         {func(m *multiprolab.Main) { m.RegisterWorker("17", setup, nil) }, []string{"ends in a number"}},
		"an empty part":    {func(m *multiprolab.Main) { m.RegisterWorker("a//b", setup, nil) }, []string{"empty part"}},
		"a slash first":    {func(m *multiprolab.Main) { m.RegisterWorker("/a", setup, nil) }, []string{"empty part"}},
		"a slash last":     {func(m *multiprolab.Main) { m.RegisterWorker("a/", setup, nil) }, []string{"empty part"}},
		"a long name":      {func(m *multiprolab.Main) { m.RegisterWorker(long, setup, nil) }, []string{"201 bytes", "at most 200"}},
		"message twice":    {func(m *multiprolab.Main) { multiprolab.Handle(m, "x", handler); multiprolab.Handle(m, "x", handler) }, []string{`"x" is registered twice`}},
		"message and call": {func(m *multiprolab.Main) { multiprolab.Handle(m, "x", handler); multiprolab.HandleCall(m, "x", call) }, []string{`"x" is registered twice`}},
		"untyped twice": {func(m *multiprolab.Main) {
			m.Receiver().HandleCall("x", func(context.Context, *multiprolab.Message) (any, error) { return nil, nil })
			m.Receiver().Handle("x", func(context.Context, *multiprolab.Message) error { return nil })
		}, []string{`"x" is registered twice`}},
		"nil handler":          {func(m *multiprolab.Main) { multiprolab.Handle[int](m, "x", nil) }, []string{`"x" is nil`}},
		"nil call handler":     {func(m *multiprolab.Main) { multiprolab.HandleCall[int, int](m, "x", nil) }, []string{`"x" is nil`}},
		"nil untyped handler":  {func(m *multiprolab.Main) { m.Receiver().Handle("x", nil) }, []string{`"x" is nil`}},
		"nil untyped call":     {func(m *multiprolab.Main) { m.Receiver().HandleCall("x", nil) }, []string{`"x" is nil`}},
		"message without type": {func(m *multiprolab.Main) { multiprolab.Handle(m, "", handler) }, []string{"empty"}},
		"bad type":             {func(m *multiprolab.Main) { multiprolab.HandleCall(m, "a,b", call) }, []string{"letters, digits"}},
		"nil action":           {func(m *multiprolab.Main) { m.Action(0, nil) }, []string{"Action", "nil"}},
		"negative interval":    {func(m *multiprolab.Main) { m.Action(-1, action) }, []string{"Action", "negative"}},
		"negative time":        {func(m *multiprolab.Main) { m.After(-time.Second, action) }, []string{"After", "-1s"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := panicText(t, func() { c.do(m()) })
			for _, word := range append(c.words, "input_test.go:") {
				require.Contains(t, text, word)
			}
			if strings.Contains(text, "twice") {
				require.Equal(t, 2, strings.Count(text, "input_test.go:"), text)
			}
		})
	}
	// What is allowed.
	ok := m()
	for _, name := range []string{"a", "A-b_c/d", "v2", "main2", "2nd", strings.Repeat("n", 200)} {
		ok.RegisterWorker(name, setup, nil)
	}
	multiprolab.Handle(ok, "0", handler)
}

// The same in a worker, whose process dies of it: in its setup function, at its start.
var _ = worker("bad-setup", func(ctx context.Context, w *multiprolab.Worker) error {
	how, err := multiprolab.Call[string](ctx, w, "main", "how", nil)
	if err != nil {
		return err
	}
	task := func(context.Context, int) (int, error) { return 0, nil }
	switch how {
	case "task twice":
		multiprolab.HandleTask(w, "x", task)
		multiprolab.HandleTask(w, "x", task)
	case "pulled and handled":
		w.PullTasks("x")
		multiprolab.HandleTask(w, "x", task)
	case "nil task":
		multiprolab.HandleTask[int, int](w, "x", nil)
	case "nil untyped task":
		w.HandleTask("x", nil)
	case "bad task":
		multiprolab.HandleTask(w, "x y", task)
	case "nil loop":
		w.Loop(nil)
	case "two loops":
		w.Loop(func(context.Context) error { return nil })
		w.Loop(func(context.Context) error { return nil })
	case "nil exit":
		w.OnExit(nil)
	case "negative interval":
		w.Action(-1, func(context.Context) error { return nil })
	case "get":
		_, err := w.Tasks().Get(ctx)
		return err
	case "error":
		return errors.New("the device is not there")
	}
	return nil
})

func TestSetupsThatFail(t *testing.T) {
	for how, words := range map[string][]string{
		"task twice":         {"twice", "input_test.go:"},
		"pulled and handled": {"twice", "input_test.go:"},
		"nil task":           {`"x" is nil`, "input_test.go:"},
		"nil untyped task":   {`"x" is nil`, "input_test.go:"},
		"bad task":           {"letters, digits", "input_test.go:"},
		"nil loop":           {"nil", "input_test.go:"},
		"two loops":          {"Loop is called twice", "input_test.go:"},
		"nil exit":           {"OnExit", "nil"},
		"negative interval":  {"negative"},
		"get":                {"PullTasks"},
		"error":              {"setup function returned an error", "the device is not there"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, nil, workers("bad-setup", 1))
			multiprolab.HandleCall(l, "how", func(context.Context, struct{}) (string, error) { return how, nil })
			err := l.Start(t.Context())
			var start *multiprolab.StartError
			require.ErrorAs(t, err, &start)
			require.Equal(t, "bad-setup/0", start.Worker)
			for _, word := range words {
				require.ErrorContains(t, err, word)
			}
			l.checkGone(t)
		})
	}
}

// Names and types that nobody knows: who sends is told what there is, and what is found out only by
// the receiver is a dead letter.
func TestUnknownReceiversAndTypes(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("lab", 2), workers("prog", 1))
		multiprolab.Handle(l, "note", func(context.Context, string) error { return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		for _, to := range []string{"nobody", "", "lab/2", "lab/-1", "lab/x", "main/0", "lab/99999999999999999999", strings.Repeat("x", 300)} {
			_, callErr := multiprolab.Call[int](ctx, l, to, "state", nil)
			_, inWorker := runProgram(t, l, "send to", to)
			for what, err := range map[string]error{"send": multiprolab.Send(ctx, l, to, "add", 1), "call": callErr} {
				var unknown *multiprolab.UnknownReceiverError
				require.ErrorAs(t, err, &unknown, "%s to %q", what, to)
				require.Equal(t, to, unknown.Receiver)
				require.ErrorContains(t, err, "register a worker with this name")
				require.ErrorContains(t, err, "lab")
			}
			require.ErrorContains(t, inWorker, "unknown unknown", "%q", to)
			require.ErrorContains(t, inWorker, "register a worker with this name")
		}
		require.ErrorContains(t, multiprolab.Broadcast(ctx, l, "nobody", "add", 1), "register a worker with this name")
		require.ErrorContains(t, multiprolab.Broadcast(ctx, l, "main", "add", 1), `"main"`)
		_, err := runProgram(t, l, "broadcast", "nobody")
		require.ErrorContains(t, err, "register a worker with this name")
		_, err = runProgram(t, l, "broadcast", "main")
		require.ErrorContains(t, err, `"main"`)

		for _, typ := range []string{"", "a b", "ä", strings.Repeat("t", 201)} {
			_, callErr := multiprolab.Call[int](ctx, l, "lab", typ, nil)
			_, doErr := multiprolab.Do[int](ctx, l, typ, nil)
			for _, err := range []error{multiprolab.Send(ctx, l, "lab", typ, 1), multiprolab.Broadcast(ctx, l, "", typ, 1), callErr, doErr} {
				require.ErrorContains(t, err, "type")
				require.Equal(t, 1, strings.Count(err.Error(), "multiprolab:"))
			}
		}

		// No handler: a call and a task are answered, a message becomes a dead letter.
		for _, who := range []string{"lab/0", "main"} {
			_, err := multiprolab.Call[int](ctx, l, who, "unheard", nil)
			var unknown *multiprolab.UnknownTypeError
			require.ErrorAs(t, err, &unknown)
			require.Equal(t, who, unknown.Receiver)
			require.Equal(t, "call", unknown.Verb)
			require.ErrorContains(t, err, "HandleCall")
			require.NoError(t, multiprolab.Send(ctx, l, who, "unheard", 7))
			letter := waitEvent(t, l, func(d *multiprolab.DeadLetter) bool { return d.Receiver == who })
			require.Equal(t, "unheard", letter.Type)
			require.Equal(t, "main", letter.Sender)
			require.Contains(t, letter.Reason, "Handle")
		}
		_, err = multiprolab.Call[int](ctx, l, "lab/0", "add", 1) // a message's type is no call's
		require.ErrorContains(t, err, "HandleCall")
		require.ErrorContains(t, err, "call-echo")
		_, err = multiprolab.Do[int](ctx, l, "unheard", 1)
		var unknown *multiprolab.UnknownTypeError
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, "task", unknown.Verb)
		require.ErrorContains(t, err, "HandleTask")
		require.ErrorContains(t, err, "double")
		_, err = runProgram(t, l, "do", "unheard")
		require.ErrorContains(t, err, "HandleTask")
		_, err = runProgram(t, l, "send unheard", "lab/1")
		require.NoError(t, err)
		letter := waitEvent(t, l, func(d *multiprolab.DeadLetter) bool { return d.Sender == "prog/0" })
		require.Equal(t, "lab/1", letter.Receiver)
	})
}

var _ = program("send to", func(ctx context.Context, w *multiprolab.Worker, to string) (string, error) {
	var a, b *multiprolab.UnknownReceiverError
	sendErr := multiprolab.Send(ctx, w, to, "add", 1)
	_, callErr := multiprolab.Call[int](ctx, w, to, "state", nil)
	s, c := "known", "known"
	if errors.As(sendErr, &a) {
		s = "unknown"
	}
	if errors.As(callErr, &b) {
		c = "unknown"
	}
	return "", fmt.Errorf("%s %s: %v", s, c, errors.Join(sendErr, callErr))
})

var _ = program("do", func(ctx context.Context, w *multiprolab.Worker, typ string) (string, error) {
	return multiprolab.Do[string](ctx, w, typ, nil)
})

var _ = program("send unheard", func(ctx context.Context, w *multiprolab.Worker, to string) (string, error) {
	return "", multiprolab.Send(ctx, w, to, "unheard", nil)
})

// A nil context cause, a done context: nothing is sent, and the error wraps the cause.
func TestSendWithContextThatHasEnded(t *testing.T) {
	l := startLab(t, &multiprolab.Config{InProcess: true}, workers("lab", 1))
	before := errors.New("over before it began")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(before)
	_, callErr := multiprolab.Call[int](ctx, l, "lab", "state", nil)
	_, doErr := multiprolab.Do[int](ctx, l, "double", 1)
	_, submitErr := multiprolab.Submit[int](ctx, l, "double", 1, nil)
	for _, err := range []error{multiprolab.Send(ctx, l, "lab", "add", 1), multiprolab.Broadcast(ctx, l, "", "add", 1), callErr, doErr, submitErr} {
		require.ErrorIs(t, err, before)
	}
	n, err := multiprolab.Call[int](bounded(t), l, "lab", "state", nil)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Zero(t, l.Tasks().Stats().Received)
}

// Every knob has a default at zero, and is refused below, by its name, before anything is started.
func TestKnobs(t *testing.T) {
	const bad = -1
	for field, cfg := range map[string]multiprolab.Config{
		"Config.StartTimeout":    {StartTimeout: bad},
		"Config.SetupTimeout":    {SetupTimeout: bad},
		"Config.DrainTimeout":    {DrainTimeout: bad},
		"Config.ShutdownTimeout": {ShutdownTimeout: bad},
		"Config.KillTimeout":     {KillTimeout: bad},
		"Config.MaxMessageSize":  {MaxMessageSize: bad},
		"Config.Window":          {Window: bad},
		"Config.QueueLimit":      {QueueLimit: bad},
		"Config.MaxDepth":        {MaxDepth: bad},
		"Config.Shutdown":        {Shutdown: bad},
		"Config.Name":            {Name: "no such name!"},
	} {
		requireConfigError(t, field, &cfg, nil)
	}
	requireConfigError(t, "Config.Shutdown", &multiprolab.Config{Shutdown: multiprolab.KillAll + 1}, nil)
	if math.MaxInt > multiprolab.MaxMessageSize {
		requireConfigError(t, "Config.MaxMessageSize", &multiprolab.Config{MaxMessageSize: math.MaxInt}, nil)
	}
	for field, cfg := range map[string]multiprolab.WorkerConfig{
		"WorkerConfig.Count":               {Count: bad},
		"WorkerConfig.Restart":             {Restart: bad},
		"WorkerConfig.RestartLimit.Window": {RestartLimit: multiprolab.RestartLimit{Window: bad}},
		"WorkerConfig.RestartDelay":        {RestartDelay: bad},
		"WorkerConfig.RestartMaxDelay":     {RestartMaxDelay: bad},
	} {
		requireConfigError(t, field, nil, &cfg)
	}
	l := startLab(t, &multiprolab.Config{InProcess: true}, pool{"lab", &multiprolab.WorkerConfig{}})
	require.Equal(t, []string{"main", "lab/0"}, l.Router().Receivers())
	for field, o := range map[string]multiprolab.TaskOptions{
		"TaskOptions.Timeout":  {Timeout: bad},
		"TaskOptions.Grace":    {Grace: bad},
		"TaskOptions.Attempts": {Attempts: bad},
	} {
		_, err := multiprolab.DoWith[int](bounded(t), l, "double", 1, &o)
		var config *multiprolab.ConfigError
		require.ErrorAs(t, err, &config)
		require.Equal(t, field, config.Field)
	}
	n, err := multiprolab.DoWith[int](bounded(t), l, "double", 1, &multiprolab.TaskOptions{})
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

func requireConfigError(t *testing.T, field string, cfg *multiprolab.Config, workerCfg *multiprolab.WorkerConfig) {
	t.Helper()
	l := newLab(t, cfg, pool{"lab", workerCfg})
	err := l.Start(t.Context())
	var config *multiprolab.ConfigError
	require.ErrorAs(t, err, &config, field)
	require.Equal(t, field, config.Field)
	require.ErrorContains(t, err, field)
	require.Empty(t, l.all())
	require.ErrorAs(t, l.Wait(t.Context()), &config)
}

// A worker may be used where it is connected to no main only to be told so.
func TestTaskQueueOfAWorker(t *testing.T) {
	l := startLab(t, &multiprolab.Config{InProcess: true}, workers("prog", 1))
	got, err := runProgram(t, l, "queue", "")
	require.NoError(t, err)
	require.Equal(t, "{0 0 0 0 0 0} multiprolab: this works only in the main process", got)
}

var _ = program("queue", func(ctx context.Context, w *multiprolab.Worker, _ string) (string, error) {
	return fmt.Sprint(w.Tasks().Stats(), " ", w.Tasks().Join(ctx)), nil
})

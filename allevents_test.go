package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// TestEvents: who asks for the events gets those of Config.OnEvent, all and in their order, whether
// it asks before the start, or after the end for the last ones.
func TestEvents(t *testing.T) {
	l := newLab(
		t,
		nil,
		pool{"watch-leaver", &multiprolab.WorkerConfig{RestartLimit: multiprolab.RestartLimit{Restarts: 100}}},
	)
	events, err := l.Events(t.Context())
	require.NoError(t, err)
	told := make(chan []string, 1)
	go func() { told <- eventTexts(events) }()
	require.NoError(t, l.Start(context.Background()))
	send := func(body string) {
		require.NoError(t, multiprolab.Send(bounded(t), l, "watch-leaver", "msg-die", body))
	}
	send("exit 3")
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 2 })
	require.NoError(t, multiprolab.Send(bounded(t), l, "watch-leaver", "nobody-takes-this", "a body"))
	waitEvent[*multiprolab.DeadLetter](t, l, nil)
	for range recent { // more than are kept
		require.NoError(t, multiprolab.Send(bounded(t), l, "watch-leaver", "nobody-takes-this", "a body"))
	}
	eventually(t, "the dead letters", func() bool { return len(l.all()) > recent+6 })
	require.NoError(t, l.Close())

	want := textsOf(l.all())
	require.ElementsMatch(t, want, await(t, told, "the end of the events"))
	last, err := l.Events(t.Context())
	require.NoError(t, err)
	var late []string
	for e := range last {
		late = append(late, eventText(e))
		if letter, ok := e.(*multiprolab.DeadLetter); ok {
			var body string
			require.ErrorContains(t, letter.Decode(&body), "the body is gone")
		}
	}
	require.Len(t, late, recent)
	require.Subset(t, want, late)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	none, err := l.Events(ctx)
	require.NoError(t, err)
	for range none { // it closes, whether or not it has told something
	}
}

// recent is how many events are kept for those who come late.
const recent = 100

func eventTexts(events <-chan multiprolab.Event) (texts []string) {
	for e := range events {
		texts = append(texts, eventText(e))
	}
	return texts
}

func textsOf(events []multiprolab.Event) (texts []string) {
	for _, e := range events {
		texts = append(texts, eventText(e))
	}
	return texts
}

// eventText tells events apart, and says nothing of bodies.
func eventText(e multiprolab.Event) string {
	switch e := e.(type) {
	case *multiprolab.WorkerStarted:
		return fmt.Sprintf("started %d %v", e.Life, e.At)
	case *multiprolab.WorkerReady:
		return fmt.Sprintf("ready %d %v", e.Life, e.At)
	case *multiprolab.WorkerStopped:
		return fmt.Sprintf("stopped %d %v", e.Life, e.At)
	case *multiprolab.WorkerFailed:
		return fmt.Sprintf("failed %d %v", e.Life, e.At)
	case *multiprolab.DeadLetter:
		return fmt.Sprintf("letter %v", e.At)
	case *multiprolab.ProgramEnding:
		return fmt.Sprintf("ending %v", e.At)
	}
	return fmt.Sprintf("%T", e)
}

var _ = worker("complainer", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleCall(w, "print", func(_ context.Context, text string) (string, error) {
		_, err := os.Stderr.WriteString(text)
		return "", err
	})
	multiprolab.Handle(w, "msg-die", func(_ context.Context, how string) error { die(how); return nil })
	return nil
})

// TestStderr: the end of what a worker has printed can be read while it lives, is bounded, and is
// that of its present life alone.
func TestStderr(t *testing.T) {
	l := startLab(t, nil, pool{"complainer", nil})
	say := func(text string) {
		_, err := multiprolab.Call[string](bounded(t), l, "complainer", "print", text)
		require.NoError(t, err)
	}
	read := func() string {
		text, err := l.Stderr("complainer/0")
		require.NoError(t, err)
		return text
	}
	require.Empty(t, read())
	say("<b>one</b>\n")
	eventually(t, "the line", func() bool { return read() == "<b>one</b>\n" })
	say(strings.Repeat("x", 1<<20) + "the end\n")
	eventually(t, "the end of a megabyte", func() bool { return strings.HasSuffix(read(), "xthe end\n") })
	require.LessOrEqual(t, len(read()), 64<<10)

	require.NoError(t, multiprolab.Send(bounded(t), l, "complainer", "msg-die", "exit 3"))
	waitEvent(t, l, func(e *multiprolab.WorkerReady) bool { return e.Life == 2 })
	require.Empty(t, read())
	_, err := l.Stderr("complainer/1")
	var unknown *multiprolab.UnknownReceiverError
	require.ErrorAs(t, err, &unknown)
}

func ExampleMain_Events() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error { return nil }
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		events, err := app.Events(ctx) // what has happened before is told, too
		if err != nil {
			return err
		}
		for range 2 {
			switch e := (<-events).(type) {
			case *multiprolab.WorkerStarted:
				fmt.Println(e.Worker, "has started")
			case *multiprolab.WorkerReady:
				fmt.Println(e.Worker, "is ready")
			}
		}
		return nil
	})
	// Output:
	// worker/0 has started
	// worker/0 is ready
}

func ExampleMain_Stderr() {
	setup := func(ctx context.Context, w *multiprolab.Worker) error { return nil }
	run(setup, func(ctx context.Context, app *multiprolab.Main) error {
		text, err := app.Stderr("worker/0")
		fmt.Printf("%q %v\n", text, err) // with InProcess, workers print to the standard error of main
		return nil
	})
	// Output:
	// "" <nil>
}

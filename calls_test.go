package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// Each of many calls at a time gets its own answer, whatever becomes of the others: from main, and
// from worker to worker.
func TestCallsGetTheirOwnAnswers(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(
			t,
			&multiprolab.Config{InProcess: inProcess, Window: smallWindow},
			workers("lab", 3),
			workers("prog", 2),
		)
		ctx := bounded(t)
		var group sync.WaitGroup
		for g := range 10 {
			group.Go(func() {
				for i := range 60 {
					text := fmt.Sprint(g, " ", i)
					var got string
					var err error
					switch i % 4 {
					case 0:
						got, err = multiprolab.Call[string](ctx, l, fmt.Sprint("lab/", g%3), "call-echo", text)
					case 1:
						got, err = multiprolab.Call[string](ctx, l, "lab", "call-echo", text)
					case 2:
						got, err = multiprolab.Call[string](ctx, l, "prog", "program-call", order{"ask lab", text})
					case 3: // one that nobody waits for
						gone, leave := context.WithCancel(ctx)
						go leave()
						_, _ = multiprolab.Call[string](gone, l, "lab", "call-echo", "nobody waits")
						continue
					}
					if err != nil || got != text {
						t.Errorf("call %q: %q, %v", text, got, err)
					}
				}
			})
		}
		group.Wait()
	})
}

var _ = program("ask lab", func(ctx context.Context, w *multiprolab.Worker, arg string) (string, error) {
	return multiprolab.Call[string](ctx, w, "lab", "call-echo", arg)
})

// The end of the caller's context ends its wait with the cause, and the context of the handler; the
// worker goes on.
func TestCallCancelled(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 2))
		blocked := make(chan string, 1)
		multiprolab.Handle(l, "blocked", func(_ context.Context, who string) error { blocked <- who; return nil })
		unblocked := make(chan struct{}, 1)
		multiprolab.HandleCall(l, "block", func(ctx context.Context, _ struct{}) (int, error) {
			blocked <- "main"
			<-ctx.Done()
			unblocked <- struct{}{}
			return 0, ctx.Err()
		})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		lostInterest := errors.New("lost interest")

		ctx, cancel := context.WithCancelCause(bounded(t))
		ended := make(chan error, 1)
		go func() {
			_, err := multiprolab.Call[string](ctx, l, "prog/0", "program-call", order{"block", ""})
			ended <- err
		}()
		require.Equal(t, "prog/0", await(t, blocked, "the handler to run"))
		cancel(lostInterest)
		require.ErrorIs(t, await(t, ended, "the end of the wait"), lostInterest)
		// The handler returns, or this would wait for ever.
		_, err := multiprolab.Call[[]string](bounded(t), l, "prog/0", "notes", nil)
		require.NoError(t, err)

		// A worker cancels its call to another worker, and one to main.
		for _, to := range []string{"prog/1", "main"} {
			_, err = multiprolab.Call[string](bounded(t), l, "prog/0", "program-call", order{"call and leave", to})
			require.NoError(t, err)
			require.Equal(t, to, await(t, blocked, "the handler to run"))
		}
		await(t, unblocked, "main's handler to be cancelled")
		_, err = multiprolab.Call[[]string](bounded(t), l, "prog/1", "notes", nil)
		require.NoError(t, err)
	})
}

// call and leave calls a handler that blocks, and gives up once it runs.
var _ = program("call and leave", func(ctx context.Context, w *multiprolab.Worker, to string) (string, error) {
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	var err error
	if to == "main" {
		_, err = multiprolab.Call[int](short, w, to, "block", nil)
	} else {
		_, err = multiprolab.Call[string](short, w, to, "program-call", order{"block", ""})
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return "", fmt.Errorf("not the end of the context: %w", err)
	}
	return "", nil
})

// A call that was cancelled while it waits in the inbox is never handled.
func TestCallCancelledInTheInbox(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 1))
		blocked := make(chan struct{}, 1)
		multiprolab.Handle(l, "blocked", func(context.Context, string) error { blocked <- struct{}{}; return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		task, err := multiprolab.Submit[string](bounded(t), l, "program", order{"block", ""}, nil)
		require.NoError(t, err)
		await(t, blocked, "the worker to be busy")
		ctx, cancel := context.WithTimeout(bounded(t), 50*time.Millisecond)
		defer cancel()
		_, err = multiprolab.Call[string](ctx, l, "prog", "program-call", order{"note to main", "never"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		task.Cancel()
		_, err = task.Wait(bounded(t))
		require.ErrorIs(t, err, multiprolab.ErrCancelled)
		_, err = multiprolab.Call[[]string](bounded(t), l, "prog", "notes", nil)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Empty(t, eventsOf[*multiprolab.DeadLetter](l), "the message of a handler that should not have run")
	})
}

type labError struct{ Code int }

func (e *labError) Error() string { return fmt.Sprint("code ", e.Code) }

var _ = program("fail", func(ctx context.Context, w *multiprolab.Worker, how string) (string, error) {
	switch how {
	case "type":
		return "", fmt.Errorf("around it: %w", &labError{7})
	case "plain type":
		return "", &labError{7}
	case "path":
		return "", &fs.PathError{Op: "open", Path: "/no/where", Err: fs.ErrNotExist}
	case "deadline":
		return "", fmt.Errorf("slow: %w", context.DeadlineExceeded)
	case "cancelled":
		return "", context.Canceled
	case "empty":
		return "", errors.New("")
	case "binary":
		return "", errors.New("\xff\x00\n\"")
	}
	return "", fmt.Errorf("no such failure: %s", how)
})

// G04: the error of a handler reaches its caller with worker, type, text and Go type.
func TestG04_HandlerErrors(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 1))
		multiprolab.HandleCall(l, "fail", func(context.Context, string) (int, error) { return 0, &labError{9} })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		for _, c := range []struct {
			how, text, goType string
			is                error
		}{
			{"type", "around it: code 7", "*fmt.wrapError", nil},
			{"plain type", "code 7", "*multiprolab_test.labError", nil},
			{"path", "open /no/where: file does not exist", "*fs.PathError", nil},
			{"deadline", "slow: context deadline exceeded", "*fmt.wrapError", context.DeadlineExceeded},
			{"cancelled", "context canceled", "*errors.errorString", context.Canceled},
			{"empty", "", "*errors.errorString", nil},
			{"binary", "\xff\x00\n\"", "*errors.errorString", nil},
		} {
			_, taskErr := runProgram(t, l, "fail", c.how)
			_, callErr := multiprolab.Call[string](bounded(t), l, "prog", "program-call", order{"fail", c.how})
			require.NoError(t, multiprolab.Send(bounded(t), l, "prog", "program-message", order{"fail", c.how}))
			for typ, err := range map[string]error{"program": taskErr, "program-call": callErr} {
				var remote *multiprolab.RemoteError
				require.ErrorAs(t, err, &remote, c.how)
				require.Equal(t, "prog/0", remote.Worker)
				require.Equal(t, typ, remote.Type)
				require.Equal(t, c.text, remote.Text)
				require.Equal(t, c.goType, remote.GoType)
				require.ErrorContains(t, err, c.text)
				require.ErrorContains(t, err, "prog/0")
				for _, is := range []error{context.DeadlineExceeded, context.Canceled, multiprolab.ErrCancelled, multiprolab.ErrStopped} {
					require.Equal(t, c.is == is, errors.Is(err, is), "%s: %v", c.how, is)
				}
			}
			event := waitEvent(t, l, func(e *multiprolab.HandlerFailed) bool {
				var remote *multiprolab.RemoteError
				return errors.As(e.Err, &remote) && remote.Text == c.text
			})
			require.Equal(t, "main", event.Sender)
			require.Equal(t, "prog/0", event.Receiver)
			require.Equal(t, "program-message", event.Type)
		}
		_, err := multiprolab.Call[string](bounded(t), l, "prog", "program-call", order{"ask main to fail", ""})
		require.ErrorContains(t, err, "code 9")
		require.ErrorContains(t, err, "main")
	})
}

var _ = program("ask main to fail", func(ctx context.Context, w *multiprolab.Worker, _ string) (string, error) {
	_, err := multiprolab.Call[int](ctx, w, "main", "fail", "")
	var remote *multiprolab.RemoteError
	if !errors.As(err, &remote) || remote.Worker != "main" || remote.GoType != "*multiprolab_test.labError" {
		return "", fmt.Errorf("not main's error: %w", err)
	}
	return "", err
})

// Calls in a circle get an error at once: between workers, from a worker to itself, and from a
// worker back to a main that waits for it.
func TestCallCycles(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 3))
		multiprolab.HandleCall(l, "main-call", func(ctx context.Context, o order) (string, error) {
			got, err := multiprolab.Call[string](ctx, l, o.Name, "program-call", order{"call", o.Arg})
			if err != nil {
				err = fmt.Errorf("%w (cycle: %v)", err, errors.Is(err, multiprolab.ErrCallCycle))
			}
			return got, err
		})
		type way struct{ verb, to, arg string }
		ask, answer := make(chan way), make(chan error)
		l.Action(time.Millisecond, func(ctx context.Context) error { // main waits in an action
			select {
			case w := <-ask:
				var err error
				switch w.verb {
				case "Call":
					_, err = multiprolab.Call[string](ctx, l, w.to, "program-call", order{"call", w.arg})
				case "Do":
					_, err = multiprolab.Do[string](ctx, l, "program", order{"call", w.arg})
				case "Submit": // and something that is derived from the action's context
					derived, cancel := context.WithTimeout(ctx, patience)
					defer cancel()
					f, e := multiprolab.Submit[string](derived, l, "program", order{"call", w.arg}, nil)
					if e == nil {
						_, e = f.Wait(derived)
					}
					err = e
				}
				answer <- err
			default:
			}
			return nil
		})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		// prog/0 calls prog/1 calls prog/0.
		for _, path := range []string{"prog/1 prog/0", "prog/1 prog/2 prog/0", "prog/0", "prog/1 main prog/0"} {
			_, err := multiprolab.Call[string](bounded(t), l, "prog/0", "program-call", order{"call", path})
			require.ErrorContains(t, err, "cycle: true", path)
		}
		for _, w := range []way{{"Call", "prog/0", "main"}, {"Call", "prog/0", "prog/1 main"}, {"Do", "", "main"}, {"Do", "", "prog/2 main"}, {"Submit", "", "main"}} {
			select {
			case ask <- w:
			case <-time.After(patience):
				require.FailNow(t, "main's action does not run")
			}
			// then it was not main's wait that closed it
			if err := await(t, answer, "the answer"); !errors.Is(err, multiprolab.ErrCallCycle) {
				require.ErrorContains(t, err, "cycle: true", w)
			}
		}
		// What is no circle is none: main calls a worker from outside its loop, which calls main.
		got, err := multiprolab.Call[string](bounded(t), l, "prog/0", "program-call", order{"call", "main prog/1"})
		require.NoError(t, err)
		require.Equal(t, "the end", got)
		// The same worker again, once the way is free.
		got, err = multiprolab.Call[string](bounded(t), l, "prog/0", "program-call", order{"call", "prog/1 prog/2"})
		require.NoError(t, err)
		require.Equal(t, "the end", got)
	})
}

// call calls the first process of a path, which calls the second, and so on.
var _ = program("call", func(ctx context.Context, w *multiprolab.Worker, path string) (string, error) {
	if path == "" {
		return "the end", nil
	}
	to, rest, _ := cutSpace(path)
	var got string
	var err error
	if to == "main" {
		next, rest, _ := cutSpace(rest)
		got, err = multiprolab.Call[string](ctx, w, "main", "main-call", order{next, rest})
	} else {
		got, err = multiprolab.Call[string](ctx, w, to, "program-call", order{"call", rest})
	}
	if err != nil {
		return "", fmt.Errorf("%w (cycle: %v)", err, errors.Is(err, multiprolab.ErrCallCycle))
	}
	return got, nil
})

// A worker asks main in its setup function, and is asked by nobody before it is ready.
var _ = worker("asker", func(ctx context.Context, w *multiprolab.Worker) error {
	name, err := multiprolab.Call[string](ctx, w, "main", "config", w.Name())
	if err != nil {
		return err
	}
	if err := multiprolab.Send(ctx, w, "main", "note", "setup of "+w.Name()); err != nil {
		return err
	}
	multiprolab.HandleCall(w, "config", func(context.Context, struct{}) (string, error) { return name, nil })
	return nil
})

func TestCallFromSetup(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("asker", 3))
		multiprolab.HandleCall(
			l,
			"config",
			func(ctx context.Context, who string) (string, error) { return "config of " + who, nil },
		)
		var texts notes
		multiprolab.Handle(l, "note", func(_ context.Context, s string) error { texts.add(s); return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		for i := range 3 {
			name := fmt.Sprint("asker/", i)
			got, err := multiprolab.Call[string](bounded(t), l, name, "config", nil)
			require.NoError(t, err)
			require.Equal(t, "config of "+name, got)
		}
		eventually(t, "the messages of the setup functions", func() bool { return texts.len() == 3 })
	})
}

// Calls leave nothing behind: thousands of them, answered and cancelled, cost no memory in the end.
func TestCallsLeaveNothingBehind(t *testing.T) {
	l := startLab(t, nil, workers("lab", 2))
	run := func(n int) {
		for i := range n {
			ctx, cancel := context.WithCancel(bounded(t))
			if i%2 == 0 {
				cancel()
			}
			_, err := multiprolab.Call[string](ctx, l, "lab", "call-echo", "x")
			require.Equal(t, i%2 == 0, err != nil)
			cancel()
		}
	}
	run(50)
	before := runtime.NumGoroutine()
	run(1000)
	// eventually has some of its own
	eventually(t, "the goroutines to end", func() bool { return runtime.NumGoroutine() <= before+2 })
}

var _ = worker("callee", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.Handle(w, "fill", func(ctx context.Context, _ struct{}) error { return nil })
	multiprolab.Handle(w, "wait", func(ctx context.Context, v visit) error { _, err := v.wait(); return err })
	multiprolab.HandleCall(w, "act", func(ctx context.Context, from string) (int, error) {
		return 0, multiprolab.Send(ctx, w, "main", "acted", from)
	})
	return nil
})

var _ = worker("impatient", func(ctx context.Context, w *multiprolab.Worker) error {
	// call returns when its call has been cancelled.
	multiprolab.HandleTask(w, "call", func(ctx context.Context, _ struct{}) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		defer cancel()
		_, err := multiprolab.Call[int](ctx, w, "callee/0", "act", "impatient")
		return fmt.Sprint(err), nil
	})
	return nil
})

// TestCancelledCallThatWaits: a call that is cancelled while it waits for room at its receiver is
// not put to the handler, whether a worker made it or main.
func TestCancelledCallThatWaits(t *testing.T) {
	l := newLab(t, &multiprolab.Config{Window: 8 << 10}, workers("callee", 1), workers("impatient", 1))
	g := newGate(t)
	acted := make(chan string, 3)
	multiprolab.Handle(l, "acted", func(_ context.Context, from string) error { acted <- from; return nil })
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	ctx := bounded(t)
	require.NoError(t, multiprolab.Send(ctx, l, "callee/0", "wait", g.visit("full")))
	v := g.expect(t, "full")
	for err := error(nil); err == nil; { // until there is no room
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		err = multiprolab.Send(short, l, "callee/0", "fill", nil)
		cancel()
	}
	got, err := multiprolab.Do[string](ctx, l, "call", nil)
	require.NoError(t, err)
	require.Contains(t, got, "deadline exceeded")
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = multiprolab.Call[int](short, l, "callee/0", "act", "main")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	v.tell("go on")
	_, err = multiprolab.Call[int](ctx, l, "callee/0", "act", "a third")
	require.NoError(t, err)
	require.Equal(t, "a third", await(t, acted, "the call that was not cancelled"))
}

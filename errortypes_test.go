package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// brokenRecord is an error with a type of its own.
type brokenRecord struct {
	Line int
	Why  string
}

func (e *brokenRecord) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Why) }

var errNeedle = errors.New("the needle is worn")

func failRecord(ctx context.Context, how string) (int, error) {
	switch how {
	case "typed":
		return 0, fmt.Errorf("side A: %w", &brokenRecord{7, "scratched"})
	case "sentinel":
		return 0, fmt.Errorf("side B: %w", errNeedle)
	case "both":
		return 0, errors.Join(&brokenRecord{8, "warped"}, io.ErrUnexpectedEOF)
	}
	return 0, errors.New("unregistered")
}

func TestG04_RegisteredErrors(t *testing.T) {
	app := multiprolab.New(&multiprolab.Config{InProcess: true})
	app.RegisterError(errNeedle, io.ErrUnexpectedEOF, &brokenRecord{})
	app.RegisterWorker("player", func(ctx context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "play", failRecord)
		multiprolab.HandleCall(w, "play-call", failRecord)
		multiprolab.HandleCall(w, "relay", func(ctx context.Context, how string) (int, error) {
			return multiprolab.Do[int](ctx, w, "play", how)
		})
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	require.NoError(t, app.Start(context.Background()))
	defer app.Close()
	ctx := bounded(t)
	for verb, do := range map[string]func(how string) error{
		"task": func(how string) error { _, err := multiprolab.Do[int](ctx, app, "play", how); return err },
		"call": func(how string) error {
			_, err := multiprolab.Call[int](ctx, app, "player", "play-call", how)
			return err
		},
		"relay": func(how string) error { _, err := multiprolab.Call[int](ctx, app, "player", "relay", how); return err },
	} {
		var broken *brokenRecord
		err := do("typed")
		require.ErrorAs(t, err, &broken, verb)
		require.Equal(t, &brokenRecord{7, "scratched"}, broken)
		require.NotErrorIs(t, err, errNeedle)
		require.Contains(t, err.Error(), "side A: line 7: scratched")
		err = do("sentinel")
		require.ErrorIs(t, err, errNeedle, verb)
		require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
		err = do("both")
		require.ErrorAs(t, err, &broken, verb)
		require.Equal(t, 8, broken.Line)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		err = do("other")
		var remote *multiprolab.RemoteError
		require.ErrorAs(t, err, &remote)
		require.False(t, errors.As(err, &broken))
	}
	require.Panics(t, func() { app.RegisterError(io.EOF) }, "after Start")
}

// queryError is as errors of libraries are: its cause is in a field, and so is another one.
type queryError struct {
	Query string
	Err   error
	Where whereabouts
	Last  error
}

type whereabouts struct {
	Host  string
	Cause error
}

func (e *queryError) Error() string   { return fmt.Sprintf("query %s: %v", e.Query, e.Err) }
func (e *queryError) Unwrap() []error { return []error{e.Err, e.Where.Cause} }

// A valueError is a struct, and no pointer to one.
type valueError struct{ Code int }

func (e valueError) Error() string { return fmt.Sprint("code ", e.Code) }

// channelError cannot be sent.
type channelError struct{ C chan int }

func (e *channelError) Error() string { return "channel" }

func failQuery(context.Context, struct{}) (int, error) {
	return 0, fmt.Errorf(
		"%w, %w, %w",
		&channelError{},
		valueError{7},
		&queryError{Query: "q", Err: fmt.Errorf("dial: %w", syscall.ECONNREFUSED),
			Where: whereabouts{"h", &fs.PathError{Op: "open", Path: "/p", Err: fs.ErrNotExist}}},
	)
}

// Each registered type in the tree of an error is found, with the errors in its fields as far as
// they are known. A type that cannot be sent says so at the start, once, and those that have
// nothing to send do not.
func TestRegisteredErrorsKeepTheirCauses(t *testing.T) {
	l := newLab(t, &multiprolab.Config{InProcess: true})
	l.RegisterError(&queryError{}, valueError{}, &channelError{}, errNeedle, io.EOF, &fs.PathError{})
	l.RegisterWorker("db", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "query", failQuery)
		return nil
	}, nil)
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	for range 2 {
		_, err := multiprolab.Do[int](bounded(t), l, "query", struct{}{})
		query, ok := errors.AsType[*queryError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, "q", query.Query)
		require.ErrorIs(t, query.Err, syscall.ECONNREFUSED)
		require.Equal(t, "h", query.Where.Host)
		path, ok := query.Where.Cause.(*fs.PathError)
		require.True(t, ok, "%T", query.Where.Cause)
		require.Equal(t, &fs.PathError{Op: "open", Path: "/p", Err: fs.ErrNotExist}, path)
		require.NoError(t, query.Last)
		value, ok := errors.AsType[valueError](err)
		require.True(t, ok)
		require.Equal(t, 7, value.Code)
		_, ok = errors.AsType[*channelError](err)
		require.False(t, ok)
	}
	require.Equal(t, 1, strings.Count(l.log.String(), "RegisterError"), l.log.String())
	require.Contains(t, l.log.String(), "type=*multiprolab_test.channelError")
}

// A handler that waits for a task does not wait for itself: the task goes to another worker, and
// where there is none, it is refused at once.
func TestTaskOfAHandlerGoesElsewhere(t *testing.T) {
	for count, want := range map[int]error{1: multiprolab.ErrCallCycle, 2: nil} {
		app := multiprolab.New(&multiprolab.Config{InProcess: true})
		app.RegisterWorker("player", func(ctx context.Context, w *multiprolab.Worker) error {
			multiprolab.HandleTask(w, "inner", func(ctx context.Context, n int) (int, error) { return n, nil })
			multiprolab.HandleTask(
				w,
				"outer",
				func(ctx context.Context, n int) (int, error) { return multiprolab.Do[int](ctx, w, "inner", n) },
			)
			multiprolab.HandleTask(w, "outer-later", func(ctx context.Context, n int) (int, error) {
				_, err := multiprolab.Submit[int](ctx, w, "inner", n, nil)
				return n, err
			})
			return nil
		}, &multiprolab.WorkerConfig{Count: count})
		require.NoError(t, app.Start(context.Background()))
		for i := range 20 {
			n, err := multiprolab.Do[int](bounded(t), app, "outer", i)
			if want != nil {
				require.ErrorContains(t, err, "would wait for itself")
			} else {
				require.NoError(t, err)
				require.Equal(t, i, n)
			}
			_, err = multiprolab.Do[int](bounded(t), app, "outer-later", i)
			require.NoError(t, err, "who does not wait may submit to itself")
		}
		require.NoError(t, app.Tasks().Join(bounded(t)))
		require.NoError(t, app.Close())
	}
}

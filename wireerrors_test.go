package multiprolab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"strconv"
	"sync"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/pack"
)

// exportedErrors returns a value of each exported error type, with all its fields filled, and one
// with none.
func exportedErrors() (full, empty []error) {
	var kept errpack.Kept
	errpack.Known{io.EOF, &MapError{}}.Keep(&kept, errors.Join(context.Canceled, &MapError{1, io.EOF}), &codec.Codec{})
	died := &WorkerDiedError{
		Worker:   "w/2",
		PID:      4711,
		Life:     3,
		ExitCode: -1,
		Signal:   "SIGKILL",
		CoreDump: true,
		Reason:   "why",
		During:   "task",
		Stopped:  "SIGTTOU",
		Uptime:   time.Minute,
		Stderr:   "panic: x",
	}
	full = []error{
		&ConfigError{
			"Config.Window",
			"-1",
			"it cannot be",
		}, died, &MemoryLimitError{1 << 20, true, "/group", died}, &HangError{Running: "a task", For: 2, Limit: 3, Silent: true, Died: died},
		&StartError{Worker: "w/1", PID: 7, Reason: "it did not", Err: died, permanent: true},
		&RestartLimitError{
			Worker:    "w/0",
			Restarts:  2,
			Window:    time.Hour,
			Permanent: true,
			Err:       died,
			Causes:    []error{io.EOF, died},
		},
		&ShutdownError{Killed: []KilledWorker{{"w", 7, "it did not end"}}},
		&RemoteError{
			Worker: "w",
			PID:    1,
			Type:   "t",
			Text:   "text",
			GoType: "*T",
			kept:   kept,
			final:  true,
			after:  time.Second,
		},
		&UnknownReceiverError{
			"x",
			[]string{"y", "z"},
		}, &UnknownTypeError{"r", "task", "t", "q", []string{"u"}}, &EncodeError{"r", "t", "T", io.EOF}, &DecodeError{"r", "t", io.EOF}, &SizeError{"t", 2, 1},
		&TimeoutError{
			Worker:  "w",
			PID:     1,
			Type:    "t",
			Timeout: time.Second,
			Killed:  true,
			Stopped: "SIGSTOP",
			Stderr:  "stacks",
		}, &NoWorkerError{"t", died}, &MapError{3, died}, &AttemptsError{Type: "t", Attempts: []error{died, &TimeoutError{Worker: "v"}}},
	}
	empty = []error{
		&ConfigError{},
		&WorkerDiedError{},
		&MemoryLimitError{},
		&HangError{},
		&StartError{},
		&RestartLimitError{},
		&ShutdownError{},
		&RemoteError{},
		&UnknownReceiverError{},
		&UnknownTypeError{},
		&EncodeError{},
		&DecodeError{},
		&SizeError{},
		&TimeoutError{},
		&NoWorkerError{},
		&MapError{},
		&AttemptsError{},
		&AttemptsError{Attempts: []error{nil}},
		&RestartLimitError{Causes: []error{nil, nil}},
	}
	return full, empty
}

// use does with an error what users do.
func use(err error) string {
	for _, s := range append(slices.Clone(wireSentinels), io.EOF, fs.ErrNotExist) {
		_ = errors.Is(err, s)
	}
	full, _ := exportedErrors()
	for _, e := range full {
		_ = errors.Is(err, e)
	}
	_, _, _ = errors.As(
		err,
		new(*WorkerDiedError),
	), errors.As(
		err,
		new(*RemoteError),
	), errors.As(
		err,
		new(*AttemptsError),
	)
	_, _, _ = errors.As(
		err,
		new(*fs.PathError),
	), errors.As(
		err,
		new(*HangError),
	), errors.As(
		err,
		new(interface{ Timeout() bool }),
	)
	return fmt.Sprintf("%v %+v %s", err, err, brief(err))
}

// TestErrorsOfUsers: users make errors of the exported types as well, and may leave out what they
// like.
func TestErrorsOfUsers(t *testing.T) {
	full, empty := exportedErrors()
	for _, err := range slices.Concat(full, empty) {
		require.NotEmpty(t, use(err))
		require.NotEmpty(t, use(fmt.Errorf("wrapped: %w", err)))
		require.NotEmpty(t, use(unmarshalError(marshalError(err))))
	}
	require.NoError(t, (&AttemptsError{}).Unwrap())
	require.NoError(t, (&HangError{}).Unwrap())
	require.NoError(t, (&MemoryLimitError{}).Unwrap())
	var died *WorkerDiedError
	require.False(t, errors.As(&HangError{}, &died))
}

// TestErrorsKeepWhatTheyAre: an error that crosses the wire has the same text, type, fields and
// identity.
func TestErrorsKeepWhatTheyAre(t *testing.T) {
	full, _ := exportedErrors()
	for _, err := range full {
		got := unmarshalError(marshalError(err))
		require.Equal(t, err.Error(), got.Error())
		switch err.(type) {
		case *ShutdownError, *MapError: // they are made by the process that gets them
		default:
			require.IsType(t, err, got)
		}
	}
	for _, s := range wireSentinels {
		for _, err := range []error{s, &sentinelError{"more telling", s}, fmt.Errorf("wrapped: %w", s), &stoppedError{s}, errors.Join(s, full[1])} {
			got := unmarshalError(marshalError(err))
			require.ErrorIs(t, got, s)
			require.Equal(t, err.Error(), got.Error())
		}
	}
	both := unmarshalError(marshalError(errors.Join(ErrStopped, ErrCallCycle)))
	require.ErrorIs(t, both, ErrStopped)
	require.ErrorIs(t, both, ErrCallCycle)
	for range 20 {
		require.Equal(
			t,
			marshalError(errors.Join(ErrStopped, ErrBacklog, ErrCancelled)),
			marshalError(errors.Join(ErrStopped, ErrBacklog, ErrCancelled)),
		)
	}
	var hang *HangError
	var limit *RestartLimitError
	var start *StartError
	none := unmarshalError(marshalError(&NoWorkerError{"t", &stoppedError{full[5]}}))
	require.ErrorAs(t, none, &limit)
	require.Equal(t, full[5].(*RestartLimitError).Window, limit.Window)
	require.ErrorIs(t, none, ErrStopped)
	require.ErrorAs(t, unmarshalError(marshalError(&NoWorkerError{"t", full[4]})), &start)
	require.True(t, start.permanent)
	require.ErrorAs(
		t,
		unmarshalError(marshalError(fmt.Errorf("outer: %w", &AttemptsError{Attempts: []error{io.EOF, full[3]}}))),
		&hang,
	)
	require.Equal(t, full[3], hang)
}

// TestErrorsFit: whatever an error holds, it takes no more than its bound on the wire, and says how
// many attempts there were.
func TestErrorsFit(t *testing.T) {
	long := strings.Repeat("ä\"<&\x00", 20_000) // longer than the bound
	died := func() error { return &WorkerDiedError{Worker: "w/2", Stderr: long} }
	for name, err := range map[string]error{
		"a text": errors.New(long), "a death": died(), "a remote error": &RemoteError{Text: long, Type: long, GoType: long},
		"names": &UnknownTypeError{Known: slices.Repeat([]string{long[:200]}, 10_000)}, "a chain": func() error {
			err := died()
			for range 100 {
				err = &NoWorkerError{Type: long, Err: err}
			}
			return err
		}(),
		"joined": errors.Join(slices.Repeat([]error{died(), ErrStopped}, 500)...),
	} {
		t.Run(name, func(t *testing.T) {
			b := marshalError(err)
			require.LessOrEqual(t, len(b), errpack.MaxSize)
			use(unmarshalError(b))
		})
	}
	for _, n := range []int{1, 2, 16, 1000} {
		all := &AttemptsError{Type: "t"}
		for range n {
			all.Attempts = append(all.Attempts, died())
		}
		all.Attempts[n-1] = &WorkerDiedError{Worker: "the last", Stderr: "panic: why\n" + long}
		b := marshalError(all)
		require.LessOrEqual(t, len(b), errpack.MaxSize)
		var got *AttemptsError
		require.ErrorAs(t, unmarshalError(b), &got)
		require.Contains(t, got.Error(), fmt.Sprintf("all of its %d attempts", n))
		last := got.Attempts[len(got.Attempts)-1].(*WorkerDiedError)
		require.Equal(t, "the last", last.Worker)
		require.True(
			t,
			strings.HasPrefix(last.Stderr, "panic: why"),
			"the stderr of the last attempt is the last to be cut",
		)
		require.True(t, strings.HasSuffix(strings.ToValidUTF8(last.Stderr, "?"), "..."))
		require.NotContains(t, strings.ToValidUTF8(last.Stderr, "?"), "?", "no half of a character")
	}
}

// FuzzErrorFromWire: bytes from a worker that lies, taken for an error, for what it says at its
// start and at its end, or for options, give something that can be used.
func FuzzErrorFromWire(f *testing.F) {
	full, empty := exportedErrors()
	for _, err := range slices.Concat(full, empty, wireSentinels) {
		f.Add(marshalError(err))
		f.Add(marshalError(fmt.Errorf("wrapped: %w", err)))
		f.Add(pack.Marshal(&life.Readiness{Failure: packedError(err), Tasks: []string{"t"}}))
	}
	f.Add([]byte(meta.Task{Key: "k", Chain: "main", Retry: meta.Retry{Factor: 2}}.Marshal()))
	n := newNode(MainName, &codec.Codec{}, 1<<20, 1<<20)
	n.errors = errpack.Known{io.EOF, &fs.PathError{}, &TimeoutError{}}
	slot := &slot{name: "liar/0"}
	p := &peer{seated: newSeated(slot, 1), process: life.New(&fakeBody{}, nil, life.Options{})}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := unmarshalError(b)
		use(err)
		if again := marshalError(err); len(again) > errpack.MaxSize {
			t.Fatalf("%d bytes", len(again))
		} else if got := unmarshalError(again); strings.Contains(got.Error(), "cannot be read") && !strings.Contains(err.Error(), "cannot be read") {
			t.Fatalf("%v is read as %v", err, got)
		}
		use(n.recognise(err))
		vouched := p.vouchError("t", unmarshalError(b))
		use(n.recognise(vouched))
		if died := (*WorkerDiedError)(nil); errors.As(vouched, &died) {
			t.Fatalf("a worker speaks of the death of another: %v", vouched)
		}
		var r life.Readiness
		if pack.Unmarshal(b, &r) == nil && r.Failure != "" {
			use(unmarshalError([]byte(r.Failure)))
		}
		var bye life.Farewell
		if pack.Unmarshal(b, &bye) == nil && bye.Failure != "" {
			use(unmarshalError([]byte(bye.Failure)))
		}
		if m, err := meta.Unmarshal(string(b)); err == nil {
			_ = checkTask(&m)
			if len(m.Marshal()) > len(b) {
				t.Fatalf("the options get longer: %q", m.Marshal())
			}
		}
	})
}

// An error that is sent stays as it is: others have it, too.
func TestErrorIsNotChangedBySending(t *testing.T) {
	deep := errors.New("at the bottom")
	for range 2 * errpack.MaxDepth {
		deep = &StartError{Worker: "w/0", Err: deep}
	}
	causes := []error{deep, nil, deep}
	known := []string{strings.Repeat("x", errpack.MaxText+1), "y"}
	for _, err := range []error{&AttemptsError{Attempts: causes}, &RestartLimitError{Causes: causes}, &UnknownTypeError{Known: known}, &UnknownReceiverError{Known: known}} {
		marshalError(err)
	}
	require.Equal(t, []error{deep, nil, deep}, causes)
	require.Equal(t, []string{strings.Repeat("x", errpack.MaxText+1), "y"}, known)
}

// One error may be the outcome of several submissions, and be on its way to others meanwhile. What
// is registered is found in each of the errors that it holds.
func TestErrorIsRecognisedByMany(t *testing.T) {
	n := newNode(MainName, &codec.Codec{}, 1<<20, 1<<20)
	n.errors = errpack.Known{errors.ErrUnsupported, &strconv.NumError{}}
	cause := fmt.Errorf("%w: %w", errors.ErrUnsupported, &ConfigError{Field: "f"})
	shared := unmarshalError(
		marshalError(&AttemptsError{Attempts: []error{n.remote("t", cause), n.remote("t", cause)}}),
	)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := n.recognise(shared); !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("%v does not match what is registered", err)
			}
		})
		all.Go(func() { marshalError(shared) })
	}
	all.Wait()
	for _, attempt := range shared.(*AttemptsError).Attempts {
		if !errors.Is(attempt, errors.ErrUnsupported) {
			t.Errorf("%v does not match what is registered", attempt)
		}
	}
}

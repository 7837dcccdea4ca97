package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// kindOf tells outcomes apart by the switch of the package documentation: TestDocSwitch checks that
// it is the same.
func kindOf(ctx context.Context, err error) string {
	var (
		attempts *multiprolab.AttemptsError
		noWorker *multiprolab.NoWorkerError
		timeout  *multiprolab.TimeoutError
		memory   *multiprolab.MemoryLimitError
		hang     *multiprolab.HangError
		died     *multiprolab.WorkerDiedError
		remote   *multiprolab.RemoteError
	)
	switch {
	case err == nil:
		return "result"
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return "given up"
	case errors.As(err, &attempts):
		return "attempts"
	case errors.Is(err, multiprolab.ErrCancelled):
		return "cancelled"
	case errors.As(err, &noWorker):
		return "no worker"
	case errors.Is(err, multiprolab.ErrStopped):
		return "stopped"
	case errors.As(err, &timeout):
		return "timeout"
	case errors.As(err, &memory):
		return "memory"
	case errors.As(err, &hang):
		return "hang"
	case errors.As(err, &died):
		return "died"
	case errors.As(err, &remote):
		return "remote"
	case errors.Is(err, multiprolab.ErrQueueFull):
		return "full"
	default:
		return "other"
	}
}

// The switch of the documentation tells the outcomes apart, those that wrap others, too.
func TestDocSwitch(t *testing.T) {
	casesOf := func(file, pattern string) (cases []string) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			cases = append(cases, m[1])
		}
		return cases
	}
	require.Equal(t, casesOf("doc.go", `(?m)^//\tcase (.*?): +//`), casesOf("doc_test.go", `(?m)^\tcase (.*):$`))

	died := &multiprolab.WorkerDiedError{Worker: "w/0"}
	memory, hang, timeout := &multiprolab.MemoryLimitError{
		Died: died,
	}, &multiprolab.HangError{
		Died: died,
	}, &multiprolab.TimeoutError{}
	remote := &multiprolab.RemoteError{Text: "it fails"}
	ended := newLab(t, &multiprolab.Config{InProcess: true})
	ended.After(0, func(context.Context) error { return errors.Join(died, timeout, remote) })
	require.Error(t, ended.Run(t.Context()))
	_, stopped := multiprolab.Do[int](t.Context(), ended, "t", 1)
	for _, c := range []struct {
		err  error
		kind string
	}{
		{nil, "result"}, {died, "died"}, {memory, "memory"}, {hang, "hang"}, {timeout, "timeout"}, {remote, "remote"}, {stopped, "stopped"},
		{multiprolab.ErrCancelled, "cancelled"}, {multiprolab.ErrQueueFull, "full"}, {&multiprolab.UnknownTypeError{}, "other"},
		{&multiprolab.AttemptsError{Attempts: []error{timeout}}, "attempts"},
		{&multiprolab.NoWorkerError{Err: died}, "no worker"}, {&multiprolab.NoWorkerError{Err: fmt.Errorf("it has left: %w", multiprolab.ErrStopped)}, "no worker"},
	} {
		require.Equal(t, c.kind, kindOf(t.Context(), c.err), "%v", c.err)
		if c.err == nil {
			continue
		}
		// The same error as the cause of the end of a context, as errgroup does it.
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(c.err)
		require.Equal(t, c.kind, kindOf(ctx, c.err), "an outcome that is there counts more than the end of the context")
		_, err := multiprolab.Call[int](ctx, ended, "w", "t", 1)
		require.ErrorIs(t, err, c.err)
		require.Equal(t, "given up", kindOf(ctx, err), "%v", err)
	}
}

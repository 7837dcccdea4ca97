package multiprolab_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// seen is what a handler has seen of shared data.
type seen struct {
	PID    int
	First  uint64 // the version at its beginning
	Second uint64 // the version at its end
	Sum    float64
}

// The worker "reader" maps the shared data "table".
var _ = worker("reader", func(ctx context.Context, w *multiprolab.Worker) error {
	sum := func(ctx context.Context) (uint64, float64, error) {
		s, err := w.Shared(ctx, "table")
		if err != nil {
			return 0, 0, err
		}
		values, err := multiprolab.View[float64](s)
		var sum float64
		for _, v := range values {
			sum += v
		}
		return s.Version(), sum, err
	}
	multiprolab.HandleTask(w, "sum", func(ctx context.Context, _ struct{}) (seen, error) {
		version, sum, err := sum(ctx)
		return seen{os.Getpid(), version, version, sum}, err
	})
	multiprolab.HandleCall(w, "sum", func(ctx context.Context, _ struct{}) (seen, error) {
		version, sum, err := sum(ctx)
		return seen{os.Getpid(), version, version, sum}, err
	})
	// twice looks before and after main has answered the call "between".
	multiprolab.HandleTask(w, "twice", func(ctx context.Context, _ struct{}) (seen, error) {
		first, _, err := sum(ctx)
		if err != nil {
			return seen{}, err
		}
		if _, err := multiprolab.Call[bool](ctx, w, "main", "between", nil); err != nil {
			return seen{}, err
		}
		second, sum, err := sum(ctx)
		return seen{os.Getpid(), first, second, sum}, err
	})
	multiprolab.HandleTask(w, "shared", func(ctx context.Context, name string) (string, error) {
		s, err := w.Shared(ctx, name)
		if err != nil {
			return "", err
		}
		return string(s.Bytes()), nil
	})
	multiprolab.HandleTask(w, "scribble", func(ctx context.Context, _ struct{}) (int, error) {
		s, err := w.Shared(ctx, "table")
		if err == nil {
			s.Bytes()[0] = 1
		}
		return 0, err
	})
	// outside takes the data under a context of no handler, and tells what it holds.
	var held []*multiprolab.Shared
	multiprolab.HandleTask(w, "outside", func(_ context.Context, release bool) (versions []uint64, err error) {
		if release {
			for _, s := range held {
				s.Release()
				s.Release()
			}
			held = nil
			return nil, nil
		}
		s, err := w.Shared(context.Background(), "table")
		if err != nil {
			return nil, err
		}
		held = append(held, s)
		for _, s := range held {
			values, err := multiprolab.View[float64](s)
			if err != nil || len(values) > 0 && values[0] != float64(s.Version()) {
				return nil, fmt.Errorf("version %d is %v (%v)", s.Version(), values[:1], err)
			}
			versions = append(versions, s.Version())
		}
		return versions, nil
	})
	return nil
})

// equals is n numbers of one value.
func equals(n int, value float64) []float64 {
	all := make([]float64, n)
	for i := range all {
		all[i] = value
	}
	return all
}

func readers(count int) pool {
	return pool{"reader", &multiprolab.WorkerConfig{Count: count, Shared: []string{"table", "text", "empty"}}}
}

// modes runs a test with processes, and with goroutines.
func modes(t *testing.T, test func(t *testing.T, cfg *multiprolab.Config)) {
	t.Run("processes", func(t *testing.T) { test(t, &multiprolab.Config{}) })
	t.Run("in one process", func(t *testing.T) { test(t, &multiprolab.Config{InProcess: true}) })
}

// A handler that has begun keeps its version; the next one gets the new one.
func TestSharedVersionOfHandler(t *testing.T) {
	modes(t, func(t *testing.T, cfg *multiprolab.Config) {
		l := newLab(t, cfg, readers(1))
		multiprolab.HandleCall(l, "between", func(context.Context, struct{}) (bool, error) {
			_, err := l.Publish("table", multiprolab.Numbers(equals(1000, 2)))
			return true, err
		})
		version, err := l.Publish("table", multiprolab.Numbers(equals(1000, 1)))
		require.NoError(t, err)
		require.EqualValues(t, 1, version)
		startReady(t, l)
		got, err := multiprolab.Do[seen](bounded(t), l, "twice", nil)
		require.NoError(t, err)
		require.Equal(t, seen{got.PID, 1, 1, 1000}, got)
		got, err = multiprolab.Do[seen](bounded(t), l, "sum", nil)
		require.NoError(t, err)
		require.Equal(t, seen{got.PID, 2, 2, 2000}, got)
		require.NoError(t, l.Close())
		_, err = l.Publish("table", strings.NewReader("late"))
		require.ErrorIs(t, err, multiprolab.ErrStopped)
	})
}

// Bytes, a file and what is empty come as they are; what there is not is an error that says why.
func TestSharedSourcesAndErrors(t *testing.T) {
	modes(t, func(t *testing.T, cfg *multiprolab.Config) {
		l := startLab(t, cfg, readers(1))
		do := func(name string) (string, error) { return multiprolab.Do[string](bounded(t), l, "shared", name) }
		_, err := do("text")
		require.ErrorIs(t, err, fs.ErrNotExist)
		require.ErrorContains(t, err, `shared data "text": nothing is published under this name`)
		_, err = do("other")
		require.ErrorIs(t, err, fs.ErrPermission)
		path := t.TempDir() + "/text"
		require.NoError(t, os.WriteFile(path, []byte("of a file"), 0o600))
		file, err := os.Open(path)
		require.NoError(t, err)
		defer file.Close()
		_, err = l.Publish("text", file)
		require.NoError(t, err)
		text, err := do("text")
		require.NoError(t, err)
		require.Equal(t, "of a file", text)
		_, err = l.Publish("empty", bytes.NewReader(nil))
		require.NoError(t, err)
		text, err = do("empty")
		require.NoError(t, err)
		require.Empty(t, text)
		l.Unpublish("text")
		l.Unpublish("text")
		_, err = do("text")
		require.ErrorIs(t, err, fs.ErrNotExist)
		version, err := l.Publish("text", strings.NewReader("again"))
		require.NoError(t, err)
		require.EqualValues(t, 3, version, "the number of a version never comes again")
		text, err = do("text")
		require.NoError(t, err)
		require.Equal(t, "again", text)
		_, err = l.Publish("table", strings.NewReader("odd"))
		require.NoError(t, err)
		_, err = multiprolab.Do[seen](bounded(t), l, "sum", nil)
		require.ErrorContains(t, err, "it holds no numbers of type float64, of 8 bytes each")
		_, err = l.Publish("a b", strings.NewReader(""))
		require.ErrorContains(t, err, "use letters, digits")
	})
}

// What is taken outside of a handler stays until it is released, each version of it.
func TestSharedOutsideOfHandler(t *testing.T) {
	modes(t, func(t *testing.T, cfg *multiprolab.Config) {
		l := startLab(t, cfg, readers(1))
		for i := range 3 {
			_, err := l.Publish("table", multiprolab.Numbers(equals(10, float64(i+1))))
			require.NoError(t, err)
			versions, err := multiprolab.Do[[]uint64](bounded(t), l, "outside", false)
			require.NoError(t, err)
			require.Equal(t, []uint64{1, 2, 3}[:i+1], versions)
		}
		_, err := multiprolab.Do[[]uint64](bounded(t), l, "outside", true)
		require.NoError(t, err)
	})
}

// Who writes to shared data dies of it; what others read is as it was.
func TestSharedCannotBeWritten(t *testing.T) {
	l := newLab(t, nil, readers(2))
	_, err := l.Publish("table", multiprolab.Numbers(equals(1000, 1)))
	require.NoError(t, err)
	startReady(t, l)
	_, err = multiprolab.Do[int](bounded(t), l, "scribble", nil)
	var died *multiprolab.WorkerDiedError
	require.ErrorAs(t, err, &died)
	for range 4 {
		got, err := multiprolab.Do[seen](bounded(t), l, "sum", nil)
		require.NoError(t, err)
		require.EqualValues(t, 1000, got.Sum)
	}
}

func TestSharedConfig(t *testing.T) {
	for _, names := range [][]string{{""}, {"a b"}, {"a", "a"}} {
		l := newLab(t, nil, pool{"reader", &multiprolab.WorkerConfig{Shared: names}})
		var wrong *multiprolab.ConfigError
		require.ErrorAs(t, l.Start(context.Background()), &wrong)
		require.Contains(t, wrong.Error(), "WorkerConfig.Shared[")
	}
}

package multiprolab

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/queue"
)

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu     sync.Mutex // guards buffer
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// The watchdog tells, once, of a task that the rules leave beside a worker with nothing to do, and
// leaves a record. It does not look while there are no tasks.
func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out lockedBuffer // main's log is written on goroutines of its own
		path := filepath.Join(t.TempDir(), "record")
		m := New(&Config{InProcess: true, Logger: slog.New(slog.NewTextHandler(&out, nil)), RecordFile: path})
		goOn := make(chan struct{})
		m.RegisterWorker("w", func(ctx context.Context, w *Worker) error {
			HandleTask(w, "wait", func(context.Context, int) (int, error) { <-goOn; return 0, nil })
			return nil
		}, &WorkerConfig{HeartbeatTimeout: -1})
		var looks atomic.Int32
		var left *queue.Task // what the rules leave there
		m.broker.dog.neglected = func() *queue.Task { looks.Add(1); return left }
		require.NoError(t, m.Start(t.Context()))
		time.Sleep(10 * dogTime)
		require.Zero(t, looks.Load(), "there are no tasks")
		f, err := Submit[int](t.Context(), m, "wait", 1, nil)
		require.NoError(t, err)
		time.Sleep(10*dogTime + 1)
		require.EqualValues(t, 10, looks.Load())
		require.Empty(t, out.String())
		m.broker.mu.Lock()
		left = &m.broker.submitted(nil, 1).Task
		m.broker.mu.Unlock()
		time.Sleep(dogTime)
		require.Empty(t, out.String(), "it may be given out in this moment")
		time.Sleep(5 * dogTime)
		require.EqualValues(t, 12, looks.Load())
		require.Contains(t, out.String(), "level=WARN")
		require.Contains(t, out.String(), "a task waits beside a worker that has nothing to do")
		require.FileExists(t, path)
		record, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Contains(t, string(record), `"event":"submit"`)
		close(goOn)
		_, err = f.Wait(t.Context())
		require.NoError(t, err)
		m.fail(errors.New("the end"))
		require.ErrorContains(t, m.Close(), "the end")
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, record, kept, "the record of the alarm stays")
		end, err := os.ReadFile(path + ".end")
		require.NoError(t, err)
		require.Contains(t, string(end), `"why":"the end"`)
	})
}

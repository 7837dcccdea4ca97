package multiprolab

import (
	"context"
	"errors"
	"testing"
)

// TestNothingIsTakenWhileStartIsAtIt: what comes before Start has made the instances is told that
// they have not been started. It does not find half of them.
func TestNothingIsTakenWhileStartIsAtIt(t *testing.T) {
	m := New(&Config{InProcess: true})
	m.RegisterWorker("pool", func(context.Context, *Worker) error { return nil }, nil)
	m.state = mainRunning // as begin leaves it while it prepares
	ctx := context.Background()
	_, submitted := m.Tasks().Submit(ctx, "task", 1, nil)
	_, called := Call[int](ctx, m, "pool", "call", 1)
	for what, err := range map[string]error{
		"Send":      m.Router().Send(ctx, "pool", "message", 1),
		"Send to 0": m.Router().Send(ctx, "pool/0", "message", 1),
		"Broadcast": m.Router().Broadcast(ctx, "pool", "message", 1),
		"Call":      called,
		"Submit":    submitted,
		"Resize":    m.Resize("pool", 2),
		"Restart":   m.Restart(ctx, "pool"),
	} {
		if !errors.Is(err, errNotStarted) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestResizeWhenTheEndIsJustAskedFor: the rules of lives hear of the end first, and Resize says that
// it is the end.
func TestResizeWhenTheEndIsJustAskedFor(t *testing.T) {
	th := newTheatre(t, nil, map[string]WorkerConfig{"pool": {}})
	th.fleet.exit(FinishRunning)
	if err := th.Resize("pool", 2); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
}

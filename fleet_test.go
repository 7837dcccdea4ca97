package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// halting is a slog.Handler that notes what it is told, and stops in the first record that begins
// with a text, until it is let go.
type halting struct {
	slog.Handler
	at   string
	once sync.Once
	in   chan struct{} // closed when it has stopped
	goOn chan struct{}
	said notes
}

func newHalting(at string) *halting {
	return &halting{Handler: slog.DiscardHandler, at: at, in: make(chan struct{}), goOn: make(chan struct{})}
}

func (h *halting) Enabled(context.Context, slog.Level) bool { return true }

func (h *halting) Handle(_ context.Context, r slog.Record) error {
	text := strings.TrimPrefix(r.Message, "multiprolab: ")
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "worker" || a.Key == "life" {
			text += " " + a.Value.String()
		}
		return true
	})
	h.said.add(text)
	if strings.HasPrefix(text, h.at) {
		h.once.Do(func() { close(h.in); <-h.goOn })
	}
	return nil
}

// What is told of one worker is told in its order, and that of its group's restart is the order of
// the lives, however slow the one is who writes the log, and whoever else does something meanwhile.
// Exit and Resize do not wait for the log.
func TestEventsOfAWorkerComeInOrder(t *testing.T) {
	for _, at := range []string{"worker failed a/0", "worker ready b/0", "worker stopped b/0"} {
		synctest.Test(t, func(t *testing.T) {
			log := newHalting(at)
			l := newLab(t, &multiprolab.Config{InProcess: true, Logger: slog.New(log)})
			fails := make(chan bool)
			setup := func(_ context.Context, w *multiprolab.Worker) error {
				if w.Pool() == "a" && w.Life() == 1 {
					w.Loop(func(context.Context) error { <-fails; return errors.New("it fails") })
				}
				return nil
			}
			l.RegisterWorker("a", setup, nil)
			l.RegisterWorker("b", setup, nil)
			l.RegisterWorker("c", setup, nil)
			l.RegisterGroup(multiprolab.AllForOne, "a", "b")
			started := make(chan error, 1)
			go func() { started <- l.Start(t.Context()) }() // ends with the start
			synctest.Wait()
			close(fails)
			synctest.Wait()
			select {
			case <-log.in:
			default:
				t.Fatalf("the log did not come to it: %v", log.said.all())
			}
			if !strings.Contains(at, "ready") {
				require.NoError(t, l.Resize("c", 2))
				time.Sleep(time.Minute)
			}
			close(log.goOn)
			require.NoError(t, <-started)
			synctest.Wait()
			l.Exit()
			require.NoError(t, l.Wait(t.Context()))
			for _, worker := range []string{"a/0", "b/0"} {
				var got []string
				for _, text := range log.said.all() {
					if strings.Contains(text, " "+worker+" ") {
						got = append(got, text)
					}
				}
				end := "worker stopped"
				if worker == "a/0" {
					end = "worker failed"
				}
				require.Equal(t, []string{
					fmt.Sprintf("worker started %s 1", worker),
					fmt.Sprintf("worker ready %s 1", worker),
					fmt.Sprintf("%s %s 1", end, worker),
					fmt.Sprintf("worker started %s 2", worker),
					fmt.Sprintf("worker ready %s 2", worker),
					fmt.Sprintf("worker stopped %s 2", worker),
				}, got, at)
			}
		})
	}
}

// A member of a group that calls another one which waits for its end, before both start again, gets
// an error at once: it would wait for itself.
func TestGroupCallOfWhoWaitsForTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, &multiprolab.Config{InProcess: true})
		fails, goOn, got := make(chan bool), make(chan bool), make(chan error, 1)
		l.RegisterWorker("a", func(_ context.Context, w *multiprolab.Worker) error {
			multiprolab.Handle(w, "hold", func(ctx context.Context, _ struct{}) error {
				<-goOn
				_, err := multiprolab.Call[int](context.WithoutCancel(ctx), w, "b", "x", nil)
				got <- err
				return nil
			})
			return nil
		}, nil)
		l.RegisterWorker("b", func(_ context.Context, w *multiprolab.Worker) error {
			if w.Life() == 1 {
				w.Loop(func(context.Context) error { <-fails; return errors.New("it fails") })
			}
			return nil
		}, nil)
		l.RegisterGroup(multiprolab.AllForOne, "a", "b")
		require.NoError(t, l.Start(t.Context()))
		require.NoError(t, multiprolab.Send(t.Context(), l, "a", "hold", nil))
		synctest.Wait()
		close(fails)
		synctest.Wait()
		begun := time.Now()
		close(goOn)
		require.ErrorIs(t, <-got, multiprolab.ErrCallCycle)
		require.Zero(t, time.Since(begun))
		synctest.Wait()
		l.hadLives(t, map[string]int{"a/0": 2, "b/0": 2})
	})
}

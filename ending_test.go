package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// chatter counts, where workers are goroutines, what they sent and what they took.
var chatter struct{ sent, taken atomic.Int64 }

// The worker of which a goroutine sends until it cannot any more.
var _ = worker("chatterbox", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "nothing", func(context.Context, int) (int, error) { return 0, nil })
	s, err := w.Tasks().Submit(ctx, "nothing", 0, nil)
	if err != nil {
		return err
	}
	go func() { // what waits for no room, too: all through the end
		<-ctx.Done()
		for range 3000 {
			s.Cancel()
		}
	}()
	multiprolab.Handle(w, "chat", func(context.Context, int) error { chatter.taken.Add(1); return nil })
	multiprolab.HandleCall(w, "ask", func(context.Context, int) (int, error) { return 1, nil })
	go func() { // ends with the worker
		for n := 0; multiprolab.Send(context.Background(), w, "main", "chat", n) == nil; n++ {
			chatter.sent.Add(1)
		}
	}()
	return nil
})

// Messages that cross the end of a worker, from its goroutines and to it, break no wire: each is
// handled, refused to its sender, or a dead letter.
func TestMessagesAtTheEnd(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for range 10 {
			chatter.sent.Store(0)
			chatter.taken.Store(0)
			l := newLab(t, &multiprolab.Config{InProcess: inProcess, Window: smallWindow}, workers("chatterbox", 2))
			var heard, sent atomic.Int64
			enough := make(chan struct{})
			multiprolab.Handle(l, "chat", func(context.Context, int) error {
				if heard.Add(1) == 200 {
					close(enough)
				}
				return nil
			})
			require.NoError(t, l.Start(t.Context()))
			var group sync.WaitGroup
			for range 2 {
				group.Go(func() {
					for multiprolab.Send(context.Background(), l, "chatterbox", "chat", 1) == nil {
						sent.Add(1)
						runtime.Gosched()
					}
				})
			}
			for i := range 4 {
				group.Go(func() {
					var err error
					for err == nil {
						_, err = multiprolab.Call[int](bounded(t), l, fmt.Sprint("chatterbox/", i%2), "ask", 1)
					}
					if !errors.Is(err, multiprolab.ErrStopped) {
						t.Errorf("a call ended with %v", err)
					}
				})
			}
			await(t, enough, "the chat to go on")
			require.NoError(t, l.Close())
			group.Wait()
			require.Empty(t, eventsOf[*multiprolab.WorkerFailed](l))
			require.Len(t, eventsOf[*multiprolab.WorkerStopped](l), 2)
			if !inProcess {
				continue
			}
			eventually(
				t,
				"the goroutines of the workers to end",
				func() bool { return chatter.sent.Load() == heard.Load() },
			)
			letters := int64(0)
			for _, d := range eventsOf[*multiprolab.DeadLetter](l) {
				require.Equal(t, "chat", d.Type, "a call has an answer, and is no dead letter: %+v", d)
				letters++
			}
			require.Equal(
				t,
				sent.Load(),
				chatter.taken.Load()+letters,
				"%d handled, %d dead letters",
				chatter.taken.Load(),
				letters,
			)
		}
	})
}

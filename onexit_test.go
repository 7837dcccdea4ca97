package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// The goer tries in its OnExit function what there is to try, and leaves what came of it as its
// exit value.
var _ = worker("goer", func(_ context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "leave", func(context.Context, struct{}) (int, error) { return 0, nil })
	multiprolab.Handle(w, "farewell", func(ctx context.Context, from int) error {
		return multiprolab.Send(ctx, w, "main", "heard", fmt.Sprintf("%d of %d", w.Life(), from))
	})
	w.PullTasks("pulled")
	w.OnExit(func(ctx context.Context) error {
		got := map[string]string{}
		say := func(what string, err error) {
			switch {
			case err == nil:
				got[what] = "yes"
			case errors.Is(err, multiprolab.ErrStopped):
				got[what] = "stopped"
			case errors.Is(err, context.DeadlineExceeded):
				got[what] = "never"
			default:
				got[what] = err.Error()
			}
		}
		call := func(what, to, typ string, body any) {
			short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
			if what != "Call to itself" {
				short, cancel = ctx, func() {}
			}
			defer cancel()
			n, err := multiprolab.Call[int](short, w, to, typ, body)
			if err == nil && n != 7 {
				err = fmt.Errorf("it is %d", n)
			}
			say(what, err)
		}
		say("Send to main", multiprolab.Send(ctx, w, "main", "heard", fmt.Sprint("life ", w.Life(), " says goodbye")))
		call("Call to main", "main", "seven", nil)
		say("Send to one that it needs", multiprolab.Send(ctx, w, "lab", "add", 7))
		say("Broadcast to one that it needs", multiprolab.Broadcast(ctx, w, "lab", "add", 0))
		// Last: what lab has not handled when it is told to exit, at once after this worker, is a dead letter.
		call("Call to one that it needs", "lab", "state", nil)
		say("Send to itself", multiprolab.Send(ctx, w, w.Name(), "farewell", w.Life()))
		call("Call to itself", w.Name(), "x", nil)
		n, err := multiprolab.Do[int](ctx, w, "double", 4)
		if err == nil && n != 8 {
			err = fmt.Errorf("it is %d", n)
		}
		say("Do", err)
		f, err := multiprolab.Submit[int](ctx, w, "double", 4, nil)
		if err == nil {
			_, err = f.Wait(ctx)
		}
		say("Submit", err)
		_, err = w.Tasks().TryGet(ctx)
		say("TryGetTask", err)
		_, err = w.Tasks().Get(ctx)
		say("GetTask", err)
		w.After(0, func(context.Context) error { panic("no action runs any more") })
		return w.SetExitValue(got)
	})
	return nil
})

// What works in an OnExit function, when the worker alone is replaced and at the end of the
// program: the table of Worker.OnExit.
func TestWhatWorksInOnExit(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		for _, mode := range []multiprolab.ShutdownMode{multiprolab.FinishRunning, multiprolab.DrainQueue} {
			t.Run(mode.String(), func(t *testing.T) {
				l := newLab(t, &multiprolab.Config{InProcess: inProcess, Shutdown: mode}, workers("lab", 1),
					pool{"goer", &multiprolab.WorkerConfig{Needs: []string{"lab"}}})
				var heard notes
				multiprolab.Handle(
					l,
					"heard",
					func(_ context.Context, text string) error { heard.add(text); return nil },
				)
				multiprolab.HandleCall(l, "seven", func(context.Context, struct{}) (int, error) { return 7, nil })
				require.NoError(t, l.Start(t.Context()))
				exitValue := func(life int) (got map[string]string) {
					stopped := waitEvent(
						t,
						l,
						func(e *multiprolab.WorkerStopped) bool { return e.Worker == "goer/0" && e.Life == life },
					)
					require.NoError(t, stopped.Decode(&got))
					return got
				}
				require.NoError(t, l.Restart(bounded(t), "goer"))
				require.Equal(t, map[string]string{
					"Send to main": "yes", "Call to main": "yes",
					"Send to one that it needs": "yes", "Call to one that it needs": "yes", "Broadcast to one that it needs": "yes",
					"Send to itself": "yes", "Call to itself": "never",
					"Do": "yes", "Submit": "yes", "TryGetTask": "stopped", "GetTask": "stopped",
				}, exitValue(1))
				eventually(
					t,
					"the replacement to get what the worker sent to itself",
					func() bool { return heard.len() == 2 },
				)
				require.NoError(t, multiprolab.Send(bounded(t), l, "lab", "add", -7))
				require.NoError(t, l.Close())
				require.Equal(t, map[string]string{
					"Send to main": "yes", "Call to main": "yes",
					"Send to one that it needs": "yes", "Call to one that it needs": "yes", "Broadcast to one that it needs": "yes",
					"Send to itself": "yes", "Call to itself": "stopped",
					"Do": "stopped", "Submit": "stopped", "TryGetTask": "stopped", "GetTask": "stopped",
				}, exitValue(2))
				require.Equal(t, []string{"life 1 says goodbye", "2 of 1", "life 2 says goodbye"}, heard.all())
				l.checkGone(t)
				letters := eventsOf[*multiprolab.DeadLetter](l)
				require.Len(t, letters, 1, "what it sent to itself at the end")
				require.Equal(t, "farewell", letters[0].Type)
			})
		}
	})
}

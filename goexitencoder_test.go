package multiprolab_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// quitsAsGob, quitsAsBinary and quitsInside are values whose encoders end the goroutine.
type (
	quitsAsGob    struct{ N int }
	quitsAsBinary struct{ N int }
	quitsInside   struct {
		Name string
		Part *quitsAsGob
	}
)

func (quitsAsGob) GobEncode() ([]byte, error)        { runtime.Goexit(); return nil, nil }
func (*quitsAsGob) GobDecode([]byte) error           { return nil }
func (quitsAsBinary) MarshalBinary() ([]byte, error) { runtime.Goexit(); return nil, nil }
func (*quitsAsBinary) UnmarshalBinary([]byte) error  { return nil }

var quitters = map[string]any{
	"GobEncode":            quitsAsGob{1},
	"MarshalBinary":        quitsAsBinary{1},
	"GobEncode in a field": quitsInside{"x", &quitsAsGob{1}},
}

var _ = worker("end-encoder", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "quit", func(_ context.Context, how string) (any, error) { return quitters[how], nil })
	multiprolab.HandleCall(w, "quit", func(_ context.Context, how string) (any, error) { return quitters[how], nil })
	multiprolab.HandleTask(w, "quit-report", func(ctx context.Context, how string) (int, error) {
		return 0, multiprolab.Progress(ctx, quitters[how])
	})
	multiprolab.HandleTask(w, "quit-send", func(ctx context.Context, how string) (int, error) {
		return 0, multiprolab.Send(ctx, w, "main", "x", quitters[how])
	})
	return nil
})

// TestEncoderEndsGoroutine: an encoder of a user's type that ends the goroutine of a worker ends
// the worker, which says so; nobody waits in vain, and the next life works.
func TestEncoderEndsGoroutine(t *testing.T) {
	for how := range quitters {
		for _, typ := range []string{"quit", "quit-report", "quit-send", "call"} {
			t.Run(fmt.Sprint(how, ", ", typ), func(t *testing.T) {
				l := startLab(t, nil, quickly("end-encoder", 1))
				var err error
				if typ == "call" {
					_, err = multiprolab.Call[any](bounded(t), l, "end-encoder", "quit", how)
				} else {
					_, err = multiprolab.Do[any](bounded(t), l, typ, how)
				}
				var died *multiprolab.WorkerDiedError
				require.ErrorAs(t, err, &died)
				require.ErrorContains(t, err, "Goexit")
			})
		}
	}
}

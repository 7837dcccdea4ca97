package multiprolab_test

import (
	"context"
	"encoding/gob"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// bodySize is the size in bytes of the bodies in the tests of this file: too large for shared
// memory, and far above what pools keep.
const bodySize = 16 << 20

type holder struct {
	Data []byte
	Text string
	Any  any
}

func init() { gob.Register(holder{}) }

// watched are pointers to memory that is to be let go.
type watched []weak.Pointer[byte]

func (w *watched) add(bodies ...[]byte) {
	for _, b := range bodies {
		if len(b) >= bodySize { // small ones share their memory with others
			*w = append(*w, weak.Make(unsafe.SliceData(b)))
		}
	}
}

// gone returns when the garbage collector has taken all of it, and never if something keeps it.
func (w watched) gone(ctx context.Context) error {
	for {
		left := 0
		for _, p := range w {
			if p.Value() != nil {
				left++
			}
		}
		if left == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%d of %d bodies are kept", left, len(w))
		}
		runtime.GC()
	}
}

// The worker of the tests of idle processes. When a handler has returned, a goroutine tells main
// once its bodies are gone; until then nothing else comes to the worker.
var _ = worker("idle", func(ctx context.Context, w *multiprolab.Worker) error {
	tell := func(ctx context.Context, bodies ...[]byte) {
		var seen watched
		seen.add(bodies...)
		if m := multiprolab.MessageFrom(ctx); m != nil {
			seen.add(m.Body())
		}
		if t := multiprolab.TaskFrom(ctx); t != nil {
			seen.add(t.Body())
		}
		go func() { // ends when they are gone, or with the process
			if seen.gone(context.Background()) == nil {
				_ = multiprolab.Send(context.Background(), w, "main", "gone", len(seen))
			}
		}()
	}
	text := func(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
	multiprolab.HandleTask(
		w,
		"bytes",
		func(ctx context.Context, b []byte) (int, error) { tell(ctx, b); return len(b), nil },
	)
	multiprolab.HandleTask(
		w,
		"text",
		func(ctx context.Context, s string) (int, error) { tell(ctx, text(s)); return len(s), nil },
	)
	multiprolab.HandleTask(w, "struct", func(ctx context.Context, h holder) (int, error) {
		tell(ctx, h.Data, text(h.Text))
		return len(h.Data), nil
	})
	multiprolab.HandleTask(
		w,
		"any",
		func(ctx context.Context, v any) (int, error) { tell(ctx, v.(holder).Data); return 0, nil },
	)
	multiprolab.HandleCall(
		w,
		"call-bytes",
		func(ctx context.Context, b []byte) (int, error) { tell(ctx, b); return len(b), nil },
	)
	multiprolab.HandleCall(
		w,
		"call-struct",
		func(ctx context.Context, h holder) (int, error) { tell(ctx, h.Data); return len(h.Data), nil },
	)
	multiprolab.Handle(w, "bytes", func(ctx context.Context, b []byte) error { tell(ctx, b); return nil })
	multiprolab.Handle(w, "struct", func(ctx context.Context, h holder) error { tell(ctx, h.Data); return nil })
	make := func(ctx context.Context, n int) []byte { b := make([]byte, n); tell(ctx, b); return b }
	multiprolab.HandleTask(w, "make", func(ctx context.Context, n int) ([]byte, error) { return make(ctx, n), nil })
	multiprolab.HandleTask(
		w,
		"make-struct",
		func(ctx context.Context, n int) (holder, error) { return holder{Data: make(ctx, n)}, nil },
	)
	multiprolab.HandleTask(
		w,
		"progress",
		func(ctx context.Context, n int) (int, error) { return n, multiprolab.Progress(ctx, make(ctx, n)) },
	)
	multiprolab.HandleTask(
		w,
		"fail",
		func(ctx context.Context, b []byte) (int, error) { tell(ctx, b); return 0, fmt.Errorf("no") },
	)
	multiprolab.HandleCall(
		w,
		"call-make",
		func(ctx context.Context, n int) ([]byte, error) { return make(ctx, n), nil },
	)
	multiprolab.Handle(
		w,
		"send",
		func(ctx context.Context, n int) error { return multiprolab.Send(ctx, w, "main", "bytes", make(ctx, n)) },
	)
	multiprolab.Handle(w, "send-struct", func(ctx context.Context, n int) error {
		return multiprolab.Send(ctx, w, "main", "struct", holder{Data: make(ctx, n)})
	})
	return nil
})

// A process that has nothing to do holds nothing of the last body that it had, be it main or a
// worker.
func TestIdleProcessesHoldNoBody(t *testing.T) {
	l := newLab(t, nil, workers("idle", 1))
	gone, came := make(chan int, 1), make(chan struct{}, 1)
	var inMain watched
	multiprolab.Handle(l, "gone", func(_ context.Context, n int) error { gone <- n; return nil })
	multiprolab.Handle(l, "bytes", func(ctx context.Context, b []byte) error {
		inMain.add(b, multiprolab.MessageFrom(ctx).Body())
		came <- struct{}{}
		return nil
	})
	multiprolab.Handle(l, "struct", func(ctx context.Context, h holder) error {
		inMain.add(h.Data, multiprolab.MessageFrom(ctx).Body())
		came <- struct{}{}
		return nil
	})
	require.NoError(t, l.Start(t.Context()))
	defer l.Close()
	ctx := bounded(t)
	body := func() []byte {
		b := make([]byte, bodySize)
		inMain.add(b)
		return b
	}
	text := func() string { b := body(); return unsafe.String(&b[0], len(b)) }
	got := func(b []byte, err error) error { inMain.add(b); return err }
	do := func(typ string, body any) error { _, err := multiprolab.Do[int](ctx, l, typ, body); return err }
	call := func(typ string, body any) error {
		_, err := multiprolab.Call[int](ctx, l, "idle", "call-"+typ, body)
		return err
	}
	send := func(typ string, body any) error { return multiprolab.Send(ctx, l, "idle", typ, body) }
	receive := func(typ string) error {
		err := send(typ, bodySize)
		await(t, came, "the message")
		return err
	}
	for what, fn := range map[string]func() error{
		"a task of bytes":       func() error { return do("bytes", body()) },
		"a task of text":        func() error { return do("text", text()) },
		"a task of a struct":    func() error { return do("struct", holder{Data: body(), Text: text()}) },
		"a task through gob":    func() error { return do("struct", &holder{Data: body(), Any: []any{1}}) },
		"a task of an any":      func() error { return do("any", holder{Data: body()}) },
		"a call of bytes":       func() error { return call("bytes", body()) },
		"a call of a struct":    func() error { return call("struct", holder{Data: body()}) },
		"a message of bytes":    func() error { return send("bytes", body()) },
		"a message of a struct": func() error { return send("struct", holder{Data: body()}) },
		"a result of bytes":     func() error { return got(multiprolab.Do[[]byte](ctx, l, "make", bodySize)) },
		"a result of a struct": func() error {
			h, err := multiprolab.Do[holder](ctx, l, "make-struct", bodySize)
			return got(h.Data, err)
		},
		"a reply": func() error { return got(multiprolab.Call[[]byte](ctx, l, "idle", "call-make", bodySize)) },
		"a report": func() error {
			_, err := multiprolab.DoWith[int](ctx, l, "progress", bodySize, &multiprolab.TaskOptions{OnProgress: func(_ context.Context, m *multiprolab.Message) {
				inMain.add(m.Body())
			}})
			return err
		},
		"a task that fails": func() error {
			require.Error(t, do("fail", body()))
			return nil
		},
		"an item of Map": func() error {
			for _, err := range multiprolab.Map[int](ctx, l, "bytes", slices.Values([][]byte{body()}), nil) {
				require.NoError(t, err)
			}
			return nil
		},
		"a result of Map": func() error {
			for h, err := range multiprolab.Map[holder](ctx, l, "make-struct", slices.Values([]int{bodySize}), nil) {
				require.NoError(t, got(h.Data, err))
			}
			return nil
		},
		"a message to main":             func() error { return receive("send") },
		"a message of a struct to main": func() error { return receive("send-struct") },
	} {
		inMain = nil
		require.NoError(t, fn(), what)
		require.NoError(t, inMain.gone(ctx), "%s: main keeps it", what)
		await(t, gone, "the worker to let go of "+what)
	}
}

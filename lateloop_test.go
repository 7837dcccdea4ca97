package multiprolab

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
	"github.com/multiprolab/multiprolab/internal/contexts"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/meta"
	"github.com/multiprolab/multiprolab/internal/outbox"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// What has waited for room in a worker until the function had returned that it was sent under does
// not say that the loop waits for it: main would take the loop for stuck until it hears better.
func TestLateFramesSayThatTheLoopGoesOn(t *testing.T) {
	options := meta.Task{Attempts: 3, Chain: "main,a/0", Waits: true}
	for name, c := range map[string]struct {
		frame    wire.Frame
		returned bool
		want     string
	}{
		"a call, too late": {wire.Frame{Kind: wire.Call, Meta: "main,a/0"}, true, ""},
		"a call, in time":  {wire.Frame{Kind: wire.Call, Meta: "main,a/0"}, false, "main,a/0"},
		"a task, too late": {wire.Frame{Kind: wire.Submit, Meta: options.Marshal()}, true, meta.Task{Attempts: 3}.Marshal()},
		"a task, in time":  {wire.Frame{Kind: wire.Submit, Meta: options.Marshal()}, false, options.Marshal()},
	} {
		for _, when := range []string{"before it is sent", "while it waits for room"} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var pipe bytes.Buffer
					o := outbox.New(outbox.Config{
						Window: 1 << 20,
						Stall:  func(context.Context) (<-chan error, func()) { return nil, func() {} },
					})
					l := newLink(&codec.Codec{}, &bytes.Buffer{}, &pipe, link.Options{MaxBody: 1 << 20})
					s := &scope{Function: contexts.Function{Parent: t.Context()}, stage: &stage{host: newNode("a/0", &codec.Codec{}, 1<<20, 1<<20)}}
					if when == "before it is sent" {
						o.AttachWhole(l)
						if c.returned {
							s.Return()
						}
					}
					sent := make(chan error, 1)
					ctx := context.WithoutCancel(s)
					go func() { sent <- o.Send(ctx, &c.frame, nil, anyScopeOf(ctx), link.Soon) }()
					synctest.Wait()
					if when != "before it is sent" {
						if c.returned {
							s.Return()
						}
						o.AttachWhole(l)
					}
					require.NoError(t, <-sent)
					require.NoError(t, l.Flush())
					var got wire.Frame
					require.NoError(t, wire.NewReader(&pipe, 1<<20).Next(&got))
					require.Equal(t, c.want, got.Meta)
				})
			})
		}
	}
}

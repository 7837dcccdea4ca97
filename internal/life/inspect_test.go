package life

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/inspect"
	"github.com/multiprolab/multiprolab/internal/link"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// An answer comes in pieces, and only if it was asked for. It ends with its last piece, with the
// worker, or with the patience of who has asked; what comes after that is a lie.
func TestInspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(Options{Identity: "us"})
		take := func(id uint64, flags wire.Flags, data string) error {
			mine, err := p.Take(&wire.Frame{Kind: wire.Inspect, ID: id, Flags: flags, Body: []byte(data)})
			require.True(t, mine)
			return err
		}
		_, err := p.Take(someHello)
		require.NoError(t, err)
		var violation *link.Violation
		require.ErrorAs(t, take(1, 0, "x"), &violation, "nothing was asked")

		ask := func(ctx context.Context, w io.Writer) <-chan error {
			done := make(chan error, 1)
			go func() { done <- p.Inspect(ctx, &inspect.Question{Profile: "heap", Limit: 10}, w) }()
			synctest.Wait()
			return done
		}
		var b bytes.Buffer
		done := ask(t.Context(), &b)
		require.NoError(t, take(1, 0, "one "))
		require.NoError(t, take(1, wire.FlagSoft, "two"))
		require.NoError(t, <-done)
		require.Equal(t, "one two", b.String())
		require.ErrorAs(t, take(1, wire.FlagSoft, ""), &violation, "it has had its end")

		done = ask(t.Context(), io.Discard)
		require.NoError(t, take(2, wire.FlagSoft|wire.FlagError, "no such profile"))
		require.EqualError(t, <-done, "no such profile")

		ctx, cancel := context.WithCancel(t.Context())
		done = ask(ctx, io.Discard)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.NoError(t, take(3, 0, "on its way"))
		require.NoError(t, take(3, wire.FlagSoft|wire.FlagError, "cancelled"))

		done = ask(t.Context(), io.Discard)
		p.Conversed(io.EOF)
		require.ErrorIs(t, <-done, ErrEnded)
	})
}

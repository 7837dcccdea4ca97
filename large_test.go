package multiprolab_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

var _ = worker("large", func(ctx context.Context, w *multiprolab.Worker) error {
	var sums [][32]byte
	multiprolab.Handle(
		w,
		"large-sum",
		func(_ context.Context, b []byte) error { sums = append(sums, sha256.Sum256(b)); return nil },
	)
	multiprolab.HandleCall(w, "large-sums", func(context.Context, struct{}) ([][32]byte, error) { return sums, nil })
	multiprolab.HandleCall(w, "large-echo", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	multiprolab.HandleCall(w, "large-text", func(_ context.Context, s string) (string, error) { return s, nil })
	multiprolab.HandleCall(w, "large-relay", func(ctx context.Context, b []byte) ([]byte, error) {
		return multiprolab.Call[[]byte](ctx, w, "large/1", "large-echo", b)
	})
	w.Receiver().HandleCall("large-twice", func(_ context.Context, m *multiprolab.Message) (any, error) {
		var first, second []byte
		if err := m.Decode(&first); err != nil {
			return nil, err
		}
		if err := m.Decode(&second); err != nil {
			return nil, err
		}
		first[0]++
		return second, nil
	})
	letters := "" // the one of which each text consists
	multiprolab.Handle(w, "large-letters", func(_ context.Context, text string) error {
		if first := text[:1]; strings.Count(text, first) == len(text) {
			letters += first
		} else {
			letters += "?"
		}
		return nil
	})
	multiprolab.HandleCall(w, "large-lettered", func(context.Context, struct{}) (string, error) { return letters, nil })
	multiprolab.Handle(w, "large-die", func(context.Context, []byte) error { os.Exit(7); return nil })
	multiprolab.HandleTask(w, "large-task", func(_ context.Context, b []byte) ([]byte, error) { return b, nil })
	return nil
})

// TestLargeTextByPointer: the text behind a pointer is as much the message's own as any other body.
func TestLargeTextByPointer(t *testing.T) {
	for _, in := range []bool{false, true} {
		l := startLab(t, &multiprolab.Config{InProcess: in}, workers("large", 1))
		const count = 300
		for n := range count {
			text := strings.Repeat(string(rune('a'+n%26)), 40<<10)
			require.NoError(t, multiprolab.Send(bounded(t), l, "large", "large-letters", &text))
		}
		got, err := multiprolab.Call[string](bounded(t), l, "large", "large-lettered", nil)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("abcdefghijklmnopqrstuvwxyz", 12)[:count], got)
	}
}

// largeSizes are lengths of bodies around all that treats them differently.
var largeSizes = []int{
	0,
	1,
	511,
	512,
	4 << 10,
	8<<10 - 1,
	8 << 10,
	32 << 10,
	256 << 10,
	1<<20 + 1,
	4 << 20,
	4<<20 + 1,
	9 << 20,
}

// TestLarge sends bodies of all sizes in all directions.
func TestLarge(t *testing.T) {
	for _, in := range []bool{false, true} {
		l := startLab(t, &multiprolab.Config{InProcess: in}, workers("large", 2))
		ctx := bounded(t)
		for _, n := range largeSizes {
			b := bytes.Repeat([]byte{byte(n), byte(n >> 8), 3, 4, 5, 6, 7}, n/7+1)[:n]
			for _, typ := range []string{"large-echo", "large-relay", "large-twice"} {
				if n == 0 && typ == "large-twice" {
					continue
				}
				got, err := multiprolab.Call[[]byte](ctx, l, "large/0", typ, b)
				require.NoError(t, err)
				require.True(t, bytes.Equal(b, got), "%s of %d bytes", typ, n)
			}
			text, err := multiprolab.Call[string](ctx, l, "large/0", "large-text", string(b))
			require.NoError(t, err)
			require.True(t, text == string(b), "a text of %d bytes", n)
			got, err := multiprolab.Do[[]byte](ctx, l, "large-task", b)
			require.NoError(t, err)
			require.True(t, bytes.Equal(b, got), "a task of %d bytes", n)
		}
		require.NoError(t, l.Close())
	}
}

// The bytes of a message are the caller's again when Send has returned, whatever way they go.
func TestLarge_BytesAfterSend(t *testing.T) {
	l := startLab(t, nil, workers("large", 1))
	ctx := bounded(t)
	var want [][32]byte
	for i := range 10 { // many times what the shared memory holds
		for _, n := range largeSizes {
			b := bytes.Repeat([]byte{byte(i), byte(n)}, n/2+1)[:n]
			want = append(want, sha256.Sum256(b))
			require.NoError(t, multiprolab.Send(ctx, l, "large/0", "large-sum", b))
			clear(b)
		}
	}
	got, err := multiprolab.Call[[][32]byte](ctx, l, "large/0", "large-sums", nil)
	require.NoError(t, err)
	require.True(t, len(want) == len(got))
	for i := range want {
		require.Equal(t, want[i], got[i], "message %d", i)
	}
}

// A worker that dies in the middle of large bodies is replaced by one with a memory of its own.
func TestLarge_Death(t *testing.T) {
	l := startLab(t, nil, quickly("large", 1))
	ctx := bounded(t)
	b := bytes.Repeat([]byte("0123456789"), 100_000)
	for range 10 {
		require.NoError(t, multiprolab.Send(ctx, l, "large/0", "large-die", b))
		for range 5 { // some of them are lost with it, and some wait for the next life
			_, _ = multiprolab.Call[[]byte](ctx, l, "large/0", "large-echo", b)
		}
		got, err := multiprolab.Call[[]byte](ctx, l, "large/0", "large-echo", b)
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, got))
	}
}

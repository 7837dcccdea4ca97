package wire_test

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// A frame whose body is in shared memory comes with the body, and without the sign of it.
func TestShared(t *testing.T) {
	body := pattern(5000)
	want := &wire.Frame{
		Kind:  wire.Call,
		Flags: wire.FlagBroadcast,
		ID:    7,
		To:    "a",
		From:  "b",
		Type:  "c",
		Meta:  "d",
		Body:  body,
	}
	sent := wire.Append(nil, want.Shared(1<<40, new(wire.Frame)))
	require.Less(t, len(sent), 100)
	r := wire.NewReader(bytes.NewReader(append(sent, wire.Append(nil, &wire.Frame{Kind: wire.Exit})...)), 0)
	r.Shared = func(at uint64, length int) ([]byte, error) {
		require.Equal(t, uint64(1<<40), at)
		require.Equal(t, len(body), length)
		return body, nil
	}
	var got wire.Frame
	require.NoError(t, r.Next(&got))
	requireSame(t, want, &got)
	require.Equal(t, int64(len(sent)), r.Position(), "places are those in the stream")
	require.NoError(t, r.Next(&got))
	require.Equal(t, io.EOF, r.Next(&got))
}

func TestSharedRefused(t *testing.T) {
	next := func(f *wire.Frame, shared func(uint64, int) ([]byte, error)) error {
		r := wire.NewReader(bytes.NewReader(wire.Append(nil, f)), 1000)
		r.Shared = shared
		return r.Next(&wire.Frame{})
	}
	none := func(uint64, int) ([]byte, error) {
		require.Fail(t, "the memory was looked at")
		return nil, nil
	}
	var corrupt *wire.CorruptError
	f := &wire.Frame{Kind: wire.Message, Body: make([]byte, 1000)}
	require.ErrorAs(t, next(f.Shared(0, new(wire.Frame)), nil), &corrupt, "without memory")
	require.ErrorAs(t, next(&wire.Frame{Kind: wire.Message, Flags: wire.FlagShared}, none), &corrupt)
	require.ErrorAs(
		t,
		next(&wire.Frame{Kind: wire.Message, Flags: wire.FlagShared, Body: make([]byte, 13)}, none),
		&corrupt,
	)
	f.Body = make([]byte, 1001)
	var size *wire.SizeError
	require.ErrorAs(t, next(f.Shared(0, new(wire.Frame)), none), &size)
	require.Equal(t, int64(1001), size.Size)
	f.Body = f.Body[:1]
	require.ErrorIs(
		t,
		next(f.Shared(0, new(wire.Frame)), func(uint64, int) ([]byte, error) { return nil, os.ErrClosed }),
		os.ErrClosed,
	)
}

package meta

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// Headers come out as they went in, whatever is in them; none are nothing, on the wire and here.
func TestHeadersCross(t *testing.T) {
	for _, h := range []map[string]string{
		{"": ""}, {"a": "1"}, {"b": "", "": "x", "traceparent": "00-4bf9-00f0-01", "\x00": "\xff"},
	} {
		s, err := MarshalHeader(h)
		require.NoError(t, err)
		got, err := UnmarshalHeader(s)
		require.NoError(t, err)
		require.Equal(t, h, got)
		again, err := MarshalHeader(h)
		require.NoError(t, err)
		require.Equal(t, s, again, "the order is always the same")
		for n := 1; n < len(s); n++ {
			_, err := UnmarshalHeader(s[:n])
			require.Error(t, err)
		}
	}
	s, err := MarshalHeader(map[string]string{})
	require.NoError(t, err)
	require.Empty(t, s)
	got, err := UnmarshalHeader("")
	require.NoError(t, err)
	require.Nil(t, got)
	require.Equal(t, (&wire.Frame{To: "a"}).Size(), (&wire.Frame{To: "a", Header: s}).Size())
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if s, err := MarshalHeader(nil); s != "" || err != nil {
			panic("none are something")
		}
		if h, err := UnmarshalHeader(""); h != nil || err != nil {
			panic("nothing is some")
		}
	}))
}

// Headers over 8 KiB are refused where they are packed and where they are read, and what a worker
// makes up is refused without much memory.
func TestBadHeaders(t *testing.T) {
	most := map[string]string{"h": strings.Repeat("x", maxHeader-5)}
	s, err := MarshalHeader(most)
	require.NoError(t, err)
	require.Len(t, s, maxHeader)
	most["h"] += "x"
	_, err = MarshalHeader(most)
	require.ErrorContains(t, err, "8193 bytes")
	for i, bad := range []string{
		s + "x", "\x00", "\x01", "\x03", "\xff\xff\xff\xff\x0f", "\x04\x02a\x00\x02a\x00", // a name twice
		strings.Repeat("\x02", maxHeader+1),
	} {
		_, err := UnmarshalHeader(bad)
		require.Error(t, err, fmt.Sprint(i))
	}
}

// FuzzHeader: what is read as headers is packed again as headers that are the same.
func FuzzHeader(f *testing.F) {
	s, _ := MarshalHeader(map[string]string{"a": "1", "b": ""})
	f.Add(s)
	f.Add("\x04\x02a\x00")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := UnmarshalHeader(s)
		if err != nil || s == "" {
			return
		}
		again, err := MarshalHeader(h)
		require.NoError(t, err)
		got, err := UnmarshalHeader(again)
		require.NoError(t, err)
		require.Equal(t, h, got)
	})
}

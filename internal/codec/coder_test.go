package codec

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type coderItem struct {
	N    int
	Text string
	More []coderPart
}

type coderPart struct{ X, Y float64 }

type coderList struct {
	V    int
	Next *coderList
}

type coderEmpty struct{}

type coderFussy struct{ N int }

func (f coderFussy) GobEncode() ([]byte, error) {
	if f.N < 0 {
		return nil, fmt.Errorf("%d is negative", f.N)
	}
	return []byte{byte(f.N)}, nil
}

func (f *coderFussy) GobDecode(b []byte) error {
	if len(b) == 1 && b[0] == 99 {
		panic("it is 99")
	}
	f.N = int(b[0])
	return nil
}

// sameCoder checks that a Coder does what its Codec does.
func sameCoder[T any](t *testing.T, values ...T) {
	t.Helper()
	c := &Codec{}
	k := CoderOf[T](c)
	for _, v := range values {
		want, wantP, wantErr := c.AppendEncode([]byte("before"), v)
		got, p, err := k.AppendEncode([]byte("before"), &v)
		require.Equal(t, wantErr, err)
		require.Equal(t, want, got)
		require.Equal(t, wantP, p)
		if err != nil {
			continue
		}
		wantV, gotV := v, v // what was there before goes away
		wantErr = c.Decode(p, &wantV)
		require.Equal(t, wantErr, k.Decode(p, &gotV), "%T", v)
		require.Equal(t, wantV, gotV)
		for cut := range p.Data { // garbled, and of another type
			q := p
			q.Data = p.Data[:cut]
			wantErr, err := c.Decode(q, &wantV), k.Decode(q, &gotV)
			require.Equal(t, wantErr, err)
			require.Equal(t, wantV, gotV)
		}
		q, err := c.Encode(map[string]bool{"x": true})
		require.NoError(t, err)
		require.Equal(t, c.Decode(q, &wantV), k.Decode(q, &gotV))
	}
}

func TestCoder(t *testing.T) {
	seven := 7
	sameCoder(t, 0, 1, math.MinInt)
	sameCoder(t, "", "text")
	sameCoder(t, []byte(nil), []byte("bytes"))
	sameCoder(t, 3.5)
	sameCoder(t, true, false)
	sameCoder(t, struct{}{})
	sameCoder(t, coderEmpty{})
	sameCoder(t, coderItem{}, coderItem{1, "a", []coderPart{{1, 2}, {}}})
	sameCoder(t, &coderItem{1, "a", nil}, nil)
	sameCoder(t, &seven, nil)
	sameCoder(t, map[string]int{}, map[string]int{"a": 1}, nil)
	sameCoder(t, []string{"a"}, nil)
	sameCoder(t, [2]int{1, 2})
	sameCoder(t, time.Unix(1, 2).UTC(), time.Time{})
	sameCoder(t, coderList{1, &coderList{2, nil}})
	sameCoder[any](t, 1, "text", coderItem{N: 1}, nil)
	sameCoder[fmt.Stringer](t, &bytes.Buffer{}, nil)
	sameCoder(t, coderFussy{7}, coderFussy{-1}, coderFussy{99})
	sameCoder(t, func() {})
	sameCoder(t, struct{ F any }{1}, struct{ F any }{})
}

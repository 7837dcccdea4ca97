package pack_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/pack"
)

type value struct {
	N    int
	Big  int64
	Text string
	Flag bool
	List []string
	Nums []int
}

func (v *value) Pack(p *pack.Packing) {
	pack.Number(p, &v.N)
	pack.Number(p, &v.Big)
	pack.Text(p, &v.Text)
	pack.Flag(p, &v.Flag)
	pack.List(p, &v.List, pack.Text)
	pack.List(p, &v.Nums, pack.Number)
}

func TestRoundTrip(t *testing.T) {
	for _, v := range []value{
		{},
		{N: -1, Big: math.MinInt64, Text: "a\x00b", Flag: true, List: []string{"", "two"}, Nums: []int{0, -7, math.MaxInt32}},
	} {
		var got value
		require.NoError(t, pack.Unmarshal(pack.Marshal(&v), &got))
		require.Equal(t, v, got)
	}
}

func TestMalformed(t *testing.T) {
	good := pack.Marshal(&value{N: 300, Text: "text", List: []string{"one", "two"}})
	for n := range good {
		require.Error(t, pack.Unmarshal(good[:n], new(value)), "cut after %d bytes", n)
	}
	require.Error(t, pack.Unmarshal(append(good, 0), new(value)))
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(pack.Marshal(&value{N: 300, Text: "text", List: []string{"one", "two"}, Nums: []int{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v, again value
		if pack.Unmarshal(b, &v) == nil {
			require.NoError(t, pack.Unmarshal(pack.Marshal(&v), &again))
			require.Equal(t, v, again)
		}
	})
}

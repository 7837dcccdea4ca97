package ring_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/multiprolab/multiprolab/internal/ring"
)

// A ring does what a slice does.
func TestRing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ring.Ring[int]
		var model []int
		next := 0
		value := func() int { next++; return next }
		t.Repeat(map[string]func(*rapid.T){
			"Push":      func(*rapid.T) { v := value(); r.Push(v); model = append(model, v) },
			"PushFront": func(*rapid.T) { v := value(); r.PushFront(v); model = slices.Insert(model, 0, v) },
			"Pop": func(t *rapid.T) {
				v, ok := r.Pop()
				require.Equal(t, len(model) > 0, ok)
				if ok {
					require.Equal(t, model[0], v)
					model = model[1:]
				}
			},
			"PopBack": func(t *rapid.T) {
				v, ok := r.PopBack()
				require.Equal(t, len(model) > 0, ok)
				if ok {
					require.Equal(t, model[len(model)-1], v)
					model = model[:len(model)-1]
				}
			},
			"Remove": func(t *rapid.T) {
				by := rapid.IntRange(1, 4).Draw(t, "by")
				drop := func(v int) bool { return v%by == 0 }
				r.Remove(drop)
				model = slices.DeleteFunc(model, drop)
			},
			"InsertAfter": func(t *rapid.T) {
				after, v := rapid.IntRange(0, next+1).Draw(t, "after"), value()
				r.InsertAfter(after, v)
				model = slices.Insert(model, slices.Index(model, after)+1, v)
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(model), r.Len())
				require.True(t, slices.Equal(model, slices.Collect(r.All())), "%v and %v", model, slices.Collect(r.All()))
				if len(model) == 0 {
					require.Nil(t, r.First())
					return
				}
				require.Equal(t, model[0], *r.First())
			},
		})
	})
}

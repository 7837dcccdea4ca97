package shared

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A version is unmapped once, when nobody uses it and there is a newer one, or none.
func TestCacheUnmapsWhatNobodyUses(t *testing.T) {
	one, two, three := []byte("1"), []byte("22"), []byte("333")
	for _, tt := range []struct {
		name string
		do   func(c *Cache)
		gone []string // what is unmapped, in this order
		size int64
	}{
		{"the newest one stays", func(c *Cache) { c.Add("n", 1, one); c.Release(c.Use("n", 0)) }, nil, 1},
		{"another name", func(c *Cache) { c.Add("n", 1, one); c.Told("m", 2) }, nil, 1},
		{"unused, at the news", func(c *Cache) { c.Add("n", 1, one); c.Told("n", 2) }, []string{"1"}, 0},
		{"used, when it is given back", func(c *Cache) {
			c.Add("n", 1, one)
			v, w := c.Use("n", 0), c.Use("n", 0)
			c.Told("n", 2)
			c.Release(v)
			c.Add("n", 2, two)
			c.Release(w)
		}, []string{"1"}, 2},
		{"the news of the same one", func(c *Cache) { c.Add("n", 2, two); c.Told("n", 2); c.Told("n", 1) }, nil, 2},
		{"an older one comes late", func(c *Cache) { c.Add("n", 2, two); c.Add("n", 1, one) }, []string{"1"}, 2},
		{"the news come before it", func(c *Cache) {
			c.Told("n", 2)
			c.Add("n", 1, one)
			c.Release(c.Use("n", 1))
			c.Add("n", 2, two)
		}, []string{"1"}, 2},
		{"three", func(c *Cache) {
			c.Add("n", 1, one)
			v := c.Use("n", 0)
			c.Add("n", 2, two)
			c.Add("n", 3, three)
			c.Release(v)
		}, []string{"22", "1"}, 3},
		{"all at the end", func(c *Cache) {
			c.Add("n", 1, one)
			v := c.Use("n", 0)
			c.Add("m", 2, two)
			c.Close()
			c.Release(v)
		}, []string{"22", "1"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var gone []string
			c := &Cache{Unmap: func(b []byte) { gone = append(gone, string(b)) }}
			tt.do(c)
			require.Equal(t, tt.gone, gone)
			require.Equal(t, tt.size, c.Size())
		})
	}
}

// What is not the newest version is not used, unless it will do.
func TestCacheUsesNewest(t *testing.T) {
	c := &Cache{Unmap: func([]byte) {}}
	require.Nil(t, c.Use("n", 0))
	require.Nil(t, c.Use("n", 1))
	c.Told("n", 3)
	c.Add("n", 2, nil)
	require.Nil(t, c.Use("n", 0))
	require.Nil(t, c.Use("n", 3))
	require.EqualValues(t, 2, c.Use("n", 2).Number)
	c.Add("n", 3, nil)
	require.EqualValues(t, 3, c.Use("n", 0).Number)
}

package text_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/text"
)

func TestCutKeepsWholeCharacters(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "ab": "ab", "abc": "abc", "abcd": "abc ...",
		"abé": "ab ...", "éé": "é ...", "a🙂": "a ...", "🙂": " ...",
		"\x80\x80\x80\x80": "\x80\x80\x80 ...",
	} {
		require.Equal(t, want, text.Cut(s, 3), "%q", s)
	}
}

func TestWhole(t *testing.T) {
	for _, c := range []struct {
		s       string
		n, want int
	}{
		{"abc", 2, 2}, {"é", 1, 0}, {"aé", 2, 1}, {"a🙂b", 4, 1}, {"a🙂b", 5, 5}, {"abc", 0, 0}, {"abc", -1, 0},
		{"ab\x80\x80\x80\x80\x80", 6, 6}, // no UTF-8
	} {
		require.Equal(t, c.want, text.Whole(c.s, c.n), "%q", c.s)
		require.Equal(t, c.want, text.Whole([]byte(c.s), c.n), "%q", c.s)
	}
}

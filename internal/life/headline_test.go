package life

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Headline is the line of stderr that says most.
func TestHeadline(t *testing.T) {
	for _, c := range []struct {
		stderr string
		status int
		want   string
	}{
		{"", 1, ""}, {"\n \r\n", 2, ""}, {"one\ntwo\n", 1, "two"}, {"\r 1%\r 2%\r 3%", 1, "3%"},
		{"panic: the reason" + someStacks, 2, "panic: the reason"},
		{"panic: the reason" + someStacks, -1, "panic: the reason"},
		{"panic: \n\tthe reason" + someStacks, 2, "panic: the reason"},
		{"panic: reading:\n\tthe reason" + someStacks, 2, "panic: reading: the reason"},
		{"panic: old\nfailed: the reason\n", 1, "failed: the reason"},
		{strings.TrimSuffix(someStacks, "exit status 2\n"), -1, ""}, // of a worker that hung
		{"WARNING: DATA RACE\n  main.f()\n      /src/main.go:52 +0x1b3\n==================\n", 1, ""},
		{strings.Repeat("é", 200), 1, strings.Repeat("é", 150) + " ..."},
	} {
		require.Equal(t, c.want, Headline(c.stderr, "own mark", c.status), "%q", c.stderr)
	}
}

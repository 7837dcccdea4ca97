package sockets

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPassedNames(t *testing.T) {
	for _, c := range []struct {
		count, names string
		want         []string
	}{
		{"", "", nil},
		{"0", "a", nil},
		{"-1", "a", nil},
		{"x", "a", nil},
		{"99999999", "a", nil},
		{"1", "web", []string{"web"}},
		{"2", "", []string{"unknown", "unknown#2"}},
		{"3", "a:b", []string{"unknown", "unknown#2", "unknown#3"}}, // nobody knows whose they are
		{"3", "web:admin:web", []string{"web", "admin", "web#2"}},
		{"3", "web#2:web:web", []string{"web#2", "web", "web#3"}},
		{"3", "web:web:web#2", []string{"web", "web#3", "web#2"}},
		{"4", "web:web:web:web", []string{"web", "web#2", "web#3", "web#4"}},
		{"2", ":b", []string{"unknown", "b"}},
	} {
		require.Equal(t, c.want, passedNames(c.count, c.names), "%q %q", c.count, c.names)
	}
}

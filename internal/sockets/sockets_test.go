package sockets

import (
	"strings"
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

// place is where a socket is opened.
type place string

func (p place) String() string { return string(p) }

// A name is claimed once, until the socket could not be opened.
func TestClaim(t *testing.T) {
	var s Set
	require.Nil(t, s.Claim("a", place("one")))
	require.Equal(t, place("one"), s.Claim("a", place("two")))
	require.Nil(t, s.Claim("b", place("two")))
	s.Disclaim("a")
	require.Nil(t, s.Claim("a", place("three")))
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"web", "a b/ä", strings.Repeat("a", 255)} {
		require.NoError(t, CheckName(name))
	}
	for _, name := range []string{"", "a:b", "a\n", "\x7f", strings.Repeat("a", 256)} {
		require.Error(t, CheckName(name), "%q", name)
	}
}

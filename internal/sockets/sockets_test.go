package sockets

import (
	"net"
	"os"
	"path/filepath"
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

func TestPackets(t *testing.T) {
	for network, want := range map[string]bool{
		"tcp": false, "tcp4": false, "unix": false, "unixpacket": false, "udp": true, "udp6": true, "unixgram": true,
		"ip4:icmp": true, "systemd": false,
	} {
		require.Equal(t, want, packets(network), network)
	}
}

// The file of a Unix socket is removed at the end, unless another file has taken its name.
func TestFileOfUnixSocket(t *testing.T) {
	for name, replace := range map[string]bool{"its own": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			var s Set
			require.NoError(t, s.Open("a", "unix", path))
			require.Equal(t, path, s.Find("a").Addr.String())
			if replace {
				require.NoError(t, os.Remove(path))
				l, err := net.Listen("unix", path)
				require.NoError(t, err)
				defer l.Close()
			}
			s.Close()
			s.Close()
			_, err := os.Lstat(path)
			require.Equal(t, replace, err == nil)
		})
	}
}

func TestSetRefuses(t *testing.T) {
	var s Set
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	require.ErrorContains(t, s.Add("a", 1), "neither a net.Listener nor a net.PacketConn")
	require.ErrorContains(t, s.Add("a", struct{ net.Listener }{l}), "no descriptor that a worker could inherit")
	require.ErrorIs(t, s.Open("a", Activated, ""), ErrActivated)
	require.Error(t, s.Open("a", "tcp", l.Addr().String()))
	require.Empty(t, s.Names())

	require.NoError(t, s.Add("a", l))
	require.Equal(t, l.Addr(), s.Find("a").Addr)
	require.Equal(t, []string{"a"}, s.Names())
	require.Nil(t, s.Find("b"))
	s.Close()
	conn, err := s.Find("a").SyscallConn()
	require.NoError(t, err)
	require.ErrorIs(t, conn.Control(func(uintptr) { t.Error("it is closed") }), net.ErrClosed)
	require.ErrorIs(t, s.Add("b", l), net.ErrClosed)
	c, err := net.Dial("tcp", l.Addr().String()) // the caller's own is open
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

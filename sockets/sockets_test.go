package sockets

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/multiprolab/multiprolab/internal/sockets"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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
			var s sockets.Set
			require.NoError(t, open(&s, "a", "unix", path))
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
	var s sockets.Set
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	o := &sockets.Opened{Name: "a"}
	require.ErrorContains(t, add(&s, o, 1), "neither a net.Listener nor a net.PacketConn")
	require.ErrorContains(t, add(&s, o, struct{ net.Listener }{l}), "no descriptor that a worker could inherit")
	require.ErrorIs(t, open(&s, "a", Systemd, ""), errActivated)
	require.Error(t, open(&s, "a", "tcp", l.Addr().String()))
	require.Empty(t, s.Names())

	require.NoError(t, add(&s, &sockets.Opened{Name: "a"}, l))
	require.Equal(t, l.Addr(), s.Find("a").Addr)
	require.Equal(t, []string{"a"}, s.Names())
	require.Nil(t, s.Find("b"))
	s.Close()
	conn, err := s.Find("a").SyscallConn()
	require.NoError(t, err)
	require.ErrorIs(t, conn.Control(func(uintptr) { t.Error("it is closed") }), sockets.ErrClosed)
	require.ErrorIs(t, add(&s, &sockets.Opened{Name: "b"}, l), sockets.ErrClosed)
	c, err := net.Dial("tcp", l.Addr().String()) // the caller's own is open
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

//go:build unix

package sockets

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A count that is too high does not make the descriptors of this process, such as those of the Go
// runtime, ones that were passed.
func TestPassedFileIsNoneOfThisProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
	own, err := os.Open(path)
	require.NoError(t, err)
	defer own.Close()
	require.Nil(t, passedFile(int(own.Fd()), "own"))

	dup, err := unix.Dup(int(own.Fd())) // can be inherited
	require.NoError(t, err)
	passed := passedFile(dup, "passed")
	require.NotNil(t, passed)
	defer passed.Close()
	text, err := io.ReadAll(passed)
	require.NoError(t, err)
	require.Equal(t, "text", string(text))
	require.Nil(t, passedFile(dup, "again"), "it is taken, and no command inherits it")
	require.Nil(t, passedFile(1<<20, strings.Repeat("x", 10)))
}

// What the old version of the program has opened is found by its name and arguments or, if the
// address leads to one socket alone, by the arguments; what the service manager has passed is found
// by its name.
func TestInherited(t *testing.T) {
	for name, c := range map[string]struct {
		left                   []Passed
		name, network, address string
		want                   int // its place in left, or -1
	}{
		"the same": {[]Passed{{Name: "a", Network: "tcp", Address: ":80"}}, "a", "tcp", ":80", 0},
		"another name": {[]Passed{{Name: "b", Network: "tcp", Address: ":8"}, {Name: "a", Network: "tcp", Address: ":80"}},
			"c", "tcp", ":80", 1},
		"names that have changed places": {
			[]Passed{{Name: "a", Network: "tcp", Address: ":80"}, {Name: "b", Network: "tcp", Address: ":81"}}, "a", "tcp", ":81", 1,
		},
		"another address":         {[]Passed{{Name: "a", Network: "tcp", Address: ":80"}}, "a", "tcp", ":81", -1},
		"another network":         {[]Passed{{Name: "a", Network: "tcp", Address: ":80"}}, "a", "tcp4", ":80", -1},
		"any port, the same name": {[]Passed{{Name: "a", Network: "udp", Address: ":0"}}, "a", "udp", ":0", 0},
		"any port, another name":  {[]Passed{{Name: "a", Network: "udp", Address: ":0"}}, "b", "udp", ":0", -1},
		"no port":                 {[]Passed{{Name: "a", Network: "tcp", Address: "localhost:"}}, "b", "tcp", "localhost:", -1},
		"any address":             {[]Passed{{Name: "a", Network: "tcp"}}, "b", "tcp", "", -1},
		"a file":                  {[]Passed{{Name: "a", Network: "unixgram", Address: "/s"}}, "b", "unixgram", "/s", 0},
		"any file":                {[]Passed{{Name: "a", Network: "unix"}}, "b", "unix", "", -1},
		"raw":                     {[]Passed{{Name: "a", Network: "ip:1", Address: "::1"}}, "b", "ip:1", "::1", -1},
		"of the service manager":  {[]Passed{{Name: "a"}}, "a", "tcp", ":80", 0},
		"another of it":           {[]Passed{{Name: "a"}}, "b", "tcp", ":80", -1},
	} {
		t.Run(name, func(t *testing.T) {
			TakePassed()
			passed.left = slices.Clone(c.left)
			defer func() { passed.left = nil }()
			got := Inherited(c.name, c.network, c.address)
			if c.want < 0 {
				require.Nil(t, got)
				require.Equal(t, c.left, passed.left)
				return
			}
			require.Equal(t, &c.left[c.want], got)
			require.Len(t, passed.left, len(c.left)-1)
		})
	}
}

// The file of a Unix socket that this process was passed is removed with it, but not another one
// that has its name by then.
func TestFileOfPassedSocket(t *testing.T) {
	for name, replace := range map[string]bool{"its own": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			listen := func() *os.File {
				fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
				require.NoError(t, err)
				file := os.NewFile(uintptr(fd), path)
				t.Cleanup(func() { _ = file.Close() })
				require.NoError(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
				return file
			}
			TakePassed()
			passed.left = []Passed{{Name: "a", File: listen(), Network: "unix", Address: path, Path: path}}
			passed.left[0].info = fileOf(path)
			if replace {
				require.NoError(t, os.Remove(path))
				listen()
			}
			require.Equal(t, []string{`unix "` + path + `"`}, HandedOver())
			DropInherited()
			require.Equal(t, replace, fileOf(path) != nil)
			require.Empty(t, HandedOver())
		})
	}
}

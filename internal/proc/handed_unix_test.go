//go:build unix

package proc_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	children["handed"] = func() {
		_, w := proc.Wire()
		fd, lack := proc.TakeHanded("file")
		file := os.NewFile(fd, "file")
		text, err := io.ReadAll(file)
		_, again := proc.TakeHanded("file")
		_, other := proc.TakeHanded("other")
		fmt.Fprintln(w, lack, string(text), errText(err), again == proc.ErrTaken, other == proc.ErrNotHanded)

		fd, _ = proc.TakeHanded("listener")
		out, err := exec.Command("sh", "-c", fmt.Sprintf("exec 2>/dev/null; true <&%d && echo inherited", fd)).Output()
		fmt.Fprintln(w, len(out), err != nil)
		listener := os.NewFile(fd, "listener")
		l, err := net.FileListener(listener)
		if err != nil {
			fmt.Fprintln(w, err)
			return
		}
		c, err := l.Accept()
		if err == nil {
			fmt.Fprint(c, "accepted")
			c.Close()
		}
	}
}

// A worker gets the files and sockets that it is handed, each once and by its name; the process
// that starts it keeps its own as they were, and no command that the worker starts inherits one.
func TestHanded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("text"), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	p := start(t, newSpawner(t), &proc.Spec{Role: role("handed"), Handed: []proc.Handed{
		{Name: "file", From: file},
		{Name: "listener", From: l.(*net.TCPListener)},
	}})
	r := bufio.NewReader(p.Out)
	for _, want := range []string{"<nil> text  true true\n", "0 true\n"} {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, want, line)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	text, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "accepted", string(text))
	wait(t, p)
	require.NoError(t, l.Close())

	_, err = newSpawner(t).Start(&proc.Spec{Role: role("handed"), Handed: []proc.Handed{
		{Name: "listener", From: l.(*net.TCPListener)},
	}})
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorContains(t, err, `hand over "listener"`)
}

// Duplicates are given out once, and those that nobody has taken are closed.
func TestDuplicates(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	closed, err := os.Open(os.DevNull)
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, err = proc.NewDuplicates([]proc.Handed{{Name: "w", From: w}, {Name: "closed", From: closed}})
	require.ErrorIs(t, err, os.ErrClosed)
	require.ErrorContains(t, err, `hand over "closed"`)

	d, err := proc.NewDuplicates([]proc.Handed{{Name: "w", From: w}, {Name: "left", From: w}})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	fd, err := d.Take("w")
	require.NoError(t, err)
	d.Close()
	_, err = d.Take("w")
	require.Equal(t, proc.ErrTaken, err)
	_, err = d.Take("left")
	require.Equal(t, proc.ErrNotHanded, err)
	taken := os.NewFile(fd, "taken")
	_, err = taken.WriteString("text")
	require.NoError(t, err)
	require.NoError(t, taken.Close())
	text, err := io.ReadAll(r) // ends because no other descriptor of the pipe is left
	require.NoError(t, err)
	require.Equal(t, "text", string(text))
}

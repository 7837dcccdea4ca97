//go:build unix

package sockets

import (
	"io"
	"os"
	"path/filepath"
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

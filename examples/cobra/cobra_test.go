package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	// what the program is built of: a cached result of this test ends with a change of it
	_ "github.com/multiprolab/multiprolab"
)

// The program has its lock and its port alone, though its workers run the same binary; and it gives
// them back.
func TestServe(t *testing.T) {
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil }) // and of these files
	binary := filepath.Join(t.TempDir(), "sums.exe")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	lock := filepath.Join(t.TempDir(), "lock")
	cmd := exec.CommandContext(t.Context(), binary, "serve", "--lock", lock, "--workers", "3")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	printed := bufio.NewReader(stdout)
	line, err := printed.ReadString('\n')
	require.NoError(t, err, "%s", &stderr)
	address, listens := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	require.True(t, listens, line)

	const want = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 made by process "
	for range 20 {
		answer, err := http.Get("http://" + address + "/?text=hello")
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Contains(t, string(body), want)
		require.NotContains(t, string(body), want+fmt.Sprintln(cmd.Process.Pid))
	}

	out, err = exec.CommandContext(t.Context(), binary, "serve", "--lock", lock).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "another process has the lock")

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(printed)
	require.NoError(t, err)
	require.Empty(t, string(rest), "a worker came past Hook")
	require.NoError(t, cmd.Wait(), "%s", &stderr)
	require.NoFileExists(t, lock)
}

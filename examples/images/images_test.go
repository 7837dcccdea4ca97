package main_test

import (
	"bytes"
	"io/fs"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	// what the program is built of: a cached result of this test ends with a change of it
	_ "github.com/multiprolab/multiprolab"
)

// Of 10,000 requests, all that are harmless are served and all others are answered with their
// cause, by one server that is never restarted. With goroutines it dies of the first that is not.
func TestImages(t *testing.T) {
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil }) // and of these files
	binary := filepath.Join(t.TempDir(), "images.exe")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	// A busy machine keeps to this limit for harmless pictures. Those that loop take all of it, and a
	// processor, so they are few.
	cmd := exec.CommandContext(t.Context(), binary, "-limit", "5s", "-loops", "2")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	t.Logf("\n%s", &stdout)
	require.NoError(t, err, "%s", &stderr)
	for _, row := range []string{
		`10000 requests, 8 at a time, 100 of the pictures poisoned`,
		` +processes +goroutines +goroutines, nothing poisoned`,
		`served +9900 +\d{1,3} +10000`, // of the goroutines at most those that came before the first
		`answered with the cause +100 +0 +0`,
		`crashed +50 +0 +0`,
		`timed out +2 +0 +0`,
		`out of memory +48 +0 +0`,
		`not answered +0 +9\d{3} +0`,
		`p99 +\S+s +\S+s +\S+s`,
		`the server +pid \d+ all the time +dead: SIGSEGV: segmentation violation +pid \d+ all the time`,
	} {
		require.Regexp(t, `(?m)^`+row+`$`, stdout.String())
	}
}

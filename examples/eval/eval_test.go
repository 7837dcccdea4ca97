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

// A script that does not end is ended in a process and in WebAssembly, wherever it is, and one that
// takes all memory ends alone. In a goroutine the first goes on for ever if it is in a function
// that is built in, and the second ends the program.
func TestEval(t *testing.T) {
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil }) // and of these files
	binary := filepath.Join(t.TempDir(), "eval.exe")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	// a limit that a busy machine keeps to for a script that adds two numbers
	cmd := exec.CommandContext(t.Context(), binary, "-limit", "2s")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	t.Logf("\n%s", &stdout)
	require.NoError(t, err, "%s", &stderr)
	for _, row := range []string{
		` +in a goroutine +in a process +in WebAssembly`,
		`40 \+ 2 +42 +42 +42`,
		`an endless loop +interrupted +(interrupted|killed) +closed`, // killed on a machine that is very busy
		`2 GiB of text +the program is dead: out of memory +out of memory, alone +out of memory, alone`,
		`a regular expression +goes on for ever +killed +closed`,
		`time of 40 \+ 2 +\S+s +\S+s +\S+s`,
		`in what takes the place of one ended +- +\S+s +\S+s`,
	} {
		require.Regexp(t, `(?m)^`+row+`$`, stdout.String())
	}
}

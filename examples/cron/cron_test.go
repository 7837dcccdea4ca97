package main_test

import (
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	// what the program is built of: a cached result of this test ends with a change of it
	_ "github.com/multiprolab/multiprolab"
)

// A report is made at each time of the expression, also if each of them kills a worker.
func TestReports(t *testing.T) {
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil }) // and of these files
	binary := filepath.Join(t.TempDir(), "reports.exe")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, c := range []struct{ attempt, args string }{{"1", "-reports 2"}, {"2", "-reports 2 -crash"}} {
		printed, err := exec.CommandContext(t.Context(), binary, strings.Fields(c.args)...).Output()
		require.NoError(t, err)
		want := regexp.MustCompile(`^(report of second \d+, attempt ` + c.attempt + `\n){2}$`)
		require.Regexp(t, want, string(printed))
	}
	out, err = exec.CommandContext(t.Context(), binary, "-schedule", "every full moon").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "every full moon")
}

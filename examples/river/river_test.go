//go:build unix

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

// The jobs that do not come to an end are ended, retried and discarded where their bodies run in
// processes, and their slots are free. Without processes they hold their slots, or go on beside
// those that River opens for the next jobs.
func TestRiver(t *testing.T) {
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil }) // and of these files
	binary := filepath.Join(t.TempDir(), "river.exe")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.CommandContext(t.Context(), binary, "-db", startPostgres(t))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	t.Logf("\n%s", &stdout)
	require.NoError(t, err, "%s", &stderr)
	for _, row := range []string{
		` +with multiprolab +River alone +and a JobStuckHandler`,
		`a job stuck in select \{\} +discarded after 2 attempts: killed +running, attempt 1 +running, attempt 1`,
		`a job that spins +discarded after 2 attempts: killed +running, attempt 1 +running, attempt 1`,
		`the next jobs +3 of 3 done +0 of 3 done +3 of 3 done`,
		`still at work +0 +2 +2`,
		`the client stops +yes +no +no`,
	} {
		require.Regexp(t, `(?m)^`+row+`$`, stdout.String())
	}
}

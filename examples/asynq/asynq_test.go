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

// The tasks that do not come to an end are ended, retried and archived where their bodies run in
// processes, and nothing of them is left. Without processes each of their attempts goes on.
func TestAsynq(t *testing.T) {
	_ = filepath.WalkDir(".", func(string, fs.DirEntry, error) error { return nil }) // and of these files
	binary := filepath.Join(t.TempDir(), "asynq.exe")
	out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput()
	require.NoError(t, err, "%s", out)

	cmd := exec.CommandContext(t.Context(), binary, "-redis", startRedis(t))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	t.Logf("\n%s", &stdout)
	require.NoError(t, err, "%s", &stderr)
	for _, row := range []string{
		` +with multiprolab +Asynq alone`,
		`a task stuck in select .{2} +archived after 2 attempts: killed +archived after 2 attempts: context deadline exceeded`,
		`a task that spins +archived after 2 attempts: killed +archived after 2 attempts: context deadline exceeded`,
		`the next tasks +3 of 3 done +3 of 3 done`,
		`still at work +0 +4`,
	} {
		require.Regexp(t, `(?m)^`+row+`$`, stdout.String())
	}
}

//go:build unix

package multiprolab_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever takes the exit statuses of workers: planned replacements are no failures, what a worker
// has started goes with it, and a death is one, whose text says who took its status.
func TestExitStatusIsTakenByOthers(t *testing.T) {
	for how, who := range map[string]string{
		"ignored":                 "its exit status is unknown: this program ignores SIGCHLD",
		"ignored after the start": "its exit status is unknown: this program ignores SIGCHLD",
		"all ignored":             "its exit status is unknown: this program ignores SIGCHLD",
		"reaped":                  "its exit status is unknown: another part of this program waits for all its children",
		"reaped at once":          "its exit status is unknown: another part of this program waits for all its children",
		"inherited as ignored":    "exited with status 7", // the Go runtime of main takes it back
		"kept":                    "exited with status 7",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			path := testProgram(t, false)
			cmd := exec.CommandContext(bounded(t), path, "status", how)
			if how == "inherited as ignored" {
				cmd = exec.CommandContext(bounded(t), "sh", "-c", `trap "" CHLD; exec "$0" status kept`, path)
			}
			b, err := cmd.CombinedOutput()
			out := string(b)
			require.NoError(t, err, out)
			require.NotContains(t, out, "FAIL")
			require.Contains(t, out, "Run: <nil>\n")
			require.Regexp(
				t,
				`died: multiprolab: worker w/0 \(pid \d+\): (ended|exited with status 7) while running task "die"`,
				out,
			)
			if !strings.HasPrefix(how, "reaped") { // there it may be seen before it is taken
				require.Contains(t, out, who)
			} else {
				require.Regexp(t, who+"|exited with status 7", out)
			}
			require.Equal(t, 1, strings.Count(out, "worker failed"), "the death alone: %s", out)
		})
	}
}

package multiprolab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Restart keeps to the code of main, whatever has become of the program's file, and says so once if
// another one is there.
func TestRestartRunsTheCodeOfMain(t *testing.T) {
	built := testProgram(t, false)
	for how, records := range map[string]int{"another in its place": 1, "moved, and another in its place": 1, "gone": 0, "the same": 0} {
		t.Run(how, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "program")
			out, err := exec.Command("cp", built, path).CombinedOutput() // not by this process: see copyBinary
			require.NoError(t, err, "%s", out)
			out, err = exec.CommandContext(bounded(t), path, "newcode", how).CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.Contains(t, string(out), "life 4\n")
			before, after, ok := strings.Cut(string(out), "now it changes")
			require.True(t, ok)
			const record = `level=WARN msg="multiprolab: the program's file is another one by now: workers go on with the code of main; restart the program for the new code" file=`
			require.NotContains(t, before, "level=WARN")
			require.Equal(t, records, strings.Count(after, record+path+"\n"), "%s", out)
			require.Equal(t, records, strings.Count(after, "level=WARN"))
			if how == "gone" {
				_, err := os.Stat(path)
				require.ErrorIs(t, err, os.ErrNotExist)
			}
		})
	}
}

//go:build unix

package multiprolab_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// reportVar is the file that the scenario "modest" writes how it went to.
const reportVar = "MULTIPROLAB_TEST_REPORT"

// The program that starts two workers, has one do a task, and ends.
var _ = scenario("modest", func() {
	report := func(format string, args ...any) {
		_ = os.WriteFile(os.Getenv(reportVar), fmt.Appendf(nil, format, args...), 0o600)
		os.Exit(0)
	}
	app := multiprolab.New(nil)
	app.RegisterWorker("guest", guest, &multiprolab.WorkerConfig{Count: 2})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := app.Start(ctx); err != nil {
		_ = app.Close()
		report("Start: %v", err)
	}
	b, err := multiprolab.Do[[]byte](ctx, app, "fill", 100_000)
	if err != nil {
		report("Do: %v", err)
	}
	if err := app.Close(); err != nil {
		report("Close: %v", err)
	}
	report("done %d", len(b))
})

// modest runs the scenario from a shell that first does something, and returns its report.
func modest(t *testing.T, first, redirections string) string {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "report")
	cmd := exec.Command("sh", "-c", first+` exec "$0" `+redirections, exe)
	cmd.Env = append(os.Environ(), "MULTIPROLAB_TEST_MAIN=modest", reportVar+"="+path)
	cmd.WaitDelay = time.Second
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process
	select {
	case err = <-ended:
	case <-time.After(2 * patience):
		_ = cmd.Process.Kill()
		<-ended
		require.FailNow(t, "it hangs")
	}
	text, readErr := os.ReadFile(path)
	require.NoError(t, readErr, "it ended with %v", err)
	return string(text)
}

// TestClosedStandardFiles: a program that was started without standard files works: nothing of the
// wire gets their numbers.
func TestClosedStandardFiles(t *testing.T) {
	for _, closed := range []string{"<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"} {
		t.Run(closed, func(t *testing.T) {
			require.Equal(t, "done 100000", modest(t, "", closed))
		})
	}
}

// TestFewFiles: a program that may have few files open works, or Start says what it lacks.
func TestFewFiles(t *testing.T) {
	worked := false
	for _, n := range []int{12, 16, 20, 24, 32, 40, 48, 64} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			got := modest(t, fmt.Sprintf("ulimit -n %d;", n), "")
			if got != "done 100000" {
				require.True(t, strings.HasPrefix(got, "Start: "), got)
				require.Contains(t, got, "too many open files")
			}
			worked = worked || got == "done 100000"
			require.Equal(t, worked, got == "done 100000", "more files are no worse")
		})
	}
	require.True(t, worked)
}

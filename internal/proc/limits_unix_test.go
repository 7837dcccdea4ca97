//go:build unix

package proc_test

import (
	"fmt"
	"io"
	"math"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// platform takes the parts of the report that this platform can tell.
func (r *limitsReport) platform() {
	var limit syscall.Rlimit
	_ = syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	r.OpenFiles = [2]int64{int64(limit.Cur), int64(limit.Max)}
	out, _ := exec.Command("sh", "-c", "ulimit -Sn; ulimit -Hn").Output()
	r.Child = strings.Join(strings.Fields(string(out)), " ")
	r.threads()
}

func TestOpenFiles(t *testing.T) {
	r, _ := applyLimits(t, proc.Limits{OpenFiles: 100}, proc.Spec{})
	require.Empty(t, r.Err)
	require.Equal(t, [2]int64{100, 100}, r.OpenFiles)
	require.Equal(t, "100 100", r.Child)

	r, _ = applyLimits(t, proc.Limits{OpenFiles: math.MaxInt / 2}, proc.Spec{})
	require.Contains(t, r.Err, fmt.Sprintf("OpenFiles %d: ", math.MaxInt/2))
	require.Contains(t, r.Err, "limit")
}

// TestCPUTime runs out of processor time: at the soft limit with a trace, not at the hard one.
func TestCPUTime(t *testing.T) {
	_, p := applyLimits(t, proc.Limits{CPUTime: time.Second / 2}, proc.Spec{})
	text, err := io.ReadAll(p.Err)
	require.NoError(t, err)
	st := wait(t, p)
	require.Contains(t, string(text), "SIGXCPU: cpu limit exceeded")
	require.Contains(t, string(text), "proc_test.spin")
	require.Equal(t, 2, st.ExitCode)
	require.Empty(t, st.Signal)
	require.InDelta(t, 1.3, (st.User + st.System).Seconds(), 0.8) // the kernel counts in two ways, which differ
}

func TestNiceWithoutPrivileges(t *testing.T) {
	needRoot(t) // to have none, one must be able to give them up
	r, _ := applyLimits(t, proc.Limits{Nice: -20}, proc.Spec{Credential: &nobody, Path: publicBinary(t)})
	require.Contains(t, r.Err, "Nice -20: ")
	if runtime.GOOS == "linux" {
		require.Contains(t, r.Err, "CAP_SYS_NICE")
	}
}

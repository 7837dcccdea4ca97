package proc_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// threads reads what every thread has: from its line in /proc, and so not by the way in which it
// was set.
func (r *limitsReport) threads() {
	r.Nice, r.CPUs = make(map[string][]int), make(map[string][]int)
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, task := range tasks {
		stat, err := os.ReadFile(task + "/stat")
		if err != nil {
			continue
		}
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		nice, _ := strconv.Atoi(string(fields[16]))
		r.Nice[task] = []int{nice}
		status, _ := os.ReadFile(task + "/status")
		_, after, _ := bytes.Cut(status, []byte("Cpus_allowed_list:"))
		list, _, _ := bytes.Cut(after, []byte("\n"))
		cpu, err := strconv.Atoi(string(bytes.TrimSpace(list)))
		if err != nil { // more than one
			cpu = -1
		}
		r.CPUs[task] = []int{cpu}
	}
}

// TestThreadLimits looks at all threads, with and without a PID namespace, in which threads have
// other ids than in /proc.
func TestThreadLimits(t *testing.T) {
	var set unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &set))
	last := -1
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			last = cpu
		}
	}
	for _, namespace := range []bool{false, true} {
		if namespace {
			needNamespace(t)
		}
		before, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 - nice
		require.NoError(t, err)
		nice := min(20-before+7, 19)
		r, p := applyLimits(t, proc.Limits{Nice: nice, CPUs: []int{last}}, proc.Spec{PIDNamespace: namespace})
		require.Empty(t, r.Err)
		require.Greater(t, len(r.Nice), 20)
		for task := range r.Nice {
			require.Equal(t, []int{nice}, r.Nice[task], task)
			require.Equal(t, []int{last}, r.CPUs[task], task)
		}
		require.NoError(t, p.Kill())
		wait(t, p)
	}
}

func TestNoSuchCPU(t *testing.T) {
	for _, cpus := range [][]int{{0, 8000}, {8000}, {9000}} {
		r, _ := applyLimits(t, proc.Limits{CPUs: cpus}, proc.Spec{})
		require.Contains(t, r.Err, "some of these CPUs do not exist or are not allowed")
		require.Contains(t, r.Err, "allowed are [0", "%v", cpus)
	}
}

func TestOOMScoreAdjWithoutPrivileges(t *testing.T) {
	needRoot(t) // to have none, one must be able to give them up
	own := proc.OOMScoreAdj()
	r, _ := applyLimits(t, proc.Limits{OOMScoreAdj: own - 5}, proc.Spec{Credential: &nobody, Path: publicBinary(t)})
	require.Contains(
		t,
		r.Err,
		"OOMScoreAdj "+strconv.Itoa(
			own-5,
		)+": the process is not allowed to have less than it started with, which is "+strconv.Itoa(
			own,
		),
	)
	require.Contains(t, r.Err, "CAP_SYS_RESOURCE")
	r, _ = applyLimits(t, proc.Limits{OOMScoreAdj: 999}, proc.Spec{Credential: &nobody, Path: publicBinary(t)})
	require.Empty(t, r.Err)
}

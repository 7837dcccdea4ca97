package proc_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// platform reports the priority class and the affinity in the place of the threads'.
func (r *limitsReport) platform() {
	class, _ := windows.GetPriorityClass(windows.CurrentProcess())
	r.Nice = map[string][]int{"": {int(class)}}
}

func TestNiceIsPriorityClass(t *testing.T) {
	for nice, class := range map[int]int{
		-20: windows.HIGH_PRIORITY_CLASS, -10: windows.HIGH_PRIORITY_CLASS,
		-9: windows.ABOVE_NORMAL_PRIORITY_CLASS, -1: windows.ABOVE_NORMAL_PRIORITY_CLASS,
		1: windows.BELOW_NORMAL_PRIORITY_CLASS, 9: windows.BELOW_NORMAL_PRIORITY_CLASS,
		10: windows.IDLE_PRIORITY_CLASS, 19: windows.IDLE_PRIORITY_CLASS,
	} {
		r, _ := applyLimits(t, proc.Limits{Nice: nice}, proc.Spec{})
		require.Empty(t, r.Err)
		require.Equal(t, []int{class}, r.Nice[""], "%d", nice)
	}
}

func TestCPUs(t *testing.T) {
	r, _ := applyLimits(t, proc.Limits{CPUs: []int{0}}, proc.Spec{})
	require.Empty(t, r.Err)
	r, _ = applyLimits(t, proc.Limits{CPUs: []int{0, 200}}, proc.Spec{})
	require.Contains(t, r.Err, "CPU 200 does not exist")
}

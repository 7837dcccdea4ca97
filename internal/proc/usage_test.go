package proc

import (
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestUsageGrowsWithWhatTheProcessTakes looks at this process before and after it takes memory and
// processor time.
func TestUsageGrowsWithWhatTheProcessTakes(t *testing.T) {
	before := UsageOf(os.Getpid())
	taken := make([]byte, 64<<20)
	sum := 0
	for range 10 {
		for i := range taken {
			taken[i]++
			sum += int(taken[i])
		}
	}
	after := UsageOf(os.Getpid())
	t.Logf("%+v, then %+v (%d)", before, after, sum)
	require.Greater(t, after.CPU, before.CPU)
	require.Greater(t, after.Resident, before.Resident+60<<20)
	if runtime.GOOS != "freebsd" {
		require.Greater(t, after.Private, before.Private+60<<20)
	}
	if runtime.GOOS == "linux" {
		require.LessOrEqual(t, after.Private, after.Resident)
	}
	runtime.KeepAlive(taken)
}

// TestUsageOfNoProcessIsZero holds that a pid that no process has, or can have, is no error.
func TestUsageOfNoProcessIsZero(t *testing.T) { require.Zero(t, UsageOf(1<<22)) }

func BenchmarkUsageOf(b *testing.B) {
	for b.Loop() {
		UsageOf(os.Getpid())
	}
}

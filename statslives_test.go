package multiprolab_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// What the wires have carried does not fall while a worker that has left its pool ends its task.
func TestStatsOfAWorkerThatLeavesItsPool(t *testing.T) {
	l := startLab(t, nil, workers(statsWorker, 2))
	path := t.TempDir() + "/hold"
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	var both []*multiprolab.Future[int]
	for range 2 {
		f, err := multiprolab.Submit[int](bounded(t), l, "stats-hold", path, nil)
		require.NoError(t, err)
		both = append(both, f)
	}
	eventually(t, "both to run", func() bool { return l.Stats().Tasks.Running == 2 })
	before := l.Stats()
	require.NoError(t, l.Resize(statsWorker, 1))
	during := l.Stats()
	require.Len(t, during.Workers, 1)
	checkGrowth(t, before, during)
	require.NoError(t, os.Remove(path))
	for _, f := range both {
		_, err := f.Wait(bounded(t))
		require.NoError(t, err)
	}
	checkGrowth(t, during, l.Stats())
	require.NoError(t, l.Close())
	checkGrowth(t, during, l.Stats())
}

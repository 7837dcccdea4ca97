package life

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// kernel is the number of the processes that the kernel has taken, for a test to set.
type kernel struct {
	t    *testing.T
	root string
}

func (k *kernel) took(n int) {
	k.t.Helper()
	dir := filepath.Join(k.root, "proc")
	require.NoError(k.t, os.MkdirAll(dir, 0o755))
	require.NoError(k.t, os.WriteFile(filepath.Join(dir, "vmstat"), fmt.Appendf(nil, "oom_kill %d\n", n), 0o644))
}

// A death is the kernel's if the number of those that it took has grown since the life began, and
// no other death accounts for that. Who asks again gets the same answer.
func TestKernelTakesOneForEach(t *testing.T) {
	k := &kernel{t, t.TempDir()}
	k.took(7)
	kills := NewKernelKills(proc.MemoryGroupsIn(k.root))
	first, second, third := kills.watch(1), kills.watch(2), kills.watch(3)
	require.False(t, kills.took(first), "none was taken")
	k.took(8)
	require.False(t, kills.took(first), "it was asked before, when it died")
	for range 2 {
		require.True(t, kills.took(second))
		require.False(t, kills.took(third), "that was the second")
	}
	late := kills.watch(4)
	require.False(t, kills.took(late), "nobody was taken since it began")
	fourth := kills.watch(5)
	k.took(9)
	require.True(t, kills.took(fourth))
	require.False(t, kills.took(nil), "the system tells nothing of it")
	require.NoError(t, os.RemoveAll(filepath.Join(k.root, "proc")))
	require.Nil(t, kills.watch(6))
}

// A process that is where it was keeps its watch, and what was taken since it began counts.
func TestWatchOfAProcessThatStays(t *testing.T) {
	k := &kernel{t, t.TempDir()}
	k.took(7)
	kills := NewKernelKills(proc.MemoryGroupsIn(k.root))
	w := kills.watch(1)
	k.took(8)
	require.Same(t, w, kills.again(1, w))
	require.NotNil(t, kills.again(1, nil), "the system has begun to tell")
	require.True(t, kills.took(w))
}

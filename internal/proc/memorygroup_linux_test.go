package proc_test

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// tree writes files below a new directory.
func tree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	return root
}

// TestMemoryGroups reads the files of both versions of control groups, of containers and of systems
// without any.
func TestMemoryGroups(t *testing.T) {
	const (
		v1   = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
		cpu  = "32 31 0:29 / /sys/fs/cgroup/cpu rw shared:1 - cgroup cgroup rw,cpu\n"
		v2   = "41 31 0:38 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
		both = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	)
	for name, c := range map[string]struct {
		files map[string]string
		group string
		kills uint64
		limit int64
	}{
		"version 2": {map[string]string{
			"proc/7/cgroup": "0::/system.slice/app.service\n", "proc/self/mountinfo": cpu + v2,
			"sys/fs/cgroup/system.slice/app.service/memory.events": "low 0\nhigh 9\nmax 8\noom 7\noom_kill 3\noom_group_kill 5\n",
			"sys/fs/cgroup/system.slice/app.service/memory.max":    "268435456\n",
		}, "/system.slice/app.service", 3, 256 << 20},
		"version 2, no limit": {map[string]string{
			"proc/7/cgroup": "0::/a\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/a/memory.events": "oom_kill 0\n", "sys/fs/cgroup/a/memory.max": "max\n",
		}, "/a", 0, 0},
		"version 2, in a container with a namespace": {map[string]string{
			"proc/7/cgroup": "0::/\n", "proc/self/mountinfo": v2,
			"sys/fs/cgroup/memory.events": "oom_kill 2\n", "sys/fs/cgroup/memory.max": "1000\n",
		}, "/", 2, 1000},
		"version 2, in a container without one": {map[string]string{
			"proc/7/cgroup": "0::/docker/abc/sub\n", "proc/self/mountinfo": "41 31 0:38 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup ro\n",
			"sys/fs/cgroup/sub/memory.events": "oom_kill 4\n", "sys/fs/cgroup/memory.events": "oom_kill 5\n",
		}, "/docker/abc/sub", 4, 0},
		"version 2, the root": {map[string]string{
			"proc/7/cgroup": "0::/\n", "proc/self/mountinfo": v2, "proc/vmstat": "nr_free_pages 1\noom_kill 6\n",
		}, "", 6, 0},
		"version 2, outside of the namespace": {map[string]string{
			"proc/7/cgroup": "0::/../other\n", "proc/self/mountinfo": v2, "proc/vmstat": "oom_kill 6\n", "sys/fs/other/memory.events": "oom_kill 1\n",
		}, "", 6, 0},
		"version 1": {map[string]string{
			"proc/7/cgroup": "5:cpu,cpuacct:/x\n4:memory:/jobs/1\n", "proc/self/mountinfo": cpu + v1,
			"sys/fs/cgroup/memory/jobs/1/memory.oom_control":    "oom_kill_disable 0\nunder_oom 0\noom_kill 11\n",
			"sys/fs/cgroup/memory/jobs/1/memory.limit_in_bytes": "1048576\n",
		}, "/jobs/1", 11, 1 << 20},
		"version 1, no limit": {map[string]string{
			"proc/7/cgroup": "4:memory:/\n", "proc/self/mountinfo": v1,
			"sys/fs/cgroup/memory/memory.oom_control": "oom_kill 1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, "/", 1, 0},
		"both, with the memory in version 1": {map[string]string{
			"proc/7/cgroup": "4:memory:/m\n0::/u\n", "proc/self/mountinfo": both + v1,
			"sys/fs/cgroup/memory/m/memory.oom_control": "oom_kill 1\n", "sys/fs/cgroup/unified/u/cgroup.procs": "",
		}, "/m", 1, 0},
		"both, with the memory in version 2": {map[string]string{
			"proc/7/cgroup": "4:cpu:/m\n0::/u\n", "proc/self/mountinfo": both + cpu,
			"sys/fs/cgroup/unified/u/memory.events": "oom_kill 2\n",
		}, "/u", 2, 0},
		"a place with a space": {map[string]string{
			"proc/7/cgroup": "0::/a b\n", "proc/self/mountinfo": `41 31 0:38 / /my\040groups rw - cgroup2 cgroup rw` + "\n",
			"my groups/a b/memory.events": "oom_kill 2\n",
		}, "/a b", 2, 0},
		"none": {map[string]string{"proc/vmstat": "oom_kill 8\n"}, "", 8, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := proc.MemoryGroupsIn(tree(t, c.files)).Of(7)
			require.Equal(t, c.group, g.Name)
			kills, ok := g.Kills()
			require.True(t, ok)
			require.Equal(t, c.kills, kills)
			require.Equal(t, c.limit, g.Limit())
		})
	}
	for name, files := range map[string]map[string]string{
		"nothing": {}, "an old kernel": {"proc/vmstat": "nr_free_pages 1\n"}, "no number": {"proc/vmstat": "oom_kill many\n"},
	} {
		g := proc.MemoryGroupsIn(tree(t, files)).Of(7)
		_, ok := g.Kills()
		require.False(t, ok, name)
		require.Zero(t, g.Limit())
	}
}

// TestMemoryGroupOfThisSystem: the group of this process is found, or the machine's number is.
func TestMemoryGroupOfThisSystem(t *testing.T) {
	g := proc.NewMemoryGroups().Of(os.Getpid())
	_, ok := g.Kills()
	_, err := os.Stat("/proc/vmstat")
	require.Equal(t, err == nil, ok, "%+v", g)
	require.True(t, g.Same(proc.NewMemoryGroups().Of(os.Getpid())))
}

func init() {
	children["oom score"] = func() {
		_, w := proc.Wire()
		_, _ = w.WriteString(strconv.Itoa(scoreAtInit) + " " + strconv.Itoa(proc.OOMScoreAdj()) + "\n")
	}
}

// scoreAtInit is what the number was when the package was initialised.
var scoreAtInit = proc.OOMScoreAdj()

// TestOOMScoreAdj: a worker has the number before its program's own initialisers run.
func TestOOMScoreAdj(t *testing.T) {
	own := proc.OOMScoreAdj()
	for _, n := range []int{0, min(own+123, 1000), 1000} {
		p := start(t, newSpawner(t), &proc.Spec{Role: role("oom score"), OOMScoreAdj: n})
		if n == 0 {
			n = own
		}
		require.Equal(t, strconv.Itoa(n)+" "+strconv.Itoa(n), line(t, p))
	}
}

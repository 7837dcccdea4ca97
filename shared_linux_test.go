package multiprolab_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

const segmentName = "memfd:multiprolab-shared"

// sharedOf returns how many descriptors and how many mappings of shared data a process has, and how
// many bytes of it are its share of the memory (Pss of proc(5)).
func sharedOf(t *testing.T, pid int) (descriptors, mappings int, pss int64) {
	t.Helper()
	files, err := filesOf(strconv.Itoa(pid))
	require.NoError(t, err)
	for _, to := range files {
		if strings.Contains(to, segmentName) {
			descriptors++
		}
	}
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	require.NoError(t, err)
	defer f.Close()
	of := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		name, rest, _ := strings.Cut(line, ":")
		switch {
		case strings.Contains(name, "-"): // a mapping begins
			if of = strings.Contains(line, segmentName); of {
				mappings++
			}
		case of && name == "Pss":
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(t, err)
			pss += kib << 10
		}
	}
	return descriptors, mappings, pss
}

// pids returns the processes of the workers that are ready.
func (l *lab) pids() (pids []int) {
	lives := map[string]int{}
	for _, e := range l.all() {
		if e, ok := e.(*multiprolab.WorkerReady); ok {
			lives[e.Worker] = e.PID
		}
	}
	for _, pid := range lives {
		pids = append(pids, pid)
	}
	return pids
}

// A table that many workers have read is in memory once. "make shared" does this with 1 GiB and
// eight workers.
func TestSharedIsInMemoryOnce(t *testing.T) {
	size, count := int64(32<<20), 4
	if text := os.Getenv("MULTIPROLAB_SHARED_MIB"); text != "" {
		mib, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
		size, count = mib<<20, 8
	}
	l := newLab(t, nil, readers(count))
	_, err := l.Publish("table", multiprolab.Numbers(equals(int(size/8), 1)))
	require.NoError(t, err)
	startReady(t, l)
	for i := range count { // each worker reads all of it
		got, err := multiprolab.Call[seen](bounded(t), l, fmt.Sprintf("reader/%d", i), "sum", nil)
		require.NoError(t, err)
		require.EqualValues(t, size/8, got.Sum)
	}
	var whole int64
	for _, pid := range l.pids() {
		_, mappings, pss := sharedOf(t, pid)
		require.Equal(t, 1, mappings)
		require.InDelta(t, size/int64(count), pss, float64(size)/20)
		whole += pss
	}
	descriptors, mappings, _ := sharedOf(t, os.Getpid())
	require.Equal(t, []int{1, 0}, []int{descriptors, mappings}, "main holds a descriptor")
	require.InDelta(t, size, whole, float64(size)/20)
	t.Logf("%d workers have read %d MiB: the sum of their proportional set sizes of it is %.1f MiB", count, size>>20,
		float64(whole)/(1<<20))
}

// Old versions go when no handler uses them, and everything with the workers and the program,
// whatever they die of.
func TestSharedIsReleased(t *testing.T) {
	modes(t, func(t *testing.T, cfg *multiprolab.Config) {
		require.NoError(t, startLab(t, cfg, readers(1)).Close()) // what the runtime opens is open after that
		files := openFiles(t)
		l := newLab(t, cfg, readers(1))
		publish := func() {
			_, err := l.Publish("table", multiprolab.Numbers(equals(1000, 1)))
			require.NoError(t, err)
		}
		publish()
		startReady(t, l)
		sum := func() (pid int) {
			got, err := multiprolab.Do[seen](bounded(t), l, "sum", nil)
			require.NoError(t, err)
			return got.PID
		}
		for range 3 {
			pid := sum()
			for range 20 {
				publish()
			}
			require.Equal(t, pid, sum())
			own := 1 // main's descriptor
			if cfg.InProcess {
				own = 2 // in the same process is the mapping of the worker
			}
			descriptors, mappings, _ := sharedOf(t, os.Getpid())
			require.Equal(t, own, descriptors+mappings)
			if !cfg.InProcess {
				descriptors, mappings, _ := sharedOf(t, pid)
				require.Equal(t, []int{0, 1}, []int{descriptors, mappings})
				publish()
				eventually(t, "the old version to go", func() bool {
					_, mappings, _ := sharedOf(t, pid)
					return mappings == 0
				})
				sum()
				require.NoError(t, signalProcess(pid, "SIGKILL"))
				eventually(t, "another life", func() bool {
					got, err := multiprolab.Do[seen](bounded(t), l, "sum", nil)
					return err == nil && got.PID != pid
				})
			}
		}
		l.Unpublish("table")
		eventually(t, "the memory to be free", func() bool {
			descriptors, mappings, _ := sharedOf(t, os.Getpid())
			return descriptors+mappings == 0
		})
		publish()
		sum()
		require.NoError(t, l.Close())
		descriptors, mappings, _ := sharedOf(t, os.Getpid())
		require.Zero(t, descriptors+mappings)
		require.LessOrEqual(t, openFiles(t), files)
	})
}

// The readers get shared data that is published while they run: one of another user, if that is
// possible, and one in a PID namespace.
var _ = scenario("shared", func() {
	for _, p := range []multiprolab.ProcessConfig{
		{PIDNamespace: true},
		{Dir: "/", Credential: &multiprolab.Credential{UID: nobody, GID: nobody}},
	} {
		if p.Credential != nil && os.Getuid() != 0 {
			continue
		}
		ctx := context.Background()
		app := multiprolab.New(&multiprolab.Config{Logger: slog.New(slog.DiscardHandler)})
		cfg := &multiprolab.WorkerConfig{Process: p, Shared: []string{"table"}}
		app.RegisterWorker("reader", setups["reader"], cfg)
		if err := app.Start(ctx); err != nil {
			fmt.Println("Start returned:", err)
			return
		}
		for i := range 2 {
			must(app.Publish("table", multiprolab.Numbers(equals(100, float64(i+1)))))
			fmt.Println("sum", must(multiprolab.Do[seen](ctx, app, "sum", nil)).Sum)
		}
		fmt.Println("end", app.Close())
	}
})

// A worker of another user, and one in a PID namespace, get shared data like others.
func TestSharedBehindWalls(t *testing.T) {
	path := copyBinary(t, 0o755)
	p := launchMain(t, "shared", func(cmd *exec.Cmd) { cmd.Path = path })
	require.NoError(t, p.wait(t))
	want := "sum 100\nsum 200\nend <nil>\n"
	if os.Getuid() == 0 {
		want += want
	}
	require.Equal(t, want, p.out.String())
}

package multiprolab_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// report is what a worker tells about its process.
type report struct {
	Env         []string
	Dir         string
	PID         int
	UID, GID    int
	Groups      []int
	GOMAXPROCS  int
	MemoryLimit int64
	System      map[string]string // what only some platforms have
}

// reportSystem adds what only this platform has.
var reportSystem = func(map[string]string) {}

// The surveyor reports; it does what guests do as well.
var _ = worker("surveyor", func(ctx context.Context, w *multiprolab.Worker) error {
	atSetup := makeReport() // before anything else of the user
	multiprolab.HandleTask(w, "report", func(context.Context, struct{}) (report, error) { return makeReport(), nil })
	multiprolab.HandleTask(w, "report-setup", func(context.Context, struct{}) (report, error) { return atSetup, nil })
	return guest(ctx, w)
})

func makeReport() report {
	r := report{
		Env:         os.Environ(),
		PID:         os.Getpid(),
		UID:         os.Getuid(),
		GID:         os.Getgid(),
		GOMAXPROCS:  runtime.GOMAXPROCS(0),
		MemoryLimit: debug.SetMemoryLimit(-1),
		System:      map[string]string{},
	}
	r.Dir, _ = os.Getwd()
	r.Groups, _ = os.Getgroups()
	reportSystem(r.System)
	return r
}

// env returns a variable as the worker's system has it, and how often it is there.
func (r *report) env(name string) (value string, times int) {
	for _, e := range r.Env {
		if n, v, _ := strings.Cut(e, "="); n == name {
			value, times = v, times+1
		}
	}
	return value, times
}

// survey starts one worker, or cfg.Count, and returns the report of one.
func survey(t *testing.T, cfg *multiprolab.WorkerConfig) report {
	t.Helper()
	l := startLab(t, nil, pool{"surveyor", cfg})
	r, err := multiprolab.Do[report](bounded(t), l, "report", nil)
	require.NoError(t, err)
	first, err := multiprolab.Do[report](bounded(t), l, "report-setup", nil)
	require.NoError(t, err)
	first.PID, first.System = r.PID, r.System // another of several, perhaps; threads come and go
	require.Equal(t, r, first, "all is set up before the setup function")
	require.NoError(t, l.Close())
	return r
}

// TestSetup_Env: variables are added, replaced and dropped.
func TestSetup_Env(t *testing.T) {
	t.Setenv("AWS_SECRET", "s")
	t.Setenv("AWS_/KEY", "s")
	t.Setenv("MP_TEST_KEPT", "kept")
	t.Setenv("MP_TEST_DROPPED", "s")
	t.Setenv("MP_TEST_DROPPED_NOT", "not")
	t.Setenv("MP_TEST_OLD", "old")
	for _, c := range []struct {
		name      string
		env, drop []string
		expected  map[string]string // "-": not there
	}{
		{"nothing", nil, nil, map[string]string{"AWS_SECRET": "s", "AWS_/KEY": "s", "MP_TEST_OLD": "old"}},
		{"add and replace", []string{"MP_TEST_NEW=1", "MP_TEST_OLD=first", "MP_TEST_OLD=new=er", "MP_TEST_EMPTY="}, nil,
			map[string]string{"MP_TEST_NEW": "1", "MP_TEST_OLD": "new=er", "MP_TEST_EMPTY": "", "MP_TEST_KEPT": "kept", "AWS_SECRET": "s"}},
		{"drop", nil, []string{"MP_TEST_DROPPED", "AWS_*", "NOT_THERE"},
			map[string]string{"AWS_SECRET": "-", "AWS_/KEY": "-", "MP_TEST_DROPPED": "-", "MP_TEST_DROPPED_NOT": "not", "MP_TEST_KEPT": "kept"}},
		{"drop all, then add", []string{"MP_TEST_OLD=new", "GORACE=atexit_sleep_ms=0"}, []string{"*"},
			map[string]string{"AWS_SECRET": "-", "AWS_/KEY": "-", "MP_TEST_KEPT": "-", "MP_TEST_DROPPED": "-", "HOME": "-", "MP_TEST_OLD": "new"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := survey(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: c.env, DropEnv: c.drop}})
			for name, expected := range c.expected {
				value, times := r.env(name)
				if expected == "-" {
					require.Zero(t, times, name)
					continue
				}
				require.Equal(t, 1, times, name)
				require.Equal(t, expected, value, name)
			}
		})
	}
}

// TestSetup_Runtime: the working directory, and what the Go runtime is given.
func TestSetup_Runtime(t *testing.T) {
	if _, given := os.LookupEnv("GOMAXPROCS"); given {
		t.Skip("GOMAXPROCS is in the environment")
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8))
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	r := survey(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Dir: dir, GOMAXPROCS: 5}, Limits: multiprolab.Limits{GoMemory: 123 << 20}})
	require.Equal(t, dir, r.Dir)
	require.Equal(t, 5, r.GOMAXPROCS)
	require.EqualValues(t, 123<<20, r.MemoryLimit)

	here, err := os.Getwd()
	require.NoError(t, err)
	r = survey(t, &multiprolab.WorkerConfig{Count: 3})
	require.Equal(t, here, r.Dir)
	require.Equal(t, 3, r.GOMAXPROCS, "a third of 8, rounded up")
	require.EqualValues(t, int64(math.MaxInt64), r.MemoryLimit)

	require.Equal(t, 8, survey(t, nil).GOMAXPROCS)
	require.Equal(t, 2, survey(t, &multiprolab.WorkerConfig{Count: 9}).GOMAXPROCS)
	r = survey(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Env: []string{"GOMAXPROCS=1", "GOMEMLIMIT=100MiB"}}, Limits: multiprolab.Limits{GoMemory: 1 << 30}})
	require.Equal(t, 1, r.GOMAXPROCS, "that of the environment")
	require.EqualValues(t, 100<<20, r.MemoryLimit)

	t.Setenv("GOMAXPROCS", "3")
	t.Setenv("GOMEMLIMIT", "200MiB")
	r = survey(t, &multiprolab.WorkerConfig{Count: 2})
	require.Equal(t, 3, r.GOMAXPROCS, "that of the environment")
	require.EqualValues(t, 200<<20, r.MemoryLimit)
	r = survey(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{GOMAXPROCS: 4}, Limits: multiprolab.Limits{GoMemory: 300 << 20}})
	require.Equal(t, 4, r.GOMAXPROCS)
	require.EqualValues(t, 300<<20, r.MemoryLimit)
}

// TestSetup_BadValues: what cannot be is refused before anything starts, with the field and the
// remedy.
func TestSetup_BadValues(t *testing.T) {
	type config = multiprolab.WorkerConfig
	for _, c := range []struct {
		field, remedy string
		cfg           config
	}{
		{"WorkerConfig.Process.Env[1]", `write it as "NAME=value"`, config{Process: multiprolab.ProcessConfig{Env: []string{"A=1", "B"}}}},
		{"WorkerConfig.Process.Env[0]", `write it as "NAME=value"`, config{Process: multiprolab.ProcessConfig{Env: []string{"=1"}}}},
		{"WorkerConfig.Process.DropEnv[0]", `such as "AWS_*"`, config{Process: multiprolab.ProcessConfig{DropEnv: []string{""}}}},
		{"WorkerConfig.Process.DropEnv[1]", `such as "AWS_*"`, config{Process: multiprolab.ProcessConfig{DropEnv: []string{"A", "[B"}}}},
		{"WorkerConfig.Process.Env[1]", "NUL byte", config{Process: multiprolab.ProcessConfig{Env: []string{"A=1", "B=2\x00C=3"}}}},
		{"WorkerConfig.Process.Env[0]", "NUL byte", config{Process: multiprolab.ProcessConfig{Env: []string{"A\x00=1"}}}},
		{"WorkerConfig.Process.Dir", "NUL byte", config{Process: multiprolab.ProcessConfig{Dir: "/tmp\x00/x"}}},
		{"WorkerConfig.Process.DropEnv[1]", "NUL byte", config{Process: multiprolab.ProcessConfig{DropEnv: []string{"A", "B\x00"}}}},
		{"WorkerConfig.Process.Nice", "from -20 to 19", config{Process: multiprolab.ProcessConfig{Nice: 20}}},
		{"WorkerConfig.Process.Nice", "from -20 to 19", config{Process: multiprolab.ProcessConfig{Nice: -21}}},
		{"WorkerConfig.Process.OOMScoreAdj", "from -1000 to 1000", config{Process: multiprolab.ProcessConfig{OOMScoreAdj: 1001}}},
		{"WorkerConfig.Process.OOMScoreAdj", "from -1000 to 1000", config{Process: multiprolab.ProcessConfig{OOMScoreAdj: -1001}}},
		{"WorkerConfig.Process.CPUs", "leave it nil", config{Process: multiprolab.ProcessConfig{CPUs: []int{}}}},
		{"WorkerConfig.Process.CPUs", "from 0", config{Process: multiprolab.ProcessConfig{CPUs: []int{0, -1}}}},
		{"WorkerConfig.Limits.OpenFiles", "at least 16", config{Limits: multiprolab.Limits{OpenFiles: 15}}},
		{"WorkerConfig.Limits.OpenFiles", "", config{Limits: multiprolab.Limits{OpenFiles: -1}}},
		{"WorkerConfig.Limits.CPUTime", "", config{Limits: multiprolab.Limits{CPUTime: -1}}},
		{"WorkerConfig.Process.GOMAXPROCS", "", config{Process: multiprolab.ProcessConfig{GOMAXPROCS: -1}}},
		{"WorkerConfig.Limits.GoMemory", "", config{Limits: multiprolab.Limits{GoMemory: -1}}},
		{"WorkerConfig.HandlerTimeout", "", config{HandlerTimeout: -1}},
	} {
		l := newLab(t, nil, pool{"surveyor", &c.cfg})
		err := l.Start(context.Background())
		var bad *multiprolab.ConfigError
		require.ErrorAs(t, err, &bad, "%+v", c.cfg)
		require.True(t, strings.HasPrefix(c.field, bad.Field), "%v", err)
		if field, _, _ := strings.Cut(strings.TrimPrefix(bad.Field, "WorkerConfig."), "["); proc.Lacks(field) == "" ||
			strings.Contains(field, "Env") {
			require.Equal(t, c.field, bad.Field)
			require.Contains(t, bad.Reason, c.remedy)
			require.NotEmpty(t, bad.Reason)
		}
		require.Empty(t, l.all())
	}
}

// TestSetup_Unsupported: what the platform lacks is refused, and nothing else.
func TestSetup_Unsupported(t *testing.T) {
	type config = multiprolab.WorkerConfig
	for field, cfg := range map[string]config{
		"Credential":   {Process: multiprolab.ProcessConfig{Credential: &multiprolab.Credential{UID: uint32(max(0, os.Getuid())), GID: uint32(max(0, os.Getgid()))}}},
		"PIDNamespace": {Process: multiprolab.ProcessConfig{PIDNamespace: true}},
		"Nice":         {Process: multiprolab.ProcessConfig{Nice: 1}},
		"CPUs":         {Process: multiprolab.ProcessConfig{CPUs: []int{0}}},
		"OpenFiles":    {Limits: multiprolab.Limits{OpenFiles: 100}},
		"CPUTime":      {Limits: multiprolab.Limits{CPUTime: time.Hour}},
		"OOMScoreAdj":  {Process: multiprolab.ProcessConfig{OOMScoreAdj: 1000}},
	} {
		lack := proc.Lacks(field)
		l := newLab(t, nil, pool{"surveyor", &cfg})
		l.Exit() // nothing is started even if all is well
		err := l.Run(context.Background())
		var bad *multiprolab.ConfigError
		if lack == "" {
			require.NoError(t, err, field)
			continue
		}
		require.ErrorAs(t, err, &bad, field)
		require.Regexp(t, `^WorkerConfig\.(Process|Limits)\.`+field+"$", bad.Field)
		require.Equal(t, lack+": leave it out on this platform", bad.Reason)
	}
}

// startError starts a worker that cannot be, and returns the error; nothing is tried twice.
func startError(t *testing.T, cfg *multiprolab.WorkerConfig) *multiprolab.StartError {
	t.Helper()
	l := newLab(t, nil, pool{"surveyor", cfg})
	err := l.Start(context.Background())
	var start *multiprolab.StartError
	require.ErrorAs(t, err, &start)
	require.LessOrEqual(t, len(eventsOf[*multiprolab.WorkerStarted](l)), 1)
	failed := eventsOf[*multiprolab.WorkerFailed](l)
	require.Len(t, failed, 1)
	require.False(t, failed[0].Restart)
	l.checkGone(t)
	return start
}

// TestSetup_NoSuchDir: a working directory that is not there is found out by the start.
func TestSetup_NoSuchDir(t *testing.T) {
	err := startError(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Dir: filepath.Join(t.TempDir(), "none")}})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Zero(t, err.PID)

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	err = startError(t, &multiprolab.WorkerConfig{Process: multiprolab.ProcessConfig{Dir: file}})
	require.ErrorContains(t, err, "working directory "+file+": it is a file")
}

// TestSetup_NULInArguments: a NUL byte in an argument that the program has put there is refused
// before anything starts.
func TestSetup_NULInArguments(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = append(slices.Clone(args), "one", "t\x00o")
	l := newLab(t, nil, workers("surveyor", 1))
	var bad *multiprolab.ConfigError
	require.ErrorAs(t, l.Start(t.Context()), &bad)
	require.Equal(t, fmt.Sprintf("os.Args[%d]", len(args)+1), bad.Field)
	require.Contains(t, bad.Reason, "NUL byte")
	require.Empty(t, l.all())
}

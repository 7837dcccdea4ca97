package proc_test

import (
	"encoding/json"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

func init() {
	children["limits"] = func() {
		var l proc.Limits
		if err := json.Unmarshal([]byte(os.Getenv("LIMITS")), &l); err != nil {
			panic(err)
		}
		manyThreads(20)
		var r limitsReport
		r.Err = errText(l.Apply())
		r.GOMAXPROCS = runtime.GOMAXPROCS(0)
		r.platform()
		_, w := proc.Wire()
		_ = json.NewEncoder(w).Encode(r)
		if l.CPUTime != 0 {
			spin()
		}
	}
}

// limitsReport is what a worker finds after it has applied its limits.
type limitsReport struct {
	Err        string
	GOMAXPROCS int
	OpenFiles  [2]int64         // soft and hard
	Child      string           // the same of a command that it starts
	Nice       map[string][]int // by thread
	CPUs       map[string][]int // by thread
}

// manyThreads has the process run on many threads, which go on and have others made.
func manyThreads(n int) {
	ready := make(chan bool)
	for range n {
		go func() { // ends with the process
			runtime.LockOSThread()
			ready <- true
			select {}
		}()
		<-ready
	}
}

// spin uses up processor time on two threads.
func spin() {
	go spin1() // ends with the process
	spin1()
}

func spin1() {
	for n := uint64(0); ; n++ {
		if n == 1<<63 {
			return
		}
	}
}

func applyLimits(t *testing.T, l proc.Limits, more proc.Spec) (r limitsReport, p *proc.Process) {
	t.Helper()
	text, err := json.Marshal(l)
	require.NoError(t, err)
	more.Role, more.Inherited = role("limits"), childEnv("LIMITS="+string(text))
	p = start(t, newSpawner(t), &more)
	require.NoError(t, json.Unmarshal([]byte(line(t, p)), &r))
	return r, p
}

func TestLimitsOutOfRange(t *testing.T) {
	for want, l := range map[string]proc.Limits{
		"GOMAXPROCS -1: it cannot be negative":                    {GOMAXPROCS: -1},
		"CPUs [0 -1]: processors are numbered from 0 to 65535":    {CPUs: []int{0, -1}},
		"Nice 20: it goes from -20 to 19":                         {Nice: 20},
		"OOMScoreAdj 1001: it goes from -1000 to 1000":            {OOMScoreAdj: 1001},
		"OOMScoreAdj -1001: it goes from -1000 to 1000":           {OOMScoreAdj: -1001},
		"Nice -21: it goes from -20 to 19":                        {Nice: -21},
		"CPUTime -1s: it cannot be negative":                      {CPUTime: -time.Second},
		"OpenFiles -5: a worker needs at least 16":                {OpenFiles: -5},
		"CPUs [1048576]: processors are numbered from 0 to 65535": {CPUs: []int{1 << 20}},
	} {
		err := l.Apply() // in this process: nothing is applied
		var lack *proc.FieldError
		if errors.As(err, &lack) && lack.Lacks {
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.Equal(t, proc.Lacks(lack.Field), lack.Reason)
			continue
		}
		require.EqualError(t, err, want)
	}
	require.NoError(t, new(proc.Limits).Apply())
}

func TestGOMAXPROCS(t *testing.T) {
	r, _ := applyLimits(t, proc.Limits{GOMAXPROCS: 7}, proc.Spec{})
	require.Empty(t, r.Err)
	require.Equal(t, 7, r.GOMAXPROCS)
}

func TestLacks(t *testing.T) {
	lacking := map[string][]string{
		"linux":   {},
		"darwin":  {"CPUs", "OOMScoreAdj", "PIDNamespace"},
		"windows": {"OOMScoreAdj", "OpenFiles", "Credential", "PIDNamespace"},
		"freebsd": {"CPUs", "OOMScoreAdj", "PIDNamespace"},
	}[runtime.GOOS]
	if lacking == nil {
		t.Skip("no expectation for " + runtime.GOOS)
	}
	for _, field := range []string{"OpenFiles", "CPUTime", "Nice", "CPUs", "OOMScoreAdj", "GOMAXPROCS", "Credential", "PIDNamespace"} {
		reason := proc.Lacks(field)
		if want := contains(lacking, field); want != (reason != "") {
			t.Errorf("%s: %q", field, reason)
		}
	}
	require.NotEmpty(t, proc.Lacks("Typo"))

	s := newSpawner(t)
	for field, spec := range map[string]*proc.Spec{
		"Credential":   {Role: role("exit"), Credential: new(proc.Credential)},
		"PIDNamespace": {Role: role("exit"), PIDNamespace: true},
	} {
		if contains(lacking, field) {
			_, err := s.Start(spec)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, proc.Lacks(field))
		}
	}
}

func contains(list []string, s string) bool {
	for _, one := range list {
		if one == s {
			return true
		}
	}
	return false
}

// The types of this file live in the worker process.

package proc

import (
	"fmt"
	"runtime"
	"time"
)

// Limits is what a worker process does to itself before it runs user code. A field that is zero
// changes nothing. Only the goroutine that calls Apply uses it. Commands that the worker starts
// inherit all limits except GOMAXPROCS.
type Limits struct {
	// OpenFiles is how many descriptors the process may have open, including those that it has
	// already. It becomes the hard limit, too, which cannot be raised again without privileges.
	// Unix only.
	OpenFiles int

	// CPUTime is the processor time that the process may use, counted from its start and over all
	// its threads, in whole seconds, rounded up. On Unix, at the limit, the process prints
	// "SIGXCPU: cpu limit exceeded" and the stacks of all goroutines, and exits with status 2; if
	// it cannot do that, the kernel kills it one second of processor time later. On Windows only
	// time in user mode counts, and the system ends the process with status 1816
	// (ERROR_NOT_ENOUGH_QUOTA). Each command that the process starts has the same limit for itself.
	CPUTime time.Duration

	// Nice is the priority, from -20, which is the most favoured, to 19. It is absolute, and not
	// relative to the priority of the parent. A number below the present one needs privileges. On
	// Windows it chooses a priority class: up to -10 HIGH, up to -1 ABOVE_NORMAL, up to 9
	// BELOW_NORMAL, and IDLE from 10 on.
	Nice int

	// CPUs are the processors that the process may run on, by their numbers from 0. The Go runtime
	// adapts GOMAXPROCS to their number within seconds, unless GOMAXPROCS was set. Linux and
	// Windows only; on Windows only the first 64, in the process's processor group.
	CPUs []int

	// OOMScoreAdj is what the kernel adds to the score of the process when it chooses a process to
	// end because there is no memory left: from -1000 to 1000, see proc_pid_oom_score_adj(5). A
	// number below the one that the process started with needs CAP_SYS_RESOURCE. Linux only.
	OOMScoreAdj int

	// GOMAXPROCS is how many threads may run Go code at the same time, see runtime.GOMAXPROCS.
	GOMAXPROCS int
}

// Apply applies the limits to this process. It stops at the first limit that fails; the error names
// the field and its value. It is to be called on the main goroutine before user code has run. The
// limits hold for threads that exist already, too.
func (l *Limits) Apply() error {
	steps := []struct {
		field string
		value any
		set   bool
		valid bool
		apply func() error
	}{
		{"GOMAXPROCS", l.GOMAXPROCS, l.GOMAXPROCS != 0, l.GOMAXPROCS > 0, l.applyGOMAXPROCS},
		{"CPUs", l.CPUs, len(l.CPUs) != 0, validCPUs(l.CPUs), l.applyCPUs},
		{
			"OOMScoreAdj",
			l.OOMScoreAdj,
			l.OOMScoreAdj != 0,
			-1000 <= l.OOMScoreAdj && l.OOMScoreAdj <= 1000,
			l.applyOOMScoreAdj,
		},
		{"Nice", l.Nice, l.Nice != 0, -20 <= l.Nice && l.Nice <= 19, l.applyNice},
		{"CPUTime", l.CPUTime, l.CPUTime != 0, l.CPUTime > 0, l.applyCPUTime},
		{"OpenFiles", l.OpenFiles, l.OpenFiles != 0, l.OpenFiles > 0, l.applyOpenFiles}, // last: the others open files
	}
	for _, step := range steps {
		if !step.set {
			continue
		}
		if reason := Lacks(step.field); reason != "" {
			return &LackError{Field: step.field, Reason: reason}
		}
		if !step.valid {
			return fmt.Errorf("%s %v: the value is out of range", step.field, step.value)
		}
		if err := step.apply(); err != nil {
			return fmt.Errorf("%s %v: %w", step.field, step.value, err)
		}
	}
	return nil
}

// maxCPU is above the number of every processor; Linux supports 8192 (NR_CPUS).
const maxCPU = 1 << 16

// validCPUs reports whether processors can have these numbers.
func validCPUs(cpus []int) bool {
	for _, cpu := range cpus {
		if cpu < 0 || cpu >= maxCPU {
			return false
		}
	}
	return true
}

// applyGOMAXPROCS sets how many threads may run Go code at the same time.
func (l *Limits) applyGOMAXPROCS() error {
	runtime.GOMAXPROCS(l.GOMAXPROCS)
	return nil
}

// seconds returns the CPUTime in whole seconds, rounded up.
func (l *Limits) seconds() int64 { return int64((l.CPUTime-1)/time.Second) + 1 }

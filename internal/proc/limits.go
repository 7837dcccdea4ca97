// The types of this file live in the worker process. Who starts it checks Limits, too.

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

// limit is one of the Limits.
type limit struct {
	field string       // its name
	value any          // its value
	set   bool         // it changes something
	valid bool         // it is in its range
	rng   string       // what the range is
	apply func() error // applies it to this process
}

// all returns the limits in the order in which they are applied.
func (l *Limits) all() []limit {
	const positive = "it cannot be negative"
	return []limit{
		{"GOMAXPROCS", l.GOMAXPROCS, l.GOMAXPROCS != 0, l.GOMAXPROCS > 0, positive, l.applyGOMAXPROCS},
		{
			"CPUs", l.CPUs, len(l.CPUs) != 0, validCPUs(l.CPUs),
			fmt.Sprintf("processors are numbered from 0 to %d", maxCPU-1), l.applyCPUs,
		},
		{
			"OOMScoreAdj", l.OOMScoreAdj, l.OOMScoreAdj != 0, -1000 <= l.OOMScoreAdj && l.OOMScoreAdj <= 1000,
			"it goes from -1000 to 1000", l.applyOOMScoreAdj,
		},
		{"Nice", l.Nice, l.Nice != 0, -20 <= l.Nice && l.Nice <= 19, "it goes from -20 to 19", l.applyNice},
		{"CPUTime", l.CPUTime, l.CPUTime != 0, l.CPUTime > 0, positive, l.applyCPUTime},
		{ // last: the others open files
			"OpenFiles", l.OpenFiles, l.OpenFiles != 0, l.OpenFiles >= leastOpenFiles,
			fmt.Sprintf("a worker needs at least %d", leastOpenFiles), l.applyOpenFiles,
		},
	}
}

// leastOpenFiles is the least OpenFiles: a worker needs the standard files, the wire, and what the
// Go runtime opens.
const leastOpenFiles = 16

// check returns a *FieldError for a limit that the platform lacks, or that is out of its range.
func (l *limit) check() error {
	if err := lacking(l.field, l.value, l.set); err != nil || !l.set || l.valid {
		return err
	}
	return &FieldError{Field: l.field, Value: l.value, Reason: l.rng}
}

// Check returns a *FieldError for the first limit that the platform lacks, or that is out of its
// range; or nil.
func (l *Limits) Check() error {
	for _, one := range l.all() {
		if err := one.check(); err != nil {
			return err
		}
	}
	return nil
}

// Apply applies the limits to this process. It stops at the first limit that fails; the error names
// the field and its value. It is to be called on the main goroutine before user code has run. The
// limits hold for threads that exist already, too.
func (l *Limits) Apply() error {
	for _, one := range l.all() {
		if err := one.check(); err != nil {
			return err
		}
		if !one.set {
			continue
		}
		if err := one.apply(); err != nil {
			return fmt.Errorf("%s %v: %w", one.field, one.value, err)
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

package multiprolab

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sockets"
)

// leastMemoryLimit is the least WorkerConfig.Limits.Memory, in bytes.
const leastMemoryLimit = 64 << 20

// filled returns a copy with the defaults filled in. The error names the first field whose value
// cannot be.
func (c *WorkerConfig) filled() (WorkerConfig, error) {
	var f WorkerConfig
	if c != nil {
		f = *c
	}
	f.Queues, f.Needs = slices.Clone(f.Queues), slices.Clone(f.Needs)
	p := &f.Process
	p.Env, p.DropEnv, p.CPUs = slices.Clone(p.Env), slices.Clone(p.DropEnv), slices.Clone(p.CPUs)
	f.Listeners, f.Shared, f.Files = slices.Clone(f.Listeners), slices.Clone(f.Shared), maps.Clone(f.Files)
	if len(f.Queues) == 0 {
		f.Queues = []string{DefaultQueue}
	}
	f.Prefetch = max(0, cmp.Or(f.Prefetch, 64))
	err := cmp.Or(notNegative("WorkerConfig.Count", f.Count),
		notNegative("WorkerConfig.Spare", f.Spare),
		notNegative("WorkerConfig.RestartLimit.Window", f.RestartLimit.Window),
		notNegative("WorkerConfig.RestartDelay", f.RestartDelay),
		notNegative("WorkerConfig.RestartMaxDelay", f.RestartMaxDelay),
		notNegative("WorkerConfig.RestartReset", f.RestartReset),
		notNegative("WorkerConfig.HandlerTimeout", f.HandlerTimeout),
		notNegative("WorkerConfig.Redeliver", f.Redeliver),
		notNegative("WorkerConfig.MaxTasks", f.MaxTasks), notNegative("WorkerConfig.MaxAge", f.MaxAge),
		notNegative("WorkerConfig.MaxRSS", f.MaxRSS), notNegative("WorkerConfig.Limits.Memory", f.Limits.Memory),
		notNegative("WorkerConfig.Limits.GoMemory", f.Limits.GoMemory),
		notNegative("WorkerConfig.Process.GOMAXPROCS", f.Process.GOMAXPROCS),
		notNegative("WorkerConfig.Limits.OpenFiles", f.Limits.OpenFiles),
		notNegative("WorkerConfig.Limits.CPUTime", f.Limits.CPUTime), f.checkValues(),
		checkNames("Listeners", f.Listeners, sockets.CheckName, "a worker gets a listener once"),
		checkNames("Shared", f.Shared, checkSharedName, "a name is enough once"), f.checkProcess())
	f.Count = cmp.Or(f.Count, 1)
	f.RestartLimit.Restarts = cmp.Or(f.RestartLimit.Restarts, 10)
	f.RestartLimit.Window = cmp.Or(f.RestartLimit.Window, time.Minute)
	f.RestartDelay = cmp.Or(f.RestartDelay, 100*time.Millisecond)
	f.RestartFactor = cmp.Or(f.RestartFactor, 2)
	f.RestartMaxDelay = cmp.Or(f.RestartMaxDelay, 5*time.Second)
	f.RestartJitter = max(0, cmp.Or(f.RestartJitter, 0.2))
	f.RestartReset = cmp.Or(f.RestartReset, f.RestartLimit.Window)
	f.HeartbeatTimeout = cmp.Or(f.HeartbeatTimeout, 30*time.Second)
	return f, err
}

// checkValues checks the fields that do not depend on the platform. The error is of the interface
// type, so that cmp.Or can compare it with nil.
func (c *WorkerConfig) checkValues() error {
	switch {
	case c.Limits.Memory > 0 && c.Limits.Memory < leastMemoryLimit:
		return &ConfigError{
			"WorkerConfig.Limits.Memory",
			c.Limits.Memory,
			fmt.Sprintf("a Go program does not start with so little: give at least %d bytes", leastMemoryLimit),
		}
	case c.Restart < RestartOnFailure || c.Restart > RestartAlways:
		return &ConfigError{
			"WorkerConfig.Restart",
			int(c.Restart),
			"use RestartOnFailure, RestartNever or RestartAlways",
		}
	case c.RestartLimit.Then < EndProgram || c.RestartLimit.Then > StopWorker:
		return &ConfigError{"WorkerConfig.RestartLimit.Then", int(c.RestartLimit.Then), "use EndProgram or StopWorker"}
	case c.RestartFactor != 0 && !(c.RestartFactor >= 1): // also if it is a NaN
		return &ConfigError{
			"WorkerConfig.RestartFactor",
			c.RestartFactor,
			"pauses cannot shrink: leave it zero for 2, or give 1 or more",
		}
	case !(c.RestartJitter <= 1):
		return &ConfigError{
			"WorkerConfig.RestartJitter",
			c.RestartJitter,
			"it is a part of the pause: give a number from 0 to 1, or a negative one for no jitter",
		}
	}
	for i, q := range c.Queues {
		if bad := checkQueueName(q); bad != nil {
			return &ConfigError{fmt.Sprintf("WorkerConfig.Queues[%d]", i), q, bad.Error()}
		}
	}
	return nil
}

// checkProcess checks the fields that are for the worker's process, and whether the platform has
// them.
func (c *WorkerConfig) checkProcess() error {
	if c.Process.CPUs != nil && len(c.Process.CPUs) == 0 {
		return &ConfigError{
			"WorkerConfig.Process.CPUs",
			c.Process.CPUs,
			"a worker needs one processor at least: leave it nil for those of main",
		}
	}
	limits := c.limits(0)
	var bad *proc.FieldError
	if !errors.As(cmp.Or(c.spec().Check(), limits.Check()), &bad) {
		return nil
	}
	group, reason := "Process", bad.Reason
	if bad.Field == "OpenFiles" || bad.Field == "CPUTime" {
		group = "Limits"
	}
	if bad.Lacks {
		reason += ": leave it out on this platform"
	}
	return &ConfigError{"WorkerConfig." + group + "." + bad.Field, bad.Value, reason}
}

// checkNames returns an error for a name in a list that check refuses, or that is there twice.
func checkNames(field string, names []string, check func(name string) error, twice string) error {
	for i, name := range names {
		err := check(name)
		if err == nil && slices.Contains(names[:i], name) {
			err = errors.New("it is named twice: " + twice)
		}
		if err != nil {
			return &ConfigError{fmt.Sprintf("WorkerConfig.%s[%d]", field, i), cmp.Or(name, `""`), err.Error()}
		}
	}
	return nil
}

// checkSharedName returns what is wrong with the name of shared data, or nil.
func checkSharedName(name string) error { return checkName("name of the shared data", name) }

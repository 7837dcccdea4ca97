package multiprolab

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// Restart says when a worker is replaced.
type Restart int

const (
	// RestartOnFailure is the default: a worker that died, or ended with an error, is replaced.
	RestartOnFailure Restart = iota
	// RestartNever leaves the place of a worker empty.
	RestartNever
	// RestartAlways also replaces a worker that ended by itself without an error: whose event loop
	// returned nil.
	RestartAlways
)

// WorkerConfig configures the workers that one RegisterWorker registers. Its zero value, and nil,
// are good defaults.
type WorkerConfig struct {
	// Count is the number of identical workers. Defaults to 1.
	Count int
	// Spare is the number of further processes that stand by: they have run the setup function, and
	// wait for the place of a worker that was killed, failed or is replaced. Such a place is taken
	// within a fraction of a millisecond, however long the setup function takes, and the next spare
	// is started. If main kills the worker, for a task or because it hangs, the spare works on the
	// next tasks before the kernel has ended that one; and if the worker is replaced, it does so as
	// soon as that one has ended its last task, however long its OnExit functions take. The
	// messages that wait follow when nothing is left of the old one. So what the spare sends
	// meanwhile may come before the last that the old one has sent, whose name it has. Without a
	// spare, nobody works in the place until the next process has set itself up. Once the program
	// has started, a process of these workers gets its name, as an instance, only with its place:
	// in the setup function Worker.Name and Worker.Index are those of a spare, "name/spare.0" and
	// -1. A spare gets no messages and no tasks, and its actions wait as well; After(0, ...) runs
	// when it gets its place. A worker that has reached MaxAge, or that Main.Restart replaces,
	// works on until a spare stands by; Restart has fresh ones started first. A spare that does not
	// start is not the end of the program as long as no place is empty. Defaults to 0.
	Spare int
	// Needs are the names of the workers that must all be ready before one of these workers is
	// started, be it for the first time or again. In the end these workers are told to exit first;
	// the workers that they need are told after these have ended. Defaults to none.
	Needs []string

	// Queues are the names of the queues that these workers take tasks from. Defaults to
	// DefaultQueue alone.
	Queues []string
	// Prefetch is the greatest number of tasks that are handed to a busy worker ahead of time, to
	// save it the wait for the next task. As many are handed to it as it will have done within a
	// few milliseconds, so none while tasks are long; they are taken back when another worker has
	// nothing to do. Defaults to 64. A negative value means none: a worker is handed a task only
	// when it has none.
	Prefetch int

	// MaxTasks, MaxAge and MaxRSS make a worker be replaced by a fresh one, between two tasks, once
	// it has worked on that many tasks, has been ready for that long, or holds that many bytes of
	// memory after a task. Other workers go on meanwhile; it costs no task an attempt, and does not
	// count as a restart. Zero means never. MaxRSS is the resident set on Linux and Windows,
	// elsewhere what the Go runtime holds.
	MaxTasks int
	MaxAge   time.Duration
	MaxRSS   int64

	// Redeliver has messages survive their receiver: what a worker has not handled when it dies
	// goes to its replacement, before everything else and in the same order, if there is one. What
	// a handler may have begun with has Message.Redelivered set then: it may come twice. Redeliver
	// is how often a message is handed on that a worker has died in the middle of, so that one
	// which kills each worker becomes a DeadLetter in the end. Main keeps at most Config.Window
	// bytes for each worker, or 17 times that if the worker often waits for others. Calls are not
	// handed on, and fail. Defaults to 0: what a worker has not handled is lost with it.
	Redeliver int

	// Restart says when a worker is replaced. Defaults to RestartOnFailure.
	Restart Restart
	// RestartLimit says how often a worker is replaced, and what comes then. Its zero value is 10
	// times within a minute, and the end of the program.
	RestartLimit RestartLimit
	// RestartDelay is the pause before the second restart in a row. The first comes at once. A
	// worker that is replaced sooner than that, and before it has done anything, counts for the
	// pauses as well: by Recycle in its setup function, say, or because it begins above MaxRSS.
	// Defaults to 100 milliseconds.
	RestartDelay time.Duration
	// RestartFactor is by what the pause grows with each further restart. Defaults to 2; less than
	// 1 is an error.
	RestartFactor float64
	// RestartMaxDelay is the longest pause. Defaults to 5 seconds.
	RestartMaxDelay time.Duration
	// RestartJitter is the part of each pause that is random, from 0 to 1, so that workers that
	// failed together do not come back together. Defaults to 0.2; a negative value means none.
	RestartJitter float64
	// RestartReset is the time after which a worker that was ready has proved itself: the pauses
	// begin anew. Defaults to RestartLimit.Window.
	RestartReset time.Duration

	// HeartbeatTimeout is the time in which a worker's process must give a sign of life, which it
	// can do also while a handler runs. A process that gives none, because it is stopped or starved
	// or blocked in the kernel, is killed and replaced, with a *HangError. It is asked three times
	// in this time. Workers that are goroutines (Config.InProcess) are not asked. Defaults to 30
	// seconds; a negative value means never, for a debugger.
	HeartbeatTimeout time.Duration
	// HandlerTimeout limits each run of a handler of messages or calls, and of an action, in the
	// worker. At its end the context of the function ends; if it has not returned a second later,
	// the worker is killed and replaced, with a *HangError. Tasks have TaskOptions.Timeout instead.
	// Defaults to no limit.
	HandlerTimeout time.Duration

	// Listeners are the names of listeners and packet connections that main opens with Listen of
	// package sockets, and that the worker inherits and takes with Listener and PacketConn of that
	// package. Defaults to none: a worker holds no descriptor that it has not asked for.
	Listeners []string
	// Files are open files that the worker inherits, and takes by their names with [Worker.File].
	// The files stay the caller's, and must stay open in main as long as workers are started; main
	// and all workers share the position in a file, and its modes (dup(2)). Main alone looks at the
	// files. Defaults to none.
	Files map[string]*os.File
	// Shared are the names of data of [Main.Publish] that the worker may map, with [Worker.Shared].
	// MaxRSS does not count what is mapped. Defaults to none.
	Shared []string

	// Process is what the worker's process is set up with before the setup function runs: its
	// environment, directory, user, priority and processors. Defaults to what main has.
	Process ProcessConfig
	// Limits is how much of the machine the worker's process may take. Defaults to no limits but
	// those of main.
	Limits Limits
}

// spec returns how the worker's process is to be started, as far as the configuration says it.
func (c *WorkerConfig) spec() *proc.Spec {
	spec := &proc.Spec{
		DropEnv:      c.Process.DropEnv,
		GoMemory:     cmp.Or(c.Limits.GoMemory, c.Limits.Memory/10*9),
		Env:          c.Process.Env,
		Dir:          c.Process.Dir,
		PIDNamespace: c.Process.PIDNamespace,
	}
	if u := c.Process.Credential; u != nil {
		spec.Credential = &proc.Credential{UID: u.UID, GID: u.GID, Groups: u.Groups}
	}
	return spec
}

// limits returns the limits that the worker sets for its process. procs is GOMAXPROCS in main, or 0
// if the environment says it.
func (c *WorkerConfig) limits(procs int) proc.Limits {
	l := proc.Limits{
		OpenFiles: c.Limits.OpenFiles, CPUTime: c.Limits.CPUTime, Nice: c.Process.Nice, CPUs: c.Process.CPUs,
		GOMAXPROCS: c.Process.GOMAXPROCS, OOMScoreAdj: c.Process.OOMScoreAdj,
	}
	given := slices.ContainsFunc(c.Process.Env, func(e string) bool { return strings.HasPrefix(e, "GOMAXPROCS=") })
	if l.GOMAXPROCS == 0 && procs > 2 && !given {
		l.GOMAXPROCS = max(2, (procs+c.Count-1)/c.Count)
	}
	return l
}

// checkArgs checks the arguments that every worker is given: the program may have changed os.Args.
func checkArgs() error {
	if i := slices.IndexFunc(os.Args, proc.HasNUL); i >= 0 {
		return &ConfigError{fmt.Sprintf("os.Args[%d]", i), strconv.Quote(os.Args[i]), proc.NoNUL}
	}
	return nil
}

// tooBig says which field makes the environment and the arguments of a worker larger than the
// system takes.
func (c *WorkerConfig) tooBig() string {
	own, env := c.Process.Env, c.spec().Environ()
	name := func(variable string) string {
		n, _, _ := strings.Cut(variable, "=")
		return n
	}
	if i := proc.TooLong(own); i >= 0 {
		return fmt.Sprintf("WorkerConfig.Process.Env[%d] (%s) has %d bytes, and one variable may have %d", i,
			name(own[i]), len(own[i]), proc.MostOneString)
	}
	if i := proc.TooLong(env); i >= 0 {
		return fmt.Sprintf("the variable %s, which it inherits, has %d bytes, and one may have %d: name it in "+
			"WorkerConfig.Process.DropEnv", name(env[i]), len(env[i]), proc.MostOneString)
	}
	if i := proc.TooLong(os.Args); i >= 0 {
		return fmt.Sprintf("os.Args[%d] has %d bytes, and one argument may have %d", i, len(os.Args[i]),
			proc.MostOneString)
	}
	return fmt.Sprintf(
		"its environment has %d bytes, of which WorkerConfig.Process.Env has %d, and os.Args %d: that is more "+
			"than the system takes together "+
			"(on Linux a quarter of the limit of the stack, ulimit -s, and at most 6 MiB): give less in "+
			"WorkerConfig.Process.Env, or name what it inherits in WorkerConfig.Process.DropEnv",
		proc.SizeOf(env), proc.SizeOf(own), proc.SizeOf(os.Args),
	)
}

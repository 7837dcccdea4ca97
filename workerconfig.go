package multiprolab

import (
	"time"
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

// LimitAction says what happens when a worker is not replaced any more because it failed too often,
// or for good.
type LimitAction int

const (
	// EndProgram is the default: Run ends the program and returns the error.
	EndProgram LimitAction = iota
	// StopWorker leaves the place of this one worker empty, at the start of the program as well;
	// the other workers go on. What is sent to it fails, and tasks that only it would take end with
	// a *NoWorkerError.
	StopWorker
)

// Credential is the user that a worker runs as.
type Credential struct {
	UID, GID uint32
	Groups   []uint32 // the supplementary groups
}

// WorkerConfig configures the workers that one RegisterWorker registers. Its zero value, and nil,
// are good defaults.
type WorkerConfig struct {
	// Count is the number of identical workers. Defaults to 1.
	Count int
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

	// Restart says when a worker is replaced. Defaults to RestartOnFailure.
	Restart Restart
	// RestartLimit is how often one worker is replaced within RestartWindow; OnRestartLimit says
	// what one failure more does. A death in the middle of a task does not count, whatever has
	// caused it: the task has its own outcome. Defaults to 10. A negative value means no limit: the
	// worker is replaced for ever, unless another start would fail in the same way.
	RestartLimit int
	// RestartWindow is the time in which restarts are counted. A restart that never became ready
	// counts however long ago it was. Defaults to 1 minute.
	RestartWindow time.Duration
	// OnRestartLimit says what happens beyond RestartLimit, and at once when another start would
	// fail in the same way: after an error marked with NoRetry, or when the program's file is
	// missing or may not be executed. Defaults to EndProgram.
	OnRestartLimit LimitAction
	// RestartDelay is the pause before the second restart in a row. The first comes at once.
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
	// begin anew. Defaults to RestartWindow.
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

	// Env and the fields behind it are set up for the worker's process before the setup function
	// runs; with Config.InProcess they have no effect. If the platform lacks one of them that is
	// set, Run and Start return a *ConfigError.

	// Env is added to the worker's environment, as "NAME=value"; if a name comes twice, the later
	// value wins. Defaults to nothing.
	Env []string
	// DropEnv are names of environment variables that the worker does not inherit, such as secrets;
	// "AWS_*" means all names that begin so, "*" all names. Env is added afterwards. Defaults to
	// none.
	DropEnv []string
	// Dir is the worker's working directory. Defaults to that of main.
	Dir string
	// Credential is the user that the worker runs as; it must be able to execute the program's
	// file. Not on Windows. Defaults to that of main.
	Credential *Credential
	// PIDNamespace makes the worker the first process of a PID namespace of its own. When it ends,
	// in whatever way, the kernel ends all processes that it has ever started: also those that
	// called setsid, and also if main and the worker are killed in the same instant. The worker
	// sees itself as pid 1. Linux only; it takes CAP_SYS_ADMIN, or a system that allows
	// unprivileged user namespaces. Defaults to false: of the processes that a worker leaves
	// behind, only those in its process group are ended.
	PIDNamespace bool
	// Nice is the scheduling priority: from -20, the most, to 19, the least; 0 leaves the priority
	// of main. A negative number takes a privilege. On Windows it is the nearest priority class.
	Nice int
	// CPUs are the numbers of the processors that the worker may run on, from 0. Linux, FreeBSD and
	// Windows. Defaults to those of main.
	CPUs []int
	// GOMAXPROCS is the number of threads that run Go code at one time. Unless GOMAXPROCS is in the
	// environment, it defaults to the number of main divided by Count, but at least 2: so a pool
	// does not start a thread for each processor in each of its workers.
	GOMAXPROCS int
	// GoMemoryLimit is the limit of memory in bytes that the Go runtime of the worker tries to stay
	// below by collecting harder (GOMEMLIMIT). Defaults to nine tenths of MemoryLimit or, if that
	// is not set, to no limit. GOMEMLIMIT in Env goes before it.
	GoMemoryLimit int64
	// MemoryLimit is the memory that a worker may take, in bytes. A worker that needs more is
	// ended, in the middle of its task, with a *MemoryLimitError. On Linux it is RLIMIT_DATA, which
	// counts private memory that can be written, see setrlimit(2); on Windows it is a limit of the
	// job; on other systems the worker watches itself. Defaults to no limit; less than 64 MiB is an
	// error, because a Go program takes some 40 MiB before it does anything.
	MemoryLimit int64
	// OOMScoreAdj says how soon the kernel ends the worker when the machine, or the control group
	// of the program, has no memory left: from -1000, never, to 1000, before all other processes;
	// see proc_pid_oom_score_adj(5). Processes that the worker starts inherit it. Linux only. A
	// number below that of main takes CAP_SYS_RESOURCE. Defaults to the number of main plus 500
	// (1000 at most), so that the kernel ends a worker rather than main, unless main holds more by
	// half of the memory; 1 is next to nothing. A worker that was ended in this way is reported
	// with a *MemoryLimitError, if the kernel tells.
	OOMScoreAdj int
	// OpenFiles is the number of files that the worker may have open. Not on Windows. Defaults to
	// that of main.
	OpenFiles int
	// CPUTime is the processor time that the worker's process may use in its life, in whole seconds
	// (rounded up). One that uses more dies of it. Defaults to no limit.
	CPUTime time.Duration
}

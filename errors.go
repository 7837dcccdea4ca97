package multiprolab

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/multiprolab/multiprolab/internal/errpack"
	"github.com/multiprolab/multiprolab/internal/life"
)

// This file is the sentinel errors, and the errors about workers and their configuration. The
// errors of bodies, of tasks and of the end are in bodyerrors.go, taskerrors.go and enderrors.go.

// The sentinel errors. Each is wrapped in an error that says more; test with errors.Is.
var (
	// ErrStopped reports that the program is ending, or has ended, so that nothing new is taken and
	// what was queued is not worked on any more.
	ErrStopped = errors.New("multiprolab: stopped")
	// ErrExit is the cause of the contexts of actions and event loops that end because exit was
	// requested.
	ErrExit = errors.New("multiprolab: exit was requested")
	// ErrQueueFull reports that the task queue holds Config.QueueLimit tasks, or Config.QueueBytes
	// of them. Submit again later, or with Submit, which waits.
	ErrQueueFull = errors.New("multiprolab: the task queue is full")
	// ErrNoTask reports that TaskQueue.TryGet found no task.
	ErrNoTask = errors.New("multiprolab: no task is waiting")
	// ErrBacklog reports a message that was refused because its receiver, which itself waits for
	// another process, holds as many messages as it may.
	ErrBacklog = errors.New("multiprolab: the receiver waits for another process and its inbox is full")
	// ErrCallCycle reports a wait that would never have ended: a handler, a task, an action or a
	// setup function that waits for a process, or for a task that only certain processes take,
	// which wait for others, and so on round to the first. The wait that closes the circle is
	// refused, whatever it is for: a call, a task, all tasks, room in the queue, or the replacement
	// of a worker. With Config.Backend no wait for a task is refused, because other programs may
	// work on it: there a pool whose workers all wait for tasks of their own pool waits for ever.
	ErrCallCycle = errors.New("multiprolab: the call would wait for itself")
	// ErrCancelled reports a task that its submitter cancelled.
	ErrCancelled = errors.New("multiprolab: the task was cancelled")
	// ErrNotWorker reports a method that only makes sense while the worker's process is connected
	// to its main process.
	ErrNotWorker = errors.New("multiprolab: this worker is not connected to a main process")
)

// ConfigError reports a configuration that cannot work. Start and Run return it before they start
// anything.
type ConfigError struct {
	Field  string // such as "Config.ShutdownTimeout"
	Value  any
	Reason string // what is wrong and how to mend it
}

func (e *ConfigError) Error() string {
	return fmt.Sprintf("multiprolab: %s is %v: %s", e.Field, e.Value, e.Reason)
}

// WorkerDiedError reports that a worker's process ended without saying goodbye: it crashed, exited,
// was killed from outside, or was killed by the main process for the reason in Reason.
type WorkerDiedError struct {
	Worker   string // name of the instance, such as "thumbnailer/2"
	PID      int
	Life     int    // 1 for the first process of the instance
	ExitCode int    // -1 if a signal ended it, or if nobody knows how it ended: Reason then says why
	Signal   string // such as "SIGKILL"; empty if it exited
	CoreDump bool   // it left a core dump
	Reason   string // why main killed it, or what is known beyond the exit status; may be empty
	// Stopped is the signal, such as "SIGTTOU", or something else that had stopped its process when
	// main killed it. It is empty if the process ran, and if the system does not tell.
	Stopped string
	During  string        // what it was doing, as far as main knows, such as `task "thumbnail"`; may be empty
	Uptime  time.Duration // from its start to its end
	// Stderr is the end of what it wrote to stderr, from the panic on if there was one. The error's
	// text has one line of it.
	Stderr string
}

func (e *WorkerDiedError) Error() string {
	if e == nil {
		return "multiprolab: a worker has died"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "multiprolab: worker %s (pid %d): ", e.Worker, e.PID)
	switch {
	case e.Signal != "":
		fmt.Fprintf(&b, "killed by %s", e.Signal)
	case e.ExitCode == -1:
		b.WriteString("ended")
	default:
		fmt.Fprintf(&b, "exited with status %d", e.ExitCode)
	}
	if e.CoreDump {
		b.WriteString(" (core dumped)")
	}
	if e.During != "" {
		fmt.Fprintf(&b, " while running %s", e.During)
	}
	if e.Reason != "" {
		fmt.Fprintf(&b, ": %s", e.Reason)
	}
	if s := life.Headline(e.Stderr, goexitMark, e.ExitCode); s != "" {
		b.WriteString(": " + strings.TrimPrefix(s, "multiprolab: "))
	}
	return b.String()
}

// MemoryLimitError reports that a worker died for lack of memory: because it needed more than
// WorkerConfig.Limits.Memory or, if Kernel is set, because the kernel ended it when its control
// group, or the machine, had none left.
type MemoryLimitError struct {
	// Limit is WorkerConfig.Limits.Memory or, if Kernel is set, the limit of the control group, in
	// bytes. It is 0 if there is no limit, or if it is not known.
	Limit int64
	// Kernel says that the kernel's out-of-memory killer ended the worker, as the kernel's count of
	// such processes shows. Linux only.
	Kernel bool
	// Group is, if Kernel is set, the path of the worker's control group; it is empty if the kernel
	// counts only for the whole machine.
	Group string
	Died  *WorkerDiedError // how the worker died
}

func (e *MemoryLimitError) Error() string {
	died := strings.TrimPrefix(e.Died.Error(), "multiprolab: ")
	switch {
	case !e.Kernel:
		return fmt.Sprintf("multiprolab: memory limit of %d bytes (WorkerConfig.Limits.Memory) reached: %s",
			e.Limit, died)
	case e.Group == "":
		return "multiprolab: the kernel's out-of-memory killer took a worker, for the machine has no memory left: " +
			died
	case e.Limit == 0:
		return fmt.Sprintf(
			"multiprolab: the kernel's out-of-memory killer took a worker, for there is no memory left for its "+
				"control group %s: %s",
			e.Group,
			died,
		)
	}
	return fmt.Sprintf(
		"multiprolab: the kernel's out-of-memory killer took a worker, for its control group %s has reached its "+
			"limit of %d bytes: %s",
		e.Group,
		e.Limit,
		died,
	)
}

// Unwrap returns how the worker died, or nil if that is not known.
func (e *MemoryLimitError) Unwrap() error { return e.Died.orNil() }

// orNil returns the error, or the nil interface if e is nil, as errors.Is and errors.As need it.
func (e *WorkerDiedError) orNil() error {
	if e == nil {
		return nil
	}
	return e
}

// StartError reports a worker that did not become ready: its process could not be started, ended or
// fell silent before it reached Run, or its setup function returned an error.
type StartError struct {
	Worker string // name of the instance
	PID    int    // 0 if there was no process
	Reason string // what happened, the likely cause, and how to mend it
	Err    error  // the error behind it: of the start, *WorkerDiedError, or *RemoteError from the setup function

	permanent bool // another start would fail in the same way; does not change
}

func (e *StartError) Error() string {
	s := "multiprolab: worker " + e.Worker
	if e.PID != 0 {
		s += fmt.Sprintf(" (pid %d)", e.PID)
	}
	s += " did not start: " + e.Reason
	if e.Err != nil {
		s += ": " + strings.TrimPrefix(e.Err.Error(), "multiprolab: ")
	}
	return s
}

// Unwrap returns the error behind the failed start.
func (e *StartError) Unwrap() error { return e.Err }

// RestartLimitError reports a worker that is not replaced any more: it failed more often than
// WorkerConfig.RestartLimit allows, or in a way that another start would not mend. It ends Run,
// unless RestartLimit.Then is StopWorker.
type RestartLimitError struct {
	Worker    string
	Restarts  int // within the window, before the failure that is one too many
	Window    time.Duration
	Permanent bool    // the number does not matter: another start would have failed in the same way
	Err       error   // the last cause, such as a *WorkerDiedError
	Causes    []error // the causes within the window, at most the last ten, the oldest first
}

func (e *RestartLimitError) Error() string {
	if e.Permanent {
		return fmt.Sprintf("multiprolab: worker %s is not started again, for it would fail alike: %s", e.Worker,
			brief(e.Err))
	}
	return fmt.Sprintf("multiprolab: worker %s failed again after %d restarts within %v; the last cause: %s",
		e.Worker, e.Restarts, e.Window, brief(e.Err))
}

// Unwrap returns the causes, the last one first.
func (e *RestartLimitError) Unwrap() []error {
	causes := slices.Clone(e.Causes)
	slices.Reverse(causes)
	return causes
}

// HangError reports a worker that was killed because it hung: its process gave no sign of life, or
// a handler or an action in it did not return. Died.Stopped says whether the process was stopped,
// so that its code is not to blame.
type HangError struct {
	Running string        // what it was doing when last heard of, such as `call "resize"` or "action"; empty if nothing
	For     time.Duration // how long at least
	Limit   time.Duration // WorkerConfig.HeartbeatTimeout if it was silent, else WorkerConfig.HandlerTimeout
	Silent  bool          // the process gave no sign of life
	Died    *WorkerDiedError
}

func (e *HangError) Error() string { return e.Died.Error() }

// Unwrap returns how the worker died. Its Stderr holds the stacks of its goroutines, if it could
// still give them.
func (e *HangError) Unwrap() error { return e.Died.orNil() }

// ShutdownError is what Run returns when workers did not end by themselves within the time they
// had.
type ShutdownError struct {
	Killed []KilledWorker
}

// KilledWorker is a worker that had to be killed at the end of the program.
type KilledWorker struct {
	Worker string
	PID    int
	Reason string
}

func (e *ShutdownError) Error() string {
	var parts []string
	for _, k := range e.Killed {
		parts = append(parts, fmt.Sprintf("%s (pid %d): %s", k.Worker, k.PID, k.Reason))
	}
	return "multiprolab: workers had to be killed: " + strings.Join(parts, "; ")
}

// RemoteError is an error that user code in another process returned: a handler, a task, or a setup
// function.
//
// With errors.Is it matches what the original matched of the sentinels of the packages context,
// errors, io, io/fs, os, os/exec and strconv, of net.ErrClosed and of every syscall.Errno. With
// errors.As it matches what the original matched of *fs.PathError, *os.LinkError, *os.SyscallError,
// *exec.Error, *strconv.NumError, *url.Error, *net.OpError, *net.DNSError, *net.AddrError and
// *net.ParseError, with their fields. Their causes are kept if they are of these kinds, too, and
// otherwise become texts. The addresses in a *net.OpError are of another type, with the same
// Network and String; and the cause in the field Err of a *url.Error is found with errors.As, not
// with a type assertion. Errors of other kinds are matched if they are registered with
// Main.RegisterError.
type RemoteError struct {
	Worker string        // the process that it comes from
	PID    int           // the pid of this process
	Type   string        // message or task type; empty for a setup function
	Text   string        // the error's own text
	GoType string        // the error's Go type, such as "*fs.PathError"
	kept   errpack.Kept  // what the original was besides its text
	final  bool          // the original was made by NoRetry; does not change
	after  time.Duration // the time that the original has from RetryAfter, or 0; does not change
}

func (e *RemoteError) Error() string {
	if e.Type == "" {
		return fmt.Sprintf("multiprolab: %s: %s", e.Worker, e.Text)
	}
	return fmt.Sprintf("multiprolab: %s: %q: %s", e.Worker, e.Type, e.Text)
}

// Unwrap returns the errors of the standard library, and those registered with Main.RegisterError,
// that the original error was or wrapped.
func (e *RemoteError) Unwrap() []error { return e.kept.Errors() }

// sentinelError is one of the sentinels with a text that says more: another process has given it,
// or a place that knows more. It never changes.
type sentinelError struct {
	text string // the whole text of the error
	is   error  // the sentinel
}

func (e *sentinelError) Error() string { return e.text }

func (e *sentinelError) Unwrap() error { return e.is }

// during returns a copy of how a worker died that says what it was doing; any other error as it is.
func during(how error, what string) error {
	switch how := how.(type) {
	case *WorkerDiedError:
		d := *how
		d.During = what
		return &d
	case *MemoryLimitError:
		m := *how
		m.Died = during(m.Died, what).(*WorkerDiedError)
		return &m
	case *HangError:
		h := *how
		h.Died = during(h.Died, what).(*WorkerDiedError)
		return &h
	}
	return how
}

// brief returns the text of an error for use inside another text.
func brief(err error) string {
	if err == nil {
		return "no error"
	}
	return strings.ReplaceAll(err.Error(), "multiprolab: ", "")
}

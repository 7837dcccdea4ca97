package multiprolab

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/multiprolab/multiprolab/internal/wire"
)

// MaxMessageSize is the greatest value of Config.MaxMessageSize, in bytes: what the wire can carry in one message.
const MaxMessageSize = wire.MaxBody

// leastMemoryLimit is the least WorkerConfig.MemoryLimit, in bytes.
const leastMemoryLimit = 64 << 20

// ShutdownMode says what becomes of tasks and messages that are still queued when exit is requested. What is running is
// finished in every mode but Kill, within the times of the Config.
type ShutdownMode int

const (
	// FinishRunning is the default: running handlers and tasks are finished, queued tasks end with ErrStopped, queued
	// messages become dead letters.
	FinishRunning ShutdownMode = iota
	// DrainQueue finishes everything that was accepted before: all queued tasks, all queued messages.
	DrainQueue
	// KillAll ends the workers at once, in the middle of their work.
	KillAll
)

// String returns the name of the mode.
func (m ShutdownMode) String() string {
	switch m {
	case FinishRunning:
		return "FinishRunning"
	case DrainQueue:
		return "DrainQueue"
	case KillAll:
		return "KillAll"
	}
	return fmt.Sprintf("ShutdownMode(%d)", int(m))
}

// Config configures a Main. Its zero value, and nil, are good defaults. New copies it; a later change has no effect.
type Config struct {
	// Name tells several Mains of one program apart, so that a re-executed process finds the one it belongs to. The
	// default is "main"; a program with one Main needs no other.
	Name string

	// InProcess runs every worker as goroutines of this process, over in-memory pipes: to step through it in a
	// debugger, and for tests. Messages are encoded and decoded as usual. Nothing is isolated: a panic ends the whole program,
	// and a worker that does not return cannot be killed.
	InProcess bool

	// StartTimeout limits the time from the start of a worker's process until it has reached Run and said hello.
	// Defaults to 10 seconds.
	StartTimeout time.Duration
	// SetupTimeout limits the setup function of each worker, setup and handshake apart. Defaults to 1 minute.
	SetupTimeout time.Duration

	// Shutdown says what becomes of queued tasks and messages on Exit, Close, a cancelled context or an error from the
	// main action. The first SIGINT or SIGTERM always means FinishRunning, the second KillAll. Defaults to FinishRunning.
	Shutdown ShutdownMode
	// DrainTimeout limits how long DrainQueue waits for queued tasks. Defaults to no limit.
	DrainTimeout time.Duration
	// ShutdownTimeout is how long a worker may take from the exit message until it gets SIGTERM. Defaults to 10 seconds.
	ShutdownTimeout time.Duration
	// TeardownTimeout is when the contexts of the OnExit functions of a worker end, counted from the first one's start. Defaults to 5 seconds.
	TeardownTimeout time.Duration
	// KillTimeout is how long a worker may take from SIGTERM until its whole process tree gets SIGKILL. Defaults to 2
	// seconds.
	KillTimeout time.Duration

	// MaxMessageSize limits an encoded body, in bytes. Larger ones are refused with a *SizeError. Defaults to 256 MiB; the
	// most is MaxMessageSize.
	MaxMessageSize int
	// Window limits the messages between main and one worker that were sent and not yet taken by a handler, in bytes and
	// for each direction; senders wait beyond it. A single message may be larger. Defaults to 4 MiB.
	Window int
	// QueueLimit limits the number of tasks that wait in the queue; Submit waits beyond it. Defaults to 65,536.
	QueueLimit int
	// Backend stores the queued tasks. Defaults to a MemoryBackend. Main uses it, and closes it in the end.
	Backend Backend
	// DeadLimit limits the list of tasks that have used up their attempts; beyond it the oldest are forgotten. Defaults to 1,000.
	DeadLimit int
	// MaxDepth limits how deep workers may run a Main of their own: 1 forbids it. Defaults to 3.
	MaxDepth int

	// Stdout gets what workers print on their stdout, line by line and with the worker's name before each. Defaults to this
	// process's own stdout, which the workers then share, without names. One line is written by one call; calls do not overlap.
	Stdout io.Writer
	// Stderr gets what workers print on their stderr, as it is. Defaults to this process's own stderr.
	Stderr io.Writer
	// Logger gets a record of each event, such as the death of a worker. Defaults to slog.Default().
	Logger *slog.Logger
	// OnEvent, if not nil, gets each event. It is called on the loop of main, so never while a handler or an action of main runs: a long action holds
	// the events back.
	OnEvent func(Event)
}

// Restart says when a worker is replaced.
type Restart int

const (
	// RestartOnFailure is the default: a worker that died, or ended with an error, is replaced.
	RestartOnFailure Restart = iota
	// RestartNever leaves the place of a worker empty.
	RestartNever
)

// WorkerConfig configures the workers that one RegisterWorker registers. Its zero value, and nil, are good defaults.
type WorkerConfig struct {
	// Count is the number of identical workers. Defaults to 1.
	Count int
	// Queues are the names of the queues that these workers take tasks from. Defaults to DefaultQueue alone.
	Queues []string
	// Prefetch is the greatest number of tasks that are handed to a busy worker ahead of time, to save it the wait for the next one. As many are as the
	// worker will be done with within a few milliseconds, so none while tasks are long; they are taken back when another worker has nothing to do. Defaults to 64.
	Prefetch int

	// MaxTasks, MaxAge and MaxRSS make a worker be replaced by a fresh one, between two tasks, once it has worked on that many tasks, has been ready for
	// that long, or holds that many bytes of memory after a task. Other workers go on meanwhile; it costs no task an attempt, and does not count as a
	// restart. Zero means never. MaxRSS is the resident set on Linux and Windows, elsewhere what the Go runtime holds.
	MaxTasks int
	MaxAge   time.Duration
	MaxRSS   int64
	// MemoryLimit is the memory that a worker may take, in bytes. One that needs more is ended, in the middle of its task, with a *MemoryLimitError. The Go
	// runtime is told to collect harder from nine tenths of it on (GOMEMLIMIT, unless Env sets it). It is RLIMIT_DATA on Linux, which counts private
	// memory that can be written, see setrlimit(2); a limit of the job on Windows; elsewhere the worker watches itself. Defaults to no limit; less than 64 MiB is an error, for a Go program takes some 40 MiB before it does anything.
	MemoryLimit int64

	// Restart says when a worker is replaced. Defaults to RestartOnFailure.
	Restart Restart
	// RestartLimit is how often one worker is replaced within RestartWindow; one failure more ends Run with a
	// *RestartLimitError. A death in the middle of a task does not count, whatever has caused it: the task has its own outcome. Defaults to 10.
	RestartLimit int
	// RestartWindow is the time in which restarts are counted; those that never became ready count however long they took. Defaults to 1 minute.
	RestartWindow time.Duration
	// RestartDelay is the pause before the second restart within RestartWindow; it doubles with each further one. The first
	// restart comes at once. Defaults to 100 milliseconds.
	RestartDelay time.Duration
	// RestartMaxDelay is the longest pause. Defaults to 5 seconds.
	RestartMaxDelay time.Duration

	// Env is added to the worker's environment, as "NAME=value"; of two with one name the later wins. Defaults to nothing.
	Env []string
	// Dir is the worker's working directory. Defaults to that of main.
	Dir string
}

// filled returns a copy with the defaults in place, or the error that names the first field that cannot be.
func (c *Config) filled() (Config, error) {
	var f Config
	if c != nil {
		f = *c
	}
	f.Name = cmp.Or(f.Name, MainName)
	err := cmp.Or(
		notNegative("Config.StartTimeout", f.StartTimeout),
		notNegative("Config.SetupTimeout", f.SetupTimeout),
		notNegative("Config.DrainTimeout", f.DrainTimeout),
		notNegative("Config.ShutdownTimeout", f.ShutdownTimeout),
		notNegative("Config.TeardownTimeout", f.TeardownTimeout),
		notNegative("Config.KillTimeout", f.KillTimeout),
		notNegative("Config.MaxMessageSize", f.MaxMessageSize),
		notNegative("Config.Window", f.Window),
		notNegative("Config.QueueLimit", f.QueueLimit),
		notNegative("Config.MaxDepth", f.MaxDepth),
		notNegative("Config.DeadLimit", f.DeadLimit),
	)
	switch {
	case err != nil:
	case f.MaxMessageSize > MaxMessageSize:
		err = &ConfigError{"Config.MaxMessageSize", f.MaxMessageSize, fmt.Sprintf("the wire carries at most %d bytes", MaxMessageSize)}
	case f.Shutdown < FinishRunning || f.Shutdown > KillAll:
		err = &ConfigError{"Config.Shutdown", f.Shutdown, "use FinishRunning, DrainQueue or KillAll"}
	case checkName("name", f.Name) != nil:
		err = &ConfigError{"Config.Name", f.Name, checkName("name", f.Name).Error()}
	}
	f.StartTimeout = cmp.Or(f.StartTimeout, 10*time.Second)
	f.SetupTimeout = cmp.Or(f.SetupTimeout, time.Minute)
	f.ShutdownTimeout = cmp.Or(f.ShutdownTimeout, 10*time.Second)
	f.TeardownTimeout = cmp.Or(f.TeardownTimeout, 5*time.Second)
	f.KillTimeout = cmp.Or(f.KillTimeout, 2*time.Second)
	f.MaxMessageSize = cmp.Or(f.MaxMessageSize, 256<<20)
	f.Window = cmp.Or(f.Window, 4<<20)
	f.QueueLimit = cmp.Or(f.QueueLimit, 65536)
	f.MaxDepth = cmp.Or(f.MaxDepth, 3)
	f.DeadLimit = cmp.Or(f.DeadLimit, 1000)
	f.Logger = cmp.Or(f.Logger, slog.Default())
	return f, err
}

// filled returns a copy with the defaults in place, or the error that names the first field that cannot be.
func (c *WorkerConfig) filled() (WorkerConfig, error) {
	var f WorkerConfig
	if c != nil {
		f = *c
	}
	f.Env = slices.Clone(f.Env)
	f.Queues = slices.Clone(f.Queues)
	if len(f.Queues) == 0 {
		f.Queues = []string{DefaultQueue}
	}
	f.Prefetch = cmp.Or(f.Prefetch, 64)
	err := cmp.Or(
		notNegative("WorkerConfig.Count", f.Count),
		notNegative("WorkerConfig.Prefetch", f.Prefetch),
		notNegative("WorkerConfig.RestartLimit", f.RestartLimit),
		notNegative("WorkerConfig.RestartWindow", f.RestartWindow),
		notNegative("WorkerConfig.RestartDelay", f.RestartDelay),
		notNegative("WorkerConfig.RestartMaxDelay", f.RestartMaxDelay),
		notNegative("WorkerConfig.MaxTasks", f.MaxTasks),
		notNegative("WorkerConfig.MaxAge", f.MaxAge),
		notNegative("WorkerConfig.MaxRSS", f.MaxRSS),
		notNegative("WorkerConfig.MemoryLimit", f.MemoryLimit),
	)
	if err == nil && f.MemoryLimit > 0 && f.MemoryLimit < leastMemoryLimit {
		err = &ConfigError{"WorkerConfig.MemoryLimit", f.MemoryLimit, fmt.Sprintf("a Go program does not start with so little: give at least %d bytes", leastMemoryLimit)}
	}
	if err == nil && (f.Restart < RestartOnFailure || f.Restart > RestartNever) {
		err = &ConfigError{"WorkerConfig.Restart", int(f.Restart), "use RestartOnFailure or RestartNever"}
	}
	for i, q := range f.Queues {
		if bad := checkQueueName(q); err == nil && bad != nil {
			err = &ConfigError{fmt.Sprintf("WorkerConfig.Queues[%d]", i), q, bad.Error()}
		}
	}
	f.Count = cmp.Or(f.Count, 1)
	f.RestartLimit = cmp.Or(f.RestartLimit, 10)
	f.RestartWindow = cmp.Or(f.RestartWindow, time.Minute)
	f.RestartDelay = cmp.Or(f.RestartDelay, 100*time.Millisecond)
	f.RestartMaxDelay = cmp.Or(f.RestartMaxDelay, 5*time.Second)
	return f, err
}

// notNegative returns an error, as the interface that cmp.Or can compare, if v is below zero.
func notNegative[T int | int64 | time.Duration](field string, v T) error {
	if v < 0 {
		return &ConfigError{field, v, "it cannot be negative: leave it zero for the default, or give a value above zero"}
	}
	return nil
}

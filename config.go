package multiprolab

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/multiprolab/multiprolab/backend"
	"github.com/multiprolab/multiprolab/internal/logbook"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/wire"
)

// MaxMessageSize is the greatest value of Config.MaxMessageSize, in bytes: what the wire can carry
// in one message.
const MaxMessageSize = wire.MaxBody

// ShutdownMode says what becomes of tasks and messages that are still queued when exit is
// requested. What is running is finished in every mode but KillAll, within the times of the Config.
type ShutdownMode int

const (
	// FinishRunning is the default: running handlers and tasks are finished, queued tasks end with
	// ErrStopped, queued messages become dead letters.
	FinishRunning ShutdownMode = iota
	// DrainQueue finishes everything that was accepted before: all queued tasks, all queued
	// messages. It waits for a task that never ends, such as an endless Stream that nobody leaves,
	// until Config.DrainTimeout, which has no default, and then goes on as FinishRunning.
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

// WorkerLogs says what of the logs of a worker's process goes to Config.Logger of main.
type WorkerLogs int

const (
	// ForwardSlog is the default: slog.Default of a worker's process is the worker's Logger, from
	// its setup function on. What package log prints stays on the worker's stderr.
	ForwardSlog WorkerLogs = iota
	// ForwardAll is ForwardSlog, and makes each print of package log a record, too, of the level of
	// slog.SetLogLoggerLevel. The error of a worker that dies by log.Fatal has no text then.
	ForwardAll
	// ForwardNone leaves slog.Default and package log as the program has set them. Only what is
	// logged with Worker.Logger goes to main.
	ForwardNone
)

// String returns the name of the value.
func (l WorkerLogs) String() string {
	switch l {
	case ForwardSlog:
		return "ForwardSlog"
	case ForwardAll:
		return "ForwardAll"
	case ForwardNone:
		return "ForwardNone"
	}
	return "WorkerLogs(?)"
}

// Config configures a Main. Its zero value, and nil, are good defaults. New copies it; a later
// change has no effect.
type Config struct {
	// Name tells several Mains of one program apart, so that a re-executed process finds the Main
	// it belongs to. Each Main needs a name of its own, also if they run one after the other; a
	// second Run or Start under one name is refused. The process of a worker passes the other Mains
	// by on its way: their Run, Start, Wait, Close and Stop return nil at once, and all other
	// methods return an error. So the code between two Mains is run in the workers of the later
	// Main, too, unless Hook is before it. Mains with InProcess need no name. Defaults to "main",
	// which is enough for a program with one Main.
	Name string

	// InProcess runs every worker as goroutines of this process, over in-memory pipes: to step
	// through it in a debugger, and for tests. Messages are encoded and decoded as usual. Nothing
	// is isolated: a panic ends the whole program, and a worker that does not return cannot be
	// killed.
	InProcess bool

	// StartTimeout limits the time from the start of a worker's process until it has reached Hook,
	// Run or Start and said hello. Defaults to 10 seconds.
	StartTimeout time.Duration
	// SetupTimeout limits the setup function of each worker. The start and the handshake of its
	// process do not count. Defaults to 1 minute.
	SetupTimeout time.Duration

	// Shutdown says what becomes of queued tasks and messages on Exit, Close, a cancelled context
	// or an error from the main action. The first SIGINT or SIGTERM always means FinishRunning, the
	// second KillAll. Defaults to FinishRunning.
	Shutdown ShutdownMode
	// DrainTimeout limits how long DrainQueue waits for queued tasks. Defaults to no limit.
	DrainTimeout time.Duration
	// ShutdownTimeout is how long a worker may take from the exit message until it gets SIGTERM.
	// Defaults to 10 seconds.
	ShutdownTimeout time.Duration
	// TeardownTimeout is when the contexts of the OnExit functions of a worker end, counted from
	// the start of the first function. Defaults to 5 seconds.
	TeardownTimeout time.Duration
	// KillTimeout is how long a worker may take from SIGTERM until its whole process tree gets
	// SIGKILL. Defaults to 2 seconds.
	KillTimeout time.Duration

	// UpgradeSignal makes Run do Main.Upgrade when this signal comes, such as syscall.SIGUSR2. An
	// upgrade that fails is logged. Defaults to nil: no signal does.
	UpgradeSignal os.Signal
	// UpgradeTimeout limits how long Main.Upgrade waits until the new version of the program is
	// ready beside the old one. Defaults to 2 minutes.
	UpgradeTimeout time.Duration

	// MaxMessageSize limits an encoded body, in bytes. Larger bodies are refused with a *SizeError.
	// Defaults to 256 MiB; the most is MaxMessageSize.
	MaxMessageSize int
	// Window limits the messages between main and one worker that were sent and not yet taken by a
	// handler, in bytes and for each direction; senders wait beyond it. Each message counts 256
	// bytes besides its body, its type and its receiver's name. A single message may be larger.
	// Defaults to 4 MiB.
	Window int
	// QueueLimit limits the number of tasks that are due and wait for a worker. Beyond it Submit
	// waits, and TrySubmit returns ErrQueueFull. Delayed tasks, and tasks that wait for another
	// attempt, do not count until they are due; then they are in the queue at once, whether it is
	// full or not. Defaults to 65,536.
	QueueLimit int
	// QueueBytes limits the memory of the tasks that no worker has, in bytes: their bodies, and 1
	// KiB for each. Delayed tasks count, too. Beyond it Submit waits, and TrySubmit returns
	// ErrQueueFull; a task that is larger is taken when there is no other task. Defaults to 1 GiB
	// or, if that is less, to a quarter of the memory that this process may use, which is bounded
	// by GOMEMLIMIT and, on Linux, by the memory of the machine and the limit of the control group.
	QueueBytes int
	// Backend stores the queued tasks. Main uses it, and closes it in the end. Defaults to nil: the
	// tasks are kept in main's memory, and end with main.
	Backend backend.Backend
	// DeadLimit limits the list of tasks that have used up their attempts; beyond it the oldest are
	// forgotten. Defaults to 1,000.
	DeadLimit int
	// MaxDepth limits how deep workers may run a Main of their own: 1 forbids it. Defaults to 3.
	MaxDepth int

	// Stdout gets what workers print on their stdout, line by line and with the worker's name
	// before each line. Defaults to this process's own stdout, which the workers then share,
	// without names. One line is written by one call; calls do not overlap. A line of more than
	// 64 KiB is written in pieces, each a line of its own.
	Stdout io.Writer
	// Stderr gets what workers print on their stderr, unchanged. Defaults to this process's own
	// stderr.
	Stderr io.Writer
	// PrefixStderr passes on to Stderr line by line, with the worker's name before each line, as to
	// Stdout. Defaults to false.
	PrefixStderr bool
	// FullCrashes passes on the whole report with which the Go runtime ends a worker: all its
	// stacks, which are hundreds of lines when it is out of memory or killed for a hang. By default
	// the reason and the first stack are passed on, and the error has the rest
	// (WorkerDiedError.Stderr). What a worker prints itself is passed on in any case.
	FullCrashes bool
	// Logger gets a record of each event, such as the death of a worker, and the records of the
	// workers' own logs, one at a time and in the order of each worker; see WorkerLogs. A handler
	// that takes its time holds up no worker, and may call methods of main, such as Restart, and
	// wait for them. Of the events, 1,024 wait for it; who tells more waits as long as it
	// goes on, and if it does not return for a quarter of a second they are lost, which the log
	// says. Defaults to what slog.Default() is at that time.
	Logger *slog.Logger
	// WorkerLogs says what of the workers' logs goes to Logger. Defaults to ForwardSlog: what a
	// worker logs with package log/slog does.
	WorkerLogs WorkerLogs
	// RecordFile is a file to which main writes its record, as Main.WriteRecord does, when the
	// program ends with an error or with a panic of a handler or an action of main, and when a task
	// waits long beside a worker that has nothing to do, which is a fault of the library. An
	// earlier file is replaced, but if there are two of one program, the second one has ".end"
	// added to its name. Give each Main of a program a file of its own. Start fails if main cannot
	// write there. Main cannot write it when it is killed, or when another goroutine panics.
	// Defaults to "": none.
	RecordFile string
	// OnEvent, if not nil, gets each event. It is called on the loop of main, so never while a
	// handler or an action of main runs: a long action holds the events back. Of the events that
	// wait, the newest 4,096 are kept, and no more than 16 MiB of them; *EventsMissed comes in
	// place of the others.
	OnEvent func(Event)
}

// filled returns a copy with the defaults filled in. The error names the first field whose value
// cannot be.
func (c *Config) filled() (Config, error) {
	var f Config
	if c != nil {
		f = *c
	}
	f.Name = cmp.Or(f.Name, MainName)
	err := cmp.Or(notNegative("Config.StartTimeout", f.StartTimeout),
		notNegative("Config.SetupTimeout", f.SetupTimeout), notNegative("Config.DrainTimeout", f.DrainTimeout),
		notNegative("Config.ShutdownTimeout", f.ShutdownTimeout),
		notNegative("Config.TeardownTimeout", f.TeardownTimeout), notNegative("Config.KillTimeout", f.KillTimeout),
		notNegative("Config.UpgradeTimeout", f.UpgradeTimeout),
		notNegative("Config.MaxMessageSize", f.MaxMessageSize), notNegative("Config.Window", f.Window),
		notNegative("Config.QueueLimit", f.QueueLimit), notNegative("Config.QueueBytes", f.QueueBytes),
		notNegative("Config.MaxDepth", f.MaxDepth), notNegative("Config.DeadLimit", f.DeadLimit))
	switch {
	case err != nil:
	case f.MaxMessageSize > MaxMessageSize:
		err = &ConfigError{
			"Config.MaxMessageSize",
			f.MaxMessageSize,
			fmt.Sprintf("the wire carries at most %d bytes", MaxMessageSize),
		}
	case f.Shutdown < FinishRunning || f.Shutdown > KillAll:
		err = &ConfigError{"Config.Shutdown", f.Shutdown, "use FinishRunning, DrainQueue or KillAll"}
	case f.WorkerLogs < ForwardSlog || f.WorkerLogs > ForwardNone:
		err = &ConfigError{"Config.WorkerLogs", f.WorkerLogs, "use ForwardSlog, ForwardAll or ForwardNone"}
	case f.UpgradeSignal != nil && (f.UpgradeSignal == os.Interrupt || f.UpgradeSignal == syscall.SIGTERM ||
		f.UpgradeSignal == syscall.SIGHUP || f.UpgradeSignal == os.Kill):
		err = &ConfigError{"Config.UpgradeSignal", f.UpgradeSignal, "it has a meaning already: use SIGUSR2 for example"}
	case checkName("name", f.Name) != nil:
		err = &ConfigError{"Config.Name", f.Name, checkName("name", f.Name).Error()}
	}
	f.StartTimeout = cmp.Or(f.StartTimeout, 10*time.Second)
	f.SetupTimeout = cmp.Or(f.SetupTimeout, time.Minute)
	f.ShutdownTimeout = cmp.Or(f.ShutdownTimeout, 10*time.Second)
	f.TeardownTimeout = cmp.Or(f.TeardownTimeout, 5*time.Second)
	f.KillTimeout = cmp.Or(f.KillTimeout, 2*time.Second)
	f.UpgradeTimeout = cmp.Or(f.UpgradeTimeout, 2*time.Minute)
	f.MaxMessageSize = cmp.Or(f.MaxMessageSize, 256<<20)
	f.Window = cmp.Or(f.Window, 4<<20)
	f.QueueLimit = cmp.Or(f.QueueLimit, 65536)
	f.MaxDepth = cmp.Or(f.MaxDepth, 3)
	f.DeadLimit = cmp.Or(f.DeadLimit, 1000)
	f.Logger = cmp.Or(f.Logger, slog.New(logbook.Default{}))
	return f, err
}

// defaultQueueBytes returns the default of Config.QueueBytes.
func defaultQueueBytes() int {
	limit := int64(1 << 30)
	for _, memory := range []int64{proc.Memory(), debug.SetMemoryLimit(-1)} { // 0 and MaxInt64 mean no limit
		if memory > 0 {
			limit = min(limit, memory/4)
		}
	}
	return int(limit)
}

// notNegative returns an error if v is below zero. The error is of the interface type, so that
// cmp.Or can compare it with nil.
func notNegative[T int | int64 | time.Duration](field string, v T) error {
	if v < 0 {
		return &ConfigError{
			field,
			v,
			"it cannot be negative: leave it zero for the default, or give a value above zero",
		}
	}
	return nil
}

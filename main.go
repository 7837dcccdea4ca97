package multiprolab

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/goroutine"
	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/recorder"
	"github.com/multiprolab/multiprolab/internal/sdnotify"
	"github.com/multiprolab/multiprolab/internal/shared"
	"github.com/multiprolab/multiprolab/internal/signals"
	"github.com/multiprolab/multiprolab/internal/upgrade"
)

// Main is the main process's view of the whole: it starts the workers, routes the messages, owns
// the task queue and sees to it that nothing is left in the end. It exists in the main process; in
// a worker process the same code makes one too, which ends in Hook or Run. All methods may be
// called from any goroutine, but those that register something only before Run or Start.
type Main struct {
	*node
	registry
	origin
	milestones
	standing
	*announcer
	// cfg is the configuration, with the defaults filled in. It never changes.
	cfg Config
	// fleet carries out the rules of lives. It never changes.
	fleet *workerFleet
	// router carries messages, calls and replies. It never changes.
	router *mainRouter
	// broker carries out the rules of tasks. It never changes.
	broker *broker
	// queue is the queue as users see it. It never changes.
	queue *TaskQueue
	// desk is what the parts of main that deal with one worker know of main. The field never
	// changes, but prepare sets the identity in it.
	desk *desk
	// usages is what processes took when Stats was last called. It guards itself.
	usages proc.Usages
	// rates is what earlier calls of Stats have counted. It guards itself.
	rates rates
	// shares is the shared data of Publish. It guards itself.
	shares shared.Publisher
	// stdout is where the workers print, if Config.Stdout is set. It guards itself.
	stdout *life.Shared
	// stderr is where the stderr of the workers goes. It guards itself.
	stderr *life.Shared
	// flight is the record of what happens, but for the events of the rules. It guards itself.
	flight *recorder.Log
	// saved says that a record was written to Config.RecordFile. Any goroutine may set it.
	saved atomic.Bool
	// own are the goroutines that the end of the Main waits for: that of main's loop and, with
	// Config.InProcess, those of the workers, under names such as "worker thumbnailer/2". One of
	// them that waits for the end would wait for itself. It guards itself.
	own goroutine.Names
	// signals are the signals that this process catches. It guards itself.
	signals signals.Signals
	// service tells the service manager how the program comes on, or is nil if there is none. Run
	// sets it before anything else. It guards itself.
	service *sdnotify.Service
}

// origin is what a Main is made from, and what process it is in. It exists in every process that
// makes a Main. But for made, nested, hook and warned, prepare sets the fields, and they do not
// change after that.
type origin struct {
	// made is the place where New was called. It never changes.
	made *site
	// nested says that the Main was made or started inside a worker, and belongs to that worker. It
	// does not change once Run or Start has begun.
	nested bool
	// identity is the identity of the program's file.
	identity string
	// path is the path of the worker that the Main runs in, if it runs in one.
	path []string
	// outer are the names of the Mains around this Main, if it runs in a worker.
	outer []string
	// hook is what Hook has noted, or nil. It does not change once Run or Start has begun.
	hook *hook
	// depth is the number of the Mains around this Main.
	depth int
	// procs is the GOMAXPROCS of main, or 0 if the environment sets it.
	procs int
	// oomScoreAdj is the oom_score_adj of main, see proc(5).
	oomScoreAdj int
	// kernelKills knows which processes the kernel has killed for their memory. It guards itself.
	// It is nil if the workers run in this process.
	kernelKills *life.KernelKills
	// spawner starts the processes of the workers. It guards itself. It is nil if the workers run
	// in this process.
	spawner *proc.Spawner
	// upgrade is how far an upgrade has come. It guards itself.
	upgrade *upgrade.Course
	// warned says that the log has been told that Restart does not run new code. Any goroutine may
	// set it.
	warned atomic.Bool
}

// hook is what a call of Main.Hook has noted. It exists in every process that calls it, and never
// changes.
type hook struct {
	// site is the place of the call.
	site *site
	// outermost says that a process comes to the call without being any worker: it is not in a
	// function of a worker.
	outermost bool
	// initial says that the call is in the initialiser of a package, so that every process comes to
	// it.
	initial bool
	// errors is how many errors had been registered, which are those that workers know.
	errors int
}

// hooked reports whether the processes of the workers come to Hook by themselves.
func (o *origin) hooked() bool { return o.hook != nil && o.hook.outermost }

// Name returns "main".
func (m *Main) Name() string { return m.name() }

// Receiver returns the receiver of main.
func (m *Main) Receiver() *MessageReceiver { return m.receiver }

// Router returns the router, to send messages without the generic functions.
func (m *Main) Router() *MessageRouter { return &m.routes }

// Tasks returns main's door to the task queue.
func (m *Main) Tasks() *TaskQueue { return m.queue }

func (m *Main) self() *node { return m.node }

// Action runs fn once every worker is ready, and then at the interval every; what it misses while a
// handler runs is left out. An interval of zero runs fn on every turn of the loop, between two of
// which the waiting messages are handled: main then never sleeps unless fn does. fn's context ends
// when exit is requested. An error ends the program, and Run returns it.
func (m *Main) Action(every time.Duration, fn func(ctx context.Context) error) {
	m.addAction("Action", every, fn)
}

// After runs fn once, after the time d. Otherwise it is like Action, but it may be called at any
// time, also by fn, which then runs again: an interval after its end, say.
func (m *Main) After(d time.Duration, fn func(ctx context.Context) error) {
	m.addAction("After", d, fn)
}

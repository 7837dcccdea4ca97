package multiprolab

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/multiprolab/multiprolab/internal/life"
	"github.com/multiprolab/multiprolab/internal/proc"
	"github.com/multiprolab/multiprolab/internal/sdnotify"
)

// Main is the main process's view of the whole: it starts the workers, routes the messages, owns
// the task queue and sees to it that nothing is left in the end. It exists in the main process; in
// a worker process the same code makes one too, which ends in Run. All methods may be called from
// any goroutine, but those that register something only before Run or Start.
type Main struct {
	*node
	registry
	origin
	milestones
	standing
	*announcer
	// cfg is the configuration, with the defaults filled in. It never changes.
	cfg Config
	// fleet, router, broker and queue are the parts that carry out the rules: of lives, of messages
	// and, both, of tasks. They never change.
	fleet  *workerFleet
	router *MessageRouter
	broker *broker
	queue  *TaskQueue
	// desk is what the parts of main that deal with one worker know of it. It never changes but for
	// the identity, which prepare sets.
	desk *desk
	// stdout and stderr are where the workers' output goes. They guard themselves.
	stdout *sharedWriter
	stderr *sharedWriter
	// own are the loops that this process runs. They guard themselves.
	own ownLoops
	// service is the service manager, or nil. Run sets it at first.
	service *sdnotify.Notifier
}

// origin is what a Main is made from, and what process it is in. But for made and nested
// it is set by prepare, and never changes after that.
type origin struct {
	// made is where New was called.
	made *site
	// nested says that the Main was made or started inside a worker, and belongs to that.
	nested bool
	// identity is that of the program's file.
	identity string
	// path is that of the worker that the Main runs in, if it runs in one.
	path []string
	// outer are the names of the Mains around this one then.
	outer []string
	// depth is the number of these Mains.
	depth int
	// procs is GOMAXPROCS of main, or 0 if the environment says it.
	procs int
	// oomScoreAdj is that of main.
	oomScoreAdj int
	// kernelKills knows whom the kernel has ended. It guards itself. It is nil for workers in this
	// process, as spawner is.
	kernelKills *life.KernelKills
	// spawner starts the processes of the workers. It guards itself.
	spawner *proc.Spawner
	// warned says that the log has been told that Restart does not run new code. It alone changes
	// later, by anybody.
	warned atomic.Bool
}

// Name returns "main".
func (m *Main) Name() string { return m.name }

// Receiver returns the receiver of main.
func (m *Main) Receiver() *MessageReceiver { return m.receiver }

// Router returns the router.
func (m *Main) Router() *MessageRouter { return m.router }

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

// Every runs fn at the interval every, the first time after one interval. Otherwise it is like
// Action.
func (m *Main) Every(every time.Duration, fn func(ctx context.Context) error) {
	m.addAction("Every", every, fn)
}

// After runs fn once, after the time d. Otherwise it is like Action.
func (m *Main) After(d time.Duration, fn func(ctx context.Context) error) {
	m.addAction("After", d, fn)
}
